"""What an ensemble is trained by, and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import optax
from jaxtyping import Float, Int

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.finite.networks import PARAMETERIZATIONS
from ntkinfo.finite.trainer import TrainerSettings


@checked
@dataclass(frozen=True, kw_only=True)
class OptaxDescent:
    """Training by any optax optimiser, for which there is no analytic law.

    Args:
        optimiser: such as `optax.adam(1e-3)`; learning rates live in it.
        step_size: time that one step counts for.
        ridge, target_noise_variance, loss: as for the procedures of the analytic law.

    Raises:
        ValueError: a number out of range, an unknown loss.
    """

    optimiser: optax.GradientTransformation
    step_size: float
    ridge: float = 0.0
    target_noise_variance: float = 0.0
    loss: str = "sum"

    def __post_init__(self):
        checks.positive("step_size", self.step_size)
        for name in ("ridge", "target_noise_variance"):
            checks.non_negative(name, getattr(self, name))
        checks.choice("loss", self.loss, ("sum", "mean"))


@checked
@dataclass(frozen=True)
class EnsembleSettings(TrainerSettings):
    """How an ensemble is trained, and what is recorded beside the outputs.

    Args:
        batch_size: training inputs a step, None for all; the gradient is scaled by n/b so that its mean is that of all.
        parameterization: "ntk", or "standard" for descriptions of networks: no analytic law holds for the time then.
        linearised: train the members' linearised twins as well.
        kernel_inputs: training inputs, spread evenly over them, on which the tangent kernel is followed; 0 for none.
        flow_step: step size for `GradientFlow`; None takes 0.02 over the largest eigenvalue of one member's kernel.

    Raises:
        TypeError, ValueError: a number out of range, an unknown name.
    """

    batch_size: int | None = None
    parameterization: str = "ntk"
    linearised: bool = False
    kernel_inputs: int = 0
    flow_step: float | None = None

    def __post_init__(self):
        super().__post_init__()
        checks.choice("parameterization", self.parameterization, PARAMETERIZATIONS)
        checks.whole("kernel_inputs", self.kernel_inputs, least=0)
        if self.batch_size is not None:
            checks.whole("batch_size", self.batch_size)
        if self.flow_step is not None:
            checks.positive("flow_step", self.flow_step)


@checked
@dataclass(frozen=True)
class EnsembleOutputs:
    """Outputs of the members of an ensemble at chosen times.

    Args:
        times: (T,), in the caller's unit.
        steps: (T,), steps taken by each time: ⌊t/η⌋, as the discrete procedures count them.
        train: (T, M, n, C), outputs on the training inputs.
        test: (T, M, m, C), outputs on the test inputs.
        linearised_train: (T, M, n, C), of the members' linearised twins; None where not asked for.
        linearised_test: (T, M, m, C), likewise.
        kernel_drift: (T, M), ‖Θ_t − Θ_0‖/‖Θ_0‖ of each member's tangent kernel on some training inputs, all outputs
            with all outputs; None where not asked for.
        kernel_start_error: (M,), ‖Θ_0 − Θ‖/‖Θ‖, Θ that of infinite width; None where not asked for, in the standard
            parameterisation, or where the network came without a kernel.
        members: number of members M.
        width: of the hidden layers; None where the functions were built with theirs.
        n_parameters: of one member.
        notes: what to know about the run.
        step_size: time of one step, in the caller's unit.
        numbers: (M,), the members' numbers; not 0 to M − 1 where the run was interrupted.
    """

    times: Float[np.ndarray, " t"]
    steps: Int[np.ndarray, " t"]
    train: Float[np.ndarray, "t m n c"]
    test: Float[np.ndarray, "t m p c"]
    linearised_train: Float[np.ndarray, "t m n c"] | None
    linearised_test: Float[np.ndarray, "t m p c"] | None
    kernel_drift: Float[np.ndarray, "t m"] | None
    kernel_start_error: Float[np.ndarray, " m"] | None
    members: int
    width: int | None
    n_parameters: int
    notes: tuple[str, ...] = field(default=())
    step_size: float | None = None
    numbers: Int[np.ndarray, " m"] | None = None
