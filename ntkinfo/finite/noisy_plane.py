"""Noisy networks over training: I(X;T) and I(T;Y) of every layer, their compression, and the clustering they follow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import spearmanr

from ntkinfo.core import checks
from ntkinfo.core.arrays import Array, to_numpy
from ntkinfo.core.progress import Track, bar
from ntkinfo.core.records import Estimate
from ntkinfo.finite.noisy import NoisyRun, noisy_information
from ntkinfo.finite.sample_propagation import PropagationSettings
from ntkinfo.information.clustering import pair_distances
from ntkinfo.information.samples import binned_information
from ntkinfo.information.samples_binning import WidthBins

WIDTH_OF_NOISE = 5.0  # bins of H(Bin(T)) in units of the noise, where no width is given


class Interrupted(KeyboardInterrupt):
    """Raised in place of KeyboardInterrupt.

    Attributes:
        partial: the record with what was finished, NaN elsewhere.
    """

    def __init__(self, partial: Any):
        super().__init__("interrupted; `partial` holds the times and members that were finished, NaN elsewhere")
        self.partial = partial


@dataclass(frozen=True)
class NoisyPlane:
    """Informations in nats of every hidden layer over training; arrays (T, M, L).

    Args:
        steps: (T,).
        information_input: I(X;T) with standard errors that include the half width of the bracket.
        input_bracket: its lower and upper ends, (2, T, M, L).
        information_target: I(T;Y) likewise.
        target_bracket: (2, T, M, L).
        ceiling: log n.
    """

    steps: Int[np.ndarray, " t"]
    information_input: Estimate
    input_bracket: Float[np.ndarray, "2 t m l"]
    information_target: Estimate
    target_bracket: Float[np.ndarray, "2 t m l"]
    ceiling: float


@dataclass(frozen=True)
class ClusteringPlane:
    """Clustering of the same weights' activations with all noise off; arrays (T, M, L), entropies in nats.

    Args:
        steps: (T,).
        binned_entropy: H(Bin(T)) = I(X;Bin(T)).
        binned_target: I(Bin(T);Y).
        within: mean distance of two inputs of one class.
        between: mean distance of two inputs of different classes.
        width: of the bins.
        ceiling: log n.
    """

    steps: Int[np.ndarray, " t"]
    binned_entropy: Float[np.ndarray, "t m l"]
    binned_target: Float[np.ndarray, "t m l"]
    within: Float[np.ndarray, "t m l"]
    between: Float[np.ndarray, "t m l"]
    width: float
    ceiling: float


@dataclass(frozen=True)
class Compression:
    """How far a quantity falls from its peak over training to the last record, averaged over members; per layer (L,).

    Args:
        rise: from the first record to the peak, with standard errors over members.
        fall: from the peak to the last record, likewise.
        peak_step: step of the peak of the members' mean.
        members: M.
    """

    rise: Estimate
    fall: Estimate
    peak_step: Int[np.ndarray, " l"]
    members: int


def noisy_plane(
    run: NoisyRun,
    inputs: Float[Array, "n f"],
    labels: Int[Array, " n"],
    settings: PropagationSettings | None = None,
    progress: Track = bar,
) -> NoisyPlane:
    """I(X;T) and I(T;Y) of every hidden layer, at every recorded step and for every member, in nats.

    Args:
        run: the trained networks.
        inputs: all that X can be, equally likely, (n, features).
        labels: their classes, (n,).
        settings: passes, draws and seed; the seed is the same at every time, so that curves are smooth.
        progress: shown over times and members.

    Raises:
        ValueError: as `noisy_information`.
        Interrupted: on Ctrl-C, with what was finished.

    Fails when and Source: as `sample_propagation`.
    """
    host, classes, shape = to_numpy(inputs), to_numpy(labels), (len(run.steps), run.members, run.network.hidden)
    found = np.full((8, *shape), np.nan)

    def fill(time: int, member: int) -> None:
        for layer, one in enumerate(noisy_information(run.network, run.at(time, member), host, classes, settings)):
            assert one.information_target is not None
            assert one.target_bracket is not None
            pairs = [(one.information_input, one.input_bracket), (one.information_target, one.target_bracket)]
            numbers = [number for value, ends in pairs for number in (value.value, value.standard_error, *ends)]
            found[:, time, member, layer] = numbers

    def result() -> NoisyPlane:
        about_x, about_y = (
            Estimate(found[k], found[k + 1], "Monte Carlo", "sample propagation; first layer exact given x")
            for k in (0, 4)
        )
        return NoisyPlane(run.steps, about_x, found[2:4], about_y, found[6:8], float(np.log(len(host))))

    _everywhere(run, fill, result, progress, "sample propagation")
    return result()


def clustering_plane(
    run: NoisyRun,
    inputs: Float[Array, "n f"],
    labels: Int[Array, " n"],
    width: float | None = None,
    *,
    rows: int = 1024,
    seed: int = 0,
    progress: Track = bar,
) -> ClusteringPlane:
    """H(Bin(T)), I(Bin(T);Y) and mean distances of every hidden layer with all noise off, over training.

    Args:
        run: trained networks, with noise or without.
        inputs: all that X can be, equally likely, (n, features).
        labels: their classes, (n,).
        width: of the bins; None for five times the noise of the networks.
        rows: at most so many of the inputs, chosen by chance, have their distances taken.
        seed: of that choice.
        progress: shown over times and members.

    Raises:
        ValueError: no width for networks without noise; what `binned_information` raises.
        Interrupted: on Ctrl-C, with what was finished.
    """
    if width is None and run.network.noise_std == 0:
        raise ValueError("width is None and the networks have no noise to take it from; give the width of the bins")
    chosen_width = WIDTH_OF_NOISE * run.network.noise_std if width is None else width
    binning = WidthBins(float(chosen_width))
    checks.whole("rows", rows, least=2)
    host, classes = to_numpy(inputs), to_numpy(labels)
    some = np.random.default_rng(seed).permutation(len(host))[:rows]
    found = np.full((4, len(run.steps), run.members, run.network.hidden), np.nan)

    def fill(time: int, member: int) -> None:
        for layer, values in enumerate(run.network.activations(run.at(time, member), host)):
            binned = binned_information(values, binning, classes)
            assert binned.information_target is not None
            apart = pair_distances(values[some], classes[some])
            entropy, target = float(binned.entropy.value), float(binned.information_target.value)
            found[:, time, member, layer] = entropy, target, apart.mean_within, apart.mean_between

    def result() -> ClusteringPlane:
        return ClusteringPlane(run.steps, *_four(found), float(chosen_width), float(np.log(len(host))))

    _everywhere(run, fill, result, progress, "clustering")
    return result()


def compression(steps: Int[np.ndarray, " t"], values: Float[np.ndarray, "t m l"]) -> Compression:
    """Rise to a peak and fall after it, per layer, with standard errors over members.

    The peak of each member is looked for in the mean of the others: its own peak would be its luckiest value, and its
    fall would be positive for noise alone. With one member that cannot be done, and is refused.

    Args:
        steps: (T,).
        values: (T, M, L), for instance `plane.information_input.value`.

    Raises:
        ValueError: fewer than two members or times, NaN.
    """
    checks.finite("values", values)
    count, members, layers = values.shape
    if members < 2 or count < 2:
        raise ValueError(f"values has shape {values.shape}; a compression needs two times and two members at least")
    total = values.sum(axis=1)
    rise, fall = np.empty((2, members, layers))
    for member in range(members):
        own = values[:, member]
        peak = np.argmax(total - own, axis=0)
        top = np.take_along_axis(own, peak[None, :], axis=0)[0]
        rise[member], fall[member] = top - own[0], top - own[-1]
    return Compression(_over_members(rise), _over_members(fall), steps[np.argmax(total, axis=0)], members)


def member_mean(values: Float[np.ndarray, "t m l"], bracket: Float[np.ndarray, "2 t m l"] | None = None) -> Estimate:
    """Mean over members at every time, (T, L), with its standard error.

    Args:
        values: (T, M, L), two members or more.
        bracket: lower and upper ends of each value; half the members' mean width, which they have in common, is then
            part of the error.

    Raises:
        ValueError: one member.
    """
    if values.shape[1] < 2:
        raise ValueError(f"values has shape {values.shape}; the scatter between members needs two of them")
    error = values.std(axis=1, ddof=1) / np.sqrt(values.shape[1])
    if bracket is not None:
        error = np.hypot(error, 0.5 * np.mean(bracket[1] - bracket[0], axis=1))
    return Estimate(values.mean(axis=1), error, "Monte Carlo", f"mean over {values.shape[1]} members")


def tracking(information: Float[np.ndarray, "t m l"], clusters: Float[np.ndarray, "t m l"]) -> Estimate:
    """Rank correlation over training between two quantities, per layer (L,), averaged over members.

    Args:
        information: for instance I(X;T) of noisy networks.
        clusters: for instance H(Bin(T)) of the same networks with noise off, or of networks trained without noise.

    Returns:
        The mean over members with its standard error; a member whose quantity never changes counts as 0.

    Raises:
        ValueError: shapes that differ, fewer than three times or two members, NaN.
    """
    checks.shape("clusters", clusters, information.shape, "the shape of the information")
    for name, array in (("information", information), ("clusters", clusters)):
        checks.finite(name, array)
    count, members, layers = information.shape
    if count < 3 or members < 2:
        raise ValueError(f"information has shape {information.shape}; give three times and two members at least")
    found = np.zeros((members, layers))
    for member, layer in product(range(members), range(layers)):
        one, other = information[:, member, layer], clusters[:, member, layer]
        if np.ptp(one) > 0 and np.ptp(other) > 0:
            found[member, layer] = float(spearmanr(one, other).statistic)  # pyright: ignore[reportAttributeAccessIssue]
    return _over_members(found)


def _four(found: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    return found[0], found[1], found[2], found[3]


def _over_members(values: Float[np.ndarray, "m l"]) -> Estimate:
    error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    return Estimate(values.mean(axis=0), error, "Monte Carlo", f"mean over {len(values)} members")


def _everywhere(
    run: NoisyRun, fill: Callable[[int, int], None], result: Callable[[], Any], progress: Track, label: str
) -> None:
    """Fill all times and members; an interruption carries what was finished."""
    places: Iterator[tuple[int, int]] = product(range(len(run.steps)), range(run.members))
    try:
        for time, member in progress(places, label, total=len(run.steps) * run.members):
            fill(time, member)
    except KeyboardInterrupt:
        raise Interrupted(result()) from None
