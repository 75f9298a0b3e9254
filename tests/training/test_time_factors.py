"""The low-rank time factors against sums over all eigenvalues at every time."""

import jax.numpy as jnp
import numpy as np
import pytest

from ntkinfo.core.arrays import float64
from ntkinfo.training.discrete import HeavyBall
from ntkinfo.training.procedures import GradientFlow
from ntkinfo.training.time_factors import factor, quadratic_form

RNG = np.random.default_rng(3)
SPECTRA = {
    "bulk and outliers": np.sort(np.concatenate([RNG.uniform(4, 8, 380), RNG.uniform(50, 400, 20)])),
    "sixteen decades": np.sort(10 ** RNG.uniform(-14, 2, 300)),
    "null directions": np.concatenate([np.zeros(40), np.sort(RNG.uniform(1, 2, 160))]),
    "one": np.array([2.0]),
}
TIMES = np.concatenate([[0.0], np.geomspace(1e-5, 1e6, 300), [np.inf]])
PROCEDURES = [GradientFlow(), GradientFlow(ridge=0.1), HeavyBall(step_size=1e-3, momentum=0.8)]


def problem(eigenvalues, inputs=5):
    """B with a diagonal of many decades where the eigenvalues have them; inputs as kernels make them: a ≲ √λ."""
    rng = np.random.default_rng(len(eigenvalues))
    n = len(eigenvalues)
    root = rng.normal(size=(n, n)) / n**0.5 * np.sqrt(eigenvalues + 1e-12)[:, None]
    return root @ root.T, rng.normal(size=(n, inputs)) * np.sqrt(eigenvalues)[:, None]


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("procedure", PROCEDURES, ids=["flow", "ridge", "momentum"])
def test_factors_equal_the_sum_over_all_eigenvalues(name, procedure):
    eigenvalues = SPECTRA[name]
    matrix, inputs = problem(eigenvalues)
    weights = np.random.default_rng(1).normal(size=(len(eigenvalues), 2)) * np.sqrt(eigenvalues)[:, None]
    for values in (procedure.filter, procedure.residual):
        factors, table = factor(values, eigenvalues, TIMES), values(eigenvalues, TIMES)
        few = slice(2, None, 25)
        scaled = table[few, :, None] * inputs[None, :, :]
        exact = np.stack([np.sum(now * (matrix @ now), axis=0) for now in scaled])
        reach = factors.error @ np.abs(inputs * np.sqrt(np.diag(matrix))[:, None])
        bound = 2 * np.sqrt(exact.max(axis=0)) * reach + reach**2 + 1e-13 * exact.max(axis=0)
        found = quadratic_form(factors, matrix, inputs)[few]
        assert np.all(np.abs(found - exact) <= bound[None, :])
        np.testing.assert_allclose(found, exact, rtol=0, atol=1e-11 * exact.max())
        linear = factors.linear(weights, inputs)
        expected = np.stack([now.T @ weights for now in scaled])
        np.testing.assert_allclose(linear.at(few), expected, rtol=0, atol=1e-11 * np.abs(expected).max())


@pytest.mark.parametrize("name", SPECTRA)
def test_the_stated_error_covers_every_value(name):
    eigenvalues = SPECTRA[name]
    for values in (GradientFlow().filter, GradientFlow().residual):
        factors, table = factor(values, eigenvalues, TIMES), values(eigenvalues, TIMES)
        one = np.eye(len(eigenvalues))
        rebuilt = factors.linear(np.ones((len(eigenvalues), 1)), one).at(slice(None))[:, :, 0]
        rounding = 1e-15 * np.abs(table).max(axis=0)
        assert np.all(np.abs(rebuilt - table) <= factors.error[None, :] + 20 * rounding[None, :])
        assert np.all(factors.error <= 1e-13 * np.abs(table).max(axis=0))


def test_times_that_a_spread_of_them_misses_are_fitted_too():
    """All times but a few are the same: directions are taken from them all, not from the spread alone."""
    times = np.concatenate([np.full(500, 1e-9) * (1 + np.arange(500) * 1e-6), [0.1, 0.2, 0.3], np.full(500, 1e4)])
    eigenvalues = SPECTRA["bulk and outliers"]
    factors = factor(GradientFlow().filter, eigenvalues, times)
    rebuilt = np.concatenate([block.modes @ block.courses for block in factors.blocks])
    table = GradientFlow().filter(eigenvalues, times)
    assert np.all(np.abs(rebuilt.T - table) <= 1e-13 * table.max(axis=0)[None, :])


def test_blocks_follow_the_eigenvalues():
    """A gap in the spectrum ends a block, and the bulk needs few directions."""
    factors = factor(GradientFlow().residual, SPECTRA["bulk and outliers"], TIMES)
    assert [block.start for block in factors.blocks[1:]] == [block.stop for block in factors.blocks[:-1]]
    assert factors.blocks[-1].stop == 400
    assert max(block.rank for block in factors.blocks if block.stop <= 256) <= 10


def test_jax_arrays_give_the_same():
    eigenvalues = SPECTRA["bulk and outliers"]
    matrix, inputs = problem(eigenvalues, 40)
    with float64():
        known = quadratic_form(factor(GradientFlow().filter, eigenvalues, TIMES), matrix, inputs)
        values, times = jnp.asarray(eigenvalues), jnp.asarray(TIMES)
        factors = factor(GradientFlow().filter, values, times)
        found = quadratic_form(factors, jnp.asarray(matrix), jnp.asarray(inputs))
        assert not isinstance(found, np.ndarray)
        np.testing.assert_allclose(np.asarray(found), known, atol=1e-12 * known.max())
