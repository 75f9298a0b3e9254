"""What the splits of quantities over eigen-directions are made of: the law, and common parts of it by direction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from jaxtyping import Float

from ntkinfo.core.arrays import Array, namespace
from ntkinfo.information.label_model import LabelModel
from ntkinfo.training.output_distribution import OutputDistribution

Terms = Callable[[Float[Array, " t"]], Float[Array, "t n"]]
Offset = Callable[[Float[Array, " t"]], Float[Array, " t"]]

OWN = "exact"
ROWS = "exact sum; cross terms in equal halves to their two directions"
MARGINAL = "I(z_j;Y) of each direction alone: a lower bound of the joint information; their sum is no bound of it"
CHAIN = "exact sum by the chain rule: I(z_j;Y | z_k) given all directions k of larger eigenvalue"


@dataclass(frozen=True)
class Split:
    """A quantity by directions.

    Args:
        terms: (t,) times of the summed loss to (t, n) contributions, in the order of the eigenvalues.
        meaning: of one contribution.
        offset: what belongs to no direction, (t,) to (t,); None for nothing.
    """

    terms: Terms
    meaning: str
    offset: Offset | None = None


@dataclass(frozen=True)
class Problem:
    """An output law with what several quantities need of it.

    Args:
        law: the output law.
        label_model: of the training labels.
    """

    law: OutputDistribution
    label_model: LabelModel

    @cached_property
    def label_covariance(self) -> Float[Array, "n n"] | Float[Array, " n"]:
        """Ŝ = UᵀSU of the labels in the eigenbasis, or its diagonal where the law's prior makes it diagonal."""
        if self.law.prior.ndim == 1 and self.label_model.covariance is None:
            return self.law.prior + self.label_model.noise_variance
        return self.label_model.rotated(self.law)

    @cached_property
    def target_squared(self) -> Float[Array, " n"]:
        """|ŷ_j|², the targets along each direction."""
        return namespace(self.law.targets).sum(self.law.targets**2, axis=1)

    @cached_property
    def tangent(self) -> Float[Array, "n m"]:
        """UᵀΘ(X, x) of the test inputs, 0 in null directions as in the output law."""
        law = self.law
        xp = namespace(law.eigenvalues)
        image = law.spectrum.eigenvectors.T @ getattr(law.blocks.test, law.procedure.tangent).T
        return xp.where(law.spectrum.null[:, None], 0.0, image)

    @cached_property
    def gram(self) -> Float[Array, "n n"]:
        """Mean over the test inputs of the products of their tangent kernels along two directions."""
        return self.tangent @ self.tangent.T / self.tangent.shape[1]

    def filter(self, times: Array) -> Float[Array, "t n"]:
        """G."""
        return self.law.summed.filter(self.law.eigenvalues, times)

    def learnt(self, times: Array) -> Float[Array, "t n"]:
        """H = λ g."""
        return self.law.eigenvalues[None, :] * self.filter(times)

    def noise(self, times: Array) -> Float[Array, "t n"]:
        """Variance along each direction of the training outputs from noisy targets and gradient noise."""
        summed, values = self.law.summed, self.law.eigenvalues
        along = summed.target_noise_variance * self.learnt(times) ** 2
        if summed.temperature == 0:
            return along
        injected = values[None, :] * summed.injected_variance(values, times)
        # 0 where λ = 0 even if the parameter variance is infinite.
        return along + summed.temperature * namespace(values).where(values[None, :] > 0, injected, 0.0)

    def spread(self, times: Array) -> Float[Array, "t n"]:
        """Variance of a training output along each direction."""
        residual = self.law.summed.residual(self.law.eigenvalues, times)
        return residual**2 * self.moving_prior[None, :] + self.noise(times)

    @cached_property
    def moving_prior(self) -> Float[Array, " n"]:
        """B_jj; 0 where the initial function varies by rounding alone."""
        xp = namespace(self.law.eigenvalues)
        start = self.law.moving.start or 0
        return xp.where(xp.arange(len(self.law.eigenvalues)) >= start, self.law.prior_variance, 0.0)

    def widen(self, moving: Array) -> Float[Array, "t n"]:
        """Contributions of the moving directions, with 0 for the others."""
        xp = namespace(moving)
        start = self.law.moving.start or 0
        return xp.concatenate([xp.zeros((moving.shape[0], start), dtype=moving.dtype), moving], axis=1)


def rows(left: Array, form: Array) -> Array:
    """x_j Σ_k M_jk x_k for every row x of `left`."""
    return left * (left @ form)
