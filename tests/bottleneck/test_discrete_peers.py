"""Against dit, where it is installed: never below its points, above them where it stops early."""

import numpy as np
import pytest

from ntkinfo.bottleneck.discrete import solve
from ntkinfo.bottleneck.discrete_curve import bottleneck_curve
from ntkinfo.bottleneck.problems import binary_symmetric, random_problem
from ntkinfo.core.progress import silent

BIT = np.log(2)


@pytest.mark.slow
@pytest.mark.parametrize(("problem", "beta"), [(binary_symmetric(0.1), 3.0), (random_problem(4, 3, 0), 8.0)])
def test_blahut_arimoto_of_dit(problem, beta):
    module = pytest.importorskip("dit.rate_distortion.blahut_arimoto")
    np.random.seed(0)  # noqa: NPY002 (dit draws its start from the global generator)
    _, table = module.blahut_arimoto_ib(problem.input_law[:, None] * problem.conditional, beta)
    pair = table.sum(axis=1)
    given, told = problem.information(pair / pair.sum(axis=1, keepdims=True))
    found = solve(problem, beta)
    assert found.objective <= given - beta * told + 1e-9
    assert given - beta * told >= found.lower_bound - 1e-12


@pytest.mark.slow
def test_curve_of_dit():
    dit = pytest.importorskip("dit")
    rate_distortion = pytest.importorskip("dit.rate_distortion")
    problem = random_problem(4, 3, 0)
    np.random.seed(0)  # noqa: NPY002
    law = dit.Distribution.from_ndarray(problem.input_law[:, None] * problem.conditional)
    theirs = rate_distortion.IBCurve(law, rvs=[[0], [1]], beta_min=2.0, beta_max=20.0, beta_num=3)
    curve = bottleneck_curve(problem, 1e-4, progress=silent)
    given, told = theirs.complexities * BIT, theirs.relevances * BIT
    assert told.max() > 0.5 * problem.mutual_information
    assert np.all(told <= curve.upper(given) + 1e-9)
    assert np.all(told <= curve.lower(given) + curve.gap + 1e-9)
