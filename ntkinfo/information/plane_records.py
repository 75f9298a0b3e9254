"""A trajectory in the information plane, with the errors of its points and how they hang together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array
from ntkinfo.core.linear_algebra import spectrum


@checked
@dataclass(frozen=True)
class PlaneTrajectory:
    """I(Z;X) and I(Z;Y) over training time.

    Args:
        times: (T,), strictly rising, in the caller's unit; 0 and infinity are allowed.
        information_input: I(Z;X) at those times, (T,), in nats.
        information_target: I(Z;Y), (T,), in nats.
        covariance: of the errors of all 2T values, (2, T, 2, T), first I(Z;X), then I(Z;Y), in nats². Values computed
            from common draws err together, and differences between their times are then known better than the values.

    Raises:
        ValueError: times out of order, shapes that do not fit, NaN or infinite values, a variance below 0.
    """

    times: Float[np.ndarray, " t"]
    information_input: Float[np.ndarray, " t"]
    information_target: Float[np.ndarray, " t"]
    covariance: Float[np.ndarray, "2 t 2 t"]

    def __post_init__(self):
        checks.times(self.times)
        count = len(self.times)
        shapes = {"information_input": (count,), "information_target": (count,), "covariance": (2, count, 2, count)}
        for name, shape in shapes.items():
            checks.shape(name, getattr(self, name), shape, "one entry for each time")
            checks.finite(name, getattr(self, name))
        variances = np.diagonal(self.joint_covariance)
        if np.any(variances < 0):
            raise ValueError(f"covariance holds the variance {variances.min()}; variances are 0 or greater")

    @classmethod
    def with_independent_errors(
        cls,
        times: Float[Array, " t"],
        information_input: Float[Array, " t"],
        information_target: Float[Array, " t"],
        input_error: Float[Array, " t"] | float = 0.0,
        target_error: Float[Array, " t"] | float = 0.0,
    ) -> PlaneTrajectory:
        """A trajectory whose values err independently of each other.

        Args:
            times: (T,).
            information_input: (T,), in nats.
            information_target: (T,), in nats.
            input_error: standard errors of I(Z;X), (T,) or one for all, in nats.
            target_error: standard errors of I(Z;Y), likewise.

        Returns:
            The trajectory.

        Raises:
            ValueError: as the class itself.
        """
        count = len(times)
        errors = [np.broadcast_to(np.asarray(error, dtype=np.float64), count) for error in (input_error, target_error)]
        covariance = np.diag(np.concatenate(errors) ** 2).reshape(2, count, 2, count)
        rows = [np.asarray(row, dtype=np.float64) for row in (times, information_input, information_target)]
        return cls(rows[0], rows[1], rows[2], covariance)

    @property
    def joint_covariance(self) -> Float[np.ndarray, "n n"]:
        """The covariance as one matrix, (2T, 2T)."""
        size = 2 * len(self.times)
        return self.covariance.reshape(size, size)

    @property
    def standard_errors(self) -> Float[np.ndarray, "2 t"]:
        """Standard errors of I(Z;X) and I(Z;Y), (2, T), in nats."""
        return np.sqrt(np.diagonal(self.joint_covariance)).reshape(2, -1)


def draw_errors(covariance: Float[np.ndarray, "n n"], count: int, seed: int) -> Float[np.ndarray, "r n"]:
    """Draw curves of errors.

    Args:
        covariance: of the errors, (n, n).
        count: how many draws.
        seed: of the draws.

    Returns:
        Draws from N(0, covariance), (count, n).

    Raises:
        ValueError: a covariance with an eigenvalue below 0 by more than rounding.
    """
    parts = spectrum((covariance + covariance.T) / 2, "the covariance of the errors")
    root = np.asarray(parts.eigenvectors) * np.sqrt(np.asarray(parts.eigenvalues))[None, :]
    return np.random.default_rng(seed).standard_normal((count, len(covariance))) @ root.T


def interval_of_times(times: np.ndarray, drawn: np.ndarray, best: int) -> tuple[float, float]:
    """Return the times between which 90 % of some indices lie, one time further on each side.

    Args:
        times: (T,).
        drawn: indices into them from resampled curves, (r,).
        best: the index that the curve itself gives; always inside.

    Returns:
        The two ends. What lies between two times is not known, hence the neighbours.
    """
    low, high = np.quantile(drawn, [0.05, 0.95], method="nearest").astype(int)
    low, high = min(low, best) - 1, max(high, best) + 1
    return float(times[max(low, 0)]), float(times[min(high, len(times) - 1)])
