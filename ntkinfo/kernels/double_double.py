"""Numbers of 32 digits as unevaluated sums of two float64 (Dekker 1971), for differences that float64 cannot hold.

Only what the kernels of near pairs of inputs need. Every operation is elementwise on numpy arrays, and its relative
error is a few 1e-32. Fails beyond 1e150, where splitting a factor overflows, and below 1e-150, where the second half
of a product underflows.
"""

from __future__ import annotations

import decimal
import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

_SPLIT = 134217729.0  # 2^27 + 1: cuts a float64 into two halves of 26 bits
_STEPS = 64  # angles of the table, multiples of π / 64
_SHORT = 5  # terms of a series that need both halves; what follows them is below 1e-16 of the sum


@dataclass(frozen=True, eq=False)
class DoubleDouble:
    """high + low, with low at most half a unit in the last place of high."""

    high: Any
    low: Any

    __array_ufunc__ = None  # numpy leaves arrays on the left to the operators below

    def __add__(self, other: Any) -> DoubleDouble:
        other = exact(other)
        high, low = _two_sum(self.high, other.high)
        more, rest = _two_sum(self.low, other.low)
        high, low = _quick_sum(high, low + more)
        return DoubleDouble(*_quick_sum(high, low + rest))

    __radd__ = __add__

    def __neg__(self) -> DoubleDouble:
        return DoubleDouble(-self.high, -self.low)

    def __sub__(self, other: Any) -> DoubleDouble:
        return self + (-exact(other))

    def __rsub__(self, other: Any) -> DoubleDouble:
        return exact(other) + (-self)

    def __mul__(self, other: Any) -> DoubleDouble:
        other = exact(other)
        high, low = _two_product(self.high, other.high)
        return DoubleDouble(*_quick_sum(high, low + (self.high * other.low + self.low * other.high)))

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> DoubleDouble:
        other = exact(other)
        first = self.high / other.high
        rest = self - other * first
        second = rest.high / other.high
        rest = rest - other * second
        high, low = _quick_sum(first, second)
        return DoubleDouble(high, low) + rest.high / other.high

    def __rtruediv__(self, other: Any) -> DoubleDouble:
        return exact(other) / self

    def __getitem__(self, part: Any) -> DoubleDouble:
        return DoubleDouble(self.high[part], self.low[part])


def exact(value: Any) -> DoubleDouble:
    """A float64 number or array as it is."""
    if isinstance(value, DoubleDouble):
        return value
    high = np.asarray(value, dtype=np.float64)
    return DoubleDouble(high, np.zeros_like(high))


def where(condition: np.ndarray, yes: Any, no: Any) -> DoubleDouble:
    """`numpy.where`."""
    yes, no = exact(yes), exact(no)
    return DoubleDouble(np.where(condition, yes.high, no.high), np.where(condition, yes.low, no.low))


def positive_part(value: DoubleDouble) -> DoubleDouble:
    """max(value, 0)."""
    return where(value.high > 0, value, 0.0)


def sqrt(value: DoubleDouble) -> DoubleDouble:
    """The root of numbers of 0 and more."""
    root = np.sqrt(value.high)
    safe = np.where(root > 0, root, 1.0)
    high, low = _two_product(root, root)
    rest = value - DoubleDouble(high, low)
    return DoubleDouble(*_quick_sum(root, np.where(root > 0, rest.high / (2 * safe), 0.0)))


def atan2(y: DoubleDouble, x: DoubleDouble) -> DoubleDouble:
    """The angle of (x, y); 0 at the origin."""
    place = np.rint(np.arctan2(y.high, x.high) * (_STEPS / np.pi)).astype(int)
    sines, cosines, angles = _angles()
    sine, cosine = sines[place + _STEPS], cosines[place + _STEPS]
    along, across = x * cosine + y * sine, y * cosine - x * sine
    ratio = across / where(along.high > 0, along, 1.0)
    square = ratio * ratio
    # The arc tangent's series of a ratio below π/128.
    tail = sum((-1) ** j * square.high ** (j - _SHORT) / (2 * j + 1) for j in range(_SHORT, 12))
    total = exact(tail)
    for j in reversed(range(_SHORT)):
        total = total * square + exact(float((-1) ** j)) / float(2 * j + 1)
    return angles[place + _STEPS] + ratio * total


def exp(value: DoubleDouble) -> DoubleDouble:
    """The exponential; 0 below -700."""
    seen = value.high > -700
    value = where(seen, value, 0.0)
    power = np.rint(value.high / np.log(2))
    rest = (value - _ln2() * power) * (1 / 64)  # a power of two: exact
    total = exact(np.ones_like(value.high))
    for j in range(12, 0, -1):
        total = total * rest / float(j) + 1.0
    for _ in range(6):
        total = total * total
    scale = np.ldexp(1.0, power.astype(int))
    return where(seen, DoubleDouble(total.high * scale, total.low * scale), 0.0)


def sinh(value: DoubleDouble) -> DoubleDouble:
    """The hyperbolic sine, all digits also at small numbers."""
    small = np.abs(value.high) < 0.5
    near, far = where(small, value, 0.0), where(small, 0.0, value)
    square, total = near * near, exact(np.ones_like(value.high))
    for j in range(13, 0, -1):
        total = total * square / float(2 * j * (2 * j + 1)) + 1.0
    grown = exp(far)
    return where(small, near * total, (grown - 1.0 / grown) * 0.5)


def dot(rows: Any, columns: Any) -> DoubleDouble:
    """Sums of products over the last axis of two float64 arrays of one shape."""
    return total(DoubleDouble(*_two_product(rows, columns)))


def squares(rows: np.ndarray) -> DoubleDouble:
    """Sums of squares over the last axis of a float64 array, to some 1e-27, at the price of a few plain sums.

    Numbers are cut into slices short enough for their products to add up without rounding (Ozaki, Ogita, Oishi & Rump
    2012): only what the last slice takes part in is rounded, far below the sum.
    """
    bits = (53 - max(rows.shape[-1], 2).bit_length()) // 2
    largest = np.max(np.abs(rows), axis=-1, keepdims=True, initial=0.0)
    first, rest = _sliced(rows, largest, bits)
    second, third = _sliced(rest, largest * 2.0**-bits, bits)
    rounded_part = _sums(second, second) + 2 * (_sums(first, third) + _sums(second, third)) + _sums(third, third)
    return exact(_sums(first, first)) + 2 * _sums(first, second) + rounded_part


def _sliced(values: np.ndarray, largest: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """The leading `bits` bits, counted from the largest number of each row, and what they leave."""
    anchor = np.ldexp(0.75, np.frexp(largest)[1] + 53 - bits)
    leading = (values + anchor) - anchor
    return leading, values - leading


def _sums(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return np.einsum("...i,...i->...", rows, columns)


def total(value: DoubleDouble) -> DoubleDouble:
    """The sum over the last axis, by halves."""
    while value.high.shape[-1] > 1:
        size = value.high.shape[-1]
        half = value[..., : size // 2] + value[..., size // 2 : size // 2 * 2]
        if size % 2:
            pieces = [(half.high, value.high), (half.low, value.low)]
            half = DoubleDouble(*(np.concatenate([a, b[..., -1:]], axis=-1) for a, b in pieces))
        value = half
    return value[..., 0]


def rounded(value: DoubleDouble) -> np.ndarray:
    """The nearest float64."""
    return value.high + value.low


@functools.cache
def pi() -> DoubleDouble:
    """π."""
    return _from_decimal([_PI])[0]


@functools.cache
def _ln2() -> DoubleDouble:
    return _from_decimal([decimal.Decimal(2).ln(_CONTEXT)])[0]


@functools.cache
def _angles() -> tuple[DoubleDouble, DoubleDouble, DoubleDouble]:
    """Sine, cosine and angle of the multiples of π / 64 from -π to π."""
    with decimal.localcontext(_CONTEXT):
        angles = [_PI * k / _STEPS for k in range(-_STEPS, _STEPS + 1)]
        sines = [_sine(angle) for angle in angles]
        cosines = [_sine(angle + _PI / 2) for angle in angles]
    return _from_decimal(sines), _from_decimal(cosines), _from_decimal(angles)


def _sine(angle: decimal.Decimal) -> decimal.Decimal:
    term, result, j = angle, angle, 1
    while abs(term) > decimal.Decimal("1e-45"):
        term = -term * angle * angle / (2 * j * (2 * j + 1))
        result, j = result + term, j + 1
    return result


def _from_decimal(values: list[decimal.Decimal]) -> DoubleDouble:
    high = [float(value) for value in values]
    with decimal.localcontext(_CONTEXT):
        low = [float(value - decimal.Decimal(first)) for value, first in zip(values, high, strict=True)]
    return DoubleDouble(np.array(high), np.array(low))


_CONTEXT = decimal.Context(prec=50)
_PI = decimal.Decimal("3.14159265358979323846264338327950288419716939937510582097494")


def _two_sum(a: Any, b: Any) -> tuple[Any, Any]:
    high = a + b
    shadow = high - a
    return high, (a - (high - shadow)) + (b - shadow)


def _quick_sum(a: Any, b: Any) -> tuple[Any, Any]:
    high = a + b
    return high, b - (high - a)


def _two_product(a: Any, b: Any) -> tuple[Any, Any]:
    high = a * b
    a_high, b_high = _half(a), _half(b)
    a_low, b_low = a - a_high, b - b_high
    return high, ((a_high * b_high - high) + a_high * b_low + a_low * b_high) + a_low * b_low


def _half(a: Any) -> Any:
    scaled = _SPLIT * a
    return scaled - (scaled - a)
