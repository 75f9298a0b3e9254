"""Figure of noisy networks over training: information, clustering with and without noise, the single neuron."""

from __future__ import annotations

import string
from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ntkinfo.core.arguments import checked
from ntkinfo.core.records import Estimate
from ntkinfo.finite.noisy_neuron import LIMIT, NeuronPath
from ntkinfo.finite.noisy_plane import member_mean
from ntkinfo.finite.noisy_study import NoisyStudy
from ntkinfo.report.series import COLOURS
from ntkinfo.report.style import DOTS, WIDTH, Drawing, TimeAxis, styled

BIT = float(np.log(2))


@checked
def noisy_figure(study: NoisyStudy, neuron: NeuronPath | None = None, bits: bool = True) -> Figure:
    """Draw what noise in the network makes visible: I(X;T) over training, and the clustering that it follows.

    Panels: I(X;T) and I(T;Y) of each hidden layer of the noisy networks; H(Bin(T)) of the same weights with noise off,
    and of networks trained without noise; the mean distance within classes over that between them, with noise off;
    errors; and the single neuron. Bands are means over the networks ± 2 standard errors, with the estimator's bracket.

    Args:
        study: of noisy networks, of `noisy_study`.
        neuron: the single neuron over training; its panel is left out without it.
        bits: show bits instead of nats.

    Returns:
        A matplotlib figure that no global state refers to.
    """
    scale, unit = (1 / BIT, "bit") if bits else (1.0, "nat")
    plane, ceiling = study.plane, study.plane.ceiling
    information = member_mean(np.asarray(plane.information_input.value), plane.input_bracket)
    target = member_mean(np.asarray(plane.information_target.value), plane.target_bracket)
    clusters, quiet = (member_mean(one.binned_entropy) for one in (study.clusters, study.quiet_clusters))
    ratio = member_mean(study.clusters.within / study.clusters.between)
    panels: list[tuple[str, Callable[[Axes], None]]] = [
        ("Noisy networks", lambda axes: _draw(axes, plane.steps, information, f"$I(X;T)$ ({unit})", scale, ceiling)),
        ("Their layers and the class", lambda axes: _draw(axes, plane.steps, target, f"$I(T;Y)$ ({unit})", scale)),
        ("Same weights, noise off", lambda axes: _draw(axes, plane.steps, clusters, _bins(unit), scale, ceiling)),
        ("Trained without noise", lambda axes: _draw(axes, plane.steps, quiet, _bins(unit), scale, ceiling)),
        ("Distances, noise off", lambda axes: _draw(axes, plane.steps, ratio, "within / between classes", 1.0)),
    ]
    if neuron is not None:
        panels.append(("One neuron", lambda axes: _draw_neuron(axes, neuron, scale, unit)))
    with styled():
        figure = Drawing(figsize=(WIDTH, 4.4), layout="constrained")
        grid = figure.add_gridspec(2, 3)
        for index, (title, draw) in enumerate(panels):
            axes = figure.add_subplot(grid[index // 3, index % 3])
            draw(axes)
            axes.set_title(f"{string.ascii_lowercase[index]}   {title}")
        figure.legend(handles=_keys(study.run.network.hidden), loc="outside lower center", ncols=8)
    return figure


def _bins(unit: str) -> str:
    return f"$H(\\mathrm{{Bin}}(T))$ ({unit})"


def _keys(layers: int) -> list[Line2D | Patch]:
    lines = [Line2D([], [], color=COLOURS[k % len(COLOURS)], label=f"layer {k + 1}") for k in range(layers)]
    ceiling = Line2D([], [], color="0.35", linestyle=DOTS, label="$H(X)$")
    return [*lines, ceiling, Patch(color="0.5", alpha=0.3, linewidth=0, label="± 2 standard errors")]


def _draw(
    axes: Axes, steps: np.ndarray, values: Estimate, label: str, scale: float, ceiling: float | None = None
) -> None:
    times, mean, error = TimeAxis(steps), np.asarray(values.value), np.asarray(values.standard_error)
    for layer in range(mean.shape[1]):
        colour = COLOURS[layer % len(COLOURS)]
        middle, half = scale * mean[:, layer], 2 * scale * error[:, layer]
        times.fill(axes, middle - half, middle + half, color=colour, alpha=0.25, linewidth=0)
        times.line(axes, middle, color=colour)
        times.ends(axes, middle, colour, face=colour)
    if ceiling is not None:
        axes.axhline(scale * ceiling, color="0.35", linestyle=DOTS, linewidth=0.8)
    axes.set_ylim(bottom=0)
    axes.set_ylabel(label)
    times.dress(axes, "steps of training")


def _draw_neuron(axes: Axes, neuron: NeuronPath, scale: float, unit: str) -> None:
    times, values = TimeAxis(neuron.steps), scale * np.asarray(neuron.information.value)
    for member in range(values.shape[1]):
        times.line(axes, values[:, member], color="0.2", linewidth=0.9)
        times.ends(axes, values[:, member], "0.2", face="0.2")
    axes.axhline(scale * LIMIT, color="0.35", linestyle=(0, (4, 1.5)), linewidth=0.8)
    axes.annotate(
        "one of four told apart",
        (0.16, 0.98 * scale * LIMIT),
        xycoords=("axes fraction", "data"),
        fontsize=6,
        va="top",
    )
    axes.set_ylim(bottom=0)
    axes.set_ylabel(f"$I(X;T)$ ({unit})")
    times.dress(axes, "steps of training")
