"""The recursion of heavy-ball momentum by its roots: x_{k+1} = (1 + β − z) x_k − β x_{k−1}, z ≥ 0, 0 ≤ β < 1.

The roots of x² − (1 + β − z) x + β are real for z outside ((1 − √β)², (1 + √β)²) and a conjugate pair of modulus √β
inside. Solutions are written ρ^k times a factor, ρ the larger modulus, so that nothing is lost however small they are.
Replacing z by 2(1 + β) − z turns both roots' signs over; moduli come from whichever of the two is the smaller.

Source: Polyak 1964; Chebyshev polynomials of the second kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float

from ntkinfo.core.arrays import Array, log_size, namespace

# Sums over fewer than _SETTLED/(1 − β) steps are added up; beyond, nothing cancels in their closed forms.
_SETTLED = 8.0
_MOST_STEPS = 4096

Row = Float[Array, "1 n"]
Mask = Bool[Array, "1 n"]
Column = Float[Array, "t 1"]
Table = Float[Array, "t n"]


@dataclass(frozen=True)
class TwoTermRecursion:
    """The residual r_k (r_0 = r_{−1} = 1), the second kind S_k (S_0 = 0, S_1 = 1) and its sums, at whole k or ∞.

    Args:
        z: (1, n), step size times eigenvalue, 0 ≤ z < 2(1 + β).
        beta: momentum, 0 ≤ β < 1.

    Near the values of z at which both roots are equal, solutions depend on z as k²z: a rounding error of z, and only
    that, is multiplied so. A conjugate pair of roots makes solutions swing through 0; their error is absolute, in units
    of the envelope, and grows with the phase as k times rounding.
    """

    z: Row
    beta: float

    def residual(self, steps: Column) -> tuple[Table, Table]:
        """Factor and exponent, r_k = factor · e^exponent. At infinite k the exponent is −∞, 0 where z = 0."""
        xp, k = namespace(self.z), self._finite(steps)
        grown = self._in_units(k)
        real = 1 + self._share * xp.where(self._flipped, 2 - self._gap, self._gap) * grown
        lead = (1 - self.beta - self.z) / (2 * np.sqrt(self.beta) or 1.0)
        swinging = xp.cos(k * self._angle) + xp.where(self._flipped, -lead, lead) * grown
        sign = xp.where(self._flipped & (k % 2 == 1), -1.0, 1.0)
        return sign * xp.where(self._real, real, swinging), self._exponent(self._log_size, steps)

    def second_kind(self, steps: Column) -> Table:
        """S_k; 0 at infinite k."""
        xp, k = namespace(self.z), self._finite(steps)
        sign = xp.where(self._flipped & (k % 2 == 0), -1.0, 1.0)
        size = xp.exp(self._exponent(self._log_size, xp.maximum(k - 1, 0.0)))
        return sign * size * self._in_units(k)

    def sum(self, steps: Column) -> Table:
        """Σ_{1 ≤ j ≤ k} S_j = (1 − r_k)/z, with its limits where z = 0; 0 there at infinite k."""
        xp, k = namespace(self.z), self._finite(steps)
        factor, exponent = self.residual(steps)
        left = (1 - factor * xp.exp(exponent)) / xp.where(self.z > 0, self.z, 1.0)
        # Real positive roots x₁ and x₂: Σ x₁^j less what the other root takes away, without cancellation.
        near = (self._geometric(self._gap, self._log_size, steps) - self._smaller * self.second_kind(k)) / self._other
        late = xp.where(self._real & ~self._flipped, near, left)
        return self._with_few(steps, late, 0)

    def sum_of_squares(self, steps: Column) -> Table:
        """Σ_{1 ≤ j ≤ k} S_j², with its limit where z = 0; 0 there at infinite k."""
        xp = namespace(self.z)
        separate = self._folded < 0.5 * self._low
        late = xp.where(separate, self._squares_of_roots(steps), self._squares_by_energy(steps))
        return self._with_few(steps, late, 1)

    def _squares_of_roots(self, steps: Column) -> Table:
        """(Σ x₁^{2j} − 2 Σ β^j + Σ x₂^{2j})/(x₁ − x₂)²: for real roots that lie apart."""
        xp = namespace(self.z)
        beta, log_beta = self.beta, float(np.log(max(self.beta, 1e-300)))
        first = self._geometric(self._gap * (2 - self._gap), 2 * self._log_size, steps)
        between = self._geometric(1 - beta + 0 * self.z, log_beta + 0 * self.z, steps)
        second = self._geometric(self._other * (2 - self._other), 2 * (log_beta - self._log_size), steps)
        total = self._size**2 * first - 2 * beta * between + self._smaller**2 * second
        return total / xp.where(self._root > 0, self._root, 1.0) ** 2

    def _squares_by_energy(self, steps: Column) -> Table:
        """A quadratic form of two neighbours that falls by S_j² at every step (a Lyapunov function)."""
        xp, beta, z = namespace(self.z), self.beta, self._folded
        weight = (1 + beta) / ((1 - beta) * xp.where(z > 0, z * (2 * (1 + beta) - z), 1.0))
        k, finite = self._finite(steps), xp.isfinite(steps)
        now = xp.where(finite, xp.abs(self.second_kind(k + 1)), 0.0)
        before = xp.where(finite, xp.abs(self.second_kind(k)), 0.0)
        product = xp.where(finite, self.second_kind(k + 1) * self.second_kind(k), 0.0)
        turned = xp.where(self._flipped, -product, product)
        left = now**2 - 2 * beta * (1 + beta - z) / (1 + beta) * turned + beta**2 * before**2
        return weight * (1 - left)

    def _with_few(self, steps: Column, late: Table, which: int) -> Table:
        """Replace the first steps by stepping: closed forms cancel there, and there only."""
        xp, host = namespace(self.z), np.asarray(steps)[:, 0]
        few = host <= min(_SETTLED / (1 - self.beta), _MOST_STEPS)
        if not few.any():
            return late
        wanted = np.unique(host[few])
        rows = xp.concatenate([sums[which] for sums in self._stepped(wanted)])
        index = np.minimum(np.searchsorted(wanted, np.where(few, host, 0.0)), len(wanted) - 1)
        return xp.where(xp.asarray(few)[:, None], rows[xp.asarray(index)], late)

    def _stepped(self, wanted: np.ndarray) -> list[tuple[Row, Row]]:
        """Σ S_j and Σ S_j² after each wanted number of steps, by adding differences up: S_{j+1} − S_j loses nothing."""
        value, change = 1 + 0 * self.z, 1 + 0 * self.z
        total, squares = 0 * self.z, 0 * self.z
        found, done = [], 0
        for stop in wanted.astype(int):
            for _ in range(done, stop):
                total, squares = total + value, squares + value**2
                change = self.beta * change - self.z * value
                value = value + change
            done = stop
            found.append((total, squares))
        return found

    def _in_units(self, k: Column) -> Table:
        """S_k/ρ^{k−1} with the sign of positive roots, up to k where they are equal."""
        xp = namespace(self.z)
        ratio = xp.where(self._root > 0, self._root, 1.0) / xp.where(self._size > 0, self._size, 1.0)
        moving = xp.where(k > 0, k, 1.0)
        power = xp.where(k > 0, -xp.expm1(moving * self._log_share), 0.0)
        real = xp.where(self._root > 0, power / ratio, k)
        sine = xp.sin(self._angle)
        swinging = xp.where(sine > 0, xp.sin(k * self._angle) / xp.where(sine > 0, sine, 1.0), k)
        return xp.where(self._real, real, swinging)

    def _geometric(self, gap: Row, log: Row, steps: Column) -> Table:
        """Σ_{j<k} a^j with `gap` = 1 − a and `log` = log a; k where a = 1, 0 there at infinite k."""
        xp = namespace(self.z)
        power = -xp.expm1(self._exponent(log, steps))
        return xp.where(gap > 0, power / xp.where(gap > 0, gap, 1.0), self._finite(steps))

    def _exponent(self, log: Row, steps: Column) -> Table:
        """Return k log a, with 0 for 0·∞."""
        xp, k = namespace(self.z), self._finite(steps)
        gone = ((k > 0) & xp.isneginf(log)) | (xp.isinf(steps) & (log < 0))
        return xp.where(gone, -xp.inf, xp.where(xp.isfinite(log), log, 0.0) * k)

    def _finite(self, steps: Column) -> Column:
        xp = namespace(self.z)
        return xp.where(xp.isfinite(steps), steps, 0.0)

    @property
    def _low(self) -> float:
        """(1 − √β)², from where on the roots are a conjugate pair."""
        return ((1 - self.beta) / (1 + np.sqrt(self.beta))) ** 2

    @cached_property
    def _flipped(self) -> Mask:
        """Whether the roots' sum is negative."""
        return self.z > 1 + self.beta

    @cached_property
    def _folded(self) -> Row:
        """The smaller of z and 2(1 + β) − z: the same moduli."""
        return namespace(self.z).where(self._flipped, 2 * (1 + self.beta) - self.z, self.z)

    @cached_property
    def _margin(self) -> Row:
        """How far folded z lies below the conjugate pairs."""
        high = (1 + np.sqrt(self.beta)) ** 2
        return namespace(self.z).where(self._flipped, self.z - high, self._low - self.z)

    @cached_property
    def _real(self) -> Mask:
        return self._margin >= 0

    @cached_property
    def _root(self) -> Row:
        """ρ less the smaller modulus; 0 for conjugate pairs."""
        xp = namespace(self.z)
        return xp.sqrt(xp.maximum(self._margin, 0.0) * ((1 + np.sqrt(self.beta)) ** 2 - self._folded))

    @cached_property
    def _other(self) -> Row:
        """1 less the smaller modulus of real roots."""
        return (1 - self.beta + self._folded + self._root) / 2

    @cached_property
    def _gap(self) -> Row:
        """1 − ρ for real roots; where they are negative its rounding error is that of z, and has to be the one of ρ."""
        return namespace(self.z).where(self._flipped, 1 - self._size, self._folded / self._other)

    @cached_property
    def _size(self) -> Row:
        """The modulus ρ."""
        xp = namespace(self.z)
        return xp.where(self._real, (1 + self.beta - self._folded + self._root) / 2, np.sqrt(self.beta))

    @cached_property
    def _log_size(self) -> Row:
        xp = namespace(self.z)
        small = self._gap < 0.5
        near = xp.log1p(-xp.where(small, self._gap, 0.0))
        return xp.where(self._real & small, near, log_size(self._size))

    @cached_property
    def _smaller(self) -> Row:
        """The smaller modulus."""
        return self.beta / namespace(self.z).where(self._size > 0, self._size, 1.0)

    @cached_property
    def _share(self) -> Row:
        """The smaller modulus over the larger."""
        return self._smaller / namespace(self.z).where(self._size > 0, self._size, 1.0)

    @cached_property
    def _log_share(self) -> Row:
        xp = namespace(self.z)
        apart = self._root / xp.where(self._size > 0, self._size, 1.0)
        near = xp.log1p(-xp.where(apart < 0.5, apart, 0.0))
        return xp.where(apart < 0.5, near, log_size(self._share))

    @cached_property
    def _angle(self) -> Row:
        """Phase of a conjugate pair, up to π/2 (folded); 0 for real roots."""
        xp = namespace(self.z)
        half = xp.maximum(-self._margin, 0.0) / (4 * np.sqrt(self.beta) or 1.0)
        return 2 * xp.arcsin(xp.sqrt(xp.minimum(half, 1.0)))
