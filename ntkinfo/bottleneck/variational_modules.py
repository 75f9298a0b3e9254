"""Parts of the variational forms as equinox modules: Gaussian encoders and reverse decoders, and what joins them.

Any module with the same call will do in their place:

- encoder e(z|x): from one input to mean (k,) and standard deviation (k,) of z;
- decoder q(y|z): from z (k,) to logits (C,) for classes, to mean (D,) and standard deviation (D,) for real targets;
- reverse decoder b(z|y): from one target, a one-hot row (C,) or a real row (D,), to mean (k,) and deviation (k,).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntkinfo.core import checks
from ntkinfo.core.arrays import Array, float64
from ntkinfo.core.randomness import random_key

Gaussian = tuple[jax.Array, jax.Array]  # mean and standard deviation of independent coordinates
_LOG_TWO_PI = float(np.log(2 * np.pi))


class GaussianNetwork(eqx.Module):
    """A perceptron whose outputs are mean and standard deviation of a diagonal Gaussian; inputs are flattened.

    Args:
        inputs: numbers in one input.
        outputs: coordinates k of the Gaussian.
        width: of the hidden layers.
        depth: number of hidden layers; 0 is one linear map, which for one-hot inputs is a table.
        seed: of the initial weights.
        floor: smallest standard deviation.
        activation: of the hidden layers.
    """

    network: eqx.nn.MLP
    floor: float = eqx.field(static=True)

    def __init__(
        self,
        inputs: int,
        outputs: int,
        width: int = 128,
        depth: int = 2,
        *,
        seed: int = 0,
        floor: float = 1e-3,
        activation: Callable = jax.nn.relu,
    ):
        for name, value in (("inputs", inputs), ("outputs", outputs), ("width", width)):
            checks.whole(name, value)
        checks.non_negative("floor", floor)
        with float64():
            key = random_key(seed)
            self.network = eqx.nn.MLP(inputs, 2 * outputs, width, depth, activation=activation, key=key)
        self.floor = floor

    def __call__(self, row: Array) -> Gaussian:
        """Mean and standard deviation, (k,) each; the deviation is about 0.7 at the start."""
        mean, raw = jnp.split(self.network(jnp.ravel(row)), 2)
        return mean, self.floor + jax.nn.softplus(raw)


class LinearGaussian(eqx.Module):
    """A linear map with constant noise: mean W u + c and one standard deviation for each coordinate.

    Args:
        inputs: numbers in one input.
        outputs: coordinates of the Gaussian.
        seed: of the initial weights, normal with variance 1 / inputs.
    """

    weight: jax.Array
    bias: jax.Array
    log_std: jax.Array

    def __init__(self, inputs: int, outputs: int, *, seed: int = 0):
        for name, value in (("inputs", inputs), ("outputs", outputs)):
            checks.whole(name, value)
        with float64():
            self.weight = jax.random.normal(random_key(seed), (outputs, inputs)) / np.sqrt(inputs)
            self.bias, self.log_std = jnp.zeros(outputs), jnp.zeros(outputs)

    def __call__(self, row: Array) -> Gaussian:
        """Mean and standard deviation."""
        return self.weight @ jnp.ravel(row) + self.bias, jnp.exp(self.log_std)


class Marginal(eqx.Module):
    """A reverse decoder that does not look at the target: one diagonal Gaussian r(z), learned; N(0, I) at the start.

    Args:
        outputs: coordinates k of z.
    """

    mean: jax.Array
    log_std: jax.Array

    def __init__(self, outputs: int):
        checks.whole("outputs", outputs)
        with float64():
            self.mean, self.log_std = jnp.zeros(outputs), jnp.zeros(outputs)

    def __call__(self, row: Array) -> Gaussian:
        """Mean and standard deviation, whatever the target."""
        return self.mean, jnp.exp(self.log_std)


class VariationalModel(eqx.Module):
    """Encoder e(z|x), decoder q(y|z) and reverse decoder b(z|y); anything that is called as the module's text says."""

    encoder: Any
    decoder: Any
    reverse: Any

    @property
    def ignores_target(self) -> bool:
        """Whether b(z|y) is one r(z) for all targets."""
        return isinstance(self.reverse, Marginal)


def log_density(z: jax.Array, law: Gaussian) -> jax.Array:
    """Log N(z; mean, std²) of independent coordinates, summed over the last axis."""
    mean, std = law
    return -jnp.sum(0.5 * ((z - mean) / std) ** 2 + jnp.log(std) + 0.5 * _LOG_TWO_PI, axis=-1)


def relative_entropy(left: Gaussian, right: Gaussian) -> jax.Array:
    """KL of one diagonal Gaussian from another, in nats, summed over the last axis."""
    (mean, std), (other, scale) = left, right
    ratio = (std / scale) ** 2
    return jnp.sum(0.5 * (ratio - 1 - jnp.log(ratio) + ((mean - other) / scale) ** 2), axis=-1)


def cast(model: Any, precision: str) -> Any:
    """The model with every array of real numbers in a precision; to be called where that precision is allowed."""
    return jax.tree.map(lambda leaf: leaf.astype(precision) if eqx.is_inexact_array(leaf) else leaf, model)
