"""Dual functions: the averages E[φ(u)φ(v)] and E[φ'(u)φ'(v)] over two Gaussian pre-activations, in closed form.

With variances q1, q2, covariance c and determinant D = q1 q2 - c² every formula below is a sum of terms of one sign for
c > 0: given D, no digits are lost however near to parallel the two inputs are and whatever their size. Each is written
once for two kinds of numbers: float64 in jax, where D comes from a difference and loses digits between near parallel
inputs, and pairs of float64 (`double_double`), with which `near_pairs` computes those again.

Sources: Williams (1997) for erf, Cho & Saul (2009) for the rectified linear family; gelu and sine follow by Stein's
lemma and from the characteristic function (Tsuchida, Pearce, van der Heide, Roosta & Gallagher 2021; Louart, Liao &
Couillet 2018).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkinfo.kernels import double_double

# Below this relative size of q1 q2 - c² two inputs are taken as parallel in float64: rounding of q1, q2 and c leaves
# errors of a few 1e-16 there, which the square root inside the angle would turn into 1e-8.
PARALLEL = 2.0**-46


def _safe_root(determinant: Any, product: Any) -> Any:
    """√D, 0 with a derivative of 0 where the pair is parallel within rounding."""
    distinct = determinant > PARALLEL * product**2
    return jnp.where(distinct, jnp.sqrt(jnp.where(distinct, determinant, 1.0)), 0.0)


FLOAT = SimpleNamespace(
    sqrt=jnp.sqrt,
    root=_safe_root,
    atan2=jnp.arctan2,
    acute=lambda y, x: jnp.arctan(y / x),  # the same for x > 0, at two thirds of the price
    exp=jnp.exp,
    sinh=jnp.sinh,
    where=jnp.where,
    size=jnp.abs,
    at_most_zero=lambda value: jnp.minimum(value, 0.0),  # variances of a sum and a difference, but for rounding
    holds=lambda value: value,
    pi=np.pi,
)
PAIRS = SimpleNamespace(
    sqrt=double_double.sqrt,
    root=lambda determinant, product: double_double.sqrt(determinant),
    atan2=double_double.atan2,
    acute=double_double.atan2,
    exp=double_double.exp,
    sinh=double_double.sinh,
    where=double_double.where,
    size=lambda value: np.abs(value.high),
    at_most_zero=lambda value: value,
    holds=lambda value: value.high,
    pi=double_double.pi(),
)


@dataclass(frozen=True)
class Dual:
    """Both averages of one function.

    Args:
        averages: (numbers, q1, q2, c, D) to E[φφ] and E[φ'φ'].
        steepness: (q1, q2, c, D, E[φφ], E[φ'φ'], e, √(q1 q2)) in float64: how much E[φ'φ'] changes
            where c has an error of e √(q1 q2), to first order.
        kink: by how much E[φ'φ'] falls with the angle between near parallel inputs; 0 for functions without a kink.
    """

    averages: Callable[..., tuple[Any, Any]]
    steepness: Callable[..., Any]
    kink: float = 0.0

    def of_pair(self, covariance: Any, variance1: Any, variance2: Any) -> tuple[Any, Any]:
        """Both averages in jax."""
        determinant = determinant_of(covariance, variance1, variance2)
        return self.averages(FLOAT, variance1, variance2, covariance, determinant)

    def functions(self) -> tuple[Callable, Callable]:
        """Each average by itself, as functions of covariance and variances, for a stax layer."""
        return lambda c, q1, q2: self.of_pair(c, q1, q2)[0], lambda c, q1, q2: self.of_pair(c, q1, q2)[1]


def determinant_of(covariance: Any, variance1: Any, variance2: Any) -> Any:
    """q1 q2 - c² in float64, at least 0."""
    return jnp.maximum(variance1 * variance2 - covariance * covariance, 0.0)


def erf_averages(m: Any, q1: Any, q2: Any, c: Any, d: Any) -> tuple[Any, Any]:
    """The arcsine kernel: 2/π · arcsin(2c / √((1+2q1)(1+2q2))) by the angle's two sides."""
    root = m.sqrt(1.0 + 2.0 * (q1 + q2) + 4.0 * d)
    return 2.0 / m.pi * m.acute(2.0 * c, root), 4.0 / m.pi / root


def _erf_steepness(q1, q2, c, d, value, slope, error, size):
    # E[φ'φ'] is 4/π over a root, so that its square is one over what is under it.
    return slope * jnp.minimum((np.pi**2 / 4) * slope * slope * jnp.abs(c) * size * error, 1.0)


def gelu_averages(m: Any, q1: Any, q2: Any, c: Any, d: Any) -> tuple[Any, Any]:
    """Gelu is u Φ(u): with Δ = det(I + Σ), N = 1/(2π√Δ) and P = E[Φ(u)Φ(v)] by Stein's lemma.

    E[φφ] = cP + N (D + c²/(1+q1) + c²/(1+q2)), E[φ'φ'] = P + N c (1/(1+q1) + 1/(1+q2) + 1/Δ).
    """
    whole = 1.0 + q1 + q2 + d
    root = m.sqrt(whole)
    density = 1.0 / (2.0 * m.pi * root)
    both = 1.0 / (1.0 + q1) + 1.0 / (1.0 + q2)
    orthant = m.atan2(root, -c) / (2.0 * m.pi)  # less the 1/2 of a right angle's complement: π - angle
    return c * orthant + density * (d + c * c * both), orthant + density * c * (both + 1.0 / whole)


def _gelu_steepness(q1, q2, c, d, value, slope, error, size):
    whole = 1 + q1 + q2 + d
    shrunk = 1 / (1 + q1) + 1 / (1 + q2) + 3 / whole
    per_unit = (1 + shrunk + c * c / whole * shrunk) / (2 * np.pi)
    # The angle moves by no more than the root of its cosine's error.
    return per_unit * jnp.minimum(size * error / jnp.sqrt(whole), jnp.sqrt(error))


def sine_averages(m: Any, q1: Any, q2: Any, c: Any, d: Any) -> tuple[Any, Any]:
    """(e^{-δ/2} ∓ e^{-σ/2})/2 with the variances δ of u - v and σ of u + v."""
    even, odd = m.exp(m.at_most_zero(c - 0.5 * (q1 + q2))), m.exp(m.at_most_zero(-c - 0.5 * (q1 + q2)))
    small = m.size(c) < 0.5
    near = m.exp(-0.5 * (q1 + q2)) * m.sinh(m.where(small, c, 0.0))
    return m.where(small, near, 0.5 * (even - odd)), 0.5 * (even + odd)


def _sine_steepness(q1, q2, c, d, value, slope, error, size):
    return jnp.minimum(2 * size * error, 1.0) * jnp.abs(value)


def identity_averages(m: Any, q1: Any, q2: Any, c: Any, d: Any) -> tuple[Any, Any]:
    """C and 1."""
    return c, 0.0 * c + 1.0


def _no_steepness(q1, q2, c, d, value, slope, error, size):
    return 0.0 * c


def leaky_relu(slope: float) -> Dual:
    """The arc-cosine kernels of x₊ + slope·x₋ by the angle θ: s = (1-slope)²/2π, m = (1+slope²)/2.

    E[φφ] = s √(q1 q2) sin θ + (m - s θ) c and E[φ'φ'] = m - s θ; a right angle where an input is zero.
    """
    step, middle = (1 - slope) ** 2 / 2, (1 + slope**2) / 2

    def averages(m: Any, q1: Any, q2: Any, c: Any, d: Any) -> tuple[Any, Any]:
        product = q1 * q2
        known = m.holds(product) > 0
        root = m.root(d, m.sqrt(product)) if m is FLOAT else m.root(d, None)
        angle = m.where(known, m.atan2(root, m.where(known, c, 1.0)), m.pi / 2.0)
        scale = step / m.pi
        factor = middle - scale * angle
        return scale * root + factor * c, factor

    def steepness(q1, q2, c, d, value, slope_average, error, size):
        # √(d / (q1 q2) + error) in the denominator, 0 / 0 for zero inputs left out.
        change = error * size
        return step / np.pi * change * jax.lax.rsqrt(d + change * size + 1e-300)

    return Dual(averages, steepness, step / np.pi)


erf = Dual(erf_averages, _erf_steepness)
gelu = Dual(gelu_averages, _gelu_steepness)
sine = Dual(sine_averages, _sine_steepness)
identity = Dual(identity_averages, _no_steepness)
CLOSED = {"erf": erf, "gelu": gelu, "sine": sine, "identity": identity}
