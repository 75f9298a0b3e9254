"""One road from raw inputs and answers to a Dataset: choose classes, split, add noise, make targets, standardise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypedDict

import numpy as np

from ntkinfo.core import checks
from ntkinfo.core.records import Dataset, repeated_rows
from ntkinfo.data import splits, targets
from ntkinfo.data.standardise import SCALING, Standardiser

CHANNELS = ("auto", "last", "first")


class PreparationOptions(TypedDict, total=False):
    """The keyword arguments that every loader passes on to Preparation."""

    targets: str
    classes: Sequence[str | int]
    label_noise: float
    noisy_test: bool
    standardise: bool
    standardise_by: str
    standardise_targets: bool
    images: bool
    channels: str
    repeats_together: bool


@dataclass(frozen=True)
class Preparation:
    """What is done to raw inputs and answers; each loader has its own defaults and takes these fields by keyword.

    Args:
        targets: "one-hot" (one column a class, centred: one-hot minus 1/C), "parity" (-1 for even and +1 for odd class
            numbers), "pair" (-1 for the first and +1 for the second of two classes), "regression" (real answers).
        classes: names of the classes to keep, in order; empty keeps all.
        label_noise: for classes, the probability with which a label is replaced by another class; for regression,
            the standard deviation of Gaussian noise in the unit of the finished targets. Loading with the same
            seed and `label_noise=0` gives the same inputs with clean labels.
        noisy_test: put noise on the test labels too.
        standardise: shift and scale the inputs with the mean and deviation of the training part. Features that are
            constant over the training part are set to 0 in both parts and counted in the provenance.
        standardise_by: "feature" or "all" (see Standardiser), or "auto": "all" for images, "feature" for the rest.
        standardise_targets: shift and scale regression targets with the training part's mean and deviation; they are
            left as they are where they are the same for every training input, and the provenance says so.
        images: keep the inputs as (n, height, width, channels) instead of flat rows.
        channels: where files keep the channels of images: "last", "first" (as PyTorch does), or "auto": by their shape,
            which is refused where it fits both.
        repeats_together: inputs that repeat are kept on one side of the split, so that none is tested that was trained
            on; False leaves them where the shuffle puts them. The provenance counts them. Parts that the source keeps
            apart stay as they are.

    Raises:
        ValueError: an unknown name or a value out of range.
        TypeError: a value of the wrong type.
    """

    targets: str = "one-hot"
    classes: Sequence[str | int] = ()
    label_noise: float = 0.0
    noisy_test: bool = False
    standardise: bool = True
    standardise_by: str = "auto"
    standardise_targets: bool = True
    images: bool = False
    channels: str = "auto"
    repeats_together: bool = True

    def __post_init__(self):
        checks.choice("targets", self.targets, targets.TARGETS)
        checks.choice("standardise_by", self.standardise_by, ("auto", *SCALING))
        checks.choice("channels", self.channels, CHANNELS)
        for name in ("noisy_test", "standardise", "standardise_targets", "images", "repeats_together"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} is {getattr(self, name)!r}; it must be True or False")
        if isinstance(self.classes, str) or not isinstance(self.classes, Sequence):
            raise TypeError(f"classes is {self.classes!r}; it must be a list of class names, such as ['3', '8']")
        noise_check = checks.non_negative if self.targets == "regression" else checks.probability
        noise_check("label_noise", self.label_noise)

    def updated(self, options: Mapping[str, Any]) -> Preparation:
        """These settings with some replaced.

        Raises:
            ValueError: an unknown option, with the nearest known one.
        """
        for name in options:
            checks.choice("option", name, [f.name for f in fields(self)])
        return replace(self, **options)


@dataclass(frozen=True)
class Source:
    """Raw inputs with their answers, before any choice was made.

    Args:
        inputs: (n, d) rows or (n, height, width, channels) images, in any numeric type.
        answers: (n,) class numbers where `class_names` is given, else (n, C) real answers.
        class_names: one name a class; empty for real answers.
        name: what to call the data.
        scale: multiplies the inputs (1/255 for bytes).
        provenance: where the data came from.
    """

    inputs: np.ndarray
    answers: np.ndarray
    class_names: tuple[str, ...] = ()
    name: str = "data"
    scale: float = 1.0
    provenance: Mapping[str, str | int | float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Task:
    """The rows of a source that take part, with their answers: class numbers under `class_names`, or real values."""

    rows: np.ndarray
    answers: np.ndarray
    class_names: tuple[str, ...]
    strata: np.ndarray | None


def prepare(
    source: Source,
    n_train: int | None,
    n_test: int | None,
    seed: int,
    preparation: Preparation,
    test_source: Source | None = None,
) -> Dataset:
    """Turn raw data into a Dataset.

    Args:
        source: the pool that both parts are drawn from, or the training part where `test_source` is given.
        n_train: training inputs; None takes what `n_test` leaves (four fifths of the pool if that is None too), or the
            whole training part.
        n_test: test inputs; None takes what `n_train` leaves, or the whole test part.
        seed: fixes the split and the noise, each from a random stream of its own.
        preparation: the settings.
        test_source: the test part, where the source keeps one apart; classes numbered as in `source`.

    Returns:
        The data with its provenance. Splits are stratified by class; for regression they are plain shuffles.

    Raises:
        ValueError: sizes that do not fit, classes that are missing, targets that do not fit the answers.
    """
    task, moved = _task(source, preparation), 0
    if test_source is None:
        test_source, test_task = source, task
        sizes = splits.split_sizes(len(task.rows), n_train, n_test, source.name)
        train, test = _draw(task, sizes, splits.generator(seed, splits.SPLIT))
        if preparation.repeats_together:
            groups = splits.equal_rows(source.inputs[task.rows[np.concatenate([train, test])]])
            strata = np.zeros(len(task.rows), dtype=np.int64) if task.strata is None else task.strata
            train, test, moved = splits.together(train, test, groups, strata)
    else:
        test_task = _task(test_source, preparation)
        n_train = splits.part_size(len(task.rows), n_train, "n_train", f"the training part of {source.name}")
        n_test = splits.part_size(len(test_task.rows), n_test, "n_test", f"the test part of {source.name}")
        (train,) = _draw(task, (n_train,), splits.generator(seed, splits.SPLIT))
        (test,) = _draw(test_task, (n_test,), splits.generator(seed, splits.TEST_SPLIT))
    x_train, x_test, scaling = _inputs(source, task.rows[train], test_source, test_task.rows[test], preparation)
    answers = _answers(task.answers[train], test_task.answers[test], task.class_names, seed, preparation)
    return Dataset(
        x_train=x_train,
        x_test=x_test,
        name=source.name,
        class_names=task.class_names,
        provenance={
            **source.provenance,
            "name": source.name,
            "seed": int(seed),
            "n_pool": len(task.rows) if test_source is source else len(task.rows) + len(test_task.rows),
            "split": "stratified by class" if task.strata is not None else "shuffled",
            "parts": "one pool" if test_source is source else "given by the source",
            **({"image": " x ".join(map(str, source.inputs.shape[1:]))} if source.inputs.ndim == 4 else {}),
            "repeated_inputs_moved_to_one_side": moved,
            "test_inputs_equal_to_training_inputs": repeated_rows(x_train, x_test),
            **scaling,
            **answers.pop("provenance"),
        },
        **answers,
    )


def _task(source: Source, preparation: Preparation) -> _Task:
    everything = np.arange(len(source.inputs))
    if preparation.targets == "regression":
        if preparation.classes and not source.class_names:
            raise ValueError(f"classes is given, but {source.name} has real-valued answers and no classes")
        if not source.class_names:
            return _Task(everything, targets.columns(source.answers), (), None)
        kept = targets.choose_classes(source.class_names, preparation.classes, "regression")
        rows = everything[np.isin(source.answers, kept)]
        numbers = targets.class_numbers(source.class_names)[source.answers[rows]]
        return _Task(rows, targets.columns(numbers), (), None)
    if not source.class_names:
        raise ValueError(
            f"targets={preparation.targets!r} needs classes, and {source.name} has real-valued answers; "
            "use targets='regression'"
        )
    kept = targets.choose_classes(source.class_names, preparation.classes, preparation.targets)
    rows = everything[np.isin(source.answers, kept)]
    renumbered = np.argsort(kept)[np.searchsorted(np.sort(kept), source.answers[rows])]
    names = tuple(source.class_names[k] for k in kept)
    if preparation.targets == "parity":
        return _Task(rows, targets.class_numbers(names)[renumbered] % 2, ("even", "odd"), renumbered)
    return _Task(rows, renumbered, names, renumbered)


def _draw(task: _Task, sizes: Sequence[int], generator: np.random.Generator) -> list[np.ndarray]:
    if task.strata is None:
        return splits.shuffled_split(len(task.rows), sizes, generator)
    return splits.stratified_split(task.strata, sizes, generator)


def _inputs(
    train: Source, train_rows: np.ndarray, test: Source, test_rows: np.ndarray, preparation: Preparation
) -> tuple[np.ndarray, np.ndarray, dict[str, str | int | float]]:
    shape = train.inputs.shape[1:]
    if preparation.images and len(shape) != 3:
        raise ValueError(f"images=True, but {train.name} has inputs of shape {shape}, not (height, width, channels)")
    x_train = train.inputs[train_rows].reshape(len(train_rows), -1).astype(np.float64) * train.scale
    x_test = test.inputs[test_rows].reshape(len(test_rows), -1).astype(np.float64) * test.scale
    for name, x in (("training inputs", x_train), ("test inputs", x_test)):
        checks.finite(f"{train.name}: {name}", x)
    provenance: dict[str, str | int | float] = {"scale": train.scale, "standardise": "no"}
    if preparation.standardise:
        by = preparation.standardise_by
        by = ("all" if len(shape) > 1 else "feature") if by == "auto" else by
        standardiser = Standardiser.fit(x_train, by)
        x_train, x_test = standardiser(x_train), standardiser(x_test)
        provenance["standardise"] = f"by {by}, fitted on the training part"
        provenance["constant_features_set_to_0"] = int(standardiser.constant.sum())
    if preparation.images:
        x_train, x_test = x_train.reshape(-1, *shape), x_test.reshape(-1, *shape)
    return x_train, x_test, provenance


def _answers(
    train: np.ndarray, test: np.ndarray, class_names: tuple[str, ...], seed: int, preparation: Preparation
) -> dict[str, Any]:
    """Targets, labels and their provenance, as keyword arguments of Dataset."""
    provenance = {"targets": preparation.targets, "label_noise": float(preparation.label_noise)}
    noise = [splits.generator(seed, stream) for stream in (splits.TRAIN_NOISE, splits.TEST_NOISE)]
    if not class_names:
        if preparation.standardise_targets and np.all(train == train[0]):
            provenance["standardise_targets"] = "no: they are the same for every training input, which gives no scale"
        elif preparation.standardise_targets:
            standardiser = Standardiser.fit(train)
            train, test = standardiser(train), standardiser(test)
            provenance["standardise_targets"] = "by column, fitted on the training part"
            provenance["constant_targets_set_to_0"] = int(standardiser.constant.sum())
        train = splits.add_noise(train, preparation.label_noise, noise[0])
        if preparation.noisy_test:
            test = splits.add_noise(test, preparation.label_noise, noise[1])
        return {"y_train": train, "y_test": test, "provenance": provenance}
    train, flipped = splits.flip_labels(train, len(class_names), preparation.label_noise, noise[0])
    provenance["labels_flipped_train"] = int(flipped.sum())
    if preparation.noisy_test:
        test, flipped = splits.flip_labels(test, len(class_names), preparation.label_noise, noise[1])
        provenance["labels_flipped_test"] = int(flipped.sum())
    return {
        "y_train": _encode(train, len(class_names), preparation.targets),
        "y_test": _encode(test, len(class_names), preparation.targets),
        "labels_train": train,
        "labels_test": test,
        "provenance": provenance,
    }


def _encode(labels: np.ndarray, n_classes: int, kind: str) -> np.ndarray:
    return targets.centred_one_hot(labels, n_classes) if kind == "one-hot" else targets.signs(labels)
