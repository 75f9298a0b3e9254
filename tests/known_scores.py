"""Truths for scores of generalisation measures: planted measures on grids whose scores are known beforehand.

`PLANTED` holds measures built from the gap of `grid_trials`; `HAND` four trials whose scores can be counted by hand;
`PGDL_RANGES` what the PGDL score is known to give to measures that deserve 0.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ntkinfo.search.environments import TrialTable


@dataclass(frozen=True)
class KnownScore:
    """A measure made from the gap, with its scores.

    Args:
        name: what it is.
        measure: from gap (M,) and generator to the measure (M,).
        tau: Kendall's tau-a; also each granulated coefficient and their mean.
        information: conditional mutual information in percent.
        direction: sign of the association at fixed hyperparameters.
        sign_error: in every environment.
    """

    name: str
    measure: Callable[[np.ndarray, np.random.Generator], np.ndarray]
    tau: float
    information: float
    direction: int
    sign_error: float


PLANTED = (
    KnownScore("the gap", lambda gap, random: gap, 1.0, 100.0, 1, 0.0),
    KnownScore("a rising function of the gap", lambda gap, random: np.exp(7 * gap) - 3, 1.0, 100.0, 1, 0.0),
    KnownScore("minus the gap", lambda gap, random: -gap, -1.0, 100.0, -1, 1.0),
    KnownScore("a constant", lambda gap, random: np.full(gap.shape, 0.3), 0.0, 0.0, 0, 0.5),
)

# Score of measures that say nothing (random) or the opposite (minus the gap) on synthetic grids of one task, in
# percent; what the reference scoring program was seen to give.
PGDL_RANGES = {(3, 3, 3): {"minus": (84.0, 90.0), "random": (9.0, 20.0)}, (3,) * 5: {"minus": (96.0, 98.5)}}


def grid_trials(
    levels: tuple[int, ...] = (4, 3, 3),
    repeats: int = 1,
    data_sets: tuple[str, ...] = ("one",),
    noise: float = 0.5,
    seed: int = 0,
) -> TrialTable:
    """A full grid, `repeats` trials at each place; the gap rises with every hyperparameter, plus noise. No measures."""
    random = np.random.default_rng(seed)
    places = np.array(list(itertools.product(*(range(level) for level in levels))), dtype=float)
    places = np.tile(np.repeat(places, repeats, axis=0), (len(data_sets), 1))
    names = np.repeat(np.array(data_sets), len(places) // len(data_sets))
    gap = 0.1 * (places @ np.linspace(0.5, 1.0, len(levels)) + noise * random.normal(size=len(places)))
    columns = {f"h{i}": places[:, i] for i in range(len(levels))}
    return TrialTable({}, gap, columns, names)


def counted_trials(sizes: tuple[int, ...] = (40, 45, 50, 55), repeats: int = 3, seed: int = 0) -> TrialTable:
    """One data set for each size of its test set, gaps that are errors counted there, so tied within every data set.

    Together the data sets hold more different values than trials of one: ties are seen only within a data set.
    """
    random = np.random.default_rng(seed)
    places = np.array(list(itertools.product((1, 2), (1.0, 1.5), (0.01, 1.0), range(repeats))))
    count = len(places)
    size = np.repeat(np.array(sizes), count)
    gap = random.binomial(size, 0.15 + 0.1 * random.random(len(size))) / size
    columns = {name: np.tile(places[:, k], len(sizes)) for k, name in enumerate(("depth", "w_std", "ridge"))}
    measures = {
        "gap": gap.copy(),
        "noisy": np.round(gap + 0.02 * random.standard_normal(len(size)), 2) + 1e-3 * size,
        "chance": np.round(random.standard_normal(len(size)), 1) + 1e-3 * size,
    }
    names = np.repeat([chr(ord("a") + k) for k in range(len(sizes))], count)
    # A hundred times the inputs, so that differences of gaps are no chance of the test set.
    return TrialTable(measures, gap, columns, names, 100.0 * size)


@dataclass(frozen=True)
class HandCase:
    """Four trials on a 2 × 2 grid; scores by counting.

    Of six pairs one is discordant: τ = (5 − 1)/6. All four pairs that differ in one hyperparameter are concordant.
    Pairs with h0 = 0 and 1 on the two sides (four, each in both orders): three concordant, one not.
    """

    gap: tuple[float, ...] = (0.0, 1.0, 2.0, 3.0)
    measure: tuple[float, ...] = (0.0, 2.0, 1.0, 3.0)
    h0: tuple[float, ...] = (0.0, 0.0, 1.0, 1.0)
    h1: tuple[float, ...] = (0.0, 1.0, 0.0, 1.0)
    tau: float = 4 / 6
    psi: float = 1.0


HAND = HandCase()
