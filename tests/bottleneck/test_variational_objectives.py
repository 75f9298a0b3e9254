from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import log_softmax, logsumexp
from scipy.stats import norm

from ntkinfo.bottleneck.variational_modules import (
    GaussianNetwork,
    LinearGaussian,
    Marginal,
    VariationalModel,
    relative_entropy,
)
from ntkinfo.bottleneck.variational_objectives import (
    Annealed,
    Objective,
    conditional_entropy_bottleneck,
    example_loss,
    variational_bottleneck,
    variational_dual_bottleneck,
)
from ntkinfo.bottleneck.variational_targets import ClassTargets, RealTargets
from ntkinfo.bottleneck.variational_training import Program
from ntkinfo.core.arrays import float64

PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.0, 0.5, 0.5], [0.1, 0.1, 0.8], [1.0, 0.0, 0.0]])
NOISY = np.array([[0.8, 0.1, 0.1], [0.2, 0.4, 0.4], [0.1, 0.2, 0.7], [0.9, 0.05, 0.05]])
INPUTS = np.random.default_rng(0).normal(size=(4, 5))


def class_model(reverse=None):
    with float64():
        decoder = eqx.nn.Linear(2, 3, key=jax.random.key(3))
    reverse = GaussianNetwork(3, 2, 1, 0, seed=2, floor=0.1) if reverse is None else reverse
    return VariationalModel(LinearGaussian(5, 2, seed=0), decoder, reverse)


def loss_of_all(objective, targets, model, noise):
    with float64():
        rows = {name: jnp.asarray(array) for name, array in targets.arrays.items()}
        prior = jnp.asarray(targets.prior)
        each = jax.jit(
            jax.vmap(lambda row, eps: example_loss(objective, targets, model, row, eps, prior, objective.weights(0)))
        )(rows, jnp.asarray(noise))
    return np.asarray(each)


def by_hand(model, noise):
    """Encoder laws, draws, decoder and reverse decoder of the linear class model in numpy."""
    encoder, decoder = model.encoder, model.decoder
    mean, std = INPUTS @ np.asarray(encoder.weight).T + np.asarray(encoder.bias), np.exp(np.asarray(encoder.log_std))
    z = mean[:, None] + std * noise
    logits = z @ np.asarray(decoder.weight).T + np.asarray(decoder.bias)
    layer = model.reverse.network.layers[0]
    table = np.eye(3) @ np.asarray(layer.weight).T + np.asarray(layer.bias)
    return mean, std, z, log_softmax(logits, axis=-1), table[:, :2], 0.1 + np.log1p(np.exp(table[:, 2:]))


def test_losses_of_classes_by_hand():
    model, targets = class_model(), ClassTargets(INPUTS, PROBABILITIES, NOISY)
    noise = np.random.default_rng(1).normal(size=(4, 6, 2))
    mean, std, z, logs, back, back_std = by_hand(model, noise)
    own = norm.logpdf(z, mean[:, None], std).sum(-1)
    each = norm.logpdf(z[:, :, None], back, back_std).sum(-1)  # (n, s, C)
    marginal = logsumexp(each, b=PROBABILITIES.mean(axis=0), axis=-1)
    cross = -np.sum(PROBABILITIES[:, None] * logs, axis=-1).mean(axis=1)
    distortion = np.sum(np.exp(logs) * (logs - np.log(NOISY)[:, None]), axis=-1).mean(axis=1)
    divergence = norm_divergence(mean[:, None], std, back[None], back_std[None])
    residual = np.sum(PROBABILITIES * divergence, axis=1)
    rate = (own - marginal).mean(axis=1)
    cases = [
        (variational_bottleneck(3.0), rate + 3 * cross),
        (conditional_entropy_bottleneck(2.0), residual + 2 * cross),
        (variational_dual_bottleneck(4.0), rate + 4 * distortion),
        (variational_dual_bottleneck(4.0).with_rate("conditional"), residual + 4 * distortion),
    ]
    for objective, wanted in cases:
        np.testing.assert_allclose(
            loss_of_all(objective, targets, model, noise), wanted, rtol=1e-10, err_msg=str(objective)
        )


def norm_divergence(mean, std, other, scale):
    parts = np.log(scale / std) + (std**2 + (mean - other) ** 2) / (2 * scale**2) - 0.5
    return parts.sum(-1)


def test_closed_form_of_the_rate_is_the_average_over_draws():
    """With one r(z) for all classes the rate has a closed form; by draws, with equal b(z|y), it is the same."""
    noise = np.random.default_rng(2).normal(size=(4, 200_000, 2))
    targets = ClassTargets(INPUTS, PROBABILITIES)
    weightless = Objective("rate", "marginal", prediction=Annealed(0.0, 0.0, 1))
    closed = loss_of_all(weightless, targets, class_model(Marginal(2)), noise[:, :1])

    class Same(eqx.Module):
        def __call__(self, row):
            return jnp.zeros(2), jnp.ones(2)

    drawn = loss_of_all(weightless, targets, class_model(Same()), noise)
    np.testing.assert_allclose(drawn, closed, atol=0.02)
    with float64():
        left, right = (jnp.asarray([0.3, -1.0]), jnp.asarray([0.5, 2.0])), (jnp.zeros(2), jnp.ones(2))
        value = float(relative_entropy(left, right))
    assert value == pytest.approx(norm_divergence(np.array([0.3, -1]), np.array([0.5, 2]), 0.0, np.ones(2)), rel=1e-12)


def test_losses_of_real_targets_by_hand():
    values, means = np.random.default_rng(5).normal(size=(2, 4, 3))
    model = VariationalModel(LinearGaussian(5, 2, seed=0), LinearGaussian(2, 3, seed=1), LinearGaussian(3, 2, seed=2))
    targets = RealTargets(INPUTS, values, mean=means, std=np.array([0.5, 1.0, 2.0]))
    noise = np.random.default_rng(6).normal(size=(4, 3, 2))
    mean = INPUTS @ np.asarray(model.encoder.weight).T
    decoded = (mean[:, None] + noise) @ np.asarray(model.decoder.weight).T
    residual = norm_divergence(mean, np.ones(2), values @ np.asarray(model.reverse.weight).T, np.ones(2))
    cross = -norm.logpdf(values[:, None], decoded, 1.0).sum(-1).mean(axis=1)
    distortion = norm_divergence(decoded, np.ones(3), means[:, None], np.array([0.5, 1.0, 2.0])).mean(axis=1)
    for objective, wanted in [
        (conditional_entropy_bottleneck(2.0), residual + 2 * cross),
        (variational_dual_bottleneck(3.0).with_rate("conditional"), residual + 3 * distortion),
    ]:
        np.testing.assert_allclose(loss_of_all(objective, targets, model, noise), wanted, rtol=1e-10)


@pytest.mark.parametrize("start", [100.0, 1.0])
@pytest.mark.parametrize("shape", ["linear", "geometric"])
def test_weight_at_every_step(start, shape):
    """Up and down alike: the weight does not jump to its end."""
    stop, anneal = 10.0, Annealed(start, 10.0, 40, delay=5, shape=shape)
    with float64():
        weights = np.array([float(anneal(step)) for step in range(60)])
    share = np.clip((np.arange(60) - 5) / 40, 0, 1)
    wanted = start + share * (stop - start) if shape == "linear" else start * (stop / start) ** share
    np.testing.assert_allclose(weights, wanted, rtol=1e-12)
    assert np.all(weights[:6] == pytest.approx(start))
    assert np.all(weights[45:] == pytest.approx(stop))
    assert min(start, stop) < weights[25] < max(start, stop)


class Slope(eqx.Module):
    """Logits whose cross-entropy has slope -1 in `value`: class 1 is so unlikely that its probability is 0."""

    value: jax.Array

    def __call__(self, z):
        return jnp.stack([jnp.zeros(()), self.value - 60.0])


def test_training_uses_the_weight_of_each_step():
    """Under plain gradient descent the parameter moves by step size times weight in every step."""
    with float64():
        model = VariationalModel(Marginal(1), Slope(jnp.zeros(())), Marginal(1))
        targets = ClassTargets(np.zeros((2, 1)), np.array([[0.0, 1.0], [0.0, 1.0]]))
        anneal = Annealed(50.0, 2.0, 30, delay=3)
        program = Program(variational_bottleneck(anneal), targets, model, optax.sgd(1e-3), None, 1, 0)
        state, moved = program.initial(), [0.0]
        for _ in range(40):
            state = program.advance(state, 1)
            moved.append(float(program.model(state[0]).decoder.value))
        together = program.advance(program.initial(), 40)
    share = np.clip((np.arange(40) - 3) / 30, 0, 1)
    np.testing.assert_allclose(np.diff(moved), 1e-3 * (50 - 48 * share), rtol=1e-9)
    assert float(program.model(together[0]).decoder.value) == moved[-1]


def test_batches_take_every_input_once_an_epoch():
    with float64():
        inputs = np.arange(12.0)[:, None]
        targets = ClassTargets(inputs, np.tile([0.5, 0.5], (12, 1)))
        model = VariationalModel(LinearGaussian(1, 1), class_model().decoder, Marginal(1))
        program = Program(variational_bottleneck(1.0), targets, model, optax.sgd(0.1), 4, 1, 7)
        seen = []
        for step in range(9):
            order = program._order(jnp.asarray(step))
            seen.append(np.asarray(program._batch(program.arrays, order, jnp.asarray(step))["inputs"])[:, 0])
    epochs = [np.concatenate(seen[start : start + 3]) for start in (0, 3, 6)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(12))
    assert not np.array_equal(epochs[0], epochs[1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Annealed(0.0, 1.0, 10, shape="geometric"), "start"),
        (lambda: Annealed(-1.0, 1.0, 10), "start"),
        (lambda: Annealed(1.0, 1.0, 0), "steps"),
        (lambda: Annealed(1.0, 1.0, 1, shape="cosine"), "shape"),
        (lambda: variational_bottleneck(-1.0), "beta"),
        (lambda: Objective("none", "marginal"), "would not be trained"),
        (lambda: Objective("none", "both", prediction=Annealed(1.0, 1.0, 1)), "rate"),
        (lambda: ClassTargets(INPUTS, PROBABILITIES[:3]), "probabilities"),
        (lambda: ClassTargets(INPUTS, 2 * PROBABILITIES), "sums to 1"),
        (lambda: ClassTargets(INPUTS, PROBABILITIES, PROBABILITIES), "soften"),
        (lambda: ClassTargets.of_labels(INPUTS, np.array([0, 1, 2, 3]), 3), "0 to 2"),
        (lambda: RealTargets(INPUTS, INPUTS, std=np.ones(5)), "go together"),
        (lambda: RealTargets(INPUTS, INPUTS, mean=INPUTS, std=np.zeros(5)), "std"),
    ],
)
def test_bad_objectives_and_targets(make, message):
    with pytest.raises(ValueError, match=message):
        make()
