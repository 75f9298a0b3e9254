"""Scores of measures by rank: Kendall's τ over all trials, and among trials that differ in one hyperparameter.

Every score takes all measures at once and only the order of their values; a measure that rises with the gap scores
above 0. Each comes as a `Score`: value, interval, law under the null hypothesis, and what it means.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.threads import map_threads
from ntkinfo.search.environments import Pairs, TrialTable, neighbours
from ntkinfo.search.scores_cells import Cells
from ntkinfo.search.scores_significance import (
    fisher_interval,
    node_weights,
    normal_p_values,
    permutation_p_values,
    permuted_rows,
    step_down,
)


@checked
@dataclass(frozen=True)
class ScoreSettings:
    """How intervals and null laws are drawn.

    Args:
        resamples: bootstrap draws behind each interval.
        permutations: draws behind each null law; the smallest possible p is 1/(permutations + 1).
        level: coverage of the intervals.
        seed: of all draws.
    """

    resamples: int = 400
    permutations: int = 199
    level: float = 0.95
    seed: int = 0

    def __post_init__(self):
        checks.whole("resamples", self.resamples, least=20)
        checks.whole("permutations", self.permutations, least=19)
        checks.whole("seed", self.seed, least=0)
        if not 0.5 <= self.level < 1:
            raise ValueError(f"level is {self.level}; it is the coverage of the intervals: from 0.5 to below 1")


@dataclass(frozen=True)
class Score:
    """One score of K measures.

    Args:
        name: of the score.
        measures: names, K of them.
        value: (K,).
        lower: (K,), lower end of the interval; NaN where there is none.
        upper: (K,).
        null_mean: (K,), of the score where the measure has nothing to do with the gap.
        null_std: (K,), standard deviation under the same law.
        p_value: (K,), two-sided, of one measure alone.
        p_corrected: (K,), the same when the best of all K is looked for: the chance that any of K worthless measures
            reaches this.
        ceiling: what the gap itself scores; below 1 where gaps are tied.
        meaning: what the value is.
        interval: how the interval was made and what it covers.
        null: what the null law is and how p was corrected.
    """

    name: str
    measures: tuple[str, ...]
    value: Float[np.ndarray, " k"]
    lower: Float[np.ndarray, " k"]
    upper: Float[np.ndarray, " k"]
    null_mean: Float[np.ndarray, " k"]
    null_std: Float[np.ndarray, " k"]
    p_value: Float[np.ndarray, " k"]
    p_corrected: Float[np.ndarray, " k"]
    ceiling: float
    meaning: str
    interval: str
    null: str


@dataclass(frozen=True)
class GranulatedScore:
    """Granulated Kendall coefficients.

    Args:
        score: Ψ, the mean of the coefficients of all hyperparameters.
        hyperparameters: names of those that vary in some pair, q of them.
        psi: (K, q), coefficient of each.
        lower: (K, q).
        upper: (K, q).
        by_data_set: (K, D), Ψ of each data set by itself, over the hyperparameters that vary in it.
    """

    score: Score
    hyperparameters: tuple[str, ...]
    psi: Float[np.ndarray, "k q"]
    lower: Float[np.ndarray, "k q"]
    upper: Float[np.ndarray, "k q"]
    by_data_set: Float[np.ndarray, "k d"]


TIES = ("a", "b")


def kendall(trials: TrialTable, settings: ScoreSettings | None = None, ties: str = "a") -> Score:
    """Kendall's τ between every measure and the gap, over all pairs of trials of a data set, averaged over data sets.

    Args:
        trials: the trials.
        settings: level of the intervals; nothing here is drawn.
        ties: "a" divides by all pairs, so that ties pull towards 0 and a constant has 0; "b" divides by
            √(pairs untied in the measure · pairs untied in the gap), and a constant has no value (NaN).

    Returns:
        The score. Intervals: delete-one jackknife on Fisher's scale, for trials of these data sets. Null: the measure's
        values permuted among the trials of each data set, by its exact variance and a normal law; p corrected by Holm.

    Raises:
        ValueError: fewer than four trials in a data set, NaN in a measure.

    Fails when trials depend on each other (a measure of the kernel alone repeats wherever the kernel does): intervals
    are then too narrow and p too small. Hyperparameters alone can make τ large: see
    `conditional_information`.
    Source: Kendall 1970, "Rank correlation methods"; methods F.
    """
    settings, trials = settings or ScoreSettings(), trials.ordered()
    checks.choice("ties", ties, TIES)
    _check_sizes(trials)
    parts = [_kendall_part(trials.ranks[:, rows], trials.gap_ranks[rows], ties) for rows in trials.parts]
    value, error, null = (np.array(column) for column in zip(*parts, strict=True))
    count = len(parts)
    mean, spread = value.mean(axis=0), np.sqrt((error**2).sum(axis=0)) / count
    null_std = np.sqrt((null**2).sum(axis=0)) / count
    lower, upper = fisher_interval(mean, spread, settings.level)
    p = normal_p_values(mean, null_std)
    return Score(
        name=f"kendall_{ties}",
        measures=trials.names,
        value=mean,
        lower=lower,
        upper=upper,
        null_mean=np.zeros_like(mean),
        null_std=null_std,
        p_value=p,
        p_corrected=step_down(p),
        ceiling=_tau_ceiling(trials, ties),
        meaning=f"Kendall's τ-{ties} with the gap over all pairs of trials, mean over data sets",
        interval=f"{settings.level:.0%}, delete-one jackknife over trials, Fisher's scale",
        null="values permuted among the trials of a data set, normal law with exact variance; corrected by Holm",
    )


def granulated_kendall(trials: TrialTable, settings: ScoreSettings | None = None) -> GranulatedScore:
    """Kendall's τ-a among trials that differ in one hyperparameter only, averaged: ψ for each, Ψ over all.

    A group holds the trials that agree in the data set and all hyperparameters but one; its τ is the mean of
    sign · sign over its pairs with different values. ψ_i is the mean over the groups of hyperparameter i, Ψ the mean of
    the ψ_i, both the mean over data sets.

    Returns:
        The scores. Intervals: bootstrap in which every combination of hyperparameters has a random weight and a pair
        the product of two (conservative: what is private to a pair enters the variance three times). Null: gaps
        permuted among the trials of each data set; p corrected by the maximum over measures of |Ψ| in units of its
        null deviation, permuted jointly.

    Raises:
        ValueError: no two trials differ in exactly one hyperparameter; NaN in a measure.

    Fails when gaps vary smoothly with hyperparameters: trials are then not exchangeable, and a measure that follows one
    hyperparameter has a Ψ far from 0 by the luck of one sign. Such measures show in ψ_i and `conditional_information`.
    Source: Jiang et al. 2020, "Fantastic generalization measures and where to find them"; methods F.
    """
    settings, trials = settings or ScoreSettings(), trials.ordered()
    pairs = neighbours(trials)
    cells = Cells.of(pairs, len(trials.hyperparameters))
    signs = pairs.signs(trials.ranks).astype(np.float64)[:, cells.order]
    gap = pairs.signs(trials.gap_ranks).astype(np.float64)[cells.order]
    each = cells.means(signs, gap[:, None])[..., 0]
    psi = cells.by_hyperparameter(each)
    value = psi.mean(axis=-1)
    drawn = bootstrapped(trials, pairs, cells, signs * gap, settings)
    ends = np.array([(1 - settings.level) / 2, (1 + settings.level) / 2])
    low, high = np.quantile(drawn, ends, axis=-1)
    lower, upper = np.quantile(drawn.mean(axis=1), ends, axis=-1)
    null = _granulated_null(trials, pairs, cells, signs, settings)
    p, corrected = permutation_p_values(value, null)
    score = Score(
        name="granulated_kendall",
        measures=trials.names,
        value=value,
        lower=lower,
        upper=upper,
        null_mean=null.mean(axis=-1),
        null_std=null.std(axis=-1),
        p_value=p,
        p_corrected=corrected,
        ceiling=float(cells.by_hyperparameter(cells.means(gap[None], gap[:, None])[..., 0]).mean()),
        meaning="Ψ: mean of Kendall's τ-a among trials that differ in one hyperparameter, over hyperparameters",
        interval=f"{settings.level:.0%}, bootstrap of hyperparameter combinations, these data sets; conservative",
        null="gaps permuted among the trials of a data set; corrected by the maximum over measures",
    )
    names = tuple(list(trials.hyperparameters)[i] for i in cells.hyperparameters)
    return GranulatedScore(score, names, psi, low, high, cells.by_data_set(each))


def granulated_draws(trials: TrialTable, settings: ScoreSettings | None = None) -> Float[np.ndarray, "k b"]:
    """Ψ in the bootstrap draws of `granulated_kendall`, joint over measures: for intervals of differences."""
    trials = trials.ordered()
    pairs = neighbours(trials)
    cells = Cells.of(pairs, len(trials.hyperparameters))
    products = (pairs.signs(trials.ranks) * pairs.signs(trials.gap_ranks)).astype(np.float64)[:, cells.order]
    return bootstrapped(trials, pairs, cells, products, settings or ScoreSettings()).mean(axis=1)


def bootstrapped(
    trials: TrialTable, pairs: Pairs, cells: Cells, products: Float[np.ndarray, "k p"], settings: ScoreSettings
) -> Float[np.ndarray, "k q b"]:
    """ψ of every hyperparameter under random weights of the combinations; products of signs in the cells' order."""
    first, second = trials.combination[pairs.first][cells.order], trials.combination[pairs.second][cells.order]
    ones = np.ones((len(first), 1))

    def draw(columns: np.ndarray) -> np.ndarray:
        return cells.by_hyperparameter(cells.means(products, ones, columns[first] * columns[second]))

    weights = node_weights(int(trials.combination.max()) + 1, settings.resamples, settings.seed)
    return np.concatenate(map_threads(draw, np.array_split(weights, -(-settings.resamples // 50), axis=1)), axis=-1)


def _granulated_null(
    trials: TrialTable, pairs: Pairs, cells: Cells, signs: np.ndarray, settings: ScoreSettings
) -> Float[np.ndarray, "k b"]:
    """Ψ with the gaps permuted within data sets."""
    rows = permuted_rows(trials.data_set, settings.permutations, settings.seed)

    def draw(some: np.ndarray) -> np.ndarray:
        gaps = pairs.signs(trials.gap_ranks[some])[:, cells.order].T.astype(np.float64)
        return cells.by_hyperparameter(cells.means(signs, gaps)).mean(axis=1)

    return np.concatenate(map_threads(draw, np.array_split(rows, -(-len(rows) // 50))), axis=-1)


def _kendall_part(ranks: np.ndarray, gap: np.ndarray, ties: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """τ, its jackknife error and its null deviation for the trials of one data set; each (K,)."""
    concordance = np.array(map_threads(lambda row: concordance_sums(row, gap), ranks)).reshape(ranks.shape)
    m = len(gap)
    tied, tied_gap = np.array([_ties(row) for row in ranks]).reshape(ranks.shape), _ties(gap)
    total = concordance.sum(axis=1, keepdims=True) / 2
    untied = m * (m - 1) / 2 - tied.sum(axis=1, keepdims=True) / 2
    untied_gap = m * (m - 1) / 2 - tied_gap.sum() / 2
    value = total[:, 0] / _tau_scale(m, untied[:, 0], untied_gap, ties)
    left = _tau_scale(m - 1, untied - (m - 1 - tied), untied_gap - (m - 1 - tied_gap), ties)
    without = (total - concordance) / left
    error = np.sqrt((m - 1) / m * ((without - without.mean(axis=1, keepdims=True)) ** 2).sum(axis=1))
    null = np.sqrt([_null_variance(row, gap) for row in ranks]) / _tau_scale(m, untied[:, 0], untied_gap, ties)
    return value, error, null


def concordance_sums(ranks: Int[np.ndarray, " m"], gap: Int[np.ndarray, " m"]) -> Int[np.ndarray, " m"]:
    """Σ_j sign(μ_i − μ_j) sign(g_i − g_j) for every trial i, in blocks of rows."""
    found, block = np.empty(len(ranks), dtype=np.int64), max(1, 2_000_000 // len(ranks))
    for start in range(0, len(ranks), block):
        rows = slice(start, start + block)
        both = _sign_table(ranks, rows) * _sign_table(gap, rows)
        found[rows] = both.sum(axis=1, dtype=np.int32)
    return found


def _sign_table(ranks: np.ndarray, rows: slice) -> np.ndarray:
    column = ranks[rows, None]
    return (column > ranks).view(np.int8) - (column < ranks).view(np.int8)


def _ties(ranks: np.ndarray) -> Int[np.ndarray, " m"]:
    """With how many others each trial is tied."""
    return np.bincount(ranks)[ranks] - 1


def _tau_scale(m: int, untied: np.ndarray, untied_gap: np.ndarray | float, ties: str) -> np.ndarray | float:
    if ties == "a":
        return m * (m - 1) / 2
    product = np.asarray(untied * untied_gap, dtype=np.float64)
    return np.where(product > 0, np.sqrt(product), np.nan)


def _null_variance(ranks: np.ndarray, gap: np.ndarray) -> float:
    """Variance of concordant minus discordant pairs under permutation, with ties on both sides."""
    m, t, u = float(len(gap)), np.bincount(ranks).astype(np.float64), np.bincount(gap).astype(np.float64)
    single = m * (m - 1) * (2 * m + 5) - sum((c * (c - 1) * (2 * c + 5)).sum() for c in (t, u))
    pairs = (t * (t - 1)).sum() * (u * (u - 1)).sum() / (2 * m * (m - 1))
    triples = (t * (t - 1) * (t - 2)).sum() * (u * (u - 1) * (u - 2)).sum() / (9 * m * (m - 1) * (m - 2))
    return max(0.0, single / 18 + pairs + triples)


def _tau_ceiling(trials: TrialTable, ties: str) -> float:
    return float(
        np.mean([_kendall_part(trials.gap_ranks[None, r], trials.gap_ranks[r], ties)[0] for r in trials.parts])
    )


def _check_sizes(trials: TrialTable) -> None:
    for name, rows in zip(trials.data_sets, trials.parts, strict=True):
        if len(rows) < 4:
            raise ValueError(f"data set {name!r} has {len(rows)} trial(s); at least 4 are needed for a correlation")
