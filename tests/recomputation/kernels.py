"""NNGP and NTK of fully connected networks in some hundred digits, from the dual functions in closed form.

Independent of the package: E[φφ] and E[φ'φ'] by the formulas of the literature in mpmath (erf: Williams 1997; relu: Cho
and Saul 2009; gelu by Gaussian integration by parts), tanh by the trapezoidal rule in two dimensions in extended
precision, which converges faster than any power of the step. Inputs are taken as the exact numbers that they are.
"""

from __future__ import annotations

import mpmath as mp
import numpy as np

DIGITS = 110
"""Decimal digits of everything in this folder that mpmath computes."""


def kernels(network, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """NNGP and NTK of the inputs with themselves, (N, N) each, of mpf; inputs that repeat have equal rows."""
    with mp.workdps(DIGITS):
        distinct, place = np.unique(inputs, axis=0, return_inverse=True)
        place = place.reshape(-1)
        weight, bias = mp.mpf(float(network.w_std)) ** 2, mp.mpf(float(network.b_std)) ** 2
        exact = [[mp.mpf(float(value)) for value in row] for row in distinct]
        size = len(distinct)
        nngp = np.empty((size, size), dtype=object)
        for i in range(size):
            for j in range(i + 1):
                product = mp.fsum(a * b for a, b in zip(exact[i], exact[j], strict=True)) / len(exact[i])
                nngp[i, j] = nngp[j, i] = weight * product + bias
        ntk, dual = nngp.copy(), _DUALS[network.activation]
        for _ in range(network.depth):
            nngp, ntk = _layer(nngp, ntk, dual, weight, bias)
        return nngp[np.ix_(place, place)], ntk[np.ix_(place, place)]


def _layer(nngp, ntk, dual, weight, bias):
    after, tangent = nngp.copy(), ntk.copy()
    for i in range(len(nngp)):
        for j in range(i + 1):
            mean, slope = dual(nngp[i, j], nngp[i, i], nngp[j, j])
            after[i, j] = after[j, i] = weight * mean + bias
            tangent[i, j] = tangent[j, i] = after[i, j] + weight * slope * ntk[i, j]
    return after, tangent


def _erf(c, q1, q2):
    product = (1 + 2 * q1) * (1 + 2 * q2)
    return 2 / mp.pi * mp.asin(2 * c / mp.sqrt(product)), 4 / mp.pi / mp.sqrt(product - 4 * c**2)


def _leaky(slope):
    def dual(c, q1, q2):
        scale, middle = (1 - mp.mpf(slope)) ** 2 / (2 * mp.pi), (1 + mp.mpf(slope) ** 2) / 2
        product = mp.sqrt(q1 * q2)
        if product == 0:
            return mp.mpf(0), middle - scale * mp.pi / 2
        squared = (product - c) * (product + c)
        # The package counts inputs as parallel from an angle of 1e-7 on and says so; here only what is exactly so is.
        sine = mp.sqrt(squared) if squared > product**2 * mp.mpf(10) ** (-DIGITS + 10) else mp.mpf(0)
        angle = mp.atan2(sine, c)
        return scale * sine + (middle - scale * angle) * c, middle - scale * angle

    return dual


def _sine(c, q1, q2):
    decay = mp.exp(-(q1 + q2) / 2)
    return decay * mp.sinh(c), decay * mp.cosh(c)


def _gelu(c, q1, q2):
    one, two = 1 + q1, 1 + q2
    determinant = one * two - c**2
    root = 2 * mp.pi * mp.sqrt(determinant)
    both = mp.mpf(1) / 4 + mp.asin(c / mp.sqrt(one * two)) / (2 * mp.pi)
    mean = c * both + (q1 * q2 - c**2 + c**2 / one + c**2 / two) / root
    slope = both + c * (1 / one + 1 / two) / root + c / (determinant * root)
    return mean, slope


def _identity(c, q1, q2):
    return c, mp.mpf(1)


def _tanh(c, q1, q2):
    """The mean over u = √q1 z and v = ρ√q2 z + √(1 − ρ²)√q2 w, whose second factor is small for neighbours."""
    s1, s2 = mp.sqrt(q1), mp.sqrt(q2)
    if s1 * s2 == 0:
        slopes = [_one_dimension(float(q)) for q in (q1, q2)]
        return mp.mpf(0), mp.mpf(slopes[0] * slopes[1])
    along, across = c / s1, mp.sqrt(max(q1 * q2 - c**2, mp.mpf(0))) / s1
    u, weights_u = _nodes(max(float(s1), float(abs(along))))
    w, weights_w = _nodes(float(across))
    first = np.tanh(_long(s1) * u)
    second = np.tanh(_long(along) * u[:, None] + _long(across) * w[None, :])
    mean = weights_u @ (first * (second @ weights_w))
    slope = weights_u @ ((1 - first**2) * ((1 - second**2) @ weights_w))
    return _exact(mean), _exact(slope)


def _one_dimension(variance: float):
    u, weights = _nodes(variance**0.5)
    return float(weights @ (1 - np.tanh(np.longdouble(variance) ** 0.5 * u) ** 2))


def _nodes(deviation: float):
    """Nodes and Gaussian weights: the poles of tanh lie at π/2 over the deviation."""
    step = min(0.25, 0.2 / max(deviation, 1e-300))
    count = int(np.ceil(9.6 / step))
    places = np.arange(-count, count + 1, dtype=np.longdouble) * np.longdouble(step)
    weights = np.exp(-(places**2) / 2)
    return places, weights / weights.sum()


def _long(value) -> np.longdouble:
    """An mpf in extended precision: its leading double and what that leaves."""
    head = float(value)
    return np.longdouble(head) + np.longdouble(float(value - mp.mpf(head)))


def _exact(value: np.longdouble):
    head = float(value)
    return mp.mpf(head) + mp.mpf(float(value - np.longdouble(head)))


_DUALS = {
    "erf": _erf,
    "relu": _leaky(0),
    "leaky_relu": _leaky(0.01),
    "sine": _sine,
    "gelu": _gelu,
    "identity": _identity,
    "tanh": _tanh,
}
