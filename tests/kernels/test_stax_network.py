"""User's triples: outputs that are a readout, kernels of one output, graphs, functions of other forms."""

import functools
from collections import namedtuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkinfo.core.arrays import float64
from ntkinfo.core.records import Dataset
from ntkinfo.kernels.architectures import StaxNetwork
from ntkinfo.kernels.blocks import kernel_blocks
from ntkinfo.kernels.neural_tangents_compat import stax

DENSE = stax.serial(stax.Dense(8, 1.5, 0.1), stax.Erf(), stax.Dense(2, 1.5, 0.1))
IMAGE = (4, 4, 1)


def images(*last):
    return stax.serial(stax.Conv(6, (3, 3), W_std=1.5), stax.Relu(), *last)


@pytest.mark.parametrize(
    ("triple", "shape"),
    [
        (stax.serial(stax.Dense(8), stax.Relu()), (5,)),
        (stax.serial(stax.Dense(8), stax.Relu(), stax.Dense(2), stax.Erf()), (5,)),
        (stax.serial(stax.Dense(8), stax.Relu(), stax.Dense(2), stax.Abs()), (5,)),
        (stax.serial(stax.Dense(8), stax.Erf(), stax.Dense(6), stax.LayerNorm()), (5,)),
        (images(stax.GlobalAvgPool()), IMAGE),
        (images(stax.Flatten()), IMAGE),
        (images(stax.Conv(2, (3, 3), padding="SAME"), stax.Flatten()), IMAGE),
    ],
    ids=[
        "relu",
        "readout, then erf",
        "readout, then abs",
        "layer norm",
        "pooled",
        "flat",
        "positions",
    ],
)
def test_outputs_that_are_no_readout_are_refused(triple, shape):
    with pytest.raises(ValueError, match="outputs of mine are not those of a readout"):
        StaxNetwork(*triple, name="mine", input_shape=shape)


def residual():
    branches = stax.parallel(stax.serial(stax.Dense(8), stax.Erf(), stax.Dense(2)), stax.Dense(2))
    return stax.serial(stax.FanOut(2), branches, stax.FanInSum())


@pytest.mark.parametrize(
    ("triple", "shape"),
    [
        (DENSE, (5,)),
        (stax.serial(DENSE, stax.Flatten()), (5,)),
        (stax.serial(stax.Flatten(), stax.Dense(1)), IMAGE),
        (stax.serial(stax.Dense(4), stax.LayerNorm(), stax.Erf(), stax.Dense(1)), (5,)),
        (images(stax.Flatten(), stax.Dense(1)), IMAGE),
        (images(stax.Conv(2, (2, 2)), stax.GlobalAvgPool()), IMAGE),
        (residual(), (5,)),
        (stax.serial(stax.Dense(8, parameterization="standard"), stax.Dense(1, parameterization="standard")), (5,)),
    ],
    ids=[
        "dense",
        "dense, then flat",
        "linear",
        "layer norm inside",
        "convolution",
        "pooled readout",
        "sum",
        "standard",
    ],
)
@pytest.mark.filterwarnings("ignore:`FanIn` layers")
def test_readouts_are_taken(triple, shape):
    assert "could not be tried" not in " ".join(StaxNetwork(*triple, name="mine", input_shape=shape).kernel_notes)


@pytest.mark.parametrize(
    ("triple", "shape", "message"),
    [
        (stax.serial(stax.Identity()), (5,), r"ntk of mine has shape \(\)"),
        (images(stax.Dense(1)), IMAGE, r"outputs still have positions; put stax\.Flatten"),
        (images(stax.Flatten(), stax.Dense(1)), (16,), r"kernel_fn of mine fails on 2 inputs of shape \(16,\)"),
        ((*DENSE[:2], lambda a, b, get: DENSE[2](a, b, "nngp")), (5,), "kernel_fn of mine returned"),
        ((*DENSE[:2], lambda a, b, get: tuple(DENSE[2](a, None, get))), (5,), "for 2 inputs with 3 others"),
        ((*DENSE[:2], lambda a, b, get: tuple(DENSE[2](a, b, get))[::-1]), (5,), r"returns \(ntk, nngp\)"),
        ((*DENSE[:2], lambda a, b, get: 1 / np.asarray(a)), (5,), "kernel_fn of mine fails"),
        ((*DENSE[:2], functools.partial(stax.serial(stax.Dropout(0.5), stax.Dense(1))[2])), (5,), "holds dropout"),
    ],
    ids=[
        "no parameters",
        "no flatten",
        "flat shape",
        "ignores get",
        "ignores x2",
        "other order",
        "no jax function",
        "bound dropout",
    ],
)
def test_kernels_of_another_form_are_refused_by_name(triple, shape, message):
    with pytest.raises(ValueError, match=message):
        StaxNetwork(*triple, name="mine", input_shape=shape)


def test_kernels_by_name_and_whole_states_are_taken_in_any_order():
    other = namedtuple("other", "ntk nngp")
    x = np.random.default_rng(0).normal(size=(3, 5))
    with float64():
        want = [np.asarray(kernel) for kernel in DENSE[2](x, None, ("nngp", "ntk"))]
    for kernel_fn in (
        lambda a, b, get: other(DENSE[2](a, b, "ntk"), DENSE[2](a, b, "nngp")),
        lambda a, b, get: DENSE[2](a, b, None),
        lambda a, b, get: {"ntk": DENSE[2](a, b, "ntk"), "nngp": DENSE[2](a, b, "nngp")},
    ):
        with float64():
            got = StaxNetwork(DENSE[0], DENSE[1], kernel_fn, name="mine", input_shape=(5,)).layers()[2](
                x, None, ("nngp", "ntk")
            )
        np.testing.assert_allclose(got, want, rtol=1e-14)


def test_functions_that_cannot_be_tried_are_said():
    def fails(*_):
        raise RuntimeError("no functions")

    blind = StaxNetwork(
        fails, fails, lambda a, b, get: tuple(DENSE[2](a, b, ("nngp", "ntk"))), name="mine", input_shape=(5,)
    )
    assert "mine could not be tried (RuntimeError: no functions)" in blind.kernel_notes[0]


GRAPH = stax.serial(
    stax.Aggregate(aggregate_axis=1, batch_axis=0, channel_axis=2),
    stax.Dense(16),
    stax.Relu(),
    stax.GlobalAvgPool(),
    stax.Dense(1),
)


def test_one_graph_bound_to_the_functions_fits_tiles_of_any_size():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(7, 4, 3))
    graph = np.broadcast_to(rng.random((4, 4)), (5, 4, 4))
    kernel_fn = functools.partial(GRAPH[2], pattern=(graph, graph))
    network = StaxNetwork(
        GRAPH[0], functools.partial(GRAPH[1], pattern=graph), kernel_fn, name="graph", input_shape=(4, 3)
    )
    y = rng.normal(size=(7, 1))
    blocks = kernel_blocks(network, Dataset(x[:5], y[:5], x[5:], y[5:]))
    with float64():
        right = np.asarray(kernel_fn(x[:5], None, "ntk"))
        cross = np.asarray(GRAPH[2](x[5:], x[:5], "ntk", pattern=(graph[:2], graph)))
        outputs = network.layers()[1](GRAPH[0](jax.random.key(0), (-1, 4, 3))[1], jnp.asarray(x))
    np.testing.assert_allclose(blocks.train.ntk, right, rtol=1e-7)  # stax.Relu keeps half of the digits
    np.testing.assert_allclose(blocks.test.ntk, cross, rtol=1e-12)
    assert outputs.shape == (7, 1)


def test_graphs_that_differ_between_inputs_are_refused_by_name():
    graphs = np.random.default_rng(0).random((5, 4, 4))
    with pytest.raises(ValueError, match="pattern bound to kernel_fn of graph differs from input to input"):
        StaxNetwork(
            GRAPH[0], GRAPH[1], functools.partial(GRAPH[2], pattern=(graphs,) * 2), name="graph", input_shape=(4, 3)
        )


def test_inputs_of_another_shape_are_refused_with_what_to_do():
    network = StaxNetwork(*images(stax.Flatten(), stax.Dense(1)), name="mine", input_shape=IMAGE)
    with pytest.raises(ValueError, match=r"add the channel axis with x\[\.\.\., None\]"):
        network.prepare(np.ones((3, 4, 4)), "x")
    with pytest.raises(ValueError, match=r"reshape them with x\.reshape\(-1, 4, 4, 1\)"):
        network.prepare(np.ones((3, 16)), "x")


def test_what_relu_of_stax_loses_at_equal_inputs_is_measured_and_said():
    relu = stax.serial(stax.Dense(1, 1.5), stax.Relu(), stax.Dense(1, 1.5), stax.Relu(), stax.Dense(1))
    lossy = StaxNetwork(*relu, name="relu", input_shape=(5,))
    assert 1e-9 < lossy.stated_error < 1e-6
    assert "equal inputs are off by up to" in lossy.kernel_notes[-1]
    assert StaxNetwork(*DENSE, name="erf", input_shape=(5,)).stated_error < 1e-13
