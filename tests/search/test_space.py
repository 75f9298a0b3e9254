"""Spaces: grids, draws, and mistakes that are found before any work."""

import math

import numpy as np
import pytest

from ntkinfo.search.space import Range, Space, axis_of
from ntkinfo.search.trial_description import TrialOptions


def test_a_grid_has_every_combination_once():
    axes = {"data": ["wine", "digits"], "n": [16, 32], "ridge": [0, 0.1], "time": [1.0, math.inf], "seed": [0, 1]}
    trials = Space(axes, TrialOptions(n_test=9)).trials()
    assert len(trials) == len({trial.fingerprint for trial in trials}) == 32
    assert {(t.data, t.n, t.ridge, t.time, t.seed) for t in trials} == {
        (d, n, r, t, s)
        for d in ("wine", "digits") for n in (16, 32) for r in (0.0, 0.1) for t in (1.0, math.inf) for s in (0, 1)
    }  # fmt: skip
    assert all(trial.options.n_test == 9 and trial.depth == 2 for trial in trials)


def test_combinations_that_are_the_same_trial_count_once():
    axes = {"procedure": ["gradient_flow", "converged"], "time": [1.0, 2.0, math.inf]}
    assert len(Space(axes).trials()) == 4  # three times, and one end
    assert Space({}).trials()[0].time == math.inf


@pytest.mark.parametrize("kind", ["random", "sobol"])
def test_draws_stay_in_their_ranges_and_repeat_with_their_seed(kind):
    axes = {"ridge": (1e-4, 1.0, "log"), "noise": [0.0, 0.3], "depth": (1, 4, "linear"), "n": (8, 64, "log")}
    space = Space(axes, kind=kind, count=256, seed=1)
    trials = space.trials()
    assert trials == Space(axes, kind=kind, count=256, seed=1).trials()
    assert trials != Space(axes, kind=kind, count=256, seed=2).trials()
    assert all(1e-4 <= t.ridge <= 1.0 and 8 <= t.n <= 64 for t in trials)
    depths = np.array([t.depth for t in trials])
    assert set(depths) == {1, 2, 3, 4}
    below = np.mean([t.ridge < 1e-2 for t in trials])  # half of the logarithm
    share = np.array([np.mean(depths == depth) for depth in (1, 2, 3, 4)])
    if kind == "sobol":  # 256 points are balanced over halves and quarters of each axis
        assert below == 0.5
        np.testing.assert_allclose(share, 0.25, rtol=0, atol=0)
    else:  # four standard deviations
        assert abs(below - 0.5) < 4 * math.sqrt(0.25 / 256)
        assert np.all(np.abs(share - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 256))


def test_a_number_that_is_no_power_of_two_makes_no_noise():
    assert len(Space({"ridge": (0.1, 1.0, "linear")}, kind="sobol", count=5).trials()) == 5


def test_ends_of_ranges_of_whole_numbers_get_their_share():
    whole = Range(1.0, 2.0)
    assert [whole.at(place, True) for place in (0.0, 0.49, 0.51, 0.999)] == [1, 1, 2, 2]
    assert Range(1.0, 100.0, True).at(0.5, False) == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("axes", "more", "message"),
    [
        ({"dept": [1]}, {}, "did you mean 'depth'"),
        ({"depth": []}, {}, "depth is empty"),
        ({"depth": [1, 1]}, {}, "give each value once"),
        ({"depth": [1.5]}, {}, "whole numbers"),
        ({"ridge": ["a"]}, {}, "it must be numbers"),
        ({"ridge": [-1.0]}, {}, "ridge is -1.0"),
        ({"activation": ["rellu"]}, {}, "did you mean 'relu'"),
        ({"activation": ["erf", "relu", "log"]}, {}, "only numbers have ranges"),
        ({"ridge": [0.1, 1.0, "log"]}, {}, "a grid needs values"),
        ({"ridge": [0.0, 1.0, "log"]}, {"kind": "sobol", "count": 4}, "must begin above 0"),
        ({"ridge": [1.0, 0.1, "log"]}, {"kind": "sobol", "count": 4}, "it must rise"),
        ({"depth": [1.5, 3.0, "linear"]}, {"kind": "sobol", "count": 4}, "bounds must be whole"),
        ({}, {"kind": "sobol"}, "needs a count"),
        ({}, {"kind": "sobl", "count": 2}, "did you mean 'sobol'"),
        ({}, {"count": 4}, "takes every combination"),
        ({"seed": list(range(3000)), "n": list(range(2, 3000))}, {}, "combinations"),
    ],
)
def test_mistakes_are_found_before_any_work(axes, more, message):
    with pytest.raises((ValueError, TypeError), match=message):
        Space(axes, **more)


def test_combinations_that_make_no_sense_are_found_when_trials_are_made():
    with pytest.raises(ValueError, match="wine has 178 inputs"):
        Space({"data": ["digits", "wine"], "n": [256]}).trials()


def test_values_are_not_held_to_what_another_data_set_allows():
    # The default data set, digits, has 1,797 inputs and labels, whose noise is a probability.
    assert {t.noise for t in Space({"data": ["teacher_gp"], "n": [4000], "noise": [0.0, 2.0]}).trials()} == {0.0, 2.0}
    files = TrialOptions(files=(("image_file", "images"), ("label_file", "labels")))
    assert Space({"data": ["idx"], "n": [4000]}, files).trials()[0].n == 4000
    with pytest.raises(ValueError, match="noise is 2"):
        Space({"data": ["idx"], "n": [4000], "noise": [2.0]}, files).trials()
    with pytest.raises(ValueError, match="noise is 2"):
        Space({"data": ["teacher_gp", "wine"], "noise": [2.0]}).trials()
    real = TrialOptions(files=(("path", "a.npz"), ("targets", "regression")))
    assert Space({"data": ["npz"], "noise": [2.0]}, real).trials()[0].noise == 2.0


def test_axes_as_they_are_written():
    assert axis_of("ridge", 1) == (1.0,)
    assert axis_of("ridge", [1, 10, "log"]) == Range(1.0, 10.0, True)
    assert axis_of("data", "wine") == ("wine",)
