"""Data sets from files of named arrays: NPZ and NPY, MATLAB."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Unpack

import numpy as np

from ntkinfo.core import checks
from ntkinfo.core.records import Dataset
from ntkinfo.data import mat_format, matlab_axes, npz_format
from ntkinfo.data.field_names import Fields, choose, choose_part
from ntkinfo.data.input_files import FilePath
from ntkinfo.data.preparation import Preparation, PreparationOptions, prepare
from ntkinfo.data.sources import FILE_DEFAULTS, Origin, origin_of, source_of, sources_of, taken

Part = tuple[np.ndarray, np.ndarray]

_NPZ_OPTIONS = Fields("x_field", "y_field", "x_test_field", "y_test_field")
_MAT_OPTIONS = Fields("inputs", "answers", "test_inputs", "test_answers")


@dataclass(frozen=True)
class NpzReading:
    """Options of `npz` besides the preparation.

    Args:
        x_field: field with the inputs; empty takes one whose name is usual.
        y_field: field with the answers.
        x_test_field: field with the inputs of the test part.
        y_test_field: field with its answers.
        test_path: file or folder with the test part; None: in the same file, or drawn from the pool.
    """

    x_field: str = ""
    y_field: str = ""
    x_test_field: str = ""
    y_test_field: str = ""
    test_path: FilePath | None = None


class NpzOptions(PreparationOptions, total=False):
    """The keyword arguments of `npz`: those of NpzReading and of Preparation."""

    x_field: str
    y_field: str
    x_test_field: str
    y_test_field: str
    test_path: FilePath | None


@dataclass(frozen=True)
class MatReading:
    """Options of `mat` besides the preparation.

    Args:
        inputs: variable with the inputs; empty takes one whose name is usual (F of the 12-bit rule first).
        answers: variable with the answers.
        test_inputs: variable with the inputs of the test part.
        test_answers: variable with its answers.
        test_path: file with the test part; None: in the same file, or drawn from the pool.
    """

    inputs: str = ""
    answers: str = ""
    test_inputs: str = ""
    test_answers: str = ""
    test_path: FilePath | None = None


class MatOptions(PreparationOptions, total=False):
    """The keyword arguments of `mat`: those of MatReading and of Preparation."""

    inputs: str
    answers: str
    test_inputs: str
    test_answers: str
    test_path: FilePath | None


def npz(
    path: FilePath,
    n_train: int | None = None,
    n_test: int | None = None,
    seed: int = 0,
    **options: Unpack[NpzOptions],
) -> Dataset:
    """An NPZ file, or a folder of NPY files: train and test part, or one pool; never unpickled.

    Fields are found by the names that are usual: x_train, y_train, x_test, y_test; train_images, train_labels and so
    on; x and y, images and labels, data and target, arr_0 and arr_1, whatever the capitals. Others are named by
    `x_field` and `y_field`.

    Args:
        path: the file, or a folder whose NPY files are the fields. Inputs are (n, d), (n, height, width) or (n, height,
            width, channels); answers are (n,) or (n, 1) classes (whole numbers or text) or one-hot rows, or real (n,)
            or (n, C) with `targets="regression"`.
        n_train: training inputs; None takes all, or what `n_test` leaves.
        n_test: test inputs; None takes all, or what `n_train` leaves (both None: four fifths and one fifth of x).
        seed: fixes the draw and the noise.
        **options: fields of NpzReading and of Preparation; default `targets="one-hot"`.

    Returns:
        The data.

    Raises:
        FileNotFoundError: the file is not there.
        ValueError: missing fields, pickled or damaged arrays, shapes that do not fit, NaN or infinity.
    """
    reading, settings = taken(options, NpzReading(), FILE_DEFAULTS)
    given = Fields(reading.x_field, reading.y_field, reading.x_test_field, reading.y_test_field)
    read = partial(_read, npz_format.read_npz)
    train, test, names = _parts(read, path, reading.test_path, given, "field", _NPZ_OPTIONS)
    origin = origin_of("NPZ", _files(path, reading.test_path)) | {"fields": ", ".join(names)}
    return _prepared(train, test, path, (n_train, n_test, seed), settings, origin)


def npy(
    x_file: FilePath,
    y_file: FilePath,
    x_test_file: FilePath | None = None,
    y_test_file: FilePath | None = None,
    n_train: int | None = None,
    n_test: int | None = None,
    seed: int = 0,
    **preparation: Unpack[PreparationOptions],
) -> Dataset:
    """NPY files, one for the inputs and one for the answers; never unpickled.

    Args:
        x_file: inputs as `npz` takes them; of the training part, or of both parts where no test files are given.
        y_file: their answers.
        x_test_file: inputs of the test part.
        y_test_file: their answers; with `x_test_file` or not at all.
        n_train: training inputs; None takes all, or what `n_test` leaves.
        n_test: test inputs; None takes all, or what `n_train` leaves (both None: four fifths and one fifth).
        seed: fixes the draw and the noise.
        **preparation: fields of Preparation; default `targets="one-hot"`.

    Returns:
        The data.

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: files that are damaged or pickled, shapes that do not fit, NaN or infinity.
    """
    settings = FILE_DEFAULTS.updated(preparation)
    if (x_test_file is None) != (y_test_file is None):
        raise ValueError("x_test_file and y_test_file go together: give both, or neither")
    named = [file for file in (x_file, y_file, x_test_file, y_test_file) if file is not None]
    pairs = [
        checked_part(npz_format.read_npy(x), npz_format.read_npy(y), str(x), str(y))
        for x, y in zip(named[::2], named[1::2], strict=True)
    ]
    origin = origin_of("NPY", [Path(file).name for file in named])
    return _prepared(pairs[0], pairs[1] if len(pairs) > 1 else None, x_file, (n_train, n_test, seed), settings, origin)


def mat(
    path: FilePath,
    n_train: int | None = None,
    n_test: int | None = None,
    seed: int = 0,
    **options: Unpack[MatOptions],
) -> Dataset:
    """A MATLAB file of any version, such as `var_u.mat` of the 12-bit rule or the digits of SVHN.

    Variables are found by the names that are usual (F and y, X and y, fea and gnd, X_train, y_train, X_test, y_test),
    or named by `inputs` and `answers`. Others are left alone, whatever they hold.

    Args:
        path: the file. Inputs are (n, d), or (d, n) where only that fits the answers; images are (height, width, n)
            and (height, width, channels, n), or (n, height, width, channels) where only that fits. Answers are (n, 1),
            (1, n), one-hot (n, C), character arrays or cell arrays of text.
        n_train: training inputs; None takes all, or what `n_test` leaves.
        n_test: test inputs; None takes all, or what `n_train` leaves (both None: four fifths and one fifth).
        seed: fixes the split and the noise.
        **options: fields of MatReading and of Preparation; default `targets="one-hot"`.

    Returns:
        The data.

    Raises:
        FileNotFoundError: the file is not there.
        ValueError: not a MATLAB file, damaged, missing variables, shapes that do not fit.
    """
    reading, settings = taken(options, MatReading(), FILE_DEFAULTS)
    given = Fields(reading.inputs, reading.answers, reading.test_inputs, reading.test_answers)
    said: list[str] = []
    read = partial(_read_mat, said)
    train, test, names = _parts(read, path, reading.test_path, given, "variable", _MAT_OPTIONS)
    origin = origin_of("MATLAB", _files(path, reading.test_path)) | {"fields": ", ".join(names)}
    said += matlab_axes.label_notes(train)
    if said:
        origin["reading"] = "; ".join(dict.fromkeys(said))
    return _prepared(train, test, path, (n_train, n_test, seed), settings, origin)


def checked_part(x: np.ndarray, y: np.ndarray, x_called: str, y_called: str) -> Part:
    """Inputs and answers of one part, once they are known to go together.

    Raises:
        ValueError: inputs that are text, of another shape, empty or not finite; answers of another number.
    """
    if x.dtype.kind in "US":
        raise ValueError(f"{x_called} holds text; inputs must be real numbers")
    if x.ndim not in (2, 3, 4) or x.size == 0:
        raise ValueError(
            f"{x_called} has shape {x.shape}; inputs are (n, features), (n, height, width) or "
            "(n, height, width, channels), and not empty"
        )
    if y.ndim == 2 and y.shape[0] == 1 and y.size == len(x):
        y = y.ravel()
    if y.ndim == 0 or len(x) != len(y):
        raise ValueError(f"{x_called} has shape {x.shape} and {y_called} {y.shape}; they must be as many")
    checks.finite(x_called, x)
    return x, y


def _read(
    read: Callable[[FilePath, Callable[[Path, Sequence[str]], Sequence[str]]], dict[str, np.ndarray]],
    place: FilePath,
    choice: Callable[[Path, Sequence[str]], Fields],
) -> tuple[Fields, dict[str, np.ndarray]]:
    """The names that were chosen, and their arrays."""
    chosen: list[Fields] = []
    arrays = read(place, lambda where, present: _noted(choice(where, present), chosen))
    return chosen[0], arrays


def _noted(fields: Fields, chosen: list[Fields]) -> tuple[str, ...]:
    chosen.append(fields)
    return fields.names


def _read_mat(
    said: list[str], place: FilePath, choice: Callable[[Path, Sequence[str]], Fields]
) -> tuple[Fields, dict[str, np.ndarray]]:
    """As `_read`, with samples along the first axis."""
    names, matrices = _read(mat_format.read_mat, place, choice)
    for x, y in ((names.x, names.y), (names.x_test, names.y_test)):
        if x:
            matrices[x], matrices[y] = matlab_axes.samples_first(matrices, x, y, place, said)
    return names, matrices


def _parts(
    read: Callable[[FilePath, Callable[[Path, Sequence[str]], Fields]], tuple[Fields, dict[str, np.ndarray]]],
    path: FilePath,
    test_path: FilePath | None,
    given: Fields,
    kind: str,
    options: Fields,
) -> tuple[Part, Part | None, tuple[str, ...]]:
    """The pool or training part, the test part where there is one, and the names of what was read."""
    if test_path is None:
        names, arrays = read(path, lambda place, present: choose(place, present, given, kind, options))
        train = _part(kind, path, arrays, names.x, names.y)
        test = _part(kind, path, arrays, names.x_test, names.y_test) if names.x_test else None
        return train, test, names.names
    own = Fields(given.x, given.y), Fields(given.x_test or given.x, given.y_test or given.y)
    first, arrays = read(path, lambda place, present: choose_part(place, present, own[0], kind, options, "train"))
    second, others = read(test_path, lambda place, present: choose_part(place, present, own[1], kind, options, "test"))
    train, test = _part(kind, path, arrays, first.x, first.y), _part(kind, test_path, others, second.x, second.y)
    return train, test, (*first.names, *second.names)


def _part(kind: str, place: FilePath, arrays: dict[str, np.ndarray], x: str, y: str) -> Part:
    return checked_part(arrays[x], arrays[y], f"{place}: the {kind} {x}", y)


def _files(path: FilePath, test_path: FilePath | None) -> list[str]:
    return [Path(file).name for file in (path, test_path) if file is not None]


def _prepared(
    train: Part,
    test: Part | None,
    path: FilePath,
    draw: tuple[int | None, int | None, int],
    settings: Preparation,
    origin: Origin,
) -> Dataset:
    n_train, n_test, seed = draw
    train, test = _texts(train, path), None if test is None else _texts(test, path)
    if test is None:
        return prepare(source_of(*train, path, settings, origin, "y"), n_train, n_test, seed, settings)
    if train[0].shape[1:] != test[0].shape[1:] or train[0].dtype != test[0].dtype:
        raise ValueError(
            f"{path}: x_train holds inputs of shape {train[0].shape[1:]} and type {train[0].dtype}, "
            f"x_test of {test[0].shape[1:]} and {test[0].dtype}; both parts must be alike"
        )
    parts = sources_of(train, test, settings, origin, path)
    return prepare(parts[0], n_train, n_test, seed, settings, parts[1])


def _texts(part: Part, path: FilePath) -> Part:
    """Answers that are bytes of text as text."""
    if part[1].dtype.kind != "S":
        return part
    try:
        return part[0], np.char.decode(part[1], "utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: the answers are bytes that are not UTF-8 text ({error})") from error
