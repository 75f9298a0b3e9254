"""I(θ;D) at finite width: relative entropy of the trained to the initial parameters, by change of variables.

Gradient flow carries the initial law N(0, I) along, and the logarithm of the density of a member's parameters rises at
the rate of the trace of the loss's Hessian. Hence

    KL(θ_t ‖ θ_0) = E[θ_0·Δθ] + ½ E|Δθ|² + E ∫₀ᵗ tr ∇²L(θ_s) ds,     Δθ = θ_t − θ_0,

estimated from members with their own initial parameters (theory §5.3). Each average is corrected by control variates:
θ_0·F − div F has mean 0 for every smooth field F of θ_0 ~ N(0, I) (Stein's identity).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import float64
from ntkinfo.core.memory import GIB, available_memory, require_memory
from ntkinfo.core.progress import Track, bar
from ntkinfo.core.records import Dataset, Estimate
from ntkinfo.finite.flow import INTEGRATORS, STABLE, TRACES, Grid, Program, grid, sharpest
from ntkinfo.finite.networks import check_smooth, finite_network
from ntkinfo.kernels.network import Network
from ntkinfo.kernels.tiles import largest_array
from ntkinfo.training.procedures import GradientFlow, Procedure

Run = Callable[[np.ndarray, np.ndarray, Grid], tuple[np.ndarray, np.ndarray]]
PRECISIONS = ("float64", "float32")
# Arrays as large as the largest one that a member has alive at the same time, and the share of memory they may take.
_LIVE, _SHARE = 12, 0.25
_LEAST_STEPS, _MOST_STEPS = 32, 20_000
_STEP_LENGTH = {"euler": 0.02, "rk4": 0.5}
_SUSPECT = 6.0


@checked
@dataclass(frozen=True)
class MemberSettings:
    """How many members are followed, and how.

    Args:
        members: number of members M, each with its own initial parameters.
        seed: of the initial parameters and the probes. Members do not depend on how they are grouped.
        integrator: "rk4" (fourth order) or "euler" (gradient descent with small steps).
        steps: up to the last time, at least; None takes enough for the largest eigenvalue at the start.
        trace: of the Hessian; "split" takes its Gauss-Newton part tr JᵀJ exactly, and Σ r_i Δf_i by Rademacher probes
            (Hutchinson); "probes" takes all of it by probes, for many targets; "exact" takes both parts exactly, for
            thousands of parameters at most.
        probes: in every step; their error is part of the standard errors.
        precision: "float64", or "float32", whose rounding error is measured on a group of members.
        group: members followed at the same time; None for as many as a quarter of the memory holds, at most 64.
        measure_step_error: repeat one group with steps twice as long.

    Raises:
        TypeError, ValueError: a number out of range, an unknown name.
    """

    members: int = 256
    seed: int = 0
    integrator: str = "rk4"
    steps: int | None = None
    trace: str = "split"
    probes: int = 4
    precision: str = "float64"
    group: int | None = None
    measure_step_error: bool = True

    def __post_init__(self):
        checks.whole("members", self.members, least=2)
        checks.whole("seed", self.seed, least=0)
        checks.choice("integrator", self.integrator, INTEGRATORS)
        checks.choice("trace", self.trace, TRACES)
        checks.choice("precision", self.precision, PRECISIONS)
        checks.whole("probes", self.probes)
        for name in ("steps", "group"):
            if getattr(self, name) is not None:
                checks.whole(name, getattr(self, name))

    @property
    def context(self) -> AbstractContextManager:
        """Where jax computes in the wanted precision."""
        return float64() if self.precision == "float64" else nullcontext()


@dataclass(frozen=True)
class ParameterInformation:
    """KL(θ_t ‖ θ_0) of a network of finite width at every time, in nats, with what it is the sum of.

    Every `Estimate` holds (T,) Monte Carlo averages over the members with their standard errors, which include those of
    the probes; `value` is `cross` + `half_distance` + `trace`.

    Args:
        times: (T,), in the caller's unit.
        value: KL(θ_t ‖ θ_0).
        cross: E[θ_0·(θ_t − θ_0)].
        half_distance: ½ E|θ_t − θ_0|².
        trace: E ∫₀ᵗ tr ∇²L(θ_s) ds.
        distance_squared: E|θ_t − θ_0|².
        plain: `value` as the bare average, without control variates.
        members: number of members.
        steps: number of steps that each took.
        step_error: (T,), error of `value` by the length of the steps, from one group of members that repeated the
            path with steps twice as long (Richardson), with one standard error of that added; None where not measured.
        rounding_error: (T,), root mean square over one group of the change of a member's sum when it is computed in
            float64; None where it was.
        control_scores: (K,), averages of the control variates in standard errors: standard normal where all is well.
        notes: what to know about the numbers.
    """

    times: Float[np.ndarray, " t"]
    value: Estimate
    cross: Estimate
    half_distance: Estimate
    trace: Estimate
    distance_squared: Estimate
    plain: Estimate
    members: int
    steps: int
    step_error: Float[np.ndarray, " t"] | None
    rounding_error: Float[np.ndarray, " t"] | None
    control_scores: Float[np.ndarray, " k"]
    notes: tuple[str, ...] = field(default=())

    @property
    def distance(self) -> Estimate:
        """The earlier name of `distance_squared`: the square, as it always was."""
        return self.distance_squared


class Interrupted(KeyboardInterrupt):
    """Raised in place of KeyboardInterrupt.

    Attributes:
        partial: the `ParameterInformation` of the members that were finished, or None where fewer than two were.
    """

    def __init__(self, partial: ParameterInformation | None):
        super().__init__("interrupted; `partial` holds the members that were finished")
        self.partial = partial


@checked
def parameter_information(
    network: Network | Sequence[Callable],
    data: Dataset,
    times: Float[np.ndarray, " t"],
    *,
    width: int | None = None,
    procedure: Procedure | None = None,
    settings: MemberSettings | None = None,
    progress: Track = bar,
) -> ParameterInformation:
    """Estimate KL(θ_t ‖ θ_0) in nats for networks of finite width trained by gradient flow on the squared loss.

    Args:
        network: a description of a network, or the functions (init_fn, apply_fn) of a stax network; its parameters
            start standard normal (NTK parameterisation), which is checked.
        data: the training inputs and targets are used.
        times: (T,), finite, strictly rising; all are recorded in one run.
        width: of the hidden layers; None where the network was built with its own.
        procedure: `GradientFlow()` with either loss; other procedures have no such change of variables.
        settings: members, steps, probes.
        progress: shown over groups of members.

    Raises:
        TypeError, ValueError: bad input, another parameterisation, a network whose gradient jumps (relu, max pooling),
            steps too long to be stable, training that diverged.
        MemoryError: not even one member fits.
        Interrupted: on Ctrl-C, with what was finished.

    Fails when: the loss is not twice differentiable (refused: second derivatives would miss the jumps of the gradient).
    The result is that of the flow: the change of variables of finite gradient steps would be −Σ log|det(I − η∇²L)|,
    and what the length of the steps does to the value is measured in `step_error`. Control variates are fitted to the
    same members (from 40 members on), which biases averages by a share of about K/M of the standard error.
    Source: theory §5.3; Hutchinson 1990 for the probes.
    """
    settings = settings or MemberSettings()
    unit = _checked(procedure or GradientFlow(), data, times)
    internal = np.asarray(times, dtype=np.float64) * unit
    finite = finite_network(network, data.x_train, data.n_outputs, width)
    check_smooth(finite)
    program = Program(
        finite, data.y_train, settings.integrator, settings.trace, settings.probes, np.dtype(settings.precision)
    )
    with settings.context:
        steps = _steps(program, settings, internal)
        job = _Job(program, settings, grid(internal, steps), _group(program, settings))
        return _Result(np.asarray(times, dtype=np.float64), internal, steps, job).collect(progress)


def _checked(procedure: Procedure, data: Dataset, times: Any) -> float:
    """Unit of time; raises unless the procedure is plain gradient flow and the times are finite."""
    checks.times(times)
    if np.isinf(np.asarray(times)[-1]):
        raise ValueError("times holds infinity, where the relative entropy is infinite; leave it out")
    plain = GradientFlow(loss=procedure.loss)
    if procedure != plain:
        raise ValueError(
            f"procedure is {procedure!r}; the change of variables holds for {plain!r} alone: a ridge, noise or finite "
            "steps change how the density of the parameters moves"
        )
    return procedure.time_unit(data.y_train.size)


def _steps(program: Program, settings: MemberSettings, times: np.ndarray) -> int:
    length = sharpest(program) * float(times[-1])
    limit = STABLE[settings.integrator]
    if settings.steps is not None:
        if length > limit * settings.steps:
            raise ValueError(
                f"steps is {settings.steps}, with which {settings.integrator} is unstable here; take at least "
                f"{int(np.ceil(length / limit))}, better {int(np.ceil(length / _STEP_LENGTH[settings.integrator]))}"
            )
        return settings.steps
    steps = max(_LEAST_STEPS, int(np.ceil(length / _STEP_LENGTH[settings.integrator])))
    if steps > _MOST_STEPS:
        raise ValueError(
            f"the times reach up to {times[-1]:.3g}, which takes about {steps} steps; end earlier, or give steps"
        )
    return steps


def _group(program: Program, settings: MemberSettings) -> int:
    """Members at the same time, such that the groups are of equal size."""
    size = program.network.n_parameters
    kinds = [((size,), program.dtype), ((), np.int32), ((), np.int32), ((1,), program.dtype), ((1,), np.int32)]
    traced = jax.make_jaxpr(program.member)(*(jax.ShapeDtypeStruct(*kind) for kind in kinds))
    largest = largest_array(traced.jaxpr)
    needed = _LIVE * max(largest, size * program.dtype.itemsize) / GIB
    limit = _SHARE * _memory()
    require_memory("one member", needed, limit, "take a smaller width, fewer targets, or trace='probes'")
    most = min(settings.group or 64, max(1, int(limit / needed)), settings.members)
    return -(-settings.members // -(-settings.members // most))


def _memory() -> float:
    """GiB free where jax computes."""
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        return available_memory()
    statistics = device.memory_stats()
    return (statistics["bytes_limit"] - statistics["bytes_in_use"]) / GIB


@dataclass(frozen=True)
class _Job:
    """A program on its steps, for one group after the other."""

    program: Program
    settings: MemberSettings
    steps: Grid
    group: int

    def starts(self, first: int) -> tuple[np.ndarray, np.ndarray]:
        """Initial parameters (G, P) and numbers (G,) of a group of members."""
        numbers = np.arange(first, first + self.group)
        rows = [np.asarray(self.program.network.draw(self.settings.seed, int(number))) for number in numbers]
        return np.stack(rows).astype(self.program.dtype), numbers

    def compiled(self) -> Run:
        """Function of starts, numbers and steps that gives (G, T, 3) parts and (G, K) control variates."""
        run = jax.jit(jax.vmap(self.program.member, in_axes=(0, None, 0, None, None)))

        def call(starts: np.ndarray, numbers: np.ndarray, steps: Grid) -> tuple[np.ndarray, np.ndarray]:
            courses, controls = run(starts, self.settings.seed, numbers, steps.sizes, steps.draws)
            parts = np.asarray(courses, dtype=np.float64)[:, steps.records]
            return parts, np.asarray(controls, dtype=np.float64)

        return call


@dataclass(frozen=True)
class _Result:
    times: np.ndarray
    internal: np.ndarray
    steps: int
    job: _Job

    def collect(self, progress: Track) -> ParameterInformation:
        members, group = self.job.settings.members, self.job.group
        run, finished = self.job.compiled(), []
        firsts = range(0, members, group)
        errors: tuple[Any, Any] = (None, None)
        try:
            for first in progress(firsts, "members of finite width", len(firsts)):
                starts, numbers = self.job.starts(first)
                kept = min(group, members - first)
                parts, controls = run(starts, numbers, self.job.steps)
                self._check_finite(parts)
                finished.append((parts[:kept], controls[:kept]))
                if first == 0:
                    errors = self._errors(run, starts, numbers, parts)
        except KeyboardInterrupt:
            enough = sum(len(parts) for parts, _ in finished) >= 2
            raise Interrupted(self._summary(finished, errors) if enough else None) from None
        return self._summary(finished, errors)

    def _check_finite(self, parts: np.ndarray) -> None:
        if not np.all(np.isfinite(parts)):
            raise ValueError(
                f"a member diverged in {self.steps} steps of {self.job.settings.integrator}; take more steps"
            )

    def _errors(self, run: Run, starts: np.ndarray, numbers: np.ndarray, parts: np.ndarray) -> tuple[Any, Any]:
        """Step error and rounding error of the sum, (T,) each, by repeating one group; None where not asked for."""
        step, rounding = None, None
        if self.job.settings.measure_step_error:
            fine, coarse = grid(self.internal, self.steps, shared=True), grid(self.internal, self.steps, coarsen=True)
            change = run(starts, numbers, fine)[0].sum(axis=2) - run(starts, numbers, coarse)[0].sum(axis=2)
            scatter = np.std(change, axis=0) / np.sqrt(len(change))
            step = (np.abs(np.mean(change, axis=0)) + scatter) / (2 ** INTEGRATORS[self.job.settings.integrator] - 1)
        if self.job.settings.precision == "float32":
            with float64():
                exact = replace(self.job, program=replace(self.job.program, dtype=np.dtype("float64"))).compiled()
                again = exact(starts.astype(np.float64), numbers, self.job.steps)[0]
            rounding = np.sqrt(np.mean((parts - again).sum(axis=2) ** 2, axis=0))
        return step, rounding

    def _summary(self, finished: list[tuple[np.ndarray, np.ndarray]], errors: tuple[Any, Any]) -> ParameterInformation:
        parts = np.concatenate([p for p, _ in finished])
        controls = np.concatenate([c for _, c in finished])
        settings, size = self.job.settings, len(parts)
        method = _method(settings)
        averages = dict(zip(("cross", "half_distance", "trace"), _each(parts, controls, method), strict=True))
        total = parts.sum(axis=2)
        plain = Estimate(total.mean(axis=0), total.std(axis=0, ddof=1) / np.sqrt(size), "Monte Carlo", method)
        half = averages["half_distance"]
        scores = controls.mean(axis=0) / np.maximum(controls.std(axis=0, ddof=1) / np.sqrt(size), 1e-300)
        return ParameterInformation(
            times=self.times,
            value=_average(total, controls, method),
            **averages,
            distance_squared=replace(half, value=2 * half.value, standard_error=2 * half.standard_error),
            plain=plain,
            members=size,
            steps=len(self.job.steps.sizes),
            step_error=errors[0],
            rounding_error=errors[1],
            control_scores=scores,
            notes=tuple(_notes(scores, size, settings)),
        )


def _method(settings: MemberSettings) -> str:
    trace = {"exact": "exact trace", "split": "tr JᵀJ exact, the rest by probes", "probes": "trace by probes"}
    return f"{settings.integrator}, {trace[settings.trace]}, Stein control variates, {settings.precision}"


def _notes(scores: np.ndarray, size: int, settings: MemberSettings) -> Iterator[str]:
    if size < settings.members:
        yield f"{size} of {settings.members} members finished"
    if np.any(np.abs(scores) > _SUSPECT):
        worst = float(np.max(np.abs(scores)))
        yield (
            f"control variates that average to 0 by Stein's identity are {worst:.1f} standard errors off: heavy tails "
            "among few members, or a loss that is not twice differentiable"
        )


def _each(parts: np.ndarray, controls: np.ndarray, method: str) -> Iterator[Estimate]:
    for k in range(parts.shape[2]):
        yield _average(parts[:, :, k], controls, method)


def _average(values: Float[np.ndarray, "m t"], controls: Float[np.ndarray, "m k"], method: str) -> Estimate:
    """Mean over the members with what the control variates explain taken out (the intercept of a regression)."""
    size, count = controls.shape
    scale = controls.std(axis=0)
    if size < 10 * (count + 1) or not np.any(scale > 0):
        scale = scale[:0]
    design = np.ones((size, 1))
    if len(scale):
        design = np.concatenate([design, controls / np.where(scale > 0, scale, 1.0)[None, :]], axis=1)
    inverse = np.linalg.pinv(design, rcond=1e-10)
    coefficients = inverse @ values
    left = np.sum((values - design @ coefficients) ** 2, axis=0) / (size - design.shape[1])
    error = np.sqrt(left * np.sum(inverse[0] ** 2))
    return Estimate(coefficients[0], error, "Monte Carlo", method)
