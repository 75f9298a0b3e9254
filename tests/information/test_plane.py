from __future__ import annotations

import numpy as np
import pytest

from ntkinfo.bottleneck.gaussian import GaussianBottleneck
from ntkinfo.information.plane import closest_approach, frontier_distance
from ntkinfo.information.plane_records import PlaneTrajectory

TIMES = np.geomspace(1e-2, 1e2, 33)
BOTTLENECK = GaussianBottleneck(np.eye(1), np.eye(1), np.array([[0.9]]))


def straight(given):
    return 0.75 * given


def at(given, target, input_error=0.0, target_error=0.0):
    times = np.arange(len(given), dtype=float)
    return PlaneTrajectory.with_independent_errors(
        times, np.asarray(given), np.asarray(target), input_error, target_error
    )


def test_distances_to_a_straight_frontier():
    found = frontier_distance(at([2.0, 2.0, 2.0], [0.5, 1.5, 1.75], 0.03, 0.04), straight)
    np.testing.assert_allclose(found.vertical, [1.0, 0.0, -0.25], atol=1e-14)
    # The line falls off with slope 3/4: 4/5 of the vertical distance.
    np.testing.assert_allclose(found.euclidean, [0.8, 0.0, -0.2], atol=1e-5)
    np.testing.assert_allclose(found.vertical_error, np.hypot(0.75 * 0.03, 0.04), rtol=1e-9)
    np.testing.assert_allclose(found.euclidean_error, 0.8 * np.hypot(0.75 * 0.03, 0.04), rtol=1e-3)
    np.testing.assert_allclose(found.captured, [1 / 3, 1, 1.75 / 1.5])


def test_euclidean_distance_to_a_curved_frontier_by_a_fine_search():
    rng = np.random.default_rng(0)
    given = rng.uniform(0, 3, 40)
    target = BOTTLENECK.frontier(given) * rng.uniform(0, 1.1, 40)
    found = frontier_distance(at(given, target), BOTTLENECK.frontier)
    places = np.linspace(0, 5, 500001)
    heights = BOTTLENECK.frontier(places)
    expected = [np.min(np.hypot(places - a, heights - b)) for a, b in zip(given, target, strict=True)]
    np.testing.assert_allclose(np.abs(found.euclidean), expected, atol=1e-5)
    assert np.all(np.sign(found.euclidean) == np.sign(found.vertical))
    assert np.all(np.abs(found.euclidean) <= np.abs(found.vertical) + 1e-12)


def test_errors_of_distances_are_the_scatter_of_noisy_points():
    rng = np.random.default_rng(1)
    mixing = 0.01 * rng.normal(size=(6, 6))
    covariance = (mixing @ mixing.T).reshape(2, 3, 2, 3)
    given, target = np.array([0.3, 1.0, 2.0]), np.array([0.1, 0.4, 0.5])
    found = frontier_distance(PlaneTrajectory(np.arange(3.0), given, target, covariance), BOTTLENECK.frontier)
    noise = rng.normal(size=(1500, 6)) @ mixing.T
    drawn = [frontier_distance(at(given + row[:3], target + row[3:]), BOTTLENECK.frontier) for row in noise]
    # 1500 draws: a standard deviation is known to 1.8 %.
    np.testing.assert_allclose(np.std([d.vertical for d in drawn], axis=0), found.vertical_error, rtol=0.08)
    np.testing.assert_allclose(np.std([d.euclidean for d in drawn], axis=0), found.euclidean_error, rtol=0.08)
    np.testing.assert_allclose(np.cov(np.array([d.vertical for d in drawn]).T), found.vertical_covariance, atol=5e-5)


def parabola(centre, gap=0.05):
    """A trajectory whose vertical distance is smallest at the time `centre`."""
    given = 0.2 + np.log10(TIMES / TIMES[0]) / 2
    return given, BOTTLENECK.frontier(given) - gap - 0.05 * np.log10(TIMES / centre) ** 2


def test_closest_approach_of_a_known_curve():
    given, target = parabola(1.0)
    found = closest_approach(PlaneTrajectory.with_independent_errors(TIMES, given, target), BOTTLENECK.frontier)
    assert found.time == pytest.approx(1.0)
    assert found.distance == pytest.approx(0.05)
    assert found.interval == (TIMES[15], TIMES[17])
    assert found.information_input == given[16]


def test_closest_approach_lies_in_its_interval_as_often_as_stated():
    rng, inside = np.random.default_rng(2), 0
    for trial in range(100):
        centre = 10 ** rng.uniform(-0.5, 1.5)
        given, target = parabola(centre)
        noisy = target + 0.005 * rng.normal(size=len(target))
        curve = PlaneTrajectory.with_independent_errors(TIMES, given, noisy, 0.0, 0.005)
        found = closest_approach(curve, BOTTLENECK.frontier, resamples=300, seed=trial)
        inside += found.interval[0] <= centre <= found.interval[1]
    assert inside >= 87


def test_the_start_of_every_trajectory_does_not_count():
    given = np.linspace(0, 2, 21)
    curve = PlaneTrajectory.with_independent_errors(np.arange(21.0), given, 0.3 * given)
    assert closest_approach(curve, BOTTLENECK.frontier, share=0.0).time == 0
    assert closest_approach(curve, BOTTLENECK.frontier, share=0.5).time >= 10


def test_bad_input():
    with pytest.raises(ValueError, match="frontier turned"):
        frontier_distance(at([1.0], [0.5]), lambda given: np.zeros(7))
    with pytest.raises(ValueError, match="share"):
        closest_approach(at([1.0], [0.5]), straight, share=1.5)
    with pytest.raises(ValueError, match="rise strictly"):
        PlaneTrajectory.with_independent_errors(np.array([1.0, 1.0]), np.zeros(2), np.zeros(2))
    with pytest.raises(ValueError, match="variance"):
        PlaneTrajectory(np.array([1.0]), np.zeros(1), np.zeros(1), -np.eye(2).reshape(2, 1, 2, 1))
