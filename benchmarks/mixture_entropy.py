"""Claim: the entropy of 5000 Gaussians of widths 1e-6 to 1 costs 100 times less than 64-node Gauss-Hermite.

One output. Side by side in one process, after a warm-up: the adaptive quadrature of ntkinfo, and plain Gauss-Hermite
with 64 nodes for every component, which evaluates all components at every node (64 m² densities, in blocks that fit a
cache, as fast as numpy allows). The adaptive value is checked on a subset of the same kind against mpmath at 30 digits,
integrated piece by piece with two orders of Gauss-Legendre whose difference is mpmath's own error. Plain Gauss-Hermite
is not only dear but wrong: a wide component sees the narrow ones inside it only where a node happens to fall.

    python benchmarks/mixture_entropy.py [--components 5000] [--subset 50] [--repeats 5] [--decades 6]

Processor time is printed beside wall time because the machine may be shared. Peak memory is what Python and numpy
allocate during one more run. The cost in the number of components is the slope of processor time on log axes.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
import tracemalloc

import mpmath
import numpy as np

from ntkinfo.information.mixture_quadrature import entropy_quadrature

BLOCK = 1 << 16  # pairs: 512 kB of doubles
REACHES = (0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6, 6.5, 7, 7.5, 8, 9, 10, 11, 12)
FAR = 14  # deviations; what lies beyond weighs less than 1e-42


def problem(m: int, decades: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Standard normal centres; standard deviations spread evenly in logarithm over the decades up to 1."""
    random = np.random.default_rng(seed)
    return random.normal(size=m), 10 ** random.uniform(-decades, 0, size=m)


def gauss_hermite(mean: np.ndarray, std: np.ndarray, nodes: int = 64) -> float:
    """-E log p with 64 nodes for the expectation over each component, all components at each node."""
    place, weight = np.polynomial.hermite_e.hermegauss(nodes)
    weight = weight / weight.sum()
    z = (mean[:, None] + std[:, None] * place[None, :]).reshape(-1)
    weights = np.tile(weight, len(mean)) / len(mean)
    # exp(-(z - mean)² / 2 std²) with one multiplication less: scale positions beforehand.
    inverse = np.sqrt(0.5) / std
    shift, height = mean * inverse, 1 / (len(mean) * std * np.sqrt(2 * np.pi))
    rows = max(1, BLOCK // len(mean))
    entropy, work = 0.0, np.empty((rows, len(mean)))
    for start in range(0, len(z), rows):
        part = z[start : start + rows]
        density = work[: len(part)]
        np.multiply(part[:, None], inverse[None, :], out=density)
        density -= shift
        np.multiply(density, density, out=density)
        np.negative(density, out=density)
        np.exp(density, out=density)
        entropy -= float(weights[start : start + rows] @ np.log(density @ height))
    return entropy


def by_mpmath(mean: np.ndarray, std: np.ndarray) -> tuple[float, float]:
    """Entropy at 30 digits and the difference between the two orders."""
    with mpmath.workdps(30):
        centres, widths = [mpmath.mpf(float(m)) for m in mean], [mpmath.mpf(float(s)) for s in std]
        points = sorted(
            {m + sign * r * s for m, s in zip(centres, widths, strict=True) for r in REACHES for sign in (-1, 1)}
        )
        values = [mpmath.fsum(_pieces(points, centres, widths, order)) for order in (12, 18)]
        return float(values[1]), float(abs(values[1] - values[0]))


def _pieces(points, centres, widths, order):
    """Integral of -p log p over each piece, with the components that are not far away."""
    nodes = list(_legendre(order))
    heights = [1 / (len(centres) * s * mpmath.sqrt(2 * mpmath.pi)) for s in widths]
    for left, right in itertools.pairwise(points):
        middle, half = (left + right) / 2, (right - left) / 2
        near = [(m, s, h) for m, s, h in zip(centres, widths, heights, strict=True) if abs(m - middle) - half < FAR * s]
        total = mpmath.mpf(0)
        for x, w in nodes:
            z = middle + half * x
            p = mpmath.fsum(h * mpmath.exp(-(((z - m) / s) ** 2) / 2) for m, s, h in near)
            if p > 0:
                total -= w * p * mpmath.log(p)
        yield half * total


def _legendre(order: int):
    """Gauss-Legendre nodes and weights to the working precision: Newton from the double-precision roots."""
    for start in np.polynomial.legendre.leggauss(order)[0]:
        x = mpmath.findroot(lambda t: mpmath.legendre(order, t), mpmath.mpf(float(start)))
        slope = order * (x * mpmath.legendre(order, x) - mpmath.legendre(order - 1, x)) / (x * x - 1)
        yield x, 2 / ((1 - x * x) * slope**2)


def timed(function) -> tuple[float, float, float]:
    """Result, wall seconds, processor seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    value = function()
    return value, time.perf_counter() - wall, time.process_time() - processor


def peak(function) -> float:
    """Bytes that the call allocates at most."""
    tracemalloc.start()
    function()
    bytes_ = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return bytes_


def slope(decades: float) -> float:
    """Growth of the processor time with the number of components, on log axes."""
    sizes = (2000, 4000, 8000, 16000, 32000)
    seconds = [min(_seconds_of(*problem(m, decades)) for _ in range(3)) for m in sizes]
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def _seconds_of(mean: np.ndarray, std: np.ndarray) -> float:
    return timed(lambda: entropy_quadrature(mean, std**2))[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for flag, default in (("--components", 5000), ("--subset", 50), ("--repeats", 5)):
        parser.add_argument(flag, type=int, default=default)
    parser.add_argument("--decades", type=float, default=6.0)
    options = parser.parse_args()
    mean, std = problem(options.components, options.decades)

    subset = problem(options.subset, options.decades, seed=1)
    exact, doubt = by_mpmath(*subset)
    checked = entropy_quadrature(subset[0], subset[1] ** 2, tolerance=1e-10)
    relative = abs(float(checked.value) - exact) / abs(exact)
    print(f"{options.subset} components, widths 1e-{options.decades:g} to 1: mpmath {exact:.15g} (to {doubt:.1g}),")
    print(f"  ours off by {relative:.1g} of it, stated error {float(checked.standard_error):.1g} nats")
    crude = abs(gauss_hermite(*subset) - exact)
    print(f"  64-node Gauss-Hermite off by {crude:.2g} nats, {crude / abs(exact):.2g} of it")

    gauss_hermite(mean[:200], std[:200])
    runs = [timed(lambda: entropy_quadrature(mean, std**2)) for _ in range(options.repeats + 1)][1:]
    ours = runs[0][0]
    wall, processor = (statistics.median(run[k] for run in runs) for k in (1, 2))
    peer, peer_wall, peer_processor = timed(lambda: gauss_hermite(mean, std))
    memory = peak(lambda: entropy_quadrature(mean, std**2))
    peer_memory = peak(lambda: gauss_hermite(mean, std, 2))
    print(f"{options.components} components: {float(ours.value):.12g} nats, error {float(ours.standard_error):.1g}")
    print(f"  ours {wall:.3f} s (processor {processor:.3f} s), peak {memory / 1e6:.1f} MB, {options.repeats} runs")
    print(
        f"  64-node Gauss-Hermite {peer_wall:.1f} s (processor {peer_processor:.1f} s), peak {peer_memory / 1e6:.1f} MB"
    )
    print(f"  {peer_wall / wall:.0f} times ours; off by {abs(peer - float(ours.value)):.2g} nats")
    growth = slope(options.decades)
    print(f"  cost grows as the number of components to the power {growth:.2f}")
    result = {
        "relative_error": relative,
        "mpmath_error": doubt,
        "ours_s": wall,
        "ours_processor_s": processor,
        "gauss_hermite_s": peer_wall,
        "gauss_hermite_processor_s": peer_processor,
        "gauss_hermite_over_ours": peer_wall / wall,
        "gauss_hermite_error": abs(peer - float(ours.value)),
        "peak_bytes": memory,
        "gauss_hermite_peak_bytes": peer_memory,
        "power_of_components": growth,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
