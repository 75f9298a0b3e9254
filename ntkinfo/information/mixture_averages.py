"""Averages over antithetic pairs of draws from the components of a mixture, with control variates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import gammainc

from ntkinfo.information.mixture_draws import Pairs

ROUNDING = 1e-15  # of an average whose draws all agree; part of every standard error
ENOUGH = 8  # pairs in every component from which on slopes are fitted within components


@dataclass(frozen=True)
class LogRatios:
    """Log ratios of densities at both draws of each pair, (2, p).

    Args:
        component: log p(z|i) / p(z).
        others: log p(z|i) / p(z|not i); None for a single component.
        label: log p(z|c_i) / p(z); None without labels.
    """

    component: Float[np.ndarray, "2 p"]
    others: Float[np.ndarray, "2 p"] | None
    label: Float[np.ndarray, "2 p"] | None

    @classmethod
    def of(cls, pairs: Pairs, weights: Float[np.ndarray, " m"], labels: Int[np.ndarray, " m"] | None) -> LogRatios:
        """From the sums of densities at the draws."""
        log_weights = np.log(weights)[pairs.owner][None, :]
        everything = np.logaddexp(log_weights, pairs.sums)
        others = np.log1p(-weights)[pairs.owner][None, :] - pairs.sums if len(weights) > 1 else None
        if labels is None:
            return cls(-everything, others, None)
        class_weights = np.log(np.bincount(labels, weights=weights)[labels])[pairs.owner][None, :]
        return cls(-everything, others, np.logaddexp(log_weights, pairs.same) - class_weights - everything)


def controls_of(
    squared_noise: Float[np.ndarray, " p"],
    owner: Int[np.ndarray, " p"],
    outputs: int,
    log_variance: Float[np.ndarray, " m"],
) -> Float[np.ndarray, "4 p"]:
    """Functions of each pair's squared noise whose means are 0, alone and times the component's log width.

    The squared noise is chi-squared with C degrees of freedom: its excess over C, and the second Legendre polynomial of
    its distribution function, which is bounded (the square of the excess has tails too heavy to fit slopes with).
    """
    place = 2 * gammainc(0.5 * outputs, 0.5 * squared_noise) - 1
    width = (log_variance - np.mean(log_variance))[owner]
    excess, curve = squared_noise - outputs, 1.5 * place * place - 0.5
    return np.stack([excess, excess * width, curve, curve * width])


def stratified(
    values: Float[np.ndarray, "2 p"],
    owner: Int[np.ndarray, " p"],
    weights: Float[np.ndarray, " m"],
    controls: Float[np.ndarray, "4 p"],
) -> tuple[float, float]:
    """Weighted average over components of the average over their pairs, and its standard error.

    The variance is raised by one standard error of its own, which matters where few draws carry it.
    """
    corrected = _corrected(values, owner, weights, controls)
    number = np.bincount(owner, minlength=len(weights))
    mean = _by_owner(corrected, owner, number)
    value = float(np.sum(weights * mean))
    if not np.all(np.isfinite(corrected)):
        return value, np.inf
    share = (weights**2 / (number * (number - 1.0)))[owner]
    squares = share * (corrected - mean[owner]) ** 2
    variance = np.sum(squares) + np.sqrt(np.sum(squares * squares))
    return value, float(np.hypot(np.sqrt(variance), ROUNDING * (1 + abs(value))))


def by_component(
    values: Float[np.ndarray, "2 p"],
    owner: Int[np.ndarray, " p"],
    weights: Float[np.ndarray, " m"],
    controls: Float[np.ndarray, "4 p"],
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Average over the pairs of each component alone, and its standard error."""
    corrected = _corrected(values, owner, weights, controls)
    number = np.bincount(owner, minlength=len(weights))
    mean = _by_owner(corrected, owner, number)
    squares = _by_owner((corrected - mean[owner]) ** 2, owner, number)
    return mean, np.hypot(np.sqrt(squares / (number - 1.0)), ROUNDING * (1 + np.abs(mean)))


def _by_owner(
    values: Float[np.ndarray, " p"], owner: Int[np.ndarray, " p"], number: Int[np.ndarray, " m"]
) -> Float[np.ndarray, " m"]:
    return np.bincount(owner, weights=values, minlength=len(number)) / np.maximum(number, 1)


def _corrected(
    values: Float[np.ndarray, "2 p"],
    owner: Int[np.ndarray, " p"],
    weights: Float[np.ndarray, " m"],
    controls: Float[np.ndarray, "4 p"],
) -> Float[np.ndarray, " p"]:
    """Averages of antithetic pairs, less the part that the control variates explain.

    The slopes of one half of the draws are fitted on the other half, so that the correction adds no bias.
    """
    pairs = 0.5 * (values[0] + values[1])
    if not np.all(np.isfinite(pairs)):
        return pairs
    number = np.bincount(owner, minlength=len(weights))
    # Within a component there may be too few pairs to part; then the components themselves are parted.
    first = (_rank(owner, number) if number.min() >= ENOUGH else owner) % 2 == 0
    scale = (weights / number)[owner]
    even = _slopes(pairs, owner, scale, controls, ~first) @ controls
    return pairs - np.where(first, even, _slopes(pairs, owner, scale, controls, first) @ controls)


def _rank(owner: Int[np.ndarray, " p"], number: Int[np.ndarray, " m"]) -> Int[np.ndarray, " p"]:
    """How many pairs of the same component come before each."""
    order = np.argsort(owner, kind="stable")
    rank = np.empty_like(owner)
    rank[order] = np.arange(len(owner)) - np.repeat(np.cumsum(number) - number, number)
    return rank


def _slopes(
    pairs: Float[np.ndarray, " p"],
    owner: Int[np.ndarray, " p"],
    scale: Float[np.ndarray, " p"],
    controls: Float[np.ndarray, "4 p"],
    chosen: Bool[np.ndarray, " p"],
) -> Float[np.ndarray, " 4"]:
    """Least squares of the chosen pairs on their controls, both less their means within components."""
    owner, scale = owner[chosen], scale[chosen]
    number = np.bincount(owner)
    wanted, *columns = (
        scale * (row - _by_owner(row, owner, number)[owner]) for row in (pairs[chosen], *controls[:, chosen])
    )
    matrix = np.stack(columns)
    return np.linalg.lstsq(matrix @ matrix.T, matrix @ wanted, rcond=1e-12)[0]
