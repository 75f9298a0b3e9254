"""Geometry of the parameters' path, averaged over the ensemble (theory §6).

In the eigenbasis of the tangent kernel θ_t − θ_0 = −Jᵀ U g_t (f̂_0 − ŷ), so with w_j = C B_jj + |ŷ_j|² + C σ_y², the
mean square of what direction j has to learn, every quantity is one sum: Σ_j λ_j (dg/dt)² w_j for the squared speed,
its integral for the energy, Σ_j λ_j g² w_j for the squared distance. The length integrates the root of the squared
speed.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from jaxtyping import Float

from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array, float64, namespace
from ntkinfo.core.records import Estimate
from ntkinfo.training.output_distribution import OutputDistribution
from ntkinfo.training.procedures import Converged, GradientFlow

_ORDER = 8
_PANEL_RATIO = 1.5
_FINE_RATIO = 1.1
_EXACT_STEPS = 4096
_TABLE_ELEMENTS = 500_000


@dataclass(frozen=True)
class Path:
    """Path quantities at every time; time in the caller's unit.

    Args:
        fisher_trace: (T,), C·tr Θ: trace of the Fisher information of a unit-variance Gaussian likelihood over the
            training inputs; constant along training at infinite width. Parameters have no unit, so neither has it.
        speed_squared: (T,), E|dθ/dt|².
        energy: (T,), ∫₀ᵗ E|dθ/ds|² ds.
        distance_squared: (T,), E|θ_t − θ_0|².
        length: (T,), ∫₀ᵗ (E|dθ/ds|²)^½ ds, with the error of the quadrature.
        notes: what the numbers leave out.
    """

    fisher_trace: Float[Array, " t"]
    speed_squared: Float[Array, " t"]
    energy: Float[Array, " t"]
    distance_squared: Float[Array, " t"]
    length: Estimate
    notes: tuple[str, ...]

    @property
    def distance(self) -> Float[Array, " t"]:
        """The earlier name of `distance_squared`, (T,): the square, as it always was."""
        return self.distance_squared


@checked
def path(distribution: OutputDistribution) -> Path:
    """Speed, energy, distance and length of the parameters' path (the drift: gradient noise is left out).

    Args:
        distribution: the law of the outputs over time.

    Fails to describe Langevin dynamics whole: unit noise in infinitely many directions has infinite speed and
    distance; the result says so in `notes`. Training to convergence has the path of the gradient flow that leads there.
    Source: theory §6; Shwartz-Ziv & Alemi 2019 (whose program has other constants for the distance).
    """
    law, unit = _followed(distribution), distribution.time_unit
    summed, values, times = law.summed, law.eigenvalues, law.internal_times
    xp = namespace(values)
    with float64():
        weights = values * to_learn(law)
        trace = law.n_outputs * xp.sum(values) * xp.ones_like(times)
        speed = summed.rate(values, times) ** 2 @ weights
        energy = summed.energy(values, times) @ weights
        distance = summed.filter(values, times) ** 2 @ weights
        length = _length(law, weights)
    notes = ("path quantities are those of the drift: gradient noise adds infinite speed",) * (summed.temperature > 0)
    return Path(trace, speed * unit**2, energy * unit, distance, length, notes)


def _followed(law: OutputDistribution) -> OutputDistribution:
    """Return the law itself, or for training to convergence the gradient flow's at infinite time."""
    if not isinstance(law.summed, Converged):
        return law
    flow = GradientFlow(**{field.name: getattr(law.summed, field.name) for field in fields(law.summed)})
    return replace(law, summed=flow, internal_times=namespace(law.internal_times).full_like(law.internal_times, np.inf))


def to_learn(distribution: OutputDistribution) -> Float[Array, " n"]:
    """w_j = C B_jj + |ŷ_j|² + C σ_y²: mean square of the initial residual along each eigenvector, over all outputs."""
    xp = namespace(distribution.targets)
    spread = distribution.prior_variance + distribution.summed.target_noise_variance
    return distribution.n_outputs * spread + xp.sum(distribution.targets**2, axis=1)


def _length(law: OutputDistribution, weights: Array) -> Estimate:
    """Sum whole steps; the rest is Gauss-Legendre on panels of log time, its error the change from a lower order."""
    stops = _stops(law)
    steps, edges = _panels(law, stops)
    order = _ORDER if np.any(edges[1:] > _FINE_RATIO * edges[:-1]) else _ORDER // 2
    summed = _integrate(law, weights, steps, 1)
    fine, coarse = (_integrate(law, weights, edges, k) for k in (order, order - 1))
    ends = np.concatenate([steps, edges[1:]])
    place = np.searchsorted(ends, stops, side="left")
    total = np.concatenate([[0.0], np.cumsum(np.concatenate([summed, fine]))])[place]
    error = np.concatenate([np.zeros(len(steps)), np.cumsum(np.abs(fine - coarse))])[place]
    return Estimate(total, error, "quadrature", f"Gauss-Legendre of order {order} on panels of log time")


def _stops(law: OutputDistribution) -> np.ndarray:
    """Finite time up to which each requested time's integral runs: the last whole step, and the end for infinity."""
    times, step = np.asarray(law.internal_times), law.summed.step
    if np.isinf(times[-1]):
        values = law.eigenvalues[~np.asarray(law.spectrum.null)] if law.summed.ridge == 0 else law.eigenvalues
        end = 40 / (float(values.min()) + law.summed.ridge)
        # Near the limit of stability the fastest directions outlast the slowest.
        while float(abs(law.summed.rate(values, namespace(values).asarray([end]))).max()) > 1e-17:
            end *= 2
        times = np.minimum(times, end)
    if step is None:
        return times
    return step * np.floor(times / step * (1 + 4 * np.finfo(np.float64).eps))


def _panels(law: OutputDistribution, stops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Edges of the whole steps (from 0; just 0 in continuous time) and, from the last of them, of the panels."""
    last, step = float(stops.max()), law.summed.step
    if step is None:
        steps = np.zeros(1)
        early = 1e-3 / (float(law.eigenvalues.max()) + law.summed.ridge)
        first = min(early, float(stops[stops > 0].min(initial=np.inf)))
    else:
        steps = step * np.arange(min(_EXACT_STEPS, round(last / step)) + 1)
        first = float(steps[-1])
    if last <= steps[-1]:
        return steps, steps[-1:]
    grid = np.geomspace(first, last, 2 + int(np.log(last / first) / np.log(_PANEL_RATIO))) if last > first else [last]
    edges = np.unique(np.concatenate([steps[-1:], grid, stops[stops > steps[-1]]]))
    return steps, edges


def _integrate(law: OutputDistribution, weights: Array, edges: np.ndarray, order: int) -> np.ndarray:
    """Integrate the speed over every panel."""
    xp = namespace(weights)
    nodes, shares = np.polynomial.legendre.leggauss(order)
    left, right = edges[:-1, None], edges[1:, None]
    places = (left + (right - left) * (nodes[None, :] + 1) / 2).reshape(-1)
    rows = max(1, _TABLE_ELEMENTS // len(weights))
    speeds = [np.zeros(0)]
    for start in range(0, len(places), rows):
        rate = law.summed.rate(law.eigenvalues, xp.asarray(places[start : start + rows]))
        speeds.append(np.asarray(xp.sqrt(rate**2 @ weights)))
    return (np.concatenate(speeds).reshape(-1, order) @ shares) * (edges[1:] - edges[:-1]) / 2
