"""What each eigen-direction of the tangent kernel contributes to every quantity that is a sum over them, over time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import float64, to_numpy
from ntkinfo.core.linear_algebra import NotDefiniteError
from ntkinfo.core.memory import GIB, available_memory, require_memory
from ntkinfo.core.progress import Track, bar
from ntkinfo.core.units import unit_attributes
from ntkinfo.information.label_model import LabelModel
from ntkinfo.information.provenance import TIME_UNITS, provenance
from ntkinfo.information.quantities import current_name
from ntkinfo.information.spectral_problem import Problem, Split
from ntkinfo.information.spectral_terms import SPECTRAL_QUANTITIES
from ntkinfo.training.output_distribution import OutputDistribution

__all__ = ["SPECTRAL_QUANTITIES", "spectral_contributions"]

_TABLE_ELEMENTS = 500_000
_MATRICES = 4  # of n×n, alive at once


@checked
def spectral_contributions(
    distribution: OutputDistribution,
    quantities: Iterable[str] | None = None,
    bands: int | None = None,
    *,
    label_model: LabelModel | None = None,
    progress: Track = bar,
) -> xr.Dataset:
    """Split quantities over the eigen-directions of the tangent kernel on the training inputs.

    Args:
        distribution: the law of the outputs over time.
        quantities: names from `SPECTRAL_QUANTITIES`; None for all that the procedure allows, without
            `information_labels_joint`, which takes a Cholesky factor at every time.
        bands: sum the directions into this many bands of eigenvalues, evenly spaced on a log axis; None keeps every
            direction. Null directions make a band of their own, of eigenvalue 0.
        label_model: law of the training labels, of covariance S for every output; None for `LabelModel()`, a teacher
            drawn from the ensemble's own prior.
        progress: shows where it is.

    Returns:
        Variables over (time, mode), or (time, band), in falling order of the eigenvalues, with `long_name`, `units` and
        `meaning`. Summed over the directions, plus the variable `<name>_offset` over time where there is one, they are
        the totals of `path`, `linear_model`, `function_space` and `closed_form`:

        - `fisher_trace`, `speed_squared`, `path_energy`, `parameter_distance_squared`, `information_parameters_linear`,
          `learnt_directions` (Σ h, h = 1 − r the share of a direction that training has learnt), and on the training
          inputs `train_bias_squared`, `train_variance`, `train_loss_mean`, `train_loss_gibbs`: sums as they stand, no
          contribution below 0.
        - `information_parameters` (function space on the training inputs): ½ h_j Σ_k M_jk h_k − C(h_j + log|r_j|) with
          M = C B⁻¹∘B + B⁻¹∘ŷŷᵀ, the cross terms in equal halves to their two directions (a direction's Shapley value).
          The first part of one direction may be below 0. With noise only where the prior is diagonal.
        - `test_bias_squared`, `test_variance`, `test_loss_mean`, `test_loss_gibbs`: the change since the start, cross
          terms halved alike; the value at the start is the offset. A direction below 0 lowers the loss. Where kernels
          are ill-conditioned contributions of opposite signs are far larger than their sum.
        - `information_labels`: ½ C log(1 + h² S_jj/v_j), I(z_j;Y) between the training outputs along one direction and
          the labels. Exactly additive where prior and label covariance share the kernel's eigenvectors; else every one
          is a lower bound of the joint information and their sum is no bound of it.
        - `information_labels_joint`: the joint information I(f_t(X);Y) by the chain rule from the largest eigenvalue
          down, an exact sum whose parts depend on that order. Infinite where training has left no variance.

    Raises:
        ValueError: unknown or impossible names, bands below 1, a label model that does not fit the training set.
        NotDefiniteError: a quantity asked for by name needs a prior that is singular to rounding. Without names it is
            NaN instead, and named in the attribute `notes`.
        MemoryError: a table that does not fit; bands make it small.

    No split is given for I(Z;X), I(Z;Y), the bound on I(Z;D|X), the path's length, Bayes losses and classification
    errors, which are no sums over directions.
    Source: theory §1, §4 to §7.
    """
    label_model = label_model or LabelModel()
    problem = Problem(distribution, label_model)
    label_model.check(distribution)
    chosen = _chosen(distribution, quantities)
    grouping = _grouping(to_numpy(distribution.eigenvalues), bands)
    _require_memory(distribution, len(chosen) * len(grouping.start))
    variables: dict[str, xr.Variable] = {}
    notes: list[str] = []
    with float64():
        for name in progress(chosen, "contributions of the eigen-directions", len(chosen)):
            try:
                variables |= _variables(problem, name, grouping)
            except NotDefiniteError as error:
                if quantities is not None:
                    raise
                variables[name] = _undefined(distribution, name, grouping)
                notes.append(f"{name} not computed: {error}")
    coordinates = {"time": ("time", distribution.times, dict(TIME_UNITS[distribution.procedure.loss]))}
    coordinates |= _coordinates(problem, grouping)
    attributes = provenance(distribution) | {
        "label_model": label_model.description,
        "notes": "; ".join(notes),
    }
    return xr.Dataset(variables, coordinates, attributes)


@dataclass(frozen=True)
class _Grouping:
    """Runs of neighbouring eigenvalues, from the largest down.

    Args:
        start: first direction of each run, in falling order of the eigenvalues, (k,); runs may be empty.
        count: how many directions are in each, (k,).
        edges: lower and upper end of each band, (2, k); None where every direction stands alone.
    """

    start: Int[np.ndarray, " k"]
    count: Int[np.ndarray, " k"]
    edges: Float[np.ndarray, "2 k"] | None

    @property
    def dim(self) -> str:
        return "mode" if self.edges is None else "band"

    def sums(self, terms: np.ndarray) -> np.ndarray:
        """Sum (t, n) in rising order of the eigenvalues to (t, k) in falling order."""
        falling = terms[:, ::-1]
        if self.edges is None:
            return falling
        filled = self.count > 0
        total = np.zeros((len(terms), len(self.start)))
        total[:, filled] = np.add.reduceat(falling, self.start[filled], axis=1)
        return total


def _chosen(law: OutputDistribution, quantities: Iterable[str] | None) -> tuple[str, ...]:
    impossible = {}
    if law.summed.temperature > 0:
        impossible["information_parameters_linear"] = "temperature is above 0"
    if law.summed.is_noisy and law.prior.ndim == 2:
        impossible["information_parameters"] = "with noise its log-determinant is no sum over directions"
    if not law.data.knows_test_targets:
        reason = "it needs test targets, and y_test was given as None"
        impossible.update(dict.fromkeys(("test_loss_mean", "test_bias_squared", "test_loss_gibbs"), reason))
    if quantities is None:
        return tuple(name for name, q in SPECTRAL_QUANTITIES.items() if q.by_default and name not in impossible)
    chosen = tuple(dict.fromkeys(current_name(name) for name in quantities))
    if not chosen:
        raise ValueError("quantities is empty; name at least one, or leave it out for all of them")
    for name in chosen:
        checks.choice("quantities", name, SPECTRAL_QUANTITIES)
        if name in impossible:
            raise ValueError(f"{name} cannot be split over directions: {impossible[name]}; leave it out of quantities")
    return chosen


def _grouping(eigenvalues: np.ndarray, bands: int | None) -> _Grouping:
    falling = eigenvalues[::-1]
    if bands is None:
        return _Grouping(np.arange(len(falling)), np.ones(len(falling), dtype=np.int64), None)
    checks.whole("bands", bands)
    positive = falling[falling > 0]
    ends = np.geomspace(positive[0], positive[-1], bands + 1)
    ends[0], ends[-1] = positive[0], positive[-1]
    # A direction belongs to the band whose lower end it reaches first, coming from above.
    number = np.minimum(np.searchsorted(-ends[1:], -positive, side="left"), bands - 1)
    count = np.bincount(number, minlength=bands)
    edges = np.stack([ends[1:], ends[:-1]])
    if len(positive) < len(falling):
        count = np.append(count, len(falling) - len(positive))
        edges = np.concatenate([edges, np.zeros((2, 1))], axis=1)
    return _Grouping(np.cumsum(count) - count, count, edges)


def _require_memory(law: OutputDistribution, columns: int) -> None:
    n, count = len(law.eigenvalues), len(law.times)
    needed = 8 * (1.2 * columns * count + _MATRICES * n**2 + n * len(law.data.x_test)) / GIB
    what = f"a table of {columns} columns at {count} times for {n} training inputs"
    require_memory(what, needed, available_memory(), "give bands, fewer quantities or fewer times")


def _variables(problem: Problem, name: str, grouping: _Grouping) -> dict[str, xr.Variable]:
    """Contributions to one quantity at all times, in runs of times that keep the table of all directions small."""
    law, quantity = problem.law, SPECTRAL_QUANTITIES[name]
    split: Split = quantity.build(problem)
    rows = max(1, _TABLE_ELEMENTS // len(law.eigenvalues))
    runs = [law.internal_times[k : k + rows] for k in range(0, len(law.times), rows)]
    values = np.concatenate([grouping.sums(to_numpy(split.terms(run))) for run in runs])
    about = {"long_name": quantity.long_name, **unit_attributes(quantity.units), "meaning": split.meaning}
    variables = {name: xr.Variable(("time", grouping.dim), values, about)}
    if split.offset is not None:
        rest = np.concatenate([to_numpy(split.offset(run)) for run in runs])
        about |= {"long_name": f"{quantity.long_name}: what belongs to no direction", "meaning": "exact"}
        variables[f"{name}_offset"] = xr.Variable(("time",), rest, about)
    return variables


def _undefined(law: OutputDistribution, name: str, grouping: _Grouping) -> xr.Variable:
    quantity = SPECTRAL_QUANTITIES[name]
    about = {"long_name": quantity.long_name, **unit_attributes(quantity.units), "meaning": "not computed"}
    return xr.Variable(("time", grouping.dim), np.full((len(law.times), len(grouping.start)), np.nan), about)


def _coordinates(problem: Problem, grouping: _Grouping) -> dict[str, tuple]:
    """What is known of each direction or band."""
    dim, values = grouping.dim, to_numpy(problem.law.eigenvalues)[::-1]
    targets = grouping.sums(to_numpy(problem.target_squared)[None, :])[0]
    about = {"long_name": "squared targets along the direction, summed over outputs", **unit_attributes("target²")}
    coordinates = {
        dim: (dim, np.arange(len(grouping.start)), {"long_name": f"{dim}, from the largest eigenvalue down"}),
        "target_squared": (dim, targets, about),
    }
    long_name = "eigenvalue of the tangent kernel on the training inputs"
    if grouping.edges is None:
        return coordinates | {"eigenvalue": (dim, values.copy(), {"long_name": long_name, **unit_attributes("1/time")})}
    lower, upper = grouping.edges
    return coordinates | {
        "eigenvalue": (dim, np.sqrt(lower * upper), {"long_name": f"{long_name}, middle of the band"}),
        "eigenvalue_lower": (dim, lower, {"long_name": "lower end of the band"}),
        "eigenvalue_upper": (dim, upper, {"long_name": "upper end of the band"}),
        "count": (dim, grouping.count, {"long_name": "directions in the band"}),
    }
