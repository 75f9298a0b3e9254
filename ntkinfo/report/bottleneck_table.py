"""A bottleneck curve with its certificates as a table for a terminal."""

from __future__ import annotations

import numpy as np
import xarray as xr
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ntkinfo.report.layout import print_table

_ROWS = 24


def print_bottleneck(console: Console, found: xr.Dataset, bits: bool = False) -> None:
    """Print solutions with their certificates, those of the dual, and what holds for the whole curve.

    Args:
        console: where to print.
        found: from `discrete_dataset` or `gaussian_dataset`.
        bits: show informations in bits instead of nats.
    """
    if found.sizes["solution"]:
        print_table(console, solutions_table(found, bits))
    if "dual_solution" in found.dims:
        if found.sizes["solution"]:
            console.print()
        print_table(console, dual_table(found, bits))
    if found.sizes["solution"] or "dual_solution" in found.dims:
        console.print()
    for line in sentences(found, bits):
        console.print(escape(line), highlight=False, soft_wrap=True)


def solutions_table(found: xr.Dataset, bits: bool) -> Table:
    """Lay out a row a solution: β, both informations, what they are, certificate, residuals and why it stopped."""
    scale, unit = _unit(bits)
    exact = found.attrs["kind"] == "gaussian"
    limit = f"{'second route off by' if exact else 'short by at most'} ({unit})"
    table = _table("β", f"I(T;X) ({unit})", f"I(T;Y) ({unit})", "value", limit)
    names = [name for name in ("residual_encoder", "residual_decoder") if name in found]
    for heading in ["directions" if exact else "clusters", *([f"residuals ({unit})", "stop"] if names else [])]:
        table.add_column(heading, justify="left" if heading == "stop" else "right", no_wrap=True)
    for index in _chosen(found.sizes["solution"]):
        row = found.isel(solution=index)
        cells = [f"{float(row['solution']):.5g}"]
        cells += [f"{scale * float(row[name]):.5f}" for name in ("information_input", "information_target")]
        cells.append("exact" if exact else "lower bound")
        cells += [f"{scale * float(row['gap']):.1e}", str(int(row["clusters"]))]
        if names:
            cells += [", ".join(f"{scale * float(row[name]):.0e}" for name in names), str(row["stop"].item())]
        table.add_row(*(escape(cell) for cell in cells))
    return table


def dual_table(found: xr.Dataset, bits: bool) -> Table:
    """Lay out a row a solution of the dual."""
    scale, unit = _unit(bits)
    table = _table("dual β", f"I(T;X) ({unit})", f"I(T;Y) ({unit})", f"distortion ({unit})")
    certified = "dual_gap" in found
    if certified:
        table.add_column(f"above the least by at most ({unit})", justify="right", no_wrap=True)
    for index in _chosen(found.sizes["dual_solution"]):
        row = found.isel(dual_solution=index)
        cells = [f"{float(row['dual_solution']):.5g}"]
        names = ("dual_information_input", "dual_information_target", "dual_distortion")
        cells += [f"{scale * float(row[name]):.5f}" for name in names]
        cells += [f"{scale * float(row['dual_gap']):.1e}"] if certified else []
        table.add_row(*cells)
    return table


def sentences(found: xr.Dataset, bits: bool) -> list[str]:
    """What holds for the whole curve, in words."""
    scale, unit = _unit(bits)
    attributes, lines = found.attrs, []
    lines.append(f"I(X;Y) = {scale * attributes['mutual_information']:.6g} {unit}")
    if attributes["kind"] == "discrete":
        if found.sizes["solution"]:
            lines.append(
                "I(T;Y) is reached by an encoder, which makes it a lower bound on the curve at its I(T;X); the curve "
                "lies above it by at most what the row says"
            )
        lines.append(
            f"no encoder lies more than {scale * attributes['largest_gap']:.2e} {unit} above the curve, at any I(T;X); "
            f"{found.sizes['solution']} solutions, ended: {attributes['stop']}"
        )
        if found.sizes["solution"] == 0 and attributes["mutual_information"] > 0:
            lines.append(
                "no solution was needed: the straight line between the ends of the curve is certified to the accuracy; "
                "a smaller --accuracy, or --betas, gives points on it"
            )
        if attributes["classes"] < attributes["inputs"]:
            lines.append(
                f"{attributes['inputs']} inputs have {attributes['classes']} different p(y|x); those with the same "
                "were taken as one, which leaves the curve as it is"
            )
    else:
        worst = scale * float(found["gap"].max())
        lines.append(f"closed form; log-determinants of its projections differ by at most {worst:.1e} {unit}")
    if "mutual_information_interval" in attributes:
        value, low, high = (scale * float(part) for part in attributes["mutual_information_interval"])
        lines.append(
            f"from {attributes['samples']} samples: I(X;Y) = {value:.4g} {unit}, corrected for bias, "
            f"{100 * attributes['confidence']:g} % interval {low:.4g} to {high:.4g}"
        )
    if "dual_critical_beta" in attributes:
        lines.append(f"the dual keeps nothing up to its critical β = {attributes['dual_critical_beta']:.6g}")
    hidden = max(found.sizes["solution"], found.sizes.get("dual_solution", 0)) - _ROWS
    if hidden > 0:
        lines.append(f"tables show {_ROWS} rows of each kind; the file holds all")
    lines += [f"note: {note}" for note in str(attributes.get("notes", "")).split("; ") if note]
    return lines


def _unit(bits: bool) -> tuple[float, str]:
    return (1 / float(np.log(2)), "bit") if bits else (1.0, "nat")


def _chosen(count: int) -> np.ndarray:
    """At most so many rows as a terminal shows, evenly spread."""
    return np.unique(np.round(np.linspace(0, count - 1, min(count, _ROWS))).astype(int))


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table
