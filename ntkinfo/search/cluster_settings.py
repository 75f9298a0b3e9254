"""Where the trials of a sweep are measured."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.wording import came

# dask's own refusal of an address leaves a client behind that keeps the process from ending.
_ADDRESS = re.compile(r"((tcp|tls|ucx|ucxx|ws|wss)://)?[^/\s]+:\d{1,5}")

_SIZE = re.compile(r"(\d+(?:\.\d*)?(?:[eE]\d+)?)\s*(?:([kKmMgGtT])([iI])?)?[bB]?")

NO_CERTIFICATES = (
    "certificates for the jobs of SLURM need the package cryptography (`pip install cryptography` brings it); without "
    "them, say insecure (--insecure) where the network is yours alone"
)
NO_JOBQUEUE = "SLURM needs the package dask-jobqueue (the extra ntkinfo[slurm]); `pip install dask-jobqueue` brings it"


@checked
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


@checked
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
        insecure: talk to a scheduler, or let the jobs of SLURM talk, without TLS: whoever reaches it then runs code as
            its owner.

    Raises:
        ValueError: more than one place, an address that is none, a scheduler without TLS unless `insecure`.
    """

    workers: int | None = None
    scheduler: str | None = None
    slurm: SlurmSettings | None = None
    memory_limit: str = "auto"
    environment: Mapping[str, str] = field(default_factory=dict)
    insecure: bool = False

    def __post_init__(self):
        if self.workers is not None:
            checks.whole("workers", self.workers, least=0)
        if self.scheduler is not None and not _ADDRESS.fullmatch(self.scheduler):
            raise ValueError(f"scheduler is {came(self.scheduler)}, which is no address; it is like tcp://host:8786")
        if self.memory_limit != "auto":
            bytes_of(self.memory_limit)
        given = [name for name in ("workers", "scheduler", "slurm") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are given; trials are measured in one place")
        if self.scheduler is not None and not self.insecure and not self.scheduler.startswith(("tls://", "wss://")):
            raise ValueError(
                f"scheduler is {came(self.scheduler)}, where whoever reaches it can run code as you; start it with "
                "certificates and give tls://host:8786, or say insecure (--insecure) where the network is yours alone"
            )


def bytes_of(text: str) -> float:
    """Bytes of a size as it is written: "8GB", "512 MiB", "1e9".

    Raises:
        ValueError: it is no size.
    """
    found = _SIZE.fullmatch(text.strip())
    if not found or float(found[1]) <= 0:
        raise ValueError(f"memory_limit is {came(text)}, which is no size; it is like 8GB, or auto")
    power = "KMGT".find(found[2].upper()) + 1 if found[2] else 0
    return float(found[1]) * (1024.0 if found[3] else 1000.0) ** power


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
