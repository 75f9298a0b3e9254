import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from ntkinfo.core.arrays import float64
from ntkinfo.core.threads import map_threads, thread_count
from ntkinfo.information import mixture_pair_sums
from ntkinfo.information.mixture_bounds import pairwise_information
from ntkinfo.information.mixture_tiles import tiles_of
from tests.known_answers import MIXTURES


def divergence(i, j, mean, variance, order):
    """One pair, from the formulas for Gaussians with covariance v I."""
    squared, outputs = float(np.sum((mean[i] - mean[j]) ** 2)), mean.shape[1]
    if order == 0:
        ratio = variance[i] / variance[j]
        return 0.5 * (squared / variance[j] + outputs * (ratio - 1 - np.log(ratio)))
    between = (1 - order) * variance[i] + order * variance[j]
    widths = np.log(between) - (1 - order) * np.log(variance[i]) - order * np.log(variance[j])
    return 0.5 * order * (1 - order) * squared / between + 0.5 * outputs * widths


def double_loop(mean, variance, weights, order, labels=None):
    """-sum_i w_i log sum_j w_j exp(-D_ij), pair by pair; within classes with the weights of the class."""
    total = 0.0
    for i in range(len(mean)):
        same = range(len(mean)) if labels is None else np.flatnonzero(labels == labels[i])
        norm_i = sum(weights[j] for j in same)
        inner = sum(weights[j] / norm_i * np.exp(-divergence(i, j, mean, variance, order)) for j in same)
        total -= weights[i] * np.log(inner)
    return total


def random_mixture(seed, m, outputs, spread=1.0, widths=1.0, centre=0.0):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, size=m)
    mean = centre + spread * (random.normal(size=(m, outputs)) + 2 * labels[:, None])
    return mean, np.exp(widths * random.normal(size=m)), random.dirichlet(np.full(m, 5.0)), labels


@pytest.mark.parametrize("outputs", [1, 2, 5])
@pytest.mark.parametrize(("spread", "widths", "centre"), [(0.3, 0.2, 0.0), (3.0, 2.0, 1e5), (100.0, 1.0, 0.0)])
def test_against_a_double_loop(outputs, spread, widths, centre):
    mean, variance, weights, labels = random_mixture(0, 60, outputs, spread, widths, centre)
    for order in (0.2, 0.5, 0.9):
        bounds = pairwise_information(mean, variance, weights, labels, order)
        lower, upper = (double_loop(mean, variance, weights, a) for a in (order, 0))
        assert bounds.lower == pytest.approx(lower, rel=1e-12, abs=1e-12)
        assert bounds.upper == pytest.approx(upper, rel=1e-12, abs=1e-12)
        within_lower, within_upper = (double_loop(mean, variance, weights, a, labels) for a in (order, 0))
        assert bounds.label_lower == pytest.approx(lower - within_upper, rel=1e-12, abs=1e-12)
        assert bounds.label_upper == pytest.approx(upper - within_lower, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("outputs", [1, 3])
def test_near_components_far_from_zero(outputs):
    """Means that differ in their last digits only; nothing may be subtracted from them before their differences."""
    steps = np.concatenate([np.arange(10) * 2.0**-22, [-2e6]])
    mean, variance = np.repeat(1e6 + steps[:, None], outputs, axis=1), np.full(11, 2.0**-42)
    variance[3] *= 2
    weights = np.full(11, 1 / 11)
    bounds = pairwise_information(mean, variance, weights, None, 0.5)
    assert bounds.lower == pytest.approx(double_loop(mean, variance, weights, 0.5), abs=1e-13)
    assert bounds.upper == pytest.approx(double_loop(mean, variance, weights, 0), abs=1e-13)


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("spread", [0.5, 20.0])
def test_tiles_against_all_pairs(outputs, spread, monkeypatch):
    """Several tiles, with far ones left out and distances by matrix products, against plain sums; any size of tile."""
    mean, variance, weights, labels = random_mixture(1, 700, outputs, spread, 1.0)
    with float64():
        plain = pairwise_information(*(jnp.asarray(a) for a in (mean, variance, weights)), labels, 0.4)
    results = [plain]
    for size in (16, 100, 1000):
        monkeypatch.setattr(mixture_pair_sums, "tiles_of", lambda *given, size=size: tiles_of(*given, size=size))
        results.append(pairwise_information(mean, variance, weights, labels, 0.4))
    for name in ("lower", "upper", "label_lower", "label_upper"):
        values = [getattr(result, name) for result in results]
        assert np.ptp(values) < 1e-12 * (1 + abs(values[0]))


def test_far_tiles_are_left_out():
    """In one dimension most tiles are far from each other, and few pairs of tiles are formed."""
    mean = np.random.default_rng(2).uniform(0, 1e5, size=(5000, 1))
    tiles = tiles_of(mean, np.ones(5000), None)
    near = mixture_pair_sums._near(tiles, (0.0, 0.5), 50.0)
    assert np.mean(near) < 0.15
    assert np.all(np.diff(mean[tiles.order, 0]) >= 0)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 2**31), st.integers(1, 4), st.floats(-9, 3), st.floats(0, 4))
def test_tiles_cover_and_enclose(seed, outputs, log_spread, widths):
    """Every component is in one tile, within its radius and variances; gaps are never above the true distance."""
    mean, variance, _, labels = random_mixture(seed, 300, outputs, 10**log_spread, widths, centre=1e3)
    tiles = tiles_of(mean, variance, labels, size=20)
    assert np.array_equal(np.sort(tiles.order), np.arange(300))
    assert np.max(np.diff(tiles.edges)) <= 20
    gaps = tiles.gaps(tiles.centre, tiles.radius)
    parts = [tiles.order[tiles.part(k)] for k in range(len(tiles.radius))]
    for k, part in enumerate(parts):
        assert np.all(np.linalg.norm(mean[part] - tiles.centre[k], axis=1) <= tiles.radius[k])
        assert (tiles.least[k], tiles.largest[k]) == (variance[part].min(), variance[part].max())
        for other in range(k):
            nearest = np.min(np.linalg.norm(mean[part][:, None] - mean[parts[other]][None], axis=-1))
            assert gaps[k, other] <= nearest


@pytest.mark.parametrize("problem", [p for p in MIXTURES if np.all(p.variance > 0)], ids=lambda problem: problem.name)
def test_known_answers_lie_between(problem):
    weights = np.full(len(problem.mean), 1 / len(problem.mean))
    bounds = pairwise_information(problem.mean, problem.variance, weights, problem.labels)
    slack = 1e-12 + problem.tolerance
    assert bounds.lower - slack <= problem.information_input <= bounds.upper + slack
    half = pairwise_information(problem.mean, problem.variance, weights, problem.labels, 0.5)
    assert bounds.lower >= half.lower
    if problem.information_target is not None:
        assert bounds.label_lower - slack <= problem.information_target <= bounds.label_upper + slack


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 2**31), st.integers(2, 40), st.integers(1, 6), st.floats(-2, 1.5), st.floats(0, 3))
def test_order_is_at_least_as_good_as_one_half(seed, m, outputs, log_spread, widths):
    mean, variance, weights, labels = random_mixture(seed, m, outputs, 10**log_spread, widths)
    bounds = pairwise_information(mean, variance, weights, labels)
    half = pairwise_information(mean, variance, weights, labels, 0.5)
    entropy = -np.sum(weights * np.log(weights))
    assert half.lower <= bounds.lower <= bounds.upper + 1e-12
    assert bounds.lower >= -1e-12
    assert bounds.upper <= entropy + 1e-12
    assert bounds.label_upper <= half.label_upper + 1e-15


def test_another_order_pays_where_widths_differ():
    """A narrow component inside a wide one, and many of both: the order leaves 1/2 and the bound rises."""
    mean, variance, weights, _ = random_mixture(4, 300, 2, 2.0, 3.0)
    bounds = pairwise_information(mean, variance, weights)
    half = pairwise_information(mean, variance, weights, None, 0.5)
    assert bounds.order != 0.5
    assert bounds.lower > half.lower + 0.01
    grid = [pairwise_information(mean, variance, weights, None, a).lower for a in np.arange(0.05, 1, 0.05)]
    assert bounds.lower > max(grid) - 0.005


def test_chernoff_divergence_against_the_integral():
    mean, std = np.array([0.3, 2.0]), np.array([0.7, 1.8])
    for order in (0.25, 0.5, 0.8):
        integral = quad(
            lambda z, a=order: norm.pdf(z, mean[0], std[0]) ** a * norm.pdf(z, mean[1], std[1]) ** (1 - a), -12, 20
        )[0]
        assert divergence(0, 1, mean[:, None], std**2, order) == pytest.approx(-np.log(integral), rel=1e-8)


def test_weights_and_scale():
    """A component split into two equal ones adds nothing; units of the output do not matter, however small."""
    mean, variance, weights, _ = random_mixture(5, 30, 3)
    bounds = pairwise_information(mean, variance, weights, None, 0.5)
    twice = np.repeat(np.arange(30), 2)
    doubled = pairwise_information(mean[twice], variance[twice], weights[twice] / 2, None, 0.5)
    assert (doubled.lower, doubled.upper) == (pytest.approx(bounds.lower), pytest.approx(bounds.upper))
    for unit in (1e-120, 1e100):
        scaled = pairwise_information(unit * mean, unit**2 * variance, weights, None, 0.5)
        assert (scaled.lower, scaled.upper) == (pytest.approx(bounds.lower), pytest.approx(bounds.upper))


def test_jax_arrays_give_the_same_numbers():
    mean, variance, weights, labels = random_mixture(6, 200, 4, 1.0, 1.5)
    host = pairwise_information(mean, variance, weights, labels)
    with float64():
        device = pairwise_information(*(jnp.asarray(a) for a in (mean, variance, weights)), labels)
    for name, value in vars(host).items():
        assert getattr(device, name) == pytest.approx(value, abs=1e-12)


def test_threads_change_nothing(monkeypatch):
    mean, variance, weights, labels = random_mixture(7, 1500, 3, 2.0, 1.0)
    results = []
    for threads in (1, 3):
        monkeypatch.setattr(
            mixture_pair_sums, "map_threads", lambda f, items, threads=threads: map_threads(f, items, threads)
        )
        results.append(pairwise_information(mean, variance, weights, labels))
    assert results[0] == results[1]
    assert map_threads(lambda item: item**2, range(5), 2) == [0, 1, 4, 9, 16]
    assert 1 <= thread_count() <= 8
