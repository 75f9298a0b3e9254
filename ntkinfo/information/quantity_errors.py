"""What the errors of means and variances do to the quantities that are made of them, to first order."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from ntkinfo.core.arrays import Array, to_numpy
from ntkinfo.information.error_growth import EPSILON, product
from ntkinfo.information.losses import time_blocks


def losses(
    values: dict[str, Float[Array, " t"]],
    mean_error: Float[np.ndarray, "t p"],
    variance_error: Float[np.ndarray, "t p"],
    outputs: int,
) -> dict[str, np.ndarray]:
    """Errors of the losses of `losses.closed_form` at unit observation variance, from those of mean and variance."""
    squared = np.mean(mean_error**2, axis=1)
    bias = to_numpy(values["bias_squared"])
    moved = 2 * product(squared, bias) ** 0.5 + squared
    spread = outputs * np.mean(variance_error, axis=1)
    errors = {
        "loss_mean": 0.5 * moved,
        "bias_squared": moved,
        "variance": spread,
        "loss_gibbs": 0.5 * (moved + spread),
        "loss_gibbs_nll": 0.5 * (moved + spread),
        "loss_bayes": 0.5 * (moved + spread + product(np.max(variance_error, axis=1), bias)),
    }
    return {name: error + 8 * EPSILON * np.abs(to_numpy(values[name])) for name, error in errors.items()}


def undecided(
    mean: Float[Array, "t p C"],
    labels: Int[np.ndarray, " p"],
    mean_error: Float[np.ndarray, "t p"],
    ties: Float[np.ndarray, "t p"] | float = 0.0,
) -> Float[np.ndarray, " t"]:
    """Share of the inputs whose class lies within the error of the mean; exact ties of exact means are decided.

    Args:
        mean: of the outputs.
        labels: class of each input.
        mean_error: bound on the error of the mean, in the norm over the outputs; 0 where it is exact.
        ties: what was taken for equal outputs.
    """
    m = to_numpy(mean)
    if m.shape[2] == 1:
        margin = np.abs(m[:, :, 0])
    else:
        margin = np.concatenate([_margin(m[part], labels) for part in time_blocks(m)])
    return np.mean((margin <= np.maximum(2**0.5 * mean_error, ties)) & (mean_error > 0), axis=1)


def _margin(mean: Float[np.ndarray, "t p C"], labels: Int[np.ndarray, " p"]) -> Float[np.ndarray, "t p"]:
    """Distance of the output of the right class from the largest other one."""
    # Inputs neighbour each other in memory, so that the largest is taken row by row.
    rivals = np.array(mean.swapaxes(1, 2), order="C")
    inputs = np.arange(len(labels))
    own = rivals[:, labels, inputs]
    rivals[:, labels, inputs] = -np.inf
    return np.abs(own - np.max(rivals, axis=1))


def member(
    mean: Float[np.ndarray, "p C"],
    variance: Float[np.ndarray, " p"],
    labels: Int[np.ndarray, " p"],
    mean_error: Float[np.ndarray, " p"],
    relative_variance_error: Float[np.ndarray, " p"],
    ties: Float[np.ndarray, " p"] | float = 0.0,
) -> float:
    """Error of a member's expected error rate at one time, by the slope of Φ at the nearest rival, for all rivals."""
    std, rivals = np.sqrt(2 * variance), max(mean.shape[1] - 1, 1)
    if mean.shape[1] == 1:
        gap, std = np.abs(mean[:, 0]), std / 2**0.5
    else:
        away = np.abs(mean - mean[np.arange(len(mean)), labels][:, None])
        away[np.arange(len(mean)), labels] = np.inf
        gap = np.min(away, axis=1)
    moved = np.where(mean_error > 0, np.maximum(2**0.5 * mean_error, ties), 0.0)
    nearest = np.maximum(gap - moved, 0.0)
    spread = std > 0
    z = np.divide(nearest, std, out=np.full_like(gap, np.inf), where=spread)
    slope = 0.4 * np.exp(-0.5 * np.minimum(z, 40.0) ** 2)
    shift = np.divide(moved, std, out=np.zeros_like(gap), where=spread)
    smooth = (
        rivals
        * slope
        * (shift + 0.5 * np.where(spread, np.minimum(z, 40.0), 0.0) * np.minimum(relative_variance_error, 1e300))
    )
    return float(np.mean(np.where(spread, np.minimum(smooth, 1.0), (gap <= moved) & (moved > 0))))


def training_set(
    value: Float[np.ndarray, " t"],
    start: Float[np.ndarray, " p"],
    mean_error: Float[np.ndarray, "t p"],
    variance: Float[np.ndarray, "t p"],
    relative_variance_error: Float[np.ndarray, "t p"],
    outputs: int,
) -> Float[np.ndarray, " t"]:
    """Error of the relative entropy per input, averaged over the inputs; infinite where that is."""
    scale = np.where(start > 0, start, 1.0)[None, :]
    squared = np.mean(mean_error**2 / scale, axis=1)
    size = np.where(np.isfinite(value), value, 0.0)
    spread = np.mean(relative_variance_error * (1 + variance / scale), axis=1)
    error = product(squared, 2 * size) ** 0.5 + 0.5 * squared + 0.5 * outputs * spread + 8 * EPSILON * (outputs + size)
    return np.where(np.isfinite(value), error, np.inf)


def information(
    shift: Float[np.ndarray, " p"], relative_variance_error: Float[np.ndarray, " p"], outputs: int
) -> float:
    """Error of I(Z;X) or I(Z;Y) at one time.

    One component's change by δ in units of its deviation turns its log density by about δ, and the information by that
    times the log of the number of inputs over their number.

    Args:
        shift: error of each mean over its deviation; 0 for an output without variance.
        relative_variance_error: of each variance.
        outputs: how many there are.
    """
    most = float(np.log(len(shift)))
    turned = np.minimum(shift + (0.5 * outputs) ** 0.5 * relative_variance_error, 1.0)
    # Sums over the quadrature's nodes end at some hundred roundings.
    return most * (float(np.mean(turned)) + 256 * EPSILON)


def labels(
    value: Float[np.ndarray, "t p"],
    outputs: int,
    shift: Float[np.ndarray, "t p"],
    log_variance: Float[np.ndarray, "t p"],
    relative_variance_error: Float[np.ndarray, "t p"],
) -> Float[np.ndarray, "t p"]:
    """Error of ½C log(1 + m/v): ½C (δm + m δv/v)/(m + v); infinite where that is.

    Args:
        value: ½C log(1 + m/v).
        outputs: C.
        shift: error of √m.
        log_variance: log v.
        relative_variance_error: δv/v.
    """
    known = np.isfinite(value) & np.isfinite(log_variance)
    ratio = np.where(known, 2 * value / outputs, 0.0)
    share = -np.expm1(-ratio)
    # The shift in units of (m + v)^½, which may be too small for a floating-point number.
    with np.errstate(over="ignore"):
        moved = shift * np.exp(-0.5 * (np.where(known, log_variance, 0.0) + ratio))
    moved = np.where(np.isinf(shift), np.inf, np.minimum(moved, 1e100))
    error = moved * (2 * np.sqrt(share) + moved) + product(relative_variance_error, np.where(known, share, 0.0))
    return np.where(known, 0.5 * outputs * error, np.where(np.isinf(value), np.inf, 0.0))
