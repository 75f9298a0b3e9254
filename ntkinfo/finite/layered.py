"""Plain multilayer networks with the activations of every layer at hand, as in studies of the information plane."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array

TWELVE_BIT_SIZES = (12, 10, 7, 5, 4, 3, 2)
"""Inputs, five hidden layers and outputs of the network of Shwartz-Ziv & Tishby 2017."""

ACTIVATIONS = {"tanh": jnp.tanh, "relu": jax.nn.relu, "linear": lambda values: values}
STARTS = ("truncated normal", "glorot")
LOSSES = ("cross entropy", "squared")
# A draw beyond this many deviations is drawn again ("truncated normal").
_TRUNCATION = 2.0

Parameters = tuple[tuple[Array, Array], ...]
"""Weights (fan_in, fan_out) and biases (fan_out,) of each layer, first to last."""


@checked
@dataclass(frozen=True)
class LayeredNetwork:
    """Dense layers, one activation function for all the hidden ones, a class for each output.

    The last layer's activations are the softmax of its sums ("cross entropy"), or the sums themselves ("squared").

    Args:
        sizes: inputs, hidden layers, outputs (one for each class, at least two).
        activation: "tanh", "relu" or "linear", of the hidden layers.
        start: law of the weights; biases start at 0. "truncated normal": standard deviation 1/√fan_in before it is
            cut off at two of them (0.88 of that after), as the published program does; "glorot": uniform on
            ±√(6/(fan_in + fan_out)).
        loss: "cross entropy" in nats or "squared", ½ |f − e_y|² with e_y the class's unit vector; averaged over inputs.

    Raises:
        ValueError: fewer than two layers of numbers, fewer than two outputs, unknown names.
    """

    sizes: tuple[int, ...] = TWELVE_BIT_SIZES
    activation: str = "tanh"
    start: str = "truncated normal"
    loss: str = "cross entropy"

    def __post_init__(self):
        if len(self.sizes) < 2:
            raise ValueError(f"sizes is {self.sizes}; name at least the number of inputs and of outputs")
        for size in self.sizes:
            checks.whole("each of sizes", size)
        if self.sizes[-1] < 2:
            raise ValueError(f"sizes ends with {self.sizes[-1]}; there is one output for each class, so at least 2")
        checks.choice("activation", self.activation, ACTIVATIONS)
        checks.choice("start", self.start, STARTS)
        checks.choice("loss", self.loss, LOSSES)

    @property
    def n_layers(self) -> int:
        """The number of layers L, hidden ones and the output."""
        return len(self.sizes) - 1

    @property
    def n_parameters(self) -> int:
        """Weights and biases."""
        return sum((before + 1) * after for before, after in zip(self.sizes, self.sizes[1:], strict=False))

    def initialise(self, key: Array) -> Parameters:
        """Draw the parameters, in jax's current default precision."""
        layers = []
        for index, (before, after) in enumerate(zip(self.sizes, self.sizes[1:], strict=False)):
            layers.append((self._weights(jax.random.fold_in(key, index), before, after), jnp.zeros(after)))
        return tuple(layers)

    def _weights(self, key: Array, before: int, after: int) -> Array:
        if self.start == "glorot":
            reach = math.sqrt(6 / (before + after))
            return jax.random.uniform(key, (before, after), minval=-reach, maxval=reach)
        return jax.random.truncated_normal(key, -_TRUNCATION, _TRUNCATION, (before, after)) / math.sqrt(before)

    def layers(self, parameters: Parameters, inputs: Float[Array, "n d"]) -> tuple[Array, ...]:
        """Activations of the hidden layers, (n, width) each, then the sums of the output layer (n, C)."""
        act, found = ACTIVATIONS[self.activation], []
        values = jnp.asarray(inputs)
        for index, (weights, bias) in enumerate(parameters):
            values = values @ weights + bias[None, :]
            if index < len(parameters) - 1:
                values = act(values)
            found.append(values)
        return tuple(found)

    def activations(self, parameters: Parameters, inputs: Float[Array, "n d"]) -> tuple[Array, ...]:
        """Activations of every layer on all the inputs, (n, width) each; those of the last see the class."""
        found = self.layers(parameters, inputs)
        last = jax.nn.softmax(found[-1], axis=1) if self.loss == "cross entropy" else found[-1]
        return (*found[:-1], last)

    def outputs(self, parameters: Parameters, inputs: Float[Array, "n d"]) -> Array:
        """Sums of the output layer (n, C): what goes into the softmax."""
        return self.layers(parameters, inputs)[-1]

    def losses(self, parameters: Parameters, inputs: Float[Array, "n d"], labels: Int[Array, " n"]) -> Array:
        """Loss of each input, (n,)."""
        outputs = self.outputs(parameters, inputs)
        chosen = labels[:, None] == jnp.arange(outputs.shape[1])[None, :]
        if self.loss == "cross entropy":
            return -jnp.sum(jnp.where(chosen, jax.nn.log_softmax(outputs, axis=1), 0.0), axis=1)
        return 0.5 * jnp.sum((outputs - chosen.astype(outputs.dtype)) ** 2, axis=1)

    def mean_loss(self, parameters: Parameters, inputs: Float[Array, "n d"], labels: Int[Array, " n"]) -> Array:
        """Loss averaged over the inputs."""
        return jnp.mean(self.losses(parameters, inputs, labels))

    def error(self, parameters: Parameters, inputs: Float[Array, "n d"], labels: Int[Array, " n"]) -> Array:
        """Share of the inputs whose largest output is not that of their class (the first of several largest counts)."""
        return jnp.mean(jnp.argmax(self.outputs(parameters, inputs), axis=1) != labels)

    def check_data(self, inputs: np.ndarray, labels: np.ndarray) -> None:
        """Raise ValueError or TypeError unless inputs (n, d) and labels (n,) fit this network."""
        checks.shape("inputs", inputs, (None, self.sizes[0]), "one row for each input, as wide as the first of sizes")
        checks.finite("inputs", inputs)
        checks.shape("labels", labels, (len(inputs),), "one class for each input")
        if not np.issubdtype(labels.dtype, np.integer):
            raise TypeError(f"labels holds {labels.dtype}; labels are integers from 0")
        if len(labels) == 0 or labels.min() < 0 or labels.max() >= self.sizes[-1]:
            raise ValueError(f"labels must be integers from 0 to {self.sizes[-1] - 1}, at least one of them")


def layer_gradients(
    network: LayeredNetwork, parameters: Parameters, inputs: Float[Array, "n d"], labels: Int[Array, " n"]
) -> tuple[Array, ...]:
    """Gradient of the mean loss with respect to each layer's weights and biases together, one row (P_l,) a layer."""
    return flat_layers(jax.grad(network.mean_loss)(parameters, inputs, labels))


def flat_layers(parameters: Any) -> tuple[Array, ...]:
    """Weights and biases of each layer in one row."""
    return tuple(jnp.concatenate([jnp.ravel(weights), bias]) for weights, bias in parameters)
