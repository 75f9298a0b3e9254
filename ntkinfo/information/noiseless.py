"""Outputs without noise: the discrete part of an ensemble's output, and discrete entropies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from ntkinfo.core import checks
from ntkinfo.core.arrays import Array, to_numpy

SMALLEST_RATIO = 1e-140  # narrower components overflow when densities are formed
SMALLEST_STD = 1e-145
# Rounding and the truncated time factors leave this share of the outputs' size in their means.
RESOLUTION = 1e-11
# Deviations of two outputs that fit between them where nothing of either is left at the other.
APART = 20.0


@dataclass(frozen=True)
class Noiseless:
    """Inputs parted into those whose output has noise and those whose output is a point.

    Args:
        noisy: indices of the inputs with noise.
        mean: their mean outputs, (noisy, C).
        variance: their variances, (noisy,).
        symbol: for every input, (m,): which atom its output is, or one common last number for all with noise.
    """

    noisy: Int[np.ndarray, " noisy"]
    mean: Float[Array, "noisy C"]
    variance: Float[Array, " noisy"]
    symbol: Int[np.ndarray, " m"]


def resolution_of(targets: Float[np.ndarray, "k C"], initial_variance: Float[Array, " p"]) -> float:
    """Deviations and distances of outputs up to this are none, given what outputs and targets are in size."""
    return RESOLUTION * max(float(np.abs(targets).max()), float(initial_variance.max()) ** 0.5)


def split_noiseless(mean: Float[Array, "m C"], variance: Float[Array, " m"], resolution: float) -> Noiseless:
    """Part the inputs; points that lie within `resolution` of each other in every output are one atom.

    Args:
        mean: mean outputs, (m, C).
        variance: their variances, (m,).
        resolution: standard deviations and distances up to this are none; chains of close points are one atom.

    Raises:
        ValueError: a negative or infinite resolution.
    """
    checks.non_negative("resolution", resolution)
    std = np.sqrt(to_numpy(variance))
    centre = to_numpy(mean)
    largest = max(float(np.max(std)), float(np.max(np.ptp(centre, axis=0))))
    point = (std <= resolution) | (std <= max(SMALLEST_RATIO * largest, SMALLEST_STD))
    symbol = np.zeros(len(std), dtype=np.int64)
    if not np.any(point):
        return Noiseless(np.arange(len(std)), mean, variance, symbol)
    noisy = np.flatnonzero(~point)
    atoms = _atoms(centre[point], resolution)
    symbol[point] = atoms
    symbol[noisy] = int(atoms.max()) + 1
    return Noiseless(noisy, mean[noisy], variance[noisy], symbol)


def isolated(
    mean: Float[np.ndarray, "m C"], reach: Float[np.ndarray, " m"], rows: Int[np.ndarray, " k"]
) -> Bool[np.ndarray, " k"]:
    """Which of the chosen outputs share no probability with any other, whatever their deviations up to `reach`."""
    result = np.zeros(len(rows), dtype=bool)
    for place, row in enumerate(rows):
        distance = np.sqrt(np.sum((mean - mean[row]) ** 2, axis=1))
        distance[row] = np.inf
        result[place] = bool(np.all(distance > APART * (reach + reach[row])))
    return result


def _atoms(points: Float[np.ndarray, "a C"], resolution: float) -> Int[np.ndarray, " a"]:
    """Number the distinct points: exact equality, or single linkage at the resolution."""
    distinct, index = np.unique(points + 0.0, axis=0, return_inverse=True)
    index = index.reshape(-1)
    if resolution == 0 or len(distinct) == 1:
        return index
    near = KDTree(distinct).query_pairs(resolution, p=np.inf, output_type="ndarray")
    links = coo_array((np.ones(len(near)), (near[:, 0], near[:, 1])), shape=(len(distinct), len(distinct)))
    return connected_components(links, directed=False)[1].astype(np.int64)[index]


def discrete_entropy(symbols: Int[np.ndarray, " m"]) -> float:
    """Entropy in nats of the empirical law of whole numbers from 0, (m,)."""
    share = np.bincount(symbols) / len(symbols)
    share = share[share > 0]
    return float(0.0 - np.sum(share * np.log(share)))


def discrete_information(first: Int[np.ndarray, " m"], second: Int[np.ndarray, " m"]) -> float:
    """Mutual information in nats of the empirical joint law of two rows of whole numbers from 0, (m,) each."""
    joint = first * (int(second.max()) + 1) + second
    return (
        discrete_entropy(first) + discrete_entropy(second) - discrete_entropy(np.unique(joint, return_inverse=True)[1])
    )
