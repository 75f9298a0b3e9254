"""Monte Carlo information of a Gaussian mixture about its component and about a label of its component."""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import KDTree

from ntkinfo.core import checks
from ntkinfo.core.arrays import Array, to_numpy
from ntkinfo.information.mixture_averages import (
    PAIRS_OF_A_SLOPE,
    LogRatios,
    by_component,
    controls_of,
    moved_to,
    stratified,
)
from ntkinfo.information.mixture_bounds import PairwiseBounds
from ntkinfo.information.mixture_contributions import Strata, shared_averages
from ntkinfo.information.mixture_draws import Pairs, draw_pairs, log_sums_of

NEIGHBOURS = 8  # whose scatter sets how many draws a component gets
NEAR = 0.98  # their share in it; the rest comes from all components
SAFETY = 1.1  # a round is planned to come out this factor below the wanted standard error
ROUNDS = 8
STRATIFIED = "stratified Monte Carlo, antithetic, with control variates"
UNSEEN = 1.5  # nats that draws in regions not met may add, in units of a draw's weight
LARGEST_ROUND = 4.0  # times all draws so far: the scatter from few draws is not to be trusted further


@dataclass(frozen=True)
class DrawUntil:
    """Draw until a standard error is reached, more from components where that lowers it more.

    Args:
        standard_error: wanted of the information about the component, and about the label, in nats.
        most: draws in all after which to stop all the same.

    Raises:
        ValueError: a standard error that is not above zero, fewer than 4 draws.
    """

    standard_error: float
    most: int = 2_000_000

    def __post_init__(self):
        checks.positive("standard_error", self.standard_error)
        checks.whole("most", self.most, least=4)


@dataclass(frozen=True)
class Sampled:
    """An average over draws, with its standard error."""

    value: float
    standard_error: float


@dataclass(frozen=True)
class SampledInformation:
    """Averages over common draws, in nats.

    Args:
        component: E log p(z|i) / p(z), the information about the component; also the multi-sample lower bound.
        others: E log p(z|i) / p(z|not i), the multi-sample upper bound; infinite for a single component.
        label: E log p(z|c_i) / p(z), the information about the label, or None without labels.
        draws: how many draws were made in all.
        method: how, in a few words; says so where a wanted standard error was not reached.
        share: largest weight of a draw in the averages.
    """

    component: Sampled
    others: Sampled
    label: Sampled | None
    draws: int = 0
    method: str = STRATIFIED
    share: float = 0.0

    def allowing_for_unseen(self, component: float, label: float | None = None) -> SampledInformation:
        """The same with `with_unseen` added to the standard errors of `component` and `label`."""
        given = None
        if self.label is not None:
            given = with_unseen(self.label, np.inf if label is None else label, self.share)
        return replace(self, component=with_unseen(self.component, component, self.share), label=given)


@dataclass(frozen=True)
class SampledPointwise:
    """Averages over the draws of each component alone, with standard errors, in nats.

    Args:
        component: E log p(z|i) / p(z) over z from component i: relative entropy of component i to the mixture, (m,).
        component_standard_error: its standard error, (m,).
        label: E log p(z|c_i) / p(z) over z from component i, (m,), which may be below 0; None without labels.
        label_standard_error: its standard error, (m,), or None.
        class_standard_error: of the weighted averages of `label` over the components of each label, (K,), or None.
        whole: the informations, which the weighted sums of `component` and `label` are, with standard errors.
    """

    component: Float[np.ndarray, " m"]
    component_standard_error: Float[np.ndarray, " m"]
    label: Float[np.ndarray, " m"] | None
    label_standard_error: Float[np.ndarray, " m"] | None
    class_standard_error: Float[np.ndarray, " K"] | None
    whole: SampledInformation


def with_unseen(sampled: Sampled, most: float, share: float) -> Sampled:
    """Add to the standard error what so few draws cannot show: a draw or two in a region that none has met.

    Where components are nearly separated, or nearly equal but for a rare region, few draws or none carry all that the
    average differs from its limit by. Counts of such draws are Poisson: as many as were met, the error is that of one
    or two more, each of which would change its draw by about a nat. Where draws are many in such regions, as in most
    mixtures, that is far below the scatter.

    Args:
        sampled: the average.
        most: how far at most the average can be from where it is without any such draw, in nats.
        share: largest weight of a draw in the average.
    """
    unseen = min(max(most, 0.0), UNSEEN * share)
    return Sampled(sampled.value, float(np.hypot(sampled.standard_error, unseen)))


def most_unseen(bounds: PairwiseBounds, ceiling: float) -> tuple[float, float | None]:
    """How far I(Z;X) and I(Z;Y) can be from where no draw meets an overlap, or none tells components apart."""
    component = min(ceiling - bounds.lower, bounds.upper)
    if bounds.label_gap is None or bounds.label_upper is None:
        return component, None
    # Not more can be said of the label than of the component.
    return component, min(bounds.label_gap, bounds.upper, bounds.label_upper)


def default_samples(components: int) -> int:
    """Draws per component that make about 5120 in all: a standard error below 0.01 nats or so; even, at least 4.

    Of many components 8 are drawn each as long as these are not more than about 6144: fewer would tell them less apart.
    """
    return 2 * max(2, -(-2560 // components), min(4, -(-3072 // components)))


def checked_samples(samples: int | DrawUntil | None, components: int) -> int | DrawUntil:
    """A number of draws per component that comes in antithetic pairs, or a wanted standard error.

    Raises:
        ValueError: an odd number, or one below 4.
    """
    if samples is None:
        return default_samples(components)
    if not isinstance(samples, DrawUntil) and (samples < 4 or samples % 2):
        raise ValueError(f"samples is {samples}; it must be even and at least 4 (draws come in antithetic pairs)")
    return samples


def sample_information(
    mean: Float[Array, "m C"],
    variance: Float[Array, " m"],
    weights: Float[Array, " m"],
    labels: Int[np.ndarray, " m"] | None,
    samples: int | DrawUntil,
    random: np.random.Generator,
) -> SampledInformation:
    """Stratified Monte Carlo in antithetic pairs.

    What is averaged is the relative entropy of the posterior over components, or labels, given a draw to their weights
    (Rao-Blackwell: the average of the log ratio over which component the draw may have come from). It is bounded, so
    that no rare draw carries the average alone, and nothing is left to sample when the components are identical or far
    apart. Functions of the length of the noise, whose means are known, are control variates, as many as there are draws
    to fit them on.

    Args:
        mean: centres of the components, (m, C).
        variance: their variances, (m,), all above zero.
        weights: their probabilities, (m,), all above zero, summing to one.
        labels: a class of each component, (m,), integers from 0; or None.
        samples: draws per component, even and at least 4, the same for all; or a standard error to be reached: then the
            first draws are `default_samples` each, and further ones go to the components in proportion to their weight
            and the scatter of their neighbours (Neyman allocation). As a component's own draws have no part in how many
            it gets, all draws are kept without bias (but for what stopping early at a chance small scatter adds).
        random: where the noise comes from.

    Returns:
        The averages with standard errors computed from pairs, within components: two of them hold the value in about 19
        of 20 runs, with few draws too. What regions may add that no draw has met is not in them: see `with_unseen`.

    Fails when the variances span more than about 1e280 (overflow).
    Source: theory §3 (b); Poole et al. 2019, "On variational bounds of mutual information", multi-sample bounds; Neyman
    1934 for the allocation.
    """
    log_sums = log_sums_of(mean, variance, weights, labels)
    given = to_numpy(weights)
    counts = _first_counts(samples, len(given))
    pairs = draw_pairs(log_sums, counts, mean.shape[1], random)
    law = _Law.of(mean, variance, given, labels)
    result, ratios = _averages(pairs, law)
    if not isinstance(samples, DrawUntil):
        return result
    for _ in range(ROUNDS):
        if _error(result) <= samples.standard_error or result.draws >= samples.most:
            break
        counts = _further_counts(pairs, ratios, law, samples, _error(result))
        pairs = pairs.joined(draw_pairs(log_sums, counts, mean.shape[1], random))
        result, ratios = _averages(pairs, law)
    text = f"to a standard error of {samples.standard_error:g}"
    if _error(result) > samples.standard_error:
        text = f"stopped at {result.draws} draws before the standard error of {samples.standard_error:g}"
    return replace(result, method=f"{result.method}, {text}")


def sample_pointwise(
    mean: Float[Array, "m C"],
    variance: Float[Array, " m"],
    weights: Float[Array, " m"],
    labels: Int[np.ndarray, " m"] | None,
    samples: int,
    random: np.random.Generator,
) -> SampledPointwise:
    """What each component contributes to the informations, from the draws that `sample_information` makes.

    Args:
        mean: as `sample_information`.
        variance: as `sample_information`.
        weights: as `sample_information`.
        labels: as `sample_information`.
        samples: draws per component, even and at least 4. The standard error of a component comes from its own
            `samples / 2` pairs: with few it is itself uncertain (by a factor of about 1 / sqrt(samples)).
        random: where the noise comes from.

    Returns:
        Averages over the draws of each component, with standard errors; their weighted sums are the informations.

    Fails when and Source: as `sample_information`.
    """
    given, again = to_numpy(weights), copy.deepcopy(random)
    counts = _first_counts(samples, len(given))
    pairs = draw_pairs(log_sums_of(mean, variance, weights, labels), counts, mean.shape[1], random)
    noise = again.standard_normal((len(pairs.owner), mean.shape[1]))
    law = _Law.of(mean, variance, given, labels)
    ratios, controls = LogRatios.of(pairs, given, labels), law.controls(pairs)
    whole, _ = _averages(pairs, law)
    number = max(0, (len(pairs.owner) - len(given)) // PAIRS_OF_A_SLOPE)
    shared = shared_averages(
        Strata(law.mean, to_numpy(variance), given, labels, noise, ratios.own, ratios.own_label, controls[:number])
    )
    component, _ = moved_to(whole.component.value, shared.component, given)
    if labels is None or shared.label is None or shared.by_label is None or whole.label is None:
        return SampledPointwise(component[0], component[1], None, None, None, whole)
    label, shift = moved_to(whole.label.value, shared.label, given)
    of_class = np.bincount(labels, weights=given * shift) / np.bincount(labels, weights=given)
    by_class = np.hypot(shared.by_label[1], of_class)
    return SampledPointwise(component[0], component[1], label[0], label[1], by_class, whole)


@dataclass(frozen=True)
class _Law:
    """What averages need to know of the mixture."""

    outputs: int
    weights: Float[np.ndarray, " m"]
    log_variance: Float[np.ndarray, " m"]
    labels: Int[np.ndarray, " m"] | None
    mean: Float[np.ndarray, "m C"]

    @classmethod
    def of(cls, mean: Array, variance: Array, weights: np.ndarray, labels: np.ndarray | None) -> _Law:
        return cls(mean.shape[1], weights, np.log(to_numpy(variance)), labels, to_numpy(mean))

    @functools.cached_property
    def neighbours(self) -> Int[np.ndarray, "m k"]:
        return _nearest(self.mean)

    def controls(self, pairs: Pairs) -> Float[np.ndarray, "4 p"]:
        return controls_of(pairs.squared_noise, pairs.owner, self.outputs, self.log_variance)


def _first_counts(samples: int | DrawUntil, components: int) -> Int[np.ndarray, " m"]:
    each = default_samples(components) if isinstance(samples, DrawUntil) else samples
    return np.full(components, each // 2)


def _averages(pairs: Pairs, law: _Law) -> tuple[SampledInformation, LogRatios]:
    ratios, controls = LogRatios.of(pairs, law.weights, law.labels), law.controls(pairs)

    def average(values: Float[np.ndarray, "2 p"]) -> Sampled:
        return Sampled(*stratified(values, pairs.owner, law.weights, controls))

    result = SampledInformation(
        average(ratios.component),
        Sampled(np.inf, 0.0) if ratios.others is None else average(ratios.others),
        None if ratios.label is None else average(ratios.label),
        2 * len(pairs.owner),
        share=float(np.max(law.weights / (2 * np.bincount(pairs.owner, minlength=len(law.weights))))),
    )
    return result, ratios


def _error(result: SampledInformation) -> float:
    return max(result.component.standard_error, 0.0 if result.label is None else result.label.standard_error)


def _further_counts(
    pairs: Pairs, ratios: LogRatios, law: _Law, wanted: DrawUntil, error: float
) -> Int[np.ndarray, " m"]:
    """Pairs to draw from each component next, so that the standard error should come out as wanted."""
    values = [given for given in (ratios.component, ratios.label) if given is not None]
    need = law.weights * np.max([_scatter(given, pairs, law) for given in values], axis=0)
    have = np.bincount(pairs.owner, minlength=len(law.weights))
    so_far = float(len(pairs.owner))
    largest = min(LARGEST_ROUND * so_far, 0.5 * wanted.most - so_far)
    # What the neighbours' scatter predicts is brought to scale by what the draws so far came to.
    goal = (wanted.standard_error / (SAFETY * error)) ** 2 * np.sum(need**2 / have)
    low, high = 0.0, so_far + largest
    for _ in range(40):
        total = 0.5 * (low + high)
        counts = _neyman(need, have, total)
        reached = np.sum(need**2 / (have + counts)) <= goal or np.sum(counts) > largest
        low, high = (low, total) if reached else (total, high)
    return np.ceil(_neyman(need, have, high)).astype(np.int64)


def _neyman(need: Float[np.ndarray, " m"], have: Int[np.ndarray, " m"], total: float) -> Float[np.ndarray, " m"]:
    """Pairs to add where a share of `total` in proportion to the need is more than there are already."""
    return np.maximum(total * need / np.sum(need) - have, 0.0)


def _scatter(values: Float[np.ndarray, "2 p"], pairs: Pairs, law: _Law) -> Float[np.ndarray, " m"]:
    """Deviation of a pair of each component, from those of its nearest neighbours, and a little from all others.

    Not from its own pairs: how many draws it gets would then depend on them, and its average would be biased.
    """
    error = by_component(values, pairs.owner, law.weights, law.controls(pairs))[1]
    m = len(error)
    if m == 1:
        return error
    squares = error * error * np.bincount(pairs.owner, minlength=m)
    near = np.mean(squares[law.neighbours], axis=1)
    return np.sqrt(NEAR * near + (1 - NEAR) * (np.sum(squares) - squares) / (m - 1))


def _nearest(mean: Float[np.ndarray, "m C"]) -> Int[np.ndarray, "m k"]:
    """Indices of the components whose means are nearest to each, without itself."""
    m = len(mean)
    number = min(NEIGHBOURS, m - 1)
    found = KDTree(mean).query(mean, number + 1)[1].reshape(m, number + 1)
    # Where several means coincide a component need not come first among its own neighbours, or be there at all.
    own = found == np.arange(m)[:, None]
    own[~np.any(own, axis=1), -1] = True
    return found[~own].reshape(m, number)
