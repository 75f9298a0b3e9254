"""Columns of a text table: numbers with a decimal point or comma, truth values, text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from ntkinfo.core import checks
from ntkinfo.data.csv_layout import Layout
from ntkinfo.data.targets import MISSING

_TRUTH = {"true": 1.0, "false": 0.0}
# 1,234 may be a thousand; 0,123 and 12,5 may not.
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")
_CHUNK = 4096  # rows


@dataclass(frozen=True)
class Columns:
    """Columns of one file by name: float64 where every cell is a number or a truth value, else text.

    Args:
        values: (n,) each.
        lines: (n,) line of each row in the file.
        reading: what was guessed, in words.
    """

    values: dict[str, np.ndarray]
    lines: np.ndarray
    reading: str


@dataclass
class _Decimals:
    """Which decimal marks were met, each with the first line and cell."""

    asked: str
    point: tuple[int, str] | None = None
    comma: tuple[int, str] | None = None
    sure: bool = False  # a comma was met that parts no thousands

    def note(self, lines: Sequence[int], cells: Sequence[str]) -> None:
        for line, cell in zip(lines, cells, strict=True):
            if "," in cell:
                self.comma = self.comma or (line, cell)
                self.sure = self.sure or not _THOUSANDS.fullmatch(cell)
            elif "." in cell:
                self.point = self.point or (line, cell)

    def check(self, place: Path) -> None:
        """Refuse a file in which a comma may be either."""
        if self.comma is None or self.asked == ",":
            return
        line, cell = self.comma
        if self.point is not None:
            other, seen = self.point
            raise ValueError(
                f"{place} holds {cell!r} in line {line} and {seen!r} in line {other}: a comma and a point as decimal "
                "mark; write all numbers alike, without marks between thousands"
            )
        if not self.sure:
            raise ValueError(
                f"{place}, line {line} holds {cell!r}, which may be a fraction or thousands; say decimal=',' for "
                "fractions, or remove the commas"
            )


@dataclass
class _Reader:
    """Reads chunk by chunk; a column that turns out to be text is kept as text from then on."""

    layout: Layout
    decimals: _Decimals
    texts: set[str]
    classes: Sequence[str]
    kinds: dict[str, str] = field(default_factory=dict)

    def read(self, names: Sequence[str]) -> Columns | None:
        """The columns; None where one turned out to be text after rows of it were read as numbers."""
        places = {name: self.layout.names.index(name) for name in names}
        parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
        lines: list[int] = []
        for chunk in _chunks(self.layout.rows()):
            numbers = [line for line, _ in chunk]
            for name, position in places.items():
                cells = [row[position] for _, row in chunk]
                part = None if name in self.texts else self._numbers(name, numbers, cells)
                if part is None and name not in self.texts:
                    self.texts.add(name)
                    if parts[name]:
                        return None
                parts[name].append(np.array(cells, dtype=np.str_) if part is None else part)
            lines += numbers
        if not lines:
            raise ValueError(f"{self.layout.place} names its columns and has no rows below them")
        return Columns({name: np.concatenate(part) for name, part in parts.items()}, np.array(lines), self._reading())

    def _numbers(self, name: str, lines: Sequence[int], cells: Sequence[str]) -> np.ndarray | None:
        """The cells as numbers; None where one is none."""
        values = as_numbers(cells, self.decimals.asked)
        if values is not None:
            if any("," in cell for cell in cells) or self.decimals.point is None:
                self.decimals.note(lines, cells)
            kind = "numbers"
        else:
            truth = [_TRUTH.get(cell.lower()) for cell in cells]
            if None in truth or name in self.classes:
                return None
            values, kind = np.array(truth, dtype=np.float64), "truth"
        return values if self.kinds.setdefault(name, kind) == kind else None

    def _reading(self) -> str:
        words = [self.layout.reading]
        if self.decimals.comma is not None:
            words.append("decimal commas")
        truth = [name for name, kind in self.kinds.items() if kind == "truth" and name not in self.texts]
        if truth:
            words.append(f"true as 1 and false as 0 in {', '.join(truth)}")
        return "; ".join(words)


def read_columns(
    layout: Layout, names: Sequence[str], decimal: str, classes: Sequence[str] = (), texts: set[str] | None = None
) -> Columns:
    """Read the named columns.

    Args:
        layout: of the file.
        names: of the columns.
        decimal: ".", "," or "auto".
        classes: columns in which true and false are names.
        texts: columns to be kept as text in any case; others that turn out to be text are added.

    Raises:
        ValueError: no rows, lines of another length, commas and points as decimal marks.
    """
    checks.choice("decimal", decimal, ("auto", ".", ","))
    texts = set() if texts is None else texts
    while True:
        decimals = _Decimals(decimal)
        found = _Reader(layout, decimals, texts, classes).read(names)
        if found is not None:
            decimals.check(layout.place)
            return found


def as_numbers(cells: Sequence[str], decimal: str = ".") -> np.ndarray | None:
    """The cells as float64, NaN and infinities among them; None where one is no decimal number.

    Args:
        cells: without blanks around them.
        decimal: the decimal mark; "auto" takes both, also in one column.
    """
    joined = "\n".join(cells)
    # Python reads 1_05 as 105, and digits of other scripts.
    if "_" in joined or not joined.isascii() or (decimal == "," and "." in joined):
        return None
    if "," in joined:
        if decimal == ".":
            return None
        joined = joined.replace(",", ".")
    try:
        values = np.array([float(cell) for cell in joined.split("\n")])
    except ValueError:
        return None
    return values if len(values) == len(cells) else None


def refuse_cells(place: Path, name: str, columns: Columns, advice: str = "") -> None:
    """Raise ValueError for the first cell of a column that is missing, not a number or not finite.

    Args:
        place: the file.
        name: of the column.
        columns: that hold it.
        advice: what to do with text, added to the message.
    """
    values = columns.values[name]
    if values.dtype.kind == "f":
        wrong = np.flatnonzero(~np.isfinite(values))
        if wrong.size:
            at = f"{place}, line {columns.lines[wrong[0]]}, column {name!r}"
            raise ValueError(f"{at} holds {values[wrong[0]]:g}; values must be finite{_more(len(wrong))}")
        return
    cells = [str(cell) for cell in values]
    refuse_missing(place, name, columns)
    for line, cell in zip(columns.lines, cells, strict=True):
        number = as_numbers([cell], "auto")
        if number is None or not np.isfinite(number[0]):
            raise ValueError(f"{place}, line {line}, column {name!r} holds {cell!r}, which is not a number{advice}")


def refuse_missing(place: Path, name: str, columns: Columns, classes: bool = False) -> None:
    """Raise ValueError for the first cell of a text column that is empty or marks a missing value."""
    lacking = [k for k, cell in enumerate(map(str, columns.values[name])) if not cell or cell in MISSING]
    if not lacking:
        return
    line, cell = columns.lines[lacking[0]], str(columns.values[name][lacking[0]])
    at, more = f"{place}, line {line}, column {name!r}", _more(len(lacking))
    if not cell:
        need = "each input needs a class" if classes else "fill it in or remove the line"
        raise ValueError(f"{at} is empty; {need}{more}")
    need = "fill it in or remove the line"
    if classes:
        need = "each input needs a class: remove the line, or spell out the class of that name"
    raise ValueError(f"{at} holds {cell!r}, which marks a missing value; {need}{more}")


def _more(count: int) -> str:
    return f" ({count} such cells in this column)" if count > 1 else ""


def _chunks(rows: Iterator[tuple[int, list[str]]]) -> Iterator[Sequence[tuple[int, list[str]]]]:
    while chunk := list(islice(rows, _CHUNK)):
        yield chunk
