"""Claim: every score of 60 measures on 5,000 trials, with intervals and null laws, takes seconds.

Trials: four data sets, each a full grid of five hyperparameters (5 · 5 · 5 · 5 · 2 places), so 1,250 trials and 780,625
pairs a data set. Measures: the gap under noise of rising size, functions of hyperparameters, and pure noise. Every
score is timed by itself, with processor time beside wall time because the machine may be shared. Side by side in the
same process: Kendall's τ by scipy (`kendalltau`, values alone, no intervals), and conditional information by plain
numpy (signs of all pairs and `numpy.bincount`; values alone, for one measure, times the number of measures). Values are
checked against these peers. Peak memory is what Python and numpy allocate during one more run of the whole ranking.

    python benchmarks/scores.py [--measures 60] [--data-sets 4] [--permutations 199]
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
import tracemalloc

import numpy as np
from scipy.stats import kendalltau

from ntkinfo.core.progress import silent
from ntkinfo.search.environments import TrialTable
from ntkinfo.search.ranking import RankSettings, rank
from ntkinfo.search.scores import ScoreSettings, granulated_kendall, kendall
from ntkinfo.search.scores_all import AllSettings
from ntkinfo.search.scores_conditional import ConditionalSettings, conditional_information
from ntkinfo.search.scores_partial import partial_correlation
from ntkinfo.search.scores_pgdl import pgdl_score
from ntkinfo.search.scores_sign_error import sign_error
from ntkinfo.search.symbolic import SymbolicSettings, symbolic_search

LEVELS = (5, 5, 5, 5, 2)


def problem(data_sets: int, measures: int, seed: int = 0) -> TrialTable:
    """Trials with gaps that follow the hyperparameters, and measures from good to worthless."""
    random = np.random.default_rng(seed)
    places = np.tile(np.array(list(itertools.product(*map(range, LEVELS))), dtype=float), (data_sets, 1))
    names = np.repeat([f"data{i}" for i in range(data_sets)], np.prod(LEVELS))
    gap = 0.05 * (places @ np.linspace(1, 0.3, len(LEVELS)) + random.normal(size=len(places)))
    found = {}
    for k in range(measures):
        kind, noise = k % 3, 0.02 * 1.15**k
        found[f"m{k}"] = [
            np.exp(gap + noise * random.normal(size=len(gap))),
            1 + places @ random.random(len(LEVELS)),
            np.exp(random.normal(size=len(gap))),
        ][kind]
    columns = {f"h{i}": places[:, i] for i in range(len(LEVELS))}
    return TrialTable(found, gap, columns, names, np.full(len(gap), 1000))


def by_bincount(trials: TrialTable, index: int) -> float:
    """Conditional information of one measure with plain numpy, in percent."""
    total = []
    for rows in trials.parts:
        i, j = np.triu_indices(len(rows), 1)
        i, j = np.concatenate([i, j]), np.concatenate([j, i])
        measure = np.sign(trials.ranks[index, rows][i] - trials.ranks[index, rows][j]) + 1
        gap = np.sign(trials.gap_ranks[rows][i] - trials.gap_ranks[rows][j]) + 1
        symbol, codes, found = 3 * measure + gap, trials.codes[:, rows], []
        for size in range(3):
            for chosen in itertools.combinations(range(len(codes)), size):
                cell = np.zeros(len(i), dtype=np.int64)
                for h in chosen:
                    levels = int(codes[h].max()) + 1
                    cell = (cell * levels + codes[h][i]) * levels + codes[h][j]
                found.append(_information(np.bincount(cell * 9 + symbol, minlength=9 * (int(cell.max()) + 1))))
        total.append(min(found))
    return 100 * float(np.mean(total))


def _information(counts: np.ndarray) -> float:
    table = counts.reshape(-1, 3, 3).astype(float)

    def entropy(part: np.ndarray) -> float:
        flat = part.reshape(len(table), -1)
        total = flat.sum(axis=1, keepdims=True)
        share = np.divide(flat, total, out=np.ones_like(flat), where=(total > 0) & (flat > 0))
        return float(-(flat * np.log(share)).sum())

    gap = entropy(table.sum(axis=1))
    return (entropy(table.sum(axis=2)) + gap - entropy(table)) / gap


def timed(function) -> tuple:
    """Result, wall seconds, processor seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    value = function()
    return value, time.perf_counter() - wall, time.process_time() - processor


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    for flag, default in (("--measures", 60), ("--data-sets", 4), ("--permutations", 199)):
        parser.add_argument(flag, type=int, default=default)
    options = parser.parse_args()
    trials = problem(options.data_sets, options.measures)
    settings = ScoreSettings(permutations=options.permutations)
    jobs = {
        "kendall": lambda: kendall(trials, settings),
        "granulated": lambda: granulated_kendall(trials, settings).score,
        "conditional": lambda: conditional_information(trials, settings, ConditionalSettings(), silent).score,
        "sign_error": lambda: sign_error(trials, settings).score,
        "partial": lambda: partial_correlation(trials, ["h0", "h1"], settings),
        "pgdl": lambda: pgdl_score(trials, ScoreSettings(permutations=19), silent),
    }
    result: dict[str, float] = {}
    values = {}
    print(f"{len(trials.gap)} trials on {options.data_sets} data sets, {options.measures} measures")
    for name, job in jobs.items():
        score, wall, processor = timed(job)
        values[name], result[f"{name}_s"] = score.value, wall
        print(f"  {name:12s} {wall:6.2f} s (processor {processor:6.2f} s)")
    held_out = (trials.data_sets[-1],)
    search, wall, processor = timed(lambda: symbolic_search(trials, SymbolicSettings(held_out), silent))
    result["symbolic_s"] = wall
    print(f"  symbolic     {wall:6.2f} s (processor {processor:6.2f} s), {sum(search.tried)} formulas")

    peer, wall, _ = timed(
        lambda: [[kendalltau(v[r], trials.gap[r])[0] for r in trials.parts] for v in trials.measures.values()]
    )
    tau_b = kendall(trials, settings, "b").value
    print(
        f"scipy's kendalltau, values alone: {wall:.2f} s; largest difference {_off(np.mean(peer, axis=1), tau_b):.1g}"
    )
    result["scipy_kendall_s"] = wall
    plain, wall, _ = timed(lambda: by_bincount(trials, 0))
    wall *= options.measures
    difference = abs(plain - values["conditional"][0])
    print(
        f"plain numpy conditional information: {wall:.0f} s for the values of all; difference {difference:.1g} percent"
    )
    ratio = wall / result["conditional_s"]
    print(f"  {ratio:.1f} times ours, which draws {settings.permutations} null values and intervals as well")
    result |= {"bincount_s": wall, "bincount_over_ours": ratio}

    scores = AllSettings(score=settings, given=("h0", "h1"))
    tracemalloc.start()
    _, wall, processor = timed(lambda: rank(trials, RankSettings(scores, held_out), silent))
    result |= {"rank_s": wall, "peak_bytes": tracemalloc.get_traced_memory()[1]}
    tracemalloc.stop()
    print(f"whole ranking, one data set held out: {wall:.1f} s (processor {processor:.1f} s, while memory is traced)")
    print(f"  peak {result['peak_bytes'] / 1e6:.0f} MB")
    print(json.dumps(result))


def _off(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.max(np.abs(first - second)))


if __name__ == "__main__":
    main()
