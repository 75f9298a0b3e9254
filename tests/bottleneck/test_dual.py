import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import binom

from ntkinfo.bottleneck.discrete import solve
from ntkinfo.bottleneck.discrete_search import SolverSettings
from ntkinfo.bottleneck.dual import (
    dual_cluster_critical_betas,
    dual_critical_beta,
    dual_curve,
    natural_rank,
    solve_dual,
)
from ntkinfo.bottleneck.dual_exponents import (
    chernoff_information,
    compare_exponents,
    error_exponents,
    exponents_beside,
)
from ntkinfo.bottleneck.problems import DiscreteProblem, binary_symmetric, erasure, random_problem, soft_twelve_bit_rule
from ntkinfo.core.progress import silent


def plain(problem, beta, sweeps=1000):
    """The dual's equations written out, from T = X; encoder, decoder and objective after every round."""
    law, logs = problem.input_law, np.log(problem.conditional)
    weight, decoder, trace = law.copy(), problem.conditional.copy(), []
    for _ in range(sweeps):
        divergence = np.sum(decoder[None] * (np.log(decoder)[None] - logs[:, None]), axis=2)
        exponent = np.log(weight)[None] - beta * divergence
        trace.append(-law @ logsumexp(exponent, axis=1))
        encoder = np.exp(exponent - logsumexp(exponent, axis=1, keepdims=True))
        weight = np.maximum(law @ encoder, 1e-200)
        decoder = np.exp((law[:, None] * encoder).T @ logs / weight[:, None])
        decoder /= decoder.sum(axis=1, keepdims=True)
    return encoder, decoder, trace


def test_critical_beta_of_the_symmetric_channel():
    assert dual_critical_beta(binary_symmetric(0.1)) == pytest.approx(0.82854, abs=5.1e-6)
    for flip in (0.05, 0.3):
        expected = 4 / np.log((1 - flip) / flip) ** 2
        assert dual_critical_beta(binary_symmetric(flip)) == pytest.approx(expected, rel=1e-12)


def test_critical_beta_by_the_matrix_over_x():
    problem = random_problem(7, 4, 3)
    law, logs = problem.input_law, np.log(problem.conditional)
    decoder = np.exp(law @ logs) / np.exp(law @ logs).sum()
    centred = logs - (logs @ decoder)[:, None]
    covariance = centred @ np.diag(decoder) @ centred.T
    centre = np.eye(7) - np.outer(np.ones(7), law)
    values = np.linalg.eigvals(law[:, None] * (centre @ covariance @ centre.T)).real
    assert dual_critical_beta(problem) == pytest.approx(1 / values.max(), rel=1e-9)


@pytest.mark.parametrize(("targets", "seed"), [(2, 0), (3, 1), (5, 2)])
def test_perturbed_trivial_solution_is_left_there(targets, seed):
    """Bare rounds from near the trivial solution, within 1 per cent of theory."""
    problem = random_problem(8, targets, seed, concentration=2.0)
    critical = dual_critical_beta(problem)
    law, logs = problem.input_law, np.log(problem.conditional)
    for factor, stays in ((0.99, True), (1.01, False)):
        exponent = logs.T @ law
        decoder = np.exp(exponent[None] + 1e-4 * (logs - exponent[None]))
        decoder /= decoder.sum(axis=1, keepdims=True)
        weight = law.copy()
        for _ in range(1500):
            divergence = np.sum(decoder[None] * (np.log(decoder)[None] - logs[:, None]), axis=2)
            powers = np.log(weight)[None] - factor * critical * divergence
            encoder = np.exp(powers - logsumexp(powers, axis=1, keepdims=True))
            weight = law @ encoder
            decoder = np.exp((law[:, None] * encoder).T @ logs / weight[:, None])
            decoder /= decoder.sum(axis=1, keepdims=True)
        assert (problem.information(encoder)[0] < 1e-5) == stays


@pytest.mark.parametrize("problem", [binary_symmetric(0.1), random_problem(10, 3, 0), random_problem(10, 5, 1)])
@pytest.mark.parametrize("factor", [1.2, 4.0, 30.0])
def test_solution_solves_the_equations_and_beats_the_plain_iteration(problem, factor):
    beta = factor * dual_critical_beta(problem)
    solution = solve_dual(problem, beta, SolverSettings(cells=20_000, gap=1e-5))
    assert solution.stop == "converged"
    assert solution.residuals.encoder < 1e-13
    assert solution.residuals.decoder < 1e-13
    assert max(np.diff(solution.trace), default=0.0) < 1e-13
    assert solution.trace[-1] == pytest.approx(solution.objective, abs=1e-9)
    _, _, trace = plain(problem, beta)
    assert max(np.diff(trace)) < 1e-12
    assert solution.objective < trace[-1] + 1e-9
    assert solution.objective >= solution.lower_bound - 1e-12
    if problem.n_targets <= 3:
        assert solution.certified
        assert np.all(dual_cluster_critical_betas(problem, solution) > beta * (1 - 1e-5))


def test_decoder_is_the_minimiser():
    problem = random_problem(6, 4, 2)
    solution = solve_dual(problem, 3 * dual_critical_beta(problem), SolverSettings(cells=2000))
    random = np.random.default_rng(0)
    joint = problem.input_law[:, None] * solution.encoder

    def cost(decoder):
        log_ratio = np.log(decoder)[None] - np.log(problem.conditional)[:, None]
        return np.sum(joint * np.sum(decoder[None] * log_ratio, axis=2))

    assert cost(solution.decoder) == pytest.approx(solution.distortion, abs=1e-12)
    for _ in range(200):
        other = solution.decoder * np.exp(0.05 * random.normal(size=solution.decoder.shape))
        assert cost(other / other.sum(axis=1, keepdims=True)) > solution.distortion


def test_solutions_stay_in_the_exponential_family():
    """Rows of two natural parameters over six values of Y: the ordinary decoder leaves the family."""
    random = np.random.default_rng(1)
    rows = np.exp(random.normal(size=(9, 2)) @ random.normal(size=(2, 6)))
    problem = DiscreteProblem(random.dirichlet(np.ones(9)), rows / rows.sum(axis=1, keepdims=True))
    assert natural_rank(problem.conditional) == 2
    quick = SolverSettings(cells=500)
    dual = solve_dual(problem, 20 * dual_critical_beta(problem), quick)
    assert len(dual.cluster_law) > 3
    assert dual.natural_rank == 2
    ordinary = solve(problem, 20.0, quick)
    assert len(ordinary.cluster_law) > 3
    assert natural_rank(ordinary.decoder) > 2
    # A_r(t) = E[A_r(x) | t]: natural parameters average.
    joint = problem.input_law[:, None] * dual.encoder
    expected = (joint / joint.sum(axis=0)).T @ np.log(problem.conditional)
    got = np.log(dual.decoder)
    np.testing.assert_allclose(
        got - got.mean(axis=1, keepdims=True), expected - expected.mean(axis=1, keepdims=True), atol=1e-9
    )


def test_exponents_add_up_and_the_dual_has_the_least():
    problem = random_problem(8, 3, 0)
    whole = error_exponents(problem, np.ones((8, 1)))
    assert whole.between == 0
    random = np.random.default_rng(0)
    for _ in range(5):
        found = error_exponents(problem, random.dirichlet(np.full(4, 0.3), size=8))
        assert found.within + found.between == pytest.approx(whole.within, abs=1e-12)
    betas = dual_critical_beta(problem) * np.geomspace(0.7, 60, 30)
    quick = SolverSettings(gap=1e-4)
    compared = compare_exponents(problem, [6.0, 12.0, 30.0], betas.tolist(), quick, silent)
    assert np.all(compared.dual_within_lower <= compared.dual_within + 1e-12)
    assert np.all(compared.dual_within - compared.dual_within_lower < 2e-2 * whole.within)
    assert np.all(compared.within >= compared.dual_within_lower - 1e-9)
    assert np.all(compared.within > 1.03 * compared.dual_within)
    assert compared.within[0] > 1.3 * compared.dual_within[0]


def test_on_a_symmetric_channel_both_have_the_same_exponent():
    """There is one way to be symmetric with two clusters: the encoders coincide at equal I(T;X)."""
    compared = compare_exponents(
        binary_symmetric(0.1), [2.0, 3.0], np.geomspace(0.84, 6, 60).tolist(), SolverSettings(gap=1e-6), silent
    )
    np.testing.assert_allclose(compared.within, compared.dual_within, rtol=2e-3)


def test_within_exponent_of_two_inputs_is_the_rate_of_their_confusion():
    """Exact Bayes errors from binomial laws: the logarithm's slope in the number of draws is the Chernoff exponent."""
    first, second = np.array([0.8, 0.2]), np.array([0.35, 0.65])
    exponent, weight = chernoff_information(first, second)
    problem = DiscreteProblem(np.array([weight, 1 - weight]), np.stack([first, second]))
    assert error_exponents(problem, np.ones((2, 1))).within == pytest.approx(exponent, abs=1e-9)

    def log_error(draws):
        counts = np.arange(draws + 1)
        return logsumexp(np.minimum(binom.logpmf(counts, draws, 0.2), binom.logpmf(counts, draws, 0.65))) - np.log(2)

    # The error is exp(-n C) times a power of n of about -1/2: it cancels at second order between n, 2n and 4n.
    slope = (log_error(4000) - log_error(8000) + 0.5 * np.log(0.5)) / 4000
    assert slope == pytest.approx(exponent, rel=1e-3)


def test_curve_and_reduction():
    problem = soft_twelve_bit_rule(0.1)
    curve = dual_curve(problem, [1.0, 3.0, 0.5], SolverSettings(gap=1e-4), silent)
    assert [solution.beta for solution in curve] == [0.5, 1.0, 3.0]
    assert curve[0].information_input < 1e-9
    assert curve[0].distortion > curve[1].distortion > curve[2].distortion
    for solution in curve:
        assert problem.information(solution.encoder)[1] == pytest.approx(solution.information_target, abs=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: solve_dual(erasure(0.3), 1.0), "smooth the labels"),
        (lambda: dual_critical_beta(erasure(0.3)), "smooth the labels"),
        (lambda: error_exponents(erasure(0.3), np.eye(2)), "above 0"),
        (lambda: natural_rank(np.eye(2)), "natural parameter"),
        (lambda: solve_dual(binary_symmetric(), -1.0), "beta"),
        (lambda: dual_curve(binary_symmetric(), []), "betas"),
        (lambda: exponents_beside(binary_symmetric(), [], []), "dual is empty"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
