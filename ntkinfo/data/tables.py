"""Columns of numbers and answers, whatever file they come from; Parquet files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ntkinfo.core import checks
from ntkinfo.data.input_files import FilePath, existing_file


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
    one_hot: bool = False,
) -> list[str]:
    """The feature columns, once every named column is known to be there.

    Args:
        place: the file.
        names: of its columns.
        targets: names of those with the answers.
        features: names of those with the inputs; empty takes what is left.
        real_answers: the answers are real numbers, in one column or several; otherwise classes.
        left_out: columns that are no inputs unless they are named.
        one_hot: classes may be in several columns as well.

    Raises:
        ValueError: no target, several class columns, a missing or repeated column, a target among the features,
            no features.
    """
    if not targets or (not real_answers and not one_hot and len(targets) > 1):
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


def one_hot_features(name: str, parts: Sequence[np.ndarray]) -> tuple[list[str], list[np.ndarray]]:
    """A column of text as one column a value, 1 where it stands there and else 0, values in the order of text.

    Args:
        name: of the column.
        parts: the column in each part of the data; a value that only one part has gets a column as well.

    Returns:
        Names such as "colour=red", and for each part its columns (n, values).

    Raises:
        ValueError: more values than half the rows, so that most would stand in one row.
    """
    known, numbers = np.unique(np.concatenate(parts), return_inverse=True)
    if len(known) > max(2, len(numbers) // 2):
        raise ValueError(
            f"the column {name!r} takes {len(known)} different texts over {len(numbers)} rows, which name rows rather "
            "than kinds; leave it out of features"
        )
    rows = np.split(np.eye(len(known))[numbers.reshape(-1)], np.cumsum([len(part) for part in parts])[:-1])
    return [f"{name}={value}" for value in known], rows


def one_hot_classes(place: Path, targets: Sequence[str], values: np.ndarray) -> np.ndarray:
    """The class of each row by several columns, of which one holds 1 and the others 0.

    Args:
        place: the file.
        targets: their names, which are those of the classes in this order.
        values: (n, C), any type.

    Returns:
        Class numbers (n,).

    Raises:
        ValueError: rows that are not so.
    """
    right = values.dtype.kind in "iufb" and (values.ndim == 2)
    rows = ((values == 0) | (values == 1)).all(axis=1) & (values.sum(axis=1) == 1) if right else np.array([False])
    if not rows.all():
        raise ValueError(
            f"{len(targets)} target columns are named, and {place} does not hold one 1 and else 0 in each row of them; "
            "classes need one column, or such one-hot columns; real answers need targets='regression'"
        )
    return np.argmax(values, axis=1)


def holds_row_names(name: str, position: int) -> bool:
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
