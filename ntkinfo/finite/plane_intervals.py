"""Intervals over seeds: Student's for means, the bootstrap for everything that is read off a mean curve."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

from ntkinfo.core import checks
from ntkinfo.core.arrays import Array


@dataclass(frozen=True)
class Interval:
    """A number (or an array of them) with an interval over seeds.

    Args:
        value: the number.
        low: lower end; NaN where it cannot be told.
        high: upper end.
        method: how the interval was made.
    """

    value: Float[Array, " *shape"] | float
    low: Float[Array, " *shape"] | float
    high: Float[Array, " *shape"] | float
    method: str = ""


def mean_interval(values: Float[np.ndarray, " m *shape"], level: float = 0.95) -> Interval:
    """Mean over the seeds with Student's interval; seeds are independent.

    Args:
        values: one row a seed, at least two.
        level: probability that the interval holds the mean, for normal values.
    """
    checks.probability("level", level)
    _check_seeds(len(values))
    mean = values.mean(axis=0)
    reach = stats.t.ppf(0.5 + level / 2, len(values) - 1) * values.std(axis=0, ddof=1) / np.sqrt(len(values))
    return Interval(mean, mean - reach, mean + reach, f"Student's t over {len(values)} seeds, {level:.0%}")


def difference_interval(first: Float[np.ndarray, " a *shape"], second: Float[np.ndarray, " b *shape"]) -> Interval:
    """Difference of two means with Welch's 95% interval; the two sets of seeds are independent."""
    _check_seeds(min(len(first), len(second)))
    parts = [row.var(axis=0, ddof=1) / len(row) for row in (first, second)]
    total = parts[0] + parts[1]
    weights = parts[0] ** 2 / (len(first) - 1) + parts[1] ** 2 / (len(second) - 1)
    freedom = np.where(total > 0, total**2 / np.where(weights > 0, weights, 1.0), 1.0)
    value = first.mean(axis=0) - second.mean(axis=0)
    reach = np.where(total > 0, stats.t.ppf(0.975, np.maximum(freedom, 1.0)) * np.sqrt(total), 0.0)
    return Interval(value, value - reach, value + reach, f"Welch's t, {len(first)} and {len(second)} seeds, 95%")


def seed_weights(seeds: int, draws: int, seed: int) -> Float[np.ndarray, "r m"]:
    """Weights of the seeds in `draws` bootstrap samples; each row sums to 1."""
    checks.whole("draws", draws)
    _check_seeds(seeds)
    counts = np.random.default_rng(seed).multinomial(seeds, np.full(seeds, 1 / seeds), size=draws)
    return counts / seeds


def bootstrap_interval(
    statistic: Callable[[Float[np.ndarray, " m"]], float], seeds: int, draws: int = 500, seed: int = 0
) -> Interval:
    """A statistic of weights of the seeds, with the 2.5% and 97.5% quantiles of its bootstrap.

    Args:
        statistic: from weights of the seeds (M,) that sum to 1 to a number; NaN or infinite where there is none.
        seeds: number of seeds M.
        draws: bootstrap samples.
        seed: of the draws.

    Returns:
        The statistic with equal weights and its interval; NaN at both ends where more than a twentieth of the samples
        have none.
    """
    value = statistic(np.full(seeds, 1 / seeds))
    found = np.array([statistic(row) for row in seed_weights(seeds, draws, seed)])
    known = found[~np.isnan(found)]
    method = f"bootstrap over {seeds} seeds, {draws} samples, 95%"
    if len(known) < 0.95 * draws:
        return Interval(float(value), np.nan, np.nan, f"{method}; {draws - len(known)} samples have no value")
    low, high = np.quantile(known, [0.025, 0.975], method="inverted_cdf")
    return Interval(float(value), float(low), float(high), method)


def _check_seeds(seeds: int) -> None:
    if seeds < 2:
        raise ValueError(f"there is {seeds} seed; intervals over seeds take at least 2")
