import numpy as np
import optax
import pytest

import ntkinfo as ni
from ntkinfo.core.progress import silent
from ntkinfo.finite.noisy import NoisyNetwork, NoisyRun, NoisyTraining, noisy_information, train_noisy
from ntkinfo.finite.noisy_plane import Interrupted, clustering_plane, compression, noisy_plane, tracking
from ntkinfo.finite.sample_propagation import PropagationSettings
from ntkinfo.finite.trainer import TrainerSettings
from ntkinfo.information.clustering import pair_distances
from ntkinfo.information.samples import binned_information
from ntkinfo.information.samples_binning import WidthBins

RNG = np.random.default_rng(8)
X = RNG.normal(size=(30, 3))
Y = (X[:, 0] > 0).astype(int)
SETTINGS = PropagationSettings(passes=8, shared_passes=4)


def made(noise_std):
    """A run whose parameters are drawn at random at every time, without training."""
    network = NoisyNetwork((3, 4, 3, 2), noise_std=noise_std)
    shapes = [((3, 4), (4,)), ((4, 3), (3,)), ((3, 2), (2,))]
    params = [tuple(RNG.normal(size=(3, 2, *shape)) for shape in pair) for pair in shapes]
    return NoisyRun(network, np.array([0, 5, 50]), params, np.zeros((3, 2)), np.zeros((3, 2)), None)


@pytest.fixture(scope="module")
def run():
    return made(0.1)


def test_plane_is_the_informations_place_by_place(run):
    plane = noisy_plane(run, X, Y, SETTINGS, silent)
    assert plane.information_input.value.shape == (3, 2, 2)
    assert plane.ceiling == pytest.approx(np.log(30))
    for time, member in ((0, 1), (2, 0)):
        for layer, one in enumerate(noisy_information(run.network, run.at(time, member), X, Y, SETTINGS)):
            place = time, member, layer
            assert plane.information_input.value[place] == one.information_input.value
            assert plane.information_input.standard_error[place] == one.information_input.standard_error
            assert plane.information_target.value[place] == one.information_target.value
            np.testing.assert_array_equal(plane.input_bracket[(slice(None), *place)], one.input_bracket)
            np.testing.assert_array_equal(plane.target_bracket[(slice(None), *place)], one.target_bracket)


def test_clustering_with_noise_off(run):
    plane = clustering_plane(run, X, Y, progress=silent)
    assert plane.width == pytest.approx(0.5)
    values = run.network.activations(run.at(1, 1), X)[1]
    binned, apart = binned_information(values, WidthBins(0.5), Y), pair_distances(values, Y)
    assert plane.binned_entropy[1, 1, 1] == pytest.approx(binned.entropy.value, abs=1e-12)
    assert plane.binned_target[1, 1, 1] == pytest.approx(binned.information_target.value, abs=1e-12)
    assert plane.within[1, 1, 1] == pytest.approx(apart.mean_within, rel=1e-12)
    assert plane.between[1, 1, 1] == pytest.approx(apart.mean_between, rel=1e-12)


def test_interruption_keeps_what_was_finished(run):
    def stop_after_three(items, label, total=None):
        for count, item in enumerate(items):
            if count == 3:
                raise KeyboardInterrupt
            yield item

    with pytest.raises(Interrupted) as caught:
        noisy_plane(run, X, Y, SETTINGS, stop_after_three)
    finished = np.isfinite(caught.value.partial.information_input.value).all(axis=2)
    assert finished.tolist() == [[True, True], [True, False], [False, False]]


def test_compression_of_a_known_curve():
    steps = np.array([0, 1, 10, 100])
    curve = np.array([1.0, 3.0, 2.5, 1.5])[:, None, None] + 0.1 * RNG.normal(size=(1, 5, 1))
    values = np.concatenate([curve, 0 * curve], axis=2)
    found = compression(steps, values)
    np.testing.assert_allclose(found.rise.value, [2, 0], atol=1e-12)
    np.testing.assert_allclose(found.fall.value, [1.5, 0], atol=1e-12)
    np.testing.assert_allclose(found.fall.standard_error, 0, atol=1e-12)
    assert found.peak_step[0] == 1
    assert found.members == 5


def test_noise_alone_is_no_compression():
    """A peak looked for in each member's own values would find 1.2 standard deviations; this one finds none."""
    falls, errors, naive = [], [], []
    for seed in range(300):
        values = np.random.default_rng(seed).normal(size=(8, 10, 1))
        found = compression(np.arange(8), values)
        falls.append(found.fall.value[0])
        errors.append(found.fall.standard_error[0])
        naive.append(np.mean(values.max(axis=0) - values[-1]))
    assert abs(np.mean(falls)) < 3.5 * np.std(falls) / np.sqrt(300)
    assert np.mean(naive) > 1
    assert np.mean(errors) == pytest.approx(np.std(falls), rel=0.3)


def test_tracking():
    base = np.linspace(0, 1, 6)[:, None, None] * np.array([1.0, 2.0, 5.0])[None, :, None]
    both = np.concatenate([base, base], axis=2)
    other = np.concatenate([base**3, -base], axis=2)
    np.testing.assert_allclose(tracking(both, other).value, [1, -1])
    np.testing.assert_allclose(tracking(both, np.ones_like(both)).value, 0)


def test_bad_input(run):
    with pytest.raises(ValueError, match="two members"):
        compression(np.arange(3), np.zeros((3, 1, 1)))
    with pytest.raises(ValueError, match="three times"):
        tracking(np.zeros((2, 3, 1)), np.zeros((2, 3, 1)))
    quiet = train_noisy(
        NoisyNetwork((3, 4, 2), noise_std=0.0), (X, Y), NoisyTraining([0]), TrainerSettings(1), None, silent
    )
    with pytest.raises(ValueError, match="give the width"):
        clustering_plane(quiet, X, Y, progress=silent)
    with pytest.raises(ValueError, match="noise_std is 0"):
        noisy_plane(quiet, X, Y, SETTINGS, silent)


@pytest.mark.slow
def test_the_noisy_twelve_bit_rule_compresses():
    """I(X;T) of the first three layers over all patterns falls after its peak, and so does H(Bin(T))."""
    rule = ni.data.twelve_bit_rule()
    inputs, network = 2.0 * rule.patterns - 1, NoisyNetwork((12, 10, 7, 5, 4, 3, 2))
    training = NoisyTraining([0, 30, 100, 4000], optax.adam(3e-3), 256)
    settings = TrainerSettings(4, precision="float32")
    run = train_noisy(network, (inputs, rule.labels), training, settings, None, silent)
    plane = noisy_plane(run, inputs, rule.labels, PropagationSettings(64, 4, inputs_drawn=256), silent)
    fall = compression(run.steps, plane.information_input.value).fall
    assert fall.value[0] > 3 * fall.standard_error[0]
    assert np.sum(fall.value[:3]) > 3 * np.sqrt(np.sum(fall.standard_error[:3] ** 2))
    clusters = clustering_plane(run, inputs, rule.labels, progress=silent)
    assert np.all(compression(run.steps, clusters.binned_entropy).fall.value[1:3] > 0.2)
    assert np.all(run.error[-1] < 0.1)
