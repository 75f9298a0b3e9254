"""Which inputs carry the information: the contribution of every input, and of every class, to I(Z;X) and I(Z;Y)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from ntkinfo.core import checks
from ntkinfo.core.arrays import Array, double, float64, namespace, to_numpy
from ntkinfo.core.records import Estimate, Meaning
from ntkinfo.information.mixture_bounds import pairwise_information
from ntkinfo.information.mixture_expectations import expected_log_density
from ntkinfo.information.mixture_sampling import Sampled, default_samples, most_unseen, sample_pointwise, with_unseen
from ntkinfo.information.noiseless import Noiseless, split_noiseless

LEAST_SAMPLES = 16  # draws per input below which a standard error from one input's draws means little
PAIRS_AT_ONCE = 1 << 17
FADES = 30.0  # draws that an overlap's bound lets expect, from which on it has been met


@dataclass(frozen=True)
class PointwiseInformation:
    """Contributions of the m evaluation inputs, X uniform on them, in nats.

    Args:
        input: KL(p(z|x_i) ‖ p(z)), (m,): how far input i can be told from the others by its output; its average is
            I(Z;X). Between 0 and log m.
        input_lower: deterministic lower bound of it, (m,).
        input_upper: deterministic upper bound of it, (m,).
        input_total: the average, I(Z;X).
        target: E log p(z|c_i)/p(z) over the outputs on input i, (m,): what they say of the class c_i. Below 0 where
            they speak for another class. Its average is I(Z;Y). None without labels.
        target_by_class: KL(p(z|c) ‖ p(z)), (K,); weighted with the classes' shares the sum is I(Z;Y). Or None.
        target_total: I(Z;Y), or None.
        classes: the labels of those K classes, (K,), or None.
        class_share: their shares among the inputs, (K,), or None.
        noiseless: (m,), inputs that were treated as having no output variance.
    """

    input: Estimate
    input_lower: Float[np.ndarray, " m"]
    input_upper: Float[np.ndarray, " m"]
    input_total: Estimate
    target: Estimate | None
    target_by_class: Estimate | None
    target_total: Estimate | None
    classes: Int[np.ndarray, " K"] | None
    class_share: Float[np.ndarray, " K"] | None
    noiseless: Bool[np.ndarray, " m"]


def pointwise_output(
    mean: Float[Array, "m C"],
    variance: Float[Array, " m"],
    labels: Int[Array, " m"] | None = None,
    *,
    seed: int = 0,
    samples: int | None = None,
    tolerance: float | None = 1e-9,
    resolution: float = 0.0,
) -> PointwiseInformation:
    """Part I(Z;X) into the contributions of the inputs, and I(Z;Y) into those of the inputs and the classes.

    Args:
        mean: mean output at each evaluation input, (m, C).
        variance: variance of every output there, (m,), zero or above.
        labels: class of each evaluation input, (m,), any integers; or None.
        seed: of the Monte Carlo draws.
        samples: draws per input, even and at least 4; None for 16, or more for few inputs (about 6144 in all). The
            standard error of one input comes from its own draws: with 16 it is itself known to a quarter or so. The
            cost is proportional to samples · m² · C.
        tolerance: error of each expectation by the quadrature that is used for one output, at least 1e-11; None for
            Monte Carlo there too.
        resolution: standard deviations up to this count as no noise, and means of such inputs that lie this close to
            each other count as equal, as in `information_output`.

    Returns:
        Contributions with an error for each. "quadrature": a bound on the numerical error. "Monte Carlo": a standard
        error from the input's own draws, with an allowance for overlaps that so few draws cannot have met. Averages
        have the meaning of their parts. Outputs without noise are exact: log m less log of how many share the output.
        Arrays of lower precision are taken for exact and computed with in float64.

    Raises:
        ValueError: shapes that do not fit, NaN or infinite values, negative variances, too few samples, a tolerance
            below 1e-11.

    Fails when means are known less exactly than `resolution` and variances are as small as their errors.
    Source: theory §3. The lower bound follows from E log(1 + T) ≤ min(s, 2 log(1 + s)) with T the density of all other
    inputs over the input's own and s = E sqrt(T), at most the sum of the Bhattacharyya coefficients; the upper bound is
    the relative-entropy bound of Kolchinsky & Tracey 2017 before averaging (Jensen).
    """
    samples = _checked(mean, variance, labels, samples)
    names, classes = None, None
    if labels is not None:
        names, classes = np.unique(to_numpy(labels), return_inverse=True)
        classes = classes.reshape(-1)
    with float64():
        split = split_noiseless(double(mean), double(variance), resolution)
        parts = _discrete(split, classes)
        if len(split.noisy):
            sampled = mean.shape[1] > 1 or tolerance is None
            random = np.random.default_rng(seed) if sampled else None
            parts = _with_noise(parts, split, classes, samples, random, tolerance)
        return _record(parts, split, names, classes)


@dataclass(frozen=True)
class _Parts:
    """Values and errors of the inputs' contributions.

    `gap` bounds by how much an input falls short of its ceiling; `draws` is how many samples were drawn for each input,
    0 where none were; `whole` holds the standard errors of the sampled totals.
    """

    input: Float[np.ndarray, "2 m"]
    target: Float[np.ndarray, "2 m"] | None
    lower: Float[np.ndarray, " m"]
    upper: Float[np.ndarray, " m"]
    gap: Float[np.ndarray, " m"]
    draws: int
    meaning: Meaning
    method: str
    whole: tuple[float, float] | None = None


def _checked(mean: Array, variance: Array, labels: Array | None, samples: int | None) -> int:
    checks.shape("mean", mean, (None, None), "one row of outputs for each evaluation input")
    if mean.size == 0:
        raise ValueError(f"mean has shape {tuple(mean.shape)}; at least one input and one output are needed")
    checks.shape("variance", variance, (mean.shape[0],), "one output variance for each evaluation input")
    checks.finite("mean", mean)
    checks.finite("variance", variance)
    least = float(namespace(variance).min(variance))
    if least < 0:
        raise ValueError(f"variance holds {least}; variances are 0 or greater: take the covariance's own diagonal")
    if labels is not None:
        checks.shape("labels", labels, (mean.shape[0],), "one class for each evaluation input")
    if samples is None:
        return max(LEAST_SAMPLES, default_samples(mean.shape[0]))
    checks.whole("samples", samples, least=4)
    if samples % 2:
        raise ValueError(f"samples is {samples}; it must be even and at least 4 (draws come in antithetic pairs)")
    return samples


def _discrete(split: Noiseless, classes: np.ndarray | None) -> _Parts:
    """What the discrete part of the output says: its atom, or that it has noise."""
    m = len(split.symbol)
    alike = np.bincount(split.symbol)[split.symbol] / m
    given = -np.log(alike)
    target = None
    if classes is not None:
        _, pair = np.unique(np.stack([split.symbol, classes]), axis=1, return_inverse=True)
        pair = pair.reshape(-1)
        within = np.bincount(pair)[pair] / np.bincount(classes)[classes]
        target = _rounded(np.log(within) + given)
    method = "shares of the inputs with the same output"
    return _Parts(_rounded(given), target, given, given, np.zeros(m), 0, "exact", method)


def _rounded(value: np.ndarray) -> np.ndarray:
    value = value + 0.0  # no negative zeros
    return np.stack([value, 1e-15 * (1 + np.abs(value))])


def _with_noise(
    parts: _Parts,
    split: Noiseless,
    classes: np.ndarray | None,
    samples: int,
    random: np.random.Generator | None,
    tolerance: float | None,
) -> _Parts:
    """Add what the inputs with noise say among themselves."""
    within = None if classes is None else np.unique(classes[split.noisy], return_inverse=True)[1].reshape(-1)
    gap, upper = _pairwise(split.mean, split.variance)
    whole = None
    ceiling = float(np.log(len(split.noisy)))
    if random is None:
        assert tolerance is not None
        given, target, method = _by_quadrature(split, within, tolerance)
        meaning, draws = "quadrature", 0
    else:
        given, target, errors = _by_sampling(split, within, samples, random, gap)
        share = len(split.noisy) / len(split.symbol)
        whole = share * errors[0], share * errors[1]
        meaning, draws, method = "Monte Carlo", samples, "Monte Carlo for each input, antithetic, control variates"
    shortfall = np.minimum(gap, 2 * np.log1p(gap))
    return _Parts(
        _put(parts.input, split.noisy, given),
        None if parts.target is None or target is None else _put(parts.target, split.noisy, target),
        _put(parts.lower, split.noisy, np.maximum(ceiling - shortfall, 0.0)),
        _put(parts.upper, split.noisy, np.clip(upper, 0.0, ceiling)),
        _put(parts.gap, split.noisy, gap),
        draws,
        meaning,
        method if len(split.noisy) == len(split.symbol) else f"{method}; {parts.method}",
        whole,
    )


def _put(total: np.ndarray, places: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Add values at some places of the last axis."""
    result = total.copy()
    result[..., places] += values
    return result


def _by_quadrature(
    split: Noiseless, within: np.ndarray | None, tolerance: float
) -> tuple[np.ndarray, np.ndarray | None, str]:
    """Values and errors of the contributions among inputs with noise, one output."""
    mean, variance = to_numpy(split.mean)[:, 0].astype(np.float64), to_numpy(split.variance).astype(np.float64)
    log, error, method = _expected_logs(mean, variance, tolerance)
    own = -0.5 * np.log(2 * np.pi * np.e * variance)
    given = np.stack([own - log, error + 1e-15 * np.abs(own)])
    if within is None:
        return given, None, method
    target = np.zeros_like(given)
    for c in range(int(within.max()) + 1):
        members = within == c
        part, part_error, _ = _expected_logs(mean[members], variance[members], tolerance)
        target[:, members] = np.stack([part - log[members], part_error + error[members]])
    return given, target, method


def _expected_logs(mean: np.ndarray, variance: np.ndarray, tolerance: float) -> tuple[np.ndarray, np.ndarray, str]:
    result = expected_log_density(mean, variance, None, tolerance)
    return np.asarray(result.value), np.asarray(result.standard_error), result.method


def _by_sampling(
    split: Noiseless, within: np.ndarray | None, samples: int, random: np.random.Generator, gap: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None, tuple[float, float]]:
    """Values and errors of the contributions among inputs with noise, and errors of their averages; any outputs."""
    xp, m = namespace(split.mean, split.variance), len(split.noisy)
    weights = xp.full(m, 1 / m, dtype=split.variance.dtype)
    drawn = sample_pointwise(split.mean, split.variance, weights, within, samples, random)
    unseen = np.array([_unseen(float(g), samples) for g in gap])
    given = np.stack([drawn.component, np.hypot(drawn.component_standard_error, unseen)])
    bounds = pairwise_information(split.mean, split.variance, weights, within)
    whole = drawn.whole.allowing_for_unseen(*most_unseen(bounds, float(np.log(m))))
    errors = whole.component.standard_error, 0.0 if whole.label is None else whole.label.standard_error
    if drawn.label is None or drawn.label_standard_error is None:
        return given, None, errors
    return given, np.stack([drawn.label, np.hypot(drawn.label_standard_error, unseen)]), errors


def _unseen(gap: float, draws: int) -> float:
    """What overlaps that none of a component's own draws may have met could add; it fades out where they are many."""
    return with_unseen(Sampled(0.0, 0.0), gap, 1 / draws).standard_error * float(np.exp(-draws * gap / FADES))


def _pairwise(mean: Float[Array, "m C"], variance: Float[Array, " m"]) -> tuple[np.ndarray, np.ndarray]:
    """For each component: the sum of its Bhattacharyya coefficients with the others, and the upper bound."""
    xp, m = namespace(mean, variance), len(mean)
    rows = max(1, PAIRS_AT_ONCE // m)
    gaps, uppers = [], []
    for start in range(0, m, rows):
        part = np.arange(start, min(start + rows, m))
        squared = xp.zeros((len(part), m), dtype=mean.dtype)
        for c in range(mean.shape[1]):
            squared = squared + (mean[part, c][:, None] - mean[:, c][None, :]) ** 2
        own, other = variance[part][:, None], variance[None, :]
        logs = xp.log(own) - xp.log(other)
        middle = xp.log(0.5 * (own + other)) - 0.5 * (xp.log(own) + xp.log(other))
        overlap = xp.exp(-squared / (4 * (own + other)) - 0.5 * mean.shape[1] * middle)
        apart = xp.asarray(part[:, None] != np.arange(m)[None, :])
        gaps.append(to_numpy(xp.sum(xp.where(apart, overlap, 0.0), axis=1)))
        entropy = 0.5 * (squared / other + mean.shape[1] * ((own - other) / other - logs))
        uppers.append(to_numpy(float(np.log(m)) - xp.log(xp.sum(xp.exp(-entropy), axis=1))))
    return np.concatenate(gaps), np.concatenate(uppers)


def _record(
    parts: _Parts, split: Noiseless, names: np.ndarray | None, classes: np.ndarray | None
) -> PointwiseInformation:
    everyone = np.zeros(len(split.symbol), dtype=np.int64)
    noiseless = np.ones(len(split.symbol), dtype=bool)
    noiseless[split.noisy] = False
    target, by_class, target_total, share = None, None, None, None
    errors = (None, None) if parts.whole is None else parts.whole
    if parts.target is not None and classes is not None:
        target = _estimate(parts, parts.target)
        by_class = _estimate(parts, _averages(parts, parts.target, classes))
        target_total = _only(_estimate(parts, _averages(parts, parts.target, everyone)), errors[1])
        share = np.bincount(classes) / len(classes)
    return PointwiseInformation(
        input=_estimate(parts, parts.input),
        input_lower=parts.lower,
        input_upper=parts.upper,
        input_total=_only(_estimate(parts, _averages(parts, parts.input, everyone)), errors[0]),
        target=target,
        target_by_class=by_class,
        target_total=target_total,
        classes=names,
        class_share=share,
        noiseless=noiseless,
    )


def _estimate(parts: _Parts, both: np.ndarray) -> Estimate:
    return Estimate(both[0], both[1], parts.meaning, parts.method)


def _only(estimate: Estimate, error: float | None) -> Estimate:
    value, errors = np.asarray(estimate.value), np.asarray(estimate.standard_error)
    return Estimate(float(value[0]), float(errors[0]) if error is None else error, estimate.meaning, estimate.method)


def _averages(parts: _Parts, both: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Averages over the inputs of each group: draws of different inputs are independent, numerical errors add up."""
    count = np.bincount(group)
    value = np.bincount(group, weights=both[0]) / count
    if not parts.draws:
        return np.stack([value, np.bincount(group, weights=both[1]) / count])
    error = np.sqrt(np.bincount(group, weights=both[1] ** 2)) / count
    gap = np.bincount(group, weights=parts.gap) / count
    whole = [
        with_unseen(Sampled(0.0, float(e)), float(g), 1 / (parts.draws * int(k))).standard_error
        for e, g, k in zip(error, gap, count, strict=True)
    ]
    return np.stack([value, np.array(whole) + 2e-15 * (1 + np.abs(value))])
