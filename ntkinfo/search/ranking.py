"""The ranking of measures: chosen on some data sets, reported on others, with a plain statement of what it shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from jaxtyping import Int

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.progress import Track, bar
from ntkinfo.search.environments import TrialTable, has_neighbours
from ntkinfo.search.scores import ScoreSettings, granulated_kendall, kendall
from ntkinfo.search.scores_all import AllScores, AllSettings, score_all, verdicts


@checked
@dataclass(frozen=True)
class RankSettings:
    """How measures are ranked.

    Args:
        scores: what is computed, and when it counts.
        held_out: data sets that only report; measures and directions are chosen on the others. Without any, nothing is
            confirmed, and the statement says so.
        directions: +1 for a measure that is meant to rise with the gap (the default), −1 to fall, 0 for unknown: the
            direction is then learned on the data sets that are not held out.
        baselines: names of measures that are hyperparameters and nothing more.
        most_missing: measures that are NaN in a larger share of the trials are left out.
        most_noise: so are those with a larger share of variance from the errors of their draws (`TrialTable.errors`).
    """

    scores: AllSettings = field(default_factory=AllSettings)
    held_out: tuple[str, ...] = ()
    directions: Mapping[str, int] = field(default_factory=dict)
    baselines: tuple[str, ...] = ()
    most_missing: float = 0.05
    most_noise: float = 0.5

    def __post_init__(self):
        checks.probability("most_missing", self.most_missing)
        checks.probability("most_noise", self.most_noise)
        for name, sign in self.directions.items():
            if sign not in (-1, 0, 1):
                raise ValueError(f"directions[{name!r}] is {sign!r}; it must be 1, -1 or 0")


@dataclass(frozen=True)
class Ranking:
    """Measures from the best to the worst on the data sets that chose them.

    Args:
        measures: names, best first: by Ψ (by τ where no two trials differ in one hyperparameter).
        direction: (K,), what every measure was multiplied by so that it is meant to rise with the gap.
        learned: (K,), whether that was learned here.
        verdict: K words: one of `scores_all.VERDICTS`, or, with held-out data sets, "not confirmed" (predicts where it
            was chosen and not where it was held out), "not chosen" (the other way round), "changes sign".
        selection: scores on the data sets that choose, in the order of `measures`.
        held_out: scores on the others, in the same order; None without.
        settings: as given.
        notes: what was left out and why.
    """

    measures: tuple[str, ...]
    direction: Int[np.ndarray, " k"]
    learned: np.ndarray
    verdict: tuple[str, ...]
    selection: AllScores
    held_out: AllScores | None
    settings: RankSettings
    notes: tuple[str, ...]

    @property
    def reported(self) -> AllScores:
        """The scores that count: those on the held-out data sets where there are any."""
        return self.held_out or self.selection

    @property
    def statement(self) -> str:
        """What predicts, what only tracks hyperparameters, what fails, in sentences."""
        return "\n".join(_statement(self))

    def dataset(self) -> xr.Dataset:
        """All scores as labelled arrays, dims (split, measure)."""
        parts = [self.selection] + ([self.held_out] if self.held_out else [])
        columns = [_columns(part) for part in parts]
        variables = {key: (("split", "measure"), np.stack([c[key] for c in columns])) for key in columns[0]}
        coordinates = {"measure": list(self.measures), "split": ["selection", "held_out"][: len(parts)]}
        found = xr.Dataset(variables, coordinates)
        found["direction"] = ("measure", self.direction)
        found["verdict"] = ("measure", np.array(self.verdict))
        for name, score in _scores(self.selection).items():
            if score is not None:
                found[name].attrs |= {"long_name": score.meaning, "interval": score.interval, "null": score.null}
        found.attrs["statement"] = self.statement
        found.attrs["notes"] = "\n".join(self.notes)
        return found


@checked
def rank(trials: TrialTable, settings: RankSettings | None = None, progress: Track = bar) -> Ranking:
    """Score all measures and say which predict generalisation, which only track hyperparameters, and which fail.

    Args:
        trials: measures, gaps, hyperparameters and data sets of all trials.
        settings: held-out data sets, directions, baselines, and what is computed.
        progress: shown by the long scores.

    Returns:
        The ranking. Corrections for the number of measures count all that were given, on the held-out data sets too.

    Raises:
        ValueError: unknown data sets or measures in the settings, nothing left to choose on, trials without spread.

    Fails when data sets are few: whether a measure predicts on a new data set is known only as well as the held-out
    ones stand for it; no interval here covers that.
    """
    settings, trials = settings or RankSettings(), trials.ordered()
    _check(trials, settings)
    table, notes = trials.without_missing(settings.most_missing)
    table, drowned = table.without_noise(settings.most_noise)
    if not table.names:
        raise ValueError(f"there are no measures to rank: {'; '.join(drowned)}")
    notes = (*notes, *drowned)
    choosing = table.of([name for name in table.data_sets if name not in settings.held_out])
    direction, learned = _directions(choosing, settings)
    table = _oriented(table, direction)
    choosing = table.of(choosing.data_sets)
    order = _order(choosing)
    names = tuple(table.names[i] for i in order)
    table = table.with_measures({name: table.measures[name] for name in names})
    selection = score_all(table.of(choosing.data_sets), settings.scores, progress)
    held_out = score_all(table.of(settings.held_out), settings.scores, progress) if settings.held_out else None
    found = verdicts(selection, settings.scores.significance)
    if held_out is not None:
        confirmed = verdicts(held_out, settings.scores.significance)
        found = tuple(_combined(a, b) for a, b in zip(found, confirmed, strict=True))
    notes = (*notes, *(f"selection: {note}" for note in selection.notes))
    if held_out is not None:
        notes = (*notes, *(f"held out: {note}" for note in held_out.notes))
    return Ranking(names, direction[order], learned[order], found, selection, held_out, settings, notes)


def _check(trials: TrialTable, settings: RankSettings) -> None:
    if not trials.names:
        raise ValueError("there are no measures to rank")
    for name in settings.held_out:
        checks.choice("held_out", name, trials.data_sets)
    if set(settings.held_out) >= set(trials.data_sets):
        raise ValueError("every data set is held out; leave at least one to choose on")
    for name in (*settings.directions, *settings.baselines):
        checks.choice("measure", name, trials.names)
    for name in settings.scores.given:
        checks.choice("given", name, trials.hyperparameters)


def _directions(trials: TrialTable, settings: RankSettings) -> tuple[np.ndarray, np.ndarray]:
    declared = np.array([settings.directions.get(name, 1) for name in trials.names], dtype=np.int64)
    learned = declared == 0
    if np.any(learned):
        found = np.sign(_local(trials)).astype(np.int64)
        declared[learned] = np.where(found[learned] == 0, 1, found[learned])
    return declared, learned


def _local(trials: TrialTable) -> np.ndarray:
    """Ψ of every measure, or τ where no two trials differ in one hyperparameter; only the values are used."""
    if not has_neighbours(trials):
        return kendall(trials).value
    return granulated_kendall(trials, ScoreSettings(resamples=20, permutations=19)).score.value


def _order(trials: TrialTable) -> np.ndarray:
    return np.argsort(-_local(trials), kind="stable")


def _oriented(trials: TrialTable, direction: np.ndarray) -> TrialTable:
    return trials.with_measures(
        {name: sign * values for sign, (name, values) in zip(direction, trials.measures.items(), strict=True)}
    )


def _combined(chosen: str, confirmed: str) -> str:
    """Verdict from that on the data sets that choose and that on the held-out ones."""
    good = ("predicts", "predicts on average")
    if chosen in good and confirmed in good:
        return confirmed if chosen == "predicts" else chosen
    if {chosen, confirmed} & {"reversed"} and {chosen, confirmed} & set(good):
        return "changes sign"
    if chosen in good:
        return "not confirmed"
    if confirmed in good:
        return "not chosen"
    if chosen == confirmed:
        return chosen
    # Neither predicts: what is left of the two is the weaker claim.
    return confirmed if chosen == "reversed" else chosen if confirmed == "reversed" else _weaker(chosen, confirmed)


def _weaker(first: str, second: str) -> str:
    return "fails" if "fails" in (first, second) else "tracks hyperparameters"


def _scores(part: AllScores) -> dict:
    return {
        "kendall": part.kendall,
        "kendall_b": part.kendall_b,
        "granulated_kendall": part.granulated.score if part.granulated else None,
        "conditional_information": part.conditional.score,
        "sign_error": part.sign_error.score if part.sign_error else None,
        "partial_correlation": part.partial,
        "pgdl": part.pgdl,
    }


def _columns(part: AllScores) -> dict[str, np.ndarray]:
    """Every number of every score, NaN where there is none."""
    nothing = np.full(len(part.kendall.measures), np.nan)
    found = {}
    for name, score in _scores(part).items():
        for suffix, key in _SUFFIXES.items():
            found[name + suffix] = nothing if score is None else getattr(score, key)
    found["conditional_information_adjusted"] = part.conditional.adjusted
    found["conditional_information_adjusted_lower"] = part.conditional.adjusted_lower
    found["conditional_information_adjusted_upper"] = part.conditional.adjusted_upper
    found["conditional_direction"] = part.conditional.direction
    errors = part.sign_error
    for suffix, key in (("", "percentile"), ("_lower", "percentile_lower"), ("_upper", "percentile_upper")):
        found["sign_error_percentile" + suffix] = nothing if errors is None else getattr(errors, key)
    found["sign_error_worst"] = nothing if errors is None else errors.worst
    return found


_SUFFIXES = {
    "": "value",
    "_lower": "lower",
    "_upper": "upper",
    "_null_mean": "null_mean",
    "_null_std": "null_std",
    "_p": "p_value",
    "_p_corrected": "p_corrected",
}


def _statement(ranking: Ranking) -> list[str]:
    part = ranking.reported
    where = ", ".join(part.data_sets)
    head = f"{len(ranking.measures)} measures, {part.trials} trials on {where}"
    if ranking.held_out:
        head += f", chosen on {', '.join(ranking.selection.data_sets)}"
    lines = [head + "."]
    if not ranking.held_out:
        lines.append("No data set was held out: nothing below is confirmed on data that did not choose it.")
    for verdict, words in _WORDS.items():
        rows = [i for i, found in enumerate(ranking.verdict) if found == verdict]
        if rows:
            lines.append(f"{words}: {'; '.join(_told(ranking, part, i) for i in rows)}.")
        elif verdict == "predicts":
            lines.append("No measure predicts the gap beyond hyperparameters in nine of ten environments.")
    lines.extend(_baselines(ranking, part))
    return lines


_WORDS = {
    "predicts": "Predict the gap beyond any two hyperparameters",
    "predicts on average": "Predict it on average, but order more than a tenth of the environments wrongly",
    "not confirmed": "Predicted where they were chosen and not where they were held out",
    "not chosen": "Predict on the held-out data sets but did not where measures are chosen, so are not claimed",
    "changes sign": "Change their sign between data sets",
    "reversed": "Fall where they are meant to rise with the gap",
    "tracks hyperparameters": "Only track hyperparameters (nothing more shows once two of them are known)",
    "fails": "Fail (no association that this many worthless measures would not reach)",
}


def _told(ranking: Ranking, part: AllScores, index: int) -> str:
    name = ranking.measures[index]
    if ranking.learned[index]:
        name += f" (direction {ranking.direction[index]:+d} learned)"
    if ranking.verdict[index] == "fails":
        return name
    local, label = (part.granulated.score, "Ψ") if part.granulated else (part.kendall, "τ")
    text = f"{name} ({label} {local.value[index]:.2f} [{local.lower[index]:.2f}, {local.upper[index]:.2f}]"
    text += f", information {part.conditional.adjusted[index]:.1f} %"
    if part.sign_error:
        text += f", sign error {part.sign_error.score.value[index]:.2f}, worst {part.sign_error.worst[index]:.2f}"
    return text + ")"


def _baselines(ranking: Ranking, part: AllScores) -> list[str]:
    """How the best hyperparameter alone does, which every claim should be read against."""
    rows = [i for i, name in enumerate(ranking.measures) if name in ranking.settings.baselines]
    if not rows:
        return ["No hyperparameter-only baseline was among the measures."]
    best = min(rows)
    return [f"Best baseline of hyperparameters alone: {_told(ranking, part, best)}."]
