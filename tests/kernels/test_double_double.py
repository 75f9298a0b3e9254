"""Numbers of 32 digits against rational arithmetic."""

from fractions import Fraction

import numpy as np
import pytest

from ntkinfo.kernels import double_double as dd


def _error(found: dd.DoubleDouble, index: int, right: Fraction) -> float:
    got = Fraction(float(found.high[index])) + Fraction(float(found.low[index]))
    return abs(float((got - right) / right)) if right else abs(float(got))


@pytest.mark.parametrize("features", [1, 2, 7, 64, 784])
def test_sums_of_squares_keep_twenty_six_digits(features):
    random = np.random.default_rng(features)
    rows = random.standard_normal((6, features))
    rows[1] *= 10.0 ** random.uniform(-12, 0, features)
    rows[2] = np.round(10 * rows[2])
    rows[3] = -(1 + 2.0**-52)
    rows[4] *= 1e-8
    rows[5] = 0.0
    fast, plain = dd.squares(rows), dd.dot(rows, rows)
    for index, row in enumerate(rows):
        right = sum(Fraction(float(value)) ** 2 for value in row)
        assert _error(fast, index, right) < 1e-26
        assert _error(plain, index, right) < 1e-30
