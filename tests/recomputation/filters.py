"""Filters of the training procedures in mpmath: g_t(λ) and what belongs to it, from the procedures' definitions."""

from __future__ import annotations

from dataclasses import dataclass

import mpmath as mp
import numpy as np

from ntkinfo.training.discrete import GradientDescent, HeavyBall
from ntkinfo.training.procedures import Converged


@dataclass(frozen=True)
class Filter:
    """Values at one time and one eigenvalue.

    Args:
        learned: g.
        left: r = 1 − λ g, in full relative precision.
        rate: dg/dt, or the coming step's difference over the step size.
        energy: ∫ (dg/ds)² ds, or the sum over the steps.
        injected: variance that unit gradient noise has put along the direction.
    """

    learned: mp.mpf
    left: mp.mpf
    rate: mp.mpf
    energy: mp.mpf
    injected: mp.mpf


def steps_at(procedure, time: float) -> float:
    """Whole steps done at a time of the summed loss; a multiple of the step up to rounding counts as that multiple."""
    return float(np.floor(time / procedure.step_size * (1 + 4 * np.finfo(float).eps)))


def value(procedure, eigenvalue, time: float) -> Filter:
    """Evaluate the filter of a procedure of the summed loss."""
    ridge = mp.mpf(procedure.ridge)
    mu = eigenvalue + ridge
    if isinstance(procedure, GradientDescent | HeavyBall):
        found = _stepped(procedure, mu, steps_at(procedure, time))
    else:
        found = _flow(mu, mp.inf if isinstance(procedure, Converged) else mp.mpf(time))
    decay, learned, rate, energy, injected = found
    left = decay if ridge == 0 else (ridge + eigenvalue * decay) / mu
    return Filter(learned, left, rate, energy, injected)


def _flow(mu, time):
    if mu == 0:
        finite = mp.mpf(0) if mp.isinf(time) else time
        return mp.mpf(1), finite, mp.mpf(0 if mp.isinf(time) else 1), finite, 2 * time
    if mp.isinf(time):
        return mp.mpf(0), 1 / mu, mp.mpf(0), 1 / (2 * mu), 1 / mu
    decay, twice = mp.exp(-mu * time), -mp.expm1(-2 * mu * time)
    return decay, -mp.expm1(-mu * time) / mu, decay, twice / (2 * mu), twice / mu


def _stepped(procedure, mu, steps: float):
    step, beta = mp.mpf(procedure.step_size), mp.mpf(getattr(procedure, "momentum", 0.0))
    if np.isinf(steps):
        if mu == 0:
            return mp.mpf(1), mp.mpf(0), mp.mpf(0), mp.mpf(0), mp.inf
        z = step * mu
        # Σ S_j² = (1 + β)/((1 − β) z (2(1 + β) − z)), the stationary variance of the recursion.
        energy = step * (1 + beta) / ((1 - beta) * z * (2 * (1 + beta) - z))
        return mp.mpf(0), 1 / mu, mp.mpf(0), energy, 2 * energy
    k, z = int(steps), step * mu
    if beta == 0:
        factor = 1 - z
        decay = factor**k
        if mu == 0:
            return mp.mpf(1), step * k, mp.mpf(1), step * k, 2 * step * k
        energy = step * (1 - decay**2) / (1 - factor**2)
        return decay, (1 - decay) / mu, decay, energy, 2 * energy
    return _momentum(step, beta, mu, k)


def _momentum(step, beta, mu, steps: int):
    """By powers of a matrix: (S_{j+1}, S_j) and the sums of S_j and of products, all in one linear recursion."""
    lead = 1 + beta - step * mu
    # State: S_{j+1}, S_j, Σ S, then S_{j+1}², S_{j+1} S_j, S_j², Σ S².
    one = mp.matrix([[lead, -beta, 0], [1, 0, 0], [1, 0, 1]])
    two = mp.matrix([[lead**2, -2 * lead * beta, beta**2, 0], [lead, -beta, 0, 0], [1, 0, 0, 0], [1, 0, 0, 1]])
    first, second = one**steps * mp.matrix([1, 0, 0]), two**steps * mp.matrix([1, 0, 0, 0])
    learned, rate = step * first[2], first[0]
    residual = _residual(lead, beta, steps)
    return residual, learned, rate, step * second[3], mp.mpf(0)


def _residual(lead, beta, steps: int):
    power = mp.matrix([[lead, -beta], [1, 0]]) ** steps
    return power[0, 0] + power[0, 1]
