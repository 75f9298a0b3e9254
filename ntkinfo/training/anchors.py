"""Inputs whose outputs are, exactly or nearly, those of a training input, and what is left when these are taken off.

For an input x next to the training input x_i, f_t(x) = c f_t(x_i) + [f_0(x) − c f_0(x_i)] − δ_Θ A_t (f_0(X) − Y) with
δ_Θ = Θ(x, X) − c Θ(x_i, X): what cancels is taken off the kernels, where it is exact, instead of off the variances.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from ntkinfo.core.arrays import Array, namespace, to_numpy
from ntkinfo.kernels.records import CrossBlocks, SquareBlocks

# Share of an output's variance, and of its tangent kernel, that a training input may leave for the input to be near it.
NEAR = 1e-4
# Kernel values of equal inputs agree to this share, even where a pair's kernel loses half of the digits (relu).
_SAME = 1e-6
# What rounding leaves of the difference of two equal kernel values, in units of them.
_ALIKE = 32 * float(np.finfo(np.float64).eps)
_NUMBERS = 1 << 20


@dataclass(frozen=True)
class Anchors:
    """The inputs among p that have an anchor, a training input whose output theirs nearly is a multiple of.

    Args:
        places: which of the p inputs.
        of: the training input of each.
        factor: the multiple c of each, 1 where the inputs are equal.
        same: whether the input is the training input itself.
        tangent: δ_Θ = Θ(x, X) − c Θ(x_i, X), exactly 0 where rounding alone would be left.
        prior: δ_P, the same for the covariance before training.
        tangent_left: Θ(x, x) − 2c Θ(x, x_i) + c² Θ(x_i, x_i), at least 0.
        prior_left: the same for the covariance before training: the variance of f_0(x) − c f_0(x_i).
    """

    places: Int[np.ndarray, " q"]
    of: Int[np.ndarray, " q"]
    factor: Float[np.ndarray, " q"]
    same: Bool[np.ndarray, " q"]
    tangent: Float[Array, "q n"]
    prior: Float[Array, "q n"]
    tangent_left: Float[np.ndarray, " q"]
    prior_left: Float[np.ndarray, " q"]


@dataclass(frozen=True)
class _Kernel:
    """One kernel: of the training inputs, of the p inputs with them, and both diagonals."""

    train: Float[Array, "n n"]
    cross: Float[Array, "p n"]
    diagonal: Float[np.ndarray, " n"]
    own: Float[np.ndarray, " p"]

    def off(self, places: np.ndarray, of: np.ndarray, factor: np.ndarray) -> tuple[Array, np.ndarray, np.ndarray]:
        """Return δ, what the anchors leave of the diagonal, and whether both are rounding alone."""
        xp = namespace(self.train, self.cross)
        rows = self.cross[xp.asarray(places)] - xp.asarray(factor)[:, None] * self.train[xp.asarray(of)]
        at = to_numpy(self.cross[xp.asarray(places), xp.asarray(of)])
        left = (self.own[places] - factor * at) + factor * (factor * self.diagonal[of] - at)
        scale = np.sqrt(np.maximum(self.own[places], 0.0))
        within = to_numpy(xp.abs(rows)) <= _ALIKE * scale[:, None] * np.sqrt(np.maximum(self.diagonal, 0.0))[None, :]
        alike = np.all(within, axis=1) & (np.abs(left) <= _ALIKE * self.own[places])
        return rows, left, alike


def find_anchors(
    train: SquareBlocks, cross: CrossBlocks, names: tuple[str, str], inputs: Array, x_train: Array
) -> Anchors | None:
    """Find the inputs next to training inputs, or None where there is none; one pass over the kernel with them.

    Args:
        train: kernels of the training inputs.
        cross: kernels of the p inputs with them.
        names: of the kernel that drives training and of the covariance before training ("ntk", "nngp").
        inputs: (p, ...).
        x_train: (n, ...).
    """
    tangent, prior = (_kernel(train, cross, name) for name in names)
    nearest, near = _nearest(tangent)
    equal = _equal(to_numpy(inputs), to_numpy(x_train))
    places = np.flatnonzero((near | (equal >= 0)) & (tangent.own > 0))
    if not len(places):
        return None
    same = equal[places] >= 0
    of = np.where(same, equal[places], nearest[places])
    with np.errstate(divide="ignore", invalid="ignore"):
        at = to_numpy(tangent.cross)[places, of]
        factor = np.where(same, 1.0, at / tangent.diagonal[of])
    # A multiple of ±1 up to rounding is one: what is left of equal or opposite inputs is exactly 0 then.
    factor = np.where(np.abs(np.abs(factor) - 1) <= NEAR, np.sign(factor), factor)
    found = _anchors(tangent, prior, (places, of, factor), same)
    return found if len(found.places) else None


def representatives(train: SquareBlocks, names: tuple[str, str], x_train: Array) -> Int[np.ndarray, " n"] | None:
    """The first training input that each one repeats, itself where it repeats none; None where no input repeats.

    Args:
        train: kernels of the training inputs.
        names: of the kernel that drives training and of the covariance before training ("ntk", "nngp").
        x_train: (n, ...).
    """
    first = _equal(to_numpy(x_train), to_numpy(x_train))
    repeats = np.flatnonzero(first != np.arange(len(first)))
    for name in names:
        kernel = getattr(train, name)
        xp = namespace(kernel)
        rows = kernel[xp.asarray(repeats)] - kernel[xp.asarray(first[repeats])]
        # Equal inputs of kernels that differ are placeholders beside kernels that were given as arrays.
        same = np.max(to_numpy(xp.abs(rows)), axis=1, initial=0.0) <= _SAME * float(xp.max(xp.diagonal(kernel)))
        first[repeats[~same]] = repeats[~same]
        repeats = repeats[same]
    return first if len(repeats) else None


def _anchors(tangent: _Kernel, prior: _Kernel, chosen: tuple[np.ndarray, ...], same: np.ndarray) -> Anchors:
    """Keep the anchors that both kernels agree with; equal inputs leave nothing, whatever rounding says."""
    places, of, factor = chosen
    parts = [kernel.off(places, of, factor) for kernel in (tangent, prior)]
    least = np.where(same, _SAME, NEAR)
    kept = np.all([part[1] <= least * k.own[places] for part, k in zip(parts, (tangent, prior), strict=True)], axis=0)
    # Equal inputs of kernels that differ are placeholders beside kernels that were given as arrays.
    pairs = zip(parts, (tangent, prior), strict=True)
    strange = [np.max(to_numpy(abs(part[0])), axis=1) > _SAME * np.max(k.diagonal) for part, k in pairs]
    kept &= ~(same & np.any(strange, axis=0))
    nothing = (same | (parts[0][2] & parts[1][2]))[kept]
    xp = namespace(parts[0][0], parts[1][0])
    rows = [xp.where(xp.asarray(nothing)[:, None], 0.0, part[0][xp.asarray(kept)]) for part in parts]
    left = [np.where(nothing, 0.0, np.maximum(part[1][kept], 0.0)) for part in parts]
    return Anchors(places[kept], of[kept], factor[kept], same[kept], *rows, *left)


def _kernel(train: SquareBlocks, cross: CrossBlocks, name: str) -> _Kernel:
    square = getattr(train, name)
    diagonal = to_numpy(namespace(square).diagonal(square))
    return _Kernel(square, getattr(cross, name), diagonal, to_numpy(getattr(cross, f"{name}_diagonal")))


def _nearest(kernel: _Kernel) -> tuple[Int[np.ndarray, " p"], Bool[np.ndarray, " p"]]:
    """The training input of the largest correlation in size with each input, and whether little is left."""
    xp, p, n = namespace(kernel.cross), *kernel.cross.shape
    positive = kernel.diagonal > 0
    scale = xp.asarray(np.where(positive, 1 / np.sqrt(np.where(positive, kernel.diagonal, 1.0)), 0.0))
    nearest, largest, rows = [], [], max(1, _NUMBERS // n)
    for start in range(0, p, rows):
        size = xp.abs(kernel.cross[start : start + rows] * scale[None, :])
        nearest.append(to_numpy(xp.argmax(size, axis=1)))
        largest.append(to_numpy(xp.max(size, axis=1)))
    return np.concatenate(nearest), np.concatenate(largest) ** 2 >= (1 - NEAR) * kernel.own


def _equal(inputs: np.ndarray, x_train: np.ndarray) -> Int[np.ndarray, " p"]:
    """For each input the first training input equal to it in every number, −1 where there is none."""
    if inputs.shape[1:] != x_train.shape[1:]:
        return np.full(len(inputs), -1)
    # Adding 0 makes −0 and 0 the same bits.
    rows, known = (np.ascontiguousarray(x.reshape(len(x), -1) + 0.0, np.float64) for x in (inputs, x_train))
    first: dict[bytes, int] = {}
    for index, row in enumerate(known):
        first.setdefault(row.tobytes(), index)
    return np.array([first.get(row.tobytes(), -1) for row in rows], dtype=np.int64)
