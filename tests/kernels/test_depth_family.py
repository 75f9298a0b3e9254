"""Kernels of all depths by one recursion: those of each network by itself."""

import numpy as np
import pytest

import ntkinfo as ni
from ntkinfo.core.progress import silent
from ntkinfo.core.records import Dataset
from ntkinfo.kernels import depth_family
from ntkinfo.kernels.activations import LeakyRelu
from ntkinfo.kernels.depth_family import depth_family_blocks


def data(features=5):
    """Inputs more than a tile, with a repeated one and one of zeros."""
    x = np.random.default_rng(0).standard_normal((140, features))
    x[1], x[2] = x[0], 0.0
    return Dataset(x[:131], x[:131, :1] + 1.0, x[131:], x[131:, :1])


@pytest.mark.parametrize(("activation", "b_std", "depths"), [("erf", 0.1, [1]), ("relu", 0.0, [0, 2])])
def test_every_depth_is_the_network_by_itself(activation, b_std, depths):
    network, inputs = ni.FullyConnected(depth=9, activation=activation, w_std=1.3, b_std=b_std), data()
    found = depth_family_blocks(network, inputs, depths)
    assert sorted(found) == depths
    for depth, blocks in found.items():
        alone = ni.FullyConnected(depth=depth, activation=activation, w_std=1.3, b_std=b_std)
        wanted = ni.kernel_blocks(alone, inputs, progress=silent)
        assert blocks.fingerprint == wanted.fingerprint
        for part in ("train", "test"):
            for name, values in vars(getattr(wanted, part)).items():
                other = getattr(getattr(blocks, part), name)
                np.testing.assert_allclose(other, values, rtol=0, atol=2e-14 * np.abs(values).max(), err_msg=name)
        for kernel in (blocks.train.nngp, blocks.train.ntk):
            np.testing.assert_array_equal(kernel, kernel.T)
            np.testing.assert_allclose(kernel[0], kernel[1], rtol=0, atol=1e-15 * np.abs(kernel).max())


def test_bad_input(monkeypatch):
    network = ni.FullyConnected()
    with pytest.raises(ValueError, match="depths is empty"):
        depth_family_blocks(network, data(), [])
    with pytest.raises(ValueError, match="depth is -1"):
        depth_family_blocks(network, data(), [-1])
    named = ni.FullyConnected(activation=LeakyRelu(0.5))
    with pytest.raises(ValueError, match="activation by name"):
        depth_family_blocks(named, data(), [1])
    monkeypatch.setattr(depth_family, "available_memory", lambda: 1e-6)
    with pytest.raises(MemoryError, match="kernels of 2 depths of 131 training and 9 test inputs needs"):
        depth_family_blocks(network, data(), [1])
