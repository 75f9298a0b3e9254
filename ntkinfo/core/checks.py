"""Every message about bad input, in one voice: what was given, what is needed, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

import numpy as np

from ntkinfo.core.arrays import Array, namespace, unmasked
from ntkinfo.core.wording import came


def host(name: str, value: Any) -> np.ndarray:
    """The value as a numpy array: lists, pandas and xarray objects and arrays on a device are converted.

    Raises:
        ValueError: masked or missing entries, rows of different lengths.
        TypeError: what is no array of numbers, booleans or text, such as None, objects or sparse matrices.
    """
    if value is None:
        raise TypeError(f"{name} is None; it must be an array or a list")
    if hasattr(value, "toarray") and not isinstance(value, np.ndarray):
        raise TypeError(f"{name} is a sparse {type(value).__name__}; give its dense form, {name}.toarray()")
    try:
        array = unmasked(value, name)
    except RuntimeError as error:
        raise TypeError(f"{name} is a {type(value).__name__} that cannot be converted to numpy ({error})") from error
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise
        raise ValueError(f"{name} holds rows of different lengths; each row needs as many values") from error
    if not array.dtype.isnative:  # as files of other machines hold them; jax takes none of these
        array = array.astype(array.dtype.newbyteorder("="))
    return _plain(name, array) if array.dtype == object else array


def _plain(name: str, array: np.ndarray) -> np.ndarray:
    """An array of Python objects as numbers or text, where all are of one kind and none is missing."""
    flat = array.reshape(-1).tolist()
    missing = [k for k, item in enumerate(flat) if item is None or item is not item or str(item) in ("<NA>", "NaT")]
    if missing:
        place = tuple(int(i) for i in np.unravel_index(missing[0], array.shape))
        raise ValueError(
            f"{name} holds {len(missing)} missing value(s), the first at index {place}; remove those rows or fill "
            "them in before the analysis"
        )
    for kinds in (bool, (int, np.integer), (Real, np.number), str):
        if flat and all(isinstance(item, kinds) for item in flat):
            return np.array(flat).reshape(array.shape)
    kinds = ", ".join(sorted({type(item).__name__ for item in flat})[:4]) or type(array).__name__
    raise TypeError(f"{name} holds objects ({kinds}); it must be numbers of one kind, or text for classes")


def finite(name: str, array: Array) -> None:
    """Raise ValueError where an array holds NaN or infinity, naming the first place; TypeError where no numbers."""
    if array.dtype.kind in "OSUTMm":
        raise TypeError(f"{name} holds {'text' if array.dtype.kind in 'SUT' else array.dtype}; it must be real numbers")
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
            f"{name} is {came(value)}, which is not known{suggestion(value, names)}; known: {', '.join(names)}"
        )


def suggestion(value: str, names: Sequence[str]) -> str:
    """A did-you-mean clause, or nothing when no name is near."""
    near = difflib.get_close_matches(str(value), names, n=1, cutoff=0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""


def positive(name: str, value: float) -> None:
    """Raise unless the value is a finite number above zero."""
    _number(name, value)
    if not (np.isfinite(value) and value > 0):
        raise ValueError(f"{name} is {came(value)}; it must be a finite number greater than 0")


def non_negative(name: str, value: float) -> None:
    """Raise unless the value is a finite number, zero or above."""
    _number(name, value)
    if not (np.isfinite(value) and value >= 0):
        raise ValueError(f"{name} is {came(value)}; it must be a finite number, 0 or greater")


def probability(name: str, value: float) -> None:
    """Raise unless the value is a number from 0 to 1."""
    _number(name, value)
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is {came(value)}; it is a probability, so it must lie between 0 and 1")


def whole(name: str, value: int, least: int = 1) -> None:
    """Raise unless the value is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} is {came(value)}; it must be a whole number")
    if value < least:
        raise ValueError(f"{name} is {came(value)}; it must be at least {least}")


def interpolation(tolerance: float, limit: int | None) -> None:
    """Raise unless the error allowed between times is above 0 and the most times evaluated, if given, at least 1."""
    positive("tolerance", tolerance)
    if limit is not None:
        whole("limit", limit)


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
        raise TypeError(f"{name} is {came(value)}; it must be a number")


def finite_number(name: str, value: float) -> None:
    """Raise unless the value is a finite number of either sign."""
    _number(name, value)
    if not np.isfinite(value):
        raise ValueError(f"{name} is {came(value)}; it must be a finite number")
