"""Claim: all closed-form curves at 1000 times cost a few eigen-decompositions of the NTK.

Times, side by side in one process after a warm-up: `scipy.linalg.eigh` of the NTK (the floor), all closed-form
quantities on training and test inputs (mean, variance, losses, I(Z;D|X) of each output as a bound and under a label
model, parameter and path quantities), and mean and variance alone by
`neural_tangents.predict.gradient_descent_mse_ensemble` (the peer), which forms whole covariances: it is timed at as
many times as fit into memory and continued linearly. Both sides get the kernels ready made.

    python benchmarks/information_curves.py [--n 2000] [--m 1000] [--outputs 10] [--times 1000] [--slow-quantities]
        [--joint] [--scaling [--sizes 500 1000 2000]]

`--scaling` repeats both measurements at a tenth of the times (what do times cost?) and, at all the times, with each of
the sizes of training set and half as many test inputs (slopes on logarithmic axes). The floor is scipy's `eigh` as it
comes (driver "evr"), alternating with our job. CPU time is given beside wall time: it counts the linear algebra
library's waiting threads, and shows whether the machine was shared.

`--joint` times what is computed on request only, on a line of its own: joint and function-space quantities that take
factors of whole covariances at their nodes in time.

Peak memory is this process's largest resident size above that before the kernels' first use, with the kernels added.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from dataclasses import dataclass

import numpy as np
import scipy.linalg

import ntkinfo as ni
from ntkinfo.core.arrays import float64
from ntkinfo.core.progress import silent
from ntkinfo.core.records import Dataset
from ntkinfo.information.quantities import QUANTITIES
from ntkinfo.kernels.neural_tangents_compat import predict

CLOSED = [name for name, q in QUANTITIES.items() if q.default and q.group not in ("output", "member")]
SLOW = [name for name, q in QUANTITIES.items() if q.default and q.group in ("output", "member")]
JOINT = [name for name, q in QUANTITIES.items() if not q.default]


def problem(n: int, m: int, outputs: int) -> Dataset:
    """Classes as clusters in 64 dimensions, centred one-hot targets."""
    rng = np.random.default_rng(0)
    labels = np.arange(n + m) % outputs
    x = rng.normal(size=(outputs, 64))[labels] + 1.5 * rng.normal(size=(n + m, 64))
    y = np.eye(outputs)[labels] - 1 / outputs
    return Dataset(x[:n], y[:n], x[n:], y[n:], labels[:n], labels[n:], name="clusters")


def seconds(function) -> float:
    return both_seconds(function)[0]


def both_seconds(function) -> tuple[float, float]:
    """Wall time and CPU time of all threads."""
    start, cpu = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - start, time.process_time() - cpu


def peak() -> float:
    """Largest resident memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def curves(blocks, data, times, quantities) -> None:
    distribution = ni.output_distribution(blocks, data, ni.GradientFlow(), times)
    ni.curves_of(distribution, quantities=quantities, progress=silent)


def peer_seconds(blocks, data, count: int) -> float:
    """Mean and variance at `count` times, train and test, by neural_tangents."""
    ready = {
        (len(data.x_train), None): (blocks.train.nngp, blocks.train.ntk),
        (len(data.x_test), len(data.x_train)): (blocks.test.nngp, blocks.test.ntk),
    }
    square = blocks.source.square(data.x_test)
    ready[len(data.x_test), None] = (square.nngp, square.ntk)

    def kernel_fn(x1, x2, get, **_):
        from collections import namedtuple

        nngp, ntk = ready[len(x1), None if x2 is None else len(x2)]
        wanted = get if isinstance(get, tuple) else (get,)
        values = {"nngp": nngp, "ntk": ntk}
        if isinstance(get, str):
            return values[get]
        return namedtuple("Kernels", wanted)(*(values[g] for g in wanted))

    times = np.geomspace(1e-3, 1e3, count) * data.y_train.size

    def run():
        ensemble = predict.gradient_descent_mse_ensemble(kernel_fn, data.x_train, data.y_train)
        for inputs in (None, data.x_test):
            mean, covariance = ensemble(t=times, x_test=inputs, get="ntk", compute_cov=True)
            np.asarray(mean), np.asarray(covariance)

    with float64():
        return seconds(run)


@dataclass(frozen=True)
class Measured:
    """Medians over the repeats: wall and CPU seconds of our job and of the floor, and the ratio of each pair."""

    ours: float
    ours_cpu: float
    floor: float
    floor_cpu: float
    ratio: float


def measure(blocks, data, times, repeats: int) -> Measured:
    """Time the floor and all closed forms in turns."""
    curves(blocks, data, times, CLOSED)
    rows = []
    for _ in range(repeats):
        floor = both_seconds(lambda: scipy.linalg.eigh(blocks.train.ntk))
        ours = both_seconds(lambda: curves(blocks, data, times, CLOSED))
        rows.append((*ours, *floor, ours[0] / floor[0]))
    return Measured(*(statistics.median(column) for column in zip(*rows, strict=True)))


def time_grid(count: int) -> np.ndarray:
    return np.append(np.geomspace(1e-4, 1e4, count - 1), np.inf)


def scaling(network, options, blocks, data) -> dict[str, float]:
    """Cost of ten times as many times, and slopes in the number of training inputs on logarithmic axes."""
    few = max(options.times // 10, 2)
    rows = {count: measure(blocks, data, time_grid(count), options.repeats) for count in (few, options.times)}
    growth = rows[options.times].ours / rows[few].ours
    growth_cpu = rows[options.times].ours_cpu / rows[few].ours_cpu
    print(f"T {options.times} costs {growth:.2f} times T {few} ({growth_cpu:.2f} in CPU time)")
    measured = []
    for n in options.sizes:
        data = problem(n, n // 2, options.outputs)
        measured.append(measure(ni.kernel_blocks(network, data), data, time_grid(options.times), options.repeats))
        print(f"n {n}, m {n // 2}: closed forms {measured[-1].ours:.2f} s, eigh {measured[-1].floor:.2f} s")
    result = {"times_growth": growth, "times_growth_cpu": growth_cpu}
    for name in ("ours", "ours_cpu", "floor", "floor_cpu"):
        seconds_of = [getattr(row, name) for row in measured]
        result[f"slope_{name}"] = float(np.polyfit(np.log(options.sizes), np.log(seconds_of), 1)[0])
    print(f"slope in n: closed forms {result['slope_ours']:.2f}, eigh {result['slope_floor']:.2f}")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for flag, default in (("--n", 2000), ("--m", 1000), ("--outputs", 10), ("--times", 1000), ("--repeats", 3)):
        parser.add_argument(flag, type=int, default=default)
    parser.add_argument("--peer-times", type=int, default=40, help="as many times as the peer can hold in memory")
    parser.add_argument("--slow-quantities", action="store_true", help="time mixture entropies and member error too")
    parser.add_argument("--joint", action="store_true", help="time the quantities on request too")
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--scaling", action="store_true", help="time fewer times and other sizes too")
    parser.add_argument("--sizes", type=int, nargs="+", default=[500, 1000, 2000])
    options = parser.parse_args()
    small = problem(200, 100, options.outputs)
    network = ni.FullyConnected(depth=3, activation="erf", w_std=1.5, b_std=0.1)
    data = problem(options.n, options.m, options.outputs)
    times = time_grid(options.times)
    curves(ni.kernel_blocks(network, small), small, times, CLOSED)
    blocks = ni.kernel_blocks(network, data)
    before = peak()
    curves(blocks, data, times, CLOSED)
    matrix = 8 * options.n**2
    inputs = 2 * (1 + options.m / options.n)
    memory = (peak() - before) / matrix + inputs
    measured = measure(blocks, data, times, options.repeats)
    result = {
        "ours_s": measured.ours,
        "ours_cpu_s": measured.ours_cpu,
        "eigh_s": measured.floor,
        "eigh_cpu_s": measured.floor_cpu,
        "ours_over_eigh": measured.ratio,
        "peak_memory_in_matrices": memory,
    }
    print(f"n {options.n}, m {options.m}, C {options.outputs}, T {options.times}, medians of {options.repeats}")
    print(f"closed forms {measured.ours:.2f} s, eigh {measured.floor:.2f} s: ratio {measured.ratio:.2f}")
    print(f"CPU time: closed forms {measured.ours_cpu:.2f} s, eigh {measured.floor_cpu:.2f} s")
    print(f"peak memory {memory:.1f} matrices of n x n, kernels included")
    if options.scaling:
        result.update(scaling(network, options, blocks, data))
    if not options.no_peer:
        few, more = options.peer_times // 8, options.peer_times
        peer_seconds(blocks, data, few)
        slope = (peer_seconds(blocks, data, more) - peer_seconds(blocks, data, few)) / (more - few)
        result["peer_s"] = slope * options.times
        result["peer_over_ours"] = result["peer_s"] / result["ours_s"]
        print(f"neural_tangents {slope:.2f} s a time, {result['peer_s']:.0f} s in all: ", end="")
        print(f"{result['peer_over_ours']:.0f} times ours")
    if options.slow_quantities:
        result["slow_quantities_s"] = seconds(lambda: curves(blocks, data, times, SLOW))
        print(f"mixture entropies, bounds and member error: {result['slow_quantities_s']:.0f} s")
    if options.joint:
        wall, cpu = both_seconds(lambda: curves(blocks, data, times, JOINT))
        result |= {"joint_s": wall, "joint_cpu_s": cpu, "joint_over_eigh": wall / measured.floor}
        print(f"joint quantities, on request: {wall:.1f} s ({cpu:.1f} s of CPU time)")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
