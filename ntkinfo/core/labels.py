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
