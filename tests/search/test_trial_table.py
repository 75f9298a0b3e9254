"""The table that is ranked, from the records of a search."""

import numpy as np
import pyarrow as pa
import pytest

from ntkinfo.generalization import MEASURES
from ntkinfo.search.scores import ScoreSettings, kendall
from ntkinfo.search.trial_table import GAPS, baselines, directions, measure_columns, trial_table


def records(**columns):
    """Eight trials on two data sets; columns of the caller replace or join these."""
    given = {
        "error": [None] * 8,
        "data": ["wine"] * 4 + ["digits"] * 4,
        "n": [16, 16, 32, 32] * 2,
        "noise": [0.0] * 8,
        "activation": ["erf", "relu"] * 4,
        "seed": [0, 1] * 4,
        "n_test": [100] * 4 + [200] * 4,
        "error_gap_mean": [0.1, 0.2, 0.3, 0.4, 0.2, 0.1, 0.4, 0.3],
        "loss_gap_mean": [1.0] * 8,
        "evidence_ntk": [1.0, 2.0, 3.0, 4.0, 20.0, 10.0, 40.0, 30.0],
        "trained_margin": [4.0, 3.0, 2.0, 1.0, 3.0, 4.0, 1.0, 2.0],
        "temperature": [0.0] * 8,
        "n_outputs": [3.0] * 4 + [10.0] * 4,
        "n_train": [16.0, 16.0, 32.0, 32.0] * 2,
        "train_error_mean": [0.0] * 8,
    }
    return pa.table({**given, **columns})


def test_columns_find_their_places():
    table = trial_table(records())
    assert table.names == (
        "evidence_ntk",
        "trained_margin",
        "n_train",
    )  # neither what is constant, nor what is no measure
    assert sorted(table.hyperparameters) == ["activation", "n"]
    np.testing.assert_array_equal(table.gap, records()["error_gap_mean"].to_numpy())
    np.testing.assert_array_equal(table.test_size, [100] * 4 + [200] * 4)
    assert table.data_sets == ("digits", "wine")
    assert trial_table(records(), "loss_gap_mean").test_size is None
    assert trial_table(records(), measures=["temperature"]).names == ("temperature",)


def test_directions_are_those_in_which_measures_go_with_the_gap():
    table = trial_table(records())
    signs = directions(table.names)
    assert signs == {"evidence_ntk": 1, "trained_margin": -1, "n_train": -1}
    assert baselines(table.names) == ("n_train",)
    found = kendall(table, ScoreSettings(resamples=20, permutations=19))
    np.testing.assert_allclose(found.value[:2], [1, -1])
    everything = measure_columns()
    assert len(everything) > len(MEASURES)
    assert set(directions(everything).values()) == {1, -1}


def test_trials_with_an_error_and_missing_values():
    error = ["ValueError: no"] + [None] * 7
    gap = [None, 0.2, 0.3, 0.4, 0.2, 0.1, 0.4, 0.3]
    evidence = [None, None, 3.0, 4.0, 20.0, 10.0, 40.0, 30.0]
    table = trial_table(records(error=error, error_gap_mean=gap, evidence_ntk=evidence))
    assert len(table.gap) == 7
    assert np.isnan(table.measures["evidence_ntk"][0])


def test_what_cannot_be_ranked():
    with pytest.raises(ValueError, match="did you mean 'error_gap_mean'"):
        trial_table(records(), "error_gap")
    with pytest.raises(ValueError, match=r"have no error_gap_mean; .* take gap='loss_gap_mean'"):
        trial_table(records(error_gap_mean=[float("nan")] * 4 + [0.1] * 4))
    with pytest.raises(ValueError, match="hold 0 trials"):
        trial_table(records(error=["lost"] * 8))
    with pytest.raises(ValueError, match="measure is 'evidence'"):
        trial_table(records(), measures=["evidence"])
    with pytest.raises(ValueError, match="measure is 'evidence'"):
        directions(["evidence"])
    with pytest.raises(ValueError, match="none with the column 'finite_error_gap_mean'"):
        trial_table(records(), "finite_error_gap_mean")
    reached = records(finite_error_gap_mean=[0.1, 0.2, float("nan"), None, 0.3, 0.1, 0.2, 0.4])
    assert len(trial_table(reached, "finite_error_gap_mean").gap) == 6
    assert len(GAPS) == 16


def test_records_of_earlier_versions_come_under_their_names_of_today():
    old = [1.0, 2.0, 3.0, 4.0, None, None, None, None]
    new = [None, None, None, None, 5.0, 6.0, 7.0, 8.0]
    table = trial_table(
        records(parameter_distance=old, parameter_distance_squared=new), measures=["parameter_distance"]
    )
    np.testing.assert_array_equal(table.measures["parameter_distance_squared"], np.arange(1.0, 9.0))
    alone = trial_table(records(parameter_distance=[0.5 * k for k in range(8)]))
    np.testing.assert_array_equal(alone.measures["parameter_distance_squared"], 0.5 * np.arange(8))


def test_equal_gaps_of_counted_errors_are_ties():
    gap = [0.3 - 0.1, 0.2, 0.5 - 0.3, 0.6 - 0.4] * 2
    assert len(set(gap)) > 1
    assert len(set(trial_table(records(error_gap_mean=gap)).gap)) == 1


def test_drawn_measures_come_with_their_errors():
    table = trial_table(
        records(information_input_train=list(range(8)), information_input_train_standard_error=[0.5] * 8)
    )
    np.testing.assert_array_equal(table.errors["information_input_train"], np.full(8, 0.5))
