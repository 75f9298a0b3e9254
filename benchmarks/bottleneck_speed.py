"""Measures how many times faster than the plain iteration the solver is at equal accuracy (wanted: 10 times).

Problems of 32 to 512 inputs and 2 to 8 values of Y, drawn once by their seeds; nine βs each, from 40 times the critical
one down to 1.02 times, through all transitions between; reverse annealing with warm starts on both sides. Processor
seconds of one thread.

The plain iteration is the self-consistent equations in numpy from T = X, written for speed: one product, one
exponential of (X, T) and one more product a round. Ours is `solve` as a user calls it, with its search for missing
clusters but without the certificate, which the plain iteration has nothing like. It stops by its own rule (no p(t,y)
changes by more than 1e-10 in a round, no missing cluster found) and does not know the answer.

Equal accuracy: F = I(T;X) - β I(T;Y) within `--accuracy` of the lowest value that anyone reached at that β, which is
the lower of ours and of what the plain iteration comes to when it runs on by the rule that ours uses. Two times of the
plain iteration are compared:

- told: it knows that value and stops in the round that comes within the accuracy. No program can do that; it is the
  kindest rule there is for it, and its ratio is the claim. Where it is stuck in a poorer optimum (100 rounds lower F by
  less than 1e-15) it starts once more from T = X; if it is stuck there too, or has used `--rounds`, its time counts as
  it is and its shortfall is printed.
- own rule: it stops when a round changes no p(t,y) by more than 1e-10, as ours does, whatever it reached by then.

Ours has to come within the accuracy as well; where it does not, the line says so.

    OMP_NUM_THREADS=1 python benchmarks/bottleneck_speed.py [--accuracy 1e-12 1e-9] [--problems 6] [--rounds 20000]
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass, field

import numpy as np

from ntkinfo.bottleneck.critical import critical_beta
from ntkinfo.bottleneck.discrete import solve
from ntkinfo.bottleneck.discrete_search import SolverSettings
from ntkinfo.bottleneck.problems import DiscreteProblem, random_problem, row_entropies

SIZES = ((32, 2), (32, 4), (64, 3), (64, 8), (128, 2), (256, 3), (512, 2), (512, 4))
FACTORS = np.geomspace(40, 1.02, 9)
SETTINGS = SolverSettings(tolerance=1e-10, gap=1e-12, cells=1)


@dataclass
class Runs:
    """Seconds and F for each β, from the largest down."""

    seconds: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, start: float, value: float) -> None:
        """What was reached since `start`."""
        self.seconds.append(time.process_time() - start)
        self.values.append(value)


class Plain:
    """The self-consistent equations."""

    def __init__(self, problem: DiscreteProblem):
        self.law, self.rows = problem.input_law, problem.conditional
        self.offset = -row_entropies(self.rows)
        self.restart()

    def restart(self) -> None:
        """T = X."""
        self.weight, self.decoder = self.law.copy(), self.rows.copy()

    def round(self, beta: float) -> float:
        """One round; F before it."""
        encoder = self.weight * np.exp(beta * (self.rows @ np.log(self.decoder).T - self.offset[:, None]))
        total = encoder.sum(axis=1)
        encoder *= (self.law / total)[:, None]
        self.weight = np.maximum(encoder.sum(axis=0), 1e-300)
        self.decoder = np.maximum(encoder.T @ self.rows / self.weight[:, None], 1e-300)
        return -float(self.law @ np.log(total))

    def told(self, beta: float, goal: float, rounds: int) -> tuple[float, bool]:
        """F where it stopped, at the goal, stuck or out of rounds; and whether it was stuck."""
        value, earlier = np.inf, np.inf
        for used in range(rounds):
            value = self.round(beta)
            if value <= goal:
                break
            if used % 100 == 99:
                if earlier - value < 1e-15:
                    return value, True
                earlier = value
        return value, False

    def by_own_rule(self, beta: float, rounds: int) -> float:
        """F where no p(t,y) changes by more than the tolerance."""
        value = np.inf
        for _ in range(rounds):
            before = self.weight[:, None] * self.decoder
            value = self.round(beta)
            if np.abs(self.weight[:, None] * self.decoder - before).max() <= SETTINGS.tolerance:
                break
        return value


def plain_by_own_rule(problem: DiscreteProblem, betas: np.ndarray, rounds: int) -> Runs:
    plain, runs = Plain(problem), Runs()
    for beta in betas:
        start = time.process_time()
        runs.add(start, plain.by_own_rule(beta, rounds))
    return runs


def plain_told(problem: DiscreteProblem, betas: np.ndarray, goals: np.ndarray, rounds: int) -> Runs:
    plain, runs = Plain(problem), Runs()
    for beta, goal in zip(betas, goals, strict=True):
        start = time.process_time()
        value, stuck = plain.told(beta, goal, rounds)
        if stuck:
            kept = plain.weight, plain.decoder
            plain.restart()
            again, _ = plain.told(beta, goal, rounds)
            if again > value:
                plain.weight, plain.decoder = kept
            value = min(value, again)
        runs.add(start, value)
    return runs


def ours(problem: DiscreteProblem, betas: np.ndarray) -> Runs:
    last, runs = None, Runs()
    for beta in betas:
        start = time.process_time()
        last = solve(problem, float(beta), SETTINGS, last)
        runs.add(start, last.objective + beta * problem.mutual_information)
    return runs


def compare(problem: DiscreteProblem, accuracies: list[float], rounds: int) -> dict:
    """All times of one problem, with a line printed for each comparison."""
    betas = FACTORS * critical_beta(problem)
    fast, free = ours(problem, betas), plain_by_own_rule(problem, betas, rounds)
    best = np.minimum(fast.values, free.values)
    seconds = sum(fast.seconds)
    result = {"problem": problem.name, "ours_s": seconds, "own_rule_s": sum(free.seconds)}
    print(
        f"{problem.name}: ours {seconds:.3f} s, above the best by up to {max(fast.values - best):.1e} nats\n"
        f"    own rule: plain {sum(free.seconds):.2f} s, above the best by up to {max(free.values - best):.1e}: "
        f"{sum(free.seconds) / seconds:.1f} times",
        flush=True,
    )
    for accuracy in accuracies:
        slow = plain_told(problem, betas, best + accuracy, rounds)
        result[f"told_{accuracy:g}_s"] = sum(slow.seconds)
        print(
            f"    told, {accuracy:g} nats: plain {sum(slow.seconds):.2f} s, there at {reached(slow, best, accuracy)},"
            f" ours at {reached(fast, best, accuracy)}: {sum(slow.seconds) / seconds:.1f} times",
            flush=True,
        )
    return result


def reached(runs: Runs, best: np.ndarray, accuracy: float) -> str:
    """At how many βs, and how far from there at worst elsewhere."""
    missed = np.array(runs.values) > best + accuracy
    short = f" (else above by up to {np.max(runs.values - best):.1e})" if np.any(missed) else ""
    return f"{np.sum(~missed)} of {len(best)} βs{short}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--accuracy", type=float, nargs="+", default=[1e-12, 1e-9], help="nats of I(T;X) - β I(T;Y)")
    parser.add_argument("--rounds", type=int, default=20_000)
    parser.add_argument(
        "--problems", type=int, nargs="+", default=[0, 1, 2, 3, 4, 5], help="numbers, which are the seeds"
    )
    options = parser.parse_args()
    ours(random_problem(*SIZES[0], seed=99), np.array([5.0]))
    chosen = [random_problem(*SIZES[number % len(SIZES)], seed=number) for number in options.problems]
    results = [compare(problem, options.accuracy, options.rounds) for problem in chosen]
    total = sum(result["ours_s"] for result in results)
    ratios = {}
    for key in [key for key in results[0] if key not in ("problem", "ours_s")]:
        single = np.array([result[key] / result["ours_s"] for result in results])
        ratios[key] = sum(result[key] for result in results) / total
        print(
            f"{key[:-2].replace('_', ' ')}: in all {ratios[key]:.1f} times; a problem {single.min():.1f} to "
            f"{single.max():.1f} times, geometric mean {np.exp(np.log(single).mean()):.1f}"
        )
    print(json.dumps({"ours_s": total, "ratios": ratios, "problems": results}))


if __name__ == "__main__":
    main()
