"""Ensembles drawn from the law itself: what a comparison with as many members must find where nothing differs.

Training is an affine map of the function at the start, so a member of the law is followed through all times:

    f_t(x) = f_0(x) + Θ(x, X) A_t (Y + ε − f_0(X)),    f_0 ~ N(0, P), ε the member's own noise on the targets.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from ntkinfo.core import checks
from ntkinfo.core.arrays import float64, to_numpy
from ntkinfo.core.linear_algebra import spectrum
from ntkinfo.training.output_distribution import OutputDistribution
from ntkinfo.training.output_law import OutputLaw

SPLITS = ("train", "test")
Outputs = dict[str, Float[np.ndarray, "t members p c"]]


@dataclass(frozen=True)
class LawMembers:
    """Draws ensembles from a law, each member's outputs jointly over times, training and test inputs.

    Args:
        law: outputs are independent given the law, as at infinite width.
        chosen: indices of the times that are drawn; all where left out.

    With gradient noise (temperature above 0) the times and the splits are drawn independently of each other, each from
    its exact law: only then no affine map leads from one time to the next (`joint` is False).
    """

    law: OutputDistribution
    chosen: tuple[int, ...] | None = None

    @property
    def joint(self) -> bool:
        """Whether a member is followed through the times."""
        return self.law.summed.temperature == 0

    @property
    def indices(self) -> np.ndarray:
        """Indices of the times that are drawn."""
        return np.arange(len(self.law.times)) if self.chosen is None else np.asarray(self.chosen)

    def draw(self, seed: int | np.random.SeedSequence, members: int) -> Outputs:
        """Outputs (T, M, p, C) by split.

        Args:
            seed: of the draw; the same seed and number of members gives the same ensemble.
            members: number of members M.

        Raises:
            ValueError: blocks without a source (the kernel among the test inputs is needed).
        """
        checks.whole("members", members)
        random = np.random.default_rng(seed)
        if self.joint:
            return self._trajectories(random, members)
        laws: dict[str, OutputLaw] = {"train": self.law.train, "test": self.law.test}
        return {split: self._separate(one, random, members) for split, one in laws.items()}

    def _trajectories(self, random: np.random.Generator, members: int) -> Outputs:
        law, (n, outputs) = self.law, self.law.data.y_train.shape
        vectors, values, columns = self._vectors, to_numpy(law.eigenvalues), members * outputs
        start = self._start_root @ random.standard_normal((self._start_root.shape[1], columns))
        along = vectors.T @ start[:n]
        goal = np.repeat(to_numpy(law.targets)[:, None, :], members, axis=1).reshape(n, columns)
        if law.summed.target_noise_variance:
            noise = random.standard_normal((n, columns))
            goal = goal + np.sqrt(law.summed.target_noise_variance) * (vectors.T @ noise)
        times = law.internal_times[self.indices]
        with float64():
            g, r = (to_numpy(f(law.eigenvalues, times)) for f in (law.summed.filter, law.summed.residual))
        train = [
            vectors @ (left[:, None] * along + (values * one)[:, None] * goal) for one, left in zip(g, r, strict=True)
        ]
        test = [start[n:] + self._tangent @ (one[:, None] * (goal - along)) for one in g]
        return {"train": _by_member(train, outputs), "test": _by_member(test, outputs)}

    def _separate(self, law: OutputLaw, random: np.random.Generator, members: int) -> np.ndarray:
        times = self.law.times[self.indices]
        return np.stack([law.sample(int(random.integers(2**62)), members, float(time)) for time in times])

    @cached_property
    def _vectors(self) -> np.ndarray:
        return to_numpy(self.law.spectrum.eigenvectors)

    @cached_property
    def _tangent(self) -> Float[np.ndarray, "m n"]:
        """Θ(x, X) U, without what rounding leaves in the null space."""
        cross = to_numpy(getattr(self.law.blocks.test, self.law.procedure.tangent))
        return np.where(to_numpy(self.law.spectrum.null)[None, :], 0.0, cross @ self._vectors)

    @cached_property
    def _start_root(self) -> Float[np.ndarray, "p k"]:
        """Root of the covariance of the function at the start on training and test inputs together."""
        law, prior = self.law, self.law.procedure.prior
        if law.blocks.source is None:
            raise ValueError(
                "the kernel blocks have no source for the kernels among the test inputs; use kernel_blocks"
            )
        own = to_numpy(getattr(law.blocks.train, prior))
        cross = to_numpy(getattr(law.blocks.test, prior))
        among = to_numpy(getattr(law.blocks.source.square(law.data.x_test), prior))
        whole = spectrum(np.block([[own, cross.T], [cross, among]]), "the prior covariance of all inputs")
        kept = ~to_numpy(whole.null)
        return to_numpy(whole.eigenvectors)[:, kept] * np.sqrt(to_numpy(whole.eigenvalues)[kept])[None, :]


def _by_member(columns: list[np.ndarray], outputs: int) -> np.ndarray:
    """(p, M·C) a time to (T, M, p, C)."""
    stacked = np.stack(columns)
    return np.moveaxis(stacked.reshape(*stacked.shape[:2], -1, outputs), 2, 1)
