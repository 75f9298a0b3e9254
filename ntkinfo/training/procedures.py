"""A training procedure is a spectral filter: all that changes from one to the next is a function of the eigenvalues.

With residuals that evolve linearly, θ_t − θ_0 = −Jᵀ A_t (f_0(X) − Y) and A_t = U diag(g_t(λ)) Uᵀ, where λ, U are the
eigenvalues and eigenvectors of the tangent kernel on the training inputs and μ = λ + ridge.

Notation: `filter` is g_t(λ); `residual` is r_t = 1 − λ g_t; `rate` is dg/dt; `energy` is ∫₀ᵗ (dg/ds)² ds;
`injected_variance` is c_t(λ), the variance that gradient noise has put into a parameter direction.
Filters speak the time of the summed loss ½ Σ|f − y|²; `Procedure.summed` converts a procedure given for the mean loss.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array, namespace

TimeByMode = Float[Array, "t n"]


@dataclass(frozen=True, kw_only=True)
class Procedure(ABC):
    """What every training procedure shares: the objective, the ensemble, and where randomness enters.

    Args:
        ridge: ρ ≥ 0, weight decay towards the initial parameters, in the units of the summed loss: the objective is
            ½ Σ_i |f(x_i) − y_i|² + ½ ρ |θ − θ_0|² (the whole of it divided by nC for `loss="mean"`).
        target_noise_variance: σ_y² ≥ 0; every member of the ensemble sees its own noise N(0, σ_y² I) on the targets.
        temperature: τ ≥ 0 of Langevin noise, dθ = −∇L dt + √(2τ) dW.
        tangent: kernel that drives training: "ntk" (all the parameters) or "nngp" (the readout layer alone).
        prior: covariance of the function at the start: "nngp" (ordinary initialisation) or "ntk" (an ensemble with
            randomised priors, whose trained members sample the NTK Gaussian process).
        loss: "sum", ½ Σ|f − y|², or "mean", that over nC: the same trajectory in a time nC times as long.

    Raises:
        ValueError: a negative or non-finite number, or an unknown name.
    """

    ridge: float = 0.0
    target_noise_variance: float = 0.0
    temperature: float = 0.0
    tangent: str = "ntk"
    prior: str = "nngp"
    loss: str = "sum"

    def __post_init__(self):
        for name in ("ridge", "target_noise_variance", "temperature"):
            checks.non_negative(name, getattr(self, name))
        checks.choice("tangent", self.tangent, ("ntk", "nngp"))
        checks.choice("prior", self.prior, ("nngp", "ntk"))
        checks.choice("loss", self.loss, ("sum", "mean"))

    def time_unit(self, n_targets: int) -> float:
        """Time of the summed loss in one unit of the caller's time: 1, or 1/(nC) for the mean loss."""
        return 1.0 if self.loss == "sum" else 1.0 / n_targets

    @property
    def is_noisy(self) -> bool:
        """Whether targets or gradients carry noise: the trained function is then no affine map of the initial one."""
        return self.target_noise_variance > 0 or self.temperature > 0

    def summed(self, n_targets: int) -> Procedure:
        """Return the procedure on the summed loss that follows the same trajectory, in times `time_unit` as long."""
        return replace(self, loss="sum", temperature=self.temperature / self.time_unit(n_targets))

    def check(self, largest: float, times: Float[Array, " t"], n_targets: int) -> None:
        """Raise ValueError where the procedure diverges on a kernel with this largest eigenvalue, or at these times."""
        if self.temperature > 0 and self.ridge == 0 and bool(np.isinf(np.asarray(times)[-1])):
            raise ValueError(
                "temperature is above 0 with ridge 0: parameters diffuse without bound and the variance at infinite "
                "time is infinite; leave infinity out of the times, or give a ridge"
            )

    @abstractmethod
    def filter(self, eigenvalues: Float[Array, " n"], times: Float[Array, " t"]) -> TimeByMode:
        """g_t(λ); at infinite time 1/μ, and 0 where μ = 0."""

    @abstractmethod
    def residual(self, eigenvalues: Float[Array, " n"], times: Float[Array, " t"]) -> TimeByMode:
        """r_t(λ) = 1 − λ g_t(λ), without cancellation where it is small."""

    @abstractmethod
    def log_residual(self, eigenvalues: Float[Array, " n"], times: Float[Array, " t"]) -> TimeByMode:
        """Logarithm of |r_t(λ)|, exact where r_t underflows; −∞ where r_t = 0."""

    def scaled_residual(
        self, eigenvalues: Float[Array, " n"], log_scale: Float[Array, " t"], times: Float[Array, " t"]
    ) -> TimeByMode:
        """r_t(λ) e^{−log_scale}, where it can be had also for residuals too small for a floating-point number."""
        return self.residual(eigenvalues, times) * namespace(eigenvalues).exp(-log_scale)[:, None]

    @abstractmethod
    def rate(self, eigenvalues: Float[Array, " n"], times: Float[Array, " t"]) -> TimeByMode:
        """dg/dt, or the coming step's difference over the step size."""

    @abstractmethod
    def energy(self, eigenvalues: Float[Array, " n"], times: Float[Array, " t"]) -> TimeByMode:
        """∫₀ᵗ (dg/ds)² ds, or the sum over the steps taken."""

    @abstractmethod
    def injected_variance(self, eigenvalues: Float[Array, " n"], times: Float[Array, " t"]) -> TimeByMode:
        """c_t(λ): parameter variance along an eigen-direction that Langevin noise of temperature 1 has built up."""

    def _left(self, eigenvalues: Float[Array, " n"], decay: TimeByMode) -> TimeByMode:
        """R from the decay 1 − μ g of the whole objective: (ρ + λ (1 − μ g))/μ."""
        if self.ridge == 0:
            return decay
        row = eigenvalues[None, :]
        return (self.ridge + row * decay) / (row + self.ridge)

    @property
    def step(self) -> float | None:
        """Size of a discrete step in the summed loss's time, or None for continuous time."""
        return None


@checked
@dataclass(frozen=True, kw_only=True)
class GradientFlow(Procedure):
    """Continuous-time gradient descent: g = (1 − e^{−μt})/μ, with the limit t at μ = 0.

    Source: Jacot et al. 2018; Lee et al. 2019; with a ridge, theory §1.
    """

    def filter(self, eigenvalues, times):
        xp = namespace(eigenvalues)
        mu, z = self._exponent(eigenvalues, times)
        safe = xp.where(mu > 0, mu, 1.0)
        limit = xp.where(xp.isfinite(times), times, 0.0)[:, None]
        return xp.where(mu > 0, -xp.expm1(-z) / safe, limit)

    def residual(self, eigenvalues, times):
        xp = namespace(eigenvalues)
        mu, z = self._exponent(eigenvalues, times)
        return self._left(eigenvalues, xp.where(mu > 0, xp.exp(-z), 1.0))

    def log_residual(self, eigenvalues, times):
        xp = namespace(eigenvalues)
        if self.ridge == 0:
            return -self._exponent(eigenvalues, times)[1]
        return xp.log(self.residual(eigenvalues, times))

    def scaled_residual(self, eigenvalues, log_scale, times):
        if self.ridge > 0:
            return super().scaled_residual(eigenvalues, log_scale, times)
        return namespace(eigenvalues).exp(self.log_residual(eigenvalues, times) - log_scale[:, None])

    def rate(self, eigenvalues, times):
        xp = namespace(eigenvalues)
        mu, z = self._exponent(eigenvalues, times)
        return xp.where((mu > 0) | xp.isfinite(times)[:, None], xp.exp(-z), 0.0)

    def energy(self, eigenvalues, times):
        xp = namespace(eigenvalues)
        mu, z = self._exponent(eigenvalues, times)
        safe = xp.where(mu > 0, mu, 1.0)
        return xp.where(mu > 0, -xp.expm1(-2 * z) / (2 * safe), xp.where(xp.isfinite(times), times, 0.0)[:, None])

    def injected_variance(self, eigenvalues, times):
        xp = namespace(eigenvalues)
        mu, z = self._exponent(eigenvalues, times)
        safe = xp.where(mu > 0, mu, 1.0)
        return xp.where(mu > 0, -xp.expm1(-2 * z) / safe, 2 * times[:, None])

    def _exponent(self, eigenvalues, times):
        """Return μ as a row, and μt with 0·∞ taken as 0."""
        xp = namespace(eigenvalues)
        mu = (eigenvalues + self.ridge)[None, :]
        finite = xp.where(xp.isfinite(times), times, 0.0)[:, None]
        z = xp.where(xp.isfinite(times)[:, None], mu * finite, xp.where(mu > 0, xp.inf, 0.0))
        return mu, z


@checked
@dataclass(frozen=True, kw_only=True)
class Converged(GradientFlow):
    """Training to convergence: g = 1/μ (0 at μ = 0) at every time asked for.

    `path_energy` and `path_length` are those of the gradient flow that leads there.
    """

    def filter(self, eigenvalues, times):
        return super().filter(eigenvalues, namespace(eigenvalues).full_like(times, np.inf))

    def residual(self, eigenvalues, times):
        return super().residual(eigenvalues, namespace(eigenvalues).full_like(times, np.inf))

    def log_residual(self, eigenvalues, times):
        return super().log_residual(eigenvalues, namespace(eigenvalues).full_like(times, np.inf))

    def scaled_residual(self, eigenvalues, log_scale, times):
        return super().scaled_residual(eigenvalues, log_scale, namespace(eigenvalues).full_like(times, np.inf))

    def rate(self, eigenvalues, times):
        return super().rate(eigenvalues, namespace(eigenvalues).full_like(times, np.inf))

    def energy(self, eigenvalues, times):
        return super().energy(eigenvalues, namespace(eigenvalues).full_like(times, np.inf))

    def injected_variance(self, eigenvalues, times):
        return super().injected_variance(eigenvalues, namespace(eigenvalues).full_like(times, np.inf))

    def check(self, largest, times, n_targets):
        super().check(largest, np.asarray([np.inf]), n_targets)


@checked
def nngp_posterior(noise_variance: float) -> Converged:
    """Exact Bayesian inference with the network's own prior: the NNGP posterior K_** − K_*(K + σ²)⁻¹K_*ᵀ.

    It is training to convergence of the readout layer alone with ridge σ² and targets perturbed by N(0, σ²)
    (theory: Matthews et al. 2017, "Sample-then-optimize").

    Raises:
        ValueError: a noise variance that is negative or not finite.
    """
    checks.non_negative("noise_variance", noise_variance)
    return Converged(ridge=noise_variance, target_noise_variance=noise_variance, tangent="nngp")


@checked
def ntk_posterior(noise_variance: float) -> Converged:
    """The posterior of a Gaussian process whose covariance is the NTK: Θ_** − Θ_*(Θ + σ²)⁻¹Θ_*ᵀ.

    Training to convergence of an ensemble with randomised priors (He, Lakshminarayanan & Teh 2020).

    Raises:
        ValueError: a noise variance that is negative or not finite.
    """
    checks.non_negative("noise_variance", noise_variance)
    return Converged(ridge=noise_variance, target_noise_variance=noise_variance, prior="ntk")
