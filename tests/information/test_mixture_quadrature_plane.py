import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ntkinfo.information import mixture_quadrature_plane as plane
from ntkinfo.information import mixtures as mixtures_module
from ntkinfo.information import output_quadrature
from ntkinfo.information.mixture_quadrature import entropy_quadrature
from ntkinfo.information.mixture_quadrature_plane import entropy_quadrature_plane, work_on_plane
from ntkinfo.information.mixtures import mixture_entropy
from ntkinfo.information.output import information_output

GAUSSIAN = float(np.log(2 * np.pi * np.e))  # entropy of two outputs at variance 1


def problem(m, decades, seed=0):
    """Random centres, widths spread evenly in logarithm over so many decades up to 1."""
    random = np.random.default_rng(seed)
    return random.normal(size=(m, 2)), 10 ** (2 * random.uniform(-decades, 0, size=m))


def difference(result, expected):
    """Distance from the exact value beyond the stated error and rounding."""
    return abs(result.value - expected) - result.standard_error - 1e-14 * (1 + abs(expected))


def test_one_gaussian_and_equal_components():
    result = entropy_quadrature_plane(np.full((9, 2), 2.0), np.full(9, 0.3))
    assert result.value == pytest.approx(GAUSSIAN + np.log(0.3), abs=1e-14)
    assert result.standard_error == 0


@pytest.mark.parametrize("tolerance", [1e-5, 1e-9, 1e-12])
def test_separated_components(tolerance):
    """Widths over eight decades: log m and the mean of the components' own entropies."""
    random = np.random.default_rng(1)
    std = 10 ** random.uniform(-8, 0, size=40)
    mean = 100.0 * np.stack(np.divmod(np.arange(40), 7), axis=1)
    expected = np.log(40) + GAUSSIAN + np.mean(np.log(std**2))
    result = entropy_quadrature_plane(mean, std**2, tolerance=tolerance)
    assert difference(result, expected) <= 0
    assert result.standard_error <= 3 * tolerance


@pytest.mark.parametrize("tolerance", [1e-6, 1e-10])
def test_product_of_two_mixtures(tolerance):
    """Centres on a grid, one variance, weights that factorise: the sum of two one-dimensional entropies."""
    first, second = np.array([-1.0, 0.2, 3]), np.array([0.0, 0.5, 0.6, 7])
    chance = np.array([0.2, 0.5, 0.3]), np.array([0.1, 0.6, 0.1, 0.2])
    mean = np.stack([np.repeat(first, 4), np.tile(second, 3)], axis=1)
    weights = np.outer(*chance).reshape(-1)
    for variance in (1e-4, 0.04, 0.3, 4.0):
        parts = [
            entropy_quadrature(places, np.full(len(places), variance), share, 1e-13)
            for places, share in zip((first, second), chance, strict=True)
        ]
        result = entropy_quadrature_plane(mean, np.full(12, variance), weights, tolerance)
        assert difference(result, parts[0].value + parts[1].value) <= sum(part.standard_error for part in parts)
        assert result.standard_error <= 2 * tolerance


def test_nested_widths_against_radial_integral():
    """Components about one centre: the density depends on the distance alone, and one integral is left."""
    std, weights = np.array([1, 1e-2, 1e-5, 1e-8]), np.array([0.4, 0.3, 0.2, 0.1])
    nodes, share = np.polynomial.legendre.leggauss(20)
    edges = np.concatenate([[0], np.geomspace(1e-10, 12, 800)])
    radius = edges[:-1, None] + np.diff(edges)[:, None] * (nodes + 1)[None, :] / 2
    exponent = -0.5 * (radius[:, :, None] / std) ** 2
    density = np.sum(weights / (2 * np.pi * std**2) * np.exp(exponent), axis=-1)
    integrand = -2 * np.pi * radius * density * np.log(np.maximum(density, 1e-300))
    expected = float(np.sum(integrand * share[None, :] * np.diff(edges)[:, None] / 2))
    for tolerance in (1e-6, 1e-9, 1e-12):
        result = entropy_quadrature_plane(np.zeros((4, 2)), std**2, weights, tolerance)
        assert difference(result, expected) <= 1e-12
        assert result.standard_error <= 2 * tolerance


def test_dense_grid():
    """200 overlapping components on a grid fine enough for the narrowest (trapezoidal rule)."""
    mean, variance = problem(200, 1)
    step = 0.04
    grid = np.arange(-9, 9, step)
    factors = [np.exp(-0.5 * (grid[None, :] - mean[:, k : k + 1]) ** 2 / variance[:, None]) for k in (0, 1)]
    density = np.einsum("mx,my->xy", factors[0] / (2 * np.pi * variance[:, None]), factors[1]) / 200
    expected = float(-np.sum(density * np.log(np.maximum(density, 1e-300)))) * step**2
    result = entropy_quadrature_plane(mean, variance, tolerance=1e-11)
    assert abs(result.value - expected) < 1e-8
    assert result.standard_error < 3e-11


@pytest.mark.parametrize("decades", [1, 4, 8])
def test_sampling_agrees(decades):
    mean, variance = problem(300, decades, seed=decades)
    weights = np.random.default_rng(2).dirichlet(np.ones(300))
    drawn = mixture_entropy(mean, variance, weights, method="monte carlo", samples=64)
    result = mixture_entropy(mean, variance, weights, method="quadrature", tolerance=1e-7)
    assert result.value.meaning == "quadrature"
    assert result.value.standard_error < 2e-7
    assert drawn.value.standard_error < 0.01
    assert abs(drawn.value.value - result.value.value) < 4 * drawn.value.standard_error
    assert result.lower <= result.value.value <= result.upper


def test_turning_moving_and_scaling():
    mean, variance = problem(60, 3)
    plain = entropy_quadrature_plane(mean, variance)
    angle, scale = 0.7, 1e-5
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned = entropy_quadrature_plane(mean @ turn, variance)
    moved = entropy_quadrature_plane(mean + np.array([[1e3, -7.0]]), variance)
    scaled = entropy_quadrature_plane(scale * mean, scale**2 * variance)
    for other, shift in ((turned, 0), (moved, 0), (scaled, 2 * np.log(scale))):
        assert difference(other, plain.value + shift) <= plain.standard_error + 1e-12
    assert plain.standard_error < 1e-9


def test_scales_that_do_not_meet():
    """Three components within 1e-25 of each other, one a unit away: the chain rule from the magnified three."""
    scale = 2.0**-85
    shape = np.array([[0.0, 0], [1, 2], [3, -1]])
    three = entropy_quadrature_plane(shape, np.ones(3), tolerance=1e-11)
    mean = np.concatenate([shape * scale, [[-1.0, 0]]])
    result = entropy_quadrature_plane(mean, np.full(4, scale**2), tolerance=1e-11)
    expected = 0.75 * three.value + 0.25 * GAUSSIAN + 2 * np.log(scale) - 0.75 * np.log(0.75) - 0.25 * np.log(0.25)
    assert difference(result, expected) <= three.standard_error
    assert result.standard_error < 1e-10


def test_scales_beyond_double_double_are_owned_up_to():
    mean, variance = np.array([[0, 0], [0, 1e-40], [1, 0]]), np.full(3, 1e-100)
    exact = np.log(3) + GAUSSIAN + np.log(1e-100)
    result = entropy_quadrature_plane(mean, variance)
    assert difference(result, exact) <= 0
    assert result.standard_error > 0.1


def test_work_that_ends_early_is_owned_up_to():
    """No refinement where components meet: the error says how coarse the value is, and the method why."""
    mean = 7.0 * np.stack(np.divmod(np.arange(16), 4), axis=1)
    exact = entropy_quadrature_plane(mean, np.ones(16), tolerance=1e-11)
    result = entropy_quadrature_plane(mean, np.ones(16), tolerance=1e-9, most_cells=1)
    assert "not reached" in result.method
    assert 1e-9 < result.standard_error < 1e-7
    assert difference(result, exact.value) <= exact.standard_error
    assert "not reached" not in exact.method


@st.composite
def mixtures(draw):
    """Up to 30 components; centres and widths over many orders of magnitude."""
    m = draw(st.integers(2, 30))
    random = np.random.default_rng(draw(st.integers(0, 2**31)))
    mean = 10 ** draw(st.floats(-4, 2)) * random.normal(size=(m, 2))
    std = 10 ** random.uniform(-draw(st.sampled_from([0, 1, 3, 8])), 0, size=m)
    return mean, std**2, random.dirichlet(np.ones(m))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(mixtures())
def test_stated_error_covers_the_change_with_the_tolerance(mixture):
    fine = entropy_quadrature_plane(*mixture, 1e-11)
    for tolerance in (1e-4, 1e-7, 1e-9):
        result = entropy_quadrature_plane(*mixture, tolerance)
        assert difference(result, fine.value) <= fine.standard_error
        assert result.standard_error <= 3 * tolerance


@pytest.mark.parametrize(("m", "decades"), [(300, 1), (300, 4), (300, 8), (3000, 0.3)])
def test_work_is_foreseen(m, decades, monkeypatch):
    """The estimate is between the number of cells and a small multiple of cells and pairs together."""
    cells, pairs = [], []
    integrate, products = plane._Total._open, plane._products
    monkeypatch.setattr(plane._Total, "_open", lambda s, v, w, n: cells.append(len(v)) or integrate(s, v, w, n))
    monkeypatch.setattr(plane, "_products", lambda b, c, p: pairs.append(p.size) or products(b, c, p))
    mean, variance = problem(m, decades)
    work = work_on_plane(mean, variance, 1e-6)
    entropy_quadrature_plane(mean, variance, tolerance=1e-6)
    assert sum(cells) + sum(pairs) / 20 < 2 * work
    assert work < 3 * (sum(cells) + sum(pairs) / 20)


def test_cost_grows_with_the_number_of_components_at_most():
    """Work per component never grows: below a few hundred cells each, for any number of them."""
    per_component = [work_on_plane(*problem(m, 8)) / m for m in (100, 1000, 10000)]
    assert per_component[0] < 400
    assert per_component[0] > per_component[1] > per_component[2]


def test_informations_of_two_outputs_by_both_routes():
    """I(Z;X) and I(Z;Y), some inputs without noise, against sampling."""
    mean, variance = problem(80, 2)
    variance[::11] = 0
    labels = np.arange(80) % 3
    exact = information_output(mean, variance, labels, samples=400)
    drawn = information_output(mean, variance, labels, samples=400, tolerance=None)
    for a, b in zip(exact, drawn, strict=True):
        assert a.value.meaning == "quadrature"
        assert a.value.standard_error < 1e-8
        assert b.value.meaning == "Monte Carlo"
        assert "cells" not in b.value.method
        assert abs(a.value.value - b.value.value) < 4 * b.value.standard_error
        assert a.lower <= a.value.value <= a.upper


def test_sampling_says_why_it_was_chosen(monkeypatch):
    monkeypatch.setattr(output_quadrature, "CHEAP", 1000)
    monkeypatch.setattr(mixtures_module, "MOST_WORK", 1000)
    mean, variance = problem(300, 8)
    given_input, _ = information_output(mean, variance, None)
    assert given_input.value.meaning == "Monte Carlo"
    assert "quadrature would need" in given_input.value.method
    assert given_input.multisample_lower is not None
    assert "cells" not in given_input.multisample_lower.method
    entropy = mixture_entropy(mean, variance).value
    assert entropy.meaning == "Monte Carlo"
    assert "quadrature would need" in entropy.method


def test_bad_input():
    with pytest.raises(ValueError, match="float64 allows"):
        entropy_quadrature_plane(np.zeros((2, 2)), np.ones(2), tolerance=1e-13)
    with pytest.raises(ValueError, match="above zero"):
        entropy_quadrature_plane(np.zeros((2, 2)), np.array([1.0, 0]))
    with pytest.raises(ValueError, match="probabilities"):
        entropy_quadrature_plane(np.zeros((2, 2)), np.ones(2), np.array([0.7, 0.7]))
    with pytest.raises(ValueError, match="NaN"):
        entropy_quadrature_plane(np.array([[0, 0], [0, np.nan]]), np.ones(2))
    with pytest.raises(ValueError, match="most_cells"):
        entropy_quadrature_plane(np.zeros((2, 2)), np.ones(2), most_cells=0)
