"""A teacher that draws targets from the network's own prior."""

import numpy as np
import scipy.stats

import ntkinfo as ni


def test_targets_have_the_network_s_covariance():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(18, 4))
    network = ni.FullyConnected(depth=2, activation="erf", w_std=1.5, b_std=0.2)
    data = ni.data.teacher_gp(ni.network_prior(network), x[:12], x[12:], 0.1, 400, 3)
    blocks = ni.kernel_blocks(network, data)
    covariance = blocks.train.nngp + 0.1 * np.eye(12)
    squared = np.sum(data.y_train * np.linalg.solve(covariance, data.y_train))
    # Standard normal once whitened: a chi-squared number with one degree of freedom a target.
    assert 1e-4 < scipy.stats.chi2.cdf(squared, data.y_train.size) < 1 - 1e-4
    error = np.sqrt((covariance**2 + np.outer(np.diag(covariance), np.diag(covariance))) / 400)
    assert np.all(np.abs(data.y_train @ data.y_train.T / 400 - covariance) < 4.5 * error)


def test_the_prior_s_own_posterior_is_calibrated_on_it():
    """NNGP inference is Bayes' rule for this teacher: standardised test residuals are standard normal."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(50, 3))
    network = ni.FullyConnected(depth=1, activation="relu", w_std=1.4, b_std=0.3)
    data = ni.data.teacher_gp(ni.network_prior(network), x[:30], x[30:], 0.05, 300, 5, noisy_test=False)
    law = ni.output_distribution(ni.kernel_blocks(network, data), data, ni.nngp_posterior(0.05), np.array([np.inf]))
    residual = data.y_test - law.mean[0]
    squared = np.sum(residual * np.linalg.solve(law.covariance(np.inf), residual))
    assert 1e-4 < scipy.stats.chi2.cdf(squared, residual.size) < 1 - 1e-4
