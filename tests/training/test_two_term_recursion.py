"""Heavy-ball momentum against sixty digits: companion matrices raised to the power k."""

import functools
import itertools

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from ntkinfo.core.arrays import float64
from ntkinfo.training.discrete import GradientDescent, HeavyBall

EPS = np.finfo(np.float64).eps
STEPS = np.array([0, 1, 2, 3, 7, 30, 100, 1000, 10**4, 10**6])
MOMENTA = (0.0, 1e-6, 0.3, 0.9, 0.99, 0.999)


def grid(beta):
    low, high, end = (1 - beta**0.5) ** 2, (1 + beta**0.5) ** 2, 2 + 2 * beta
    near = [1e-14, 1e-8, 1e-4, 0.3 * low, 0.6 * low, low * (1 - 1e-6), low, low * (1 + 1e-6), 1.5 * low]
    far = [1 - beta, 1.0, 1 + beta, 1.2 * (1 + beta), high * (1 - 1e-9), high, 0.99 * high + 0.01 * end, end - 1e-6]
    return np.array([z for z in near + far if 0 < z < end])


@functools.cache
def power(beta, z, k):
    """The residual, its successor and S_k, with the working digits."""
    beta, z = mpmath.mpf(beta), mpmath.mpf(z)
    matrix = mpmath.matrix([[1 + beta - z, -beta], [1, 0]]) ** int(k)
    start = matrix * mpmath.matrix([1, 1])
    return start[0], matrix[1, 0]


@functools.cache
def true_values(beta, z, k):
    """Residual, S_{k+1} and envelope; what one rounding of z and of β does to the first two."""
    with mpmath.workdps(60):
        residual, second = power(beta, z, k)[0], power(beta, z, k + 1)[1]
        envelope = max(abs(residual), abs(power(beta, z, k + 1)[0]), abs(second) * mpmath.sqrt(z * beta))
        moved = []
        for change in (1 - mpmath.mpf(EPS), 1 + mpmath.mpf(EPS)):
            for one, other in ((beta, mpmath.mpf(z) * change), (mpmath.mpf(beta) * change, z)):
                moved.append((power(one, other, k)[0] - residual, power(one, other, k + 1)[1] - second))
        spread = [max(abs(pair[i]) for pair in moved) for i in (0, 1)]
        return residual, second, envelope, spread


def true_energy(beta, z, k):
    with mpmath.workdps(60):
        before, now, total = mpmath.mpf(0), mpmath.mpf(1), mpmath.mpf(0)
        for _ in range(int(k)):
            total += now**2
            before, now = now, (1 + mpmath.mpf(beta) - mpmath.mpf(z)) * now - mpmath.mpf(beta) * before
        return total


@pytest.mark.parametrize("beta", MOMENTA)
def test_residuals_and_their_logarithms_however_small(beta):
    """Errors in units of the envelope, up to 30 times what one rounding of z, of β or of the exponent does."""
    procedure = HeavyBall(step_size=1.0, momentum=beta)
    values, times = grid(beta), STEPS.astype(float)
    logs, compared, underflows = procedure.log_residual(values, times), 0, 0
    for (i, k), (j, z) in itertools.product(enumerate(STEPS), enumerate(values)):
        residual, _, envelope, spread = true_values(beta, z, k)
        if envelope == 0:
            assert logs[i, j] == -np.inf
            compared += 1
            continue
        scale = float(mpmath.log(envelope))
        allowed = 30 * (EPS * (1 + abs(scale)) + float(spread[0] / envelope))
        if allowed > 1e-3:
            continue
        compared, underflows = compared + 1, underflows + (scale < -800)
        scaled = procedure.scaled_residual(values[j : j + 1], np.array([scale]), times[i : i + 1])[0, 0]
        with mpmath.workdps(60):
            true = residual / mpmath.exp(scale)
            assert abs(float(mpmath.mpf(scaled) - true)) <= allowed, (k, z)
            if abs(true) > 10 * allowed:
                error = abs(float(mpmath.mpf(logs[i, j]) - mpmath.log(abs(residual))))
                assert error <= 2 * allowed / abs(float(true)), (k, z)
    assert compared > 0.9 * len(STEPS) * len(values)
    # 0.999 to the power of half a million is still a floating-point number.
    assert underflows >= (10 if 0 < beta <= 0.99 else 2 if beta == 0 else 0)


@pytest.mark.parametrize("beta", MOMENTA)
def test_filter_rate_and_energy(beta):
    procedure = HeavyBall(step_size=1.0, momentum=beta)
    values, times = grid(beta), STEPS.astype(float)
    g, rate, energy = (f(values, times) for f in (procedure.filter, procedure.rate, procedure.energy))
    assert np.all(g[0] == 0)
    assert np.all(energy[0] == 0)
    assert np.all(rate[0] == pytest.approx(1, abs=1e-14))
    for (i, k), (j, z) in itertools.product(enumerate(STEPS[1:], 1), enumerate(values)):
        residual, second, envelope, spread = true_values(beta, z, k)
        with mpmath.workdps(60):
            true = (1 - residual) / mpmath.mpf(z)
            size = abs(true) + envelope / mpmath.mpf(z) * (z > (1 - beta**0.5) ** 2)
            allowed = 30 * (EPS + float(spread[0] / z / size))
            assert abs(float((mpmath.mpf(g[i, j]) - true) / size)) <= allowed, (k, z)
            size = max(abs(second), envelope)
            if size > 1e-280:
                allowed = 30 * (EPS * (1 - float(mpmath.log(size))) + float(spread[1] / size))
                allowed = max(allowed, 30 * EPS)
                assert abs(float((mpmath.mpf(rate[i, j]) - second) / size)) <= allowed, (k, z)
            if k <= 1000:
                true = true_energy(beta, z, k)
                moved = max(abs(true_energy(beta, z * (1 + e), k) / true - 1) for e in (-EPS, EPS))
                assert abs(float(energy[i, j] / true - 1)) <= 1e-13 + 30 * float(moved), (k, z)


def test_nothing_moves_before_the_first_step_and_null_directions_drift():
    procedure = HeavyBall(step_size=0.25, momentum=0.9)
    values, times = np.array([0.0, 1e-300, 1e-3, 0.5, 7.0]), np.array([0.0, 0.2, 0.25, 0.75, 1000.0, np.inf])
    energy, g = procedure.energy(values, times), procedure.filter(values, times)
    np.testing.assert_array_equal(energy[:2], 0.0)
    np.testing.assert_array_equal(g[:2], 0.0)
    np.testing.assert_allclose(energy[2], 0.25, rtol=1e-15)
    null = 0.25 * sum(((1 - 0.9 ** (s + 1)) / (1 - 0.9)) ** 2 for s in range(4000))
    np.testing.assert_allclose(energy[4, :2], null, rtol=1e-12)
    np.testing.assert_array_equal(procedure.residual(values, times)[:, 0], 1.0)
    np.testing.assert_array_equal(procedure.log_residual(values, times)[-1, 1:], -np.inf)
    np.testing.assert_allclose(g[-1], [0.0, *(1 / values[1:])])


def test_without_momentum_it_is_gradient_descent():
    values, times = np.geomspace(1e-8, 1.99, 40), np.array([0.0, 1, 2, 7, 40, 1e4, 1e6, np.inf])
    one, other = HeavyBall(step_size=1.0, momentum=0.0), GradientDescent(step_size=1.0)
    for name in ("filter", "rate", "energy", "residual", "log_residual"):
        found, wanted = getattr(one, name)(values, times), getattr(other, name)(values, times)
        np.testing.assert_allclose(found, wanted, rtol=1e-12, err_msg=name)


def test_jax_arrays_give_the_same_numbers():
    values, times = grid(0.9), STEPS.astype(float)
    procedure = HeavyBall(step_size=1.0, momentum=0.9)
    with float64(), jax.numpy_rank_promotion("raise"):
        for name in ("filter", "rate", "energy", "log_residual"):
            found = getattr(procedure, name)(jnp.asarray(values), jnp.asarray(times))
            wanted = getattr(procedure, name)(values, times)
            np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-9, err_msg=name)
