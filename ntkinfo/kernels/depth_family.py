"""Kernels of fully connected networks of every depth at once: each depth is one layer more on the one before it.

A deeper network's hidden layers begin with those of a shallower one, so the recursion to the deepest network passes
through all of them; only the readout of each depth is extra. The deviations are arguments of what is compiled, and
inputs are filled up with features of 0, so that it serves every network with one activation on most data.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ntkinfo.core import checks
from ntkinfo.core.arrays import float64
from ntkinfo.core.memory import GIB, available_memory, require_memory
from ntkinfo.core.records import Dataset, fingerprint
from ntkinfo.core.versions import require_jax
from ntkinfo.kernels import near_pairs
from ntkinfo.kernels.architectures import FullyConnected
from ntkinfo.kernels.dense_recursion import compiled_family
from ntkinfo.kernels.records import CrossBlocks, KernelBlocks, SquareBlocks

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
    deepest, n, m = max(depths), len(prepared[0]), len(prepared[1])
    needed = 16 * _LIVE_ARRAYS * (deepest + 1) * n * (n + m) / GIB
    require_memory(
        f"kernels of {deepest + 1} depths of {n} training and {m} test inputs",
        needed,
        available_memory(),
        "take fewer inputs or depths",
    )
    family = _Family(network, deepest)
    train = _square(family, prepared[0])
    cross = family.rectangle(prepared[1], prepared[0])
    diagonals = [family.diagonal(x) for x in prepared]
    places = np.arange(n)
    for kernel, diagonal in zip(train, diagonals[0], strict=True):
        kernel[:, places, places] = diagonal
    return {
        depth: KernelBlocks(
            train=SquareBlocks(*(np.array(kernel[depth]) for kernel in train)),
            test=CrossBlocks(*(np.array(kernel[depth]) for kernel in (*cross, *diagonals[1]))),
            fingerprint=_fingerprint(replace(network, depth=depth), *prepared),
            notes=network.kernel_notes,
            kernel_error=family.error,
        )
        for depth in sorted(set(depths))
    }


class _Family:
    """Kernels of all depths, (depths, p, q) each, tile by tile; `error` is the largest that they state."""

    def __init__(self, network: FullyConnected, deepest: int):
        require_jax()
        layers = network.dense()
        assert layers is not None
        self._layers, self._deepest, self.error = layers, deepest, 0.0
        self._program = compiled_family(layers.rectangles, deepest)

    def tile(self, rows: np.ndarray, columns: np.ndarray) -> list[np.ndarray]:
        """At most `TILE` rows with as many columns."""
        squares = (deviation**2 for deviation in self._layers.deviations)
        with float64():
            found = self._program(_padded(_filled(rows)), _padded(_filled(columns)), *squares)
        nngp, ntk, lost = (np.asarray(part)[:, : len(rows), : len(columns)] for part in found)
        depths = list(range(self._deepest + 1))
        kernels, error = near_pairs.mended(
            self._layers.pairs, (nngp, ntk, lost), (rows, columns), self._layers.deviations, depths
        )
        self.error = max(self.error, error)
        return kernels

    def rectangle(self, rows: np.ndarray, columns: np.ndarray, upper: bool = False) -> list[np.ndarray]:
        """All tiles, or those on and above the diagonal."""
        found = [np.zeros((self._deepest + 1, len(rows), len(columns))) for _ in range(2)]
        for row in range(0, len(rows), TILE):
            for column in range(row if upper else 0, len(columns), TILE):
                one, other = slice(row, row + TILE), slice(column, column + TILE)
                for kernel, values in zip(found, self.tile(rows[one], columns[other]), strict=True):
                    kernel[:, one, other] = values
        return found

    def diagonal(self, inputs: np.ndarray) -> list[np.ndarray]:
        """Kernels of inputs with themselves, (depths, p) each."""
        found = near_pairs.of_equal(self._layers.pairs, inputs, self._layers.deviations, self._deepest)
        self.error = max(self.error, found.error)
        return [found.nngp, found.ntk]


def _square(family: _Family, inputs: np.ndarray) -> list[np.ndarray]:
    """The upper triangle, mirrored."""
    found = family.rectangle(inputs, inputs, upper=True)
    for kernel in found:
        kernel[...] = np.triu(kernel) + np.swapaxes(np.triu(kernel, 1), 1, 2)
    return found


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
