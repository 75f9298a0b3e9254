"""Mutual information of samples by distances to nearest neighbours, aware of ties; between vectors, or with a class.

Around each sample i the estimator takes the distance to its k-th nearest neighbour among the joint samples (largest
difference of a coordinate), and counts how many samples lie within that distance in x alone and in y alone. Where
samples tie at that distance, as with rounded or discrete data, no ball holds exactly k: the count jumps from c < k to
c + s ≥ k at once. The estimator is then what it would be on average if each tied sample were spread over the cell that
it was rounded from, which leaves the information as it is: the k-th neighbour is the (k − c)-th of s that lie evenly in
the volume (product of the marginal counts) between the two balls. With k or more samples at distance 0 this is the rule
of Gao et al. for mixtures, and the plug-in value for discrete data; without ties it is Kraskov's estimator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import digamma

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array
from ntkinfo.core.labels import class_numbers
from ntkinfo.core.records import Estimate
from ntkinfo.information.neighbour_counts import Cloud, tied, tied_log_volume
from ntkinfo.information.neighbour_scales import SCALES, Side, determined

PARTS = 16  # into which draws are parted for the standard error


@dataclass(frozen=True)
class NeighbourInformation:
    """I(X;Y) in nats from n independent draws.

    Args:
        value: the estimate, not clipped: it may be below 0. The standard error is sampling error alone, not bias: from
            the scatter of estimates on 16 disjoint parts, within a third or so of the truth where the bias is small;
            with too few draws for that, from the scatter between draws (`method` says which); never below 1/n, the
            order of the bias of counts. Both are infinite where X and Y hold functions of each other that take no value
            twice.
        tied: how many samples have others at exactly the distance of their k-th neighbour.
        neighbours: k.
        tie_bias: the same estimate with Y put in random order, where samples tie (0 where none does): its distance from
            0, the right value there, is what ties do to it, up to its own scatter of about one standard error.
        caveat: when the value is off by more than its standard error.
    """

    value: Estimate
    tied: int
    neighbours: int
    tie_bias: float = 0.0
    caveat: str = (
        "biased towards 0 where the information is large against log n or the dimension is high: the standard error "
        "does not cover that. For activations that are functions of X the true value is H(X) or infinite, and the "
        "estimate only grows with log n"
    )


@checked
def neighbour_information(
    x: Array | Sequence, y: Array | Sequence, neighbours: int = 4, scale: str = "spread"
) -> NeighbourInformation:
    """Estimate I(X;Y) in nats from n independent draws of real vectors.

    Args:
        x: draws of X, (n, dx).
        y: the draws of Y that belong to them, (n, dy).
        neighbours: k, from 1 to n − 1. More neighbours: less scatter, more bias.
        scale: distances are the largest difference of a coordinate, so scales matter to the estimate, though not to the
            information. "spread" divides each coordinate by its deviation (of its middle quantiles, which single large
            values do not change), "ranks" puts normal quantiles of its ranks in its place (for heavy tails), "given"
            takes the numbers as they stand. `method` says which.

    Returns:
        The estimate, its standard error, and how many samples tie.

    Raises:
        ValueError: shapes that do not fit, NaN, infinity or masked entries, fewer than two samples, k out of range, an
            unknown scale.
        TypeError: what is no array of real numbers.

    Fails when dimensions are high (10 or so for a thousand draws) or tails are heavy: the estimate is then too small.
    Transform heavy tails first, or use `scale="ranks"`; the information does not change. Functions of each other are
    seen if they are monotone in single coordinates or linear in several; of others the estimate only grows with log n.
    Source: Kraskov, Stögbauer & Grassberger 2004 (their first estimator); Gao, Kannan, Oh & Viswanath 2017 for samples
    that tie at distance 0. Between those two a tie at a positive distance is resolved as for samples spread evenly over
    the cells that they were rounded from.
    """
    checks.choice("scale", scale, SCALES)
    left, right = Side.of("x", x, scale), Side.of("y", y, scale)
    n = len(left.values)
    checks.shape("y", right.values, (n, None), "one row for each row of x")
    _check_neighbours(neighbours, n - 1)
    terms, ties = _pair_terms(left, right, neighbours)
    if reason := determined(left, right):
        return _infinite(reason, ties, neighbours)
    parts = []
    if n >= PARTS * (neighbours + 5):
        parts = [float(np.mean(_pair_terms(left[k::PARTS], right[k::PARTS], neighbours)[0])) for k in range(PARTS)]
    bias = 0.0
    if ties:
        bias = float(np.mean(_pair_terms(left, right[np.random.default_rng(0).permutation(n)], neighbours)[0]))
    return _estimate(terms, ties, neighbours, parts, bias, scale)


@checked
def neighbour_information_classes(
    x: Array | Sequence, labels: Array | Sequence, neighbours: int = 4, scale: str = "spread"
) -> NeighbourInformation:
    """Estimate I(X;Y) in nats from n independent draws of a real vector X and a class Y.

    Args:
        x: draws of X, (n, dx).
        labels: the class that belongs to each, (n,), any integers or text.
        neighbours: k. In a class of fewer than k + 1 samples it is the number of the others.
        scale: of the coordinates of x, as in `neighbour_information`.

    Returns:
        The estimate, its standard error, and how many samples tie.

    Raises:
        ValueError: shapes that do not fit, NaN, infinity or masked entries, in labels too, a class with one sample
            only, k below 1, an unknown scale.
        TypeError: what is no array of real numbers, labels that name no class.

    Fails when and Source: as `neighbour_information`; Ross 2014 for classes.
    """
    checks.choice("scale", scale, SCALES)
    points = Side.of("x", x, scale)
    n = len(points.values)
    classes, values = class_numbers("labels", labels, n, "one class for each row of x")
    checks.whole("neighbours", neighbours)
    sizes = np.bincount(classes)
    if sizes.min() < 2:
        raise ValueError(f"class {values[np.argmin(sizes)]} has one sample, which has no neighbour; leave it out")
    terms, ties = _class_terms(points, classes, neighbours)
    parts = []
    if sizes.min() >= PARTS * (neighbours + 5):
        place = np.empty(n, dtype=np.int64)
        place[np.argsort(classes, kind="stable")] = np.arange(n)
        chosen = [place % PARTS == k for k in range(PARTS)]
        parts = [float(np.mean(_class_terms(points[part], classes[part], neighbours)[0])) for part in chosen]
    bias = 0.0
    if ties:
        bias = float(np.mean(_class_terms(points, np.random.default_rng(0).permutation(classes), neighbours)[0]))
    return _estimate(terms, ties, neighbours, parts, bias, scale)


def _pair_terms(x: Side, y: Side, neighbours: int) -> tuple[Float[np.ndarray, " n"], int]:
    """What each draw adds to the estimate, and how many draws tie."""
    rounding = np.maximum(x.rounding, y.rounding)
    joint = Cloud.of(np.concatenate([x.values, y.values], axis=1))
    sides = [(Cloud.of(side.values), side.values) for side in (x, y)]
    n, everyone = len(rounding), np.arange(len(rounding))
    shells = _shells(joint, everyone, rounding, neighbours)
    inner, outer = np.zeros(n), np.zeros(n)
    for cloud, values in sides:
        counts = _side_counts(cloud, values, everyone, shells)
        inner, outer = inner + counts[0], outer + counts[1]
    terms = digamma(neighbours) + digamma(n) - tied_log_volume(inner, outer, shells.before, shells.after)
    return terms, int(np.sum(shells.tied))


def _class_terms(x: Side, classes: Int[np.ndarray, " n"], neighbours: int) -> tuple[Float[np.ndarray, " n"], int]:
    """The same with distances to neighbours of the same class; classes are numbered from 0, none is empty."""
    everything, sizes, terms, ties = Cloud.of(x.values), np.bincount(classes), np.empty(len(classes)), 0
    for kind, size in enumerate(sizes):
        rows = np.flatnonzero(classes == kind)
        k = min(neighbours, int(size) - 1)
        shells = _shells(Cloud.of(x.values[rows]), np.arange(size), x.rounding[rows], k)
        shells.kth[:] = rows[shells.kth]
        inner, outer = _side_counts(everything, x.values, rows, shells)
        volume = tied_log_volume(inner, outer, shells.before, shells.after)
        terms[rows] = digamma(k) + digamma(len(classes)) - digamma(size) - volume
        ties += int(np.sum(shells.tied))
    return terms, ties


@dataclass(frozen=True, eq=False)
class _Shells:
    """Where the k-th neighbour of each draw lies.

    Args:
        distance: of the k-th neighbour, (n,).
        slack: by which equal distances can differ, (n,).
        before: place of the k-th neighbour among the draws at its distance, from 1, (n,).
        after: their number less `before`, plus 1, (n,).
        kth: a draw at that distance, (n,).
        tied: whether the draws at that distance are several, or it is 0, (n,).
    """

    distance: Float[np.ndarray, " n"]
    slack: Float[np.ndarray, " n"]
    before: Int[np.ndarray, " n"]
    after: Int[np.ndarray, " n"]
    kth: Int[np.ndarray, " n"]
    tied: np.ndarray

    @property
    def inside(self) -> Float[np.ndarray, " n"]:
        """The largest distance that is nearer, (n,); negative where there is none."""
        return _below(self.distance, self.slack)


def _below(distance: Float[np.ndarray, " n"], slack: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    return np.where(distance > slack, distance - slack, -1.0)


def _shells(joint: Cloud, everyone: Int[np.ndarray, " n"], rounding: Float[np.ndarray, " n"], k: int) -> _Shells:
    n = len(everyone)
    distance, slack, kth = np.zeros(n), np.array(rounding), np.array(everyone)
    before, after = np.full(n, k), joint.beside(everyone) - k
    ties = after > 0  # k others equal the draw
    rest = np.flatnonzero(~ties)
    if len(rest):
        found, kth[rest] = joint.nearest(rest, k)
        distance[rest] = found[:, k - 1]
        slack[rest] += 1e-15 * distance[rest]
        ties[rest] = tied(found, k, slack[rest])
        before[rest], after[rest] = 1, 1
        rows = rest[ties[rest]]
        inside = np.maximum(joint.within(rows, _below(distance[rows], slack[rows])) - 1, 0)
        before[rows] = k - inside
        after[rows] = joint.within(rows, distance[rows] + slack[rows]) - k
    return _Shells(distance, slack, before, after, kth, ties)


def _side_counts(
    cloud: Cloud, values: Float[np.ndarray, "n d"], rows: Int[np.ndarray, " r"], shells: _Shells
) -> tuple[Float[np.ndarray, " r"], Float[np.ndarray, " r"]]:
    """Digamma of how many draws of one variable are nearer than the shell, and no further than it.

    Digamma of 1 + Poisson(λ) averages log λ, and a draw counts itself. The k-th neighbour itself is counted with
    neither where it is the shell of this variable; at distance 0 it is, as for discrete draws.
    """
    inside = cloud.within(rows, shells.inside)
    outside = inside
    if cloud.repeats or np.any(shells.tied):
        reach = np.max(np.abs(values[rows] - values[shells.kth]), axis=1)
        at_shell = (reach >= shells.distance - shells.slack) & (shells.distance > shells.slack)
        outside = cloud.within(rows, shells.distance + shells.slack) - at_shell
    with np.errstate(divide="ignore"):
        inner = np.where(inside > 0, digamma(np.maximum(inside, 1)), -np.inf)
    return inner, digamma(np.maximum(outside, np.maximum(inside, 1)))


def _estimate(
    terms: Float[np.ndarray, " n"], ties: int, neighbours: int, parts: list[float], bias: float, scale: str
) -> NeighbourInformation:
    within = len(parts) == 0
    error = np.std(terms, ddof=1) / np.sqrt(len(terms)) if within else np.std(parts, ddof=1) / np.sqrt(PARTS)
    source = "scatter of draws" if within else f"scatter of {PARTS} parts"
    scales = {"spread": "coordinates by their spread", "ranks": "coordinates by their ranks", "given": "as given"}
    method = f"nearest neighbours, k = {neighbours}, {scales[scale]}; error from the {source}"
    method += f"; {ties} samples tie, bias {bias:.2g} where x and y are independent" if ties else ""
    value = Estimate(float(np.mean(terms)), max(float(error), 1 / len(terms)), "estimate", method)
    return NeighbourInformation(value, ties, neighbours, bias)


def _infinite(reason: str, ties: int, neighbours: int) -> NeighbourInformation:
    method = f"infinite: {reason}, and no value of it repeats; neighbours would give a number that grows with log n"
    return NeighbourInformation(Estimate(np.inf, np.inf, "estimate", method), ties, neighbours)


def _check_neighbours(neighbours: int, most: int) -> None:
    checks.whole("neighbours", neighbours)
    if neighbours > most:
        raise ValueError(f"neighbours is {neighbours}; with {most + 1} draws each has {most} others at most")
