import numpy as np
import pytest
from scipy.optimize import minimize

from ntkinfo.bottleneck.critical import critical_beta
from ntkinfo.bottleneck.discrete import residuals, solve
from ntkinfo.bottleneck.discrete_descent import minimise
from ntkinfo.bottleneck.discrete_engine import BottleneckDistortion, State
from ntkinfo.bottleneck.discrete_search import SolverSettings
from ntkinfo.bottleneck.problems import (
    DiscreteProblem,
    binary_symmetric,
    codes_to_encoder,
    deterministic_labels,
    erasure,
    random_problem,
    row_entropies,
    soft_twelve_bit_rule,
)
from tests.known_bottlenecks import BIT, KNOWN


def plain(problem, beta, sweeps=20_000):
    """The self-consistent equations written out, from T = X."""
    law, rows = problem.input_law, problem.conditional
    weight, decoder, trace = law.copy(), rows.copy(), []
    for _ in range(sweeps):
        kept = weight > 1e-200
        weight, decoder = weight[kept], decoder[kept]
        divergence = np.sum(rows[:, None] * (np.log(rows[:, None]) - np.log(decoder[None])), axis=2)
        encoder = weight[None] * np.exp(-beta * divergence)
        encoder /= encoder.sum(axis=1, keepdims=True)
        weight = law @ encoder
        decoder = (law[:, None] * encoder).T @ rows / weight[:, None]
        given, told = problem.information(encoder)
        trace.append(given - beta * told)
    return trace


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.name)
def test_published_points(known):
    for beta, given, told in known.points:
        solution = solve(known.problem, beta)
        assert solution.information_input / BIT == pytest.approx(given, abs=5.1e-6)
        assert solution.information_target / BIT == pytest.approx(told, abs=5.1e-6)
        assert solution.certified
        assert solution.gap <= 1e-7


@pytest.mark.parametrize("beta", [0.5, 1.5, 1.56])
def test_nothing_is_kept_below_the_critical_beta(beta):
    solution = solve(binary_symmetric(0.1), beta)
    assert len(solution.cluster_law) == 1
    assert solution.information_input == 0


@pytest.mark.parametrize(("targets", "beta"), [(2, 6.0), (3, 5.0), (4, 12.0)])
def test_solution_against_direct_minimisation(targets, beta):
    """L-BFGS over the logits of the encoder, many starts: no lower than the solution, and its best as low."""
    problem = random_problem(6, targets, seed=3)
    solution = solve(problem, beta)

    def objective(logits):
        table = np.maximum(logits.reshape(6, 6), logits.max() - 300.0)
        encoder = np.exp(table - table.max(axis=1, keepdims=True))
        encoder /= encoder.sum(axis=1, keepdims=True)
        joint = problem.input_law[:, None] * encoder
        weight = joint.sum(axis=0)
        decoder = joint.T @ problem.conditional / weight[:, None]
        cost = np.log(encoder / weight[None]) - beta * problem.conditional @ np.log(decoder).T
        value = np.sum(joint * cost)
        # The derivatives by p(t) and p(y|t) cancel or are constant along normalised encoders.
        slope = joint * (cost - np.sum(encoder * cost, axis=1, keepdims=True))
        return value - beta * problem.target_entropy, slope.ravel()

    random = np.random.default_rng(0)
    values = [
        minimize(objective, 3 * random.normal(size=36), jac=True, method="L-BFGS-B", options={"maxiter": 3000}).fun
        for _ in range(12)
    ]
    assert min(values) == pytest.approx(solution.objective, abs=1e-4)  # L-BFGS stops early
    assert min(values) > solution.lower_bound - 1e-12
    assert solution.objective < min(values) + 1e-9


@pytest.mark.parametrize("seed", range(3))
def test_never_above_the_plain_iteration(seed):
    problem = random_problem(10, 3, seed=seed)
    for beta in (4.0, 15.0):
        trace = plain(problem, beta, 1000)
        assert max(np.diff(trace)) < 1e-12
        assert solve(problem, beta).objective < trace[-1] + 1e-10


@pytest.mark.parametrize("problem", [random_problem(12, 2, 1), random_problem(12, 5, 2), soft_twelve_bit_rule(0.2)])
@pytest.mark.parametrize("beta", [1.6, 4.0, 40.0])
def test_objective_falls_in_every_sweep_and_residuals_vanish(problem, beta):
    solution = solve(problem, beta, SolverSettings(cells=5000, gap=1e-4))
    assert max(np.diff(solution.trace), default=0.0) < 1e-13
    assert solution.trace[-1] == pytest.approx(solution.objective, abs=1e-10)
    assert solution.stop == "converged"
    again = residuals(problem, solution.encoder, beta)
    for found in (solution.residuals, again):
        assert found.encoder < 1e-13
        assert found.decoder < 1e-13
    given, told = problem.information(solution.encoder)
    assert given == pytest.approx(solution.information_input, abs=1e-12)
    assert told == pytest.approx(solution.information_target, abs=1e-12)


def test_bare_iteration_falls_and_crawls_near_the_critical_beta():
    problem, beta = binary_symmetric(0.1), 1.57
    distortion = BottleneckDistortion(problem.input_law, problem.conditional, beta, -row_entropies(problem.conditional))
    start = State(np.log(problem.input_law), problem.conditional)
    bare, fast = (minimise(distortion, start, 1e-10, 20_000, newton) for newton in (False, True))
    assert max(np.diff(bare.trace)) < 1e-14
    assert bare.objective == pytest.approx(fast.objective, abs=1e-13)
    assert bare.sweeps > 20 * fast.sweeps
    short = minimise(distortion, start, 1e-10, 5, False)
    assert (short.stop, short.sweeps) == ("sweep limit", 5)


def test_a_start_that_is_stuck_is_freed_by_the_certificate():
    """From one cluster the equations stay there for ever; the dual says which law is missing."""
    problem = random_problem(16, 2, 1)
    trivial = solve(problem, 1.0)
    assert len(trivial.cluster_law) == 1
    freed, fresh = solve(problem, 10.0, warm=trivial), solve(problem, 10.0)
    assert freed.objective == pytest.approx(fresh.objective, abs=1e-8)
    stuck = solve(problem, 10.0, SolverSettings(clusters=1))
    assert stuck.objective == 0
    assert stuck.gap > 0.01
    assert not stuck.certified
    assert stuck.stop == "converged; with more clusters it would be lower"


def test_fewer_clusters_do_worse_and_more_starts_no_worse():
    problem = random_problem(10, 3, 5)
    best = solve(problem, 15.0)
    two = solve(problem, 15.0, SolverSettings(clusters=2, starts=0))
    more = solve(problem, 15.0, SolverSettings(clusters=2, starts=6, seed=1))
    assert len(two.cluster_law) <= 2
    assert best.objective < more.objective - 1e-6
    assert more.objective <= two.objective + 1e-12


def test_merging_equal_rows_is_exact():
    base = random_problem(5, 3, 0)
    random = np.random.default_rng(1)
    place = np.concatenate([np.arange(5), random.integers(0, 5, size=7)])
    shares = random.dirichlet(np.ones(12))
    law = np.bincount(place, shares)
    spread = DiscreteProblem(shares, base.conditional[place])
    whole, merged = solve(spread, 8.0), solve(DiscreteProblem(law, base.conditional), 8.0)
    assert spread.merged().n_inputs == 5
    assert whole.objective == pytest.approx(merged.objective, abs=1e-9)
    assert spread.information(whole.encoder)[0] == pytest.approx(whole.information_input, abs=1e-12)
    assert np.array_equal(spread.merged().conditional[spread.classes], spread.conditional)


def test_zero_probabilities_and_large_beta_stay_finite():
    for problem in (deterministic_labels(np.arange(12) % 3), erasure(0.3)):
        for beta in (1.01 / 0.7, 50.0, 1e6):
            solution = solve(problem, beta, SolverSettings(cells=2000))
            assert solution.information_input == pytest.approx(problem.merged().input_entropy, abs=1e-6)
            assert solution.information_target == pytest.approx(problem.mutual_information, abs=1e-6)


@pytest.mark.parametrize(("inputs", "targets", "seed", "concentration"), [(30, 8, 1, 0.05), (20, 2, 0, 0.002)])
@pytest.mark.parametrize("factor", [1.1, 30.0, 1e4])
def test_nearly_deterministic_problems_converge(inputs, targets, seed, concentration, factor):
    """Rows with probabilities of 0 and of 1e-300: rounds whose F no longer falls to rounding still settle p(t, y)."""
    problem = random_problem(inputs, targets, seed, concentration)
    solution = solve(problem, factor * critical_beta(problem), SolverSettings(cells=50, gap=1e-5))
    assert solution.stop == "converged"
    assert max(np.diff(solution.trace), default=0.0) < 1e-15 * max(100, abs(solution.trace[-1]))
    assert solution.objective <= 1e-12  # the trivial one has 0


@pytest.mark.parametrize("beta", [1.0001, 1.24, 1.26])
def test_the_best_of_two_ends_of_a_straight_curve(beta):
    """Erasure with loss 0.2: nothing below β = 1.25, everything above; T = X is a stationary point on both sides."""
    solution = solve(erasure(0.2, 30), beta, SolverSettings(cells=50))
    assert solution.stop == "converged"
    assert solution.objective == pytest.approx(min(0.0, (1 - 0.8 * beta) * np.log(30)), abs=1e-9)


def test_information_of_encoders_by_another_formula():
    problem = random_problem(8, 3, 4)
    encoder = np.random.default_rng(0).dirichlet(np.ones(5), size=8)
    joint = problem.input_law[:, None] * encoder
    pair = joint.T @ problem.conditional
    given = np.sum(joint * np.log(encoder / joint.sum(axis=0)[None]))
    told = np.sum(pair * np.log(pair / (pair.sum(axis=1, keepdims=True) * pair.sum(axis=0)[None])))
    assert problem.information(encoder) == pytest.approx((given, told), abs=1e-13)
    codes = np.array([3, 3, -1, 7, 7, 7, -1, 0])
    assert problem.information(codes_to_encoder(codes))[0] == pytest.approx(
        -sum(p * np.log(p) for p in (problem.input_law[codes == c].sum() for c in set(codes.tolist())))
    )


def test_problems():
    joint = np.array([[1.0, 3.0], [0.0, 0.0], [2.0, 2.0]])
    problem = DiscreteProblem.from_joint(joint)
    np.testing.assert_allclose(problem.input_law, [0.5, 0.5])
    np.testing.assert_allclose(problem.target_law, [3 / 8, 5 / 8])
    rule = soft_twelve_bit_rule(1e3)
    assert rule.n_inputs == 4096
    assert rule.mutual_information / BIT == pytest.approx(0.999157, abs=5.1e-7)
    assert soft_twelve_bit_rule(0.2).merged().n_inputs == 44  # different scores of the 64 classes
    noisy = deterministic_labels(np.arange(4) % 2, flip=0.25)
    assert noisy.mutual_information == pytest.approx(binary_symmetric(0.25).mutual_information, abs=1e-14)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: DiscreteProblem(np.array([0.5, 0.6]), np.eye(2)), "sums to 1"),
        (lambda: DiscreteProblem(np.array([0.0, 1.0]), np.eye(2)), "probability of 0"),
        (lambda: DiscreteProblem(np.array([0.5, 0.5]), np.array([[1.0, np.nan], [0.5, 0.5]])), "NaN"),
        (lambda: DiscreteProblem(np.array([0.5, 0.5]), np.array([[1.2, -0.2], [0.5, 0.5]])), "0 or greater"),
        (lambda: DiscreteProblem(np.array([1.0]), np.array([[1.0]])), "two values"),
        (lambda: DiscreteProblem.from_joint(np.zeros((2, 2))), "not all"),
        (lambda: solve(binary_symmetric(), 0.0), "beta"),
        (lambda: solve(binary_symmetric(), float("inf")), "beta"),
        (lambda: solve(binary_symmetric(), 2.0, warm=solve(erasure(), 2.0)), "values of Y"),
        (lambda: SolverSettings(gap=0.0), "gap"),
        (lambda: residuals(binary_symmetric(), np.ones((3, 1)), 1.0), "must be"),
        (lambda: deterministic_labels(np.zeros(3, dtype=int)), "two classes"),
        (lambda: erasure(1.5), "probability"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
