"""Any network given as a stax triple."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array, float64
from ntkinfo.kernels.network import Network
from ntkinfo.kernels.stax_checks import (
    BOTH,
    by_name,
    check_gaussian,
    check_kernels,
    check_order,
    for_any_batch,
    holds_dropout,
    loss_at_equal_inputs,
    probes,
)


@checked
@dataclass(frozen=True)
class StaxNetwork(Network):
    """Any network given as a stax triple, as `neural_tangents.stax.serial` returns it.

    The triple is tried when it is given: its kernels must have the shape (p, q) for p and q inputs, and its outputs
    must be those of a readout, Gaussian with mean 0. Graphs: bind one pattern for all inputs to `kernel_fn` and
    `apply_fn` with functools.partial; it is fitted to the number of inputs.

    Kernels are those of `kernel_fn`. With `stax.Relu` and its relatives the NTK of an input with itself then keeps only
    half of the digits (2e-8 relative): take `ntkinfo`'s activations' `.layer()` in the triple where that matters. A
    mask is an argument of the triple's functions, `mask_constant`, which is not passed: give functions that bind it.

    Args:
        init_fn: makes the parameters of a finite network.
        apply_fn: evaluates a finite network.
        kernel_fn: the infinite-width kernels.
        name: what to call the network; part of the fingerprint.
        input_shape: shape of one input, without the batch axis.

    Raises:
        TypeError: one of the three is not a function.
        ValueError: an empty input shape; a triple with dropout, whose outputs are random beyond its parameters; one
            that ends in an activation, or whose kernels keep positions; a bound pattern that differs between inputs.
    """

    init_fn: Callable
    apply_fn: Callable
    kernel_fn: Callable
    name: str
    input_shape: tuple[int, ...]
    _notes: tuple[str, ...] = field(default=(), init=False, repr=False, compare=False)

    def __post_init__(self):
        for key in ("init_fn", "apply_fn", "kernel_fn"):
            if not callable(getattr(self, key)):
                raise TypeError(f"{key} is {getattr(self, key)!r}; it must be a function, as stax.serial returns it")
        if holds_dropout(self.kernel_fn):
            raise ValueError(
                f"{self.name} holds dropout, so that its outputs are random even for given parameters, and the law of "
                "an ensemble does not describe them; leave the dropout layers out"
            )
        if isinstance(self.input_shape, int | np.integer):
            raise TypeError(f"input_shape is {self.input_shape}; give a tuple, such as ({self.input_shape},)")
        shape = tuple(self.input_shape)
        if not shape:
            raise ValueError("input_shape is (); give the shape of one input, such as (784,) or (28, 28, 1)")
        for size in shape:
            checks.whole("input_shape", size)
        object.__setattr__(self, "input_shape", shape)
        triple = self.layers()
        state = check_kernels(triple[2], self.name, shape)
        check_order(for_any_batch(self.kernel_fn, self.name, "kernel_fn", _sides), self.name, probes(shape)[:2])
        note = check_gaussian(triple, self.name, shape, state)
        object.__setattr__(self, "_notes", (note,) if note else ())

    def layers(self, width: int | None = None, outputs: int | None = None) -> tuple:
        """The triple itself; its width and outputs are those with which it was built."""
        if width is not None or outputs is not None:
            raise ValueError(
                f"{self.name} has the width and the outputs with which its triple was built; call layers() without them"
            )

        def kernel_fn(x1, x2=None, get=None, **keywords):
            found = fitted(x1, x2, get, **keywords)
            return by_name(found, self.name) if get == BOTH else found

        fitted = for_any_batch(self.kernel_fn, self.name, "kernel_fn", _sides)
        apply_fn = for_any_batch(self.apply_fn, self.name, "apply_fn", lambda _, inputs, *rest: (len(inputs),))
        return self.init_fn, apply_fn, kernel_fn

    def functions(self, width: int | None = None, outputs: int | None = None) -> tuple[Callable, Callable]:
        """The first two of the triple."""
        init_fn, apply_fn = self.layers(width, outputs)[:2]
        return init_fn, apply_fn

    def describe(self) -> str:
        """The name and the input shape."""
        return f"{self.name} (stax triple, inputs of shape {self.input_shape})"

    def canonical(self) -> dict[str, Any]:
        """Name, input shape, and the kernels on fixed inputs to nine significant digits."""
        points = probes(self.input_shape)
        with float64():
            values = self.layers()[2](points[:3], points[3:], BOTH)
        text = [f"{value:.8e}" for kernel in values for value in np.asarray(kernel).ravel()]
        return {"network": "stax", "name": self.name, "input_shape": list(self.input_shape), "values": text}

    def prepare(self, inputs: Array, name: str = "inputs") -> np.ndarray:
        """The inputs, checked against the input shape."""
        array = np.asarray(inputs, dtype=np.float64)
        if array.shape[1:] != self.input_shape:
            remedy = ""
            if (*array.shape[1:], 1) == self.input_shape:
                remedy = f"; add the channel axis with {name}[..., None]"
            elif array.ndim > 1 and array[:1].size == np.prod(self.input_shape):
                remedy = f"; reshape them with {name}.reshape(-1, {', '.join(str(s) for s in self.input_shape)})"
            checks.shape(name, array, (None, *self.input_shape), f"inputs of {self.name}{remedy}")
        return array

    @property
    def stated_error(self) -> float:
        """What rounding loses of the kernels of equal inputs, relative, measured on fixed inputs."""
        return self._lost

    @cached_property
    def _lost(self) -> float:
        lost = loss_at_equal_inputs(self.layers()[2], self.input_shape)
        return lost if np.isfinite(lost) else 0.0  # no finite kernels: refused where the user's inputs meet it

    @property
    def kernel_notes(self) -> tuple[str, ...]:
        """Where the digits of a triple's kernels end."""
        known = f"equal inputs are off by up to {self.stated_error:.0e}, measured"
        return (*self._notes, f"kernels of {self.name} as its kernel_fn gives them: {known}")


def _sides(x1: Any, x2: Any = None, *rest: Any) -> tuple[int, int]:
    return len(x1), len(x1 if x2 is None else x2)
