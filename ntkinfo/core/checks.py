"""Every message about bad input, in one voice: what was given, what is needed, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from numbers import Real

import numpy as np

from ntkinfo.core.arrays import Array, namespace


def finite(name: str, array: Array) -> None:
    """Raise ValueError where an array holds NaN or infinity, naming the first place."""
    xp = namespace(array)
    if array.size == 0 or bool(xp.all(xp.isfinite(array))):
        return
    place = tuple(int(i) for i in np.argwhere(~np.isfinite(np.asarray(array)))[0])
    count = int(np.sum(~np.isfinite(np.asarray(array))))
    raise ValueError(
        f"{name} holds {count} NaN or infinite value(s), the first at index {place}; "
        "remove those rows or fill them in before the analysis"
    )


def shape(name: str, array: Array, wanted: tuple[int | None, ...], meaning: str) -> None:
    """Raise ValueError unless the shape matches; None matches any length."""
    fits = array.ndim == len(wanted) and all(w is None or w == s for w, s in zip(wanted, array.shape, strict=True))
    if not fits:
        text = ", ".join("any" if w is None else str(w) for w in wanted)
        raise ValueError(f"{name} has shape {tuple(array.shape)}; it must be ({text}): {meaning}")


def choice(name: str, value: str, known: Iterable[str]) -> None:
    """Raise ValueError for an unknown name, with the nearest known one."""
    names = sorted(known)
    if value not in names:
        raise ValueError(
            f"{name} is {value!r}, which is not known{suggestion(value, names)}; known: {', '.join(names)}"
        )


def suggestion(value: str, names: Sequence[str]) -> str:
    """A did-you-mean clause, or nothing when no name is near."""
    near = difflib.get_close_matches(str(value), names, n=1, cutoff=0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""


def positive(name: str, value: float) -> None:
    """Raise unless the value is a finite number above zero."""
    _number(name, value)
    if not (np.isfinite(value) and value > 0):
        raise ValueError(f"{name} is {value}; it must be a finite number greater than 0")


def non_negative(name: str, value: float) -> None:
    """Raise unless the value is a finite number, zero or above."""
    _number(name, value)
    if not (np.isfinite(value) and value >= 0):
        raise ValueError(f"{name} is {value}; it must be a finite number, 0 or greater")


def probability(name: str, value: float) -> None:
    """Raise unless the value is a number from 0 to 1."""
    _number(name, value)
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is {value}; it is a probability, so it must lie between 0 and 1")


def whole(name: str, value: int, least: int = 1) -> None:
    """Raise unless the value is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} is {value!r}; it must be a whole number")
    if value < least:
        raise ValueError(f"{name} is {value}; it must be at least {least}")


def times(values: Array) -> None:
    """Raise unless the times form a non-empty, strictly rising row of numbers in [0, infinity]."""
    array = np.asarray(values)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"times has shape {array.shape}; it must be a non-empty one-dimensional array")
    if np.any(np.isnan(array)) or array[0] < 0:
        raise ValueError("times holds NaN or a negative number; times run from 0 to infinity inclusive")
    if np.any(np.diff(array) <= 0):
        raise ValueError("times must rise strictly: sort them and drop repeated ones (numpy.unique does both)")


def _number(name: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} is {value!r}; it must be a number")


def finite_number(name: str, value: float) -> None:
    """Raise unless the value is a finite number of either sign."""
    _number(name, value)
    if not np.isfinite(value):
        raise ValueError(f"{name} is {value}; it must be a finite number")
