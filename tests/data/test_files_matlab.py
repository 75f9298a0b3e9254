"""MATLAB 4 and 7.3, which are read in a process of their own."""

import h5py
import numpy as np
import pytest
from scipy.io import savemat
from scipy.sparse import eye_array

from ntkinfo.data import mat, mat_process
from ntkinfo.data.mat_format import read_mat
from tests.data.written_files import write_matlab_73

N = 20
GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(N, 3))
Y = np.arange(N) % 3
WORDS = ["no", "maybe", "größer"]
PLAIN = {"standardise": False}


def same(data, names=("0", "1", "2")):
    label = {tuple(row): names[k] for row, k in zip(X, Y, strict=True)}
    return [label[tuple(row)] for row in data.x_train] == [data.class_names[k] for k in data.labels_train]


def test_version_4(tmp_path):
    path = tmp_path / "a.mat"
    savemat(path, {"X": X, "y": Y.astype(float), "text": "abc", "S": eye_array(4).tocoo(), "z": 1j * X}, format="4")
    assert same(mat(path, **PLAIN))
    np.testing.assert_array_equal(read_mat(path, lambda *_: ["X"])["X"], X)
    for name, message in (("S", "a sparse matrix"), ("z", "complex numbers")):
        with pytest.raises(ValueError, match=rf"the variable {name} holds {message}"):
            mat(path, inputs=name, answers="y")


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.uint8, np.int16, bool])
@pytest.mark.parametrize("shape", [(N, 3), (3, 4, N), (3, 4, 2, N)])
def test_arrays_of_version_7_3(tmp_path, kind, shape):
    x = (GENERATOR.normal(size=shape) * 9).astype(kind)
    path = write_matlab_73(tmp_path / "a.mat", {"X": x, "y": Y}, compression="gzip")
    found = read_mat(path, lambda *_: ["X", "y"])
    np.testing.assert_array_equal(found["X"], x)
    np.testing.assert_array_equal(found["y"], Y[:, None])


def test_version_7_3_with_text_and_others(tmp_path):
    path = write_matlab_73(tmp_path / "a.mat", {"X": X, "y": [WORDS[k] for k in Y], "note": "about"})
    with h5py.File(path, "a") as file:
        file.create_group("s")
        file["object"] = np.zeros((1, 6), dtype=np.uint32)
        file["object"].attrs["MATLAB_object_decode"] = np.int32(3)
        file["elsewhere"] = h5py.ExternalLink("other.mat", "X")
    assert same(mat(path, **PLAIN), WORDS)
    for name, message in (
        ("s", "a structure"),
        ("object", "a string, table"),
        ("elsewhere", "a link to another place"),
    ):
        with pytest.raises(ValueError, match=rf"the variable {name} holds {message}"):
            mat(path, inputs=name, answers="y")
    with pytest.raises(ValueError, match="has no variable 'labels'"):
        mat(path, inputs="X", answers="labels")


def test_digits_of_version_7_3(tmp_path):
    images = GENERATOR.integers(0, 256, (4, 5, 3, N), dtype=np.uint8)
    path = write_matlab_73(tmp_path / "train_32x32.mat", {"X": images, "y": np.arange(N) % 10 + 1})
    data = mat(path, images=True, n_train=10, n_test=10, **PLAIN)
    assert data.x_train.shape == (10, 4, 5, 3)
    label = {images[..., k].tobytes(): str(k % 10 + 1) for k in range(N)}
    found = [label[np.round(image * 255).astype(np.uint8).tobytes()] for image in data.x_train]
    assert found == [data.class_names[k] for k in data.labels_train]


def test_more_than_a_file_can_hold_is_refused_before_it_is_read(tmp_path):
    path = write_matlab_73(tmp_path / "a.mat", {"y": Y})
    with h5py.File(path, "a") as file:
        file.create_dataset("X", shape=(10**6, N), dtype="f8", chunks=(1000, N))
    with pytest.raises(ValueError, match="the variable X holds 160000000 bytes by its header in a file of"):
        mat(path)


def test_cut_files_of_version_7_3(tmp_path):
    path = write_matlab_73(tmp_path / "a.mat", {"X": X, "y": Y})
    content = path.read_bytes()
    for keep in (130, 600, len(content) - 100):
        path.write_bytes(content[:keep])
        with pytest.raises(ValueError, match=r"a\.mat is cut short or damaged"):
            mat(path)


@pytest.mark.parametrize("fault", ["import os; os.kill(os.getpid(), 11)", "import time; time.sleep(60)", "print('{')"])
def test_a_process_that_ends_or_hangs_is_damage(tmp_path, monkeypatch, fault):
    script = tmp_path / "child.py"
    script.write_text(fault)
    path = write_matlab_73(tmp_path / "a.mat", {"X": X, "y": Y})
    monkeypatch.setattr(mat_process, "_CHILD", script)
    monkeypatch.setattr(mat_process, "_SECONDS", 1.0)
    with pytest.raises(ValueError, match=r"a\.mat is cut short or damaged: the library that reads it gave up"):
        mat(path)


def test_plain_hdf5_is_named(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = X
    with pytest.raises(ValueError, match="is an HDF5 file without MATLAB's header"):
        mat(tmp_path / "a.h5")
