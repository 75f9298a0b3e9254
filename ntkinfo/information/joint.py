"""I(Z;D|X) of all the outputs on a set of inputs together: exact under a label model, and its bound, over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array, float64, namespace, to_numpy
from ntkinfo.core.linear_algebra import (
    Factored,
    NotDefiniteError,
    cholesky,
    gaussian_relative_entropy,
    log_determinant_one_plus_gram,
    relative_change,
    solve_lower,
)
from ntkinfo.core.progress import Track, silent
from ntkinfo.core.records import Estimate
from ntkinfo.information.evaluation_space import evaluation_space
from ntkinfo.information.function_space import information_labels_function_space, relative_entropy_noisy
from ntkinfo.information.label_model import LabelModel
from ntkinfo.information.parameters import function_space
from ntkinfo.information.time_interpolation import distinct_times, over_time
from ntkinfo.training.held_out_law import HeldOutLaw, Moments
from ntkinfo.training.output_law import OutputLaw

# Relative error by rounding from which a factor says nothing.
_MOST_ROUNDING = 1e-2
_EPSILON = float(np.finfo(np.float64).eps)
_SMALL = 1e-2  # relative change of the variances up to which errors are relative to the change


@dataclass(frozen=True)
class JointInformation:
    """What the outputs on all the inputs together say about the training set, in nats at every time.

    Args:
        labels: (T,), I(Z; Y_train | X) under the label model, exact; None without a model.
        relative_entropy: (T,), KL between the joint laws now and at the start, with the targets that there are.
            Averaged over training sets it bounds the information from above.
    """

    labels: Estimate | None
    relative_entropy: Estimate


@checked
def information_joint(
    law: OutputLaw,
    model: LabelModel | None = None,
    *,
    tolerance: float = 1e-6,
    limit: int | None = None,
    progress: Track = silent,
) -> JointInformation:
    """½ C log det(I + cov_t⁻¹ Θ_* A_t S A_t Θ_*ᵀ) and the joint relative entropy to the start, at every time.

    Both come from the same factors at the times that serve as nodes; on the training inputs without noise they have
    forms of their own (`information_labels_function_space`, `function_space`), which stay exact however far training
    has gone.

    Args:
        law: of the outputs at p inputs: `distribution.train`, `.test` or `.at(inputs)`.
        model: of the training targets, or None for the relative entropy alone.
        tolerance: of the interpolation between times, relative above one nat and absolute below.
        limit: most times at which factors of p×p matrices are computed; None for as many as the tolerance takes.
        progress: counts them.

    Returns:
        Values over time; errors are the interpolation's, measured at held-out times, and the conditioning's.

    Raises:
        NotDefiniteError: a covariance is singular to rounding: inputs repeat, or nearly so for this network.
        ValueError: the kernels among the inputs cannot be computed, or a labels' covariance that does not fit.

    Fails to state the whole error for a given covariance of the labels with a condition number near 1e16: the rounding
    of its rotation into the eigenbasis is not part of it.
    Source: theory §4; the bound: Shwartz-Ziv & Alemi 2019.
    """
    checks.interpolation(tolerance, limit)
    distribution = law.distribution
    if isinstance(law, HeldOutLaw) and not law.is_training_set:
        return _held_out(law, model, tolerance, limit, progress)
    options = {"tolerance": tolerance, "limit": limit, "progress": progress}
    labels = None if model is None else information_labels_function_space(distribution, model, **options)
    if not distribution.summed.is_noisy:
        bound = function_space(distribution)
    else:
        with float64():
            bound = relative_entropy_noisy(evaluation_space(distribution, None), tolerance, limit, progress)
    # Of the inputs alone it is the value itself; that it bounds the parameters from below is another matter.
    return JointInformation(labels, Estimate(bound.value, bound.standard_error, "exact", bound.method))


def _held_out(
    law: HeldOutLaw, model: LabelModel | None, tolerance: float, limit: int | None, progress: Track
) -> JointInformation:
    distribution, xp = law.distribution, namespace(law.initial_variance)
    with float64():
        teacher = None if model is None else model.teacher(distribution)
        start = Factored(cholesky(law.moments(0.0).initial, "the initial covariance"))

        bounds: dict[float, tuple[float, float]] = {}

        def evaluate(time: float) -> np.ndarray:
            moments = law.moments(time)
            now = _resolved(moments, start, f"the covariance at time {time:g}")
            mean = moments.coefficients.T @ distribution.targets
            bound = float(gaussian_relative_entropy(mean, now, start, moments.change))
            gain = 0.0 if model is None else 0.5 * law.n_outputs * _gain(now, _signal(moments, model, teacher))
            bounds[time] = _lost((law, time), moments, (now, start), (bound, gain))
            return np.array([bound, gain] if model is not None else [bound])

        times, smooth = distinct_times(distribution)
        label = f"joint information of {law.n_inputs} outputs"
        part = over_time(
            evaluate, times, smooth=smooth, tolerance=tolerance, limit=limit, progress=progress, label=label
        )
        nodes = np.array(sorted(bounds))
        lost = np.stack([np.interp(times, nodes, [bounds[t][k] for t in nodes]) for k in range(part.value.shape[1])], 1)
        error = part.error + lost
        columns = [
            Estimate(xp.asarray(part.value[:, k]), xp.asarray(error[:, k]), "exact", f"Cholesky, {part.method}")
            for k in range(part.value.shape[1])
        ]
    return JointInformation(columns[1] if model is not None else None, columns[0])


def _resolved(moments: Moments, start: Factored, name: str) -> Factored:
    """Cholesky factor of a covariance that has digits left: a singular one may pass by the sign of its rounding."""
    factor = Factored(cholesky(moments.covariance, name))
    # What is left is a difference: its rounding is that of the covariance before.
    least = float(namespace(factor.lower).min(namespace(factor.lower).diagonal(factor.lower))) ** 2
    if max(factor.rounding, len(moments.initial) * _EPSILON * float(moments.initial.max()) / least) > _MOST_ROUNDING:
        raise NotDefiniteError(
            f"{name} is not positive definite to rounding: inputs repeat, or repeat training inputs, or nearly so; "
            "leave them out, take earlier times, or add noise to the targets"
        )
    return factor


def _lost(
    place: tuple[HeldOutLaw, float], moments: Moments, factors: tuple[Factored, Factored], values: tuple[float, float]
) -> tuple[float, float]:
    """Bounds on what errors of kernels, decomposition and rounding do to both values at one time, to first order.

    An error of Q with |δQ_ij| ≤ (δ_i δ_j)^½ moves log det Q by at most (Σ (δ_i (Q⁻¹)_ii)^½)².
    """
    (law, time), (now, start), (bound, gain) = place, factors, values
    distribution, outputs, p = law.distribution, law.n_outputs, law.n_inputs
    summed, eigenvalues = distribution.summed, to_numpy(distribution.eigenvalues)
    before, left = (np.diagonal(to_numpy(m)) for m in (moments.initial, moments.covariance))
    n, kernel = len(eigenvalues), distribution.blocks.kernel_error
    shift = n**0.5 * _EPSILON * eigenvalues[-1] + kernel * float(np.sum(eigenvalues))
    g = to_numpy(
        summed.filter(
            distribution.eigenvalues, namespace(law.initial_variance).asarray([time * distribution.time_unit])
        )
    )[0]
    spread = to_numpy(distribution.prior_variance) + summed.target_noise_variance
    reach = np.sqrt(np.sum(to_numpy(moments.coefficients) ** 2, axis=0))
    unit = (n + p) * _EPSILON + 2 * kernel
    moved = unit * (before + reach**2 * float(np.sum(spread)))
    moved = moved + 4 * shift * reach * np.sqrt(np.maximum(left, 0.0)) * float(np.sqrt(g**2 @ spread))
    late, early = (_strength(factor, size) for factor, size in ((now, moved), (start, unit * before)))
    settled = early * (abs(bound) + min(abs(bound), outputs * p))
    change = float(np.max(np.abs(np.diagonal(to_numpy(moments.change))) / before))
    g_targets = float(np.linalg.norm(g[:, None] * to_numpy(distribution.targets)))
    tangent = np.sqrt(to_numpy(law.tangent_diagonal) * float(np.sum(eigenvalues)))
    moved_mean = (2 * shift * reach + (n**0.5 * _EPSILON + kernel) * tangent) * g_targets
    inverse = _inverse_diagonal(start)
    turned_mean = float(np.sum(moved_mean * np.sqrt(inverse)))
    settled += 2 * (2 * abs(bound)) ** 0.5 * turned_mean + turned_mean**2
    if change < _SMALL:
        # Both values fall with the change of the covariance, and so do their errors.
        late = early * (1 + n**0.5)
        return settled + late * abs(bound), late * 2 * abs(gain)
    turned = outputs * late * min(1.0, 2 * gain / max(outputs, 1))
    return settled + 0.5 * outputs * late, 0.5 * turned + (early + unit) * abs(gain)


def _strength(factor: Factored, size: np.ndarray) -> float:
    """(Σ (δ_i (M⁻¹)_ii)^½)² of a factored M."""
    return float(np.sum(np.sqrt(size * _inverse_diagonal(factor))) ** 2)


def _inverse_diagonal(factor: Factored) -> Float[np.ndarray, " p"]:
    """Diagonal of the factored matrix's inverse."""
    xp = namespace(factor.lower)
    inverse = solve_lower(factor.lower, xp.eye(factor.lower.shape[0], dtype=factor.lower.dtype))
    return to_numpy(xp.sum(inverse**2, axis=0))


def _signal(moments: Moments, model: LabelModel, teacher: Array | None) -> Float[Array, "p p"]:
    """Covariance of the mean over targets drawn from the model."""
    coefficients = moments.coefficients
    signal = moments.explained if teacher is None else coefficients.T @ (teacher @ coefficients)
    if model.noise_variance == 0:
        return signal
    return signal + model.noise_variance * (coefficients.T @ coefficients)


def _gain(now: Factored, signal: Float[Array, "p p"]) -> float:
    """Log det(I + cov⁻¹ M) with M symmetric positive semidefinite."""
    return float(log_determinant_one_plus_gram(relative_change(now.lower, signal)))
