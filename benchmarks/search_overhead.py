"""What the engine costs: a sweep of trials that sleep 50 ms, against the time that they sleep.

python benchmarks/search_overhead.py --trials 400 --seconds 0.05

Scheduling, sending, recording and the wait for the last worker count; starting the workers is measured by itself, as
the time to the first record less one trial.
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


def timed(options: argparse.Namespace) -> dict[str, float]:
    from ntkinfo.search.sweep import ClusterSettings, sweep

    times = []

    def watched(items, label, total=None):
        for item in items:
            times.append(time.perf_counter())
            yield item

    groups = toys.groups(options.trials, of=options.group, seconds=options.seconds)
    with tempfile.TemporaryDirectory() as folder:
        start, processor = time.perf_counter(), time.process_time()
        result = sweep(groups, toys.measure, folder, ClusterSettings(workers=options.workers), progress=watched)
        used = time.process_time() - processor
    if result.measured != options.trials or result.failed or result.lost:
        raise SystemExit(f"not a clean sweep: {result}")
    begun = times[0] - options.seconds  # when the first trial began, but for its record
    spent = times[-1] - begun
    least = options.trials * options.seconds / options.workers
    return {"starting": begun - start, "sweep": spent, "least": least, "overhead": spent / least - 1, "driver": used}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for flag, default in (("--trials", 400), ("--workers", 2), ("--group", 100)):
        parser.add_argument(flag, type=int, default=default)
    parser.add_argument("--seconds", type=float, default=0.05)
    options = parser.parse_args()
    found = timed(options) | {"trials": options.trials, "workers": options.workers, "load": os.getloadavg()[0]}
    print(
        f"{options.trials} trials of {1000 * options.seconds:g} ms on {options.workers} workers: "
        f"{found['sweep']:.2f} s, at least {found['least']:.2f} s: overhead {100 * found['overhead']:.1f} %"
    )
    print(
        f"starting {found['starting']:.1f} s, processor time of the driver {found['driver']:.1f} s, "
        f"load {found['load']:.1f} on {os.cpu_count()} cores"
    )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
