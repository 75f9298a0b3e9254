"""The figure of a bottleneck curve: the plane with its two bounds, and how far apart they are."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullLocator

from ntkinfo.core.arguments import checked
from ntkinfo.report.series import COLOURS
from ntkinfo.report.style import DOTS, WIDTH, Drawing, dress_log_axis, styled

_ROUNDING = 64 * float(np.finfo(float).eps)  # of sums of some ten logarithms, relative to their size


@checked
def bottleneck_figure(found: xr.Dataset, bits: bool = False) -> Figure:
    """Draw the information plane of a problem, its certificates, and the dual's distortion.

    Left, I(T;Y) over I(T;X): the achieved curve, solutions as dots, solutions of the dual as hollow squares, I(X;Y)
    dotted; nothing can lie in the grey. Middle, the certificate: how far the certified bound is above the curve, and of
    each solution its own (hollow: no more than rounding makes). Right, where the dual was solved: its distortion over
    I(T;X).

    Args:
        found: from `discrete_dataset` or `gaussian_dataset`.
        bits: show bits instead of nats.

    Returns:
        A matplotlib figure that no global state refers to.

    Raises:
        ValueError: a data set without a curve.
    """
    if "achieved" not in found:
        raise ValueError("the data set holds no curve; give a result of discrete_dataset or gaussian_dataset")
    scale, unit = (1 / float(np.log(2)), "bit") if bits else (1.0, "nat")
    dual = "dual_solution" in found.dims
    with styled():
        figure = Drawing(figsize=(WIDTH, 2.75), layout="constrained")
        grid = figure.add_gridspec(1, 3 if dual else 2, width_ratios=(1.5, 1, 1) if dual else (1.5, 1))
        plane, gaps = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
        _draw_plane(plane, found, scale, dual)
        _draw_gaps(gaps, found, scale)
        exact = found.attrs["kind"] == "gaussian"
        beside = f"second route off by ({unit})" if exact else f"short of the best by at most ({unit})"
        titles = [(plane, "Information plane", f"$I(T;Y)$ ({unit})"), (gaps, "Certificate", beside)]
        if dual:
            right = figure.add_subplot(grid[0, 2])
            _draw_distortion(right, found, scale)
            titles.append((right, "Dual", f"$E\\,\\mathrm{{KL}}[p(y|t)\\,\\Vert\\,p(y|x)]$ ({unit})"))
        for letter, (axes, title, text) in zip("abc", titles, strict=False):
            axes.set_title(f"{letter}   {title}")
            axes.set_xlabel(f"$I(T;X)$ ({unit})")
            axes.set_ylabel(text)
        figure.legend(handles=_handles(found, dual), loc="outside lower left", ncols=5)
    return figure


def _draw_plane(axes: Axes, found: xr.Dataset, scale: float, dual: bool) -> None:
    given, upper = scale * found["grid"].values, scale * found["certified"].values
    # Where X says nothing about Y, or has one value, nothing has a size and any will do.
    top = 1.12 * max(upper.max(), scale * found.attrs["mutual_information"]) or 1.0
    axes.fill_between(given, upper, top, color="0.93", linewidth=0)
    if "interval_lower" in found:
        low, high = (scale * found[name].values for name in ("interval_lower", "interval_upper"))
        axes.fill_between(given, low, high, color=COLOURS[0], alpha=0.2, linewidth=0)
        axes.plot(given, scale * found["estimate"].values, color=COLOURS[0], linewidth=1.0)
    axes.plot(given, scale * found["achieved"].values, color="black", linewidth=1.0)
    axes.axhline(scale * found.attrs["mutual_information"], color="0.35", linestyle=DOTS)
    points = [scale * found[f"information_{kind}"].values for kind in ("input", "target")]
    axes.plot(*points, marker="o", linestyle="", color=COLOURS[0], markersize=2.6)
    if dual:
        points = [scale * found[f"dual_information_{kind}"].values for kind in ("input", "target")]
        axes.plot(*points, marker="s", linestyle="", color=COLOURS[1], markerfacecolor="none", markersize=3.6)
    _set_width(axes, given)
    axes.set_ylim(-0.04 * top, top)


def _draw_gaps(axes: Axes, found: xr.Dataset, scale: float) -> None:
    given = scale * found["grid"].values
    between = scale * (found["certified"].values - found["achieved"].values)
    axes.set_yscale("log")
    if np.any(between > 0):
        axes.plot(given, np.where(between > 0, between, np.nan), color="black", linewidth=1.0)
    gap = scale * found["gap"].values
    place = scale * found["information_input"].values
    # Differences of numbers of this size below it are rounding, and 0 has no place on a log axis.
    floor = _ROUNDING * max(scale, float(np.max(place, initial=0.0)))
    above = gap > floor
    style = {"marker": "o", "linestyle": "", "color": COLOURS[0], "markersize": 2.6}
    if np.any(above):
        axes.plot(place[above], gap[above], **style)
    if not np.all(above):
        axes.plot(place[~above], np.full(np.count_nonzero(~above), floor), markerfacecolor="white", **style)
        text = "within rounding" if np.any(above) else f"all within rounding, {floor:.0e}"
        place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
        axes.annotate(text, (0.03, floor), xytext=(0, 4), fontsize=6, **place)
    dress_log_axis(axes)
    if not np.any(above) and not np.any(between > 0):
        axes.set_yscale("log")
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_ylim(floor / 10, floor * 1e4)
    _set_width(axes, given)


def _set_width(axes: Axes, given: np.ndarray) -> None:
    width = float(given[-1]) or 1.0
    axes.set_xlim(-0.025 * width, 1.025 * width)


def _draw_distortion(axes: Axes, found: xr.Dataset, scale: float) -> None:
    given, distortion = (scale * found[name].values for name in ("dual_information_input", "dual_distortion"))
    axes.plot(given, distortion, color=COLOURS[1], marker="s", markersize=3.6, markerfacecolor="white")
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=-0.025 * float(given.max(initial=1e-12)))


def _handles(found: xr.Dataset, dual: bool) -> list[Line2D | Patch]:
    exact = found.attrs["kind"] == "gaussian"
    point = {"linestyle": "", "color": COLOURS[0], "markersize": 2.6}
    handles: list[Line2D | Patch] = [
        Line2D([], [], color="black", linewidth=1.0, label="frontier" if exact else "achieved; bound less achieved"),
        Patch(color="0.93", label="no encoder"),
        Line2D([], [], marker="o", label="solutions", **point),
        Line2D([], [], color="0.35", linestyle=DOTS, label="$I(X;Y)$"),
    ]
    if dual:
        style = {"linestyle": "", "color": COLOURS[1], "markerfacecolor": "none", "markersize": 3.6}
        handles.append(Line2D([], [], marker="s", label="solutions of the dual", **style))
    if "interval_lower" in found:
        share = f"{100 * found.attrs['confidence']:g} %"
        handles.append(Patch(color=COLOURS[0], alpha=0.2, label=f"{share} interval around the corrected estimate"))
    return handles
