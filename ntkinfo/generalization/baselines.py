"""Baselines that know the hyperparameters and nothing of the kernel: what a measure has to beat."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ntkinfo.generalization.measure import Direction, Measure, NotComputable
from ntkinfo.generalization.views import LawView


def _given(name: str) -> Callable[[LawView], float]:
    def value(view: LawView) -> float:
        if name not in view.settings.hyperparameters:
            raise NotComputable("not among the hyperparameters given")
        return float(view.settings.hyperparameters[name])

    return value


def _baseline(name: str, symbol: str, formula: str, direction: Direction, function: Callable[[LawView], float]):
    return Measure(
        name=name,
        symbol=symbol,
        unit="1",
        formula=formula,
        source="baseline",
        needs=("hyperparameters",),
        direction=direction,
        place="model",
        function=function,
        outputs="does not depend on them",
    )


MEASURES = (
    _baseline("n_train", "n", "training inputs", "higher", lambda view: float(len(view.law.data.x_train))),
    _baseline("n_features", "d", "numbers in an input", "lower", lambda view: float(view.law.data.x_train[0].size)),
    _baseline("n_outputs", "C", "outputs", "lower", lambda view: float(view.law.n_outputs)),
    _baseline("ridge_strength", "ρ", "ridge of the procedure", "higher", lambda view: view.law.procedure.ridge),
    _baseline(
        "target_noise",
        "σ_y²",
        "noise variance that members see on their targets",
        "higher",
        lambda view: view.law.procedure.target_noise_variance,
    ),
    _baseline("temperature", "τ", "of gradient noise", "higher", lambda view: view.law.procedure.temperature),
    _baseline("depth", "L", "hidden layers", "lower", _given("depth")),
    _baseline("w_std", "σ_w", "deviation of the weights", "lower", _given("w_std")),
    _baseline("b_std", "σ_b", "deviation of the biases", "lower", _given("b_std")),
    _baseline("label_noise", "ε", "noise on the labels", "lower", _given("label_noise")),
    Measure(
        name="training_time",
        symbol="t",
        unit="time",
        formula="time of training, in the caller's unit",
        source="baseline",
        needs=("hyperparameters",),
        direction="lower",
        place="time",
        function=lambda view: np.array(view.law.times),
        outputs="does not depend on them",
    ),
)
