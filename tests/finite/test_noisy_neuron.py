import numpy as np
import pytest

from ntkinfo.core.progress import silent
from ntkinfo.finite.noisy_neuron import LIMIT, NeuronTraining, neuron_information, train_neuron
from ntkinfo.finite.trainer import TrainerSettings

BIT = np.log(2)


@pytest.mark.parametrize(("weight", "bits"), [(0.1, 1.1508), (0.3, 1.6884), (1.0, 1.2191), (5.0, 0.8113)])
def test_published_values(weight, bits):
    estimate = neuron_information(weight, -2 * weight, 0.1)
    assert estimate.value == pytest.approx(bits * BIT, abs=5.1e-5 * BIT)
    assert estimate.meaning == "quadrature"


def test_limits():
    assert pytest.approx(0.811278 * BIT, abs=1e-6) == LIMIT
    assert neuron_information(50.0, -100.0, 0.1).value == pytest.approx(LIMIT, abs=1e-8)
    assert neuron_information(0.0, 0.0, 0.1).value == pytest.approx(0, abs=1e-9)


def test_information_rises_and_falls_while_the_weight_grows():
    steps = np.unique(np.concatenate([[0], np.geomspace(1, 20_000, 20)]).astype(int))
    path = train_neuron(NeuronTraining(steps), TrainerSettings(members=4), progress=silent)
    information = path.information.value
    peak = information.max(axis=0)
    assert np.all(path.weight[-1] > 1.5)
    assert np.all(path.weight[-1] > path.weight[0])
    assert np.all(information[0] < 0.5 * peak)
    assert np.all(peak > 1.45 * BIT)
    assert np.all(information[-1] < 0.9 * BIT)
    assert np.all(information[-1] > LIMIT - 1e-3)
    assert np.all(path.information.standard_error < 1e-9)
    # Noise is part of training: members differ.
    assert np.ptp(path.weight[-1]) > 0


def test_bad_input():
    with pytest.raises(ValueError, match="greater than 0"):
        NeuronTraining([0], noise_std=0.0)
    with pytest.raises(ValueError, match="greater than 0"):
        neuron_information(1.0, 0.0, 0.0)
