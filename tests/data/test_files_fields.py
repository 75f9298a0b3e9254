"""Which arrays of a file are inputs and answers, by name and by the names that are usual; and MATLAB's axes."""

import io
import struct
import zipfile

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from ntkinfo.data import mat, npy, npz
from ntkinfo.data.mat_format import read_mat

N, M = 24, 12
GENERATOR = np.random.default_rng(0)
X, X_TEST = GENERATOR.normal(size=(N, 3)), GENERATOR.normal(size=(M, 3))
Y, Y_TEST = np.arange(N) % 3, np.arange(M) % 3
PLAIN = {"standardise": False}
WORDS = np.array(["no", "maybe", "yes"])


def same(data, x=X, y=Y, x_test=None, y_test=None):
    """Every input of the data carries the answer that it has in the file."""
    label = {tuple(row): int(answer) for row, answer in zip(x, y, strict=True)}
    test = label if x_test is None else {tuple(row): int(k) for row, k in zip(x_test, y_test, strict=True)}
    names = [int(name) for name in data.class_names]
    assert [label[tuple(row)] for row in data.x_train] == [names[k] for k in data.labels_train]
    assert [test[tuple(row)] for row in data.x_test] == [names[k] for k in data.labels_test]
    return True


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("X_train", "Y_train", "X_test", "Y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("trainData", "trainLabels", "testData", "testLabels"),
        ("train_x", "train_y", "test_x", "test_y"),
        ("Xtr", "ytr", "Xte", "yte"),
    ],
)
def test_parts_by_usual_names(tmp_path, names):
    fields = dict(zip(names, (X, Y, X_TEST, Y_TEST), strict=True)) | {"val_images": X[:4], "notes": np.array("text")}
    np.savez(tmp_path / "a.npz", **fields)
    data = npz(tmp_path / "a.npz", **PLAIN)
    assert same(data, x_test=X_TEST, y_test=Y_TEST)
    assert len(data.x_train) == N
    assert data.provenance["fields"] == ", ".join(names)
    savemat(tmp_path / "a.mat", fields)
    assert same(mat(tmp_path / "a.mat", **PLAIN), x_test=X_TEST, y_test=Y_TEST)


@pytest.mark.parametrize(
    "names", [("x", "y"), ("images", "labels"), ("data", "target"), ("X", "Y"), ("fea", "gnd"), ("F", "y")]
)
def test_pools_by_usual_names(tmp_path, names):
    np.savez(tmp_path / "a.npz", **dict(zip(names, (X, Y), strict=True)), other=X[:2])
    assert same(npz(tmp_path / "a.npz", **PLAIN))
    savemat(tmp_path / "a.mat", dict(zip(names, (X, Y), strict=True)) | {"other": X[:2]})
    assert same(mat(tmp_path / "a.mat", **PLAIN))


def test_arrays_that_were_saved_without_names(tmp_path):
    np.savez(tmp_path / "a.npz", X, Y)
    assert same(npz(tmp_path / "a.npz", **PLAIN))
    np.savez(tmp_path / "four.npz", X, Y, X_TEST, Y_TEST)
    with pytest.raises(ValueError, match=r"lacks the field.* it has arr_0, arr_1, .*x_field and y_field"):
        npz(tmp_path / "four.npz")
    given = {"x_field": "arr_0", "y_field": "arr_1", "x_test_field": "arr_2", "y_test_field": "arr_3"}
    assert same(npz(tmp_path / "four.npz", **given, **PLAIN), x_test=X_TEST, y_test=Y_TEST)


def test_fields_by_name(tmp_path):
    np.savez(tmp_path / "a.npz", pixels=X, coarse=Y // 2, fine=Y, x=X[:, :1], later=X_TEST, later_fine=Y_TEST)
    path = tmp_path / "a.npz"
    assert same(npz(path, x_field="pixels", y_field="fine", **PLAIN))
    both = npz(path, x_field="pixels", y_field="fine", x_test_field="later", y_test_field="later_fine", **PLAIN)
    assert same(both, x_test=X_TEST, y_test=Y_TEST)
    assert npz(path, y_field="fine", **PLAIN).x_train.shape[1] == 1
    for options, message in (
        ({"x_field": "pixel", "y_field": "fine"}, "has no field 'pixel' .did you mean 'pixels'"),
        ({"x_field": "pixels"}, "x_field is given, so give y_field too"),
        ({"x_field": "fine", "y_field": "fine"}, "named twice"),
        ({"x_test_field": "later", "y_test_field": "later_fine"}, "need x_field and y_field"),
        ({"x_field": "pixels", "y_field": "fine", "x_test_field": "later"}, "go together"),
    ):
        with pytest.raises(ValueError, match=message):
            npz(path, **options)


@pytest.mark.parametrize("y", [Y[:, None], Y[None, :], np.eye(3)[Y], np.eye(3, dtype=bool)[Y], Y.astype(np.float32)])
def test_labels_of_any_shape(tmp_path, y):
    np.savez(tmp_path / "a.npz", x=X, y=y)
    assert same(npz(tmp_path / "a.npz", **PLAIN))


def test_labels_as_bytes_of_text(tmp_path):
    np.savez(tmp_path / "a.npz", x=X, y=WORDS[Y].astype("S"))
    data = npz(tmp_path / "a.npz", **PLAIN)
    assert data.class_names == ("maybe", "no", "yes")
    label = {tuple(row): WORDS[k] for row, k in zip(X, Y, strict=True)}
    assert [label[tuple(row)] for row in data.x_train] == [data.class_names[k] for k in data.labels_train]


def test_folders_and_pairs_of_npy(tmp_path):
    for name, array in (("x_train", X), ("y_train", Y), ("x_test", X_TEST), ("y_test", Y_TEST)):
        np.save(tmp_path / f"{name}.npy", array)
    assert same(npz(tmp_path, **PLAIN), x_test=X_TEST, y_test=Y_TEST)
    files = [tmp_path / f"{name}.npy" for name in ("x_train", "y_train", "x_test", "y_test")]
    assert same(npy(*files, **PLAIN), x_test=X_TEST, y_test=Y_TEST)
    assert same(npy(*files[:2], **PLAIN))
    np.save(files[1], np.array([{}] * N, dtype=object))
    with pytest.raises(ValueError, match=r"y_train\.npy is a pickled object array"):
        npy(*files[:2])
    files[0].write_bytes(files[0].read_bytes()[:-4])
    with pytest.raises(ValueError, match=r"x_train\.npy declares shape"):
        npy(*files[:2])
    with pytest.raises(ValueError, match="go together"):
        npy(*files[:3])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="is a folder without NPY files"):
        npz(tmp_path / "empty")


def test_parts_in_files_of_their_own(tmp_path):
    np.savez(tmp_path / "train.npz", x=X, y=Y)
    np.savez(tmp_path / "test.npz", x=X_TEST, y=Y_TEST)
    read = npz(tmp_path / "train.npz", test_path=tmp_path / "test.npz", **PLAIN)
    assert same(read, x_test=X_TEST, y_test=Y_TEST)
    savemat(tmp_path / "train.mat", {"x_train": X, "y_train": Y})
    savemat(tmp_path / "test.mat", {"x_test": X_TEST, "y_test": Y_TEST})
    read = mat(tmp_path / "train.mat", test_path=tmp_path / "test.mat", **PLAIN)
    assert same(read, x_test=X_TEST, y_test=Y_TEST)


def test_a_pytorch_file_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("archive/data.pkl", b"")
    with pytest.raises(ValueError, match="is a PyTorch file, which is pickled and never read"):
        npz(tmp_path / "a.pt")


def test_digits_as_svhn_stores_them(tmp_path):
    images = GENERATOR.integers(0, 256, (N, 6, 5, 3), dtype=np.uint8)
    labels = (np.arange(N) % 10 + 1).astype(np.uint8)
    savemat(tmp_path / "train_32x32.mat", {"X": np.moveaxis(images, 0, 3), "y": labels[:, None]}, do_compression=True)
    data = mat(tmp_path / "train_32x32.mat", images=True, **PLAIN)
    assert data.x_train.shape[1:] == (6, 5, 3)
    assert data.class_names == tuple(map(str, range(1, 11)))
    assert "10 stands for 0" in data.provenance["reading"]
    label = {image.tobytes(): k for image, k in zip(images, labels, strict=True)}
    found = [label[np.round(image * 255).astype(np.uint8).tobytes()] for image in data.x_train]
    assert found == [k + 1 for k in data.labels_train]


@pytest.mark.parametrize("shape", [(N, 4, 5), (4, 5, N), (N, 4, 5, 3), (4, 5, 3, N), (3, N), (N, 3)])
def test_samples_along_the_first_or_the_last_axis(tmp_path, shape):
    axis = shape.index(N)
    x = GENERATOR.normal(size=shape)
    savemat(tmp_path / "a.mat", {"X": x, "y": Y})
    data = mat(tmp_path / "a.mat", **PLAIN)
    rows = np.moveaxis(x, axis, 0).reshape(N, -1)
    assert same(data, x=rows)
    assert ("last axis" in str(data.provenance.get("reading"))) == (axis > 0)


def test_text_labels_of_matlab(tmp_path):
    cells = np.array([[WORDS[k]] for k in Y], dtype=object)
    for labels in (cells, cells.T, WORDS[Y]):  # cell arrays of text, and a character array with a row a label
        savemat(tmp_path / "a.mat", {"X": X, "y": labels})
        data = mat(tmp_path / "a.mat", **PLAIN)
        label = {tuple(row): WORDS[k] for row, k in zip(X, Y, strict=True)}
        assert [label[tuple(row)] for row in data.x_train] == [data.class_names[k] for k in data.labels_train]
    savemat(tmp_path / "a.mat", {"X": X, "y": np.array([[1.0, "two"]], dtype=object)})
    with pytest.raises(ValueError, match="y is a cell array of other things than text"):
        mat(tmp_path / "a.mat")


def element(kind, data):
    return struct.pack("<II", kind, len(data)) + data + b"\0" * (-len(data) % 8)


def matrix(name, values, name_kind=1, shape_kind=5):
    parts = element(6, struct.pack("<II", 9, 0)) + element(shape_kind, struct.pack("<2i", *values.shape))
    return element(14, parts + element(name_kind, name) + element(2, values.tobytes("F")))


def opaque(name, kind):
    """What MATLAB writes for a string, table or categorical: class 17, which has no dimensions."""
    inside = element(6, struct.pack("<II", 13, 0)) + element(5, struct.pack("<2i", 6, 1)) + element(1, b"")
    inside += element(6, struct.pack("<6I", 0xDD000000, 2, 1, 1, 1, 1))
    return element(
        14,
        element(6, struct.pack("<II", 17, 0))
        + element(1, name)
        + element(1, b"MCOS")
        + element(1, kind)
        + element(14, inside),
    )


def test_variables_of_other_kinds_are_no_damage(tmp_path):
    bits, path = (X > 0).astype(np.uint8), tmp_path / "a.mat"
    buffer = io.BytesIO()
    others = {"s": {"a": 1.0, "b": "text"}, "c": np.array([[1.0, "two"]], dtype=object), "z": 1j * X, "e": []}
    savemat(buffer, {"F": bits, "y": Y.astype(np.uint8), **others})
    content = buffer.getvalue()
    path.write_bytes(content + opaque(b"note", b"string"))
    np.testing.assert_array_equal(loadmat(path)["F"], bits)
    path.write_bytes(path.read_bytes() + opaque(b"people", b"table") + opaque(b"", b"FileWrapper__"))
    np.testing.assert_array_equal(read_mat(path, lambda *_: ["F"])["F"], bits)
    assert mat(path, **PLAIN).x_train.shape == (19, 3)
    with pytest.raises(ValueError, match=r"the variable note holds a string, table.*cellstr"):
        mat(path, inputs="F", answers="note")


@pytest.mark.parametrize(("name_kind", "shape_kind"), [(16, 5), (1, 6), (2, 5), (16, 6)])
def test_names_and_dimensions_as_other_writers_store_them(tmp_path, name_kind, shape_kind):
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    bits, path = (X > 0).astype(np.uint8), tmp_path / "a.mat"
    name = "größe".encode() if name_kind == 16 else b"F"
    path.write_bytes(header + matrix(name, bits, name_kind, shape_kind))
    np.testing.assert_array_equal(read_mat(path, lambda _, names: names)[name.decode()], bits)
