"""One tanh neuron with noise on four inputs: its I(X;T), exact by quadrature, rises and falls while its weight grows.

T = tanh(w x + b) + βZ with x uniform on −3, −1, 1, 3 and target 1 for x = 3 alone. While the weight grows from 0 the
inputs are first pulled apart and then pushed to the two ends of tanh, where only one of four is told from the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float, Int

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.progress import Track, bar
from ntkinfo.core.records import Estimate
from ntkinfo.finite.trainer import TrainerSettings, Training, train_members
from ntkinfo.information.output import information_input

INPUTS = np.array([-3.0, -1.0, 1.0, 3.0])
TARGETS = np.array([-1.0, -1.0, -1.0, 1.0])
# What is left when the weight is large: which of two points T is near, with probabilities 1/4 and 3/4; in nats.
LIMIT = float(-0.25 * np.log(0.25) - 0.75 * np.log(0.75))


@checked
@dataclass(frozen=True)
class NeuronTraining:
    """How the neuron is trained: gradient descent on the squared error of T, fresh noise at every step.

    Args:
        record_steps: (T,), whole numbers of steps, rising.
        learning_rate: of gradient descent on the mean over the inputs of ½ (T − y)².
        noise_std: β.
        weight: at the start; the bias starts at −2 times the weight, so that the inputs 1 and 3 lie evenly about 0.
    """

    record_steps: Sequence[int] | np.ndarray
    learning_rate: float = 0.05
    noise_std: float = 0.1
    weight: float = 0.02

    def __post_init__(self):
        checks.positive("learning_rate", self.learning_rate)
        checks.positive("noise_std", self.noise_std)
        checks.finite_number("weight", self.weight)


@dataclass(frozen=True)
class NeuronPath:
    """The neuron over training; arrays (T, M) for M members with their own noise.

    Args:
        steps: (T,).
        weight: w.
        bias: b.
        information: I(X;T) in nats, by quadrature.
    """

    steps: Int[np.ndarray, " t"]
    weight: Float[np.ndarray, "t m"]
    bias: Float[np.ndarray, "t m"]
    information: Estimate


@checked
def neuron_information(weight: float, bias: float, noise_std: float) -> Estimate:
    """I(X;T) in nats of T = tanh(weight · x + bias) + noise, x uniform on −3, −1, 1, 3, by quadrature.

    Raises:
        ValueError: a noise that is not above zero, numbers that are not finite.

    Source: Goldfeld et al. 2019, the single neuron; methods E.
    """
    checks.positive("noise_std", noise_std)
    centres = np.tanh(weight * INPUTS + bias)[:, None]
    return information_input(centres, np.full(4, noise_std**2), samples=0).value


@checked
def train_neuron(
    training: NeuronTraining, settings: TrainerSettings | None = None, progress: Track = bar
) -> NeuronPath:
    """Train the neuron, and compute I(X;T) at the recorded steps.

    Args:
        training: steps, learning rate, noise, start.
        settings: members, seed, precision, checkpoint of the trainer.
        progress: shown over the members' steps.

    Returns:
        Weights, biases and informations.

    Raises:
        ValueError, Interrupted: as `train_members`.
    """

    def initialise(key):
        del key
        start = jnp.asarray(training.weight)
        return {"weight": start, "bias": -2 * start}

    def loss(params, batch, key):
        centre = jnp.tanh(params["weight"] * batch["x"] + params["bias"])
        noise = training.noise_std * jax.random.normal(key, centre.shape, centre.dtype)
        return 0.5 * jnp.mean((centre + noise - batch["y"]) ** 2)

    examples = {"x": INPUTS, "y": TARGETS}
    job = Training(initialise, loss, optax.sgd(training.learning_rate), examples, lambda params, key: params)
    records = train_members(job, np.asarray(training.record_steps), settings or TrainerSettings(members=1), progress)
    weight, bias = (np.asarray(records.values[name], dtype=np.float64) for name in ("weight", "bias"))
    found = [
        neuron_information(float(w), float(b), training.noise_std) for w, b in zip(weight.flat, bias.flat, strict=True)
    ]
    values, errors = (np.array([getattr(one, name) for one in found]).reshape(weight.shape) for name in _PARTS)
    return NeuronPath(records.steps, weight, bias, Estimate(values, errors, "quadrature", found[0].method))


_PARTS = ("value", "standard_error")
