"""What the second routes sample: members' classes, and informations by plain Monte Carlo without control variates."""

from __future__ import annotations

import numpy as np

from ntkinfo.core.records import Estimate
from ntkinfo.information.second_law import SecondSide
from ntkinfo.information.second_propagator import NotCheckedError

_MEMBERS = 400
_DRAWS = 4096
_AT_ONCE = 1 << 20
_LOST = 1e-3  # average error of a mean in its deviations from which outputs are not told apart
_FAR = 1e3  # deviations beyond which unequal targets share no density


def decisions(mean: np.ndarray, labels: np.ndarray | None, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Error of each input's decision, ties shared, and whether the error of the mean could change it."""
    assert labels is not None
    wrong, near = np.zeros(len(mean)), np.zeros(len(mean), dtype=bool)
    for i, (row, label) in enumerate(zip(mean, labels, strict=True)):
        if len(row) == 1:
            signed = row[0] if label == 1 else -row[0]
            wrong[i], margin = 0.5 if signed == 0 else float(signed < 0), abs(signed)
        else:
            winners = np.flatnonzero(row == np.max(row))
            wrong[i] = 1 - 1 / len(winners) if label in winners else 1.0
            margin = abs(row[label] - np.max(np.delete(row, label)))
        near[i] = margin <= 2**0.5 * error[i] and error[i] > 0
    return wrong, near


def member_error(mean: np.ndarray, variance: np.ndarray, labels: np.ndarray, error: np.ndarray, seed: int) -> Estimate:
    """Share of wrong classes among sampled members' outputs."""
    random, m = np.random.default_rng(seed), len(mean)
    if not np.any(variance > 0):
        wrong, near = decisions(mean, labels, error)
        return Estimate(float(np.mean(wrong)), float(np.mean(near)) + 1e-15, "exact", "arg-max input by input")
    wrong = np.zeros(m)
    for start in range(0, m, max(1, _AT_ONCE // (_MEMBERS * mean.shape[1]))):
        part = slice(start, start + max(1, _AT_ONCE // (_MEMBERS * mean.shape[1])))
        noise = random.standard_normal((_MEMBERS, *mean[part].shape))
        outputs = mean[part][None] + np.sqrt(variance[part])[None, :, None] * noise
        predicted = (outputs[:, :, 0] > 0).astype(int) if mean.shape[1] == 1 else np.argmax(outputs, axis=2)
        wrong[part] = np.mean(predicted != labels[part][None, :], axis=0)
    certain = variance == 0
    wrong[certain] = decisions(mean, labels, error)[0][certain]
    scatter = float(np.sum(wrong * (1 - wrong) / _MEMBERS)) ** 0.5 / m
    unseen = 1 / (_MEMBERS * m)
    near = float(np.mean(decisions(mean, labels, error)[1] & (error > 0.1 * np.sqrt(variance))))
    return Estimate(float(np.mean(wrong)), float(np.hypot(scatter, unseen)) + near, "Monte Carlo", "sampled members")


def information(side: SecondSide, seed: int) -> tuple[Estimate, ...]:
    """I(Z;X) and, with labels, I(Z;Y): averages of log p(z|x)/p(z) and of log p(z|c)/p(z) over plain draws.

    Raises:
        NotCheckedError: the outputs vary less than this route's means are exact.
    """
    varies = side.log_variance > -np.inf
    if not np.any(varies):
        return _of_atoms(side)
    std = np.sqrt(side.variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = np.where(side.mean_error > 0, side.mean_error / std, 0.0)
    if np.all(varies) and float(np.mean(np.minimum(shift, 1.0))) < _LOST:
        return _sampled(side.mean, std, np.zeros(len(std), dtype=int), side.labels, seed)
    if side.left is not None and np.all(varies):
        return _in_own_units(side, side.left, seed)
    raise NotCheckedError("the outputs vary less than the second route's means are exact")


def _of_atoms(side: SecondSide) -> tuple[Estimate, ...]:
    """Entropies of outputs without variance: equal where their means are equal to rounding."""
    atoms = _distinct(side.mean, 1e-8 * max(float(np.max(np.abs(side.mean))), 1e-300))
    values = [_entropy(atoms)]
    if side.labels is not None:
        pairs = np.unique(np.stack([atoms, side.labels], axis=1), axis=0, return_inverse=True)[1].reshape(-1)
        values.append(_entropy(atoms) + _entropy(side.labels) - _entropy(pairs))
    method = "entropy of the distinct outputs by counting"
    return tuple(Estimate(value, 1e-14 * (1 + abs(value)), "exact", method) for value in values)


def _in_own_units(side: SecondSide, left: np.ndarray, seed: int) -> tuple[Estimate, ...]:
    """Outputs with unequal targets far apart, those with equal targets by what is left to learn, in its own scale."""
    std = np.exp(0.5 * side.log_variance - side.log_scale)
    reach = (float(np.max(np.abs(left))) + float(np.max(std))) * np.exp(side.log_scale)
    groups = _distinct(side.limits, 1e-9 * float(np.max(np.abs(side.limits))))
    centres = np.stack([side.limits[groups == g][0] for g in range(groups.max() + 1)])
    apart = [
        np.min(np.linalg.norm(np.delete(centres, g, 0) - c, axis=1), initial=np.inf) for g, c in enumerate(centres)
    ]
    if min(apart) < _FAR * reach:
        raise NotCheckedError("the outputs vary less than the second route's means are exact, yet may overlap")
    if float(np.mean(np.minimum(side.relative_error, 1.0))) > _LOST:
        raise NotCheckedError("the digits of what is left to learn are lost at so late a time")
    return _sampled(left, std, groups, side.labels, seed)


def _sampled(
    mean: np.ndarray, std: np.ndarray, groups: np.ndarray, labels: np.ndarray | None, seed: int
) -> tuple[Estimate, ...]:
    """Plain draws from the mixture; components of different groups share no density."""
    m, outputs = mean.shape
    random = np.random.default_rng(seed)
    chosen, noise = random.integers(m, size=_DRAWS), random.standard_normal((_DRAWS, outputs))
    ratios = np.empty((1 if labels is None else 2, _DRAWS))
    step = max(1, _AT_ONCE // m)
    for start in range(0, _DRAWS, step):
        part = slice(start, start + step)
        own = chosen[part]
        logs = _log_densities(mean, std, own, noise[part])
        logs = np.where(groups[own][:, None] == groups[None, :], logs, -np.inf)
        whole = _log_sum(logs) - np.log(m)
        ratios[0, part] = logs[np.arange(len(own)), own] - whole
        if labels is not None:
            same = labels[own][:, None] == labels[None, :]
            within = _log_sum(np.where(same, logs, -np.inf)) - np.log(np.sum(same, axis=1))
            ratios[1, part] = within - whole
    return tuple(_averaged(row, float(np.log(m))) for row in ratios)


def _averaged(ratios: np.ndarray, ceiling: float) -> Estimate:
    value, scatter = float(np.mean(ratios)), float(np.std(ratios, ddof=1)) / len(ratios) ** 0.5
    # Rare overlaps may be missing from so few draws: each would change its draw by about the ceiling.
    rare = ceiling / len(ratios)
    unseen = rare if scatter < rare and value > 0.5 * ceiling else 0.0
    error = float(np.hypot(scatter, unseen)) + 1e-13 * (1 + abs(value))
    return Estimate(value, error, "Monte Carlo", f"{len(ratios)} plain draws")


def _log_densities(mean: np.ndarray, std: np.ndarray, own: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Log density of each draw under each component, without the constant they share."""
    total = np.zeros((len(own), len(mean)))
    for c in range(mean.shape[1]):
        # The draw's distance is formed from the difference of the means: no digits are lost far from 0.
        shift = (mean[own, c][:, None] - mean[None, :, c]) + (std[own] * noise[:, c])[:, None]
        total += (shift / std[None, :]) ** 2
    return -0.5 * total - mean.shape[1] * np.log(std)[None, :]


def _log_sum(logs: np.ndarray) -> np.ndarray:
    top = np.max(logs, axis=1)
    return top + np.log(np.sum(np.exp(logs - top[:, None]), axis=1))


def _distinct(points: np.ndarray, resolution: float) -> np.ndarray:
    """Number of each row among the distinct ones."""
    groups, found = np.full(len(points), -1), 0
    for i in range(len(points)):
        if groups[i] < 0:
            near = np.max(np.abs(points - points[i]), axis=1) <= resolution
            groups[near & (groups < 0)] = found
            found += 1
    return groups


def _entropy(symbols: np.ndarray) -> float:
    share = np.unique(symbols, return_counts=True)[1] / len(symbols)
    return float(-np.sum(share * np.log(share)))
