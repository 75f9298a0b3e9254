"""What every configured command shares: reading its configuration, saying what is wrong, and the exit code."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

from rich.console import Console
from rich.markup import escape

from ntkinfo.config_reading import ConfigError, Configuration, Finding, Problem, Section, load_config
from ntkinfo.report.terminal import Terminal

DONE, FAILED, NOT_CERTIFIED, INTERRUPTED = 0, 2, 3, 130


@dataclass(frozen=True)
class Switches:
    """What only the command line says.

    Args:
        overwrite: replace results that are already in the folder.
        quiet: show neither progress nor summary.
        traceback: let errors through with their traceback.
        report: write a page of the results beside them.
        told: what was reported already, before the command's modules were imported.
    """

    overwrite: bool = False
    quiet: bool = False
    traceback: bool = False
    report: bool = False
    told: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Job(Generic[Configuration]):
    """A command that a configuration describes.

    Args:
        model: the sections of its configuration.
        check: looks at a configuration whose values are each right; returns (section, key, what is wrong).
        work: does it, given configuration, switches, console of messages and console of results; returns the exit code.
    """

    model: type[Configuration]
    check: Callable[[Configuration], Iterable[Finding]]
    work: Callable[[Configuration, Switches, Console, Console], int]


def run_job(
    job: Job, path: str | None, given: Mapping[str, Any], problems: Sequence[Problem], switches: Switches
) -> int:
    """Read the configuration of a command from a TOML file and flags, and do its work.

    Args:
        job: the command.
        path: a TOML file, or None.
        given: values of flags by flag name.
        problems: what is wrong with the command line itself.
        switches: what only the command line says.

    Returns:
        The exit code: 2 for bad input, else what the work returns.
    """
    messages, output = Terminal(stderr=True), Terminal(quiet=switches.quiet)
    try:
        config = _load(job, path, given, problems)
    except ConfigError as error:
        report(messages, [problem for problem in error.problems if problem not in switches.told])
        return FAILED
    try:
        with warnings.catch_warnings():
            _show_warnings_on(messages)
            code = job.work(config, switches, messages, output)
            if switches.report:
                _write_page(config, code, output)
            return code
    except (ValueError, OSError, MemoryError) as error:
        if switches.traceback:
            raise
        report(messages, [Problem("", str(error) or type(error).__name__)])
        return FAILED
    except Exception as error:
        if switches.traceback:
            raise
        fault = f"{type(error).__name__}: {error} (a fault of ntkinfo; --traceback shows where it arose)"
        report(messages, [Problem("", fault)])
        return FAILED


def told_at_once(
    model: type[Section], path: str | None, given: Mapping[str, Any], problems: Sequence[Problem]
) -> tuple[Problem, ...]:
    """Report what can be seen to be wrong before the command's modules are imported, which takes seconds."""
    found = list(problems)
    try:
        load_config(model, path, given)
    except ConfigError as error:
        found += error.problems
    report(Terminal(stderr=True), found)
    return tuple(found)


def report(console: Console, problems: Sequence[Problem]) -> None:
    """Print everything that is wrong, a line each, with its place first."""
    for problem in problems:
        place = f"{problem.place}: " if problem.place else ""
        console.print(f"[bold red]error:[/] {escape(place)}{escape(problem.text)}", highlight=False, soft_wrap=True)


def _write_page(config: Any, code: int, output: Console) -> None:
    """Write the page of the results, where there are any, into their folder."""
    from ntkinfo.report.page import write_page
    from ntkinfo.report.page_folder import holds_results

    folder = Path(config.output.folder)
    if code in (INTERRUPTED, FAILED) and not holds_results(folder):
        return
    page = write_page(folder)
    output.print(f"{page.name} in {escape(str(page.parent))}", soft_wrap=True)


def refuse_to_replace(folder: Path, names: Sequence[str], switches: Switches) -> None:
    """Raise ValueError where a folder holds results of these names and may not lose them; unfinished ones it may.

    Args:
        folder: of the results.
        names: of the files that a run writes, its numbers first.
        switches: what only the command line says.
    """
    from ntkinfo.unfinished import unfinished

    there = [name for name in names if (folder / name).exists()]
    if there and not switches.overwrite and not unfinished(folder, names).get("asked"):
        raise ValueError(
            f"{folder} holds results already ({', '.join(there)}); add --overwrite to replace them, "
            "or name another folder with --out"
        )


def _load(job: Job, path: str | None, given: Mapping[str, Any], problems: Sequence[Problem]) -> Any:
    try:
        config = load_config(job.model, path, given, job.check)
    except ConfigError as error:
        raise ConfigError([*problems, *error.problems]) from None
    if problems:
        raise ConfigError(problems)
    return config


def _show_warnings_on(console: Console) -> None:
    def show(message, category, filename, lineno, file=None, line=None):
        console.print(f"[yellow]warning:[/] {escape(str(message))}", highlight=False, soft_wrap=True)

    warnings.showwarning = show
