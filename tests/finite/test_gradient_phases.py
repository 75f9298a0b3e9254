"""Signal to noise of gradients: unbiased without a floor, its error honest, and two routes to every number."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkinfo.core.arrays import float64
from ntkinfo.finite.gradient_phases import (
    GradientSettings,
    exact_layers,
    exact_signal,
    layer_signals,
    sample_layers,
    sampled_signal,
    transition,
)
from ntkinfo.finite.layered import LayeredNetwork, layer_gradients

RANDOM = np.random.default_rng(4)
NET = LayeredNetwork(sizes=(3, 4, 2))
INPUTS = RANDOM.normal(size=(40, 3))
LABELS = (INPUTS[:, 0] + 0.5 * INPUTS[:, 1] ** 2 > 0.2).astype(np.int64)


def repeated(signal, batches, count=2000, size=20):
    """Estimates from `count` sets of minibatch gradients of unit covariance trace and a mean of length `signal`."""
    mean = signal * np.eye(size)[0]
    draws = mean + np.random.default_rng(1).normal(size=(count, batches, size)) / np.sqrt(size)
    with float64():
        parts = jax.jit(jax.vmap(lambda rows: jnp.stack(_parts(rows))))(jnp.asarray(draws))
        return np.asarray(parts).T


def _parts(rows):
    found = sampled_signal(rows)
    return found.signal_squared, found.noise_squared, found.ratio_squared, found.standard_error


@pytest.mark.parametrize("signal", [0.0, 0.1, 2.0])
def test_squared_signal_and_noise_are_unbiased_and_the_plain_ratio_is_not(signal):
    squares, noises, _, _ = repeated(signal, 7)
    for values, truth in ((squares, signal**2), (noises, 1.0)):
        assert abs(values.mean() - truth) < 4 * values.std() / np.sqrt(len(values))
    if signal == 0:  # what the floor would leave: 1/√7
        plain = np.sqrt((squares + noises / 7) / noises)
        assert abs(plain.mean() - 1 / np.sqrt(7)) < 0.02


@pytest.mark.parametrize("signal", [0.2, 1.0, 3.0])
def test_the_jackknife_error_is_the_scatter_of_repeated_estimates(signal):
    _, _, ratios, errors = repeated(signal, 32)
    # A jackknife variance is a little too large on average; ratios of few noisy terms are skewed.
    assert 0.9 < np.sqrt(np.mean(errors**2)) / ratios.std() < 1.25
    # With the floor gone the ratio is right to what dividing by an estimated noise leaves, 2/(B size) of it.
    assert abs(ratios.mean() - signal**2) < 0.01 * signal**2 + 4 * ratios.std() / np.sqrt(len(ratios))


def test_exact_noise_is_that_of_every_minibatch_there_is():
    rows = RANDOM.normal(size=(7, 5))
    means = np.stack([rows[list(chosen)].mean(0) for chosen in itertools.combinations(range(7), 3)])
    with float64():
        found = exact_signal(rows, 3)
    np.testing.assert_allclose(found.signal_squared, np.sum(rows.mean(0) ** 2), rtol=1e-13)
    np.testing.assert_allclose(found.noise_squared, means.var(axis=0).sum(), rtol=1e-13)


def test_sampled_layers_agree_with_the_exact_ones_within_their_errors():
    with float64():
        parameters = NET.initialise(jax.random.key(2))
        data = (jnp.asarray(INPUTS), jnp.asarray(LABELS))
        signal, noise = (np.asarray(part) for part in exact_layers(NET, parameters, data, 8))
        settings = GradientSettings(batch_size=8, batches=12)
        run = jax.jit(jax.vmap(lambda key: sample_layers(NET, parameters, data, settings, key)))
        parts = [np.asarray(part) for part in run(jax.random.split(jax.random.key(0), 200))]
    for found, truth in ((parts[0], signal), (parts[1], noise)):
        errors = found.std(axis=0, ddof=1) / np.sqrt(len(found))
        assert np.all(np.abs(found.mean(axis=0) - truth) < 4 * errors)
    deviations = (parts[2] - signal / noise) / parts[3]
    assert np.all(np.mean(np.abs(deviations) < 2, axis=0) > 0.85)


def test_exact_layers_are_those_of_gradients_taken_one_by_one():
    with float64():
        parameters = NET.initialise(jax.random.key(2))
        rows = [layer_gradients(NET, parameters, INPUTS[[k]], LABELS[[k]]) for k in range(len(INPUTS))]
        signal, noise = exact_layers(NET, parameters, (jnp.asarray(INPUTS), jnp.asarray(LABELS)), 8)
        for layer in range(NET.n_layers):
            found = exact_signal(np.stack([np.asarray(row[layer]) for row in rows]), 8)
            np.testing.assert_allclose(signal[layer], found.signal_squared, rtol=1e-10)
            np.testing.assert_allclose(noise[layer], found.noise_squared, rtol=1e-10)


def test_layers_by_one_call_and_bad_input():
    parameters = NET.initialise(jax.random.key(2))
    found = layer_signals(NET, parameters, INPUTS.astype(np.float32), LABELS, GradientSettings(8, 5))
    assert found.ratio.shape == (2,)
    assert found.batches == 5
    with pytest.raises(ValueError, match="has no noise"):
        layer_signals(NET, parameters, INPUTS, LABELS, GradientSettings(40, 5))
    with pytest.raises(ValueError, match="at least 3"):
        GradientSettings(batches=2)
    with pytest.raises(ValueError, match="at least 3 batches"):
        sampled_signal(np.zeros((2, 5)))


def test_gradients_that_never_vary_have_an_infinite_ratio():
    assert np.isinf(sampled_signal(np.ones((4, 3))).ratio_squared)


EPOCHS = 10.0 ** np.arange(7)


def test_the_transition_is_where_the_ratio_stays_below_one():
    power = 100 / EPOCHS[1:]  # squared ratio: 1 at epoch 100 exactly
    found = transition(EPOCHS[1:], power)
    assert (found.state, found.earliest, found.latest) == ("crossed", found.time, found.time)
    assert found.time == pytest.approx(100)
    dips = np.array([4, 0.5, 4, 0.25, 0.3, 0.2, 0.1])
    assert transition(EPOCHS, dips).time == pytest.approx(10**2.5)
    assert transition(EPOCHS, dips, sustained=1).time == pytest.approx(10 ** (2 / 3))


def test_errors_of_the_ratio_bracket_the_transition():
    ratio = 100 / EPOCHS
    found = transition(EPOCHS, ratio, 0.25 * ratio)
    assert found.earliest == pytest.approx(50, rel=1e-6)
    assert found.latest == pytest.approx(150, rel=1e-6)


def test_no_transition_is_said_in_words():
    assert transition(EPOCHS, np.full(7, 2.0)).state == "above to the end"
    assert transition(EPOCHS, np.full(7, -0.1)).state == "below from the start"
    late = np.array([4.0] * 5 + [0.5] * 2)
    assert transition(EPOCHS, late).state == "above to the end"
    assert np.isnan(transition(EPOCHS, late).time)


def test_a_squared_signal_below_zero_crosses_on_a_straight_line():
    found = transition(np.array([0.0, 1.0, 2.0, 3.0]), np.array([3.0, -1.0, -0.5, 0.0]))
    assert found.time == pytest.approx(0.5)


def test_transitions_of_bad_rows_are_refused():
    with pytest.raises(ValueError, match="NaN"):
        transition(EPOCHS, np.full(7, np.nan))
    with pytest.raises(ValueError, match="rise"):
        transition(EPOCHS[::-1].copy(), np.ones(7))
