"""What rounding does to kernels that have no bound of their own: measured on the user's inputs.

Inputs whose last digits change are, to a computation in float64, the same inputs: what the kernels do then is their
error by rounding, however many layers amplify it. Few inputs are looked at, among them the nearest to parallel, where
digits are lost first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

EPSILON = float(np.finfo(np.float64).eps)
_PAIRS = 4  # nearest pairs, and as many others
_LOOKED_THROUGH = 1024  # inputs of either side among which the nearest pairs are sought
_MARGIN = 4.0  # times the largest change seen; beside it the rounding of one entry
_ROUNDING = 16 * EPSILON
# Closer to parallel than `duals.PARALLEL` two inputs count as parallel, which may cost that much of the NTK of a
# function with a kink, for each angle of 1e-7 that was not seen.
_UNSEEN, _UNSEEN_ERROR = 1e-13, 4e-8


class Computed(NamedTuple):
    """Kernels of rows with columns, (p, q) each, and a number for each input that equal ones share."""

    rows: np.ndarray
    columns: np.ndarray
    kernels: list[np.ndarray]
    numbers: tuple[np.ndarray, np.ndarray]


def measured_error(
    computed: Computed, tile: Callable[[np.ndarray, np.ndarray], Any], diagonal: Callable[[np.ndarray], Any]
) -> float:
    """Error of kernel entries relative to √(K(x, x) K(x', x')), from changes of the inputs' last digits.

    Args:
        computed: what was computed.
        tile: both kernels of some rows with some columns.
        diagonal: both kernels of some inputs with themselves.

    Returns:
        Four times the largest change, and what rounds one entry. Near parallel inputs that differ by less than the
        kernels resolve add what that may hide.

    Fails when patches of a triple's images are nearer to parallel than an angle of 1e-7 while the images are not (or
    only biases are left of very small images): a function with a kink then loses up to 2e-8 of the NTK that no change
    shows. `Convolutional` and `WideResidual` have bounds of their own.
    """
    random = np.random.default_rng(0)
    first, second, hidden = _chosen(computed, random)
    rows, columns = computed.rows[first], computed.columns[second]
    moved = tile(_nudged(rows, random), _nudged(columns, random))
    apart = computed.numbers[0][first][:, None] != computed.numbers[1][second][None, :]
    largest = 0.0
    for kernel, new, own, other in zip(computed.kernels, moved, diagonal(rows), diagonal(columns), strict=True):
        size = np.sqrt(own)[:, None] * np.sqrt(other)[None, :]
        with np.errstate(invalid="ignore", over="ignore"):  # kernels that are not finite are refused elsewhere
            change = np.abs(new - kernel[np.ix_(first, second)]) / np.where(size > 0, size, 1.0)
        largest = max(largest, float(np.max(change, where=apart & np.isfinite(change), initial=0.0)))
    return _MARGIN * largest + _ROUNDING + (_UNSEEN_ERROR if hidden else 0.0)


def _nudged(inputs: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return inputs * (1 + EPSILON * random.choice([-1.0, 1.0], size=inputs.shape))


def _chosen(computed: Computed, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, bool]:
    """Rows and columns of the nearest pairs that are not equal and of some others; whether pairs look parallel."""
    sides = []
    for inputs in (computed.rows, computed.columns):
        some = np.sort(random.permutation(len(inputs))[:_LOOKED_THROUGH])
        flat = inputs[some].reshape(len(some), -1)
        flat = flat / np.maximum(np.abs(flat).max(axis=1, keepdims=True), 1e-300)
        sides.append((some, flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-300)))
    (left, unit), (right, other) = sides
    cosine = np.abs(unit @ other.T)
    cosine[computed.numbers[0][left][:, None] == computed.numbers[1][right][None, :]] = -1.0
    nearest = np.argsort(cosine, axis=None)[-_PAIRS:]
    a, b = np.unravel_index(nearest, cosine.shape)
    hidden = bool(np.any(cosine > 1 - _UNSEEN))
    return (
        np.unique(np.concatenate([left[a], random.integers(len(computed.rows), size=_PAIRS)])),
        np.unique(np.concatenate([right[b], random.integers(len(computed.columns), size=_PAIRS)])),
        hidden,
    )
