"""Ctrl-C writes what is finished, and never gets lost."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from rich.console import Console

import ntkinfo as ni
from ntkinfo import runs
from ntkinfo.information.curves import Interrupted, load_curves
from ntkinfo.report.progress import ConsoleProgress, Interruptible
from tests.cli_helpers import FAST, command, files


def results(tmp_path):
    """What is there but for what is kept for the same command."""
    return [name for name in files(tmp_path / "results") if not name.startswith("checkpoint")]


def test_interruption_writes_what_is_finished(curves, tmp_path, monkeypatch):
    real, calls = runs.information.information_curves, []

    def interrupted(network, *arguments, **options):
        whole = real(network, *arguments, **options)
        calls.append(network)
        if len(calls) < 2:
            return whole
        partial = whole.drop_vars("path_energy")
        partial["loss_mean"][3:] = np.nan
        raise Interrupted(partial)

    monkeypatch.setattr(runs.information, "information_curves", interrupted)
    code, _, err = curves(*FAST, "--depth", "1", "2", "3", "--out", "results")
    assert code == 130
    assert "Interrupted" in err
    assert "depths 3" in err
    assert results(tmp_path) == ["config.toml", "curves.nc", "curves.png"]
    result = load_curves(tmp_path / "results" / "curves.nc")
    assert result.attrs["complete"] == "no, interrupted"
    assert result["depth"].values.tolist() == [1, 2]
    assert np.isfinite(result["path_energy"].sel(depth=1)).all()
    assert np.isnan(result["path_energy"].sel(depth=2)).all()
    assert np.isnan(result["loss_mean"].sel(depth=2)).sum() == 2 * 4


def test_interruption_before_anything_is_finished_writes_nothing(curves, tmp_path, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(runs.information, "information_curves", interrupted)
    code, _, err = curves(*FAST)
    assert code == 130
    assert "nothing was written" in err
    assert files(tmp_path) == []


def test_control_c_on_a_real_run(tmp_path):
    words = ["--n-train", "128", "--n-test", "32", "--time-count", "600", "--samples", "512", "--out", "results"]
    words += ["--quantities", "loss_mean", "information_input"]
    process = command("curves", *words, cwd=tmp_path)
    try:
        line = process.stderr.readline()
        assert "I(Z;X)" in line, line + process.stderr.read()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert "Interrupted. What was finished is written" in err
    assert "Traceback" not in err
    assert results(tmp_path) == ["config.toml", "curves.nc", "curves.png"]
    assert files(tmp_path / "results" / "checkpoint")
    result = load_curves(tmp_path / "results" / "curves.nc")
    assert result.attrs["complete"] == "no, interrupted"
    assert np.isfinite(result["loss_mean"]).all()
    missing = np.isnan(result["information_input"].sel(split="train").values)
    assert missing.any()
    assert not missing.all()
    assert "information_input" in out


def test_a_lost_interruption_arrives_at_the_next_item():
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def work(track):
        for item in track(range(5), "working"):
            seen.append(item)
            # Suppressed as where Python drops an exception that is raised in a callback.
            with contextlib.suppress(KeyboardInterrupt):
                if item == 1:
                    os.kill(os.getpid(), signal.SIGINT)
                    time.sleep(0.1)

    with Interruptible(ConsoleProgress(Console(quiet=True))) as track, pytest.raises(KeyboardInterrupt):
        work(track)
    assert seen == [0, 1]
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_during_the_first_imports_ends_in_a_sentence():
    code = """
        import sys

        class Interrupt:
            def find_spec(self, name, path=None, target=None):
                if name == "cyclopts":
                    raise KeyboardInterrupt

        sys.meta_path.insert(0, Interrupt())
        from ntkinfo.__main__ import main
        main()
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (130, "Interrupted before anything was begun.\n")


def test_the_package_runs_as_a_module():
    done = subprocess.run([sys.executable, "-m", "ntkinfo", "--version"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, ni.__version__)
