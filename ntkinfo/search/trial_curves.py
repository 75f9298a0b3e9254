"""The curves that measures are read from, and true generalisation; errors are stated of what is drawn alone.

A sweep needs numbers, thousands of them: the same functions are called as by `ntkinfo.curves_of`, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import xarray as xr

from ntkinfo.core.arrays import float64, to_numpy
from ntkinfo.core.linear_algebra import NotDefiniteError
from ntkinfo.core.records import Dataset
from ntkinfo.information.curve_table import SPLITS
from ntkinfo.information.label_model import LabelModel, information_labels_per_input
from ntkinfo.information.linear_decoder import information_target_gaussian
from ntkinfo.information.losses import closed_form
from ntkinfo.information.member_error import error_member
from ntkinfo.information.noiseless import resolution_of
from ntkinfo.information.output import information_output
from ntkinfo.information.parameters import function_space, linear_model
from ntkinfo.information.path import path
from ntkinfo.information.training_set import relative_entropy_per_input
from ntkinfo.training.output_distribution import OutputDistribution
from ntkinfo.training.output_law import OutputLaw

MEMBER_TOLERANCE = 1e-6  # of a member's error at one input
QUADRATURE_TOLERANCE = 1e-6  # of I(Z;X) and I(Z;Y) of one output, in nats

DRAWN = ("information_input", "information_target")
"""Quantities by Monte Carlo, or quadrature for one output, which come with an error."""

Values = dict[str, np.ndarray]


def trial_curves(law: OutputDistribution, quantities: str, samples: int, seed: int) -> xr.Dataset:
    """Curves over (time, split) or (time,) under the names that `ntkinfo.curves_of` gives them.

    Args:
        law: of the outputs.
        quantities: "none" for losses and errors alone, "closed" for what has a closed form, "all" for I(Z;X) and I(Z;Y)
            too.
        samples: draws for each input of the latter.
        seed: of these draws.
    """
    by_split: list[Values] = [_losses(side, *_answers(law.data, split)) for split, side in _sides(law)]
    alone: Values = {}
    if quantities != "none":
        for values, (_, side) in zip(by_split, _sides(law), strict=True):
            values |= _training_set(side)
        alone = _parameters(law)
    if quantities == "all":
        for values, (split, side) in zip(by_split, _sides(law), strict=True):
            values |= _output(side, *_answers(law.data, split), samples, seed)
    variables = {name: (("time", "split"), np.stack([v[name] for v in by_split], axis=1)) for name in by_split[0]}
    variables |= {name: (("time",), values) for name, values in alone.items()}
    return xr.Dataset(variables, {"time": law.times, "split": np.array(SPLITS)})


def _sides(law: OutputDistribution) -> tuple[tuple[str, OutputLaw], ...]:
    return tuple((split, getattr(law, split)) for split in SPLITS)


def _answers(data: Dataset, split: str) -> tuple[np.ndarray, np.ndarray | None]:
    return getattr(data, f"y_{split}"), getattr(data, f"labels_{split}")


def _losses(side: OutputLaw, targets: np.ndarray, labels: np.ndarray | None) -> Values:
    """Losses and errors of the ensemble's mean and of one member."""
    found: list[Values] = []
    for part, mean, variance in side.chunks():
        ties = None if labels is None else side.ties_at(part)
        values = closed_form(mean, variance, targets, labels, ties=ties)
        kept = {name: to_numpy(values[name]) for name in ("loss_mean", "loss_gibbs", "error_mean") if name in values}
        if labels is not None:
            member = error_member(mean, variance, labels, tolerance=MEMBER_TOLERANCE, ties=ties)
            kept["error_member"] = np.asarray(member.value)
        found.append(kept)
    return {name: np.concatenate([values[name] for values in found]) for name in found[0]}


def _training_set(side: OutputLaw) -> Values:
    """I(Z;D|X): the bound, and under the label model of the function's own prior."""
    bounds = []
    for part, mean, _ in side.chunks():
        each = relative_entropy_per_input(mean, side.log_variance_at(part), side.initial_variance)
        bounds.append(to_numpy(each).mean(axis=1))
    labels = np.asarray(information_labels_per_input(side, LabelModel()).value).mean(axis=1)
    return {"information_training_set": np.concatenate(bounds), "information_training_set_labels": labels}


def _parameters(law: OutputDistribution) -> Values:
    """Path of the parameters and I(θ;D); NaN in function space where the prior is singular."""
    found = path(law)
    values = {
        "parameter_distance_squared": found.distance_squared,
        "path_length": found.length.value,
        "path_energy": found.energy,
        "information_parameters": _where_definite(lambda: function_space(law).value, len(law.times)),
        "information_parameters_linear": linear_model(law).value,
    }
    return {name: np.asarray(value) for name, value in values.items()}


def _where_definite(compute: Callable[[], object], count: int) -> np.ndarray:
    try:
        return np.asarray(compute())
    except NotDefiniteError:
        return np.full(count, np.nan)


def _output(
    side: OutputLaw, targets: np.ndarray, labels: np.ndarray | None, samples: int, seed: int
) -> Mapping[str, np.ndarray]:
    """I(Z;X) and I(Z;Y) at each time; for continuous targets the bound by a linear decoder."""
    resolution = resolution_of(targets, side.initial_variance)
    given, target = [], []  # estimates at each time
    for index in range(len(side.times)):
        with float64():
            mean, variance = side.separated_at(index)
        found, about = information_output(
            mean,
            variance,
            labels,
            seed=seed,
            samples=samples if mean.shape[1] > 1 else 0,
            tolerance=None if mean.shape[1] > 1 else QUADRATURE_TOLERANCE,
            resolution=resolution,
        )
        given.append(found.value)
        if about is None:
            part = slice(index, index + 1)
            one, spread = to_numpy(side.mean_at(part))[0], to_numpy(side.variance_at(part))[0]
            target.append(information_target_gaussian(one, spread, targets).value)
        else:
            target.append(about.value)
    named = zip(DRAWN, (given, target), strict=True)
    return {
        name + suffix: np.array([float(getattr(one, key)) for one in found])
        for name, found in named
        for suffix, key in (("", "value"), ("_standard_error", "standard_error"))
    }
