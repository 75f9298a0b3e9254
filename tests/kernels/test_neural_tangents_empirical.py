"""Every implementation of the empirical kernels against an explicit Jacobian."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkinfo.core.arrays import float64
from ntkinfo.kernels.neural_tangents_compat import (
    NtkImplementation,
    empirical_kernel_fn,
    empirical_nngp_fn,
    empirical_ntk_fn,
    empirical_ntk_vp_fn,
    stax,
)

pytestmark = pytest.mark.filterwarnings("ignore:No Jacobian rule found")


@pytest.fixture(autouse=True)
def _in_float64():
    with float64():
        yield


def _layers(*layers, shape):
    init_fn, apply_fn, _ = stax.serial(*layers)
    return apply_fn, lambda: init_fn(jax.random.PRNGKey(1), (-1, *shape))[1], shape


def _residual():
    branch = stax.serial(stax.LayerNorm(), stax.Erf(), stax.Dense(6, 1.0, 0.1))
    block = stax.serial(stax.FanOut(2), stax.parallel(branch, stax.Identity()), stax.FanInSum())
    return _layers(stax.Dense(6), block, stax.Dense(2), shape=(5,))


def _written_by_hand():
    """Slices, a scan, a rematerialised part and a parameter that is used twice."""

    def apply_fn(params, x):
        hidden = jax.checkpoint(jnp.tanh)(x @ params["first"] + params["shared"])
        hidden, _ = jax.lax.scan(lambda h, row: (jnp.sin(h + row), None), hidden, params["rows"])
        return jnp.concatenate([hidden[:, :2], hidden[:, 2:]], axis=1) @ params["last"][1:] + params["shared"][:2]

    def params():
        shapes = {"first": (5, 4), "shared": (4,), "rows": (3, 4), "last": (5, 2)}
        return {
            name: jnp.asarray(np.random.default_rng(i).normal(size=s)) for i, (name, s) in enumerate(shapes.items())
        }

    return apply_fn, params, (5,)


NETWORKS = {
    "dense": _layers(stax.Dense(7, 1.2, 0.3), stax.Erf(), stax.Dense(2, 1.2, 0.3), shape=(5,)),
    "conv-flatten": _layers(
        stax.Conv(3, (3, 3), padding="SAME", b_std=0.1), stax.Relu(), stax.Flatten(), stax.Dense(2), shape=(4, 4, 2)
    ),
    "conv-pool": _layers(stax.Conv(3, (2, 2)), stax.Relu(), stax.GlobalAvgPool(), stax.Dense(2), shape=(4, 4, 1)),
    "residual": _residual(),
    "by-hand": _written_by_hand(),
}


def explicit_ntk(apply_fn, params, x1, x2):
    """Sum over parameters of df(x1)/dw df(x2)/dw, shape (n1, C, n2, C)."""

    def flat_jacobian(x):
        jacobian = jax.jacobian(lambda p: apply_fn(p, x))(params)
        outputs = apply_fn(params, x).shape
        return np.concatenate([np.asarray(leaf).reshape(*outputs, -1) for leaf in jax.tree.leaves(jacobian)], axis=-1)

    return np.einsum("acw,bdw->acbd", flat_jacobian(x1), flat_jacobian(x2))


def problem(name):
    apply_fn, make_params, shape = NETWORKS[name]
    rng = np.random.default_rng(5)
    x1, x2 = jnp.asarray(rng.normal(size=(4, *shape))), jnp.asarray(rng.normal(size=(3, *shape)))
    return apply_fn, make_params(), x1, x2


# AUTO compiles all the others: one network is enough for it.
CASES = [
    (name, implementation)
    for implementation in NtkImplementation
    for name in (("dense",) if implementation is NtkImplementation.AUTO else NETWORKS)
]


@pytest.mark.parametrize(("name", "implementation"), CASES, ids=lambda value: getattr(value, "name", value))
def test_every_implementation_equals_the_explicit_jacobian(name, implementation, capsys):
    apply_fn, params, x1, x2 = problem(name)
    full = empirical_ntk_fn(apply_fn, trace_axes=(), implementation=implementation)
    traced = jax.jit(
        lambda x, p: empirical_ntk_fn(apply_fn, trace_axes=(-1,), implementation=implementation)(x, None, p)
    )
    expected, symmetric = explicit_ntk(apply_fn, params, x1, x2), explicit_ntk(apply_fn, params, x1, x1)
    tolerance = 1e-13 * np.abs(symmetric).max()
    np.testing.assert_allclose(full(x1, x2, params), expected.transpose(0, 2, 1, 3), atol=tolerance)
    np.testing.assert_allclose(traced(x1, params), np.einsum("acbc->ab", symmetric) / 2, atol=tolerance)
    assert capsys.readouterr().out == ""


def test_automatic_choice_without_an_operation_count_is_refused(monkeypatch):
    apply_fn, params, x1, x2 = problem("dense")
    compute = empirical_ntk_fn(apply_fn, implementation=NtkImplementation.AUTO)
    monkeypatch.setattr(type(jax.jit(jnp.sin).lower(1.0).compile()), "cost_analysis", lambda self: None)
    with pytest.raises(RuntimeError, match="name an implementation"):
        compute(x1, x2, params)


def test_structured_derivatives_refuse_operations_with_several_results():
    def apply_fn(params, x):
        weights, shift = jax.lax.optimization_barrier((params["weights"], params["shift"]))
        return x @ weights + shift

    params = {"weights": jnp.ones((3, 2)), "shift": jnp.ones(2)}
    compute = empirical_ntk_fn(apply_fn, implementation=NtkImplementation.STRUCTURED_DERIVATIVES)
    with pytest.raises(NotImplementedError, match="multiple outputs"):
        compute(jnp.ones((4, 3)), None, params)


def test_nngp_kernel_and_vector_products():
    apply_fn, params, x1, x2 = problem("dense")
    ntk, nngp = explicit_ntk(apply_fn, params, x1, x2), apply_fn(params, x1) @ apply_fn(params, x2).T / 2
    np.testing.assert_allclose(empirical_nngp_fn(apply_fn)(x1, x2, params), nngp, atol=1e-13)
    both = empirical_kernel_fn(apply_fn)(x1, x2, ("nngp", "ntk"), params)
    np.testing.assert_allclose(both.nngp, nngp, atol=1e-13)
    np.testing.assert_allclose(both.ntk, np.einsum("acbc->ab", ntk) / 2, atol=1e-13)
    cotangents = jnp.asarray(np.random.default_rng(6).normal(size=(3, 2)))
    product = empirical_ntk_vp_fn(apply_fn, x1, x2, params)(cotangents)
    np.testing.assert_allclose(product, np.einsum("acbd,bd->ac", ntk, cotangents), atol=1e-12)
