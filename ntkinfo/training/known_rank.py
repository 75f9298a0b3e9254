"""How many directions of a tangent kernel are null for a reason, and how many only by the digits of float64.

Inputs that repeat, inputs that are exact multiples of one another to a network that is homogeneous or odd, and linear
networks of few features have directions that no training moves. Any other direction whose eigenvalue is too small for
float64 is learned in the end, and what is computed takes it as null.
"""

from __future__ import annotations

import numpy as np

from ntkinfo.core.arrays import namespace, to_numpy
from ntkinfo.kernels.records import KernelBlocks
from ntkinfo.training.anchors import representatives


def rank_bound(blocks: KernelBlocks, names: tuple[str, str], x_train: np.ndarray) -> int:
    """A bound on the rank of the exact tangent kernel, n where nothing is known.

    Args:
        blocks: kernels on the data, with or without the network that they are of.
        names: of the tangent kernel and of the covariance before training ("ntk", "nngp").
        x_train: (n, ...), training inputs.
    """
    kernel = getattr(blocks.train, names[0])
    alive = to_numpy(namespace(kernel).diagonal(kernel)) > 0
    first = representatives(blocks.train, names, x_train)
    distinct = alive if first is None else alive & (first == np.arange(len(first)))
    bound = int(distinct.sum())
    network = getattr(blocks.source, "network", None)
    if network is None:
        return bound
    inputs = network.prepare(x_train, "x_train")
    return min(bound, network.rank_bound(inputs[distinct]))
