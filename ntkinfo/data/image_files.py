"""Data sets from files of images: IDX pairs, CIFAR's binary version.

Bytes are scaled from [0, 255] to [0, 1]. Images are standardised by one mean and deviation whatever the file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Unpack

import numpy as np

from ntkinfo.core.records import Dataset
from ntkinfo.data import idx_format
from ntkinfo.data.cifar_format import cifar_files, read_cifar
from ntkinfo.data.input_files import FilePath
from ntkinfo.data.preparation import Preparation, PreparationOptions, prepare
from ntkinfo.data.sources import origin_of, source_of, sources_of, taken

IDX_DEFAULTS = Preparation(standardise_by="all")


def idx(
    image_file: FilePath,
    label_file: FilePath,
    test_image_file: FilePath | None = None,
    test_label_file: FilePath | None = None,
    n_train: int | None = None,
    n_test: int | None = None,
    seed: int = 0,
    **preparation: Unpack[PreparationOptions],
) -> Dataset:
    """MNIST, Fashion-MNIST and their kind: IDX files, plain or gzip.

    Args:
        image_file: images; of the training part, or of both parts where no test files are given.
        label_file: their labels.
        test_image_file: images of the test part.
        test_label_file: their labels; with `test_image_file` or not at all.
        n_train: training inputs, drawn with the classes' proportions; None takes all, or what `n_test` leaves.
        n_test: test inputs; None takes all, or what `n_train` leaves (both None: four fifths and one fifth).
        seed: fixes the draw and the noise.
        **preparation: fields of Preparation; defaults `targets="one-hot"`, `standardise_by="all"`.

    Returns:
        The data, inputs flat or (n, height, width, 1) with `images=True`.

    Raises:
        FileNotFoundError: a file that is not there.
        ValueError: damaged, cut short or exchanged files, images and labels that differ in number, sizes that do
            not fit.
    """
    settings = IDX_DEFAULTS.updated(preparation)
    if (test_image_file is None) != (test_label_file is None):
        raise ValueError("test_image_file and test_label_file go together: give both, or neither")
    images, labels = _idx_pair(image_file, label_file)
    names = [Path(image_file).name, Path(label_file).name]
    if test_image_file is None or test_label_file is None:
        source = source_of(images, labels, None, settings, origin_of("IDX", names))
        return prepare(source, n_train, n_test, seed, settings)
    test_images, test_labels = _idx_pair(test_image_file, test_label_file)
    if images.shape[1:] != test_images.shape[1:]:
        raise ValueError(
            f"{image_file} holds images of {images.shape[1:3]} pixels and {test_image_file} of {test_images.shape[1:3]}"
        )
    origin = origin_of("IDX", [*names, Path(test_image_file).name, Path(test_label_file).name])
    parts = sources_of((images, labels), (test_images, test_labels), settings, origin)
    return prepare(parts[0], n_train, n_test, seed, settings, parts[1])


@dataclass(frozen=True)
class CifarReading:
    """Options of `cifar` besides the preparation.

    Args:
        test_path: file of the test part; None: found in the folder, or drawn from the pool.
        coarse: CIFAR-100: the 20 coarse classes instead of the 100 fine ones.
    """

    test_path: FilePath | None = None
    coarse: bool = False


class CifarOptions(PreparationOptions, total=False):
    """The keyword arguments of `cifar`: those of CifarReading and of Preparation."""

    test_path: FilePath | None
    coarse: bool


def cifar(
    path: FilePath,
    n_train: int | None = None,
    n_test: int | None = None,
    seed: int = 0,
    **options: Unpack[CifarOptions],
) -> Dataset:
    """CIFAR-10 or CIFAR-100, the binary version: the folder that the archive unpacks to, or one of its files.

    Args:
        path: the folder, with data_batch_1.bin and so on or train.bin; or a file, which is then one pool.
        n_train: training inputs, drawn with the classes' proportions; None takes all, or what `n_test` leaves.
        n_test: test inputs; None takes all, or what `n_train` leaves (both None, without a test part: four fifths and
            one fifth).
        seed: fixes the draw and the noise.
        **options: fields of CifarReading and of Preparation; defaults `targets="one-hot"`, `standardise_by="all"`.

    Returns:
        The data, inputs flat or (n, 32, 32, 3) with `images=True`, classes named as in batches.meta.txt.

    Raises:
        FileNotFoundError: a file that is not there.
        ValueError: the pickled Python version, packed, damaged or cut files, sizes that do not fit.
    """
    reading, settings = taken(options, CifarReading(), IDX_DEFAULTS)
    settings = replace(settings, channels="last")  # read_cifar puts them there, whatever the caller says of the file
    train_files, test_files = cifar_files(path)
    if reading.test_path is not None:
        test_files = cifar_files(reading.test_path)[0]
    train = read_cifar(train_files, reading.coarse)
    origin = origin_of("CIFAR", [file.name for file in (*train_files, *test_files)])
    pair, names = (train.images, train.labels), train.class_names
    if not test_files:
        source = source_of(*pair, path, settings, origin, "labels", names)
        origin["channels"] = "first in the file"
        return prepare(source, n_train, n_test, seed, settings)
    test = read_cifar(test_files, reading.coarse)
    if test.class_names != names:
        raise ValueError(f"{path}: the test part has other classes than the training part")
    parts = sources_of(pair, (test.images, test.labels), settings, origin, path, names)
    origin["channels"] = "first in the file"
    return prepare(parts[0], n_train, n_test, seed, settings, parts[1])


def _idx_pair(image_file: FilePath, label_file: FilePath) -> tuple[np.ndarray, np.ndarray]:
    images = idx_format.read_idx(image_file, idx_format.IMAGES)
    labels = idx_format.read_idx(label_file, idx_format.LABELS)
    if len(images) != len(labels):
        raise ValueError(
            f"{image_file} holds {len(images)} images and {label_file} {len(labels)} labels; "
            "they must be as many: are both files from the same part?"
        )
    return images, labels
