"""Data sets from arrays and tables that are in memory already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Unpack

import numpy as np

from ntkinfo.core import checks
from ntkinfo.core.records import Dataset
from ntkinfo.data.csv_table import TEXT_FEATURES
from ntkinfo.data.preparation import PreparationOptions, prepare
from ntkinfo.data.sources import FILE_DEFAULTS, Origin, source_of, sources_of
from ntkinfo.data.tables import one_hot_features


class ArrayOptions(PreparationOptions, total=False):
    """The keyword arguments of `arrays`: its own two, and fields of Preparation."""

    name: str
    text_features: str


def arrays(
    x: Any,
    y: Any,
    x_test: Any = None,
    y_test: Any = None,
    n_train: int | None = None,
    n_test: int | None = None,
    seed: int = 0,
    **options: Unpack[ArrayOptions],
) -> Dataset:
    """Your own arrays, lists, pandas tables or tensors, split, encoded and scaled as files are.

    Args:
        x: inputs: (n, d), (n,) for one feature, images (n, height, width), (n, height, width, channels) or (n,
            channels, height, width); or a table with a column a feature. Images of bytes are scaled to [0, 1].
        y: answers: (n,) or (n, 1) classes (whole numbers, booleans or text), one-hot rows (n, C), a pandas Series (of a
            categorical type: classes in the order of its categories) or table of one-hot columns (classes in the order
            of the columns); real (n,) or (n, C) with `targets="regression"`.
        x_test: inputs of a test part that you keep apart; None splits x.
        y_test: its answers; with `x_test` or not at all.
        n_train: training inputs; None takes all, or what `n_test` leaves.
        n_test: test inputs; None takes all, or what `n_train` leaves (both None: four fifths and one fifth of x).
        seed: fixes the draw and the noise.
        **options: `name` of the data, in figures and files; `text_features`, "refuse" or "one-hot", for columns of text
            in a table; fields of Preparation, default `targets="one-hot"`.

    Returns:
        The data.

    Raises:
        ValueError: shapes that do not fit, NaN, infinite or missing values, a class in the test part alone, pandas
            objects whose rows are in another order.
        TypeError: what is no array of numbers, or of text for classes.
    """
    name, text_features = options.get("name", "arrays"), options.get("text_features", "refuse")
    own = ("name", "text_features")
    settings = FILE_DEFAULTS.updated({key: value for key, value in options.items() if key not in own})
    checks.choice("text_features", text_features, TEXT_FEATURES)
    if (x_test is None) != (y_test is None):
        raise ValueError("x_test and y_test go together: give both, or neither")
    given = [("x", x, "y", y)] if x_test is None else [("x", x, "y", y), ("x_test", x_test, "y_test", y_test)]
    for x_name, one_x, y_name, one_y in given:
        _check_order(x_name, one_x, y_name, one_y)
    inputs, features = _inputs([(each[0], each[1]) for each in given], text_features)
    answers, class_names = _answers([(each[2], each[3]) for each in given], settings.targets == "regression")
    for (x_name, _, y_name, _), one_x, one_y in zip(given, inputs, answers, strict=True):
        if one_y.ndim == 0 or len(one_x) != len(one_y):
            raise ValueError(
                f"{x_name} has shape {one_x.shape} and {y_name} {one_y.shape}; each input needs one answer"
            )
    origin: Origin = {"source": "arrays", **({"features": " ".join(features)} if features else {})}
    if len(given) == 1:
        source = source_of(inputs[0], answers[0], name, settings, origin, "y", class_names)
        return prepare(replace(source, name=name), n_train, n_test, seed, settings)
    pair = (inputs[0], answers[0]), (inputs[1], answers[1])
    parts = sources_of(pair[0], pair[1], settings, origin, name, class_names)
    named = [replace(part, name=name) for part in parts]
    return prepare(named[0], n_train, n_test, seed, settings, named[1])


def _is_table(value: Any) -> bool:
    """Whether it is a table with named columns, as of pandas or polars."""
    return hasattr(value, "columns") and hasattr(value, "dtypes")


def _check_order(x_name: str, x: Any, y_name: str, y: Any) -> None:
    """Refuse pandas objects that hold the same rows in another order: arrays forget the index."""
    if not (hasattr(x, "iloc") and hasattr(y, "iloc")) or x.index.equals(y.index):
        return
    if len(x.index) == len(y.index) and x.index.sort_values().equals(y.index.sort_values()):
        raise ValueError(
            f"the indices of {x_name} and {y_name} hold the same labels in another order; give {y_name}.loc"
            f"[{x_name}.index], or reset both indices if the rows belong together as they stand"
        )


def _inputs(parts: Sequence[tuple[str, Any]], text_features: str) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """The inputs of each part, and the names of their columns."""
    if all(_is_table(value) for _, value in parts):
        return _table_inputs(parts, text_features)
    found = []
    for name, value in parts:
        array = checks.host(name, value)
        array = array[:, None] if array.ndim == 1 else array
        if array.dtype.kind not in "iufb":
            kind = "text" if array.dtype.kind == "U" else str(array.dtype)
            advice = "; columns of text are made one-hot where they stand in a pandas table" if kind == "text" else ""
            raise TypeError(f"{name} holds {kind}; inputs must be real numbers{advice}")
        if array.ndim not in (2, 3, 4) or array.size == 0:
            raise ValueError(
                f"{name} has shape {array.shape}; inputs are (n, features), (n, height, width) or (n, height, width, "
                "channels), and not empty"
            )
        checks.finite(name, array)
        found.append(array)
    if found[0].shape[1:] != found[-1].shape[1:] or (found[0].dtype == np.uint8) != (found[-1].dtype == np.uint8):
        raise ValueError(
            f"x holds inputs of shape {found[0].shape[1:]} and type {found[0].dtype}, x_test of {found[-1].shape[1:]} "
            f"and {found[-1].dtype}; both parts must be alike"
        )
    return found, ()


def _table_inputs(parts: Sequence[tuple[str, Any]], text_features: str) -> tuple[list[np.ndarray], tuple[str, ...]]:
    columns = [str(column) for column in parts[0][1].columns]
    repeated = sorted({name for name in columns if columns.count(name) > 1})
    if repeated:
        raise ValueError(f"x has several columns named {repeated[0]!r}; rename all but one")
    tables = []
    for name, table in parts:
        known = {str(column): column for column in table.columns}
        if set(known) != set(columns):
            other = sorted(set(known) ^ set(columns))[0]
            raise ValueError(f"x and {name} have other columns: {other!r} is in one of them alone")
        tables.append({key: checks.host(f"{name}[{key!r}]", table[known[key]]) for key in columns})
    names: list[str] = []
    blocks: list[list[np.ndarray]] = [[] for _ in parts]
    for key in columns:
        kinds = {table[key].dtype.kind for table in tables}
        if kinds == {"U"} and text_features == "one-hot":
            more, rows = one_hot_features(key, [table[key] for table in tables])
        elif kinds <= set("iufb"):
            more, rows = [key], [table[key].astype(np.float64)[:, None] for table in tables]
            for (name, _), values in zip(parts, rows, strict=True):
                checks.finite(f"{name}[{key!r}]", values)
        else:
            raise ValueError(
                f"the column {key!r} of x holds {'text' if 'U' in kinds else tables[0][key].dtype}, which is not "
                "numbers; leave it out, or make text one-hot with text_features='one-hot'"
            )
        names += more
        for block, values in zip(blocks, rows, strict=True):
            block.append(values)
    if not columns or len(blocks[0][0]) == 0:
        raise ValueError(f"x has shape {parts[0][1].shape}; it must have rows and columns")
    return [np.concatenate(block, axis=1) for block in blocks], tuple(names)


def _answers(parts: Sequence[tuple[str, Any]], real: bool) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """The answers of each part, and the classes in their declared order; the answers are then numbers of these."""
    first = parts[0][1]
    categories = getattr(getattr(first, "cat", None), "categories", None)
    if categories is not None:
        names = [str(category) for category in categories]
        return [_numbered(name, value, names) for name, value in parts], tuple(names)
    arrays = [checks.host(name, value) for name, value in parts]
    if _is_table(first) and arrays[0].ndim == 2 and arrays[0].shape[1] > 1 and not real:
        columns = [str(column) for column in first.columns]
        for (name, value), array in zip(parts, arrays, strict=True):
            if _is_table(value) and [str(column) for column in value.columns] != columns:
                raise ValueError(f"{name} has other columns than y, or in another order; they name the classes")
            right = array.dtype.kind in "iufb" and np.all((array == 0) | (array == 1)) and np.all(array.sum(1) == 1)
            if not right:
                raise ValueError(
                    f"{name} has {len(columns)} columns, not with one 1 and else 0 in each row; classes are one "
                    "column, or such one-hot columns; real answers need targets='regression'"
                )
        return [np.argmax(array, axis=1) for array in arrays], tuple(columns)
    return arrays, ()


def _numbered(name: str, value: Any, names: Sequence[str]) -> np.ndarray:
    array = np.array([str(item) for item in checks.host(name, value).reshape(-1)])
    strange = sorted(set(array.tolist()) - set(names))
    if strange:
        raise ValueError(f"{name} holds {strange[0]!r}, which is none of the categories {', '.join(names)}")
    return np.array([names.index(item) for item in array.tolist()], dtype=np.int64)
