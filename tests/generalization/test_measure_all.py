"""What `measure_all` does where measures have no value, with what is shared, and with bad input."""

import jax
import numpy as np
import pytest

import ntkinfo as ni
from ntkinfo.core import linear_algebra
from ntkinfo.core.arrays import float64
from ntkinfo.core.progress import silent
from ntkinfo.core.records import Dataset
from ntkinfo.generalization import MEASURES, MeasureSettings, as_row, evaluation, measure_all
from ntkinfo.generalization.measure import NotComputable
from ntkinfo.kernels.records import CrossBlocks, KernelBlocks, SquareBlocks
from tests.known_measure_limits import blocks_of
from tests.known_measures import PROBLEMS
from tests.random_features import RandomFeatures

TIMES = np.array([0.5])


def test_ridgeless_measures_are_those_of_a_vanishing_ridge():
    problem = PROBLEMS[0]
    settings = MeasureSettings(ridges=(0.0, 1e-9))
    names = [name for name, measure in MEASURES.items() if measure.place == "ridge"]
    found = measure_all(
        ni.output_distribution(problem.model.blocks, problem.data, ni.GradientFlow(), TIMES),
        settings=settings,
        names=names,
        progress=silent,
    )
    for name in set(names) - {"information_gain", "posterior_relative_entropy", "pac_bayes_posterior"}:
        if name != "posterior_margin":  # its deviation vanishes
            np.testing.assert_allclose(found[name][:, 0], found[name][:, 1], rtol=1e-6, atol=1e-6, err_msg=name)
    assert np.all(np.isinf(found["posterior_relative_entropy"][:, 0]))
    assert np.all(np.isinf(found["information_gain"][:, 0]))
    assert np.all(found["pac_bayes_posterior"][:, 0] == 1)
    assert np.all(np.isposinf(found["posterior_margin"][:, 0]))


def test_singular_kernels_leave_nan_and_a_note():
    model = RandomFeatures(outputs=1, repeat=True)
    names = ("target_norm", "norm_bound", "evidence", "loo_squared_error", "kare", "effective_dimension", "trace")
    settings = MeasureSettings(ridges=(0.0, 0.1))
    found = measure_all(
        ni.output_distribution(model.blocks, model.data, ni.GradientFlow(), TIMES),
        settings=settings,
        names=names,
        progress=silent,
    )
    for name in ("target_norm", "norm_bound"):
        assert np.all(np.isnan(found[name]))
        assert f"{name} (nngp, ntk): NaN, 1 of the kernel's 12 eigenvalues are 0" in found.attrs["notes"]
    for name in ("evidence", "loo_squared_error", "kare"):
        assert np.all(np.isnan(found[name][:, 0]))
        assert np.all(np.isfinite(found[name][:, 1]))
    np.testing.assert_allclose(found["effective_dimension"][:, 0], 11, rtol=1e-12)
    assert np.all(np.isinf(found["condition_number"][:, 0]))
    assert "1 eigenvalue(s) within" in found.attrs["notes"]


def test_rounding_that_matters_is_noted():
    kernel = np.diag(10.0 ** -np.arange(12))
    y = np.where(np.arange(12) % 2 == 0, 1.0, -1.0)[:, None]
    data = Dataset(np.arange(12.0)[:, None], y, np.zeros((1, 1)), y[:1])
    found = measure_all(
        ni.output_distribution(blocks_of(kernel), data, ni.GradientFlow(), TIMES), names=["evidence"], progress=silent
    )
    assert "ridge 0: rounding may change values by 3e-04" in found.attrs["notes"]


@pytest.mark.parametrize(
    ("targets", "labels", "reason"),
    [
        (np.linspace(-1, 1, 12)[:, None], None, "the targets are not −1 and +1 and the data have no classes"),
        (np.linspace(0, 1, 12)[:, None], np.arange(12) // 6, "the sign of the single output does not tell"),
        (np.linspace(-1, 1, 12)[:, None], np.arange(12) // 4, "the sign of the single output does not tell"),
        (np.eye(12)[:, :2], None, "the data have no classes"),
        (np.eye(12)[:, :2], np.arange(12) // 4, "there are 3 classes and 2 outputs"),
    ],
)
def test_measures_of_classes_without_classes(targets, labels, reason):
    model = RandomFeatures()
    data = Dataset(model.x[:12], targets, model.x[12:], targets[:9], labels, None if labels is None else labels[:9])
    names = [name for name, measure in MEASURES.items() if "classes" in measure.needs]
    settings = MeasureSettings(ridges=(0.1,))
    found = measure_all(
        ni.output_distribution(model.blocks, data, ni.GradientFlow(prior="ntk"), TIMES),
        settings=settings,
        names=names,
        progress=silent,
    )
    assert len(names) >= 5
    for name in names:
        assert np.all(np.isnan(found[name])), name
        assert any(note.startswith(name) and reason in note for note in found.attrs["notes"].split("; ")), name


def test_targets_of_one_and_minus_one_need_no_labels():
    problem = PROBLEMS[0]
    bare = Dataset(problem.data.x_train, problem.data.y_train, problem.data.x_test, problem.data.y_test)
    names = ("loo_error", "pac_bayes_posterior", "posterior_margin", "trained_margin")
    found = [
        measure_all(
            ni.output_distribution(problem.model.blocks, data, problem.procedure, TIMES),
            settings=problem.settings,
            names=names,
            progress=silent,
        )
        for data in (problem.data, bare)
    ]
    for name in names:
        np.testing.assert_array_equal(found[0][name], found[1][name])


def test_what_is_not_given_is_nan_with_a_note():
    problem = PROBLEMS[0]
    names = ("path_length", "depth", "loss_area")
    procedure = ni.HeavyBall(step_size=0.01, momentum=0.5)
    found = measure_all(
        ni.output_distribution(problem.model.blocks, problem.data, procedure, TIMES), names=names, progress=silent
    )
    assert all(np.all(np.isnan(found[name])) for name in names)
    notes = found.attrs["notes"]
    assert "path_length: NaN, needs `curves`" in notes
    assert "depth: NaN, not among the hyperparameters given" in notes
    assert "loss_area: NaN, has no closed form with heavy-ball momentum" in notes


@pytest.mark.parametrize("ridge", [0.0, 0.4])
@pytest.mark.parametrize("loss", ["sum", "mean"])
def test_loss_area_of_gradient_descent_is_a_sum_over_steps(ridge, loss):
    model = RandomFeatures(outputs=2)
    unit = 24 if loss == "mean" else 1
    step = 0.02 * unit
    procedure = ni.GradientDescent(step_size=step, ridge=ridge, loss=loss)
    times = step * np.array([0.0, 3.0, 50.0])
    found = measure_all(
        ni.output_distribution(model.blocks, model.data, procedure, times), names=["loss_area"], progress=silent
    )["loss_area"]
    theta, values, weights, total, sums = model.jacobian[:12], model.y[:12], np.zeros((40, 2)), 0.0, [0.0]
    for _ in range(50):
        residual = theta @ weights - values
        total += step * 0.5 * np.mean(np.sum(residual**2, axis=1))
        sums.append(total)
        weights = weights - 0.02 * (theta.T @ residual + ridge * weights)
    np.testing.assert_allclose(found, [sums[0], sums[3], sums[50]], rtol=1e-10)


@pytest.mark.parametrize("procedure", [ni.GradientFlow(), ni.Converged(), ni.GradientDescent(step_size=0.05)])
def test_loss_area_of_training_to_the_end(procedure):
    model = RandomFeatures(outputs=1)
    found = measure_all(
        ni.output_distribution(model.blocks, model.data, procedure, np.array([np.inf])),
        names=["loss_area"],
        progress=silent,
    )["loss_area"]
    theta, y = model.jacobian[:12] @ model.jacobian[:12].T, model.y[:12]
    curvature = 2 * theta - (0.05 * theta @ theta if isinstance(procedure, ni.GradientDescent) else 0)
    np.testing.assert_allclose(found, 0.5 * np.sum(y * np.linalg.solve(curvature, y)) / 12, rtol=1e-9)


def test_loss_area_where_something_is_never_learned_is_infinite():
    model = RandomFeatures(outputs=1, repeat=True)
    times = np.array([1.0, np.inf])
    for procedure in (ni.GradientFlow(), ni.GradientFlow(ridge=0.1)):
        area = measure_all(
            ni.output_distribution(model.blocks, model.data, procedure, times), names=["loss_area"], progress=silent
        )
        assert np.isfinite(area["loss_area"][0])
        assert np.isposinf(area["loss_area"][1])
    y = model.y[:12].copy()
    y[11] = y[0]  # equal targets of the repeated input
    data = Dataset(model.x[:12], y, model.x[12:], model.y[12:])
    area = measure_all(
        ni.output_distribution(model.blocks, data, ni.GradientFlow(), times), names=["loss_area"], progress=silent
    )["loss_area"]
    assert np.all(np.isfinite(area))


def test_one_decomposition_a_kernel(monkeypatch):
    count = []

    def counted(matrix, name="matrix", *more):
        count.append(name)
        return linear_algebra.spectrum(matrix, name, *more)

    problem = PROBLEMS[0]
    monkeypatch.setattr(evaluation, "spectrum", counted)
    monkeypatch.setattr("ntkinfo.training.output_distribution.spectrum", counted)
    settings = MeasureSettings(ridges=(0.1, 0.2, 0.3))
    measure_all(
        ni.output_distribution(problem.model.blocks, problem.data, ni.GradientFlow(), problem.times), settings=settings
    )
    assert sorted(count) == ["the NNGP of the training inputs", "the NTK of the training inputs"]


def test_spectra_that_are_there_serve_other_targets_and_procedures(monkeypatch, results):
    problem, settings = PROBLEMS[0], MeasureSettings(ridges=PROBLEMS[0].ridges)
    spectra = {name: linear_algebra.spectrum(problem.kernel(name)) for name in ("nngp", "ntk")}
    law = ni.output_distribution(problem.model.blocks, problem.data, ni.GradientFlow(ridge=0.2), TIMES)
    monkeypatch.setattr(evaluation, "spectrum", None)  # not called
    found = measure_all(law, settings=settings, names=["evidence", "loo_error"], spectra=spectra)
    for name in ("evidence", "loo_error"):
        np.testing.assert_allclose(found[name], results[problem.name][name], rtol=1e-11)


def test_device_arrays_give_the_same(results):
    problem, blocks = PROBLEMS[0], PROBLEMS[0].model.blocks
    names = ("variance_train", "loss_area", "evidence", "loo_error", "target_alignment", "kernel_similarity")
    with float64():
        train = SquareBlocks(*(jax.numpy.asarray(k) for k in (blocks.train.nngp, blocks.train.ntk)))
        test = CrossBlocks(
            *(jax.numpy.asarray(k) for k in (blocks.test.nngp, blocks.test.ntk)),
            *(jax.numpy.asarray(k) for k in (blocks.test.nngp_diagonal, blocks.test.ntk_diagonal)),
        )
    found = measure_all(
        ni.output_distribution(
            KernelBlocks(train, test, blocks.source), problem.data, problem.procedure, problem.times
        ),
        settings=problem.settings,
        names=names,
    )
    for name in names:
        np.testing.assert_allclose(found[name], results[problem.name][name], rtol=1e-8, atol=1e-10, err_msg=name)


def test_the_readout_layers_law_shares_the_nngp():
    problem = PROBLEMS[0]
    law = ni.output_distribution(problem.model.blocks, problem.data, ni.nngp_posterior(0.1), np.array([np.inf]))
    found = measure_all(law, names=["evidence", "effective_dimension"])
    assert found.ridge.values.tolist() == [0.1]
    both = measure_all(
        ni.output_distribution(problem.model.blocks, problem.data, ni.GradientFlow(ridge=0.1), TIMES),
        names=["evidence", "effective_dimension"],
    )
    for name in ("evidence", "effective_dimension"):
        np.testing.assert_allclose(found[name], both[name], rtol=1e-12)


def test_rows(results):
    row = as_row(results["one output"], ridge=1, time=0)
    found = results["one output"]
    assert row["evidence_ntk"] == float(found["evidence"].sel(kernel="ntk")[1])
    assert row["trace_nngp"] == float(found["trace"][0])
    assert row["variance_test"] == float(found["variance_test"][0])
    assert row["kernel_similarity"] == float(found["kernel_similarity"])
    assert not any("error_ntk" in key and "standard" in key for key in row)
    two = [m for m in MEASURES.values() if "kernel" in m.dims]
    assert len(row) == len(MEASURES) + len(two)
    assert "condition_number_ntk" not in row


def test_an_interruption_keeps_what_was_finished(results):
    problem = PROBLEMS[0]

    def stop_at_the_second_kernel(items, label, total=None):
        for index, item in enumerate(items):
            if index == 2:
                raise KeyboardInterrupt
            yield item

    with pytest.raises(evaluation.Interrupted) as caught:
        measure_all(
            ni.output_distribution(problem.model.blocks, problem.data, problem.procedure, problem.times),
            settings=problem.settings,
            progress=stop_at_the_second_kernel,
        )
    partial, whole = caught.value.partial, results[problem.name]
    np.testing.assert_array_equal(partial["evidence"].sel(kernel="nngp"), whole["evidence"].sel(kernel="nngp"))
    assert np.all(np.isnan(partial["evidence"].sel(kernel="ntk")))
    np.testing.assert_array_equal(partial["variance_test"], whole["variance_test"])
    assert "kernel_similarity" not in partial


def test_test_targets_are_not_looked_at(results):
    problem = PROBLEMS[0]
    data = problem.data
    other = Dataset(data.x_train, data.y_train, data.x_test, -data.y_test, data.labels_train, 1 - data.labels_test)
    found = measure_all(
        ni.output_distribution(problem.model.blocks, other, problem.procedure, problem.times),
        curves=problem.curves,
        settings=problem.settings,
    )
    for name in MEASURES:
        np.testing.assert_array_equal(found[name], results[problem.name][name], err_msg=name)


def test_matrices_that_do_not_fit_are_refused_before_any_work(monkeypatch):
    problem = PROBLEMS[0]
    law = ni.output_distribution(problem.model.blocks, problem.data, ni.GradientFlow(), TIMES)
    monkeypatch.setattr(evaluation, "available_memory", lambda: 1e-6)
    monkeypatch.setattr(evaluation, "_fill", lambda *_, **__: pytest.fail("work was begun"))
    with pytest.raises(MemoryError, match=r"all measures of 12 training inputs.*take about"):
        measure_all(law, progress=silent)


def test_bad_input_is_refused():
    problem = PROBLEMS[0]
    ask = (problem.model.blocks, problem.data, ni.GradientFlow(), TIMES)
    with pytest.raises(ValueError, match="did you mean 'evidence'"):
        measure_all(ni.output_distribution(*ask), names=["evidense"])
    with pytest.raises(ValueError, match="names is empty"):
        measure_all(ni.output_distribution(*ask), names=[])
    with pytest.raises(ValueError, match="curves are over 3 times and the law over 1"):
        measure_all(ni.output_distribution(*ask), curves=problem.curves)
    with pytest.raises(ValueError, match="ridges"):
        MeasureSettings(ridges=(0.1, 0.1))
    with pytest.raises(ValueError, match="ridges"):
        MeasureSettings(ridges=())
    with pytest.raises(ValueError, match=r"ridges is -0\.1"):
        MeasureSettings(ridges=(-0.1,))
    with pytest.raises(ValueError, match="failure_probability is 0"):
        MeasureSettings(failure_probability=0.0)
    with pytest.raises(ValueError, match="did you mean 'depth'"):
        MeasureSettings(hyperparameters={"dept": 2.0})
    with pytest.raises(ValueError, match="observation_variance"):
        MeasureSettings(observation_variance=0.0)


def test_a_reason_is_not_an_error_of_the_caller():
    assert issubclass(NotComputable, ValueError)
