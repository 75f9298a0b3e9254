"""Kernels that come as arrays, from another program or a formula of one's own, checked before they are used."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ntkinfo.core import checks
from ntkinfo.core.arrays import Array, float64, namespace

if TYPE_CHECKING:
    from ntkinfo.kernels.records import KernelBlocks

# Asymmetry, relative to the two inputs' own values: up to the first it is rounding of float64, up to the second that of
# a product formed in single precision, which is averaged away and stated; beyond it the matrix is no kernel.
ROUNDING, AVERAGED = 1e-13, 1e-6


def check_given(blocks: KernelBlocks) -> dict[str, Any]:
    """Check blocks that were not computed by this package.

    Args:
        blocks: as they were given.

    Returns:
        The fields of `blocks` to replace: arrays in float64 and symmetric, notes, and the kernel error, which is at
        least the arrays' own rounding and asymmetry.

    Raises:
        ValueError: shapes that do not fit, NaN or infinite values, a negative diagonal, a training kernel that is not
            symmetric.
    """
    n = len(blocks.train.nngp)
    notes, errors, train, test = [], [float(blocks.kernel_error)], {}, {}
    for name in ("nngp", "ntk"):
        square, cross, own = (
            getattr(part, key)
            for part, key in ((blocks.train, name), (blocks.test, name), (blocks.test, f"{name}_diagonal"))
        )
        checks.shape(f"train.{name}", square, (n, n), "the kernel of every training input with every other one")
        checks.shape(
            f"test.{name}", cross, (None, n), "one row for each test input, one column for each training input"
        )
        checks.shape(f"test.{name}_diagonal", own, (len(cross),), "the kernel of each test input with itself")
        errors.append(max(_precision(array) for array in (square, cross, own)))
        square, cross, own = _doubled(square), _doubled(cross), _doubled(own)
        for key, array in (("training", square), ("test", cross), ("test diagonal of the", own)):
            _check_finite(f"{key} {name}", array)
        _check_diagonal(f"train.{name}", np.diagonal(np.asarray(square)))
        _check_diagonal(f"test.{name}_diagonal", own)
        square, asymmetry = _symmetric(f"train.{name}", square)
        if asymmetry > ROUNDING:
            errors.append(asymmetry)
            notes.append(
                f"given {name}: its two triangles differ by {asymmetry:.1e} of the diagonal; their mean is taken"
            )
        train[name], test[name], test[f"{name}_diagonal"] = square, cross, own
    checks.shape("test.ntk", test["ntk"], test["nngp"].shape, "the shape of test.nngp")
    error = max(errors)
    if error > max(blocks.kernel_error, ROUNDING):
        notes.append(f"given kernels: taken to be off by {error:.1e} of their diagonal, the rounding of what was given")
    return {"train": type(blocks.train)(**train), "test": type(blocks.test)(**test), "notes": notes, "error": error}


def _precision(array: Array) -> float:
    """The relative rounding of an array that is stored in less than double precision; 0 for float64."""
    kind = np.dtype(array.dtype)
    if kind.kind not in "fiu":
        # jax's own small types (bfloat16) are neither; their rounding is asked of jax
        import jax.numpy as jnp

        return float(jnp.finfo(array.dtype).eps)
    return float(np.finfo(kind).eps) if kind.kind == "f" and kind.itemsize < 8 else 0.0


def _doubled(array: Array) -> Array:
    if array.dtype == np.float64:
        return array
    with float64():
        return array.astype(np.float64)


def _check_finite(name: str, array: Array) -> None:
    wrong = ~np.isfinite(np.asarray(array))
    if np.any(wrong):
        place = [int(i) for i in np.argwhere(wrong)[0]]
        raise ValueError(
            f"the {name} kernel holds {int(wrong.sum())} NaN or infinite value(s), the first at {place}: "
            f"{np.asarray(array)[tuple(place)]}; look at what computed it for that pair of inputs"
        )


def _check_diagonal(name: str, diagonal: Array) -> None:
    host = np.asarray(diagonal)
    if host.size and host.min() < 0:
        place = int(host.argmin())
        raise ValueError(
            f"{name} is {host[place]:.6g} for input {place} with itself; the kernel of an input with itself is a mean "
            "square, 0 or greater"
        )


def _symmetric(name: str, kernel: Array) -> tuple[Array, float]:
    """The kernel with both triangles alike, and how far they were apart relative to √(K(x, x) K(x', x')).

    Raises:
        ValueError: further apart than rounding explains.
    """
    xp = namespace(kernel)
    with float64():
        difference = abs(kernel - kernel.T)
        if not bool(xp.any(difference)):
            return kernel, 0.0
        size = xp.sqrt(xp.diagonal(kernel))
        largest = size[:, None] * size[None, :]
        share = np.asarray(xp.where(difference > 0, difference / xp.where(largest > 0, largest, 1.0), 0.0))
        share = np.where((np.asarray(difference) > 0) & (np.asarray(largest) == 0), np.inf, share)
        place = tuple(int(i) for i in np.unravel_index(int(share.argmax()), share.shape))
        worst = float(share[place])
        if not math.isfinite(worst) or worst > AVERAGED:
            here, there = float(kernel[place]), float(kernel[place[::-1]])
            raise ValueError(
                f"{name} is not symmetric: {here:.6g} at {list(place)} and {there:.6g} at {list(place[::-1])}; "
                "a kernel is a function of two inputs alone, so K(x, x') = K(x', x)"
            )
        return (kernel if worst <= ROUNDING else (kernel + kernel.T) / 2), worst
