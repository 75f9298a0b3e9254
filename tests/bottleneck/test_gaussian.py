from __future__ import annotations

import numpy as np
import pytest

from ntkinfo.bottleneck.gaussian import GaussianBottleneck
from ntkinfo.bottleneck.gaussian_dual import GaussianDualBottleneck
from ntkinfo.data.synthetic import GaussianPair


def scalar(rho):
    return GaussianBottleneck(np.eye(1), np.eye(1), np.array([[rho]]))


def coloured(seed=0, d_x=5, d_y=3, samples=40):
    """A law with full covariances: the second moments of a few random numbers."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(samples, d_x + d_y)) @ rng.normal(size=(d_x + d_y, d_x + d_y))
    covariance = mixed.T @ mixed / samples
    return GaussianBottleneck(covariance[:d_x, :d_x], covariance[d_x:, d_x:], covariance[:d_x, d_x:])


def test_published_point():
    point = scalar(0.8).curve(2.0)
    # rho = 0.8, beta = 2: (1/2) log(16/9) and that less (1/2) log 1.28.
    np.testing.assert_allclose(point.information_input, 0.5 * np.log(16 / 9), rtol=1e-14)
    np.testing.assert_allclose(point.information_target, 0.16425, atol=5e-6)
    np.testing.assert_allclose(point.information_input, 0.28768, atol=5e-6)


def test_nothing_is_kept_up_to_the_critical_beta():
    bottleneck = scalar(0.8)
    np.testing.assert_allclose(bottleneck.critical_betas, [1 / 0.64])
    below = bottleneck.curve(np.array([0.0, 1.0, 1.5, 1.5624]))
    assert not np.any(below.information_input)
    assert not np.any(below.information_target)
    assert bottleneck.projection(1.5).shape == (0, 1)
    above = bottleneck.curve(1.5626)
    assert 0 < above.information_input < 1e-4


def test_correlations_of_a_pair_and_of_coloured_covariances():
    pair = GaussianPair.random((0.3, -0.9, 0.6), (6, 4), seed=1)
    np.testing.assert_allclose(GaussianBottleneck.of(pair).correlations, [0.9, 0.6, 0.3, 0], atol=1e-12)
    assert GaussianBottleneck.of(pair).mutual_information == pytest.approx(pair.mutual_information, rel=1e-12)
    law = coloured()
    given_y = law.covariance_x - law.cross_covariance @ np.linalg.solve(law.covariance_y, law.cross_covariance.T)
    values = np.sort(np.linalg.eigvals(given_y @ np.linalg.inv(law.covariance_x)).real)
    np.testing.assert_allclose(1 - law.correlations**2, values[:3], rtol=1e-9)
    whole = np.block([[law.covariance_x, law.cross_covariance], [law.cross_covariance.T, law.covariance_y]])
    logs = [np.linalg.slogdet(matrix)[1] for matrix in (law.covariance_x, law.covariance_y, whole)]
    assert law.mutual_information == pytest.approx(0.5 * (logs[0] + logs[1] - logs[2]), rel=1e-9)


@pytest.mark.parametrize("law", [scalar(0.8), coloured(), coloured(1, 2, 6)], ids=["scalar", "5x3", "2x6"])
def test_slope_is_one_over_beta_and_inversion_is_exact(law):
    beta = law.critical_betas[0] * np.geomspace(1.001, 1e4, 60)
    points = law.curve(beta)
    np.testing.assert_allclose(law.beta(points.information_input), beta, rtol=1e-9)
    np.testing.assert_allclose(law.frontier(points.information_input), points.information_target, atol=1e-13)
    step = 1e-5
    low, high = (law.frontier(points.information_input + sign * step) for sign in (-1, 1))
    # Central differences: step² times the third derivative, and rounding over the step.
    np.testing.assert_allclose((high - low) / (2 * step), 1 / beta, atol=1e-8)


def test_frontier_is_concave_rises_to_the_mutual_information_and_starts_at_the_squared_correlation():
    law = coloured()
    given = np.linspace(0, 12, 2001)
    heights = law.frontier(given)
    assert heights[0] == 0
    assert np.all(np.diff(heights) > 0)
    assert np.all(np.diff(heights, 2) < 1e-12)
    assert np.all(heights <= np.minimum(given, law.mutual_information))
    assert law.frontier(45.0) == pytest.approx(law.mutual_information, rel=1e-12)
    assert law.frontier(np.inf) == law.mutual_information
    assert law.frontier(1e-9) / 1e-9 == pytest.approx(law.correlations[0] ** 2, rel=1e-6)


@pytest.mark.parametrize("beta", [1.2, 2.0, 7.0, 300.0])
def test_projection_reproduces_the_point_by_log_determinants(beta):
    law = coloured()
    rows, point = law.projection(beta), law.curve(beta)
    assert len(rows) == point.directions
    given, target = law.information(rows)
    assert given == pytest.approx(point.information_input, abs=1e-10)
    assert target == pytest.approx(point.information_target, abs=1e-10)


def test_projection_by_the_formula_with_eigenvectors():
    law, beta = coloured(), 40.0
    given_y = law.covariance_x - law.cross_covariance @ np.linalg.solve(law.covariance_y, law.cross_covariance.T)
    values, vectors = np.linalg.eig((given_y @ np.linalg.inv(law.covariance_x)).T)
    rows = []
    for index in np.argsort(values.real):
        value, v = values[index].real, vectors[:, index].real
        if beta * (1 - value) > 1 + 1e-9:
            rows.append(v * np.sqrt((beta * (1 - value) - 1) / (value * (v @ law.covariance_x @ v))))
    got = law.projection(beta)
    assert len(rows) == len(got)
    np.testing.assert_allclose(np.abs(got), np.abs(rows), rtol=1e-6, atol=1e-8)


def test_no_linear_encoder_lies_above_the_frontier():
    law, rng = coloured(), np.random.default_rng(2)
    slack = []
    for _ in range(3000):
        rows = rng.normal(size=(rng.integers(1, 6), 5)) * np.exp(rng.normal(scale=2))
        given, target = law.information(rows)
        slack.append(law.frontier(given) - target)
    assert min(slack) > -1e-11
    # And perturbing the optimal encoder is worse by an amount that rounding does not explain.
    best = law.projection(8.0)
    given, target = law.information(best + 0.1 * rng.normal(size=best.shape))
    assert law.frontier(given) - target > 1e-6


def test_a_quantised_input_lies_below_the_frontier_too():
    """A non-linear encoder, T = sign(X): I(T;X) = log 2, I(T;Y) by quadrature."""
    from scipy.special import xlogy
    from scipy.stats import norm

    rho = 0.8
    y = np.linspace(-10, 10, 20001)
    up = norm.cdf(rho * y / np.sqrt(1 - rho**2))
    conditional = np.sum(-(xlogy(up, up) + xlogy(1 - up, 1 - up)) * norm.pdf(y)) * (y[1] - y[0])
    assert 0.1 < np.log(2) - conditional < scalar(rho).frontier(np.log(2))


def test_no_correlation_gives_a_flat_frontier():
    law = scalar(0.0)
    assert law.frontier(3.0) == 0
    assert law.curve(1e9).information_input == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"covariance_x": np.ones((2, 2))}, "not those of one law"),
        ({"covariance_x": np.array([[1.0, 0.5], [0.0, 1.0]])}, "not symmetric"),
        ({"cross_covariance": np.zeros((3, 1))}, "must be"),
        ({"cross_covariance": np.array([[1.0], [0.0]])}, "below 1"),
        ({"cross_covariance": np.array([[3.0], [0.0]])}, "below 1"),
        ({"covariance_y": np.array([[np.nan]])}, "NaN"),
    ],
)
def test_bad_covariances(change, message):
    good = {"covariance_x": np.eye(2), "covariance_y": np.eye(1), "cross_covariance": np.array([[0.5], [0.0]])}
    with pytest.raises(ValueError, match=message):
        GaussianBottleneck(**{**good, **change})


def test_beta_beyond_the_largest_number_is_infinite():
    bottleneck = GaussianBottleneck(np.eye(1), np.eye(1), np.array([[0.5]]))
    assert np.isposinf(bottleneck.beta(np.array([1e3, 1e300]))).all()
    assert bottleneck.frontier(1e300) == pytest.approx(bottleneck.mutual_information)


def test_bad_trade_offs():
    with pytest.raises(ValueError, match="beta"):
        scalar(0.5).curve(-1.0)
    with pytest.raises(ValueError, match="beta"):
        scalar(0.5).curve(np.inf)
    with pytest.raises(ValueError, match="information_input"):
        scalar(0.5).frontier(-0.1)


@pytest.mark.parametrize("seed", range(6))
def test_one_hot_targets_count_by_the_rank_of_their_covariance(seed):
    """One column of one-hot targets is a function of the others: leaving it out changes nothing."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(4), rng.integers(4, size=200)])
    x = rng.normal(size=(204, 3)) + 0.5 * rng.normal(size=(4, 3))[labels]
    whole = np.cov(np.concatenate([x, np.eye(4)[labels]], axis=1), rowvar=False)
    law = GaussianBottleneck(whole[:3, :3], whole[3:, 3:], whole[:3, 3:])
    reduced = GaussianBottleneck(whole[:3, :3], whole[3:6, 3:6], whole[:3, 3:6])
    assert law.left_out == (0, 1)
    assert law.notes == ("1 direction(s) in which Y does not vary left out",)
    assert reduced.notes == ()
    np.testing.assert_allclose(law.correlations, reduced.correlations, atol=1e-12)
    assert law.mutual_information == pytest.approx(reduced.mutual_information, rel=1e-10)
    rows = reduced.projection(20.0)
    np.testing.assert_allclose(law.information(rows), reduced.information(rows), rtol=1e-10)
    first, second = (GaussianDualBottleneck(one).distortion(rows) for one in (law, reduced))
    assert first == pytest.approx(second, rel=1e-9)
    # The same for inputs: a constant column, a copy in other units.
    more = np.concatenate([x, 0 * x[:, :1] + 3.0, 1e6 * x[:, :1]], axis=1)
    whole = np.cov(np.concatenate([more, np.eye(4)[labels]], axis=1), rowvar=False)
    wide = GaussianBottleneck(whole[:5, :5], whole[5:, 5:], whole[:5, 5:])
    assert wide.left_out == (2, 1)
    np.testing.assert_allclose(wide.correlations, reduced.correlations, atol=1e-11)
    point = reduced.curve(20.0)
    np.testing.assert_allclose(
        wide.information(wide.projection(20.0)), [point.information_input, point.information_target]
    )


def test_covariances_of_no_law_are_refused():
    with pytest.raises(ValueError, match="not positive semidefinite"):
        GaussianBottleneck(np.array([[1.0, 2.0], [2.0, 1.0]]), np.eye(1), np.zeros((2, 1)))
    with pytest.raises(ValueError, match="not those of one law"):
        GaussianBottleneck(np.ones((2, 2)), np.eye(1), np.array([[0.5], [-0.5]]))
    with pytest.raises(ValueError, match="diagonal"):
        GaussianBottleneck(np.zeros((2, 2)), np.eye(1), np.zeros((2, 1)))


def test_a_cross_covariance_along_what_does_not_vary_is_seen_in_its_own_units():
    """The first pair of columns is a million times smaller than the others."""
    x, cross = np.diag([1e-6, 1e-6, 1.0]), np.zeros((3, 2))
    x[0, 1] = x[1, 0] = 1e-6
    cross[:, 0] = [3e-10, 3e-10, 0.2]
    y = np.diag([1e-6, 1.0])
    cross[2, 0] = 2e-4
    assert GaussianBottleneck(x, y, cross).left_out == (1, 0)
    cross[1, 0] = 1e-10
    with pytest.raises(ValueError, match="not those of one law"):
        GaussianBottleneck(x, y, cross)
