import gzip
import struct

import numpy as np
import pytest

from ntkinfo.core import memory
from ntkinfo.data import idx, idx_format


def pack(values, magic=None):
    magic = {3: 2051, 1: 2049}[values.ndim] if magic is None else magic
    return struct.pack(f">I{values.ndim}I", magic, *values.shape) + values.astype(np.uint8).tobytes()


def pair(folder, n=40, seed=0, name="part", side=4, packer=lambda content: content):
    generator = np.random.default_rng(seed)
    images, labels = generator.integers(0, 256, (n, side, side)), np.arange(n) % 4
    paths = folder / f"{name}-images", folder / f"{name}-labels"
    for path, values in zip(paths, (images, labels), strict=True):
        path.write_bytes(packer(pack(values)))
    return (*paths, images, labels)


@pytest.mark.parametrize("packer", [lambda content: content, gzip.compress])
def test_one_pair_is_split(tmp_path, packer):
    images_file, labels_file, images, labels = pair(tmp_path, packer=packer)
    data = idx(images_file, labels_file, n_train=24, n_test=16, standardise=False)
    known = {tuple(image.ravel()): label for image, label in zip(images, labels, strict=True)}
    for x, found in ((data.x_train, data.labels_train), (data.x_test, data.labels_test)):
        assert [known[tuple(np.rint(255 * row).astype(int))] for row in x] == found.tolist()
        assert x.min() >= 0
        assert x.max() <= 1
    assert len(np.unique(np.concatenate([data.x_train, data.x_test]), axis=0)) == 40
    assert np.bincount(data.labels_train).tolist() == [6, 6, 6, 6]
    assert data.provenance["source"] == "IDX: part-images, part-labels"


def test_two_pairs_stay_apart(tmp_path):
    train, test = pair(tmp_path, 40, 0, "train"), pair(tmp_path, 20, 1, "test")
    data = idx(*train[:2], *test[:2], n_train=12, images=True, standardise=False)
    assert data.x_train.shape == (12, 4, 4, 1)
    assert data.x_test.shape == (20, 4, 4, 1)
    rows = {tuple(image.ravel()) for image in train[2]}
    assert all(tuple(np.rint(255 * x).astype(int).ravel()) in rows for x in data.x_train)
    assert not any(tuple(np.rint(255 * x).astype(int).ravel()) in rows for x in data.x_test)


def test_sizes_left_out_take_everything(tmp_path):
    train, test = pair(tmp_path, 40, 0, "train"), pair(tmp_path, 20, 1, "test")
    one, two = idx(*train[:2]), idx(*train[:2], *test[:2])
    assert (len(one.x_train), len(one.x_test)) == (32, 8)
    assert (len(two.x_train), len(two.x_test)) == (40, 20)


def test_pixels_are_standardised_together_by_default(tmp_path):
    data = idx(*pair(tmp_path)[:2])
    assert abs(data.x_train.mean()) < 1e-12
    assert abs(data.x_train.std() - 1) < 1e-12
    assert np.ptp(data.x_train.std(axis=0)) > 1e-2


def test_labels_other_than_counting_from_0_keep_their_names(tmp_path):
    images_file, labels_file, *_ = pair(tmp_path)
    labels_file.write_bytes(pack(np.where(np.arange(40) % 2, 8, 3)))
    data = idx(images_file, labels_file, targets="pair")
    assert data.class_names == ("3", "8")


def damage(path, how):
    path.write_bytes(how(path.read_bytes()))


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("how", "message"),
    [
        (lambda b: b[:-1], "is cut short: the header declares 40 x 4 x 4 images, 640 bytes"),
        (lambda b: b[:10], "ends within the header"),
        (lambda b: b[:3], "ends within the magic number"),
        (lambda b: b + b"0", "is damaged: the header declares"),
        (lambda b: b"\x00\x00\x0d\x03" + b[4:], "starts with the magic number 3331"),
        (lambda b: b[:4] + struct.pack(">III", 0, 4, 4), "declares no data"),
        (lambda b: b[:4] + struct.pack(">III", 2**31, 2**15, 2**15), "is cut short: the header declares 2147483648"),
    ],
)
def test_bad_content(tmp_path, how, message, compressed):
    images_file, labels_file, *_ = pair(tmp_path)
    damage(images_file, how)
    if compressed:
        damage(images_file, gzip.compress)
    with pytest.raises(ValueError, match=message) as caught:
        idx(images_file, labels_file)
    assert str(images_file) in str(caught.value)


@pytest.mark.parametrize(
    "how",
    [
        lambda b: b[: len(b) // 2],
        lambda b: b[:-8],
        lambda b: b[:-8] + bytes([b[-8] ^ 255]) + b[-7:],
        lambda b: b[:12] + bytes([255] * 20) + b[32:],
        lambda b: b[:2] + b"\x07" + b[3:],
    ],
    ids=["half", "no checksum", "wrong checksum", "garbage", "unknown method"],
)
def test_damaged_gzip(tmp_path, how):
    images_file, labels_file, *_ = pair(tmp_path, packer=gzip.compress)
    damage(images_file, how)
    with pytest.raises(ValueError, match="the gzip data is cut short or damaged") as caught:
        idx(images_file, labels_file)
    assert str(images_file) in str(caught.value)


def test_exchanged_files(tmp_path):
    images_file, labels_file, *_ = pair(tmp_path)
    with pytest.raises(ValueError, match=r"holds labels .* were the two files exchanged"):
        idx(labels_file, images_file)
    with pytest.raises(ValueError, match=r"holds images .* where labels"):
        idx(images_file, images_file)


def test_numbers_of_images_and_labels_must_agree(tmp_path):
    images_file, labels_file, *_ = pair(tmp_path)
    labels_file.write_bytes(pack(np.arange(39) % 4))
    with pytest.raises(ValueError, match=r"holds 40 images and .* 39 labels"):
        idx(images_file, labels_file)


def test_parts_must_have_images_of_one_size_and_the_same_classes(tmp_path):
    train, small = pair(tmp_path, 40, 0, "train"), pair(tmp_path, 20, 1, "small", side=3)
    with pytest.raises(ValueError, match=r"of \(4, 4\) pixels and .* of \(3, 3\)"):
        idx(*train[:2], *small[:2])
    other = pair(tmp_path, 20, 1, "other")
    other[1].write_bytes(pack(np.arange(20) % 5))
    with pytest.raises(ValueError, match="the class 4 is in the test part"):
        idx(*train[:2], *other[:2])


def test_one_class_and_missing_partner(tmp_path):
    images_file, labels_file, *_ = pair(tmp_path)
    with pytest.raises(ValueError, match="test_image_file and test_label_file go together"):
        idx(images_file, labels_file, images_file)
    labels_file.write_bytes(pack(np.zeros(40)))
    with pytest.raises(ValueError, match="one class only"):
        idx(images_file, labels_file)


def test_missing_empty_and_folder(tmp_path):
    images_file, labels_file, *_ = pair(tmp_path)
    with pytest.raises(FileNotFoundError, match="did you mean 'part-images'"):
        idx(tmp_path / "part-imges", labels_file)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        idx(tmp_path / "nowhere" / "part-images", labels_file)
    with pytest.raises(IsADirectoryError, match="is a folder"):
        idx(tmp_path, labels_file)
    images_file.write_bytes(b"")
    with pytest.raises(ValueError, match="is empty"):
        idx(images_file, labels_file)


def test_a_gzip_bomb_is_not_unpacked_beyond_what_it_declares(tmp_path):
    # 64 MiB of zeros behind a header that declares 16 bytes: one byte past them ends the reading.
    bomb = tmp_path / "bomb"
    with gzip.open(bomb, "wb") as stream:
        stream.write(pack(np.zeros((1, 4, 4))) + bytes(2**26))
    with pytest.raises(ValueError, match="is damaged: the header declares 1 x 4 x 4 images, 16 bytes, and more follow"):
        idx_format.read_idx(bomb, idx_format.IMAGES)


def test_more_data_than_free_memory_is_refused(tmp_path, monkeypatch):
    class Memory:
        available = 100

    monkeypatch.setattr(memory.psutil, "virtual_memory", Memory)
    with pytest.raises(ValueError, match="GiB of memory are free"):
        idx(*pair(tmp_path)[:2])


def test_mnist(shared_file):
    files = shared_file("t10k-images-idx3-ubyte.gz"), shared_file("t10k-labels-idx1-ubyte.gz")
    data = idx(*files, n_train=2000, n_test=1000)
    assert data.x_train.shape == (2000, 784)
    assert data.y_test.shape == (1000, 10)
    assert data.class_names == tuple("0123456789")
    # Counts of the digits in MNIST's test set, by its authors' files.
    counts = np.array([980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009])
    assert np.max(np.abs(np.bincount(data.labels_train) - counts / 5)) < 1
    assert np.max(np.abs(np.bincount(data.labels_test) - counts / 10)) < 1
    raw = idx(*files, n_train=6000, n_test=4000, standardise=False, images=True)
    assert raw.x_train.shape == (6000, 28, 28, 1)
    assert raw.x_train.max() == 1
    labels = np.concatenate([raw.labels_train, raw.labels_test])
    assert np.array_equal(np.bincount(labels), counts)
    pair_ = idx(*files, n_train=100, n_test=50, targets="pair", classes=(3, 8))
    assert pair_.provenance["n_pool"] == 1010 + 974
