import dataclasses
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.special import erf

from ntkinfo.core.arrays import float64
from ntkinfo.kernels.architectures import (
    Convolutional,
    FullyConnected,
    LeakyRelu,
    NumericalActivation,
    StaxNetwork,
    WideResidual,
)
from ntkinfo.kernels.neural_tangents_compat import stax
from tests.kernels import closed_forms


def kernels(network, x1, x2=None):
    with float64():
        kernel_fn = network.layers()[2]
        return [np.asarray(k) for k in jax.jit(lambda a, b: tuple(kernel_fn(a, b, ("nngp", "ntk"))))(x1, x2)]


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    return rng.normal(size=(5, 7)), rng.normal(size=(4, 7))


@pytest.mark.parametrize(
    ("activation", "dual"),
    [
        ("erf", closed_forms.arcsine),
        ("relu", closed_forms.arccosine),
        ("leaky_relu", closed_forms.leaky_arccosine(0.01)),
        (LeakyRelu(-0.4), closed_forms.leaky_arccosine(-0.4)),
        ("sine", closed_forms.sine),
        ("identity", closed_forms.identity),
    ],
)
@pytest.mark.parametrize(("depth", "b_std"), [(0, 0.3), (1, 0.0), (3, 0.2)])
def test_fully_connected_equals_the_recursion(rows, activation, dual, depth, b_std):
    network = FullyConnected(depth, activation, 1.3, b_std)
    expected = closed_forms.fully_connected(dual, *rows, depth, 1.3, b_std)
    for got, want in zip(kernels(network, *rows), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("activation", ["gelu", "tanh"])
def test_other_activations_equal_two_dimensional_integration(rows, activation):
    if activation == "tanh":
        dual = closed_forms.by_grid(np.tanh, lambda x: 1 / np.cosh(x) ** 2)
    else:

        def slope(x):
            return np.asarray(jax.vmap(jax.grad(lambda v: jax.nn.gelu(v, approximate=False)))(x.ravel())).reshape(
                x.shape
            )

        dual = closed_forms.by_grid(lambda x: np.asarray(jax.nn.gelu(x, approximate=False)), slope)
    x1, x2 = rows[0][:2], rows[1][:2]
    with float64():
        expected = closed_forms.fully_connected(_on_columns(dual), x1, x2, 2, 1.2, 0.1)
        got = kernels(FullyConnected(2, activation, 1.2, 0.1), x1, x2)
    np.testing.assert_allclose(got, expected, rtol=2e-9)


def _on_columns(dual):
    """The grid rule wants variances as a column and a row; the recursion's own variances come as either alone."""

    def wrapped(c, q1, q2):
        if c.shape[0] > 1 and c.shape[1] > 1:
            return dual(c, q1, q2)
        flat = [
            np.array([dual(v.reshape(1, 1), v.reshape(1, 1), v.reshape(1, 1))[i][0, 0] for v in c.ravel()])
            for i in (0, 1)
        ]
        return flat[0].reshape(c.shape), flat[1].reshape(c.shape)

    return wrapped


def test_numerical_erf_equals_closed_form_within_its_stated_error(rows):
    numerical = NumericalActivation("erf", erf, degree=128)
    got = kernels(FullyConnected(2, numerical, 1.0, 0.1), rows[0])
    want = kernels(FullyConnected(2, "erf", 1.0, 0.1), rows[0])
    np.testing.assert_allclose(got, want, rtol=1e-11)


def test_truncation_error_bounds_the_error_and_is_not_idle():
    coarse = NumericalActivation("erf", erf, degree=8)
    x = np.sqrt(2.0) * np.array([[1.0, 0.0], [np.cos(0.3), np.sin(0.3)]])  # variance 1, correlation cos 0.3
    network = [FullyConnected(1, a, 1.0, 0.0) for a in (coarse, "erf")]
    got, want = (kernels(n, x)[0] for n in network)
    error = abs(got[0, 1] / want[0, 0] - want[0, 1] / want[0, 0])
    assert 1e-6 < error <= coarse.truncation_error(1.0, np.cos(0.3))
    np.testing.assert_allclose(np.diag(got), np.diag(want), rtol=1e-13)  # equal inputs have the whole sum


@pytest.mark.parametrize("depth", [1, 3, 10])
def test_relu_diagonal_keeps_all_digits(depth):
    x = np.random.default_rng(3).normal(size=(6, 784))
    nngp, ntk = kernels(FullyConnected(depth, "relu", 1.5, 0.1), x)
    for i, row in enumerate(x):
        q, theta = closed_forms.relu_diagonal(row, depth, 1.5, 0.1)
        assert abs(nngp[i, i] / float(q) - 1) < 1e-14
        assert abs(ntk[i, i] / float(theta) - 1) < 1e-14


@pytest.mark.parametrize("angle", [1e-9, 1e-7, 1e-6, 1e-4, 1e-2])
def test_relu_near_parallel_inputs_stay_within_the_stated_error(angle):
    x = np.array([[1.0, 0.0], [np.cos(angle), np.sin(angle)]])
    ntk = kernels(FullyConnected(1, "relu", np.sqrt(2.0), 0.0), x)[1]
    # With q = 1 after the first layer: Θ = (sin θ + (π-θ) cos θ)/π + cos θ (π-θ)/π
    exact = (np.sin(angle) + 2 * (np.pi - angle) * np.cos(angle)) / np.pi
    assert abs(ntk[0, 1] / exact - 1) < max(4e-16 / angle if angle > 2e-7 else 4e-8, 1e-14)


@pytest.mark.parametrize("activation", ["erf", "relu", "leaky_relu", "gelu", "sine", "identity", "tanh"])
def test_zero_and_repeated_inputs_are_finite_and_consistent(activation):
    x = np.random.default_rng(1).normal(size=(4, 9))
    x[1], x[2] = x[0], 0.0
    for kernel in kernels(FullyConnected(3, activation, 1.5, 0.0), x):
        assert np.all(np.isfinite(kernel))
        np.testing.assert_allclose(kernel[0, 1], kernel[0, 0], rtol=1e-13)
        np.testing.assert_allclose(kernel[2], 0.0, atol=1e-15)


@pytest.mark.parametrize(("activation", "dual"), [("erf", closed_forms.arcsine), ("relu", closed_forms.arccosine)])
@pytest.mark.parametrize(("readout", "pool"), [("flatten", False), ("global_average_pool", True)])
def test_convolution_equals_position_by_position_recursion(activation, dual, readout, pool):
    x = np.random.default_rng(5).normal(size=(3, 4, 5, 2))
    got = kernels(Convolutional(2, activation, 1.3, 0.2, readout=readout), x)
    want = np.array(
        [[closed_forms.convolution(dual, a, b, 2, 1.3, 0.2, pool) for b in x] for a in x],
    )
    # arccos in the plain recursion loses digits at equal positions
    tolerance = 1e-12 if activation == "erf" else 3e-8
    np.testing.assert_allclose(got[0], want[..., 0], rtol=tolerance)
    np.testing.assert_allclose(got[1], want[..., 1], rtol=tolerance)


@pytest.mark.parametrize(
    ("padding", "size", "strides"),
    [("SAME", 3, 2), ("SAME", 2, 1), ("VALID", 3, 1), ("CIRCULAR", 3, 1), ("CIRCULAR", 2, 2)],
)
def test_own_covariance_sums_equal_stax_convolution(padding, size, strides):
    x = np.random.default_rng(6).normal(size=(2, 5, 6, 2))
    network = Convolutional(1, "erf", 1.3, 0.2, size, strides, padding, "global_average_pool")
    layer = {"W_std": 1.3, "b_std": 0.2, "padding": padding, "strides": (strides, strides)}
    theirs = stax.serial(
        *[stax.Conv(1, (size, size), **layer), stax.Erf()], stax.GlobalAvgPool(), stax.Dense(1, 1.3, 0.2)
    )
    with float64():
        want = jax.jit(lambda a: tuple(theirs[2](a, None, ("nngp", "ntk"))))(x)
    np.testing.assert_allclose(kernels(network, x), [np.asarray(k) for k in want], rtol=1e-13)


@pytest.mark.parametrize(
    "network",
    [
        FullyConnected(2, "gelu", 1.3, 0.3),
        Convolutional(1, "relu", 1.4, 0.2, padding="CIRCULAR", readout="average_pool"),
        WideResidual(1, "relu", 1.2, 0.1, groups=1),
    ],
    ids=lambda network: network.describe(),
)
def test_finite_networks_average_to_the_nngp_within_their_standard_error(network):
    x = network.prepare(np.random.default_rng(7).normal(size=(2, 4, 4, 1)))
    width, draws = 48, 200
    init_fn, apply_fn, _ = network.layers(width=width, outputs=2)

    def outputs(key):
        return apply_fn(init_fn(key, (-1, *x.shape[1:]))[1], x)

    with float64():
        z = np.asarray(jax.jit(jax.vmap(outputs))(jax.random.split(jax.random.PRNGKey(0), draws)))
    products = np.einsum("dic,djc->dij", z, z) / 2
    error = products.std(0, ddof=1) / np.sqrt(draws)
    nngp = kernels(network, x)[0]
    # four standard errors, and the finite-width correction, which is of relative order depth / width
    assert np.all(np.abs(products.mean(0) - nngp) < 4 * error + 2 / width * np.abs(nngp).max())


def test_finite_network_has_the_ntk_within_its_standard_error():
    x = np.random.default_rng(8).normal(size=(3, 6))
    network = FullyConnected(2, "erf", 1.5, 0.1)
    init_fn, apply_fn, _ = network.layers(width=256)
    with float64():

        def one(key):
            params = init_fn(key, (-1, 6))[1]
            jacobian = jax.jacobian(lambda p: apply_fn(p, jnp.asarray(x))[:, 0])(params)
            rows = [leaf.reshape(3, -1) for leaf in jax.tree.leaves(jacobian)]
            return sum(row @ row.T for row in rows)

        draws = np.asarray(jax.lax.map(jax.jit(one), jax.random.split(jax.random.PRNGKey(1), 60)))
    error = draws.std(0, ddof=1) / np.sqrt(60)
    ntk = kernels(network, x)[1]
    assert np.all(np.abs(draws.mean(0) - ntk) < 4 * error + 3 / 256 * np.abs(ntk).max())


def test_wide_residual_equals_a_composition_by_hand():
    x = np.random.default_rng(9).normal(size=(2, 4, 4, 1))
    conv = {"padding": "SAME", "W_std": 1.1, "b_std": 0.2}

    def block(strides, first):
        main = stax.serial(
            stax.Relu(), stax.Conv(1, (3, 3), (strides,) * 2, **conv), stax.Relu(), stax.Conv(1, (3, 3), **conv)
        )
        shortcut = stax.Conv(1, (3, 3), (strides,) * 2, **conv) if first else stax.Identity()
        return stax.serial(stax.FanOut(2), stax.parallel(main, shortcut), stax.FanInSum())

    blocks = [block(1, True), block(1, False), block(2, True), block(1, False)]
    theirs = stax.serial(
        stax.Conv(1, (3, 3), **conv), *blocks, stax.GlobalAvgPool(), stax.Dense(1, W_std=1.1, b_std=0.2)
    )
    with float64(), pytest.warns(UserWarning, match="FanIn"):
        want = jax.jit(lambda a, b: tuple(theirs[2](a, b, ("nngp", "ntk"))))(x[:1], x[1:])
    got = kernels(WideResidual(2, "relu", 1.1, 0.2, groups=2), x[:1], x[1:])
    np.testing.assert_allclose(got, [np.asarray(k) for k in want], rtol=1e-11)


def test_wide_residual_gives_no_warning(recwarn):
    kernels(WideResidual(groups=1), np.ones((1, 4, 4, 1)))
    assert not recwarn.list


FINGERPRINTS = {
    FullyConnected(): "f9f026135b056e0e37362e4a7fe4c5e7752975934f84fb283748ef6604ade2d6",
    Convolutional(): "8f8d72787f4e5a366e59399e24ce71ae48397988e1d953a844e21eb82b8e97b1",
    WideResidual(): "060abc50404f98a58864e914cceea7399edf833c77d0ccb4f645fbffe5e13964",
    FullyConnected(activation="tanh"): "4f6aba30bd4069f7b0ab659ab8a2adbe38af82564bc00efa4e30cb28f32f7ae2",
}


@pytest.mark.parametrize("network", FINGERPRINTS, ids=lambda network: network.describe())
def test_fingerprint_is_the_one_written_down(network):
    assert network.fingerprint == FINGERPRINTS[network]


def test_fingerprint_is_the_same_in_another_process():
    code = "from ntkinfo.kernels.architectures import *; print(FullyConnected(2, 'tanh').fingerprint)"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == FullyConnected(2, "tanh").fingerprint


@pytest.mark.parametrize(
    ("network", "changes"),
    [
        (FullyConnected(), {"depth": 4, "activation": "relu", "w_std": 1.6, "b_std": 0.2}),
        (
            Convolutional(),
            {"depth": 4, "filter_size": 2, "strides": 2, "padding": "VALID", "readout": "average_pool", "b_std": 0.0},
        ),
        (
            WideResidual(),
            {"block_size": 2, "groups": 2, "readout": "flatten", "activation": "erf", "w_std": 2.0, "filter_size": 2},
        ),
    ],
)
def test_every_field_changes_the_fingerprint(network, changes):
    prints = {dataclasses.replace(network, **{key: value}).fingerprint for key, value in changes.items()}
    assert len(prints | {network.fingerprint}) == len(changes) + 1


def test_numbers_of_another_type_have_the_same_fingerprint():
    assert (
        FullyConnected(w_std=np.float64(2), b_std=np.float64(0)).fingerprint
        == FullyConnected(w_std=2.0, b_std=0.0).fingerprint
    )


def test_numerical_fingerprint_tells_functions_of_one_name_apart():
    prints = {
        FullyConnected(1, NumericalActivation("f", f)).fingerprint
        for f in (jnp.tanh, erf, lambda x: jnp.tanh(1.0001 * x))
    }
    assert len(prints) == 3


def stax_network(w_std=1.5, name="mine"):
    return StaxNetwork(*stax.serial(stax.Dense(8, w_std, 0.1), stax.Erf(), stax.Dense(1, w_std, 0.1)), name, (5,))


def test_stax_fingerprint_follows_the_kernels_and_the_name():
    assert stax_network().fingerprint == stax_network().fingerprint
    assert len({stax_network(w).fingerprint for w in (1.5, 1.50001)} | {stax_network(name="b").fingerprint}) == 3


def test_stax_network_refuses_another_width():
    with pytest.raises(ValueError, match="width and the outputs with which"):
        stax_network().layers(width=3, outputs=1)
    assert len(stax_network().layers()) == 3


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: FullyConnected(depth=-1), ValueError, "depth is -1"),
        (lambda: FullyConnected(depth=1.5), TypeError, "depth"),
        (lambda: FullyConnected(activation="rellu"), ValueError, "did you mean 'relu'"),
        (lambda: FullyConnected(w_std=0.0), ValueError, "w_std is 0.0"),
        (lambda: FullyConnected(w_std=-1.0), ValueError, "greater than 0"),
        (lambda: FullyConnected(b_std=-0.1), ValueError, "b_std is -0.1"),
        (lambda: FullyConnected(b_std=float("nan")), ValueError, "b_std is nan"),
        (lambda: Convolutional(padding="same"), ValueError, "padding is 'same'"),
        (lambda: Convolutional(readout="pool"), ValueError, "did you mean"),
        (lambda: Convolutional(filter_size=0), ValueError, "filter_size is 0"),
        (lambda: WideResidual(block_size=0), ValueError, "block_size is 0"),
        (lambda: LeakyRelu(float("inf")), ValueError, "slope is inf"),
        (lambda: NumericalActivation("f", jnp.sum), ValueError, "one finite number for each"),
        (lambda: NumericalActivation("f", lambda x: 1 / x), ValueError, "NaN or infinite"),
        (lambda: NumericalActivation("f", jnp.tanh, degree=2000), ValueError, "at most 1000"),
        (lambda: StaxNetwork(*stax.Erf(), "mine", ()), ValueError, "input_shape is"),
        (
            lambda: StaxNetwork(*stax.serial(stax.Dense(4), stax.Dropout(0.5)), "mine", (5,)),
            ValueError,
            "holds dropout",
        ),
        (lambda: FullyConnected().layers(width=0), ValueError, "width is 0"),
    ],
)
def test_bad_fields_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("network", "shape", "message"),
    [
        (Convolutional(), (3, 64), r"reshape\(-1, 8, 8, 1\)"),
        (Convolutional(), (3, 8, 8), r"x\[\.\.\., None\]"),
        (WideResidual(), (3, 10), "use FullyConnected"),
        (Convolutional(2, padding="VALID"), (3, 4, 4, 1), "leave an image of 0 x 0"),
        (Convolutional(1, strides=4, readout="average_pool"), (3, 4, 4, 1), "at least 2 x 2"),
        (FullyConnected(), (3,), "features"),
        (stax_network(), (3, 6), "inputs of mine"),
    ],
)
def test_inputs_of_a_wrong_shape_are_refused(network, shape, message):
    with pytest.raises(ValueError, match=message):
        network.prepare(np.ones(shape), "x")
