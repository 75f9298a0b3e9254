"""Claim: at equal accuracy sample propagation here costs 10 times less than the plain estimator of the literature.

The truth is known by other means: in a linear network with orthogonal layers T of the second layer is one Gaussian
channel of variance β² (1 + w²), whose I(X;T) is that of the first-layer problem, by quadrature for one unit and by
100 times more draws for several. The plain estimator is the published one in numpy: ĥ(T) over all n·n_x centres less
the mean of ĥ(T|x), Monte Carlo with n_MC draws from every centre, own noise for every entropy. Both estimators get the
same passes. Its number of passes and draws is doubled until its root mean square error over ten repetitions is that of
ours, or until one run takes a minute; the ratio of the times at the last step is then a lower bound where it is not.

    python benchmarks/sample_propagation.py [--inputs 256] [--units 1 3] [--repeats 10]

Processor time is printed beside wall time because the machine may be shared.
"""

from __future__ import annotations

import argparse
import json
import time
import tracemalloc
from collections.abc import Callable

import numpy as np

from ntkinfo.finite.sample_propagation import PropagationSettings, first_layer_information, sample_propagation
from ntkinfo.information.mixture_sampling import DrawUntil
from ntkinfo.information.output import information_input

NOISE, SCALE = 0.3, 1.5
MOST_SECONDS = 60.0


def problem(inputs: int, units: int) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Activations of the first layer, the orthogonal second layer, the truth and its error."""
    random = np.random.default_rng(units)
    start = np.tanh(random.normal(size=(inputs, units)))
    turn = SCALE * np.linalg.qr(random.normal(size=(units, units)))[0]
    std = NOISE * np.sqrt(1 + SCALE**2)
    if units == 1:
        value = first_layer_information(start @ turn, std).information_input
    else:
        value = information_input(start @ turn, np.full(inputs, std**2), samples=DrawUntil(1e-3)).value
    return start, turn, float(value.value), float(value.standard_error)


def passes(start: np.ndarray, turn: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    noise = random.standard_normal((len(start), count, start.shape[1]))
    return (start[:, None] + NOISE * noise) @ turn


def plain_entropy(centres: np.ndarray, draws: int, random: np.random.Generator) -> float:
    """-E log q over draws from every centre, in blocks."""
    m, units = centres.shape
    points = np.repeat(centres, draws, axis=0) + NOISE * random.standard_normal((m * draws, units))
    total, rows = 0.0, max(1, (1 << 20) // m)
    for begin in range(0, len(points), rows):
        part = points[begin : begin + rows]
        squared = np.sum(part**2, axis=1)[:, None] + np.sum(centres**2, axis=1)[None, :] - 2 * part @ centres.T
        exponents = -0.5 * squared / NOISE**2
        top = exponents.max(axis=1)
        total -= np.sum(top + np.log(np.mean(np.exp(exponents - top[:, None]), axis=1)))
    return total / len(points)


def plain(start: np.ndarray, turn: np.ndarray, count: int, draws: int, seed: int) -> float:
    random = np.random.default_rng(seed)
    centres = passes(start, turn, count, random)
    whole = plain_entropy(centres.reshape(-1, centres.shape[2]), draws, random)
    return whole - float(np.mean([plain_entropy(own, draws, random) for own in centres]))


def ours(start: np.ndarray, turn: np.ndarray, seed: int) -> tuple[float, float]:
    settings = PropagationSettings(passes=64, shared_passes=8, draws=2, seed=seed)
    drawn = passes(start, turn, 66, np.random.default_rng(seed))
    found = sample_propagation(drawn[:, :64], drawn[:, 64:], NOISE, None, settings).information_input
    return float(found.value), float(found.standard_error)


def measured(call: Callable[[int], float], truth: float, repeats: int) -> tuple[float, float, float]:
    """Root mean square error over the repetitions, wall and processor seconds of one."""
    wall, processor = time.perf_counter(), time.process_time()
    errors = [call(seed) - truth for seed in range(repeats)]
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return float(np.sqrt(np.mean(np.square(errors)))), wall / repeats, processor / repeats


def peak(call: Callable[[], object]) -> float:
    tracemalloc.start()
    call()
    size = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return float(size)


def compare(inputs: int, units: int, repeats: int) -> dict[str, float]:
    start, turn, truth, doubt = problem(inputs, units)
    ours(start, turn, 0)
    error, wall, processor = measured(lambda seed: ours(start, turn, seed)[0], truth, repeats)
    stated = float(np.sqrt(np.mean([ours(start, turn, seed)[1] ** 2 for seed in range(repeats)])))
    print(f"{inputs} inputs, {units} unit(s): truth {truth:.4f} nats (to {doubt:.1g}), at most {np.log(inputs):.4f}")
    print(f"  ours: error {error:.4f}, stated {stated:.4f}; {wall:.3f} s (processor {processor:.3f} s)")
    result = {"units": units, "truth": truth, "ours_error": error, "ours_stated": stated, "ours_s": wall}
    count = 4
    while True:
        plain_error, plain_wall, plain_processor = measured(
            lambda seed, count=count: plain(start, turn, count, 1, seed), truth, repeats
        )
        print(
            f"  plain, {count} passes: error {plain_error:.4f}; {plain_wall:.3f} s (processor {plain_processor:.3f} s)"
        )
        if plain_error <= error or plain_wall * 4 > MOST_SECONDS / repeats:
            break
        count *= 2
    reached = plain_error <= error
    # Work of the plain estimator grows as the square of the passes, its error falls as one over them.
    at_equal = plain_wall if reached else plain_wall * (plain_error / error) ** 2
    print(
        f"  {plain_wall / wall:.1f} times ours {'at equal error' if reached else 'and not yet as accurate'}; ", end=""
    )
    print(f"at equal error {at_equal / wall:.0f} times{'' if reached else ', extrapolated'}")
    memory = peak(lambda: ours(start, turn, 0)), peak(lambda: plain(start, turn, min(count, 16), 1, 0))
    print(f"  peak memory {memory[0] / 1e6:.0f} MB against {memory[1] / 1e6:.0f} MB (16 passes)")
    result |= {"plain_error": plain_error, "plain_s": plain_wall, "plain_passes": count, "reached": float(reached)}
    return result | {"ratio_at_equal_error": at_equal / wall, "ours_bytes": memory[0], "plain_bytes": memory[1]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=256)
    parser.add_argument("--units", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--repeats", type=int, default=10)
    options = parser.parse_args()
    print(json.dumps([compare(options.inputs, units, options.repeats) for units in options.units]))


if __name__ == "__main__":
    main()
