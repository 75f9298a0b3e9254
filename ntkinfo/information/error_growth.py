"""What multiplies the errors of the kernels at each time: sizes that bound how far a perturbed kernel moves the law.

The eigen-decomposition answers for a kernel Θ + E next to Θ; ‖E‖ is taken as √n·ε·λ_max, what LAPACK attains (its
guaranteed bound is larger), and what the kernels state of their own error, `KernelBlocks.kernel_error`.
Notation: theory §1 and `training/output_distribution.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ntkinfo.core.arrays import Array, float64, namespace, to_numpy
from ntkinfo.information.label_model import LabelModel
from ntkinfo.information.path import to_learn
from ntkinfo.training.output_distribution import OutputDistribution
from ntkinfo.training.procedures import Converged

EPSILON = float(np.finfo(np.float64).eps)
# Tolerance of `training.time_factors.factor`: each eigenvalue's deviation relative to its own largest value.
TRUNCATION = 1e-13
_TIMES = 64  # sizes over time rise or fall steadily: the larger of two neighbours bounds what lies between
# Shares of ‖E‖ at which a perturbed eigenvalue is tried: a filter of many steps swings on the way.
_SHIFTS = (-1.0, -0.6, 0.6, 1.0)


@dataclass(frozen=True)
class Growth:
    """What multiplies the kernel's error ‖E‖ at each time; every array is (T,).

    Directions that count as null for want of digits alone may be learned in the end: at infinite time without ridge
    what they put into `learned`, `spread` and `root` is infinite.

    Args:
        learned: ‖g ŷ‖ over directions and outputs.
        spread: ‖g (B + σ_y²)^½‖.
        root: max λ^½ g.
        missed: ‖min(‖E‖ g, 1) ŷ‖, what residuals that stay within [−1, 1] can be moved by.
        turned: ‖min(‖E‖ g, 1) (B + σ_y²)^½‖.
        effective: the filter at λ = 0: time, or what a ridge or momentum makes of it; infinite without an end.
        injected: largest variance of gradient noise along a parameter direction.
        speed: the error of the squared speed.
        energy: that of the path's energy.
        distance: that of the squared distance.
        quadratic: that of the quadratic term of the linear model's relative entropy.
        logarithm: what moving every eigenvalue by ‖E‖ changes in Σ log|r|, one output.
        unseen: relative entropy in function space along undecided null directions.
    """

    learned: np.ndarray
    spread: np.ndarray
    root: np.ndarray
    missed: np.ndarray
    turned: np.ndarray
    effective: np.ndarray
    injected: np.ndarray
    speed: np.ndarray
    energy: np.ndarray
    distance: np.ndarray
    quadratic: np.ndarray
    logarithm: np.ndarray
    unseen: np.ndarray


@dataclass(frozen=True)
class LabelSpread:
    """The same for targets drawn from N(0, S): ‖g S^½‖, and ‖min(‖E‖ g, 1) S^½‖; both (T,)."""

    spread: np.ndarray
    turned: np.ndarray


class ErrorGrowth:
    """Errors of the kernels of one distribution, and what multiplies them.

    Args:
        distribution: the law of the outputs.

    Attributes:
        unit: √n·ε.
        given: what the kernels' own error can change of an eigenvalue.
        kernel_error: ‖E‖.
        pull: ‖E‖, twice that with a ridge.
        own: `KernelBlocks.kernel_error`, relative.
        trace: trace of the tangent kernel.
        prior_error: largest error of the covariance before training in the eigenbasis.
        hidden: the same where null directions are undecided, whose variance it may hide; 0 elsewhere.
    """

    def __init__(self, distribution: OutputDistribution):
        self._law = distribution
        values, start = to_numpy(distribution.eigenvalues), np.maximum(to_numpy(distribution.prior_variance), 0.0)
        self._size = len(values)
        self.unit = len(values) ** 0.5 * EPSILON
        # |E_jk| ≤ ε √(Θ_jj Θ_kk) bounds ‖E‖ by ε times the trace.
        self.own, self.trace = float(distribution.blocks.kernel_error), float(np.sum(values))
        self.given = self.own * self.trace
        self.kernel_error = self.unit * float(values[-1]) + self.given
        self.pull = self.kernel_error * (2 if distribution.summed.ridge > 0 else 1)
        self.prior_error = self.unit * float(start.max()) + self.own * float(start.sum())
        self.hidden = len(values) ** 0.5 * self.prior_error if distribution.undecided else 0.0

    @cached_property
    def growth(self) -> Growth:
        """Sizes that multiply the kernel's error, from at most 64 of the times."""
        with float64():
            effective = self._effective(self._law.internal_times)
        return Growth(**self._over_time(self._sizes), effective=effective)

    def label_spread(self, model: LabelModel) -> LabelSpread:
        """Sizes for targets drawn from a label model."""
        law, xp = self._law, namespace(self._law.eigenvalues)
        with float64():
            teacher = model.teacher(law)
            start = xp.maximum(law.prior_variance, 0.0) if teacher is None else xp.diagonal(teacher)
            labels = to_numpy(start) + model.noise_variance

        def size(times: Array) -> dict[str, np.ndarray]:
            g = self._filter(times)
            return {"spread": _norm(g, labels), "turned": _norm(self._share(g), labels)}

        return LabelSpread(**self._over_time(size))

    @cached_property
    def top(self) -> float:
        """Largest eigenvalue that may have been taken as null."""
        return max(self._law.spectrum.tolerance, self.kernel_error)

    @cached_property
    def _per_eigenvalue(self) -> float:
        """Least variance before training over the eigenvalue, of directions that are seen; others are taken alike."""
        values, start = to_numpy(self._law.eigenvalues), to_numpy(self._law.prior_variance)
        seen = (values > 0) & (start > 0)
        return float(np.min(start[seen] / values[seen], initial=np.inf))

    def _unseen(self, time: np.ndarray, squares: np.ndarray) -> np.ndarray:
        """½ ŷ²h²/B − C log r along null directions, at its largest over eigenvalues up to `top`."""
        law, null = self._law, to_numpy(self._law.spectrum.null)
        if not law.undecided:
            return np.zeros_like(time)
        learned = product(0.5 * float(np.sum(squares[null])) / self._per_eigenvalue, np.minimum(self.top * time, 1.0))
        with np.errstate(over="ignore"):
            return product(time, learned + law.n_outputs * int(null.sum()) * self.top)

    def unseen_labels(self, noise: float) -> np.ndarray:
        """½C log(1 + q²(B + σ²)/B), q = h/r, along undecided null directions, at their largest eigenvalue; (T,)."""
        law, time = self._law, self.growth.effective
        if not law.undecided:
            return np.zeros_like(time)
        log = product(time, self.top)
        ratio = np.where(log > 1, log, np.log(np.maximum(np.expm1(np.minimum(log, 1.0)), 1e-300)))
        share = np.log1p(noise / (self._per_eigenvalue * self.top))
        return 0.5 * law.n_outputs * int(np.sum(to_numpy(law.spectrum.null))) * np.logaddexp(0.0, 2 * ratio + share)

    def ended(self, times: Array) -> np.ndarray:
        """Whether training has converged at each of the summed loss's times."""
        return np.isinf(to_numpy(times)) | isinstance(self._law.summed, Converged)

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
        return t if summed.ridge > 0 else np.where(self.ended(times), np.inf, t)

    def _filter(self, times: Array) -> np.ndarray:
        """|g| of every direction (t, n): of null ones what is known of them, up to infinity."""
        law, null = self._law, to_numpy(self._law.spectrum.null)
        g = np.abs(to_numpy(law.summed.filter(_slow_twins(law), times)))
        if not null.any():
            return g
        if law.undecided:
            return np.where(null[None, :], self._effective(times)[:, None], g)
        # A direction that is null for a reason mixes with the others by ‖E‖ over their eigenvalues.
        slowest = np.max(g[:, ~null], axis=1, initial=0.0)[:, None]
        return np.where(null[None, :], np.minimum(self._effective(times)[:, None], slowest), g)

    def _share(self, g: np.ndarray) -> np.ndarray:
        return np.minimum(product(np.minimum(g, 1e300), self.pull), 1.0)

    def _sizes(self, times: Array) -> dict[str, np.ndarray]:
        law, summed = self._law, self._law.summed
        g = self._filter(times)
        share, targets = self._share(g), np.sum(to_numpy(law.targets) ** 2, axis=1)
        variance = np.maximum(to_numpy(law.prior_variance), 0.0) + summed.target_noise_variance
        null, values = to_numpy(law.spectrum.null), to_numpy(law.eigenvalues)
        if law.undecided:
            values = np.where(null, self.top, values)
            variance = variance + np.where(null, self.hidden, 0.0)
        # Without gradient noise 0 times the infinite variance of a null direction is 0.
        injected = np.zeros(len(g))
        if summed.temperature > 0:
            injected = to_numpy(summed.injected_variance(_slow_twins(law), times)).max(axis=1) * summed.temperature
        return {
            "learned": _norm(g, targets),
            "spread": _norm(g, variance),
            "root": np.max(product(g, np.sqrt(values)[None, :]), axis=1),
            "missed": _norm(share, targets),
            "turned": _norm(share, variance),
            "injected": injected,
            **self._of_path(times, g, targets),
            "logarithm": self._of_logarithm(times),
            "unseen": self._unseen(self._effective(times), targets + law.n_outputs * summed.target_noise_variance),
        }

    def _of_path(self, times: Array, g: np.ndarray, targets: np.ndarray) -> dict[str, np.ndarray]:
        law, summed, scale = self._law, self._law.summed, self.kernel_error * self._size**0.5
        learn, values = to_numpy(to_learn(law)), _slow_twins(law)
        t = self._effective(times)
        finite = np.where(np.isfinite(t), t, 0.0)[:, None]
        rate = to_numpy(summed.rate(values, times))
        speed = scale * rate**2 * (1 + 2 * to_numpy(values) * finite)
        energy = 2 * scale * np.abs(to_numpy(summed.energy(values, times)))
        if summed.step is not None:
            speed = np.maximum(speed, self._swing(times))
        if law.undecided:
            energy = energy + self._learned_energy(times)
        # Weights are of the covariance before training, which the eigenbasis knows to rounding of its largest entry.
        weights = law.n_outputs * self.prior_error * to_numpy(law.eigenvalues)
        lost = {
            "speed": to_numpy(summed.rate(law.eigenvalues, times)) ** 2 @ weights,
            "energy": np.abs(to_numpy(summed.energy(law.eigenvalues, times))) @ weights,
            "distance": to_numpy(summed.filter(law.eigenvalues, times)) ** 2 @ weights,
        }
        return {
            "speed": speed @ learn + lost["speed"],
            "energy": energy @ learn + lost["energy"],
            "distance": 3 * scale * _norm(g, learn) ** 2 + lost["distance"],
            "quadratic": 1.5 * scale * _norm(g, targets) ** 2,
        }

    def _swing(self, times: Array) -> np.ndarray:
        """By how much λ (dg/dt)² of stepped procedures changes while eigenvalues move by ‖E‖ and by their rounding."""
        law, summed = self._law, self._law.summed
        values, xp = law.eigenvalues, namespace(law.eigenvalues)
        reach = self.kernel_error + 4 * EPSILON * (float(values[-1]) + summed.ridge)
        here = values * summed.rate(values, times) ** 2
        change = 0.0 * here
        for share in _SHIFTS:
            moved = xp.clip(values + share * reach, 0.0, float(values[-1]))
            change = xp.maximum(change, xp.abs(moved * summed.rate(moved, times) ** 2 - here))
        return 2 * to_numpy(change)

    def _learned_energy(self, times: Array) -> np.ndarray:
        """What null directions add to the path's energy if they are learned, at times when that is decided."""
        law, summed = self._law, self._law.summed
        top = self.top + 0 * law.eigenvalues
        # Their share of the targets is known to ‖E‖ over the other eigenvalues.
        other = 2 * top * summed.energy(top, times)
        return np.where(to_numpy(law.spectrum.null)[None, :], to_numpy(other), 0.0)

    def _of_logarithm(self, times: Array) -> np.ndarray:
        law, summed, xp = self._law, self._law.summed, namespace(self._law.eigenvalues)
        shift = summed.log_residual(law.eigenvalues + self.kernel_error, times)
        log = summed.log_residual(law.eigenvalues, times)
        known = xp.isfinite(shift) & xp.isfinite(log)
        return to_numpy(xp.sum(xp.abs(xp.where(known, shift, 0.0) - xp.where(known, log, 0.0)), axis=1))


def _norm(factors: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """(Σ_j factors_tj² squares_j)^½, infinite where a factor of something is."""
    known = np.isfinite(factors)
    size = np.sqrt(np.where(known, factors, 0.0) ** 2 @ squares)
    return np.where(np.any(~known & (squares > 0)[None, :], axis=1), np.inf, size)


def _slow_twins(law: OutputDistribution) -> Array:
    """Eigenvalues, but for those whose steps overshoot the one that decays as fast without a change of sign."""
    values, summed = law.eigenvalues, law.summed
    if summed.step is None:
        return values
    stable = 2 * (1 + getattr(summed, "momentum", 0.0)) / summed.step - 2 * summed.ridge
    return namespace(values).maximum(namespace(values).minimum(values, stable - values), 0.0)


def product(effective: np.ndarray | float, size: np.ndarray | float) -> np.ndarray:
    """The product, 0 where the size is 0 even at infinite time."""
    time, size = np.asarray(effective), np.asarray(size)
    return np.where(size > 0, np.where(size > 0, time, 0.0) * size, 0.0)
