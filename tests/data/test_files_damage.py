"""Random damage to files of every format ends in a Dataset or in a ValueError that names the file, never otherwise."""

import gzip
import io

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet as pq
from scipy.io import savemat
from sklearn.datasets import dump_svmlight_file

from ntkinfo.data import arff, csv, idx_format, libsvm, mat, npz, parquet

X = np.random.default_rng(0).normal(size=(30, 2))
Y = np.arange(30) % 2


def write_idx(path):
    with gzip.open(path, "wb") as stream:
        stream.write(bytes([0, 0, 8, 1, 0, 0, 0, 30]) + Y.astype(np.uint8).tobytes())


def write_images(path):
    pictures = np.random.default_rng(0).integers(0, 256, (30, 3, 3), dtype=np.uint8)
    files = [io.BytesIO() for _ in pictures]
    for picture, file in zip(pictures, files, strict=True):
        Image.fromarray(picture).save(file, "PNG")
    images = [{"bytes": file.getvalue(), "path": None} for file in files]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(pa.table({"image": pa.array(images, kind), "label": Y}), path)


FORMATS = {
    "toy.npz": (lambda path: np.savez(path, x=X, y=Y), npz),
    "packed.npz": (lambda path: np.savez_compressed(path, x=X, y=Y), npz),
    "toy.mat": (lambda path: savemat(path, {"F": X, "y": Y}), mat),
    "packed.mat": (lambda path: savemat(path, {"F": X, "y": Y}, do_compression=True), mat),
    "toy.parquet": (
        lambda path: pq.write_table(pa.table({"a": X[:, 0], "y": Y}), path),
        lambda path, **options: parquet(path, "y", **options),
    ),
    "text.mat": (lambda path: savemat(path, {"X": X, "y": np.array([["no"], ["yes"]], dtype=object)[Y]}), mat),
    "images.parquet": (write_images, parquet),
    "toy.csv": (
        lambda path: path.write_text("a,b,y\n" + "".join(f"{a},{b},{y}\n" for (a, b), y in zip(X, Y, strict=True))),
        lambda path, **options: csv(path, "y", **options),
    ),
    "toy.arff": (
        lambda path: path.write_text(
            "@relation x\n@attribute a real\n@attribute b real\n@attribute y {0, 1}\n@data\n"
            + "".join(f"{a},{b},{y}\n" for (a, b), y in zip(X, Y, strict=True))
        ),
        arff,
    ),
    "toy.libsvm": (lambda path: dump_svmlight_file(X, Y, str(path), zero_based=False), libsvm),
    "toy.csv.gz": (
        lambda path: path.write_bytes(gzip.compress(b"a,y\n" + b"".join(b"%d,%d\n" % (k, k % 2) for k in range(300)))),
        lambda path, **options: csv(path, "y", **options),
    ),
    "toy.idx": (write_idx, lambda path, **_: idx_format.read_idx(path, idx_format.LABELS)),
}


@pytest.mark.parametrize("name", FORMATS)
def test_random_damage(tmp_path, name):
    write, read = FORMATS[name]
    path = tmp_path / name
    write(path)
    content, generator = path.read_bytes(), np.random.default_rng(1)
    messages = []
    for _ in range(300):
        broken = bytearray(content)
        broken[generator.integers(len(content))] = generator.integers(256)
        path.write_bytes(bytes(broken))
        try:
            read(path, n_train=20, n_test=10, standardise=False)
        except ValueError as error:
            messages.append(str(error))
    assert len(messages) > 30
    assert [message for message in messages if path.stem not in message] == []
