"""Random problems from a seed: networks, inputs over sixteen decades, repeats, targets, procedures and times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import ntkinfo as ni
from ntkinfo.training.discrete import GradientDescent, HeavyBall
from ntkinfo.training.procedures import Converged, GradientFlow, Procedure, nngp_posterior, ntk_posterior

PER_NETWORK = 6
"""Problems that share a network: its kernel functions are compiled once."""
ACTIVATIONS = ("erf", "relu", "leaky_relu", "gelu", "sine", "identity", "tanh")
EXTREME = 0.35  # of the problems have inputs of a size drawn over sixteen decades


@dataclass(frozen=True)
class Problem:
    """A training problem; times follow once the eigenvalues are known."""

    number: int
    network: ni.FullyConnected
    data: ni.Dataset
    procedure: Procedure
    label_noise: float
    extra: int
    dense: bool


def problem(number: int) -> Problem:
    """The problem of that number, always the same."""
    network, features = _network(number // PER_NETWORK)
    rng = np.random.default_rng([15, number])
    n, m = int(rng.integers(2, 9)), int(rng.integers(1, 7))
    if network.activation == "tanh":
        n, m = min(n, 5), min(m, 3)
    x = _inputs(rng, n, m, features, network)
    outputs = int(rng.choice([1, 1, 2, 3, 5, 10]))
    classes = bool(rng.random() < 0.5)
    data = _data(rng, x, n, outputs, classes)
    noise = 0.0 if rng.random() < 0.5 else float(10 ** rng.uniform(-2, 0))
    procedure = _procedure(rng)
    extra = int(rng.integers(0, m + 1)) if rng.random() < 0.3 else 0
    return Problem(number, network, data, procedure, noise, extra, bool(rng.random() < 0.3))


def _network(number: int) -> tuple[ni.FullyConnected, int]:
    rng = np.random.default_rng([14, number])
    activation = ACTIVATIONS[number % len(ACTIVATIONS)]
    depth = int(rng.choice([0, 1, 1, 2, 2, 3, 4, 6, 10, 20]))
    weight, bias = float(rng.uniform(0.9, 2.0)), float(rng.choice([0.0, 0.05, 0.3, 1.0]))
    return ni.FullyConnected(depth=depth, activation=activation, w_std=weight, b_std=bias), int(rng.integers(1, 6))


def _inputs(rng, n, m, features, network):
    x = rng.standard_normal((n + m, features))
    size = 10 ** rng.uniform(-8, 8) if rng.random() < EXTREME else 10 ** rng.uniform(-0.5, 0.7)
    if network.activation == "tanh":
        # The recomputation's own quadrature ends at pre-activations of some tens.
        size = min(size, 10.0)
    x = x * size
    if n > 2 and rng.random() < 0.2:
        x[1] = x[0]
    if n > 3 and rng.random() < 0.25:
        x[2] = x[3] + 10 ** rng.uniform(-6, -1) * size * rng.standard_normal(features)
    if rng.random() < 0.2:
        x[n] = x[int(rng.integers(n))]
    if m > 1 and rng.random() < 0.2:
        x[n + 1] = x[int(rng.integers(n))] + 10 ** rng.uniform(-8, -1) * size * rng.standard_normal(features)
    if m > 3 and rng.random() < 0.2:
        x[n + 3] = x[n + 2]
    return x


def _data(rng, x, n, outputs, classes):
    if not classes:
        y = rng.standard_normal((len(x), outputs)) * 10 ** rng.uniform(-1, 1)
        return ni.Dataset(x[:n], y[:n], x[n:], y[n:])
    count = max(outputs, 2)
    labels = np.concatenate([np.arange(min(n, count)), rng.integers(0, min(n, count), max(n - count, 0))])
    labels = np.concatenate([labels[:n], rng.integers(0, min(n, count), len(x) - n)])
    y = 2.0 * labels[:, None] - 1 if outputs == 1 else np.eye(outputs)[labels]
    names = tuple(str(k) for k in range(count))
    return ni.Dataset(x[:n], y[:n], x[n:], y[n:], labels[:n], labels[n:], names)


def _procedure(rng) -> Procedure:
    kind = str(rng.choice(["flow", "flow", "descent", "momentum", "converged", "langevin", "nngp", "ntk"]))
    common = {
        "ridge": 0.0 if rng.random() < 0.5 else float(10 ** rng.uniform(-3, 3)),
        "target_noise_variance": 0.0 if rng.random() < 0.7 else float(10 ** rng.uniform(-3, 0)),
        "prior": str(rng.choice(["nngp", "nngp", "ntk"])),
        "tangent": str(rng.choice(["ntk", "ntk", "ntk", "nngp"])),
        "loss": str(rng.choice(["sum", "mean"])),
    }
    if kind == "nngp":
        return nngp_posterior(float(10 ** rng.uniform(-3, 1)))
    if kind == "ntk":
        return ntk_posterior(float(10 ** rng.uniform(-3, 1)))
    if kind == "langevin":
        return GradientFlow(**common, temperature=float(10 ** rng.uniform(-3, 0)))
    if kind == "converged":
        return Converged(**common)
    if kind == "descent":
        return GradientDescent(**common, step_size=float(rng.uniform(0.05, 0.95)))
    if kind == "momentum":
        return HeavyBall(
            **common, step_size=float(rng.uniform(0.05, 0.95)), momentum=float(rng.choice([0.0, 0.5, 0.9, 0.99]))
        )
    return GradientFlow(**common)
