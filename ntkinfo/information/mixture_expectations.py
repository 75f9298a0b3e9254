"""E log p under every component of a one-dimensional Gaussian mixture p, by the tree of cells of `mixture_quadrature`.

Going down, the density is built on cells as there: a component enters at the first cells no wider than itself, where a
polynomial through Gauss-Legendre nodes carries it, and log p is closed on the cells where it is resolved. Going up, the
integrals of log p against the nodes' polynomials are handed from the halves to the whole; a component collects its
expectation in the cells where it entered. So log p may vary on scales far below a component's width, and the work stays
proportional to the number of components.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import erfc

from ntkinfo.core import checks
from ntkinfo.core.records import Estimate
from ntkinfo.information.mixture_quadrature import (
    DEEPEST,
    NODES,
    PAIRS_AT_ONCE,
    Components,
    in_right_half,
    interpolation_rule,
    root_level,
    too_close,
)

SMALLEST_TOLERANCE = 1e-11  # log p of polynomials that carry p to rounding keeps about this much


@dataclass(frozen=True)
class _Entries:
    """Pairs of a component and a cell it reaches, sorted by cell; positions in cell widths, as unevaluated sums."""

    cell: Int[np.ndarray, " e"]
    component: Int[np.ndarray, " e"]
    position: Float[np.ndarray, " e"]
    remainder: Float[np.ndarray, " e"]

    def chosen(self, where: np.ndarray) -> _Entries:
        return _Entries(self.cell[where], self.component[where], self.position[where], self.remainder[where])


@dataclass(frozen=True)
class _Level:
    """What the way up needs to know of one level of cells.

    Args:
        width: of its cells.
        entered: the components that entered there.
        moments: integrals over the closed cells of (log p, its error) times each node's polynomial, (2, cells, nodes);
            0 on the cells that were halved.
        halved: those cells; their left and then their right halves are the cells of the next level.
    """

    width: float
    entered: _Entries
    moments: Float[np.ndarray, "2 c q"]
    halved: Int[np.ndarray, " h"]


def expected_log_density(
    mean: Float[np.ndarray, " m"],
    variance: Float[np.ndarray, " m"],
    weights: Float[np.ndarray, " m"] | None = None,
    tolerance: float = 1e-9,
) -> Estimate:
    """E log p(z) for z ~ N(mean_i, variance_i), with p the mixture of all of these components, for every i.

    Args:
        mean: centres of the components, one output, (m,).
        variance: their variances, (m,), all above zero.
        weights: their probabilities, (m,), all above zero and summing to one; equal when left out.
        tolerance: wanted absolute error of each, at least 1e-11.

    Returns:
        (m,), in nats (of a density in the unit of the mean), each with the error that the quadrature measures for
        itself: the mean over the component of the largest deviation, on a cell, of log p at the nodes of its halves
        from the polynomial through its own nodes, and a bound on what the left-out tails do.

    Raises:
        ValueError: variances or weights that are not above zero, a tolerance below 1e-11.

    Fails as `entropy_quadrature` does: standard deviations below about 1e-150, and narrow components closer than 1e-28
    of the whole extent, whose errors then contain log m.
    """
    checks.positive("tolerance", tolerance)
    if tolerance < SMALLEST_TOLERANCE:
        raise ValueError(f"tolerance is {tolerance}; expectations of log p allow no less than {SMALLEST_TOLERANCE}")
    weights = np.full(len(mean), 1 / len(mean)) if weights is None else weights
    if not (np.all(variance > 0) and np.all(weights > 0)):
        raise ValueError("variance or weights hold values that are not above zero: log p is undefined or unused there")
    if abs(float(np.sum(weights)) - 1) > 1e-9:
        raise ValueError(f"weights sum to {float(np.sum(weights))}; they are probabilities: divide by their sum")
    _, first, index = np.unique(np.stack([mean, variance], axis=1), axis=0, return_index=True, return_inverse=True)
    index = index.reshape(-1)
    mass, std = np.bincount(index, weights=weights), np.sqrt(variance[first])
    method = f"adaptive Gauss-Legendre to {tolerance:g}"
    if len(first) == 1:
        value = np.full(len(mean), -0.5 * float(np.log(2 * np.pi * np.e * variance[0])))
        return Estimate(value, 1e-15 * (1 + np.abs(value)), "quadrature", "one Gaussian")
    window = float(np.sqrt(2 * np.log(1e3 / (tolerance * mass.min()))))
    components = Components(mean[first], std, mass / (std * np.sqrt(2 * np.pi)), window)
    levels = _downward(components, tolerance, 1e-3 * tolerance * float(mass.min()))
    value, error = _upward(levels, components) / mass[None, :]
    error = np.maximum(error, 0.0) + _left_out(components, mass) + 1e-14 * (1 + np.abs(value))
    return Estimate(value[index], error[index], "quadrature", method)


def _downward(components: Components, tolerance: float, floor: float) -> list[_Level]:
    """Build the density from coarse cells to fine ones; stop at cells where log p is resolved or hardly any mass is."""
    root = root_level(components)
    width, values = root.width, np.zeros((1, NODES))
    pending = _Entries(root.cell, root.component, root.position, root.remainder)
    levels, extra = [], 0
    while len(values):
        enters = components.std[pending.component] >= width
        entered, pending = pending.chosen(enters), pending.chosen(~enters)
        values = _added(values, entered, width, components)
        extra = extra + 1 if not len(pending.cell) else 0
        moments, closed = _closed(values, pending.cell, width, tolerance, np.inf if extra > DEEPEST else floor)
        halved = np.flatnonzero(~closed)
        levels.append(_Level(width, entered, moments, halved))
        halves = values[halved] @ interpolation_rule().halve.T
        values = np.concatenate([halves[:, :NODES], halves[:, NODES:]])
        width = 0.5 * width
        pending = _split(pending, halved, len(closed), width, components)
    return levels


def _added(values: np.ndarray, entered: _Entries, width: float, components: Components) -> np.ndarray:
    """Node values with the densities of the entering components added."""
    total = values.copy()
    for part, density in _densities(entered, width, components):
        cell = entered.cell[part]
        first = np.flatnonzero(np.concatenate([[True], np.diff(cell) != 0]))
        total[cell[first]] += np.add.reduceat(density, first, axis=0)
    return total


def _densities(
    entered: _Entries, width: float, components: Components
) -> Iterator[tuple[slice, Float[np.ndarray, "e q"]]]:
    """Yield (slice of the entries, weighted densities at the nodes of their cells), in blocks."""
    for start in range(0, len(entered.cell), PAIRS_AT_ONCE):
        part = slice(start, start + PAIRS_AT_ONCE)
        component = entered.component[part]
        position, remainder = entered.position[part][:, None], entered.remainder[part][:, None]
        distance = interpolation_rule().nodes[None, :] - position - remainder
        distance = distance * (width / components.std[component])[:, None]
        yield part, components.height[component][:, None] * np.exp(-0.5 * distance * distance)


def _closed(
    values: np.ndarray, waited_for: np.ndarray, width: float, tolerance: float, floor: float
) -> tuple[np.ndarray, np.ndarray]:
    """Moments of log p and of its error on the cells that can be closed, and which those are."""
    rule = interpolation_rule()
    waits = np.zeros(len(values), dtype=bool)
    waits[waited_for] = True
    ready = np.flatnonzero(~waits)
    moments, closed = np.zeros((2, len(values), NODES)), np.zeros(len(values), dtype=bool)
    logs, fine = _log(values[ready]), _log(values[ready] @ rule.halve.T)
    deviation = np.max(np.abs(fine - logs @ rule.halve.T), axis=1)
    mass = width * (values[ready] @ rule.weights)
    done = (deviation <= tolerance) | (deviation * mass <= floor)
    kept = ready[done]
    closed[kept] = True
    moments[0, kept] = 0.5 * width * ((fine[done] * np.tile(rule.weights, 2)[None, :]) @ rule.halve)
    moments[1, kept] = width * deviation[done][:, None] * rule.weights[None, :]
    return moments, closed


def _log(density: np.ndarray) -> np.ndarray:
    """Finite where the density is zero, or below zero by rounding far out in a tail."""
    return np.log(np.maximum(density, np.finfo(float).tiny))


def _split(pending: _Entries, halved: np.ndarray, cells: int, width: float, components: Components) -> _Entries:
    """The components that still wait, in both halves of their cells, as far as they reach them."""
    number = np.zeros(cells, dtype=np.int64)
    number[halved] = np.arange(len(halved))
    right, error = in_right_half(pending.position, pending.remainder)
    both = _Entries(
        np.concatenate([number[pending.cell], number[pending.cell] + len(halved)]),
        np.concatenate([pending.component, pending.component]),
        np.concatenate([2 * pending.position, right]),
        np.concatenate([2 * pending.remainder, error]),
    )
    outside = np.maximum(np.maximum(-both.position, both.position - 1), 0) * width
    return both.chosen(outside <= components.window * components.std[both.component])


def _upward(levels: list[_Level], components: Components) -> Float[np.ndarray, "2 m"]:
    """Integrals of log p and of its error against each weighted component."""
    halve = interpolation_rule().halve
    total = np.zeros((2, len(components.mean)))
    below = np.zeros((2, 0, NODES))
    for level in reversed(levels):
        moments, count = level.moments, len(level.halved)
        moments[:, level.halved] = below[:, :count] @ halve[:NODES] + below[:, count:] @ halve[NODES:]
        for part, density in _densities(level.entered, level.width, components):
            component, cell = level.entered.component[part], level.entered.cell[part]
            for kind in range(2):
                parts = np.einsum("eq,eq->e", density, moments[kind, cell])
                total[kind] += np.bincount(component, weights=parts, minlength=total.shape[1])
        below = moments
    return total


def _left_out(components: Components, mass: np.ndarray) -> Float[np.ndarray, " m"]:
    """Bound on the error from beyond the windows, and from narrow components that positions cannot tell apart.

    With w the share of mass of a component beyond its window, its own tail carries w times the largest |log p|, and
    the others' tails change log p by at most their density over the component's: w over its weight.
    """
    beyond = float(erfc(components.window / np.sqrt(2)))
    largest = 0.5 * components.window**2 + 2 + float(np.max(np.abs(np.log(components.height))))
    return beyond * (largest + 1 / mass) + np.where(too_close(components), np.log(len(mass)), 0.0)
