"""Densities of a Gaussian mixture at draws from its components, tile by tile, on several threads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ntkinfo.core.arrays import Array, namespace, to_numpy
from ntkinfo.core.threads import map_threads
from ntkinfo.information.mixture_tiles import NEGLIGIBLE, TILE, Members, Tiles, members, tiles_of

NOTHING = -1e300  # log of zero that stays finite under subtraction
FLOOR = -700.0  # exponents are raised to this: exp is slow where it underflows
EXPANDED = 1e5  # squared radius over variance up to which expanded squares keep the exponents to 1e-10
SAFE = 300.0  # exponents up to this need no new reference
ROWS = 384  # draws in a block
BLOCKS_AT_ONCE = 8
PAIRS_AT_ONCE = 1 << 22  # of draws and components, for jax
NUMBERS_AT_ONCE = 1 << 22  # of noise

# For draws (n,) from the given components with the given noise: the rows of `Sums`.
LogSums = Callable[[Int[np.ndarray, " n"], Float[np.ndarray, "n C"]], "Sums"]


class Sums(NamedTuple):
    """What the other components' densities sum to at n draws z, relative to the density of the draw's own component i.

    Args:
        others: log of T = sum_{j≠i} w_j p_j(z) / p_i(z), (n,).
        same: the same over components with the label of i alone, (n,).
        mean: average of log p_j(z) / p_i(z) over j ≠ i, weighted with w_j p_j(z), (n,).
        apart: log of T over components with other labels than i, (n,).
        between: average over those labels c of log T_c / w_c, weighted with T_c, (n,).
    """

    others: np.ndarray
    same: np.ndarray
    mean: np.ndarray
    apart: np.ndarray
    between: np.ndarray


@dataclass(frozen=True)
class Pairs:
    """Antithetic pairs of draws from components of a mixture.

    Args:
        owner: component that a pair is drawn from, (p,).
        squared_noise: squared length of its standard normal noise, (p,).
        sums: at both draws, the rows of `Sums`, (5, 2, p).
    """

    owner: Int[np.ndarray, " p"]
    squared_noise: Float[np.ndarray, " p"]
    sums: Float[np.ndarray, "5 2 p"]

    @property
    def at_draws(self) -> Sums:
        """The rows of `sums` by name, each (2, p)."""
        return Sums(*self.sums)

    def joined(self, other: Pairs) -> Pairs:
        """These and those."""
        mine, others = vars(self).values(), vars(other).values()
        return Pairs(*(np.concatenate([a, b], axis=-1) for a, b in zip(mine, others, strict=True)))


def draw_pairs(log_sums: LogSums, counts: Int[np.ndarray, " m"], outputs: int, random: np.random.Generator) -> Pairs:
    """Draw `counts` antithetic pairs from the components; noise is dealt out in the order of the components.

    Args:
        log_sums: made by `log_sums_of`.
        counts: number of pairs from each component, (m,).
        outputs: dimension of the draws.
        random: where the noise comes from.
    """
    owner = np.repeat(np.arange(len(counts)), counts)
    step = max(1, NUMBERS_AT_ONCE // outputs)
    squared, sums = np.zeros(len(owner)), np.zeros((len(Sums._fields), 2, len(owner)))
    for start in range(0, len(owner), step):
        part = slice(start, min(start + step, len(owner)))
        noise = random.standard_normal((part.stop - start, outputs))
        both = log_sums(np.tile(owner[part], 2), np.concatenate([noise, -noise]))
        squared[part] = np.sum(noise * noise, axis=1)
        sums[:, :, part] = np.stack([row.reshape(2, -1) for row in both])
    return Pairs(owner, squared, sums)


def log_sums_of(
    mean: Float[Array, "m C"],
    variance: Float[Array, " m"],
    weights: Float[Array, " m"],
    labels: Int[np.ndarray, " m"] | None,
) -> LogSums:
    """Prepare the mixture for draws.

    Args:
        mean: centres, (m, C).
        variance: variances, (m,), above zero.
        weights: probabilities, (m,), above zero.
        labels: class of each component, (m,), integers from 0, or None for one class.

    Returns:
        A function of components and noise. On the CPU, tiles of components are left out where they add less than
        exp(-40) each to every sum in a block of draws.
    """
    given = np.zeros(len(mean), dtype=np.int64) if labels is None else labels
    if namespace(mean, variance, weights) is not np:
        return _plain_log_sums(mean, variance, weights, given)
    mean, variance, weights = (np.asarray(array, dtype=np.float64) for array in (mean, variance, weights))
    return _TiledMixture.of(mean, variance, weights, given).log_sums


def _plain_log_sums(mean: Array, variance: Array, weights: Array, labels: Int[np.ndarray, " m"]) -> LogSums:
    """All pairs in plain array operations, by differences."""
    xp = namespace(mean, variance, weights)
    m, outputs = mean.shape
    log_scale = xp.log(weights) - 0.5 * outputs * xp.log(variance)

    members = np.zeros((m, int(labels.max()) + 1))
    members[np.arange(m), labels] = 1.0
    log_shares = np.log(to_numpy(weights) @ members)

    def block(owner: Int[np.ndarray, " n"], noise: Float[np.ndarray, "n C"]) -> Sums:
        moved = xp.sqrt(variance[owner])[:, None] * xp.asarray(noise, dtype=mean.dtype)
        squared = xp.zeros((len(owner), m), dtype=mean.dtype)
        for c in range(outputs):
            apart = (mean[owner, c][:, None] - mean[:, c][None, :]) + moved[:, c][:, None]
            squared = squared + apart * apart
        exponents = log_scale[None, :] - 0.5 * squared / variance[None, :]
        own = xp.asarray(owner[:, None] == np.arange(m)[None, :])
        exponents = xp.where(own, NOTHING, exponents)
        top = xp.max(exponents, axis=1)
        ratios = xp.exp(exponents - top[:, None])
        log_ratios = xp.where(ratios > 0, exponents - top[:, None] - xp.log(weights)[None, :], 0.0)
        own_log = -0.5 * outputs * xp.log(variance[owner]) - 0.5 * xp.asarray(np.sum(noise * noise, axis=1))
        by_class = to_numpy(xp.matmul(ratios, xp.asarray(members, dtype=mean.dtype)))
        sums = to_numpy(xp.sum(ratios, axis=1)), to_numpy(xp.sum(ratios * log_ratios, axis=1)), by_class
        return _relative(sums, to_numpy(top - own_log), labels[owner], log_shares)

    def log_sums(owner: Int[np.ndarray, " n"], noise: Float[np.ndarray, "n C"]) -> Sums:
        rows = max(1, PAIRS_AT_ONCE // m)
        parts = [block(owner[s : s + rows], noise[s : s + rows]) for s in range(0, len(owner), rows)]
        return Sums(*(np.concatenate(row) for row in zip(*parts, strict=True)))

    return log_sums


def _moved(
    total: np.ndarray, weighted: np.ndarray, classes: np.ndarray, shift: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The sums of w e^x, w e^x x and by class of w e^x, with `shift`, at most 0, added to every x."""
    factor = np.exp(np.maximum(shift, FLOOR))
    # Before the first tile there is nothing to move, and the shift has no bound.
    weighted = factor * (weighted + np.where(total > 0, shift, 0.0) * total)
    return factor * total, weighted, factor[:, None] * classes


def _relative(
    sums: tuple[np.ndarray, np.ndarray, np.ndarray],
    shift: Float[np.ndarray, " n"],
    own_class: Int[np.ndarray, " n"],
    log_shares: Float[np.ndarray, " K"],
) -> Sums:
    """Rows of `Sums` from sums of w_j e^x_j, w_j e^x_j x_j and by class of w_j e^x_j, x_j = log p_j / p_i - shift."""
    total, weighted, by_class = sums
    rows = np.arange(len(total))
    same = _log(by_class[rows, own_class]) + shift
    mean = weighted / total + shift
    if by_class.shape[1] == 1:
        return Sums(np.log(total) + shift, same, mean, np.full_like(total, NOTHING), np.zeros_like(total))
    by_class = by_class.copy()
    by_class[rows, own_class] = 0.0
    apart = np.sum(by_class, axis=1)
    logs = np.sum(by_class * (_log(by_class) - log_shares[None, :]), axis=1)
    between = np.divide(logs, apart, out=np.zeros_like(apart), where=apart > 0) + shift
    return Sums(np.log(total) + shift, same, mean, _log(apart) + shift, np.where(apart > 0, between, 0.0))


def _log(values: np.ndarray) -> np.ndarray:
    return np.where(values > 0, np.log(np.where(values > 0, values, 1.0)), NOTHING)


@dataclass(frozen=True)
class _TiledMixture:
    """Components in the order of their tiles, in units near their width."""

    tiles: Tiles
    mean: Float[np.ndarray, "m C"]
    variance: Float[np.ndarray, " m"]
    labels: Int[np.ndarray, " m"]
    members: list[Members]
    place: Int[np.ndarray, " m"]  # where each component stands in the order
    rarity: Float[np.ndarray, " T"]  # log of each tile's total weight, with the sign changed
    log_shares: Float[np.ndarray, " K"]  # of the classes' weights

    @classmethod
    def of(cls, mean: np.ndarray, variance: np.ndarray, weights: np.ndarray, labels: np.ndarray) -> _TiledMixture:
        tiles = tiles_of(mean, variance, labels)
        order = tiles.order
        unit = 2.0 ** float(np.round(0.5 * np.mean(np.log2(variance))))
        tiles = tiles.scaled(unit)
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        by_class = members(tiles, labels[order], weights[order])
        rarity = -np.log([np.sum(tile.spread) for tile in by_class])
        shares = np.log(np.bincount(labels, weights=weights))
        return cls(tiles, mean[order] / unit, variance[order] / unit**2, labels[order], by_class, place, rarity, shares)

    def log_sums(self, owner: Int[np.ndarray, " n"], noise: Float[np.ndarray, "n C"]) -> Sums:
        """Of draws from the components with this noise."""
        where = self.place[owner]
        order = np.argsort(where, kind="stable")
        cuts = np.searchsorted(where[order], self.tiles.edges)
        jobs = []
        for tile in range(len(self.tiles.radius)):
            for start in range(cuts[tile], cuts[tile + 1], ROWS * BLOCKS_AT_ONCE):
                jobs.append((tile, order[start : min(start + ROWS * BLOCKS_AT_ONCE, cuts[tile + 1])]))
        result = Sums(*np.empty((len(Sums._fields), len(owner))))

        def run(job: tuple[int, np.ndarray]) -> None:
            from_tile = _DrawsFromTile(self, job[0])
            for start in range(0, len(job[1]), ROWS):
                rows = job[1][start : start + ROWS]
                for row, values in zip(result, from_tile.block(where[rows], noise[rows]), strict=True):
                    row[rows] = values

        map_threads(run, jobs)
        return result


class _DrawsFromTile:
    """Sums over all components at draws from the components of one tile, with the tile's centre as origin."""

    def __init__(self, mixture: _TiledMixture, tile: int):
        self._mixture, self._tile = mixture, tile
        self._centre = mixture.tiles.centre[tile]
        self._factors: dict[int, np.ndarray] = {}
        self._work = np.empty(2 * ROWS * TILE)

    def block(self, where: Int[np.ndarray, " n"], noise: Float[np.ndarray, "n C"]) -> Sums:
        """Log sums at a few draws; `where` are places of their components in the order."""
        mixture, outputs = self._mixture, noise.shape[1]
        moved = np.sqrt(mixture.variance[where])[:, None] * noise
        draws = (mixture.mean[where] - self._centre[None, :]) + moved
        squares = np.sum(draws * draws, axis=1)
        # A row times the columns of `_factor` is an exponent less the largest so far, in the last place of the row.
        rows = np.column_stack([draws, squares, np.ones(len(draws)), np.full(len(draws), -NOTHING)])
        highest, lowest = self._range(draws, squares)
        total, weighted = np.zeros(len(where)), np.zeros(len(where))
        classes = np.zeros((len(where), len(mixture.log_shares)))
        known = np.full(len(where), -np.inf)
        for other in np.argsort(-np.max(highest, axis=0), kind="stable"):
            if np.max(highest[:, other] - known) < mixture.rarity[other] - NEGLIGIBLE:
                continue
            top = -rows[:, -1]
            if np.max(highest[:, other] - top) < SAFE:
                ratios = self._exponents(int(other), where, rows, moved)
            else:
                rows[:, -1] = 0.0
                ratios = self._exponents(int(other), where, rows, moved)
                above = np.maximum(top, np.max(ratios, axis=1))
                rows[:, -1] = -above
                np.subtract(ratios, above[:, None], out=ratios)
                total, weighted, classes = _moved(total, weighted, classes, top - above)
            if np.min(lowest[:, other] + rows[:, -1]) < FLOOR or other == self._tile:
                np.maximum(ratios, FLOOR, out=ratios)
            members = mixture.members[other]
            densities = np.exp(ratios, out=self._work[ratios.size : 2 * ratios.size].reshape(ratios.shape))
            by_class = np.matmul(densities, members.spread)
            total += by_class[:, 0] if by_class.shape[1] == 1 else np.sum(by_class, axis=1)
            weighted += np.matmul(np.multiply(ratios, densities, out=ratios), members.weights)
            members.add(by_class, classes)
            known = np.log(total) - rows[:, -1]
        own = -0.5 * outputs * np.log(mixture.variance[where]) - 0.5 * np.sum(noise * noise, axis=1)
        return _relative((total, weighted, classes), -rows[:, -1] - own, mixture.labels[where], mixture.log_shares)

    def _range(
        self, draws: Float[np.ndarray, "n C"], squares: Float[np.ndarray, " n"]
    ) -> tuple[Float[np.ndarray, "n T"], Float[np.ndarray, "n T"]]:
        """Bounds on the log densities of the components of each tile at each draw, from above and from below."""
        tiles, outputs = self._mixture.tiles, draws.shape[1]
        centres = tiles.centre - self._centre[None, :]
        own, other = squares[:, None], np.sum(centres * centres, axis=1)[None, :]
        apart = np.sqrt(np.maximum(own - 2 * np.matmul(draws, centres.T) + other, 0.0))
        # Rounding of the expanded square is 1e-15 of its terms: a distance may be off by 1e-7 of their roots.
        slack = tiles.radius[None, :] + 1e-7 * (np.sqrt(own) + np.sqrt(other))
        near, far = np.maximum(apart - slack, 0.0), apart + slack
        least, largest = tiles.least[None, :], tiles.largest[None, :]
        highest = -0.5 * (outputs * np.log(least) + near * near / largest)
        return highest, -0.5 * (outputs * np.log(largest) + far * far / least)

    def _exponents(
        self, other: int, where: Int[np.ndarray, " n"], rows: Float[np.ndarray, "n K"], moved: Float[np.ndarray, "n C"]
    ) -> Float[np.ndarray, "n b"]:
        """-C/2 log v_j - |z - mean_j|² / 2 v_j for the components of another tile, and the last column of the rows.

        A component's density at its own draws is left out.
        """
        tiles, part = self._mixture.tiles, self._mixture.tiles.part(other)
        shape = len(where), part.stop - part.start
        out = self._work[: shape[0] * shape[1]].reshape(shape)
        if np.max(rows[:, -3]) <= EXPANDED * tiles.least[other]:
            np.matmul(rows, self._factor(other), out=out)
        else:
            self._by_differences(other, where, moved, out)
            np.add(out, rows[:, -1][:, None], out=out)
        if other == self._tile:
            out[np.arange(len(where)), where - part.start] = NOTHING
        return out

    def _factor(self, other: int) -> Float[np.ndarray, "K b"]:
        """Columns that a row (z, |z|², 1, 1) is multiplied with; kept for the next block of draws from this tile."""
        if other not in self._factors:
            part = self._mixture.tiles.part(other)
            mean, variance = self._mixture.mean[part] - self._centre[None, :], self._mixture.variance[part]
            constant = -0.5 * (mean.shape[1] * np.log(variance) + np.sum(mean * mean, axis=1) / variance)
            columns = [mean / variance[:, None], -0.5 / variance, constant, np.ones(len(mean))]
            self._factors[other] = np.ascontiguousarray(np.column_stack(columns).T)
        return self._factors[other]

    def _by_differences(self, other: int, where: np.ndarray, moved: np.ndarray, out: np.ndarray) -> None:
        """Z - mean_j as the difference of the means, formed first, and the noise: no digits are lost."""
        mixture, part = self._mixture, self._mixture.tiles.part(other)
        apart = self._work[out.size : 2 * out.size].reshape(out.shape)
        out[...] = 0.0
        for c in range(moved.shape[1]):
            np.subtract(mixture.mean[where, c][:, None], mixture.mean[part, c][None, :], out=apart)
            np.add(apart, moved[:, c][:, None], out=apart)
            np.multiply(apart, apart, out=apart)
            np.add(out, apart, out=out)
        np.multiply(out, (-0.5 / mixture.variance[part])[None, :], out=out)
        np.subtract(out, (0.5 * moved.shape[1] * np.log(mixture.variance[part]))[None, :], out=out)
