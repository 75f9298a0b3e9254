"""The figure of a ranking: scores of every measure with intervals, where it was chosen and where it was confirmed."""

from __future__ import annotations

import textwrap

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ntkinfo.core.arguments import checked
from ntkinfo.report.series import COLOURS
from ntkinfo.report.style import DOTS, WIDTH, Drawing, styled

MOST = 25
_COLOUR = {
    "predicts": COLOURS[2],
    "predicts on average": COLOURS[0],
    "reversed": COLOURS[1],
    "changes sign": COLOURS[1],
    "not confirmed": COLOURS[3],
    "not chosen": COLOURS[3],
    "tracks hyperparameters": COLOURS[4],
    "fails": "0.55",
}
_LABEL = 34  # characters of a measure's name on one line


@checked
def ranking_figure(found: xr.Dataset, most: int = MOST) -> Figure:
    """Draw the best measures, a row each.

    Panel a, the score that orders them (Ψ, else τ) with its interval: hollow where measures were chosen, filled where
    they are reported. Panel b, conditional information once two hyperparameters are known. Panel c, share of wrong
    signs by environment: mean, ninetieth percentile and worst. The verdict stands at the right, in the colour of the
    row. A measure meant to fall with the gap has a minus and is scored with its sign turned.

    Args:
        found: `Ranking.dataset()`.
        most: rows that are drawn.

    Returns:
        A matplotlib figure that no global state refers to.
    """
    shown = found.isel(measure=slice(0, most))
    count = shown.sizes["measure"]
    granulated = np.isfinite(found["granulated_kendall"].values).any()
    score, label = ("granulated_kendall", "Ψ") if granulated else ("kendall", "τ")
    with styled():
        figure = Drawing(figsize=(WIDTH, 1.35 + 0.19 * count), layout="constrained")
        first, second, third = figure.subplots(1, 3, sharey=True, width_ratios=(1.3, 1, 1))
        for axes in (first, second, third):
            axes.grid(axis="y", visible=False)
            axes.tick_params(axis="y", length=0)
        _draw(first, shown, score)
        first.axvline(0, color="0.35", linestyle=DOTS, zorder=0)
        within = _limits(shown, score, -1.0, 1.0)
        _dress(first, f"a   Rank correlation {label}", f"{label} of measure and gap (1)", within)
        _draw(second, shown, "conditional_information_adjusted")
        second.axvline(0, color="0.35", linestyle=DOTS, zorder=0)
        within = _limits(shown, "conditional_information_adjusted", -100.0, 100.0)
        _dress(second, "b   Given two settings", "information (%)", within)
        _draw_errors(third, shown)
        third.axvline(0.5, color="0.35", linestyle=DOTS, zorder=0)
        _dress(third, "c   Wrong signs", "share by environment (1)", (-0.03, 1.03))
        _name(first, third, shown)
        figure.legend(handles=_handles(shown), loc="outside lower left", ncols=5)
    return figure


def _draw(axes: Axes, shown: xr.Dataset, name: str) -> None:
    splits = shown.sizes["split"]
    for place, colour in enumerate(_colours(shown)):
        for index in range(splits):
            row = shown.isel(split=index, measure=place)
            value, low, high = (float(row[name + suffix]) for suffix in ("", "_lower", "_upper"))
            if not np.isfinite(value):
                continue
            reported = index == splits - 1
            height = place + (0.0 if splits == 1 else 0.17 if reported else -0.17)
            if np.isfinite([low, high]).all():
                axes.plot([low, high], [height, height], color=colour, linewidth=0.8, solid_capstyle="butt")
            axes.plot(
                value,
                height,
                marker="o" if reported else "s",
                markersize=3.4 if reported else 3.0,
                color=colour,
                markerfacecolor=colour if reported else "white",
                markeredgewidth=0.7,
                linestyle="",
            )


def _draw_errors(axes: Axes, shown: xr.Dataset) -> None:
    part = shown.isel(split=-1)
    for place, colour in enumerate(_colours(shown)):
        row = part.isel(measure=place)
        mean, most, worst = (float(row[name]) for name in ("sign_error", "sign_error_percentile", "sign_error_worst"))
        if not np.isfinite([mean, most, worst]).all():
            continue
        axes.plot([mean, worst], [place, place], color=colour, linewidth=0.6)
        for value, marker, size in ((mean, "o", 3.4), (most, "|", 5.0), (worst, "x", 3.4)):
            axes.plot(value, place, marker=marker, markersize=size, color=colour, linestyle="", markeredgewidth=0.8)


def _limits(shown: xr.Dataset, name: str, least: float, greatest: float) -> tuple[float, float]:
    """What is to be seen with a margin, not beyond what the score can be, and 0 always."""
    values = np.concatenate([shown[name + suffix].values.reshape(-1) for suffix in ("", "_lower", "_upper")])
    values = np.append(values[np.isfinite(values)], 0.0)
    low, high = max(float(values.min()), least), min(float(values.max()), greatest)
    margin = 0.04 * (high - low) or 0.04
    return low - margin, high + margin


def _dress(axes: Axes, title: str, label: str, limits: tuple[float, float]) -> None:
    axes.set_title(title)
    axes.set_xlabel(label)
    axes.set_xlim(*limits)


def _name(first: Axes, last: Axes, shown: xr.Dataset) -> None:
    count = shown.sizes["measure"]
    signs = ["−" if direction < 0 else "" for direction in shown["direction"].values]
    names = [sign + str(name) for sign, name in zip(signs, shown["measure"].values, strict=True)]
    first.set_yticks(range(count), [textwrap.fill(name, _LABEL) for name in names], parse_math=False)
    first.set_ylim(count - 0.4, -0.6)
    for place, (verdict, colour) in enumerate(zip(_verdicts(shown), _colours(shown), strict=True)):
        last.annotate(
            verdict,
            (1.04, place),
            xycoords=("axes fraction", "data"),
            fontsize=6,
            color=colour if colour != "0.55" else "0.35",
            verticalalignment="center",
            annotation_clip=False,
        )


def _verdicts(shown: xr.Dataset) -> list[str]:
    return [str(verdict) for verdict in shown["verdict"].values]


def _colours(shown: xr.Dataset) -> list[str]:
    return [_COLOUR.get(verdict, "black") for verdict in _verdicts(shown)]


def _handles(shown: xr.Dataset) -> list[Line2D]:
    def mark(marker: str, label: str, **style) -> Line2D:
        return Line2D([], [], linestyle="", color="0.2", marker=marker, markersize=3.4, label=label, **style)

    handles = [mark("o", "held-out data sets"), mark("s", "where chosen", markerfacecolor="white")]
    if shown.sizes["split"] == 1:
        handles = [mark("o", "data sets that chose: nothing was held out")]
    return [*handles, mark("o", "in c: mean"), mark("|", "ninetieth percentile"), mark("x", "worst")]
