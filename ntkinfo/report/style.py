"""What all figures share: sizes, fonts and colours, axes of training time, saving; computes no statistic."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogFormatterSciNotation, LogLocator, NullLocator

from ntkinfo.core.arguments import checked

WIDTH = 7.2  # inches: the text width of a journal page, so that letters keep their size in print
_SHOWN_DPI = 110  # in a notebook, where a figure is some 800 pixels wide
DOTS: Any = (0, (1, 1.5))
SPLIT_STYLES: dict[str, Any] = {"train": "-", "test": (0, (4, 1.5))}
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


def styled() -> AbstractContextManager[None]:
    """Inside the block figures are drawn in the one style of the package."""
    return mpl.rc_context(_RC)


class Drawing(Figure):
    """A matplotlib figure that a notebook shows as the last expression of a cell, without a magic command.

    IPython draws plain figures only once pyplot has a backend of its own; pyplot's global state is not touched here.
    """

    def _repr_png_(self) -> bytes:
        image = io.BytesIO()
        with mpl.rc_context(_RC):
            self.savefig(image, format="png", dpi=_SHOWN_DPI)
        return image.getvalue()


@checked
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


class TimeAxis:
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
        axes.plot(self._times[self._inner], finite_only(values[self._inner]), marker=marker, **style)

    def fill(self, axes: Axes, low: np.ndarray, high: np.ndarray, **style) -> None:
        """The region between two curves, and a bar between their values at 0 and at infinity."""
        inner = self._inner
        axes.fill_between(self._times[inner], finite_only(low[inner]), finite_only(high[inner]), **style)
        half = self._gap**0.15
        for place, index in self._edges():
            axes.fill_between(
                [place / half, place * half], finite_only(low[[index]]), finite_only(high[[index]]), **style
            )

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


def finite_only(values: np.ndarray) -> np.ndarray:
    """The values with NaN for infinite ones, which are not drawn."""
    return np.where(np.isfinite(values), values, np.nan)


def dress_log_axis(axes: Axes) -> None:
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
        if np.any(np.asarray(line.get_ydata(), dtype=float)[:1] < low):
            line.remove()  # markers are not clipped and would stand below the axis
    few = (1, 2, 5) if high / low < 30 else (1, 3) if high / low < 300 else (1,)
    axes.yaxis.set_major_locator(LogLocator(subs=few, numticks=6))
    axes.yaxis.set_major_formatter(LogFormatterSciNotation(labelOnlyBase=False, minor_thresholds=(np.inf, np.inf)))
    axes.yaxis.set_minor_locator(NullLocator())
