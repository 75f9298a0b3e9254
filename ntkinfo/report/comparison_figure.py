"""The figure of a comparison of trained networks of several widths with the law of infinite width."""

from __future__ import annotations

import string
from collections.abc import Callable

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from ntkinfo.core.arguments import checked
from ntkinfo.report.series import COLOURS
from ntkinfo.report.style import DOTS, WIDTH, Drawing, TimeAxis, dress_log_axis, styled

DASHES = (0, (4, 2))
# Where each discrepancy stands in the legend and what it is called there.
_NAMES = {
    "mean": "mean / $\\sqrt{v}$",
    "variance": "variance / $v$",
    "kurtosis": "4th cumulant / $v^2$",
    "divergence": "KL (nat)",
    "kernel drift": "kernel, drift",
    "kernel start": "kernel, start",
    "linearised twin": "twin / $\\sqrt{v}$",
}


@checked
def comparison_figure(comparison: xr.Dataset) -> Figure:
    """Draw the agreement of trained networks with the law over time, and how disagreements fall with the width.

    One colour a width, from light (narrow) to dark (wide). Largest deviations of mean, variance and joint kurtosis at
    each time in units of their standard errors, dotted: what chance reaches at any time with the level of the data
    set. Where they are there: the movement of the tangent kernel, and I(Z;X) of the members (corrected for its bias, ±
    2 standard deviations by chance) beside that of the law. Last, each discrepancy over the width on log axes, with the
    fitted power of the width; hollow where within noise.

    Args:
        comparison: from `comparison_dataset`.

    Returns:
        A matplotlib figure that no global state refers to.

    Raises:
        ValueError: the data set holds no widths or no times.
    """
    if comparison.sizes.get("width", 0) == 0 or comparison.sizes.get("time", 0) == 0:
        raise ValueError("the comparison holds no width or no time; give a result of comparison_dataset")
    panels: list[Callable[[Axes, xr.Dataset], None]] = [_mean, _variance, _shape]
    panels += [_drift] if "kernel_drift" in comparison else []
    panels += [_information] if "information_fitted" in comparison else [_divergence]
    panels += [_scaling] if "exponent" in comparison else []
    with styled():
        rows = -(-len(panels) // 3)
        figure = Drawing(figsize=(WIDTH, 2.15 * rows + 0.75), layout="constrained")
        grid = figure.add_gridspec(rows, 3)
        for index, draw in enumerate(panels):
            axes = figure.add_subplot(grid[index // 3, index % 3])
            draw(axes, comparison)
            axes.set_title(f"{string.ascii_lowercase[index]}   {axes.get_title(loc='left')}")
        _legends(figure, comparison)
    return figure


def _colours(comparison: xr.Dataset) -> list[str]:
    count = comparison.sizes["width"]
    return [to_hex(colormaps["viridis_r"](0.12 + 0.88 * place / max(count - 1, 1))) for place in range(count)]


def _lines(axes: Axes, comparison: xr.Dataset, values: xr.DataArray) -> TimeAxis:
    times = TimeAxis(comparison["time"].values)
    for colour, row in zip(_colours(comparison), values.values, strict=True):
        times.line(axes, row, color=colour)
        times.ends(axes, row, colour, face=colour)
    return times


def _scores(axes: Axes, comparison: xr.Dataset, family: str, title: str, limit: str) -> None:
    chosen = comparison.sel(family=family)
    highest = float(np.nanmax(chosen["largest"].values))
    axes.set_yscale("log" if highest > 5 * float(chosen[limit].max()) else "linear")
    times = _lines(axes, comparison, chosen["largest"].transpose("width", "time"))
    for colour, level in zip(_colours(comparison), chosen[limit].values, strict=True):
        axes.axhline(float(level), color=colour, linestyle=DOTS, linewidth=0.9)
    if axes.get_yscale() == "log":
        dress_log_axis(axes)
    else:
        axes.set_ylim(bottom=0)
    axes.set_title(title)
    axes.set_ylabel("largest deviation (std. errors)")
    times.dress(axes, "training time (1)")


def _mean(axes: Axes, comparison: xr.Dataset) -> None:
    _scores(axes, comparison, "mean", "Mean", "half_limit")


def _variance(axes: Axes, comparison: xr.Dataset) -> None:
    _scores(axes, comparison, "variance", "Variance", "half_limit")


def _shape(axes: Axes, comparison: xr.Dataset) -> None:
    _scores(axes, comparison, "joint kurtosis", "Shape: joint kurtosis", "limit")


def _drift(axes: Axes, comparison: xr.Dataset) -> None:
    axes.set_yscale("log")
    drift = comparison["kernel_drift"].transpose("width", "time")
    times = _lines(axes, comparison, drift.where(drift["time"] > 0))  # at the start there is rounding only
    if "kernel_start_error" in comparison:
        for colour, level in zip(_colours(comparison), comparison["kernel_start_error"].values, strict=True):
            axes.axhline(float(level), color=colour, linestyle=DASHES, linewidth=0.7)
    dress_log_axis(axes)
    axes.set_title("Tangent kernel")
    axes.set_ylabel("relative change (1)")
    times.dress(axes, "training time (1)")


def _information(axes: Axes, comparison: xr.Dataset) -> None:
    chosen = comparison.sel(information="information_input", split="test")
    times = TimeAxis(comparison["time"].values)
    corrected = (chosen["information_fitted"] - chosen["information_bias"]).transpose("width", "time").values
    spread = 2 * chosen["information_std"].transpose("width", "time").values
    law = chosen["information_law"].isel(width=0).values
    times.line(axes, law, color="black", linewidth=1.6)
    times.ends(axes, law, "black", face="black")
    for colour, row, width in zip(_colours(comparison), corrected, spread, strict=True):
        times.fill(axes, row - width, row + width, color=colour, alpha=0.2, linewidth=0)
        times.line(axes, row, color=colour)
        times.ends(axes, row, colour, face=colour)
    axes.set_title("Output and input: $\\mathbf{I(Z;X)}$")
    axes.set_ylabel("information, test (nat)")
    times.dress(axes, "training time (1)")


def _divergence(axes: Axes, comparison: xr.Dataset) -> None:
    averaged = comparison["divergence_test"].mean("test_input").transpose("width", "time")
    times = _lines(axes, comparison, averaged)
    axes.set_title("Divergence from the law")
    axes.set_ylabel("KL less chance, test (nat)")
    times.dress(axes, "training time (1)")


def _scaling(axes: Axes, comparison: xr.Dataset) -> None:
    widths, fine = comparison["width"].values, comparison["fine_width"].values
    axes.set_xscale("log")
    axes.set_yscale("log")
    for index, name in enumerate(comparison["discrepancy"].values):
        row, colour = comparison.sel(discrepancy=name), COLOURS[index % len(COLOURS)]
        size, noise = row["discrepancy_size"].values, row["discrepancy_noise"].values
        seen = size > noise
        value, error = row["discrepancy_value"].values, row["discrepancy_value_standard_error"].values
        power = 1.0 if name == "divergence" else 0.5
        # On log axes the bar of one standard error on the measured value, carried over to its root.
        low, high = (np.maximum(value + sign * error, 1e-12) ** power for sign in (-1, 1))
        bars = np.stack([size - low, high - size])[:, seen]
        axes.errorbar(
            widths[seen], size[seen], np.maximum(bars, 0), color=colour, marker="o", markersize=2.6, linestyle="",
            elinewidth=0.7,
        )  # fmt: skip
        hidden = (size > 0) & ~seen
        axes.plot(widths[hidden], size[hidden], "o", color=colour, markersize=2.6, markerfacecolor="white")
        axes.plot(fine, row["discrepancy_curve"].values, color=colour, linewidth=0.9)
    _dress_widths(axes, widths)
    axes.set_title("Discrepancies by width")
    axes.set_ylabel("size (1; KL: nat)")


def _dress_widths(axes: Axes, widths: np.ndarray) -> None:
    axes.xaxis.set_major_locator(FixedLocator([float(width) for width in widths]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([str(int(width)) for width in widths])
    axes.set_xlabel("width (units)")


def _legends(figure: Figure, comparison: xr.Dataset) -> None:
    handles = [
        Line2D([], [], color=colour, label=f"width {int(width)} ({int(members)})")
        for colour, width, members in zip(
            _colours(comparison), comparison["width"].values, comparison["members"].values, strict=True
        )
    ]
    level = float(comparison.attrs["level"])
    handles.append(
        Line2D([], [], color="0.4", linestyle=DOTS, label=f"limit of chance, {100 * level:g} % (a and b together)")
    )
    if "kernel_drift" in comparison and "kernel_start_error" in comparison:
        handles.append(Line2D([], [], color="0.4", linestyle=DASHES, linewidth=0.7, label="start, off its limit (d)"))
    if "information_fitted" in comparison:
        handles.append(Line2D([], [], color="black", linewidth=1.6, label="law of infinite width, $I(Z;X)$"))
    exponents = _exponents(comparison) if "exponent" in comparison else []
    figure.legend(handles=handles, loc="outside lower left", ncols=2 if exponents else min(len(handles), 4))
    if exponents:
        figure.legend(
            handles=exponents, loc="outside lower right", ncols=2, alignment="left",
            title="size by width: exponent of 1/width", title_fontsize=6.5,
        )  # fmt: skip


def _exponents(comparison: xr.Dataset) -> list[Line2D]:
    handles = []
    for index, name in enumerate(comparison["discrepancy"].values):
        exponent = float(comparison["exponent"].sel(discrepancy=name))
        shown = f"{exponent:.2f}" if np.isfinite(exponent) else "-"
        label = f"{_NAMES.get(str(name), str(name))}: {shown}"
        style = {"color": COLOURS[index % len(COLOURS)], "marker": "o", "markersize": 2.6, "linewidth": 0.9}
        handles.append(Line2D([], [], label=label, **style))
    return handles
