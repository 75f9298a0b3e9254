"""The linearised twin of a network: its first-order expansion around the member's own start.

f_lin(ω, x) = f(θ_0, x) + J(θ_0, x) (ω − θ_0). Trained like the member, with the same batches and noise, it is what
the member would be if its tangent kernel did not move.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from ntkinfo.core.arrays import Array


def linearised(apply: Callable[[Any, Array], Array]) -> Callable[[Any, Any, Array], Array]:
    """Return the expansion of a network as a function of parameters, start and inputs.

    Args:
        apply: (parameters, inputs (n, ...)) to outputs (n, C).

    Returns:
        (parameters, start, inputs) to outputs (n, C), affine in the parameters.

    Source: Lee et al. 2019, "Wide neural networks of any depth evolve as linear models under gradient descent".
    """

    def expansion(parameters: Any, start: Any, inputs: Array) -> Array:
        moved = jax.tree.map(lambda now, then: now - then, parameters, start)
        value, change = jax.jvp(lambda at: apply(at, inputs), (start,), (moved,))
        return value + change

    return expansion
