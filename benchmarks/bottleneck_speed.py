"""Measures how many times faster than the plain iteration the solver is at equal accuracy (wanted: 10 times).

Sixteen problems of 32 to 512 inputs and 2 to 8 values of Y, nine βs each from 1.02 to 40 times the critical one,
reverse annealing with warm starts on both sides, neither with a certificate. Two ratios: the whole solver with its
search for missing clusters, which the plain iteration has nothing like, and the accelerated descent alone, which stops
by its own rule (no p(t,y) changes by more than 1e-10 a round). The plain iteration is the self-consistent
equations in numpy from T = X, written for speed (one matrix product and one exponential a round). It stops as soon as
I(T;X) - β I(T;Y) is within `--accuracy` of our value (which it could not know by itself: the kindest rule for it), or
when a round lowers F by less than 1e-15 (stuck in a poorer optimum), or after `--rounds` rounds; in the last two cases
it has not got there, and its time counts as it is. The descent alone is held against a goal of its own.

    python benchmarks/bottleneck_speed.py [--accuracy 1e-12] [--rounds 20000] [--problems 16]
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

from ntkinfo.bottleneck.critical import critical_beta
from ntkinfo.bottleneck.discrete import solve
from ntkinfo.bottleneck.discrete_engine import BottleneckDistortion, State, minimise
from ntkinfo.bottleneck.discrete_search import SolverSettings
from ntkinfo.bottleneck.problems import DiscreteProblem, random_problem, row_entropies

SIZES = ((32, 2), (32, 4), (64, 3), (64, 8), (128, 2), (256, 3), (512, 2), (512, 4))
FACTORS = np.geomspace(40, 1.02, 9)


def problems(count: int) -> list[DiscreteProblem]:
    return [random_problem(*SIZES[i % len(SIZES)], seed=i) for i in range(count)]


def plain(problem: DiscreteProblem, betas: np.ndarray, goals: np.ndarray, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Seconds, and how far above its goal each β ended."""
    law, rows = problem.input_law, problem.conditional
    offset = -row_entropies(rows)
    weight, decoder = law.copy(), rows.copy()
    seconds, excess = [], []
    for beta, goal in zip(betas, goals, strict=True):
        start, before, value = time.process_time(), np.inf, np.inf
        for _ in range(rounds):
            encoder = weight * np.exp(beta * (rows @ np.log(decoder).T - offset[:, None]))
            total = encoder.sum(axis=1)
            value = -float(law @ np.log(total))
            if value <= goal or before - value < 1e-15:
                break
            before = value
            encoder *= (law / total)[:, None]
            weight = np.maximum(encoder.sum(axis=0), 1e-300)
            decoder = np.maximum(encoder.T @ rows / weight[:, None], 1e-300)
        seconds.append(time.process_time() - start)
        excess.append(value - goal)
    return np.array(seconds), np.array(excess)


def ours(problem: DiscreteProblem, betas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Seconds and F of the solver, from the largest β down; one simplex leaves the certificate out."""
    last, seconds, values = None, [], []
    for beta in betas:
        start = time.process_time()
        last = solve(problem, float(beta), SolverSettings(gap=1e-6, cells=1), last)
        seconds.append(time.process_time() - start)
        values.append(last.objective + beta * problem.mutual_information)
    return np.array(seconds), np.array(values)


def descent(problem: DiscreteProblem, betas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Seconds and F of the accelerated descent alone, from T = X and then from where it ended."""
    rows = problem.conditional
    state, seconds, values = State(np.log(problem.input_law), rows), [], []
    for beta in betas:
        start = time.process_time()
        distortion = BottleneckDistortion(problem.input_law, rows, float(beta), -row_entropies(rows))
        found = minimise(distortion, state, 1e-10, 20_000)
        seconds.append(time.process_time() - start)
        state = found.state
        values.append(found.objective)
    return np.array(seconds), np.array(values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--accuracy", type=float, default=1e-12, help="nats of I(T;X) - β I(T;Y)")
    parser.add_argument("--rounds", type=int, default=20_000)
    parser.add_argument("--problems", type=int, default=16)
    options = parser.parse_args()
    slow_all, fast_all, there_all, results, alone = [], [], [], [], []
    ours(problems(1)[0], FACTORS)
    for problem in problems(options.problems):
        betas = FACTORS * critical_beta(problem)
        fast, values = ours(problem, betas)
        slow, excess = plain(problem, betas, values + options.accuracy, options.rounds)
        there = excess <= 0
        bare, reached = descent(problem, betas)
        bare_slow, bare_excess = plain(problem, betas, reached + options.accuracy, options.rounds)
        alone.append((bare_slow.sum(), bare.sum(), int((bare_excess <= 0).sum())))
        slow_all += [*slow]
        fast_all += [*fast]
        there_all += [*there]
        result = {"problem": problem.name, "plain_s": slow.sum(), "ours_s": fast.sum(), "there": int(there.sum())}
        results.append(result)
        print(
            f"{problem.name}: plain {slow.sum():.2f} s (got there at {there.sum()} of {len(betas)} βs, "
            f"else above by up to {excess.max():.1e} nats), ours {fast.sum():.3f} s, "
            f"{slow.sum() / fast.sum():.1f} times; descent alone {bare.sum():.3f} s, plain {bare_slow.sum():.2f} s, "
            f"{bare_slow.sum() / bare.sum():.1f} times",
            flush=True,
        )
    slow, fast, there = np.array(slow_all), np.array(fast_all), np.array(there_all)
    ratio, where = slow.sum() / fast.sum(), slow[there].sum() / fast[there].sum()
    print(f"in all: plain {slow.sum():.1f} s, ours {fast.sum():.2f} s, ratio {ratio:.1f}")
    print(f"  at the {there.sum()} of {len(there)} points where the plain iteration got there: ratio {where:.1f}, ")
    print(f"  median of single ratios {np.median((slow / fast)[there]):.2f}")
    total = np.array(alone, dtype=float).sum(axis=0)
    descents = total[0] / total[1]
    print(f"descent alone: plain {total[0]:.1f} s, ours {total[1]:.2f} s, ratio {descents:.1f}")
    print(json.dumps({"ratio": ratio, "ratio_descent": descents, "ratio_where_both": where, "problems": results}))


if __name__ == "__main__":
    main()
