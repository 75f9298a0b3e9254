"""Training of the variational forms: batches, draws and weights are functions of the step, so that a restart is exact.

One compiled program advances by any number of steps. At every recorded step, and every two seconds between them, state
and records go to a checkpoint; a run that was killed goes on from there and ends with the same bits.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from ntkinfo.bottleneck.variational_modules import VariationalModel, cast
from ntkinfo.bottleneck.variational_objectives import Objective, example_loss
from ntkinfo.bottleneck.variational_targets import Targets
from ntkinfo.core.damage import UNREADABLE, content_digest
from ntkinfo.core.kept import INTERVAL, replacing
from ntkinfo.core.progress import Track
from ntkinfo.core.randomness import random_key
from ntkinfo.core.records import fingerprint

_BATCHES, _NOISE = 0, 1  # streams of random numbers below the seed's key
_STRIDE = 100  # steps at most between two items of progress
_CONTENT = "content"  # digest of everything else in a checkpoint; those of earlier versions have none
_NAME = re.compile(r"mark|state_[0-9]+|record_.+", re.DOTALL)
Records = dict[str, np.ndarray]


@dataclass(frozen=True)
class Program:
    """What is trained on what, and how.

    Args:
        objective: rate and weights.
        targets: inputs and targets of training.
        start: the model before training, in the precision of training.
        optimiser: of optax.
        batch_size: inputs in a step; None takes all of them in every step.
        draws: of z for each input and step.
        seed: of batches and draws.
    """

    objective: Objective
    targets: Targets
    start: VariationalModel
    optimiser: optax.GradientTransformation
    batch_size: int | None
    draws: int
    seed: int

    @cached_property
    def arrays(self) -> dict[str, jax.Array]:
        """The examples on the device, in the precision of training."""
        precision = jax.tree.leaves(self.parameters)[0].dtype
        return {name: jnp.asarray(array, dtype=precision) for name, array in self.targets.arrays.items()}

    @cached_property
    def parameters(self) -> Any:
        """The trained part of the start."""
        return eqx.filter(self.start, eqx.is_inexact_array)

    def model(self, parameters: Any) -> VariationalModel:
        """The whole model with these parameters."""
        return eqx.combine(parameters, eqx.filter(self.start, eqx.is_inexact_array, inverse=True))

    def initial(self) -> tuple[Any, Any, jax.Array]:
        """Parameters, state of the optimiser, and step 0."""
        return self.parameters, self.optimiser.init(self.parameters), jnp.asarray(0)

    @cached_property
    def advance(self) -> Callable[[Any, int], Any]:
        """Take a state forward by a number of steps; compiled once for all numbers."""

        @jax.jit
        def run(state: Any, count: jax.Array, arrays: dict[str, jax.Array]) -> Any:
            order = self._order(state[2])

            def body(_: Any, carried: Any) -> Any:
                (parameters, optimiser_state, step), order = carried
                order = jax.lax.cond(step % self._per_epoch == 0, lambda: self._order(step), lambda: order)
                batch = self._batch(arrays, order, step)
                gradient = jax.grad(self.loss)(parameters, batch, step)
                updates, optimiser_state = self.optimiser.update(gradient, optimiser_state, parameters)
                return (optax.apply_updates(parameters, updates), optimiser_state, step + 1), order

            return jax.lax.fori_loop(0, count, body, (state, order))[0]

        return lambda state, count: run(state, jnp.asarray(count), self.arrays)

    def loss(self, parameters: Any, batch: dict[str, jax.Array], step: jax.Array) -> jax.Array:
        """Average loss of a batch at a step."""
        model, weights = self.model(parameters), self.objective.weights(step)
        dtype = batch["inputs"].dtype
        weights = {name: weight.astype(dtype) for name, weight in weights.items()}
        latent = jax.eval_shape(model.encoder, jax.tree.map(lambda a: a[0], batch)["inputs"])[0].shape[0]
        key = jax.random.fold_in(self._key(_NOISE), step)
        noise = jax.random.normal(key, (len(batch["inputs"]), self.draws, latent), dtype=dtype)
        prior = jnp.asarray(self.targets.prior, dtype=dtype)
        losses = jax.vmap(lambda row, eps: example_loss(self.objective, self.targets, model, row, eps, prior, weights))
        return jnp.mean(losses(batch, noise))

    def fingerprint(self, settings: str) -> str:
        """Digest of all that a restart must share: data, start, objective, optimiser and what the parts compute."""
        digest = hashlib.sha256(f"{settings}{self.objective}{self.batch_size}{self.draws}{self.seed}".encode())
        for array in (*self.targets.arrays.values(), *jax.tree.leaves(self.parameters)):
            digest.update(fingerprint(np.asarray(array)).encode())
        # Activations and step sizes are functions without a name: what one step leads to stands for them.
        for array in jax.tree.leaves(self.advance(self.initial(), 1)):
            digest.update(np.asarray(array).tobytes())
        return digest.hexdigest()

    @property
    def _per_epoch(self) -> int:
        """Steps in an epoch; what is left of the inputs waits for another epoch's order."""
        return 1 if self.batch_size is None else len(self.targets.inputs) // self.batch_size

    def _key(self, stream: int) -> jax.Array:
        return jax.random.fold_in(random_key(self.seed), stream)

    def _order(self, step: jax.Array) -> jax.Array:
        """The order of the inputs in the epoch of a step."""
        size = len(self.targets.inputs)
        if self.batch_size is None:
            return jnp.arange(size)
        return jax.random.permutation(jax.random.fold_in(self._key(_BATCHES), step // self._per_epoch), size)

    def _batch(self, arrays: dict[str, jax.Array], order: jax.Array, step: jax.Array) -> dict[str, jax.Array]:
        if self.batch_size is None:
            return arrays
        begin = (step % self._per_epoch) * self.batch_size
        rows = jax.lax.dynamic_slice(order, (begin,), (self.batch_size,))
        return {name: array[rows] for name, array in arrays.items()}


@dataclass(frozen=True)
class Course:
    """A run: which steps are recorded, what is recorded, and where it is kept.

    Args:
        program: what is trained.
        steps: recorded steps, rising from 0 or more.
        observe: from a model and a step to named arrays.
        checkpoint: file, or None.
        mark: digest of the configuration.
    """

    program: Program
    steps: np.ndarray
    observe: Callable[[VariationalModel, int], Mapping[str, np.ndarray]]
    checkpoint: Path | None
    mark: str

    def run(self, progress: Track, finished: list[Records]) -> VariationalModel:
        """Train to the last recorded step; records are put into `finished`, those of a checkpoint first.

        Raises:
            ValueError: a checkpoint of another configuration, or a loss that is no longer a number.
        """
        state, written = self._resume(finished), time.monotonic()
        stops = _stops(int(state[2]), self.steps[len(finished) :])
        for stop in progress(stops, "training", len(stops)):
            state = jax.block_until_ready(self.program.advance(state, stop - int(state[2])))
            if len(finished) < len(self.steps) and stop == self.steps[len(finished)]:
                self._record(state, finished)
                written = time.monotonic()
            elif self.checkpoint is not None and time.monotonic() - written >= INTERVAL:
                self._write(state, finished)
                written = time.monotonic()
        return self.program.model(state[0])

    def _record(self, state: Any, finished: list[Records]) -> None:
        if not all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(state[0])):
            raise ValueError(
                f"a parameter is NaN or infinite by step {int(state[2])}; take a smaller learning rate or weight"
            )
        observed = self.observe(self.program.model(state[0]), int(state[2]))
        finished.append({name: np.asarray(value) for name, value in observed.items()})
        if self.checkpoint is not None:
            self._write(state, finished)

    def _write(self, state: Any, finished: list[Records]) -> None:
        arrays: dict[str, Any] = {"mark": np.array(self.mark)}
        arrays |= {f"state_{index}": np.asarray(leaf) for index, leaf in enumerate(jax.tree.leaves(state))}
        for name in finished[0] if finished else ():
            arrays[f"record_{name}"] = np.stack([row[name] for row in finished])
        arrays[_CONTENT] = np.array(content_digest(arrays))
        assert self.checkpoint is not None
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.checkpoint) as stream:
            np.savez(stream, **arrays)

    def _resume(self, finished: list[Records]) -> Any:
        """The state of the checkpoint, its records put into `finished`; the start where there is none."""
        initial = self.program.initial()
        if self.checkpoint is None or not self.checkpoint.exists():
            return initial
        try:
            with self.checkpoint.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                stored = {name: file[name] for name in file.files}
            stated = stored.pop(_CONTENT, None)
            if stated is not None and str(stated) != content_digest(stored):
                raise ValueError("its digest does not match its content")
        except UNREADABLE as error:
            raise ValueError(f"{self.checkpoint} is no checkpoint, or is damaged ({error}); remove it") from error
        leaves, tree = jax.tree.flatten(initial)
        unknown = [name for name in stored if not _NAME.fullmatch(name)]
        if "mark" not in stored or unknown or any(f"state_{index}" not in stored for index in range(len(leaves))):
            missing = f"unknown entry {unknown[0]!r}" if unknown else "an entry is missing"
            raise ValueError(f"{self.checkpoint} is no checkpoint, or is damaged ({missing}); remove it")
        if str(stored["mark"]) != self.mark:
            raise ValueError(f"{self.checkpoint} holds a run of another configuration; name another file, or remove it")
        kept = [jnp.asarray(stored[f"state_{index}"], dtype=leaf.dtype) for index, leaf in enumerate(leaves)]
        rows = {name.removeprefix("record_"): each for name, each in stored.items() if name.startswith("record_")}
        count = len(next(iter(rows.values()))) if rows else 0
        finished.extend({name: each[index] for name, each in rows.items()} for index in range(count))
        return jax.tree.unflatten(tree, kept)


def prepared(model: VariationalModel, precision: str) -> VariationalModel:
    """The model in the precision of training.

    Raises:
        ValueError: no trainable array in it.
    """
    ready = cast(model, precision)
    if not jax.tree.leaves(eqx.filter(ready, eqx.is_inexact_array)):
        raise ValueError("the model holds no array of real numbers: there is nothing to train")
    return ready


def _stops(begin: int, steps: np.ndarray) -> list[int]:
    """Where the program stops: at every recorded step, and often enough to be interrupted."""
    stops: list[int] = []
    for step in steps:
        at = stops[-1] if stops else begin
        stops += [*range(at + _STRIDE, int(step), _STRIDE), int(step)]
    return stops
