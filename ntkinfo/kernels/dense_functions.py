"""Fully connected networks of finite width: the same parameters, draw by draw, and outputs as stax's layers give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def dense_functions(
    activation: Callable[[Any], Any], widths: tuple[int, ...], w_std: float, b_std: float | None
) -> tuple[Callable, Callable]:
    """(init_fn, apply_fn) of a network that flattens its inputs, in the NTK parameterisation.

    Parameters are a list with one entry for each of stax's layers, (weights, biases) where a layer has them.

    Args:
        activation: between the layers, elementwise.
        widths: outputs of each layer.
        w_std: deviation of the weights.
        b_std: deviation of the biases; None for no biases.
    """

    def init_fn(key: Any, input_shape: tuple[int, ...]) -> tuple[tuple[int, ...], list]:
        fan_in, parameters = 1, []
        for size in input_shape[1:]:
            fan_in *= size
        for number in range(2 * len(widths)):
            key, own = jax.random.split(key)
            if number % 2 == 0:  # the flattening, then the activations
                parameters.append(())
                continue
            first, second = jax.random.split(own)
            width = widths[number // 2]
            bias = None if b_std is None else jax.random.normal(second, (1, width))
            parameters.append((jax.random.normal(first, (fan_in, width)), bias))
            fan_in = width
        return (input_shape[0], fan_in), parameters

    def apply_fn(parameters: Any, inputs: Any, **_: Any) -> Any:
        outputs = jnp.reshape(inputs, (len(inputs), -1))
        for number, (weights, bias) in enumerate(parameters[1::2]):
            if number:
                outputs = activation(outputs)
            outputs = (w_std / outputs.shape[1] ** 0.5) * (outputs @ weights)
            if bias is not None:
                outputs = outputs + b_std * bias
        return outputs

    return init_fn, apply_fn
