"""Building blocks of the report page: elements whose every text is escaped, and tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

_VOID = ("br", "col", "hr", "input", "link", "meta")


class Html(str):
    """Text that is markup already; any other text is escaped where it is put into an element."""

    __slots__ = ()


def element(name: str, /, *children: object, **attributes: object) -> Html:
    """An element with its children.

    Args:
        name: of the element.
        children: `Html` is put in as it is, None is passed over, anything else is escaped as text.
        attributes: underscores become hyphens, one at the end is dropped (`class_`); None and False leave an attribute
            out, True gives it no value, anything else is escaped.

    Returns:
        The markup.
    """
    given = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Html(f"<{name}{given}>")
    return Html(f"<{name}{given}>{joined(children)}</{name}>")


def joined(children: Iterable[object]) -> Html:
    """Pieces one after the other, escaped where they are not markup."""
    return Html("".join(str(c) if isinstance(c, Html) else escape(str(c)) for c in children if c is not None))


def json_block(content: Any) -> Html:
    """Data for the page's script; no text in it can end the block or start another."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Html(f'<script type="application/json">{text}</script>')


def _attribute(key: str, value: object) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(str(value), quote=True)}"'


@dataclass(frozen=True)
class Cell:
    """A cell of a table that sorts.

    Args:
        content: text, or markup.
        order: what rows are sorted by; None for the content.
    """

    content: object
    order: float | str | None = None

    def html(self, numeric: bool) -> Html:
        """The element, right-aligned where its column holds numbers."""
        order = self.order
        if isinstance(order, float) and not np.isfinite(order):
            order = ""  # after everything else, whichever way it is sorted
        return element("td", self.content, class_="number" if numeric else None, data_order=order)


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        heading: over it.
        numeric: right-aligned.
    """

    heading: object
    numeric: bool = False


def table(
    caption: object, columns: Sequence[Column], rows: Iterable[Sequence[object]], *, label: str, sortable: bool = False
) -> Html:
    """A table that scrolls sideways where it is too wide; the first cell of every row is its heading.

    Args:
        caption: above it.
        columns: headings.
        rows: cells; `Cell` for those that carry their own order.
        label: what a screen reader calls the region that scrolls.
        sortable: every heading is a button that sorts the rows.
    """
    heads = [_head(column, sortable) for column in columns]
    body = [element("tr", *_row(cells, columns)) for cells in rows]
    content = element(
        "table",
        element("caption", element("span", caption)),
        element("thead", element("tr", *heads)),
        element("tbody", *body),
        data_sortable=sortable,
    )
    # What scrolls has to be reachable by keyboard.
    return element("div", content, class_="scroll", role="region", aria_label=f"{label}, table", tabindex="0")


def _head(column: Column, sortable: bool) -> Html:
    text: object = column.heading
    if sortable:
        text = element("button", text, type="button")
    return element(
        "th", text, scope="col", class_="number" if column.numeric else None, aria_sort="none" if sortable else None
    )


def _row(cells: Sequence[object], columns: Sequence[Column]) -> list[Html]:
    first, *others = [cell if isinstance(cell, Cell) else Cell(cell) for cell in cells]
    content = first.content
    if isinstance(content, str) and not isinstance(content, Html):
        # Where it has to break on a small screen, a name breaks behind an underscore.
        content = Html("_<wbr>".join(str(joined([part])) for part in content.split("_")))
    head = element("th", content, scope="row", data_order=first.order)
    return [head, *(cell.html(column.numeric) for cell, column in zip(others, columns[1:], strict=True))]


def terminal_table(given: Table, caption: str, label: str, leading: int = 1) -> Html:
    """A table made for the terminal, as one of the page.

    Args:
        given: the table.
        caption: above it.
        label: what a screen reader calls it.
        leading: so many columns become one, the heading of each row, which stays in view where the table scrolls.
    """
    columns = [Column(_plain(c.header), c.justify == "right") for c in given.columns]
    rows = zip(*([_plain(cell) for cell in column.cells] for column in given.columns), strict=True)
    merged = Column(", ".join(str(column.heading) for column in columns[:leading]))
    filled = [[", ".join(filter(None, row[:leading])), *row[leading:]] for row in rows]
    return table(caption, [merged, *columns[leading:]], filled, label=label)


def _plain(cell: object) -> str:
    return Text.from_markup(cell).plain if isinstance(cell, str) else str(cell)


def pairs(rows: Iterable[tuple[object, object]]) -> Html:
    """A list of names and what they stand for; entries without content are left out."""
    shown = [
        element("div", element("dt", name), element("dd", value)) for name, value in rows if value not in (None, "")
    ]
    return element("dl", *shown)


def without_tex(text: str) -> str:
    """A label made for matplotlib, without its TeX."""
    for mark, plain in (("\\mathbf{", ""), ("}", ""), ("{", ""), ("$", ""), ("\\sqrt", "√"), ("^2", "²")):
        text = text.replace(mark, plain)
    return text
