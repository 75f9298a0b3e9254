"""Nearest neighbours where samples tie, whatever their units; second routes by brute force and by spreading ties."""

import numpy as np
import pytest
from scipy.special import digamma
from scipy.stats import beta as beta_law

from ntkinfo.information.nearest_neighbours import neighbour_information, neighbour_information_classes
from ntkinfo.information.neighbour_counts import Cloud, tied_log_volume
from tests.known_samples import correlated

HALF = float(np.log(2))


def kraskov(x, y, k=4):
    """The first estimator from all pairs, for draws that do not tie."""
    apart = [np.max(np.abs(side[:, None] - side[None, :]), axis=2) for side in (x, y)]
    radius = np.sort(np.maximum(*apart), axis=1)[:, k]
    counts = [np.sum(side < radius[:, None], axis=1) for side in apart]
    return digamma(k) + digamma(len(x)) - np.mean(digamma(counts[0]) + digamma(counts[1]))


def test_without_ties_it_is_kraskovs_estimator():
    random = np.random.default_rng(0)
    for dims in ((1, 1), (2, 1), (3, 2)):
        x, noise = random.normal(size=(300, dims[0])), random.normal(size=(300, dims[1]))
        y = noise + x[:, :1]
        found = neighbour_information(x, y, scale="given")
        assert found.value.value == pytest.approx(kraskov(x, y), abs=1e-12)
        assert (found.tied, found.tie_bias) == (0, 0.0)


@pytest.mark.parametrize(("n", "decimals"), [(1000, 2), (4000, 2), (4000, 1), (4000, 0)])
@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_rounded_draws(n, decimals, correlation):
    """Against the same draws spread over the cells of the rounding, which leaves the information as it is."""
    random, found, spread = np.random.default_rng(1), [], []
    for _ in range(2):
        x, y = (side.round(decimals) for side in correlated(correlation)(n, random))
        found.append(neighbour_information(x, y).value.value)
        x, y = (side + random.uniform(-0.5, 0.5, side.shape) * 10.0**-decimals for side in (x, y))
        spread.append(neighbour_information(x, y).value.value)
    assert np.mean(found) == pytest.approx(np.mean(spread), abs=0.03)
    if correlation == 0:
        assert abs(np.mean(found)) < 0.02


@pytest.mark.parametrize("decimals", [3, 2, 1])
def test_rounded_draws_beside_what_says_nothing(decimals):
    random = np.random.default_rng(3)
    x = random.normal(size=(4000, 1)).round(decimals)
    found = neighbour_information_classes(x, random.integers(0, 2, 4000))
    assert abs(found.value.value) < max(4 * found.value.standard_error, 0.02)
    assert abs(found.tie_bias) < 0.03
    smooth = neighbour_information(x, random.normal(size=(4000, 1)))
    assert abs(smooth.value.value) < max(4 * smooth.value.standard_error, 0.02)
    single = neighbour_information(x.astype(np.float32), random.normal(size=(4000, 1)).astype(np.float32).round(2))
    assert abs(single.value.value) < 0.03


def test_several_coordinates_that_tie():
    random = np.random.default_rng(5)
    x, y = random.normal(size=(2, 2000, 2)).round(1)
    assert abs(neighbour_information(x, y).value.value) < 0.03
    assert abs(neighbour_information_classes(x, random.integers(0, 3, 2000)).value.value) < 0.03


@pytest.mark.parametrize("factor", [1e-9, 1e6, 1e200])
def test_units_do_not_matter(factor):
    x, y = correlated(0.75)(300, np.random.default_rng(2))
    x = np.concatenate([x, np.random.default_rng(3).normal(size=(300, 1))], axis=1)
    for side in (x, x.round(1)):
        base = neighbour_information(side, y).value.value
        for scaled in (factor * side, side * np.array([1.0, factor])):
            assert neighbour_information(scaled, y).value.value == pytest.approx(base, abs=1e-9)
        assert neighbour_information(side, factor * y).value.value == pytest.approx(base, abs=1e-9)
        labels = (y[:, 0] > 0).astype(int)
        base = neighbour_information_classes(side, labels).value.value
        scaled = neighbour_information_classes(side * np.array([1.0, factor]), labels).value.value
        assert scaled == pytest.approx(base, abs=1e-9)


def test_single_large_values_and_heavy_tails():
    x, y = correlated(0.75)(2000, np.random.default_rng(4))
    x[0], x[1] = 1e9, -1e12
    assert neighbour_information(x, y).value.value == pytest.approx(0.41334, abs=0.06)
    x, y = correlated(0.75)(2000, np.random.default_rng(4))
    heavy = neighbour_information(np.sinh(4 * x), np.sinh(4 * y), scale="ranks")
    assert heavy.value.value == pytest.approx(0.41334, abs=0.05)
    assert "ranks" in heavy.value.method


def test_discrete_draws_have_the_plug_in_value_and_take_no_time():
    outputs = np.eye(10)[np.random.default_rng(0).integers(0, 10, 20000)]
    found = neighbour_information_classes(outputs, outputs.argmax(axis=1))
    share = outputs.mean(axis=0)
    assert found.value.value == pytest.approx(-np.sum(share * np.log(share)), abs=1e-3)
    labels = (np.arange(20000) < 100).astype(int)
    assert neighbour_information_classes(np.ones((20000, 1)), labels).value.value == pytest.approx(0, abs=1e-12)
    coin = np.repeat([[0.0], [1.0]], 500, axis=0)
    same = neighbour_information(coin, coin)
    assert same.value.value == pytest.approx(HALF, abs=1e-3)
    assert same.value.standard_error >= 1e-3


def test_volume_of_a_shell_against_draws_of_its_law():
    random = np.random.default_rng(0)
    inner = np.log(np.array([0.3, 5.0, 50.0, 2.0, 1.0]))
    outer = np.log(np.array([4e6, 9.0, 51.0, 2.0, 300.0]))
    before, after = np.array([1, 3, 4, 1, 2]), np.array([1, 2, 400, 1, 30])
    drawn = beta_law(before, after).rvs(size=(400_000, 5), random_state=random)
    mixed = np.log(np.exp(inner) + (np.exp(outer) - np.exp(inner)) * drawn)
    error = mixed.std(axis=0) / np.sqrt(len(mixed))
    assert np.all(np.abs(tied_log_volume(inner, outer, before, after) - mixed.mean(axis=0)) < 5 * error + 1e-9)
    found = tied_log_volume(np.array([-np.inf]), np.array([2.0]), np.array([3]), np.array([5]))
    assert found[0] == pytest.approx(2 + digamma(3) - digamma(8), abs=1e-14)


@pytest.mark.parametrize("dims", [1, 2])
def test_counts_against_all_pairs(dims):
    random = np.random.default_rng(6)
    for draws in (random.normal(size=(200, dims)), random.integers(0, 5, size=(200, dims)).astype(float)):
        cloud, rows = Cloud.of(draws), np.arange(200)
        radius = random.choice([-1.0, 0.0, 0.5, 1.0, 2.0], size=200)
        apart = np.max(np.abs(draws[:, None] - draws[None, :]), axis=2)
        assert cloud.within(rows, radius).tolist() == np.sum(apart <= radius[:, None], axis=1).tolist()
        assert cloud.beside(rows).tolist() == np.sum(apart == 0, axis=1).tolist()


LABELS = [
    (np.array([0.0, 1, np.nan, 1] * 25), "NaN or infinite"),
    (np.ma.masked_array([0, 1, 0, 1] * 25, [False, False, True, False] * 25), "masked"),
    (np.array([0, 1, None, 1] * 25, dtype=object), "missing"),
    (np.array([0.0, 0.5, 1, 1] * 25), "fractions"),
    (np.array([[0], [1]] * 50), "take the one column"),
    (np.eye(2)[[0, 1] * 50], "argmax"),
]


@pytest.mark.parametrize(("labels", "message"), LABELS)
def test_labels_that_name_no_class_are_refused_by_every_estimator(labels, message):
    from ntkinfo.core.progress import silent
    from ntkinfo.information.clustering import clustering, pair_distances
    from ntkinfo.information.samples import binned_information, binned_trajectory
    from ntkinfo.information.samples_binning import RangeBins
    from ntkinfo.information.samples_pairwise import pairwise_activations

    x, bins = np.random.default_rng(0).normal(size=(100, 2)), RangeBins(3)
    calls = [
        lambda: binned_information(x, bins, labels),
        lambda: binned_information(x, bins, inputs=labels),
        lambda: binned_trajectory(x[None], bins, labels, progress=silent),
        lambda: neighbour_information_classes(x, labels),
        lambda: pairwise_activations(x, 0.1, labels),
        lambda: pair_distances(x, labels),
        lambda: clustering(x, 0.1, labels),
    ]
    for call in calls:
        with pytest.raises((ValueError, TypeError), match=message):
            call()


def test_lists_text_and_whole_floats_are_labels():
    x = np.random.default_rng(0).normal(size=(60, 2))
    labels = np.arange(60) % 2
    wanted = neighbour_information_classes(x, labels).value
    for given in (labels.tolist(), labels.astype(float), [["a", "b"][k] for k in labels], labels.astype(bool)):
        assert neighbour_information_classes(x.tolist(), given).value == wanted


def test_masked_activations_are_refused():
    x = np.ma.masked_array(np.random.default_rng(0).normal(size=(60, 1)), np.arange(60)[:, None] == 7)
    for call in (lambda: neighbour_information(x, x), lambda: neighbour_information_classes(x, np.arange(60) % 2)):
        with pytest.raises(ValueError, match=r"1 masked value\(s\), the first at index \(7, 0\)"):
            call()
