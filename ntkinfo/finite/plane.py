"""The information plane of trained networks of finite width: every layer of many seeds, over logarithmic epochs.

Networks without noise are functions of their input: what binning follows over training is how activations cluster, not
the loss of information about X (see `ntkinfo.information.samples`). The numbers here are exact for the binned
activations of all the inputs; what varies is the seed.

Training records the parameters alone. Activations, their range over the whole of training, gradients and errors are
computed from them afterwards, so that no choice of bins has to be made before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float, Int

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array
from ntkinfo.core.progress import Track, bar, silent
from ntkinfo.core.randomness import random_key
from ntkinfo.core.threads import map_threads, thread_count
from ntkinfo.data.icosahedral_rule import twelve_bit_rule
from ntkinfo.finite.gradient_phases import GradientSettings, SignalToNoise, exact_layers, sample_layers
from ntkinfo.finite.layered import LayeredNetwork, Parameters, flat_layers
from ntkinfo.finite.member_program import precision_context
from ntkinfo.finite.trainer import TrainerSettings, Training, train_members
from ntkinfo.information.samples import DETERMINISTIC, binned_trajectory
from ntkinfo.information.samples_binning import FixedBins, RangeBins, row_symbols

OPTIMISERS: dict[str, Callable[[float], optax.GradientTransformation]] = {"sgd": optax.sgd, "adam": optax.adam}
# Range of each activation function that has one; the others get that of the activations over all of training.
_RANGES = {"tanh": (-1.0, 1.0), "softmax": (0.0, 1.0)}


@dataclass(frozen=True)
class PlaneData:
    """Every input there is, equally likely, and which of them are trained on.

    Args:
        inputs: (n, d).
        labels: (n,), classes from 0.
        trained: (k,), places of the training inputs.
    """

    inputs: Float[np.ndarray, "n d"]
    labels: Int[np.ndarray, " n"]
    trained: Int[np.ndarray, " k"]

    @cached_property
    def held_out(self) -> Int[np.ndarray, " h"]:
        """Places of the inputs that are not trained on."""
        return np.setdiff1d(np.arange(len(self.inputs)), self.trained)

    @cached_property
    def label_entropy(self) -> float:
        """H(Y) = I(X;Y) in nats."""
        share = np.bincount(self.labels) / len(self.labels)
        share = share[share > 0]
        return float(-np.sum(share * np.log(share)))


@checked
def twelve_bit_plane(train_share: float = 0.8, seed: int = 0) -> PlaneData:
    """The 12-bit rule with bits as −1 and +1 and a random choice of training patterns.

    Args:
        train_share: share of the 4096 patterns that is trained on, between 0 and 1.
        seed: of the choice.

    Raises:
        ValueError: a share that leaves no pattern on either side.
    """
    checks.probability("train_share", train_share)
    rule = twelve_bit_rule()
    total = len(rule.labels)
    count = int(train_share * total + 0.5)
    if not 0 < count < total:
        raise ValueError(f"train_share is {train_share}; it must leave patterns both to train on and to hold out")
    chosen = np.random.default_rng(seed).permutation(total)[:count]
    return PlaneData(2.0 * rule.patterns - 1, rule.labels, np.sort(chosen))


@checked
@dataclass(frozen=True)
class PlaneSettings:
    """How networks are trained and looked at.

    Args:
        network: layers, activation, start, loss.
        optimiser: "sgd" or "adam".
        learning_rate: constant.
        batch_size: training inputs in a step, all of them in a new order in every epoch; None for full batches.
        epochs: passes over the training inputs; with full batches one step each.
        records: about how many epochs are recorded, logarithmically spaced, besides the start.
        seeds: networks M, each from its own start and in its own order of minibatches.
        seed: of the whole.
        bins: for each unit.
        gradients: how minibatch gradients at fixed weights are sampled; None leaves the phases out.
        precision: of the training, "float32" or "float64".

    Raises:
        ValueError, TypeError: unknown names, numbers out of range.
    """

    network: LayeredNetwork = field(default_factory=LayeredNetwork)
    optimiser: str = "sgd"
    learning_rate: float = 0.05
    batch_size: int | None = 256
    epochs: int = 3000
    records: int = 40
    seeds: int = 20
    seed: int = 0
    bins: int = 30
    gradients: GradientSettings | None = field(default_factory=GradientSettings)
    precision: str = "float32"

    def __post_init__(self):
        checks.choice("optimiser", self.optimiser, OPTIMISERS)
        checks.positive("learning_rate", self.learning_rate)
        for name in ("epochs", "records", "bins"):
            checks.whole(name, getattr(self, name))
        checks.whole("seeds", self.seeds, 2)
        checks.choice("precision", self.precision, ("float32", "float64"))

    @cached_property
    def recorded_epochs(self) -> Int[np.ndarray, " t"]:
        """0, then whole epochs at about equal distances in logarithm, the last one included."""
        spaced = np.unique(np.round(np.geomspace(1, self.epochs, self.records)).astype(np.int64))
        return np.concatenate([[0], spaced])


@dataclass(frozen=True)
class PlaneStudy:
    """What M networks did. T recorded epochs, L layers, the output last; informations in nats.

    Args:
        settings: as given.
        data: as given.
        epochs: (T,).
        information_input: I(X;Bin(T_l)) = H(Bin(T_l)), (T, M, L), exact for these inputs.
        information_target: I(Bin(T_l);Y), (T, M, L), exact for these inputs.
        errors: share of the training and of the held-out inputs that is classified wrongly, (2, T, M).
        losses: mean loss on the training and on the held-out inputs, (2, T, M).
        sampled: signal and noise of minibatch gradients at the recorded weights, (T, M, L), floor removed; or None.
        exact: the same from every example's gradient; or None.
        weight_norms: length of each layer's parameters, (T, M, L).
        weights: parameters, each array (T, M, ...).
        ranges: lowest and highest edge of the bins of each layer and member, (M, L, 2).
        caveat: what the informations follow and what they do not say.
        notes: what happened on the way.
    """

    settings: PlaneSettings
    data: PlaneData
    epochs: Int[np.ndarray, " t"]
    information_input: Float[np.ndarray, "t m l"]
    information_target: Float[np.ndarray, "t m l"]
    errors: Float[np.ndarray, "2 t m"]
    losses: Float[np.ndarray, "2 t m"]
    sampled: SignalToNoise | None
    exact: SignalToNoise | None
    weight_norms: Float[np.ndarray, "t m l"]
    weights: Any
    ranges: Float[np.ndarray, "m l 2"]
    caveat: str = DETERMINISTIC
    notes: tuple[str, ...] = ()

    @property
    def n_layers(self) -> int:
        """The number of layers L."""
        return self.information_input.shape[2]

    def activations(self, time: int, member: int) -> tuple[np.ndarray, ...]:
        """Activations of every layer of one network at one recorded time on all the inputs, (n, width) each."""
        with precision_context(self.settings.precision):
            chosen = jax.tree.map(lambda leaf: jnp.asarray(leaf[time, member]), self.weights)
            found = self.settings.network.activations(chosen, jnp.asarray(self.data.inputs, _dtype(self.settings)))
        return tuple(np.asarray(layer) for layer in found)

    def binning(self, member: int, layer: int) -> FixedBins:
        """The bins that this layer of this network has at every time."""
        low, high = self.ranges[member, layer]
        return FixedBins(np.linspace(low, high, self.settings.bins + 1))

    def symbols(self, time: int, member: int) -> list[Int[np.ndarray, " n"]]:
        """Bin(T) of every layer on all the inputs, the different rows of bins numbered from 0: an encoder."""
        layers = enumerate(self.activations(time, member))
        return [row_symbols(self.binning(member, layer).codes(values).values) for layer, values in layers]


@checked
def information_plane(
    settings: PlaneSettings | None = None,
    data: PlaneData | None = None,
    *,
    checkpoint: str | Path | None = None,
    progress: Track = bar,
) -> PlaneStudy:
    """Train networks from many seeds and follow every layer through the information plane.

    Args:
        settings: networks, training, recording; the network of Shwartz-Ziv & Tishby 2017 where left out.
        data: every input with its class; the 12-bit rule where left out.
        checkpoint: folder that a killed run continues from (`train_members`).
        progress: shown over training and over binning.

    Returns:
        The study, one row a recorded epoch, one column a seed.

    Raises:
        ValueError, TypeError: settings and data that do not fit each other.
        Interrupted: on Ctrl-C while training, as `train_members`.

    Tanh activations have bins on [−1, 1], softmax outputs on [0, 1]; relu and linear ones between the lowest and the
    highest activation that the layer has at any recorded epoch of that seed. Fails when those ranges are decided by a
    few large activations: bins are then too wide to tell the others apart.
    Source: Shwartz-Ziv & Tishby 2017; Saxe et al. 2018; methods B.
    """
    settings, data = settings or PlaneSettings(), data or twelve_bit_plane()
    _check(settings, data)
    records = train_members(
        _training(settings, data),
        recorded_steps(settings, len(data.trained)),
        TrainerSettings(settings.seeds, settings.seed, settings.precision, checkpoint=checkpoint),
        progress=progress,
    )
    with precision_context(settings.precision):
        return _measure(settings, data, records, progress)


def _check(settings: PlaneSettings, data: PlaneData) -> None:
    settings.network.check_data(data.inputs, data.labels)
    count = len(data.trained)
    if settings.batch_size is not None:
        checks.whole("batch_size", settings.batch_size)
        if settings.batch_size > count:
            raise ValueError(
                f"batch_size is {settings.batch_size} and there are {count} training inputs; take at most that many"
            )
    if settings.gradients is not None and settings.gradients.batch_size >= count:
        raise ValueError(
            f"gradients.batch_size is {settings.gradients.batch_size} and there are {count} training inputs; a "
            f"gradient of all of them has no noise: take at most {count - 1}"
        )


def recorded_steps(settings: PlaneSettings, trained: int) -> Int[np.ndarray, " t"]:
    """Steps after which `settings.recorded_epochs` are over, for that number of training inputs."""
    size = trained if settings.batch_size is None else settings.batch_size
    return -(-settings.recorded_epochs * trained // size)


def _training(settings: PlaneSettings, data: PlaneData) -> Training:
    network, dtype = settings.network, _dtype(settings)

    def loss(parameters: Parameters, batch: Any, key: Array) -> Array:
        return network.mean_loss(parameters, *batch)

    return Training(
        initialise=network.initialise,
        loss=loss,
        optimiser=OPTIMISERS[settings.optimiser](settings.learning_rate),
        examples=(data.inputs[data.trained].astype(dtype), data.labels[data.trained].astype(np.int32)),
        observe=lambda parameters, key: parameters,
        batch_size=settings.batch_size,
    )


def _dtype(settings: PlaneSettings) -> np.dtype:
    return np.dtype(settings.precision)


def _measure(settings: PlaneSettings, data: PlaneData, records: Any, progress: Track) -> PlaneStudy:
    weights = records.values
    look = jax.jit(jax.vmap(partial(_look, settings, data)))
    rows = [look(*_at(weights, k, settings)) for k in progress(range(len(records.steps)), "gradients", None)]
    seen = {name: np.stack([np.asarray(row[name], dtype=np.float64) for row in rows]) for name in rows[0]}
    inputs, targets, ranges = _bin(settings, data, weights, progress)
    sampled, exact = None, None
    if settings.gradients is not None:
        sampled = SignalToNoise(*(seen[f"sampled {k}"] for k in range(4)), batches=settings.gradients.batches)
        ratio = seen["exact 0"] / seen["exact 1"]
        exact = SignalToNoise(seen["exact 0"], seen["exact 1"], ratio, np.zeros_like(ratio))
    return PlaneStudy(
        settings=settings,
        data=data,
        epochs=settings.recorded_epochs,
        information_input=inputs,
        information_target=targets,
        errors=np.moveaxis(seen["error"], 2, 0),
        losses=np.moveaxis(seen["loss"], 2, 0),
        sampled=sampled,
        exact=exact,
        weight_norms=seen["norm"],
        weights=weights,
        ranges=ranges,
        notes=tuple(records.notes),
    )


def _at(weights: Any, time: int, settings: PlaneSettings) -> tuple[Any, Array]:
    """Weights of all members at one time, and a key for each."""
    held = jax.tree.map(lambda leaf: jnp.asarray(leaf[time]), weights)
    seed = 0 if settings.gradients is None else settings.gradients.seed
    return held, jax.random.split(jax.random.fold_in(random_key(seed), time), settings.seeds)


def _look(settings: PlaneSettings, data: PlaneData, parameters: Parameters, key: Array) -> dict[str, Any]:
    """Everything but informations about one network at one time."""
    network = settings.network
    inputs, labels = jnp.asarray(data.inputs, _dtype(settings)), jnp.asarray(data.labels, jnp.int32)
    splits = [(inputs[places], labels[places]) for places in (data.trained, data.held_out)]
    # Without held-out inputs the mean over none of them is NaN, which says so.
    found: dict[str, Any] = {
        "loss": jnp.stack([network.mean_loss(parameters, *split) for split in splits]),
        "error": jnp.stack([network.error(parameters, *split) for split in splits]),
        "norm": jnp.stack([jnp.linalg.norm(row) for row in flat_layers(parameters)]),
    }
    if settings.gradients is not None:
        sampled = sample_layers(network, parameters, splits[0], settings.gradients, key)
        found |= {f"sampled {k}": part for k, part in enumerate(sampled)}
        exact = exact_layers(network, parameters, splits[0], settings.gradients.batch_size)
        found |= {f"exact {k}": part for k, part in enumerate(exact)}
    return found


def _bin(settings: PlaneSettings, data: PlaneData, weights: Any, progress: Track) -> tuple[np.ndarray, ...]:
    """I(X;Bin T) and I(Bin T;Y), (T, M, L) each, and the ranges of the bins, (M, L, 2); a few networks at a time."""
    inputs = jnp.asarray(data.inputs, _dtype(settings))
    act = jax.jit(jax.vmap(lambda parameters: settings.network.activations(parameters, inputs)))

    def one(member: int) -> tuple[np.ndarray, np.ndarray, list[tuple[float, float]]]:
        with precision_context(settings.precision):  # a thread has a context of its own
            held = act(jax.tree.map(lambda leaf: jnp.asarray(leaf[:, member]), weights))
            layers = [np.asarray(layer) for layer in held]
        return _bin_layers(settings, data, layers)

    step, found = thread_count(), []
    for first in progress(range(0, settings.seeds, step), "layers of each seed", -(-settings.seeds // step)):
        found += map_threads(one, range(first, min(first + step, settings.seeds)))
    given, told, ranges = zip(*found, strict=True)
    return np.stack(given, axis=1), np.stack(told, axis=1), np.asarray(ranges)


def _bin_layers(
    settings: PlaneSettings, data: PlaneData, layers: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, list[tuple[float, float]]]:
    """One network's informations, (T, L) each, and the ranges of its bins, from activations (T, n, width)."""
    edges = [_edges(settings, number, layer) for number, layer in enumerate(layers)]
    found = [
        binned_trajectory(layer, FixedBins(row), data.labels, progress=silent)
        for layer, row in zip(layers, edges, strict=True)
    ]
    given = np.stack([layer.entropy for layer in found], axis=1)
    told = np.stack([np.asarray(layer.information_target) for layer in found], axis=1)
    return given, told, [(float(row[0]), float(row[-1])) for row in edges]


def _edges(settings: PlaneSettings, layer: int, activations: np.ndarray) -> np.ndarray:
    """Edges of a layer's bins: the range of its activation function, or of its activations over all of training."""
    network = settings.network
    last = layer == network.n_layers - 1
    name = network.activation if not last else "softmax" if network.loss == "cross entropy" else "linear"
    if name in _RANGES:
        return np.linspace(*_RANGES[name], settings.bins + 1)
    return RangeBins(settings.bins, "layer").fitted(activations).edges


def with_depth(network: LayeredNetwork, hidden: int) -> LayeredNetwork:
    """The same network with its first `hidden` hidden layers alone.

    Raises:
        ValueError: more hidden layers than there are, or none.
    """
    most = network.n_layers - 1
    if not 1 <= hidden <= most:
        raise ValueError(f"hidden is {hidden}; the network has {most} hidden layer(s), so take 1 to {most}")
    return replace(network, sizes=(*network.sizes[: hidden + 1], network.sizes[-1]))
