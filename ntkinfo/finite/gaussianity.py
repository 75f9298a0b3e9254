"""How far from normal the members' outputs are in shape, whatever their means and variances.

Per input, standardised by the members' own mean and variance: skewness and excess kurtosis, pooled over the outputs.
Jointly over a few inputs and all outputs, made white by the members' own covariance: the mean fourth power of a
member's distance from the centre (Mardia 1970), which tells a spread that varies from member to member (what finite
width does first: outputs are normal given the hidden layers), and skewness and kurtosis along random directions.

All of these have a null law that depends on the numbers of members, inputs and outputs alone. Here they are centred by
exact means and scaled by large-sample deviations; `comparison` simulates the law of the largest among them. The means
come from this: squared lengths after whitening are ν times diagonal elements of a projection of rank q that is
uniformly random in ν = C(M − 1) dimensions.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
from jaxtyping import Float

from ntkinfo.core import checks
from ntkinfo.finite.comparison_moments import Moments

LEAST_MEMBERS = 20  # below, fourth moments say nothing


def skewness_scores(moments: Moments) -> Float[np.ndarray, "t p"]:
    """Skewness in units of √(6/(MC))."""
    return moments.skewness / np.sqrt(6 / (moments.members * moments.outputs))


def kurtosis_scores(moments: Moments) -> Float[np.ndarray, "t p"]:
    """Excess kurtosis less its mean −6/(ν + 2), in units of √(24/(MC))."""
    mean = -6 / (moments.freedom + 2)
    return (moments.kurtosis - mean) / np.sqrt(24 / (moments.members * moments.outputs))


def whitened(outputs: Float[np.ndarray, "t m q c"]) -> Float[np.ndarray, "t m k"]:
    """Outputs of q inputs about their mean, one covariance for all outputs taken out; k = qC numbers a member.

    Raises:
        ValueError: too few members, or inputs whose outputs depend on each other to rounding.
    """
    members, inputs, count = outputs.shape[1:]
    if members < LEAST_MEMBERS or count * (members - 1) <= inputs:
        raise ValueError(
            f"{members} members are too few to judge the shape of {inputs} inputs' outputs together; take at least "
            f"{max(LEAST_MEMBERS, inputs // count + 2)}"
        )
    left = np.asarray(outputs, dtype=np.float64)
    left = left - left.mean(axis=1, keepdims=True)
    white = np.empty((*left.shape[:2], inputs * count))
    for index, some in enumerate(left):
        columns = np.moveaxis(some, 1, 0).reshape(inputs, -1)
        try:
            factor = np.linalg.cholesky(columns @ columns.T / (count * (members - 1)))
        except np.linalg.LinAlgError:
            raise ValueError(
                "the outputs at the inputs that are taken jointly depend on each other to rounding; take fewer inputs, "
                "or inputs further apart"
            ) from None
        solved = scipy.linalg.solve_triangular(factor, columns, lower=True)
        white[index] = np.moveaxis(solved.reshape(inputs, members, count), 0, 1).reshape(members, -1)
    return white


def joint_kurtosis_scores(white: Float[np.ndarray, "t m k"], outputs: int) -> Float[np.ndarray, " t"]:
    """Mean over the members of |z|⁴ less its mean under normality, in units of √(8k(k + 2)/M).

    Args:
        white: from `whitened`.
        outputs: the number of outputs C that share a covariance.
    """
    members, size = white.shape[1:]
    distance = np.einsum("tmk,tmk->tm", white, white)
    excess = np.mean(distance**2, axis=1) - _mean_fourth_power(members, outputs, size // outputs)
    return excess / np.sqrt(8 * size * (size + 2) / members)


def _mean_fourth_power(members: int, outputs: int, inputs: int) -> float:
    """E|z|⁴ of normal outputs after whitening, exactly."""
    freedom = outputs * (members - 1)
    own = inputs * (inputs + 2) / (freedom * (freedom + 2))
    other = (inputs**2 / freedom - own) / (freedom - 1)
    return (freedom * (1 - 1 / members)) ** 2 * outputs * (own + (outputs - 1) * other)


def directions(size: int, count: int, seed: int) -> Float[np.ndarray, "k d"]:
    """Unit vectors in random directions, as columns."""
    checks.whole("count", count)
    drawn = np.random.default_rng(seed).standard_normal((size, count))
    return drawn / np.linalg.norm(drawn, axis=0, keepdims=True)


def projection_scores(
    white: Float[np.ndarray, "t m k"], along: Float[np.ndarray, "k d"]
) -> tuple[Float[np.ndarray, "t d"], Float[np.ndarray, "t d"]]:
    """Skewness, and excess kurtosis less −6/(M + 1), along each direction, in units of √(6/M) and √(24/M)."""
    members = white.shape[1]
    seen = white @ along
    square = seen * seen
    second = square.mean(axis=1)
    skewness = np.mean(square * seen, axis=1) / second**1.5
    kurtosis = np.mean(square * square, axis=1) / second**2 - 3 + 6 / (members + 1)
    return skewness / np.sqrt(6 / members), kurtosis / np.sqrt(24 / members)
