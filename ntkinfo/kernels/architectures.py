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
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array
from ntkinfo.kernels.activations import Activation, LeakyRelu, NumericalActivation, load_stax, resolve_activation
from ntkinfo.kernels.convolutional import Convolutional, WideResidual
from ntkinfo.kernels.dense_functions import dense_functions
from ntkinfo.kernels.network import DenseLayers, Network, canonical_common, check_common, check_sizes, deviations
from ntkinfo.kernels.rays import independent
from ntkinfo.kernels.stax_network import StaxNetwork

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


@checked
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

    def functions(self, width: int = 512, outputs: int = 1) -> tuple[Callable, Callable]:
        """The same as in `layers`, without neural_tangents."""
        check_sizes(width, outputs)
        widths = (width,) * self.depth + (outputs,)
        biases = float(self.b_std) if self.b_std else None
        return dense_functions(resolve_activation(self.activation).apply, widths, float(self.w_std), biases)

    def dense(self) -> DenseLayers | None:
        """The layers, unless the activation is one of the user's own that has a stax layer alone."""
        found = resolve_activation(self.activation).dense()
        return found and DenseLayers(*found, (float(self.w_std), float(self.b_std)), int(self.depth))

    def rank_bound(self, inputs: np.ndarray) -> int:
        """Linear networks by their features; without biases, multiples of an input to homogeneous or odd networks."""
        activation, linear = resolve_activation(self.activation), self.depth == 0
        homogeneous, odd = linear or activation.is_homogeneous, linear or activation.is_odd
        if homogeneous and odd:
            # Every layer is linear: a kernel of the features and, with biases, of a constant.
            return min(len(inputs), inputs.shape[1] + (self.b_std > 0))
        if self.b_std > 0 or not (homogeneous or odd):
            return len(inputs)
        return independent(inputs, homogeneous, odd)

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
