"""Problems that carry their exact answer; every estimator meets every problem that it applies to.

`PROBLEMS` is the whole table, of several kinds: output laws on equally likely inputs (`KnownMixture`), entropies of
weighted mixtures (`KnownEntropy`), jointly Gaussian outputs and targets (`KnownPair`), and, from `tests.known_laws`,
training laws (`KnownLaw`) and kernels (`KnownKernel`). tests/information/test_known_answers.py runs the estimators.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from tests.known_laws import KERNELS, LAWS


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


@dataclass(frozen=True)
class KnownEntropy:
    """Differential entropy of a mixture with weights, in nats; mean (m, C), variance (m,), weights (m,)."""

    name: str
    mean: np.ndarray
    variance: np.ndarray
    weights: np.ndarray
    entropy: float
    source: str
    tolerance: float = 1e-11


@dataclass(frozen=True)
class KnownPair:
    """Outputs Z and targets Y that are jointly Gaussian, by m inputs whose covariances are exactly the wanted ones.

    Z = mean + noise of the given variance; mean (m, C), targets (m, D). The answer is I(Z;Y) in nats.
    """

    name: str
    mean: np.ndarray
    variance: np.ndarray
    targets: np.ndarray
    information_target: float
    source: str
    tolerance: float = 1e-10


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
    value = np.log(5) + TWO_POINTS
    labels = np.repeat(np.arange(5), 2)
    source = "chain rule: log 5 and the two-point information at noise 1 by quadrature"
    return KnownMixture("five pairs", mean, np.ones(10), value, source, 1e-11, labels, float(np.log(5)))


def _nested(ratio: float, value: float) -> KnownMixture:
    source = "mpmath at 40 digits (tests/information/test_mixtures.py recomputes it)"
    return KnownMixture(f"widths 1 and {ratio:g} about 0", _column(0, 0), np.array([1, ratio**2]), value, source, 1e-10)


def _normal_quantiles(noise: float) -> KnownMixture:
    """X at m quantiles of the normal law and Z = X + noise: the Gaussian channel, up to O(1/m) of a finer grid."""
    mean = norm.ppf((np.arange(1000) + 0.5) / 1000)[:, None]
    source = "Gaussian pair: ½ log(1 + 1/σ²), with 1000 quantiles for the normal law"
    value = 0.5 * np.log(1 + 1 / noise)
    return KnownMixture(f"Gaussian input, noise {noise}", mean, np.full(1000, noise), float(value), source, 0.002)


def _log_volume(variance: np.ndarray, outputs: int) -> np.ndarray:
    return 0.5 * outputs * np.log(2 * np.pi * np.e * variance)


def _weighted() -> list[KnownEntropy]:
    weights = np.array([0.2, 0.5, 0.3])
    entropy = float(-np.sum(weights * np.log(weights)))
    same, several = np.full(3, 0.4), np.array([0.4, 2.0, 1e-4])
    apart = 1e4 * np.array([[0.0, 1], [2, 0], [-1, -1]])
    known = "H(weights) + mean of the components' entropies"
    found = [
        KnownEntropy(
            f"one Gaussian in three parts, {c} outputs",
            np.full((3, c), 0.7),
            same,
            weights,
            float(_log_volume(same, c)[0]),
            "the components are the same",
        )
        for c in (1, 2)
    ]
    value = entropy + float(weights @ _log_volume(several, 2))
    found.append(KnownEntropy("separated with weights, 2 outputs", apart, several, weights, value, known))
    value = entropy + float(weights @ _log_volume(several, 1))
    found.append(KnownEntropy("separated with weights, 1 output", apart[:, :1], several, weights, value, known))
    diagonal = np.array([[-1.0, -1.0], [1.0, 1.0]]) / np.sqrt(2)
    source = "along the line the two-point information at noise 1, across it a Gaussian"
    value = TWO_POINTS + float(_log_volume(np.ones(1), 2)[0])
    halves = np.full(2, 0.5)
    found.append(KnownEntropy("two points on a diagonal", diagonal, np.ones(2), halves, value, source))
    return found


def _exactly_normal(m: int, size: int) -> np.ndarray:
    """Columns of mean 0 that are uncorrelated and of variance 1 to rounding."""
    random = np.random.default_rng(size)
    columns = random.normal(size=(m, size))
    columns -= columns.mean(axis=0, keepdims=True)
    return np.linalg.qr(columns)[0] * np.sqrt(m)


def _pair(name: str, encoder: np.ndarray, target: np.ndarray, noise: float, source: str) -> KnownPair:
    """Z = encoder·X + √noise N and Y = target·X for X ~ N(0, I)."""
    inputs = _exactly_normal(200, encoder.shape[1])
    own, joint = target @ target.T, target @ encoder.T
    output = encoder @ encoder.T + noise * np.eye(len(encoder))
    left = own - joint @ np.linalg.solve(output, joint.T)
    value = 0.5 * (np.linalg.slogdet(own)[1] - np.linalg.slogdet(left)[1])
    return KnownPair(name, inputs @ encoder.T, np.full(200, noise), inputs @ target.T, float(value), source)


def _pairs() -> list[KnownPair]:
    correlated = np.array([[0.6, 0.8]])
    random = np.random.default_rng(7)
    encoder, target = random.normal(size=(2, 5)), random.normal(size=(3, 5))
    source = "½ log det Σ_Y − ½ log det Σ_Y|Z"
    found = [
        _pair("scalar channel", np.array([[1.0]]), np.array([[1.0]]), 0.25, source),
        _pair("correlation 0.6 behind noise", np.array([[1.0, 0.0]]), correlated, 0.5, source),
        _pair("linear encoder, 2 outputs, 3 targets", encoder, target, 0.3, source),
    ]
    assert abs(found[0].information_target - 0.5 * np.log(5)) < 1e-12
    assert abs(found[1].information_target + 0.5 * np.log(1 - 0.36 / 1.5)) < 1e-12
    return found


TWO_POINTS = 0.3368308203451993  # nats at noise 1, by mpmath: 0.48594 bits

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
    *(_normal_quantiles(noise) for noise in (0.3, 4.0)),
]
PROBLEMS = [*MIXTURES, *_weighted(), *_pairs(), *LAWS, *KERNELS]
