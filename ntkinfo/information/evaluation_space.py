"""Joint laws of the outputs on the training inputs and any number of extra inputs, one time at a time.

Coordinates: the training inputs' outputs along the eigenvectors of the tangent kernel (those directions that can
vary), then the extra inputs' outputs. With A_t = U g_t Uᵀ, h = λ g, r = 1 − h, a = UᵀΘ(X, x'), b = UᵀP(X, x') and c_λ
the variance that gradient noise has put into a parameter direction (c_0 across them), targets in the eigenbasis reach
the mean by the map (h; aᵀg), and the covariance is

    rBr + σ_y²h² + λc_λ                  r(b − B g a) + (σ_y² h g + c_λ) a
    …ᵀ                                   P' − aᵀgb − bᵀga + aᵀg(B + σ_y²)g a + c_0 Θ' − aᵀ((c_0 − c_λ)/λ) a.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array, namespace
from ntkinfo.core.linear_algebra import NotDefiniteError, cholesky, symmetric_part
from ntkinfo.kernels.records import CrossBlocks, SquareBlocks
from ntkinfo.training.output_distribution import OutputDistribution

# Relative error by rounding from which a factor says nothing.
_MOST_ROUNDING = 1e-2


@checked
@dataclass(frozen=True)
class ExtraInputs:
    """Kernels of e inputs beyond the training inputs: with the training inputs, and with themselves."""

    cross: CrossBlocks
    square: SquareBlocks


@dataclass(frozen=True)
class EvaluationSpace:
    """The joint law over d = k + e coordinates: k training directions and e extra inputs.

    Args:
        values: (k,), eigenvalues of the tangent kernel along the training directions.
        prior: (k, k), B, covariance along them before training.
        cross: (k, e), b.
        tangent: (k, e), a.
        square_prior: (e, e), P'.
        square_tangent: (e, e), Θ'.
        law: over all the training inputs.
    """

    values: Float[Array, " k"]
    prior: Float[Array, "k k"]
    cross: Float[Array, "k e"]
    tangent: Float[Array, "k e"]
    square_prior: Float[Array, "e e"]
    square_tangent: Float[Array, "e e"]
    law: OutputDistribution

    @property
    def initial(self) -> Float[Array, "d d"]:
        """Covariance before training."""
        return _assemble(self.prior, self.cross, self.square_prior)

    def map(self, time: Float[Array, " 1"]) -> Float[Array, "d k"]:
        """Map from targets in the eigenbasis to the mean, at one time of the summed loss."""
        xp = namespace(self.values)
        g = self.law.summed.filter(self.values, time)[0]
        return xp.concatenate([xp.diag(self.values * g), self.tangent.T * g[None, :]])

    def change(self, time: Float[Array, " 1"]) -> Float[Array, "d d"]:
        """Covariance at one time of the summed loss less that before training, without cancellation where it is small.

        With h = λ g: −hB − Bh + hBh on the training inputs, and alike on the others.
        """
        xp = namespace(self.values)
        g = self.law.summed.filter(self.values, time)[0]
        moved = xp.concatenate([xp.diag(self.values * g), self.tangent.T * g[None, :]])
        between = moved @ xp.concatenate([self.prior, self.cross], 1)
        total = moved @ (self.prior + self.law.summed.target_noise_variance * xp.eye(len(g))) @ moved.T
        total = total - between - between.T
        return symmetric_part(total if self.law.summed.temperature == 0 else total + self._gradient_noise(time))

    def _gradient_noise(self, time: Float[Array, " 1"]) -> Float[Array, "d d"]:
        xp, summed = namespace(self.values), self.law.summed
        along = summed.temperature * summed.injected_variance(self.values, time)[0]
        across = summed.temperature * summed.injected_variance(0 * self.values[:1], time)[0, 0]
        null = self.values <= 0
        weight = xp.where(null, 0.0, (across - along) / xp.where(null, 1.0, self.values))
        train = xp.diag(xp.where(null, 0.0, self.values * along))
        between = along[:, None] * self.tangent
        among = across * self.square_tangent - self.tangent.T @ (weight[:, None] * self.tangent)
        return _assemble(train, between, among)

    def covariance(self, time: Float[Array, " 1"]) -> Float[Array, "d d"]:
        """Covariance at one time of the summed loss."""
        xp, summed = namespace(self.values), self.law.summed
        noise = summed.target_noise_variance
        g, r = summed.filter(self.values, time)[0], summed.residual(self.values, time)[0]
        h, scaled = self.values * g, self.tangent * g[:, None]
        image = self.prior @ scaled
        train = r[:, None] * self.prior * r[None, :] + xp.diag(noise * h**2)
        between = r[:, None] * (self.cross - image) + noise * (h[:, None] * scaled)
        mixed = scaled.T @ self.cross
        among = self.square_prior - mixed - mixed.T + scaled.T @ image + noise * (scaled.T @ scaled)
        total = _assemble(train, between, among)
        return total if summed.temperature == 0 else total + self._gradient_noise(time)


def evaluation_space(law: OutputDistribution, extra: ExtraInputs | None) -> EvaluationSpace:
    """Rotate the kernels of the extra inputs (none if None) into the training inputs' eigenbasis."""
    chosen, values, xp = law.moving, law.eigenvalues[law.moving], namespace(law.eigenvalues)
    vectors = law.spectrum.eigenvectors[:, chosen]
    if extra is None:
        nothing, none = xp.zeros((len(values), 0)), xp.zeros((0, 0))
        return EvaluationSpace(values, dense_prior(law), nothing, nothing, none, none, law)
    prior, tangent = law.procedure.prior, law.procedure.tangent
    rotated = vectors.T @ getattr(extra.cross, tangent).T
    return EvaluationSpace(
        values=values,
        prior=dense_prior(law),
        cross=vectors.T @ getattr(extra.cross, prior).T,
        # What rounding leaves in the null space of the tangent kernel is not signal.
        tangent=xp.where((values > 0)[:, None], rotated, 0.0),
        square_prior=getattr(extra.square, prior),
        square_tangent=getattr(extra.square, tangent),
        law=law,
    )


def dense_prior(law: OutputDistribution) -> Float[Array, "k k"]:
    """B over the directions in which the function can vary, as a matrix also where it is diagonal."""
    matrix = law.prior if law.prior.ndim == 2 else namespace(law.prior).diag(law.prior)
    return matrix[law.moving, law.moving]


def factor_given_training(
    explained: Float[Array, "e e"], before: Float[Array, "e e"]
) -> tuple[Float[Array, "e e"], float]:
    """Lower Cholesky factor of Cov(f_0(x') | f_0(X)), and the relative error that rounding puts into solutions with it.

    Args:
        explained: what the training inputs tell, P(x', X) P⁻¹ P(X, x').
        before: P(x', x').

    Raises:
        NotDefiniteError: nothing but rounding is left: inputs repeat, or repeat training inputs, or nearly so.
    """
    xp, name = namespace(before), "the covariance of the extra inputs given the training inputs"
    lower = cholesky(symmetric_part(before - explained), name)
    # A difference: its rounding is that of the covariance before.
    least, largest = float(xp.min(xp.diagonal(lower))) ** 2, float(xp.max(xp.diagonal(before)))
    rounding = len(before) * float(np.finfo(np.float64).eps) * largest / least
    if rounding > _MOST_ROUNDING:
        raise NotDefiniteError(
            f"{name} is not positive definite to rounding: inputs repeat, or repeat training inputs, or nearly so; "
            "leave them out"
        )
    return lower, rounding


def _assemble(train: Array, between: Array, among: Array) -> Array:
    xp = namespace(train)
    return symmetric_part(xp.concatenate([xp.concatenate([train, between], 1), xp.concatenate([between.T, among], 1)]))
