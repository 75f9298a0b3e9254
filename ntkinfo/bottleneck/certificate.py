"""How far from the optimum: bounds on the bottleneck's objective that hold for every encoder.

With Z_x > 0 any numbers and G(r) = Σ_x p(x) exp(-β d(x, r)) / Z_x, every encoder and every choice of points has

    I(X;T) + β E d(x, r_T) >= -Σ_x p(x) log Z_x - log max_r G(r)

(the dual of the rate-distortion problem whose reproductions are all laws r of Y). The right side meets the left at the
optimum, with the Z_x of the optimal mixture; there G = 1 at every cluster and G <= 1 elsewhere. So a solution is
optimal exactly where max G = 1; where G > 1 a cluster is missing, and r is where. The maximum is bounded from above by
branch and bound over simplices of laws: on each, -β d(x, r) lies below a linear function of r, a sum of exponentials of
linear functions is convex, and a convex function over a simplex is largest at a vertex.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ntkinfo.bottleneck.discrete_engine import Distortion, Minimum, log_sum_exp

_ENTRIES = 2_000_000
_LOOSEST = 0.5  # cells whose bound is above this share of the largest are cut next
_FIRST_PIECES = 64
# Ascents: cycles of two steps and an extrapolation of at most so many times the step. Those that have come as near to
# each other as _NEAR go on as one; points as near as _SAME count as the same. Both are shares of the width of what is
# started from: where all p(y|x) are nearly alike, so are the points. Nearer than _LEAST, rounding decides.
_CYCLES, _LONGEST = 7, 100.0
_NEAR, _SAME, _LEAST = 1e-4, 1e-3, 1e-6


@dataclass(frozen=True)
class Peak:
    """Largest value of log G over all laws r of Y.

    Args:
        lower: the largest log G that was found.
        upper: log G is nowhere above it (but for rounding).
        point: the law r where `lower` was found, (k,).
        cells: simplices that were looked at.
        complete: upper - max(lower, 0) is at most what was asked for.
    """

    lower: float
    upper: float
    point: np.ndarray
    cells: int
    complete: bool


def log_ratio(distortion: Distortion, log_z: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Log G at points (m, k); (m,)."""
    values = np.empty(len(points))
    size = max(1, _ENTRIES // len(log_z))
    base = np.log(distortion.law) - log_z
    for start in range(0, len(points), size):
        values[start : start + size] = log_sum_exp(base[:, None] + distortion.log_kernel(points[start : start + size]))
    return values


def normalisers(distortion: Distortion, found: Minimum) -> np.ndarray:
    """Log Z_x of a minimum's mixture, (n,)."""
    exponent = found.state.log_weight[None, :] + distortion.log_kernel(found.state.points)
    return log_sum_exp(exponent.T)


def new_points(
    distortion: Distortion, log_z: np.ndarray, starts: np.ndarray, known: np.ndarray, least: float
) -> np.ndarray:
    """Local maxima of G above e^least, by ascent from many starts: points of clusters that are missing.

    Args:
        distortion: of the problem at one β.
        log_z: log Z_x of the present solution.
        starts: laws to start from, (m, k).
        known: points of the present clusters, (T, k): ascents that come near one of them end there.
        least: log G of what counts as missing.

    Returns:
        Different points, (m', k), the best first; none where no ascent ends above.
    """
    base = (np.log(distortion.law) - log_z)[:, None]
    width = float(np.ptp(starts, axis=0).max(initial=0.0))
    near, same = max(_NEAR * width, 0.1 * _LEAST), max(_SAME * width, _LEAST)
    points = _apart(starts, known, same)
    for _ in range(_CYCLES):
        if len(points) == 0:
            return points
        first = _ascended(distortion, base, points)
        second = _ascended(distortion, base, first)
        points = _met(_apart(_extrapolated(points, first, second), known, same), near)
    if len(points) == 0:
        return points
    points = _ascended(distortion, base, points)
    heights = log_ratio(distortion, log_z, points)
    found: list[np.ndarray] = []
    for place in np.argsort(-heights):
        if heights[place] <= least:
            break
        if all(np.max(np.abs(points[place] - other)) > same for other in found):
            found.append(points[place])
    return np.array(found).reshape(-1, points.shape[1])


def _ascended(distortion: Distortion, base: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points after one step, which does not lower G."""
    exponent = base + distortion.log_kernel(points)
    weight = np.exp(exponent - exponent.max(axis=0))
    return distortion.centroids(weight / weight.sum(axis=0))


def _extrapolated(points: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Where two steps lead to if what is left shrinks by the same factor in each; the second where that is no law."""
    step = first - points
    bend = second - first - step
    shortening = np.sum(bend**2, axis=1)
    length = np.sqrt(np.sum(step**2, axis=1) / np.where(shortening > 0, shortening, np.inf))[:, None]
    aim = points + 2 * length * step + length**2 * bend
    good = (aim.min(axis=1, keepdims=True) > 0) & (length > 1) & (length < _LONGEST)
    return np.where(good, aim, second)


def _apart(points: np.ndarray, known: np.ndarray, same: float) -> np.ndarray:
    """Points that are farther than that from the known ones."""
    nearest = np.min(np.max(np.abs(points[:, None] - known[None]), axis=2), axis=1, initial=np.inf)
    return points[nearest > same]


def _met(points: np.ndarray, near: float) -> np.ndarray:
    """One point of each cell, of that width, of a grid that holds any."""
    cells = np.round(points / near).astype(np.int64)
    return points[list({cell.tobytes(): place for place, cell in enumerate(cells)}.values())]


def peak(distortion: Distortion, log_z: np.ndarray, tolerance: float, budget: int, values: int) -> Peak:
    """Bound the maximum of log G over the whole simplex of laws of Y.

    Args:
        distortion: of the problem at one β.
        log_z: log Z_x, (n,); any numbers give a valid bound.
        tolerance: how close the bound is to come to max(log G, 0).
        budget: most simplices; when they are used up the bound still holds, and is loose.
        values: k, how many values Y has.

    Returns:
        The bound; `complete` where it is as close as asked for.
    """
    new = _first_cells(values)
    base = np.log(distortion.law) - log_z
    best, where, settled, seen = -np.inf, np.full(values, 1 / values), -np.inf, 0
    cells, bounds = new[:0], np.zeros(0)
    while True:
        centres = new.mean(axis=1)
        heights = log_ratio(distortion, log_z, centres)
        if heights.max() > best:
            best, where = float(heights.max()), centres[np.argmax(heights)]
        seen += len(new)
        cells = np.concatenate([cells, new])
        bounds = np.concatenate([bounds, _cell_bounds(distortion, base, new)])
        open_ = bounds > max(best, 0.0) + tolerance
        settled = max(settled, float(np.max(bounds[~open_], initial=-np.inf)))
        if not np.any(open_):
            return Peak(best, max(settled, best), where, seen, True)
        cells, bounds = cells[open_], bounds[open_]
        # The loosest first: where G is 1 along a line, cells at its ends have to be much smaller than the others.
        excess = bounds - max(best, 0.0)
        split = excess >= _LOOSEST * excess.max()
        if seen + 2 * np.count_nonzero(split) > budget:
            return Peak(best, max(settled, float(bounds.max())), where, seen, False)
        new = _halves(cells[split])
        cells, bounds = cells[~split], bounds[~split]


def _first_cells(values: int) -> np.ndarray:
    """The simplex itself; for two values pieces of it, finer towards both ends."""
    if values > 2:
        return np.eye(values)[None]
    edges = 0.5 - 0.5 * np.cos(np.pi * np.arange(_FIRST_PIECES + 1) / _FIRST_PIECES)
    ends = np.stack([edges, 1 - edges], axis=1)
    return np.stack([ends[:-1], ends[1:]], axis=1)


def _cell_bounds(distortion: Distortion, base: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """An upper bound on log G in every cell."""
    size = max(1, _ENTRIES // (len(base) * cells.shape[1]))
    parts = [cells[start : start + size] for start in range(0, len(cells), size)]
    return np.concatenate(
        [log_sum_exp(np.moveaxis(base[None, :, None] + distortion.majorant(part), 1, 0)).max(axis=1) for part in parts]
    )


def _halves(cells: np.ndarray) -> np.ndarray:
    """Every simplex cut in two at the middle of its longest edge."""
    count, vertices = cells.shape[:2]
    first, second = np.triu_indices(vertices, 1)
    lengths = np.sum((cells[:, first] - cells[:, second]) ** 2, axis=2)
    edge, row = np.argmax(lengths, axis=1), np.arange(count)
    middle = (cells[row, first[edge]] + cells[row, second[edge]]) / 2
    left, right = cells.copy(), cells.copy()
    left[row, first[edge]] = middle
    right[row, second[edge]] = middle
    return np.concatenate([left, right])
