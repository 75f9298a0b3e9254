"""The only place with eigen-decompositions, Cholesky factors and log-determinants; what they repair, they report."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np
import scipy.linalg
from jaxtyping import Bool, Float

from ntkinfo.core.arrays import Array, namespace


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues (ascending) and eigenvectors (columns) of a symmetric positive semidefinite matrix.

    Args:
        eigenvalues: (n,), exactly 0 where `null` holds.
        eigenvectors: (n, n), orthonormal columns.
        null: (n,), where the computed eigenvalue was within `tolerance` of 0 and was set to 0.
        tolerance: n · machine epsilon · largest eigenvalue: what the decomposition cannot tell from 0.
        most_negative: the most negative eigenvalue computed, before it was set to 0 (0 if there was none).
    """

    eigenvalues: Float[Array, " n"]
    eigenvectors: Float[Array, "n n"]
    null: Bool[Array, " n"]
    tolerance: float
    most_negative: float

    @property
    def rank(self) -> int:
        """The number of directions that are not null."""
        return int(self.null.shape[0] - self.null.sum())

    def notes(self, name: str) -> tuple[str, ...]:
        """Say what was set to 0, or nothing."""
        dropped = self.null.shape[0] - self.rank
        if not dropped:
            return ()
        return (f"{name}: {dropped} eigenvalue(s) within {self.tolerance:.1e} of 0 taken as exactly 0",)


def spectrum(matrix: Float[Array, "n n"], name: str = "matrix", error: float = 0.0) -> Spectrum:
    """Decompose a symmetric positive semidefinite matrix.

    Args:
        matrix: (n, n).
        name: what to call it.
        error: what its entries' own errors may change of an eigenvalue, beyond rounding.

    Raises:
        ValueError: an eigenvalue below 0 by more than rounding explains: the matrix is not a covariance or a kernel.
    """
    values, vectors = _eigh(matrix)
    largest = float(abs(values[-1]))
    tolerance = matrix.shape[0] * float(np.finfo(np.float64).eps) * largest
    lowest = float(values[0])
    # Kernels arrive with the rounding of their own computation, which is larger than that of the decomposition.
    allowed = 1e4 * tolerance + error
    if lowest < -allowed:
        raise ValueError(
            f"{name} has the eigenvalue {lowest:.3e} (largest {largest:.3e}): it is not positive semidefinite, as "
            f"errors of its entries explain no less than {-allowed:.1e}; "
            "give a kernel matrix computed in float64, and its kernel_error where that is larger than rounding"
        )
    xp = namespace(values)
    null = values <= tolerance
    return Spectrum(xp.where(null, 0.0, values), vectors, null, tolerance, min(lowest, 0.0))


def congruence(vectors: Float[Array, "n k"], matrix: Float[Array, "n n"]) -> Float[Array, "k k"]:
    """VᵀMV of a symmetric M, exactly symmetric."""
    right = matrix @ vectors
    if namespace(right) is not np:
        return symmetric_part(vectors.T @ right)
    product = np.empty((right.shape[1],) * 2)
    for rows in _strips(len(product)):
        product[rows, : rows.stop] = vectors[:, rows].T @ right[:, : rows.stop]
    return _mirrored(product)


def symmetric_part(matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """(M + Mᵀ)/2."""
    return (matrix + matrix.T) / 2


class NotDefiniteError(ValueError):
    """A matrix that has to be positive definite is singular to rounding."""


def cholesky(matrix: Float[Array, "n n"], name: str = "matrix") -> Float[Array, "n n"]:
    """Lower Cholesky factor, without jitter.

    Raises:
        NotDefiniteError: the matrix is not positive definite to rounding.
    """
    if namespace(matrix) is np:
        (decompose,) = scipy.linalg.get_lapack_funcs(("potrf",), (matrix,))
        # The transposed matrix lies in memory as LAPACK wants it, and so does the result for us.
        upper, info = decompose(np.asarray(matrix).T, lower=0, clean=1)
        if info or not np.all(np.isfinite(np.diagonal(upper))):
            raise NotDefiniteError(_NOT_DEFINITE.format(name=name))
        return upper.T
    factor = jax.numpy.linalg.cholesky(matrix)
    if bool(jax.numpy.any(jax.numpy.isnan(factor))):
        raise NotDefiniteError(_NOT_DEFINITE.format(name=name))
    return factor


def solve_lower(factor: Float[Array, "n n"], right: Float[Array, "n k"]) -> Float[Array, "n k"]:
    """L⁻¹R for a lower triangular L."""
    if namespace(factor, right) is np:
        return scipy.linalg.solve_triangular(factor, right, lower=True, check_finite=False)
    return jax.scipy.linalg.solve_triangular(factor, right, lower=True)


def inverse_definite(matrix: Float[Array, "n n"], name: str = "matrix") -> Float[Array, "n n"]:
    """Inverse of a positive definite matrix, exactly symmetric, by Cholesky without jitter.

    Raises:
        NotDefiniteError: the matrix is not positive definite to rounding.
    """
    factor = cholesky(matrix, name)
    if namespace(factor) is np:
        # The transposed factor lies in memory as LAPACK wants it: its inverse takes its place.
        (invert,) = scipy.linalg.get_lapack_funcs(("potri",), (factor,))
        inverse, info = invert(factor.T, lower=0, overwrite_c=1)
        if info:
            raise NotDefiniteError(_NOT_DEFINITE.format(name=name))
        return _mirrored(inverse.T)
    half = solve_lower(factor, jax.numpy.eye(matrix.shape[0], dtype=matrix.dtype))
    return half.T @ half


def lower_product(left: Float[Array, "n n"], right: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Product of two lower triangular matrices, a third of the work of a full product (numpy)."""
    n, xp = left.shape[0], namespace(left, right)
    if xp is not np or n <= _SMALL:
        return left @ right
    h, result = n // 2, np.zeros((n, n))
    result[:h, :h] = lower_product(left[:h, :h], right[:h, :h])
    result[h:, :h] = left[h:, :h] @ right[:h, :h] + left[h:, h:] @ right[h:, :h]
    result[h:, h:] = lower_product(left[h:, h:], right[h:, h:])
    return result


def lower_gram(lower: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """LLᵀ of a lower triangular matrix, half the work of a symmetric product (numpy)."""
    n, xp = lower.shape[0], namespace(lower)
    if xp is not np or n <= _SMALL:
        return lower @ lower.T
    h, result = n // 2, np.empty((n, n))
    result[:h, :h] = lower_gram(lower[:h, :h])
    result[h:, :h] = lower[h:, :h] @ lower[:h, :h].T
    result[:h, h:] = result[h:, :h].T
    result[h:, h:] = lower[h:, :h] @ lower[h:, :h].T + lower_gram(lower[h:, h:])
    return result


@dataclass(frozen=True)
class Factored:
    """A positive definite matrix by its lower Cholesky factor."""

    lower: Float[Array, "n n"]

    @property
    def log_determinant(self) -> Array | float:
        """Log-determinant of the matrix."""
        xp = namespace(self.lower)
        return 2 * xp.sum(xp.log(xp.diagonal(self.lower)))

    @property
    def rounding(self) -> float:
        """Relative error that rounding puts into solutions: n · machine epsilon · a lower bound of the condition."""
        diagonal = np.asarray(namespace(self.lower).diagonal(self.lower))
        return float(len(diagonal) * np.finfo(np.float64).eps * (diagonal.max() / diagonal.min()) ** 2)


def gaussian_relative_entropy(
    mean: Float[Array, "n c"], covariance: Factored, start: Factored, change: Float[Array, "n n"] | None = None
) -> Array | float:
    """KL(N(mean, covariance) ‖ N(0, start)) in nats, summed over the c columns of the mean.

    Args:
        mean: one column an output.
        covariance: its factor.
        start: that of the covariance before.
        change: the first less the second covariance, where it is known without cancellation: small differences then
            keep their digits.
    """
    xp = namespace(mean)
    moved = solve_lower(start.lower, mean)
    if change is not None:
        shift = relative_change(start.lower, change)
        if float(xp.sum(shift**2)) < _SMALL_CHANGE**2:
            spread = xp.sum(excess(xp.linalg.eigvalsh(shift)))
            return 0.5 * (mean.shape[1] * spread + xp.sum(moved**2))
    shrunk = solve_lower(start.lower, covariance.lower)
    logs = start.log_determinant - covariance.log_determinant
    return 0.5 * (mean.shape[1] * (xp.sum(shrunk**2) - mean.shape[0] + logs) + xp.sum(moved**2))


def log_determinant_one_plus(half: Float[Array, "n k"]) -> Array | float:
    """Log det(I + HHᵀ), on the smaller side: no digits are lost however small H is."""
    return log_determinant_one_plus_gram(half @ half.T if half.shape[0] <= half.shape[1] else half.T @ half)


def log_determinant_one_plus_gram(gram: Float[Array, "n n"]) -> Array | float:
    """Log det(I + G) of a symmetric positive semidefinite G, relative to its size however small that is."""
    xp = namespace(gram)
    if float(xp.trace(gram)) < _SMALL_CHANGE:
        return xp.sum(xp.log1p(xp.maximum(xp.linalg.eigvalsh(gram), 0.0)))
    # The identity bounds every eigenvalue from below: the factor exists.
    return Factored(cholesky(xp.eye(gram.shape[0], dtype=gram.dtype) + gram)).log_determinant


def relative_change(lower: Float[Array, "n n"], matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """L⁻¹ M L⁻ᵀ of a symmetric M, exactly symmetric."""
    half = solve_lower(lower, matrix)
    return symmetric_part(solve_lower(lower, half.T))


def excess(values: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """E − log(1 + e), above −1, without cancellation for small e."""
    xp = namespace(values)
    small = xp.abs(values) < 0.1
    e = xp.where(small, values, 0.0)
    series = 0.0 * e
    for power in range(16, 1, -1):
        series = e * series + (-1) ** power / power
    return xp.where(small, e**2 * series, values - xp.log1p(xp.where(small, 0.0, values)))


def _strips(size: int) -> list[slice]:
    """Runs of rows, few enough to make large products."""
    width = max(_SMALL, -(-size // 8))
    return [slice(start, min(start + width, size)) for start in range(0, size, width)]


def _mirrored(lower: np.ndarray) -> np.ndarray:
    """Copy the lower triangle into the upper one, in place."""
    for rows in _strips(len(lower)):
        corner, below = lower[rows, rows], slice(rows.stop, None)
        corner[...] = np.tril(corner) + np.tril(corner, -1).T
        lower[rows, below] = lower[below, rows].T
    return lower


# Up to this size of a change, sums over its eigenvalues keep digits that a log-determinant loses.
_SMALL_CHANGE = 0.5
# Below this size one product beats its halves.
_SMALL = 192
_NOT_DEFINITE = (
    "{name} is not positive definite to rounding: inputs repeat or nearly so; drop the repeated inputs "
    "or add observation noise"
)


def _eigh(matrix: Float[Array, "n n"]) -> tuple[Float[Array, " n"], Float[Array, "n n"]]:
    if namespace(matrix) is np:
        return scipy.linalg.eigh(matrix, driver="evd", check_finite=False)
    return jax.numpy.linalg.eigh(matrix)
