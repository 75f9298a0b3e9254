"""A_t and what belongs to it at one time, by routes that share no code with the procedures' filters.

With M = Θ + ρ the matrices are A = ∫₀ᵗ e^{−sM} ds, the rate e^{−tM}, the energy Q = ∫₀ᵗ e^{−2sM} ds and the residual
R = 1 − ΘA; for gradient descent the integrals are sums over steps and e^{−tM} is (1 − ηM)^k. Routes:

- "matrix doubling": a Taylor series at a short time, then A ← A + EA, E ← EE (binary powers for steps); no
  eigenvalues. As long as t‖M‖ or the number of steps keeps the growth of rounding small.
- "Cholesky solve": A = M⁻¹ at infinite time.
- "singular value decomposition": scalar formulas on another decomposition than the symmetric eigen-solver's;
  heavy-ball momentum by powers of its companion matrices in position, residual and velocity.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.linalg

from ntkinfo.core.arrays import to_numpy
from ntkinfo.training.discrete import GradientDescent, HeavyBall
from ntkinfo.training.output_distribution import OutputDistribution
from ntkinfo.training.procedures import Converged, GradientFlow

EPSILON = float(np.finfo(np.float64).eps)
_TERMS = 15  # of the Taylor series at t‖M‖ ≤ 1/2
_MOST_GROWTH = 2.0**12  # t‖M‖ up to which doubling is used
_MOST_STEPS = 20_000  # summed one by one


class NotCheckedError(Exception):
    """The second route cannot reach a value; the message says why."""


@dataclass(frozen=True)
class Propagator:
    """Matrices at one time, (n, n) each.

    Args:
        route: by which they were computed.
        filter: A.
        residual: R over exp(`log_scale`).
        log_scale: logarithm of the scale of `residual`.
        log_determinant: of |R|, −∞ for a singular one; None where it is left to a matrix factorisation.
        rate: dA/dt, or the coming step over its size.
        energy: Q.
        effective: the filter at λ = 0, infinite without an end.
    """

    route: str
    filter: np.ndarray
    residual: np.ndarray
    log_scale: float
    log_determinant: float | None
    rate: np.ndarray
    energy: np.ndarray | None
    effective: float


class SecondRoute:
    """Propagators of one distribution; the singular value decomposition is made once, where it is needed."""

    def __init__(self, distribution: OutputDistribution):
        self.law, self.summed = distribution, distribution.summed
        train, procedure = distribution.blocks.train, distribution.procedure
        self.tangent = to_numpy(getattr(train, procedure.tangent))
        self.prior = to_numpy(getattr(train, procedure.prior))
        self.n = len(self.tangent)
        self.unit = self.n**0.5 * EPSILON
        # A matrix product rounds about as much as a decomposition; several of them follow each other.
        self.kernel_error = 4 * self.unit * float(np.linalg.norm(self.tangent))
        self.joint_inputs: dict[tuple[int, bool], Any] = {}  # kept from one time to the next
        self.has_null = bool(np.any(to_numpy(distribution.spectrum.null)))

    def at(self, index: int) -> Propagator:
        """The propagator at one of the distribution's times."""
        time = float(to_numpy(self.law.internal_times)[index])
        if isinstance(self.summed, Converged):
            time = np.inf
        ends = np.isinf(time) and not self.has_null and self.summed.temperature == 0
        if ends and not isinstance(self.summed, HeavyBall):
            try:
                return self._settled()
            except np.linalg.LinAlgError:
                return self._decomposed(time)
        if self._doubles(time):
            return self._doubled(time) if self.summed.step is None else self._stepped(time)
        return self._decomposed(time)

    @cached_property
    def objective(self) -> np.ndarray:
        """M, (n, n)."""
        return self.tangent + self.summed.ridge * np.eye(self.n)

    @cached_property
    def basis(self) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvalues and eigenvectors of the tangent kernel from its singular value decomposition."""
        left, values, right = scipy.linalg.svd(self.tangent)
        null = values <= self.n * EPSILON * values[0]
        # The sign of a direction cancels; the mean of both sides is the nearer to the eigenvector.
        vectors = np.where(null[None, :], left, (left + right.T) / 2)
        return np.where(null, 0.0, values), vectors / np.linalg.norm(vectors, axis=0, keepdims=True)

    def steps(self, time: float) -> int:
        """Number of whole steps up to a time."""
        assert self.summed.step is not None
        return int(np.floor(time / self.summed.step * (1 + 4 * EPSILON)))

    def _doubles(self, time: float) -> bool:
        if not np.isfinite(time) or self.has_null or self.summed.temperature > 0:
            return False
        if type(self.summed) is GradientDescent:
            return self.steps(time) <= _MOST_GROWTH
        return type(self.summed) is GradientFlow and time * float(np.linalg.norm(self.objective)) <= _MOST_GROWTH

    def _effective(self, time: float) -> float:
        friction = 1 - getattr(self.summed, "momentum", 0.0)
        return min(time / friction, 1 / self.summed.ridge if self.summed.ridge > 0 else np.inf)

    def _doubled(self, time: float) -> Propagator:
        size = time * float(np.linalg.norm(self.objective))
        count = max(0, int(np.ceil(np.log2(max(2 * size, 1.0)))))
        start, one = time / 2**count, np.eye(self.n)
        series = one
        for term in range(_TERMS, 1, -1):
            series = one - (start / term) * (self.objective @ series)
        filter_ = start * series
        decay = one - self.objective @ filter_
        for _ in range(count):
            filter_, decay = filter_ + decay @ filter_, decay @ decay
        energy = 0.5 * (filter_ + decay @ filter_)
        trace = -time * float(np.trace(self.tangent)) if self.summed.ridge == 0 else None
        return self._assembled("matrix doubling", (filter_, decay, energy), trace, time)

    def _stepped(self, time: float) -> Propagator:
        assert self.summed.step is not None
        steps, one = self.steps(time), np.eye(self.n)
        factor = one - self.summed.step * self.objective
        decay, total = _power_sum(factor, steps)
        squared = _power_sum(factor @ factor, steps)[1]
        log = steps * float(np.linalg.slogdet(factor)[1]) if self.summed.ridge == 0 else None
        parts = (self.summed.step * total, decay, self.summed.step * squared)
        return self._assembled("matrix doubling", parts, log, time)

    def _settled(self) -> Propagator:
        factor = scipy.linalg.cho_factor(self.objective, lower=True)
        one = np.eye(self.n)
        inverse = scipy.linalg.cho_solve(factor, one)
        energy = 0.5 * inverse
        if self.summed.step is not None:
            energy = scipy.linalg.solve(2 * one - self.summed.step * self.objective, inverse, assume_a="sym")
        parts = ((inverse + inverse.T) / 2, np.zeros_like(one), energy)
        return self._assembled("Cholesky solve", parts, -np.inf if self.summed.ridge == 0 else None, np.inf)

    def _assembled(
        self, route: str, parts: tuple[np.ndarray, np.ndarray, np.ndarray], log: float | None, time: float
    ) -> Propagator:
        filter_, decay, energy = parts
        residual = decay if self.summed.ridge == 0 else np.eye(self.n) - self.tangent @ filter_
        size = float(np.max(np.abs(residual)))
        scale = float(np.log(size)) if size > 0 else 0.0
        return Propagator(route, filter_, residual / np.exp(scale), scale, log, decay, energy, self._effective(time))

    def _decomposed(self, time: float) -> Propagator:
        values, vectors = self.basis
        g, log_r, sign, rate, energy = _scalars(self, values, time)
        scale = float(np.max(log_r)) if np.any(np.isfinite(log_r)) else 0.0

        def matrix(diagonal: np.ndarray) -> np.ndarray:
            return (vectors * diagonal[None, :]) @ vectors.T

        return Propagator(
            "singular value decomposition",
            matrix(g),
            matrix(sign * np.exp(log_r - scale)),
            scale,
            float(np.sum(log_r)),
            matrix(rate),
            None if energy is None else matrix(energy),
            self._effective(time),
        )


def _scalars(
    route: SecondRoute, values: np.ndarray, time: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """Filter, logarithm and sign of the residual, rate and energy of each eigenvalue, by the plain formulas."""
    summed, mu = route.summed, values + route.summed.ridge
    safe = np.where(mu > 0, mu, 1.0)
    energy: np.ndarray | None
    if np.isinf(time):
        g, rate = np.where(mu > 0, 1 / safe, 0.0), np.zeros_like(mu)
        gap = 2 * safe if summed.step is None else safe * (2 - summed.step * safe)
        energy, decay, log = np.where(mu > 0, 1 / gap, 0.0), np.where(mu > 0, 0.0, 1.0), None
        if isinstance(summed, HeavyBall):
            energy = None
    elif isinstance(summed, HeavyBall):
        g, energy = _heavy_ball(summed, mu, route.steps(time))
        log, sign, rate = _heavy_ball_decay(summed, mu, route.steps(time))
        decay = sign * np.exp(log)
    elif summed.step is not None:
        factor, steps = 1 - summed.step * mu, route.steps(time)
        decay = np.sign(factor) ** (steps % 2) * np.exp(steps * np.log(np.maximum(np.abs(factor), 1e-300)))
        log = steps * np.log(np.maximum(np.abs(factor), 1e-300))
        g = np.where(mu > 0, (1 - decay) / safe, steps * summed.step)
        gap = safe * (2 - summed.step * safe)
        rate, energy = decay, np.where(mu > 0, (1 - decay**2) / gap, steps * summed.step)
    else:
        log, decay = -mu * time, np.exp(-mu * time)
        g = np.where(mu > 0, -np.expm1(-mu * time) / safe, time)
        rate, energy = decay, np.where(mu > 0, -np.expm1(-2 * mu * time) / (2 * safe), time)
    left = decay if summed.ridge == 0 else (summed.ridge + values * decay) / safe
    with np.errstate(divide="ignore"):
        log_left = log if log is not None and summed.ridge == 0 else np.log(np.abs(left))
    return g, log_left, np.where(left < 0, -1.0, 1.0), rate, energy


def _heavy_ball(summed: HeavyBall, mu: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Position g_k by powers of the step's affine map in position, velocity and 1; energy step by step.

    The velocity is v_k = β v_{k−1} + 1 − μ g_k.
    """
    beta, step = summed.momentum, summed.step_size
    maps = np.zeros((len(mu), 3, 3))
    maps[:, 0, 0], maps[:, 0, 1], maps[:, 0, 2] = 1 - step * mu, step * beta, step
    maps[:, 1, 0], maps[:, 1, 1], maps[:, 1, 2], maps[:, 2, 2] = -mu, beta, 1.0, 1.0
    place = np.linalg.matrix_power(maps, steps)[:, 0, 2]
    if steps > _MOST_STEPS:
        return place, None
    left, speed, total = np.ones_like(mu), np.zeros_like(mu), np.zeros_like(mu)
    for _ in range(steps):
        speed = beta * speed + left
        left, total = left - step * mu * speed, total + step * speed**2
    return place, total


def _heavy_ball_decay(summed: HeavyBall, mu: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logarithm and sign of 1 − μ g_k, and velocity v_k, by powers of their linear map, rescaled as they shrink."""
    beta, step = summed.momentum, summed.step_size
    power = np.empty((len(mu), 2, 2))
    power[:, 0, 0], power[:, 0, 1] = 1 - step * mu, -step * beta * mu
    power[:, 1, 0], power[:, 1, 1] = 1.0, beta
    scale, state, log = np.zeros_like(mu), np.tile([1.0, 0.0], (len(mu), 1)), np.zeros_like(mu)
    while steps:
        if steps % 2:
            state, log = np.einsum("jab,jb->ja", power, state), log + scale
            state, log = _rescaled(state, log)
        steps //= 2
        power, scale = _rescaled(power @ power, 2 * scale)
    with np.errstate(divide="ignore"):
        size = np.log(np.abs(state[:, 0])) + log
    return size, np.where(state[:, 0] < 0, -1.0, 1.0), (state[:, 0] + beta * state[:, 1]) * np.exp(log)


def _rescaled(array: np.ndarray, log: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    size = np.max(np.abs(array), axis=tuple(range(1, array.ndim)))
    return array / size.reshape(-1, *[1] * (array.ndim - 1)), log + np.log(size)


def _power_sum(matrix: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """M^count and Σ_{s<count} M^s by binary powers."""
    power, total = np.eye(len(matrix)), np.zeros_like(matrix)
    for digit in bin(count)[2:]:
        total, power = total + power @ total, power @ power
        if digit == "1":
            total, power = total + power, power @ matrix
    return power, total


def path_length(route: SecondRoute, index: int, weights: np.ndarray) -> tuple[float, float]:
    """Length of the parameters' path in the summed loss's time by Simpson's rule in log time, or step by step.

    Args:
        route: of the distribution.
        index: of the time.
        weights: diagonal of what is to be learned in the basis of `route`, (n,).

    Returns:
        The length, and the change by halving the step.
    """
    values, _ = route.basis
    time = np.inf if isinstance(route.summed, Converged) else float(to_numpy(route.law.internal_times)[index])
    mu, weights = values + route.summed.ridge, weights * values
    if route.summed.step is not None:
        return _summed_length(route, mu, weights, time)
    slowest = float(np.min(mu[weights > 0], initial=np.inf))
    end, first = min(time, 45 / slowest), 1e-3 / float(mu.max())
    if end <= first:
        return _simpson(mu, weights, np.linspace(0.0, end, 33)), 1e-12 * end * float(np.sum(weights)) ** 0.5
    early = _simpson(mu, weights, np.linspace(0.0, first, 33))
    previous, number = np.inf, 1 << 8
    while True:
        late = _simpson(mu, weights, np.linspace(np.log(first), np.log(end), number + 1), logarithmic=True)
        change = abs(late - previous)
        if change <= 1e-11 * late or number >= 1 << 13:
            return early + late, change + 1e-13 * (early + late)
        previous, number = late, 2 * number


def _simpson(mu: np.ndarray, weights: np.ndarray, nodes: np.ndarray, logarithmic: bool = False) -> float:
    times = np.exp(nodes) if logarithmic else nodes
    speed = np.concatenate(
        [
            np.sqrt(np.exp(-2 * some[:, None] * mu[None, :]) @ weights)
            for some in np.array_split(times, max(1, len(times) // 128))
        ]
    )
    height = speed * (times if logarithmic else 1.0)
    step = nodes[1] - nodes[0]
    return float(step / 3 * (height[0] + height[-1] + 4 * np.sum(height[1:-1:2]) + 2 * np.sum(height[2:-1:2])))


def _summed_length(route: SecondRoute, mu: np.ndarray, weights: np.ndarray, time: float) -> tuple[float, float]:
    if np.isinf(time) or route.steps(time) > _MOST_STEPS:
        raise NotCheckedError(f"more than {_MOST_STEPS} steps to add up one by one")
    step, beta = float(route.summed.step or 0.0), float(getattr(route.summed, "momentum", 0.0))
    left, speed, total = np.ones_like(mu), np.zeros_like(mu), 0.0
    for _ in range(route.steps(time)):
        speed = beta * speed + left
        left, total = left - step * mu * speed, total + step * float(np.sqrt(speed**2 @ weights))
    return total, 1e-13 * total * (1 + route.steps(time)) ** 0.5
