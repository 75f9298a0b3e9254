"""Path geometry and parameter information against dense algebra in parameter space."""

import mpmath
import numpy as np
import pytest
import scipy.integrate
import scipy.linalg

from ntkinfo.core.linear_algebra import NotDefiniteError
from ntkinfo.core.records import Dataset
from ntkinfo.information.parameters import ExtraInputs, function_space, linear_model
from ntkinfo.information.path import path
from ntkinfo.kernels.architectures import FullyConnected
from ntkinfo.kernels.blocks import kernel_blocks
from ntkinfo.kernels.records import CrossBlocks, SquareBlocks
from ntkinfo.training.discrete import GradientDescent, HeavyBall
from ntkinfo.training.output_distribution import output_distribution
from ntkinfo.training.procedures import Converged, GradientFlow
from tests.random_features import RandomFeatures

TIMES = np.array([0.0, 0.05, 0.6, 4.0])


def parameter_law(model, time, ridge=0.0):
    """θ_t = Mθ_0 + b by one matrix exponential in parameter space, for f = Jθ."""
    jacobian = model.jacobian[: model.n]
    p = model.parameters
    generator = np.zeros((2 * p, 2 * p))
    generator[:p, :p], generator[:p, p:] = -(jacobian.T @ jacobian + ridge * np.eye(p)), np.eye(p)
    integral = scipy.linalg.expm(time * generator)[:p, p:]
    matrix = np.eye(p) - integral @ jacobian.T @ jacobian
    return matrix, integral @ jacobian.T @ model.y[: model.n]


def gaussian_relative_entropy(mean, covariance, start):
    """KL(N(mean, covariance) ‖ N(0, start)), one column of means an output."""
    inside = np.linalg.solve(start, covariance)
    quadratic = np.sum(mean * np.linalg.solve(start, mean))
    log = np.linalg.slogdet(covariance)[1] - np.linalg.slogdet(start)[1]
    return 0.5 * (mean.shape[1] * (np.trace(inside) - len(start) - log) + quadratic)


@pytest.mark.parametrize("ridge", [0.0, 0.4])
def test_linear_model_equals_dense_algebra_in_parameter_space(ridge):
    model = RandomFeatures(shared=True)
    law = output_distribution(model.blocks, model.data, GradientFlow(ridge=ridge), TIMES)
    for index, time in enumerate(TIMES):
        matrix, shift = parameter_law(model, time, ridge)
        wanted = gaussian_relative_entropy(shift, matrix @ matrix.T, np.eye(model.parameters))
        assert linear_model(law).value[index] == pytest.approx(wanted, rel=1e-9, abs=1e-10)
        moved = matrix - np.eye(model.parameters)
        squared = model.outputs * np.sum(moved**2) + np.sum(shift**2)
        assert path(law).distance[index] == pytest.approx(squared, abs=1e-10)
    # For f = Jθ the training outputs carry all of it: K = Θ.
    np.testing.assert_allclose(function_space(law).value, linear_model(law).value, rtol=1e-11, atol=1e-11)


def test_linear_model_with_noisy_targets_equals_dense_algebra():
    model, noise = RandomFeatures(shared=True), 0.3
    law = output_distribution(model.blocks, model.data, GradientFlow(target_noise_variance=noise), TIMES)
    jacobian = model.jacobian[: model.n]
    for index, time in enumerate(TIMES):
        matrix, shift = parameter_law(model, time)
        gain = model.flow(time).T @ jacobian
        covariance = matrix @ matrix.T + noise * gain.T @ gain
        wanted = gaussian_relative_entropy(shift, covariance, np.eye(model.parameters))
        assert linear_model(law).value[index] == pytest.approx(wanted, abs=1e-10)
    late = output_distribution(
        model.blocks, model.data, GradientFlow(target_noise_variance=noise), np.array([1e5, np.inf])
    )
    value = linear_model(late).value
    assert np.isfinite(value[1])
    assert value[0] == pytest.approx(value[1], rel=1e-9)


def extra_inputs(model, count):
    """Kernels of the first test inputs."""
    n, new = model.n, slice(model.n, model.n + count)
    k, t = model.start @ model.start.T, model.jacobian @ model.jacobian.T
    cross = CrossBlocks(k[new, :n], t[new, :n], np.diag(k)[new].copy(), np.diag(t)[new].copy())
    return ExtraInputs(cross, SquareBlocks(k[new, new], t[new, new]))


@pytest.mark.parametrize("extra", [0, 4])
@pytest.mark.parametrize("ridge", [0.0, 0.4])
def test_function_space_equals_two_dense_gaussians(extra, ridge):
    model = RandomFeatures()
    n = model.n
    law = output_distribution(model.blocks, model.data, GradientFlow(ridge=ridge), TIMES)
    rows = slice(None, n + extra)
    start = (model.start @ model.start.T)[rows, rows]
    blocks = None
    if extra:
        blocks = extra_inputs(model, extra)
    got = function_space(law, blocks)
    for index, time in enumerate(TIMES):
        mean, covariance, _ = model.law(model.flow(time, ridge))
        wanted = gaussian_relative_entropy(mean[rows], covariance[rows, rows], start)
        assert got.value[index] == pytest.approx(wanted, abs=1e-9)
        assert got.standard_error[index] < 1e-9


@pytest.mark.parametrize("extra", [0, 4])
def test_function_space_with_noise_equals_two_dense_gaussians(extra):
    model, ridge, noise, temperature = RandomFeatures(), 0.2, 0.1, 0.3
    procedure = GradientFlow(ridge=ridge, target_noise_variance=noise, temperature=temperature)
    law = output_distribution(model.blocks, model.data, procedure, TIMES)
    got = function_space(law, extra_inputs(model, extra) if extra else None)
    rows = slice(None, model.n + extra)
    start = (model.start @ model.start.T)[rows, rows]
    drift = model.jacobian[: model.n].T @ model.jacobian[: model.n] + ridge * np.eye(model.parameters)
    values, vectors = np.linalg.eigh(drift)
    for index, time in enumerate(TIMES):
        mean, covariance, step = model.law(model.flow(time, ridge))
        spread = vectors * (temperature * -np.expm1(-2 * values * time) / values) @ vectors.T
        covariance = covariance + noise * step @ step.T + model.jacobian @ spread @ model.jacobian.T
        wanted = gaussian_relative_entropy(mean[rows], covariance[rows, rows], start)
        assert got.value[index] == pytest.approx(wanted, abs=1e-9)
        assert got.standard_error[index] < 1e-9
    with pytest.raises(ValueError, match="temperature"):
        linear_model(law)


def test_function_space_of_repeated_inputs_leaves_the_repetition_out():
    whole, repeated = RandomFeatures(n=11, repeat=False), RandomFeatures(n=12, repeat=True)
    law = output_distribution(repeated.blocks, repeated.data, GradientFlow(), TIMES)
    keep = slice(None, 11)
    start = (repeated.start @ repeated.start.T)[keep, keep]
    got = function_space(law).value
    for index, time in enumerate(TIMES):
        mean, covariance, _ = repeated.law(repeated.flow(time))
        wanted = gaussian_relative_entropy(mean[keep], covariance[keep, keep], start)
        assert got[index] == pytest.approx(wanted, abs=1e-9)
    assert whole.n == 11


@pytest.fixture(scope="module")
def golden():
    rng = np.random.default_rng(0)
    x, y, extra = rng.normal(size=(4, 3)), 0.7 * rng.normal(size=(4, 1)), rng.normal(size=(30, 3))
    data = Dataset(x, y, extra, np.zeros((30, 1)))
    blocks = kernel_blocks(FullyConnected(depth=1, activation="erf", w_std=1.5, b_std=0.0), data)
    return output_distribution(blocks, data, GradientFlow(), np.array([0.6]))


def test_golden_case(golden):
    """theory §5: one hidden erf layer, four inputs, t = 0.6."""
    assert np.trace(golden.blocks.train.ntk) == pytest.approx(8.687581, abs=5e-7)
    assert linear_model(golden).value[0] == pytest.approx(4.170521, abs=5e-7)
    assert path(golden).distance[0] == pytest.approx(1.116810, abs=5e-7)
    wanted = {0: 4.716770, 2: 4.815875, 4: 4.820790, 6: 4.831273, 10: 4.867824}
    for count, value in wanted.items():
        extra = None
        if count:
            inputs = golden.data.x_test[:count]
            extra = ExtraInputs(golden.blocks.source.cross(inputs), golden.blocks.source.square(inputs))
        assert function_space(golden, extra).value[0] == pytest.approx(value, abs=6e-7)


def test_speed_energy_and_length_by_numerical_integration():
    model = RandomFeatures()
    times = np.array([0.0, 0.05, 0.6, 4.0, np.inf])
    for ridge in (0.0, 0.2):
        law = output_distribution(model.blocks, model.data, GradientFlow(ridge=ridge), times)
        result = path(law)
        theta = model.blocks.train.ntk + ridge * np.eye(model.n)
        learn = model.outputs * model.blocks.train.nngp + law.data.y_train @ law.data.y_train.T

        def speed_squared(time, theta=theta, learn=learn):
            decay = scipy.linalg.expm(-time * theta)
            return np.trace(model.blocks.train.ntk @ decay @ learn @ decay)

        for index, time in enumerate(times[:-1]):
            assert result.speed_squared[index] == pytest.approx(speed_squared(time), rel=1e-11)
            energy = scipy.integrate.quad(speed_squared, 0, time, epsabs=1e-11)[0]
            length = scipy.integrate.quad(lambda t: np.sqrt(speed_squared(t)), 0, time, epsabs=1e-11)[0]
            assert result.energy[index] == pytest.approx(energy, rel=1e-9, abs=1e-12)
            assert result.length.value[index] == pytest.approx(length, rel=1e-7, abs=1e-12)
            assert result.length.standard_error[index] <= 1e-6
        assert result.speed_squared[-1] == 0
        assert np.all(np.diff(result.length.value) > 0)
        whole = path(output_distribution(model.blocks, model.data, Converged(ridge=ridge), np.array([np.inf])))
        assert whole.length.value[0] == pytest.approx(result.length.value[-1], rel=1e-7)
        assert whole.energy[0] == pytest.approx(result.energy[-1], rel=1e-12)
        assert whole.distance[0] == pytest.approx(result.distance[-1], rel=1e-12)
        # Cauchy-Schwarz: the straight line is the shortest path.
        assert np.all(result.length.value**2 >= result.distance)


@pytest.mark.parametrize("momentum", [0.0, 0.7])
def test_path_of_finite_steps_by_summing_them(momentum):
    model = RandomFeatures()
    largest = np.linalg.eigvalsh(model.blocks.train.ntk)[-1]
    step, count = 1.4 / largest, 9000
    procedure = HeavyBall(step_size=step, momentum=momentum) if momentum else GradientDescent(step_size=step)
    places = np.array([0, 1, 2, 10, 300, count])
    result = path(output_distribution(model.blocks, model.data, procedure, places * step))
    values, vectors = np.linalg.eigh(model.blocks.train.ntk)
    start = np.diag(vectors.T @ model.blocks.train.nngp @ vectors)
    weights = values * (model.outputs * start + np.sum((vectors.T @ model.data.y_train) ** 2, axis=1))
    before = now = np.zeros(model.n)
    energy, length, distance, sums = 0.0, 0.0, [], []
    for k in range(count + 1):
        if k in places:
            sums.append((energy, length))
            distance.append(np.sum(now**2 * weights))
        before, now = now, now + step * (1 - values * now) + momentum * (now - before)
        squared = np.sum(((now - before) / step) ** 2 * weights)
        energy, length = energy + step * squared, length + step * np.sqrt(squared)
    np.testing.assert_allclose(result.energy, [e for e, _ in sums], rtol=1e-9)
    np.testing.assert_allclose(result.length.value, [s for _, s in sums], rtol=1e-5)
    np.testing.assert_allclose(result.distance, distance, rtol=1e-9)


def test_mean_loss_changes_the_unit_of_time_alone():
    model = RandomFeatures()
    unit = model.data.y_train.size
    one = path(output_distribution(model.blocks, model.data, GradientFlow(), TIMES))
    other = path(output_distribution(model.blocks, model.data, GradientFlow(loss="mean"), TIMES * unit))
    np.testing.assert_allclose(other.length.value, one.length.value, rtol=1e-10)
    np.testing.assert_allclose(other.energy, one.energy / unit, rtol=1e-10)
    np.testing.assert_allclose(other.speed_squared, one.speed_squared / unit**2, rtol=1e-10)


def test_gradient_noise_is_named_as_left_out():
    model = RandomFeatures()
    law = output_distribution(model.blocks, model.data, GradientFlow(temperature=0.1), TIMES)
    assert "drift" in path(law).notes[0]


def many_digits(blocks, extra, y, time):
    """Relative entropy between the joint laws on training and extra inputs, of the kernels as they are given."""
    with mpmath.workdps(80):
        n, total = len(y), len(y) + len(extra.square.nngp)
        prior, tangent = (
            mpmath.matrix(np.block([[square, cross.T], [cross, own]]).tolist())
            for square, cross, own in (
                (blocks.train.nngp, extra.cross.nngp, extra.square.nngp),
                (blocks.train.ntk, extra.cross.ntk, extra.square.ntk),
            )
        )
        values, vectors = mpmath.eigsy(tangent[:n, :n])
        step = tangent[:, :n] * vectors * mpmath.diag([-mpmath.expm1(-v * time) / v for v in values]) * vectors.T
        moving = mpmath.eye(total)
        moving[:, :n] = moving[:, :n] - step
        mean, inverse = step * mpmath.matrix(y.tolist()), prior**-1
        spread = inverse * moving * prior * moving.T
        trace = sum(spread[i, i] for i in range(total))
        moved = mean.T * inverse * mean
        quadratic = sum(moved[i, i] for i in range(y.shape[1]))
        return (quadratic + y.shape[1] * (trace - total - mpmath.log(mpmath.det(spread)))) / 2


@pytest.mark.parametrize("repeated", ["extra", "training"])
@pytest.mark.parametrize("distance", [1e-3, 1e-5])
def test_stated_error_covers_inputs_that_nearly_repeat(repeated, distance):
    model = RandomFeatures(n=8, m=3)
    rng = np.random.default_rng(4)
    origin = model.n if repeated == "extra" else 2
    for features in (model.start, model.jacobian):
        features[-1] = features[origin] + distance * rng.normal(size=features.shape[1])
    extra, times = extra_inputs(model, 3), np.array([0.05, 1.0, 30.0])
    law = output_distribution(model.blocks, model.data, GradientFlow(), times)
    got = function_space(law, extra)
    alone = function_space(law).standard_error
    for index, time in enumerate(times):
        wanted = many_digits(model.blocks, extra, model.data.y_train, time)
        error = abs(float(mpmath.mpf(float(got.value[index])) - wanted))
        assert error <= got.standard_error[index] < 0.02 * float(wanted)
        # The training inputs' own conditioning does not account for it.
        assert got.standard_error[index] > 10 * alone[index]


def test_inputs_that_repeat_to_rounding_are_refused():
    model = RandomFeatures(n=8, m=3)
    for features in (model.start, model.jacobian):
        features[-1] = features[model.n]
    law = output_distribution(model.blocks, model.data, GradientFlow(), TIMES)
    with pytest.raises(NotDefiniteError, match="extra inputs"):
        function_space(law, extra_inputs(model, 3))
