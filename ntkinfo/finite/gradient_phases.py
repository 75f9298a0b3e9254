"""Signal and noise of stochastic gradients at fixed weights, and the time at which noise takes over.

At fixed weights a minibatch gradient is a random vector. Its signal is the norm of its mean, its noise √tr of its
covariance. From B minibatches drawn independently of each other, with mean ḡ and scatter s² (unbiased trace of the
covariance), |ḡ|² exceeds the squared signal by s²/B on average: the plain ratio |ḡ|/s cannot fall below about 1/√B
however little signal is left. Here s²/B is taken off, so that squared signals are unbiased and may come out below 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array
from ntkinfo.core.randomness import random_key
from ntkinfo.finite.layered import LayeredNetwork, Parameters, flat_layers, layer_gradients

State = Literal["crossed", "below from the start", "above to the end"]


@dataclass(frozen=True)
class SignalToNoise:
    """Signal and noise of a gradient, one number for each layer, member, time, … as the shape has it.

    Args:
        signal_squared: squared norm of the mean gradient, floor removed; unbiased, so below 0 where nothing is left.
        noise_squared: trace of the covariance of a minibatch gradient.
        ratio_squared: the first over the second.
        standard_error: of `ratio_squared`, jackknife over the minibatches; 0 where it was computed exactly.
        batches: how many minibatches; None where it was computed exactly from every example.
    """

    signal_squared: Float[Array, " *shape"]
    noise_squared: Float[Array, " *shape"]
    ratio_squared: Float[Array, " *shape"]
    standard_error: Float[Array, " *shape"]
    batches: int | None = None

    @property
    def ratio(self) -> np.ndarray:
        """Signal over noise; 0 where the squared signal came out below 0."""
        return np.asarray(np.sqrt(np.maximum(np.asarray(self.ratio_squared), 0.0)))


@checked
@dataclass(frozen=True)
class GradientSettings:
    """How gradients are sampled.

    Args:
        batch_size: inputs in a minibatch, drawn without replacement; fewer than there are.
        batches: minibatches B, drawn independently of each other, at least 3.
        seed: of the draws.
    """

    batch_size: int = 256
    batches: int = 32
    seed: int = 0

    def __post_init__(self):
        checks.whole("batch_size", self.batch_size)
        checks.whole("batches", self.batches, 3)
        checks.whole("seed", self.seed, 0)


def sampled_signal(gradients: Float[Array, "b p"]) -> SignalToNoise:
    """Signal and noise from B minibatch gradients that were drawn independently at the same weights.

    Raises:
        ValueError: fewer than three of them.

    Fails when the minibatches share inputs by design (those of one epoch): their mean then scatters less than s²/B.
    """
    if gradients.ndim != 2 or gradients.shape[0] < 3:
        raise ValueError(f"gradients has shape {gradients.shape}; it must be (batches, parameters), at least 3 batches")
    return SignalToNoise(*_with_jackknife(jnp.asarray(gradients)), batches=gradients.shape[0])


def _with_jackknife(gradients: Array) -> tuple[Array, Array, Array, Array]:
    """Squared signal and noise, their ratio and its standard error."""
    count = gradients.shape[0]
    mean = jnp.mean(gradients, axis=0)
    centred = gradients - mean[None, :]
    lengths = jnp.sum(centred**2, axis=1)
    square, total = jnp.sum(mean**2), jnp.sum(lengths)
    noise = total / (count - 1)
    signal = square - noise / count
    # Without one of the minibatches.
    squares = square - 2 * (centred @ mean) / (count - 1) + lengths / (count - 1) ** 2
    noises = (total - lengths * count / (count - 1)) / (count - 2)
    ratios = squares / _safe(noises) - 1 / (count - 1)
    error = jnp.sqrt((count - 1) / count * jnp.sum((ratios - jnp.mean(ratios)) ** 2))
    return signal, noise, signal / _safe(noise), error


def _safe(values: Array) -> Array:
    """Zero noise gives an infinite ratio, or NaN without signal, not an error."""
    return jnp.where(values > 0, values, 0.0)


def exact_signal(examples: Float[Array, "n p"], batch_size: int) -> SignalToNoise:
    """Signal and noise of a minibatch gradient from the gradient of every example: no sampling.

    The covariance of the mean of b of n rows drawn without replacement is S/b · (n − b)/(n − 1), S that of one row.

    Raises:
        ValueError: a minibatch as large as the whole.
    """
    count = examples.shape[0]
    _check_batch(batch_size, count)
    signal, noise = _exact(jnp.asarray(examples), batch_size)
    return SignalToNoise(signal, noise, signal / _safe(noise), jnp.zeros_like(signal))


def _exact(examples: Array, batch_size: int) -> tuple[Array, Array]:
    count = examples.shape[0]
    mean = jnp.mean(examples, axis=0)
    trace = jnp.sum((examples - mean[None, :]) ** 2) / count
    return jnp.sum(mean**2), trace / batch_size * (count - batch_size) / (count - 1)


def _check_batch(batch_size: int, count: int) -> None:
    checks.whole("batch_size", batch_size)
    if batch_size >= count:
        raise ValueError(
            f"batch_size is {batch_size} and there are {count} inputs: a gradient of all of them has no noise; "
            f"take at most {count - 1}"
        )


@checked
def layer_signals(
    network: LayeredNetwork,
    parameters: Parameters,
    inputs: Float[Array, "n d"],
    labels: Int[Array, " n"],
    settings: GradientSettings,
) -> SignalToNoise:
    """Signal and noise of each layer's minibatch gradient at these weights, (L,) each.

    Raises:
        ValueError: data that do not fit the network, or a minibatch as large as the data.
    """
    network.check_data(np.asarray(inputs), np.asarray(labels))
    _check_batch(settings.batch_size, len(inputs))
    parts = jax.jit(sample_layers, static_argnums=(0, 3))(
        network, parameters, (jnp.asarray(inputs), jnp.asarray(labels)), settings, random_key(settings.seed)
    )
    return SignalToNoise(*parts, batches=settings.batches)


def sample_layers(
    network: LayeredNetwork, parameters: Parameters, data: tuple[Array, Array], settings: GradientSettings, key: Array
) -> tuple[Array, Array, Array, Array]:
    """What `SignalToNoise` holds, (L,) each, as a pure function for `jax.vmap` and `jax.jit`."""
    inputs, labels = data

    def minibatch(number: Array) -> tuple[Array, ...]:
        order = jax.random.permutation(jax.random.fold_in(key, number), inputs.shape[0])
        chosen = order[: settings.batch_size]
        return layer_gradients(network, parameters, inputs[chosen], labels[chosen])

    rows = jax.vmap(minibatch)(jnp.arange(settings.batches))
    return _stacked([_with_jackknife(layer) for layer in rows])


def exact_layers(
    network: LayeredNetwork, parameters: Parameters, data: tuple[Array, Array], batch_size: int
) -> tuple[Array, Array]:
    """Squared signal and noise of each layer from the gradient of every example, (L,) each."""
    gradient = jax.grad(network.mean_loss)
    examples = jax.vmap(lambda x, y: flat_layers(gradient(parameters, x[None], y[None])))(*data)
    return _stacked([_exact(layer, batch_size) for layer in examples])


def _stacked(layers: list[tuple[Array, ...]]) -> Any:
    return tuple(jnp.stack(parts) for parts in zip(*layers, strict=True))


@dataclass(frozen=True)
class Transition:
    """When the signal first falls below the noise and stays there.

    Args:
        time: of the crossing, between two recorded times; NaN unless `state` is "crossed".
        earliest: crossing of the ratio less two standard errors; NaN where that does not cross.
        latest: crossing of the ratio plus two standard errors; NaN where that does not cross.
        state: what happened.
    """

    time: float
    earliest: float
    latest: float
    state: State


@checked
def transition(
    times: Float[np.ndarray, " t"],
    ratio_squared: Float[np.ndarray, " t"],
    standard_error: Float[np.ndarray, " t"] | None = None,
    sustained: int = 3,
) -> Transition:
    """Find the first sustained fall of the signal-to-noise ratio below 1.

    Args:
        times: (T,), rising; epochs, or training time.
        ratio_squared: (T,), squared ratio; it may be below 0.
        standard_error: (T,), of `ratio_squared`; None for exact ratios.
        sustained: recorded times in a row at which the ratio must be below 1. A fall too late to be followed by as
            many does not count.

    Raises:
        ValueError: shapes that do not fit, times that do not rise, NaN.
    """
    times, ratio = np.asarray(times, dtype=np.float64), np.asarray(ratio_squared, dtype=np.float64)
    checks.times(times)
    checks.shape("ratio_squared", ratio, (len(times),), "one ratio for each time")
    if np.any(np.isnan(ratio)):
        raise ValueError("ratio_squared holds NaN: gradients without signal and without noise; leave those times out")
    if np.any(np.isneginf(ratio)):
        raise ValueError("ratio_squared holds minus infinity; a squared ratio of signal to noise is no such number")
    checks.whole("sustained", sustained)
    spread = np.zeros_like(ratio) if standard_error is None else 2 * np.asarray(standard_error, dtype=np.float64)
    checks.shape("standard_error", spread, (len(times),), "one error for each time")
    time, state = _crossing(times, ratio, sustained)
    return Transition(
        time, _crossing(times, ratio - spread, sustained)[0], _crossing(times, ratio + spread, sustained)[0], state
    )


def _crossing(times: np.ndarray, ratio: np.ndarray, sustained: int) -> tuple[float, State]:
    below = ratio < 1
    runs = np.convolve(below, np.ones(sustained), mode="valid") == sustained if len(below) >= sustained else below[:0]
    begins = np.flatnonzero(runs)
    if not len(begins):
        return np.nan, "above to the end"
    first = int(begins[0])
    if first == 0:
        return np.nan, "below from the start"
    return _between(times[first - 1 : first + 1], ratio[first - 1 : first + 1]), "crossed"


def _between(times: np.ndarray, ratio: np.ndarray) -> float:
    """Where the ratio is 1: straight in logarithms where there are any, else straight."""
    heights = np.log(ratio) if ratio[1] > 0 and np.isfinite(ratio[0]) else ratio - 1
    if not np.isfinite(heights[0]):
        return float(times[1])
    share = heights[0] / (heights[0] - heights[1])
    if times[0] > 0:
        return float(np.exp((1 - share) * np.log(times[0]) + share * np.log(times[1])))
    return float((1 - share) * times[0] + share * times[1])
