"""Noisy networks beside networks without noise from the same starts: does I(X;T) fall, does clustering follow it?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import optax
from jaxtyping import Float, Int

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array, to_numpy
from ntkinfo.core.progress import Track, bar
from ntkinfo.core.records import Dataset, Estimate
from ntkinfo.data.icosahedral_rule import twelve_bit_rule
from ntkinfo.finite.layered import TWELVE_BIT_SIZES
from ntkinfo.finite.noisy import NoisyNetwork, NoisyRun, NoisyTraining, train_noisy
from ntkinfo.finite.noisy_plane import (
    ClusteringPlane,
    Compression,
    NoisyPlane,
    clustering_plane,
    compression,
    noisy_plane,
    tracking,
)
from ntkinfo.finite.sample_propagation import PropagationSettings
from ntkinfo.finite.trainer import TrainerSettings


@dataclass(frozen=True)
class NoisyStudy:
    """Networks with noise and without, from the same initial weights and with the same batches.

    Args:
        run: networks trained with noise.
        plane: their I(X;T) and I(T;Y).
        clusters: clustering of the same weights' activations with noise off.
        quiet_run: networks trained without noise.
        quiet_clusters: clustering of their activations, bins of the same width.
        information_fall: rise and fall of I(X;T), per layer, over members.
        clusters_fall: of H(Bin(T)) of the same weights.
        quiet_fall: of H(Bin(T)) of the networks without noise.
        clusters_follow: rank correlation over training of I(X;T) with H(Bin(T)) of the same weights, per layer.
        quiet_follow: with H(Bin(T)) of the network without noise from the same start.
    """

    run: NoisyRun
    plane: NoisyPlane
    clusters: ClusteringPlane
    quiet_run: NoisyRun
    quiet_clusters: ClusteringPlane
    information_fall: Compression
    clusters_fall: Compression
    quiet_fall: Compression
    clusters_follow: Estimate
    quiet_follow: Estimate


@checked
@dataclass(frozen=True)
class StudySettings:
    """What is trained and how it is measured.

    Args:
        network: with noise; the one without is the same with noise 0.
        training: steps, optimiser, batches, of both.
        trainer: members, seed, precision, checkpoint; the folder gets a part for each kind of network.
        propagation: passes and draws of sample propagation.
        width: of the bins of H(Bin(T)); None for five times the noise.
    """

    network: NoisyNetwork
    training: NoisyTraining
    trainer: TrainerSettings
    propagation: PropagationSettings = field(default_factory=lambda: PropagationSettings(inputs_drawn=512))
    width: float | None = None


@checked
def noisy_study(
    inputs: Float[Array, "n f"],
    labels: Int[Array, " n"],
    settings: StudySettings,
    train_rows: Int[np.ndarray, " r"] | None = None,
    progress: Track = bar,
) -> NoisyStudy:
    """Train networks with and without noise, and measure both over training.

    Args:
        inputs: all that X can be, equally likely, (n, features).
        labels: their classes, (n,), integers from 0.
        settings: networks, training, estimator; at least two members and three recorded steps.
        train_rows: rows that are trained on; the others are test inputs. None to train on all, without a test.
        progress: shown over steps of training, then over times and members.

    Raises:
        ValueError: a network without noise, fewer than two members or three times, and as `train_noisy`.
        Interrupted: of the trainer or of the plane, on Ctrl-C.
    """
    if settings.trainer.members < 2 or len(settings.training.record_steps) < 3:
        raise ValueError(
            f"{settings.trainer.members} member(s) and {len(settings.training.record_steps)} recorded step(s) are too "
            "few: scatter needs two members, and a rise and a fall need three steps"
        )
    checks.positive("noise_std", settings.network.noise_std)
    host, classes = to_numpy(inputs), to_numpy(labels)
    train, test = _parted(host, classes, train_rows)
    runs = []
    for name, network in (("noisy", settings.network), ("quiet", replace(settings.network, noise_std=0.0))):
        folder = settings.trainer.checkpoint
        trainer = settings.trainer if folder is None else replace(settings.trainer, checkpoint=f"{folder}/{name}")
        runs.append(train_noisy(network, train, settings.training, trainer, test, progress))
    plane = noisy_plane(runs[0], host, classes, settings.propagation, progress)
    clusters = clustering_plane(runs[0], host, classes, settings.width, progress=progress)
    quiet = clustering_plane(runs[1], host, classes, clusters.width, progress=progress)
    information = np.asarray(plane.information_input.value)
    falls = [
        compression(plane.steps, values) for values in (information, clusters.binned_entropy, quiet.binned_entropy)
    ]
    follow = [tracking(information, values.binned_entropy) for values in (clusters, quiet)]
    return NoisyStudy(runs[0], plane, clusters, runs[1], quiet, falls[0], falls[1], falls[2], follow[0], follow[1])


@checked
def noisy_twelve_bit(
    members: int = 10,
    seed: int = 0,
    *,
    steps: int = 8000,
    noise_std: float = 0.1,
    checkpoint: str | None = None,
    progress: Track = bar,
) -> NoisyStudy:
    """The 12-bit rule learned by 12-10-7-5-4-3-2 tanh networks with noise, X uniform on all 4096 patterns.

    Args:
        members: networks of each kind, each with its own start, batches and noise.
        seed: of them, and of the split.
        steps: of Adam at 3e-3 on batches of 256 of the 3276 training patterns; ten of them are recorded.
        noise_std: β.
        checkpoint: folder from which training that was killed goes on.
        progress: as in `noisy_study`.

    Returns:
        The study. Bits are -1 and 1. The split is shuffled.

    Raises:
        ValueError: fewer than two members or twenty steps.

    Source: Goldfeld et al. 2019; Shwartz-Ziv & Tishby 2017 for rule and layers.
    """
    checks.whole("steps", steps, least=20)
    rule = twelve_bit_rule()
    rows = np.random.default_rng(seed).permutation(len(rule.labels))[: 4 * len(rule.labels) // 5]
    training = NoisyTraining(log_steps(steps, 10), optax.adam(3e-3), 256)
    trainer = TrainerSettings(members, seed, "float32", checkpoint=checkpoint)
    settings = StudySettings(NoisyNetwork(TWELVE_BIT_SIZES, noise_std=noise_std), training, trainer)
    return noisy_study(2.0 * rule.patterns - 1, rule.labels, settings, rows, progress)


@checked
def noisy_classes(
    data: Dataset,
    hidden: Sequence[int] = (20, 10, 5),
    settings: TrainerSettings | None = None,
    *,
    steps: int = 3000,
    noise_std: float = 0.1,
    progress: Track = bar,
) -> NoisyStudy:
    """A data set with classes, digits or MNIST, learned by tanh networks with noise; X uniform on its training inputs.

    Args:
        data: with labels; inputs are flattened.
        hidden: units of the hidden layers.
        settings: members, seed, precision, checkpoint.
        steps: of Adam at 1e-3 on batches of 128, or all inputs if there are fewer; ten of them are recorded.
        noise_std: β.
        progress: as in `noisy_study`.

    Raises:
        ValueError: no labels, fewer than two members or twenty steps.

    Fails when layers with noise before them are wide: see `sample_propagation`; the standard errors say so.
    """
    if data.labels_train is None:
        raise ValueError("the data have no labels; noisy networks are trained as classifiers: give labels")
    checks.whole("steps", steps, least=20)
    inputs = data.x_train.reshape(len(data.x_train), -1)
    sizes = (inputs.shape[1], *hidden, len(data.class_names))
    training = NoisyTraining(log_steps(steps, 10), optax.adam(1e-3), min(128, len(inputs)))
    trainer = settings or TrainerSettings(members=4, precision="float32")
    study = StudySettings(NoisyNetwork(sizes, noise_std=noise_std), training, trainer)
    return noisy_study(inputs, data.labels_train, study, None, progress)


def log_steps(last: int, count: int) -> Int[np.ndarray, " t"]:
    """Whole numbers of steps: 0, then at most `count` − 1 spread evenly in logarithm from 10 to `last`."""
    return np.unique(np.concatenate([[0], np.geomspace(10, last, count - 1).round()]).astype(np.int64))


def _parted(
    inputs: np.ndarray, labels: np.ndarray, rows: np.ndarray | None
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray] | None]:
    if rows is None:
        return (inputs, labels), None
    others = np.setdiff1d(np.arange(len(inputs)), rows)
    return (inputs[rows], labels[rows]), (inputs[others], labels[others])
