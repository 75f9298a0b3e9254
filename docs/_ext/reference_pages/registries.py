"""Tables of what the package registers: measures of generalisation, quantities of the curves, data sets."""

import dataclasses

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_id

from ntkinfo.data.preparation import Preparation
from ntkinfo.data.registry import ENTRIES
from ntkinfo.generalization import registry
from ntkinfo.generalization.registry import MEASURES
from ntkinfo.information.quantities import QUANTITIES, SUFFIXES
from reference_pages.docstrings import SHEETS, sheet_label
from reference_pages.tables import formula, inline, table

_KERNELS = {"nngp and ntk": "each of K, Θ", "both": "K and Θ together", "the law's": "that of training", "none": "–"}


class MeasuresTable(SphinxDirective):
    """`measures-table`: one table a family, from `ntkinfo.generalization.MEASURES`."""

    def run(self):
        """Build a section a family."""
        made = []
        for family in registry._FAMILIES:
            title = (family.__doc__ or family.__name__).split("\n")[0].rstrip(".")
            section = nodes.section(ids=[make_id(self.env, self.state.document, "", family.__name__)])
            section += nodes.title(title, "", *inline(title))
            section += table(
                ("measure", "formula and source", "properties"),
                [(self._name(m), self._formula(m), self._properties(m)) for m in family.MEASURES],
                (26, 50, 24),
                ("dense", "measures"),
            )
            made.append(section)
        assert sum(len(family.MEASURES) for family in registry._FAMILIES) == len(MEASURES)
        return made

    def _name(self, measure):
        identifier = f"measure-{measure.name.replace('_', '-')}"
        target = nodes.inline("", "", nodes.literal(measure.name, measure.name), ids=[identifier])
        domain = self.env.get_domain("std")
        domain.anonlabels[identifier] = self.env.docname, identifier
        domain.labels[identifier] = self.env.docname, identifier, measure.name
        return [target, nodes.inline("", "", *formula(f" {measure.symbol}"), classes=["symbol"])]

    @staticmethod
    def _formula(measure):
        source = nodes.inline("", "", *_cited(f"{measure.source}; {measure.outputs}"), classes=["source"])
        return [*formula(measure.formula), nodes.inline("", " "), source]

    @staticmethod
    def _properties(measure):
        needs = ", ".join(measure.needs)
        text = f"{measure.direction} is better; {measure.meaning}; in {_unit(measure.unit)}; "
        return inline(f"{text}kernel: {_KERNELS[measure.kernels]}; needs {needs}")


def _cited(text):
    """Text in which sections of the theory are links."""
    made, position = [], 0
    for match in SHEETS.finditer(text):
        made.append(nodes.Text(text[position : match.start()]))
        options = {"refdomain": "std", "reftype": "ref", "reftarget": sheet_label(match[0]), "refexplicit": True}
        made.append(pending_xref("", nodes.inline("", match[0]), refwarn=True, **options))
        position = match.end()
    return [*made, nodes.Text(text[position:])]


def _unit(unit):
    return {"nat": "nats", "1": "pure numbers"}.get(unit, f"units of {unit}")


class QuantitiesTable(SphinxDirective):
    """`quantities-table`: the variables of a set of curves, from `ntkinfo.information.quantities`."""

    def run(self):
        """Build the table of curves and the one of suffixes."""
        rows = [
            ([nodes.literal(name, name)], q.long_name, q.units, self._remarks(q), ", ".join(q.dims))
            for name, q in QUANTITIES.items()
        ]
        suffixes = [([nodes.literal(name, name)], meaning) for name, meaning in SUFFIXES.items()]
        return [
            table(("variable", "quantity", "unit", "value", "over"), rows, (36, 30, 10, 14, 10), ("dense",)),
            table(("suffix", "what the variable holds"), suffixes, (40, 60), ("dense",)),
        ]

    @staticmethod
    def _remarks(quantity):
        meaning = quantity.meaning or "as its attribute says"
        return meaning if quantity.default else f"{meaning}; on request"


class DataSetsTable(SphinxDirective):
    """`data-sets-table`: what `ntkinfo data` lists, with the options that are not those of every data set."""

    def run(self):
        """Build the table, with the common options below it."""
        common = [field.name for field in dataclasses.fields(Preparation)]
        rows = [
            (
                [nodes.literal(name, name)],
                entry.meaning,
                inline(_codes(option for option in entry.options if option not in common)),
                "yes" if entry.preparation else "no",
            )
            for name, entry in ENTRIES.items()
        ]
        headings = ("name", "what it is", "its own keys of [data]", "prepared")
        text = f"Those that are prepared also take {_codes(common)}."
        return [table(headings, rows, (14, 42, 34, 10), ("dense",)), nodes.paragraph("", "", *inline(text))]


def _codes(names):
    return ", ".join(f"`{name}`" for name in names)


def setup(app):
    """Register the directives."""
    app.add_directive("measures-table", MeasuresTable)
    app.add_directive("quantities-table", QuantitiesTable)
    app.add_directive("data-sets-table", DataSetsTable)
