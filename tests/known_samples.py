"""Truths for estimators on samples and activations: binned entropies, joint laws with known information, noisy layers.

Informations are in nats; `BIT` converts. The laws of continuous pairs and their informations are those of the samplers
of Czyż et al. 2023; tests/information/test_samples_known.py recomputes what has a closed form or an integral.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

BIT = float(np.log(2))


@dataclass(frozen=True)
class KnownBinned:
    """Activations whose binned informations are known; edges of the bins, labels or None, weights or None."""

    name: str
    activations: np.ndarray
    edges: np.ndarray
    entropy: float
    occupied: int
    clipped: int
    labels: np.ndarray | None = None
    information_target: float | None = None
    weights: np.ndarray | None = None


@dataclass(frozen=True)
class KnownSampler:
    """A joint law of (X, Y) with its mutual information.

    Args:
        name: what it is.
        draw: (number, generator) to x (n, d_x) and y (n, d_y).
        information: I(X;Y) in nats.
        digits: half a unit of the last place of the answer.
        bias: what a nearest-neighbour estimate from 2000 draws may be off by, beyond its standard error: 0 where it has
            no visible bias; the high-dimensional and heavy-tailed laws are known to be underestimated.
    """

    name: str
    draw: Callable[[int, np.random.Generator], tuple[np.ndarray, np.ndarray]]
    information: float
    digits: float = 5.1e-6
    bias: float = 0.0


def _share_entropy(*counts: float) -> float:
    share = np.array(counts, dtype=float) / np.sum(counts)
    return float(-np.sum(share * np.log(share)))


def binned() -> list[KnownBinned]:
    edges = np.linspace(-1, 1, 31)
    bits = ((np.arange(64)[:, None] >> np.arange(6)[None, :]) & 1) * 1.8 - 0.9
    four = np.array([[-0.9, 0.1], [-0.91, 0.11], [0.9, 0.1], [0.9, -0.5]])
    return [
        KnownBinned("all six-bit patterns", bits, edges, 6 * BIT, 64, 0, np.arange(64) % 2, BIT),
        KnownBinned("one point", np.full((9, 4), 0.3), edges, 0.0, 1, 0, np.arange(9) % 3, 0.0),
        KnownBinned(
            "two of four share their bins",
            four,
            edges,
            _share_entropy(2, 1, 1),
            3,
            0,
            np.array([0, 0, 1, 1]),
            BIT,
        ),
        # The published program wraps −1.5 around into the bin of +1; both ends must stay apart.
        KnownBinned(
            "values outside do not wrap around",
            np.array([[-1.5], [-1.0], [1.0], [7.0]]),
            edges,
            BIT,
            2,
            2,
            np.array([0, 0, 1, 1]),
            BIT,
        ),
        KnownBinned(
            "weights",
            np.array([[-0.5], [0.5], [0.5]]),
            edges,
            _share_entropy(0.5, 0.5),
            2,
            0,
            np.array([0, 0, 1]),
            # H(T) − H(T|Y): given Y = 0 (weight 3/4) T is −0.5 with 2/3; given Y = 1 it is 0.5.
            _share_entropy(0.5, 0.5) - 0.75 * _share_entropy(2, 1),
            np.array([0.5, 0.25, 0.25]),
        ),
    ]


def correlated(correlation: float):
    """X and Y standard normal with the given correlation."""

    def draw(n: int, random: np.random.Generator):
        x, noise = random.standard_normal((2, n, 1))
        return x, correlation * x + np.sqrt(1 - correlation**2) * noise

    return draw


def dense(size: int, correlation: float = 0.5):
    """All 2·size coordinates standard normal, every pair with the same correlation."""

    def draw(n: int, random: np.random.Generator):
        common = np.sqrt(correlation) * random.standard_normal((n, 1))
        joint = common + np.sqrt(1 - correlation) * random.standard_normal((n, 2 * size))
        return joint[:, :size], joint[:, size:]

    return draw


def additive(width: float):
    """X uniform on [0, 1] and Y = X + noise uniform on [−width, width]."""

    def draw(n: int, random: np.random.Generator):
        x = random.uniform(size=(n, 1))
        return x, x + random.uniform(-width, width, size=(n, 1))

    return draw


def student(size: int):
    """X and Y together from the Student law with one degree of freedom and identity dispersion."""

    def draw(n: int, random: np.random.Generator):
        joint = random.standard_normal((n, 2 * size)) / np.sqrt(random.chisquare(1, size=(n, 1)))
        return joint[:, :size], joint[:, size:]

    return draw


def tails_pulled_in(draw: Callable) -> Callable:
    """The same law in coordinates arcsinh(x), arcsinh(y): the information is the same, the tails are not."""

    def pulled(n: int, random: np.random.Generator):
        x, y = draw(n, random)
        return np.arcsinh(x), np.arcsinh(y)

    return pulled


def discrete_plus_uniform(values: int):
    """X uniform on whole numbers 0 to values − 1 and Y = X + noise uniform on [0, 2]."""

    def draw(n: int, random: np.random.Generator):
        x = random.integers(values, size=(n, 1)).astype(float)
        return x, x + random.uniform(0, 2, size=(n, 1))

    return draw


def flipped(probability: float):
    """X a fair bit and Y the bit behind a binary symmetric channel."""

    def draw(n: int, random: np.random.Generator):
        x = random.integers(2, size=(n, 1)).astype(float)
        return x, np.where(random.uniform(size=(n, 1)) < probability, 1 - x, x)

    return draw


FIVE_VALUES = float(np.log(5) - 0.8 * BIT)
FLIPPED = float(BIT + 0.1 * np.log(0.1) + 0.9 * np.log(0.9))

SAMPLERS = [
    KnownSampler("independent", correlated(0.0), 0.0),
    KnownSampler("binormal 0.75", correlated(0.75), 0.41334, bias=0.01),
    KnownSampler("dense, 2 and 2", dense(2), 0.29389, bias=0.01),
    KnownSampler("dense, 5 and 5", dense(5), 0.59281, bias=0.06),
    KnownSampler("additive noise 0.1", additive(0.1), 1.70944, bias=0.06),
    KnownSampler("additive noise 0.75", additive(0.75), 0.33333, bias=0.02),
    KnownSampler("Student, 1 and 1, tails pulled in", tails_pulled_in(student(1)), 0.22417, bias=0.02),
    KnownSampler("Student, 2 and 2, tails pulled in", tails_pulled_in(student(2)), 0.43195, bias=0.08),
    KnownSampler("five values behind uniform noise", discrete_plus_uniform(5), FIVE_VALUES, 1e-12, bias=0.01),
    KnownSampler("binary symmetric channel", flipped(0.1), FLIPPED, 1e-12, bias=0.01),
]
# Known to be far from what nearest neighbours can give: underestimated by at least the stated amount.
OUT_OF_REACH = [
    KnownSampler("dense, 25 and 25", dense(25), 1.29218, bias=0.2),
    KnownSampler("dense, 50 and 50", dense(50), 1.62427, bias=0.3),
    KnownSampler("Student, 2 and 2, as it is", student(2), 0.43195, bias=0.1),
]
