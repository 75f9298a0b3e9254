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
from ntkinfo.information.mixture_sampling import UNSEEN, default_samples, most_unseen, sample_pointwise
from ntkinfo.information.noiseless import Noiseless, split_noiseless
from ntkinfo.information.pointwise_overlaps import overlaps, unseen

LEAST_SAMPLES = 16  # draws per input below which standard errors are themselves uncertain


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
        samples: draws per input, even and at least 4; None for 16, or more for few inputs (about 5120 in all). The
            draws of all inputs serve each of them. The cost is proportional to samples · m² · C.
        tolerance: error of each expectation by the quadrature that is used for one output, at least 1e-11; None for
            Monte Carlo there too.
        resolution: standard deviations up to this count as no noise, and means of such inputs that lie this close to
            each other count as equal, as in `information_output`.

    Returns:
        Contributions with an error for each. "quadrature": a bound on the numerical error. "Monte Carlo": a standard
        error, with an allowance for overlaps that so few draws cannot have met: two of them hold the value in 93 of
        100 inputs or more, with rare draws and few, too. Errors of different inputs are correlated, for draws are
        shared; those of averages account for it. Averages have the meaning of their parts.
        Outputs without noise are exact: log m less log of how many share the output. Arrays of lower precision are
        taken for exact and computed with in float64.

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

    `drawn` holds the standard errors of sampled averages over several inputs.
    """

    input: Float[np.ndarray, "2 m"]
    target: Float[np.ndarray, "2 m"] | None
    lower: Float[np.ndarray, " m"]
    upper: Float[np.ndarray, " m"]
    meaning: Meaning
    method: str
    drawn: _Averages | None = None


@dataclass(frozen=True)
class _Averages:
    """Standard errors of I(Z;X), of I(Z;Y), and of the classes' contributions to that, (K,)."""

    input: float
    target: float
    by_class: Float[np.ndarray, " K"] | None


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
    return _Parts(_rounded(given), target, given, given, "exact", method)


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
    gap, alike, upper = overlaps(split.mean, split.variance)
    ceiling = float(np.log(len(split.noisy)))
    if random is None:
        assert tolerance is not None
        given, target, method = _by_quadrature(split, within, tolerance)
        meaning, drawn = "quadrature", None
    else:
        given, target, drawn = _by_sampling(split, within, samples, random, alike)
        drawn = _among_all(drawn, split, classes)
        meaning, method = "Monte Carlo", "Monte Carlo, every draw for all inputs, antithetic, control variates"
    shortfall = np.minimum(gap, 2 * np.log1p(gap))
    return _Parts(
        _put(parts.input, split.noisy, given),
        None if parts.target is None or target is None else _put(parts.target, split.noisy, target),
        _put(parts.lower, split.noisy, np.maximum(ceiling - shortfall, 0.0)),
        _put(parts.upper, split.noisy, np.clip(upper, 0.0, ceiling)),
        meaning,
        method if len(split.noisy) == len(split.symbol) else f"{method}; {parts.method}",
        drawn,
    )


def _among_all(drawn: _Averages, split: Noiseless, classes: np.ndarray | None) -> _Averages:
    """Errors of averages over all inputs, from those of averages over the inputs with noise."""
    share, by_class = len(split.noisy) / len(split.symbol), None
    if classes is not None and drawn.by_class is not None:
        number, count = np.bincount(classes), np.bincount(classes[split.noisy], minlength=int(classes.max()) + 1)
        by_class = np.zeros(len(number))
        by_class[count > 0] = drawn.by_class
        by_class *= count / number
    return _Averages(share * drawn.input, share * drawn.target, by_class)


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
    split: Noiseless, within: np.ndarray | None, samples: int, random: np.random.Generator, alike: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None, _Averages]:
    """Values and errors of the contributions among inputs with noise, and errors of their averages; any outputs."""
    xp, m = namespace(split.mean, split.variance), len(split.noisy)
    weights = xp.full(m, 1 / m, dtype=split.variance.dtype)
    drawn = sample_pointwise(split.mean, split.variance, weights, within, samples, random)
    more, of_label = unseen(split.mean, split.variance, within, alike, samples)
    given = np.stack([drawn.component, np.hypot(drawn.component_standard_error, more)])
    bounds = pairwise_information(split.mean, split.variance, weights, within)
    whole = drawn.whole.allowing_for_unseen(*most_unseen(bounds, float(np.log(m))))
    errors = whole.component.standard_error, 0.0 if whole.label is None else whole.label.standard_error
    if within is None:
        return given, None, _Averages(*errors, None)
    label, label_error, class_error = drawn.label, drawn.label_standard_error, drawn.class_standard_error
    assert label is not None
    assert label_error is not None
    assert class_error is not None
    number = np.bincount(within)
    rare = np.minimum(np.bincount(within, weights=of_label) / number, UNSEEN / (samples * number))
    by_class = np.hypot(class_error, rare)
    target = np.stack([label, np.hypot(label_error, of_label)])
    return given, target, _Averages(*errors, by_class)


def _record(
    parts: _Parts, split: Noiseless, names: np.ndarray | None, classes: np.ndarray | None
) -> PointwiseInformation:
    everyone = np.zeros(len(split.symbol), dtype=np.int64)
    noiseless = np.ones(len(split.symbol), dtype=bool)
    noiseless[split.noisy] = False
    target, by_class, target_total, share = None, None, None, None
    drawn = parts.drawn
    if parts.target is not None and classes is not None:
        target = _estimate(parts, parts.target)
        by_class = _estimate(parts, _averages(parts.target, classes, None if drawn is None else drawn.by_class))
        total = _averages(parts.target, everyone, None if drawn is None else np.array([drawn.target]))
        target_total = _only(_estimate(parts, total))
        share = np.bincount(classes) / len(classes)
    total = _averages(parts.input, everyone, None if drawn is None else np.array([drawn.input]))
    return PointwiseInformation(
        input=_estimate(parts, parts.input),
        input_lower=parts.lower,
        input_upper=parts.upper,
        input_total=_only(_estimate(parts, total)),
        target=target,
        target_by_class=by_class,
        target_total=target_total,
        classes=names,
        class_share=share,
        noiseless=noiseless,
    )


def _estimate(parts: _Parts, both: np.ndarray) -> Estimate:
    return Estimate(both[0], both[1], parts.meaning, parts.method)


def _only(estimate: Estimate) -> Estimate:
    value, error = float(np.asarray(estimate.value)[0]), float(np.asarray(estimate.standard_error)[0])
    return Estimate(value, error, estimate.meaning, estimate.method)


def _averages(both: np.ndarray, group: np.ndarray, drawn: np.ndarray | None) -> np.ndarray:
    """Averages over the inputs of each group: numerical errors add up, those of draws come with the draws."""
    count = np.bincount(group)
    value = np.bincount(group, weights=both[0]) / count
    if drawn is None:
        return np.stack([value, np.bincount(group, weights=both[1]) / count])
    return np.stack([value, drawn + 2e-15 * (1 + np.abs(value))])
