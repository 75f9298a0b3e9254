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
Outputs = dict[str, Float[np.ndarray, "_ _ _ _"]]  # (T, M, p, C); the splits differ in p


def member_count(outputs: Outputs) -> int:
    """How many members there are.

    Raises:
        ValueError: a split that is missing.
    """
    for split in ("train", "test"):
        if split not in outputs:
            raise ValueError(
                f"outputs has no split {split!r}; give both, {{'train': (T, M, n, C), 'test': (T, M, m, C)}}"
            )
    return outputs["train"].shape[1]


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
        (n, outputs), columns = self.law.data.y_train.shape, members * self.law.n_outputs
        start = self._start_root @ random.standard_normal((self._start_root.shape[1], columns))
        noise = None
        if self.law.summed.target_noise_variance:
            noise = np.sqrt(self.law.summed.target_noise_variance) * random.standard_normal((n, columns))
        train, test = self._followed(start[:n], start[n:], noise)
        return {"train": _by_member(train, outputs), "test": _by_member(test, outputs)}

    def follow(self, train: Float[np.ndarray, "m n c"], test: Float[np.ndarray, "m p c"]) -> Outputs:
        """Where the law's affine map takes given starts, without noise: outputs (T, M, p, C) by split.

        Args:
            train: (M, n, C), outputs of any functions at the start on the training inputs.
            test: (M, m, C), the same on the test inputs.

        Raises:
            ValueError: a law with gradient noise, which is no map of the start.
        """
        if not self.joint:
            raise ValueError("temperature is above 0: outputs are no function of their start; leave the noise out")
        starts = [np.moveaxis(one, 1, 0).reshape(one.shape[1], -1) for one in (train, test)]
        found = self._followed(starts[0], starts[1], None)
        return {split: _by_member(one, self.law.n_outputs) for split, one in zip(SPLITS, found, strict=True)}

    def _followed(
        self, start: Float[np.ndarray, "n k"], start_test: Float[np.ndarray, "p k"], noise: np.ndarray | None
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Columns of outputs at every time, on the training and on the test inputs."""
        law, vectors = self.law, self._vectors
        along, members = vectors.T @ start, start.shape[1] // self.law.n_outputs
        goal = np.repeat(to_numpy(law.targets)[:, None, :], members, axis=1).reshape(along.shape)
        goal = goal if noise is None else goal + vectors.T @ noise
        times = law.internal_times[self.indices]
        with float64():
            g, r = (to_numpy(f(law.eigenvalues, times)) for f in (law.summed.filter, law.summed.residual))
        learned = (to_numpy(law.eigenvalues) * g)[:, :, None]
        train = [vectors @ (left[:, None] * along + one * goal) for one, left in zip(learned, r, strict=True)]
        test = [start_test + self._tangent @ (one[:, None] * (goal - along)) for one in g]
        return train, test

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
