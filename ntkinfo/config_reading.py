"""Configurations of any command: read from a TOML file and from flags, checked whole before any work, written back.

A configuration is a model of sections (`ntkinfo.config.Config` for `ntkinfo curves`); every key of a section is also a
flag of the command.
"""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ntkinfo.config_places import MOST_NESTED, key_lines, line_of, syntax_error, too_deep


def setting(default: Any, text: str, flag: str | None = None, path: bool = False, **limits: Any) -> Any:
    """A field with its one-line meaning, its flag where that is not the key with hyphens, and whether it is a path."""
    extra: dict[str, Any] = {"flag": flag} if flag else {}
    return Field(
        default, description=text, json_schema_extra=extra | {"path": True} if path else extra or None, **limits
    )


class Section(BaseModel):
    """What every section shares: unknown keys, values of another type, NaN and infinities are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    def given(self) -> dict[str, Any]:
        """The keys that have a value."""
        return {key: value for key, value in self.model_dump().items() if value is not None}


@dataclass(frozen=True)
class Flag:
    """A command-line flag: the section and key it sets, its value's type, meaning and default, whether it is a path."""

    name: str
    section: str
    key: str
    annotation: Any
    meaning: str
    default: Any
    path: bool = False


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where (file and line, or flag) and what."""

    place: str
    text: str


class ConfigError(ValueError):
    """Everything that is wrong with a configuration, in the order of the file."""

    def __init__(self, problems: Sequence[Problem]):
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{p.place}: {p.text}" if p.place else p.text for p in self.problems))


Configuration = TypeVar("Configuration", bound=Section)

_SHOWN = 200  # characters of a value in a message
_MOST_TEXT = 1_000_000  # characters of a file
_LARGEST = 2**63 - 1  # whole number that every library takes

# A section, a key in it (or "" for the section itself), and what is wrong.
Finding = tuple[str, str, str]


def _section(model: type[Section], name: str) -> type[Section]:
    # A command may fill in a section of a narrower type than the model it shares, with other defaults.
    section = type(model.model_fields[name].default)
    assert issubclass(section, Section)
    return section


def flags(model: type[Section]) -> dict[str, Flag]:
    """Every flag by its name, read off the sections of a configuration."""
    found = {}
    for section in model.model_fields:
        for key, field in _section(model, section).model_fields.items():
            extra = field.json_schema_extra
            extra = extra if isinstance(extra, dict) else {}
            name = str(extra.get("flag", f"--{key.replace('_', '-')}"))
            path = bool(extra.get("path"))
            found[name] = Flag(name, section, key, field.annotation, field.description or "", field.default, path)
    return found


def load_config(
    model: type[Configuration],
    path: str | os.PathLike[str] | None = None,
    given: Mapping[str, Any] | None = None,
    check: Callable[[Configuration], Iterable[Finding]] = lambda config: (),
) -> Configuration:
    """Read a configuration and check it as far as can be done without the data.

    Args:
        model: which sections there are.
        path: a TOML file with any of the sections; None takes the defaults.
        given: values of flags by flag name ("--w-std"), as text, lists of text or booleans; they override the file.
        check: looks at what is left once every wrong value is taken out, and returns (section, key, what is wrong).

    Returns:
        The configuration. Paths in the file that are relative are relative to the file's folder, those of flags to the
        working directory; `~` at the start of either is the home directory.

    Raises:
        ConfigError: everything that is wrong, each with its file and line or its flag.
    """
    text = _read(path)
    deep = too_deep(text)
    if deep:
        message = f"is nested more than {MOST_NESTED} deep; a configuration has sections and keys, and lists of values"
        raise ConfigError([Problem(_file_line(path, deep), message)])
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line, message = syntax_error(error, text)
        raise ConfigError([Problem(_file_line(path, line), message + _no_toml(path))]) from None
    places = _Places(path, key_lines(text))
    _anchor(raw, model, Path(path).parent if path is not None else Path())
    _override(raw, given or {}, flags(model), places)
    config, wrong = _validate(model, raw)
    known_wrong = {(section, key) for section, key, _ in wrong}
    wrong += [finding for finding in check(config) if finding[:2] not in known_wrong]
    if wrong:
        raise ConfigError(places.sort(wrong))
    return config


def dump_config(config: Section) -> str:
    """The configuration as TOML; keys without a value are left out."""
    parts = []
    for section in type(config).model_fields:
        lines = [f"{key} = {_toml(value)}" for key, value in getattr(config, section).given().items()]
        parts.append("\n".join([f"[{section}]", *lines]))
    return "\n\n".join(parts) + "\n"


class _Places:
    """Says where a key was set: by a flag, or on a line of the file."""

    def __init__(self, path: str | os.PathLike[str] | None, lines: dict[tuple[str, ...], int]):
        self._path, self._lines, self._flags = path, lines, dict[tuple[str, str], str]()

    def by_flag(self, section: str, key: str, flag: str) -> None:
        self._flags[section, key] = flag

    def sort(self, findings: Iterable[Finding]) -> list[Problem]:
        """Problems with their places, in the order of the file, then of the flags."""
        placed = []
        for section, key, text in findings:
            line = line_of(self._lines, (section, key) if key else (section,))
            flag = self._flags.get((section, key))
            if flag:
                placed.append((1, 0, Problem(flag, text)))
            elif line and self._path is not None:
                placed.append((0, line, Problem(_file_line(self._path, line), text)))
            else:
                placed.append((2, 0, Problem(str(self._path or ""), text)))
        return [problem for _, _, problem in sorted(placed, key=lambda item: item[:2])]


def _no_toml(path: str | os.PathLike[str] | None) -> str:
    """What to do with a file that is no configuration by its name either."""
    if path is None or Path(path).suffix == ".toml":
        return ""
    return f"; a file of data is given with its format: --data csv --path {path} (`ntkinfo data` lists the formats)"


def _file_line(path: str | os.PathLike[str] | None, line: int) -> str:
    return f"{path}:{line}"


def _read(path: str | os.PathLike[str] | None) -> str:
    if path is None:
        return ""
    try:
        with Path(path).open(encoding="utf-8") as file:
            text = file.read(_MOST_TEXT + 1)
    except FileNotFoundError:
        raise ConfigError([Problem(str(path), "there is no such configuration file")]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([Problem(str(path), f"is not UTF-8 text ({error}){_no_toml(path)}")]) from None
    except OSError as error:
        raise ConfigError([Problem(str(path), f"cannot be read ({error.strerror})")]) from None
    if len(text) > _MOST_TEXT:
        raise ConfigError([Problem(str(path), f"has more than {_MOST_TEXT:,} characters: it is no configuration")])
    return text


def _anchor(raw: dict[str, Any], model: type[Section], folder: Path) -> None:
    """Make the paths of a file relative to its folder."""
    for flag in flags(model).values():
        section = raw.get(flag.section)
        if flag.path and isinstance(section, dict) and isinstance(section.get(flag.key), str) and section[flag.key]:
            section[flag.key] = str(folder / _home(section[flag.key]))


def _home(path: str) -> str:
    """The path with `~` written out; as it is where there is no such home."""
    try:
        return str(Path(path).expanduser()) if path.startswith("~") else path
    except RuntimeError:
        return path


def _override(raw: dict[str, Any], given: Mapping[str, Any], known: Mapping[str, Flag], places: _Places) -> None:
    """Put the flags' values over the file's."""
    for name, value in given.items():
        flag = known[name]
        section = raw.setdefault(flag.section, {})
        if isinstance(section, dict):
            typed = _typed(flag.annotation, value)
            section[flag.key] = _home(typed) if flag.path and isinstance(typed, str) else typed
            places.by_flag(flag.section, flag.key, name)


def _typed(annotation: Any, value: Any) -> Any:
    """A flag's text as the type its field wants; text that is no such thing stays text and fails the check."""
    if isinstance(value, bool):
        return value
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _typed(arguments[0], value)
    if origin in (Union, UnionType):
        return _typed(next(a for a in arguments if a is not NoneType), value)
    if origin is list:
        items = value if isinstance(value, list) else [value]
        return [_typed(arguments[0], part.strip()) for item in items for part in item.split(",")]
    text = value[-1] if isinstance(value, list) else value
    if annotation in (int, float):
        try:
            return annotation(text)
        except ValueError:
            return text
    return text


def _validate(model: type[Configuration], raw: Mapping[str, Any]) -> tuple[Configuration, list[Finding]]:
    """The configuration without its wrong values, and what was wrong with each."""
    wrong: list[Finding] = []
    parts: dict[str, Any] = {}
    for section, values in raw.items():
        if section not in model.model_fields:
            wrong.append((section, "", f"unknown section [{section}]{_unknown(section, list(model.model_fields))}"))
        elif not isinstance(values, dict):
            wrong.append(
                (section, "", f"{section} is {_short(values)}; it must be a section, [{section}] with keys under it")
            )
        else:
            parts[section], more = _validate_section(_section(model, section), section, dict(values))
            wrong += more
    return model(**parts), wrong


def _validate_section(model: Any, section: str, values: dict[str, Any]) -> tuple[Section, list[Finding]]:
    large = [key for key, value in values.items() if key in model.model_fields and _holds_a_large_number(value)]
    if large:
        rest, wrong = _validate_section(model, section, {k: v for k, v in values.items() if k not in large})
        text = f"holds a whole number beyond {_LARGEST:,}; take a smaller one"
        return rest, [*wrong, *((section, key, f"{key} {text}") for key in large)]
    try:
        return model(**values), []
    except ValidationError as error:
        found: dict[str, str] = {}
        for detail in error.errors(include_url=False):
            key = str(detail["loc"][0])
            found.setdefault(key, _explain(model, section, key, values.get(key), detail))
        right = {key: value for key, value in values.items() if key not in found}
        return model(**right), [(section, key, text) for key, text in found.items()]


def _holds_a_large_number(value: Any) -> bool:
    if isinstance(value, list):
        return any(_holds_a_large_number(item) for item in value)
    return isinstance(value, int) and abs(value) > _LARGEST


_NEEDS = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text in quotes",
    "bool_type": "true or false",
    "list_type": "a list",
    "greater_than": "greater than {gt:g}",
    "greater_than_equal": "{ge:g} or greater",
    "less_than": "less than {lt:g}",
    "less_than_equal": "{le:g} or less",
    "too_short": "a list of at least {min_length}",
    "string_too_short": "one character",
    "string_too_long": "one character",
    "literal_error": "one of {expected}",
}


def _explain(model: type[Section], section: str, key: str, value: Any, detail: Any) -> str:
    """One sentence: what was given and what is needed."""
    if detail["type"] == "extra_forbidden":
        known = list(model.model_fields)
        return f"unknown key {key!r} in [{section}]{_unknown(key, known)}"
    inner = detail["input"]
    need = _NEEDS.get(detail["type"])
    need = need.format(**detail.get("ctx", {})) if need else detail["msg"]
    entry = isinstance(value, list) and inner is not value
    where = f"{key} holds {_short(inner)}; each entry" if entry else f"{key} is {_short(value)}; it"
    near = suggestion(str(inner), _choices(model, key)) if detail["type"] == "literal_error" else ""
    return f"{where} must be {need}{near}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} …"


def _choices(model: type[Section], key: str) -> list[str]:
    """The literal values that a key takes, wherever in its type they stand."""
    waiting, found = [model.model_fields[key].annotation], []
    while waiting:
        annotation = waiting.pop()
        if get_origin(annotation) is Literal:
            found += [str(value) for value in get_args(annotation)]
        else:
            waiting += get_args(annotation)
    return found


def _unknown(name: str, known: Sequence[str]) -> str:
    return suggestion(name, known) or f"; known: {', '.join(known)}"


def suggestion(value: str, names: Iterable[str]) -> str:
    """A did-you-mean clause, or nothing when no name is near."""
    near = difflib.get_close_matches(value, list(names), n=1, cutoff=0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON's escapes are TOML's, but for the delete character, which TOML wants escaped as well.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    return repr(value)
