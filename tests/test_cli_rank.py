"""`ntkinfo rank`: from records to a table, figures and a statement; bad input in one line."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import ntkinfo as ni
from ntkinfo.core.progress import silent
from ntkinfo.rank_run import ranking_files
from ntkinfo.report.ranking_figure import ranking_figure
from ntkinfo.report.ranking_table import WIDTH, ranking_table
from ntkinfo.report.sweep_progress import line
from ntkinfo.search.ranking import RankSettings, rank
from ntkinfo.search.records import Records
from ntkinfo.search.scores import ScoreSettings
from ntkinfo.search.scores_all import AllSettings
from ntkinfo.search.scores_conditional import ConditionalSettings
from ntkinfo.search_config import SearchConfig
from tests.cli_helpers import files
from tests.known_scores import grid_trials

FAST = ["--resamples", "20", "--permutations", "19"]


def rows(data_sets=("digits", "wine"), failed=2):
    """Records of a small grid on which one measure follows the gap, one says nothing and one falls with it."""
    random = np.random.default_rng(0)
    trials = grid_trials((3, 3), 4, data_sets, noise=0.1)
    found = []
    for k, gap in enumerate(trials.gap):
        row = {"fingerprint": f"t{k}", "error": None, "seconds": 0.1, "data": str(trials.data_set[k]), "seed": k % 4}
        row |= {"n": 32.0 * (1 + trials.hyperparameters["h0"][k]), "noise": 0.1 * trials.hyperparameters["h1"][k]}
        row |= {"error_gap_mean": gap, "n_test": 5000.0, "training_loss": gap + 0.01 * random.normal()}
        row |= {"trained_margin": random.normal(), "training_time": float(trials.hyperparameters["h0"][k])}
        found.append(row)
    bad = [
        {"fingerprint": f"bad{k}", "error": "ValueError: no", "seconds": 0.0, "data": "digits"} for k in range(failed)
    ]
    return found + bad


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("search")
    with Records(place / "trials") as records:
        records.add(rows())
    return place


@pytest.fixture
def ranked(tmp_path, capsys, monkeypatch):
    """Run `ntkinfo rank` in an empty folder; returns exit code, output and messages."""
    monkeypatch.chdir(tmp_path)
    from ntkinfo.cli import run

    def call(*words):
        code = run(["rank", *map(str, words)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_a_folder_of_records_is_ranked_and_confirmed_on_held_out_data(ranked, folder, tmp_path):
    code, out, err = ranked(
        folder, *FAST, "--held-out", "wine", "--given", "n", "--out", "here", "--format", "png", "svg"
    )
    assert (code, err) == (0, "")
    assert files(tmp_path / "here") == ["ranking.nc", "ranking.png", "ranking.svg"]
    assert "74 trials, 2 of them with an error and left out" in out
    assert "3 measures, 36 trials on wine, chosen on digits." in out
    table = [
        text for text in out.splitlines() if text.startswith(("training_loss", "−trained_margin", "training_time"))
    ]
    assert table[0].startswith("training_loss")
    assert max(map(len, table)) <= WIDTH
    with xr.open_dataset(tmp_path / "here" / "ranking.nc", engine="h5netcdf") as found:
        assert found["measure"].values[0] == "training_loss"
        assert found["split"].values.tolist() == ["selection", "held_out"]
        assert found.attrs["statement"].splitlines()[0] in out


def test_a_ranking_is_not_replaced_unasked_and_repeats_by_its_seed(ranked, folder, tmp_path):
    found = []
    for words in ([], ["--overwrite"], ["--overwrite", "--seed", "5"]):
        assert ranked(folder, *FAST, "--out", "one", "--quiet", *words)[:2] == (0, "")
        with xr.open_dataset(tmp_path / "one" / "ranking.nc", engine="h5netcdf") as opened:
            found.append(opened["granulated_kendall_lower"].values)
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])
    code, _, err = ranked(folder, *FAST, "--out", "one")
    assert code == 2
    assert "--overwrite" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "needs the folder of a search"),
        (["nowhere"], "no folder or part of records 'nowhere'"),
        (["{folder}", "--gap", "test_eror_mean"], "test_error_mean"),
        (["{folder}", "--held-out", "iris"], "iris"),
        (["{folder}", "--held-out", "wine", "digits"], "every data set is held out"),
        (["{folder}", "--given", "depth"], "depth"),
        (["{folder}", "--resamples", "few"], "--resamples"),
        (["{folder}", "--format", "bmp"], "--format"),
    ],
)
def test_bad_input_is_one_line(ranked, folder, tmp_path, words, said):
    code, out, err = ranked(*(word.format(folder=folder) for word in words), "--out", "new")
    assert code == 2
    assert said in err
    assert "Traceback" not in err + out
    assert files(tmp_path) == []


def test_parts_by_name_and_damaged_ones(ranked, folder, tmp_path):
    part = next((folder / "trials").glob("*.parquet"))
    code, out, _ = ranked(part, *FAST, "--out", "new")
    assert code == 0
    assert "No data set was held out" in out
    cut = tmp_path / "part-0-00000001-abc.parquet"
    cut.write_bytes(part.read_bytes()[:100])
    code, _, err = ranked(cut, *FAST)
    assert code == 2
    assert f"{cut.name} is damaged" in err


def test_many_measures_are_cut_to_the_best(tmp_path):
    random = np.random.default_rng(1)
    trials = grid_trials((3, 3), 3)
    measures = {f"a_rather_long_name_of_a_measure_{k:02d}": random.normal(size=len(trials.gap)) for k in range(40)}
    settings = AllSettings(
        score=ScoreSettings(resamples=20, permutations=19),
        conditional=ConditionalSettings(groups=5),
        pgdl_permutations=0,
    )
    found = rank(trials.with_measures(measures), RankSettings(settings), silent)
    dataset = found.dataset()
    assert ranking_table(dataset).row_count == 25
    figure = ranking_figure(dataset)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(found.measures[:25])
    for name, writer in ranking_files(found, SearchConfig(output={"formats": ["pdf"]})).items():
        writer(tmp_path / name)
    assert files(tmp_path) == ["ranking.nc", "ranking.pdf"]
    kept = ni.load_curves(tmp_path / "ranking.nc").attrs
    assert kept["version_ntkinfo"] == ni.__version__
    assert 'formats = ["pdf"]' in kept["configuration"]


def test_lines_of_progress_say_rate_and_time_left():
    assert line("trials", 1, 100, 3.0, 0.0) == "trials: 1/100 (1 %), 3 s"
    assert line("trials", 41, 100, 13.0, 10.0) == "trials: 41/100 (41 %), 13 s, 4/s, 15 s left"
    assert line("trials", 11, 10_000, 13.0, 10.0).endswith("1/s, 2.8 h left")
    assert line("trials", 11, None, 13.0, 10.0) == "trials: 11, 13 s, 1/s"


def test_a_folder_of_curves_is_named_and_what_to_do_instead(ranked, tmp_path):
    (tmp_path / "curves").mkdir()
    (tmp_path / "curves" / "curves.nc").write_bytes(b"")
    code, _, err = ranked("curves")
    assert code == 2
    assert "holds results of `ntkinfo curves`" in err
    assert "`ntkinfo report curves`" in err
    assert "run `ntkinfo search` first" in err
