"""Blocks of the two infinite-width kernels, and what computes them for new inputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from jaxtyping import Float

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array
from ntkinfo.kernels.given import check_given


@checked
@dataclass(frozen=True)
class SquareBlocks:
    """NNGP and NTK of one set of inputs with itself: symmetric, (n, n) each."""

    nngp: Float[Array, "n n"]
    ntk: Float[Array, "n n"]


@checked
@dataclass(frozen=True)
class CrossBlocks:
    """NNGP and NTK of p inputs with the n training inputs, and the kernels' values at each of the p inputs."""

    nngp: Float[Array, "p n"]
    ntk: Float[Array, "p n"]
    nngp_diagonal: Float[Array, " p"]
    ntk_diagonal: Float[Array, " p"]


@runtime_checkable
class KernelSource(Protocol):
    """Computes blocks for inputs that were not there when the training blocks were made."""

    def cross(self, inputs: Array) -> CrossBlocks:
        """Blocks of `inputs` (p, ...) with the training inputs."""
        ...

    def square(self, inputs: Array) -> SquareBlocks:
        """Blocks of `inputs` (p, ...) with themselves."""
        ...


@checked
@dataclass(frozen=True)
class KernelBlocks:
    """Everything the output law needs to know of a network and its inputs.

    Args:
        train: training inputs with themselves.
        test: test inputs with the training inputs, and their diagonal.
        source: computes blocks for new inputs and for test with test; None where the arrays were given directly.
        fingerprint: of the network and the inputs, hexadecimal; empty where the arrays were given directly.
        notes: what was done to the numbers on the way (nothing is repaired in silence).
        kernel_error: what the kernels' own computation may have lost: a bound on |ΔK(x, x')| / √(K(x, x) K(x', x'))
            over all pairs of these blocks, for the NNGP and the NTK alike. 0 takes the arrays as exact. Stated errors
            of what is computed from the blocks carry it on.

    Blocks without a fingerprint are taken to be given directly and are checked: shapes that fit, no NaN or infinity, a
    symmetric training kernel. Those in single precision, or whose two triangles differ by that rounding (up to 1e-6 of
    the diagonal), are converted, with a note and a kernel_error to match.

    Raises:
        ValueError: a kernel_error that is negative or not finite; given arrays that are no kernels.
    """

    train: SquareBlocks
    test: CrossBlocks
    source: KernelSource | None = None
    fingerprint: str = ""
    notes: tuple[str, ...] = field(default=())
    kernel_error: float = 0.0

    def __post_init__(self):
        checks.non_negative("kernel_error", self.kernel_error)
        if not self.fingerprint:
            found = check_given(self)
            for key in ("train", "test"):
                object.__setattr__(self, key, found[key])
            object.__setattr__(self, "kernel_error", found["error"])
            object.__setattr__(self, "notes", (*self.notes, *(n for n in found["notes"] if n not in self.notes)))
