"""Mends the links from the pages of source code back to the reference.

viewcode takes all the objects of a module to be documented under one prefix. Here public names are documented as
`ntkinfo.name` and the rest under the module they live in.
"""

import re

from reference_pages.public import PublicNames

_BACK = re.compile(r'(<a class="viewcode-back" href="[^"#]*#)([^"]+)"')


def _mend(_app, page, _template, context, _doctree):
    if not page.startswith("_modules/"):
        return
    module = page.removeprefix("_modules/").replace("/", ".")
    public = PublicNames.of_package()
    shared = {home: name.rpartition(".")[0] for name, home in public.homes.items()}

    def anchor(match):
        # The link ends in the object's own name, and perhaps a method's, behind whatever prefix was taken.
        own = match[2].removeprefix(f"{module}.").removeprefix(f"{shared.get(module, 'ntkinfo')}.")
        first, _, rest = own.partition(".")
        for prefix in (shared.get(module), module):
            if f"{prefix}.{first}" in {**public.homes, **public.records} or prefix == module:
                return f'{match[1]}{prefix}.{first}{"." if rest else ""}{rest}"'
        return match[0]

    context["body"] = _BACK.sub(anchor, context["body"])


def setup(app):
    """Connect before such a page is written."""
    app.connect("html-page-context", _mend)
