"""Interpolation over time: the measured error holds, evaluations are few and never wasted, steps are not smoothed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ntkinfo.information.time_interpolation import distinct_times, over_time
from ntkinfo.training.discrete import GradientDescent, HeavyBall
from ntkinfo.training.output_distribution import output_distribution
from ntkinfo.training.procedures import Converged, GradientFlow
from tests.random_features import RandomFeatures

TIMES = np.geomspace(1e-3, 1e5, 700)
FAST, SLOW = np.geomspace(1e-4, 1e2, 60), np.array([0.02, 7.0])

FUNCTIONS = {
    "many modes": lambda t: np.sum(np.log1p(50 * np.expm1(-FAST * t) ** 2)),
    "two modes": lambda t: np.sum(np.log1p(1e4 * np.expm1(-SLOW * t) ** 2)),
    "growth": lambda t: 3 * t + np.log1p(t),
    "constant": lambda t: 2.5,
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("tolerance", [1e-4, 1e-6, 1e-8])
def test_every_value_is_within_its_measured_error(name, tolerance):
    function = FUNCTIONS[name]
    got = over_time(lambda t: np.array([function(t)]), TIMES, tolerance=tolerance)
    wanted = np.array([function(t) for t in TIMES])
    miss = np.abs(got.value[:, 0] - wanted)
    assert np.all(miss <= got.error[:, 0] + 1e-12 * np.maximum(1, np.abs(wanted)))
    assert np.all(got.error[:, 0] <= 2 * tolerance * np.maximum(1, np.abs(wanted)).max())
    assert np.all(miss <= tolerance * np.maximum(1, np.abs(wanted)))
    assert got.missed == 0
    assert got.evaluated < 160
    assert f"{got.evaluated} nodes" in got.method


@given(st.integers(0, 10**6), st.integers(1, 5))
@settings(deadline=None, max_examples=30)
def test_random_sums_of_modes_keep_the_tolerance(seed, count):
    rng = np.random.default_rng(seed)
    rates, sizes = 10 ** rng.uniform(-4, 2, count), 10 ** rng.uniform(-1, 4, count)

    def values(t):
        return np.array([np.sum(np.log1p(sizes * np.expm1(-rates * t) ** 2)), np.sum(np.expm1(-rates * t))])

    got = over_time(values, TIMES)
    wanted = np.stack([values(t) for t in TIMES])
    # The error is measured at held-out nodes, so a factor is left for what lies between them.
    assert np.all(np.abs(got.value - wanted) <= 3e-6 * np.maximum(1, np.abs(wanted)))


def test_few_times_are_evaluated_and_so_are_the_ends():
    calls = []

    def evaluate(t):
        calls.append(t)
        return np.array([np.arctan(t)])

    times = np.array([np.inf, 0.0, 3.0, 0.5, 3.0])
    got = over_time(evaluate, times)
    np.testing.assert_array_equal(got.value[:, 0], np.arctan(times))
    assert sorted(calls) == [0.0, 0.5, 3.0, np.inf]
    assert np.all(got.error == 0)
    assert got.method == "evaluated at 4 times"
    rough = over_time(evaluate, TIMES[:40], smooth=False)
    assert rough.evaluated == 40
    dense = over_time(evaluate, np.concatenate([[0.0], TIMES, [np.inf]]))
    assert dense.value[0, 0] == 0
    assert dense.value[-1, 0] == np.pi / 2
    assert dense.error[0, 0] == dense.error[-1, 0] == 0


def test_a_limit_that_is_too_low_is_reported():
    function = FUNCTIONS["two modes"]
    got = over_time(lambda t: np.array([function(t)]), TIMES, tolerance=1e-9, limit=20)
    assert got.evaluated <= 20
    assert got.missed > 0
    assert "NOT reached" in got.method
    assert got.error.max() > 1e-9
    with pytest.raises(ValueError, match="limit is 3"):
        over_time(lambda t: np.array([t]), TIMES, limit=3)


def test_infinite_values_are_not_interpolated_across():
    got = over_time(lambda t: np.array([np.inf if t > 20 else t / (1 + t)]), TIMES)
    late = TIMES > 20
    assert np.all(np.isinf(got.value[late]))
    np.testing.assert_allclose(got.value[~late, 0], (TIMES / (1 + TIMES))[~late], atol=1e-6)


@pytest.mark.parametrize("times", [np.geomspace(1e-6, 1e6, 2000), np.geomspace(1e-12, 1e5, 100)])
def test_a_limit_reached_beside_infinite_values_is_owned_up_to(times):
    got = over_time(lambda t: np.array([t if t < 1e3 else np.inf]), times, limit=40)
    wanted = np.where(times < 1e3, times, np.inf)
    assert not np.any(np.isnan(got.value))
    finite = np.isfinite(wanted)
    miss = np.where(finite, np.abs(got.value[:, 0] - np.where(finite, wanted, 0)), np.inf)
    assert np.all((miss <= got.error[:, 0] + 1e-12) | (got.value[:, 0] == wanted))
    assert np.any(np.isposinf(got.error))
    assert got.missed > 0


def test_no_error_is_zero_where_a_limit_left_none_to_measure():
    def function(t):
        return np.array([1 / (1 + t**-3), np.exp(-(np.log(t) ** 2) / 0.02)])

    times = 10 ** np.random.default_rng(0).uniform(-6, 6, 500)
    for limit in range(26, 48):
        got = over_time(function, times, tolerance=1e-8, limit=limit)
        wrong = np.abs(got.value - np.stack([function(t) for t in times])) > 1e-12
        assert np.all(got.error[wrong] > 0)


def test_progress_counts_every_evaluation():
    seen = []

    def track(items, label, total=None):
        for item in items:
            seen.append(label)
            yield item

    got = over_time(lambda t: np.array([np.arctan(t)]), TIMES, progress=track, label="name")
    assert set(seen) == {"name"}
    assert got.evaluated <= len(seen) <= got.evaluated + 1


def test_finite_steps_are_told_apart_by_whole_steps_alone():
    model = RandomFeatures()
    largest = np.linalg.eigvalsh(model.blocks.train.ntk)[-1]
    times = np.array([0.0, 0.4, 1.0, 1.7, 2.0, 5.4]) / largest

    def law(procedure):
        return distinct_times(output_distribution(model.blocks, model.data, procedure, times))

    for loss, unit in (("sum", 1), ("mean", model.data.y_train.size)):
        slow = GradientDescent(step_size=0.5 / largest * unit, loss=loss)
        got, smooth = distinct_times(output_distribution(model.blocks, model.data, slow, times * unit))
        np.testing.assert_allclose(got, np.array([0, 0, 1.0, 1.5, 2.0, 5.0]) / largest * unit, rtol=1e-14)
        assert smooth
    assert not law(GradientDescent(step_size=1.5 / largest))[1]
    assert not law(HeavyBall(step_size=0.5 / largest, momentum=0.5))[1]
    assert law(GradientFlow())[1]
    flow = distinct_times(output_distribution(model.blocks, model.data, Converged(), times))
    assert np.all(np.isinf(flow[0]))
    assert not flow[1]
