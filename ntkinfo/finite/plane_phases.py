"""Compression over training time: its share of the epochs, its start against the gradients, its need of noise.

Three of the five claims of Shwartz-Ziv & Tishby 2017 as measurements with an outcome; see `plane_compression`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ntkinfo.finite.gradient_phases import transition
from ntkinfo.finite.plane import PlaneStudy
from ntkinfo.finite.plane_compression import (
    BIT,
    Compression,
    FindingSettings,
    Outcome,
    compression,
    in_words,
    mean_curves,
    side_of,
)
from ntkinfo.finite.plane_intervals import (
    Interval,
    bootstrap_interval,
    difference_interval,
    mean_interval,
    seed_weights,
)


@dataclass(frozen=True)
class CompressionShare:
    """Claim: most epochs are spent on compression.

    Args:
        outcome: of the claim.
        statement: in words, with numbers.
        share: share of the epochs after the peak, averaged over the hidden layers; those that do not compress count 0.
        compression: what it rests on.
    """

    outcome: Outcome
    statement: str
    share: Interval
    compression: Compression


def compression_share(study: PlaneStudy, settings: FindingSettings | None = None) -> CompressionShare:
    """Measure the share of the epochs that the hidden layers spend in compression.

    It depends on how long training goes on after the error has settled: the number of epochs belongs to the result.
    """
    settings = settings or FindingSettings()
    found = compression(study, settings)
    hidden = np.flatnonzero(found.compresses[:-1])

    def share(weights: np.ndarray) -> float:
        peaks = study.epochs[np.argmax(mean_curves(study.information_input, weights), axis=0)]
        return float(np.sum(1 - peaks[hidden] / study.epochs[-1]) / (study.n_layers - 1))

    interval = bootstrap_interval(share, study.information_input.shape[1], settings.draws, settings.seed)
    outcome = side_of(interval, settings.share)
    statement = (
        f"hidden layers are past the peak of I(X;T) for {in_words(interval, 100.0, '%')} of {study.epochs[-1]} epochs; "
        f"{len(hidden)} of {study.n_layers - 1} hidden layers compress by {settings.least_drop / BIT:.2g} bits or more"
    )
    return CompressionShare(outcome, statement, interval, found)


@dataclass(frozen=True)
class CompressionStart:
    """Claim: compression starts when the gradients pass from drift to diffusion.

    Args:
        outcome: of the claim.
        statement: in words, with numbers.
        ratio: epoch of the peak of I(X;T) over that of the gradient transition, geometric mean over the hidden layers
            that compress and have a transition.
        peak_epochs: of I(X;T), (L,).
        transition_epochs: of each layer's signal-to-noise ratio, (L,); NaN where it has none.
    """

    outcome: Outcome
    statement: str
    ratio: Interval
    peak_epochs: Float[np.ndarray, " l"]
    transition_epochs: Float[np.ndarray, " l"]


def compression_start(study: PlaneStudy, settings: FindingSettings | None = None) -> CompressionStart:
    """Compare when hidden layers begin to compress with when their gradients' noise overtakes the signal.

    Raises:
        ValueError: the study has no gradients.
    """
    settings = settings or FindingSettings()
    hidden = np.flatnonzero(compression(study, settings).compresses[:-1])

    def both(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        peaks = study.epochs[np.argmax(mean_curves(study.information_input, weights), axis=0)].astype(np.float64)
        return peaks, transition_epochs(study, weights, settings.sustained)

    def ratio(weights: np.ndarray) -> float:
        peaks, changes = both(weights)
        logs = np.log(np.maximum(peaks[hidden], 1.0) / changes[hidden])
        return float(np.exp(np.mean(logs[np.isfinite(logs)]))) if np.isfinite(logs).any() else np.nan

    seeds = study.information_input.shape[1]
    peaks, changes = both(np.full(seeds, 1 / seeds))
    interval = bootstrap_interval(ratio, seeds, settings.draws, settings.seed)
    outcome, statement = _start_outcome(interval, len(hidden), peaks[hidden], changes[hidden], settings.factor)
    return CompressionStart(outcome, statement, interval, peaks, changes)


def transition_epochs(study: PlaneStudy, weights: np.ndarray, sustained: int) -> Float[np.ndarray, " l"]:
    """Epoch at which each layer's signal-to-noise ratio falls below 1; geometric mean of the ratio over weighted seeds.

    A mean of squared gradients would be that of the few seeds that happen to be on a steep slope.
    """
    if study.exact is None:
        raise ValueError("the study has no gradients; run it with gradients in its settings")
    ratios = np.exp(mean_curves(np.log(np.asarray(study.exact.ratio_squared)), weights))
    epochs = study.epochs.astype(np.float64)
    return np.array([transition(epochs, row, sustained=sustained).time for row in ratios.T])


def _start_outcome(
    ratio: Interval, compressing: int, peaks: np.ndarray, changes: np.ndarray, factor: float
) -> tuple[Outcome, str]:
    if not compressing:
        return "undecided", "no hidden layer compresses, so there is no start to compare"
    known = np.isfinite(changes)
    if not known.any():
        return "not supported", f"{compressing} hidden layers compress and none has a gradient transition"
    text = (
        f"I(X;T) peaks at {in_words(ratio, 1.0, ' times')} the epoch of the gradient transition "
        f"(epochs {_epochs(peaks[known])} against {_epochs(changes[known])}, {known.sum()} of {compressing} layers)"
    )
    within = 1 / factor <= ratio.low and ratio.high <= factor
    apart = ratio.low > factor or ratio.high < 1 / factor
    return ("supported" if within else "not supported" if apart else "undecided"), text


@dataclass(frozen=True)
class NoiseAgainstFullBatch:
    """Claim: the noise of minibatch gradients causes compression.

    Args:
        outcome: of the claim.
        statement: in words, with numbers.
        noisy: fall of I(X;T) with minibatches, mean over the hidden layers, nats.
        full: the same with full batches.
        difference: the first less the second.
        share: the second over the first: how much of the compression needs no noise.
    """

    outcome: Outcome
    statement: str
    noisy: Interval
    full: Interval
    difference: Interval
    share: Interval


def noise_against_full_batch(
    noisy: PlaneStudy, full: PlaneStudy, settings: FindingSettings | None = None
) -> NoiseAgainstFullBatch:
    """Compare compression under minibatch gradients and under full-batch gradients of the same length of training.

    "Supported": more than half of the compression goes when the noise does. "Not supported": less than half.

    Raises:
        ValueError: other numbers of layers, or a second study with minibatches.
    """
    settings = settings or FindingSettings()
    if noisy.n_layers != full.n_layers or full.settings.batch_size is not None:
        raise ValueError("give a study with minibatches and one of as many layers with batch_size=None")
    first, second = (compression(study, settings).drops[:, :-1].mean(axis=1) for study in (noisy, full))
    parts = mean_interval(first), mean_interval(second), difference_interval(first, second)
    compresses = bool(parts[0].low > settings.least_drop)
    share = _share(first, second, settings) if compresses else Interval(np.nan, np.nan, np.nan, "nothing to share")
    outcome: Outcome = "supported" if share.high < 0.5 else "not supported" if share.low > 0.5 else "undecided"
    statement = (
        f"hidden layers compress by {in_words(parts[0], 1 / BIT, ' bits')} with minibatches and by "
        f"{in_words(parts[1], 1 / BIT, ' bits')} with full batches: "
        + (f"{in_words(share, 100.0, '%')} of it needs no noise" if compresses else "too little to compare")
    )
    return NoiseAgainstFullBatch(outcome, statement, *parts, share)


def _share(noisy: np.ndarray, full: np.ndarray, settings: FindingSettings) -> Interval:
    """Ratio of two means over independent sets of seeds, by the bootstrap."""
    first, second = (
        seed_weights(len(row), settings.draws, settings.seed + k) @ row for k, row in enumerate((noisy, full))
    )
    low, high = np.quantile(second / first, [0.025, 0.975])
    method = f"bootstrap over the seeds, {settings.draws} samples, 95%"
    return Interval(float(full.mean() / noisy.mean()), float(low), float(high), method)


def _epochs(values: np.ndarray) -> str:
    return ", ".join(f"{value:.3g}" for value in values)
