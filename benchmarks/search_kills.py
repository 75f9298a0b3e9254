"""A sweep whose workers and driver get SIGKILL at random moments: all trials there once, none twice, no torn part.

python benchmarks/search_kills.py --trials 500 --worker-kills 20 --driver-kills 10

With --full-disk the records lie on a file system of 1 MB (needs root), which fills up; the sweep has to stop with a
message, and to go on when there is room.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "search"))
import sweep_toys as toys

SPAWNED = "spawn_main"


def driver(options: argparse.Namespace) -> None:
    """One sweep over all trials, which goes on where the last one was."""
    from ntkinfo.search.sweep import ClusterSettings, SweepSettings, sweep

    def announced(items, label, total=None):
        for item in items:
            print(f"trial {time.time()}", flush=True)
            yield item

    groups = toys.groups(options.trials, of=50, seconds={k: 0.02 + 0.03 * (k % 7) / 6 for k in range(options.trials)})
    settings = SweepSettings(batch_seconds=options.batch_seconds)
    result = sweep(groups, toys.measure, options.driver, ClusterSettings(workers=2), settings, announced)
    print(json.dumps({"measured": result.measured, "lost": result.lost}), flush=True)


def start(options: argparse.Namespace, folder: str) -> subprocess.Popen:
    words = [sys.executable, __file__, "--driver", folder, "--trials", str(options.trials)]
    words += ["--batch-seconds", str(options.batch_seconds)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def workers_of(process: subprocess.Popen) -> list:
    import psutil

    try:
        children = psutil.Process(process.pid).children()
        return [child for child in children if SPAWNED in " ".join(child.cmdline())]
    except psutil.Error:
        return []


def disturbed(options: argparse.Namespace, folder: str) -> dict[str, int]:
    """Runs with kills in random order until they are used up, then one that is left alone."""
    import psutil

    chance = random.Random(options.seed)
    kills = ["worker"] * options.worker_kills + ["driver"] * options.driver_kills
    chance.shuffle(kills)
    count, orphans, runs = {"worker": 0, "driver": 0}, 0, 0
    while kills:
        process = start(options, folder)
        runs += 1
        line = process.stdout.readline()
        if not line.startswith("trial"):
            break  # nothing is missing any more
        while kills and process.poll() is None:
            time.sleep(chance.uniform(0.05, options.delay))
            kind, workers = kills[0], workers_of(process)
            if process.poll() is not None or (kind == "worker" and not workers):
                continue
            kills.pop(0)
            count[kind] += 1
            if kind == "worker":
                os.kill(chance.choice(workers).pid, signal.SIGKILL)
                continue
            process.kill()
            process.communicate()
            _, alive = psutil.wait_procs(workers, timeout=20)
            orphans += len(alive)
            break
        else:
            process.communicate()
    process = start(options, folder)
    out, err = process.communicate()
    if process.returncode != 0:
        raise SystemExit(out + err)
    return {"worker_kills": count["worker"], "driver_kills": count["driver"], "orphans": orphans, "runs": runs + 1}


def looked_through(folder: str, options: argparse.Namespace) -> dict[str, int]:
    import pyarrow.parquet as pq

    from ntkinfo.search.records import read_records

    found = read_records(folder)
    names = found.table["fingerprint"].to_pylist()
    wanted = {toy.fingerprint for group in toys.groups(options.trials) for toy in group.trials}
    on_disk = [
        name for path in Path(folder).glob("*.parquet") for name in pq.read_table(path)["fingerprint"].to_pylist()
    ]
    return {
        "trials": options.trials,
        "recorded": len(set(names) & wanted),
        "errors": found.table.num_rows - found.good.num_rows,
        "doubled": len(names) - len(set(names)),
        "doubled_on_disk": len(on_disk) - len(set(on_disk)),
        "torn": len(found.notes) + len(list(Path(folder).glob(".writing-*"))),
        "parts": found.parts,
    }


def full_disk(options: argparse.Namespace) -> None:
    """Fill a small file system, make room, go on."""
    from ntkinfo.search.records import read_records

    with tempfile.TemporaryDirectory() as place:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], check=True)
        try:
            ballast = Path(place) / "ballast"
            ballast.write_bytes(bytes(2**20 - 2**16))
            process = start(options, f"{place}/records")
            out, err = process.communicate()
            message = err.strip().splitlines()[-1].replace(place, "PLACE")
            there = read_records(f"{place}/records")
            print(f"exit code {process.returncode}, {there.table.num_rows} trials readable, notes {there.notes}")
            print(message)
            ballast.unlink()
            process = start(options, f"{place}/records")
            out, err = process.communicate()
            found = looked_through(f"{place}/records", options)
            found |= {"stopped_with": there.table.num_rows, "said": "No space left" in message}
            print(json.dumps(found))
            if process.returncode or not found["said"] or found["recorded"] != options.trials or found["torn"]:
                raise SystemExit(f"the record is not whole\n{out}{err}")
        finally:
            subprocess.run(["umount", place], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for flag, default in (("--trials", 500), ("--worker-kills", 20), ("--driver-kills", 10), ("--seed", 0)):
        parser.add_argument(flag, type=int, default=default)
    parser.add_argument("--delay", type=float, default=0.5, help="longest time between kills, seconds")
    parser.add_argument("--batch-seconds", type=float, default=0.3)
    parser.add_argument("--full-disk", action="store_true")
    parser.add_argument("--driver", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.driver:
        driver(options)
        return
    if options.full_disk:
        full_disk(options)
        return
    with tempfile.TemporaryDirectory() as place:
        began = time.monotonic()
        found = disturbed(options, f"{place}/records") | looked_through(f"{place}/records", options)
    print(f"{found['runs']} runs, {time.monotonic() - began:.0f} s")
    print(json.dumps(found))
    whole = found["recorded"] == options.trials and not found["doubled"] and not found["torn"] and not found["errors"]
    if not whole or found["orphans"]:
        raise SystemExit("the record is not whole, or processes were left")
    if (found["worker_kills"], found["driver_kills"]) != (options.worker_kills, options.driver_kills):
        raise SystemExit("fewer kills than asked for: raise --trials or lower --delay")


if __name__ == "__main__":
    main()
