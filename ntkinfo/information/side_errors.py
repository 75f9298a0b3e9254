"""Bounds on the errors of mean and variance at the inputs of one split, from what multiplies the kernels' errors."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from jaxtyping import Float

from ntkinfo.core.arrays import Array, float64, namespace, to_numpy
from ntkinfo.information.error_growth import TRUNCATION, ErrorGrowth, LabelSpread, product
from ntkinfo.training.output_distribution import OutputDistribution
from ntkinfo.training.output_law import OutputLaw, relative_error
from ntkinfo.training.train_law import TrainLaw


class SideErrors:
    """Bounds on the errors of mean and variance at one split's inputs."""

    def __init__(self, errors: ErrorGrowth, distribution: OutputDistribution, split: str, law: OutputLaw | None = None):
        self._errors, self._whole, self._split = errors, distribution, split
        self._law: OutputLaw = getattr(distribution, split) if law is None else law
        tangent = distribution.procedure.tangent
        if split == "train":
            # An output that no parameter moves and that never varies is known exactly.
            self._size = self._reach = np.where(to_numpy(self._law.initial_variance) > 0, 1.0, 0.0)
        else:
            self._size = np.sqrt(to_numpy(getattr(distribution.blocks.test, f"{tangent}_diagonal")))
            self._reach = self._size.copy()

    @cached_property
    def _mean_over_time(self) -> np.ndarray:
        """The part of the mean's error that depends on time, (T,)."""
        law, growth, errors = self._whole, self._errors.growth, self._errors
        values, power = to_numpy(law.eigenvalues), 1.0 if self._split == "train" else 0.5
        size = np.linalg.norm(to_numpy(law.targets), axis=1)
        truncation = float(np.linalg.norm(to_numpy(law.filter_factors.error) * values**power * size))
        # ‖a_x g‖ over Θ(x, x)^½ at the test inputs; itself, at most 1 (2 where steps overshoot), at the others.
        if self._split == "train":
            reach = np.full_like(growth.root, self._overshoot)
            moved = growth.missed * reach
        else:
            reach = growth.root
            moved = product(growth.learned, errors.pull * reach)
        rounding = errors.unit * np.where(np.isfinite(reach), reach, 0.0) * float(np.linalg.norm(size))
        # Before anything is learned the mean is exactly 0.
        return np.where(growth.root > 0, truncation + moved + rounding, 0.0)

    @property
    def _overshoot(self) -> float:
        """Largest size of a residual that decays."""
        return 1.0 if self._whole.summed.step is None else 2.0

    def over_time(self, part: slice) -> Float[np.ndarray, " t"]:
        """Bound on the error of the mean at an input of reach 1, in the norm over the outputs."""
        return self._mean_over_time[part]

    def mean(self, part: slice) -> Float[np.ndarray, "t p"]:
        """Bound on the error of the mean, in the norm over the outputs."""
        own = product(self._mean_over_time[part, None], self._reach[None, :])
        if self._split == "train":
            return own
        return own + product(self._errors.growth.learned[part, None], self._cross_error[None, :])

    @cached_property
    def _cross_error(self) -> Float[np.ndarray, " p"]:
        """Error of the kernel between each test input and the training inputs, in the norm over these."""
        return self._errors.own * self._errors.trace**0.5 * self._size

    def variance(self, part: slice, variance: Float[Array, "t p"]) -> Float[np.ndarray, "t p"]:
        """Bound on the error of the variance."""
        v, growth, errors, law = to_numpy(variance), self._errors.growth, self._errors, self._whole
        truncation = to_numpy(self._law.variance_error_at(part))
        if self._split == "train":
            return truncation + self._of_residuals(part, v) + self._gradient_noise(part)
        turned = product(
            growth.spread[part, None], errors.pull * product(growth.root[part, None], self._reach[None, :])
        )
        turned = turned + product(growth.spread[part, None], self._cross_error[None, :])
        reach = product(growth.root[part, None], self._reach[None, :])
        start = np.sqrt(to_numpy(self._law.initial_variance))
        trace = float(np.sum(to_numpy(law.prior_variance))) + law.summed.target_noise_variance
        # |δP_ij| ≤ ε (P_ii P_jj)^½ between the input and those that training takes off it.
        taken = np.sqrt(to_numpy(self._law.label_noise_variance(part)) * trace)
        given = errors.own * (start[None, :] + taken) ** 2
        rounding = errors.unit * (start[None, :] ** 2 + reach**2 * trace)
        total = truncation + product(turned, 2 * np.sqrt(v)) + turned**2 + given + rounding
        return total + self._gradient_noise(part)

    def _of_residuals(self, part: slice, v: Float[np.ndarray, "t p"]) -> Float[np.ndarray, "t p"]:
        """What the kernels' errors and rounding do to variances that are made of residuals."""
        errors, train = self._errors, self._whole.train
        assert isinstance(train, TrainLaw)
        whole = to_numpy(train.total_variance_at(part))
        turned = self._turned(part, np.sqrt(whole))[:, None]
        moved = 2 * turned * np.sqrt(v) + turned**2
        return moved + (errors.unit * whole + errors.prior_error * self._left(part) ** 2 + errors.hidden)[:, None]

    def _left(self, part: slice) -> Float[np.ndarray, " t"]:
        """Size of the largest residual at each time, 1 where nothing decays."""
        return np.exp(np.minimum(self._log_residual[part], 0.0)) * self._overshoot

    def _turned(self, part: slice, left: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
        """‖δr (B + σ_y²)^½‖: at most by E g, by 1, and by E t of what is left."""
        return np.minimum(self._errors.growth.turned[part] * self._overshoot, self._late(part, left))

    def _late(self, part: slice, left: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
        return product(self._errors.growth.effective[part], self._errors.pull * left)

    def label_shift(self, found: LabelSpread, part: slice) -> Float[np.ndarray, "t p"]:
        """Bound on the change of the mean's deviation over targets drawn from a label model, by the kernel's error.

        Args:
            found: `ErrorGrowth.label_spread` of the model.
            part: of the times.
        """
        if self._split == "train":
            return (found.turned[part] * self._overshoot)[:, None] * self._reach[None, :]
        reach = product(self._errors.growth.root[part, None], self._reach[None, :])
        per_spread = self._errors.pull * reach + self._cross_error[None, :]
        return product(found.spread[part, None], per_spread)

    def _gradient_noise(self, part: slice) -> np.ndarray | float:
        if self._whole.summed.temperature == 0:
            return 0.0
        growth, size = self._errors.growth, self._reach[None, :] ** 2
        steepest = np.where(self._split == "train", 1.0, growth.effective[part])[:, None]
        return self._errors.kernel_error * growth.injected[part, None] * (1 + product(steepest, size))

    def relative_variance(self, part: slice, log_variance: Float[Array, "t p"]) -> Float[np.ndarray, "t p"]:
        """Bound on the relative error of the variance, right also where that is too small for a floating-point number.

        Infinite for a variance of exactly 0, unless the output never varied.
        """
        log = to_numpy(log_variance)
        if self._split == "test" or self._whole.summed.is_noisy:
            v = np.exp(log)
            return to_numpy(relative_error(self.variance(part, v), v))
        # In units of the squared largest residual, where no digits are lost.
        scale = self._log_residual[part]
        scaled = np.exp(log - 2 * scale[:, None])
        train, law = self._whole.train, self._law
        assert isinstance(train, TrainLaw)
        assert isinstance(law, TrainLaw)
        total = to_numpy(train.scaled_total_at(part))
        growth, errors = self._errors.growth, self._errors
        with np.errstate(over="ignore"):
            stretch = np.exp(-np.clip(scale, -700, 700))
            turned = np.minimum(growth.turned[part] * self._overshoot * stretch, self._late(part, np.sqrt(total)))[
                :, None
            ]
            hidden = product(stretch**2, errors.hidden)
        bound = 2 * np.sqrt(scaled) * turned + turned**2 + (errors.unit * total + hidden)[:, None]
        bound = bound + to_numpy(law.scaled_error_at(part))
        return to_numpy(relative_error(np.where(to_numpy(law.initial_variance) > 0, bound, 0.0), scaled))

    @cached_property
    def _log_residual(self) -> np.ndarray:
        """Logarithm of the largest residual at each time, which belongs to an extreme eigenvalue; 0 for no residual."""
        law = self._whole
        moving = law.eigenvalues[law.moving]
        extremes = moving[np.array([0, -1])] if len(moving) else 0 * law.eigenvalues[:1]
        with float64():
            largest = np.max(to_numpy(law.summed.log_residual(extremes, law.internal_times)), axis=1)
        return np.where(np.isfinite(largest), largest, 0.0)

    def separated(self, index: int, std: Float[np.ndarray, " p"]) -> Float[np.ndarray, " p"]:
        """Error of each mean over its deviation where `separated_at` has left the scale of the outputs.

        Args:
            index: of the time.
            std: deviations at that time, in units of the largest residual.
        """
        law, growth, errors = self._whole, self._errors.growth, self._errors
        here = slice(index, index + 1)
        values, scale = law.eigenvalues[law.moving], self._log_residual[here]
        with float64():
            left = to_numpy(
                law.summed.scaled_residual(values, namespace(values).asarray(scale), law.internal_times[here])
            )
        size = np.linalg.norm(to_numpy(law.targets[law.moving]), axis=1)
        moved = TRUNCATION * float(np.linalg.norm(size)) + errors.unit * float(np.linalg.norm(left[0] * size))
        moved += errors.kernel_error * float(product(growth.effective[index], float(np.linalg.norm(left[0] * size))))
        # Ends that are equal are so up to rounding, and are stretched with the others.
        train = law.train
        assert isinstance(train, TrainLaw)
        moved += errors.unit * train.stretch_at(index) * float(np.linalg.norm(size))
        return np.divide(moved, std, out=np.zeros_like(std), where=std > 0)
