"""The door of every public function and record: what users hand in is checked and converted by the annotations.

`checked` reads the annotations that are there anyway and does two things before the function runs: it converts what
means the same (lists and tuples to arrays, numpy's numbers to Python's, `progress=None` to silence) and refuses what
cannot be meant, in the voice of `ntkinfo.core.checks`: which argument, what came, what it must be, what to do.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from typing import Any, TypeVar, get_type_hints

from ntkinfo.core import checks
from ntkinfo.core.expectations import Expectation, Sizes, expectation

Target = TypeVar("Target", bound=Callable[..., Any])


def checked(target: Target) -> Target:
    """Let a public function, or a public class when an object of it is made, take its arguments by its annotations.

    Args:
        target: a function or a class; its annotations must be resolvable in its module.

    Raises (when the target is called):
        TypeError: an argument of another kind, an argument that there is not, one that is missing.
        ValueError: arrays whose shapes do not fit the annotations, or each other.
    """
    record: Any = target
    if not inspect.isclass(record):
        return _door(target, target, lambda: get_type_hints(target))
    made = record.__dict__["__init__"]
    record.__init__ = _door(made, target, lambda: get_type_hints(target if is_dataclass(record) else made))
    return target


def _door(function: Callable, named: Callable, hints: Callable[[], Mapping[str, Any]]) -> Any:
    signature = inspect.signature(function)

    @functools.cache
    def expected() -> dict[str, Expectation]:
        known = hints()
        found = {name: expectation(known[name]) for name in signature.parameters if name in known}
        return {name: wanted for name, wanted in found.items() if wanted is not None}

    @functools.wraps(function)
    def door(*args, **kwargs):
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(_unbound(named, signature, args, kwargs, error)) from None
        _take(named, bound.arguments, expected())
        return function(*bound.args, **bound.kwargs)

    return door


def _take(named: Callable, arguments: dict[str, Any], expected: Mapping[str, Expectation]) -> None:
    sizes: Sizes = {}
    for name, wanted in expected.items():
        if name not in arguments:
            continue
        try:
            arguments[name] = wanted.take(name, arguments[name], sizes)
        except TypeError as error:
            other = _exchanged(name, arguments, expected)
            if other is None:
                raise
            order = ", ".join(key for key in expected if key in (name, other))
            remedy = f"{name} and {other} are exchanged: give {named.__name__}({order})"
            raise TypeError(f"{error} ({remedy})") from None


def _exchanged(name: str, arguments: Mapping[str, Any], expected: Mapping[str, Expectation]) -> str | None:
    """The argument whose value belongs here while this one's belongs there."""
    for other, wanted in expected.items():
        if other == name or other not in arguments:
            continue
        here, there = expected[name].fits(arguments[other]), wanted.fits(arguments[name])
        if here and there and not wanted.fits(arguments[other]):
            return other
    return None


def _unbound(named: Callable, signature: inspect.Signature, args: tuple, kwargs: dict, error: TypeError) -> str:
    known = [name for name in signature.parameters if name != "self"]
    unknown = [name for name in kwargs if name not in known]
    takes = f"{named.__name__}() takes {', '.join(known) or 'no arguments'}"
    if unknown:
        return f"{named.__name__}() has no argument {unknown[0]!r}{checks.suggestion(unknown[0], known)}; {takes}"
    if "too many positional" in str(error):
        by_place = [n for n, p in signature.parameters.items() if p.kind == p.POSITIONAL_OR_KEYWORD and n != "self"]
        hidden = len(signature.parameters) - len(known)  # self
        return (
            f"{named.__name__}() got {len(args) - hidden} arguments by place and takes {len(by_place)}; {takes}: give "
            "the others by name"
        )
    return f"{named.__name__}(): {error}; {takes}"
