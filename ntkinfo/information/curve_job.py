"""What the functions that compute curves are given: settings, the law, the table to fill, the errors to add."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.kept import Keeper
from ntkinfo.core.progress import Track
from ntkinfo.information.curve_table import SPLITS, CurveTable
from ntkinfo.information.label_model import LabelModel
from ntkinfo.information.numerical_errors import NumericalErrors, SideErrors
from ntkinfo.kernels.store import KernelStore
from ntkinfo.training.output_distribution import OutputDistribution
from ntkinfo.training.output_law import OutputLaw


@checked
@dataclass(frozen=True)
class CurveSettings:
    """How the quantities that are not closed forms are computed, and where kernels are kept.

    Args:
        seed: of the Monte Carlo draws; the same draws at every time make smooth curves.
        samples_per_input: draws for each input, even and at least 4; None for about 5120 draws a time in all.
        tolerance: absolute error of the quadrature that one output allows, in nats.
        extra_inputs: how many test inputs, from the first, join the training inputs in `information_parameters` and
            `information_parameters_labels`.
        label_model: law that the training targets are taken to be drawn from, for the quantities that end in `_labels`
            or `_labels_joint`; by default the function's own law before training, without noise.
        interpolation_tolerance: error allowed to what is computed at some of the times and interpolated to the others
            (quantities in function space and joint ones), relative above one nat and absolute below.
        store: folder that keeps kernels between runs, or None.
        certify: share of the times at which every value is computed once more by a second route (`certify`), from 0
            for none to 1 for all.
        checkpoint: folder that keeps what is finished, where that takes more than two seconds, so that the same call
            goes on after an interruption, to the same numbers; or None. Another call is refused.
    """

    seed: int = 0
    samples_per_input: int | None = None
    tolerance: float = 1e-9
    extra_inputs: int = 0
    label_model: LabelModel = field(default=LabelModel(), repr=False)
    interpolation_tolerance: float = 1e-6
    store: KernelStore | str | os.PathLike | None = field(default=None, repr=False)
    certify: float = field(default=0.0, repr=False)
    checkpoint: str | os.PathLike | None = field(default=None, repr=False)

    def __post_init__(self):
        checks.whole("seed", self.seed, least=0)
        if self.samples_per_input is not None:
            checks.whole("samples_per_input", self.samples_per_input, least=4)
            if self.samples_per_input % 2:
                raise ValueError(f"samples_per_input is {self.samples_per_input}; it must be even (antithetic pairs)")
        checks.positive("tolerance", self.tolerance)
        checks.whole("extra_inputs", self.extra_inputs, least=0)
        checks.positive("interpolation_tolerance", self.interpolation_tolerance)
        checks.probability("certify", self.certify)


@dataclass(frozen=True)
class Side:
    """One split: its outputs' law, its answers, and the errors of that law."""

    split: str
    law: OutputLaw
    targets: np.ndarray
    labels: np.ndarray | None
    errors: SideErrors

    @property
    def answered(self) -> bool:
        """Whether its targets are known."""
        return not np.isnan(self.targets).any()


@dataclass(frozen=True)
class Job:
    """One set of curves in the making."""

    table: CurveTable
    law: OutputDistribution
    chosen: tuple[str, ...]
    settings: CurveSettings
    errors: NumericalErrors
    progress: Track
    kept: Keeper

    def stage(self, key: str, fill: Callable[[], object]) -> None:
        """Fill a part of the table, or put back what is kept of it."""
        done: list[list[tuple[Any, ...]]] = []

        def compute() -> list[tuple[Any, ...]]:
            done.append(self.table.record(fill))
            return done[0]

        log = self.kept.recall(key, compute)
        if not done:
            self.table.replay(log)

    def sides(self) -> Iterator[Side]:
        """Training and test inputs."""
        data = self.law.data
        for split in SPLITS:
            law, errors = getattr(self.law, split), self.errors.side(split)
            yield Side(split, law, getattr(data, f"y_{split}"), getattr(data, f"labels_{split}"), errors)
