"""Binary files of the matrix: NPZ, MATLAB, Parquet, CIFAR, IDX."""

from __future__ import annotations

import gzip
import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import parquet as pq
from scipy.io import savemat

from tests.data.file_matrix import Case, Expected
from tests.data.written_files import write_cifar, write_matlab_73

_N, _TEST = 20, 8
_RANDOM = np.random.default_rng(1)
X = _RANDOM.normal(size=(_N, 2))
NUMBERS = np.array([(10, 9)[k % 2] for k in range(_N)])
DIGITS = np.arange(_N) % 3
WORDS = np.array([("pear", "apple", "fig")[k] for k in DIGITS])
SHADES = _RANDOM.integers(0, 256, (_N, 5, 4), dtype=np.uint8)
COLOURS = _RANDOM.integers(0, 256, (_N, 5, 4, 3), dtype=np.uint8)
SQUARES = _RANDOM.integers(0, 256, (_N, 32, 32, 3), dtype=np.uint8)
ANIMALS = ("zebra", "ant", "monkey")

BY_DIGIT = Expected(X, [str(k) for k in DIGITS], ("0", "1", "2"))
BY_NUMBER = Expected(X, [str(k) for k in NUMBERS], ("9", "10"))
BY_WORD = Expected(X, list(WORDS), ("apple", "fig", "pear"))
PARTED = Expected(X, BY_DIGIT.answers, BY_DIGIT.classes, test=_TEST)
SHADED = Expected(SHADES[..., None] / 255, BY_DIGIT.answers, BY_DIGIT.classes)
COLOURED = Expected(COLOURS / 255, BY_DIGIT.answers, BY_DIGIT.classes)
NAMED_SHADES = Expected(SHADES[..., None] / 255, [ANIMALS[k] for k in DIGITS], ANIMALS)
NAMED_COLOURS = Expected(COLOURS / 255, NAMED_SHADES.answers, ANIMALS)
AS_IMAGES = {"images": True}


def in_parts(x, y, names=("x_train", "y_train", "x_test", "y_test")):
    """The four arrays of a training and a test part, by name."""
    cut = _N - _TEST
    return dict(zip(names, (x[:cut], y[:cut], x[cut:], y[cut:]), strict=True))


def npz(*unnamed, packed=False, reads=None, **fields):
    """A file by numpy.savez or savez_compressed."""

    def make(folder: Path) -> dict[str, Any]:
        (np.savez_compressed if packed else np.savez)(folder / "my.npz", *unnamed, **fields)
        return {"data": "npz", "path": folder / "my.npz", **(reads or {})}

    return make


def npy(kind):
    """NPY files, named one by one or by their folder."""

    def make(folder: Path) -> dict[str, Any]:
        folder = folder / "arrays"
        folder.mkdir()
        for name, array in in_parts(X, DIGITS).items():
            np.save(folder / f"{name}.npy", array)
        if kind == "npz":
            return {"data": "npz", "path": folder}
        files = {key: folder / f"{key.removesuffix('_file')}.npy" for key in ("x_test_file", "y_test_file")}
        return {"data": "npy", "x_file": folder / "x_train.npy", "y_file": folder / "y_train.npy", **files}

    return make


def mat(reads=None, version="5", packed=False, **fields):
    """A file by scipy.io.savemat, or in the layout of MATLAB 7.3."""

    def make(folder: Path) -> dict[str, Any]:
        path = folder / "my.mat"
        if version == "7.3":
            write_matlab_73(path, fields, compression="gzip")
        else:
            savemat(path, fields, format=version, do_compression=packed)
        return {"data": "mat", "path": path, **(reads or {})}

    return make


def svhn(version):
    """Images along the last axis and labels from 1, as the cropped digits of SVHN."""
    images = np.moveaxis(SQUARES, 0, 3)
    return mat(AS_IMAGES, version, packed=version == "5", X=images, y=(np.arange(_N)[:, None] % 10 + 1))


def cells(words):
    """A cell array of text as scipy writes it."""
    return np.array([[word] for word in words], dtype=object)


def image(pixels, kind):
    """An image as Hugging Face's `datasets` keeps it."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return {"bytes": stream.getvalue(), "path": "0"}


def hugging_face(pixels, kind="PNG", labels=DIGITS, rows=slice(None), **others):
    """A table in the layout of `datasets`: image, label, and the classes' names in the schema."""
    files = [image(one, kind) for one in pixels[rows]]
    column = pa.array(files, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    features = {"image": {"_type": "Image"}, "label": {"names": list(ANIMALS), "_type": "ClassLabel"}}
    table = pa.table({"image": column, "label": labels[rows], **others})
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def parquet(table, reads=None, **options):
    """A file by pyarrow."""

    def make(folder: Path) -> dict[str, Any]:
        pq.write_table(table() if callable(table) else table, folder / "my.parquet", **options)
        return {"data": "parquet", "path": folder / "my.parquet", **(reads or {})}

    return make


def shards(folder: Path, missing=False) -> dict[str, Any]:
    """A folder of a training part in two shards, and a test part."""
    folder, cut = folder / "data", _N - _TEST
    folder.mkdir()
    for name, rows in (
        ("train-00000-of-00002", slice(0, 7)),
        ("train-00001-of-00002", slice(7, cut)),
        ("test-00000-of-00001", slice(cut, None)),
    ):
        if not (missing and name.startswith("train-00001")):
            pq.write_table(hugging_face(SHADES, rows=rows), folder / f"{name}.parquet")
    return {"data": "parquet", "path": folder, **AS_IMAGES}


def cifar_10(folder: Path) -> dict[str, Any]:
    """The folder of the binary version, with fewer images."""
    inside, cut = folder / "cifar-10-batches-bin", _N - _TEST
    write_cifar(inside / "data_batch_1.bin", SQUARES[:6], DIGITS[:6])
    write_cifar(inside / "data_batch_2.bin", SQUARES[6:cut], DIGITS[6:cut])
    write_cifar(inside / "test_batch.bin", SQUARES[cut:], DIGITS[cut:])
    (inside / "batches.meta.txt").write_text("\n".join([*ANIMALS, *"abcdefg", ""]))
    return {"data": "cifar", "path": inside, **AS_IMAGES}


def cifar_100(folder: Path) -> dict[str, Any]:
    """One file of the binary version of CIFAR-100."""
    return {"data": "cifar", "path": write_cifar(folder / "train.bin", SQUARES, DIGITS % 2, DIGITS), **AS_IMAGES}


def cifar_python(folder: Path) -> dict[str, Any]:
    """A batch of the pickled version."""
    (folder / "data_batch_1").write_bytes(pickle.dumps({b"labels": [0]}))
    return {"data": "cifar", "path": folder / "data_batch_1"}


def idx(folder: Path) -> dict[str, Any]:
    """Images and labels as MNIST's, packed with gzip."""
    sizes = b"".join(k.to_bytes(4, "big") for k in SHADES.shape)
    contents = {
        "train-images-idx3-ubyte.gz": bytes([0, 0, 8, 3]) + sizes + SHADES.tobytes(),
        "train-labels-idx1-ubyte.gz": bytes([0, 0, 8, 1]) + sizes[:4] + DIGITS.astype(np.uint8).tobytes(),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(gzip.compress(content, mtime=0))
    files = [folder / name for name in contents]
    return {"data": "idx", "image_file": files[0], "label_file": files[1], **AS_IMAGES}


def ordered():
    """A table with a categorical whose order is declared, as pandas writes one with ordered=True."""
    kinds = pa.DictionaryArray.from_arrays(DIGITS.astype(np.int8), ["low", "high", "extreme"], ordered=True)
    return pa.table({"a": X[:, 0], "b": X[:, 1], "kind": kinds})


_TABLE = {"a": X[:, 0], "b": X[:, 1]}
_BY_KIND = {"target": "kind"}
CASES: list[Case] = [
    Case("NPZ, x and y", "numpy.savez", npz(x=X, y=NUMBERS), BY_NUMBER),
    Case("NPZ packed, classes as text", "numpy.savez_compressed", npz(packed=True, x=X, y=WORDS), BY_WORD),
    Case("NPZ, arr_0 and arr_1", "numpy.savez", npz(X, DIGITS), BY_DIGIT),
    Case(
        "NPZ, arr_0 to arr_3",
        "numpy.savez",
        npz(*in_parts(X, DIGITS).values()),
        "others named with x_field and y_field",
    ),
    Case(
        "NPZ, arr_0 to arr_3, said",
        "numpy.savez",
        npz(
            *in_parts(X, DIGITS).values(),
            reads={"x_field": "arr_0", "y_field": "arr_1", "x_test_field": "arr_2", "y_test_field": "arr_3"},
        ),
        PARTED,
    ),
    Case("NPZ, x_train to y_test", "Keras (mnist.npz)", npz(**in_parts(X, DIGITS)), PARTED),
    Case("NPZ, images of bytes, labels (n, 1)", "Keras", npz(x=COLOURS, y=DIGITS[:, None], reads=AS_IMAGES), COLOURED),
    Case("NPZ, one-hot labels", "Keras to_categorical", npz(x=X, y=np.eye(3, dtype=np.float32)[DIGITS]), BY_DIGIT),
    Case(
        "NPZ, train_images to test_labels",
        "MedMNIST",
        npz(
            val_images=SHADES[:2],
            val_labels=DIGITS[:2, None],
            **in_parts(SHADES, DIGITS[:, None], ("train_images", "train_labels", "test_images", "test_labels")),
        ),
        Expected(SHADES / 255, BY_DIGIT.answers, BY_DIGIT.classes, test=_TEST),
    ),
    Case("NPZ, images and labels", "numpy.savez", npz(images=SHADES, labels=DIGITS, reads=AS_IMAGES), SHADED),
    Case(
        "NPZ, images with channels first",
        "PyTorch",
        npz(x=np.moveaxis(COLOURS, 3, 1), y=DIGITS, reads=AS_IMAGES),
        COLOURED,
    ),
    Case(
        "NPZ, fields of any name",
        "numpy.savez",
        npz(pixels=X, coarse=DIGITS // 2, fine=DIGITS, reads={"x_field": "pixels", "y_field": "fine"}),
        BY_DIGIT,
    ),
    Case("NPZ, other names", "numpy.savez", npz(pixels=X, fine=DIGITS), "lacks the field(s) x, y; it has pixels, fine"),
    Case("NPZ, objects", "numpy.savez", npz(x=X, y=WORDS.astype(object)), "is a pickled object array"),
    Case(
        "NPZ, real answers",
        "numpy.savez",
        npz(x=X, y=X.sum(axis=1), reads={"targets": "regression"}),
        Expected(X, X.sum(axis=1, keepdims=True)),
    ),
    Case("NPY files in a folder", "numpy.save", npy("npz"), PARTED),
    Case("NPY files one by one", "numpy.save", npy("npy"), PARTED),
    Case("MATLAB 5", "scipy", mat(F=X, y=DIGITS), BY_DIGIT),
    Case(
        "MATLAB 5 packed, other variables beside",
        "scipy",
        mat(packed=True, X=X, y=DIGITS[:, None], s={"a": 1.0}, c=cells(WORDS), note="text"),
        BY_DIGIT,
    ),
    Case("MATLAB 5, a cell array of text", "scipy", mat(X=X, y=cells(WORDS)), BY_WORD),
    Case("MATLAB 5, fea and gnd", "scipy", mat(fea=X, gnd=DIGITS[:, None]), BY_DIGIT),
    Case("MATLAB 5, samples in columns", "scipy", mat(X=X.T, y=DIGITS[None, :]), BY_DIGIT),
    Case("MATLAB 5, training and test part", "scipy", mat(**in_parts(X, DIGITS, ("Xtr", "ytr", "Xte", "yte"))), PARTED),
    Case("MATLAB 5, images (height, width, n)", "scipy", mat(AS_IMAGES, X=np.moveaxis(SHADES, 0, 2), y=DIGITS), SHADED),
    Case(
        "MATLAB 5, digits as in SVHN",
        "scipy",
        svhn("5"),
        Expected(SQUARES / 255, [str(k % 10 + 1) for k in range(_N)], tuple(map(str, range(1, 11)))),
    ),
    Case(
        "MATLAB 7.3, digits as in SVHN",
        "h5py, by the layout",
        svhn("7.3"),
        Expected(SQUARES / 255, [str(k % 10 + 1) for k in range(_N)], tuple(map(str, range(1, 11)))),
    ),
    Case(
        "MATLAB 7.3, text in cells", "h5py, by the layout", mat(version="7.3", X=X, y=list(WORDS), note="text"), BY_WORD
    ),
    Case("MATLAB 4", "scipy", mat(version="4", X=X, y=DIGITS.astype(float)), BY_DIGIT),
    Case(
        "MATLAB 5, a structure",
        "scipy",
        mat({"inputs": "s", "answers": "y"}, s={"X": X}, y=DIGITS),
        "holds a structure",
    ),
    Case(
        "CIFAR-10, binary version",
        "by the layout",
        cifar_10,
        Expected(SQUARES / 255, NAMED_SHADES.answers, ANIMALS, test=_TEST),
    ),
    Case(
        "CIFAR-100, binary version, one file",
        "by the layout",
        cifar_100,
        Expected(SQUARES / 255, BY_DIGIT.answers, BY_DIGIT.classes),
    ),
    Case("CIFAR-10, Python version", "pickle", cifar_python, "use the binary version"),
    Case("IDX packed with gzip", "by the layout", idx, SHADED),
    Case("Parquet, numbers and text", "pyarrow", parquet(pa.table({**_TABLE, "kind": WORDS}), _BY_KIND), BY_WORD),
    Case(
        "Parquet, ordered categories",
        "pyarrow, as pandas",
        parquet(ordered, _BY_KIND),
        Expected(X, [("low", "high", "extreme")[k] for k in DIGITS], ("low", "high", "extreme"), features="a b"),
    ),
    Case(
        "Parquet, pandas' index in it",
        "pyarrow, as pandas",
        parquet(pa.table({**_TABLE, "label": DIGITS, "__index_level_0__": np.arange(_N)})),
        BY_DIGIT,
    ),
    Case("Parquet, lists as vectors", "pyarrow", parquet(pa.table({"v": X.tolist(), "label": DIGITS})), BY_DIGIT),
    Case(
        "Parquet, lists of a fixed size",
        "pyarrow",
        parquet(pa.table({"v": pa.array(X.tolist(), pa.list_(pa.float64(), 2)), "label": DIGITS})),
        BY_DIGIT,
    ),
    Case(
        "Parquet, lists of different lengths",
        "pyarrow",
        parquet(pa.table({"v": [[1.0] * (k % 3 + 1) for k in range(_N)], "label": DIGITS})),
        "holds lists of different lengths",
    ),
    Case(
        "Parquet, images as PNG, classes declared",
        "Hugging Face layout",
        parquet(lambda: hugging_face(SHADES), AS_IMAGES),
        NAMED_SHADES,
    ),
    Case(
        "Parquet, images as BMP in colours, another column",
        "Hugging Face layout",
        parquet(lambda: hugging_face(COLOURS, "BMP", id=np.arange(_N)), AS_IMAGES),
        NAMED_COLOURS,
    ),
    Case(
        "Parquet, shards and parts in a folder",
        "Hugging Face layout",
        shards,
        Expected(NAMED_SHADES.inputs, NAMED_SHADES.answers, ANIMALS, test=_TEST),
    ),
    Case(
        "Parquet, a shard missing",
        "Hugging Face layout",
        lambda folder: shards(folder, True),
        "lacks 1 of the 2 shards",
    ),
    Case(
        "Parquet, inputs without a label (-1)",
        "Hugging Face layout",
        parquet(lambda: hugging_face(SHADES, labels=np.full(_N, -1))),
        "inputs without a label are marked so",
    ),
]
