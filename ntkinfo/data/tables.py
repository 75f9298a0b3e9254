"""Columns of numbers and answers from CSV and Parquet files."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ntkinfo.core import checks
from ntkinfo.data.input_files import FilePath, existing_file
from ntkinfo.data.targets import MISSING


@dataclass(frozen=True)
class Table:
    """Feature columns and answers of one file.

    Args:
        features: (n, d) real numbers.
        feature_names: names of the d columns.
        answers: (n, C) real numbers, or (n,) classes as numbers or text.
        left_out: columns with the number of the row, which is no input.
        class_names: names of the classes in the order in which the file declares them, where it does; `answers` then
            hold their numbers.
        reading: how the file was read where that was guessed, in words.
    """

    features: np.ndarray
    feature_names: tuple[str, ...]
    answers: np.ndarray
    left_out: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    reading: str = ""


def read_csv(
    path: FilePath, targets: Sequence[str], features: Sequence[str], real_answers: bool, delimiter: str = ","
) -> Table:
    """Read a CSV file whose first line names the columns, in UTF-8.

    Args:
        path: the file.
        targets: columns that hold the answers.
        features: columns that hold the inputs; empty takes every column that is not a target, without the row numbers
            or row names that programs write beside a table (named, they are taken).
        real_answers: the answers are real numbers; otherwise classes, of one column.
        delimiter: the character between cells.

    Returns:
        The table.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: missing or repeated columns, lines of another length, cells that are empty, not numbers or
            not finite (with line and column), no rows, or text that is not UTF-8.
    """
    place = existing_file(path)
    if len(delimiter) != 1:
        raise ValueError(f"delimiter is {delimiter!r}; it must be one character")
    rows = _csv_rows(place, delimiter)
    line, header = next(rows, (1, []))
    names = _header(header, place, line)
    left_out = [] if features else [name for k, name in enumerate(names) if _numbers_rows(name, k)]
    features = choose_columns(place, names, targets, features, real_answers, left_out)
    numeric = [*features, *targets] if real_answers else features
    places = [(name, names.index(name)) for name in numeric]
    values, classes = [], []
    for line, row in rows:
        if len(row) != len(names):
            raise ValueError(f"{place}, line {line} has {len(row)} cells; the header names {len(names)} columns")
        values.append(_numbers(row, places, place, line))
        if not real_answers:
            classes.append(_class(row[names.index(targets[0])], place, line, targets[0]))
    if not values:
        raise ValueError(f"{place} names its columns and has no rows below them")
    table = np.stack(values)
    answers = table[:, len(features) :] if real_answers else _as_classes(classes)
    return Table(table[:, : len(features)], tuple(features), answers, _without(left_out, targets))


def read_parquet(path: FilePath, targets: Sequence[str], features: Sequence[str], real_answers: bool) -> Table:
    """Read columns of a Parquet file.

    Args:
        path: the file.
        targets: columns that hold the answers.
        features: columns that hold the inputs; empty takes every column that is not a target, without the row numbers
            or row names that programs write beside a table (named, they are taken).
        real_answers: the answers are real numbers; otherwise classes, of one column.

    Returns:
        The table.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not a Parquet file, missing columns, columns that are not numbers, missing or infinite values,
            no rows.
    """
    import pyarrow
    from pyarrow import parquet

    place = existing_file(path)
    try:
        with parquet.ParquetFile(place) as file:
            names = list(file.schema_arrow.names)
            left_out = [] if features else _pandas_index(file.schema_arrow.metadata, names)
            features = choose_columns(place, names, targets, features, real_answers, left_out)
            table = file.read(columns=[*features, *targets])
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError, UnicodeDecodeError, OSError) as error:
        raise ValueError(f"{place} is not a readable Parquet file ({error})") from error
    if table.num_rows == 0:
        raise ValueError(f"{place} has columns but no rows")
    columns = {name: _parquet_column(table.column(name), place, name) for name in [*features, *targets]}
    for name in [*features, *targets] if real_answers else features:
        _check_column(columns[name], place, name)
    answers = np.stack([columns[name] for name in targets], axis=1) if real_answers else columns[targets[0]]
    inputs = np.stack([columns[name].astype(np.float64) for name in features], axis=1)
    return Table(inputs, tuple(features), answers, _without(left_out, targets))


def choose_columns(
    place: Path,
    names: Sequence[str],
    targets: Sequence[str],
    features: Sequence[str],
    real_answers: bool,
    left_out: Sequence[str] = (),
) -> list[str]:
    """The feature columns, once every named column is known to be there.

    Raises:
        ValueError: no target, several class columns, a missing or repeated column, a target among the features,
            no features.
    """
    if not targets or (not real_answers and len(targets) > 1):
        raise ValueError(f"{len(targets)} target columns are named; classes need one, regression at least one")
    repeated = sorted({name for name in names if list(names).count(name) > 1})
    if repeated:
        raise ValueError(f"{place} has several columns named {repeated[0]!r}; rename all but one")
    for name in [*targets, *features]:
        if name not in names:
            raise ValueError(
                f"{place} has no column {name!r}{checks.suggestion(name, names)}; it has {', '.join(names)}"
            )
    shared = [name for name in features if name in targets]
    if shared:
        raise ValueError(f"the column {shared[0]!r} is named both as a target and as a feature")
    chosen = list(features) or [name for name in names if name not in targets and name not in left_out]
    if not chosen:
        rows = f" and the row numbers ({', '.join(map(repr, left_out))})" if left_out else ""
        raise ValueError(f"{place} has no column besides the targets{rows}; there are no inputs")
    return chosen


def _numbers_rows(name: str, position: int) -> bool:
    """Whether a CSV column of this name holds the rows' numbers or names, as pandas and R write them.

    Without a name in the first place (pandas' index, R's row names), or what pandas calls such a column when it reads
    and writes it again.
    """
    return (position == 0 and not name) or re.fullmatch(r"Unnamed: \d+(_level_\d+)?", name) is not None


def _pandas_index(metadata: Mapping[bytes, bytes] | None, names: Sequence[str]) -> list[str]:
    """The columns of a Parquet file that pandas says to be its index; a range is stored as no column."""
    found = [name for name in names if re.fullmatch(r"__index_level_\d+__", name)]
    try:
        described = json.loads((metadata or {}).get(b"pandas", b"{}")).get("index_columns", [])
    except (ValueError, AttributeError):  # what another program wrote there says nothing about an index
        described = []
    return found + [name for name in described if isinstance(name, str) and name in names and name not in found]


def _without(left_out: Sequence[str], targets: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in left_out if name not in targets)


def _csv_rows(place: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and stripped cells of each line that is not blank."""
    with place.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, delimiter=delimiter, strict=True)
        try:
            for row in reader:
                if row:
                    yield reader.line_num, [cell.strip() for cell in row]
        except UnicodeDecodeError as error:
            raise ValueError(f"{place} is not UTF-8 text ({error}); save it as UTF-8") from error
        except csv.Error as error:
            raise ValueError(f"{place}, line {reader.line_num}: {error}") from error


def _header(names: list[str], place: Path, line: int) -> list[str]:
    if not names:
        raise ValueError(f"{place} has no lines; the first must name the columns")
    if all(_is_number(name) for name in names):
        raise ValueError(f"{place}, line {line} holds numbers only; the first line must name the columns")
    return names


def _numbers(row: list[str], places: list[tuple[str, int]], place: Path, line: int) -> np.ndarray:
    for name, position in places:
        cell = row[position]
        if not cell:
            raise ValueError(f"{place}, line {line}, column {name!r} is empty; fill it in or remove the line")
        if cell in MISSING and not _is_number(cell):
            raise ValueError(
                f"{place}, line {line}, column {name!r} holds {cell!r}, which marks a missing value; fill it in or "
                "remove the line"
            )
        if not _is_number(cell):
            raise ValueError(f"{place}, line {line}, column {name!r} holds {cell!r}, which is not a number")
        if not math.isfinite(float(cell)):
            raise ValueError(f"{place}, line {line}, column {name!r} holds {cell}; values must be finite")
    return np.array([float(row[position]) for _, position in places])


def _class(cell: str, place: Path, line: int, name: str) -> str:
    if not cell:
        raise ValueError(f"{place}, line {line}, column {name!r} is empty; each input needs a class")
    if cell in MISSING:
        raise ValueError(
            f"{place}, line {line}, column {name!r} holds {cell!r}, which marks a missing value; each input needs a "
            "class: remove the line, or spell out the class of that name"
        )
    return cell


def _as_classes(cells: list[str]) -> np.ndarray:
    """Numbers where every cell is one, so that '10' comes after '9' and '1.0' equals '1'; else text."""
    if all(_is_number(cell) for cell in cells):
        return np.array([float(cell) for cell in cells])
    return np.array(cells)


def _is_number(cell: str) -> bool:
    """Whether the cell is a decimal number; Python would also read 1_05 as 105 and digits of other scripts."""
    if "_" in cell or not cell.isascii():
        return False
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _parquet_column(column, place: Path, name: str) -> np.ndarray:
    import pyarrow

    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy())[0])
        raise ValueError(f"{place}, column {name!r} has {column.null_count} missing value(s), the first in row {row}")
    kinds = pyarrow.types
    numeric = kinds.is_integer(column.type) or kinds.is_floating(column.type) or kinds.is_boolean(column.type)
    values = column.to_numpy() if numeric else np.array(column.to_pylist())
    if values.ndim != 1 or values.dtype.kind not in "iufbU":
        raise ValueError(f"{place}, column {name!r} holds {column.type}; it must hold numbers, or text for classes")
    return values


def _check_column(values: np.ndarray, place: Path, name: str) -> None:
    if values.dtype.kind == "U":
        raise ValueError(f"{place}, column {name!r} holds text; features and regression targets must be numbers")
    checks.finite(f"{place}, column {name!r}", values)
