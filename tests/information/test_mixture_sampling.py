import jax.numpy as jnp
import numpy as np
import pytest

from ntkinfo.core.arrays import float64
from ntkinfo.core.threads import map_threads
from ntkinfo.information import mixture_draws
from ntkinfo.information.mixture_draws import log_sums_of
from ntkinfo.information.mixture_sampling import DrawUntil, sample_information, sample_pointwise
from ntkinfo.information.mixture_tiles import tiles_of
from ntkinfo.information.mixtures import mixture_entropy
from ntkinfo.information.output import information_output


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


def plain_log_sums(mean, variance, weights, labels, owner, noise):
    """Draw by draw: log of sum_{j≠i} w_j p_j(z) / p_i(z), over all and over the same label, own weight added."""
    result = []
    for i, e in zip(owner, noise, strict=True):
        squared = np.sum((mean[i] - mean + np.sqrt(variance[i]) * e) ** 2, axis=1)
        log = np.log(weights) - 0.5 * squared / variance - 0.5 * mean.shape[1] * np.log(variance)
        log += 0.5 * np.sum(e**2) + 0.5 * mean.shape[1] * np.log(variance[i])
        others = np.arange(len(mean)) != i
        result.append((np.logaddexp.reduce(log[others]), np.logaddexp.reduce(log[labels == labels[i]])))
    return np.array(result).T


@pytest.mark.parametrize("outputs", [1, 10])
@pytest.mark.parametrize(
    ("spread", "widths", "centre"),
    [(0.01, 1.0, 0.0), (1.0, 0.5, 1e6), (1.0, 4.0, 0.0), (30.0, 1.0, 0.0), (1e4, 0.0, 0.0), (1e6, 1.0, 0.0)],
)
def test_tiles_against_plain_sums(outputs, spread, widths, centre, monkeypatch):
    """Expanded squares, differences, new references and tiles left out, at tiles of several sizes."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, size=400)
    mean = centre + spread * (random.normal(size=(400, outputs)) + labels[:, None])
    variance, weights = np.exp(widths * random.normal(size=400)), random.dirichlet(np.full(400, 5.0))
    owner, noise = random.integers(0, 400, size=300), random.normal(size=(300, outputs))
    expected = plain_log_sums(mean, variance, weights, labels, owner, noise)
    for size in (7, 64, 1000):
        monkeypatch.setattr(mixture_draws, "tiles_of", lambda *given, size=size: tiles_of(*given, size=size))
        monkeypatch.setattr(mixture_draws, "TILE", min(size, 400))
        sums, same, *_ = log_sums_of(mean, variance, weights, labels)(owner, noise)
        np.testing.assert_allclose(sums, expected[0], rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(np.logaddexp(np.log(weights[owner]), same), expected[1], rtol=1e-10, atol=1e-10)


def test_jax_arrays_and_threads_give_the_same_sums(monkeypatch):
    random = np.random.default_rng(1)
    mean, variance, weights = random.normal(size=(500, 3)), np.exp(random.normal(size=500)), np.full(500, 1 / 500)
    labels, owner, noise = random.integers(0, 4, 500), random.integers(0, 500, 900), random.normal(size=(900, 3))
    host = log_sums_of(mean, variance, weights, labels)(owner, noise)
    monkeypatch.setattr(mixture_draws, "map_threads", lambda function, items: map_threads(function, items, 3))
    for mine, other in zip(host, log_sums_of(mean, variance, weights, labels)(owner, noise), strict=True):
        assert np.array_equal(mine, other)
    monkeypatch.setattr(mixture_draws, "PAIRS_AT_ONCE", 500 * 400)
    with float64():
        device = log_sums_of(*(jnp.asarray(a) for a in (mean, variance, weights)), labels)(owner, noise)
    for mine, other in zip(host, device, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-12, atol=1e-12)


def uneven_mixture():
    """A few overlapping components that carry all the scatter, among many that stand alone."""
    random = np.random.default_rng(2)
    mean = np.concatenate([random.normal(size=(12, 3)), 100 * random.normal(size=(48, 3))])
    return mean, np.full(60, 0.3), np.full(60, 1 / 60), np.arange(60) % 3


def test_draws_go_where_they_are_needed():
    mean, variance, weights, labels = uneven_mixture()
    wanted = DrawUntil(5e-4)
    spread = sample_information(mean, variance, weights, labels, wanted, np.random.default_rng(0))
    assert max(spread.component.standard_error, spread.label.standard_error) <= 5e-4
    each = 2 * (spread.draws // 120)
    even = sample_information(mean, variance, weights, labels, each, np.random.default_rng(0))
    errors = [(run.component.standard_error, run.label.standard_error) for run in (spread, even)]
    assert max(errors[1]) > 1.4 * max(errors[0])
    assert "to a standard error of 0.0005" in spread.method


def test_drawing_until_an_error_is_unbiased_and_honest():
    """Over seeds, the average is right within the scatter, and the stated error is the scatter."""
    mean, variance, weights, labels = uneven_mixture()
    exact = sample_information(mean, variance, weights, labels, 20000, np.random.default_rng(99))
    wanted = DrawUntil(1e-3)
    runs = [sample_information(mean, variance, weights, labels, wanted, np.random.default_rng(s)) for s in range(80)]
    for name in ("component", "label"):
        truth = getattr(exact, name)
        values = np.array([getattr(run, name).value for run in runs])
        stated = np.array([getattr(run, name).standard_error for run in runs])
        assert abs(np.mean(values) - truth.value) < 4 * np.hypot(np.std(values) / np.sqrt(80), truth.standard_error)
        assert 0.75 < np.std((values - truth.value) / stated) < 1.2
        assert np.max(stated) <= 1e-3
    assert min(run.draws for run in runs) > 2 * 3120


def test_too_few_draws_are_owned_up_to():
    mean, variance, weights, _ = uneven_mixture()
    result = sample_information(mean, variance, weights, None, DrawUntil(1e-5, most=20000), np.random.default_rng(0))
    assert 10000 < result.draws <= 20000 + 2 * 60
    assert "stopped at" in result.method
    assert result.component.standard_error > 1e-5
    entropy = mixture_entropy(mean, variance, samples=DrawUntil(1e-5, most=8000)).value
    assert "stopped at" in entropy.method
    with pytest.raises(ValueError, match="standard_error"):
        DrawUntil(0.0)


def test_wanted_error_through_the_public_functions():
    """Both informations of `information_output` come at the wanted error, next to a run with many even draws."""
    mean, variance, _, labels = uneven_mixture()
    for result, even in zip(
        information_output(mean, variance, labels, samples=DrawUntil(1e-3)),
        information_output(mean, variance, labels, samples=4000),
        strict=True,
    ):
        assert 0 < result.value.standard_error <= 1.02e-3
        assert "standard error of 0.001" in result.value.method
        difference = abs(result.value.value - even.value.value)
        assert difference < 5 * np.hypot(result.value.standard_error, even.value.standard_error)
    entropy = mixture_entropy(mean, variance, samples=DrawUntil(1e-3)).value
    assert entropy.standard_error <= 1.02e-3


def test_one_component_carries_nothing():
    result = sample_information(np.zeros((1, 4)), np.ones(1), np.ones(1), np.zeros(1, int), 8, np.random.default_rng(0))
    assert result.component.value == pytest.approx(0, abs=1e-14)
    assert result.label.value == pytest.approx(0, abs=1e-14)
    assert result.others.value == np.inf


def test_common_noise_makes_smooth_curves():
    """The same seed deals every component the same noise: small changes of the law move the average little."""
    mean, variance, weights, labels = small_mixture(m=200, outputs=4)
    runs = [
        sample_information(mean, variance * scale, weights, labels, 8, np.random.default_rng(0)).component
        for scale in (1.0, 1.0 + 1e-6)
    ]
    assert abs(runs[1].value - runs[0].value) < 1e-4 * runs[0].standard_error
