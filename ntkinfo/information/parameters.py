"""I(θ;D): relative entropies between the trained and the initial ensemble (theory §5.1 and §5.2).

With A_t = U g_t Uᵀ, h = λ g_t, r = 1 − h, and without noise, f_t(X) = f_0(X) − ΘA_t(f_0(X) − Y) is an affine map of a
Gaussian, whose relative entropy to its start is, per training inputs alone,

    ½ hᵀ[C (B⁻¹ ∘ B) + B⁻¹ ∘ ŷŷᵀ] h − C Σ_j (h_j + log |r_j|),

two terms that lose no digits and are never negative where no residual has changed its sign. Inputs x' beyond the
training inputs add

    ½ gᵀ[M ∘ (C B + ŷŷᵀ)] g,    M = DᵀS⁻¹D,  D = (P(x', X) P⁻¹ Θ − Θ(x', X)) U,  S = P(x', x') − P(x', X) P⁻¹ P(X, x'),

because f_t(x') given f_t(X) has the covariance that f_0(x') has given f_0(X), and only its mean moves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array, float64, namespace
from ntkinfo.core.linear_algebra import excess, inverse_definite, solve_lower
from ntkinfo.core.progress import Track, silent
from ntkinfo.core.records import Estimate
from ntkinfo.information.evaluation_space import ExtraInputs, dense_prior, evaluation_space, factor_given_training
from ntkinfo.information.function_space import over_modes, relative_entropy_noisy
from ntkinfo.training.output_distribution import OutputDistribution
from ntkinfo.training.procedures import Procedure
from ntkinfo.training.time_factors import factor, quadratic_form


@checked
def function_space(
    distribution: OutputDistribution,
    extra: ExtraInputs | None = None,
    progress: Track = silent,
    *,
    tolerance: float = 1e-6,
    limit: int | None = None,
) -> Estimate:
    """KL(p(f_t(X_e)) ‖ p(f_0(X_e))) in nats at every time, summed over the outputs; X_e are training and extra inputs.

    By data processing a lower bound of the relative entropy between the parameters, rising with every input added.

    Args:
        distribution: the law of the outputs over time.
        extra: kernels of further inputs, or None for the training inputs alone.
        progress: shown where a time needs dense factors: with noisy targets or gradient noise.
        tolerance: of the interpolation between times that noise makes necessary, relative above one nat and absolute
            below.
        limit: most times at which dense factors are computed; None for as many as the tolerance takes.

    Returns:
        (T,); infinite where training has left no variance. Its error measures the conditioning of the prior, that
        of the extra inputs given the training inputs and, with noise, the interpolation between times.

    Raises:
        NotDefiniteError: the prior covariance of the inputs is singular to rounding.

    Source: theory §5.1.
    """
    checks.interpolation(tolerance, limit)
    with float64():
        if not distribution.summed.is_noisy:
            return _noise_free(distribution, extra)
        return relative_entropy_noisy(evaluation_space(distribution, extra), tolerance, limit, progress)


@checked
def linear_model(distribution: OutputDistribution) -> Estimate:
    """KL(θ_t ‖ θ_0) in nats at every time, summed over the outputs, for the linear model f = Jθ with θ_0 ~ N(0, I).

    ½ Σ λ g² |ŷ|² + ½ C Σ (r² + σ_y² λ g² − 1 − log(r² + σ_y² λ g²)). It is the form behind the 2019 paper (there K = Θ
    is implied); for a real network it is not the parameters' relative entropy, nor a bound of it.

    Raises:
        ValueError: gradient noise, which has infinite relative entropy in infinitely many directions.

    Source: theory §5.2.
    """
    law, summed = distribution, distribution.summed
    if summed.temperature > 0:
        raise ValueError("with temperature above 0 the parameters' relative entropy is infinite; set temperature to 0")
    values, xp = law.eigenvalues, namespace(law.eigenvalues)
    with float64():
        weights = 0.5 * values * xp.sum(law.targets**2, axis=1)
        noisy = summed.target_noise_variance > 0
        spread = over_modes(
            lambda t: noisy_direction_entropy(law, t) if noisy else direction_entropy(summed, values, t), law
        )
        quadratic = over_modes(lambda t: summed.filter(values, t) ** 2 * weights[None, :], law)
        value = quadratic + law.n_outputs * spread
    return Estimate(value, 1e-15 * len(values) * xp.abs(xp.where(xp.isfinite(value), value, 0.0)), "exact", "spectrum")


def direction_entropy(summed: Procedure, values: Array, times: Array) -> Array:
    """½(r² − 1) − log|r|: relative entropy of a standard Gaussian direction that training shrinks by r, mean aside.

    Args:
        summed: the procedure in the summed loss's time.
        values: (n,), eigenvalues.
        times: (t,), of the summed loss.

    Returns:
        (t, n), in nats, without cancellation for small and for vanishing r alike.
    """
    return 0.5 * (values[None, :] * summed.filter(values, times)) ** 2 + lost_volume(summed, values, times)


def lost_volume(summed: Procedure, values: Array, times: Array) -> Array:
    """−(h + log|r|), h = λ g, without cancellation for small h: what a direction's shrinking adds beyond ½h².

    Args:
        summed: the procedure in the summed loss's time.
        values: (n,), eigenvalues.
        times: (t,), of the summed loss.

    Returns:
        (t, n), in nats, never below 0; infinite where r = 0.
    """
    xp = namespace(values)
    h = values[None, :] * summed.filter(values, times)
    small = xp.abs(h) < 0.5
    return xp.where(small, excess(xp.where(small, -h, 0.0)), -h - summed.log_residual(values, times))


def noisy_direction_entropy(law: OutputDistribution, times: Array) -> Array:
    """½(s − 1 − log s) with s = r² + σ_y² λ g², a parameter direction's variance after training on noisy targets.

    Args:
        law: its eigenvalues, procedure and target noise are used.
        times: (t,), of the summed loss.

    Returns:
        (t, n), in nats.
    """
    values = law.eigenvalues
    g = law.summed.filter(values, times)
    h, noise = values[None, :] * g, law.summed.target_noise_variance * values[None, :] * g**2
    left = law.summed.residual(values, times) ** 2 + noise
    change = h**2 - 2 * h + noise
    xp, small = namespace(left), abs(change) < 0.5
    return 0.5 * xp.where(small, excess(xp.where(small, change, 0.0)), change - xp.log(xp.where(small, 1.0, left)))


def log_by_change(change: Array, value: Array) -> Array:
    """Log v of a positive v given both v − 1 and v: from whichever keeps the digits."""
    xp = namespace(value)
    small = xp.abs(change) < 0.5
    return xp.where(small, xp.log1p(xp.where(small, change, 0.0)), xp.log(xp.where(small, 1.0, value)))


def _noise_free(law: OutputDistribution, extra: ExtraInputs | None) -> Estimate:
    values, times, xp = law.eigenvalues, law.internal_times, namespace(law.eigenvalues)
    moving = law.moving
    chosen, targets = values[moving], law.targets[moving]
    prior = dense_prior(law)
    learn = targets @ targets.T + law.n_outputs * prior
    inverse = inverse_definite(prior, "the prior covariance of the training inputs")
    residue = _residue(prior, inverse, law.blocks.kernel_error)
    factors = law.filter_factors if len(chosen) == len(values) else factor(law.summed.filter, chosen, times)
    quadratic = 0.5 * quadratic_form(factors, inverse * learn, chosen[:, None])[:, 0]
    lost = residue * quadratic
    if extra is not None:
        moved = _moved(law, extra, moving, inverse, residue)
        added = 0.5 * quadratic_form(factors, moved.form * learn, xp.ones((len(chosen), 1)))[:, 0]
        weights = 0.5 * moved.slip * xp.diagonal(learn)
        slip = over_modes(lambda some: law.summed.filter(chosen, some) ** 2 * weights[None, :], law)
        lost = lost + (residue + moved.rounding) * added + 2 * xp.sqrt(xp.maximum(added, 0.0) * slip) + slip
        quadratic = quadratic + added
    rest = over_modes(lambda some: lost_volume(law.summed, chosen, some), law)
    value = quadratic + law.n_outputs * rest
    error = xp.where(xp.isfinite(value), xp.abs(lost), 0.0)
    return Estimate(value, error, "lower bound", "closed form in the eigenbasis")


def _residue(prior: Array, inverse: Array, kernel_error: float) -> float:
    """Relative error of quadratic forms with the inverse: what it leaves of the identity, and what the prior's does.

    The prior covariance in the eigenbasis is known to rounding relative to its largest entry, the kernels it comes from
    to their own stated error.
    """
    xp = namespace(prior)
    left = float(xp.max(xp.abs(xp.einsum("jk,jk->j", inverse, prior) - 1)))
    largest, total = float(xp.max(xp.diagonal(prior))), float(xp.trace(prior))
    given = (float(np.finfo(np.float64).eps) * largest + kernel_error * total) * float(xp.trace(inverse))
    return left + given


@dataclass(frozen=True)
class _Moved:
    """M = DᵀS⁻¹D in the eigenbasis.

    Args:
        form: M.
        rounding: its relative error by the conditioning of S.
        slip: what rounding of D, which is a difference, can put on M's diagonal.
    """

    form: Float[Array, "k k"]
    rounding: float
    slip: Float[Array, " k"]


def _moved(law: OutputDistribution, extra: ExtraInputs, moving: slice, inverse: Array, residue: float) -> _Moved:
    xp = namespace(inverse)
    vectors = law.spectrum.eigenvectors[:, moving]
    cross = getattr(extra.cross, law.procedure.prior) @ vectors
    tangent = getattr(extra.cross, law.procedure.tangent) @ vectors
    gain = cross @ inverse
    lower, rounding = factor_given_training(gain @ cross.T, getattr(extra.square, law.procedure.prior))
    known = gain * law.eigenvalues[moving][None, :]
    shift = solve_lower(lower, known - tangent)
    unit = len(inverse) * np.finfo(np.float64).eps
    deviation = (residue + unit) * xp.abs(known) + unit * xp.abs(tangent)
    slip = xp.sum(deviation**2, axis=0) / xp.min(xp.diagonal(lower)) ** 2
    return _Moved(shift.T @ shift, rounding, slip)
