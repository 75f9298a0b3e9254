"""Deterministic pairwise bounds on the information that a Gaussian mixture carries about its component."""

from __future__ import annotations

from jaxtyping import Float

from ntkinfo.core.arrays import Array, namespace

PAIRS_AT_ONCE = 1 << 17


def pairwise_information(
    mean: Float[Array, "m C"], variance: Float[Array, " m"], weights: Float[Array, " m"]
) -> tuple[float, float]:
    """Lower and upper bound on the information between a draw of the mixture and the index of its component, in nats.

    `-sum_i w_i log sum_j w_j exp(-D(p_i, p_j))` with the Bhattacharyya distance (lower) and the relative entropy
    (upper). Adding the entropy of one component on average gives the bounds on the differential entropy of the mixture.

    Args:
        mean: centres of the components, (m, C).
        variance: their variances, the same in every direction, (m,), all above zero.
        weights: their probabilities, (m,), summing to one.

    Returns:
        The two bounds. Both lie between 0 and the entropy of the weights, and are equal when the components are
        identical or far apart.

    Source: Kolchinsky & Tracey 2017, "Estimating mixture entropy with pairwise distances"; theory §3 (c).
    """
    xp = namespace(mean, variance, weights)
    rows = max(1, PAIRS_AT_ONCE // len(mean))
    lower, upper = 0.0, 0.0
    for start in range(0, len(mean), rows):
        part = slice(start, start + rows)
        squared = _squared_distances(mean[part], mean)
        own, other = variance[part][:, None], variance[None, :]
        overlap = xp.exp(-_bhattacharyya(squared, own, other, mean.shape[1]))
        lower += float(xp.sum(weights[part] * -xp.log(xp.matmul(overlap, weights))))
        overlap = xp.exp(-_relative_entropy(squared, own, other, mean.shape[1]))
        upper += float(xp.sum(weights[part] * -xp.log(xp.matmul(overlap, weights))))
    return lower, upper


def _squared_distances(rows: Float[Array, "a C"], columns: Float[Array, "b C"]) -> Float[Array, "a b"]:
    """By differences, output by output: the expanded square would lose every digit of the nearest neighbours."""
    total = (rows[:, 0][:, None] - columns[:, 0][None, :]) ** 2
    for c in range(1, rows.shape[1]):
        difference = rows[:, c][:, None] - columns[:, c][None, :]
        total = total + difference * difference
    return total


def _bhattacharyya(
    squared: Float[Array, "a b"], own: Float[Array, "a 1"], other: Float[Array, "1 b"], outputs: int
) -> Float[Array, "a b"]:
    """-log of the integral of sqrt(p q); exactly 0 for equal components."""
    xp = namespace(squared, own, other)
    mean_variance = 0.5 * (own + other)
    widths = xp.log(mean_variance) - (0.5 * xp.log(own) + 0.5 * xp.log(other))
    return squared / (8 * mean_variance) + 0.5 * outputs * widths


def _relative_entropy(
    squared: Float[Array, "a b"], own: Float[Array, "a 1"], other: Float[Array, "1 b"], outputs: int
) -> Float[Array, "a b"]:
    """KL(own || other); exactly 0 for equal components."""
    xp = namespace(squared, own, other)
    widths = (own - other) / other - (xp.log(own) - xp.log(other))
    return 0.5 * (squared / other + outputs * widths)
