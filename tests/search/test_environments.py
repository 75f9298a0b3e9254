import itertools

import numpy as np
import pytest

from ntkinfo.search.environments import TrialTable, environments, group_numbers, neighbours, pair_weights
from tests.known_scores import grid_trials


def scattered(seed=0, m=70):
    """Trials at random places of a grid, with repeats and holes."""
    random = np.random.default_rng(seed)
    columns = {"a": random.integers(0, 3, m), "b": np.array(["x", "y"])[random.integers(0, 2, m)]}
    columns["c"] = random.integers(0, 2, m) / 3
    names = np.array(["one", "two"])[random.integers(0, 2, m)]
    return TrialTable({"u": random.normal(size=m)}, random.random(m), columns, names, np.full(m, 200))


def by_hand(trials):
    """Every pair that differs in one hyperparameter, by comparing all."""
    columns, found = list(trials.hyperparameters.values()), set()
    for i, j in itertools.combinations(range(len(trials.gap)), 2):
        differ = [k for k, c in enumerate(columns) if c[i] != c[j]]
        if trials.data_set[i] == trials.data_set[j] and len(differ) == 1:
            low, high = (i, j) if columns[differ[0]][i] < columns[differ[0]][j] else (j, i)
            found.add((low, high, differ[0]))
    return found


def test_neighbours_are_the_pairs_that_differ_in_one_hyperparameter():
    trials = scattered()
    pairs = neighbours(trials)
    found = list(zip(pairs.first.tolist(), pairs.second.tolist(), pairs.varied.tolist(), strict=True))
    assert len(found) == len(set(found))
    assert set(found) == by_hand(trials)
    for g in np.unique(pairs.group):
        rows = np.flatnonzero(pairs.group == g)
        members = np.concatenate([pairs.first[rows], pairs.second[rows]])
        others = np.delete(trials.codes, pairs.varied[rows[0]], axis=0)[:, members]
        assert np.all(others == others[:, :1])


def test_hoeffding_weights_discard_differences_that_chance_explains():
    # The published threshold for ten thousand test inputs.
    edge = 0.0196
    gap = np.array([0.0, edge - 1e-4, 0.0, edge + 1e-4])
    trials = TrialTable(
        {}, gap, {"a": np.array([0, 1, 0, 1]), "b": np.array([0, 0, 1, 1])}, np.full(4, "d"), np.full(4, 10_000)
    )
    pairs = neighbours(trials)
    weight = dict(
        zip(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True), pair_weights(trials, pairs), strict=True)
    )
    assert weight[0, 1] == 0
    assert 0 < weight[2, 3] < 0.02
    sure = pair_weights(trials, pairs, np.arange(4.0))
    np.testing.assert_allclose(sure, 0.5, atol=1e-12)


@pytest.mark.parametrize("by", ["values", "combinations"])
def test_environments_hold_their_pairs(by):
    trials = grid_trials((3, 2), repeats=5, data_sets=("one", "two"))
    found = environments(trials, by, least_size=12.0)
    assert len(found.start) == 2 * ((3 + 1) if by == "values" else (3 * 2 + 1 * 3))
    assert found.left_out == 0
    # Equal weights: the effective size is the number of pairs.
    np.testing.assert_allclose(found.size, np.diff(np.append(found.start, len(found.weight))))
    for begin, end in zip(found.start, np.append(found.start[1:], len(found.weight)), strict=True):
        assert len(set(found.pairs.varied[begin:end])) == 1
        combos = {
            tuple(trials.combination[[i, j]])
            for i, j in zip(found.pairs.first[begin:end], found.pairs.second[begin:end], strict=True)
        }
        assert len(combos) == 1 if by == "combinations" else len(combos) > 1


def test_small_environments_are_left_out_and_counted():
    trials = grid_trials((3, 2), repeats=4)
    assert environments(trials, "combinations", least_size=16.0).left_out == 0
    with pytest.raises(ValueError, match="effective pairs"):
        environments(trials, "combinations", least_size=16.5)
    # h0 has 2 · 16 pairs an environment (three of them), h1 has 3 · 16 (one).
    assert environments(trials, "values", least_size=40.0).left_out == 3


def test_missing_values_leave_out_measures_or_trials_and_say_so():
    base = grid_trials((4, 5))
    holes, many = np.arange(20.0), np.arange(20.0)
    holes[3], many[:6] = np.nan, np.nan
    table, notes = base.with_measures({"whole": np.arange(20.0), "holes": holes, "many": many}).without_missing(0.1)
    assert table.names == ("whole", "holes")
    assert len(table.gap) == 19
    assert "many: left out, NaN in 6 of 20" in notes[0]
    assert "1 of 20 trials left out: NaN in holes" in notes[1]


def test_averaging_merges_repeats():
    trials = grid_trials((2, 2), repeats=3)
    trials = trials.with_measures({"u": np.arange(12.0)})
    merged = trials.averaged()
    np.testing.assert_allclose(merged.measures["u"], [1, 4, 7, 10])
    np.testing.assert_allclose(merged.gap, trials.gap.reshape(4, 3).mean(axis=1))


def test_group_numbers_are_one_for_each_row():
    random = np.random.default_rng(1)
    columns = random.integers(0, 4, (3, 200))
    numbers = group_numbers(*columns)
    rows = {tuple(c) for c in columns.T}
    assert len(np.unique(numbers)) == len(rows) == numbers.max() + 1
    assert len({(n, *c) for n, c in zip(numbers, columns.T, strict=True)}) == len(rows)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gap": [0.1, np.nan]}, "gap holds 1 NaN"),
        ({"gap": []}, "at least one"),
        ({"data_set": ["a"]}, "one value for each trial"),
        ({"hyperparameters": {"h": [0.0, np.nan]}}, "is NaN in 1 of 2"),
        ({"measures": {"u": [1.0, 2.0, 3.0]}}, "one value for each trial"),
        ({"test_size": [0, 5]}, "at least 1"),
    ],
)
def test_bad_tables_are_refused(change, message):
    good = {"measures": {}, "gap": [0.1, 0.2], "hyperparameters": {"h": [0, 1]}, "data_set": ["a", "a"]}
    columns = {
        key: {n: np.array(c) for n, c in v.items()} if isinstance(v, dict) else np.array(v)
        for key, v in (good | change).items()
    }
    with pytest.raises(ValueError, match=message):
        TrialTable(**columns)


def test_unknown_data_sets_and_missing_neighbours_are_refused():
    trials = grid_trials((2, 2))
    with pytest.raises(ValueError, match="did you mean 'one'"):
        trials.of(["on"])
    alone = TrialTable({}, np.arange(3.0), {"a": np.arange(3), "b": np.arange(3)}, np.full(3, "d"))
    with pytest.raises(ValueError, match="differ in exactly one"):
        neighbours(alone)
    with pytest.raises(ValueError, match="NaN in 1 of 4"):
        _ = trials.with_measures({"u": np.array([0, 1, 2, np.nan])}).ranks


def test_order_is_that_of_what_the_rows_hold():
    trials = scattered()
    rows = np.random.default_rng(1).permutation(len(trials.gap))
    one, other = trials.ordered(), trials.select(rows).ordered()
    np.testing.assert_array_equal(one.gap, other.gap)
    np.testing.assert_array_equal(one.measures["u"], other.measures["u"])
    for name in one.hyperparameters:
        np.testing.assert_array_equal(one.hyperparameters[name], other.hyperparameters[name])
    assert list(one.data_set) == sorted(trials.data_set)
    assert one.ordered() is one
    # Rows that agree in everything else are told apart by their measures.
    same = TrialTable({"u": np.array([2.0, np.nan, 1.0])}, np.zeros(3), {}, np.full(3, "d"))
    np.testing.assert_array_equal(same.ordered().measures["u"], [1, 2, np.nan])


def test_ranks_are_dense_within_each_data_set():
    trials = scattered()
    trials = trials.with_measures({"u": np.round(trials.measures["u"], 1)})
    for rows in trials.parts:
        for ranks, values in ((trials.ranks[0], trials.measures["u"]), (trials.gap_ranks, trials.gap)):
            assert set(ranks[rows]) == set(range(len(set(values[rows]))))
            np.testing.assert_array_equal(
                np.sign(np.subtract.outer(ranks[rows], ranks[rows])),
                np.sign(np.subtract.outer(values[rows], values[rows])),
            )


def test_equal_means_over_repeats_are_ties():
    parts = [(0.1, 0.2, 0.3), (0.3, 0.2, 0.1), (0.2, 0.2, 0.2), (0.4, 0.2, 0.0)]
    trials = TrialTable(
        {"u": np.ravel(parts)}, np.ravel(parts), {"h": np.repeat(np.arange(4), 3)}, np.full(12, "d")
    ).averaged()
    assert set(trials.gap_ranks) == {0}
    assert set(trials.ranks[0]) == {0}
    np.testing.assert_allclose(trials.gap, 0.2, rtol=1e-12)
