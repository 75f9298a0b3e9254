"""A sweep on a dask scheduler and workers that were started by themselves, one of which is killed. Slow."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from dask import config as dask_config

from ntkinfo.core.progress import silent
from ntkinfo.search.cluster_settings import ClusterSettings
from ntkinfo.search.records import read_records
from ntkinfo.search.sweep import sweep

# Workers import the toys by name; `tests` is not a package everywhere.
sys.path.insert(0, str(Path(__file__).parent))
import sweep_toys as toys

HERE = str(Path(__file__).parent)
CERTIFICATES = {"ca-file": "ca", "client.cert": "cert", "client.key": "key"}


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


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("2026 maintenance: 4 nodes are down\nSubmitted batch job 81723 on cluster c1\n", "81723"),
        ("sbatch: Submitted batch job 5\n2026\n", "5"),
        ("81723\n", "81723"),
        ("81723", "81723"),
        ("81723;cluster\n", "81723"),
        ("Welcome to node 7\n2026\n\n81723;c1 \r\n", "81723"),
        ("2026 maintenance\n", None),
        ("sbatch: error: 3 jobs are too many\n", None),
        ("", None),
    ],
)
def test_the_number_of_a_job_is_read_off_its_line(said, number):
    """A banner that begins with a number was cancelled in the job's place."""
    pytest.importorskip("distributed")
    from ntkinfo.search.cluster import SUBMITTED

    found = re.search(SUBMITTED, said)
    assert (found and found["job_id"]) == number


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes certificates with openssl")
def test_a_scheduler_with_certificates_serves_who_has_them_and_no_one_else(tmp_path, monkeypatch):
    """As docs/how-to-cluster.md writes it down, on two processes; nothing of it listens beyond loopback."""
    from distributed import Client

    monkeypatch.chdir(tmp_path)
    words = "openssl req -x509 -newkey rsa:3072 -nodes -days 30 -subj /CN=ntkinfo -keyout key.pem -out cert.pem"
    subprocess.run(words.split(), check=True, capture_output=True)
    shutil.copy("cert.pem", "ca.pem")
    tls = "--tls-ca-file ca.pem --tls-cert cert.pem --tls-key key.pem --host 127.0.0.1 --dashboard-address 127.0.0.1:0"
    file = tmp_path / "scheduler.json"
    started = [dask("scheduler", "--protocol", "tls", *tls.split(), "--port", "0", "--scheduler-file", str(file))]
    try:
        while not file.exists():
            time.sleep(0.2)
            assert started[0].poll() is None
        address = json.loads(file.read_text())["address"]
        assert address.startswith("tls://127.0.0.1:")
        started.append(dask("worker", *tls.split(), address, "--nthreads", "1", "--local-directory", str(tmp_path)))
        for stranger in (address, address.replace("tls", "tcp")):
            with pytest.raises((OSError, TypeError, ValueError)):
                Client(stranger, timeout=2, set_as_default=False)
        with dask_config.set({f"distributed.comm.tls.{key}": f"{name}.pem" for key, name in CERTIFICATES.items()}):
            groups, begin = toys.groups(20, of=10, seconds=0.02), time.monotonic()
            result = sweep(
                groups, toys.measure, tmp_path / "records", ClusterSettings(scheduler=address), progress=silent
            )
        assert (result.measured, result.failed) == (20, 0)
        assert time.monotonic() - begin < 120
        family = [psutil.Process(one.pid) for one in started]
        family += [child for one in family for child in one.children(recursive=True)]
        listening = [c.laddr.ip for one in family for c in one.net_connections() if c.status == psutil.CONN_LISTEN]
        assert len(listening) >= 2
        assert set(listening) == {"127.0.0.1"}
    finally:
        for process in started:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.kill()
            process.wait()
