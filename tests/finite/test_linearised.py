"""The expansion of a network around its start."""

import jax
import jax.numpy as jnp
import numpy as np

import ntkinfo as ni
from ntkinfo.core.arrays import float64
from ntkinfo.finite.linearised import linearised
from ntkinfo.finite.networks import member_network
from ntkinfo.kernels.neural_tangents_compat import linearize

X = np.random.default_rng(0).normal(size=(5, 3))


def test_expansion_is_value_and_jacobian_and_that_of_neural_tangents():
    network = member_network(ni.FullyConnected(depth=2, activation="erf"), X, 2, width=6)
    with float64():
        start, other = (network.initialise(jax.random.key(k)) for k in range(2))
        found = linearised(network.apply)(other, start, X)
        jacobian = jax.jacobian(lambda p: network.apply(p, X))(start)
        wanted = network.apply(start, X)
        for slope, now, then in zip(*map(jax.tree.leaves, (jacobian, other, start)), strict=True):
            wanted = wanted + jnp.tensordot(slope, now - then, axes=now.ndim)
        np.testing.assert_allclose(found, wanted, rtol=1e-12)
        np.testing.assert_allclose(found, linearize(network.apply, start)(other, X), rtol=1e-12)
        np.testing.assert_array_equal(linearised(network.apply)(start, start, X), network.apply(start, X))
        assert np.abs(found - network.apply(other, X)).max() > 0.1
