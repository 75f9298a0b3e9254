import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ntkinfo.data import GaussianPair, gaussian_pair, teacher_gp


def logdet(matrix):
    return np.linalg.slogdet(matrix)[1]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(-0.99, 0.99), min_size=0, max_size=3),
    st.integers(3, 6),
    st.integers(3, 5),
    st.integers(0, 2**32),
)
def test_mutual_information_from_correlations_and_from_determinants(correlations, dx, dy, seed):
    pair = GaussianPair.random(correlations, (dx, dy), seed)
    covariance = pair.covariance
    x, y = covariance[:dx, :dx], covariance[dx:, dx:]
    by_determinants = 0.5 * (logdet(x) + logdet(y) - logdet(covariance))
    assert pair.mutual_information == pytest.approx(by_determinants, rel=1e-10, abs=1e-12)
    singular = np.linalg.svd(pair.cross_covariance, compute_uv=False)[: len(correlations)]
    np.testing.assert_allclose(singular, sorted(np.abs(correlations), reverse=True), rtol=0, atol=1e-12)


def test_known_value():
    assert GaussianPair.random((0.75,), (1, 1)).mutual_information == pytest.approx(0.41334, abs=5e-6)


def test_samples_have_the_stated_covariance():
    pair, n = GaussianPair.random((0.9, -0.5), (3, 2), seed=4), 100_000
    joint = np.concatenate(pair.sample(n, seed=1), axis=1)
    found = joint.T @ joint / n
    c = pair.covariance
    standard_error = np.sqrt((np.diag(c)[:, None] * np.diag(c)[None, :] + c**2) / n)
    assert np.max(np.abs(found - c) / standard_error) < 5


def test_gaussian_dataset():
    data = gaussian_pair(100, 50, seed=3, correlations=(0.8,), dims=(4, 2))
    assert data.x_train.shape == (100, 4)
    assert data.y_test.shape == (50, 2)
    assert data.provenance["mutual_information_x_y_nats"] == pytest.approx(-0.5 * np.log(1 - 0.64))
    assert data.fingerprint == gaussian_pair(100, 50, 3, (0.8,), (4, 2)).fingerprint
    assert data.fingerprint != gaussian_pair(100, 50, 4, (0.8,), (4, 2)).fingerprint
    assert not np.isin(data.x_test, data.x_train).any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gaussian_pair(correlations=(1.0,)), "strictly between -1 and 1"),
        (lambda: gaussian_pair(correlations=(float("nan"),)), "strictly between -1 and 1"),
        (lambda: gaussian_pair(correlations=(0.1, 0.2), dims=(1, 3)), "at most 1"),
        (lambda: gaussian_pair(dims=(0, 3)), r"dims\[0\] is 0"),
        (lambda: gaussian_pair(dims=(3,)), "two dimensions"),
        (lambda: gaussian_pair(n_train=0), "n_train is 0"),
        (lambda: gaussian_pair(n_test=0), "n_test is 0"),
        (lambda: GaussianPair.random().sample(0, 1), "n is 0"),
        (lambda: GaussianPair((0.5,), 2 * np.eye(2), np.eye(2)), "mixing_x is not orthogonal"),
    ],
)
def test_bad_gaussian_pairs(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def rbf(inputs):
    square = np.sum((inputs[:, None, :] - inputs[None, :, :]) ** 2, axis=2)
    return np.exp(-square / 2)


def inputs(n=6, m=4):
    generator = np.random.default_rng(0)
    return generator.normal(size=(n, 2)), generator.normal(size=(m, 2))


def test_teacher_targets_have_the_covariance_of_the_process_plus_noise():
    x_train, x_test = inputs()
    draws, noise = 40_000, 0.3
    data = teacher_gp(rbf, x_train, x_test, noise, draws, seed=2)
    y = np.concatenate([data.y_train, data.y_test])
    expected = rbf(np.concatenate([x_train, x_test])) + noise * np.eye(10)
    standard_error = np.sqrt((np.diag(expected)[:, None] * np.diag(expected)[None, :] + expected**2) / draws)
    assert np.max(np.abs(y @ y.T / draws - expected) / standard_error) < 5
    assert np.max(np.abs(y.mean(axis=1)) / np.sqrt(np.diag(expected) / draws)) < 5


def test_teacher_takes_a_matrix_or_a_function():
    x_train, x_test = inputs()
    by_function = teacher_gp(rbf, x_train, x_test, 0.1, 2, seed=1)
    by_matrix = teacher_gp(rbf(np.concatenate([x_train, x_test])), x_train, x_test, 0.1, 2, seed=1)
    assert by_function.fingerprint == by_matrix.fingerprint


def test_teacher_noise_on_the_training_part_only():
    x_train, x_test = inputs()
    clean, noisy, half = (
        teacher_gp(rbf, x_train, x_test, variance, 1, 1, test)
        for variance, test in ((0.0, True), (0.5, True), (0.5, False))
    )
    assert np.array_equal(half.y_train, noisy.y_train)
    assert np.array_equal(half.y_test, clean.y_test)
    assert not np.array_equal(noisy.y_test, clean.y_test)


def test_a_singular_covariance_gives_equal_targets_for_equal_inputs_and_is_reported():
    x_train, _ = inputs()
    data = teacher_gp(rbf, x_train, x_train[:4], 0.0, 3)
    np.testing.assert_allclose(data.y_test, data.y_train[:4], rtol=0, atol=1e-7)
    assert data.provenance["eigenvalues_set_to_0"] == 4
    assert data.provenance["most_negative_eigenvalue"] <= 0


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (np.eye(9), r"kernel has shape \(9, 9\)"),
        (-np.eye(10), "not positive semidefinite"),
        (np.full((10, 10), np.nan), "kernel holds 100 NaN"),
        (np.eye(10) + np.eye(10, k=1), "not symmetric"),
    ],
)
def test_bad_covariances(kernel, message):
    with pytest.raises(ValueError, match=message):
        teacher_gp(kernel, *inputs())


def test_bad_teacher_arguments():
    with pytest.raises(ValueError, match="noise_variance is -1"):
        teacher_gp(rbf, *inputs(), noise_variance=-1.0)
    with pytest.raises(ValueError, match="n_outputs is 0"):
        teacher_gp(rbf, *inputs(), n_outputs=0)
    with pytest.raises(ValueError, match="hold inputs of shapes"):
        teacher_gp(rbf, np.ones((3, 2)), np.ones((3, 4)))
