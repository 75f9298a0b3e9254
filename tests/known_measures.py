"""Truths for generalisation measures: dense algebra on small problems for each of them, and exact answers of limits.

`SECOND_ROUTES` has one entry a measure, by brute force: explicit inverses, refits, densities, quadratures, and for the
trained ensemble matrix exponentials in parameter space (`RandomFeatures`). `curves` is a table of made-up numbers, all
different, of which a measure must pick the right one. Exact answers of limits are in `tests.known_measure_limits`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import scipy.integrate
import scipy.optimize
import scipy.stats
import xarray as xr

from ntkinfo.core.records import Dataset
from ntkinfo.generalization.views import MeasureSettings
from ntkinfo.information.losses import closed_form
from ntkinfo.training.procedures import GradientFlow
from tests.known_laws import relative_entropy
from tests.random_features import RandomFeatures

CURVE_NAMES = {
    "training_loss": ("loss_mean", "train"),
    "training_error": ("error_mean", "train"),
    "parameter_distance_squared": ("parameter_distance_squared", None),
    "path_length": ("path_length", None),
    "path_energy": ("path_energy", None),
    "information_parameters": ("information_parameters", None),
    "information_parameters_linear": ("information_parameters_linear", None),
    "information_input_train": ("information_input", "train"),
    "information_input_test": ("information_input", "test"),
    "information_target_train": ("information_target", "train"),
    "information_training_set_train": ("information_training_set", "train"),
    "information_training_set_test": ("information_training_set", "test"),
    "information_labels_train": ("information_training_set_labels", "train"),
    "information_labels_test": ("information_training_set_labels", "test"),
}


@dataclass(frozen=True)
class Problem:
    """A small training problem whose kernels are Gram matrices; with classes, ±1 targets where there is one output."""

    name: str
    outputs: int = 1
    shared: bool = False
    ridge: float = 0.0
    ridges: tuple[float, ...] = (0.05, 0.7)
    times: np.ndarray = field(default_factory=lambda: np.array([0.0, 0.4, 3.0]))
    hyperparameters: Mapping[str, float] = field(
        default_factory=lambda: {"depth": 2.0, "w_std": 1.5, "b_std": 0.1, "label_noise": 0.2}
    )

    @cached_property
    def model(self) -> RandomFeatures:
        return RandomFeatures(outputs=self.outputs, shared=self.shared, seed=3)

    @cached_property
    def labels(self) -> np.ndarray:
        y = self.model.y
        return (y[:, 0] > 0).astype(int) if self.outputs == 1 else np.argmax(y, axis=1)

    @cached_property
    def targets(self) -> np.ndarray:
        if self.outputs == 1:
            return 2.0 * self.labels[:, None] - 1
        return np.eye(self.outputs)[self.labels] - 1 / self.outputs

    @cached_property
    def data(self) -> Dataset:
        n, x, y, labels = self.n, self.model.x, self.targets, self.labels
        return Dataset(x[:n], y[:n], x[n:], y[n:], labels[:n], labels[n:])

    @property
    def n(self) -> int:
        return self.model.n

    @property
    def procedure(self) -> GradientFlow:
        return GradientFlow(ridge=self.ridge, prior="ntk" if self.shared else "nngp")

    @property
    def settings(self) -> MeasureSettings:
        return MeasureSettings(ridges=self.ridges, margin_quantile=0.3, hyperparameters=self.hyperparameters)

    def kernel(self, name: str) -> np.ndarray:
        features = self.model.start if name == "nngp" else self.model.jacobian
        return features[: self.n] @ features[: self.n].T

    def law(self, time: float) -> tuple[np.ndarray, np.ndarray]:
        """Mean (n+m, C) and variance (n+m,) at one time, by matrix exponentials."""
        _, covariance, step = self.model.law(self.model.flow(time, self.ridge))
        return step @ self.targets[: self.n], np.diag(covariance)

    @cached_property
    def curves(self) -> xr.Dataset:
        """Made-up curves: no two numbers are equal."""
        names = list(dict.fromkeys(name for name, _ in CURVE_NAMES.values()))
        whole = {name for name, split in CURVE_NAMES.values() if split is None}
        variables, count = {}, 0
        for name in names:
            shape = (len(self.times),) if name in whole else (len(self.times), 2)
            values = 0.3 + 0.01 * (count + np.arange(np.prod(shape))).reshape(shape)
            count += values.size
            dims = ("time", "split")[: len(shape)]
            variables[name], variables[f"{name}_standard_error"] = (dims, values), (dims, values * 1e-3)
        return xr.Dataset(variables, {"time": self.times, "split": ["train", "test"]})


PROBLEMS = (
    Problem("one output"),
    Problem("three classes with ridge", outputs=3, ridge=0.3, ridges=(0.2,)),
    Problem("two classes, one kernel", outputs=2, shared=True),
    Problem("one output, one kernel", shared=True),
)


@dataclass(frozen=True)
class Case:
    """One problem, kernel and ridge, in dense matrices."""

    problem: Problem
    kernel_name: str
    s: float

    @cached_property
    def G(self) -> np.ndarray:  # noqa: N802
        return self.problem.kernel(self.kernel_name)

    @cached_property
    def inverse(self) -> np.ndarray:
        return np.linalg.inv(self.G + self.s * np.eye(self.n))

    @cached_property
    def H(self) -> np.ndarray:  # noqa: N802
        return self.G @ self.inverse

    @property
    def n(self) -> int:
        return self.problem.n

    @property
    def Y(self) -> np.ndarray:  # noqa: N802
        return self.problem.targets[: self.n]

    @property
    def C(self) -> int:  # noqa: N802
        return self.problem.outputs

    @property
    def labels(self) -> np.ndarray:
        return self.problem.labels[: self.n]

    def posterior(self) -> tuple[np.ndarray, np.ndarray]:
        return self.H @ self.Y, self.G - self.G @ self.inverse @ self.G

    def left_out(self):
        """Refit without each input: its prediction (C,), predictive variance with noise, target and class."""
        for i in range(self.n):
            rest = np.delete(np.arange(self.n), i)
            gain = np.linalg.solve(self.G[np.ix_(rest, rest)] + self.s * np.eye(self.n - 1), self.G[rest, i])
            yield gain @ self.Y[rest], self.G[i, i] + self.s - gain @ self.G[rest, i], self.Y[i], self.labels[i]

    def estimated_spectrum(self) -> tuple[np.ndarray, float]:
        """G/n (G/n + κ̂)⁻¹ and κ̂."""
        kappa = 1 / np.trace(self.inverse)
        return self.G / self.n @ np.linalg.inv(self.G / self.n + kappa * np.eye(self.n)), kappa


def wrong(mean: np.ndarray, label: int) -> float:
    if len(mean) == 1:
        return float(mean[0] * (1 if label else -1) < 0)
    return float(np.argmax(mean) != label)


def margin(mean: np.ndarray, variance: float, label: int) -> float:
    """Over the deviation of the difference."""
    if len(mean) == 1:
        return mean[0] * (1 if label else -1) / variance**0.5
    return min((mean[label] - mean[c]) / (2 * variance) ** 0.5 for c in range(len(mean)) if c != label)


def draw_error(mean: np.ndarray, variance: float, label: int) -> float:
    """Exact for one and two outputs, else the union bound."""
    if len(mean) == 1:
        return scipy.stats.norm(mean[0] * (1 if label else -1), variance**0.5).cdf(0)
    each = [
        scipy.stats.norm(mean[label] - mean[c], (2 * variance) ** 0.5).cdf(0) for c in range(len(mean)) if c != label
    ]
    return min(1.0, sum(each))


def bound(error: float, relative_entropy: float, n: int, delta: float = 0.05) -> float:
    """PAC-Bayes-kl by a root finder."""
    limit = (relative_entropy + np.log(2 * np.sqrt(n) / delta)) / n

    def excess(log_right: float) -> float:
        q = -np.expm1(log_right)
        return scipy.stats.entropy([error, 1 - error], [q, 1 - q]) - limit

    # In the logarithm of 1 − R: bounds near 1 keep their digits.
    low, high = -400.0, float(np.log1p(-error)) - 1e-12
    return float(-np.expm1(scipy.optimize.brentq(excess, low, high, xtol=1e-14)))


def quantile(values: list[float]) -> float:
    return float(np.quantile(values, 0.3, method="inverted_cdf"))


def centre(matrix: np.ndarray) -> np.ndarray:
    h = np.eye(len(matrix)) - 1 / len(matrix)
    return h @ matrix @ h


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.trace(a @ b.T) / np.sqrt(np.trace(a @ a.T) * np.trace(b @ b.T)))


def _decay(c: Case) -> float:
    values = np.sort(np.linalg.eigvalsh(c.G))[::-1]
    ranks = np.arange(1, c.n + 1)
    chosen = (ranks >= c.n / 10) & (ranks <= c.n // 2)
    return float(-np.polyfit(np.log(ranks[chosen]), np.log(values[chosen]), 1)[0])


def _task(c: Case) -> float:
    values, vectors = np.linalg.eigh(c.G)
    order = np.argsort(-values)
    shares = [np.sum((vectors[:, order[: k + 1]].T @ c.Y) ** 2) / np.sum(c.Y**2) for k in range(c.n)]
    return float(np.mean(shares))


def _local(c: Case) -> float:
    values = np.linalg.eigvalsh(c.G)
    return scipy.optimize.brentq(lambda r: np.sqrt(2 / c.n * sum(min(r, v / c.n) for v in values)) - r, 1e-9, 1e3)


def _posterior_kl(c: Case) -> float:
    return relative_entropy(*c.posterior(), c.G)


def _posterior_bound(c: Case) -> float:
    mean, covariance = c.posterior()
    errors = [draw_error(mean[i], covariance[i, i], c.labels[i]) for i in range(c.n)]
    return bound(float(np.mean(errors)), _posterior_kl(c), c.n)


def _posterior_margin(c: Case) -> float:
    mean, covariance = c.posterior()
    return quantile([margin(mean[i], covariance[i, i], c.labels[i]) for i in range(c.n)])


def _eigenlearning(c: Case) -> float:
    learned, kappa = c.estimated_spectrum()
    left = np.linalg.inv(c.G / c.n + kappa * np.eye(c.n)) @ c.Y * kappa
    return c.n / (c.n - np.trace(learned @ learned)) * float(np.mean(np.sum(left**2, 1)))


BY_RIDGE: Mapping[str, Callable[[Case], float]] = {
    "evidence": lambda c: (
        -float(sum(scipy.stats.multivariate_normal(np.zeros(c.n), c.G + c.s * np.eye(c.n)).logpdf(y) for y in c.Y.T))
    ),
    "information_gain": lambda c: 0.5 * c.C * np.linalg.slogdet(np.eye(c.n) + c.G / c.s)[1],
    "posterior_relative_entropy": _posterior_kl,
    "pac_bayes_posterior": _posterior_bound,
    "loo_squared_error": lambda c: float(np.mean([np.sum((y - f) ** 2) for f, _, y, _ in c.left_out()])),
    "loo_error": lambda c: float(np.mean([wrong(f, label) for f, _, _, label in c.left_out()])),
    "loo_log_loss": lambda c: (
        -float(np.mean([np.sum(scipy.stats.norm(f, v**0.5).logpdf(y)) for f, v, y, _ in c.left_out()]))
    ),
    # Generalised cross-validation, from the residuals of the fit.
    "kare": lambda c: float(np.sum((c.Y - c.H @ c.Y) ** 2) / c.n / (np.trace(np.eye(c.n) - c.H) / c.n) ** 2),
    "capture_threshold": lambda c: c.n / np.trace(np.linalg.inv(c.G / c.n + c.s / c.n * np.eye(c.n))),
    "eigenlearning_error": _eigenlearning,
    "learnability": lambda c: float(np.sum(c.Y * (c.estimated_spectrum()[0] @ c.Y)) / np.sum(c.Y**2)),
    "effective_dimension": lambda c: float(np.trace(c.H)),
    "effective_dimension_squared": lambda c: float(np.trace(c.H @ c.H)),
    "leverage_ratio": lambda c: float(c.n * np.diag(c.H).max() / np.trace(c.H)),
    "posterior_margin": _posterior_margin,
}

BY_KERNEL: Mapping[str, Callable[[Case], float]] = {
    "trace": lambda c: float(np.sum(np.linalg.svd(c.G, compute_uv=False))),
    "stable_rank": lambda c: float(np.trace(c.G) / np.linalg.norm(c.G, 2)),
    "participation_ratio": lambda c: float(np.trace(c.G) ** 2 / np.sum(np.linalg.eigvalsh(c.G) ** 2)),
    "spectral_entropy": lambda c: float(scipy.stats.entropy(np.linalg.eigvalsh(c.G))),
    "decay_exponent": _decay,
    "target_alignment": lambda c: cosine(c.G, c.Y @ c.Y.T),
    "centred_target_alignment": lambda c: cosine(centre(c.G), centre(c.Y @ c.Y.T)),
    "task_alignment": _task,
    "target_norm": lambda c: float(np.trace(c.Y.T @ np.linalg.solve(c.G, c.Y)) / c.n),
    "norm_bound": lambda c: float(np.sqrt(2 * np.trace(c.Y.T @ np.linalg.inv(c.G) @ c.Y) / c.n)),
    "local_complexity": _local,
}

OF_PAIR: Mapping[str, Callable[[Problem], float]] = {
    "kernel_similarity": lambda p: cosine(centre(p.kernel("nngp")), centre(p.kernel("ntk"))),
}


def _at(p: Problem, time: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    mean, variance = p.law(time)
    return mean[: p.n], variance[: p.n], p.targets[: p.n], p.labels[: p.n]


def _gap(p: Problem, time: float) -> float:
    mean, variance, targets, _ = _at(p, time)
    losses = closed_form(mean[None], variance[None], targets)
    return float(losses["loss_gibbs_nll"][0] - losses["loss_bayes"][0])


def _area(p: Problem, time: float) -> float:
    def loss(s: float) -> float:
        mean, _, targets, _ = _at(p, s)
        return 0.5 * float(np.mean(np.sum((mean - targets) ** 2, axis=1)))

    return scipy.integrate.quad(loss, 0, time, epsabs=1e-11, epsrel=1e-10)[0]


def _trained_bound(p: Problem, time: float) -> float:
    if not p.shared:
        return float("nan")
    mean, variance, _, labels = _at(p, time)
    error = np.mean([draw_error(mean[i], variance[i], labels[i]) for i in range(p.n)])
    entropy = p.curves["information_parameters_linear"].sel(time=time)
    return bound(float(error), float(entropy), p.n)


def _trained_margin(p: Problem, time: float) -> float:
    mean, variance, _, labels = _at(p, time)
    return quantile([margin(mean[i], variance[i], labels[i]) for i in range(p.n)])


def _of_curve(name: str) -> Callable[[Problem, float], float]:
    curve, split = CURVE_NAMES[name]

    def value(p: Problem, time: float) -> float:
        at = p.curves[curve].sel(time=time)
        return float(at if split is None else at.sel(split=split))

    return value


def _risk(curve: str) -> Callable[[Problem, float], float]:
    return lambda p, time: float(np.sqrt(2 * 0.25 * p.curves[curve].sel(time=time) / p.n))


BY_TIME: Mapping[str, Callable[[Problem, float], float]] = {
    "gibbs_bayes_gap": _gap,
    "variance_train": lambda p, time: p.outputs * float(np.mean(p.law(time)[1][: p.n])),
    "variance_test": lambda p, time: p.outputs * float(np.mean(p.law(time)[1][p.n :])),
    "trained_margin": _trained_margin,
    "loss_area": _area,
    "pac_bayes_trained": _trained_bound,
    "risk_bound_function": _risk("information_parameters"),
    "risk_bound_linear": _risk("information_parameters_linear"),
    "training_time": lambda p, time: time,
    **{name: _of_curve(name) for name in CURVE_NAMES},
}

OF_MODEL: Mapping[str, Callable[[Problem], float]] = {
    "n_train": lambda p: 12,
    "n_features": lambda p: 3,
    "n_outputs": lambda p: p.outputs,
    "ridge_strength": lambda p: p.ridge,
    "target_noise": lambda p: 0,
    "temperature": lambda p: 0,
    "depth": lambda p: 2,
    "w_std": lambda p: 1.5,
    "b_std": lambda p: 0.1,
    "label_noise": lambda p: 0.2,
}


def second_route(name: str, problem: Problem) -> np.ndarray:
    """All values of a measure, in the shape that `measure_all` gives them."""
    kernels = ("nngp", "ntk")
    if name in BY_RIDGE:
        return np.array([[BY_RIDGE[name](Case(problem, k, s)) for s in problem.ridges] for k in kernels])
    if name in BY_KERNEL:
        return np.array([BY_KERNEL[name](Case(problem, k, 0.0)) for k in kernels])
    if name in BY_TIME:
        return np.array([BY_TIME[name](problem, float(t)) for t in problem.times])
    return np.array({**OF_PAIR, **OF_MODEL}[name](problem), dtype=float)


SECOND_ROUTES = (*BY_RIDGE, *BY_KERNEL, *BY_TIME, *OF_PAIR, *OF_MODEL)
# Relative to the largest value, or 1. The trained bound inverts a relative entropy that is flat near its root.
TOLERANCE = 1e-10
TOLERANCES = {"loss_area": 1e-8}
