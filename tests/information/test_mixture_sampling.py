import numpy as np
import pytest

from ntkinfo.information.mixture_sampling import sample_information, sample_pointwise


def small_mixture(m=5, outputs=3, seed=3):
    random = np.random.default_rng(seed)
    mean, variance = random.normal(size=(m, outputs)), random.uniform(0.2, 1, size=m)
    return mean, variance, random.dirichlet(np.ones(m)), random.integers(0, 3, size=m)


def test_pointwise_against_plain_draws():
    """Each component's two averages, against the log ratios of independent draws formed directly."""
    mean, variance, weights, labels = small_mixture()
    labels = np.array([0, 1, 1, 0, 2])
    result = sample_pointwise(mean, variance, weights, labels, 4000, np.random.default_rng(4))
    random, n = np.random.default_rng(5), 40000
    for i in range(5):
        z = mean[i] + np.sqrt(variance[i]) * random.normal(size=(n, 3))
        squared = np.sum((z[:, None, :] - mean[None]) ** 2, axis=-1)
        density = np.exp(-0.5 * squared / variance) / (2 * np.pi * variance) ** 1.5
        same = np.where(labels == labels[i], weights, 0)
        within = density @ same / np.sum(same)
        for numerator, value, error in (
            (density[:, i], result.component[i], result.component_standard_error[i]),
            (within, result.label[i], result.label_standard_error[i]),
        ):
            ratio = np.log(numerator / (density @ weights))
            assert abs(value - np.mean(ratio)) < 5 * np.hypot(error, np.std(ratio) / np.sqrt(n))
            assert error < 0.05


def test_pointwise_averages_are_the_informations():
    mean, variance, weights, labels = small_mixture(m=30, outputs=4)
    pointwise = sample_pointwise(mean, variance, weights, labels, 64, np.random.default_rng(0))
    whole = sample_information(mean, variance, weights, labels, 64, np.random.default_rng(0))
    assert np.sum(weights * pointwise.component) == pytest.approx(whole.component.value, abs=1e-13)
    assert np.sum(weights * pointwise.label) == pytest.approx(whole.label.value, abs=1e-13)
    assert sample_pointwise(mean, variance, weights, None, 64, np.random.default_rng(0)).label is None


def test_pointwise_standard_errors_are_honest():
    """Over seeds, each component's average is right and scatters as its standard error says."""
    mean, variance, weights, labels = small_mixture(m=12, outputs=2)
    exact = sample_pointwise(mean, variance, weights, labels, 20000, np.random.default_rng(99))
    runs = [sample_pointwise(mean, variance, weights, labels, 32, np.random.default_rng(s)) for s in range(300)]
    for name in ("component", "label"):
        stated = np.sqrt(np.mean([getattr(run, f"{name}_standard_error") ** 2 for run in runs], axis=0))
        values = np.array([getattr(run, name) for run in runs])
        error = np.hypot(stated / np.sqrt(300), getattr(exact, f"{name}_standard_error"))
        assert np.all(np.abs(np.mean(values, axis=0) - getattr(exact, name)) < 5 * error)
        assert np.all(np.abs(np.std(values, axis=0) / stated - 1) < 0.25)
