"""The Gaussian law of the outputs at one time in mpmath, jointly over training and test inputs.

The coordinates are the training outputs along the eigenvectors of the tangent kernel and the outputs at those test
inputs that are no training inputs, so that what decays keeps its relative precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import mpmath as mp
import numpy as np

from tests.recomputation import filters

# Relative to the largest: what a hundred digits cannot tell from 0.
NULL = mp.mpf(10) ** -85


def array(matrix: mp.matrix) -> np.ndarray:
    """An mpmath matrix as an array of mpf."""
    return np.array([[matrix[i, j] for j in range(matrix.cols)] for i in range(matrix.rows)], dtype=object)


def exact(values: np.ndarray) -> np.ndarray:
    """Doubles as mpf."""
    return np.vectorize(mp.mpf, otypes=[object])(np.asarray(values, dtype=float))


@dataclass(frozen=True)
class Moments:
    """Law at one time: means (N, C), covariance (N, N), coefficients (N, n) of the targets, filters by direction."""

    mean: np.ndarray
    covariance: np.ndarray
    gain: np.ndarray
    filters: list


class Law:
    """Law of the outputs at N inputs of which the first n are trained on.

    Args:
        nngp: (N, N) of mpf.
        ntk: the same.
        inputs: (N, d), by which test inputs that are training inputs are known.
        targets: (n, C).
        procedure: as the package takes it; it counts in the summed loss's time.
    """

    def __init__(self, nngp, ntk, inputs, targets, procedure):
        kernel = {"nngp": nngp, "ntk": ntk}
        self.tangent, self.prior = kernel[procedure.tangent], kernel[procedure.prior]
        self.procedure, self.n = procedure.summed(targets.size), len(targets)
        self.unit, self.outputs = procedure.time_unit(targets.size), targets.shape[1]
        n = self.n
        self.at_train = [next((i for i in range(n) if np.array_equal(row, inputs[i])), None) for row in inputs]
        self.others = [i for i, place in enumerate(self.at_train) if place is None]
        values, vectors = mp.eigsy(mp.matrix(self.tangent[:n, :n].tolist()))
        self.values = np.array([values[i] for i in range(n)], dtype=object)
        top = self.values[-1]
        self.null = np.array([value <= NULL * top for value in self.values])
        self.values[self.null] = mp.mpf(0)
        self.vectors = array(vectors)
        self.start = self._clean(self.vectors.T @ self.prior[:n, :n] @ self.vectors)
        self.moving = ~self.null | np.array([self.start[j, j] != 0 for j in range(n)])
        self.targets = self.vectors.T @ exact(targets)
        self.cross = self.vectors.T @ self.prior[:n, self.others]
        self.reach = self.vectors.T @ self.tangent[:n, self.others]
        self.reach[self.null] = mp.mpf(0)
        self.cross[np.array([self.start[j, j] == 0 for j in range(n)])] = mp.mpf(0)
        self._known: dict[float, Moments] = {}

    def _clean(self, start):
        largest = max(start[j, j] for j in range(self.n))
        for j in range(self.n):
            if start[j, j] <= NULL * largest:
                start[j, :] = start[:, j] = mp.mpf(0)
        return start

    @cached_property
    def joint(self) -> np.ndarray:
        """Covariance of the coordinates before training."""
        among = self.prior[np.ix_(self.others, self.others)]
        return np.block([[self.start, self.cross], [self.cross.T, among]])

    def at(self, time: float) -> Moments:
        """The law at a time in the caller's unit."""
        if time not in self._known:
            self._known[time] = self._moments(float(np.float64(time) * self.unit))
        return self._known[time]

    def _moments(self, time: float) -> Moments:
        n, e, procedure = self.n, len(self.others), self.procedure
        found = [filters.value(procedure, value, time) for value in self.values]
        g = np.array([f.learned for f in found], dtype=object)
        r = np.array([f.left for f in found], dtype=object)
        # Coordinates after training: (r f̂_0 + h ŷ; f_0 − aᵀg (f̂_0 − ŷ)).
        step = np.full((n + e, n + e), mp.mpf(0), dtype=object)
        step[range(n), range(n)] = r
        step[n:, :n] = -(self.reach * g[:, None]).T
        step[range(n, n + e), range(n, n + e)] = mp.mpf(1)
        gain = np.concatenate([np.diag(self.values * g), (self.reach * g[:, None]).T])
        covariance = step @ self.joint @ step.T + mp.mpf(procedure.target_noise_variance) * (gain @ gain.T)
        if procedure.temperature > 0:
            covariance = covariance + self._gradient_noise(found, time)
        rows = np.full((len(self.at_train), n + e), mp.mpf(0), dtype=object)
        for i, place in enumerate(self.at_train):
            if place is None:
                rows[i, n + self.others.index(i)] = mp.mpf(1)
            else:
                rows[i, :n] = self.vectors[place]
        full = rows @ covariance @ rows.T
        gain = rows @ gain
        return Moments(gain @ self.targets, full, gain, found)

    def _gradient_noise(self, found, time):
        heat = mp.mpf(self.procedure.temperature)
        along = [heat * f.injected for f in found]
        across = heat * filters.value(self.procedure, mp.mpf(0), time).injected
        safe = [value if value > 0 else mp.mpf(1) for value in self.values]
        n = self.n
        on = np.diag([c * value if value > 0 else mp.mpf(0) for c, value in zip(along, self.values, strict=True)])
        between = np.array([c if v > 0 else mp.mpf(0) for c, v in zip(along, self.values, strict=True)], dtype=object)
        weight = np.array(
            [(across - c) / s if v > 0 else mp.mpf(0) for c, s, v in zip(along, safe, self.values, strict=True)],
            dtype=object,
        )
        among = across * self.tangent[np.ix_(self.others, self.others)] if self.others else self.reach.T @ self.reach
        among = among - self.reach.T @ (weight[:, None] * self.reach)
        mixed = between[:, None] * self.reach
        return np.block([[on.reshape(n, n), mixed], [mixed.T, among]])
