"""Information curves: ordering, limits, selection, files, interruption."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

import ntkinfo as ni
from ntkinfo.core.progress import silent
from ntkinfo.core.records import Dataset
from ntkinfo.information.curves import CurveSettings, Interrupted, curves_of, information_curves
from ntkinfo.information.joint import information_joint
from ntkinfo.information.label_model import LabelModel, information_labels_per_input
from ntkinfo.information.parameters import function_space
from ntkinfo.information.quantities import QUANTITIES
from ntkinfo.information.training_set import relative_entropy_joint, relative_entropy_per_input
from ntkinfo.kernels.records import SquareBlocks
from ntkinfo.training.discrete import GradientDescent
from ntkinfo.training.output_distribution import output_distribution
from ntkinfo.training.procedures import GradientFlow, nngp_posterior
from ntkinfo.training.times import log_times
from tests.random_features import RandomFeatures

TIMES = np.concatenate([[0.0], np.geomspace(1e-3, 1e7, 14), [np.inf]])
NETWORK = ni.FullyConnected(depth=2, activation="erf", w_std=1.5, b_std=0.1)


def problems():
    """Small versions of every kind of problem: outputs, targets, procedures."""
    small = {"n_train": 48, "n_test": 40}
    yield "digits", ni.data.digits(**small), GradientFlow()
    yield "parity", ni.data.digits(**small, targets="parity"), GradientFlow(ridge=0.01)
    yield "pair", ni.data.breast_cancer(**small), GradientDescent(step_size=1e-3)
    yield "wine", ni.data.wine(**small), GradientFlow(target_noise_variance=0.1)
    yield "regression", ni.data.diabetes(**small), GradientFlow(loss="mean")


@pytest.fixture(scope="module", params=problems(), ids=lambda problem: problem[0])
def curves(request):
    _, data, procedure = request.param
    return information_curves(NETWORK, data, TIMES, procedure=procedure, progress=silent), data


def spread(curves, name):
    """Five standard errors, or the numerical error, and rounding."""
    return 5 * curves[f"{name}_standard_error"] + 1e-9


def test_bounds_enclose_the_value_at_every_time(curves):
    result, data = curves
    value, slack = result.information_input, spread(result, "information_input")
    assert bool((result.information_input_lower <= value + slack).all())
    assert bool((value <= result.information_input_upper + slack).all())
    multi = result.information_input_multisample_upper
    slack_multi = slack + 5 * result.information_input_multisample_upper_standard_error.fillna(0)
    assert bool((value <= multi + slack_multi).all())
    assert bool((abs(result.information_input_multisample_lower - value) <= 2 * slack + 0.02).all())
    assert bool((value >= -slack).all())
    ceiling = xr.DataArray(np.log([len(data.x_train), len(data.x_test)]), dims="split")
    assert bool((value <= ceiling + slack).all())


def test_target_information_is_bounded_by_input_information_and_label_entropy(curves):
    result, data = curves
    if data.labels_train is None:
        # The bound for continuous targets: 0 before training, then what a linear decoder gets out.
        assert bool((result.information_target >= -1e-12).all())
        np.testing.assert_allclose(result.information_target.values[0], 0, atol=1e-12)
        assert bool((result.information_target[-1] > 0.05).all())
        return
    value, slack = result.information_target, spread(result, "information_target")
    assert bool((result.information_target_lower <= value + slack).all())
    assert bool((value <= result.information_target_upper + slack).all())
    assert bool((value <= result.information_input + slack + spread(result, "information_input")).all())
    for split, labels in (("train", data.labels_train), ("test", data.labels_test)):
        shares = np.unique(labels, return_counts=True)[1] / len(labels)
        entropy = -np.sum(shares * np.log(shares))
        assert bool((value.sel(split=split) <= entropy + slack.sel(split=split)).all())


def test_losses_are_consistent(curves):
    result, _ = curves
    np.testing.assert_allclose(result.loss_gibbs, (result.bias_squared + result.variance) / 2, rtol=1e-12)
    np.testing.assert_allclose(result.loss_mean, result.bias_squared / 2, rtol=1e-12)
    # Jensen: the predictive law loses no more than a member does on average.
    assert bool((result.loss_bayes <= result.loss_gibbs_nll + 1e-12).all())


def test_relative_entropies_start_at_zero_and_are_never_negative(curves):
    result, _ = curves
    for name in ("information_parameters", "information_training_set", "information_training_set_labels"):
        assert bool((result[name] >= 0).all()), name
    if not result.attrs["procedure"].count("target_noise_variance=0.1"):
        assert result.information_parameters.values[0] == pytest.approx(0, abs=1e-9)
        np.testing.assert_allclose(result.information_training_set.values[0], 0, atol=1e-9)
    assert not result.information_training_set_labels.values[0].any()


def test_every_variable_says_what_it_is(curves):
    result, _ = curves
    assert not np.isnan(result.time).any()
    for name, variable in result.data_vars.items():
        assert not variable.isnull().any(), name
        assert {"units", "long_name", "meaning"} <= set(variable.attrs), name
        assert variable.attrs["meaning"], name
    assert result.attrs["network"]
    assert result.attrs["version_jax"]
    assert len(result.attrs["kernel_fingerprint"]) == 64


def test_eigenvalues_and_entropies_of_the_classes_stand_beside_the_curves(curves):
    result, data = curves
    tangent = np.asarray(ni.kernel_blocks(NETWORK, data).train.ntk)
    values = result["eigenvalue"].values
    assert np.all(np.diff(values) <= 0)
    # Two routes to the trace and to the sum of squares: the decomposition and the kernel's entries.
    assert values.sum() == pytest.approx(np.trace(tangent), rel=1e-12)
    assert np.sum(values**2) == pytest.approx(np.sum(tangent**2), rel=1e-12)
    for split in ("train", "test"):
        labels = getattr(data, f"labels_{split}")
        if labels is None:
            assert f"class_entropy_{split}" not in result.attrs
            continue
        shares = np.array([np.mean(labels == value) for value in set(labels.tolist())])
        assert result.attrs[f"class_entropy_{split}"] == pytest.approx(-np.sum(shares * np.log(shares)), abs=1e-14)


def test_files_are_read_back_identical(curves, tmp_path):
    result, _ = curves
    path = ni.save_curves(result, tmp_path / "curves.nc")
    assert ni.load_curves(path).identical(result)
    assert [p.name for p in tmp_path.iterdir()] == ["curves.nc"]


def test_limits_on_the_training_inputs():
    data = ni.data.digits(n_train=48, n_test=20, targets="one-hot")
    result = information_curves(NETWORK, data, np.array([0.0, np.inf]), progress=silent)
    shares = np.unique(data.labels_train, return_counts=True)[1] / 48
    entropy = -np.sum(shares * np.log(shares))
    end = result.isel(time=1, split=0)
    assert float(end.information_input) == pytest.approx(entropy, abs=1e-12)
    assert float(end.information_target) == pytest.approx(entropy, abs=1e-12)
    assert np.isinf(end.information_training_set)


def test_equal_norms_at_the_start_and_distinct_certain_outputs_at_the_end():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(30, 6))
    x /= np.linalg.norm(x, axis=1)[:, None]
    y = rng.normal(size=(30, 2))
    data = Dataset(x[:20], y[:20], x[20:], y[20:])
    result = information_curves(NETWORK, data, np.array([0.0, np.inf]), progress=silent)
    np.testing.assert_allclose(result.information_input.values[0], 0, atol=1e-10)
    assert float(result.information_input[1, 0]) == pytest.approx(np.log(20), abs=1e-12)


def test_late_training_outputs_keep_the_information_that_rounding_would_lose():
    """Outputs with equal targets go on differing by their own deviations until infinity: mpmath carries the digits."""
    import mpmath

    model = RandomFeatures(n=6, m=2, parameters=20, outputs=1)
    y = np.array([1.0, 1.0, 1.0, -1.0, -1.0, -1.0])[:, None]
    data = Dataset(model.x[:6], y, model.x[6:], np.zeros((2, 1)), (y[:, 0] > 0).astype(int), np.array([0, 1]))
    times = np.array([60.0, 200.0])
    law = output_distribution(model.blocks, data, GradientFlow(), times)
    result = curves_of(law, quantities=["information_input", "information_training_set"], progress=silent)
    with mpmath.workdps(400):
        theta, start = (mpmath.matrix(k.tolist()) for k in (model.blocks.train.ntk, model.blocks.train.nngp))
        values, vectors = mpmath.eigsy(theta)
        for index, time in enumerate(times):
            decay = vectors * mpmath.diag([mpmath.exp(-v * mpmath.mpf(time)) for v in values]) * vectors.T
            left, covariance = decay * mpmath.matrix(y.tolist()), decay * start * decay
            scale = mpmath.sqrt(max(covariance[i, i] for i in range(6)))
            mean = np.array([float(-left[i] / scale + 1000 * int(y[i, 0])) for i in range(6)])[:, None]
            variance = np.array([float(covariance[i, i] / scale**2) for i in range(6)])
            relative = [
                (covariance[i, i] / start[i, i] - 1 - mpmath.log(covariance[i, i] / start[i, i])) / 2
                + (y[i, 0] - left[i]) ** 2 / start[i, i] / 2
                for i in range(6)
            ]
            assert float(sum(relative) / 6) == pytest.approx(float(result.information_training_set[index, 0]), rel=1e-9)
            wanted = ni.information_input(mean, variance).value.value
            assert float(result.information_input[index, 0]) == pytest.approx(wanted, abs=1e-6)
            assert wanted > np.log(2) + 0.1


def test_joint_relative_entropy_bounds_and_equals():
    model = RandomFeatures()
    law = output_distribution(model.blocks, model.data, GradientFlow(), np.array([0.3, 2.0]))
    for index, time in enumerate(law.times):
        joint = relative_entropy_joint(law.train, model.blocks.train.nngp, time)
        assert joint.value == pytest.approx(function_space(law).value[index], rel=1e-10)
        each = relative_entropy_per_input(
            law.train.mean, law.train.log_variance_at(slice(None)), law.train.initial_variance
        )
        # A marginal is never further from its start than the whole.
        assert float(each[index].max()) <= joint.value


def test_selection_and_its_errors():
    data = ni.data.diabetes(n_train=20, n_test=10)
    chosen = information_curves(NETWORK, data, TIMES[:3], quantities=["loss_bayes", "path_length"], progress=silent)
    names = {"loss_bayes", "path_length"}
    assert set(chosen.data_vars) == names | {f"{name}_standard_error" for name in names} | {"eigenvalue"}
    with pytest.raises(ValueError, match="did you mean 'loss_bayes'"):
        information_curves(NETWORK, data, TIMES, quantities=["loss_bayse"])
    with pytest.raises(ValueError, match="no classes"):
        information_curves(NETWORK, data, TIMES, quantities=["error_mean"])
    with pytest.raises(ValueError, match="empty"):
        information_curves(NETWORK, data, TIMES, quantities=[])
    with pytest.raises(ValueError, match="extra_inputs is 11"):
        information_curves(NETWORK, data, TIMES, settings=CurveSettings(extra_inputs=11))
    wrong = CurveSettings(label_model=LabelModel(covariance=np.eye(7)))
    with pytest.raises(ValueError, match=r"label_model\.covariance has shape"):
        information_curves(NETWORK, data, TIMES, settings=wrong)
    with pytest.raises(ValueError, match="interpolation_tolerance"):
        CurveSettings(interpolation_tolerance=0.0)
    with pytest.raises(ValueError, match="even"):
        CurveSettings(samples_per_input=7)
    everything = information_curves(NETWORK, data, TIMES[:2], progress=silent)
    wanted = {name for name, q in QUANTITIES.items() if not q.needs_labels and q.default}
    assert {name for name in everything.data_vars if name in QUANTITIES} == wanted


def test_a_job_that_cannot_fit_is_refused_before_any_kernel(monkeypatch):
    data = ni.data.digits(n_train=200, n_test=20)
    monkeypatch.setattr("ntkinfo.information.curves.available_memory", lambda: 0.001)
    monkeypatch.setattr(
        "ntkinfo.information.curves.kernel_blocks", lambda *_, **__: pytest.fail("kernels were computed")
    )
    with pytest.raises(MemoryError, match=r"200 training inputs.* GiB .*take about \d+ training inputs"):
        information_curves(NETWORK, data, TIMES)


def test_a_singular_prior_leaves_one_quantity_undefined_and_says_so():
    """The start varies in two directions only, the tangent kernel moves all of them."""
    model = RandomFeatures()
    start = model.start[:, :2]
    k, n = start @ start.T, model.n
    blocks = replace(
        model.blocks,
        train=SquareBlocks(k[:n, :n], model.blocks.train.ntk),
        test=replace(model.blocks.test, nngp=k[n:, :n], nngp_diagonal=np.diag(k)[n:].copy()),
    )
    law = output_distribution(blocks, model.data, GradientFlow(), np.array([0.5]))
    singular = ["information_parameters", "information_parameters_labels", "information_training_set_joint"]
    result = curves_of(law, quantities=[*singular, "loss_mean"], progress=silent)
    for name in singular:
        split = {"split": "train"} if "split" in result[name].dims else {}
        assert np.isnan(result[name].sel(split)).all()
        assert f"{name}{' (train)' if split else ''} not computed" in result.attrs["notes"]
    assert "labels_joint" not in result.attrs["notes"]
    assert np.isfinite(result.loss_mean).all()


@pytest.mark.parametrize("procedure", [GradientFlow(), GradientFlow(target_noise_variance=0.1)])
def test_extra_inputs_raise_the_lower_bounds(procedure):
    data = ni.data.digits(n_train=30, n_test=20)
    names = ["information_parameters", "information_parameters_labels"]
    each = [
        information_curves(
            NETWORK,
            data,
            TIMES[:6],
            procedure=procedure,
            quantities=names,
            settings=CurveSettings(extra_inputs=count),
            progress=silent,
        )
        for count in (0, 5, 20)
    ]
    for name in names:
        values = np.stack([curves[name].values for curves in each])
        assert np.all(np.diff(values, axis=0) >= -1e-9)
        assert values[2, 3] > values[0, 3] * (1 + 1e-9)


def test_label_informations_are_ordered_and_grow_with_noise_free_labels():
    """One output knows less than all together; those on the training inputs are the function there."""
    data, joint = ni.data.digits(n_train=30, n_test=20), "information_training_set_labels_joint"
    names = ["information_training_set_labels", joint, "information_training_set_joint"]
    names += ["information_parameters", "information_parameters_labels"]
    law = output_distribution(ni.kernel_blocks(NETWORK, data), data, GradientFlow(), TIMES[:-1])
    curves = curves_of(law, quantities=names, progress=silent)
    assert bool((curves[joint] >= curves.information_training_set_labels).all())
    train = curves.sel(split="train")
    np.testing.assert_allclose(train[joint], curves.information_parameters_labels, rtol=1e-12)
    np.testing.assert_allclose(train.information_training_set_joint, curves.information_parameters, rtol=1e-12)
    model = LabelModel()
    for split in ("train", "test"):
        exact = information_labels_per_input(getattr(law, split), model).value.mean(axis=1)
        np.testing.assert_array_equal(curves.information_training_set_labels.sel(split=split), exact)
        found = information_joint(getattr(law, split), model)
        np.testing.assert_array_equal(curves[joint].sel(split=split), found.labels.value)
    attributes = curves.information_training_set_labels.attrs
    assert attributes["method"] == "closed form; targets from the network's prior, noise variance 0"
    assert curves.information_training_set_joint.attrs["meaning"] == "upper bound"
    assert curves.information_parameters_labels.attrs["meaning"] == "lower bound"
    assert curves.attrs["label_model"] == model.description


def test_a_missed_interpolation_is_noted(monkeypatch):
    from ntkinfo.information import joint_groups

    def few_nodes(law, model, **options):
        return information_joint(law, model, limit=10, **options | {"tolerance": 1e-14})

    monkeypatch.setattr(joint_groups, "information_joint", few_nodes)
    data = ni.data.wine(n_train=12, n_test=8)
    names, times = ["information_training_set_joint"], np.geomspace(1e-4, 10.0, 60)
    curves = information_curves(NETWORK, data, times, quantities=names, progress=silent)
    assert "information_training_set_joint (test): " in curves.attrs["notes"]
    assert "tolerance NOT reached at" in curves.attrs["notes"]
    assert float(curves.information_training_set_joint_standard_error.sel(split="test").max()) > 1e-14


def test_interruption_keeps_what_is_finished():
    data = ni.data.digits(n_train=30, n_test=20)

    def stop_after_two(items, label, total=None):
        for index, item in enumerate(items):
            if index == 2 and "I(Z;X)" in label:
                raise KeyboardInterrupt
            yield item

    with pytest.raises(Interrupted) as caught:
        information_curves(NETWORK, data, TIMES[:5], progress=stop_after_two)
    partial = caught.value.partial
    assert not partial.loss_mean.isnull().any()
    done = ~partial.information_input.isnull().values
    np.testing.assert_array_equal(done, [[True, False]] * 2 + [[False, False]] * 3)


def test_posterior_and_langevin_curves_are_finite():
    data = ni.data.wine(n_train=30, n_test=20)
    for procedure, times in (
        (nngp_posterior(0.1), np.array([np.inf])),
        (GradientFlow(ridge=0.1, temperature=0.05), log_times(0.1, 100.0, 4)),
    ):
        result = information_curves(NETWORK, data, times, procedure=procedure, progress=silent)
        for name, variable in result.data_vars.items():
            assert np.isfinite(variable.values).all(), name


def test_the_same_seed_gives_the_same_file_and_another_seed_agrees_within_the_errors():
    data = ni.data.digits(n_train=30, n_test=20)
    one, two, other = (
        information_curves(
            NETWORK, data, TIMES[:8], quantities=["information_input"], settings=CurveSettings(seed=s), progress=silent
        )
        for s in (0, 0, 1)
    )
    assert one.identical(two)
    error = np.hypot(one.information_input_standard_error, other.information_input_standard_error)
    assert float((abs(one.information_input - other.information_input) / (error + 1e-12)).max()) < 5


def test_unwritable_and_damaged_files(tmp_path):
    data = ni.data.wine(n_train=20, n_test=10)
    result = information_curves(NETWORK, data, TIMES[:2], quantities=["loss_mean"], progress=silent)
    with pytest.raises(FileNotFoundError):
        ni.save_curves(result, tmp_path / "absent" / "curves.nc")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        ni.load_curves(tmp_path / "curves.nc")
    (tmp_path / "curves.nc").write_bytes(b"not a netCDF file")
    with pytest.raises(ValueError, match="damaged"):
        ni.load_curves(tmp_path / "curves.nc")
    assert [p.name for p in tmp_path.iterdir()] == ["curves.nc"]
