"""Differential entropy of a Gaussian mixture with equal variance in every direction: one interface to all routes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array, double, float64, namespace, to_numpy
from ntkinfo.core.records import Estimate
from ntkinfo.information.mixture_bounds import PairwiseBounds, pairwise_information
from ntkinfo.information.mixture_quadrature import entropy_quadrature
from ntkinfo.information.mixture_quadrature_plane import entropy_quadrature_plane, work_on_plane
from ntkinfo.information.mixture_sampling import DrawUntil, checked_samples, sample_information

METHODS = ("auto", "quadrature", "monte carlo")
MOST_WORK = 1_000_000  # cells that quadrature of two outputs may need under "auto", about 5 seconds


@dataclass(frozen=True)
class MixtureEntropy:
    """Entropy h of sum_i w_i N(mean_i, v_i I), in nats.

    Args:
        value: by quadrature or Monte Carlo, with its error.
        lower: pairwise lower bound (best Chernoff order, 1/2 or better), deterministic.
        upper: pairwise upper bound, deterministic.
    """

    value: Estimate
    lower: float
    upper: float


@checked
def mixture_entropy(
    mean: Float[Array, "m C"],
    variance: Float[Array, " m"],
    weights: Float[Array, " m"] | None = None,
    *,
    method: str = "auto",
    tolerance: float = 1e-9,
    samples: int | DrawUntil | None = None,
    seed: int = 0,
) -> MixtureEntropy:
    """Differential entropy of a Gaussian mixture in nats, with the pairwise bounds.

    Args:
        mean: centres of the components, (m, C).
        variance: their variances, the same in every direction, (m,), all above zero.
        weights: their probabilities, (m,), summing to one; equal when left out. Zeros are allowed.
        method: "quadrature" (one or two outputs), "monte carlo", or "auto": quadrature for one output, and for two
            where it takes a few seconds at most; otherwise the `method` of the value says why not.
        tolerance: absolute error of the quadrature, at least 1e-13 for one output and 1e-12 for two.
        samples: Monte Carlo draws per component, even and at least 4; None for about 5120 in all; `DrawUntil` to draw
            until a wanted standard error is reached (the `method` of the value says if it was not).
        seed: of those draws.

    Returns:
        The entropy and its bounds.

    Raises:
        ValueError: shapes that do not fit, NaN or infinite values, variances that are not above zero (the differential
            entropy is minus infinity; `ntkinfo.information.output` gives the information, which stays finite), weights
            that are no probabilities, an unknown method, quadrature for more than two outputs.

    >>> entropy = mixture_entropy(np.array([[-1.0], [1.0]]), np.array([0.25, 0.25]))
    >>> print(f"{entropy.lower:.4f} <= {entropy.value.value:.4f} <= {entropy.upper:.4f}")
    1.2920 <= 1.3585 <= 1.4186

    Arrays of lower precision are taken for exact and computed with in float64.
    Source: theory §3; Kolchinsky & Tracey 2017.
    """
    checks.choice("method", method, METHODS)
    with float64():
        mean, variance, weights = _checked(mean, variance, weights)
        samples = checked_samples(samples, len(mean))
        outputs = mean.shape[1]
        if method == "quadrature" and outputs > 2:
            raise ValueError(f"mean has {outputs} outputs and quadrature is for one or two; use method='monte carlo'")
        return _entropy(mean, variance, weights, method, tolerance, samples, seed)


def _entropy(
    mean: Float[Array, "m C"],
    variance: Float[Array, " m"],
    weights: Float[Array, " m"],
    method: str,
    tolerance: float,
    samples: int | DrawUntil,
    seed: int,
) -> MixtureEntropy:
    xp, outputs = namespace(mean, variance), mean.shape[1]
    component = float(0.5 * outputs * xp.sum(weights * xp.log(2 * np.pi * np.e * variance)))
    bounds = pairwise_information(mean, variance, weights)
    reason = _objection(mean, variance, method, tolerance)
    if reason is None:
        value = _quadrature(mean, variance, weights, tolerance)
    else:
        value = _monte_carlo(mean, variance, weights, component, bounds, samples, seed)
        value = replace(value, method=f"{value.method}; {reason}" if reason else value.method)
    return MixtureEntropy(value, component + bounds.lower, component + bounds.upper)


def _objection(mean: Float[Array, "m C"], variance: Float[Array, " m"], method: str, tolerance: float) -> str | None:
    """Why not by quadrature: None where it is, empty where there is no choice."""
    outputs = mean.shape[1]
    if method == "monte carlo" or outputs > 2:
        return ""
    if method == "quadrature" or outputs == 1:
        return None
    work = work_on_plane(to_numpy(mean), to_numpy(variance), tolerance)
    return None if work <= MOST_WORK else f"quadrature would need {work:.2g} cells, with {MOST_WORK:.2g} allowed"


def _quadrature(
    mean: Float[Array, "m C"], variance: Float[Array, " m"], weights: Float[Array, " m"], tolerance: float
) -> Estimate:
    host = to_numpy(mean), to_numpy(variance), to_numpy(weights)
    if mean.shape[1] == 1:
        return entropy_quadrature(host[0][:, 0], *host[1:], tolerance)
    return entropy_quadrature_plane(*host, tolerance)


def _checked(mean: Array, variance: Array, weights: Array | None) -> tuple[Array, Array, Array]:
    checks.shape("mean", mean, (None, None), "one row of outputs for each component")
    checks.shape("variance", variance, (mean.shape[0],), "one variance for each component")
    checks.finite("mean", mean)
    checks.finite("variance", variance)
    xp = namespace(mean, variance)
    if mean.size == 0 or float(xp.min(variance)) <= 0:
        raise ValueError("a mixture needs at least one component, one output and variances above zero")
    mean, variance = double(mean), double(variance)
    if weights is None:
        return mean, variance, xp.full(len(mean), 1 / len(mean), dtype=variance.dtype)
    checks.shape("weights", weights, (mean.shape[0],), "one probability for each component")
    exact = double(weights)
    total = float(xp.sum(exact))
    rounding = float(np.finfo(weights.dtype).eps) if np.issubdtype(weights.dtype, np.floating) else 0.0
    if not abs(total - 1) <= max(1e-9, rounding) or float(xp.min(exact)) < 0:
        raise ValueError(f"weights sum to {total} or hold a negative one; they are probabilities: divide by their sum")
    kept = np.flatnonzero(to_numpy(exact) > 0)
    return mean[kept], variance[kept], exact[kept] / total


def _monte_carlo(
    mean: Float[Array, "m C"],
    variance: Float[Array, " m"],
    weights: Float[Array, " m"],
    component: float,
    bounds: PairwiseBounds,
    samples: int | DrawUntil,
    seed: int,
) -> Estimate:
    """The components' own entropy is known: only the information about the component is sampled."""
    drawn = sample_information(mean, variance, weights, None, samples, np.random.default_rng(seed))
    gap = float(-np.sum(to_numpy(weights) * np.log(to_numpy(weights)))) - bounds.lower
    sampled = drawn.allowing_for_unseen(min(gap, bounds.upper)).component
    error = float(np.hypot(sampled.standard_error, 1e-15 * abs(component)))
    return Estimate(component + sampled.value, error, "Monte Carlo", drawn.method)
