"""Ranks, groups and pairs of rows, by their values."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def to_digits(values: Float[np.ndarray, " m"], digits: int = 13) -> Float[np.ndarray, " m"]:
    """Rounded to so many significant digits; what is not finite stays as it is."""
    return np.array([float(f"{value:.{digits - 1}e}") for value in values])


def dense_ranks(values: Float[np.ndarray, " m"]) -> Int[np.ndarray, " m"]:
    """Ranks from 0; equal values share one, and the next value has the next."""
    return np.unique(values, return_inverse=True)[1].reshape(-1).astype(np.int32)


def group_numbers(*columns: Int[np.ndarray, " m"]) -> Int[np.ndarray, " m"]:
    """A whole number from 0 for every different row of the columns."""
    number = np.zeros_like(columns[0])
    for column in columns:
        number = np.unique(number * (int(column.max(initial=0)) + 1) + column, return_inverse=True)[1].reshape(-1)
    return number


def pairs_within(groups: Int[np.ndarray, " m"]) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of rows that share a group; groups of equal size are done together."""
    order = np.argsort(groups, kind="stable")
    counts = np.bincount(groups)
    starts = np.cumsum(counts) - counts
    first, second = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for size in np.unique(counts[counts > 1]):
        rows = order[starts[counts == size][:, None] + np.arange(size)]
        i, j = np.triu_indices(size, 1)
        first.append(rows[:, i].reshape(-1))
        second.append(rows[:, j].reshape(-1))
    return np.concatenate(first), np.concatenate(second)
