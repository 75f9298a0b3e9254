"""Directives that document names by the module they live in, and the check that every public name is documented."""

import inspect
from typing import ClassVar

from docutils.parsers.rst import directives
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from reference_pages.docstrings import translate
from reference_pages.public import PublicNames, resolve

_LOGGER = logging.getLogger(__name__)


def _belongs(home, modules):
    return any(home == module or home.startswith(f"{module}.") for module in modules)


def first_sentence(value):
    """The first line of a docstring."""
    return (inspect.getdoc(value) or "").split("\n\n")[0].replace("\n", " ")


class _NamesDirective(SphinxDirective):
    has_content = True
    option_spec: ClassVar = {"but": directives.unchanged}

    def _parsed(self, text):
        return self.parse_text_to_nodes(text, allow_section_headings=True)

    def _entries(self, names):
        return "\n\n".join(_entry(name) for name in names)


def _entry(name):
    value = resolve(name)
    if inspect.isclass(value):
        kind = "autoexception" if issubclass(value, BaseException) else "autoclass"
    else:
        kind = "autofunction" if callable(value) else "autodata"
    lines = [f".. {kind}:: {name}"]
    if kind == "autodata":
        lines += ["   :no-value:"]
    return "\n".join(lines)


def _summary(names):
    lines = [".. list-table::", "   :class: dense names", "   :widths: 40 60", ""]
    for name in names:
        role = ":py:obj:"
        lines.append(f"   * - {role}`{name.rpartition('.')[2]} <{name}>`")
        text = translate(first_sentence(resolve(name)), PublicNames.of_package())
        lines.append(f"     - {text}")
    return "\n".join(lines)


class PublicNamesDirective(_NamesDirective):
    """`.. public-names::` with modules as content: a table of their public names, then each of them."""

    def run(self):
        """Document what lives in the modules that are named."""
        public = PublicNames.of_package()
        modules, left_out = "\n".join(self.content).split(), self.options.get("but", "").split()
        names = [
            name for name, home in public.homes.items() if _belongs(home, modules) and not _belongs(home, left_out)
        ]
        # In the order of the modules that are named; classes first, as the functions' signatures are read with them.
        first = {name: [_belongs(public.homes[name], [module]) for module in modules].index(True) for name in names}
        names.sort(key=lambda name: (first[name], not inspect.isclass(resolve(name))))
        self.env.metadata[self.env.docname].setdefault("documented", "")
        self.env.metadata[self.env.docname]["documented"] += " ".join(["", *names])
        return self._parsed(f"{_summary(names)}\n\n{self._entries(names)}") if names else []


class RecordsDirective(_NamesDirective):
    """`.. records::` with modules as content: classes that public signatures there mention."""

    def run(self):
        """Document what functions return and take beside the public names."""
        modules, left_out = "\n".join(self.content).split(), self.options.get("but", "").split()
        records = PublicNames.of_package().records
        names = [name for name, home in records.items() if _belongs(home, modules) and not _belongs(home, left_out)]
        self.env.metadata[self.env.docname].setdefault("documented", "")
        self.env.metadata[self.env.docname]["documented"] += " ".join(["", *names])
        return self._parsed(self._entries(names)) if names else []


class RemainingNamesDirective(_NamesDirective):
    """`.. remaining-names::` with packages as content: what lives there and is not on this page so far."""

    def run(self):
        """Document what modules that no group of the page names have made public."""
        public = PublicNames.of_package()
        packages, left_out = "\n".join(self.content).split(), self.options.get("but", "").split()
        there = str(self.env.metadata[self.env.docname].get("documented", "")).split()
        every = {**public.homes, **public.records}
        here = {name for name, home in every.items() if _belongs(home, packages) and not _belongs(home, left_out)}
        names = sorted(here - set(there))
        self.env.metadata[self.env.docname]["documented"] = " ".join([*there, *names])
        return self._parsed(self._entries(names)) if names else []


class InternalNamesDirective(_NamesDirective):
    """`.. internal-names::` with dotted names as content."""

    def run(self):
        """Document each name that is not documented already under a public one."""
        documented = PublicNames.of_package().documented
        names = [name for name in "\n".join(self.content).split() if documented(resolve(name)) is None]
        return self._parsed(self._entries(names)) if names else []


def _check_complete(app, env):
    documented = " ".join(str(env.metadata[page].get("documented", "")) for page in env.all_docs).split()
    public = PublicNames.of_package()
    for name in sorted({*public.homes, *public.records} - set(documented)):
        _LOGGER.warning("%s is documented on no page of the reference", name, location="reference/index")
    for name in sorted({name for name in documented if documented.count(name) > 1}):
        _LOGGER.warning("%s is documented twice in the reference", name, location="reference/index")


def setup(app):
    """Register the directives and the check."""
    app.add_directive("public-names", PublicNamesDirective)
    app.add_directive("records", RecordsDirective)
    app.add_directive("remaining-names", RemainingNamesDirective)
    app.add_directive("internal-names", InternalNamesDirective)
    app.connect("env-check-consistency", _check_complete)
