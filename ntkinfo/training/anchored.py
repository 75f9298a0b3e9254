"""Variances of outputs next to training inputs: of what is left when the training input's output is taken off.

With α = c Uᵀe_i, β = Uᵀδ_Θ, d = Uᵀδ_P and s the variance that the anchor leaves before training, the output is
f_0's remainder plus q_tᵀUᵀf_0(X) and a mean, q_t = r_t ∘ α − g_t ∘ β, so that v_t = s + 2 d·q_t + q_tᵀ B q_t.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ntkinfo.core.arrays import Array, namespace
from ntkinfo.training.anchors import Anchors
from ntkinfo.training.time_factors import TimeFactors, factor, form_of_sum

if TYPE_CHECKING:
    from ntkinfo.training.output_distribution import OutputDistribution


class AnchoredVariance:
    """Outputs at q inputs by their anchors; create and use it inside `float64()`.

    Args:
        distribution: of the outputs at every input.
        anchors: the inputs' places, anchors and what these leave.

    Attributes:
        tangent: (n, q), a = UᵀΘ(X, x) as λα + β, in which equal inputs agree with training inputs to the last digit.
        prior_cross: (n, q), UᵀP(X, x) as Bα + d.
        prior: (n, q), d.
        outside: (q,), the share of the tangent kernel outside the training inputs' span.
    """

    def __init__(self, distribution: OutputDistribution, anchors: Anchors):
        self._law, self._anchors = distribution, anchors
        values, vectors = distribution.eigenvalues[:, None], distribution.spectrum.eigenvectors
        xp, null = namespace(vectors), distribution.spectrum.null[:, None]
        alpha = vectors[xp.asarray(anchors.of)].T * xp.asarray(anchors.factor)[None, :]
        moving = np.zeros(len(vectors), dtype=bool)
        moving[distribution.moving] = True
        self._alpha = xp.where(xp.asarray(moving)[:, None], alpha, 0.0)
        self._beta = xp.where(null, 0.0, vectors.T @ anchors.tangent.T)
        self.prior = vectors.T @ anchors.prior.T
        self.tangent = values * self._alpha + self._beta
        matrix = distribution.prior
        turned = matrix[:, None] * self._alpha if matrix.ndim == 1 else matrix @ self._alpha
        self.prior_cross = turned + self.prior
        inside = xp.sum(xp.where(null, 0.0, self._beta**2 / xp.where(null, 1.0, values)), axis=0)
        self.outside = xp.maximum(xp.asarray(anchors.tangent_left) - inside, 0.0)

    @property
    def all_same(self) -> bool:
        """Whether every anchored input is a training input, so that nothing is left."""
        return bool(np.all(self._anchors.same))

    def left_at(self, time: Float[Array, " 1"]) -> Float[Array, "n q"]:
        """Return q_t, what multiplies Uᵀf_0(X)."""
        summed, values = self._law.summed, self._law.eigenvalues
        return summed.residual(values, time).T * self._alpha - summed.filter(values, time).T * self._beta

    @cached_property
    def near_variance(self) -> Float[Array, "t k"]:
        """v_t of the inputs that do not equal their anchors, noise on targets and gradients aside."""
        law, near = self._law, ~self._anchors.same
        moving, times = law.moving, law.internal_times
        alpha, beta, prior = (table[:, near][moving] for table in (self._alpha, self._beta, self.prior))
        values, xp = law.eigenvalues[moving], namespace(self._alpha)
        start = xp.asarray(self._anchors.prior_left[near])[None, :]
        residual, g = law.summed.residual(values, times), law.summed.filter(values, times)
        total = start + 2 * (residual @ (prior * alpha) - g @ (prior * beta))
        if law.prior.ndim == 1:
            weights = law.prior[moving][:, None]
            both = residual**2 @ (weights * alpha**2) - 2 * (residual * g) @ (weights * alpha * beta)
            return total + both + g**2 @ (weights * beta**2)
        return total + form_of_sum(zip(self._factors, (alpha, -beta), strict=True), law.prior[moving, moving])

    @cached_property
    def _factors(self) -> tuple[TimeFactors, TimeFactors]:
        """Factors of the residuals and of the filter over the directions in which the function can vary."""
        law = self._law
        values, times = law.eigenvalues[law.moving], law.internal_times
        return factor(law.summed.residual, values, times), factor(law.summed.filter, values, times)

    def truncation(self, chosen: slice) -> Float[Array, "t k"]:
        """Bound on what truncating the factors puts into `near_variance` at a slice of the times."""
        law, near, xp = self._law, ~self._anchors.same, namespace(self._alpha)
        if law.prior.ndim == 1:
            return xp.zeros_like(self.near_variance[chosen])
        moving = law.moving
        spread = xp.sqrt(xp.maximum(law.prior_variance[moving], 0.0))
        missed = [part.error * spread for part in self._factors]
        tables = (self._alpha[:, near][moving], self._beta[:, near][moving])
        reach = missed[0] @ xp.abs(tables[0]) + missed[1] @ xp.abs(tables[1])
        # The quadratic form is at most what the variance and the remainder's make it.
        left = xp.sqrt(xp.asarray(self._anchors.prior_left[near]))
        size = xp.sqrt(xp.maximum(self.near_variance[chosen], 0.0)) + left[None, :]
        return 2 * size * reach[None, :] + reach[None, :] ** 2
