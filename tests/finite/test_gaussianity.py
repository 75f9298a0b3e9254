"""Statistics of shape: exact means and deviations under normality, and power against what finite width does."""

import numpy as np
import pytest
import scipy.stats

from ntkinfo.finite import gaussianity
from ntkinfo.finite.comparison_moments import sample_moments
from tests.known_comparison import ScaleMixture

RNG = np.random.default_rng(1)


@pytest.mark.parametrize(("members", "inputs", "outputs"), [(40, 3, 2), (64, 4, 10), (30, 4, 1)])
def test_scores_have_mean_zero_under_normality(members, inputs, outputs):
    """The exact means by 1500 ensembles; deviations below and near the large-sample ones."""
    drawn = 3 + RNG.normal(size=(1500, members, inputs, outputs))
    moments, white = sample_moments(drawn, np.zeros((1500, inputs, outputs))), gaussianity.whitened(drawn)
    along = gaussianity.directions(inputs * outputs, 3, 0)
    scores = [
        gaussianity.skewness_scores(moments),
        gaussianity.kurtosis_scores(moments),
        gaussianity.joint_kurtosis_scores(white, outputs),
        *gaussianity.projection_scores(white, along),
    ]
    for score in scores:
        size = len(score)  # one ensemble is one draw, however many inputs it has
        assert abs(score.mean()) < 4 * score.std() / np.sqrt(size)
        assert 0.6 < score.std() < 1.1


def test_joint_kurtosis_is_mardias_up_to_the_mean():
    """One output: the covariance is that of Mardia's statistic, computed here by its definition."""
    drawn = RNG.normal(size=(1, 50, 3, 1)) @ np.ones((1, 1)) * 2 + 1
    rows = drawn[0, :, :, 0]
    distance = np.einsum("mi,ij,mj->m", rows - rows.mean(0), np.linalg.inv(np.cov(rows.T)), rows - rows.mean(0))
    score = gaussianity.joint_kurtosis_scores(gaussianity.whitened(drawn), 1)[0]
    # With the covariance over M − 1 the mean under normality is k(k + 2)(M − 1)³/(M²(M + 1)) exactly (Mardia 1970).
    mean = 15 * 49**3 / (50**2 * 51)
    assert score == pytest.approx((np.mean(distance**2) - mean) / np.sqrt(8 * 15 / 50), rel=1e-9)


def test_whitening_and_projections_do_not_depend_on_scale_or_shift():
    drawn = RNG.normal(size=(2, 40, 3, 2))
    mixed = np.einsum("qr,tmrc->tmqc", np.array([[1, 0, 0], [2, 3, 0], [1, 1, 0.1]]), drawn) + 7
    white, other = gaussianity.whitened(drawn), gaussianity.whitened(mixed)
    np.testing.assert_allclose(other, white, atol=1e-8)
    skewness, kurtosis = gaussianity.projection_scores(white, gaussianity.directions(6, 5, 1))
    seen = white @ gaussianity.directions(6, 5, 1)
    np.testing.assert_allclose(skewness * np.sqrt(6 / 40), scipy.stats.skew(seen, axis=1), atol=1e-12)
    np.testing.assert_allclose(kurtosis * np.sqrt(24 / 40) - 6 / 41, scipy.stats.kurtosis(seen, axis=1), atol=1e-12)


def test_a_scale_that_varies_between_members_is_seen_jointly():
    """E|z|⁴ = k(k + 2)(1 + spread): the score by that, far beyond what single inputs show."""
    mixture, members, size = ScaleMixture(0.05), 4000, 40
    drawn = mixture.draw(RNG, (members, 4, 10))[None]
    score = gaussianity.joint_kurtosis_scores(gaussianity.whitened(drawn), 10)[0]
    wanted = 0.05 * size * (size + 2) / np.sqrt(8 * size * (size + 2) / members)
    assert score == pytest.approx(wanted, rel=0.2)
    single = gaussianity.kurtosis_scores(sample_moments(drawn, np.zeros((1, 4, 10))))
    assert score > 2 * np.abs(single).max()
    skewed = gaussianity.skewness_scores(sample_moments(RNG.exponential(size=(1, 500, 1, 1)), np.ones((1, 1, 1))))
    assert skewed[0, 0] > 8


def test_bad_input():
    with pytest.raises(ValueError, match="too few"):
        gaussianity.whitened(RNG.normal(size=(1, 12, 3, 1)))
    repeated = np.repeat(RNG.normal(size=(1, 40, 1, 1)), 2, axis=2)
    with pytest.raises(ValueError, match="depend on each other"):
        gaussianity.whitened(repeated)
