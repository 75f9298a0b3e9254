import numpy as np
import pytest

from ntkinfo.bottleneck.deterministic import solve_deterministic, solve_squared
from ntkinfo.bottleneck.discrete_curve import bottleneck_curve
from ntkinfo.bottleneck.problems import codes_to_encoder, deterministic_labels, random_problem, soft_twelve_bit_rule
from ntkinfo.core.progress import silent


def partitions(count):
    """All ways to group `count` inputs, as codes."""

    def grow(codes):
        if len(codes) == count:
            yield np.array(codes)
            return
        for code in range(max(codes, default=-1) + 2):
            yield from grow([*codes, code])

    yield from grow([])


@pytest.mark.parametrize("targets", [2, 3])
@pytest.mark.parametrize("seed", [0, 1])
def test_against_all_partitions(targets, seed):
    problem = random_problem(6, targets, seed)
    plane = np.array([problem.information(codes_to_encoder(codes)) for codes in partitions(6)])
    assert len(plane) == 203
    for beta in (0.9, 3.0, 8.0, 30.0):
        solution = solve_deterministic(problem, beta)
        assert solution.objective == pytest.approx(np.min(plane[:, 0] - beta * plane[:, 1]), abs=1e-12)
        assert problem.information(codes_to_encoder(solution.codes)) == pytest.approx(
            (solution.information_input, solution.information_target), abs=1e-12
        )


def test_labels_without_noise_give_the_labels():
    labels = np.array([0, 0, 0, 1, 1, 2])
    problem = deterministic_labels(labels)
    solution = solve_deterministic(problem, 2.0)
    assert solution.information_input == pytest.approx(problem.target_entropy, abs=1e-12)
    assert solution.information_target == pytest.approx(problem.target_entropy, abs=1e-12)
    np.testing.assert_array_equal(codes_to_encoder(solution.codes), np.eye(3)[labels])
    assert solve_deterministic(problem, 0.9).information_input == 0


def test_equal_rows_share_a_code_and_no_function_is_above_the_curve():
    problem = soft_twelve_bit_rule(0.2)
    curve = bottleneck_curve(problem, 2e-3, progress=silent)
    last = 0.0
    for beta in (2.0, 5.0, 20.0, 100.0):
        solution = solve_deterministic(problem, beta)
        assert solution.method.startswith("exact")
        assert all(len(set(solution.codes[problem.classes == c])) == 1 for c in range(44))
        assert solution.information_target <= curve.upper(solution.information_input)
        assert solution.information_target >= last
        last = solution.information_target


@pytest.mark.parametrize("beta", [0.2, 0.9, 1.5, 5.0])
def test_squared_lagrangian_reaches_every_point_of_a_straight_curve(beta):
    """I_Y = min(I_X, H(Y)): the optimum of I² - βI is at β/2 until H(Y)."""
    problem = deterministic_labels(np.array([0, 0, 0, 1, 1, 2]))
    curve = bottleneck_curve(problem, 1e-3, progress=silent)
    solution = solve_squared(curve, beta)
    expected = min(beta / 2, problem.target_entropy)
    assert solution.information_input == pytest.approx(expected, abs=1e-12)
    assert solution.information_target == pytest.approx(expected, abs=1e-12)
    assert problem.information(solution.encoder) == pytest.approx((expected, expected), abs=1e-12)
    assert solution.objective == pytest.approx(solution.lower_bound, abs=1e-12)


def test_squared_lagrangian_is_bounded_on_a_bent_curve():
    problem = random_problem(10, 2, 3)
    curve = bottleneck_curve(problem, 1e-3, progress=silent)
    random = np.random.default_rng(0)
    encoders = [random.dirichlet(np.full(3, 0.2), size=10) for _ in range(200)]
    points = np.array([problem.information(encoder) for encoder in encoders])
    for beta in (1.0, 6.0, 20.0):
        solution = solve_squared(curve, beta)
        assert solution.lower_bound <= solution.objective <= solution.lower_bound + beta * curve.gap + 1e-12
        assert np.min(points[:, 0] ** 2 - beta * points[:, 1]) >= solution.lower_bound
        slope = 1 / curve.beta_at(solution.information_input)
        assert slope == pytest.approx(2 * solution.information_input / beta, rel=0.3)


def test_bad_input():
    with pytest.raises(ValueError, match="beta"):
        solve_deterministic(random_problem(4, 2), 0.0)
    with pytest.raises(ValueError, match="beta"):
        solve_squared(bottleneck_curve(random_problem(4, 2), 0.1, progress=silent), -1.0)
