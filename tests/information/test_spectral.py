"""Contributions of eigen-directions: sums against the totals, parts against dense algebra, limits."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import ntkinfo as ni
from ntkinfo.core.arrays import float64
from ntkinfo.core.linear_algebra import NotDefiniteError
from ntkinfo.core.progress import silent
from ntkinfo.information import spectral
from ntkinfo.information.function_space import information_labels_function_space
from ntkinfo.information.label_model import LabelModel
from ntkinfo.information.losses import closed_form
from ntkinfo.information.parameters import function_space, linear_model
from ntkinfo.information.path import path
from ntkinfo.information.spectral import SPECTRAL_QUANTITIES, spectral_contributions
from ntkinfo.kernels.records import CrossBlocks, KernelBlocks, SquareBlocks
from ntkinfo.training.discrete import GradientDescent, HeavyBall
from ntkinfo.training.output_distribution import output_distribution
from ntkinfo.training.procedures import Converged, GradientFlow, nngp_posterior
from tests.random_features import RandomFeatures

TIMES = np.array([0.0, 0.02, 0.6, 4.0, 40.0])
SUMS = [
    "fisher_trace",
    "speed_squared",
    "path_energy",
    "parameter_distance_squared",
    "learnt_directions",
    "information_parameters_linear",
    "information_labels",
    "train_loss_mean",
    "train_bias_squared",
    "train_variance",
    "train_loss_gibbs",
]


def contributions(law, quantities=None, bands=None, **more):
    return spectral_contributions(law, quantities, bands, progress=silent, **more)


def law_of(procedure, times=TIMES, **model):
    model = RandomFeatures(**model)
    return output_distribution(model.blocks, model.data, procedure, times), model


def totals(law):
    """The totals by the modules that compute them without a split."""
    geometry = path(law)
    found = {
        "fisher_trace": geometry.fisher_trace,
        "speed_squared": geometry.speed_squared,
        "path_energy": geometry.energy,
        "parameter_distance_squared": geometry.distance,
    }
    if law.summed.temperature == 0:
        found["information_parameters_linear"] = linear_model(law).value
    if not law.summed.is_noisy or law.prior.ndim == 1:
        found["information_parameters"] = function_space(law).value
    for split in ("train", "test"):
        side = getattr(law, split)
        losses = closed_form(side.mean, side.variance, getattr(law.data, f"y_{split}"))
        found |= {f"{split}_{key}": losses[key] for key in ("loss_mean", "bias_squared", "variance", "loss_gibbs")}
    return found


PROCEDURES = {
    "flow": (GradientFlow(), {}),
    "mean loss, ridge": (GradientFlow(ridge=0.3, loss="mean"), {}),
    "descent": (GradientDescent(step_size=0.02), {}),
    "momentum": (HeavyBall(step_size=0.02, momentum=0.8), {}),
    "converged": (Converged(ridge=0.1), {}),
    "noisy targets": (GradientFlow(target_noise_variance=0.2), {}),
    "noise everywhere": (GradientFlow(ridge=0.2, target_noise_variance=0.1, temperature=0.3), {}),
    "randomised prior": (GradientFlow(prior="ntk"), {"outputs": 1}),
    "randomised prior, noise": (GradientFlow(prior="ntk", target_noise_variance=0.1, temperature=0.2), {}),
    "readout": (GradientFlow(tangent="nngp"), {"outputs": 3}),
    "posterior": (nngp_posterior(0.3), {}),
    "repeated inputs": (GradientFlow(), {"repeat": True}),
}


@pytest.mark.parametrize("name", PROCEDURES)
def test_sums_over_directions_are_the_totals(name):
    procedure, model = PROCEDURES[name]
    law, _ = law_of(procedure, **model)
    result = contributions(law)
    for quantity, total in totals(law).items():
        sum_ = result[quantity].sum("mode")
        if f"{quantity}_offset" in result:
            sum_ = sum_ + result[f"{quantity}_offset"]
        np.testing.assert_allclose(sum_, total, rtol=1e-10, atol=1e-12 * np.max(np.abs(total)), err_msg=quantity)
    assert bool((result.eigenvalue.diff("mode") <= 0).all())
    assert all({"long_name", "units", "meaning"} <= set(result[q].attrs) for q in result.data_vars)


def totals_without_prior(law):
    return law.n_outputs * law.train.variance.mean(axis=1)


def trained_directions(law, chosen, time):
    """A_t with the filter set to 0 in all directions but the chosen ones."""
    g = law.summed.filter(law.eigenvalues, np.array([time]))[0] * chosen
    return law.spectrum.eigenvectors @ (g[:, None] * law.spectrum.eigenvectors.T)


def shapley(law, value, time):
    """What training each direction adds, averaged over orders; for quadratic values first and last are enough."""
    n = len(law.eigenvalues)
    none, everything = (value(trained_directions(law, np.full(n, k), time)) for k in (0.0, 1.0))
    parts = []
    for j in range(n)[::-1]:
        only = np.arange(n) == j
        first, last = (value(trained_directions(law, chosen.astype(float), time)) for chosen in (only, ~only))
        parts.append(0.5 * (first - none + everything - last))
    return np.array(parts)


def dense_values(law, model):
    """Quantities as functions of A_t, by dense algebra on the random features."""
    n, outputs, y = model.n, model.outputs, model.y
    start = (model.start @ model.start.T)[:n, :n]

    def relative_entropy(propagate):
        mean, covariance, _ = model.law(propagate)
        inside = np.linalg.solve(start, covariance[:n, :n])
        moved = np.sum(mean[:n] * np.linalg.solve(start, mean[:n]))
        return 0.5 * (outputs * (np.trace(inside) - n - np.linalg.slogdet(inside)[1]) + moved)

    def bias(rows):
        return lambda a: np.mean(np.sum((model.law(a)[0] - y)[rows] ** 2, axis=1))

    def variance(rows):
        return lambda a: outputs * np.mean(np.diag(model.law(a)[1])[rows])

    def distance(propagate):
        step = model.jacobian[:n].T @ propagate
        return outputs * np.sum((step @ model.start[:n]) ** 2) + np.sum((step @ y[:n]) ** 2)

    train, test = slice(n), slice(n, None)
    return {
        "information_parameters": relative_entropy,
        "train_bias_squared": bias(train),
        "train_variance": variance(train),
        "test_bias_squared": bias(test),
        "test_variance": variance(test),
        "parameter_distance_squared": distance,
        "test_loss_gibbs": lambda a: 0.5 * (bias(test)(a) + variance(test)(a)),
    }


@pytest.mark.parametrize("ridge", [0.0, 0.4])
def test_every_direction_against_dense_algebra(ridge):
    law, model = law_of(GradientFlow(ridge=ridge), np.array([0.0, 0.05, 0.6, 4.0]))
    values = dense_values(law, model)
    result = contributions(law, list(values))
    for name, value in values.items():
        for index, time in enumerate(law.times):
            part = result[name][index] - (result[name][0] if name.startswith("train") else 0)
            np.testing.assert_allclose(part, shapley(law, value, time), rtol=1e-8, atol=1e-10, err_msg=name)


def test_directions_of_the_parameters_of_a_linear_model():
    """f = Jθ: along Jᵀu/√λ every parameter direction is a Gaussian of its own."""
    law, model = law_of(GradientFlow(), TIMES[:4], shared=True)
    result = contributions(
        law, ["information_parameters_linear", "parameter_distance_squared", "information_parameters"]
    )
    jacobian = model.jacobian[: model.n]
    directions = (jacobian.T @ law.spectrum.eigenvectors / np.sqrt(law.eigenvalues)[None, :])[:, ::-1]
    for index, time in enumerate(law.times):
        gain = jacobian.T @ model.flow(time)
        matrix = np.eye(model.parameters) - gain @ jacobian
        mean, spread = directions.T @ gain @ model.y[: model.n], directions.T @ matrix
        variance, moved = np.sum(spread**2, axis=1), np.sum((spread - directions.T) ** 2, axis=1)
        squared = np.sum(mean**2, axis=1)
        entropy = 0.5 * (squared + model.outputs * (variance - 1 - np.log(variance)))
        np.testing.assert_allclose(result.information_parameters_linear[index], entropy, rtol=1e-7, atol=1e-12)
        np.testing.assert_allclose(
            result.parameter_distance_squared[index], squared + model.outputs * moved, atol=1e-12
        )
    # K = Θ: the training outputs carry all of it, direction by direction.
    np.testing.assert_allclose(result.information_parameters, result.information_parameters_linear, rtol=1e-9)


def label_information(law, model, index, directions, labels):
    """I(z;Y) of some directions of the training outputs, by log-determinants of dense covariances."""
    vectors = law.spectrum.eigenvectors[:, ::-1][:, directions]
    time = law.times[index]
    step = model.jacobian[: model.n] @ model.jacobian[: model.n].T @ trained_directions(law, 1.0, time)
    covariance = vectors.T @ law.train.covariance(time) @ vectors
    signal = vectors.T @ step @ labels @ step.T @ vectors
    return 0.5 * model.outputs * np.linalg.slogdet(np.eye(len(covariance)) + np.linalg.solve(covariance, signal))[1]


@pytest.mark.parametrize("noise", [0.0, 0.2])
@pytest.mark.parametrize("given_labels", [False, True])
def test_information_about_the_labels_against_dense_covariances(noise, given_labels):
    times = np.array([0.05, 0.6, 2.0])
    law, model = law_of(GradientFlow(target_noise_variance=noise), times)
    n = model.n
    labels, covariance = model.blocks.train.nngp + 0.3 * np.eye(n), None
    if given_labels:
        root = np.random.default_rng(0).normal(size=(n, n))
        covariance = root @ root.T
        labels = root @ root.T + 0.3 * np.eye(n)
    names = ["information_labels", "information_labels_joint"]
    result = contributions(law, names, label_model=LabelModel(0.3, covariance))
    for index in range(len(times)):
        before = 0.0
        for j in range(n):
            alone = label_information(law, model, index, [j], labels)
            assert float(result.information_labels[index, j]) == pytest.approx(alone, rel=1e-8)
            upto = label_information(law, model, index, list(range(j + 1)), labels)
            assert float(result.information_labels_joint[index, j]) == pytest.approx(upto - before, rel=1e-6, abs=1e-9)
            before = upto
    joint = result.information_labels_joint.sum("mode")
    assert bool((result.information_labels <= joint).all())
    whole = information_labels_function_space(law, LabelModel(0.3, covariance))
    np.testing.assert_allclose(joint, whole.value, rtol=1e-8, atol=float(np.max(whole.standard_error)))
    assert "lower bound" in result.information_labels.attrs["meaning"]


@pytest.mark.parametrize(
    "procedure", [GradientFlow(prior="ntk"), GradientFlow(tangent="nngp", target_noise_variance=0.1)]
)
def test_information_about_the_labels_is_additive_where_eigenvectors_are_shared(procedure):
    law, _ = law_of(procedure, np.array([0.0, 0.3, 5.0]))
    result = contributions(law, ["information_labels", "information_labels_joint"], label_model=LabelModel(0.1))
    assert result.information_labels.attrs["meaning"] == "exact"
    np.testing.assert_allclose(result.information_labels_joint, result.information_labels, rtol=1e-8, atol=1e-12)
    for index, time in enumerate(law.times):
        step = law.spectrum.eigenvectors @ np.diag(
            law.eigenvalues * law.summed.filter(law.eigenvalues, np.array([time]))[0]
        )
        signal = step @ np.diag(law.prior + 0.1) @ step.T
        inside = np.eye(12) + np.linalg.solve(law.train.covariance(time), signal)
        dense = 0.5 * law.n_outputs * np.linalg.slogdet(inside)[1]
        assert float(result.information_labels[index].sum()) == pytest.approx(dense, rel=1e-8, abs=1e-12)


def test_information_about_the_labels_grows_on_where_residuals_underflow():
    law, _ = law_of(GradientFlow(), np.array([1e3, 2e4, 4e4, np.inf]))
    largest = float(law.eigenvalues[-1])
    assert largest * 2e4 > 1e4  # r² is far below the smallest floating-point number
    result = contributions(law, ["information_labels", "information_labels_joint"])
    for name in result.data_vars:
        slope = (result[name][2] - result[name][1]) / 2e4
        # −C log r a direction: the rate of the information is C λ.
        np.testing.assert_allclose(slope, law.n_outputs * result.eigenvalue, rtol=1e-9)
        assert bool(np.isinf(result[name][3]).all())


def test_before_training_nothing_is_learnt():
    law, model = law_of(GradientFlow(), np.array([0.0]))
    result = contributions(law, [*SPECTRAL_QUANTITIES])
    for name in SPECTRAL_QUANTITIES:
        if name not in ("fisher_trace", "speed_squared") and not name.startswith("train"):
            np.testing.assert_allclose(result[name], 0, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(result.train_bias_squared[0], result.target_squared / model.n, rtol=1e-12)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 1000),
    ridge=st.sampled_from([0.0, 0.1, 10.0]),
    noise=st.sampled_from([0.0, 0.5]),
    kind=st.sampled_from(["flow", "descent", "momentum"]),
    prior=st.sampled_from(["nngp", "ntk"]),
)
def test_sums_as_they_stand_have_no_part_below_zero(seed, ridge, noise, kind, prior):
    common = {"ridge": ridge, "target_noise_variance": noise, "prior": prior}
    procedure = {
        "flow": lambda: GradientFlow(**common),
        "descent": lambda: GradientDescent(step_size=0.03, **common),
        "momentum": lambda: HeavyBall(step_size=0.03, momentum=0.5, **common),
    }[kind]()
    law, _ = law_of(procedure, seed=seed)
    result = contributions(law)
    for name in SUMS:
        # The energy of momentum carries the rounding of its two roots.
        assert float(result[name].min()) >= -1e-14 * float(result[name].max()), name
        assert bool(np.isfinite(result[name]).all()), name
    if kind == "flow":
        for name in ("learnt_directions", "parameter_distance_squared", "path_energy", "information_labels"):
            assert float(result[name].diff("time").min()) >= -1e-12, name
    if ridge == 0:
        assert float(result.learnt_directions.max()) <= 1 + 1e-9 or kind == "momentum"


def test_bands_gather_the_directions():
    law, _ = law_of(GradientFlow(), n=30, m=5, parameters=80)
    whole, banded = contributions(law), contributions(law, bands=4)
    assert int(banded["count"].sum()) == 30
    assert banded.sizes["band"] == 4
    ends = [float(banded.eigenvalue_upper[0]), *banded.eigenvalue_lower.values]
    np.testing.assert_allclose(np.diff(np.log(ends)), np.log(ends[-1] / ends[0]) / 4)
    for band in range(4):
        lower, upper = float(banded.eigenvalue_lower[band]), float(banded.eigenvalue_upper[band])
        inside = (whole.eigenvalue >= lower) & ((whole.eigenvalue < upper) | (band == 0))
        assert int(inside.sum()) == int(banded["count"][band])
        for name in whole.data_vars:
            if "offset" not in name:
                wanted = whole[name].where(inside, 0).sum("mode")
                np.testing.assert_allclose(banded[name][:, band], wanted, rtol=1e-10, atol=1e-12, err_msg=name)
    for name in whole.data_vars:
        if "offset" in name:
            xr.testing.assert_identical(whole[name], banded[name])
    repeated, _ = law_of(GradientFlow(), repeat=True)
    null = contributions(repeated, bands=3)
    assert (int(null["count"][-1]), float(null.eigenvalue[-1]), null.sizes["band"]) == (1, 0.0, 4)
    assert float(null.learnt_directions[-1, -1]) == 0
    many = contributions(law, ["learnt_directions"], bands=500)
    np.testing.assert_allclose(many.learnt_directions.sum("band"), whole.learnt_directions.sum("mode"), rtol=1e-12)


def test_runs_of_times_do_not_matter(monkeypatch):
    law, _ = law_of(GradientFlow())
    whole = contributions(law, [*SPECTRAL_QUANTITIES])
    monkeypatch.setattr(spectral, "_TABLE_ELEMENTS", 24)
    parts = contributions(law, [*SPECTRAL_QUANTITIES])
    for name in whole.data_vars:
        np.testing.assert_allclose(parts[name], whole[name], rtol=1e-10, atol=1e-13, err_msg=name)


def test_real_kernels_over_many_decades_of_eigenvalues():
    data = ni.data.digits(n_train=60, n_test=50)
    network = ni.FullyConnected(depth=2, activation="erf", w_std=1.5, b_std=0.1)
    times = np.concatenate([[0.0], np.geomspace(1e-3, 1e5, 9)])
    law = output_distribution(ni.kernel_blocks(network, data), data, GradientFlow(), times)
    result = contributions(law)
    for quantity, total in totals(law).items():
        sum_ = result[quantity].sum("mode")
        if f"{quantity}_offset" in result:
            sum_ = sum_ + result[f"{quantity}_offset"]
        # Small train losses and variances next to large ones: relative to the largest.
        np.testing.assert_allclose(sum_, total, rtol=1e-10, atol=1e-11 * np.max(np.abs(total)), err_msg=quantity)


def test_jax_arrays_give_the_same_numbers():
    law, model = law_of(GradientFlow(target_noise_variance=0.1))
    with float64():
        square = SquareBlocks(*(jnp.asarray(a) for a in (model.blocks.train.nngp, model.blocks.train.ntk)))
        cross = model.blocks.test
        fields = (cross.nngp, cross.ntk, cross.nngp_diagonal, cross.ntk_diagonal)
        blocks = KernelBlocks(square, CrossBlocks(*(jnp.asarray(a) for a in fields)))
    device = output_distribution(blocks, model.data, law.procedure, TIMES)
    names = [name for name in SPECTRAL_QUANTITIES if name != "information_parameters"]
    one, other = contributions(law, names), contributions(device, names)
    for name in one.data_vars:
        assert isinstance(other[name].values, np.ndarray)
        np.testing.assert_allclose(other[name], one[name], rtol=1e-8, atol=1e-11, err_msg=name)


def test_singular_prior_is_named_or_raised():
    law, model = law_of(GradientFlow())
    start = model.start[:, :2]  # it varies in two directions only, the tangent kernel moves all of them
    k, n = start @ start.T, model.n
    test = replace(model.blocks.test, nngp=k[n:, :n], nngp_diagonal=np.diag(k)[n:].copy())
    blocks = replace(model.blocks, train=SquareBlocks(k[:n, :n], model.blocks.train.ntk), test=test)
    singular = output_distribution(blocks, law.data, GradientFlow(), TIMES)
    result = contributions(singular)
    assert bool(np.isnan(result.information_parameters).all())
    assert "information_parameters not computed" in result.attrs["notes"]
    np.testing.assert_allclose(result.train_variance.sum("mode"), totals_without_prior(singular), rtol=1e-10)
    with pytest.raises(NotDefiniteError):
        contributions(singular, ["information_parameters"])


def test_bad_input():
    law, _ = law_of(GradientFlow(temperature=0.1))
    for names, message in (
        (["information_parameters"], "no sum over directions"),
        (["information_parameters_linear"], "temperature"),
        (["path_lenght"], "not known"),
        ([], "empty"),
    ):
        with pytest.raises(ValueError, match=message):
            contributions(law, names)
    with pytest.raises(ValueError, match="bands"):
        contributions(law, bands=0)
    with pytest.raises(ValueError, match="covariance has shape"):
        contributions(law, label_model=LabelModel(covariance=np.eye(3)))
