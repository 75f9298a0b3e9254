"""Exact answers for the dual Gaussian bottleneck and for the encoders that the variational forms are checked on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class KnownDualPoint:
    """A point of the dual bottleneck of one pair of correlated Gaussian numbers, in nats."""

    name: str
    correlation: float
    beta: float
    answers: Mapping[str, float]
    source: str


def _dual(correlation: float, beta: float, **answers: float) -> KnownDualPoint:
    source = "reverse water-filling by hand: s = rho²/(1 - rho²), D = min(1, 1/(beta s))"
    return KnownDualPoint(f"rho {correlation}, beta {beta}", correlation, beta, answers, source)


# rho = 0.8 has s = 16/9. beta = 1 is the ordinary bottleneck's beta = 2: 0.28768 and 0.16425 nats.
DUAL_GAUSSIAN = [
    _dual(
        0.8,
        1.0,
        information_input=0.5 * np.log(16 / 9),
        information_target=0.5 * np.log(16 / 9) - 0.5 * np.log(1.28),
        information_target_dual=0.5 * np.log(16 / 9),
        distortion=0.5,
        directions=1,
    ),
    _dual(0.8, 0.5624, information_input=0.0, information_target=0.0, distortion=8 / 9, directions=0),
    _dual(0.8, 0.1, information_input=0.0, information_target=0.0, distortion=8 / 9, directions=0),
    _dual(0.6, 4.0, information_input=0.5 * np.log(2.25), distortion=0.125, directions=1),
]


def matched_pair(correlations: tuple[float, ...], d_x: int, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (n, d_x) and targets (n, k) whose moments up to the second are exactly those of a Gaussian law.

    X is white and mixed by a rotation, Y is white, and their canonical correlations are as given. Averages of quadratic
    functions over these samples are therefore averages over the law.
    """
    random, k = np.random.default_rng(seed), len(correlations)
    columns = random.normal(size=(n, d_x + k))
    columns -= columns.mean(axis=0, keepdims=True)
    white = np.linalg.qr(columns)[0] * np.sqrt(n)
    own, rho = white[:, :d_x], np.array(correlations)
    target = rho * own[:, :k] + np.sqrt(1 - rho**2) * white[:, d_x:]
    rotation = np.linalg.qr(random.normal(size=(d_x, d_x)))[0]
    return own @ rotation.T, target


@dataclass(frozen=True)
class KnownEncoding:
    """Exact informations of z ~ N(mean_i, std_i²), one number, for equally likely inputs i; in nats."""

    information_input: float
    information_target: float
    rate: float


def scalar_encoding(
    mean: np.ndarray, std: np.ndarray, probabilities: np.ndarray, log_marginal, nodes: int = 6001
) -> KnownEncoding:
    """By the trapezoidal rule over z: I(X;Z), I(Z;Y) under p(y|x) (n, C), and E log e(z|x) / r(z)."""
    z = np.linspace((mean - 10 * std).min(), (mean + 10 * std).max(), nodes)
    step, size, own = z[1] - z[0], len(mean), -0.5 * np.mean(np.log(2 * np.pi * np.e * std**2))
    density, joint = np.zeros(nodes), np.zeros((nodes, probabilities.shape[1]))
    for begin in range(0, size, 256):
        rows = slice(begin, begin + 256)
        each = np.exp(-0.5 * ((z[:, None] - mean[None, rows]) / std[None, rows]) ** 2)
        each /= std[None, rows] * np.sqrt(2 * np.pi) * size
        density += each.sum(axis=1)
        joint += each @ probabilities[rows]

    def entropy(values):
        positive = values[values > 0]
        return -np.sum(positive * np.log(positive))

    prior = probabilities.mean(axis=0)
    given = entropy(joint) * step - entropy(density) * step
    rate = own - np.sum(density * log_marginal(z)) * step
    return KnownEncoding(float(entropy(density) * step + own), float(entropy(prior) - given), float(rate))
