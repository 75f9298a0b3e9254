"""Decompositions say what they repaired and refuse what is not what it should be."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ntkinfo.core import linear_algebra as la
from ntkinfo.core.arrays import float64, namespace


def gram(n, rank, seed=0):
    features = np.random.default_rng(seed).normal(size=(n, rank))
    return features @ features.T


@given(st.integers(1, 12), st.integers(1, 14), st.integers(0, 10))
@settings(deadline=None, max_examples=40)
def test_spectrum_rebuilds_the_matrix_and_counts_its_rank(n, rank, seed):
    matrix = gram(n, rank, seed)
    result = la.spectrum(matrix)
    rebuilt = result.eigenvectors * result.eigenvalues @ result.eigenvectors.T
    np.testing.assert_allclose(rebuilt, matrix, atol=1e-12 * np.abs(matrix).max())
    assert result.rank == min(n, rank)
    assert np.all(result.eigenvalues[np.asarray(result.null)] == 0)
    assert bool(result.notes("kernel")) == (rank < n)


def test_indefinite_matrices_are_refused():
    with pytest.raises(ValueError, match="not positive semidefinite"):
        la.spectrum(np.diag([-1.0, 2.0]), "the kernel")
    with pytest.raises(ValueError, match="the kernel is not positive definite"):
        la.cholesky(np.diag([0.0, 1.0]), "the kernel")
    with float64(), pytest.raises(ValueError, match="the kernel is not positive definite"):
        la.cholesky(jnp.diag(jnp.asarray([-1.0, 1.0])), "the kernel")


@pytest.mark.parametrize("kind", ["numpy", "jax"])
def test_inverse_logarithms_and_solves(kind):
    with float64():
        matrix = gram(9, 20, 1)
        given_matrix = matrix if kind == "numpy" else jnp.asarray(matrix)
        inverse = la.inverse_definite(given_matrix)
        assert namespace(inverse) is (np if kind == "numpy" else jnp)
        np.testing.assert_allclose(inverse, np.linalg.inv(matrix), rtol=1e-9)
        np.testing.assert_array_equal(np.asarray(inverse), np.asarray(inverse).T)
        lower = la.cholesky(given_matrix)
        assert float(la.Factored(lower).log_determinant) == pytest.approx(np.linalg.slogdet(matrix)[1], rel=1e-12)
        np.testing.assert_allclose(lower @ la.solve_lower(lower, given_matrix), matrix, rtol=1e-9)


def test_gaussian_relative_entropy_by_its_definition():
    """E log p − E log q over draws of p, with its standard error."""
    rng = np.random.default_rng(2)
    mean, covariance, start = rng.normal(size=(4, 2)), gram(4, 9, 3), gram(4, 9, 4)
    value = la.gaussian_relative_entropy(mean, *(la.Factored(la.cholesky(m)) for m in (covariance, start)))
    draws = np.linalg.cholesky(covariance) @ rng.normal(size=(20000, 4, 2)) + mean

    def log_density(middle, matrix):
        moved = draws - middle
        quadratic = np.sum(moved * np.linalg.solve(matrix, moved), axis=(1, 2))
        return -0.5 * (quadratic + 2 * np.linalg.slogdet(2 * np.pi * matrix)[1])

    ratios = log_density(mean, covariance) - log_density(0, start)
    assert abs(value - ratios.mean()) < 4.5 * ratios.std() / np.sqrt(len(ratios))


@pytest.mark.parametrize("n", [1, 5, 193, 500])
@pytest.mark.parametrize("kind", ["numpy", "jax"])
def test_triangular_products_equal_full_ones(n, kind):
    rng = np.random.default_rng(n)
    one, other = np.tril(rng.normal(size=(n, n))), np.tril(rng.normal(size=(n, n)))
    with float64():
        convert = np.asarray if kind == "numpy" else jnp.asarray
        product, square = la.lower_product(convert(one), convert(other)), la.lower_gram(convert(one))
        np.testing.assert_allclose(product, one @ other, atol=1e-12 * n)
        np.testing.assert_allclose(square, one @ one.T, atol=1e-12 * n)
        assert namespace(product) is namespace(square) is (np if kind == "numpy" else jnp)


@pytest.mark.parametrize("shape", [(4, 9), (9, 4)])
def test_log_determinant_of_identity_plus_a_gram_matrix(shape):
    half = np.random.default_rng(3).normal(size=shape)
    for scale in (1.0, 1e-3):
        values = np.linalg.eigvalsh(scale**2 * half @ half.T)
        wanted = np.sum(np.log1p(np.maximum(values, 0)))
        assert la.log_determinant_one_plus(scale * half) == pytest.approx(wanted, rel=1e-9)
    assert la.log_determinant_one_plus(0 * half) == 0
