"""Claim: the whole curve of a 4096x2 problem (soft 12-bit rule), certified to 1e-3 bits, in under 60 s on two cores.

Printed with and without the exact reduction to different rows p(y|x) (44 of them: the rule's score takes as many
values), and for a problem of 4096 random rows, where nothing can be merged. Each run is a process of its own, so that
peak memory is its own. The certificate is the largest distance of the certified from the achieved bound over I(T;X).

    python benchmarks/bottleneck_curve.py [--accuracy 1e-3] [--sharpness 0.2] [--only rule|rule-unmerged|random]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np

from ntkinfo.bottleneck.discrete_curve import bottleneck_curve
from ntkinfo.bottleneck.problems import DiscreteProblem, random_problem, soft_twelve_bit_rule
from ntkinfo.core.progress import silent

BIT = float(np.log(2))
CASES = ("rule", "rule-unmerged", "random")


class Unmerged(DiscreteProblem):
    """A problem whose equal rows are kept apart."""

    def merged(self) -> DiscreteProblem:
        """Nothing is."""
        return self

    @property
    def classes(self) -> np.ndarray:
        """Every input its own."""
        return np.arange(self.n_inputs)


def problem_of(case: str, sharpness: float) -> DiscreteProblem:
    if case == "random":
        return random_problem(4096, 2, 1)
    rule = soft_twelve_bit_rule(sharpness)
    return rule if case == "rule" else Unmerged(rule.input_law, rule.conditional, rule.name)


def run(case: str, accuracy: float, sharpness: float) -> dict:
    problem = problem_of(case, sharpness)
    wall, processor = time.perf_counter(), time.process_time()
    curve = bottleneck_curve(problem, accuracy * BIT, progress=silent)
    return {
        "case": case,
        "rows": problem.merged().n_inputs,
        "wall_s": time.perf_counter() - wall,
        "processor_s": time.process_time() - processor,
        "points": len(curve.solutions),
        "gap_bits": curve.gap / BIT,
        "stop": curve.stop,
        "certified": all(solution.certified for solution in curve.solutions),
        "largest_residual": max(max(s.residuals.encoder, s.residuals.decoder) for s in curve.solutions),
        "clusters": max(len(solution.cluster_law) for solution in curve.solutions),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--accuracy", type=float, default=1e-3, help="bits")
    parser.add_argument("--sharpness", type=float, default=0.2)
    parser.add_argument("--only", choices=CASES)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(run(options.only, options.accuracy, options.sharpness)))
        return
    results = []
    for case in CASES:
        words = [sys.executable, __file__, "--only", case, "--accuracy", options.accuracy]
        done = subprocess.run(
            [*map(str, words), "--sharpness", str(options.sharpness)], capture_output=True, text=True, check=True
        )
        result = json.loads(done.stdout)
        results.append(result)
        print(
            f"{case}: {result['rows']} rows, {result['points']} points, {result['wall_s']:.1f} s "
            f"(processor {result['processor_s']:.1f} s), certified to {result['gap_bits']:.1e} bits, "
            f"{result['stop']}, residuals up to {result['largest_residual']:.0e}, "
            f"at most {result['clusters']} clusters, peak {result['peak_mb']:.0f} MB of the process",
            flush=True,
        )
    print(json.dumps(results))


if __name__ == "__main__":
    main()
