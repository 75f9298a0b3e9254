"""One numeric code for numpy (CPU) and jax (CPU or GPU) arrays: the namespace is taken from the arrays themselves."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import jax
import numpy as np

Array = np.ndarray | jax.Array


def namespace(*arrays: object) -> ModuleType:
    """`jax.numpy` if any argument is a jax array, else `numpy`."""
    if any(isinstance(array, jax.Array) for array in arrays):
        return jax.numpy
    return np


def special(*arrays: object) -> ModuleType:
    """The `scipy.special` that belongs to the arrays' namespace."""
    if namespace(*arrays) is np:
        import scipy.special

        return scipy.special
    import jax.scipy.special

    return jax.scipy.special


def to_numpy(array: Array) -> np.ndarray:
    """The array on the host; a numpy array is returned as it is.

    Raises:
        ValueError: a masked array with masked entries, which have no value.
    """
    return unmasked(array, "the array")


def unmasked(value: Any, name: str) -> np.ndarray:
    """The value as a numpy array.

    Raises:
        ValueError: masked entries. `numpy.asarray` drops a mask and takes what lies under it for values.
    """
    if isinstance(value, np.ma.MaskedArray) and np.any(np.ma.getmaskarray(value)):
        places = np.argwhere(np.ma.getmaskarray(value))
        raise ValueError(
            f"{name} has {len(places)} masked value(s), the first at index {tuple(int(i) for i in places[0])}; "
            "remove those rows or fill them in before the analysis"
        )
    return np.asarray(value)


@contextmanager
def float64() -> Iterator[None]:
    """Let jax compute in float64 inside the block, leaving the global setting alone.

    `jax.enable_x64` became a context manager in jax 0.8; before it lived in `jax.experimental`.
    """
    home = jax if hasattr(jax, "enable_x64") else importlib.import_module("jax.experimental")
    with home.enable_x64(True):
        yield


def double(array: Array) -> Array:
    """The array in float64, where it is not already; for jax arrays to be called inside `float64()`."""
    return array if array.dtype == np.float64 else array.astype(np.float64)


def log_size(values: Array) -> Array:
    """Log |v|, −∞ at 0 without a warning."""
    xp, size = namespace(values), namespace(values).abs(values)
    return xp.where(size > 0, xp.log(xp.where(size > 0, size, 1.0)), -xp.inf)
