"""Leave-one-out errors of kernel ridge regression and of its Gaussian process, without refitting.

Leaving input i out changes its residual to e_i = α_i/[G_s⁻¹]_ii and its predictive variance, noise counted, to
1/[G_s⁻¹]_ii: exactly, whatever the kernel.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ntkinfo.generalization.measure import Measure
from ntkinfo.generalization.views import RidgeView

_SOURCE = "Rasmussen & Williams 2006, 5.4.2"


def residuals(view: RidgeView) -> Float[np.ndarray, "n c"]:
    """y_i − f₋ᵢ(x_i)."""
    return view.weights / view.inverse_diagonal[:, None]


def loo_squared_error(view: RidgeView) -> float:
    """Mean of |y_i − f₋ᵢ(x_i)|²."""
    return float(np.mean(np.sum(residuals(view) ** 2, axis=1)))


def loo_error(view: RidgeView) -> float:
    """Share of the inputs that the others classify wrongly."""
    targets, left = view.kernel.targets, residuals(view)
    size = np.max(np.abs(targets), axis=1) + np.max(np.abs(left), axis=1)
    return float(np.mean(view.kernel.classes.mistakes(targets - left, size)))


def loo_log_loss(view: RidgeView) -> float:
    """Mean of −log N(y_i; f₋ᵢ(x_i), v₋ᵢ), v₋ᵢ = 1/[G_s⁻¹]_ii."""
    squared, precision = np.sum(residuals(view) ** 2, axis=1), view.inverse_diagonal
    return 0.5 * float(np.mean(squared * precision + view.kernel.outputs * np.log(2 * np.pi / precision)))


MEASURES = (
    Measure(
        name="loo_squared_error",
        symbol="LOO",
        unit="target²",
        formula="(1/n) Σ_i |α_i|²/[G_s⁻¹]_ii²",
        source=_SOURCE,
        needs=("kernel", "ridge", "targets"),
        direction="lower",
        place="ridge",
        function=loo_squared_error,
    ),
    Measure(
        name="loo_error",
        symbol="LOO₀₁",
        unit="1",
        formula="(1/n) Σ_i [y_i − α_i/[G_s⁻¹]_ii puts x_i into a wrong class]",
        source=_SOURCE,
        needs=("kernel", "ridge", "targets", "classes"),
        direction="lower",
        place="ridge",
        function=loo_error,
        outputs="arg-max; the sign of a single output",
    ),
    Measure(
        name="loo_log_loss",
        symbol="−L_LOO/n",
        unit="nat",
        formula="−(1/n) Σ_i log N(y_i; y_i − α_i/[G_s⁻¹]_ii, 1/[G_s⁻¹]_ii)",
        source=_SOURCE,
        needs=("kernel", "ridge", "targets"),
        direction="lower",
        place="ridge",
        function=loo_log_loss,
    ),
)
