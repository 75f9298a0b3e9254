"""Claim: the certified bottleneck curve is never below two independent programs, and above them where they stop early.

The programs are embo 1.1.0 (plain iteration, restarts) and dit 2.3 (Blahut-Arimoto, and scipy's optimiser with basin
hopping), both from PyPI; neither is a dependency, and one that is not installed is skipped with a message. Run it in an
environment of its own that has them beside ntkinfo:

    python benchmarks/bottleneck_peers.py [--accuracy 1e-4] [--dit-points 6]

Every point of theirs, (I_X, I_Y) in bits, is compared with the achieved and the certified bound at its I_X: "above us"
must not be positive beyond rounding, "short" is how far it lies below what we achieve.
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
import warnings
from collections.abc import Callable

import numpy as np

from ntkinfo.bottleneck.discrete_curve import bottleneck_curve
from ntkinfo.bottleneck.problems import DiscreteProblem, binary_symmetric, random_problem, soft_twelve_bit_rule
from ntkinfo.core.progress import silent

BIT = float(np.log(2))
Peer = Callable[[DiscreteProblem, np.ndarray], np.ndarray]


def joint(problem: DiscreteProblem) -> np.ndarray:
    return problem.input_law[:, None] * problem.conditional


def by_embo(problem: DiscreteProblem, betas: np.ndarray) -> np.ndarray:
    """(I_X, I_Y) in bits of its curve; its own filter of points that do not rise is left on."""
    embo = importlib.import_module("embo")
    np.random.seed(0)  # noqa: NPY002 (embo draws from the global generator)
    solver = embo.InformationBottleneck(
        pxy=joint(problem), minbeta=betas[0], maxbeta=betas[-1], numbeta=len(betas), iterations=100, restarts=3
    )
    given, told = solver.get_bottleneck()[:2]
    return np.stack([np.atleast_1d(given), np.atleast_1d(told)], axis=1)


def by_dit_blahut_arimoto(problem: DiscreteProblem, betas: np.ndarray) -> np.ndarray:
    """(I_X, I_Y) in bits by dit's Blahut-Arimoto at each β."""
    module = importlib.import_module("dit.rate_distortion.blahut_arimoto")
    np.random.seed(0)  # noqa: NPY002
    return np.array([_informations(module.blahut_arimoto_ib(joint(problem), float(b))[1], problem) for b in betas])


def by_dit_optimiser(problem: DiscreteProblem, betas: np.ndarray) -> np.ndarray:
    """(I_X, I_Y) in bits by dit's IBCurve with scipy's optimiser."""
    dit = importlib.import_module("dit")
    np.random.seed(0)  # noqa: NPY002
    law = dit.Distribution.from_ndarray(joint(problem))
    curve = importlib.import_module("dit.rate_distortion").IBCurve(
        law, rvs=[[0], [1]], beta_min=betas[0], beta_max=betas[-1], beta_num=len(betas)
    )
    return np.stack([curve.complexities, curve.relevances], axis=1)


def _informations(table: np.ndarray, problem: DiscreteProblem) -> tuple[float, float]:
    """From p(x, y, t) to bits."""
    pair = table.sum(axis=1)
    encoder = pair / pair.sum(axis=1, keepdims=True)
    given, told = problem.information(encoder)
    return given / BIT, told / BIT


def compare(name: str, peer: Peer, problem: DiscreteProblem, betas: np.ndarray, curve) -> dict | None:
    start = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            points = peer(problem, betas)
    except ModuleNotFoundError as missing:
        print(f"  {name}: skipped, {missing.name} is not installed")
        return None
    seconds = time.perf_counter() - start
    points = points[np.all(np.isfinite(points), axis=1)]
    achieved, certified = curve.lower(points[:, 0] * BIT) / BIT, curve.upper(points[:, 0] * BIT) / BIT
    above, short = points[:, 1] - certified, achieved - points[:, 1]
    print(
        f"  {name}: {len(points)} points in {seconds:.1f} s; above the certified bound by at most {above.max():.1e} "
        f"bits, short of what we achieve by up to {short.max():.1e}; "
        f"{np.count_nonzero(short > 1e-3)} of them by over 1e-3",
        flush=True,
    )
    return {
        "peer": name,
        "points": len(points),
        "seconds": seconds,
        "above": float(above.max()),
        "short": float(short.max()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--accuracy", type=float, default=1e-4, help="of our curves, in bits")
    parser.add_argument("--dit-points", type=int, default=6, help="for dit, which is slow")
    options = parser.parse_args()
    problems = [
        (binary_symmetric(0.1), np.linspace(1.0, 6.0, 30)),
        (random_problem(6, 3, 0), np.linspace(1.0, 40.0, 30)),
        (random_problem(12, 3, 0), np.linspace(1.0, 40.0, 30)),
        (soft_twelve_bit_rule(0.2).merged(), np.linspace(1.0, 40.0, 30)),
    ]
    peers: list[tuple[str, Peer, int, int]] = [
        ("embo", by_embo, 100, 100),
        ("dit, Blahut-Arimoto", by_dit_blahut_arimoto, options.dit_points, 6),
        ("dit, optimiser", by_dit_optimiser, options.dit_points, 6),
    ]
    results = []
    for problem, betas in problems:
        start = time.perf_counter()
        curve = bottleneck_curve(problem, options.accuracy * BIT, progress=silent)
        seconds = time.perf_counter() - start
        print(f"{problem.name}, {problem.n_inputs} inputs: our curve, {len(curve.solutions)} points, {seconds:.1f} s,")
        print(f"  within {curve.gap / BIT:.1e} bits of its certified bound everywhere ({curve.stop})")
        for name, peer, points, largest in peers:
            if problem.n_inputs > largest:
                continue
            chosen = betas[np.unique(np.linspace(0, len(betas) - 1, min(points, len(betas))).astype(int))]
            if (found := compare(name, peer, problem, chosen, curve)) is not None:
                results.append({"problem": problem.name, "ours_s": seconds, **found})
    print(json.dumps(results))
    if any(result["above"] > 1e-9 for result in results):
        raise SystemExit("a peer lies above our certified bound: one of the two is wrong")


if __name__ == "__main__":
    main()
