"""The tangent kernel of a network of finite width: its value, how far it moves, and its largest eigenvalue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ntkinfo.core.arrays import Array, float64
from ntkinfo.kernels.blocks import NetworkKernels
from ntkinfo.kernels.network import Network

Apply = Callable[[Any, Array], Array]

# Bytes of gradients that are held at the same time while a kernel is made.
_GRADIENT_BYTES = 1 << 25
_ITERATIONS = 20


def empirical_kernel(apply: Apply, parameters: Any, inputs: Array) -> Array:
    """Θ = J Jᵀ of one network, (sC, sC), rows in the order of `outputs.reshape(-1)`.

    Column by column, J (Jᵀ e): one backward and one forward derivative each, a few columns at the same time, so that
    the gradients of only a few outputs are in memory.

    Args:
        apply: (parameters, inputs (s, ...)) to outputs (s, C).
        parameters: tree of arrays.
        inputs: (s, ...).
    """
    outputs, pull = jax.vjp(lambda at: apply(at, inputs), parameters)

    def column(row):
        direction = pull(row.reshape(outputs.shape))[0]
        return jax.jvp(lambda at: apply(at, inputs), (parameters,), (direction,))[1].reshape(-1)

    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(parameters))
    rows = jnp.eye(outputs.size, dtype=outputs.dtype)
    return jax.lax.map(column, rows, batch_size=int(np.clip(_GRADIENT_BYTES // size, 1, outputs.size)))


def relative_change(kernel: Array, reference: Array) -> Array:
    """‖Θ − Θ_ref‖ / ‖Θ_ref‖ in the Frobenius norm."""
    return jnp.linalg.norm(kernel - reference) / jnp.linalg.norm(reference)


def analytic_kernel(
    network: Network | Sequence[Callable], inputs: Array, outputs: int
) -> Float[np.ndarray, "rows rows"] | None:
    """Θ ⊗ I_C of infinite width, (sC, sC) in float64, or None for functions without a kernel_fn.

    Args:
        network: a description, or the functions of a stax network.
        inputs: (s, ...).
        outputs: the number of outputs C.
    """
    if isinstance(network, Network):
        return np.kron(np.asarray(NetworkKernels(network, inputs).train().ntk), np.eye(outputs))
    if len(network) < 3:
        return None
    with float64():
        points = np.asarray(inputs, dtype=np.float64)
        kernel = np.asarray(jax.jit(lambda points: network[2](points, None, "ntk"))(points))
    return np.kron(kernel, np.eye(outputs))


def largest_eigenvalue(apply: Apply, parameters: Any, inputs: Array) -> float:
    """Estimate the largest eigenvalue of J Jᵀ, from below (power iteration)."""

    def iterate(parameters, vector):
        outputs, pull = jax.vjp(lambda at: apply(at, inputs), parameters)

        def turn(vector, _):
            direction = pull(vector.reshape(outputs.shape))[0]
            image = jax.jvp(lambda at: apply(at, inputs), (parameters,), (direction,))[1].reshape(-1)
            size = jnp.linalg.norm(image)
            return image / jnp.where(size > 0, size, 1.0), size

        return jax.lax.scan(turn, vector, length=_ITERATIONS)[1][-1]

    shape = jax.eval_shape(apply, parameters, inputs)
    vector = np.random.default_rng(0).normal(size=shape.shape).reshape(-1)
    return float(jax.jit(iterate)(parameters, jnp.asarray(vector / np.linalg.norm(vector), shape.dtype)))
