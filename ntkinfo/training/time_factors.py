"""Many times for the price of a few: the matrix of filter values has low rank, block by block of eigenvalues.

A filter's values g_t(λ_j) at thousands of times are smooth in λ. Over a run of neighbouring eigenvalues they span only
a few directions (six to nine for thirteen digits), over all of them some thirty to fifty. `factor` finds those
directions, `quadratic_form` uses them: the quadratic form (a ∘ g_t)ᵀ B (a ∘ g_t) at every time costs one pass over B
with a few columns an input, independent of the number of times.

The factors, small, are numpy arrays always. Products with B go block by block with numpy; with jax all blocks go
together, in fewer and larger products of the same few shapes, which compile once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from ntkinfo.core.arrays import Array, namespace
from ntkinfo.core.threads import map_threads

Filter = Callable[[Float[Array, " k"], Float[Array, " s"]], Float[Array, "s k"]]

_PROBE_TIMES = 64
_PIECES = 8
_LEAST_PIECE = 128
_LEAST_BLOCK = 32
# A product's column costs as much as this many multiplications with B more: scaling it and summing it up.
_COLUMN_COST = 50
_SAMPLE = 24
_IMAGE_NUMBERS = 1 << 20
_FEW_INPUTS = 16


@dataclass(frozen=True)
class Block:
    """A run of eigenvalues, `start` to `stop`, on which the filter is `modes` @ `courses` to within `error`."""

    start: int
    stop: int
    modes: Float[np.ndarray, "k r"]
    courses: Float[np.ndarray, "r t"]
    error: Float[np.ndarray, " k"]

    @property
    def rows(self) -> slice:
        """The block's eigenvalues."""
        return slice(self.start, self.stop)

    @property
    def rank(self) -> int:
        """How many directions the filter spans on the block."""
        return self.modes.shape[1]


@dataclass(frozen=True)
class TimeFactors:
    """The filter values of all eigenvalues at all times, as a product a block.

    Args:
        blocks: runs of eigenvalues in order, covering all of them.
    """

    blocks: tuple[Block, ...]

    @property
    def error(self) -> Float[np.ndarray, " n"]:
        """Bound over time on each eigenvalue's deviation from its true values."""
        missed = self.common[2]
        return np.concatenate(
            [
                block.error + np.abs(block.modes) @ missed[rows]
                for block, rows in zip(self.blocks, self.ranks, strict=True)
            ]
        )

    @cached_property
    def ranks(self) -> tuple[slice, ...]:
        """Where each block's courses stand among those of all blocks."""
        ends = np.cumsum([block.rank for block in self.blocks]).tolist()
        return tuple(slice(end - block.rank, end) for block, end in zip(self.blocks, ends, strict=True))

    @cached_property
    def common(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """M, Q and a deviation with all blocks' courses = M @ Q, Q of the rank that they have together."""
        courses = np.concatenate([block.courses for block in self.blocks])
        return _directions(courses, 3e-15 * float(np.abs(courses).max()), 4 * _PROBE_TIMES)

    @cached_property
    def modes(self) -> Float[np.ndarray, "n k"]:
        """Modes of all eigenvalues on the common courses."""
        mix = self.common[0]
        return np.concatenate([block.modes @ mix[rows] for block, rows in zip(self.blocks, self.ranks, strict=True)])

    def linear(self, weights: Float[Array, "n c"], inputs: Float[Array, "n p"]) -> LinearForm:
        """Prepare Σ_j inputs_jp g_t(λ_j) weights_jc for any choice of times."""
        xp = namespace(weights, inputs)
        mix, courses, _ = self.common
        outputs, count = weights.shape[1], inputs.shape[1]
        if xp is np:
            parts = [_columns(block.modes, weights[block.rows]).T @ inputs[block.rows] for block in self.blocks]
            total = mix.T @ np.concatenate([part.reshape(-1, outputs * count) for part in parts])
        else:
            total = _columns(xp.asarray(self.modes), weights).T @ inputs
        return LinearForm(total.reshape(-1, outputs, count), xp.asarray(courses))


@dataclass(frozen=True)
class LinearForm:
    """Σ_r courses_rt parts_rcp, evaluated for the times that are asked for."""

    parts: Float[Array, "r c p"]
    courses: Float[Array, "r t"]

    def at(self, chosen: slice) -> Float[Array, "t p c"]:
        """Evaluate at a slice of the times; the inputs are what neighbours in memory."""
        xp = namespace(self.parts)
        rank, outputs, inputs = self.parts.shape
        values = (self.courses[:, chosen].T @ self.parts.reshape(rank, -1)).reshape(-1, outputs, inputs)
        return xp.moveaxis(values, 1, 2)


def factor(
    values: Filter,
    eigenvalues: Float[Array, " n"],
    times: Float[Array, " t"],
    tolerance: float = 1e-13,
) -> TimeFactors:
    """Factor the filter `values(eigenvalues, times)` (t, n) over blocks of eigenvalues.

    Each eigenvalue counts in units of its own largest value, since filters grow as eigenvalues fall. The directions
    come from a spread of at most 64 of the times; they are then fitted to all the times, and if the measured deviation
    anywhere exceeds `tolerance` times that largest value, from all the times instead.
    """
    n, blocks = eigenvalues.shape[0], []
    width = max(-(-n // _PIECES), min(n, _LEAST_PIECE))
    for start in range(0, n, width):
        table = np.asarray(values(eigenvalues[start : start + width], times)).T
        size = np.abs(table).max(axis=1)
        size = np.where(size > 0, size, 1.0)
        table = table / size[:, None]
        for low, high in _partition(table[:, _spread(table.shape[1], _PROBE_TIMES)], tolerance):
            modes, courses, error = _directions(table[low:high], 0.8 * tolerance, _PROBE_TIMES)
            own = size[low:high]
            blocks.append(Block(start + low, start + high, own[:, None] * modes, courses, own * error))
    return TimeFactors(tuple(blocks))


def _partition(probe: np.ndarray, tolerance: float) -> list[tuple[int, int]]:
    """Runs of eigenvalues, by repeated halving, whose products cost least: their rank times their width and more.

    Ranks are estimated from a few eigenvalues a run: they only decide on the cost.
    """

    def cheapest(start: int, stop: int) -> tuple[float, list[tuple[int, int]]]:
        table = probe[start + _spread(stop - start, _SAMPLE)]
        sizes = np.linalg.svd(table, compute_uv=False)
        rank = max(int((sizes > _threshold(tolerance, table)).sum()), 1)
        whole = float(rank * (stop - start + _COLUMN_COST))
        if stop - start < 2 * _LEAST_BLOCK:
            return whole, [(start, stop)]
        middle = (start + stop) // 2
        (left, low), (right, high) = cheapest(start, middle), cheapest(middle, stop)
        return (whole, [(start, stop)]) if whole <= left + right else (left + right, low + high)

    return cheapest(0, probe.shape[0])[1]


def quadratic_form(
    factors: TimeFactors, matrix: Float[Array, "n n"], inputs: Float[Array, "n p"]
) -> Float[Array, "t p"]:
    """Σ_jk a_jp g_t(λ_j) B_jk g_t(λ_k) a_kp for every time t and input p, with a = `inputs`, B = `matrix` symmetric.

    Of each two blocks B_IJ and B_JI only one is used.
    """
    xp = namespace(matrix, inputs)
    courses = factors.common[1]
    lower, upper = np.tril_indices(courses.shape[0])
    pairs = xp.asarray((courses[lower] * courses[upper] * np.where(lower == upper, 0.5, 1.0)[:, None]).T)
    by_block = xp is np and inputs.shape[1] >= _FEW_INPUTS
    rank = min(block.rank for block in factors.blocks) if by_block else len(courses)
    chunk = max(1, max(_IMAGE_NUMBERS, matrix.size // 8) // (matrix.shape[0] * rank))

    def at(start: int) -> Array:
        some = inputs[:, start : start + chunk]
        products = _block_products if by_block else _products
        gram = products(factors, matrix, some)
        return pairs @ (gram[lower, upper] + gram[upper, lower])

    starts = range(0, inputs.shape[1], chunk)
    # Half of the work is passes over memory, which the linear algebra library's own threads do not share.
    parts = map_threads(at, starts) if by_block else [at(start) for start in starts]
    return xp.concatenate(parts, axis=1)


def form_of_sum(
    terms: Iterable[tuple[TimeFactors, Float[Array, "n p"]]], matrix: Float[Array, "n n"]
) -> Float[Array, "t p"]:
    """Σ_jk q_jtp B_jk q_ktp with q a sum of terms g_t(λ_j) a_jp, each of its own filter and inputs; for few inputs."""
    pairs = tuple(terms)
    xp = namespace(matrix, pairs[0][1])
    courses = xp.concatenate([xp.asarray(factors.common[1]) for factors, _ in pairs])
    columns = []
    for p in range(pairs[0][1].shape[1]):
        spread = xp.concatenate([xp.asarray(part.modes) * inputs[:, p : p + 1] for part, inputs in pairs], axis=1)
        gram = spread.T @ (matrix @ spread)
        columns.append(xp.sum(courses * (gram @ courses), axis=0))
    return xp.stack(columns, axis=1)


def _products(factors: TimeFactors, matrix: Array, inputs: Array) -> Array:
    """Return (K, K, p), the quadratic form over the common courses."""
    xp = namespace(matrix, inputs)
    spread = _columns(xp.asarray(factors.modes), inputs)
    image = (matrix @ spread).reshape(len(inputs), -1, inputs.shape[1])
    left = xp.moveaxis(spread.reshape(image.shape), 2, 0)
    return xp.moveaxis(xp.matrix_transpose(left) @ xp.moveaxis(image, 2, 0), 0, 2)


def _block_products(factors: TimeFactors, matrix: Array, inputs: Array) -> np.ndarray:
    """Return (K, K, p) whose symmetric part is the quadratic form over the common courses."""
    mix, blocks, ranks = factors.common[0], factors.blocks, factors.ranks
    matrix, inputs = np.asarray(matrix), np.asarray(inputs)
    # Blocks of high rank come last: a pair of blocks costs the rank of the one that comes first.
    order = sorted(range(len(blocks)), key=lambda index: blocks[index].rank)
    count, columns = inputs.shape[1], []
    for place, index in enumerate(order):
        block, sums = blocks[index], []
        spread = _columns(block.modes, inputs[block.rows])
        for other in order[place:]:
            rows = blocks[other].rows
            image = (matrix[rows, block.rows] @ spread).reshape(-1, block.rank, count)
            # In place: fresh memory costs more than the product.
            image = np.multiply(image, inputs[rows, None, :], out=image).reshape(-1, block.rank * count)
            modes = blocks[other].modes * (1.0 if other == index else 2.0)
            sums.append((ranks[other], modes.T @ image))
        left = np.concatenate([mix[rows] for rows, _ in sums])
        columns.append((left.T @ np.concatenate([part for _, part in sums])).reshape(-1, block.rank, count))
    right = np.concatenate([mix[ranks[index]] for index in order])
    return right.T[None, :, :] @ np.concatenate(columns, axis=1)


def _columns(modes: Array, weights: Array) -> Array:
    """Return (k, r·c): every mode times every column of the weights (k, c), which are neighbours in memory."""
    return (modes[:, :, None] * weights[:, None, :]).reshape(modes.shape[0], -1)


def _spread(count: int, most: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def _threshold(limit: float, table: np.ndarray) -> float:
    """Size of a singular value that should leave every entry within the limit: it spreads over all of them."""
    return limit * float(np.sqrt(table.shape[0] * table.shape[1])) / 3


def _directions(table: np.ndarray, limit: float, probes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Modes, courses and each row's deviation with table = modes @ courses to within the limit.

    The modes are left singular vectors of the table at a spread of its columns; as many as the measured deviation
    needs. If all do not bring it below the limit, they are taken from the whole table.
    """
    whole = table.shape[1] <= probes
    some = table if whole else table[:, _spread(table.shape[1], probes)]
    left, sizes, _ = np.linalg.svd(some, full_matrices=False)
    rank, most = max(int(np.sum(sizes > _threshold(limit, some))), 1), max(int(np.sum(sizes > limit / 10)), 1)
    while True:
        modes = left[:, :rank]
        courses = modes.T @ table
        error = np.max(np.abs(table - modes @ courses), axis=1)
        if rank >= most or error.max() <= limit:
            break
        rank += 1
    if whole or error.max() <= limit:
        return modes, courses, error
    return _directions(table, limit, table.shape[1])
