"""Arrays by their annotations: lists become arrays, kinds of numbers and shapes are held against what is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from ntkinfo.core import checks
from ntkinfo.core.arrays import float64
from ntkinfo.core.wording import came

# The length that a letter of a shape stands for, and the argument that set it.
Sizes = dict[str, tuple[int, str]]

_WORDS = {"f": "real numbers", "i": "whole numbers", "b": "True and False", "": "numbers"}


@dataclass(frozen=True)
class ArrayWanted:
    """An array as an annotation describes it.

    Args:
        kind: "f" for real, "i" for whole numbers, "b" for booleans, "" for any of them.
        dims: the shape, one letter or number a dimension, as in the annotation.
        on_device: whether a jax array may stay one.
    """

    kind: str
    dims: str
    on_device: bool

    @property
    def numbers(self) -> str:
        """What the array holds, in words."""
        return _WORDS[self.kind]


def is_array_annotation(annotation: Any) -> bool:
    """Whether it is a jaxtyping annotation, such as Float[Array, "n d"]."""
    return isinstance(annotation, type) and hasattr(annotation, "dim_str") and hasattr(annotation, "dtypes")


def array_wanted(*annotations: Any) -> ArrayWanted:
    """What annotations of one shape, for arrays of numpy and of jax, ask for."""
    first = annotations[0]
    names = [str(name) for name in first.dtypes] if isinstance(first.dtypes, list | tuple) else []
    kind = ""
    for letter, start in (("b", "bool"), ("i", ("int", "uint")), ("f", "float")):
        if names and any(name.startswith(start) for name in names):
            kind = letter
    on_device = any(issubclass(jax.Array, one.array_type) for one in annotations if isinstance(one.array_type, type))
    dims = "..." if first.dim_str is Ellipsis else first.dim_str
    return ArrayWanted(kind, ", ".join(dims.split()), on_device)


def take_array(name: str, value: Any, wanted: ArrayWanted, sizes: Sizes) -> Any:
    """The value as an array of the kind and shape that is asked for.

    Args:
        name: the argument.
        value: what came.
        wanted: what its annotation asks for.
        sizes: the lengths that earlier arguments gave to letters; this one's are added.

    Raises:
        TypeError: no array, or one of other things than the numbers asked for.
        ValueError: another shape, or lengths that differ from those of earlier arguments.
    """
    if isinstance(value, Tracer):
        return value
    if isinstance(value, str | bytes | dict | set) or callable(value):
        raise TypeError(f"{name} is {came(value)}; it must be an array or a list of {wanted.numbers}")
    array = value if isinstance(value, jax.Array) and wanted.on_device else checks.host(name, value)
    array = _of_kind(name, array, wanted)
    _check_shape(name, array.shape, wanted, sizes)
    return array


def _of_kind(name: str, array: Any, wanted: ArrayWanted) -> Any:
    have, want = array.dtype.kind, wanted.kind
    if have == "V" and array.dtype.name == "bfloat16":
        return array
    if have not in "biuf":
        what = "text" if have in "UST" else str(array.dtype)
        remedy = ": number the classes, for instance by numpy.unique(..., return_inverse=True)" if want == "i" else ""
        raise TypeError(f"{name} holds {what}; it must hold {wanted.numbers}{remedy if have in 'UST' else ''}")
    if want == "f":
        if have in "biu":
            with float64():
                return array.astype(np.float64)
        if array.dtype.itemsize > 8:
            raise TypeError(f"{name} holds {array.dtype}; give float64, in which everything here is computed")
        return array
    if want == "":
        return array
    if have == "f":
        return _whole_floats(name, array, wanted)
    if want == "b" and have != "b":
        if bool(((array != 0) & (array != 1)).any()):
            raise ValueError(f"{name} holds other numbers than 0 and 1; it must hold True and False")
        return array.astype(bool)
    return array.astype(np.int64) if want == "i" and have == "b" and isinstance(array, np.ndarray) else array


def _whole_floats(name: str, array: Any, wanted: ArrayWanted) -> Any:
    checks.finite(name, array)
    host = np.asarray(array)
    if np.any(host != np.floor(host)) or np.any(np.abs(host) >= 2.0**53):
        place = np.argwhere((host != np.floor(host)) | (np.abs(host) >= 2.0**53))[0]
        raise ValueError(
            f"{name} holds {float(host[tuple(place)])!r} at index {tuple(int(i) for i in place)}; it must hold "
            f"{wanted.numbers}"
        )
    return host.astype(np.int64)


def _check_shape(name: str, shape: tuple[int, ...], wanted: ArrayWanted, sizes: Sizes) -> None:
    dims = wanted.dims.split(", ") if wanted.dims else []
    if any(dim == "..." or dim.startswith("*") for dim in dims):
        return  # any number of dimensions: the function says what it can use
    if len(dims) != len(shape):
        raise ValueError(f"{name} has shape {shape}; it must be {_shape_words(dims)}{_shape_remedy(dims, shape)}")
    for place, (dim, length) in enumerate(zip(dims, shape, strict=True)):
        if dim == "_" or not dim.isidentifier():
            if dim.isdigit() and int(dim) != length:
                raise ValueError(f"{name} has shape {shape}; it must be {_shape_words(dims)}")
            continue
        known, first = sizes.setdefault(dim, (length, name))
        if known == length or "1" in dim:
            continue
        if first == name:
            raise ValueError(
                f"{name} has shape {shape}; it must be {_shape_words(dims)}, with {dim} both times the same"
            )
        raise ValueError(
            f"{name} has shape {shape} and {first} says that {dim} is {known}; {name} must be {_shape_words(dims)}, so "
            f"that its axis {place} has {known} entries{_transposed(dims, shape, sizes)}"
        )


def _shape_words(dims: list[str]) -> str:
    return f"({', '.join(dims)}{',' if len(dims) == 1 else ''})"


def _shape_remedy(dims: list[str], shape: tuple[int, ...]) -> str:
    if len(shape) == 0:
        return ": give a list, [value]"
    if len(dims) == 1 and len(shape) == 2 and 1 in shape:
        return ": give its one row or column, for instance by numpy.ravel"
    if len(dims) == 2 and len(shape) == 1:
        return ": one row for each entry, for instance by array[:, None]"
    return ""


def _transposed(dims: list[str], shape: tuple[int, ...], sizes: Sizes) -> str:
    fits = len(shape) == 2 and all(sizes.get(dim, (n, ""))[0] == n for dim, n in zip(dims, shape[::-1], strict=True))
    return "; it may be transposed" if fits else ""
