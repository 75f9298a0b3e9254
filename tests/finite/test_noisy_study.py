import numpy as np
import optax
import pytest

import ntkinfo as ni
from ntkinfo.core.progress import silent
from ntkinfo.finite.noisy import NoisyNetwork, NoisyTraining
from ntkinfo.finite.noisy_plane import compression, tracking
from ntkinfo.finite.noisy_study import StudySettings, log_steps, noisy_classes, noisy_study, noisy_twelve_bit
from ntkinfo.finite.sample_propagation import PropagationSettings
from ntkinfo.finite.trainer import TrainerSettings

RNG = np.random.default_rng(4)
X = RNG.normal(size=(60, 3))
Y = (X[:, 0] > 0).astype(int)


def test_study_of_a_small_problem(tmp_path):
    training = NoisyTraining([0, 20, 200], optax.adam(0.03))
    trainer = TrainerSettings(2, checkpoint=tmp_path)
    settings = StudySettings(NoisyNetwork((3, 4, 3, 2)), training, trainer, PropagationSettings(16, 16))
    study = noisy_study(X, Y, settings, np.arange(40), silent)
    # The same starts with noise and without.
    for one, other in zip(study.run.at(0, 1), study.quiet_run.at(0, 1), strict=True):
        np.testing.assert_array_equal(one[0], other[0])
    assert study.quiet_run.network.noise_std == 0
    assert study.clusters.width == study.quiet_clusters.width == pytest.approx(0.5)
    np.testing.assert_array_equal(study.clusters.binned_entropy[0], study.quiet_clusters.binned_entropy[0])
    assert np.any(study.clusters.binned_entropy[2] != study.quiet_clusters.binned_entropy[2])
    information = study.plane.information_input.value
    np.testing.assert_array_equal(
        study.information_fall.fall.value, compression(study.plane.steps, information).fall.value
    )
    follow = tracking(information, study.clusters.binned_entropy)
    np.testing.assert_array_equal(study.clusters_follow.value, follow.value)
    assert study.run.test_error.shape == (3, 2)
    assert {path.name for path in tmp_path.iterdir()} == {"noisy", "quiet"}


def test_log_steps():
    assert log_steps(1000, 4).tolist() == [0, 10, 100, 1000]
    assert log_steps(20, 40).tolist() == [0, *range(10, 21)]


def test_bad_input():
    network, few = NoisyNetwork((3, 4, 2)), NoisyTraining([0, 1])
    with pytest.raises(ValueError, match="three steps"):
        noisy_study(X, Y, StudySettings(network, few, TrainerSettings(2)))
    with pytest.raises(ValueError, match="at least 20"):
        noisy_twelve_bit(steps=3)
    with pytest.raises(ValueError, match="no labels"):
        noisy_classes(ni.data.diabetes(n_train=20, n_test=20))


@pytest.mark.slow
def test_digits():
    """Layers of digits lose nothing at first; brackets stay below a quarter of a nat, and clusters follow."""
    data = ni.data.digits(n_train=256, n_test=64, seed=0)
    study = noisy_classes(data, (10, 5), TrainerSettings(2, precision="float32"), steps=1000, progress=silent)
    information = study.plane.information_input
    assert np.all(information.value < study.plane.ceiling + 4 * information.standard_error)
    assert np.all(information.standard_error < 0.25)
    assert np.all(study.run.error[-1] < study.run.error[0])
