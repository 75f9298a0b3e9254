"""Trials measured: all measures and the true generalisation of each, with everything shared that trials have in common.

The trials of a group share data and, by depth, kernels (`trial_models`). Of each kernel's decomposition one law is made
for every ridge and procedure, over all their stopping times; label noise changes its targets alone.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import numpy as np
import xarray as xr

from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import float64
from ntkinfo.generalization.evaluation import measure_values, row_of
from ntkinfo.generalization.registry import MEASURES
from ntkinfo.generalization.views import MeasureSettings
from ntkinfo.information.curve_table import SPLITS
from ntkinfo.search.trial_curves import DRAWN, trial_curves
from ntkinfo.search.trial_data import noisy_data
from ntkinfo.search.trial_description import AXES, MEASURE_VERSION, Outcome, Trial, TrialOptions, Value
from ntkinfo.search.trial_finite import KEYS, Truth, finite_rows
from ntkinfo.search.trial_models import FAMILIES_HERE, Family
from ntkinfo.training.discrete import GradientDescent, HeavyBall
from ntkinfo.training.output_distribution import OutputDistribution, output_distribution
from ntkinfo.training.procedures import Converged, GradientFlow, Procedure, nngp_posterior, ntk_posterior

__all__ = [
    "AXES",
    "MEASURE_VERSION",
    "Outcome",
    "Trial",
    "TrialOptions",
    "measure_names",
    "measure_trials",
]

_DRAWN = ("information_input_train", "information_input_test", "information_target_train")
_LOSSES_ONLY = ("training_loss", "training_error")


@checked
def measure_trials(trials: Sequence[Trial]) -> Iterator[Outcome]:
    """Measure trials, best those of one group: kernels and decompositions stay in this process for the next call.

    Args:
        trials: in any order.

    Yields:
        One outcome a trial, as they are finished. A trial that raises an exception has it in its outcome, and the
        others go on.
    """
    for alike in _chunks(trials):
        start = time.perf_counter()
        try:
            rows = _rows(alike)
        except Exception as error:
            if len(alike) > 1:
                # Perhaps one of them alone is at fault.
                for trial in alike:
                    yield from measure_trials([trial])
                continue
            text = f"{type(error).__name__}: {error}"
            yield Outcome(alike[0].fingerprint, alike[0].settings, text, time.perf_counter() - start)
            continue
        seconds = (time.perf_counter() - start) / len(alike)
        for trial, row in zip(alike, rows, strict=True):
            yield Outcome(trial.fingerprint, {**row, "seconds": seconds}, None, seconds)


def in_order(trials: Iterable[Trial]) -> list[Trial]:
    """Trials so that neighbours share most, the deepest of a group first: its kernel brings the others."""
    return sorted(trials, key=lambda trial: (*_alike(trial), trial.noise, trial.time))


def _alike(trial: Trial) -> tuple:
    """What trials have in common that differ in stopping time and noise alone."""
    return trial.group, -trial.depth, trial.ridge, trial.procedure, repr(trial.options)


def _chunks(trials: Iterable[Trial]) -> Iterator[list[Trial]]:
    for _, alike in groupby(in_order(trials), key=_alike):
        yield list(alike)


def _rows(alike: Sequence[Trial]) -> list[dict[str, Value]]:
    """Rows of trials that differ in stopping time and noise alone, in their order."""
    family = FAMILIES_HERE.of(alike[0])
    times = np.unique([trial.time for trial in alike])
    law = _law(family, alike[0], times)
    rows: list[dict[str, Value]] = []
    for noise, same in groupby(alike, key=lambda trial: trial.noise):
        data = noisy_data(family.data, noise, alike[0].seed)
        rows += _rows_of_targets(list(same), law.for_targets(data), family)
    return rows


def _law(family: Family, trial: Trial, times: np.ndarray) -> OutputDistribution:
    """The law of the outputs, with what does not depend on the targets computed already."""
    blocks = family.blocks(trial.depth)
    kind = _procedure(trial, 1.0)
    known = family.decomposition(trial.depth, kind.tangent, kind.prior)
    largest = float(known.spectrum.eigenvalues[-1])
    law = output_distribution(blocks, family.data, _procedure(trial, largest), times, known)
    with float64():
        _ = law.filter_factors, law.train.variance, law.test.variance
    return law


def _procedure(trial: Trial, largest: float) -> Procedure:
    """The procedure, its step a share of the one that the largest eigenvalue allows."""
    options, step = trial.options, trial.options.step_share / (largest + trial.ridge)
    if trial.procedure == "gradient_descent":
        return GradientDescent(ridge=trial.ridge, step_size=step)
    if trial.procedure == "heavy_ball":
        return HeavyBall(ridge=trial.ridge, step_size=step, momentum=options.momentum)
    if trial.procedure == "nngp_posterior":
        return nngp_posterior(trial.ridge)
    if trial.procedure == "ntk_posterior":
        return ntk_posterior(trial.ridge)
    return {"gradient_flow": GradientFlow, "converged": Converged}[trial.procedure](ridge=trial.ridge)


def measure_names(quantities: str) -> tuple[str, ...]:
    """Measures of a trial: all of the registry but for those whose information quantities are not computed."""
    left_out = {"none": [name for name, m in MEASURES.items() if m.place == "curve" and name not in _LOSSES_ONLY]}
    left_out |= {"closed": list(_DRAWN), "all": []}
    return tuple(name for name in MEASURES if name not in left_out[quantities])


def _rows_of_targets(trials: Sequence[Trial], law: OutputDistribution, family: Family) -> list[dict[str, Value]]:
    """Rows of trials that differ in stopping time alone."""
    first = trials[0]
    curves = trial_curves(law, first.options.quantities, first.options.samples, first.seed)
    known = {"ntk": ("ntk", "nngp"), "nngp": ("nngp", "nngp")}
    spectra = {name: family.decomposition(first.depth, *pair).spectrum for name, pair in known.items()}
    given = {"depth": float(first.depth), "w_std": first.w_std, "b_std": first.b_std, "label_noise": first.noise}
    settings = MeasureSettings(ridges=(first.ridge,), hyperparameters=given)
    names = measure_names(first.options.quantities)
    values = measure_values(law, curves=curves, settings=settings, names=names, spectra=spectra)
    rows: list[dict[str, Value]] = []
    for trial in trials:
        index = int(np.searchsorted(law.times, trial.time))
        extra = {"n_test": len(law.data.x_test), "outputs": law.n_outputs, **_errors(curves, index)}
        rows.append({**row_of(values, 0, index), **_truth(curves, index).row(), **extra, **trial.settings})
    if first.options.finite_width:
        for row, more in zip(rows, finite_rows(trials, law.data, float(law.eigenvalues[-1])), strict=True):
            row.update(more)
    return rows


def _errors(curves: xr.Dataset, index: int) -> dict[str, float]:
    """`information_input_train_standard_error` and the like, at one time."""
    return {
        f"{name}_{split}_standard_error": float(curves[f"{name}_standard_error"].values[index, k])
        for name in DRAWN
        for k, split in enumerate(SPLITS)
        if name in curves and f"{name}_{split}" in MEASURES
    }


def _truth(curves: xr.Dataset, index: int) -> Truth:
    """Read losses and errors off the curves at one time."""
    names = dict(zip(KEYS, ("loss_mean", "loss_gibbs", "error_mean", "error_member"), strict=True))
    train, test = (
        {key: float(curves[name].values[index, k]) if name in curves else math.nan for key, name in names.items()}
        for k in (0, 1)
    )
    return Truth(train, test)
