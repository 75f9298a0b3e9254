"""What measures are computed from: one eigen-decomposition a kernel for every ridge, one law of outputs for every time.

Notation: G a kernel of the n training inputs, (λ, U) its eigenpairs, ŷ = UᵀY, s the ridge, G_s = G + s I, H = G G_s⁻¹,
α = G_s⁻¹ Y. A ridge costs products with U and U ∘ U, no factorisation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import xarray as xr
from jaxtyping import Float

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.linear_algebra import Spectrum
from ntkinfo.core.records import Dataset
from ntkinfo.generalization.classes import Classes, classes_of
from ntkinfo.generalization.measure import NotComputable
from ntkinfo.training.output_distribution import OutputDistribution

HYPERPARAMETERS = ("depth", "w_std", "b_std", "label_noise")


@checked
@dataclass(frozen=True)
class MeasureSettings:
    """Free numbers in measures.

    Args:
        ridges: s of the measures that have one, in the units of the kernels (those of the summed loss); None for the
            training procedure's own. 0 is allowed where the kernel has full rank.
        failure_probability: δ of the PAC-Bayes bounds: they hold with probability 1 − δ over training sets.
        margin_quantile: which quantile of the margins.
        observation_variance: of the Gaussian likelihood in the gap between Gibbs and Bayes loss.
        hyperparameters: of the model, for the baselines that use nothing else: "depth", "w_std", "b_std",
            "label_noise".

    Raises:
        ValueError: a number out of range, ridges that repeat, an unknown hyperparameter.
    """

    ridges: tuple[float, ...] | None = None
    failure_probability: float = 0.05
    margin_quantile: float = 0.1
    observation_variance: float = 1.0
    hyperparameters: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self):
        for ridge in self.ridges or ():
            checks.non_negative("ridges", ridge)
        if self.ridges is not None and (not self.ridges or len(set(self.ridges)) < len(self.ridges)):
            raise ValueError(f"ridges is {self.ridges}; give at least one, each once, or None for the procedure's own")
        for name in ("failure_probability", "margin_quantile"):
            checks.probability(name, getattr(self, name))
            checks.positive(name, getattr(self, name))
        checks.positive("observation_variance", self.observation_variance)
        for name, value in self.hyperparameters.items():
            checks.choice("hyperparameters", name, HYPERPARAMETERS)
            checks.finite_number(f"hyperparameters[{name!r}]", value)


@dataclass(frozen=True)
class KernelView:
    """One kernel of the training inputs and its decomposition, on the host.

    Args:
        name: "nngp" or "ntk".
        matrix: (n, n) G.
        spectrum: of G.
        projected: (n, C) ŷ.
        data: inputs and targets.
        settings: free numbers.
    """

    name: str
    matrix: Float[np.ndarray, "n n"]
    spectrum: Spectrum
    projected: Float[np.ndarray, "n c"]
    data: Dataset
    settings: MeasureSettings

    @property
    def targets(self) -> Float[np.ndarray, "n c"]:
        """Y."""
        return self.data.y_train

    @property
    def n(self) -> int:
        """The number of training inputs."""
        return len(self.matrix)

    @property
    def outputs(self) -> int:
        """The number of outputs C."""
        return self.projected.shape[1]

    @property
    def eigenvalues(self) -> Float[np.ndarray, " n"]:
        """Eigenvalues λ, ascending."""
        return np.asarray(self.spectrum.eigenvalues)

    @property
    def vectors(self) -> Float[np.ndarray, "n n"]:
        """Eigenvectors U, in columns."""
        return np.asarray(self.spectrum.eigenvectors)

    @cached_property
    def energies(self) -> Float[np.ndarray, " n"]:
        """Σ_c ŷ_ic²: what of the targets lies along each eigenvector."""
        return np.sum(self.projected**2, axis=1)

    @cached_property
    def squared_vectors(self) -> Float[np.ndarray, "n n"]:
        """U ∘ U."""
        return self.vectors**2

    @cached_property
    def centred(self) -> Float[np.ndarray, "n n"]:
        """G with the means of its rows and columns taken out."""
        rows = self.matrix.mean(axis=0)
        return self.matrix - rows[None, :] - rows[:, None] + rows.mean()

    @cached_property
    def classes(self) -> Classes:
        """Right classes; raises NotComputable where there are none."""
        return classes_of(self.data)

    def require_full_rank(self) -> None:
        """Raise NotComputable where G is singular to rounding."""
        null = self.n - self.spectrum.rank
        if null:
            raise NotComputable(f"{null} of the kernel's {self.n} eigenvalues are 0 to rounding, and nothing is added")


@dataclass(frozen=True)
class RidgeView:
    """A kernel with a ridge s on its diagonal."""

    kernel: KernelView
    ridge: float

    @property
    def condition(self) -> float:
        """Largest over smallest eigenvalue of G_s; infinite where it is singular."""
        values = self.kernel.eigenvalues + self.ridge
        return float(values[-1] / values[0]) if values[0] > 0 else float("inf")

    @cached_property
    def inverse(self) -> Float[np.ndarray, " n"]:
        """1/(λ + s).

        Raises:
            NotComputable: G is singular to rounding and s no larger than that rounding.
        """
        spectrum = self.kernel.spectrum
        if self.ridge <= spectrum.tolerance and spectrum.rank < self.kernel.n:
            self.kernel.require_full_rank()
        return 1 / (self.kernel.eigenvalues + self.ridge)

    @cached_property
    def shrink(self) -> Float[np.ndarray, " n"]:
        """Eigenvalues λ/(λ + s) of H; 0 in null directions, also for s = 0."""
        values = self.kernel.eigenvalues
        return np.where(values > 0, values / np.where(values > 0, values + self.ridge, 1.0), 0.0)

    @cached_property
    def weights(self) -> Float[np.ndarray, "n c"]:
        """α."""
        return self.kernel.vectors @ (self.inverse[:, None] * self.kernel.projected)

    @cached_property
    def inverse_diagonal(self) -> Float[np.ndarray, " n"]:
        """Diagonal of G_s⁻¹."""
        return self.kernel.squared_vectors @ self.inverse

    @cached_property
    def leverages(self) -> Float[np.ndarray, " n"]:
        """Diagonal of H."""
        return self.kernel.squared_vectors @ self.shrink

    @cached_property
    def fitted(self) -> Float[np.ndarray, "n c"]:
        """H Y: mean of the Gaussian process posterior at the training inputs."""
        return self.kernel.vectors @ (self.shrink[:, None] * self.kernel.projected)

    @property
    def posterior_variance(self) -> Float[np.ndarray, " n"]:
        """Variance s H_ii of that posterior, noise not counted."""
        return self.ridge * self.leverages

    @cached_property
    def log_gain(self) -> float:
        """Log det(I + G/s); infinite for s = 0."""
        return float(np.sum(np.log1p(self.kernel.eigenvalues / self.ridge))) if self.ridge > 0 else float("inf")


@dataclass(frozen=True)
class PairView:
    """Both kernels of the training inputs."""

    nngp: KernelView
    ntk: KernelView


@dataclass(frozen=True)
class LawView:
    """The outputs' law over time, and curves computed from it by the caller.

    Args:
        law: of the outputs.
        settings: free numbers.
        curves: over (time, split) or (time,), as `information_curves` gives them, or None.
    """

    law: OutputDistribution
    settings: MeasureSettings
    curves: xr.Dataset | None

    @cached_property
    def classes(self) -> Classes:
        """Right classes; raises NotComputable where there are none."""
        return classes_of(self.law.data)

    def over_train(self, function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Float[np.ndarray, " t"]:
        """Apply a function of mean (t, n, C) and variance (t, n) at the training inputs to runs of times."""
        parts = [function(np.asarray(mean), np.asarray(variance)) for _, mean, variance in self.law.train.chunks()]
        return np.concatenate(parts)

    def curve(self, name: str, split: str | None = None) -> tuple[Float[np.ndarray, " t"], Float[np.ndarray, " t"]]:
        """Values and errors of a curve; errors are 0 where it states none.

        Raises:
            NotComputable: no curves were given, or not this one.
        """
        if self.curves is None:
            raise NotComputable("needs `curves`, which were not given")
        if name not in self.curves:
            raise NotComputable(f"needs the curve {name}, which is not among those given")
        value = self._values(name, split)
        error = f"{name}_standard_error"
        return value, self._values(error, split) if error in self.curves else np.zeros_like(value)

    def _values(self, name: str, split: str | None) -> np.ndarray:
        assert self.curves is not None
        variable = self.curves[name]
        if split is None:
            return np.asarray(variable, dtype=np.float64)
        place = self.curves["split"].values.tolist().index(split)
        return np.asarray(variable.transpose("time", "split"), dtype=np.float64)[:, place]
