"""Where the trials of a sweep are measured."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ntkinfo.core import checks

# dask's own refusal of an address leaves a client behind that keeps the process from ending.
_ADDRESS = re.compile(r"((tcp|tls|ucx|ucxx|ws|wss)://)?[^/\s]+:\d{1,5}")

NO_JOBQUEUE = "SLURM needs the package dask-jobqueue (the extra ntkinfo[slurm]); `pip install dask-jobqueue` brings it"


@dataclass(frozen=True)
class SlurmSettings:
    """Jobs that a sweep asks SLURM for; each is one worker with one thread.

    Args:
        jobs: how many.
        memory: of each, as "4GB".
        walltime: after which SLURM ends a job, as "01:00:00". The trials in flight are then measured elsewhere.
        queue: partition; None takes the default of the site.
        account: None takes the default of the user.
        cores: of each job.
        interface: network interface that the scheduler and the workers talk on, as "ib0"; None lets dask choose.
        directives: further lines for #SBATCH, as "--constraint=avx2".
        prologue: shell lines before a worker starts, as "module load python".
    """

    jobs: int
    memory: str = "4GB"
    walltime: str = "01:00:00"
    queue: str | None = None
    account: str | None = None
    cores: int = 1
    interface: str | None = None
    directives: tuple[str, ...] = ()
    prologue: tuple[str, ...] = ()

    def __post_init__(self):
        checks.whole("jobs", self.jobs)
        checks.whole("cores", self.cores)


@dataclass(frozen=True)
class ClusterSettings:
    """Where trials are measured: on this machine, by a scheduler that runs already, or by jobs of SLURM.

    Args:
        workers: processes on this machine; None takes one a core. 0 measures in this process, where a trial that kills
            its process ends the sweep.
        scheduler: address of a dask scheduler, as "tcp://10.0.0.1:8786"; no workers are started then.
        slurm: jobs to ask for.
        memory_limit: of each process on this machine, as "8GB": one that exceeds it is ended, and its trials count as
            having killed it. "auto" takes an equal share of what there is.
        environment: variables set for workers on this machine; those that are set here already win.

    Raises:
        ValueError: more than one place, or an address that is none.
    """

    workers: int | None = None
    scheduler: str | None = None
    slurm: SlurmSettings | None = None
    memory_limit: str = "auto"
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self):
        if self.workers is not None:
            checks.whole("workers", self.workers, least=0)
        if self.scheduler is not None and not _ADDRESS.fullmatch(self.scheduler):
            raise ValueError(f"scheduler is {self.scheduler!r}, which is no address; it is like tcp://host:8786")
        given = [name for name in ("workers", "scheduler", "slurm") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are given; trials are measured in one place")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
