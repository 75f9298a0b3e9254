"""How much memory a job may take, and the refusal of one that takes more."""

from __future__ import annotations

from pathlib import Path

import psutil

GIB = 2.0**30

_CGROUP = Path("/sys/fs/cgroup")


def available_memory() -> float:
    """GiB that can still be taken: what the machine has free, or less where a container or a batch job sets a limit."""
    free = float(psutil.virtual_memory().available)
    return min(free, _cgroup_headroom(_CGROUP)) / GIB


def require_memory(what: str, needed: float, limit: float, remedy: str) -> None:
    """Raise MemoryError where `needed` GiB is more than `limit` GiB.

    Args:
        what: the job, as the subject of the sentence.
        needed: its estimate in GiB.
        limit: what there is, in GiB.
        remedy: what would fit.
    """
    if needed > limit:
        raise MemoryError(f"{what} needs about {needed:.3g} GiB and {limit:.3g} GiB is available; {remedy}")


def _cgroup_headroom(folder: Path) -> float:
    """Bytes left under the control group's limit, counting cached files as free; infinite without a limit."""
    try:
        limit = (folder / "memory.max").read_text().strip()
        used = float((folder / "memory.current").read_text())
        statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except OSError:
        return float("inf")
    if limit == "max":
        return float("inf")
    return float(limit) - used + float(statistics.get("inactive_file", 0))
