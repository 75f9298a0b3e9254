"""The data of trials: clean once for each data set, size and seed, and with noise on the training part."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float

from ntkinfo.core.records import Dataset
from ntkinfo.data import registry, splits, synthetic, targets
from ntkinfo.search.trial_description import BUNDLED, FILES, TEACHER, Trial

TEACHER_FEATURES = 8
TEACHER_LENGTH = 1.0  # of the squared exponential kernel, in root mean squares of a feature
_INPUTS = 17  # random stream of the teacher's inputs under a seed


def clean_data(trial: Trial) -> Dataset:
    """Inputs and targets of a trial without noise on its training part.

    Raises:
        ValueError: sizes that do not fit, and whatever the loader refuses.
        OSError: a file that cannot be read.
    """
    return _clean(trial.data, trial.n, trial.seed, trial.options.n_test, trial.options.files, _as_images(trial))


def noisy_data(clean: Dataset, noise: float, seed: int) -> Dataset:
    """The same inputs with noise on the training targets; test targets stay clean.

    Classes are replaced by another one with probability `noise`, as `ntkinfo.data` does for the same seed; real-valued
    targets get Gaussian noise of deviation `noise`, and where their signs are the classes, those of the noisy targets.

    Args:
        clean: of `clean_data`.
        noise: probability or deviation.
        seed: fixes the noise, independently of the split.
    """
    if noise == 0:
        return clean
    randomness = splits.generator(seed, splits.TRAIN_NOISE)
    kind, labels = str(clean.provenance["targets"]), clean.labels_train
    provenance = {**clean.provenance, "label_noise": noise}
    if kind == "regression":
        y_train = splits.add_noise(clean.y_train, noise, randomness)
        labels = None if labels is None else _signs(y_train)
        return replace(clean, y_train=y_train, labels_train=labels, provenance=provenance)
    assert labels is not None
    classes = len(clean.class_names)
    labels, _ = splits.flip_labels(labels, classes, noise, randomness)
    y_train = targets.centred_one_hot(labels, classes) if kind == "one-hot" else targets.signs(labels)
    return replace(clean, y_train=y_train, labels_train=labels, provenance=provenance)


def forget_data() -> None:
    """Load data sets afresh from now on."""
    _clean.cache_clear()


def _as_images(trial: Trial) -> bool:
    return trial.family != "fully_connected"


@functools.lru_cache(maxsize=8)
def _clean(data: str, n: int, seed: int, n_test: int, files: tuple[tuple[str, Any], ...], images: bool) -> Dataset:
    if data == TEACHER:
        return _teacher(n, n_test, seed)
    options: dict[str, Any] = {"images": True} if images else {}
    if data in FILES:
        return registry.load(data, n_train=n, n_test=n_test, seed=seed, **options, **dict(files))
    assert data in BUNDLED
    whole = registry.load(data, n_train=n, seed=seed, n_test=None, **options)
    kept = slice(0, n_test)
    labels = None if whole.labels_test is None else whole.labels_test[kept]
    return replace(whole, x_test=whole.x_test[kept], y_test=whole.y_test[kept], labels_test=labels)


def _teacher(n: int, n_test: int, seed: int) -> Dataset:
    """Standard normal inputs, targets from a Gaussian process of smooth odd functions, their signs as classes."""
    inputs = splits.generator(seed, _INPUTS).standard_normal((n + n_test, TEACHER_FEATURES))
    drawn = synthetic.teacher_gp(odd_squared_exponential(inputs), inputs[:n], inputs[n:], seed=seed)
    return replace(
        drawn,
        labels_train=_signs(drawn.y_train),
        labels_test=_signs(drawn.y_test),
        class_names=("negative", "positive"),
        provenance={**drawn.provenance, "targets": "regression", "label_noise": 0.0},
    )


def odd_squared_exponential(inputs: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n n"]:
    """The teacher's covariance k(x, x') − k(x, −x'), k = exp(−|x − x'|²/(2 d ℓ²)) with d features and length ℓ.

    It is that of (f(x) − f(−x))/√2 with f of covariance k: an odd function, whose signs make classes of equal size.
    """
    scale = inputs.shape[1] * TEACHER_LENGTH**2
    squares, products = np.sum(inputs**2, axis=1) / (2 * scale), inputs @ inputs.T / scale
    return 2 * np.exp(-squares[:, None] - squares[None, :]) * np.sinh(products)


def _signs(y: np.ndarray) -> np.ndarray:
    return (y[:, 0] > 0).astype(np.int64)
