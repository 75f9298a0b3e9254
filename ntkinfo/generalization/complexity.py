"""Norms and Rademacher complexities of the functions that fit the targets."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ntkinfo.core import checks
from ntkinfo.generalization.bisection import bisect
from ntkinfo.generalization.measure import Measure, NotComputable
from ntkinfo.generalization.views import KernelView, RidgeView


def target_norm(view: KernelView) -> float:
    """Tr YᵀG⁻¹Y/n: squared norm of the least function that takes the targets, over n."""
    view.require_full_rank()
    return float(view.energies @ (1 / view.eigenvalues)) / view.n


def norm_bound(view: KernelView) -> float:
    """(2 tr YᵀG⁻¹Y/n)^½."""
    return float(np.sqrt(2 * target_norm(view)))


def local_complexity(view: KernelView) -> float:
    """Radius r that its own local Rademacher complexity does not exceed: r = ((2/n) Σ min(r, λ_i/n))^½."""
    if view.eigenvalues[-1] == 0:
        raise NotComputable("the kernel is 0")
    # The complexity is at most that of the whole ball, and above the radius as long as all eigenvalues are.
    high = float(np.sqrt(2 * view.eigenvalues.sum())) / view.n
    low = float(min(view.spectrum.rank, view.eigenvalues[view.eigenvalues > 0][0])) / view.n

    def above(log_radius: float) -> bool:
        radius = float(np.exp(log_radius))
        return local_rademacher(view.eigenvalues, radius) >= radius

    return float(np.exp(bisect(above, float(np.log(min(low, high))), float(np.log(high)))[0]))


def local_rademacher(eigenvalues: Float[np.ndarray, " n"], radius: float) -> float:
    """((2/n) Σ min(r, λ_i/n))^½: complexity of the unit ball's functions of mean square at most r.

    Args:
        eigenvalues: (n,), of the kernel matrix.
        radius: r > 0.

    Source: Mendelson 2002; Bartlett, Bousquet & Mendelson 2005.
    """
    checks.positive("radius", radius)
    n = len(eigenvalues)
    return float(np.sqrt(2 / n * np.sum(np.minimum(radius, eigenvalues / n))))


def posterior_margin(view: RidgeView) -> float:
    """A low quantile of the margins of the Gaussian process posterior over their deviations."""
    kernel = view.kernel
    scaled = kernel.classes.scaled_margins(view.fitted, view.posterior_variance)
    return float(lower_quantile(scaled, kernel.settings.margin_quantile))


def lower_quantile(values: Float[np.ndarray, "*t n"], share: float) -> Float[np.ndarray, "*t"]:
    """Smallest value that at least this share of the values do not exceed, along the last axis."""
    place = int(np.ceil(share * values.shape[-1])) - 1
    return np.sort(values, axis=-1)[..., place]


MEASURES = (
    Measure(
        name="target_norm",
        symbol="YᵀG⁻¹Y/n",
        unit="target²",
        formula="tr YᵀG⁻¹Y/n",
        source="Arora et al. 2019",
        needs=("kernel", "targets"),
        direction="lower",
        place="kernel",
        function=target_norm,
    ),
    Measure(
        name="norm_bound",
        symbol="√(2YᵀG⁻¹Y/n)",
        unit="target",
        formula="(2 tr YᵀG⁻¹Y/n)^½; bounds the error of a ±1 target for the NTK of one hidden layer, up to log terms",
        source="Arora et al. 2019",
        needs=("kernel", "targets"),
        direction="lower",
        place="kernel",
        function=norm_bound,
        meaning="estimate",
    ),
    Measure(
        name="local_complexity",
        symbol="r*",
        unit="1",
        formula="r = ((2/n) Σ min(r, λ_i/n))^½",
        source="Bartlett, Bousquet & Mendelson 2005",
        needs=("kernel",),
        direction="lower",
        place="kernel",
        function=local_complexity,
        meaning="estimate",
        outputs="does not depend on them",
    ),
    Measure(
        name="posterior_margin",
        symbol="q(m/√v)",
        unit="1",
        formula="quantile of y_i μ_i/√v_i, μ = HY, v_i = s H_ii; for more outputs (μ_y − max μ_c)/√(2v)",
        source="Schapire et al. 1998; Rasmussen & Williams 2006",
        needs=("kernel", "ridge", "targets", "classes"),
        direction="higher",
        place="ridge",
        function=posterior_margin,
        outputs="right output less the largest wrong one",
    ),
)
