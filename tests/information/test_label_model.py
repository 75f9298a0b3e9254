"""I(Z;D|X) and I(f(X); Y) under Gaussian label models, against dense algebra, mpmath, and their limits."""

import itertools

import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

import ntkinfo as ni
from ntkinfo.core.arrays import float64
from ntkinfo.core.linear_algebra import NotDefiniteError
from ntkinfo.information.function_space import information_labels_function_space
from ntkinfo.information.joint import information_joint
from ntkinfo.information.label_model import LabelModel, information_labels_per_input
from ntkinfo.information.parameters import ExtraInputs, function_space
from ntkinfo.information.training_set import relative_entropy_joint, relative_entropy_per_input
from ntkinfo.kernels.records import CrossBlocks, KernelBlocks, SquareBlocks
from ntkinfo.training.discrete import GradientDescent, HeavyBall
from ntkinfo.training.output_distribution import output_distribution
from ntkinfo.training.procedures import Converged, GradientFlow
from ntkinfo.training.times import log_times
from tests.random_features import RandomFeatures

# Dense covariances have lost their digits after that.
TIMES = np.array([0.0, 1e-6, 0.03, 0.4, 2.0])
TEACHER = np.random.default_rng(5).normal(size=(12, 20))
MODELS = {
    "prior": LabelModel(),
    "prior and noise": LabelModel(noise_variance=0.3),
    "given": LabelModel(covariance=TEACHER @ TEACHER.T),
    "given and noise": LabelModel(0.2, TEACHER @ TEACHER.T),
    "low rank": LabelModel(covariance=TEACHER[:, :3] @ TEACHER[:, :3].T),
}
PROCEDURES = {
    "flow": GradientFlow(),
    "ridge": GradientFlow(ridge=0.4),
    "noisy": GradientFlow(ridge=0.4, target_noise_variance=0.2, temperature=0.3),
    "randomised prior": GradientFlow(prior="ntk"),
}


def kernels(model, procedure):
    """Prior over all inputs, and its value on the training inputs."""
    gram = model.jacobian @ model.jacobian.T if procedure.prior == "ntk" else model.start @ model.start.T
    return gram, gram[: model.n, : model.n]


def labels(model, procedure, label_model):
    teacher = kernels(model, procedure)[1] if label_model.covariance is None else label_model.covariance
    return teacher + label_model.noise_variance * np.eye(model.n)


def dense(model, procedure, label_model, propagate, time):
    """Covariance of all outputs and of their means over drawn targets, by dense algebra."""
    n = model.n
    step = (model.jacobian @ model.jacobian[:n].T) @ propagate
    prior = kernels(model, procedure)[0]
    mapping = np.eye(len(prior)) - np.concatenate([step, np.zeros((len(prior), len(prior) - n))], axis=1)
    covariance = mapping @ prior @ mapping.T + procedure.target_noise_variance * step @ step.T
    if procedure.temperature:
        drift = model.jacobian[:n].T @ model.jacobian[:n] + procedure.ridge * np.eye(model.parameters)
        values, vectors = np.linalg.eigh(drift)
        spread = vectors * (procedure.temperature * -np.expm1(-2 * values * time) / values) @ vectors.T
        covariance = covariance + model.jacobian @ spread @ model.jacobian.T
    return covariance, step @ labels(model, procedure, label_model) @ step.T


def gain(covariance, signal):
    return np.linalg.slogdet(np.eye(len(covariance)) + np.linalg.solve(covariance, signal))[1]


def extra_blocks(model, count):
    n, new = model.n, slice(model.n, model.n + count)
    k, t = model.start @ model.start.T, model.jacobian @ model.jacobian.T
    cross = CrossBlocks(k[new, :n], t[new, :n], np.diag(k)[new].copy(), np.diag(t)[new].copy())
    return ExtraInputs(cross, SquareBlocks(k[new, new], t[new, new]))


@pytest.mark.parametrize("procedure", PROCEDURES.values(), ids=PROCEDURES)
@pytest.mark.parametrize("label_model", MODELS.values(), ids=MODELS)
def test_every_information_equals_dense_algebra(label_model, procedure):
    model = RandomFeatures(m=6)
    n, outputs = model.n, model.outputs
    law = output_distribution(model.blocks, model.data, procedure, TIMES)
    single = {side: information_labels_per_input(getattr(law, side), label_model) for side in ("train", "test")}
    joint = {side: information_joint(getattr(law, side), label_model).labels for side in ("train", "test")}
    wider = information_labels_function_space(law, label_model, extra_blocks(model, 4))
    assert single["test"].meaning == joint["test"].meaning == "exact"
    for index, time in enumerate(TIMES):
        covariance, signal = dense(model, procedure, label_model, model.flow(time, procedure.ridge), time)
        ratio = np.diag(signal) / np.diag(covariance)
        for side, rows in (("train", slice(None, n)), ("test", slice(n, None))):
            wanted = 0.5 * outputs * np.log1p(ratio[rows])
            np.testing.assert_allclose(single[side].value[index], wanted, rtol=1e-8, atol=1e-11)
            assert np.all(single[side].standard_error[index] < 1e-9)
            wanted = 0.5 * outputs * gain(covariance[rows, rows], signal[rows, rows])
            assert joint[side].value[index] == pytest.approx(wanted, rel=1e-8, abs=1e-11)
            assert joint[side].standard_error[index] < 1e-9
        rows = slice(None, n + 4)
        wanted = 0.5 * outputs * gain(covariance[rows, rows], signal[rows, rows])
        assert wider.value[index] == pytest.approx(wanted, rel=1e-8, abs=1e-11)


@pytest.mark.parametrize("momentum", [0.0, 0.7])
def test_steps_that_overshoot_equal_dense_algebra(momentum):
    """The fastest directions then lag behind slower ones: the triangular form has to change its order."""
    model, label_model = RandomFeatures(m=6), LabelModel(noise_variance=0.1)
    n = model.n
    theta = model.jacobian[:n] @ model.jacobian[:n].T
    # No direction is learned at once by these steps: dense covariances keep their digits.
    step = 1.6 / np.linalg.eigvalsh(theta)[-1]
    procedure = HeavyBall(step_size=step, momentum=momentum) if momentum else GradientDescent(step_size=step)
    places = np.array([0, 1, 2, 3])
    law = output_distribution(model.blocks, model.data, procedure, places * step)
    joint = information_joint(law.train, label_model).labels
    wider = information_labels_function_space(law, label_model, extra_blocks(model, 4))
    before, now = np.zeros((n, n)), np.zeros((n, n))
    for k in range(places[-1] + 1):
        if k in places:
            index = list(places).index(k)
            covariance, signal = dense(model, GradientFlow(), label_model, now, 0.0)
            for rows, got in ((slice(None, n), joint), (slice(None, n + 4), wider)):
                wanted = 0.5 * model.outputs * gain(covariance[rows, rows], signal[rows, rows])
                assert got.value[index] == pytest.approx(wanted, rel=1e-9, abs=1e-11)
        before, now = now, now - step * (theta @ now - np.eye(n)) + momentum * (now - before)


def test_momentum_that_overshoots_by_more_than_the_start_keeps_its_information():
    """Residuals beyond 1: a direction's share of the labels is then negative."""
    model, label_model, beta = RandomFeatures(), LabelModel(noise_variance=0.1), 0.9
    values = np.linalg.eigvalsh(model.jacobian[: model.n] @ model.jacobian[: model.n].T)
    step = 3.7 / values[-1]
    places = np.array([0, 1, 2, 3, 4, 5])
    procedure = HeavyBall(step_size=step, momentum=beta, prior="ntk")
    law = output_distribution(model.blocks, model.data, procedure, places * step)
    found = information_labels_function_space(law, label_model).value
    before = now = np.ones(model.n)
    for k in places:
        assert k < 2 or np.abs(now).max() > 1
        q = (1 - now) / now
        wanted = 0.5 * model.outputs * np.sum(np.log1p(q**2 * (1 + 0.1 / values)))
        assert found[k] == pytest.approx(wanted, rel=1e-9, abs=1e-12)
        before, now = now, (1 + beta - step * values) * now - beta * before


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_late_information_on_the_training_inputs_keeps_all_digits(noise):
    """Variances of e^{−2λt} underflow; mpmath carries them with 400 digits."""
    model = RandomFeatures(n=5, m=2, parameters=20)
    times = np.array([0.5, 30.0, 400.0, 3000.0])
    label_model = LabelModel(noise_variance=noise)
    law = output_distribution(model.blocks, model.data, GradientFlow(), times)
    single, joint = information_labels_per_input(law.train, label_model), information_joint(law.train, label_model)
    assert law.train.variance[-1].max() == 0
    with mpmath.workdps(400):
        theta, start = (mpmath.matrix(getattr(model.blocks.train, name).tolist()) for name in ("ntk", "nngp"))
        values, vectors = mpmath.eigsy(theta)
        wide = mpmath.eye(5)
        for index, time in enumerate(times):
            decay = vectors * mpmath.diag([mpmath.exp(-v * mpmath.mpf(time)) for v in values]) * vectors.T
            learned = wide - decay
            covariance = decay * start * decay
            signal = learned * (start + mpmath.mpf(noise) * wide) * learned
            exact = [float(mpmath.log(1 + signal[i, i] / covariance[i, i])) for i in range(5)]
            np.testing.assert_allclose(single.value[index], exact, rtol=1e-12)
            lost = mpmath.log(mpmath.det(start)) - 2 * sum(values) * mpmath.mpf(time)
            together = float(mpmath.log(mpmath.det(covariance + signal)) - lost)
            assert joint.labels.value[index] == pytest.approx(together, rel=1e-12)
    end = output_distribution(model.blocks, model.data, GradientFlow(), np.array([np.inf]))
    assert np.all(np.isinf(information_labels_per_input(end.train, label_model).value))
    assert np.isinf(information_joint(end.train, label_model).labels.value[0])
    kept = information_joint(end.test, label_model).labels.value[0]
    assert np.isfinite(kept)
    assert kept > 0


def test_information_starts_at_zero_and_obeys_data_processing():
    model, label_model = RandomFeatures(m=6), LabelModel(noise_variance=0.2)
    times = np.append(0.0, log_times(1e-3, 1e2, 30))
    for procedure in (GradientFlow(), GradientFlow(ridge=0.1, target_noise_variance=0.1)):
        law = output_distribution(model.blocks, model.data, procedure, times)
        single = {
            side: information_labels_per_input(getattr(law, side), label_model).value for side in ("train", "test")
        }
        together = {side: information_joint(getattr(law, side), label_model).labels for side in ("train", "test")}
        spaces = [
            information_labels_function_space(law, label_model, extra_blocks(model, k) if k else None)
            for k in (0, 2, 4, 6)
        ]
        for side in ("train", "test"):
            assert np.all(single[side][0] == 0)
            assert together[side].value[0] == pytest.approx(0, abs=1e-13)
            slack = together[side].standard_error[:, None] + 1e-9
            assert np.all(single[side] <= together[side].value[:, None] + slack)
        np.testing.assert_allclose(spaces[0].value, together["train"].value, rtol=1e-12)
        for less, more in itertools.pairwise(spaces):
            slack = less.standard_error + more.standard_error + 1e-9
            assert np.all(less.value <= more.value + slack)
        # Training and all test inputs together know at least what the test inputs know.
        assert np.all(together["test"].value <= spaces[-1].value + spaces[-1].standard_error + 1e-9)
        assert spaces[-1].value[-1] > spaces[0].value[-1] + 0.01


def test_the_bound_by_relative_entropy_averaged_over_labels_is_above_the_information():
    """E_Y KL(p(z|Y) ‖ p_0) ≥ I(Z;Y), and the average is known: ½C[tr(P⁻¹(cov + M)) − m − log det(P⁻¹cov)]."""
    model, label_model = RandomFeatures(m=5), LabelModel(noise_variance=0.1)
    law = output_distribution(model.blocks, model.data, GradientFlow(), TIMES)
    exact = information_joint(law.test, label_model).labels.value
    single = information_labels_per_input(law.test, label_model).value
    draws = label_model.draw(law, seed=4, count=400)
    bounds, singles = [], []
    for k in range(draws.shape[1]):
        targets = law.spectrum.eigenvectors @ draws[:, k]
        other = type(model.data)(model.data.x_train, targets, model.data.x_test, model.data.y_test)
        drawn = output_distribution(model.blocks, other, GradientFlow(), TIMES)
        bounds.append(information_joint(drawn.test).relative_entropy.value)
        logs = drawn.test.log_variance_at(slice(None))
        singles.append(relative_entropy_per_input(drawn.test.mean, logs, drawn.test.initial_variance))
    mean, error = np.mean(bounds, axis=0), np.std(bounds, axis=0) / np.sqrt(len(bounds))
    assert np.all(mean + 4 * error + 1e-10 >= exact)
    assert np.all(np.mean(singles, axis=0) + 4 * np.std(singles, axis=0) / 20 + 1e-10 >= single)
    initial = kernels(model, GradientFlow())[0][model.n :, model.n :]
    for index, time in enumerate(TIMES):
        covariance, signal = (
            matrix[model.n :, model.n :] for matrix in dense(model, GradientFlow(), label_model, model.flow(time), time)
        )
        logs = np.linalg.slogdet(initial)[1] - np.linalg.slogdet(covariance)[1]
        trace = np.trace(np.linalg.solve(initial, covariance + signal))
        wanted = 0.5 * model.outputs * (trace - 5 + logs)
        assert abs(mean[index] - wanted) <= 4 * error[index] + 1e-10


def test_joint_relative_entropy_equals_one_time_at_a_time():
    model = RandomFeatures(m=6)
    times = np.append(log_times(1e-3, 1e2, 60), np.inf)
    start = model.start @ model.start.T
    for procedure in (GradientFlow(ridge=0.1), GradientFlow(ridge=0.1, target_noise_variance=0.1)):
        law = output_distribution(model.blocks, model.data, procedure, times)
        for side, rows in ((law.train, slice(None, model.n)), (law.test, slice(model.n, None))):
            got = information_joint(side).relative_entropy
            assert information_joint(side).labels is None
            for index in (0, 13, 27, 44, 59, 60):
                wanted = relative_entropy_joint(side, start[rows, rows], times[index]).value
                assert abs(got.value[index] - wanted) <= got.standard_error[index] + 1e-10 * (1 + wanted)


def test_repeated_inputs_leave_the_repetition_out():
    """The same function value twice says nothing more; two targets on one input are averaged."""
    model, label_model = RandomFeatures(n=12, repeat=True), LabelModel(noise_variance=0.3)
    law = output_distribution(model.blocks, model.data, GradientFlow(), TIMES)
    got = information_joint(law.train, label_model).labels
    rows = slice(None, 11)
    for index, time in enumerate(TIMES):
        covariance, signal = dense(model, GradientFlow(), label_model, model.flow(time), time)
        wanted = 0.5 * model.outputs * gain(covariance[rows, rows], signal[rows, rows])
        assert got.value[index] == pytest.approx(wanted, rel=1e-8, abs=1e-11)
    with pytest.raises(NotDefiniteError, match="covariance at time 1000 is not positive definite"):
        information_joint(
            output_distribution(model.blocks, model.data, GradientFlow(), np.array([1e3])).test, label_model
        )


@pytest.fixture(scope="module")
def network():
    data = ni.data.wine(n_train=60, n_test=25)
    net = ni.FullyConnected(depth=2, activation="erf", w_std=1.5, b_std=0.3)
    return data, ni.kernel_blocks(net, data)


def test_many_times_are_interpolated_within_the_measured_error(network):
    data, blocks = network
    times = log_times(1e-4, 1e4, 300)
    label_model = LabelModel(noise_variance=0.05)
    for procedure in (GradientFlow(), GradientFlow(ridge=1e-3, target_noise_variance=0.1)):
        law = output_distribution(blocks, data, procedure, times)
        extra = ExtraInputs(blocks.source.cross(data.x_test[:5]), blocks.source.square(data.x_test[:5]))
        for compute in (
            lambda law: information_joint(law.train, label_model).labels,
            lambda law: information_joint(law.test, label_model).labels,
            lambda law: information_joint(law.test, label_model).relative_entropy,
            lambda law, extra=extra: information_labels_function_space(law, label_model, extra),
            lambda law, extra=extra: function_space(law, extra),
        ):
            got = compute(law)
            some = np.arange(0, 300, 23)
            few = compute(output_distribution(blocks, data, procedure, times[some][:9]))
            difference = np.abs(got.value[some][:9] - few.value)
            assert np.all(difference <= got.standard_error[some][:9] + few.standard_error + 1e-9 * (1 + few.value))
            assert np.all(got.standard_error <= 1e-5 * np.maximum(1, got.value))


def test_jax_arrays_give_the_same():
    model, label_model, times = RandomFeatures(n=6, m=3), LabelModel(noise_variance=0.2), TIMES[-2:]
    with float64():
        blocks = KernelBlocks(
            SquareBlocks(jnp.asarray(model.blocks.train.nngp), jnp.asarray(model.blocks.train.ntk)),
            CrossBlocks(**{k: jnp.asarray(v) for k, v in vars(model.blocks.test).items()}),
        )
    for procedure in (GradientFlow(), GradientFlow(target_noise_variance=0.2)):
        wanted = output_distribution(model.blocks, model.data, procedure, times)
        got = output_distribution(blocks, model.data, procedure, times)
        pairs = [[information_labels_function_space(law, label_model) for law in (got, wanted)]]
        if not procedure.is_noisy:
            pairs += [
                [information_labels_per_input(getattr(law, side), label_model) for law in (got, wanted)]
                for side in ("train", "test")
            ]
        for one, other in pairs:
            assert not isinstance(one.value, np.ndarray)
            np.testing.assert_allclose(np.asarray(one.value), other.value, rtol=1e-11, atol=1e-12)


def test_label_models_that_mean_nothing_are_refused():
    model = RandomFeatures(outputs=3)
    law = output_distribution(model.blocks, model.data, GradientFlow(), TIMES)
    y = model.data.y_train
    with pytest.raises(ValueError, match="rank 1"):
        LabelModel(covariance=y[:, :1] @ y[:, :1].T)
    with pytest.raises(ValueError, match="Y Yᵀ of the training targets"):
        information_labels_per_input(law.test, LabelModel(0.1, y @ y.T / 3))
    with pytest.raises(ValueError, match="not positive semidefinite"):
        LabelModel(covariance=np.diag([1.0, -1.0]))
    with pytest.raises(ValueError, match="not symmetric"):
        LabelModel(covariance=np.array([[1.0, 0.2], [0.0, 1.0]]))
    with pytest.raises(ValueError, match="square"):
        LabelModel(covariance=np.ones((2, 3)))
    with pytest.raises(ValueError, match="NaN"):
        LabelModel(covariance=np.array([[1.0, np.nan], [0.0, 1.0]]))
    with pytest.raises(ValueError, match="noise_variance is -1"):
        LabelModel(noise_variance=-1.0)
    with pytest.raises(ValueError, match=r"must be \(12, 12\)"):
        information_joint(law.test, LabelModel(covariance=np.eye(3)))


def test_converged_training_is_evaluated_once():
    model, label_model = RandomFeatures(m=4), LabelModel()
    law = output_distribution(model.blocks, model.data, Converged(ridge=0.2), np.array([1.0, 2.0, np.inf]))
    got = information_joint(law.test, label_model).labels
    assert "evaluated at 1 times" in got.method
    assert got.value[0] == got.value[1] == got.value[2]


def test_drawn_labels_have_the_model_s_covariance():
    model = RandomFeatures(n=4, outputs=2)
    law = output_distribution(model.blocks, model.data, GradientFlow(), TIMES)
    for label_model in (LabelModel(0.3), LabelModel(covariance=TEACHER[:4, :2] @ TEACHER[:4, :2].T)):
        draws = label_model.draw(law, seed=1, count=4000)
        rotated = np.einsum("ij,jsc->isc", law.spectrum.eigenvectors, draws).reshape(4, -1)
        wanted = labels(model, GradientFlow(), label_model)
        error = np.sqrt((wanted**2 + np.outer(np.diag(wanted), np.diag(wanted))) / rotated.shape[1])
        assert np.all(np.abs(rotated @ rotated.T / rotated.shape[1] - wanted) <= 4.5 * error + 1e-12)
