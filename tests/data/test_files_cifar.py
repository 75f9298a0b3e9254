import pickle

import numpy as np
import pytest

from ntkinfo.data import cifar
from tests.data.written_files import write_cifar

N = 8
IMAGES = np.random.default_rng(0).integers(0, 256, (3 * N, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(3 * N) % 4
NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
AS_THEY_ARE = {"standardise": False, "images": True}


def cifar_10(folder, names=True):
    for k in (0, 1):
        write_cifar(folder / f"data_batch_{k + 1}.bin", IMAGES[k * N : (k + 1) * N], LABELS[k * N : (k + 1) * N])
    write_cifar(folder / "test_batch.bin", IMAGES[2 * N :], LABELS[2 * N :])
    if names:
        (folder / "batches.meta.txt").write_text("\n".join(NAMES) + "\n\n")
    return folder


def read_right(data, labels, names):
    known = {image.tobytes(): names[k] for image, k in zip(IMAGES, labels, strict=True)}
    for x, numbers in ((data.x_train, data.labels_train), (data.x_test, data.labels_test)):
        found = [known[np.round(image * 255).astype(np.uint8).tobytes()] for image in x]
        assert found == [data.class_names[k] for k in numbers]
    return True


@pytest.mark.parametrize("inner", ["", "cifar-10-batches-bin"])
@pytest.mark.parametrize("channels", ["auto", "first", "last"])
def test_the_folder_of_cifar_10(tmp_path, inner, channels):
    cifar_10(tmp_path / inner)
    data = cifar(tmp_path, channels=channels, **AS_THEY_ARE)
    assert read_right(data, LABELS, NAMES)
    assert data.class_names == tuple(NAMES[:4])
    assert {image.tobytes() for image in np.round(data.x_test * 255).astype(np.uint8)} == {
        image.tobytes() for image in IMAGES[2 * N :]
    }
    assert len(data.x_train) == 2 * N
    assert data.provenance["channels"] == "first in the file"


def test_single_files_and_files_without_names(tmp_path):
    cifar_10(tmp_path, names=False)
    one = cifar(tmp_path / "data_batch_1.bin", **AS_THEY_ARE)
    assert read_right(one, LABELS, list(map(str, range(10))))
    assert len(one.x_train) + len(one.x_test) == N
    both = cifar(tmp_path / "data_batch_1.bin", test_path=tmp_path / "test_batch.bin", n_test=4, **AS_THEY_ARE)
    assert (len(both.x_train), len(both.x_test)) == (N, 4)


def test_cifar_100(tmp_path):
    fine = LABELS * 30
    for name, some in (("train.bin", slice(0, 2 * N)), ("test.bin", slice(2 * N, None))):
        write_cifar(tmp_path / name, IMAGES[some], LABELS[some] % 2, fine[some])
    (tmp_path / "fine_label_names.txt").write_text("\n".join(f"fine{k}" for k in range(100)))
    (tmp_path / "coarse_label_names.txt").write_text("\n".join(f"coarse{k}" for k in range(20)))
    assert read_right(cifar(tmp_path, **AS_THEY_ARE), fine, [f"fine{k}" for k in range(100)])
    data = cifar(tmp_path, coarse=True, **AS_THEY_ARE)
    assert read_right(data, LABELS % 2, [f"coarse{k}" for k in range(20)])
    assert data.class_names == ("coarse0", "coarse1")


def test_refusals_by_name(tmp_path):
    folder = cifar_10(tmp_path / "ten")
    with pytest.raises(ValueError, match="which has no coarse classes"):
        cifar(folder, coarse=True)
    path = folder / "data_batch_1.bin"
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    with pytest.raises(ValueError, match=r"data_batch_1\.bin has 24484 bytes, which are no whole records"):
        cifar(folder)
    path.write_bytes(bytes([77]) + content[1:])
    with pytest.raises(ValueError, match="image 0 has the class 77, and there are 10"):
        cifar(folder)
    path.unlink()
    with pytest.raises(ValueError, match=r"lacks data_batch_1\.bin"):
        cifar(folder)
    python = tmp_path / "cifar-10-batches-py"
    python.mkdir()
    (python / "data_batch_1").write_bytes(pickle.dumps({b"data": [1]}))
    for place in (python, python / "data_batch_1"):
        with pytest.raises(ValueError, match=r"data_batch_1 is of the Python version .* use the binary version"):
            cifar(place)
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(b"\x1f\x8b" + bytes(100))
    with pytest.raises(ValueError, match="is packed; unpack it"):
        cifar(tmp_path / "cifar-10-binary.tar.gz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds neither data_batch_1"):
        cifar(tmp_path / "empty")
