"""What is public in the package, and what its signatures mention: the names that the reference documents."""

import functools
import importlib
import inspect
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

import ntkinfo

COLUMNS = ("data", "generalization")  # used by their own name, as in ni.data.digits()
_WORD = re.compile(r"\b[A-Z]\w+")
RAISED = re.compile(r"^    ([A-Z]\w+(?:, [A-Z]\w+)*):", re.MULTILINE)  # the names before the colon in "Raises:"


@dataclass(frozen=True)
class PublicNames:
    """Every documented object, by the dotted name that it is documented under, with the module it lives in."""

    homes: Mapping[str, str]
    records: Mapping[str, str]

    @classmethod
    @functools.cache
    def of_package(cls):
        """The public names of ntkinfo, its columns, and the classes that their signatures mention."""
        homes = {f"ntkinfo.{name}": home for home, names in ntkinfo._HOMES.items() for name in names}
        for column in COLUMNS:
            module = importlib.import_module(f"ntkinfo.{column}")
            for name in getattr(module, "__all__", None) or vars(module):
                value = getattr(module, name)
                own = getattr(value, "__module__", "").startswith("ntkinfo") and not name.startswith("_")
                if own and f"ntkinfo.{name}" not in homes:
                    homes[f"ntkinfo.{column}.{name}"] = value.__module__
        return cls(homes, _mentioned(homes))

    @functools.cached_property
    def by_short_name(self):
        """Dotted names by their last part; public ones come before records."""
        short = {name.rpartition(".")[2]: name for name in self.records}
        return short | {name.rpartition(".")[2]: name for name in self.homes}

    @functools.cached_property
    def _names_of_objects(self):
        return {id(resolve(name)): name for name in (*self.records, *self.homes)}

    def documented(self, value):
        """The name that an object is documented under, or None."""
        return self._names_of_objects.get(id(value))

    def target(self, text):
        """The documented name that a piece of code stands for, or None."""
        plain = text.removesuffix("()").removeprefix("ni.").removeprefix("ntkinfo.")
        for name in (f"ntkinfo.{plain}", self.by_short_name.get(plain)):
            if name in self.homes or name in self.records:
                return name
        return None


def resolve(name):
    """The object of a dotted name."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            found = getattr(found, part)
        return found
    raise ImportError(name)


def _mentioned(homes):
    """Classes of ntkinfo in the signatures of public callables, what these raise, and so on from there."""
    seen = {id(resolve(name)) for name in homes}
    records, waiting = {}, [resolve(name) for name in homes]
    while waiting:
        value = waiting.pop()
        for found in (*_classes_in(value), *raised(value).values()):
            if id(found) not in seen and found.__module__.startswith("ntkinfo."):
                seen.add(id(found))
                records[f"{found.__module__}.{found.__name__}"] = found.__module__
                waiting.append(found)
    return dict(sorted(records.items()))


def _classes_in(value):
    for function in _functions(value):
        scope = vars(sys.modules[function.__module__])
        for annotation in getattr(function, "__annotations__", {}).values():
            for word in _WORD.findall(annotation if isinstance(annotation, str) else ""):
                # An alias stands for what it is made of.
                yield from (v for v in (scope.get(word), *get_args(scope.get(word))) if inspect.isclass(v))


def raised(value):
    """This package's exceptions that the docstrings of an object and its methods name, by name."""
    found = {}
    described = [*_functions(value), *([value] if inspect.isclass(value) else [])]
    for item in described:
        _, _, section = (inspect.getdoc(item) or "").partition("Raises:\n")
        for name in ", ".join(RAISED.findall(section)).split(", "):
            exception = _exception(name, item.__module__)
            if exception is not None:
                found[name] = exception
    return found


def _exception(name, module_name):
    """The exception of that name in the module, in one that it imports from, or anywhere in the package."""
    scope = vars(sys.modules[module_name])
    imported = {getattr(value, "__module__", None) for value in scope.values()}
    everywhere = [key for key in sys.modules if key.startswith("ntkinfo.")]
    for places in ([module_name], sorted({place for place in imported if place in everywhere}), everywhere):
        found = {id(vars(sys.modules[place]).get(name)): vars(sys.modules[place]).get(name) for place in places}
        own = [value for value in found.values() if inspect.isclass(value) and value.__module__.startswith("ntkinfo")]
        if own:
            return own[0]
    return None


def _functions(value):
    if inspect.isfunction(value):
        yield inspect.unwrap(value)
    if inspect.isclass(value):
        for name, member in vars(value).items():
            if name.startswith("_") and name != "__init__":
                continue
            for attribute in ("__func__", "func", "fget"):
                member = getattr(member, attribute, None) or member
            if inspect.isfunction(member):
                yield inspect.unwrap(member)
