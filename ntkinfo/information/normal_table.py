"""The normal distribution function on shifted regular grids, from a table: several times faster than computing it."""

from __future__ import annotations

import functools

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr

SPACING = 1 / 2048
LARGEST_NODE = 8.5
LARGEST_SHIFT = 11.0
# Taylor's remainder of second order, half a spacing from a point of the table: 0.4 (1/4096)^3 / 6; and rounding.
TABLE_ERROR = 1.0e-12
_SIDE = round((LARGEST_NODE + LARGEST_SHIFT + 1) / SPACING)


def normal_on_grid(
    shifts: Float[np.ndarray, " p"], first: float, step: float, number: int
) -> Float[np.ndarray, "p number"]:
    """Normal distribution function at `shift + first + k step`, k = 0 ... number - 1, to `TABLE_ERROR` absolute.

    Args:
        shifts: one for each row, (p,), at most 11 in size.
        first: first node of the grid, a multiple of 1/2048; all nodes are at most 8.5 in size.
        step: between nodes, a multiple of 1/2048.
        number: of nodes.
    """
    nearest = np.round(shifts / SPACING)
    rest = (shifts - nearest * SPACING)[:, None]
    stride = round(step / SPACING)
    place = nearest.astype(np.int64) + (round(first / SPACING) + _SIDE)
    row, column = place % stride, place // stride
    value, slope, bend = (
        np.lib.stride_tricks.sliding_window_view(table, number, axis=1)[row, column] for table in _tables(stride)
    )
    np.multiply(bend, rest, out=bend)
    np.add(slope, bend, out=slope)
    np.multiply(slope, rest, out=slope)
    return np.add(value, slope, out=value)


@functools.lru_cache(maxsize=8)
def _tables(stride: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The function, its derivative and half its second one; a grid of this stride reads one row from left to right."""
    columns = -(-(2 * _SIDE + 1) // stride)
    places = SPACING * (np.arange(columns * stride) - _SIDE)
    density = np.exp(-0.5 * places * places) / np.sqrt(2 * np.pi)
    given = ndtr(places), density, -0.5 * places * density
    return tuple(np.ascontiguousarray(table.reshape(columns, stride).T) for table in given)  # pyright: ignore[reportReturnType]
