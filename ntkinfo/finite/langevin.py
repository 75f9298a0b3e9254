"""Drift and diffusion of an infinitely wide network under Langevin noise, in closed form, and when the second wins.

Training is θ' = −∇L + √(2τ) dW/dt. On the n training inputs the outputs then move as

    f' = −D + √(2τ) Θ^½ dW/dt,     D = Θ (f − Y) + ρ (f − f_0),

D the drift (the gradient as the outputs feel it) and 2τΘ the diffusion. Averaged over one step of size η, diffusion is
noise of covariance 2τΘ/η on top of D: what minibatch noise is to a gradient at fixed weights. Along eigenvector u_j of
Θ, with g_t the procedure's filter, e_j = 1 − μ_j g_t(λ_j) its decay (e^{−μt}, or (1 − ημ)^k), B, ŷ, σ_y² as in
`ntkinfo.training.output_distribution` and c_j the parameter variance that noise has built up,

    D_j = λ_j e_j (f_0 − Y)_j + √λ_j μ_j w_j,   w_j ~ N(0, c_j),
    E D_jc = −λ_j e_j ŷ_jc,     Var D_jc = λ_j² e_j² (B_jj + σ_y²) + λ_j μ_j² c_j.

The space of the parameters has no such comparison at infinite width: diffusion there has P numbers, the drift nC.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import float64, to_numpy
from ntkinfo.core.records import Estimate
from ntkinfo.finite.gradient_phases import Transition, transition
from ntkinfo.information.output import information_input
from ntkinfo.training.discrete import GradientDescent
from ntkinfo.training.output_distribution import OutputDistribution
from ntkinfo.training.output_law import OutputLaw
from ntkinfo.training.procedures import GradientFlow

_HALVINGS = 60


@dataclass(frozen=True)
class LangevinPhases:
    """Drift and diffusion of the training outputs, in units of outputs a unit of the summed loss's time.

    Args:
        times: (T,), in the caller's unit.
        resolution: time η over which diffusion is averaged, in the summed loss's unit: the step.
        signal: |E D|, norm over inputs and outputs of the drift's mean over members, (T,).
        spread: √tr Cov D, over members, (T,).
        diffusion: √(2τ C tr Θ / η), one number.
        ratio_member: of one member at fixed weights: √(E|D|²) over the diffusion, (T,).
        ratio_ensemble: of the ensemble: |E D| over √(tr Cov D + diffusion²), (T,).
        transition_member: when `ratio_member` falls below 1 and stays there.
        transition_ensemble: when `ratio_ensemble` does.
        parameter_growth: 2τt (with a ridge τ(1 − e^{−2ρt})/ρ), what diffusion has added to the variance of every
            parameter, which is 1 at the start, (T,). The law takes the kernel for fixed: it must be small against 1.
    """

    times: Float[np.ndarray, " t"]
    resolution: float
    signal: Float[np.ndarray, " t"]
    spread: Float[np.ndarray, " t"]
    diffusion: float
    ratio_member: Float[np.ndarray, " t"]
    ratio_ensemble: Float[np.ndarray, " t"]
    transition_member: Transition
    transition_ensemble: Transition
    parameter_growth: Float[np.ndarray, " t"]

    @property
    def drift(self) -> Float[np.ndarray, " t"]:
        """√(E|D|²), root mean square over members."""
        return np.sqrt(self.signal**2 + self.spread**2)


@checked
def langevin_phases(law: OutputDistribution, resolution: float | None = None, sustained: int = 3) -> LangevinPhases:
    """Drift, diffusion and the time at which the signal-to-noise ratio falls below 1, in closed form.

    Args:
        law: of an ensemble trained with `GradientFlow` or `GradientDescent` at a temperature above 0.
        resolution: time over which diffusion is averaged, in the caller's unit of time; the step where there is one.
        sustained: times of the law in a row at which the ratio must be below 1. The crossing itself is then found
            between two times by bisection, exact to rounding (with steps: to the step).

    Raises:
        ValueError: another procedure, temperature 0, no resolution, or infinite times without a ridge.

    Fails when 2τt is not small (`parameter_growth`): every parameter diffuses by that variance whatever the width, and
    the kernel, which the law takes for fixed, moves by as much. On training inputs, where the initial function decays,
    the law is right to leading order in 2τt. At other inputs it leaves out the covariance of the initial function with
    its own Laplacian in the parameters, which is of the order of the Langevin term itself.
    """
    model = _Model.of(law, resolution)
    signal, spread = model.moments(np.asarray(to_numpy(law.internal_times)))
    noise = model.diffusion
    times = np.asarray(law.times, dtype=np.float64)
    member, ensemble = (signal + spread) / noise, signal / (spread + noise)
    temperature = law.summed.temperature
    return LangevinPhases(
        times=times,
        resolution=model.resolution,
        signal=np.sqrt(signal),
        spread=np.sqrt(spread),
        diffusion=float(np.sqrt(noise)),
        ratio_member=np.sqrt(member),
        ratio_ensemble=np.sqrt(ensemble),
        transition_member=model.crossing(times, member, sustained, ensemble=False),
        transition_ensemble=model.crossing(times, ensemble, sustained, ensemble=True),
        parameter_growth=temperature * np.asarray(_injected(law, np.zeros(1), to_numpy(law.internal_times)))[:, 0],
    )


def _injected(law: OutputDistribution, values: np.ndarray, times: np.ndarray) -> np.ndarray:
    with float64():
        return np.asarray(law.summed.injected_variance(values, times))


@dataclass(frozen=True)
class _Model:
    """The closed form at any time of the summed loss."""

    law: OutputDistribution
    values: np.ndarray
    start: np.ndarray
    targets: np.ndarray
    resolution: float

    @classmethod
    def of(cls, law: OutputDistribution, resolution: float | None) -> _Model:
        if type(law.procedure) not in (GradientFlow, GradientDescent):
            raise ValueError(
                f"procedure is {law.procedure!r}; drift and diffusion are those of GradientFlow or GradientDescent"
            )
        if not law.summed.temperature > 0:
            raise ValueError("temperature is 0: nothing diffuses; give the procedure a temperature above 0")
        step = law.summed.step
        if resolution is not None:
            checks.positive("resolution", resolution)
            step = resolution * law.time_unit
        if step is None:
            raise ValueError("resolution is missing: continuous time has no step over which diffusion is averaged")
        with float64():
            start = to_numpy(law.prior_variance) + law.summed.target_noise_variance
        return cls(law, to_numpy(law.eigenvalues), start, np.sum(to_numpy(law.targets) ** 2, axis=1), float(step))

    @property
    def diffusion(self) -> float:
        """2τ C tr Θ / η."""
        return float(2 * self.law.summed.temperature * self.law.n_outputs * self.values.sum() / self.resolution)

    def moments(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """|E D|² and tr Cov D at times of the summed loss, (T,) each."""
        summed, values = self.law.summed, self.values
        with float64():
            decay = np.asarray(summed.rate(values, times))
        built = summed.temperature * _injected(self.law, values, times)
        mu = values + summed.ridge
        signal = decay**2 @ (values**2 * self.targets)
        # A null direction neither drifts nor shakes the outputs, however far its parameters have diffused.
        shaken = np.where(values[None, :] > 0, built, 0.0) @ (values * mu**2)
        return signal, self.law.n_outputs * (decay**2 @ (values**2 * self.start) + shaken)

    def crossing(self, times: np.ndarray, ratio: np.ndarray, sustained: int, ensemble: bool) -> Transition:
        """The first sustained crossing, bisected between the two times around it."""
        found = transition(times, ratio, sustained=sustained)
        if found.state != "crossed":
            return found
        low, high = times[times < found.time][-1], times[times >= found.time][0]
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high) if np.isfinite(high) else 2 * low
            signal, spread = (float(row[0]) for row in self.moments(np.array([middle * self.law.time_unit])))
            above = signal > spread + self.diffusion if ensemble else signal + spread > self.diffusion
            low, high = (middle, high) if above else (low, middle)
        return Transition(float(high), float(high), float(high), "crossed")


def information_course(law: OutputLaw, seed: int = 0, samples: int | None = None) -> Estimate:
    """I(Z;X) of one split at every time of the law, nats: compression by noise as the law has it.

    Args:
        law: `distribution.train`, `.test` or `.at(inputs)`.
        seed: of the draws, the same at every time.
        samples: draws an input, as in `information_input`.

    Returns:
        Values and standard errors, (T,) each.
    """
    mean, variance = to_numpy(law.mean), to_numpy(law.variance)
    found = [information_input(m, v, seed=seed, samples=samples).value for m, v in zip(mean, variance, strict=True)]
    values, errors = (np.array([float(getattr(row, name)) for row in found]) for name in ("value", "standard_error"))
    return Estimate(values, errors, found[0].meaning, found[0].method)
