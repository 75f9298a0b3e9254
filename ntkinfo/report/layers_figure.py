"""Figure of trained networks in the information plane: layers, gradients and the outcomes of the five findings."""

from __future__ import annotations

import string
from collections.abc import Callable
from textwrap import fill

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from ntkinfo.core.arguments import checked
from ntkinfo.finite.plane import PlaneStudy
from ntkinfo.finite.plane_compression import BIT
from ntkinfo.finite.plane_findings import Findings, LayersAgainstBound, TimeAgainstDepth
from ntkinfo.finite.plane_intervals import Interval, mean_interval
from ntkinfo.finite.plane_phases import CompressionStart, NoiseAgainstFullBatch
from ntkinfo.report.series import COLOURS
from ntkinfo.report.style import DOTS, WIDTH, Drawing, styled

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_SHADES = "viridis"
_OUTCOMES = {"supported": "#009E73", "not supported": "#D55E00", "undecided": "0.45"}
_NOTHING = "not measured"


@checked
def layers_figure(study: PlaneStudy, found: Findings, bits: bool = True) -> Figure:
    """Draw a study of the information plane and what its five findings came to.

    Panels: the layers' means over the seeds in the plane, coloured by epoch; I(X;T) of each layer over epochs with 95%
    intervals over the seeds; the gradients' signal-to-noise ratio of each layer (geometric mean over the seeds) with
    its fall below 1; each layer's distance below the bottleneck curve before and after training; compression of the
    hidden layers with and without minibatch noise; epochs to a given error against the number of layers, with the
    quartiles over the seeds. Below them the outcomes in words.

    Args:
        study: of the networks trained with minibatches.
        found: the findings of that study (`findings`).
        bits: show bits instead of nats.

    Returns:
        A matplotlib figure that no global state refers to.
    """
    scale, unit = (1 / BIT, "bit") if bits else (1.0, "nat")
    with styled():
        figure = Drawing(figsize=(WIDTH, 6.7), layout="constrained")
        grid = figure.add_gridspec(3, 3, height_ratios=(1, 1, 0.85))
        panels: list[tuple[str, Callable[[Axes], None]]] = [
            ("Layers in the plane", lambda axes: _draw_plane(axes, study, scale, unit)),
            ("Input and layer", lambda axes: _draw_courses(axes, study, scale, unit)),
            ("Signal to noise of gradients", lambda axes: _draw_ratios(axes, study, found.start)),
            ("Distance below the curve", lambda axes: _draw_gaps(axes, found.bound, scale, unit)),
            ("Compression and noise", lambda axes: _draw_noise(axes, found.noise, scale, unit)),
            ("Training time", lambda axes: _draw_depth(axes, found.depth)),
        ]
        for index, (title, draw) in enumerate(panels):
            axes = figure.add_subplot(grid[index // 3, index % 3])
            draw(axes)
            axes.set_title(f"{string.ascii_lowercase[index]}   {title}")
        _draw_outcomes(figure.add_subplot(grid[2, :]), found)
        figure.legend(handles=_layer_keys(study), loc="outside upper center", ncols=study.n_layers)
    return figure


def _layer_keys(study: PlaneStudy) -> list[Line2D]:
    """What stands for each layer: its marker in the plane, its colour everywhere else."""
    names = [*(f"layer {layer + 1}" for layer in range(study.n_layers - 1)), "output"]
    return [
        Line2D([], [], color=COLOURS[k % len(COLOURS)], marker=_MARKERS[k % len(_MARKERS)], markersize=3.2, label=name)
        for k, name in enumerate(names)
    ]


def _draw_plane(axes: Axes, study: PlaneStudy, scale: float, unit: str) -> None:
    epochs = np.maximum(study.epochs, 0.5)
    given, told = (scale * part.mean(axis=1) for part in (study.information_input, study.information_target))
    norm, shades = LogNorm(epochs[0], epochs[-1]), mpl.colormaps[_SHADES]
    for row in range(len(epochs)):
        axes.plot(given[row], told[row], color=shades(norm(epochs[row])), linewidth=0.5, alpha=0.5)
    for layer in range(study.n_layers):
        style = {"marker": _MARKERS[layer % len(_MARKERS)], "s": 9, "linewidths": 0, "zorder": 3}
        axes.scatter(given[:, layer], told[:, layer], c=epochs, norm=norm, cmap=_SHADES, **style)
    axes.axhline(scale * study.data.label_entropy, color="0.35", linestyle=DOTS, linewidth=1.0)
    axes.set_xlabel(f"$I(X;T)$ ({unit})")
    axes.set_ylabel(f"$I(T;Y)$ ({unit})")
    axes.margins(0.06)
    # Below the trajectories on the right, where a layer that knows much about the input knows something of the class.
    key = axes.inset_axes((0.64, 0.03, 0.33, 0.035))
    bar = Colorbar(key, ScalarMappable(norm, _SHADES), orientation="horizontal", ticklocation="top")
    bar.minorticks_off()
    bar.set_ticks([10.0**power for power in range(0, int(np.log10(epochs[-1])) + 1, 2)])
    bar.ax.tick_params(pad=1)
    bar.ax.set_ylabel("epoch", rotation=0, ha="right", va="center")


def _draw_courses(axes: Axes, study: PlaneStudy, scale: float, unit: str) -> None:
    epochs = _drawn_epochs(study)
    for layer in range(study.n_layers):
        mean = mean_interval(scale * study.information_input[:, :, layer].T)
        colour = COLOURS[layer % len(COLOURS)]
        axes.plot(epochs, np.asarray(mean.value), color=colour)
        axes.fill_between(epochs, np.asarray(mean.low), np.asarray(mean.high), color=colour, alpha=0.2, linewidth=0)
    _dress_epochs(axes, epochs)
    axes.set_ylabel(f"$I(X;T)$ ({unit})")


def _draw_ratios(axes: Axes, study: PlaneStudy, start: CompressionStart | None) -> None:
    if study.exact is None:
        _say(axes, _NOTHING)
        return
    epochs = _drawn_epochs(study)
    ratios = np.exp(0.5 * np.log(np.asarray(study.exact.ratio_squared)).mean(axis=1))
    for layer in range(study.n_layers):
        axes.plot(epochs, ratios[:, layer], color=COLOURS[layer % len(COLOURS)])
        if start is not None and np.isfinite(start.transition_epochs[layer]):
            axes.plot(start.transition_epochs[layer], 1, "o", color=COLOURS[layer % len(COLOURS)], markersize=3.5)
    axes.axhline(1, color="0.35", linestyle=DOTS, linewidth=1.0)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if np.ptp(np.log10(ratios)) < 2 else (1,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda ratio, _: f"{ratio:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    _dress_epochs(axes, epochs)
    axes.set_ylabel("signal / noise at fixed weights (1)")


def _draw_gaps(axes: Axes, bound: LayersAgainstBound, scale: float, unit: str) -> None:
    layers = np.arange(len(np.asarray(bound.gap.value)))
    for interval, label, colour, shift in (
        (bound.first_gap, "before training", "0.55", -0.12),
        (bound.gap, "after", COLOURS[0], 0.12),
    ):
        _bars(axes, layers + shift, interval, scale, colour, label)
    axes.axhline(0, color="black", linewidth=1.0)
    _dress_layers(axes, len(layers))
    axes.set_ylabel(f"distance ({unit})")
    axes.legend(loc="best")


def _draw_noise(axes: Axes, noise: NoiseAgainstFullBatch | None, scale: float, unit: str) -> None:
    if noise is None:
        _say(axes, _NOTHING)
        return
    for place, (interval, colour) in enumerate(((noise.noisy, COLOURS[0]), (noise.full, COLOURS[1]))):
        _bars(axes, np.array([place]), interval, scale, colour, "")
    axes.set_xticks([0, 1], ["minibatches", "full batches"])
    axes.set_xlim(-0.6, 1.6)
    top = scale * max(float(noise.noisy.high), float(noise.full.high))
    axes.set_ylim(min(0.0, axes.get_ylim()[0]), max(1.12 * top, axes.get_ylim()[1]))
    axes.axhline(0, color="black", linewidth=1.0)
    axes.set_ylabel(f"fall of $I(X;T)$ ({unit})")


def _draw_depth(axes: Axes, depth: TimeAgainstDepth | None) -> None:
    if depth is None:
        _say(axes, _NOTHING)
        return
    low, middle, high = (np.quantile(depth.epochs, share, axis=1, method="inverted_cdf") for share in (0.25, 0.5, 0.75))
    known = np.isfinite(middle)
    top = 1.3 * np.max(depth.epochs[np.isfinite(depth.epochs)], initial=1.0)
    high = np.where(np.isfinite(high), high, top)
    errors = [middle[known] - low[known], high[known] - middle[known]]
    axes.errorbar(depth.hidden[known], middle[known], errors, fmt="o", color=COLOURS[0], markersize=4, elinewidth=0.9)
    for place in depth.hidden[~known]:
        axes.plot(place, top, marker="^", color=COLOURS[0], markersize=4, linestyle="")
    axes.set_yscale("log")
    lowest = np.min(low[known], initial=top)
    axes.set_ylim(10 ** np.floor(np.log10(max(lowest, 0.1))), 10 ** np.ceil(np.log10(top)))
    axes.set_xticks(depth.hidden)
    axes.set_xlim(depth.hidden[0] - 0.5, depth.hidden[-1] + 0.5)
    axes.set_xlabel("hidden layers")
    axes.set_ylabel(f"epochs to error {depth.error:g}")


def _draw_outcomes(axes: Axes, found: Findings) -> None:
    axes.set_axis_off()
    rows = [
        (fill(claim, 33, break_on_hyphens=False), outcome, fill(statement, 86, break_on_hyphens=False))
        for claim, outcome, statement in found.rows
    ]
    lines = [1.6 + max(claim.count("\n"), statement.count("\n")) for claim, _, statement in rows]
    heights = 1 - np.concatenate([[0], np.cumsum(lines)[:-1]]) / sum(lines)
    for height, (claim, outcome, statement) in zip(heights, rows, strict=True):
        style = {"transform": axes.transAxes, "va": "top", "fontsize": 6.2}
        words = (
            axes.text(0.0, height, claim, **style),
            axes.text(0.27, height, outcome, color=_OUTCOMES[outcome], fontweight="bold", **style),
            axes.text(0.39, height, statement, **style),
        )
        for word in words:
            word.set_in_layout(False)  # long words must not push the panels together


def _bars(axes: Axes, places: np.ndarray, interval: Interval, scale: float, colour: str, label: str) -> None:
    """Dots with their intervals."""
    value, low, high = (scale * np.atleast_1d(np.asarray(end)) for end in (interval.value, interval.low, interval.high))
    errors = np.maximum([value - low, high - value], 0)
    axes.errorbar(places, value, errors, fmt="o", color=colour, markersize=3.5, elinewidth=0.9, label=label)


def _drawn_epochs(study: PlaneStudy) -> np.ndarray:
    """Epochs on a logarithmic axis; the start stands at half an epoch."""
    return np.maximum(study.epochs.astype(np.float64), 0.5)


def _dress_epochs(axes: Axes, epochs: np.ndarray) -> None:
    axes.set_xscale("log")
    axes.set_xlim(epochs[0], epochs[-1])
    axes.set_xlabel("epoch (the start at ½)")


def _dress_layers(axes: Axes, count: int) -> None:
    axes.set_xticks(range(count), [*(str(layer + 1) for layer in range(count - 1)), "output"])
    axes.set_xlim(-0.6, count - 0.4)
    axes.set_xlabel("layer")


def _say(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color="0.45")
    axes.set_xticks([])
    axes.set_yticks([])
