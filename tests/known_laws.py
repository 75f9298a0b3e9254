"""Training laws and kernels with exact answers: dense algebra in parameter space, published numbers, limits.

The dense layer is d-dimensional Bayesian linear regression: outputs are Φθ with θ ~ N(0, I), and everything here is
computed for θ, by matrix exponentials, without a kernel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.integrate
import scipy.linalg

from ntkinfo.core.records import Dataset
from ntkinfo.information.evaluation_space import ExtraInputs
from ntkinfo.kernels.architectures import FullyConnected
from ntkinfo.kernels.blocks import kernel_blocks
from ntkinfo.kernels.records import KernelBlocks
from ntkinfo.training.output_distribution import OutputDistribution, output_distribution
from ntkinfo.training.procedures import GradientFlow, Procedure, nngp_posterior
from tests.kernels import closed_forms
from tests.random_features import RandomFeatures


@dataclass(frozen=True)
class KnownLaw:
    """A training problem.

    Args:
        name: what it is.
        network: whose kernels are taken, or the kernels themselves.
        data: inputs and targets.
        procedure: of training.
        times: (T,).
        answers: value by quantity; arrays over (T,), (T, inputs) or (T, inputs, C).
        source: where the answers come from.
        tolerance: relative to the largest entry, the rounding or the digits of the answers.
        extra: how many test inputs join the training inputs in quantities called "… with extra inputs".
        label_noise: noise variance of the label model behind quantities of labels.
    """

    name: str
    network: FullyConnected | KernelBlocks
    data: Dataset
    procedure: Procedure
    times: np.ndarray
    answers: Mapping[str, np.ndarray]
    source: str
    tolerance: float = 1e-9
    extra: int = 0
    label_noise: float = 0.2

    @cached_property
    def distribution(self) -> OutputDistribution:
        blocks = self.network
        if isinstance(blocks, FullyConnected):
            blocks = kernel_blocks(blocks, self.data)
        return output_distribution(blocks, self.data, self.procedure, self.times)

    @cached_property
    def extra_inputs(self) -> ExtraInputs:
        source, inputs = self.distribution.blocks.source, self.data.x_test[: self.extra]
        return ExtraInputs(source.cross(inputs), source.square(inputs))


@dataclass(frozen=True)
class KnownKernel:
    """NNGP and NTK of inputs with themselves; finite networks have these averages up to `finite_width` / width."""

    name: str
    network: FullyConnected
    inputs: np.ndarray
    nngp: np.ndarray
    ntk: np.ndarray
    source: str
    finite_width: float
    tolerance: float = 1e-12


@dataclass(frozen=True)
class Regression:
    """Gradient flow, or the posterior, of f = Φθ with θ ~ N(0, I): everything for the parameters themselves."""

    train: np.ndarray
    test: np.ndarray
    targets: np.ndarray
    ridge: float = 0.0
    noise: float = 0.0

    def maps(self, time: float) -> tuple[np.ndarray, np.ndarray]:
        """θ_t = Mθ_0 + N(Y + noise)."""
        p = self.train.shape[1]
        curvature = self.train.T @ self.train + self.ridge * np.eye(p)
        if np.isinf(time):
            gain = np.linalg.solve(curvature, self.train.T)
        else:
            generator = np.zeros((2 * p, 2 * p))
            generator[:p, :p], generator[:p, p:] = -curvature, np.eye(p)
            gain = scipy.linalg.expm(time * generator)[:p, p:] @ self.train.T
        return np.eye(p) - gain @ self.train, gain

    def law(self, time: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean (p, C) and covariance (p, p) of the parameters, and N."""
        keep, gain = self.maps(time)
        return gain @ self.targets, keep @ keep.T + self.noise * gain @ gain.T, gain

    def speed_squared(self, time: float) -> float:
        keep, gain = self.maps(time)
        outputs = self.targets.shape[1]
        pull = self.train.T @ self.train @ keep - self.ridge * (np.eye(keep.shape[1]) - keep)
        push = self.train.T @ self.targets - (self.train.T @ self.train + self.ridge * np.eye(len(keep))) @ (
            gain @ self.targets
        )
        return outputs * float(np.sum(pull**2)) + float(np.sum(push**2))

    def answers(self, times: np.ndarray, label_noise: float, extra: int) -> dict[str, np.ndarray]:
        found: dict[str, list] = {}
        for time in times:
            for name, value in self._at(float(time), label_noise, extra).items():
                found.setdefault(name, []).append(value)
        return {name: np.array(values) for name, values in found.items()}

    def _at(self, time: float, label_noise: float, extra: int) -> dict[str, np.ndarray | float]:
        mean, covariance, gain = self.law(time)
        outputs = self.targets.shape[1]
        teacher = self.train @ self.train.T + label_noise * np.eye(len(self.train))
        found = {}
        for split, features in (("train", self.train), ("test", self.test)):
            variance, prior = np.sum((features @ covariance) * features, 1), np.sum(features**2, 1)
            signal = np.sum((features @ gain @ teacher) * (features @ gain), 1)
            ratio = variance / prior
            size = np.sum((features @ mean) ** 2, 1) / prior
            found[f"mean {split}"], found[f"variance {split}"] = features @ mean, variance
            found[f"relative entropy per input {split}"] = 0.5 * (outputs * (ratio - 1 - np.log(ratio)) + size)
            found[f"labels per input {split}"] = 0.5 * outputs * np.log(1 + signal / variance)
        found["linear model"] = relative_entropy(mean, covariance, np.eye(len(covariance)))
        rows = np.concatenate([self.train, self.test[:extra]])
        if np.linalg.matrix_rank(rows) == len(rows):
            images = rows @ mean, rows @ covariance @ rows.T
            found["function space with extra inputs"] = relative_entropy(*images, rows @ rows.T)
            lifted = np.linalg.solve(images[1], rows @ gain @ teacher @ gain.T @ rows.T)
            found["labels with extra inputs"] = 0.5 * outputs * np.linalg.slogdet(np.eye(len(rows)) + lifted)[1]
        found["function space"] = self._function_space(mean, covariance)
        if self.noise == 0:
            keep = self.maps(time)[0]
            found["distance"] = outputs * np.sum((keep - np.eye(len(keep))) ** 2) + np.sum(mean**2)
            found["speed squared"] = self.speed_squared(time)
            found["energy"] = scipy.integrate.quad(self.speed_squared, 0, time, epsabs=1e-12)[0]
            found["length"] = scipy.integrate.quad(lambda s: self.speed_squared(s) ** 0.5, 0, time, epsabs=1e-10)[0]
        found["Fisher trace"] = outputs * np.sum(self.train**2)
        return found

    def _function_space(self, mean: np.ndarray, covariance: np.ndarray) -> float:
        """On the directions that the training outputs span."""
        rows = scipy.linalg.orth(self.train.T).T
        return relative_entropy(rows @ mean, rows @ covariance @ rows.T, np.eye(len(rows)))


def relative_entropy(mean: np.ndarray, covariance: np.ndarray, start: np.ndarray) -> float:
    """KL(N(mean, covariance) ‖ N(0, start)) in nats, one column of means an output."""
    inside = np.linalg.solve(start, covariance)
    quadratic = np.sum(mean * np.linalg.solve(start, mean))
    return 0.5 * float(mean.shape[1] * (np.trace(inside) - len(start) - np.linalg.slogdet(inside)[1]) + quadratic)


def _dense_layer(name: str, sizes: tuple[int, int, int, int], procedure: Procedure, times: list[float]) -> KnownLaw:
    n, m, d, outputs = sizes
    random = np.random.default_rng(n)
    x, y = random.normal(size=(n + m, d)), random.normal(size=(n + m, outputs))
    network = FullyConnected(depth=0, w_std=1.3, b_std=0.4)
    features = np.concatenate([1.3 * x / np.sqrt(d), np.full((n + m, 1), 0.4)], axis=1)
    noise = procedure.target_noise_variance
    regression = Regression(features[:n], features[n:], y[:n], procedure.ridge, noise)
    extra = max(0, min(d + 1 - n, 2))
    answers = regression.answers(np.array(times), 0.2, extra)
    data = Dataset(x[:n], y[:n], x[n:], y[n:])
    source = f"Bayesian linear regression in {d + 1} dimensions"
    return KnownLaw(name, network, data, procedure, np.array(times), answers, source, extra=extra)


def _random_features() -> KnownLaw:
    model, times = RandomFeatures(), np.array([0.05, 0.6, 4.0])
    n = model.n
    laws = [model.law(model.flow(time)) for time in times]
    start = model.start @ model.start.T
    answers = {
        "mean train": [mean[:n] for mean, _, _ in laws],
        "mean test": [mean[n:] for mean, _, _ in laws],
        "variance train": [np.diag(covariance)[:n] for _, covariance, _ in laws],
        "variance test": [np.diag(covariance)[n:] for _, covariance, _ in laws],
        "function space": [relative_entropy(mean[:n], c[:n, :n], start[:n, :n]) for mean, c, _ in laws],
    }
    answers = {name: np.array(values) for name, values in answers.items()}
    source = "random features: matrix exponentials in function space (K and Θ differ)"
    return KnownLaw("random features", model.blocks, model.data, GradientFlow(), times, answers, source)


def _golden() -> KnownLaw:
    random = np.random.default_rng(0)
    x, y, extra = random.normal(size=(4, 3)), 0.7 * random.normal(size=(4, 1)), random.normal(size=(30, 3))
    network = FullyConnected(depth=1, activation="erf", w_std=1.5, b_std=0.0)
    answers = {
        "Fisher trace": [8.687581],
        "linear model": [4.170521],
        "function space": [4.716770],
        "function space with extra inputs": [4.867824],
        "distance": [1.116810],
    }
    answers = {name: np.array(values) for name, values in answers.items()}
    data, source = Dataset(x, y, extra, np.zeros((30, 1))), "theory §5, to six digits"
    return KnownLaw("golden case", network, data, GradientFlow(), np.array([0.6]), answers, source, 6e-7, extra=10)


def _limit(name: str, time: float, equal_norms: bool, value: float, source: str) -> KnownLaw:
    """I(Z;X) on twelve training inputs with three distinct targets."""
    random = np.random.default_rng(3)
    x = random.normal(size=(15, 4))
    if equal_norms:
        x /= np.linalg.norm(x, axis=1, keepdims=True)
    y = np.concatenate([np.eye(3)[np.repeat([0, 1, 2], [6, 4, 2])], np.zeros((3, 3))])
    data = Dataset(x[:12], y[:12], x[12:], y[12:])
    network = FullyConnected(depth=2, activation="erf", w_std=1.5, b_std=0.1)
    answers = {"information input train": np.array([value])}
    return KnownLaw(name, network, data, GradientFlow(), np.array([time]), answers, source, 1e-10)


def _kernel(activation: str, depth: int, finite_width: float) -> KnownKernel:
    x = np.random.default_rng(5).normal(size=(5, 3))
    dual = {"erf": closed_forms.arcsine, "relu": closed_forms.arccosine}[activation]
    network = FullyConnected(depth=depth, activation=activation, w_std=1.4, b_std=0.3)
    nngp, ntk = closed_forms.fully_connected(dual, x, x, depth, 1.4, 0.3)
    source = {"erf": "arcsine kernel (Williams 1997)", "relu": "arc-cosine kernel (Cho & Saul 2009)"}[activation]
    # The plain recursion for relu loses half the digits between an input and itself.
    tolerance = 1e-12 if activation == "erf" else 1e-7
    return KnownKernel(f"{activation}, depth {depth}", network, x, nngp, ntk, source, finite_width, tolerance)


_SHARES = np.array([6, 4, 2]) / 12
LAWS = [
    _dense_layer("dense layer, two outputs", (4, 5, 6, 2), GradientFlow(), [0.05, 0.3, 1.0]),
    _dense_layer("dense layer, more inputs than weights", (9, 5, 3, 1), GradientFlow(), [0.02, 0.3]),
    _dense_layer("dense layer with ridge", (4, 5, 4, 1), GradientFlow(ridge=0.3), [0.1, 2.0]),
    _dense_layer("Bayesian posterior of a dense layer", (4, 4, 4, 2), nngp_posterior(0.3), [np.inf]),
    _random_features(),
    _golden(),
    _limit("equal norms before training", 0.0, True, 0.0, "all outputs have the same law"),
    _limit(
        "trained to the targets",
        np.inf,
        False,
        float(-np.sum(_SHARES * np.log(_SHARES))),
        "entropy of the distinct targets",
    ),
]
# With one hidden layer finite networks have the limit's averages at every width.
KERNELS = [_kernel("erf", 1, 0.0), _kernel("relu", 1, 0.0), _kernel("erf", 2, 4.0), _kernel("relu", 2, 8.0)]
