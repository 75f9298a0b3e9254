from __future__ import annotations

import numpy as np
import pytest

from ntkinfo.bottleneck.gaussian import GaussianBottleneck
from ntkinfo.bottleneck.gaussian_samples import bottleneck_from_samples
from ntkinfo.data.synthetic import GaussianPair


def draw(pair, n, seed):
    d_x, _ = pair.dims
    rows = np.random.default_rng(seed).multivariate_normal(np.zeros(sum(pair.dims)), pair.covariance, size=n)
    return rows[:, :d_x], rows[:, d_x:]


def estimate(pair, n, seed, **options):
    return bottleneck_from_samples(*draw(pair, n, seed), **{"groups": 25, **options})


@pytest.mark.parametrize(("correlations", "dims", "n"), [((0.8,), (1, 1), 150), ((0.9, 0.5), (4, 2), 60)])
def test_intervals_cover_the_truth_as_often_as_they_say(correlations, dims, n):
    pair, repeats = GaussianPair.random(correlations, dims, seed=3), 120
    truth = GaussianBottleneck.of(pair)
    hits = np.zeros(3)
    for seed in range(repeats):
        found = estimate(pair, n, 1000 + seed, confidence=0.9, groups=15)
        wanted = (truth.mutual_information, truth.frontier(0.3), truth.critical_betas[0])
        got = (found.mutual_information, found.frontier(0.3), found.critical_betas)
        hits += [np.ravel(i.lower)[0] <= w <= np.ravel(i.upper)[0] for i, w in zip(got, wanted, strict=True)]
    # 0.9 less 4 standard errors of 120 repeats is 0.79; 0.99 or more has a chance of 1e-4.
    assert np.all(hits / repeats > 0.79), hits / repeats
    assert np.all(hits / repeats < 0.99), hits / repeats


def test_the_correction_takes_the_bias_out():
    """30 columns: the plain estimate without shrinkage is far above the truth, the corrected one is not."""
    pair = GaussianPair.random((0.7,), (20, 10), seed=0)
    plain, value = [], []
    for seed in range(24):
        found = estimate(pair, 1500, seed, shrinkage=False, groups=30).mutual_information
        plain.append(float(found.plain))
        value.append(float(found.value))
    error = np.std(value, ddof=1) / np.sqrt(24)
    truth = pair.mutual_information
    assert np.mean(plain) - truth > 10 * error
    # 200 chance correlations of 1/n each, half a nat each: 0.067 nats. What is left is of the next order.
    assert np.mean(plain) - truth == pytest.approx(199 / (2 * 1500), rel=0.25)
    assert abs(np.mean(value) - truth) < 4 * error + 0.005


def test_standard_error_is_fisher_s_for_one_correlation():
    pair = GaussianPair.random((0.6,), (1, 1), seed=0)
    found = estimate(pair, 4000, 5, groups=200, shrinkage=False)
    # Var(rho) = (1 - rho²)² / n.
    assert found.correlations.standard_error[0] == pytest.approx(0.64 / np.sqrt(4000), rel=0.2)
    squares = found.interval(lambda law: np.arctanh(law.correlations))
    assert squares.standard_error[0] == pytest.approx(1 / np.sqrt(4000), rel=0.2)


def test_more_columns_than_samples_need_shrinkage_and_say_so():
    pair = GaussianPair.random((0.9,) * 8, (12, 8), seed=0)
    found = estimate(pair, 15, 0)
    assert found.shrinkage > 0.2
    assert "no intervals" in found.notes[0]
    assert "too small" in found.notes[1]
    assert np.isnan(found.frontier(1.0).upper)
    assert 0 < found.frontier(1.0).shrunk < 1
    with pytest.raises(ValueError, match=r"not positive definite|below 1"):
        estimate(pair, 15, 0, shrinkage=False)
    assert "cover too little" in estimate(pair, 60, 0).notes[0]
    assert estimate(pair, 200, 0).notes == ()


def test_shrinkage_is_ledoit_and_wolf_s_of_the_correlations():
    """Their weight by its definition, and the matrix that it leads to."""
    pair = GaussianPair.random((0.8, 0.4), (3, 2), seed=1)
    x, y = draw(pair, 30, 0)
    columns = np.concatenate([5 * x, y + 2], axis=1)
    scaled = (columns - columns.mean(axis=0)) / columns.std(axis=0)
    correlation = scaled.T @ scaled / 30
    error = np.mean([np.sum((np.outer(row, row) - correlation) ** 2) for row in scaled]) / 30
    weight = error / np.sum((correlation - np.eye(5)) ** 2)
    found = bottleneck_from_samples(5 * x, y + 2)
    assert found.shrinkage == pytest.approx(weight, rel=1e-9)
    shrunk = (1 - weight) * correlation + weight * np.eye(5)
    wanted = GaussianBottleneck(shrunk[:3, :3], shrunk[3:, 3:], shrunk[:3, 3:])
    np.testing.assert_allclose(found.bottleneck.correlations, wanted.correlations, rtol=1e-9)


def test_replicates_are_those_of_the_samples_that_are_left():
    pair = GaussianPair.random((0.8, 0.4), (3, 2), seed=1)
    x, y = draw(pair, 40, 0)
    found = bottleneck_from_samples(x + 3, y, groups=40)
    order = np.random.default_rng(0).permutation(40)
    for index in (0, 17):
        left = np.delete(np.concatenate([x, y], axis=1), order[index], axis=0)
        covariance = np.cov(left.T, bias=True)
        law = GaussianBottleneck(covariance[:3, :3], covariance[3:, 3:], covariance[:3, 3:])
        np.testing.assert_allclose(found.replicates[index].correlations, law.correlations, rtol=1e-10)


def test_units_do_not_matter():
    pair = GaussianPair.random((0.8, 0.4), (3, 2), seed=1)
    x, y = draw(pair, 200, 0)
    one = bottleneck_from_samples(x, y, groups=10)
    two = bottleneck_from_samples(x * np.array([1.0, 1e3, 1e-3]) + 5, 7 * y - 1, groups=10)
    np.testing.assert_allclose(one.frontier(1.0).value, two.frontier(1.0).value, rtol=1e-8)
    assert one.shrinkage == pytest.approx(two.shrinkage, rel=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.ones((20, 1))}, "constant"),
        ({"y": np.zeros((19, 1))}, "must be"),
        ({"x": np.full((20, 1), np.nan)}, "NaN"),
        ({"groups": 1}, "at least 2"),
        ({"confidence": 1.0}, "strictly"),
    ],
)
def test_bad_samples(change, message):
    rng = np.random.default_rng(0)
    good = {"x": rng.normal(size=(20, 2)), "y": rng.normal(size=(20, 1)), "groups": 5}
    with pytest.raises(ValueError, match=message):
        bottleneck_from_samples(**{**good, **change})


def one_hot_samples(n=400):
    random = np.random.default_rng(2)
    x = random.normal(size=(n, 3))
    return x, np.eye(3)[np.argmax(x[:, :3] + random.normal(size=(n, 3)), axis=1)]


def test_one_hot_targets_count_by_their_rank():
    """Their columns sum to 1: with one class left out the same law, the same intervals, and nothing to note."""
    x, y = one_hot_samples()
    whole, less = bottleneck_from_samples(x, y), bottleneck_from_samples(x, y[:, :2])
    assert "1 direction(s) in which Y does not vary left out" in whole.notes
    assert less.notes == ()
    assert whole.correlations.value.shape == (2,)
    for a, b in ((whole.mutual_information, less.mutual_information), (whole.correlations, less.correlations)):
        for part in ("value", "standard_error", "lower", "upper"):
            np.testing.assert_allclose(getattr(a, part), getattr(b, part), rtol=1e-8)


def test_constant_columns_are_left_out():
    x, y = one_hot_samples()
    plain = bottleneck_from_samples(x, y[:, :2])
    more = bottleneck_from_samples(np.column_stack([x, np.full(len(x), 0.1)]), y[:, :2])
    assert "1 direction(s) in which X does not vary left out" in more.notes
    assert more.mutual_information.value == pytest.approx(plain.mutual_information.value, rel=1e-10)
    assert more.bottleneck.projection(50.0).shape == (2, 4)
    shrunk = bottleneck_from_samples(np.column_stack([x, np.full(len(x), 0.1)]), y[:, :2], shrinkage=True)
    assert shrunk.shrinkage == pytest.approx(bottleneck_from_samples(x, y[:, :2], shrinkage=True).shrinkage, rel=1e-10)


def test_a_class_of_one_sample_leaves_replicates_with_fewer_directions():
    x, y = one_hot_samples()
    y = np.column_stack([y, np.zeros(len(y))])
    y[0] = [0, 0, 0, 1]
    found = bottleneck_from_samples(x, y, groups=20)
    assert any("1 of 20 replicates vary in fewer directions" in note for note in found.notes)
    assert found.correlations.value.shape == found.critical_betas.value.shape == (3,)
    assert np.all(np.isfinite(found.correlations.standard_error))
    with pytest.raises(ValueError, match="different numbers of directions"):
        found.interval(lambda law: law.correlations)
