"""A network of finite width as a plain function of one row of parameters, and what has to hold for its information."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkinfo.core import checks
from ntkinfo.core.arrays import Array, float64
from ntkinfo.core.randomness import random_key
from ntkinfo.core.versions import require_jax
from ntkinfo.kernels.architectures import StaxNetwork
from ntkinfo.kernels.network import Network

PARAMETERIZATIONS = ("ntk", "standard")

# Check of the start: numbers drawn at most, initialisations at most, and how many standard errors a moment may be off.
_DRAWS, _INITIALISATIONS, _SPREAD = 1 << 23, 1024, 6.0
# Check for kinks: lines, nodes and reach of the integral along them, inputs looked at, share that may be missing.
_LINES, _NODES, _REACH, _INPUTS, _MISSING, _ROUNDING = 8, 48, 0.2, 8, 1e-3, 1e-12
# Seed of the parameters that checks look at.
CHECK_SEED = 2**31 - 1


@dataclass(frozen=True)
class FiniteNetwork:
    """A network of finite width, its parameters one row of numbers.

    Args:
        draw: (seed, member) to one row of parameters (P,), all standard normal; compiled once.
        apply: (parameters (P,), inputs (n, ...)) to outputs (n, C), in the precision of the parameters.
        inputs: in the shape that `apply` takes.
        leaves: sizes of the arrays that make up the row, in their order.
    """

    draw: Callable[[int, int], Array]
    apply: Callable[[Array, Array], Array]
    inputs: np.ndarray
    leaves: tuple[int, ...]

    @property
    def n_parameters(self) -> int:
        """The number of parameters P."""
        return sum(self.leaves)


@dataclass(frozen=True)
class MemberNetwork:
    """A network of finite width as functions of a tree of parameters.

    Args:
        initialise: a key to the tree of initial parameters.
        apply: (parameters, inputs (n, ...)) to outputs (n, C), in the precision of the parameters.
        prepare: brings inputs (n, ...) into the shape that `apply` takes.
        n_parameters: the number of parameters P.
        parameterization: "ntk", "standard", or "as given" for functions that came without a description.
    """

    initialise: Callable[[Array], Any]
    apply: Callable[[Any, Array], Array]
    prepare: Callable[[Array], np.ndarray]
    n_parameters: int
    parameterization: str


def member_network(
    network: Network | Sequence[Callable],
    inputs: Array,
    outputs: int,
    width: int | None = None,
    parameterization: str = "ntk",
) -> MemberNetwork:
    """Make a network of finite width, whatever its parameters start from.

    In the standard parameterisation the weights of a layer with fan-in N start from N(0, w_std²/N) and its biases from
    N(0, b_std²), and enter as they are: the same law of the function at the start, and another gradient, with which
    hidden layers move the more the wider the network is. Learning rates are not scaled to make up for it.

    Args:
        network: a description (`FullyConnected`, `Convolutional`, …, `StaxNetwork`), or the functions
            (init_fn, apply_fn) of a stax network, with or without kernel_fn.
        inputs: (n, ...), those that it will be used on.
        outputs: the number of outputs C that the targets have.
        width: of the hidden layers; None where the functions were built with theirs (`StaxNetwork`, functions).
        parameterization: "ntk", or "standard" for descriptions that know their layers.

    Raises:
        TypeError: `network` is no network.
        ValueError: a width where there is none to choose, outputs that do not match, no parameters, or the standard
            parameterisation of functions that were built with their own.
    """
    require_jax()
    checks.choice("parameterization", parameterization, PARAMETERIZATIONS)
    (init, apply), prepare = _functions(network, width, outputs)
    prepared = prepare(inputs)
    shape = (-1, *prepared.shape[1:])
    with float64():
        start = jax.eval_shape(lambda key: init(key, shape)[1], random_key(0))
        if not jax.tree.leaves(start):
            raise ValueError("the network has no parameters: there is nothing to train; give it a dense layer")
        found = jax.eval_shape(apply, start, prepared).shape
    if found != (len(prepared), outputs):
        raise ValueError(
            f"the network maps {len(prepared)} inputs to shape {found} and the targets have shape "
            f"({len(prepared)}, {outputs}); build it with {outputs} output(s)"
        )
    known = isinstance(network, Network) and not isinstance(network, StaxNetwork)
    scales = _scales(network, known, start) if parameterization == "standard" else None

    def initialise(key):
        drawn = init(key, shape)[1]
        return drawn if scales is None else jax.tree.map(lambda scale, leaf: scale * leaf, scales, drawn)

    def evaluate(parameters, points):
        leaf = jax.tree.leaves(parameters)[0]
        plain = parameters if scales is None else jax.tree.map(lambda s, part: part / s, scales, parameters)
        return apply(plain, jnp.asarray(points, leaf.dtype)).astype(leaf.dtype)

    count = sum(int(leaf.size) for leaf in jax.tree.leaves(start))
    return MemberNetwork(initialise, evaluate, prepare, count, parameterization if known else "as given")


def _scales(network: Any, known: bool, start: Any) -> Any:
    """Deviation of every array of parameters in the standard parameterisation; layers hold pairs (weights, biases)."""
    if not known:
        raise ValueError(
            "parameterization is 'standard' and the network came as functions, which have the one that they were built "
            "with; build them with stax's parameterization='standard' and leave this at 'ntk'"
        )

    def scale(path, leaf):
        return network.b_std if path[-1].idx == 1 else network.w_std / np.sqrt(np.prod(leaf.shape[:-1]))

    return jax.tree_util.tree_map_with_path(lambda path, leaf: float(scale(path, leaf)), start)


def finite_network(
    network: Network | Sequence[Callable], inputs: Array, outputs: int, width: int | None = None
) -> FiniteNetwork:
    """Make a network of finite width, checked to start from standard normal parameters (NTK parameterisation).

    Args:
        network: a description (`FullyConnected`, `Convolutional`, …, `StaxNetwork`), or the functions
            (init_fn, apply_fn) of a stax network, with or without kernel_fn.
        inputs: (n, ...), those that it will be used on.
        outputs: the number of outputs C that the targets have.
        width: of the hidden layers; None where the functions were built with theirs (`StaxNetwork`, functions).

    Raises:
        TypeError: `network` is neither.
        ValueError: a width where there is none to choose, outputs that do not match, no parameters, or parameters that
            are not independent standard normal numbers at the start.
    """
    made = _flat(member_network(network, inputs, outputs, width), inputs)
    _check_normal(made)
    return made


def _flat(member: MemberNetwork, inputs: Array) -> FiniteNetwork:
    """The same network with its parameters in one row."""
    with float64():
        leaves, tree = jax.tree.flatten(jax.eval_shape(member.initialise, random_key(0)))
    shapes = [leaf.shape for leaf in leaves]
    sizes = tuple(int(leaf.size) for leaf in leaves)

    def draw(seed, number):
        key = jax.random.fold_in(random_key(seed), number)
        return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(member.initialise(key))])

    def evaluate(parameters, points):
        parts = jnp.split(parameters, np.cumsum(sizes)[:-1])
        held = [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
        return member.apply(jax.tree.unflatten(tree, held), points)

    return FiniteNetwork(jax.jit(draw), evaluate, member.prepare(inputs), sizes)


def _functions(network: Any, width: int | None, outputs: int) -> tuple[Sequence[Callable], Callable]:
    """(init_fn, apply_fn), and what brings inputs into their shape."""
    if isinstance(network, Network):
        functions = network.functions() if width is None else network.functions(width, outputs)
        return functions, network.prepare
    if not isinstance(network, Sequence) or len(network) < 2 or not all(callable(part) for part in network):
        raise TypeError(
            f"network is {network!r}; give a network such as FullyConnected(), or the functions (init_fn, apply_fn) "
            "that stax.serial returns"
        )
    if width is not None:
        raise ValueError(f"width is {width} and the functions have the width with which they were built; leave it out")
    return tuple(network)[:2], lambda inputs: np.asarray(inputs, dtype=np.float64)


def _check_normal(network: FiniteNetwork) -> None:
    """Raise unless the first four moments of every array of parameters are those of standard normal numbers."""
    count = int(np.clip(_DRAWS // network.n_parameters, 64, _INITIALISATIONS))
    total = np.zeros((len(network.leaves), 4))
    for member in range(count):
        with float64():
            row = np.asarray(network.draw(CHECK_SEED, member))
        parts = np.split(row, np.cumsum(network.leaves)[:-1])
        total += np.stack([[np.mean(part**order) for order in range(1, 5)] for part in parts])
    mean = total / count
    # Variances of x, x², x³ and x⁴ under the standard normal law.
    spread = _SPREAD * np.sqrt(np.array([1, 2, 15, 96])[None, :] / (count * np.array(network.leaves)[:, None]))
    off = np.abs(mean - np.array([0, 1, 0, 3])[None, :]) > spread
    if np.any(off):
        place = int(np.flatnonzero(off.any(axis=1))[0])
        raise ValueError(
            f"parameter array {place} of {len(network.leaves)} ({network.leaves[place]} numbers) does not start as "
            f"standard normal numbers: mean {mean[place, 0]:.3g}, mean square {mean[place, 1]:.3g}, fourth moment "
            f"{mean[place, 3]:.3g}; build the network in the NTK parameterisation (stax: parameterization='ntk')"
        )


def check_smooth(network: FiniteNetwork) -> None:
    """Raise unless second derivatives as automatic differentiation gives them account for the gradient's changes.

    Raises:
        ValueError: more than a thousandth of the changes is missing.
    """
    share, jumps = _jumps(network)
    if jumps:
        raise ValueError(
            f"the network's gradient jumps or bends too sharply: {share:.2g} of its changes along random "
            "lines are not in its second derivatives, and the change of variables would miss what training does there; "
            "take an activation without kinks (erf, gelu, tanh), or `function_space`, which allows kinks"
        )


def has_kinks(network: Network | Sequence[Callable], inputs: Array, outputs: int, width: int | None = None) -> bool:
    """Whether the network's gradient jumps, as with relu or max pooling; arguments as those of `finite_network`."""
    return _jumps(_flat(member_network(network, inputs, outputs, width), inputs))[1]


def _jumps(network: FiniteNetwork) -> tuple[float, bool]:
    """Share of the gradient's changes that its second derivatives miss, and whether that is more than rounding.

    Along random lines through random starts the integral of the second derivative of the outputs is compared with the
    change of the first. At a kink the gradient jumps and differentiation gives 0 for that.
    """
    points, weights = np.polynomial.legendre.leggauss(_NODES)
    points, weights = _REACH * (points + 1) / 2, _REACH * weights / 2
    inputs = network.inputs[np.unique(np.linspace(0, len(network.inputs) - 1, _INPUTS).round().astype(int))]

    def line(start, direction):
        def slope(place):
            return jax.jvp(lambda s: network.apply(start + s * direction, inputs), (place,), (1.0,))[1]

        def bend(place):
            return jax.jvp(slope, (place,), (1.0,))[1]

        bends = jax.lax.map(bend, jnp.asarray(points))
        before, after = slope(jnp.asarray(0.0)), slope(jnp.asarray(_REACH))
        along, whole = (jnp.tensordot(jnp.asarray(weights), part, 1) for part in (bends, jnp.abs(bends)))
        missing = jnp.sum(jnp.abs(after - before - along))
        return missing, jnp.sum(jnp.abs(after - before) + whole), jnp.sum(jnp.abs(before))

    run = jax.jit(line)
    with float64():
        drawn = [run(*(network.draw(CHECK_SEED, 2 * k + end) for end in (0, 1))) for k in range(_LINES)]
    missing, total, size = np.sum(np.asarray(drawn), axis=0)
    return float(missing / total) if total > 0 else 0.0, bool(missing > _MISSING * total + _ROUNDING * size)
