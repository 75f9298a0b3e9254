"""Trains the members of an ensemble, a few at a time, and records them at chosen steps; restartable and exact.

A member is a pure function of the seed and its number: initial parameters, batches and noise come from keys
fold_in(fold_in(fold_in(key(seed), member), stream), step). Neither grouping nor threads nor a restart changes them.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Int

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.memory import GIB, available_memory, require_memory
from ntkinfo.core.progress import Track, bar
from ntkinfo.core.threads import thread_count
from ntkinfo.finite.checkpoints import Checkpoints, Progress
from ntkinfo.finite.member_program import (
    Batch,
    Key,
    MemberProgram,
    Params,
    State,
    Training,
    lane_size,
    precision_context,
)

__all__ = [
    "Batch",
    "Interrupted",
    "Key",
    "MemberRecords",
    "Params",
    "TrainerSettings",
    "Training",
    "train_members",
]

PRECISIONS = ("float64", "float32")
# Share of the free memory that the members in training may take, and arrays as large as the largest one alive at once.
_SHARE, _LIVE = 0.5, 6
# Steps between two looks at whether to stop take about this many seconds; looks that the progress bar counts a lane.
_SLICE_SECONDS, _MARKS = 0.5, 64


class DivergedError(ValueError):
    """The parameters of a member are no longer finite."""


@checked
@dataclass(frozen=True)
class TrainerSettings:
    """How many members are trained, and how.

    Args:
        members: number of members M, each with its own keys.
        seed: of the ensemble.
        precision: "float64" or "float32". Initial parameters are drawn in float64 and rounded, so that both precisions
            start from the same members.
        group: members in memory at the same time, at most; None for what memory and processors suggest. It decides
            how many members share a vectorised computation, which can change the last digits of results.
        checkpoint: folder from which a run that was killed goes on, to the same numbers to the last bit on the same
            machine and versions; None to keep nothing.

    Raises:
        TypeError, ValueError: a number out of range, an unknown precision.
    """

    members: int = 64
    seed: int = 0
    precision: str = "float64"
    group: int | None = None
    checkpoint: str | Path | None = None

    def __post_init__(self):
        checks.whole("members", self.members)
        checks.whole("seed", self.seed, least=0)
        checks.choice("precision", self.precision, PRECISIONS)
        if self.group is not None:
            checks.whole("group", self.group)
        if self.checkpoint is not None and not isinstance(self.checkpoint, str | os.PathLike):
            raise TypeError(f"checkpoint is {self.checkpoint!r}; it must be the path of a folder")

    @property
    def context(self) -> AbstractContextManager:
        """Where jax computes in the wanted precision."""
        return precision_context(self.precision)


@dataclass(frozen=True)
class MemberRecords:
    """What was recorded of every member.

    Args:
        steps: (T,), steps taken before each record.
        values: the pytree that `observe` returns, its leaves numpy arrays (T, M, ...).
        members: number of members M.
        numbers: (M,), the members' numbers: 0 to M − 1, or those that were finished when the run was interrupted.
        notes: what to know about the run.
    """

    steps: Int[np.ndarray, " t"]
    values: Any
    members: int
    numbers: Int[np.ndarray, " m"]
    notes: tuple[str, ...] = field(default=())


class Interrupted(KeyboardInterrupt):
    """Raised in place of KeyboardInterrupt.

    Attributes:
        partial: the `MemberRecords` of the members that were finished, or None where none was. A subclass of training
            (`train_ensemble`) puts its own record here.
    """

    def __init__(self, partial: Any):
        super().__init__("interrupted; `partial` holds the members that were finished")
        self.partial = partial


@checked
def train_members(
    training: Training,
    record_steps: Sequence[int] | np.ndarray,
    settings: TrainerSettings | None = None,
    progress: Track = bar,
) -> MemberRecords:
    """Train every member and record it at the chosen steps.

    Args:
        training: what one member does.
        record_steps: (T,), whole numbers of steps, strictly rising from 0 or above.
        settings: members, seed, precision, checkpoint.
        progress: shown over all members' steps.

    Raises:
        TypeError, ValueError: bad input, a checkpoint of another run, a member whose parameters are no longer finite.
        MemoryError: not even one member fits.
        Interrupted: on Ctrl-C, with the members that were finished.

    Fails when the functions of `training` are not pure: results would differ between runs, and after a restart.
    """
    settings = settings or TrainerSettings()
    steps = _checked(training, record_steps)
    lane = min(lane_size(training, settings.seed, settings.precision, settings.members), settings.group or 1 << 62)
    program = MemberProgram(training, settings.seed, settings.precision, lane)
    threads = _threads(program, settings)
    store = None
    if settings.checkpoint is not None:
        store = Checkpoints(settings.checkpoint, _configuration(program, steps, settings.members))
    return _Run(program, steps, settings.members, threads, store).collect(progress)


def _checked(training: Training, record_steps: Any) -> np.ndarray:
    """Record steps as an array; raises unless they and the examples are sound."""
    steps = np.asarray(record_steps)
    if steps.ndim != 1 or steps.size == 0 or not np.issubdtype(steps.dtype, np.integer):
        raise ValueError(f"record_steps is {record_steps!r}; it must be a non-empty row of whole numbers")
    if steps[0] < 0 or np.any(np.diff(steps) <= 0):
        raise ValueError("record_steps must rise strictly from 0 or above: sort them and drop repeated ones")
    if steps[-1] >= 2**31:
        raise ValueError(f"record_steps reaches {steps[-1]}; at most {2**31 - 1} steps are possible")
    lengths = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(training.examples)}
    if len(lengths) != 1 or lengths in ({()}, {(0,)}):
        raise ValueError(f"examples have leading axes {sorted(lengths)}; they must share one, of at least one example")
    if training.batch_size is not None:
        checks.whole("batch_size", training.batch_size)
        if training.batch_size > training.n_examples:
            raise ValueError(
                f"batch_size is {training.batch_size} and there are {training.n_examples} examples; "
                "take at most that many, or None for full batches"
            )
    return steps.astype(np.int64)


def _threads(program: MemberProgram, settings: TrainerSettings) -> int:
    """Lanes trained at the same time."""
    if jax.local_devices()[0].platform != "cpu":
        return 1
    needed = program.lane * (2 * program.state_bytes + _LIVE * program.largest_bytes) / GIB
    limit = _SHARE * available_memory()
    require_memory(f"{program.lane} member(s)", needed, limit, "take a smaller group, width or number of inputs")
    lanes = -(-settings.members // program.lane)
    most = max(1, (settings.group or lanes * program.lane) // program.lane)
    return max(1, min(thread_count(), lanes, most, int(limit / needed)))


def _configuration(program: MemberProgram, steps: np.ndarray, members: int) -> dict[str, Any]:
    return {
        "record_steps": steps.tolist(),
        "members": members,
        "lane": program.lane,
        "seed": program.seed,
        "precision": program.precision,
        "batch_size": program.training.batch_size,
        "jax": jax.__version__,
        "device": jax.local_devices()[0].device_kind,
        "computation and examples": program.fingerprint,
    }


class _Stopped(Exception):  # noqa: N818 - no error: another thread asked this one to end
    """Ends a lane's thread after an interruption or an error elsewhere."""


@dataclass(frozen=True)
class _Run:
    """All the lanes of one run, on a few threads; the calling thread waits, shows progress and can be interrupted."""

    program: MemberProgram
    steps: np.ndarray
    members: int
    threads: int
    store: Checkpoints | None
    finished: dict[int, Any] = field(default_factory=dict)
    told: dict[int, int] = field(default_factory=dict)
    pace: list[float] = field(default_factory=lambda: [np.inf])
    stop: threading.Event = field(default_factory=threading.Event)
    reports: queue.SimpleQueue = field(default_factory=queue.SimpleQueue)

    @property
    def lanes(self) -> int:
        return -(-self.members // self.program.lane)

    @cached_property
    def marks(self) -> np.ndarray:
        """Steps that the progress bar counts: the recorded ones, and others in even distances."""
        between = np.linspace(0, self.steps[-1], _MARKS + 1)[1:].astype(np.int64)
        return np.unique(np.concatenate([self.steps, between]))

    def collect(self, progress: Track) -> MemberRecords:
        with ThreadPoolExecutor(self.threads) as pool:
            try:
                self.program.compile()
                for lane in range(self.lanes):
                    pool.submit(self._report, lane)
                for _ in progress(self._reported(), "training members", self.lanes * len(self.marks)):
                    pass
            except KeyboardInterrupt:
                self._end(pool)
                raise Interrupted(self._records() if self.finished else None) from None
            except BaseException:
                self._end(pool)
                raise
        return self._records()

    def _end(self, pool: ThreadPoolExecutor) -> None:
        self.stop.set()
        pool.shutdown(cancel_futures=True)

    def _reported(self) -> Iterator[int]:
        """Yield once for every mark that a lane has passed, until all are done; raise what a lane raised."""
        done = 0
        while done < self.lanes:
            try:
                report = self.reports.get(timeout=_SLICE_SECONDS)
            except queue.Empty:  # a chance for Ctrl-C, which does not wake a waiting thread everywhere
                continue
            if isinstance(report, BaseException):
                raise report
            done += report is None
            yield from range(report or 0)

    def _report(self, lane: int) -> None:
        try:
            self.finished[lane] = self._train(lane)
            self.reports.put(None)
        except BaseException as error:
            self.reports.put(error)

    def _train(self, lane: int) -> list[np.ndarray]:
        """Leaves (T, lane, ...) of what was recorded of a lane."""
        members = self._members(lane)
        before = None if self.store is None else self.store.load(lane)
        records, values, state, step = 0, [], None, 0
        if before is not None and before.records:
            records, values, step = before.records, before.values, int(self.steps[before.records - 1])
            self._tell(lane, step)
            if records == len(self.steps):
                return values
            state = self.program.restored(before.state)
        state = self.program.start(members) if state is None else state
        for target in self.steps[records:]:
            state = self._advance(lane, state, step, int(target))
            step, seen = int(target), jax.tree.leaves(self.program.observe(state, members, int(target)))
            self._check_finite(state, members, step)
            values = (
                [np.concatenate([old, new[None]]) for old, new in zip(values, seen, strict=True)]
                if values
                else [new[None] for new in seen]
            )
            records += 1
            self._save(lane, records, values, state)
            self._tell(lane, step)
        return values

    def _advance(self, lane: int, state: State, step: int, target: int) -> State:
        """Go to that step in slices short enough that the run can be interrupted between them."""
        while step < target:
            if self.stop.is_set():
                raise _Stopped
            count = min(target - step, max(1, int(_SLICE_SECONDS / self.pace[0])))
            began = time.perf_counter()
            state = self.program.advance(state, self._members(lane), step, count)
            jax.block_until_ready(state.moving)
            # Slices change no number, so lanes may share what they know of the time that a step takes.
            self.pace[0], step = max((time.perf_counter() - began) / count, 1e-9), step + count
            self._tell(lane, step)
        return state

    def _members(self, lane: int) -> np.ndarray:
        return np.arange(lane * self.program.lane, (lane + 1) * self.program.lane)

    def _tell(self, lane: int, step: int) -> None:
        """Report the marks that a lane has passed since it last did."""
        passed = int(np.sum(self.marks <= step))
        self.reports.put(passed - self.told.get(lane, 0))
        self.told[lane] = passed

    def _check_finite(self, state: State, members: np.ndarray, step: int) -> None:
        for leaf in jax.tree.leaves(state.moving[0]):
            sound = np.isfinite(np.asarray(leaf)).reshape(len(members), -1).all(axis=1)
            if not sound.all():
                raise DivergedError(
                    f"parameters of member {members[~sound][0]} are not finite after {step} steps: training diverged; "
                    "take a smaller step"
                )

    def _save(self, lane: int, records: int, values: list[np.ndarray], state: State) -> None:
        if self.store is not None:
            done = records == len(self.steps)
            kept = [] if done else [np.asarray(leaf) for leaf in jax.tree.leaves((state.moving, state.fixed))]
            self.store.save(lane, Progress(records, values, kept))

    def _records(self) -> MemberRecords:
        """Put the finished lanes together, without the members that only fill up the last one."""
        lane = self.program.lane
        numbers = np.concatenate([np.arange(k * lane, (k + 1) * lane) for k in sorted(self.finished)])
        kept = numbers < self.members
        leaves = [np.concatenate(parts, axis=1)[:, kept] for parts in zip(*self._in_order(), strict=True)]
        values = jax.tree.unflatten(self.program.value_tree, leaves)
        notes = (f"{self.lanes} groups of {lane}, {self.program.precision}, {jax.local_devices()[0].device_kind}",)
        if len(self.finished) < self.lanes:
            notes += (f"interrupted: {int(kept.sum())} of {self.members} members finished",)
        return MemberRecords(self.steps, values, int(kept.sum()), numbers[kept], notes)

    def _in_order(self) -> list[list[np.ndarray]]:
        return [self.finished[lane] for lane in sorted(self.finished)]
