"""The part of the report page about a bottleneck curve: the plane with its certificates, and the dual."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from ntkinfo.report.bottleneck_table import dual_table, sentences, solutions_table
from ntkinfo.report.page_axes import linear_axis, log_axis
from ntkinfo.report.page_chart import Chart, Line, charts_html, number_text
from ntkinfo.report.page_html import Html, element, joined, terminal_table
from ntkinfo.report.page_steps import Steps

_LEAST_GAP = 1e-16  # stands on a log axis for a gap of exactly 0


def bottleneck_sections(found: xr.Dataset, bits: bool) -> Iterator[tuple[str, str, Html]]:
    """The sections of a bottleneck curve.

    Args:
        found: what `ntkinfo bottleneck` writes.
        bits: show bits instead of nats.

    Yields:
        Identifier, heading and content of each.
    """
    said = element("ul", *(element("li", line) for line in sentences(found, bits) if not line.startswith("note: ")))
    charts = [_plane(found, bits), _gaps(found, bits)]
    dual = "dual_distortion" in found
    if dual:
        charts.append(_distortion(found, bits))
    drawn = charts_html(charts, "h3")
    solved = [f"β = {float(beta):.5g}" for beta in found["solution"].values]
    if solved:
        drawn = Steps("bottleneck", "Solution", solved, charts).html(drawn)
    yield "bottleneck", "Bottleneck curve", joined([said, drawn])
    tables = []
    if solved:
        tables.append(terminal_table(solutions_table(found, bits), "Solutions and their certificates", "Solutions"))
    if dual:
        tables.append(terminal_table(dual_table(found, bits), "Solutions of the dual", "Solutions of the dual"))
    if tables:
        yield "solutions", "Solutions", joined(tables)


def _scale(bits: bool) -> tuple[float, str]:
    return (1 / float(np.log(2.0)), "bit") if bits else (1.0, "nat")


def _plane(found: xr.Dataset, bits: bool) -> Chart:
    scale, unit = _scale(bits)
    given = scale * found["grid"].values
    achieved, upper = scale * found["achieved"].values, scale * found["certified"].values
    x, y = (scale * found[f"information_{kind}"].values for kind in ("input", "target"))
    exact = found.attrs["kind"] == "gaussian"
    band = None
    if "interval_lower" in found:
        band = (scale * found["interval_lower"].values, scale * found["interval_upper"].values)
    lines = [Line("frontier" if exact else "achieved", given, achieved, 6, marked=False, band=band)]
    if band is not None:
        lines.append(Line("corrected estimate", given, scale * found["estimate"].values, 4, "long", marked=False))
    texts = [f"{number_text(a)}, {number_text(b)} {unit}" for a, b in zip(x, y, strict=True)]
    if len(x):
        lines.append(Line("solutions", x, y, 0, points=True, steps=True, texts=texts))
    if "dual_information_input" in found:
        across, up = (scale * found[f"dual_information_{kind}"].values for kind in ("input", "target"))
        lines.append(Line("solutions of the dual", across, up, 1, points=True, hollow=True))
    ceiling = scale * float(found.attrs["mutual_information"])
    note = f"Nothing lies in the grey: no encoder exceeds the certified bound. Dotted: I(X;Y) = {ceiling:.4g} {unit}."
    if band is not None:
        note += f" Shaded: {100 * float(found.attrs['confidence']):g} % interval."
    return Chart(
        "bottleneck-plane",
        "Information plane",
        f"I(T;X) ({unit})",
        f"I(T;Y) ({unit})",
        linear_axis(given),
        linear_axis(np.zeros(1), upper, np.array([ceiling])),
        lines,
        note,
        (given, upper),
        [(ceiling, 6)],
        cross=False,
    )


def _gaps(found: xr.Dataset, bits: bool) -> Chart:
    """How far the certified bound is above the curve, and each solution's own certificate."""
    scale, unit = _scale(bits)
    given, x = scale * found["grid"].values, scale * found["information_input"].values
    between = scale * (found["certified"].values - found["achieved"].values)
    gap = scale * found["gap"].values
    exact = found.attrs["kind"] == "gaussian"
    label = "second route off by" if exact else "short of the best by at most"
    lines = []
    if len(x):
        own = Line(label, x, np.maximum(gap, _LEAST_GAP), 0, points=True, steps=True, readout=gap, unit=unit)
        lines.append(own)
    if np.any(between > 0):
        lines.insert(0, Line("bound less achieved", given, np.where(between > 0, between, np.nan), 6, marked=False))
    return Chart(
        "bottleneck-gaps",
        "Certificate",
        f"I(T;X) ({unit})",
        f"difference in {'information' if exact else 'I(T;Y)'} ({unit})",
        linear_axis(given),
        log_axis(*(line.y for line in lines)),
        lines,
        cross=False,
    )


def _distortion(found: xr.Dataset, bits: bool) -> Chart:
    scale, unit = _scale(bits)
    x, y = scale * found["dual_information_input"].values, scale * found["dual_distortion"].values
    return Chart(
        "bottleneck-dual",
        "Dual",
        f"I(T;X) ({unit})",
        f"E KL(p(y|t) ‖ p(y|x)) ({unit})",
        linear_axis(scale * found["grid"].values),
        linear_axis(np.zeros(1), y),
        [Line("distortion of the dual", x, y, 1, marked=False), Line("solutions", x, y, 1, points=True, hollow=True)],
        cross=False,
    )
