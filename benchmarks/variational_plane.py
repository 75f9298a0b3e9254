"""Claim: on digits the three variational forms trace one plane, every bound on its own side of the exact value.

Variational bottleneck, conditional entropy bottleneck and variational dual bottleneck, trained by one program on the
same inputs from the same initial weights at several trade-offs, side by side. For the law of the split's inputs the
informations I(X;Z) and I(Z;Y) are computed by Monte Carlo beside their bounds; violations are counted in units of the
standard error. The conditional form's gamma is the bottleneck's beta - 1; the dual's beta weighs another error and is
not comparable by its value, only by the place in the plane that it leads to.

    python benchmarks/variational_plane.py [--steps 1500] [--betas 2 5 20 100] [--figure plane.png]
        [--image-file FILE --label-file FILE --n-train 5000]

Without files: 1024 training and 512 test digits. Prints wall and processor seconds of each form, and peak memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path

import numpy as np
import xarray as xr

import ntkinfo as ni
from ntkinfo.bottleneck.label_noise import estimate_label_noise
from ntkinfo.bottleneck.variational import VariationalSettings, class_targets, train_variational
from ntkinfo.bottleneck.variational_objectives import (
    Annealed,
    conditional_entropy_bottleneck,
    variational_bottleneck,
    variational_dual_bottleneck,
)
from ntkinfo.core.progress import silent

# Each upper bound with what it bounds.
ORDERS = (
    ("information_input_upper", "information_input"),
    ("information_input_multisample_upper", "information_input"),
    ("information_target", "information_target_lower"),
    ("information_input", "information_target"),
)
COLUMNS = {
    "information_input": "I(X;Z)",
    "information_input_upper": "rate",
    "information_target": "I(Z;Y)",
    "information_target_lower": "H+E log q",
    "error": "error",
    "negative_log_likelihood": "NLL",
    "calibration_error": "ECE",
}


def objectives(beta: float, steps: int) -> list:
    """The three forms, their weights annealed over the first half of training from a tenth of their end."""

    def annealed(weight: float) -> Annealed:
        return Annealed(0.1 * weight, weight, steps // 2, shape="geometric")

    return [
        variational_bottleneck(annealed(beta)),
        conditional_entropy_bottleneck(annealed(beta - 1)),
        variational_dual_bottleneck(annealed(beta)),
    ]


def worst(last: xr.Dataset) -> float:
    """By how many standard errors a bound is on the wrong side, at most; negative where none is."""
    scores = []
    for upper, lower in ORDERS:
        error = np.hypot(last[f"{upper}_standard_error"], last[f"{lower}_standard_error"])
        scores.append(float(((last[lower] - last[upper]) / np.maximum(error, 1e-12)).max()))
    return max(scores)


def load(options: argparse.Namespace):
    if options.image_file is None:
        return ni.data.digits(n_train=1024, n_test=512, seed=0)
    return ni.data.idx(options.image_file, options.label_file, n_train=options.n_train, n_test=1000, seed=0)


def draw(results: list[tuple[str, float, xr.Dataset]], place: Path) -> None:
    """The plane of the test inputs with the bounds, and the errors."""
    from ntkinfo.report.style import save_figure
    from ntkinfo.report.variational_figure import variational_figure

    runs = {name: [last for other, _, last in results if other == name] for name, _, _ in results}
    save_figure(variational_figure(runs), place)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--betas", type=float, nargs="+", default=[2.0, 5.0, 20.0, 100.0])
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--image-file")
    parser.add_argument("--label-file")
    parser.add_argument("--n-train", type=int, default=5000)
    options = parser.parse_args()
    data = load(options)
    noise = estimate_label_noise(data.x_train, data.labels_train, len(data.class_names))
    train, test = class_targets(data, noise)
    settings = VariationalSettings(steps=options.steps, records=[0, options.steps], precision="float32")

    results, scores, seconds = [], [], {}
    print(f"{'':32s}{'beta':>6s}" + "".join(f"{title:>11s}" for title in COLUMNS.values()) + "   test inputs")
    for beta in options.betas:
        for objective in objectives(beta, options.steps):
            wall, processor = time.perf_counter(), time.process_time()
            run = train_variational(objective, train, test, settings=settings, progress=silent)
            last = run.curves.isel(step=[-1])
            spent = np.array([time.perf_counter() - wall, time.process_time() - processor])
            seconds[objective.name] = seconds.get(objective.name, 0) + spent
            results.append((objective.name, beta, last))
            scores.append(worst(last))
            row = last.isel(step=0).sel(split="test")
            print(
                f"{objective.name:32s}{beta:6g}" + "".join(f"{float(row[name]):11.4f}" for name in COLUMNS), flush=True
            )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for name, (wall, processor) in seconds.items():
        print(f"{name}: {wall:.1f} s, processor {processor:.1f} s for {len(options.betas)} trade-offs")
    print(f"bounds on the wrong side by at most {max(scores):.2f} standard errors; peak memory {peak:.0f} MB")
    if options.figure:
        draw(results, options.figure)
    rows = [
        {"form": name, "beta": beta, **{key: float(last[key].isel(step=0).sel(split="test")) for key in COLUMNS}}
        for name, beta, last in results
    ]
    print(json.dumps({"rows": rows, "worst_standard_errors": max(scores), "peak_mb": peak}))


if __name__ == "__main__":
    main()
