"""Any encoder on the bottleneck's plane: its β of best fit, its residuals, its distance from the certified curve.

An encoder is p(t|x) over the inputs of a `DiscreteProblem`. Binned layers come as integer codes
(`problems.codes_to_encoder`), layers with Gaussian noise and ensembles with Gaussian outputs as means and variances,
which `gaussian_encoder` turns into p(bin|x) with a bound on what the bins lose.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr, xlogy

from ntkinfo.bottleneck.discrete import Residuals, checked_decoder, residuals
from ntkinfo.bottleneck.discrete_curve import DiscreteCurve
from ntkinfo.bottleneck.discrete_engine import BottleneckDistortion, log_sum_exp
from ntkinfo.bottleneck.problems import DiscreteProblem, checked_encoder, row_entropies
from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array, to_numpy
from ntkinfo.core.memory import GIB, available_memory, require_memory

_REACH = 9.0  # standard deviations that bins cover; what lies beyond weighs less than 3e-19
_MOST_BETA = 1e9
_TIE = 1e-12
_MOST_BINS = 200_000


@dataclass(frozen=True)
class Placement:
    """Where an encoder lies.

    Args:
        information_input: I(T;X) in nats.
        information_target: I(T;Y) in nats.
        beta: of best fit, argmin Σ p(x) KL(p(t|x) ‖ p_β(t|x)); infinite where the fit goes on improving (a
            deterministic encoder that sends every x to its nearest p(y|t)), 0 where no β above 0 is better.
        residuals: in both self-consistent equations at that β (at infinite β: its limit).
        gap: the curve's achievable I(T;Y) at the same I(T;X), less the encoder's. Not below 0 but for the accuracy of
            the curve.
        gap_upper: the same from the certified bound: no encoder with this I(T;X) is farther above.
        error: both informations may be larger by so much (what discretisation lost); 0 for encoders that are exact.
    """

    information_input: float
    information_target: float
    beta: float
    residuals: Residuals
    gap: float
    gap_upper: float
    error: float = 0.0


@dataclass(frozen=True)
class DiscretisedEncoder:
    """p(bin|x) of a continuous T.

    Args:
        encoder: p(bin|x), (n, bins): a valid encoder itself.
        error: I(X;T) - I(X;bin) and I(T;Y) - I(bin;Y) lie between 0 and this, in nats.
    """

    encoder: Float[np.ndarray, "x t"]
    error: float


@checked
def place(
    encoder: Float[Array, "x t"] | DiscretisedEncoder,
    problem: DiscreteProblem,
    curve: DiscreteCurve,
    decoder: Float[Array, "t y"] | None = None,
) -> Placement:
    """Place an encoder on the plane of a problem and measure it against the problem's curve.

    Args:
        encoder: p(t|x), (n, T), or what `gaussian_encoder` returns.
        problem: the law of X and Y.
        curve: of the same problem.
        decoder: p(y|t) for the first equation in place of the encoder's own (see `residuals`).

    Returns:
        The placement. A solution of the bottleneck at β₀ has β = β₀ and residuals 0.

    Raises:
        ValueError: rows that are no laws, an encoder or curve of another problem.
    """
    error = encoder.error if isinstance(encoder, DiscretisedEncoder) else 0.0
    rows = checked_encoder(encoder.encoder if isinstance(encoder, DiscretisedEncoder) else encoder, problem.n_inputs)
    if curve.problem.conditional.shape != problem.conditional.shape or not np.array_equal(
        curve.problem.conditional, problem.conditional
    ):
        raise ValueError("curve belongs to another problem; compute it with bottleneck_curve(problem)")
    given, told = problem.information(rows)
    beta = best_beta(rows, problem, decoder)
    missed = residuals(problem, rows, min(beta, _MOST_BETA), decoder)
    below, above = (float(bound(given)) - told for bound in (curve.lower, curve.upper))
    return Placement(given, told, beta, missed, below, above, error)


def best_beta(
    encoder: Float[Array, "x t"], problem: DiscreteProblem, decoder: Float[Array, "t y"] | None = None
) -> float:
    """The β whose first self-consistent equation the encoder meets best; the misfit is convex in β.

    Args:
        encoder: p(t|x), (n, T).
        problem: the law of X and Y.
        decoder: p(y|t) in place of the encoder's own.

    Returns:
        β from 0 to infinity.

    Raises:
        ValueError: rows that are no laws.
    """
    rows = checked_encoder(encoder, problem.n_inputs)
    law = problem.input_law
    weight = law @ rows
    used = weight > 0
    rows, weight = rows[:, used], weight[used]
    points = (law[:, None] * rows).T @ problem.conditional / weight[:, None]
    if decoder is not None:
        points = checked_decoder(decoder, len(used), problem)[used]
    unit = BottleneckDistortion(law, problem.conditional, 1.0, -row_entropies(problem.conditional))
    kernel, log_weight = unit.log_kernel(points), np.log(weight)
    own = float(law @ np.sum(np.where(rows > 0, rows * kernel, 0.0), axis=1))
    nearest = weight[None, :] * (kernel >= kernel.max(axis=1, keepdims=True) - _TIE)
    limit = nearest / nearest.sum(axis=1, keepdims=True)
    if np.allclose(rows, limit, rtol=0, atol=_TIE) and np.any(np.ptp(kernel, axis=1) > _TIE):
        return float("inf")  # p_β comes as close as one likes: it tends to this encoder

    def slope(beta: float) -> float:
        """Derivative of the misfit: mean distortion under the encoder less that under p_β."""
        exponent = log_weight[None, :] + beta * kernel
        model = np.exp(exponent - log_sum_exp(exponent.T)[:, None])
        return float(law @ np.sum(np.where(model > 0, model * kernel, 0.0), axis=1)) - own

    return _root(slope)


def _root(slope: Callable[[float], float]) -> float:
    """Where a rising function passes 0, from 0 to infinity, by bisection to the last digit."""
    if slope(0.0) >= 0:
        return 0.0
    lower, upper = 0.0, 1.0
    while slope(upper) < 0:
        lower, upper = upper, 2 * upper
        if upper > _MOST_BETA:
            return float("inf")
    for _ in range(200):
        middle = (lower + upper) / 2
        if not lower < middle < upper:
            break
        lower, upper = (middle, upper) if slope(middle) < 0 else (lower, middle)
    return (lower + upper) / 2


@checked
def gaussian_encoder(
    mean: Float[Array, "x d"], variance: Float[Array, "*v"], tolerance: float = 1e-3
) -> DiscretisedEncoder:
    """Bins of T ~ N(mean(x), variance(x)), independent over its dimensions, with a bound on what they lose.

    For bins b of width Δ_b the loss I(X;T|b) is at most Σ_x p(x) Σ_b P(b|x) [log Δ_b - h(T|x, b)], the relative entropy
    to the uniform law of each bin, with closed forms for truncated normal laws; I(T;Y|b) is at most the same. Bins are
    halved where they lose most until the bound, averaged with equal weights over x, is at most the tolerance.

    Args:
        mean: of T given x, (n, d) with d of 1 to 3; a layer's activations or an ensemble's mean outputs.
        variance: of each dimension of T given x, above 0: one number (0-d), (n,) or (n, d).
        tolerance: on the bound, in nats.

    Returns:
        The encoder over the product of the bins, empty ones left out, and the bound (largest over x, so that it holds
        for every p(x)). What lies beyond 9 deviations is added to the outer bins and to the bound.

    Raises:
        ValueError: wrong shapes, NaN, variances that are not above 0, more than three dimensions.
        MemoryError: more bins than memory holds; take a larger tolerance or fewer dimensions.
    """
    centres, spread = _checked_gaussians(mean, variance)
    checks.positive("tolerance", tolerance)
    dims = centres.shape[1]
    parts, error = [], np.zeros(len(centres))
    for d in range(dims):
        edges = _edges(centres[:, d], spread[:, d], tolerance / dims)
        parts.append(_bin_probabilities(centres[:, d], spread[:, d], edges))
        error += _losses(centres[:, d], spread[:, d], edges).sum(axis=1)
    bins = float(np.prod([part.shape[1] for part in parts]))
    what = f"An encoder of {len(centres)} inputs by {bins:.3g} bins"
    require_memory(what, 3 * 8 * len(centres) * bins / GIB, available_memory(), "raise tolerance or use fewer dims")
    joint = parts[0]
    for part in parts[1:]:
        joint = (joint[:, :, None] * part[:, None, :]).reshape(len(centres), -1)
    joint = joint[:, joint.max(axis=0) > 0]
    # The two outer bins hold tails as well: for that mass at most log n and what tells tail from bin, below 50 nats.
    tail = dims * 2 * ndtr(-_REACH) * (np.log(len(centres)) + 50)
    return DiscretisedEncoder(joint / joint.sum(axis=1, keepdims=True), float(np.max(error)) + float(tail))


def _edges(mean: np.ndarray, std: np.ndarray, tolerance: float) -> np.ndarray:
    """Edges of bins of one dimension, halved where they lose most."""
    edges = np.linspace((mean - _REACH * std).min(), (mean + _REACH * std).max(), 65)
    while len(edges) <= _MOST_BINS:
        losses = _losses(mean, std, edges)
        total = losses.sum(axis=1)
        if total.max() <= tolerance:
            return edges
        if not np.all(np.isfinite(total)):
            raise ValueError("variance is so small or large against the means that bins between them have no width")
        worst = losses[total > tolerance].max(axis=0)
        split = worst > 0.5 * tolerance / len(worst)
        edges = np.sort(np.concatenate([edges, (edges[:-1] + edges[1:])[split] / 2]))
    raise MemoryError(f"more than {_MOST_BINS} bins are needed in one dimension; raise tolerance")


def _losses(mean: np.ndarray, std: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """P(b|x) [log Δ_b - h(T|x, b)] = P log(Δ/P) - ∫_b -p log p, (n, bins); none below 0."""
    z = (edges[None, :] - mean[:, None]) / std[:, None]
    mass = _between(z)
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    # ∫ z² φ over a bin is P - [z φ]; h's integrand is φ (log σ√(2π) + z²/2).
    square = mass - np.diff(z * density, axis=1)
    uncertain = mass * np.log(std * np.sqrt(2 * np.pi))[:, None] + square / 2
    loss = mass * np.log(np.diff(edges))[None, :] - xlogy(mass, mass) - uncertain
    return np.maximum(loss, 0.0)


def _bin_probabilities(mean: np.ndarray, std: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """P(b|x), the outer bins reaching to infinity."""
    z = (edges[None, :] - mean[:, None]) / std[:, None]
    z[:, 0], z[:, -1] = -np.inf, np.inf
    return _between(z)


def _between(z: np.ndarray) -> np.ndarray:
    """Φ(z_j+1) - Φ(z_j), from the side of the tail where digits are left."""
    left, right = z[:, :-1], z[:, 1:]
    return np.where(left > 0, ndtr(-left) - ndtr(-right), ndtr(right) - ndtr(left))


def _checked_gaussians(mean: Array, variance: Array) -> tuple[np.ndarray, np.ndarray]:
    centres = to_numpy(mean).astype(np.float64)
    checks.shape("mean", centres, (None, None), "one row an input, one column a dimension of T")
    checks.finite("mean", centres)
    if not 1 <= centres.shape[1] <= 3:
        raise ValueError(f"mean has {centres.shape[1]} dimensions; bins are for 1 to 3: place a coarser code instead")
    spread = to_numpy(variance).astype(np.float64)
    checks.finite("variance", spread)
    if spread.ndim == 1:
        spread = spread[:, None]
    if spread.ndim not in (0, 2) or (spread.ndim == 2 and spread.shape[0] != len(centres)):
        raise ValueError(f"variance has shape {spread.shape}; give one number, (n,) or (n, d)")
    if np.any(spread <= 0):
        raise ValueError("variance must be above 0; without noise use codes (codes_to_encoder)")
    return centres, np.sqrt(np.broadcast_to(spread, centres.shape))
