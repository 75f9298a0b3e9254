"""Claim: the kernel of a relu network moves by 1/√w, that of a smooth one by 1/w, and the linearised twin follows.

One hidden layer without biases, 8 inputs in 4 dimensions, gradient descent, in plain numpy, so that widths of 10⁵ are
cheap: nothing of ntkinfo is used. Prints the root mean square change of the kernel and distance to the linearised twin
at widths four times apart, and the exponents between neighbours, which go to 1/2 (relu) and 1 (tanh).

    python benchmarks/kinked_widths.py [--widest 131072] [--members 400]
"""

from __future__ import annotations

import argparse
import json

import numpy as np

INPUTS, DIMENSIONS, STEPS, STEP = 8, 4, 40, 0.2


def activation(kind: str, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The value and the derivative."""
    return (np.maximum(z, 0), (z > 0).astype(float)) if kind == "relu" else (np.tanh(z), 1 - np.tanh(z) ** 2)


def train(kind: str, width: int, x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> tuple[float, float]:
    """One member: relative squared change of its kernel, mean squared distance to its twin, after the last step."""
    inner, outer = random.standard_normal((width, x.shape[1])), random.standard_normal(width)
    h, slope = activation(kind, inner @ x.T)
    start = kernel(h, slope, outer, x)
    twin = outer @ h / np.sqrt(width)
    for _ in range(STEPS):
        residual = outer @ h / np.sqrt(width) - y
        change = (outer[:, None] * slope * residual) @ x / np.sqrt(width)
        outer, inner = outer - STEP * h @ residual / np.sqrt(width), inner - STEP * change
        h, slope = activation(kind, inner @ x.T)
        twin = twin - STEP * start @ (twin - y)
    moved = kernel(h, slope, outer, x) - start
    return np.sum(moved**2) / np.sum(start**2), np.mean((outer @ h / np.sqrt(width) - twin) ** 2)


def kernel(h: np.ndarray, slope: np.ndarray, outer: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The tangent kernel of the network: outer plus inner weights."""
    gated = outer[:, None] * slope
    return (h.T @ h + (gated.T @ gated) * (x @ x.T)) / len(outer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--widest", type=int, default=131072)
    parser.add_argument("--members", type=int, default=400, help="of the narrow widths; fewer where they are wide")
    options = parser.parse_args()
    random = np.random.default_rng(0)
    x = random.standard_normal((INPUTS, DIMENSIONS))
    x /= np.linalg.norm(x, axis=1, keepdims=True)  # mean square 1 a dimension, over √d
    y = np.sign(random.standard_normal(INPUTS))
    widths = [width for width in (2 ** np.arange(5, 31, 2)).tolist() if width <= options.widest]
    summary: dict[str, list] = {}
    for kind in ("relu", "tanh"):
        before = None
        for width in widths:
            count = int(np.clip(options.members * 512 // width, 24, options.members))
            rows = [train(kind, width, x, y, np.random.default_rng([1, width, k])) for k in range(count)]
            root = np.sqrt(np.mean(rows, axis=0))
            error = np.std(rows, axis=0) / np.sqrt(count) / (2 * root**2)  # relative
            line = f"{kind} width {width:>6}, {count:>3} members: drift {root[0]:.3g}, twin {root[1]:.3g}"
            if before is not None:
                exponent, spread = np.log(before[0] / root) / np.log(4), np.hypot(before[1], error) / np.log(4)
                pairs = [f"{a:.3f} ± {e:.3f}" for a, e in zip(exponent, spread, strict=True)]
                line += f"; exponents {pairs[0]}, {pairs[1]}"
                summary.setdefault(kind, []).append([width, *exponent.tolist()])
            print(line, flush=True)
            before = root, error
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
