"""Trials as columns, pairs of trials that differ in one hyperparameter, and the environments that such pairs form.

Trials of different data sets are never compared with each other: every score is computed for each data set by itself
and then averaged over data sets with equal weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array
from ntkinfo.search import trial_columns
from ntkinfo.search.grouping import dense_ranks, group_numbers, pairs_within, to_digits


@checked
@dataclass(frozen=True)
class TrialTable:
    """M trials: what was measured on each, how well it generalised, and how it was set up.

    Args:
        measures: name to values (M,). Infinite values are allowed (they only rank last or first); NaN is not: see
            `without_missing`.
        gap: what a measure should rise with, (M,): generalisation gap, test loss or test error.
        hyperparameters: name to values (M,), numbers or strings; None where one is not set is a value of its own, the
            first in order. Trials that agree in all of them and in the data set
            are repeats: leave out the seed. Only exactly equal numbers count as equal.
        data_set: name of each trial's data set, (M,).
        test_size: number of test inputs behind each gap, (M,); None where the gap has no sampling error that matters.
        errors: name to standard errors (M,) of measures that were drawn; the others are exact.

    Raises:
        ValueError: no trials, columns of other lengths, NaN, a gap that is infinite, missing entries elsewhere than
            among hyperparameters.
        TypeError: columns that are not numbers, or that mix numbers and text.
    """

    measures: Mapping[str, np.ndarray]
    gap: np.ndarray
    hyperparameters: Mapping[str, np.ndarray]
    data_set: np.ndarray
    test_size: np.ndarray | None = None
    errors: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self):
        gap = trial_columns.numbers("gap", self.gap)
        checks.finite("gap", gap)
        object.__setattr__(self, "gap", gap)
        object.__setattr__(self, "data_set", trial_columns.names("data_set", self.data_set, len(gap)))
        readers = {"measures": trial_columns.numbers, "errors": trial_columns.numbers}
        for key, read in {**readers, "hyperparameters": trial_columns.levels}.items():
            columns = {str(n): read(f"{key}[{n!r}]", v, len(gap)) for n, v in getattr(self, key).items()}
            object.__setattr__(self, key, columns)
        if self.test_size is not None:
            sizes = trial_columns.numbers("test_size", self.test_size, len(gap))
            if not np.all(sizes >= 1):
                raise ValueError(f"test_size holds {sizes.min()}; it is the number of test inputs: at least 1")
            object.__setattr__(self, "test_size", sizes)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the measures, in order."""
        return tuple(self.measures)

    @cached_property
    def data_sets(self) -> tuple[str, ...]:
        """Names of the data sets, sorted."""
        return tuple(np.unique(self.data_set).tolist())

    @cached_property
    def parts(self) -> tuple[Int[np.ndarray, " m"], ...]:
        """Rows of each data set, in the order of `data_sets`."""
        return tuple(np.flatnonzero(self.data_set == name) for name in self.data_sets)

    @cached_property
    def ranks(self) -> Int[np.ndarray, "k m"]:
        """Rank of every trial under every measure among the trials of its data set, equal for equal values.

        All that the scores use of a measure. Dense within each data set: values from 0 without gaps.
        """
        for name, values in self.measures.items():
            trial_columns.no_nan(name, values)
        rows = [self._ranked(v) for v in self.measures.values()]
        return np.array(rows, dtype=np.int32).reshape(len(rows), len(self.gap))

    @cached_property
    def gap_ranks(self) -> Int[np.ndarray, " m"]:
        """Rank of every trial's gap among those of its data set, dense as `ranks`."""
        return self._ranked(self.gap)

    def _ranked(self, values: Float[np.ndarray, " m"]) -> Int[np.ndarray, " m"]:
        found = np.empty(len(values), dtype=np.int32)
        for rows in self.parts:
            found[rows] = dense_ranks(values[rows])
        return found

    @cached_property
    def codes(self) -> Int[np.ndarray, "p m"]:
        """Each hyperparameter's value as a whole number from 0, in the order of the values."""
        rows = [trial_columns.codes(column) for column in self.hyperparameters.values()]
        return np.array(rows, dtype=np.int64).reshape(len(rows), len(self.gap))

    @cached_property
    def combination(self) -> Int[np.ndarray, " m"]:
        """Number of each trial's combination of data set and hyperparameters; repeats share it."""
        return group_numbers(*self.codes, np.unique(self.data_set, return_inverse=True)[1].reshape(-1))

    @cached_property
    def order(self) -> Int[np.ndarray, " m"]:
        """Rows in an order that depends on nothing but what they hold.

        By data set, hyperparameters, gap, number of test inputs, measures by name; rows that agree in all of these are
        the same trial. Scores that draw at random put the trials in this order first, so that the seed fixes them
        however the rows arrived.
        """
        names = np.unique(self.data_set, return_inverse=True)[1].reshape(-1)
        sizes = () if self.test_size is None else (self.test_size,)
        measures = (self.measures[name] for name in sorted(self.measures))
        return np.lexsort((names, *self.codes, self.gap, *sizes, *measures)[::-1])

    def ordered(self) -> TrialTable:
        """The same trials in `order`."""
        if np.all(np.diff(self.order) > 0):
            return self
        return self.select(self.order)

    def select(self, rows: Array) -> TrialTable:
        """The trials at these rows, or where a mask holds."""
        kinds = ("measures", "hyperparameters", "errors")
        columns = {key: {n: v[rows] for n, v in getattr(self, key).items()} for key in kinds}
        sizes = None if self.test_size is None else self.test_size[rows]
        return TrialTable(gap=self.gap[rows], data_set=self.data_set[rows], test_size=sizes, **columns)

    def of(self, data_sets: Sequence[str]) -> TrialTable:
        """The trials on these data sets.

        Raises:
            ValueError: a data set of which there are no trials.
        """
        for name in data_sets:
            checks.choice("data set", name, self.data_sets)
        return self.select(np.isin(self.data_set, list(data_sets)))

    def with_measures(self, measures: Mapping[str, np.ndarray]) -> TrialTable:
        """The same trials with other measures."""
        return replace(self, measures=measures)

    def without_missing(self, most: float = 0.05) -> tuple[TrialTable, tuple[str, ...]]:
        """Leave out measures that are NaN in more than a share `most` of the trials, then trials that miss any other.

        All measures are so compared on the same trials.

        Returns:
            The table and notes on what was left out.
        """
        checks.probability("most", most)
        missing = {name: int(np.isnan(values).sum()) for name, values in self.measures.items()}
        dropped = [name for name, count in missing.items() if count > most * len(self.gap)]
        kept = {name: values for name, values in self.measures.items() if name not in dropped}
        whole = np.all([~np.isnan(v) for v in kept.values()], axis=0) if kept else np.ones(len(self.gap), dtype=bool)
        notes = [f"{name}: left out, NaN in {missing[name]} of {len(self.gap)} trials" for name in dropped]
        if not np.all(whole):
            some = [name for name in kept if missing[name]]
            notes.append(f"{int((~whole).sum())} of {len(self.gap)} trials left out: NaN in {', '.join(some)}")
        if not np.any(whole):
            raise ValueError("no trial has all its measures; lower `most` or leave measures out")
        return self.with_measures(kept).select(whole), tuple(notes)

    def without_noise(self, most: float = 0.5) -> tuple[TrialTable, tuple[str, ...]]:
        """Leave out measures whose errors of drawing make up more than a share `most` of their variance.

        The variance is that within data sets, where measures are compared. An order of values that chance makes says
        nothing about the measure.

        Returns:
            The table and notes on what was left out.
        """
        checks.probability("most", most)
        notes, kept = [], dict(self.measures)
        for name in self.measures:
            share = self._noise(name)
            if share > most:
                del kept[name]
                notes.append(
                    f"{name}: left out, {share:.0%} of its variance is the error of its draws; take more samples"
                )
        return self.with_measures(kept), tuple(notes)

    def _noise(self, name: str) -> float:
        """Share of a measure's variance within data sets that its standard errors explain; 0 where it has none."""
        if name not in self.errors:
            return 0.0
        values, error = self.measures[name], self.errors[name]
        known = np.isfinite(values) & np.isfinite(error)
        spread = noise = 0.0
        for rows in self.parts:
            rows = rows[known[rows]]
            if len(rows):
                spread += len(rows) * float(np.var(values[rows]))
                noise += float(np.sum(error[rows] ** 2))
        return min(1.0, noise / spread) if spread > 0 else 0.0

    def averaged(self) -> TrialTable:
        """One trial for each combination: mean gap and measures over repeats.

        Means are kept to 13 digits, so that equal ones stay equal whatever was added to make them.
        """
        order, combination = self.order, self.combination[self.order]
        _, first, counts = np.unique(combination, return_index=True, return_counts=True)

        def mean(values: np.ndarray) -> np.ndarray:
            return to_digits(np.bincount(combination, weights=values[order]) / counts)

        table = self.select(order[first])
        measures = {name: mean(values) for name, values in self.measures.items()}
        sizes = None if self.test_size is None else mean(self.test_size)
        return replace(table, measures=measures, gap=mean(self.gap), test_size=sizes, errors={})


@dataclass(frozen=True)
class Pairs:
    """Pairs of trials of one data set that differ in exactly one hyperparameter.

    Args:
        first: rows of the trials with the smaller value, (P,).
        second: rows of the trials with the larger value, (P,).
        varied: index of the hyperparameter that differs, (P,).
        group: number of the group of trials that agree in everything else, (P,); groups of different hyperparameters
            have different numbers.
        data_set: index of the data set, (P,).
    """

    first: Int[np.ndarray, " p"]
    second: Int[np.ndarray, " p"]
    varied: Int[np.ndarray, " p"]
    group: Int[np.ndarray, " p"]
    data_set: Int[np.ndarray, " p"]

    def signs(self, ranks: Int[np.ndarray, "*k m"]) -> np.ndarray:
        """Signs (..., P) of second minus first."""
        return np.sign(ranks[..., self.second] - ranks[..., self.first]).astype(np.int8)


def neighbours(trials: TrialTable) -> Pairs:
    """All pairs that differ in exactly one hyperparameter; repeats pair each with each.

    Raises:
        ValueError: there are none, as where hyperparameters were drawn at random from intervals.
    """
    found = _neighbours(trials)
    if not sum(len(part[0]) for part in found):
        raise ValueError(
            "no two trials of a data set differ in exactly one hyperparameter; scores by environment need a grid, "
            "or hyperparameters rounded to a few values"
        )
    return Pairs(*(np.concatenate(column) for column in zip(*found, strict=True)))


def has_neighbours(trials: TrialTable) -> bool:
    """Whether any two trials differ in exactly one hyperparameter."""
    return any(len(part[0]) for part in _neighbours(trials))


def _neighbours(trials: TrialTable) -> list[tuple[np.ndarray, ...]]:
    """The columns of `Pairs` for every hyperparameter."""
    sets = np.unique(trials.data_set, return_inverse=True)[1].reshape(-1)
    found, begin = [], 0
    for index, code in enumerate(trials.codes):
        others = group_numbers(*np.delete(trials.codes, index, axis=0), sets)
        first, second = pairs_within(others)
        differ = code[first] != code[second]
        first, second = first[differ], second[differ]
        swap = code[first] > code[second]
        first, second = np.where(swap, second, first), np.where(swap, first, second)
        found.append((first, second, np.full(len(first), index), begin + others[first], sets[first]))
        begin += int(others.max()) + 1
    return found


@dataclass(frozen=True)
class Environments:
    """Pairs sorted into environments, with the weight of every pair.

    Args:
        pairs: the pairs of the environments that are kept, sorted by environment.
        weight: (P,), how sure it is that the two gaps differ.
        start: (E,), where each environment begins among the pairs.
        size: (E,), effective number of pairs (Σw)²/Σw².
        left_out: how many environments had too few effective pairs.
        by: "values" or "combinations".
    """

    pairs: Pairs
    weight: Float[np.ndarray, " p"]
    start: Int[np.ndarray, " e"]
    size: Float[np.ndarray, " e"]
    left_out: int
    by: str = field(default="values")


BY = ("values", "combinations")


def environments(trials: TrialTable, by: str = "values", least_size: float = 12.0) -> Environments:
    """Sort the pairs that differ in one hyperparameter into environments.

    Args:
        trials: the trials; `test_size` sets the weights, which are 1 without it.
        by: "combinations": one environment for each two combinations of hyperparameters, with all pairs of their
            repeats in it, as Dziugaite et al. 2020; needs at least four repeats to reach an effective size of 12.
            "values": one for each data set and two values of one hyperparameter; the others vary inside it.
        least_size: environments of fewer effective pairs are left out and counted.

    Raises:
        ValueError: no environment is large enough; no pairs at all.

    Source: Dziugaite et al. 2020, "In search of robust measures of generalization"; methods F.
    """
    checks.choice("by", by, BY)
    checks.non_negative("least_size", least_size)
    pairs = neighbours(trials)
    if by == "values":
        code = trials.codes[pairs.varied, pairs.first], trials.codes[pairs.varied, pairs.second]
        key = group_numbers(pairs.data_set, pairs.varied, *code)
    else:
        key = group_numbers(trials.combination[pairs.first], trials.combination[pairs.second])
    weight = pair_weights(trials, pairs)
    total, squares = (np.bincount(key, weights=w) for w in (weight, weight**2))
    size = np.divide(total**2, squares, out=np.zeros_like(total), where=squares > 0)
    # The sums are exact for weights of 1; elsewhere a size that is 12 but for rounding counts as 12.
    kept = (size >= least_size * (1 - 1e-9)) & (total > 0)
    if not np.any(kept):
        raise ValueError(
            f"the largest of {len(size)} environments has {size.max():.3g} effective pairs and {least_size:.3g} are "
            "needed; take more repeats (seeds), environments by 'values', more test inputs, or a smaller least_size"
        )
    rows = np.flatnonzero(kept[key])
    rows = rows[np.argsort(key[rows], kind="stable")]
    start = np.flatnonzero(np.diff(key[rows], prepend=-1))
    chosen = Pairs(*(getattr(pairs, name)[rows] for name in ("first", "second", "varied", "group", "data_set")))
    return Environments(chosen, weight[rows], start, size[kept], int((~kept).sum()), by)


def pair_weights(
    trials: TrialTable, pairs: Pairs, gap: Float[np.ndarray, " m"] | None = None
) -> Float[np.ndarray, " p"]:
    """(w − ½)₊ with w the probability, by Hoeffding, that two gaps of this difference differ; 1 without test sizes.

    A gap between 0 and 1 from m test inputs is off by more than Δ/2 with probability at most φ = 2 exp(−mΔ²/2); both
    are right with probability at least w = (1 − φ₁)₊ (1 − φ₂)₊. For m = 10⁴ differences below 0.0196 get no weight.

    Fails when the gap is not a difference of averages of numbers between 0 and 1 (an error, or a bounded loss).
    """
    if trials.test_size is None:
        return np.ones(len(pairs.first))
    values = trials.gap if gap is None else gap
    difference = values[pairs.second] - values[pairs.first]
    sure = [
        np.maximum(0.0, 1 - 2 * np.exp(-trials.test_size[i] * difference**2 / 2)) for i in (pairs.first, pairs.second)
    ]
    return np.maximum(0.0, sure[0] * sure[1] - 0.5)
