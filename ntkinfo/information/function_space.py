"""I(f_t(X_e); Y | X) under a Gaussian label model, and what noise makes of the function-space relative entropy.

Without noise f_t(X) = r f_0 + h Y in the eigenbasis, and f_t(x') at extra inputs is a known function of f_t(X), Y and
of what f_0(x') has beyond f_0(X). So the whole information is that of the training inputs with a smaller initial
covariance: with q = h/r, L Lᵀ = B, D = (P(x', X) P⁻¹ Θ − Θ(x', X)) U and S' = Cov(f_0(x') | f_0(X)),

    ½ C log det(I + E q S q Eᵀ),    EᵀE = B⁻¹ + λ⁻¹ Dᵀ S'⁻¹ D λ⁻¹,    E lower triangular.

q grows as e^{λt}. With d = (1 + q²)^½ it is C Σ log d_j, exact at every time for next to nothing, plus
½ C log det(d⁻² + N S Nᵀ), N_ij = E_ij q_j/d_i, which is 0 at the start and bounded: eigenvalues ascend, so q_j ≤ q_i
wherever E_ij ≠ 0, and nothing overflows. The second part alone is interpolated between times.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array, float64, log_size, namespace
from ntkinfo.core.linear_algebra import (
    Factored,
    cholesky,
    gaussian_relative_entropy,
    log_determinant_one_plus,
    lower_gram,
    lower_product,
    solve_lower,
)
from ntkinfo.core.progress import Track, silent
from ntkinfo.core.records import Estimate
from ntkinfo.information.evaluation_space import EvaluationSpace, ExtraInputs, evaluation_space, factor_given_training
from ntkinfo.information.label_model import LabelModel, root
from ntkinfo.information.time_interpolation import Interpolated, distinct_times, over_time
from ntkinfo.training.output_distribution import OutputDistribution

_TABLE_ELEMENTS = 500_000
_LOG_SMALL = -2.0  # log |q| up to which the whole information is computed at once


@checked
def information_labels_function_space(
    distribution: OutputDistribution,
    model: LabelModel,
    extra: ExtraInputs | None = None,
    *,
    tolerance: float = 1e-6,
    limit: int | None = None,
    progress: Track = silent,
) -> Estimate:
    """I(f_t(X_e); Y_train | X) in nats at every time; X_e are training and extra inputs.

    Mutual information between a member's outputs on X_e and the training targets, jointly over the inputs. By data
    processing it is at least the information of each output on its own, at most that between all the parameters and
    the targets, and it rises with every input added.

    Args:
        distribution: the law of the outputs over time.
        model: of the training targets.
        extra: kernels of further inputs, or None for the training inputs alone.
        tolerance: of the interpolation between times, relative above one nat and absolute below.
        limit: most times at which log-determinants are computed; None for as many as the tolerance takes.
        progress: counts them.

    Returns:
        (T,); infinite where training has left no variance. Its error is the interpolation's, measured at held-out
        times, and the conditioning of the prior.

    Raises:
        NotDefiniteError: the prior covariance of the inputs is singular to rounding, or the labels' covariance is
            and training has gone so far that this matters.
        ValueError: a covariance that does not fit the training set.

    Source: theory §4 and §5.1.
    """
    checks.interpolation(tolerance, limit)
    with float64():
        space = evaluation_space(distribution, extra)
        if distribution.summed.is_noisy:
            return _noisy_information(space, model, tolerance, limit, progress)
        if extra is None and distribution.prior.ndim == 1 and model.covariance is None:
            return _diagonal(distribution, model)
        return _noise_free(_Affine.of(space, model), tolerance, limit, progress)


@dataclass(frozen=True)
class _Affine:
    """E and the root R of the labels' covariance, over the directions that training moves."""

    law: OutputDistribution
    values: Float[Array, " k"]
    shape: Float[Array, "k k"]
    labels: Float[Array, "k s"]
    rounding: float

    @classmethod
    def of(cls, space: EvaluationSpace, model: LabelModel) -> _Affine:
        law, xp = space.law, namespace(space.values)
        start = Factored(cholesky(space.prior, "the prior covariance of the training inputs"))
        inverse = solve_lower(start.lower, xp.eye(len(space.values), dtype=space.values.dtype))
        live = slice(int(np.sum(np.asarray(space.values) <= 0)), None)
        shape, rounding = inverse[live, live], start.rounding
        if space.cross.shape[1]:
            gain = (inverse.T @ (inverse @ space.cross)).T
            lower, lost = factor_given_training(gain @ space.cross, space.square_prior)
            rounding = max(rounding, lost)
            shift = solve_lower(lower, gain * space.values[None, :] - space.tangent.T)[:, live]
            shape = _lower_form(xp.concatenate([shape, shift / space.values[live][None, :]]))
        labels = model.rotated(law)[law.moving, law.moving][live, live]
        return cls(law, space.values[live], shape, root(labels, "the covariance of the labels"), rounding)

    def log_ratio(self, times: Float[Array, " t"]) -> tuple[Array, Array]:
        """Log |q| and the sign of q at every time, (t, k); −∞ at the start, ∞ where nothing is left."""
        xp, summed = namespace(self.values), self.law.summed
        h = self.values[None, :] * summed.filter(self.values, times)
        sign = xp.where((summed.residual(self.values, times) < 0) == (h < 0), 1.0, -1.0)
        return log_size(h) - summed.log_residual(self.values, times), sign

    def bounded_part(self, time: Float[Array, " 1"]) -> float:
        """Log det(d⁻² + N S Nᵀ) at one time; 0 where q is 0, and where it is infinite."""
        xp = namespace(self.values)
        log, sign = (row[0] for row in self.log_ratio(time))
        if bool(xp.any(xp.isposinf(log))) or not bool(xp.any(xp.isfinite(log))):
            return 0.0
        shape, labels, lower = self.shape, self.labels, self.labels.shape[0] == self.labels.shape[1]
        if float(xp.min(xp.diff(log), initial=0.0)) < -1e-9:
            # Steps that overshoot: the fastest directions lag behind, and the order has to be theirs.
            order = xp.argsort(log)
            log, sign = log[order], sign[order]
            shape, labels, lower = _lower_form(self.shape[:, order]), self.labels[order], False
        size = 0.5 * xp.logaddexp(0.0, 2 * log)
        if float(xp.max(log)) < _LOG_SMALL:
            # The whole of it without cancellation, less what is exact at every time.
            half = (shape * (xp.exp(log) * sign)[None, :]) @ labels
            return float(log_determinant_one_plus(half) - 2 * xp.sum(size))
        half = shape * xp.exp(xp.minimum(log[None, :] - size[:, None], 0.0)) * sign[None, :]
        half = lower_product(half, labels) if lower else half @ labels
        gram = lower_gram(half) if lower else half @ half.T
        factor = cholesky(gram + xp.diag(xp.exp(-2 * size)), _SINGULAR.format(time=float(time[0])))
        return float(Factored(factor).log_determinant)


_SINGULAR = "the labels' part of the covariance at time {time:g} (a labels' covariance of full rank mends it)"


def _lower_form(matrix: Float[Array, "r k"]) -> Float[Array, "k k"]:
    """Lower triangular E with EᵀE = MᵀM, by an orthogonal decomposition: no condition number is squared."""
    xp = namespace(matrix)
    upper = xp.linalg.qr(matrix[:, ::-1], mode="r")
    signs = xp.where(xp.diagonal(upper) < 0, -1.0, 1.0)
    return (upper * signs[:, None])[::-1, ::-1]


def _noise_free(affine: _Affine, tolerance: float, limit: int | None, progress: Track) -> Estimate:
    law = affine.law
    unit, outputs, xp = law.time_unit, law.n_outputs, namespace(affine.values)

    def evaluate(time: float) -> np.ndarray:
        return np.array([0.5 * outputs * affine.bounded_part(xp.asarray([time * unit]))])

    part = _interpolate(evaluate, law, tolerance, limit, progress, "I(f(X); Y) on the training inputs")
    growth = over_modes(lambda t: 0.5 * xp.logaddexp(0.0, 2 * affine.log_ratio(t)[0]), law)
    value = outputs * growth + xp.asarray(part.value[:, 0])
    # A change of the matrices by a share moves each logarithm by that share at most, and small values in proportion.
    finite = np.where(np.isfinite(np.asarray(value)), np.abs(np.asarray(value)), 0.0)
    whole = np.minimum(finite, outputs * len(affine.values)) + np.abs(part.value[:, 0])
    summed = 4 * np.finfo(np.float64).eps * np.where(np.isfinite(np.asarray(growth)), outputs * np.asarray(growth), 0.0)
    error = part.error[:, 0] + affine.rounding * whole + summed
    return Estimate(value, xp.asarray(error), "exact", f"semidefinite form, {part.method}")


def _diagonal(law: OutputDistribution, model: LabelModel) -> Estimate:
    """Closed form where prior and labels are diagonal in the eigenbasis: ½ C Σ log(1 + q²(1 + σ²/λ))."""
    values, xp = law.eigenvalues, namespace(law.eigenvalues)
    live = values[int(np.sum(np.asarray(values) <= 0)) :]
    extra = xp.log1p(model.noise_variance / live)

    def terms(times: Array) -> Array:
        h = live[None, :] * law.summed.filter(live, times)
        log = log_size(h) - law.summed.log_residual(live, times)
        return 0.5 * xp.logaddexp(0.0, 2 * log + extra[None, :])

    value = law.n_outputs * over_modes(terms, law)
    error = 1e-15 * len(values) * xp.abs(xp.where(xp.isfinite(value), value, 0.0))
    return Estimate(value, error, "exact", "spectrum")


def _noisy_information(
    space: EvaluationSpace, model: LabelModel, tolerance: float, limit: int | None, progress: Track
) -> Estimate:
    law, xp = space.law, namespace(space.values)
    labels = root(model.rotated(law)[law.moving, law.moving], "the covariance of the labels")
    rounding = _conditioning(Factored(cholesky(space.initial, "the prior covariance of the inputs")), space)

    def evaluate(time: float) -> np.ndarray:
        internal = xp.asarray([time * law.time_unit])
        lower = cholesky(space.covariance(internal), f"the covariance at time {time:g}")
        half = solve_lower(lower, space.map(internal) @ labels)
        return np.array([0.5 * law.n_outputs * float(log_determinant_one_plus(half))])

    part = _interpolate(evaluate, law, tolerance, limit, progress, "I(f(X); Y)")
    return _estimate(part, 0, rounding, "exact", f"semidefinite form, {part.method}", xp)


def relative_entropy_noisy(space: EvaluationSpace, tolerance: float, limit: int | None, progress: Track) -> Estimate:
    """KL(p(f_t(X_e)) ‖ p(f_0(X_e))) by Cholesky factors, where noise leaves no closed form."""
    law, xp = space.law, namespace(space.values)
    start = Factored(cholesky(space.initial, "the prior covariance of the inputs"))
    targets = law.targets[law.moving]

    def evaluate(time: float) -> np.ndarray:
        internal = xp.asarray([time * law.time_unit])
        now = Factored(cholesky(space.covariance(internal), f"the covariance at time {time:g}"))
        mean, change = space.map(internal) @ targets, space.change(internal)
        return np.array([float(gaussian_relative_entropy(mean, now, start, change))])

    part = _interpolate(evaluate, law, tolerance, limit, progress, "relative entropy in function space")
    return _estimate(part, 0, _conditioning(start, space), "lower bound", f"Cholesky, {part.method}", xp)


def _conditioning(start: Factored, space: EvaluationSpace) -> float:
    """Relative error of quadratic forms with the prior covariance's inverse, by what is known of that covariance."""
    xp, initial = namespace(start.lower), space.initial
    inverse = solve_lower(start.lower, xp.eye(start.lower.shape[0], dtype=start.lower.dtype))
    diagonal = xp.diagonal(initial)
    lost = float(np.finfo(np.float64).eps * xp.max(diagonal) + space.law.blocks.kernel_error * xp.sum(diagonal))
    return max(start.rounding, lost * float(xp.sum(inverse**2)))


def _interpolate(
    evaluate: Callable[[float], np.ndarray],
    law: OutputDistribution,
    tolerance: float,
    limit: int | None,
    progress: Track,
    label: str,
) -> Interpolated:
    times, smooth = distinct_times(law)
    return over_time(evaluate, times, smooth=smooth, tolerance=tolerance, limit=limit, progress=progress, label=label)


def _estimate(part: Interpolated, column: int, rounding: float, meaning: str, method: str, xp) -> Estimate:
    value = part.value[:, column]
    error = part.error[:, column] + rounding * np.abs(np.where(np.isfinite(value), value, 0.0))
    return Estimate(xp.asarray(value), xp.asarray(error), meaning, method)  # pyright: ignore[reportArgumentType]


def over_modes(terms: Callable[[Array], Array], law: OutputDistribution) -> Float[Array, " t"]:
    """Sum terms (t, n) over the modes, for runs of times that keep the table small."""
    xp, times = namespace(law.eigenvalues), law.internal_times
    rows = max(1, _TABLE_ELEMENTS // len(law.eigenvalues))
    return xp.concatenate([xp.sum(terms(times[k : k + rows]), axis=1) for k in range(0, len(times), rows)])
