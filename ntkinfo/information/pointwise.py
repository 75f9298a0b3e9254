"""Individual inputs over training: which of them carry I(Z;X) and I(Z;Y), and how far training has moved each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array, float64, namespace, to_numpy
from ntkinfo.core.progress import Track, bar
from ntkinfo.core.records import Estimate
from ntkinfo.core.units import unit_attributes
from ntkinfo.information.curve_table import SPLITS
from ntkinfo.information.noiseless import resolution_of
from ntkinfo.information.pointwise_output import PointwiseInformation, pointwise_output
from ntkinfo.information.provenance import TIME_UNITS, provenance
from ntkinfo.training.output_distribution import OutputDistribution
from ntkinfo.training.output_law import OutputLaw


@dataclass(frozen=True)
class Movement:
    """How far the law of the output on each input has moved from its start; (t, p) each.

    Args:
        relative_entropy: KL(N(mean_t, v_t I) ‖ N(0, v_0 I)) in nats, the sum of the two parts.
        by_mean: ½ |mean_t|²/v_0, the part of the mean's movement.
        by_spread: ½ C (v_t/v_0 − 1 − log v_t/v_0), the part of the variance's change; infinite where v_t = 0 < v_0.
        mean_squared: |mean_t|², in squared units of the targets (the mean starts at 0).
        log_variance_ratio: log v_t/v_0; 0 where the function never varied.
    """

    relative_entropy: Float[Array, "t p"]
    by_mean: Float[Array, "t p"]
    by_spread: Float[Array, "t p"]
    mean_squared: Float[Array, "t p"]
    log_variance_ratio: Float[Array, "t p"]


def movement(
    mean: Float[Array, "t p C"], log_variance: Float[Array, "t p"], initial_variance: Float[Array, " p"]
) -> Movement:
    """Part the relative entropy of each input's output to its start (`relative_entropy_per_input`) by its causes.

    Args:
        mean: mean output at each time and input, (t, p, C).
        log_variance: logarithm of its variance there, (t, p); −∞ for none.
        initial_variance: (p,), before training; 0 for inputs on which the function never varies.

    Source: theory §4, the upper bound of I(Z;D|X=x).
    """
    xp = namespace(mean, log_variance)
    fixed = (initial_variance == 0)[None, :]
    start = xp.where(fixed, 1.0, initial_variance[None, :])
    ratio = xp.where(fixed, 0.0, log_variance - xp.log(start))
    squared = xp.einsum("tpc,tpc->tp", mean, mean)
    by_mean, by_spread = 0.5 * squared / start, 0.5 * mean.shape[2] * (xp.expm1(ratio) - ratio)
    return Movement(by_mean + by_spread, by_mean, by_spread, squared, ratio)


@checked
def pointwise_information(
    distribution: OutputDistribution,
    time_indices: Sequence[int] | np.ndarray | None = None,
    split: str = "test",
    *,
    seed: int = 0,
    samples: int | None = None,
    tolerance: float | None = 1e-9,
    progress: Track = bar,
) -> xr.Dataset:
    """Part I(Z;X), I(Z;Y) and the bound on I(Z;D|X) into the contributions of the inputs of one split.

    Args:
        distribution: the law of the outputs over time.
        time_indices: places in `distribution.times`, or None for all of them.
        split: "train" or "test".
        seed: of the Monte Carlo draws that several outputs need; the same draws at every time.
        samples: draws per input, even and at least 4; None for 16, or more for few inputs.
        tolerance: error of the quadrature for one output; None for Monte Carlo there too.
        progress: shows where it is.

    Returns:
        Variables over (time, input), with `long_name`, `units` and `meaning`, and errors in variables that end in
        `_standard_error`: `information_input` (its average over the inputs is `information_input_total`, I(Z;X)) with
        `information_input_lower` and `_upper`; `relative_entropy`, `relative_entropy_mean`, `relative_entropy_spread`,
        `mean_squared`, `log_variance_ratio` (`Movement`); `noiseless`. With labels also `information_target` (its
        average is `information_target_total`, I(Z;Y)) and, over (time, class), `information_target_class`, whose sum
        weighted with the coordinate `class_share` is I(Z;Y).

    Raises:
        ValueError: indices outside the times, an unknown split, samples or tolerance out of range.

    Fails when the network is narrow or its kernel moves in training: these are infinite-width laws.
    Source: theory §3 and §4; `pointwise_output` describes the estimates.
    """
    checks.choice("split", split, SPLITS)
    chosen = _indices(time_indices, len(distribution.times))
    law, data = getattr(distribution, split), distribution.data
    labels, targets = getattr(data, f"labels_{split}"), getattr(data, f"y_{split}")
    known = targets if not np.isnan(targets).any() else data.y_train
    resolution = resolution_of(known, law.initial_variance)
    settings = {"seed": seed, "samples": samples, "tolerance": tolerance, "resolution": resolution}
    found, moved = [], []
    with float64():
        for index in progress(chosen.tolist(), f"contributions of the inputs ({split})", len(chosen)):
            mean, variance = law.separated_at(index)
            found.append(pointwise_output(mean, variance, labels, **settings))
            moved.append(_movement_at(law, index))
    coordinates = {
        "time": ("time", distribution.times[chosen], dict(TIME_UNITS[distribution.procedure.loss])),
        "input": ("input", np.arange(law.n_inputs), {"long_name": f"index of the {split} input"}),
    }
    variables = _carried(found) | _moved(moved)
    if labels is not None:
        classes, share = found[0].classes, found[0].class_share
        assert classes is not None
        names = np.array([data.class_names[c] for c in classes])
        coordinates["label"] = ("input", labels, {"long_name": "class of the input"})
        coordinates["class"] = ("class", classes, {"long_name": "class"})
        coordinates["class_name"] = ("class", names, {"long_name": "name of the class"})
        coordinates["class_share"] = ("class", share, {"long_name": "share of the class among the inputs"})
    attributes = provenance(distribution) | {key: "None" if v is None else v for key, v in settings.items()}
    return xr.Dataset(variables, coordinates, attributes | {"split": split, "notes": "; ".join(law.notes)})


def _indices(given: Sequence[int] | np.ndarray | None, count: int) -> np.ndarray:
    if given is None:
        return np.arange(count)
    chosen = np.asarray(given)
    if chosen.ndim != 1 or chosen.size == 0 or not np.issubdtype(chosen.dtype, np.integer):
        raise TypeError(f"time_indices is {given!r}; it must be a row of places in distribution.times, or None")
    if chosen.min() < -count or chosen.max() >= count:
        raise ValueError(f"time_indices holds {chosen.min()} or {chosen.max()}; there are {count} times")
    chosen = chosen % count
    if np.any(np.diff(chosen) <= 0):
        raise ValueError("time_indices must be indices of rising times: sort them and drop repeated ones")
    return chosen


def _movement_at(law: OutputLaw, index: int) -> Movement:
    part = slice(index, index + 1)
    return movement(law.mean_at(part), law.log_variance_at(part), law.initial_variance)


_ERROR = "standard error, or the numerical error where nothing is drawn"
_CARRIED = {
    "input": ("information_input", ("time", "input"), "contribution of each input to I(Z;X)"),
    "input_total": ("information_input_total", ("time",), "I(Z;X), output and input"),
    "target": ("information_target", ("time", "input"), "contribution of each input to I(Z;Y)"),
    "target_by_class": ("information_target_class", ("time", "class"), "KL(p(z|c) ‖ p(z)), what Z says of each class"),
    "target_total": ("information_target_total", ("time",), "I(Z;Y), output and class"),
}
_MOVED = {
    "relative_entropy": ("relative_entropy", "nat", "relative entropy of the output to its start", "exact"),
    "by_mean": ("relative_entropy_mean", "nat", "part of the mean's movement in the relative entropy", "exact"),
    "by_spread": ("relative_entropy_spread", "nat", "part of the variance's change in the relative entropy", "exact"),
    "mean_squared": ("mean_squared", "target²", "squared mean output, summed over the outputs", "exact"),
    "log_variance_ratio": ("log_variance_ratio", "1", "logarithm of the variance over its start", "exact"),
}


def _carried(found: list[PointwiseInformation]) -> dict[str, xr.Variable]:
    """What was estimated at each time, as variables."""
    variables: dict[str, xr.Variable] = {}
    for key, (name, dims, long_name) in _CARRIED.items():
        estimates = [estimate for record in found if isinstance(estimate := getattr(record, key), Estimate)]
        if not estimates:
            continue
        meaning = " | ".join(dict.fromkeys(estimate.meaning for estimate in estimates))
        method = " | ".join(dict.fromkeys(estimate.method for estimate in estimates))
        about = {"long_name": long_name, "units": "nat", "meaning": meaning, "method": method}
        variables[name] = xr.Variable(dims, np.stack([np.asarray(e.value) for e in estimates]), about)
        errors = np.stack([np.asarray(e.standard_error) for e in estimates])
        about = {"long_name": f"{long_name}: {_ERROR}", "units": "nat", "meaning": _ERROR}
        variables[f"{name}_standard_error"] = xr.Variable(dims, errors, about)
    for side in ("lower", "upper"):
        values = np.stack([getattr(record, f"input_{side}") for record in found])
        about = {"long_name": f"{_CARRIED['input'][2]}: {side} bound", "units": "nat", "meaning": f"{side} bound"}
        variables[f"information_input_{side}"] = xr.Variable(("time", "input"), values, about)
    about = {"long_name": "input treated as having no output variance", "units": "1", "meaning": "exact"}
    without = np.stack([record.noiseless for record in found]).astype(np.int8)
    return variables | {"noiseless": xr.Variable(("time", "input"), without, about)}


def _moved(moved: list[Movement]) -> dict[str, xr.Variable]:
    """How far the outputs moved, as variables."""
    variables = {}
    for key, (name, units, long_name, meaning) in _MOVED.items():
        values = np.concatenate([to_numpy(getattr(record, key)) for record in moved])
        about = {"long_name": long_name, **unit_attributes(units), "meaning": meaning}
        variables[name] = xr.Variable(("time", "input"), values, about)
    return variables
