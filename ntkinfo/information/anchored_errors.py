"""Errors of mean and variance where test inputs equal or nearly equal training inputs.

Equal ones have the training inputs' errors. A near one is a multiple of a training input's output, with that one's
errors, and a remainder whose reach is Θ(x, x) − 2c Θ(x, x_i) + c² Θ(x_i, x_i) instead of Θ(x, x).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from ntkinfo.core.arrays import Array, to_numpy
from ntkinfo.information.error_growth import ErrorGrowth, LabelSpread
from ntkinfo.information.side_errors import SideErrors
from ntkinfo.training.held_out_law import HeldOutLaw
from ntkinfo.training.output_distribution import OutputDistribution


class AnchoredErrors(SideErrors):
    """Bounds on the errors of mean and variance at test inputs of which some have an anchor.

    Args:
        errors: of the whole distribution.
        distribution: of the outputs at every input.
        law: at the test inputs, with anchors.
    """

    def __init__(self, errors: ErrorGrowth, distribution: OutputDistribution, law: HeldOutLaw):
        super().__init__(errors, distribution, "test", law)
        assert law.anchors is not None
        anchors = law.anchors
        self._reach[anchors.places] = np.sqrt(anchors.tangent_left)
        self._near, self._equal = anchors.places[~anchors.same], anchors.places[anchors.same]
        self._factor = np.abs(anchors.factor[~anchors.same])
        self._train = SideErrors(errors, distribution, "train")
        repeated = law.repeated
        self._repeated = None if repeated is None else SideErrors(errors, distribution, "train", repeated)

    def _with_equal(self, own: np.ndarray, of_train: Callable[[SideErrors], np.ndarray]) -> np.ndarray:
        if self._repeated is not None:
            own[:, self._equal] = of_train(self._repeated)
        return own

    def mean(self, part: slice) -> Float[np.ndarray, "t p"]:
        """As in `SideErrors`."""
        own = super().mean(part)
        own[:, self._near] += self._train.over_time(part)[:, None] * self._factor[None, :]
        return self._with_equal(own, lambda side: side.mean(part))

    def variance(self, part: slice, variance: Float[Array, "t p"]) -> Float[np.ndarray, "t p"]:
        """As in `SideErrors`."""
        v = to_numpy(variance)
        own = super().variance(part, variance)
        given = 4 * self._whole.blocks.kernel_error * to_numpy(self._law.initial_variance)[self._near]
        own[:, self._near] += self._of_residuals(part, v[:, self._near]) + given[None, :]
        return self._with_equal(own, lambda side: side.variance(part, v[:, self._equal]))

    def label_shift(self, found: LabelSpread, part: slice) -> Float[np.ndarray, "t p"]:
        """As in `SideErrors`."""
        own = super().label_shift(found, part)
        own[:, self._near] += self._train.label_shift(found, part).max(axis=1, keepdims=True) * self._factor[None, :]
        return self._with_equal(own, lambda side: side.label_shift(found, part))

    def relative_variance(self, part: slice, log_variance: Float[Array, "t p"]) -> Float[np.ndarray, "t p"]:
        """As in `SideErrors`."""
        log = to_numpy(log_variance)
        own = super().relative_variance(part, log)
        return self._with_equal(own, lambda side: side.relative_variance(part, log[:, self._equal]))
