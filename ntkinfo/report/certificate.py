"""The table of a certificate for reading on a terminal."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ntkinfo.information.certificate import Certificate, Finding
from ntkinfo.report.layout import print_table

_MEANINGS = (
    "checked, not checked: numbers of values. discrepancy: the largest difference from the second route, in units of "
    "the stated error; ! where it is more than is allowed."
)


def print_certificate(console: Console, certificates: Mapping[str, Certificate]) -> None:
    """Print a table and a line of verdict for every certificate.

    Args:
        console: where to print.
        certificates: by the title of their table, which may be empty.
    """
    for title, certificate in certificates.items():
        console.print()
        print_table(console, certificate_table(certificate, title), ("quantity",), ("quantity",))
        console.print(_MEANINGS, style="dim", highlight=False)
        for reason, names in _reasons(certificate).items():
            console.print(f"not checked: {escape(', '.join(names))}: {escape(reason)}", soft_wrap=True, highlight=False)
        console.print(escape(certificate.verdict), soft_wrap=True, highlight=False)


def certificate_table(certificate: Certificate, title: str = "") -> Table:
    """Lay out a row a quantity: how many values were checked, the largest discrepancy, where, and by which route."""
    table = Table(title=escape(title), title_justify="left", box=None, pad_edge=False, header_style="bold")
    table.add_column("quantity", no_wrap=True)
    for heading in ("checked", "not checked", "discrepancy"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("at", no_wrap=True)
    table.add_column("second route")
    for finding in (*certificate.kernels, *certificate.findings):
        table.add_row(*_cells(finding))
    return table


def _cells(finding: Finding) -> list[str]:
    discrepancy = "-" if np.isnan(finding.largest) else f"{finding.largest:.2g}"
    mark = "" if finding.passed else " !"
    routes = _shortened([route for route in finding.route if route != "between bounds"])
    return [
        escape(finding.quantity),
        str(finding.checked),
        str(finding.not_checked),
        f"{discrepancy}{mark}",
        escape(finding.where),
        escape(routes),
    ]


def _shortened(routes: list[str]) -> str:
    """Routes in one line; what several begin with is said once."""
    ends: dict[str, list[str]] = {}
    for route in routes:
        begin, _, end = route.partition(", ")
        ends.setdefault(begin, []).append(end)
    return "; ".join(f"{begin}, {' or '.join(rest)}" if any(rest) else begin for begin, rest in ends.items())


def _reasons(certificate: Certificate) -> dict[str, list[str]]:
    """Quantities by why some of their values were not checked."""
    found: dict[str, list[str]] = {}
    for finding in (*certificate.kernels, *certificate.findings):
        for reason in finding.reasons:
            found.setdefault(reason, []).append(finding.quantity)
    return found
