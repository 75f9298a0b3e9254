"""Coordinates of draws on scales of their own, and whether two variables determine each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

from ntkinfo.core import checks

SCALES = ("spread", "ranks", "given")
_FEW = 8  # draws: fewer may be in the same order by chance


@dataclass(frozen=True, eq=False)
class Side:
    """Draws of one variable as the estimator sees them.

    Args:
        values: (n, d), scaled.
        magnitude: size of the numbers that were rounded, in units of the scaled ones, (n, d).
        digits: relative spacing of the numbers that came in.
    """

    values: Float[np.ndarray, "n d"]
    magnitude: Float[np.ndarray, "n d"]
    digits: float

    @classmethod
    def of(cls, name: str, given: Any, scale: str) -> Side:
        """The draws, checked and scaled.

        Raises:
            ValueError: another shape than (n, d), NaN, infinity or masked entries, fewer than two draws.
            TypeError: what is no array of real numbers.
        """
        raw = checks.host(name, given)
        checks.shape(name, raw, (None, None), "one row for each draw")
        if raw.dtype.kind not in "fiub":
            raise TypeError(f"{name} holds {raw.dtype}; it must be real numbers")
        checks.finite(name, raw)
        if len(raw) < 2 or raw.shape[1] == 0:
            raise ValueError(f"{name} has shape {raw.shape}; it needs at least two draws of at least one coordinate")
        double = float(np.finfo(np.float64).eps)
        digits = max(float(np.finfo(raw.dtype).eps), double) if raw.dtype.kind == "f" else double
        host = raw.astype(np.float64)
        checks.finite(name, host)
        largest = np.abs(host).max(axis=0)
        # Half the numbers' size where their differences would overflow.
        host = np.where(largest > 1e300, host * 1e-10, host)
        if scale == "given":
            return cls(host, np.abs(host), digits)
        middle = np.median(host, axis=0)
        width = _spread(host)
        constant = np.ptp(host, axis=0) <= 16 * digits * np.abs(host).max(axis=0)
        width = np.where(constant, 1.0, width)
        values = np.where(constant[None, :], 0.0, (host - middle[None, :]) / width[None, :])
        if scale == "ranks":
            values = np.stack([_normal_scores(column) for column in values.T], axis=1)
            return cls(values, np.zeros_like(values), digits)
        return cls(values, np.where(constant[None, :], 0.0, np.abs(host) / width[None, :]), digits)

    def __getitem__(self, rows: Any) -> Side:
        """Some of the draws, on the same scales."""
        return Side(self.values[rows], self.magnitude[rows], self.digits)

    @property
    def rounding(self) -> Float[np.ndarray, " n"]:
        """How far differences of these numbers can be off by their rounding, (n,)."""
        double = float(np.finfo(np.float64).eps)
        share = 4 * double + (self.digits if self.digits > double else 0.0)
        return share * self.magnitude.max(axis=1)


def _spread(host: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " d"]:
    """One deviation of each coordinate as its quantiles have it, so that single large values do not set it."""
    low, below, above, high = np.quantile(host, [0.02, 0.16, 0.84, 0.98], axis=0)
    width = np.maximum((above - below) / 2, (high - low) / 4.1)
    # Where 96 in 100 values are equal quantiles say nothing.
    return np.where(width > 0, width, np.mean(np.abs(host - np.median(host, axis=0)), axis=0))


def _normal_scores(column: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Normal quantiles of the mean ranks; equal values stay equal."""
    _, place, counts = np.unique(column, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - 0.5 * counts
    return ndtri(middle / len(column))[place.reshape(-1)]


def determined(x: Side, y: Side) -> str:
    """How parts of the two variables that take a value once only are functions of each other; empty where none is.

    Monotone functions of single coordinates, and linear ones of several, are seen; others are not.
    """
    n, together = len(x.values), x.values.shape[1] + y.values.shape[1]
    if n < _FEW:
        return ""
    orders = {order for column in x.values.T if (order := _order(column)) is not None}
    for column in y.values.T:
        if _order(column) in orders or _order(-column) in orders:
            return "a coordinate of x and one of y are monotone functions of each other"
    if n >= 2 * together + _FEW and _linear(x, y):
        return "a linear combination of x equals one of y"
    return ""


def _order(column: Float[np.ndarray, " n"]) -> bytes | None:
    """The order of draws that all differ."""
    order = np.argsort(column, kind="stable")
    return order.tobytes() if np.all(np.diff(column[order]) > 0) else None


def _linear(x: Side, y: Side) -> bool:
    bases = []
    for side in (x, y):
        centred = side.values - side.values.mean(axis=0)
        left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
        bases.append(left[:, sizes > 1e-10 * max(sizes[0], 1e-300)])
    if min(base.shape[1] for base in bases) == 0:
        return False
    turn, _, back = np.linalg.svd(bases[0].T @ bases[1])
    common, other = bases[0] @ turn[:, 0], bases[1] @ back[0]
    off = float(np.linalg.norm(common - other))
    if off > 4 * max(x.digits, y.digits) + 1e-11:
        return False
    ordered = np.sort(common)
    return bool(np.all(np.diff(ordered) > 1e-9 * np.abs(ordered).max() / len(ordered)))
