import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from ntkinfo.bottleneck.discrete import residuals, solve
from ntkinfo.bottleneck.discrete_curve import bottleneck_curve
from ntkinfo.bottleneck.placement import best_beta, gaussian_encoder, place
from ntkinfo.bottleneck.problems import (
    DiscreteProblem,
    binary_symmetric,
    codes_to_encoder,
    random_problem,
    soft_twelve_bit_rule,
)
from ntkinfo.core.progress import silent
from tests.known_answers import MIXTURES
from tests.known_bottlenecks import BIT

RANDOM = random_problem(12, 3, 0)


@pytest.fixture(scope="module")
def curve():
    return bottleneck_curve(RANDOM, 1e-3, betas=[5.0, 12.0], progress=silent)


def test_a_solution_returns_its_beta_and_residual_0(curve):
    for solution in curve.solutions:
        found = place(solution.encoder, RANDOM, curve)
        assert found.beta == pytest.approx(solution.beta, rel=1e-6)
        assert found.residuals.encoder < 1e-12
        assert found.residuals.decoder < 1e-12
        assert abs(found.gap) < 1e-9
        assert 0 <= found.gap_upper <= curve.gap + 1e-9
        assert found.error == 0


def test_after_2017s_check_at_5_and_12():
    problem = soft_twelve_bit_rule(0.2)
    for beta in (5.0, 12.0):
        solution = solve(problem, beta)
        assert best_beta(solution.encoder, problem) == pytest.approx(beta, rel=1e-6)
        assert residuals(problem, solution.encoder, beta).encoder < 1e-12


def test_other_encoders_lie_below_with_a_best_beta(curve):
    random = np.random.default_rng(1)
    for _ in range(4):
        encoder = random.dirichlet(np.full(4, 0.5), size=12)
        found = place(encoder, RANDOM, curve)
        assert found.gap > 0
        assert found.gap_upper >= found.gap
        assert found.residuals.encoder > 1e-4
        misfit = minimize_scalar(
            lambda beta, given=encoder: residuals(RANDOM, given, float(beta)).encoder, bounds=(0, 200), method="bounded"
        )
        assert found.residuals.encoder <= misfit.fun + 1e-9
        assert found.beta == pytest.approx(misfit.x, abs=1e-3 * max(1.0, misfit.x))


def test_hard_codes(curve):
    nearest = codes_to_encoder(np.arange(12))
    found = place(nearest, RANDOM, curve)
    assert found.beta == np.inf
    assert found.residuals.encoder < 1e-9
    assert found.gap == pytest.approx(0, abs=1e-9)
    grouped = place(codes_to_encoder(np.arange(12) // 4), RANDOM, curve)
    assert 0 < grouped.beta < np.inf
    assert grouped.residuals.encoder > 0.1
    useless = place(np.full((12, 3), 1 / 3), RANDOM, curve)
    assert useless.beta == 0
    assert useless.information_input == pytest.approx(0, abs=1e-14)
    assert useless.residuals.encoder == pytest.approx(0, abs=1e-14)


def test_a_readout_in_place_of_the_encoders_own_decoder(curve):
    solution = solve(RANDOM, 8.0)
    same = place(solution.encoder, RANDOM, curve, solution.decoder)
    assert same.beta == pytest.approx(8.0, rel=1e-6)
    assert same.residuals.decoder < 1e-13
    blurred = 0.8 * solution.decoder + 0.2 / 3
    other = place(solution.encoder, RANDOM, curve, blurred)
    expected = solution.cluster_law @ np.sum(solution.decoder * (np.log(solution.decoder) - np.log(blurred)), axis=1)
    assert other.residuals.decoder == pytest.approx(expected, abs=1e-12)
    assert other.residuals.encoder > 1e-5


@pytest.mark.parametrize("known", [k for k in MIXTURES if k.mean.shape[1] <= 2 and np.all(k.variance > 1e-12)][:14])
@pytest.mark.parametrize("tolerance", [1e-2, 1e-4])
def test_bins_of_gaussians_enclose_the_known_information(known, tolerance):
    m, outputs = known.mean.shape
    tolerance *= 10 if outputs > 1 else 1
    discretised = gaussian_encoder(known.mean, known.variance, tolerance)
    labels = np.arange(m) % 2 if known.labels is None else known.labels
    problem = DiscreteProblem(np.full(m, 1 / m), np.eye(int(labels.max()) + 1)[labels])
    given, told = problem.information(discretised.encoder)
    assert discretised.error <= 1.01 * tolerance
    assert given - 1e-9 <= known.information_input + known.tolerance <= given + discretised.error + 2 * known.tolerance
    if known.information_target is not None:
        slack = discretised.error + 2 * known.tolerance
        assert told - 1e-9 <= known.information_target + known.tolerance <= told + slack


def test_a_noisy_neuron_is_placed_with_its_error():
    """tanh(w(X - 2)) with noise 0.1: 1.1508 ... 0.8113 bits."""
    problem = DiscreteProblem(np.full(4, 0.25), np.array([[0.9, 0.1], [0.7, 0.3], [0.4, 0.6], [0.1, 0.9]]))
    curve = bottleneck_curve(problem, 1e-3, progress=silent)
    for weight, bits in ((0.1, 1.1508), (0.3, 1.6884), (1.0, 1.2191), (5.0, 0.8113)):
        mean = np.tanh(weight * (np.array([-3.0, -1, 1, 3]) - 2))[:, None]
        found = place(gaussian_encoder(mean, np.array(0.01), 1e-3), problem, curve)
        assert found.information_input / BIT == pytest.approx(bits, abs=6e-5 + found.error / BIT)
        assert 0 < found.error <= 1.01e-3
        assert found.gap_upper + found.error >= 0


def test_bins_by_two_dimensions_at_once():
    """Independent coordinates that say different things: informations add."""
    values = np.array([-1.0, 1.0])
    mean = np.array([[a, b] for a in values for b in values])
    one = gaussian_encoder(values[:, None], np.array(0.25), 1e-3)
    two = gaussian_encoder(mean, np.array([0.25, 0.25, 0.25, 0.25]), 2e-3)
    single, _ = binary_symmetric().information(one.encoder)
    pair, _ = DiscreteProblem(np.full(4, 0.25), np.eye(4)).information(two.encoder)
    assert pair == pytest.approx(2 * single, abs=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda curve: place(np.ones((3, 1)), RANDOM, curve), "must be"),
        (lambda curve: place(np.ones((12, 2)), RANDOM, curve), "sums to 1"),
        (lambda curve: place(np.ones((2, 1)), binary_symmetric(), curve), "another problem"),
        (lambda curve: gaussian_encoder(np.zeros((3, 4)), np.array(1.0)), "dimensions"),
        (lambda curve: gaussian_encoder(np.zeros((3, 1)), np.array([1.0, 0.0, 1.0])), "above 0"),
        (lambda curve: gaussian_encoder(np.zeros((3, 1)), np.ones(2)), "variance has shape"),
        (lambda curve: gaussian_encoder(np.full((3, 1), np.nan), np.array(1.0)), "NaN"),
    ],
)
def test_bad_input(curve, call, message):
    with pytest.raises(ValueError, match=message):
        call(curve)
