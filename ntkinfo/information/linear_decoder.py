"""What the output says about continuous targets, bounded from below by the best linear-Gaussian decoder."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ntkinfo.core import checks
from ntkinfo.core.arrays import Array, to_numpy
from ntkinfo.core.records import Estimate

EXACT = 1e-28  # unexplained share that rounding cannot tell from zero


@dataclass(frozen=True)
class GaussianTargetInformation:
    """Lower bound on I(Z;Y) for continuous targets, in nats.

    Args:
        value: the bound, -½ log det of the share of the targets' covariance that the decoder leaves unexplained.
        unexplained: eigenvalues of that share, (rank,), between 0 and 1, ascending.
        rank: number of directions in which the targets vary.
        dropped: directions of the targets that were left out because they do not vary (one-hot targets have one).
    """

    value: Estimate
    unexplained: Float[np.ndarray, " rank"]
    rank: int
    dropped: int


def information_target_gaussian(
    mean: Float[Array, "m C"],
    variance: Float[Array, " m"],
    targets: Float[Array, "m D"],
    rank_tolerance: float = 1e-10,
) -> GaussianTargetInformation:
    """`E log q(y|z) + h(Y)` with q the best linear decoder with Gaussian noise, and h(Y) that of a Gaussian.

    Over x uniform on the m evaluation inputs and over the ensemble, the best q(y|z) = N(A z + b, R) gives
    `E log q = -½ log det(2πe R)`. The entropy of m given targets is not known (as a law on m points they have no
    density), so h(Y) is taken as that of a Gaussian of their covariance S, and the result is `-½ log det(S^{-1} R)`:
    minus half the sum of log(1 - ρ²) over the canonical correlations of Z and Y.

    Args:
        mean: mean output at each evaluation input, (m, C).
        variance: variance of every output there, (m,).
        targets: (m, D).
        rank_tolerance: directions in which the targets' deviation is below this share of the largest are dropped.

    Returns:
        The bound with what was dropped. It is 0 where the targets are the same for every input, and infinite where the
        output gives a direction of the targets to rounding (a share below 1e-28 of its variance unexplained).

    Raises:
        ValueError: shapes that do not fit, NaN or infinite values, negative variances.

    Fails when Y is not Gaussian: h(Y) is then smaller, and the value can exceed I(Z;Y) by as much as the relative
    entropy of the law of Y to a Gaussian. It is a genuine lower bound for Gaussian targets, up to the sampling error
    of m inputs: with m not well above C + D the correlations are fitted to chance.
    Source: theory §3; Barber & Agakov 2003, "The IM algorithm".
    """
    checks.shape("mean", mean, (None, None), "one row of outputs for each evaluation input")
    checks.shape("variance", variance, (mean.shape[0],), "one output variance for each evaluation input")
    checks.shape("targets", targets, (mean.shape[0], None), "one row of targets for each evaluation input")
    for name, array in (("mean", mean), ("variance", variance), ("targets", targets)):
        checks.finite(name, array)
    if float(np.min(to_numpy(variance))) < 0:
        raise ValueError("variance holds negative values; variances are 0 or greater")
    white, dropped = _whitened(to_numpy(targets), rank_tolerance)
    if white.shape[1] == 0:
        nothing = Estimate(0.0, 0.0, "lower bound", "0: the targets are the same for every input")
        return GaussianTargetInformation(nothing, np.empty(0), 0, dropped)
    left = np.linalg.eigvalsh(_unexplained(to_numpy(mean), float(np.mean(to_numpy(variance))), white))
    left = np.clip(left, 0.0, 1.0)  # rounding only: the exact eigenvalues lie there
    exact = bool(np.any(left < EXACT))
    value = np.inf if exact else float(-0.5 * np.sum(np.log(left)))
    method = f"best linear-Gaussian decoder, h(Y) Gaussian, {dropped} constant direction(s) of the targets dropped"
    rounding = 0.0 if exact else 1e-14 * float(np.sum(1 / np.sqrt(left)))
    return GaussianTargetInformation(Estimate(value, rounding, "lower bound", method), left, white.shape[1], dropped)


def _whitened(targets: Float[np.ndarray, "m D"], tolerance: float) -> tuple[np.ndarray, int]:
    """Centred targets turned into uncorrelated columns of unit variance, and the number of directions dropped."""
    same = np.all(targets == targets[:1], axis=0, keepdims=True)  # their mean need not equal them in floating point
    centred = np.where(same, 0.0, targets - np.mean(targets, axis=0, keepdims=True))
    left, deviation, _ = np.linalg.svd(centred, full_matrices=False)
    kept = deviation > tolerance * max(float(deviation[0]), np.finfo(float).tiny)
    return left[:, kept] * np.sqrt(len(targets)), targets.shape[1] - int(np.sum(kept))


def _unexplained(
    mean: Float[np.ndarray, "m C"], variance: float, white: Float[np.ndarray, "m r"]
) -> Float[np.ndarray, "r r"]:
    """Covariance of the decoder's residual: a sum of squares, so that no digits are lost where it is small.

    The decoder is ridge regression of the targets on the mean outputs with the mean variance as the ridge; the residual
    is that of the regression plus the noise that passes through it.
    """
    m, outputs = mean.shape
    centred = mean - np.mean(mean, axis=0, keepdims=True)
    rows = np.concatenate([centred, np.sqrt(m * variance) * np.eye(outputs)])
    wanted = np.concatenate([white, np.zeros((outputs, white.shape[1]))])
    decoder = np.linalg.lstsq(rows, wanted, rcond=None)[0]
    residual = wanted - rows @ decoder
    return residual.T @ residual / m
