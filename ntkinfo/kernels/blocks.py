"""NNGP and NTK blocks by tiles: upper triangles of symmetric blocks, whole rectangles, diagonals without a matrix."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import jax
import numpy as np

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array, float64
from ntkinfo.core.memory import GIB, available_memory, require_memory
from ntkinfo.core.progress import Track, silent
from ntkinfo.core.records import Dataset, fingerprint
from ntkinfo.kernels.measured_error import Computed, measured_error
from ntkinfo.kernels.network import Network
from ntkinfo.kernels.records import CrossBlocks, KernelBlocks, SquareBlocks
from ntkinfo.kernels.store import KernelStore
from ntkinfo.kernels.tiles import TileKernel

# Rows in a panel, the unit that the store keeps. A panel of flat inputs is one row of tiles.
PANEL_FLAT, PANEL_FLAT_ACCELERATOR, PANEL_IMAGES = 256, 2048, 32

# Share of the free memory that a tile may take, and the bytes beyond which larger tiles of images are no faster.
WORKSPACE_SHARE, WORKSPACE_BEST = 0.25, 2.0**29

# Errors that kernels state of themselves are noted above this one.
NOTED = 1e-11


@checked
def kernel_blocks(
    network: Network,
    data: Dataset,
    *,
    store: KernelStore | str | os.PathLike | None = None,
    progress: Track = silent,
    memory_limit: float | None = None,
) -> KernelBlocks:
    """Both kernels of the training inputs, of the test inputs with them, and the test diagonal, in float64.

    Numpy arrays where jax computes on the CPU, jax arrays on the accelerator otherwise.

    Args:
        network: the network.
        data: inputs; the targets play no part.
        store: a `KernelStore` or its folder: panels found there are read, new ones are kept, so that a job that is
            interrupted goes on where it stopped.
        progress: shows the tiles as they are done.
        memory_limit: GiB that the results and the work may take; None takes what is free.

    Returns:
        KernelBlocks: its source computes blocks for new inputs and test with test.

    Raises:
        MemoryError: the job does not fit, with the estimate in GiB.
        ValueError: inputs of a shape that the network does not take, a store that cannot be written to, or kernels
            that are not finite.
    """
    x_test = network.prepare(data.x_test, "x_test")
    kernels = NetworkKernels(network, data.x_train, store=store, progress=progress, memory_limit=memory_limit)
    n, m = len(kernels.x_train), len(x_test)
    kernels.require(n * n + n * m, f"the kernel of {n} training and {m} test inputs", n)
    train, test = kernels.train(), kernels.cross(data.x_test)
    digest = hashlib.sha256(f"{network.fingerprint}{fingerprint(kernels.x_train)}{fingerprint(x_test)}".encode())
    return KernelBlocks(
        train=train,
        test=test,
        source=kernels,
        fingerprint=digest.hexdigest(),
        notes=network.kernel_notes + error_notes(kernels.stated_error),
        kernel_error=kernels.stated_error,
    )


def error_notes(error: float) -> tuple[str, ...]:
    """Say what the kernels lose, where that is more than rounding."""
    if error <= NOTED:
        return ()
    return (f"kernels: entries may be off by {error:.1e} of the root of the product of their two diagonal entries",)


@dataclass(frozen=True)
class _Job:
    """Rows with columns, or one set with itself (symmetric); the kernels of each row and of each column with itself."""

    rows: np.ndarray
    columns: np.ndarray
    symmetric: bool
    key: str
    label: str
    diagonal: list[np.ndarray]
    column_diagonal: list[np.ndarray]

    @cached_property
    def repeats(self) -> tuple[np.ndarray, np.ndarray] | None:
        """A number for each row and each column, the same for equal inputs; None where none of them repeats."""
        known: dict[bytes, int] = {}
        # Adding 0 turns -0 into 0.
        sides = [[known.setdefault((x + 0.0).tobytes(), len(known)) for x in side] for side in self._sides()]
        numbers = [np.array(side, dtype=np.int64) for side in sides]
        if len(known) == sum(len(side) for side in sides):
            return None
        return numbers[0], numbers[-1]

    def _sides(self) -> list[np.ndarray]:
        return [self.rows] if self.symmetric else [self.rows, self.columns]


class NetworkKernels:
    """Both kernels of one network and one training set; implements `KernelSource`.

    Args:
        network: the network.
        x_train: training inputs, (n, ...).
        store: as for `kernel_blocks`.
        progress: as for `kernel_blocks`.
        memory_limit: as for `kernel_blocks`.
        on_device: give jax arrays (True) or numpy arrays (False); None gives jax arrays unless jax computes on the CPU.

    Raises:
        MemoryError: not even a tile of one pair of inputs fits.
        ValueError: inputs of a shape that the network does not take, or a store that cannot be written to.
    """

    def __init__(
        self,
        network: Network,
        x_train: Array,
        *,
        store: KernelStore | str | os.PathLike | None = None,
        progress: Track = silent,
        memory_limit: float | None = None,
        on_device: bool | None = None,
    ):
        if memory_limit is not None:
            checks.positive("memory_limit", memory_limit)
        self.network = network
        self.x_train = network.prepare(x_train, "x_train")
        checks.finite("x_train", self.x_train)
        self.store = KernelStore(store) if isinstance(store, str | os.PathLike) else store
        self.progress = progress
        self.memory_limit = memory_limit
        self.on_device = jax.default_backend() != "cpu" if on_device is None else on_device
        self._tiles = TileKernel(network, self.x_train.shape[1:])
        self._panel, self._tile = self._sizes()
        self.stated_error = network.stated_error  # of all that was computed so far

    @cached_property
    def _train_diagonal(self) -> list[np.ndarray]:
        return self._diagonal(self.x_train)

    def train(self) -> SquareBlocks:
        """The training inputs with themselves, (n, n), exactly symmetric."""
        return self._square(self.x_train, "training kernel")

    def square(self, inputs: Array) -> SquareBlocks:
        """`inputs` (p, ...) with themselves, (p, p), exactly symmetric.

        Raises:
            MemoryError: the two p x p matrices do not fit.
            ValueError: inputs of another shape than the training inputs, NaN or infinite values.
        """
        return self._square(self._prepared(inputs), "kernel of new inputs")

    def cross(self, inputs: Array) -> CrossBlocks:
        """`inputs` (p, ...) with the training inputs, (p, n), and the kernels at each of them, (p,).

        Raises:
            MemoryError: the two p x n matrices do not fit.
            ValueError: inputs of another shape than the training inputs, NaN or infinite values.
        """
        rows = self._prepared(inputs)
        n = len(self.x_train)
        self.require(len(rows) * n, f"the kernel of {len(rows)} inputs with {n} training inputs", None)
        diagonal = self._diagonal(rows)
        others = self._train_diagonal if self._tiles.images is not None else []
        job = _Job(rows, self.x_train, False, self._key(rows, self.x_train), "test kernel", diagonal, others)
        kernels = self._compute(job)
        self._refuse_infinite("(test kernel)", kernels)
        return CrossBlocks(*self._finish(*kernels, *diagonal))

    def diagonal(self, inputs: Array) -> tuple[Array, Array]:
        """NNGP and NTK of each of the inputs (p, ...) with itself, (p,) each, without the p x p matrices."""
        nngp, ntk = self._finish(*self._diagonal(self._prepared(inputs)))
        return nngp, ntk

    def require(self, entries: int, what: str, square: int | None) -> None:
        """Raise MemoryError unless two matrices of that many entries together, and the work on a tile, fit."""
        copies = 2 if self.on_device and jax.default_backend() == "cpu" else 1
        limit = self._limit()
        work = self._tiles.workspace(self._tile, self._tile) / GIB
        needed = 16 * copies * entries / GIB + work
        fitting = max(0, int((limit - work) * GIB / (16 * copies))) if limit > work else 0
        remedy = f"about {fitting:,} kernel entries fit"
        if square is not None:
            remedy = f"about {int(fitting**0.5 * min(1.0, square / entries**0.5)):,} training inputs fit"
        require_memory(what, needed, limit, f"{remedy}: take fewer inputs or raise memory_limit")

    def _limit(self) -> float:
        return available_memory() if self.memory_limit is None else min(self.memory_limit, available_memory())

    def _sizes(self) -> tuple[int, int]:
        """Rows of a panel, and the largest power-of-two part of it whose tile fits the memory."""
        flat = PANEL_FLAT if jax.default_backend() == "cpu" else PANEL_FLAT_ACCELERATOR
        panel = flat if self.x_train.ndim == 2 else PANEL_IMAGES
        budget = min(WORKSPACE_SHARE * self._limit() * GIB, WORKSPACE_BEST)
        tile, work = panel, self._tiles.workspace(panel, panel)
        while tile > 1 and work > budget:
            tile, work = tile // 2, work / 4
        what = f"one tile of {self.network.describe()} on inputs of shape {self.x_train.shape[1:]}"
        require_memory(what, work / GIB, self._limit(), "take smaller images, or a readout without pooling")
        return panel, tile

    def _prepared(self, inputs: Array) -> np.ndarray:
        prepared = self.network.prepare(np.asarray(inputs), "inputs")
        if prepared.shape[1:] != self.x_train.shape[1:]:
            raise ValueError(
                f"inputs have shape {prepared.shape} as the network takes them; the training inputs have "
                f"{self.x_train.shape}, and all but the first number must agree"
            )
        checks.finite("inputs", prepared)
        return prepared

    def _key(self, rows: np.ndarray, columns: np.ndarray) -> str:
        if self.store is None:
            return ""
        # Panels of images were kept without an error once.
        kind = "bounded:" if self._tiles.images is not None else ""
        return f"{kind}{self.network.fingerprint}:{fingerprint(rows)}:{fingerprint(columns)}"

    def _square(self, inputs: np.ndarray, label: str) -> SquareBlocks:
        n = len(inputs)
        self.require(n * n, f"the kernel of {n} inputs with themselves", n)
        diagonals = self._train_diagonal if inputs is self.x_train else self._diagonal(inputs)
        kernels = self._compute(_Job(inputs, inputs, True, self._key(inputs, inputs), label, diagonals, diagonals))
        for kernel, diagonal in zip(kernels, diagonals, strict=True):
            np.fill_diagonal(kernel, diagonal)
        self._refuse_infinite(f"({label})", kernels)
        return SquareBlocks(*self._finish(*kernels))

    def _diagonal(self, inputs: np.ndarray) -> list[np.ndarray]:
        """Both diagonals; an image takes as much memory as a pair of a tile."""
        step = self._panel if inputs.ndim == 2 else self._tile
        parts = []
        for i in range(0, len(inputs), step):
            parts.append(self._tiles.diagonal(inputs[i : i + step], step))
            self.stated_error = max(self.stated_error, self._tiles.error)
        diagonals = [np.concatenate(kernel) for kernel in zip(*parts, strict=True)]
        self._refuse_infinite("of inputs with themselves", diagonals)
        return diagonals

    def _compute(self, job: _Job) -> list[np.ndarray]:
        """Both kernels panel by panel; the lower triangle of a symmetric job is the mirrored upper one."""
        n, m = len(job.rows), len(job.columns)
        result = [np.empty((n, m)), np.empty((n, m))]
        missing = [start for start in range(0, n, self._panel) if not self._restore(job, start, result)]
        tiles = [tile for start in missing for tile in self._panel_tiles(job, start)]
        error = 0.0
        for row, column, last in self.progress(tiles, job.label, len(tiles)):
            self._fill(job, row, column, result)
            error = max(error, self._tiles.error)
            if last is not None:
                self._keep(job, last, result, error)
                self.stated_error, error = max(self.stated_error, error), 0.0
        if job.symmetric:
            for kernel in result:
                _mirror(kernel, self._panel)
        if not self._tiles.bounded:
            self.stated_error = max(self.stated_error, self._measured(job, result))
        return result

    def _measured(self, job: _Job, result: list[np.ndarray]) -> float:
        """Error by rounding, from inputs whose last digits change."""
        numbers = job.repeats
        if numbers is None:
            first = np.arange(len(job.rows))
            numbers = (first, first if job.symmetric else len(first) + np.arange(len(job.columns)))
        return measured_error(Computed(job.rows, job.columns, result, numbers), self._rectangle, self._diagonal)

    def _rectangle(self, rows: np.ndarray, columns: np.ndarray) -> list[np.ndarray]:
        step, size = self._tile, (self._tile, self._tile)
        first, second = (range(0, len(side), step) for side in (rows, columns))
        tiles = [[self._tiles.tile(rows[i : i + step], columns[j : j + step], size) for j in second] for i in first]
        return [np.block([[tile[k] for tile in row] for row in tiles]) for k in range(2)]

    def _refuse_infinite(self, what: str, kernels: list[np.ndarray]) -> None:
        """Raise where an entry is NaN or infinite."""
        for name, kernel in zip(("NNGP", "NTK"), kernels, strict=True):
            # A sum that is finite holds neither; it may overflow by itself.
            if np.isfinite(np.sum(kernel)) or np.all(np.isfinite(kernel)):
                continue
            wrong = ~np.isfinite(kernel)
            place = [int(k) for k in np.argwhere(wrong)[0]]
            between = f"between inputs {place[0]} and {place[-1]}"
            raise ValueError(
                f"{self.network.describe()}: {int(np.sum(wrong))} of {kernel.size} entries of the {name} {what} are "
                f"NaN or infinite, the first {between}: rescale the inputs (their largest value is "
                f"{np.abs(self.x_train).max():.3g}), or take a network whose kernel is finite on them"
            )

    def _panel_tiles(self, job: _Job, start: int) -> Iterator[tuple[int, int, int | None]]:
        """First row and column of each tile of a panel, and the panel's first row on its last tile."""
        rows = range(start, min(start + self._panel, len(job.rows)), self._tile)
        tiles = [(r, c) for r in rows for c in range(r if job.symmetric else 0, len(job.columns), self._tile)]
        for number, (row, column) in enumerate(tiles, start=1):
            yield row, column, start if number == len(tiles) else None

    def _fill(self, job: _Job, row: int, column: int, result: list[np.ndarray]) -> None:
        rows, columns = job.rows[row : row + self._tile], job.columns[column : column + self._tile]
        same = None
        if job.repeats is not None:
            same = np.equal.outer(job.repeats[0][row : row + len(rows)], job.repeats[1][column : column + len(columns)])
        # Equal inputs get their diagonal entry, and a lower triangle the mirrored upper one.
        known = np.tri(len(rows), dtype=bool) if job.symmetric and row == column else same
        diagonals = None
        if self._tiles.images is not None:
            places = slice(row, row + len(rows)), slice(column, column + len(columns))
            both = (job.diagonal, places[0]), (job.column_diagonal, places[1])
            diagonals = [[kernel[place] for kernel in kernels] for kernels, place in both]
        values = self._tiles.tile(rows, columns, (self._tile, self._tile), known, diagonals)
        for kernel, value in zip(result, values, strict=True):
            kernel[row : row + len(rows), column : column + len(columns)] = value
        if same is not None:
            places = np.nonzero(same)
            for kernel, diagonal in zip(result, job.diagonal, strict=True):
                kernel[row + places[0], column + places[1]] = diagonal[row + places[0]]

    def _slices(self, job: _Job, start: int) -> tuple[str, tuple[slice, slice]]:
        """The key of a panel in the store, and where it lies."""
        stop = min(start + self._panel, len(job.rows))
        first = start if job.symmetric else 0
        return f"{job.key}:{start}-{stop}:{first}", (slice(start, stop), slice(first, None))

    def _restore(self, job: _Job, start: int, result: list[np.ndarray]) -> bool:
        if self.store is None:
            return False
        key, place = self._slices(job, start)
        stored = self.store.load(key, result[0][place].shape)
        if stored is None:
            return False
        for kernel, value in zip(result, stored, strict=True):
            kernel[place] = value
        self.stated_error = max(self.stated_error, self.store.error(key))
        return True

    def _keep(self, job: _Job, start: int, result: list[np.ndarray], error: float) -> None:
        if self.store is not None:
            key, place = self._slices(job, start)
            if job.symmetric:
                for kernel in result:
                    _mirror(kernel[place[0], place[0]], self._panel)
            nngp, ntk = (np.ascontiguousarray(kernel[place]) for kernel in result)
            self.store.save(key, nngp, ntk, error)

    def _finish(self, *kernels: np.ndarray) -> list[Array]:
        if not self.on_device:
            return list(kernels)
        with float64():
            return [jax.device_put(kernel) for kernel in kernels]


def _mirror(kernel: np.ndarray, step: int) -> None:
    """Copy the upper triangle of a square matrix onto the lower one, in place, block by block."""
    for start in range(0, len(kernel), step):
        stop = start + step
        kernel[stop:, start:stop] = kernel[start:stop, stop:].T
        corner = kernel[start:stop, start:stop]
        corner[:] = np.triu(corner) + np.triu(corner, 1).T
