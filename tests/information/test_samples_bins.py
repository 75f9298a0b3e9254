"""Bins against exact arithmetic, for every scheme and the activations that networks have: sparse, constant, halves."""

import math
from fractions import Fraction

import numpy as np
import pytest

from ntkinfo.information.samples import binned_information
from ntkinfo.information.samples_binning import FixedBins, QuantileBins, RangeBins, WidthBins

RANDOM = np.random.default_rng(3)
EVEN = np.linspace(-3, 3, 13)


def share_entropy(counts):
    share = np.asarray(counts, dtype=float) / np.sum(counts)
    share = share[share > 0]
    return float(-np.sum(share * np.log(share)))


def units(kind, dtype):
    """300 rows of two units."""
    values = {
        "normal": RANDOM.normal(size=(300, 2)),
        "sparse": np.maximum(RANDOM.normal(size=(300, 2)) - 0.8, 0),
        "constant": np.stack([np.full(300, 0.7), RANDOM.normal(size=300)], axis=1),
        "ties": RANDOM.integers(-2, 3, size=(300, 2)).astype(float),
    }[kind]
    return values.astype(dtype)


def exact_codes(edges, values):
    """By rational arithmetic: the last bin whose lower edge is not above the value, held inside the bins."""
    lower = [Fraction(float(edge)) for edge in edges[:-1]]
    return [max(sum(edge <= Fraction(float(v)) for edge in lower) - 1, 0) for v in values]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "longdouble"])
@pytest.mark.parametrize("kind", ["normal", "sparse", "constant", "ties"])
def test_every_scheme_against_rational_arithmetic(kind, dtype):
    given = units(kind, dtype)
    doubled = given.astype(np.float64)
    for scheme in (FixedBins(EVEN), FixedBins(EVEN**3), RangeBins(7), RangeBins(7, "layer"), QuantileBins(5)):
        fitted = scheme if isinstance(scheme, FixedBins) else scheme.fitted(doubled)
        found = scheme.codes(given).values
        for unit, edges in enumerate(np.broadcast_to(fitted.edges, (2, fitted.edges.shape[-1]))):
            assert found[:, unit].tolist() == exact_codes(edges, doubled[:, unit])
    width, start = 1 / 16, 1 / 64  # whose quotients are exact
    exact = [[int((Fraction(float(v)) - Fraction(start)) // Fraction(width)) for v in column] for column in doubled.T]
    exact = np.array(exact).T
    np.testing.assert_array_equal(WidthBins(width, start).codes(given).values, exact - exact.min())


@pytest.mark.parametrize("share", [0.001, 0.02, 0.2, 0.5, 0.8, 0.98])
@pytest.mark.parametrize("bins", [2, 4, 30])
def test_quantile_bins_keep_a_binary_unit(bins, share):
    unit = (np.arange(1000) < share * 1000).astype(float)[:, None]
    for values in (unit, -unit, 1e300 * unit, unit.astype(np.float16)):
        found = binned_information(values, QuantileBins(bins))
        assert found.entropy.value == pytest.approx(share_entropy([share, 1 - share]), abs=1e-12)
        assert found.occupied == 2


@pytest.mark.parametrize("fires", [0.03, 0.1, 0.4, 0.7])
@pytest.mark.parametrize("bins", [2, 3, 4, 30])
def test_quantile_bins_keep_whether_a_unit_is_silent(bins, fires):
    """What a unit tells by being 0 is not lost where 0 fills a bin: data processing makes it a lower bound."""
    random = np.random.default_rng(7)
    label = random.integers(0, 2, 2000)
    unit = np.where(random.random(2000) < fires * label, 0.1 + random.exponential(size=2000), 0.0)
    table = np.histogram2d(unit > 0, label, 2)[0]
    tells = share_entropy(table.sum(axis=1)) + share_entropy(table.sum(axis=0)) - share_entropy(table.ravel())
    for values in (unit, -unit):
        found = binned_information(values[:, None], QuantileBins(bins), label)
        assert found.information_target is not None
        assert found.information_target.value >= tells - 1e-12
        assert found.occupied <= bins
        assert len(np.unique(QuantileBins(bins).codes(values[:, None]).values[unit == 0])) == 1


def test_quantile_bins_tell_few_values_apart():
    values = np.repeat([0.0, 1.0, 2.0], [60, 20, 20])[:, None]
    for bins in (3, 4, 30):
        assert binned_information(values, QuantileBins(bins)).occupied == 3
    layer = np.concatenate([values, values + 10], axis=1)
    assert np.unique(QuantileBins(30, "layer").codes(layer).values).size == 6


def test_width_bins_divide_in_double_precision():
    """Halves have 10 digits: their quotient rounds many of them into the neighbouring bin."""
    half = np.random.default_rng(0).normal(size=(4000, 1)).astype(np.float16)
    exact = [math.floor(float(v) / 0.03) for v in half[:, 0]]
    found = binned_information(half, WidthBins(0.03))
    assert found.entropy.value == pytest.approx(share_entropy(np.unique(exact, return_counts=True)[1]), abs=1e-12)
    assert found.entropy.value == binned_information(half.astype(np.float64), WidthBins(0.03)).entropy.value


def test_large_values():
    values = np.array([[-1.7e308], [-1e308], [0.0], [1.6e308], [1.7e308]])
    assert RangeBins(4).codes(values).values[:, 0].tolist() == [0, 0, 2, 3, 3]
    assert binned_information(values, QuantileBins(5)).occupied == 5
    assert WidthBins(1.0).codes(np.full((3, 1), 1e300)).values.tolist() == [[0]] * 3
    for wide in (values, 1e300 * np.ones((2, 1)) * [[1], [2]]):
        with pytest.raises(ValueError, match="too narrow"):
            WidthBins(1e-10).codes(wide)
    close = 1e16 + 2.0 * np.arange(4)[:, None]
    for scheme in (RangeBins(30), QuantileBins(30), WidthBins(1.0)):
        assert binned_information(close, scheme).occupied == 4


@pytest.mark.parametrize("scheme", [FixedBins(EVEN), RangeBins(3), QuantileBins(3), WidthBins(0.1)])
def test_what_is_not_finite_is_refused_by_every_scheme(scheme):
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="NaN or infinite"):
            scheme.codes(np.array([[0.0], [bad]]))
