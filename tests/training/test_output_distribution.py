"""The output law against dense algebra that never diagonalises a kernel."""

import jax.numpy as jnp
import numpy as np
import pytest

import ntkinfo as ni
from ntkinfo.core.arrays import float64
from ntkinfo.kernels.records import CrossBlocks, KernelBlocks, SquareBlocks
from ntkinfo.training.discrete import GradientDescent, HeavyBall
from ntkinfo.training.output_distribution import output_distribution
from ntkinfo.training.procedures import Converged, GradientFlow, nngp_posterior, ntk_posterior
from ntkinfo.training.times import log_times
from tests.random_features import RandomFeatures

TIMES = np.array([0.0, 1e-6, 0.03, 0.4, 3.0, 40.0])


def assert_law(model, distribution, propagators, extra_covariance=None, tolerance=1e-10):
    """Mean, variance and covariance, train and test, equal the dense law to `tolerance` relative to the prior."""
    n = model.n
    scale = np.trace(model.start @ model.start.T) / len(model.start)
    for index, (time, propagate) in enumerate(zip(distribution.times, propagators, strict=True)):
        mean, covariance, step = model.law(propagate)
        if extra_covariance is not None:
            covariance = covariance + extra_covariance(time, step)
        for law, rows in ((distribution.train, slice(None, n)), (distribution.test, slice(n, None))):
            np.testing.assert_allclose(law.mean[index], mean[rows], atol=tolerance)
            np.testing.assert_allclose(law.variance[index], np.diag(covariance)[rows], atol=tolerance * scale)
            np.testing.assert_allclose(law.covariance(time), covariance[rows, rows], atol=tolerance * scale)


@pytest.mark.parametrize("ridge", [0.0, 0.3])
@pytest.mark.parametrize("shared", [False, True])
def test_gradient_flow_equals_matrix_exponential(ridge, shared):
    model = RandomFeatures(shared=shared)
    distribution = output_distribution(model.blocks, model.data, GradientFlow(ridge=ridge), TIMES)
    assert_law(model, distribution, [model.flow(t, ridge) for t in TIMES])


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_gradient_descent_and_momentum_equal_stepping_in_parameter_space(noise):
    model = RandomFeatures()
    n, ridge = model.n, 0.2
    theta = model.jacobian[:n] @ model.jacobian[:n].T
    step = 1.3 / (np.linalg.eigvalsh(theta)[-1] + ridge)
    counts = np.array([0, 1, 2, 3, 7, 40])
    for momentum in (0.0, 0.6):
        options = {"ridge": ridge, "step_size": step, "target_noise_variance": noise}
        procedure = HeavyBall(momentum=momentum, **options) if momentum else GradientDescent(**options)
        propagators, before, now = [], np.zeros((n, n)), np.zeros((n, n))
        for k in range(counts[-1] + 1):
            if k in counts:
                propagators.append(now)
            gradient = theta @ now + ridge * now - np.eye(n)
            before, now = now, now - step * gradient + momentum * (now - before)
        distribution = output_distribution(model.blocks, model.data, procedure, counts * step)
        assert_law(model, distribution, propagators, lambda t, step: noise * step @ step.T)


def test_langevin_noise_equals_the_lyapunov_integral():
    model = RandomFeatures()
    n, ridge, temperature = model.n, 0.25, 0.4
    jacobian = model.jacobian
    drift = jacobian[:n].T @ jacobian[:n] + ridge * np.eye(model.parameters)

    def added(time, _):
        # Van Loan's block exponential for 2τ ∫ exp(−2s·drift) ds in parameter space.
        p = model.parameters
        generator = np.zeros((2 * p, 2 * p))
        generator[:p, :p], generator[:p, p:] = -2 * drift, np.eye(p)
        import scipy.linalg

        spread = 2 * temperature * scipy.linalg.expm(time * generator)[:p, p:]
        return jacobian @ spread @ jacobian.T

    times = np.array([0.0, 0.1, 2.0, 15.0])
    procedure = GradientFlow(ridge=ridge, temperature=temperature)
    distribution = output_distribution(model.blocks, model.data, procedure, times)
    assert_law(model, distribution, [model.flow(t, ridge) for t in times], added)


def test_langevin_gradient_descent_equals_stepping():
    model = RandomFeatures()
    n, temperature, step = model.n, 0.4, 0.3
    jacobian = model.jacobian
    once = np.eye(model.parameters) - step * (jacobian[:n].T @ jacobian[:n] + 0.1 * np.eye(model.parameters))
    spread, wanted = np.zeros_like(once), []
    for _ in range(8):
        wanted.append(jacobian @ spread @ jacobian.T)
        spread = once @ spread @ once.T + 2 * temperature * step * np.eye(model.parameters)
    noisy = GradientDescent(step_size=step, ridge=0.1, temperature=temperature)
    plain = GradientDescent(step_size=step, ridge=0.1)
    times = step * np.arange(8)
    added = [output_distribution(model.blocks, model.data, p, times).test.variance.copy() for p in (noisy, plain)]
    np.testing.assert_allclose(added[0] - added[1], [np.diag(w)[n:] for w in wanted], atol=1e-12)


def test_mean_loss_is_the_summed_loss_in_a_longer_time():
    model = RandomFeatures()
    unit = model.data.y_train.size
    for kind, options in (
        (GradientFlow, {}),
        (GradientDescent, {"step_size": 0.1}),
        (GradientFlow, {"temperature": 0.2}),
    ):
        scaled = {
            k: v * unit if k == "step_size" else v / unit if k == "temperature" else v for k, v in options.items()
        }
        one = output_distribution(model.blocks, model.data, kind(ridge=0.1, **options), TIMES)
        other = output_distribution(model.blocks, model.data, kind(ridge=0.1, loss="mean", **scaled), TIMES * unit)
        np.testing.assert_allclose(one.mean, other.mean, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(one.variance, other.variance, rtol=1e-12, atol=1e-13)


def test_posteriors_equal_their_textbook_forms():
    model, noise = RandomFeatures(), 0.3
    n = model.n
    nngp, ntk = model.start @ model.start.T, model.jacobian @ model.jacobian.T
    for procedure, kernel in ((nngp_posterior(noise), nngp), (ntk_posterior(noise), ntk)):
        gain = np.linalg.solve(kernel[:n, :n] + noise * np.eye(n), kernel[:n, n:]).T
        distribution = output_distribution(model.blocks, model.data, procedure, np.array([np.inf]))
        np.testing.assert_allclose(distribution.mean[0], gain @ model.y[:n], atol=1e-11)
        np.testing.assert_allclose(distribution.covariance(np.inf), kernel[n:, n:] - gain @ kernel[:n, n:], atol=1e-11)


def test_repeated_inputs_need_no_jitter_and_end_where_theory_says():
    model = RandomFeatures(repeat=True)
    data = model.data
    distribution = output_distribution(model.blocks, data, GradientFlow(), np.append(TIMES, [1e9, np.inf]))
    assert distribution.spectrum.null.sum() == 1
    assert any("taken as exactly 0" in note for note in distribution.notes)
    assert_law(model, output_distribution(model.blocks, data, GradientFlow(), TIMES), [model.flow(t) for t in TIMES])
    end = distribution.train.mean[-1]
    # The repeated input learns the average of its two targets, the others theirs; no variance is left.
    np.testing.assert_allclose(end[[0, -1]], np.tile((data.y_train[0] + data.y_train[-1]) / 2, (2, 1)), atol=1e-9)
    np.testing.assert_allclose(end[1:-1], data.y_train[1:-1], atol=1e-9)
    np.testing.assert_allclose(distribution.train.variance[-1], 0.0, atol=1e-13)
    np.testing.assert_allclose(distribution.test.mean[-1, 0], data.y_train[1], atol=1e-9)
    np.testing.assert_allclose(distribution.test.variance[-1, 0], 0.0, atol=1e-12)


def test_small_training_variances_keep_their_relative_precision():
    """Late in training the variance is e^{−2λt} of its start; mpmath gives it with 50 digits."""
    import mpmath

    model = RandomFeatures(n=6, m=2, parameters=20)
    times = np.array([1.0, 30.0, 120.0, 400.0])
    variance = output_distribution(model.blocks, model.data, GradientFlow(), times).train.variance
    with mpmath.workdps(400):
        theta = mpmath.matrix(model.blocks.train.ntk.tolist())
        start = mpmath.matrix(model.blocks.train.nngp.tolist())
        values, vectors = mpmath.eigsy(theta)
        for index, time in enumerate(times):
            decay = vectors * mpmath.diag([mpmath.exp(-v * mpmath.mpf(time)) for v in values]) * vectors.T
            exact = [float((decay * start * decay)[i, i]) for i in range(6)]
            np.testing.assert_allclose(variance[index], exact, rtol=1e-9)
    assert variance[-1].max() < 1e-20


def test_thousands_of_times_agree_with_one_at_a_time_within_the_stated_error():
    model = RandomFeatures(n=300, m=5, parameters=700, outputs=1)
    times = log_times(1e-4, 1e6, 3000, infinity=True)
    for procedure in (GradientFlow(ridge=1e-4), GradientDescent(step_size=0.4)):
        distribution = output_distribution(model.blocks, model.data, procedure, times)
        for law in (distribution.train, distribution.test):
            for index in (0, 700, 1500, 2999, 3000):
                one = np.diag(law.covariance(times[index]))
                slack = 1e-12 * model.blocks.test.nngp_diagonal.max()
                assert np.all(np.abs(law.variance[index] - one) <= law.variance_error[index] + slack)
        assert distribution.test.variance_error.max() < 1e-8
        assert distribution.filter_factors.blocks[0].modes.shape[1] < 32


def test_new_inputs_have_the_law_of_the_same_inputs_elsewhere():
    data = ni.data.wine(n_train=30, n_test=20)
    network = ni.FullyConnected(depth=1, activation="relu", w_std=1.4, b_std=0.2)
    law = output_distribution(ni.kernel_blocks(network, data), data, GradientFlow(ridge=0.1), TIMES)
    for inputs, known in ((data.x_test, law.test), (data.x_train, law.train)):
        again = law.at(inputs)
        np.testing.assert_allclose(again.mean, known.mean, atol=1e-11)
        np.testing.assert_allclose(again.variance, known.variance, atol=1e-11)
        np.testing.assert_allclose(again.covariance(0.4), known.covariance(0.4), atol=1e-11)
    with pytest.raises(ValueError, match=r"inputs has shape \(20, 5\)"):
        law.at(data.x_test[:, :5])


def test_samples_have_the_law_s_moments():
    model = RandomFeatures(outputs=1)
    distribution = output_distribution(model.blocks, model.data, GradientFlow(), TIMES)
    draws = distribution.sample(seed=3, count=4000, time=0.4)[:, :, 0]
    mean, covariance = distribution.mean[3, :, 0], distribution.covariance(0.4)
    error = np.sqrt(np.diag(covariance) / 4000)
    assert np.all(np.abs(draws.mean(0) - mean) < 4.5 * error)
    spread = np.sqrt((covariance**2 + np.outer(np.diag(covariance), np.diag(covariance))) / 4000)
    assert np.all(np.abs(np.cov(draws.T) - covariance) < 4.5 * spread)
    np.testing.assert_array_equal(draws, distribution.sample(seed=3, count=4000, time=0.4)[:, :, 0])


def test_the_same_code_runs_on_jax_arrays():
    model = RandomFeatures()
    procedure = GradientFlow(ridge=0.1, target_noise_variance=0.2, temperature=0.1)
    wanted = output_distribution(model.blocks, model.data, procedure, TIMES)
    with float64():
        blocks = KernelBlocks(
            SquareBlocks(jnp.asarray(model.blocks.train.nngp), jnp.asarray(model.blocks.train.ntk)),
            CrossBlocks(**{k: jnp.asarray(v) for k, v in vars(model.blocks.test).items()}),
        )
    got = output_distribution(blocks, model.data, procedure, TIMES)
    for split in ("train", "test"):
        one, other = getattr(got, split), getattr(wanted, split)
        assert not isinstance(one.variance, np.ndarray)
        np.testing.assert_allclose(np.asarray(one.mean), other.mean, atol=1e-12)
        np.testing.assert_allclose(np.asarray(one.variance), other.variance, atol=1e-12)
    with pytest.raises(ValueError, match="no source"):
        got.covariance(0.4)


def test_bad_input_is_refused_with_advice():
    model = RandomFeatures()
    blocks, data = model.blocks, model.data
    largest = np.linalg.eigvalsh(blocks.train.ntk)[-1]
    with pytest.raises(ValueError, match=f"below {2 / largest:.6g}"):
        output_distribution(blocks, data, GradientDescent(step_size=2.01 / largest), TIMES)
    with pytest.raises(ValueError, match="diverges"):
        output_distribution(blocks, data, HeavyBall(step_size=3.01 / largest, momentum=0.5), TIMES)
    with pytest.raises(ValueError, match="rise strictly"):
        output_distribution(blocks, data, GradientFlow(), np.array([1.0, 1.0]))
    with pytest.raises(ValueError, match="negative"):
        output_distribution(blocks, data, GradientFlow(), np.array([-1.0, 1.0]))
    with pytest.raises(ValueError, match="infinite"):
        output_distribution(blocks, data, GradientFlow(temperature=0.1), np.array([np.inf]))
    with pytest.raises(ValueError, match=r"ridge is -1\.0"):
        GradientFlow(ridge=-1.0)
    with pytest.raises(ValueError, match="did you mean 'nngp'"):
        GradientFlow(prior="nnpg")
    with pytest.raises(ValueError, match="below 1"):
        HeavyBall(step_size=0.1, momentum=1.0)
    three = CrossBlocks(*(k[:, :3] if k.ndim == 2 else k for k in vars(blocks.test).values()))
    wrong = KernelBlocks(SquareBlocks(blocks.train.nngp[:3, :3], blocks.train.ntk[:3, :3]), three)
    with pytest.raises(ValueError, match=r"\(12, 12\)"):
        output_distribution(wrong, data, GradientFlow(), TIMES)
    larger = blocks.train.ntk + 2 * blocks.train.ntk.max() * (1 - np.eye(12))
    bad = KernelBlocks(SquareBlocks(blocks.train.nngp, larger), blocks.test)
    with pytest.raises(ValueError, match="positive semidefinite"):
        output_distribution(bad, data, GradientFlow(), TIMES)
    with pytest.raises(ValueError, match="time is -1"):
        output_distribution(blocks, data, GradientFlow(), TIMES).covariance(-1.0)
    np.testing.assert_array_equal(
        output_distribution(blocks, data, Converged(), np.array([np.inf])).times, np.array([np.inf])
    )
