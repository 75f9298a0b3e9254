"""Claim: ten outputs and 5000 inputs at 200 times take minutes on two cores.

An output law made up for the purpose passes from all inputs overlapping to separated classes with inputs told apart:
class clusters whose distance grows and whose variances, different for every input, shrink. Times, in one process:

- the pairwise bounds on I(Z;X) and I(Z;Y) (claim: under 60 s at 200 times), beside the plain blocked double loop over
  all pairs (the peer), which is timed at a few of the times and agrees to 1e-9;
- Monte Carlo to a standard error of 0.005 nats, where that takes longest (claim: under 10 s);
- the member error, and everything together with the default number of draws.

    python benchmarks/many_outputs.py [--m 5000] [--outputs 10] [--times 200] [--peer-times 3]

Peak memory is this process's largest resident size above that after imports.
"""

from __future__ import annotations

import argparse
import json
import resource
import time

import numpy as np

from ntkinfo.core.threads import thread_count
from ntkinfo.information.member_error import error_member
from ntkinfo.information.mixture_bounds import pairwise_information
from ntkinfo.information.mixture_sampling import DrawUntil, sample_information
from ntkinfo.information.output import information_output


def laws(m: int, outputs: int, times: int):
    """(mean, variance) at each time from 0 to 1, and labels."""
    rng = np.random.default_rng(0)
    labels = np.arange(m) % outputs
    within, classes = rng.normal(size=(m, outputs)), np.eye(outputs)[labels] - 1 / outputs
    size = np.exp(0.3 * rng.normal(size=m))
    for at in np.linspace(0, 1, times):
        mean = at * (classes + 0.3 * (1 - 0.5 * at) * within)
        yield mean, size * (0.5 * 10 ** (-4 * at)), labels


def plain_bounds(mean, variance, labels) -> tuple[float, float, float, float]:
    """Blocks of rows against all columns: differences, logarithms and exponentials of every pair."""
    m, outputs = mean.shape
    classes = np.bincount(labels)[labels]
    sums = np.zeros((4, m))
    rows = max(1, (1 << 17) // m)
    for start in range(0, m, rows):
        part = slice(start, start + rows)
        squared = (mean[part, 0][:, None] - mean[:, 0][None, :]) ** 2
        for c in range(1, outputs):
            squared += (mean[part, c][:, None] - mean[:, c][None, :]) ** 2
        own, other = variance[part][:, None], variance[None, :]
        same = labels[part][:, None] == labels[None, :]
        middle = 0.5 * (own + other)
        width = np.log(middle) - 0.5 * (np.log(own) + np.log(other))
        overlap = np.exp(-squared / (8 * middle) - 0.5 * outputs * width)
        sums[0, part], sums[1, part] = np.mean(overlap, axis=1), np.sum(overlap * same, axis=1) / classes[part]
        width = own / other - 1 - np.log(own) + np.log(other)
        overlap = np.exp(-0.5 * (squared / other + outputs * width))
        sums[2, part], sums[3, part] = np.mean(overlap, axis=1), np.sum(overlap * same, axis=1) / classes[part]
    lower, lower_within, upper, upper_within = -np.mean(np.log(sums), axis=1)
    return lower, upper, lower - upper_within, upper - lower_within


class Stopwatch:
    """Wall and processor seconds of a block."""

    def __enter__(self):
        self._start = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_):
        self.wall, self.cpu = time.perf_counter() - self._start[0], time.process_time() - self._start[1]


def peak() -> float:
    """Largest resident memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def time_bounds(options) -> dict:
    weights, found, peer, worst = np.full(options.m, 1 / options.m), [], [], 0.0
    peers = set(np.linspace(0, options.times - 1, options.peer_times).astype(int).tolist())
    for index, (mean, variance, labels) in enumerate(laws(options.m, options.outputs, options.times)):
        with Stopwatch() as ours:
            bounds = pairwise_information(mean, variance, weights, labels)
        found.append((ours.wall, ours.cpu))
        if index in peers:
            with Stopwatch() as theirs:
                plain = plain_bounds(mean, variance, labels)
            half = pairwise_information(mean, variance, weights, labels, 0.5)
            mine = half.lower, half.upper, half.label_lower, half.label_upper
            worst = max(worst, float(np.max(np.abs(np.subtract(mine, plain)))))
            assert worst < 1e-9, f"bounds differ from the double loop by {worst:.1e}"
            assert bounds.lower >= half.lower
            peer.append((theirs.wall, theirs.cpu))
    wall, cpu = np.sum(found, axis=0)
    ratio = np.mean(peer, axis=0) / np.mean(found, axis=0)
    print(f"bounds at {options.times} times: {wall:.1f} s ({cpu:.1f} s of processor); claim: under 60 s")
    print(
        f"double loop {np.mean(peer, axis=0)[0]:.2f} s a time: {ratio[0]:.1f} times ours ({ratio[1]:.1f} in processor)"
    )
    print(f"largest difference of order-1/2 bounds from it: {worst:.1e}")
    return {"bounds_s": wall, "bounds_cpu_s": cpu, "peer_over_bounds": ratio[0], "peer_over_bounds_cpu": ratio[1]}


def time_sampling(options) -> dict:
    """At the time at which the standard error after the first draws is largest."""
    weights, results = np.full(options.m, 1 / options.m), []
    for mean, variance, labels in laws(options.m, options.outputs, 11):
        first = sample_information(mean, variance, weights, labels, 4, np.random.default_rng(0))
        results.append((first.component.standard_error, mean, variance, labels))
    _, mean, variance, labels = max(results, key=lambda result: result[0])
    with Stopwatch() as watch:
        wanted = DrawUntil(options.error)
        result = sample_information(mean, variance, weights, labels, wanted, np.random.default_rng(0))
    reached = result.component.standard_error
    assert reached <= options.error
    print(f"Monte Carlo to {reached:.4f} nats with {result.draws} draws: {watch.wall:.2f} s ", end="")
    print(f"({watch.cpu:.2f} s of processor); claim: under 10 s")
    return {"sampling_s": watch.wall, "sampling_cpu_s": watch.cpu, "sampling_error": reached}


def time_everything(options) -> dict:
    """Values, bounds and member error at some of the times, with the default number of draws."""
    member, whole, errors = [], [], []
    for mean, variance, labels in laws(options.m, options.outputs, options.whole_times):
        with Stopwatch() as watch:
            error_member(mean[None], variance[None], labels)
        member.append((watch.wall, watch.cpu))
        with Stopwatch() as watch:
            given, _ = information_output(mean, variance, labels)
        whole.append((watch.wall, watch.cpu))
        errors.append(given.value.standard_error)
        slack = 5 * errors[-1] + 1e-11
        assert given.lower - slack <= given.value.value <= given.upper + slack
    member_wall, member_cpu = np.mean(member, axis=0)
    wall, cpu = np.mean(whole, axis=0) + np.mean(member, axis=0)
    print(f"member error {member_wall:.3f} s a time ({member_cpu:.3f} s of processor)")
    print(f"everything {wall:.2f} s a time ({cpu:.2f} s of processor), ", end="")
    print(f"{wall * options.times:.0f} s at {options.times} times; standard errors up to {max(errors):.4f}")
    return {"member_s": member_wall, "member_cpu_s": member_cpu, "everything_s": wall, "everything_cpu_s": cpu}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for flag, default in (("--m", 5000), ("--outputs", 10), ("--times", 200), ("--peer-times", 3)):
        parser.add_argument(flag, type=int, default=default)
    parser.add_argument("--whole-times", type=int, default=11, help="times at which everything is computed")
    parser.add_argument("--error", type=float, default=0.005, help="wanted standard error, in nats")
    options = parser.parse_args()
    pairwise_information(np.eye(3), np.arange(1.0, 4), np.full(3, 1 / 3))
    before = peak()
    print(f"m {options.m}, C {options.outputs}, {thread_count()} threads")
    result = time_bounds(options) | time_sampling(options) | time_everything(options)
    result["peak_memory_mib"] = peak() - before
    print(f"peak memory {result['peak_memory_mib']:.0f} MiB, the double loop's blocks included")
    print(json.dumps({key: float(value) for key, value in result.items()}))


if __name__ == "__main__":
    main()
