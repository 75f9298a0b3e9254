"""ARFF, the format of Weka and of OpenML: a header that declares the columns, then lines of cells.

Own code: scipy's reader cuts lines that are longer than the header without a word, and refuses names in double quotes,
blanks beside a comma and letters beyond ASCII (scipy 1.17).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ntkinfo.data.csv_format import Columns, as_numbers
from ntkinfo.data.csv_layout import text_lines
from ntkinfo.data.targets import MISSING

_ATTRIBUTE = re.compile(
    r"""@attribute\s+(?P<name>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s{'"]+)\s*(?P<kind>\{.*\}|\S.*)""", re.IGNORECASE
)
_NUMBERS = ("numeric", "real", "integer")


@dataclass(frozen=True)
class Arff:
    """The columns of an ARFF file.

    Args:
        names: of the columns, in order.
        declared: the values that the header gives to columns of names, in its order.
        columns: the cells, numbers where all are, and text.
    """

    names: tuple[str, ...]
    declared: dict[str, tuple[str, ...]]
    columns: Columns


def read_arff(place: Path, classes: Sequence[str] = ()) -> Arff:
    """Read a dense ARFF file.

    Args:
        place: the file.
        classes: columns whose cells stay text where the header declares their values; without any, the last column.

    Raises:
        ValueError: no header or no rows, sparse lines, lines of another length (with line), values that the header does
            not declare, columns of dates or tables.
    """
    lines = enumerate(text_lines(place), start=1)
    kinds = _header(lines, place)
    names = list(kinds)
    declared = {name: kind for name, kind in kinds.items() if isinstance(kind, tuple)}
    texts = [name for name in classes or names[-1:] if name in declared]
    rows, numbers = [], []
    for number, cells in _rows(lines, place):
        if len(cells) != len(names):
            raise ValueError(f"{place}, line {number} has {len(cells)} cells; the header declares {len(names)} columns")
        rows.append(cells)
        numbers.append(number)
    if not rows:
        raise ValueError(f"{place} declares its columns and has no rows below @data")
    values = {}
    for name, cells in zip(names, zip(*rows, strict=True), strict=True):
        _check_declared(name, cells, numbers, declared.get(name), place)
        found = None if kinds[name] == "string" or name in texts else as_numbers(cells)
        values[name] = np.array(cells, dtype=np.str_) if found is None else found
    return Arff(tuple(names), declared, Columns(values, np.array(numbers), ""))


def _header(lines: Iterator[tuple[int, str]], place: Path) -> dict[str, str | tuple[str, ...]]:
    """Kind of each column, or the values that are declared for it."""
    kinds: dict[str, str | tuple[str, ...]] = {}
    for number, line in lines:
        text = line.strip()
        if text.lower().startswith("@data"):
            if not kinds:
                raise ValueError(f"{place}, line {number}: no @attribute stands before @data")
            return kinds
        if text.lower().startswith("@attribute"):
            found = _ATTRIBUTE.fullmatch(text)
            if found is None:
                raise ValueError(f"{place}, line {number} is no declaration of a column: {text[:80]!r}")
            name, kind = _unquoted(found["name"]), found["kind"].strip()
            if name in kinds:
                raise ValueError(f"{place} declares several columns named {name!r}; rename all but one")
            if kind.startswith("{"):
                kinds[name] = tuple(_cells(kind[1:-1], place, number))
                continue
            kinds[name] = kind.split()[0].lower()
            if kinds[name] not in (*_NUMBERS, "string"):
                raise ValueError(
                    f"{place}, line {number}: the column {name!r} is of the kind {kind!r}; numeric, string and lists "
                    "of values are read: remove or convert the column"
                )
        elif text and not text.startswith("%") and not text.lower().startswith("@relation"):
            raise ValueError(f"{place}, line {number} stands before @data and is no part of a header: {text[:80]!r}")
    raise ValueError(f"{place} has no line @data; it is no ARFF file, or cut short")


def _rows(lines: Iterator[tuple[int, str]], place: Path) -> Iterator[tuple[int, list[str]]]:
    for number, line in lines:
        text = line.strip()
        if not text or text.startswith("%"):
            continue
        if text.startswith("{"):
            raise ValueError(f"{place} is a sparse ARFF file (line {number}); write it dense (Weka: SparseToNonSparse)")
        yield number, _cells(text, place, number)


def _cells(text: str, place: Path, number: int) -> list[str]:
    """The cells of a line, which may be quoted by either mark."""
    marks = [mark for mark in "'\"" if mark in text]
    quote = min(marks, key=text.index) if marks else "'"
    delimiter = "," if "," in text or "\t" not in text else "\t"
    if len(marks) == 2:  # one mark for all, where neither stands inside the other
        text, quote = re.sub(r'"([^"\']*)"', r"'\1'", text), "'"
    try:
        rows = list(csv.reader([text], delimiter=delimiter, quotechar=quote, escapechar="\\", skipinitialspace=True))
    except csv.Error as error:
        raise ValueError(f"{place}, line {number}: {error}") from error
    return [cell.strip() for cell in rows[0]] if rows else []


def _unquoted(name: str) -> str:
    return re.sub(r"\\(.)", r"\1", name[1:-1]) if name[0] in "'\"" else name


def _check_declared(
    name: str, cells: Sequence[str], lines: Sequence[int], declared: Sequence[str] | None, place: Path
) -> None:
    if declared is None:
        return
    known = {*declared, *MISSING}
    for line, cell in zip(lines, cells, strict=True):
        if cell not in known:
            raise ValueError(
                f"{place}, line {line}, column {name!r} holds {cell!r}, which the header does not declare; it declares "
                f"{', '.join(declared)}"
            )
