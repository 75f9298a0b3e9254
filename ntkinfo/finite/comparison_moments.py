"""Moments of an ensemble's outputs at every time and input, and how far they are from the law's, in standard errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ntkinfo.core import checks


@dataclass(frozen=True)
class Moments:
    """Moments over the members at every time and input.

    The law's C outputs are independent with one variance, so what concerns variance and shape is pooled over them, each
    about its own mean.

    Args:
        offset: (T, p, C), mean over the members minus the law's mean.
        variance: (T, p), unbiased, pooled over the outputs.
        skewness: (T, p), third central moment over the 3/2 power of the second, pooled alike.
        kurtosis: (T, p), excess: fourth central moment over the square of the second, less 3.
        variance_error: (T, p), standard error of `variance` from the spread of the members' own mean squares: right
            also for outputs that are not normal, or depend on each other within a member.
        members: number of members M.
    """

    offset: Float[np.ndarray, "t p c"]
    variance: Float[np.ndarray, "t p"]
    skewness: Float[np.ndarray, "t p"]
    kurtosis: Float[np.ndarray, "t p"]
    variance_error: Float[np.ndarray, "t p"]
    members: int

    @property
    def outputs(self) -> int:
        """The number of outputs C."""
        return self.offset.shape[2]

    @property
    def freedom(self) -> int:
        """Degrees of freedom C(M − 1) of the variance under the law."""
        return self.outputs * (self.members - 1)


def sample_moments(outputs: np.ndarray, mean: np.ndarray) -> Moments:
    """Moments of the members' outputs.

    Args:
        outputs: (T, M, p, C), of M members at p inputs.
        mean: (T, p, C), the law's.

    Raises:
        ValueError: shapes that do not fit, NaN or infinite outputs, fewer than two members.
    """
    checks.shape("outputs", outputs, (len(mean), None, *mean.shape[1:]), "times, members, inputs, outputs")
    members = outputs.shape[1]
    if members < 2:
        raise ValueError(f"outputs hold {members} member(s); a variance needs at least 2, shape more than 20")
    # Differences from the law first: the mean may be much larger than the spread.
    left = np.asarray(outputs, dtype=np.float64) - mean[:, None]
    checks.finite("outputs minus the law's mean", left)
    offset = left.mean(axis=1)
    left = left - offset[:, None]
    square = left * left
    each = square.mean(axis=3)
    second = each.mean(axis=1)
    count = members * mean.shape[2]
    third = np.einsum("tmpc,tmpc->tp", square, left) / count
    fourth = np.einsum("tmpc,tmpc->tp", square, square) / count
    safe = np.where(second > 0, second, np.nan)
    return Moments(
        offset,
        second * members / (members - 1),
        third / safe**1.5,
        fourth / safe**2 - 3,
        each.std(axis=1, ddof=1) / np.sqrt(members) * members / (members - 1),
        members,
    )


def mean_scores(moments: Moments, variance: Float[np.ndarray, "t p"]) -> Float[np.ndarray, "t p c"]:
    """Mean minus the law's, in units of √(v/M): standard normal under the law.

    Args:
        moments: of the members.
        variance: (T, p), the law's v.
    """
    return moments.offset / np.sqrt(variance / moments.members)[..., None]


def variance_scores(moments: Moments, variance: Float[np.ndarray, "t p"]) -> Float[np.ndarray, "t p"]:
    """Variance minus the law's, in units of its Gaussian standard error v √(2/(C(M − 1))).

    Under the law a χ² shifted to mean 0 and scaled to variance 1.
    """
    return (moments.variance / variance - 1) / np.sqrt(2 / moments.freedom)


def variance_scores_any_shape(moments: Moments, variance: Float[np.ndarray, "t p"]) -> Float[np.ndarray, "t p"]:
    """Variance minus the law's, in units of the standard error that the members' own spread gives."""
    return (moments.variance - variance) / moments.variance_error
