"""The commands' help texts, run at build time, and their configuration keys, from the pydantic models."""

import contextlib
import io
import os
import re
from types import NoneType, UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

from docutils import nodes
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_id

from ntkinfo import cli
from ntkinfo.config_reading import _section, flags
from reference_pages.tables import inline, table

_COLUMNS = 88
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def help_text(*words):
    """What `ntkinfo WORDS --help` prints on a terminal without colours."""
    before = {key: os.environ.get(key) for key in ("COLUMNS", "NO_COLOR", "TERM")}
    os.environ.update(COLUMNS=str(_COLUMNS), NO_COLOR="1", TERM="dumb")
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            code = cli.run([*words, "--help"])
    finally:
        for key, value in before.items():
            os.environ.pop(key, None) if value is None else os.environ.__setitem__(key, value)
    if code != 0:
        raise RuntimeError(f"ntkinfo {' '.join(words)} --help ended with {code}")
    return "\n".join(line.rstrip() for line in _ANSI.sub("", printed.getvalue()).strip("\n").split("\n"))


def command_names():
    """Every command, those with a configuration first."""
    configured = [command.name for command in cli.COMMANDS]
    listed = re.findall(r"^[│ ]*([a-z][a-z-]+)  +[A-Z]", help_text(), re.MULTILINE)
    return configured, [name for name in listed if name not in configured]


class CommandHelp(SphinxDirective):
    """`command-help`: a section a command with its help text; the program's own help first."""

    def run(self):
        """Build the sections."""
        configured, others = command_names()
        made = [_block(help_text())]
        for name in [*configured, *others]:
            section = nodes.section(ids=[make_id(self.env, self.state.document, "command", name)])
            title = f"ntkinfo {name}"
            section += nodes.title(title, "", nodes.literal(title, title))
            section += _block(help_text(name))
            made.append(section)
        return made


def _block(text):
    block = nodes.literal_block(text, text, classes=["help"])
    block["language"] = "text"
    return block


class ConfigurationKeys(SphinxDirective):
    """`configuration-keys`: the sections of every command's configuration as tables.

    A section that several commands share without changing it is written once.
    """

    def run(self):
        """Build a section a command."""
        made, seen = [], {}
        for command in cli.COMMANDS:
            section = nodes.section(ids=[make_id(self.env, self.state.document, "keys", command.name)])
            title = f"ntkinfo {command.name}"
            section += nodes.title(title, "", nodes.literal(title, title))
            for name in command.model.model_fields:
                model = _section(command.model, name)
                first = seen.setdefault((name, model), command.name)
                section += self._heading(name, model, first if first != command.name else None)
                if first == command.name:
                    section += _keys(command.model, name)
            made.append(section)
        return made

    @staticmethod
    def _heading(name, model, first):
        label = nodes.strong("", "", nodes.literal(f"[{name}]", f"[{name}]"))
        text = f" as of ntkinfo {first}." if first else f" {(model.__doc__ or '').strip()}"
        return nodes.paragraph("", "", label, *inline(text))


def _keys(model, section):
    fields = _section(model, section).model_fields
    rows = [
        (
            [nodes.literal(flag.key, flag.key), nodes.inline("", " "), nodes.literal(name, name, classes=["flag"])],
            _kind(flag.annotation),
            _default(fields[flag.key].default),
            inline(flag.meaning),
        )
        for name, flag in flags(model).items()
        if flag.section == section
    ]
    return table(("key, flag", "type", "default", "meaning"), rows, (30, 16, 14, 40), ("dense", "keys"))


def _kind(annotation):
    """The type of a value as it is written in TOML."""
    if get_origin(annotation) is Annotated:
        return _kind(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return " or ".join(_kind(part) for part in get_args(annotation) if part is not NoneType)
    if get_origin(annotation) is Literal:
        return " or ".join(map(str, get_args(annotation)))
    if get_origin(annotation) is list:
        return f"list of {_kind(get_args(annotation)[0]).replace('number', 'numbers')}"
    return {bool: "true or false", int: "whole number", float: "number", str: "text"}.get(annotation, str(annotation))


def _default(value):
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def setup(app):
    """Register the directives."""
    app.add_directive("command-help", CommandHelp)
    app.add_directive("configuration-keys", ConfigurationKeys)
