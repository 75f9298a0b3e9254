"""The parameters' relative entropy beside its bound, and in the data set of a comparison."""

import numpy as np
import pytest

import ntkinfo as ni
from ntkinfo.core.progress import silent
from ntkinfo.core.records import Dataset
from ntkinfo.finite.comparison_parameters import parameters_beside_bound
from ntkinfo.finite.parameter_information import MemberSettings

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(4, 3)), 0.7 * RANDOM.normal(size=(4, 1))
GOLDEN = Dataset(X, Y, X[:1], Y[:1])
NETWORK = ni.FullyConnected(depth=1, activation="erf", w_std=1.5, b_std=0.0)
FEW = MemberSettings(members=96, trace="probes", measure_step_error=False)


def test_golden_case_lies_above_its_bound():
    """theory §5: at t = 0.6 the function on the training inputs has 4.716770, the parameters 4.936 ± 0.043."""
    found = parameters_beside_bound(NETWORK, GOLDEN, np.array([0.3, 0.6]), width=96, settings=FEW, progress=silent)
    assert found.bound[1] == pytest.approx(4.716770, abs=1e-6)
    assert abs(found.value.value[1] - 4.936) < 4 * np.hypot(found.value.standard_error[1], 0.043)
    assert np.all(found.score > -3)
    assert found.members == 96
    few = MemberSettings(members=4, trace="probes", measure_step_error=False)
    times = 4 * np.array([0.3, 0.6])
    mean = parameters_beside_bound(NETWORK, GOLDEN, times, width=8, loss="mean", settings=few, progress=silent)
    np.testing.assert_allclose(mean.bound, found.bound, rtol=1e-9)


def test_bad_input():
    with pytest.raises(ValueError, match="leave it out"):
        parameters_beside_bound(NETWORK, GOLDEN, np.array([0.0, 0.1]), width=8, settings=FEW)
    relu = ni.FullyConnected(depth=1, activation="relu")
    with pytest.raises(ValueError, match="gradient jumps"):
        parameters_beside_bound(relu, GOLDEN, np.array([0.1]), width=8, settings=FEW)
