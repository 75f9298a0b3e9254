"""Networks of finite width trained with injected noise, their drift and diffusion measured at fixed weights.

Every step is θ ← θ − η∇L + √(2τη) ξ. At recorded steps a member's weights are held fixed and looked at in two ways: its
drift J∇L and diffusion 2τ tr JJᵀ/η by differentiation, and both again from B noisy steps taken from these weights and
thrown away, by the estimator of minibatch noise (`gradient_phases`), floor removed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array, to_numpy
from ntkinfo.core.progress import Track, bar
from ntkinfo.finite.gradient_phases import SignalToNoise, sampled_signal
from ntkinfo.finite.networks import FiniteNetwork, finite_network
from ntkinfo.finite.trainer import TrainerSettings, Training, train_members
from ntkinfo.training.discrete import GradientDescent
from ntkinfo.training.output_distribution import OutputDistribution

_DRAWS = 0x7FFFFFFF


@checked
@dataclass(frozen=True)
class LangevinSettings:
    """How members are trained and looked at.

    Args:
        width: of the hidden layers.
        members: networks M, at least 3.
        steps: noisy steps B from each recorded weights, at least 3.
        seed: of the ensemble.
        precision: "float64" or "float32".
        checkpoint: folder that a killed run continues from.
    """

    width: int = 512
    members: int = 64
    steps: int = 32
    seed: int = 0
    precision: str = "float64"
    checkpoint: str | Path | None = None

    def __post_init__(self):
        checks.whole("width", self.width)
        checks.whole("members", self.members, 3)
        checks.whole("steps", self.steps, 3)


@dataclass(frozen=True)
class LangevinMembers:
    """What the members did; T recorded times, M members, n training inputs, C outputs, units as in `LangevinPhases`.

    Args:
        times: (T,), those of the law.
        outputs: on the training inputs, (T, M, n, C).
        drift_squared: |J∇L|², (T, M).
        diffusion_squared: 2τ tr JJᵀ/η, (T, M).
        sampled: the same two from noisy steps, floor removed, (T, M).
        settings: as given.
    """

    times: Float[np.ndarray, " t"]
    outputs: Float[np.ndarray, "t m n c"]
    drift_squared: Float[np.ndarray, "t m"]
    diffusion_squared: Float[np.ndarray, "t m"]
    sampled: SignalToNoise
    settings: LangevinSettings


@checked
def train_langevin(
    network: object, law: OutputDistribution, settings: LangevinSettings | None = None, progress: Track = bar
) -> LangevinMembers:
    """Train members of finite width as the law says, with the noise injected step by step.

    Args:
        network: a description, or the functions of a stax network, as in `finite_network`.
        law: of `GradientDescent` with a temperature, on the summed or the mean loss; ridge 0, no noise on targets.
        settings: width, members, looks.
        progress: shown over training.

    Raises:
        ValueError: another procedure, infinite times, times that fall on the same step.
        Interrupted: on Ctrl-C, as `train_members`.
    """
    settings = settings or LangevinSettings()
    steps = _recorded(law)
    finite = finite_network(network, law.data.x_train, law.n_outputs, settings.width)  # pyright: ignore[reportArgumentType]
    member = _Member(finite, to_numpy(law.data.y_train), float(law.summed.step or 0), law.summed.temperature, settings)
    records = train_members(
        member.training(),
        steps,
        TrainerSettings(settings.members, settings.seed, settings.precision, checkpoint=settings.checkpoint),
        progress=progress,
    )
    seen = {name: np.asarray(values, dtype=np.float64) for name, values in records.values.items()}
    sampled = SignalToNoise(*np.moveaxis(seen["sampled"], 2, 0), batches=settings.steps)
    return LangevinMembers(law.times, seen["outputs"], seen["drift"], seen["diffusion"], sampled, settings)


def _recorded(law: OutputDistribution) -> np.ndarray:
    procedure = law.procedure
    if type(procedure) is not GradientDescent or procedure != GradientDescent(
        step_size=procedure.step_size, temperature=procedure.temperature, loss=procedure.loss
    ):
        raise ValueError(f"procedure is {procedure!r}; members follow GradientDescent with a temperature and no ridge")
    if not procedure.temperature > 0:
        raise ValueError("temperature is 0: nothing diffuses; give the procedure a temperature above 0")
    if not np.isfinite(law.times[-1]):
        raise ValueError("times holds infinity, which no number of steps reaches; leave it out")
    steps = np.floor(law.times / procedure.step_size * (1 + 4 * np.finfo(np.float64).eps)).astype(np.int64)
    if np.any(np.diff(steps) <= 0):
        raise ValueError(f"times fall on the same step of size {procedure.step_size}; space them by a step at least")
    return steps


@dataclass(frozen=True)
class _Member:
    """Pure functions of one member's parameters (P,), on the summed loss."""

    network: FiniteNetwork
    targets: np.ndarray
    step: float
    temperature: float
    settings: LangevinSettings

    def training(self) -> Training:
        return Training(
            initialise=self.initialise,
            loss=lambda parameters, batch, key: self.loss(parameters, *batch),
            optimiser=optax.sgd(self.step),
            examples=(self.network.inputs, self.targets),
            observe=self.observe,
            noise=lambda parameters, key, step: self.kicked(parameters, key),
        )

    def initialise(self, key: Array) -> Array:
        return self.network.draw(jax.random.randint(key, (), 0, _DRAWS), 0)  # pyright: ignore[reportArgumentType]

    def loss(self, parameters: Array, inputs: Array, targets: Array) -> Array:
        return 0.5 * jnp.sum((self.network.apply(parameters, inputs) - targets) ** 2)

    def kicked(self, parameters: Array, key: Array) -> Array:
        size = float(np.sqrt(2 * self.temperature * self.step))
        return parameters + size * jax.random.normal(key, parameters.shape, parameters.dtype)

    def observe(self, parameters: Array, key: Array) -> dict[str, Array]:
        inputs, targets = (jnp.asarray(part, parameters.dtype) for part in (self.network.inputs, self.targets))

        def apply(at: Array) -> Array:
            return self.network.apply(at, inputs)

        outputs, pull = jax.vjp(apply, parameters)
        gradient = pull(outputs - targets)[0]
        rows = jnp.eye(outputs.size, dtype=outputs.dtype).reshape(-1, *outputs.shape)
        trace = jnp.sum(jax.lax.map(lambda row: jnp.sum(pull(row)[0] ** 2), rows))

        def noisy(number: Array) -> Array:
            after = self.kicked(parameters - self.step * gradient, jax.random.fold_in(key, number))
            return jnp.ravel(apply(after) - outputs) / self.step

        found = sampled_signal(jax.lax.map(noisy, jnp.arange(self.settings.steps)))
        parts = (found.signal_squared, found.noise_squared, found.ratio_squared, found.standard_error)
        return {
            "outputs": outputs,
            "drift": jnp.sum(jax.jvp(apply, (parameters,), (gradient,))[1] ** 2),
            "diffusion": 2 * self.temperature * trace / self.step,
            "sampled": jnp.stack(parts),
        }
