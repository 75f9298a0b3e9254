"""Numerical errors of the closed forms: how far rounding and the truncated time factors carry means and variances.

Three sources are followed, to first order. (a) Truncation of the time factorisation, `TimeFactors.error`. (b) The
eigen-decomposition answers for a kernel Θ + E next to Θ; ‖E‖ is taken as √n·ε·λ_max, what LAPACK attains (its
guaranteed bound is larger). As |g(Θ + E) − g(Θ)|_jk ≤ g_j |E_jk| g_k for gradient flow without ridge (twice that with
one), the mean at x moves by at most ‖E‖·‖a_x g‖·‖g ŷ‖ and the variance by 2√v·‖E‖·‖a_x g‖·‖g (B + σ_y²)^½‖, with
‖a_x g‖ ≤ Θ(x, x)^½ max_j λ_j^½ g_j. What the kernels state of their own error, `KernelBlocks.kernel_error`, is part
of E. (c) Rounding of the sums themselves. Targets count as given exactly, and so does the decision which eigenvalues
are null. Notation: theory §1 and `training/output_distribution.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float

from ntkinfo.core.arrays import Array, float64, namespace, to_numpy
from ntkinfo.core.records import Estimate
from ntkinfo.information.label_model import LabelModel
from ntkinfo.information.path import Path, to_learn
from ntkinfo.training.held_out_law import HeldOutLaw
from ntkinfo.training.output_distribution import OutputDistribution
from ntkinfo.training.output_law import OutputLaw, relative_error
from ntkinfo.training.train_law import TrainLaw

EPSILON = float(np.finfo(np.float64).eps)
# Tolerance of `training.time_factors.factor`: each eigenvalue's deviation relative to its own largest value.
TRUNCATION = 1e-13
_TIMES = 64  # sizes over time rise or fall steadily: the larger of two neighbours bounds what lies between


@dataclass(frozen=True)
class Growth:
    """What multiplies the kernel's error ‖E‖ at each time; every array is (T,).

    Args:
        learned: ‖g ŷ‖ over directions and outputs.
        spread: ‖g (B + σ_y²)^½‖.
        root: max λ^½ g.
        effective: the filter at λ = 0: time, or what a ridge or momentum makes of it; infinite without an end.
        injected: largest variance of gradient noise along a parameter direction.
        speed: what multiplies √n‖E‖ in the squared speed.
        energy: the same for the path's energy.
        distance: the same for the squared distance.
        quadratic: the same for the quadratic term of the linear model's relative entropy.
        logarithm: what moving every eigenvalue by ‖E‖ changes in Σ log|r|, one output.
    """

    learned: np.ndarray
    spread: np.ndarray
    root: np.ndarray
    effective: np.ndarray
    injected: np.ndarray
    speed: np.ndarray
    energy: np.ndarray
    distance: np.ndarray
    quadratic: np.ndarray
    logarithm: np.ndarray


class NumericalErrors:
    """Errors of the output law of one distribution, at every time and on both splits.

    Args:
        distribution: the law of the outputs.
    """

    def __init__(self, distribution: OutputDistribution):
        self._law = distribution
        n = len(to_numpy(distribution.eigenvalues))
        self.unit = n**0.5 * EPSILON
        # |E_jk| ≤ ε √(Θ_jj Θ_kk) bounds ‖E‖ by ε times the trace.
        given = distribution.blocks.kernel_error * float(np.sum(to_numpy(distribution.eigenvalues)))
        self.kernel_error = self.unit * float(distribution.eigenvalues[-1]) + given
        self._size = n

    @cached_property
    def growth(self) -> Growth:
        """Sizes that multiply the kernel's error, from at most 64 of the times."""
        with float64():
            effective = self._effective(self._law.internal_times)
        return Growth(**self._over_time(self._sizes), effective=effective)

    def label_spread(self, model: LabelModel) -> np.ndarray:
        """‖g S^½‖ for targets drawn from N(0, S), (T,)."""
        law, xp = self._law, namespace(self._law.eigenvalues)
        with float64():
            teacher = model.teacher(law)
            start = xp.maximum(law.prior_variance, 0.0) if teacher is None else xp.diagonal(teacher)
            labels = start + model.noise_variance

        def size(times: Array) -> dict[str, np.ndarray]:
            g = law.summed.filter(_slow_twins(law), times)
            return {"spread": to_numpy((g**2 @ labels) ** 0.5)}

        return self._over_time(size)["spread"]

    def _over_time(self, sizes: Callable[[Array], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """Bounds at every time from at most 64 of them."""
        count = len(self._law.times)
        chosen = np.unique(np.linspace(0, count - 1, min(count, _TIMES)).round().astype(int))
        with float64():
            table = sizes(self._law.internal_times[chosen])
        after = np.searchsorted(chosen, np.arange(count))
        before = np.where(chosen[after] == np.arange(count), after, after - 1)
        return {name: np.maximum(row[before], row[after]) for name, row in table.items()}

    def _effective(self, times: Array) -> np.ndarray:
        summed = self._law.summed
        t = to_numpy(summed.filter(0 * self._law.eigenvalues[:1], times))[:, 0]
        return t if summed.ridge > 0 else np.where(np.isinf(to_numpy(times)), np.inf, t)

    def _sizes(self, times: Array) -> dict[str, np.ndarray]:
        law, summed = self._law, self._law.summed
        values, xp = _slow_twins(law), namespace(law.eigenvalues)
        g, rate = xp.abs(summed.filter(values, times)), summed.rate(values, times)
        targets = xp.sum(law.targets**2, axis=1)
        noise = summed.target_noise_variance
        learn, t = to_learn(law), self._effective(times)
        finite = np.where(np.isfinite(t), t, 0.0)
        shift = summed.log_residual(law.eigenvalues + self.kernel_error, times)
        log = summed.log_residual(law.eigenvalues, times)
        known = xp.isfinite(shift) & xp.isfinite(log)
        change = xp.abs(xp.where(known, shift, 0.0) - xp.where(known, log, 0.0))
        # Without gradient noise 0 times the infinite variance of a null direction is 0.
        noisy = summed.temperature > 0
        injected = xp.max(summed.injected_variance(values, times), axis=1) if noisy else xp.zeros_like(times)
        sizes = {
            "learned": (g**2 @ targets) ** 0.5,
            "spread": (g**2 @ (xp.maximum(law.prior_variance, 0.0) + noise)) ** 0.5,
            "root": xp.max(xp.sqrt(law.eigenvalues)[None, :] * g, axis=1),
            "injected": injected * summed.temperature,
            "speed": (rate**2 * (1 + 2 * values[None, :] * finite[:, None])) @ learn,
            "energy": 2 * (summed.energy(values, times) @ learn),
            "distance": 3 * (g**2 @ learn),
            "quadratic": 1.5 * (g**2 @ targets),
            "logarithm": xp.sum(change, axis=1),
        }
        return {name: to_numpy(row) for name, row in sizes.items()}

    def side(self, split: str) -> SideErrors:
        """Errors at the training or the test inputs."""
        return self._sides[split]

    @cached_property
    def _sides(self) -> dict[str, SideErrors]:
        from ntkinfo.information.anchored_errors import AnchoredErrors  # a kind of SideErrors

        law = self._law.test
        test = SideErrors(self, self._law, "test")
        if isinstance(law, HeldOutLaw) and law.anchors is not None:
            test = AnchoredErrors(self, self._law, law)
        return {"train": SideErrors(self, self._law, "train"), "test": test}

    def path(self, result: Path) -> dict[str, np.ndarray]:
        """Errors of the path's quantities by name, (T,) each; that of the length beside the quadrature's."""
        unit, n = self._law.time_unit, self._size
        scale = self.kernel_error * n**0.5
        rounding = {name: self.unit * np.abs(getattr(result, name)) for name in ("speed_squared", "energy", "distance")}
        energy = scale * self.growth.energy * unit + rounding["energy"]
        size = to_numpy(result.energy)
        if getattr(self._law.summed, "momentum", 0.0) > 0:
            # What is spent is computed as what is left less than the whole.
            energy = energy + 8 * EPSILON * float(np.max(size))
        relative = np.divide(energy, size, out=np.zeros_like(energy), where=size > 0)
        return {
            "fisher_trace": (self.unit + self._law.blocks.kernel_error) * to_numpy(result.fisher_trace),
            "speed_squared": scale * self.growth.speed * unit**2 + rounding["speed_squared"],
            "path_energy": energy,
            "parameter_distance_squared": scale * self.growth.distance + rounding["distance"],
            "path_length": 0.5 * relative * np.asarray(result.length.value),
        }

    def parameters(self, estimate: Estimate, linear: bool) -> Estimate:
        """Widen a relative entropy's error by that of its log-determinant and of its quadratic term."""
        value = np.asarray(estimate.value)
        size = np.where(np.isfinite(value), np.abs(value), 0.0)
        extra = self._law.n_outputs * self.growth.logarithm + (self.unit + 4 * TRUNCATION) * size
        if linear:
            extra = extra + self.kernel_error * self._size**0.5 * self.growth.quadratic
        return widened(estimate, np.where(np.isfinite(value), extra, 0.0))


class SideErrors:
    """Bounds on the errors of mean and variance at one split's inputs."""

    def __init__(
        self, errors: NumericalErrors, distribution: OutputDistribution, split: str, law: OutputLaw | None = None
    ):
        self._errors, self._whole, self._split = errors, distribution, split
        self._law: OutputLaw = getattr(distribution, split) if law is None else law
        tangent = distribution.procedure.tangent
        if split == "train":
            # An output that no parameter moves and that never varies is known exactly.
            self._reach = np.where(to_numpy(self._law.initial_variance) > 0, 1.0, 0.0)
        else:
            self._reach = np.sqrt(to_numpy(getattr(distribution.blocks.test, f"{tangent}_diagonal")))

    @cached_property
    def _mean_over_time(self) -> np.ndarray:
        """The part of the mean's error that depends on time, (T,)."""
        law, growth, errors = self._whole, self._errors.growth, self._errors
        values, power = to_numpy(law.eigenvalues), 1.0 if self._split == "train" else 0.5
        size = np.linalg.norm(to_numpy(law.targets), axis=1)
        truncation = float(np.linalg.norm(to_numpy(law.filter_factors.error) * values**power * size))
        # ‖a_x g‖ over Θ(x, x)^½ at the test inputs; itself, at most 1 (2 where steps overshoot), at the others.
        reach = growth.root if self._split == "test" else 1.0 if law.summed.step is None else 2.0
        moved = errors.kernel_error * growth.learned * reach * (2 if law.summed.ridge > 0 else 1)
        # Before anything is learned the mean is exactly 0.
        return np.where(growth.root > 0, truncation + moved + errors.unit * reach * float(np.linalg.norm(size)), 0.0)

    def over_time(self, part: slice) -> Float[np.ndarray, " t"]:
        """Bound on the error of the mean at an input of reach 1, in the norm over the outputs."""
        return self._mean_over_time[part]

    def mean(self, part: slice) -> Float[np.ndarray, "t p"]:
        """Bound on the error of the mean, in the norm over the outputs."""
        return self._mean_over_time[part, None] * self._reach[None, :]

    def variance(self, part: slice, variance: Float[Array, "t p"]) -> Float[np.ndarray, "t p"]:
        """Bound on the error of the variance."""
        v, growth, errors, law = to_numpy(variance), self._errors.growth, self._errors, self._whole
        truncation = to_numpy(self._law.variance_error_at(part))
        if self._split == "train":
            return truncation + self._of_residuals(part, v) + self._gradient_noise(part)
        pull = 2 * errors.kernel_error * (2 if law.summed.ridge > 0 else 1)
        reach = growth.root[part, None] * self._reach[None, :]
        start = to_numpy(self._law.initial_variance)
        trace = float(np.sum(to_numpy(law.prior_variance))) + law.summed.target_noise_variance
        total = truncation + pull * reach * np.sqrt(v) * growth.spread[part, None]
        total = total + errors.unit * (start[None, :] + reach**2 * trace)
        return total + self._gradient_noise(part)

    def _of_residuals(self, part: slice, v: Float[np.ndarray, "t p"]) -> Float[np.ndarray, "t p"]:
        """What the kernel's error and rounding do to variances that are made of residuals."""
        law, growth, errors = self._whole, self._errors.growth, self._errors
        train = law.train
        assert isinstance(train, TrainLaw)
        whole = to_numpy(train.total_variance_at(part))
        pull = 2 * errors.kernel_error * (2 if law.summed.ridge > 0 else 1)
        moved = np.minimum(growth.spread[part], _times(growth.effective[part], np.sqrt(whole)))
        return pull * np.sqrt(v) * moved[:, None] + errors.unit * whole[:, None]

    def label_shift(self, spread: Float[np.ndarray, " T"], part: slice) -> Float[np.ndarray, "t p"]:
        """Bound on the change of the mean's deviation over targets drawn from a label model, by the kernel's error.

        Args:
            spread: `NumericalErrors.label_spread` of the model.
            part: of the times.
        """
        growth, errors, law = self._errors.growth, self._errors, self._whole
        reach = growth.root if self._split == "test" else 1.0 if law.summed.step is None else 2.0
        moved = errors.kernel_error * (2 if law.summed.ridge > 0 else 1) * reach * spread
        return moved[part, None] * self._reach[None, :]

    def _gradient_noise(self, part: slice) -> np.ndarray | float:
        if self._whole.summed.temperature == 0:
            return 0.0
        growth, size = self._errors.growth, self._reach[None, :] ** 2
        steepest = np.where(self._split == "train", 1.0, growth.effective[part])[:, None]
        return self._errors.kernel_error * growth.injected[part, None] * (1 + steepest * size)

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
        seen = scale > -300
        spread = np.where(seen, growth.spread[part] * np.exp(-np.where(seen, scale, 0.0)), np.inf)
        moved = np.minimum(spread, _times(growth.effective[part], np.sqrt(total)))
        factor = errors.kernel_error * moved[:, None]
        bound = 2 * np.sqrt(scaled) * factor + errors.unit * total[:, None] + to_numpy(law.scaled_error_at(part))
        return to_numpy(relative_error(np.where(to_numpy(law.initial_variance) > 0, bound, 0.0), scaled))

    @cached_property
    def _log_residual(self) -> np.ndarray:
        """Logarithm of the largest residual at each time, which belongs to an extreme eigenvalue; 0 for no residual."""
        law = self._whole
        extremes = law.eigenvalues[law.moving][np.array([0, -1])]
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
        moved += errors.kernel_error * float(_times(growth.effective[index], float(np.linalg.norm(left[0] * size))))
        # Ends that are equal are so up to rounding, and are stretched with the others.
        train = law.train
        assert isinstance(train, TrainLaw)
        moved += errors.unit * train.stretch_at(index) * float(np.linalg.norm(size))
        return np.divide(moved, std, out=np.zeros_like(std), where=std > 0)


def widened(estimate: Estimate, extra: np.ndarray | float) -> Estimate:
    """The estimate with a further error: added to a numerical one, in quadrature to a standard error."""
    old = np.asarray(estimate.standard_error)
    total = np.hypot(old, extra) if estimate.meaning == "Monte Carlo" else old + extra
    return replace(estimate, standard_error=float(total) if np.ndim(total) == 0 else total)


def _slow_twins(law: OutputDistribution) -> Array:
    """Eigenvalues, but for those whose steps overshoot the one that decays as fast without a change of sign."""
    values, summed = law.eigenvalues, law.summed
    if summed.step is None:
        return values
    stable = 2 * (1 + getattr(summed, "momentum", 0.0)) / summed.step - 2 * summed.ridge
    return namespace(values).maximum(namespace(values).minimum(values, stable - values), 0.0)


def _times(effective: np.ndarray | float, size: np.ndarray | float) -> np.ndarray:
    """The product, 0 where the size is 0 even at infinite time."""
    time, size = np.asarray(effective), np.asarray(size)
    return np.where(size > 0, np.where(size > 0, time, 0.0) * size, 0.0)
