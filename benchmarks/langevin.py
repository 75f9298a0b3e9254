"""Claim: the Langevin law of infinite width predicts drift, diffusion, their crossing and I(Z;X) of wide networks.

Networks of finite width are trained with noise injected at every step, and looked at with their weights held fixed.
Each line compares members with the closed form: differences in standard errors over the members, or relative ones where
the width decides (diffusion is the trace of the tangent kernel, which scatters with the width whatever the number of
members). The crossing is where the signal-to-noise ratio of a member falls below 1. A second run at a hundred times the
temperature shows where the law ends: parameters diffuse by 2τt whatever the width, and the kernel with them.

    python benchmarks/langevin.py [--width 1024] [--members 128] [--depth 1] [--temperature 1e-4] [--checkpoint FOLDER]
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

import ntkinfo as ni
from ntkinfo.finite.langevin_comparison import LangevinComparison, compare_langevin
from ntkinfo.finite.langevin_members import LangevinSettings, train_langevin
from ntkinfo.training.output_distribution import OutputDistribution

QUANTITIES = ("drift", "sampled_drift", "variance", "information", "ratio")
WIDTH_BOUND = ("diffusion", "sampled_diffusion")
LAST, RECORDS, STABLE = 400, 14, 0.3


def problem(depth: int, temperature: float) -> tuple[ni.FullyConnected, OutputDistribution]:
    """Eight training inputs in four dimensions, a smooth target, gradient descent with a step of 0.3/λ."""
    random = np.random.default_rng(0)
    inputs = random.normal(size=(12, 4))
    targets = np.sin(2 * inputs[:, :1]) + 0.3 * inputs[:, 1:2]
    data = ni.Dataset(x_train=inputs[:8], y_train=targets[:8], x_test=inputs[8:], y_test=targets[8:])
    network = ni.FullyConnected(depth=depth, activation="erf", w_std=1.5, b_std=0.1)
    blocks = ni.kernel_blocks(network, data)
    step = STABLE / float(np.linalg.eigvalsh(np.asarray(blocks.train.ntk))[-1])
    steps = np.unique(np.concatenate([[0], np.round(np.geomspace(1, LAST, RECORDS))]))
    procedure = ni.GradientDescent(step_size=step, temperature=temperature)
    return network, ni.output_distribution(blocks, data, procedure, step * steps * (1 + 1e-12))


def show(found: LangevinComparison, law: OutputDistribution) -> dict[str, float]:
    """Print the course of everything and return the largest deviations."""
    phases = found.phases
    print("      time   ratio: law  members   I(Z;X) law  members   2τt")
    for k, at in enumerate(law.times):
        print(
            f"  {at:8.3g}   {phases.ratio_member[k]:10.4f} {np.sqrt(found.ratio.members[k]):8.4f}   "
            f"{found.information.law[k]:10.4f} {found.information.members[k]:8.4f}   {phases.parameter_growth[k]:.1e}"
        )
    result = {name: float(np.max(np.abs(getattr(found, name).deviations))) for name in QUANTITIES}
    result["mean"] = float(np.max(np.abs(found.mean_deviations)))
    for name, value in result.items():
        print(f"  {name}: largest deviation {value:.2f} standard errors over {len(law.times)} times")
    for name in WIDTH_BOUND:
        result[f"{name}_relative"] = float(np.max(np.abs(getattr(found, name).relative)))
        print(f"  {name}: largest relative difference {result[f'{name}_relative']:.3f}")
    law_time, ours = phases.transition_member.time, found.transition
    print(
        f"  crossing at {law_time:.4g} by the law, {ours.time:.4g} [{ours.earliest:.4g}, {ours.latest:.4g}] of members"
    )
    return result | {"crossing_law": law_time, "crossing_members": ours.time}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--members", type=int, default=128)
    parser.add_argument("--depth", type=int, default=1)
    parser.add_argument("--temperature", type=float, default=1e-4)
    parser.add_argument("--checkpoint")
    options = parser.parse_args()
    results = {}
    for factor in (1.0, 100.0):
        network, law = problem(options.depth, factor * options.temperature)
        place = None if options.checkpoint is None else f"{options.checkpoint}-{factor:g}"
        settings = LangevinSettings(options.width, options.members, 16, checkpoint=place)
        clock = time.perf_counter()
        members = train_langevin(network, law, settings)
        found = compare_langevin(members, law)
        took = time.perf_counter() - clock
        name = f"temperature {factor * options.temperature:g}"
        print(f"{name}, width {options.width}, {options.members} members: {took:.0f} s")
        results[name] = show(found, law)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
