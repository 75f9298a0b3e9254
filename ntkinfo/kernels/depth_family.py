"""Kernels of fully connected networks of every depth at once: each depth is one layer more on the one before it.

A deeper network's hidden layers begin with those of a shallower one, so the recursion to the deepest network passes
through all of them; only the readout of each depth is extra. The deviations are arguments of what is compiled, and
inputs are filled up with features of 0, so that it serves every network with one activation on most data.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntkinfo.core import checks
from ntkinfo.core.arrays import float64
from ntkinfo.core.memory import GIB, available_memory, require_memory
from ntkinfo.core.records import Dataset, fingerprint
from ntkinfo.kernels.activations import load_stax, resolve_activation
from ntkinfo.kernels.architectures import FullyConnected
from ntkinfo.kernels.records import CrossBlocks, KernelBlocks, SquareBlocks
from ntkinfo.kernels.tiles import BOTH

TILE = 128  # rows and columns that are compiled; smaller inputs are padded
_FEATURES = 64  # the number of features is filled up to a multiple of this
_LIVE_ARRAYS = 2  # of the size of the result


def depth_family_blocks(network: FullyConnected, data: Dataset, depths: Sequence[int]) -> dict[int, KernelBlocks]:
    """Both kernels of the networks that differ from `network` in their depth alone, in float64, as numpy arrays.

    Args:
        network: its depth plays no part; its activation is given by name.
        data: inputs; the targets play no part.
        depths: hidden layers of each network, 0 or more.

    Returns:
        The blocks by depth, the same numbers as `kernel_blocks` to rounding, without a source for new inputs.

    Raises:
        MemoryError: the kernels of all depths do not fit.
        ValueError: no depths, or an activation that is no name.
    """
    if not depths:
        raise ValueError("depths is empty; give at least one")
    for depth in depths:
        checks.whole("depth", depth, least=0)
    if not isinstance(network.activation, str):
        raise ValueError("a family of depths needs an activation by name; take kernel_blocks for others")
    prepared = [network.prepare(x, name) for x, name in ((data.x_train, "x_train"), (data.x_test, "x_test"))]
    x_train, x_test = (_filled(x) for x in prepared)
    deepest, n, m = max(depths), len(x_train), len(x_test)
    needed = 16 * _LIVE_ARRAYS * (deepest + 1) * n * (n + m) / GIB
    require_memory(
        f"kernels of {deepest + 1} depths of {n} training and {m} test inputs",
        needed,
        available_memory(),
        "take fewer inputs or depths",
    )
    pair, single = _compiled(network.activation, deepest)
    deviations = float(network.w_std), float(network.b_std)
    train = _square(lambda rows, columns: pair(rows, columns, *deviations), x_train)
    cross = _rectangle(lambda rows, columns: pair(rows, columns, *deviations), x_test, x_train)
    diagonals = [_diagonal(lambda rows: single(rows, *deviations), x) for x in (x_train, x_test)]
    places = np.arange(n)
    for kernel, diagonal in zip(train, diagonals[0], strict=True):
        kernel[:, places, places] = diagonal
    return {
        depth: KernelBlocks(
            train=SquareBlocks(*(np.array(kernel[depth]) for kernel in train)),
            test=CrossBlocks(*(np.array(kernel[depth]) for kernel in (*cross, *diagonals[1]))),
            fingerprint=_fingerprint(replace(network, depth=depth), *prepared),
            notes=network.kernel_notes,
        )
        for depth in sorted(set(depths))
    }


@functools.lru_cache(maxsize=32)
def _compiled(activation: str, deepest: int) -> tuple[Callable, Callable]:
    """Kernels (2, depths, p, q) of pairs of inputs, and (2, depths, p) of inputs with themselves."""
    with float64():
        stax, layer = load_stax(), resolve_activation(activation).layer()

    def kernels(rows: Any, columns: Any, w_std: Any, b_std: Any) -> tuple[Any, Any]:
        def dense() -> tuple:
            return stax.Dense(1, W_std=w_std, b_std=b_std)

        found, state = [dense()[2](rows, columns, BOTH)], None
        for depth in range(deepest):
            hidden = stax.serial(dense(), layer)[2]
            state = hidden(rows, columns, None) if depth == 0 else hidden(state, None, None)
            found.append(dense()[2](state, None, BOTH))
        nngp, ntk = (jnp.stack(parts) for parts in zip(*(tuple(one) for one in found), strict=True))
        return nngp, ntk

    def of_one(row: Any, w_std: Any, b_std: Any) -> tuple[Any, ...]:
        return tuple(kernel[:, 0, 0] for kernel in kernels(row[None], None, w_std, b_std))

    return jax.jit(kernels), jax.jit(jax.vmap(of_one, in_axes=(0, None, None), out_axes=1))


def _square(pair: Callable, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All tiles on and above the diagonal, mirrored."""
    found: tuple[np.ndarray, np.ndarray] | None = None
    for row in range(0, len(inputs), TILE):
        for column in range(row, len(inputs), TILE):
            found = _put(pair, found, inputs, inputs, (row, column))
    assert found is not None
    for kernel in found:
        upper = np.triu(kernel)
        kernel[...] = upper + np.swapaxes(np.triu(kernel, 1), 1, 2)
    return found


def _rectangle(pair: Callable, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found: tuple[np.ndarray, np.ndarray] | None = None
    for row in range(0, len(rows), TILE):
        for column in range(0, len(columns), TILE):
            found = _put(pair, found, rows, columns, (row, column))
    assert found is not None
    return found


def _put(
    pair: Callable,
    found: tuple[np.ndarray, np.ndarray] | None,
    rows: np.ndarray,
    columns: np.ndarray,
    start: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Compute one tile into its place."""
    one, other = rows[start[0] : start[0] + TILE], columns[start[1] : start[1] + TILE]
    with float64():
        tile = [np.asarray(kernel) for kernel in pair(_padded(one), _padded(other))]
    if found is None:
        shape = (len(tile[0]), len(rows), len(columns))
        found = np.empty(shape), np.empty(shape)
    for kernel, values in zip(found, tile, strict=True):
        place = slice(start[0], start[0] + len(one)), slice(start[1], start[1] + len(other))
        kernel[:, place[0], place[1]] = values[:, : len(one), : len(other)]
    return found


def _diagonal(single: Callable, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    parts = []
    for start in range(0, len(inputs), TILE):
        some = inputs[start : start + TILE]
        with float64():
            parts.append([np.asarray(kernel)[:, : len(some)] for kernel in single(_padded(some))])
    nngp, ntk = (np.concatenate(kernel, axis=1) for kernel in zip(*parts, strict=True))
    return nngp, ntk


def _filled(inputs: np.ndarray) -> np.ndarray:
    """Inputs with features of 0 added; larger by the root of the ratio, as kernels divide by the number of features."""
    features = inputs.shape[1]
    missing = -features % _FEATURES
    if missing == 0:
        return inputs
    return np.pad(inputs * ((features + missing) / features) ** 0.5, ((0, 0), (0, missing)))


def _padded(inputs: np.ndarray) -> np.ndarray:
    missing = TILE - len(inputs)
    return inputs if missing == 0 else np.concatenate([inputs, np.repeat(inputs[-1:], missing, axis=0)])


def _fingerprint(network: FullyConnected, x_train: np.ndarray, x_test: np.ndarray) -> str:
    """As `kernel_blocks` has it."""
    parts = f"{network.fingerprint}{fingerprint(x_train)}{fingerprint(x_test)}"
    return hashlib.sha256(parts.encode()).hexdigest()
