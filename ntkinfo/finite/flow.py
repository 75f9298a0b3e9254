"""One member's gradient flow with the integral of its divergence, as one jitted program over a group of members."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from ntkinfo.core.arrays import Array
from ntkinfo.core.randomness import random_key
from ntkinfo.finite.networks import CHECK_SEED, FiniteNetwork

TRACES = ("exact", "split", "probes")
INTEGRATORS = {"euler": 1, "rk4": 4}
"""Names with their order."""

# Each stage's share of the step at which it looks, along the slope of the stage before, and its weight.
_STAGES = {"euler": ([0.0], [1.0]), "rk4": ([0.0, 0.5, 0.5, 1.0], [1 / 6, 1 / 3, 1 / 3, 1 / 6])}
# Length η λ of the stable interval of each integrator on a decaying direction.
STABLE = {"euler": 2.0, "rk4": 2.78}
CONTROL_FIELDS, CONTROL_PROBES = 3, 16
_BASIS_AT_ONCE = 64
# Probes take another stream of random numbers than the initial parameters of the same member.
_PROBE_STREAM, _CONTROL_DRAW = 1, 2**31 - 1


@dataclass(frozen=True)
class Grid:
    """Steps from one recorded time to the next, each interval in equal ones.

    Args:
        sizes: (S,), of the steps.
        draws: (S,), which draw of the probes each step takes.
        records: (T,), number of steps before each recorded time.
    """

    sizes: Float[np.ndarray, " s"]
    draws: Int[np.ndarray, " s"]
    records: Int[np.ndarray, " t"]


def grid(times: Float[np.ndarray, " t"], steps: int, coarsen: bool = False, shared: bool = False) -> Grid:
    """Cut the times into an even number of steps an interval, at least `steps` in all.

    Args:
        times: (T,), recorded times.
        steps: wanted number of steps up to the last of them.
        coarsen: make every step twice as long.
        shared: let two neighbouring steps share their probes, so that they are those of the coarsened grid.
    """
    gaps = np.diff(times, prepend=0.0)
    last = max(float(times[-1]), np.finfo(float).tiny)
    counts = np.where(gaps > 0, 2 * np.ceil(steps * gaps / (2 * last) * (1 - 1e-12)), 0).astype(int)
    counts = counts // 2 if coarsen else counts
    sizes = np.repeat(gaps / np.maximum(counts, 1), counts)
    draws = np.arange(len(sizes))
    return Grid(sizes, draws // 2 if shared else draws, np.cumsum(counts))


@dataclass(frozen=True)
class Program:
    """What a group of members computes.

    Args:
        network: with its inputs.
        targets: (n, C).
        integrator: "euler" or "rk4".
        trace: "exact", "split" or "probes".
        probes: probes a step.
        dtype: of all numbers.
    """

    network: FiniteNetwork
    targets: np.ndarray
    integrator: str
    trace: str
    probes: int
    dtype: Any

    def member(self, start: Array, seed: Array, number: Array, sizes: Array, draws: Array) -> tuple[Array, Array]:
        """Follow one member.

        Args:
            start: (P,), its initial parameters.
            seed: of the ensemble.
            number: of the member, for its probes.
            sizes: (S,), steps.
            draws: (S,), draw of the probes in each step.

        Returns:
            (S + 1, 3): θ_0·Δθ, ½|Δθ|² and the integral of the trace, before the first and after every step; and
            (K,): values of the control variates, whose mean over members is 0.
        """
        key = jax.random.fold_in(jax.random.fold_in(random_key(seed), number), _PROBE_STREAM)

        def step(state, given):
            (place, total), (size, draw) = state, given
            probes = self._probes(jax.random.fold_in(key, draw), self.probes)
            place, total = _advance(lambda at: self._velocity(at, probes), place, total, size, self.integrator)
            moved = place - start
            return (place, total), jnp.stack([start @ moved, 0.5 * (moved @ moved), total])

        zero = jnp.zeros((), self.dtype)
        courses = jax.lax.scan(step, (start, zero), (sizes.astype(self.dtype), draws))[1]
        return jnp.concatenate([jnp.zeros((1, 3), self.dtype), courses]), self._controls(
            start, jax.random.fold_in(key, _CONTROL_DRAW)
        )

    def loss(self, parameters: Array) -> Array:
        """½ Σ|f − y|² over the training inputs."""
        residual = self.outputs(parameters) - self.targets.astype(self.dtype)
        return 0.5 * jnp.sum(residual**2)

    def outputs(self, parameters: Array) -> Array:
        """Return f(X), (n, C)."""
        return self.network.apply(parameters, self.network.inputs.astype(self.dtype))

    def _probes(self, key: Array, count: int) -> Array:
        """Rademacher rows (count, P), 32 of the numbers from one random word."""
        size = self.network.n_parameters
        words = jax.random.bits(key, (count, -(-size // 32)), jnp.uint32)
        bits = (words[:, :, None] >> jnp.arange(32, dtype=jnp.uint32)[None, None, :]) & 1
        return 2 * bits.reshape(count, -1)[:, :size].astype(self.dtype) - 1

    def _velocity(self, parameters: Array, probes: Array) -> tuple[Array, Array]:
        """Minus the gradient, and the (estimated) trace of the Hessian."""
        if self.trace == "probes":
            gradient = jax.grad(self.loss)
            along = jax.vmap(lambda v: jax.jvp(gradient, (parameters,), (v,)), out_axes=(None, 0))
            slope, image = along(probes)
            return -slope, jnp.mean(jnp.sum(image * probes, axis=1))
        outputs, pull = jax.vjp(self.outputs, parameters)
        residual = outputs - self.targets.astype(self.dtype)
        rows = jnp.eye(residual.size, dtype=self.dtype).reshape(-1, *residual.shape)
        jacobian = jax.vmap(lambda row: pull(row)[0])(rows)
        bend = self._bend(parameters, residual, probes)
        return -(residual.reshape(-1) @ jacobian), jnp.sum(jacobian**2) + bend

    def _bend(self, parameters: Array, residual: Array, probes: Array) -> Array:
        """Σ_i r_i Δf_i, exactly or by probes."""

        def second(direction):
            def slope(at):
                return jax.jvp(lambda p: jnp.sum(residual * self.outputs(p)), (at,), (direction,))[1]

            return jax.jvp(slope, (parameters,), (direction,))[1]

        if self.trace == "split":
            return jnp.mean(jax.vmap(second)(probes))
        size = self.network.n_parameters

        def along_axis(k):
            return second((jnp.arange(size) == k).astype(self.dtype))

        return jnp.sum(jax.lax.map(along_axis, jnp.arange(size), batch_size=min(_BASIS_AT_ONCE, size)))

    def _controls(self, start: Array, key: Array) -> Array:
        """θ_0·F − div F for the fields F = ∇L, H∇L, HH∇L of the start: of mean 0 by Stein's identity.

        They span the first terms of Δθ as a power series in time, so they explain most of the spread between members.
        """
        gradient = jax.grad(self.loss)

        def fields(at):
            rows = [gradient(at)]
            for _ in range(CONTROL_FIELDS - 1):
                rows.append(jax.jvp(gradient, (at,), (rows[-1],))[1])
            return jnp.stack(rows)

        def divergence(probe):
            return jax.jvp(fields, (start,), (probe,))[1] @ probe

        spread = jnp.mean(jax.vmap(divergence)(self._probes(key, CONTROL_PROBES)), axis=0)
        return fields(start) @ start - spread


def _advance(
    velocity: Callable[[Array], tuple[Array, Array]], place: Array, total: Array, size: Array, integrator: str
) -> tuple[Array, Array]:
    """One Runge-Kutta step of the parameters and of the integral that goes along with them."""
    offsets, weights = (jnp.asarray(row, place.dtype) for row in _STAGES[integrator])

    def stage(state, given):
        last, moved, gained = state
        offset, weight = given
        slope, rate = velocity(place + size * offset * last)
        return (slope, moved + weight * slope, gained + weight * rate), None

    zero = jnp.zeros_like(place)
    (_, moved, gained), _ = jax.lax.scan(stage, (zero, zero, jnp.zeros_like(total)), (offsets, weights))
    return place + size * moved, total + size * gained


def sharpest(program: Program) -> float:
    """Estimate the largest eigenvalue of the tangent kernel JJᵀ of one member at its start (power iteration)."""

    def iterate(start, vector):
        outputs, pull = jax.vjp(program.outputs, start)

        def turn(vector, _):
            image = jax.jvp(program.outputs, (start,), pull(vector.reshape(outputs.shape)))[1].reshape(-1)
            size = jnp.linalg.norm(image)
            return image / jnp.where(size > 0, size, 1.0), size

        return jax.lax.scan(turn, vector, length=30)[1][-1]

    start = program.network.draw(CHECK_SEED, 0).astype(program.dtype)
    vector = np.random.default_rng(0).normal(size=program.targets.size)
    return float(jax.jit(iterate)(start, jnp.asarray(vector / np.linalg.norm(vector), program.dtype)))
