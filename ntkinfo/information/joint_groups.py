"""The functions that fill a table of curves with what joint laws and label models say: I(θ;D) and I(Z;D|X)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ntkinfo.core.arrays import to_numpy
from ntkinfo.core.linear_algebra import NotDefiniteError
from ntkinfo.core.records import Estimate
from ntkinfo.information import quantity_errors
from ntkinfo.information.curve_job import Job, Side
from ntkinfo.information.function_space import information_labels_function_space
from ntkinfo.information.joint import information_joint
from ntkinfo.information.label_model import LabelModel, information_labels_chunks
from ntkinfo.information.parameters import ExtraInputs, function_space, linear_model
from ntkinfo.training.output_distribution import OutputDistribution


def add_parameters(job: Job) -> None:
    """I(θ;D): of the linear model, and in function space the relative entropy to the start and the labels' share."""
    law, settings, errors = job.law, job.settings, job.errors
    if "information_parameters_linear" in job.chosen:
        job.table.put_estimate("information_parameters_linear", errors.linear_model(linear_model(law)))
    if not {"information_parameters", "information_parameters_labels"} & set(job.chosen):
        return
    extra, tolerance = extra_inputs(law, settings.extra_inputs), settings.interpolation_tolerance

    def entropy() -> Estimate:
        return errors.function_space(function_space(law, extra, job.progress, tolerance=tolerance))

    def labels() -> Estimate:
        model = settings.label_model
        found = information_labels_function_space(law, model, extra, tolerance=tolerance, progress=job.progress)
        found = replace(found, meaning="lower bound", method=f"{found.method}; {model.description}")
        return errors.function_space(found, model)

    _put_where_defined(job, "information_parameters", entropy)
    _put_where_defined(job, "information_parameters_labels", labels)


def extra_inputs(law: OutputDistribution, count: int) -> ExtraInputs | None:
    """Kernels of the first `count` test inputs, or None for none.

    Raises:
        ValueError: the blocks were given as arrays without a source.
    """
    if not count:
        return None
    source, inputs = law.blocks.source, law.data.x_test[:count]
    if source is None:
        raise ValueError("extra_inputs needs kernel blocks with a source; make them with kernel_blocks")
    return ExtraInputs(source.cross(inputs), source.square(inputs))


def add_labels(job: Job, side: Side) -> None:
    """I(Z;D|X) under the label model, averaged over the inputs."""
    model, law = job.settings.label_model, side.law
    spread = job.errors.label_spread(model)
    for part, found in information_labels_chunks(law, model):
        value, log_variance = np.asarray(found.value), to_numpy(law.log_variance_at(part))
        relative, shift = side.errors.relative_variance(part, log_variance), side.errors.label_shift(spread, part)
        extra = quantity_errors.labels(value, law.n_outputs, shift, log_variance, relative)
        error = np.asarray(found.standard_error) + extra
        mean = replace(found, value=value.mean(axis=1), standard_error=error.mean(axis=1))
        job.table.put_estimate("information_training_set_labels", mean, side.split, part)


def add_joint(job: Job, side: Side) -> None:
    """I(Z;D|X) of all the outputs of a split together: under the label model, and its bound."""
    bound, labels = "information_training_set_joint", "information_training_set_labels_joint"
    settings, wanted = job.settings, labels in job.chosen
    model = settings.label_model if wanted else None
    try:
        found = information_joint(side.law, model, tolerance=settings.interpolation_tolerance, progress=job.progress)
    except NotDefiniteError as error:
        for name in (bound, labels):
            _leave_undefined(job, name, error, side.split)
        return
    _put(job, bound, _stated(job, side, replace(found.relative_entropy, meaning="upper bound"), None), side.split)
    if found.labels is not None:
        _put(job, labels, _stated(job, side, found.labels, model), side.split)


def _stated(job: Job, side: Side, estimate: Estimate, model: LabelModel | None) -> Estimate:
    """With the kernels' error: that of decaying residuals, or the conditioning's, which is there already."""
    if side.split == "test":
        return job.errors.where_decided(estimate)
    return job.errors.joint(estimate, model) if job.law.summed.is_noisy else job.errors.function_space(estimate, model)


def _put_where_defined(job: Job, name: str, compute: Callable[[], Estimate]) -> None:
    """Compute a quantity that was asked for; a singular covariance leaves it undefined, not the others."""
    if name not in job.chosen:
        return
    try:
        estimate = compute()
    except NotDefiniteError as error:
        _leave_undefined(job, name, error)
        return
    _put(job, name, estimate)


def _leave_undefined(job: Job, name: str, error: NotDefiniteError, split: str | None = None) -> None:
    job.table.put(name, np.nan, split)
    if name in job.chosen:
        job.table.note(f"{name}{f' ({split})' if split else ''} not computed: {error}")


def _put(job: Job, name: str, estimate: Estimate, split: str | None = None) -> None:
    job.table.put_estimate(name, estimate, split)
    if "NOT reached" in estimate.method:
        job.table.note(f"{name}{f' ({split})' if split else ''}: {estimate.method}")
