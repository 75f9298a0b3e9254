"""How much the layers of trained networks compress: by how much I(X;T) falls from its peak, with intervals over seeds.

Also the lines that decide outcomes. A measurement says "supported" or "not supported" only where its whole interval
over seeds lies on one side of a stated line, else "undecided". All informations are of binned activations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.finite.plane import PlaneStudy
from ntkinfo.finite.plane_intervals import Interval, difference_interval, mean_interval

Outcome = Literal["supported", "not supported", "undecided"]
BIT = float(np.log(2.0))


@checked
@dataclass(frozen=True)
class FindingSettings:
    """Lines that decide outcomes.

    Args:
        least_drop: a layer compresses where the interval of its fall of I(X;T) lies above this, nats (0.1 bits).
        share: "most epochs" is more than this share.
        factor: two epochs coincide where their ratio lies within this factor.
        gap: a layer is near the bound where its gap is below this share of H(Y).
        error: training error to be reached, for the time against depth.
        sustained: recorded epochs in a row for a transition.
        draws: bootstrap samples.
        seed: of the bootstrap.

    Raises:
        ValueError, TypeError: numbers out of range.
    """

    least_drop: float = 0.1 * BIT
    share: float = 0.5
    factor: float = 2.0
    gap: float = 0.1
    error: float = 0.05
    sustained: int = 3
    draws: int = 500
    seed: int = 0

    def __post_init__(self):
        checks.non_negative("least_drop", self.least_drop)
        for name in ("share", "gap", "error"):
            checks.probability(name, getattr(self, name))
        if not self.factor > 1:
            raise ValueError(f"factor is {self.factor}; it must be above 1")
        checks.whole("sustained", self.sustained)
        checks.whole("draws", self.draws, 100)


@dataclass(frozen=True)
class Compression:
    """By how much each layer's I(X;T) falls from its peak to the end of training.

    Args:
        peak_epochs: epoch of the highest mean over the seeds, (L,).
        drops: fall of each seed, nats, (M, L), from the peak of the other half's mean: chance peaks do not count.
        drop: its mean over the seeds, (L,).
        compresses: whether the interval lies above the least drop, (L,).
    """

    peak_epochs: Int[np.ndarray, " l"]
    drops: Float[np.ndarray, "m l"]
    drop: Interval
    compresses: Bool[np.ndarray, " l"]


def compression(study: PlaneStudy, settings: FindingSettings | None = None) -> Compression:
    """Measure the compression of every layer.

    The peak of a seed's own curve would make any fluctuating curve fall. The even seeds are therefore measured from the
    epoch at which the mean of the odd ones peaks, and the other way round.

    Raises:
        ValueError: fewer than four seeds.
    """
    settings, curves = settings or FindingSettings(), study.information_input
    seeds = curves.shape[1]
    if seeds < 4:
        raise ValueError(f"the study has {seeds} seeds; compression takes at least 4")
    drops = np.empty((seeds, curves.shape[2]))
    for half, other in ((slice(0, None, 2), slice(1, None, 2)), (slice(1, None, 2), slice(0, None, 2))):
        peak = np.argmax(curves[:, other].mean(axis=1), axis=0)
        drops[half] = np.take_along_axis(curves[:, half], peak[None, None, :], axis=0)[0] - curves[-1, half]
    total = curves.sum(axis=1)
    drop = mean_interval(drops)
    return Compression(study.epochs[np.argmax(total, axis=0)], drops, drop, np.asarray(drop.low > settings.least_drop))


def compression_contrast(first: PlaneStudy, second: PlaneStudy) -> Interval:
    """How much more the first study's layers compress than the second's, nats, (L,) with Welch's intervals.

    Raises:
        ValueError: other numbers of layers.
    """
    if first.n_layers != second.n_layers:
        raise ValueError(f"the studies have {first.n_layers} and {second.n_layers} layers; compare equal numbers")
    return difference_interval(compression(first).drops, compression(second).drops)


def mean_curves(curves: Float[np.ndarray, "t m l"], weights: Float[np.ndarray, " m"]) -> Float[np.ndarray, "t l"]:
    """Curves averaged over weighted seeds."""
    return np.einsum("tml,m->tl", curves, weights)


def side_of(interval: Interval, line: float) -> Outcome:
    """Whether the whole interval lies above the line, or below."""
    return "supported" if interval.low > line else "not supported" if interval.high < line else "undecided"


def in_words(interval: Interval, scale: float, unit: str) -> str:
    """Value and interval in a unit, with three digits."""
    value, low, high = (scale * float(end) for end in (interval.value, interval.low, interval.high))
    return f"{value:.3g}{unit} [{low:.3g}, {high:.3g}]"
