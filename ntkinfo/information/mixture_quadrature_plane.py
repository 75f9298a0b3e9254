"""Differential entropy of a two-dimensional isotropic Gaussian mixture by adaptive quadrature, whatever its widths.

The density is built on a tree of square cells, coarse to fine. A component enters the tree at the first cells that are
no wider than twice itself (than itself for tolerances below 1e-9), where the polynomial through 16 by 16 Gauss-Legendre
nodes carries it; finer cells inherit it by evaluating that polynomial. On entry it is a product of one factor for each
output, so a cell costs one small matrix product however many components enter it. The tree is walked depth first in
batches, so memory hardly grows with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ntkinfo.core import checks
from ntkinfo.core.records import Estimate
from ntkinfo.information.mixture_quadrature import (
    NODES,
    RESOLVED,
    distinct_components,
    in_right_half,
    interpolation_rule,
    minus_p_log_p,
    two_sum,
    window_and_entry,
)

SMALLEST_TOLERANCE = 1e-12
DEEPEST = 50  # quarterings after the last component has entered; a cell that still disagrees is counted in the error
CELLS_AT_ONCE = 512
MOST_CELLS = 5_000_000  # half a minute on one core
TILE = 4  # cells along one side, about the radius of the widest component that still waits


@dataclass(frozen=True)
class _Components:
    """Distinct components: standard deviation, height of the weighted density, windows in standard deviations."""

    mean: np.ndarray
    std: np.ndarray
    height: np.ndarray
    window: float
    enter: float


@dataclass(frozen=True)
class _Batch:
    """Cells of one width that wait for components: node values, and which components have still to enter.

    Components are listed as (cell, component, position in cell widths), sorted by cell; the position is the
    unevaluated sum `position + remainder`, two columns each.
    """

    width: float
    values: np.ndarray
    cell: np.ndarray
    component: np.ndarray
    position: np.ndarray
    remainder: np.ndarray


class _Total:
    """Entropy, error and number of cells so far."""

    def __init__(self, tolerance: float, floor: float, most_cells: int):
        self.entropy, self.error, self.cells = 0.0, 0.0, 0
        self.tolerance, self.floor, self.most_cells = tolerance, floor, most_cells

    def add(self, values: np.ndarray, width: float) -> None:
        """Integrate cells for which no component waits: close those on which both rules agree, quarter the others."""
        stack = [(values, width, 0)]
        while stack:
            values, width, depth = stack.pop()
            for start in range(0, len(values), CELLS_AT_ONCE):
                part = values[start : start + CELLS_AT_ONCE]
                opened = part[self._open(part, width, depth >= DEEPEST or self.cells >= self.most_cells)]
                if len(opened):
                    stack.append((_quarters(opened), 0.5 * width, depth + 1))

    def _open(self, values: np.ndarray, width: float, none: bool) -> np.ndarray:
        rule, area = interpolation_rule(), width * width
        fine = area * _integral(minus_p_log_p(values), rule.weights)
        coarse = area * _integral(minus_p_log_p(_along_both(rule.fewer, values)), rule.fewer_weights)
        defect = np.abs(fine - coarse)
        mass = area * _integral(values, rule.weights)
        closed = (defect <= np.maximum(self.tolerance * mass, self.floor)) | none
        self.entropy += float(np.sum(fine[closed]))
        self.error += float(np.sum(defect[closed]))
        self.cells += len(values)
        return ~closed


def _integral(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    # One cell after the other: for one large product BLAS would start threads and wait for them.
    return np.matmul(np.matmul(values, weights), weights)


def _along_both(matrix: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Apply the matrix along both axes of every cell."""
    return np.matmul(matrix, values @ matrix.T)


def _quarters(values: np.ndarray) -> np.ndarray:
    """Node values of all four quarters, (4 n, nodes, nodes): first those at low first and second output."""
    both = _along_both(interpolation_rule().halve, values)
    low, high = slice(0, NODES), slice(NODES, None)
    return np.concatenate([both[:, low, low], both[:, low, high], both[:, high, low], both[:, high, high]])


def entropy_quadrature_plane(
    mean: Float[np.ndarray, "m 2"],
    variance: Float[np.ndarray, " m"],
    weights: Float[np.ndarray, " m"] | None = None,
    tolerance: float = 1e-9,
    most_cells: int = MOST_CELLS,
) -> Estimate:
    """Differential entropy of the mixture of N(mean_i, variance_i I), two outputs, in nats.

    Args:
        mean: centres of the components, (m, 2).
        variance: their variances, the same in both directions, (m,), all above zero.
        weights: their probabilities, (m,), summing to one; equal when left out.
        tolerance: wanted absolute error, at least 1e-12 (relative to the entropy where that is above one nat).
        most_cells: after so many cells none is refined any more (5 microseconds or so each).

    Returns:
        The entropy, with the error that the quadrature estimates for itself in `standard_error`: the sum over all cells
        of the difference between rules of 16 and of 12 nodes in each direction, plus the tails and the digits that were
        left out. Where `most_cells` was reached, `method` says so and the error is what has been achieved.

    Raises:
        ValueError: NaN or infinite values, variances that are not above zero, weights that do not sum to one, a
            tolerance below 1e-12, fewer than one cell.

    The cost is a few hundred cells for each distinct component at worst and far fewer where components overlap;
    `work_on_plane` tells beforehand. Cells that components enter are needed in any case and are not limited.
    Fails when standard deviations lie below about 1e-150 (their densities overflow). Components narrower than 1e-28 of
    the whole extent may not be told apart when they lie that close: the error then contains log m for each of them.
    Source: theory §3 (a).
    """
    checks.whole("most_cells", most_cells)
    mean, variance, weights = distinct_components(mean, variance, weights, tolerance, SMALLEST_TOLERANCE)
    if len(mean) == 1:
        return Estimate(float(np.log(2 * np.pi * np.e * variance[0])), 0.0, "quadrature", "one Gaussian")
    components = _Components(mean, np.sqrt(variance), weights / (2 * np.pi * variance), *window_and_entry(tolerance))
    # A cell may be wrong by its share of the mass, or by a share of a fixed number of cells where it holds hardly any.
    total = _Total(tolerance, 1e-3 * tolerance / len(mean), most_cells)
    for values, width in _ready(components):
        total.add(values, width)
    error = total.error + _left_out(components) + _unresolved(components) + 1e-15 * abs(total.entropy)
    method = f"adaptive Gauss-Legendre on squares to {tolerance:g}"
    if total.cells >= most_cells and error > tolerance:
        method += f", not reached: refinement ended after {total.cells} cells"
    return Estimate(total.entropy, float(error), "quadrature", method)


def work_on_plane(mean: Float[np.ndarray, "m 2"], variance: Float[np.ndarray, " m"], tolerance: float = 1e-9) -> float:
    """Rough number of cells that `entropy_quadrature_plane` will need, from positions and widths alone.

    Args:
        mean: centres of the components, (m, 2).
        variance: their variances, (m,), all above zero.
        tolerance: wanted absolute error.

    Returns:
        Cells; a cell takes about 5 microseconds on one core. Entering twenty components counts as one cell.

    A cell that some narrower component reaches is quartered, so there are three more cells for each of those. On a
    level of the tree a disk of radius r cells meets pi r² + 4 r + 1 of them on average; in a tile of 4 by 4 cells that
    holds many disks there are no more than in the tile enlarged by r.
    """
    window, enter = window_and_entry(tolerance)
    std = np.sqrt(variance)
    offset = mean - np.min(mean - window * std[:, None], axis=0)[None, :]
    width = float(np.max(offset + window * std[:, None]))
    quartered, entered = 0.0, 0.0
    while len(offset):
        radius = window * std / width
        disk = np.pi * radius**2 + 4 * radius + 1
        waits = enter * std < width
        entered += float(np.sum(disk))
        offset, std, radius, disk = offset[waits], std[waits], radius[waits], disk[waits]
        quartered += _covered(offset / width, radius, disk)
        width *= 0.5
    return 1 + 3 * quartered + entered / 20


def _covered(place: np.ndarray, radius: np.ndarray, disk: np.ndarray) -> float:
    """Cells that disks cover together, from above: counted tile by tile."""
    if len(place) == 0:
        return 0.0
    row, column = np.floor(place / TILE).T
    tile = np.unique(row + 1j * column, return_inverse=True)[1]
    largest = np.zeros(int(np.max(tile)) + 1)
    np.maximum.at(largest, tile, radius)
    enlarged = TILE**2 + 4 * TILE * largest + np.pi * largest**2
    return float(np.sum(np.minimum(np.bincount(tile, weights=disk), enlarged)))


def _ready(components: _Components) -> Iterator[tuple[np.ndarray, float]]:
    """Node values and width of cells that all components have entered; together they cover the plane."""
    stack = [_root(components)]
    while stack:
        batch = stack.pop()
        values = batch.values + _densities(batch, components)
        later = np.flatnonzero(components.enter * components.std[batch.component] < batch.width)
        waits = np.zeros(len(values), dtype=bool)
        waits[batch.cell[later]] = True
        if not np.all(waits):
            yield values[~waits], batch.width
        if len(later):
            number = np.cumsum(waits) - 1
            rest = _Batch(
                batch.width,
                values[waits],
                number[batch.cell[later]],
                batch.component[later],
                batch.position[later],
                batch.remainder[later],
            )
            stack.extend(_split(_halve(rest, components)))


def _root(components: _Components) -> _Batch:
    reach = (components.window * components.std)[:, None]
    narrowest = components.mean[np.argmin(components.std)][None, :]
    offset, rounding = two_sum(components.mean, -np.broadcast_to(narrowest, components.mean.shape))
    first, last = np.min(offset - reach, axis=0), np.max(offset + reach, axis=0)
    # Room at both ends for windows that rounding hides beside a large mean; a power of two, to divide by it exactly.
    extent = float(np.max(last - first))
    left = first - 0.01 * extent
    width = float(2.0 ** np.ceil(np.log2(1.02 * extent)))
    offset, error = two_sum(offset, -np.broadcast_to(left[None, :], offset.shape))
    position, remainder = two_sum(offset, error + rounding)
    m = len(components.mean)
    zeros = np.zeros((1, NODES, NODES))
    return _Batch(width, zeros, np.zeros(m, dtype=np.int64), np.arange(m), position / width, remainder / width)


def _densities(batch: _Batch, components: _Components) -> np.ndarray:
    """Sum over the entering components of their densities at the nodes of the cells they reach."""
    total = np.zeros_like(batch.values)
    chosen = np.flatnonzero(components.enter * components.std[batch.component] >= batch.width)
    cell = batch.cell[chosen]
    cells, first, counts = np.unique(cell, return_index=True, return_counts=True)
    for count in np.unique(counts):
        same = np.flatnonzero(counts == count)
        per = max(1, CELLS_AT_ONCE * NODES // int(count))
        for start in range(0, len(same), per):
            part = same[start : start + per]
            pairs = chosen[first[part][:, None] + np.arange(count)[None, :]]
            total[cells[part]] = _products(batch, components, pairs)
    return total


def _products(batch: _Batch, components: _Components, pairs: np.ndarray) -> np.ndarray:
    """Densities summed over the pairs of each cell, (cells, pairs): product of a factor for each output."""
    component = batch.component[pairs]
    scale = (batch.width / components.std[component])[:, :, None, None]
    nodes = interpolation_rule().nodes[None, None, None, :]
    distance = nodes - batch.position[pairs][..., None] - batch.remainder[pairs][..., None]
    distance = distance * scale
    factors = np.exp(-0.5 * distance * distance)
    left = factors[:, :, 0, :] * components.height[component][:, :, None]
    return np.matmul(left.transpose(0, 2, 1), factors[:, :, 1, :])


def _halve(batch: _Batch, components: _Components) -> _Batch:
    """All quarters of the cells, with the components that reach them."""
    width, n = 0.5 * batch.width, len(batch.values)
    reach = (components.window / width * components.std[batch.component]) ** 2
    low, high = (2 * batch.position, 2 * batch.remainder), in_right_half(batch.position, batch.remainder)
    beyond = [np.maximum(np.maximum(-p, p - 1), 0) ** 2 for p, _ in (low, high)]
    parts = []
    for quarter in range(4):
        one, two = divmod(quarter, 2)
        kept = np.flatnonzero(beyond[one][:, 0] + beyond[two][:, 1] <= reach)
        at = [np.stack([(low, high)[one][k][kept, 0], (low, high)[two][k][kept, 1]], axis=1) for k in (0, 1)]
        parts.append((batch.cell[kept] + quarter * n, batch.component[kept], *at))
    cell, component, position, remainder = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return _Batch(width, _quarters(batch.values), cell, component, position, remainder)


def _split(batch: _Batch) -> Iterator[_Batch]:
    for start in range(0, len(batch.values), CELLS_AT_ONCE):
        stop = min(start + CELLS_AT_ONCE, len(batch.values))
        a, b = np.searchsorted(batch.cell, (start, stop))
        yield _Batch(
            batch.width,
            batch.values[start:stop],
            batch.cell[a:b] - start,
            batch.component[a:b],
            batch.position[a:b],
            batch.remainder[a:b],
        )


def _left_out(components: _Components) -> float:
    """Bound on what tails beyond the windows and digits beyond the polynomials add: mass times the largest log density.

    The polynomial of a component is wrong by 3e-12 of its mass when it enters cells twice as wide as itself (measured
    over all positions of the cells), by 3e-15 on cells no wider than itself.
    """
    tail = float(np.exp(-0.5 * components.window**2))
    digits = 3e-12 if components.enter > 1 else 3e-15
    largest = 0.5 * components.window**2 + 2 + float(np.max(np.abs(np.log(components.height))))
    return (tail + digits) * largest


def _unresolved(components: _Components) -> float:
    """What it can matter that positions hold about 100 bits of the whole extent: log m for each component concerned.

    Components are sorted by the first output, so neighbours that differ more than that in it are apart.
    """
    extent = float(np.max(np.ptp(components.mean, axis=0))) + float(np.max(components.std))
    narrow = np.flatnonzero(components.std < RESOLVED * extent)
    gap = np.diff(components.mean[narrow], axis=0)
    close = (gap[:, 0] < RESOLVED * extent) & np.any(gap != 0, axis=1)
    concerned = narrow[np.concatenate([close, [False]]) | np.concatenate([[False], close])] if len(narrow) else narrow
    weights = 2 * np.pi * components.height * components.std**2
    return float(np.sum(weights[concerned])) * float(np.log(len(weights)))
