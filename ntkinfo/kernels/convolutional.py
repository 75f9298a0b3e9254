"""Convolutional and wide residual networks, for images."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array
from ntkinfo.kernels.activations import Activation, load_stax, resolve_activation
from ntkinfo.kernels.image_recursion import Activate, Add, Convolve, ImageLayers, window_means
from ntkinfo.kernels.network import Network, canonical_common, check_common, check_sizes, deviations

READOUTS = ("flatten", "average_pool", "global_average_pool")
PADDINGS = ("CIRCULAR", "SAME", "VALID")


@checked
@dataclass(frozen=True)
class Convolutional(Network):
    """`depth` convolutions with one activation, a pooling or flattening, and a linear readout.

    Args:
        depth: number of convolutional layers; 0 leaves only the readout.
        activation: a name or an `Activation`, as for `FullyConnected`.
        w_std: deviation of the weights of every layer, above 0.
        b_std: deviation of the biases of every layer, 0 for none.
        filter_size: side of the square filters, in pixels.
        strides: step of every convolution, in pixels.
        padding: `SAME`, `VALID` or `CIRCULAR`.
        readout: `flatten`, `average_pool` (windows of 2 x 2, then flatten) or `global_average_pool`. With either
            pooling the kernel keeps the covariance of every pair of positions: memory and time grow as (height ·
            width)².

    Raises:
        ValueError: a size or deviation out of range, an unknown activation, padding or readout.
    """

    depth: int = 3
    activation: str | Activation = "erf"
    w_std: float = 1.5
    b_std: float = 0.1
    filter_size: int = 3
    strides: int = 1
    padding: str = "SAME"
    readout: str = "flatten"

    def __post_init__(self):
        checks.whole("depth", self.depth, least=0)
        checks.whole("filter_size", self.filter_size)
        checks.whole("strides", self.strides)
        checks.choice("padding", self.padding, PADDINGS)
        checks.choice("readout", self.readout, READOUTS)
        check_common(self)

    def layers(self, width: int = 512, outputs: int = 1) -> tuple:
        """Convolutions of `width` channels and a dense readout."""
        check_sizes(width, outputs)
        stax, activation = load_stax(), resolve_activation(self.activation)
        stack = []
        for _ in range(self.depth):
            stack += [_convolution(self, width, self.strides, self.padding), activation.layer()]
        return stax.serial(*stack, *_readout(self.readout), stax.Dense(outputs, **deviations(self)))

    def images(self) -> ImageLayers | None:
        """The layers, unless the activation is one of the user's own that has a stax layer alone."""
        return _own(self, (Convolve(self.filter_size, self.strides, self.padding), Activate()) * self.depth)

    def describe(self) -> str:
        """One readable line."""
        f, label = self.filter_size, resolve_activation(self.activation).label
        return (
            f"convolutional, {self.depth} {label} layers of {f}x{f} filters (stride {self.strides}, {self.padding}), "
            f"{self.readout.replace('_', ' ')} readout, w_std {self.w_std:g}, b_std {self.b_std:g}"
        )

    def canonical(self) -> dict[str, Any]:
        """Every field."""
        shape = {key: getattr(self, key) for key in ("depth", "filter_size", "strides")}
        return {
            "network": "convolutional",
            **{key: int(value) for key, value in shape.items()},
            "padding": self.padding,
            "readout": self.readout,
            **canonical_common(self),
        }

    def prepare(self, inputs: Array, name: str = "inputs") -> np.ndarray:
        """Images, checked to be large enough for the filters."""
        array = _images(inputs, name)
        sides = array.shape[1:3]
        for _ in range(self.depth):
            if self.padding == "VALID":
                sides = tuple(side - self.filter_size + 1 for side in sides)
            sides = tuple(-(-side // self.strides) for side in sides)
        _check_sides(name, array.shape, sides, self.readout)
        return array


@checked
@dataclass(frozen=True)
class WideResidual(Network):
    """The wide residual network of `info_ntk`, without normalisation.

    After Shwartz-Ziv & Alemi (2019) and Zagoruyko & Komodakis (2016).

    A convolution, then `groups` groups of `block_size` residual blocks, then the readout. A block adds two activated 3
    x 3 convolutions to its input; the first block of a group adds them to a convolution of its input instead, and from
    the second group on that block halves the image. `info_ntk` pools over windows of 7 x 7, which on 28 x 28 images is
    global pooling.

    Args:
        block_size: residual blocks in each group.
        activation: a name or an `Activation`, as for `FullyConnected`.
        w_std: deviation of the weights of every layer, above 0.
        b_std: deviation of the biases of every layer, 0 for none.
        groups: number of groups; `info_ntk` has 3.
        readout: as for `Convolutional`.

    Raises:
        ValueError: a size or deviation out of range, an unknown activation or readout.
    """

    block_size: int = 1
    activation: str | Activation = "relu"
    w_std: float = 1.0
    b_std: float = 0.0
    groups: int = 3
    readout: str = "global_average_pool"
    filter_size: int = 3

    def __post_init__(self):
        for key in ("block_size", "groups", "filter_size"):
            checks.whole(key, getattr(self, key))
        checks.choice("readout", self.readout, READOUTS)
        check_common(self)

    def layers(self, width: int = 16, outputs: int = 1) -> tuple:
        """`width` channels in the first group, twice as many in each further one."""
        check_sizes(width, outputs)
        stax = load_stax()
        stack = [_convolution(self, width, 1, "SAME")]
        for group in range(self.groups):
            channels, strides = width * 2**group, 1 if group == 0 else 2
            stack.append(self._block(channels, strides, first=True))
            stack += [self._block(channels, 1, first=False) for _ in range(self.block_size - 1)]
        init_fn, apply_fn, kernel_fn = stax.serial(
            *stack, *_readout(self.readout), stax.Dense(outputs, **deviations(self))
        )
        return init_fn, apply_fn, _without_branch_warning(kernel_fn)

    def images(self) -> ImageLayers | None:
        """The layers, unless the activation is one of the user's own that has a stax layer alone."""
        plain, halved = (Convolve(self.filter_size, strides, "SAME") for strides in (1, 2))
        stack: list = [plain]
        for group in range(self.groups):
            first = plain if group == 0 else halved
            stack.append(Add((Activate(), first, Activate(), plain), (first,)))
            stack += [Add((Activate(), plain, Activate(), plain), ())] * (self.block_size - 1)
        return _own(self, tuple(stack))

    def _block(self, channels: int, strides: int, first: bool) -> tuple:
        stax, activation = load_stax(), resolve_activation(self.activation)
        main = stax.serial(
            activation.layer(),
            _convolution(self, channels, strides, "SAME"),
            activation.layer(),
            _convolution(self, channels, 1, "SAME"),
        )
        shortcut = _convolution(self, channels, strides, "SAME") if first else stax.Identity()
        return stax.serial(stax.FanOut(2), stax.parallel(main, shortcut), stax.FanInSum())

    def describe(self) -> str:
        """One readable line."""
        return (
            f"wide residual, {self.groups} groups of {self.block_size} blocks, "
            f"{resolve_activation(self.activation).label}, {self.readout.replace('_', ' ')} readout, "
            f"w_std {self.w_std:g}, b_std {self.b_std:g}"
        )

    def canonical(self) -> dict[str, Any]:
        """Every field."""
        shape = {key: int(getattr(self, key)) for key in ("block_size", "groups", "filter_size")}
        return {"network": "wide_residual", **shape, "readout": self.readout, **canonical_common(self)}

    def prepare(self, inputs: Array, name: str = "inputs") -> np.ndarray:
        """Images, checked to be large enough for the readout."""
        array = _images(inputs, name)
        sides = array.shape[1:3]
        for _ in range(self.groups - 1):
            sides = tuple(-(-side // 2) for side in sides)
        _check_sides(name, array.shape, sides, self.readout)
        return array


def _own(network: Any, stack: tuple) -> ImageLayers | None:
    found = resolve_activation(network.activation).positions()
    if found is None:
        return None
    return ImageLayers(found, (float(network.w_std), float(network.b_std)), stack, network.readout)


def _convolution(network: Any, channels: int, strides: int, padding: str) -> tuple:
    """`stax.Conv` with the covariance propagated by shifted sums.

    `stax.Conv` propagates it by convolutions of one channel; XLA's CPU code for these reads outside its arrays where
    they are padded, which now and then is a segmentation fault (seen with jax 0.10.2 on a processor with AVX-512).
    """
    stax, size, layer = load_stax(), network.filter_size, Convolve(network.filter_size, strides, padding)
    init_fn, apply_fn, _ = stax.Conv(
        channels, (size, size), strides=(strides, strides), padding=padding, **deviations(network)
    )
    weight, bias = float(network.w_std) ** 2, float(network.b_std) ** 2

    @stax.requires(batch_axis=0, channel_axis=3, diagonal_spatial=stax.Diagonal(output=stax.Bool.NO))
    def kernel_fn(kernel, **kwargs):
        axes = 1 if kernel.diagonal_spatial else 2
        own = 1 if kernel.diagonal_batch else 2

        def convolved(block, batch_axes):
            if block.ndim == 0:  # the NTK before the first layer, a plain 0
                return block
            for axis in range(batch_axes, block.ndim, axes):
                block = window_means(block, (tuple(range(axis, axis + axes)),), layer)
            return weight * block

        def covariance(block, batch_axes):
            return None if block is None else convolved(block, batch_axes) + bias

        nngp = covariance(kernel.nngp, 2)
        return kernel.replace(
            cov1=covariance(kernel.cov1, own),
            cov2=covariance(kernel.cov2, own),
            nngp=nngp,
            ntk=None if kernel.ntk is None else convolved(kernel.ntk, 2) + nngp,
            is_gaussian=True,
            is_input=False,
        )

    return stax.layer(lambda: (init_fn, apply_fn, kernel_fn))()


def _without_branch_warning(kernel_fn: Callable) -> Callable:
    """Without the reminder that branches must be independent, as they are: each sum has a convolution in it."""

    @functools.wraps(kernel_fn)
    def quiet(*args, **kwargs):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="`FanIn` layers assume independent inputs")
            return kernel_fn(*args, **kwargs)

    return quiet


def _readout(readout: str) -> list:
    stax = load_stax()
    if readout == "global_average_pool":
        return [stax.GlobalAvgPool()]
    if readout == "average_pool":
        return [stax.AvgPool((2, 2), strides=(2, 2)), stax.Flatten()]
    return [stax.Flatten()]


def _images(inputs: Array, name: str) -> np.ndarray:
    array = np.asarray(inputs, dtype=np.float64)
    if array.ndim == 4:
        return array
    remedy = "use FullyConnected"
    if array.ndim == 3:
        remedy = f"add the channel axis with {name}[..., None]"
    elif array.ndim == 2:
        side = round(array.shape[1] ** 0.5)
        shape = f"(-1, {side}, {side}, 1)" if side**2 == array.shape[1] else "(-1, height, width, channels)"
        remedy = f"reshape them with {name}.reshape{shape}, or use FullyConnected"
    raise ValueError(
        f"{name} has shape {array.shape}; this network takes images (n, height, width, channels): {remedy}"
    )


def _check_sides(name: str, shape: tuple[int, ...], sides: tuple[int, ...], readout: str) -> None:
    least = 2 if readout == "average_pool" else 1
    if min(sides) < least:
        raise ValueError(
            f"{name} has shape {shape}; the layers leave an image of {max(sides[0], 0)} x {max(sides[1], 0)} and the "
            f"{readout} readout needs at least {least} x {least}: take larger images, fewer layers or SAME padding"
        )
