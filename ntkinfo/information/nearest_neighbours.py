"""Mutual information of samples by distances to nearest neighbours, aware of ties; between vectors, or with a class.

Around each sample i the estimator takes the distance to its k-th nearest neighbour among the joint samples (largest
difference of a coordinate), and counts how many samples lie within that distance in x alone and in y alone. Samples
that tie at the distance break the law of those counts. For them the number of tied samples takes the place of k, as in
estimators for mixtures of discrete and continuous laws.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import KDTree
from scipy.special import digamma

from ntkinfo.core import checks
from ntkinfo.core.arrays import Array, to_numpy
from ntkinfo.core.records import Estimate

PARTS = 16  # into which draws are parted for the standard error


@dataclass(frozen=True)
class NeighbourInformation:
    """I(X;Y) in nats from n independent draws.

    Args:
        value: the estimate, not clipped: it may be below 0. The standard error is sampling error alone, not bias: from
            the scatter of estimates on 16 disjoint parts, within a third or so of the truth where the bias is small;
            with too few draws for that, from the scatter between draws (`method` says which).
        tied: how many samples have others at exactly the distance of their k-th neighbour.
        neighbours: k.
        caveat: when the value is off by more than its standard error.
    """

    value: Estimate
    tied: int
    neighbours: int
    caveat: str = (
        "biased towards 0 where the information is large against log n or the dimension is high: the standard error "
        "does not cover that. For activations that are functions of X the true value is H(X) or infinite, and the "
        "estimate only grows with log n"
    )


def neighbour_information(
    x: Float[Array, "n dx"], y: Float[Array, "n dy"], neighbours: int = 4
) -> NeighbourInformation:
    """Estimate I(X;Y) in nats from n independent draws of real vectors.

    Args:
        x: draws of X, (n, dx). The largest difference of a coordinate is the distance: give coordinates like scales.
        y: the draws of Y that belong to them, (n, dy).
        neighbours: k, from 1 to n − 1. More neighbours: less scatter, more bias.

    Returns:
        The estimate, its standard error, and how many samples tie.

    Raises:
        ValueError: shapes that do not fit, NaN or infinity, fewer than two samples, k out of range.

    Fails when dimensions are high (10 or so for a thousand draws) or tails are heavy: the estimate is then too small.
    Transform heavy tails first, one coordinate at a time; the information does not change.
    Source: Kraskov, Stögbauer & Grassberger 2004 (their first estimator); Gao, Kannan, Oh & Viswanath 2017 for ties.
    """
    left, right = _checked("x", x), _checked("y", y)
    checks.shape("y", right, (len(left), None), "one row for each row of x")
    _check_neighbours(neighbours, len(left) - 1)
    terms, tied = _pair_terms(left, right, neighbours)
    parts = []
    if len(left) >= PARTS * (neighbours + 5):
        parts = [float(np.mean(_pair_terms(left[k::PARTS], right[k::PARTS], neighbours)[0])) for k in range(PARTS)]
    return _estimate(terms, tied, neighbours, parts)


def neighbour_information_classes(
    x: Float[Array, "n dx"], labels: Int[Array, " n"], neighbours: int = 4
) -> NeighbourInformation:
    """Estimate I(X;Y) in nats from n independent draws of a real vector X and a class Y.

    Args:
        x: draws of X, (n, dx).
        labels: the class that belongs to each, (n,), any integers.
        neighbours: k. In a class of fewer than k + 1 samples it is the number of the others.

    Returns:
        The estimate, its standard error, and how many samples tie.

    Raises:
        ValueError: shapes that do not fit, NaN or infinity, a class with one sample only, k below 1.

    Fails when and Source: as `neighbour_information`; Ross 2014 for classes.
    """
    points = _checked("x", x)
    checks.shape("labels", labels, (len(points),), "one class for each row of x")
    checks.whole("neighbours", neighbours)
    values, classes, sizes = np.unique(to_numpy(labels), return_inverse=True, return_counts=True)
    classes = classes.reshape(-1)
    if sizes.min() < 2:
        raise ValueError(f"class {values[np.argmin(sizes)]} has one sample, which has no neighbour; leave it out")
    terms, tied = _class_terms(points, classes, neighbours)
    parts = []
    if sizes.min() >= PARTS * (neighbours + 5):
        place = np.empty(len(points), dtype=np.int64)
        place[np.argsort(classes, kind="stable")] = np.arange(len(points))
        chosen = [place % PARTS == k for k in range(PARTS)]
        parts = [float(np.mean(_class_terms(points[part], classes[part], neighbours)[0])) for part in chosen]
    return _estimate(terms, tied, neighbours, parts)


def _pair_terms(
    left: Float[np.ndarray, "n dx"], right: Float[np.ndarray, "n dy"], neighbours: int
) -> tuple[Float[np.ndarray, " n"], int]:
    """What each draw adds to the estimate, and how many draws tie."""
    distance, same, tied = _joint(np.concatenate([left, right], axis=1), neighbours)
    counts = [_counts(side, distance, tied) for side in (left, right)]
    terms = digamma(same) + digamma(len(left)) - digamma(counts[0]) - digamma(counts[1])
    return terms, int(np.sum(tied))


def _class_terms(
    points: Float[np.ndarray, "n d"], classes: Int[np.ndarray, " n"], neighbours: int
) -> tuple[Float[np.ndarray, " n"], int]:
    """The same with distances to neighbours of the same class; classes are numbered from 0, none is empty."""
    sizes = np.bincount(classes)
    distance, same, tied = np.empty(len(points)), np.empty(len(points)), np.empty(len(points), dtype=bool)
    for kind, size in enumerate(sizes):
        rows = np.flatnonzero(classes == kind)
        distance[rows], same[rows], tied[rows] = _joint(points[rows], min(neighbours, int(size) - 1))
    counts = _counts(points, distance, tied)
    terms = digamma(same) + digamma(len(points)) - digamma(sizes[classes]) - digamma(counts)
    return terms, int(np.sum(tied))


def _joint(
    points: Float[np.ndarray, "n d"], neighbours: int
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Distance to the k-th neighbour, the number that stands for k, and whether others tie there.

    Where samples tie, the ball up to that distance is a set of fixed size, as with discrete samples; its count with the
    sample itself is then what the counts in x and y are compared with, since digamma of 1 + Poisson(λ) averages log λ.
    """
    n = len(points)
    tree = KDTree(points)
    found = tree.query(points, min(neighbours + 2, n), p=np.inf)[0].reshape(n, -1)
    distance = found[:, neighbours]
    tied = distance == 0
    for other in (neighbours - 1, neighbours + 1):
        if 1 <= other < found.shape[1]:
            tied |= found[:, other] == distance
    same = np.full(n, float(neighbours))
    if np.any(tied):
        same[tied] = tree.query_ball_point(points[tied], distance[tied], p=np.inf, return_length=True)
    return distance, same, tied


def _counts(
    side: Float[np.ndarray, "n d"], distance: Float[np.ndarray, " n"], tied: Bool[np.ndarray, " n"]
) -> Int[np.ndarray, " n"]:
    """How many samples, itself among them, are nearer than the distance; for tied samples no further than it."""
    # The tree compares differences as they were formed for the distance: x − radius in a sorted column would round.
    radius = np.where(tied, distance, np.nextafter(distance, 0))
    counts = KDTree(side).query_ball_point(side, radius, p=np.inf, return_length=True)
    return np.asarray(counts, dtype=np.int64)


def _estimate(terms: Float[np.ndarray, " n"], tied: int, neighbours: int, parts: list[float]) -> NeighbourInformation:
    within = len(parts) == 0
    error = np.std(terms, ddof=1) / np.sqrt(len(terms)) if within else np.std(parts, ddof=1) / np.sqrt(PARTS)
    source = "scatter of draws" if within else f"scatter of {PARTS} parts"
    method = f"nearest neighbours, k = {neighbours}; error from the {source}"
    method += f"; {tied} samples tie" if tied else ""
    return NeighbourInformation(Estimate(float(np.mean(terms)), float(error), "estimate", method), tied, neighbours)


def _checked(name: str, array: Array) -> Float[np.ndarray, "n d"]:
    host = to_numpy(array).astype(np.float64)
    checks.shape(name, host, (None, None), "one row for each draw")
    checks.finite(name, host)
    if len(host) < 2 or host.shape[1] == 0:
        raise ValueError(f"{name} has shape {host.shape}; it needs at least two draws of at least one coordinate")
    return host


def _check_neighbours(neighbours: int, most: int) -> None:
    checks.whole("neighbours", neighbours)
    if neighbours > most:
        raise ValueError(f"neighbours is {neighbours}; with {most + 1} draws each has {most} others at most")
