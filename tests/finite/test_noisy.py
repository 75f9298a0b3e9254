import itertools

import jax
import numpy as np
import optax
import pytest

from ntkinfo.core.arrays import float64
from ntkinfo.core.progress import silent
from ntkinfo.finite.noisy import NoisyNetwork, NoisyTraining, noisy_information, train_noisy
from ntkinfo.finite.sample_propagation import PropagationSettings, first_layer_information
from ntkinfo.finite.trainer import TrainerSettings

RNG = np.random.default_rng(2)
X, Y = RNG.normal(size=(40, 3)), RNG.integers(2, size=40)
SIGNS = (X[:, 0] > 0).astype(int)


def parameters(network, seed=0):
    with float64():
        return jax.tree.map(np.asarray, network.initialise(jax.random.key(seed)))


@pytest.mark.parametrize(("activation", "function"), [("tanh", np.tanh), ("relu", lambda v: np.maximum(v, 0))])
def test_forward_without_noise_against_numpy(activation, function):
    network = NoisyNetwork((3, 5, 4, 2), activation, noise_std=0.0)
    params, values = parameters(network), X
    for (weights, biases), layer in zip(params[:-1], network.activations(params, X), strict=True):
        values = function(values @ weights + biases)
        np.testing.assert_allclose(layer, values, atol=1e-13)
    with float64():
        logits = network.forward(params, X, jax.random.key(0))[1]
    np.testing.assert_allclose(logits, values @ params[-1][0] + params[-1][1], atol=1e-13)
    assert np.std(params[0][0]) == pytest.approx(1 / np.sqrt(3), rel=0.6)


def test_noise_enters_at_every_hidden_layer():
    """Linear layers: S₂ given x has covariance β² W₂ᵀW₂, S₃ has β² (W₃ᵀW₂ᵀW₂W₃ + W₃ᵀW₃); the first has none."""
    network = NoisyNetwork((3, 4, 3, 2, 2), "linear", noise_std=0.5)
    params = parameters(network)
    first, second, third = network.passes(params, X[:2], 6_000, seed=3)
    assert np.ptp(first, axis=1).max() == 0
    two, three = params[1][0], params[2][0]
    wanted = [0.25 * two.T @ two, 0.25 * (three.T @ two.T @ two @ three + three.T @ three)]
    for layer, covariance in zip((second, third), wanted, strict=True):
        found = np.cov(layer[0].T)
        scale = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
        assert np.all(np.abs(found - covariance) < 5 * scale * np.sqrt(2 / 6_000))
    # Passes of different inputs have their own noise.
    apart = third - third.mean(axis=1, keepdims=True)
    assert abs(np.corrcoef(apart[0, :, 0], apart[1, :, 0])[0, 1]) < 5 / np.sqrt(6_000)


def test_one_step_of_training_by_hand():
    """Full batch, no noise: the step of gradient descent on the mean cross-entropy, by differences."""
    network = NoisyNetwork((3, 2, 2), noise_std=0.0)
    training = NoisyTraining([0, 1], optax.sgd(0.3))
    run = train_noisy(network, (X, Y), training, TrainerSettings(members=2), progress=silent)
    before, after = run.at(0, 1), run.at(1, 1)

    def loss(params):
        logits = np.tanh(X @ params[0][0] + params[0][1]) @ params[1][0] + params[1][1]
        return np.mean(np.log(np.sum(np.exp(logits), axis=1)) - logits[np.arange(40), Y])

    assert run.loss[0, 1] == pytest.approx(loss(before), abs=1e-12)
    for layer, kind in ((0, 0), (0, 1), (1, 0), (1, 1)):
        place = (0,) * before[layer][kind].ndim
        slopes = []
        for change in (1e-6, -1e-6):
            moved = [[array.copy() for array in pair] for pair in before]
            moved[layer][kind][place] += change
            slopes.append(loss(moved))
        slope = (slopes[0] - slopes[1]) / 2e-6
        assert after[layer][kind][place] - before[layer][kind][place] == pytest.approx(-0.3 * slope, abs=1e-8)
    logits = np.tanh(X @ before[0][0] + before[0][1]) @ before[1][0] + before[1][1]
    assert run.error[0, 1] == pytest.approx(np.mean(np.argmax(logits, axis=1) != Y))


@pytest.fixture(scope="module")
def run():
    training = NoisyTraining([0, 10, 400], optax.adam(0.03), batch_size=16)
    return train_noisy(NoisyNetwork((3, 4, 3, 2)), (X, SIGNS), training, TrainerSettings(2), (X, SIGNS), silent)


def test_training_learns_and_records(run):
    assert run.loss.shape == run.error.shape == run.test_error.shape == (3, 2)
    assert np.all(run.loss[-1] < 0.5 * run.loss[0])
    assert np.all(run.error[-1] < 0.15)
    assert np.all(run.test_error[-1] < 0.15)
    assert run.at(0, 0)[0][0][0, 0] != run.at(0, 1)[0][0][0, 0]
    drawn = parameters(run.network)
    assert jax.tree.map(np.shape, run.at(1, 1)) == jax.tree.map(np.shape, drawn)


@pytest.mark.slow
def test_single_precision_starts_from_the_same_members(run):
    settings = TrainerSettings(2, precision="float32")
    single = train_noisy(run.network, (X, SIGNS), NoisyTraining([0, 5]), settings, None, silent)
    assert single.test_error is None
    assert single.at(0, 0)[0][0].dtype == np.float32
    np.testing.assert_allclose(single.at(0, 1)[0][0], run.at(0, 1)[0][0], rtol=1e-6)


def test_informations_of_a_linear_network():
    """Orthogonal layers keep the noise isotropic: layer k is one Gaussian channel of variance β² (1 + w² + … )."""
    network, scale = NoisyNetwork((2, 2, 2, 2, 2), "linear", noise_std=0.4), 1.2
    params = parameters(network)
    turns = [scale * np.linalg.qr(RNG.normal(size=(2, 2)))[0] for _ in range(3)]
    params = [(turn, biases) for turn, (_, biases) in zip(turns, params, strict=False)] + [params[-1]]
    settings = PropagationSettings(passes=300, shared_passes=40, draws=30)
    found = noisy_information(network, params, X[:, :2], Y, settings)
    centres, variance = X[:, :2], 0.0
    for layer, one in enumerate(found):
        centres, variance = centres @ turns[layer], scale**2 * variance + 0.16
        truth = first_layer_information(centres, float(np.sqrt(variance)), Y)
        for mine, other in (
            (one.information_input, truth.information_input),
            (one.information_target, truth.information_target),
        ):
            error = np.hypot(mine.standard_error, other.standard_error) + 1e-9
            assert abs(mine.value - other.value) < 4.5 * error
            assert mine.standard_error < 0.05
    # The first layer has nothing to propagate: it is exact.
    assert found[0].information_input.meaning == "quadrature"


def test_data_processing_through_a_trained_network(run):
    layers = noisy_information(run.network, run.at(2, 0), X, SIGNS, PropagationSettings(128, 64, 8))
    for before, after in itertools.pairwise(layers):
        error = np.hypot(before.information_input.standard_error, after.information_input.standard_error)
        assert after.information_input.value < before.information_input.value + 3 * error
    for layer in layers:
        error = layer.information_target.standard_error + layer.information_input.standard_error
        assert layer.information_target.value < layer.information_input.value + 3 * error
        assert -3 * error < layer.information_target.value < np.log(2) + 3 * error


def test_bad_input():
    network = NoisyNetwork((3, 4, 2))
    with pytest.raises(ValueError, match="noise_std is 0"):
        noisy_information(NoisyNetwork((3, 4, 2), noise_std=0.0), parameters(network), X, Y)
    with pytest.raises(ValueError, match="classes 0 to 1"):
        train_noisy(network, (X, Y + 1), NoisyTraining([0]), progress=silent)
    with pytest.raises(TypeError, match="whole numbers"):
        train_noisy(network, (X, Y.astype(float)), NoisyTraining([0]), progress=silent)
    with pytest.raises(ValueError, match="train inputs has shape"):
        train_noisy(network, (X[:, :2], Y), NoisyTraining([0]), progress=silent)
    with pytest.raises(ValueError, match="at least one hidden layer"):
        NoisyNetwork((3, 2))
    with pytest.raises(ValueError, match="did you mean 'tanh'"):
        NoisyNetwork((3, 2, 2), "tan")
