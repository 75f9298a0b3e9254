"""Bins for activations: each scheme turns real activations into whole numbers, clips visibly and never wraps around."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array, to_numpy

SCOPES = ("unit", "layer")
_LARGEST_CODE = 2.0**62
_HALF_THE_LARGEST = float(np.finfo(np.float64).max) / 2


@dataclass(frozen=True)
class Codes:
    """Activations as bin numbers.

    Args:
        values: bin of each unit at each row, (m, d), from 0.
        clipped: how many activations lay outside the bins and were counted into the first or the last one.
    """

    values: Int[np.ndarray, "m d"]
    clipped: int = 0


@runtime_checkable
class Binning(Protocol):
    """What every scheme of bins can do."""

    def codes(self, activations: Array) -> Codes:
        """Bin numbers of a layer's activations at m rows."""
        ...


@checked
@dataclass(frozen=True, eq=False)
class FixedBins:
    """Bins between given edges: bin k is [edge k, edge k+1), the last bin holds its upper edge too.

    Values below the first edge are counted into the first bin and values above the last edge into the last; the number
    of such values is part of the result.

    Args:
        edges: (b + 1,) for all units, or (d, b + 1) for each unit its own; none falls, b at least 1.

    Raises:
        ValueError: fewer than two edges, edges that fall, NaN or infinity.
    """

    edges: Float[np.ndarray, "*edges"]

    def __post_init__(self):
        edges = np.asarray(self.edges, dtype=np.float64)
        if edges.ndim not in (1, 2) or edges.size == 0 or edges.shape[-1] < 2:
            raise ValueError(f"edges has shape {edges.shape}; it must be (bins + 1,) or (units, bins + 1)")
        checks.finite("edges", edges)
        if np.any(np.diff(edges, axis=-1) < 0):
            raise ValueError("edges fall somewhere; give them in rising order")
        object.__setattr__(self, "edges", edges)

    @property
    def bins(self) -> int:
        """The number of bins of a unit."""
        return self.edges.shape[-1] - 1

    @cached_property
    def _even(self) -> bool:
        """Whether no edge is further than a quarter of a bin from an even one: by arithmetic one bin off at most."""
        edges = np.atleast_2d(self.edges)
        with np.errstate(over="ignore", invalid="ignore"):  # a range that overflows is not even
            width = (edges[:, -1:] - edges[:, :1]) / self.bins
            off = np.abs(edges - edges[:, :1] - np.arange(self.bins + 1)[None, :] * width)
            return bool(np.all(off <= 0.25 * width) and np.all(width > 0))

    def codes(self, activations: Array) -> Codes:
        """Bin numbers of a layer's activations at m rows."""
        activations = _host(activations)
        units, edges = activations.shape[1], self.edges
        if edges.ndim == 2 and len(edges) != units:
            raise ValueError(f"edges are for {len(edges)} units and the activations have {units}; give one row a unit")
        lowest, highest = np.atleast_2d(edges)[:, 0], np.atleast_2d(edges)[:, -1]
        clipped = int(np.sum(activations < lowest[None, :]) + np.sum(activations > highest[None, :]))
        if self._even:
            return Codes(_even_bins(activations, np.atleast_2d(edges)), clipped)
        if edges.ndim == 1:
            found = np.searchsorted(edges[1:-1], activations, side="right")
        else:
            columns = [np.searchsorted(row[1:-1], activations[:, k], side="right") for k, row in enumerate(edges)]
            found = np.stack(columns, axis=1)
        return Codes(found.astype(np.int64), clipped)


@checked
@dataclass(frozen=True)
class RangeBins:
    """Equally wide bins over the range that the activations have.

    Args:
        bins: how many.
        scope: "unit" for the range of each unit, "layer" for one range over all units.

    Raises:
        ValueError, TypeError: a number of bins below 1, an unknown scope.
    """

    bins: int = 30
    scope: str = "unit"

    def __post_init__(self):
        checks.whole("bins", self.bins)
        checks.choice("scope", self.scope, SCOPES)

    def fitted(self, activations: Array) -> FixedBins:
        """Fixed bins over the range of these activations, for instance those of all times of training, (..., m, d)."""
        flat = _flat(activations, self.scope)
        lowest, highest = flat.min(axis=0), flat.max(axis=0)
        # A range beyond the largest number is parted at half its size, which is exact but for the smallest numbers.
        scale = 1.0 if np.all(highest / 2 - lowest / 2 < _HALF_THE_LARGEST) else 0.5
        edges = np.linspace(scale * lowest, scale * highest, self.bins + 1, axis=-1) / scale
        return _bins_of(edges, self.scope)

    def codes(self, activations: Array) -> Codes:
        """Bin numbers of a layer's activations at m rows."""
        return self.fitted(activations).codes(activations)


@checked
@dataclass(frozen=True)
class QuantileBins:
    """Bins that hold equal numbers of the activations: their edges are quantiles. Equal activations share a bin.

    A value so frequent that it fills a bin has one of its own, which no other value shares: a unit that is 0 on most
    inputs keeps whether it is 0. Where there are no more different values than bins, each value has a bin.

    Args:
        bins: how many.
        scope: "unit" for the quantiles of each unit, "layer" for those of all units together.

    Raises:
        ValueError, TypeError: a number of bins below 1, an unknown scope.
    """

    bins: int = 30
    scope: str = "unit"

    def __post_init__(self):
        checks.whole("bins", self.bins)
        checks.choice("scope", self.scope, SCOPES)

    def fitted(self, activations: Array) -> FixedBins:
        """Fixed bins at the quantiles of these activations, (..., m, d)."""
        flat = np.sort(_flat(activations, self.scope), axis=0)
        return _bins_of(np.stack([_quantile_edges(column, self.bins) for column in flat.T]), self.scope)

    def codes(self, activations: Array) -> Codes:
        """Bin numbers of a layer's activations at m rows."""
        return self.fitted(activations).codes(activations)


@checked
@dataclass(frozen=True)
class WidthBins:
    """Bins of one width on the whole line: bin k is [origin + k·width, origin + (k+1)·width). Nothing is clipped.

    Args:
        width: of every bin, above 0.
        origin: an edge.

    Raises:
        ValueError, TypeError: a width that is not above 0, numbers that are not finite.
    """

    width: float
    origin: float = 0.0

    def __post_init__(self):
        checks.positive("width", self.width)
        checks.finite_number("origin", self.origin)

    def codes(self, activations: Array) -> Codes:
        """Bin numbers of a layer's activations at m rows, counted from the lowest bin that is used."""
        # In double precision whatever the activations come in: halves and singles would round the quotient.
        host = _host(activations)
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused below
            places = np.floor((host - self.origin) / self.width)
            lowest = places.min()
            span = places.max() - lowest
        if not span <= _LARGEST_CODE:
            raise ValueError(f"width is {self.width}, too narrow to number the bins of these activations; take a wider")
        return Codes((places - lowest).astype(np.int64))


def row_symbols(codes: Int[np.ndarray, "m d"]) -> Int[np.ndarray, " m"]:
    """Number the distinct rows of bin numbers from 0; exact for any number of units and bins."""
    symbol, size = np.zeros(len(codes), dtype=np.int64), 1
    for column, count in zip(codes.T, codes.max(axis=0).tolist(), strict=True):
        if float(size) * (count + 1) > _LARGEST_CODE:
            symbol = np.unique(symbol, return_inverse=True)[1].reshape(-1)
            size = int(symbol.max()) + 1
            if float(size) * (count + 1) > _LARGEST_CODE:
                column = np.unique(column, return_inverse=True)[1].reshape(-1)
                count = int(column.max())
        symbol, size = symbol * (count + 1) + column, size * (count + 1)
    return np.unique(symbol, return_inverse=True)[1].reshape(-1)


def distinct_rows(activations: Float[np.ndarray, "m d"]) -> Int[np.ndarray, " m"]:
    """Number the distinct rows of activations, compared exactly, from 0."""
    columns = [np.unique(column, return_inverse=True)[1].reshape(-1) for column in np.asarray(activations).T + 0.0]
    return row_symbols(np.stack(columns, axis=1).astype(np.int64))


def checked_binning(binning: object) -> None:
    """Raise TypeError for anything that makes no bin numbers, a number of bins among them."""
    if not isinstance(binning, Binning) or isinstance(binning, type):
        raise TypeError(
            f"binning is {binning!r}; give bins: RangeBins(30), QuantileBins(30), WidthBins(0.1) or FixedBins(edges)"
        )


def checked_activations(activations: Array | Sequence) -> np.ndarray:
    """The activations on the host, (m, d), finite.

    Raises:
        ValueError: another shape, no rows or no units, NaN, infinity or masked entries.
        TypeError: what is no array of real numbers.
    """
    host = checks.host("activations", activations)
    if host.dtype.kind not in "fiub":
        raise TypeError(f"activations holds {host.dtype}; it must be real numbers")
    checks.shape("activations", host, (None, None), "one row of units for each input")
    if host.size == 0:
        raise ValueError(f"activations has shape {host.shape}; it needs at least one row and one unit")
    checks.finite("activations", host)
    return host


def _even_bins(activations: Float[np.ndarray, "m d"], edges: Float[np.ndarray, "u b1"]) -> Int[np.ndarray, "m d"]:
    """The bins by arithmetic, then compared with the edges themselves, which rounding may have put it one bin off."""
    bins = edges.shape[1] - 1
    start, width = edges[:, 0][None, :], ((edges[:, -1] - edges[:, 0]) / bins)[None, :]
    place = np.clip((activations - start) / width, 0, bins - 1).astype(np.int64)
    row = (np.arange(len(edges)) * (bins + 1))[None, :]
    flat = edges.reshape(-1)
    place -= (activations < flat[row + place]) & (place > 0)
    place += (activations >= flat[row + place + 1]) & (place < bins - 1)
    return place


def _quantile_edges(ordered: Float[np.ndarray, " m"], bins: int) -> Float[np.ndarray, " b1"]:
    """Edges of one unit from its activations in rising order; edges are activations, or just above one."""
    firsts = ordered[np.concatenate([[True], ordered[1:] > ordered[:-1]])]
    if len(firsts) <= bins:
        # As many edges for every unit: the last value is repeated, and bins between equal edges stay empty.
        return np.concatenate([firsts, np.full(bins + 1 - len(firsts), firsts[-1])])
    edges = ordered[np.minimum(-(-np.arange(bins + 1) * len(ordered) // bins), len(ordered) - 1)]
    # A value at several edges fills the bins between them. The last of these edges moves just above it, so that the
    # value is alone in the bin below and larger values start the next.
    repeated = np.concatenate([[False], edges[1:] == edges[:-1]])
    last = repeated & np.concatenate([edges[:-1] != edges[1:], [False]])
    return np.where(last, np.nextafter(edges, np.inf), edges)


def _host(activations: Array) -> Float[np.ndarray, "m d"]:
    """The activations in double precision, finite."""
    host = to_numpy(activations).astype(np.float64, copy=False)
    checks.finite("activations", host)
    return host


def _bins_of(edges: np.ndarray, scope: str) -> FixedBins:
    return FixedBins(edges if scope == "unit" else edges[0])


def _flat(activations: Array, scope: str) -> np.ndarray:
    """Every activation as a row of its unit's column, or as a row of one column."""
    host = to_numpy(activations).astype(np.float64, copy=False)
    checks.finite("activations", host)
    return host.reshape(-1, host.shape[-1]) if scope == "unit" else host.reshape(-1, 1)
