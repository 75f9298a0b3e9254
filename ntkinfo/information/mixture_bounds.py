"""Deterministic pairwise bounds on the information that a Gaussian mixture carries about its component."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize_scalar

from ntkinfo.core.arrays import Array, namespace, to_numpy
from ntkinfo.information.mixture_pair_sums import RELATIVE_ENTROPY, overlap_sums

PAIRS_AT_ONCE = 1 << 22
SEARCHED = 32  # components on which the order is chosen
ORDERS = (0.02, 0.98)
WORTHWHILE = 1e-3  # nats by which another order must raise the lower bound there to be tried on all
BHATTACHARYYA = 0.5


@dataclass(frozen=True)
class PairwiseBounds:
    """Bounds on the information about the component, and about a label of the component, in nats.

    Args:
        lower: with the Chernoff divergence of the given order.
        upper: with the relative entropy.
        order: of the Chernoff divergence in `lower`; 1/2 is the Bhattacharyya distance.
        label_lower: `lower` less the upper bound of the information about the component within its class; may be
            below 0. None without labels.
        label_upper: `upper` less the lower bound within the class; may be above the entropy of the labels. None
            without labels.
        label_gap: by how much the information about the label falls short of the entropy of the labels at most, from
            the Bhattacharyya coefficients of components with different labels; inf where order 1/2 was not computed,
            None without labels.
    """

    lower: float
    upper: float
    order: float
    label_lower: float | None = None
    label_upper: float | None = None
    label_gap: float | None = None

    def of_label(self, entropy: float) -> tuple[float, float]:
        """Bounds on the information about the label, clipped at 0, the labels' entropy and the bound of the component.

        Args:
            entropy: of the labels, in nats.

        Raises:
            ValueError: bounds without labels.
        """
        if self.label_lower is None or self.label_upper is None:
            raise ValueError("the bounds were computed without labels")
        upper = min(self.label_upper, entropy, self.upper)
        return min(max(self.label_lower, 0.0), upper), upper


def pairwise_information(
    mean: Float[Array, "m C"],
    variance: Float[Array, " m"],
    weights: Float[Array, " m"],
    labels: Int[np.ndarray, " m"] | None = None,
    order: float | None = None,
) -> PairwiseBounds:
    """Lower and upper bound on the information between a draw of the mixture and the index of its component, in nats.

    `-sum_i w_i log sum_j w_j exp(-D(p_i, p_j))`, with D the Chernoff divergence `-log of the integral of p^a q^(1-a)`
    (lower, for every order a between 0 and 1) and the relative entropy (upper). Adding the entropy of one component on
    average gives the bounds on the differential entropy of the mixture.

    Args:
        mean: centres of the components, (m, C).
        variance: their variances, the same in every direction, (m,), all above zero.
        weights: their probabilities, (m,), all above zero, summing to one.
        labels: class of each component, (m,), integers from 0; or None.
        order: order of the lower bound, between 0 and 1; None to choose it: 1/2 where all variances are equal (the best
            there is), else the best on 32 of the components. Any order gives a valid bound, so that the choice
            biases nothing; where it is not 1/2, order 1/2 is computed too and the larger bound returned.

    Returns:
        The bounds. Lower and upper lie between 0 and the entropy of the weights, and are equal when the components are
        identical or far apart. Rounding and pairs left out change them by less than 1e-10.

    Fails when the variances span more than about 1e280 (overflow).
    Source: Kolchinsky & Tracey 2017, "Estimating mixture entropy with pairwise distances"; theory §3 (c).
    """
    chosen = _best_order(mean, variance, weights) if order is None else order
    orders = (chosen,) if order is not None or chosen == BHATTACHARYYA else (BHATTACHARYYA, chosen)
    sums = _sums(mean, variance, weights, labels, (RELATIVE_ENTROPY, *orders))
    share = to_numpy(weights)
    whole = -np.log(sums[:, 0]) @ share
    best = int(np.argmax(whole[1:]))
    lower, upper = float(whole[1 + best]), float(whole[0])
    if labels is None:
        return PairwiseBounds(lower, upper, orders[best])
    classes = np.bincount(labels, weights=share)[labels]
    within = -np.log(sums[:, 1] / classes[None, :]) @ share
    bounds = lower - float(within[0]), upper - float(np.max(within[1:]))
    return PairwiseBounds(lower, upper, orders[best], *bounds, _label_gap(sums, orders, share))


def _label_gap(sums: Float[np.ndarray, "orders 2 m"], orders: tuple[float, ...], share: np.ndarray) -> float:
    """E log(1 + T/p_i) <= E sqrt(T/p_i) <= the sum of sqrt(w_j/w_i) times the Bhattacharyya coefficients, j apart."""
    if BHATTACHARYYA not in orders:
        return np.inf
    whole, within = sums[1 + orders.index(BHATTACHARYYA)]
    apart = np.maximum(whole - within, 0.0)
    return float(np.sum(share * apart / np.sqrt(share * np.min(share))))


def _sums(
    mean: Array, variance: Array, weights: Array, labels: Int[np.ndarray, " m"] | None, orders: tuple[float, ...]
) -> Float[np.ndarray, "orders 2 m"]:
    if namespace(mean, variance, weights) is np:
        mean, variance, weights = (np.asarray(array, dtype=np.float64) for array in (mean, variance, weights))
        return overlap_sums(mean, variance, weights, labels, orders)
    rows = max(1, PAIRS_AT_ONCE // len(mean))
    parts = [np.arange(start, min(start + rows, len(mean))) for start in range(0, len(mean), rows)]
    return np.concatenate([_row_sums(part, mean, variance, weights, labels, orders) for part in parts], axis=2)


def _row_sums(
    part: Int[np.ndarray, " b"],
    mean: Float[Array, "m C"],
    variance: Float[Array, " m"],
    weights: Float[Array, " m"],
    labels: Int[np.ndarray, " m"] | None,
    orders: tuple[float, ...],
) -> Float[np.ndarray, "orders 2 b"]:
    """What `overlap_sums` gives for some of the components, in plain array operations."""
    xp = namespace(mean, variance, weights)
    squared = _squared_distances(mean[part], mean)
    own, other = variance[part][:, None], variance[None, :]
    same = None if labels is None else xp.asarray(labels[part][:, None] == labels[None, :])
    result = []
    for order in orders:
        overlap = xp.exp(-_divergence(squared, own, other, order, mean.shape[1]))
        everything = xp.matmul(overlap, weights)
        within = everything if same is None else xp.matmul(xp.where(same, overlap, 0.0), weights)
        result.append(np.stack([to_numpy(everything), to_numpy(within)]))
    return np.stack(result)


def _best_order(mean: Array, variance: Array, weights: Array) -> float:
    """Order that raises the lower bound most on a few components, spread over all; 1/2 if none is worth the trouble."""
    xp, m = namespace(mean, variance, weights), len(mean)
    if float(xp.min(variance)) == float(xp.max(variance)):
        return BHATTACHARYYA
    part = np.unique(np.linspace(0, m - 1, min(m, SEARCHED)).astype(np.int64))
    squared = _squared_distances(mean[part], mean)
    own, other = variance[part][:, None], variance[None, :]
    share = weights[part] / xp.sum(weights[part])

    def loss(order: float) -> float:
        overlap = xp.exp(-_divergence(squared, own, other, float(order), mean.shape[1]))
        return float(xp.sum(share * xp.log(xp.matmul(overlap, weights))))

    found = minimize_scalar(loss, bounds=ORDERS, method="bounded", options={"xatol": 0.02})
    order = float(found.x)  # pyright: ignore[reportAttributeAccessIssue]
    return order if loss(BHATTACHARYYA) - loss(order) > WORTHWHILE else BHATTACHARYYA


def _squared_distances(rows: Float[Array, "a C"], columns: Float[Array, "b C"]) -> Float[Array, "a b"]:
    """By differences, output by output: the expanded square would lose every digit of the nearest neighbours."""
    total = (rows[:, 0][:, None] - columns[:, 0][None, :]) ** 2
    for c in range(1, rows.shape[1]):
        difference = rows[:, c][:, None] - columns[:, c][None, :]
        total = total + difference * difference
    return total


def _divergence(
    squared: Float[Array, "a b"], own: Float[Array, "a 1"], other: Float[Array, "1 b"], order: float, outputs: int
) -> Float[Array, "a b"]:
    """Chernoff divergence of the given order, own to that power; relative entropy KL(own || other) for order 0."""
    xp = namespace(squared, own, other)
    if order == RELATIVE_ENTROPY:
        widths = (own - other) / other - (xp.log(own) - xp.log(other))
        return 0.5 * (squared / other + outputs * widths)
    between = (1 - order) * own + order * other
    widths = xp.log(between) - ((1 - order) * xp.log(own) + order * xp.log(other))
    return 0.5 * order * (1 - order) * squared / between + 0.5 * outputs * widths
