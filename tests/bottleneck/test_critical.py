import itertools

import numpy as np
import pytest
from scipy.optimize import brentq, minimize
from scipy.special import rel_entr

import ntkinfo as ni
from ntkinfo.bottleneck.critical import cluster_critical_betas, critical_beta, onset_beta, splits
from ntkinfo.bottleneck.discrete import solve
from ntkinfo.bottleneck.discrete_descent import minimise
from ntkinfo.bottleneck.discrete_engine import BottleneckDistortion, State
from ntkinfo.bottleneck.problems import DiscreteProblem, random_problem, row_entropies, soft_twelve_bit_rule
from tests.known_bottlenecks import KNOWN


def annealed(problem, beta, state):
    """Bare rounds of the self-consistent equations; I(T;X) and the state they end in."""
    distortion = BottleneckDistortion(problem.input_law, problem.conditional, beta, -row_entropies(problem.conditional))
    found = minimise(distortion, state, 1e-8, 2000, newton=False)
    return problem.information(found.posterior)[0], found.state


def leaves(problem, guess):
    """The β, to 0.4 per cent, from which a slightly perturbed trivial solution moves away."""
    rows = 0.999 * problem.target_law[None] + 0.001 * problem.conditional
    start = State(np.log(problem.input_law), rows)
    for beta in guess * np.arange(0.97, 1.03, 0.004):
        if annealed(problem, beta, start)[0] > 1e-4:
            return beta
    return np.inf


def collapses(problem, above):
    """The β, to 0.4 per cent, at which reverse annealing from T = X falls into the trivial solution."""
    beta, state = above, State(np.log(problem.input_law), problem.conditional)
    while True:
        given, state = annealed(problem, beta, state)
        if given < 1e-4:
            return beta
        beta /= 1.004


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.name)
def test_known_critical_betas(known):
    assert critical_beta(known.problem) == pytest.approx(known.critical, rel=1e-10)
    assert onset_beta(known.problem) == pytest.approx(known.critical, rel=1e-6)


def test_by_the_operator_on_functions_of_x():
    problem = random_problem(9, 4, 2)
    backward = (problem.input_law[:, None] * problem.conditional / problem.target_law[None]).T
    values = np.sort(np.linalg.eigvals(problem.conditional @ backward).real)
    assert values[-1] == pytest.approx(1)
    assert critical_beta(problem) == pytest.approx(1 / values[-2], rel=1e-10)


@pytest.mark.parametrize("seed", range(4))
def test_trivial_solution_is_left_at_the_critical_beta(seed):
    problem = random_problem(8, 2 + seed % 3, seed)
    critical = critical_beta(problem)
    assert leaves(problem, critical) == pytest.approx(critical, rel=0.01)


@pytest.mark.parametrize("seed", range(3))
def test_reverse_annealing_collapses_at_the_onset(seed):
    """Which is below the second variation's critical β: the transition of most problems is discontinuous."""
    problem = random_problem(8, 2 + seed % 3, seed)
    onset, critical = onset_beta(problem), critical_beta(problem)
    assert onset <= critical
    # A branch that has become worse than the trivial solution persists for a little.
    assert collapses(problem, 1.04 * onset) == pytest.approx(onset, rel=0.01)
    assert solve(problem, onset * (1 - 1e-4)).information_input < 1e-6
    assert solve(problem, onset * (1 + 1e-3)).objective < 0


def test_onset_may_lie_far_below():
    problem = random_problem(12, 3, 0)
    onset, critical = onset_beta(problem), critical_beta(problem)
    assert onset < 0.75 * critical
    solution = solve(problem, 0.9 * critical)
    assert solution.objective < -1e-3
    assert solution.certified


def test_independent_variables_have_no_critical_beta():
    problem = DiscreteProblem(np.array([0.3, 0.7]), np.array([[0.2, 0.8], [0.2, 0.8]]))
    assert critical_beta(problem) == np.inf
    assert onset_beta(problem) == np.inf
    assert splits(problem, 10.0) == []


@pytest.mark.parametrize("beta", [3.0, 8.0, 40.0])
def test_no_cluster_of_a_solution_can_split(beta):
    problem = soft_twelve_bit_rule(0.2)
    solution = solve(problem, beta)
    assert np.all(cluster_critical_betas(problem, solution) > beta * (1 - 1e-6))


def test_splits_along_the_branch():
    problem = soft_twelve_bit_rule(0.2)
    found = splits(problem, 10.0)
    assert found[0].beta == pytest.approx(critical_beta(problem), rel=1e-9)
    assert all(left.beta < right.beta for left, right in itertools.pairwise(found))
    assert [len(split.cluster_law) for split in found] == [1, 2, 3]
    for split in found[1:]:
        # Just below, the branch is stable and the certificate knows of at most as many clusters as the branch has.
        state = State(np.log(split.cluster_law), split.decoder)
        merged = problem.merged()
        for factor, stable in ((0.995, True), (1.005, False)):
            distortion = BottleneckDistortion(
                merged.input_law, merged.conditional, split.beta * factor, -row_entropies(merged.conditional)
            )
            fixed = minimise(distortion, state, 1e-10, 20_000)
            joint = merged.input_law[:, None] * fixed.posterior
            law = joint[:, split.cluster] / joint[:, split.cluster].sum()
            one = DiscreteProblem(law, merged.conditional)
            assert (critical_beta(one) > split.beta * factor) == stable
        assert abs(split.direction.sum()) < 1e-12


def test_symmetric_channel_splits_continuously():
    (split,) = splits(KNOWN[0].problem, 20.0)
    assert split.beta == pytest.approx(1.5625, rel=1e-9)
    assert 0 < split.jump < 0.01
    np.testing.assert_allclose(np.abs(split.direction), np.sqrt(0.5))


@pytest.mark.parametrize("strength", [1.0, 0.05, 2e-3, 2e-4])
def test_onset_of_two_classes_is_the_least_ratio_however_weak_the_dependence(strength):
    """Second route: at β the trivial encoder is beaten where Σ p(x) exp(-β (KL(x‖r) - KL(x‖p_Y))) > 1 at a point r."""
    law, positive = np.array([0.97, 0.02, 0.01]), 0.3 + strength * np.array([0.0, 0.4, -0.1])
    problem = DiscreteProblem(law, np.stack([positive, 1 - positive], axis=1))
    mean = law @ positive
    step = np.geomspace(1e-3, 1.0, 4000) * np.abs(positive - mean).max()
    points = mean + np.concatenate([-step, step])
    points = points[(points > 0) & (points < 1)]
    excess = np.outer(np.log(mean / points), positive) + np.outer(np.log((1 - mean) / (1 - points)), 1 - positive)
    limit = critical_beta(problem)

    def gain(share):
        return np.log(np.exp(-share * limit * excess) @ law).max() - 1e-14

    assert gain(0.05) < 0 < gain(1.001)
    assert onset_beta(problem) / limit == pytest.approx(brentq(gain, 0.05, 1.001), rel=1e-5)


def random_law(seed):
    random = np.random.default_rng(seed)
    inputs, targets = random.integers(2, 5), random.integers(2, 5)
    concentration = random.choice([0.3, 1.0, 5.0])
    law = random.dirichlet(np.ones(inputs))
    return DiscreteProblem(law, random.dirichlet(np.full(targets, concentration), size=inputs))


def least_ratio_by_search(problem, seed=0):
    """The least KL(q ‖ p_X) / KL(q_Y ‖ p_Y) by simplex search over exponents, from many starts."""
    law, rows, target = problem.input_law, problem.conditional, problem.target_law
    random = np.random.default_rng(seed)

    def ratio(exponent):
        other = law * np.exp(exponent - exponent.max())
        other /= other.sum()
        below = np.sum(rel_entr(other @ rows, target))
        return np.sum(rel_entr(other, law)) / below if below > 1e-8 else np.inf

    options = {"maxiter": 2000, "xatol": 1e-9, "fatol": 1e-12}
    starts = [scale * random.normal(size=len(law)) for scale in (0.3, 1.0, 3.0, 8.0)]
    return min(minimize(ratio, start, method="Nelder-Mead", options=options).fun for start in starts)


# Laws on which ascents from the rows alone ended up to 2.4e-3 above the least ratio.
@pytest.mark.parametrize("seed", [229, 321, 175, 27, 59, 199, 161, 66, 3, 8])
def test_onset_is_not_above_any_ratio_that_a_search_finds(seed):
    problem = random_law(seed)
    onset = onset_beta(problem)
    assert 1 <= onset <= critical_beta(problem)
    assert onset <= least_ratio_by_search(problem, seed) * (1 + 1e-8)


def test_onset_of_laws_known_exactly():
    assert onset_beta(DiscreteProblem(np.full(4, 0.25), np.eye(2)[[0, 0, 1, 1]])) == pytest.approx(1, abs=1e-12)
    for lost in (0.1, 0.5, 0.9):
        assert onset_beta(ni.erasure(lost)) == pytest.approx(1 / (1 - lost), rel=1e-12)
    # Repeated rows and values of Y that never occur change nothing.
    problem = random_law(5)
    rows = np.concatenate([problem.conditional, problem.conditional])
    padded = np.concatenate([rows, np.zeros((len(rows), 1))], axis=1)
    doubled = DiscreteProblem(np.tile(problem.input_law, 2) / 2, padded)
    assert onset_beta(doubled) == pytest.approx(onset_beta(problem), rel=1e-10)
