"""How a layer's activations cluster: distances within and between classes, binned entropy, clusters at a distance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array
from ntkinfo.core.labels import class_numbers
from ntkinfo.information.samples import BinnedInformation, binned_information
from ntkinfo.information.samples_binning import WidthBins, checked_activations

_NUMBERS_AT_ONCE = 1 << 20  # of a block of distances


@dataclass(frozen=True)
class PairDistances:
    """Euclidean distances of all pairs of different rows, parted by whether the two rows share their class.

    Args:
        edges: of the histogram, (b + 1,).
        within: numbers of pairs of one class in each bin, (b,); larger distances are in none.
        between: numbers of pairs of two classes, (b,).
        mean_within: mean distance of pairs of one class; NaN where there is none.
        mean_between: mean distance of pairs of two classes; NaN where there is none.
        pairs: how many pairs there are of one class, and of two.
    """

    edges: Float[np.ndarray, " b1"]
    within: Int[np.ndarray, " b"]
    between: Int[np.ndarray, " b"]
    mean_within: float
    mean_between: float
    pairs: tuple[int, int]

    @property
    def ratio(self) -> float:
        """Mean distance within classes over that between them: falls to 0 as classes become points."""
        return self.mean_within / self.mean_between


@dataclass(frozen=True)
class Clustering:
    """How the activations of one layer cluster.

    Args:
        binned: H(Bin(T)) and what it says about the class, bins of one width.
        effective: exp H(Bin(T)): clusters if all were equally large.
        clusters: groups of rows that chains of steps no longer than the scale connect.
        largest: share of the rows that are in the largest of them.
        distances: of all pairs, or None without labels.
    """

    binned: BinnedInformation
    effective: float
    clusters: int
    largest: float
    distances: PairDistances | None


@checked
def clustering(
    activations: Array | Sequence, width: float, labels: Array | Sequence | None = None, *, bins: int = 50
) -> Clustering:
    """Measures of how the activations of one layer cluster.

    Args:
        activations: one row for each input, (m, d).
        width: of the bins of H(Bin(T)), and the longest step of a chain that makes rows one cluster; for networks with
            noise β a few times β.
        labels: class of each row, (m,), any integers or text; or None.
        bins: of the histogram of distances, from 0 to the largest possible.

    Returns:
        The measures. For a network without noise on distinct inputs H(Bin(T)) is I(X;Bin(T)), and where the clusters
        are narrower than the bins it is close to the entropy of the clusters' sizes.

    Raises:
        ValueError: shapes that do not fit, NaN or infinity, a width that is not above zero.

    Work grows as the square of the number of rows, memory does not.
    Source: methods E; Goldfeld et al. 2019.
    """
    host = checked_activations(activations).astype(np.float64)
    checks.positive("width", width)
    binned = binned_information(host, WidthBins(width), labels)
    sizes = np.bincount(connected(host, width))
    apart = None if labels is None else pair_distances(host, labels, bins=bins)
    effective = float(np.exp(float(binned.entropy.value)))
    return Clustering(binned, effective, len(sizes), float(sizes.max() / len(host)), apart)


def pair_distances(
    activations: Array | Sequence, labels: Array | Sequence, *, bins: int = 50, largest: float | None = None
) -> PairDistances:
    """Distances of all pairs of rows, within classes and between them.

    Args:
        activations: one row for each input, (m, d).
        labels: class of each row, (m,), any integers or text.
        bins: of the histogram.
        largest: its upper edge; None for the diagonal of the box that holds all rows.

    Raises:
        ValueError: shapes that do not fit, NaN or infinity, an upper edge that is not above zero.
    """
    host = checked_activations(activations).astype(np.float64)
    classes = class_numbers("labels", labels, len(host), "one class for each row")[0]
    checks.whole("bins", bins)
    if largest is not None:
        checks.positive("largest", largest)
    top = largest if largest is not None else float(np.linalg.norm(np.ptp(host, axis=0))) or 1.0
    edges, rows = np.linspace(0, top, bins + 1), max(1, _NUMBERS_AT_ONCE // len(host))
    counts, sums, pairs = np.zeros((2, bins), dtype=np.int64), np.zeros(2), np.zeros(2, dtype=np.int64)
    for start in range(0, len(host), rows):
        part = np.arange(start, min(start + rows, len(host)))
        later = part[:, None] < np.arange(len(host))[None, :]
        same = classes[part][:, None] == classes[None, :]
        distance = np.sqrt(_squared(host[part], host))
        for kind, chosen in enumerate((same & later, ~same & later)):
            found = distance[chosen]
            counts[kind] += np.histogram(np.minimum(found, top) if largest is None else found, edges)[0]
            sums[kind] += found.sum()
            pairs[kind] += len(found)
    mean = [float(sums[kind] / pairs[kind]) if pairs[kind] else float("nan") for kind in range(2)]
    return PairDistances(edges, counts[0], counts[1], mean[0], mean[1], (int(pairs[0]), int(pairs[1])))


def connected(activations: Float[np.ndarray, "m d"], step: float) -> Int[np.ndarray, " m"]:
    """Number the groups that chains of steps no longer than `step` connect (single linkage), from 0.

    Args:
        activations: (m, d).
        step: Euclidean length, above zero.
    """
    m = len(activations)
    group, number = np.full(m, -1), 0
    rows = max(1, _NUMBERS_AT_ONCE // m)
    for first in range(m):
        if group[first] >= 0:
            continue
        group[first] = number
        frontier = np.array([first])
        while len(frontier):
            part, frontier = frontier[:rows], frontier[rows:]
            open_rows = np.flatnonzero(group < 0)
            near = np.any(_squared(activations[part], activations[open_rows]) <= step * step, axis=0)
            found = open_rows[near]
            group[found] = number
            frontier = np.concatenate([frontier, found])
        number += 1
    return group


def _squared(rows: Float[np.ndarray, "a d"], columns: Float[np.ndarray, "b d"]) -> Float[np.ndarray, "a b"]:
    """Squared distances, unit by unit: an expanded square would lose the nearest."""
    total = np.zeros((len(rows), len(columns)))
    for own, other in zip(rows.T, columns.T, strict=True):
        difference = own[:, None] - other[None, :]
        total += difference * difference
    return total
