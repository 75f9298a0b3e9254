"""What was computed is kept: a reader that leaves, a full disk, a signal, another run, damage and foreign text."""

from __future__ import annotations

import io
import os
import signal
import sys

import numpy as np
import pytest
import xarray as xr

from ntkinfo import runs
from ntkinfo.core import kept
from ntkinfo.core.folder_lock import FolderLock
from ntkinfo.information.curve_files import load_curves, save_curves
from ntkinfo.information.curves import Interrupted
from ntkinfo.report.progress import Interruptible, uninterrupted
from ntkinfo.report.results import ResultsFolder
from ntkinfo.report.terminal import Terminal
from tests.cli_helpers import FAST, files


def small():
    values = {"loss_mean": ("time", np.array([1.0, 0.5, 0.25]), {"units": "1"})}
    return xr.Dataset(values, {"time": np.array([0.1, 1.0, 10.0])}, {"notes": "none"})


def test_results_are_there_before_anything_is_printed_about_them(curves, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(runs, "print_summary", lambda *arguments, **options: seen.append(files(tmp_path / "results")))
    assert curves(*FAST, "--out", "results")[0] == 0
    assert "curves.nc" in seen[0]


def test_a_reader_that_leaves_early_ends_nothing(tmp_path, monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as gone:
        monkeypatch.setattr(sys, "stdout", gone)
        console = Terminal()
        console.print("for nobody " * 10_000)
        console.print("nor this")
    assert console.quiet


def test_numbers_are_kept_where_a_picture_does_not_fit(curves, tmp_path, monkeypatch):
    def full(figure, place):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runs, "save_figure", full)
    code, _, err = curves(*FAST, "--out", "results")
    assert code == 2
    assert files(tmp_path / "results") == ["config.toml", "curves.nc"]
    assert "results/curves.png cannot be written (No space left on device); curves.nc, config.toml" in err
    assert np.isfinite(load_curves(tmp_path / "results" / "curves.nc")["loss_mean"]).all()


def test_a_full_disk_leaves_no_part_of_a_file(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_curves(small(), tmp_path / "curves.nc")
    assert files(tmp_path) == []


def test_a_second_run_into_a_folder_is_refused_and_the_first_loses_nothing(tmp_path):
    with ResultsFolder(tmp_path / "out") as first:
        with pytest.raises(OSError, match=rf"process {os.getpid()} on .* is writing results to .*out; wait for it"):
            ResultsFolder(tmp_path / "out").__enter__()
        first.write({"a.txt": lambda place: place.write_text("kept")})
    assert files(tmp_path) == ["out", "out/a.txt"]
    with ResultsFolder(tmp_path / "out"):
        pass
    assert files(tmp_path) == ["out", "out/a.txt"]


def test_a_lock_that_its_owner_removes_in_between_is_taken_anew(tmp_path):
    first, second = FolderLock(tmp_path), FolderLock(tmp_path)
    first.take()
    first.remove()
    second.take()
    with pytest.raises(OSError, match="is writing records"):
        first.take()
    second.remove()
    assert files(tmp_path) == []


def test_the_same_command_goes_on_after_an_interruption_and_another_is_refused(curves, tmp_path, monkeypatch):
    real = runs.information.information_curves

    def interrupted(*arguments, **options):
        raise Interrupted(real(*arguments, **options).drop_vars("path_energy"))

    monkeypatch.setattr(runs.information, "information_curves", interrupted)
    assert curves(*FAST, "--out", "results")[0] == 130
    monkeypatch.setattr(runs.information, "information_curves", real)
    code, _, err = curves(*FAST, "--b-std", "0.2", "--out", "results")
    assert code == 2
    assert "--overwrite" in err
    assert curves(*FAST, "--out", "results")[0] == 0
    assert curves(*FAST, "--out", "undisturbed")[0] == 0
    again, other = (load_curves(tmp_path / name / "curves.nc") for name in ("results", "undisturbed"))
    assert again.drop_attrs().identical(other.drop_attrs())
    assert curves(*FAST, "--out", "results")[0] == 2  # finished results are not replaced


def test_the_configuration_that_a_run_wrote_is_the_same_command_and_flags_are_after_it(curves, tmp_path, monkeypatch):
    """Stopped by flags, stopped again by the configuration, finished by flags; the data may not change in between."""
    rows = "".join(f"{k},{k * k % 7},{'ab'[k % 2]}\n" for k in range(30))
    (tmp_path / "own.csv").write_text("u,v,kind\n" + rows)
    words = ["--data", "csv", "--path", "own.csv", "--target", "kind", "--time-count", "6", "--samples", "4"]
    words += ["--depth", "1", "2", "--quantities", "loss_mean", "path_energy", "--out", "results"]
    monkeypatch.setattr(kept, "INTERVAL", 0.0)
    assert curves(*words[:-1], "undisturbed")[0] == 0
    real, calls = runs.information.information_curves, []

    def stopped(*arguments, **options):
        calls.append(arguments)
        if len(calls) in (2, 4):
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(runs.information, "information_curves", stopped)
    assert curves(*words)[0] == 130
    assert curves("results/config.toml")[0] == 130
    (tmp_path / "own.csv").write_text("u,v,kind\n" + rows.replace("\n3,", "\n4,"))
    code, _, err = curves(*words)
    assert code == 2
    assert "fingerprint is" in err
    (tmp_path / "own.csv").write_text("u,v,kind\n" + rows)
    code, _, err = curves(*words, "--b-std", "0.2")
    assert code == 2
    assert "network.b_std is 0.1 there and 0.2 here" in err
    assert curves(*words, "--format", "pdf", "--bits")[0] == 0
    assert files(tmp_path / "results") == ["config.toml", "curves.nc", "curves.pdf", "curves.png"]
    again, other = (load_curves(tmp_path / name / "curves.nc") for name in ("results", "undisturbed"))
    assert again.drop_attrs().identical(other.drop_attrs())


def test_overwrite_drops_what_another_command_left(curves, tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "INTERVAL", 0.0)
    real = runs.information.information_curves

    def stopped(*arguments, **options):
        raise Interrupted(real(*arguments, **options).drop_vars("path_energy"))

    monkeypatch.setattr(runs.information, "information_curves", stopped)
    assert curves(*FAST, "--out", "results")[0] == 130
    assert (tmp_path / "results" / "checkpoint").is_dir()
    monkeypatch.setattr(runs.information, "information_curves", real)
    assert curves(*FAST, "--b-std", "0.2", "--out", "results")[0] == 2
    assert curves(*FAST, "--b-std", "0.2", "--out", "results", "--overwrite")[0] == 0
    assert files(tmp_path / "results") == ["config.toml", "curves.nc", "curves.png"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_stop_what_is_computed_and_never_what_is_written(number):
    before, seen = signal.getsignal(number), []

    def stopped(track):
        for item in track(range(5), "computing"):
            seen.append(item)
            os.kill(os.getpid(), number)

    with uninterrupted():
        with pytest.raises(KeyboardInterrupt), Interruptible(lambda items, *_: iter(items)) as track:
            stopped(track)
        os.kill(os.getpid(), number)
        seen.append("written")
    assert seen == [0, "written"]
    assert signal.getsignal(number) is before


def test_every_damaged_byte_and_every_cut_is_found_out_before_hdf5_is_opened(tmp_path, monkeypatch):
    path = save_curves(small(), tmp_path / "curves.nc")
    sound, opened = path.read_bytes(), []
    expected = load_curves(path)
    real = xr.open_dataset
    monkeypatch.setattr(xr, "open_dataset", lambda *a, **k: opened.append(1) or real(*a, **k))
    rng = np.random.default_rng(0)
    body = len(sound) - 48
    for place in rng.integers(body, size=300):
        damaged = bytearray(sound)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(
            ValueError, match=r"curves\.nc is not a netCDF file of curves, or it is damaged: its digest"
        ):
            load_curves(path)
    assert opened == []
    for place in range(body + 16, len(sound)):  # in the digest itself
        damaged = bytearray(sound)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="damaged"):
            load_curves(path)
    for length in (0, 1, 100, body // 2, body - 1):
        path.write_bytes(sound[:length])
        with pytest.raises(ValueError, match="damaged"):
            load_curves(path)
    path.write_bytes(sound[:body])  # as other programs write it, without a digest
    assert load_curves(path).identical(expected)


def test_a_file_that_would_unfold_to_more_than_there_is_memory_for_is_refused(tmp_path):
    import h5netcdf

    path = tmp_path / "curves.nc"
    with h5netcdf.File(path, "w") as opened:
        opened.dimensions["bomb"] = 20_000_000_000
        opened.create_variable("bomb", ("bomb",), dtype="f8", chunks=(1_000_000,), fillvalue=0.0)
    with pytest.raises(ValueError, match="it would unfold to 149 GiB"):
        load_curves(path)


def test_text_from_data_gives_the_terminal_no_orders():
    shown = io.StringIO()
    console = Terminal(file=shown, force_terminal=True, color_system=None, width=80)
    console.print("title \x1b]0;owned\x07 \x1b[2J \x9b31m \b\b", markup=False, highlight=False)
    assert "\x1b" not in shown.getvalue()
    assert "\x9b" not in shown.getvalue()
    assert "\\x1b]0;owned" in shown.getvalue()


def test_square_brackets_in_a_label_are_text():
    from ntkinfo.report.summary import print_summary

    shown = io.StringIO()
    found = small().rename(loss_mean="[/loss] [red]x")
    print_summary(Terminal(file=shown, width=120), found, title="[/depth]")
    assert "[/loss] [red]x" in shown.getvalue()
    assert "[/depth]" in shown.getvalue()
