"""Entries of the kernels once more: pair by pair, layer by layer, in many digits or by quadrature in polar coordinates.

The first route evaluates closed forms and series for whole tiles in float64. Here the two Gaussian averages of a layer,
E[φ(u)φ(v)] and E[φ'(u)φ'(v)], come from formulas in 40 digits where φ has them, and from quadrature over the angle and
the length of the two standard normal numbers behind u and v where it has not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import ndtr

from ntkinfo.core.arrays import float64, to_numpy
from ntkinfo.information.second_propagator import NotCheckedError
from ntkinfo.kernels.activations import LeakyRelu, NumericalActivation, Tanh, resolve_activation
from ntkinfo.kernels.architectures import FullyConnected
from ntkinfo.training.output_distribution import OutputDistribution

PAIRS = 6  # of each sort: drawn by chance, and nearest to each other
ROUNDING = 1e-12  # of a kernel in float64, relative to the two inputs' own values
DIGITS = 40
_LONGEST = 9.5  # of a pair of standard normal numbers; exp(-45) lies beyond
_NODES = 12
_HALVINGS = 10  # of an angle towards the lines u = 0 and v = 0, where steep activations change
_PIECES = 8  # of the length

# Variances of u and v, their covariance; gives E[φ(u)φ(v)] and E[φ'(u)φ'(v)].
Dual = Callable[[Decimal, Decimal, Decimal], tuple[Decimal, Decimal]]


@dataclass(frozen=True)
class Entry:
    """One entry of both kernels.

    Args:
        where: block, row and column.
        nngp: of the blocks, and by the second route.
        ntk: likewise.
        size: geometric mean of the two inputs' own values, of both kernels.
        error: of the difference, relative to `size`.
        route: by which they were computed again.
    """

    where: str
    nngp: tuple[float, float]
    ntk: tuple[float, float]
    size: tuple[float, float]
    error: float
    route: str


def entries(law: OutputDistribution, random: np.random.Generator) -> Iterator[Entry]:
    """A few entries of each block: drawn by chance, of the nearest pairs, and of the diagonals.

    Raises:
        NotCheckedError: the blocks were given as arrays, or the network is not one of ours that is fully connected.
    """
    network = getattr(law.blocks.source, "network", None)
    if network is None:
        raise NotCheckedError("the kernels were given as arrays")
    if not isinstance(network, FullyConnected):
        raise NotCheckedError("kernels of this network have no second route")
    dual, error = dual_of(network)
    rows = {"train": network.prepare(law.data.x_train), "test": network.prepare(law.data.x_test)}
    stated = ROUNDING * (network.depth + 1) + error + law.blocks.kernel_error
    route = "recursion in 40 digits" if error == 0 else "recursion, quadrature in polar coordinates"
    blocks = {"train": law.blocks.train, "test": law.blocks.test}
    for split, inputs in rows.items():
        for i, j, on_diagonal in _pairs(inputs, rows["train"], split == "train", random):
            other = inputs[i] if on_diagonal else rows["train"][j]
            (nngp, ntk), size = kernels(network, inputs[i], other, dual)
            given = _given(blocks[split], i, j, on_diagonal and split == "test")
            where = f"{split} input {i}, {'itself' if on_diagonal else f'train input {j}'}"
            yield Entry(where, (given[0], nngp), (given[1], ntk), size, stated, route)


def _given(block: Any, i: int, j: int, diagonal: bool) -> tuple[float, float]:
    if diagonal:
        return float(to_numpy(block.nngp_diagonal)[i]), float(to_numpy(block.ntk_diagonal)[i])
    return float(to_numpy(block.nngp)[i, j]), float(to_numpy(block.ntk)[i, j])


def _pairs(
    inputs: np.ndarray, others: np.ndarray, square: bool, random: np.random.Generator
) -> Iterator[tuple[int, int, bool]]:
    """Row, column, and whether the row is taken with itself."""
    chosen = random.integers(len(inputs), size=PAIRS)
    for i in chosen[: PAIRS // 2]:
        yield int(i), int(i), True
    for i in chosen:
        j = int(random.integers(len(others)))
        yield int(i), j, square and int(i) == j
    norms = np.maximum(np.linalg.norm(others, axis=1), 1e-300)
    for i in chosen[: PAIRS // 2]:
        near = (others / norms[:, None]) @ inputs[i]
        if square:
            near[i] = -np.inf
        if len(near) > square:
            yield int(i), int(np.argmax(near)), False


def kernels(
    network: FullyConnected, x: np.ndarray, other: np.ndarray, dual: Dual
) -> tuple[tuple[float, float], tuple[float, float]]:
    """NNGP and NTK of two inputs, and the geometric means of their own values, by recursion over the layers.

    Args:
        network: fully connected.
        x: one input, flat.
        other: another, or the same.
        dual: averages of the network's activation.
    """
    with localcontext() as context:
        context.prec = DIGITS
        weight, bias = Decimal(float(network.w_std)) ** 2, Decimal(float(network.b_std)) ** 2
        dots = [_dot(a, b) / len(x) for a, b in ((x, x), (other, other), (x, other))]
        nngp = [weight * dot + bias for dot in dots]
        ntk = list(nngp)
        for _ in range(network.depth):
            pairs = ((nngp[0], nngp[0], nngp[0]), (nngp[1], nngp[1], nngp[1]), (nngp[0], nngp[1], nngp[2]))
            averages = [dual(*pair) for pair in pairs]
            nngp = [weight * average + bias for average, _ in averages]
            ntk = [k + weight * t * slope for k, t, (_, slope) in zip(nngp, ntk, averages, strict=True)]
        sizes = float((nngp[0] * nngp[1]).sqrt()), float((ntk[0] * ntk[1]).sqrt())
        return (float(nngp[2]), float(ntk[2])), sizes


def _dot(first: np.ndarray, second: np.ndarray) -> Decimal:
    return sum((Decimal(float(a)) * Decimal(float(b)) for a, b in zip(first, second, strict=True)), Decimal(0))


def dual_of(network: FullyConnected) -> tuple[Dual, float]:
    """Averages of the network's activation, and their error relative to the inputs' own values.

    Raises:
        NotCheckedError: an activation without a second route.
    """
    activation = resolve_activation(network.activation)
    if isinstance(activation, LeakyRelu):
        return _piecewise_linear(activation.slope), 0.0
    name = str(activation.canonical()["activation"])
    if name in _IN_DIGITS:
        return _IN_DIGITS[name], 0.0
    if name == "gelu":
        return by_quadrature(_gelu, _gelu_slope), _QUADRATURE
    if isinstance(activation, Tanh):
        return by_quadrature(np.tanh, _tanh_slope), _QUADRATURE
    if isinstance(activation, NumericalActivation):
        slope = activation.derivative or jnp.vectorize(jax.grad(lambda x: jnp.sum(activation.function(x))))
        return by_quadrature(_in_float64(activation.function), _in_float64(slope)), _QUADRATURE
    raise NotCheckedError(f"the activation {activation.label} has no second route")


_QUADRATURE = 1e-9


def _in_float64(function: Callable[[Any], Any]) -> Callable[[np.ndarray], np.ndarray]:
    def evaluate(values: np.ndarray) -> np.ndarray:
        with float64():
            return to_numpy(function(jnp.asarray(values)))

    return evaluate


def _tanh_slope(z: np.ndarray) -> np.ndarray:
    return 1.0 / np.cosh(np.minimum(np.abs(z), 300.0)) ** 2


def _gelu(z: np.ndarray) -> np.ndarray:
    return z * ndtr(z)


def _gelu_slope(z: np.ndarray) -> np.ndarray:
    return ndtr(z) + z * np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)


def _angle(q: Decimal, r: Decimal, c: Decimal) -> Decimal:
    """Between two inputs with these variances and this covariance, as the angle of its sine and cosine."""
    return _atan2(max(q * r - c * c, Decimal(0)).sqrt(), c)


def _atan2(y: Decimal, x: Decimal) -> Decimal:
    """Angle of (x, y) with y >= 0: halved until its tangent is small, then by Taylor's series."""
    length = (x * x + y * y).sqrt()
    if length == 0:
        return Decimal(0)
    halvings = 0
    while y > length / 10 or x < 0:
        # (x, y) and (length, 0) added point along half of the angle.
        x, y, halvings = (x + length, y, halvings + 1) if x > -length else (Decimal(0), length, halvings + 1)
        length = (x * x + y * y).sqrt()
    tangent = y / x
    power, total, k = tangent, Decimal(0), 1
    while abs(power) > Decimal(10) ** -(DIGITS + 5):
        total += power / k
        power, k = -power * tangent * tangent, k + 2
    return total * 2**halvings


@cache
def _pi() -> Decimal:
    with localcontext() as context:
        context.prec = DIGITS + 5
        return 4 * _atan2(Decimal(1), Decimal(1))


def _identity(q: Decimal, r: Decimal, c: Decimal) -> tuple[Decimal, Decimal]:
    return c, Decimal(1)


def _erf(q: Decimal, r: Decimal, c: Decimal) -> tuple[Decimal, Decimal]:
    """Williams 1997."""
    left = (1 + 2 * q) * (1 + 2 * r) - 4 * c * c
    arcsine = _atan2(abs(2 * c), left.sqrt()).copy_sign(c)
    return 2 * arcsine / _pi(), 4 / _pi() / left.sqrt()


def _sine(q: Decimal, r: Decimal, c: Decimal) -> tuple[Decimal, Decimal]:
    near, far = (-(q + r - 2 * c) / 2).exp(), (-(q + r + 2 * c) / 2).exp()
    return (near - far) / 2, (near + far) / 2


def _piecewise_linear(slope: float) -> Dual:
    """Arc-cosine kernels (Cho & Saul 2009): a max(x, 0) part and a linear one."""

    def dual(q: Decimal, r: Decimal, c: Decimal) -> tuple[Decimal, Decimal]:
        a, rest = Decimal(float(slope)), 1 - Decimal(float(slope))
        if q * r == 0:
            return Decimal(0), (1 + a * a) / 2
        # As an angle of sine and cosine: an arc cosine near 1 would lose half of the digits.
        step = (_pi() - _angle(q, r, c)) / (2 * _pi())
        relu = max(q * r - c * c, Decimal(0)).sqrt() / (2 * _pi()) + step * c
        # φ = a x + (1 - a) max(x, 0), and E[x max(y, 0)] = c / 2.
        return a * a * c + a * rest * c + rest**2 * relu, a * a + a * rest + rest**2 * step

    return dual


_IN_DIGITS: dict[str, Dual] = {"identity": _identity, "erf": _erf, "sine": _sine}


def by_quadrature(function: Callable[[np.ndarray], np.ndarray], slope: Callable[[np.ndarray], np.ndarray]) -> Dual:
    """Averages over u = √q · l cos(t), v = √r · l cos(t - angle), with l exp(-l²/2) / 2π the density of (l, t)."""

    def dual(q: Decimal, r: Decimal, c: Decimal) -> tuple[Decimal, Decimal]:
        first, second = math.sqrt(float(q)), math.sqrt(float(r))
        if first == 0 or second == 0:
            raise NotCheckedError("an input of length 0 without biases has no second route for this activation")
        angle = float(_angle(q, r, c))
        t, share = _angles(round(angle, 17))
        lengths, weights = _lengths()
        u = first * np.outer(np.cos(t), lengths)
        v = second * np.outer(np.cos(t - angle), lengths)

        def average(f: Callable[[np.ndarray], np.ndarray]) -> Decimal:
            return Decimal(float(share @ (f(u) * f(v)) @ weights))

        return average(function), average(slope)

    return dual


@cache
def _lengths() -> tuple[np.ndarray, np.ndarray]:
    points, weights = _composite(np.linspace(0.0, _LONGEST, _PIECES + 1))
    return points, weights * points * np.exp(-0.5 * points * points)


@cache
def _angles(angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Nodes once around, in sectors between the lines where u or v is 0, halved again and again towards them."""
    lines = np.sort(np.mod([math.pi / 2, -math.pi / 2, angle + math.pi / 2, angle - math.pi / 2], 2 * math.pi))
    edges = []
    for low, high in zip(lines, [*lines[1:], lines[0] + 2 * math.pi], strict=True):
        if high - low > 1e-15:
            half = 0.5 * (high - low) * 0.5 ** np.arange(_HALVINGS, -1, -1)
            edges.append(np.concatenate([[low], low + half, high - half[-2::-1], [high]]))
    parts = [_composite(part) for part in edges]
    t, weights = (np.concatenate(column) for column in zip(*parts, strict=True))
    return t, weights / (2 * math.pi)


def _composite(edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    half, middle = 0.5 * np.diff(edges), 0.5 * (edges[1:] + edges[:-1])
    return (middle[:, None] + half[:, None] * nodes).ravel(), (half[:, None] * weights).ravel()
