import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import ndtr
from scipy.stats import norm

from ntkinfo.core.arrays import float64
from ntkinfo.information.member_error import error_member
from ntkinfo.information.normal_table import TABLE_ERROR, normal_on_grid


@pytest.mark.parametrize("step", [0.5, 0.25, 1 / 128])
def test_table_against_the_function(step):
    random = np.random.default_rng(0)
    shifts = np.concatenate([random.uniform(-11, 11, size=400), [-11, 11, 0, 1 / 4096, -1 / 4096]])
    for first in (-8.5, -8.5 + step / 2):
        number = int((8.5 - first) / step) + 1
        exact = ndtr(shifts[:, None] + first + step * np.arange(number)[None, :])
        assert np.max(np.abs(normal_on_grid(shifts, first, step, number) - exact)) < TABLE_ERROR


def right_by_quad(gaps):
    """Adaptive quadrature of the same integral, in pieces between the places where a factor turns."""
    points = sorted({float(np.clip(-g, -8, 8)) for g in gaps} | {-3.0, 0.0, 3.0})

    def integrand(u):
        return norm.pdf(u) * np.prod(ndtr(u + np.asarray(gaps)))

    return quad(integrand, -9, 9, points=points, epsabs=1e-13, epsrel=1e-13, limit=400)[0]


@pytest.mark.parametrize("outputs", [3, 10, 40])
@pytest.mark.parametrize("spread", [0.0, 1.0, 6.0, 30.0])
def test_against_adaptive_quadrature(outputs, spread):
    """Overlapping, partly decided and decided outputs; the stated error holds for each input and means something."""
    random = np.random.default_rng(1)
    for _ in range(4):
        mean = spread * random.normal(size=outputs)
        mean[0] = np.max(mean) - random.uniform(-1, 1) * min(spread, 3)
        exact = 1 - right_by_quad(mean[0] - mean[1:])
        result = error_member(2 * mean[None, None, :], np.full((1, 1), 4.0), np.zeros(1, dtype=int))
        assert abs(result.value[0] - exact) <= result.standard_error[0] + 1e-12
        assert result.standard_error[0] < 1e-8


def test_many_inputs_at_once_are_the_average_of_each():
    random = np.random.default_rng(2)
    mean, labels = 4 * random.normal(size=(1, 300, 6)), random.integers(0, 6, size=300)
    variance = 10 ** random.uniform(-3, 1, size=(1, 300))
    whole = error_member(mean, variance, labels)
    single = [error_member(mean[:, i : i + 1], variance[:, i : i + 1], labels[i : i + 1]).value[0] for i in range(300)]
    assert whole.value[0] == pytest.approx(np.mean(single), abs=1e-13)


def test_jax_arrays_use_the_function_itself():
    random = np.random.default_rng(3)
    mean, labels = 2 * random.normal(size=(1, 60, 5)), random.integers(0, 5, size=60)
    variance = random.uniform(0.1, 2, size=(1, 60))
    host = error_member(mean, variance, labels)
    with float64():
        device = error_member(jnp.asarray(mean), jnp.asarray(variance), jnp.asarray(labels))
    assert abs(device.value[0] - host.value[0]) < 4 * TABLE_ERROR
