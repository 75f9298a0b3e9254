"""A random-feature model whose kernels are explicit Gram matrices, solved by dense algebra in parameter space.

f(x) = J(x)·θ-dynamics around a start f_0(x) = F(x)·w with w ~ N(0, I): K = FFᵀ, Θ = JJᵀ. Nothing here uses
eigen-decompositions of kernels: trajectories come from matrix exponentials or from stepping in parameter space.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from ntkinfo.core.records import Dataset
from ntkinfo.kernels.records import CrossBlocks, KernelBlocks, SquareBlocks


@dataclass(frozen=True)
class RandomFeatures:
    n: int = 12
    m: int = 9
    parameters: int = 40
    outputs: int = 2
    seed: int = 0
    shared: bool = False  # F = J: a linear model, K = Θ
    repeat: bool = False  # the last training input repeats the first, and the first test input the second

    def __post_init__(self):
        rng = np.random.default_rng(self.seed)
        count = self.n + self.m
        x = rng.normal(size=(count, 3))
        jacobian = rng.normal(size=(count, self.parameters)) / np.sqrt(self.parameters)
        start = jacobian if self.shared else np.concatenate([jacobian, rng.normal(size=(count, 5))], 1) * 0.7
        if self.repeat:
            for target, origin in ((self.n - 1, 0), (self.n, 1)):
                jacobian[target], start[target], x[target] = jacobian[origin], start[origin], x[origin]
        y = rng.normal(size=(count, self.outputs))
        for name, value in {"x": x, "jacobian": jacobian, "start": start, "y": y}.items():
            object.__setattr__(self, name, value)

    @property
    def data(self) -> Dataset:
        return Dataset(self.x[: self.n], self.y[: self.n], self.x[self.n :], self.y[self.n :])

    @property
    def blocks(self) -> KernelBlocks:
        n = self.n
        k, t = self.start @ self.start.T, self.jacobian @ self.jacobian.T
        cross = CrossBlocks(k[n:, :n], t[n:, :n], np.diag(k)[n:].copy(), np.diag(t)[n:].copy())
        return KernelBlocks(SquareBlocks(k[:n, :n], t[:n, :n]), cross, _Source(k, t, n))

    def law(self, propagate):
        """Mean (n+m, C) and covariance (n+m, n+m) of f_t, given A_t as a dense matrix by `propagate`.

        f_t = f_0 − Θ(·, X) A_t (f_0(X) − Y); the law of f_0 is N(0, FFᵀ).
        """
        n = self.n
        step = (self.jacobian @ self.jacobian[:n].T) @ propagate
        mapping = self.start - step @ self.start[:n]
        return step @ self.y[:n], mapping @ mapping.T, step

    def flow(self, time, ridge=0.0):
        """A_t by a block matrix exponential: ∫_0^t exp(−s(Θ + ρ)) ds."""
        n = self.n
        generator = np.zeros((2 * n, 2 * n))
        generator[:n, :n] = -(self.jacobian[:n] @ self.jacobian[:n].T + ridge * np.eye(n))
        generator[:n, n:] = np.eye(n)
        return scipy.linalg.expm(time * generator)[:n, n:]


@dataclass(frozen=True)
class _Source:
    nngp: np.ndarray
    ntk: np.ndarray
    n: int

    def square(self, inputs):
        assert len(inputs) == len(self.nngp) - self.n
        return SquareBlocks(self.nngp[self.n :, self.n :], self.ntk[self.n :, self.n :])

    def cross(self, inputs):
        raise AssertionError("not used")
