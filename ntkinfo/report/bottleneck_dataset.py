"""Bottleneck curves of any kind as one labelled data set, which figure, table and file share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from ntkinfo.bottleneck.discrete_curve import DiscreteCurve
from ntkinfo.bottleneck.dual import DualSolution, dual_critical_beta
from ntkinfo.bottleneck.gaussian import GaussianBottleneck
from ntkinfo.bottleneck.gaussian_dual import GaussianDualBottleneck
from ntkinfo.bottleneck.gaussian_samples import SampledBottleneck
from ntkinfo.core.versions import versions

_GRID = 400
_FACTORS = np.geomspace(1.02, 1e3, 24)  # of the smallest critical beta, where Gaussian curves are tabulated


def discrete_dataset(curve: DiscreteCurve, dual: Sequence[DualSolution]) -> xr.Dataset:
    """Put a certified curve of a discrete problem and solutions of its dual into one data set.

    Args:
        curve: from `bottleneck_curve`.
        dual: from `dual_curve`; may be empty.

    Returns:
        `achieved` and `certified` I(T;Y) over `grid`; over `solution` β, informations, gap, residuals and stop reasons;
        over `dual_solution` the same of the dual. Informations in nats.
    """
    problem = curve.problem
    end = max(float(curve.hull[-1, 0]), problem.mutual_information)
    grid = np.unique(np.concatenate([np.linspace(0, end, _GRID), curve.hull[:, 0]]))
    found = xr.Dataset(
        {
            "achieved": _nats("grid", curve.lower(grid), "an I(T;Y) that an encoder with this I(T;X) has"),
            "certified": _nats("grid", curve.upper(grid), "an I(T;Y) that no encoder with this I(T;X) exceeds"),
            "information_input": _nats("solution", curve.information_input, "I(T;X)"),
            "information_target": _nats("solution", curve.information_target, "I(T;Y)"),
            "gap": _nats("solution", [s.gap for s in curve.solutions], "I(T;Y) lacks at most this of the best"),
            "residual_encoder": _nats("solution", [s.residuals.encoder for s in curve.solutions], "first equation"),
            "residual_decoder": _nats("solution", [s.residuals.decoder for s in curve.solutions], "second equation"),
            "clusters": ("solution", [len(s.cluster_law) for s in curve.solutions]),
            "sweeps": ("solution", [s.sweeps for s in curve.solutions]),
            "stop": ("solution", [s.stop for s in curve.solutions]),
            "certificate_held": ("solution", [int(s.certified) for s in curve.solutions]),
        },
        {"grid": _nats("grid", grid, "I(T;X)"), "solution": curve.beta},
        _attributes(problem.name, problem.mutual_information, "discrete")
        | {"stop": curve.stop, "largest_gap": curve.gap, "inputs": problem.n_inputs, "targets": problem.n_targets}
        | {"classes": int(problem.classes.max()) + 1},
    )
    if not dual:
        return found
    return found.merge(_dual_part(dual)).assign_attrs(dual_critical_beta=dual_critical_beta(problem))


def gaussian_dataset(law: GaussianBottleneck, dual: bool, sampled: SampledBottleneck | None = None) -> xr.Dataset:
    """Put the frontier of jointly Gaussian data into a data set, with intervals where the law is known by samples.

    Args:
        law: covariances.
        dual: add the dual's points.
        sampled: the estimate that the law is from, or None.

    Returns:
        `achieved` (equal to `certified`) over `grid`; over `solution` β, informations, and in `gap` the disagreement of
        the closed form with log-determinants of its own projection.

    Raises:
        ValueError: no correlation at all, so no curve.
    """
    first = float(law.critical_betas[0])
    if not np.isfinite(first):
        raise ValueError("X and Y are uncorrelated: every encoder has I(T;Y) = 0 and there is no curve")
    beta = first * _FACTORS
    points = law.curve(beta)
    grid = np.linspace(0, 1.05 * float(points.information_input[-1]), _GRID)
    frontier = law.frontier(grid)
    second = np.array([law.information(law.projection(float(value))) for value in beta])
    first_route = np.stack([points.information_input, points.information_target], axis=1)
    found = xr.Dataset(
        {
            "achieved": _nats("grid", frontier, "largest I(T;Y) at this I(T;X)"),
            "certified": _nats("grid", frontier, "largest I(T;Y) at this I(T;X)"),
            "information_input": _nats("solution", points.information_input, "I(T;X)"),
            "information_target": _nats("solution", points.information_target, "I(T;Y)"),
            "gap": _nats("solution", np.abs(first_route - second).max(axis=1), "closed form against log-determinants"),
            "clusters": ("solution", points.directions),
        },
        {"grid": _nats("grid", grid, "I(T;X)"), "solution": beta},
        _attributes("Gaussian", law.mutual_information, "gaussian"),
    )
    if sampled is not None:
        found = _with_interval(found, sampled, grid)
    if not dual:
        return found
    critical = float(GaussianDualBottleneck(law).critical_betas[0])
    return found.merge(_gaussian_dual_part(law)).assign_attrs(dual_critical_beta=critical)


def _with_interval(found: xr.Dataset, sampled: SampledBottleneck, grid: np.ndarray) -> xr.Dataset:
    interval = sampled.frontier(grid)
    share = f"{100 * sampled.confidence:g} % interval"
    found = found.assign(
        estimate=_nats("grid", interval.value, "frontier, corrected for bias"),
        interval_lower=_nats("grid", interval.lower, f"lower end of the {share}"),
        interval_upper=_nats("grid", interval.upper, f"upper end of the {share}"),
    )
    whole = sampled.mutual_information
    return found.assign_attrs(
        samples=sampled.samples,
        shrinkage=sampled.shrinkage,
        confidence=sampled.confidence,
        mutual_information_interval=[float(whole.value), float(whole.lower), float(whole.upper)],
        notes="; ".join(sampled.notes),
    )


def _dual_part(dual: Sequence[DualSolution]) -> xr.Dataset:
    return xr.Dataset(
        {
            "dual_information_input": _nats("dual_solution", [s.information_input for s in dual], "I(T;X), dual"),
            "dual_information_target": _nats("dual_solution", [s.information_target for s in dual], "I(T;Y), dual"),
            "dual_distortion": _nats("dual_solution", [s.distortion for s in dual], "E KL(p(y|t) ‖ p(y|x))"),
            "dual_gap": _nats("dual_solution", [s.gap for s in dual], "distortion exceeds the least by at most this"),
            "dual_rank": ("dual_solution", [s.natural_rank for s in dual]),
            "dual_stop": ("dual_solution", [s.stop for s in dual]),
        },
        {"dual_solution": [s.beta for s in dual]},
    )


def _gaussian_dual_part(law: GaussianBottleneck) -> xr.Dataset:
    dual = GaussianDualBottleneck(law)
    beta = float(dual.critical_betas[0]) * _FACTORS
    points = dual.curve(beta)
    return xr.Dataset(
        {
            "dual_information_input": _nats("dual_solution", points.information_input, "I(T;X), dual"),
            "dual_information_target": _nats("dual_solution", points.information_target, "I(T;Y), dual"),
            "dual_distortion": _nats("dual_solution", points.distortion, "E KL(p(y|t) ‖ p(y|x))"),
        },
        {"dual_solution": beta},
    )


def _nats(dim: str, values, meaning: str) -> tuple[str, np.ndarray, dict[str, str]]:
    return dim, np.asarray(values, dtype=np.float64), {"units": "nat", "long_name": meaning}


def _attributes(name: str, information: float, kind: str) -> dict[str, object]:
    attributes: dict[str, object] = {"problem": name, "kind": kind, "mutual_information": float(information)}
    return attributes | {f"version_{key}": text for key, text in versions().items()}
