"""One observation, and targets that are all alike: the closed forms of a Gaussian process with one input."""

import numpy as np
import pytest

import ntkinfo as ni
from ntkinfo.core.progress import silent

X = np.array([[0.3, -1.0], [0.5, 0.2], [1.0, 1.0]])


def one_hidden_erf_layer():
    """NNGP and NTK with w_std 1.5 and b_std 0.1, written out (Williams 1997)."""
    s = 2.25 * X @ X.T / 2 + 0.01
    q = 1 + 2 * np.diag(s)
    k = 2.25 * 2 / np.pi * np.arcsin(2 * s / np.sqrt(np.outer(q, q))) + 0.01
    return k, k + 2.25 * 4 / np.pi / np.sqrt(np.outer(q, q) - 4 * s * s) * s


@pytest.mark.parametrize(("time", "ridge"), [(0.3, 0.0), (np.inf, 0.0), (np.inf, 0.5)])
def test_one_observation_moves_the_whole_law_as_the_closed_form_says(time, ridge):
    k, t = one_hidden_erf_layer()
    rate = t[0, 0] + ridge
    factor = t[1:, 0] / rate * (1 - np.exp(-rate * time))
    data = ni.Dataset(X[:1], np.array([[2.0]]), X[1:], np.zeros((2, 1)))
    blocks = ni.kernel_blocks(ni.FullyConnected(depth=1, activation="erf"), data)
    law = ni.output_distribution(blocks, data, ni.GradientFlow(ridge=ridge), np.array([time]))
    np.testing.assert_allclose(np.asarray(law.mean)[0, :, 0], factor * 2.0, rtol=1e-12)
    variance = np.diag(k)[1:] - 2 * factor * k[1:, 0] + factor**2 * k[0, 0]
    np.testing.assert_allclose(np.asarray(law.variance)[0], variance, rtol=1e-12)


def test_curves_of_one_observation_and_of_targets_that_are_all_alike():
    network, times = ni.FullyConnected(depth=1, activation="erf"), np.array([0.0, 1.0])
    for n in (1, 2):
        data = ni.Dataset(X[:n], np.full((n, 1), 0.1), X[n:], np.zeros((3 - n, 1)))
        curves = ni.information_curves(network, data, times, progress=silent)
        assert np.all(curves.information_target.values == 0)  # targets that do not vary tell nothing of the output
        t = one_hidden_erf_layer()[1]
        residual = np.full(n, 0.1) - _mean(t[:n, :n], n)
        np.testing.assert_allclose(curves.loss_mean.sel(split="train").values[1] * 2, np.mean(residual**2), rtol=1e-9)


def _mean(t, n):
    values, vectors = np.linalg.eigh(t)
    return vectors @ ((1 - np.exp(-values)) * (vectors.T @ np.full(n, 0.1)))
