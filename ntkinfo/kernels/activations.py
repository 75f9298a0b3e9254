"""Activation functions and the layers that carry their infinite-width kernels.

The kernel of a layer is the pair of Gaussian averages E[φ(u)φ(v)] and E[φ'(u)φ'(v)] of two inputs with variances q1, q2
and covariance c (the dual functions, Daniely, Frostig & Singer 2016). Closed forms come from `neural_tangents.stax`
where they keep their digits; the rectified linear family and numerical integration are evaluated here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkinfo.core import checks
from ntkinfo.core.arrays import float64

# Below this relative size of q1 q2 - c² two inputs are taken as parallel: rounding of q1, q2 and c leaves errors of a
# few 1e-16 there, which the square root inside the angle would turn into 1e-8.
PARALLEL = 2.0**-46

ScalarFunction = Callable[[Any], Any]
DualFunction = Callable[[Any, Any, Any], Any]


class Activation(ABC):
    """An activation function φ with its finite-width and infinite-width layer."""

    @property
    @abstractmethod
    def label(self) -> str:
        """The name by which figures and files call it."""

    @abstractmethod
    def canonical(self) -> dict[str, Any]:
        """Plain strings and numbers that tell this function from every other one; enters the network's fingerprint."""

    @abstractmethod
    def layer(self) -> tuple:
        """The stax triple (init_fn, apply_fn, kernel_fn)."""


@dataclass(frozen=True)
class ClosedForm(Activation):
    """A function whose kernels neural_tangents knows in closed form: erf, gelu, sine or identity."""

    name: str

    def __post_init__(self):
        checks.choice("activation", self.name, _STAX_NAMES)

    @property
    def label(self) -> str:
        """The function's name."""
        return self.name

    def canonical(self) -> dict[str, Any]:
        """The function's name."""
        return {"activation": self.name}

    def layer(self) -> tuple:
        """The layer of neural_tangents."""
        return getattr(load_stax(), _STAX_NAMES[self.name])()


@dataclass(frozen=True)
class LeakyRelu(Activation):
    """max(x, 0) + slope · min(x, 0); slope 0 is the rectified linear unit, slope -1 the absolute value.

    Kernels: the arc-cosine kernels of degree 1 and 0 (Cho & Saul 2009), evaluated so that they keep all their digits
    where the two inputs are equal: inputs closer to parallel than an angle of 1.2e-7 count as parallel. An NTK entry of
    distinct inputs at an angle θ carries an absolute error of about 1e-16 / θ, at most 2e-8, relative to its size.
    """

    slope: float = 0.01

    def __post_init__(self):
        checks.finite_number("slope", self.slope)
        object.__setattr__(self, "slope", float(self.slope))

    @property
    def label(self) -> str:
        """`relu`, or `leaky relu` with its slope."""
        return "relu" if self.slope == 0 else f"leaky relu (slope {self.slope:g})"

    def canonical(self) -> dict[str, Any]:
        """The slope."""
        return {"activation": "leaky_relu", "slope": self.slope}

    def layer(self) -> tuple:
        """A stax layer with the dual functions of this module."""
        slope = self.slope

        def leaky_relu(x):
            return jnp.maximum(x, 0) + slope * jnp.minimum(x, 0)

        return load_stax().Elementwise(leaky_relu, *_leaky_relu_duals(slope))


@dataclass(frozen=True)
class NumericalActivation(Activation):
    """Any smooth function, its kernels by its Hermite expansion, whose coefficients are integrated numerically.

    For inputs of correlation ρ, E[φ(u)φ(v)] = Σ_k a_k(√q1) a_k(√q2) ρ^k with a_k(s) = E[φ(sz) h_k(z)], h_k the
    normalised Hermite polynomials (Mehler's formula), and the same with φ' for the NTK. The sum over k < degree is
    symmetric, positive semidefinite and finite for an all-zero input.

    Accuracy: equal inputs get the whole sum (a one-dimensional integral, exact to rounding); at a correlation ρ the
    terms left out are at most |ρ|^degree times the sum of the a_k² left out, which `truncation_error` gives. For tanh
    with the default degree that sum is 5e-13 of the whole at a pre-activation variance of 1, 3e-7 at 3 and 7e-4 at 10,
    to be multiplied by 1e-6 at ρ = 0.9. Fails when the function has a kink or a jump: the error then falls only as a
    power of 1 / degree.

    Args:
        name: what to call the function; part of the fingerprint.
        function: maps an array of any shape to the same shape, element by element, written with jax.numpy.
        derivative: its derivative, by the same rules; None takes it from jax.grad.
        degree: number of terms in the expansion, 1 to 1000.

    Raises:
        ValueError: the function is not elementwise or not finite on [-4, 4], or the degree is out of range.
    """

    name: str
    function: ScalarFunction
    derivative: ScalarFunction | None = None
    degree: int = 128

    def __post_init__(self):
        checks.whole("degree", self.degree)
        if self.degree > 1000:
            raise ValueError(
                f"degree is {self.degree}; it must be at most 1000, beyond which the integrals lose digits"
            )
        if not callable(self.function):
            raise TypeError(f"function is {self.function!r}; it must be a function of an array, such as jax.numpy.tanh")
        for key, values in (("function", self._probes[0]), ("derivative", self._probes[1])):
            if values.shape != _PROBES.shape or not np.all(np.isfinite(values)):
                raise ValueError(
                    f"the {key} of activation {self.name!r} must give one finite number for each number in [-4, 4]; "
                    f"from shape {_PROBES.shape} it gave shape {values.shape}"
                    + ("" if np.all(np.isfinite(values)) else " with NaN or infinite values")
                )

    @cached_property
    def _probes(self) -> tuple[np.ndarray, np.ndarray]:
        with float64():
            points = jnp.asarray(_PROBES)
            return np.asarray(self.function(points)), np.asarray(self._slope()(points))

    def _slope(self) -> ScalarFunction:
        if self.derivative is not None:
            return self.derivative
        return jnp.vectorize(jax.grad(lambda x: jnp.sum(self.function(x))))

    @property
    def label(self) -> str:
        """The name with the number of terms."""
        return f"{self.name} ({self.degree} Hermite terms)"

    def canonical(self) -> dict[str, Any]:
        """Name, degree, and the values of the function and its derivative on 33 points, to nine decimals."""
        values = [[f"{v:.9f}" for v in np.round(row, 9) + 0.0] for row in self._probes]
        return {"activation": "numerical", "name": self.name, "degree": self.degree, "values": values}

    def layer(self) -> tuple:
        """A stax layer with both averages by expansion."""

        def function(x):
            return self.function(x)

        return load_stax().Elementwise(
            function, _expansion(self.function, self.degree), _expansion(self._slope(), self.degree)
        )

    def truncation_error(self, variance: float, correlation: float = 1.0) -> float:
        """A bound on the relative error of E[φφ] and E[φ'φ'] of two inputs of one pre-activation variance.

        Args:
            variance: of the two pre-activations.
            correlation: of the two, below 1 (the limit 1 bounds all of them; equal inputs themselves have no such
                error).

        Returns:
            |ρ|^degree · (1 - Σ_{k<degree} a_k² / E[φ²]), the larger one of the two averages.
        """
        checks.positive("variance", variance)
        errors = []
        for function in (self.function, self._slope()):
            with float64():
                values = np.asarray(function(jnp.asarray(np.sqrt(variance) * _NODES)))
            kept = np.sum((_hermite_table(self.degree) @ values) ** 2)
            errors.append(abs(1 - kept / np.sum(_WEIGHTS * values**2)))
        return float(max(errors)) * abs(correlation) ** self.degree


# The trapezoidal rule with Gaussian weights, exact to rounding for functions analytic around the real line whose
# features are wider than a few of its steps. Past 16, h_k times the square root of the weight is below 1e-27 for every
# degree.
_NODES = np.linspace(-16.0, 16.0, 2049)
_WEIGHTS = np.exp(-(_NODES**2) / 2) / np.sum(np.exp(-(_NODES**2) / 2))

_PROBES = np.linspace(-4.0, 4.0, 33)
_STAX_NAMES = {"erf": "Erf", "gelu": "Gelu", "sine": "Sin", "identity": "Identity"}


def resolve_activation(activation: str | Activation) -> Activation:
    """The activation of that name, or the activation itself.

    Raises:
        ValueError: an unknown name, with the nearest known one.
    """
    if isinstance(activation, Activation):
        return activation
    checks.choice("activation", activation, ACTIVATION_NAMES)
    if activation == "tanh":
        return NumericalActivation("tanh", jnp.tanh, lambda x: 1 - jnp.tanh(x) ** 2)
    if activation in ("relu", "leaky_relu"):
        return LeakyRelu(0.0 if activation == "relu" else 0.01)
    return ClosedForm(activation)


ACTIVATION_NAMES = ("erf", "gelu", "identity", "leaky_relu", "relu", "sine", "tanh")


def load_stax() -> Any:
    """`neural_tangents.stax`, imported late: it takes two seconds, and describing a network needs none of it."""
    from ntkinfo.kernels.neural_tangents_compat import stax

    return stax


def _leaky_relu_duals(slope: float) -> tuple[DualFunction, DualFunction]:
    """E[φφ] and E[φ'φ'] of x₊ + slope·x₋ by the angle θ: s = (1-slope)²/2π, m = (1+slope²)/2.

    E[φφ] = s √(q1 q2) sin θ + (m - s θ) c and E[φ'φ'] = m - s θ.
    """
    scale, middle = (1 - slope) ** 2 / (2 * np.pi), (1 + slope**2) / 2

    def nngp(covariance, variance1, variance2):
        sine, angle = _angle(covariance, variance1, variance2)
        return scale * sine + (middle - scale * angle) * covariance

    def ntk_factor(covariance, variance1, variance2):
        return middle - scale * _angle(covariance, variance1, variance2)[1]

    return nngp, ntk_factor


def _angle(covariance, variance1, variance2):
    """√(q1 q2) sin θ and θ; a right angle where an input is zero, 0 or π where the two are parallel within rounding."""
    product = jnp.sqrt(variance1 * variance2)
    squared = (product - covariance) * (product + covariance)
    distinct = squared > PARALLEL * product**2
    sine = jnp.where(distinct, jnp.sqrt(jnp.where(distinct, squared, 1.0)), 0.0)
    angle = jnp.arctan2(sine, jnp.where(product > 0, covariance, 1.0))
    return sine, jnp.where(product > 0, angle, jnp.pi / 2)


def _hermite_table(degree: int) -> np.ndarray:
    """w_i h_k(z_i), (degree, nodes): a row dotted with values at the nodes is a Hermite coefficient."""
    rows = [np.ones_like(_NODES), _NODES]
    for k in range(1, degree):
        rows.append((_NODES * rows[k] - np.sqrt(k) * rows[k - 1]) / np.sqrt(k + 1))
    return np.stack(rows[:degree]) * _WEIGHTS


def _expansion(function: ScalarFunction, degree: int) -> DualFunction:
    """E[f(u) f(v)] as a power series in the correlation, one term after the other to bound the memory.

    The rest of the series counts for parallel inputs alone: there it is the product of the two norms left out.
    """
    table = _hermite_table(degree)

    def coefficients(std):
        values = function(std * jnp.asarray(_NODES))
        kept = jnp.asarray(table) @ values
        rest = jnp.sum(jnp.asarray(_WEIGHTS) * values**2) - jnp.sum(kept**2)
        return kept, jnp.sqrt(jnp.maximum(rest, 0.0))

    def average(covariance, variance1, variance2):
        std1, std2 = jnp.sqrt(variance1), jnp.sqrt(variance2)
        positive = std1 * std2 > 0
        correlation = jnp.where(positive, covariance, 0.0) / jnp.where(positive, std1 * std2, 1.0)
        correlation = jnp.clip(correlation, -1.0, 1.0)
        (first, rest1), (second, rest2) = coefficients(std1), coefficients(std2)

        def term(k, state):
            total, power = state
            return total + first[k] * second[k] * power, power * correlation

        start = jnp.zeros_like(correlation), jnp.ones_like(correlation)
        series = jax.lax.fori_loop(0, degree, term, start)[0]
        return series + jnp.where(1 - correlation < PARALLEL, rest1 * rest2, 0.0)

    return average
