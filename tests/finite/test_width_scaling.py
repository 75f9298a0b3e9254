"""Discrepancies without noise in them, their errors, and exponents with honest intervals."""

import numpy as np
import pytest

from ntkinfo.finite.comparison_discrepancies import Measured, discrepancies, square_of_mean
from ntkinfo.finite.comparison_members import LawMembers
from ntkinfo.finite.width_scaling import PREDICTIONS, judge, width_scaling
from tests.finite.test_comparison import LAW
from tests.known_comparison import ScaleMixture

RNG = np.random.default_rng(2)
WIDTHS = np.array([32, 64, 128, 256, 512])


@pytest.mark.parametrize("offset", [0.0, 0.05, 0.5])
def test_square_of_a_mean_and_its_error(offset):
    """Unbiased at no, little and much signal, correlated numbers; the stated error is the spread."""
    root = 0.7 * RNG.normal(size=(20, 20)) / np.sqrt(20) + 0.02
    found = np.array([square_of_mean(offset + RNG.normal(size=(24, 20)) @ root) for _ in range(1500)])
    spread = found[:, 0].std()
    assert abs(found[:, 0].mean() - offset**2) < 4 * spread / np.sqrt(1500)
    assert np.sqrt(np.mean(found[:, 1] ** 2)) == pytest.approx(spread, rel=0.3)


def departed(random, members, shift, stretch, spread=0.0):
    """Members of the law with mean, variance and fourth cumulant moved by known amounts, at every time alike."""
    mean, deviation = np.asarray(LAW.mean), np.sqrt(np.asarray(LAW.variance))
    draw = LawMembers(LAW).draw(int(random.integers(2**31)), members)["test"]
    scale = random.gamma(1 / spread, spread, size=members) if spread else np.ones(members)
    left = (draw - mean[:, None]) * np.sqrt(scale * stretch)[None, :, None, None]
    return mean[:, None] + left + shift * deviation[:, None, :, None]


def test_discrepancies_of_known_departures():
    """Shift a, variance factor b, scale mixture: squares a², (b − 1)², (3 b² spread)², and the relative entropy."""
    shift, stretch, spread = 0.3, 1.2, 0.2
    rows = [discrepancies(departed(RNG, 240, shift, stretch, spread), LAW) for _ in range(30)]
    entropy = 0.5 * 2 * (stretch - 1 - np.log(stretch) + shift**2)
    wanted = {"mean": shift**2, "variance": (stretch - 1) ** 2, "kurtosis": (3 * stretch**2 * spread) ** 2}
    for name, truth in {**wanted, "divergence": entropy}.items():
        values = np.array([row[name].value for row in rows])
        errors = np.array([row[name].standard_error for row in rows])
        assert abs(values.mean() - truth) < 4 * values.std() / np.sqrt(30), name
        assert np.sqrt(np.mean(errors**2)) == pytest.approx(values.std(), rel=0.6), name


def test_the_start_of_members_makes_the_mean_precise():
    """Members of the law shifted by a little: without their start the shift drowns, with it the square is exact."""
    drawn = LawMembers(LAW).draw(4, 48)
    shift = 0.01 * np.sqrt(np.asarray(LAW.variance))[:, None, :, None]
    test = np.concatenate([drawn["test"][:1], (drawn["test"] + shift)[1:]])
    assert discrepancies(test, LAW)["mean"].standard_error > 1e-3
    found = discrepancies(test, LAW, train=drawn["train"])["mean"]
    assert found.value == pytest.approx(1e-4, rel=1e-6)
    # With a spread of its own the shift has an error again.
    random = np.random.default_rng(1)
    rows = [
        discrepancies(test + 0.1 * shift * 10 * random.normal(size=test.shape), LAW, train=drawn["train"])["mean"]
        for _ in range(40)
    ]
    values = np.array([row.value for row in rows])
    assert abs(values.mean() - 1e-4) < 4 * values.std() / np.sqrt(40) + 2e-6


def test_nothing_is_found_where_there_is_nothing():
    rows = [discrepancies(departed(RNG, 64, 0.0, 1.0), LAW) for _ in range(60)]
    for name in ("mean", "variance", "kurtosis", "divergence"):
        scores = np.array([row[name].value / row[name].standard_error for row in rows])
        assert abs(scores.mean()) < 4 / np.sqrt(60) + 0.25, name
        assert np.mean(np.abs(scores) > 3) < 0.1, name


def test_averages_over_members():
    outputs = departed(RNG, 40, 0.0, 1.0)
    drift, start = RNG.random((3, 40)), RNG.random(40)
    found = discrepancies(outputs, LAW, linearised=outputs + 0.1, kernel_drift=drift, kernel_start_error=start)
    assert found["kernel start"].value == pytest.approx(np.mean(start**2))
    assert found["kernel drift"].value == pytest.approx(np.mean(drift[1:] ** 2))
    assert found["kernel drift"].standard_error == pytest.approx(np.std(np.mean(drift[1:] ** 2, 0), ddof=1) / 40**0.5)
    assert found["linearised twin"].value == pytest.approx(np.mean(0.01 / np.asarray(LAW.variance)[1:]))


def measured(power, noise, random, correction=0.0):
    value = 3 * (WIDTHS + correction) ** -power
    error = 0.03 * value + noise
    return {
        int(w): {"mean": Measured(float(v + e * random.normal()), float(e), 99)}
        for w, v, e in zip(WIDTHS, value, error, strict=True)
    }


def test_exponents_lie_in_their_intervals():
    """Pure powers and shifted ones, signal and noise: at least 95 % of the intervals hold the truth."""
    for correction in (0.0, 20.0, -10.0):
        fits = [width_scaling(measured(2.0, 3e-6, RNG, correction))[0] for _ in range(60)]
        inside = [fit.interval[0] <= 1.0 <= fit.interval[1] for fit in fits]
        assert np.mean(inside) > 0.88
        assert np.median([fit.interval[1] - fit.interval[0] for fit in fits]) < 0.35
        assert judge(fits).count("consistent") > 55


def test_another_exponent_is_told_apart():
    fits = [width_scaling(measured(1.0, 1e-5, RNG))[0] for _ in range(20)]
    assert judge(fits) == ["not consistent"] * 20
    assert np.mean([fit.exponent for fit in fits]) == pytest.approx(0.5, abs=0.06)


def test_kinks_allow_what_lies_between():
    """Exponents from 1/2 to 1 are consistent where the gradient jumps, and 1/4 is not."""
    for power, said in ((1.0, "consistent"), (1.5, "consistent"), (2.0, "consistent"), (0.5, "not consistent")):
        fits = [width_scaling(measured(power, 1e-5 if power < 2 else 3e-6, RNG), kinks=True)[0] for _ in range(20)]
        assert judge(fits).count(said) >= 18, power
    assert fits[0].expected == (0.5, 1.0)
    assert PREDICTIONS["kernel start"].expected(kinks=True) == (0.5, 0.5)


def test_noise_alone_decides_nothing():
    fits = [
        width_scaling({int(w): {"mean": Measured(1e-4 * RNG.normal(), 1e-4, 99)} for w in WIDTHS})[0] for _ in range(40)
    ]
    assert sum(np.isnan(fit.exponent) for fit in fits) >= 38
    assert set(judge([fit for fit in fits if np.isnan(fit.exponent)])) == {"undecided"}
    wide = width_scaling({int(w): {"mean": Measured(float(3 / w**2), float(0.4 / w**2 + 1e-4), 99)} for w in WIDTHS})[0]
    assert judge([wide]) == ["undecided"]


def test_a_discrepancy_is_fitted_over_the_widths_that_have_it():
    given = measured(2.0, 1e-9, RNG)
    more = {width: row | ({"variance": row["mean"]} if width != 128 else {}) for width, row in given.items()}
    few = {width: row | ({"kurtosis": row["mean"]} if width > 128 else {}) for width, row in given.items()}
    mean, variance = width_scaling(more)
    np.testing.assert_array_equal(mean.widths, WIDTHS)
    np.testing.assert_array_equal(variance.widths, [32, 64, 256, 512])
    alone = width_scaling({w: row for w, row in given.items() if w != 128})[0]
    assert (variance.exponent, variance.interval) == (alone.exponent, alone.interval)
    assert [one.name for one in width_scaling(few)] == ["mean"]


def test_curve_and_sizes():
    fit = width_scaling(measured(2.0, 1e-9, RNG))[0]
    np.testing.assert_allclose(fit.curve(WIDTHS), np.sqrt(3) / WIDTHS, rtol=0.1)
    np.testing.assert_allclose(fit.size, np.sqrt(fit.value))
    assert np.all(fit.noise < fit.size)
    assert fit.prediction is PREDICTIONS["mean"]


def test_bad_input():
    one = {"mean": Measured(1.0, 0.1, 9)}
    with pytest.raises(ValueError, match="at least 3"):
        width_scaling({8: one, 16: one})
    with pytest.raises(ValueError, match="standard error"):
        width_scaling({8: one, 16: one, 32: {"mean": Measured(1.0, 0.0, 9)}})
    with pytest.raises(ValueError, match="too few"):
        discrepancies(departed(RNG, 20, 0.0, 1.0), LAW)


def test_scale_mixture_is_what_it_says():
    drawn = ScaleMixture(0.2).draw(RNG, (200_000, 1, 1)).ravel()
    assert np.mean(drawn**4) - 3 * np.mean(drawn**2) ** 2 == pytest.approx(0.6, abs=0.08)
