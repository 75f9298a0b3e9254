"""Contributions of single inputs where rare draws carry them, or where there are few draws: errors have to say so."""

import functools

import numpy as np
import pytest

from ntkinfo.information.pointwise_output import pointwise_output
from tests.information.test_mixture_rare_draws import KINDS as RARE


def one_far(random):
    """One input of its own class far from all the others, which overlap."""
    m = int(random.integers(5, 40))
    return np.append(0.3 * random.normal(size=m - 1), random.uniform(3, 8)), np.ones(m), np.arange(m) // (m - 1)


def two(random):
    return np.array([0.0, random.uniform(3, 8)]), np.full(2, 10 ** random.uniform(-1, 1)), np.arange(2)


def ordinary(random):
    m = int(random.integers(5, 60))
    return random.normal(size=m) * 10 ** random.uniform(-1, 1), 10 ** random.uniform(-1, 0, m), np.arange(m) % 3


def nearly_equal(random):
    return random.normal(size=20) * 10 ** random.uniform(-4, -1), np.ones(20), np.arange(20) % 2


KINDS = {**RARE, "one far": one_far, "two": two, "ordinary": ordinary, "nearly equal": nearly_equal}


@functools.cache
def problem(kind, number, outputs):
    """Means on a line, variances, labels, and the contributions by quadrature along that line.

    Where outputs are many the variances are made equal, for only then one of them says all.
    """
    random = np.random.default_rng([len(kind), number])
    mean, variance, labels = KINDS[kind](random)
    variance = variance if outputs == 1 else np.full(len(mean), np.median(variance))
    direction = random.normal(size=outputs)
    line = mean[:, None] * (direction / np.linalg.norm(direction))
    return line, variance, labels, pointwise_output(mean[:, None], variance, labels, tolerance=1e-8)


@pytest.mark.parametrize(("samples", "outputs"), [(4, 1), (16, 1), (16, 10)])
@pytest.mark.parametrize("kind", KINDS)
def test_two_standard_errors_hold_the_contributions(kind, samples, outputs):
    """At least 93 of 100 of the inputs' and of the classes', and none is off by many; averages are the totals."""
    deviations = {"input": [], "target": [], "target_by_class": []}
    for number in range(4):
        line, variance, labels, exact = problem(kind, number, outputs)
        for seed in range(100 * number, 100 * number + 2):
            drawn = pointwise_output(line, variance, labels, tolerance=None, samples=samples, seed=seed)
            assert np.mean(drawn.input.value) == pytest.approx(drawn.input_total.value, abs=1e-12)
            assert np.mean(drawn.target.value) == pytest.approx(drawn.target_total.value, abs=1e-12)
            assert drawn.class_share @ drawn.target_by_class.value == pytest.approx(drawn.target_total.value, abs=1e-12)
            for name, found in deviations.items():
                one, truth = getattr(drawn, name), getattr(exact, name)
                found.extend((one.value - truth.value) / (one.standard_error + truth.standard_error))
    for found in deviations.values():
        assert np.mean(np.abs(found) <= 2) >= 0.93
        assert np.max(np.abs(found)) < 10


def test_draws_of_all_inputs_serve_each():
    """From 16 draws each, contributions come closer than their own draws' scatter over the square root of 16."""
    random = np.random.default_rng(0)
    mean, variance = random.normal(size=(40, 2)), np.full(40, 0.5)
    exact = pointwise_output(mean, variance, samples=1000).input.value
    drawn = [pointwise_output(mean, variance, samples=16, seed=seed).input for seed in range(10)]
    scatter = np.sqrt(np.mean([(one.value - exact) ** 2 for one in drawn]))
    z = mean[:, None] + np.sqrt(0.5) * random.normal(size=(40, 400, 2))
    densities = np.exp(-np.sum((z[:, :, None] - mean) ** 2, axis=3))
    own = np.log(densities[np.arange(40), :, np.arange(40)] / np.mean(densities, axis=2))
    assert scatter < 0.5 * np.sqrt(np.mean(np.var(own, axis=1)) / 16)
    assert 0.5 < scatter / np.sqrt(np.mean([one.standard_error**2 for one in drawn])) < 1.2


@pytest.mark.parametrize("far", [1.0, 1e4])
def test_differences_and_expanded_squares_agree(far):
    """A component so far off that squares are no longer expanded changes the others' contributions by log m alone."""
    random = np.random.default_rng(1)
    mean, variance = random.normal(size=(9, 3)), random.uniform(0.5, 2, size=9)
    alone = pointwise_output(mean, variance, samples=500)
    more = pointwise_output(np.vstack([mean, 1e3 * far * np.ones(3)]), np.append(variance, 1.0), samples=500)
    error = np.hypot(more.input.standard_error[:9], alone.input.standard_error)
    assert np.all(np.abs(more.input.value[:9] - alone.input.value - np.log(10 / 9)) < 5 * error)
    assert more.input.value[9] == pytest.approx(np.log(10), abs=1e-10)
