"""Fully connected kernels at every size and angle: recursions in 60 digits (mpmath), written without the package."""

from dataclasses import replace

import mpmath
import numpy as np
import pytest

import ntkinfo as ni
from ntkinfo.core.records import Dataset
from ntkinfo.kernels.activations import LeakyRelu
from tests.kernels import image_truth

EDGES = [(norm, angle, ratio) for norm in (1e-8, 1.0, 1e2, 1e8) for angle in (1e-8, 1e-3) for ratio in (1.0, 2.0, -1.0)]


def pairs():
    """Rows of pairs, one after the other."""
    rng = np.random.default_rng(0)
    rows = []
    for norm, angle, ratio in EDGES:
        x, across = rng.standard_normal((2, 3))
        x /= np.linalg.norm(x)
        across -= (across @ x) * x
        rows += [norm * x, norm * ratio * (x + angle * across / np.linalg.norm(across))]
    return np.array(rows)


def relu(c, q1, q2):
    size = mpmath.sqrt(q1 * q2)
    angle = mpmath.acos(max(-1, min(1, c / size)))
    return (size * mpmath.sin(angle) + (mpmath.pi - angle) * c) / (2 * mpmath.pi), (mpmath.pi - angle) / (2 * mpmath.pi)


def erf(c, q1, q2):
    size = (1 + 2 * q1) * (1 + 2 * q2)
    return 2 / mpmath.pi * mpmath.asin(2 * c / mpmath.sqrt(size)), 4 / mpmath.pi / mpmath.sqrt(size - 4 * c * c)


def sine(c, q1, q2):
    scale = mpmath.exp(-(q1 + q2) / 2)
    return scale * mpmath.sinh(c), scale * mpmath.cosh(c)


def recursion(dual, x, y, depth, w_std, b_std):
    w, b = mpmath.mpf(w_std) ** 2, mpmath.mpf(b_std) ** 2

    def product(u, v):
        return w * mpmath.fsum(mpmath.mpf(float(i)) * mpmath.mpf(float(j)) for i, j in zip(u, v, strict=True)) / 3 + b

    q1, q2, c = product(x, x), product(y, y), product(x, y)
    t = c
    for _ in range(depth):
        k, slope = dual(c, q1, q2)
        q1, q2 = (w * dual(q, q, q)[0] + b for q in (q1, q2))
        c = w * k + b
        t = c + w * slope * t
    return c, t


@pytest.mark.parametrize("dual", [relu, erf, sine], ids=lambda dual: dual.__name__)
@pytest.mark.parametrize("depth", [1, 6])
def test_kernels_keep_their_digits_at_every_size_and_angle(dual, depth):
    x = pairs()
    data = Dataset(x, np.arange(float(len(x)))[:, None], x[:4], np.ones((4, 1)))
    with mpmath.workdps(60):
        for b_std in (0.1, 0.0):
            blocks = ni.kernel_blocks(ni.FullyConnected(depth, dual.__name__, 1.5, b_std), data)
            assert blocks.kernel_error < 2e-13
            for i in range(0, len(x), 2):
                want = recursion(dual, x[i], x[i + 1], depth, 1.5, b_std)
                for kernel, value in zip((blocks.train.nngp, blocks.train.ntk), want, strict=True):
                    size = np.sqrt(kernel[i, i]) * np.sqrt(kernel[i + 1, i + 1])
                    assert abs(kernel[i, i + 1] - float(value)) <= 2e-13 * size, EDGES[i // 2]


def leaky(slope):
    def dual(c, q1, q2):
        return image_truth.leaky(slope)(q1, q2, c)

    return dual


def gelu(c, q1, q2):
    d = q1 * q2 - c * c
    whole = 1 + q1 + q2 + d
    orthant = mpmath.atan2(mpmath.sqrt(whole), -c) / (2 * mpmath.pi)
    density, both = 1 / (2 * mpmath.pi * mpmath.sqrt(whole)), 1 / (1 + q1) + 1 / (1 + q2)
    return c * orthant + density * (d + c * c * both), orthant + density * c * (both + 1 / whole)


@pytest.mark.parametrize(
    ("activation", "dual", "depth"),
    [
        ("identity", lambda c, q1, q2: (c, mpmath.mpf(1)), 3),
        ("leaky_relu", leaky(0.01), 1),
        ("leaky_relu", leaky(0.01), 20),
        (LeakyRelu(-1.0), leaky(-1), 2),  # the absolute value: x and -x are one input without biases
        (LeakyRelu(3.0), leaky(3), 2),
        ("relu", relu, 20),
        ("erf", erf, 20),
        ("sine", sine, 20),
        ("gelu", gelu, 20),
    ],
    ids=lambda value: "dual" if callable(value) else str(value),
)
def test_other_functions_and_deep_networks_keep_their_digits(activation, dual, depth):
    x = pairs()
    data = Dataset(x, np.arange(float(len(x)))[:, None], x[:4], np.ones((4, 1)))
    with mpmath.workdps(60):
        for b_std in (0.1, 0.0):
            blocks = ni.kernel_blocks(ni.FullyConnected(depth, activation, 1.5, b_std), data)
            assert blocks.kernel_error < 2e-13
            for i in range(0, len(x), 4 if depth == 20 else 2):
                want = recursion(dual, x[i], x[i + 1], depth, 1.5, b_std)
                for kernel, value in zip((blocks.train.nngp, blocks.train.ntk), want, strict=True):
                    size = np.sqrt(kernel[i, i]) * np.sqrt(kernel[i + 1, i + 1])
                    # Beside the stated error the rounding of the value itself.
                    assert abs(kernel[i, i + 1] - float(value)) <= (blocks.kernel_error + 1e-15) * size, EDGES[i // 2]


@pytest.mark.parametrize("activation", ["relu", "erf", "gelu", "tanh"])
def test_equal_inputs_have_one_value_in_every_block(activation):
    x = np.random.default_rng(1).standard_normal((9, 4)) * 30
    x[5] = x[2]
    data = Dataset(x, np.arange(9.0)[:, None], x[[2, 7]], np.ones((2, 1)))
    blocks = ni.kernel_blocks(ni.FullyConnected(2, activation), data)
    for train, test, diagonal in (
        (blocks.train.nngp, blocks.test.nngp, blocks.test.nngp_diagonal),
        (blocks.train.ntk, blocks.test.ntk, blocks.test.ntk_diagonal),
    ):
        assert train[2, 2] == train[5, 2] == train[5, 5] == test[0, 2] == test[0, 5] == diagonal[0]
        assert test[1, 7] == diagonal[1] == train[7, 7]


def average(power, q, cuts):
    """E[sech(u)^power] of a Gaussian of variance q."""
    weight = mpmath.sqrt(2 / (mpmath.pi * q))
    return weight * mpmath.quad(lambda u: mpmath.sech(u) ** power * mpmath.exp(-u * u / (2 * q)), cuts)


def test_tanh_at_every_size_by_an_integral_over_one_input():
    """Inputs of one feature: with equal inputs every average is over one variable (mpmath, 30 digits)."""
    x = np.array([[1e-6], [0.3], [40.0], [3e4]])
    blocks = ni.kernel_blocks(ni.FullyConnected(1, "tanh", 1.5, 0.1), Dataset(x, x, x[:1], x[:1]))
    with mpmath.workdps(25):
        for i, value in enumerate(x[:, 0]):
            q = mpmath.mpf(1.5) ** 2 * mpmath.mpf(value) ** 2 + mpmath.mpf(0.1) ** 2
            cuts = [u for u in (0, 1, 3, 10, 60) if u * u < 200 * q] + [mpmath.sqrt(200 * q)][: int(200 * q < 3600)]
            nngp = 2.25 * (1 - average(2, q, cuts)) + mpmath.mpf(0.1) ** 2
            ntk = nngp + 2.25 * average(4, q, cuts) * q
            assert abs(blocks.train.nngp[i, i] / float(nngp) - 1) < 1e-12
            assert abs(blocks.train.ntk[i, i] / float(ntk) - 1) < 1e-12


def test_kernels_that_are_not_finite_are_refused():
    x = np.array([[1e200], [2.0]])
    with pytest.raises(
        ValueError, match=r"relu.* of .* entries of the NNGP .* NaN or infinite, the first between inputs 0"
    ):
        ni.kernel_blocks(ni.FullyConnected(1, "relu"), Dataset(x, x, x[1:], x[1:]))


def test_a_kernel_with_a_stated_error_may_miss_definiteness_by_it():
    x = np.random.default_rng(3).standard_normal((6, 3))
    data = Dataset(x, x[:, :1], x[:2], x[:2, :1])
    blocks = ni.kernel_blocks(ni.FullyConnected(0, "erf", 1.0, 0.0), data)  # rank 3
    shifted = blocks.train.ntk - 1e-6 * np.eye(6)
    train = ni.SquareBlocks(blocks.train.nngp, shifted)
    with pytest.raises(ValueError, match="not positive semidefinite"):
        ni.output_distribution(replace(blocks, train=train), data, ni.GradientFlow(), np.array([1.0]))
    stated = replace(blocks, train=train, kernel_error=1e-5)
    law = ni.output_distribution(stated, data, ni.GradientFlow(), np.array([1.0]))
    assert law.spectrum.most_negative < -1e-7
