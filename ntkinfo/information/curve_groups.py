"""The functions that fill a table of curves, one a group of quantities.

A new quantity is an entry of `quantities.QUANTITIES` with the name of its group, a function in one of the four
mappings at the end of this module (or a line in the group's function), and a second route in `second_routes.ROUTES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ntkinfo.core.arrays import Array, to_numpy
from ntkinfo.core.records import Estimate
from ntkinfo.information import quantity_errors
from ntkinfo.information.curve_job import Job, Side
from ntkinfo.information.joint_groups import add_joint, add_labels, add_parameters
from ntkinfo.information.linear_decoder import information_target_gaussian
from ntkinfo.information.losses import closed_form
from ntkinfo.information.member_error import error_member
from ntkinfo.information.noiseless import isolated, resolution_of
from ntkinfo.information.numerical_errors import widened
from ntkinfo.information.output import InputInformation, TargetInformation, information_output
from ntkinfo.information.path import path
from ntkinfo.information.training_set import relative_entropy_per_input

# Errors in units of a deviation from which it is worth asking whether the output has a neighbour at all.
_LOST = 1e-3


def add_path(job: Job) -> None:
    """Fisher trace, speed, energy, distance and length of the parameters' path."""
    result = path(job.law)
    errors = job.errors.path(result)
    values = {
        "fisher_trace": result.fisher_trace,
        "speed_squared": result.speed_squared,
        "path_energy": result.energy,
        "parameter_distance_squared": result.distance_squared,
    }
    for name, value in values.items():
        job.table.put_closed_form(name, value, errors[name])
    job.table.put_estimate("path_length", widened(result.length, errors["path_length"]))
    job.table.note(*result.notes)


def add_losses(job: Job, side: Side, part: slice, mean: Array, variance: Array) -> None:
    """Losses, and the classification error of the mean; without targets what is left of them, the variance."""
    ties = None if side.labels is None else side.law.ties_at(part)
    values = closed_form(mean, variance, side.targets, side.labels, ties=ties)
    mean_error = side.errors.mean(part)
    errors = quantity_errors.losses(values, mean_error, side.errors.variance(part, variance), mean.shape[2])
    if ties is not None and side.labels is not None and "error_mean" in job.chosen:
        errors["error_mean"] = quantity_errors.undecided(mean, side.labels, mean_error, to_numpy(ties))
    for name, value in values.items():
        if side.answered or name == "variance":
            job.table.put_closed_form(name, value, errors.get(name, 0.0), side.split, part)


def add_training_set(job: Job, side: Side, part: slice, mean: Array, variance: Array) -> None:
    """The upper bound on I(Z;D|X)."""
    log_variance = side.law.log_variance_at(part)
    value = to_numpy(relative_entropy_per_input(mean, log_variance, side.law.initial_variance)).mean(axis=1)
    error = quantity_errors.training_set(
        value,
        to_numpy(side.law.initial_variance),
        side.errors.mean(part),
        to_numpy(variance),
        side.errors.relative_variance(part, log_variance),
        mean.shape[2],
    )
    job.table.put_closed_form("information_training_set", value, error, side.split, part)


def add_member(job: Job, side: Side, index: int) -> None:
    """The expected classification error of a member at one time."""
    if side.labels is None:
        return
    part = slice(index, index + 1)
    mean, variance, ties = side.law.mean_at(part), side.law.variance_at(part), side.law.ties_at(part)
    extra = quantity_errors.member(
        to_numpy(mean)[0],
        to_numpy(variance)[0],
        side.labels,
        side.errors.mean(part)[0],
        side.errors.relative_variance(part, side.law.log_variance_at(part))[0],
        to_numpy(ties)[0],
    )
    estimate = widened(error_member(mean, variance, side.labels, ties=ties), extra)
    job.table.put_estimate("error_member", estimate, side.split, part)


def add_output(job: Job, side: Side, index: int) -> None:
    """I(Z;X) and I(Z;Y) with their bounds at one time."""
    mean, variance = side.law.separated_at(index)
    place, settings = (side.split, slice(index, index + 1)), job.settings
    resolution = resolution_of(side.targets if side.answered else job.law.data.y_train, side.law.initial_variance)
    given, target = information_output(
        mean,
        variance,
        side.labels,
        seed=settings.seed,
        samples=settings.samples_per_input,
        tolerance=settings.tolerance,
        resolution=resolution,
    )
    extra = _information_error(side, index, to_numpy(variance), resolution)
    if given.noiseless:
        job.table.note(f"{side.split}: outputs without variance count as equal within {resolution:.1e}")
    _put_information(job, "information_input", given, extra, place)
    for end in ("lower", "upper"):
        multi = getattr(given, f"multisample_{end}")
        if multi is not None:
            job.table.put(f"information_input_multisample_{end}", multi.value, *place)
            job.table.put(f"information_input_multisample_{end}_standard_error", multi.standard_error, *place)
    if target is not None:
        _put_information(job, "information_target", target, extra, place)
    elif side.answered:
        job.table.put_estimate("information_target", _continuous_target(side, index), *place)


def _put_information(
    job: Job, name: str, result: InputInformation | TargetInformation, extra: float, place: tuple[str, slice]
) -> None:
    """Value and bounds, widened by what the errors of mean and variance can do to them; bounds never leave [0, H]."""
    job.table.put_estimate(name, widened(result.value, extra), *place)
    job.table.put(f"{name}_lower", max(result.lower - extra, 0.0), *place)
    job.table.put(f"{name}_upper", min(result.upper + extra, result.ceiling), *place)


def _information_error(side: Side, index: int, variance: np.ndarray, resolution: float) -> float:
    """What the errors of mean and variance do to I(Z;X) and I(Z;Y); outputs that are certain to be so have none."""
    part = slice(index, index + 1)
    std = np.sqrt(variance)
    relative = side.errors.relative_variance(part, side.law.log_variance_at(part))[0]
    if np.array_equal(variance, to_numpy(side.law.variance_at(part))[0]):
        mean_error = side.errors.mean(part)[0]
        most = np.sqrt(variance + side.errors.variance(part, variance[None])[0])
        certain = most <= resolution
        shift = np.divide(mean_error, std, out=np.full_like(std, np.inf), where=std > resolution)
        shift, relative = np.where(certain, 0.0, shift), np.where(certain, 0.0, relative)
        lost = np.flatnonzero(shift + relative > _LOST)
        apart = lost[isolated(to_numpy(side.law.mean_at(part))[0], most + mean_error, lost)]
        shift[apart], relative[apart] = 0.0, 0.0
    else:
        varies = std > 0
        shift, relative = side.errors.separated(index, std), np.where(varies, relative, 0.0)
    return quantity_errors.information(shift, relative, side.law.n_outputs)


def _continuous_target(side: Side, index: int) -> Estimate:
    """The bound for continuous targets; its error is the change when the outputs move by theirs."""
    part = slice(index, index + 1)
    mean, variance = to_numpy(side.law.mean_at(part))[0], to_numpy(side.law.variance_at(part))[0]
    value = information_target_gaussian(mean, variance, side.targets).value
    mean_error, variance_error = side.errors.mean(part)[0], side.errors.variance(part, variance[None])[0]
    if not np.all(np.isfinite(mean_error) & np.isfinite(variance_error)):
        return widened(value, np.inf)
    signs = np.sign(np.random.default_rng(0).standard_normal(mean.shape))
    moved = mean + signs * (mean_error / mean.shape[1] ** 0.5)[:, None]
    wider = variance + variance_error
    other = information_target_gaussian(moved, wider, side.targets).value
    change = abs(float(other.value) - float(value.value)) if np.isfinite(float(value.value)) else 0.0
    return widened(value, 2 * change)


WHOLE: Mapping[str, Callable[[Job], None]] = {"path": add_path, "parameters": add_parameters}
"""Groups that are computed at all times together."""

STREAMED: Mapping[str, Callable[[Job, Side, slice, Array, Array], None]] = {
    "losses": add_losses,
    "training set": add_training_set,
}
"""Groups computed from mean (t, p, C) and variance (t, p) at runs of times."""

BY_SPLIT: Mapping[str, Callable[[Job, Side], None]] = {"labels": add_labels, "joint": add_joint}
"""Groups that are computed at all times together, split by split."""

AT_EACH_TIME: Mapping[str, Callable[[Job, Side, int], None]] = {"member": add_member, "output": add_output}
"""Groups that take an integral at every time."""
