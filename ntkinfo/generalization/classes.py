"""Margins of outputs and the errors they make, for one output with targets ±1 and for one output a class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import ndtr

from ntkinfo.core.records import Dataset
from ntkinfo.generalization.measure import NotComputable

# Outputs are equal up to this share of the numbers that they are made of.
TIE = 1e-12


@dataclass(frozen=True)
class Classes:
    """Right classes of the inputs.

    Args:
        labels: (n,): 0 to C−1, or 0 and 1 for targets −1 and +1 of a single output.
        outputs: C.
    """

    labels: Int[np.ndarray, " n"]
    outputs: int

    def margins(self, values: Float[np.ndarray, "*t n C"]) -> Float[np.ndarray, "*t n"]:
        """Right output less the largest wrong one, or the single output times the right sign."""
        if self.outputs == 1:
            return values[..., 0] * (2.0 * self.labels - 1.0)
        return np.min(self._gaps(values), axis=-1)

    def mistakes(
        self, values: Float[np.ndarray, "*t n C"], size: Float[np.ndarray, " n"] | None = None
    ) -> Float[np.ndarray, "*t n"]:
        """1 where the margin is below 0, ½ where it is 0 up to rounding, else 0.

        Args:
            values: outputs.
            size: of the numbers that they are differences of; None for outputs that are exact.
        """
        margins = self.margins(values)
        near = 0.0 if size is None else TIE * size
        return 0.5 * (1 - np.where(np.abs(margins) <= near, 0.0, np.sign(margins)))

    def scaled_margins(
        self, mean: Float[np.ndarray, "*t n C"], variance: Float[np.ndarray, "*t n"]
    ) -> Float[np.ndarray, "*t n"]:
        """Margin of the mean over the deviation of the difference that it is; infinite without variance."""
        return _over_std(self.margins(mean), variance * (1 if self.outputs == 1 else 2))

    def member_error(
        self, mean: Float[np.ndarray, "*t n C"], variance: Float[np.ndarray, "*t n"]
    ) -> Float[np.ndarray, "*t n"]:
        """Probability that an output drawn from N(mean, variance I) is wrong; for C > 2 the union bound, at most 1."""
        if self.outputs == 1:
            return ndtr(-self.scaled_margins(mean, variance))
        gaps = _over_std(self._gaps(mean), 2 * variance[..., None])
        return np.minimum(np.sum(ndtr(-gaps), axis=-1), 1.0)

    def _gaps(self, values: Float[np.ndarray, "*t n C"]) -> Float[np.ndarray, "*t n C"]:
        """Right output less each other one, infinite against itself."""
        place = self.labels[:, None]
        own = np.take_along_axis(values, np.broadcast_to(place, (*values.shape[:-1], 1)), axis=-1)
        return np.where(np.arange(self.outputs)[None, :] == place, np.inf, own - values)


def classes_of(data: Dataset) -> Classes:
    """Right classes of the training inputs.

    Raises:
        NotComputable: there are none, or a single output whose sign does not tell them.
    """
    labels, targets = data.labels_train, data.y_train
    if targets.shape[1] > 1:
        if labels is None:
            raise NotComputable("the data have no classes")
        if labels.max() >= targets.shape[1]:
            raise NotComputable(f"there are {labels.max() + 1} classes and {targets.shape[1]} outputs")
        return Classes(labels, targets.shape[1])
    if labels is None:
        if not np.all(np.abs(targets) == 1):
            raise NotComputable("the targets are not −1 and +1 and the data have no classes")
        return Classes((targets[:, 0] > 0).astype(np.int64), 1)
    if labels.max() > 1 or not targets[labels == 0].mean() < 0 < targets[labels == 1].mean():
        raise NotComputable("the sign of the single output does not tell the classes")
    return Classes(labels, 1)


def _over_std(margin: np.ndarray, variance: np.ndarray) -> np.ndarray:
    variance = np.broadcast_to(variance, margin.shape)
    # Outputs without deviation that differ by rounding are equal.
    finite = np.where(np.isfinite(margin), np.abs(margin), 0.0)
    certain = np.where(np.abs(margin) <= TIE * np.max(finite), 0.0, np.copysign(np.inf, margin))
    return np.where(variance > 0, margin / np.sqrt(np.where(variance > 0, variance, 1.0)), certain)
