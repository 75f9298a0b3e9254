"""Many times for the price of a few: the matrix of filter values has low rank, block by block of eigenvalues.

A filter's values g_t(λ_j) at thousands of times are smooth in λ. Over a run of neighbouring eigenvalues they span only
a few directions (about ten to thirteen digits), over all of them some thirty to fifty. `factor` finds those directions,
`quadratic_form` uses them: the quadratic form (a ∘ g_t)ᵀ B (a ∘ g_t) at every time costs one pass over B with a few
columns an input, independent of the number of times.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ntkinfo.core.arrays import Array, namespace

Filter = Callable[[Float[Array, " k"], Float[Array, " s"]], Float[Array, "s k"]]

_BLOCKS = 8
_LEAST_BLOCK = 128
_PROBE_TIMES = 128
_SPLIT_RANK = 16


@dataclass(frozen=True)
class Block:
    """A run of eigenvalues, `start` to `stop`, on which the filter is `modes` @ `courses` to within `error`."""

    start: int
    stop: int
    modes: Float[Array, "k r"]
    courses: Float[Array, "r t"]
    error: Float[Array, " k"]


@dataclass(frozen=True)
class TimeFactors:
    """The filter values of all eigenvalues at all times, as a product a block.

    Args:
        blocks: runs of eigenvalues in order, covering all of them.
    """

    blocks: tuple[Block, ...]

    @property
    def error(self) -> Float[Array, " n"]:
        """Largest deviation over time of each eigenvalue's row from its true values."""
        xp = namespace(self.blocks[0].error)
        return xp.concatenate([block.error for block in self.blocks])

    def linear(self, weights: Float[Array, "n c"], inputs: Float[Array, "n p"]) -> LinearForm:
        """Prepare Σ_j inputs_jp g_t(λ_j) weights_jc for any choice of times."""
        xp = namespace(weights)
        parts = []
        for block in self.blocks:
            rows = slice(block.start, block.stop)
            columns = (block.modes[:, :, None] * weights[rows, None, :]).reshape(block.stop - block.start, -1)
            part = inputs[rows].T @ columns
            parts.append(part.reshape(inputs.shape[1], block.modes.shape[1], weights.shape[1]))
        courses = xp.concatenate([block.courses for block in self.blocks])
        return LinearForm(xp.moveaxis(xp.concatenate(parts, axis=1), 1, 0), courses)


@dataclass(frozen=True)
class LinearForm:
    """Σ_r courses_rt parts_rpc, evaluated for the times that are asked for."""

    parts: Float[Array, "r p c"]
    courses: Float[Array, "r t"]

    def at(self, chosen: slice) -> Float[Array, "t p c"]:
        """Evaluate at a slice of the times."""
        rank, inputs, outputs = self.parts.shape
        return (self.courses[:, chosen].T @ self.parts.reshape(rank, -1)).reshape(-1, inputs, outputs)


def factor(
    values: Filter,
    eigenvalues: Float[Array, " n"],
    times: Float[Array, " t"],
    tolerance: float = 1e-13,
) -> TimeFactors:
    """Factor the filter `values(eigenvalues, times)` (t, n) over blocks of eigenvalues.

    The directions come from a spread of at most 192 of the times; they are then fitted to all the times, and if the
    measured deviation anywhere exceeds `tolerance` times the block's largest value, from all the times instead.
    """
    n = eigenvalues.shape[0]
    width = max(-(-n // _BLOCKS), min(n, _LEAST_BLOCK))
    blocks: list[Block] = []
    for start in range(0, n, width):
        blocks += _blocks(lambda some: values(some, times).T, eigenvalues, start, width, tolerance)
    return TimeFactors(tuple(blocks))


def _blocks(table_of: Callable[[Array], Array], eigenvalues: Array, start: int, width: int, tol: float) -> list[Block]:
    """Factor a run of eigenvalues, in two halves where they spread over so many decades that the rank is high."""
    xp = namespace(eigenvalues)
    stop = min(start + width, eigenvalues.shape[0])
    table = table_of(eigenvalues[start:stop])
    limit = tol * float(xp.max(xp.abs(table)))
    modes = _directions(table[:, _spread(table.shape[1])], limit)
    error = _deviation(table, modes)
    if float(xp.max(error)) > limit:
        modes = _directions(table, limit)
        error = _deviation(table, modes)
    if modes.shape[1] > _SPLIT_RANK and stop - start >= 4 * _SPLIT_RANK:
        lower = 3 * (stop - start) // 4
        return _blocks(table_of, eigenvalues, start, lower, tol) + _blocks(
            table_of, eigenvalues[:stop], start + lower, stop - start - lower, tol
        )
    return [Block(start, stop, modes, modes.T @ table, error)]


def quadratic_form(
    factors: TimeFactors, matrix: Float[Array, "n n"], inputs: Float[Array, "n p"]
) -> Float[Array, "t p"]:
    """Σ_jk a_jp g_t(λ_j) B_jk g_t(λ_k) a_kp for every time t and input p, with a = `inputs`, B = `matrix` symmetric.

    Only the lower block triangle of B is used.
    """
    xp = namespace(matrix, inputs)
    mix, courses = _common_courses(factors)
    rank = courses.shape[0]
    lower, upper = np.tril_indices(rank)
    pairs = courses[lower] * courses[upper] * xp.where(xp.asarray(lower == upper), 1.0, 2.0)[:, None]
    chunk = max(1, matrix.shape[0] // (2 * max(block.modes.shape[1] for block in factors.blocks)))
    parts = []
    for start in range(0, inputs.shape[1], chunk):
        gram = mix.T @ _gram(factors, matrix, inputs[:, start : start + chunk]) @ mix
        parts.append(gram[:, lower, upper])
    return (xp.concatenate(parts, axis=0) @ pairs).T


def _scaled(image: Array, factors: Array) -> Array:
    """Return image · factors, in place where arrays can be written: fresh memory costs more than the product."""
    if isinstance(image, np.ndarray):
        return np.multiply(image, np.asarray(factors), out=image)
    return image * factors


def _common_courses(factors: TimeFactors) -> tuple[Array, Array]:
    """Return M and Q with all blocks' courses = M @ Q, Q of the rank that all the eigenvalues have together."""
    xp = namespace(factors.blocks[0].courses)
    courses = xp.concatenate([block.courses for block in factors.blocks])
    probe = courses[:, _spread(courses.shape[1], 4)]
    modes = _directions(probe, 1e-15 * float(xp.max(xp.abs(probe))) * courses.shape[0] ** 0.5)
    if float(xp.max(_deviation(courses, modes))) > 1e-13 * float(xp.max(xp.abs(courses))):
        modes = xp.eye(courses.shape[0], dtype=courses.dtype)
    return modes, modes.T @ courses


def _gram(factors: TimeFactors, matrix: Array, inputs: Array) -> Array:
    """Return Σ_jk over each pair of blocks' directions, (p, R, R) with R the sum of the blocks' ranks."""
    xp = namespace(matrix)
    count, grid = inputs.shape[1], []
    for column, block in enumerate(factors.blocks):
        width = block.modes.shape[1]
        spread = (inputs[block.start : block.stop, :, None] * block.modes[:, None, :]).reshape(-1, count * width)
        image = (matrix[block.start :, block.start : block.stop] @ spread).reshape(-1, count, width)
        image = _scaled(image, inputs[block.start :, :, None])
        entries = []
        for row, other in enumerate(factors.blocks):
            if row < column:
                entries.append(grid[row][column].transpose(0, 2, 1))
                continue
            rows = image[other.start - block.start : other.stop - block.start].reshape(-1, count * width)
            entries.append((other.modes.T @ rows).reshape(-1, count, width).transpose(1, 0, 2))
        grid.append(entries)
    return xp.concatenate([xp.concatenate(entries, axis=1) for entries in grid], axis=2)


def _spread(count: int, density: int = 1) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(count, density * _PROBE_TIMES)).round().astype(int))


def _directions(table: Array, threshold: float) -> Array:
    """Left singular vectors of the table whose singular values exceed the threshold; one at least."""
    xp = namespace(table)
    left, sizes, _ = xp.linalg.svd(table, full_matrices=False)
    return left[:, : max(int(xp.sum(sizes > threshold)), 1)]


def _deviation(table: Array, modes: Array) -> Array:
    xp = namespace(table)
    return xp.max(xp.abs(table - modes @ (modes.T @ table)), axis=1)
