"""Inputs that are exact multiples of one another, to networks that are homogeneous or odd."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

# Numbers of all the inputs up to which exact ratios of their entries are taken; beyond, powers of two alone are seen.
_MOST_FRACTIONS = 200_000


def independent(inputs: np.ndarray, homogeneous: bool, odd: bool) -> int:
    """How many of the inputs are neither 0 nor exact multiples of earlier ones.

    Args:
        inputs: (n, ...).
        homogeneous: whether positive multiples count.
        odd: whether the negative of an input counts.
    """
    rows = np.asarray(inputs, dtype=np.float64).reshape(len(inputs), -1) + 0.0
    return len({_ray(row, homogeneous, odd, rows.size <= _MOST_FRACTIONS) for row in rows if np.any(row)})


def _ray(row: np.ndarray, homogeneous: bool, odd: bool, exact: bool) -> bytes | tuple:
    """What multiples of a row have in common."""
    pivot = row[np.argmax(np.abs(row))]
    if odd and pivot < 0:
        row, pivot = 0.0 - row, -pivot
    if not homogeneous:
        return (row + 0.0).tobytes()
    if exact:
        return tuple(Fraction(value) / abs(Fraction(pivot)) for value in row.tolist())
    return (np.ldexp(row, -int(np.frexp(abs(pivot))[1])) + 0.0).tobytes()
