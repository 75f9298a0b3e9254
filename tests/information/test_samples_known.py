"""Estimators on samples against joint laws and mixtures whose information is known."""

import numpy as np
import pytest
from scipy.integrate import dblquad

from ntkinfo.information.mixtures import mixture_entropy
from ntkinfo.information.nearest_neighbours import neighbour_information, neighbour_information_classes
from ntkinfo.information.samples import binned_information
from ntkinfo.information.samples_binning import QuantileBins
from ntkinfo.information.samples_pairwise import pairwise_activations
from tests.known_answers import MIXTURES
from tests.known_samples import BIT, FIVE_VALUES, FLIPPED, OUT_OF_REACH, SAMPLERS, discrete_plus_uniform, flipped

SEEDS = range(8)


def named(problems):
    return [pytest.param(problem, id=problem.name) for problem in problems]


def test_truths_in_closed_form():
    def equicorrelated(size):
        return 0.5 ** (size - 1) * (1 + 0.5 * (size - 1))

    for problem, size in ((SAMPLERS[2], 2), (SAMPLERS[3], 5), (OUT_OF_REACH[0], 25), (OUT_OF_REACH[1], 50)):
        value = np.log(equicorrelated(size)) - 0.5 * np.log(equicorrelated(2 * size))
        assert problem.information == pytest.approx(value, abs=problem.digits)
    assert SAMPLERS[1].information == pytest.approx(-0.5 * np.log(1 - 0.75**2), abs=5.1e-6)
    assert SAMPLERS[4].information == pytest.approx(np.log(5) + 0.1, abs=5.1e-6)
    assert SAMPLERS[5].information == pytest.approx(1 / 3, abs=5.1e-6)


def test_student_truth_by_integration():
    """E log p(x, y)/p(x)p(y) with Cauchy marginals, in angles that make the plane finite."""

    def integrand(v, u):
        x, y = np.tan(u), np.tan(v)
        joint = (1 + x * x + y * y) ** -1.5 / (2 * np.pi)
        apart = 1 / (np.pi**2 * (1 + x * x) * (1 + y * y))
        return joint * np.log(joint / apart) * (1 + x * x) * (1 + y * y)

    value = dblquad(integrand, -np.pi / 2, np.pi / 2, -np.pi / 2, np.pi / 2, epsabs=1e-6)[0]
    assert value == pytest.approx(0.22417, abs=6e-6)


@pytest.mark.parametrize("problem", named(SAMPLERS))
def test_nearest_neighbours(problem):
    draws = [problem.draw(1500, np.random.default_rng(seed)) for seed in SEEDS]
    found = [neighbour_information(x, y).value for x, y in draws]
    error = np.sqrt(np.sum([one.standard_error**2 for one in found])) / len(found)
    assert abs(np.mean([one.value for one in found]) - problem.information) < 5 * error + problem.bias
    assert error < 0.02


@pytest.mark.parametrize("problem", named(OUT_OF_REACH))
def test_nearest_neighbours_are_too_low_where_they_are_said_to_be(problem):
    result = neighbour_information(*problem.draw(500, np.random.default_rng(0)))
    assert result.value.value + 3 * result.value.standard_error < problem.information - problem.bias
    assert "dimension is high" in result.caveat


def test_standard_error_is_the_scatter_of_estimates():
    problem = SAMPLERS[1]
    found = [neighbour_information(*problem.draw(800, np.random.default_rng(seed))).value for seed in range(40)]
    scatter = np.std([one.value for one in found], ddof=1)
    assert np.mean([one.standard_error for one in found]) == pytest.approx(scatter, rel=0.5)


def test_classes_by_both_routes():
    """With well separated numbers for the classes both estimators look at the same neighbours."""
    random = np.random.default_rng(3)
    x, y = discrete_plus_uniform(5)(3000, random)
    labels = x[:, 0].astype(int)
    by_class = neighbour_information_classes(y, labels)
    assert by_class.value.value == pytest.approx(neighbour_information(1e6 * x, y).value.value, abs=1e-12)
    assert abs(by_class.value.value - FIVE_VALUES) < 4 * by_class.value.standard_error + 0.005
    assert by_class.tied == 0


def test_ties():
    """Both sides discrete: every sample ties, and the value is close to the plug-in one."""
    x, y = flipped(0.1)(4000, np.random.default_rng(1))
    result = neighbour_information(x, y)
    assert result.tied == 4000
    counts = np.array([[np.sum((x == a) & (y == b)) for b in (0, 1)] for a in (0, 1)]) / 4000
    apart = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0, keepdims=True)
    assert result.value.value == pytest.approx(np.sum(counts * np.log(counts / apart)), abs=2e-3)
    assert abs(result.value.value - FLIPPED) < 4 * result.value.standard_error
    same = np.ones((50, 2))
    assert neighbour_information(same, same).value.value == pytest.approx(0, abs=1e-12)


def test_functions_of_each_other():
    """Continuous and functions of each other: infinite. A function that is not monotone is not seen: log n it is."""
    x = np.random.default_rng(0).normal(size=(3200, 1))
    for y in (x, np.tanh(x), -2e6 * x + 1, np.concatenate([x**3, x[::-1]], axis=1)):
        result = neighbour_information(x, y)
        assert result.value.value == result.value.standard_error == np.inf
        assert "functions of each other" in result.value.method
    turned = np.concatenate([x, x[::-1]], axis=1) @ np.array([[0.6, 0.8], [-0.8, 0.6]])
    assert neighbour_information(np.concatenate([x, x[::-1]], axis=1), turned).value.value == np.inf
    few, result = (neighbour_information(given, np.abs(given)) for given in (x[:100], x))
    assert result.value.value - few.value.value == pytest.approx(np.log(32), rel=0.15)
    assert "H(X) or infinite" in result.caveat


def test_two_points_pairwise():
    """Noise 1: 0.3161, 0.4859 and 0.8169 bits, and the closed forms."""
    bounds = pairwise_activations(np.array([[-1.0], [1.0]]), 1.0, np.array([0, 1]))
    assert bounds.input_lower == pytest.approx(0.3161 * BIT, abs=5e-5 * BIT)
    assert bounds.input_upper == pytest.approx(0.8169 * BIT, abs=5e-5 * BIT)
    for std in (0.5, 1.0, 2.0):
        bounds = pairwise_activations(np.array([[-1.0], [1.0]]), std**2, np.array([0, 1]))
        assert bounds.input_lower == pytest.approx(-np.log((1 + np.exp(-0.5 / std**2)) / 2), rel=1e-12)
        assert bounds.input_upper == pytest.approx(-np.log((1 + np.exp(-2 / std**2)) / 2), rel=1e-12)
        assert bounds.target_lower == pytest.approx(bounds.input_lower, abs=1e-12)
        assert bounds.target_from_upper == pytest.approx(bounds.input_upper, abs=1e-12)
        assert bounds.ceiling == pytest.approx(BIT)


@pytest.mark.parametrize("problem", named(p for p in MIXTURES if np.ptp(p.variance) == 0 and p.variance[0] > 0))
def test_pairwise_bounds_hold(problem):
    bounds = pairwise_activations(problem.mean, float(problem.variance[0]), problem.labels)
    digits = problem.tolerance + 1e-10
    assert bounds.input_lower - digits <= problem.information_input <= bounds.input_upper + digits
    if problem.information_target is not None:
        assert bounds.target_lower - digits <= problem.information_target <= bounds.target_upper + digits


def test_pairwise_against_dense_sums():
    random = np.random.default_rng(2)
    points, labels = np.tanh(random.normal(size=(60, 3))), random.integers(3, size=60)
    squared = np.sum((points[:, None] - points[None, :]) ** 2, axis=2)

    def bound(rows, scale):
        return -np.mean(np.log(np.mean(np.exp(-squared[np.ix_(rows, rows)] / scale), axis=1)))

    result, everything = pairwise_activations(points, 0.1, labels), np.arange(60)
    lower, upper = bound(everything, 0.8), bound(everything, 0.2)
    within = [
        sum(np.mean(labels == c) * bound(np.flatnonzero(labels == c), scale) for c in range(3)) for scale in (0.8, 0.2)
    ]
    shares = np.bincount(labels) / 60
    # Bounds on I(T;Y) stay within what is known of it: 0 from below, H(Y) and the bound on I(X;T) from above.
    below, above = max(lower - within[1], 0.0), min(upper - within[0], -np.sum(shares * np.log(shares)), upper)
    expected = lower, upper, below, above, lower - within[0], upper - within[1]
    found = result.input_lower, result.input_upper, result.target_lower, result.target_upper
    found += result.target_from_lower, result.target_from_upper
    np.testing.assert_allclose(found, expected, atol=1e-10)
    exact = mixture_entropy(points, np.full(60, 0.1)).value
    information = exact.value - 1.5 * np.log(2 * np.pi * np.e * 0.1)
    assert result.input_lower < information + 5 * exact.standard_error
    assert result.input_upper > information - 5 * exact.standard_error


def draws_of(problem, seed):
    """1500 draws of a known mixture, nearly equally many from each component, and their components."""
    random = np.random.default_rng(seed)
    owner = np.arange(1500) % len(problem.mean)
    noise = random.standard_normal((1500, problem.mean.shape[1])) * np.sqrt(problem.variance)[owner, None]
    return problem.mean[owner] + noise, owner


DRAWN = [p for p in MIXTURES if p.variance.min() > 0 and len(p.mean) <= 64]


@pytest.mark.parametrize("problem", named(DRAWN))
def test_nearest_neighbours_on_known_mixtures(problem):
    """The information about the component, a class, from draws."""
    values, owner = draws_of(problem, 0)
    found = neighbour_information_classes(values, owner).value
    assert abs(found.value - problem.information_input) < 5 * found.standard_error + 0.03


@pytest.mark.parametrize("problem", named(p for p in DRAWN if p.mean.shape[1] == 1 and len(p.mean) <= 10))
def test_bins_on_known_mixtures(problem):
    """What bins keep is no more than there is; what they lose is where components share one of thirty quantiles."""
    values, owner = draws_of(problem, 1)
    found = binned_information(values, QuantileBins(30), inputs=owner)
    corrected = found.information_input.value - found.expected_bias
    error = 5 * found.information_input.standard_error
    assert corrected < problem.information_input + error + 0.02
    assert corrected > problem.information_input - error - 0.15
    assert found.information_input.value <= found.ceiling + 1e-9


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: neighbour_information(np.ones((3, 1)), np.ones((3, 1)), 3), "2 others at most"),
        (lambda: neighbour_information(np.ones((1, 1)), np.ones((1, 1))), "at least two draws"),
        (lambda: neighbour_information(np.full((5, 1), np.nan), np.ones((5, 1))), "NaN or infinite"),
        (lambda: neighbour_information_classes(np.ones((3, 1)), np.array([0, 0, 7])), "class 7 has one sample"),
        (lambda: pairwise_activations(np.ones((3, 1)), 0.0), "greater than 0"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
