"""The command line: `ntkinfo curves`, `ntkinfo data`, `ntkinfo doctor`.

Heavy modules are imported by the commands that need them, so that help and mistakes in flags are answered at once.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import field, fields, make_dataclass
from typing import Annotated, Any, get_args

from cyclopts import App, CycloptsError, Group, Parameter
from rich.console import Console
from rich.table import Table

from ntkinfo.config import Flag, Problem, flags, suggestion

_SECTIONS = {
    "data": "Data",
    "network": "Network",
    "training": "Training",
    "times": "Times",
    "curves": "Curves",
    "output": "Output",
}
_FAILED, _INTERRUPTED = 2, 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    The code is 0 when done, 1 when `doctor` found a failure, 2 for bad input, 3 where `curves --certify` found values
    that disagree, 130 for Ctrl-C.

    Args:
        arguments: the words after the program's name; None takes those of this process.
    """
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code."""
    console = Console(stderr=True)
    words, problems = _without_unknown_flags(list(arguments))
    app = _application(problems)
    try:
        code = app(words, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        report(console, [*problems, Problem("", str(error).replace("\n", " "))])
        return _FAILED
    except KeyboardInterrupt:
        console.print("Interrupted before anything was finished; nothing was written.")
        return _INTERRUPTED
    return code if isinstance(code, int) else 0


def report(console: Console, problems: Sequence[Problem]) -> None:
    """Print everything that is wrong, a line each, with its place first."""
    for problem in problems:
        place = f"{problem.place}: " if problem.place else ""
        console.print(f"[bold red]error:[/] {_plain(place)}{_plain(problem.text)}", highlight=False, soft_wrap=True)


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _application(problems: Sequence[Problem]) -> App:
    app = App(
        name="ntkinfo",
        help="Information-theoretic analysis of infinitely wide neural networks.",
        version=_version,
        suppress_keyboard_interrupt=False,
        help_epilogue="Start with `ntkinfo curves`: information curves of the handwritten digits within a minute.",
    )
    # Evaluated here because the class of flags is made from the configuration's sections.
    flag_class: Any = _flag_class()
    nothing = flag_class()

    def curves(
        config: Annotated[str | None, Parameter(help="TOML file; flags override it.", name="config")] = None,
        /,
        *,
        given: Any = nothing,
        overwrite: bool = False,
        quiet: bool = False,
        traceback: bool = False,
    ) -> int:
        """Compute information curves over training time and write curves.nc, a figure and config.toml into a folder.

        Without arguments: the handwritten digits, one-hot targets, three hidden erf layers, 200 times over eight
        decades and infinity. Results that are already in the folder are kept unless --overwrite is given. Ctrl-C
        writes what is finished. With --certify the exit code is 3 where values disagree with their second route.

        Parameters
        ----------
        overwrite
            Replace results that are already in the folder.
        quiet
            Show neither progress nor summary.
        traceback
            Show where in the program an error arose.
        """
        from ntkinfo.runs import Switches, run_curves

        return run_curves(config, _given(given), problems, Switches(overwrite, quiet, traceback))

    curves.__annotations__.update(
        given=Annotated[flag_class, Parameter(name="*")],
        config=Annotated[str | None, Parameter(help="TOML file; flags override it.")],
        **{
            key: Annotated[bool, Parameter(negative="", show_default=False)]
            for key in ("overwrite", "quiet", "traceback")
        },
    )
    curves.__annotations__["return"] = int
    app.command(curves, help_epilogue="")
    app.command(data, help_epilogue="")
    app.command(doctor, help_epilogue="")
    return app


def data(name: str | None = None, /) -> int:
    """List the data sets, or the options of one.

    Parameters
    ----------
    name
        A data set; left out, all of them are listed.
    """
    from ntkinfo.core import checks
    from ntkinfo.data import registry

    console = Console()
    if name is None:
        table = _table("data set", "what it is")
        for key, entry in registry.ENTRIES.items():
            table.add_row(key, _plain(entry.meaning))
        console.print(table)
        console.print("\nOptions of one: ntkinfo data NAME")
        return 0
    try:
        checks.choice("data", name, registry.ENTRIES)
    except ValueError as error:
        report(Console(stderr=True), [Problem("", str(error))])
        return _FAILED
    table = _table("flag", "default", "meaning")
    by_key = {flag.key: flag for flag in flags().values() if flag.section == "data"}
    for option in registry.ENTRIES[name].options.values():
        default = "(needed)" if option.required else "" if option.default in (None, ()) else str(option.default)
        table.add_row(by_key[option.name].name, default, _plain(option.meaning))
    console.print(table)
    return 0


def doctor() -> int:
    """Print versions, devices, memory and what works; exit with 1 if anything failed."""
    from ntkinfo.doctor import examine

    table = _table("", "", "")
    table.show_header = False
    findings = examine()
    colours = {"ok": "green", "failed": "red"}
    for finding in findings:
        state = f"[{colours.get(finding.state, 'yellow')}]{finding.state}[/]"
        table.add_row(finding.name, state, _plain(finding.text))
    Console().print(table)
    return int(any(finding.state == "failed" for finding in findings))


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _version() -> str:
    from importlib.metadata import version

    return version("ntkinfo")


def _flag_class() -> type:
    """A data class with one field a flag, grouped by section, every value as text."""
    groups = {key: Group(title, sort_key=order) for order, (key, title) in enumerate(_SECTIONS.items(), start=1)}
    made = make_dataclass(
        "Flags",
        [
            (_field_name(flag), Annotated[_shape(flag), _parameter(flag, groups[flag.section])], field(default=None))
            for flag in flags().values()
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


def _parameter(flag: Flag, group: Group) -> Parameter:
    default = "" if flag.default is None else f" [default: {_shown(flag.default)}]"
    options: dict[str, Any] = {} if _kind(flag) is bool else {"negative": ""}
    if _kind(flag) is list:
        options["consume_multiple"] = True
    return Parameter(name=flag.name, help=flag.meaning + default, group=group, show_default=False, **options)


def _shown(default: Any) -> str:
    if isinstance(default, bool):
        return "yes" if default else "no"
    return ", ".join(default) if isinstance(default, list) else str(default)


def _given(values: Any) -> Mapping[str, Any]:
    """Flags that were given, by flag name."""
    by_field = {_field_name(flag): flag.name for flag in flags().values()}
    return {by_field[f.name]: getattr(values, f.name) for f in fields(values) if getattr(values, f.name) is not None}


def _without_unknown_flags(words: list[str]) -> tuple[list[str], list[Problem]]:
    """The words of `ntkinfo curves` without flags that do not exist, so that the rest can be checked as well."""
    if not words or words[0] != "curves":
        return words, []
    known = {flag.name: _kind(flag) for flag in flags().values()}
    known |= {f"--no-{name[2:]}": bool for name, kind in list(known.items()) if kind is bool}
    known |= dict.fromkeys(("--overwrite", "--quiet", "--traceback", "--help", "--version"), bool)
    kept, problems, skipping = words[:1], [], False
    for word in words[1:]:
        name = word.split("=")[0]
        if name.startswith("--") and name != "--":
            skipping = name not in known
            if skipping:
                problems.append(
                    Problem(name, f"unknown flag{suggestion(name, known) or '; see ntkinfo curves --help'}")
                )
                continue
        elif skipping:
            skipping = False
            continue
        kept.append(word)
    return kept, problems
