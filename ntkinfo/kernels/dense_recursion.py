"""Both kernels of fully connected networks on rectangles of inputs, with a running bound of what rounding does to them.

One program per activation serves every depth and all deviations. Beside the kernels go, pair by pair, the relative
error of the covariance and that of the tangent kernel: a layer multiplies the first by its own derivative and adds
rounding, and the second gets what the first does to E[φ'φ']. Pairs with too large an error, near parallel ones above
all, are computed again in `near_pairs`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from ntkinfo.kernels.duals import FLOAT, Dual, determinant_of

EPSILON = float(np.finfo(np.float64).eps)
INPUT_ERROR, LAYER_ERROR = 8 * EPSILON, 4 * EPSILON  # of the covariance of two inputs, and of one layer's rounding


@runtime_checkable
class Rectangles(Protocol):
    """What a layer does to rows and columns of pre-activations.

    `kink` is by how much E[φ'φ'] falls with the angle between near parallel inputs: 0 for functions without a kink.
    """

    kink: float

    def same(self, variances: Any) -> tuple[Any, Any]:
        """E[φ²] and E[φ'²] for each variance."""
        ...

    def rectangle(self, rows: Any, columns: Any, covariance: Any, error: Any) -> tuple[Any, Any, Any, Any]:
        """E[φφ] and E[φ'φ'] (p, q), the error of the first beyond rounding, and that of the second.

        `rows` (p,) and `columns` (q,) are variances; the covariance has an error of `error` times their roots.
        """
        ...


class ClosedRectangles:
    """By a dual function."""

    def __init__(self, dual: Dual):
        self._dual, self.kink = dual, dual.kink

    def same(self, variances: Any) -> tuple[Any, Any]:
        """The dual at equal inputs."""
        return self._dual.averages(FLOAT, variances, variances, variances, jnp.zeros_like(variances))

    def rectangle(self, rows: Any, columns: Any, covariance: Any, error: Any) -> tuple[Any, Any, Any, Any]:
        """The dual, and its steepness."""
        q1, q2 = jnp.broadcast_to(rows[:, None], covariance.shape), jnp.broadcast_to(columns, covariance.shape)
        d = determinant_of(covariance, q1, q2)
        value, slope = self._dual.averages(FLOAT, q1, q2, covariance, d)
        size = jnp.sqrt(rows)[:, None] * jnp.sqrt(columns)[None, :]
        return value, slope, 0.0, self._dual.steepness(q1, q2, covariance, d, value, slope, error, size)


def start(rows: Any, columns: Any, w: Any, b: Any) -> tuple[Any, ...]:
    """Kernels of the linear network; `w` and `b` are squared deviations."""
    features = rows.shape[1]
    c = w * (rows @ columns.T) / features + b
    first, second = (w * jnp.sum(x**2, axis=1) / features + b for x in (rows, columns))
    error = jnp.full_like(c, INPUT_ERROR)
    lost = INPUT_ERROR * jnp.sqrt(first)[:, None] * jnp.sqrt(second)[None, :]
    return c, c, (first, second), (first, second), error, lost


def layer(rectangles: Rectangles, state: tuple[Any, ...], w: Any, b: Any) -> tuple[Any, ...]:
    """One hidden layer more: K' = w E[φφ] + b, Θ' = K' + w E[φ'φ'] Θ."""
    c, tangent, variances, diagonals, error, lost = state
    value, slope, value_error, slope_error = rectangles.rectangle(variances[0], variances[1], c, error)
    same = [rectangles.same(q) for q in variances]
    new = tuple(w * k + b for k, _ in same)
    new_diagonals = tuple(q + w * s * t for q, (_, s), t in zip(new, same, diagonals, strict=True))
    ratio = [_over(jnp.sqrt(q), jnp.sqrt(n)) for q, n in zip(variances, new, strict=True)]
    size = jnp.sqrt(new[0])[:, None] * jnp.sqrt(new[1])[None, :]
    scale = [_over(w, n) ** 0.5 for n in new]
    new_error = LAYER_ERROR + w * jnp.abs(slope) * ratio[0][:, None] * ratio[1][None, :] * error
    new_error = new_error + value_error * scale[0][:, None] * scale[1][None, :]
    new_lost = w * (jnp.abs(slope) * lost + (slope_error + LAYER_ERROR) * jnp.abs(tangent)) + new_error * size
    covariance = w * value + b
    return covariance, covariance + w * slope * tangent, new, new_diagonals, new_error, new_lost


def finish(state: tuple[Any, ...]) -> tuple[Any, Any, Any]:
    """NNGP, NTK and the error relative to the roots of both diagonals; the larger one of the two kernels."""
    c, tangent, _, diagonals, error, lost = state
    roots = [_over(1.0, jnp.sqrt(t)) for t in diagonals]
    return c, tangent, jnp.maximum(error, lost * roots[0][:, None] * roots[1][None, :])


def _over(top: Any, bottom: Any) -> Any:
    """The quotient, 0 where the bottom is 0."""
    return jnp.where(bottom > 0, top / jnp.where(bottom > 0, bottom, 1.0), 0.0)


@functools.lru_cache(maxsize=64)
def compiled(rectangles: Rectangles) -> Callable:
    """(rows, columns, w, b, depth) to NNGP, NTK and error, (p, q) each."""

    def tile(rows: Any, columns: Any, w: Any, b: Any, depth: Any) -> tuple[Any, Any, Any]:
        first = start(rows, columns, w, b)
        return finish(jax.lax.fori_loop(0, depth, lambda _, state: layer(rectangles, state, w, b), first))

    return jax.jit(tile)


@functools.lru_cache(maxsize=32)
def compiled_family(rectangles: Rectangles, deepest: int) -> Callable:
    """(rows, columns, w, b) to NNGP, NTK and error of every depth from 0 on, (deepest + 1, p, q) each."""

    def tile(rows: Any, columns: Any, w: Any, b: Any) -> tuple[Any, Any, Any]:
        first = start(rows, columns, w, b)

        def one(state: Any, _: Any) -> tuple[Any, Any]:
            after = layer(rectangles, state, w, b)
            return after, finish(after)

        rest = jax.lax.scan(one, first, None, length=deepest)[1]
        nngp, ntk, error = (jnp.concatenate([a[None], more]) for a, more in zip(finish(first), rest, strict=True))
        return nngp, ntk, error

    return jax.jit(tile)
