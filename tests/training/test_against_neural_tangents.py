"""Mean and covariance against `neural_tangents.predict.gradient_descent_mse_ensemble`."""

import numpy as np
import pytest

import ntkinfo as ni
from ntkinfo.core.arrays import float64
from ntkinfo.core.records import Dataset
from ntkinfo.kernels.neural_tangents_compat import predict
from tests.shared_data import mnist_files

TIMES = np.array([1e-3, 0.05, 2.0, np.inf])


def problem(name, outputs):
    options = {"n_train": 96, "n_test": 40, "seed": 1, "targets": "one-hot" if outputs == 10 else "parity"}
    return ni.data.digits(**options) if name == "digits" else ni.data.idx(*mnist_files(), **options)


def peer(network, data, get, ridge):
    """Mean and covariance by neural_tangents at each time: its loss is averaged over all the targets."""
    _, _, kernel_fn = network.layers()
    x_train, x_test = (x.reshape(len(x), -1) for x in (data.x_train, data.x_test))
    # Its ridge is in units of the mean diagonal of the kernel.
    diagonal = np.trace(np.asarray(kernel_fn(x_train, None, get))) / len(x_train)
    ensemble = predict.gradient_descent_mse_ensemble(kernel_fn, x_train, data.y_train, diag_reg=ridge / diagonal)
    for time in TIMES:
        t = None if np.isinf(time) else time * data.y_train.size
        yield ensemble(t=t, x_test=x_test, get=get, compute_cov=True)


@pytest.mark.parametrize("ridge", [0.0, 0.5])
@pytest.mark.parametrize("get", ["ntk", "nngp"])
@pytest.mark.parametrize(("name", "outputs"), [("digits", 1), ("digits", 10), ("mnist", 1), ("mnist", 10)])
def test_equals_gradient_descent_mse_ensemble(name, outputs, get, ridge):
    data = problem(name, outputs)
    network = ni.FullyConnected(depth=2, activation="erf", w_std=1.5, b_std=0.3)
    # Its NNGP law is that of an ensemble whose targets carry noise of the ridge's size.
    noise = ridge if get == "nngp" else 0.0
    procedure = ni.GradientFlow(ridge=ridge, tangent=get, target_noise_variance=noise)
    law = ni.output_distribution(ni.kernel_blocks(network, data), data, procedure, TIMES)
    with float64():
        for index, (mean, covariance) in enumerate(peer(network, data, get, ridge)):
            np.testing.assert_allclose(law.mean[index], mean, rtol=1e-8, atol=1e-8 * np.abs(mean).max())
            np.testing.assert_allclose(
                law.covariance(TIMES[index]), covariance, rtol=1e-8, atol=1e-8 * np.abs(covariance).max()
            )
            np.testing.assert_allclose(law.variance[index], np.diag(covariance), rtol=1e-8)


def test_an_all_zero_input_without_biases():
    """It solves with the singular kernel there; the right answer is that of the other inputs."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 5)), rng.normal(size=(12, 2))
    x[4], network = 0.0, ni.FullyConnected(depth=2, activation="relu", w_std=1.4, b_std=0.0)
    x_test = np.concatenate([rng.normal(size=(6, 5)), np.zeros((1, 5))])
    data = Dataset(x, y, x_test, np.zeros((7, 2)))
    law = ni.output_distribution(ni.kernel_blocks(network, data), data, ni.GradientFlow(), TIMES)
    keep = np.arange(12) != 4
    rest = Dataset(x[keep], y[keep], x_test, np.zeros((7, 2)))
    others = ni.output_distribution(ni.kernel_blocks(network, rest), rest, ni.GradientFlow(), TIMES)
    np.testing.assert_allclose(law.mean, others.mean, atol=1e-10)
    np.testing.assert_allclose(law.variance, others.variance, atol=1e-10)
    np.testing.assert_allclose(law.train.mean[:, keep], others.train.mean, atol=1e-10)
    np.testing.assert_allclose(law.train.mean[:, 4], 0.0, atol=1e-14)
    np.testing.assert_allclose(law.mean[:, -1], 0.0, atol=1e-14)
    np.testing.assert_allclose(law.variance[:, -1], 0.0, atol=1e-14)
    with float64():
        theirs = list(peer(network, data, "ntk", 0.0))[-1]
    assert not np.all(np.isfinite(np.asarray(theirs[0])))
