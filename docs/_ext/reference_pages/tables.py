"""Tables as docutils nodes, from cells of text in which single backticks mark code."""

import re

from docutils import nodes

_CODE = re.compile(r"`([^`]+)`")


def inline(text):
    """Text and code as nodes."""
    parts = _CODE.split(text)
    return [nodes.literal(part, part) if i % 2 else nodes.Text(part) for i, part in enumerate(parts) if part]


def table(headings, rows, widths, classes=()):
    """A table with one heading row; a cell is text or a list of nodes."""
    made = nodes.table(classes=[*classes])
    group = nodes.tgroup(cols=len(headings))
    made += group
    for width in widths:
        group += nodes.colspec(colwidth=width)
    head, body = nodes.thead(), nodes.tbody()
    head += _row(headings)
    for row in rows:
        body += _row(row)
    group += [head, body]
    return made


def _row(cells):
    row = nodes.row()
    for cell in cells:
        paragraph = nodes.paragraph()
        paragraph += inline(cell) if isinstance(cell, str) else cell
        row += nodes.entry("", paragraph)
    return row
