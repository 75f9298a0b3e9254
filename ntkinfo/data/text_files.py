"""Data sets from text files: CSV and its kin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Unpack

from ntkinfo.core.records import Dataset
from ntkinfo.data.csv_table import CsvReading, Wanted, read_csv
from ntkinfo.data.input_files import FilePath
from ntkinfo.data.preparation import Preparation, PreparationOptions
from ntkinfo.data.sources import FILE_DEFAULTS, columns_of, from_table


class CsvOptions(PreparationOptions, total=False):
    """The keyword arguments of `csv`: fields of CsvReading and of Preparation."""

    test_path: FilePath | None
    header: str | bool
    decimal: str
    text_features: str


def csv(
    path: FilePath,
    target: str | int | Sequence[str | int],
    features: Sequence[str | int] = (),
    delimiter: str | None = None,
    n_train: int | None = None,
    n_test: int | None = None,
    seed: int = 0,
    **options: Unpack[CsvOptions],
) -> Dataset:
    """A text table: CSV, TSV, columns between blanks, as R and pandas write them.

    Args:
        path: the file; UTF-8 (or UTF-16 as Excel writes it), plain or packed with gzip, bzip2 or xz.
        target: the column with the answers: its name, or its number from 1 (-1: the last) in a file without names.
            Several for regression, or for classes in one-hot columns.
        features: the columns with the inputs; empty takes every column that is not a target, without the row numbers
            or row names that programs write beside a table (named, they are taken).
        delimiter: the character between cells, "tab" or "blanks"; None guesses.
        n_train: training inputs; None takes what `n_test` leaves, or the whole file where there is a test file.
        n_test: test inputs; None takes what `n_train` leaves (both None: four fifths and one fifth).
        seed: fixes the split and the noise.
        **options: fields of CsvReading (`test_path`, `header`, `decimal`, `text_features`) and of Preparation; default
            `targets="one-hot"`.

    Returns:
        The data.

    Raises:
        FileNotFoundError: the file is not there.
        ValueError: missing columns, cells that are empty or not numbers (with line and column), no rows.
    """
    reading, settings = _parted(options)
    named = columns_of(target)
    wanted = Wanted(named, [str(name) for name in features], settings.targets == "regression")
    table, test = read_csv(path, wanted, delimiter, reading)
    return from_table(table, path, named, (n_train, n_test), seed, settings, test)


def _parted(options: Mapping[str, Any]) -> tuple[CsvReading, Preparation]:
    """The options of reading, and those of preparation."""
    own = {field.name for field in fields(CsvReading)}
    reading = CsvReading(**{key: value for key, value in options.items() if key in own})
    return reading, FILE_DEFAULTS.updated({key: value for key, value in options.items() if key not in own})
