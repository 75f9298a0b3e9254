"""I(Z;X), I(Z;Y) and a member's error from means and variances in mpmath, by quadrature or plain Monte Carlo.

Distances are formed in mpmath, in units of each component's deviation, so that no digits are lost however narrow the
components are; an output without any variance is an atom.
"""

from __future__ import annotations

import math

import mpmath as mp
import numpy as np
from scipy.special import logsumexp, ndtr

_PANELS, _WEIGHTS = np.polynomial.legendre.leggauss(16)
_REACH = 11.0
_DRAWS = 60_000


def informations(mean, variance, labels, seed: int = 0) -> dict[str, tuple[float, float]]:
    """`information_input` and, with labels, `information_target`: value and standard error (0 by quadrature).

    Args:
        mean: (p, C) of mpf.
        variance: (p,) of mpf.
        labels: (p,) or None.
        seed: of the Monte Carlo draws.
    """
    groups = {"information_input": np.arange(len(mean))}
    if labels is not None:
        groups["information_target"] = np.asarray(labels)
    certain = np.array([v <= 0 for v in variance])
    symbols = _symbols(mean, certain)
    share, noisy = float(np.mean(~certain)), np.flatnonzero(~certain)
    result = {}
    values = _contributions(mean[noisy], [variance[i] for i in noisy], [g[noisy] for g in groups.values()], seed)
    for (name, group), (value, error) in zip(groups.items(), values, strict=True):
        result[name] = (_discrete(symbols, group) + share * value, share * error)
    return result


def _symbols(mean, certain):
    """One number an atom (equal to forty digits), one number for all inputs with noise."""
    scale = max((abs(x) for x in mean.ravel()), default=mp.mpf(1)) * mp.mpf(10) ** -40
    symbols, atoms = np.zeros(len(mean), dtype=int), []
    for i in np.flatnonzero(certain):
        found = next(
            (k for k, a in enumerate(atoms) if all(abs(x - y) <= scale for x, y in zip(a, mean[i], strict=True))), None
        )
        if found is None:
            atoms.append(mean[i])
            found = len(atoms) - 1
        symbols[i] = found + 1
    return symbols


def _discrete(first, second) -> float:
    def entropy(codes):
        share = np.unique(codes, return_counts=True)[1] / len(codes)
        return float(-np.sum(share * np.log(share)))

    pairs = np.unique(np.stack([first, second]), axis=1, return_inverse=True)[1].reshape(-1)
    return entropy(first) + entropy(second) - entropy(pairs)


def _contributions(mean, variance, groups, seed) -> list[tuple[float, float]]:
    if len(mean) == 0:
        return [(0.0, 0.0)] * len(groups)
    std = [mp.sqrt(v) for v in variance]
    ratio = np.array([[_capped(a / b) for b in std] for a in std])
    away = np.array(
        [
            [[_capped((x - y) / b) for x, y in zip(m, k, strict=True)] for k, b in zip(mean, std, strict=True)]
            for m in mean
        ]
    )
    # log density of component j where component i has u: −½|u s_i/s_j + (m_i − m_j)/s_j|² + C log(s_i/s_j).
    totals, errors = np.zeros(len(groups)), np.zeros(len(groups))
    for i in range(len(mean)):
        places, weights = _places(i, ratio, away, seed)
        logs = np.stack([_log_density(places, ratio[i, j], away[i, j]) for j in range(len(mean))])
        whole = logsumexp(logs, axis=0) - math.log(len(mean))
        for k, group in enumerate(groups):
            same = group == group[i]
            value = logsumexp(logs[same], axis=0) - math.log(same.sum()) - whole
            totals[k] += float(weights @ value)
            if len(places) == _DRAWS:
                errors[k] += float(np.var(value)) / _DRAWS
    return [(t / len(mean), math.sqrt(e) / len(mean)) for t, e in zip(totals, errors, strict=True)]


def _capped(value) -> float:
    """A distance or a ratio as a double that can still be squared; what lies beyond has no weight anyway."""
    if abs(value) < 1e140:
        return float(value)
    return 1e140 if value > 0 else -1e140


def _log_density(places, ratio, away):
    outputs = places.shape[1]
    scaled = np.clip(places * ratio + away[None, :], -1e150, 1e150)
    return -0.5 * np.sum(scaled**2, axis=1) + outputs * math.log(max(ratio, 1e-140))


def _places(i, ratio, away, seed):
    """Nodes in units of component i and their weights: quadrature for one output, Monte Carlo for more."""
    outputs = away.shape[2]
    if outputs > 1:
        rng = np.random.default_rng([seed, i])
        return rng.standard_normal((_DRAWS, outputs)), np.full(_DRAWS, 1 / _DRAWS)
    edges = [np.linspace(-_REACH, _REACH, 45)]
    for j in range(len(ratio)):
        # Component j lies at −away/ratio with the deviation 1/ratio in units of component i.
        if ratio[i, j] > 0 and np.isfinite(ratio[i, j]) and np.isfinite(away[i, j, 0]):
            edges.append((np.linspace(-_REACH, _REACH, 45) - away[i, j, 0]) / ratio[i, j])
    for j in range(len(ratio)):
        edges.append(_crossings(ratio[i], away[i, :, 0], j))
    edges = np.unique(np.concatenate(edges))
    edges = edges[(edges >= -_REACH) & (edges <= _REACH)]
    middle, half = (edges[1:] + edges[:-1]) / 2, (edges[1:] - edges[:-1]) / 2
    places = (middle[:, None] + half[:, None] * _PANELS[None, :]).reshape(-1)
    weights = (half[:, None] * _WEIGHTS[None, :]).reshape(-1) * np.exp(-(places**2) / 2) / math.sqrt(2 * math.pi)
    return places[:, None], weights


def _crossings(ratio, away, j):
    """Where component j's density crosses that of the others: the logarithm of their sum turns sharply there."""
    found = []
    for k in range(len(ratio)):
        with np.errstate(invalid="ignore", over="ignore"):
            a = (ratio[j] ** 2 - ratio[k] ** 2) / 2
            b = ratio[j] * away[j] - ratio[k] * away[k]
            c = (away[j] ** 2 - away[k] ** 2) / 2 - math.log(max(ratio[j], 1e-140) / max(ratio[k], 1e-140))
        if not np.all(np.isfinite([a, b, c])):
            continue
        roots = np.roots([a, b, c]) if a != 0 else ([-c / b] if b != 0 else [])
        for root in np.real(roots[np.isreal(roots)]) if len(roots) > 1 else np.real(roots):
            width = 1 / max(abs(2 * a * root + b), 1e-12)
            found.append(root + width * np.linspace(-40, 40, 41))
    return np.concatenate(found) if found else np.zeros(0)


def member_error(mean, variance, labels) -> float:
    """Probability that a member's arg-max (or sign) is wrong, averaged over the inputs; ties share."""
    total = 0.0
    for row, v, label in zip(mean, variance, labels, strict=True):
        if len(row) == 1:
            sign = 1 if label == 1 else -1
            total += (
                float(ndtr(float(-sign * row[0] / mp.sqrt(v)))) if v > 0 else (1 - np.sign(float(sign * row[0]))) / 2
            )
            continue
        rivals = [row[label] - value for k, value in enumerate(row) if k != label]
        if v <= 0:
            tied = sum(gap == 0 for gap in rivals)
            total += 1.0 if any(gap < 0 for gap in rivals) else 1 - 1 / (1 + tied)
            continue
        gaps = np.array([float(gap / mp.sqrt(v)) for gap in rivals])
        u = np.arange(-12.0, 12.0, 0.01)
        density = np.exp(-(u**2) / 2) / math.sqrt(2 * math.pi) * 0.01
        total += 1 - float(density @ np.prod(ndtr(u[:, None] + gaps[None, :]), axis=1))
    return total / len(mean)


def mean_error(mean, labels) -> float:
    """Share of the inputs that the arg-max (or sign) of the mean puts into a wrong class; ties share."""
    zero = [mp.mpf(0)] * len(mean)
    return member_error(mean, zero, labels)
