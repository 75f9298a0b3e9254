"""Ensembles of trained networks of finite width, recorded on the time axis of the analytic law."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import float64
from ntkinfo.core.progress import Track, bar
from ntkinfo.core.randomness import random_key
from ntkinfo.core.records import Dataset
from ntkinfo.finite.ensemble_records import EnsembleOutputs, EnsembleSettings, OptaxDescent
from ntkinfo.finite.ensemble_training import SquaredLossTraining
from ntkinfo.finite.kernel_drift import largest_eigenvalue
from ntkinfo.finite.member_program import drawing
from ntkinfo.finite.networks import CHECK_SEED, MemberNetwork, member_network
from ntkinfo.finite.trainer import Interrupted, MemberRecords, TrainerSettings, train_members
from ntkinfo.kernels.architectures import StaxNetwork
from ntkinfo.kernels.network import Network
from ntkinfo.training.discrete import GradientDescent, HeavyBall
from ntkinfo.training.procedures import Converged, GradientFlow, Procedure

__all__ = ["EnsembleOutputs", "EnsembleSettings", "OptaxDescent", "train_ensemble"]

# Steps of gradient flow that are not given: step size times the largest eigenvalue, and how many steps are too many.
_FLOW_LENGTH, _FLOW_MOST = 0.02, 200_000
# What gradient flow shares with its short steps.
_SHARED = ("ridge", "target_noise_variance", "temperature", "tangent", "prior", "loss")


@checked
def train_ensemble(
    network: Network | Sequence[Callable],
    data: Dataset,
    times: Float[np.ndarray, " t"],
    *,
    procedure: Procedure | OptaxDescent,
    width: int | None = None,
    settings: EnsembleSettings | None = None,
    progress: Track = bar,
) -> EnsembleOutputs:
    """Train networks of finite width from seeded starts on the squared loss, and record them at chosen times.

    Args:
        network: a description, or the functions (init_fn, apply_fn, …) of a stax network.
        data: training and test inputs; training targets.
        times: (T,), finite, strictly rising; in the unit of the analytic law of the same procedure.
        procedure: `GradientDescent` and `HeavyBall` are followed exactly, with ridge, noise on the targets (each
            member's own) and Langevin noise; `GradientFlow` by short steps of gradient descent, which `notes` states;
            `OptaxDescent` is any other optimiser.
        width: of the hidden layers of a description.
        settings: members, precision, checkpoint, and what else to record.
        progress: shown over all members' steps.

    Raises:
        TypeError, ValueError: bad input, a procedure that has no counterpart here, steps that diverge, a checkpoint of
            another run.
        MemoryError: not even one member fits.
        Interrupted: on Ctrl-C; `partial` is an `EnsembleOutputs` of the members that were finished, or None.

    Members are drawn in float64 and numbered: member k is the same for every number of members, grouping and procedure.
    """
    settings = settings or EnsembleSettings()
    _check(network, procedure, times, width, settings)
    member = member_network(network, data.x_train, data.n_outputs, width, settings.parameterization)
    job = _Job(member, network, data, np.asarray(times, dtype=np.float64), procedure, width, settings)
    return job.run(progress)


def _check(network: Any, procedure: Any, times: Any, width: int | None, settings: EnsembleSettings) -> None:
    checks.times(times)
    if np.isinf(np.asarray(times)[-1]):
        raise ValueError("times holds infinity, which no number of steps reaches; leave it out")
    if isinstance(network, Network) and not isinstance(network, StaxNetwork) and width is None:
        raise ValueError("width is None; a description of a network needs the width of its hidden layers, such as 512")
    if isinstance(procedure, OptaxDescent):
        return
    if isinstance(procedure, Converged) or not isinstance(procedure, GradientFlow | GradientDescent | HeavyBall):
        raise TypeError(
            f"procedure is {procedure!r}; networks of finite width are trained by GradientDescent, HeavyBall, "
            "GradientFlow or OptaxDescent"
        )
    for name, plain in (("tangent", "ntk"), ("prior", "nngp")):
        if getattr(procedure, name) != plain:
            raise ValueError(
                f"{name} is {getattr(procedure, name)!r}; members train all their parameters from their ordinary "
                f"initialisation, which is {name}={plain!r}"
            )


@dataclass(frozen=True)
class _Job:
    """One ensemble: the training that its members and their twins go through, and the record made of it."""

    member: MemberNetwork
    network: Any
    data: Dataset
    times: np.ndarray
    procedure: Any
    width: int | None
    settings: EnsembleSettings

    def run(self, progress: Track) -> EnsembleOutputs:
        records = linear = None
        try:
            records = self._train("members", False, progress)
            linear = self._train("linearised", True, progress) if self.settings.linearised else None
        except Interrupted as interruption:
            part = interruption.partial
            records, linear = (part, None) if records is None else (records, part)
            raise Interrupted(None if records is None else self._outputs(records, linear)) from None
        return self._outputs(records, linear)

    @cached_property
    def stepped(self) -> Any:
        """The procedure in steps; raises where they diverge on one member's kernel at its start."""
        if isinstance(self.procedure, OptaxDescent):
            return self.procedure
        largest = self._largest()
        made = self.procedure
        if isinstance(made, GradientFlow):
            shared = {name: getattr(made, name) for name in _SHARED}
            made = GradientDescent(step_size=self._flow_step(largest), **shared)
        made.check(largest, self.times, self.data.y_train.size)
        return made

    def _largest(self) -> float:
        with float64():
            start = jax.tree.map(lambda leaf: leaf[0], drawing(self.member.initialise, 1)(random_key(CHECK_SEED)[None]))
            return largest_eigenvalue(self.member.apply, start, self.member.prepare(self.data.x_train))

    def _flow_step(self, largest: float) -> float:
        if self.settings.flow_step is not None:
            return self.settings.flow_step
        rate = (largest + self.procedure.ridge) * self.procedure.time_unit(self.data.y_train.size)
        count = np.ceil(self.times[-1] * rate / _FLOW_LENGTH)
        if count > _FLOW_MOST:
            raise ValueError(
                f"times reach up to {self.times[-1]:g}, which takes {count:.3g} steps of gradient flow; end earlier, "
                "give flow_step, or take GradientDescent, whose law allows steps up to 2 over the largest eigenvalue"
            )
        return float(self.times[-1] / max(count, 1)) or 1.0

    @cached_property
    def steps(self) -> np.ndarray:
        """Steps by each time; one that is a multiple of the step up to rounding counts as that multiple."""
        ratio = self.times / self.stepped.step_size * (1 + 4 * np.finfo(np.float64).eps)
        if ratio[-1] >= 2**31:
            raise ValueError(f"times reach up to {self.times[-1]:g}, which takes {ratio[-1]:.3g} steps; end earlier")
        return np.floor(ratio).astype(np.int64)

    @cached_property
    def recorded(self) -> np.ndarray:
        """Steps at which something is recorded, each once."""
        return np.unique(self.steps)

    @cached_property
    def training(self) -> SquaredLossTraining:
        """What members and twins do."""
        return SquaredLossTraining(self.member, self.network, self.data, self.stepped, self.settings)

    def _train(self, part: str, twin: bool, progress: Track) -> MemberRecords:
        folder = self.settings.checkpoint
        shared = {name: getattr(self.settings, name) for name in ("members", "seed", "precision", "group")}
        settings = TrainerSettings(**shared, checkpoint=None if folder is None else Path(folder) / part)
        return train_members(self.training.build(twin), self.recorded, settings, progress)

    def _outputs(self, records: MemberRecords, linear: MemberRecords | None) -> EnsembleOutputs:
        numbers = records.numbers if linear is None else np.intersect1d(records.numbers, linear.numbers)
        seen = self._in_time(records, numbers)
        twins = {} if linear is None else self._in_time(linear, numbers)
        drift, error = seen.get("drift"), seen.get("start_error")
        return EnsembleOutputs(
            times=self.times,
            steps=self.steps,
            train=seen["train"],
            test=seen["test"],
            linearised_train=twins.get("train"),
            linearised_test=twins.get("test"),
            kernel_drift=drift,
            kernel_start_error=None if error is None else error[0],
            members=len(numbers),
            width=self.width,
            n_parameters=self.member.n_parameters,
            notes=tuple(self._notes(len(numbers), linear)),
            step_size=float(self.stepped.step_size),
            numbers=numbers,
        )

    def _in_time(self, records: MemberRecords, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """Records at every time in float64, of these members."""
        rows, place = np.searchsorted(records.numbers, numbers), np.searchsorted(records.steps, self.steps)
        return {name: np.asarray(v, dtype=np.float64)[place][:, rows] for name, v in records.values.items()}

    def _notes(self, members: int, linear: MemberRecords | None) -> Iterator[str]:
        yield f"{self.member.parameterization} parameterisation, trained in {self.settings.precision}"
        yield f"{self.steps[-1]} steps of {self.stepped.step_size:.6g}"
        if isinstance(self.procedure, GradientFlow):
            yield (
                f"gradient flow by {self.steps[-1]} steps of gradient descent: the law of these very steps is that of "
                f"GradientDescent(step_size={self.stepped.step_size!r})"
            )
        if self.settings.batch_size is not None:
            yield f"batches of {self.settings.batch_size} of {len(self.data.x_train)} training inputs"
        if self.member.parameterization == "standard":
            yield "standard parameterisation: the time is not that of the tangent kernel in the NTK parameterisation"
        if self.settings.kernel_inputs:
            yield f"tangent kernel followed on training inputs {self.training.kernel_rows.tolist()}"
        if members < self.settings.members:
            yield f"interrupted: {members} of {self.settings.members} members finished"
        if self.settings.linearised and linear is None:
            yield "interrupted before the linearised twins"
