"""A sweep on a dask scheduler and workers that were started by themselves, one of which is killed. Slow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from ntkinfo.core.progress import silent
from ntkinfo.search.cluster_settings import ClusterSettings
from ntkinfo.search.records import read_records
from ntkinfo.search.sweep import sweep

# Workers import the toys by name; `tests` is not a package everywhere.
sys.path.insert(0, str(Path(__file__).parent))
import sweep_toys as toys

HERE = str(Path(__file__).parent)


def dask(*words):
    environment = {**os.environ, "PYTHONPATH": HERE}
    code = f"from distributed.cli.dask_{words[0]} import main; main()"
    return subprocess.Popen([sys.executable, "-c", code, *words[1:]], env=environment, stderr=subprocess.DEVNULL)


@pytest.fixture
def scheduler(tmp_path):
    """The address of a scheduler with two workers."""
    file = tmp_path / "scheduler.json"
    processes = [
        dask("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))
    ]
    try:
        while not file.exists():
            time.sleep(0.2)
            assert processes[0].poll() is None
        address = json.loads(file.read_text())["address"]
        words = (address, "--nthreads", "1", "--no-dashboard", "--local-directory", str(tmp_path))
        processes += [dask("worker", *words), dask("worker", *words)]
        yield address
    finally:
        for process in processes:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.kill()
            process.wait()


@pytest.mark.slow
def test_separately_started_scheduler_and_workers(scheduler, tmp_path):
    cluster = ClusterSettings(scheduler=scheduler, insecure=True)
    first = toys.groups(60, of=30, seconds=0.02, deed={7: "fail"})
    assert sweep(first, toys.measure, tmp_path / "records", cluster, progress=silent).measured == 60
    whole = toys.groups(200, of=50, seconds=0.02, deed={7: "fail", 120: "kill"})
    result = sweep(whole, toys.measure, tmp_path / "records", cluster, progress=silent)
    assert (result.there, result.measured, result.failed, result.missing) == (60, 140, 1, 0)
    found = read_records(tmp_path / "records")
    assert found.table.num_rows == 200
    assert (
        len({row["process"] for row in found.good.to_pylist()}) >= 3
    )  # two workers, and those that came after a death
    bad = found.table.filter(found.table["error"].is_valid())["fingerprint"].to_pylist()
    assert sorted(bad) == ["toy-00007", "toy-00120"]


@pytest.mark.slow
def test_an_address_without_a_scheduler_and_a_scheduler_that_goes_away(scheduler, tmp_path):
    def ending(items, label, total=None):
        for index, item in enumerate(items):
            if index == 10:
                _end_of(scheduler)
            yield item

    with pytest.raises(ConnectionError, match="same command goes on"):
        sweep(
            toys.groups(500, seconds=0.02),
            toys.measure,
            tmp_path / "records",
            ClusterSettings(scheduler=scheduler, insecure=True),
            progress=ending,
        )
    assert 10 <= read_records(tmp_path / "records").table.num_rows < 500
    cluster = ClusterSettings(scheduler=scheduler, insecure=True)
    with pytest.raises(ConnectionError, match="no dask scheduler answers"):
        sweep(toys.groups(3), toys.measure, tmp_path / "other", cluster, progress=silent)


def _end_of(address):
    port = int(address.rsplit(":", 1)[1])
    for process in psutil.Process().children(recursive=True):
        if any(c.laddr.port == port and c.status == psutil.CONN_LISTEN for c in process.net_connections("tcp")):
            process.kill()
