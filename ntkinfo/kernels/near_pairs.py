"""Kernels of chosen pairs of inputs of a fully connected network, without a difference that loses digits.

Scalar products of the inputs are summed in pairs of float64, and the determinant q1 q2 - c² of two inputs comes from
the part of one that is orthogonal to the other (Lagrange's identity), so that an angle is right to 1e-16 whatever the
two norms. Closed forms go on in pairs of float64 (`ClosedPairs`); other functions give the differences E[φ(u)²] -
E[φ(u)φ(v)] to all their digits, from which the next determinant is c (g1 + g2) + g1 g2 (`DifferencePairs`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ntkinfo.core.arrays import float64
from ntkinfo.kernels import double_double as dd
from ntkinfo.kernels.dense_recursion import LAYER_ERROR
from ntkinfo.kernels.double_double import DoubleDouble
from ntkinfo.kernels.duals import PAIRS, Dual

_ENTRIES = 2**16  # numbers in one array of the work on scalar products
_CHUNK = 4096  # pairs at a time

# The relative error of an entry from which it is computed again.
TOLERANCE = 1e-13


@dataclass(frozen=True)
class Found:
    """Kernels of P pairs at every depth from 0 on, (depths, P) each, and the relative error that they may have."""

    nngp: np.ndarray
    ntk: np.ndarray
    error: float


@runtime_checkable
class Pairs(Protocol):
    """A way to take pairs of inputs through the layers."""

    def through(self, start: Start, deviations: tuple[float, float], depth: int) -> Found:
        """Kernels of all depths."""
        ...


@dataclass(frozen=True)
class Start:
    """Pre-activations of the first layer, P pairs: variances, covariance and determinant."""

    q1: DoubleDouble
    q2: DoubleDouble
    c: DoubleDouble
    d: DoubleDouble


def of_pairs(pairs: Pairs, rows: np.ndarray, columns: np.ndarray, deviations: tuple[float, float], depth: int) -> Found:
    """Kernels of P pairs of inputs (P, features)."""
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused where the kernel is whole
        parts = [
            pairs.through(first_layer(rows[i : i + _CHUNK], columns[i : i + _CHUNK], deviations), deviations, depth)
            for i in range(0, len(rows), _CHUNK)
        ]
    return _joined(parts)


def of_equal(pairs: Pairs, inputs: np.ndarray, deviations: tuple[float, float], depth: int) -> Found:
    """Kernels of each of P inputs with itself."""
    step = max(1, _ENTRIES // inputs.shape[1])
    w, b = (dd.exact(deviation) * deviation for deviation in deviations)
    with np.errstate(over="ignore", invalid="ignore"):
        squares = [dd.squares(inputs[i : i + step]) for i in range(0, len(inputs), step)]
        high, low = (np.concatenate([getattr(part, half) for part in squares]) for half in ("high", "low"))
        q = w / float(inputs.shape[1]) * DoubleDouble(high, low) + b
        starts = [q[i : i + _CHUNK] for i in range(0, len(inputs), _CHUNK)]
        zeros = [dd.exact(np.zeros_like(one.high)) for one in starts]
        some = zip(starts, zeros, strict=True)
        return _joined([pairs.through(Start(q, q, q, zero), deviations, depth) for q, zero in some])


def _joined(parts: list[Found]) -> Found:
    nngp, ntk = (np.concatenate([getattr(part, name) for part in parts], axis=1) for name in ("nngp", "ntk"))
    return Found(nngp, ntk, max(part.error for part in parts))


def mended(
    pairs: Pairs,
    tile: tuple[np.ndarray, np.ndarray, np.ndarray],
    inputs: tuple[np.ndarray, np.ndarray],
    deviations: tuple[float, float],
    depths: Sequence[int],
) -> tuple[list[np.ndarray], float]:
    """NNGP and NTK of a rectangle with the pairs that lose digits computed again, and the largest error left.

    Args:
        pairs: takes them through the layers.
        tile: NNGP, NTK and error of each depth, (depths, p, q) each.
        inputs: rows (p, features) and columns (q, features).
        deviations: of weights and biases.
        depths: the depths that the tile holds.
    """
    nngp, ntk, lost = tile
    left = np.max(lost)
    if left < TOLERANCE:  # not so where it is NaN
        return [nngp, ntk], float(left)
    largest = np.max(lost, axis=0)
    chosen = np.nonzero(~(largest < TOLERANCE))
    left = np.max(largest, where=largest < TOLERANCE, initial=0.0)
    nngp, ntk = nngp.copy(), ntk.copy()
    for i in range(0, len(chosen[0]), _CHUNK):
        rows, columns = (place[i : i + _CHUNK] for place in chosen)
        found = of_pairs(pairs, inputs[0][rows], inputs[1][columns], deviations, max(depths))
        nngp[:, rows, columns], ntk[:, rows, columns] = found.nngp[depths], found.ntk[depths]
        left = max(left, found.error)
    return [nngp, ntk], float(left)


def first_layer(rows: np.ndarray, columns: np.ndarray, deviations: tuple[float, float]) -> Start:
    """Scalar products of P pairs, some of them at a time."""
    step = max(1, _ENTRIES // rows.shape[1])
    parts = [_products(rows[i : i + step], columns[i : i + step]) for i in range(0, len(rows), step)]
    own, other, both, apart, distance = (
        DoubleDouble(*(np.concatenate([getattr(part[k], half) for part in parts]) for half in ("high", "low")))
        for k in range(5)
    )
    w, b = (dd.exact(deviation) * deviation for deviation in deviations)
    scale = w / float(rows.shape[1])
    d = scale * scale * own * apart + scale * b * distance
    return Start(scale * own + b, scale * other + b, scale * both + b, d)


def _products(rows: np.ndarray, columns: np.ndarray) -> tuple[DoubleDouble, ...]:
    """|x|², |x'|², x·x', the square of the part of x' orthogonal to x, and |x - x'|²."""
    own, other, both = dd.dot(rows, rows), dd.dot(columns, columns), dd.dot(rows, columns)
    share = both / dd.where(own.high > 0, own, 1.0)
    apart = dd.exact(columns) - DoubleDouble(share.high[:, None], share.low[:, None]) * rows
    distance = columns - rows
    return own, other, both, dd.dot(apart.high, apart.high), dd.dot(distance, distance)


class ClosedPairs:
    """By a dual function, in pairs of float64."""

    def __init__(self, dual: Dual):
        self._dual = dual

    def through(self, start: Start, deviations: tuple[float, float], depth: int) -> Found:
        """Kernels of all depths, every digit."""
        w, b = (dd.exact(deviation) * deviation for deviation in deviations)
        q1, q2, c, d = start.q1, start.q2, start.c, start.d
        zero, tangent, found = dd.exact(np.zeros_like(c.high)), c, [(c, c)]
        for _ in range(depth):
            value, slope = self._dual.averages(PAIRS, q1, q2, c, d)
            equal = q1 is c
            own = [value] * 2 if equal else [self._dual.averages(PAIRS, q, q, q, zero)[0] for q in (q1, q2)]
            c = w * value + b
            q1, q2 = (c, c) if equal else (w * own[0] + b, w * own[1] + b)
            d = zero if equal else dd.positive_part(q1 * q2 - c * c)
            tangent = c + w * slope * tangent
            found.append((c, tangent))
        nngp, ntk = (np.stack([dd.rounded(kernel) for kernel in kernels]) for kernels in zip(*found, strict=True))
        return Found(nngp, ntk, LAYER_ERROR)


class DifferencePairs:
    """By averages that come with their differences, in float64.

    Args:
        differences: (c, q1 - c, q2 - c, d) to E[φ(u)φ(v)], E[φ(u)²] less it, E[φ(v)²] less it and E[φ'(u)φ'(v)], and
            the relative error of all of them beyond rounding.
        rounding: their relative error by rounding, of each layer.
    """

    def __init__(self, differences: Callable[..., tuple[Any, Any, Any, Any, float]], rounding: float):
        self._differences, self._rounding = differences, rounding

    def through(self, start: Start, deviations: tuple[float, float], depth: int) -> Found:
        """Kernels of all depths."""
        w, b = (deviation**2 for deviation in deviations)
        c, d = dd.rounded(start.c), dd.rounded(start.d)
        gap1, gap2 = dd.rounded(start.q1 - start.c), dd.rounded(start.q2 - start.c)
        tangent, found, error = c, [(c, c)], LAYER_ERROR
        for _ in range(depth):
            with float64():
                value, first, second, slope, missed = self._differences(c, gap1, gap2, d)
            value, first, second, slope = (np.asarray(part) for part in (value, first, second, slope))
            c, gap1, gap2 = w * value + b, w * first, w * second
            d = np.maximum(c * (gap1 + gap2) + gap1 * gap2, 0.0)
            tangent = c + w * slope * tangent
            error += self._rounding + missed
            found.append((c, tangent))
        nngp, ntk = (np.stack(kernels) for kernels in zip(*found, strict=True))
        return Found(nngp, ntk, error)
