"""Plain multilayer networks: forward pass and gradients against numpy written out, the start against its law."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from ntkinfo.core.arrays import float64
from ntkinfo.finite.layered import LayeredNetwork, flat_layers, layer_gradients

RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.normal(size=(9, 4))
LABELS = RANDOM.integers(0, 3, size=9)
ACT = {"tanh": np.tanh, "relu": lambda z: np.maximum(z, 0), "linear": lambda z: z}
SLOPE = {"tanh": lambda h: 1 - h**2, "relu": lambda h: (h > 0).astype(float), "linear": np.ones_like}


def network(**options):
    return LayeredNetwork(**{"sizes": (4, 5, 6, 3), **options})


def drawn(net, seed=1):
    with float64():
        start = net.initialise(jax.random.key(seed))
        # Biases away from 0, so that leaving them out would show.
        return tuple((np.asarray(w), np.asarray(b) + 0.1 * (1 + np.arange(len(b)))) for w, b in start)


def by_hand(net, parameters):
    """Activations, loss and back-propagated gradients in numpy."""
    hidden, values = [INPUTS], INPUTS
    for index, (weights, bias) in enumerate(parameters):
        values = values @ weights + bias
        if index < len(parameters) - 1:
            values = ACT[net.activation](values)
            hidden.append(values)
    hot = np.eye(3)[LABELS]
    soft = np.exp(values - values.max(1, keepdims=True))
    soft /= soft.sum(1, keepdims=True)
    entropy = net.loss == "cross entropy"
    loss = -np.log((soft * hot).sum(1)) if entropy else 0.5 * ((values - hot) ** 2).sum(1)
    delta = ((soft if entropy else values) - hot) / len(INPUTS)
    gradients = []
    for index in range(len(parameters) - 1, -1, -1):
        gradients.append(np.concatenate([(hidden[index].T @ delta).ravel(), delta.sum(0)]))
        delta = (delta @ parameters[index][0].T) * SLOPE[net.activation](hidden[index])
    return [*hidden[1:], soft if entropy else values], loss, gradients[::-1], np.mean(values.argmax(1) != LABELS)


@pytest.mark.parametrize("activation", ["tanh", "relu", "linear"])
@pytest.mark.parametrize("loss", ["cross entropy", "squared"])
def test_activations_loss_error_and_gradients_are_those_of_numpy(activation, loss):
    net = network(activation=activation, loss=loss)
    parameters = drawn(net)
    layers, losses, gradients, error = by_hand(net, parameters)
    with float64():
        for ours, theirs in zip(net.activations(parameters, INPUTS), layers, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-13)
        np.testing.assert_allclose(net.losses(parameters, INPUTS, LABELS), losses, atol=1e-13)
        np.testing.assert_allclose(net.error(parameters, INPUTS, LABELS), error)
        for ours, theirs in zip(layer_gradients(net, parameters, INPUTS, LABELS), gradients, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-13)


def test_sizes_of_the_published_network():
    net = LayeredNetwork()
    assert (net.n_layers, net.n_parameters) == (6, 12 * 10 + 10 * 7 + 7 * 5 + 5 * 4 + 4 * 3 + 3 * 2 + 31)
    assert [row.shape for row in flat_layers(net.initialise(jax.random.key(0)))] == [
        (130,), (77,), (40,), (24,), (15,), (8,)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("start", "law"),
    [
        ("truncated normal", stats.truncnorm(-2, 2, scale=1 / np.sqrt(30))),
        ("glorot", stats.uniform(-np.sqrt(6 / 70), 2 * np.sqrt(6 / 70))),
    ],
)
def test_weights_start_from_their_law_and_biases_at_zero(start, law):
    net = LayeredNetwork(sizes=(30, 40, 2), start=start)
    (weights, bias), (other, _) = net.initialise(jax.random.key(3))
    assert stats.kstest(np.asarray(weights, dtype=float).ravel(), law.cdf).pvalue > 0.01
    assert not np.any(bias)
    assert not np.any(np.asarray(weights).ravel()[:80] == np.asarray(other).ravel())


def test_an_output_that_is_right_for_every_input_has_no_error():
    net = LayeredNetwork(sizes=(3, 3))
    parameters = ((np.eye(3), np.zeros(3)),)
    labels = np.array([0, 1, 2])
    assert float(net.error(parameters, np.eye(3), labels)) == 0
    assert float(net.error(parameters, np.eye(3), np.array([0, 1, 1]))) == pytest.approx(1 / 3)
    assert np.all(np.asarray(net.losses(parameters, 40 * np.eye(3), labels)) < 1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sizes": (3,)}, "at least the number of inputs and of outputs"),
        ({"sizes": (3, 1)}, "at least 2"),
        ({"sizes": (3, 0, 2)}, "at least 1"),
        ({"activation": "tan"}, "did you mean 'tanh'"),
        ({"start": "normal"}, "not known"),
        ({"loss": "hinge"}, "not known"),
    ],
)
def test_bad_networks_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        LayeredNetwork(**options)


def test_data_that_do_not_fit_are_refused():
    net = network()
    net.check_data(INPUTS, LABELS)
    with pytest.raises(ValueError, match="as wide as the first"):
        net.check_data(INPUTS[:, :3], LABELS)
    with pytest.raises(ValueError, match="from 0 to 2"):
        net.check_data(INPUTS, LABELS + 3)
    with pytest.raises(TypeError, match="integers"):
        net.check_data(INPUTS, LABELS.astype(float))
    with pytest.raises(ValueError, match="NaN"):
        net.check_data(np.where(INPUTS > 0, np.nan, INPUTS), LABELS)


def test_precision_follows_the_parameters():
    net = network()
    assert net.activations(net.initialise(jax.random.key(0)), INPUTS.astype(np.float32))[0].dtype == jnp.float32
    with float64():
        assert net.activations(net.initialise(jax.random.key(0)), INPUTS)[0].dtype == jnp.float64
