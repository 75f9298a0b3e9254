"""A sweep: every trial that is missing in a folder of records is measured once, on as many processes as there are.

Nothing here knows what is measured. What came back is on the disk before it counts as done, so a sweep that ends in any
way — Ctrl-C, a killed driver, a full disk, a lost scheduler — loses only the trials that were being measured, and
calling it again goes on with what is missing.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.progress import Track, bar
from ntkinfo.search.batches import AHEAD, Batch, GroupLike, Queue
from ntkinfo.search.cluster_settings import ClusterSettings
from ntkinfo.search.records import Records
from ntkinfo.search.workers import ERROR, Answer, LostWorker, Measure, failure, measured, packed

_POLL = 0.5  # seconds between looks for workers that came or went
_PATIENCE = 300.0  # seconds without a worker before a cluster of this machine is given up
_KILLED = (
    "the process that measured this trial ended without an answer three times, the last time with nothing else going "
    "on: it may need more memory than there is, or crash"
)


@checked
@dataclass(frozen=True)
class SweepSettings:
    """How trials are handed out.

    Args:
        batch_seconds: how long the trials that go to a worker together should take; what a lost worker costs.
        retry_failed: measure trials again whose record is an error.
    """

    batch_seconds: float = 1.5
    retry_failed: bool = False

    def __post_init__(self):
        checks.positive("batch_seconds", self.batch_seconds)


@dataclass(frozen=True)
class SweepResult:
    """How a sweep ended.

    Args:
        trials: different trials that were asked for.
        there: of these, how many were recorded before.
        measured: recorded now, with or without an error.
        failed: of these, how many with an error.
        lost: batches whose worker died.
        seconds: wall clock.
        notes: files of records that were left out.
    """

    trials: int
    there: int
    measured: int = 0
    failed: int = 0
    lost: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def missing(self) -> int:
        """Trials without a record."""
        return self.trials - self.there - self.measured


class SweepInterrupted(KeyboardInterrupt):
    """Raised in place of KeyboardInterrupt.

    Attributes:
        result: how far the sweep came; all of it is recorded.
    """

    def __init__(self, result: SweepResult):
        super().__init__(
            f"interrupted: {result.there + result.measured} of {result.trials} trials are recorded; the same command "
            f"goes on with the {result.missing} that are missing"
        )
        self.result = result


@runtime_checkable
class PoolLike(Protocol):
    """Workers; see `ntkinfo.search.cluster.Pool`."""

    name: str
    local: bool
    tells: bool

    def workers(self, fresh: bool = False) -> tuple[str, ...]:
        """Names of the workers there are."""
        ...

    def submit(self, worker: str, load: bytes) -> int:
        """Send a batch to a worker; returns its ticket."""
        ...

    def finished(self, timeout: float) -> list[tuple[int, Answer | LostWorker]]:
        """Batches that ended."""
        ...

    def forget(self, ticket: int) -> None:
        """Cancel a batch."""
        ...


@checked
def sweep(
    groups: Iterable[GroupLike],
    measure: Measure,
    folder: str | os.PathLike[str],
    cluster: ClusterSettings | None = None,
    settings: SweepSettings | None = None,
    progress: Track = bar,
) -> SweepResult:
    """Measure all trials that a folder of records lacks.

    Args:
        groups: trials that share work, with what that is expected to take. A trial has a `fingerprint`, and `settings`
            where it has any; a trial that is there twice is measured once.
        measure: from trials of one group to their outcomes, in any order; a function at the top of a module.
        folder: of the records; made if it is not there. One sweep at a time can write to it.
        cluster: where trials are measured; None for a process a core on this machine.
        settings: how they are handed out.
        progress: shown while it runs; counts the trials that were missing.

    Returns:
        How it ended; the records are in the folder (`records.read_records`).

    Raises:
        SweepInterrupted: on Ctrl-C; what came back is recorded.
        OSError: the records cannot be written (a full disk), or another sweep writes to the folder.
        ConnectionError: no scheduler there, or it is lost.
        RuntimeError: workers that cannot run trials at all.

    Fails when a trial never ends: nothing here limits its time.
    """
    settings = settings or SweepSettings()
    cluster = cluster or ClusterSettings()
    groups = list(groups)
    start = time.monotonic()
    with Records(folder) as records:
        wanted, missing = _missing(groups, records, settings.retry_failed)
        count = sum(len(group.trials) for group in missing)
        run = _Run(records, SweepResult(wanted, wanted - count, notes=records.notes))
        try:
            if count:
                with closing(_rows(run, missing, measure, cluster, settings)) as rows:
                    for _ in progress(rows, "trials", count):
                        pass
                records.merge()
        except KeyboardInterrupt:
            run.save()
            raise SweepInterrupted(replace(run.result, seconds=time.monotonic() - start)) from None
        return replace(run.result, seconds=time.monotonic() - start)


@dataclass(frozen=True)
class _Missing:
    """A group with the trials of it that are to be measured."""

    key: str
    trials: tuple[Any, ...]
    shared_seconds: float
    trial_seconds: float


@dataclass
class _Run:
    """What has come back, and how much of it is on the disk."""

    records: Records
    result: SweepResult
    rows: list[dict[str, Any]] = field(default_factory=list)

    def save(self) -> list[Mapping[str, Any]]:
        """Put rows that came back on the disk; returns them as they were recorded."""
        # Recorded rows go only once they are on the disk: an interruption in between records them again, which is once.
        recorded = self.records.add(self.rows)
        self.rows.clear()
        failed = sum(row[ERROR] is not None for row in recorded)
        self.result = replace(
            self.result, measured=self.result.measured + len(recorded), failed=self.result.failed + failed
        )
        return recorded

    def lose(self) -> None:
        """Count a batch whose worker died."""
        self.result = replace(self.result, lost=self.result.lost + 1)


def _missing(groups: Sequence[GroupLike], records: Records, again: bool) -> tuple[int, list[_Missing]]:
    """How many different trials there are, and the groups with those that are to be measured."""
    seen: set[str] = set()
    found = []
    for group in groups:
        fresh = {trial.fingerprint: trial for trial in group.trials if trial.fingerprint not in seen}
        seen.update(fresh)
        done = records.done
        trials = tuple(t for key, t in fresh.items() if key not in done or (again and done[key]))
        if trials:
            found.append(_Missing(group.key, trials, float(group.shared_seconds), float(group.trial_seconds)))
    return len(seen), found


def _rows(
    run: _Run, groups: Sequence[_Missing], measure: Measure, cluster: ClusterSettings, settings: SweepSettings
) -> Generator[Mapping[str, Any], None, None]:
    """Every row once it is recorded."""
    if cluster.workers == 0:
        yield from _here(run, groups, measure)
        return
    packed(measure, groups[0].trials[:1])  # what cannot be sent is found out before any process starts
    with _connected(cluster, run.records.folder) as pool:
        driver = _Driver(pool, Queue(groups, settings.batch_seconds), measure, run)
        try:
            yield from driver.rows()
        except (KeyboardInterrupt, GeneratorExit):
            driver.collect()
            raise


def _connected(cluster: ClusterSettings, folder: Path) -> AbstractContextManager[PoolLike]:
    if cluster.scheduler is None and cluster.slurm is None:
        from ntkinfo.search.local_pool import local_pool

        return local_pool(cluster)
    from ntkinfo.search.cluster import connected

    return connected(cluster, folder)


def _here(run: _Run, groups: Sequence[_Missing], measure: Measure) -> Iterator[Mapping[str, Any]]:
    """Measure in this process; a part a second."""
    due = time.monotonic() + 1.0
    for group in groups:
        for row in measured(measure, group.trials):
            run.rows.append(row)
            if time.monotonic() >= due:
                yield from run.save()
                due = time.monotonic() + 1.0
    yield from run.save()


class _Driver:
    """Hands batches to workers and takes in what they come to."""

    def __init__(self, pool: PoolLike, todo: Queue, measure: Measure, run: _Run):
        self._pool, self._todo, self._measure, self._run = pool, todo, measure, run
        self._running: dict[int, tuple[Batch, str]] = {}
        self._load: dict[str, int] = {}
        self._seen = time.monotonic()
        self._told, self._stale = False, False

    def rows(self) -> Iterator[Mapping[str, Any]]:
        """Every row once it is recorded, until all are."""
        while self._hand_out() or self._running or self._todo.left:
            self._take_in(_POLL)
            self._look_for_lost()
            yield from self._run.save()

    def collect(self) -> None:
        """Take in what has come back already; nothing is waited for."""
        self._take_in(0.0)

    def _hand_out(self) -> bool:
        """Give every worker what it can have; whether anything was given."""
        workers = self._pool.workers(fresh=self._stale or not self._running)
        self._stale = False
        self._watch(workers)
        given = False
        for level in range(AHEAD):  # everyone first gets one batch, then a second one
            for worker in workers:
                if self._load.get(worker, 0) <= level:
                    given |= self._give(worker, len(workers))
        return given

    def _give(self, worker: str, workers: int) -> bool:
        batch = self._todo.take(worker, workers, len(self._running))
        if batch is None:
            return False
        ticket = self._pool.submit(worker, packed(self._measure, batch.trials))
        self._running[ticket] = (batch, worker)
        self._load[worker] = self._load.get(worker, 0) + 1
        return True

    def _take_in(self, timeout: float) -> None:
        for ticket, answer in self._pool.finished(timeout):
            batch, worker = self._settle(ticket)
            if isinstance(answer, Answer):
                self._todo.learn(batch, answer.seconds)
                self._run.rows.extend(answer.rows)
            else:
                self._died(batch, worker)

    def _look_for_lost(self) -> None:
        """Batches whose worker is gone are taken back; the scheduler would keep them until it returns."""
        workers = set(self._pool.workers())
        for ticket, (_, worker) in list(self._running.items()):
            if worker in workers:
                continue
            self._pool.forget(ticket)
            batch, _ = self._settle(ticket)
            if self._pool.tells:  # and did not, so the batch was never begun
                self._todo.give_back(batch)
            else:
                self._died(batch, worker)
        self._todo.keep(workers)

    def _settle(self, ticket: int) -> tuple[Batch, str]:
        batch, worker = self._running.pop(ticket)
        self._load[worker] -= 1
        return batch, worker

    def _died(self, batch: Batch, worker: str) -> None:
        self._run.lose()
        self._stale = True
        self._run.rows.extend(failure(trial, _KILLED) for trial in self._todo.died(batch, worker))

    def _watch(self, workers: Sequence[str]) -> None:
        """Say, once, that no worker is there; give up where none will come."""
        now = time.monotonic()
        if workers:
            self._seen, self._told = now, False
        elif now - self._seen > _PATIENCE and self._pool.local:
            raise RuntimeError(f"{self._pool.name} has had no worker for {_PATIENCE:.0f} seconds; they do not start")
        elif now - self._seen > _PATIENCE / 10 and not self._pool.local and not self._told:
            self._told = True
            warnings.warn(f"{self._pool.name} has no workers; waiting for one", stacklevel=2)
