"""Both kernels of convolutional networks, position by position, with a running bound of what rounding does to them.

Beside the covariance and the tangent kernel of every position go, for each pair of images, the largest error of the
first relative to the root of the two variances, and of the second relative to the root of the two diagonals. Sums over
windows and branches leave both as they are (Cauchy & Schwarz); an activation multiplies the first by its own derivative
and adds rounding, and the second gets what the first does to E[φ'φ'].

Patches nearer to parallel than float64 can tell count as parallel. A function with a kink loses the angle there, unless
the patches are parallel: this is known from the ratios of the pixels that they come from.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ntkinfo.kernels.dense_recursion import INPUT_ERROR, LAYER_ERROR, Rectangles
from ntkinfo.kernels.duals import PARALLEL, determinant_of


@dataclass(frozen=True)
class Convolve:
    """A convolution with square filters."""

    size: int
    strides: int
    padding: str


@dataclass(frozen=True)
class Activate:
    """The network's activation."""


@dataclass(frozen=True)
class Add:
    """The sum of two branches, which depend on independent weights."""

    first: tuple[Convolve | Activate | Add, ...]
    second: tuple[Convolve | Activate | Add, ...]


@dataclass(frozen=True)
class ImageLayers:
    """A network for images as its recursion needs it.

    Args:
        rectangles: takes covariances of positions through the activation.
        deviations: of weights and biases.
        stack: the layers before the readout.
        readout: one of `convolutional.READOUTS`.
    """

    rectangles: Rectangles
    deviations: tuple[float, float]
    stack: tuple[Convolve | Activate | Add, ...]
    readout: str

    @property
    def whole(self) -> bool:
        """Whether the readout needs the covariance of every pair of positions."""
        return self.readout != "flatten"


class _State(NamedTuple):
    """Arrays (h, w, p, q) for equal positions, (p, h, w, q, h, w) for all pairs of them.

    Args:
        c: covariance.
        tangent: the tangent kernel.
        sides: variance and tangent diagonal of rows and of columns, (h, w, p) or (p, h, w) each.
        error: of the covariance, relative to the root of both variances, (p, q).
        lost: of the tangent kernel, relative to the root of both diagonals, (p, q).
        ratios: the smallest and largest ratio of columns' to rows' pixels that a position comes from, like `c`; None
            where no kink asks for it.
    """

    c: Any
    tangent: Any
    sides: tuple[tuple[Any, Any], tuple[Any, Any]]
    error: Any
    lost: Any
    ratios: tuple[Any, Any] | None


@functools.lru_cache(maxsize=32)
def compiled(rectangles: Rectangles, stack: tuple, readout: str) -> Callable:
    """(rows, columns, w, b) to NNGP, NTK and the errors of both, (p, q) each; `w` and `b` are squared deviations."""

    def tile(rows: Any, columns: Any, w: Any, b: Any) -> tuple[Any, ...]:
        work = _Work(rectangles, w, b, readout != "flatten", _depth(stack))
        return _finish(work, work.through(stack, work.start(rows, columns)), readout)

    return jax.jit(tile)


@functools.lru_cache(maxsize=32)
def compiled_diagonal(rectangles: Rectangles, stack: tuple, readout: str) -> Callable:
    """(inputs, w, b) to NNGP, NTK and the errors of both of each input with itself, (p,) each."""
    tile = compiled(rectangles, stack, readout)

    def pooled(inputs: Any, w: Any, b: Any) -> Any:
        return jax.vmap(lambda one: tuple(k[0, 0] for k in tile(one[None], one[None], w, b)))(inputs)

    def flat(inputs: Any, w: Any, b: Any) -> Any:
        """By the variances of the positions alone."""
        work = _Work(rectangles, w, b, False, _depth(stack))
        variance, diagonal = work.own(stack, (jnp.moveaxis(_squares(inputs), 0, -1), 0.0))
        nngp = w * jnp.mean(variance, axis=(0, 1)) + b
        ntk = nngp + w * jnp.mean(jnp.broadcast_to(diagonal, variance.shape), axis=(0, 1))
        error = INPUT_ERROR + (2 + _depth(stack)) * LAYER_ERROR
        return nngp, ntk, error * nngp, error * ntk

    return jax.jit(flat if readout == "flatten" else pooled)


def _depth(stack: tuple) -> int:
    """Number of layers on the longest way."""
    sizes = [max(_depth(one.first), _depth(one.second)) if isinstance(one, Add) else 1 for one in stack]
    return sum(sizes)


class _Work:
    """The layers, for equal positions or for `whole` covariances."""

    def __init__(self, rectangles: Rectangles, w: Any, b: Any, whole: bool, depth: int):
        self.rectangles, self.w, self.b, self.whole, self.depth = rectangles, w, b, whole, depth
        self.axes = ((1, 4), (2, 5)) if whole else ((0,), (1,))
        self.side_axes = ((1,), (2,)) if whole else ((0,), (1,))

    def start(self, rows: Any, columns: Any) -> _State:
        """Covariances of the pixels."""
        pattern = "phwc,qijc->phwqij" if self.whole else "phwc,qhwc->hwpq"
        c = jnp.einsum(pattern, rows, columns, precision="highest") / rows.shape[3]
        squares = [_squares(x) if self.whole else jnp.moveaxis(_squares(x), 0, -1) for x in (rows, columns)]
        error = jnp.full((len(rows), len(columns)), INPUT_ERROR)
        ratios = self._pixel_ratios(rows, columns, c) if self.rectangles.kink else None
        zero = jnp.zeros_like(c)
        sides = tuple((q, jnp.zeros_like(q)) for q in squares)
        return _State(c, zero, (sides[0], sides[1]), error, jnp.zeros_like(error), ratios)

    def _pixel_ratios(self, rows: Any, columns: Any, like: Any) -> tuple[Any, Any]:
        """Over the channels; no ratio where both pixels are 0, every ratio where one is."""

        def add(k: Any, found: tuple[Any, Any]) -> tuple[Any, Any]:
            x, y = rows[..., k], columns[..., k]
            if self.whole:
                x, y = x[:, :, :, None, None, None], y[None, None, None]
            else:
                x, y = jnp.moveaxis(x, 0, -1)[..., None], jnp.moveaxis(y, 0, -1)[:, :, None, :]
            ratio = y / jnp.where(x != 0, x, 1.0)
            least = jnp.where(x != 0, ratio, jnp.where(y != 0, -jnp.inf, jnp.inf))
            most = jnp.where(x != 0, ratio, jnp.where(y != 0, jnp.inf, -jnp.inf))
            return jnp.minimum(found[0], least), jnp.maximum(found[1], most)

        none = jnp.full(like.shape, jnp.inf, like.dtype)
        return jax.lax.fori_loop(0, rows.shape[3], add, (none, -none))

    def through(self, stack: tuple, state: _State) -> _State:
        """All the layers."""
        for one in stack:
            if isinstance(one, Convolve):
                state = self._convolve(one, state)
            elif isinstance(one, Activate):
                state = self._activate(state)
            else:
                state = _added(self.through(one.first, state), self.through(one.second, state))
        return state

    def own(self, stack: tuple, side: tuple[Any, Any]) -> tuple[Any, Any]:
        """Variance and tangent diagonal of every position after the layers."""
        for one in stack:
            if isinstance(one, Convolve):
                side = self._convolve_side(one, side)
            elif isinstance(one, Activate):
                value, slope = self._same(side[0])
                side = value, slope * side[1]
            else:
                first, second = self.own(one.first, side), self.own(one.second, side)
                side = first[0] + second[0], first[1] + second[1]
        return side

    def _convolve_side(self, layer: Convolve, side: tuple[Any, Any]) -> tuple[Any, Any]:
        variance, diagonal = (self.w * window_means(jnp.asarray(k), self.side_axes, layer) for k in _alike(*side))
        return variance + self.b, diagonal + variance + self.b

    def _convolve(self, layer: Convolve, state: _State) -> _State:
        c, tangent = (self.w * window_means(k, self.axes, layer) for k in (state.c, state.tangent))
        sides = (self._convolve_side(layer, state.sides[0]), self._convolve_side(layer, state.sides[1]))
        error = state.error + LAYER_ERROR
        return _State(
            c + self.b,
            tangent + c + self.b,
            sides,
            error,
            jnp.maximum(state.lost, error) + LAYER_ERROR,
            state.ratios and self._window_ratios(layer, state.ratios),
        )

    def _window_ratios(self, layer: Convolve, ratios: tuple[Any, Any]) -> tuple[Any, Any]:
        """A bias is one more pixel, whose ratio is 1."""
        least = windows(ratios[0], self.axes, layer, (jnp.minimum, jnp.inf))
        most = windows(ratios[1], self.axes, layer, (jnp.maximum, -jnp.inf))
        biased = self.b > 0
        return jnp.where(biased, jnp.minimum(least, 1.0), least), jnp.where(biased, jnp.maximum(most, 1.0), most)

    def _same(self, variances: Any) -> tuple[Any, Any]:
        value, slope = self.rectangles.same(jnp.ravel(variances))
        return value.reshape(variances.shape), jnp.broadcast_to(slope, value.shape).reshape(variances.shape)

    def _activate(self, state: _State) -> _State:
        (q1, t1), (q2, t2) = state.sides
        same = [self._same(q) for q in (q1, q2)]
        value, slope, value_error, slope_error = self._rectangle(q1, q2, state.c, state.error)
        if state.ratios is not None:
            slope_error = self._with_angle(state, self._outer(q1, q2), slope_error)
        roots = [jnp.sqrt(self._outer(a, b)) for a, b in ((q1, q2), (same[0][0], same[1][0]))]
        moved = jnp.abs(slope) * roots[0] * self._each(state.error) + value_error
        error = self._largest(_over(moved, roots[1])) + LAYER_ERROR
        tangent = slope * state.tangent
        new = [s * t for (_, s), t in zip(same, (t1, t2), strict=True)]
        change = _over(
            (slope_error + LAYER_ERROR * jnp.abs(slope)) * jnp.abs(state.tangent), jnp.sqrt(self._outer(*new))
        )
        sides = ((same[0][0], new[0]), (same[1][0], new[1]))
        return _State(value, tangent, sides, error, state.lost + self._largest(change) + LAYER_ERROR, state.ratios)

    def _with_angle(self, state: _State, product: Any, slope_error: Any) -> Any:
        """The error of E[φ'φ'], where patches count as parallel by the angle that the ratios leave open."""
        assert state.ratios is not None
        least, most = state.ratios
        # The angle of two vectors is below the relative spread of their ratios; every layer may add as much once more.
        smaller = jnp.minimum(jnp.abs(least), jnp.abs(most))
        known = (least * most > 0) & jnp.isfinite(least) & jnp.isfinite(most)
        spread = jnp.where(known, (most - least) / jnp.where(known, smaller, 1.0), jnp.inf)
        d = determinant_of(state.c, jnp.sqrt(product), jnp.sqrt(product))
        unseen = jnp.sqrt(PARALLEL + 2 * self._each(state.error))
        angle = jnp.minimum((1 + self.depth) * spread, unseen)
        lost = jnp.where(product > 0, self.rectangles.kink * angle, 0.0)
        # Both where rounding leaves open which of the two it was.
        seen = jnp.where(d <= PARALLEL / 2 * product, 0.0, slope_error)
        return seen + jnp.where(d <= 2 * PARALLEL * product, lost, 0.0)

    def _rectangle(self, q1: Any, q2: Any, c: Any, error: Any) -> tuple[Any, Any, Any, Any]:
        if not self.whole:

            def one(rows: Any, columns: Any, covariance: Any) -> tuple[Any, ...]:
                found = self.rectangles.rectangle(rows, columns, covariance, error)
                return tuple(jnp.broadcast_to(part, covariance.shape) for part in found)

            value, slope, value_error, slope_error = jax.vmap(jax.vmap(one))(q1, q2, c)
            return value, slope, value_error, slope_error
        matrix = jnp.broadcast_to(self._each(error), c.shape).reshape(q1.size, q2.size)
        found = self.rectangles.rectangle(q1.ravel(), q2.ravel(), c.reshape(q1.size, q2.size), matrix)
        value, slope, value_error, slope_error = (jnp.broadcast_to(k, matrix.shape).reshape(c.shape) for k in found)
        return value, slope, value_error, slope_error

    def _outer(self, first: Any, second: Any) -> Any:
        if self.whole:
            return first[:, :, :, None, None, None] * second[None, None, None]
        return first[..., :, None] * second[..., None, :]

    def _each(self, pairs: Any) -> Any:
        return pairs[:, None, None, :, None, None] if self.whole else pairs

    def _largest(self, values: Any) -> Any:
        return jnp.max(values, axis=(1, 2, 4, 5) if self.whole else (0, 1))


def _added(one: _State, other: _State) -> _State:
    sides = [(a[0] + b[0], a[1] + b[1]) for a, b in zip(one.sides, other.sides, strict=True)]
    ratios = None
    if one.ratios is not None and other.ratios is not None:
        ratios = jnp.minimum(one.ratios[0], other.ratios[0]), jnp.maximum(one.ratios[1], other.ratios[1])
    error = jnp.maximum(one.error, other.error) + LAYER_ERROR
    lost = jnp.maximum(one.lost, other.lost) + LAYER_ERROR
    return _State(one.c + other.c, one.tangent + other.tangent, (sides[0], sides[1]), error, lost, ratios)


def _finish(work: _Work, state: _State, readout: str) -> tuple[Any, ...]:
    """The readout, and errors as they stand: pooling may leave less than the roots of the variances promise."""
    (q1, t1), (q2, t2) = state.sides

    def mean(block: Any) -> Any:
        if readout == "flatten":
            return jnp.mean(block, axis=(0, 1))
        if readout == "global_average_pool":
            return jnp.mean(block, axis=(1, 2, 4, 5))
        (p, h, v), q = (size // 2 if axis else size for axis, size in enumerate(block.shape[:3])), block.shape[3]
        cut = block[:, : 2 * h, : 2 * v, :, : 2 * h, : 2 * v].reshape(p, h, 2, v, 2, q, h, 2, v, 2)
        return jnp.einsum("phavbqhcvd->pq", cut) / (16 * h * v)

    w, b = work.w, work.b
    nngp = w * mean(state.c) + b
    sizes = [w * mean(jnp.sqrt(work._outer(a, c))) for a, c in ((q1, q2), (t1, t2))]
    ntk = nngp + w * mean(state.tangent)
    lost = (state.error + 2 * LAYER_ERROR) * (sizes[0] + b)
    return nngp, ntk, lost, lost + (state.lost + 2 * LAYER_ERROR) * sizes[1]


def windows(block: Any, axes: tuple[tuple[int, ...], ...], layer: Convolve, combine: tuple[Callable, float]) -> Any:
    """What `combine` (a function of two, and what fills the padding) makes of the windows of a convolution.

    The axes of one group move together: one spatial axis of both inputs, or of one where only equal positions are kept.
    Barriers keep XLA from computing the padding and the earlier sums once for each of the places.
    """
    function, filling = combine
    for group in axes:
        block = _along(block, group, layer, function, filling)
    return block


def window_means(block: Any, axes: tuple[tuple[int, ...], ...], layer: Convolve) -> Any:
    """Means over the windows of a convolution, as `windows`; padding is 0."""
    for group in axes:
        block = jax.lax.optimization_barrier(_along(block, group, layer, jnp.add, 0.0) / layer.size)
    return block


def _along(block: Any, axes: tuple[int, ...], layer: Convolve, function: Callable, filling: float) -> Any:
    length, size = block.shape[axes[0]], layer.size
    if layer.padding != "VALID":
        ((before, after),) = jax.lax.padtype_to_pads((length,), (size,), (layer.strides,), "SAME")
        pads = [(before, after) if axis in axes else (0, 0) for axis in range(block.ndim)]
        if layer.padding == "CIRCULAR":
            padded = jnp.pad(block, pads, mode="wrap")
        else:
            padded = jnp.pad(block, pads, constant_values=filling)
        block = jax.lax.optimization_barrier(padded)
        length += before + after
    reach = layer.strides * ((length - size) // layer.strides) + 1
    total = None
    for shift in range(size):
        place = tuple(
            slice(shift, shift + reach, layer.strides) if axis in axes else slice(None) for axis in range(block.ndim)
        )
        total = block[place] if total is None else function(total, block[place])
    return total


def _squares(images: Any) -> Any:
    return jnp.mean(images**2, axis=3)


def _alike(first: Any, second: Any) -> tuple[Any, Any]:
    return first, jnp.broadcast_to(second, first.shape)


def _over(top: Any, bottom: Any) -> Any:
    """The quotient, 0 where the bottom is 0."""
    return jnp.where(bottom > 0, top / jnp.where(bottom > 0, bottom, 1.0), 0.0)
