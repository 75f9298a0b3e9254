"""Docstrings are plain text with `code` in single backticks; here they become reStructuredText.

Names in backticks that are documented become links, all others code. Characters that reStructuredText would read as
markup (|x|, Θ_*, y_) are escaped, except in examples.
"""

import re

from reference_pages.public import RAISED, PublicNames, raised

_CODE = re.compile(r"``.+?``|`[^`]+`", re.DOTALL)
_SPECIAL = re.compile(r"[\\*|]|_(?!\w)")
SHEETS = re.compile(r"\btheory §[1-8](?:\.\d)?|\bmethods [A-F]\b")
_EXAMPLE = re.compile(r"(^[ ]*>>> .*?(?:\n[ ]*\n|\Z))", re.MULTILINE | re.DOTALL)


def translate(text, public):
    """A docstring as reStructuredText."""
    parts = _EXAMPLE.split(text)
    return "".join(part if index % 2 else _prose(part, public) for index, part in enumerate(parts))


def _prose(text, public):
    pieces, position = [], 0
    for match in _CODE.finditer(text):
        pieces.append(_escape(text[position : match.start()]))
        pieces.append(_code(match.group().strip("`"), public))
        position = match.end()
    return "".join([*pieces, _escape(text[position:])])


def _escape(text):
    return SHEETS.sub(_sheet_link, _SPECIAL.sub(lambda match: "\\" + match.group(), text))


def _sheet_link(match):
    return f":ref:`{match[0]} <{sheet_label(match[0])}>`"


def sheet_label(text):
    """The label of a section of the theory: "theory §5.2" and "methods B" are how sources cite it."""
    kind, _, place = text.replace("§", "").partition(" ")
    whole = place if place.startswith("5.") else place.partition(".")[0]
    return f"{kind}-{whole.replace('.', '-')}"


def _code(text, public):
    known = public.target(text)
    return f":py:obj:`{text} <{known}>`" if known else f"``{text}``"


def _with_full_exceptions(text, value):
    """Name this package's exceptions as they are documented; Sphinx shows the last part."""
    public = PublicNames.of_package()
    full = {name: f"~{public.documented(error)}" for name, error in raised(value).items()}
    return RAISED.sub(lambda match: re.sub(r"[A-Z]\w+", lambda name: full.get(name[0], name[0]), match[0]), text)


_ATTRIBUTES = ("attribute", "data", "property")


def setup(app):
    """Translate before napoleon reads the sections, and keep from it what it would misread."""
    kept = {}

    def process(_app, what, name, obj, _options, lines):
        text = _with_full_exceptions("\n".join(lines), obj)
        lines[:] = translate(text, PublicNames.of_package()).split("\n")
        if what in _ATTRIBUTES:
            kept[name] = list(lines)

    def restore(_app, what, name, _obj, _options, lines):
        # napoleon takes what stands before a colon in the docstring of an attribute for its type.
        if what in _ATTRIBUTES and name in kept and not any(line.startswith("Returns:") for line in lines):
            lines[:] = kept.pop(name)

    app.connect("autodoc-process-docstring", process, priority=400)
    app.connect("autodoc-process-docstring", restore, priority=600)
