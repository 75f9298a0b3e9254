"""I(Z;D|X=x) over samples of training sets, where the exact value is known."""

import numpy as np
import pytest
import scipy.stats

from ntkinfo.core.progress import silent
from ntkinfo.core.records import Dataset
from ntkinfo.information.label_model import LabelModel, information_labels_per_input
from ntkinfo.information.resampling import (
    _resampled,
    resampled_labels,
    resampled_training_sets,
    training_set_laws,
)
from ntkinfo.kernels.records import CrossBlocks, KernelBlocks, SquareBlocks
from ntkinfo.training.output_distribution import output_distribution
from ntkinfo.training.procedures import GradientFlow
from tests.random_features import RandomFeatures

TIMES = np.array([0.0, 0.1, 1.0, 10.0])


@pytest.mark.parametrize("outputs", [1, 3])
def test_resampled_labels_reach_the_exact_information(outputs):
    model, label_model = RandomFeatures(m=3, outputs=outputs), LabelModel(noise_variance=0.2)
    law = output_distribution(model.blocks, model.data, GradientFlow(), TIMES)
    exact = np.asarray(information_labels_per_input(law.test, label_model).value).mean(axis=1)
    got = resampled_labels(law.test, label_model, 60, seed=2)
    assert got.ceiling == pytest.approx(np.log(60))
    assert not got.at_ceiling.any()
    assert got.per_input.value.shape == (4, 3)
    np.testing.assert_allclose(got.average.value, got.per_input.value.mean(axis=1), rtol=1e-14)
    # t of 59 degrees of freedom, four correlated times: 4 standard errors.
    assert np.all(np.abs(got.corrected.value - exact) <= 4 * got.corrected.standard_error + 1e-6)
    assert np.all(got.corrected.standard_error <= 0.25 * exact + 1e-6)
    np.testing.assert_allclose(got.average.value[0], 0, atol=1e-6 if outputs == 1 else 0.01)
    width = scipy.stats.t.ppf(0.975, 59) * got.corrected.standard_error
    np.testing.assert_allclose(got.interval, got.corrected.value + np.stack([-width, width]), rtol=1e-12)
    again = resampled_labels(law.test, label_model, 60, seed=2)
    np.testing.assert_array_equal(again.per_input.value, got.per_input.value)


@pytest.mark.slow
def test_the_interval_covers_the_truth_as_often_as_it_says():
    """200 samples of 30 sets: information near 0.5 nats, so that the ceiling log 30 is far."""
    model, label_model = RandomFeatures(m=1, outputs=1), LabelModel(noise_variance=0.2)
    law = output_distribution(model.blocks, model.data, GradientFlow(), TIMES[-1:]).test
    exact = float(np.asarray(information_labels_per_input(law, label_model).value)[0, 0])
    runs = [resampled_labels(law, label_model, 30, seed=seed, tolerance=1e-4) for seed in range(200)]
    corrected = np.array([float(run.corrected.value[0]) for run in runs])
    stated = np.array([float(run.corrected.standard_error[0]) for run in runs])
    inside = np.mean([run.interval[0, 0] <= exact <= run.interval[1, 0] for run in runs])
    # Binomial standard error 0.015 at 0.95; the jackknife loses a few per cent at 30 sets.
    assert 0.87 <= inside <= 0.99
    assert abs(corrected.mean() - exact) <= 4 * corrected.std() / np.sqrt(200)
    assert stated.mean() == pytest.approx(corrected.std(), rel=0.2)
    # Uncorrected it is below the truth, as theory says.
    plain = np.array([float(run.average.value[0]) for run in runs])
    assert plain.mean() + 4 * plain.std() / np.sqrt(200) < exact + 0.02
    assert plain.mean() < corrected.mean()


def test_the_ceiling_binds_where_the_information_is_beyond_it():
    model, label_model = RandomFeatures(m=2, outputs=1), LabelModel(noise_variance=0.2)
    law = output_distribution(model.blocks, model.data, GradientFlow(), np.array([0.1, 40.0, np.inf]))
    exact = np.asarray(information_labels_per_input(law.train, label_model).value).mean(axis=1)
    got = resampled_labels(law.train, label_model, 8, seed=1)
    assert exact[1] > 3 * got.ceiling
    assert np.isinf(exact[2])
    np.testing.assert_array_equal(got.at_ceiling, [False, True, True])
    assert np.all(got.average.value <= got.ceiling + 1e-9)
    assert got.average.value[1] > 0.98 * got.ceiling
    # Without variance the outputs are R distinct points.
    assert got.average.value[2] == pytest.approx(np.log(8), abs=1e-9)
    more = resampled_labels(law.train, label_model, 32, seed=1)
    assert more.average.value[1] > got.average.value[1] + 1


def test_training_sets_give_the_same_as_labels_drawn_on_one_set():
    model, label_model = RandomFeatures(m=2, outputs=1), LabelModel(noise_variance=0.2)
    law = output_distribution(model.blocks, model.data, GradientFlow(), TIMES)
    draws = label_model.draw(law, seed=3, count=6)
    sets = [
        Dataset(model.data.x_train, law.spectrum.eigenvectors @ draws[:, r], model.data.x_test, model.data.y_test)
        for r in range(6)
    ]
    laws = training_set_laws(lambda data: model.blocks, sets, GradientFlow(), TIMES)
    got, wanted = resampled_training_sets(laws, seed=3), resampled_labels(law.test, label_model, 6, seed=3)
    np.testing.assert_allclose(got.per_input.value, wanted.per_input.value, atol=1e-6)
    np.testing.assert_allclose(got.corrected.value, wanted.corrected.value, atol=1e-6)


def test_sets_with_other_training_inputs_differ_in_variance_too():
    model = RandomFeatures(n=24, m=4, outputs=2)
    x_test, y_test = model.data.x_test, model.data.y_test
    k, t = model.start @ model.start.T, model.jacobian @ model.jacobian.T

    def blocks_of(data):
        rows = [int(np.flatnonzero(np.all(model.x == x, axis=1))[0]) for x in data.x_train]
        test = slice(model.n, None)
        cross = CrossBlocks(k[test, rows], t[test, rows], np.diag(k)[test].copy(), np.diag(t)[test].copy())
        return KernelBlocks(SquareBlocks(k[np.ix_(rows, rows)], t[np.ix_(rows, rows)]), cross)

    sets = [Dataset(model.x[r:24:6], model.y[r:24:6], x_test, y_test) for r in range(6)]
    laws = training_set_laws(blocks_of, sets, GradientFlow(), TIMES)
    assert not np.allclose(laws[0].variance[-1], laws[1].variance[-1])
    got = resampled_training_sets(laws)
    assert np.all(got.per_input.value[0] <= 1e-9 + 5 * got.per_input.standard_error[0])
    assert np.all(np.diff(got.average.value) > 0)
    assert np.all(got.average.value <= got.ceiling + 5 * got.average.standard_error)
    other = Dataset(model.x[:4], model.y[:4], x_test[:3], y_test[:3])
    with pytest.raises(ValueError, match=r"datasets\[6\] has other test inputs"):
        training_set_laws(blocks_of, [*sets, other], GradientFlow(), TIMES)
    with pytest.raises(ValueError, match=r"laws\[1\] has other times"):
        resampled_training_sets([laws[0], *training_set_laws(blocks_of, sets[:2], GradientFlow(), TIMES[:2])])
    with pytest.raises(ValueError, match="number of laws is 2"):
        resampled_training_sets(laws[:2])
    with pytest.raises(ValueError, match="count is 2"):
        resampled_labels(laws[0], LabelModel(), 2)


def resampled(mean, variance):
    """From laws (R, p, C) and (R, p) at one time."""
    return _resampled(lambda _: (mean, variance), 1, 0, 1e-6, silent)


def test_equal_sets_without_noise_say_nothing_and_give_no_nan():
    got = resampled(np.ones((5, 2, 1)), np.zeros((5, 2)))
    np.testing.assert_allclose(got.corrected.value, 0, atol=1e-12)
    np.testing.assert_allclose(got.interval, 0, atol=1e-12)


def test_values_are_monte_carlo_where_any_of_them_is(monkeypatch):
    """Two outputs: quadrature at the input where all laws agree, sampling at the other."""
    monkeypatch.setattr("ntkinfo.information.output_quadrature.CHEAP", 500)
    monkeypatch.setattr("ntkinfo.information.output_quadrature.PAIRS_OF_ONE_CELL", 1e6)
    mean = np.random.default_rng(0).normal(size=(6, 2, 2)) * np.array([0.0, 1.0])[None, :, None]
    got = resampled(mean, np.broadcast_to(np.array([1.0, 1e-6]), (6, 2)))
    assert got.per_input.meaning == got.average.meaning == "Monte Carlo"
    assert "others by quadrature" in got.per_input.method


def test_an_offset_of_the_outputs_does_not_matter():
    mean = 1e-9 * np.random.default_rng(1).normal(size=(8, 2, 1))
    wanted = resampled(mean, np.full((8, 2), 1e-18))
    got = resampled(mean + 1.0, np.full((8, 2), 1e-18))
    np.testing.assert_allclose(got.corrected.value, wanted.corrected.value, rtol=1e-5)
    np.testing.assert_allclose(got.interval, wanted.interval, rtol=1e-5)
