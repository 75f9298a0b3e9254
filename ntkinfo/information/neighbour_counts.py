"""How many draws lie within a distance of each draw, with draws that repeat counted once and weighed.

Distances are the largest difference of a coordinate. Two distances count as equal where rounding of the coordinates can
make them differ: 0.03 − 0.02 and 0.02 − 0.01 are one distance of data with two decimals.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import KDTree
from scipy.special import digamma

_INDICES_AT_ONCE = 1 << 12  # balls whose members are listed together


@dataclass(frozen=True, eq=False)
class Cloud:
    """Draws of one variable, parted into different points.

    Args:
        points: different points, (u, d).
        place: which of them each draw is, (n,).
        sizes: how many draws are there, (u,).
    """

    points: Float[np.ndarray, "u d"]
    place: Int[np.ndarray, " n"]
    sizes: Int[np.ndarray, " u"]

    @classmethod
    def of(cls, draws: Float[np.ndarray, "n d"]) -> Cloud:
        """The cloud of some draws."""
        columns = [np.unique(column, return_inverse=True)[1].reshape(-1) for column in draws.T + 0.0]
        order = np.lexsort(columns[::-1])
        new = np.zeros(len(draws), dtype=bool)
        for column in columns:
            new[1:] |= np.diff(column[order]) != 0
        place = np.empty(len(draws), dtype=np.int64)
        place[order] = np.cumsum(new)
        first = order[np.concatenate([[0], np.flatnonzero(new)])]
        return cls(draws[first], place, np.bincount(place))

    @property
    def repeats(self) -> bool:
        """Whether any draw is there twice."""
        return len(self.points) < len(self.place)

    @cached_property
    def _tree(self) -> KDTree:
        return KDTree(self.points)

    def beside(self, rows: Int[np.ndarray, " r"]) -> Int[np.ndarray, " r"]:
        """How many draws equal each of these, themselves among them."""
        return self.sizes[self.place[rows]]

    def nearest(
        self, rows: Int[np.ndarray, " r"], neighbours: int
    ) -> tuple[Float[np.ndarray, "r k1"], Int[np.ndarray, " r"]]:
        """Distances from these draws to their `neighbours` + 1 nearest others, and one draw at the k-th distance."""
        capped = np.minimum(self.sizes, neighbours + 2)
        owner = np.repeat(np.arange(len(self.points)), capped)
        tree = self._tree if len(owner) == len(self.points) else KDTree(self.points[owner])
        wanted = min(neighbours + 2, len(owner))
        distance, index = map(np.asarray, tree.query(self.points[self.place[rows]], wanted, p=np.inf))
        member = np.empty(len(self.points), dtype=np.int64)
        member[self.place] = np.arange(len(self.place))
        return distance[:, 1:], member[owner[index[:, neighbours]]]

    def within(self, rows: Int[np.ndarray, " r"], radius: Float[np.ndarray, " r"]) -> Int[np.ndarray, " r"]:
        """How many draws, themselves among them, are no further from these than the radius; none below radius 0."""
        found = np.zeros(len(rows), dtype=np.int64)
        valid = np.flatnonzero(radius >= 0)
        if len(valid):
            centre = self.points[self.place[rows[valid]]]
            count = self._within_column if self.points.shape[1] == 1 else self._within_tree
            found[valid] = count(centre, radius[valid])
        return found

    def _within_column(self, centre: Float[np.ndarray, "r 1"], radius: Float[np.ndarray, " r"]) -> np.ndarray:
        values, middle = self.points[:, 0], centre[:, 0]
        before = np.concatenate([[0], np.cumsum(self.sizes)])
        first, last = np.searchsorted(values, middle - radius), np.searchsorted(values, middle + radius, side="right")
        # The ends were rounded: differences decide, as they do in the tree.
        first -= (first > 0) & (middle - values[first - 1] <= radius)
        first += middle - values[first] > radius
        last += (last < len(values)) & (values[np.minimum(last, len(values) - 1)] - middle <= radius)
        last -= values[last - 1] - middle > radius
        return before[last] - before[first]

    def _within_tree(self, centre: Float[np.ndarray, "r d"], radius: Float[np.ndarray, " r"]) -> np.ndarray:
        if not self.repeats:
            return self._tree.query_ball_point(centre, radius, p=np.inf, return_length=True)
        # Draws that are equal share their ball where the radius is the same: asked once.
        asked, place = np.unique(np.concatenate([centre, radius[:, None]], axis=1), axis=0, return_inverse=True)
        found = np.empty(len(asked), dtype=np.int64)
        for start in range(0, len(asked), _INDICES_AT_ONCE):
            part = asked[start : start + _INDICES_AT_ONCE]
            members = self._tree.query_ball_point(part[:, :-1], part[:, -1], p=np.inf)
            lengths = np.fromiter((len(m) for m in members), np.int64, len(members))
            flat = np.fromiter((k for m in members for k in m), np.int64, int(lengths.sum()))
            sums = np.concatenate([[0], np.cumsum(self.sizes[flat])])
            ends = np.cumsum(lengths)
            found[start : start + len(part)] = sums[ends] - sums[ends - lengths]
        return found[place.reshape(-1)]


def tied(distance: Float[np.ndarray, "r k1"], k: int, slack: Float[np.ndarray, " r"]) -> Bool[np.ndarray, " r"]:
    """Where the k-th of rising distances equals the one before or after it, or is 0."""
    found = distance[:, k - 1] <= slack
    for other in (k - 2, k):
        if 0 <= other < distance.shape[1]:
            found |= np.abs(distance[:, other] - distance[:, k - 1]) <= slack
    return found


def tied_log_volume(
    inner: Float[np.ndarray, " r"],
    outer: Float[np.ndarray, " r"],
    before: Int[np.ndarray, " r"],
    after: Int[np.ndarray, " r"],
) -> Float[np.ndarray, " r"]:
    """Mean of log(P + (Q − P)B), where B of law Beta(before, after) says how far into a shell of draws the k-th lies.

    Args:
        inner: log P, the volume inside the shell; −∞ for none.
        outer: log Q, the volume with the shell, not below `inner`.
        before: place of the k-th neighbour among the draws of the shell, from 1.
        after: their number less `before`, plus 1.
    """
    result = np.array(inner, dtype=np.float64)
    empty = np.isneginf(inner)
    result[empty] = outer[empty] + digamma(before[empty]) - digamma(before[empty] + after[empty])
    shell = np.flatnonzero(~empty & (outer > inner))
    nodes, weights = np.polynomial.legendre.leggauss(48)
    for start in range(0, len(shell), _INDICES_AT_ONCE):
        part = shell[start : start + _INDICES_AT_ONCE]
        a, b = before[part].astype(float), after[part]
        # B = u²: a large ratio Q/P makes the logarithm steep at 0. Beyond `most` the law of B has no weight.
        most = np.sqrt(np.minimum(1.0, (a + 12 * np.sqrt(a) + 30) / (a + b)))
        u = 0.5 * most[:, None] * (nodes[None, :] + 1)
        with np.errstate(divide="ignore"):
            density = (2 * a - 1)[:, None] * np.log(u) + (b - 1)[:, None] * np.log1p(-np.minimum(u * u, 1 - 1e-16))
        mass = weights[None, :] * np.exp(density - density.max(axis=1, keepdims=True))
        ratio = np.expm1(outer[part] - inner[part])
        result[part] += np.sum(mass * np.log1p(ratio[:, None] * u * u), axis=1) / mass.sum(axis=1)
    return result
