"""Where the gradient jumps the kernel moves by 1/√w: the closed form for one input beside trained networks."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntkinfo as ni
from ntkinfo.core.arrays import float64
from ntkinfo.finite.kernel_drift import empirical_kernel
from ntkinfo.finite.networks import has_kinks, member_network

X, TARGET = np.array([[0.8, -1.1, 0.3]]), 1.0
WIDTH, MEMBERS, STEP, STEPS = 1024, 256, 0.05, 300


@functools.cache
def moved(activation, width):
    """Change of the kernel at the one training input, and |f₀ − y|, of every member trained to the end."""
    with float64():
        network = ni.FullyConnected(depth=1, activation=activation, w_std=1.0, b_std=0.0)
        member = member_network(network, X, 1, width)

        def train(key):
            start = member.initialise(key)

            def descend(_, at):
                slopes = jax.grad(lambda p: 0.5 * jnp.sum((member.apply(p, X) - TARGET) ** 2))(at)
                return jax.tree.map(lambda p, slope: p - STEP * slope, at, slopes)

            end = jax.lax.fori_loop(0, STEPS, descend, start)
            kernels = [empirical_kernel(member.apply, at, X)[0, 0] for at in (start, end)]
            return kernels[1] - kernels[0], jnp.abs(member.apply(start, X)[0, 0] - TARGET)

        return np.asarray(jax.jit(jax.vmap(train))(jax.random.split(jax.random.key(width), MEMBERS)))


def leading_term(activation):
    """Coefficient of |f₀ − y| / √w in the mean change of the kernel, and its standard error.

    With a/√w + b/w at both widths, 4 E(4w) − E(w) = a/√w: the term in 1/w needs no allowance of its own.
    """
    found = []
    for width in (WIDTH, 4 * WIDTH):
        change, residual = moved(activation, width)
        scaled = change * np.sqrt(WIDTH)
        slope = np.mean(scaled) / np.mean(residual)
        found.append((slope, np.std(scaled - slope * residual) / np.mean(residual) / np.sqrt(MEMBERS)))
    (narrow, narrow_error), (wide, wide_error) = found
    return 4 * wide - narrow, np.hypot(4 * wide_error, narrow_error)


def test_relu_kernel_moves_by_one_over_root_width():
    """E[ΔΘ] = −√κ |f₀ − y| / (π √w) + O(1/w)."""
    found, error = leading_term("relu")
    wanted = -np.sqrt(np.sum(X**2) / X.shape[1]) / np.pi
    assert abs(found - wanted) < 4 * error
    assert abs(wanted) > 10 * error


def test_smooth_kernel_does_not():
    found, error = leading_term("erf")
    assert abs(found) < 4 * error
    assert error < 0.02


@pytest.mark.parametrize(("activation", "wanted"), [("relu", True), ("erf", False)])
def test_kinks_are_seen(activation, wanted):
    assert has_kinks(ni.FullyConnected(depth=2, activation=activation), X, 1, 32) is wanted
