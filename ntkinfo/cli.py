"""The command line: one function a command.

Heavy modules are imported by the commands that need them, so that help and mistakes in flags are answered at once.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter
from rich.markup import escape
from rich.table import Table

from ntkinfo.bottleneck_config import BottleneckConfig
from ntkinfo.cli_flags import as_problem, flag_class, given_flags, shown_type, without_unknown_flags
from ntkinfo.compare_config import CompareConfig
from ntkinfo.config import Config
from ntkinfo.config_reading import Problem, Section, flags
from ntkinfo.report.layout import print_table
from ntkinfo.report.terminal import Terminal
from ntkinfo.running import Switches, report, told_at_once
from ntkinfo.search_config import SearchConfig

_FAILED, _INTERRUPTED = 2, 130
_SWITCHES = """
Parameters
----------
overwrite
    Replace results that are already in the folder [default: no].
quiet
    Show neither progress nor summary [default: no].
traceback
    Show where in the program an error arose [default: no].
report
    Write report.html beside the results: all of them on one page, for a browser [default: no].
"""


@dataclass(frozen=True)
class ConfiguredCommand:
    """A command whose flags are the keys of its configuration.

    Args:
        name: what is typed.
        model: its configuration, from a module that is quick to import.
        module: where its function is; imported when the command runs.
        function: called with (path, flags given, problems of the command line, switches); returns the exit code.
        help: what it does, for `--help`.
    """

    name: str
    model: type[Section]
    module: str
    function: str
    help: str


COMMANDS = (
    ConfiguredCommand(
        "curves",
        Config,
        "ntkinfo.runs",
        "run_curves",
        """Compute information curves over training time.

Writes curves.nc, a figure and config.toml into a folder. Without arguments: the handwritten digits, one-hot targets,
three hidden erf layers, 200 times over eight decades and infinity. Results that are already in the folder are kept
unless --overwrite is given. Ctrl-C writes what is finished. With --certify the exit code is 3 where values disagree
with their second route.
""",
    ),
    ConfiguredCommand(
        "compare",
        CompareConfig,
        "ntkinfo.compare_run",
        "run_compare",
        """Compare trained networks of several widths with the theory.

Trains them and says where they agree with the law of infinite width, where not and why. Without arguments: the
handwritten digits and erf networks of five widths. Means, variances, shape and informations of the members stand
beside the law and beside what chance alone does; exponents in the width beside their prediction. Writes compare.nc, a
figure and config.toml into a folder. A run that was killed goes on where it was.
""",
    ),
    ConfiguredCommand(
        "bottleneck",
        BottleneckConfig,
        "ntkinfo.bottleneck_run",
        "run_bottleneck",
        """Compute the information bottleneck curve of a law.

The law is built in or from a file. Every point has a bound on how far it can be from the best; the curve lies between
an achievable and a certified bound. Writes the curve, a figure and config.toml into a folder. The exit code is 3 where
the accuracy that was asked for could not be certified.
""",
    ),
    ConfiguredCommand(
        "search",
        SearchConfig,
        "ntkinfo.search_run",
        "run_search",
        """Measure many trials and rank what predicts generalisation.

Without arguments: 384 trials of small networks on three bundled data sets, within a minute. Prints a plan, records
every trial as it is done, and ranks the measures at the end: chosen on some data sets, confirmed on others. The same
command goes on where a run was stopped or killed.
""",
    ),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    The code is 0 when done, 1 when `doctor` found a failure, 2 for bad input, 3 where `curves --certify` found values
    that disagree, 130 for Ctrl-C.

    Args:
        arguments: the words after the program's name; None takes those of this process.
    """
    # Batch systems end a job with SIGTERM: what Ctrl-C keeps is kept then too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    code = run(sys.argv[1:] if arguments is None else arguments)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code."""
    console = Terminal(stderr=True)
    words, problems = without_unknown_flags(list(arguments), {command.name: command.model for command in COMMANDS})
    app = _application(problems)
    try:
        code = app(words, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        report(console, [*problems, as_problem(error, [name for name in app if not name.startswith("-")])])
        return _FAILED
    except KeyboardInterrupt:
        console.print("Interrupted before anything was finished; nothing was written.")
        return _INTERRUPTED
    return code if isinstance(code, int) else 0


def _application(problems: Sequence[Problem]) -> App:
    app = App(
        name="ntkinfo",
        help="Information-theoretic analysis of infinitely wide neural networks.",
        version=_version,
        suppress_keyboard_interrupt=False,
        help_epilogue="Start with `ntkinfo curves`: information curves of the handwritten digits within a minute.",
    )
    for command in COMMANDS:
        app.command(_configured(command, problems), name=command.name, help_epilogue="")
    app.command(rank, help_epilogue="")
    app.command(report_page, name="report", help_epilogue="")
    app.command(data, help_epilogue="")
    app.command(measures, help_epilogue="")
    app.command(doctor, help_epilogue="")
    app.command(completion, help_epilogue="")
    return app


def _configured(command: ConfiguredCommand, problems: Sequence[Problem]) -> Callable[..., int]:
    """The function that cyclopts calls for a command whose flags are the keys of its configuration."""
    # Evaluated here because the class of flags is made from the configuration's sections.
    made: Any = flag_class(command.model)
    nothing = made()

    def call(
        config: str | None = None,
        /,
        *,
        given: Any = nothing,
        overwrite: bool = False,
        quiet: bool = False,
        traceback: bool = False,
        report: bool = False,
    ) -> int:
        chosen = given_flags(command.model, given)
        told = told_at_once(command.model, config, chosen, problems)
        wrong = {problem.place for problem in told}
        if told and config is None and all(name in wrong for name in chosen):
            return _FAILED  # nothing is left that the command's own module could object to
        run = getattr(importlib.import_module(command.module), command.function)
        switches = Switches(overwrite, quiet, traceback, report, told)
        return run(config, chosen, problems, switches)

    call.__name__, call.__doc__ = command.name, f"{command.help}\n{_SWITCHES}"
    call.__annotations__.update(
        given=Annotated[made, Parameter(name="*")],
        config=Annotated[str | None, Parameter(help="TOML file; flags override it.")],
        **{
            key: Annotated[bool, Parameter(negative="", show_default=False)]
            for key in ("overwrite", "quiet", "traceback", "report")
        },
    )
    call.__annotations__["return"] = int
    return call


Text = Annotated[str | None, Parameter(**shown_type("TEXT"))]
Whole = Annotated[str | None, Parameter(**shown_type("INT"))]
Several = Annotated[list[str] | None, Parameter(consume_multiple=True, negative="", **shown_type("TEXT..."))]
Switch = Annotated[bool, Parameter(negative="", show_default=False)]


def rank(
    *places: str,
    gap: Text = None,
    held_out: Several = None,
    given: Several = None,
    resamples: Whole = None,
    permutations: Whole = None,
    seed: Annotated[str | None, Parameter(name=("--seed", "--ranking-seed"), **shown_type("INT"))] = None,
    out: Text = None,
    format: Several = None,  # noqa: A002 - the name of the flag
    overwrite: Switch = False,
    quiet: Switch = False,
    traceback: Switch = False,
    report: Switch = False,
) -> int:
    """Rank the measures of recorded trials.

    By how well they predict generalisation. Prints a table and what it shows in sentences, and writes ranking.nc and a
    figure. What is not given is as in the configuration of the search; where there is none, nothing is held out.

    Parameters
    ----------
    places
        Folder of a search, also one that is running or was stopped, or Parquet parts of records.
    gap
        What is to be predicted: error_gap_mean, loss_gap_member, test_error_mean, … [default: as the search].
    held_out
        Data sets that only confirm what others chose [default: as the search, or none].
    given
        Settings held fixed in the partial correlation [default: as the search, or n and noise].
    resamples
        Draws of the bootstrap behind each interval [default: as the search, or 200].
    permutations
        Draws behind each null law [default: as the search, or 199].
    seed
        Fixes both [default: as the search, or 0].
    out
        Folder of the ranking [default: beside the records].
    format
        Of the figure: png, pdf, svg [default: as the search, or png].
    overwrite
        Replace a ranking that is already there [default: no].
    quiet
        Show neither progress nor summary [default: no].
    traceback
        Show where in the program an error arose [default: no].
    report
        Write report.html beside the ranking [default: no].
    """
    from ntkinfo.rank_run import run_rank
    from ntkinfo.running import Switches

    flags = {"--gap": gap, "--held-out": held_out, "--given": given, "--resamples": resamples, "--out": out}
    flags |= {"--permutations": permutations, "--ranking-seed": seed, "--format": format}
    chosen = {name: value for name, value in flags.items() if value is not None}
    return run_rank(places, chosen, Switches(overwrite, quiet, traceback, report))


def report_page(folder: str, /, *, page: Text = None, bits: bool | None = None) -> int:
    """Write one HTML page of all results in a folder.

    It opens from disk and needs no network.

    Parameters
    ----------
    folder
        That curves, compare, bottleneck, search or rank wrote into.
    page
        File of the page [default: report.html in the folder].
    bits
        Show bits or nats [default: what the run showed].
    """
    from ntkinfo.report.page import write_page

    try:
        written = write_page(folder, bits, page)
    except (ValueError, OSError) as error:
        report(Terminal(stderr=True), [Problem("", str(error))])
        return _FAILED
    Terminal(width=10_000).print(escape(str(written)), highlight=False)
    return 0


def data(name: str | None = None, /) -> int:
    """List the data sets, or the options of one.

    Parameters
    ----------
    name
        A data set; left out, all of them are listed.
    """
    from ntkinfo.core import checks
    from ntkinfo.data import registry

    console = Terminal()
    if name is None:
        table = _table("data set", "what it is")
        for key, entry in registry.ENTRIES.items():
            table.add_row(key, escape(entry.meaning))
        print_table(console, table)
        console.print("\nOptions of one: ntkinfo data NAME")
        return 0
    try:
        checks.choice("data", name, registry.ENTRIES)
    except ValueError as error:
        report(Terminal(stderr=True), [Problem("", str(error))])
        return _FAILED
    table = _table("flag", "default", "meaning")
    by_key = {flag.key: flag for flag in flags(Config).values() if flag.section == "data"}
    for option in registry.ENTRIES[name].options.values():
        default = "(needed)" if option.required else "" if option.default in (None, ()) else str(option.default)
        table.add_row(by_key[option.name].name, default, escape(option.meaning))
    print_table(console, table)
    return 0


def measures(*, json: Switch = False) -> int:
    """List the generalisation measures and what each needs.

    Parameters
    ----------
    json
        Print them as JSON, with formulas, sources and units [default: no].
    """
    from ntkinfo.measure_list import measures_json, print_measures

    if json:
        print(measures_json())
    else:
        print_measures(Terminal())
    return 0


def doctor() -> int:
    """Print versions, devices, memory and what works.

    The exit code is 1 if anything failed.
    """
    from ntkinfo.doctor import examine

    table = _table("looked at", "state", "found")
    table.show_header = False
    findings = examine()
    colours = {"ok": "green", "failed": "red"}
    for finding in findings:
        state = f"[{colours.get(finding.state, 'yellow')}]{finding.state}[/]"
        table.add_row(finding.name, state, escape(finding.text))
    print_table(Terminal(), table)
    return int(any(finding.state == "failed" for finding in findings))


def completion(shell: Literal["bash", "zsh", "fish"], /) -> int:
    """Print what lets a shell complete commands and flags.

    For bash put `eval "$(ntkinfo completion bash)"` into ~/.bashrc; for zsh write the output to a file `_ntkinfo` in a
    folder of $fpath; for fish to ~/.config/fish/completions/ntkinfo.fish.

    Parameters
    ----------
    shell
        Whose words are to be completed.
    """
    print(_application([]).generate_completion(prog_name="ntkinfo", shell=shell))
    return 0


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, no_wrap=heading != headings[-1])
    return table


def _version() -> str:
    from importlib.metadata import version

    return version("ntkinfo")
