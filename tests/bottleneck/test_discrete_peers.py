"""Against dit, where it is installed: its points are never above the certified bound."""

import numpy as np
import pytest

from ntkinfo.bottleneck.discrete import solve
from ntkinfo.bottleneck.discrete_curve import bottleneck_curve
from ntkinfo.bottleneck.problems import binary_symmetric, random_problem
from ntkinfo.core.progress import silent


@pytest.mark.slow
@pytest.mark.parametrize(("problem", "beta"), [(binary_symmetric(0.1), 3.0), (random_problem(4, 3, 0), 8.0)])
def test_blahut_arimoto_of_dit(problem, beta):
    module = pytest.importorskip("dit.rate_distortion.blahut_arimoto")
    np.random.seed(0)  # noqa: NPY002 (dit draws its start from the global generator)
    _, table = module.blahut_arimoto_ib(problem.input_law[:, None] * problem.conditional, beta)
    pair = table.sum(axis=1)
    given, told = problem.information(pair / pair.sum(axis=1, keepdims=True))
    curve = bottleneck_curve(problem, 1e-4, progress=silent)
    assert told <= curve.upper(given) + 1e-12
    assert given - beta * told >= solve(problem, beta).lower_bound - 1e-12
    assert given > 0.01
    assert told > 0.9 * curve.lower(given)
