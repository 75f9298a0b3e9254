"""The dual information bottleneck of jointly Gaussian data in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ntkinfo.bottleneck.gaussian import GaussianBottleneck
from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array, to_numpy


@dataclass(frozen=True)
class DualCurve:
    """Optimal encoders of the dual problem, all arrays of the shape of the betas that were asked for; in nats.

    Args:
        beta: weight of the distortion in I(T;X) + beta E KL[p(y|t) ‖ p(y|x)].
        information_input: I(T;X).
        information_target: I(T;Y) of the encoder, with the p(y|t) that follows from it by Bayes. It lies on the
            frontier of the ordinary bottleneck, where that has the weight beta + 1.
        information_target_dual: I(T;Y) under the dual's own decoder, which is never smaller: what the program that
            solves the dual equations calls I(T;Y), and no information of the joint law.
        distortion: E KL[p(y|t) ‖ p(y|x)] of the optimal decoder.
        directions: how many directions of X the optimal encoder keeps.
    """

    beta: Float[np.ndarray, "*b"]
    information_input: Float[np.ndarray, "*b"]
    information_target: Float[np.ndarray, "*b"]
    information_target_dual: Float[np.ndarray, "*b"]
    distortion: Float[np.ndarray, "*b"]
    directions: Int[np.ndarray, "*b"]


@checked
@dataclass(frozen=True)
class GaussianDualBottleneck:
    """The dual bottleneck of the law that a `GaussianBottleneck` holds.

    It minimises I(T;X) + beta E KL[q(y|t) ‖ p(y|x)] over encoders p(t|x) and decoders q(y|t). For a given encoder the
    best decoder is the normalised geometric mean of p(y|x) over p(x|t). With p(y|x) = N(Wx, S) that is
    N(W E[x|t], S) for *any* encoder, and the distortion is 1/2 E |x - E[x|t]|² in the metric Wᵀ S⁻¹ W: what is left is
    the rate-distortion problem of a Gaussian source, solved by reverse water-filling. Along the canonical directions,
    with signal-to-noise ratio s_i = rho_i² / (1 - rho_i²), the part d_i = min(1, 1 / (beta s_i)) of the variance of X
    stays unexplained, so that

        I(T;X) = 1/2 Σ log max(1, beta s_i),   distortion = 1/2 Σ min(s_i, 1 / beta),   critical beta_i = 1 / s_i.

    The encoder is the ordinary bottleneck's at beta + 1: for Gaussian data both problems have the same solutions, under
    other weights, and differ in their decoders (covariance S here, Cov(Y|T) there).

    Args:
        primal: the law.

    Fails when X and Y are not jointly Gaussian. Derived here; the source coding part is Shannon's (Cover & Thomas 2006,
    section 10.3), the critical beta is also that of the general formula, 1 / λ_max of the covariance of log p(y|x).
    """

    primal: GaussianBottleneck

    @property
    def critical_betas(self) -> Float[np.ndarray, " k"]:
        """The beta above which each direction is kept, (1 - rho_i²) / rho_i², ascending; infinite for a rho of 0."""
        ratio = self._ratio
        with np.errstate(divide="ignore"):
            return 1 / ratio

    def curve(self, beta: Float[Array, "*b"] | float) -> DualCurve:
        """Optimal encoders at given weights.

        Args:
            beta: weights of the distortion, finite, 0 or greater.

        Returns:
            The points; no information up to the smallest critical beta.

        Raises:
            ValueError: a beta that is NaN, infinite or below 0.
        """
        array = np.asarray(beta, dtype=np.float64)
        checks.finite("beta", array)
        if np.any(array < 0):
            raise ValueError(f"beta holds {array.min()}; it is the weight of the distortion, 0 or greater")
        ratio, kept = self._ratio, array[..., None] > self.critical_betas
        # beta s - 1 and s - 1/beta where a direction is kept: log1p keeps the digits near the critical beta.
        excess = np.where(kept, array[..., None] * ratio - 1, 0.0)
        explained = np.where(kept, excess / np.where(kept, array[..., None], 1.0), 0.0)
        parts = (
            0.5 * np.log1p(excess),
            -0.5 * np.log1p(-explained / (1 + ratio)),
            0.5 * np.log1p(explained),
            0.5 * (ratio - explained),
            kept,
        )
        return DualCurve(array, *(np.asarray(np.sum(part, axis=-1)) for part in parts))

    def projection(self, beta: float) -> Float[np.ndarray, "k dx"]:
        """Rows of A in the optimal encoder T = A X + xi, xi standard normal: the ordinary bottleneck's at beta + 1.

        Args:
            beta: weight of the distortion, finite, 0 or greater.

        Returns:
            One row for each direction kept, (k, d_x).

        Raises:
            ValueError: a beta that is NaN, infinite or below 0.
        """
        checks.non_negative("beta", beta)
        return self.primal.projection(beta + 1)

    def decoder(self, projection: Float[Array, "k dx"]) -> tuple[Float[np.ndarray, "dy k"], Float[np.ndarray, "dy dy"]]:
        """The dual's decoder q(y|t) = N(B t, S) for a linear encoder T = A X + xi, xi standard normal.

        Args:
            projection: A, (k, d_x).

        Returns:
            B = W E[x tᵀ] Cov(t)⁻¹, (d_y, k), and S = Cov(Y|X), (d_y, d_y).

        Raises:
            ValueError: a projection of another width than d_x, NaN or infinite values.
        """
        rows = to_numpy(projection).astype(np.float64)
        checks.shape("projection", rows, (None, len(self.primal.covariance_x)), "one row a direction, one column an X")
        checks.finite("projection", rows)
        weights, noise = self._channel
        joint = to_numpy(self.primal.covariance_x) @ rows.T
        return weights @ np.linalg.solve(np.eye(len(rows)) + rows @ joint, joint.T).T, noise

    def distortion(self, projection: Float[Array, "k dx"]) -> float:
        """E KL[q(y|t) ‖ p(y|x)] in nats of a linear encoder T = A X + xi with its best decoder.

        Args:
            projection: A, (k, d_x).

        Returns:
            1/2 tr(Wᵀ S⁻¹ W Cov(X|T)).

        Raises:
            ValueError: a projection of another width than d_x, NaN or infinite values.
        """
        gain, noise = self.decoder(projection)
        weights, _ = self._channel
        lost = weights - gain @ to_numpy(projection).astype(np.float64)
        # y's mean misses by (W - B A) x - B xi; its covariance in the metric of S.
        spread = lost @ to_numpy(self.primal.covariance_x) @ lost.T + gain @ gain.T
        root = self.primal.whitening[1]  # what of Y varies
        return float(0.5 * np.trace(np.linalg.solve(root.T @ noise @ root, root.T @ spread @ root)))

    @property
    def _ratio(self) -> np.ndarray:
        """Signal-to-noise ratio rho² / (1 - rho²) of each canonical direction, largest first."""
        rho2 = self.primal.correlations**2
        return rho2 / (1 - rho2)

    @property
    def _channel(self) -> tuple[np.ndarray, np.ndarray]:
        """W (d_y, d_x) and S (d_y, d_y) of p(y|x) = N(Wx, S)."""
        cross = to_numpy(self.primal.cross_covariance)
        root = self.primal.whitening[0]
        half = root.T @ cross
        weights = (root @ half).T
        return weights, to_numpy(self.primal.covariance_y) - half.T @ half
