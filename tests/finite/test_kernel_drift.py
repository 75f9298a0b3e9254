"""Tangent kernels of finite networks against neural_tangents, dense Jacobians and their limit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkinfo as ni
from ntkinfo.core.arrays import float64
from ntkinfo.core.records import Dataset
from ntkinfo.finite import kernel_drift
from ntkinfo.finite.kernel_drift import analytic_kernel, empirical_kernel, largest_eigenvalue, relative_change
from ntkinfo.finite.networks import member_network
from ntkinfo.kernels.neural_tangents_compat import empirical_ntk_fn, stax

X = np.random.default_rng(0).normal(size=(4, 3))
NETWORK = ni.FullyConnected(depth=2, activation="relu", w_std=1.4, b_std=0.2)


@pytest.mark.parametrize("held", [1 << 12, 1 << 25])
def test_kernel_is_that_of_neural_tangents(held, monkeypatch):
    """Whatever number of gradients is held at once."""
    monkeypatch.setattr(kernel_drift, "_GRADIENT_BYTES", held)
    network = member_network(NETWORK, X, 2, width=7)
    with float64():
        params = network.initialise(jax.random.key(1))
        found = np.asarray(empirical_kernel(network.apply, params, X))
        wanted = empirical_ntk_fn(lambda p, x: network.apply(p, x), trace_axes=(), vmap_axes=None)(X, None, params)
    assert found.shape == (8, 8)
    np.testing.assert_allclose(found.reshape(4, 2, 4, 2), np.moveaxis(np.asarray(wanted), 1, 2), rtol=1e-11, atol=1e-13)


def test_largest_eigenvalue():
    network = member_network(NETWORK, X, 2, width=7)
    with float64():
        params = network.initialise(jax.random.key(1))
        kernel = np.asarray(empirical_kernel(network.apply, params, X))
        found = largest_eigenvalue(network.apply, params, X)
    top = np.linalg.eigvalsh(kernel)[-1]
    assert found <= top * (1 + 1e-9)
    np.testing.assert_allclose(found, top, rtol=0.01)


def test_wide_networks_come_near_the_limit():
    """Mean over 40 starts of width 400 within four standard errors of Θ ⊗ I, entry by entry."""
    network, limit = member_network(NETWORK, X[:2], 2, width=400), analytic_kernel(NETWORK, X[:2], 2)
    data = Dataset(X[:2], np.eye(2), X[:1], np.eye(2)[:1])
    np.testing.assert_allclose(limit, np.kron(ni.kernel_blocks(NETWORK, data).train.ntk, np.eye(2)), rtol=1e-9)
    with float64():
        one = jax.jit(lambda key: empirical_kernel(network.apply, network.initialise(key), X[:2]))
        kernels = np.stack([one(jax.random.key(k)) for k in range(40)])
        change = [float(relative_change(jnp.asarray(k), jnp.asarray(limit))) for k in kernels]
    error = kernels.std(axis=0, ddof=1) / np.sqrt(40)
    assert np.all(np.abs(kernels.mean(axis=0) - limit) < 4.5 * error + 2 / 400)
    assert 0.01 < np.mean(change) < 0.2
    np.testing.assert_allclose(change[0], np.linalg.norm(kernels[0] - limit) / np.linalg.norm(limit), rtol=1e-12)


def test_functions_without_a_kernel_have_no_limit():
    triple = stax.serial(stax.Dense(3), stax.Erf(), stax.Dense(1))
    assert analytic_kernel(triple[:2], X, 1) is None
    assert analytic_kernel(triple, X, 1).shape == (4, 4)
