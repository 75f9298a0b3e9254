"""The part of the report page about information curves: panels over time, information plane and kernel spectrum."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr

from ntkinfo.core.units import unit_of
from ntkinfo.information.certificate import Certificate
from ntkinfo.report.certificate import certificate_table
from ntkinfo.report.page_axes import linear_axis, log_axis, time_axis
from ntkinfo.report.page_chart import Chart, Line, charts_html, number_text
from ntkinfo.report.page_html import Html, element, joined, terminal_table, without_tex
from ntkinfo.report.page_steps import Steps
from ntkinfo.report.series import COLOURS, Panel, Series, axis_label, panels, series, several_depths, unit
from ntkinfo.report.summary import summary_table

_MOST_TIMES = 400
_DIRECTIONS = 400
_SUMMARY_TIMES = 5
# The kernel's eigenvalues are the rates only where a residual decays as exp(-λt).
_BY_RATES = ("GradientFlow", "GradientDescent")
_SIDES = {"train": "training", "test": "test"}
_GROUPS = (
    ("Losses and errors", ("loss_", "bias_", "variance", "error_")),
    ("Information", ("information_",)),
    ("Parameters", ("",)),
)


def curves_sections(curves: xr.Dataset, bits: bool) -> Iterator[tuple[str, str, Html]]:
    """The sections of a set of curves.

    Args:
        curves: what `ntkinfo curves` writes.
        bits: show bits instead of nats.

    Yields:
        Identifier, heading and content of each.
    """
    yield "summary", "Summary", _summary(curves, bits)
    yield "curves", "Curves over training time", _over_time(_thinned(curves), bits)
    certificates = list(_certificates(curves))
    if certificates:
        yield "certificate", "Second routes", joined(certificates)


def _summary(curves: xr.Dataset, bits: bool) -> Html:
    parts = []
    for depth in curves["depth"].values if "depth" in curves.dims else [None]:
        one = curves if depth is None else curves.sel(depth=depth)
        caption = "Every quantity at a few times; ±: standard error of Monte Carlo, numerical error of all else"
        caption = caption if depth is None else f"Depth {int(depth)}: {caption[0].lower()}{caption[1:]}"
        label = "Summary" if depth is None else f"Summary, depth {int(depth)}"
        parts.append(terminal_table(summary_table(one, bits, _SUMMARY_TIMES), caption, label, leading=2))
    return joined(parts)


def _certificates(curves: xr.Dataset) -> Iterator[Html]:
    text = str(curves.attrs.get("certificate", ""))
    if not text:
        return
    texts = json.loads(text) if text.startswith("[") else [text]
    depths = curves["depth"].values if len(texts) > 1 else [None]
    for depth, each in zip(depths, texts, strict=True):
        certificate = Certificate.from_json(each)
        behind = "" if depth is None else f", depth {int(depth)}"
        caption = f"Values computed again by another route{behind}"
        yield terminal_table(certificate_table(certificate), caption, f"Certificate{behind}")
        yield element("p", certificate.verdict, class_="verdict")


def _thinned(curves: xr.Dataset) -> xr.Dataset:
    """At most so many times as a screen can tell apart, the first and the last among them."""
    count = curves.sizes["time"]
    if count <= _MOST_TIMES:
        return curves
    return curves.isel(time=np.unique(np.round(np.linspace(0, count - 1, _MOST_TIMES)).astype(int)))


def _over_time(curves: xr.Dataset, bits: bool) -> Html:
    drawn = list(panels(curves))
    plane = _plane(curves, bits)
    spectrum = _spectrum(curves)
    charts: list[Chart] = []
    parts: list[Html] = []
    left = list(enumerate(drawn))
    for title, prefixes in _GROUPS:
        own = [(number, panel) for number, panel in left if panel.quantities[0].startswith(prefixes)]
        left = [entry for entry in left if entry not in own]
        made = [_panel(curves, panel, f"panel-{number}", bits) for number, panel in own]
        if made:
            parts.append(element("h3", title))
            parts.append(charts_html(made))
            charts += made
    beside = [chart for chart in (plane, spectrum) if chart is not None]
    if beside:
        parts.append(element("h3", " and ".join(chart.title for chart in beside).capitalize()))
        parts.append(charts_html(beside))
    return Steps("curves", "Training time", _steps(curves), [*charts, *beside]).html(*parts, _legend_note(curves))


def _steps(curves: xr.Dataset) -> list[str]:
    return [_time_text(float(time)) for time in curves["time"].values]


def _time_text(time: float) -> str:
    return "t = ∞" if np.isinf(time) else f"t = {time:.3g}"


def _legend_note(curves: xr.Dataset) -> Html:
    unit_of_time = unit_of(curves["time"].attrs)
    told = [f"Unit of training time: {unit_of_time}."] if unit_of_time else []
    told += ["Solid lines and filled marks: training inputs; dashed lines and hollow marks: test inputs."]
    told.append(
        "Values at time 0 and ∞ stand apart, beside the dotted lines; a triangle at the top is an infinite one."
    )
    if any(str(name).endswith("_lower") for name in curves.data_vars) and not several_depths(curves):
        told.append("Pale: between lower and upper bound; darker: ± 2 standard errors; thin dots: multi-sample bounds.")
    return element("p", " ".join(told), class_="note")


def _panel(curves: xr.Dataset, panel: Panel, name: str, bits: bool) -> Chart:
    found = list(series(curves, panel, bits))
    rows = [_values(line) for line in found]
    times = curves["time"].values
    units = {line.name: unit(curves[line.name], bits) for line in found}
    seen = list(rows)
    for line, row in zip(found, rows, strict=True):
        bounds = line.interval("_lower", "_upper") if line.depth is None else None
        if bounds is not None:
            seen += list(bounds)
        error = line.values("_standard_error")
        if error is not None and not panel.log:
            seen.append(row + 2 * error)
    return Chart(
        name,
        without_tex(panel.title),
        "training time (1)",
        axis_label(panel, units),
        time_axis(times),
        log_axis(*rows) if panel.log else linear_axis(*seen),
        [_line(line, row, times, units[line.name]) for line, row in zip(found, rows, strict=True)],
    )


def _line(line: Series, row: np.ndarray, times: np.ndarray, behind: str) -> Line:
    error = line.values("_standard_error")
    largest = np.max(np.abs(row), where=np.isfinite(row), initial=0.0)
    shown = error is not None and bool(np.any(error > 1e-4 * largest))
    multi = line.interval("_multisample_lower", "_multisample_upper") if line.depth is None else None
    inputs = _SIDES.get(line.split or "", "")
    named = without_tex(line.label)
    label = inputs if named == (line.split or "") else ", ".join(text for text in (named, inputs) if text)
    return Line(
        label or without_tex(line.name.replace("_", " ")),
        times,
        row,
        COLOURS.index(line.colour),
        "dashed" if line.split == "test" else "solid",
        steps=True,
        unit=behind,
        band=line.interval("_lower", "_upper") if line.depth is None else None,
        error=2 * error if shown and error is not None else None,
        thin=multi or (),
        heavy=line.beneath,
    )


def _values(line: Series) -> np.ndarray:
    values = line.values()
    assert values is not None
    return values


def _plane(curves: xr.Dataset, bits: bool) -> Chart | None:
    """I(Z;Y) over I(Z;X), with what no output can exceed."""
    if "information_input" not in curves or "information_target" not in curves:
        return None
    lines = _trajectories(curves, bits)
    scale, behind = (1 / np.log(2.0), "bit") if bits else (1.0, "nat")
    right = max(float(np.max(line.x, where=np.isfinite(line.x), initial=0.0)) for line in lines)
    given = np.linspace(0, 1.06 * (right or 1.0), 200)
    exact, note = _frontier(curves, given, scale)
    shown = [*(line.y for line in lines), *(row for _, row in exact)]
    axis = linear_axis(np.zeros(1), *shown)
    edges = [
        Line(label, given, row, 6, ("solid", "dashed")[number % 2], marked=False)
        for number, (label, row) in enumerate(exact)
    ]
    least = np.min([row for _, row in exact], axis=0) if exact else None
    return Chart(
        "plane",
        "Information plane",
        f"I(Z;X) ({behind})",
        f"I(Z;Y) ({behind})",
        linear_axis(np.zeros(1), given),
        axis,
        [*edges, *lines],
        note,
        None if least is None or len(exact) > 1 else (given, least),
        cross=False,
    )


def _trajectories(curves: xr.Dataset, bits: bool) -> list[Line]:
    across = list(series(curves, Panel("", "", ("information_input",)), bits))
    up = list(series(curves, Panel("", "", ("information_target",)), bits))
    behind = "bit" if bits else "nat"
    lines = []
    for one, other in zip(across, up, strict=True):
        x, y = _values(one), _values(other)
        made = _line(one, y, x, behind)
        texts = [f"{number_text(a)}, {number_text(b)} {behind}" for a, b in zip(x, y, strict=True)]
        lines.append(Line(made.label, x, y, made.colour, made.dash, steps=True, texts=texts))
    return lines


def _frontier(curves: xr.Dataset, given: np.ndarray, scale: float) -> tuple[list[tuple[str, np.ndarray]], object]:
    """The frontier of the bottleneck for inputs that each have one class, in the unit shown, and what it is.

    For X uniform on given inputs and Y = c(X), no T has I(T;Y) above min(I(T;X), H(Y)), and every value up to that is
    reached. For continuous targets the curve's value is itself a bound that rests on Gaussian targets.
    """
    entropies = {split: curves.attrs.get(f"class_entropy_{split}") for split in ("train", "test")}
    known = {split: scale * float(value) for split, value in entropies.items() if value is not None}
    if not known:
        return [], "No frontier is drawn: I(Z;Y) of continuous targets is a value of a linear-Gaussian decoder here."
    if max(known.values()) - min(known.values()) < 0.005 * max(known.values()):
        known = {"": max(known.values())}
    found = [
        (f"frontier{', ' + _SIDES[split] + ' inputs' if split else ''}", np.minimum(given, height))
        for split, height in known.items()
    ]
    note = (
        "Frontier of the information bottleneck for these inputs, each of one class: min(I(Z;X), H(Y)), "
        "which no output exceeds; values may by their Monte Carlo errors."
    )
    return found, note


def _spectrum(curves: xr.Dataset) -> Chart | None:
    """Eigenvalues by rank, and the level 1/t above which directions are learned at the time of the slider."""
    if "eigenvalue" not in curves:
        return None
    array = curves["eigenvalue"]
    depths = [int(depth) for depth in curves["depth"].values] if "depth" in array.dims else [None]
    rows = [array.values if depth is None else array.sel(depth=depth).values for depth in depths]
    count = len(rows[0])
    chosen = np.unique(np.round(np.geomspace(1, count, _DIRECTIONS)).astype(int))
    lines = [
        Line(
            "eigenvalues" if depth is None else f"depth {depth}",
            chosen.astype(float),
            row[chosen - 1],
            number,
            points=True,
        )
        for number, (depth, row) in enumerate(zip(depths, rows, strict=True))
    ]
    kernel = str(array.attrs.get("long_name", "")).partition("(")[2].rstrip(")") or "kernel"
    level = _level(curves, rows)
    return Chart(
        "spectrum",
        "Kernel spectrum",
        "rank of the direction",
        f"eigenvalue of the {kernel} (1)",
        log_axis(chosen.astype(float)),
        log_axis(*rows),
        lines if level is None else [*lines, level],
        None
        if level is None
        else "Directions above the line have gone most of their way: their rest decays as exp(−(λ + ridge) t).",
        cross=False,
    )


def _ridge(procedure: str) -> float:
    found = re.search(r"\bridge=([^,)]+)", procedure)
    return float(found.group(1)) if found else 0.0


def _level(curves: xr.Dataset, rows: Sequence[np.ndarray]) -> Line | None:
    attributes = curves.attrs
    if not str(attributes.get("procedure", "")).startswith(_BY_RATES):
        return None
    internal = curves["time"].values
    if attributes.get("loss") == "mean":
        internal = internal / (int(attributes["n_train"]) * int(attributes["n_outputs"]))
    ridge = _ridge(str(attributes["procedure"]))
    with np.errstate(divide="ignore"):
        height = np.maximum(1 / internal - ridge, 0.0)
    learned = np.array([np.mean([np.sum(row > level) for row in rows]) for level in height])
    behind = f"of {len(rows[0])} directions above" + (" (mean over depths)" if len(rows) > 1 else "")
    label = "1/t" if ridge == 0 else "1/t − ridge"
    label += " (t of the summed loss)" if attributes.get("loss") == "mean" else ""
    return Line(
        label, np.full(len(height), 1.0), height, 1, "dashed", level=True, steps=True, readout=learned, unit=behind
    )
