"""Centring and scaling, fitted on the training part only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from ntkinfo.core import checks

SCALING = ("feature", "all")


@dataclass(frozen=True)
class Standardiser:
    """A shift and a scale a feature, taken from training values.

    Attributes:
        mean: subtracted from every input, (d,).
        std: divides every input, (d,); 1 where a feature is constant.
        constant: features that are constant over the training inputs, (d,). They have no scale, so they are set to 0 in
            every part, whatever value they take elsewhere.
    """

    mean: Float[np.ndarray, " d"]
    std: Float[np.ndarray, " d"]
    constant: Bool[np.ndarray, " d"]

    @classmethod
    def fit(cls, train: Float[np.ndarray, "n d"], by: str = "feature") -> Standardiser:
        """Take the mean and the standard deviation (divisor n) of training values.

        Args:
            train: training values, (n, d).
            by: "feature" for one mean and deviation a column, "all" for one mean and deviation of all the
                values together, which keeps the relative sizes of the columns (usual for pixels).

        Returns:
            The fitted standardiser.

        Raises:
            ValueError: an unknown `by`, or training values that are all the same.
        """
        checks.choice("standardise_by", by, SCALING)
        axis = 0 if by == "feature" else None
        constant = np.broadcast_to(train.max(axis=axis) == train.min(axis=axis), train.shape[1:])
        if np.all(constant):
            raise ValueError(
                "every feature is constant over the training inputs, so there is no scale to standardise by; "
                "use standardise=False, or more training inputs"
            )
        with np.errstate(over="ignore", invalid="ignore"):  # an overflow shows as an infinite deviation, refused below
            mean = np.broadcast_to(train.mean(axis=axis), train.shape[1:])
            std = np.where(constant, 1.0, train.std(axis=axis))
        if np.any(std == 0) or not np.all(np.isfinite(std)):
            raise ValueError(
                "a feature's standard deviation over the training inputs is too small or too large for float64; "
                "rescale that feature, or use standardise=False"
            )
        return cls(mean, std, constant)

    def __call__(self, values: Float[np.ndarray, "m d"]) -> Float[np.ndarray, "m d"]:
        """(values - mean) / std, and 0 in the constant features.

        Args:
            values: any rows with the same columns, (m, d).

        Returns:
            The standardised rows, (m, d).
        """
        return np.where(self.constant[None, :], 0.0, (values - self.mean[None, :]) / self.std[None, :])
