"""Axes of the report page's charts: where a value stands between 0 and 1, and where the ticks are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float

_DECADES = 12  # at most so many are shown below the largest value


@dataclass(frozen=True)
class Axis:
    """Maps values to places between 0 (left, below) and 1.

    Args:
        low: value at 0, above 0 on a log axis.
        high: value at 1, above `low`.
        kind: linear or logarithmic.
        ticks: place and label of each.
        breaks: places of dotted lines that set what stands beside the scale apart.
        zero: place of the value 0 on a logarithmic axis of time, or None.
        infinity: place of the value ∞, or None.
    """

    low: float
    high: float
    kind: Literal["linear", "log"] = "linear"
    ticks: tuple[tuple[float, str], ...] = ()
    breaks: tuple[float, ...] = ()
    zero: float | None = None
    infinity: float | None = None
    _span: tuple[float, float] = field(default=(0.0, 1.0))

    def places(self, values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Places of values; NaN for what has none (infinite, or 0 and less on a log axis)."""
        values = np.asarray(values, dtype=np.float64)
        first, last = self._span
        with np.errstate(divide="ignore", invalid="ignore"):
            share = _share(values, self.low, self.high, self.kind)
        found = np.where(np.isfinite(share), first + (last - first) * share, np.nan)
        if self.zero is not None:
            found = np.where(values == 0, self.zero, found)
        if self.infinity is not None:
            found = np.where(values == np.inf, self.infinity, found)
        return found


def _share(values: np.ndarray, low: float, high: float, kind: str) -> np.ndarray:
    if kind == "linear":
        return (values - low) / (high - low)
    positive = np.where(values > 0, values, np.nan)
    return np.log(positive / low) / np.log(high / low)


def linear_axis(*values: np.ndarray, floor: float | None = None) -> Axis:
    """A linear axis that holds all finite values with a margin.

    Args:
        values: any number of rows.
        floor: the lower end, for what cannot be below it.
    """
    low, high = _range(values, lambda row: row)
    if high <= low:
        pad = max(abs(high) * 0.05, 1e-12)
        low, high = low - pad, high + pad
    margin = 0.05 * (high - low)
    low, high = low - margin if floor is None else floor, high + margin
    step = _nice((high - low) / 5)
    first, last = int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9))
    marks = [step * number for number in range(first, last + 1)]
    return Axis(low, high, "linear", tuple(((mark - low) / (high - low), f"{mark:.6g}") for mark in marks))


def log_axis(*values: np.ndarray) -> Axis:
    """A logarithmic axis of all positive values, twelve decades at most; linear where they hardly differ."""
    low, high = _range(values, lambda row: row[row > 0])
    if not high > 0:
        return linear_axis(*values)
    low = max(low, high * 10.0**-_DECADES)
    if high / low < 3:
        return linear_axis(*values)
    margin = (high / low) ** 0.05
    low, high = low / margin, high * margin
    span = np.log(high / low)
    ticks = tuple((float(np.log(mark / low) / span), _power(mark)) for mark in _log_marks(low, high))
    return Axis(low, high, "log", ticks)


def time_axis(times: Float[np.ndarray, " t"]) -> Axis:
    """A logarithmic axis of the times between 0 and ∞, with places beside it for those two where they occur."""
    times = np.asarray(times, dtype=np.float64)
    inner = times[np.isfinite(times) & (times > 0)]
    low, high = (float(inner.min()), float(inner.max())) if len(inner) else (1.0, 1.0)
    if high / low < 1.01:
        low, high = low / 3, high * 3
    has_zero, has_infinity = bool(np.any(times == 0)), bool(np.any(np.isinf(times)))
    gap = 0.08
    first = 0.02 + gap * has_zero
    last = 0.98 - gap * has_infinity
    span = np.log(high / low)
    ticks = [
        (first + (last - first) * float(np.log(mark / low) / span), _power(mark)) for mark in _log_marks(low, high)
    ]
    ends = [(0.02, "0")] * has_zero, [(0.98, "∞")] * has_infinity
    breaks = [first - gap / 2] * has_zero + [last + gap / 2] * has_infinity
    return Axis(
        low,
        high,
        "log",
        (*ends[0], *ticks, *ends[1]),
        tuple(breaks),
        0.02 if has_zero else None,
        0.98 if has_infinity else None,
        (first, last),
    )


def _range(values: tuple[np.ndarray, ...], chosen) -> tuple[float, float]:
    rows = [np.asarray(row, dtype=np.float64).ravel() for row in values]
    kept = [chosen(row[np.isfinite(row)]) for row in rows]
    every = np.concatenate(kept) if kept else np.zeros(0)
    return (float(every.min()), float(every.max())) if len(every) else (0.0, 0.0)


def _nice(step: float) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    base = 10.0 ** np.floor(np.log10(step))
    return float(next(factor * base for factor in (1, 2, 5, 10) if factor * base >= step * 0.999))


def _log_marks(low: float, high: float) -> list[float]:
    decades = np.log10(high / low)
    first, last = int(np.floor(np.log10(low))), int(np.ceil(np.log10(high)))
    every = int(np.ceil((last - first) / 6)) if decades > 2.5 else 1
    factors = (1, 2, 5) if decades < 1.5 else (1, 3) if decades < 2.5 else (1,)
    powers = range(first, last + 1)
    marks = [factor * 10.0**power for power in powers if power % every == 0 for factor in factors]
    return [mark for mark in marks if low * 0.999 <= mark <= high * 1.001]


def _power(mark: float) -> str:
    """A power of ten with its exponent raised where the number is long."""
    if 1e-3 <= mark < 1e5:
        return f"{mark:g}"
    exponent = int(np.floor(np.log10(mark) + 1e-9))
    factor = mark / 10.0**exponent
    raised = str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"10{raised}" if abs(factor - 1) < 1e-6 else f"{factor:.0f}·10{raised}"
