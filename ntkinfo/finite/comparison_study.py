"""Everything that is asked of one ensemble, and of ensembles of several widths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ntkinfo.core.arguments import checked
from ntkinfo.core.progress import Track, silent
from ntkinfo.core.records import Estimate
from ntkinfo.finite.comparison import Comparator, Comparison
from ntkinfo.finite.comparison_discrepancies import Measured, discrepancies
from ntkinfo.finite.comparison_information import InformationSettings, MemberInformation, information_of_members
from ntkinfo.finite.ensembles import EnsembleOutputs
from ntkinfo.finite.verdict import Verdict, verdict
from ntkinfo.finite.width_scaling import WidthScaling, width_scaling


@dataclass(frozen=True)
class WidthResult:
    """One ensemble against the law.

    Args:
        width: of the hidden layers.
        members: number of members M.
        n_parameters: of each.
        steps: (T,), steps taken by the recorded times.
        comparison: of the members with the law.
        linearised: of their linearised twins with the law; None where there are none.
        information: of the members beside the law's; empty where it was not asked for.
        measured: discrepancies, for their scaling with the width.
        drift: (T,), relative change of the tangent kernel from its start: mean over members; None if not recorded.
        start_error: relative distance of that start from the limit: mean over members; None if not recorded.
        verdict: in words.
        notes: of training and comparison.
    """

    width: int
    members: int
    n_parameters: int
    steps: np.ndarray
    comparison: Comparison
    linearised: Comparison | None
    information: Sequence[MemberInformation]
    measured: dict[str, Measured]
    drift: Estimate | None
    start_error: Estimate | None
    verdict: Verdict
    notes: tuple[str, ...]


@checked
def study_width(
    outputs: EnsembleOutputs,
    comparator: Comparator,
    information: InformationSettings | None = None,
    progress: Track = silent,
) -> WidthResult:
    """Compare one ensemble with the law of infinite width in every way.

    Args:
        outputs: of the trained members, at the times of the comparator's law.
        comparator: shared between widths, so that null laws are simulated once.
        information: also compute informations from the members' samples; None to leave them out.
        progress: shown over the ensembles drawn from the law.

    Raises:
        ValueError: other times than the law's, too few members, outputs that are not finite.
    """
    law = comparator.law
    if not np.allclose(outputs.times, law.times, rtol=1e-12, atol=0):
        raise ValueError(
            f"the ensemble was recorded at times {outputs.times} and the law is at {law.times}; use the same"
        )
    trained = {"train": outputs.train, "test": outputs.test}
    comparison, linearised = comparator.compare(trained, progress), None
    if outputs.linearised_train is not None and outputs.linearised_test is not None:
        twins = {"train": outputs.linearised_train, "test": outputs.linearised_test}
        linearised = comparator.compare(twins, progress)
    drift = None if outputs.kernel_drift is None else _average(outputs.kernel_drift, "relative Frobenius change")
    start = outputs.kernel_start_error
    start_error = None if start is None else _average(start, "relative Frobenius distance")
    if outputs.width is None:
        raise ValueError(
            "width is None; results are told apart by it: train a description of a network at a width, or, for a stax "
            "triple, name its own: dataclasses.replace(outputs, width=...)"
        )
    return WidthResult(
        width=outputs.width,
        members=outputs.members,
        n_parameters=outputs.n_parameters,
        steps=outputs.steps,
        comparison=comparison,
        linearised=linearised,
        information=[] if information is None else information_of_members(trained, law, information, progress),
        measured=discrepancies(
            outputs.test,
            law,
            train=outputs.train,
            linearised=outputs.linearised_test,
            kernel_drift=outputs.kernel_drift,
            kernel_start_error=outputs.kernel_start_error,
        ),
        drift=drift,
        start_error=start_error,
        verdict=verdict(comparison, linearised, drift, start_error),
        notes=(*outputs.notes, *comparison.notes),
    )


@checked
def scaling_of(results: Sequence[WidthResult], kinks: bool = False) -> list[WidthScaling]:
    """Exponents of the discrepancies over the widths; empty for fewer than three widths.

    Args:
        results: of `study_width`, one a width.
        kinks: whether the network's gradient jumps (`has_kinks`).
    """
    measured = {result.width: result.measured for result in results}
    return width_scaling(measured, kinks) if len(measured) >= 3 else []


def _average(values: np.ndarray, method: str) -> Estimate:
    """Mean over the members, the last axis."""
    array = np.asarray(values, dtype=np.float64)
    error = array.std(axis=-1, ddof=1) / np.sqrt(array.shape[-1])
    mean = array.mean(axis=-1)
    value = (float(mean), float(error)) if array.ndim == 1 else (mean, error)
    return Estimate(*value, "Monte Carlo", method)
