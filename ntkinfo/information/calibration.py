"""Calibration of the Gaussian predictive law against the targets: probability integral transform and coverage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ntkinfo.core import checks
from ntkinfo.core.arrays import Array, namespace, special
from ntkinfo.information.losses import check_law

LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)


@dataclass(frozen=True)
class Calibration:
    """How often the targets fall where the predictive law says.

    Args:
        histogram: share of the probability integral transforms in each of the bins, (t, bins); all equal to 1/bins for
            a calibrated law, heavy at both ends for an overconfident one.
        bin_edges: of those bins, (bins + 1,), from 0 to 1.
        coverage: share of the targets inside the central interval of each level, (t, levels).
        levels: probability that the law gives to those intervals, (levels,).
        standard_error: of each coverage if the targets were independent, sqrt(p(1-p)/N) with the coverage p;
            (t, levels).
    """

    histogram: Float[Array, "t bins"]
    bin_edges: Float[np.ndarray, " edges"]
    coverage: Float[Array, "t levels"]
    levels: Float[np.ndarray, " levels"]
    standard_error: Float[Array, "t levels"]


def calibration(
    mean: Float[Array, "t m C"],
    variance: Float[Array, "t m"],
    targets: Float[Array, "m C"],
    observation_variance: float = 0.0,
    bins: int = 20,
    levels: Sequence[float] = LEVELS,
) -> Calibration:
    """Compare the targets with N(mean, (v + observation_variance) I), every output on its own.

    Args:
        mean: mean output at each time and input, (t, m, C).
        variance: variance of every output there, (t, m).
        targets: (m, C).
        observation_variance: variance of the noise on the targets, added to that of the ensemble.
        bins: number of equal bins of the transform Φ((y - mean) / std).
        levels: probabilities of the central intervals, between 0 and 1.

    Returns:
        Histogram and coverage at each time, over all inputs and outputs. Where the law has no variance the transform is
        0, ½ or 1 and every interval is the point itself.

    Raises:
        ValueError: shapes that do not fit, a negative observation variance, levels outside (0, 1), no bins.

    Source: theory §7.
    """
    check_law(mean, variance, targets, None)
    checks.non_negative("observation_variance", observation_variance)
    checks.whole("bins", bins)
    if not levels or min(levels) <= 0 or max(levels) >= 1:
        raise ValueError(f"levels is {tuple(levels)}; it must hold probabilities between 0 and 1")
    xp = namespace(mean, variance, targets)
    histogram, coverage = [], []
    for time in range(mean.shape[0]):
        transform = _transform(mean[time], variance[time] + observation_variance, targets)
        bin_number = xp.minimum((transform * bins).astype(np.int64), bins - 1)
        histogram.append(xp.bincount(xp.ravel(bin_number), minlength=bins) / transform.size)
        central = xp.abs(2 * transform - 1)
        coverage.append(xp.stack([xp.mean((central <= level).astype(mean.dtype)) for level in levels]))
    covered = xp.stack(coverage)
    error = xp.sqrt(covered * (1 - covered) / (mean.shape[1] * mean.shape[2]))
    return Calibration(xp.stack(histogram), np.linspace(0, 1, bins + 1), covered, np.asarray(levels), error)


def _transform(
    mean: Float[Array, "m C"], variance: Float[Array, " m"], targets: Float[Array, "m C"]
) -> Float[Array, "m C"]:
    """Φ((y - mean) / std); without variance its limit 0, ½ or 1."""
    xp = namespace(mean, variance, targets)
    residual = targets - mean
    std = xp.sqrt(variance)[:, None]
    spread = std > 0
    scaled = residual / xp.where(spread, std, 1.0)
    return xp.where(spread, special(mean, variance).ndtr(scaled), 0.5 * (1 + xp.sign(residual)))
