"""Workers of a sweep on this machine: processes that talk to the driver over pipes, so that nothing listens anywhere.

A scheduler's port, on loopback too, is open to every user of the machine, and whoever reaches it runs code as its
owner. A pipe has two ends and no address.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from queue import SimpleQueue
from typing import Any

import psutil

from ntkinfo.search.cluster_settings import ClusterSettings, bytes_of, cores
from ntkinfo.search.workers import Answer, LostWorker, run_batch

# One thread a worker: the workers are as many as the cores. Variables that the user has set win.
THREADS = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NPROC": "1",  # what XLA takes for the number of cores
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
}
_LOOK = 0.5  # seconds between looks at the memory of the workers
_STARTS = 3  # processes in a row that end before they are ready
_READY, _BEGUN, _DONE, _CANNOT = "ready", "begun", "done", "cannot"


@dataclass
class _Process:
    """A worker as the driver sees it: its end of the pipe, and the batches it has, the oldest first."""

    name: str
    process: Any
    pipe: Connection
    ready: bool = False
    begun: int | None = None
    tickets: deque[int] = field(default_factory=deque)


class LocalPool:
    """Processes of this machine, each started again where it ends.

    Args:
        count: how many.
        memory: bytes that each may take; one that takes more is ended.
        environment: variables that are set for them where this process does not set them.
    """

    name, local, tells = "the cluster of this machine", True, True

    def __init__(self, count: int, memory: float, environment: Mapping[str, str]):
        self._memory, self._environment = memory, environment
        self._started, self._failed, self._tickets = 0, 0, 0
        self._looked = time.monotonic()
        self._lost: list[tuple[int, Answer | LostWorker]] = []
        self._workers: dict[str, _Process] = {}
        for _ in range(count):
            self._start()

    def workers(self, fresh: bool = False) -> tuple[str, ...]:
        """Names of the workers that are ready."""
        return tuple(worker.name for worker in self._workers.values() if worker.ready)

    def submit(self, worker: str, load: bytes) -> int:
        """Send a batch to a worker; returns its ticket."""
        self._tickets += 1
        ticket, place = self._tickets, self._workers.get(worker)
        if place is None:
            self._lost.append((ticket, LostWorker()))
            return ticket
        place.tickets.append(ticket)
        with suppress(OSError):  # it has ended, which the next look finds out
            place.pipe.send((ticket, load))
        return ticket

    def finished(self, timeout: float) -> list[tuple[int, Answer | LostWorker]]:
        """Batches that ended, waiting for the first at most so many seconds.

        Raises:
            RuntimeError: workers that cannot run trials at all.
        """
        end = time.monotonic() + timeout
        while True:
            self._end_the_large()
            found, self._lost = self._lost, []
            left = max(0.0, end - time.monotonic())
            pipes = {worker.pipe: worker for worker in self._workers.values()}
            for pipe in wait(list(pipes), 0.0 if found else min(left, _LOOK)):
                found += self._heard(pipes[pipe])  # pyright: ignore[reportArgumentType] - a pipe, as all that is waited for
            if found or left <= 0:
                return found

    def forget(self, ticket: int) -> None:
        """What a batch comes to is not wanted any more."""
        for worker in self._workers.values():
            if ticket in worker.tickets:
                worker.tickets.remove(ticket)

    def close(self) -> None:
        """End all processes at once: they hold nothing that is wanted, and a trial may take long."""
        for worker in self._workers.values():
            with suppress(Exception):  # it never started
                worker.process.kill()
        for worker in self._workers.values():
            worker.process.join(10)
            worker.pipe.close()
        self._workers.clear()

    def _start(self) -> None:
        here, there = multiprocessing.Pipe()
        self._started += 1
        name = f"worker-{self._started}"
        context = multiprocessing.get_context("spawn")  # jax hangs where its process is forked
        process = context.Process(target=_serve, args=(there,), name=name, daemon=True)
        before = dict(os.environ)
        os.environ.update({**self._environment, **before})
        try:
            with _interrupts_held():
                process.start()
        finally:
            for key in self._environment.keys() - before.keys():
                os.environ.pop(key, None)
        there.close()
        self._workers[name] = _Process(name, process, here)

    def _heard(self, worker: _Process) -> list[tuple[int, Answer | LostWorker]]:
        try:
            kind, *content = worker.pipe.recv()
        except (EOFError, OSError):
            return self._ended(worker)
        if kind == _READY:
            worker.ready, self._failed = True, 0
            return []
        ticket, *answer = content
        if kind == _BEGUN:
            worker.begun = ticket
            return []
        worker.begun = None
        if kind == _CANNOT:
            raise RuntimeError(
                f"{self.name} has a worker that cannot run trials ({answer[0]}); ntkinfo and what it needs have to be "
                "installed there as here"
            )
        if ticket not in worker.tickets:  # forgotten
            return []
        worker.tickets.remove(ticket)
        return [(ticket, answer[0])]

    def _ended(self, worker: _Process) -> list[tuple[int, Answer | LostWorker]]:
        """Start another process in its place; the batch that it had begun is lost, those that waited are given back."""
        del self._workers[worker.name]
        worker.pipe.close()
        worker.process.join(10)
        self._failed += not worker.ready
        if self._failed >= _STARTS:
            raise RuntimeError(f"{self.name} has processes that end before they are ready; they do not start")
        self._start()
        return [(worker.begun, LostWorker())] if worker.begun in worker.tickets else []

    def _end_the_large(self) -> None:
        now = time.monotonic()
        if now - self._looked < _LOOK:
            return
        self._looked = now
        for worker in self._workers.values():
            with suppress(psutil.Error):
                if psutil.Process(worker.process.pid).memory_info().rss > self._memory:
                    worker.process.kill()


@contextmanager
def local_pool(settings: ClusterSettings) -> Iterator[LocalPool]:
    """Workers on this machine for the length of a block.

    Args:
        settings: how many, their memory, and their variables.

    Raises:
        RuntimeError: called while a process started by it imports the program that called it.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise RuntimeError(
            "a sweep starts processes that import the program again: call it under `if __name__ == '__main__':`"
        )
    count = settings.workers or cores()
    memory = psutil.virtual_memory().total / count
    if settings.memory_limit != "auto":
        memory = bytes_of(settings.memory_limit)
    pool = LocalPool(count, memory, {"MALLOC_TRIM_THRESHOLD_": "65536", **THREADS, **settings.environment})
    try:
        yield pool
    finally:
        pool.close()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Start a process that never sees Ctrl-C, which reaches every process of a terminal: the driver decides alone."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection) -> None:
    """What a worker's process does: one batch after the other, until the driver is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    waiting: SimpleQueue[tuple[int, bytes]] = SimpleQueue()
    threading.Thread(target=_listen, args=(pipe, waiting), daemon=True).start()
    pipe.send((_READY,))
    while True:
        ticket, load = waiting.get()
        pipe.send((_BEGUN, ticket))
        try:
            answer = run_batch(load)
        except Exception as error:  # whatever it is, the driver tells of it
            pipe.send((_CANNOT, ticket, f"{type(error).__name__}: {error}"))
        else:
            pipe.send((_DONE, ticket, answer))


def _listen(pipe: Connection, waiting: SimpleQueue[tuple[int, bytes]]) -> None:
    """Take batches in while one is measured, so that neither end waits for the other; end with the driver."""
    while True:
        try:
            waiting.put(pipe.recv())
        except (EOFError, OSError):
            os._exit(0)
