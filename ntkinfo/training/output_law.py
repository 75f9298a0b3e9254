"""Mean, variance, covariance and samples of the outputs at one set of inputs, over all times."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ntkinfo.core.arrays import Array, float64, log_size, namespace
from ntkinfo.core.linear_algebra import symmetric_part
from ntkinfo.training.time_factors import LinearForm

if TYPE_CHECKING:
    from ntkinfo.training.output_distribution import OutputDistribution

AtTimes = Callable[[slice], Array]

_CHUNK_ELEMENTS = 250_000
# Cached properties that hold targets, of every kind of law.
_OF_TARGETS = ("_mean_form", "_residual_form", "_end", "_gap")
# Rounding and truncated time factors, in units of the sizes of which a mean is made.
_TIE = 1e-12
# Change of a covariance's entries, for each input and in units of the variance before training, that rounding explains.
_REPAIRED = 1e-11
EPSILON = float(np.finfo(np.float64).eps)
ROUNDING = 32 * EPSILON


@dataclass(frozen=True)
class CovarianceRoot:
    """A root of a covariance, and what was repaired to have one.

    Args:
        root: (p, k), R with R Rᵀ the covariance.
        repaired: the largest change of an entry of the covariance.
        notes: says so where eigenvalues were below 0.
    """

    root: Float[np.ndarray, "p k"]
    repaired: float
    notes: tuple[str, ...]


class OutputLaw(ABC):
    """Gaussian law of the outputs at p inputs: outputs are independent and share one covariance.

    Attributes:
        times: (T,), in the caller's unit.
        initial_variance: (p,), the variance of the function before training.
    """

    def __init__(self, distribution: OutputDistribution, initial_variance: Array, tangent_diagonal: Array):
        self._distribution = distribution
        self.tangent_diagonal = tangent_diagonal
        self._xp = namespace(distribution.eigenvalues)
        self.times = distribution.times
        self.initial_variance = initial_variance

    def of(self, distribution: OutputDistribution) -> OutputLaw:
        """Return this law in a distribution that differs in its targets alone, sharing what does not depend on them."""
        other = copy.copy(self)
        other._distribution = distribution
        for name in _OF_TARGETS:
            vars(other).pop(name, None)
        return other

    @property
    def n_inputs(self) -> int:
        """The number of inputs p."""
        return self.initial_variance.shape[0]

    @property
    def n_outputs(self) -> int:
        """The number of outputs C."""
        return self._distribution.targets.shape[1]

    @property
    def distribution(self) -> OutputDistribution:
        """The law at every input that this one is a part of."""
        return self._distribution

    @property
    def mean(self) -> Float[Array, "t p c"]:
        """Mean at all times: T·p·C numbers; `chunks` streams them."""
        return self.mean_at(slice(None))

    def mean_at(self, chosen: slice) -> Float[Array, "t p c"]:
        """Mean at a slice of the times."""
        with float64():
            return self._mean_form.at(chosen)

    def ties_at(self, chosen: slice) -> Float[Array, "t p"]:
        """What rounding can leave between two outputs of an input that are equal, or of one that is 0.

        A share of the most that the mean can be, |mean| ≤ Θ(x, x)^½ ‖f‖ with ‖f‖² = Σ_j λ_j (g_t(λ_j) ŷ_j)².
        """
        law, xp = self._distribution, self._xp
        with float64():
            g = law.summed.filter(law.eigenvalues, law.internal_times[chosen])
            norm = xp.sqrt(g**2 @ (law.eigenvalues * xp.sum(law.targets**2, axis=1)))
            return _TIE * norm[:, None] * xp.sqrt(xp.maximum(self.tangent_diagonal, 0.0))[None, :]

    def mean_once(self, time: float) -> Float[Array, "p c"]:
        """Mean at one time, any in [0, ∞]."""
        with float64():
            return self.mean_for(time, self._distribution.targets)

    def mean_for(self, time: float, targets: Float[Array, "n k"]) -> Float[Array, "p k"]:
        """Mean at one time after training on other targets, given in the eigenbasis (UᵀY)."""
        with float64():
            g = self._distribution.summed.filter(self._distribution.eigenvalues, self._time(time))
            return self._project(g.T * targets)

    @abstractmethod
    def label_variance(self, labels: Float[Array, "n n"] | None) -> AtTimes:
        """Variance of an output's mean when its targets are drawn from N(0, S), as a function of a slice of the times.

        Args:
            labels: UᵀSU, or None for S = P, the covariance of the function before training (nearly free).
        """

    @abstractmethod
    def label_noise_variance(self, chosen: slice) -> Float[Array, "t p"]:
        """Variance of an output's mean at a slice of the times when its targets are drawn from N(0, I)."""

    @cached_property
    def variance(self) -> Float[Array, "t p"]:
        """Variance at all times, one for all the outputs. Never below 0; what was clipped is in `notes`."""
        return self.variance_at(slice(None))

    @abstractmethod
    def variance_at(self, chosen: slice) -> Float[Array, "t p"]:
        """Variance at a slice of the times."""

    def log_variance_at(self, chosen: slice) -> Float[Array, "t p"]:
        """Logarithm of the variance, right also where that is too small for a floating-point number; −∞ for 0."""
        variance = self.variance_at(chosen)
        with float64():
            return log_size(variance)

    def separated_at(self, index: int) -> tuple[Float[Array, "p c"], Float[Array, " p"]]:
        """Mean and variance at one time of outputs with the same information about inputs and classes.

        They are the mean and variance themselves, except where a law knows how to keep digits that these have lost.
        """
        chosen = slice(index, index + 1)
        return self.mean_at(chosen)[0], self.variance_at(chosen)[0]

    @cached_property
    def variance_error(self) -> Float[Array, "t p"]:
        """Bound on the error that truncating the time factorisation puts into `variance`."""
        return self.variance_error_at(slice(None))

    @abstractmethod
    def variance_error_at(self, chosen: slice) -> Float[Array, "t p"]:
        """`variance_error` at a slice of the times."""

    def log_variance_error_at(self, chosen: slice) -> Float[Array, "t p"]:
        """Bound on the error of the logarithm of the variance, by truncation and rounding; ∞ where that is −∞."""
        variance = self.variance_at(chosen)
        with float64():
            error = self.variance_error_at(chosen) + ROUNDING * self.initial_variance[None, :]
            return relative_error(error, variance)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What was clipped: variances that rounding carried below 0."""
        with float64():
            raw = self._unclipped()
            count, lowest = int((raw < 0).sum()), float(raw.min())
        if not count:
            return ()
        return (f"{count} variance(s) of {raw.size} below 0 by rounding taken as 0, the lowest {lowest:.1e}",)

    def chunks(self) -> Iterator[tuple[slice, Float[Array, "t p c"], Float[Array, "t p"]]]:
        """Stream (slice of the times, mean, variance), so that no (T, p, C) array is ever whole."""
        for chosen in self.parts():
            yield chosen, self.mean_at(chosen), self.variance_at(chosen)

    def parts(self) -> Iterator[slice]:
        """The slices of the times that `chunks` streams over."""
        size = max(1, _CHUNK_ELEMENTS // (self.n_inputs * self.n_outputs))
        for start in range(0, len(self.times), size):
            yield slice(start, min(start + size, len(self.times)))

    def sample(self, seed: int, count: int, time: float) -> Float[np.ndarray, "s p c"]:
        """Draw `count` members' outputs at one time, jointly over the inputs, outputs independent.

        Every output has the law's variance, however little training has left of it; what had to be repaired between
        them says `covariance_root`.

        Raises:
            ValueError: as `covariance_root`.
        """
        root = self.covariance_root(time).root
        with float64():
            mean = np.asarray(self.mean_once(time))
        noise = np.random.default_rng(seed).standard_normal((count, root.shape[1], self.n_outputs))
        return mean[None] + np.einsum("pk,skc->spc", root, noise)

    def covariance_root(self, time: float) -> CovarianceRoot:
        """Find R with R Rᵀ the covariance at one time, with its variances, and say what rounding made necessary.

        Correlations are decomposed instead of covariances, so that outputs that hardly vary keep their digits beside
        others. Eigenvalues that rounding carried below 0 are taken as 0 and the variances restored.

        Raises:
            ValueError: as `covariance`; eigenvalues below 0 by more than rounding explains.
        """
        covariance = np.asarray(self.covariance(time))
        std = np.sqrt(np.diagonal(covariance))
        scale = np.where(std > 0, std, 1.0)
        correlation = covariance / scale[:, None] / scale[None, :]
        values, vectors = np.linalg.eigh(correlation)
        root = vectors * np.sqrt(np.maximum(values, 0.0))[None, :]
        length = np.linalg.norm(root, axis=1)
        root = root * (std / np.where(length > 0, length, 1.0))[:, None]
        changed = float(np.max(np.abs(root @ root.T - covariance)))
        largest = float(np.max(np.asarray(self.initial_variance)))
        size = max(largest, float(np.max(std)) ** 2)
        if changed > _REPAIRED * len(covariance) * size:
            raise ValueError(
                f"the covariance of the outputs at time {time:g} is not positive semidefinite: its nearest covariance "
                f"differs by {changed:.3e} from it (variances before training up to {largest:.3e}); give kernels "
                "computed in float64"
            )
        below = int(np.sum(values < 0))
        note = f"the covariance at time {time:g}: {below} eigenvalue(s) below 0 by rounding taken as 0"
        return CovarianceRoot(root, changed, (f"{note}, entries moved by up to {changed:.1e}",) if below else ())

    def covariance(self, time: float) -> Float[Array, "p p"]:
        """Covariance between the inputs at one time (any in [0, ∞]), the same for every output.

        Its diagonal is the law's variance: what rounding carried below 0 there is 0, with all its row and column.

        Raises:
            ValueError: the kernels among these inputs cannot be computed because the blocks have no source.
        """
        xp = self._xp
        with float64():
            found = symmetric_part(self._covariance(self._time(time)))
            some = xp.diagonal(found) > 0
            return xp.where(some[:, None] & some[None, :], found, 0.0)

    @abstractmethod
    def _covariance(self, time: Array) -> Array: ...

    @abstractmethod
    def _unclipped(self) -> Float[Array, "t p"]:
        """Return the array that says by its sign where the variance was clipped at 0."""

    @abstractmethod
    def _project(self, weights: Float[Array, "n c"]) -> Float[Array, "p c"]:
        """Return aᵀw: the function that has the coefficients w in the eigenbasis."""

    @abstractmethod
    def _prepare_mean(self) -> LinearForm: ...

    @cached_property
    def _mean_form(self) -> LinearForm:
        return self._prepare_mean()

    def _time(self, time: float) -> Array:
        if not time >= 0:
            raise ValueError(f"time is {time}; it must be 0 or later, infinity included")
        return self._xp.asarray([time * self._distribution.time_unit])

    def _langevin(self, times: Array) -> tuple[Array, Array]:
        """Return parameter variance along the eigen-directions (t, n) and across them (t, 1), by gradient noise."""
        summed, values = self._distribution.summed, self._distribution.eigenvalues
        along = summed.temperature * summed.injected_variance(values, times)
        return along, summed.temperature * summed.injected_variance(0 * values[:1], times)


def relative_error(error: Float[Array, "t p"], variance: Float[Array, "t p"]) -> Float[Array, "t p"]:
    """Error over variance; without variance 0 where there is no error either, else infinite."""
    xp = namespace(error, variance)
    some = variance > 0
    return xp.where(some, error / xp.where(some, variance, 1.0), xp.where(error > 0, xp.inf, 0.0))
