import numpy as np
import pytest

from ntkinfo.information.output import information_input, information_output, information_target


@pytest.mark.parametrize(("std", "bits"), [(0.5, 0.91282), (1.0, 0.48594), (2.0, 0.16075)])
def test_two_points(std, bits):
    result = information_input(np.array([[-1.0], [1.0]]), np.full(2, std**2))
    assert result.value.value / np.log(2) == pytest.approx(bits, abs=5.1e-6)
    assert result.lower <= result.value.value <= result.upper


def test_all_equal_is_zero():
    for outputs in (1, 3):
        mean, labels = np.ones((40, outputs)), np.arange(40) % 3
        given, target = information_output(mean, np.full(40, 0.3), labels)
        assert abs(given.value.value) < 1e-14
        assert abs(target.value.value) < 1e-14
        assert given.lower == pytest.approx(0, abs=1e-14)
        assert given.upper == pytest.approx(0, abs=1e-14)


def test_noiseless_and_noisy_together():
    """Two equal points, one other point, two identical noisy inputs: Z says which of 2/5, 1/5, 2/5."""
    mean, variance = np.array([[1.0], [1.0], [0.0], [0.0], [0.0]]), np.array([0, 0, 0, 2.0, 2.0])
    entropy = -(0.4 * np.log(0.4) * 2 + 0.2 * np.log(0.2))
    result = information_input(mean, variance)
    assert result.noiseless == 3
    for value in (result.value.value, result.lower, result.upper, result.multisample_lower.value):
        assert value == pytest.approx(entropy, abs=1e-12)
    assert result.multisample_upper.value == np.inf


def test_target_of_separated_classes_is_their_entropy():
    labels = np.array([7, 7, 7, 2])
    mean = np.where(labels == 7, 100.0, 0.0)[:, None] + np.zeros((1, 2))
    result = information_target(mean, np.ones(4), labels)
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert result.ceiling == pytest.approx(entropy, abs=1e-14)
    assert result.value.value == pytest.approx(entropy, abs=1e-12)
