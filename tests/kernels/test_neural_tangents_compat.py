"""What neural-tangents computes, against closed forms, sampled networks and textbook linear algebra."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from ntkinfo.core.arrays import float64
from ntkinfo.kernels.neural_tangents_compat import (
    VERSION,
    Kernel,
    batch,
    linearize,
    predict,
    stax,
    taylor_expand,
)

W, B = 1.3, 0.4  # deviations of weights and biases


@pytest.fixture(autouse=True)
def _in_float64():
    with float64():
        yield


def inputs(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def dense(width):
    return stax.Dense(width, W_std=W, b_std=B)


def fully_connected(activation, depth=1, width=1, outputs=1):
    hidden = [layer for _ in range(depth) for layer in (dense(width), activation())]
    return stax.serial(*hidden, dense(outputs))


def convolutional(width=1, outputs=1):
    conv = stax.Conv(width, (3, 3), padding="SAME", W_std=W, b_std=B)
    return stax.serial(conv, stax.Relu(), stax.GlobalAvgPool(), dense(outputs))


def erf_dual(q1, q2, c):
    """E[erf(u) erf(v)] and E[erf'(u) erf'(v)] (Williams 1997)."""
    scale = (1 + 2 * q1) * (1 + 2 * q2)
    return 2 / np.pi * np.arcsin(2 * c / np.sqrt(scale)), 4 / np.pi / np.sqrt(scale - 4 * c**2)


def relu_dual(q1, q2, c):
    """E[relu(u) relu(v)] and E[relu'(u) relu'(v)] (Cho & Saul 2009)."""
    angle = np.arccos(np.clip(c / np.sqrt(q1 * q2), -1, 1))
    value = np.sqrt(q1 * q2) / (2 * np.pi) * (np.sin(angle) + (np.pi - angle) * np.cos(angle))
    return value, (np.pi - angle) / (2 * np.pi)


def recursion(x1, x2, dual, depth):
    """NNGP and NTK of a fully connected network, layer by layer."""

    def layer(gram):
        return W**2 * gram + B**2

    q1, q2 = (layer(np.mean(x**2, axis=1)) for x in (x1, x2))
    nngp = layer(x1 @ x2.T / x1.shape[1])
    ntk = nngp
    for _ in range(depth):
        value, slope = dual(q1[:, None], q2[None, :], nngp)
        q1, q2 = (layer(dual(q, q, q)[0]) for q in (q1, q2))
        nngp = layer(value)
        ntk = nngp + W**2 * slope * ntk
    return nngp, ntk


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize(("activation", "dual"), [(stax.Erf, erf_dual), (stax.Relu, relu_dual)])
def test_kernels_equal_the_closed_form_recursion(activation, dual, depth):
    x1, x2 = inputs(5, 7), inputs(4, 7, seed=1)
    _, _, kernel_fn = fully_connected(activation, depth)
    kernel = jax.jit(lambda a, b: kernel_fn(a, b, ("nngp", "ntk")))(x1, x2)
    nngp, ntk = recursion(x1, x2, dual, depth)
    np.testing.assert_allclose(kernel.nngp, nngp, rtol=1e-12)
    np.testing.assert_allclose(kernel.ntk, ntk, rtol=1e-12)
    assert kernel.ntk.dtype == np.float64


def test_relu_ntk_diagonal_keeps_half_the_digits_as_documented():
    x = inputs(5, 7)
    _, _, kernel_fn = fully_connected(stax.Relu, 3)
    error = np.abs(np.diag(kernel_fn(x, None, "ntk")) / np.diag(recursion(x, x, relu_dual, 3)[1]) - 1)
    assert error.max() < 1e-6


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (fully_connected(stax.Erf, width=64), (3, 6)),
        (fully_connected(stax.Relu, width=64), (3, 6)),
        (convolutional(width=32), (2, 4, 4, 2)),
    ],
)
def test_kernels_equal_the_average_over_finite_networks(network, shape):
    """With one hidden layer the average of the finite-width kernels is the infinite one at every width."""
    init_fn, apply_fn, kernel_fn = network
    x = jnp.asarray(inputs(*shape))

    def one_network(key):
        _, params = init_fn(key, (-1, *shape[1:]))
        jacobian = jax.jacobian(lambda p: apply_fn(p, x)[:, 0])(params)
        flat = jnp.concatenate([leaf.reshape(len(x), -1) for leaf in jax.tree.leaves(jacobian)], axis=1)
        outputs = apply_fn(params, x)[:, 0]
        return jnp.outer(outputs, outputs), flat @ flat.T

    samples = 4000
    kernel = kernel_fn(x, None, ("nngp", "ntk"))
    sampled = jax.jit(jax.vmap(one_network))(jax.random.split(jax.random.PRNGKey(3), samples))
    for values, exact in zip(sampled, (kernel.nngp, kernel.ntk), strict=True):
        error = np.std(values, axis=0) / np.sqrt(samples)
        assert np.all(error < 0.05 * np.max(exact))
        assert np.all(np.abs(np.mean(values, axis=0) - exact) < 5 * error)


def regression(n=6, m=4, outputs=2):
    x, x_test, y = inputs(n, 5), inputs(m, 5, seed=1), inputs(n, outputs, seed=2)
    _, _, kernel_fn = fully_connected(stax.Erf)
    return kernel_fn, x, x_test, y


def decay(ntk, y, t, ridge=0.0):
    """exp(-Θ t / (n C)) with the library's scale of the mean squared loss and of the ridge."""
    regularised = ntk + ridge * np.trace(ntk) / len(ntk) * np.eye(len(ntk))
    return regularised, scipy.linalg.expm(-regularised * t / y.size)


@pytest.mark.parametrize("ridge", [0.0, 0.3])
def test_gradient_descent_mse_equals_the_matrix_exponential(ridge):
    kernel_fn, x, x_test, y = regression()
    ntk, cross = kernel_fn(x, None, "ntk"), kernel_fn(x_test, x, "ntk")
    start, start_test = inputs(*y.shape, seed=3), inputs(4, 2, seed=4)
    predict_fn = predict.gradient_descent_mse(ntk, y, diag_reg=ridge)
    times = np.array([0.0, 3.0, 400.0])
    train, test = predict_fn(times, start, start_test, cross)
    for i, t in enumerate(times):
        matrix, gone = decay(np.asarray(ntk), y, t, ridge)
        np.testing.assert_allclose(train[i], y + gone @ (start - y), atol=1e-11)
        moved = np.linalg.solve(matrix, (np.eye(len(y)) - gone) @ (y - start))
        np.testing.assert_allclose(test[i], start_test + cross @ moved, atol=1e-10)
    _, converged = predict_fn(None, start, start_test, cross)
    np.testing.assert_allclose(converged, start_test + cross @ np.linalg.solve(matrix, y - start), atol=1e-10)


@pytest.mark.parametrize("t", [0.0, 25.0, None])
def test_ensemble_equals_the_matrix_exponential(t):
    kernel_fn, x, x_test, y = regression()
    ensemble = predict.gradient_descent_mse_ensemble(kernel_fn, x, y, diag_reg=1e-3)
    law = ensemble(t=t, x_test=x_test, get="ntk", compute_cov=True)
    train, cross, test = (kernel_fn(a, b, ("nngp", "ntk")) for a, b in [(x, None), (x_test, x), (x_test, None)])
    matrix, gone = decay(np.asarray(train.ntk), y, 0.0 if t is None else t, 1e-3)
    gone = np.zeros_like(gone) if t is None else gone
    weights = np.asarray(cross.ntk) @ np.linalg.solve(matrix, np.eye(len(y)) - gone)
    mixed = weights @ np.asarray(cross.nngp).T
    covariance = test.nngp - mixed - mixed.T + weights @ train.nngp @ weights.T
    np.testing.assert_allclose(law.mean, weights @ y, atol=1e-10)
    np.testing.assert_allclose(law.covariance, covariance, atol=1e-10)


def test_nngp_posterior_equals_gaussian_process_regression():
    kernel_fn, x, x_test, y = regression()
    ensemble = predict.gradient_descent_mse_ensemble(kernel_fn, x, y, diag_reg=0.1, diag_reg_absolute_scale=True)
    law = ensemble(x_test=x_test, get="nngp", compute_cov=True)
    cross = np.asarray(kernel_fn(x_test, x, "nngp"))
    solved = np.linalg.solve(kernel_fn(x, None, "nngp") + 0.1 * np.eye(len(x)), np.hstack([y, cross.T]))
    np.testing.assert_allclose(law.mean, cross @ solved[:, :2], atol=1e-10)
    np.testing.assert_allclose(law.covariance, kernel_fn(x_test, None, "nngp") - cross @ solved[:, 2:], atol=1e-10)


@pytest.mark.parametrize("t", [25.0, None])
@pytest.mark.parametrize("get", ["ntk", "nngp"])
def test_ensemble_called_first_inside_jit_leaves_no_trace(t, get):
    kernel_fn, x, x_test, y = regression()
    expected = predict.gradient_descent_mse_ensemble(kernel_fn, x, y)(t=t, x_test=x_test, get=get, compute_cov=True)
    ensemble = predict.gradient_descent_mse_ensemble(kernel_fn, x, y)
    inside = jax.jit(lambda points: ensemble(t=t, x_test=points, get=get, compute_cov=True))(x_test)
    outside = ensemble(t=t, x_test=x_test, get=get, compute_cov=True)
    for law in (inside, outside):
        np.testing.assert_allclose(law.mean, expected.mean, atol=1e-10)
        np.testing.assert_allclose(law.covariance, expected.covariance, atol=1e-10)


def test_prediction_built_inside_jit_and_vmap_from_traced_kernels():
    kernel_fn, x, _, y = regression()
    ntk = kernel_fn(x, None, "ntk")

    def train(kernel, t):
        return predict.gradient_descent_mse(kernel, y)(t, 0.0, None, None)

    expected = np.stack([y - decay(s * np.asarray(ntk), y, 5.0)[1] @ y for s in (1.0, 2.0)])
    np.testing.assert_allclose(jax.jit(train)(ntk, 5.0), expected[0], atol=1e-11)
    both = jax.vmap(train, in_axes=(0, None))(jnp.stack([ntk, 2 * ntk]), 5.0)
    np.testing.assert_allclose(both, expected, atol=1e-11)


def test_gradient_descent_by_ode_equals_the_closed_form():
    kernel_fn, x, _, y = regression()
    ntk = kernel_fn(x, None, "ntk")
    by_ode = predict.gradient_descent(lambda f, target: 0.5 * jnp.mean((f - target) ** 2), ntk, y)
    np.testing.assert_allclose(by_ode(10.0), predict.gradient_descent_mse(ntk, y)(10.0), atol=1e-6)


def test_largest_learning_rate():
    kernel_fn, x, _, y = regression()
    ntk = np.asarray(kernel_fn(x, None, "ntk"))
    expected = 2 * y.size / np.linalg.eigvalsh(ntk)[-1]
    assert predict.max_learning_rate(jnp.asarray(ntk), y.size) == pytest.approx(expected, rel=1e-10)


def test_null_direction_gives_nan_as_documented():
    x = inputs(4, 3)
    x[0] = 0
    _, _, kernel_fn = stax.serial(stax.Dense(1), stax.Erf(), stax.Dense(1))
    ensemble = predict.gradient_descent_mse_ensemble(kernel_fn, x, inputs(4, 1, seed=1))
    assert np.all(np.isnan(ensemble(t=1.0, x_test=inputs(2, 3, seed=2), get="ntk")))


def test_linearize_and_taylor_expansion_equal_nested_derivatives():
    init_fn, apply_fn, _ = fully_connected(stax.Erf, depth=2, width=16, outputs=2)
    x = inputs(3, 5)
    _, centre = init_fn(jax.random.PRNGKey(0), (-1, 5))
    params = jax.tree.map(lambda leaf: leaf + 0.3 * jnp.cos(jnp.arange(leaf.size)).reshape(leaf.shape), centre)
    step = jax.tree.map(lambda a, b: a - b, params, centre)

    def along(s):
        return apply_fn(jax.tree.map(lambda c, d: c + s * d, centre, step), x)

    def slope(s):
        return jax.jvp(along, (s,), (1.0,))[1]

    curvature = jax.jvp(slope, (0.0,), (1.0,))[1]
    first = along(0.0) + slope(0.0)
    np.testing.assert_allclose(linearize(apply_fn, centre)(params, x), first, atol=1e-12)
    np.testing.assert_allclose(jax.jit(linearize(apply_fn, centre))(params, x), first, atol=1e-12)
    np.testing.assert_allclose(taylor_expand(apply_fn, centre, 2)(params, x), first + curvature / 2, atol=1e-12)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(("network", "shape"), [(fully_connected(stax.Relu, 2), (5,)), (convolutional(), (4, 4, 2))])
def test_batch_equals_the_whole_kernel(network, shape, symmetric):
    kernel_fn = network[2]
    x1, x2 = inputs(6, *shape), None if symmetric else inputs(4, *shape, seed=1)
    whole, tiled = kernel_fn(x1, x2), batch(kernel_fn, batch_size=2)(x1, x2)
    assert isinstance(tiled, Kernel)
    np.testing.assert_allclose(tiled.nngp, whole.nngp, rtol=1e-12)
    np.testing.assert_allclose(tiled.ntk, whole.ntk, rtol=1e-7)  # the relu NTK's diagonal
    assert tiled.shape1 == whole.shape1
    assert bool(tiled.x1_is_x2) is symmetric


def test_batch_says_that_a_part_is_not_the_whole():
    kernel_fn = fully_connected(stax.Erf)[2]
    x = inputs(4, 3)
    assert not batch(kernel_fn, 2)(x, x[:2]).x1_is_x2
    assert batch(kernel_fn, 2)(x, x.copy()).x1_is_x2


@pytest.mark.parametrize(("n1", "n2"), [(5, None), (6, 5), (1, None)])
def test_batch_refuses_numbers_of_inputs_that_do_not_fit(n1, n2):
    kernel_fn = fully_connected(stax.Erf)[2]
    x2 = None if n2 is None else inputs(n2, 3)
    with pytest.raises(ValueError, match=r"cannot be split into batches of 2 .* must be a multiple of 2"):
        batch(kernel_fn, batch_size=2, device_count=0)(inputs(n1, 3), x2)


def test_batch_refuses_shared_inputs_under_dropout():
    kernel_fn = stax.serial(stax.Dense(1), stax.Dropout(0.5), stax.Dense(1))[2]
    x = inputs(4, 3)
    tiled = batch(kernel_fn, batch_size=2)
    np.testing.assert_allclose(tiled(x, None, "ntk"), kernel_fn(x, None, "ntk"), rtol=1e-12)
    np.testing.assert_allclose(tiled(x, x + 1, "ntk"), kernel_fn(x, x + 1, "ntk"), rtol=1e-12)
    with pytest.raises(ValueError, match="dropout"):
        tiled(x, x[:2])


def test_batch_of_a_kernel():
    first, second = fully_connected(stax.Erf)[2], stax.serial(stax.Erf(), dense(1))[2]
    x = inputs(4, 3)
    np.testing.assert_allclose(batch(second, 2)(first(x)).ntk, second(first(x)).ntk, rtol=1e-12)
    with pytest.raises(ValueError, match="must be a multiple of 3"):
        batch(second, 3)(first(x))


def test_version():
    import neural_tangents

    assert neural_tangents.__version__ == VERSION
