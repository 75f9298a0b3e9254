"""One round of the self-consistent equations at one β, for the bottleneck and its dual.

Both problems are rate-distortion problems whose reproductions r are laws of Y: minimise I(X;T) + β E d(x, r_t) over the
encoder and over the points r_t. With the best encoder for given points and weights,
p(t|x) = w_t exp(-β d(x, r_t)) / Z_x, the objective is

    F(w, r) = -Σ_x p(x) log Z_x,     Z_x = Σ_t w_t exp(-β d(x, r_t)),

the negative log-likelihood of a mixture with free mixing law, and one round of the self-consistent equations is one
step of expectation-maximisation: F never rises. It is convex in the mixing law, so that optima have a finite support
and a global certificate (`certificate.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np

# What log 0 is taken for: finite, so that 0 · log 0 = 0 without a branch; exp of any multiple that matters is 0.
LOG_ZERO = -1e200
_UNDERFLOW = 1e-250
_NEAR = 0.05  # tangents that exceed the constant by no more are taken: sums of them stay tight to second order


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
        """Derivatives of -β d(x, r_t) by r_ty, (T, k, n), every r_ty free; an array of its own."""
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
        joint: p(x, t), (n, T).
        log_normaliser: log Z_x, (n,).
        after: the state afterwards.
        change: the largest change of a joint probability p(t, y) by the round.
    """

    objective: float
    joint: np.ndarray
    log_normaliser: np.ndarray
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
        stop: why it ended.
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
    exponent = distortion.log_kernel(state.points)
    exponent += state.log_weight
    joint, total, log_normaliser = _exponentials(exponent)
    objective = -float(distortion.law @ log_normaliser)
    joint *= (distortion.law / total)[:, None]
    points, weight = distortion.centroids(joint), joint.sum(axis=0)
    if weight.min() <= 0:
        points = np.where(weight[:, None] > 0, points, state.points)
    change = np.abs(weight[:, None] * points - np.exp(state.log_weight)[:, None] * state.points).max()
    return Sweep(objective, joint, log_normaliser, State(log(weight), points), float(change))


def _exponentials(exponent: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Exponentials, (n, T), up to a factor in each row, their sums over rows, and the logarithms of the true sums."""
    values = np.exp(exponent)
    total = values.sum(axis=1)
    if total.min() > _UNDERFLOW:
        return values, total, np.log(total)
    highest = exponent.max(axis=1)
    np.exp(exponent - highest[:, None], out=values)
    total = values.sum(axis=1)
    return values, total, np.log(total) + highest


@dataclass(frozen=True)
class BottleneckDistortion:
    """d(x, r) = KL(p(y|x) ‖ r): the information bottleneck."""

    law: np.ndarray
    rows: np.ndarray
    beta: float
    negative_entropy: np.ndarray

    @cached_property
    def _scaled_rows(self) -> np.ndarray:
        return self.beta * self.rows

    @cached_property
    def _scaled_entropy(self) -> np.ndarray:
        return self.beta * self.negative_entropy[:, None]

    def log_kernel(self, points: np.ndarray) -> np.ndarray:
        """-β KL(p(y|x) ‖ r_t); above 0 by rounding at most."""
        kernel = self._scaled_rows @ log(points).T
        kernel -= self._scaled_entropy
        return kernel

    def centroids(self, joint: np.ndarray) -> np.ndarray:
        """Averages of the rows."""
        sums = joint.T @ self.rows
        return sums / np.maximum(sums.sum(axis=1, keepdims=True), 1e-300)

    def slopes(self, points: np.ndarray) -> np.ndarray:
        """β p(y|x) / r_ty."""
        return self._scaled_rows.T[None] / points[:, :, None]

    def majorant(self, vertices: np.ndarray) -> np.ndarray:
        """By the tangent of the logarithm at the centre, or the constant of the largest r_y where that is well below.

        The choice is one for the whole cell: a minimum of the two would not be linear, and the sum of exponentials not
        convex.
        """
        centre = vertices.mean(axis=1)
        slope = (vertices / centre[:, None, :] - 1).transpose(0, 2, 1)
        tangent = (log(centre) @ self.rows.T)[:, :, None] + self.rows @ slope
        tangent -= self.negative_entropy[None, :, None]
        corner = np.minimum(0.0, log(vertices.max(axis=1)) @ self.rows.T - self.negative_entropy[None, :])[:, :, None]
        return self.beta * np.where(tangent.max(axis=2, keepdims=True) < corner + _NEAR, tangent, corner)

    def curvature(self, joint: np.ndarray, points: np.ndarray) -> np.ndarray:
        """-β Σ_x joint p(y|x) / r_ty²."""
        return -self.beta * (joint.T @ self.rows) / points**2


def log_sum_exp(exponent: np.ndarray) -> np.ndarray:
    """Log Σ exp over the first axis; quicker than scipy's on small arrays."""
    highest = exponent.max(axis=0)
    return np.asarray(np.log(np.sum(np.exp(exponent - highest), axis=0)) + highest)


def log(values: np.ndarray) -> np.ndarray:
    """Log, with `LOG_ZERO` for 0."""
    if values.size and values.min() > 0:
        return np.log(values)
    return np.where(values > 0, np.log(np.where(values > 0, values, 1.0)), LOG_ZERO)
