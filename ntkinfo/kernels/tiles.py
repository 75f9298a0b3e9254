"""One tile of both kernels at a time, compiled once for each tile shape, and the memory that a tile takes."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from ntkinfo.core.arrays import float64
from ntkinfo.core.versions import require_jax
from ntkinfo.kernels import dense_recursion, image_recursion, near_pairs
from ntkinfo.kernels.network import Network

# Arrays of the size of the largest one that are alive at the same time inside a kernel function: covariances before and
# after a layer, for both kernels, and room for a padded copy.
LIVE_ARRAYS = 6

BOTH = ("nngp", "ntk")


class TileKernel:
    """Both kernels of one network on tiles of inputs, in float64.

    Fully connected networks go by their own recursion, and pairs of inputs that lose digits in it are computed again
    one by one; networks for images by theirs; all others by the kernel function of neural_tangents.

    Args:
        network: the network.
        input_shape: shape of one prepared input.
    """

    def __init__(self, network: Network, input_shape: tuple[int, ...]):
        require_jax()
        self.input_shape = input_shape
        self.error = network.stated_error
        self._dense = network.dense()
        self.images = None if self._dense is not None else network.images()
        self.bounded = self._dense is not None or self.images is not None  # whether `error` bounds what rounding does
        if self._dense is not None:
            layers, recursion = self._dense, dense_recursion.compiled(self._dense.rectangles)
            squares = tuple(deviation**2 for deviation in layers.deviations)
            self._tile = lambda rows, columns: recursion(rows, columns, *squares, layers.depth)
            return
        if self.images is not None:
            layers = self.images
            described = layers.rectangles, layers.stack, layers.readout
            squares = tuple(deviation**2 for deviation in layers.deviations)
            rectangle, single = image_recursion.compiled(*described), image_recursion.compiled_diagonal(*described)
            self._tile = lambda rows, columns: rectangle(rows, columns, *squares)
            self._single = lambda rows: single(rows, *squares)
            return
        with float64():
            kernel_fn = network.layers()[2]
        self._tile = jax.jit(lambda rows, columns: tuple(kernel_fn(rows, columns, BOTH)))
        self._single = jax.jit(jax.vmap(lambda one: tuple(k[0, 0] for k in kernel_fn(one[None], None, BOTH))))

    def tile(
        self,
        rows: Float[np.ndarray, "p ..."],
        columns: Float[np.ndarray, "q ..."],
        size: tuple[int, int],
        known: Any = None,
        diagonals: Any = None,
    ) -> Any:
        """Both kernels of p inputs with q inputs, each (p, q); `size` is the compiled shape, at least (p, q).

        `error` is then what they state of their error, for images where both kernels of rows and of columns with
        themselves are given (`diagonals`). Entries that are `known` (p, q) are not needed.
        """
        with float64():
            found = self._tile(_padded(rows, size[0]), _padded(columns, size[1]))
        kernels = [np.asarray(part)[: len(rows), : len(columns)] for part in found]
        if self._dense is None:
            if diagonals is not None and self.images is not None:
                sizes = [np.sqrt(np.multiply.outer(*both)) for both in zip(*diagonals, strict=True)]
                self.error = _relative(kernels[2:], sizes, known)
            return kernels[:2]
        (nngp, ntk, lost), layers = kernels, self._dense
        if known is not None:
            lost = np.where(known, 0.0, lost)
        kernels, self.error = near_pairs.mended(
            layers.pairs, (nngp[None], ntk[None], lost[None]), (rows, columns), layers.deviations, [layers.depth]
        )
        return [kernel[0] for kernel in kernels]

    def diagonal(self, inputs: Float[np.ndarray, "p ..."], size: int) -> Any:
        """Both kernels of each input with itself, each (p,); `size` is the length that was compiled."""
        if self._dense is not None:
            layers = self._dense
            found = near_pairs.of_equal(layers.pairs, inputs, layers.deviations, layers.depth)
            self.error = found.error
            return [found.nngp[-1], found.ntk[-1]]
        with float64():
            kernels = [np.asarray(kernel)[: len(inputs)] for kernel in self._single(_padded(inputs, size))]
        if self.images is not None:
            self.error = _relative(kernels[2:], kernels[:2], None)
        return kernels[:2]

    def workspace(self, rows: int, columns: int) -> int:
        """Bytes that a tile of that size takes while it is computed, by the largest array in the traced computation."""
        with float64():
            shapes = [jax.ShapeDtypeStruct((count, *self.input_shape), np.float64) for count in (rows, columns)]
            jaxpr = jax.make_jaxpr(self._tile)(*shapes)
        return LIVE_ARRAYS * largest_array(jaxpr.jaxpr)


def _relative(lost: list[np.ndarray], sizes: list[np.ndarray], known: Any) -> float:
    """The largest error relative to the sizes; what is not finite is refused where the kernel is whole."""
    largest = 0.0
    for absolute, size in zip(lost, sizes, strict=True):
        counted = np.isfinite(absolute) & (size > 0)
        if known is not None:
            counted &= ~known
        shares = np.divide(absolute, size, out=np.zeros_like(absolute), where=counted)
        largest = max(largest, float(np.max(shares, initial=0.0)))
    return largest


def _padded(inputs: np.ndarray, size: int) -> np.ndarray:
    """The inputs with the last one repeated up to `size`, so that the compiled computation is used again."""
    missing = size - len(inputs)
    if missing == 0:
        return inputs
    return np.concatenate([inputs, np.repeat(inputs[-1:], missing, axis=0)])


def largest_array(jaxpr: Any) -> int:
    """Bytes of the largest array that any equation makes, also inside the computations that it calls."""
    sizes = [0]
    for equation in jaxpr.eqns:
        sizes += [
            int(np.prod(v.aval.shape)) * v.aval.dtype.itemsize for v in equation.outvars if hasattr(v.aval, "shape")
        ]
        for parameter in equation.params.values():
            for part in parameter if isinstance(parameter, tuple | list) else (parameter,):
                inner = getattr(part, "jaxpr", part)
                if hasattr(inner, "eqns"):
                    sizes.append(largest_array(inner))
    return max(sizes)
