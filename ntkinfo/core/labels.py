"""Class labels as users have them: checked once, and numbered from 0."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Int

from ntkinfo.core import checks


def class_values(name: str, labels: Any) -> np.ndarray:
    """Labels as whole numbers, booleans or text, (n,), with whole floats made integers.

    Args:
        name: what to call them in messages.
        labels: array, list, pandas column or the like.

    Raises:
        ValueError: NaN, masked or missing entries, fractions, another shape.
        TypeError: values that name no class.
    """
    array = checks.host(name, labels)
    if array.ndim != 1:
        remedy = ""
        if array.ndim == 2:
            remedy = "; take the one column" if array.shape[1] == 1 else "; for one-hot rows take argmax(axis=1)"
        raise ValueError(f"{name} has shape {array.shape}; it must be (n,): one class for each input{remedy}")
    if array.dtype.kind == "f":
        missing = np.flatnonzero(~np.isfinite(array))
        if len(missing):
            raise ValueError(
                f"{name} holds {len(missing)} NaN or infinite value(s), the first at index {missing[0]}; an input "
                "without a class belongs to none: remove those inputs"
            )
        if np.any(array != np.floor(array)) or np.any(np.abs(array) >= 2.0**53):
            raise ValueError(f"{name} holds fractions or numbers of 2^53 and more, which name no class")
        return array.astype(np.int64)
    if array.dtype.kind not in "iubUST":
        raise TypeError(f"{name} holds {array.dtype}; classes are whole numbers, booleans or text")
    return array


def class_numbers(name: str, labels: Any, length: int, meaning: str) -> tuple[Int[np.ndarray, " n"], np.ndarray]:
    """Number the classes that occur from 0 in rising order.

    Args:
        name: what to call the labels in messages.
        labels: one class an input; integers, whole floats, booleans or text.
        length: how many there must be.
        meaning: what they are, for the message about a wrong number.

    Returns:
        The numbers, (n,), and the values they stand for.

    Raises:
        ValueError, TypeError: as `class_values`; another number of labels.
    """
    values = class_values(name, labels)
    checks.shape(name, values, (length,), meaning)
    known, numbers = np.unique(values, return_inverse=True)
    return numbers.reshape(-1).astype(np.int64), known


def classes_told(targets: np.ndarray) -> int:
    """How many classes targets tell apart: columns of one-hot rows, 2 for one column of two values; 0 for real answers.

    The two values are 0 and another, or a number and its negative; one-hot rows hold one value once and another else.
    """
    highest, lowest = targets.max(), targets.min()
    if highest == lowest or not np.all((targets == highest) | (targets == lowest)):
        return 0
    if targets.shape[1] == 1:
        return 2 if 0 in (highest, lowest) or highest == -lowest else 0
    return targets.shape[1] if np.all(np.sum(targets == highest, axis=1) == 1) else 0


def checked_labels(name: str, labels: Any, length: int, classes: int) -> np.ndarray:
    """The labels of one split of a `Dataset` as whole numbers from 0.

    Args:
        name: what to call them in messages.
        labels: one class an input.
        length: how many there must be.
        classes: how many there can be; 0 where that is not known.

    Raises:
        ValueError: NaN or masked entries, another number of labels, labels outside the classes.
        TypeError: labels that are no whole numbers.
    """
    given = checks.host(name, labels)
    values = given if given.dtype.kind == "f" and np.all(np.isfinite(given)) else class_values(name, given)
    if values.dtype.kind not in "iub":
        raise TypeError(
            f"{name} holds {values.dtype}; labels are integers from 0: number the classes, for instance with "
            "class_names, labels = numpy.unique(labels, return_inverse=True)"
        )
    checks.shape(name, values, (length,), "one class for each input")
    lowest, highest = int(values.min()), int(values.max())
    if lowest < 0 or 0 < classes <= highest:
        most = f"; with {classes} classes the labels are 0 to {classes - 1}" if classes else "; labels start at 0"
        raise ValueError(
            f"{name} runs from {lowest} to {highest}{most}: number the classes from 0 (numpy.unique(labels, "
            "return_inverse=True)), and give one-hot targets one column a class"
        )
    return values.astype(np.int64)


def checked_class_names(both: np.ndarray, told: int, class_names: Any) -> tuple[str, ...]:
    """One name a class; numbers where none are given.

    Args:
        both: labels of both splits.
        told: how many classes the targets tell apart; 0 for real answers.
        class_names: the names, or nothing.

    Raises:
        ValueError: names that repeat, more names than the targets tell apart, a class without an input where the names
            do not say that there is one.
    """
    if class_names:
        names = tuple(str(name) for name in class_names)
        if len(set(names)) < len(names):
            raise ValueError(f"class_names names a class twice: {', '.join(names)}; name each once")
        if told and len(names) > told:
            raise ValueError(
                f"class_names names {len(names)} classes and the targets tell {told} apart; give one-hot targets one "
                "column a class"
            )
        return names
    found = np.unique(both)
    wrong = np.flatnonzero(found != np.arange(len(found)))
    if len(wrong):
        raise ValueError(
            f"no input is of class {wrong[0]}, though labels run to {found[-1]}; number the classes that there are "
            "from 0, or give class_names for all of them"
        )
    return tuple(str(k) for k in range(len(found)))


def check_against_targets(name: str, labels: Int[np.ndarray, " n"], targets: np.ndarray, highest: float) -> None:
    """Raise ValueError where targets that tell classes apart say another class than the labels.

    Args:
        name: what to call the labels in messages.
        labels: classes from 0.
        targets: one-hot rows, or one column of two values.
        highest: the larger of the two values that the targets of both splits take.
    """
    told = targets == highest
    said = told[:, 0].astype(np.int64) if targets.shape[1] == 1 else np.argmax(told, axis=1)
    meaning = "the larger of two target values is class 1" if targets.shape[1] == 1 else "columns are classes"
    wrong = np.flatnonzero(said != labels)
    if len(wrong):
        first = int(wrong[0])
        raise ValueError(
            f"{name} and the targets name different classes for {len(wrong)} of {len(labels)} inputs, the first at "
            f"index {first} (label {labels[first]}, targets {targets[first].tolist()}): {meaning}; renumber the labels "
            "or reorder the targets"
        )
