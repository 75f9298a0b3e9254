"""Overlaps of each component of a mixture with the others: what they bound, and what few draws cannot have met."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from ntkinfo.core.arrays import Array, namespace, to_numpy
from ntkinfo.information.mixture_sampling import UNSEEN

PAIRS_AT_ONCE = 1 << 17
ALIKE = 8  # power of a Bhattacharyya coefficient: as much of one component counts as like the other
FADES = 20.0  # draws that an overlap lets expect, from which on it has been met


def overlaps(
    mean: Float[Array, "m C"], variance: Float[Array, " m"]
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """For each component: the sums of its Bhattacharyya coefficients with the others and of their powers, and a bound.

    Eighth powers, exp(-d²) of means d deviations apart, count how many others are like the component. The bound, from
    above, is that of Kolchinsky & Tracey 2017 on the relative entropy to the even mixture, before averaging.
    """
    gaps, alike, uppers = [], [], []
    for _, overlap, entropy in _rows(mean, variance):
        gaps.append(np.sum(overlap, axis=1))
        alike.append(np.sum(overlap**ALIKE, axis=1))
        uppers.append(np.log(len(mean)) - np.log(np.sum(np.exp(-entropy), axis=1)))
    return np.concatenate(gaps), np.concatenate(alike), np.concatenate(uppers)


def unseen(
    mean: Float[Array, "m C"],
    variance: Float[Array, " m"],
    labels: Int[np.ndarray, " m"] | None,
    alike: Float[np.ndarray, " m"],
    draws: int,
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """What overlaps that no draw may have met could add to each component's information, and to that on its label.

    Draws from a component and from those like it fall into its overlap with another as often as their Bhattacharyya
    coefficient lets expect, at most. An overlap that few draws are expected in can add that coefficient; all of them
    not more than a draw or two, each of which is shared with the components that are like it.

    Args:
        mean: centres, (m, C).
        variance: variances, (m,), above zero.
        labels: class of each component, or None.
        alike: how many others are like each component, (m,).
        draws: from each component.
    """
    most = UNSEEN / (draws * (1 + alike))
    given, label = [], []
    for part, overlap, _ in _rows(mean, variance):
        expected = draws * overlap * (1 + np.minimum(alike[part][:, None], alike[None, :]))
        left = overlap * np.exp(-expected / FADES)
        given.append(np.sum(left, axis=1))
        others = 0.0 if labels is None else labels[part][:, None] != labels[None, :]
        label.append(np.sum(left * others, axis=1))
    return np.minimum(np.concatenate(given), most), np.minimum(np.concatenate(label), most)


def _rows(
    mean: Float[Array, "m C"], variance: Float[Array, " m"]
) -> Iterator[tuple[Int[np.ndarray, " r"], Float[np.ndarray, "r m"], Float[np.ndarray, "r m"]]]:
    """Some components at a time: Bhattacharyya coefficients, 0 with itself, and relative entropies to all others."""
    xp, m = namespace(mean, variance), len(mean)
    rows = max(1, PAIRS_AT_ONCE // m)
    for start in range(0, m, rows):
        part = np.arange(start, min(start + rows, m))
        squared = xp.zeros((len(part), m), dtype=mean.dtype)
        for c in range(mean.shape[1]):
            squared = squared + (mean[part, c][:, None] - mean[:, c][None, :]) ** 2
        own, other = variance[part][:, None], variance[None, :]
        logs = xp.log(own) - xp.log(other)
        middle = xp.log(0.5 * (own + other)) - 0.5 * (xp.log(own) + xp.log(other))
        overlap = xp.exp(-squared / (4 * (own + other)) - 0.5 * mean.shape[1] * middle)
        apart = xp.asarray(part[:, None] != np.arange(m)[None, :])
        entropy = 0.5 * (squared / other + mean.shape[1] * ((own - other) / other - logs))
        yield part, to_numpy(xp.where(apart, overlap, 0.0)), to_numpy(entropy)
