"""Counts of pairs of trials by the signs of their differences in measure and gap, for all pairs of strata at once.

With the trials sorted into strata (values of the conditioning hyperparameters), column i of a matrix of bits says for
which j the measure of i is above that of j. The table of two strata is the number of common bits of two such matrices
in a block: conjunctions and population counts of 64 pairs at a time.
"""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from scipy.special import xlogy

# Rows of a stratum are filled up to whole words, so words should not be much longer than strata.
_WORDS = ((8, np.uint8), (16, np.uint16), (32, np.uint32), (64, np.uint64))


_SPACE = threading.local()


@functools.cache
def _logarithms(bits: int) -> Float[np.ndarray, " c"]:
    numbers = np.arange(2**bits + 1, dtype=np.float64)
    return xlogy(numbers, numbers)


@dataclass(frozen=True)
class Strata:
    """Trials sorted into k strata.

    Args:
        order: rows of the trials, sorted by stratum, (m,).
        count: trials in each stratum, (k,).
    """

    order: Int[np.ndarray, " m"]
    count: Int[np.ndarray, " k"]

    @classmethod
    def of(cls, number: Int[np.ndarray, " m"]) -> Strata:
        """From the stratum of every trial, whole numbers from 0 without gaps."""
        return cls(np.argsort(number, kind="stable"), np.bincount(number))

    @cached_property
    def pairs(self) -> Int[np.ndarray, "k k"]:
        """Ordered pairs of two different trials, the first from stratum u, the second from v."""
        return np.outer(self.count, self.count) - np.diag(self.count)

    @cached_property
    def _count_logs(self) -> Float[np.ndarray, " c"]:
        """Logarithms c log c of all numbers of pairs that can occur."""
        return _logarithms(int(np.ceil(np.log2(float(self.count.max()) ** 2 + 1))))

    def logs(self, counts: Int[np.ndarray, "k k"]) -> float:
        """Σ c log c."""
        return float(self._count_logs[counts].sum())

    @cached_property
    def log_total(self) -> float:
        """Σ c log c of all pairs of strata."""
        return self.logs(self.pairs)

    def count_logs(self, counts: Int[np.ndarray, "k k"]) -> Float[np.ndarray, "k k"]:
        """Each c log c."""
        return self._count_logs[counts]

    @cached_property
    def _word(self) -> tuple[int, type]:
        mean = len(self.order) / len(self.count)
        return max((word for word in _WORDS if word[0] <= max(8.0, 1.3 * mean)), key=lambda word: word[0])

    @cached_property
    def _rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Place of each sorted trial among the filled-up rows, and the first word of each stratum."""
        words = -(-self.count // self._word[0])
        first = np.cumsum(words) - words
        inside = np.arange(len(self.order)) - np.repeat(self._starts, self.count)
        return np.repeat(first * self._word[0], self.count) + inside, np.append(first, words.sum())

    def above(self, ranks: Int[np.ndarray, " m"], below: bool = False) -> np.ndarray:
        """Bits (words, m): i ranks above j (or below), for sorted trials i and filled-up rows j.

        Column i is the union of the bits of all lower ranks: a running union over the ranks, which is faster than m²
        comparisons.
        """
        place, first = self._rows
        bits, kind = self._word
        own = ranks[self.order]
        if below:
            own = own.max() - own
        single = np.left_shift(kind(1), (place % bits).astype(kind), dtype=kind)
        table = np.zeros((first[-1], int(own.max()) + 2), dtype=kind)
        # No two trials share a bit, so adding is uniting, also for equal ranks.
        np.add.at(table, (place // bits, own + 1), single)
        np.bitwise_or.accumulate(table, axis=1, out=table)
        return np.take(table, own, axis=1)

    def counts(self, bits: np.ndarray) -> Int[np.ndarray, "k k"]:
        """Number of bits in every block of strata, [stratum of i, stratum of j]."""
        words = np.add.reduceat(np.bitwise_count(bits), self._starts, axis=1, dtype=np.int64)
        first = self._rows[1]
        # Where every stratum is one word there is nothing left to add.
        return words.T if first[-1] == len(self.count) else np.add.reduceat(words, first[:-1], axis=0).T

    def common(self, first: np.ndarray, second: np.ndarray) -> Int[np.ndarray, "k k"]:
        """Number of bits that both have, in every block of strata."""
        space = getattr(_SPACE, "bits", None)
        if space is None or space.shape != first.shape or space.dtype != first.dtype:
            # Kept from call to call on each thread: asking for this much anew takes longer than the work.
            space = _SPACE.bits = np.empty_like(first)
        return self.counts(np.bitwise_and(first, second, out=space))

    @cached_property
    def _starts(self) -> Int[np.ndarray, " k"]:
        return np.cumsum(self.count) - self.count


@dataclass(frozen=True)
class Signed:
    """One row of ranks as bits: where i is above j, and the number of pairs above, by strata.

    Args:
        above: bits.
        below: bits of the reverse; None without ties, where it is not needed.
        pairs: ordered pairs with i above j, (k, k); below j is its transpose.
        spread: N · H(sign | strata of both), in nats, N the number of all ordered pairs.
    """

    above: np.ndarray
    below: np.ndarray | None
    pairs: Int[np.ndarray, "k k"]
    spread: float

    @classmethod
    def of(cls, ranks: Int[np.ndarray, " m"], strata: Strata, ties: bool | None = None) -> Signed:
        """The ranks of one measure or of the gap, whole numbers from 0; `ties` says whether any are equal if known."""
        if ties is None:
            ties = has_ties(ranks)
        above = strata.above(ranks)
        pairs = strata.counts(above)
        spread = strata.log_total - 2 * strata.logs(pairs) - strata.logs(strata.pairs - pairs - pairs.T)
        return cls(above, strata.above(ranks, below=True) if ties else None, pairs, spread)


def has_ties(ranks: Int[np.ndarray, " m"]) -> bool:
    """Whether two ranks are equal; the ranks may have gaps, as where trials were left out."""
    return bool(np.bincount(ranks).max() > 1)


def information_ratio(measure: Signed, gap: Signed, strata: Strata) -> float:
    """I(V_μ;V_g | strata of both) / H(V_g | strata of both), cells weighted by their pairs; NaN where no gap differs.

    Opposite signs come in equal numbers, since every pair is there in both orders: five of nine counts are enough.
    """
    if gap.spread <= 0:
        return np.nan
    agree, oppose = _agreement(measure, gap, strata)
    tied_gap, tied = measure.pairs - agree - oppose, gap.pairs - agree - oppose.T
    joint = strata.log_total - 2 * (strata.logs(agree) + strata.logs(oppose))
    if measure.below is not None or gap.below is not None:
        rest = strata.pairs - agree - agree.T - oppose - oppose.T - tied_gap - tied_gap.T - tied - tied.T
        joint -= 2 * (strata.logs(tied_gap) + strata.logs(tied)) + strata.logs(rest)
    # I = H(μ) + H(g) − H(μ, g) may come out below 0 by rounding.
    return max(0.0, measure.spread + gap.spread - joint) / gap.spread


def sign_tables(measure: Signed, gap: Signed, strata: Strata) -> Int[np.ndarray, "3 3 k k"]:
    """Ordered pairs by sign of the measure's difference (+, −, 0), that of the gap's, and strata of both trials."""
    agree, oppose = _agreement(measure, gap, strata)
    table = np.zeros((3, 3, *agree.shape), dtype=np.int64)
    table[0, 0], table[0, 1], table[1, 0], table[1, 1] = agree, oppose, oppose.T, agree.T
    table[0, 2] = measure.pairs - agree - oppose
    table[1, 2] = table[0, 2].T
    table[2, 0] = gap.pairs - agree - oppose.T
    table[2, 1] = table[2, 0].T
    table[2, 2] = strata.pairs - table.sum(axis=(0, 1))
    return table


def conditional_covariance(table: Int[np.ndarray, "3 3 *cells"]) -> float:
    """E[V_μ V_g | cell] − E[V_μ | cell] E[V_g | cell], averaged over the pairs of all cells."""
    counts = table.reshape(3, 3, -1).astype(np.float64)
    sign, total = np.array([1.0, -1.0, 0.0]), counts.sum(axis=(0, 1))
    filled = total > 0
    product = np.einsum("a,b,abc->c", sign, sign, counts)[filled]
    margins = (np.einsum("a,abc->c", sign, counts) * np.einsum("b,abc->c", sign, counts))[filled]
    return float((product - margins / total[filled]).sum() / total.sum())


def _agreement(measure: Signed, gap: Signed, strata: Strata) -> tuple[np.ndarray, np.ndarray]:
    """Ordered pairs above in both, and above in the measure and below in the gap."""
    agree = strata.common(measure.above, gap.above)
    if gap.below is not None:
        return agree, strata.common(measure.above, gap.below)
    if measure.below is not None:
        return agree, strata.common(measure.below, gap.above).T
    return agree, measure.pairs - agree
