"""Figures of information curves and planes; the only module that imports matplotlib, and it computes no statistic."""

from __future__ import annotations

import os
import string
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, LogFormatterSciNotation, LogLocator, NullLocator

from ntkinfo.information.plane import Frontier
from ntkinfo.information.plane_records import PlaneTrajectory
from ntkinfo.report.plane_series import Plane, PlaneLine, plane
from ntkinfo.report.series import COLOURS, NAMES, Panel, Series, panels, series, several_depths, unit

_COLUMNS = 3
_WIDTH = 7.2  # inches: the text width of a journal page, so that letters keep their size in print
_DOTS: Any = (0, (1, 1.5))
_STYLES = {"train": "-", "test": (0, (4, 1.5))}
_RC: dict[Any, Any] = {
    "font.size": 7,
    "axes.titlesize": 7.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 7,
    "axes.labelpad": 2.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.ymargin": 0.06,
    "grid.linewidth": 0.4,
    "grid.color": "0.9",
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.pad": 2.5,
    "ytick.major.pad": 2.5,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "figure.constrained_layout.w_pad": 0.05,
    "figure.constrained_layout.h_pad": 0.05,
}


def curves_figure(curves: xr.Dataset, bits: bool = False) -> Figure:
    """Draw every quantity of a set of information curves over training time.

    One panel a family of quantities; where there are several depths, one panel a quantity and one colour a depth.
    Training inputs are solid, test inputs dashed; a value at infinite time is a dot at the right edge, a value at time
    0 one at the left edge, and an infinite value a triangle at the top. Shaded: the interval between a quantity's lower
    and upper bound; dotted: its multi-sample bounds (both for curves of one depth only, where they can be told apart).

    Args:
        curves: what `information_curves` returned or any selection of it; dimensions time, and where they apply split
            and depth.
        bits: show what is in nats in bits.

    Returns:
        A matplotlib figure that no global state refers to.

    Raises:
        ValueError: the data set holds none of the quantities of the curves, or no time.
    """
    if "time" not in curves.dims or curves.sizes["time"] == 0:
        raise ValueError("the curves have no time dimension to draw them over; give a result of information_curves")
    drawn = list(panels(curves))
    if not drawn:
        raise ValueError(f"the curves hold none of the quantities that can be drawn: {', '.join(NAMES)}")
    with mpl.rc_context(_RC):
        return _draw(curves, drawn, bits)


def plane_figure(
    trajectories: Mapping[str, Mapping[str, PlaneTrajectory]],
    frontier: Frontier,
    ceiling: float | None = None,
    bits: bool = False,
) -> Figure:
    """Draw trajectories in the information plane under the frontier, and below that their distance to it over time.

    One column for each group of trajectories, one colour for each trajectory of a group. Dots mark whole decades of
    training time, labelled with their exponents where there is room; the hollow dot is the first time, the square the
    last. Crosses at the dots and bands around the distances are ± 2 standard errors. Nothing can lie in the grey.

    Args:
        trajectories: for each group its title, then for each trajectory its label (for instance a weight deviation) and
            the trajectory.
        frontier: the largest I(Z;Y) at given I(Z;X), both in nats, for instance `GaussianBottleneck.frontier`.
        ceiling: I(X;Y) in nats, drawn as a dotted line where it is given.
        bits: show bits instead of nats.

    Returns:
        A matplotlib figure that no global state refers to.

    Raises:
        ValueError: no trajectories, or a frontier that does not give one finite number for each I(Z;X).
    """
    drawn = plane(trajectories, frontier, ceiling, bits)
    with mpl.rc_context(_RC):
        return _draw_planes(drawn)


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure in the format that the file's suffix names (png, pdf, svg), whole or not at all.

    Raises:
        ValueError: matplotlib has no such format.
        OSError: the folder is not there or cannot be written to.
    """
    target = Path(path)
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}-", suffix=target.suffix, dir=target.parent)
    os.close(handle)
    # No dates and no random identifiers: the same figure gives the same file.
    metadata = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}.get(target.suffix)
    try:
        with mpl.rc_context({**_RC, "pdf.fonttype": 42, "svg.hashsalt": "ntkinfo"}):
            figure.savefig(temporary, dpi=250, metadata=metadata)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(target)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _draw(curves: xr.Dataset, drawn: Sequence[Panel], bits: bool) -> Figure:
    columns = min(len(drawn), _COLUMNS)
    rows = -(-len(drawn) // columns)
    figure = Figure(
        figsize=(_WIDTH * max(columns, 1.6) / _COLUMNS, 1.85 * rows + (0.5 if len(drawn) < columns * rows else 0.9)),
        layout="constrained",
    )
    grid = figure.add_gridspec(rows, columns)
    times = _TimeAxis(curves["time"].values)
    marks: set[str] = set()
    for index, panel in enumerate(drawn):
        axes = figure.add_subplot(grid[index // columns, index % columns])
        marks |= _draw_panel(axes, list(series(curves, panel, bits)), panel, times)
        letter = f"{string.ascii_lowercase[index]}   " if len(drawn) > 1 else ""
        axes.set_title(letter + panel.title, pad=13 if axes.get_legend() else 4)
        times.dress(axes, label="training time" if index + columns >= len(drawn) else "")
    _figure_legend(figure, grid, len(drawn), _legend_entries(curves, marks))
    return figure


def _draw_panel(axes: Axes, lines: Sequence[Series], panel: Panel, times: _TimeAxis) -> set[str]:
    """Draw a panel's curves, label its axes, and return which kinds of marks were used."""
    marks: set[str] = set()
    axes.set_yscale("log" if panel.log else "linear")
    if not panel.log:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    for line in lines:
        marks |= _draw_curve(axes, line, times)
    units = {line.name: unit(line.curves[line.name], line.bits) for line in lines}
    shared = next(iter(units.values())) if len(set(units.values())) == 1 else ""
    axes.set_ylabel(f"{panel.axis} ({shared})" if shared else panel.axis)
    handles: dict[str, Line2D] = {}
    for line in lines:
        style = "-" if len(panel.quantities) > 1 else _STYLES.get(line.split or "train", "-")
        text = line.label if shared or not units[line.name] else f"{line.label} ({units[line.name]})"
        handles.setdefault(text, Line2D([], [], color=line.colour, linestyle=style, label=text))
    if len(handles) > 1 and lines[0].depth is None:
        style = {
            "handlelength": 1.6,
            "columnspacing": 0.8,
            "handletextpad": 0.4,
            "borderaxespad": 0.0,
            "borderpad": 0.1,
        }
        legend = axes.legend(
            handles=list(handles.values()), loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, **style
        )
        # A legend a little wider than its panel must not push the next column away.
        legend.set_in_layout(False)
    if panel.log:
        _dress_log_axis(axes)
    return marks


def _draw_curve(axes: Axes, line: Series, times: _TimeAxis) -> set[str]:
    """Draw one curve with its bounds and the marks at its ends; return which kinds of marks were used."""
    values = line.values()
    assert values is not None
    marks = {line.split or ""}
    bounds = line.interval("_lower", "_upper") if line.depth is None else None
    if bounds is not None:
        times.fill(axes, *bounds, color=line.colour, alpha=0.15, linewidth=0)
        marks.add("bounds")
    error = line.values("_standard_error")
    if error is not None and np.any(error > 1e-4 * np.max(np.abs(values), where=np.isfinite(values), initial=0.0)):
        times.fill(axes, values - 2 * error, values + 2 * error, color=line.colour, alpha=0.4, linewidth=0)
        marks.add("error")
    for row in (line.interval("_multisample_lower", "_multisample_upper") if line.depth is None else None) or ():
        times.line(axes, row, color=line.colour, linestyle=(0, (1, 1.2)), linewidth=0.8)
        marks.add("multisample")
    style = _STYLES.get(line.split or "train", "-")
    times.line(axes, values, color=line.colour, linestyle=style, linewidth=2.2 if line.beneath else None)
    return marks | times.ends(axes, values, line.colour, face="white" if line.split == "test" else line.colour)


def _draw_planes(drawn: Plane) -> Figure:
    columns = len(drawn.groups)
    figure = Figure(figsize=(_WIDTH * max(columns, 1.3) / max(columns, 2), 5.0), layout="constrained")
    grid = figure.add_gridspec(2, columns, height_ratios=(1.75, 1))
    above: Axes | None = None
    below: Axes | None = None
    for column, (title, lines) in enumerate(drawn.groups.items()):
        above = figure.add_subplot(grid[0, column], sharex=above, sharey=above)
        below = figure.add_subplot(grid[1, column], sharey=below)
        _draw_plane(above, lines, drawn)
        _draw_gaps(below, lines)
        above.set_title(f"{string.ascii_lowercase[column]}   {title}")
        below.set_title(f"{string.ascii_lowercase[columns + column]}   Distance below the frontier")
        above.set_xlabel(f"$I(Z;X)$ ({drawn.unit})")
        if column == 0:
            above.set_ylabel(f"$I(Z;Y)$ ({drawn.unit})")
            below.set_ylabel(f"vertical distance ({drawn.unit})")
    dot = {"color": "0.25", "linestyle": "", "markersize": 4}
    handles = [
        Line2D([], [], color="black", linewidth=1.0, label="frontier"),
        *([] if drawn.ceiling is None else [Line2D([], [], color="0.35", linestyle=_DOTS, label="$I(X;Y)$")]),
        Line2D([], [], marker="o", markerfacecolor="white", label="first time", **dot),
        Line2D([], [], marker=".", label="decades of time, ± 2 standard errors", **dot),
        Line2D([], [], marker="s", label="last time", **dot),
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=5 if columns > 1 else 2)
    return figure


def _draw_plane(axes: Axes, lines: Sequence[PlaneLine], drawn: Plane) -> None:
    axes.fill_between(drawn.given, drawn.height, drawn.top, color="0.93", linewidth=0)
    axes.plot(drawn.given, drawn.height, color="black", linewidth=1.0)
    if drawn.ceiling is not None:
        axes.axhline(drawn.ceiling, color="0.35", linestyle=_DOTS)
    axes.set_xlim(-0.025 * drawn.given[-1], drawn.given[-1])
    axes.set_ylim(-0.04 * drawn.top, drawn.top)
    for line in lines:
        axes.plot(*line.points, color=line.colour, label=line.label)
        style = {"color": line.colour, "textcoords": "offset points", "fontsize": 6, "va": "top"}
        for mark in line.marks:
            x_error, y_error = 2 * mark.errors[0], 2 * mark.errors[1]
            axes.errorbar(*mark.place, y_error, x_error, color=line.colour, marker="o", markersize=2.6, elinewidth=0.7)
            axes.annotate(mark.label, mark.place, (3, -3), **style)
        for index, marker, face in ((0, "o", "white"), (-1, "s", line.colour)):
            end = line.points[:, index]
            axes.plot(
                *end, marker=marker, markersize=4, color=line.colour, markerfacecolor=face, linestyle="", zorder=5
            )
    axes.legend(loc="lower right")


def _draw_gaps(axes: Axes, lines: Sequence[PlaneLine]) -> None:
    for line in lines:
        times, error = _TimeAxis(line.times), 2 * line.gap_error
        times.fill(axes, line.gap - error, line.gap + error, color=line.colour, alpha=0.25, linewidth=0)
        times.line(axes, line.gap, color=line.colour)
        times.ends(axes, line.gap, line.colour, face=line.colour)
    axes.axhline(0, color="black", linewidth=1.0)
    _TimeAxis(lines[0].times).dress(axes, "training time")


class _TimeAxis:
    """Where each time stands on a logarithmic axis that also has a place for 0 and one for infinity."""

    def __init__(self, times: np.ndarray):
        self._times = np.asarray(times, dtype=float)
        self._inner = np.isfinite(self._times) & (self._times > 0)
        inside = self._times[self._inner] if self._inner.any() else np.array([1.0])
        self._start, self._stop = float(inside.min()), float(inside.max())
        self._gap = 10 ** max(0.13 * np.log10(self._stop / self._start), 0.15)
        self._zero, self._infinity = self._start / self._gap, self._stop * self._gap

    def line(self, axes: Axes, values: np.ndarray, **style) -> None:
        """A line through the times strictly between 0 and infinity (a dot where there is one only)."""
        marker = "." if self._inner.sum() == 1 else None
        axes.plot(self._times[self._inner], _finite(values[self._inner]), marker=marker, **style)

    def fill(self, axes: Axes, low: np.ndarray, high: np.ndarray, **style) -> None:
        """The region between two curves, and a bar between their values at 0 and at infinity."""
        inner = self._inner
        axes.fill_between(self._times[inner], _finite(low[inner]), _finite(high[inner]), **style)
        half = self._gap**0.15
        for place, index in self._edges():
            axes.fill_between([place / half, place * half], _finite(low[[index]]), _finite(high[[index]]), **style)

    def ends(self, axes: Axes, values: np.ndarray, colour: str, face: str) -> set[str]:
        """Dots for the values at 0 and at infinity, triangles at the top for values that are infinite."""
        used: set[str] = set()
        style = {"color": colour, "markerfacecolor": face, "linestyle": "", "clip_on": False, "zorder": 5}
        for place, index in self._edges():
            if values[index] == np.inf:
                axes.plot(place, 0.965, marker="^", markersize=4, transform=axes.get_xaxis_transform(), **style)
                used.add("infinite")
            elif np.isfinite(values[index]) and (axes.get_yscale() == "linear" or values[index] > 0):
                axes.plot(place, values[index], marker="o", markersize=3.2, **style)
                used.add("edge")
        return used

    def dress(self, axes: Axes, label: str) -> None:
        """Set scale, limits, ticks, and the dotted breaks that set 0 and infinity apart."""
        places = {place for place, _ in self._edges()}
        has_zero, has_infinity = self._zero in places, self._infinity in places
        axes.set_xscale("log")
        decades = LogLocator(numticks=6).tick_values(self._start, self._stop)
        ticks = [t for t in decades if self._start * 0.999 <= t <= self._stop * 1.001]
        labels = [f"$10^{{{round(np.log10(t))}}}$" for t in ticks]
        axes.xaxis.set_major_locator(FixedLocator([self._zero] * has_zero + ticks + [self._infinity] * has_infinity))
        axes.set_xticklabels(["0"] * has_zero + labels + ["∞"] * has_infinity)
        axes.xaxis.set_minor_locator(NullLocator())
        margin = self._gap**0.25
        axes.set_xlim(
            self._zero / margin if has_zero else self._start, (self._infinity if has_infinity else self._stop) * margin
        )
        for present, place in ((has_zero, self._start / self._gap**0.5), (has_infinity, self._stop * self._gap**0.5)):
            if present:
                axes.axvline(place, color="0.7", linewidth=0.5, linestyle=(0, (2, 2)))
        axes.set_xlabel(label)

    def _edges(self) -> Iterator[tuple[float, int]]:
        for index in np.flatnonzero(~self._inner):
            yield (self._infinity if np.isinf(self._times[index]) else self._zero), int(index)


def _finite(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, np.nan)


def _dress_log_axis(axes: Axes) -> None:
    """Show no more than twelve decades below the largest value, with enough ticks to read a value off."""
    heights = [np.asarray(line.get_ydata(), dtype=float) for line in axes.lines if line.get_marker() != "^"]
    positive = np.concatenate([height[height > 0] for height in heights] or [np.ones(1)])
    high = positive.max(initial=0.0) or 1.0
    low = max(positive.min(initial=high), high * 1e-12)
    if high / low < 3:
        axes.set_yscale("linear")
        return
    margin = (high / low) ** 0.06
    axes.set_ylim(low / margin, high * margin)
    for line in [line for line in axes.lines if line.get_marker() == "o"]:
        if np.asarray(line.get_ydata(), dtype=float)[0] < low:
            line.remove()  # markers are not clipped and would stand below the axis
    few = (1, 2, 5) if high / low < 30 else (1, 3) if high / low < 300 else (1,)
    axes.yaxis.set_major_locator(LogLocator(subs=few, numticks=6))
    axes.yaxis.set_major_formatter(LogFormatterSciNotation(labelOnlyBase=False, minor_thresholds=(np.inf, np.inf)))
    axes.yaxis.set_minor_locator(NullLocator())


def _legend_entries(curves: xr.Dataset, marks: set[str]) -> list[Line2D | Patch]:
    grey = "0.25"
    dot = {"color": grey, "linestyle": "", "markersize": 4}
    entries = {
        "train": Line2D([], [], color=grey, linestyle=_STYLES["train"], label="training inputs"),
        "test": Line2D([], [], color=grey, linestyle=_STYLES["test"], label="test inputs"),
        "bounds": Patch(color=grey, alpha=0.2, linewidth=0, label="between pairwise bounds"),
        "multisample": Line2D([], [], color=grey, linestyle=(0, (1, 1.2)), linewidth=0.9, label="multi-sample bounds"),
        "error": Patch(color=grey, alpha=0.5, linewidth=0, label="± 2 standard errors"),
        "edge": Line2D([], [], marker="o", label="value at time 0 or ∞ (hollow: test)", **dot),
        "infinite": Line2D([], [], marker="^", label="infinite value", **dot),
    }
    handles: list[Line2D | Patch] = []
    if several_depths(curves):
        for index, depth in enumerate(curves["depth"].values):
            handles.append(Line2D([], [], color=COLOURS[index % len(COLOURS)], label=f"depth {int(depth)}"))
    return handles + [handle for kind, handle in entries.items() if kind in marks]


def _figure_legend(figure: Figure, grid: GridSpec, used: int, handles: list[Line2D | Patch]) -> None:
    """Put the legend that all panels share into the cells they leave free, or below them."""
    if not handles:
        return
    rows, columns = grid.get_geometry()
    if used < rows * columns:
        cell = figure.add_subplot(grid[rows - 1, used % columns :])
        cell.axis("off")
        cell.legend(handles=handles, loc="center left", borderaxespad=0.0, labelspacing=0.6, fontsize=7)
    else:
        figure.legend(handles=handles, loc="outside lower left", ncols=max(columns, 2))
