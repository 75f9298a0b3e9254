"""Training in finite steps: gradient descent and heavy-ball momentum. Time is step size times the number of steps."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace

import numpy as np

from ntkinfo.core import checks
from ntkinfo.core.arrays import namespace
from ntkinfo.training.procedures import Procedure


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
        xp = namespace(eigenvalues)
        if self.ridge == 0:
            return self._powers(eigenvalues, times)[3]
        return _log_abs(xp, self.residual(eigenvalues, times))

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


@dataclass(frozen=True, kw_only=True)
class HeavyBall(_Stepped):
    """Heavy-ball momentum: r_{k+1} = (1 + β − ημ) r_k − β r_{k−1}, r_0 = r_{−1} = 1, by the recursion's roots.

    Args:
        momentum: β, 0 ≤ β < 1.

    Fails when ημ ≥ 2(1 + β) for the largest eigenvalue, and with a ridge or not alike. No Langevin noise.
    Source: Polyak 1964; roots of the two-term recursion.
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
        xp = namespace(eigenvalues)
        steps, mu, z = self._setting(eigenvalues, times)
        safe = xp.where(mu > 0, mu, 1.0)
        small = z < (1 - np.sqrt(self.momentum)) ** 2
        near, far = self._near_filter(z, steps), (1 - self._recursion(z, steps)) / safe
        return xp.where(xp.isinf(steps), xp.where(mu > 0, 1 / safe, 0.0), xp.where(small, near, far))

    def residual(self, eigenvalues, times):
        xp = namespace(eigenvalues)
        steps, mu, z = self._setting(eigenvalues, times)
        finished = xp.where(xp.isinf(steps), 0.0, self._recursion(z, steps))
        return self._left(eigenvalues, xp.where(mu > 0, finished, 1.0))

    def log_residual(self, eigenvalues, times):
        xp = namespace(eigenvalues)
        return _log_abs(xp, self.residual(eigenvalues, times))

    def rate(self, eigenvalues, times):
        """Return (r_k − r_{k+1})/(ημ) = S_{k+1} − S_k's combination, which starts at 1 and obeys the same recursion."""
        xp = namespace(eigenvalues)
        steps, _, z = self._setting(eigenvalues, times)
        return xp.where(xp.isinf(steps), 0.0, self._second_kind(z, steps + 1))

    def energy(self, eigenvalues, times):
        """Return η Σ_{s<k} d_s², d the rate, by the recursion's Lyapunov form."""
        xp = namespace(eigenvalues)
        steps, mu, z = self._setting(eigenvalues, times)
        beta = self.momentum
        s = 1 + beta - z
        weight = (1 + beta) / ((1 - beta) * xp.where(mu > 0, z * (2 * (1 + beta) - z), 1.0))
        now, before = self._second_kind(z, steps + 1), self._second_kind(z, steps)
        finite = xp.isfinite(steps)
        now, before = xp.where(finite, now, 0.0), xp.where(finite, before, 0.0)
        left = now**2 - 2 * beta * s / (1 + beta) * now * before + beta**2 * before**2
        total = xp.where(mu > 0, weight * (1 - left), self._null_energy(xp, steps))
        return self.step_size * total

    def injected_variance(self, eigenvalues, times):
        xp = namespace(eigenvalues)
        return xp.zeros((times.shape[0], eigenvalues.shape[0]))

    def _setting(self, eigenvalues, times):
        mu = (eigenvalues + self.ridge)[None, :]
        return self._steps(times), mu, self.step_size * mu

    def _recursion(self, z, steps):
        """Return r_k = r_1 S_k − β S_{k−1}; r_0 = 1."""
        xp = namespace(z)
        before = self._second_kind(z, xp.maximum(steps - 1, 0.0))
        return xp.where(steps == 0, 1.0, (1 - z) * self._second_kind(z, steps) - self.momentum * before)

    def _second_kind(self, z, steps):
        """Return S_k, the solution that starts with S_0 = 0 and S_1 = 1 (a Chebyshev polynomial of the second kind)."""
        xp = namespace(z)
        beta, finite = self.momentum, xp.where(xp.isfinite(steps), steps, 0.0)
        s, low, high = 1 + beta - z, (1 - np.sqrt(beta)) ** 2, (1 + np.sqrt(beta)) ** 2
        sign = xp.where((s < 0) & (finite % 2 == 0), -1.0, 1.0)
        discriminant = (z - low) * (z - high)
        root = xp.sqrt(xp.maximum(discriminant, 0.0))
        big = (xp.abs(s) + root) / 2
        real = _power_difference(xp, big, root, finite)
        half = xp.minimum(z - low, high - z) / (4 * max(np.sqrt(beta), 1e-300))
        angle = 2 * xp.arcsin(xp.sqrt(xp.clip(half, 0.0, 1.0)))
        sine = xp.where(angle > 0, xp.sin(angle), 1.0)
        ratio = xp.where(angle > 0, xp.sin(finite * angle) / sine, finite)
        scale = np.sqrt(beta) ** xp.maximum(finite - 1, 0.0)
        return sign * xp.where(finite == 0, 0.0, xp.where(discriminant >= 0, real, scale * ratio))

    def _near_filter(self, z, steps):
        """Return g where both roots are real and near 1, without cancellation: δ = 1 − z₁ = ημ/(1 − z₂)."""
        xp = namespace(z)
        beta, low, high = self.momentum, (1 - np.sqrt(self.momentum)) ** 2, (1 + np.sqrt(self.momentum)) ** 2
        root = xp.sqrt(xp.maximum((low - z) * (high - z), 0.0))
        other = (1 - beta + z + root) / 2  # 1 − z₂
        delta = xp.minimum(z / other, 1.0 - 1e-16)
        finite = xp.where(xp.isfinite(steps), steps, 0.0)
        grown = xp.where(delta > 0, -xp.expm1(finite * xp.log1p(-delta)) / xp.where(delta > 0, delta, 1.0), finite)
        return self.step_size * (grown - (1 - other) * self._second_kind(z, finite)) / other

    def _null_energy(self, xp, steps):
        """Return Σ_{s<k} ((1 − β^{s+1})/(1 − β))²: the rate at μ = 0 builds up to 1/(1 − β)."""
        beta, k = self.momentum, xp.where(xp.isfinite(steps), steps, 0.0)
        first = beta * (1 - beta**k) / (1 - beta)
        second = beta**2 * (1 - beta ** (2 * k)) / (1 - beta**2)
        return (k - 2 * first + second) / (1 - beta) ** 2


def _power_difference(xp, big, gap, steps):
    """Return (b^k − (b − gap)^k)/gap, with its limit k b^{k−1}."""
    share = gap / xp.where(big > 0, big, 1.0)
    ratio = xp.where(big > gap, xp.log1p(-xp.minimum(share, 1 - 1e-16)), -xp.inf)
    k = xp.maximum(steps, 1.0)
    power = big ** (k - 1)
    return xp.where(gap > 0, big * power * -xp.expm1(k * ratio) / xp.where(gap > 0, gap, 1.0), k * power)


def _log_abs(xp, values):
    """Return log |v|, −∞ at 0 without a warning."""
    size = xp.abs(values)
    return xp.where(size > 0, xp.log(xp.where(size > 0, size, 1.0)), -xp.inf)
