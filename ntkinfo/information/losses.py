"""Losses and classification errors of the ensemble and of its members, in closed form from the Gaussian output law."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from ntkinfo.core import checks
from ntkinfo.core.arrays import Array, namespace

VALUES_AT_ONCE = 1 << 17  # keeps one block of mean outputs in a processor's cache


def closed_form(
    mean: Float[Array, "t m C"],
    variance: Float[Array, "t m"],
    targets: Float[Array, "m C"],
    labels: Int[Array, " m"] | None = None,
    observation_variance: float = 1.0,
    ties: Float[Array, "t m"] | None = None,
) -> dict[str, Float[Array, " t"]]:
    """Losses that follow from mean and variance without any integral, averaged over the m inputs.

    Args:
        mean: mean output at each time and input, (t, m, C).
        variance: variance of every output there, (t, m).
        targets: (m, C).
        labels: class of each input, (m,): 0 to C-1, or 0 and 1 for targets -1 and +1 of a single output. None leaves
            the classification error out.
        observation_variance: of the Gaussian likelihood in the Gibbs and Bayes losses, above zero.
        ties: outputs this close to each other are equal (one output: to 0), (t, m); None compares exactly. Give what
            rounding leaves of equal outputs, `OutputLaw.ties_at`.

    Returns:
        One row (t,) each, losses of one input summed over its outputs:

        - `loss_mean`: ½ |mean - y|², the loss of the ensemble mean,
        - `bias_squared`: |mean - y|²,
        - `variance`: C v, the variance summed over the outputs,
        - `loss_gibbs`: ½ (|mean - y|² + C v), the expected loss of one member,
        - `loss_gibbs_nll`: the expected negative log-likelihood of one member, in nats,
        - `loss_bayes`: -log N(y; mean, (v + observation_variance) I), of the predictive law, in nats,
        - `error_mean`: share of the inputs that the arg-max (or sign) of the mean puts into a wrong class. Where k
          outputs tie for the largest and the right one is among them, 1 - 1/k of an error is counted; a single output
          of exactly 0 counts ½. Only with labels.

    Raises:
        ValueError: shapes that do not fit, labels outside the classes, an observation variance of zero.

    Source: theory §7.
    """
    check_law(mean, variance, targets, labels)
    checks.positive("observation_variance", observation_variance)
    xp = namespace(mean, variance, targets)
    outputs = mean.shape[2]
    noise = float(observation_variance)
    # In the order of memory that the mean has: inputs neighbour each other.
    wanted = targets.T.copy().T[None, :, :]
    squares, errors = [], []
    for part in time_blocks(mean):
        residual = mean[part] - wanted
        squares.append(xp.einsum("tmc,tmc->tm", residual, residual))
        if labels is not None:
            near = None if ties is None else ties[part]
            errors.append(xp.mean(wrong_class(mean[part], labels, near), axis=1))
    squared = xp.concatenate(squares)
    total = variance + noise
    bayes = 0.5 * (squared / total + outputs * xp.log(2 * np.pi * total))
    bias, spread = xp.mean(squared, axis=1), outputs * xp.mean(variance, axis=1)
    losses = {
        "loss_mean": 0.5 * bias,
        "bias_squared": bias,
        "variance": spread,
        "loss_gibbs": 0.5 * (bias + spread),
        "loss_gibbs_nll": 0.5 * (bias + spread) / noise + 0.5 * outputs * float(np.log(2 * np.pi * noise)),
        "loss_bayes": xp.mean(bayes, axis=1),
    }
    if labels is not None:
        losses["error_mean"] = xp.concatenate(errors)
    return losses


def check_law(mean: Array, variance: Array, targets: Array | None, labels: Array | None) -> None:
    """Raise ValueError unless mean (t, m, C), variance (t, m), targets (m, C) and labels (m,) belong together."""
    checks.shape("variance", variance, tuple(mean.shape[:2]), "one output variance for each time and input")
    if targets is not None:
        checks.shape("targets", targets, tuple(mean.shape[1:]), "one row of targets for each input")
    if labels is None:
        return
    checks.shape("labels", labels, (mean.shape[1],), "one class for each input")
    classes = max(mean.shape[2], 2)
    if int(np.min(np.asarray(labels))) < 0 or int(np.max(np.asarray(labels))) >= classes:
        raise ValueError(f"labels must lie between 0 and {classes - 1} for {mean.shape[2]} output(s)")


def time_blocks(mean: Float[Array, "t m C"]) -> list[slice]:
    """Runs of times whose mean outputs fit in a processor's cache."""
    step = max(1, VALUES_AT_ONCE // (mean.shape[1] * mean.shape[2]))
    return [slice(start, start + step) for start in range(0, mean.shape[0], step)]


def wrong_class(
    mean: Float[Array, "t m C"], labels: Int[Array, " m"], ties: Float[Array, "t m"] | None = None
) -> Float[Array, "t m"]:
    """Error of the arg-max (or sign, one output) of the mean at each time and input, 0 to 1; ties share.

    Args:
        mean: mean output at each time and input, (t, m, C).
        labels: class of each input, (m,).
        ties: outputs this close to the largest one are equal to it, a single one to 0; None compares exactly.
    """
    xp = namespace(mean)
    if mean.shape[2] == 1:
        signed = mean[:, :, 0] * xp.where(xp.asarray(labels) == 1, 1.0, -1.0)[None, :]
        if ties is not None:
            signed = xp.where(xp.abs(signed) <= ties, 0.0, signed)
        return 0.5 * (1 - xp.sign(signed))
    own = mean[:, xp.arange(mean.shape[1]), xp.asarray(labels)]
    # Quick where the inputs are neighbours in memory, as the output law leaves them.
    largest = xp.max(mean, axis=2)
    if ties is not None:
        largest = largest - ties
        own = xp.where(own >= largest, largest, own)
    equal = xp.sum(mean >= own[:, :, None], axis=2, dtype=xp.int16)
    return xp.where(own < largest, 1.0, 1 - 1 / equal.astype(mean.dtype))
