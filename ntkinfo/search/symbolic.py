"""A small search for formulas: products of powers of measures, chosen on some data sets and reported on others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations, product
from math import comb

import numpy as np
from jaxtyping import Float

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.progress import Track, bar
from ntkinfo.search.environments import Pairs, TrialTable, neighbours
from ntkinfo.search.scores import Score, ScoreSettings, granulated_draws, granulated_kendall
from ntkinfo.search.scores_cells import Cells
from ntkinfo.search.scores_significance import permuted_rows

# Ratios of a factor's exponent to that of the first factor. Only ratios matter: powers do not change an order.
RATIOS = (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0)
_CHUNK = 128


@checked
@dataclass(frozen=True)
class SymbolicSettings:
    """How formulas are searched.

    Args:
        held_out: data sets that only report.
        terms: factors of a formula at most.
        most_formulas: a search of more is refused: the pool of measures is then too large.
        scores: permutations (of the whole search), resamples, level, seed.
        significance: largest corrected p that counts.
    """

    held_out: tuple[str, ...]
    terms: int = 2
    most_formulas: int = 100_000
    scores: ScoreSettings = field(default_factory=lambda: ScoreSettings(permutations=99))
    significance: float = 0.05

    def __post_init__(self):
        if not self.held_out:
            raise ValueError("held_out is empty; a search over thousands of formulas says nothing on its own data sets")
        checks.whole("terms", self.terms)
        checks.whole("most_formulas", self.most_formulas)
        checks.probability("significance", self.significance)


@dataclass(frozen=True)
class Formula:
    """A product of powers of measures, with a sign that makes it rise with the gap: sign · Π μ_i^exponent_i."""

    factors: tuple[tuple[str, float], ...]
    sign: int = 1

    @property
    def text(self) -> str:
        """The formula in one line, such as `-evidence · trace^-0.5`."""
        parts = [name if power == 1 else f"{name}^{power:g}" for name, power in self.factors]
        return ("-" if self.sign < 0 else "") + " · ".join(parts)

    def values(self, measures: Mapping[str, Float[np.ndarray, " m"]]) -> Float[np.ndarray, " m"]:
        """Sign times the logarithm of the product, (M,): the same order, and no overflow."""
        return self.sign * np.sum([power * np.log(measures[name]) for name, power in self.factors], axis=0)


@dataclass(frozen=True)
class SymbolicResult:
    """The best formula of every number of factors, and how each does on data sets that had no part in its choice.

    Args:
        formulas: one for each number of factors from 1.
        tried: number of formulas compared, for each number of factors.
        selection: (terms,), Ψ on the data sets that chose; optimistic, being the largest of many.
        p_corrected: (terms,), how often the best of all the formulas tried reaches this Ψ with gaps permuted.
        held_out: Ψ of the formulas on the held-out data sets, p corrected for these few formulas.
        gain: (terms,), Ψ on the held-out data sets above that of the best single measure; 0 for the first.
        gain_lower: (terms,).
        gain_upper: (terms,).
        statement: what this amounts to, in sentences.
        notes: measures that were left out.
    """

    formulas: tuple[Formula, ...]
    tried: tuple[int, ...]
    selection: Float[np.ndarray, " t"]
    p_corrected: Float[np.ndarray, " t"]
    held_out: Score
    gain: Float[np.ndarray, " t"]
    gain_lower: Float[np.ndarray, " t"]
    gain_upper: Float[np.ndarray, " t"]
    statement: str
    notes: tuple[str, ...]


@checked
def symbolic_search(trials: TrialTable, settings: SymbolicSettings, progress: Track = bar) -> SymbolicResult:
    """Look for the product of powers of measures whose order agrees best with that of the gap (Ψ).

    Every product of up to `terms` different measures with exponents in the ratios 1 to ±½, ±1, ±2 is compared on the
    data sets that are not held out, in both directions; the best for each number of factors is then scored once on the
    held-out data sets. Sums of logarithms that cancel to rounding count as ties.

    Args:
        trials: the trials; the measures are the pool. Measures that are not positive and finite in every trial have no
            powers and are left out, with a note.
        settings: held-out data sets, size of the search.
        progress: shown over the formulas.

    Raises:
        ValueError: fewer measures than factors, too many formulas, unknown held-out data sets or none to choose on,
            no two trials that differ in one hyperparameter only.

    Fails when no measure is related to the gap: the best formula is then noise, its corrected p says so, and its Ψ on
    the held-out data sets is near 0. Sums, and exponents outside the ratios, are not searched.
    """
    table, notes = _pool(trials.ordered())
    if not len(table.names):
        raise ValueError(f"no measure is positive and finite in every trial: {'; '.join(notes)}")
    counts = _counts(len(table.names), settings)
    for name in settings.held_out:
        checks.choice("held_out", name, table.data_sets)
    rest = [name for name in table.data_sets if name not in settings.held_out]
    if not rest:
        raise ValueError("every data set is held out; leave at least one to choose on")
    formulas, selection, p = _best(table.of(rest), counts, settings, progress)
    report = table.of(settings.held_out)
    report = report.with_measures({formula.text: formula.values(report.measures) for formula in formulas})
    held_out = granulated_kendall(report, settings.scores).score
    draws = granulated_draws(report, settings.scores)
    ends = [(1 - settings.scores.level) / 2, (1 + settings.scores.level) / 2]
    lower, upper = np.quantile(draws - draws[0], ends, axis=1)
    gain = held_out.value - held_out.value[0]
    statement = _statement(formulas, counts, p, held_out, (gain, lower, upper), settings)
    return SymbolicResult(formulas, counts, selection, p, held_out, gain, lower, upper, statement, notes)


def _pool(trials: TrialTable) -> tuple[TrialTable, tuple[str, ...]]:
    good = {n: v for n, v in trials.measures.items() if np.all(np.isfinite(v)) and np.all(v > 0)}
    left = [name for name in trials.names if name not in good]
    notes = (f"left out, not positive and finite in every trial: {', '.join(left)}",) if left else ()
    return trials.with_measures(good), notes


def _counts(measures: int, settings: SymbolicSettings) -> tuple[int, ...]:
    """Number of formulas of 1, 2, ... factors."""
    if measures < settings.terms:
        raise ValueError(f"{measures} measure(s) cannot make products of {settings.terms}; lower `terms`")
    counts = tuple(comb(measures, k) * len(RATIOS) ** (k - 1) for k in range(1, settings.terms + 1))
    if sum(counts) > settings.most_formulas:
        raise ValueError(
            f"{measures} measures make {sum(counts)} formulas of up to {settings.terms} factors, more than "
            f"{settings.most_formulas}; give fewer measures, lower `terms` or raise `most_formulas`"
        )
    return counts


def _formulas(names: tuple[str, ...], size: int) -> Iterator[tuple[tuple[str, float], ...]]:
    for chosen in combinations(names, size):
        for powers in product(RATIOS, repeat=size - 1):
            yield tuple(zip(chosen, (1.0, *powers), strict=True))


def _best(
    trials: TrialTable, counts: tuple[int, ...], settings: SymbolicSettings, progress: Track
) -> tuple[tuple[Formula, ...], np.ndarray, np.ndarray]:
    """Best formula of each size, its Ψ, and p by the best of the whole search under permutation."""
    pairs = neighbours(trials)
    cells = Cells.of(pairs, len(trials.hyperparameters))
    columns = _gap_columns(trials, pairs, cells, settings.scores)
    order = cells.order
    differences = {n: (v[pairs.second] - v[pairs.first])[order] for n, v in _logarithms(trials).items()}
    chunks = [(size, chunk) for size in range(1, len(counts) + 1) for chunk in _chunks(trials.names, size)]
    best: dict[int, tuple[float, Formula]] = {}
    highest = np.zeros(columns.shape[1] - 1)
    for size, chunk in progress(chunks, "formulas", total=len(chunks)):
        scores = _signs(chunk, differences) @ columns
        highest = np.maximum(highest, np.abs(scores[:, 1:]).max(axis=0))
        top = int(np.argmax(np.abs(scores[:, 0])))
        if size not in best or abs(scores[top, 0]) > best[size][0]:
            sign = -1 if scores[top, 0] < 0 else 1
            best[size] = float(abs(scores[top, 0])), Formula(chunk[top], sign)
    # Single precision is enough to find the best and for its law; its own value is then computed in double.
    chosen = _signs([formula.factors for _, formula in best.values()], differences).astype(np.float64)
    gap = pairs.signs(trials.gap_ranks)[order].astype(np.float64)
    value = np.abs(chosen @ (gap * cells.linear))
    p = (1 + (highest[None] >= value[:, None] - 1e-5).sum(axis=1)) / (1 + len(highest))
    return tuple(found for _, found in best.values()), value, p


def _chunks(names: tuple[str, ...], size: int) -> Iterator[list[tuple[tuple[str, float], ...]]]:
    every = list(_formulas(names, size))
    return (every[start : start + _CHUNK] for start in range(0, len(every), _CHUNK))


def _logarithms(trials: TrialTable) -> dict[str, np.ndarray]:
    return {name: np.log(values) for name, values in trials.measures.items()}


def _gap_columns(trials: TrialTable, pairs: Pairs, cells: Cells, settings: ScoreSettings) -> np.ndarray:
    """Weighted signs of the gaps' differences, as they are and permuted within data sets, (P, 1 + B)."""
    rows = permuted_rows(trials.data_set, settings.permutations, settings.seed)
    gaps = np.concatenate([trials.gap_ranks[None], trials.gap_ranks[rows]])
    signs = pairs.signs(gaps)[:, cells.order]
    return (signs * cells.linear).T.astype(np.float32)


def _signs(chunk: list[tuple[tuple[str, float], ...]], differences: Mapping[str, np.ndarray]) -> np.ndarray:
    """Signs of the differences of every formula's logarithm over all pairs, (formulas, P)."""
    found = np.empty((len(chunk), len(next(iter(differences.values())))), dtype=np.float32)
    for row, factors in zip(found, chunk, strict=True):
        terms = [power * differences[name] for name, power in factors]
        total, size = np.sum(terms, axis=0), np.sum(np.abs(terms), axis=0)
        row[:] = np.where(np.abs(total) > 1e-11 * size, np.sign(total), 0.0)
    return found


def _statement(
    formulas: tuple[Formula, ...],
    counts: tuple[int, ...],
    p: np.ndarray,
    held_out: Score,
    gain: tuple[np.ndarray, np.ndarray, np.ndarray],
    settings: SymbolicSettings,
) -> str:
    lines = []
    for k, formula in enumerate(formulas):
        line = (
            f"Best of {counts[k]} formulas of {k + 1} factor(s): {formula.text}; p {p[k]:.2g} for the whole search; "
            f"held out Ψ {held_out.value[k]:.2f} [{held_out.lower[k]:.2f}, {held_out.upper[k]:.2f}]"
        )
        if k:
            better = "better" if gain[1][k] > 0 else "worse" if gain[2][k] < 0 else "no evidence of a difference"
            line += f", {gain[0][k]:+.2f} [{gain[1][k]:+.2f}, {gain[2][k]:+.2f}] against one measure: {better}"
        if p[k] > settings.significance:
            line += "; the search reaches this with permuted gaps: nothing found"
        elif held_out.lower[k] <= 0:
            line += "; not confirmed on the held-out data sets"
        lines.append(line + ".")
    return "\n".join(lines)
