"""One run of `ntkinfo compare`: trained networks of several widths against the law of infinite width."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr
from rich.console import Console
from rich.markup import escape

from ntkinfo.compare_assembly import (
    Plan,
    comparison_settings,
    cross_checks,
    ensemble_seed,
    ensembles,
    plan,
    resolved,
)
from ntkinfo.compare_config import CompareConfig
from ntkinfo.config_reading import Problem, dump_config
from ntkinfo.core.kept import Keeper, KeptPieces
from ntkinfo.core.progress import Track, silent
from ntkinfo.core.records import Estimate
from ntkinfo.core.versions import versions
from ntkinfo.finite.comparison import Comparator, Comparison, Family, SplitComparison
from ntkinfo.finite.comparison_discrepancies import Measured
from ntkinfo.finite.comparison_divergence import Chance
from ntkinfo.finite.comparison_information import InformationSettings, MemberInformation
from ntkinfo.finite.comparison_moments import Moments
from ntkinfo.finite.comparison_parameters import ParameterBound, parameters_beside_bound
from ntkinfo.finite.comparison_study import WidthResult, scaling_of, study_width
from ntkinfo.finite.ensembles import EnsembleOutputs, EnsembleSettings, train_ensemble
from ntkinfo.finite.networks import has_kinks
from ntkinfo.finite.parameter_information import MemberSettings
from ntkinfo.finite.trainer import DivergedError, Interrupted
from ntkinfo.finite.verdict import Verdict
from ntkinfo.information.curve_files import save_curves
from ntkinfo.report.comparison_dataset import comparison_dataset, with_parameters
from ntkinfo.report.comparison_figure import comparison_figure
from ntkinfo.report.comparison_table import print_comparison
from ntkinfo.report.progress import ConsoleProgress, Interruptible, uninterrupted
from ntkinfo.report.results import ResultsFolder
from ntkinfo.report.style import save_figure
from ntkinfo.running import DONE, INTERRUPTED, Job, Switches, refuse_to_replace, run_job
from ntkinfo.unfinished import Unfinished, command_of

_LEAST_MEMBERS = 24
_KEPT = (
    ParameterBound,
    WidthResult,
    Comparison,
    SplitComparison,
    Moments,
    Family,
    Chance,
    MemberInformation,
    Measured,
    Verdict,
    Estimate,
)
_REPLICATES = 8  # ensembles from the law behind the bias of informations, which take longer than all else


def run_compare(path: str | None, given: Mapping[str, Any], problems: Sequence[Problem], switches: Switches) -> int:
    """Train networks of several widths and compare them with the law, as a TOML file and flags ask for.

    Args:
        path: a TOML file, or None.
        given: values of flags by flag name.
        problems: what is wrong with the command line itself.
        switches: what only the command line says.

    Returns:
        The exit code: 0 when done, whatever the verdict; 2 for bad input, 130 when interrupted.
    """
    return run_job(Job(CompareConfig, cross_checks, _run), path, given, problems, switches)


def _run(config: CompareConfig, switches: Switches, messages: Console, output: Console) -> int:
    with ResultsFolder(config.output.folder) as folder:
        refuse_to_replace(folder.folder, _names(config), switches)
        start = time.monotonic()
        made = plan(config)
        command = command_of(resolved(config, made), fingerprint=made.data.fingerprint)
        unfinished = Unfinished(folder.folder, _names(config), command, switches)
        _describe(output, config, made)
        with uninterrupted(), unfinished as checkpoint:
            keeper, bars = KeptPieces(checkpoint / "compared", command, _KEPT), ConsoleProgress(messages)
            with keeper as kept, bars, Interruptible(silent if switches.quiet else bars) as track:
                parameters, results, whole = compute(config, made, kept, checkpoint, track)
            if not whole:
                keeper.write()
            if not results:
                messages.print(f"Interrupted before any width was finished; {unfinished.told}.")
                return INTERRUPTED
            settings = comparison_settings(config, made.law)
            found = comparison_dataset(results, scaling_of(results, _kinks(made)), made.law, settings.level)
            found = found if parameters is None else with_parameters(found, parameters)
            found = found.assign_attrs(complete="yes" if whole else "no, interrupted")
            written = _write(folder, found.assign_attrs(asked=unfinished.asked), config, made)
            if whole:
                unfinished.remove()
        print_comparison(output, found)
        _print_notes(output, found)
        names = ", ".join(place.name for place in written)
        output.print(f"\n{names} in {escape(str(folder.folder))} ({time.monotonic() - start:.0f} s)", soft_wrap=True)
    if not whole:
        missing = ", ".join(str(width) for width in made.ensembles if width not in found["width"].values)
        missing = f"widths {missing}" if missing else "members of the last width"
        messages.print(f"Interrupted. What was finished is written; missing: {missing}; the same command goes on.")
        return INTERRUPTED
    return DONE


def compute(
    config: CompareConfig, made: Plan, kept: Keeper, checkpoint: Path, progress: Track
) -> tuple[ParameterBound | None, list[WidthResult], bool]:
    """The parameters' bound, and every width trained and compared; say whether all were finished."""
    try:
        parameters = kept.recall("parameters", lambda: _parameters(config, made, progress))
    except KeyboardInterrupt:
        return None, [], False
    results, whole = _widths(config, made, kept, checkpoint, progress)
    return parameters, results, whole


def _widths(
    config: CompareConfig, made: Plan, kept: Keeper, checkpoint: Path, progress: Track
) -> tuple[list[WidthResult], bool]:
    """Train and compare one width after the other; say whether all were finished."""
    comparator, results = Comparator(made.law, comparison_settings(config, made.law)), []
    information = (
        InformationSettings(_REPLICATES, seed=config.comparison.seed) if config.comparison.information else None
    )
    for width in made.ensembles:

        def studied(width: int = width) -> WidthResult:
            shown = _at_width(progress, width)
            outputs = _train(config, made, width, checkpoint, shown)
            return study_width(outputs, comparator, information, shown)

        try:
            results.append(kept.recall(f"width {width}", studied))
        except Interrupted as interruption:
            partial = interruption.partial
            if partial is not None and partial.members >= _LEAST_MEMBERS:
                results.append(study_width(partial, comparator))
            return results, False
        except KeyboardInterrupt:
            return results, False
    return results, True


def _kinks(made: Plan) -> bool:
    """Whether the gradient jumps, which does not depend on the width."""
    return has_kinks(made.network, made.data.x_train, made.data.n_outputs, min(made.ensembles))


def _parameters(config: CompareConfig, made: Plan, progress: Track) -> ParameterBound | None:
    """The parameters' relative entropy at the middle one of the widths, where it was asked for."""
    if not config.comparison.parameter_members:
        return None
    widths = list(made.ensembles)
    settings = MemberSettings(
        members=config.comparison.parameter_members,
        seed=ensemble_seed(config, 0),
        trace="probes",
        precision=config.ensemble.precision,
        measure_step_error=False,
    )
    return parameters_beside_bound(
        made.network,
        made.data,
        made.law.times[1:],
        width=widths[len(widths) // 2],
        loss=made.procedure.loss,
        settings=settings,
        progress=progress,
    )


def _train(config: CompareConfig, made: Plan, width: int, checkpoint: Path, progress: Track) -> EnsembleOutputs:
    given = config.ensemble
    settings = EnsembleSettings(
        members=made.ensembles[width],
        seed=ensemble_seed(config, width),
        precision=given.precision,
        checkpoint=Path(given.checkpoint or checkpoint) / f"width-{width}",
        linearised=given.twins,
        kernel_inputs=min(given.kernel_inputs, len(made.data.x_train)),
    )
    try:
        return train_ensemble(
            made.network,
            made.data,
            made.law.times,
            procedure=made.procedure,
            width=width,
            settings=settings,
            progress=progress,
        )
    except DivergedError as error:
        step = f"the step was {made.procedure.step:.3g}, --step-size sets it"
        raise DivergedError(f"width {width}: {error} ({step}), or leave that width out") from error


def _at_width(progress: Track, width: int) -> Track:
    def track(items, label, total=None):
        return progress(items, f"width {width}: {label}", total)

    return track


def _names(config: CompareConfig) -> list[str]:
    return ["compare.nc", "config.toml", *(f"compare.{suffix}" for suffix in config.output.formats)]


def _describe(output: Console, config: CompareConfig, made: Plan) -> None:
    data = made.data
    output.print(made.network.describe(), highlight=False, soft_wrap=True)
    output.print(
        f"{escape(data.name)}: {len(data.x_train)} training and {len(data.x_test)} test inputs, {data.n_outputs} "
        f"outputs; {config.training.procedure.replace('_', ' ')}, {config.ensemble.steps} steps of "
        f"{made.procedure.step:g}",
        highlight=False,
        soft_wrap=True,
    )
    text = ", ".join(f"{width} ({members})" for width, members in ensembles(config).items())
    output.print(f"widths (members): {text}; {config.ensemble.precision}", highlight=False, soft_wrap=True)


def _print_notes(output: Console, found: xr.Dataset) -> None:
    for sentence in json.loads(found.attrs["scaling"]):
        if "undecided" in sentence or "not consistent" in sentence:
            output.print(f"scaling: {escape(sentence)}", soft_wrap=True, highlight=False)
    for note in [note for note in str(found.attrs["notes"]).split("; ") if note]:
        output.print(f"note: {escape(note)}", soft_wrap=True, highlight=False)


def _write(folder: ResultsFolder, found: xr.Dataset, config: CompareConfig, made: Plan) -> list[Path]:
    text = dump_config(resolved(config, made))
    found = found.assign_attrs(
        {f"version_{name}": version for name, version in versions().items()},
        data=made.data.name,
        network=made.network.describe(),
        n_train=len(made.data.x_train),
        n_test=len(made.data.x_test),
        n_outputs=made.data.n_outputs,
        procedure="".join(word.capitalize() for word in config.training.procedure.split("_")),
        configuration=text,
    )
    figure = comparison_figure(found)
    files: dict[str, Any] = {"compare.nc": lambda place: save_curves(found, place)}
    for suffix in dict.fromkeys(config.output.formats):
        files[f"compare.{suffix}"] = lambda place: save_figure(figure, place)
    files["config.toml"] = lambda place: place.write_text(text, encoding="utf-8")
    return folder.write(files)
