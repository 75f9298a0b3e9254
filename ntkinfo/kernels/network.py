"""What every description of a network offers, and what the descriptions share."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ntkinfo.core import checks
from ntkinfo.core.arrays import Array
from ntkinfo.kernels.activations import resolve_activation
from ntkinfo.kernels.dense_recursion import Rectangles
from ntkinfo.kernels.image_recursion import ImageLayers
from ntkinfo.kernels.near_pairs import Pairs

# Part of every fingerprint: raise it when a formula changes, so that stored kernels of the old one are not read.
FORMULA_VERSION = 2


@dataclass(frozen=True)
class DenseLayers:
    """A fully connected network as its recursion needs it.

    Args:
        rectangles: takes rectangles of inputs through a layer.
        pairs: takes chosen pairs of inputs through the layers.
        deviations: of weights and biases.
        depth: number of hidden layers.
    """

    rectangles: Rectangles
    pairs: Pairs
    deviations: tuple[float, float]
    depth: int


class Network(ABC):
    """A network of infinite width, or its finite copies of a chosen width."""

    @abstractmethod
    def layers(self, width: int = 512, outputs: int = 1) -> tuple:
        """The stax triple (init_fn, apply_fn, kernel_fn); the kernel is that of infinite width for any width."""

    def functions(self, width: int = 512, outputs: int = 1) -> tuple[Callable, Callable]:
        """(init_fn, apply_fn) of the finite network, as in `layers`."""
        init_fn, apply_fn = self.layers(width, outputs)[:2]
        return init_fn, apply_fn

    @abstractmethod
    def describe(self) -> str:
        """One readable line."""

    @abstractmethod
    def canonical(self) -> dict[str, Any]:
        """Plain strings and numbers that determine the kernels."""

    @abstractmethod
    def prepare(self, inputs: Array, name: str = "inputs") -> np.ndarray:
        """The inputs as float64 in the shape that the layers take.

        Raises:
            ValueError: inputs of another shape, with what to do about it.
        """

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the canonical description, as hexadecimal digits; the same in every process and version."""
        text = json.dumps({"formula": FORMULA_VERSION, **self.canonical()}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def dense(self) -> DenseLayers | None:
        """The layers of a fully connected network, which have a recursion of their own; None for all others."""
        return None

    def images(self) -> ImageLayers | None:
        """The layers of a network for images, which have a recursion of their own; None for all others."""
        return None

    def rank_bound(self, inputs: np.ndarray) -> int:
        """A bound on the rank of the exact kernels of inputs that differ, n where nothing is known.

        Args:
            inputs: (n, ...), as `prepare` gives them.
        """
        return len(inputs)

    @property
    def stated_error(self) -> float:
        """What the kernels of layers that neural_tangents composes may lose, as in `KernelBlocks.kernel_error`."""
        return 0.0

    @property
    def kernel_notes(self) -> tuple[str, ...]:
        """What to know about the digits of the kernels; empty when there is nothing to say."""
        return ()


def check_common(network: Any) -> None:
    """Raise unless activation and deviations are sound."""
    resolve_activation(network.activation)
    checks.positive("w_std", network.w_std)
    checks.non_negative("b_std", network.b_std)


def check_sizes(width: int, outputs: int) -> None:
    """Raise unless a finite network of that width and number of outputs exists."""
    checks.whole("width", width)
    checks.whole("outputs", outputs)


def canonical_common(network: Any) -> dict[str, Any]:
    """Activation and deviations as plain strings and numbers."""
    deviations = {"w_std": float(network.w_std), "b_std": float(network.b_std)}
    return {**resolve_activation(network.activation).canonical(), **deviations}


def deviations(network: Any) -> dict[str, Any]:
    """Arguments of every stax layer with weights; no bias parameters where their deviation is 0."""
    return {"W_std": float(network.w_std), "b_std": float(network.b_std) if network.b_std else None}
