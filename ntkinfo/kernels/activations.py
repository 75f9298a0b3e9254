"""Activation functions and the layers that carry their infinite-width kernels.

The kernel of a layer is the pair of Gaussian averages E[φ(u)φ(v)] and E[φ'(u)φ'(v)] of two inputs with variances q1, q2
and covariance c (the dual functions, Daniely, Frostig & Singer 2016): closed forms in `duals`, tanh in `tanh_mixture`,
any other function in `numerical_averages`.
"""

from __future__ import annotations

import functools
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
from ntkinfo.kernels import duals, numerical_averages
from ntkinfo.kernels.dense_recursion import LAYER_ERROR, ClosedRectangles, Rectangles
from ntkinfo.kernels.near_pairs import ClosedPairs, DifferencePairs, Pairs
from ntkinfo.kernels.numerical_averages import SeriesRectangles
from ntkinfo.kernels.tanh_mixture import tanh as tanh_dual
from ntkinfo.kernels.tanh_mixture import tanh_differences

ScalarFunction = Callable[[Any], Any]


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

    def apply(self, values: Any) -> Any:
        """φ of an array, element by element."""
        return self.layer()[1]((), values)

    def dense(self) -> tuple[Rectangles, Pairs] | None:
        """What takes rectangles and chosen pairs of inputs through a fully connected layer; None leaves it to stax."""
        return None

    def positions(self) -> Rectangles | None:
        """What takes covariances of positions of images through the function; None leaves it to stax."""
        found = self.dense()
        return found and found[0]

    @property
    def is_homogeneous(self) -> bool:
        """Whether φ(cx) = cφ(x) for every c > 0 (False where that is not known)."""
        return False

    @property
    def is_odd(self) -> bool:
        """Whether φ(−x) = −φ(x) (False where that is not known)."""
        return False


@dataclass(frozen=True)
class ClosedForm(Activation):
    """A function whose kernels have a closed form: erf, gelu, sine or identity."""

    name: str

    def __post_init__(self):
        checks.choice("activation", self.name, _FUNCTIONS)

    @property
    def label(self) -> str:
        """The function's name."""
        return self.name

    def canonical(self) -> dict[str, Any]:
        """The function's name."""
        return {"activation": self.name}

    def layer(self) -> tuple:
        """The layer of neural_tangents with the dual functions of this package, which keep their digits."""
        stax = load_stax()
        if self.name == "identity":
            return stax.Identity()
        return stax.Elementwise(_FUNCTIONS[self.name], *duals.CLOSED[self.name].functions())

    def apply(self, values: Any) -> Any:
        """The function."""
        return _FUNCTIONS[self.name](values)

    def dense(self) -> tuple[Rectangles, Pairs]:
        """By the closed forms."""
        return _closed(duals.CLOSED[self.name])

    @property
    def is_homogeneous(self) -> bool:
        """The identity alone."""
        return self.name == "identity"

    @property
    def is_odd(self) -> bool:
        """All but gelu."""
        return self.name != "gelu"


@dataclass(frozen=True)
class LeakyRelu(Activation):
    """max(x, 0) + slope · min(x, 0); slope 0 is the rectified linear unit, slope -1 the absolute value.

    Kernels: the arc-cosine kernels of degree 1 and 0 (Cho & Saul 2009). In `FullyConnected` networks of any depth they
    keep 1e-12 of √(K(x, x) K(x', x')) at every angle, as near parallel inputs are computed in more digits. In
    convolutions and in stax triples patches closer to parallel than an angle of 1.2e-7 count as parallel, and each
    layer loses about 1e-16 / θ of an NTK entry at an angle θ, at most 2e-8; the losses of the layers add up. Patches
    that are equal, or without biases parallel, lose nothing. `KernelBlocks.kernel_error` bounds it for convolutions.
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

        def leaky_relu(x):
            return self.apply(x)

        return load_stax().Elementwise(leaky_relu, *duals.leaky_relu(self.slope).functions())

    def apply(self, values: Any) -> Any:
        """The function."""
        return jnp.maximum(values, 0) + self.slope * jnp.minimum(values, 0)

    def dense(self) -> tuple[Rectangles, Pairs]:
        """By the closed forms."""
        return _closed(_rectified(self.slope))

    @property
    def is_homogeneous(self) -> bool:
        """Always."""
        return True

    @property
    def is_odd(self) -> bool:
        """With slope 1 alone, the identity."""
        return self.slope == 1


@dataclass(frozen=True)
class Tanh(Activation):
    """The hyperbolic tangent, its kernels as those of a positive mixture of error functions (`tanh_mixture`).

    Good to 1e-13 at every size of the inputs and every angle between them.
    """

    @property
    def label(self) -> str:
        """`tanh`."""
        return "tanh"

    def canonical(self) -> dict[str, Any]:
        """The name."""
        return {"activation": "tanh"}

    def layer(self) -> tuple:
        """A stax layer with the mixture's dual functions."""

        def function(x):
            return jnp.tanh(x)

        return load_stax().Elementwise(function, *tanh_dual.functions())

    def apply(self, values: Any) -> Any:
        """The function."""
        return jnp.tanh(values)

    def dense(self) -> tuple[Rectangles, Pairs]:
        """The Hermite series where its rest is nothing, the mixture elsewhere."""
        return _tanh_dense()

    def positions(self) -> Rectangles:
        """The mixture."""
        return _closed(tanh_dual)[0]

    @property
    def is_odd(self) -> bool:
        """Always."""
        return True


@dataclass(frozen=True)
class NumericalActivation(Activation):
    """Any smooth function, its kernels by its Hermite expansion, whose coefficients are integrated numerically.

    For inputs of correlation ρ, E[φ(u)φ(v)] = Σ_k a_k(√q1) a_k(√q2) ρ^k with a_k(s) = E[φ(sz) h_k(z)], h_k the
    normalised Hermite polynomials (Mehler's formula), and the same with φ' for the NTK. The sum over k < degree is
    symmetric, positive semidefinite and finite for an all-zero input.

    Accuracy in `FullyConnected` networks: pairs of inputs for which the terms left out matter, at most |ρ|^degree times
    the sum of the a_k² left out (`truncation_error`), are integrated numerically instead (1e-3 s each and more), and
    what a coarser rule changes is part of `KernelBlocks.kernel_error`, which the curves' errors carry on. In
    convolutions equal patches get the whole sum and all others what `degree` terms give; what these leave out is in the
    same error. In stax triples it is not: see `truncation_error`. Fails when the function has a kink or a jump, or
    features narrower than about 1: the stated error is then large.

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
            function,
            *(numerical_averages.expansion(f, self.degree) for f in (self.function, self._slope())),
        )

    def apply(self, values: Any) -> Any:
        """The function."""
        return self.function(values)

    def dense(self) -> tuple[Rectangles, Pairs]:
        """The Hermite series where its rest is nothing, quadrature elsewhere."""
        return _numerical_dense(self)

    def positions(self) -> Rectangles:
        """The Hermite series, with what it leaves out as its error."""
        return _numerical_positions(self)

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
                values = np.asarray(function(jnp.asarray(np.sqrt(variance) * numerical_averages.NODES)))
                whole = float(numerical_averages.square_average(function, jnp.asarray(np.sqrt(variance)))[0])
            kept = np.sum((numerical_averages.hermite_table(self.degree) @ values) ** 2)
            errors.append(abs(1 - kept / whole))
        return float(max(errors)) * abs(correlation) ** self.degree


_PROBES = np.linspace(-4.0, 4.0, 33)
_FUNCTIONS: dict[str, ScalarFunction] = {
    "erf": jax.scipy.special.erf,
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "sine": jnp.sin,
    "identity": lambda x: x,
}


def resolve_activation(activation: str | Activation) -> Activation:
    """The activation of that name, or the activation itself.

    Raises:
        ValueError: an unknown name, with the nearest known one.
    """
    if isinstance(activation, Activation):
        return activation
    checks.choice("activation", activation, ACTIVATION_NAMES)
    if activation == "tanh":
        return Tanh()
    if activation in ("relu", "leaky_relu"):
        return LeakyRelu(0.0 if activation == "relu" else 0.01)
    return ClosedForm(activation)


@functools.lru_cache(maxsize=32)
def _closed(dual: duals.Dual) -> tuple[Rectangles, Pairs]:
    return ClosedRectangles(dual), ClosedPairs(dual)


@functools.lru_cache(maxsize=32)
def _rectified(slope: float) -> duals.Dual:
    return duals.leaky_relu(slope)


@functools.cache
def _tanh_dense() -> tuple[Rectangles, Pairs]:
    series = SeriesRectangles(jnp.tanh, _tanh_slope, _TANH_TERMS, parity=1)
    return series, DifferencePairs(tanh_differences, 16 * LAYER_ERROR)


def _tanh_slope(x: Any) -> Any:
    return 1 / jnp.cosh(x) ** 2


@functools.lru_cache(maxsize=32)
def _numerical_dense(activation: NumericalActivation) -> tuple[Rectangles, Pairs]:
    functions = activation.function, activation._slope()
    series = SeriesRectangles(*functions, activation.degree)
    return series, DifferencePairs(numerical_averages.QuadratureDifferences(*functions), 16 * LAYER_ERROR)


@functools.lru_cache(maxsize=32)
def _numerical_positions(activation: NumericalActivation) -> Rectangles:
    return SeriesRectangles(activation.function, activation._slope(), activation.degree, whole=True)


_TANH_TERMS = 128
ACTIVATION_NAMES = ("erf", "gelu", "identity", "leaky_relu", "relu", "sine", "tanh")


def load_stax() -> Any:
    """`neural_tangents.stax`, imported late: it takes two seconds, and describing a network needs none of it."""
    from ntkinfo.kernels.neural_tangents_compat import stax

    return stax
