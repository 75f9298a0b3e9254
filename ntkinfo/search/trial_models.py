"""What trials share: the kernels of a family of depths and their decompositions, kept for the trials to come.

One recursion gives the kernels of every depth of a fully connected family; one decomposition of a kernel serves every
label noise, ridge, procedure and stopping time. Convolutional families share nothing between depths: their recursion
carries the covariances of all pairs of pixels, which are worth recomputing but not keeping.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ntkinfo.core.memory import GIB, available_memory
from ntkinfo.core.records import Dataset
from ntkinfo.kernels.architectures import Convolutional, FullyConnected, Network, WideResidual
from ntkinfo.kernels.blocks import kernel_blocks
from ntkinfo.kernels.depth_family import depth_family_blocks
from ntkinfo.kernels.records import KernelBlocks
from ntkinfo.search.trial_data import clean_data
from ntkinfo.search.trial_description import Trial
from ntkinfo.training.output_distribution import Decomposition, decompose

KEPT_BYTES = 1.0 * GIB
"""Families are forgotten, the least recently used first, once they take more than this or a quarter of what is free."""


@dataclass
class Family:
    """Kernels by depth, and their decompositions, of one architecture on one split.

    Args:
        trial: any of the family's trials.
        data: without label noise.
    """

    trial: Trial
    data: Dataset
    _blocks: dict[int, KernelBlocks] = field(default_factory=dict)
    _found: dict[tuple[int, str, str], Decomposition] = field(default_factory=dict)

    def blocks(self, depth: int) -> KernelBlocks:
        """Kernels of one depth. Ask for the deepest first: it brings all the others of a fully connected family."""
        if depth not in self._blocks:
            network = network_of(self.trial, depth)
            if isinstance(network, FullyConnected):
                self._blocks.update(depth_family_blocks(network, self.data, range(depth + 1)))
            else:
                self._blocks[depth] = kernel_blocks(network, self.data)
        return self._blocks[depth]

    def decomposition(self, depth: int, tangent: str, start: str) -> Decomposition:
        """Decomposition of one depth's kernel; one for the law of each kind of procedure."""
        key = (depth, tangent, start)
        if key not in self._found:
            self._found[key] = decompose(self.blocks(depth), tangent, start)
        return self._found[key]

    @property
    def bytes(self) -> float:
        """What is held."""
        n, m = len(self.data.x_train), len(self.data.x_test)
        return 8.0 * (len(self._blocks) * 2 * n * (n + m) + len(self._found) * 2 * n * n) + self.data.x_test.nbytes


def network_of(trial: Trial, depth: int) -> Network:
    """The network of a trial with any depth."""
    builders: Mapping[str, Callable[..., Network]] = {
        "fully_connected": lambda **options: FullyConnected(depth=depth, **options),
        "convolutional": lambda **options: Convolutional(depth=depth, **options),
        "wide_residual": lambda **options: WideResidual(block_size=depth, **options),
    }
    return builders[trial.family](activation=trial.activation, w_std=trial.w_std, b_std=trial.b_std)


class Families:
    """The families met last, by group, as many as memory allows."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Family] = OrderedDict()

    def of(self, trial: Trial) -> Family:
        """The family of a trial, from memory or with fresh data."""
        family = self._kept.pop(trial.group, None) or Family(trial, clean_data(trial))
        self._kept[trial.group] = family
        self._forget()
        return family

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()

    def _forget(self) -> None:
        limit = min(KEPT_BYTES, 0.25 * available_memory() * GIB)
        while len(self._kept) > 1 and sum(family.bytes for family in self._kept.values()) > limit:
            self._kept.popitem(last=False)


FAMILIES_HERE = Families()
"""Those of this process: a second batch of a group's trials finds its kernels here."""
