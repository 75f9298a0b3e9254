"""Keys of jax's random numbers, of one generator whatever the process is set to."""

from __future__ import annotations

from typing import Any

import jax

# jax's default. Its other generators (rbg, unsafe_rbg), which JAX_DEFAULT_PRNG_IMPL chooses, give one number of a batch
# other values in a batch of another size under vmap: a member would depend on how many are trained with it.
GENERATOR = "threefry2x32"


def random_key(seed: Any) -> jax.Array:
    """The key of a seed, by `GENERATOR` also where `jax_default_prng_impl` names another."""
    return jax.random.key(seed, impl=GENERATOR)
