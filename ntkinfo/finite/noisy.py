"""Networks with Gaussian noise at every hidden layer, in training and in evaluation: T = activation(W T' + b) + βZ.

The noise is part of the network. So I(X;T) is finite and changes with training, and sample propagation estimates it
(`ntkinfo.finite.sample_propagation`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float, Int

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array, float64, to_numpy
from ntkinfo.core.progress import Track, bar
from ntkinfo.core.randomness import random_key
from ntkinfo.finite.sample_propagation import (
    LayerInformation,
    PropagationSettings,
    first_layer_information,
    sample_propagation,
)
from ntkinfo.finite.trainer import Key, TrainerSettings, Training, train_members

ACTIVATIONS: dict[str, Callable] = {"tanh": jnp.tanh, "relu": jax.nn.relu, "linear": lambda values: values}


@checked
@dataclass(frozen=True)
class NoisyNetwork:
    """A fully connected network with noise behind every hidden layer; its output are logits without noise.

    Args:
        sizes: units from the inputs to the classes, one hidden layer at least.
        activation: "tanh", "relu" or "linear", of the hidden layers.
        noise_std: β, the standard deviation of the noise on each hidden unit; 0 for a network without noise.
        w_std: initial weights are normal with this deviation over the root of the fan-in; biases start at 0.

    Raises:
        TypeError, ValueError: sizes or numbers out of range, an unknown activation.
    """

    sizes: tuple[int, ...]
    activation: str = "tanh"
    noise_std: float = 0.1
    w_std: float = 1.0

    def __post_init__(self):
        if len(self.sizes) < 3:
            raise ValueError(f"sizes is {self.sizes}; give inputs, at least one hidden layer, and classes")
        for size in self.sizes:
            checks.whole("a size", size)
        checks.choice("activation", self.activation, ACTIVATIONS)
        checks.non_negative("noise_std", self.noise_std)
        checks.positive("w_std", self.w_std)

    @property
    def hidden(self) -> int:
        """The number of hidden layers."""
        return len(self.sizes) - 2

    def initialise(self, key: Key) -> list[tuple[Array, Array]]:
        """Weights (fan-in, fan-out) and biases of each layer."""
        keys = jax.random.split(key, len(self.sizes) - 1)
        return [
            (self.w_std / np.sqrt(before) * jax.random.normal(keys[k], (before, after)), jnp.zeros(after))
            for k, (before, after) in enumerate(zip(self.sizes[:-1], self.sizes[1:], strict=True))
        ]

    def forward(self, params: Any, inputs: Array, key: Key | None) -> tuple[list[Array], Array]:
        """Each hidden layer's activations before its own noise, and the logits; without any noise where key is None."""
        activate, values, seen = ACTIVATIONS[self.activation], jnp.asarray(inputs), []
        for layer, (weights, biases) in enumerate(params[:-1]):
            values = activate(values @ weights + biases)
            seen.append(values)
            if key is not None and self.noise_std > 0:
                noise = jax.random.normal(jax.random.fold_in(key, layer), values.shape, values.dtype)
                values = values + self.noise_std * noise
        weights, biases = params[-1]
        return seen, values @ weights + biases

    def activations(self, params: Any, inputs: Array) -> list[np.ndarray]:
        """Activations of every hidden layer with all noise off, (n, d) each, in float64."""
        with float64():
            return [np.asarray(layer) for layer in self._quiet(_doubled(params), np.asarray(inputs, dtype=np.float64))]

    def passes(self, params: Any, inputs: Array, count: int, seed: int) -> list[np.ndarray]:
        """Activations of every hidden layer before its own noise, in independent noisy passes, (n, count, d) each."""
        with float64():
            keys = jax.random.split(random_key(seed), count)
            found = self._noisy(_doubled(params), np.asarray(inputs, dtype=np.float64), keys)
            return [np.swapaxes(np.asarray(layer), 0, 1) for layer in found]

    @cached_property
    def _quiet(self) -> Callable:
        return jax.jit(lambda params, inputs: self.forward(params, inputs, None)[0])

    @cached_property
    def _noisy(self) -> Callable:
        return jax.jit(jax.vmap(lambda params, inputs, key: self.forward(params, inputs, key)[0], (None, None, 0)))


@dataclass(frozen=True)
class NoisyRun:
    """Networks trained with noise, recorded at chosen steps.

    Args:
        network: what was trained.
        steps: (T,), steps before each record.
        parameters: as `NoisyNetwork.initialise`, arrays (T, M, ...).
        loss: cross-entropy of each member on all training inputs with fresh noise, in nats, (T, M).
        error: share of the training inputs that a noisy pass gets wrong, (T, M).
        test_error: the same of the test inputs, (T, M), or None.
        notes: what to know about the run.
    """

    network: NoisyNetwork
    steps: Int[np.ndarray, " t"]
    parameters: Any
    loss: Float[np.ndarray, "t m"]
    error: Float[np.ndarray, "t m"]
    test_error: Float[np.ndarray, "t m"] | None
    notes: tuple[str, ...] = ()

    @property
    def members(self) -> int:
        """The number of members M."""
        return self.loss.shape[1]

    def at(self, time: int, member: int) -> Any:
        """The parameters of one member at one record."""
        return jax.tree.map(lambda array: array[time, member], self.parameters)


@checked
@dataclass(frozen=True)
class NoisyTraining:
    """How noisy networks are trained: cross-entropy, fresh noise at every step.

    Args:
        record_steps: (T,), whole numbers of steps, rising.
        optimiser: any optax transformation; None for Adam with learning rate 1e-3.
        batch_size: examples a step; None for all.
    """

    record_steps: Sequence[int] | np.ndarray
    optimiser: optax.GradientTransformation | None = None
    batch_size: int | None = None


@checked
def train_noisy(
    network: NoisyNetwork,
    train: tuple[Array, Array],
    training: NoisyTraining,
    settings: TrainerSettings | None = None,
    test: tuple[Array, Array] | None = None,
    progress: Track = bar,
) -> NoisyRun:
    """Train the members of an ensemble of noisy networks as classifiers.

    Args:
        network: sizes, activation, noise.
        train: inputs (n, features) and labels (n,), integers from 0.
        training: steps, optimiser, batches.
        settings: members, seed, precision, checkpoint of the trainer.
        test: the same for test inputs, for their error.
        progress: shown over the members' steps.

    Returns:
        Parameters, losses and errors at the recorded steps.

    Raises:
        ValueError: inputs or labels that do not fit the network; what `train_members` raises.
        Interrupted: as `train_members`; its `partial` holds the trainer's records.
    """
    inputs, labels = _examples(network, train, "train")
    held_out = None if test is None else _examples(network, test, "test")
    settings = settings or TrainerSettings()

    def loss(params, batch, key):
        logits = network.forward(params, batch["inputs"], key)[1]
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, batch["labels"]))

    def wrong(params, given, key):
        logits = network.forward(params, given[0].astype(params[0][0].dtype), key)[1]
        return jnp.mean(jnp.argmax(logits, axis=1) != given[1])

    def observe(params, key):
        keys = jax.random.split(key, 3)
        batch = {"inputs": inputs.astype(params[0][0].dtype), "labels": labels}
        seen = {"parameters": params, "loss": loss(params, batch, keys[0])}
        seen["error"] = wrong(params, (inputs, labels), keys[1])
        if held_out is not None:
            seen["test_error"] = wrong(params, held_out, keys[2])
        return seen

    optimiser = training.optimiser or optax.adam(1e-3)
    examples = {"inputs": inputs, "labels": labels}
    job = Training(network.initialise, loss, optimiser, examples, observe, training.batch_size)
    records = train_members(job, np.asarray(training.record_steps), settings, progress)
    seen = records.values
    held = np.asarray(seen["test_error"], dtype=np.float64) if "test_error" in seen else None
    losses, errors = (np.asarray(seen[name], dtype=np.float64) for name in ("loss", "error"))
    return NoisyRun(network, records.steps, seen["parameters"], losses, errors, held, records.notes)


@checked
def noisy_information(
    network: NoisyNetwork,
    params: Any,
    inputs: Float[Array, "n f"],
    labels: Int[Array, " n"] | None = None,
    settings: PropagationSettings | None = None,
) -> tuple[LayerInformation, ...]:
    """I(X;T) and I(T;Y) in nats of every hidden layer of one network, X equally likely among the inputs.

    Args:
        network: sizes, activation and noise of the network.
        params: its parameters.
        inputs: all that X can be, (n, features).
        labels: their classes, (n,), any integers; or None.
        settings: numbers of passes and draws, and the seed of all noise.

    Returns:
        One record a layer: the first layer's activations are a function of x, and its T given x is exactly Gaussian;
        the others by sample propagation.

    Raises:
        ValueError: no noise (I(X;T) is then H(X) or infinite, whatever the weights), and as `sample_propagation`.

    Fails when and Source: as `sample_propagation`.
    """
    if network.noise_std == 0:
        raise ValueError(
            "noise_std is 0: without noise I(X;T) is the entropy of the distinct activations, or infinite, and "
            "training does not change it; `binned_information` and `clustering` describe such networks"
        )
    settings = settings or PropagationSettings()
    host = to_numpy(inputs)
    quiet = network.activations(params, host)
    found = [first_layer_information(quiet[0], network.noise_std, labels, seed=settings.seed)]
    if network.hidden == 1:
        return tuple(found)
    drawn = network.passes(params, host, settings.passes + settings.draws, settings.seed)
    for layer in drawn[1:]:
        centres, fresh = layer[:, : settings.passes], layer[:, settings.passes :]
        found.append(sample_propagation(centres, fresh, network.noise_std, labels, settings))
    return tuple(found)


def _doubled(params: Any) -> Any:
    return jax.tree.map(lambda array: np.asarray(array, dtype=np.float64), params)


def _examples(network: NoisyNetwork, given: tuple[Array, Array], name: str) -> tuple[np.ndarray, np.ndarray]:
    inputs, labels = to_numpy(given[0]).astype(np.float64), to_numpy(given[1])
    checks.shape(f"{name} inputs", inputs, (None, network.sizes[0]), "one row of features for each input")
    checks.finite(f"{name} inputs", inputs)
    checks.shape(f"{name} labels", labels, (len(inputs),), "one class for each input")
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"{name} labels hold {labels.dtype}; they are whole numbers from 0")
    if labels.min() < 0 or labels.max() >= network.sizes[-1]:
        raise ValueError(
            f"{name} labels run from {labels.min()} to {labels.max()}; a network with {network.sizes[-1]} outputs "
            f"has classes 0 to {network.sizes[-1] - 1}"
        )
    return inputs, labels.astype(np.int32)
