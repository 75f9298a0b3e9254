"""The outputs' law at inputs that were not trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from jaxtyping import Float

from ntkinfo.core.arrays import Array, float64, namespace
from ntkinfo.core.linear_algebra import symmetric_part
from ntkinfo.kernels.records import CrossBlocks, SquareBlocks
from ntkinfo.training.output_law import OutputLaw
from ntkinfo.training.time_factors import TimeFactors, quadratic_form

if TYPE_CHECKING:
    from ntkinfo.training.output_distribution import OutputDistribution


@dataclass(frozen=True)
class Moments:
    """Parts of the joint law of p inputs' outputs at one time.

    Args:
        initial: (p, p), covariance before training.
        covariance: (p, p), exactly symmetric.
        change: (p, p), the covariance less the initial one, as it was computed: no digits lost where it is small.
        coefficients: (n, p), diag(g_t) Uᵀ Θ(X, x): their transpose maps targets in the eigenbasis to the mean.
        explained: (p, p), covariance of the mean when targets are drawn from N(0, P).
    """

    initial: Float[Array, "p p"]
    covariance: Float[Array, "p p"]
    change: Float[Array, "p p"]
    coefficients: Float[Array, "n p"]
    explained: Float[Array, "p p"]


class HeldOutLaw(OutputLaw):
    """Law at inputs other than the training inputs."""

    def __init__(self, distribution: OutputDistribution, cross: CrossBlocks, square: Callable[[], SquareBlocks] | None):
        procedure, vectors = distribution.procedure, distribution.spectrum.eigenvectors
        with float64():
            # a = UᵀΘ(X, x); Θ(x, X) lies in the range of Θ(X, X): what rounding leaves in its null space is not signal.
            tangent = vectors.T @ getattr(cross, procedure.tangent).T
            self._tangent = namespace(tangent).where(distribution.spectrum.null[:, None], 0.0, tangent)
            same = procedure.prior == procedure.tangent
            self._prior_cross = self._tangent if same else vectors.T @ getattr(cross, procedure.prior).T
        super().__init__(distribution, getattr(cross, f"{procedure.prior}_diagonal"))
        self._tangent_diagonal = getattr(cross, f"{procedure.tangent}_diagonal")
        self._square = square

    def _project(self, weights):
        return self._tangent.T @ weights

    def _prepare_mean(self):
        return self._distribution.filter_factors.linear(self._distribution.targets, self._tangent)

    def variance_at(self, chosen: slice) -> Float[Array, "t p"]:
        """Variance at a slice of the times; never below 0."""
        with float64():
            return self._xp.maximum(self._computed[chosen], 0.0)

    def _unclipped(self):
        return self._computed

    @cached_property
    def _computed(self) -> Float[Array, "t p"]:
        law, factors, times = self._distribution, self._distribution.filter_factors, self._distribution.internal_times
        linear = _weighted_sum(factors, self._tangent * self._prior_cross)
        total = self.initial_variance[None, :] - 2 * linear + self._explained
        if law.summed.temperature > 0:
            total = total + self._langevin_variance(times)
        return total

    @cached_property
    def _explained(self):
        """Variance of the trained part, the quadratic term."""
        noise = self._distribution.summed.target_noise_variance
        return self._explained_prior + (noise * self._squared_sum if noise else 0.0)

    @cached_property
    def _explained_prior(self):
        """Variance of the trained part but for noise on the targets."""
        law = self._distribution
        if law.prior.ndim == 2:
            return quadratic_form(law.filter_factors, law.prior, self._tangent)
        weights = self._tangent**2 * law.prior[:, None]
        return law.summed.filter(law.eigenvalues, law.internal_times) ** 2 @ weights

    def label_variance(self, labels):
        """Variance of the mean over targets from N(0, S), given UᵀSU or None for S = P."""
        with float64():
            if labels is None:
                return self._explained_prior.__getitem__
            return quadratic_form(self._distribution.filter_factors, labels, self._tangent).__getitem__

    def label_noise_variance(self, chosen: slice):
        """Variance of the mean over targets from N(0, I)."""
        with float64():
            return self._squared_sum[chosen]

    @cached_property
    def _squared_sum(self):
        law = self._distribution
        return law.summed.filter(law.eigenvalues, law.internal_times) ** 2 @ self._tangent**2

    def _langevin_variance(self, times):
        xp = self._xp
        along, across = self._langevin(times)
        null = self._distribution.spectrum.null[:, None]
        share = xp.where(null, 0.0, self._tangent**2 / xp.where(null, 1.0, self._distribution.eigenvalues[:, None]))
        outside = self._tangent_diagonal - xp.sum(share, axis=0)
        # An input that repeats a training input has nothing outside the training inputs' span but rounding.
        tolerance = self._distribution.spectrum.tolerance
        return across * xp.where(outside > tolerance, outside, 0.0)[None, :] + along @ share

    def variance_error_at(self, chosen: slice) -> Float[Array, "t p"]:
        """Bound |Δv| by the deviation of each filter value: |aΔg|·‖B^½ a g‖ twice, its square, and the linear term."""
        xp = self._xp
        with float64():
            reach, linear = self._deviations
            if self._distribution.prior.ndim == 1:
                return xp.zeros_like(self._computed[chosen]) + linear[None, :]
            size = xp.sqrt(xp.maximum(self._explained[chosen], 0.0))
            return linear[None, :] + 2 * size * reach[None, :] + reach[None, :] ** 2

    @cached_property
    def _deviations(self) -> tuple[Float[Array, " p"], Float[Array, " p"]]:
        """What the filter's deviations can do to the output along the prior, and to the linear term."""
        xp = self._xp
        law, deviation = self._distribution, self._distribution.filter_factors.error
        noise = law.summed.target_noise_variance
        reach = (deviation * xp.sqrt(xp.maximum(law.prior_variance, 0.0) + noise)) @ xp.abs(self._tangent)
        return reach, 2 * deviation @ xp.abs(self._tangent * self._prior_cross)

    def _covariance(self, time):
        return self._moments(time).covariance

    @cached_property
    def _among(self) -> SquareBlocks:
        """Kernels of these inputs among themselves, computed once."""
        if self._square is None:
            raise ValueError("the kernel blocks have no source for the kernels among the test inputs")
        return self._square()

    def moments(self, time: float) -> Moments:
        """Return what joint quantities at one time (any in [0, ∞]) are made of.

        Raises:
            ValueError: as `covariance`.
        """
        with float64():
            return self._moments(self._time(time))

    def _moments(self, time: Array) -> Moments:
        law, xp = self._distribution, self._xp
        square = self._among
        scaled = self._tangent * law.summed.filter(law.eigenvalues, time).T
        cross = scaled.T @ self._prior_cross
        prior = law.prior if law.prior.ndim == 2 else xp.diag(law.prior)
        initial = getattr(square, law.procedure.prior)
        explained = scaled.T @ (prior @ scaled)
        change = explained - cross - cross.T + law.summed.target_noise_variance * (scaled.T @ scaled)
        if law.summed.temperature > 0:
            along, across = self._langevin(time)
            null = law.spectrum.null
            weight = xp.where(null, 0.0, (across - along)[0] / xp.where(null, 1.0, law.eigenvalues))
            change = change + across[0, 0] * getattr(square, law.procedure.tangent)
            change = change - self._tangent.T @ (weight[:, None] * self._tangent)
        change = symmetric_part(change)
        return Moments(initial, symmetric_part(initial) + change, change, scaled, symmetric_part(explained))


def _weighted_sum(factors: TimeFactors, weights: Float[Array, "n p"]) -> Float[Array, "t p"]:
    """Σ_j g_t(λ_j) w_jp at every time."""
    xp = namespace(weights)
    form = factors.linear(xp.ones((weights.shape[0], 1)), weights)
    return form.at(slice(None))[:, :, 0]
