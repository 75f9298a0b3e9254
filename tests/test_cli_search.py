"""`ntkinfo search` and `ntkinfo measures` from the outside."""

import json
import tomllib

import numpy as np
import pytest

from ntkinfo import rank_run, search_assembly, search_run
from ntkinfo.generalization import MEASURES
from ntkinfo.information.curve_files import load_curves
from ntkinfo.search import trial as trial_module
from ntkinfo.search.plan import Rates
from ntkinfo.search.records import read_records
from ntkinfo.search.trial_description import Trial
from ntkinfo.search_config import SearchConfig

SMALL = [
    "--data", "wine,breast_cancer", "--n-train", "12,16", "--noise", "0,0.3", "--depth", "1", "--activation", "erf",
    "--ridge", "0.1", "--time", "0.1", "--n-test", "40", "--workers", "0", "--resamples", "20",
    "--permutations", "19", "--quiet",
]  # fmt: skip


@pytest.fixture
def search(tmp_path, capsys, monkeypatch):
    """Run `ntkinfo search` in an empty folder; returns exit code, output and messages."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    from ntkinfo.cli import run

    def call(*words, command="search"):
        code = run([command, *map(str, words)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_a_search_ends_in_a_ranking_and_goes_on_where_it_was(search, tmp_path, monkeypatch):
    code, _, messages = search(*SMALL, "--seed", "0", "--out", "found")
    assert code == 0, messages
    folder = tmp_path / "found"
    assert {"config.toml", "ranking.nc", "ranking.png", "trials"} <= {place.name for place in folder.iterdir()}
    first = read_records(folder / "trials").table
    assert first.num_rows == 2 * 2 * 2 * 2  # data sets, sizes, noises, times
    assert first["error"].null_count == first.num_rows
    ranking = load_curves(folder / "ranking.nc")
    assert list(ranking["split"].values) == ["selection", "held_out"]
    assert np.all(np.isfinite(ranking["kendall"]))
    kept = tomllib.loads((folder / "config.toml").read_text())
    assert kept["space"]["n"] == [12, 16]
    assert kept["space"]["infinity"] is True
    assert kept["ranking"]["held_out"] == ["breast_cancer"]
    assert kept["output"]["folder"] == str(folder)

    rows = trial_module._rows

    def measured(trials):
        raise AssertionError("measured again")

    # Ranking again takes long and is tested above.
    monkeypatch.setattr(search_run, "_rank", lambda *given: [])
    monkeypatch.setattr(trial_module, "_rows", measured)
    code, output, _ = search(*[word for word in SMALL if word != "--quiet"], "--seed", "0", "--out", "found")
    assert code == 0
    assert "16 of 16 trials are recorded already" in output
    assert "0 trials measured" in output
    monkeypatch.setattr(trial_module, "_rows", rows)
    code, _, messages = search(*SMALL, "--seed", "1", "--out", "found")
    assert code == 2
    assert "is of a search with another [space]" in messages
    code, _, messages = search(*SMALL, "--seed", "1", "--out", "found", "--overwrite")
    assert code == 0, messages
    both = read_records(folder / "trials").table
    assert both.num_rows == 2 * first.num_rows
    assert set(first["fingerprint"].to_pylist()) < set(both["fingerprint"].to_pylist())

    def no_rank(*given):
        raise ValueError("far enough")

    monkeypatch.setattr(rank_run, "rank", no_rank)
    code, _, messages = search("found", "--out", "all", command="rank")
    assert code == 2
    assert "16 of the trials are not of the search that config.toml describes; they are ranked too" in messages
    code, _, messages = search("found/trials", "--out", "all", command="rank")
    assert "are not of the search" not in messages


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "digit"], "--data: data is 'digit', which is not known (did you mean 'digits'?)"),
        (["--activation", "rellu"], "--activation: activation is 'rellu', which is not known (did you mean 'relu'?)"),
        (["--ridge", "a"], "--ridge: ridge is ['a']; it must be numbers"),
        (["--ridge", "0.1,1,log"], "--ridge: ridge is a range, and a grid needs values"),
        (["--n-train", "500"], "--n-train: n is 500, and wine has 178 inputs"),
        (["--kind", "sobol"], "--kind: kind is 'sobol' and needs a count of trials"),
        (["--time", "1,2,log", "--infinity", "--kind", "sobol", "--count", "4"], "--infinity: infinity is true"),
        (["--gap", "error"], "--gap: gap is 'error', which is not known (did you mean 'error_gap_mean'?)"),
        (["--held-out", "iris"], "--held-out: held_out is 'iris', which is none of the data sets"),
        (["--samples", "5"], "--samples: samples is 5; it must be even"),
        (["--workers", "2", "--slurm-jobs", "2"], "workers and slurm are given; trials are measured in one place"),
        (["--slurm-jobs", "2"], "--slurm-jobs: SLURM needs the package dask-jobqueue"),
        (["--scheduler", "node7"], "--scheduler: scheduler is 'node7', which is no address"),
        (["--gap", "finite_loss_gap_mean"], "--gap: gap is 'finite_loss_gap_mean', which needs trained networks"),
        (["--data", "wine,diabetes"], "error: gap is 'error_gap_mean', and diabetes has no classes"),
        (["--given", "n,w_std"], "--given: given is 'w_std', which is not varied; varied: n, noise, depth"),
        (["--image-file", "none"], "--image-file: image_file: none does not exist"),
        (["--data", "csv"], "--data: data is 'csv', which needs the option(s) path, target"),
    ],
)
def test_mistakes_are_told_at_once(search, tmp_path, monkeypatch, words, message):
    monkeypatch.setattr(search_assembly, "find_spec", lambda name: None)  # whether dask-jobqueue is there or not
    code, _, messages = search(*words)
    assert code == 2
    assert message in " ".join(messages.split())
    assert not any(tmp_path.iterdir())


def test_what_is_wrong_with_the_folder_or_the_workers_is_one_line(search, tmp_path, monkeypatch):
    (tmp_path / "found").mkdir()
    (tmp_path / "found" / "config.toml").write_text("space = [")
    code, _, messages = search(*SMALL, "--out", "found")
    assert code == 2
    assert f"{tmp_path / 'found' / 'config.toml'}: not valid TOML" in messages
    monkeypatch.setattr(search_run, "measured_rates", lambda *given, **more: Rates())

    def no_worker(*given, **more):
        raise RuntimeError("they do not start")

    monkeypatch.setattr(search_run, "sweep", no_worker)
    code, _, messages = search(*SMALL, "--out", "other")
    assert code == 2
    assert messages == "error: they do not start\n"


def test_measures_are_listed(search):
    code, output, _ = search(command="measures")
    assert code == 0
    assert all(f"{name} " in output for name in MEASURES)
    assert f"{len(MEASURES)} measures" in output
    code, output, _ = search("--json", command="measures")
    listed = json.loads(output)
    assert [entry["name"] for entry in listed] == list(MEASURES)
    assert listed[0]["formula"] == next(iter(MEASURES.values())).formula
    assert {"symbol", "unit", "needs", "direction", "source"} <= set(listed[0])


def test_a_replaced_file_makes_other_trials(tmp_path):
    """Names of files do not tell their contents: a changed file is measured again, a copied one is not another."""
    place = tmp_path / "data.npz"
    config = SearchConfig(files={"path": str(place)})
    found = []
    for content in (b"one", b"two", b"one"):
        place.write_bytes(content)
        found.append(Trial(data="npz", options=search_assembly.options(config)))
    assert len({trial.fingerprint for trial in found}) == len({trial.group for trial in found}) == 2
    assert found[0].fingerprint == found[2].fingerprint
    bundled = {Trial(data="wine", options=trial.options).fingerprint for trial in found}
    assert bundled == {Trial(data="wine").fingerprint}
