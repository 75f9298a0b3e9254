"""Frozen descriptions of infinitely wide networks: which layers, which deviations, one stable fingerprint.

Every network is in the NTK parameterisation: weights and biases start as standard normal numbers, and a layer with
fan-in N is z = w_std / √N · W x + b_std · b (Jacot, Gabriel & Hongler 2018).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ntkinfo.core import checks
from ntkinfo.core.arrays import Array, float64
from ntkinfo.kernels.activations import Activation, LeakyRelu, NumericalActivation, load_stax, resolve_activation
from ntkinfo.kernels.convolutional import Convolutional, WideResidual
from ntkinfo.kernels.network import Network, canonical_common, check_common, check_sizes, deviations

__all__ = [
    "Activation",
    "Convolutional",
    "FullyConnected",
    "LeakyRelu",
    "Network",
    "NumericalActivation",
    "StaxNetwork",
    "WideResidual",
]


@dataclass(frozen=True)
class FullyConnected(Network):
    """`depth` hidden layers with one activation and a linear readout; images are flattened.

    Args:
        depth: number of hidden layers; 0 is the linear model.
        activation: a name (erf, gelu, identity, leaky_relu, relu, sine, tanh) or an `Activation`.
        w_std: deviation of the weights of every layer, above 0.
        b_std: deviation of the biases of every layer, 0 for none.

    Raises:
        ValueError: a depth or deviation out of range, an unknown activation.
    """

    depth: int = 3
    activation: str | Activation = "erf"
    w_std: float = 1.5
    b_std: float = 0.1

    def __post_init__(self):
        checks.whole("depth", self.depth, least=0)
        check_common(self)

    def layers(self, width: int = 512, outputs: int = 1) -> tuple:
        """Dense layers of `width` units and a dense readout."""
        check_sizes(width, outputs)
        stax, activation = load_stax(), resolve_activation(self.activation)
        stack = [stax.Flatten()]
        for _ in range(self.depth):
            stack += [stax.Dense(width, **deviations(self)), activation.layer()]
        return stax.serial(*stack, stax.Dense(outputs, **deviations(self)))

    def describe(self) -> str:
        """One readable line."""
        hidden = f"{self.depth} hidden {resolve_activation(self.activation).label} layers" if self.depth else "linear"
        return f"fully connected, {hidden}, w_std {self.w_std:g}, b_std {self.b_std:g}"

    def canonical(self) -> dict[str, Any]:
        """Family, depth, activation and deviations."""
        return {"network": "fully_connected", "depth": int(self.depth), **canonical_common(self)}

    def prepare(self, inputs: Array, name: str = "inputs") -> np.ndarray:
        """Every input as one row."""
        array = np.asarray(inputs, dtype=np.float64)
        if array.ndim < 2:
            raise ValueError(
                f"{name} has shape {array.shape}; inputs are (n, features) or (n, height, width, channels)"
            )
        return array.reshape(len(array), -1)


@dataclass(frozen=True)
class StaxNetwork(Network):
    """Any network given as a stax triple, as `neural_tangents.stax.serial` returns it.

    Kernels are those of `kernel_fn`. With `stax.Relu` and its relatives the NTK of an input with itself then keeps only
    half of the digits (2e-8 relative): take `ntkinfo`'s activations' `.layer()` in the triple where that matters. A
    mask is an argument of the triple's functions, `mask_constant`, which is not passed: give functions that bind it.

    Args:
        init_fn: makes the parameters of a finite network.
        apply_fn: evaluates a finite network.
        kernel_fn: the infinite-width kernels.
        name: what to call the network; part of the fingerprint.
        input_shape: shape of one input, without the batch axis.

    Raises:
        TypeError: one of the three is not a function.
        ValueError: an empty input shape; a triple with dropout, whose outputs are random beyond its parameters.
    """

    init_fn: Callable
    apply_fn: Callable
    kernel_fn: Callable
    name: str
    input_shape: tuple[int, ...]

    def __post_init__(self):
        for key in ("init_fn", "apply_fn", "kernel_fn"):
            if not callable(getattr(self, key)):
                raise TypeError(f"{key} is {getattr(self, key)!r}; it must be a function, as stax.serial returns it")
        if getattr(self.kernel_fn, "input_req", {}).get("use_dropout", False):
            raise ValueError(
                f"{self.name} holds dropout, so that its outputs are random even for given parameters, and the law of "
                "an ensemble does not describe them; leave the dropout layers out"
            )
        shape = tuple(self.input_shape)
        if not shape:
            raise ValueError("input_shape is (); give the shape of one input, such as (784,) or (28, 28, 1)")
        for size in shape:
            checks.whole("input_shape", size)
        object.__setattr__(self, "input_shape", shape)

    def layers(self, width: int | None = None, outputs: int | None = None) -> tuple:
        """The triple itself; its width and outputs are those with which it was built."""
        if width is not None or outputs is not None:
            raise ValueError(
                f"{self.name} has the width and the outputs with which its triple was built; call layers() without them"
            )
        return self.init_fn, self.apply_fn, self.kernel_fn

    def describe(self) -> str:
        """The name and the input shape."""
        return f"{self.name} (stax triple, inputs of shape {self.input_shape})"

    def canonical(self) -> dict[str, Any]:
        """Name, input shape, and the kernels on fixed inputs to nine significant digits."""
        size = int(np.prod(self.input_shape))
        probes = np.sin(np.outer(np.arange(1, 7), np.arange(1, size + 1)) + np.arange(6)[:, None])
        probes = probes.reshape(6, *self.input_shape)
        with float64():
            values = self.kernel_fn(probes[:3], probes[3:], ("nngp", "ntk"))
        text = [f"{value:.8e}" for kernel in values for value in np.asarray(kernel).ravel()]
        return {"network": "stax", "name": self.name, "input_shape": list(self.input_shape), "values": text}

    def prepare(self, inputs: Array, name: str = "inputs") -> np.ndarray:
        """The inputs, checked against the input shape."""
        array = np.asarray(inputs, dtype=np.float64)
        checks.shape(name, array, (None, *self.input_shape), f"inputs of {self.name}")
        return array

    @property
    def kernel_notes(self) -> tuple[str, ...]:
        """Where the digits of a triple's kernels end."""
        return (
            f"kernels of {self.name} as its kernel_fn gives them: with stax.Relu the NTK of equal inputs has 8 digits",
        )
