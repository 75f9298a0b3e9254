"""How far an ensemble of one width is from the law, as numbers whose sampling error is taken out and stated.

Sizes of differences are measured by their squares, averaged over times after the start, test inputs and outputs. The
square of a noisy difference is too large by the noise; products of differences between two disjoint groups of members
are not. So each square is a U-statistic of order two over groups of members, unbiased at any width, possibly negative,
and its variance is Hoeffding's: also right where there is nothing but noise, where the jackknife's is twice as large.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ntkinfo.core.arrays import to_numpy
from ntkinfo.finite.comparison_divergence import divergence_per_input
from ntkinfo.finite.comparison_members import LawMembers
from ntkinfo.finite.comparison_moments import Moments
from ntkinfo.training.output_distribution import OutputDistribution

_MOST_GROUPS, _LEAST_GROUPS, _LEAST_SIZE = 32, 6, 4


@dataclass(frozen=True)
class Measured:
    """A discrepancy at one width.

    Args:
        value: the mean square of a difference, or a relative entropy in nats; below 0 by chance where it is small.
        standard_error: one standard deviation of its sampling error.
        members: number of members that it was measured on.
    """

    value: float
    standard_error: float
    members: int


def discrepancies(
    test: Float[np.ndarray, "t m p c"],
    law: OutputDistribution,
    *,
    train: Float[np.ndarray, "t m n c"] | None = None,
    linearised: Float[np.ndarray, "t m p c"] | None = None,
    kernel_drift: Float[np.ndarray, "t m"] | None = None,
    kernel_start_error: Float[np.ndarray, " m"] | None = None,
) -> dict[str, Measured]:
    """Measure every discrepancy that the arrays allow.

    Args:
        test: (T, M, p, C), members' outputs on the test inputs of the law, at its times.
        law: of infinite width.
        train: (T, M, n, C), the same on the training inputs. Where the first time is 0 they make the mean precise:
            what the law's affine map makes of each member's own start has exactly the law's mean, as outputs average
            to 0 at the start, and is subtracted first. That takes a readout of mean 0, which every description of a
            network has.
        linearised: the same of the members' linearised twins.
        kernel_drift: (T, M), relative change of each member's tangent kernel from its start.
        kernel_start_error: (M,), relative distance of that start from the limit.

    Returns:
        By name: "mean" ((m − μ)/√v, squared), "variance" ((s² − v)/v, squared), "kurtosis" (fourth cumulant over v²,
        squared), "divergence" (KL of the fitted Gaussian from the law in nats, an input), "kernel drift", "kernel
        start" and "linearised twin" (distance over √v), squared. Times before the first step are left out.

    Raises:
        ValueError: fewer than 24 members, or no time after the start.
    """
    later = np.flatnonzero(np.asarray(law.times) > 0)
    if not len(later):
        raise ValueError("times hold nothing but the start, where there is nothing to compare; record later times")
    mean, variance = to_numpy(law.mean)[later], to_numpy(law.variance)[later]
    left = (np.asarray(test, dtype=np.float64)[later] - mean[:, None]) / np.sqrt(variance)[:, None, :, None]
    members, grouped = left.shape[1], _grouped(left)
    moved = left if train is None else _less_the_start(left, test, train, law, later)
    found = {
        "mean": _square(_flat(_grouped(moved).mean(axis=2)), members),
        "variance": _square(_flat(_variances(grouped) - 1), members),
        "kurtosis": _square(_flat(_fourth_cumulants(grouped)), members),
        "divergence": _divergence(grouped, members),
    }
    if linearised is not None:
        apart = np.asarray(test, dtype=np.float64)[later] - np.asarray(linearised, dtype=np.float64)[later]
        found["linearised twin"] = _average(np.mean(apart**2 / variance[:, None, :, None], axis=(0, 2, 3)))
    if kernel_drift is not None:
        found["kernel drift"] = _average(np.mean(np.asarray(kernel_drift, dtype=np.float64)[later] ** 2, axis=0))
    if kernel_start_error is not None:
        found["kernel start"] = _average(np.asarray(kernel_start_error, dtype=np.float64) ** 2)
    return found


def _less_the_start(
    left: np.ndarray, test: np.ndarray, train: np.ndarray, law: OutputDistribution, later: np.ndarray
) -> np.ndarray:
    """Standardised differences from the law's mean, less what the law's map makes of the members' own starts."""
    source = LawMembers(law, chosen=tuple(int(index) for index in later))
    if law.times[0] != 0 or not source.joint:
        return left
    start = [np.asarray(one[0], dtype=np.float64) for one in (train, test)]
    mean, variance = to_numpy(law.mean)[later], to_numpy(law.variance)[later]
    followed = source.follow(*start)["test"] - mean[:, None]
    return left - followed / np.sqrt(variance)[:, None, :, None]


def square_of_mean(differences: Float[np.ndarray, "g k"]) -> tuple[float, float]:
    """Unbiased estimate of the mean square of E[difference], and its standard error.

    Args:
        differences: (G, K), independent unbiased estimates of the same K numbers from G ≥ 6 groups.

    Source: Hoeffding 1948, for the variance of a U-statistic of order two, solved for its two parts.
    """
    count = len(differences)
    products = differences @ differences.T / differences.shape[1]
    off = ~np.eye(count, dtype=bool)
    pairs = products[off].reshape(count, count - 1)
    value, rows = float(pairs.mean()), pairs.mean(axis=1)
    among_rows, among_pairs = float(np.var(rows, ddof=1)), float(np.mean((pairs - value) ** 2))
    one, two = 4 * (count - 2) / (count * (count - 1)), 2 / (count * (count - 1))
    # Expectations of both spreads in terms of the two parts ζ₁ and ζ₂.
    system = np.array([[(count - 2) * (count - 4), count - 2], [-one * (count - 1) ** 2, (1 - two) * (count - 1) ** 2]])
    first, second = np.linalg.solve(system / (count - 1) ** 2, [among_rows, among_pairs])
    return value, float(np.sqrt(one * max(first, 0.0) + two * max(second, 0.0)))


def _grouped(left: Float[np.ndarray, "t m p c"]) -> Float[np.ndarray, "t g s p c"]:
    members = left.shape[1]
    groups = min(_MOST_GROUPS, members // _LEAST_SIZE)
    if groups < _LEAST_GROUPS:
        raise ValueError(
            f"{members} members are too few to tell a difference from noise; take at least "
            f"{_LEAST_GROUPS * _LEAST_SIZE}"
        )
    size = members // groups
    return left[:, : groups * size].reshape(len(left), groups, size, *left.shape[2:])


def _flat(parts: Float[np.ndarray, "t g ..."]) -> Float[np.ndarray, "g k"]:
    return np.moveaxis(parts, 1, 0).reshape(parts.shape[1], -1)


def _variances(grouped: np.ndarray) -> Float[np.ndarray, "t g p"]:
    return grouped.var(axis=2, ddof=1).mean(axis=-1)


def _fourth_cumulants(grouped: np.ndarray) -> Float[np.ndarray, "t g p"]:
    """Fisher's k₄, unbiased, averaged over the outputs."""
    n = grouped.shape[2]
    square = (grouped - grouped.mean(axis=2, keepdims=True)) ** 2
    second, fourth = square.mean(axis=2), (square * square).mean(axis=2)
    cumulant = n**2 * ((n + 1) * fourth - 3 * (n - 1) * second**2) / ((n - 1) * (n - 2) * (n - 3))
    return cumulant.mean(axis=-1)


def _square(differences: np.ndarray, members: int) -> Measured:
    return Measured(*square_of_mean(differences), members)


def _average(each: Float[np.ndarray, " m"]) -> Measured:
    return Measured(float(each.mean()), float(each.std(ddof=1) / np.sqrt(len(each))), len(each))


def _divergence(grouped: Float[np.ndarray, "t g s p c"], members: int) -> Measured:
    """KL per input, its bias taken out by leaving groups out (jackknife), which holds whatever the members' law."""
    size = grouped.shape[2]
    first, second = grouped.sum(axis=2), (grouped * grouped).sum(axis=2)
    total, count = (first.sum(axis=1), second.sum(axis=1)), grouped.shape[1]

    def average(one: np.ndarray, two: np.ndarray, number: int) -> float:
        return float(np.mean(divergence_per_input(_moments(one, two, number), np.ones(one.shape[:2]))))

    whole = average(*total, count * size)
    without = np.array(
        [average(total[0] - first[:, g], total[1] - second[:, g], (count - 1) * size) for g in range(count)]
    )
    pseudo = count * whole - (count - 1) * without
    return Measured(float(pseudo.mean()), float(pseudo.std(ddof=1) / np.sqrt(count)), members)


def _moments(first: np.ndarray, second: np.ndarray, number: int) -> Moments:
    """Mean and variance of standardised outputs by their sums; the shape is not needed."""
    offset = first / number
    variance = ((second - number * offset**2) / (number - 1)).mean(axis=-1)
    nothing = np.full(variance.shape, np.nan)
    return Moments(offset, variance, nothing, nothing, nothing, number)
