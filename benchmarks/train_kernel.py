"""Train-train kernels by tiles against `jit(kernel_fn)`: time and peak memory above inputs and result, side by side.

Both compute NNGP and NTK of n inputs of dimension 784 in float64 for a fully connected network with three hidden erf
layers. Every measurement runs in a process of its own, because peak memory cannot be reset; the two take turns, and
medians are compared. Compilation is left out of both times (its own time is printed) and included in both peaks, which
count from just before it. The last line is one JSON object.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time

import numpy as np
import psutil

from ntkinfo.core.arrays import float64
from ntkinfo.core.memory import available_memory
from ntkinfo.kernels.activations import load_stax
from ntkinfo.kernels.architectures import FullyConnected
from ntkinfo.kernels.blocks import NetworkKernels

NETWORK = FullyConnected(depth=3, activation="erf", w_std=1.5, b_std=0.1)
DIMENSION = 784


def peak_bytes() -> int:
    """The most memory this process has held, in bytes."""
    with open("/proc/self/status") as file:  # noqa: PTH123
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


def by_tiles(inputs):
    """The package's own route."""
    start = time.perf_counter()
    kernels = NetworkKernels(NETWORK, inputs, on_device=False)
    kernels.cross(inputs[:1])  # compiles the tile and the diagonal
    yield time.perf_counter() - start
    while True:
        start = time.perf_counter()
        result = kernels.train()
        yield time.perf_counter() - start, (result.nngp, result.ntk)
        del result


def by_library(inputs):
    """`jit(kernel_fn)` of neural_tangents."""
    import jax

    with float64():
        kernel_fn = NETWORK.layers()[2]
        rows = jax.numpy.asarray(inputs)
        start = time.perf_counter()
        compiled = jax.jit(lambda x: tuple(kernel_fn(x, None, ("nngp", "ntk")))).lower(rows).compile()
        yield time.perf_counter() - start
        while True:
            start = time.perf_counter()
            result = jax.block_until_ready(compiled(rows))
            yield time.perf_counter() - start, result
            del result


def measure(route: str, size: int) -> dict[str, float]:
    """Compile, compute once for the peak above inputs and result, then three times for the time."""
    inputs = np.random.default_rng(0).normal(size=(size, DIMENSION))
    steps = {"tiles": by_tiles, "library": by_library}[route](inputs)
    load_stax()
    before = psutil.Process().memory_info().rss
    compilation = next(steps)
    _, result = next(steps)
    above = peak_bytes() - before - sum(array.nbytes for array in result)
    check = float(np.asarray(result[1])[0, -1])
    del result
    seconds = statistics.median(next(steps)[0] for _ in range(3))
    return {"seconds": seconds, "mib": above / 2**20, "compile": compilation, "check": check}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=4000, help="number of inputs")
    parser.add_argument("--pairs", type=int, default=5, help="measurements of each route")
    parser.add_argument("--route", choices=["tiles", "library"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.route:
        print(json.dumps(measure(arguments.route, arguments.size)))
        return
    print(f"n = {arguments.size}, d = {DIMENSION}, {NETWORK.describe()}; {available_memory():.1f} GiB free")
    runs = {"tiles": [], "library": []}
    for _ in range(arguments.pairs):
        for route, done in runs.items():
            command = [sys.executable, __file__, "--route", route, "--size", str(arguments.size)]
            output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            done.append(json.loads(output.splitlines()[-1]))
    middle = {r: {k: statistics.median(run[k] for run in done) for k in done[0]} for r, done in runs.items()}
    for route, values in middle.items():
        print(
            f"{route:8s} {values['seconds']:7.3f} s  {values['mib']:8.0f} MiB above  compile {values['compile']:.2f} s"
        )
    ratios = {k: middle["tiles"][k] / middle["library"][k] for k in ("seconds", "mib")}
    by_pair = statistics.median(
        a["seconds"] / b["seconds"] for a, b in zip(runs["tiles"], runs["library"], strict=True)
    )
    agreement = abs(middle["tiles"]["check"] / middle["library"]["check"] - 1)
    print(f"time ratio {ratios['seconds']:.3f} (median of pairs {by_pair:.3f}), at most 0.7 wanted")
    print(f"memory ratio {ratios['mib']:.3f}, at most 0.5 wanted; relative difference of one entry {agreement:.1e}")
    summary = {"size": arguments.size, "time_ratio": by_pair, "memory_ratio": ratios["mib"], **middle}
    print(json.dumps({"benchmark": "train_kernel", **summary}))


if __name__ == "__main__":
    main()
