"""Measures of the kernel's eigenvalues alone."""

from __future__ import annotations

import numpy as np

from ntkinfo.generalization.measure import Measure, NotComputable
from ntkinfo.generalization.views import KernelView, RidgeView

_LEAST_RANKS = 3


def trace(view: KernelView) -> float:
    """Tr G."""
    return float(np.trace(view.matrix))


def stable_rank(view: KernelView) -> float:
    """Tr G/λ₁."""
    return trace(view) / _largest(view)


def participation_ratio(view: KernelView) -> float:
    """(tr G)²/‖G‖²_F."""
    _largest(view)
    return trace(view) ** 2 / float(np.sum(view.matrix**2))


def spectral_entropy(view: KernelView) -> float:
    """−Σ p_i log p_i with p_i = λ_i/tr G."""
    _largest(view)
    values = view.eigenvalues[view.eigenvalues > 0]
    share = values / values.sum()
    return float(0.0 - np.sum(share * np.log(share)))


def decay_exponent(view: KernelView) -> float:
    """Minus the slope of log λ_i over log i, by least squares over the ranks i from n/10 to n/2.

    The first ranks follow no power law yet, and the last ones are bent by the finite number of inputs.
    """
    first, last = max(1, -(-view.n // 10)), view.n // 2
    ranks = np.arange(first, last + 1)
    values = view.eigenvalues[::-1][first - 1 : last]
    ranks, values = ranks[values > 0], values[values > 0]
    if len(ranks) < _LEAST_RANKS:
        raise NotComputable(f"{len(ranks)} eigenvalue(s) above 0 at ranks {first} to {last} and a slope needs three")
    log_rank, log_value = np.log(ranks), np.log(values)
    log_rank = log_rank - log_rank.mean()
    return float(-(log_rank @ log_value) / (log_rank @ log_rank))


def effective_dimension(view: RidgeView) -> float:
    """Tr H."""
    return float(np.sum(view.shrink))


def effective_dimension_squared(view: RidgeView) -> float:
    """Tr H²."""
    return float(np.sum(view.shrink**2))


def leverage_ratio(view: RidgeView) -> float:
    """Largest leverage over the mean one, n max_i H_ii/tr H."""
    _largest(view.kernel)
    return view.kernel.n * float(np.max(view.leverages)) / effective_dimension(view)


def _largest(view: KernelView) -> float:
    value = float(view.eigenvalues[-1])
    if value == 0:
        raise NotComputable("the kernel is 0")
    return value


MEASURES = (
    Measure(
        name="trace",
        symbol="tr G",
        unit="1",
        formula="tr G; for the NTK the trace of the Fisher information of one output",
        source="Jacot et al. 2018",
        needs=("kernel",),
        direction="lower",
        place="kernel",
        function=trace,
        outputs="does not depend on them",
    ),
    Measure(
        name="stable_rank",
        symbol="tr G/λ₁",
        unit="1",
        formula="tr G/λ₁",
        source="Tropp 2015 (intrinsic dimension)",
        needs=("kernel",),
        direction="lower",
        place="kernel",
        function=stable_rank,
        outputs="does not depend on them",
    ),
    Measure(
        name="participation_ratio",
        symbol="(tr G)²/‖G‖²",
        unit="1",
        formula="(tr G)²/‖G‖_F²",
        source="participation ratio of a spectrum",
        needs=("kernel",),
        direction="lower",
        place="kernel",
        function=participation_ratio,
        outputs="does not depend on them",
    ),
    Measure(
        name="spectral_entropy",
        symbol="H(λ)",
        unit="nat",
        formula="−Σ p_i log p_i, p_i = λ_i/tr G",
        source="Roy & Vetterli 2007",
        needs=("kernel",),
        direction="lower",
        place="kernel",
        function=spectral_entropy,
        outputs="does not depend on them",
    ),
    Measure(
        name="decay_exponent",
        symbol="a",
        unit="1",
        formula="−slope of log λ_i over log i, ranks n/10 to n/2",
        source="Bordelon, Canatar & Pehlevan 2020",
        needs=("kernel",),
        direction="higher",
        place="kernel",
        function=decay_exponent,
        meaning="estimate",
        outputs="does not depend on them",
    ),
    Measure(
        name="effective_dimension",
        symbol="tr H",
        unit="1",
        formula="Σ λ/(λ + s)",
        source="Zhang 2005; Caponnetto & De Vito 2007",
        needs=("kernel", "ridge"),
        direction="lower",
        place="ridge",
        function=effective_dimension,
        outputs="does not depend on them",
    ),
    Measure(
        name="effective_dimension_squared",
        symbol="tr H²",
        unit="1",
        formula="Σ (λ/(λ + s))²",
        source="Hsu, Kakade & Zhang 2014",
        needs=("kernel", "ridge"),
        direction="lower",
        place="ridge",
        function=effective_dimension_squared,
        outputs="does not depend on them",
    ),
    Measure(
        name="leverage_ratio",
        symbol="n max H_ii/tr H",
        unit="1",
        formula="n max_i H_ii/tr H",
        source="Bach 2013",
        needs=("kernel", "ridge"),
        direction="lower",
        place="ridge",
        function=leverage_ratio,
        outputs="does not depend on them",
    ),
)
