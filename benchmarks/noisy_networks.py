"""Claim: in noisy tanh networks on the 12-bit rule the true I(X;T) falls after its peak, and clustering follows it.

Trains networks with noise 0.1 at every hidden layer and, from the same starts and batches, networks without noise.
For each hidden layer it prints the rise of I(X;T) to its peak and the fall after it with standard errors over the
networks (the peak of each is looked for in the others), the same for H(Bin(T)) of the same weights with noise off and
of the networks without noise, and rank correlations over training. X is uniform on all 4096 patterns. With `--data
digits` or `--data idx FILES` the same for digits or MNIST.

    python benchmarks/noisy_networks.py [--members 6] [--steps 8000] [--figure noisy.png] [--checkpoint FOLDER]
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

import ntkinfo as ni
from ntkinfo.core.records import Estimate
from ntkinfo.finite.noisy_neuron import NeuronTraining, train_neuron
from ntkinfo.finite.noisy_study import NoisyStudy, noisy_classes, noisy_twelve_bit
from ntkinfo.finite.trainer import TrainerSettings
from ntkinfo.report.noisy_figure import noisy_figure
from ntkinfo.report.style import save_figure

BIT = float(np.log(2))


def row(label: str, estimate: Estimate, scale: float = BIT) -> list[list[float]]:
    """Print one value a layer with twice its standard error."""
    pairs = np.stack([np.asarray(estimate.value), np.asarray(estimate.standard_error)], axis=1) / scale
    print(f"  {label:42s}" + "  ".join(f"{value:6.2f} ± {2 * error:4.2f}" for value, error in pairs))
    return pairs.tolist()


def study_of(options: argparse.Namespace) -> NoisyStudy:
    if options.data == "twelve_bit":
        return noisy_twelve_bit(options.members, steps=options.steps, checkpoint=options.checkpoint)
    settings = TrainerSettings(options.members, precision="float32", checkpoint=options.checkpoint)
    if options.data == "digits":
        data = ni.data.digits(n_train=512, n_test=128, seed=0)
    else:
        images, labels = options.files
        data = ni.data.idx(images, labels, n_train=1000, n_test=200, seed=0)
    return noisy_classes(data, settings=settings, steps=options.steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=6)
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--data", choices=("twelve_bit", "digits", "idx"), default="twelve_bit")
    parser.add_argument("--files", nargs=2, metavar=("IMAGES", "LABELS"))
    parser.add_argument("--figure")
    parser.add_argument("--checkpoint")
    options = parser.parse_args()
    began = time.perf_counter()
    study = study_of(options)
    plane = study.plane
    took = time.perf_counter() - began
    print(f"{options.members} networks of each kind, {plane.steps[-1]} steps, {took:.0f} s; bits ± 2 standard errors")
    peaks = study.information_fall.peak_step.tolist()
    print(f"  peak of I(X;T) at steps {peaks}, H(X) = {plane.ceiling / BIT:.2f} bits")
    result = {
        "information_rise": row("I(X;T): rise to the peak", study.information_fall.rise),
        "information_fall": row("I(X;T): fall after it", study.information_fall.fall),
        "clusters_fall": row("H(Bin(T)), same weights, noise off: fall", study.clusters_fall.fall),
        "quiet_fall": row("H(Bin(T)), trained without noise: fall", study.quiet_fall.fall),
        "clusters_follow": row("rank correlation with the first", study.clusters_follow, 1.0),
        "quiet_follow": row("rank correlation with the second", study.quiet_follow, 1.0),
    }
    bracket = 0.5 * np.mean(plane.input_bracket[1] - plane.input_bracket[0], axis=(0, 1)) / BIT
    print(f"  half width of the bracket, mean           {np.round(bracket, 3).tolist()} bits")
    noisy, quiet = study.run.error[-1].mean(), study.quiet_run.error[-1].mean()
    print(f"  share wrong at the end: with noise {noisy:.3f}, without {quiet:.3f}")
    if options.figure:
        neuron = train_neuron(
            NeuronTraining(np.unique(np.geomspace(1, 30_001, 40).astype(int)) - 1), TrainerSettings(members=3)
        )
        save_figure(noisy_figure(study, neuron), options.figure)
    print(json.dumps(result | {"half_bracket": bracket.tolist()}))


if __name__ == "__main__":
    main()
