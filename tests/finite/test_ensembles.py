"""Ensembles of trained networks: against plain loops, closed forms with empirical kernels, and the analytic law."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ntkinfo as ni
from ntkinfo.core.arrays import float64
from ntkinfo.core.progress import silent
from ntkinfo.core.records import Dataset
from ntkinfo.finite import member_program
from ntkinfo.finite.ensembles import EnsembleOutputs, EnsembleSettings, OptaxDescent, train_ensemble
from ntkinfo.finite.networks import member_network
from ntkinfo.finite.trainer import Interrupted
from ntkinfo.kernels.neural_tangents_compat import empirical_ntk_fn, stax

RNG = np.random.default_rng(7)
X, Y, X_TEST = RNG.normal(size=(6, 3)), RNG.normal(size=(6, 2)), RNG.normal(size=(4, 3))
DATA = Dataset(X, Y, X_TEST, np.zeros((4, 2)))
NETWORK = ni.FullyConnected(depth=1, activation="erf", w_std=1.4, b_std=0.2)
LINEAR = ni.FullyConnected(depth=0, w_std=1.2, b_std=0.3)
TIMES = np.array([0.0, 0.1, 0.15, 0.5, 2.0])
train = partial(train_ensemble, progress=silent)


def key(seed, number, stream):
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), number), stream)


def loop(network, seed, number, update, steps):
    """Parameters of one member after each number of steps, by a plain loop, and its start."""
    start = network.initialise(key(seed, number, member_program.INITIALISE))
    params, states = start, {0: start}
    for step in range(max(steps)):
        params = update(params, start, step)
        states[step + 1] = params
    return [states[step] for step in steps], start


@pytest.fixture(scope="module")
def ridged():
    """Ridge, noisy targets, the mean loss and the kernel's drift, with a step that the times are no multiples of."""
    procedure = ni.GradientDescent(step_size=0.07, ridge=0.3, target_noise_variance=0.2, loss="mean")
    settings = EnsembleSettings(members=3, seed=4, kernel_inputs=3)
    return procedure, train(NETWORK, DATA, TIMES, procedure=procedure, width=16, settings=settings)


def test_members_are_those_of_a_loop_over_gradients(ridged):
    procedure, found = ridged
    np.testing.assert_array_equal(found.steps, [0, 1, 2, 7, 28])
    network = member_network(NETWORK, X, 2, width=16)
    with float64():
        noise = np.sqrt(0.2) * jax.random.normal(key(4, 1, member_program.FIXED), Y.shape)

        def objective(params, start):
            moved = sum(jnp.sum((a - b) ** 2) for a, b in zip(*map(jax.tree.leaves, (params, start)), strict=True))
            fit = jnp.sum((network.apply(params, X) - Y - noise) ** 2)
            return (0.5 * fit + 0.5 * procedure.ridge * moved) / Y.size

        slope = jax.jit(jax.grad(objective))

        def update(params, start, step):
            return jax.tree.map(lambda p, g: p - procedure.step_size * g, params, slope(params, start))

        states, _ = loop(network, 4, 1, update, found.steps.tolist())
        for place, state in enumerate(states):
            np.testing.assert_allclose(found.train[place, 1], network.apply(state, X), rtol=1e-11)
            np.testing.assert_allclose(found.test[place, 1], network.apply(state, X_TEST), rtol=1e-11)
        check_kernels(found, network, states)


def check_kernels(found, network, states):
    """Drift and start error of member 1 by neural_tangents' empirical kernel on the inputs that the notes name."""
    rows = [0, 2, 5]
    assert f"training inputs {rows}" in " ".join(found.notes)
    kernel = jax.jit(empirical_ntk_fn(lambda p, x: network.apply(p, x), trace_axes=(), vmap_axes=None))
    own = [np.asarray(kernel(X[rows], None, state)) for state in states]
    drift = [np.linalg.norm(k - own[0]) / np.linalg.norm(own[0]) for k in own]
    np.testing.assert_allclose(found.kernel_drift[:, 1], drift, rtol=1e-9, atol=1e-13)
    assert drift[-1] > 0.01
    limit = np.asarray(NETWORK.layers()[2](X[rows], None, "ntk"))[:, :, None, None] * np.eye(2)
    error = np.linalg.norm(own[0] - limit) / np.linalg.norm(limit)
    np.testing.assert_allclose(found.kernel_start_error[1], error, rtol=1e-9)


def test_linearised_twins_follow_the_filter_with_their_own_kernel():
    """Heavy ball: f_0 − J J_Xᵀ A_t (f_0 − Y) with the member's kernel, the closed form of the recursion."""
    procedure = ni.HeavyBall(step_size=0.02, momentum=0.7, ridge=0.2)
    settings = EnsembleSettings(members=2, seed=4, linearised=True)
    found = train(NETWORK, DATA, TIMES, procedure=procedure, width=16, settings=settings)
    network = member_network(NETWORK, X, 2, width=16)
    with float64():
        start = network.initialise(key(4, 1, member_program.INITIALISE))

        def rows(x):
            jacobian = jax.jacobian(lambda p: network.apply(p, x).reshape(-1))(start)
            flat = [leaf.reshape(leaf.shape[0], -1) for leaf in jax.tree.leaves(jacobian)]
            return np.concatenate([np.asarray(part) for part in flat], axis=1)

        first, second = rows(X), rows(X_TEST)
        begin = [np.asarray(network.apply(start, x)).reshape(-1) for x in (X, X_TEST)]
    values, vectors = np.linalg.eigh(first @ first.T)
    misfit = vectors.T @ (begin[0] - Y.reshape(-1))
    for place, gain in enumerate(procedure.filter(values, TIMES)):
        moved = first.T @ (vectors @ (gain * misfit))
        wanted = [f - part @ moved for f, part in zip(begin, (first, second), strict=True)]
        np.testing.assert_allclose(found.linearised_train[place, 1].reshape(-1), wanted[0], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found.linearised_test[place, 1].reshape(-1), wanted[1], rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(found.linearised_test[0], found.test[0])
    assert np.abs(found.linearised_test[-1] - found.test[-1]).max() > 0.01


def scores(outputs, law):
    """Mean and variance of the members at each time and input in standard errors, outputs pooled."""
    members, count = outputs.shape[1], outputs.shape[1] * outputs.shape[3]
    mean = (outputs.mean(axis=1) - law.mean) / np.sqrt(law.variance[:, :, None] / members)
    spread = np.mean((outputs - law.mean[:, None]) ** 2, axis=(1, 3)) / law.variance
    return mean, (spread - 1) / np.sqrt(2 / count)


def test_linear_networks_follow_the_law_exactly():
    """A linear network has its infinite-width law: Langevin noise, noisy targets and ridge, 3000 members."""
    procedure = ni.GradientDescent(step_size=0.05, ridge=0.4, target_noise_variance=0.5, temperature=0.3)
    settings = EnsembleSettings(members=3000, seed=1)
    found = train(LINEAR, DATA, TIMES, procedure=procedure, width=1, settings=settings)
    law = ni.output_distribution(ni.kernel_blocks(LINEAR, DATA), DATA, procedure, TIMES)
    for outputs, exact in ((found.train, law.train), (found.test, law.test)):
        mean, spread = scores(outputs, exact)
        # 5 times, at most 6 inputs, 2 outputs: chance of one beyond 4.5 among them is below 5e-4.
        assert np.abs(mean).max() < 4.5
        assert np.abs(spread).max() < 4.5
    # Without the noise on targets and gradients the variance would be several standard errors off.
    plain = ni.output_distribution(ni.kernel_blocks(LINEAR, DATA), DATA, ni.GradientDescent(step_size=0.05), TIMES)
    assert np.abs(scores(found.train, plain.train)[1]).max() > 10


def test_wide_networks_agree_with_the_law():
    """Width 256, 96 members, single precision: within chance up to the first order in 1/width."""
    procedure = ni.GradientDescent(step_size=0.1)
    settings = EnsembleSettings(members=96, seed=2, precision="float32")
    found = train(NETWORK, DATA, TIMES, procedure=procedure, width=256, settings=settings)
    law = ni.output_distribution(ni.kernel_blocks(NETWORK, DATA), DATA, procedure, TIMES)
    mean, spread = scores(found.test, law.test)
    assert found.test.dtype == np.float64
    assert np.abs(mean).max() < 4.5
    assert np.abs(spread).max() < 4.5


def test_gradient_flow_is_short_steps_that_the_notes_state():
    """exp(−tΘ) of a linear network to the first order in the step; and the very steps of gradient descent."""
    times = np.array([0.0, 0.3])
    flow = train(LINEAR, DATA, times, procedure=ni.GradientFlow(), width=1, settings=EnsembleSettings(members=2))
    assert f"gradient flow by {flow.steps[-1]} steps" in " ".join(flow.notes)
    descent = ni.GradientDescent(step_size=flow.step_size)
    again = train(LINEAR, DATA, times, procedure=descent, width=1, settings=EnsembleSettings(members=2))
    np.testing.assert_array_equal(again.train, flow.train)
    values, vectors = np.linalg.eigh(ni.kernel_blocks(LINEAR, DATA).train.ntk)
    decay = vectors @ (np.exp(-0.3 * values)[:, None] * vectors.T)
    residual = flow.train[1] - Y
    wanted = decay @ (flow.train[0] - Y)
    assert np.abs(residual - wanted).max() < 0.02 * np.abs(flow.train[0] - Y).max()


def test_optax_optimisers_share_the_time_axis():
    momentum = OptaxDescent(optimiser=optax.sgd(0.02, momentum=0.5), step_size=0.02)
    settings = EnsembleSettings(members=2, seed=4)
    first = train(LINEAR, DATA, TIMES, procedure=momentum, width=1, settings=settings)
    heavy = ni.HeavyBall(step_size=0.02, momentum=0.5)
    second = train(LINEAR, DATA, TIMES, procedure=heavy, width=1, settings=settings)
    np.testing.assert_array_equal(first.steps, second.steps)
    np.testing.assert_array_equal(first.test, second.test)


def test_batches_of_all_inputs_are_full_batches():
    descent, settings = ni.GradientDescent(step_size=0.05, target_noise_variance=0.1), EnsembleSettings(members=2)
    full = train(LINEAR, DATA, TIMES, procedure=descent, width=1, settings=settings)
    whole = train(LINEAR, DATA, TIMES, procedure=descent, width=1, settings=replace(settings, batch_size=6))
    np.testing.assert_allclose(whole.train, full.train, rtol=1e-10)
    # One step with two of six inputs: three times their gradient.
    some = train(
        LINEAR,
        DATA,
        np.array([0.0, 0.05]),
        procedure=ni.GradientDescent(step_size=0.05),
        width=1,
        settings=EnsembleSettings(members=2, batch_size=2),
    )
    with float64():
        order = jax.random.permutation(jax.random.fold_in(key(0, 1, member_program.BATCHES), 0), 6)
    rows = np.asarray(order)[:2]
    kernel = ni.kernel_blocks(LINEAR, DATA).train.ntk
    wanted = some.train[0, 1] - 0.05 * 3 * kernel[:, rows] @ (some.train[0, 1] - Y)[rows]
    np.testing.assert_allclose(some.train[1, 1], wanted, rtol=1e-10)


def test_standard_parameterisation_is_that_of_stax():
    """The same functions at the start; after training the member of a stax network in that parameterisation."""
    layers = [stax.Flatten(), stax.Dense(8, W_std=1.4, b_std=0.2, parameterization="standard")]
    layers += [stax.Erf(), stax.Dense(2, W_std=1.4, b_std=0.2, parameterization="standard")]
    init, apply, _ = stax.serial(*layers)
    descent = ni.GradientDescent(step_size=0.02)
    settings = EnsembleSettings(members=2, seed=4, parameterization="standard", kernel_inputs=2)
    found = train(NETWORK, DATA, TIMES, procedure=descent, width=8, settings=settings)
    peer = train((init, apply), DATA, TIMES, procedure=descent, settings=EnsembleSettings(members=2, seed=4))
    np.testing.assert_allclose(found.test, peer.test, rtol=1e-9)
    ntk = train(NETWORK, DATA, TIMES[:2], procedure=descent, width=8, settings=EnsembleSettings(members=2, seed=4))
    np.testing.assert_allclose(found.test[0], ntk.test[0], rtol=1e-12)
    assert not np.allclose(found.test[1], ntk.test[1], rtol=1e-3)
    assert found.kernel_start_error is None
    assert found.kernel_drift is not None
    assert "standard" in " ".join(found.notes)
    assert peer.width is None


@pytest.mark.slow
def test_convolutional_networks_start_from_their_law():
    """Variance at the start; the twin's first step is the member's to second order in the step."""
    images = RNG.normal(size=(3, 3, 3, 1))
    data = Dataset(images, np.arange(3.0)[:, None], images[:1] + 1, np.zeros((1, 1)))
    network = ni.Convolutional(depth=1, filter_size=2, readout="global_average_pool")
    procedure, settings = ni.GradientDescent(step_size=1e-4), EnsembleSettings(members=200, linearised=True)
    found = train(network, data, np.array([0.0, 1e-4]), procedure=procedure, width=16, settings=settings)
    spread = np.mean(found.train[0, :, :, 0] ** 2, axis=0) / np.diag(ni.kernel_blocks(network, data).train.nngp)
    assert np.all(np.abs(spread - 1) < 4.5 * np.sqrt(2 / 200) * 1.2)  # tails heavier than Gaussian at width 16
    change, other = (part[1] - part[0] for part in (found.train, found.linearised_train))
    assert np.abs(change).max() > 1e-4
    np.testing.assert_allclose(change, other, atol=0.02 * np.abs(change).max())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"times": np.array([1.0, np.inf])}, "infinity"),
        ({"width": None}, "needs the width"),
        ({"procedure": ni.GradientFlow(prior="ntk")}, "prior is 'ntk'"),
        ({"procedure": ni.GradientFlow(tangent="nngp")}, "tangent is 'nngp'"),
        ({"procedure": ni.GradientDescent(step_size=5.0)}, "take a step size below"),
        ({"procedure": ni.GradientFlow(), "times": np.array([1e9])}, "steps of gradient flow"),
        ({"settings": EnsembleSettings(batch_size=7)}, "6 examples"),
    ],
)
def test_bad_input(change, message):
    given = {"times": TIMES, "width": 4, "procedure": ni.GradientDescent(step_size=0.01), **change}
    with pytest.raises(ValueError, match=message):
        train(NETWORK, DATA, given.pop("times"), **given)


def test_other_refusals():
    with pytest.raises(TypeError, match="OptaxDescent"):
        train(NETWORK, DATA, TIMES, procedure=ni.Converged(), width=4)
    with pytest.raises(ValueError, match="came as functions"):
        member_network(NETWORK.layers(4, 2), X, 2, parameterization="standard")
    for bad in ({"kernel_inputs": -1}, {"parameterization": "mup"}, {"flow_step": 0.0}, {"batch_size": 0}):
        with pytest.raises(ValueError):
            EnsembleSettings(**bad)
    with pytest.raises(ValueError, match="step_size"):
        OptaxDescent(optimiser=optax.sgd(0.1), step_size=0.0)


def test_interruption_and_restart(tmp_path):
    """Interrupted among the twins: the members are there; the second call goes on from the folder."""

    def interrupt(items, label, total=None):
        calls.append(label)
        for count, item in enumerate(items):
            if len(calls) == 2 and count == 40:
                raise KeyboardInterrupt
            yield item

    calls = []
    given = {"procedure": ni.GradientDescent(step_size=0.01), "width": 4}
    settings = EnsembleSettings(members=3, seed=4, group=1, linearised=True, checkpoint=tmp_path)
    with pytest.raises(Interrupted) as caught:
        train_ensemble(LINEAR, DATA, TIMES, **given, settings=settings, progress=interrupt)
    part = caught.value.partial
    assert isinstance(part, EnsembleOutputs)
    assert "interrupted" in " ".join(part.notes)
    whole = train(LINEAR, DATA, TIMES, **given, settings=settings)
    np.testing.assert_array_equal(part.test, whole.test[:, part.numbers])
    fresh = train(LINEAR, DATA, TIMES, **given, settings=replace(settings, checkpoint=None))
    np.testing.assert_array_equal(whole.linearised_test, fresh.linearised_test)
    np.testing.assert_array_equal(whole.test, fresh.test)
