"""Trainings killed by SIGKILL at random moments end with the arrays of an undisturbed one; what checkpoints cost.

python benchmarks/restart.py --kills 10
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import ntkinfo as ni
from ntkinfo.finite.ensembles import EnsembleSettings, train_ensemble


def worker(folder: str, result: str, members: int) -> None:
    """Train an ensemble on digits by minibatches with Langevin noise, announcing every report; save its outputs."""

    def announce(items, label, total=None):
        for item in items:
            print("going", flush=True)
            yield item

    data = ni.data.digits(n_train=64, n_test=16, seed=0)
    procedure = ni.GradientDescent(step_size=1e-3, temperature=1e-3, target_noise_variance=0.1)
    settings = EnsembleSettings(members=members, batch_size=24, checkpoint=None if folder == "-" else folder)
    network = ni.FullyConnected(depth=2, activation="erf")
    times = np.linspace(0, 1, 51)
    began = time.perf_counter()
    found = train_ensemble(network, data, times, procedure=procedure, width=128, settings=settings, progress=announce)
    np.savez(result, train=found.train, test=found.test, seconds=time.perf_counter() - began)


def start(folder: str, result: Path, members: int) -> subprocess.Popen:
    command = [sys.executable, __file__, "--members", str(members), "--worker", folder, str(result)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    if process.stdout.readline() != "going\n":
        raise SystemExit("the worker did not begin to train")
    return process


def disturbed(folder: Path, result: Path, options: argparse.Namespace) -> int:
    """Kill the run at random moments until it has been killed often enough or is done; then let it finish."""
    random, kills = np.random.default_rng(options.seed), 0
    while kills < options.kills:
        process = start(str(folder), result, options.members)
        try:
            process.communicate(timeout=random.uniform(0, options.delay))
            return kills
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            kills += 1
    start(str(folder), result, options.members).communicate()
    return kills


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for flag, default in (("--kills", 10), ("--members", 32), ("--seed", 0)):
        parser.add_argument(flag, type=int, default=default)
    parser.add_argument("--delay", type=float, default=1.0, help="longest time to a kill, seconds of training")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(*options.worker, options.members)
        return
    with tempfile.TemporaryDirectory() as place:
        folder, again, whole, kept = (Path(place) / name for name in ("kept", "again.npz", "whole.npz", "kept.npz"))
        kills = disturbed(folder, again, options)
        start("-", whole, options.members).communicate()
        start(str(Path(place) / "fresh"), kept, options.members).communicate()
        runs = [np.load(path) for path in (again, whole, kept)]
        same = all(np.array_equal(run[name], runs[1][name]) for run in runs for name in ("train", "test"))
        seconds = [float(run["seconds"]) for run in runs[1:]]
    print(f"killed {kills} times: arrays {'identical' if same else 'DIFFER'}")
    print(f"undisturbed {seconds[0]:.1f} s, with checkpoints after each of 51 times {seconds[1]:.1f} s")
    print(json.dumps({"kills": kills, "identical": same, "seconds": seconds[0], "with_checkpoints": seconds[1]}))
    if not same or kills < options.kills:
        raise SystemExit("fewer kills than asked for: raise --members" if same else "the arrays differ")


if __name__ == "__main__":
    main()
