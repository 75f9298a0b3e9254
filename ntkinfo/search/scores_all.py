"""Every score of every measure on one set of trials, and what the scores say about each measure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.progress import Track, bar
from ntkinfo.search.environments import BY, TrialTable
from ntkinfo.search.scores import GranulatedScore, Score, ScoreSettings, granulated_kendall, kendall
from ntkinfo.search.scores_conditional import ConditionalScore, ConditionalSettings, conditional_information
from ntkinfo.search.scores_partial import partial_correlation
from ntkinfo.search.scores_pgdl import pgdl_score
from ntkinfo.search.scores_sign_error import SignErrorScore, sign_error

Result = TypeVar("Result")


@checked
@dataclass(frozen=True)
class AllSettings:
    """What is computed for every measure.

    Args:
        score: intervals and null laws.
        conditional: conditional information.
        given: hyperparameters that the partial correlation holds fixed: number of inputs, label noise.
        by: environments of the sign error, "values" or "combinations".
        least_size: effective pairs that an environment needs.
        significance: largest corrected p that counts.
        pgdl_permutations: draws behind the null law of the PGDL score (the dearest of all); 0 leaves the score out.
    """

    score: ScoreSettings = field(default_factory=ScoreSettings)
    conditional: ConditionalSettings = field(default_factory=ConditionalSettings)
    given: tuple[str, ...] = ()
    by: str = "values"
    least_size: float = 12.0
    significance: float = 0.05
    pgdl_permutations: int = 19

    def __post_init__(self):
        checks.choice("by", self.by, BY)
        checks.non_negative("least_size", self.least_size)
        checks.positive("significance", self.significance)
        checks.probability("significance", self.significance)
        checks.whole("pgdl_permutations", self.pgdl_permutations, least=0)
        if 1 / (self.score.permutations + 1) > self.significance:
            raise ValueError(
                f"{self.score.permutations} permutations cannot reach a p of {self.significance}; "
                f"take at least {int(np.ceil(1 / self.significance))}"
            )


@dataclass(frozen=True)
class AllScores:
    """Scores of K measures on one set of trials; None where a score cannot be computed, with the reason in the notes.

    Args:
        data_sets: names.
        trials: how many.
        kendall: τ-a.
        kendall_b: τ-b.
        granulated: ψ and Ψ.
        conditional: conditional information.
        sign_error: by environment.
        partial: rank correlation given controls.
        pgdl: score of the PGDL program.
        notes: what was left out or changed, and why.
    """

    data_sets: tuple[str, ...]
    trials: int
    kendall: Score
    kendall_b: Score
    granulated: GranulatedScore | None
    conditional: ConditionalScore
    sign_error: SignErrorScore | None
    partial: Score | None
    pgdl: Score | None
    notes: tuple[str, ...]


def score_all(trials: TrialTable, settings: AllSettings | None = None, progress: Track = bar) -> AllScores:
    """Compute every score of every measure.

    Args:
        trials: without NaN (`TrialTable.without_missing`).
        settings: what to compute.
        progress: shown by the long ones.

    Raises:
        ValueError: as `kendall` and `conditional_information`; the others are None with a note where the trials do not
            allow them (no two trials differ in one hyperparameter, the grid is not complete).
    """
    settings = settings or AllSettings()
    if not trials.names:
        raise ValueError("there are no measures to score")
    notes: list[str] = []
    conditional = conditional_information(trials, settings.score, settings.conditional, progress)
    granulated = _attempt("granulated_kendall", lambda: granulated_kendall(trials, settings.score), notes)
    errors = _attempt("sign_error", lambda: sign_error(trials, settings.score, settings.by, settings.least_size), notes)
    partial = None
    if settings.given:
        controls = settings.given
        partial = _attempt("partial_correlation", lambda: partial_correlation(trials, controls, settings.score), notes)
    pgdl = _attempt("pgdl", lambda: _pgdl(trials, settings, notes, progress), notes)
    return AllScores(
        data_sets=trials.data_sets,
        trials=len(trials.gap),
        kendall=kendall(trials, settings.score),
        kendall_b=kendall(trials, settings.score, "b"),
        granulated=granulated,
        conditional=conditional,
        sign_error=errors,
        partial=partial,
        pgdl=pgdl,
        notes=(*conditional.notes, *notes),
    )


def _attempt(name: str, function: Callable[[], Result], notes: list[str]) -> Result | None:
    """The score, or None and a note where the trials do not allow it."""
    try:
        return function()
    except ValueError as error:
        notes.append(f"{name}: not computed: {error}")
        return None


def _pgdl(trials: TrialTable, settings: AllSettings, notes: list[str], progress: Track) -> Score | None:
    if not settings.pgdl_permutations:
        return None
    merged = trials
    if len(np.unique(trials.combination)) < len(trials.gap):
        finite = {name: values for name, values in trials.measures.items() if np.all(np.isfinite(values))}
        if len(finite) < len(trials.measures):
            raise ValueError("repeats cannot be averaged: some measures are infinite")
        merged = trials.averaged()
        notes.append("pgdl: measures and gaps averaged over repeats")
    draws = ScoreSettings(permutations=max(19, settings.pgdl_permutations), seed=settings.score.seed)
    return pgdl_score(merged, draws, progress)


VERDICTS = ("predicts", "predicts on average", "reversed", "tracks hyperparameters", "fails")


def verdicts(scores: AllScores, significance: float = 0.05) -> tuple[str, ...]:
    """One of `VERDICTS` for every measure, from one set of trials.

    "predicts": rises with the gap among trials that differ in one hyperparameter (Ψ) and says something about the
    order of gaps once any two hyperparameters are known, both after correction for the number of measures, with a sign
    error below ½ in nine of ten environments. "predicts on average": the same but for the environments. "reversed": as
    sure, but falls where the gap rises. "tracks hyperparameters": goes with the gap (τ or Ψ), but shows nothing once
    two hyperparameters are known (nor would a weak measure on few trials). "fails": no association that many worthless
    measures would not reach.
    """
    local = scores.granulated.score if scores.granulated else scores.kendall
    inside = (scores.conditional.score.p_corrected <= significance) & (scores.conditional.score.value > 0)
    known = scores.conditional.direction
    seen = (local.p_corrected <= significance) | (scores.kendall.p_corrected <= significance)
    up = inside & (local.p_corrected <= significance) & (local.value > 0) & (known > 0)
    down = inside & (local.p_corrected <= significance) & (local.value < 0) & (known < 0)
    steady = np.ones(up.shape, dtype=bool) if scores.sign_error is None else scores.sign_error.percentile < 0.5
    found = np.select([up & steady, up, down, seen], VERDICTS[:4], VERDICTS[4])
    return tuple(str(name) for name in found)
