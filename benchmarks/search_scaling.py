"""From one to two workers: trials a second on trials that compute in one thread.

python benchmarks/search_scaling.py --trials 200 --seconds 0.1

Counted from the first record on, so without starting workers. Needs two cores that nobody else uses: the load before
the run is printed. The trials are of equal processor time, which is what a busy machine stretches.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "search"))
import sweep_toys as toys


def rate(options: argparse.Namespace, workers: int) -> float:
    """Trials a second after the first record."""
    from ntkinfo.search.sweep import ClusterSettings, sweep

    times = []

    def watched(items, label, total=None):
        for item in items:
            times.append(time.perf_counter())
            yield item

    groups = toys.groups(options.trials, of=options.group, seconds=options.seconds)
    with tempfile.TemporaryDirectory() as folder:
        result = sweep(groups, toys.compute, folder, ClusterSettings(workers=workers), progress=watched)
    if result.measured != options.trials or result.failed or result.lost:
        raise SystemExit(f"not a clean sweep: {result}")
    late = sum(t > times[0] for t in times)
    return late / (times[-1] - times[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for flag, default in (("--trials", 200), ("--group", 50), ("--rounds", 2)):
        parser.add_argument(flag, type=int, default=default)
    parser.add_argument("--seconds", type=float, default=0.1)
    options = parser.parse_args()
    load = os.getloadavg()[0]
    rates = {workers: [] for workers in (1, 2)}
    for _ in range(options.rounds):
        for workers, found in rates.items():
            found.append(rate(options, workers))
            print(f"{workers} workers: {found[-1]:.2f} trials a second", flush=True)
    ratio = max(rates[2]) / max(rates[1])
    print(f"two workers are {ratio:.2f} times as fast as one; load before {load:.1f} on {os.cpu_count()} cores")
    print(json.dumps({"one": rates[1], "two": rates[2], "ratio": ratio, "load": load}))


if __name__ == "__main__":
    main()
