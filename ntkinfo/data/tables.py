"""Columns of numbers and answers, whatever file they come from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ntkinfo.core import checks


@dataclass(frozen=True)
class Table:
    """Feature columns and answers of one file.

    Args:
        features: (n, d) real numbers, or images (n, height, width) or (n, height, width, channels).
        feature_names: names of the d columns, or of the one with images.
        answers: (n, C) real numbers, or (n,) classes as numbers or text.
        left_out: columns with the number of the row, which is no input.
        class_names: names of the classes in the order in which the file declares them, where it does; `answers` then
            hold their numbers.
        reading: how the file was read where that was guessed, in words.
    """

    features: np.ndarray
    feature_names: tuple[str, ...]
    answers: np.ndarray
    left_out: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    reading: str = ""


def choose_columns(
    place: Path,
    names: Sequence[str],
    targets: Sequence[str],
    features: Sequence[str],
    real_answers: bool,
    left_out: Sequence[str] = (),
    one_hot: bool = False,
) -> list[str]:
    """The feature columns, once every named column is known to be there.

    Args:
        place: the file.
        names: of its columns.
        targets: names of those with the answers.
        features: names of those with the inputs; empty takes what is left.
        real_answers: the answers are real numbers, in one column or several; otherwise classes.
        left_out: columns that are no inputs unless they are named.
        one_hot: classes may be in several columns as well.

    Raises:
        ValueError: no target, several class columns, a missing or repeated column, a target among the features,
            no features.
    """
    if not targets or (not real_answers and not one_hot and len(targets) > 1):
        raise ValueError(f"{len(targets)} target columns are named; classes need one, regression at least one")
    repeated = sorted({name for name in names if list(names).count(name) > 1})
    if repeated:
        raise ValueError(f"{place} has several columns named {repeated[0]!r}; rename all but one")
    for name in [*targets, *features]:
        if name not in names:
            raise ValueError(
                f"{place} has no column {name!r}{checks.suggestion(name, names)}; it has {', '.join(names)}"
            )
    shared = [name for name in features if name in targets]
    if shared:
        raise ValueError(f"the column {shared[0]!r} is named both as a target and as a feature")
    chosen = list(features) or [name for name in names if name not in targets and name not in left_out]
    if not chosen:
        rows = f" and the row numbers ({', '.join(map(repr, left_out))})" if left_out else ""
        raise ValueError(f"{place} has no column besides the targets{rows}; there are no inputs")
    return chosen


def one_hot_features(name: str, parts: Sequence[np.ndarray]) -> tuple[list[str], list[np.ndarray]]:
    """A column of text as one column a value, 1 where it stands there and else 0, values in the order of text.

    Args:
        name: of the column.
        parts: the column in each part of the data; a value that only one part has gets a column as well.

    Returns:
        Names such as "colour=red", and for each part its columns (n, values).

    Raises:
        ValueError: more values than half the rows, so that most would stand in one row.
    """
    known, numbers = np.unique(np.concatenate(parts), return_inverse=True)
    if len(known) > max(2, len(numbers) // 2):
        raise ValueError(
            f"the column {name!r} takes {len(known)} different texts over {len(numbers)} rows, which name rows rather "
            "than kinds; leave it out of features"
        )
    rows = np.split(np.eye(len(known))[numbers.reshape(-1)], np.cumsum([len(part) for part in parts])[:-1])
    return [f"{name}={value}" for value in known], rows


def one_hot_classes(place: Path, targets: Sequence[str], values: np.ndarray) -> np.ndarray:
    """The class of each row by several columns, of which one holds 1 and the others 0.

    Args:
        place: the file.
        targets: their names, which are those of the classes in this order.
        values: (n, C), any type.

    Returns:
        Class numbers (n,).

    Raises:
        ValueError: rows that are not so.
    """
    right = values.dtype.kind in "iufb" and (values.ndim == 2)
    rows = ((values == 0) | (values == 1)).all(axis=1) & (values.sum(axis=1) == 1) if right else np.array([False])
    if not rows.all():
        raise ValueError(
            f"{len(targets)} target columns are named, and {place} does not hold one 1 and else 0 in each row of them; "
            "classes need one column, or such one-hot columns; real answers need targets='regression'"
        )
    return np.argmax(values, axis=1)


def holds_row_names(name: str, position: int) -> bool:
    """Whether a CSV column of this name holds the rows' numbers or names, as pandas and R write them.

    Without a name in the first place (pandas' index, R's row names), or what pandas calls such a column when it reads
    and writes it again.
    """
    return (position == 0 and not name) or re.fullmatch(r"Unnamed: \d+(_level_\d+)?", name) is not None
