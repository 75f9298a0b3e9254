"""Monte Carlo information of a Gaussian mixture about its component and about a label of its component."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import gammainc

from ntkinfo.core.arrays import Array, namespace, to_numpy

PAIRS_AT_ONCE = 1 << 16  # keeps one block of exponents in a processor's cache
ROUNDING = 1e-15  # of an average whose draws all agree; part of every standard error
NOTHING = -1e300  # log of zero that stays finite under subtraction


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
    """

    component: Sampled
    others: Sampled
    label: Sampled | None


@dataclass(frozen=True)
class SampledPointwise:
    """Averages over the draws of each component alone, with standard errors, in nats.

    Args:
        component: E log p(z|i) / p(z) over z from component i: relative entropy of component i to the mixture, (m,).
        component_standard_error: its standard error, (m,).
        label: E log p(z|c_i) / p(z) over z from component i, (m,), which may be below 0; None without labels.
        label_standard_error: its standard error, (m,), or None.
    """

    component: Float[np.ndarray, " m"]
    component_standard_error: Float[np.ndarray, " m"]
    label: Float[np.ndarray, " m"] | None
    label_standard_error: Float[np.ndarray, " m"] | None


def with_unseen(sampled: Sampled, gap: float, draws: int) -> Sampled:
    """Add to the standard error what so few draws cannot show between components that are nearly separated.

    The information falls short of its ceiling, the entropy of the weights, by E log(1 + T) with T the density of all
    other components relative to the draw's own; that is at most about the ceiling's gap to the Bhattacharyya lower
    bound, since log(1 + T) <= sqrt(T). Where the gap is below one in `draws`, no draw may have met an overlap at
    all, and the scatter says nothing about it. Once the draws are many times one over the gap, the addition fades out.

    Args:
        sampled: the average.
        gap: entropy of the weights less the pairwise lower bound, in nats.
        draws: how many draws were made in all.
    """
    gap = max(gap, 0.0)
    unseen = min(gap, 1 / draws) * float(np.exp(-draws * gap / 30))
    return Sampled(sampled.value, float(np.hypot(sampled.standard_error, unseen)))


def default_samples(components: int) -> int:
    """Draws per component that make about 6144 in all: a standard error below 0.01 nats or so; even, at least 4."""
    return max(4, 2 * -(-3072 // components))


def sample_information(
    mean: Float[Array, "m C"],
    variance: Float[Array, " m"],
    weights: Float[Array, " m"],
    labels: Int[np.ndarray, " m"] | None,
    samples: int,
    random: np.random.Generator,
) -> SampledInformation:
    """Stratified Monte Carlo: the same number of draws from every component, in antithetic pairs.

    Every average is of a log ratio in which the component's own log density cancels, so nothing is left to sample when
    the components are identical or far apart. Functions of the length of the noise, whose means are known, are control
    variates.

    Args:
        mean: centres of the components, (m, C).
        variance: their variances, (m,), all above zero.
        weights: their probabilities, (m,), summing to one.
        labels: a class of each component, (m,), integers from 0; or None.
        samples: draws per component, even and at least 4.
        random: where the noise comes from.

    Returns:
        The averages with standard errors computed from pairs, within components.

    Fails when the variances span more than about 1e280 (overflow).
    Source: theory §3 (b); Poole et al. 2019, "On variational bounds of mutual information", multi-sample bounds.
    """
    logs = _draw(mean, variance, weights, labels, samples, random)
    return _averages(logs, mean.shape[1], to_numpy(weights), np.log(to_numpy(variance)), labels)


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
    logs = _draw(mean, variance, weights, labels, samples, random)
    given = to_numpy(weights)
    ratios = _log_ratios(logs, given, labels)
    controls = _controls(logs[0], mean.shape[1], np.log(to_numpy(variance)))
    component = _by_component(ratios[0], given, controls)
    label = (None, None) if ratios[2] is None else _by_component(ratios[2], given, controls)
    return SampledPointwise(*component, *label)


def _draw(
    mean: Float[Array, "m C"],
    variance: Float[Array, " m"],
    weights: Float[Array, " m"],
    labels: Int[np.ndarray, " m"] | None,
    samples: int,
    random: np.random.Generator,
) -> list[Float[np.ndarray, "m s"]]:
    """Squared noise, and the log sums of `_log_sums`, for every draw."""
    xp = namespace(mean, variance, weights)
    m, outputs = mean.shape
    half = samples // 2
    log_scale = xp.log(weights) - 0.5 * outputs * xp.log(variance)
    membership = None if labels is None else xp.asarray(_one_hot(labels, to_numpy(mean).dtype))
    rows = max(1, PAIRS_AT_ONCE // (2 * half * m))
    parts = []
    for start in range(0, m, rows):
        part = np.arange(start, min(start + rows, m))
        draws = random.standard_normal((len(part), half, outputs))
        noise = xp.asarray(np.concatenate([draws, -draws], axis=1).astype(to_numpy(mean).dtype))
        parts.append(_log_sums(part, noise, mean, variance, log_scale, membership))
    return [np.concatenate([to_numpy(part[k]) for part in parts]) for k in range(len(parts[0]))]


def _one_hot(labels: Int[np.ndarray, " m"], dtype: np.dtype) -> Float[np.ndarray, "m K"]:
    return (labels[:, None] == np.arange(int(labels.max()) + 1)[None, :]).astype(dtype)


def _log_sums(
    part: Int[np.ndarray, " b"],
    noise: Float[Array, "b s C"],
    mean: Float[Array, "m C"],
    variance: Float[Array, " m"],
    log_scale: Float[Array, " m"],
    membership: Float[Array, "m K"] | None,
) -> tuple[Array, ...]:
    """Squared noise, and log of sum_{j≠i} w_j p_j(z) / p_i(z) over all j and over those with the label of i; (b, s)."""
    xp = namespace(noise, mean, variance)
    outputs = mean.shape[1]
    squared_noise = xp.sum(noise * noise, axis=-1)
    exponents = _exponents(part, noise, squared_noise, mean, variance, log_scale)
    top = xp.max(exponents, axis=-1)
    ratios = xp.exp(exponents - top[:, :, None])
    top = top + 0.5 * squared_noise + 0.5 * outputs * xp.log(variance[part])[:, None]
    sums = xp.log(xp.sum(ratios, axis=-1)) + top
    if membership is None:
        return squared_noise, sums
    b, s, m = ratios.shape
    by_label = xp.reshape(xp.matmul(xp.reshape(ratios, (b * s, m)), membership), (b, s, membership.shape[1]))
    same = xp.sum(by_label * membership[part][:, None, :], axis=-1)
    same = xp.where(same > 0, xp.log(xp.where(same > 0, same, 1.0)) + top, NOTHING)
    return squared_noise, sums, same


def _exponents(
    part: Int[np.ndarray, " b"],
    noise: Float[Array, "b s C"],
    squared_noise: Float[Array, "b s"],
    mean: Float[Array, "m C"],
    variance: Float[Array, " m"],
    log_scale: Float[Array, " m"],
) -> Float[Array, "b s m"]:
    """Return log w_j - C/2 log v_j - |z - mean_j|² / 2v_j at z = mean_i + sqrt(v_i) noise, with j = i left out.

    |z - mean_j|² is v_i |noise|² + 2 sqrt(v_i) noise·(mean_i - mean_j) + |mean_i - mean_j|² with the differences formed
    first, all in one matrix product: no digits are lost however far the means lie from zero.
    """
    xp = namespace(noise, mean, variance)
    # (b, C, m): numpy runs fast along the last axis only when it is long.
    difference = mean[part][:, :, None] - xp.asarray(mean.T)[None, :, :]
    scale = (-0.5 / variance)[None, :]
    constant = scale * xp.sum(difference * difference, axis=1) + log_scale[None, :]
    own = xp.asarray(part[:, None] == np.arange(len(mean))[None, :])
    constant = xp.where(own, NOTHING, constant)[:, None, :]
    every = xp.broadcast_to(scale[:, None, :], constant.shape)
    columns = xp.concatenate([difference * (2 * scale)[:, None, :], every, constant], axis=1)
    own_variance = variance[part][:, None]
    across = xp.sqrt(own_variance)[:, :, None] * noise
    along = (own_variance * squared_noise)[:, :, None]
    return xp.matmul(xp.concatenate([across, along, xp.ones_like(along)], axis=2), columns)


def _averages(
    logs: list[Float[np.ndarray, "m s"]],
    outputs: int,
    weights: Float[np.ndarray, " m"],
    log_variance: Float[np.ndarray, " m"],
    labels: Int[np.ndarray, " m"] | None,
) -> SampledInformation:
    controls = _controls(logs[0], outputs, log_variance)
    component, others, label = _log_ratios(logs, weights, labels)
    return SampledInformation(
        _stratified(component, weights, controls),
        Sampled(np.inf, 0.0) if others is None else _stratified(others, weights, controls),
        None if label is None else _stratified(label, weights, controls),
    )


def _log_ratios(
    logs: list[Float[np.ndarray, "m s"]], weights: Float[np.ndarray, " m"], labels: Int[np.ndarray, " m"] | None
) -> tuple[Float[np.ndarray, "m s"], Float[np.ndarray, "m s"] | None, Float[np.ndarray, "m s"] | None]:
    """Log p(z|i)/p(z), log p(z|i)/p(z|not i) (None for a single component), log p(z|c_i)/p(z) (None without labels)."""
    log_weights = np.log(weights)[:, None]
    everything = np.logaddexp(log_weights, logs[1])
    others = np.log1p(-weights)[:, None] - logs[1] if len(weights) > 1 else None
    if labels is None:
        return -everything, others, None
    class_weights = np.bincount(labels, weights=weights)[labels]
    return -everything, others, np.logaddexp(log_weights, logs[2]) - np.log(class_weights)[:, None] - everything


def _controls(
    squared_noise: Float[np.ndarray, "m s"], outputs: int, log_variance: Float[np.ndarray, " m"]
) -> Float[np.ndarray, "4 m h"]:
    """Functions of each pair's squared noise whose means are 0, alone and times the component's log width.

    The squared noise is chi-squared with C degrees of freedom: its excess over C, and the second Legendre polynomial of
    its distribution function, which is bounded (the square of the excess has tails too heavy to fit slopes with).
    """
    squared = squared_noise[:, : squared_noise.shape[1] // 2]
    place = 2 * gammainc(0.5 * outputs, 0.5 * squared) - 1
    width = (log_variance - np.mean(log_variance))[:, None]
    excess, curve = squared - outputs, 1.5 * place * place - 0.5
    return np.stack([excess, excess * width, curve, curve * width])


def _stratified(
    values: Float[np.ndarray, "m s"], weights: Float[np.ndarray, " m"], controls: Float[np.ndarray, "4 m h"]
) -> Sampled:
    """Weighted average over components of the average over antithetic pairs, corrected by the control variates.

    The variance is raised by one standard error of its own, which matters where few draws carry it.
    """
    corrected = _corrected_pairs(values, weights, controls)
    half = corrected.shape[1]
    means = np.mean(corrected, axis=1, keepdims=True)
    value = float(np.sum(weights * means[:, 0]))
    if not np.all(np.isfinite(corrected)):
        return Sampled(value, np.inf)
    squares = (weights[:, None] * (corrected - means)) ** 2 / (half * (half - 1))
    variance = np.sum(squares) + np.sqrt(np.sum(squares * squares))
    return Sampled(value, float(np.hypot(np.sqrt(variance), ROUNDING * (1 + abs(value)))))


def _by_component(
    values: Float[np.ndarray, "m s"], weights: Float[np.ndarray, " m"], controls: Float[np.ndarray, "4 m h"]
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Average over the pairs of each component alone, and its standard error."""
    corrected = _corrected_pairs(values, weights, controls)
    mean = np.mean(corrected, axis=1)
    scatter = np.std(corrected, axis=1, ddof=1) / np.sqrt(corrected.shape[1])
    return mean, np.hypot(scatter, ROUNDING * (1 + np.abs(mean)))


def _corrected_pairs(
    values: Float[np.ndarray, "m s"], weights: Float[np.ndarray, " m"], controls: Float[np.ndarray, "4 m h"]
) -> Float[np.ndarray, "m h"]:
    """Averages of antithetic pairs, less the part that the control variates explain.

    The slopes of one half of the draws are fitted on the other half, so that the correction adds no bias.
    """
    m, half = controls.shape[1:]
    pairs = 0.5 * (values[:, :half] + values[:, half:])
    if not np.all(np.isfinite(pairs)):
        return pairs
    # Within a component there may be too few pairs to part; then the components themselves are parted.
    parity = np.arange(half)[None, :] % 2 if half >= 8 else np.arange(m)[:, None] % 2
    first = np.broadcast_to(parity == 0, (m, half))
    return pairs - np.where(
        first,
        np.tensordot(_slopes(pairs, weights, controls, ~first), controls, 1),
        np.tensordot(_slopes(pairs, weights, controls, first), controls, 1),
    )


def _slopes(
    pairs: Float[np.ndarray, "m h"],
    weights: Float[np.ndarray, " m"],
    controls: Float[np.ndarray, "4 m h"],
    chosen: Bool[np.ndarray, "m h"],
) -> Float[np.ndarray, " 4"]:
    """Least squares of the chosen pairs on their controls, both less their means within components."""
    number = np.maximum(np.sum(chosen, axis=1, keepdims=True), 1)
    scale = weights[:, None] * chosen
    wanted = scale * (pairs - np.sum(pairs * chosen, axis=1, keepdims=True) / number)
    columns = scale * (controls - np.sum(controls * chosen, axis=2, keepdims=True) / number)
    columns = columns.reshape(len(controls), -1)
    return np.linalg.lstsq(columns @ columns.T, columns @ wanted.ravel(), rcond=1e-12)[0]
