"""Monte Carlo where rare draws carry the average, or where there are few draws: errors have to say so."""

import numpy as np
import pytest

from ntkinfo.information.mixture_sampling import sample_information
from ntkinfo.information.mixtures import mixture_entropy
from ntkinfo.information.output import information_output
from ntkinfo.information.pointwise_output import pointwise_output


def separated(random):
    """Neighbours so far apart that a handful of the draws, or none, meets an overlap."""
    m = int(random.integers(3, 21))
    return random.uniform(4, 9) * np.arange(m), np.ones(m), np.arange(m) % 2


def rare_class_apart(random):
    """A class of 2 in 20 far from the others, which all overlap."""
    labels = (np.arange(20) < 2).astype(int)
    return 0.1 * random.normal(size=20) + random.uniform(4, 9) * labels, np.ones(20), labels


def rare_class(random, m, k):
    labels = (np.arange(m) < k).astype(int)
    return random.normal(size=m) * 10 ** random.uniform(-1, 1) + random.uniform(0, 6) * labels, np.ones(m), labels


def wide_and_narrow(random):
    """Two wide components, which few draws of theirs show to cover the narrow ones."""
    variance = np.full(20, 10 ** random.uniform(-5, -2))
    variance[:2] = 1
    return random.normal(size=20), variance, (np.arange(20) < 2).astype(int)


def decades(random):
    return random.normal(size=20), 10 ** random.uniform(-6, 1, 20), (np.arange(20) < 3).astype(int)


def repeated(random):
    return np.repeat(random.normal(size=5) * 10 ** random.uniform(0, 1.2), 4), np.ones(20), (np.arange(20) < 2) + 0


KINDS = {
    "separated": separated,
    "rare class apart": rare_class_apart,
    "2 in 20": lambda random: rare_class(random, 20, 2),
    "1 in 50": lambda random: rare_class(random, 50, 1),
    "wide and narrow": wide_and_narrow,
    "decades": decades,
    "repeated": repeated,
}


@pytest.mark.parametrize("samples", [None, 16, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_two_standard_errors_hold_the_value(kind, samples):
    """By quadrature, in at least 93 of 100 runs; samples from one output without quadrature."""
    deviations = []
    for number in range(4):
        mean, variance, labels = KINDS[kind](np.random.default_rng([len(kind), number]))
        exact = information_output(mean[:, None], variance, labels, tolerance=1e-10, samples=0)
        for run in range(9 if samples is None else 15):
            seed = 100 * number + run
            given = information_output(mean[:, None], variance, labels, tolerance=None, samples=samples, seed=seed)
            for one, truth in zip(given, exact, strict=True):
                deviations.append((float(one.value.value) - float(truth.value.value)) / float(one.value.standard_error))
    assert np.mean(np.abs(deviations) <= 2) >= 0.93
    assert np.max(np.abs(deviations)) < 6


def test_no_draw_carries_more_than_its_share_of_the_ceiling():
    """With four draws each the value stays between 0 and log m: no control variate is fitted on so few pairs."""
    for m in (3, 4, 5, 6, 8):
        for seed in range(20):
            random = np.random.default_rng(seed)
            mean, variance = random.normal(size=(m, 3)), 10 ** random.uniform(-2, 0.5, m)
            given, target = information_output(mean, variance, np.arange(m) % 2, samples=4, seed=seed)
            assert -1e-12 <= given.value.value <= np.log(m) + 1e-12
            assert -1e-12 <= target.value.value <= -np.log(m // 2 / m) + 1e-12


def test_standard_errors_of_ordinary_mixtures():
    """The scatter over seeds is the stated error: the allowance for rare draws adds nothing where draws are many."""
    random = np.random.default_rng(0)
    mean, variance, labels = random.normal(size=(100, 10)), np.exp(random.normal(size=100) / 2), np.arange(100) % 5
    runs = [information_output(mean, variance, labels, seed=seed) for seed in range(40)]
    for which in (0, 1):
        values = [run[which].value.value for run in runs]
        stated = np.mean([run[which].value.standard_error for run in runs])
        assert 0.7 < np.std(values) / stated < 1.3


def test_nothing_is_stated_beyond_rounding_where_nothing_is_left_to_sample():
    """Equal components say nothing, components and classes out of reach say all: no allowance for what cannot be."""
    for mean, truth in ((np.zeros((6, 3)), (0.0, 0.0)), (1e4 * np.eye(6, 3), None)):
        given, target = information_output(mean, np.ones(6), np.arange(6) % 2)
        if truth is not None:
            assert (given.value.value, target.value.value) == pytest.approx(truth, abs=1e-14)
        assert given.value.standard_error < 1e-13 or truth is None
    apart = np.where(np.arange(40) % 2, 1e3, 0.0)[:, None] + np.random.default_rng(0).normal(size=(40, 3))
    target = information_output(apart, np.ones(40), np.arange(40) % 2)[1].value
    assert target.value == pytest.approx(np.log(2), abs=1e-13)
    assert target.standard_error < 1e-13


def test_weights_that_are_rare():
    """A component of weight 1e-4 between two common ones, by quadrature."""
    mean, weights = np.array([[-1.5], [0.0], [1.5]]), np.array([0.5, 1e-4, 0.4999])
    exact = mixture_entropy(mean, np.full(3, 0.1), weights, method="quadrature").value.value
    given = [mixture_entropy(mean, np.full(3, 0.1), weights, method="monte carlo", seed=s).value for s in range(60)]
    deviations = [(one.value - exact) / one.standard_error for one in given]
    assert np.mean(np.abs(deviations) <= 2) >= 0.93


def test_averages_over_posteriors_are_those_of_the_own_component():
    """Two routes to the same averages: posterior entropies, and each draw's own log ratio."""
    random = np.random.default_rng(1)
    mean, variance, weights = random.normal(size=(7, 2)), random.uniform(0.2, 2, 7), random.dirichlet(np.ones(7))
    labels = np.array([0, 1, 1, 2, 0, 2, 1])
    result = sample_information(mean, variance, weights, labels, 3000, np.random.default_rng(2))
    own = np.random.default_rng(3)
    picked = own.choice(7, size=200_000, p=weights)
    z = mean[picked] + np.sqrt(variance[picked])[:, None] * own.normal(size=(200_000, 2))
    density = np.exp(-0.5 * np.sum((z[:, None] - mean) ** 2, axis=2) / variance) / variance * weights
    by_class = np.stack([np.sum(density[:, labels == c], axis=1) for c in range(3)], axis=1)
    shares = np.bincount(labels, weights=weights)
    rows, whole = np.arange(200_000), np.sum(density, axis=1)
    for estimate, ratio in (
        (result.component, density[rows, picked] / weights[picked] / whole),
        (result.label, by_class[rows, labels[picked]] / shares[labels[picked]] / whole),
    ):
        logs = np.log(ratio)
        assert abs(estimate.value - np.mean(logs)) < 4 * np.hypot(estimate.standard_error, np.std(logs) / 200_000**0.5)


def test_totals_of_contributions_have_the_error_of_the_informations():
    mean, variance, labels = rare_class_apart(np.random.default_rng(5))
    whole = information_output(mean[:, None], variance, labels, tolerance=None, samples=16)
    parts = pointwise_output(mean[:, None], variance, labels, tolerance=None, samples=16)
    for total, one in zip((parts.input_total, parts.target_total), whole, strict=True):
        assert total.value == pytest.approx(one.value.value, abs=1e-12)
        assert total.standard_error == pytest.approx(one.value.standard_error, rel=1e-9)
