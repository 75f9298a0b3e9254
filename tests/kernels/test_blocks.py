import functools
import warnings
from dataclasses import replace

import jax
import numpy as np
import psutil
import pytest

import ntkinfo as ni
from ntkinfo.core import memory
from ntkinfo.core.arrays import float64
from ntkinfo.core.records import Dataset
from ntkinfo.information.numerical_errors import NumericalErrors
from ntkinfo.kernels import blocks
from ntkinfo.kernels.architectures import Convolutional, FullyConnected, StaxNetwork, WideResidual
from ntkinfo.kernels.blocks import NetworkKernels, kernel_blocks
from ntkinfo.kernels.neural_tangents_compat import stax
from tests.kernels import closed_forms


def dataset(n, m, shape, seed=0):
    rng = np.random.default_rng(seed)
    return Dataset(
        x_train=rng.normal(size=(n, *shape)),
        y_train=rng.normal(size=(n, 1)),
        x_test=rng.normal(size=(m, *shape)),
        y_test=rng.normal(size=(m, 1)),
    )


def untiled(network, x1, x2=None):
    with float64():
        kernel_fn = network.layers()[2]
        return [np.asarray(k) for k in jax.jit(lambda a, b: tuple(kernel_fn(a, b, ("nngp", "ntk"))))(x1, x2)]


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(blocks, "PANEL_FLAT", 16)
    monkeypatch.setattr(blocks, "PANEL_IMAGES", 4)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("n", [1, 15, 16, 17, 50])
def test_tiles_equal_the_untiled_kernel_and_the_recursion(n):
    network, data = FullyConnected(2, "erf", 1.4, 0.2), dataset(max(n, 2), 19, (6,))
    kernels = NetworkKernels(network, data.x_train[:n])
    train, test = kernels.train(), kernels.cross(data.x_test)
    x = data.x_train[:n]
    recursion = closed_forms.fully_connected(closed_forms.arcsine, x, x, 2, 1.4, 0.2)
    for got, want, plain in zip((train.nngp, train.ntk), untiled(network, x), recursion, strict=True):
        # atol: entries near 0, whose terms of order 1 cancel
        np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-16)
        np.testing.assert_allclose(got, plain, rtol=1e-12)
        np.testing.assert_array_equal(got, got.T)
    for got, want in zip((test.nngp, test.ntk), untiled(network, data.x_test, x), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-16)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (FullyConnected(3, "relu", 1.5, 0.1), (4, 3)),
        (Convolutional(1, "relu", 1.5, 0.1, readout="average_pool"), (4, 4, 1)),
        (WideResidual(groups=1, w_std=1.3), (3, 3, 2)),
        (StaxNetwork(*stax.serial(stax.Dense(1, 1.2, 0.1), stax.Erf(), stax.Dense(1)), "mine", (5,)), (5,)),
    ],
    ids=lambda value: getattr(value, "describe", lambda: "")(),
)
def test_every_network_symmetric_and_with_one_diagonal(network, shape):
    data = dataset(9, 6, shape)
    result = kernel_blocks(network, data)
    want = untiled(network, network.prepare(data.x_train))
    for got, plain in zip((result.train.nngp, result.train.ntk), want, strict=True):
        np.testing.assert_array_equal(got, got.T)
        np.testing.assert_allclose(got, plain, rtol=1e-12, atol=1e-14)
    square = result.source.square(data.x_test)
    np.testing.assert_array_equal(np.diag(square.nngp), result.test.nngp_diagonal)
    np.testing.assert_array_equal(np.diag(square.ntk), result.test.ntk_diagonal)
    assert bool(result.notes) == isinstance(network, StaxNetwork)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("activation", ["relu", "erf", "tanh"])
def test_repeated_and_zero_inputs(activation):
    x = np.random.default_rng(2).normal(size=(40, 5))
    x[33], x[21] = x[2], 0.0
    train = NetworkKernels(FullyConnected(3, activation, 1.5, 0.0), x).train()
    for kernel in (train.nngp, train.ntk):
        assert np.all(np.isfinite(kernel))
        np.testing.assert_allclose(kernel[33, 2], kernel[2, 2], rtol=1e-13)
        np.testing.assert_allclose(kernel[21], 0.0, atol=1e-15)


def test_images_tile_shrinks_with_the_memory_and_gives_the_same():
    network = Convolutional(1, "erf", 1.3, 0.1, readout="global_average_pool")
    x = np.random.default_rng(3).normal(size=(7, 6, 6, 1))
    wide, narrow = NetworkKernels(network, x), NetworkKernels(network, x, memory_limit=0.001)
    assert narrow._tile < wide._tile
    np.testing.assert_allclose(narrow.train().ntk, wide.train().ntk, rtol=1e-13, atol=1e-16)


def test_jax_arrays_on_request():
    kernels = NetworkKernels(FullyConnected(1), np.random.default_rng(4).normal(size=(5, 3)), on_device=True)
    reference = NetworkKernels(FullyConnected(1), kernels.x_train, on_device=False)
    train, cross = kernels.train(), kernels.cross(kernels.x_train[:2])
    for array in (train.nngp, train.ntk, cross.nngp, cross.ntk, cross.nngp_diagonal, cross.ntk_diagonal):
        assert isinstance(array, jax.Array)
        assert array.dtype == np.float64
    assert isinstance(reference.train().ntk, np.ndarray)
    np.testing.assert_array_equal(np.asarray(train.ntk), reference.train().ntk)


@pytest.mark.usefixtures("small_tiles")
def test_store_is_read_instead_of_computing(tmp_path, monkeypatch):
    network, data = FullyConnected(2), dataset(40, 20, (3,))
    first = kernel_blocks(network, data, store=tmp_path)
    monkeypatch.setattr(blocks.TileKernel, "tile", lambda *a: pytest.fail("computed again"))
    second = kernel_blocks(network, data, store=tmp_path)
    np.testing.assert_array_equal(first.train.ntk, second.train.ntk)
    np.testing.assert_array_equal(first.train.nngp, second.train.nngp)
    np.testing.assert_array_equal(first.test.ntk, second.test.ntk)
    assert first.fingerprint == second.fingerprint


@pytest.mark.usefixtures("small_tiles")
def test_damaged_panel_is_computed_again(tmp_path):
    network, data = FullyConnected(2), dataset(40, 5, (3,))
    first = kernel_blocks(network, data, store=tmp_path)
    damaged = sorted(tmp_path.rglob("*.npz"))[0]
    damaged.write_bytes(b"nonsense")
    with pytest.warns(RuntimeWarning, match="damaged"):
        second = kernel_blocks(network, data, store=tmp_path)
    np.testing.assert_array_equal(first.train.ntk, second.train.ntk)
    np.testing.assert_array_equal(first.test.ntk, second.test.ntk)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kernel_blocks(network, data, store=tmp_path)


@pytest.mark.usefixtures("small_tiles")
def test_interrupted_job_goes_on_where_it_stopped(tmp_path):
    network, data = FullyConnected(2), dataset(60, 5, (3,))

    def stop_after(count):
        def track(items, label, total=None):
            for number, item in enumerate(items):
                if number == count:
                    raise KeyboardInterrupt
                yield item

        return track

    totals = []

    def record(items, label, total=None):
        totals.append(total)
        yield from items

    with pytest.raises(KeyboardInterrupt):
        kernel_blocks(network, data, store=tmp_path, progress=stop_after(8))  # 4 + 3 tiles finish two of four panels
    resumed = kernel_blocks(network, data, store=tmp_path, progress=record)
    assert totals[0] == 2 + 1
    fresh = kernel_blocks(network, data)
    np.testing.assert_array_equal(resumed.train.ntk, fresh.train.ntk)
    np.testing.assert_array_equal(resumed.train.nngp, fresh.train.nngp)


def test_unwritable_store_is_refused_before_computing(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(blocks.TileKernel, "tile", lambda *a: pytest.fail("computed"))
    with pytest.raises(ValueError, match="cannot be written to"):
        kernel_blocks(FullyConnected(1), dataset(3, 3, (2,)), store=tmp_path / "file")


def test_job_that_does_not_fit_is_refused_with_the_estimate(monkeypatch):
    data = dataset(2000, 10, (2,))
    monkeypatch.setattr(blocks.TileKernel, "tile", lambda *a: pytest.fail("computed"))
    with pytest.raises(MemoryError, match=r"2000 training and 10 test inputs needs about 0\.06.* GiB.*inputs fit"):
        kernel_blocks(FullyConnected(1), data, memory_limit=0.02)
    with pytest.raises(MemoryError, match="GiB is available"):
        NetworkKernels(Convolutional(readout="global_average_pool"), np.ones((2, 64, 64, 1)), memory_limit=0.5)


def test_what_the_refusal_says_fits_does_fit():
    data = dataset(1500, 10, (2,))
    with pytest.raises(MemoryError) as caught:
        kernel_blocks(FullyConnected(1), data, memory_limit=0.02)
    fitting = int(str(caught.value).split("about ")[-1].split(" training")[0].replace(",", ""))
    assert 100 < fitting < 1500
    result = kernel_blocks(FullyConnected(1), dataset(fitting, 3, (2,)), memory_limit=0.02)
    assert result.train.ntk.shape == (fitting, fitting)


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan")])
def test_bad_memory_limit(limit):
    with pytest.raises(ValueError, match="memory_limit"):
        NetworkKernels(FullyConnected(1), np.ones((2, 2)), memory_limit=limit)


def test_bad_new_inputs_are_refused():
    kernels = NetworkKernels(FullyConnected(1), np.ones((4, 3)))
    with pytest.raises(ValueError, match="all but the first number must agree"):
        kernels.cross(np.ones((2, 5)))
    with pytest.raises(ValueError, match="NaN"):
        kernels.square(np.full((2, 3), np.nan))
    with pytest.raises(ValueError, match=r"x_train\.reshape\(-1, 2, 2, 1\)"):
        NetworkKernels(Convolutional(), np.ones((3, 4)))


def test_fingerprint_follows_network_and_inputs():
    data, other = dataset(6, 4, (3,)), dataset(6, 4, (3,), seed=1)
    prints = {kernel_blocks(FullyConnected(d), x).fingerprint for d in (1, 2) for x in (data, other)}
    assert len(prints) == 4


def test_available_memory_respects_a_control_group(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("M", (), {"available": 8 * 2**30}))
    assert memory.available_memory() == 8
    (tmp_path / "memory.current").write_text(str(3 * 2**30))
    (tmp_path / "memory.stat").write_text(f"anon 5\ninactive_file {2**30}\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available_memory() == 8
    (tmp_path / "memory.max").write_text(f"{4 * 2**30}\n")
    assert memory.available_memory() == 2


def test_triples_mask_inputs_where_their_functions_bind_the_constant():
    assert ni.stax is stax
    start, apply, kernels = ni.stax.serial(ni.stax.Dense(8), ni.stax.Erf(), ni.stax.Dense(1))
    plain, data = StaxNetwork(start, apply, kernels, "plain", (5,)), dataset(4, 2, (5,))
    x, zeroed = data.x_train.copy(), data.x_train.copy()
    x[1, 3:], zeroed[1, 3:] = 100.0, 0.0

    def of(network, inputs):
        return kernel_blocks(network, Dataset(inputs, data.y_train, data.x_test, data.y_test)).train

    bound = [functools.partial(function, mask_constant=100.0) for function in (apply, kernels)]
    masked, want = of(StaxNetwork(start, *bound, "masked", (5,)), x), of(plain, zeroed)
    np.testing.assert_allclose(masked.nngp, want.nngp, rtol=1e-12)
    np.testing.assert_allclose(masked.ntk, want.ntk, rtol=1e-12)
    assert np.abs(of(plain, x).nngp - want.nngp).max() > 0.1


def test_kernel_error_is_carried_on_by_the_stated_errors():
    data = dataset(6, 3, (4,))
    made = kernel_blocks(FullyConnected(1), data)
    errors = []
    for stated in (0.0, 1e-6):
        law = ni.output_distribution(replace(made, kernel_error=stated), data, ni.GradientFlow(), np.array([1.0]))
        errors.append(NumericalErrors(law).side("test").mean(slice(0, 1)).min())
    assert errors[1] > 1e-7 > 1e-12 > errors[0]
    with pytest.raises(ValueError, match="kernel_error is -1"):
        replace(made, kernel_error=-1.0)
