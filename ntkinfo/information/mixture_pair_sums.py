"""Sums of pairwise overlaps over all components of a Gaussian mixture, tile by tile, in place, on several threads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ntkinfo.core.threads import map_threads
from ntkinfo.information.mixture_tiles import NEGLIGIBLE, Members, Tiles, members, tiles_of

GROUPS = 8  # partial sums, added up in a fixed order: the result does not depend on the number of threads
EXPANDED = 1000.0  # squared radius over variance up to which |a|² - 2 a·b + |b|² keeps the exponents to 1e-12
FLOOR = -700.0  # exponents are raised to this: exp is slow where it underflows
SYMMETRIC = 0.5  # the Bhattacharyya distance
RELATIVE_ENTROPY = 0.0  # stands for it among the orders of Chernoff divergences, which lie between 0 and 1


@dataclass(frozen=True)
class _Mixture:
    """Components in the order of their tiles, in units near their width, with what the kernels need of them."""

    tiles: Tiles
    mean: Float[np.ndarray, "m C"]
    variance: Float[np.ndarray, " m"]
    labels: Int[np.ndarray, " m"]
    members: list[Members]
    orders: tuple[float, ...]
    equal_widths: bool

    @property
    def outputs(self) -> int:
        return self.mean.shape[1]


def overlap_sums(
    mean: Float[np.ndarray, "m C"],
    variance: Float[np.ndarray, " m"],
    weights: Float[np.ndarray, " m"],
    labels: Int[np.ndarray, " m"] | None,
    orders: tuple[float, ...],
) -> Float[np.ndarray, "orders 2 m"]:
    """`sum_j w_j exp(-D(p_i, p_j))` for every component i, over all j and over those with the label of i.

    Tiles are left out where every pair's exponent is below -40 less the largest log(1 / w_i): what is left out is less
    than 1e-17 of each sum. Where tiles are compact, squared distances come from a matrix product after centring, with
    exponents right to 1e-12; elsewhere from differences.

    Args:
        mean: centres, (m, C).
        variance: variances, (m,).
        weights: probabilities, (m,), above zero.
        labels: class of each component, (m,), integers from 0, or None.
        orders: which divergences D: a number in (0, 1) for the Chernoff divergence of that order, 0 for the relative
            entropy.
    """
    tiles = tiles_of(mean, variance, labels)
    place = tiles.order
    # Powers of variances must not overflow; a unit that is a power of two changes no digit. The origin stays where it
    # is: moving it would round means that differ by little.
    unit = 2.0 ** float(np.round(0.5 * np.mean(np.log2(variance))))
    given = np.zeros(len(mean), dtype=np.int64) if labels is None else labels[place]
    equal = bool(variance.min() == variance.max())
    tiles = tiles.scaled(unit)
    by_class = members(tiles, given, weights[place])
    mixture = _Mixture(tiles, mean[place] / unit, variance[place] / unit**2, given, by_class, orders, equal)
    near = _near(tiles, orders, NEGLIGIBLE - float(np.log(weights.min())))
    rows = [np.arange(group, len(tiles.radius), GROUPS) for group in range(GROUPS)]
    sums = map_threads(lambda part: _group_sums(mixture, near, part), [part for part in rows if len(part)])
    result = np.empty_like(sums[0])
    result[:, :, place] = np.sum(sums, axis=0)
    return result


def _near(tiles: Tiles, orders: tuple[float, ...], negligible: float) -> np.ndarray:
    """(orders, T, T): whether some overlap of a component of the first tile with one of the second counts."""
    squared = tiles.gaps(tiles.centre, tiles.radius) ** 2
    near = []
    for order in orders:
        if order == RELATIVE_ENTROPY:
            least = 0.5 * squared / tiles.largest[None, :]
        else:
            least = 0.5 * order * (1 - order) * squared / np.maximum(tiles.largest[:, None], tiles.largest[None, :])
        near.append(least <= negligible)
    return np.stack(near)


@dataclass(frozen=True)
class _Work:
    """Three blocks of work space of one thread."""

    squared: np.ndarray
    overlap: np.ndarray
    power: np.ndarray

    def shaped(self, rows: int, columns: int) -> _Work:
        return _Work(*(block[: rows * columns].reshape(rows, columns) for block in vars(self).values()))


def _group_sums(mixture: _Mixture, near: np.ndarray, rows: Int[np.ndarray, " t"]) -> Float[np.ndarray, "orders 2 m"]:
    """Every pair of tiles whose first is among `rows` and whose second is not before it; both add to the sums."""
    sums = np.zeros((len(mixture.orders), 2, len(mixture.mean)))
    largest = int(np.max(np.diff(mixture.tiles.edges)))
    work = _Work(*(np.empty(largest * largest) for _ in range(3)))
    for first in rows:
        for second in first + np.flatnonzero(np.any(near[:, first, first:] | near[:, first:, first], axis=0)):
            _pair_sums(mixture, near, (int(first), int(second)), work, sums)
    return sums


def _pair_sums(mixture: _Mixture, near: np.ndarray, pair: tuple[int, int], work: _Work, sums: np.ndarray) -> None:
    first, second = pair
    rows, columns = mixture.tiles.part(first), mixture.tiles.part(second)
    block = work.shaped(rows.stop - rows.start, columns.stop - columns.start)
    _squared_distances(mixture, pair, block)
    own, other = mixture.variance[rows][:, None], mixture.variance[columns][None, :]
    for k, order in enumerate(mixture.orders):
        both = first != second and near[k, second, first]
        if near[k, first, second]:
            _overlap(block, own, other, order, mixture)
            _add(sums[k], block.overlap, (first, second), mixture)
            if both and order == SYMMETRIC:
                _add(sums[k], block.overlap.T, (second, first), mixture)
        if both and order != SYMMETRIC:
            _overlap(block, other, own, order, mixture)
            _add(sums[k], block.overlap.T, (second, first), mixture)


def _squared_distances(mixture: _Mixture, pair: tuple[int, int], work: _Work) -> None:
    """Into `work.squared`: by the expanded square where its rounding errors are small beside every variance."""
    tiles, (first, second) = mixture.tiles, pair
    rows, columns = mixture.mean[tiles.part(first)], mixture.mean[tiles.part(second)]
    radius, least = min(tiles.radius[first], tiles.radius[second]), min(tiles.least[first], tiles.least[second])
    out = work.squared
    if mixture.outputs > 1 and radius**2 <= EXPANDED * least:
        centre = tiles.centre[first if tiles.radius[first] <= tiles.radius[second] else second]
        rows, columns = rows - centre, columns - centre
        own, other = np.sum(rows * rows, axis=1), np.sum(columns * columns, axis=1)
        left = np.column_stack([-2 * rows, own, np.ones(len(rows))])
        np.matmul(left, np.column_stack([columns, np.ones(len(columns)), other]).T, out=out)
        np.maximum(out, 0.0, out=out)
        if first == second:
            np.fill_diagonal(out, 0.0)
        return
    np.subtract(rows[:, 0][:, None], columns[:, 0][None, :], out=out)
    np.multiply(out, out, out=out)
    for c in range(1, mixture.outputs):
        np.subtract(rows[:, c][:, None], columns[:, c][None, :], out=work.overlap)
        np.multiply(work.overlap, work.overlap, out=work.overlap)
        np.add(out, work.overlap, out=out)


def _overlap(work: _Work, own: np.ndarray, other: np.ndarray, order: float, mixture: _Mixture) -> None:
    """Into `work.overlap`: exp(-D(own || other)); `work.squared` stays."""
    if order == RELATIVE_ENTROPY:
        _relative_entropy_overlap(work, own, other, mixture)
    else:
        _chernoff_overlap(work, own, other, order, mixture)


def _relative_entropy_overlap(work: _Work, own: np.ndarray, other: np.ndarray, mixture: _Mixture) -> None:
    out, half = work.overlap, 0.5 * mixture.outputs
    if mixture.equal_widths:
        np.multiply(work.squared, -0.5 / other, out=out)
    else:
        np.add(work.squared, mixture.outputs * own, out=out)
        np.multiply(out, -0.5 / other, out=out)
        np.add(out, half * (1 + np.log(own)), out=out)
        np.subtract(out, half * np.log(other), out=out)
    np.maximum(out, FLOOR, out=out)
    np.exp(out, out=out)


def _chernoff_overlap(work: _Work, own: np.ndarray, other: np.ndarray, order: float, mixture: _Mixture) -> None:
    """exp(-a (1-a) |d|² / 2s) (own^(1-a) other^a / s)^(C/2) with s = (1-a) own + a other; that ratio is at most 1."""
    out, power = work.overlap, work.power
    factor = -0.5 * order * (1 - order)
    if mixture.equal_widths:
        np.multiply(work.squared, factor / other, out=out)
    else:
        np.add((1 - order) * own, order * other, out=out)
        np.divide(1.0, out, out=out)
        np.multiply(out, own ** (1 - order), out=power)
        np.multiply(power, other**order, out=power)
        np.multiply(out, work.squared, out=out)
        np.multiply(out, factor, out=out)
    np.maximum(out, FLOOR, out=out)
    np.exp(out, out=out)
    if not mixture.equal_widths:
        _multiply_power(out, power, mixture.outputs)


def _multiply_power(out: np.ndarray, base: np.ndarray, twice: int) -> None:
    """Multiply `out` by base^(twice / 2) in place, destroying the base."""
    if twice % 2:
        # One root, then whole powers of the base: its square, put back.
        np.sqrt(base, out=base)
        np.multiply(out, base, out=out)
        np.multiply(base, base, out=base)
    exponent = twice // 2
    while exponent:
        if exponent % 2:
            np.multiply(out, base, out=out)
        exponent //= 2
        if exponent:
            np.multiply(base, base, out=base)


def _add(sums: np.ndarray, overlap: np.ndarray, pair: tuple[int, int], mixture: _Mixture) -> None:
    """Add the weighted sums over the second tile to those of the first: over all, and over the same class."""
    rows, others = mixture.tiles.part(pair[0]), mixture.members[pair[1]]
    by_class = np.matmul(overlap, others.spread)
    sums[0, rows] += by_class[:, 0] if by_class.shape[1] == 1 else np.sum(by_class, axis=1)
    sums[1, rows] += others.pick(by_class, mixture.labels[rows])
