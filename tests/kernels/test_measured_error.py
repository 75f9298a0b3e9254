"""Stated errors of convolutional kernels against the recursion in 40 digits."""

import mpmath as mp
import numpy as np
import pytest

import ntkinfo as ni

W, B = 1.3, 0.2
SIDE = 2


def duals(name, q1, q2, c):
    if name == "erf":
        top = mp.sqrt((1 + 2 * q1) * (1 + 2 * q2))
        slope = 4 / (mp.pi * mp.sqrt((1 + 2 * q1) * (1 + 2 * q2) - 4 * c * c))
        return 2 / mp.pi * mp.asin(2 * c / top), slope
    root = mp.sqrt(q1 * q2)
    if root == 0:
        return mp.mpf(0), mp.mpf(1) / 4
    # By the sine, which 60 digits hold at the angles of these tests.
    sine = mp.sqrt(max(q1 * q2 - c * c, mp.mpf(0)))
    angle = mp.atan2(sine, c)
    return (sine + (mp.pi - angle) * c) / (2 * mp.pi), (mp.pi - angle) / (2 * mp.pi)


def pre_activation(one, other, row, column):
    """Covariance of two images' first pre-activations at one pixel, 3 x 3 filters padded with zeros."""
    total = mp.mpf(0)
    for i in range(max(row - 1, 0), min(row + 2, SIDE)):
        for j in range(max(column - 1, 0), min(column + 2, SIDE)):
            total += mp.mpf(float(one[i, j, 0])) * mp.mpf(float(other[i, j, 0]))
    return mp.mpf(W) ** 2 * total / 9 + mp.mpf(B) ** 2


def exact(name, one, other):
    """NNGP and NTK with one hidden convolution and a flattened readout."""
    nngp, ntk = [], []
    for row in range(SIDE):
        for column in range(SIDE):
            q1, q2, c = (pre_activation(*pair, row, column) for pair in ((one, one), (other, other), (one, other)))
            value, slope = duals(name, q1, q2, c)
            nngp.append(value)
            ntk.append(slope * c)
    w, b = mp.mpf(W) ** 2, mp.mpf(B) ** 2
    kernel = w * mp.fsum(nngp) / len(nngp) + b
    return kernel, kernel + w * mp.fsum(ntk) / len(ntk)


def images():
    random = np.random.default_rng(0)
    first = random.uniform(0.1, 1, size=(SIDE, SIDE, 1))
    steps = random.normal(size=(SIDE, SIDE, 1))
    near = [first + size * steps for size in (1e-3, 1e-5, 1e-7, 1e-9)]
    return np.stack([first, *near, 0 * first, 0 * first + 0.5, 3 * first, 1e8 * first[::-1], 1e-8 * first])


@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_stated_error_of_convolutional_kernels_covers_the_true_one(activation):
    inputs = images()
    data = ni.Dataset(inputs, np.arange(10.0)[:, None], inputs[[0, 3]], np.zeros((2, 1)))
    network = ni.Convolutional(depth=1, activation=activation, w_std=W, b_std=B)
    blocks = ni.kernel_blocks(network, data)
    with mp.workdps(60):
        right = [[exact(activation, one, other) for other in inputs] for one in inputs]
        for k, found in enumerate((blocks.train.nngp, blocks.train.ntk)):
            for i in range(10):
                for j in range(10):
                    size = mp.sqrt(right[i][i][k] * right[j][j][k])
                    off = abs(mp.mpf(float(found[i, j])) - right[i][j][k]) / size
                    assert off <= blocks.kernel_error, (k, i, j)
    assert blocks.kernel_error < 1e-6
    # Equal images have the numbers of the training kernel.
    np.testing.assert_array_equal(blocks.test.ntk[:, [0, 3]], blocks.train.ntk[np.ix_([0, 3], [0, 3])])


def test_ordinary_images_lose_rounding_only():
    random = np.random.default_rng(1)
    data = ni.Dataset(
        random.normal(size=(6, 2, 2, 1)), np.arange(6.0)[:, None], random.normal(size=(2, 2, 2, 1)), np.zeros((2, 1))
    )
    blocks = ni.kernel_blocks(ni.Convolutional(depth=1, activation="erf", w_std=W, b_std=B), data)
    assert 1e-16 < blocks.kernel_error < 1e-13
    assert not any("kernels:" in note for note in blocks.notes)
