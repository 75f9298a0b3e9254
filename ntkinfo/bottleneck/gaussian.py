"""The Gaussian information bottleneck in closed form: the best that any encoder of jointly Gaussian data can do."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array, to_numpy
from ntkinfo.core.linear_algebra import cholesky
from ntkinfo.data.synthetic import GaussianPair

# Eigenvalues of a correlation matrix, for each of its columns, that rounding explains.
_NULL = 2.0**-46


@dataclass(frozen=True)
class BottleneckCurve:
    """Points of the frontier, all arrays of the shape of the betas that were asked for.

    Args:
        beta: weight of I(T;Y) in I(T;X) - beta I(T;Y); the slope dI(T;Y)/dI(T;X) of the frontier there is 1/beta.
        information_input: I(T;X), in nats.
        information_target: I(T;Y), in nats, the largest that this I(T;X) allows.
        directions: how many directions of X the optimal encoder keeps.
    """

    beta: Float[np.ndarray, "*b"]
    information_input: Float[np.ndarray, "*b"]
    information_target: Float[np.ndarray, "*b"]
    directions: Int[np.ndarray, "*b"]


@checked
@dataclass(frozen=True)
class GaussianBottleneck:
    """The information bottleneck of jointly Gaussian X and Y, from their covariances.

    Minimising I(T;X) - beta I(T;Y) over all encoders of X, linear or not, leads to T = A X + noise with the rows of A
    along the canonical directions of X; a direction enters when beta passes 1 / rho_i². The curve
    (I(T;X), I(T;Y)) is concave and bounds every encoder from above.

    Args:
        covariance_x: of X, (d_x, d_x).
        covariance_y: of Y, (d_y, d_y).
        cross_covariance: Cov(X, Y), (d_x, d_y).

    Raises:
        ValueError: shapes that do not fit, NaN or infinite values, matrices that are not symmetric or not positive
            semidefinite, a canonical correlation of 1 to rounding or above (Y is then a function of X in some
            direction, or the three matrices do not belong to one law).

    A covariance may be singular, as that of one-hot targets is: directions in which X or Y does not vary carry no
    information and are left out, nothing is added to a diagonal. `left_out` and `notes` say how many.

    One direction with correlation 0.8 is kept from beta = 1 / 0.64 on:

    >>> bottleneck = GaussianBottleneck(np.eye(1), np.eye(1), np.array([[0.8]]))
    >>> point = bottleneck.curve(2.0)
    >>> print(f"{bottleneck.critical_betas[0]:.4f} {point.information_input:.5f} {point.information_target:.5f}")
    1.5625 0.28768 0.16425

    Assumes the covariances are those of the law: sampling errors of estimated ones are not accounted for. Fails when X
    and Y are not jointly Gaussian: the curve is then neither achieved nor a bound.
    Source: Chechik, Globerson, Tishby & Weiss 2005, "Information bottleneck for Gaussian variables"; that no non-linear
    encoder does better: Globerson & Tishby 2004.
    """

    covariance_x: Float[Array, "dx dx"]
    covariance_y: Float[Array, "dy dy"]
    cross_covariance: Float[Array, "rows columns"]

    def __post_init__(self):
        for name in ("covariance_x", "covariance_y", "cross_covariance"):
            matrix = to_numpy(getattr(self, name)).astype(np.float64)
            checks.shape(name, matrix, (None, None), "a matrix")
            checks.finite(name, matrix)
            object.__setattr__(self, name, matrix)
        for name in ("covariance_x", "covariance_y"):
            _check_symmetric(name, getattr(self, name))
        wanted = (len(self.covariance_x), len(self.covariance_y))
        checks.shape("cross_covariance", self.cross_covariance, wanted, "one row for each X, one column for each Y")
        largest = self.correlations[0]
        if largest >= 1 - 1e-14:
            raise ValueError(
                f"the largest canonical correlation is {largest}; it must be below 1: otherwise I(X;Y) is infinite, or "
                "the covariances are not those of one law; add the variance of the noise to covariance_y"
            )

    @classmethod
    def of(cls, pair: GaussianPair) -> GaussianBottleneck:
        """The bottleneck of a `GaussianPair`.

        Args:
            pair: the law of X and Y.

        Returns:
            The bottleneck; its correlations are those of the pair, largest first.
        """
        d_x, d_y = pair.dims
        return cls(np.eye(d_x), np.eye(d_y), pair.cross_covariance)

    @cached_property
    def correlations(self) -> Float[np.ndarray, " k"]:
        """Canonical correlations rho_i of X and Y, largest first, none below 0; as many as the lower of both ranks."""
        return self._decomposed[1]

    @property
    def left_out(self) -> tuple[int, int]:
        """How many directions of X and of Y do not vary, to rounding, and are left out."""
        x, y = (len(root) - root.shape[1] for root in self.whitening)
        return x, y

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out."""
        sides = zip(("X", "Y"), self.left_out, strict=True)
        return tuple(f"{count} direction(s) in which {name} does not vary left out" for name, count in sides if count)

    @cached_property
    def critical_betas(self) -> Float[np.ndarray, " k"]:
        """The beta above which each direction is kept, 1 / rho_i², ascending; infinite for a correlation of 0."""
        with np.errstate(divide="ignore"):
            return 1 / self.correlations**2

    @property
    def mutual_information(self) -> float:
        """I(X;Y) = -1/2 Σ log(1 - rho_i²) in nats, the height at which the frontier ends."""
        return float(-0.5 * np.sum(np.log1p(-(self.correlations**2))))

    def curve(self, beta: Float[Array, "*b"] | float) -> BottleneckCurve:
        """Points of the frontier at given trade-offs.

        Args:
            beta: trade-offs, 0 or greater; infinity is not among them (I(T;X) is infinite there).

        Returns:
            The points; (0, 0) up to the smallest critical beta.

        Raises:
            ValueError: a beta that is NaN, infinite or below 0.
        """
        array = np.asarray(beta, dtype=np.float64)
        checks.finite("beta", array)
        if np.any(array < 0):
            raise ValueError(f"beta holds {array.min()}; it is the weight of I(T;Y), 0 or greater")
        shares = self._per_direction(array)
        parts = (shares, _target_share(shares, self.correlations), array[..., None] > self.critical_betas)
        return BottleneckCurve(array, *(np.asarray(np.sum(part, axis=-1)) for part in parts))

    def beta(self, information_input: Float[Array, "*b"] | float) -> np.ndarray:
        """The trade-off at which the optimal encoder keeps a given I(T;X); exact, no search.

        With k directions kept, I(T;X) = (k/2) log(beta - 1) + 1/2 Σ_{i≤k} log(rho_i² / (1 - rho_i²)), which is solved
        for beta on the stretch between two critical betas where the value lies.

        Args:
            information_input: I(T;X) in nats, finite, 0 or greater.

        Returns:
            beta, of the same shape; the smallest critical beta at 0; infinity where no input direction carries Y, and
            where it is too large for a floating-point number.

        Raises:
            ValueError: values that are NaN, infinite or below 0.
        """
        wanted = _checked_information(information_input)
        if not np.any(self.correlations > 0):
            return np.full(wanted.shape, np.inf)
        kept = self._kept(wanted)
        with np.errstate(over="ignore"):
            beta = 1 + np.exp((wanted - 0.5 * np.cumsum(self._log_odds)[kept - 1]) / (0.5 * kept))
        return np.asarray(np.maximum(beta, self.critical_betas[0]))

    def frontier(self, information_input: Float[Array, "*b"] | float) -> np.ndarray:
        """The largest I(T;Y) that any encoder with this I(T;X) can have.

        Args:
            information_input: I(T;X) in nats, 0 or greater; infinity is allowed and gives I(X;Y).

        Returns:
            I(T;Y) in nats, of the same shape.

        Raises:
            ValueError: values that are NaN or below 0.
        """
        values = np.asarray(information_input, dtype=np.float64)
        endless = np.isposinf(values)
        wanted = _checked_information(np.where(endless, 0.0, values))
        if not np.any(self.correlations > 0):
            return np.zeros(wanted.shape)
        kept, odds = self._kept(wanted), self._log_odds
        # The share of direction i by itself, not through beta: near the critical betas that would lose digits.
        level = (wanted - 0.5 * np.cumsum(odds)[kept - 1]) / kept
        shares = np.maximum(level[..., None] + 0.5 * odds, 0.0)
        shares = np.where(np.arange(len(odds)) < kept[..., None], shares, 0.0)
        points = np.sum(_target_share(shares, self.correlations[: len(odds)]), axis=-1)
        return np.where(endless, self.mutual_information, points)

    def projection(self, beta: float) -> Float[np.ndarray, "k dx"]:
        """Rows of A in the optimal encoder T = A X + xi, xi standard normal and independent of X.

        Args:
            beta: trade-off, finite, 0 or greater.

        Returns:
            One row for each direction kept, (k, d_x), the most correlated first; no row up to the smallest critical
            beta. Row i is alpha_i v_i, v_i the left eigenvector of Σ_{x|y} Σ_x⁻¹ with eigenvalue λ_i = 1 - rho_i²,
            alpha_i² = (beta (1 - λ_i) - 1) / (λ_i v_iᵀ Σ_x v_i). Any orthogonal mixture of the rows is as good.

        Raises:
            ValueError: a beta that is NaN, infinite or below 0.
        """
        checks.non_negative("beta", beta)
        left, correlations = self._decomposed
        kept = self.critical_betas < beta
        rho2 = correlations[kept] ** 2
        # v_i = W u_i has v_iᵀ Σ_x v_i = 1.
        directions = (self.whitening[0] @ left[:, : len(correlations)][:, kept]).T
        return np.sqrt((beta * rho2 - 1) / (1 - rho2))[:, None] * directions

    def information(self, projection: Float[Array, "k dx"]) -> tuple[float, float]:
        """What a linear encoder T = A X + xi, xi standard normal, says about X and Y.

        Args:
            projection: A, (k, d_x).

        Returns:
            (I(T;X), I(T;Y)) in nats, by log-determinants: 1/2 log det(I + A Σ_x Aᵀ) and the first less
            1/2 log det(I + A Σ_{x|y} Aᵀ).

        Raises:
            ValueError: a projection of another width than d_x, NaN or infinite values.
        """
        rows = to_numpy(projection).astype(np.float64)
        checks.shape("projection", rows, (None, len(self.covariance_x)), "one row a direction kept, one column an X")
        checks.finite("projection", rows)
        half = self.whitening[1].T @ to_numpy(self.cross_covariance).T
        given = _log_determinant(rows, to_numpy(self.covariance_x))
        unexplained = _log_determinant(rows, to_numpy(self.covariance_x) - half.T @ half)
        return 0.5 * given, 0.5 * (given - unexplained)

    @cached_property
    def whitening(self) -> tuple[np.ndarray, np.ndarray]:
        """W with Wᵀ Σ W = I on the range of Σ, (d, rank), for X and for Y."""
        x, y = (_whitening(key, to_numpy(getattr(self, key))) for key in ("covariance_x", "covariance_y"))
        return x, y

    @cached_property
    def _decomposed(self) -> tuple[np.ndarray, np.ndarray]:
        """Left singular vectors and singular values of W_xᵀ Σ_xy W_y."""
        (root_x, root_y), cross = self.whitening, to_numpy(self.cross_covariance)
        _check_varies("covariance_x", to_numpy(self.covariance_x), root_x, cross, to_numpy(self.covariance_y))
        _check_varies("covariance_y", to_numpy(self.covariance_y), root_y, cross.T, to_numpy(self.covariance_x))
        left, correlations, _ = np.linalg.svd(root_x.T @ cross @ root_y, full_matrices=False)
        return left, correlations

    @cached_property
    def _log_odds(self) -> np.ndarray:
        """Log rho² / (1 - rho²) of the directions that carry anything."""
        rho2 = self.correlations[self.correlations > 0] ** 2
        return np.log(rho2) - np.log1p(-rho2)

    def _kept(self, information_input: np.ndarray) -> np.ndarray:
        """How many directions the optimal encoder with this I(T;X) keeps, at least 1."""
        count = np.arange(1, len(self._log_odds) + 1)
        # I(T;X) where each direction enters: there beta - 1 is one over the odds of that direction.
        starts = 0.5 * (np.cumsum(self._log_odds) - count * self._log_odds)
        return np.asarray(np.maximum(np.searchsorted(starts, information_input, side="right"), 1))

    def _per_direction(self, beta: np.ndarray) -> np.ndarray:
        """What the optimal encoder keeps of each direction, 1/2 log((beta - 1) rho² / (1 - rho²)); (..., k)."""
        rho2 = self.correlations**2
        kept = beta[..., None] > self.critical_betas
        # beta rho² - 1 over 1 - rho² is the signal-to-noise ratio; log1p keeps the digits near the critical beta.
        ratio = np.where(kept, (beta[..., None] * rho2 - 1) / (1 - rho2), 0.0)
        return 0.5 * np.log1p(ratio)


def _whitening(name: str, covariance: np.ndarray) -> np.ndarray:
    """W with Wᵀ Σ W = I on the range of Σ, by the correlation matrix, so that units play no part.

    Raises:
        ValueError: a covariance that is not positive semidefinite, or in which nothing varies.
    """
    variances = np.diagonal(covariance)
    if np.any(variances < 0) or not np.any(variances > 0):
        raise ValueError(f"{name} has the diagonal {variances.tolist()}; variances are 0 or greater, one of them above")
    scale = np.where(variances > 0, 1 / np.sqrt(np.where(variances > 0, variances, 1.0)), 0.0)
    values, vectors = np.linalg.eigh(scale[:, None] * covariance * scale[None, :])
    tolerance = len(values) * _NULL
    if values[0] < -tolerance:
        raise ValueError(
            f"{name} is not positive semidefinite: its correlation matrix has the eigenvalue {values[0]:.3g}"
        )
    kept = values > tolerance
    if kept.all():
        # Σ = L Lᵀ keeps more digits of a matrix that is nearly singular.
        lower = to_numpy(cholesky(covariance, name))
        return np.linalg.inv(lower).T
    return scale[:, None] * vectors[:, kept] / np.sqrt(values[kept])


def _check_varies(name: str, covariance: np.ndarray, root: np.ndarray, cross: np.ndarray, others: np.ndarray) -> None:
    """Raise where a direction that does not vary has a covariance with the other side.

    Raises:
        ValueError: the matrices do not belong to one law.
    """
    if root.shape[1] == len(root):
        return
    left = cross - covariance @ (root @ (root.T @ cross))
    size = np.sqrt(np.diagonal(covariance))[:, None] * np.sqrt(np.diagonal(others))[None, :]
    # In units of each pair of columns; a column that is constant has no unit of its own.
    if np.any(np.abs(left) > np.where(size > 0, 1e-6 * size, 1e-14 * np.max(size))):
        raise ValueError(
            f"cross_covariance relates directions in which {name} does not vary to the other side: the three matrices "
            "are not those of one law"
        )


def _target_share(shares: np.ndarray, correlations: np.ndarray) -> np.ndarray:
    """I(T_i;Y) of a direction with I(T_i;X) = s: -1/2 log(1 - rho² (1 - e^(-2s)))."""
    return -0.5 * np.log1p(correlations**2 * np.expm1(-2 * shares))


def _log_determinant(rows: np.ndarray, covariance: np.ndarray) -> float:
    """Log det(I + A Σ Aᵀ)."""
    lower = cholesky(np.eye(len(rows)) + rows @ covariance @ rows.T, "I + A Σ Aᵀ")
    return float(2 * np.sum(np.log(np.diagonal(lower))))


def _checked_information(values: Array | float) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    checks.finite("information_input", array)
    if np.any(array < 0):
        raise ValueError(f"information_input holds {array.min()}; information is 0 or greater: clip it at 0 yourself")
    return array


def _check_symmetric(name: str, matrix: np.ndarray) -> None:
    if matrix.size == 0 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"{name} has shape {matrix.shape}; a covariance is square with at least one row")
    if not np.allclose(matrix, matrix.T, rtol=0, atol=1e-10 * np.max(np.abs(matrix))):
        raise ValueError(f"{name} is not symmetric; give the covariance matrix itself")
