"""Mean, variance, covariance and samples of the outputs at one set of inputs, over all times."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ntkinfo.core.arrays import Array, float64, namespace
from ntkinfo.core.linear_algebra import spectrum, symmetric_part
from ntkinfo.kernels.records import CrossBlocks, SquareBlocks
from ntkinfo.training.time_factors import LinearForm, TimeFactors, factor, quadratic_form

if TYPE_CHECKING:
    from ntkinfo.training.output_distribution import OutputDistribution

_CHUNK_ELEMENTS = 1_000_000


class OutputLaw(ABC):
    """Gaussian law of the outputs at p inputs: outputs are independent and share one covariance.

    Attributes:
        times: (T,), in the caller's unit.
        initial_variance: (p,), the variance of the function before training.
        tangent: (n, p), a = UᵀΘ(X, x).
    """

    def __init__(self, distribution: OutputDistribution, tangent: Array, initial_variance: Array):
        self._distribution = distribution
        self.times = distribution.times
        self.tangent = tangent
        self.initial_variance = initial_variance

    @property
    def n_inputs(self) -> int:
        """The number of inputs p."""
        return self.initial_variance.shape[0]

    @property
    def n_outputs(self) -> int:
        """The number of outputs C."""
        return self._distribution.targets.shape[1]

    @property
    def mean(self) -> Float[Array, "t p c"]:
        """Mean at all times: T·p·C numbers; `chunks` streams them."""
        return self.mean_at(slice(None))

    def mean_at(self, chosen: slice) -> Float[Array, "t p c"]:
        """Mean at a slice of the times."""
        with float64():
            return self._mean_form.at(chosen)

    @cached_property
    def variance(self) -> Float[Array, "t p"]:
        """Variance at all times, one for all the outputs. Never below 0; what was clipped is in `notes`."""
        with float64():
            raw = self._raw_variance
            return namespace(raw).maximum(raw, 0.0)

    @cached_property
    def variance_error(self) -> Float[Array, "t p"]:
        """Bound on the error that truncating the time factorisation puts into `variance`."""
        with float64():
            return self._variance_error()

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What was clipped: variances that rounding carried below 0."""
        raw = self._raw_variance
        count = int((raw < 0).sum())
        if not count:
            return ()
        return (f"{count} variance(s) of {raw.size} below 0 by rounding taken as 0, the lowest {float(raw.min()):.1e}",)

    def chunks(self) -> Iterator[tuple[slice, Float[Array, "t p c"], Float[Array, "t p"]]]:
        """Stream (slice of the times, mean, variance), so that no (T, p, C) array is ever whole."""
        size = max(1, _CHUNK_ELEMENTS // (self.n_inputs * self.n_outputs))
        for start in range(0, len(self.times), size):
            chosen = slice(start, min(start + size, len(self.times)))
            yield chosen, self.mean_at(chosen), self.variance[chosen]

    def sample(self, seed: int, count: int, time: float) -> Float[np.ndarray, "s p c"]:
        """Draw `count` members' outputs at one time, jointly over the inputs, outputs independent.

        Eigenvalues of the covariance that rounding carried below 0 are taken as 0 (`spectrum`).
        """
        with float64():
            decomposition = spectrum(self.covariance(time), "the covariance of the outputs")
            root = np.asarray(decomposition.eigenvectors) * np.sqrt(np.asarray(decomposition.eigenvalues))[None, :]
            mean = np.asarray(self._mean_once(time))
        noise = np.random.default_rng(seed).standard_normal((count, root.shape[1], self.n_outputs))
        return mean[None] + np.einsum("pk,skc->spc", root, noise)

    def covariance(self, time: float) -> Float[Array, "p p"]:
        """Covariance between the inputs at one time (any in [0, ∞]), the same for every output.

        Raises:
            ValueError: the kernels among these inputs cannot be computed because the blocks have no source.
        """
        with float64():
            return symmetric_part(self._covariance(self._time(time)))

    @abstractmethod
    def _covariance(self, time: Array) -> Array: ...

    @abstractmethod
    def _variance(self) -> Float[Array, "t p"]: ...

    @abstractmethod
    def _variance_error(self) -> Float[Array, "t p"]: ...

    @cached_property
    def _raw_variance(self) -> Float[Array, "t p"]:
        return self._variance()

    @cached_property
    def _mean_form(self) -> LinearForm:
        return self._distribution.filter_factors.linear(self._distribution.targets, self.tangent)

    def _mean_once(self, time: float) -> Array:
        g = self._distribution.summed.filter(self._distribution.eigenvalues, self._time(time))
        return self.tangent.T @ (g.T * self._distribution.targets)

    def _time(self, time: float) -> Array:
        if not time >= 0:
            raise ValueError(f"time is {time}; it must be 0 or later, infinity included")
        return namespace(self.tangent).asarray([time * self._distribution.time_unit])

    def _langevin(self, times: Array) -> tuple[Array, Array]:
        """Return parameter variance along the eigen-directions (t, n) and across them (t, 1), by gradient noise."""
        summed, values = self._distribution.summed, self._distribution.eigenvalues
        along = summed.temperature * summed.injected_variance(values, times)
        return along, summed.temperature * summed.injected_variance(0 * values[:1], times)


class TestLaw(OutputLaw):
    """Law at inputs other than the training inputs."""

    __test__ = False  # not a test case, whatever pytest makes of the name

    def __init__(self, distribution: OutputDistribution, cross: CrossBlocks, square: Callable[[], SquareBlocks] | None):
        procedure, vectors = distribution.procedure, distribution.spectrum.eigenvectors
        with float64():
            # Θ(x, X) lies in the range of Θ(X, X): what rounding leaves in its null space is not signal.
            tangent = vectors.T @ getattr(cross, procedure.tangent).T
            tangent = namespace(tangent).where(distribution.spectrum.null[:, None], 0.0, tangent)
            same = procedure.prior == procedure.tangent
            self._prior_cross = tangent if same else vectors.T @ getattr(cross, procedure.prior).T
        super().__init__(distribution, tangent, getattr(cross, f"{procedure.prior}_diagonal"))
        self._tangent_diagonal = getattr(cross, f"{procedure.tangent}_diagonal")
        self._square = square

    def _variance(self):
        law, factors, times = self._distribution, self._distribution.filter_factors, self._distribution.internal_times
        linear = _weighted_sum(factors, self.tangent * self._prior_cross)
        total = self.initial_variance[None, :] - 2 * linear + self._explained
        if law.summed.temperature > 0:
            total = total + self._langevin_variance(times)
        return total

    @cached_property
    def _explained(self):
        """Variance of the trained part, the quadratic term."""
        law = self._distribution
        noise = law.summed.target_noise_variance
        if law.prior.ndim == 2:
            plain = quadratic_form(law.filter_factors, law.prior, self.tangent)
            return plain + (noise * self._squared_sum if noise else 0.0)
        weights = self.tangent**2 * (law.prior + noise)[:, None]
        return law.summed.filter(law.eigenvalues, law.internal_times) ** 2 @ weights

    @property
    def _squared_sum(self):
        law = self._distribution
        return law.summed.filter(law.eigenvalues, law.internal_times) ** 2 @ self.tangent**2

    def _langevin_variance(self, times):
        xp = namespace(self.tangent)
        along, across = self._langevin(times)
        null = self._distribution.spectrum.null[:, None]
        share = xp.where(null, 0.0, self.tangent**2 / xp.where(null, 1.0, self._distribution.eigenvalues[:, None]))
        outside = self._tangent_diagonal - xp.sum(share, axis=0)
        # An input that repeats a training input has nothing outside the training inputs' span but rounding.
        tolerance = self._distribution.spectrum.tolerance
        return across * xp.where(outside > tolerance, outside, 0.0)[None, :] + along @ share

    def _variance_error(self):
        """Bound |Δv| by the deviation of each filter value: |aΔg|·‖B^½ a g‖ twice, its square, and the linear term."""
        xp = namespace(self.tangent)
        law, deviation = self._distribution, self._distribution.filter_factors.error
        noise = law.summed.target_noise_variance
        reach = (deviation * xp.sqrt(law.prior_variance + noise)) @ xp.abs(self.tangent)
        linear = 2 * deviation @ xp.abs(self.tangent * self._prior_cross)
        if law.prior.ndim == 1:
            return xp.zeros_like(self._raw_variance) + linear[None, :]
        size = xp.sqrt(xp.maximum(self._explained, 0.0))
        return linear[None, :] + 2 * size * reach[None, :] + reach[None, :] ** 2

    def _covariance(self, time):
        law, xp = self._distribution, namespace(self.tangent)
        if self._square is None:
            raise ValueError("the kernel blocks have no source for the kernels among the test inputs")
        square = self._square()
        scaled = self.tangent * law.summed.filter(law.eigenvalues, time).T
        cross = scaled.T @ self._prior_cross
        prior = law.prior if law.prior.ndim == 2 else xp.diag(law.prior)
        total = getattr(square, law.procedure.prior) - cross - cross.T + scaled.T @ (prior @ scaled)
        total = total + law.summed.target_noise_variance * (scaled.T @ scaled)
        if law.summed.temperature > 0:
            along, across = self._langevin(time)
            null = law.spectrum.null
            weight = xp.where(null, 0.0, (across - along)[0] / xp.where(null, 1.0, law.eigenvalues))
            total = total + across[0, 0] * getattr(square, law.procedure.tangent)
            total = total - self.tangent.T @ (weight[:, None] * self.tangent)
        return total


class TrainLaw(OutputLaw):
    """Law at the training inputs, by residuals: small variances keep their relative precision."""

    def __init__(self, distribution: OutputDistribution):
        self._vectors = distribution.spectrum.eigenvectors
        diagonal = namespace(self._vectors).diagonal
        with float64():
            tangent = distribution.eigenvalues[:, None] * self._vectors.T
            prior = getattr(distribution.blocks.train, distribution.procedure.prior)
            super().__init__(distribution, tangent, diagonal(prior))

    @cached_property
    def _moving(self) -> np.ndarray:
        """Directions that carry variance: a null direction of both kernels has none but rounding."""
        law = self._distribution
        variance = np.asarray(law.prior_variance)
        empty = variance <= len(variance) * np.finfo(np.float64).eps * variance.max()
        return np.flatnonzero(~(np.asarray(law.spectrum.null) & empty))

    @cached_property
    def _factors(self) -> TimeFactors:
        law, xp = self._distribution, namespace(self._vectors)
        values, times = law.eigenvalues[self._moving], law.internal_times
        largest = xp.max(xp.abs(law.summed.residual(values, times)), axis=1)
        return factor(law.summed.residual, values, times, xp.where(largest > 0, largest, 1.0))

    @cached_property
    def _residual_part(self):
        law, chosen = self._distribution, self._moving
        if law.prior.ndim == 1:
            return law.summed.residual(law.eigenvalues, law.internal_times) ** 2 @ (
                law.prior[:, None] * self._vectors.T**2
            )
        prior = law.prior if len(chosen) == len(law.eigenvalues) else law.prior[chosen][:, chosen]
        form = quadratic_form(self._factors, prior, self._vectors.T[chosen])
        return form * self._factors.scale[:, None] ** 2

    def _variance(self):
        law, total = self._distribution, self._residual_part
        noise = law.summed.target_noise_variance
        if noise > 0:
            trained = law.eigenvalues[None, :] * law.summed.filter(law.eigenvalues, law.internal_times)
            total = total + noise * (trained**2 @ self._vectors.T**2)
        if law.summed.temperature > 0:
            along, _ = self._langevin(law.internal_times)
            total = total + _output_variance(along, law.eigenvalues) @ self._vectors.T**2
        return total

    def _variance_error(self):
        xp = namespace(self._vectors)
        law = self._distribution
        if law.prior.ndim == 1:
            return xp.zeros_like(self._raw_variance)
        spread = self._factors.error * xp.sqrt(xp.maximum(law.prior_variance[self._moving], 0.0))
        reach = self._factors.scale[:, None] * (spread @ xp.abs(self._vectors.T[self._moving]))[None, :]
        return 2 * xp.sqrt(xp.maximum(self._residual_part, 0.0)) * reach + reach**2

    def _covariance(self, time):
        law, xp = self._distribution, namespace(self._vectors)
        residual = law.summed.residual(law.eigenvalues, time)[0]
        prior = law.prior if law.prior.ndim == 2 else xp.diag(law.prior)
        core = residual[:, None] * prior * residual[None, :]
        trained = law.eigenvalues * law.summed.filter(law.eigenvalues, time)[0]
        extra = law.summed.target_noise_variance * trained**2
        if law.summed.temperature > 0:
            extra = extra + _output_variance(self._langevin(time)[0], law.eigenvalues)[0]
        return self._vectors @ (core + xp.diag(extra)) @ self._vectors.T


def _output_variance(along: Array, eigenvalues: Array) -> Array:
    """λ c_λ, 0 where λ = 0 even if the parameter variance c_0 is infinite."""
    xp = namespace(along)
    return xp.where(eigenvalues[None, :] > 0, along * eigenvalues[None, :], 0.0)


def _weighted_sum(factors: TimeFactors, weights: Float[Array, "n p"]) -> Float[Array, "t p"]:
    """Σ_j g_t(λ_j) w_jp at every time."""
    xp = namespace(weights)
    form = factors.linear(xp.ones((weights.shape[0], 1)), weights)
    return form.at(slice(None))[:, :, 0]
