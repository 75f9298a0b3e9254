"""The Gaussian information bottleneck of a law that is known by samples alone, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import scipy.stats
from jaxtyping import Float

from ntkinfo.bottleneck.gaussian import GaussianBottleneck
from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array, to_numpy

_CANCELLED = 1e-12  # of a variance, in units of the mean square from which it is formed
_PLENTY, _ENOUGH = 10, 4  # samples a column: above which nothing is shrunk, and below which intervals cover too little


@dataclass(frozen=True)
class Interval:
    """A quantity of the law as samples tell it.

    Args:
        value: estimate by the covariances of the samples, with the jackknife's correction of its bias.
        standard_error: of the value, by the jackknife.
        lower: lower end of the interval; can lie below 0 for an information, and is then left there.
        upper: upper end.
        plain: the quantity of the samples' covariances themselves, without correction: biased upwards for an
            information, because chance correlations count as correlations.
        shrunk: the quantity of the bottleneck's covariances, which are shrunk where `shrinkage` is above 0; biased
            downwards for an information, often by far more than the standard error.
        confidence: nominal probability that the interval holds the quantity of the law.
    """

    value: Float[np.ndarray, "*b"]
    standard_error: Float[np.ndarray, "*b"]
    lower: Float[np.ndarray, "*b"]
    upper: Float[np.ndarray, "*b"]
    plain: Float[np.ndarray, "*b"]
    shrunk: Float[np.ndarray, "*b"]
    confidence: float


@dataclass(frozen=True)
class SampledBottleneck:
    """The bottleneck of estimated covariances, and those of the same samples with one group of them left out.

    Args:
        bottleneck: of all samples, shrunk where asked for: take encoders from it.
        plain: of all samples without shrinkage; None where there are no replicates.
        replicates: of the samples without one group each, without shrinkage; none where what is left of the samples is
            no more than the columns, so that covariances are singular.
        shrinkage: how far the joint correlation matrix was moved towards the identity, from 0 to 1.
        samples: their number n.
        confidence: of the intervals.
        notes: what to know about the numbers.
    """

    bottleneck: GaussianBottleneck
    plain: GaussianBottleneck | None
    replicates: tuple[GaussianBottleneck, ...]
    shrinkage: float
    samples: int
    confidence: float
    notes: tuple[str, ...] = ()

    def frontier(self, information_input: Float[Array, "*b"] | float) -> Interval:
        """The largest I(T;Y) at given I(T;X), in nats; see `GaussianBottleneck.frontier`."""
        return self.interval(lambda law: law.frontier(information_input))

    @property
    def mutual_information(self) -> Interval:
        """I(X;Y) in nats."""
        return self.interval(lambda law: np.asarray(law.mutual_information))

    @property
    def correlations(self) -> Interval:
        """Canonical correlations, largest first; as many as all samples show without shrinkage."""
        return self.interval(self._correlations)

    @property
    def critical_betas(self) -> Interval:
        """The betas above which directions are kept, ascending, by their inverses rho².

        Infinite where the estimate or the end of the interval of rho² is 0 or below.
        """
        squares = self.interval(lambda law: self._correlations(law) ** 2)
        ends = (squares.value, squares.upper, squares.lower, squares.plain, squares.shrunk)
        with np.errstate(divide="ignore", invalid="ignore"):
            inverse = [np.asarray(1 / np.maximum(part, 0)) for part in ends]
            error = np.asarray(squares.standard_error * inverse[0] ** 2)
        value, low, high, plain, shrunk = inverse
        return Interval(value, error, low, high, plain, shrunk, self.confidence)

    def _correlations(self, law: GaussianBottleneck) -> Float[np.ndarray, " k"]:
        """Those of one law: 0 in a direction that does not vary there."""
        size = len((self.bottleneck if self.plain is None else self.plain).correlations)
        found = np.zeros(size)
        found[: len(law.correlations)] = law.correlations[:size]
        return found

    def interval(self, quantity: Callable[[GaussianBottleneck], np.ndarray]) -> Interval:
        """Any smooth quantity of the law.

        Args:
            quantity: from a bottleneck to an array, of one shape for all of them.

        Returns:
            Jackknife estimate and Student's interval; NaN but for `shrunk` where there are no replicates.

        Raises:
            ValueError: arrays of different shapes, as of something for each direction where replicates have fewer.
        """
        shrunk = np.asarray(quantity(self.bottleneck), dtype=np.float64)
        if self.plain is None or not self.replicates:
            unknown = np.full(shrunk.shape, np.nan)
            return Interval(unknown, unknown, unknown, unknown, unknown, shrunk, self.confidence)
        plain = np.asarray(quantity(self.plain), dtype=np.float64)
        found = [np.asarray(quantity(law), dtype=np.float64) for law in self.replicates]
        shapes = sorted({part.shape for part in (plain, shrunk, *found)})
        if len(shapes) > 1:
            raise ValueError(
                f"quantity gives arrays of the shapes {shapes} for the law and its replicates, which have different "
                "numbers of directions; return one shape for all, with 0 for directions that do not vary"
            )
        parts = np.stack(found)
        groups, mean = len(parts), parts.mean(axis=0)
        value = groups * plain - (groups - 1) * mean
        error = np.sqrt((groups - 1) / groups * np.sum((parts - mean[None]) ** 2, axis=0))
        reach = float(scipy.stats.t.ppf(0.5 + self.confidence / 2, groups - 1)) * error
        value, error, low, high = (np.asarray(part) for part in (value, error, value - reach, value + reach))
        return Interval(value, error, low, high, plain, shrunk, self.confidence)


@checked
def bottleneck_from_samples(
    x: Float[Array, "n dx"],
    y: Float[Array, "rows dy"],
    *,
    shrinkage: bool | None = None,
    groups: int = 100,
    confidence: float = 0.95,
    seed: int = 0,
) -> SampledBottleneck:
    """Estimate the Gaussian bottleneck from samples, with shrinkage and the intervals of a grouped jackknife.

    X and Y are centred and scaled to variance 1 first, which the curve does not depend on; shrinkage moves the joint
    correlation matrix towards the identity by the weight of Ledoit and Wolf. That weight is made for the covariance,
    not for information, which it makes too small: estimates and intervals therefore rest on the covariances without
    shrinkage, corrected for their bias of order 1/n by the jackknife, which leaves out one group of samples after the
    other; the shrunk covariances give the encoder, and the value called `shrunk`.

    Directions in which X or Y does not vary, as a constant column or the sum of one-hot targets, are left out as in
    `GaussianBottleneck`; `notes` say how many.

    Args:
        x: samples of X, (n, d_x).
        y: samples of Y, (n, d_y).
        shrinkage: whether to shrink; None does so below ten samples a column.
        groups: of the jackknife, at most n; fewer are taken where there are fewer samples.
        confidence: of the intervals, between 0 and 1.
        seed: of the division into groups.

    Returns:
        The estimate; its intervals are wanted from its methods.

    Raises:
        ValueError: shapes that do not fit, NaN or infinite values, no column that varies, fewer than two groups, a
            confidence outside (0, 1); hardly more samples than columns with `shrinkage=False`, or Y a function of X to
            rounding.

    Fails when: a quantity is not smooth at the law: a canonical correlation of 0 or two that are equal (their estimates
    are pushed apart by a part of order n^(-1/2)), I(T;X) at a critical value. Intervals are then too narrow or off
    centre. So they are below about four samples a column, which a note says.
    Source: Ledoit & Wolf 2004; Efron & Stein 1981 for the jackknife.
    """
    columns, d_x = _checked(x, y, groups, confidence)
    n, d = columns.shape
    moments = _Moments.of(columns, np.random.default_rng(seed).permutation(n), min(groups, n), d_x)
    wanted = n < _PLENTY * d if shrinkage is None else shrinkage
    weight = shrinkage_weight(columns) if wanted else 0.0
    law = _bottleneck(*moments.whole, d_x, weight)
    plain, replicates = None, ()
    if not wanted or moments.least - 1 >= d:
        plain, replicates = _bottleneck(*moments.whole, d_x, 0.0), tuple(moments.replicates())
    left_out = (law if plain is None else plain).notes
    fewer = 0 if plain is None else sum(part.left_out != plain.left_out for part in replicates)
    notes = (*left_out, *_notes(n, d, weight, replicates, fewer))
    return SampledBottleneck(law, plain, replicates, weight, n, confidence, notes)


def shrinkage_weight(columns: Float[np.ndarray, "n d"]) -> float:
    """The weight of the identity in the shrunk correlation matrix, after Ledoit and Wolf.

    Args:
        columns: samples, (n, d); they are centred and scaled to variance 1. Constant columns do not count.

    Returns:
        The expected squared error of the correlations over their squared distance from the identity, at most 1.
    """
    from sklearn.covariance import ledoit_wolf_shrinkage

    centred = columns - columns.mean(axis=0, keepdims=True)
    scaled = centred[:, np.ptp(columns, axis=0) > 0]
    scaled = scaled / np.sqrt(np.mean(scaled**2, axis=0, keepdims=True))
    return float(ledoit_wolf_shrinkage(scaled, assume_centered=True))


@dataclass(frozen=True)
class _Moments:
    """Sums of samples and of their products, group by group; samples are shifted by their common mean."""

    counts: np.ndarray
    sums: np.ndarray
    products: np.ndarray
    d_x: int

    @classmethod
    def of(cls, columns: np.ndarray, order: np.ndarray, groups: int, d_x: int) -> _Moments:
        shifted = (columns - columns.mean(axis=0, keepdims=True))[order]
        shifted[:, np.ptp(columns, axis=0) == 0] = 0.0  # not what rounding of the mean leaves
        parts = np.array_split(shifted, groups)
        sums, products = (np.stack(list(rows)) for rows in zip(*((p.sum(axis=0), p.T @ p) for p in parts), strict=True))
        return cls(np.array([len(part) for part in parts]), sums, products, d_x)

    @property
    def least(self) -> int:
        """The fewest samples that any replicate has."""
        return int(self.counts.sum() - self.counts.max())

    @property
    def whole(self) -> tuple[float, np.ndarray, np.ndarray]:
        return float(self.counts.sum()), self.sums.sum(axis=0), self.products.sum(axis=0)

    def replicates(self) -> Iterator[GaussianBottleneck]:
        count, total, square = self.whole
        for own, part, product in zip(self.counts, self.sums, self.products, strict=True):
            yield _bottleneck(count - float(own), total - part, square - product, self.d_x, 0.0)


def _bottleneck(count: float, total: np.ndarray, square: np.ndarray, d_x: int, weight: float) -> GaussianBottleneck:
    """Bottleneck of the law with these moments, its correlations moved towards the identity by a weight."""
    mean = total / count
    covariance = square / count - mean[:, None] * mean[None]
    # A column can be constant once a group is left out: what cancels to rounding does not vary.
    varies = np.diagonal(covariance) > _CANCELLED * np.diagonal(square) / count
    covariance = np.where(varies[:, None] & varies[None, :], covariance, 0.0)
    diagonal = np.diag(np.diagonal(covariance))
    shrunk = (1 - weight) * (covariance + covariance.T) / 2 + weight * diagonal
    return GaussianBottleneck(shrunk[:d_x, :d_x], shrunk[d_x:, d_x:], shrunk[:d_x, d_x:])


def _checked(x: Array, y: Array, groups: int, confidence: float) -> tuple[np.ndarray, int]:
    pair = [to_numpy(part).astype(np.float64) for part in (x, y)]
    for name, part in zip(("x", "y"), pair, strict=True):
        checks.shape(name, part, (len(pair[0]), None), "one row a sample of X and of Y together")
        checks.finite(name, part)
        if part.shape[1] == 0 or len(part) == 0 or np.all(np.ptp(part, axis=0) == 0):
            raise ValueError(
                f"{name} has no column that is not constant, so there is nothing to tell apart; take other samples"
            )
    checks.whole("groups", groups, least=2)
    checks.probability("confidence", confidence)
    if confidence in (0, 1):
        raise ValueError(f"confidence is {confidence}; it must lie strictly between 0 and 1, for instance 0.95")
    return np.concatenate(pair, axis=1), pair[0].shape[1]


def _notes(n: int, d: int, weight: float, replicates: tuple[GaussianBottleneck, ...], fewer: int) -> Iterator[str]:
    if not replicates:
        yield f"{n} samples of {d} columns: singular covariances, so there are no intervals; take more samples"
    elif n < _ENOUGH * d:
        yield f"{n} samples of {d} columns: biases beyond the first order are not small; intervals cover too little"
    if fewer:
        yield f"{fewer} of {len(replicates)} replicates vary in fewer directions: a rare value is in one group alone"
    if weight > 0:
        yield f"correlations moved towards 0 by the share {weight:.3g} (Ledoit-Wolf): `shrunk` values are too small"
