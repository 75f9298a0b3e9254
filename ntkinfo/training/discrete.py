"""Training in finite steps: gradient descent and heavy-ball momentum. Time is step size times the number of steps."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace

import numpy as np

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import log_size, namespace
from ntkinfo.training.procedures import Procedure
from ntkinfo.training.two_term_recursion import TwoTermRecursion


@dataclass(frozen=True, kw_only=True)
class _Stepped(Procedure):
    """A procedure of k = ⌊t/η⌋ steps; η is the step size in the caller's time, as `times` are.

    Args:
        step_size: η > 0. With `loss="mean"` it multiplies the gradient of the mean loss.
    """

    step_size: float

    def __post_init__(self):
        super().__post_init__()
        checks.positive("step_size", self.step_size)

    def summed(self, n_targets):
        step = self.step_size * self.time_unit(n_targets)
        return replace(super().summed(n_targets), step_size=step)

    def check(self, largest, times, n_targets):
        super().check(largest, times, n_targets)
        stable = self._stability_bound() / (largest + self.ridge) / self.time_unit(n_targets)
        if self.step_size >= stable:
            raise ValueError(
                f"step_size is {self.step_size:g} and training diverges: the largest eigenvalue of the kernel is "
                f"{largest:.6g}; take a step size below {stable:.6g}"
            )

    @property
    def step(self):
        return self.step_size

    @abstractmethod
    def _stability_bound(self) -> float:
        """Return the value of ημ from which the recursion grows."""

    def _steps(self, times):
        xp = namespace(times)
        # A time that is a multiple of the step up to rounding counts as that multiple.
        return xp.floor(times / self.step_size * (1 + 4 * np.finfo(np.float64).eps))[:, None]


@checked
@dataclass(frozen=True, kw_only=True)
class GradientDescent(_Stepped):
    """Gradient descent with a finite step: g = (1 − (1 − ημ)^k)/μ.

    Fails when ημ ≥ 2 for the largest eigenvalue: `check` names the largest stable step. With a temperature, every
    step adds √(2τη) of unit noise.
    """

    def _stability_bound(self) -> float:
        return 2.0

    def filter(self, eigenvalues, times):
        xp = namespace(eigenvalues)
        steps, mu, sign, exponent = self._powers(eigenvalues, times)
        safe = xp.where(mu > 0, mu, 1.0)
        power = xp.where(sign > 0, -xp.expm1(exponent), 1 + xp.exp(exponent))
        limit = xp.where(xp.isfinite(steps), steps, 0.0) * self.step_size
        return xp.where(mu > 0, power / safe, limit)

    def residual(self, eigenvalues, times):
        _, _, sign, exponent = self._powers(eigenvalues, times)
        return self._left(eigenvalues, sign * namespace(eigenvalues).exp(exponent))

    def log_residual(self, eigenvalues, times):
        if self.ridge == 0:
            return self._powers(eigenvalues, times)[3]
        return log_size(self.residual(eigenvalues, times))

    def scaled_residual(self, eigenvalues, log_scale, times):
        if self.ridge > 0:
            return super().scaled_residual(eigenvalues, log_scale, times)
        _, _, sign, exponent = self._powers(eigenvalues, times)
        return sign * namespace(eigenvalues).exp(exponent - log_scale[:, None])

    def rate(self, eigenvalues, times):
        xp = namespace(eigenvalues)
        steps, mu, sign, exponent = self._powers(eigenvalues, times)
        return xp.where((mu > 0) | xp.isfinite(steps), sign * xp.exp(exponent), 0.0)

    def energy(self, eigenvalues, times):
        """Return η Σ_{s<k} (1 − ημ)^{2s}."""
        xp = namespace(eigenvalues)
        steps, mu, _, exponent = self._powers(eigenvalues, times)
        gap = mu * (2 - self.step_size * mu)
        safe = xp.where(gap > 0, gap, 1.0)
        limit = self.step_size * xp.where(xp.isfinite(steps), steps, 0.0)
        return xp.where(gap > 0, -xp.expm1(2 * exponent) / safe, limit)

    def injected_variance(self, eigenvalues, times):
        xp = namespace(eigenvalues)
        steps, mu, _, exponent = self._powers(eigenvalues, times)
        gap = mu * (2 - self.step_size * mu)
        safe = xp.where(gap > 0, gap, 1.0)
        return xp.where(gap > 0, -2 * xp.expm1(2 * exponent) / safe, 2 * self.step_size * steps)

    def _powers(self, eigenvalues, times):
        """Return steps k, μ, the sign of (1 − ημ)^k and log |1 − ημ|^k, with 0 for k·log|1 − ημ| at k = 0 or μ = 0."""
        xp = namespace(eigenvalues)
        steps, mu = self._steps(times), (eigenvalues + self.ridge)[None, :]
        z = self.step_size * mu
        # log|1 − z| through whichever of log1p(−z) and log1p(z − 2) keeps the digits.
        size = xp.log1p(xp.maximum(xp.where(z < 1, -z, z - 2), -1.0 + 1e-16))
        exact = xp.where(z == 1, -xp.inf, size)
        moving = (steps > 0) & (mu > 0)
        exponent = xp.where(moving, xp.where(moving, steps, 1.0) * xp.where(moving, exact, -1.0), 0.0)
        odd = xp.where(xp.isfinite(steps), steps, 0.0) % 2 == 1
        return steps, mu, xp.where((z > 1) & odd, -1.0, 1.0), exponent


@checked
@dataclass(frozen=True, kw_only=True)
class HeavyBall(_Stepped):
    """Heavy-ball momentum: r_{k+1} = (1 + β − ημ) r_k − β r_{k−1}, r_0 = r_{−1} = 1, by the recursion's roots.

    Args:
        momentum: β, 0 ≤ β < 1.

    Fails when ημ ≥ 2(1 + β) for the largest eigenvalue, and with a ridge or not alike. No Langevin noise.
    Source: Polyak 1964; roots of the two-term recursion (`two_term_recursion`).
    """

    momentum: float

    def __post_init__(self):
        super().__post_init__()
        checks.non_negative("momentum", self.momentum)
        if self.momentum >= 1:
            raise ValueError(f"momentum is {self.momentum}; it must be below 1, or training never settles")
        if self.temperature > 0:
            raise ValueError(
                "temperature is above 0 with heavy-ball momentum, whose noise has no closed form here; "
                "take GradientFlow or GradientDescent, or temperature 0"
            )

    def _stability_bound(self) -> float:
        return 2.0 * (1 + self.momentum)

    def filter(self, eigenvalues, times):
        return self.step_size * self._recursion(eigenvalues).sum(self._steps(times))

    def residual(self, eigenvalues, times):
        factor, exponent = self._decay(eigenvalues, times)
        return self._left(eigenvalues, factor * namespace(eigenvalues).exp(exponent))

    def log_residual(self, eigenvalues, times):
        if self.ridge > 0:
            return log_size(self.residual(eigenvalues, times))
        factor, exponent = self._decay(eigenvalues, times)
        return exponent + log_size(factor)

    def scaled_residual(self, eigenvalues, log_scale, times):
        if self.ridge > 0:
            return super().scaled_residual(eigenvalues, log_scale, times)
        factor, exponent = self._decay(eigenvalues, times)
        return factor * namespace(eigenvalues).exp(exponent - log_scale[:, None])

    def rate(self, eigenvalues, times):
        """Return (g_{k+1} − g_k)/η, which starts at 1 and obeys the same recursion."""
        return self._recursion(eigenvalues).second_kind(self._steps(times) + 1)

    def energy(self, eigenvalues, times):
        """Return η Σ_{s<k} d_s², d the rate."""
        return self.step_size * self._recursion(eigenvalues).sum_of_squares(self._steps(times))

    def injected_variance(self, eigenvalues, times):
        xp = namespace(eigenvalues)
        return xp.zeros((times.shape[0], eigenvalues.shape[0]))

    def _recursion(self, eigenvalues):
        return TwoTermRecursion(self.step_size * (eigenvalues + self.ridge)[None, :], self.momentum)

    def _decay(self, eigenvalues, times):
        return self._recursion(eigenvalues).residual(self._steps(times))
