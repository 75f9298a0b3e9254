from __future__ import annotations

import numpy as np
import pytest

from ntkinfo.information.phases import describe, phases

TIMES = np.geomspace(1e-3, 1e3, 49)  # eight to a decade


def bump(times, centre=1.0, height=1.0):
    """Rises to its largest value at `centre` and falls again, symmetric in log time."""
    return height * np.exp(-0.5 * np.log10(times / centre) ** 2)


def test_known_turning_points_without_errors():
    curve = np.sin(np.pi * np.log10(TIMES) / 2)
    found = phases(TIMES, curve, np.zeros(len(TIMES)))
    # With u = log10 t from -3 to 3: +1 at the start, -1 at u = -1, +1 at u = 1, -1 at the end.
    assert [phase.kind for phase in found] == ["compression", "fitting", "compression"]
    np.testing.assert_allclose([phase.start for phase in found], [1e-3, 1e-1, 1e1], rtol=1e-9)
    np.testing.assert_allclose([phase.end for phase in found], [1e-1, 1e1, 1e3], rtol=1e-9)
    np.testing.assert_allclose([phase.change for phase in found], [-2, 2, -2], atol=1e-12)
    for phase in found:
        assert phase.end_interval[0] < phase.end <= phase.end_interval[1]
        assert phase.end_interval[1] / phase.end_interval[0] < 1.8  # one time to each side
        assert phase.probability == pytest.approx(1 - 1 / 2001)


def test_turning_point_lies_in_its_interval_as_often_as_stated():
    rng, inside, reported = np.random.default_rng(0), 0, 0
    trials = 100
    for trial in range(trials):
        centre = 10 ** rng.uniform(-1, 1)
        curve = bump(TIMES, centre) + 0.05 * rng.normal(size=len(TIMES))
        found = phases(TIMES, curve, np.full(len(TIMES), 0.05), resamples=400, seed=trial)
        reported += [phase.kind for phase in found] == ["fitting", "compression"]
        inside += any(low <= centre <= high for low, high in [phase.end_interval for phase in found[:1]])
    assert reported >= 90
    assert inside >= 90  # 90 % intervals, widened


@pytest.mark.parametrize("correlation", [0.0, 0.95])
def test_flat_curves_have_no_phases_but_for_the_stated_rate(correlation):
    steps = np.abs(np.subtract.outer(np.arange(25), np.arange(25)))
    spread = np.linspace(0.5, 2, 25)
    covariance = correlation**steps * np.outer(spread, spread) * 1e-4
    rng, trials = np.random.default_rng(1), 200
    curves = 1.3 + rng.multivariate_normal(np.zeros(25), covariance, size=trials)
    found = [phases(TIMES[:25], curve, covariance, resamples=400, seed=i) for i, curve in enumerate(curves)]
    wrong = sum(len(phase) > 0 for phase in found)
    # Nominal 5 %: 10 of 200, standard deviation 3.1. Both ends: a test that never reports would pass the upper alone.
    assert wrong <= 20
    loose = sum(len(phases(TIMES[:25], curve, covariance, level=0.5, resamples=400)) > 0 for curve in curves)
    assert 75 <= loose <= 125


def test_a_monotone_curve_has_no_reversal_but_for_the_stated_rate():
    rng, wrong = np.random.default_rng(2), 0
    for trial in range(200):
        curve = np.tanh(np.log10(TIMES[:25])) + 0.03 * rng.normal(size=25)
        found = phases(TIMES[:25], curve, np.full(25, 0.03), resamples=400, seed=trial)
        assert found[0].kind == "fitting"
        wrong += len(found) > 1
    assert wrong <= 20


def test_errors_that_all_times_share_hide_nothing():
    curve, shared = bump(TIMES, height=0.01), np.full((len(TIMES), len(TIMES)), 1.0)
    found = phases(TIMES, curve, shared + 1e-8 * np.eye(len(TIMES)))
    assert [phase.kind for phase in found] == ["fitting", "compression"]
    assert found[0].change_error < 1e-3
    assert phases(TIMES, curve, np.ones(len(TIMES))) == ()


def test_probability_is_lower_for_weaker_phases():
    strong = phases(TIMES, bump(TIMES), np.full(len(TIMES), 0.05))
    weak = phases(TIMES, bump(TIMES, height=0.07), np.full(len(TIMES), 0.014), level=0.4)
    assert weak[0].probability < 0.99 < strong[0].probability


def test_rounding_is_no_phase_and_scale_does_not_matter():
    rng = np.random.default_rng(3)
    flat = 2.0 * (1 + 1e-15 * rng.normal(size=len(TIMES)))
    assert phases(TIMES, flat, np.zeros(len(TIMES))) == ()
    assert phases(TIMES, np.zeros(len(TIMES)), np.zeros(len(TIMES))) == ()
    tiny = phases(TIMES, 1e-9 * bump(TIMES), np.full(len(TIMES), 5e-11))
    assert [phase.kind for phase in tiny] == ["fitting", "compression"]


def test_zero_and_infinite_times_count_as_ends():
    times = np.concatenate([[0.0], TIMES, [np.inf]])
    curve = np.concatenate([[0.0], bump(TIMES), [0.0]])
    found = phases(times, curve, np.zeros(len(times)))
    assert found[0].start == 0
    assert found[-1].end == np.inf
    assert "compression: from 1 " in list(describe(found))[1]


def test_bad_input():
    good = np.zeros(3)
    with pytest.raises(ValueError, match="rise strictly"):
        phases(np.array([1.0, 1.0, 2.0]), good, good)
    with pytest.raises(ValueError, match="level"):
        phases(np.arange(3.0), good, good, level=1.0)
    with pytest.raises(ValueError, match="not positive semidefinite"):
        phases(np.arange(3.0), good, -np.eye(3))
    with pytest.raises(ValueError, match="NaN"):
        phases(np.arange(3.0), np.array([0.0, np.nan, 1]), good)
