"""Data sets from text files: CSV and its kin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from ntkinfo.core.records import Dataset
from ntkinfo.data import tables
from ntkinfo.data.input_files import FilePath
from ntkinfo.data.preparation import PreparationOptions
from ntkinfo.data.sources import FILE_DEFAULTS, columns_of, from_table


def csv(
    path: FilePath,
    target: str | Sequence[str],
    features: Sequence[str] = (),
    delimiter: str = ",",
    n_train: int | None = None,
    n_test: int | None = None,
    seed: int = 0,
    **preparation: Unpack[PreparationOptions],
) -> Dataset:
    """A CSV file whose first line names the columns.

    Args:
        path: the file, UTF-8 text.
        target: the column with the answers; for regression also several.
        features: the columns with the inputs; empty takes every column that is not a target.
        delimiter: the character between cells.
        n_train: training inputs; None takes what `n_test` leaves.
        n_test: test inputs; None takes what `n_train` leaves (both None: four fifths and one fifth).
        seed: fixes the split and the noise.
        **preparation: fields of Preparation; default `targets="one-hot"`.

    Returns:
        The data.

    Raises:
        FileNotFoundError: the file is not there.
        ValueError: missing columns, cells that are empty or not numbers (with line and column), no rows.
    """
    settings = FILE_DEFAULTS.updated(preparation)
    real = settings.targets == "regression"
    table = tables.read_csv(path, columns_of(target), features, real, delimiter)
    return from_table(table, path, columns_of(target), (n_train, n_test), seed, settings)
