"""The workers of a sweep by dask: found at a scheduler's address, or asked of SLURM.

The only module that imports dask; it is imported when a sweep starts. Every batch is sent to a worker by name, so that
trials of one kernel stay together, and a batch whose worker is gone goes nowhere else by itself: `sweep` decides.
"""

from __future__ import annotations

import logging
import queue
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from distributed import Client, Future, KilledWorker

from ntkinfo.search.cluster_settings import NO_CERTIFICATES, NO_JOBQUEUE, ClusterSettings, SlurmSettings
from ntkinfo.search.local_pool import THREADS
from ntkinfo.search.workers import Answer, LostWorker, run_batch

# What sbatch says: "Submitted batch job N", or with --parsable, which sites set too, N or N;cluster on its own line. A
# banner may stand before either, with numbers in it, a year alone on its line among them: the last such line counts.
_ALONE = r"\d+(?:;\S+)?[ \t\r]*(?:\n|\Z)"
SUBMITTED = (
    rf"(?:Submitted batch job (?=\d)|(?<![^\n])(?![\s\S]*Submitted batch job \d)(?={_ALONE})(?![\s\S]*\n{_ALONE}))"
    r"(?P<job_id>\d+)"
)
_LOOPBACK = "127.0.0.1"
_FRESH = 1.0  # seconds for which the list of workers is not asked for again
_PATIENCE = 30.0  # seconds for a scheduler, or for a result that is said to be there
_FETCH = 2.0  # seconds for a result before it is asked whether its worker is still there


class Pool:
    """Workers, and the batches they have.

    Args:
        client: connected to the scheduler.
        name: what they are, for messages.
        local: whether they were started here and come back by themselves.
        tells: whether the scheduler tells at once of a batch that its worker died under.
    """

    def __init__(self, client: Client, name: str, local: bool, tells: bool):
        self.name, self.local, self.tells = name, local, tells
        self._client = client
        self._done: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._futures: dict[int, tuple[Future, str]] = {}
        self._count, self._prefix = 0, f"ntkinfo-trials-{uuid.uuid4().hex}"
        self._workers: tuple[str, ...] = ()
        self._asked = -_FRESH

    def workers(self, fresh: bool = False) -> tuple[str, ...]:
        """Names of the workers there are; not older than a second, or asked for now.

        Raises:
            ConnectionError: the scheduler is gone.
        """
        if fresh or time.monotonic() - self._asked >= _FRESH:
            try:
                self._workers = tuple(cast(dict, self._client.nthreads()))
            except (OSError, TimeoutError, RuntimeError, CancelledError) as error:
                raise self._lost() from error
            self._asked = time.monotonic()
        return self._workers

    def submit(self, worker: str, load: bytes) -> int:
        """Send a batch to a worker; returns its ticket."""
        self._count += 1
        ticket, key = self._count, f"{self._prefix}-{self._count}"
        future = self._client.submit(run_batch, load, key=key, workers=[worker], retries=0, pure=False)
        self._futures[ticket] = (future, worker)
        future.add_done_callback(lambda _: self._done.put(ticket))
        return ticket

    def finished(self, timeout: float) -> list[tuple[int, Answer | LostWorker]]:
        """Batches that ended, waiting for the first at most so many seconds.

        Raises:
            ConnectionError: the scheduler is gone.
            Exception: what a worker cannot do at all, as where it has another version of ntkinfo.
        """
        tickets = []
        with suppress(queue.Empty):
            tickets.append(self._done.get(timeout=timeout) if timeout > 0 else self._done.get_nowait())
            while True:
                tickets.append(self._done.get_nowait())
        return [(ticket, self._answer(ticket)) for ticket in tickets if ticket in self._futures]

    def forget(self, ticket: int) -> None:
        """Cancel a batch; what it comes to is not wanted any more."""
        future, _ = self._futures.pop(ticket, (None, ""))
        if future is not None:
            future.cancel()
            future.release()

    def _answer(self, ticket: int) -> Answer | LostWorker:
        future, worker = self._futures.pop(ticket)
        try:
            return self._fetched(future, worker)
        except KilledWorker:
            return LostWorker()
        except CancelledError as error:
            raise self._lost() from error
        except Exception as error:
            raise RuntimeError(
                f"{self.name} has a worker that cannot run trials ({type(error).__name__}: {error}); ntkinfo and "
                "what it needs have to be installed there as here"
            ) from error
        finally:
            future.release()

    def _fetched(self, future: Future, worker: str) -> Answer | LostWorker:
        """What a batch came to; lost where its worker died between ending it and sending it."""
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            try:
                return future.result(timeout=_FETCH)
            except TimeoutError:
                if worker not in self.workers(fresh=True):
                    break
        return LostWorker()

    def _lost(self) -> ConnectionError:
        return ConnectionError(
            f"{self.name} does not answer any more; what came back is recorded, and the same command goes on when it "
            "is there again"
        )


@contextmanager
def connected(settings: ClusterSettings, folder: Path) -> Iterator[Pool]:
    """The workers that the settings describe, for the length of a block.

    Args:
        settings: where they are.
        folder: in whose folder `jobs` the jobs of SLURM leave their logs.

    Raises:
        ConnectionError: no scheduler at the address.
        ModuleNotFoundError: SLURM without dask-jobqueue.
    """
    with ExitStack() as stack:
        stack.enter_context(_quiet())
        if settings.scheduler is not None:
            yield Pool(
                stack.enter_context(_client(settings.scheduler)), f"the scheduler {settings.scheduler}", False, False
            )
        else:
            assert settings.slurm is not None
            cluster = stack.enter_context(_slurm(settings.slurm, folder / "jobs", settings.insecure))
            yield Pool(stack.enter_context(_client(cluster)), "the scheduler of the SLURM jobs", False, True)


@contextmanager
def _client(place: Any) -> Iterator[Client]:
    try:
        client = Client(place, timeout=_PATIENCE, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise ConnectionError(
            f"no dask scheduler answers at {place} within {_PATIENCE:.0f} seconds ({error}); start one with "
            "`dask scheduler`, or leave the address out"
        ) from error
    try:
        yield client
    finally:
        client.close(timeout=2)


@contextmanager
def _slurm(settings: SlurmSettings, logs: Path, insecure: bool) -> Iterator[Any]:
    try:
        from dask_jobqueue import SLURMCluster  # pyright: ignore[reportMissingImports] - an extra
        from dask_jobqueue.slurm import SLURMJob  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(NO_JOBQUEUE) from error

    class Job(SLURMJob):
        """A job whose number is read off the line that sbatch prints it on, whatever a banner says before."""

        job_id_regexp = SUBMITTED

    # A certificate made for this search alone, which the jobs read from the folder of their logs.
    secured: dict[str, Any] = {} if insecure else {"protocol": "tls://", "shared_temp_directory": str(logs)}
    if not insecure and find_spec("cryptography") is None:
        raise ModuleNotFoundError(NO_CERTIFICATES)
    logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    cluster = SLURMCluster(
        job_cls=Job,
        **secured,
        cores=settings.cores,
        processes=1,
        memory=settings.memory,
        walltime=settings.walltime,
        queue=settings.queue,
        account=settings.account,
        interface=settings.interface,
        job_extra_directives=list(settings.directives),
        job_script_prologue=[*(f"export {name}={value}" for name, value in THREADS.items()), *settings.prologue],
        scheduler_options={"dashboard": False, "dashboard_address": f"{_LOOPBACK}:0", "allowed_failures": 0},
        worker_extra_args=["--no-dashboard"],
        log_directory=str(logs),
    )
    with cluster:
        cluster.scale(jobs=settings.jobs)
        yield cluster


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep dask's log lines off the terminal: lost workers and batches are told of by the sweep."""
    names = ("distributed", "tornado.application", "asyncio")
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
