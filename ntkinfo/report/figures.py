"""Figures of information curves and planes; computes no statistic."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from ntkinfo.core.arguments import checked
from ntkinfo.information.plane import Frontier
from ntkinfo.information.plane_records import PlaneTrajectory
from ntkinfo.report.plane_series import Plane, PlaneLine, plane
from ntkinfo.report.series import COLOURS, NAMES, Panel, Series, axis_label, panels, series, several_depths, unit
from ntkinfo.report.style import DOTS, SPLIT_STYLES, WIDTH, Drawing, TimeAxis, dress_log_axis, styled

_COLUMNS = 3


@checked
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
    with styled():
        return _draw(curves, drawn, bits)


@checked
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
    with styled():
        return _draw_planes(drawn)


def _draw(curves: xr.Dataset, drawn: Sequence[Panel], bits: bool) -> Figure:
    columns = min(len(drawn), _COLUMNS)
    rows = -(-len(drawn) // columns)
    figure = Drawing(
        figsize=(WIDTH * max(columns, 1.6) / _COLUMNS, 1.85 * rows + (0.5 if len(drawn) < columns * rows else 0.9)),
        layout="constrained",
    )
    grid = figure.add_gridspec(rows, columns)
    times = TimeAxis(curves["time"].values)
    marks: set[str] = set()
    for index, panel in enumerate(drawn):
        axes = figure.add_subplot(grid[index // columns, index % columns])
        marks |= _draw_panel(axes, list(series(curves, panel, bits)), panel, times)
        letter = f"{string.ascii_lowercase[index]}   " if len(drawn) > 1 else ""
        axes.set_title(letter + panel.title, pad=13 if axes.get_legend() else 4)
        times.dress(axes, label="training time (1)" if index + columns >= len(drawn) else "")
    _figure_legend(figure, grid, len(drawn), _legend_entries(curves, marks))
    return figure


def _draw_panel(axes: Axes, lines: Sequence[Series], panel: Panel, times: TimeAxis) -> set[str]:
    """Draw a panel's curves, label its axes, and return which kinds of marks were used."""
    marks: set[str] = set()
    axes.set_yscale("log" if panel.log else "linear")
    if not panel.log:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    for line in lines:
        marks |= _draw_curve(axes, line, times)
    units = {line.name: unit(line.curves[line.name], line.bits) for line in lines}
    axes.set_ylabel(axis_label(panel, units))
    handles: dict[str, Line2D] = {}
    for line in lines:
        style = "-" if len(panel.quantities) > 1 else SPLIT_STYLES.get(line.split or "train", "-")
        text = line.label if len(set(units.values())) == 1 else f"{line.label} ({units[line.name] or '1'})"
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
        dress_log_axis(axes)
    return marks


def _draw_curve(axes: Axes, line: Series, times: TimeAxis) -> set[str]:
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
    style = SPLIT_STYLES.get(line.split or "train", "-")
    times.line(axes, values, color=line.colour, linestyle=style, linewidth=2.2 if line.beneath else None)
    return marks | times.ends(axes, values, line.colour, face="white" if line.split == "test" else line.colour)


def _draw_planes(drawn: Plane) -> Figure:
    columns = len(drawn.groups)
    figure = Drawing(figsize=(WIDTH * max(columns, 1.3) / max(columns, 2), 5.0), layout="constrained")
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
        *([] if drawn.ceiling is None else [Line2D([], [], color="0.35", linestyle=DOTS, label="$I(X;Y)$")]),
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
        axes.axhline(drawn.ceiling, color="0.35", linestyle=DOTS)
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
        times, error = TimeAxis(line.times), 2 * line.gap_error
        times.fill(axes, line.gap - error, line.gap + error, color=line.colour, alpha=0.25, linewidth=0)
        times.line(axes, line.gap, color=line.colour)
        times.ends(axes, line.gap, line.colour, face=line.colour)
    axes.axhline(0, color="black", linewidth=1.0)
    TimeAxis(lines[0].times).dress(axes, "training time (1)")


def _legend_entries(curves: xr.Dataset, marks: set[str]) -> list[Line2D | Patch]:
    grey = "0.25"
    dot = {"color": grey, "linestyle": "", "markersize": 4}
    entries = {
        "train": Line2D([], [], color=grey, linestyle=SPLIT_STYLES["train"], label="training inputs"),
        "test": Line2D([], [], color=grey, linestyle=SPLIT_STYLES["test"], label="test inputs"),
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
