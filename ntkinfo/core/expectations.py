"""What an annotation asks of a value: whether it fits, what it can be made of, and what to say where it cannot."""

from __future__ import annotations

import collections.abc
import inspect
import os
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin

import jax
import numpy as np
from jax.core import Tracer

from ntkinfo.core import checks
from ntkinfo.core.expected_arrays import ArrayWanted, Sizes, array_wanted, is_array_annotation, take_array
from ntkinfo.core.progress import Track, bar, silent
from ntkinfo.core.wording import came, maker, making


@dataclass(frozen=True)
class Expectation:
    """One annotation.

    Args:
        what: what the value must be, in words.
        fits: whether a value is of that kind as it is.
        convert: `(name, value, sizes)` to the value that the function gets; raises TypeError or ValueError.
    """

    what: str
    fits: Callable[[Any], bool]
    convert: Callable[[str, Any, Sizes], Any] | None = None

    def take(self, name: str, value: Any, sizes: Sizes) -> Any:
        """The value as the function takes it; TypeError or ValueError where it cannot be meant."""
        if self.convert is not None:
            return self.convert(name, value, sizes)
        if self.fits(value):
            return value
        raise TypeError(f"{name} is {came(value)}; it must be {self.what}")


def expectation(annotation: Any) -> Expectation | None:
    """What an annotation asks for; None where it asks for nothing (Any, object, a type variable)."""
    if annotation is None or annotation is type(None):
        return Expectation("None", lambda value: value is None)
    if annotation in (Any, object) or isinstance(annotation, _UNBOUND):
        return None
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    if is_array_annotation(annotation):
        return _array(array_wanted(annotation))
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return _union(get_args(annotation))
    if origin is Literal:
        return _literal(get_args(annotation))
    if origin is not None or annotation in _ABSTRACT:
        return _container(origin or annotation, get_args(annotation))
    if annotation is Track:
        return _TRACK
    return _instance(annotation) if inspect.isclass(annotation) else None


_LARGEST = 2**63  # beyond it numpy makes objects of whole numbers

# --- numbers and text -------------------------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    """A number of numpy, or an array without dimensions, as Python's number; anything else as it is."""
    if isinstance(value, Tracer):
        return value
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray | jax.Array) and value.ndim == 0):
        return value.item()
    return value


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_real(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _number(what: str, right: Callable[[Any], bool], make: Callable[[Any], Any]) -> Expectation:
    def convert(name: str, value: Any, sizes: Sizes) -> Any:
        plain = _plain(value)
        if isinstance(plain, Tracer):
            return plain
        if right(plain):
            if abs(plain) >= _LARGEST and isinstance(plain, Integral):
                if make is int:
                    raise ValueError(f"{name} is {came(plain)}; it must be a whole number below 2^63")
                return _as_float(name, plain)
            if name == "seed" and make is int and plain < 0:
                raise ValueError(f"seed is {came(plain)}; it must be at least 0")
            return plain if isinstance(plain, int | float) else make(plain)
        raise TypeError(f"{name} is {came(value)}; it must be {what}{_remedy(plain, what)}")

    return Expectation(what, lambda value: right(_plain(value)), convert)


def _as_float(name: str, value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name} is {came(value)}, which is beyond the largest floating-point number") from None


def _remedy(value: Any, what: str) -> str:
    if isinstance(value, float) and value.is_integer() and "whole" in what:
        return f": write {int(value)}"
    if isinstance(value, str):
        try:
            float(value)
        except ValueError:
            return ""
        return ": leave the quotes away"
    return ""


def _bool(name: str, value: Any, sizes: Sizes) -> bool:
    plain = _plain(value)
    if not isinstance(plain, bool):
        raise TypeError(f"{name} is {came(value)}; it must be True or False")
    return plain


def _text(name: str, value: Any, sizes: Sizes) -> str:
    if isinstance(value, str):
        return str(value) if isinstance(value, np.str_) else value
    raise TypeError(f"{name} is {came(value)}; it must be text, a name in quotes")


def _progress(name: str, value: Any, sizes: Sizes) -> Any:
    if value is None or value is False:
        return silent
    if value is True:
        return bar
    if callable(value) and not inspect.isclass(value):
        return value
    raise TypeError(
        f"{name} is {came(value)}; it must be a function (items, label, total), or None for silence and True for a bar"
    )


_SCALARS: dict[Any, Expectation] = {
    int: _number("a whole number", _is_whole, int),
    float: _number("a number", _is_real, float),
    complex: _number("a number", _is_real, complex),
    bool: Expectation("True or False", lambda value: isinstance(_plain(value), bool), _bool),
    str: Expectation("text", lambda value: isinstance(value, str), _text),
    Path: Expectation("a path", lambda value: isinstance(value, Path)),
    os.PathLike: Expectation("a path", lambda value: isinstance(value, os.PathLike)),
    np.ndarray: Expectation(
        "an array or a list",
        lambda value: isinstance(value, np.ndarray),
        lambda name, value, sizes: value if type(value) is np.ndarray else checks.host(name, value),
    ),
    jax.Array: Expectation("an array", lambda value: isinstance(value, jax.Array)),
}
_TRACK = Expectation("a function that shows progress", callable, _progress)
_UNBOUND = (TypeVar, ParamSpec)


def _array(wanted: ArrayWanted) -> Expectation:
    return Expectation(
        f"an array or a list of {wanted.numbers} of shape ({wanted.dims})",
        lambda value: isinstance(value, np.ndarray | jax.Array),
        lambda name, value, sizes: take_array(name, value, wanted, sizes),
    )


# --- unions, names, containers ----------------------------------------------------------------------------------------


def _literal(values: tuple) -> Expectation:
    def convert(name: str, value: Any, sizes: Sizes) -> Any:
        if not fits(value):
            if not isinstance(value, str):
                raise TypeError(f"{name} is {came(value)}; it must be one of {', '.join(map(repr, values))}")
            checks.choice(name, value, [str(known) for known in values])
        return value

    def fits(value: Any) -> bool:
        return any(type(value) is type(known) and value == known for known in values)

    return Expectation("one of " + ", ".join(map(repr, values)), fits, convert)


def _union(members: tuple) -> Expectation | None:
    if np.ndarray in members and any(_rows_of(member) for member in members):
        members = tuple(member for member in members if member is not np.ndarray)
    if np.ndarray in members and jax.Array in members and not any(_is_sequence(member) for member in members):
        # `Array`, without a word on what it holds: numbers.
        rest = tuple(member for member in members if member not in (np.ndarray, jax.Array))
        kinds = [expectation(member) for member in rest] + [_array(ArrayWanted("", "...", True))]
        return _any_of(kinds)
    # Float[np.ndarray | jax.Array, "n"] is a union of two annotations: one expectation for each shape.
    arrays: dict[Any, list] = {}
    for member in members:
        if is_array_annotation(member):
            arrays.setdefault(member.dim_str, []).append(member)
    kinds = [expectation(member) for member in members if not is_array_annotation(member)]
    return _any_of([*kinds, *(_array(array_wanted(*alike)) for alike in arrays.values())])


def _is_sequence(annotation: Any) -> bool:
    return (get_origin(annotation) or annotation) is collections.abc.Sequence


def _rows_of(annotation: Any) -> bool:
    """Whether it is a sequence of something that is told: an array among its alternatives adds nothing."""
    return _is_sequence(annotation) and bool(get_args(annotation))


def _any_of(kinds: list[Expectation | None]) -> Expectation | None:
    found = [kind for kind in kinds if kind is not None]
    if len(found) < len(kinds):
        return None
    if len(found) == 1:
        return found[0]
    words = list(dict.fromkeys("None" if kind.what == "None" else kind.what for kind in found))
    words.sort(key=lambda word: word == "None")
    what = ", ".join(words[:-1]) + " or " + words[-1] if len(words) > 1 else words[0]
    real = [kind for kind in found if kind.what != "None"]

    def convert(name: str, value: Any, sizes: Sizes) -> Any:
        if value is None and len(real) < len(found):
            return None
        if len(real) == 1:
            return _or_none(real[0], name, value, sizes)
        wrong = None
        for kind in sorted(real, key=lambda kind: not kind.fits(value)):
            try:
                known = dict(sizes)
                taken = kind.take(name, value, known)
            except (TypeError, ValueError) as error:
                wrong = error if wrong is None and kind.fits(value) else wrong
            else:
                sizes.update(known)
                return taken
        if wrong is not None:
            raise wrong
        raise TypeError(f"{name} is {came(value)}; it must be {what}{making(value, what)}")

    return Expectation(what, lambda value: any(kind.fits(value) for kind in found), convert)


def _or_none(kind: Expectation, name: str, value: Any, sizes: Sizes) -> Any:
    try:
        return kind.take(name, value, sizes)
    except TypeError as error:
        text = str(error)
        plain = f"it must be {kind.what}"
        raise TypeError(text.replace(plain, f"{plain}, or None", 1)) from error


_ABSTRACT = (
    collections.abc.Sequence,
    collections.abc.Iterable,
    collections.abc.Mapping,
    collections.abc.Callable,
    tuple,
    list,
    dict,
)


def _container(origin: Any, arguments: tuple) -> Expectation | None:
    if origin is collections.abc.Callable:
        return Expectation("a function", callable)
    if origin in (collections.abc.Mapping, dict):
        arrays = len(arguments) == 2 and is_array_annotation(arguments[1])
        return _table(expectation(arguments[1]) if arrays else None)
    if origin in (collections.abc.Sequence, list, collections.abc.Iterable):
        return _row(origin, expectation(arguments[0]) if arguments else None)
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return _row(tuple, expectation(arguments[0]))
        if arguments:
            return _fixed(tuple(expectation(one) for one in arguments))
        return _row(tuple, None)
    return _instance(origin) if inspect.isclass(origin) else None


def _table(item: Expectation | None) -> Expectation:
    """A dictionary; its values are checked where they are arrays of a stated shape."""

    def convert(name: str, value: Any, sizes: Sizes) -> Any:
        if not isinstance(value, Mapping):
            raise TypeError(f"{name} is {came(value)}; it must be a dictionary")
        return value if item is None else {key: item.take(f"{name}[{key!r}]", one, {}) for key, one in value.items()}

    return Expectation("a dictionary", lambda value: isinstance(value, Mapping), convert)


def _is_row(value: Any) -> bool:
    text = isinstance(value, str | bytes | bytearray | Mapping)
    return not text and isinstance(value, collections.abc.Sequence | np.ndarray | jax.Array)


def _row(origin: Any, item: Expectation | None) -> Expectation:
    """A list, tuple, or whatever can be gone through, of one kind of item."""
    what = f"a list of {_plural(item.what)}" if item else "a list"

    def fits(value: Any) -> bool:
        return _is_row(value) and (item is None or all(item.fits(one) for one in value))

    def convert(name: str, value: Any, sizes: Sizes) -> Any:
        if isinstance(value, str | bytes):
            raise TypeError(f"{name} is {came(value)}, one text; it must be {what}: write [{came(value)}]")
        keys = isinstance(value, Mapping) and origin is collections.abc.Iterable  # going through it gives its keys
        table = isinstance(value, Mapping) and not keys
        if table or not isinstance(value, collections.abc.Iterable) or inspect.isclass(value):
            raise TypeError(f"{name} is {came(value)}; it must be {what}")
        if getattr(value, "ndim", 1) == 0:
            raise TypeError(f"{name} is {came(value)}; it must be {what}")
        if origin is collections.abc.Iterable and isinstance(value, collections.abc.Iterator):
            return value if item is None else _checked_items(name, value, item)  # gone through once, by the function
        if hasattr(value, "__array__"):
            if item is None and origin is not tuple:
                return value  # an array: the function converts it, with its mask
            value = checks.host(name, value)
        rows = tuple(value)
        taken = rows if item is None else tuple(item.take(f"{name}[{k}]", one, {}) for k, one in enumerate(rows))
        if isinstance(value, list) and origin is not tuple:
            return list(taken)
        return taken if origin is tuple or not isinstance(value, range) else value

    return Expectation(what, fits, convert)


def _checked_items(name: str, values: collections.abc.Iterator, item: Expectation) -> collections.abc.Iterator:
    for k, one in enumerate(values):
        yield item.take(f"{name}[{k}]", one, {})


def _plural(what: str) -> str:
    for one, many in (("a whole number", "whole numbers"), ("a number", "numbers"), ("text", "names")):
        what = what.replace(one, many)
    return what


def _fixed(items: tuple[Expectation | None, ...]) -> Expectation:
    """A tuple of a fixed number of items."""
    what = f"a tuple of {len(items)}: ({', '.join('anything' if one is None else one.what for one in items)})"

    def convert(name: str, value: Any, sizes: Sizes) -> tuple:
        if not _is_row(value) or len(value) != len(items):
            raise TypeError(f"{name} is {came(value)}; it must be {what}")
        pairs = enumerate(zip(items, value, strict=True))
        return tuple(one if wanted is None else wanted.take(f"{name}[{k}]", one, sizes) for k, (wanted, one) in pairs)

    return Expectation(what, lambda value: _is_row(value) and len(value) == len(items), convert)


# --- records ----------------------------------------------------------------------------------------------------------


def _instance(kind: type) -> Expectation:
    protocol = bool(getattr(kind, "_is_protocol", False))
    what = maker(kind)

    def fits(value: Any) -> bool:
        if inspect.isclass(value):
            return False
        if not protocol:
            return isinstance(value, kind)
        return all(hasattr(value, name) for name in getattr(kind, "__protocol_attrs__", None) or _members(kind))

    def convert(name: str, value: Any, sizes: Sizes) -> Any:
        if fits(value):
            return value
        raise TypeError(f"{name} is {came(value)}; it must be {what}{making(value, what, kind)}")

    return Expectation(what, fits, convert)


def _members(kind: type) -> set[str]:
    """The attributes that a protocol names (Python 3.11 keeps no list of them)."""
    skipped = {"_is_protocol", "_is_runtime_protocol", "_abc_impl"}
    found: set[str] = set()
    for base in kind.__mro__[:-1]:
        if getattr(base, "_is_protocol", False) and base.__module__ != "typing":
            found |= {*base.__dict__, *inspect.get_annotations(base)}
    special = {name for name in found if name.startswith("__") and name != "__call__"}
    return found - special - skipped
