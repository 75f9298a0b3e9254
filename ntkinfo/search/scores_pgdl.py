"""The score of the PGDL competition (2020), as its scoring program computes it."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from jaxtyping import Int

from ntkinfo.core.progress import Track, bar
from ntkinfo.core.threads import map_threads
from ntkinfo.search.environments import TrialTable
from ntkinfo.search.grouping import group_numbers
from ntkinfo.search.scores import Score, ScoreSettings
from ntkinfo.search.scores_significance import permutation_p_values, permuted_rows
from ntkinfo.search.scores_tables import Strata

# The program adds this to probabilities inside the logarithm of an entropy.
_INSIDE_LOG = 1e-12


def pgdl_score(trials: TrialTable, settings: ScoreSettings | None = None, progress: Track = bar) -> Score:
    """Conditional mutual information by the rules of the PGDL scoring program, in percent, averaged over data sets.

    Differs from `conditional_information`, which is the form to trust, in this: only sets of exactly two
    hyperparameters; a pair of trials counts as "above" or "not above", so that ties and pairs of a trial with itself
    fall on the negative side; information and entropy are each averaged over the cells of U_S with equal weights,
    whatever cells hold, before they are divided.

    It does not see direction (the negative of the gap scores nearly as high as the gap) and is biased: measures of pure
    chance score far above 0 on small grids. The null law says how far; read `kendall` beside it for the direction.

    Args:
        trials: for every data set a complete grid, one trial at each place (`TrialTable.averaged` merges repeats); the
            gap is training less test accuracy, or whatever the measure is to rise with.
        settings: permutations and seed.
        progress: shown over data sets and pairs of hyperparameters.

    Returns:
        The score, without intervals (NaN); p is one-sided, corrected by the maximum over measures.

    Raises:
        ValueError: fewer than two hyperparameters vary, a grid that is incomplete or holds a place twice, as in the
            program; gaps that are all equal.

    Not reproduced: the program names a cell by the joined digits of both values, so that values like 1 and 11 may meet
    in one cell; here cells are told apart.
    Source: Jiang et al. 2020, "NeurIPS 2020 competition: predicting generalization in deep learning"; methods F.
    """
    settings, trials = settings or ScoreSettings(), trials.ordered()
    tasks = [_task(trials, rows, name) for rows, name in zip(trials.parts, trials.data_sets, strict=True)]
    jobs = [(d, pair) for d, codes in enumerate(tasks) for pair in combinations(range(len(codes)), 2)]
    draws = permuted_rows(trials.data_set, settings.permutations, settings.seed)
    least = np.full((len(tasks), len(trials.names) + 1, 1 + settings.permutations), np.inf)
    for d, (i, j) in progress(jobs, "PGDL score", total=len(jobs)):
        rows = trials.parts[d]
        gaps = np.concatenate([trials.gap_ranks[None, rows], trials.gap_ranks[draws[:, rows]]])
        # The gap itself goes along as the last measure, for the ceiling.
        ranks = np.concatenate([trials.ranks[:, rows], trials.gap_ranks[None, rows]])
        least[d] = np.minimum(least[d], _slice_scores(ranks, gaps, group_numbers(tasks[d][i], tasks[d][j])))
    found = 100 * least.mean(axis=0)
    value, null = found[:-1, 0], found[:-1, 1:]
    p, corrected = permutation_p_values(value, null, two_sided=False)
    nothing = np.full(value.shape, np.nan)
    return Score(
        name="pgdl",
        measures=trials.names,
        value=value,
        lower=nothing,
        upper=nothing,
        null_mean=null.mean(axis=1),
        null_std=null.std(axis=1),
        p_value=p,
        p_corrected=corrected,
        ceiling=float(found[-1, 0]),
        meaning="score of the PGDL program in percent, mean over data sets; blind to direction, biased upwards",
        interval="none",
        null="gaps permuted among the trials of a data set; corrected by the maximum over measures",
    )


def _task(trials: TrialTable, rows: np.ndarray, name: str) -> list[Int[np.ndarray, " m"]]:
    """Codes of the hyperparameters that vary on one data set; a complete grid, each place once."""
    codes = [group_numbers(code[rows]) for code in trials.codes]
    codes = [code for code in codes if code.max() > 0]
    places = int(np.prod([int(code.max()) + 1 for code in codes], dtype=np.int64))
    if len(codes) < 2:
        raise ValueError(f"on data set {name!r} {len(codes)} hyperparameter(s) vary; the PGDL score needs two or more")
    held = len(np.unique(group_numbers(*codes)))
    if held != places or len(rows) != places:
        raise ValueError(
            f"data set {name!r} has {len(rows)} trials at {held} of {places} places of its grid; the PGDL score needs "
            "one at each: average repeats (TrialTable.averaged) and complete the grid"
        )
    if np.all(trials.gap[rows] == trials.gap[rows[0]]):
        raise ValueError(f"all gaps on data set {name!r} are equal: there is no order to predict; leave it out")
    return codes


def _slice_scores(ranks: np.ndarray, gaps: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Ratio of mean information to mean entropy at one pair of hyperparameters, (K, B) for B orders of the gap."""
    strata = Strata.of(number)
    total = np.outer(strata.count, strata.count)
    bits = [strata.above(gap) for gap in gaps]
    positive = [strata.counts(gap) for gap in bits]
    shares = [np.stack([up, total - up]) / total for up in positive]
    entropies = [float(-(share * np.log(share + _INSIDE_LOG)).sum(axis=0).mean()) for share in shares]
    fixed = [_logs(strata, up, total - up) - strata.count_logs(total) for up in positive]

    def one(row: np.ndarray) -> list[float]:
        own = strata.above(row)
        above = strata.counts(own)
        margin = _logs(strata, above, total - above)
        found = []
        for gap, up, known, entropy in zip(bits, positive, fixed, entropies, strict=True):
            both = strata.common(own, gap)
            joint = _logs(strata, both, above - both, up - both, total - above - up + both)
            found.append(float(((joint - margin - known) / total).mean()) / entropy)
        return found

    return np.array(map_threads(one, ranks))


def _logs(strata: Strata, *counts: np.ndarray) -> np.ndarray:
    """Σ c log c in every cell."""
    return np.sum([strata.count_logs(part) for part in counts], axis=0)
