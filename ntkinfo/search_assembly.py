"""From a configuration of `ntkinfo search` to its trials, where they are measured and how measures are ranked."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa

from ntkinfo.config_reading import Finding
from ntkinfo.core import checks
from ntkinfo.data.input_files import existing_file
from ntkinfo.search.cluster_settings import NO_JOBQUEUE, ClusterSettings, SlurmSettings, cores
from ntkinfo.search.ranking import RankSettings
from ntkinfo.search.scores import ScoreSettings
from ntkinfo.search.scores_all import AllSettings
from ntkinfo.search.scores_conditional import ConditionalSettings
from ntkinfo.search.space import Range, Space, axis_of
from ntkinfo.search.sweep import SweepSettings
from ntkinfo.search.trial_description import AXES, BUNDLED, DATA_SETS, FILES, REAL_VALUED, TrialOptions
from ntkinfo.search.trial_table import GAPS, baselines, directions, trial_table
from ntkinfo.search_config import SearchConfig

_FILE_KEYS = ("image_file", "label_file", "test_image_file", "test_label_file", "path")
_CONTROLS = ("n", "noise")


def data_sets(config: SearchConfig) -> list[str]:
    """Names of the data sets; idx among them where an image file is given."""
    names = list(config.space.data)
    return names + ["idx"] * (config.files.image_file is not None and "idx" not in names)


def space(config: SearchConfig) -> Space:
    """What is varied.

    Raises:
        ValueError: whatever is wrong with an axis.
    """
    section = config.space
    axes: dict[str, Any] = {name: axis_of(name, getattr(section, name)) for name in AXES if name != "data"}
    axes["data"] = axis_of("data", data_sets(config))
    if _with_infinity(config):
        axes["time"] = (*(t for t in axes["time"]), math.inf)
    return Space(axes, options(config), section.kind, section.count, section.sampling_seed)


def _with_infinity(config: SearchConfig) -> bool:
    given, ranged = config.space.infinity, isinstance(axis_of("time", config.space.time), Range)
    if given and ranged:
        raise ValueError("infinity is true and time is a range; list the times, or leave infinity out")
    return not ranged if given is None else given


def options(config: SearchConfig) -> TrialOptions:
    """What all the trials have in common.

    Raises:
        ValueError: a number out of range.
    """
    named: list[tuple[str, Any]] = []
    for key, value in config.files.given().items():
        if key in _FILE_KEYS:
            named.append((key, str(Path(value).absolute())))
        else:
            named.append((key, tuple(value) if isinstance(value, list) else value.replace("_", "-")))
    named.sort()
    paths = [Path(value) for key, value in named if key in _FILE_KEYS]
    digests = tuple(_digest(path) for path in paths if _is_file(path))
    return TrialOptions(files=tuple(named), digests=digests, **config.trials.model_dump())


def _is_file(path: Path) -> bool:
    """Whether there is such a file; not where the name is longer than any can be."""
    try:
        return path.is_file()
    except OSError:
        return False


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def resolved(config: SearchConfig) -> SearchConfig:
    """The configuration with data sets, infinity and what is held out written out and file names absolute."""
    absolute = {key: str(Path(value).absolute()) for key, value in config.files.given().items() if key in _FILE_KEYS}
    space_values = {"data": data_sets(config), "infinity": _with_infinity(config)}
    return config.model_copy(
        update={
            "space": config.space.model_copy(update=space_values),
            "files": config.files.model_copy(update=absolute),
            "ranking": config.ranking.model_copy(update={"held_out": list(held_out(config))}),
            "output": config.output.model_copy(update={"folder": str(Path(config.output.folder).absolute())}),
        }
    )


def cluster(config: SearchConfig) -> ClusterSettings:
    """Where trials are measured.

    Raises:
        ValueError: more than one place.
    """
    given = config.sweep
    slurm = None
    if given.slurm_jobs is not None:
        slurm = SlurmSettings(
            jobs=given.slurm_jobs,
            memory=given.slurm_memory,
            walltime=given.slurm_walltime,
            queue=given.slurm_queue,
            account=given.slurm_account,
        )
    return ClusterSettings(workers=given.workers, scheduler=given.scheduler, slurm=slurm, insecure=given.insecure)


def workers(config: SearchConfig) -> int:
    """How many trials are measured at a time, as far as is known beforehand."""
    given = config.sweep
    if given.slurm_jobs is not None:
        return given.slurm_jobs
    if given.scheduler is not None:
        return 1
    if given.workers is not None:
        return max(given.workers, 1)
    return cores()


def sweep_settings(config: SearchConfig) -> SweepSettings:
    """How trials are handed out."""
    seconds = {} if config.sweep.batch_seconds is None else {"batch_seconds": config.sweep.batch_seconds}
    return SweepSettings(retry_failed=config.sweep.retry_failed, **seconds)


def held_out(config: SearchConfig) -> tuple[str, ...]:
    """Data sets that only confirm: those named, or the last one of several."""
    names = data_sets(config)
    if config.ranking.held_out is not None:
        return tuple(config.ranking.held_out)
    return (names[-1],) if len(names) > 1 else ()


def ranked(rows: pa.Table, config: SearchConfig) -> tuple[Any, RankSettings]:
    """The table of the records and how its measures are ranked.

    Raises:
        ValueError: no trials with the gap, settings held fixed that were not varied.
    """
    given = config.ranking
    table = trial_table(rows, given.gap)
    varied = tuple(name for name in (given.controls or _CONTROLS) if name in table.hyperparameters)
    if given.controls is not None:
        for name in given.controls:
            checks.choice("given", name, table.hyperparameters)
    scores = AllSettings(
        score=ScoreSettings(resamples=given.resamples, permutations=given.permutations, seed=given.seed),
        conditional=ConditionalSettings(),
        given=varied,
        pgdl_permutations=given.pgdl_permutations,
    )
    return table, RankSettings(scores, held_out(config), directions(table.names), baselines(table.names))


def cross_checks(config: SearchConfig) -> list[Finding]:
    """What is wrong between the values of a configuration, each right on its own.

    Returns:
        Section, key and what is wrong.
    """
    findings = [*_axis_findings(config), *_file_findings(config), *_other_findings(config)]
    if not findings:
        findings += _space_findings(config)
    return findings


def _axis_findings(config: SearchConfig) -> Iterator[Finding]:
    for name in AXES:
        try:
            if name == "data":
                for value in config.space.data:
                    checks.choice("data", value, DATA_SETS)
            axis = axis_of(name, getattr(config.space, name))
            if name != "data":
                Space({name: axis}, kind="random", count=1)
        except (ValueError, TypeError) as error:
            yield "space", name, str(error)


def _file_findings(config: SearchConfig) -> Iterator[Finding]:
    for key in _FILE_KEYS:
        value = getattr(config.files, key)
        if value is not None:
            try:
                existing_file(value)
            except (OSError, ValueError) as error:
                yield "files", key, f"{key}: {error}"
    given = config.files.given()
    if given and not set(data_sets(config)) & set(FILES):
        yield "files", next(iter(given)), f"[files] is given, and none of the data sets is one of {', '.join(FILES)}"


def _other_findings(config: SearchConfig) -> Iterator[Finding]:
    for section, build in (("trials", options), ("sweep", cluster)):
        try:
            build(config)
        except (ValueError, TypeError) as error:
            first = str(error).split(" ")[0]
            yield section, first if first in type(getattr(config, section)).model_fields else "", str(error)
    if config.sweep.slurm_jobs is not None and find_spec("dask_jobqueue") is None:
        yield "sweep", "slurm_jobs", NO_JOBQUEUE
    yield from _ranking_findings(config)


def _ranking_findings(config: SearchConfig) -> Iterator[Finding]:
    """What would only be found out when all trials are measured."""
    try:
        checks.choice("gap", config.ranking.gap, GAPS)
    except ValueError as error:
        yield "ranking", "gap", str(error)
    names = data_sets(config)
    for name in held_out(config):
        if name not in names:
            yield "ranking", "held_out", f"held_out is {name!r}, which is none of the data sets {', '.join(names)}"
    if set(held_out(config)) >= set(names):
        yield "ranking", "held_out", "every data set is held out; leave at least one to choose on"
    gap = config.ranking.gap
    if gap.startswith("finite_") and not config.trials.finite_width:
        yield "ranking", "gap", f"gap is {gap!r}, which needs trained networks; give finite_width"
    other = gap.replace("error", "loss")
    for name in names:
        real = name in REAL_VALUED if name in BUNDLED else name in FILES and config.files.targets == "regression"
        if "error" in gap and real:
            yield "ranking", "gap", f"gap is {gap!r}, and {name} has no classes, so no errors; take gap {other!r}"


def _space_findings(config: SearchConfig) -> Iterable[Finding]:
    try:
        trials = space(config).trials()
    except (ValueError, TypeError) as error:
        text = str(error)
        first = text.split(" ")[0]
        return [("space", first if first in (*AXES, "kind", "count", "infinity") else "", text)]
    if not trials:
        return [("space", "", "there are no trials")]
    if config.ranking.controls is None:
        return []
    varied = [
        name for name in AXES if name not in ("data", "seed") and len({getattr(trial, name) for trial in trials}) > 1
    ]
    told = f"which is not varied; varied: {', '.join(varied) or 'nothing'}"
    return [
        ("ranking", "controls", f"given is {name!r}, {told}") for name in config.ranking.controls if name not in varied
    ]
