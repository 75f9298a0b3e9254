import numpy as np
import pytest

from ntkinfo.bottleneck.certificate import new_points, normalisers
from ntkinfo.bottleneck.discrete_descent import _derivatives, _Descent, minimise
from ntkinfo.bottleneck.discrete_engine import BottleneckDistortion, State, sweep
from ntkinfo.bottleneck.dual import DualDistortion
from ntkinfo.bottleneck.problems import random_problem, row_entropies


def distortion_of(problem, beta, kind="bottleneck"):
    rows = problem.conditional
    if kind == "dual":
        return DualDistortion(problem.input_law, np.log(rows), beta)
    return BottleneckDistortion(problem.input_law, rows, beta, -row_entropies(rows))


def random_state(clusters, values, seed=0):
    random = np.random.default_rng(seed)
    return State(np.log(random.dirichlet(np.ones(clusters))), random.dirichlet(3 * np.ones(values), size=clusters))


def moved(state, step):
    """By (log w, r_1 ... r_k-1) without normalising the weights."""
    step = step.reshape(state.points.shape)
    shift = np.concatenate([step[:, 1:], -step[:, 1:].sum(axis=1, keepdims=True)], axis=1)
    return State(state.log_weight + step[:, 0], state.points + shift)


@pytest.mark.parametrize("kind", ["bottleneck", "dual"])
def test_derivatives_against_differences(kind):
    distortion = distortion_of(random_problem(9, 4, 2), 5.0, kind)
    state = random_state(3, 4)
    parts = _derivatives(distortion, state, sweep(distortion, state))
    assert parts is not None

    def value(step):
        at = moved(state, step)
        return sweep(distortion, at).objective + np.exp(at.log_weight).sum()

    width, axes = 1e-4, np.eye(12)
    slope = [(value(width * e) - value(-width * e)) / (2 * width) for e in axes]
    np.testing.assert_allclose(parts.gradient, slope, rtol=1e-5, atol=1e-6)
    hessian = parts.excess.copy()
    for t in range(3):
        hessian[4 * t : 4 * t + 4, 4 * t : 4 * t + 4] += parts.information[t]
    for i, e in enumerate(axes):
        for j, f in enumerate(axes):
            far = value(width * (e + f)) + value(-width * (e + f))
            near = value(width * (e - f)) + value(width * (f - e))
            assert hessian[i, j] == pytest.approx((far - near) / (4 * width**2), abs=1e-5, rel=1e-4)


@pytest.mark.parametrize("kind", ["bottleneck", "dual"])
def test_information_belongs_to_a_round_of_the_equations(kind):
    """A Newton step with the complete-data information alone is, to first order, the round itself."""
    distortion = distortion_of(random_problem(9, 3, 1), 3.0, kind)
    start = minimise(distortion, State(np.log(distortion.law), random_problem(9, 3, 1).conditional), 1e-12, 5000).state
    random = np.random.default_rng(0)
    near = moved(start, 1e-6 * random.normal(size=start.points.size))
    near = State(near.log_weight - np.log(np.exp(near.log_weight).sum()), near.points)
    here = sweep(distortion, near)
    parts = _derivatives(distortion, near, here)
    assert parts is not None
    step = -np.linalg.solve(parts.information, parts.gradient.reshape(near.points.shape)[:, :, None])[:, :, 0]
    np.testing.assert_allclose(step[:, 0], here.after.log_weight - near.log_weight, atol=1e-10)
    np.testing.assert_allclose(step[:, 1:], (here.after.points - near.points)[:, :-1], atol=1e-10)


def test_clusters_that_coincide_or_vanish_are_left_out_and_others_are_not():
    problem = random_problem(12, 3, 4)
    distortion = distortion_of(problem, 12.0)
    best = minimise(distortion, State(np.log(problem.input_law), problem.conditional), 1e-10, 5000)
    weight, points, count = np.exp(best.state.log_weight), best.state.points, len(best.state.log_weight)
    assert count > 2
    assert not _Descent(distortion, best.state).tidy()
    aside = 1e-7 * np.array([1.0, -1.0, 0.0])
    twice = State(np.log(np.concatenate([weight / 2, weight / 2])), np.concatenate([points - aside, points + aside]))
    useless = np.full((1, 3), 1 / 3)
    more = State(np.log(np.concatenate([weight * 0.99, [0.01]])), np.concatenate([points, useless]))
    for state in (twice, more):
        before, descent = sweep(distortion, state).objective, _Descent(distortion, state)
        assert descent.tidy()
        assert len(descent.state.log_weight) == count
        assert descent.here.objective <= before + 1e-15
        again = minimise(distortion, state, 1e-10, 5000)
        assert again.objective == pytest.approx(best.objective, abs=1e-13)


@pytest.mark.parametrize(("inputs", "targets", "beta"), [(32, 4, 6.0), (24, 6, 12.0), (40, 2, 20.0)])
def test_same_minimum_as_the_bare_iteration_in_fewer_rounds(inputs, targets, beta):
    """In these problems it is the same; in others either may end in a poorer one, from which `solve` goes on."""
    problem = random_problem(inputs, targets, 7)
    start, distortion = State(np.log(problem.input_law), problem.conditional), distortion_of(problem, beta)
    bare, fast = (minimise(distortion, start, 1e-9, 5000, newton) for newton in (False, True))
    assert fast.objective < bare.objective + 1e-13
    assert max(np.diff(fast.trace)) < 1e-14
    assert fast.stop == "converged"
    assert fast.sweeps < bare.sweeps / 2
    again = sweep(distortion, fast.state)
    assert again.change <= 1e-9
    np.testing.assert_allclose(again.joint.sum(axis=1), problem.input_law, rtol=1e-12)


def test_ascents_find_a_cluster_that_was_left_out_and_nothing_at_the_optimum():
    problem = random_problem(16, 3, 3)
    distortion = distortion_of(problem, 20.0)
    best = minimise(distortion, State(np.log(problem.input_law), problem.conditional), 1e-11, 5000)
    rows = problem.conditional
    assert len(new_points(distortion, normalisers(distortion, best), rows, best.state.points, 1e-6)) == 0
    for left_out in range(len(best.state.log_weight)):
        kept = np.arange(len(best.state.log_weight)) != left_out
        poorer = minimise(distortion, best.state.take(kept), 1e-11, 5000)
        log_z = normalisers(distortion, poorer)
        found = new_points(distortion, log_z, rows, poorer.state.points, 1e-6)
        assert (len(found) > 0) == (poorer.objective > best.objective + 1e-6)


def test_exponentials_that_underflow_do_not_matter():
    """At β = 1e6 every exponential but that of an input's own cluster is 0; far from all clusters all of them are."""
    problem = random_problem(6, 3, 1)
    own = State(np.log(problem.input_law), problem.conditional)
    assert sweep(distortion_of(problem, 1e6), own).objective == pytest.approx(
        -problem.input_law @ np.log(problem.input_law)
    )
    far = sweep(distortion_of(problem, 1e6), State(np.zeros(1), np.array([[1e-3, 1e-3, 1 - 2e-3]])))
    assert np.isfinite(far.objective)
    np.testing.assert_allclose(far.after.points[0], problem.target_law, rtol=1e-12)
