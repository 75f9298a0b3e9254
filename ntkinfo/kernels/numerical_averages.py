"""Gaussian averages of any function: by its Hermite series for most pairs, by quadrature for the others.

The series converges as |ρ|^k times the function's own coefficients, which is slow near parallel inputs and for
variances far above the size of the function's features. There the average over u, and over v given u, is the
trapezoidal rule in t with u = λ sinh t, whose nodes are as dense as the function's features near 0 and reach any
variance. What the series leaves out and what a coarser rule changes are the stated errors.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkinfo.core.arrays import float64
from ntkinfo.kernels.dense_recursion import EPSILON
from ntkinfo.kernels.duals import PARALLEL, determinant_of

# The trapezoidal rule with Gaussian weights, exact to rounding for functions analytic around the real line whose
# features are wider than a few of its steps. Past 16, h_k times the square root of the weight is below 1e-27 for every
# degree.
NODES = np.linspace(-16.0, 16.0, 2049)
WEIGHTS = np.exp(-(NODES**2) / 2) / np.sum(np.exp(-(NODES**2) / 2))

_GRADED = 1200  # nodes of the average over one variable
_REACH = 9.0  # deviations: a Gaussian is below 3e-18 of its largest value outside
_OUTER, _INNER, _FINE = 0.1, 0.27, 0.05  # steps: in t for u; in v, in units of features; in t for v
_WIDE = 3.0  # deviation of v given u from which its rule is graded as well
_WORK, _PIECE = 2**20, 2**14  # numbers in one array, and those that a function is compiled for
_CHECKED = 12  # pairs of each call on which a coarser rule is tried

Function = Callable[[Any], Any]


@functools.lru_cache(maxsize=8)
def hermite_table(degree: int) -> np.ndarray:
    """w_i h_k(z_i), (degree, nodes): a row dotted with values at the nodes is a Hermite coefficient."""
    rows = [np.ones_like(NODES), NODES]
    for k in range(1, degree):
        rows.append((NODES * rows[k] - np.sqrt(k) * rows[k - 1]) / np.sqrt(k + 1))
    return np.stack(rows[:degree]) * WEIGHTS


@functools.lru_cache(maxsize=8)
def _rule(degree: int, parity: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nodes, weights and table of the coefficients; of half of both where the function is even (0) or odd (1)."""
    if parity is None:
        return NODES, WEIGHTS, hermite_table(degree)
    middle = len(NODES) // 2
    twice = np.where(np.arange(middle + 1) > 0, 2.0, 1.0)
    return NODES[middle:], WEIGHTS[middle:] * twice, hermite_table(degree)[parity::2, middle:] * twice


def square_average(function: Function, std: Any, symmetric: bool = False) -> Any:
    """E[f(std z)²] for deviations of any shape and size (jax), and what a rule of half the nodes changes in it.

    `symmetric`: f is even or odd, so that half the nodes do.
    """
    width = jnp.minimum(1.0, jnp.where(std > 0, std, 1.0))
    ratio = jnp.where(std > 0, std, 1.0) / width
    reach = jnp.arcsinh(_REACH * ratio)[..., None]
    places = np.linspace(0.0, 1.0, _GRADED + 1) if symmetric else np.linspace(-1.0, 1.0, 2 * _GRADED + 1)
    t = reach * jnp.asarray(places)
    z = jnp.sinh(t) / ratio[..., None]
    weight = jnp.exp(-(z**2) / 2) * jnp.cosh(t)
    if symmetric:
        weight = weight * jnp.asarray(np.where(places > 0, 2.0, 1.0))
    values = function(jnp.where(std > 0, std, 0.0)[..., None] * z) ** 2 * weight
    fine = jnp.sum(values, axis=-1) / jnp.sum(weight, axis=-1)
    coarse = jnp.sum(values[..., ::2], axis=-1) / jnp.sum(weight[..., ::2], axis=-1)
    return fine, jnp.abs(fine - coarse)


class SeriesRectangles:
    """Layers of one function by its first Hermite terms.

    Args:
        function: elementwise, in jax.
        derivative: likewise.
        degree: number of terms.
        whole: add all the other terms where two inputs are parallel and of one size, as equal patches of images are.
        parity: 0 for an even function, 1 for an odd one, whose other terms are 0; None for all others.
    """

    def __init__(
        self,
        function: Function,
        derivative: Function,
        degree: int,
        whole: bool = False,
        parity: int | None = None,
    ):
        parities = (None, None) if parity is None else (parity, 1 - parity)
        self._functions = tuple(zip((function, derivative), parities, strict=True))
        self._degree, self._whole, self.kink = degree, whole, 0.0

    def same(self, variances: Any) -> tuple[Any, Any]:
        """By one-dimensional quadrature."""
        value, slope = (square_average(f, jnp.sqrt(variances), p is not None)[0] for f, p in self._functions)
        return value, slope

    def rectangle(self, rows: Any, columns: Any, covariance: Any, error: Any) -> tuple[Any, Any, Any, Any]:
        """The series; its errors are the rest of it and what an error of the correlation changes."""
        stds = jnp.sqrt(rows), jnp.sqrt(columns)
        product = stds[0][:, None] * stds[1][None, :]
        correlation = jnp.clip(jnp.where(product > 0, covariance, 0.0) / jnp.where(product > 0, product, 1.0), -1, 1)
        (value, value_error), (slope, slope_error) = (self._sum(*f, stds, correlation) for f in self._functions)
        d = determinant_of(covariance, rows[:, None], columns[None, :])
        steep = 4 * jnp.abs(covariance) * product / (1 + 2 * (rows[:, None] + columns[None, :]) + 4 * d) * error
        return value, slope, value_error, slope_error + jnp.abs(slope) * jnp.minimum(steep, 1.0)

    def _sum(self, function: Function, parity: int | None, stds: tuple[Any, Any], correlation: Any) -> tuple[Any, Any]:
        parts = [self._coefficients(function, parity, std) for std in stds]
        (first, rest1, wrong1), (second, rest2, wrong2) = parts
        step = correlation if parity is None else correlation * correlation

        def term(k: Any, total: Any) -> Any:
            place = len(first) - 1 - k
            return total * step + first[place][:, None] * second[place][None, :]

        series = jax.lax.fori_loop(0, len(first), term, jnp.zeros_like(correlation))
        if parity == 1:
            series = series * correlation
        rest = rest1[:, None] * rest2[None, :]
        missed = rest * jnp.abs(correlation) ** self._degree
        if self._whole:
            alike = jnp.abs(stds[0][:, None] - stds[1][None, :]) <= 1e-12 * stds[0][:, None]
            equal = alike & (1 - correlation < PARALLEL)
            series, missed = series + jnp.where(equal, rest, 0.0), jnp.where(equal, 0.0, missed)
        return series, missed + wrong1[:, None] * wrong2[None, :]

    def _coefficients(self, function: Function, parity: int | None, std: Any) -> tuple[Any, Any, Any]:
        """Coefficients (terms, p), the norm of those left out, and what the rule for them gets wrong of the norm."""
        nodes, weights, table = _rule(self._degree, parity)
        values = function(std[:, None] * jnp.asarray(nodes))
        kept = jnp.asarray(table) @ values.T
        whole, doubt = square_average(function, std, parity is not None)
        rounding = 4 * EPSILON * whole
        rest = jnp.maximum(whole - jnp.sum(kept**2, axis=0), 0.0)
        wrong = jnp.abs(whole - values**2 @ jnp.asarray(weights)) + doubt
        return kept, jnp.sqrt(rest + doubt + rounding), jnp.sqrt(jnp.where(wrong > rounding, wrong, 0.0))


def expansion(function: Function, degree: int) -> Callable[[Any, Any, Any], Any]:
    """E[f(u) f(v)] for covariances and variances of any shape (jax): the series, all of it for parallel inputs.

    For layers that neural_tangents composes; one term after the other to bound the memory.
    """
    table = hermite_table(degree)

    def coefficients(std: Any) -> tuple[Any, Any]:
        values = function(std * jnp.asarray(NODES))
        kept = jnp.asarray(table) @ values
        rest = square_average(function, std)[0] - jnp.sum(kept**2)
        # The root of a rest of 0 has no derivative.
        return kept, jnp.sqrt(jnp.where(rest > 1e-300, rest, 1.0)) * (rest > 1e-300)

    def average(covariance: Any, variance1: Any, variance2: Any) -> Any:
        product = variance1 * variance2
        positive = product > 0
        std1, std2 = (jnp.sqrt(jnp.where(positive, q, 1.0)) * positive for q in (variance1, variance2))
        correlation = jnp.where(positive, covariance, 0.0) / jnp.sqrt(jnp.where(positive, product, 1.0))
        beyond = jnp.abs(correlation) > 1
        correlation = jnp.where(beyond, jnp.sign(correlation), correlation)
        (first, rest1), (second, rest2) = coefficients(std1), coefficients(std2)

        def term(k: Any, total: Any) -> Any:
            return total * correlation + first[degree - 1 - k] * second[degree - 1 - k]

        series = jax.lax.fori_loop(0, degree, term, jnp.zeros_like(correlation))
        return series + jnp.where(1 - correlation < 2.0**-46, rest1 * rest2, 0.0)

    return average


class QuadratureDifferences:
    """Averages of chosen pairs by quadrature, with the differences that `near_pairs.DifferencePairs` asks for."""

    def __init__(self, function: Function, derivative: Function):
        # Compiled for one size, which all others are cut into or filled up to.
        self._functions = [functools.partial(_evaluated, jax.jit(f)) for f in (function, derivative)]

    def __call__(self, c: Any, gap1: Any, gap2: Any, d: Any) -> tuple[Any, Any, Any, Any, float]:
        """See `DifferencePairs`; the error is what rules of three quarters of the nodes change in some of the pairs."""
        c, gap1, gap2, d = (np.asarray(part) for part in (c, gap1, gap2, d))
        found = self._all(c, gap1, gap2, d, 1.0)
        some = np.unique(np.linspace(0, len(c) - 1, min(len(c), _CHECKED)).astype(int))
        coarse = self._all(c[some], gap1[some], gap2[some], d[some], 4 / 3)
        value, slope = found[0][some], found[3][some]
        size = np.abs(value) + np.maximum(np.abs(found[1][some]), np.abs(found[2][some]))
        changes = [np.abs(coarse[0] - value) / _positive(size), np.abs(coarse[3] - slope) / _positive(np.abs(slope))]
        return *found, float(max(np.max(change) for change in changes))

    def _all(self, c: np.ndarray, gap1: np.ndarray, gap2: np.ndarray, d: np.ndarray, coarser: float) -> tuple:
        """Let u be the one of the larger variance; pairs go together by the size of their rules."""
        q1, q2 = c + gap1, c + gap2
        swap = q2 > q1
        large = np.where(swap, q2, q1)
        std, spread = np.sqrt(large), np.sqrt(d / _positive(large))
        found = [np.empty_like(c) for _ in range(4)]
        level = np.ceil(4 * np.log2(np.maximum(spread, 0.25))) + 100 * np.ceil(2 * np.log2(np.maximum(std, 1e-3)))
        for one in np.unique(level):
            places = np.flatnonzero(level == one)
            outer, inner = _rules(float(std[places].max()), float(spread[places].max()), coarser)
            step = max(1, _WORK // (outer * inner))
            for i in range(0, len(places), step):
                some = places[i : i + step]
                parts = self._some(std[some], (c / _positive(large))[some], spread[some], (outer, inner))
                for total, part in zip(found, parts, strict=True):
                    total[some] = part
        value, first, second, slope = found
        return value, np.where(swap, second, first), np.where(swap, first, second), slope

    def _some(self, std: np.ndarray, share: np.ndarray, spread: np.ndarray, sizes: tuple[int, int]) -> list[np.ndarray]:
        u, weight = _graded(std, sizes[0])
        middle = share[:, None] * u
        z, inner = _given(middle, spread, sizes[1])
        v = middle[:, :, None] + spread[:, None, None] * z
        (fu, fv), (gu, gv) = ([f(x) for x in (u, v)] for f in self._functions)
        moved = fv - fu[:, :, None]
        mean, square = np.sum(inner * moved, axis=2), np.sum(inner * moved**2, axis=2)
        value = np.sum(weight * fu * (fu + mean), axis=1)
        first = -np.sum(weight * fu * mean, axis=1)
        second = np.sum(weight * (fu * mean + square), axis=1)
        return [value, first, second, np.sum(weight * gu * np.sum(inner * gv, axis=2), axis=1)]


def _rules(std: float, spread: float, coarser: float) -> tuple[int, int]:
    """Numbers of nodes for u and for v given u."""
    outer = 2 * np.arcsinh(_REACH * max(std, 1.0)) / (_OUTER * coarser)
    if spread > _WIDE:
        inner = 2 * np.arcsinh(_REACH * spread) / (_FINE * coarser)
    else:
        inner = 2 * _REACH / (min(0.6, _INNER / max(spread, 1e-9)) * coarser)
    return 2 * int(np.ceil(outer / 2)) + 1, 2 * int(np.ceil(inner / 2)) + 1


def _graded(std: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes u (P, size) and weights of the average over a Gaussian of each deviation."""
    width = np.minimum(1.0, _positive(std))
    reach = np.arcsinh(_REACH * _positive(std) / width)
    t = reach[:, None] * np.linspace(-1.0, 1.0, size)
    z = np.sinh(t) * (width / _positive(std))[:, None]
    weight = np.exp(-(z**2) / 2) * np.cosh(t)
    return std[:, None] * z, weight / np.sum(weight, axis=1, keepdims=True)


def _given(middle: np.ndarray, spread: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Standardised nodes and weights of v around its mean: uniform, or graded around v = 0 where that is in reach."""
    z = np.broadcast_to(np.linspace(-_REACH, _REACH, size), (*middle.shape, size))
    weight = np.exp(-(z**2) / 2)
    if spread.max() > _WIDE:
        reach = np.arcsinh(2 * _REACH * spread)[:, None, None]
        t = reach * np.linspace(-1.0, 1.0, size)
        graded = (np.sinh(t) - middle[:, :, None]) / spread[:, None, None]
        within = (np.abs(middle) < _REACH * spread[:, None])[:, :, None]
        z, weight = np.where(within, graded, z), np.where(within, np.exp(-(graded**2) / 2) * np.cosh(t), weight)
    return z, weight / np.sum(weight, axis=2, keepdims=True)


def _evaluated(function: Function, values: np.ndarray) -> np.ndarray:
    flat = np.ravel(values)
    filled = np.concatenate([flat, np.zeros(-len(flat) % _PIECE)]).reshape(-1, _PIECE)
    with float64():
        found = [np.asarray(function(piece)) for piece in filled]
    return np.concatenate(found)[: len(flat)].reshape(values.shape)


def _positive(values: np.ndarray) -> np.ndarray:
    return np.where(values > 0, values, 1.0)
