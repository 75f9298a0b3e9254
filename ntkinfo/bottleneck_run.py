"""One run of `ntkinfo bottleneck`: the bottleneck curve of a joint law, with certificates and its dual."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from rich.console import Console
from rich.markup import escape

from ntkinfo.bottleneck.discrete import BottleneckSolution, Residuals
from ntkinfo.bottleneck.discrete_curve import CurveInterrupted, DiscreteCurve, bottleneck_curve
from ntkinfo.bottleneck.dual import DualSolution, dual_critical_beta, solve_dual
from ntkinfo.bottleneck.gaussian_samples import SampledBottleneck
from ntkinfo.bottleneck.problems import DiscreteProblem
from ntkinfo.bottleneck_assembly import Problem as Law
from ntkinfo.bottleneck_assembly import cross_checks, problem, resolved
from ntkinfo.bottleneck_config import BottleneckConfig, SolverSection
from ntkinfo.config_reading import Problem, dump_config
from ntkinfo.core.kept import Keeper, KeptPieces, NotKept
from ntkinfo.core.progress import Track, silent
from ntkinfo.core.records import fingerprint
from ntkinfo.information.curve_files import save_curves
from ntkinfo.report.bottleneck_dataset import discrete_dataset, gaussian_dataset
from ntkinfo.report.bottleneck_figure import bottleneck_figure
from ntkinfo.report.bottleneck_table import print_bottleneck
from ntkinfo.report.progress import ConsoleProgress, Interruptible, uninterrupted
from ntkinfo.report.results import ResultsFolder
from ntkinfo.report.style import save_figure
from ntkinfo.running import DONE, INTERRUPTED, NOT_CERTIFIED, Job, Switches, refuse_to_replace, run_job
from ntkinfo.unfinished import Unfinished, command_of

_KEPT = (BottleneckSolution, DualSolution, Residuals)
_DUAL_REACH = 100.0  # the dual is solved up to so many times its critical beta


@dataclass
class Found:
    """What is finished of a discrete problem."""

    curve: DiscreteCurve | None = None
    dual: list[DualSolution] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    whole: bool = False


def run_bottleneck(path: str | None, given: Mapping[str, Any], problems: Sequence[Problem], switches: Switches) -> int:
    """Compute a bottleneck curve as a TOML file and flags ask for, and write it with figure and configuration.

    Args:
        path: a TOML file, or None.
        given: values of flags by flag name.
        problems: what is wrong with the command line itself.
        switches: what only the command line says.

    Returns:
        The exit code: 0 when done, 2 for bad input, 3 where the accuracy that was asked for could not be certified, 130
        when interrupted.
    """
    return run_job(Job(BottleneckConfig, cross_checks, _run), path, given, problems, switches)


def _run(config: BottleneckConfig, switches: Switches, messages: Console, output: Console) -> int:
    with ResultsFolder(config.output.folder) as folder:
        refuse_to_replace(folder.folder, _names(config), switches)
        start = time.monotonic()
        law = problem(config)
        command = command_of(resolved(config), fingerprint=_fingerprint(law))
        unfinished = Unfinished(folder.folder, _names(config), command, switches)
        output.print(escape(describe(law)), highlight=False, soft_wrap=True)
        with uninterrupted(), unfinished as checkpoint:
            keeper, bars = KeptPieces(checkpoint / "solutions", command, _KEPT), ConsoleProgress(messages)
            with keeper as kept, bars, Interruptible(silent if switches.quiet else bars) as track:
                found, whole = compute(law, config.solver, track, kept)
            if not whole:
                keeper.write()
            if found is None:
                messages.print(f"Interrupted before anything was finished; {unfinished.told}.")
                return INTERRUPTED
            written = _write(folder, found.assign_attrs(asked=unfinished.asked), config)
            if whole:
                unfinished.remove()
        output.print()
        print_bottleneck(output, found, config.output.bits)
        names = ", ".join(place.name for place in written)
        output.print(f"\n{names} in {escape(str(folder.folder))} ({time.monotonic() - start:.0f} s)", soft_wrap=True)
    if not whole:
        messages.print(
            "Interrupted. What was finished is written; its certificates hold and are looser; the same command goes on."
        )
        return INTERRUPTED
    return _judge(found, config, messages)


def describe(law: Law) -> str:
    """Say in one line what the problem is."""
    if isinstance(law, DiscreteProblem):
        return f"{law.name}: {law.n_inputs} values of X, {law.n_targets} of Y"
    sizes = law.bottleneck if isinstance(law, SampledBottleneck) else law
    d_x, d_y = sizes.cross_covariance.shape
    source = f", from {law.samples} samples" if isinstance(law, SampledBottleneck) else ""
    return f"jointly Gaussian X ({d_x} numbers) and Y ({d_y}){source}"


def _fingerprint(law: Law) -> str:
    """Of the numbers of a law: a file may hold others under the same name."""
    if isinstance(law, DiscreteProblem):
        return fingerprint(law.input_law) + fingerprint(law.conditional)
    one = law.bottleneck if isinstance(law, SampledBottleneck) else law
    return "".join(fingerprint(each) for each in (one.covariance_x, one.covariance_y, one.cross_covariance))


def compute(
    law: Law, solver: SolverSection, progress: Track, kept: Keeper | None = None
) -> tuple[xr.Dataset | None, bool]:
    """The curve of any problem as a data set, None where nothing was finished, and whether it is complete."""
    if not isinstance(law, DiscreteProblem):
        sampled = law if isinstance(law, SampledBottleneck) else None
        frontier = law.bottleneck if isinstance(law, SampledBottleneck) else law
        return gaussian_dataset(frontier, solver.dual, sampled), True
    found = Found()
    try:
        _solve(law, solver, progress, found, kept or NotKept())
        found.whole = True
    except CurveInterrupted as interruption:
        found.curve = interruption.partial if interruption.partial.solutions else None
    except KeyboardInterrupt:
        pass
    if found.curve is None:
        return None, False
    made = discrete_dataset(found.curve, sorted(found.dual, key=lambda solution: solution.beta))
    notes = "; ".join(found.notes)
    return made.assign_attrs(notes=notes, complete="yes" if found.whole else "no, interrupted"), found.whole


def _solve(law: DiscreteProblem, solver: SolverSection, progress: Track, found: Found, kept: Keeper) -> None:
    """Fill `found` piece by piece, so that an interruption leaves what is finished."""
    found.curve = bottleneck_curve(
        law, accuracy=solver.accuracy, betas=solver.betas or (), points=solver.points, progress=progress, kept=kept
    )
    if not solver.dual:
        return
    if np.any(law.conditional == 0):
        found.notes.append("p(y|x) is 0 somewhere, where the dual's distortion is infinite: it was not solved")
        return
    critical = kept.recall("critical beta of the dual", lambda: float(dual_critical_beta(law)))
    if not np.isfinite(critical):
        found.notes.append("X says nothing about Y: the dual has only its trivial solution")
        return
    betas = critical * np.geomspace(1.02, _DUAL_REACH, solver.dual_points)[::-1]
    for beta in progress(betas, "dual bottleneck", len(betas)):
        warm = found.dual[-1] if found.dual else None
        found.dual.append(kept.recall(f"dual {float(beta)!r}", partial(solve_dual, law, float(beta), warm=warm)))


def _judge(found: xr.Dataset, config: BottleneckConfig, messages: Console) -> int:
    """The exit code; an accuracy that was not reached is said on the error stream, quiet or not."""
    gap = float(found.attrs.get("largest_gap", 0.0))
    if gap <= config.solver.accuracy:
        return DONE
    messages.print(
        f"[bold red]error:[/] the curve is certified to {gap:.2e} nats, not to the {config.solver.accuracy:g} that "
        f"were asked for (ended: {escape(str(found.attrs['stop']))})",
        highlight=False,
        soft_wrap=True,
    )
    return NOT_CERTIFIED


def _names(config: BottleneckConfig) -> list[str]:
    return ["bottleneck.nc", "config.toml", *(f"bottleneck.{suffix}" for suffix in config.output.formats)]


def _write(folder: ResultsFolder, found: xr.Dataset, config: BottleneckConfig) -> list:
    text = dump_config(resolved(config))
    found = found.assign_attrs(configuration=text)
    files: dict[str, Any] = {"bottleneck.nc": lambda place: save_curves(found, place)}
    figure = bottleneck_figure(found, config.output.bits)
    for suffix in dict.fromkeys(config.output.formats):
        files[f"bottleneck.{suffix}"] = lambda place: save_figure(figure, place)
    files["config.toml"] = lambda place: place.write_text(text, encoding="utf-8")
    return folder.write(files)
