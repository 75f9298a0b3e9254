"""Kernels whose generalisation measures are known in closed form: independent inputs, power laws, matched targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.stats

from ntkinfo.core.records import Dataset
from ntkinfo.kernels.records import CrossBlocks, KernelBlocks, SquareBlocks
from tests.known_measures import bound


@dataclass(frozen=True)
class Limit:
    """A kernel and targets for which measures are known in closed form; both kernels of the problem are the same."""

    name: str
    kernel: np.ndarray
    targets: np.ndarray
    ridge: float
    answers: Mapping[str, float]
    source: str
    tolerance: float = 1e-12

    @property
    def data(self) -> Dataset:
        n = len(self.kernel)
        labels = (self.targets[:, 0] > 0).astype(int)
        x = np.arange(n + 1.0)[:, None]
        return Dataset(x[:n], self.targets, x[n:], self.targets[:1], labels, labels[:1])

    @property
    def blocks(self) -> KernelBlocks:
        return blocks_of(self.kernel)


def blocks_of(kernel: np.ndarray, other: np.ndarray | None = None) -> KernelBlocks:
    """Blocks with these kernels of the training inputs (NNGP and NTK) and one test input unrelated to them."""
    ntk = kernel if other is None else other
    zero, one = np.zeros((1, len(kernel))), np.ones(1)
    return KernelBlocks(SquareBlocks(kernel, ntk), CrossBlocks(zero, zero, one, one))


def _identity(n: int, s: float) -> Limit:
    y = np.where(np.arange(n) % 2 == 0, 1.0, -1.0)[:, None]
    kl = 0.5 * n * (np.log(1 + 1 / s) - 1 / (1 + s)) + 0.5 * n / (1 + s) ** 2
    # The mean is y/(1 + s), the variance s/(1 + s).
    scaled = 1 / np.sqrt(s * (1 + s))
    answers = {
        "evidence": 0.5 * n * (1 / (1 + s) + np.log(2 * np.pi * (1 + s))),
        "information_gain": 0.5 * n * np.log(1 + 1 / s),
        "posterior_relative_entropy": kl,
        "pac_bayes_posterior": bound(float(scipy.stats.norm.cdf(-scaled)), kl, n),
        "loo_squared_error": 1.0,  # the others say nothing: the prediction is 0
        "loo_error": 0.5,
        "loo_log_loss": 0.5 * (np.log(2 * np.pi * (1 + s)) + 1 / (1 + s)),
        "kare": 1.0,
        "capture_threshold": (1 + s) / n,
        "eigenlearning_error": (1 + s) / (3 + s),  # L = 1/(2 + s), the error (1 − L)/(1 + L)
        "learnability": 1 / (2 + s),
        "effective_dimension": n / (1 + s),
        "effective_dimension_squared": n / (1 + s) ** 2,
        "leverage_ratio": 1.0,
        "posterior_margin": scaled,
        "trace": n,
        "stable_rank": n,
        "participation_ratio": n,
        "spectral_entropy": np.log(n),
        "decay_exponent": 0.0,
        "target_alignment": 1 / np.sqrt(n),
        "centred_target_alignment": 1 / np.sqrt(n - 1),
        "task_alignment": (n + 1) / (2 * n),
        "target_norm": 1.0,
        "norm_bound": np.sqrt(2),
        "local_complexity": np.sqrt(2 / n),
        "kernel_similarity": 1.0,
    }
    return Limit(f"identity, n = {n}", np.eye(n), y, s, answers, "independent inputs")


def _power_law(n: int, exponent: float) -> Limit:
    values = np.arange(1, n + 1.0) ** -exponent
    y = np.eye(n)[:, :1] * np.sqrt(n)
    learned = 1 / (1 + n * (1 / np.sum(1 / (values + 0.1))))
    answers = {
        "decay_exponent": exponent,
        "task_alignment": 1.0,  # all of the target is in the first direction
        "target_norm": 1.0,
        "target_alignment": 1 / np.sqrt(np.sum(values**2)),
        "learnability": learned,
        "stable_rank": np.sum(values),
        "loo_squared_error": 1.0,
    }
    return Limit(f"power law {exponent}", np.diag(values), y, 0.1, answers, "diagonal kernel", 1e-11)


def _matched(n: int) -> Limit:
    """G = yyᵀ + ε: alignments 1 up to ε."""
    y = np.where(np.arange(n) % 2 == 0, 1.0, -1.0)[:, None]
    epsilon = 1e-9
    s = 0.5
    top = n + epsilon
    answers = {
        "target_alignment": 1.0,
        "centred_target_alignment": 1.0,
        "task_alignment": 1.0,
        "stable_rank": 1.0,
        "participation_ratio": 1.0,
        "effective_dimension": top / (top + s),
        "target_norm": 1 / top,
        "leverage_ratio": 1.0,
        "loo_squared_error": (1 - (n - 1) / (n - 1 + s)) ** 2,
        "loo_error": 0.0,
    }
    kernel = y @ y.T + epsilon * np.eye(n)
    return Limit("the targets' own kernel", kernel, y, s, answers, "one direction", 1e-7)


def _two_levels() -> Limit:
    """Eigenvalues 2, 2, 1, 1, 1, 1: directions of equal eigenvalues have no order, whatever basis is computed."""
    y = np.array([[3.0], [0.0], [-1.0], [0.0], [0.0], [0.0]])
    # Squared targets 9 and 1, spread over two and four directions.
    answers = {"task_alignment": (4.5 + 9 + 9.25 + 9.5 + 9.75 + 10) / 60, "target_norm": 5.5 / 6}
    return Limit("two levels", np.diag([2.0, 2, 1, 1, 1, 1]), y, 0.1, answers, "equal eigenvalues")


LIMITS = (_identity(8, 0.25), _identity(30, 1.5), _power_law(40, 1.0), _power_law(40, 2.5), _matched(10), _two_levels())
