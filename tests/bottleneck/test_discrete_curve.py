import numpy as np
import pytest

from ntkinfo.bottleneck.certificate import log_ratio, peak
from ntkinfo.bottleneck.discrete import solve
from ntkinfo.bottleneck.discrete_curve import CurveInterrupted, bottleneck_curve
from ntkinfo.bottleneck.discrete_engine import BottleneckDistortion
from ntkinfo.bottleneck.discrete_search import SolverSettings
from ntkinfo.bottleneck.dual import DualDistortion
from ntkinfo.bottleneck.problems import binary_symmetric, erasure, random_problem, row_entropies, soft_twelve_bit_rule
from ntkinfo.core.progress import silent
from tests.known_bottlenecks import BIT, KNOWN


def curve_of(problem, accuracy=1e-3 * BIT, **more):
    return bottleneck_curve(problem, accuracy, progress=silent, **more)


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.name)
def test_bounds_enclose_the_known_curve(known):
    curve = curve_of(known.problem, 3e-3)
    given = np.linspace(0, 1.1 * known.problem.merged().input_entropy, 200)
    truth = known.curve(given)
    assert np.all(curve.lower(given) <= truth + 1e-9)
    assert np.all(curve.upper(given) >= truth - 1e-9)
    assert np.max(curve.upper(given) - curve.lower(given)) <= curve.gap + 1e-12
    assert curve.gap <= 3e-3
    assert curve.stop == "as accurate as asked for"


@pytest.mark.parametrize("problem", [random_problem(12, 2, 0), random_problem(9, 3, 1), soft_twelve_bit_rule(0.2)])
def test_no_encoder_is_above_and_mixtures_of_solutions_are_on_the_lower_bound(problem):
    curve = curve_of(problem, 2e-3)
    random = np.random.default_rng(0)
    for size, sharpness in ((2, 1.0), (4, 0.1), (7, 0.02)):
        classes = random.dirichlet(np.full(size, sharpness), size=int(problem.classes.max()) + 1)
        given, told = problem.information(classes[problem.classes])
        assert told <= curve.upper(given)
    for given in np.linspace(0, 0.999, 7) * problem.merged().input_entropy:
        encoder = curve.encoder_at(float(given))
        assert problem.information(encoder) == pytest.approx((given, float(curve.lower(given))), abs=1e-9)


def test_slope_is_one_over_beta_and_given_betas_are_solved():
    problem = binary_symmetric(0.1)
    curve = bottleneck_curve(problem, None, betas=[2.0, 3.0, 1.7, 5.0], progress=silent)
    assert curve.stop == "all given betas solved"
    np.testing.assert_allclose(curve.beta, [1.7, 2.0, 3.0, 5.0])
    assert np.all(np.diff(curve.information_input) > 0)
    for solution in curve.solutions:
        near = solve(problem, solution.beta * 1.001)
        slope = (near.information_target - solution.information_target) / (
            near.information_input - solution.information_input
        )
        assert 1 / slope == pytest.approx(solution.beta, rel=2e-3)
    fine = curve_of(problem, 1e-4)
    at = solve(problem, 2.5).information_input
    assert fine.beta_at(at) == pytest.approx(2.5, rel=0.1)


def test_point_limit_and_interruption_keep_what_is_finished():
    problem = soft_twelve_bit_rule(0.2)
    short = curve_of(problem, 1e-3, points=3)
    assert (len(short.solutions), short.stop) == (3, "as many points as allowed")
    assert short.gap > 1e-3

    def impatient(items, label, total=None):
        for number, item in enumerate(items):
            if number == 2:
                raise KeyboardInterrupt
            yield item

    with pytest.raises(CurveInterrupted) as caught:
        bottleneck_curve(problem, 1e-3, progress=impatient)
    partial = caught.value.partial
    assert len(partial.solutions) == 2
    given = np.linspace(0, 3, 50)
    assert np.all(partial.upper(given) >= short.lower(given) - 1e-9)


@pytest.mark.parametrize("targets", [2, 3, 4])
@pytest.mark.parametrize("kind", ["bottleneck", "dual"])
def test_bound_on_the_ratio_holds_everywhere(targets, kind):
    """For arbitrary normalisers, against ten thousand random laws and hill climbing from the best of them."""
    problem, random = random_problem(7, targets, 1), np.random.default_rng(targets)
    rows = problem.conditional
    distortion = (
        BottleneckDistortion(problem.input_law, rows, 7.0, -row_entropies(rows))
        if kind == "bottleneck"
        else DualDistortion(problem.input_law, np.log(rows), 7.0)
    )
    log_z = random.normal(scale=2, size=7)
    points = random.dirichlet(np.full(targets, 0.7), size=10_000)
    best = points[np.argmax(log_ratio(distortion, log_z, points))]
    for width in (0.1, 0.01, 1e-3, 1e-4):
        near = np.abs(best[None] + width * random.normal(size=(2000, targets)) * best[None])
        near = np.concatenate([best[None], near / near.sum(axis=1, keepdims=True)])
        best = near[np.argmax(log_ratio(distortion, log_z, near))]
    highest = float(log_ratio(distortion, log_z, best[None])[0])
    found = peak(distortion, log_z, 1e-4, 40_000, targets)
    assert found.upper >= highest - 1e-12
    assert found.lower <= found.upper
    if found.complete:
        assert found.upper <= max(highest, 0.0) + 3e-4
    assert found.complete or targets == 4
    loose = peak(distortion, log_z, 1e-4, 3, targets)
    assert loose.upper >= highest - 1e-12


def test_many_classes_keep_a_valid_if_loose_bound():
    problem = random_problem(8, 8, 2)
    curve = bottleneck_curve(problem, 0.05, settings=SolverSettings(cells=300), points=6, progress=silent)
    assert curve.stop in ("as many points as allowed", "certificates too loose to come closer")
    assert not all(solution.certified for solution in curve.solutions)
    for solution in curve.solutions:
        assert curve.upper(solution.information_input) >= solution.information_target


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bottleneck_curve(binary_symmetric(), None), "neither"),
        (lambda: bottleneck_curve(binary_symmetric(), 0.0), "accuracy"),
        (lambda: bottleneck_curve(binary_symmetric(), betas=[0.0]), "betas"),
        (lambda: curve_of(binary_symmetric()).upper(-1.0), "information_input"),
        (lambda: curve_of(binary_symmetric()).encoder_at(5.0), "ends at"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("lost", [0.1, 0.5])
def test_bounds_of_the_erasure_channel_meet(lost):
    """There G is 1 along a whole line, so that cells at its ends have to be far smaller than the others."""
    problem = erasure(lost)
    curve = bottleneck_curve(problem, accuracy=1e-4, progress=silent)
    assert curve.gap <= 1e-4
    at = np.linspace(0, problem.input_entropy, 20)
    np.testing.assert_allclose(curve.lower(at), (1 - lost) * at, atol=1e-12)
    assert np.all(curve.upper(at) >= (1 - lost) * at - 1e-12)
