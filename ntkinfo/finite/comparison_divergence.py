"""Relative entropy of the Gaussian fitted to the members from the law, and what chance alone makes of it.

A Gaussian is fitted to M members: C means, and one covariance S for all outputs with ν = C(M − 1) degrees of freedom.
If the members are drawn from the law, W = Σ^(−½) S Σ^(−½) is Wishart, νW ~ W_q(ν, I), independent of the means, and

    KL = ½ [ C (tr W − q − log det W) + Σ_c |Σ^(−½)(m_c − μ_c)|² ]

has exactly the mean and variance that `chance` gives (ψ, ψ₁ the di- and trigamma functions):

    E log det W = Σ_i ψ((ν − i + 1)/2) + q log(2/ν),   Var log det W = Σ_i ψ₁((ν − i + 1)/2),   i = 1 … q,
    E tr W = q,   Var tr W = Cov(tr W, log det W) = 2q/ν,   M |Σ^(−½)(m − μ)|² ~ χ²_qC.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from jaxtyping import Float
from scipy.special import digamma, polygamma

from ntkinfo.core import checks
from ntkinfo.finite.comparison_moments import Moments


@dataclass(frozen=True)
class Chance:
    """Mean and standard deviation of the fitted relative entropy, in nats, where the members are drawn from the law."""

    mean: float
    std: float


def chance(members: int, outputs: int, inputs: int = 1) -> Chance:
    """Exact mean and standard deviation, in nats, of the relative entropy fitted to members of the law.

    Args:
        members: number of members M.
        outputs: number of outputs C, independent with one covariance.
        inputs: number of inputs q that are taken jointly.

    Raises:
        ValueError: no more degrees of freedom than inputs: the fitted covariance is singular.
    """
    checks.whole("members", members, least=2)
    freedom = outputs * (members - 1)
    if freedom <= inputs + 1:
        raise ValueError(
            f"{members} members of {outputs} output(s) give {freedom} degrees of freedom for a covariance of {inputs} "
            "inputs; take more members or fewer inputs"
        )
    halves = (freedom - np.arange(inputs)) / 2
    log_mean = float(np.sum(digamma(halves)) + inputs * np.log(2 / freedom))
    spread = float(np.sum(polygamma(1, halves))) - 2 * inputs / freedom
    mean = 0.5 * (-outputs * log_mean + inputs * outputs / members)
    variance = 0.25 * (outputs**2 * spread + 2 * inputs * outputs / members**2)
    return Chance(mean, float(np.sqrt(variance)))


def divergence_per_input(moments: Moments, variance: Float[np.ndarray, "t p"]) -> Float[np.ndarray, "t p"]:
    """KL(fitted Gaussian ‖ law) in nats at every time and input, summed over the outputs, as it comes out.

    Subtract `chance(M, C).mean` for the bias.
    """
    ratio = moments.variance / variance
    moved = np.sum(moments.offset**2, axis=2) / variance
    return 0.5 * (moments.outputs * (ratio - 1 - np.log(ratio)) + moved)


def divergence_joint(
    outputs: Float[np.ndarray, "t m q c"], mean: Float[np.ndarray, "t q c"], lower: Float[np.ndarray, "t q q"]
) -> Float[np.ndarray, " t"]:
    """KL(fitted Gaussian ‖ law) in nats of q inputs' outputs together, at every time, as it comes out.

    Args:
        outputs: (T, M, q, C), of the members.
        mean: (T, q, C), the law's.
        lower: (T, q, q), Cholesky factors of the law's covariance.
    """
    found = []
    for some, centre, factor in zip(outputs, mean, lower, strict=True):
        white = scipy.linalg.solve_triangular(factor, _columns(some - centre[None]), lower=True)
        white = white.reshape(white.shape[0], len(some), -1)
        middle = white.mean(axis=1)
        left = (white - middle[:, None]).reshape(len(white), -1)
        count = centre.shape[1]
        fitted = left @ left.T / (count * (len(some) - 1))
        spread = np.trace(fitted) - len(fitted) - np.linalg.slogdet(fitted)[1]
        found.append(0.5 * (count * spread + np.sum(middle**2)))
    return np.array(found)


def _columns(outputs: Float[np.ndarray, "m q c"]) -> Float[np.ndarray, "q k"]:
    """Every output of every member as a column over the inputs."""
    return np.moveaxis(outputs, 1, 0).reshape(outputs.shape[1], -1)


def inputs_together(
    covariance: Float[np.ndarray, "t q q"], count: int, least: float
) -> tuple[list[int], Float[np.ndarray, "t k k"]]:
    """The first of several inputs whose outputs do not determine each other, and the factors of their covariance.

    Args:
        covariance: (T, q, q), the law's at every time.
        count: most inputs that are taken.
        least: share of an output's variance that those taken before have to leave open, at every time.

    Returns:
        Places of at most `count` inputs, in the order given, and (T, k, k) Cholesky factors of their covariance.
    """
    kept: list[int] = []
    lower = np.zeros((len(covariance), 0, 0))
    for place in range(covariance.shape[1]):
        own = covariance[:, place, place]
        along = np.linalg.solve(lower, covariance[:, kept, place, None])[..., 0]
        left = own - np.sum(along**2, axis=1)
        if not np.all((left > least * own) & (left > 0)):
            continue
        row = np.concatenate([along, np.sqrt(left)[:, None]], axis=1)
        lower = np.concatenate([np.pad(lower, ((0, 0), (0, 0), (0, 1))), row[:, None]], axis=1)
        kept.append(place)
        if len(kept) == count:
            break
    return kept, lower
