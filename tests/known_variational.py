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
