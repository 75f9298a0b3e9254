"""Conditional mutual information between the order of a measure and the order of the gap, at given hyperparameters."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float
from scipy.stats import t as student

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.progress import Track, bar
from ntkinfo.core.threads import map_threads
from ntkinfo.search.environments import TrialTable
from ntkinfo.search.grouping import group_numbers
from ntkinfo.search.scores import Score, ScoreSettings
from ntkinfo.search.scores_significance import permutation_p_values, permuted_rows
from ntkinfo.search.scores_tables import (
    Signed,
    Strata,
    conditional_covariance,
    has_ties,
    information_ratio,
    sign_tables,
)


@checked
@dataclass(frozen=True)
class ConditionalSettings:
    """How conditional information is computed.

    Args:
        most_conditions: hyperparameters held fixed at once.
        levels: a hyperparameter of more different values is conditioned on in this many ranges of equal count.
        bias_draws: permutations that measure the bias at every set of hyperparameters.
        groups: trials are left out in this many random groups for the intervals.
    """

    most_conditions: int = 2
    levels: int = 6
    bias_draws: int = 4
    groups: int = 10

    def __post_init__(self):
        checks.whole("most_conditions", self.most_conditions, least=0)
        checks.whole("levels", self.levels, least=2)
        checks.whole("bias_draws", self.bias_draws, least=2)
        checks.whole("groups", self.groups, least=5)


@dataclass(frozen=True)
class ConditionalScore:
    """Conditional mutual information of K measures on D data sets, in percent.

    Args:
        score: min over S of I(V_μ;V_g|U_S)/H(V_g|U_S), without sign; null law and p are those at `weakest`.
        adjusted: (K,), (value − bias)/(100 − bias) · 100 at `weakest`, with the sign of `direction`: 0 for measures
            that say nothing beyond those hyperparameters, ±100 for the gap and its negative.
        adjusted_lower: (K,).
        adjusted_upper: (K,).
        direction: (K,), sign of the association at fixed hyperparameters; 0 where there is none.
        minimising: [K][D], names of the hyperparameters S where the value is smallest.
        weakest: [K][D], the same for the value less its bias.
        notes: what was done to hyperparameters.
    """

    score: Score
    adjusted: Float[np.ndarray, " k"]
    adjusted_lower: Float[np.ndarray, " k"]
    adjusted_upper: Float[np.ndarray, " k"]
    direction: Float[np.ndarray, " k"]
    minimising: tuple[tuple[tuple[str, ...], ...], ...]
    weakest: tuple[tuple[tuple[str, ...], ...], ...]
    notes: tuple[str, ...]


def conditional_information(
    trials: TrialTable,
    settings: ScoreSettings | None = None,
    options: ConditionalSettings | None = None,
    progress: Track = bar,
) -> ConditionalScore:
    """What the order of a measure says about the order of the gap once hyperparameters are known, in percent.

    V_μ and V_g are the signs (+, −, 0) of the differences of measure and gap between two different trials of a data
    set, U_S the values of the hyperparameters in S of both. The value is the smallest I(V_μ;V_g|U_S)/H(V_g|U_S) over
    all S of up to two hyperparameters, averaged over data sets; cells of U_S weigh as many pairs as they hold. The gap
    and its negative have 100, a function of one or two hyperparameters 0; the information has no sign, so `direction`
    has to be read with it.

    The plug-in value is above 0 for a measure of pure chance, the more so the fewer pairs a cell holds. That bias is
    measured for every S by permuting the gaps among trials that agree in S; `weakest` is the S with the smallest value
    less bias, and the null law and p are those at that S.

    Args:
        trials: the trials.
        settings: permutations, level, seed.
        options: number of conditions, ranges of continuous hyperparameters, groups of the jackknife.
        progress: shown over data sets and sets of hyperparameters.

    Returns:
        The score; p is one-sided (informations only grow), corrected by the maximum over measures in units of each
        null deviation, with the same random order of trials for all.

    Raises:
        ValueError: NaN in a measure; a data set of fewer than four trials; gaps that are all equal.

    Fails when the set that hides a measure's information has more hyperparameters than S may hold: a function of three
    of them is not found out. Intervals come from leaving out random groups of trials: they hold for these data sets.
    Source: Jiang et al. 2020, "Fantastic generalization measures and where to find them"; methods F.
    """
    settings, options = settings or ScoreSettings(), options or ConditionalSettings()
    trials = trials.ordered()
    problems, sets, notes = _problems(trials, options)
    value, bias = _every_set(problems, len(sets), options.bias_draws, settings.seed, progress)
    minimising, weakest = _smallest(value), _smallest(value - bias)
    tested = [
        problem.at(weakest[d], settings, options)
        for d, problem in progress(enumerate(problems), "null laws", total=len(problems))
    ]
    spread = [
        part.variance
        if np.array_equal(minimising[d], weakest[d])
        else problem.variance(minimising[d], settings.seed, options.groups)
        for d, (problem, part) in enumerate(zip(problems, tested, strict=True))
    ]
    least = np.mean([np.take_along_axis(value[d], minimising[d][None], 0)[0] for d in range(len(problems))], axis=0)
    null = np.mean([part.null for part in tested], axis=0)
    score = _score(trials.names, least, _width(spread, settings, options), null, tested, (settings, options))
    names = [tuple(tuple(_named(trials, sets[s]) for s in column) for column in x.T) for x in (minimising, weakest)]
    adjusted, lower, upper, direction = _adjusted(tested, null, settings, options)
    return ConditionalScore(score, adjusted, lower, upper, direction, names[0], names[1], notes)


def _every_set(
    problems: list[_Problem], sets: int, draws: int, seed: int, progress: Track
) -> tuple[Float[np.ndarray, "d s k"], Float[np.ndarray, "d s k"]]:
    """Information at every S, and the mean over a few permutations."""
    tasks = [(problem, choice) for problem in problems for choice in range(sets)]
    table = [
        problem.with_draws(choice, np.arange(len(problem.ranks)), draws, seed)
        for problem, choice in progress(tasks, "conditional information", total=len(tasks))
    ]
    found = np.array(table).reshape(len(problems), sets, -1, 1 + draws)
    return found[..., 0], found[..., 1:].mean(axis=-1)


def _width(variances: list[np.ndarray], settings: ScoreSettings, options: ConditionalSettings) -> np.ndarray:
    """Half an interval of the mean over data sets."""
    quantile = float(student.ppf((1 + settings.level) / 2, options.groups - 1))
    return np.asarray(quantile * np.sqrt(np.sum(variances, axis=0)) / len(variances))


def _score(
    names: tuple[str, ...],
    value: np.ndarray,
    width: np.ndarray,
    null: np.ndarray,
    tested: list[_Tested],
    settings: tuple[ScoreSettings, ConditionalSettings],
) -> Score:
    p, corrected = permutation_p_values(np.mean([part.value for part in tested], axis=0), null, two_sided=False)
    return Score(
        name="conditional_information",
        measures=names,
        value=100 * value,
        lower=np.maximum(0.0, 100 * (value - width)),
        upper=np.minimum(100.0, 100 * (value + width)),
        null_mean=100 * null.mean(axis=1),
        null_std=100 * null.std(axis=1),
        p_value=p,
        p_corrected=corrected,
        ceiling=100.0,
        meaning=f"min over |S| ≤ {settings[1].most_conditions} of I(V_μ;V_g|U_S)/H(V_g|U_S) in percent, plug-in; "
        "without direction",
        interval=f"{settings[0].level:.0%}, {settings[1].groups} groups of trials left out in turn",
        null="gaps permuted among trials that agree in the weakest S; corrected by the maximum over measures",
    )


def _adjusted(
    tested: list[_Tested], null: np.ndarray, settings: ScoreSettings, options: ConditionalSettings
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Value at the weakest S less its bias, with direction, in percent; its interval; the direction."""
    covariance = np.mean([part.covariance for part in tested], axis=0)
    direction = np.sign(np.where(np.abs(covariance) < 1e-12, 0.0, covariance))
    centre = null.mean(axis=1)
    there = np.mean([part.value for part in tested], axis=0)
    found = 100 * direction * (there - centre) / (1 - centre)
    width = 100 * _width([part.variance for part in tested], settings, options) / (1 - centre)
    return found, found - width, found + width, direction


@dataclass(frozen=True)
class _Tested:
    """Values of one data set at the weakest S of every measure, as shares: (K,), (K, B), (K,), (K,)."""

    value: np.ndarray
    null: np.ndarray
    variance: np.ndarray
    covariance: np.ndarray


@dataclass(frozen=True)
class _Problem:
    """The trials of one data set: ranks (K, m), gap (m,), number of the stratum of every trial for every S.

    `stream` tells the data set's draws from those of the others, so that the null law of a mean over data sets is that
    of independent permutations.
    """

    ranks: np.ndarray
    gap: np.ndarray
    numbers: tuple[np.ndarray, ...]
    stream: int = 0

    def with_draws(self, choice: int, which: np.ndarray, draws: int, seed: int) -> np.ndarray:
        """Information of some measures at one S, as it is and with permuted gaps, (len(which), 1 + draws)."""
        number = self.numbers[choice]
        strata = Strata.of(number)
        orders = [np.arange(len(number)), *(permuted_rows(number, draws, seed, self.stream) if draws else ())]
        tied = has_ties(self.gap)
        gaps = [Signed.of(self.gap[order], strata, tied) for order in orders]

        def one(index: int) -> list[float]:
            measure = Signed.of(self.ranks[index], strata)
            return [information_ratio(measure, gap, strata) for gap in gaps]

        return np.array(map_threads(one, which.tolist())).reshape(len(which), len(orders))

    def at(self, chosen: np.ndarray, settings: ScoreSettings, options: ConditionalSettings) -> _Tested:
        """Null law, jackknife variance and direction of every measure at its own S."""
        count = len(self.ranks)
        drawn = np.empty((count, 1 + settings.permutations))
        covariance = np.empty(count)
        for choice in np.unique(chosen):
            which = np.flatnonzero(chosen == choice)
            # Other draws than those that chose S.
            drawn[which] = self.with_draws(int(choice), which, settings.permutations, settings.seed + 1)
            strata = Strata.of(self.numbers[choice])
            gap = Signed.of(self.gap, strata)
            for index in which:
                covariance[index] = conditional_covariance(
                    sign_tables(Signed.of(self.ranks[index], strata), gap, strata)
                )
        variance = self.variance(chosen, settings.seed, options.groups)
        return _Tested(drawn[:, 0], drawn[:, 1:], variance, covariance)

    def variance(self, chosen: np.ndarray, seed: int, groups: int) -> np.ndarray:
        """Of the information of every measure at its own S, (K,)."""
        found = np.empty(len(chosen))
        for choice in np.unique(chosen):
            which = np.flatnonzero(chosen == choice)
            found[which] = self._jackknife(int(choice), which, seed, groups)
        return found

    def _jackknife(self, choice: int, which: np.ndarray, seed: int, groups: int) -> np.ndarray:
        """Delete-a-group jackknife; groups are spread evenly over the strata."""
        number = self.numbers[choice]
        random = np.random.default_rng([seed, 3, self.stream])
        group = np.empty(len(number), dtype=np.int64)
        group[np.lexsort((random.random(len(number)), number))] = np.arange(len(number)) % groups
        left = [self._without(group == g, choice).with_draws(0, which, 0, seed)[:, 0] for g in range(groups)]
        return np.asarray((groups - 1) * np.nanvar(left, axis=0))

    def _without(self, rows: np.ndarray, choice: int) -> _Problem:
        keep = ~rows
        number = group_numbers(self.numbers[choice][keep])
        return _Problem(self.ranks[:, keep], self.gap[keep], (number,), self.stream)


def _problems(
    trials: TrialTable, options: ConditionalSettings
) -> tuple[list[_Problem], list[tuple[int, ...]], tuple[str, ...]]:
    """One problem a data set, the sets S by index, and notes."""
    count = len(trials.hyperparameters)
    sets = [s for size in range(options.most_conditions + 1) for s in combinations(range(count), size)]
    problems, said = [], []
    for stream, (name, rows) in enumerate(zip(trials.data_sets, trials.parts, strict=True)):
        if len(rows) < 4:
            raise ValueError(f"data set {name!r} has {len(rows)} trial(s); at least 4 are needed")
        if np.all(trials.gap[rows] == trials.gap[rows[0]]):
            raise ValueError(f"all gaps on data set {name!r} are equal: there is no order to predict; leave it out")
        codes, notes = _coarse(trials, rows, options.levels)
        numbers = [group_numbers(np.zeros(len(rows), dtype=np.int64), *(codes[i] for i in s)) for s in sets]
        problems.append(_Problem(trials.ranks[:, rows], trials.gap_ranks[rows], tuple(numbers), stream))
        said.append(notes)
    return problems, sets, _together(trials.data_sets, said)


def _coarse(trials: TrialTable, rows: np.ndarray, levels: int) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Codes of the hyperparameters on one data set, in ranges where they have many values there."""
    codes, notes = [], []
    for name, every in zip(trials.hyperparameters, trials.codes, strict=True):
        code = group_numbers(every[rows])
        values = int(code.max()) + 1
        if values > levels:
            edges = np.quantile(code, np.arange(1, levels) / levels)
            code = group_numbers(np.searchsorted(edges, code, side="right"))
            notes.append(f"{name}: {values} values, conditioned on in {int(code.max()) + 1} ranges of equal count")
        codes.append(code)
    return codes, tuple(notes)


def _together(names: tuple[str, ...], notes: list[tuple[str, ...]]) -> tuple[str, ...]:
    """Notes of all data sets, said once where they are the same on all."""
    if all(own == notes[0] for own in notes):
        return notes[0]
    return tuple(f"{name}: {note}" for name, own in zip(names, notes, strict=True) for note in own)


def _smallest(values: np.ndarray) -> np.ndarray:
    """Index over the second axis of (D, sets, K) where the value is smallest; sets without a value are passed over."""
    return np.argmin(np.where(np.isnan(values), np.inf, values), axis=1)


def _named(trials: TrialTable, indices: tuple[int, ...]) -> tuple[str, ...]:
    names = list(trials.hyperparameters)
    return tuple(names[i] for i in indices)
