"""What a user's stax triple must be for its kernels to describe its outputs, and how that is found out."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntkinfo.core.arrays import float64
from ntkinfo.core.randomness import random_key

BOTH = ("nngp", "ntk")

# A probe of functions evaluates a finite network some dozen times: not for networks of more parameters than this.
_PARAMETERS = 10_000_000
# Relative size of a departure from what holds exactly.
_TOLERANCE = 1e-6


class Pair(NamedTuple):
    """Both kernels, by name."""

    nngp: Any
    ntk: Any


def holds_dropout(function: Any) -> bool:
    """Whether stax marked the function, or the one inside `functools.partial` and `functools.wraps`, as random."""
    while function is not None:
        if getattr(function, "input_req", {}).get("use_dropout", False):
            return True
        inner = function.func if isinstance(function, functools.partial) else None
        function = inner or getattr(function, "__wrapped__", None)
    return False


def by_name(result: Any, name: str) -> Pair:
    """Both kernels of what a kernel function returned for get = ("nngp", "ntk").

    Raises:
        ValueError: anything but two kernels.
    """
    if hasattr(result, "nngp") and hasattr(result, "ntk"):
        return Pair(result.nngp, result.ntk)
    if isinstance(result, dict) and set(BOTH) <= set(result):
        return Pair(result["nngp"], result["ntk"])
    if isinstance(result, tuple | list) and len(result) == 2:
        return Pair(*result)
    raise ValueError(
        f"kernel_fn of {name} returned {type(result).__name__} for get=('nngp', 'ntk'); it must return both kernels, "
        "in this order or by these names, as kernel functions of stax do"
    )


def for_any_batch(function: Callable, name: str, argument: str, sides: Callable[..., tuple]) -> Callable:
    """A function with one graph bound to it, `functools.partial(function, pattern=…)`, for any number of inputs.

    Args:
        function: kernel_fn or apply_fn; returned as it is where no pattern is bound.
        name: of the network.
        argument: what to call the function in messages.
        sides: numbers of inputs that the pattern's parts belong to, from the function's arguments.

    Raises:
        ValueError: patterns that differ from input to input, which belong to certain inputs and fit no others.
    """
    if not isinstance(function, functools.partial) or function.keywords.get("pattern") is None:
        return function
    bound = function.keywords["pattern"]
    parts = [None if part is None else np.asarray(part) for part in (bound if isinstance(bound, tuple) else (bound,))]
    graphs = [part for part in parts if part is not None]
    for graph in graphs:
        if graph.ndim < 2 or np.any(graph != graph[:1]) or np.any(graph[:1] != graphs[0][:1]):
            raise ValueError(
                f"the pattern bound to {argument} of {name} differs from input to input, so that it fits those inputs "
                "alone, in that order; kernels are computed tile by tile: bind one graph for all inputs"
            )

    @functools.wraps(function.func)
    def rebound(*args: Any, **keywords: Any) -> Any:
        counts = sides(*args)
        fitted = [
            None if part is None else jnp.broadcast_to(part[:1], (count, *part.shape[1:]))
            for part, count in zip(parts, counts, strict=True)
        ]
        pattern = tuple(fitted) if isinstance(bound, tuple) else fitted[0]
        return function(*args, **{**keywords, "pattern": pattern})

    return rebound


def check_kernels(kernel_fn: Callable, name: str, input_shape: tuple[int, ...]) -> Any:
    """Raise unless the kernel function maps p and q inputs to two kernels (p, q); return its state where it tells it.

    Raises:
        ValueError: a function that fails, or kernels of another shape.
    """
    with float64():
        one, other = (jax.ShapeDtypeStruct((count, *input_shape), np.float64) for count in (2, 3))
        try:
            found = jax.eval_shape(lambda a, b: tuple(by_name(kernel_fn(a, b, BOTH), name)), one, other)
        except Exception as error:
            if isinstance(error, ValueError) and name in str(error):
                raise
            reason = (str(error).strip().splitlines() or [""])[0]
            raise ValueError(
                f"kernel_fn of {name} fails on 2 inputs of shape {input_shape} with 3 others ({type(error).__name__}: "
                f"{reason[:300]}); it must take any number of inputs of input_shape as jax arrays and "
                "get=('nngp', 'ntk'), and a pattern or mask_constant is bound with functools.partial"
            ) from error
        for key, kernel in zip(BOTH, found, strict=True):
            _check_shape(name, key, tuple(getattr(kernel, "shape", ())))
        try:
            return jax.eval_shape(lambda a, b: kernel_fn(a, b, None), one, other)
        except Exception:  # get=None is an offer of stax, not a duty: the functions are tried instead
            return None


def _check_shape(name: str, key: str, shape: tuple[int, ...]) -> None:
    if shape == (2, 3):
        return
    if shape[:2] == (2, 3):
        raise ValueError(
            f"the {key} of {name} has shape {shape} for 2 inputs with 3: its outputs still have positions; put "
            "stax.Flatten() or stax.GlobalAvgPool() before the last stax.Dense"
        )
    raise ValueError(f"the {key} of {name} has shape {shape} for 2 inputs with 3 others; it must be (2, 3)")


def check_order(kernel_fn: Callable, name: str, inputs: np.ndarray) -> None:
    """Raise where a plain pair of kernels comes in the order (ntk, nngp).

    Told by get="nngp" alone where that gives one kernel; else by Θ(x, x) ≥ K(x, x), the readout's share of Θ.
    """
    with float64():
        kind = jax.eval_shape(lambda some: kernel_fn(some, None, BOTH), inputs)
        if not isinstance(kind, tuple | list) or hasattr(kind, "nngp"):
            return
        pair = kernel_fn(inputs, None, BOTH)
        first, second = (np.asarray(kernel) for kernel in pair)
        try:
            alone = kernel_fn(inputs, None, "nngp")
        except Exception:  # a function of ours that knows no other get
            alone = None
        if alone is not None and getattr(alone, "shape", None) == first.shape:
            swapped = np.allclose(alone, second, rtol=1e-6) and not np.allclose(alone, first, rtol=1e-6)
        else:
            swapped = bool(np.all(np.diagonal(first) > np.diagonal(second) * (1 + _TOLERANCE)))
    if swapped:
        raise ValueError(
            f"kernel_fn of {name} returns (ntk, nngp) for get=('nngp', 'ntk'); return the NNGP kernel first, or both "
            "by their names"
        )


def check_gaussian(triple: tuple, name: str, input_shape: tuple[int, ...], state: Any) -> str:
    """Raise unless outputs are a readout: linear in weights of mean 0 that every output has its own equal share of.

    stax keeps account of it in its kernels (`is_gaussian`). Where they do not say yes, or where the last layer has no
    parameters, a finite network is tried.

    Returns:
        A note where neither could be asked, or nothing.

    Raises:
        ValueError: outputs that are no readout.
    """
    init_fn, apply_fn, _ = triple
    said = getattr(state, "is_gaussian", None)
    try:
        with float64():
            start = jax.eval_shape(lambda key: init_fn(key, (-1, *input_shape))[1], random_key(0))
        last = start[-1] if isinstance(start, tuple | list) and len(start) else start
        if said is True and jax.tree.leaves(last):
            return ""
        size = sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(start))
        is_readout = None if size > _PARAMETERS else _is_readout(init_fn, apply_fn, input_shape)
    except Exception as error:  # functions that are not there to be tried: said in a note, not taken for an answer
        is_readout, reason = None, f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
    else:
        reason = "too many parameters"
    if is_readout or (said and is_readout is None):
        return ""
    if is_readout is None and said is None:
        return f"{name} could not be tried ({reason}): its outputs are taken to be Gaussian with mean 0"
    raise ValueError(
        f"the outputs of {name} are not those of a readout: it ends in an activation, a normalisation or a pooling or "
        "flattening of one, so that they are not Gaussian with mean 0 and the kernels are not their law; end the "
        "triple with stax.Dense (after stax.Flatten or stax.GlobalAvgPool for images)"
    )


def _is_readout(init_fn: Callable, apply_fn: Callable, input_shape: tuple[int, ...]) -> bool:
    """Whether outputs are jointly linear in some parameters, 0 without them, alike and uncorrelated through them."""
    inputs = probes(input_shape)[:2]
    with float64():
        leaves, tree = jax.tree.flatten(init_fn(random_key(0), (-1, *input_shape))[1])
        # Biases may start at 0 (standard parameterisation): moved away, as their effect is asked for.
        leaves = [jnp.where(jnp.all(leaf == 0), 1.0, leaf) if leaf.size else leaf for leaf in leaves]

        def outputs(values: list) -> Any:
            return jnp.reshape(apply_fn(jax.tree.unflatten(tree, values), inputs), (len(inputs), -1))

        def scaled(chosen: list[int], by: float) -> np.ndarray:
            values = [leaf * by if place in chosen else leaf for place, leaf in enumerate(leaves)]
            return np.asarray(outputs(values))

        whole, chosen = np.asarray(outputs(leaves)), []
        for place in reversed(range(len(leaves))):
            more = [*chosen, place]
            none, minus, twice = (scaled(more, by) for by in (0.0, -1.0, 2.0))
            size = _TOLERANCE * (np.abs(whole).max() + np.abs(none).max())
            if np.all(np.abs(twice - 2 * whole + none) <= size) and np.all(np.abs(minus + whole - 2 * none) <= size):
                chosen = more
        if not chosen or np.abs(scaled(chosen, 0.0)).max() > _TOLERANCE * np.abs(whole).max():
            return False
        return _alike(outputs, leaves, chosen, whole.shape[1])


def _alike(outputs: Callable, leaves: list, chosen: list[int], count: int) -> bool:
    """Whether the chosen parameters give all outputs the same covariance over inputs and none with each other."""
    # Neighbours at every power of two: positions of an image follow each other at the number of channels.
    looked_at = jnp.asarray(sorted({0, count // 2, count - 1, *(2**k for k in range(12) if 2**k < count)}))

    def some(parts: list) -> Any:
        values = list(leaves)
        for place, part in zip(chosen, parts, strict=True):
            values[place] = part
        return outputs(values)[:, looked_at]

    slopes = jax.jacrev(some)([leaves[place] for place in chosen])
    rows = np.concatenate([np.asarray(slope).reshape(2, len(looked_at), -1) for slope in slopes], axis=2)
    products = np.einsum("iap,jbp->abij", rows, rows)
    same = np.eye(len(looked_at))[:, :, None, None] * products[0, 0]
    return bool(np.all(np.abs(products - same) <= _TOLERANCE * np.abs(products).max()))


def probes(input_shape: tuple[int, ...]) -> np.ndarray:
    """Six fixed inputs."""
    size = int(np.prod(input_shape))
    points = np.sin(np.outer(np.arange(1, 7), np.arange(1, size + 1)) + np.arange(6)[:, None])
    return points.reshape(6, *input_shape)


def loss_at_equal_inputs(kernel_fn: Callable, input_shape: tuple[int, ...]) -> float:
    """What rounding does to the kernels of equal inputs, relative to their size, measured on the six probes.

    A kernel is smooth in the inputs' size, so that what a parabola leaves over values at sizes 1 ± 8e-9 is rounding:
    1e-8 where a formula takes the arc cosine of a number near 1, as `stax.Relu` and `stax.Sign` do. Twice the largest.
    """
    steps = np.arange(-8.0, 9.0)
    with float64():
        points = probes(input_shape)
        sizes = (1 + steps * 2.0**-30).reshape(-1, 1, *(1,) * len(input_shape))
        rows = (sizes * points[None]).reshape(-1, *input_shape)
        single = jax.jit(jax.vmap(lambda one: tuple(k[0, 0] for k in kernel_fn(one[None], None, BOTH))))
        values = [np.asarray(kernel).reshape(len(steps), -1) for kernel in single(rows)]
    left = []
    for kernel in values:
        size = np.maximum(np.abs(kernel).max(axis=0, keepdims=True), np.finfo(float).tiny)
        fit = np.polynomial.polynomial.polyvander(steps / 8, 2)
        scaled = kernel / size
        left.append(np.abs(scaled - fit @ np.linalg.lstsq(fit, scaled, rcond=None)[0]).max())
    return 2 * float(max(left))
