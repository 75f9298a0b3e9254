"""Binned information of a layer's activations about input and class, for any layer of any network.

T is a layer's activations, Bin(T) the row of their bin numbers. For a network without noise T is a function of X: for
inputs that stay distinct I(X;T) is H(X) at every time of training, or infinite where X is continuous. I(X;Bin(T)) is
then H(Bin(T)), which falls where activations gather in few bins: what it follows is clustering. The results say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array
from ntkinfo.core.labels import class_numbers
from ntkinfo.core.progress import Track, bar
from ntkinfo.core.records import Estimate
from ntkinfo.information.samples_binning import Binning, checked_activations, checked_binning, row_symbols

DETERMINISTIC = (
    "every row is taken for one input and T for a function of it: I(X;Bin(T)) = H(Bin(T)) follows how activations "
    "cluster; before binning I(X;T) is the entropy of the distinct activations (H(X) where all differ), or infinite "
    "for continuous X"
)
REPEATED = (
    "plug-in entropies of binned draws: I(X;Bin(T)) is at most I(X;T) for the same inputs, and is overestimated by "
    "about `expected_bias` because each input has few rows"
)
ROUNDING = 1e-14


@dataclass(frozen=True)
class BinnedInformation:
    """Informations of binned activations, in nats, for X drawn with the weights from the rows' inputs.

    Args:
        entropy: H(Bin(T)).
        information_input: I(X;Bin(T)); equal to `entropy` where every row is an input.
        information_target: I(Bin(T);Y), or None without labels.
        occupied: how many different rows of bin numbers there are.
        clipped: how many activations lay outside the bins and were counted into the outermost.
        ceiling: H(X), which I(X;Bin(T)) cannot exceed: log m for m equally likely inputs.
        expected_bias: first-order bias of `information_input` where inputs have several rows (Miller & Madow), not
            subtracted; 0 where every row is an input, since all of X is then there.
        caveat: what the numbers follow and what they do not say.
    """

    entropy: Estimate
    information_input: Estimate
    information_target: Estimate | None
    occupied: int
    clipped: int
    ceiling: float
    expected_bias: float
    caveat: str


@dataclass(frozen=True)
class BinnedTrajectory:
    """Binned informations of one layer over training, in nats; arrays have the leading shape of the activations.

    Args:
        entropy: H(Bin(T)) = I(X;Bin(T)), every row being one input.
        information_target: I(Bin(T);Y), or None without labels.
        occupied: numbers of different rows of bin numbers.
        clipped: numbers of activations outside the bins.
        ceiling: H(X).
        caveat: as in `BinnedInformation`.
    """

    entropy: Float[np.ndarray, "*places"]
    information_target: Float[np.ndarray, "*places"] | None
    occupied: Int[np.ndarray, "*places"]
    clipped: Int[np.ndarray, "*places"]
    ceiling: float
    caveat: str = DETERMINISTIC


@checked
def binned_information(
    activations: Array | Sequence,
    binning: Binning,
    labels: Array | Sequence | None = None,
    *,
    weights: Array | Sequence | None = None,
    inputs: Array | Sequence | None = None,
) -> BinnedInformation:
    """H(Bin(T)), I(X;Bin(T)) and I(Bin(T);Y) in nats.

    Args:
        activations: of one layer, one row for each input, (m, d).
        binning: how activations are binned: `FixedBins`, `RangeBins`, `QuantileBins`, `WidthBins`, or any object with
            their method `codes`.
        labels: class of each row, (m,), any integers or text; or None.
        weights: probability of each row's input, (m,), summing to one; equal when left out.
        inputs: which input each row belongs to, (m,), any integers, for networks with noise that were run several times
            on each; None where every row is an input of its own. Not together with `weights`.

    Returns:
        The informations. They are exact for the binned activations of the given inputs. With `inputs` they are plug-in
        estimates: the standard error is that of the scatter between the rows of an input, and `expected_bias` is
        stated beside it.

    Raises:
        ValueError: shapes that do not fit, NaN, infinity or masked entries, in labels too, weights that are no
            probabilities, weights with inputs.
        TypeError: a binning that is none, labels that name no class.

    >>> from ntkinfo.information.samples_binning import FixedBins
    >>> activations = np.array([[-0.9, 0.2], [-0.8, 0.3], [0.9, 0.9], [0.9, 0.8]])
    >>> found = binned_information(activations, FixedBins((-1.0, 0.0, 1.0)), np.array([0, 0, 1, 1]))
    >>> print(f"H(Bin(T)) = {found.entropy.value:.4f}, I(Bin(T);Y) = {found.information_target.value:.4f}")
    H(Bin(T)) = 0.6931, I(Bin(T);Y) = 0.6931

    Fails when the inputs are a sample that stands for a larger population: H(Bin(T)) of few rows is then too small, and
    I(Bin(T);Y) too large. With many units nearly every row has bins of its own and all values are their ceilings.
    Source: methods B; Shwartz-Ziv & Tishby 2017; Saxe et al. 2018; Miller 1955 for the bias.
    """
    host = checked_activations(activations)
    checked_binning(binning)
    classes, given = _classes("labels", labels, len(host)), _classes("inputs", inputs, len(host))
    share = _share(weights, len(host), inputs is not None)
    codes = binning.codes(host)
    symbols = row_symbols(codes.values)
    occupied = int(symbols.max()) + 1
    entropy = _entropy(symbols, share)
    target = None if classes is None else _exact(entropy - _conditional_entropy(symbols, classes, share))
    if given is None:
        ceiling = _entropy(np.arange(len(host)), share)
        exact = _exact(entropy)
        return BinnedInformation(exact, exact, target, occupied, codes.clipped, ceiling, 0.0, DETERMINISTIC)
    information, bias = _plug_in(symbols, given)
    plain = Estimate(entropy, 0.0, "estimate", "plug-in entropy of the rows")
    if target is not None:
        target = Estimate(target.value, 0.0, "estimate", "plug-in entropies of the rows")
    ceiling = _entropy(given, share)
    return BinnedInformation(plain, information, target, occupied, codes.clipped, ceiling, bias, REPEATED)


@checked
def binned_trajectory(
    activations: Array | Sequence,
    binning: Binning,
    labels: Array | Sequence | None = None,
    *,
    weights: Array | Sequence | None = None,
    progress: Track = bar,
) -> BinnedTrajectory:
    """H(Bin(T)) and I(Bin(T);Y) of a layer without noise at every time and for every member, in nats.

    Args:
        activations: (..., m, d), for instance (times, members, inputs, units).
        binning: applied to each (m, d) by itself. `RangeBins(...).fitted(activations)` and
            `QuantileBins(...).fitted(activations)` make bins that all times share.
        labels: class of each input, (m,).
        weights: probability of each input, (m,); equal when left out.
        progress: shown over the leading places.

    Returns:
        Arrays of the leading shape; the same numbers as `binned_information` at each place.

    Raises:
        ValueError: as `binned_information`; fewer than two dimensions.

    Fails when and Source: as `binned_information`.
    """
    host = checks.host("activations", activations)
    checked_binning(binning)
    if host.ndim < 2 or host.size == 0:
        raise ValueError(f"activations has shape {host.shape}; it must be (..., inputs, units), none of them 0")
    checks.finite("activations", host)
    leading, (m, units) = host.shape[:-2], host.shape[-2:]
    classes, share = _classes("labels", labels, m), _share(weights, m, False)
    flat = host.reshape(-1, m, units)
    found = np.empty((4, len(flat)))
    for index in progress(range(len(flat)), "binning", total=len(flat)):
        codes = binning.codes(flat[index])
        symbols = row_symbols(codes.values)
        entropy = _entropy(symbols, share)
        target = np.nan if classes is None else entropy - _conditional_entropy(symbols, classes, share)
        found[:, index] = entropy, target, symbols.max() + 1, codes.clipped
    entropy, target, occupied, clipped = (row.reshape(leading) for row in found)
    counts = occupied.astype(np.int64), clipped.astype(np.int64)
    return BinnedTrajectory(entropy, None if labels is None else target, *counts, _entropy(np.arange(m), share))


def _exact(value: float) -> Estimate:
    return Estimate(value, ROUNDING, "exact", "entropies of the binned activations of all inputs")


def _classes(name: str, given: Array | Sequence | None, m: int) -> Int[np.ndarray, " m"] | None:
    if given is None:
        return None
    return class_numbers(name, given, m, "one whole number for each row of the activations")[0]


def _entropy(symbols: Int[np.ndarray, " m"], share: Float[np.ndarray, " m"]) -> float:
    """Entropy in nats of whole numbers from 0 that come with these probabilities."""
    mass = np.bincount(symbols, weights=share)
    mass = mass[mass > 0]
    return float(0.0 - np.sum(mass * np.log(mass)))


def _conditional_entropy(
    symbols: Int[np.ndarray, " m"], given: Int[np.ndarray, " m"], share: Float[np.ndarray, " m"]
) -> float:
    joint = symbols * (int(given.max()) + 1) + given
    return _entropy(joint, share) - _entropy(given, share)


def _plug_in(symbols: Int[np.ndarray, " m"], given: Int[np.ndarray, " m"]) -> tuple[Estimate, float]:
    """I(X;Bin(T)) from several rows of each input, its standard error, and its first-order bias."""
    m, columns = len(symbols), int(symbols.max()) + 1
    pairs, place, count = np.unique(given * columns + symbols, return_inverse=True, return_counts=True)
    place, rows = place.reshape(-1), np.bincount(given)
    term = np.log(count[place] / rows[given]) - np.log(np.bincount(symbols)[symbols] / m)
    mean = np.bincount(given, weights=term) / rows
    squares = np.bincount(given, weights=(term - mean[given]) ** 2)
    # An input with one row says nothing about its scatter; it gets that of the others.
    known = rows > 1
    each = squares[known] / (rows[known] - 1)
    spread = np.full(len(rows), float(np.mean(each)) if len(each) else np.inf)
    spread[known] = each
    error = float(np.sqrt(np.sum(rows * spread)) / m)
    kinds = np.bincount(pairs // columns)
    bias = float(np.sum(kinds - 1) - (columns - 1)) / (2 * m)
    return Estimate(float(np.mean(term)), error, "estimate", "plug-in entropies of the rows, by input"), bias


def _share(weights: Array | Sequence | None, m: int, several_passes: bool) -> Float[np.ndarray, " m"]:
    """The probability of each row."""
    if weights is None:
        return np.full(m, 1 / m)
    if several_passes:
        raise ValueError("weights and inputs are both given; rows of several passes count equally: leave weights out")
    share = checks.host("weights", weights)
    checks.shape("weights", share, (m,), "one probability for each row of the activations")
    checks.finite("weights", share)
    share = share.astype(np.float64)
    if abs(share.sum() - 1) > 1e-9 or share.min() < 0:
        raise ValueError(
            f"weights sum to {share.sum()} or hold a negative one; they are probabilities: divide by their sum"
        )
    return share
