"""The figure of variational bottlenecks beside each other: their plane with the bounds, and how well they predict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ntkinfo.core.arguments import checked
from ntkinfo.report.series import COLOURS
from ntkinfo.report.style import DOTS, WIDTH, Drawing, styled

_MARKERS = "os^Dv"


@checked
def variational_figure(runs: Mapping[str, Sequence[xr.Dataset]], split: str = "test", bits: bool = False) -> Figure:
    """Draw the last recorded step of runs on classes: I(Z;Y) over I(X;Z) with their bounds, and the error.

    Left, the values for inputs uniform on the split, joined in the order given (that of the weights, say), with lines
    to the upper bound on I(X;Z) and to the lower bound on I(Z;Y); the class is certain given the input, so nothing can
    lie in the grey, above min(I(X;Z), H(Y)). Right, the share of wrong classes, ± 2 standard errors of the inputs as a
    sample, over the same I(X;Z).

    Args:
        runs: for each form its label and `VariationalRun.curves` of its runs, one a trade-off.
        split: "train" or "test".
        bits: show bits instead of nats.

    Returns:
        A matplotlib figure that no global state refers to.

    Raises:
        ValueError: no runs, or runs without the split or without classes.
    """
    ends = {label: [_end(curves, split) for curves in group] for label, group in runs.items()}
    if not ends or not all(ends.values()):
        raise ValueError("there are no runs to draw, or a form has none; give at least one for each label")
    scale, unit = (1 / float(np.log(2)), "bit") if bits else (1.0, "nat")
    with styled():
        figure = Drawing(figsize=(WIDTH, 2.9), layout="constrained")
        plane, errors = figure.subplots(1, 2)
        for index, (label, group) in enumerate(ends.items()):
            style = {"color": COLOURS[index % len(COLOURS)], "marker": _MARKERS[index % len(_MARKERS)], "markersize": 4}
            _draw_plane(plane, group, scale, {**style, "label": label})
            _draw_errors(errors, group, scale, style)
        _dress_plane(plane, [end for group in ends.values() for end in group], scale)
        plane.set(ylabel=f"$I(Z;Y)$ ({unit})", title=f"a   Information plane, {split} inputs")
        errors.set(ylabel="wrong classes (%)", title=f"b   Error, {split} inputs")
        errors.set_ylim(bottom=0)
        for axes in (plane, errors):
            axes.set_xlabel(f"$I(X;Z)$ ({unit})")
        handles = [*plane.get_legend_handles_labels()[0], *_handles()]
        figure.legend(handles=handles, loc="outside lower left", ncols=3)
    return figure


def _end(curves: xr.Dataset, split: str) -> dict[str, float]:
    if "information_target" not in curves or split not in curves["split"].values:
        raise ValueError(f"the runs hold no I(Z;Y) of classes on the {split} inputs; measure that split in training")
    last = curves.isel(step=-1).sel(split=split)
    return {str(name): float(last[name]) for name in last.data_vars}


def _draw_plane(axes: Axes, group: Sequence[Mapping[str, float]], scale: float, style: dict) -> None:
    names = ("information_input", "information_target", "information_input_upper", "information_target_lower")
    given, target, upper, lower = (scale * np.array([end[name] for end in group]) for name in names)
    axes.hlines(target, given, upper, color=style["color"], linewidth=0.8, linestyle=(0, (3, 1.2)))
    axes.vlines(given, lower, target, color=style["color"], linewidth=0.8, linestyle=(0, (3, 1.2)))
    axes.plot(given, target, **style)


def _draw_errors(axes: Axes, group: Sequence[Mapping[str, float]], scale: float, style: dict) -> None:
    given = scale * np.array([end["information_input"] for end in group])
    value, spread = (100 * np.array([end[name] for end in group]) for name in ("error", "error_standard_error"))
    axes.errorbar(given, value, 2 * spread, elinewidth=0.8, capsize=1.5, **style)


def _dress_plane(axes: Axes, ends: Sequence[Mapping[str, float]], scale: float) -> None:
    # H(Y) + E log q(y|z) less its second term.
    ceiling = scale * (ends[0]["information_target_lower"] + ends[0]["cross_entropy"])
    left, right = _around(
        scale * end[name] for end in ends for name in ("information_input", "information_input_upper")
    )
    bottom, _ = _around(
        scale * end[name] for end in ends for name in ("information_target", "information_target_lower")
    )
    top = ceiling + 0.1 * (ceiling - bottom)
    axes.fill_between([0, ceiling, max(right, top)], [0, ceiling, ceiling], top, color="0.93", linewidth=0)
    axes.axhline(ceiling, color="0.35", linestyle=DOTS)
    axes.set_xlim(max(0.0, left), right)
    axes.set_ylim(bottom, top)


def _around(values: Iterable[float]) -> tuple[float, float]:
    """Limits of an axis that leave room around the values."""
    given = np.array(list(values))
    room = 0.08 * max(float(np.ptp(given)), 1e-9)
    return float(given.min()) - room, float(given.max()) + room


def _handles() -> list[Line2D | Patch]:
    return [
        Line2D([], [], color="0.3", linewidth=0.8, linestyle=(0, (3, 1.2)), label="to the bounds"),
        Patch(color="0.93", label="no encoder"),
        Line2D([], [], color="0.35", linestyle=DOTS, label="$H(Y)$"),
    ]
