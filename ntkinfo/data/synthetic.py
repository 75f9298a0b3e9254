"""Data with exact answers: jointly Gaussian pairs, and labels drawn from a Gaussian process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array, to_numpy
from ntkinfo.core.linear_algebra import spectrum
from ntkinfo.core.records import Dataset
from ntkinfo.data.splits import generator

# Independent random streams under one seed.
_MIXING, _TRAIN, _TEST, _PROCESS, _NOISE = range(5)


@checked
@dataclass(frozen=True)
class GaussianPair:
    """Jointly Gaussian X and Y of zero mean, white on each side, with chosen canonical correlations.

    X = U a and Y = V b, where a and b are standard normal, a_i and b_i correlated by rho_i, all else independent, and U
    and V orthogonal.

    Args:
        correlations: canonical correlations rho_i, strictly between -1 and 1; at most as many as either dimension.
        mixing_x: orthogonal U, (d_x, d_x).
        mixing_y: orthogonal V, (d_y, d_y).

    Raises:
        ValueError: correlations out of range, too many of them, or mixings that are not orthogonal.
    """

    correlations: tuple[float, ...]
    mixing_x: Float[np.ndarray, "dx dx"]
    mixing_y: Float[np.ndarray, "dy dy"]

    def __post_init__(self):
        for name in ("mixing_x", "mixing_y"):
            mixing = np.asarray(getattr(self, name), dtype=np.float64)
            if mixing.ndim != 2 or mixing.shape[0] != mixing.shape[1] or mixing.size == 0:
                raise ValueError(f"{name} has shape {mixing.shape}; it must be a square matrix")
            if not np.allclose(mixing @ mixing.T, np.eye(len(mixing)), rtol=0, atol=1e-10):
                raise ValueError(f"{name} is not orthogonal; take the Q factor of its QR decomposition")
            object.__setattr__(self, name, mixing)
        _check_correlations(self.correlations, self.dims)

    @classmethod
    def random(cls, correlations: Sequence[float] = (0.9, 0.6, 0.3), dims: Sequence[int] = (5, 3), seed: int = 0):
        """A pair whose mixings are drawn uniformly from the orthogonal groups.

        Args:
            correlations: canonical correlations, strictly between -1 and 1.
            dims: (d_x, d_y).
            seed: fixes the mixings.

        Returns:
            The pair.

        Raises:
            ValueError: dimensions below 1, correlations out of range or more of them than the smaller dimension.
        """
        if len(dims) != 2:
            raise ValueError(f"dims is {tuple(dims)}; it must be two dimensions, of X and of Y")
        for name, dim in zip(("dims[0]", "dims[1]"), dims, strict=True):
            checks.whole(name, dim)
        randomness = generator(seed, _MIXING)
        mixing_x, mixing_y = (_random_orthogonal(dim, randomness) for dim in dims)
        return cls(tuple(float(rho) for rho in correlations), mixing_x, mixing_y)

    @property
    def dims(self) -> tuple[int, int]:
        """(d_x, d_y)."""
        return len(self.mixing_x), len(self.mixing_y)

    @property
    def mutual_information(self) -> float:
        """I(X;Y) = -1/2 sum_i log(1 - rho_i^2), exact, in nats (Gel'fand and Yaglom 1957)."""
        rho = np.asarray(self.correlations)
        return float(-0.5 * np.sum(np.log1p(-(rho**2))))

    @property
    def cross_covariance(self) -> Float[np.ndarray, "dx dy"]:
        """Cov(X, Y) = U R Vᵀ with R zero but for rho_i on the diagonal."""
        k = len(self.correlations)
        return (self.mixing_x[:, :k] * np.asarray(self.correlations)[None, :]) @ self.mixing_y[:, :k].T

    @property
    def covariance(self) -> Float[np.ndarray, "d d"]:
        """Covariance of (X, Y), (d_x + d_y) square."""
        cross = self.cross_covariance
        return np.block([[np.eye(self.dims[0]), cross], [cross.T, np.eye(self.dims[1])]])

    def sample(self, n: int, seed: int) -> tuple[Float[np.ndarray, "n dx"], Float[np.ndarray, "n dy"]]:
        """Independent draws.

        Args:
            n: how many.
            seed: fixes the draws.

        Returns:
            X of shape (n, d_x) and Y of shape (n, d_y).
        """
        checks.whole("n", n)
        return self._sample(n, generator(seed, _TRAIN))

    def dataset(self, n_train: int, n_test: int, seed: int) -> Dataset:
        """Independent draws as inputs X and targets Y.

        Args:
            n_train: training inputs.
            n_test: test inputs.
            seed: fixes the draws.

        Returns:
            The data; the provenance holds the exact I(X;Y) in nats.
        """
        checks.whole("n_train", n_train)
        checks.whole("n_test", n_test)
        x_train, y_train = self._sample(n_train, generator(seed, _TRAIN))
        x_test, y_test = self._sample(n_test, generator(seed, _TEST))
        provenance = {
            "source": "jointly Gaussian pair",
            "seed": int(seed),
            "correlations": " ".join(repr(rho) for rho in self.correlations),
            "mutual_information_x_y_nats": self.mutual_information,
        }
        return Dataset(x_train, y_train, x_test, y_test, name="gaussian", provenance=provenance)

    def _sample(self, n: int, randomness: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        rho, k = np.asarray(self.correlations)[None, :], len(self.correlations)
        a, b = (randomness.standard_normal((n, dim)) for dim in self.dims)
        paired = rho * a[:, :k] + np.sqrt(1 - rho**2) * b[:, :k]
        return a @ self.mixing_x.T, np.concatenate([paired, b[:, k:]], axis=1) @ self.mixing_y.T


@checked
def gaussian_pair(
    n_train: int = 512,
    n_test: int = 256,
    seed: int = 0,
    correlations: Sequence[float] = (0.9, 0.6, 0.3),
    dims: Sequence[int] = (5, 3),
) -> Dataset:
    """Jointly Gaussian inputs and targets with a known I(X;Y).

    Args:
        n_train: training inputs.
        n_test: test inputs.
        seed: fixes the mixings and the draws.
        correlations: canonical correlations, strictly between -1 and 1.
        dims: (d_x, d_y): features of an input and outputs.

    Returns:
        The data; the provenance holds the exact I(X;Y) in nats. `GaussianPair.random` gives the law itself.

    Raises:
        ValueError: sizes or dimensions below 1, correlations out of range or too many.
    """
    return GaussianPair.random(correlations, dims, seed).dataset(n_train, n_test, seed)


@checked
def teacher_gp(
    kernel: Array | Callable[[Array], Array],
    x_train: Array,
    x_test: Array,
    noise_variance: float = 0.0,
    n_outputs: int = 1,
    seed: int = 0,
    noisy_test: bool = True,
) -> Dataset:
    """Targets drawn from a Gaussian process prior on the given inputs, plus noise; outputs are independent.

    Args:
        kernel: the covariance of the process over the training inputs followed by the test inputs, (n+m, n+m), or a
            function that gives it from those n+m inputs.
        x_train: training inputs, (n, ...).
        x_test: test inputs, (m, ...).
        noise_variance: variance of the independent Gaussian noise on each target, 0 or greater.
        n_outputs: number of outputs C.
        seed: fixes the draw.
        noisy_test: put noise on the test targets too.

    Returns:
        The data, y = f + noise with f ~ N(0, kernel). No jitter: f is drawn through the eigendecomposition; eigenvalues
        that rounding made negative or lost near 0 are taken as 0, and the provenance says how many and the lowest.

    Raises:
        ValueError: a covariance of the wrong shape, not finite, not symmetric or not positive semidefinite.
    """
    checks.non_negative("noise_variance", noise_variance)
    checks.whole("n_outputs", n_outputs)
    x_train, x_test = to_numpy(x_train), to_numpy(x_test)
    if x_train.shape[1:] != x_test.shape[1:]:
        raise ValueError(f"x_train and x_test hold inputs of shapes {x_train.shape[1:]} and {x_test.shape[1:]}")
    n, total = len(x_train), len(x_train) + len(x_test)
    covariance = _covariance(kernel, np.concatenate([x_train, x_test]), total)
    decomposed = spectrum(covariance, "the teacher's covariance")
    root = to_numpy(decomposed.eigenvectors) * np.sqrt(to_numpy(decomposed.eigenvalues))[None, :]
    y = root @ generator(seed, _PROCESS).standard_normal((total, n_outputs))
    noise = np.sqrt(noise_variance) * generator(seed, _NOISE).standard_normal((total, n_outputs))
    y = y + (noise if noisy_test else np.concatenate([noise[:n], np.zeros_like(noise[n:])]))
    provenance = {
        "source": "Gaussian process teacher",
        "seed": int(seed),
        "noise_variance": float(noise_variance),
        "noise_on_test": "yes" if noisy_test else "no",
        "eigenvalues_set_to_0": total - decomposed.rank,
        "most_negative_eigenvalue": float(decomposed.most_negative),
    }
    return Dataset(x_train, y[:n], x_test, y[n:], name="teacher_gp", provenance=provenance)


def _covariance(kernel: Array | Callable[[Array], Array], inputs: np.ndarray, total: int) -> np.ndarray:
    matrix = to_numpy(kernel(inputs) if callable(kernel) else kernel).astype(np.float64)
    checks.shape("kernel", matrix, (total, total), "the covariance over training and test inputs together")
    checks.finite("kernel", matrix)
    if not np.allclose(matrix, matrix.T, rtol=0, atol=1e-8 * np.max(np.abs(matrix))):
        raise ValueError("kernel is not symmetric; give the covariance matrix of one process over all the inputs")
    return (matrix + matrix.T) / 2


def _check_correlations(correlations: Sequence[float], dims: tuple[int, int]) -> None:
    if len(correlations) > min(dims):
        raise ValueError(
            f"{len(correlations)} correlations are given for dimensions {dims}; "
            f"there can be at most {min(dims)}, the smaller dimension"
        )
    for rho in correlations:
        if not abs(rho) < 1:
            raise ValueError(f"a correlation is {rho}; each must lie strictly between -1 and 1")


def _random_orthogonal(dim: int, randomness: np.random.Generator) -> np.ndarray:
    # The signs of R's diagonal make the law of Q uniform (Haar) instead of depending on the QR convention.
    q, r = np.linalg.qr(randomness.standard_normal((dim, dim)))
    return q * np.sign(np.diag(r))[None, :]
