"""Data sets from text files: CSV and its kin, ARFF, libsvm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar, Unpack

from ntkinfo.core.records import Dataset
from ntkinfo.data.arff_format import Arff, read_arff
from ntkinfo.data.csv_table import CsvReading, Part, TableReading, Wanted, read_csv, tables_of
from ntkinfo.data.input_files import FilePath, existing_file
from ntkinfo.data.libsvm_format import read_libsvm
from ntkinfo.data.preparation import Preparation, PreparationOptions, prepare
from ntkinfo.data.sources import FILE_DEFAULTS, columns_of, from_table, origin_of, source_of, sources_of
from ntkinfo.data.tables import choose_columns

Reading = TypeVar("Reading", bound=TableReading)


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
    reading, settings = _parted(options, CsvReading)
    named = columns_of(target)
    wanted = Wanted(named, [str(name) for name in features], settings.targets == "regression")
    table, test = read_csv(path, wanted, delimiter, reading)
    return from_table(table, path, named, (n_train, n_test), seed, settings, test)


class ArffOptions(PreparationOptions, total=False):
    """The keyword arguments of `arff`: fields of TableReading and of Preparation."""

    test_path: FilePath | None
    text_features: str


def arff(
    path: FilePath,
    target: str | Sequence[str] = (),
    features: Sequence[str] = (),
    n_train: int | None = None,
    n_test: int | None = None,
    seed: int = 0,
    **options: Unpack[ArffOptions],
) -> Dataset:
    """An ARFF file, as Weka and OpenML write it; dense.

    Args:
        path: the file; UTF-8, plain or packed with gzip, bzip2 or xz.
        target: the column with the answers; left out, the last. Several for regression, or one-hot columns.
        features: the columns with the inputs; empty takes every column that is not a target.
        n_train: training inputs; None takes what `n_test` leaves, or the whole file where there is a test file.
        n_test: test inputs; None takes what `n_train` leaves (both None: four fifths and one fifth).
        seed: fixes the split and the noise.
        **options: fields of TableReading (`test_path`, `text_features`) and of Preparation; default
            `targets="one-hot"`.

    Returns:
        The data; classes in the order in which the file declares them.

    Raises:
        FileNotFoundError: the file is not there.
        ValueError: a sparse file, missing columns, cells that are missing, not declared or not numbers, no rows.
    """
    reading, settings = _parted(options, TableReading)
    named = columns_of(target)
    parts = [path] if reading.test_path is None else [path, reading.test_path]
    read = [read_arff(existing_file(part), named) for part in parts]
    wanted = Wanted(named or list(read[0].names[-1:]), features, settings.targets == "regression")
    made = [_arff_part(one, existing_file(part), wanted) for one, part in zip(read, parts, strict=True)]
    declared = {
        name: tuple(dict.fromkeys(value for one in read for value in one.declared.get(name, ())))
        for name in wanted.targets
    }
    if not named:
        told = f"answers in the last column, {wanted.targets[0]}"
        made[0] = replace(made[0], columns=replace(made[0].columns, reading=told))
    tables = tables_of(made, wanted, reading, {name: values for name, values in declared.items() if values})
    test = tables[1] if len(tables) > 1 else None
    return from_table(tables[0], path, wanted.targets, (n_train, n_test), seed, settings, test)


def _arff_part(arff: Arff, place: Path, wanted: Wanted) -> Part:
    columns = choose_columns(place, arff.names, wanted.targets, wanted.features, wanted.real_answers, one_hot=True)
    return Part(place, arff.columns, columns)


def libsvm(
    path: FilePath,
    test_path: FilePath | None = None,
    n_train: int | None = None,
    n_test: int | None = None,
    seed: int = 0,
    **preparation: Unpack[PreparationOptions],
) -> Dataset:
    """A file of libsvm or svmlight: label number:value number:value.

    Args:
        path: the file; plain or packed with gzip, bzip2 or xz. Features that a line leaves out are 0.
        test_path: a file of its own for the test part.
        n_train: training inputs; None takes what `n_test` leaves, or the whole file where there is a test file.
        n_test: test inputs; None takes what `n_train` leaves (both None: four fifths and one fifth).
        seed: fixes the split and the noise.
        **preparation: fields of Preparation; default `targets="one-hot"`.

    Returns:
        The data.

    Raises:
        FileNotFoundError: the file is not there.
        ValueError: lines of another form, several labels in a line, no lines, more data than free memory.
    """
    settings = FILE_DEFAULTS.updated(preparation)
    places = [existing_file(part) for part in (path, test_path) if part is not None]
    parts = read_libsvm(places)
    origin = origin_of("libsvm", [place.name for place in places])
    if len(parts) == 1:
        source = source_of(parts[0][0], parts[0][1], path, settings, origin)
        return prepare(source, n_train, n_test, seed, settings)
    sources = sources_of(parts[0], parts[1], settings, origin, path)
    return prepare(sources[0], n_train, n_test, seed, settings, sources[1])


def _parted(options: Mapping[str, Any], kind: type[Reading]) -> tuple[Reading, Preparation]:
    """The options of reading, and those of preparation."""
    own = {field.name for field in fields(kind)}
    reading = kind(**{key: value for key, value in options.items() if key in own})
    return reading, FILE_DEFAULTS.updated({key: value for key, value in options.items() if key not in own})
