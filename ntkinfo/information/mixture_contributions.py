"""What each component contributes to the informations of a mixture, from the draws of all components."""

from __future__ import annotations

import functools
import operator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import ndtr, stdtrit

from ntkinfo.core.threads import map_threads
from ntkinfo.information.mixture_averages import ROUNDING

TINY = 1e-300  # of a class's ratio: below it counts as this
FLOOR = -700.0  # exponents are raised to this: exp is slow where it underflows
EXPANDED = 1e5  # squared radius over variance up to which expanded squares keep the exponents to 1e-10
NUMBERS_AT_ONCE = 1 << 18  # log ratios of draws and components
LARGEST = 2.0  # slopes are fitted as if a control's largest square were there this many times more, without any scatter


@dataclass(frozen=True)
class Shared:
    """Averages over the draws of each component, (m,), and over those of each label, (K,), with standard errors."""

    component: Float[np.ndarray, "2 m"]
    label: Float[np.ndarray, "2 m"] | None
    by_label: Float[np.ndarray, "2 K"] | None


@dataclass(frozen=True)
class Strata:
    """Draws in antithetic pairs, equally many from each component, and the mixture that they are from.

    Args:
        mean: centres of the components, (m, C).
        variance: their variances, (m,).
        weights: their probabilities, (m,).
        labels: class of each component, (m,), integers from 0; or None.
        noise: standard normal, of one draw of each pair, component by component, (m k, C).
        own: log p(z|i) / p(z) of the component i that each draw is from, (2, m k).
        own_label: log p(z|c_i) / p(z) of its label, (2, m k); None without labels.
        controls: functions of each pair's noise that average to 0, (c, m k).
    """

    mean: Float[np.ndarray, "m C"]
    variance: Float[np.ndarray, " m"]
    weights: Float[np.ndarray, " m"]
    labels: Int[np.ndarray, " m"] | None
    noise: Float[np.ndarray, "p C"]
    own: Float[np.ndarray, "2 p"]
    own_label: Float[np.ndarray, "2 p"] | None
    controls: Float[np.ndarray, "c p"]


def shared_averages(strata: Strata) -> Shared:
    """E log p(z|i) / p(z), and E log p(z|c_i) / p(z), over z from component i, for every i.

    All draws serve every component: a draw z from any of them counts with p(z|i) / q(z), q the even mixture of the
    components (the balance heuristic of multiple importance sampling). What a rare draw carries is then spread over
    the components that it is taken for, and no draw counts for more than it would among the component's own. Control
    variates are those ratios, which average to 1, and the length of the noise.

    Source: Veach & Guibas 1995, "Optimally combining sampling techniques for Monte Carlo rendering"; Owen & Zhou 2000,
    "Safe and effective importance sampling", for the control variates.
    """
    plan = _Plan.of(strata)
    m = len(strata.mean)
    pairs = len(strata.noise) // m
    step = max(1, NUMBERS_AT_ONCE // (2 * pairs * m))
    parts = map_threads(plan.block, [slice(start, min(start + step, m)) for start in range(0, m, step)])
    given, *labels = (functools.reduce(operator.add, part).result(pairs, m) for part in zip(*parts, strict=True))
    given[0] += plan.slope
    if not labels:
        return Shared(given, None, None)
    label, by_label = labels
    label[0] += plan.label_slope
    return Shared(given, label, by_label)


@dataclass(frozen=True)
class _Sums:
    """Sums over pairs of draws, for some averages n at once, of values less their means within components.

    Args:
        value: of the values themselves, (n,).
        control: of the control variates themselves, (n, c).
        square: of squared values, (n,).
        cross: of values times controls, (n, c).
        design: of controls times controls, (n, c, c).
        largest: largest squared control of one component, (n, c).
        fourth: of values to the fourth power, (n,).
        stratum: of the squares of what each component adds to `square`, (n,).
    """

    value: np.ndarray
    control: np.ndarray
    square: np.ndarray
    cross: np.ndarray
    design: np.ndarray
    largest: np.ndarray
    fourth: np.ndarray
    stratum: np.ndarray

    def __add__(self, other: _Sums) -> _Sums:
        both = {key: (mine, getattr(other, key)) for key, mine in vars(self).items()}
        return _Sums(**{key: np.maximum(*two) if key == "largest" else two[0] + two[1] for key, two in both.items()})

    def result(self, pairs: int, m: int) -> Float[np.ndarray, "2 n"]:
        """The averages and their standard errors, as `mixture_averages.stratified` forms them."""
        ridge = self.design + LARGEST * self.largest[:, :, None] * np.eye(self.largest.shape[1])
        slopes = _solved(ridge, self.cross)
        value = (self.value - np.sum(slopes * self.control, axis=1)) / (pairs * m)
        left = self.square - 2 * np.sum(slopes * self.cross, axis=1)
        left = left + np.einsum("na,nab,nb->n", slopes, self.design, slopes)
        drawn = self.square > ROUNDING**2  # below it rounding is more
        square = np.where(drawn, self.square, 1.0)
        # Degrees of freedom of Satterthwaite; slopes fitted on hardly more than there are of them explain nothing.
        freedom = np.where(drawn, square**2 * (pairs - 1.0) / np.where(drawn, self.stratum, 1.0), 1e6)
        left = np.maximum(left, 0.0) + square * np.minimum(slopes.shape[1] / freedom, 1.0) ** 4
        # Its own standard error raises the variance, and Student's t stands for the degrees of freedom.
        variance = left * (1 + np.sqrt(self.fourth) / square) / (pairs * (pairs - 1.0) * m * m)
        wide = stdtrit(np.minimum(freedom, 1e6), ndtr(2.0)) / 2.0
        return np.stack([value, wide * np.sqrt(np.where(drawn, variance, 0.0))])


def _solved(matrix: Float[np.ndarray, "n c c"], right: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n c"]:
    """Least squares, where a control that never varies gets no slope."""
    scale = np.sqrt(np.einsum("naa->na", matrix))
    scale = np.where(scale > 0, scale, 1.0)
    even = matrix / (scale[:, :, None] * scale[:, None, :]) + 1e-12 * np.eye(matrix.shape[1])
    return np.linalg.solve(even, (right / scale)[:, :, None])[:, :, 0] / scale


@dataclass(frozen=True)
class _Controls:
    """Control variates that several averages have in common, less their means within components.

    Args:
        total: sums of the controls themselves, (d,).
        within: the controls less their means, a row a pair, (p, d).
        largest: largest square of each, where a few may be far larger than the others; else 0, (d,).
    """

    total: Float[np.ndarray, " d"]
    within: Float[np.ndarray, "p d"]
    largest: Float[np.ndarray, " d"]

    @classmethod
    def of(cls, ratios: Float[np.ndarray, "b k r"], noise: Float[np.ndarray, "b k c"]) -> _Controls:
        both = np.concatenate([ratios, noise], axis=2)
        within = _within(both).reshape(-1, both.shape[2])
        largest = np.append(np.max(within[:, : ratios.shape[2]] ** 2, axis=0), np.zeros(noise.shape[2]))
        return cls(np.sum(both, axis=(0, 1)), within, largest)


def _sums(
    values: Float[np.ndarray, "b k n"],
    own: Float[np.ndarray, "b k n"] | None,
    common: _Controls,
    chosen: Int[np.ndarray, "n c"],
) -> _Sums:
    """Of values with a control of their own, and with some of the controls that are common to several."""
    within, n = _within(values), values.shape[2]
    rows = np.arange(n)[:, None]
    total, largest = common.total[chosen], common.largest[chosen]
    cross = (within.reshape(-1, n).T @ common.within)[rows, chosen]
    design = (common.within.T @ common.within)[chosen[:, :, None], chosen[:, None, :]]
    if own is not None:
        ratio = _within(own)
        with_common = (ratio.reshape(-1, n).T @ common.within)[rows, chosen]
        squares = ratio * ratio
        corner = np.concatenate([np.sum(squares, axis=(0, 1))[:, None], with_common], axis=1)
        design = np.concatenate([with_common[:, :, None], design], axis=2)
        design = np.concatenate([corner[:, None, :], design], axis=1)
        cross = np.concatenate([np.einsum("bkn,bkn->n", within, ratio)[:, None], cross], axis=1)
        total = np.concatenate([np.sum(own, axis=(0, 1))[:, None], total], axis=1)
        largest = np.concatenate([np.max(squares, axis=(0, 1))[:, None], largest], axis=1)
    squares = np.multiply(within, within, out=within)
    of_stratum = np.sum(squares, axis=1)
    return _Sums(
        np.sum(values, axis=(0, 1)),
        total,
        np.sum(of_stratum, axis=0),
        cross,
        design,
        largest,
        np.einsum("bkn,bkn->n", squares, squares),
        np.sum(of_stratum * of_stratum, axis=0),
    )


def _within(values: Float[np.ndarray, "b k n"]) -> Float[np.ndarray, "b k n"]:
    return values - np.mean(values, axis=1, keepdims=True)


@dataclass(frozen=True)
class _Plan:
    """Draws, and the slopes on the ratios that are known to be near the best ones: fitted ones are added to them.

    Where components are hardly told apart, x log x - (x - 1) of a ratio x is of second order; where they are, x is 0 or
    as large as it can be, and x (log x - its largest value) is nothing.
    """

    strata: Strata
    slope: Float[np.ndarray, " m"]  # of a component's ratio
    label_slope: Float[np.ndarray, " m"]  # of a component's ratio, for the label
    class_slope: Float[np.ndarray, " K"]  # of the ratio of its label
    members: Float[np.ndarray, "m K"]  # share of each component in its label
    columns: Float[np.ndarray, "d m"] | None  # times (z, |z|², 1) they are log densities; None where too large
    centre: Float[np.ndarray, " C"]

    @classmethod
    def of(cls, strata: Strata) -> _Plan:
        m, weights = len(strata.mean), strata.weights
        slope = np.clip(_mean_of(strata.own, m), 0.0, -np.log(weights))
        slope = slope + _near(slope, -np.log(weights))
        label_slope, class_slope, members = np.zeros(m), np.zeros(0), np.zeros((m, 0))
        if strata.labels is not None and strata.own_label is not None:
            shares = np.bincount(strata.labels, weights=weights)
            members = np.zeros((m, len(shares)))
            members[np.arange(m), strata.labels] = weights / shares[strata.labels]
            label_slope = _mean_of(strata.own_label, m)
            of_class = np.clip(label_slope @ members, 0.0, -np.log(shares))
            class_slope = _near(of_class, -np.log(shares))
        centre = np.mean(strata.mean, axis=0)
        return cls(strata, slope, label_slope, class_slope, members, _columns(strata, centre), centre)

    def block(self, part: slice) -> tuple[_Sums, ...]:
        """Sums over the draws from some components: of all components, of their labels, and of each label."""
        strata = self.strata
        count, pairs = part.stop - part.start, len(strata.noise) // len(strata.mean)
        rows = slice(part.start * pairs, part.stop * pairs)
        noise = strata.controls[:, rows].T.reshape(count, pairs, len(strata.controls))

        def paired(both: np.ndarray) -> np.ndarray:
            result = both[0] + both[1]
            result *= 0.5
            return result.reshape(count, pairs, -1)

        logs = self._log_ratios(part, rows)
        ratios = np.exp(logs)
        logs -= np.log(np.matmul(ratios, strata.weights))[:, :, None]
        ratios *= 1 / np.mean(ratios, axis=2, keepdims=True)
        own = paired(ratios) - 1.0
        logs -= self.slope
        logs *= ratios
        of_class = np.matmul(ratios, self.members)
        of_its = paired(of_class) - 1.0
        common, classes = _Controls.of(of_its, noise), of_its.shape[2]
        chosen = classes + np.arange(noise.shape[2])
        given = _sums(paired(logs), own, common, np.tile(chosen, (len(strata.mean), 1)))
        if strata.labels is None:
            return (given,)
        log_class = np.log(np.maximum(of_class / np.matmul(ratios, strata.weights)[:, :, None], TINY))
        values = np.take(log_class, strata.labels, axis=2, out=logs, mode="clip")
        values -= self.label_slope
        values *= ratios
        values = paired(values)
        values -= np.take(of_its * self.class_slope, strata.labels, axis=2)
        label = _sums(values, own, common, np.column_stack([strata.labels, np.tile(chosen, (len(strata.mean), 1))]))
        every = np.column_stack([np.arange(classes), np.tile(chosen, (classes, 1))])
        return given, label, _sums(np.matmul(values, self.members), None, common, every)

    def _log_ratios(self, part: slice, rows: slice) -> Float[np.ndarray, "2 n m"]:
        """Of every component i log p(z|i) / p(z), but for rounding in common, at the draws from some components."""
        strata = self.strata
        noise, outputs = strata.noise[rows], strata.noise.shape[1]
        owner = np.repeat(np.arange(part.start, part.stop), len(noise) // (part.stop - part.start))
        moved = np.sqrt(strata.variance[owner])[:, None] * noise
        start = strata.mean[owner] - self.centre
        own = (
            -0.5 * outputs * np.log(strata.variance[owner]) - 0.5 * np.sum(noise * noise, axis=1) - strata.own[:, rows]
        )
        draws = np.stack([start + moved, start - moved])
        squares = np.sum(draws * draws, axis=2)
        if self.columns is not None and np.max(squares) <= EXPANDED * np.min(strata.variance):
            logs = np.concatenate([draws, squares[:, :, None], np.ones((*squares.shape, 1))], axis=2) @ self.columns
        else:
            logs = np.zeros((*squares.shape, len(strata.mean)))
            for column, mean in zip(np.moveaxis(draws, 2, 0), (strata.mean - self.centre).T, strict=True):
                apart = column[:, :, None] - mean
                logs += np.square(apart, out=apart)
            logs /= -2 * strata.variance
            logs -= 0.5 * outputs * np.log(strata.variance)
        logs -= (own - strata.own[:, rows])[:, :, None]
        return np.maximum(logs, FLOOR, out=logs)


def _mean_of(values: Float[np.ndarray, "2 p"], m: int) -> Float[np.ndarray, " m"]:
    return np.mean(values.reshape(2, m, -1), axis=(0, 2))


def _near(value: np.ndarray, most: np.ndarray) -> np.ndarray:
    """1 where nothing is told apart, 0 where all is."""
    return 1.0 - np.divide(value, most, out=np.zeros_like(value), where=most > 0)


def _columns(strata: Strata, centre: Float[np.ndarray, " C"]) -> Float[np.ndarray, "d m"] | None:
    mean, variance = strata.mean - centre, strata.variance
    squares = np.sum(mean * mean, axis=1)
    if np.max(squares) > EXPANDED * np.min(variance):
        return None
    last = -0.5 * (mean.shape[1] * np.log(variance) + squares / variance)
    return np.concatenate([mean.T / variance, -0.5 / variance[None], last[None]])
