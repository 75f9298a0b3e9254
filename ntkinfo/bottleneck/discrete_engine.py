"""Minimisation at one β, shared by the bottleneck and its dual: alternating sweeps with safeguarded Newton steps.

Both problems are rate-distortion problems whose reproductions r are laws of Y: minimise I(X;T) + β E d(x, r_t) over the
encoder and over the points r_t. With the best encoder for given points and weights,
p(t|x) = w_t exp(-β d(x, r_t)) / Z_x, the objective is

    F(w, r) = -Σ_x p(x) log Z_x,     Z_x = Σ_t w_t exp(-β d(x, r_t)),

the negative log-likelihood of a mixture with free mixing law, and one round of the self-consistent equations is one
step of expectation-maximisation: F never rises. It is convex in the mixing law, so that optima have a finite support
and a global certificate (`certificate.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from scipy.linalg import eigh

CONVERGED = "converged"
SWEEP_LIMIT = "sweep limit"
STALLED = "no further decrease to rounding"

# What log 0 is taken for: finite, so that 0 · log 0 = 0 without a branch; exp of any multiple that matters is 0.
LOG_ZERO = -1e200
_ROUNDING = 4e-16
# Newton steps where the matrix has at most so many rows and the slopes at most so many entries.
_NEWTON_ROWS, _NEWTON_ENTRIES = 240, 4_000_000
_FLATTEST = (1e-9, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1)
_LIGHT = 0.05
_NEAR = (1e-9, 1e-6, 1e-4)
_TIDY_EVERY = 4
_STALLS = 20
# Plain rounds before the first attempt at something better, and between attempts that fail.
_FIRST_PAUSE, _LONGEST_PAUSE = 4, 15
_MOST_TO_UNITE = 2000


@runtime_checkable
class Distortion(Protocol):
    """What differs between the bottleneck and its dual, for the inputs of one problem and one β."""

    @property
    def law(self) -> np.ndarray:
        """p(x), (n,)."""
        ...

    @property
    def beta(self) -> float:
        """Weight of the distortion."""
        ...

    def log_kernel(self, points: np.ndarray) -> np.ndarray:
        """-β d(x, r_t), (n, T), of points (T, k)."""
        ...

    def centroids(self, joint: np.ndarray) -> np.ndarray:
        """The points that minimise Σ_x joint_xt d(x, r_t) for weights (n, T); (T, k)."""
        ...

    def slopes(self, points: np.ndarray) -> np.ndarray:
        """Derivatives of -β d(x, r_t) by r_ty, (n, T, k), every r_ty free."""
        ...

    def majorant(self, vertices: np.ndarray) -> np.ndarray:
        """Upper bounds on -β d(x, r) over simplices of points, (cells, n, k), from their vertices (cells, k, k).

        For each cell and x a linear function of r that is nowhere below -β d(x, r), by its values at the vertices.
        """
        ...

    def curvature(self, joint: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Σ_x joint_xt times the second derivatives by r_ty (they are diagonal), (T, k); none above 0."""
        ...


@dataclass(frozen=True)
class State:
    """Mixing law of the points.

    Args:
        log_weight: log p(t), (T,).
        points: p(y|t), (T, k).
    """

    log_weight: np.ndarray
    points: np.ndarray

    def take(self, kept: np.ndarray) -> State:
        """The state with some clusters only, weights divided by their sum."""
        log_weight = self.log_weight[kept]
        return State(log_weight - log_sum_exp(log_weight), self.points[kept])


@dataclass(frozen=True)
class Sweep:
    """One round of the self-consistent equations from a state.

    Args:
        objective: F at the state it started from.
        posterior: p(t|x), (n, T).
        after: the state afterwards.
        change: the largest change of a joint probability p(t, y) by the round.
    """

    objective: float
    posterior: np.ndarray
    after: State
    change: float


@dataclass(frozen=True)
class Minimum:
    """Where a minimisation ended.

    Args:
        state: weights and points.
        posterior: p(t|x) there, (n, T).
        objective: F there.
        change: the largest change of a joint probability p(t, y) by one more round.
        stop: why it ended: `CONVERGED`, `SWEEP_LIMIT` or `STALLED`.
        sweeps: rounds of the equations that it took.
        trace: F after each step, never rising by more than rounding.
    """

    state: State
    posterior: np.ndarray
    objective: float
    change: float
    stop: str
    sweeps: int
    trace: list[float] = field(default_factory=list)


def sweep(distortion: Distortion, state: State) -> Sweep:
    """One round: encoder from points and weights, then weights and points from the encoder."""
    exponent = state.log_weight[None, :] + distortion.log_kernel(state.points)
    highest = exponent.max(axis=1, keepdims=True)
    posterior = np.exp(exponent - highest)
    total = posterior.sum(axis=1, keepdims=True)
    posterior /= total
    objective = -float(distortion.law @ (np.log(total) + highest)[:, 0])
    joint = distortion.law[:, None] * posterior
    weight = joint.sum(axis=0)
    points = np.where(weight[:, None] > 0, distortion.centroids(joint), state.points)
    after = State(np.log(np.where(weight > 0, weight, 1.0)) + np.where(weight > 0, 0.0, LOG_ZERO), points)
    before = np.exp(state.log_weight)[:, None] * state.points
    change = float(np.max(np.abs(weight[:, None] * points - before)))
    return Sweep(objective, posterior, after, change)


def minimise(distortion: Distortion, start: State, tolerance: float, limit: int, newton: bool = True) -> Minimum:
    """Sweep until a round changes no joint probability p(t, y) by more than the tolerance.

    Every step starts with a round of the equations. A Newton step, the removal of clusters that vanish and the union of
    clusters that coincide are taken instead where they lower F by more; they are tried less often while they do not.

    Args:
        distortion: of the problem at one β.
        start: weights and points to start from.
        tolerance: on the change of p(t, y) by a round.
        limit: most rounds.
        newton: False for the bare iteration of the equations (benchmarks and tests compare with it).

    Returns:
        The minimum; F in its trace does not rise.
    """
    state, trace, used, stalls, level, pause, plain = start, [], 0, 0, 0, _FIRST_PAUSE, _FIRST_PAUSE
    here = sweep(distortion, state)
    while True:
        trace.append(here.objective)
        used += 1
        done = here.change <= tolerance or used >= limit or stalls >= _STALLS
        if done and newton:
            fewer = _fewest(distortion, state, here)
            done, (state, here) = fewer[1].posterior.shape[1] == here.posterior.shape[1], fewer
        if done:
            stop = CONVERGED if here.change <= tolerance else SWEEP_LIMIT if used >= limit else STALLED
            return Minimum(state, here.posterior, here.objective, here.change, stop, used, trace)
        if not newton or plain > 0:
            state, plain = here.after, plain - 1
            here = sweep(distortion, state)
            continue
        state, following, extra, level = _step(distortion, state, here, used, level)
        pause = min(2 * pause + 1, _LONGEST_PAUSE) if level == len(_FLATTEST) else 0
        used, plain = used + extra, pause
        small = _ROUNDING * max(1.0, abs(here.objective))
        stalls = stalls + 1 if here.objective - following.objective <= small else 0
        here = following


def _step(distortion: Distortion, state: State, here: Sweep, used: int, level: int) -> tuple[State, Sweep, int, int]:
    """The best of the plain round and of what else is tried.

    Returns the state, its sweep, how many sweeps the others took, and which Newton step to begin with next time.
    """
    best, following, extra = here.after, sweep(distortion, here.after), 0
    start, level = max(0, level - 1), len(_FLATTEST)
    for number, candidate in enumerate(_newton(distortion, state, here, _FLATTEST[start:]), start):
        trial = sweep(distortion, candidate)
        extra += 1
        if _better(trial, following):
            best, following, level = candidate, trial, number
            break
    tidy = used % _TIDY_EVERY == 0 or level == len(_FLATTEST)
    others = [*_without_vanishing(state, here), *(_united(best) if tidy else [])]
    for candidate in others:
        trial = sweep(distortion, candidate)
        extra += 1
        if _better(trial, following):
            best, following = candidate, trial
    return best, following, extra, level


def _fewest(distortion: Distortion, state: State, here: Sweep) -> tuple[State, Sweep]:
    """The state with clusters that coincide united, if that leaves F as it is to rounding."""
    for candidate in reversed(_united(state)):
        trial = sweep(distortion, candidate)
        if trial.objective <= here.objective + _ROUNDING * max(1.0, abs(here.objective)):
            return candidate, trial
    return state, here


def _better(trial: Sweep, other: Sweep) -> bool:
    """Lower F; or the same to rounding, and nearer to a solution or with fewer clusters."""
    difference = trial.objective - other.objective
    if difference < -_ROUNDING * max(1.0, abs(other.objective)):
        return True
    fewer = trial.posterior.shape[1] < other.posterior.shape[1]
    return difference <= 0 and (trial.change < other.change or fewer)


def _without_vanishing(state: State, here: Sweep) -> list[State]:
    """Light clusters whose weight falls are left out: to first order that lowers F."""
    weight, after = np.exp(state.log_weight), np.exp(here.after.log_weight)
    gone = (after < _LIGHT) & (after < weight * (1 - 1e-9)) | (after < 1e-14)
    if not np.any(gone) or np.all(gone):
        return []
    return [here.after.take(~gone)]


def _united(state: State) -> list[State]:
    """Clusters whose points nearly coincide joined into one, for each of a few meanings of nearly."""
    count = len(state.log_weight)
    if count < 2 or count > _MOST_TO_UNITE:
        return []
    root = np.sqrt(state.points)
    distance = np.maximum(0.0, 1 - root @ root.T)
    found: list[State] = []
    for near in _NEAR:
        labels = _components(distance < near)
        groups = int(labels.max()) + 1
        if groups < (len(found[-1].log_weight) if found else count):
            found.append(_joined(state, np.eye(groups)[labels]))
    return found


def _components(linked: np.ndarray) -> np.ndarray:
    """Number of the connected component of each node, from a symmetric matrix of links with a true diagonal."""
    while True:
        farther = (linked.astype(np.float64) @ linked) > 0
        if np.array_equal(farther, linked):
            return np.unique(linked.argmax(axis=1), return_inverse=True)[1]
        linked = farther


def _joined(state: State, membership: np.ndarray) -> State:
    """Clusters summed by group; membership (T, groups) of zeros and ones."""
    highest = state.log_weight.max()
    share = membership.T * np.exp(state.log_weight - highest)[None, :]
    total = share.sum(axis=1)
    return State(np.log(total) + highest, share @ state.points / total[:, None])


def _newton(distortion: Distortion, state: State, here: Sweep, floors: Sequence[float]) -> Iterator[State]:
    """Newton steps in (log w_t, r_t), from the longest to ones shorter along flat directions; none where it cannot be.

    The metric is the information of the complete data: in it a round of the equations is the step with all eigenvalues
    1, and an eigenvalue near 0 is a direction in which the rounds crawl.
    """
    clusters, values = state.points.shape
    n = len(distortion.law)
    if clusters * values > _NEWTON_ROWS or n * clusters * values > _NEWTON_ENTRIES or np.any(state.points <= 0):
        return
    gradient, hessian, metric = _derivatives(distortion, state, here)
    try:
        eigenvalues, vectors = eigh(hessian, metric)
    except np.linalg.LinAlgError:
        return
    along = vectors.T @ gradient
    for floor in floors:
        step = -vectors @ (along / np.maximum(np.abs(eigenvalues), floor))
        if (moved := _moved(state, step.reshape(clusters, values))) is not None:
            yield moved


def _derivatives(distortion: Distortion, state: State, here: Sweep) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradient and Hessian of F + Σ w_t, and the complete-data information, by (log w_t, r_t1 ... r_t,k-1)."""
    clusters, values = state.points.shape
    law, weight = distortion.law, np.exp(state.log_weight)
    joint = law[:, None] * here.posterior
    slopes = distortion.slopes(state.points)
    free = np.ones_like(slopes)
    free[:, :, 1:] = slopes[:, :, :-1] - slopes[:, :, -1:]
    flat = (np.sqrt(law)[:, None, None] * here.posterior[:, :, None] * free).reshape(len(law), -1)
    columns = free.transpose(1, 2, 0)
    weighted = columns * joint.T[:, None, :]
    gradient = -weighted.sum(axis=2)
    gradient[:, 0] += weight
    hessian = flat.T @ flat
    metric = np.zeros_like(hessian)
    curvature = distortion.curvature(joint, state.points)
    outer = weighted @ columns.transpose(0, 2, 1)
    for t in range(clusters):
        block = slice(t * values, (t + 1) * values)
        own = np.zeros((values, values))
        own[1:, 1:] = -np.diag(curvature[t, :-1]) - curvature[t, -1]
        own[0, 0] = weight[t]
        metric[block, block] = own
        hessian[block, block] += own - outer[t]
    return gradient.ravel(), hessian, metric


def _moved(state: State, step: np.ndarray) -> State | None:
    """The state after the step, shortened where it would leave the simplex or change weights beyond reason."""
    shift = np.concatenate([step[:, 1:], -step[:, 1:].sum(axis=1, keepdims=True)], axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        room = np.where(shift < 0, -state.points / shift, np.inf)
    length = min(1.0, 0.9 * float(room.min()), 3.0 / max(3.0, float(np.max(np.abs(step[:, 0])))))
    if not np.isfinite(length):
        return None
    log_weight = state.log_weight + length * step[:, 0]
    return State(log_weight - log_sum_exp(log_weight), state.points + length * shift)


@dataclass(frozen=True)
class BottleneckDistortion:
    """d(x, r) = KL(p(y|x) ‖ r): the information bottleneck."""

    law: np.ndarray
    rows: np.ndarray
    beta: float
    negative_entropy: np.ndarray

    def log_kernel(self, points: np.ndarray) -> np.ndarray:
        """-β KL(p(y|x) ‖ r_t)."""
        return self.beta * np.minimum(0.0, self.rows @ log(points).T + -self.negative_entropy[:, None])

    def centroids(self, joint: np.ndarray) -> np.ndarray:
        """Averages of the rows."""
        sums = joint.T @ self.rows
        return sums / np.maximum(sums.sum(axis=1, keepdims=True), 1e-300)

    def slopes(self, points: np.ndarray) -> np.ndarray:
        """β p(y|x) / r_ty."""
        return self.beta * self.rows[:, None, :] / points[None, :, :]

    def majorant(self, vertices: np.ndarray) -> np.ndarray:
        """By the tangent of the logarithm at the centre, or the constant of the largest r_y, whichever is less there.

        The choice is one for the whole cell: a minimum of the two would not be linear, and the sum of exponentials not
        convex.
        """
        centre = vertices.mean(axis=1)
        slope = (vertices / centre[:, None, :] - 1).transpose(0, 2, 1)
        tangent = (log(centre) @ self.rows.T)[:, :, None] + self.rows @ slope
        tangent -= self.negative_entropy[None, :, None]
        corner = np.minimum(0.0, log(vertices.max(axis=1)) @ self.rows.T - self.negative_entropy[None, :])[:, :, None]
        return self.beta * np.where(tangent.max(axis=2, keepdims=True) < corner, tangent, corner)

    def curvature(self, joint: np.ndarray, points: np.ndarray) -> np.ndarray:
        """-β Σ_x joint p(y|x) / r_ty²."""
        return -self.beta * (joint.T @ self.rows) / points**2


def log_sum_exp(exponent: np.ndarray) -> np.ndarray:
    """Log Σ exp over the first axis; quicker than scipy's on small arrays."""
    highest = exponent.max(axis=0)
    return np.asarray(np.log(np.sum(np.exp(exponent - highest), axis=0)) + highest)


def log(values: np.ndarray) -> np.ndarray:
    """Log, with `LOG_ZERO` for 0."""
    return np.where(values > 0, np.log(np.where(values > 0, values, 1.0)), LOG_ZERO)
