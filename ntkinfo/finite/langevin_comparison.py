"""Members trained with injected noise against the Langevin law of infinite width, in units of standard errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import to_numpy
from ntkinfo.finite.gradient_phases import Transition, transition
from ntkinfo.finite.langevin import LangevinPhases, langevin_phases
from ntkinfo.finite.langevin_members import LangevinMembers
from ntkinfo.information.output import information_input
from ntkinfo.training.output_distribution import OutputDistribution

_SAMPLES = 512


@dataclass(frozen=True)
class Against:
    """A quantity of the members and of the law over time.

    Args:
        members: average over the members, (T,).
        standard_error: of that, (T,).
        law: in closed form, (T,).
    """

    members: Float[np.ndarray, " t"]
    standard_error: Float[np.ndarray, " t"]
    law: Float[np.ndarray, " t"]

    @property
    def deviations(self) -> Float[np.ndarray, " t"]:
        """Members less law, in standard errors."""
        return (self.members - self.law) / self.standard_error

    @property
    def relative(self) -> Float[np.ndarray, " t"]:
        """Members over law, less 1."""
        return self.members / self.law - 1


@dataclass(frozen=True)
class LangevinComparison:
    """Members against the law.

    Beside sampling, members differ from the law by their width: diffusion is the trace of the tangent kernel, whose
    start already scatters by a few per cent at width 512, and its standard error is that of the members' scatter.

    Args:
        phases: the closed form.
        drift: |D|², drift of the training outputs at fixed weights.
        diffusion: 2τ C tr Θ / η.
        sampled_drift: |D|² from noisy steps, floor removed.
        sampled_diffusion: diffusion from noisy steps.
        mean_deviations: members' mean of each training output less the law's, in standard errors, (T, n, C).
        variance: of the training outputs, average over inputs and outputs.
        information: I(Z;X) on the training inputs from the members' means and variances, nats; of the law with the
            bias that as many of its own members have taken into account.
        ratio: signal to noise of a member, squared: mean drift over mean diffusion.
        transition: when the members' ratio falls below 1 and stays there, with ± two standard errors.
    """

    phases: LangevinPhases
    drift: Against
    diffusion: Against
    sampled_drift: Against
    sampled_diffusion: Against
    mean_deviations: Float[np.ndarray, "t n c"]
    variance: Against
    information: Against
    ratio: Against
    transition: Transition


@checked
def compare_langevin(
    members: LangevinMembers, law: OutputDistribution, *, seed: int = 0, replicas: int = 20
) -> LangevinComparison:
    """Compare drift, diffusion, outputs, I(Z;X) and the transition of trained members with their law.

    Args:
        members: trained by `train_langevin` on this law.
        law: in closed form.
        seed: of the draws from the law that give the bias and the scatter of the members' I(Z;X).
        replicas: sets of M members drawn from the law for that, at least 5.

    Raises:
        ValueError: other times than the law's.
    """
    checks.whole("replicas", replicas, 5)
    if not np.array_equal(members.times, law.times):
        raise ValueError("the members were recorded at other times than the law has; train them on this law")
    phases = langevin_phases(law)
    drift, noise = phases.drift**2, np.full(len(law.times), phases.diffusion**2)
    ratio = _ratio(members.drift_squared, members.diffusion_squared, drift / noise)
    return LangevinComparison(
        phases=phases,
        drift=_average(members.drift_squared, drift),
        diffusion=_average(members.diffusion_squared, noise),
        sampled_drift=_average(np.asarray(members.sampled.signal_squared), drift),
        sampled_diffusion=_average(np.asarray(members.sampled.noise_squared), noise),
        mean_deviations=_mean(members.outputs, law),
        variance=_variance(members.outputs, law),
        information=_information(members.outputs, law, seed, replicas),
        ratio=ratio,
        transition=transition(law.times, ratio.members, ratio.standard_error),
    )


def _average(values: Float[np.ndarray, "t m"], law: Float[np.ndarray, " t"]) -> Against:
    return Against(values.mean(axis=1), values.std(axis=1, ddof=1) / np.sqrt(values.shape[1]), law)


def _ratio(signal: np.ndarray, noise: np.ndarray, law: np.ndarray) -> Against:
    """Ratio of the members' means, its error by the jackknife."""
    count = signal.shape[1]
    others = (signal.sum(axis=1, keepdims=True) - signal) / (noise.sum(axis=1, keepdims=True) - noise)
    error = np.sqrt((count - 1) * others.var(axis=1))
    return Against(signal.mean(axis=1) / noise.mean(axis=1), error, law)


def _mean(outputs: Float[np.ndarray, "t m n c"], law: OutputDistribution) -> Float[np.ndarray, "t n c"]:
    error = outputs.std(axis=1, ddof=1) / np.sqrt(outputs.shape[1])
    return (outputs.mean(axis=1) - to_numpy(law.train.mean)) / error


def _variance(outputs: Float[np.ndarray, "t m n c"], law: OutputDistribution) -> Against:
    count = outputs.shape[1]
    squares = np.mean((outputs - outputs.mean(axis=1, keepdims=True)) ** 2, axis=(2, 3)) * count / (count - 1)
    return _average(squares, to_numpy(law.train.variance).mean(axis=1))


def _information(outputs: np.ndarray, law: OutputDistribution, seed: int, replicas: int) -> Against:
    """I(Z;X) of fitted Gaussians; the law's own is that of sets of as many members drawn from it, averaged."""
    members, expected, error = [], [], []
    for index, time in enumerate(law.times):
        members.append(_fitted(outputs[index], seed))
        draws = law.train.sample(seed + index, replicas * outputs.shape[1], float(time))
        sets = draws.reshape(replicas, outputs.shape[1], *draws.shape[1:])
        null = np.array([_fitted(row, seed) for row in sets])
        expected.append(null.mean())
        error.append(null.std(ddof=1) * np.sqrt(1 + 1 / replicas))
    return Against(np.array(members), np.array(error), np.array(expected))


def _fitted(outputs: Float[np.ndarray, "m n c"], seed: int) -> float:
    """I(Z;X) between outputs and training input from each input's mean and variance over the members (and outputs)."""
    variance = outputs.var(axis=0, ddof=1).mean(axis=1)
    return float(information_input(outputs.mean(axis=0), variance, seed=seed, samples=_SAMPLES).value.value)
