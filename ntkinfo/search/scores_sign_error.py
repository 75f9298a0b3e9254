"""Sign errors of measures by environment: how often, and how badly at worst, a measure orders two trials wrongly."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.stats import norm

from ntkinfo.core.threads import map_threads
from ntkinfo.search.environments import Environments, TrialTable, environments, pair_weights
from ntkinfo.search.scores import Score, ScoreSettings
from ntkinfo.search.scores_significance import node_weights, permutation_p_values, permuted_rows


@dataclass(frozen=True)
class SignErrorScore:
    """Sign errors of K measures in E environments; 0 is right everywhere, ½ is chance, 1 is always the wrong way round.

    Args:
        score: mean over environments.
        percentile: (K,), 90th percentile over environments (of this many pairs: it grows as they get fewer).
        percentile_lower: (K,).
        percentile_upper: (K,).
        worst: (K,), largest over environments, as observed: a maximum has no bootstrap interval, and grows with E.
        worst_environment: (K,), index of it.
        errors: (K, E), of every environment.
        labels: E lines that say what each environment is.
        environments: the pairs behind them, by row of the trials that were given.
    """

    score: Score
    percentile: Float[np.ndarray, " k"]
    percentile_lower: Float[np.ndarray, " k"]
    percentile_upper: Float[np.ndarray, " k"]
    worst: Float[np.ndarray, " k"]
    worst_environment: np.ndarray
    errors: Float[np.ndarray, "k e"]
    labels: tuple[str, ...]
    environments: Environments


PERCENTILE = 0.9


def sign_error(
    trials: TrialTable, settings: ScoreSettings | None = None, by: str = "values", least_size: float = 12.0
) -> SignErrorScore:
    """Weighted mean of ½(1 − sign Δμ · sign Δg) over the pairs of every environment.

    The two trials of a pair differ in one hyperparameter. Pairs whose gaps may differ by the chance of the test set
    alone weigh less or nothing; ties count ½. Environments: see `environments`.

    Args:
        trials: the trials, with `test_size` for the weights.
        settings: level, resamples, permutations, seed.
        by: environments by "values" or by "combinations" of hyperparameters.
        least_size: effective pairs that an environment needs.

    Returns:
        The scores. Intervals of mean and percentile: bootstrap in which combinations of hyperparameters have random
        weights, and an environment weighs as much as its pairs do on average (for the percentile: plus and minus
        their spread). Null: gaps permuted among the trials of a
        data set, in the same environments; p two-sided, corrected by the maximum over measures.

    Raises:
        ValueError: no environment that is large enough, NaN in a measure.

    Fails when environments share most trials, as those of one data set may: the intervals hold for these data sets and
    values, not for others.
    Source: Dziugaite et al. 2020, "In search of robust measures of generalization"; methods F.
    """
    settings, order, trials = settings or ScoreSettings(), trials.order, trials.ordered()
    parts = environments(trials, by, least_size)
    signs = parts.pairs.signs(trials.ranks)
    gap = parts.pairs.signs(trials.gap_ranks)
    agreement = (signs * gap).astype(np.float64)
    errors = _errors(agreement, parts.weight[:, None], parts.start)[..., 0]
    mean, high = errors.mean(axis=1), np.quantile(errors, PERCENTILE, axis=1)
    drawn = _bootstrap(trials, parts, agreement, settings)
    ends = np.array([(1 - settings.level) / 2, (1 + settings.level) / 2])
    intervals = np.quantile(drawn[..., 0], ends, axis=0)
    # Resampling spreads the environments' errors further apart: draws of a percentile lie above it, so only their
    # spread is used.
    width = float(norm.ppf(ends[1])) * drawn[..., 1].std(axis=0)
    worst = np.argmax(errors, axis=1)
    return SignErrorScore(
        score=_score(trials, parts, (signs, gap), (mean, *intervals), settings),
        percentile=high,
        percentile_lower=np.maximum(0.0, high - width),
        percentile_upper=np.minimum(1.0, high + width),
        worst=np.take_along_axis(errors, worst[:, None], 1)[:, 0],
        worst_environment=worst,
        errors=errors,
        labels=_labels(trials, parts),
        environments=_by_row(parts, order),
    )


def _by_row(parts: Environments, order: np.ndarray) -> Environments:
    """With the pairs' places in the order of the trials made rows again."""
    pairs = replace(parts.pairs, first=order[parts.pairs.first], second=order[parts.pairs.second])
    return replace(parts, pairs=pairs)


def _score(
    trials: TrialTable,
    parts: Environments,
    signs: tuple[np.ndarray, np.ndarray],
    found: tuple[np.ndarray, np.ndarray, np.ndarray],
    settings: ScoreSettings,
) -> Score:
    """The mean error with its null law, from the signs of measures and gap and from value and interval."""
    null = _null(trials, parts, signs[0], settings)
    p, corrected = permutation_p_values(found[0], null)
    ceiling = _errors((signs[1] * signs[1])[None].astype(np.float64), parts.weight[:, None], parts.start).mean()
    return Score(
        name="sign_error",
        measures=trials.names,
        value=found[0],
        lower=found[1],
        upper=found[2],
        null_mean=null.mean(axis=1),
        null_std=null.std(axis=1),
        p_value=p,
        p_corrected=corrected,
        ceiling=float(ceiling),
        meaning=f"sign error, mean over {len(parts.start)} environments by {parts.by}",
        interval=f"{settings.level:.0%}, bootstrap of hyperparameter combinations, these data sets",
        null="gaps permuted among the trials of a data set; corrected by the maximum over measures",
    )


def _errors(rows: np.ndarray, columns: np.ndarray, start: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """½(1 − Σ_e rows_ke columns_eb / Σ_e weight_eb) in every environment, (K, E, B); NaN where no pair weighs anything.

    The columns are the weights where `weight` is None.
    """
    total = np.add.reduceat(columns if weight is None else weight, start, axis=0)
    ends = np.append(start[1:], len(columns))
    sums = [rows[:, begin:end] @ columns[begin:end] for begin, end in zip(start, ends, strict=True)]
    found = np.stack(sums, axis=1)
    return 0.5 * (1 - np.divide(found, total, out=np.full(found.shape, np.nan), where=total > 0))


def _chunks(draws: np.ndarray, environments: int) -> list[np.ndarray]:
    """Draws along the first axis, few enough at a time that errors of all environments are small."""
    return np.array_split(draws, min(len(draws), -(-len(draws) * environments // 20_000)))


def _bootstrap(
    trials: TrialTable, parts: Environments, agreement: np.ndarray, settings: ScoreSettings
) -> Float[np.ndarray, "b k 2"]:
    """Mean and percentile over environments with random weights of the combinations."""
    first, second = trials.combination[parts.pairs.first], trials.combination[parts.pairs.second]
    sizes = np.diff(np.append(parts.start, len(first)))

    def draw(rows: np.ndarray) -> np.ndarray:
        pairs = (rows[:, first] * rows[:, second]).T
        share = np.add.reduceat(pairs, parts.start, axis=0) / sizes[:, None]
        errors = _errors(agreement, parts.weight[:, None] * pairs, parts.start)
        mean = np.einsum("keb,eb->bk", errors, share / share.sum(axis=0))
        high = [_weighted_quantile(errors[..., b], share[:, b]) for b in range(len(rows))]
        return np.stack([mean, high], axis=2)

    nodes = node_weights(int(trials.combination.max()) + 1, settings.resamples, settings.seed).T
    return np.concatenate(map_threads(draw, _chunks(nodes, len(parts.start))))


def _weighted_quantile(errors: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Quantile over environments with weights, interpolated as numpy's is when all weigh the same."""
    order = np.argsort(errors, axis=1)
    values, weights = np.take_along_axis(errors, order, 1), share[order]
    place = np.cumsum(weights, axis=1) - weights[:, :1]
    target = PERCENTILE * place[:, -1]
    return np.array([np.interp(t, p, v) for t, p, v in zip(target, place, values, strict=True)])


def _null(
    trials: TrialTable, parts: Environments, signs: np.ndarray, settings: ScoreSettings
) -> Float[np.ndarray, "k b"]:
    """Mean sign error with gaps permuted within data sets; pairs get the weights of the permuted gaps."""
    single = signs.astype(np.float64)

    def draw(rows: np.ndarray) -> np.ndarray:
        gap = parts.pairs.signs(trials.gap_ranks[rows]).T
        weight = np.stack([pair_weights(trials, parts.pairs, trials.gap[row]) for row in rows], axis=1)
        return np.nanmean(_errors(single, gap * weight, parts.start, weight), axis=1)

    rows = permuted_rows(trials.data_set, settings.permutations, settings.seed)
    return np.concatenate(map_threads(draw, _chunks(rows, len(parts.start))), axis=1)


def _labels(trials: TrialTable, parts: Environments) -> tuple[str, ...]:
    names, columns = list(trials.hyperparameters), list(trials.hyperparameters.values())
    found = []
    for begin in parts.start:
        i, j, h = parts.pairs.first[begin], parts.pairs.second[begin], parts.pairs.varied[begin]
        text = f"{trials.data_set[i]}: {names[h]} {columns[h][i]} to {columns[h][j]}"
        if parts.by == "combinations":
            others = [f"{n} {c[i]}" for k, (n, c) in enumerate(zip(names, columns, strict=True)) if k != h]
            text += f" at {', '.join(others)}" if others else ""
        found.append(text)
    return tuple(found)
