"""Averages over antithetic pairs of draws from the components of a mixture, with control variates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import gammainc, ndtr, stdtrit

from ntkinfo.information.mixture_draws import Pairs

ROUNDING = 1e-15  # of an average whose draws all agree; part of every standard error
ENOUGH = 8  # pairs in every component from which on slopes are fitted within components
PAIRS_OF_A_SLOPE = 16  # degrees of freedom that a slope takes: fitted on fewer it adds more scatter than it removes


@dataclass(frozen=True)
class LogRatios:
    """Averages over which component a draw z came from, given z and over which it did; at both draws of each pair.

    Args:
        component: KL(p(i|z) ‖ w), the average over i given z of log p(z|i) / p(z); between 0 and the largest -log w_i.
        label: KL(p(c|z) ‖ w_c) of the labels' probabilities; None without labels.
        own: log p(z|i) / p(z) of the component that z was drawn from.
        own_label: log p(z|c_i) / p(z) of its label; None without labels.
        others: log p(z|i) / p(z|not i); None for a single component.

    The average of `component` over draws of all components is that of `own`, but what a rare draw adds to `own` is
    spread over the draws of the components that it is taken for: no single draw carries more than a bounded share.
    """

    component: Float[np.ndarray, "2 p"]
    label: Float[np.ndarray, "2 p"] | None
    own: Float[np.ndarray, "2 p"]
    own_label: Float[np.ndarray, "2 p"] | None
    others: Float[np.ndarray, "2 p"] | None

    @classmethod
    def of(cls, pairs: Pairs, weights: Float[np.ndarray, " m"], labels: Int[np.ndarray, " m"] | None) -> LogRatios:
        """From the sums of densities at the draws."""
        log_weights, sums = np.log(weights)[pairs.owner][None, :], pairs.at_draws
        everything = np.logaddexp(log_weights, sums.others)
        component = np.exp(np.minimum(sums.others - everything, 0.0)) * sums.mean - everything
        others = np.log1p(-weights)[pairs.owner][None, :] - sums.others if len(weights) > 1 else None
        if labels is None:
            return cls(component, None, -everything, None, others)
        class_weights = np.log(np.bincount(labels, weights=weights)[labels])[pairs.owner][None, :]
        own_class = np.logaddexp(log_weights, sums.same) - everything
        own = own_class - class_weights
        between = np.exp(np.minimum(sums.apart - everything, 0.0)) * (sums.between - everything)
        return cls(component, np.exp(np.minimum(own_class, 0.0)) * own + between, -everything, own, others)


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
    return np.stack([excess, curve, excess * width, curve * width])


def stratified(
    values: Float[np.ndarray, "2 p"],
    owner: Int[np.ndarray, " p"],
    weights: Float[np.ndarray, " m"],
    controls: Float[np.ndarray, "4 p"],
) -> tuple[float, float]:
    """Weighted average over components of the average over their pairs, and its standard error.

    The variance is raised by one standard error of its own, which matters where few draws carry it, and the error by
    what Student's t has beyond two deviations of a normal, with the degrees of freedom of Satterthwaite.
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
    of_component = np.bincount(owner, weights=squares, minlength=len(weights))
    spread = np.sum(of_component**2 / (number - 1.0))
    freedom = np.sum(squares) ** 2 / spread if spread > 0 else np.inf
    return value, float(np.hypot(_student(float(freedom)) * np.sqrt(variance), ROUNDING * (1 + abs(value))))


def _student(freedom: float) -> float:
    """Quantile of Student's t over that of the normal, at two deviations."""
    return float(stdtrit(min(freedom, 1e6), ndtr(2.0))) / 2.0


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


def moved_to(
    total: float, averages: Float[np.ndarray, "2 m"], weights: Float[np.ndarray, " m"]
) -> tuple[Float[np.ndarray, "2 m"], Float[np.ndarray, " m"]]:
    """Averages and their standard errors, moved so that their weighted sum is `total`; and by how much each moves.

    Each moves by the same multiple of its standard error, the least that will do; that much scatter is added to it.
    """
    mean, error = averages[0], np.hypot(averages[1], ROUNDING * (1 + np.abs(averages[0])))
    shift = (total - np.sum(weights * mean)) * error / np.sum(weights * error)
    return np.stack([mean + shift, np.hypot(error, shift)]), shift


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
    free = min(int(np.sum(side)) - len(np.unique(owner[side])) for side in (first, ~first))
    controls = controls[: max(free, 0) // PAIRS_OF_A_SLOPE]
    if not len(controls):
        return pairs
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
    controls: Float[np.ndarray, "k p"],
    chosen: Bool[np.ndarray, " p"],
) -> Float[np.ndarray, " k"]:
    """Least squares of the chosen pairs on their controls, both less their means within components."""
    owner, scale = owner[chosen], scale[chosen]
    number = np.bincount(owner)
    wanted, *columns = (
        scale * (row - _by_owner(row, owner, number)[owner]) for row in (pairs[chosen], *controls[:, chosen])
    )
    matrix = np.stack(columns)
    return np.linalg.lstsq(matrix @ matrix.T, matrix @ wanted, rcond=1e-12)[0]
