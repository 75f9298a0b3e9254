"""What a few members of an ensemble compute between two looks at them, as compiled functions of their state.

A lane is a few members in one vectorised computation. On a processor a wide network fills the caches alone, and lanes
hold one member each; narrow ones are many to a lane, so that the cost of starting an operation is shared.
"""

from __future__ import annotations

import hashlib
import importlib
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array, float64
from ntkinfo.core.randomness import random_key
from ntkinfo.kernels.tiles import largest_array

Params = Any
Batch = Any
Key = jax.Array

# Streams of random numbers below a member's key.
INITIALISE, BATCHES, LOSS, OBSERVE, NOISE, FIXED = range(6)
# Bytes that the largest array of a lane should stay below, and members to a lane at most, on a processor.
_LANE_BYTES, _LANE_MOST = 1 << 17, 64


@checked
@dataclass(frozen=True)
class Training:
    """What one member does: pure functions of one member, which the engine repeats over members and steps.

    Args:
        initialise: a key to the member's parameters, any pytree of arrays of floating-point numbers.
        loss: (parameters, batch, key) to the scalar that the optimiser lowers.
        optimiser: any optax transformation; learning rates and schedules live in it.
        examples: pytree of arrays with one leading axis of n examples, shared by the members.
        observe: (parameters, key) to a pytree of arrays, which is recorded.
        batch_size: examples a step; None for all of them, in their order. Step k takes the places k·b to (k+1)·b − 1 of
            an endless row of permutations, one after the other, of the member's own: every permutation covers each
            example once, whether or not b divides n.
        noise: (parameters, key, step) to the parameters after a random kick, applied after every update.
        fixed: (initial parameters, key) to what a member keeps unchanged through its training, such as its initial
            parameters or its noise on the targets. Where given, `loss`, `observe` and `noise` receive the pair
            (parameters, fixed) in place of the parameters.
    """

    initialise: Callable[[Key], Params]
    loss: Callable[[Params, Batch, Key], Array]
    optimiser: optax.GradientTransformation
    examples: Any
    observe: Callable[[Params, Key], Any]
    batch_size: int | None = None
    noise: Callable[[Params, Key, Array], Params] | None = None
    fixed: Callable[[Params, Key], Any] | None = None

    @property
    def batch(self) -> int:
        """Examples a step."""
        return self.batch_size or self.n_examples

    @property
    def n_examples(self) -> int:
        """The number of examples n."""
        return len(jax.tree.leaves(self.examples)[0])


def precision_context(precision: str) -> AbstractContextManager:
    """Where jax computes in that precision, whatever the global setting is."""
    if precision == "float64":
        return float64()
    home = jax if hasattr(jax, "enable_x64") else importlib.import_module("jax.experimental")
    return home.enable_x64(False)


@dataclass(frozen=True)
class State:
    """A lane: parameters and optimiser state, which move, and what stays; every array has a leading axis of members."""

    moving: Any
    fixed: Any


@dataclass(frozen=True)
class MemberProgram:
    """Compiled functions over a lane of members.

    Args:
        training: what one member does.
        seed: of the ensemble; a member's key is fold_in(key(seed), member).
        precision: "float64" or "float32".
        lane: members in one vectorised computation.
    """

    training: Training
    seed: int
    precision: str
    lane: int

    def start(self, members: np.ndarray) -> State:
        """State of those members before the first step; drawn in float64, then rounded to the precision."""
        with float64():
            drawn = jax.tree.map(np.asarray, self._draw(self.keys(members)))
        with precision_context(self.precision):
            return State(*self._prepare(self._cast(drawn), self.keys(members)))

    def advance(self, state: State, members: np.ndarray, step: int, count: int) -> State:
        """State after `count` further steps; the arrays of the given state are used up."""
        n, batch = self.training.n_examples, self.training.batch_size or 0
        epoch, offset = divmod(step * batch, n)
        with precision_context(self.precision):
            place = [np.int32(number) for number in (step, count, epoch, offset)]
            moving = self._advance(state.moving, state.fixed, self.keys(members), self._examples, *place)
        return State(moving, state.fixed)

    def observe(self, state: State, members: np.ndarray, step: int) -> Any:
        """What is recorded of each member, as numpy arrays with a leading axis of members."""
        with precision_context(self.precision):
            seen = self._observe(state.moving[0], state.fixed, self.keys(members), np.int32(step))
        return jax.tree.map(np.asarray, seen)

    def keys(self, members: np.ndarray) -> Key:
        """One key for each member."""
        return _member_keys(self._base, np.asarray(members, dtype=np.uint32))

    def compile(self) -> None:
        """Compile every function now, on this thread."""
        members = np.arange(self.lane)
        state = self.start(members)
        self.observe(state, members, 0)
        self.advance(state, members, 0, 0)

    def restored(self, leaves: list[np.ndarray]) -> State:
        """State of a lane from its arrays, as `jax.tree.leaves((moving, fixed))` gives them.

        Raises:
            ValueError: they are not those of this program.
        """
        wanted, tree = jax.tree.flatten(self._shapes[:2])
        if [array.shape for array in leaves] != [leaf.shape for leaf in wanted]:
            raise ValueError("the stored state has other shapes than the members; delete the checkpoint")
        with precision_context(self.precision):
            # numpy reads types that are not its own (bfloat16) as bare bytes.
            held = [jnp.asarray(array.view(leaf.dtype)) for array, leaf in zip(leaves, wanted, strict=True)]
        return State(*jax.tree.unflatten(tree, held))

    @cached_property
    def value_tree(self) -> Any:
        """Structure of what is recorded."""
        moving, fixed, keys = self._shapes
        with precision_context(self.precision):
            return jax.tree.structure(jax.eval_shape(self._observe, moving[0], fixed, keys, np.int32(0)))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the traced computation with every constant in it, and of the examples."""
        with float64():
            digest = hashlib.sha256(_trace(self._draw, self.keys(np.arange(self.lane))))
        moving, fixed, keys = self._shapes
        with precision_context(self.precision):
            digest.update(_trace(self._prepare, moving[0], keys))
            digest.update(_trace(self._advance, moving, fixed, keys, self._examples, *[np.int32(0)] * 4))
            digest.update(_trace(self._observe, moving[0], fixed, keys, np.int32(0)))
        for leaf in jax.tree.leaves(self._examples):
            digest.update(np.ascontiguousarray(leaf).tobytes())
        return digest.hexdigest()

    @cached_property
    def state_bytes(self) -> int:
        """Memory that the state of one member takes."""
        leaves = jax.tree.leaves(self._shapes[:2])
        return sum(int(np.prod(leaf.shape)) * leaf.dtype.itemsize for leaf in leaves) // self.lane

    @cached_property
    def largest_bytes(self) -> int:
        """Memory of the largest array that one member's step or record makes."""
        moving, fixed, keys = self._shapes
        with precision_context(self.precision):
            step = jax.make_jaxpr(self._advance)(moving, fixed, keys, self._examples, *[np.int32(0)] * 4)
            look = jax.make_jaxpr(self._observe)(moving[0], fixed, keys, np.int32(0))
        return max(largest_array(step.jaxpr), largest_array(look.jaxpr)) // self.lane

    @cached_property
    def _shapes(self) -> tuple[Any, Any, Key]:
        """Shapes of what moves and of what stays, and the keys, of the first lane."""
        keys = self.keys(np.arange(self.lane))
        with float64():
            drawn = jax.eval_shape(self._cast, jax.eval_shape(self._draw, keys))
        with precision_context(self.precision):
            return *jax.eval_shape(self._prepare, drawn, keys), keys

    @cached_property
    def _examples(self) -> Any:
        return jax.tree.map(np.asarray, self._cast(jax.tree.map(np.asarray, self.training.examples)))

    @cached_property
    def _base(self) -> Key:
        with float64():
            return random_key(self.seed)

    @property
    def _draw(self) -> Callable:
        return drawing(self.training.initialise, self.lane)

    @cached_property
    def _prepare(self) -> Callable:
        training = self.training

        def one(params, key):
            kept = None if training.fixed is None else training.fixed(params, jax.random.fold_in(key, FIXED))
            return (params, training.optimiser.init(params)), self._cast(kept)

        return jax.jit(self._each(one))

    @cached_property
    def _observe(self) -> Callable:
        def run(params, fixed, keys, step):
            def one(params, fixed, key):
                key = jax.random.fold_in(jax.random.fold_in(key, OBSERVE), step)
                return self.training.observe(self._given(params, fixed), key)

            return self._each(one)(params, fixed, keys)

        return jax.jit(run)

    @cached_property
    def _advance(self) -> Callable:
        def run(moving, fixed, keys, examples, step, count, epoch, offset):
            orders = self._orders(keys, epoch)

            def body(index, carry):
                moving, orders, epoch, offset = carry
                rows = self._rows(orders, offset)
                moving = self._step(moving, fixed, keys, rows, examples, step + index)
                return moving, *self._turn(keys, orders, epoch, offset)

            return jax.lax.fori_loop(0, count, body, (moving, orders, epoch, offset))[0]

        return jax.jit(run, donate_argnums=0)

    def _step(self, moving: Any, fixed: Any, keys: Key, rows: Any, examples: Any, step: Array) -> Any:
        training = self.training

        def one(moving, fixed, key, rows):
            params, memory = moving
            batch = examples if rows is None else jax.tree.map(lambda array: _take(array, rows), examples)
            stream = [jax.random.fold_in(jax.random.fold_in(key, name), step) for name in (LOSS, NOISE)]
            slope = jax.grad(lambda at: training.loss(self._given(at, fixed), batch, stream[0]))(params)
            change, memory = training.optimiser.update(slope, memory, params)
            params = optax.apply_updates(params, change)
            if training.noise is not None:
                params = training.noise(self._given(params, fixed), stream[1], step)
            return params, memory

        return self._each(one)(moving, fixed, keys, rows)

    def _orders(self, keys: Key, epoch: Array) -> Any:
        """Each member's permutations of this epoch and the next, side by side (lane, 2n); None for full batches."""
        if self.training.batch_size is None:
            return None
        return jnp.concatenate([self._order(keys, epoch), self._order(keys, epoch + 1)], axis=1)

    def _order(self, keys: Key, epoch: Array) -> Array:
        def one(key):
            return jax.random.permutation(
                jax.random.fold_in(jax.random.fold_in(key, BATCHES), epoch), self.training.n_examples
            ).astype(np.int32)

        return self._each(one)(keys)

    def _rows(self, orders: Any, offset: Array) -> Any:
        if orders is None:
            return None
        return jax.lax.dynamic_slice_in_dim(orders, offset, self.training.batch, axis=1)

    def _turn(self, keys: Key, orders: Any, epoch: Array, offset: Array) -> tuple[Any, Array, Array]:
        """Orders, epoch and offset of the coming step; a batch never reaches past the next permutation."""
        if orders is None:
            return orders, epoch, offset
        n, offset = self.training.n_examples, offset + self.training.batch
        crossed = offset >= n
        epoch = jnp.where(crossed, epoch + 1, epoch)

        def renewed():
            return jnp.concatenate([orders[:, n:], self._order(keys, epoch + 1)], axis=1)

        return jax.lax.cond(crossed, renewed, lambda: orders), epoch, jnp.where(crossed, offset - n, offset)

    def _given(self, params: Params, fixed: Any) -> Any:
        return params if self.training.fixed is None else (params, fixed)

    def _cast(self, tree: Any) -> Any:
        def one(array):
            return array.astype(self.precision) if jnp.issubdtype(array.dtype, jnp.floating) else array

        return jax.tree.map(one, tree)

    def _each(self, function: Callable) -> Callable:
        return _over_lane(function, self.lane)


def _over_lane(function: Callable, lane: int) -> Callable:
    """The function over the members of a lane; a lane of one without the cost of an axis of length one."""
    if lane > 1:
        return jax.vmap(function)

    def alone(*trees):
        result = function(*jax.tree.map(lambda array: array[0], trees))
        return jax.tree.map(lambda array: jnp.asarray(array)[None], result)

    return alone


@jax.jit
def _member_keys(base: Key, members: Array) -> Key:
    return jax.vmap(lambda member: jax.random.fold_in(base, member))(members)


@lru_cache(maxsize=8)
def drawing(initialise: Callable, lane: int) -> Callable:
    """Keys to initial parameters; kept, because members and their twins start alike and compiling takes seconds."""
    return jax.jit(_over_lane(lambda key: initialise(jax.random.fold_in(key, INITIALISE)), lane))


def lane_size(training: Training, seed: int, precision: str, members: int) -> int:
    """Members to a lane on this device: all of them on an accelerator, as many as suit the caches on a processor."""
    if jax.local_devices()[0].platform != "cpu":
        return members
    single = MemberProgram(training, seed, precision, 1)
    most = int(np.clip(_LANE_BYTES // max(single.largest_bytes, 1), 1, _LANE_MOST))
    # A multiple of four lanes keeps a few threads equally busy.
    lanes = min(members, 4 * -(-members // (4 * most)))
    return -(-members // lanes)


def _take(array: Array, rows: Array) -> Array:
    return jnp.asarray(array).at[rows].get(mode="promise_in_bounds", unique_indices=True)


def _trace(function: Callable, *arguments: Any) -> bytes:
    closed = jax.make_jaxpr(function)(*arguments)
    digest = hashlib.sha256(re.sub(r"0x[0-9a-f]+", "", str(closed)).encode())
    for constant in _constants(closed):
        digest.update(str((constant.shape, constant.dtype)).encode())
        digest.update(np.ascontiguousarray(constant).tobytes())
    return digest.digest()


def _constants(closed: Any) -> Iterator[np.ndarray]:
    """Every array that a traced computation holds, also inside the computations that it calls."""
    for constant in getattr(closed, "consts", ()):
        if jnp.issubdtype(constant.dtype, jax.dtypes.prng_key):
            constant = jax.random.key_data(constant)
        yield np.asarray(constant)
    jaxpr = getattr(closed, "jaxpr", closed)
    for equation in jaxpr.eqns:
        yield from (np.asarray(v.val) for v in equation.invars if np.size(getattr(v, "val", 0)) > 1)
        for parameter in equation.params.values():
            for part in parameter if isinstance(parameter, tuple | list) else (parameter,):
                if hasattr(getattr(part, "jaxpr", part), "eqns"):
                    yield from _constants(part)
