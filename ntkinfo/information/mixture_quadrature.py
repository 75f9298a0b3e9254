"""Differential entropy of a one-dimensional Gaussian mixture by adaptive quadrature, whatever the spread of its widths.

The density is built on a binary tree of cells, coarse to fine. A component enters the tree at the first cells that are
no wider than twice itself (than itself for tolerances below 1e-9), where a polynomial through 16 Gauss-Legendre nodes
carries it; finer cells inherit it by evaluating that polynomial. So a wide component is evaluated a few hundred times
however many narrow ones lie inside it, and the work is proportional to the number of components. Positions are kept
relative to the cell, in cell widths and in double-double arithmetic, so that components of width 1e-12 that lie 1e-12
apart near 1 are still resolved.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float
from scipy.special import erfc

from ntkinfo.core import checks
from ntkinfo.core.records import Estimate

NODES = 16
FEWER_NODES = 12  # of the rule whose difference from the full one is the error of a cell
SMALLEST_TOLERANCE = 1e-13
DEEPEST = 60  # halvings after the last component has entered; a cell that still disagrees is counted in the error
RESOLVED = 1e-28  # of the extent: the closest narrow components that double-double positions tell apart
PAIRS_AT_ONCE = 1 << 12  # of a component and a cell; both blocks fit into a processor's cache
CELLS_AT_ONCE = 512  # a product with so few rows stays on one thread: several cost more in waiting than they save


@dataclass(frozen=True)
class InterpolationRule:
    """Gauss-Legendre nodes and weights on [0, 1]; matrices from node values to both halves and to the fewer nodes."""

    nodes: np.ndarray
    weights: np.ndarray
    fewer_weights: np.ndarray
    halve: np.ndarray
    fewer: np.ndarray


@cache
def interpolation_rule() -> InterpolationRule:
    """Return the rule of 16 nodes, its comparison with 12, and the polynomial through the nodes on both halves."""
    legendre = np.polynomial.legendre
    nodes, weights = legendre.leggauss(NODES)
    fewer_nodes, fewer_weights = legendre.leggauss(FEWER_NODES)
    # The Vandermonde matrix of Legendre polynomials on Legendre nodes is orthogonal up to the weights.
    inverse = (np.arange(NODES) + 0.5)[:, None] * legendre.legvander(nodes, NODES - 1).T * weights[None, :]
    halve = legendre.legvander(np.concatenate([(nodes - 1) / 2, (nodes + 1) / 2]), NODES - 1) @ inverse
    fewer = legendre.legvander(fewer_nodes, NODES - 1) @ inverse
    return InterpolationRule((nodes + 1) / 2, weights / 2, fewer_weights / 2, halve, fewer)


@dataclass(frozen=True)
class Components:
    """Distinct components: standard deviation, height of the weighted density.

    In standard deviations: the windows beyond which densities are left out, and the widest cells a component enters.
    """

    mean: np.ndarray
    std: np.ndarray
    height: np.ndarray
    window: float
    enter: float = 1.0


@dataclass(frozen=True)
class Level:
    """The cells of one width: node values, and which components have still to enter them.

    `waiting` cells have components left, listed as (cell, component, position in cell widths), sorted by cell; the
    position is the unevaluated sum `position + remainder`. `ready` cells have none.
    """

    width: float
    waiting: np.ndarray
    cell: np.ndarray
    component: np.ndarray
    position: np.ndarray
    remainder: np.ndarray
    ready: np.ndarray


def entropy_quadrature(
    mean: Float[np.ndarray, " m"],
    variance: Float[np.ndarray, " m"],
    weights: Float[np.ndarray, " m"] | None = None,
    tolerance: float = 1e-9,
) -> Estimate:
    """Differential entropy of the mixture of N(mean_i, variance_i), one output, in nats.

    Args:
        mean: centres of the components, (m,).
        variance: their variances, (m,), all above zero.
        weights: their probabilities, (m,), summing to one; equal when left out.
        tolerance: wanted absolute error, at least 1e-13 (relative to the entropy where that is above one nat).

    Returns:
        The entropy, with the error that the quadrature estimates for itself in `standard_error`: the sum over all cells
        of the difference between rules of 16 and of 12 nodes, plus the tails and the digits that were left out.

    Raises:
        ValueError: NaN or infinite values, variances that are not above zero, weights that do not sum to one, a
            tolerance below 1e-13.

    Fails when standard deviations lie below about 1e-150 (their densities overflow). Narrow components at distinct
    means closer than 1e-28 of the whole extent cannot be told apart: the error then contains log m for each of them.
    Source: theory §3 (a).
    """
    places, variance, weights = distinct_components(mean[:, None], variance, weights, tolerance, SMALLEST_TOLERANCE)
    mean = places[:, 0]
    if len(mean) == 1:
        return Estimate(float(0.5 * np.log(2 * np.pi * np.e * variance[0])), 0.0, "quadrature", "one Gaussian")
    std = np.sqrt(variance)
    components = Components(mean, std, weights / (std * np.sqrt(2 * np.pi)), *window_and_entry(tolerance))
    entropy, error = _integrate(components, tolerance)
    return Estimate(entropy, error, "quadrature", f"adaptive Gauss-Legendre to {tolerance:g}")


def window_and_entry(tolerance: float) -> tuple[float, float]:
    """Window of a component, and width of the widest cells that it enters, in standard deviations."""
    return float(np.sqrt(2 * np.log(1e3 / tolerance))), 2.0 if tolerance >= 9e-10 else 1.0


def distinct_components(
    mean: Float[np.ndarray, "m C"],
    variance: Float[np.ndarray, " m"],
    weights: Float[np.ndarray, " m"] | None,
    tolerance: float,
    smallest: float,
) -> tuple[Float[np.ndarray, "k C"], Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Check, merge components of equal mean and variance, drop those of weight zero, sort by mean.

    Raises:
        ValueError: NaN or infinite values, a tolerance below `smallest`, weights that are no probabilities, variances
            that are not above zero.
    """
    checks.finite("mean", mean)
    checks.finite("variance", variance)
    checks.positive("tolerance", tolerance)
    if tolerance < smallest:
        raise ValueError(f"tolerance is {tolerance}; float64 allows no less than {smallest}")
    mean, variance = np.asarray(mean, np.float64), np.asarray(variance, np.float64)
    if weights is None:
        weights = np.full(len(mean), 1 / len(mean))
    elif np.any(weights < 0) or not abs(float(np.sum(weights)) - 1) <= 1e-9:
        raise ValueError(f"weights sum to {float(np.sum(weights))} or hold a negative one; they are probabilities")
    order = np.lexsort((variance, *mean.T[::-1]))
    mean, variance, weights = mean[order], variance[order], weights[order]
    new = np.concatenate([[True], np.any(np.diff(mean, axis=0) != 0, axis=1) | (np.diff(variance) != 0)])
    merged = np.add.reduceat(weights, np.flatnonzero(new))
    kept = merged > 0
    if not np.all(variance[new][kept] > 0):
        raise ValueError("variance holds values that are not above zero: the differential entropy is minus infinity")
    return mean[new][kept], variance[new][kept], merged[kept]


def _integrate(components: Components, tolerance: float) -> tuple[float, float]:
    """Entropy and error estimate: go down the tree, close cells on which both rules agree, halve the others."""
    level = root_level(components)
    entropy, error, extra = 0.0, 0.0, 0
    # A cell may be wrong by its share of the mass, or by a share of a fixed number of cells where it holds hardly any.
    floor = 1e-3 * tolerance / len(components.mean)
    while len(level.waiting) or len(level.ready):
        level = _enter(level, components)
        extra = extra + 1 if not len(level.waiting) else 0
        opened = []
        for part in _blocks(level.ready):
            value, defect, halves = _close(part, level.width, tolerance, np.inf if extra >= DEEPEST else floor)
            entropy, error = entropy + value, error + defect
            opened.append(halves)
        level = _halve(level, components, opened)
    error += _left_out(components) + _unresolved(components) + 1e-15 * abs(entropy)
    return entropy, float(error)


def root_level(components: Components) -> Level:
    """The one cell that holds every component's window; positions from its left end."""
    reach = components.window * components.std
    narrowest = components.mean[np.argmin(components.std)]
    offset, rounding = two_sum(components.mean, np.full_like(components.mean, -narrowest))
    first, last = float(np.min(offset - reach)), float(np.max(offset + reach))
    # Room at both ends for windows that rounding hides beside a large mean; a power of two, to divide by it exactly.
    left = first - 0.01 * (last - first)
    width = float(2.0 ** np.ceil(np.log2(1.02 * (last - first))))
    offset, error = two_sum(offset, np.full_like(offset, -left))
    offset, remainder = two_sum(offset, error + rounding)
    m = len(components.mean)
    cell = np.zeros(m, dtype=np.int64)
    empty = np.zeros((0, NODES))
    return Level(width, np.zeros((1, NODES)), cell, np.arange(m), offset / width, remainder / width, empty)


def two_sum(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rounded sum and its exact rounding error (Knuth)."""
    total = first + second
    part = total - first
    return total, (first - (total - part)) + (second - part)


def in_right_half(position: np.ndarray, remainder: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions and remainders in units of the right half of a cell, given those in units of the cell."""
    right, error = two_sum(2 * position, np.full_like(position, -1.0))
    return two_sum(right, error + 2 * remainder)


def _enter(level: Level, components: Components) -> Level:
    """Evaluate the components that are at least as wide as the cells; cells that wait for no other become ready."""
    entering = components.enter * components.std[level.component] >= level.width
    values = level.waiting + _densities(level, components, entering)
    later = (a[~entering] for a in (level.cell, level.component, level.position, level.remainder))
    cell, component, position, remainder = later
    waits = np.zeros(len(values), dtype=bool)
    waits[cell] = True
    number = np.cumsum(waits) - 1
    ready = np.concatenate([level.ready, values[~waits]])
    return Level(level.width, values[waits], number[cell], component, position, remainder, ready)


def _densities(level: Level, components: Components, entering: np.ndarray) -> np.ndarray:
    """Sum over the entering components of their densities at the nodes of the cells they reach, (cells, nodes)."""
    total = np.zeros_like(level.waiting)
    chosen = np.flatnonzero(entering)
    for start in range(0, len(chosen), PAIRS_AT_ONCE):
        part = chosen[start : start + PAIRS_AT_ONCE]
        component, cell = level.component[part], level.cell[part]
        scale = np.sqrt(0.5) * level.width / components.std[component]
        # At a width like the component's own the remainder of the position is below rounding.
        distance = interpolation_rule().nodes[None, :] - level.position[part][:, None]
        distance *= scale[:, None]
        density = np.exp(-distance * distance)
        density *= components.height[component][:, None]
        first = np.flatnonzero(np.concatenate([[True], np.diff(cell) != 0]))
        total[cell[first]] += np.add.reduceat(density, first, axis=0)
    return total


def _close(values: np.ndarray, width: float, tolerance: float, floor: float) -> tuple[float, float, np.ndarray]:
    """Entropy and error of the cells on which both rules agree; the halves of the others."""
    rule = interpolation_rule()
    fine = width * (minus_p_log_p(values) @ rule.weights)
    coarse = width * (minus_p_log_p(values @ rule.fewer.T) @ rule.fewer_weights)
    defect = np.abs(fine - coarse)
    mass = width * (values @ rule.weights)
    closed = defect <= np.maximum(tolerance * mass, floor)
    return float(np.sum(fine[closed])), float(np.sum(defect[closed])), values[~closed] @ rule.halve.T


def minus_p_log_p(density: np.ndarray) -> np.ndarray:
    """Zero where the density is zero, or below zero by rounding far out in a tail."""
    return -density * np.log(np.maximum(density, np.finfo(float).tiny))


def _blocks(values: np.ndarray) -> Iterator[np.ndarray]:
    """The cells, a few at a time; nothing at all in one empty block."""
    for start in range(0, max(len(values), 1), CELLS_AT_ONCE):
        yield values[start : start + CELLS_AT_ONCE]


def _halve(level: Level, components: Components, opened: list[np.ndarray]) -> Level:
    """The next level: both halves of the waiting cells with the components that reach them, and the opened cells."""
    width, n = 0.5 * level.width, len(level.waiting)
    halves = [part @ interpolation_rule().halve.T for part in _blocks(level.waiting)]
    values = np.concatenate([*(part[:, :NODES] for part in halves), *(part[:, NODES:] for part in halves)])
    cell = np.concatenate([level.cell, level.cell + n])
    component = np.concatenate([level.component, level.component])
    right, error = in_right_half(level.position, level.remainder)
    position = np.concatenate([2 * level.position, right])
    remainder = np.concatenate([2 * level.remainder, error])
    outside = np.maximum(np.maximum(-position, position - 1), 0) * width
    reached = outside <= components.window * components.std[component]
    return Level(
        width,
        values,
        cell[reached],
        component[reached],
        position[reached],
        remainder[reached],
        np.concatenate([part.reshape(-1, NODES) for part in opened]),
    )


def _unresolved(components: Components) -> float:
    """What it can matter that positions hold about 100 bits of the whole extent: log m for each component concerned."""
    weights = components.height * components.std * np.sqrt(2 * np.pi)
    return float(np.sum(weights[too_close(components)])) * float(np.log(len(weights)))


def too_close(components: Components) -> np.ndarray:
    """Which of the components, sorted by mean, are narrow and closer to a neighbour than positions tell apart, (m,)."""
    extent = float(np.ptp(components.mean)) + float(np.max(components.std))
    gap = np.diff(components.mean)
    narrow = np.minimum(components.std[1:], components.std[:-1]) < RESOLVED * extent
    close = (gap > 0) & (gap < RESOLVED * extent) & narrow
    return np.concatenate([close, [False]]) | np.concatenate([[False], close])


def _left_out(components: Components) -> float:
    """Bound on what tails beyond the windows and digits beyond the polynomials add: mass times the largest log density.

    The polynomial of a component is wrong by 1.5e-12 of its mass when it enters cells twice as wide as itself (measured
    over all positions of the cells), by 1.5e-15 on cells no wider than itself.
    """
    mass = float(erfc(components.window / np.sqrt(2))) + (1.5e-12 if components.enter > 1 else 1.5e-15)
    return mass * (0.5 * components.window**2 + 2 + float(np.max(np.abs(np.log(components.height)))))
