"""What one member of an ensemble on the squared loss does, or its linearised twin, as functions for the trainer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ntkinfo.core.records import Dataset
from ntkinfo.finite.ensemble_records import EnsembleSettings, OptaxDescent
from ntkinfo.finite.kernel_drift import analytic_kernel, empirical_kernel, relative_change
from ntkinfo.finite.linearised import linearised
from ntkinfo.finite.networks import MemberNetwork
from ntkinfo.finite.trainer import Training
from ntkinfo.training.discrete import GradientDescent, HeavyBall


@dataclass(frozen=True)
class SquaredLossTraining:
    """Builds the training of an ensemble's members.

    Args:
        member: the network.
        network: as the caller gave it, for the kernel of infinite width.
        data: inputs and targets.
        stepped: a procedure in steps.
        settings: of the ensemble.
    """

    member: MemberNetwork
    network: Any
    data: Dataset
    stepped: GradientDescent | HeavyBall | OptaxDescent
    settings: EnsembleSettings

    @property
    def unit(self) -> float:
        """What the summed loss is multiplied by: 1, or 1/(nC) for the mean loss."""
        return 1.0 if self.stepped.loss == "sum" else 1.0 / self.data.y_train.size

    def build(self, twin: bool) -> Training:
        """What a member does, or its linearised twin."""
        x_train, x_test = (self.member.prepare(x) for x in (self.data.x_train, self.data.x_test))
        return Training(
            initialise=self.member.initialise,
            loss=self._loss(twin),
            optimiser=self._optimiser(),
            examples={"inputs": x_train, "targets": self.data.y_train, "place": np.arange(len(x_train))},
            observe=self._observe(twin, x_train, x_test),
            batch_size=self.settings.batch_size,
            noise=self._kick(getattr(self.stepped, "temperature", 0.0)),
            fixed=self._fixed(twin, x_train),
        )

    def _function(self, twin: bool) -> Callable:
        """(parameters, fixed, inputs) to outputs."""
        if not twin:
            return lambda parameters, fixed, inputs: self.member.apply(parameters, inputs)
        expansion = linearised(self.member.apply)
        return lambda parameters, fixed, inputs: expansion(parameters, fixed["start"], inputs)

    def _loss(self, twin: bool) -> Callable:
        function, ridge, unit = self._function(twin), self.stepped.ridge, self.unit
        share = len(self.data.x_train) / (self.settings.batch_size or len(self.data.x_train))

        def loss(given, batch, key):
            parameters, fixed = given
            targets = batch["targets"]
            if "target_noise" in fixed:
                targets = targets + fixed["target_noise"][batch["place"]]
            value = 0.5 * share * jnp.sum((function(parameters, fixed, batch["inputs"]) - targets) ** 2)
            if ridge > 0:
                value += 0.5 * ridge * _squared_distance(parameters, fixed["start"])
            return unit * value

        return loss

    def _optimiser(self) -> optax.GradientTransformation:
        if isinstance(self.stepped, OptaxDescent):
            return self.stepped.optimiser
        return optax.sgd(self.stepped.step_size, momentum=getattr(self.stepped, "momentum", None))

    def _fixed(self, twin: bool, x_train: np.ndarray) -> Callable:
        keep_start = twin or self.stepped.ridge > 0
        variance, shape = self.stepped.target_noise_variance, self.data.y_train.shape
        kernel = None if twin else self._kernel_at_start(x_train)

        def fixed(parameters, key):
            kept: dict[str, Any] = {}
            if keep_start:
                kept["start"] = parameters
            if variance > 0:
                kept["target_noise"] = np.sqrt(variance) * jax.random.normal(key, shape)
            return kept if kernel is None else kept | kernel(parameters)

        return fixed

    def _kernel_at_start(self, x_train: np.ndarray) -> Callable | None:
        """Parameters to the member's kernel, and its distance from that of infinite width."""
        if self.settings.kernel_inputs == 0:
            return None
        inputs, limit = x_train[self.kernel_rows], self._limit()

        def kernel(parameters):
            own = empirical_kernel(self.member.apply, parameters, inputs)
            error = {} if limit is None else {"start_error": relative_change(own, jnp.asarray(limit, own.dtype))}
            return {"kernel": own, **error}

        return kernel

    def _limit(self) -> np.ndarray | None:
        if self.member.parameterization == "standard":
            return None
        return analytic_kernel(self.network, self.data.x_train[self.kernel_rows], self.data.n_outputs)

    @property
    def kernel_rows(self) -> np.ndarray:
        """Indices of the training inputs on which the kernel is followed."""
        n = len(self.data.x_train)
        return np.unique(np.linspace(0, n - 1, min(self.settings.kernel_inputs, n)).round().astype(int))

    def _observe(self, twin: bool, x_train: np.ndarray, x_test: np.ndarray) -> Callable:
        function = self._function(twin)

        def observe(given, key):
            parameters, fixed = given
            seen = {"train": function(parameters, fixed, x_train), "test": function(parameters, fixed, x_test)}
            if "kernel" in fixed:
                own = empirical_kernel(self.member.apply, parameters, x_train[self.kernel_rows])
                seen["drift"] = relative_change(own, fixed["kernel"])
            if "start_error" in fixed:
                seen["start_error"] = fixed["start_error"]
            return seen

        return observe

    def _kick(self, temperature: float) -> Callable | None:
        """Langevin noise of one step, √(2τη) in every parameter; None at temperature 0."""
        if temperature == 0:
            return None
        std = float(np.sqrt(2 * temperature * self.stepped.step_size))

        def kick(given, key, step):
            leaves, tree = jax.tree.flatten(given[0])
            keys = jax.random.split(key, len(leaves))
            moved = [
                leaf + std * jax.random.normal(k, leaf.shape, leaf.dtype) for leaf, k in zip(leaves, keys, strict=True)
            ]
            return jax.tree.unflatten(tree, moved)

        return kick


def _squared_distance(parameters: Any, start: Any) -> Any:
    parts = jax.tree.map(lambda now, then: jnp.sum((now - then) ** 2), parameters, start)
    return sum(jax.tree.leaves(parts))
