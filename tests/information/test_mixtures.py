import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ntkinfo.core.arrays import float64
from ntkinfo.information.mixture_bounds import pairwise_information
from ntkinfo.information.mixture_quadrature import entropy_quadrature
from ntkinfo.information.mixture_sampling import sample_information
from ntkinfo.information.mixtures import mixture_entropy

REACHES = (0, 1, 2, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 10, 15, 25, 40)


def entropy_by_mpmath(mean, variance, weights):
    """40 digits: Gauss-Legendre between break points at many widths of every component."""
    with mpmath.workdps(40):
        parts = [
            (mpmath.mpf(float(w)), mpmath.mpf(float(m)), mpmath.sqrt(mpmath.mpf(float(v))))
            for m, v, w in zip(mean, variance, weights, strict=True)
        ]

        def integrand(z):
            density = mpmath.fsum(w * mpmath.npdf(z, m, s) for w, m, s in parts)
            return -density * mpmath.log(density) if density > 0 else mpmath.mpf(0)

        points = sorted({m + sign * reach * s for _, m, s in parts for reach in REACHES for sign in (-1, 1)})
        return float(mpmath.quad(integrand, points, maxdegree=5))


@pytest.mark.parametrize(
    ("mean", "std", "weights"),
    [
        ((0, 0), (1, 1e-8), (0.5, 0.5)),
        ((0, 0.3, 1), (1, 1e-8, 1e-4), (1 / 3, 1 / 3, 1 / 3)),
        ((1, 1 + 1e-8, -1, 3), (1e-8, 2e-8, 1, 1e-2), (0.25, 0.25, 0.25, 0.25)),
        ((0, 5, 5.5), (1, 0.3, 2), (0.98, 0.015, 0.005)),
    ],
)
def test_quadrature_against_mpmath(mean, std, weights):
    mean, std, weights = np.array(mean, float), np.array(std, float), np.array(weights)
    exact = entropy_by_mpmath(mean, std**2, weights)
    for tolerance in (1e-6, 1e-9, 1e-12):
        result = entropy_quadrature(mean, std**2, weights, tolerance)
        assert abs(result.value - exact) <= result.standard_error <= 3 * tolerance


def test_quadrature_against_dense_trapezoid():
    """300 components of widths over two decades on a grid fine enough for the narrowest."""
    random = np.random.default_rng(0)
    mean, variance = random.normal(size=300), 10 ** random.uniform(-4, 0, size=300)
    grid = np.linspace(-12, 12, 60001)
    density = np.zeros_like(grid)
    for m, v in zip(mean, variance, strict=True):
        density += np.exp(-0.5 * (grid - m) ** 2 / v) / np.sqrt(2 * np.pi * v) / 300
    expected = -np.sum(density * np.log(density)) * (grid[1] - grid[0])
    result = entropy_quadrature(mean, variance, tolerance=1e-11)
    assert abs(result.value - expected) < 1e-10
    assert result.standard_error < 1e-11


def test_quadrature_of_scales_that_do_not_meet():
    """Three components within 1e-25 of 0, one at -1: the entropy by the chain rule from the magnified three."""
    scale = 2.0**-85
    three = entropy_quadrature(np.array([0.0, 1, 3]), np.ones(3), tolerance=1e-12)
    result = entropy_quadrature(np.array([0, 1 * scale, 3 * scale, -1]), np.full(4, scale**2), tolerance=1e-12)
    one = 0.5 * np.log(2 * np.pi * np.e)
    expected = 0.75 * three.value + 0.25 * one + np.log(scale) - 0.75 * np.log(0.75) - 0.25 * np.log(0.25)
    assert abs(result.value - expected) <= result.standard_error + three.standard_error < 1e-12


def test_scales_beyond_double_double_are_owned_up_to():
    """Two components 1e-40 apart beside one at 1 are taken for coincident: the stated error covers that."""
    mean, variance = np.array([0, 1e-40, 1]), np.full(3, 1e-100)
    exact = np.log(3) + 0.5 * np.log(2 * np.pi * np.e * 1e-100)
    result = entropy_quadrature(mean, variance)
    assert abs(result.value - exact) <= result.standard_error
    assert result.standard_error > 0.1


def test_many_narrow_components():
    """Thousands of separated components of widths from 1e-8 to 1e-5: log m and the mean of their own entropies."""
    random = np.random.default_rng(1)
    m = 3000
    mean, std = random.permutation(m) * 1e-3, 10 ** random.uniform(-8, -5, size=m)
    expected = np.log(m) + np.mean(0.5 * np.log(2 * np.pi * np.e * std**2))
    result = entropy_quadrature(mean, std**2)
    assert abs(result.value - expected) <= result.standard_error + 1e-12 * abs(expected)
    assert result.standard_error < 1e-9


def test_one_component_and_weights():
    gaussian = 0.5 * np.log(2 * np.pi * np.e * 0.3)
    assert entropy_quadrature(np.full(9, 2.0), np.full(9, 0.3)).value == pytest.approx(gaussian, abs=1e-14)
    doubled = mixture_entropy(np.array([[0.0], [0], [2]]), np.array([1.0, 1, 0.5]))
    weighted = mixture_entropy(np.array([[0.0], [2], [7]]), np.array([1, 0.5, 1]), np.array([2 / 3, 1 / 3, 0]))
    assert doubled.value.value == pytest.approx(weighted.value.value, abs=1e-13)
    assert doubled.lower == pytest.approx(weighted.lower, abs=1e-13)


@st.composite
def mixtures(draw):
    """Means and widths over orders of magnitude, some equal, with weights."""
    m, outputs = draw(st.integers(2, 12)), draw(st.integers(1, 4))
    random = np.random.default_rng(draw(st.integers(0, 2**31)))
    spread, widths = draw(st.floats(-3, 2)), draw(st.floats(0, 3))
    mean = 10**spread * random.normal(size=(m, outputs))
    variance = np.exp(widths * random.normal(size=m))
    if draw(st.booleans()):
        mean[-1] = mean[0]
    return mean, variance, random.dirichlet(np.full(m, 5.0))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(mixtures())
def test_routes_agree(mixture):
    mean, variance, weights = mixture
    sampled = mixture_entropy(mean, variance, weights, method="monte carlo", samples=400)
    error = sampled.value.standard_error
    assert sampled.lower - 5 * error <= sampled.value.value <= sampled.upper + 5 * error
    one = mixture_entropy(mean[:, :1], variance, weights)
    assert one.lower - 1e-9 <= one.value.value <= one.upper + 1e-9
    drawn = mixture_entropy(mean[:, :1], variance, weights, method="monte carlo", samples=400).value
    assert abs(drawn.value - one.value.value) <= 5 * drawn.standard_error + one.value.standard_error


def test_standard_error_is_honest():
    """Scatter over seeds, against the standard error that each run states; and no bias."""
    random = np.random.default_rng(2)
    mean, variance = random.normal(size=(40, 1)), np.exp(random.normal(size=40))
    exact = mixture_entropy(mean, variance).value.value
    runs = [mixture_entropy(mean, variance, method="monte carlo", samples=16, seed=s).value for s in range(200)]
    scores = np.array([(run.value - exact) / run.standard_error for run in runs])
    assert abs(np.mean(scores)) < 5 / np.sqrt(200)
    assert 0.8 < np.std(scores) < 1.2


def test_sampling_against_plain_draws():
    """Component, leave-one-out and label information in three outputs, against a direct computation from draws."""
    random = np.random.default_rng(3)
    mean, variance, labels = random.normal(size=(5, 3)), random.uniform(0.2, 1, size=5), np.array([0, 1, 1, 0, 2])
    weights = random.dirichlet(np.ones(5))
    result = sample_information(mean, variance, weights, labels, 4000, np.random.default_rng(4))
    n = 40000
    z = mean[:, None, :] + np.sqrt(variance)[:, None, None] * random.normal(size=(5, n, 3))
    squared = np.sum((z[:, :, None, :] - mean[None, None, :, :]) ** 2, axis=-1)
    density = np.exp(-0.5 * squared / variance) / (2 * np.pi * variance) ** 1.5
    own = density[np.arange(5), :, np.arange(5)]
    rest = np.stack([density[i] @ np.where(np.arange(5) == i, 0, weights) / (1 - weights[i]) for i in range(5)])
    same = labels[:, None] == labels[None, :]
    within = np.stack([density[i] @ (same[i] * weights) / np.sum(same[i] * weights) for i in range(5)])
    total = density @ weights
    for sampled, ratio in (
        (result.component, own / total),
        (result.others, own / rest),
        (result.label, within / total),
    ):
        expected = np.sum(weights * np.mean(np.log(ratio), axis=1))
        error = np.sqrt(np.sum(weights**2 * np.var(np.log(ratio), axis=1)) / n)
        assert abs(sampled.value - expected) < 5 * np.hypot(error, sampled.standard_error)
        assert sampled.standard_error < 0.01


def test_narrow_component_far_from_zero():
    """Distances must not be formed from |z|² - 2 z·mean + |mean|²: here that would lose every digit."""
    mean = np.array([[1e6], [1e6 + 1e-6], [-1e6]])
    near = mixture_entropy(np.array([[0.0], [float((mean[1, 0] - mean[0, 0]) / 1e-6)]]), np.ones(2)).value.value
    expected = 2 / 3 * (near + np.log(1e-6)) + 1 / 3 * (0.5 * np.log(2 * np.pi * np.e) + np.log(1e-6))
    expected += -2 / 3 * np.log(2 / 3) - 1 / 3 * np.log(1 / 3)
    variance = np.full(3, 1e-12)
    drawn = mixture_entropy(mean, variance, method="monte carlo", samples=20000)
    assert abs(drawn.value.value - expected) < 5 * drawn.value.standard_error
    assert mixture_entropy(mean, variance).value.value == pytest.approx(expected, abs=1e-9)
    assert drawn.lower <= expected <= drawn.upper


def test_kernel_density_bounds():
    """With equal variances the pairwise bounds are the kernel density ones with σ² and 4σ² (squares over 2 and 8)."""
    random = np.random.default_rng(5)
    mean = random.normal(size=(20, 3))
    squared = np.sum((mean[:, None] - mean[None]) ** 2, axis=-1)
    bounds = pairwise_information(mean, np.full(20, 0.7), np.full(20, 1 / 20))
    assert bounds.order == 0.5
    assert bounds.lower == pytest.approx(-np.mean(np.log(np.mean(np.exp(-squared / (8 * 0.7)), axis=1))), abs=1e-13)
    assert bounds.upper == pytest.approx(-np.mean(np.log(np.mean(np.exp(-squared / (2 * 0.7)), axis=1))), abs=1e-13)


def test_jax_arrays_give_the_same_numbers():
    random = np.random.default_rng(6)
    mean, variance = random.normal(size=(30, 4)), random.uniform(0.1, 2, size=30)
    host = mixture_entropy(mean, variance)
    with float64():
        device = mixture_entropy(jnp.asarray(mean), jnp.asarray(variance))
    assert device.value.value == pytest.approx(host.value.value, abs=1e-12)
    assert (device.lower, device.upper) == (pytest.approx(host.lower), pytest.approx(host.upper))


@pytest.mark.parametrize("outputs", [1, 2, 10])
@pytest.mark.parametrize("asarray", [np.asarray, jnp.asarray])
def test_single_precision_is_taken_for_exact(outputs, asarray):
    random = np.random.default_rng(7)
    mean = random.normal(size=(50, outputs)).astype(np.float32)
    variance = (10 ** random.uniform(-6, 0, size=50)).astype(np.float32)
    weights = np.full(50, 1 / 50, dtype=np.float32)  # sum to one to single precision only
    wanted = mixture_entropy(mean.astype(np.float64), variance.astype(np.float64))
    got = mixture_entropy(asarray(mean), asarray(variance), asarray(weights))
    assert got.value.value == pytest.approx(wanted.value.value, abs=1e-11)
    assert (got.lower, got.upper) == pytest.approx((wanted.lower, wanted.upper), abs=1e-11)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variance": np.array([1.0, 0])}, "above zero"),
        ({"variance": np.array([1.0, np.nan])}, "NaN"),
        ({"weights": np.array([0.5, 0.6])}, "probabilities"),
        ({"mean": np.zeros((2, 3)), "method": "quadrature"}, "quadrature is for one or two"),
        ({"method": "quadratur"}, "did you mean"),
        ({"samples": 5}, "even and at least 4"),
    ],
)
def test_bad_input(change, message):
    given = {"mean": np.zeros((2, 2)), "variance": np.ones(2)} | change
    with pytest.raises(ValueError, match=message):
        mixture_entropy(**given)


def test_tolerance_that_float64_cannot_keep():
    with pytest.raises(ValueError, match="float64 allows"):
        entropy_quadrature(np.zeros(2), np.ones(2), tolerance=1e-16)
