import pytest

import ntkinfo as ni
from ntkinfo.core.progress import silent
from ntkinfo.generalization import measure_all
from tests.known_measures import PROBLEMS


@pytest.fixture(scope="session")
def results():
    """All the measures of every problem."""
    return {
        problem.name: measure_all(
            ni.output_distribution(problem.model.blocks, problem.data, problem.procedure, problem.times),
            curves=problem.curves,
            settings=problem.settings,
            progress=silent,
        )
        for problem in PROBLEMS
    }
