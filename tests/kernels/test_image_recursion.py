"""Kernels of networks for images and their stated errors: in 60 digits, and by neural_tangents' composition."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

import ntkinfo as ni
from ntkinfo.core.arrays import float64
from ntkinfo.kernels.activations import LeakyRelu, NumericalActivation
from ntkinfo.kernels.architectures import Convolutional, WideResidual
from tests.kernels import image_truth

W = 1.3


def blocks_of(network, inputs):
    return ni.kernel_blocks(network, ni.Dataset(inputs, inputs[:, 0, 0, :1], inputs[:2], np.zeros((2, 1))))


def near_patches():
    """Images far apart whose first column is nearly the same."""
    random = np.random.default_rng(0)
    images = np.repeat(random.uniform(0.1, 1, (1, 3, 3, 1)), 3, axis=0)
    images[1:, :, 2] = random.uniform(0.1, 1, (2, 3, 1))
    images[1, 0, 0] += 1e-8
    images[2, 0, 0] += 3e-9
    return images


def blank():
    """All but one corner is 0; brighter and darker copies."""
    images = np.zeros((3, 3, 3, 1))
    images[:, 2, 2, 0] = 0.5, 1.5, 2.6
    return images


def gradients():
    ramp = np.linspace(0, 1, 9).reshape(3, 3, 1)
    return np.stack([ramp, ramp[::-1], 0.3 * ramp])


def tiny():
    return 1e-9 * np.random.default_rng(1).normal(size=(3, 3, 3, 1))


def plain():
    return np.random.default_rng(2).normal(size=(3, 3, 3, 2))


def right(network, one, other):
    """Both kernels of x with x, x' with x' and x with x'."""
    slope = network.activation.slope if isinstance(network.activation, LeakyRelu) else None
    dual = image_truth.leaky(slope) if slope is not None else getattr(image_truth, network.activation)
    truth = image_truth.Truth(dual, network.w_std, network.b_std)
    if isinstance(network, WideResidual):
        return truth.wide_residual(one, other, network.groups, network.readout)
    return truth.convolutional(one, other, network.depth, network.readout)


NETWORKS = [
    Convolutional(2, "relu", W, 0.2),
    Convolutional(1, "relu", W, 0.0, readout="average_pool"),
    Convolutional(1, LeakyRelu(-0.4), W, 0.1, readout="global_average_pool"),
    Convolutional(1, "erf", W, 0.1, readout="global_average_pool"),
    WideResidual(1, "relu", W, 0.1, groups=2, readout="flatten"),
]
# What the stated error may be: nearly parallel patches cost relu up to 2e-8 a layer.
IMAGES = {near_patches: 3e-7, tiny: 3e-7, blank: 1e-12, gradients: 1e-12, plain: 1e-12}


@pytest.mark.parametrize("make", IMAGES, ids=lambda make: make.__name__)
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.describe())
def test_stated_error_covers_the_true_one(network, make):
    inputs = make()
    blocks = blocks_of(network, inputs)
    with mp.workdps(60):
        for i, j in ((0, 1), (0, 2), (1, 1)):
            own, others, both = right(network, inputs[i], inputs[j])
            for k, found in enumerate((blocks.train.nngp, blocks.train.ntk)):
                off = abs(mp.mpf(float(found[i, j])) - both[k]) / mp.sqrt(own[k] * others[k])
                assert off <= min(blocks.kernel_error, 1e-8)
    assert blocks.kernel_error < IMAGES[make]
    if network == NETWORKS[0] and make in (near_patches, tiny):
        assert blocks.kernel_error > 1e-9  # measuring the change of last digits saw none of it: 5e-15
        assert any("kernels:" in note for note in blocks.notes)


@pytest.mark.parametrize(
    "network",
    [
        Convolutional(1, "gelu", W, 0.1, 2, 2, "CIRCULAR", "average_pool"),
        Convolutional(2, "sine", W, 0.1, 3, 2, "SAME", "flatten"),
        Convolutional(1, "tanh", W, 0.1, 3, 1, "VALID", "global_average_pool"),
        Convolutional(0, "erf", W, 0.1, readout="global_average_pool"),
    ],
    ids=lambda network: network.describe(),
)
def test_kernels_equal_the_composition_of_neural_tangents(network):
    inputs = np.random.default_rng(3).normal(size=(3, 4, 5, 2))
    blocks = blocks_of(network, inputs)
    with float64():
        kernel_fn = jax.jit(lambda a: tuple(network.layers()[2](a, None, ("nngp", "ntk"))))
        theirs = [np.asarray(kernel) for kernel in kernel_fn(inputs)]
    for found, want in zip((blocks.train.nngp, blocks.train.ntk), theirs, strict=True):
        np.testing.assert_allclose(found, want, rtol=1e-13, atol=1e-15)
    assert blocks.kernel_error < 1e-12


def test_a_series_in_convolutions_states_what_it_leaves_out():
    """tanh by 16 terms; patches that are equal get all of them."""
    inputs = 3 * near_patches()
    inputs[2] = inputs[0]
    inputs[2, :, 2] += 0.1
    cut = NumericalActivation("tanh", jnp.tanh, degree=16)
    series, whole = (blocks_of(Convolutional(1, function, 2.0, 0.1), inputs) for function in (cut, "tanh"))
    missed = 0.0
    for found, want in ((series.train.nngp, whole.train.nngp), (series.train.ntk, whole.train.ntk)):
        size = np.sqrt(np.multiply.outer(np.diag(want), np.diag(want)))
        missed = max(missed, np.max(np.abs(found - want) / size))
        np.testing.assert_allclose(np.diag(found), np.diag(want), rtol=1e-12)
    assert 1e-6 < missed <= series.kernel_error < 0.3
    assert any("kernels:" in note for note in series.notes)
    alike = np.full((2, 4, 4, 1), 0.7)
    alike[1, 3, 3] = 0.2
    fine = NumericalActivation("tanh", jnp.tanh, degree=128)
    assert blocks_of(Convolutional(1, fine, 1.0, 0.1), alike[:, :2, :2]).kernel_error < 1e-12


def test_the_stated_error_of_images_is_kept_with_the_panels(tmp_path):
    inputs = near_patches()
    data = ni.Dataset(inputs, inputs[:, 0, 0, :1], inputs[:2], np.zeros((2, 1)))
    first, second = (ni.kernel_blocks(NETWORKS[0], data, store=tmp_path) for _ in range(2))
    assert first.kernel_error == second.kernel_error > 1e-9
    np.testing.assert_array_equal(first.train.ntk, second.train.ntk)
