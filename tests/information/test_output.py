import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from ntkinfo.core.arrays import float64
from ntkinfo.information.linear_decoder import information_target_gaussian
from ntkinfo.information.noiseless import split_noiseless
from ntkinfo.information.output import information_input, information_output, information_target
from tests.known_answers import MIXTURES


@pytest.mark.parametrize("problem", MIXTURES, ids=lambda problem: problem.name)
@pytest.mark.parametrize("tolerance", [1e-9, None], ids=["best", "monte carlo"])
def test_known_answers(problem, tolerance):
    given_input, target = information_output(problem.mean, problem.variance, problem.labels, tolerance=tolerance)
    value, exact = given_input.value, problem.information_input
    few = 1 if value.meaning in ("quadrature", "exact") else 5
    assert abs(value.value - exact) <= few * value.standard_error + problem.tolerance
    assert value.standard_error < (1e-9 if few == 1 else 0.02)
    assert given_input.lower - 1e-12 <= exact + problem.tolerance
    assert given_input.upper + 1e-12 >= exact - problem.tolerance
    assert given_input.ceiling == pytest.approx(np.log(len(problem.mean)))
    for bound, known in ((given_input.lower, problem.lower), (given_input.upper, problem.upper)):
        if known is not None:
            assert bound == pytest.approx(known, abs=5e-5)
    if problem.information_target is not None:
        assert abs(target.value.value - problem.information_target) <= few * target.value.standard_error + (
            problem.tolerance
        )
        assert target.lower - 1e-12 <= problem.information_target + problem.tolerance
        assert target.upper + 1e-12 >= problem.information_target - problem.tolerance


def test_multisample_bounds_bracket_and_the_lower_is_the_value():
    random = np.random.default_rng(0)
    for spread in (0.1, 1.0, 5.0):
        mean, variance = spread * random.normal(size=(60, 1)), np.exp(random.normal(size=60))
        result = information_input(mean, variance)
        lower, upper = result.multisample_lower, result.multisample_upper
        assert abs(lower.value - result.value.value) < 5 * lower.standard_error
        assert upper.value + 5 * upper.standard_error > result.value.value
        assert upper.value > lower.value


def test_noiseless_and_noisy_together():
    """Two equal points, one other point, two identical noisy inputs: Z says which of 2/5, 1/5, 2/5."""
    mean, variance = np.array([[1.0], [1.0], [0.0], [0.0], [0.0]]), np.array([0, 0, 0, 2.0, 2.0])
    entropy = -(0.4 * np.log(0.4) * 2 + 0.2 * np.log(0.2))
    result = information_input(mean, variance)
    assert result.noiseless == 3
    for value in (result.value.value, result.lower, result.upper, result.multisample_lower.value):
        assert value == pytest.approx(entropy, abs=1e-12)
    assert result.multisample_upper.value == np.inf


def test_noiseless_is_the_limit_of_little_noise():
    """Distinct points inside a wide component, with a share of the label: noise of width 1e-9 and none."""
    mean = np.array([[0.0], [0.3], [0.1], [2.0], [0.5]])
    labels = np.array([0, 1, 0, 1, 1])
    variance = np.array([0, 0, 1.0, 2.0, 0])
    exact = information_output(mean, variance, labels)
    near = information_output(mean, np.where(variance == 0, 1e-18, variance), labels)
    for a, b in zip(exact, near, strict=True):
        assert a.value.value == pytest.approx(b.value.value, abs=1e-6)


def test_resolution_joins_rounding_errors():
    """On the training inputs at infinite time the means are the targets up to rounding: entropy of the targets."""
    random = np.random.default_rng(1)
    labels = np.repeat(np.arange(4), 25)
    mean = np.eye(4)[labels] - 0.25 + 1e-12 * random.normal(size=(100, 4))
    variance = 1e-26 * random.uniform(size=100)
    given_input, target = information_output(mean, variance, labels, resolution=1e-9)
    assert given_input.value.meaning == "exact"
    assert given_input.value.value == pytest.approx(np.log(4), abs=1e-13)
    assert target.value.value == pytest.approx(np.log(4), abs=1e-13)
    assert information_input(mean, np.zeros(100)).value.value == pytest.approx(np.log(100), abs=1e-13)
    assert len(np.unique(split_noiseless(mean, variance, 1e-9).symbol)) == 4


@st.composite
def problems(draw):
    m, outputs = draw(st.integers(2, 20)), draw(st.integers(1, 4))
    random = np.random.default_rng(draw(st.integers(0, 2**31)))
    labels = random.integers(0, 3, size=m)
    mean = 10 ** draw(st.floats(-3, 2)) * (random.normal(size=(m, outputs)) + labels[:, None])
    variance = np.exp(draw(st.floats(0, 3)) * random.normal(size=m))
    variance[random.uniform(size=m) < draw(st.sampled_from([0.0, 0.3]))] = 0
    return mean, variance, labels


@settings(max_examples=60, deadline=None, derandomize=True)
@given(problems())
def test_order_and_data_processing(problem):
    """Bounds ordered; 0 <= I(Z;Y) <= I(Z;X) <= log m and I(Z;Y) <= H(Y), within the stated errors."""
    given_input, target = information_output(*problem)
    x, y = given_input.value, target.value
    slack = 5 * (x.standard_error + y.standard_error) + 1e-12
    assert given_input.lower - slack <= x.value <= given_input.upper + slack
    assert target.lower - slack <= y.value <= target.upper + slack
    assert -slack <= y.value <= min(x.value, target.ceiling) + slack
    assert given_input.upper <= given_input.ceiling + 1e-12
    assert given_input.multisample_upper.value + 5 * given_input.multisample_upper.standard_error >= x.value - slack


def test_label_names_and_output_order_do_not_matter():
    random = np.random.default_rng(2)
    mean, variance, labels = random.normal(size=(30, 3)), random.uniform(0.1, 1, 30), random.integers(0, 3, 30)
    one = information_target(mean, variance, labels)
    renamed = information_target(mean, variance, 10 - 4 * labels)
    assert renamed.value.value == pytest.approx(one.value.value, abs=1e-13)
    turned = information_target(mean[:, ::-1], variance, labels)
    assert (turned.lower, turned.upper) == (pytest.approx(one.lower), pytest.approx(one.upper))
    assert abs(turned.value.value - one.value.value) < 5 * (turned.value.standard_error + one.value.standard_error)


def test_many_outputs_against_projection():
    """Means on a line in ten dimensions: the nine other outputs are noise, so one output gives the exact value."""
    random = np.random.default_rng(3)
    place, labels = random.normal(size=40), random.integers(0, 2, 40)
    direction = random.normal(size=10)
    direction /= np.linalg.norm(direction)
    variance = np.full(40, 0.05)
    exact = information_output(place[:, None], variance, labels)
    drawn = information_output(place[:, None] * direction[None, :], variance, labels)
    for a, b in zip(exact, drawn, strict=True):
        assert abs(a.value.value - b.value.value) < 5 * b.value.standard_error
        assert b.value.standard_error < 0.015
        assert (a.lower, a.upper) == (pytest.approx(b.lower), pytest.approx(b.upper))


def test_without_samples():
    result = information_input(np.array([[0.0], [1.0]]), np.ones(2), samples=0)
    assert result.multisample_lower is None
    assert result.value.meaning == "quadrature"


def test_jax_arrays_give_the_same_numbers():
    random = np.random.default_rng(4)
    mean, variance, labels = random.normal(size=(12, 4)), random.uniform(0.1, 2, size=12), np.arange(12) % 2
    host = information_output(mean, variance, labels)
    with float64():
        device = information_output(jnp.asarray(mean), jnp.asarray(variance), jnp.asarray(labels))
    for a, b in zip(host, device, strict=True):
        assert a.value.value == pytest.approx(b.value.value, abs=1e-11)
        assert (a.lower, a.upper) == (pytest.approx(b.lower), pytest.approx(b.upper))


@pytest.mark.parametrize("outputs", [1, 2, 3])
@pytest.mark.parametrize("asarray", [np.asarray, jnp.asarray])
def test_single_precision_is_taken_for_exact(outputs, asarray):
    random = np.random.default_rng(5)
    mean = (1e6 + random.normal(size=(50, outputs))).astype(np.float32)
    variance, labels = (10 ** random.uniform(-6, 0, size=50)).astype(np.float32), np.arange(50) % 3
    wanted = information_output(mean.astype(np.float64), variance.astype(np.float64), labels)
    for a, b in zip(information_output(asarray(mean), asarray(variance), labels), wanted, strict=True):
        assert (a.value.value, a.lower, a.upper) == pytest.approx((b.value.value, b.lower, b.upper), abs=1e-11)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variance": np.array([1.0, -1e-9])}, "variances are 0 or greater"),
        ({"mean": np.array([[1.0, np.inf], [0, 0]])}, "infinite"),
        ({"mean": np.zeros((0, 2)), "variance": np.zeros(0)}, "at least one input"),
        ({"samples": 3}, "even and at least 4"),
        ({"samples": 0}, "one output"),
        ({"resolution": -1.0}, "0 or greater"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(ValueError, match=message):
        information_input(**({"mean": np.zeros((2, 2)), "variance": np.ones(2)} | change))


def test_gaussian_target_of_a_gaussian_pair():
    """Mean outputs and targets jointly Gaussian, noise on the output: exact up to sampling error."""
    random = np.random.default_rng(5)
    m, noise = 200_000, 0.5
    mean = random.normal(size=(m, 2)) @ np.array([[1.0, 0.3], [0, 0.8]])
    targets = mean @ np.array([[1.0], [-0.5]]) + 0.4 * random.normal(size=(m, 1))
    covariance = np.array([[1.0, 0], [0.3, 0.8]]) @ np.array([[1.0, 0.3], [0, 0.8]])
    across = covariance @ np.array([1.0, -0.5])
    total = float(np.array([1.0, -0.5]) @ across) + 0.16
    explained = float(across @ np.linalg.solve(covariance + noise * np.eye(2), across))
    result = information_target_gaussian(mean, np.full(m, noise), targets)
    assert result.value.value == pytest.approx(-0.5 * np.log(1 - explained / total), abs=5 / np.sqrt(m))


def test_gaussian_target_is_below_the_exact_information():
    """Target X on a fine grid of normal quantiles, Z = X + noise (equality) and Z = tanh(2X) + noise (a bound)."""
    place = norm.ppf((np.arange(4000) + 0.5) / 4000)[:, None]
    for noise in (0.01, 0.3, 4.0):
        variance = np.full(4000, noise)
        linear = information_target_gaussian(place, variance, place).value.value
        assert linear == pytest.approx(0.5 * np.log(1 + 1 / noise), rel=0.002)
        assert linear == pytest.approx(information_input(place, variance, samples=0).value.value, rel=0.002)
        bent = np.tanh(2 * place)
        bound = information_target_gaussian(bent, variance, place).value.value
        exact = information_input(bent, variance, samples=0).value.value
        assert 0.5 * exact < bound < exact


def test_gaussian_target_drops_constant_directions_and_keeps_small_noise():
    labels = np.arange(90) % 3
    targets = np.eye(3)[labels] - 1 / 3
    result = information_target_gaussian(targets, np.full(90, 1e-20), targets)
    assert (result.rank, result.dropped) == (2, 1)
    # Per direction: covariance 1/3 of the targets, so 1/2 log(1 + (1/3) / variance).
    assert result.value.value == pytest.approx(np.log(1 + 1 / 3e-20), rel=1e-8)
    assert information_target_gaussian(targets, np.zeros(90), targets).value.value == np.inf
    nothing = information_target_gaussian(np.zeros((90, 2)), np.ones(90), targets)
    assert nothing.value.value == pytest.approx(0, abs=1e-12)
    alike = information_target_gaussian(targets, np.ones(90), np.full((90, 1), 0.1))  # its mean is not 0.1 to rounding
    assert (alike.value.value, alike.value.standard_error, alike.rank, alike.dropped) == (0.0, 0.0, 0, 1)
