"""Descent at one β: rounds of the self-consistent equations, extrapolated, then safeguarded Newton steps.

A round costs little and never raises F, but near transitions hundreds are needed for one digit. So two rounds in a row
are continued to where they would lead if what is left shrank by the same factor each time (SQUAREM), and Newton steps
take over once the rounds have cost as much as one. Clusters that vanish or coincide, along which the equations crawl,
are removed or united where that does not raise F. Nothing is taken that raises F.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import get_lapack_funcs

from ntkinfo.bottleneck.discrete_engine import LOG_ZERO, Distortion, Minimum, State, Sweep, log, log_sum_exp, sweep

CONVERGED = "converged"
SWEEP_LIMIT = "sweep limit"
STALLED = "no further decrease to rounding"

_ROUNDING = 4e-16
# Newton steps where the matrix has at most so many rows and the slopes at most so many entries.
_NEWTON_ROWS, _NEWTON_ENTRIES = 2000, 4_000_000
# and no p(y|t) is smaller.
_EDGE = 1e-100
# Share of a round of the equations in a Newton step: at first, at least, divisor after a success, largest.
_DAMPING, _LEAST_DAMPING, _RELIEF, _MOST_DAMPING = 1e-4, 1e-10, 30.0, 0.9
_LONGEST = 1e6
# Weight of a cluster that may be removed; affinity Σ √(r r') from which on two may be united, of at most so many.
_LIGHT, _ALIKE, _MOST_TO_UNITE = 0.05, 1 - 1e-3, 2000
_TIDY_EVERY, _TIDY_FIRST = 6, 4
_STALLS = 20

(_POSV,) = get_lapack_funcs(("posv",), dtype=np.float64)


def minimise(distortion: Distortion, start: State, tolerance: float, limit: int, newton: bool = True) -> Minimum:
    """Sweep until a round changes no joint probability p(t, y) by more than the tolerance.

    Args:
        distortion: of the problem at one β.
        start: weights and points to start from.
        tolerance: on the change of p(t, y) by a round.
        limit: most rounds.
        newton: False for the bare iteration of the equations (benchmarks and tests compare with it).

    Returns:
        The minimum; F in its trace does not rise.
    """
    descent, trace, steps, stalls, nearest = _Descent(distortion, start), [], 0, 0, np.inf
    while True:
        here = descent.here
        trace.append(here.objective)
        steps += 1
        done = here.change <= tolerance or descent.used >= limit or stalls >= _STALLS
        if newton and (done or steps % _TIDY_EVERY == _TIDY_FIRST) and descent.tidy():
            continue
        if done:
            stop = CONVERGED if here.change <= tolerance else SWEEP_LIMIT if descent.used >= limit else STALLED
            posterior = here.joint / distortion.law[:, None]
            return Minimum(descent.state, posterior, here.objective, here.change, stop, descent.used, trace)
        if not newton:
            descent.go(here.after)
        elif descent.pause > 0 or not descent.newton():
            descent.rounds()
        moves = here.objective - descent.here.objective > _small(here) or descent.here.change < nearest
        stalls, nearest = 0 if moves else stalls + 1, min(nearest, descent.here.change)


class _Descent:
    """A state on its way down.

    Attributes:
        state: where it is.
        here: the round of the equations from there.
        used: rounds so far.
        pause: rounds to go before the next Newton step is tried.
        damping: share of a round of the equations in the next Newton step.
    """

    def __init__(self, distortion: Distortion, start: State):
        self.distortion = distortion
        self.used, self.damping = 0, _DAMPING
        self.go(start)
        self.pause = _newton_price(distortion, start)

    def go(self, state: State) -> None:
        """Be at a state."""
        self.state, self.here = state, self._sweep(state)

    def rounds(self) -> None:
        """Two rounds of the equations and what they point at, if that is lower than the first; else the first."""
        first, second = self.state, self.here.after
        before = self.used
        self.go(second)
        aim = _extrapolated(first, second, self.here.after)
        if aim is not None and _better(trial := self._sweep(aim), self.here):
            self.state, self.here = aim, trial
        self.pause -= self.used - before

    def newton(self) -> bool:
        """A Newton step, damped as far as it takes to lower F; False, and a pause, where none does.

        Damping δ replaces the Hessian H by (1 - δ) H + δ M with the information M of the complete data, for which the
        step would be a round of the equations: directions in which these crawl are the ones with H far below M.
        """
        parts = _derivatives(self.distortion, self.state, self.here)
        while parts is not None and self.damping <= _MOST_DAMPING:
            aim = _newton_step(self.state, parts, self.damping)
            if aim is not None and _better(trial := self._sweep(aim), self.here):
                self.state, self.here = aim, trial
                self.damping = max(self.damping / _RELIEF, _LEAST_DAMPING)
                return True
            self.damping = 10 * self.damping if self.damping < 0.05 else (1 + self.damping) / 2
        self.damping, self.pause = min(self.damping, 0.5), _newton_price(self.distortion, self.state)
        return False

    def tidy(self) -> bool:
        """Fewer clusters where that leaves F no higher; whether there were any."""
        count = len(self.state.log_weight)
        for fewer in (_without_light, _united):
            candidate = fewer(self.distortion, self.state, self.here)
            if candidate is not None:
                trial = self._sweep(candidate)
                if trial.objective <= self.here.objective + _small(self.here):
                    self.state, self.here = candidate, trial
        return len(self.state.log_weight) < count

    def _sweep(self, state: State) -> Sweep:
        self.used += 1
        return sweep(self.distortion, state)


def _small(place: Sweep) -> float:
    """What rounding makes of F."""
    return _ROUNDING * max(1.0, abs(place.objective))


def _better(trial: Sweep, other: Sweep) -> bool:
    """Lower F; or the same to rounding, and nearer to a solution."""
    rise = trial.objective - other.objective
    return rise < -_small(other) or (rise <= 0 and trial.change < other.change)


def _newton_price(distortion: Distortion, state: State) -> int:
    """How many rounds cost about as much as a Newton step, from counts of operations."""
    clusters, values = state.points.shape
    inputs, rows = len(distortion.law), clusters * values
    return int((2e6 + 2 * inputs * rows**2 + rows**3 / 3) / (4e5 + inputs * clusters * (2 * values + 100)))


def _extrapolated(first: State, second: State, third: State) -> State | None:
    """Where two rounds lead to, in log p(t, y), if what is left shrinks by the same factor in each."""
    start, middle, end = (state.log_weight[:, None] + log(state.points) for state in (first, second, third))
    never = [place < LOG_ZERO / 2 for place in (start, middle, end)]
    if not (np.array_equal(never[0], never[1]) and np.array_equal(never[1], never[2])):
        return None
    step = middle - start
    bend = end - middle - step
    weight = np.exp(middle)
    shortening = float(np.sum(weight * bend**2))
    length = np.sqrt(float(np.sum(weight * step**2)) / shortening) if shortening > 0 else np.inf
    if not 1 < length < _LONGEST:
        return None
    aim = start + 2 * length * step + length**2 * bend
    joint = np.exp(aim - aim.max())
    mass = joint.sum(axis=1)
    if mass.min() <= 0:
        return None
    return State(np.log(mass / mass.sum()), joint / mass[:, None])


def _without_light(distortion: Distortion, state: State, here: Sweep) -> State | None:
    """Without the light clusters whose weight falls and without any one of which F is no higher."""
    weight = np.exp(state.log_weight)
    light = np.flatnonzero((weight < _LIGHT) & (here.after.log_weight < state.log_weight))
    share = here.joint[:, light] / distortion.law[:, None]
    rise = np.log1p(-weight[light]) - distortion.law @ np.log(np.maximum(1 - share, 1e-300))
    gone = light[rise <= 0]
    if len(gone) in (0, len(weight)):
        return None
    kept = np.ones(len(weight), dtype=bool)
    kept[gone] = False
    return state.take(kept)


def _united(distortion: Distortion, state: State, here: Sweep) -> State | None:
    """With clusters joined in pairs, each with the one most like it, where a pair alone makes F no higher."""
    count = len(state.log_weight)
    if not 1 < count <= _MOST_TO_UNITE:
        return None
    root, every = np.sqrt(state.points), np.arange(count)
    affinity = root @ root.T
    affinity[every, every] = -1
    partner = affinity.argmax(axis=1)
    first = every[(affinity[every, partner] > _ALIKE) & ((partner[partner] != every) | (partner > every))]
    second = partner[first]
    log_weight = np.logaddexp(state.log_weight[first], state.log_weight[second])
    part = np.exp(state.log_weight[first] - log_weight)[:, None]
    points = part * state.points[first] + (1 - part) * state.points[second]
    share = (here.joint[:, first] + here.joint[:, second]) / distortion.law[:, None]
    joined = np.exp(distortion.log_kernel(points) + log_weight - here.log_normaliser[:, None])
    rise = -distortion.law @ np.log(np.maximum(1 - share + joined, 1e-300))
    pairs, gone = [], np.zeros(count, dtype=bool)
    for place in np.argsort(rise)[: np.count_nonzero(rise <= _small(here))]:
        if not (gone[first[place]] or gone[second[place]]):
            gone[[first[place], second[place]]] = True
            pairs.append(place)
    if not pairs:
        return None
    return State(
        np.concatenate([state.log_weight[~gone], log_weight[pairs]]),
        np.concatenate([state.points[~gone], points[pairs]]),
    )


@dataclass(frozen=True)
class _Derivatives:
    """Of F + Σ w_t by (log w_t, r_t1 ... r_t,k-1).

    Args:
        gradient: (T k,).
        excess: Hessian less the complete-data information, (T k, T k).
        information: the complete-data information, a block for each cluster, (T, k, k).
    """

    gradient: np.ndarray
    excess: np.ndarray
    information: np.ndarray


def _derivatives(distortion: Distortion, state: State, here: Sweep) -> _Derivatives | None:
    """None where there are too many rows, or points on the edge of the simplex."""
    clusters, values = state.points.shape
    rows = clusters * values
    if rows > _NEWTON_ROWS or len(distortion.law) * rows > _NEWTON_ENTRIES or state.points.min() < _EDGE:
        return None
    weight = np.exp(state.log_weight)
    columns = distortion.slopes(state.points)
    columns[:, 1:] = columns[:, :-1] - columns[:, -1:]
    columns[:, 0] = 1.0
    weighted = columns * here.joint.T[:, None, :]
    gradient = -weighted.sum(axis=2)
    gradient[:, 0] += weight
    flat = (weighted / np.sqrt(distortion.law)).reshape(rows, -1)
    excess = flat @ flat.T
    every, free = np.arange(clusters), np.arange(1, values)
    excess.reshape(clusters, values, clusters, values)[every, :, every, :] -= weighted @ columns.transpose(0, 2, 1)
    curvature = distortion.curvature(here.joint, state.points)
    information = np.zeros((clusters, values, values))
    information[:, 1:, 1:] = -curvature[:, -1, None, None]
    information[:, free, free] -= curvature[:, :-1]
    information[:, 0, 0] = weight
    return _Derivatives(gradient.ravel(), excess, information)


def _newton_step(state: State, parts: _Derivatives, damping: float) -> State | None:
    """The state after a damped Newton step; None where the damped Hessian is not positive definite."""
    clusters, values = state.points.shape
    matrix, every = (1 - damping) * parts.excess, np.arange(clusters)
    matrix.reshape(clusters, values, clusters, values)[every, :, every, :] += parts.information
    _, step, failed = _POSV(matrix.T, -parts.gradient, lower=1, overwrite_a=1)
    return None if failed else _moved(state, step.reshape(clusters, values))


def _moved(state: State, step: np.ndarray) -> State | None:
    """The state after the step, shortened where it would leave the simplex or change weights beyond reason."""
    shift = np.concatenate([step[:, 1:], -step[:, 1:].sum(axis=1, keepdims=True)], axis=1)
    fall, change = -float((shift / state.points).min()), float(np.abs(step[:, 0]).max())
    if not np.isfinite(fall + change):
        return None
    length = min(1.0, 0.9 / max(fall, 0.9), 3.0 / max(3.0, change))
    log_weight = state.log_weight + length * step[:, 0]
    return State(log_weight - log_sum_exp(log_weight), state.points + length * shift)
