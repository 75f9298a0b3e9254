"""Tables of a comparison over widths, for reading on a terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import xarray as xr
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ntkinfo.report.layout import print_table

_HEADINGS = {
    "divergence": "KL",
    "joint divergence": "joint KL",
    "skewness": "skew",
    "kurtosis": "kurt",
    "joint kurtosis": "joint kurt",
    "projected skewness": "proj skew",
    "projected kurtosis": "proj kurt",
    "kernel_start_error": "kernel start",
    "kernel_drift": "kernel moved",
}
_UNITS = {"divergence": "nat"}
SCALING_MEANINGS = (
    "w: width of the hidden layers. ~: within noise. -: no exponent, as too few sizes stand out of the noise.",
    "a: fitted exponent with its 95 % interval, beside the one of theory.",
)
"""What the columns and marks of `scaling_table` stand for, a sentence each."""


def print_comparison(console: Console, comparison: xr.Dataset) -> None:
    """Print agreement by width, exponents, and the verdicts in words.

    Args:
        console: where to print.
        comparison: from `comparison_dataset`.
    """
    for table in deviation_tables(comparison):
        console.print()
        print_table(console, table, ("width", "members"))
    _print_lines(console, deviation_meanings(comparison))
    if "exponent" in comparison:
        console.print()
        print_table(console, scaling_table(comparison), ("discrepancy",), ("discrepancy",))
        _print_lines(console, SCALING_MEANINGS)
    if "parameter_information" in comparison:
        last = comparison.isel(time=-1)
        value, error = float(last["parameter_information"]), float(last["parameter_information_standard_error"])
        console.print(
            f"\n{last['parameter_information'].attrs['long_name']}, gradient flow to time {float(last['time']):.3g}: "
            f"{value:.4g} ± {error:.2g} nat; at least {float(last['parameter_information_lower']):.4g} by the law",
            highlight=False,
            soft_wrap=True,
        )
    console.print()
    for width, sentence in json.loads(comparison.attrs["verdicts"]).items():
        console.print(f"[bold]{width}[/]: {escape(sentence)}.", highlight=False, soft_wrap=True)


def deviation_tables(comparison: xr.Dataset) -> tuple[Table, Table]:
    """Lay out agreement with the law and shape, a row a width: largest values beside what is allowed."""
    families = [str(name) for name in comparison["family"].values]
    shape = [name for name in families if name.endswith(("skewness", "kurtosis"))]
    moved = [name for name in ("kernel_start_error", "kernel_drift") if name in comparison]
    agreement = [name for name in families if name not in shape]
    return (
        _deviations(comparison, "largest deviation in standard errors (allowed); kernel in percent", agreement, moved),
        _deviations(comparison, "departure from normality in standard errors (allowed)", shape, []),
    )


def deviation_meanings(comparison: xr.Dataset) -> list[str]:
    """What the columns and marks of `deviation_tables` stand for, a sentence each."""
    level = 100 * float(comparison.attrs["level"])
    found = [
        "A cell: the largest deviation of the members from the law over all times, inputs and outputs, and in brackets "
        f"what only {level:g} % of ensembles drawn from the law exceed.",
        "!: above that. (Verdicts allow mean and variance more, as the two share one chance of a false alarm.)",
    ]
    families = [str(name) for name in comparison["family"].values]
    if any("divergence" in name for name in families):
        found.append("KL: relative entropy of the members' fitted Gaussian from the law; joint: of several inputs.")
    if any("projected" in name for name in families):
        found.append("proj: of the outputs along random directions; skew, kurt: skewness and excess kurtosis.")
    if "kernel_start_error" in comparison:
        found.append("kernel start: distance of the members' kernel from its limit before training.")
    if "kernel_drift" in comparison:
        found.append("kernel moved: change of the members' kernel since, by the last time.")
    return found


def _print_lines(console: Console, lines: Sequence[str]) -> None:
    for line in lines:
        console.print(escape(line), style="dim", highlight=False)


def _deviations(comparison: xr.Dataset, title: str, families: Sequence[str], moved: Sequence[str]) -> Table:
    table = _table(title, ("width", "members"))
    for name in (*families, *moved):
        table.add_column(escape(_HEADINGS.get(name, name)), justify="right", no_wrap=True)
    for width in comparison["width"].values:
        row = comparison.sel(width=width)
        cells = [str(int(width)), str(int(row["members"]))]
        cells += [_cell(row, name) for name in families]
        for name in moved:
            value = row[name] if row[name].ndim == 0 else row[name].isel(time=-1)
            cells.append(_percent(float(value)))
        table.add_row(*cells)
    return table


def scaling_table(comparison: xr.Dataset) -> Table:
    """Lay out a row a discrepancy: its sizes by width, fitted and predicted exponent, and what follows."""
    table = _table("size by width, and exponent a of width^(−a)", ("discrepancy",))
    for width in comparison["width"].values:
        table.add_column(f"w = {int(width)}", justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    for heading in ("a", "95 %", "theory", "verdict"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name in comparison["discrepancy"].values:
        row = comparison.sel(discrepancy=name)
        sizes = [
            _size(float(s), float(n)) for s, n in zip(row["discrepancy_size"], row["discrepancy_noise"], strict=True)
        ]
        interval = f"{float(row['exponent_low']):.2f}–{float(row['exponent_high']):.2f}"
        table.add_row(
            escape(str(name)),
            *sizes,
            _UNITS.get(str(name), "1"),
            _number(float(row["exponent"]), ".2f"),
            interval if np.isfinite(float(row["exponent"])) else "-",
            "–".join(dict.fromkeys(f"{float(row[f'exponent_predicted_{end}']):g}" for end in ("low", "high"))),
            escape(str(row["exponent_verdict"].values)),
        )
    return table


def _table(title: str, headings: tuple[str, ...]) -> Table:
    table = Table(
        title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold"
    )
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "discrepancy" else "right", no_wrap=True)
    return table


def _cell(row: xr.Dataset, family: str) -> str:
    one = row.sel(family=family)
    largest, limit = float(np.nanmax(one["largest"].values)), float(one["limit"])
    size = f"{largest:.1f}" if largest < 100 else f"{largest:.0f}"
    return f"{size} ({limit:.1f}){'!' if largest > limit else ''}"


def _size(size: float, noise: float) -> str:
    return "~" if size < noise else f"{size:.2g}"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 1 else f"{100 * share:.0f} %"


def _number(value: float, form: str) -> str:
    return f"{value:{form}}" if np.isfinite(value) else "-"
