"""Columns of numbers, vectors, images and classes from Parquet files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntkinfo.core import checks
from ntkinfo.core.memory import GIB, available_memory
from ntkinfo.data import parquet_columns
from ntkinfo.data.input_files import fits_in_memory
from ntkinfo.data.tables import Table, choose_columns, one_hot_classes

if TYPE_CHECKING:
    import pyarrow

# Names that are usual for the answers, where no metadata says which column holds classes.
_TARGETS = ("label", "labels", "target", "targets", "class", "y")
_ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Declared:
    """What a file's schema says.

    Args:
        names: its columns.
        index: those that pandas says to be its index.
        classes: by column, the names of its classes in their order, as Hugging Face's `datasets` writes them.
        images: columns of images.
    """

    names: tuple[str, ...]
    index: tuple[str, ...]
    classes: Mapping[str, tuple[str, ...]]
    images: tuple[str, ...]


def read_parquet(
    places: Sequence[Path], targets: Sequence[str], features: Sequence[str], real_answers: bool
) -> tuple[Table, list[str], bool]:
    """Read columns of the files of one part.

    Args:
        places: the files, with the same columns, in their order.
        targets: columns that hold the answers; empty takes the one column that is declared to hold classes, or whose
            name is usual.
        features: columns that hold the inputs; empty takes the images, or every column that is not a target, without
            the row numbers that pandas writes beside a table (named, they are taken).
        real_answers: the answers are real numbers; otherwise classes, of one column.

    Returns:
        The table, its inputs (n, d), or images (n, height, width, channels); the target columns; and whether the inputs
        were decoded from files of images, which have their channels last whatever the caller says.

    Raises:
        ValueError: not a Parquet file, missing columns, columns that are neither numbers, vectors nor images, missing
            or infinite values, rows of different sizes, no rows, more than free memory.
    """
    first = _declared(places[0])
    targets = list(targets) or [_target(places[0], first)]
    left_out = [] if features else list(first.index)
    images = [name for name in first.images if name not in targets]
    chosen = list(features)
    if images and not chosen:
        if len(images) > 1:
            raise ValueError(f"{places[0]} has images in {', '.join(images)}; name the inputs with features")
        chosen = images
    chosen = choose_columns(places[0], first.names, targets, chosen, real_answers, left_out, one_hot=True)
    columns = [*chosen, *targets]
    table = _read(places, columns)
    arrays, said, decoded = {}, [], []
    for name in columns:
        one = parquet_columns.values(table.column(name), places[0], name, name in targets and not real_answers)
        arrays[name] = one.values
        if one.said:
            said.append(one.said)
            decoded.append(name)
    for name in columns if real_answers else chosen:
        parquet_columns.check(arrays[name], places[0], name)
    if images and not features:
        others = [name for name in first.names if name not in columns]
        said += [f"{', '.join(others)} left out"] if others else []
    answers, class_names = _answers(arrays, targets, real_answers, first, table, places[0])
    inputs, names = _inputs(arrays, chosen)
    gone = tuple(name for name in left_out if name not in targets)
    return Table(inputs, names, answers, gone, class_names, "; ".join(said)), targets, decoded == chosen


def _declared(place: Path) -> Declared:
    with _opened(place) as file:
        schema = file.schema_arrow
    metadata = schema.metadata or {}
    described = _json(metadata.get(b"huggingface", b"")).get("info", {})
    kinds = described.get("features", {}) if isinstance(described, dict) else {}
    kinds = {name: kind for name, kind in kinds.items() if isinstance(kind, dict)} if isinstance(kinds, dict) else {}
    classes = {
        name: tuple(map(str, kind["names"]))
        for name, kind in kinds.items()
        if kind.get("_type") == "ClassLabel" and isinstance(kind.get("names"), list)
    }
    images = [
        field.name
        for field in schema
        if parquet_columns.is_image(field.type) or kinds.get(field.name, {}).get("_type") == "Image"
    ]
    return Declared(tuple(schema.names), tuple(_pandas_index(metadata, schema.names)), classes, tuple(images))


def _json(text: bytes) -> dict[str, Any]:
    """What a program wrote into the schema; nothing where it is not what is known."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _pandas_index(metadata: Mapping[bytes, bytes], names: Sequence[str]) -> list[str]:
    """The columns of a Parquet file that pandas says to be its index; a range is stored as no column."""
    found = [name for name in names if re.fullmatch(r"__index_level_\d+__", name)]
    described = _json(metadata.get(b"pandas", b"")).get("index_columns", [])
    described = described if isinstance(described, list) else []
    return found + [name for name in described if isinstance(name, str) and name in names and name not in found]


def _target(place: Path, declared: Declared) -> str:
    usual = [name for name in declared.names if name.lower() in _TARGETS]
    for candidates in ([name for name in declared.classes if name in declared.names], usual):
        if len(candidates) == 1:
            return candidates[0]
    raise ValueError(
        f"0 target columns are named, and {place} has {', '.join(declared.names)}; name the one with the answers with "
        "target"
    )


def _opened(place: Path) -> Any:
    from pyarrow import parquet

    with parquet_columns.readable(place):
        return parquet.ParquetFile(place, page_checksum_verification=True)


def _read(places: Sequence[Path], columns: Sequence[str]) -> pyarrow.Table:
    """The columns of all files, a few rows at a time, so that a small file that unpacks to much is stopped."""
    import pyarrow

    batches, size, most = [], 0, available_memory() * GIB
    for place in places:
        with _opened(place) as file, parquet_columns.readable(place):
            missing = [name for name in columns if name not in file.schema_arrow.names]
            if missing:
                raise ValueError(f"{place} lacks the column(s) {', '.join(missing)}, which {places[0].name} has")
            schema = pyarrow.schema([file.schema_arrow.field(name) for name in columns])
            width = sum(parquet_columns.bytes_of(field.type) for field in schema)
            fits_in_memory(place, file.metadata.num_rows * width)
            rows = _ROWS_AT_ONCE if any(parquet_columns.bytes_of(field.type) == 0 for field in schema) else 65_536
            for batch in file.iter_batches(batch_size=rows, columns=list(columns), use_threads=False):
                size += batch.nbytes
                if size > most:
                    raise ValueError(
                        f"{place} unpacks to more than the {most / GIB:.2f} GiB of memory that are free; it is "
                        "damaged, or must be cut into smaller ones"
                    )
                batches.append(batch.select(columns))
    if not batches or not sum(batch.num_rows for batch in batches):
        raise ValueError(f"{places[0]} has columns but no rows")
    other = next((k for k, batch in enumerate(batches) if batch.schema.types != batches[0].schema.types), None)
    if other is not None:
        raise ValueError(
            f"{places[0]} and the files beside it store columns in different types ({batches[0].schema.types} and "
            f"{batches[other].schema.types}); write them alike"
        )
    return pyarrow.Table.from_batches([batch.cast(batches[0].schema) for batch in batches])


def _answers(
    arrays: Mapping[str, np.ndarray],
    targets: Sequence[str],
    real_answers: bool,
    declared: Declared,
    table: pyarrow.Table,
    place: Path,
) -> tuple[np.ndarray, tuple[str, ...]]:
    if real_answers:
        parts = [arrays[name].reshape(len(arrays[name]), -1) for name in targets]
        return np.concatenate(parts, axis=1).astype(np.float64), ()
    if len(targets) > 1:
        return one_hot_classes(place, targets, np.stack([arrays[name] for name in targets], axis=1)), tuple(targets)
    name, answers = targets[0], arrays[targets[0]]
    class_names = declared.classes.get(name, ())
    if class_names and answers.dtype.kind in "iu":
        bad = np.flatnonzero((answers < 0) | (answers >= len(class_names)))
        if bad.size:
            raise ValueError(
                f"{place}, column {name!r} holds {answers[bad[0]]} in row {bad[0]}, which names none of its "
                f"{len(class_names)} classes{' (inputs without a label are marked so)' * int(answers[bad[0]] == -1)}"
            )
        return answers, class_names
    order = parquet_columns.declared_order(table.column(name))
    if order and answers.dtype.kind == "U":
        number = {text: k for k, text in enumerate(order)}
        return np.array([number[text] for text in answers], dtype=np.int64), order
    return answers, ()


def _inputs(arrays: Mapping[str, np.ndarray], features: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Images as they are where they are the only column, else rows of numbers with a name each."""
    if len(features) == 1 and arrays[features[0]].ndim > 2:
        return arrays[features[0]], tuple(features)
    parts, names = [], []
    for name in features:
        rows = arrays[name].reshape(len(arrays[name]), -1)
        parts.append(rows.astype(np.float64))
        names += [name] if arrays[name].ndim == 1 else [f"{name}[{k}]" for k in range(rows.shape[1])]
    return np.concatenate(parts, axis=1), tuple(names)


def checked_alike(train: Table, test: Table, path: Path) -> None:
    """Raise ValueError where the inputs of two parts differ in shape, or their classes in names."""
    if train.features.shape[1:] != test.features.shape[1:] or train.features.dtype != test.features.dtype:
        raise ValueError(
            f"{path}: the training part holds inputs of shape {train.features.shape[1:]} and type "
            f"{train.features.dtype}, the test part of {test.features.shape[1:]} and {test.features.dtype}"
        )
    if train.class_names != test.class_names:
        raise ValueError(
            f"{path}: the parts declare other classes: {', '.join(train.class_names) or 'none'}; "
            f"{', '.join(test.class_names) or 'none'}"
        )
    checks.shape("the answers", test.answers, (None, *train.answers.shape[1:]), "as in the training part")
