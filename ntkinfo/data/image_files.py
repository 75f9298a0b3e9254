"""Data sets from files of images: IDX pairs.

Bytes are scaled from [0, 255] to [0, 1]. Images are standardised by one mean and deviation whatever the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

import numpy as np

from ntkinfo.core.records import Dataset
from ntkinfo.data import idx_format
from ntkinfo.data.input_files import FilePath
from ntkinfo.data.preparation import Preparation, PreparationOptions, prepare
from ntkinfo.data.sources import origin_of, source_of, sources_of

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


def _idx_pair(image_file: FilePath, label_file: FilePath) -> tuple[np.ndarray, np.ndarray]:
    images = idx_format.read_idx(image_file, idx_format.IMAGES)
    labels = idx_format.read_idx(label_file, idx_format.LABELS)
    if len(images) != len(labels):
        raise ValueError(
            f"{image_file} holds {len(images)} images and {label_file} {len(labels)} labels; "
            "they must be as many: are both files from the same part?"
        )
    return images, labels
