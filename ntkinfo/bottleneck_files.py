"""Pairs of X and Y, and tables of their joint law, from the files that `ntkinfo curves` reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ntkinfo.bottleneck_config import PairsSection
from ntkinfo.config_reading import Finding
from ntkinfo.core.records import Dataset
from ntkinfo.data import registry
from ntkinfo.data.csv_format import as_numbers
from ntkinfo.data.csv_layout import find_layout, is_numeral
from ntkinfo.data.formats import format_of

# Every row is a sample, as it stands.
_AS_THEY_ARE = {"standardise": False, "standardise_targets": False, "repeats_together": False}


@dataclass(frozen=True)
class Pairs:
    """Samples of X and Y.

    Args:
        x: (n, d) numbers, text as one-hot columns.
        y: (n, C) numbers, or one-hot where Y is a class.
        labels: (n,) number of each class, None where Y is real.
        class_names: of the classes.
    """

    x: np.ndarray
    y: np.ndarray
    labels: np.ndarray | None
    class_names: tuple[str, ...] = ()


def reader_of(path: str, section: PairsSection) -> str:
    """Name of the data set of the registry that reads a file of samples.

    Raises:
        ValueError: the file's name does not say it.
    """
    name = section.name or format_of(path)
    if name is None:
        raise ValueError(f"the name of {path} does not say how it is read; give --data, such as --data csv")
    return name.replace("-", "_")


def read_pairs(path: str, section: PairsSection, classes: bool | None) -> Pairs:
    """The samples in a file.

    Args:
        path: the file.
        section: how it is read.
        classes: Y is a class (True), numbers (False), or numbers where it holds numbers alone (None).

    Raises:
        ValueError: what the reader refuses.
        OSError: there is no such file.
    """
    name = reader_of(path, section)
    if classes is not None:
        return _pairs(_load(name, path, section, classes))
    try:
        return _pairs(_load(name, path, section, False))
    except (ValueError, TypeError) as error:
        try:
            return _pairs(_load(name, path, section, True))
        except (ValueError, TypeError):
            raise error from None


def read_joint(path: str, section: PairsSection) -> np.ndarray:
    """How often each value of X meets each class of Y among the samples of a file, (values, classes).

    Raises:
        ValueError: X is no whole numbers or text; what the reader refuses.
    """
    try:
        pairs = read_pairs(path, section, classes=True)
    except ValueError as error:
        raise ValueError(str(error).replace("use targets='regression'", "take --problem samples")) from error
    if np.any(pairs.x != np.floor(pairs.x)) or pairs.labels is None:
        raise ValueError(
            f"{path}: X holds fractions; values that are counted are whole numbers or text (for real numbers take "
            "--problem samples)"
        )
    _, rows = np.unique(pairs.x, axis=0, return_inverse=True)
    table = np.zeros((int(rows.max()) + 1, len(pairs.class_names)))
    np.add.at(table, (rows.reshape(-1), pairs.labels), 1)
    return table


def read_table(place: Path, section: PairsSection) -> np.ndarray:
    """A table of numbers, with or without names of its rows and columns.

    Args:
        place: a text table.
        section: how it is read.

    Raises:
        ValueError: text among the numbers, rows of different lengths, no rows.
    """
    layout = find_layout(place, section.delimiter, "no", ())
    rows = list(layout.all_rows())
    named = section.header == "yes" or (
        section.header in (None, "auto") and bool(rows) and any(not is_numeral(cell) for cell in rows[0][1])
    )
    body = rows[1:] if named else rows
    # The corner above the rows' names may be left out, as R does it.
    row_names = named and bool(body) and (len(body[0][1]) == len(rows[0][1]) + 1 or not is_numeral(body[0][1][0]))
    row_names = row_names or (named and not rows[0][1][0])
    cells = [(line, row[row_names:]) for line, row in body]
    lengths = {len(row) for _, row in cells}
    if len(lengths) != 1:
        raise ValueError(f"{place} has rows of {sorted(lengths)} cells; a table has as many in each")
    table = np.empty((len(cells), lengths.pop()))
    for i, (line, row) in enumerate(cells):
        for j, cell in enumerate(row):
            number = as_numbers([cell], section.decimal or "auto")
            if number is None:
                raise ValueError(
                    f"{place}: line {line}, cell {j + 1 + row_names} is {cell!r}; it must be a number, but for names "
                    "in the first line and the first column"
                )
            table[i, j] = number[0]
    return table


def findings(path: str | None, section: PairsSection, problem: str) -> Iterator[Finding]:
    """What is wrong with how a file is to be read."""
    given = section.given()
    if not given:
        return
    if problem not in ("joint", "samples"):
        key = next(iter(given))
        yield "data", key, f"{key} does not apply to the problem {problem!r}; it belongs to joint, samples"
        return
    if path is None:
        return
    try:
        name = reader_of(path, section)
    except ValueError as error:
        yield "problem", "path", str(error)
        return
    if name not in registry.ENTRIES or "path" not in registry.ENTRIES[name].options:
        known = [key for key, entry in registry.ENTRIES.items() if "path" in entry.options]
        yield "data", "name", f"data is {name!r}; a file is read as one of {', '.join(known)}"
        return
    known = {*registry.ENTRIES[name].options, "name", "one_hot"}
    for key in given:
        if key not in known:
            yield "data", key, f"{key} does not apply to the data {name!r}"


def _load(name: str, path: str, section: PairsSection, classes: bool) -> Dataset:
    entry = registry.ENTRIES[name]
    options: dict[str, Any] = {key: value for key, value in section.given().items() if key not in ("name", "one_hot")}
    if "text_features" in entry.options:
        options.setdefault("text_features", "one-hot")
    if entry.options.get("target") is not None and entry.options["target"].required and "target" not in options:
        raise ValueError(f"{path}: say which column is Y; give --target, or target under [data]")
    return registry.load(name, path=path, targets="one-hot" if classes else "regression", **_AS_THEY_ARE, **options)


def _pairs(data: Dataset) -> Pairs:
    x = np.concatenate([data.x_train, data.x_test])
    x = x.reshape(len(x), -1)
    if data.labels_train is None or data.labels_test is None:
        return Pairs(x, np.concatenate([data.y_train, data.y_test]), None)
    labels = np.concatenate([data.labels_train, data.labels_test])
    return Pairs(x, np.eye(len(data.class_names))[labels], labels, data.class_names)
