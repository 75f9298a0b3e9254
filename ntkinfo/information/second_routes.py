"""Every quantity of the curves once more, at one time and on one split, by code that the curves do not use.

`ROUTES` has one function a quantity: it is given a `Place` and returns an `Estimate` with the error of its own route,
or raises `NotCheckedError` with the reason where that route cannot reach.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from ntkinfo.core.records import Estimate
from ntkinfo.information import second_sampling as sampling
from ntkinfo.information.label_model import LabelModel
from ntkinfo.information.second_joint import (
    DenseJoint,
    joint,
    label_covariance,
    label_spread,
    log_residual,
)
from ntkinfo.information.second_law import SecondSide, Snapshot
from ntkinfo.information.second_propagator import EPSILON, NotCheckedError, path_length


@dataclass(frozen=True)
class Place:
    """One time and split.

    Args:
        snapshot: the dense matrices of that time.
        split: "train" or "test"; "" for a quantity without splits.
        seed: of what is sampled here.
        extra_inputs: how many test inputs joined the training inputs in the function-space quantities.
        label_model: of the training targets.
    """

    snapshot: Snapshot
    split: str
    seed: int
    extra_inputs: int = 0
    label_model: LabelModel = field(default=LabelModel())

    @property
    def side(self) -> SecondSide:
        """The dense law of this split."""
        return self.snapshot.side(self.split)

    @property
    def informations(self) -> tuple[Estimate, ...]:
        """I(Z;X) and, with labels, I(Z;Y) from the same draws, made once."""
        kept = self.snapshot.sampled
        if self.split not in kept:
            kept[self.split] = sampling.information(self.side, self.seed)
        return kept[self.split]

    def estimate(self, value: float, error: float, by: str = "direct formula") -> Estimate:
        """A value with its numerical error, computed from this place's matrices."""
        rounding = 16 * EPSILON * abs(value) if np.isfinite(value) else 0.0
        return Estimate(value, error + rounding, "exact", f"{by}, {self.snapshot.now.route}")


def loss_mean(place: Place) -> Estimate:
    """½ |mean − y|²."""
    return _scaled(bias_squared(place), 0.5)


def bias_squared(place: Place) -> Estimate:
    """|mean − y|²."""
    side = place.side
    size = np.linalg.norm(side.residual, axis=1)
    # The other route forms the difference from targets of full size.
    error = side.mean_error + 8 * EPSILON * np.linalg.norm(side.targets, axis=1)
    return place.estimate(float(np.mean(size**2)), float(np.mean(2 * size * error + error**2)))


def variance(place: Place) -> Estimate:
    """C v."""
    side, outputs = place.side, place.side.mean.shape[1]
    return place.estimate(outputs * float(np.mean(side.variance)), outputs * float(np.mean(side.variance_error)))


def loss_gibbs(place: Place) -> Estimate:
    """½ (|mean − y|² + C v)."""
    bias, spread = bias_squared(place), variance(place)
    value = 0.5 * (float(bias.value) + float(spread.value))
    return place.estimate(value, 0.5 * (float(bias.standard_error) + float(spread.standard_error)))


def loss_gibbs_nll(place: Place) -> Estimate:
    """The same with the constant of a unit Gaussian."""
    gibbs, outputs = loss_gibbs(place), place.side.mean.shape[1]
    constant = outputs * 0.5 * float(np.log(2 * np.pi))
    return place.estimate(float(gibbs.value) + constant, float(gibbs.standard_error))


def loss_bayes(place: Place) -> Estimate:
    """−log N(y; mean, v + 1), by scipy's normal density."""
    from scipy.stats import norm

    side, bias = place.side, bias_squared(place)
    outputs = side.mean.shape[1]
    logs = norm.logpdf(side.residual, scale=np.sqrt(side.variance + 1)[:, None])
    squared = np.sum(side.residual**2, axis=1)
    error = 0.5 * float(bias.standard_error) + 0.5 * float(np.mean((outputs + squared) * side.variance_error))
    return place.estimate(-float(np.mean(np.sum(logs, axis=1))), error)


def error_mean(place: Place) -> Estimate:
    """Share of wrong classes, input by input."""
    wrong, near = sampling.decisions(place.side.mean, place.side.labels, place.side.mean_error)
    return place.estimate(float(np.mean(wrong)), float(np.mean(near)), "arg-max input by input")


def error_member(place: Place) -> Estimate:
    """The same for sampled members."""
    side = place.side
    assert side.labels is not None
    return sampling.member_error(side.mean, side.variance, side.labels, side.mean_error, place.seed)


def information_input(place: Place) -> Estimate:
    """I(Z;X) by plain Monte Carlo."""
    return place.informations[0]


def information_target(place: Place) -> Estimate:
    """I(Z;Y) by plain Monte Carlo, or the linear-Gaussian bound by determinants."""
    if place.side.labels is not None:
        return place.informations[1]
    return _linear_decoder(place)


def _linear_decoder(place: Place) -> Estimate:
    """½ log det S_yy det S_zz / det S over the directions in which the targets vary, S the joint covariance."""
    side = place.side
    y = side.targets - np.mean(side.targets, axis=0, keepdims=True)
    z = side.mean - np.mean(side.mean, axis=0, keepdims=True)
    values, vectors = np.linalg.eigh(y.T @ y / len(y))
    kept = values > 1e-18 * values[-1]
    white = (y @ vectors[:, kept]) / np.sqrt(values[kept])[None, :]
    total = z.T @ z / len(z) + float(np.mean(side.variance)) * np.eye(z.shape[1])
    cross = z.T @ white / len(z)
    if not np.any(total > 0):
        return place.estimate(0.0, 0.0)
    explained = cross.T @ np.linalg.pinv(total, rcond=1e-13, hermitian=True) @ cross
    left = np.linalg.eigvalsh(np.eye(len(explained)) - explained)
    if left[0] < 1e-8:
        raise NotCheckedError("the outputs give the targets to within the digits of a determinant")
    size = float(np.linalg.norm(total, 2))
    moved = float(np.sqrt(np.mean(side.mean_error**2))) / size**0.5 + float(np.mean(side.variance_error)) / size
    condition = size / max(float(np.linalg.eigvalsh(total)[0]), 1e-13 * size)
    error = (4 * moved * condition**0.5 + 100 * EPSILON * condition) * float(np.sum(1 / left))
    return place.estimate(-0.5 * float(np.sum(np.log(left))), error, "determinants")


def information_training_set(place: Place) -> Estimate:
    """Relative entropy of two Gaussians, input by input."""
    side, outputs = place.side, place.side.mean.shape[1]
    varies = side.start > 0
    start = np.where(varies, side.start, 1.0)
    if np.any(varies & (side.log_variance == -np.inf)):
        return place.estimate(np.inf, 0.0)
    ratio = np.where(varies, side.log_variance - np.log(start), 0.0)
    size = np.linalg.norm(side.mean, axis=1)
    spread = outputs * (np.exp(ratio) - 1 - ratio)
    value = 0.5 * float(np.mean(spread + size**2 / start))
    relative = np.where(varies, side.relative_error, 0.0)
    error = outputs * relative * (1 + np.exp(ratio)) + (2 * size + side.mean_error) * side.mean_error / start
    return place.estimate(value, 0.5 * float(np.mean(error)) + 4 * outputs * EPSILON, "direct formula")


def information_training_set_labels(place: Place) -> Estimate:
    """½C log(1 + aSaᵀ/v) with a a row of ΘA or Θ_*A, input by input."""
    side, snapshot, outputs = place.side, place.snapshot, place.side.mean.shape[1]
    gain, labels = snapshot.gain(place.split), label_covariance(snapshot, place.label_model)
    signal = np.maximum(np.sum((gain @ labels) * gain, axis=1), 0.0)
    informs = (signal > 0) & (side.start > 0)
    if np.any(informs & (side.log_variance == -np.inf)):
        return place.estimate(np.inf, 0.0)
    log = np.where(informs, np.log(np.where(informs, signal, 1.0)), -np.inf)
    both = np.logaddexp(log, np.where(informs, side.log_variance, 0.0))
    value = np.where(informs, both - np.where(informs, side.log_variance, 0.0), 0.0)
    size = np.linalg.norm(gain, axis=1)
    moved = 2 * snapshot.route.kernel_error * size * label_spread(snapshot, labels)
    moved = moved * (2 * np.sqrt(signal) + moved) + 8 * snapshot.route.unit * size**2 * float(np.trace(labels))
    error = moved * np.exp(-both) + -np.expm1(-value) * side.relative_error + 8 * EPSILON
    error = np.where(informs, error, 0.0)
    return place.estimate(0.5 * outputs * float(np.mean(value)), 0.5 * outputs * float(np.mean(error)))


def information_training_set_joint(place: Place) -> Estimate:
    """Relative entropy of two dense Gaussians over all the inputs of a split."""
    return _relative_entropy(place, _split_joint)


def information_training_set_labels_joint(place: Place) -> Estimate:
    """Dense log-determinants over all the inputs of a split."""
    return _label_information(place, _split_joint)


def information_parameters(place: Place) -> Estimate:
    """Relative entropy of two dense Gaussians in function space, inputs as they are."""
    return _relative_entropy(place, _function_joint)


def information_parameters_labels(place: Place) -> Estimate:
    """Dense log-determinants in function space."""
    return _label_information(place, _function_joint)


def _relative_entropy(place: Place, law: Callable[[Place], DenseJoint]) -> Estimate:
    dense = _defined(place, law)
    if dense is None:
        return place.estimate(np.inf, 0.0)
    value, error = dense.relative_entropy(place.snapshot.targets)
    return place.estimate(value, error, "Cholesky solves and a dense log-determinant")


def _label_information(place: Place, law: Callable[[Place], DenseJoint]) -> Estimate:
    dense = _defined(place, law)
    if dense is None:
        return place.estimate(np.inf, 0.0)
    value, error = dense.information(place.label_model, place.snapshot.targets.shape[1])
    return place.estimate(value, error, "dense log-determinants")


def _defined(place: Place, law: Callable[[Place], DenseJoint]) -> DenseJoint | None:
    """The joint law, or None where training has left no variance on training inputs among its inputs."""
    snapshot = place.snapshot
    if snapshot.route.has_null:
        raise NotCheckedError("inputs repeat: the dense covariance is singular")
    certain = snapshot.now.log_determinant == -np.inf and not snapshot.summed.is_noisy
    return None if certain and place.split != "test" else law(place)


def _split_joint(place: Place) -> DenseJoint:
    snapshot = place.snapshot
    return joint(snapshot, 0, True) if place.split == "train" else joint(snapshot, len(place.side.targets), False)


def _function_joint(place: Place) -> DenseJoint:
    return joint(place.snapshot, place.extra_inputs, True)


def information_parameters_linear(place: Place) -> Estimate:
    """½ Σ yᵀAΘAy + ½ C (tr S − n − log det S) with S = R² + σ_y² AΘA."""
    snapshot, now, route = place.snapshot, place.snapshot.now, place.snapshot.route
    outputs = snapshot.targets.shape[1]
    quadratic = float(np.sum(snapshot.learned * (route.tangent @ snapshot.learned)))
    residual = now.residual * np.exp(now.log_scale)
    left = residual @ residual
    if snapshot.noise > 0:
        left = left + snapshot.noise * now.filter @ snapshot.trained
        log, inverse = float(np.linalg.slogdet(left)[1]), float(np.linalg.norm(np.linalg.inv(left)))
        log_error = 2 * route.kernel_error * inverse * float(np.linalg.norm(now.filter)) + route.unit * abs(log)
    elif now.log_determinant == -np.inf:
        return place.estimate(np.inf, 0.0)
    else:
        logs, errors = log_residual(snapshot)
        log, log_error = 2 * logs, 2 * errors
    value = 0.5 * (quadratic + outputs * (float(np.trace(left)) - route.n - log))
    error = 2 * route.kernel_error * route.n**0.5 * float(np.sum(snapshot.learned**2))
    error = (
        error
        + outputs * (route.unit * route.n + log_error)
        + 4 * outputs * route.kernel_error * abs(float(np.trace(now.filter)))
    )
    return place.estimate(value, error, "traces and a dense log-determinant")


def fisher_trace(place: Place) -> Estimate:
    """C tr Θ off the kernel."""
    snapshot = place.snapshot
    value = snapshot.targets.shape[1] * float(np.trace(snapshot.route.tangent))
    return Estimate(value, snapshot.route.unit * value, "exact", "trace of the kernel")


def speed_squared(place: Place) -> Estimate:
    """Trace of Θ E W E with E the rate and W = C P + C σ_y² + YYᵀ."""
    now, tangent = place.snapshot.now, place.snapshot.route.tangent
    spread = now.rate @ _to_learn(place) @ now.rate
    growth = float(np.trace(spread))
    value = float(np.sum(tangent * spread))
    if np.isfinite(now.effective) and value != 0:
        growth += 2 * now.effective * abs(value)
    return _traced(place, value, growth, 2)


def path_energy(place: Place) -> Estimate:
    """Trace of Θ Q W."""
    now, tangent = place.snapshot.now, place.snapshot.route.tangent
    if now.energy is None:
        raise NotCheckedError("momentum has no second route for the energy after so many steps")
    spread = now.energy @ _to_learn(place)
    return _traced(place, float(np.sum(tangent * spread.T)), 2 * float(np.trace(spread)), 1)


def parameter_distance_squared(place: Place) -> Estimate:
    """Trace of Θ A W A."""
    now, tangent = place.snapshot.now, place.snapshot.route.tangent
    spread = now.filter @ _to_learn(place) @ now.filter
    return _traced(place, float(np.sum(tangent * spread)), 3 * float(np.trace(spread)), 0)


def length(place: Place) -> Estimate:
    """The path's length by Simpson's rule in log time."""
    route = place.snapshot.route
    _, vectors = route.basis
    weights = np.maximum(np.sum(vectors * (_to_learn(place) @ vectors), axis=0), 0.0)
    value, change = path_length(route, place.snapshot.index, weights)
    return Estimate(value, change + 1e-10 * value, "quadrature", "Simpson's rule in log time")


def _to_learn(place: Place) -> np.ndarray:
    snapshot = place.snapshot
    y = snapshot.targets
    return y @ y.T + y.shape[1] * (snapshot.route.prior + snapshot.noise * np.eye(len(y)))


def _traced(place: Place, value: float, growth: float, power: int) -> Estimate:
    """A trace in units of the caller's time, with the error of its matrices."""
    route, unit = place.snapshot.route, place.snapshot.law.time_unit**power
    error = route.n**0.5 * route.kernel_error * abs(growth) + route.unit * abs(value)
    return place.estimate(value * unit, error * unit, "dense trace")


def _scaled(estimate: Estimate, factor: float) -> Estimate:
    value, error = factor * float(estimate.value), factor * float(estimate.standard_error)
    return Estimate(value, error, estimate.meaning, estimate.method)


ROUTES: Mapping[str, Callable[[Place], Estimate]] = {
    "loss_mean": loss_mean,
    "bias_squared": bias_squared,
    "variance": variance,
    "loss_gibbs": loss_gibbs,
    "loss_gibbs_nll": loss_gibbs_nll,
    "loss_bayes": loss_bayes,
    "error_mean": error_mean,
    "error_member": error_member,
    "information_input": information_input,
    "information_target": information_target,
    "information_training_set": information_training_set,
    "information_training_set_labels": information_training_set_labels,
    "information_training_set_joint": information_training_set_joint,
    "information_training_set_labels_joint": information_training_set_labels_joint,
    "information_parameters": information_parameters,
    "information_parameters_labels": information_parameters_labels,
    "information_parameters_linear": information_parameters_linear,
    "fisher_trace": fisher_trace,
    "speed_squared": speed_squared,
    "path_energy": path_energy,
    "parameter_distance_squared": parameter_distance_squared,
    "path_length": length,
}
"""The second route of every quantity in `quantities.QUANTITIES`."""
