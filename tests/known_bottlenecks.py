"""Discrete problems with known bottlenecks: corners of methods sheet C and D, each with its source and its digits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import brentq

from ntkinfo.bottleneck.problems import DiscreteProblem, binary_symmetric, deterministic_labels, erasure

BIT = float(np.log(2))


@dataclass(frozen=True)
class KnownBottleneck:
    """A problem with its curve.

    Args:
        name: what it is.
        problem: the law of X and Y.
        curve: I(T;Y) in nats at I(T;X) in nats, elementwise.
        critical: β_c of the bottleneck.
        points: (β, I_X, I_Y) in bits, to five digits.
        source: where the answer comes from.
    """

    name: str
    problem: DiscreteProblem
    curve: Callable[[np.ndarray], np.ndarray]
    critical: float
    source: str
    points: list[tuple[float, float, float]] = field(default_factory=list)


def binary_entropy(p: float) -> float:
    """h(p) in nats."""
    return float(-sum(q * np.log(q) for q in (p, 1 - p) if q > 0))


def gerber(flip: float) -> Callable[[np.ndarray], np.ndarray]:
    """log 2 - h(flip * h⁻¹(log 2 - I_X)), by root finding."""

    def at(given: float) -> float:
        if given <= 0:
            return 0.0
        if given >= BIT:
            return BIT - binary_entropy(flip)
        inner = brentq(lambda p: binary_entropy(p) - (BIT - given), 1e-300, 0.5, xtol=1e-15)
        return BIT - binary_entropy(inner * (1 - flip) + (1 - inner) * flip)

    return np.vectorize(at, otypes=[float])


def _labels() -> KnownBottleneck:
    labels = np.array([0, 0, 0, 1, 1, 2])
    share = np.bincount(labels) / len(labels)
    entropy = float(-np.sum(share * np.log(share)))
    source = "labels without noise: I_Y = min(I_X, H(Y)) (Kolchinsky, Tracey & Van Kuyk 2019)"
    return KnownBottleneck("labels", deterministic_labels(labels), lambda i: np.minimum(i, entropy), 1.0, source)


KNOWN = [
    KnownBottleneck(
        "binary symmetric, 0.1",
        binary_symmetric(0.1),
        gerber(0.1),
        1.5625,
        "Mrs. Gerber's lemma (Wyner & Ziv 1973); β_c = 1/(1-2δ)²",
        [(2.0, 0.69643, 0.40723), (3.0, 0.94895, 0.51660)],
    ),
    KnownBottleneck(
        "binary symmetric, 0.25",
        binary_symmetric(0.25),
        gerber(0.25),
        4.0,
        "Mrs. Gerber's lemma",
    ),
    KnownBottleneck("erasure, 0.3", erasure(0.3), lambda i: 0.7 * np.minimum(i, BIT), 1 / 0.7, "I_Y = (1-ε) I_X"),
    _labels(),
]
