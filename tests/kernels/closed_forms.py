"""Kernels by plain recursions, written independently of the package: the second route of the tests."""

import mpmath
import numpy as np


def arcsine(c, q1, q2):
    """E[φφ] and E[φ'φ'] of erf (Williams 1997)."""
    z = 2 * c / np.sqrt((1 + 2 * q1) * (1 + 2 * q2))
    return 2 / np.pi * np.arcsin(z), 4 / np.pi / np.sqrt((1 + 2 * q1) * (1 + 2 * q2) - 4 * c**2)


def arccosine(c, q1, q2):
    """E[φφ] and E[φ'φ'] of the rectified linear unit (Cho & Saul 2009); a right angle at a zero input."""
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = np.clip(np.where(q1 * q2 > 0, c / np.sqrt(q1 * q2), 0.0), -1, 1)
    angle = np.arccos(cosine)
    mean = np.sqrt(q1 * q2) * (np.sin(angle) + (np.pi - angle) * cosine) / (2 * np.pi)
    return mean, (np.pi - angle) / (2 * np.pi)


def leaky_arccosine(slope):
    """The same of x₊ + slope·x₋ = (1 - slope)·relu(x) + slope·x."""

    def dual(c, q1, q2):
        mean, derivative = arccosine(c, q1, q2)
        # relu(u) v and its mirror average to c / 2 each
        return (
            (1 - slope) ** 2 * mean + 2 * slope * (1 - slope) * c / 2 + slope**2 * c,
            (1 - slope) ** 2 * derivative + slope * (1 - slope) + slope**2,
        )

    return dual


def sine(c, q1, q2):
    even, odd = np.exp(c - (q1 + q2) / 2), np.exp(-c - (q1 + q2) / 2)
    return (even - odd) / 2, (even + odd) / 2


def identity(c, q1, q2):
    return c, np.ones_like(c)


def by_grid(function, derivative, points=161):
    """Any smooth function by the trapezoidal rule in two dimensions: slow, for a few inputs."""
    z = np.linspace(-9, 9, points)
    weight = np.exp(-(z**2) / 2)
    weight = np.outer(weight, weight) / weight.sum() ** 2
    x, y = np.meshgrid(z, z, indexing="ij")

    def dual(c, q1, q2):
        means = np.empty((2, *c.shape))
        for i, j in np.ndindex(c.shape):
            s1, s2 = np.sqrt(q1[i, 0]), np.sqrt(q2[0, j])
            rho = np.clip(c[i, j] / (s1 * s2), -1, 1)
            v = rho * x + np.sqrt(1 - rho**2) * y
            for k, f in enumerate((function, derivative)):
                means[k, i, j] = np.sum(weight * f(s1 * x) * f(s2 * v))
        return means[0], means[1]

    return dual


def fully_connected(dual, x1, x2, depth, w_std, b_std):
    """NNGP and NTK by the recursion K' = w² E[φφ] + b², Θ' = K' + w² E[φ'φ'] Θ (Jacot et al. 2018)."""
    d = x1.shape[1]
    w, b = w_std**2, b_std**2
    k, q1, q2 = (
        w * x1 @ x2.T / d + b,
        w * np.sum(x1**2, 1)[:, None] / d + b,
        w * np.sum(x2**2, 1)[None, :] / d + b,
    )
    theta = k
    for _ in range(depth):
        mean, slope = dual(k, q1, q2)
        q1, q2 = w * dual(q1, q1, q1)[0] + b, w * dual(q2, q2, q2)[0] + b
        k = w * mean + b
        theta = k + w * slope * theta
    return k, theta


def relu_diagonal(x, depth, w_std, b_std, digits=40):
    """NNGP and NTK of one input with itself, with many digits: q' = w² q/2 + b², Θ' = q' + w² Θ/2."""
    with mpmath.workdps(digits):
        w, b = mpmath.mpf(w_std) ** 2, mpmath.mpf(b_std) ** 2
        q = w * mpmath.fsum(mpmath.mpf(float(v)) ** 2 for v in x) / len(x) + b
        theta = q
        for _ in range(depth):
            q = w * q / 2 + b
            theta = q + w * theta / 2
        return q, theta


def convolution(dual, x1, x2, depth, w_std, b_std, pool):
    """NNGP and NTK of two images (h, w, c) under 3 x 3 filters with zero padding, position by position.

    `pool` averages over all pairs of positions; otherwise over equal positions.
    """
    w, b = w_std**2, b_std**2
    c12, c11, c22 = (np.einsum("abc,dec->abde", a, e) / a.shape[2] for a, e in ((x1, x2), (x1, x1), (x2, x2)))

    def window(c):
        h, v = c.shape[:2]
        padded = np.pad(c, 1)
        shifts = [(i, j) for i in range(3) for j in range(3)]
        return sum(padded[i : i + h, j : j + v, i : i + h, j : j + v] for i, j in shifts) / 9

    def variances(c):
        return np.einsum("abab->ab", c)

    def outer(a, e):
        return np.broadcast_to(a[:, :, None, None], c12.shape), np.broadcast_to(e[None, None], c12.shape)

    theta = np.zeros_like(c12)
    for _ in range(depth):
        c12, c11, c22 = (w * window(c) + b for c in (c12, c11, c22))
        theta = c12 + w * window(theta)
        first, second = variances(c11), variances(c22)
        mean, slope = dual(c12, *outer(first, second))
        c11, c22 = dual(c11, *outer(first, first))[0], dual(c22, *outer(second, second))[0]
        c12, theta = mean, slope * theta
    k, t = (c.mean() if pool else variances(c).mean() for c in (c12, theta))
    k = w * k + b
    return k, k + w * t
