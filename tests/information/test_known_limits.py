"""What is known beforehand of any value: bounds are clipped there, and infinity has no finite error."""

import numpy as np
import pytest

import ntkinfo as ni
from ntkinfo.core.progress import silent
from ntkinfo.core.records import Estimate
from ntkinfo.data.synthetic import GaussianPair
from ntkinfo.information.curves import information_curves
from ntkinfo.information.output import information_output
from ntkinfo.information.population import population_information
from ntkinfo.information.samples_pairwise import pairwise_activations


@pytest.mark.parametrize("outputs", [1, 5])
def test_bounds_of_the_label_stay_within_what_is_known(outputs):
    """At 0, at the entropy of the labels and at the bound of I(Z;X), for outputs and for activations with noise."""
    clipped = 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        mean, labels = 10 ** random.uniform(-1, 1) * random.normal(size=(30, outputs)), np.arange(30) % 3
        given, target = information_output(mean, np.ones(30), labels, samples=4)
        pairwise = pairwise_activations(mean, 1.0, labels)
        for lower, upper, above, entropy in (
            (target.lower, target.upper, given.upper, target.ceiling),
            (pairwise.target_lower, pairwise.target_upper, pairwise.input_upper, np.log(3)),
        ):
            assert 0 <= lower <= upper <= min(above, entropy + 1e-12)
            clipped += lower == 0 or upper == pytest.approx(entropy, abs=1e-12)
    assert clipped


def test_curves_say_where_bounds_are_clipped():
    curves = information_curves(
        ni.FullyConnected(depth=1),
        ni.data.wine(n_train=12, n_test=9),
        np.array([0.1, 1e3]),
        quantities=["information_target", "information_parameters_linear"],
        progress=silent,
    )
    assert "at 0" in curves["information_target_lower"].attrs["clipped"]
    assert "entropy of the labels" in curves["information_target_upper"].attrs["clipped"]


def test_infinity_has_an_infinite_error():
    assert Estimate(np.inf, 0.0, "exact").standard_error == np.inf
    array = Estimate(np.array([1.0, np.inf, -np.inf]), 0.5, "quadrature").standard_error
    assert array.tolist() == [0.5, np.inf, np.inf]
    assert Estimate(np.array([1.0, 2.0]), 0.5, "quadrature").standard_error == 0.5
    curves = information_curves(
        ni.FullyConnected(depth=1),
        ni.data.wine(n_train=12, n_test=9),
        np.array([0.1, np.inf]),
        progress=silent,
    )
    infinite = [
        name for name in curves.data_vars if f"{name}_standard_error" in curves and np.isinf(curves[name]).any()
    ]
    assert "information_parameters_linear" in infinite
    for name in infinite:
        assert np.isinf(curves[f"{name}_standard_error"].values[np.isinf(curves[name].values)]).all(), name


class _Law:
    """Outputs tanh(x) with noise."""

    times = np.array([1.0])

    def __init__(self, inputs):
        self._inputs = inputs

    def mean_at(self, chosen):
        return np.tanh(self._inputs[None, :, :1])

    def variance_at(self, chosen):
        return np.full((1, len(self._inputs)), 0.3)


def test_few_queries_fit_no_control_variates():
    """With two queries a batch and six controls, values ran from -0.38 to 0.71 about 0.39."""
    pair = GaussianPair((0.7, 0.3), np.eye(2), np.eye(2))
    for seed in range(40):
        found = population_information(_Law, pair, inputs=64, queries=2, seed=seed).information_input
        assert -0.1 < float(found.value[0]) < 1
