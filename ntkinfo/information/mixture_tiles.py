"""Components of a Gaussian mixture parted into compact tiles, so that far tiles can be left out of pairwise sums."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import KDTree

TILE = 192  # components; a block of TILE x TILE doubles and its work space stay in a processor's cache
FEWEST = 64  # a group of components is worth tiles of its own from here on
WIDTH_STEP = 4.0  # components whose log variances differ by less may share a tile
NEGLIGIBLE = 40.0  # exp(-40) of what is kept is below rounding


@dataclass(frozen=True)
class Tiles:
    """Components in an order in which neighbours in class, width and place follow each other, cut into tiles.

    Args:
        order: index of each component before ordering, (m,).
        edges: where tiles begin, and m, (T + 1,).
        centre: mean of the means in each tile, (T, C).
        radius: largest distance of a mean from it, (T,).
        least: smallest variance in each tile, (T,).
        largest: largest variance, (T,).
    """

    order: Int[np.ndarray, " m"]
    edges: Int[np.ndarray, " edges"]
    centre: Float[np.ndarray, "T C"]
    radius: Float[np.ndarray, " T"]
    least: Float[np.ndarray, " T"]
    largest: Float[np.ndarray, " T"]

    def part(self, tile: int) -> slice:
        """Where the components of a tile stand in the order."""
        return slice(int(self.edges[tile]), int(self.edges[tile + 1]))

    def scaled(self, unit: float) -> Tiles:
        """The same in another unit of length."""
        return Tiles(
            self.order, self.edges, self.centre / unit, self.radius / unit, self.least / unit**2, self.largest / unit**2
        )

    def gaps(self, centre: Float[np.ndarray, "p C"], radius: Float[np.ndarray, " p"]) -> Float[np.ndarray, "p T"]:
        """Least distance between a point in each given ball and a mean in each tile, never too large by rounding."""
        apart = np.sqrt(np.sum((centre[:, None, :] - self.centre[None, :, :]) ** 2, axis=-1))
        return np.maximum(apart * (1 - 1e-12) - (radius[:, None] + self.radius[None, :]), 0.0)


@dataclass(frozen=True)
class Members:
    """Weights of the components of one tile by class: a product with `spread` sums over each class.

    Args:
        classes: those that occur in the tile, rising, (k,).
        spread: weight of each component in the column of its class, (n, k).
        weights: of the components, (n,).
    """

    classes: Int[np.ndarray, " k"]
    spread: Float[np.ndarray, "n k"]
    weights: Float[np.ndarray, " n"]

    def add(self, by_class: Float[np.ndarray, "p k"], totals: Float[np.ndarray, "p K"]) -> None:
        """Add the columns to those of all classes, in place."""
        if len(self.classes) == 1:
            totals[:, self.classes[0]] += by_class[:, 0]
        elif len(self.classes) == totals.shape[1]:
            totals += by_class
        else:
            totals[:, self.classes] += by_class

    def pick(self, by_class: Float[np.ndarray, "p k"], own: Int[np.ndarray, " p"]) -> Float[np.ndarray, " p"]:
        """The column of each row's own class; 0 where that class does not occur here."""
        if len(self.classes) == 1:
            return np.where(own == self.classes[0], by_class[:, 0], 0.0)
        place = np.minimum(np.searchsorted(self.classes, own), len(self.classes) - 1)
        return np.where(self.classes[place] == own, by_class[np.arange(len(own)), place], 0.0)


def members(tiles: Tiles, labels: Int[np.ndarray, " m"], weights: Float[np.ndarray, " m"]) -> list[Members]:
    """Weights by class of every tile; `labels` and `weights` are in the order of the tiles."""
    result = []
    for tile in range(len(tiles.radius)):
        part = tiles.part(tile)
        classes, number = np.unique(labels[part], return_inverse=True)
        spread = np.zeros((len(number), len(classes)))
        spread[np.arange(len(number)), number.reshape(-1)] = weights[part]
        result.append(Members(classes, spread, weights[part]))
    return result


def tiles_of(
    mean: Float[np.ndarray, "m C"],
    variance: Float[np.ndarray, " m"],
    labels: Int[np.ndarray, " m"] | None,
    size: int = TILE,
) -> Tiles:
    """Part components into tiles of at most `size`, by class, width and place, as far as groups are large enough.

    Args:
        mean: centres, (m, C).
        variance: variances, (m,), above zero.
        labels: class of each component, (m,), or None.
        size: most components in a tile.
    """
    widths = np.floor(np.log(variance) / WIDTH_STEP).astype(np.int64)
    groups = _groups(widths, labels)
    pieces: list[np.ndarray] = []
    for members in groups:
        placed = members[_by_place(mean[members], size)]
        pieces.extend(np.array_split(placed, -(-len(placed) // size)))
    edges = np.concatenate([[0], np.cumsum([len(piece) for piece in pieces])])
    centre = np.stack([np.mean(mean[piece], axis=0) for piece in pieces])
    radius = [np.sqrt(np.max(np.sum((mean[p] - c) ** 2, axis=1))) for p, c in zip(pieces, centre, strict=True)]
    least, largest = ([float(pick(variance[p])) for p in pieces] for pick in (np.min, np.max))
    radius = np.array(radius) * (1 + 1e-12)
    return Tiles(np.concatenate(pieces), edges, centre, radius, np.array(least), np.array(largest))


def _groups(widths: Int[np.ndarray, " m"], labels: Int[np.ndarray, " m"] | None) -> list[Int[np.ndarray, " g"]]:
    """By class and width, by width alone, or all together: the finest parting whose groups are not too small."""
    m = len(widths)
    keys = [np.zeros_like(widths), widths]
    if labels is not None:
        keys += [labels.astype(np.int64), labels * (int(np.ptp(widths)) + 1) + widths - int(widths.min())]
    for key in reversed(keys):
        number = np.unique(key, return_inverse=True)[1].reshape(-1)
        if number.max() + 1 <= max(1, m // FEWEST):
            return np.split(np.argsort(number, kind="stable"), np.cumsum(np.bincount(number))[:-1])
    raise AssertionError("one group of all is never too many")


def _by_place(mean: Float[np.ndarray, "g C"], size: int) -> Int[np.ndarray, " g"]:
    """Order in which a tree of halves visits the means; along a line this sorts them."""
    if mean.shape[1] == 1:
        return np.argsort(mean[:, 0], kind="stable")
    if len(mean) <= size:
        return np.arange(len(mean))
    return np.asarray(KDTree(mean, leafsize=max(1, size // 2)).indices)
