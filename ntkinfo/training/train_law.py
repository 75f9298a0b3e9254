"""The outputs' law at the training inputs, by residuals: what decays keeps its relative precision."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import scipy.spatial
from jaxtyping import Float, Int

from ntkinfo.core.arrays import Array, float64, log_size, namespace
from ntkinfo.training.output_law import EPSILON, ROUNDING, OutputLaw, relative_error
from ntkinfo.training.time_factors import LinearForm, TimeFactors, factor, quadratic_form

if TYPE_CHECKING:
    from ntkinfo.training.output_distribution import OutputDistribution
    from ntkinfo.training.procedures import Procedure

# In units of the largest residual or deviation: outputs this far apart share no digit of probability.
_WIDE = 1e4
_STRIP = 512
# Share of the variances that rounding may take before they are summed up again, and that for many inputs.
_SHARE, _SHARE_OF_MANY, _MANY_INPUTS = 1e-8, 1e-2, 256
_STRETCH, _FEW_TIMES = 4.0, 8  # of a run: ratio of its times, and how many are summed up one by one


class TrainLaw(OutputLaw):
    """Law at the training inputs, by residuals: small variances keep their relative precision.

    Args:
        distribution: of the outputs at every input.
        rows: the training inputs that are asked about, in any order, repeated or not; None for all.
    """

    def __init__(self, distribution: OutputDistribution, rows: Int[np.ndarray, " p"] | None = None):
        vectors = distribution.spectrum.eigenvectors
        with float64():
            names = (distribution.procedure.tangent, distribution.procedure.prior)
            tangent, prior = (_diagonal(getattr(distribution.blocks.train, name), rows) for name in names)
            chosen = vectors if rows is None else vectors[namespace(vectors).asarray(rows)]
            # An output that no parameter moves and that never varies is exactly 0, not what rounding makes of it.
            still = (tangent == 0) & (prior == 0)
            if bool(still.any()):
                chosen = namespace(vectors).where(still[:, None], 0.0, chosen)
            self._vectors = chosen
            super().__init__(distribution, prior, tangent)
        self._moving = distribution.moving

    def total_variance_at(self, chosen: slice) -> Float[Array, " t"]:
        """Variance at a slice of the times, summed over all the training inputs, asked about or not."""
        law, xp = self._distribution, self._xp
        times = law.internal_times[chosen]
        with float64():
            total = self.scaled_total_at(chosen) * xp.exp(2 * self._log_scale[chosen])
            return total + xp.sum(self._noise_along(times), axis=1) if law.summed.is_noisy else total

    def scaled_total_at(self, chosen: slice) -> Float[Array, " t"]:
        """Variance without noise, summed over all the training inputs, in units of the squared largest residual."""
        law, xp = self._distribution, self._xp
        with float64():
            values, scale = law.eigenvalues[self._moving], self._log_scale[chosen]
            left = law.summed.scaled_residual(values, scale, law.internal_times[chosen])
            return left**2 @ xp.maximum(law.prior_variance[self._moving], 0.0)

    def _project(self, weights):
        return self._vectors @ (self._distribution.eigenvalues[:, None] * weights)

    def _prepare_mean(self):
        law = self._distribution
        return law.filter_factors.linear(law.eigenvalues[:, None] * law.targets, self._vectors.T)

    @cached_property
    def _log_scale(self) -> Array:
        """Logarithm of the largest residual at each time; 0 where nothing is left of any."""
        law = self._distribution
        xp = self._xp
        largest = xp.max(law.summed.log_residual(law.eigenvalues[self._moving], law.internal_times), axis=1)
        return xp.where(xp.isfinite(largest), largest, 0.0)

    def _scaled_residual(self, values: Array, times: Array) -> Array:
        return self._distribution.summed.scaled_residual(values, self._log_scale, times)

    @cached_property
    def _factors(self) -> TimeFactors:
        law = self._distribution
        return factor(self._scaled_residual, law.eigenvalues[self._moving], law.internal_times)

    @cached_property
    def _scaled_variance(self) -> Float[Array, "t p"]:
        """Variance of the untrained part in units of the squared scale: no digits lost however small the scale."""
        law, chosen = self._distribution, self._moving
        if law.prior.ndim == 1:
            weights = law.prior[chosen][:, None] * self._vectors.T[chosen] ** 2
            return self._scaled_residual(law.eigenvalues[chosen], law.internal_times) ** 2 @ weights
        return self._resolved[0]

    @cached_property
    def _resolved(self) -> tuple[Float[Array, "t p"], Float[Array, "t p"], Float[Array, "t p"]]:
        """The scaled variance of a dense prior, what rounding leaves in it, and the reach of the truncated factors.

        Factors shared by all the times leave rounding in units of the variance before training. Where little is left
        in units of that, as along the one slow direction of two inputs that nearly coincide, the sums are done again
        over runs of times, on each of which every direction counts by what is left of it there.
        """
        law, chosen, xp = self._distribution, self._moving, self._xp
        prior, inputs = law.prior[chosen, chosen], self._vectors.T[chosen]
        total = quadratic_form(self._factors, prior, inputs)
        rounding = ROUNDING * self.initial_variance[None, :] + 0.0 * total
        reach = self._reach_of(self._factors)[None, :] + 0.0 * total
        size = xp.sqrt(xp.maximum(law.prior_variance[chosen], 0.0))
        for run in _runs(_poor(total, rounding), np.asarray(law.internal_times)):
            values, times, scale = law.eigenvalues[chosen], law.internal_times[run], self._log_scale[run]
            left = law.summed.scaled_residual(values, scale, times)
            largest = xp.max(xp.abs(left), axis=0)
            if len(left) <= _FEW_TIMES:
                part = xp.stack([_form(prior, row, inputs) for row in left])
                short = 0.0 * part
            else:
                factors = factor(_decay(law.summed, scale), values, times)
                part = quadratic_form(factors, prior, inputs)
                short = self._reach_of(factors)[None, :] + 0.0 * part
            lost = ROUNDING * ((largest * size) @ xp.abs(inputs))[None, :] ** 2 + 0.0 * part
            total, rounding, reach = (
                _put(whole, run, new) for whole, new in ((total, part), (rounding, lost), (reach, short))
            )
        # The covariance before training is known, in this basis, to rounding relative to its largest value.
        error = len(size) ** 0.5 * EPSILON * xp.max(size) ** 2 + law.blocks.kernel_error * xp.sum(size**2)
        seen = self._scaled_residual(law.eigenvalues[chosen], law.internal_times) ** 2 @ inputs**2
        return total, rounding + error * seen, reach

    def _reach_of(self, factors: TimeFactors) -> Float[Array, " p"]:
        """What the deviations of factored residuals can do to each output along the prior."""
        law, xp = self._distribution, self._xp
        spread = xp.asarray(factors.error) * xp.sqrt(xp.maximum(law.prior_variance[self._moving], 0.0))
        return spread @ xp.abs(self._vectors.T[self._moving])

    def variance_at(self, chosen: slice) -> Float[Array, "t p"]:
        """Variance at a slice of the times; never below 0."""
        law, xp = self._distribution, self._xp
        times = law.internal_times[chosen]
        with float64():
            total = xp.maximum(self._scaled_variance[chosen], 0.0) * xp.exp(2 * self._log_scale[chosen])[:, None]
            extra = self._noise_along(times) if self._distribution.summed.is_noisy else None
            return total if extra is None else total + extra @ self._vectors.T**2

    def _noise_along(self, times: Array) -> Float[Array, "t n"]:
        """Variance that noisy targets and gradient noise have put along each eigenvector."""
        law = self._distribution
        trained = law.eigenvalues[None, :] * law.summed.filter(law.eigenvalues, times)
        along = law.summed.target_noise_variance * trained**2
        if law.summed.temperature > 0:
            along = along + _output_variance(self._langevin(times)[0], law.eigenvalues)
        return along

    def log_variance_at(self, chosen: slice) -> Float[Array, "t p"]:
        """Logarithm of the variance, from the scaled form where nothing but decaying residuals carries variance."""
        if self._distribution.summed.is_noisy:
            return super().log_variance_at(chosen)
        with float64():
            log = log_size(self._xp.maximum(self._scaled_variance[chosen], 0.0))
            return log + 2 * self._log_scale[chosen][:, None]

    def label_variance(self, labels):
        """Variance of the mean over targets from N(0, S), given UᵀSU or None for S = P.

        With h = 1 − r, hPh = P − 2 rP + rPr: the last term is there already, the middle one is linear.
        """
        law, xp = self._distribution, self._xp
        with float64():
            if labels is not None:
                values = law.eigenvalues[:, None] * self._vectors.T
                return quadratic_form(law.filter_factors, labels, values).__getitem__
            start, form = self._crossed
            # Before the first step nothing is learned; the three terms would cancel to rounding only.
            begun = law.summed.filter(law.eigenvalues[-1:], law.internal_times) != 0

        def at(chosen: slice) -> Float[Array, "t p"]:
            with float64():
                scale = xp.exp(self._log_scale[chosen])[:, None]
                total = start[None, :] - 2 * scale * form.at(chosen)[:, :, 0]
                total = total + scale**2 * self._scaled_variance[chosen]
                return xp.where(begun[chosen], xp.maximum(total, 0.0), 0.0)

        return at

    @cached_property
    def _crossed(self) -> tuple[Float[Array, " p"], LinearForm]:
        """Σ_j U_ij (BUᵀ)_ji, and the linear form Σ_j r_j U_ij (BUᵀ)_ji of the residuals; by strips of inputs."""
        law, xp, rows = self._distribution, self._xp, self._vectors.T
        starts, forms = [], []
        for begin in range(0, self.n_inputs, _STRIP):
            some = rows[:, begin : begin + _STRIP]
            weights = some * (law.prior[:, None] * some if law.prior.ndim == 1 else law.prior @ some)
            weights = weights[self._moving]
            starts.append(xp.sum(weights, axis=0))
            forms.append(self._factors.linear(xp.ones((weights.shape[0], 1)), weights))
        parts = xp.concatenate([form.parts for form in forms], axis=2)
        return xp.concatenate(starts), LinearForm(parts, forms[0].courses)

    def label_noise_variance(self, chosen: slice):
        """Variance of the mean over targets from N(0, I)."""
        law = self._distribution
        with float64():
            trained = law.eigenvalues[None, :] * law.summed.filter(law.eigenvalues, law.internal_times[chosen])
            return trained**2 @ self._vectors.T**2

    def log_variance_error_at(self, chosen: slice):
        """As in `OutputLaw`, from the scaled form where nothing but decaying residuals carries variance."""
        xp, form = self._xp, self._scaled_variance[chosen]
        if self._distribution.summed.is_noisy:
            return super().log_variance_error_at(chosen)
        with float64():
            relative = relative_error(self.scaled_error_at(chosen), form)
            # The slowest decay is as exact as its eigenvalue, whose error is relative to the largest.
            values = self._distribution.eigenvalues
            slowest = values[self._moving][0]
            drift = xp.abs(self._log_scale[chosen]) * ROUNDING * (values[-1] / xp.where(slowest > 0, slowest, 1.0))
            return relative + drift[:, None]

    def _unclipped(self):
        return self._scaled_variance

    def separated_at(self, index):
        """Beyond the resolution of the mean: targets far apart, and what is left to learn in units of its own size.

        Once the residuals are so small that outputs with different targets cannot overlap, only the distances between
        outputs with equal targets matter, in units of their deviations. Any separation of unequal targets that is
        wide in those units gives the same information; a moderate one keeps the digits.
        """
        with float64():
            stretch = self.stretch_at(index)
            if stretch == 0:
                return super().separated_at(index)
            left = -self._residual_form.at(slice(index, index + 1))[0]
            return self._end * stretch + left, self._xp.maximum(self._scaled_variance[index], 0.0)

    def stretch_at(self, index: int) -> float:
        """By how much `separated_at` multiplies the targets; 0 where it gives the outputs' own mean and variance."""
        xp = self._xp
        with float64():
            left = self._residual_form.at(slice(index, index + 1))[0]
            variance = xp.maximum(self._scaled_variance[index], 0.0)
            reach = float(xp.max(xp.abs(left))) + float(xp.max(variance)) ** 0.5
            scale = float(np.exp(np.float64(self._log_scale[index])))
        gap = self._gap
        if self._distribution.summed.is_noisy or reach == 0 or reach * scale * _WIDE > gap:
            return 0.0
        return _WIDE * reach / gap

    @cached_property
    def _residual_form(self) -> LinearForm:
        law, chosen = self._distribution, self._moving
        return self._factors.linear(law.targets[chosen], self._vectors.T[chosen])

    @cached_property
    def _gap(self) -> float:
        """Smallest distance between ends that differ."""
        return _least_gap(np.asarray(self._end))

    @cached_property
    def _end(self) -> Float[Array, "p c"]:
        """Where the mean ends without ridge: the targets, averaged over inputs that repeat."""
        chosen = self._moving
        return self._vectors[:, chosen] @ self._distribution.targets[chosen]

    def variance_error_at(self, chosen: slice) -> Float[Array, "t p"]:
        """As in `OutputLaw`."""
        with float64():
            return self._scaled_error_at(chosen) * self._xp.exp(2 * self._log_scale[chosen])[:, None]

    def _scaled_error_at(self, chosen: slice) -> Float[Array, "t p"]:
        xp, form = self._xp, self._scaled_variance[chosen]
        if self._distribution.prior.ndim == 1:
            return xp.zeros_like(form)
        reach = self._resolved[2][chosen]
        return 2 * xp.sqrt(xp.maximum(form, 0.0)) * reach + reach**2

    def scaled_error_at(self, chosen: slice) -> Float[Array, "t p"]:
        """Bound on what truncation and rounding leave in the variance without noise, in units of the squared scale."""
        with float64():
            return self._scaled_error_at(chosen) + self._rounding_at(chosen)

    def _rounding_at(self, chosen: slice) -> Float[Array, "t p"]:
        """What rounding leaves in the scaled variance."""
        if self._distribution.prior.ndim == 1:
            return ROUNDING * self._scaled_variance[chosen]
        return self._resolved[1][chosen]

    def _covariance(self, time):
        law, xp = self._distribution, self._xp
        residual = law.summed.residual(law.eigenvalues, time)[0]
        prior = law.prior if law.prior.ndim == 2 else xp.diag(law.prior)
        core = residual[:, None] * prior * residual[None, :]
        extra = self._noise_along(time)[0]
        return self._vectors @ (core + xp.diag(extra)) @ self._vectors.T


def _poor(total: Array, rounding: Array) -> np.ndarray:
    """Times at which rounding takes too large a share of the variances, on average over the inputs."""
    value, lost = np.asarray(total), np.asarray(rounding)
    share = np.divide(lost, value, out=np.where(lost > 0, 1.0, 0.0), where=value > lost)
    return np.mean(share, axis=1) > (_SHARE if value.shape[1] <= _MANY_INPUTS else _SHARE_OF_MANY)


def _runs(poor: np.ndarray, times: np.ndarray) -> list[slice]:
    """Runs of neighbouring times that are poor, each over a short stretch of log time."""
    runs: list[slice] = []
    for index in np.flatnonzero(poor):
        last = runs[-1] if runs else None
        if last is not None and last.stop == index and times[index] <= _STRETCH * max(times[last.start], 1e-300):
            runs[-1] = slice(last.start, index + 1)
        else:
            runs.append(slice(int(index), int(index) + 1))
    return runs


def _decay(summed: Procedure, scale: Array) -> Callable[[Array, Array], Array]:
    return lambda values, times: summed.scaled_residual(values, scale, times)


def _form(matrix: Float[Array, "k k"], scale: Float[Array, " k"], columns: Float[Array, "k p"]) -> Float[Array, " p"]:
    """Quadratic forms of columns whose rows are scaled; late in training most of the scales are 0."""
    left = np.flatnonzero(np.asarray(scale))
    columns = scale[left, None] * columns[left]
    return namespace(columns).sum((matrix[left][:, left] @ columns) * columns, axis=0)


def _put(table: Array, rows: slice, values: Array) -> Array:
    if namespace(table) is np:
        table[rows] = values
        return table
    return table.at[rows].set(values)  # pyright: ignore[reportAttributeAccessIssue]


def _diagonal(kernel: Float[Array, "n n"], rows: Int[np.ndarray, " p"] | None) -> Float[Array, " p"]:
    xp = namespace(kernel)
    diagonal = xp.diagonal(kernel)
    return diagonal if rows is None else diagonal[xp.asarray(rows)]


def _least_gap(points: np.ndarray) -> float:
    """Smallest distance between points that differ by more than rounding."""
    resolution = 1e-9 * max(float(np.abs(points).max()), 1e-300)
    distinct = np.unique(np.round(points / resolution), axis=0) * resolution
    if len(distinct) == 1:
        return np.inf
    return float(scipy.spatial.KDTree(distinct).query(distinct, k=2)[0][:, 1].min())


def _output_variance(along: Array, eigenvalues: Array) -> Array:
    """λ c_λ, 0 where λ = 0 even if the parameter variance c_0 is infinite."""
    xp = namespace(along)
    return xp.where(eigenvalues[None, :] > 0, along * eigenvalues[None, :], 0.0)
