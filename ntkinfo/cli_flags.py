"""The flags of a command, made from its configuration: one for every key of every section."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import field, fields, make_dataclass
from typing import Annotated, Any, get_args

from cyclopts import (
    CoercionError,
    CycloptsError,
    Group,
    MissingArgumentError,
    Parameter,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from ntkinfo.config_reading import Flag, Problem, Section, flags, suggestion


def titles(model: type[Section]) -> dict[str, str]:
    """The heading of every section in the help, in order."""
    return {section: section.replace("_", " ").capitalize() for section in model.model_fields}


def flag_class(model: type[Section]) -> type:
    """A data class with one field a flag of a configuration, grouped by section, every value as text."""
    groups = {key: Group(title, sort_key=order) for order, (key, title) in enumerate(titles(model).items(), start=1)}
    made = make_dataclass(
        "Flags",
        [
            (_field_name(flag), Annotated[_shape(flag), _parameter(flag, groups[flag.section])], field(default=None))
            for flag in flags(model).values()
        ],
        frozen=True,
    )
    # cyclopts takes classes of the module `types`, where make_dataclass puts them, for values instead of groups.
    made.__module__ = __name__
    return made


def _field_name(flag: Flag) -> str:
    return f"{flag.section}__{flag.key}"


def _shape(flag: Flag) -> Any:
    kind = _kind(flag)
    return bool | None if kind is bool else list[str] | None if kind is list else str | None


def _kind(flag: Flag) -> type:
    annotations = [flag.annotation, *get_args(flag.annotation)]
    inner = [get_args(a)[0] if hasattr(a, "__metadata__") else a for a in annotations]
    if any(a is bool for a in inner):
        return bool
    return list if any(getattr(a, "__origin__", None) is list for a in inner) else str


# What is used where a flag has no default of its own, by section.
_WITHOUT = {
    "data": "as ntkinfo data NAME says",
    "network": "the network's own",
    "training": "the procedure's own",
}


def _parameter(flag: Flag, group: Group) -> Parameter:
    options: dict[str, Any] = {} if _kind(flag) is bool else {"negative": "", **shown_type(_metavar(flag))}
    if _kind(flag) is list:
        options["consume_multiple"] = True
    return Parameter(name=flag.name, help=flag.meaning + _default(flag), group=group, show_default=False, **options)


def shown_type(name: str) -> dict[str, Any]:
    """What makes the help show a flag's value under this name; nothing for a cyclopts that has a name of its own."""
    return {"metavar": name} if "metavar" in inspect.signature(Parameter).parameters else {}


def _default(flag: Flag) -> str:
    """What is used where the flag is not given, behind its meaning; nothing where the meaning says it."""
    if flag.default is not None:
        return f" [default: {_shown(flag.default)}]"
    if "(default: " in flag.meaning:
        return ""
    return f" [default: {_WITHOUT.get(flag.section, 'none')}]"


def _metavar(flag: Flag) -> str:
    """The type of a flag's value as the help shows it: INT, FLOAT or TEXT, with dots where there may be several."""
    waiting, found = [flag.annotation], set()
    while waiting:
        annotation = waiting.pop()
        found.add(annotation)
        waiting += get_args(annotation)[:1] if hasattr(annotation, "__metadata__") else get_args(annotation)
    name = "INT" if int in found else "FLOAT" if float in found else "TEXT"
    return f"{name}..." if _kind(flag) is list else name


def _shown(default: Any) -> str:
    if isinstance(default, bool):
        return "yes" if default else "no"
    return ", ".join(map(str, default)) if isinstance(default, list) else str(default)


def given_flags(model: type[Section], values: Any) -> Mapping[str, Any]:
    """Flags that were given, by flag name."""
    by_field = {_field_name(flag): flag.name for flag in flags(model).values()}
    return {by_field[f.name]: getattr(values, f.name) for f in fields(values) if getattr(values, f.name) is not None}


def without_unknown_flags(words: list[str], models: Mapping[str, type[Section]]) -> tuple[list[str], list[Problem]]:
    """The words of a configured command without flags that do not exist, so that the rest can be checked as well.

    Args:
        words: what was typed, the command first.
        models: the configuration of every such command.
    """
    if not words or words[0] not in models:
        return words, []
    known = {flag.name: _kind(flag) for flag in flags(models[words[0]]).values()}
    known |= {f"--no-{name[2:]}": bool for name, kind in list(known.items()) if kind is bool}
    known |= dict.fromkeys(("--overwrite", "--quiet", "--traceback", "--report", "--help", "--version"), bool)
    kept, problems, skipping = words[:1], [], False
    for word in words[1:]:
        name = word.split("=")[0]
        if name.startswith("--") and name != "--":
            skipping = name not in known
            if skipping:
                advice = suggestion(name, known) or f"; see ntkinfo {words[0]} --help"
                problems.append(Problem(name, f"unknown flag{advice}"))
                continue
        elif skipping:
            skipping = False
            continue
        kept.append(word)
    return kept, problems


def as_problem(error: CycloptsError, commands: Sequence[str]) -> Problem:
    """What cyclopts refuses, in the words of this program.

    Args:
        error: what it raised.
        commands: every command's name.
    """
    words = [str(word) for word in error.unused_tokens or ()]
    if isinstance(error, UnknownCommandError) and words:
        advice = suggestion(words[0], commands)
        return Problem("", f"{words[0]!r} is no command{advice}; known: {', '.join(sorted(commands))}")
    if isinstance(error, UnknownOptionError):
        known = [name for argument in error.argument_collection for name in argument.names]
        return Problem(str(error.token.keyword), f"unknown flag{suggestion(str(error.token.keyword), known)}")
    if isinstance(error, UnusedCliTokensError) and words:
        return Problem("", f"{' '.join(words)!r} belongs to no flag; leave it out, or name the flag it is for")
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        return Problem("", f"{error.argument.name} needs a value; see --help")
    if isinstance(error, CoercionError) and error.argument is not None and error.token is not None:
        allowed = get_args(error.target_type)
        need = f"it must be {', '.join(map(str, allowed[:-1]))} or {allowed[-1]}" if allowed else "see --help"
        return Problem("", f"{error.argument.name} is {error.token.value!r}; {need}")
    return Problem("", str(error).replace("\n", " "))
