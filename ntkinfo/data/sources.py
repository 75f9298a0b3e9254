"""From what a file holds to the sources that every data set is prepared from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ntkinfo.core import checks
from ntkinfo.core.records import Dataset
from ntkinfo.data import tables, targets
from ntkinfo.data.input_files import FilePath
from ntkinfo.data.preparation import Preparation, Source, prepare

R = TypeVar("R")
FILE_DEFAULTS = Preparation()
Origin = dict[str, str | int | float]


def columns_of(target: str | int | Sequence[str | int]) -> list[str]:
    """The target columns as a list of names, whether one or several are named or numbered."""
    return [str(name) for name in ([target] if isinstance(target, str | int) else target)]


def origin_of(kind: str, names: Sequence[str]) -> Origin:
    """The first line of a provenance: the kind of file and the files' names."""
    return {"source": f"{kind}: {', '.join(names)}"}


def taken(options: Mapping[str, Any], reading: R, settings: Preparation) -> tuple[R, Preparation]:
    """A loader's options, shared out between its own record and the preparation.

    Raises:
        ValueError: an unknown option, with the nearest known one.
    """
    own = [field.name for field in fields(reading)]  # type: ignore[arg-type]
    for name in options:
        checks.choice("option", name, [*own, *(field.name for field in fields(settings))])
    rest = {name: value for name, value in options.items() if name not in own}
    return replace(reading, **{name: value for name, value in options.items() if name in own}), settings.updated(rest)  # type: ignore[type-var]


def from_table(
    table: tables.Table,
    path: FilePath,
    target: Sequence[str],
    sizes: tuple[int | None, int | None],
    seed: int,
    settings: Preparation,
    test: tables.Table | None = None,
) -> Dataset:
    """Prepare a table.

    Args:
        table: of the pool, or of the training part where `test` is given.
        path: its file, for messages and the name.
        target: the target columns.
        sizes: n_train and n_test.
        seed: fixes the split and the noise.
        settings: how it is prepared.
        test: the test part, where it is kept apart, with the same columns and classes.

    Raises:
        ValueError: what preparation refuses; a class in the test part alone.
    """
    names = [Path(path).name]
    origin = {**origin_of("table", names), "features": " ".join(table.feature_names), "target": " ".join(target)}
    if table.left_out:
        left_out = ", ".join(repr(name) if name else "the first column" for name in table.left_out)
        origin["left_out"] = f"row numbers ({left_out}); to keep them name the columns in features"
    if table.reading:
        origin["reading"] = table.reading
    field = target[0] if target else "answers"
    if test is None:
        source = source_of(table.features, table.answers, path, settings, origin, field, table.class_names)
        return prepare(source, sizes[0], sizes[1], seed, settings)
    pair = (table.features, table.answers), (test.features, test.answers)
    parts = sources_of(pair[0], pair[1], settings, origin, path, table.class_names)
    return prepare(parts[0], sizes[0], sizes[1], seed, settings, parts[1])


def channels_last(x: np.ndarray, path: FilePath | None, settings: Preparation, origin: Origin) -> np.ndarray:
    """Images as (n, height, width, channels); as flat rows the order says nothing to a network."""
    if x.ndim == 3:
        return x[..., None]
    if x.ndim != 4 or (settings.channels == "auto" and not settings.images):
        return x
    order = settings.channels
    if order == "auto":
        order = _order_of_channels(x.shape[1:])
    if not order:
        raise ValueError(
            f"{path}: images have shape {x.shape[1:]}, which does not say whether channels come first or last; say it "
            "with channels='first' or channels='last'"
        )
    origin["channels"] = f"{order} in the file"
    return np.moveaxis(x, 1, 3) if order == "first" else x


def _order_of_channels(shape: tuple[int, ...]) -> str:
    """Where an image's shape has its channels; empty where that is not clear.

    One or three numbers at an end are a sign of channels, four a weaker one; so is an end whose two others are alike.
    """
    first, middle, last = shape
    few = {1: 2, 3: 2, 4: 1}
    signs = [few.get(first, 0) + 2 * (middle == last != first), few.get(last, 0) + 2 * (first == middle != last)]
    return "" if signs[0] == signs[1] else "first" if signs[0] > signs[1] else "last"


def source_of(
    x: np.ndarray,
    y: np.ndarray,
    path: FilePath | None,
    settings: Preparation,
    origin: Origin,
    field: str = "labels",
    class_names: tuple[str, ...] = (),
) -> Source:
    """Inputs and answers as a source.

    Args:
        x: inputs; images of bytes are scaled to [0, 1].
        y: answers: classes in any form that `targets.encode_classes` takes, or real.
        path: the file, for messages and the name; None calls the data "idx".
        settings: whether answers are classes or real, and where channels lie.
        origin: provenance, to which the order of channels is added.
        field: what to call the answers.
        class_names: where y holds the numbers of classes declared in this order; classes without an input fall away.

    Raises:
        ValueError: answers that are no classes, or not numbers; more classes than half the inputs.
    """
    name = Path(path).name.split(".")[0] if path is not None else "idx"
    x = channels_last(x, path, settings, origin)
    scale = 1 / 255 if x.dtype == np.uint8 and x.ndim == 4 else 1.0
    called = f"{path}: {field}" if path is not None else field
    if settings.targets == "regression" and not class_names:
        return Source(x, targets.columns(y, called), (), name, scale, origin)
    labels, names = targets.encode_classes(y, called)
    if class_names:
        names = tuple(class_names[int(number)] for number in names)
    if len(names) > max(2, len(y) // 2):
        raise ValueError(
            f"{called} takes {len(names)} different values over {len(y)} inputs, so most classes would have one "
            "input; for real-valued answers use targets='regression'"
        )
    return Source(x, labels, names, name, scale, origin)


def sources_of(
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    settings: Preparation,
    origin: Origin,
    path: FilePath | None = None,
    class_names: tuple[str, ...] = (),
) -> tuple[Source, Source]:
    """Both parts, inputs and answers each, with one numbering of the classes.

    Raises:
        ValueError: what `source_of` refuses; answers of other shapes; a class in the test part alone.
    """
    if train[1].ndim != test[1].ndim or train[1].shape[1:] != test[1].shape[1:]:
        raise ValueError(f"{path}: y_train has shape {train[1].shape} and y_test {test[1].shape}; they do not match")
    n = len(train[0])
    answers = np.concatenate([train[1], test[1]])
    both = source_of(train[0], answers, path, settings, origin, "y_train and y_test", class_names)
    if both.class_names:
        unseen = sorted(set(both.answers[n:]) - set(both.answers[:n]))
        if unseen:
            raise ValueError(
                f"the class {both.class_names[unseen[0]]} is in the test part and not in the training part"
            )
    test_inputs = channels_last(test[0], path, settings, origin)
    return replace(both, answers=both.answers[:n]), replace(both, inputs=test_inputs, answers=both.answers[n:])
