"""Truths for comparing members with a law: chance alone, and members whose departure is known in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import digamma, polygamma


@dataclass(frozen=True)
class KnownChance:
    """Relative entropy of the fitted Gaussian from the law it was drawn from: mean and deviation in closed form.

    One input: ½ [C (log(ν/2) − ψ(ν/2)) + C/M], ν = C(M − 1), with variance ¼ [C² (ψ₁(ν/2) − 2/ν) + 2C/M²].
    """

    members: int
    outputs: int

    @property
    def mean(self) -> float:
        half = self.outputs * (self.members - 1) / 2
        return float(0.5 * self.outputs * (np.log(half) - digamma(half) + 1 / self.members))

    @property
    def std(self) -> float:
        half = self.outputs * (self.members - 1) / 2
        spread = self.outputs**2 * (polygamma(1, half) - 1 / half) + 2 * self.outputs / self.members**2
        return float(0.5 * np.sqrt(spread))


@dataclass(frozen=True)
class ScaleMixture:
    """Outputs √s z with z standard normal and s of mean 1 and variance `spread`, one s a member (Gamma).

    What finite width does first: the variance is 1, the fourth cumulant of an output 3 spread, and the squared length
    of k outputs has E|z|⁴ = k(k + 2)(1 + spread).
    """

    spread: float

    def draw(self, random: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
        scale = random.gamma(1 / self.spread, self.spread, size=shape[0])
        return np.sqrt(scale)[:, None, None] * random.standard_normal(shape)

    @property
    def fourth_cumulant(self) -> float:
        return 3 * self.spread


CHANCES = [KnownChance(20, 1), KnownChance(64, 10), KnownChance(7, 3)]
