"""Mends the links from the pages of source code back to the reference.

viewcode takes all the objects of a module to be documented under one prefix. Here public names are documented as
`ntkinfo.name` and the rest under the module they live in.
"""

import functools
import re

from reference_pages.public import PublicNames, resolve

_BACK = re.compile(r'(<a class="viewcode-back" href="[^"#]*#)([^"]+)"')


@functools.cache
def _documented():
    """The name each object is documented under, by the module that defines it and its own name."""
    public = PublicNames.of_package()
    found = {name: resolve(name) for name in (*public.records, *public.homes)}
    return {(getattr(o, "__module__", ""), getattr(o, "__name__", "")): name for name, o in found.items()}


def _mend(_app, page, _template, context, _doctree):
    if not page.startswith("_modules/ntkinfo"):
        return
    module = page.removeprefix("_modules/").replace("/", ".")

    def anchor(match):
        # Behind whatever prefix was taken stands the object's own name, and perhaps a method's.
        parts = match[2].split(".")
        for place, part in enumerate(parts):
            name = _documented().get((module, part))
            if name:
                return f'{match[1]}{".".join([name, *parts[place + 1 :]])}"'
        return match[0]

    context["body"] = _BACK.sub(anchor, context["body"])


def setup(app):
    """Connect before such a page is written."""
    app.connect("html-page-context", _mend)
