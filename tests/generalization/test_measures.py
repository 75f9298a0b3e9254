"""Every measure against a second route, in limits and under symmetries."""

import numpy as np
import pytest

import ntkinfo as ni
from ntkinfo.core.progress import silent
from ntkinfo.core.records import Dataset
from ntkinfo.generalization import MEASURES, MeasureSettings, measure_all
from ntkinfo.generalization.measure import DIMS
from ntkinfo.generalization.trained import CURVES
from ntkinfo.kernels.records import CrossBlocks, KernelBlocks, SquareBlocks
from tests.known_measure_limits import LIMITS
from tests.known_measures import PROBLEMS, SECOND_ROUTES, TOLERANCE, TOLERANCES, second_route
from tests.random_features import RandomFeatures

TIMES = np.array([0.5])


def test_a_measure_without_a_second_route_fails():
    assert sorted(SECOND_ROUTES) == sorted(MEASURES)


def test_the_registry_is_whole():
    assert len(MEASURES) >= 34
    for name, measure in MEASURES.items():
        assert name == measure.name
        assert measure.dims == DIMS[measure.place]
        texts = (measure.symbol, measure.unit, measure.formula, measure.source, measure.outputs, measure.kernels)
        assert all(texts), name
        assert measure.needs, name
        assert measure.direction in ("lower", "higher")
    assert {m.kernels for m in MEASURES.values()} == {"nngp and ntk", "both", "the law's", "none"}


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
@pytest.mark.parametrize("name", MEASURES)
def test_second_route(results, name, problem):
    found, wanted = results[problem.name][name], second_route(name, problem)
    assert found.dims == MEASURES[name].dims
    assert found.shape == wanted.shape
    tolerance = TOLERANCES.get(name, TOLERANCE) * max(1.0, float(np.max(np.abs(wanted), initial=0.0)))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance)


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.name)
def test_limits(limit):
    settings = MeasureSettings(ridges=(limit.ridge,))
    found = measure_all(
        ni.output_distribution(limit.blocks, limit.data, ni.GradientFlow(), TIMES),
        settings=settings,
        names=limit.answers,
        progress=silent,
    )
    for name, answer in limit.answers.items():
        np.testing.assert_allclose(found[name], answer, rtol=limit.tolerance, atol=limit.tolerance, err_msg=name)


def test_names_direction_and_provenance_are_in_the_result(results):
    found = results["one output"]
    for name, measure in MEASURES.items():
        for key, value in (("symbol", measure.symbol), ("units", measure.unit), ("direction", measure.direction)):
            assert found[name].attrs[key] == value
    assert "pac_bayes_trained: NaN" in found.attrs["notes"]
    assert found.attrs["data_fingerprint"] == PROBLEMS[0].data.fingerprint
    np.testing.assert_allclose(found["path_length_standard_error"], 1e-3 * found["path_length"])
    error = np.sqrt(found["information_parameters"] * 1.001 / 24) - np.sqrt(found["information_parameters"] / 24)
    np.testing.assert_allclose(found["risk_bound_function_standard_error"], error, rtol=1e-9)


def test_condition_numbers(results):
    found = results["one output"]["condition_number"]
    for kernel in ("nngp", "ntk"):
        for ridge in found.ridge.values:
            wanted = np.linalg.cond(PROBLEMS[0].kernel(kernel) + ridge * np.eye(12))
            np.testing.assert_allclose(found.sel(kernel=kernel, ridge=ridge), wanted, rtol=1e-9)


def test_real_curves_reach_the_measures():
    model = RandomFeatures(outputs=1, shared=True)
    data, times = model.data, np.array([0.1, 2.0])
    found = measure_all(
        ni.output_distribution(model.blocks, data, ni.GradientFlow(), times), curves=ni.curves_of, progress=silent
    )
    for index, time in enumerate(times):
        step = model.jacobian[:12].T @ model.flow(time)
        moved = step @ np.concatenate([model.y[:12], -model.start[:12]], axis=1)
        np.testing.assert_allclose(found["parameter_distance_squared"][index], np.sum(moved**2), rtol=1e-9)
    wanted = ni.linear_model(ni.output_distribution(model.blocks, data, ni.GradientFlow(), times)).value
    np.testing.assert_allclose(found["information_parameters_linear"], wanted, rtol=1e-12)
    assert set(CURVES) - set(ni.curves_of(ni.output_distribution(model.blocks, data, ni.GradientFlow(), times))) == {
        "error_mean"
    }
    assert "training_error: NaN, needs the curve error_mean" in found.attrs["notes"]


KERNEL_MEASURES = [name for name, measure in MEASURES.items() if measure.place in ("kernel", "ridge", "pair")]
SCALE_FREE = [
    "loo_squared_error",
    "loo_error",
    "kare",
    "eigenlearning_error",
    "learnability",
    "effective_dimension",
    "effective_dimension_squared",
    "leverage_ratio",
    "information_gain",
    "stable_rank",
    "participation_ratio",
    "spectral_entropy",
    "decay_exponent",
    "target_alignment",
    "centred_target_alignment",
    "task_alignment",
    "kernel_similarity",
]


def test_order_of_the_inputs_does_not_matter(results):
    problem = PROBLEMS[1]
    order, data = np.random.default_rng(0).permutation(12), problem.data
    permuted = Dataset(
        data.x_train[order],
        data.y_train[order],
        data.x_test,
        data.y_test,
        data.labels_train[order],
        data.labels_test,
    )
    k, t = (problem.kernel(name)[np.ix_(order, order)] for name in ("nngp", "ntk"))
    found = measure_all(
        ni.output_distribution(blocks_of_both(k, t), permuted, ni.GradientFlow(), TIMES),
        settings=problem.settings,
        names=KERNEL_MEASURES,
    )
    for name in KERNEL_MEASURES:
        np.testing.assert_allclose(found[name], results[problem.name][name], rtol=1e-8, err_msg=name)


def test_scale_of_the_kernel_does_not_matter_where_the_ridge_follows(results):
    problem = PROBLEMS[0]
    k, t = (7.0 * problem.kernel(name) for name in ("nngp", "ntk"))
    settings = MeasureSettings(ridges=tuple(7 * s for s in problem.ridges))
    found = measure_all(
        ni.output_distribution(blocks_of_both(k, t), problem.data, ni.GradientFlow(), TIMES),
        settings=settings,
        names=SCALE_FREE,
    )
    for name in SCALE_FREE:
        np.testing.assert_allclose(found[name], results[problem.name][name], rtol=1e-8, err_msg=name)


def test_centred_alignments_do_not_see_constants(results):
    problem = PROBLEMS[0]
    k, t = (problem.kernel(name) + 3.0 for name in ("nngp", "ntk"))
    names = ("centred_target_alignment", "kernel_similarity")
    found = measure_all(
        ni.output_distribution(blocks_of_both(k, t), problem.data, ni.GradientFlow(), TIMES), names=names
    )
    for name in names:
        np.testing.assert_allclose(found[name], results[problem.name][name], rtol=1e-9)


def blocks_of_both(k, t):
    m = 9
    zero, one = np.zeros((m, len(k))), np.ones(m)
    return KernelBlocks(SquareBlocks(k, t), CrossBlocks(zero, zero, one, one))
