from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from ntkinfo.core.progress import silent
from ntkinfo.search.environments import TrialTable
from ntkinfo.search.ranking import RankSettings, rank
from ntkinfo.search.scores import ScoreSettings, granulated_draws, granulated_kendall, kendall
from ntkinfo.search.scores_all import AllSettings
from ntkinfo.search.scores_conditional import ConditionalSettings, conditional_information
from ntkinfo.search.scores_partial import partial_correlation
from ntkinfo.search.scores_pgdl import pgdl_score
from ntkinfo.search.scores_sign_error import sign_error
from tests.known_scores import counted_trials, grid_trials

QUICK = AllSettings(
    score=ScoreSettings(resamples=40, permutations=39),
    conditional=ConditionalSettings(groups=5),
    given=("h0",),
    pgdl_permutations=19,
)

QUICK_ONE = AllSettings(
    score=ScoreSettings(resamples=40, permutations=39), conditional=ConditionalSettings(groups=5), pgdl_permutations=0
)


def study(seed=0):
    trials = grid_trials((4, 3, 3), 2, ("a", "b", "c"), seed=seed)
    random = np.random.default_rng(20 + seed)
    gap, m, h0 = trials.gap, len(trials.gap), trials.hyperparameters["h0"]
    last, noise = trials.data_set == "c", random.normal(size=(6, m))
    measures = {
        "good": gap + 0.01 * noise[0],
        "opposite": -gap + 0.01 * noise[1],
        "falling": -gap + 0.02 * noise[2],
        "unknown": -gap + 0.015 * noise[3],
        "h0": h0,
        "noise": noise[4],
        "constant": np.ones(m),
        "only a and b": np.where(last, noise[5], gap),
        "turns": np.where(last, -gap, gap),
        "only c": np.where(last, gap, noise[5]),
    }
    return trials.with_measures(measures)


@pytest.fixture(scope="module")
def ranking():
    settings = RankSettings(QUICK, ("c",), {"falling": -1, "unknown": 0}, ("h0",))
    return rank(study(), settings, silent)


def test_planted_measures_get_their_verdicts(ranking):
    assert dict(zip(ranking.measures, ranking.verdict, strict=True)) == {
        "good": "predicts",
        "opposite": "reversed",
        "falling": "predicts",
        "unknown": "predicts",
        "h0": "tracks hyperparameters",
        "noise": "fails",
        "constant": "fails",
        "only a and b": "not confirmed",
        "turns": "changes sign",
        "only c": "not chosen",
    }


def test_measures_are_sorted_by_what_the_choosing_data_sets_say(ranking):
    value = ranking.selection.granulated.score.value
    assert np.all(np.diff(value) <= 1e-12)
    assert ranking.measures == ranking.held_out.kendall.measures
    assert ranking.selection.data_sets == ("a", "b")
    assert ranking.reported.data_sets == ("c",)


def test_directions_are_declared_or_learned(ranking):
    found = dict(zip(ranking.measures, zip(ranking.direction, ranking.learned, strict=True), strict=True))
    assert found["falling"] == (-1, False)
    assert found["unknown"] == (-1, True)
    assert found["good"] == (1, False)


def test_the_statement_says_what_predicts_and_what_does_not(ranking):
    lines = ranking.statement.splitlines()
    assert lines[0] == "10 measures, 72 trials on c, chosen on a, b."
    by_start = {line.split(":")[0]: line for line in lines[1:]}
    assert "good (Ψ" in by_start["Predict the gap beyond any two hyperparameters"]
    assert "h0 (" in by_start["Only track hyperparameters (nothing more shows once two of them are known)"]
    fails = next(line for line in lines if line.startswith("Fail"))
    assert "noise" in fails
    assert "constant" in fails
    assert "opposite" in by_start["Fall where they are meant to rise with the gap"]
    assert lines[-1].startswith("Best baseline of hyperparameters alone: h0")


def test_the_table_holds_every_score(ranking, tmp_path):
    table = ranking.dataset()
    assert dict(table.sizes) == {"split": 2, "measure": 10}
    for name in (
        "kendall",
        "granulated_kendall",
        "conditional_information",
        "sign_error",
        "partial_correlation",
        "pgdl",
    ):
        assert np.all(np.isfinite(table[name])), name
        assert table[name].attrs["null"]
        assert np.all(table[name + "_p_corrected"] <= 1)
    good = table.sel(measure="good", split="held_out")
    assert good.granulated_kendall_lower <= good.granulated_kendall <= good.granulated_kendall_upper
    assert good.granulated_kendall == ranking.held_out.granulated.score.value[ranking.measures.index("good")]
    assert table.attrs["statement"] == ranking.statement
    table.to_netcdf(tmp_path / "ranking.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "ranking.nc", engine="h5netcdf") as again:
        assert list(again.verdict.values) == list(ranking.verdict)
    assert any("averaged over repeats" in note for note in ranking.notes)


def test_without_held_out_data_sets_the_statement_warns():
    trials = study()
    trials = trials.with_measures({name: trials.measures[name] for name in ("good", "noise")})
    found = rank(trials, RankSettings(QUICK), silent)
    assert found.held_out is None
    assert "No data set was held out" in found.statement
    assert "No hyperparameter-only baseline" in found.statement
    assert found.verdict == ("predicts", "fails")


def test_random_spaces_leave_scores_by_environment_out_and_say_so():
    random = np.random.default_rng(5)
    columns = {"x": random.random(120), "y": random.random(120)}
    gap = columns["x"] + 0.2 * random.normal(size=120)
    measures = {"good": gap + 0.02 * random.normal(size=120), "x": columns["x"], "noise": random.normal(size=120)}
    trials = TrialTable(measures, gap, columns, np.full(120, "d"))
    settings = AllSettings(QUICK.score, QUICK.conditional)
    found = rank(trials, RankSettings(settings), silent)
    assert found.selection.granulated is None
    assert found.selection.sign_error is None
    assert found.selection.pgdl is None
    assert sum("not computed" in note for note in found.notes) == 3
    assert dict(zip(found.measures, found.verdict, strict=True))["good"] == "predicts"
    assert np.all(np.isnan(found.dataset()["granulated_kendall"]))


def test_missing_values_are_left_out_with_a_note():
    trials = study()
    measures = {name: trials.measures[name].copy() for name in ("good", "noise", "h0")}
    measures["noise"][:100] = np.nan
    measures["good"][5] = np.nan
    found = rank(trials.with_measures(measures), RankSettings(QUICK, ("c",)), silent)
    assert set(found.measures) == {"good", "h0"}
    assert found.notes[0].startswith("noise: left out, NaN in 100")
    assert found.selection.trials == 143


def test_no_measure_is_called_good_among_many_worthless_ones():
    trials = grid_trials((3, 3, 3), 2, ("a", "b"))
    random = np.random.default_rng(9)
    trials = trials.with_measures({f"u{k}": random.normal(size=len(trials.gap)) for k in range(20)})
    found = rank(trials, RankSettings(QUICK, ("b",)), silent)
    assert not {"predicts", "predicts on average", "reversed"} & set(found.verdict)
    assert "No measure predicts" in found.statement


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"held_out": ("d",)}, "held_out is 'd'"),
        ({"held_out": ("a", "b", "c")}, "every data set is held out"),
        ({"baselines": ("h00",)}, "did you mean 'h0'"),
        ({"directions": {"goood": -1}}, "did you mean 'good'"),
    ],
)
def test_unknown_names_are_refused_before_any_work(settings, message):
    with pytest.raises(ValueError, match=message):
        rank(study(), RankSettings(QUICK, **settings), silent)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="must be 1, -1 or 0"):
        RankSettings(directions={"u": 2})
    with pytest.raises(ValueError, match="cannot reach a p of"):
        AllSettings(significance=0.001)
    with pytest.raises(ValueError, match="no measures"):
        rank(grid_trials((3, 3)), RankSettings(AllSettings()), silent)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_ranking_does_not_depend_on_the_order_of_the_rows(seed):
    trials = counted_trials(seed=seed)
    rows = np.random.default_rng(seed).permutation(len(trials.gap))
    settings = RankSettings(
        AllSettings(
            score=ScoreSettings(resamples=40, permutations=39),
            conditional=ConditionalSettings(groups=5),
            given=("ridge",),
        ),
        ("d",),
        {"chance": 0},
    )
    one, other = rank(trials, settings, silent), rank(trials.select(rows), settings, silent)
    assert one.measures == other.measures
    assert one.verdict == other.verdict
    xr.testing.assert_identical(one.dataset(), other.dataset())


def test_every_score_by_itself_does_not_depend_on_the_order_of_the_rows():
    trials = counted_trials((40, 45))
    shuffled = trials.select(np.random.default_rng(2).permutation(len(trials.gap)))
    few = ScoreSettings(resamples=40, permutations=39)
    scores = (
        lambda t: kendall(t, few),
        lambda t: kendall(t, few, "b"),
        lambda t: granulated_kendall(t, few).score,
        lambda t: conditional_information(t, few, ConditionalSettings(groups=5), silent).score,
        lambda t: sign_error(t, few, least_size=1.0).score,
        lambda t: partial_correlation(t, ("ridge",), few),
        lambda t: pgdl_score(t.averaged(), few, silent),
    )
    for score in scores:
        one, other = score(trials), score(shuffled)
        for name in ("value", "lower", "upper", "null_mean", "null_std", "p_value", "p_corrected"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=f"{one.name} {name}")
    np.testing.assert_array_equal(granulated_draws(trials, few), granulated_draws(shuffled, few))


def test_environments_name_the_rows_that_were_given():
    trials = counted_trials((40, 45))
    found = sign_error(trials.select(np.random.default_rng(2).permutation(len(trials.gap))), least_size=1.0)
    shuffled = trials.select(np.random.default_rng(2).permutation(len(trials.gap)))
    pairs = found.environments.pairs
    assert np.all(shuffled.data_set[pairs.first] == shuffled.data_set[pairs.second])
    for k, values in enumerate(shuffled.hyperparameters.values()):
        np.testing.assert_array_equal(values[pairs.first] != values[pairs.second], pairs.varied == k)


def test_measures_that_are_mostly_the_errors_of_their_draws_are_left_out():
    trials = counted_trials((40, 45))
    random = np.random.default_rng(5)
    error = np.full(len(trials.gap), 0.02)
    drawn = {name: trials.gap + 0.02 * random.normal(size=len(error)) for name in ("drawn", "exact")}
    trials = replace(trials, measures={**drawn, "gap": trials.gap}, errors={"drawn": error / 10})
    spread = np.mean([np.var(drawn["drawn"][rows]) for rows in trials.parts])
    kept, notes = trials.without_noise()
    assert kept.names == trials.names
    assert notes == ()
    noisy = replace(trials, errors={"drawn": np.full(len(error), np.sqrt(0.8 * spread))})
    found = rank(noisy, RankSettings(QUICK_ONE), silent)
    assert set(found.measures) == {"exact", "gap"}
    assert any("drawn: left out, 80% of its variance is the error of its draws" in note for note in found.notes)
    # Errors go with their rows.
    assert noisy.select(np.array([3, 1])).errors["drawn"].shape == (2,)
    with pytest.raises(ValueError, match="no measures to rank: drawn: left out"):
        rank(noisy.with_measures({"drawn": drawn["drawn"]}), RankSettings(QUICK_ONE), silent)
