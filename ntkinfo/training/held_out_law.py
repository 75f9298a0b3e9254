"""The outputs' law at inputs that were not trained on, or that may be: equal and near ones go by residuals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ntkinfo.core.arrays import Array, float64, log_size, namespace
from ntkinfo.core.linear_algebra import symmetric_part
from ntkinfo.kernels.records import CrossBlocks, SquareBlocks
from ntkinfo.training.anchored import AnchoredVariance
from ntkinfo.training.anchors import find_anchors, representatives
from ntkinfo.training.output_law import AtTimes, OutputLaw
from ntkinfo.training.time_factors import TimeFactors, quadratic_form
from ntkinfo.training.train_law import TrainLaw

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
    """Law at any inputs: those that equal a training input have its law, near ones what is left beside it.

    Attributes:
        anchors: the inputs that equal or nearly equal training inputs; None where there is none.
        repeated: law of those that equal one, in the order of `anchors`; None where there is none.
    """

    def __init__(
        self,
        distribution: OutputDistribution,
        cross: CrossBlocks,
        square: Callable[[], SquareBlocks] | None,
        inputs: Array,
    ):
        procedure, spectrum = distribution.procedure, distribution.spectrum
        vectors, names = spectrum.eigenvectors, (procedure.tangent, procedure.prior)
        with float64():
            self.anchors = find_anchors(distribution.blocks.train, cross, names, inputs, distribution.data.x_train)
            xp = namespace(vectors)
            # a = UᵀΘ(X, x); Θ(x, X) lies in the range of Θ(X, X): what rounding leaves in its null space is not signal.
            tangent = vectors.T @ getattr(cross, procedure.tangent).T
            self._tangent = xp.where(spectrum.null[:, None], 0.0, tangent)
            same = procedure.prior == procedure.tangent
            self._prior_cross = self._tangent if same else vectors.T @ getattr(cross, procedure.prior).T
            self._anchored: AnchoredVariance | None = None
            if self.anchors is not None:
                self._anchored = AnchoredVariance(distribution, self.anchors)
                self._tangent = self._put(self._tangent, self._anchored.tangent)
                self._prior_cross = self._put(self._prior_cross, self._anchored.prior_cross)
        prior, tangent = (getattr(cross, f"{name}_diagonal") for name in (procedure.prior, procedure.tangent))
        super().__init__(distribution, prior, tangent)
        self._cross, self._square = getattr(cross, procedure.prior), square
        rows = None if self.anchors is None else self.anchors.of[self.anchors.same]
        self.repeated = TrainLaw(distribution, rows) if rows is not None and len(rows) else None

    @property
    def is_training_set(self) -> bool:
        """Whether the inputs are the training inputs, all of them and each once, in any order."""
        law = self._distribution
        size = law.eigenvalues.shape[0]
        if self.repeated is None or self.anchors is None or not self.n_inputs == self.repeated.n_inputs == size:
            return False
        rows = representatives(law.blocks.train, (law.procedure.tangent, law.procedure.prior), law.data.x_train)
        return np.array_equal(np.sort(self.anchors.of), np.arange(size) if rows is None else np.sort(rows))

    def of(self, distribution):
        """As in `OutputLaw`."""
        other = super().of(distribution)
        assert isinstance(other, HeldOutLaw)
        other.repeated = None if self.repeated is None else self.repeated.of(distribution)  # pyright: ignore
        return other

    def _put(self, table: Array, columns: Array | float, *, same: bool | None = None) -> Array:
        """Return the table (·, p) with the anchored inputs' columns: all of them, the equal ones or the near ones."""
        anchors = self.anchors
        assert anchors is not None
        places = anchors.places if same is None else anchors.places[anchors.same == same]
        if namespace(table) is np:
            table = table.copy()
            table[:, places] = columns
            return table
        return table.at[:, places].set(columns)  # pyright: ignore[reportAttributeAccessIssue]

    def _with_repeated(self, table: Array, at_times: Callable[[OutputLaw], Array]) -> Array:
        """Return the table with what the training inputs' law says of the inputs that equal one."""
        return table if self.repeated is None else self._put(table, at_times(self.repeated), same=True)

    def _project(self, weights):
        return self._tangent.T @ weights

    def _prepare_mean(self):
        return self._distribution.filter_factors.linear(self._distribution.targets, self._tangent)

    def variance_at(self, chosen: slice) -> Float[Array, "t p"]:
        """Variance at a slice of the times; never below 0."""
        with float64():
            own = self._xp.maximum(self._computed[chosen], 0.0)
        return self._with_repeated(own, lambda law: law.variance_at(chosen))

    def log_variance_at(self, chosen: slice) -> Float[Array, "t p"]:
        """As in `OutputLaw`; inputs that equal training inputs keep what is too small for a floating-point number."""
        with float64():
            own = log_size(self._xp.maximum(self._computed[chosen], 0.0))
        return self._with_repeated(own, lambda law: law.log_variance_at(chosen))

    def log_variance_error_at(self, chosen: slice) -> Float[Array, "t p"]:
        """As in `OutputLaw`."""
        own = super().log_variance_error_at(chosen)
        return self._with_repeated(own, lambda law: law.log_variance_error_at(chosen))

    def separated_at(self, index: int):
        """As in `OutputLaw`: where all the inputs equal training inputs, with the digits that these keep."""
        if self.repeated is None or self.repeated.n_inputs < self.n_inputs:
            return super().separated_at(index)
        return self.repeated.separated_at(index)

    def _unclipped(self):
        return self._with_repeated(self._computed, lambda law: law._unclipped())

    @cached_property
    def _computed(self) -> Float[Array, "t p"]:
        law, factors, times = self._distribution, self._distribution.filter_factors, self._distribution.internal_times
        linear = _weighted_sum(factors, self._tangent * self._prior_cross)
        total = self.initial_variance[None, :] - 2 * linear + self._explained_prior
        if self._anchored is not None and not self._anchored.all_same:
            total = self._put(total, self._anchored.near_variance, same=False)
        noise = law.summed.target_noise_variance
        total = total + (noise * self._squared_sum if noise else 0.0)
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

    def label_variance(self, labels) -> AtTimes:
        """Variance of the mean over targets from N(0, S), given UᵀSU or None for S = P."""
        with float64():
            if labels is None:
                own = self._explained_prior.__getitem__
            else:
                own = quadratic_form(self._distribution.filter_factors, labels, self._tangent).__getitem__
        if self.repeated is None:
            return own
        repeated = self.repeated.label_variance(labels)
        return lambda chosen: self._put(own(chosen), repeated(chosen), same=True)

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
        values = xp.where(null, 1.0, self._distribution.eigenvalues[:, None])
        share = xp.where(null, 0.0, self._tangent**2 / values)
        outside = self.tangent_diagonal - xp.sum(share, axis=0)
        if self._anchored is not None:
            outside = self._put(outside[None, :], self._anchored.outside)[0]
        # An input in the training inputs' span has nothing outside it but rounding.
        tolerance = self._distribution.spectrum.tolerance
        return across * xp.where(outside > tolerance, outside, 0.0)[None, :] + along @ share

    def variance_error_at(self, chosen: slice) -> Float[Array, "t p"]:
        """Bound |Δv| by the deviation of each filter value: |aΔg|·‖B^½ a g‖ twice, its square, and the linear term."""
        xp = self._xp
        with float64():
            reach, linear = self._deviations
            if self._distribution.prior.ndim == 1:
                own = xp.zeros_like(self._computed[chosen]) + linear[None, :]
            else:
                size = xp.sqrt(xp.maximum(self._explained[chosen], 0.0))
                own = linear[None, :] + 2 * size * reach[None, :] + reach[None, :] ** 2
            if self._anchored is not None and not self._anchored.all_same:
                own = self._put(own, self._anchored.truncation(chosen), same=False)
        return self._with_repeated(own, lambda law: law.variance_error_at(chosen))

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
        square, anchored = self._among, self._anchored
        scaled = self._tangent * law.summed.filter(law.eigenvalues, time).T
        prior = law.prior if law.prior.ndim == 2 else xp.diag(law.prior)
        initial = getattr(square, law.procedure.prior)
        explained = scaled.T @ (prior @ scaled)
        cross = scaled.T @ self._prior_cross
        extra = law.summed.target_noise_variance * (scaled.T @ scaled)
        if law.summed.temperature > 0:
            extra = extra + self._langevin_covariance(time, getattr(square, law.procedure.tangent))
        change = symmetric_part(explained - cross - cross.T + extra)
        if anchored is None:
            covariance = symmetric_part(initial) + change
        else:
            left = self._put(-scaled, anchored.left_at(time))
            beside = left.T @ self._put(self._prior_cross, anchored.prior)
            covariance = symmetric_part(self._left_among(initial) + beside + beside.T + left.T @ (prior @ left) + extra)
        return Moments(initial, covariance, change, scaled, symmetric_part(explained))

    def _langevin_covariance(self, time: Array, among: Float[Array, "p p"]) -> Float[Array, "p p"]:
        law, xp = self._distribution, self._xp
        along, across = self._langevin(time)
        null = law.spectrum.null
        values = xp.where(null, 1.0, law.eigenvalues)
        weight = xp.where(null, 0.0, along[0] / values)
        inside = self._tangent.T @ (weight[:, None] * self._tangent)
        outside = among - self._tangent.T @ (xp.where(null, 0.0, 1 / values)[:, None] * self._tangent)
        if self.repeated is not None:
            outside = self._put(self._put(outside, 0.0, same=True).T, 0.0, same=True)  # pyright: ignore
        return across[0, 0] * outside + inside

    def _left_among(self, initial: Float[Array, "p p"]) -> Float[Array, "p p"]:
        """Covariance before training of what the anchors leave of the inputs' outputs."""
        anchors, xp = self.anchors, self._xp
        assert anchors is not None
        weight = np.zeros(self.n_inputs)
        weight[anchors.places] = anchors.factor
        of = np.zeros(self.n_inputs, dtype=np.int64)
        of[anchors.places] = anchors.of
        factor, of = xp.asarray(weight), xp.asarray(of)
        train = getattr(self._distribution.blocks.train, self._distribution.procedure.prior)
        beside = self._cross[:, of] * factor[None, :]
        left = (initial - beside) + factor[:, None] * (train[of][:, of] * factor[None, :] - self._cross[:, of].T)
        nothing = xp.asarray(anchors.places[anchors.prior_left == 0])
        keep = xp.asarray(np.isin(np.arange(self.n_inputs), np.asarray(nothing), invert=True))
        left = xp.where(keep[:, None] & keep[None, :], left, 0.0)
        diagonal = np.array(self.initial_variance, dtype=np.float64)
        diagonal[anchors.places] = anchors.prior_left
        return xp.where(xp.eye(self.n_inputs, dtype=bool), xp.asarray(diagonal)[None, :], left)


def _weighted_sum(factors: TimeFactors, weights: Float[Array, "n p"]) -> Float[Array, "t p"]:
    """Σ_j g_t(λ_j) w_jp at every time."""
    xp = namespace(weights)
    form = factors.linear(xp.ones((weights.shape[0], 1)), weights)
    return form.at(slice(None))[:, :, 0]
