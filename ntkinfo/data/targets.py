"""From classes or real answers to the targets that a network is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ntkinfo.core import checks

# Text that programs write for a missing value.
MISSING = frozenset(
    ("NA", "N/A", "n/a", "<NA>", "#N/A", "#NA", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None", "NaT", "?")
)
TARGETS = ("one-hot", "parity", "pair", "regression")


def centred_one_hot(labels: Int[np.ndarray, " n"], n_classes: int) -> Float[np.ndarray, "n c"]:
    """One column a class: 1 - 1/C in the column of the label, -1/C elsewhere, so that every row sums to 0.

    Args:
        labels: classes from 0 to n_classes - 1.
        n_classes: the number of classes C, at least 2.

    Returns:
        Targets, (n, C).

    Raises:
        ValueError: labels outside the classes, or fewer than two classes.
    """
    checks.whole("n_classes", n_classes, least=2)
    _check_labels(labels, n_classes)
    return np.eye(n_classes)[labels] - 1.0 / n_classes


def signs(labels: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n 1"]:
    """One column: -1 for class 0, +1 for class 1.

    Raises:
        ValueError: a label other than 0 and 1.
    """
    _check_labels(labels, 2)
    return 2.0 * labels[:, None] - 1.0


def columns(values: np.ndarray, name: str = "y") -> Float[np.ndarray, "n c"]:
    """Real answers as targets: (n,) becomes (n, 1), (n, C) stays.

    Raises:
        ValueError: another shape, NaN or infinity.
        TypeError: values that are not real numbers.
    """
    array = np.asarray(values)
    if not (np.issubdtype(array.dtype, np.number) or array.dtype == bool) or np.iscomplexobj(array):
        raise TypeError(f"{name} holds {array.dtype}; regression targets must be real numbers")
    if array.ndim not in (1, 2):
        raise ValueError(f"{name} has shape {array.shape}; regression targets are (n,) or (n, outputs)")
    array = array.astype(np.float64).reshape(len(array), -1)
    checks.finite(name, array)
    return array


def encode_classes(values: np.ndarray, name: str = "y") -> tuple[Int[np.ndarray, " n"], tuple[str, ...]]:
    """Number the classes from 0, in rising order of their values.

    Args:
        values: one class an input, (n,), (n, 1) or (1, n): whole numbers (also stored as floats), booleans or text;
            or one-hot rows (n, C), whose classes are the columns' numbers.
        name: what to call the values in messages.

    Returns:
        The class numbers (n,), and one name a class.

    Raises:
        ValueError: another shape, fractions, NaN, masked entries, text that marks a missing value.
        TypeError: values that can name no class.
    """
    array = checks.host(name, values)
    if array.ndim == 2 and array.shape[1] > 1 and _one_hot(array):
        array = np.argmax(array, axis=1)
    if array.ndim == 2 and 1 in array.shape:
        array = array.reshape(-1)
    if array.ndim != 1:
        raise ValueError(
            f"{name} has shape {array.shape}; classes are (n,) or (n, 1), one an input, or one-hot rows of one 1 and "
            "else 0"
        )
    if array.dtype.kind == "f":
        checks.finite(name, array)
        if np.any(array != np.floor(array)) or np.any(np.abs(array) >= 2.0**53):
            raise ValueError(
                f"{name} holds fractions, which name no class; for real-valued answers use targets='regression'"
            )
        array = array.astype(np.int64)
    if array.dtype.kind not in "iubU":
        raise TypeError(f"{name} holds {array.dtype}; classes are whole numbers, booleans or text")
    if array.dtype.kind == "U":
        missing = [k for k, text in enumerate(map(str, array)) if not text.strip() or text.strip() in MISSING]
        if missing:
            raise ValueError(
                f"{name} holds {len(missing)} missing value(s), the first {array[missing[0]]!r} at index {missing[0]}; "
                "each input needs a class: remove those inputs, or spell out the class of that name"
            )
    known, labels = np.unique(array, return_inverse=True)
    return labels.astype(np.int64), tuple(str(value) for value in known)


def _one_hot(array: np.ndarray) -> bool:
    return bool(array.dtype.kind in "iufb" and np.all((array == 0) | (array == 1)) and np.all(array.sum(axis=1) == 1))


def class_numbers(class_names: Sequence[str]) -> Int[np.ndarray, " c"]:
    """The whole numbers that name the classes, such as the digits.

    Raises:
        ValueError: a class whose name is not a whole number.
    """
    try:
        return np.array([int(name) for name in class_names], dtype=np.int64)
    except ValueError:
        raise ValueError(
            f"the classes are named {', '.join(class_names)}; parity and regression on classes need whole numbers as "
            "names: use targets='one-hot' or targets='pair'"
        ) from None


def choose_classes(class_names: Sequence[str], chosen: Sequence[Any], targets: str) -> Int[np.ndarray, " k"]:
    """The numbers of the classes to keep, in the order asked for.

    Args:
        class_names: one name a class.
        chosen: names of classes, as text or whole numbers; empty keeps all.
        targets: the kind of targets; "pair" needs exactly two classes.

    Returns:
        Positions in `class_names`.

    Raises:
        ValueError: an unknown class, a class named twice, or a number of classes that does not fit the targets.
    """
    names = [str(name) for name in class_names]
    wanted = [str(name) for name in chosen]
    for name in wanted:
        checks.choice("classes", name, names)
    if len(set(wanted)) < len(wanted):
        raise ValueError(f"classes names a class twice: {', '.join(wanted)}; name each once")
    kept = wanted or names
    if targets == "pair" and len(kept) != 2:
        raise ValueError(
            f"targets='pair' needs two classes and there are {len(kept)}: {', '.join(kept)}; "
            f"choose two, as in classes=({names[0]!r}, {names[-1]!r})"
        )
    if len(kept) < 2:
        raise ValueError(f"there is one class only ({', '.join(kept)}); choose at least two of {', '.join(names)}")
    return np.array([names.index(name) for name in kept], dtype=np.int64)


def _check_labels(labels: np.ndarray, n_classes: int) -> None:
    if labels.size and (labels.min() < 0 or labels.max() >= n_classes):
        raise ValueError(
            f"labels run from {labels.min()} to {labels.max()}; with {n_classes} classes they are 0 to {n_classes - 1}"
        )
