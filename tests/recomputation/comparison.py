"""Runs the package on a random problem and compares every value with the recomputation, against its stated error."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from unittest import mock

import mpmath as mp
import numpy as np

import ntkinfo as ni
from ntkinfo.core.progress import silent
from ntkinfo.information.numerical_errors import NumericalErrors
from ntkinfo.information.quantities import QUANTITIES, choose
from ntkinfo.kernels import blocks as kernel_module
from ntkinfo.training.procedures import Converged
from tests.recomputation import mixtures, quantities
from tests.recomputation.kernels import DIGITS, kernels
from tests.recomputation.law import Law
from tests.recomputation.problems import Problem

CLASSES = ("early", "middle", "late", "infinite")
_DENSE = 61


@dataclass(frozen=True)
class Row:
    """One value against its recomputation."""

    problem: int
    quantity: str
    split: str
    when: str
    time: float
    value: float
    right: float
    stated: float
    miss: float
    sampled: bool

    @property
    def held(self) -> bool:
        """Whether the true error is within the stated one, or twice that of a sampled value."""
        return self.miss <= (2 if self.sampled else 1) * self.stated + 2.3e-16 * abs(self.right)


@contextlib.contextmanager
def shared_kernel_functions() -> Iterator[None]:
    """Problems that share a network share its compiled kernel functions."""
    known: dict = {}
    make = kernel_module.TileKernel

    def tiles(network, shape, *rest, **options):
        key = (network.fingerprint, tuple(shape), rest, tuple(sorted(options.items())))
        if key not in known:
            known.clear()
            known[key] = make(network, shape, *rest, **options)
        return known[key]

    with mock.patch.object(kernel_module, "TileKernel", tiles):
        yield


def compare(problem: Problem, own_kernels: bool = False) -> list[Row]:
    """Rows of every quantity of one problem at some of its times.

    Args:
        problem: what to compute.
        own_kernels: take the package's kernels as exact, to see the law's errors alone.
    """
    data = problem.data
    inputs = np.concatenate([data.x_train, data.x_test])
    with mp.workdps(DIGITS), warnings.catch_warnings():
        warnings.simplefilter("error")
        blocks = ni.kernel_blocks(problem.network, data)
        if own_kernels:
            square = blocks.source.square(inputs)
            exact = np.vectorize(mp.mpf, otypes=[object])
            nngp, ntk = exact(np.asarray(square.nngp)), exact(np.asarray(square.ntk))
        else:
            nngp, ntk = kernels(problem.network, inputs)
        procedure = _with_step(problem.procedure, nngp, ntk, data)
        law = Law(nngp, ntk, inputs, data.y_train, procedure)
        chosen, times = _times(law, procedure, problem)
        found = ni.output_distribution(blocks, data, procedure, times)
        names = [*choose(None, data.labels_train is not None, procedure.temperature > 0)]
        names += [n for n, q in QUANTITIES.items() if not q.default]
        if data.labels_train is None and not all(_vary(y) for y in (data.y_train, data.y_test)):
            names.remove("information_target")
        settings = ni.CurveSettings(
            extra_inputs=problem.extra, label_model=ni.LabelModel(problem.label_noise), seed=problem.number
        )
        curves = ni.curves_of(found, quantities=names, settings=settings, progress=silent)
        rows: list[Row] = []
        for when, time in chosen.items():
            truth = _truth(law, time, problem)
            rows += _rows(problem, curves, truth, when, time)
            rows += _law_rows(problem, found, law, when, time)
        return rows


def _vary(targets) -> bool:
    return len(np.unique(targets, axis=0)) > 1


def _with_step(procedure, nngp, ntk, data):
    """A step given as a share of the largest stable one, in the caller's time."""
    if not hasattr(procedure, "step_size"):
        return procedure
    n = len(data.x_train)
    kernel = (nngp if procedure.tangent == "nngp" else ntk)[:n, :n]
    top = float(max(mp.eigsy(mp.matrix(kernel.tolist()), eigvals_only=True))) + procedure.ridge
    bound = 2 * (1 + getattr(procedure, "momentum", 0.0)) / top / procedure.time_unit(data.y_train.size)
    return replace(procedure, step_size=procedure.step_size * bound)


def _times(law: Law, procedure, problem: Problem) -> tuple[dict[str, float], np.ndarray]:
    """One time of each class, and all the times that are asked for: these alone, or two hundred around them."""
    rng = np.random.default_rng([16, problem.number])
    rates = [float(value) + procedure.ridge for value in law.values if float(value) + procedure.ridge > 0]
    fast, slow = max(rates), min(rates)
    early = 10 ** rng.uniform(-8, -1) / fast
    middle = float(np.exp(rng.uniform(-np.log(fast), np.log(1 / slow)))) if slow < fast else 1 / fast
    late = max(10 ** rng.uniform(0.5, 3.5) / slow, 1.1 * middle)
    chosen = {"early": early / law.unit, "middle": middle / law.unit, "late": late / law.unit}
    if hasattr(procedure, "step_size"):
        step = procedure.step_size
        chosen = {name: max(1.0, float(np.floor(min(time / step, 1e9)))) * step for name, time in chosen.items()}
    if not (procedure.temperature > 0 and procedure.ridge == 0):
        chosen["infinite"] = np.inf
    if isinstance(procedure, Converged):
        chosen = {"infinite": np.inf}
    times = sorted(set(chosen.values()))
    finite = [time for time in times if np.isfinite(time)]
    if problem.dense and len(finite) > 1:
        times = sorted({*times, *np.geomspace(finite[0], finite[-1], _DENSE).tolist()})
    return {name: float(time) for name, time in chosen.items()}, np.array(times)


def _truth(law: Law, time: float, problem: Problem) -> dict[tuple[str, str], tuple]:
    """Right value and its own standard error by quantity and split."""
    data, moments, n = problem.data, law.at(time), law.n
    result: dict[tuple[str, str], tuple] = {}
    total = len(law.at_train)
    for split, rows in (("train", range(n)), ("test", range(n, total))):
        targets, labels = getattr(data, f"y_{split}"), getattr(data, f"labels_{split}")
        mean = moments.mean[list(rows)]
        variance = [_cleaned(law, moments, i) for i in rows]
        found: dict = quantities.losses(mean, variance, targets)
        found.update(quantities.per_input(law, moments, rows, problem.label_noise))
        informations = mixtures.informations(mean, variance, labels, problem.number)
        if labels is not None:
            found["error_member"] = mixtures.member_error(mean, variance, labels)
            found["error_mean"] = mixtures.mean_error(mean, labels)
        elif _vary(targets):
            found["information_target"] = quantities.target_information(mean, variance, targets)
        # Sums in doubles end at some 1e-14.
        result.update({(name, split): (value, 5e-15 * (name == "error_member")) for name, value in found.items()})
        result.update({(name, split): value for name, value in informations.items()})
    space = quantities.train_space(law, moments, [], problem.label_noise)
    extra = list(range(n, n + problem.extra))
    wider = space if not extra else None
    if extra and all(i in law.others for i in extra):
        wider = quantities.train_space(law, moments, extra, problem.label_noise)
    for split, both in (
        ("train", space),
        ("test", quantities.joint(law, moments, list(range(n, total)), problem.label_noise)),
    ):
        if both is not None:
            result["information_training_set_joint", split] = (both["entropy"], 0.0)
            result["information_training_set_labels_joint", split] = (both["labels"], 0.0)
    if wider is not None:
        result["information_parameters", ""] = (wider["entropy"], 0.0)
        result["information_parameters_labels", ""] = (wider["labels"], 0.0)
    result.update({(name, ""): (value, 0.0) for name, value in quantities.path(law, moments).items()})
    return result


def _cleaned(law, moments, i):
    """A variance with what a hundred digits leave of nothing taken as nothing."""
    variance = moments.covariance[i, i]
    if law.at_train[i] is None and variance <= quantities.NULL * law.prior[i, i]:
        return mp.mpf(0)
    return max(variance, mp.mpf(0))


def _rows(problem, curves, truth, when, time) -> Iterator[Row]:
    for (name, split), (right, own) in truth.items():
        if name not in curves or f"{name}_standard_error" not in curves or right is None:
            continue
        place = {"time": time} if not split else {"time": time, "split": split}
        value, stated = (float(curves[key].sel(place)) for key in (name, f"{name}_standard_error"))
        if np.isnan(value):
            continue
        sampled = "Monte Carlo" in _meaning(curves, name, place)
        if own > 0 and not sampled:
            # Quadrature in the plane against draws: they can say no more than their own error.
            stated = stated + 4 * own
        elif own > 0:
            stated = float(np.hypot(stated, own))
        yield _row(problem, name, split, when, time, value, right, stated, sampled)


def _meaning(curves, name, place) -> str:
    if f"{name}_method" in curves:
        code = int(curves[f"{name}_method"].sel(place))
        return json.loads(curves[f"{name}_method"].attrs["flag_meanings"])[code]
    return f"{curves[name].attrs.get('meaning', '')}"


def _row(problem, name, split, when, time, value, right, stated, sampled=False) -> Row:
    if mp.isinf(right) or np.isinf(value):
        miss = 0.0 if float(right) == value else np.inf
    else:
        miss = float(abs(mp.mpf(value) - right))
    return Row(problem.number, name, split, when, time, value, float(right), stated, miss, sampled)


def _law_rows(problem, found, law, when, time) -> Iterator[Row]:
    """Mean and variance at the input where they are worst in units of their stated errors."""
    errors, moments = NumericalErrors(found), law.at(time)
    index = int(np.flatnonzero(found.times == time)[0])
    part = slice(index, index + 1)
    for split, first in (("train", 0), ("test", law.n)):
        side, bounds = getattr(found, split), errors.side(split)
        mean, variance = np.asarray(side.mean_at(part))[0], np.asarray(side.variance_at(part))
        stated = np.asarray(bounds.mean(part))[0], np.asarray(bounds.variance(part, variance))[0]
        for i in range(len(mean)):
            off = mp.sqrt(mp.fsum((mp.mpf(a) - b) ** 2 for a, b in zip(mean[i], moments.mean[first + i], strict=True)))
            size = mp.sqrt(mp.fsum(b**2 for b in moments.mean[first + i]))
            yield _row(problem, "mean", split, when, time, float(size + off), size, float(stated[0][i]))
            right = _cleaned(law, moments, first + i)
            yield _row(problem, "output variance", split, when, time, float(variance[0, i]), right, float(stated[1][i]))
