"""Tables as docutils nodes, from cells of text in which single backticks mark code."""

import re

from docutils import nodes

_SUBSCRIPT = re.compile(r"(?<![A-Za-z]{2})([^\W\d_][\u0302\u0304]?|[\])|])_(\{[^}]*\}|[a-z0-9]+|[A-Z]{2,})")
_CODE = re.compile(r"`([^`]+)`")


def inline(text):
    """Text and code as nodes."""
    parts = _CODE.split(text)
    return [nodes.literal(part, part) if i % 2 else nodes.Text(part) for i, part in enumerate(parts) if part]


def formula(text):
    """Text in which x_y and x_{y z} become subscripts; names of several letters before the underscore stay."""
    made, position = [], 0
    for match in _SUBSCRIPT.finditer(text):
        made += [*inline(text[position : match.start()]), nodes.Text(match[1])]
        made.append(nodes.subscript("", match[2].strip("{}")))
        position = match.end()
    return [*made, *inline(text[position:])]


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
