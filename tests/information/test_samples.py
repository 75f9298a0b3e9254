from collections import Counter

import numpy as np
import pytest

import ntkinfo as ni
from ntkinfo.core.progress import silent
from ntkinfo.information.samples import DETERMINISTIC, REPEATED, binned_information, binned_trajectory
from ntkinfo.information.samples_binning import (
    FixedBins,
    QuantileBins,
    RangeBins,
    WidthBins,
    checked_activations,
    distinct_rows,
    row_symbols,
)
from tests.known_samples import BIT, binned

SCHEMES = [FixedBins(np.linspace(-1, 1, 31)), RangeBins(7), RangeBins(7, "layer"), QuantileBins(5), WidthBins(0.07)]
RNG = np.random.default_rng(5)


def counted(symbols, weights=None):
    """Entropy by a dictionary of tuples."""
    mass = Counter()
    for key, share in zip(symbols, [1 / len(symbols)] * len(symbols) if weights is None else weights, strict=True):
        mass[key] += share
    return -sum(p * np.log(p) for p in mass.values() if p > 0)


@pytest.mark.parametrize("problem", [pytest.param(p, id=p.name) for p in binned()])
def test_known_binned(problem):
    result = binned_information(problem.activations, FixedBins(problem.edges), problem.labels, weights=problem.weights)
    assert result.entropy.value == pytest.approx(problem.entropy, abs=1e-13)
    assert result.information_input == result.entropy
    assert result.information_target.value == pytest.approx(problem.information_target, abs=1e-13)
    assert (result.occupied, result.clipped) == (problem.occupied, problem.clipped)
    assert result.caveat == DETERMINISTIC
    assert result.entropy.value <= result.ceiling + 1e-12


def test_the_twelve_bit_rule():
    """H(X) = 12 bits, I(X;Y) = 0.999157 bits; weight alone 0.62764 bits, a single bit 0.03391, 64 classes 5.5695."""
    rule = ni.data.twelve_bit_rule()
    halves = FixedBins(np.array([-0.5, 0.5, 1.5]))
    whole = binned_information(rule.patterns.astype(float), halves, rule.labels)
    assert whole.entropy.value == pytest.approx(12 * BIT, abs=1e-12)
    assert whole.information_target.value == pytest.approx(0.999157 * BIT, abs=5e-7)
    weight = binned_information(rule.patterns.sum(axis=1, keepdims=True).astype(float), WidthBins(1.0), rule.labels)
    assert weight.information_target.value == pytest.approx(0.62764 * BIT, abs=5e-6)
    for bit in range(12):
        one = binned_information(rule.patterns[:, [bit]].astype(float), halves, rule.labels)
        assert one.information_target.value == pytest.approx(0.03391 * BIT, abs=5e-6)
    classes = binned_information(rule.classes.astype(float), WidthBins(1.0), rule.labels)
    assert classes.occupied == 64
    assert classes.entropy.value == pytest.approx(5.5695 * BIT, abs=5e-5)
    assert classes.information_target.value == pytest.approx(whole.information_target.value, abs=1e-12)


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: type(scheme).__name__)
@pytest.mark.parametrize("units", [1, 3, 40])
def test_against_a_dictionary(scheme, units):
    activations = np.tanh(RNG.normal(size=(300, units)) @ RNG.normal(size=(units, units)))
    labels, weights = RNG.integers(3, size=300), RNG.dirichlet(np.ones(300))
    rows = [tuple(row) for row in scheme.codes(activations).values]
    joint = [(row, label) for row, label in zip(rows, labels, strict=True)]
    for share in (None, weights):
        result = binned_information(activations, scheme, labels, weights=share)
        entropy = counted(rows, share)
        assert result.entropy.value == pytest.approx(entropy, abs=1e-12)
        target = entropy + counted(labels.tolist(), share) - counted(joint, share)
        assert result.information_target.value == pytest.approx(target, abs=1e-12)
        assert result.occupied == len(set(rows))


def test_bins_of_each_scheme():
    column = np.array([[-2.0], [-1.0], [0.0], [0.5], [1.0], [3.0]])
    fixed = FixedBins(np.array([-1.0, 0, 1]))
    assert fixed.codes(column).values[:, 0].tolist() == [0, 0, 1, 1, 1, 1]
    assert fixed.codes(column).clipped == 2
    assert RangeBins(5).codes(column).values[:, 0].tolist() == [0, 1, 2, 2, 3, 4]
    assert QuantileBins(3).codes(column).values[:, 0].tolist() == [0, 0, 1, 1, 2, 2]
    assert WidthBins(0.5).codes(column).values[:, 0].tolist() == [0, 2, 4, 5, 6, 10]
    assert WidthBins(1.0, origin=0.75).codes(column).values[:, 0].tolist() == [0, 1, 2, 2, 3, 5]
    both = np.concatenate([column, 10 * column], axis=1)
    per_unit, per_layer = RangeBins(5).codes(both).values, RangeBins(5, "layer").codes(both).values
    assert np.array_equal(per_unit[:, 0], per_unit[:, 1])
    assert not np.array_equal(per_layer[:, 0], per_layer[:, 1])
    own = FixedBins(np.array([[-1.0, 0, 1], [0, 20, 30]])).codes(both)
    assert own.values[:, 1].tolist() == [0, 0, 0, 0, 0, 1]
    assert own.clipped == 4
    constant = RangeBins(5).codes(np.full((4, 2), 0.7))
    assert len(np.unique(constant.values)) == 1
    assert constant.clipped == 0


def test_quantile_bins_are_equally_full_and_keep_equal_values_together():
    values = RNG.normal(size=(1200, 3))
    counts = [np.bincount(column) for column in QuantileBins(30).codes(values).values.T]
    assert all(count.tolist() == [40] * 30 for count in counts)
    tied = np.concatenate([np.zeros(700), RNG.uniform(0.1, 1, size=500)])[:, None]
    codes = QuantileBins(30).codes(tied).values[:, 0]
    # A value that fills bins is alone in one of them; the 20 others of its last quantile are in the next.
    assert set(codes[:700]) == {16}
    assert np.bincount(codes)[16:].tolist() == [700, 20, *[40] * 12]


@pytest.mark.parametrize("edges", [np.linspace(-1, 1, 31), np.linspace([-1.0, 0.1, -1e3], [1.0, 0.7, 1e5], 8, axis=1)])
def test_even_bins_by_arithmetic_and_by_search(edges):
    """Also at the edges themselves and a rounding beside them; a bin a little wider makes the search take over."""
    rows = np.broadcast_to(np.atleast_2d(edges), (3, edges.shape[-1]))
    inside = RNG.uniform(rows[:, [0]] - 0.1, rows[:, [-1]] + 0.1, size=(3, 500))
    values = np.concatenate([inside, rows, np.nextafter(rows, np.inf), np.nextafter(rows, -np.inf)], axis=1).T
    even = FixedBins(edges)
    assert even._even
    found = even.codes(values)
    for unit in range(3):
        searched = np.clip(np.searchsorted(rows[unit], values[:, unit], side="right") - 1, 0, even.bins - 1)
        np.testing.assert_array_equal(found.values[:, unit], searched)
    changed = np.array(edges)
    changed[..., 1] += 0.3 * (edges[..., 2] - edges[..., 1])
    assert not FixedBins(changed)._even
    assert FixedBins(changed).codes(values).clipped == found.clipped


def test_many_units_and_bins_are_told_apart_exactly():
    """Rows that differ in one place only, with so many units that no single whole number holds them all."""
    codes = np.repeat(RNG.integers(1000, size=(1, 200)), 201, axis=0)
    codes[np.arange(200), np.arange(200)] += 1
    assert len(np.unique(row_symbols(codes))) == 201
    wide = np.array([[0, 0], [2**62, 1], [2**62, 2], [0, 0]])
    assert row_symbols(wide).tolist() == [0, 1, 2, 0]
    activations = np.array([[0.0, 1], [-0.0, 1], [1e-300, 1], [0, 1 + 2e-16]])
    assert distinct_rows(activations).tolist() == [0, 0, 2, 1]


def test_trajectory_is_the_same_place_by_place():
    activations, labels = np.tanh(RNG.normal(size=(4, 2, 50, 3))), RNG.integers(2, size=50)
    scheme = RangeBins(4).fitted(activations)
    path = binned_trajectory(activations, scheme, labels, progress=silent)
    assert path.entropy.shape == (4, 2)
    for place in np.ndindex(4, 2):
        one = binned_information(activations[place], scheme, labels)
        assert path.entropy[place] == one.entropy.value
        assert path.information_target[place] == one.information_target.value
        assert path.occupied[place] == one.occupied
    assert binned_trajectory(activations[0, 0], scheme, progress=silent).information_target is None


def test_several_rows_of_an_input():
    """A binary symmetric channel of flip probability 0.1, by 400 draws of each of 8 inputs: log 2 − h(0.1)."""
    exact = BIT + 0.1 * np.log(0.1) + 0.9 * np.log(0.9)
    values, biases, errors = [], [], []
    inputs = np.repeat(np.arange(8), 400)
    for seed in range(60):
        random = np.random.default_rng(seed)
        sent = (inputs % 2).astype(float)
        received = np.where(random.uniform(size=len(sent)) < 0.1, 1 - sent, sent)[:, None]
        result = binned_information(received, FixedBins(np.array([-0.5, 0.5, 1.5])), inputs=inputs)
        values.append(result.information_input.value)
        errors.append(result.information_input.standard_error)
        biases.append(result.expected_bias)
        assert result.caveat == REPEATED
        assert result.ceiling == pytest.approx(np.log(8))
    # Few of the 16 pairs stay empty: (16 − 8 − 2 + 1) / 2N.
    assert np.mean(biases) == pytest.approx(7 / 6400, rel=1e-6)
    assert np.mean(values) - np.mean(biases) == pytest.approx(exact, abs=4 * np.std(values) / np.sqrt(60))
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.35)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activations": np.ones((0, 2))}, "at least one row"),
        ({"activations": np.array([[np.nan], [0.0]])}, "NaN or infinite"),
        ({"weights": np.array([0.5, 0.6])}, "divide by their sum"),
        ({"weights": np.array([0.5, 0.5]), "inputs": np.array([0, 1])}, "leave weights out"),
        ({"binning": FixedBins(np.array([[0.0, 1]] * 3))}, "one row a unit"),
        ({"binning": WidthBins(1e-30)}, "too narrow"),
    ],
)
def test_bad_input(change, message):
    given = {"activations": np.array([[0.0, 1], [1, 0]]), "binning": RangeBins(3)} | change
    with pytest.raises(ValueError, match=message):
        binned_information(given.pop("activations"), given.pop("binning"), **given)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FixedBins(np.array([0.0])), "bins \\+ 1"),
        (lambda: FixedBins(np.array([0.0, 1, 0.5])), "rising order"),
        (lambda: FixedBins(np.array([0.0, np.inf])), "NaN or infinite"),
        (lambda: RangeBins(0), "at least 1"),
        (lambda: QuantileBins(3, "units"), "did you mean 'unit'"),
        (lambda: WidthBins(-1.0), "greater than 0"),
    ],
)
def test_bad_bins(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_bad_shapes():
    with pytest.raises(ValueError, match="activations has shape"):
        checked_activations(np.ones(5))
    with pytest.raises(ValueError, match="inputs, units"):
        binned_trajectory(np.ones((3, 0, 2)), RangeBins(3), progress=silent)
