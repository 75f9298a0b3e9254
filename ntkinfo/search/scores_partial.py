"""Partial rank correlation of measures with the gap, given the number of inputs and the label noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import rankdata

from ntkinfo.core import checks
from ntkinfo.core.threads import map_threads
from ntkinfo.search.environments import TrialTable
from ntkinfo.search.grouping import group_numbers
from ntkinfo.search.scores import Score, ScoreSettings
from ntkinfo.search.scores_significance import fisher_interval, node_weights, permutation_p_values, permuted_rows


def partial_correlation(trials: TrialTable, given: Sequence[str], settings: ScoreSettings | None = None) -> Score:
    """Correlation of ranks of measure and gap within cells of equal data set and equal controls.

    Ranks run over the trials of a data set; from both the mean of every cell of equal controls is taken away, so that
    any function of the controls, additive or not, is removed. The correlation of what is left is averaged over data
    sets. A measure that is a function of the controls has 0.

    Args:
        trials: the trials.
        given: names of the controls among the hyperparameters, such as number of inputs and label noise.
        settings: level, resamples, permutations, seed.

    Returns:
        The score. Intervals: spread of a bootstrap over trials, ranks and cell means held fixed, on Fisher's scale (for
        some fifty trials they hold 93 rather than 95 in a hundred). Null: gaps permuted among the trials of a cell; p
        two-sided, corrected by the maximum over measures.

    Raises:
        ValueError: an unknown control; no cell with two trials (controls of many values: round them); NaN in a measure.

    Fails when trials depend on each other within cells (one kernel serves many): intervals are then too narrow.
    """
    settings, trials = settings or ScoreSettings(), trials.ordered()
    names = list(trials.hyperparameters)
    for name in given:
        checks.choice("given", name, names)
    sets = np.unique(trials.data_set, return_inverse=True)[1].reshape(-1)
    cells = group_numbers(sets, *(trials.codes[names.index(name)] for name in given))
    if np.bincount(cells).max() < 2:
        raise ValueError(f"no two trials agree in {', '.join(given)}; round these hyperparameters to a few values")
    # A measure that rounding alone moves within cells is constant there.
    left = _residuals(np.vstack([_set_ranks(trials, row) for row in (*trials.ranks, trials.gap_ranks)]), cells)
    measures, gap = left[:-1], left[-1]
    value = _correlation(measures, gap, trials.parts, np.ones((len(gap), 1)))[:, 0]
    weights = node_weights(len(gap), settings.resamples, settings.seed)
    drawn = _correlation(measures, gap, trials.parts, weights)
    null = _null(measures, gap, trials.parts, cells, settings)
    p, corrected = permutation_p_values(value, null)
    # The means of the cells are fitted too: the spread of residuals is that much too small.
    count = len(gap)
    error = drawn.std(axis=1) * np.sqrt(count / max(1, count - int(cells.max()) - 1))
    lower, upper = fisher_interval(value, error, settings.level)
    text = ", ".join(given) if given else "nothing but the data set"
    return Score(
        name="partial_correlation",
        measures=trials.names,
        value=value,
        lower=lower,
        upper=upper,
        null_mean=null.mean(axis=1),
        null_std=null.std(axis=1),
        p_value=p,
        p_corrected=corrected,
        ceiling=1.0,
        meaning=f"rank correlation with the gap given {text}, mean over data sets",
        interval=f"{settings.level:.0%}, bootstrap over trials, Fisher's scale",
        null="gaps permuted among trials that agree in the controls; corrected by the maximum over measures",
    )


def _null(
    measures: np.ndarray, gap: np.ndarray, parts: tuple[np.ndarray, ...], cells: np.ndarray, settings: ScoreSettings
) -> Float[np.ndarray, "k b"]:
    """Correlations with gaps permuted within cells."""
    ones = np.ones((len(gap), 1))
    rows = permuted_rows(cells, settings.permutations, settings.seed)
    return np.array(map_threads(lambda row: _correlation(measures, gap[row], parts, ones)[:, 0], rows)).T


def _set_ranks(trials: TrialTable, ranks: Int[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """Mid-ranks among the trials of each data set, between 0 and 1."""
    found = np.empty(len(ranks))
    for rows in trials.parts:
        found[rows] = rankdata(ranks[rows]) / len(rows)
    return found


def _residuals(rows: Float[np.ndarray, "k m"], cells: Int[np.ndarray, " m"]) -> Float[np.ndarray, "k m"]:
    counts = np.bincount(cells)
    means = np.array([np.bincount(cells, weights=row) / counts for row in rows])
    left = rows - means[:, cells]
    return np.where(np.abs(left) < 1e-12, 0.0, left)


def _correlation(
    measures: Float[np.ndarray, "k m"],
    gap: Float[np.ndarray, " m"],
    parts: tuple[np.ndarray, ...],
    weights: Float[np.ndarray, "m b"],
) -> Float[np.ndarray, "k b"]:
    """Weighted correlation of residuals, mean over data sets; 0 for a measure without residual."""
    found = np.zeros((len(measures), weights.shape[1]))
    for rows in parts:
        own, other, share = measures[:, rows], gap[rows], weights[rows]
        scale = np.sqrt((own**2 @ share) * (other**2 @ share))
        cross = (own * other) @ share
        found += np.divide(cross, scale, out=np.zeros_like(cross), where=scale > 0)
    return found / len(parts)
