"""Data sets from binary files: IDX pairs, NPZ, Parquet, MATLAB.

Bytes that are images (IDX files; NPZ arrays of type uint8 with three or four dimensions) are scaled from [0, 255] to
[0, 1]; every other number is taken as it stands. Images are standardised by one mean and deviation whatever the file,
tables by feature.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

import numpy as np

from ntkinfo.core import checks
from ntkinfo.core.records import Dataset
from ntkinfo.data import idx_format, mat_format, npz_format, tables
from ntkinfo.data.input_files import FilePath
from ntkinfo.data.preparation import Preparation, PreparationOptions, prepare
from ntkinfo.data.sources import FILE_DEFAULTS, columns_of, from_table, origin_of, source_of, sources_of

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


def npz(
    path: FilePath,
    n_train: int | None = None,
    n_test: int | None = None,
    seed: int = 0,
    **preparation: Unpack[PreparationOptions],
) -> Dataset:
    """An NPZ file with the fields x_train, y_train, x_test, y_test, or x and y; never unpickled.

    Args:
        path: the file. Inputs are (n, d), (n, height, width) or (n, height, width, channels); answers are (n,) classes
            (whole numbers or text), or real (n,) or (n, C) with `targets="regression"`.
        n_train: training inputs; None takes all, or what `n_test` leaves.
        n_test: test inputs; None takes all, or what `n_train` leaves (both None: four fifths and one fifth of x).
        seed: fixes the draw and the noise.
        **preparation: fields of Preparation; default `targets="one-hot"`.

    Returns:
        The data.

    Raises:
        FileNotFoundError: the file is not there.
        ValueError: missing fields, pickled or damaged arrays, shapes that do not fit, NaN or infinity.
    """
    settings = FILE_DEFAULTS.updated(preparation)
    fields = npz_format.read_npz(path)
    origin = origin_of("NPZ", [Path(path).name])
    if "x_train" not in fields:
        x = _npz_inputs(fields, "x", "y", path)
        return prepare(source_of(x, fields["y"], path, settings, origin, "y"), n_train, n_test, seed, settings)
    train = _npz_inputs(fields, "x_train", "y_train", path), fields["y_train"]
    test = _npz_inputs(fields, "x_test", "y_test", path), fields["y_test"]
    if train[0].shape[1:] != test[0].shape[1:] or train[0].dtype != test[0].dtype:
        raise ValueError(
            f"{path}: x_train holds inputs of shape {train[0].shape[1:]} and type {train[0].dtype}, "
            f"x_test of {test[0].shape[1:]} and {test[0].dtype}; both parts must be alike"
        )
    parts = sources_of(train, test, settings, origin, path)
    return prepare(parts[0], n_train, n_test, seed, settings, parts[1])


def parquet(
    path: FilePath,
    target: str | Sequence[str],
    features: Sequence[str] = (),
    n_train: int | None = None,
    n_test: int | None = None,
    seed: int = 0,
    **preparation: Unpack[PreparationOptions],
) -> Dataset:
    """A Parquet file.

    Args:
        path: the file.
        target: the column with the answers; for regression also several.
        features: the columns with the inputs; empty takes every column that is not a target.
        n_train: training inputs; None takes what `n_test` leaves.
        n_test: test inputs; None takes what `n_train` leaves (both None: four fifths and one fifth).
        seed: fixes the split and the noise.
        **preparation: fields of Preparation; default `targets="one-hot"`.

    Returns:
        The data.

    Raises:
        FileNotFoundError: the file is not there.
        ValueError: not a Parquet file, missing columns, columns that are not numbers, missing values, no rows.
    """
    settings = FILE_DEFAULTS.updated(preparation)
    table = tables.read_parquet(path, columns_of(target), features, settings.targets == "regression")
    return from_table(table, path, columns_of(target), (n_train, n_test), seed, settings)


def mat(
    path: FilePath,
    n_train: int | None = None,
    n_test: int | None = None,
    seed: int = 0,
    inputs: str = "F",
    answers: str = "y",
    **preparation: Unpack[PreparationOptions],
) -> Dataset:
    """A MATLAB file of version 5, such as `var_u.mat` of the 12-bit rule.

    Args:
        path: the file.
        n_train: training inputs; None takes what `n_test` leaves.
        n_test: test inputs; None takes what `n_train` leaves (both None: four fifths and one fifth).
        seed: fixes the split and the noise.
        inputs: the variable with the inputs, (n, d).
        answers: the variable with the answers, (1, n) or (n, 1), or (n, C) for regression.
        **preparation: fields of Preparation; default `targets="one-hot"`.

    Returns:
        The data.

    Raises:
        FileNotFoundError: the file is not there.
        ValueError: not a MATLAB file of version 5, missing variables, shapes that do not fit.
    """
    settings = FILE_DEFAULTS.updated(preparation)
    matrices = mat_format.read_mat(path, (inputs, answers))
    x, y = matrices[inputs], matrices[answers]
    if x.ndim != 2:
        raise ValueError(f"{path}: the variable {inputs} has shape {x.shape}; it must be (inputs, features)")
    y = y.ravel() if 1 in y.shape else y
    if len(x) != len(y):
        raise ValueError(
            f"{path}: {inputs} has shape {x.shape} and {answers} {matrices[answers].shape}; "
            f"{len(x)} inputs need as many answers"
        )
    origin = origin_of("MATLAB", [Path(path).name])
    return prepare(source_of(x, y, path, settings, origin, answers), n_train, n_test, seed, settings)


def _idx_pair(image_file: FilePath, label_file: FilePath) -> tuple[np.ndarray, np.ndarray]:
    images = idx_format.read_idx(image_file, idx_format.IMAGES)
    labels = idx_format.read_idx(label_file, idx_format.LABELS)
    if len(images) != len(labels):
        raise ValueError(
            f"{image_file} holds {len(images)} images and {label_file} {len(labels)} labels; "
            "they must be as many: are both files from the same part?"
        )
    return images, labels


def _npz_inputs(fields: dict[str, np.ndarray], x_name: str, y_name: str, path: FilePath) -> np.ndarray:
    x, y = fields[x_name], fields[y_name]
    if x.dtype.kind == "U":
        raise ValueError(f"{path}: the field {x_name} holds text; inputs must be real numbers")
    if x.ndim not in (2, 3, 4) or x.size == 0:
        raise ValueError(
            f"{path}: the field {x_name} has shape {x.shape}; inputs are (n, features), (n, height, width) or "
            "(n, height, width, channels), and not empty"
        )
    if y.ndim == 0 or len(x) != len(y):
        raise ValueError(f"{path}: {x_name} has shape {x.shape} and {y_name} {y.shape}; they must be as many")
    checks.finite(f"{path}: the field {x_name}", x)
    return x
