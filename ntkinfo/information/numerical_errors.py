"""Numerical errors of the closed forms: how far rounding and the truncated time factors carry means and variances.

Three sources are followed. (a) Truncation of the time factorisation, `TimeFactors.error`. (b) The eigen-decomposition
and the kernels answer for Θ + E next to Θ (`error_growth`). As |g(Θ + E) − g(Θ)|_jk ≤ g_j |E_jk| g_k for gradient flow
without ridge (twice that with one), the mean at x moves by at most ‖E‖·‖a_x g‖·‖g ŷ‖ and the variance by the square of
√v + ‖E‖·‖a_x g‖·‖g (B + σ_y²)^½‖ less v, with ‖a_x g‖ ≤ Θ(x, x)^½ max_j λ_j^½ g_j; the kernels of x with the training
inputs and the covariance before training have errors of their own. (c) Rounding of the sums themselves. Targets count
as given exactly. Directions that are taken as null for want of digits alone count as if they might be learned: at
infinite time without ridge that makes errors at test inputs infinite. Notation: theory §1 and
`training/output_distribution.py`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np

from ntkinfo.core.arrays import to_numpy
from ntkinfo.core.records import Estimate
from ntkinfo.information.anchored_errors import AnchoredErrors
from ntkinfo.information.error_growth import EPSILON, TRUNCATION, ErrorGrowth
from ntkinfo.information.label_model import LabelModel
from ntkinfo.information.path import Path
from ntkinfo.information.side_errors import SideErrors
from ntkinfo.training.held_out_law import HeldOutLaw


class NumericalErrors(ErrorGrowth):
    """Errors of the output law of one distribution, at every time and on both splits.

    Args:
        distribution: the law of the outputs.
    """

    def side(self, split: str) -> SideErrors:
        """Errors at the training or the test inputs."""
        return self._sides[split]

    @cached_property
    def _sides(self) -> dict[str, SideErrors]:
        law = self._law.test
        test = SideErrors(self, self._law, "test")
        if isinstance(law, HeldOutLaw) and law.anchors is not None:
            test = AnchoredErrors(self, self._law, law)
        return {"train": SideErrors(self, self._law, "train"), "test": test}

    def path(self, result: Path) -> dict[str, np.ndarray]:
        """Errors of the path's quantities by name, (T,) each; that of the length beside the quadrature's."""
        unit = self._law.time_unit
        rounding = {name: self.unit * np.abs(getattr(result, name)) for name in ("speed_squared", "energy", "distance")}
        energy = self.growth.energy * unit + rounding["energy"]
        size = to_numpy(result.energy)
        if getattr(self._law.summed, "momentum", 0.0) > 0:
            # What is spent is computed as what is left less than the whole.
            energy = energy + 8 * EPSILON * float(np.max(size))
        relative = np.divide(energy, size, out=np.zeros_like(energy), where=size > 0)
        return {
            "fisher_trace": (self.unit + self._law.blocks.kernel_error) * to_numpy(result.fisher_trace),
            "speed_squared": self.growth.speed * unit**2 + rounding["speed_squared"],
            "path_energy": energy,
            "parameter_distance_squared": self.growth.distance + rounding["distance"],
            "path_length": 0.5 * relative * np.asarray(result.length.value),
        }

    def linear_model(self, estimate: Estimate) -> Estimate:
        """The linear model's relative entropy with the error of its log-determinant and of its quadratic term."""
        return self._widened(estimate, self._logarithm(estimate) + self.growth.quadratic)

    def function_space(self, estimate: Estimate, model: LabelModel | None = None) -> Estimate:
        """A joint quantity of decaying residuals with the error of its log-determinant.

        Args:
            estimate: the relative entropy to the start, or the information about labels.
            model: of the labels.
        """
        return self.joint(self._widened(estimate, self._logarithm(estimate)), model)

    def joint(self, estimate: Estimate, model: LabelModel | None = None) -> Estimate:
        """A joint quantity at the training inputs, with what undecided directions may add to it.

        Args:
            estimate: the relative entropy to the start, or the information about labels.
            model: of the labels.
        """
        unseen = self.growth.unseen if model is None else self.unseen_labels(model.noise_variance)
        return self._widened(estimate, unseen)

    def _logarithm(self, estimate: Estimate) -> np.ndarray:
        value = np.asarray(estimate.value)
        size = np.where(np.isfinite(value), np.abs(value), 0.0)
        return self._law.n_outputs * self.growth.logarithm + (self.unit + 4 * TRUNCATION) * size

    def _widened(self, estimate: Estimate, extra: np.ndarray) -> Estimate:
        return self.where_decided(widened(estimate, np.where(np.isfinite(np.asarray(estimate.value)), extra, 0.0)))

    def where_decided(self, estimate: Estimate) -> Estimate:
        """The estimate, with an infinite error at times when directions may be learned that count as null."""
        lost = ~np.isfinite(self.growth.learned) | ~np.isfinite(self.growth.spread)
        return widened(estimate, np.where(lost, np.inf, 0.0)) if np.any(lost) else estimate


def widened(estimate: Estimate, extra: np.ndarray | float) -> Estimate:
    """The estimate with a further error: added to a numerical one, in quadrature to a standard error."""
    old = np.asarray(estimate.standard_error)
    total = np.hypot(old, extra) if estimate.meaning == "Monte Carlo" else old + extra
    return replace(estimate, standard_error=float(total) if np.ndim(total) == 0 else total)
