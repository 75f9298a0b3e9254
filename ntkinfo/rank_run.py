"""One run of `ntkinfo rank`: from the records of a search to a table, a figure and a plain statement."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.markup import escape

from ntkinfo.config_reading import ConfigError, Problem, dump_config, load_config
from ntkinfo.core.progress import silent
from ntkinfo.core.versions import versions
from ntkinfo.information.curve_files import save_curves
from ntkinfo.report.progress import ConsoleProgress, Interruptible, uninterrupted
from ntkinfo.report.ranking_figure import ranking_figure
from ntkinfo.report.ranking_table import print_ranking
from ntkinfo.report.results import ResultsFolder
from ntkinfo.report.style import save_figure
from ntkinfo.report.terminal import Terminal
from ntkinfo.running import DONE, FAILED, INTERRUPTED, Switches, refuse_to_replace, report
from ntkinfo.search.ranking import Ranking, rank
from ntkinfo.search.records import Recorded, read_records
from ntkinfo.search_assembly import ranked, space
from ntkinfo.search_config import SearchConfig

NAME = "ranking"


def run_rank(places: Sequence[str], given: Mapping[str, Any], switches: Switches) -> int:
    """Rank the measures of recorded trials, and write ranking.nc and figures.

    Args:
        places: the folder of a search, or parts of records.
        given: values of flags by flag name of `ntkinfo search`; the configuration in a search's folder says the rest.
        switches: what only the command line says.

    Returns:
        The exit code: 0 when done, whatever the ranking says; 2 for bad input; 130 when interrupted.
    """
    messages, output = Terminal(stderr=True), Terminal(quiet=switches.quiet)
    try:
        if not places:
            raise ValueError("rank needs the folder of a search, or parts of its records")
        config = _config(places, given)
        with warnings.catch_warnings():
            warnings.showwarning = _shown_on(messages)
            return _run(places, config, "--out" in given, switches, (messages, output))
    except ConfigError as error:
        report(messages, error.problems)
    except (ValueError, OSError, MemoryError) as error:
        if switches.traceback:
            raise
        report(messages, [Problem("", str(error))])
    return FAILED


def show(output: Console, found: Ranking, config: SearchConfig) -> None:
    """Print a ranking: table and statement."""
    print_ranking(output, found.dataset().assign_attrs(gap=config.ranking.gap))


def ranking_files(
    found: Ranking, config: SearchConfig, rows: pa.Table | None = None
) -> dict[str, Callable[[Path], Any]]:
    """What writes the files of a ranking, by name, as `ResultsFolder.write` takes them.

    Args:
        found: the ranking.
        config: that it was made by.
        rows: records it was made from, which say what networks they were; None leaves that out.
    """
    provenance = {f"version_{name}": version for name, version in versions().items()}
    data = dict.fromkeys([*found.selection.data_sets, *(found.held_out.data_sets if found.held_out else ())])
    provenance |= {"data": ", ".join(data), "network": "" if rows is None else _networks(rows)}
    dataset = found.dataset().assign_attrs(gap=config.ranking.gap, configuration=dump_config(config), **provenance)
    figure = ranking_figure(dataset)
    files: dict[str, Callable[[Path], Any]] = {f"{NAME}.nc": lambda place: save_curves(dataset, place)}
    for suffix in dict.fromkeys(config.output.formats):
        files[f"{NAME}.{suffix}"] = lambda place: save_figure(figure, place)
    return files


def _config(places: Sequence[str], given: Mapping[str, Any]) -> SearchConfig:
    """The configuration of the search whose folder this is, else the defaults with nothing held out."""
    if _is_search(places):
        return load_config(SearchConfig, Path(places[0]) / "config.toml", given)
    return load_config(SearchConfig, None, {"--held-out": [], **given})


def _run(
    places: Sequence[str], config: SearchConfig, elsewhere: bool, switches: Switches, consoles: tuple[Console, Console]
) -> int:
    messages, output = consoles
    start, folder = time.monotonic(), _folder(places, config, elsewhere)
    names = [f"{NAME}.nc", *(f"{NAME}.{suffix}" for suffix in config.output.formats)]
    recorded = read_records(places[0] if len(places) == 1 else places)
    with ResultsFolder(folder) as results:
        refuse_to_replace(results.folder, names, switches)
        output.print(escape(_described(recorded)), highlight=False, soft_wrap=True)
        if _is_search(places) and (others := _others(recorded, config)):
            text = f"{others:,} of the trials are not of the search that config.toml describes; they are ranked too"
            messages.print(f"[yellow]warning:[/] {text}", highlight=False, soft_wrap=True)
        for note in recorded.notes:
            messages.print(f"[yellow]warning:[/] {escape(note)}", highlight=False, soft_wrap=True)
        table, settings = ranked(recorded.good, config)
        try:
            with ConsoleProgress(messages) as bars, Interruptible(silent if switches.quiet else bars) as track:
                found = rank(table, settings, track)
        except KeyboardInterrupt:
            messages.print("Interrupted; nothing was written.")
            return INTERRUPTED
        with uninterrupted():
            written = results.write(ranking_files(found, config, recorded.good))
        show(output, found, config)
    listed = ", ".join(path.name for path in written)
    output.print(f"\n{listed} in {escape(str(folder))} ({time.monotonic() - start:.0f} s)", soft_wrap=True)
    if switches.report:
        from ntkinfo.report.page import write_page

        write_page(folder)
    return DONE


def _folder(places: Sequence[str], config: SearchConfig, elsewhere: bool) -> Path:
    """Where results go: where a flag says, else beside the records."""
    if elsewhere:
        return Path(config.output.folder).absolute()
    first = Path(places[0]).absolute()
    return first if first.is_dir() else first.parent


def _is_search(places: Sequence[str]) -> bool:
    """Whether the one place that is named is the folder of a search."""
    return len(places) == 1 and (Path(places[0]) / "config.toml").is_file()


def _others(recorded: Recorded, config: SearchConfig) -> int:
    """How many trials another search left in the folder, which --overwrite put this one's beside."""
    own = {trial.fingerprint for trial in space(config).trials()}
    return sum(key not in own for key in recorded.good["fingerprint"].to_pylist())


def _described(recorded: Recorded) -> str:
    failed = recorded.table.num_rows - recorded.good.num_rows
    text = f"{recorded.table.num_rows:,} trials"
    return text + (f", {failed:,} of them with an error and left out" if failed else "")


def _networks(rows: pa.Table) -> str:
    """The networks of the records in words: what of each setting there is."""
    parts = []
    for key, word in (("family", ""), ("activation", "activation"), ("depth", "hidden layers")):
        if key in rows.column_names:
            values = sorted({value for value in rows[key].to_pylist() if value is not None})
            parts.append(f"{word} {', '.join(str(value).replace('_', ' ') for value in values)}".strip())
    return "; ".join(parts)


def _shown_on(console: Console) -> Callable[..., None]:
    def shown(message, category, filename, lineno, file=None, line=None):
        console.print(f"[yellow]warning:[/] {escape(str(message))}", highlight=False, soft_wrap=True)

    return shown
