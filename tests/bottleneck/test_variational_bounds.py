from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, logsumexp
from scipy.stats import norm

from ntkinfo.bottleneck.gaussian import GaussianBottleneck
from ntkinfo.bottleneck.variational_bounds import BoundSettings, Measurement, calibration_error
from ntkinfo.bottleneck.variational_modules import GaussianNetwork, LinearGaussian, Marginal, VariationalModel
from ntkinfo.bottleneck.variational_targets import ClassTargets, RealTargets
from ntkinfo.core.arrays import float64
from ntkinfo.data.icosahedral_rule import COEFFICIENTS, THRESHOLD, twelve_bit_rule
from tests.known_answers import TWO_POINTS
from tests.known_variational import matched_pair, scalar_encoding


class Scale(eqx.Module):
    """z = factor · x, with one standard deviation."""

    factor: float
    std: float

    def __call__(self, row):
        return self.factor * row, self.std * jnp.ones_like(row)


class Logits(eqx.Module):
    slope: float

    def __call__(self, z):
        return jnp.stack([-self.slope * z[0], self.slope * z[0]])


def points(inputs, labels, model, draws=8, **options):
    targets = ClassTargets.of_labels(inputs, labels, int(labels.max()) + 1)
    return Measurement(targets, targets.prior, BoundSettings(draws=draws, **options))(model)


def test_two_points_behind_noise_one():
    """Z = ±1 + noise, Y = X: 0.48594 bits; the posterior 1 / (1 + exp(-2z)) makes the lower bound exact."""
    inputs, labels = np.repeat([[-1.0], [1.0]], 2000, axis=0), np.repeat([0, 1], 2000)
    model = VariationalModel(Scale(1.0, 1.0), Logits(1.0), GaussianNetwork(2, 1, 1, 0))
    found = points(inputs, labels, model, draws=16, most_inputs=400)
    # The 400 inputs chosen may split unevenly: 4 ‰ of a nat at most; draws have their own error.
    for name in ("information_input", "information_target", "information_target_lower"):
        error = found[f"{name}_standard_error"]
        assert abs(found[name] - TWO_POINTS) < 4 * error + 0.004, name
        assert error < 0.01
    probabilities = np.eye(2)[[0, 1]]
    exact = scalar_encoding(np.array([-1.0, 1]), np.ones(2), probabilities, lambda z: norm.logpdf(z))
    assert exact.information_input == pytest.approx(TWO_POINTS, abs=1e-9)


def test_limits_points_apart_and_all_alike():
    inputs, labels = np.arange(50.0)[:, None], np.arange(50) % 2
    reverse = GaussianNetwork(2, 1, 1, 0)
    apart = points(inputs, labels, VariationalModel(Scale(1.0, 1e-3), Logits(1.0), reverse))
    assert apart["information_input"] == pytest.approx(np.log(50), rel=1e-9)
    assert apart["information_target"] == pytest.approx(np.log(2), rel=1e-9)
    # Left out, an input is improbable under all others.
    assert apart["information_input_multisample_upper"] > 1e4
    alike = points(inputs, labels, VariationalModel(Scale(0.0, 1.0), Logits(1.0), reverse))
    for name in ("information_input", "information_target", "information_input_multisample_upper"):
        assert alike[name] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
def test_twelve_bits_by_quadrature(seed):
    """All 4096 patterns with soft labels, a random encoder to one number: every quantity by a sum over z."""
    rule = twelve_bit_rule()
    ones, adjacent, antipodal = rule.classes.T
    score = np.stack([ones, ones**2, adjacent, antipodal], axis=1) @ np.array(COEFFICIENTS)
    positive = expit(0.15 * (score - THRESHOLD + 0.5))
    targets = ClassTargets(2.0 * rule.patterns - 1, np.stack([1 - positive, positive], axis=1))
    encoder = GaussianNetwork(12, 1, 16, 1, seed=seed, floor=0.05)
    with float64():
        decoder = eqx.nn.MLP(1, 2, 8, 1, key=jax.random.key(seed))
        mean, std = (np.asarray(part)[:, 0] for part in jax.vmap(encoder)(jnp.asarray(targets.inputs)))
    for reverse in (Marginal(1), GaussianNetwork(2, 1, 1, 0, seed=3)):
        model = VariationalModel(encoder, decoder, reverse)
        with float64():
            back = [tuple(np.asarray(p) for p in reverse(jnp.asarray(row))) for row in np.eye(2)]

        def log_marginal(z, back=back):
            parts = [np.log(p) + norm.logpdf(z, *law) for p, law in zip(targets.prior, back, strict=True)]
            return logsumexp(parts, axis=0)

        exact = scalar_encoding(mean, std, np.asarray(targets.probabilities), log_marginal)
        found = Measurement(targets, targets.prior, BoundSettings(draws=2, most_inputs=4096))(model)
        for name, value in (
            ("information_input", exact.information_input),
            ("information_target", exact.information_target),
            ("information_input_upper", exact.rate),
        ):
            assert abs(found[name] - value) < 4.5 * found[f"{name}_standard_error"] + 1e-6, name
        assert exact.rate >= exact.information_input
        lower, error = found["information_target_lower"], found["information_target_lower_standard_error"]
        assert lower <= exact.information_target + 4.5 * error
        upper = found["information_input_multisample_upper"]
        assert upper >= exact.information_input - 4.5 * found["information_input_multisample_upper_standard_error"]
        residual = exact.information_input - exact.information_target
        assert found["information_residual_upper"] >= residual


def test_gaussian_law_with_linear_parts():
    """Best decoder and marginal of a linear encoder make both bounds exact; worse ones do not cross the exact value."""
    correlations = (0.9, 0.6)
    x, y = matched_pair(correlations, 4, 800)
    law = GaussianBottleneck(np.eye(4), np.eye(2), x.T @ y / 800)
    rows = np.random.default_rng(0).normal(size=(2, 4))
    given, target = law.information(rows)
    entropy = float(np.log(2 * np.pi * np.e))
    covariance = np.eye(2) + rows @ rows.T
    gain = np.linalg.solve(covariance, rows @ law.cross_covariance).T
    spread = np.sqrt(np.diag(np.eye(2) - gain @ covariance @ gain.T))
    spare = np.sum(np.log(spread)) - 0.5 * np.linalg.slogdet(np.eye(2) - gain @ covariance @ gain.T)[1]
    with float64():
        encoder = eqx.tree_at(lambda m: m.weight, LinearGaussian(4, 2), jnp.asarray(rows))
        decoder = eqx.tree_at(
            lambda m: (m.weight, m.log_std), LinearGaussian(2, 2), (jnp.asarray(gain), jnp.log(jnp.asarray(spread)))
        )
        wide = jnp.asarray(0.5 * np.log(np.diag(covariance)))
        marginal = eqx.tree_at(lambda m: m.log_std, Marginal(2), wide)
    targets = RealTargets(x, y, entropy=entropy)
    settings = BoundSettings(draws=32, most_inputs=800)
    found = Measurement(targets, targets.prior, settings)(VariationalModel(encoder, decoder, marginal))
    # A diagonal r(z) and q(y|z) cost what independence costs: the gaps are those of log-determinants.
    loose = given + 0.5 * (np.sum(np.log(np.diag(covariance))) - np.linalg.slogdet(covariance)[1])
    assert found["information_input_upper"] == pytest.approx(loose, rel=1e-9)
    error = found["information_target_lower_standard_error"]
    assert abs(found["information_target_lower"] - (target - spare)) < 4 * error
    # Bounds for the population hold on average over samples of x, whose own error is about 0.03 here.
    assert found["information_input"] < given + 0.1
    assert found["information_input_multisample_upper"] > given - 0.1
    frontier = float(law.frontier(found["information_input_upper"]))
    assert found["information_target_lower"] < frontier
    worse = Measurement(targets, targets.prior, settings)(
        VariationalModel(encoder, LinearGaussian(2, 2, seed=3), LinearGaussian(2, 2, seed=4))
    )
    assert worse["information_input_upper"] > given
    assert worse["information_target_lower"] < target
    assert worse["information_residual_upper"] > given - target
    assert "information_target_lower" not in Measurement(RealTargets(x, y), y, settings)(
        VariationalModel(encoder, decoder, marginal)
    )


def test_calibration_error_by_hand():
    confidence = np.array([0.95, 0.95, 0.95, 0.95, 0.55, 0.55, 1.0])
    right = np.array([1.0, 1, 1, 0, 1, 0, 1])
    # 0.95 and 1 share the last of 15 bins: confidences 4.8, right 4; 0.55: 1.1 and 1.
    assert calibration_error(confidence, right) == pytest.approx((0.8 + 0.1) / 7)


def test_predictions_average_over_draws_and_error_counts_probabilities():
    inputs = np.array([[-1.0], [1.0], [1.0]])
    targets = ClassTargets(inputs, np.array([[1.0, 0], [0.2, 0.8], [0.9, 0.1]]))
    model = VariationalModel(Scale(1.0, 1e-9), Logits(2.0), Marginal(1))
    found = Measurement(targets, targets.prior, BoundSettings(draws=3))(model)
    assert found["error"] == pytest.approx((0 + 0.2 + 0.9) / 3)
    high, low = -np.log(expit(4.0)), -np.log(expit(-4.0))
    wanted = (high + (0.2 * low + 0.8 * high) + (0.9 * low + 0.1 * high)) / 3
    assert found["negative_log_likelihood"] == pytest.approx(wanted, rel=1e-6)
    assert found["cross_entropy"] == pytest.approx(wanted, rel=1e-6)
