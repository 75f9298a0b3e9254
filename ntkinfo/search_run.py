"""One run of `ntkinfo search`: a plan, a sweep that goes on where it was, and the ranking of measures."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.markup import escape

from ntkinfo.config_reading import Problem, dump_config
from ntkinfo.core.progress import Track, silent
from ntkinfo.rank_run import ranking_files, show
from ntkinfo.report.progress import Interruptible, uninterrupted
from ntkinfo.report.results import ResultsFolder
from ntkinfo.report.sweep_progress import SweepProgress
from ntkinfo.running import DONE, INTERRUPTED, Job, Switches, run_job
from ntkinfo.search.plan import Plan, measured_rates, plan_trials
from ntkinfo.search.ranking import rank
from ntkinfo.search.records import read_records
from ntkinfo.search.sweep import SweepInterrupted, SweepResult, sweep
from ntkinfo.search.trial import Trial, measure_trials
from ntkinfo.search.trial_models import FAMILIES_HERE
from ntkinfo.search_assembly import cluster, cross_checks, ranked, resolved, space, sweep_settings, workers
from ntkinfo.search_config import SearchConfig

RECORDS = "trials"
_SAME = ("space", "trials", "files")  # sections that say which trials a folder holds


def run_search(path: str | None, given: Mapping[str, Any], problems: Sequence[Problem], switches: Switches) -> int:
    """Measure many trials and rank the measures, as a TOML file and flags ask for.

    Args:
        path: a TOML file, or None.
        given: values of flags by flag name.
        problems: what is wrong with the command line itself.
        switches: what only the command line says.

    Returns:
        The exit code: 0 when done, whatever the ranking says; 2 for bad input, 130
        when interrupted.
    """
    return run_job(Job(SearchConfig, cross_checks, _run), path, given, problems, switches)


def _run(config: SearchConfig, switches: Switches, messages: Console, output: Console) -> int:
    config = resolved(config)
    start, folder = time.monotonic(), Path(config.output.folder)
    with ResultsFolder(folder) as results:
        _refuse_to_mix(folder, config, switches)
        trials = space(config).trials()
        with SweepProgress(messages) as bars, Interruptible(silent if switches.quiet else bars) as track:
            made = _planned(config, trials, folder, output, track)
            results.write({"config.toml": lambda place: _write(place, dump_config(config))})
            try:
                settings = sweep_settings(config)
                result = sweep(made.groups, measure_trials, folder / RECORDS, cluster(config), settings, progress=track)
            except SweepInterrupted as interruption:
                messages.print(escape(str(interruption)), soft_wrap=True, highlight=False)
                return INTERRUPTED
            except (RuntimeError, ModuleNotFoundError) as error:  # workers that do not start or cannot run trials
                raise ChildProcessError(str(error)) from error
            _tell(output, result)
            try:
                written = _rank(config, trials, results, output, track)
            except KeyboardInterrupt:
                messages.print(f"Interrupted; all trials are recorded in {escape(str(folder))}", soft_wrap=True)
                return INTERRUPTED
    names = ", ".join(path.name for path in written)
    seconds = time.monotonic() - start
    output.print(f"\n{names} in {escape(str(folder))} ({seconds:.0f} s)", soft_wrap=True, highlight=False)
    return DONE


def _planned(config: SearchConfig, trials: Sequence[Trial], folder: Path, output: Console, track: Track) -> Plan:
    """The plan, printed with what of it is still to do; a few trials are timed only where there are some to do."""
    done = _done(folder, config.sweep.retry_failed)
    missing = [trial for trial in trials if trial.fingerprint not in done]
    rates = measured_rates(missing, progress=track) if missing else None
    FAMILIES_HERE.clear()
    made = plan_trials(trials, rates)
    left = plan_trials(missing, rates) if missing else made
    count = workers(config)
    if config.sweep.scheduler is None and config.sweep.slurm_jobs is None:
        left.require_memory(count)  # the memory of other machines is not known here
    if len(missing) < len(trials):
        output.print(f"{len(trials) - len(missing):,} of {len(trials):,} trials are recorded already", highlight=False)
    if missing:
        output.print(left.summary(count), highlight=False, soft_wrap=True)
    return made


def _done(folder: Path, retry_failed: bool) -> set[str]:
    """Fingerprints of the trials that a sweep in this folder would not measure."""
    place = folder / RECORDS
    if not place.is_dir():
        return set()
    found = read_records(place)
    return set((found.good if retry_failed else found.table)["fingerprint"].to_pylist())


def _refuse_to_mix(folder: Path, config: SearchConfig, switches: Switches) -> None:
    """Raise ValueError where the folder is of another search and --overwrite does not say to add to it."""
    place = folder / "config.toml"
    if switches.overwrite or not place.exists():
        return
    try:
        kept = tomllib.loads(place.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{place}: not valid TOML: {error}; mend it, or name another folder with --out") from error
    now = tomllib.loads(dump_config(config))
    other = [name for name in _SAME if kept.get(name) != now.get(name)]
    if other:
        raise ValueError(
            f"{folder} is of a search with another [{'], ['.join(other)}]; name another folder with --out, or add "
            "--overwrite to put these trials beside its own, of which none are deleted"
        )


def _write(place: Path, text: str) -> None:
    place.write_text(text, encoding="utf-8")


def _tell(output: Console, result: SweepResult) -> None:
    """How the sweep went."""
    text = f"{result.measured:,} trials measured in {result.seconds:.0f} s"
    if result.failed:
        text += f", {result.failed:,} of them with an error (column `error` of the records)"
    for line in (text, *result.notes):
        output.print(escape(line), highlight=False, soft_wrap=True)


def _rank(
    config: SearchConfig, trials: Sequence[Trial], results: ResultsFolder, output: Console, track: Track
) -> list[Path]:
    """Rank the measures on this search's trials and write what came out."""
    folder = results.folder
    good, wanted = read_records(folder / RECORDS).good, {trial.fingerprint for trial in trials}
    rows = good.filter(pa.array([key in wanted for key in good["fingerprint"].to_pylist()], pa.bool_()))
    table, settings = ranked(rows, config)
    found = rank(table, settings, track)
    with uninterrupted():
        written = results.write(ranking_files(found, config, rows))
    show(output, found, config)
    return written
