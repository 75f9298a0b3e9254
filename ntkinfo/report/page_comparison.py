"""The part of the report page about trained networks beside the law of infinite width."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import xarray as xr

from ntkinfo.report.comparison_table import deviation_tables, scaling_table
from ntkinfo.report.page_axes import linear_axis, log_axis, time_axis
from ntkinfo.report.page_chart import Chart, Line, charts_html
from ntkinfo.report.page_html import Html, element, joined, terminal_table
from ntkinfo.report.page_steps import Steps

_FAMILIES = (
    ("mean", "Mean", "half_limit"),
    ("variance", "Variance", "half_limit"),
    ("joint kurtosis", "Shape: joint kurtosis", "limit"),
)
_DASHES = ("solid", "dashed", "long", "dotted")


def comparison_sections(found: xr.Dataset, bits: bool) -> Iterator[tuple[str, str, Html]]:
    """The sections of a comparison.

    Args:
        found: what `ntkinfo compare` writes.
        bits: show informations in bits instead of nats; tables and divergences stay in nats.

    Yields:
        Identifier, heading and content of each.
    """
    yield "agreement", "Agreement with the law", joined(_agreement(found))
    charts = list(_over_time(found, bits))
    level = 100 * float(found.attrs["level"])
    note = element(
        "p",
        f"One line a width. Dotted in the first three: what chance reaches at any time with {level:g} % (mean and "
        "variance together). Bands: ± 2 standard deviations by chance.",
        class_="note",
    )
    texts = [f"t = {float(time):.3g}" for time in found["time"].values]
    steps = Steps("comparison", "Training time", texts, charts)
    yield "comparison", "Trained networks over training time", steps.html(charts_html(charts, "h3"), note)
    if "exponent" in found:
        yield "widths", "Discrepancies by width", joined(_widths(found))


def _agreement(found: xr.Dataset) -> Iterator[Html]:
    verdicts = json.loads(str(found.attrs["verdicts"]))
    yield element("ul", *(element("li", element("b", f"{w}: "), f"{text}.") for w, text in verdicts.items()))
    for number, each in enumerate(deviation_tables(found)):
        caption = f"{str(each.title)[0].upper()}{str(each.title)[1:]}"
        yield terminal_table(each, caption, f"Deviations {number + 1}")


def _labels(found: xr.Dataset) -> list[str]:
    pairs = zip(found["width"].values, found["members"].values, strict=True)
    return [f"width {int(width)} ({int(members)} members)" for width, members in pairs]


def _by_width(found: xr.Dataset, rows: np.ndarray, unit: str = "", spread: np.ndarray | None = None) -> list[Line]:
    times = found["time"].values
    return [
        Line(
            label,
            times,
            row,
            number,
            _DASHES[number % len(_DASHES)],
            steps=True,
            unit=unit,
            band=None if spread is None else (row - spread[number], row + spread[number]),
        )
        for number, (label, row) in enumerate(zip(_labels(found), rows, strict=True))
    ]


def _over_time(found: xr.Dataset, bits: bool) -> Iterator[Chart]:
    times = time_axis(found["time"].values)
    known = [str(name) for name in found["family"].values]
    for name, title, limit in _FAMILIES:
        if name not in known:
            continue
        one = found.sel(family=name)
        rows, limits = one["largest"].transpose("width", "time").values, one[limit].values
        far = float(np.nanmax(rows)) > 5 * float(np.max(limits))
        axis = log_axis(rows, limits) if far else linear_axis(np.zeros(1), rows, limits)
        rules = [(float(level), number) for number, level in enumerate(limits)]
        identifier = f"comparison-{name.replace(' ', '-')}"
        unit = "largest deviation (standard errors)"
        yield Chart(identifier, title, "training time (1)", unit, times, axis, _by_width(found, rows), rules=rules)
    if "kernel_drift" in found:
        rows = found["kernel_drift"].transpose("width", "time").values
        rows = np.where(found["time"].values > 0, rows, np.nan)  # at the start there is rounding only
        lines = _by_width(found, rows)
        yield Chart(
            "comparison-drift",
            "Tangent kernel",
            "training time (1)",
            "relative change from the start (1)",
            times,
            log_axis(rows),
            lines,
        )
    yield _information(found, bits) if "information_fitted" in found else _divergence(found)


def _information(found: xr.Dataset, bits: bool) -> Chart:
    """I(Z;X) of the members, corrected for bias, and of the law."""
    scale, unit = (1 / float(np.log(2.0)), "bit") if bits else (1.0, "nat")
    one = found.sel(information="information_input", split="test")
    rows = scale * (one["information_fitted"] - one["information_bias"]).transpose("width", "time").values
    spread = 2 * scale * one["information_std"].transpose("width", "time").values
    law = scale * one["information_law"].isel(width=0).values
    lines = _by_width(found, rows, unit, spread)
    lines.append(Line("law of infinite width", found["time"].values, law, 6, marked=False, steps=True, unit=unit))
    return Chart(
        "comparison-information",
        "Output and input: I(Z;X)",
        "training time (1)",
        f"information, test inputs ({unit})",
        time_axis(found["time"].values),
        linear_axis(rows + spread, rows - spread, law),
        lines,
    )


def _divergence(found: xr.Dataset) -> Chart:
    rows = found["divergence_test"].mean("test_input").transpose("width", "time").values
    return Chart(
        "comparison-divergence",
        "Divergence from the law",
        "training time (1)",
        "KL less chance, a test input (nat)",
        time_axis(found["time"].values),
        linear_axis(rows),
        _by_width(found, rows, "nat"),
    )


def _widths(found: xr.Dataset) -> Iterator[Html]:
    widths, fine = found["width"].values.astype(float), found["fine_width"].values
    lines: list[Line] = []
    for number, name in enumerate(found["discrepancy"].values):
        row = found.sel(discrepancy=name)
        size, noise = row["discrepancy_size"].values, row["discrepancy_noise"].values
        curve = row["discrepancy_curve"].values
        shown = f"{name}: {float(row['exponent']):.2f}" if np.isfinite(float(row["exponent"])) else f"{name}: –"
        seen, hidden = np.where(size > noise, size, np.nan), np.where(size > noise, np.nan, size)
        lines.append(Line(shown, fine, curve, number, _DASHES[number % len(_DASHES)], marked=False, legend=False))
        lines.append(Line(shown, widths, seen, number, points=True))
        lines.append(Line(shown, widths, hidden, number, points=True, hollow=True, legend=False))
    across = log_axis(widths / 1.15, widths * 1.15)
    ticks = tuple(zip(across.places(widths).tolist(), (f"{width:g}" for width in widths), strict=True))
    chart = Chart(
        "comparison-widths",
        "Size by width",
        "width (units)",
        "size (1; KL: nat)",
        replace(across, ticks=ticks),
        log_axis(*(line.y for line in lines)),
        lines,
        "In the legend: fitted exponent of 1/width. Hollow: within noise. Lines: the fitted power.",
        cross=False,
    )
    yield charts_html([chart], "h3")
    table = scaling_table(found)
    yield terminal_table(table, "Sizes by width (~: within noise) and exponents a of width^(−a)", "Exponents")
    yield element("ul", *(element("li", text) for text in json.loads(str(found.attrs["scaling"]))))
