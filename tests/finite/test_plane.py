"""The information plane on small networks: every recorded number again from the weights, by plain numpy."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np
import pytest

from ntkinfo.core.arrays import float64
from ntkinfo.core.progress import silent
from ntkinfo.finite.gradient_phases import GradientSettings
from ntkinfo.finite.layered import LayeredNetwork
from ntkinfo.finite.plane import (
    PlaneData,
    PlaneSettings,
    information_plane,
    recorded_steps,
    twelve_bit_plane,
    with_depth,
)
from ntkinfo.finite.plane_compression import BIT, compression, compression_contrast

INPUTS = 2.0 * ((np.arange(32)[:, None] >> np.arange(5)[None, :]) & 1) - 1
LABELS = (INPUTS.sum(axis=1) > 0).astype(np.int64)
DATA = PlaneData(INPUTS, LABELS, np.arange(0, 32, 2))
NET = LayeredNetwork(sizes=(5, 4, 3, 2))
SETTINGS = PlaneSettings(
    network=NET,
    learning_rate=0.3,
    batch_size=8,
    epochs=20,
    records=5,
    seeds=4,
    bins=7,
    gradients=GradientSettings(4, 6),
    precision="float64",
)


@pytest.fixture(scope="module")
def study():
    return information_plane(SETTINGS, DATA, progress=silent)


@pytest.fixture(scope="module")
def full_batch():
    network = replace(NET, activation="relu", loss="squared")
    settings = replace(SETTINGS, network=network, batch_size=None, gradients=None)
    return information_plane(settings, DATA, progress=silent)


def entropy(rows):
    share = np.unique(np.asarray(rows), axis=0, return_counts=True)[1] / len(rows)
    return -np.sum(share * np.log(share))


def test_the_rule_has_its_published_information_and_a_fair_split():
    data = twelve_bit_plane(seed=1)
    assert data.label_entropy / BIT == pytest.approx(0.999157, abs=5e-7)
    assert (len(data.trained), len(data.held_out)) == (3277, 819)
    # In counting order, as published programs split it, the last fifth has 84% ones and constant leading bits.
    assert abs(data.labels[data.held_out].mean() - 2118 / 4096) < 0.05
    assert np.all(data.inputs[data.held_out].std(axis=0) > 0.9)
    assert not np.array_equal(data.trained, twelve_bit_plane(seed=2).trained)
    with pytest.raises(ValueError, match="must leave patterns"):
        twelve_bit_plane(1.0)


def test_informations_are_entropies_of_hand_made_bins(study):
    edges = np.linspace(-1, 1, 8)
    for time, member in ((0, 0), (2, 3), (-1, 1)):
        values = DATA.inputs
        for layer, (weights, bias) in enumerate(study.weights):
            values = values @ weights[time, member] + bias[time, member]
            last = layer == 2
            values = np.exp(values) / np.exp(values).sum(1, keepdims=True) if last else np.tanh(values)
            inner = np.linspace(0, 1, 8)[1:-1] if last else edges[1:-1]
            bins = (values[:, :, None] >= inner).sum(axis=2)
            given = entropy(bins)
            about = given + entropy(LABELS[:, None]) - entropy(np.column_stack([bins, LABELS]))
            assert study.information_input[time, member, layer] == pytest.approx(given, abs=1e-12)
            assert study.information_target[time, member, layer] == pytest.approx(about, abs=1e-12)
            assert entropy(study.symbols(time, member)[layer][:, None]) == pytest.approx(given, abs=1e-12)


def test_errors_losses_and_norms_are_those_of_the_recorded_weights(study):
    for split, places in enumerate((DATA.trained, DATA.held_out)):
        outputs = DATA.inputs[places]
        for layer, (weights, bias) in enumerate(study.weights):
            outputs = outputs @ weights[-1, 2] + bias[-1, 2]
            outputs = np.tanh(outputs) if layer < 2 else outputs
        loss = np.log(np.exp(outputs).sum(1)) - outputs[np.arange(16), LABELS[places]]
        assert study.losses[split, -1, 2] == pytest.approx(loss.mean())
        assert study.errors[split, -1, 2] == np.mean(outputs.argmax(1) != LABELS[places])
    first = study.weights[0]
    norm = np.sqrt(np.sum(first[0][1, 1] ** 2) + np.sum(first[1][1, 1] ** 2))
    assert study.weight_norms[1, 1, 0] == pytest.approx(norm)


def test_full_batch_training_is_gradient_descent_written_out(full_batch):
    network, weights = full_batch.settings.network, full_batch.weights
    steps = recorded_steps(full_batch.settings, 16)
    np.testing.assert_array_equal(steps, full_batch.epochs)
    with float64():
        held = jax.tree.map(lambda leaf: leaf[0, 1], weights)
        slope = jax.jit(jax.grad(network.mean_loss))
        for _ in range(int(steps[-1])):
            moved = slope(held, INPUTS[DATA.trained], LABELS[DATA.trained])
            held = jax.tree.map(lambda leaf, change: leaf - 0.3 * change, held, moved)
    for ours, theirs in zip(jax.tree.leaves(weights), jax.tree.leaves(held), strict=True):
        np.testing.assert_allclose(ours[-1, 1], theirs, atol=1e-12)


def test_layers_without_a_range_of_their_own_get_that_of_their_training(full_batch):
    values = np.stack([full_batch.activations(time, 2)[1] for time in range(len(full_batch.epochs))])
    np.testing.assert_allclose(full_batch.ranges[2, 1], [values.min(), values.max()])
    assert full_batch.ranges[2, 1, 0] == 0
    assert full_batch.sampled is None
    assert not np.allclose(full_batch.ranges[0], full_batch.ranges[1])


def test_sampled_gradients_agree_with_exact_ones(study):
    assert study.sampled.ratio.shape == (len(study.epochs), 4, 3)
    assert study.sampled.batches == 6
    scatter = np.log(np.asarray(study.sampled.noise_squared) / study.exact.noise_squared)
    assert abs(scatter.mean()) < 0.2
    deviations = (study.sampled.ratio_squared - study.exact.ratio_squared) / study.sampled.standard_error
    assert np.mean(np.abs(deviations) < 3) > 0.8


def test_epochs_are_whole_passes_over_the_training_inputs():
    assert SETTINGS.recorded_epochs[[0, 1, -1]].tolist() == [0, 1, 20]
    np.testing.assert_array_equal(recorded_steps(SETTINGS, 16), 2 * SETTINGS.recorded_epochs)
    uneven = replace(SETTINGS, batch_size=7)
    assert recorded_steps(uneven, 16)[1] == 3  # the third step finishes the first pass


def test_a_finished_run_is_read_again_and_another_is_refused(full_batch, tmp_path):
    settings = full_batch.settings
    first = information_plane(settings, DATA, checkpoint=tmp_path / "run", progress=silent)
    again = information_plane(settings, DATA, checkpoint=tmp_path / "run", progress=silent)
    for name in ("information_input", "errors"):
        np.testing.assert_array_equal(getattr(first, name), getattr(full_batch, name))
        np.testing.assert_array_equal(getattr(again, name), getattr(full_batch, name))
    with pytest.raises(ValueError, match="run"):
        information_plane(replace(settings, seed=1), DATA, checkpoint=tmp_path / "run", progress=silent)


def test_networks_of_fewer_layers():
    assert with_depth(LayeredNetwork(), 2).sizes == (12, 10, 7, 2)
    with pytest.raises(ValueError, match="5 hidden"):
        with_depth(LayeredNetwork(), 6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 17}, "at most that many"),
        ({"gradients": GradientSettings(16, 6)}, "at most 15"),
        ({"network": LayeredNetwork(sizes=(6, 2))}, "as wide as the first"),
    ],
)
def test_settings_that_do_not_fit_the_data_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        information_plane(replace(SETTINGS, **change), DATA)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="did you mean 'adam'"):
        PlaneSettings(optimiser="adm")
    with pytest.raises(ValueError, match="at least 2"):
        PlaneSettings(seeds=1)
    with pytest.raises(ValueError, match="greater than 0"):
        PlaneSettings(learning_rate=0.0)


@pytest.mark.slow
def test_tanh_layers_compress_and_relu_layers_do_not():
    """Twenty seeds of the published network on the 12-bit rule, Adam, 300 epochs."""
    settings = PlaneSettings(optimiser="adam", learning_rate=4e-4, epochs=300, records=16, gradients=None)
    tanh = information_plane(settings, progress=silent)
    relu = information_plane(replace(settings, network=LayeredNetwork(activation="relu")), progress=silent)
    assert compression(tanh).compresses[4]
    assert not compression(relu).compresses[:5].any()
    assert compression_contrast(tanh, relu).low[4] > 0.5 * BIT
