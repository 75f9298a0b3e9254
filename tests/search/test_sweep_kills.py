"""A sweep whose workers and driver are killed at random moments: every trial once, no torn part. Slow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "search_kills.py"


@pytest.mark.slow
def test_kills_of_workers_and_driver_lose_and_double_nothing():
    done = subprocess.run([sys.executable, str(BENCHMARK)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["worker_kills"] == 20
    assert found["driver_kills"] == 10
    assert found["trials"] == found["recorded"] == 500
    assert found["errors"] == found["doubled"] == found["torn"] == found["orphans"] == 0


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_file_system_that_fills_up_stops_the_sweep_with_a_usable_record():
    done = subprocess.run([sys.executable, str(BENCHMARK), "--full-disk"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["said"]
    assert 0 < found["stopped_with"] < found["trials"] == found["recorded"]
