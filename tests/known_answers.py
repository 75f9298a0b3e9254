"""Problems that carry their exact answer; every estimator meets every problem that it applies to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class KnownMixture:
    """Output law on m equally likely inputs, with the information it carries, in nats.

    Args:
        name: what the problem is.
        mean: mean outputs, (m, C).
        variance: variances of the outputs, (m,).
        information_input: I(Z;X).
        source: where the answer comes from.
        tolerance: digits of the answer: half a unit of its last place.
        labels: class of each input, (m,), or None.
        information_target: I(Z;Y), or None.
        lower: pairwise lower bound on I(Z;X), or None.
        upper: pairwise upper bound on I(Z;X), or None.
    """

    name: str
    mean: np.ndarray
    variance: np.ndarray
    information_input: float
    source: str
    tolerance: float = 1e-12
    labels: np.ndarray | None = None
    information_target: float | None = None
    lower: float | None = None
    upper: float | None = None


BIT = float(np.log(2))


def _column(*values: float) -> np.ndarray:
    return np.array(values, dtype=float)[:, None]


def _two_points(std: float, bits: float, **more) -> KnownMixture:
    return KnownMixture(
        f"two points, noise {std}",
        _column(-1, 1),
        np.full(2, std**2),
        bits * BIT,
        "Goldfeld et al. 2019, two-point input: published to five digits",
        5.1e-6 * BIT,
        labels=np.array([0, 1]),
        information_target=bits * BIT,
        **more,
    )


def _neuron(weight: float, bits: float) -> KnownMixture:
    mean = np.tanh(weight * (np.array([-3.0, -1, 1, 3]) - 2))[:, None]
    source = "Goldfeld et al. 2019, one neuron tanh(w (x - 2)): recomputed to four digits"
    return KnownMixture(f"one neuron, weight {weight}", mean, np.full(4, 0.01), bits * BIT, source, 5.1e-5 * BIT)


def _separated(m: int, outputs: int) -> KnownMixture:
    mean = 1000.0 * np.arange(m)[:, None] * np.ones((1, outputs))
    labels, log = np.arange(m) % 2, float(np.log(m))
    share = np.bincount(labels) / m
    entropy = float(-np.sum(share * np.log(share)))
    variance = np.linspace(0.5, 2, m)
    name, source = f"{m} separated points, {outputs} outputs", "Z says which input it was: log m"
    return KnownMixture(name, mean, variance, log, source, 1e-12, labels, entropy, log, log)


def _identical(m: int, outputs: int) -> KnownMixture:
    labels = np.arange(m) % 2
    mean, variance = np.full((m, outputs), 0.7), np.full(m, 0.3)
    name, source = f"{m} identical components, {outputs} outputs", "Z does not depend on the input"
    return KnownMixture(name, mean, variance, 0.0, source, 1e-13, labels, 0.0, 0.0, 0.0)


def _discrete() -> KnownMixture:
    mean = np.array([[1.0, 0], [1, 0], [1, 0], [0, 1], [0, 1], [5, 5], [5, 5], [5, 5]])
    share = np.array([3, 2, 3]) / 8
    entropy = float(-np.sum(share * np.log(share)))
    labels = np.array([0, 0, 1, 1, 1, 0, 0, 0])
    conditional = -(5 / 8) * (0.4 * np.log(0.4) + 0.6 * np.log(0.6)) - (3 / 8) * (
        np.log(1 / 3) / 3 + 2 / 3 * np.log(2 / 3)
    )
    source = "no noise: entropy of the distinct outputs"
    target = float(entropy - conditional)
    name = "repeated points without noise"
    return KnownMixture(name, mean, np.zeros(8), entropy, source, 1e-12, labels, target, entropy, entropy)


def _pairs_far_apart() -> KnownMixture:
    """Two-point problems at noise 1, a thousand apart: the pair is known, within it the two-point information."""
    mean = _column(*(1000.0 * pair + sign for pair in range(5) for sign in (-1, 1)))
    value = np.log(5) + 0.3368308203451993
    labels = np.repeat(np.arange(5), 2)
    source = "chain rule: log 5 and the two-point information at noise 1 by quadrature"
    return KnownMixture("five pairs", mean, np.ones(10), value, source, 1e-11, labels, float(np.log(5)))


def _nested(ratio: float, value: float) -> KnownMixture:
    source = "mpmath at 40 digits (tests/information/test_mixtures.py recomputes it)"
    return KnownMixture(f"widths 1 and {ratio:g} about 0", _column(0, 0), np.array([1, ratio**2]), value, source, 1e-10)


MIXTURES = [
    _two_points(0.5, 0.91282),
    _two_points(1.0, 0.48594, lower=0.3161 * BIT, upper=0.8169 * BIT),
    _two_points(2.0, 0.16075),
    *(_neuron(w, bits) for w, bits in ((0.1, 1.1508), (0.3, 1.6884), (1.0, 1.2191), (5.0, 0.8113))),
    *(_separated(m, outputs) for m, outputs in ((2, 1), (7, 1), (50, 3), (100, 10))),
    *(_identical(m, outputs) for m, outputs in ((2, 1), (64, 1), (30, 10))),
    _nested(1e-3, 0.684565979605823223),
    _nested(1e-8, 0.693146857281478034),
    _discrete(),
    _pairs_far_apart(),
]
