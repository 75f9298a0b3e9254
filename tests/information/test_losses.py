import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from ntkinfo.core.arrays import float64
from ntkinfo.information.calibration import calibration
from ntkinfo.information.losses import check_law, closed_form, wrong_class
from ntkinfo.information.member_error import error_member


def random_law(t=3, m=6, outputs=4, seed=0):
    random = np.random.default_rng(seed)
    labels = random.integers(0, max(outputs, 2), size=m)
    targets = np.eye(outputs)[labels] if outputs > 1 else 2.0 * labels[:, None] - 1
    return random.normal(size=(t, m, outputs)), random.uniform(0.05, 2, size=(t, m)), targets, labels


@pytest.mark.parametrize("outputs", [1, 4])
def test_losses_against_draws(outputs):
    mean, variance, targets, labels = random_law(outputs=outputs)
    losses = closed_form(mean, variance, targets, labels, observation_variance=0.7)
    random = np.random.default_rng(1)
    draws = mean + np.sqrt(variance)[:, :, None] * random.normal(size=(40000, *mean.shape))
    gibbs = 0.5 * np.sum((draws - targets) ** 2, axis=-1)
    likelihood = -np.sum(norm.logpdf(draws, targets, np.sqrt(0.7)), axis=-1)
    for name, values in (("loss_gibbs", gibbs), ("loss_gibbs_nll", likelihood)):
        error = np.std(np.mean(values, axis=-1), axis=0) / np.sqrt(len(values))
        assert np.all(np.abs(np.mean(values, axis=(0, 2)) - losses[name]) < 5 * error)


def test_losses_against_scipy():
    mean, variance, targets, _ = random_law(t=20, m=5, outputs=3)
    losses = closed_form(mean, variance, targets)
    expected = [
        np.mean(
            [-multivariate_normal.logpdf(targets[i], mean[t, i], (variance[t, i] + 1) * np.eye(3)) for i in range(5)]
        )
        for t in range(20)
    ]
    np.testing.assert_allclose(losses["loss_bayes"], expected, rtol=1e-12)
    np.testing.assert_allclose(losses["bias_squared"], np.mean(np.sum((mean - targets) ** 2, -1), -1), rtol=1e-13)
    np.testing.assert_allclose(losses["loss_gibbs"], losses["loss_mean"] + 0.5 * losses["variance"], rtol=1e-13)
    assert "error_mean" not in losses


def test_jensen_and_no_negative_values():
    mean, variance, targets, _ = random_law(t=50, m=30, outputs=2, seed=3)
    losses = closed_form(mean, variance, targets)
    assert np.all(losses["loss_gibbs_nll"] >= losses["loss_bayes"])


def test_error_of_the_mean_shares_ties():
    mean = np.array([[[1.0, 0, 0], [0, 1, 0], [1, 1, 0], [1, 1, 1]]])
    np.testing.assert_allclose(wrong_class(mean, np.array([0, 0, 1, 2])), [[0, 1, 1 / 2, 2 / 3]])
    one = np.array([[[2.0], [-3.0], [0.0], [1.0]]])
    np.testing.assert_allclose(wrong_class(one, np.array([1, 0, 1, 0])), [[0, 0, 1 / 2, 1]])


@pytest.mark.parametrize("outputs", [1, 2, 5])
def test_member_error_against_draws(outputs):
    mean, variance, _, labels = random_law(t=3, m=8, outputs=outputs, seed=2)
    result = error_member(mean, variance, labels)
    random = np.random.default_rng(4)
    draws = mean + np.sqrt(variance)[:, :, None] * random.normal(size=(40000, *mean.shape))
    guessed = np.argmax(draws, axis=-1) if outputs > 1 else (draws[..., 0] > 0).astype(int)
    wrong = np.mean(guessed != labels, axis=-1)
    error = np.std(wrong, axis=0) / np.sqrt(len(wrong))
    assert np.all(np.abs(np.mean(wrong, axis=0) - result.value) < 5 * error)
    assert np.all(result.standard_error < 1e-9)


def test_member_error_of_two_outputs_is_in_closed_form():
    """The difference of two outputs is one Gaussian of twice the variance."""
    random = np.random.default_rng(5)
    mean, labels = 3 * random.normal(size=(1, 500, 2)), random.integers(0, 2, size=500)
    variance = 10 ** random.uniform(-6, 2, size=(1, 500))
    gap = np.where(labels == 0, 1, -1) * (mean[0, :, 0] - mean[0, :, 1])
    exact = np.mean(norm.sf(gap / np.sqrt(2 * variance[0])))
    result = error_member(mean, variance, labels)
    assert abs(result.value[0] - exact) <= result.standard_error[0]
    assert result.standard_error[0] < 1e-8


def test_member_error_of_equal_means_is_chance():
    for outputs in (2, 10, 30):
        result = error_member(np.ones((1, 4, outputs)), np.ones((1, 4)), np.zeros(4, dtype=int))
        assert abs(result.value[0] - (1 - 1 / outputs)) <= result.standard_error[0] < 1e-8


def test_member_error_without_variance_is_that_of_the_mean():
    mean, _, targets, labels = random_law(t=4, m=20, outputs=3)
    mean[0, 0] = 1.0
    result = error_member(mean, np.zeros((4, 20)), labels)
    expected = closed_form(mean, np.zeros((4, 20)), targets, labels)["error_mean"]
    np.testing.assert_allclose(result.value, expected, atol=2e-12)


def test_calibrated_law_is_uniform():
    random = np.random.default_rng(6)
    mean, variance = random.normal(size=(1, 4000, 2)), random.uniform(0.1, 3, size=(1, 4000))
    targets = mean[0] + np.sqrt(variance[0] + 0.5)[:, None] * random.normal(size=(4000, 2))
    result = calibration(mean, variance, targets, observation_variance=0.5, bins=10)
    assert np.sum(result.histogram) == pytest.approx(1)
    assert np.all(np.abs(result.histogram - 0.1) < 5 * np.sqrt(0.1 * 0.9 / 8000))
    assert np.all(np.abs(result.coverage - result.levels) < 5 * result.standard_error)
    overconfident = calibration(mean, variance / 10, targets)
    assert np.all(overconfident.coverage < result.coverage)


def test_calibration_without_variance():
    result = calibration(np.zeros((1, 2, 2)), np.zeros((1, 2)), np.array([[0.0, 1], [-1, 0]]), bins=2)
    np.testing.assert_allclose(result.coverage, 0.5)
    np.testing.assert_allclose(result.histogram, [[0.25, 0.75]])


def test_jax_arrays_give_the_same_numbers():
    mean, variance, targets, labels = random_law(t=2)
    variance[0, :2] = 0
    with float64():
        device = [jnp.asarray(array) for array in (mean, variance, targets, labels)]
        losses = closed_form(*device)
        error = error_member(device[0], device[1], device[3])
        measured = calibration(*device[:3])
    for name, values in closed_form(mean, variance, targets, labels).items():
        np.testing.assert_allclose(losses[name], values, rtol=1e-13)
    np.testing.assert_allclose(error.value, error_member(mean, variance, labels).value, rtol=1e-12)
    np.testing.assert_allclose(measured.histogram, calibration(mean, variance, targets).histogram)


def test_bad_input():
    mean, variance, targets, labels = random_law()
    with pytest.raises(ValueError, match="labels must lie between 0 and 3"):
        closed_form(mean, variance, targets, labels + 4)
    with pytest.raises(ValueError, match="variance has shape"):
        check_law(mean, variance[:, 1:], targets, None)
    with pytest.raises(ValueError, match="negative"):
        error_member(mean, -variance, labels)
    with pytest.raises(ValueError, match="levels"):
        calibration(mean, variance, targets, levels=(0.5, 1.0))
