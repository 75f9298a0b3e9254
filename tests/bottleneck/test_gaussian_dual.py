from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp

from ntkinfo.bottleneck.gaussian import GaussianBottleneck
from ntkinfo.bottleneck.gaussian_dual import GaussianDualBottleneck
from tests.known_variational import DUAL_GAUSSIAN


def scalar(rho):
    return GaussianDualBottleneck(GaussianBottleneck(np.eye(1), np.eye(1), np.array([[rho]])))


def coloured(seed=0, d_x=4, d_y=3, samples=40):
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(samples, d_x + d_y)) @ rng.normal(size=(d_x + d_y, d_x + d_y))
    covariance = mixed.T @ mixed / samples
    return GaussianDualBottleneck(
        GaussianBottleneck(covariance[:d_x, :d_x], covariance[d_x:, d_x:], covariance[:d_x, d_x:])
    )


@pytest.mark.parametrize("known", DUAL_GAUSSIAN, ids=lambda known: known.name)
def test_known_points(known):
    point = scalar(known.correlation).curve(known.beta)
    for name, value in known.answers.items():
        np.testing.assert_allclose(getattr(point, name), value, rtol=1e-12, atol=1e-15, err_msg=name)


def test_critical_beta_is_that_of_the_general_formula():
    """1 / λ_max of p(x) C with C = Cov(log p(y|x), log p(y|x')) under the trivial decoder N(0, S), by sampling."""
    dual, rng = coloured(), np.random.default_rng(1)
    primal = dual.primal
    weights = np.linalg.solve(primal.covariance_x, primal.cross_covariance).T
    noise = primal.covariance_y - weights @ primal.cross_covariance
    # C(x, x') = x' Wᵀ S⁻¹ W x: the eigenvalues of p(x) C on the samples are those of Wᵀ S⁻¹ W times their moments.
    samples = rng.multivariate_normal(np.zeros(4), primal.covariance_x, size=100_000)
    metric = weights.T @ np.linalg.solve(noise, weights)
    eigenvalues = np.linalg.eigvals(metric @ (samples.T @ samples / len(samples))).real
    assert 1 / eigenvalues.max() == pytest.approx(dual.critical_betas[0], rel=0.02)
    np.testing.assert_allclose(dual.critical_betas, primal.critical_betas - 1, rtol=1e-9)


def test_the_encoder_is_the_primal_one_at_beta_plus_one_and_has_the_stated_values():
    dual = coloured()
    for beta in (0.05, 0.4, 3.0, 200.0):
        point, rows = dual.curve(beta), dual.projection(beta)
        given, target = dual.primal.information(rows)
        assert point.information_input == pytest.approx(given, abs=1e-10)
        assert point.information_target == pytest.approx(target, abs=1e-10)
        assert point.distortion == pytest.approx(dual.distortion(rows), rel=1e-9)
        assert dual.primal.frontier(given) == pytest.approx(target, abs=1e-10)
        assert point.directions == len(rows)
        assert point.information_target_dual >= point.information_target


def test_information_under_the_dual_decoder_by_log_determinants():
    dual = coloured()
    gain, noise = dual.decoder(dual.projection(5.0))
    rows = dual.projection(5.0)
    law_t = np.eye(len(rows)) + rows @ dual.primal.covariance_x @ rows.T
    value = 0.5 * np.linalg.slogdet(np.eye(3) + np.linalg.solve(noise, gain @ law_t @ gain.T))[1]
    assert dual.curve(5.0).information_target_dual == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("beta", [0.2, 2.0, 30.0])
def test_direct_minimisation_over_encoder_and_decoder_finds_nothing_better(beta):
    """Encoder, gain and covariance of the decoder all free: objective by definition, from several starts."""
    dual = coloured(3, 3, 2)
    primal = dual.primal
    weights = np.linalg.solve(primal.covariance_x, primal.cross_covariance).T
    noise = primal.covariance_y - weights @ primal.cross_covariance

    def objective(free):
        rows, gain = free[:6].reshape(2, 3), free[6:10].reshape(2, 2)
        lower = np.array([[np.exp(free[10]), 0], [free[11], np.exp(free[12])]])
        covariance = lower @ lower.T
        rate = 0.5 * np.linalg.slogdet(np.eye(2) + rows @ primal.covariance_x @ rows.T)[1]
        lost = weights - gain @ rows
        spread = covariance + lost @ primal.covariance_x @ lost.T + gain @ gain.T
        logs = np.linalg.slogdet(noise)[1] - np.linalg.slogdet(covariance)[1]
        return rate + beta * 0.5 * (np.trace(np.linalg.solve(noise, spread)) - 2 + logs)

    rng, point = np.random.default_rng(0), dual.curve(beta)
    best = float(point.information_input + beta * point.distortion)
    found = min(minimize(objective, rng.normal(size=13), method="BFGS").fun for _ in range(6))
    assert found == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("beta", [0.3, 1.0, 4.0])
def test_self_consistent_iteration_on_a_grid_reaches_the_closed_form(beta):
    """The dual equations on a discretised law, no Gaussian family assumed: T has as many values as X."""
    dual, rho = scalar(0.8), 0.8
    x, y = np.linspace(-4.5, 4.5, 61), np.linspace(-5, 5, 81)
    log_x = -0.5 * x**2
    log_x -= logsumexp(log_x)
    channel = -0.5 * (y[None] - rho * x[:, None]) ** 2 / (1 - rho**2)
    channel -= logsumexp(channel, axis=1, keepdims=True)
    encoder = -0.5 * (x[None] - x[:, None]) ** 2 / 0.3
    for _ in range(1500):
        encoder -= logsumexp(encoder, axis=1, keepdims=True)
        joint = encoder + log_x[:, None]
        marginal = logsumexp(joint, axis=0)
        decoder = np.exp(joint - marginal[None]).T @ channel
        decoder -= logsumexp(decoder, axis=1, keepdims=True)
        negative_entropy = np.sum(np.exp(decoder) * decoder, axis=1)
        distortion = negative_entropy[None] - channel @ np.exp(decoder).T
        encoder = marginal[None] - beta * distortion
    encoder -= logsumexp(encoder, axis=1, keepdims=True)
    law = np.exp(encoder + log_x[:, None])
    rate = np.sum(law * (encoder - marginal[None]))
    point = dual.curve(beta)
    # The plain iteration ends within 1e-3; the grid and its ends cost as little.
    assert rate == pytest.approx(float(point.information_input), abs=3e-3)
    assert np.sum(law * distortion) == pytest.approx(float(point.distortion), abs=3e-3)


def test_no_correlation_and_bad_betas():
    dual = scalar(0.0)
    assert np.isposinf(dual.critical_betas).all()
    assert dual.curve(1e6).information_input == 0
    with pytest.raises(ValueError, match="beta"):
        dual.curve(-1.0)
    with pytest.raises(ValueError, match="beta"):
        dual.projection(np.inf)
    with pytest.raises(ValueError, match="projection"):
        dual.decoder(np.ones((1, 2)))
