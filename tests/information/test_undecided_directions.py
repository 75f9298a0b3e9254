"""Directions that float64 cannot tell from null ones: the stated errors cover both readings, and no others widen."""

import mpmath as mp
import numpy as np
import pytest

import ntkinfo as ni
from ntkinfo.core.progress import silent
from ntkinfo.information.numerical_errors import NumericalErrors
from ntkinfo.information.parameters import linear_model
from ntkinfo.kernels.rays import independent
from ntkinfo.kernels.records import CrossBlocks, KernelBlocks, SquareBlocks

TIMES = np.array([1e-3, 1.0, np.inf])


def task(kind):
    """Six training inputs of which two are one direction, for a reason or nearly so, with targets that differ."""
    x = np.random.default_rng(3).standard_normal((9, 3))
    x[1] = {"near": x[0] + 1e-9 * x[2], "equal": x[0], "opposite": -x[0], "multiple": 3 * x[0], "linear": x[1]}[kind]
    options = {"near": ("erf", 0.1), "equal": ("erf", 0.1), "opposite": ("erf", 0.0), "multiple": ("relu", 0.0)}
    activation, bias = options.get(kind, ("identity", 0.1))
    if kind == "multiple":
        x[:2] = [[1.0, 2.0, -3.0], [3.0, 6.0, -9.0]]
    y = np.random.default_rng(4).standard_normal((9, 1))
    data = ni.Dataset(x[:6], y[:6], x[6:], y[6:])
    network = ni.FullyConnected(depth=1, activation=activation, w_std=1.3, b_std=bias)
    return ni.output_distribution(ni.kernel_blocks(network, data), data, ni.GradientFlow(), TIMES)


def test_an_infinite_time_has_no_finite_error_where_a_direction_may_be_learned():
    law = task("near")
    errors, last = NumericalErrors(law), slice(2, 3)
    assert law.undecided
    assert any("does not tell" in note for note in law.notes)
    assert np.all(errors.side("test").mean(last) == np.inf)
    assert np.all(errors.side("test").variance(last, law.test.variance[last]) == np.inf)
    # In exact arithmetic the training targets are learned; what is computed averages the two that contradict.
    off = np.abs(np.asarray(law.train.mean[2, :, 0]) - law.data.y_train[:, 0])
    assert off.max() > 0.1
    assert np.all(off <= errors.side("train").mean(last)[0])
    assert np.all(np.isfinite(errors.side("train").mean(last)))
    # Long before the direction counts nothing is lost.
    assert np.all(errors.side("test").mean(slice(0, 2)) < 1e-11)


@pytest.mark.parametrize("kind", ["near", "linear"])
def test_no_error_is_undefined(kind):
    curves = ni.curves_of(task(kind), progress=silent)
    for key, values in curves.data_vars.items():
        error = curves.get(f"{key}_standard_error")
        if error is not None:
            assert not np.any(np.isnan(error.values) & ~np.isnan(values.values)), key
            assert np.all(error.values[~np.isnan(error.values)] >= 0), key
    stated = curves["loss_mean_standard_error"].sel(split="test").values
    assert np.isinf(stated[-1]) == (kind == "near")


@pytest.mark.parametrize("kind", ["equal", "opposite", "multiple", "linear"])
def test_null_for_a_reason_costs_nothing(kind):
    law = task(kind)
    assert int(np.asarray(law.spectrum.null).sum()) == (2 if kind == "linear" else 1)
    assert not law.undecided
    errors, last = NumericalErrors(law), slice(2, 3)
    assert np.all(errors.side("test").mean(last) < 1e-9)
    assert np.all(errors.side("test").variance(last, law.test.variance[last]) < 1e-9)


@pytest.mark.parametrize(
    ("rows", "homogeneous", "odd", "rank"),
    [
        ([[1, 2], [3, 6], [-1, -2], [1, 3]], True, False, 3),
        ([[1, 2], [3, 6], [-1, -2], [1, 3]], True, True, 2),
        ([[1, 2], [3, 6], [-1, -2], [1, 3]], False, True, 3),
        ([[0, 0], [0.1, 0.7], [0.3, 2.1]], True, False, 2),  # 0.3 is not three times 0.1
        ([[0, 0], [0.1, 0.2], [0.4, 0.8]], True, False, 1),
    ],
)
def test_multiples_are_counted_exactly(rows, homogeneous, odd, rank):
    assert independent(np.array(rows, dtype=float), homogeneous, odd) == rank


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_the_stated_error_of_the_linear_model_covers_early_times(noise):
    blocks, data = given(np.random.default_rng(5), 1.0)
    procedure = ni.GradientFlow(ridge=20.0, target_noise_variance=noise)
    law = ni.output_distribution(blocks, data, procedure, np.array([1e-9, 1e-7, 1e-4]))
    found = NumericalErrors(law).linear_model(linear_model(law))
    values, squares = np.asarray(law.eigenvalues), np.sum(np.asarray(law.targets) ** 2, axis=1)
    with mp.workdps(60):
        for index, time in enumerate(law.times):
            right = mp.mpf(0)
            for value, square in zip(values, squares, strict=True):
                g = -mp.expm1(-(mp.mpf(value) + 20) * mp.mpf(time)) / (mp.mpf(value) + 20)
                left = (1 - value * g) ** 2 + mp.mpf(noise) * value * g**2
                right += (value * g**2 * square + law.n_outputs * (left - 1 - mp.log(left))) / 2
            assert abs(found.value[index] - right) <= found.standard_error[index]


def given(rng, scale, error=0.0):
    """Kernels of random features as arrays, their entries off by at most `error`, as a user would give them."""
    features = np.random.default_rng(7).standard_normal((10, 30)) * scale
    gram = features @ features.T / 30
    tangent = gram + 0.5 * (features**2) @ (features**2).T / 30
    signs = [np.sign(rng.standard_normal((10, 10))) for _ in range(2)]
    nngp, ntk = (
        k + error * np.triu(s) * np.sqrt(np.outer(k.diagonal(), k.diagonal()))
        for k, s in zip((gram, tangent), signs, strict=True)
    )
    nngp, ntk = (np.triu(k) + np.triu(k, 1).T for k in (nngp, ntk))
    x, y = features[:, :4], np.random.default_rng(8).standard_normal((10, 2)) * scale
    diagonals = nngp.diagonal()[6:].copy(), ntk.diagonal()[6:].copy()
    blocks = KernelBlocks(
        SquareBlocks(nngp[:6, :6].copy(), ntk[:6, :6].copy()),
        CrossBlocks(nngp[6:, :6].copy(), ntk[6:, :6].copy(), *diagonals),
        kernel_error=error,
    )
    return blocks, ni.Dataset(x[:6], y[:6], x[6:], y[6:])


PROCEDURES = {
    "flow": ni.GradientFlow(),
    "ridge": ni.GradientFlow(ridge=0.1, target_noise_variance=0.2),
    "descent": ni.GradientDescent(step_size=0.5),
    "momentum": ni.HeavyBall(step_size=0.4, momentum=0.9),
}
QUANTITIES = [
    "loss_mean",
    "variance",
    "information_training_set",
    "speed_squared",
    "path_energy",
    "parameter_distance_squared",
    "information_parameters",
]


@pytest.mark.parametrize("name", PROCEDURES)
def test_errors_of_the_kernels_given_are_carried_on(name):
    """What kernels anywhere within their stated error give lies within twice the stated errors, at every time."""
    times, spreads = np.array([2e-3, 2.0, 50.0, 500.0]), []
    for seed in range(4):
        blocks, data = given(np.random.default_rng(seed), 1.0, 1e-8)
        law = ni.output_distribution(blocks, data, PROCEDURES[name], times)
        errors, curves = NumericalErrors(law), ni.curves_of(law, quantities=QUANTITIES, progress=silent)
        values, stated = {}, {}
        for split in ("train", "test"):
            side, bound = getattr(law, split), errors.side(split)
            everything = slice(None)
            values["mean", split], stated["mean", split] = np.asarray(side.mean[..., 0]), bound.mean(everything)
            variance = np.asarray(side.variance)
            values["output variance", split] = variance
            stated["output variance", split] = bound.variance(everything, variance)
        for quantity in QUANTITIES:
            values[quantity], stated[quantity] = curves[quantity].values, curves[f"{quantity}_standard_error"].values
        spreads.append((values, stated))
    first, bounds = spreads[0]
    for values, _ in spreads[1:]:
        for key, value in values.items():
            known = np.isfinite(value)
            assert np.all(np.abs(value - first[key])[known] <= 2 * bounds[key][known]), key
