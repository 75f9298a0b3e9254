"""How sure a score is: permutations, bootstrap weights, corrections for the number of measures tried."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import norm

from ntkinfo.core import checks

# A draw that ties with the observed score counts as reaching it, rounding included.
ROUNDING = 1e-12


def step_down(p_values: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    """Holm's correction: the chance of any error among all tests is at most p, whatever their dependence.

    NaN (a score that does not exist) stays NaN and counts as no test.
    """
    p = np.asarray(p_values, dtype=np.float64)
    real = np.flatnonzero(~np.isnan(p))
    order = real[np.argsort(p[real])]
    corrected = np.full(p.shape, np.nan)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return corrected


def normal_p_values(value: Float[np.ndarray, " k"], null_std: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    """Two-sided p of a score with a normal null law around 0; 1 where it cannot vary."""
    z = np.divide(np.abs(value), null_std, out=np.zeros_like(value), where=null_std > 0)
    return np.where(np.isnan(value), np.nan, 2 * norm.sf(z))


def permutation_p_values(
    value: Float[np.ndarray, " k"], null: Float[np.ndarray, "k b"], two_sided: bool = True
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """P values by counting, of each measure alone and corrected by the maximum over measures.

    Scores are put in units of their spread first, so that none rules the maximum by its scale. The observed score is
    part of that spread, as one draw among B + 1: it is then exchangeable with them, and p is exact for any B. The draws
    must be joint: the b-th permutation the same for all measures.

    Args:
        value: (K,) observed.
        null: (K, B) under permutation.
        two_sided: compare sizes of deviations from the mean; else only larger values count.

    Returns:
        p and corrected p, (K,), at least 1/(B + 1); 1 for a score that no permutation changes.

    Source: Westfall & Young 1993, single step.
    """
    every = np.concatenate([value[:, None], null], axis=1)
    mean, std = every.mean(axis=1, keepdims=True), every.std(axis=1, keepdims=True)
    moves = std > ROUNDING * (1 + np.abs(mean))
    score = np.divide(every - mean, std, out=np.zeros_like(every), where=moves)
    if two_sided:
        score = np.abs(score)
    observed = score[:, :1] - 1e-9
    p, corrected = ((hits.sum(axis=1)) / every.shape[1] for hits in (score >= observed, score.max(axis=0) >= observed))
    return np.where(moves[:, 0], p, 1.0), np.where(moves[:, 0], corrected, 1.0)


def permuted_rows(groups: np.ndarray, count: int, seed: int, stream: int = 0) -> Int[np.ndarray, "b m"]:
    """`count` random orders of the rows that keep every row's group.

    Args:
        groups: (M,), a label for each row.
        count: number of orders.
        seed: two calls with the same seed and stream order equal groups alike.
        stream: tells apart draws that should be independent of each other under one seed.
    """
    checks.whole("seed", seed, least=0)
    random = np.random.default_rng([seed, 1, stream])
    home = np.argsort(groups, kind="stable")
    labels = np.unique(groups, return_inverse=True)[1].reshape(-1)
    rows = np.empty((count, len(groups)), dtype=np.int64)
    for draw in rows:
        draw[home] = np.lexsort((random.random(len(groups)), labels))
    return rows


def node_weights(nodes: int, count: int, seed: int) -> Float[np.ndarray, "n b"]:
    """Exponential weights of mean 1 for `nodes` units in `count` bootstrap draws (Rubin 1981, without the sum)."""
    checks.whole("seed", seed, least=0)
    return np.random.default_rng([seed, 2]).exponential(size=(count, nodes)).T


def fisher_interval(
    value: Float[np.ndarray, " k"], error: Float[np.ndarray, " k"], level: float
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Interval of a correlation from its standard error, symmetric on the scale of arctanh.

    A coefficient of ±1 to rounding keeps no width.
    """
    edge = np.abs(value) >= 1 - ROUNDING
    inside = np.where(edge, 0.0, value)
    width = float(norm.ppf((1 + level) / 2)) * error / (1 - inside**2)
    low, high = np.tanh(np.arctanh(inside) - width), np.tanh(np.arctanh(inside) + width)
    return np.where(edge, value, low), np.where(edge, value, high)
