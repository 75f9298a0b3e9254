"""The same trials with networks of finite width that are really trained: losses and errors beside those of the law."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ntkinfo.core.progress import silent
from ntkinfo.core.records import Dataset
from ntkinfo.finite.ensembles import EnsembleOutputs, EnsembleSettings, train_ensemble
from ntkinfo.information.losses import closed_form
from ntkinfo.search.trial_description import Trial, Value
from ntkinfo.search.trial_models import network_of
from ntkinfo.training.discrete import GradientDescent, HeavyBall

_TRAINED = ("gradient_flow", "gradient_descent", "heavy_ball")


@dataclass(frozen=True)
class Truth:
    """Losses ½|f − y|² and classification errors of the ensemble's mean and of one member (Gibbs).

    Args:
        train: "loss_mean", "loss_member", "error_mean", "error_member" on the training inputs and their noisy targets;
            errors are NaN without classes.
        test: the same on the test inputs and their clean targets.
    """

    train: dict[str, float]
    test: dict[str, float]

    def row(self, prefix: str = "") -> dict[str, Value]:
        """Flat: `train_error_mean`, `test_error_mean`, `error_gap_mean` = test − train, and so on."""
        found: dict[str, Value] = {}
        for key in self.test:
            kind, whose = key.split("_")
            found[f"{prefix}train_{key}"], found[f"{prefix}test_{key}"] = self.train[key], self.test[key]
            found[f"{prefix}{kind}_gap_{whose}"] = self.test[key] - self.train[key]
        return found


KEYS = ("loss_mean", "loss_member", "error_mean", "error_member")
_NOTHING = Truth(dict.fromkeys(KEYS, math.nan), dict.fromkeys(KEYS, math.nan))


def finite_rows(trials: Sequence[Trial], data: Dataset, largest: float) -> list[dict[str, Value]]:
    """Columns `finite_…` of trials that differ in stopping time alone.

    Gradient flow is followed by gradient descent with the step of `options.step_share`. Times that take more than
    `options.finite_steps` steps, infinity among them, and procedures that know only the end have NaN.

    Args:
        trials: the trials.
        data: with their label noise.
        largest: eigenvalue of the tangent kernel of infinite width.
    """
    first = trials[0]
    step = first.options.step_share / (largest + first.ridge)
    reached = [t.time for t in trials if t.procedure in _TRAINED and t.time <= step * first.options.finite_steps]
    if not reached:
        return [_NOTHING.row("finite_") for _ in trials]
    times = np.unique(reached)
    outputs = _trained(first, data, times, step)
    found = []
    for trial in trials:
        index = int(np.searchsorted(times, trial.time))
        there = index < len(times) and times[index] == trial.time
        found.append((_truth(outputs, index, data) if there else _NOTHING).row("finite_"))
    return found


def _trained(trial: Trial, data: Dataset, times: np.ndarray, step: float) -> EnsembleOutputs:
    procedure = GradientDescent(ridge=trial.ridge, step_size=step)
    if trial.procedure == "heavy_ball":
        procedure = HeavyBall(ridge=trial.ridge, step_size=step, momentum=trial.options.momentum)
    return train_ensemble(
        network_of(trial, trial.depth),
        data,
        times,
        procedure=procedure,
        width=trial.options.finite_width,
        settings=EnsembleSettings(members=trial.options.finite_members, seed=trial.seed, precision="float32"),
        progress=silent,
    )


def _truth(outputs: EnsembleOutputs, index: int, data: Dataset) -> Truth:
    train = _side(outputs.train[index], data.y_train, data.labels_train)
    return Truth(train, _side(outputs.test[index], data.y_test, data.labels_test))


def _side(
    members: Float[np.ndarray, "m p c"], targets: Float[np.ndarray, "p c"], labels: Int[np.ndarray, " p"] | None
) -> dict[str, float]:
    members = np.asarray(members, dtype=np.float64)
    found = {}
    for whose, some in (("mean", members.mean(axis=0, keepdims=True)), ("member", members)):
        values = closed_form(some, np.zeros(some.shape[:2]), targets, labels)
        for kind in ("loss", "error"):
            each = values.get(f"{kind}_mean")
            found[f"{kind}_{whose}"] = math.nan if each is None else float(np.mean(np.asarray(each)))
    return {key: found[key] for key in KEYS}
