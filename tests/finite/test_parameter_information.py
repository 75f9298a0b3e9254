"""Relative entropy of the parameters at finite width, against closed forms, brute force and the analytic bound."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate

import ntkinfo as ni
from ntkinfo.core.arrays import float64
from ntkinfo.core.progress import silent
from ntkinfo.core.records import Dataset
from ntkinfo.finite.flow import Program, grid
from ntkinfo.finite.networks import check_smooth, finite_network
from ntkinfo.finite.parameter_information import Interrupted, MemberSettings, parameter_information
from ntkinfo.information.parameters import ExtraInputs, function_space, linear_model
from ntkinfo.information.path import path
from ntkinfo.kernels.neural_tangents_compat import stax

RNG = np.random.default_rng(0)
X, Y, EXTRA = RNG.normal(size=(4, 3)), 0.7 * RNG.normal(size=(4, 1)), RNG.normal(size=(30, 3))
GOLDEN = Dataset(X, Y, EXTRA, np.zeros((30, 1)))
ONE_LAYER = ni.FullyConnected(depth=1, activation="erf", w_std=1.5, b_std=0.0)
REFERENCE, REFERENCE_ERROR = 4.936, 0.043  # theory §5: width 1500, 1200 members
information = partial(parameter_information, progress=silent)


def law(network, data, times):
    return ni.output_distribution(ni.kernel_blocks(network, data), data, ni.GradientFlow(), np.asarray(times))


def test_one_dense_layer_is_a_linear_model():
    """f = Jθ: the value, its parts and the squared distance in closed form, at several times, with two outputs."""
    data = Dataset(X[:3], RNG.normal(size=(3, 2)), EXTRA, np.zeros((30, 2)))
    network, times = ni.FullyConnected(depth=0, w_std=1.2, b_std=0.4), np.array([0.0, 0.1, 0.5, 2.0])
    exact = law(network, data, times)
    result = information(network, data, times, width=1, settings=MemberSettings(members=600))
    wanted = linear_model(exact).value
    np.testing.assert_allclose(wanted, function_space(exact).value, rtol=1e-9, atol=1e-12)
    assert np.all(np.abs(result.value.value - wanted) <= 4 * result.value.standard_error + 1e-6)
    assert np.all(result.value.standard_error <= 0.05 * wanted + 1e-12)
    assert np.all(np.abs(result.plain.value - wanted) <= 4 * result.plain.standard_error + 1e-6)
    distance = path(exact).distance
    assert np.all(np.abs(result.distance.value - distance) <= 4 * result.distance.standard_error + 1e-6)
    np.testing.assert_allclose(result.trace.value, 2 * times * np.trace(exact.blocks.train.ntk), rtol=1e-10)
    assert np.all(result.trace.standard_error < 1e-9)
    assert np.all(result.step_error < 1e-4)
    parts = result.cross.value + result.half_distance.value + result.trace.value
    np.testing.assert_allclose(parts, result.value.value, rtol=1e-10, atol=1e-12)


@pytest.fixture(scope="module")
def golden():
    settings = MemberSettings(members=256, group=64, steps=16, seed=1)
    return information(ONE_LAYER, GOLDEN, np.array([0.15, 0.3, 0.6]), width=256, settings=settings)


def bounds(times, extra=10):
    exact = law(ONE_LAYER, GOLDEN, times)
    inputs, source = EXTRA[:extra], exact.blocks.source
    return function_space(exact, ExtraInputs(source.cross(inputs), source.square(inputs))).value


def test_golden_case_at_small_width(golden):
    """theory §5: 4.936 ± 0.043 at t = 0.6; 4.17 (linear model) and 0.76 (frozen features) are wrong."""
    value, error = golden.value.value, golden.value.standard_error
    assert error[-1] < 0.06
    assert abs(value[-1] - REFERENCE) < 4 * np.hypot(error[-1], REFERENCE_ERROR)
    assert np.all(value + 3 * error > bounds(golden.times))
    assert value[-1] - 10 * error[-1] > linear_model(law(ONE_LAYER, GOLDEN, [0.6])).value[0]
    distance = path(law(ONE_LAYER, GOLDEN, golden.times)).distance
    assert np.all(np.abs(golden.distance.value - distance) < 4 * golden.distance.standard_error + 5 / 256)
    assert np.all(golden.step_error < 1e-4)
    assert np.all(np.abs(golden.control_scores) < 4)


def test_control_variates_lower_the_error_and_not_the_value(golden):
    assert np.all(golden.value.standard_error < 0.75 * golden.plain.standard_error)
    difference = np.abs(golden.value.value - golden.plain.value)
    assert np.all(difference < 4 * golden.plain.standard_error)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"integrator": "euler", "steps": 120, "probes": 1}, {}])
def test_golden_case_at_large_width(settings):
    result = information(
        ONE_LAYER, GOLDEN, np.array([0.6]), width=1500, settings=MemberSettings(members=1200, **settings)
    )
    assert result.value.standard_error[0] < 0.025
    assert abs(result.value.value[0] - REFERENCE) < 3 * np.hypot(result.value.standard_error[0], REFERENCE_ERROR)
    assert result.value.value[0] > bounds(np.array([0.6]))[0] - result.step_error[0]
    assert abs(result.distance.value[0] - 1.116810) < 4 * result.distance.standard_error[0] + result.step_error[0]


def small_program(trace, probes=1, outputs=2):
    network = ni.FullyConnected(depth=1, activation="erf", w_std=1.3, b_std=0.5)
    finite = finite_network(network, X, outputs, 4)
    targets = np.random.default_rng(2).normal(size=(4, outputs))
    return Program(finite, targets, "rk4", trace, probes, np.dtype("float64"))


def test_every_member_against_the_determinant_of_its_flow():
    """∫ tr ∇²L = −log|det ∂θ_t/∂θ_0|, the Jacobian by its own differential equation (26 parameters)."""
    program, times = small_program("exact"), np.array([0.2, 0.7])
    steps = grid(times, 60)
    with float64():
        start = program.network.draw(0, 3)
        courses = np.asarray(jax.jit(program.member)(start, 0, 3, steps.sizes, steps.draws)[0])
        slope, bend = jax.jit(jax.grad(program.loss)), jax.jit(jax.hessian(program.loss))
        size = len(start)

        def rate(_, state):
            place, jacobian = state[:size], state[size:].reshape(size, size)
            return np.concatenate([-np.asarray(slope(place)), (-np.asarray(bend(place)) @ jacobian).ravel()])

        first = np.concatenate([np.asarray(start), np.eye(size).ravel()])
        path_of = scipy.integrate.solve_ivp(rate, (0, times[-1]), first, t_eval=times, rtol=1e-9, atol=1e-11).y
    for column, record in enumerate(steps.records):
        end, jacobian = path_of[:size, column], path_of[size:, column].reshape(size, size)
        moved = end - np.asarray(start)
        wanted = np.asarray(start) @ moved, 0.5 * moved @ moved, -np.linalg.slogdet(jacobian)[1]
        np.testing.assert_allclose(courses[record], wanted, rtol=1e-5, atol=1e-7)


def test_traces_by_all_routes():
    """Exact against the dense Hessian; both kinds of probes around it with the spread that they state."""
    with float64():
        exact = small_program("exact")
        place = exact.network.draw(0, 5)
        keys = jax.random.split(jax.random.key(6), 2000)
        slope, trace = jax.jit(exact._velocity)(place, np.ones((1, len(place))))
        dense, gradient = jax.jit(lambda p: (jax.hessian(exact.loss)(p), jax.grad(exact.loss)(p)))(place)
        np.testing.assert_allclose(trace, jnp.trace(dense), rtol=1e-12)
        np.testing.assert_allclose(slope, -gradient, rtol=1e-12, atol=1e-14)
        for kind in ("split", "probes"):
            program = small_program(kind)
            draws = jax.jit(jax.vmap(lambda key, p=program: p._velocity(place, p._probes(key, 1))[1]))(keys)
            error = float(jnp.std(draws)) / np.sqrt(len(keys))
            assert abs(float(jnp.mean(draws)) - float(trace)) < 4 * error
            if kind == "probes":
                # Variance of one Rademacher probe: twice the squares off the diagonal.
                variance = 2 * float(jnp.sum(dense**2) - jnp.sum(jnp.diagonal(dense) ** 2))
                assert float(jnp.var(draws)) == pytest.approx(variance, rel=0.2)


@pytest.mark.parametrize("activation", [pytest.param("identity", marks=pytest.mark.slow), "erf"])
def test_cross_term_of_early_training(activation):
    """E[θ_0·Δθ] = −t tr(½ dK/dlog s) + O(t²), s scaling every deviation; ½ dK/dlog s = 2K for two linear layers."""

    def kernel(scale):
        network = ni.FullyConnected(depth=1, activation=activation, w_std=1.1 * scale, b_std=0.0)
        return ni.kernel_blocks(network, GOLDEN).train.nngp

    step = 1e-4
    slope = 0.5 * np.trace(kernel(np.exp(step)) - kernel(np.exp(-step))) / (2 * step)
    if activation == "identity":
        assert slope == pytest.approx(2 * np.trace(kernel(1.0)), rel=1e-6)
    network = ni.FullyConnected(depth=1, activation=activation, w_std=1.1, b_std=0.0)
    times = np.array([0.01, 0.02])
    settings = MemberSettings(members=400, trace="probes", measure_step_error=False)
    result = information(network, GOLDEN, times, width=128, settings=settings)
    rate, error = result.cross.value / times, result.cross.standard_error / times
    extrapolated, error = 2 * rate[0] - rate[1], 2 * error[0] + error[1]
    assert error < 0.1 * slope
    assert abs(extrapolated + slope) < 2 * error
    assert abs(extrapolated) > 8 * error


def test_triples_groups_and_losses_change_nothing():
    """The functions in one group on the mean loss, against the description in two groups on the summed loss."""
    triple, times = ONE_LAYER.layers(16, 1), np.array([0.1, 0.4])
    settings = {"members": 6, "steps": 10, "measure_step_error": False}
    one = information(ONE_LAYER, GOLDEN, times, width=16, settings=MemberSettings(group=4, **settings))
    assert one.steps >= 10
    mean_loss = ni.GradientFlow(loss="mean")
    other = information(triple[:2], GOLDEN, 4 * times, procedure=mean_loss, settings=MemberSettings(**settings))
    np.testing.assert_allclose(other.value.value, one.value.value, rtol=1e-9)
    np.testing.assert_allclose(other.value.standard_error, one.value.standard_error, rtol=1e-7)
    described = finite_network(ni.StaxNetwork(*triple, name="triple", input_shape=(3,)), X, 1)
    again = finite_network(ONE_LAYER, X, 1, 16)
    with float64():
        row = again.draw(0, 0)
        np.testing.assert_array_equal(described.draw(0, 0), row)
        np.testing.assert_array_equal(described.apply(row, X), again.apply(row, X))


def test_single_precision_states_its_rounding():
    settings = {"members": 8, "steps": 20, "measure_step_error": False}
    times = np.array([0.1, 0.4])
    single = information(ONE_LAYER, GOLDEN, times, width=32, settings=MemberSettings(precision="float32", **settings))
    assert np.all((single.rounding_error > 1e-9) & (single.rounding_error < 1e-4))
    assert single.value.value.dtype == np.float64


def test_interruption_keeps_finished_groups():
    def stop_after_two(items, label, total=None):
        for count, item in enumerate(items):
            if count == 2:
                raise KeyboardInterrupt
            yield item

    settings = MemberSettings(members=9, group=3, steps=4, measure_step_error=False)
    with pytest.raises(Interrupted) as caught:
        parameter_information(ONE_LAYER, GOLDEN, np.array([0.1]), width=4, settings=settings, progress=stop_after_two)
    partial_result = caught.value.partial
    assert partial_result.members == 6
    assert "6 of 9 members finished" in partial_result.notes
    assert np.isfinite(partial_result.value.value[0])


def test_kinks_are_refused_and_smooth_networks_are_not():
    with pytest.raises(ValueError, match="gradient jumps"):
        check_smooth(finite_network(ni.FullyConnected(depth=2, activation="relu"), X, 1, 32))
    pooled = stax.serial(stax.Conv(4, (3, 3)), stax.Erf(), stax.GlobalAvgPool(), stax.Dense(1))
    check_smooth(finite_network(pooled[:2], RNG.normal(size=(2, 5, 5, 1)), 1))
    for network in (ni.FullyConnected(depth=2, activation="tanh"), ni.FullyConnected(depth=0)):
        check_smooth(finite_network(network, X, 1, 32))


def test_other_parameterisations_are_refused():
    standard = stax.serial(stax.Dense(64, parameterization="standard"), stax.Erf(), stax.Dense(1))
    with pytest.raises(ValueError, match="NTK parameterisation"):
        finite_network(standard[:2], X, 1)

    def uniform(key, shape):
        return (shape[0], 1), jnp.sqrt(12) * (jax.random.uniform(key, (3, 1)) - 0.5)

    with pytest.raises(ValueError, match="NTK parameterisation"):
        finite_network((uniform, lambda p, x: x @ p), X, 1)
    finite_network((lambda key, shape: ((shape[0], 1), jax.random.normal(key, (3, 1))), lambda p, x: x @ p), X, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"times": np.array([1.0, np.inf])}, "infinity"),
        ({"procedure": ni.GradientFlow(ridge=0.1)}, "alone"),
        ({"procedure": ni.GradientDescent(step_size=0.1)}, "alone"),
        ({"settings": MemberSettings(steps=1)}, "unstable"),
        ({"times": np.array([1e9])}, "end earlier"),
        ({"network": ONE_LAYER.layers(8, 2)[:2], "width": None}, "with 1 output"),
        ({"network": ONE_LAYER.layers(8, 1)[:2]}, "leave it out"),
    ],
)
def test_bad_input(change, message):
    given = {"network": ONE_LAYER, "times": np.array([40.0]), "width": 8} | change
    with pytest.raises(ValueError, match=message):
        information(given.pop("network"), GOLDEN, given.pop("times"), **given)


def test_bad_settings():
    with pytest.raises(ValueError, match="did you mean 'split'"):
        MemberSettings(trace="splitt")
    with pytest.raises(ValueError, match="at least 2"):
        MemberSettings(members=1)
    with pytest.raises(TypeError, match="Network"):
        finite_network("erf", X, 1)
