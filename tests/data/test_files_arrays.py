import io
import pickle
import struct
import zipfile

import numpy as np
import pytest
from scipy.io import loadmat, savemat
from scipy.sparse import eye_array

from ntkinfo.core import memory
from ntkinfo.data import mat, npz
from ntkinfo.data.mat_format import read_mat


def arrays(n=30, m=12, seed=0):
    generator = np.random.default_rng(seed)
    return {
        "x_train": generator.normal(size=(n, 3)),
        "y_train": np.arange(n) % 3,
        "x_test": generator.normal(size=(m, 3)),
        "y_test": np.arange(m) % 3,
    }


def save(path, compressed=False, **fields):
    (np.savez_compressed if compressed else np.savez)(path, **fields)
    return path


@pytest.mark.parametrize("compressed", [False, True])
def test_given_parts(tmp_path, compressed):
    fields = arrays()
    data = npz(save(tmp_path / "toy.npz", compressed, **fields), n_train=15, standardise=False)
    assert data.name == "toy"
    label = {tuple(x): y for x, y in zip(fields["x_train"], fields["y_train"], strict=True)}
    assert [label[tuple(x)] for x in data.x_train] == data.labels_train.tolist()
    assert sorted(map(tuple, data.x_test)) == sorted(map(tuple, fields["x_test"]))


def test_a_pool(tmp_path):
    fields = arrays()
    path = save(tmp_path / "toy.npz", x=fields["x_train"], y=np.array(["cat", "dog"])[np.arange(30) % 2], extra=[1])
    data = npz(path, n_train=20, n_test=10, targets="pair")
    assert data.class_names == ("cat", "dog")
    assert (len(data.x_train), len(data.x_test)) == (20, 10)


def test_regression_with_several_outputs(tmp_path):
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(20, 3)), generator.normal(size=(20, 2))
    data = npz(save(tmp_path / "toy.npz", x=x, y=y), targets="regression", standardise_targets=False)
    answers = {tuple(row) for row in y}
    assert all(tuple(row) in answers for row in data.y_train)
    assert data.y_train.shape == (16, 2)


@pytest.mark.parametrize(
    ("shape", "dtype", "flat", "largest"),
    [
        ((20, 4, 5), np.uint8, 20, 1.0),
        ((20, 4, 5, 3), np.uint8, 60, 1.0),
        ((20, 4, 5), np.int64, 20, 255.0),
        ((20, 6), np.uint8, 6, 255.0),
    ],
)
def test_bytes_of_images_are_scaled(tmp_path, shape, dtype, flat, largest):
    x = np.zeros(shape, dtype)
    x[:, 0] = 255
    path = save(tmp_path / "toy.npz", x=x, y=np.arange(20) % 2)
    data = npz(path, standardise=False)
    assert data.x_train.shape == (16, flat)
    assert data.x_train.max() == largest
    if len(shape) > 2:
        assert npz(path, standardise=False, images=True).x_train.shape[1:3] == (4, 5)


def changed(**changes):
    fields = {**arrays(), **changes}
    return {name: value for name, value in fields.items() if value is not None}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (changed(x_test=None), "lacks the field.* x_test"),
        ({"a": np.ones(3)}, "lacks the field.* x, y; it has a"),
        (changed(y_train=np.array([{}] * 30, dtype=object)), "the field y_train is a pickled object array"),
        (changed(y_train=np.arange(29)), "x_train has shape .* and y_train"),
        (changed(y_train=np.array(1)), "x_train has shape .* and y_train"),
        (changed(x_train=np.ones(30)), "the field x_train has shape"),
        (changed(x_train=np.ones((30, 0))), "the field x_train has shape"),
        (changed(x_train=np.full((30, 3), np.nan)), "the field x_train holds 90 NaN"),
        (changed(x_train=np.full((30, 3), "a")), "the field x_train holds text"),
        (changed(x_train=np.ones((30, 3), complex)), "the field x_train holds complex128"),
        (changed(x_test=np.ones((12, 4))), "both parts must be alike"),
        (changed(x_test=np.ones((12, 3), np.uint8)), "both parts must be alike"),
        (changed(y_test=np.ones((12, 2))), "they do not match"),
        (changed(y_test=np.arange(12) % 4), "the class 3 is in the test part"),
        (changed(y_train=np.linspace(0, 1, 30)), "use targets='regression'"),
        (changed(y_train=np.arange(30)), "use targets='regression'"),
        (changed(y_train=np.zeros(30, int), y_test=np.zeros(12, int)), "one class only"),
        (changed(y_train=np.full((30, 3), 0.5), y_test=np.full((12, 3), 0.5)), "classes are"),
    ],
)
def test_bad_fields(tmp_path, fields, message):
    path = save(tmp_path / "toy.npz", **fields)
    with pytest.raises(ValueError, match=message) as caught:
        npz(path)
    assert "x_" in str(caught.value) or "y_" in str(caught.value) or "class" in str(caught.value)


def test_bad_regression_answers(tmp_path):
    y = np.ones(20)
    y[3] = np.inf
    path = save(tmp_path / "toy.npz", x=np.eye(20), y=y)
    with pytest.raises(ValueError, match=r"toy.npz: y holds 1 NaN or infinite"):
        npz(path, targets="regression")


def test_targets_that_are_all_alike_are_learnt_as_they_are(tmp_path):
    constant = save(tmp_path / "constant.npz", x=np.eye(20), y=np.full(20, 0.1))
    for standardise_targets in (False, True):
        data = npz(constant, targets="regression", standardise=False, standardise_targets=standardise_targets)
        np.testing.assert_array_equal(data.y_train, np.full((16, 1), 0.1))
        assert str(data.provenance.get("standardise_targets", "no")).startswith("no")


def test_not_an_npz_file(tmp_path):
    path = tmp_path / "toy.npz"
    path.write_bytes(pickle.dumps({"x": 1}))
    with pytest.raises(ValueError, match="is not an NPZ file"):
        npz(path)
    np.save(tmp_path / "toy.npy", np.ones(3))
    with pytest.raises(ValueError, match="is not an NPZ file"):
        npz(tmp_path / "toy.npy")
    path.write_bytes(save(tmp_path / "whole.npz", **arrays()).read_bytes()[:-50])
    with pytest.raises(ValueError, match="cut short"):
        npz(path)
    with pytest.raises(FileNotFoundError, match="did you mean"):
        npz(tmp_path / "toys.npz")


def zipped(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def test_members_that_are_no_arrays_or_cut_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"toy.npz: the field y is not a numpy array"):
        npz(zipped(tmp_path / "toy.npz", x=npy(np.eye(4)), y=b"not an array"))
    with pytest.raises(ValueError, match=r"the field x declares shape .* 128 bytes, and holds 120"):
        npz(zipped(tmp_path / "toy.npz", x=npy(np.eye(4))[:-8], y=npy(np.arange(4))))


def test_a_header_that_declares_far_more_than_the_file_holds(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 10**6)})
    with pytest.raises(ValueError, match="the field x declares shape"):
        npz(zipped(tmp_path / "toy.npz", x=header.getvalue(), y=npy(np.arange(4))))


def test_a_member_with_a_wrong_checksum(tmp_path):
    path = save(tmp_path / "toy.npz", **arrays())
    content = bytearray(path.read_bytes())
    start = content.index(arrays()["x_train"].tobytes())
    content[start + 5] ^= 255
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match="the field x_train is damaged"):
        npz(path)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    class Memory:
        available = 2**20

    path = save(tmp_path / "toy.npz", compressed=True, x=np.zeros((2**18, 1)), y=np.arange(2**18) % 2)
    assert path.stat().st_size < 2**19
    monkeypatch.setattr(memory.psutil, "virtual_memory", Memory)
    with pytest.raises(ValueError, match="GiB of memory are free"):
        npz(path)


def matlab(folder, **fields):
    savemat(folder / "toy.mat", fields)
    return folder / "toy.mat"


@pytest.mark.parametrize("column", [False, True])
def test_mat(tmp_path, column):
    bits = (np.arange(16)[:, None] >> np.arange(4)[None, :] & 1).astype(np.uint8)
    y = bits[:, 0][:, None] if column else bits[:, 0]
    data = mat(matlab(tmp_path, F=bits, y=y), n_train=10, n_test=6, targets="pair", standardise=False)
    assert np.array_equal(data.y_train[:, 0], 2 * data.x_train[:, 0] - 1)
    renamed = mat(matlab(tmp_path, inputs=bits, labels=y), 10, 6, inputs="inputs", answers="labels")
    assert np.array_equal(renamed.labels_train, data.labels_train)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", ["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "?", ">f8"])
def test_matrices_equal_those_that_scipy_reads(tmp_path, compressed, dtype):
    values = (np.random.default_rng(0).normal(size=(5, 3)) * 50).astype(dtype)
    cube = np.arange(24).reshape(2, 3, 4)
    savemat(tmp_path / "toy.mat", {"A": values, "other": "text", "B": cube, "one": 3}, do_compression=compressed)
    found, expected = read_mat(tmp_path / "toy.mat", lambda *_: ("A", "B", "one")), loadmat(tmp_path / "toy.mat")
    for name, matrix in found.items():
        assert matrix.shape == expected[name].shape
        assert matrix.dtype == expected[name].dtype
        assert np.array_equal(matrix, expected[name])


def test_the_other_byte_order(tmp_path):
    def element(kind, data):
        return struct.pack(">II", kind, len(data)) + data + bytes(-len(data) % 8)

    values = np.array([[1.5, 2.5, -3.0], [4.0, 5.0, 6.0]])
    parts = [(6, struct.pack(">II", 6, 0)), (5, struct.pack(">ii", 2, 3)), (1, b"long_name")]
    parts.append((9, values.astype(">f8").tobytes(order="F")))
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI"
    (tmp_path / "toy.mat").write_bytes(header + element(14, b"".join(element(*part) for part in parts)))
    assert np.array_equal(read_mat(tmp_path / "toy.mat", lambda *_: ["long_name"])["long_name"], values)
    assert np.array_equal(loadmat(tmp_path / "toy.mat")["long_name"], values)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"F": np.eye(4)}, "lacks the variable.* y"),
        ({"f": np.eye(4), "y": np.arange(4)}, "lacks the variable.* x; it has f, y"),
        ({"F": np.eye(4), "y": np.arange(5)}, "4 inputs need as many answers"),
        ({"F": np.ones((4, 2, 2, 2, 2)), "y": np.arange(4)}, r"inputs are \(n, features\)"),
        ({"F": {"a": 1}, "y": np.arange(4)}, "the variable F holds a structure"),
        ({"F": "text", "y": np.arange(4)}, "the variable F holds text"),
        ({"F": eye_array(4), "y": np.arange(4)}, "the variable F holds a sparse matrix"),
        ({"F": 1j * np.eye(4), "y": np.arange(4)}, "the variable F holds complex numbers"),
        ({"F": np.ones((0, 3)), "y": np.arange(4)}, "the variable F is empty"),
    ],
)
def test_bad_mat_variables(tmp_path, fields, message):
    with pytest.raises(ValueError, match=message) as caught:
        mat(matlab(tmp_path, **fields))
    assert "toy.mat" in str(caught.value)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("keep", [0.03, 0.3, 0.5, 0.9, 0.99])
def test_cut_mat_files(tmp_path, compressed, keep):
    fields = {"F": np.random.default_rng(0).normal(size=(200, 4)), "y": np.arange(200) % 2}
    savemat(tmp_path / "toy.mat", fields, do_compression=compressed)
    content = (tmp_path / "toy.mat").read_bytes()
    (tmp_path / "toy.mat").write_bytes(content[: int(keep * len(content))])
    with pytest.raises(ValueError, match=r"toy\.mat.* (is cut short|is not a MATLAB file|has no variable)"):
        mat(tmp_path / "toy.mat")


def test_not_a_mat_file(tmp_path):
    path = tmp_path / "toy.mat"
    path.write_text("hello " * 100)
    with pytest.raises(ValueError, match="is not a MATLAB file of version 4, 5 or 7"):
        mat(path)
    header = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    path.write_bytes(header + bytes(500))
    with pytest.raises(ValueError, match=r"is cut short or damaged: the library"):
        mat(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="is empty"):
        mat(path)
