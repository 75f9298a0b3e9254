"""Where the gradient jumps the kernel moves by 1/√w: the closed form for one input beside trained networks."""

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


def moved(activation):
    """Change of the kernel at the one training input, and |f₀ − y|, of every member trained to the end."""
    with float64():
        network = ni.FullyConnected(depth=1, activation=activation, w_std=1.0, b_std=0.0)
        member = member_network(network, X, 1, WIDTH)

        def train(key):
            start = member.initialise(key)

            def descend(_, at):
                slopes = jax.grad(lambda p: 0.5 * jnp.sum((member.apply(p, X) - TARGET) ** 2))(at)
                return jax.tree.map(lambda p, slope: p - STEP * slope, at, slopes)

            end = jax.lax.fori_loop(0, STEPS, descend, start)
            kernels = [empirical_kernel(member.apply, at, X)[0, 0] for at in (start, end)]
            return kernels[1] - kernels[0], jnp.abs(member.apply(start, X)[0, 0] - TARGET)

        return np.asarray(jax.jit(jax.vmap(train))(jax.random.split(jax.random.key(0), MEMBERS)))


def test_relu_kernel_moves_by_one_over_root_width():
    """E[ΔΘ] = −√κ |f₀ − y| / (π √w), but for terms in 1/w (kernels are about 1); a kernel that stays is told apart."""
    change, residual = moved("relu")
    wanted = -np.sqrt(np.sum(X**2) / X.shape[1]) * residual / (np.pi * np.sqrt(WIDTH))
    allowed = 4 * np.std(change - wanted) / np.sqrt(MEMBERS) + 2 / WIDTH
    assert abs(np.mean(change - wanted)) < allowed < 0.5 * abs(np.mean(change))


def test_smooth_kernel_moves_by_less():
    change, residual = moved("erf")
    assert abs(np.mean(change)) < 0.1 * np.mean(residual) / (np.pi * np.sqrt(WIDTH))


@pytest.mark.parametrize(("activation", "wanted"), [("relu", True), ("erf", False)])
def test_kinks_are_seen(activation, wanted):
    assert has_kinks(ni.FullyConnected(depth=2, activation=activation), X, 1, 32) is wanted
