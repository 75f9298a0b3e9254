"""Tables laid out for the width there is: no number, name or unit is ever cut, whatever the width.

A table that is too wide becomes several below each other, each with some of the columns, or its rows stand under
headings that hold what comes before the numbers. Everything a table holds is shown at any width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

_GAP = 2  # blanks between columns, and before rows under a heading
_LEAST_PROSE = 24  # cells that a column of sentences needs before it is worth a place beside the others


@dataclass(frozen=True)
class _Column:
    """A column: heading, cells, whether it is flush right, and whether its cells are sentences that may be broken."""

    heading: Text
    cells: tuple[Text, ...]
    right: bool
    prose: bool = False
    width: int = field(default=0)


def print_table(console: Console, table: Table, keys: Sequence[str] = (), above: Sequence[str] = ()) -> None:
    """Print a table as one, or as several narrow ones where the console is narrower than it.

    Args:
        console: where to print.
        table: its columns are never broken, but for a last one without `no_wrap`, whose sentences may be.
        keys: headings of the columns that every part repeats, first of all; the first column, where none is named.
        above: those of them that may stand as a line over the rows they belong to, where that takes fewer lines.
    """
    columns = [_column(column.header, list(column.cells), column) for column in table.columns]
    keys = keys or [columns[0].heading.plain]
    fixed = [column for column in columns if column.heading.plain in keys]
    rest = [column for column in columns if column.heading.plain not in keys]
    if table.title:
        _print(console, _text(table.title), "italic")
    lines = _lines(fixed, rest, set(above), console.width, table.show_header)
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False)


def _lines(
    fixed: Sequence[_Column], rest: Sequence[_Column], above: set[str], width: int, headings: bool
) -> list[Text]:
    """The shortest of the layouts that fit; where none does, the narrowest."""
    whole = _fitted([*fixed, *rest], width)
    if whole:
        return _grid(whole, headings)
    found = []
    parts = _parts(fixed, rest, width)
    if parts:
        found.append(_stacked([_grid(part, headings) for part in parts]))
    over = [column for column in fixed if column.heading.plain in above]
    beside = [column for column in fixed if column.heading.plain not in above]
    if over:
        found.append(_under_headings(over, _parts(beside, rest, width - _GAP) or _narrow(beside, rest, width - _GAP)))
    if not found:
        found.append(_stacked([_grid(part, headings) for part in _narrow(fixed, rest, width)]))
    return min(found, key=len)


def _parts(fixed: Sequence[_Column], rest: Sequence[_Column], width: int) -> list[list[_Column]]:
    """As few groups of columns as fit, the fixed ones in front of each; empty where one column is too wide alone."""
    for count in range(1, len(rest) + 1):
        share = -(-len(rest) // count)
        groups = [rest[start : start + share] for start in range(0, len(rest), share)]
        fitted = [_fitted([*fixed, *group], width) for group in groups]
        if all(fitted):
            return fitted
    return []


def _narrow(fixed: Sequence[_Column], rest: Sequence[_Column], width: int) -> list[list[_Column]]:
    """A group for every column, though some are too wide: a terminal breaks their lines, and nothing is lost."""
    left = max(_LEAST_PROSE, width - sum(column.width + _GAP for column in fixed))
    return [[*fixed, replace(c, width=min(c.width, left)) if c.prose else c] for c in rest]


def _fitted(columns: Sequence[_Column], width: int) -> list[_Column]:
    """The columns, sentences broken to what is left of the width; empty where they do not fit."""
    needed = sum(column.width for column in columns) + _GAP * (len(columns) - 1)
    if needed <= width:
        return list(columns)
    last = columns[-1]
    left = width - (needed - last.width)
    if last.prose and left >= min(_LEAST_PROSE, last.width):
        return [*columns[:-1], replace(last, width=left)]
    return []


def _grid(columns: Sequence[_Column], headings: bool = True) -> list[Text]:
    """Lines of a table: headings and rows."""
    last = len(columns) - 1
    lines = [_row([c.heading.copy() for c in columns], columns)] if headings else []
    for line in lines:
        line.stylize("bold")
    for cells in zip(*(column.cells for column in columns), strict=True):
        broken = _broken(cells[last], columns[last])
        lines.append(_row([*cells[:last], broken[0]], columns))
        lines += [_row([*(Text() for _ in range(last)), more], columns) for more in broken[1:]]
    return lines


def _under_headings(over: Sequence[_Column], parts: Sequence[Sequence[_Column]]) -> list[Text]:
    """Lines of tables whose rows stand under what the columns `over` say of them."""
    blocks = []
    for part in parts:
        first, *rows = _split_rows(part)
        heads = Text("  ").join(column.heading for column in over)
        heads.stylize("bold")
        lines = [heads, Text(" " * _GAP) + first[0]]
        said: tuple[str, ...] = ()
        for number, row in enumerate(rows):
            cells = tuple(column.cells[number].plain for column in over)
            if cells != said:
                lines.append(Text("  ").join(column.cells[number] for column in over if column.cells[number].plain))
            said = cells
            lines += [Text(" " * _GAP) + line for line in row]
        blocks.append(lines)
    return _stacked(blocks)


def _split_rows(columns: Sequence[_Column]) -> list[list[Text]]:
    """Lines of the heading, then of every row."""
    grids = [_grid([replace(column, cells=()) for column in columns])]
    for number in range(len(columns[0].cells)):
        grids.append(_grid([replace(column, cells=(column.cells[number],)) for column in columns], headings=False))
    return grids


def _row(cells: Sequence[Text], columns: Sequence[_Column]) -> Text:
    line = Text()
    for number, (cell, column) in enumerate(zip(cells, columns, strict=True)):
        blanks = " " * (column.width - cell_len(cell.plain))
        line += Text(" " * _GAP if number else "") + (Text(blanks) + cell if column.right else cell + Text(blanks))
    line.rstrip()
    return line


def _broken(cell: Text, column: _Column) -> list[Text]:
    """A cell in lines of the column's width, broken between words."""
    if cell_len(cell.plain) <= column.width:
        return [cell]
    lines = list(cell.wrap(Console(width=column.width), column.width, overflow="fold"))
    for line in lines:
        line.rstrip()
    return lines


def _stacked(blocks: Sequence[list[Text]]) -> list[Text]:
    """Blocks with an empty line between them."""
    return [line for number, block in enumerate(blocks) for line in ([Text()] if number else []) + block]


def _column(header: object, cells: Sequence[object], given: object) -> _Column:
    right, prose = getattr(given, "justify", "left") == "right", not getattr(given, "no_wrap", True)
    texts = tuple(_text(cell) for cell in cells)
    heading = _text(header)
    width = max(cell_len(text.plain) for text in (heading, *texts))
    return _Column(heading, texts, right, prose, width)


def _text(cell: object) -> Text:
    text = cell.copy() if isinstance(cell, Text) else Text.from_markup(str(cell))
    return text if "\n" not in text.plain else Text(text.plain.replace("\n", "\\n"))


def _print(console: Console, text: Text, style: str) -> None:
    text.stylize(style)
    console.print(text, soft_wrap=True, highlight=False)
