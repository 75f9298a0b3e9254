"""Claim: binned informations of 4096 activations of 10 units take a few milliseconds, 5 times less than the usual way.

Side by side in one process, after a warm-up, on activations of a tanh layer on all 4096 patterns of 12 bits: H(Bin(T))
and I(Bin(T);Y) by this package, and as the published programs do it (digitise, rows as bytes, numpy.unique for all rows
and for each class). Both give the same numbers, which is checked. Then nearest neighbours on laws with known
information: bias, scatter and stated error over ten sets of 1500 draws.

    python benchmarks/activation_estimators.py [--repeats 20]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import tracemalloc
from collections.abc import Callable

import numpy as np

import ntkinfo as ni
from ntkinfo.information.nearest_neighbours import neighbour_information
from ntkinfo.information.samples import binned_information
from ntkinfo.information.samples_binning import FixedBins

EDGES = np.linspace(-1, 1, 31)


def usual(activations: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Entropy and information about the class by unique rows of bytes."""
    digitised = np.digitize(activations, EDGES[1:-1])

    def entropy(rows: np.ndarray) -> float:
        keys = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1])))
        share = np.unique(keys, return_counts=True)[1] / len(rows)
        return float(-np.sum(share * np.log(share)))

    whole = entropy(digitised)
    return whole, whole - sum(np.mean(labels == c) * entropy(digitised[labels == c]) for c in np.unique(labels))


def ours(activations: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    result = binned_information(activations, FixedBins(EDGES), labels)
    assert result.information_target is not None
    return float(result.entropy.value), float(result.information_target.value)


def timed(call: Callable[[], object], repeats: int) -> float:
    """Median wall seconds."""
    call()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def peak(call: Callable[[], object]) -> float:
    tracemalloc.start()
    call()
    size = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return float(size)


def neighbours() -> list[dict[str, float]]:
    """Nearest neighbours on normal pairs of 1 + 1 and 5 + 5 dimensions, every correlation ½ or ¾."""
    found = []
    for size, correlation in ((1, 0.75), (5, 0.5)):
        common, own = np.sqrt(correlation), np.sqrt(1 - correlation)
        one, two = (np.log(1 - correlation) * (k - 1) + np.log(1 + correlation * (k - 1)) for k in (size, 2 * size))
        estimates = []
        for seed in range(10):
            random = np.random.default_rng(seed)
            joint = common * random.normal(size=(1500, 1)) + own * random.normal(size=(1500, 2 * size))
            estimates.append(neighbour_information(joint[:, :size], joint[:, size:]).value)
        values = np.array([estimate.value for estimate in estimates])
        row = {"size": size, "truth": float(one - 0.5 * two), "bias": float(values.mean() - one + 0.5 * two)}
        row |= {"scatter": float(values.std(ddof=1))}
        row["stated"] = float(np.mean([estimate.standard_error for estimate in estimates]))
        found.append(row)
        print("  " + ", ".join(f"{key} {value:.4g}" for key, value in row.items()))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20)
    repeats = parser.parse_args().repeats
    rule, random, rows = ni.data.twelve_bit_rule(), np.random.default_rng(0), []
    for units in (10, 4, 2):
        activations = np.tanh((2.0 * rule.patterns - 1) @ random.normal(size=(12, units)) / np.sqrt(12))
        assert np.allclose(ours(activations, rule.labels), usual(activations, rule.labels), atol=1e-12)
        seconds = [timed(lambda f=f, a=activations: f(a, rule.labels), repeats) for f in (ours, usual)]
        memory = [peak(lambda f=f, a=activations: f(a, rule.labels)) for f in (ours, usual)]
        ratio = seconds[1] / seconds[0]
        print(f"{units} units: ours {1e3 * seconds[0]:.2f} ms, usual {1e3 * seconds[1]:.2f} ms, {ratio:.1f} times")
        print(f"  peak {memory[0] / 1e6:.1f} MB against {memory[1] / 1e6:.1f} MB")
        rows.append({"units": units, "ours_s": seconds[0], "usual_s": seconds[1], "ratio": ratio})
    print("nearest neighbours, 1500 draws, ten sets:")
    print(json.dumps({"binning": rows, "neighbours": neighbours()}))


if __name__ == "__main__":
    main()
