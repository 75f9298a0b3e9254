"""The package's deterministic quantities at one time, from a law in mpmath, by the formulas of docs/theory."""

from __future__ import annotations

import mpmath as mp
import numpy as np

from tests.recomputation.law import NULL, Law, Moments, exact


def losses(mean, variance, targets) -> dict[str, mp.mpf]:
    """Averages over the inputs of one split; means (p, C), variances (p,)."""
    outputs = targets.shape[1]
    squared = [mp.fsum(d**2 for d in row) for row in mean - exact(targets)]
    bias, spread = mp.fsum(squared) / len(squared), outputs * mp.fsum(variance) / len(variance)
    bayes = [(s / (v + 1) + outputs * mp.log(2 * mp.pi * (v + 1))) / 2 for s, v in zip(squared, variance, strict=True)]
    return {
        "loss_mean": bias / 2,
        "bias_squared": bias,
        "variance": spread,
        "loss_gibbs": (bias + spread) / 2,
        "loss_gibbs_nll": (bias + spread) / 2 + mp.mpf(outputs) / 2 * mp.log(2 * mp.pi),
        "loss_bayes": mp.fsum(bayes) / len(bayes),
    }


def per_input(law: Law, moments: Moments, rows: range, noise: float) -> dict[str, mp.mpf]:
    """I(Z;D|X), bound and label model, averaged over the inputs of one split."""
    entropies, informations = [], []
    labels = label_covariance(law, noise)
    for i in rows:
        before, now = law.prior[i, i], moments.covariance[i, i]
        size = mp.fsum(value**2 for value in moments.mean[i])
        signal = moments.gain[i] @ labels @ moments.gain[i]
        if before <= 0:
            entropies.append(mp.mpf(0))
            informations.append(mp.mpf(0))
            continue
        gone = (now <= NULL * before and law.at_train[i] is None) or now <= 0
        ratio = now / before
        entropies.append(mp.inf if gone else (law.outputs * (ratio - 1 - mp.log(ratio)) + size / before) / 2)
        informations.append((mp.inf if signal > 0 else mp.mpf(0)) if gone else law.outputs * _log1p(signal / now) / 2)
    return {
        "information_training_set": sum(entropies) / len(entropies),
        "information_training_set_labels": sum(informations) / len(informations),
    }


def label_covariance(law: Law, noise: float) -> np.ndarray:
    """S in the eigenbasis: the prior and noise."""
    return law.start + np.diag([mp.mpf(noise)] * law.n)


def joint(law: Law, moments: Moments, rows: list[int], noise: float) -> dict[str, mp.mpf] | None:
    """Relative entropy to the start and information about labels, jointly over inputs; None where singular."""
    before, now = law.prior[np.ix_(rows, rows)], moments.covariance[np.ix_(rows, rows)]
    gain, mean = moments.gain[rows], moments.mean[rows]
    try:
        low, later = _cholesky(before), _cholesky(now)
    except ValueError:
        return None
    shrunk, moved = _solve(low, later), _solve(low, mean)
    logs = 2 * (_log_diagonal(low) - _log_diagonal(later))
    entropy = law.outputs * (_total(shrunk) - len(rows) + logs) + _total(moved)
    half = _solve(later, gain @ _root(label_covariance(law, noise)))
    gram = half.T @ half if half.shape[1] < half.shape[0] else half @ half.T
    return {"entropy": entropy / 2, "labels": law.outputs * _log_det_one_plus(gram) / 2}


def train_space(law: Law, moments: Moments, extra: list[int], noise: float) -> dict[str, mp.mpf] | None:
    """The same over the training inputs' directions and extra inputs; without noise however far training has gone."""
    kept, n = np.flatnonzero(law.moving), law.n
    chosen = [*kept, *(n + law.others.index(i) for i in extra)]
    before = law.joint[np.ix_(chosen, chosen)]
    learned = np.array([f.learned for f in moments.filters], dtype=object)
    left = np.array([f.left for f in moments.filters], dtype=object)
    reach = [law.others.index(i) for i in extra]
    gain = np.concatenate([np.diag(law.values * learned)[kept], (law.reach[:, reach] * learned[:, None]).T])[:, kept]
    try:
        low = _cholesky(before)
    except ValueError:
        return None
    mean = _solve(low, gain @ law.targets[kept])
    if law.procedure.is_noisy:
        return _noisy_space(law, moments, (chosen, low, mean, gain, kept), noise)
    step = np.diag([mp.mpf(1)] * len(chosen))
    step[:, : len(kept)] = step[:, : len(kept)] - gain
    step[range(len(kept)), range(len(kept))] = left[kept]
    change = _solve(low, step @ low)
    lost = mp.fsum(mp.log(abs(r)) if r != 0 else -mp.inf for r in left[kept])
    entropy = law.outputs * (_total(change) - len(chosen) - 2 * lost) + _total(mean)
    if any(left[j] == 0 for j in kept):
        return {"entropy": mp.inf, "labels": mp.inf}
    live = [place for place, j in enumerate(kept) if not law.null[j]]
    tall = _solve(low, np.concatenate([np.diag(law.values)[kept][:, kept], law.reach[:, reach].T[:, kept]]))
    ratio = np.array([learned[kept[j]] / left[kept[j]] for j in live], dtype=object)
    root = _cholesky(label_covariance(law, noise)[np.ix_(kept[live], kept[live])])
    # log det(I + q S q A) = log det(1 + S^½ …) with the rows' sizes kept apart, however far they grow.
    graded = (tall[:, live].T @ tall[:, live]) * ratio[:, None] * ratio[None, :]
    if max(abs(value) for value in ratio) < 1:
        labels = _log_det_one_plus(root.T @ graded @ root)
    else:
        inverse = _solve(root, np.diag([mp.mpf(1)] * len(live)))
        labels = 2 * (_log_diagonal(_cholesky(inverse.T @ inverse + graded)) + _log_diagonal(root))
    return {"entropy": entropy / 2, "labels": law.outputs * labels / 2}


def _noisy_space(law, moments, parts, noise):
    chosen, low, mean, gain, kept = parts
    n, others = law.n, law.others
    rows = np.full((len(law.at_train), n + len(others)), mp.mpf(0), dtype=object)
    # The full covariance turned back into the coordinates: training outputs along the eigenvectors, others as they are.
    rows[:n, :n] = law.vectors
    for place, i in enumerate(others):
        rows[i, n + place] = mp.mpf(1)
    now = (rows.T @ moments.covariance @ rows)[np.ix_(chosen, chosen)]
    repeated = [i for i in range(n, len(law.at_train)) if law.at_train[i] is not None]
    assert all(not any(rows[i]) for i in repeated)
    try:
        later = _cholesky(now)
    except ValueError:
        return None
    shrunk = _solve(low, later)
    logs = 2 * (_log_diagonal(low) - _log_diagonal(later))
    entropy = law.outputs * (_total(shrunk) - len(chosen) + logs) + _total(mean)
    labels = label_covariance(law, noise)[np.ix_(kept, kept)]
    half = _solve(later, gain @ _root(labels))
    return {"entropy": entropy / 2, "labels": law.outputs * _log_det_one_plus(half.T @ half) / 2}


def path(law: Law, moments: Moments) -> dict[str, mp.mpf]:
    """Fisher trace, speed, energy, distance and the linear model's relative entropy."""
    outputs, noise = law.outputs, mp.mpf(law.procedure.target_noise_variance)
    square = [mp.fsum(value**2 for value in row) for row in law.targets]
    weight = [value * (outputs * (law.start[j, j] + noise) + square[j]) for j, value in enumerate(law.values)]
    total = {"speed_squared": law.unit**2, "path_energy": law.unit, "parameter_distance_squared": 1}
    sizes = {
        "speed_squared": [f.rate**2 for f in moments.filters],
        "path_energy": [f.energy for f in moments.filters],
        "parameter_distance_squared": [f.learned**2 for f in moments.filters],
    }
    result = {
        name: mp.fsum(s * w for s, w in zip(sizes[name], weight, strict=True)) * mp.mpf(total[name]) for name in sizes
    }
    result["fisher_trace"] = outputs * mp.fsum(law.values)
    if law.procedure.temperature == 0:
        result["information_parameters_linear"] = mp.fsum(
            (value * f.learned**2 * s + outputs * _stretch(f, value, noise)) / 2
            for f, value, s in zip(moments.filters, law.values, square, strict=True)
        )
    return result


def _stretch(found, value, noise):
    left = found.left**2 + noise * value * found.learned**2
    return left - 1 - mp.log(left) if left > 0 else mp.inf


def target_information(mean, variance, targets) -> mp.mpf | None:
    """−½ log det of the share of the targets' covariance that the best linear decoder leaves; None if degenerate."""
    z, y = mean - mean.mean(axis=0), exact(targets)
    y = y - y.mean(axis=0)
    count = len(z)
    inner = z.T @ z / count + np.diag([mp.fsum(variance) / count] * z.shape[1])
    values, vectors = mp.eigsy(mp.matrix((y.T @ y / count).tolist()))
    kept = [k for k in range(len(values)) if values[k] > mp.mpf(10) ** -20 * max(values)]
    white = np.array([[vectors[i, k] / mp.sqrt(values[k]) for k in kept] for i in range(y.shape[1])], dtype=object)
    try:
        half = _solve(_cholesky(inner), z.T @ y @ white / count)
    except ValueError:
        return None
    left = np.diag([mp.mpf(1)] * len(kept)) - half.T @ half
    try:
        return -_log_diagonal(_cholesky(left))
    except ValueError:
        return mp.inf


def _cholesky(matrix: np.ndarray) -> np.ndarray:
    """Lower factor; ValueError where a pivot is nothing but rounding."""
    size = len(matrix)
    low = np.full((size, size), mp.mpf(0), dtype=object)
    for j in range(size):
        pivot = matrix[j, j] - mp.fsum(low[j, k] ** 2 for k in range(j))
        if pivot <= NULL * matrix[j, j] or matrix[j, j] <= 0:
            raise ValueError("singular")
        low[j, j] = mp.sqrt(pivot)
        for i in range(j + 1, size):
            low[i, j] = (matrix[i, j] - mp.fsum(low[i, k] * low[j, k] for k in range(j))) / low[j, j]
    return low


def _root(matrix: np.ndarray) -> np.ndarray:
    """R with R Rᵀ = matrix, also where that is singular."""
    size = len(matrix)
    low = np.full((size, size), mp.mpf(0), dtype=object)
    for j in range(size):
        pivot = matrix[j, j] - mp.fsum(low[j, k] ** 2 for k in range(j))
        if pivot <= NULL * matrix[j, j] or matrix[j, j] <= 0:
            continue
        low[j, j] = mp.sqrt(pivot)
        for i in range(j + 1, size):
            low[i, j] = (matrix[i, j] - mp.fsum(low[i, k] * low[j, k] for k in range(j))) / low[j, j]
    return low


def _solve(low: np.ndarray, right: np.ndarray) -> np.ndarray:
    result = right.copy()
    for i in range(len(low)):
        result[i] = (right[i] - low[i, :i] @ result[:i] if i else right[i]) / low[i, i]
    return result


def _log1p(value):
    return mp.log1p(value)


def _log_diagonal(low):
    return mp.fsum(mp.log(low[i, i]) for i in range(len(low)))


def _total(matrix):
    return mp.fsum(value**2 for value in matrix.ravel())


class BeyondDigitsError(ArithmeticError):
    """The recomputation's own digits do not reach."""


def _log_det_one_plus(gram: np.ndarray):
    """Log det(I + G): elimination in the order of falling diagonals keeps what is graded."""
    size = len(gram)
    order = sorted(range(size), key=lambda i: -gram[i, i])
    matrix = gram[np.ix_(order, order)] + np.diag([mp.mpf(1)] * size)
    total = mp.mpf(0)
    for j in range(size):
        pivot = matrix[j, j]
        if pivot < 0.5:  # at least 1, but for rounding
            raise BeyondDigitsError(f"log det(I + G) loses all {mp.mp.dps} digits")
        total += mp.log1p(pivot - 1) if pivot < 2 else mp.log(pivot)
        for i in range(j + 1, size):
            matrix[i, j + 1 :] = matrix[i, j + 1 :] - matrix[i, j] / pivot * matrix[j, j + 1 :]
    return total
