"""`ntkinfo compare` on small ensembles: results, interruption, continuation, and what it refuses."""

from __future__ import annotations

import json
import tomllib

import numpy as np
import pytest

from ntkinfo import compare_run
from ntkinfo.compare_assembly import cross_checks, ensembles, plan, recorded_steps
from ntkinfo.compare_config import CompareConfig
from ntkinfo.config_reading import load_config
from ntkinfo.finite.trainer import DivergedError, Interrupted
from ntkinfo.information.curve_files import load_curves
from ntkinfo.running import Switches
from tests.cli_helpers import files

SMALL = {
    "--n-train": "12",
    "--n-test": "6",
    "--depth": ["1"],
    "--widths": ["8", "16", "32"],
    "--members": ["24"],
    "--steps": "8",
    "--records": "2",
    "--replicates": "99",
    "--joint-inputs": "2",
    "--kernel-inputs": "3",
    "--information": False,
    "--twins": False,
}


@pytest.fixture
def compare(tmp_path, capsys, monkeypatch):
    """Run the command in an empty folder; returns exit code, output and messages."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "130")

    def call(overwrite=False, path=None, **flags):
        given = flags if path else SMALL | flags
        code = compare_run.run_compare(path, given, [], Switches(overwrite=overwrite))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.mark.slow
def test_an_interrupted_run_goes_on_from_the_configuration_it_wrote(compare, tmp_path, monkeypatch):
    real, calls = compare_run.train_ensemble, []

    def interrupted(*arguments, **options):
        calls.append(options["width"])
        if len(calls) == 3:
            raise Interrupted(None)
        return real(*arguments, **options)

    monkeypatch.setattr(compare_run, "train_ensemble", interrupted)
    code, out, err = compare(**{"--out": "results"})
    assert code == 130
    assert "missing: widths 32" in err
    assert "the same command goes on" in err
    assert "width 16: " in out
    part = load_curves(tmp_path / "results" / "compare.nc")
    assert part["width"].values.tolist() == [8, 16]
    assert part.attrs["complete"] == "no, interrupted"
    assert (tmp_path / "results" / "checkpoint" / "width-8").exists()
    monkeypatch.setattr(compare_run, "train_ensemble", real)
    written = str(tmp_path / "results" / "config.toml")
    assert tomllib.loads((tmp_path / "results" / "config.toml").read_text())["training"]["step_size"] == pytest.approx(
        float(part["time"][1])
    )
    code, _, err = compare(path=written, **{"--members": "25"})
    assert code == 2
    assert "ensemble.members is [24, 24, 24] there and [25, 25, 25] here" in err
    assert "--overwrite" in err
    code, out, err = compare(path=written)
    assert code == 0, err
    assert "kernel start" in out
    assert files(tmp_path / "results") == ["compare.nc", "compare.png", "config.toml"]
    whole = load_curves(tmp_path / "results" / "compare.nc")
    assert whole["width"].values.tolist() == [8, 16, 32]
    assert whole["step"].values.tolist() == [0, 1, 8]
    assert whole.attrs["complete"] == "yes"
    assert set(json.loads(whole.attrs["verdicts"])) == {"width 8", "width 16", "width 32"}
    np.testing.assert_array_equal(whole["mean_test"][:2], part["mean_test"])
    np.testing.assert_array_equal(whole["p_value"][:2], part["p_value"])


def test_interruption_before_the_first_width(compare, tmp_path, monkeypatch):
    def interrupted(*arguments, **options):
        raise Interrupted(None)

    monkeypatch.setattr(compare_run, "train_ensemble", interrupted)
    code, _, err = compare()
    assert code == 130
    assert "before any width was finished" in err
    assert not [name for name in files(tmp_path) if name.endswith((".nc", ".png", ".toml"))]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"--procedure": "gradient_flow"}, "takes no steps"),
        ({"--depth": ["1", "2"]}, "give one depth"),
        ({"--widths": ["8", "8"]}, "each width can be given once"),
        ({"--members": ["24", "30"]}, "one for each width"),
        ({"--members": ["5"]}, "at least 24"),
        ({"--replicates": "30"}, "at least 99"),
        ({"--precision": "float16"}, "float32"),
        ({"--procedure": "heavy_ball"}, "needs momentum"),
    ],
)
def test_what_is_wrong_is_said_before_any_work(compare, tmp_path, flags, message):
    code, _, err = compare(**flags)
    assert code == 2
    assert message in err
    assert files(tmp_path) == []


def test_configuration_by_default_and_written_out():
    config = load_config(CompareConfig, None, {}, cross_checks)
    assert list(ensembles(config)) == [32, 64, 128, 256, 512]
    assert recorded_steps(config)[0] == 0
    assert recorded_steps(config)[-1] == 64
    assert len(recorded_steps(config)) == config.ensemble.records + 1


def test_a_width_that_diverges_is_named(compare, monkeypatch):
    def diverging(*arguments, **options):
        raise DivergedError("training diverged; take a smaller step")

    monkeypatch.setattr(compare_run, "train_ensemble", diverging)
    code, _, err = compare(**{"--step-size": "0.00125"})
    assert code == 2
    assert err == (
        "error: width 8: training diverged; take a smaller step (the step was 0.00125, --step-size sets it), "
        "or leave that width out\n"
    )


def test_steps_are_shorter_where_a_narrow_network_would_diverge():
    def step(*widths):
        flags = SMALL | {"--widths": [str(width) for width in widths]}
        return plan(load_config(CompareConfig, None, flags, cross_checks)).procedure.step

    assert step(32) == step(32, 64) == step(64)
    assert step(8, 64) == pytest.approx(step(32) / 4, rel=0.01)  # both are rounded to three digits


def test_members_that_were_left_out_are_said_to_be_the_default(compare, tmp_path):
    (tmp_path / "two.toml").write_text("[ensemble]\nwidths = [16, 32]\n")
    code, _, err = compare(path="two.toml")
    assert code == 2
    assert "members by default holds 5 numbers and widths 2; give members: one number, or one for each" in err
