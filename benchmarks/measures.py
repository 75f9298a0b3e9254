"""Claim: all measures at 16 ridges and 16 times cost far less than computing them afresh for each: one decomposition.

A thousand training inputs, kernels given. Side by side in one process, after a warm-up: `measure_all` for all ridges
and times at once, and the same function called for one ridge and one time after the other, which decomposes both
kernels each time. The second is timed on a few of the 256 pairs, spread evenly, and multiplied up. The numbers of both
are compared. Information quantities are left out: they are read from curves that the caller computes.

    python benchmarks/measures.py [--inputs 1000] [--ridges 16] [--times 16] [--pairs 4]

Processor time is printed beside wall time because the machine may be shared. Peak memory is what Python and numpy
allocate during one more run, beyond the kernels.
"""

from __future__ import annotations

import argparse
import json
import time
import tracemalloc

import numpy as np

import ntkinfo as ni
from ntkinfo.core.progress import silent
from ntkinfo.generalization import MEASURES, MeasureSettings, measure_all

NAMES = [name for name, measure in MEASURES.items() if measure.place != "curve"]


def timed(function):
    """Result, wall seconds, processor seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    value = function()
    return value, time.perf_counter() - wall, time.process_time() - processor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for flag, default in (("--inputs", 1000), ("--ridges", 16), ("--times", 16), ("--pairs", 4)):
        parser.add_argument(flag, type=int, default=default)
    options = parser.parse_args()
    data = ni.data.digits(n_train=options.inputs, n_test=min(256, 1797 - options.inputs), seed=0)
    network = ni.FullyConnected(depth=3, activation="erf", w_std=1.5, b_std=0.1)
    blocks = ni.kernel_blocks(network, data, progress=silent)
    ridges = tuple(float(s) for s in np.geomspace(1e-3, 1e1, options.ridges))
    times = ni.log_times(1e-3, 1e3, options.times)

    def all_at_once(chosen_ridges, chosen_times):
        settings = MeasureSettings(ridges=chosen_ridges)
        flow = ni.GradientFlow()
        return measure_all(
            ni.output_distribution(blocks, data, flow, chosen_times), settings=settings, names=NAMES, progress=silent
        )

    all_at_once(ridges[:1], times[:1])
    together, wall, processor = timed(lambda: all_at_once(ridges, times))
    total = options.ridges * options.times
    walls, processors, difference = [], [], 0.0
    for pair in np.linspace(0, total - 1, options.pairs).astype(int):
        r, t = divmod(int(pair), options.times)
        alone, *spent = timed(lambda r=r, t=t: all_at_once((ridges[r],), times[t : t + 1]))
        walls.append(spent[0])
        processors.append(spent[1])
        difference = max(difference, largest_difference(together, alone, r, t))
    afresh, afresh_processor = np.mean(walls) * total, np.mean(processors) * total
    tracemalloc.start()
    all_at_once(ridges, times)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    matrix = 8 * options.inputs**2
    print(f"{len(NAMES)} measures, {options.inputs} inputs, {options.ridges} ridges, {options.times} times")
    print(f"  together {wall:.2f} s (processor {processor:.2f} s), {1e3 * wall / total:.2f} ms a pair")
    print(f"  afresh {np.mean(walls):.2f} s a pair (processor {np.mean(processors):.2f} s), {afresh:.0f} s for all")
    print(f"  {afresh / wall:.0f} times as long ({afresh_processor / processor:.0f} by processor time)")
    print(f"  largest relative difference {difference:.1e}; peak {peak / 1e6:.0f} MB, {peak / matrix:.1f} matrices")
    result = {
        "together_s": wall,
        "afresh_s": afresh,
        "afresh_over_together": afresh / wall,
        "afresh_over_together_processor": afresh_processor / processor,
        "relative_difference": difference,
        "peak_bytes": peak,
        "peak_matrices": peak / matrix,
    }
    print(json.dumps(result))


def largest_difference(together, alone, r: int, t: int) -> float:
    """Largest difference at one ridge and time, relative to the value or to 1."""
    worst = 0.0
    for name in NAMES:
        value = alone[name].values.reshape(-1)
        index = {dim: place for dim, place in (("ridge", r), ("time", t)) if dim in together[name].dims}
        other = together[name].isel(index).values.reshape(-1)
        finite = np.isfinite(value)
        if not np.array_equal(finite, np.isfinite(other)):
            return float("inf")
        gap = np.abs(value - other)[finite] / np.maximum(np.abs(value)[finite], 1)
        worst = max(worst, float(gap.max(initial=0)))
    return worst


if __name__ == "__main__":
    main()
