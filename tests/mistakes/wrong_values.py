"""What users put where something else is meant: for every argument, and for arrays and numbers in particular."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np


class Anything:
    """An object of no kind that any function knows."""


ANYWHERE: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "text": lambda: "wrong",
    "text with control characters": lambda: "\x1b[2J[bold]<b>" + "x" * 300,
    "object": Anything,
    "class": lambda: Anything,
    "dictionary": lambda: {"a": 1},
    "complex": lambda: 1j,
    "bytes": lambda: b"wrong",
    "texts": lambda: np.array(["a", "b"]),
    "objects": lambda: np.array([Anything(), None], dtype=object),
    "ragged": lambda: [[1.0], [1.0, 2.0]],
    "date": lambda: datetime.date(2020, 1, 1),
    "function": lambda: len,
    "module": lambda: np,
    "set": lambda: {1, 2},
    "generator": lambda: (k for k in range(3)),
}
"""Makers of values that hardly any argument can mean."""

NUMBERS: tuple[Any, ...] = (
    0,
    -1,
    1,
    0.5,
    -0.5,
    1e-300,
    1e300,
    float("nan"),
    float("inf"),
    -float("inf"),
    10**30,
    -(10**30),
    True,
    "3",
    np.float32(0.25),
    np.int8(2),
    np.uint64(2**63),
    np.array(0.5),
    np.array([0.5]),
    Fraction(1, 3),
    Decimal("0.1"),
    2.0,
)
"""Numbers, and what stands for one, where one number is meant."""


def spoilt_array(value: Any, random: np.random.Generator) -> tuple[str, Any]:
    """A list or array that is like the right one but for one thing; with what that is."""
    array = np.asarray(value)
    kinds = list(_SPOIL)
    kind = kinds[random.integers(len(kinds))]
    return kind, _SPOIL[kind](array, random)


def _put(value: Any) -> Callable:
    def put(array: np.ndarray, random: np.random.Generator) -> np.ndarray:
        changed = array.astype(np.float64).copy()
        if changed.size:
            changed.reshape(-1)[random.integers(changed.size)] = value
        return changed

    return put


def _frame(array: np.ndarray, random: np.random.Generator) -> Any:
    import pandas as pd

    return pd.Series(array) if array.ndim == 1 else pd.DataFrame(array.reshape(len(array), -1) if array.ndim else [])


def _labelled(array: np.ndarray, random: np.random.Generator) -> Any:
    import xarray as xr

    return xr.DataArray(array)


def _device(array: np.ndarray, random: np.random.Generator) -> Any:
    import jax.numpy as jnp

    return jnp.asarray(array)


_SPOIL: dict[str, Callable[[np.ndarray, np.random.Generator], Any]] = {
    "transposed": lambda a, r: a.T,
    "empty": lambda a, r: a[:0] if a.ndim else [],
    "no columns": lambda a, r: a[..., :0] if a.ndim else [],
    "a row less": lambda a, r: a[:-1] if a.ndim else a,
    "a row more": lambda a, r: np.concatenate([a, a[:1]]) if a.ndim else a,
    "one row": lambda a, r: a[:1] if a.ndim else a,
    "one more axis": lambda a, r: a[..., None],
    "one axis less": lambda a, r: a.reshape(-1) if a.ndim != 1 else a[0],
    "many axes": lambda a, r: a.reshape(*a.shape, 1, 1, 1),
    "backwards": lambda a, r: a[::-1],
    "a NaN": _put(np.nan),
    "an infinity": _put(np.inf),
    "minus infinity": _put(-np.inf),
    "a negative": _put(-1.0),
    "a fraction": _put(0.25),
    "a huge number": _put(1e300),
    "a tiny number": _put(1e-300),
    "a large whole number": _put(1e15),
    "all zero": lambda a, r: np.zeros(a.shape),
    "all equal": lambda a, r: np.ones(a.shape),
    "all NaN": lambda a, r: np.full(a.shape, np.nan),
    "large": lambda a, r: a * 1e200,
    "small": lambda a, r: a * 1e-200,
    "whole numbers": lambda a, r: np.rint(a).astype(np.int64),
    "booleans": lambda a, r: a.astype(bool),
    "half precision": lambda a, r: a.astype(np.float16),
    "single precision": lambda a, r: a.astype(np.float32),
    "long doubles": lambda a, r: a.astype(np.longdouble),
    "complex": lambda a, r: a.astype(np.complex128),
    "objects": lambda a, r: a.astype(object),
    "text": lambda a, r: a.astype(str),
    "fractions": lambda a, r: np.array([Fraction(1, 3)] * a.size, dtype=object).reshape(a.shape),
    "dates": lambda a, r: np.zeros(a.shape, dtype="datetime64[D]"),
    "a missing entry": lambda a, r: _with_none(a),
    "masked": lambda a, r: np.ma.masked_array(a, np.arange(a.size).reshape(a.shape) == 0),
    "nothing masked": lambda a, r: np.ma.masked_array(a, False),
    "other bytes": lambda a, r: a.astype(a.dtype.newbyteorder(">")),
    "read-only": lambda a, r: _read_only(a),
    "every second": lambda a, r: np.repeat(a, 2, axis=0)[::2] if a.ndim else a,
    "pandas": _frame,
    "xarray": _labelled,
    "jax": _device,
    "tuples": lambda a, r: tuple(a.tolist()) if a.ndim else (a,),
    "range": lambda a, r: range(len(a)) if a.ndim else range(2),
    "one number": lambda a, r: float(a.reshape(-1)[0]) if a.size else 0.0,
}


def _with_none(array: np.ndarray) -> np.ndarray:
    changed = array.astype(object)
    if changed.size:
        changed.reshape(-1)[0] = None
    return changed


def _read_only(array: np.ndarray) -> np.ndarray:
    changed = array.copy()
    changed.flags.writeable = False
    return changed
