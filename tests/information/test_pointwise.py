"""Contributions of single inputs: two routes, averages against the informations, limits."""

import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from ntkinfo.core.arrays import float64
from ntkinfo.core.progress import silent
from ntkinfo.core.records import Dataset
from ntkinfo.information.curves import CurveSettings, curves_of, load_curves, save_curves
from ntkinfo.information.mixture_expectations import expected_log_density
from ntkinfo.information.mixture_quadrature import entropy_quadrature
from ntkinfo.information.output import information_output
from ntkinfo.information.pointwise import movement, pointwise_information
from ntkinfo.information.pointwise_output import pointwise_output
from ntkinfo.information.training_set import relative_entropy_per_input
from ntkinfo.training.output_distribution import output_distribution
from ntkinfo.training.procedures import GradientFlow
from tests.known_answers import MIXTURES
from tests.random_features import RandomFeatures

REACHES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 13)


def expectations_by_mpmath(mean, std, weights):
    """30 digits: Gauss-Legendre between break points at many widths of every component."""
    with mpmath.workdps(30):
        parts = [(mpmath.mpf(w), mpmath.mpf(m), mpmath.mpf(s)) for m, s, w in zip(mean, std, weights, strict=True)]
        points = sorted({m + sign * reach * s for _, m, s in parts for reach in REACHES for sign in (-1, 1)})

        def expectation(mean, std):
            def integrand(z):
                density = mpmath.fsum(w * mpmath.npdf(z, m, s) for w, m, s in parts)
                return mpmath.npdf(z, mean, std) * mpmath.log(density) if density > 0 else mpmath.mpf(0)

            inside = [z for z in points if abs(z - mean) <= 13 * std]
            return float(mpmath.quad(integrand, inside, maxdegree=5))

        return np.array([expectation(m, s) for _, m, s in parts])


@pytest.mark.parametrize(
    ("mean", "std", "weights"),
    [
        ((0.0, 0.0), (1.0, 1e-8), (0.5, 0.5)),
        ((0.0, 0.3, 1.0), (1.0, 1e-8, 1e-4), (0.25, 0.5, 0.25)),
        ((0.0, 5.0, 5.5), (1.0, 0.3, 2.0), (0.98, 0.015, 0.005)),
    ],
)
def test_expected_log_density_against_mpmath(mean, std, weights):
    exact = expectations_by_mpmath(mean, std, weights)
    for tolerance in (1e-6, 1e-10):
        result = expected_log_density(np.array(mean), np.array(std) ** 2, np.array(weights), tolerance)
        assert np.all(np.abs(result.value - exact) <= result.standard_error)
        assert np.all(result.standard_error <= 2 * tolerance)


def test_expected_log_density_against_a_dense_grid_and_the_entropy():
    """200 components over two decades of widths, some of them twice; every one on the grid of the narrowest."""
    random = np.random.default_rng(0)
    mean, std = random.normal(size=200), 10 ** random.uniform(-2, 0, size=200)
    mean[190:], std[190:] = mean[:10], std[:10]
    weights = random.uniform(0.2, 1, size=200)
    weights /= weights.sum()
    grid = np.linspace(-12, 12, 20001)
    parts = norm.pdf(grid[None, :], mean[:, None], std[:, None])
    exact = parts @ np.log(np.maximum(weights @ parts, 1e-300)) * (grid[1] - grid[0])
    result = expected_log_density(mean, std**2, weights, 1e-10)
    np.testing.assert_allclose(result.value, exact, rtol=0, atol=2e-10)
    entropy = entropy_quadrature(mean, std**2, weights, 1e-11)
    assert -weights @ result.value == pytest.approx(entropy.value, abs=1e-11)


def test_many_narrow_components_inside_wide_ones():
    """log p varies on scales far below a component's width: Monte Carlo from the wide components alone."""
    random = np.random.default_rng(1)
    mean, std = random.normal(size=600), np.where(np.arange(600) < 3, 1.0, 10 ** random.uniform(-6, -4, size=600))
    result = expected_log_density(mean, std**2, None, 1e-9)
    assert np.all(result.standard_error <= 2e-9)
    for i in range(3):
        z = mean[i] + std[i] * random.normal(size=20000)
        logs = np.log(np.mean(norm.pdf(z[:, None], mean[None, :], std[None, :]), axis=1))
        assert abs(np.mean(logs) - result.value[i]) < 5 * np.std(logs) / np.sqrt(len(logs))


@pytest.mark.parametrize("problem", MIXTURES, ids=lambda problem: problem.name)
@pytest.mark.parametrize("tolerance", [1e-9, None], ids=["best", "monte carlo"])
def test_averages_are_the_known_answers(problem, tolerance):
    result = pointwise_output(problem.mean, problem.variance, problem.labels, tolerance=tolerance)
    total = result.input_total
    few = 5 if total.meaning == "Monte Carlo" else 1
    assert abs(total.value - problem.information_input) <= few * total.standard_error + problem.tolerance
    assert total.standard_error < (0.01 if few == 5 else 1e-9)
    assert np.mean(result.input.value) == pytest.approx(total.value, abs=1e-13)
    slack = few * result.input.standard_error + 1e-12
    assert np.all(result.input_lower <= result.input.value + slack)
    assert np.all(result.input.value <= result.input_upper + slack)
    if problem.information_target is None:
        return
    total = result.target_total
    assert abs(total.value - problem.information_target) <= few * total.standard_error + problem.tolerance
    assert np.mean(result.target.value) == pytest.approx(total.value, abs=1e-13)
    assert result.class_share @ result.target_by_class.value == pytest.approx(total.value, abs=1e-13)


@st.composite
def problems(draw):
    m, outputs = draw(st.integers(2, 20)), draw(st.sampled_from([1, 1, 3]))
    random = np.random.default_rng(draw(st.integers(0, 2**31)))
    labels = random.integers(0, 3, size=m)
    mean = 10 ** draw(st.floats(-3, 2)) * (random.normal(size=(m, outputs)) + labels[:, None])
    variance = np.exp(draw(st.floats(0, 3)) * random.normal(size=m))
    variance[random.uniform(size=m) < draw(st.sampled_from([0.0, 0.3]))] = 0
    return mean, variance, labels


@settings(max_examples=60, deadline=None, derandomize=True)
@given(problems())
def test_no_contribution_is_negative_and_averages_are_the_informations(problem):
    result = pointwise_output(*problem)
    given_input, target = information_output(*problem, seed=1)
    few = 6 if result.input.meaning == "Monte Carlo" else 1
    slack = few * result.input.standard_error + 1e-12
    assert np.all(result.input.value >= -slack)
    assert np.all(result.input.value <= np.log(len(problem[0])) + slack)
    assert np.all(result.input_lower <= result.input.value + slack)
    assert np.all(result.input.value <= result.input_upper + slack)
    assert np.all(result.input_lower >= 0)
    assert np.all(result.input_upper >= result.input_lower - 1e-12)
    # p(z) is at least p(c) p(z|c), so the relative entropy of a class to the whole is log 1/p(c) at most.
    slack = few * result.target_by_class.standard_error + 1e-12
    assert np.all(result.target_by_class.value >= -slack)
    assert np.all(result.target_by_class.value <= -np.log(result.class_share) + slack)
    for mine, other in ((result.input_total, given_input.value), (result.target_total, target.value)):
        assert abs(mine.value - other.value) <= 6 * (mine.standard_error + other.standard_error) + 1e-12


def test_quadrature_and_monte_carlo_agree_for_every_input():
    random = np.random.default_rng(2)
    mean, labels = random.normal(size=(80, 1)), random.integers(0, 2, size=80)
    variance = 10 ** random.uniform(-5, 0, size=80)
    exact = pointwise_output(mean, variance, labels)
    drawn = pointwise_output(mean, variance, labels, tolerance=None, samples=400)
    for a, b in ((exact.input, drawn.input), (exact.target, drawn.target)):
        deviation = (b.value - a.value) / b.standard_error
        assert np.max(np.abs(deviation)) < 5
        assert 0.7 < np.sqrt(np.mean(deviation**2)) < 1.3
        assert np.max(a.standard_error) < 1e-9
        assert np.max(b.standard_error) < 0.1
    assert np.max(np.abs(drawn.target_by_class.value - exact.target_by_class.value)) < 5 * np.max(
        drawn.target_by_class.standard_error
    )


def test_means_on_a_line_in_many_outputs_give_the_same_contributions():
    random = np.random.default_rng(3)
    place, labels = random.normal(size=40), random.integers(0, 2, 40)
    direction = random.normal(size=10)
    direction /= np.linalg.norm(direction)
    variance = np.full(40, 0.05)
    exact = pointwise_output(place[:, None], variance, labels)
    drawn = pointwise_output(place[:, None] * direction[None, :], variance, labels, samples=400)
    for a, b in ((exact.input, drawn.input), (exact.target, drawn.target)):
        assert np.max(np.abs(b.value - a.value) / b.standard_error) < 5
    np.testing.assert_allclose(drawn.input_lower, exact.input_lower, atol=1e-12)
    np.testing.assert_allclose(drawn.input_upper, exact.input_upper, atol=1e-12)


@pytest.mark.parametrize("outputs", [1, 4])
def test_identical_inputs_share_equally_and_separated_ones_give_log_m(outputs):
    same = pointwise_output(np.ones((6, outputs)), np.full(6, 0.3), np.arange(6) % 2)
    np.testing.assert_allclose(same.input.value, 0, atol=1e-13)
    np.testing.assert_allclose(same.target.value, 0, atol=1e-13)
    np.testing.assert_allclose(same.input_upper, 0, atol=1e-13)
    apart = pointwise_output(1e4 * np.arange(6.0)[:, None] * np.ones((1, outputs)), np.ones(6), np.arange(6) % 2)
    np.testing.assert_allclose(apart.input.value, np.log(6), atol=2e-10)
    np.testing.assert_allclose(apart.input_lower, np.log(6), atol=1e-13)
    np.testing.assert_allclose(apart.target.value, np.log(2), atol=2e-10)
    np.testing.assert_allclose(apart.target_by_class.value, np.log(2), atol=2e-10)
    # Five equal inputs and one far away: it alone can be told, the others are one of five.
    lone = pointwise_output(np.where(np.arange(6) == 0, 1e4, 0.0)[:, None] * np.ones((1, outputs)), np.ones(6))
    np.testing.assert_allclose(lone.input.value, np.log([6, 1.2, 1.2, 1.2, 1.2, 1.2]), atol=2e-10)


@pytest.mark.parametrize("tolerance", [1e-9, None])
def test_outputs_without_noise(tolerance):
    """Two equal points, one other point, two identical noisy inputs: Z says which of 2/5, 1/5, 2/5."""
    mean, variance = np.array([[1.0], [1.0], [0.0], [0.0], [0.0]]), np.array([0, 0, 0, 2.0, 2.0])
    result = pointwise_output(mean, variance, np.array([7, 7, 7, 7, 3]), tolerance=tolerance)
    np.testing.assert_allclose(result.input.value, np.log([2.5, 2.5, 5, 2.5, 2.5]), atol=1e-12)
    # Among four inputs of class 7: shares 2/4, 2/4, 1/4 of the same output, 1/4 with noise; class 3 is all noise.
    np.testing.assert_allclose(result.target.value, np.log([1.25, 1.25, 1.25, 0.625, 2.5]), atol=1e-12)
    np.testing.assert_array_equal(result.classes, [3, 7])
    by_class = [np.log(2.5), np.mean(np.log([1.25, 1.25, 1.25, 0.625]))]
    np.testing.assert_allclose(result.target_by_class.value, by_class, atol=1e-12)
    np.testing.assert_array_equal(result.noiseless, [True, True, True, False, False])
    points = pointwise_output(mean, np.zeros(5))
    np.testing.assert_allclose(points.input.value, np.log([2.5, 2.5, 5 / 3, 5 / 3, 5 / 3]), atol=1e-13)
    assert points.input.meaning == "exact"


def test_no_noise_is_the_limit_of_little_noise():
    mean, labels = np.array([[0.0], [0.3], [0.1], [2.0], [0.5]]), np.array([0, 1, 0, 1, 1])
    variance = np.array([0, 0, 1.0, 2.0, 0])
    exact = pointwise_output(mean, variance, labels)
    near = pointwise_output(mean, np.where(variance == 0, 1e-18, variance), labels)
    np.testing.assert_allclose(exact.input.value, near.input.value, atol=1e-6)
    np.testing.assert_allclose(exact.target.value, near.target.value, atol=1e-6)


def test_order_and_scale_of_the_outputs_do_not_matter():
    random = np.random.default_rng(5)
    mean, variance, labels = random.normal(size=(30, 1)), random.uniform(0.01, 1, 30), random.integers(0, 3, 30)
    order = random.permutation(30)
    one = pointwise_output(mean, variance, labels)
    other = pointwise_output(-100 * mean[order] + 7, 1e4 * variance[order], 10 - labels[order])
    np.testing.assert_allclose(other.input.value, one.input.value[order], atol=1e-9)
    np.testing.assert_allclose(other.target.value, one.target.value[order], atol=1e-9)
    np.testing.assert_allclose(other.target_by_class.value, one.target_by_class.value[::-1], atol=1e-9)


def test_jax_arrays_give_the_same_numbers():
    random = np.random.default_rng(4)
    mean, variance, labels = random.normal(size=(12, 4)), random.uniform(0.1, 2, size=12), np.arange(12) % 2
    host = pointwise_output(mean, variance, labels)
    with float64():
        device = pointwise_output(jnp.asarray(mean), jnp.asarray(variance), jnp.asarray(labels))
    np.testing.assert_allclose(device.input.value, host.input.value, atol=1e-11)
    np.testing.assert_allclose(device.target.value, host.target.value, atol=1e-11)
    np.testing.assert_allclose(device.input_lower, host.input_lower, atol=1e-11)
    np.testing.assert_allclose(device.input_upper, host.input_upper, atol=1e-11)


def labelled_law(outputs, times):
    model = RandomFeatures(n=14, m=11, outputs=outputs)
    data = model.data
    classes = 2 if outputs == 1 else outputs
    labels = [np.arange(n) % classes for n in (14, 11)]
    targets = [2.0 * y[:, None] - 1 if outputs == 1 else np.eye(outputs)[y] + 0.1 for y in labels]
    given = Dataset(data.x_train, targets[0], data.x_test, targets[1], *labels)
    return output_distribution(model.blocks, given, GradientFlow(), np.asarray(times))


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("split", ["train", "test"])
def test_over_time_the_totals_are_the_curves(outputs, split):
    law = labelled_law(outputs, [0.0, 0.3, 5.0, 1e4, np.inf])
    result = pointwise_information(law, split=split, progress=silent)
    settings_ = CurveSettings(seed=3)
    names = ["information_input", "information_target", "information_training_set"]
    curves = curves_of(law, quantities=names, settings=settings_, progress=silent).sel(split=split)
    for name in names[:2]:
        error = 6 * (result[f"{name}_total_standard_error"] + curves[f"{name}_standard_error"]) + 1e-12
        assert bool((abs(result[f"{name}_total"] - curves[name]) <= error).all())
        np.testing.assert_allclose(result[name].mean("input"), result[f"{name}_total"], atol=1e-12)
    by_class = (result.information_target_class * result.class_share).sum("class")
    np.testing.assert_allclose(by_class, result.information_target_total, atol=1e-12)
    np.testing.assert_allclose(result.relative_entropy.mean("input"), curves.information_training_set, rtol=1e-12)
    np.testing.assert_array_equal(result.label, getattr(law.data, f"labels_{split}"))
    assert result.information_input.attrs["units"] == "nat"
    assert all({"long_name", "units", "meaning"} <= set(result[name].attrs) for name in result.data_vars)
    if split == "train":
        assert bool(result.noiseless[-1].all())
        # Trained to the end the output is the target: it says which class, log 1/p(c).
        shares = result.class_share.sel({"class": result.label})
        np.testing.assert_allclose(result.information_target[-1], -np.log(shares), atol=1e-12)


def test_before_training_inputs_of_equal_variance_carry_nothing():
    model = RandomFeatures()
    scale = np.linalg.norm(model.start, axis=1, keepdims=True)
    object.__setattr__(model, "start", model.start / scale)
    law = output_distribution(model.blocks, model.data, GradientFlow(), np.array([0.0, 1.0]))
    result = pointwise_information(law, progress=silent)
    np.testing.assert_allclose(result.information_input[0], 0, atol=1e-12)
    np.testing.assert_allclose(result.relative_entropy[0], 0, atol=1e-12)
    assert float(result.information_input[1].min()) > 1e-3
    assert "information_target" not in result


def test_movement_parts_add_up_and_have_their_limits():
    random = np.random.default_rng(6)
    mean, initial = random.normal(size=(3, 5, 2)), np.array([1.0, 2, 0.5, 0, 1])
    log_variance = np.log(random.uniform(0.1, 1, size=(3, 5)))
    mean[:, 3], log_variance[:, 3] = 0, -np.inf
    mean[0], log_variance[0, [0, 1, 2, 4]] = 0, np.log(initial[[0, 1, 2, 4]])
    log_variance[2, 4] = -np.inf
    parts = movement(mean, log_variance, initial)
    whole = relative_entropy_per_input(mean, log_variance, initial)
    np.testing.assert_allclose(parts.relative_entropy, whole, rtol=1e-14)
    np.testing.assert_allclose(parts.by_mean + parts.by_spread, whole, rtol=1e-14)
    np.testing.assert_allclose(parts.relative_entropy[0], 0, atol=1e-15)
    assert parts.by_spread[2, 4] == np.inf
    assert np.isfinite(parts.by_mean).all()
    assert np.all(parts.relative_entropy[:, 3] == 0)


def test_some_times_of_one_split_in_a_file(tmp_path):
    law = labelled_law(3, [0.0, 0.3, 5.0, 1e4])
    whole = pointwise_information(law, split="train", progress=silent)
    some = pointwise_information(law, [1, -1], "train", progress=silent)
    xr.testing.assert_allclose(some, whole.isel(time=[1, 3]), rtol=1e-12)
    kept = load_curves(save_curves(some, tmp_path / "inputs.nc"))
    xr.testing.assert_identical(kept.information_input, some.information_input)
    assert kept.attrs["procedure"] == repr(law.procedure)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variance": np.array([1.0, -1e-9])}, "variances are 0 or greater"),
        ({"mean": np.array([[1.0, np.inf], [0, 0]])}, "infinite"),
        ({"mean": np.zeros((0, 2)), "variance": np.zeros(0)}, "at least one input"),
        ({"samples": 7}, "even"),
        ({"samples": 2}, "at least 4"),
        ({"resolution": -1.0}, "0 or greater"),
        ({"mean": np.array([[0.0], [1]]), "tolerance": 1e-13}, "1e-11"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(ValueError, match=message):
        pointwise_output(**({"mean": np.zeros((2, 2)), "variance": np.ones(2)} | change))


def test_bad_indices():
    law = labelled_law(1, [0.0, 1.0])
    for times, kind in (([2], ValueError), ([1, 0], ValueError), ([0.5], TypeError), ([], TypeError)):
        with pytest.raises(kind, match="time_indices"):
            pointwise_information(law, times)
    with pytest.raises(ValueError, match="split"):
        pointwise_information(law, split="validation")
    with pytest.raises(ValueError, match="above zero"):
        expected_log_density(np.zeros(2), np.array([1.0, 0]))
    with pytest.raises(ValueError, match="divide by their sum"):
        expected_log_density(np.zeros(2), np.ones(2), np.ones(2))


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("asarray", [np.asarray, jnp.asarray])
def test_single_precision_is_taken_for_exact(outputs, asarray):
    random = np.random.default_rng(5)
    mean = (1e6 + random.normal(size=(30, outputs))).astype(np.float32)
    variance, labels = (10 ** random.uniform(-6, 0, size=30)).astype(np.float32), np.arange(30) % 3
    wanted = pointwise_output(mean.astype(np.float64), variance.astype(np.float64), labels)
    got = pointwise_output(asarray(mean), asarray(variance), labels)
    np.testing.assert_allclose(got.input.value, wanted.input.value, rtol=0, atol=1e-11)
    np.testing.assert_allclose(got.input_lower, wanted.input_lower, rtol=0, atol=1e-11)
    np.testing.assert_allclose(got.input_upper, wanted.input_upper, rtol=0, atol=1e-11)
    assert got.target is not None
    assert wanted.target is not None
    np.testing.assert_allclose(got.target.value, wanted.target.value, rtol=0, atol=1e-11)
