from __future__ import annotations

import gzip
import io
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from ntkinfo import runs
from ntkinfo.cli import run
from ntkinfo.information.curves import load_curves
from ntkinfo.information.quantities import QUANTITIES, by_default
from ntkinfo.report.progress import ConsoleProgress
from ntkinfo.report.results import ResultsFolder
from tests.cli_helpers import FAST, SMALL, files


def test_run_writes_curves_figure_and_configuration_and_prints_a_summary(curves, tmp_path):
    code, out, err = curves(*SMALL, "--out", "results", "--format", "png,svg")
    assert (code, err) == (0, "")
    assert files(tmp_path / "results") == ["config.toml", "curves.nc", "curves.png", "curves.svg"]
    result = load_curves(tmp_path / "results" / "curves.nc")
    assert set(by_default()) <= set(result.data_vars)
    assert result.sizes["time"] == 7
    assert np.isinf(result["time"].values[-1])
    assert result.attrs["complete"] == "yes"
    assert result.attrs["configuration"] == (tmp_path / "results" / "config.toml").read_text()
    for name in by_default():
        assert re.search(rf"^{name} ", out, re.MULTILINE), name
    value = float(result["loss_mean"].sel(split="test").values[-1])
    lines = out.splitlines()
    rows = lines[next(i for i, line in enumerate(lines) if line.startswith("loss_mean ")) :]
    assert next(row for row in rows if row.split()[0] == "test").split()[-1] == f"{value:.4g}"


def test_the_written_configuration_reruns_to_the_same_numbers(curves, tmp_path):
    words = [*SMALL, "--depth", "2", "--activation", "relu", "--ridge", "0.01", "--label-noise", "0.1", "--seed", "3"]
    words += ["--quantities", "loss_bayes,information_input,error_mean,path_length"]
    assert curves(*words, "--out", "first")[0] == 0
    config = (tmp_path / "first" / "config.toml").read_text()
    (tmp_path / "again.toml").write_text(config)
    assert curves("again.toml", "--overwrite")[0] == 0
    assert (tmp_path / "first" / "config.toml").read_text() == config
    assert curves("again.toml", "--out", "second")[0] == 0
    one, two = (load_curves(tmp_path / folder / "curves.nc") for folder in ("first", "second"))
    assert one.drop_attrs().identical(two.drop_attrs())


def test_quantities_on_request_take_the_label_model_and_tolerance_from_flags(curves, tmp_path):
    names = [
        "information_training_set_labels",
        "information_training_set_labels_joint",
        "information_parameters_labels",
    ]
    words = [*SMALL, "--quantities", *names, "--extra-inputs", "3", "--interpolation-tolerance", "1e-4"]
    noisy = ["--label-noise-variance", "0.5", "--certify", "--certify-share", "0.5"]
    assert curves(*words, *noisy, "--out", "first")[0] == 0
    result = load_curves(tmp_path / "first" / "curves.nc")
    assert {name for name in result.data_vars if name in QUANTITIES} == set(names)
    assert result.attrs["label_model"] == "targets from the network's prior, noise variance 0.5"
    assert "extra_inputs=3" in result.attrs["settings"]
    assert "interpolation_tolerance=0.0001" in result.attrs["settings"]
    assert curves("first/config.toml", "--out", "second")[0] == 0
    again = load_curves(tmp_path / "second" / "curves.nc")
    assert result.drop_attrs().identical(again.drop_attrs())
    assert curves(*words, "--out", "third")[0] == 0
    without = load_curves(tmp_path / "third" / "curves.nc")
    assert all(bool((without[name] <= result[name]).all()) for name in names)
    assert all(float(without[name][3].min()) < float(result[name][3].max()) for name in names)
    code, _, err = curves(*SMALL, "--label-noise-variance", "-1", "--interpolation-tolerance", "0")
    assert code == 2
    assert "label_noise_variance is -1.0; it must be 0 or greater" in err
    assert "interpolation_tolerance is 0.0; it must be greater than 0" in err


def test_several_depths_are_stacked_and_equal_the_single_ones(curves, tmp_path):
    assert curves(*FAST, "--depth", "1", "3", "--out", "both")[0] == 0
    assert curves(*FAST, "--depth", "3", "--out", "one")[0] == 0
    both, one = (load_curves(tmp_path / folder / "curves.nc") for folder in ("both", "one"))
    assert both["depth"].values.tolist() == [1, 3]
    np.testing.assert_array_equal(both["loss_mean"].sel(depth=3), one["loss_mean"])
    assert both["loss_mean"].attrs == one["loss_mean"].attrs
    assert one.attrs["network"] in both.attrs["network"]
    assert both.attrs["data_fingerprint"] == one.attrs["data_fingerprint"]


def test_bits_are_printed_and_the_file_stays_in_nats(curves, tmp_path):
    words = [*SMALL, "--quantities", "loss_bayes"]
    _, nats, _ = curves(*words, "--out", "nats")
    _, bits, _ = curves(*words, "--out", "bits", "--bits")
    one, two = (load_curves(tmp_path / folder / "curves.nc") for folder in ("nats", "bits"))
    assert one.drop_attrs().identical(two.drop_attrs())
    assert two["loss_bayes"].attrs["units"] == "nat"
    last = [
        float(next(line for line in text.splitlines() if line.startswith("loss_bayes")).split()[-1])
        for text in (nats, bits)
    ]
    assert last[1] == pytest.approx(last[0] / np.log(2), rel=1e-3)
    assert " bit " in bits


def test_quiet_prints_nothing(curves, tmp_path):
    assert curves(*FAST, "--quiet") == (0, "", "")
    assert (tmp_path / "ntkinfo-results" / "curves" / "curves.nc").exists()


def test_results_are_kept_unless_overwrite_is_given(curves, tmp_path):
    assert curves(*FAST, "--out", "results")[0] == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "results").iterdir()}
    code, _, err = curves(*FAST, "--out", "results", "--seed", "1")
    assert code == 2
    assert "--overwrite" in err
    assert {path.name: path.read_bytes() for path in (tmp_path / "results").iterdir()} == before
    assert curves(*FAST, "--out", "results", "--seed", "1", "--overwrite")[0] == 0
    assert load_curves(tmp_path / "results" / "curves.nc").attrs["data_provenance"].count("seed=1") == 1


def test_every_mistake_on_the_command_line_is_reported_at_once(curves, tmp_path):
    code, out, err = curves(
        "--depht", "4", "--activation", "efr", "--w-std", "-1", "--quantities", "loss_men", "--n-train=x"
    )
    assert (code, out) == (2, "")
    for text in (
        "--depht: unknown flag (did you mean '--depth'?)",
        "--activation: activation is 'efr', which is not known (did you mean 'erf'?)",
        "--w-std: w_std is -1.0; it must be greater than 0",
        "did you mean 'loss_mean'?",
        "--n-train: n_train is 'x'; it must be a whole number",
    ):
        assert text in err
    assert len(err.splitlines()) == 5
    assert files(tmp_path) == []


def test_configuration_errors_name_file_and_line(curves, tmp_path):
    (tmp_path / "run.toml").write_text("[network]\nw_std = 0\n\n[data]\nname = 'digitz'\n")
    code, _, err = curves("run.toml")
    assert code == 2
    assert "run.toml:2: w_std is 0" in err
    assert "run.toml:5: data is 'digitz'" in err
    (tmp_path / "broken.toml").write_text("[network\n")
    code, _, err = curves("broken.toml")
    assert code == 2
    assert "broken.toml:1: not valid TOML" in err
    assert curves("absent.toml")[0] == 2
    assert files(tmp_path) == ["broken.toml", "run.toml"]


def idx_pair(folder, count=40, cut=0):
    generator = np.random.default_rng(0)
    images = (
        struct.pack(">HBBIII", 0, 8, 3, count, 4, 4) + generator.integers(0, 256, (count, 4, 4), np.uint8).tobytes()
    )
    labels = struct.pack(">HBBI", 0, 8, 1, count) + (np.arange(count) % 4).astype(np.uint8).tobytes()
    (folder / "images.gz").write_bytes(gzip.compress(images[: len(images) - cut]))
    (folder / "labels").write_bytes(labels)
    return ["--data", "idx", "--image-file", "images.gz", "--label-file", "labels"]


def test_idx_files_are_named_by_flags(curves, tmp_path):
    code, out, _ = curves(*idx_pair(tmp_path), *FAST, "--depth", "1", "2", "--out", "results")
    assert code == 0
    assert "4 outputs" in out
    config = (tmp_path / "results" / "config.toml").read_text()
    assert f'image_file = "{tmp_path / "images.gz"}"' in config


@pytest.mark.parametrize(
    ("prepare", "words", "message"),
    [
        (lambda f: idx_pair(f, cut=7), None, "images.gz"),
        (lambda f: [*idx_pair(f)[:-1], "images.gz"], None, "images.gz"),
        (
            lambda f: (f / "t.csv").write_text("a,b,y\n1,2,p\n3,nan,q\n"),
            ["--data", "csv", "--path", "t.csv", "--target", "y"],
            "line 3",
        ),
        (
            lambda f: (f / "t.csv").write_text("a,y\n1,p\n"),
            ["--data", "csv", "--path", "t.csv", "--target", "z"],
            "'z'",
        ),
        (lambda f: (f / "t.npz").write_bytes(b"not a zip"), ["--data", "npz", "--path", "t.npz"], "t.npz"),
        (lambda f: None, ["--data", "npz", "--path", "none.npz"], "does not exist"),
        (lambda f: None, ["--classes", "3"], "class"),
        (lambda f: None, ["--n-train", "100000"], "n_train"),
        (lambda f: None, ["--data", "diabetes", "--quantities", "error_mean"], "no classes"),
        (lambda f: None, ["--network", "convolutional", "--padding", "SMAE"], "padding"),
        (lambda f: None, ["--procedure", "gradient_descent", "--step-size", "10", "--no-infinity"], "step size below"),
    ],
)
def test_bad_input_is_an_error_without_a_traceback_and_leaves_nothing(curves, tmp_path, prepare, words, message):
    made = prepare(tmp_path)
    before = files(tmp_path)
    sizes = [] if "--n-train" in (words or []) else ["--n-train", "24", "--n-test", "12"]
    code, _, err = curves(*(words or made), *sizes, "--time-count", "4", "--out", "deep/results")
    assert code == 2, err
    assert err.startswith("error: ")
    assert message in err
    assert "Traceback" not in err
    assert files(tmp_path) == before


def test_a_folder_that_cannot_be_written_to_is_found_out_before_the_work(curves, tmp_path, monkeypatch):
    monkeypatch.setattr(runs.assembly, "load_data", lambda config: pytest.fail("the work began"))
    (tmp_path / "file").write_text("kept")
    code, _, err = curves("--out", "file/results")
    assert code == 2
    assert "cannot be written to" in err
    assert "--out" in err
    assert files(tmp_path) == ["file"]


def test_a_failure_while_writing_leaves_nothing_half_written(curves, tmp_path, monkeypatch):
    def fail(figure, path):
        Path(path).write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runs, "save_figure", fail)
    code, _, err = curves(*FAST, "--out", "deep/results")
    assert code == 2
    assert "No space left" in err
    kept = ["config.toml", "curves.nc"]  # whole; of the picture nothing
    assert files(tmp_path / "deep" / "results") == kept


def test_too_little_memory_is_an_error_with_the_estimate(curves, tmp_path, monkeypatch):
    monkeypatch.setattr("ntkinfo.kernels.blocks.available_memory", lambda: 1e-6)
    code, _, err = curves(*FAST)
    assert code == 2
    assert "GiB" in err
    assert files(tmp_path) == []


def test_help_fits_a_screen_and_loads_nothing_heavy():
    code = (
        "import sys; from ntkinfo.cli import run; run(['--help']); run(['curves', '--help']); run(['--version']);"
        "heavy = {'jax', 'matplotlib', 'xarray', 'scipy', 'sklearn'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    environment = {**os.environ, "COLUMNS": "80"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    screen = done.stdout.split("Usage: ntkinfo curves")[0]
    assert len(screen.splitlines()) <= 24
    assert "--sampling-seed" in done.stdout


def test_unknown_command_and_missing_value(capsys):
    assert run(["curvse"]) == 2
    assert "curves" in capsys.readouterr().err
    assert run(["curves", "--w-std"]) == 2
    assert "--w-std" in capsys.readouterr().err


def test_data_command_lists_data_sets_and_options(capsys):
    assert run(["data"]) == 0
    listed = capsys.readouterr().out
    assert "digits" in listed
    assert "parquet" in listed
    assert run(["data", "idx"]) == 0
    assert "--image-file" in capsys.readouterr().out
    assert run(["data", "dgits"]) == 2
    assert "did you mean 'digits'?" in capsys.readouterr().err


@pytest.mark.parametrize(("states", "code"), [(["ok", "ok"], 0), (["ok", "failed"], 1)])
def test_doctor_exits_with_one_where_something_failed(capsys, monkeypatch, states, code):
    from ntkinfo import doctor

    findings = [doctor.Finding(f"check {i}", state, "text [of it]") for i, state in enumerate(states)]
    monkeypatch.setattr(doctor, "examine", lambda: findings)
    assert run(["doctor"]) == code
    out = capsys.readouterr().out
    assert "text [of it]" in out
    assert states[-1] in out


def test_progress_lines_are_sparse_and_short_work_is_silent(monkeypatch):
    clock = iter(np.arange(0, 1000, 1.5))
    monkeypatch.setattr("ntkinfo.report.progress.time.monotonic", lambda: next(clock))
    stream = io.StringIO()
    with ConsoleProgress(Console(file=stream)) as track:
        assert list(track(range(20), "working")) == list(range(20))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0] == "working: 2/20 (10 %), 3 s"
    with ConsoleProgress(Console(file=stream)) as track:
        assert list(track(iter("a"), "short")) == ["a"]
    assert "short" not in stream.getvalue()


def test_progress_bars_on_a_terminal_nest_and_yield_everything():
    stream = io.StringIO()
    with ConsoleProgress(Console(file=stream, force_terminal=True)) as track:
        pairs = [(a, b) for a in track([1, 2], "outer") for b in track([3, 4], "inner", 2)]
    assert pairs == [(1, 3), (1, 4), (2, 3), (2, 4)]


def test_results_folder_removes_only_what_it_made(tmp_path):
    (tmp_path / "kept").mkdir()
    with pytest.raises(RuntimeError), ResultsFolder(tmp_path / "kept" / "new" / "deep"):
        raise RuntimeError
    assert files(tmp_path) == ["kept"]
    with ResultsFolder(tmp_path / "kept" / "new") as folder:
        folder.write({"a": lambda place: place.write_text("1")})
    assert files(tmp_path) == ["kept", "kept/new", "kept/new/a"]


def test_partial_curves_without_any_drawable_quantity_are_still_written(curves, tmp_path, monkeypatch):
    monkeypatch.setattr(
        runs.information, "information_curves", lambda *a, **k: xr.Dataset({"other": ("time", [1.0])}, {"time": [1.0]})
    )
    assert curves(*FAST, "--out", "results")[0] == 0
    assert files(tmp_path / "results") == ["config.toml", "curves.nc"]
