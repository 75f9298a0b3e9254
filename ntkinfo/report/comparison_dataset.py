"""A comparison over widths as one labelled data set, which figure, table and file share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from ntkinfo.core.arrays import to_numpy
from ntkinfo.core.units import unit_attributes
from ntkinfo.finite.comparison import Family
from ntkinfo.finite.comparison_information import MemberInformation
from ntkinfo.finite.comparison_members import SPLITS
from ntkinfo.finite.comparison_parameters import ParameterBound
from ntkinfo.finite.comparison_study import WidthResult
from ntkinfo.finite.verdict import drift_notes, half_limit, scaling_sentences
from ntkinfo.finite.width_scaling import WidthScaling, judge
from ntkinfo.training.output_distribution import OutputDistribution

_SCORE = unit_attributes("standard errors")
_CURVE_POINTS = 60


def comparison_dataset(
    results: Sequence[WidthResult], scalings: Sequence[WidthScaling], law: OutputDistribution, level: float
) -> xr.Dataset:
    """Put everything that was found into one data set.

    Args:
        results: one a width; at least one.
        scalings: exponents, or none.
        law: that the ensembles were compared with.
        level: chance of a false alarm that verdicts were made at.

    Returns:
        Dimensions width, time, split, family, and where they apply input and output of a split, discrepancy. Times
        are in the unit of the law, informations in nats.
    """
    results = sorted(results, key=lambda result: result.width)
    parts = {
        **_families(results),
        **_inputs(results, law),
        **_kernels(results),
        **_informations(results),
        **_scalings(results, scalings, level),
    }
    found = xr.Dataset(
        {name: _labelled(*part) for name, part in parts.items()},
        coords={
            "time": ("time", np.asarray(law.times), {"long_name": "training time"}),
            "width": ("width", [result.width for result in results], {"long_name": "width of the hidden layers"}),
            "family": ("family", list(_all_families(results[0]))),
            "members": ("width", [result.members for result in results], {"long_name": "members of the ensemble"}),
            "step": ("time", np.asarray(results[0].steps), {"long_name": "steps taken"}),
        },
    )
    if scalings:
        found = found.assign_coords(discrepancy=("discrepancy", [one.name for one in scalings]))
    if "information" in found.dims:
        found = found.assign_coords(information=_information_names(results), split=list(SPLITS))
    return found.assign_attrs(
        level=level,
        verdicts=json.dumps({f"width {result.width}": result.verdict.sentence for result in results}),
        scaling=json.dumps(scaling_sentences(scalings, level)),
        notes="; ".join([*_notes(results), *drift_notes(scalings)]),
    )


def with_parameters(found: xr.Dataset, parameters: ParameterBound) -> xr.Dataset:
    """Add the parameters' relative entropy and its lower bound, both 0 at the start."""
    rows = {
        "parameter_information": (parameters.value.value, f"KL(θ_t ‖ θ_0) at width {parameters.width}"),
        "parameter_information_standard_error": (parameters.value.standard_error, "of the same"),
        "parameter_information_lower": (parameters.bound, "KL of the function on the training inputs, law"),
    }
    for name, (values, text) in rows.items():
        padded = np.concatenate([[0.0], np.asarray(values)])
        found[name] = _labelled(("time",), padded, {"long_name": text, "units": "nat"})
    return found.assign_attrs(parameter_members=parameters.members)


Part = tuple[tuple[str, ...], Any, dict[str, Any]]


def _notes(results: Sequence[WidthResult]) -> list[str]:
    """Every note once; with its widths where it is not of all of them."""
    found: dict[str, list[int]] = {}
    for result in results:
        for note in dict.fromkeys(result.notes):
            found.setdefault(note, []).append(result.width)
    every = len(results)
    return [
        note if len(widths) == every else f"width {', '.join(map(str, widths))}: {note}"
        for note, widths in found.items()
    ]


def _labelled(dims: tuple[str, ...], values: Any, attributes: dict[str, Any]) -> xr.DataArray:
    return xr.DataArray(np.asarray(values), dims=dims, attrs=attributes)


def _all_families(result: WidthResult) -> dict[str, Family]:
    return {**result.comparison.agreement, **result.comparison.shape}


def _families(results: Sequence[WidthResult]) -> dict[str, Part]:
    each = [list(_all_families(result).values()) for result in results]
    dims = ("width", "family")
    found: dict[str, Part] = {
        "largest": (
            (*dims, "time"),
            [[f.largest for f in row] for row in each],
            {"long_name": "largest size"} | _SCORE,
        ),
        "p_value": ((*dims, "time"), [[f.p_values for f in row] for row in each], {"long_name": "p of the largest"}),
        "limit": (dims, [[f.limit for f in row] for row in each], {"long_name": "exceeded with chance `level`"}),
        "half_limit": (dims, [[half_limit(f) for f in row] for row in each], {"long_name": "at half the level"}),
        "expected": (
            dims,
            [[f.expected for f in row] for row in each],
            {"long_name": "median of the largest by chance"},
        ),
        "compared": (dims, [[f.count for f in row] for row in each], {"long_name": "values compared"}),
    }
    if all(result.linearised is not None for result in results):
        twins = [list({**r.linearised.agreement, **r.linearised.shape}.values()) for r in results if r.linearised]
        text = {"long_name": "largest size, linearised twins"} | _SCORE
        found["largest_linearised"] = ((*dims, "time"), [[f.largest for f in row] for row in twins], text)
    return found


def _inputs(results: Sequence[WidthResult], law: OutputDistribution) -> dict[str, Part]:
    found: dict[str, Part] = {}
    for split, one in (("train", law.train), ("test", law.test)):
        dims = ("time", f"{split}_input")
        mean, variance = to_numpy(one.mean), to_numpy(one.variance)
        splits = [result.comparison.splits[split] for result in results]
        found |= {
            f"mean_law_{split}": ((*dims, "output"), mean, {"long_name": "mean, law"}),
            f"variance_law_{split}": (dims, variance, {"long_name": "variance, law"}),
            f"mean_{split}": (
                ("width", *dims, "output"),
                [mean + s.moments.offset for s in splits],
                {"long_name": "mean"},
            ),
            f"variance_{split}": (("width", *dims), [s.moments.variance for s in splits], {"long_name": "variance"}),
            f"mean_score_{split}": (("width", *dims, "output"), [s.mean_score for s in splits], _SCORE),
            f"variance_score_{split}": (("width", *dims), [s.variance_score for s in splits], _SCORE),
            f"variance_score_any_shape_{split}": (
                ("width", *dims),
                [s.variance_score_any_shape for s in splits],
                {"long_name": "by the members' own spread"} | _SCORE,
            ),
            f"divergence_{split}": (
                ("width", *dims),
                [s.divergence for s in splits],
                {"long_name": "KL(fitted ‖ law) less its mean by chance", "units": "nat"},
            ),
            f"divergence_{split}_std": (("width",), [s.divergence_std for s in splits], {"units": "nat"}),
            f"kurtosis_{split}": (
                ("width", *dims),
                [s.moments.kurtosis for s in splits],
                {"long_name": "excess kurtosis"},
            ),
        }
    found["joint_divergence"] = (
        ("width", "time"),
        [result.comparison.joint_divergence for result in results],
        {"long_name": "joint KL(fitted ‖ law) less its mean by chance", "units": "nat"},
    )
    found["joint_divergence_std"] = (("width",), [r.comparison.joint_chance.std for r in results], {"units": "nat"})
    return found


def _kernels(results: Sequence[WidthResult]) -> dict[str, Part]:
    found: dict[str, Part] = {}
    drifts = [result.drift for result in results if result.drift is not None]
    starts = [result.start_error for result in results if result.start_error is not None]
    if len(drifts) == len(results):
        text = {"long_name": "relative change of the tangent kernel from its start", "units": "1"}
        found["kernel_drift"] = (("width", "time"), [one.value for one in drifts], text)
        found["kernel_drift_standard_error"] = (("width", "time"), [one.standard_error for one in drifts], {})
    if len(starts) == len(results):
        text = {"long_name": "relative distance of the tangent kernel at the start from its limit", "units": "1"}
        found["kernel_start_error"] = (("width",), [one.value for one in starts], text)
        found["kernel_start_error_standard_error"] = (("width",), [one.standard_error for one in starts], {})
    return found


def _information_names(results: Sequence[WidthResult]) -> list[str]:
    return list(dict.fromkeys(one.name for one in results[0].information))


def _informations(results: Sequence[WidthResult]) -> dict[str, Part]:
    names = _information_names(results)
    if not names:
        return {}
    by_key = [{(one.name, one.split): one for one in result.information} for result in results]
    dims = ("width", "information", "split", "time")
    text = {
        "fitted": "of the Gaussian fitted to the members",
        "bias": "mean by chance less the law's",
        "std": "standard deviation by chance",
        "law": "of the law",
        "score": "corrected for bias, minus the law's",
    }
    return {
        f"information_{key}": (
            dims,
            [[[_course(row.get((name, split)), key, results) for split in SPLITS] for name in names] for row in by_key],
            {"long_name": meaning, **(_SCORE if key == "score" else {"units": "nat"})},
        )
        for key, meaning in text.items()
    }


def _course(one: MemberInformation | None, key: str, results: Sequence[WidthResult]) -> np.ndarray:
    """A number over time; NaN for a width that was interrupted before it."""
    return np.full(len(results[0].steps), np.nan) if one is None else getattr(one, key)


def _scalings(results: Sequence[WidthResult], scalings: Sequence[WidthScaling], level: float) -> dict[str, Part]:
    if not scalings:
        return {}
    widths = np.array([result.width for result in results])
    fine = np.geomspace(widths.min(), widths.max(), _CURVE_POINTS)
    dims = ("discrepancy",)
    found: dict[str, Part] = {
        "discrepancy_size": (
            (*dims, "width"),
            [one.size for one in scalings],
            {"long_name": "size of the discrepancy"},
        ),
        "discrepancy_noise": ((*dims, "width"), [one.noise for one in scalings], {"long_name": "what noise hides"}),
        "discrepancy_value": ((*dims, "width"), [one.value for one in scalings], {"long_name": "as measured"}),
        "discrepancy_value_standard_error": ((*dims, "width"), [one.standard_error for one in scalings], {}),
        "discrepancy_curve": ((*dims, "fine_width"), [one.curve(fine) for one in scalings], {"long_name": "fitted"}),
        "fine_width": (("fine_width",), fine, {}),
        "exponent": (dims, [one.exponent for one in scalings], {"long_name": "fitted exponent a of width^(−a)"}),
        "exponent_low": (dims, [one.interval[0] for one in scalings], {}),
        "exponent_high": (dims, [one.interval[1] for one in scalings], {}),
        "exponent_predicted_low": (dims, [one.expected[0] for one in scalings], {}),
        "exponent_predicted_high": (dims, [one.expected[1] for one in scalings], {}),
        "exponent_p_value": (dims, [one.p_value for one in scalings], {}),
        "exponent_verdict": (dims, judge(scalings, level), {}),
    }
    return found
