"""Sums of pairwise overlaps over all components of a Gaussian mixture, tile by tile, in place, on several threads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ntkinfo.core.threads import map_threads
from ntkinfo.information.mixture_tiles import NEGLIGIBLE, Members, Tiles, members, tiles_of

GROUPS = 8  # partial sums, added up in a fixed order: the result does not depend on the number of threads
EXPANDED = 1e5  # squared radius over variance up to which |a|² - 2 a·b + |b|² keeps the exponents to 1e-10
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
    exponents right to 1e-10; elsewhere from differences.

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


def _group_sums(mixture: _Mixture, near: np.ndarray, rows: Int[np.ndarray, " t"]) -> Float[np.ndarray, "orders 2 m"]:
    """Every pair of tiles whose first is among `rows` and whose second is not before it; both add to the sums."""
    sums = np.zeros((len(mixture.orders), 2, len(mixture.mean)))
    largest = int(np.max(np.diff(mixture.tiles.edges)))
    work = np.empty((3, largest * largest))
    for first in rows:
        for second in first + np.flatnonzero(np.any(near[:, first, first:] | near[:, first:, first], axis=0)):
            pair = _TilePair(mixture, int(first), int(second), work)
            for k, order in enumerate(mixture.orders):
                pair.add(order, bool(near[k, first, second]), bool(near[k, second, first]), sums[k])
    return sums


class _TilePair:
    """All pairs of a component of one tile (rows) with one of another (columns); overlaps are formed in place."""

    def __init__(self, mixture: _Mixture, first: int, second: int, work: Float[np.ndarray, "3 pairs"]):
        self._mixture, self._tiles, self._pair = mixture, mixture.tiles, (first, second)
        rows, columns = self._tiles.part(first), self._tiles.part(second)
        shape = rows.stop - rows.start, columns.stop - columns.start
        self._squared, self._out, self._power = (block[: shape[0] * shape[1]].reshape(shape) for block in work)
        self._rows, self._columns = mixture.mean[rows], mixture.mean[columns]
        self._own, self._other = mixture.variance[rows], mixture.variance[columns]
        apart = np.linalg.norm(self._tiles.centre[first] - self._tiles.centre[second])
        self._farthest = float(apart + self._tiles.radius[first] + self._tiles.radius[second]) ** 2
        self._expanded = self._centre()
        self._form_distances()

    def add(self, order: float, forward: bool, backward: bool, sums: Float[np.ndarray, "2 m"]) -> None:
        """Add the overlaps of the first tile's components with the second's, and of the second's with the first's."""
        first, second = self._pair
        backward = backward and first != second
        if forward:
            self._overlap(order, forward=True)
            _add(sums, self._out, (first, second), self._mixture)
            if backward and order == SYMMETRIC:
                _add(sums, self._out.T, (second, first), self._mixture)
        if backward and order != SYMMETRIC:
            self._overlap(order, forward=False)
            _add(sums, self._out.T, (second, first), self._mixture)

    def _centre(self) -> bool:
        """Move the origin into the smaller tile where expanded squares are precise enough; whether they are."""
        tiles, pair = self._tiles, np.array(self._pair)
        smaller = pair[np.argmin(tiles.radius[pair])]
        if self._mixture.outputs == 1 or tiles.radius[smaller] ** 2 > EXPANDED * np.min(tiles.least[pair]):
            return False
        self._rows, self._columns = self._rows - tiles.centre[smaller], self._columns - tiles.centre[smaller]
        self._row_squares = np.sum(self._rows * self._rows, axis=1)
        self._column_squares = np.sum(self._columns * self._columns, axis=1)
        return True

    def _form_distances(self) -> None:
        out = self._squared
        if self._expanded:
            left = np.column_stack([-2 * self._rows, self._row_squares, np.ones(len(self._rows))])
            right = np.column_stack([self._columns, np.ones(len(self._columns)), self._column_squares])
            np.matmul(left, right.T, out=out)
            if self._pair[0] == self._pair[1]:
                np.fill_diagonal(out, 0.0)
            return
        np.subtract(self._rows[:, 0][:, None], self._columns[:, 0][None, :], out=out)
        np.multiply(out, out, out=out)
        for c in range(1, self._mixture.outputs):
            np.subtract(self._rows[:, c][:, None], self._columns[:, c][None, :], out=self._out)
            np.multiply(self._out, self._out, out=self._out)
            np.add(out, self._out, out=out)

    def _overlap(self, order: float, forward: bool) -> None:
        """Into `_out`: exp(-D) of row from column (forward) or column from row, for every pair; the distances stay."""
        rows, columns = self._own[:, None], self._other[None, :]
        own, other = (rows, columns) if forward else (columns, rows)
        if order == RELATIVE_ENTROPY:
            self._relative_entropy_overlap(own, other, forward)
        else:
            self._chernoff_overlap(own, other, order)

    def _exponential(self, lowest: float) -> None:
        if lowest < FLOOR:
            np.maximum(self._out, FLOOR, out=self._out)
        np.exp(self._out, out=self._out)

    def _relative_entropy_overlap(self, own: np.ndarray, other: np.ndarray, forward: bool) -> None:
        outputs, half = self._mixture.outputs, 0.5 * self._mixture.outputs
        lowest = -0.5 * (self._farthest + outputs * float(own.max())) / float(other.min())
        lowest += half * (1 + np.log(float(own.min()) / float(other.max())))
        if self._mixture.equal_widths:
            np.multiply(self._squared, -0.5 / other, out=self._out)
        elif self._expanded:
            self._relative_entropy_product(forward)
        else:
            np.add(self._squared, outputs * own, out=self._out)
            np.multiply(self._out, -0.5 / other, out=self._out)
            np.add(self._out, half * (1 + np.log(own)), out=self._out)
            np.subtract(self._out, half * np.log(other), out=self._out)
        self._exponential(float(lowest))

    def _relative_entropy_product(self, forward: bool) -> None:
        """-(|d|² + C own) / 2 other + C/2 (1 + log own - log other) as one matrix product."""
        half = 0.5 * self._mixture.outputs
        first = self._rows, self._row_squares, self._own
        second = self._columns, self._column_squares, self._other
        mean, squares, variance = first if forward else second
        ones = np.ones(len(mean))
        own = np.column_stack([mean, squares + 2 * half * variance, half * (1 + np.log(variance)), ones])
        mean, squares, variance = second if forward else first
        constant = -0.5 * squares / variance - half * np.log(variance)
        other = np.column_stack([mean / variance[:, None], -0.5 / variance, np.ones(len(mean)), constant])
        left, right = (own, other) if forward else (other, own)
        np.matmul(left, right.T, out=self._out)
        if self._pair[0] == self._pair[1]:
            np.fill_diagonal(self._out, 0.0)

    def _chernoff_overlap(self, own: np.ndarray, other: np.ndarray, order: float) -> None:
        """exp(-a (1-a) |d|² / 2s) (own^(1-a) other^a / s)^(C/2), s = (1-a) own + a other; that ratio is at most 1."""
        factor = -0.5 * order * (1 - order)
        lowest = factor * self._farthest / min(float(own.min()), float(other.min()))
        out = self._out
        if self._mixture.equal_widths:
            np.multiply(self._squared, factor / other, out=out)
            self._exponential(lowest)
            return
        np.add((1 - order) / factor * own, order / factor * other, out=out)
        np.divide(1.0, out, out=out)
        np.multiply(out, own ** (1 - order) / factor, out=self._power)
        np.multiply(self._power, other**order, out=self._power)
        np.multiply(out, self._squared, out=out)
        self._exponential(lowest)
        _multiply_power(out, self._power, self._mixture.outputs)


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
