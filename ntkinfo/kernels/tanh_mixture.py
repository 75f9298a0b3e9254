"""tanh as a positive mixture of error functions, which gives its kernels in closed form at every size and angle.

The logistic density is a scale mixture of Gaussians: κ follows the distribution of Kolmogorov's statistic (Andrews &
Mallows 1974; Stefanski 1991). Hence tanh(u) = E[erf(u / (√2 κ))], and every Gaussian average of tanh and of its
derivative is the same average of the arcsine kernels, all terms positive where c is. The expectation over log κ is a
Gauss rule of 24 nodes: tanh by the mixture is tanh to 5e-15 of its value, its derivative to 7e-15 of 1.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from ntkinfo.kernels.duals import FLOAT, Dual, erf_averages

NODES = 24
_STEP, _REACH = 1 / 40, (-90, 72)  # log κ from -2.25 to 1.8: the density is below 1e-17 of its largest value outside


@functools.cache
def mixture() -> tuple[np.ndarray, np.ndarray]:
    """Scales s and positive weights p of tanh(u) = Σ p erf(s u), (24,) each."""
    logs = _STEP * np.arange(*_REACH)
    density = _density_of_log(logs)
    # Lanczos on the multiplication by log κ, every vector made orthogonal to all before it (Golub & Welsch 1969).
    basis = [np.sqrt(density / density.sum())]
    diagonal, beside = [], []
    for _ in range(NODES):
        moved = logs * basis[-1]
        diagonal.append(moved @ basis[-1])
        for _ in range(2):
            moved = moved - np.stack(basis).T @ (np.stack(basis) @ moved)
        beside.append(np.linalg.norm(moved))
        basis.append(moved / beside[-1])
    nodes, vectors = scipy.linalg.eigh_tridiagonal(np.array(diagonal), np.array(beside[:-1]))
    return np.exp(-nodes) / np.sqrt(2.0), vectors[0] ** 2


def _density_of_log(logs: np.ndarray) -> np.ndarray:
    """Density of log κ up to a factor, by the one of Kolmogorov's two series that converges at once."""
    k, j = np.exp(logs)[:, None], np.arange(1, 9)[None, :]
    odd = (2 * j - 1) ** 2 * np.pi**2 / 8
    low = np.sum(np.sqrt(2 * np.pi) * np.exp(-odd / k**2) * (2 * odd / k**4 - 1 / k**2), axis=1)
    high = np.sum(8 * (-1.0) ** (j - 1) * j**2 * k * np.exp(-2 * j**2 * k**2), axis=1)
    return np.where(k[:, 0] < 1.2, low, high) * k[:, 0]


def _terms() -> tuple[Any, Any, Any]:
    """Weights p_k p_l and squared scales of every pair of nodes, (576,) each."""
    scales, weights = mixture()
    first, second = np.meshgrid(np.arange(NODES), np.arange(NODES), indexing="ij")
    pairs = first.ravel(), second.ravel()
    return np.prod([weights[p] for p in pairs], axis=0), scales[pairs[0]] ** 2, scales[pairs[1]] ** 2


def tanh_averages(m: Any, q1: Any, q2: Any, c: Any, d: Any) -> tuple[Any, Any]:
    """The arcsine kernels of the scaled pre-activations, summed one after the other (jax)."""
    assert m is FLOAT
    weights, squares1, squares2 = (jnp.asarray(part) for part in _terms())

    def add(k: Any, sums: tuple[Any, Any]) -> tuple[Any, Any]:
        a, b = squares1[k], squares2[k]
        both = jnp.sqrt(a * b)
        value, slope = erf_averages(m, a * q1, b * q2, both * c, a * b * d)
        return sums[0] + weights[k] * value, sums[1] + weights[k] * both * slope

    # Checkpointed: a derivative keeps no array for each of the terms.
    start = jnp.zeros_like(c), jnp.zeros_like(c)
    return jax.lax.fori_loop(0, len(weights), jax.checkpoint(add), start)


def _steepness(q1, q2, c, d, value, slope, error, size):
    return slope * jnp.minimum(4 * jnp.abs(c) * size / (1 + 2 * (q1 + q2) + 4 * d) * error, 1.0)


tanh = Dual(tanh_averages, _steepness)


def tanh_differences(c: Any, gap1: Any, gap2: Any, d: Any) -> tuple[Any, Any, Any, Any, float]:
    """Averages of near pairs of pre-activations, with the differences that the next layer's determinant needs.

    Args:
        c: covariances, (P,).
        gap1: q1 - c, to all its digits.
        gap2: q2 - c, likewise.
        d: q1 q2 - c², likewise.

    Returns:
        E[φ(u)φ(v)], E[φ(u)²] - E[φ(u)φ(v)], E[φ(v)²] - E[φ(u)φ(v)] and E[φ'(u)φ'(v)], (P,) each, and an error of 0
        beyond rounding.
    """
    # Filled up to a power of two, so that few sizes are compiled.
    count = len(c)
    size = max(64, 2 ** int(np.ceil(np.log2(max(count, 1)))))
    filled = [np.concatenate([part, np.zeros(size - count)]) for part in (c, gap1, gap2, d)]
    value, first, second, slope = (np.asarray(part)[:count] for part in _differences(*filled))
    return value, first, second, slope, 0.0


@jax.jit
def _differences(c: Any, gap1: Any, gap2: Any, d: Any) -> tuple[Any, Any, Any, Any]:
    q1, q2 = c + gap1, c + gap2
    weights, squares1, squares2 = (jnp.asarray(part) for part in _terms())

    def add(k: Any, sums: tuple[Any, ...]) -> tuple[Any, ...]:
        a, b = squares1[k], squares2[k]
        both = jnp.sqrt(a * b)
        root = jnp.sqrt(1 + 2 * a * q1 + 2 * b * q2 + 4 * a * b * d)
        found = (
            2 / np.pi * jnp.arctan2(2 * both * c, root),
            2 / np.pi * _angle_difference((a, b), (q1, gap1), c, d, root),
            2 / np.pi * _angle_difference((b, a), (q2, gap2), c, d, root),
            4 / np.pi * both / root,
        )
        return tuple(total + weights[k] * one for total, one in zip(sums, found, strict=True))

    return jax.lax.fori_loop(0, len(weights), add, (jnp.zeros_like(c),) * 4)


def _angle_difference(squares: tuple[Any, Any], own: tuple[Any, Any], c: Any, d: Any, root: Any) -> Any:
    """arctan(2√(ab) q / √(1+2(a+b)q)) - arctan(2√(ab) c / root), its sine by a quotient without cancellation."""
    (a, b), (q, gap) = squares, own
    both = jnp.sqrt(a * b)
    root_own = jnp.sqrt(1 + 2 * (a + b) * q)
    bottom = 2 * both * (q * root + c * root_own)
    top = 4 * a * b * (1 + 2 * a * q) * (gap * (q + c) + 2 * b * q * d)
    plain = 2 * both * (q * root - c * root_own)
    near = (c > 0) & (bottom > 0)
    sine = jnp.where(near, top / jnp.where(near, bottom, 1.0), plain)
    return jnp.arctan2(sine, 4 * a * b * q * c + root_own * root)
