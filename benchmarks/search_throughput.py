"""Claim: a search measures at least thirty times as many trials a second as a plain loop over them.

The plain loop does for every trial what a user would do for one model: load the data, compute the kernels with
`kernel_blocks`, the law of the outputs, curves and measures, one time. A sample of the trials is measured that way,
spread evenly, and its average is taken for all. The search measures every trial with everything shared. Both run in one
process on one thread, side by side, after each has imported what it needs; compiling belongs to the work of both. The
numbers of both are compared. Processor time is printed beside wall time because the machine may be shared.

    OMP_NUM_THREADS=1 python benchmarks/search_throughput.py [--sample 12] [--quantities closed] [--data digits wine]
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import time

import numpy as np

from ntkinfo.core.progress import silent
from ntkinfo.generalization import MeasureSettings, as_row, measure_all
from ntkinfo.generalization.trained import CURVES
from ntkinfo.information.curve_job import CurveSettings
from ntkinfo.information.curves import curves_of
from ntkinfo.kernels.architectures import FullyConnected
from ntkinfo.kernels.blocks import kernel_blocks
from ntkinfo.search.plan import plan_trials
from ntkinfo.search.space import Space
from ntkinfo.search.trial import measure_names, measure_trials
from ntkinfo.search.trial_data import clean_data, forget_data, noisy_data
from ntkinfo.search.trial_description import Trial, TrialOptions
from ntkinfo.training.output_distribution import output_distribution
from ntkinfo.training.procedures import GradientFlow

DRAWN = ("information_input", "information_target")


def trials(data: list[str], options: TrialOptions) -> tuple[Trial, ...]:
    """A grid as a study has it: of each kernel 2 ridges, 3 noises, 3 times."""
    axes = {
        "data": data,
        "n": [64, 128],
        "depth": [1, 3],
        "activation": ["erf", "relu"],
        "w_std": [1.0, 1.5],
        "noise": [0.0, 0.1, 0.3],
        "ridge": [0.01, 1.0],
        "time": [0.05, 0.5, math.inf],
    }
    axes["n"] = [48, 96] if "wine" in data else axes["n"]
    return Space(axes, options).trials()


def afresh(one: Trial) -> dict[str, float]:
    """One trial from the beginning, through the functions for one model."""
    forget_data()
    data = noisy_data(clean_data(one), one.noise, one.seed)
    network = FullyConnected(depth=one.depth, activation=one.activation, w_std=one.w_std, b_std=one.b_std)
    blocks = kernel_blocks(network, data, progress=silent)
    law = output_distribution(blocks, data, GradientFlow(ridge=one.ridge), np.array([one.time]))
    closed = one.options.quantities == "closed"
    quantities = [name for name in CURVES if not (closed and name in DRAWN)]
    settings = CurveSettings(samples_per_input=one.options.samples, seed=one.seed)
    curves = curves_of(law, quantities=[*quantities, "loss_gibbs", "error_member"], settings=settings, progress=silent)
    given = {"depth": float(one.depth), "w_std": one.w_std, "b_std": one.b_std, "label_noise": one.noise}
    chosen = MeasureSettings(ridges=(one.ridge,), hyperparameters=given)
    names = measure_names(one.options.quantities)
    row = as_row(measure_all(law, curves=curves, settings=chosen, names=names, progress=silent))
    return row | {"test_error_mean": float(curves["error_mean"].sel(split="test")[0])}


def timed(function):
    """Result, wall seconds, processor seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    value = function()
    return value, time.perf_counter() - wall, time.process_time() - processor


def largest_difference(rows: dict[str, dict], sample: list[tuple[Trial, dict]]) -> tuple[float, str]:
    """Largest difference between shared and fresh values, relative to the value or to 1, and where."""
    worst, where = 0.0, ""
    for one, fresh in sample:
        shared = rows[one.fingerprint]
        for name, value in fresh.items():
            other = float(shared[name])
            same = value == other or (math.isnan(value) and math.isnan(other))
            gap = 0.0 if same else abs(value - other) / max(abs(value), 1.0)
            if gap > worst:
                worst, where = gap, name
    return worst, where


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, default=12)
    parser.add_argument("--quantities", choices=["closed", "all"], default="closed")
    parser.add_argument("--data", nargs="+", default=["digits", "breast_cancer", "wine", "teacher_gp"])
    given = parser.parse_args()
    some = trials(given.data, TrialOptions(quantities=given.quantities))
    made = plan_trials(some)
    afresh(some[0])  # imports, and what the library does once
    sample, wall, processor = timed(
        lambda: [(some[i], afresh(some[i])) for i in np.linspace(0, len(some) - 1, given.sample).astype(int)]
    )
    plain, plain_processor = wall / given.sample, processor / given.sample
    outcomes, wall, processor = timed(lambda: [o for group in made.groups for o in measure_trials(group.trials)])
    assert all(outcome.error is None for outcome in outcomes)
    shared, shared_processor = wall / len(some), processor / len(some)
    difference, where = largest_difference({o.fingerprint: dict(o.row) for o in outcomes}, sample)
    print(made.summary(1))
    print(f"  plain loop {1e3 * plain:.0f} ms a trial (processor {1e3 * plain_processor:.0f} ms), {given.sample} timed")
    print(f"  search {1e3 * shared:.1f} ms a trial (processor {1e3 * shared_processor:.1f} ms), all {len(some)} timed")
    print(
        f"  {plain / shared:.0f} times as many trials a second ({plain_processor / shared_processor:.0f} by processor)"
    )
    print(f"  largest difference {difference:.1e} ({where}); planned {made.seconds:.0f} s, took {processor:.0f} s")
    result = {
        "plain_ms": 1e3 * plain,
        "shared_ms": 1e3 * shared,
        "ratio": plain / shared,
        "ratio_processor": plain_processor / shared_processor,
        "trials": len(some),
        "largest_difference": difference,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "planned_s": made.seconds,
        "taken_processor_s": processor,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
