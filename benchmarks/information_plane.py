"""Claim: over at least 20 seeds tanh layers compress under binning and relu layers do not; five findings measured.

The 12-bit rule, layers 12-10-7-5-4-3-2, one study for each way of training: tanh with minibatches (the main one), tanh
with Adam, relu, linear, tanh with full batches for as long in the gradient flow's time (learning rate times steps), and
tanh networks with fewer hidden layers. Every number is an average over seeds with a 95% interval over them. What
binning follows is how activations cluster: for these networks without noise, distinct inputs keep distinct activations.

    python benchmarks/information_plane.py [--seeds 20] [--epochs 1000] [--folder FOLDER] [--figure FILE] [--only NAME]

With a folder every training is restartable: the same command goes on where it was killed. Training runs on all cores;
the processor time that each study took is printed beside the wall time because the machine may be shared.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from ntkinfo.bottleneck.discrete_curve import bottleneck_curve
from ntkinfo.bottleneck.problems import soft_twelve_bit_rule
from ntkinfo.core.progress import bar
from ntkinfo.data.icosahedral_rule import twelve_bit_rule
from ntkinfo.finite.gradient_phases import GradientSettings
from ntkinfo.finite.layered import LayeredNetwork
from ntkinfo.finite.plane import PlaneSettings, PlaneStudy, information_plane, twelve_bit_plane, with_depth
from ntkinfo.finite.plane_compression import BIT, compression, compression_contrast
from ntkinfo.finite.plane_findings import findings, layers_against_bound, place_layers

BATCH, RATE, ADAM_RATE = 256, 0.05, 4e-4
SHARPNESS = 0.5


def studies(seeds: int, epochs: int) -> dict[str, PlaneSettings]:
    """Settings of every study by name."""
    tanh = LayeredNetwork()
    main = PlaneSettings(
        network=tanh,
        learning_rate=RATE,
        batch_size=BATCH,
        epochs=epochs,
        seeds=seeds,
        gradients=GradientSettings(BATCH, 16),
    )
    trained = len(twelve_bit_plane().trained)
    plain = replace(main, gradients=None)
    found = {"tanh": main, "tanh, Adam": replace(main, optimiser="adam", learning_rate=ADAM_RATE)}
    for name in ("relu", "linear"):
        network = replace(tanh, activation=name)
        found[name] = replace(plain, network=network, optimiser="adam", learning_rate=ADAM_RATE)
    found["tanh, full batch"] = replace(plain, batch_size=None, learning_rate=RATE * trained / BATCH)
    for hidden in range(1, tanh.n_layers - 1):
        found[f"{hidden} hidden"] = replace(plain, network=with_depth(tanh, hidden))
    return found


def run(name: str, settings: PlaneSettings, folder: Path | None) -> PlaneStudy:
    place = None if folder is None else folder / name.replace(", ", "-").replace(" ", "-")
    clock, processor = time.perf_counter(), time.process_time()
    study = information_plane(settings, checkpoint=place, progress=bar)
    wall, used = time.perf_counter() - clock, time.process_time() - processor
    drops = compression(study)
    print(f"{name}: {wall:.0f} s (processor {used:.0f} s), {'; '.join(study.notes)}")
    print("  error on training and other patterns " + ", ".join(f"{e:.4f}" for e in study.errors[:, -1].mean(axis=1)))
    for layer in range(study.n_layers):
        value, low, high = (
            float(np.asarray(end)[layer]) / BIT for end in (drops.drop.value, drops.drop.low, drops.drop.high)
        )
        start, peak, end = (study.information_input[k, :, layer].mean() / BIT for k in _places(study, layer))
        print(
            f"  layer {layer + 1}: I(X;T) {start:.2f}, {peak:.2f} at epoch {drops.peak_epochs[layer]}, {end:.2f} bits; "
            f"falls by {value:.3f} [{low:.3f}, {high:.3f}]; I(T;Y) ends at "
            f"{study.information_target[-1, :, layer].mean() / BIT:.3f} bits"
        )
    return study


def _places(study: PlaneStudy, layer: int) -> tuple[int, int, int]:
    return 0, int(np.argmax(study.information_input[:, :, layer].mean(axis=1))), -1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=1000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--only", action="append", help="names of studies, to try some of them")
    options = parser.parse_args()

    rule = twelve_bit_rule()
    classes = len(np.unique(rule.classes, axis=0))
    print(f"12-bit rule: I(X;Y) = {rule.mutual_information / BIT:.6f} bits, {classes} classes")
    clock = time.perf_counter()
    chosen = studies(options.seeds, options.epochs)
    if options.only:
        chosen = {name: settings for name, settings in chosen.items() if name in options.only}
    done = {name: run(name, settings, options.folder) for name, settings in chosen.items()}
    result: dict[str, object] = {"mutual_information_bits": rule.mutual_information / BIT, "classes": classes}
    if not options.only:
        result |= conclude(done, options.figure)
    result["wall_s"] = time.perf_counter() - clock
    print(json.dumps(result))


def conclude(done: dict[str, PlaneStudy], figure: Path | None) -> dict[str, object]:
    """Contrast with the controls, the five findings, the figure."""
    contrasts = {}
    for name in ("relu", "linear"):
        found = compression_contrast(done["tanh, Adam"], done[name])
        ends = np.array([found.value, found.low, found.high])[:, :-1] / BIT
        contrasts[f"tanh_less_{name}_bits"] = ends.T.round(4).tolist()
        text = ", ".join(f"{value:.2f} [{low:.2f}, {high:.2f}]" for value, low, high in ends.T)
        print(f"tanh falls by more than {name}, hidden layers 1 to {ends.shape[1]}, both Adam: {text} bits")
    main_study = done["tanh"]
    depths = {int(name.split()[0]): study for name, study in done.items() if name.endswith("hidden")}
    depths[main_study.n_layers - 1] = main_study
    found = findings(main_study, done["tanh, full batch"], depths)
    for claim, outcome, statement in found.rows:
        print(f"{claim}: {outcome}; {statement}")
    contrasts |= soft_labels(main_study)
    if figure is not None:
        from ntkinfo.report.layers_figure import layers_figure
        from ntkinfo.report.style import save_figure

        save_figure(layers_figure(main_study, found), figure)
    return contrasts | {claim: outcome for claim, outcome, _ in found.rows}


def soft_labels(study: PlaneStudy) -> dict[str, object]:
    """Layers against the certified curve of labels softened by class, where that is rich; every layer placed."""
    curve = bottleneck_curve(soft_twelve_bit_rule(SHARPNESS), 1e-3)
    total = curve.problem.mutual_information
    print(f"labels softened by class, I(X;Y) = {total / BIT:.4f} bits, curve certified to {curve.gap / BIT:.1e} bits")
    found = layers_against_bound(study, curve)
    print(f"  {found.outcome}; {found.statement}")
    for name, time_index in (("before training", 0), ("after", -1)):
        at = place_layers(study, curve, time_index)
        for layer in range(study.n_layers):
            parts = (
                at.information_input / BIT,
                at.information_target / BIT,
                at.gap / BIT,
                at.beta,
                at.encoder_residual,
            )
            given, told, gap, beta, residual = (float(np.median(part[:, layer])) for part in parts)
            print(
                f"  layer {layer + 1} {name}: I(T;class) {given:.3f}, I(T;Y) {told:.3f}, {gap:.3f} bits below the "
                f"curve, β of best fit {beta:.3g}, residual {residual:.2g} nats"
            )
    return {"soft_labels_gap_bits": (np.asarray(found.gap.value) / BIT).round(4).tolist()}


if __name__ == "__main__":
    main()
