"""Measures of the trained ensemble: from its outputs' law at each time, and from curves computed from that law."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from ntkinfo.core.arrays import float64
from ntkinfo.generalization.complexity import lower_quantile
from ntkinfo.generalization.measure import Direction, Measure, Need, NotComputable
from ntkinfo.generalization.views import LawView
from ntkinfo.training.discrete import HeavyBall
from ntkinfo.training.procedures import Converged

Curve = tuple[Float[np.ndarray, " t"], Float[np.ndarray, " t"]]

# Of losses in [0, 1], as variables that are sub-Gaussian: deviation at most ½.
_SUB_GAUSSIAN = 0.5


def gibbs_bayes_gap(view: LawView) -> Float[np.ndarray, " t"]:
    """Expected log-loss of a member less that of the predictive law, on the training set; never below 0.

    Mean of ½ [|e|² v/(σ²(v + σ²)) + C (v/σ² − log(1 + v/σ²))], which subtracts nothing.
    """
    noise, targets = view.settings.observation_variance, view.law.data.y_train

    def gap(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
        squared = np.sum((mean - targets[None]) ** 2, axis=2)
        ratio = variance / noise
        each = squared * ratio / (variance + noise) + targets.shape[1] * _excess(ratio)
        return 0.5 * np.mean(each, axis=1)

    return view.over_train(gap)


def variance_train(view: LawView) -> Float[np.ndarray, " t"]:
    """Variance of a member's outputs, averaged over the training inputs."""
    return view.law.n_outputs * np.mean(np.asarray(view.law.train.variance), axis=1)


def variance_test(view: LawView) -> Float[np.ndarray, " t"]:
    """Variance of a member's outputs, averaged over the test inputs, whose targets are not looked at."""
    return view.law.n_outputs * np.mean(np.asarray(view.law.test.variance), axis=1)


def trained_margin(view: LawView) -> Float[np.ndarray, " t"]:
    """A low quantile of the training inputs' margins over their deviations."""
    share, classes = view.settings.margin_quantile, view.classes
    return view.over_train(lambda mean, variance: lower_quantile(classes.scaled_margins(mean, variance), share))


def loss_area(view: LawView) -> Float[np.ndarray, " t"]:
    """∫₀ᵗ of the ensemble mean's training loss ½|mean − y|²/n, in the caller's time; a sum over steps where they are.

    Residuals are r = (ρ + λ d)/μ with d = dg/dt the decay of the whole objective, so that with ∫ d² = energy and
    ∫ d = g it is ∫ r² = (ρ² t + 2 ρ λ g + λ² energy)/μ². Training to convergence has the area of the gradient flow.

    Raises:
        NotComputable: heavy-ball momentum, whose decay is not dg/dt.
    """
    law, summed = view.law, view.law.summed
    if isinstance(summed, HeavyBall):
        raise NotComputable("has no closed form with heavy-ball momentum")
    with float64():
        values, times = law.eigenvalues, law.internal_times
        gained, energy = (np.asarray(f(values, times)) for f in (summed.filter, summed.energy))
        # Where nothing decays the energy is the time that has passed, in whole steps where there are steps.
        passed = np.asarray(replace(summed, ridge=0.0).energy(values[:1] * 0, times))[:, 0]
    passed = np.where(np.isinf(np.asarray(times)) | isinstance(summed, Converged), np.inf, passed)
    spectrum, ridge = np.asarray(values), summed.ridge
    scale = np.where(spectrum + ridge > 0, spectrum + ridge, 1.0)
    losses = _initial_losses(view)
    swept = (2 * ridge * spectrum * gained + spectrum**2 * energy) / scale**2 @ losses
    lasting = float(np.where(spectrum > 0, ridge / scale, 1.0) ** 2 @ losses)
    return (swept + (passed * lasting if lasting > 0 else 0.0)) / law.time_unit


def _initial_losses(view: LawView) -> Float[np.ndarray, " n"]:
    """½|ŷ_j|²/n; what rounding leaves of the targets in a direction is not a loss that stays for ever."""
    losses = np.sum(np.asarray(view.law.targets) ** 2, axis=1) / (2 * len(view.law.data.y_train))
    least = (len(losses) * np.finfo(np.float64).eps) ** 2 * losses.sum()
    return np.where(losses > least, losses, 0.0)


def _excess(x: np.ndarray) -> np.ndarray:
    """Difference x − log(1 + x) for x ≥ 0, by its series where it would cancel."""
    small = x < 1e-3
    s = np.where(small, x, 0.0)
    series = s**2 * (1 / 2 - s * (1 / 3 - s * (1 / 4 - s * (1 / 5 - s / 6))))
    return np.where(small, series, x - np.log1p(x))


def _from_curve(name: str, split: str | None) -> Callable[[LawView], Curve]:
    return lambda view: view.curve(name, split)


def _risk_bound(name: str) -> Callable[[LawView], Curve]:
    """(2 σ² I/n)^½ for losses in [0, 1], with I taken from a curve."""

    def bound(view: LawView) -> Curve:
        value, error = view.curve(name)
        factor = 2 * _SUB_GAUSSIAN**2 / len(view.law.data.y_train)
        root, above = np.sqrt(factor * value), np.sqrt(factor * (value + error))
        return root, np.where(np.isfinite(root), above, 0.0) - np.where(np.isfinite(root), root, 0.0)

    return bound


def _law(name: str, symbol: str, unit: str, formula: str, source: str, function, **more) -> Measure:
    known = {"needs": ("law", "targets"), "direction": "lower", **more}
    return Measure(
        name=name, symbol=symbol, unit=unit, formula=formula, source=source, place="time", function=function, **known
    )


def _curve(
    name: str, symbol: str, unit: str, curve: str, split: str | None, source: str, direction: Direction = "lower"
) -> Measure:
    where = "" if split is None else f", {split} inputs"
    needs: tuple[Need, ...] = ("curves", "law", "test inputs" if split == "test" else "targets")
    return Measure(
        name=name,
        symbol=symbol,
        unit=unit,
        formula=f"the curve {curve}{where}",
        source=source,
        needs=needs,
        direction=direction,
        place="curve",
        function=_from_curve(curve, split),
        meaning="estimate",
        outputs="as the curve has them",
    )


_2019 = "Shwartz-Ziv & Alemi 2019"

MEASURES = (
    _law(
        "gibbs_bayes_gap",
        "L_Gibbs − L_Bayes",
        "nat",
        "mean of ½ [|e|² v/(σ²(v + σ²)) + C (v/σ² − log(1 + v/σ²))], training inputs",
        "Germain et al. 2016; theory §7",
        gibbs_bayes_gap,
    ),
    _law(
        "variance_train", "C v̄", "target²", "C mean v_t, training inputs", "theory §7", variance_train, needs=("law",)
    ),
    _law(
        "variance_test",
        "C v̄*",
        "target²",
        "C mean v_t, test inputs",
        "theory §7",
        variance_test,
        needs=("law", "test inputs"),
    ),
    _law(
        "trained_margin",
        "q(m_t/√v_t)",
        "1",
        "quantile of y_i mean_i/√v_i at time t; for more outputs (mean_y − max mean_c)/√(2v)",
        "Schapire et al. 1998",
        trained_margin,
        needs=("law", "targets", "classes"),
        direction="higher",
        outputs="right output less the largest wrong one",
    ),
    _law(
        "loss_area",
        "∫L",
        "target²·time",
        "∫₀ᵗ ½|mean_s − y|²/n ds, training inputs",
        "Lyle et al. 2020 (training speed)",
        loss_area,
    ),
    _curve("training_loss", "L_t", "target²", "loss_mean", "train", "theory §7"),
    _curve("training_error", "L₀₁", "1", "error_mean", "train", "theory §7"),
    _curve("parameter_distance_squared", "|θ_t − θ_0|²", "1", "parameter_distance_squared", None, "theory §6"),
    _curve("path_length", "∫|θ'|", "1", "path_length", None, "theory §6"),
    _curve("path_energy", "∫|θ'|²", "1/time", "path_energy", None, "theory §6"),
    _curve("information_parameters", "I(θ;D)", "nat", "information_parameters", None, "theory §5.1"),
    _curve("information_parameters_linear", "KL(θ_t‖θ_0)", "nat", "information_parameters_linear", None, _2019),
    _curve("information_input_train", "I(Z;X)", "nat", "information_input", "train", _2019),
    _curve("information_input_test", "I(Z;X)*", "nat", "information_input", "test", _2019),
    _curve("information_target_train", "I(Z;Y)", "nat", "information_target", "train", _2019, "higher"),
    _curve("information_training_set_train", "I(Z;D|X)", "nat", "information_training_set", "train", _2019),
    _curve("information_training_set_test", "I(Z;D|X)*", "nat", "information_training_set", "test", _2019),
    _curve("information_labels_train", "I(Z;D|X)_S", "nat", "information_training_set_labels", "train", "theory §4"),
    _curve("information_labels_test", "I(Z;D|X)_S*", "nat", "information_training_set_labels", "test", "theory §4"),
    Measure(
        name="risk_bound_function",
        symbol="√(2σ²I/n)",
        unit="1",
        formula="(I/2n)^½, I the curve information_parameters: the form of the bound, but no bound for this I",
        source="Xu & Raginsky 2017",
        needs=("curves", "law", "targets"),
        direction="lower",
        place="curve",
        function=_risk_bound("information_parameters"),
        meaning="estimate",
        outputs="as the curve has them",
    ),
    Measure(
        name="risk_bound_linear",
        symbol="√(2σ²I/n) linear",
        unit="1",
        formula="(I/2n)^½, I the curve information_parameters_linear; with I averaged over training sets a bound on "
        "the mean gap of a loss in [0, 1], where P = Θ",
        source="Xu & Raginsky 2017",
        needs=("curves", "law", "targets"),
        direction="lower",
        place="curve",
        function=_risk_bound("information_parameters_linear"),
        meaning="estimate",
        outputs="as the curve has them",
    ),
)

CURVES = (
    "loss_mean",
    "error_mean",
    "parameter_distance_squared",
    "path_length",
    "path_energy",
    "information_parameters",
    "information_parameters_linear",
    "information_input",
    "information_target",
    "information_training_set",
    "information_training_set_labels",
)
"""Curves that measures are read from."""
