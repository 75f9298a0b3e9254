"""The columns of a table of trials as users have them: lists, pandas columns, None among hyperparameters."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ntkinfo.core import checks


def numbers(name: str, values: Any, length: int | None = None) -> Float[np.ndarray, " m"]:
    """A column of numbers; NaN and infinities stay.

    Args:
        name: what to call it in messages.
        values: array, list, pandas column or the like.
        length: how many trials there are; None takes any number but 0.

    Raises:
        ValueError: another shape or length, missing entries.
        TypeError: what is no real number.
    """
    array = _column(name, values, length)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} holds {'text' if array.dtype.kind in 'UST' else array.dtype}; it must be real numbers")
    return array.astype(np.float64)


def names(name: str, values: Any, length: int) -> np.ndarray:
    """A column of names, as text."""
    return _column(name, values, length).astype(str)


def levels(name: str, values: Any, length: int) -> np.ndarray:
    """A column of hyperparameters: numbers, text or booleans, and None, which is a value of its own.

    Returns:
        The column; of objects where there is a None.

    Raises:
        ValueError, TypeError: as `numbers`; NaN; numbers and text in one column.
    """
    items = list(values) if isinstance(values, list | tuple) or getattr(values, "dtype", np.int64) == np.object_ else ()
    here = [item for item in items if item is not None]
    if len(here) == len(items):
        column = _column(name, values, length)
    else:
        checks.shape(name, np.empty(len(items)), (length,), "one value for each trial")
        column = np.full(len(items), None, dtype=object)
        if here:
            known = _column(name, here, len(here))
            column[[k for k, item in enumerate(items) if item is not None]] = known.tolist()
            _no_nan(name, known)
    _no_nan(name, column)
    return column


def codes(column: np.ndarray) -> Int[np.ndarray, " m"]:
    """Each value as a whole number from 0 in the order of the values; None comes first."""
    if column.dtype != object:
        return np.unique(column, return_inverse=True)[1].reshape(-1)
    known = sorted({item for item in column.tolist() if item is not None})
    place = {item: k for k, item in enumerate(known, start=1)}
    return np.unique([place.get(item, 0) for item in column.tolist()], return_inverse=True)[1].reshape(-1)


def _column(name: str, values: Any, length: int | None) -> np.ndarray:
    array = checks.host(name, values)
    if length is None and (array.ndim != 1 or array.size == 0):
        raise ValueError(f"{name} has shape {array.shape}; it must be (trials,), at least one")
    checks.shape(name, array, (len(array) if length is None else length,), "one value for each trial")
    return array


def _no_nan(name: str, column: np.ndarray) -> None:
    if np.issubdtype(column.dtype, np.floating):
        no_nan(name, column, "give None where a hyperparameter is not set, which counts as a value of its own")


def no_nan(name: str, values: np.ndarray, remedy: str = "leave them out first (without_missing)") -> None:
    """Raise ValueError where there is a NaN."""
    if np.any(np.isnan(values)):
        raise ValueError(f"{name} is NaN in {int(np.isnan(values).sum())} of {len(values)} trials; {remedy}")
