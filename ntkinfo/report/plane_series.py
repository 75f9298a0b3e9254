"""What a figure of the information plane shows: lines, their colours, marks of time and distances to the frontier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ntkinfo.information.plane import Frontier, frontier_distance
from ntkinfo.information.plane_records import PlaneTrajectory
from ntkinfo.report.series import COLOURS

_APART = 0.075  # of the axes: labels of times closer to each other would overlap


@dataclass(frozen=True)
class Mark:
    """A whole decade of time on a trajectory: place and errors by interpolation in log time, perhaps a label."""

    place: tuple[float, float]
    errors: tuple[float, float]
    label: str


@dataclass(frozen=True)
class PlaneLine:
    """One trajectory in the unit that is shown.

    Args:
        label: of the legend.
        colour: of the line.
        times: (T,).
        points: I(Z;X) and I(Z;Y), (2, T).
        marks: the whole decades that the times cover.
        gap: vertical distance below the frontier, (T,).
        gap_error: its standard error, (T,).
    """

    label: str
    colour: str
    times: Float[np.ndarray, " t"]
    points: Float[np.ndarray, "2 t"]
    marks: tuple[Mark, ...]
    gap: Float[np.ndarray, " t"]
    gap_error: Float[np.ndarray, " t"]


@dataclass(frozen=True)
class Plane:
    """All that a figure of the information plane shows, in one unit.

    Args:
        groups: the lines of each panel under its title.
        given: I(Z;X) at which the frontier is drawn, (g,), from 0 to the right edge.
        height: of the frontier there, (g,).
        ceiling: I(X;Y), or None.
        top: upper edge of the panels.
        unit: "nat" or "bit".
    """

    groups: Mapping[str, tuple[PlaneLine, ...]]
    given: Float[np.ndarray, " g"]
    height: Float[np.ndarray, " g"]
    ceiling: float | None
    top: float
    unit: str


def plane(
    trajectories: Mapping[str, Mapping[str, PlaneTrajectory]], frontier: Frontier, ceiling: float | None, bits: bool
) -> Plane:
    """Prepare the figure: see `figures.plane_figure`."""
    if not trajectories or not all(trajectories.values()):
        raise ValueError("there are no trajectories to draw, or a group is empty; give at least one for each title")
    scale = 1 / np.log(2.0) if bits else 1.0
    every = [trajectory for group in trajectories.values() for trajectory in group.values()]
    right = 1.06 * max(1e-9, *(float(trajectory.information_input.max()) for trajectory in every))
    given = np.linspace(0, right, 400)
    height = np.asarray(frontier(given), dtype=np.float64)
    tops = (float(height.max()), ceiling or 0.0, *(float(trajectory.information_target.max()) for trajectory in every))
    top = 1.12 * scale * max(tops)
    edges = (scale * right, top)
    groups = {title: _lines(group, frontier, scale, edges) for title, group in trajectories.items()}
    drawn_ceiling = None if ceiling is None else scale * ceiling
    return Plane(groups, scale * given, scale * height, drawn_ceiling, top, "bit" if bits else "nat")


def _lines(
    trajectories: Mapping[str, PlaneTrajectory], frontier: Frontier, scale: float, edges: tuple[float, float]
) -> tuple[PlaneLine, ...]:
    """The lines of one panel, one colour each, in the order given."""
    points = [scale * np.stack([t.information_input, t.information_target]) for t in trajectories.values()]
    # Labels keep clear of the first and last points, which have marks of their own.
    taken = [row[:, index] / edges for row in points for index in (0, -1)]
    lines = []
    for index, (label, trajectory) in enumerate(trajectories.items()):
        distance = frontier_distance(trajectory, frontier)
        errors = scale * trajectory.standard_errors
        lines.append(
            PlaneLine(
                label=label,
                colour=COLOURS[index % len(COLOURS)],
                times=trajectory.times,
                points=points[index],
                marks=_marks(trajectory.times, np.concatenate([points[index], errors]), edges, taken),
                gap=scale * distance.vertical,
                gap_error=scale * distance.vertical_error,
            )
        )
    return tuple(lines)


def _marks(
    times: np.ndarray, rows: Float[np.ndarray, "4 t"], edges: tuple[float, float], taken: list[np.ndarray]
) -> tuple[Mark, ...]:
    """Marks at the whole decades; the places of those that get a label are added to `taken`."""
    inner = np.isfinite(times) & (times > 0)
    if not inner.any():
        return ()
    logs, marks = np.log10(times[inner]), []
    for decade in range(int(np.ceil(logs[0] - 1e-9)), int(np.floor(logs[-1] + 1e-9)) + 1):
        x, y, x_error, y_error = (float(np.interp(decade, logs, row[inner])) for row in rows)
        spot = np.array([x, y]) / edges
        free = all(np.hypot(*(spot - other)) > _APART for other in taken)
        if free:
            taken.append(spot)
        marks.append(Mark((x, y), (x_error, y_error), f"$10^{{{decade}}}$" if free else ""))
    return tuple(marks)
