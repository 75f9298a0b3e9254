"""What the output of a random ensemble member says about the input it was computed on, and about the target."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array, double, float64, namespace, to_numpy
from ntkinfo.core.records import Estimate
from ntkinfo.information.mixture_bounds import pairwise_information
from ntkinfo.information.mixture_sampling import (
    STRATIFIED,
    DrawUntil,
    Sampled,
    SampledInformation,
    checked_samples,
    default_samples,
    most_unseen,
    sample_information,
)
from ntkinfo.information.noiseless import Noiseless, discrete_entropy, discrete_information, split_noiseless
from ntkinfo.information.output_quadrature import informations, objection


@dataclass(frozen=True)
class InputInformation:
    """I(Z;X) for X uniform on the m evaluation inputs, in nats.

    Args:
        value: the best value: quadrature for one output, and for two where that is cheap (`method` gives the reason
            where it is not); else Monte Carlo with its standard error. Monte Carlo values are not clipped: they may
            leave [0, ceiling] by a few standard errors.
        lower: pairwise lower bound (best Chernoff order, 1/2 or better), deterministic.
        upper: pairwise upper bound (relative entropy), deterministic, never above the ceiling.
        multisample_lower: E log p(z_i|x_i) / (1/m) sum_j p(z_i|x_j). Because X is uniform on these very m inputs, its
            average over z is I(Z;X) itself; it becomes a bound when the inputs stand for a larger population. None
            without samples.
        multisample_upper: the same with (1/(m-1)) sum_{j≠i}; infinite where an output without noise has no equal.
            None without samples.
        ceiling: log m.
        noiseless: how many inputs were treated as having no output variance.
    """

    value: Estimate
    lower: float
    upper: float
    multisample_lower: Estimate | None
    multisample_upper: Estimate | None
    ceiling: float
    noiseless: int


@dataclass(frozen=True)
class TargetInformation:
    """I(Z;Y) for the class Y of an input drawn uniformly from the m evaluation inputs, in nats.

    Args:
        value: the best value, by quadrature or Monte Carlo as in `InputInformation`, unclipped.
        lower: pairwise lower bound of h(z) less the upper bounds of h(z|c), or 0 where that is below.
        upper: pairwise upper bound of h(z) less the lower bounds of h(z|c), or the ceiling or the upper bound of I(Z;X)
            where that is above.
        ceiling: entropy of the labels.
        noiseless: how many inputs were treated as having no output variance.
    """

    value: Estimate
    lower: float
    upper: float
    ceiling: float
    noiseless: int


@checked
def information_input(
    mean: Float[Array, "m C"],
    variance: Float[Array, " m"],
    *,
    seed: int = 0,
    samples: int | DrawUntil | None = None,
    tolerance: float | None = 1e-9,
    resolution: float = 0.0,
) -> InputInformation:
    """I(Z;X) between the output Z = f_t(x) of a random ensemble member and its input x.

    Args:
        mean: mean output at each evaluation input, (m, C).
        variance: variance of every output there, (m,), zero or above.
        seed: of the Monte Carlo draws; the same seed at every time gives smooth curves.
        samples: draws per input, even and at least 4; None for about 5120 in all; 0 for none (one output only), which
            leaves the multi-sample bounds out. `DrawUntil` draws until a wanted standard error is reached among the
            inputs with noise, at a different number of draws at each time.
        tolerance: absolute error of the quadrature that is used for one output, and for two where it takes less than
            about half a second or less than the sampling; None for Monte Carlo there too.
        resolution: standard deviations up to this count as no noise, and means of such inputs that lie this close to
            each other count as equal. Give the size of the rounding errors in `mean`; 0 compares exactly.

    Returns:
        The information in nats with its bounds. Inputs without noise are handled exactly: Z then has atoms, and
        I(Z;X) = H(atom, or none) + (share of the inputs with noise) I(Z;X | noise).

    Raises:
        ValueError: shapes that do not fit, NaN or infinite values, negative variances, too few samples.

    Fails when means are known less exactly than `resolution` and variances are as small as their errors: the
    information then counts rounding errors as differences. Standard deviations below 1e-140 of the largest count
    as none.
    Source: theory §3; Kolchinsky & Tracey 2017; Poole et al. 2019.
    """
    return information_output(
        mean, variance, None, seed=seed, samples=samples, tolerance=tolerance, resolution=resolution
    )[0]


@checked
def information_target(
    mean: Float[Array, "m C"],
    variance: Float[Array, " m"],
    labels: Int[Array, " m"],
    *,
    seed: int = 0,
    samples: int | DrawUntil | None = None,
    tolerance: float | None = 1e-9,
    resolution: float = 0.0,
) -> TargetInformation:
    """I(Z;Y) between the output of a random ensemble member and the class of its input: h(p(z)) - sum_c p(c) h(p(z|c)).

    Args:
        mean: mean output at each evaluation input, (m, C).
        variance: variance of every output there, (m,), zero or above.
        labels: class of each evaluation input, (m,), any integers.
        seed: of the Monte Carlo draws, which both entropies share: the standard error is that of their difference.
        samples: as in `information_input`.
        tolerance: as in `information_input`, for each of the entropies.
        resolution: as in `information_input`.

    Returns:
        The information in nats with its bounds.

    Raises:
        ValueError: as `information_input`.

    Fails when and Source: as `information_input`.
    """
    target = information_output(
        mean, variance, labels, seed=seed, samples=samples, tolerance=tolerance, resolution=resolution
    )[1]
    assert target is not None
    return target


def information_output(
    mean: Float[Array, "m C"],
    variance: Float[Array, " m"],
    labels: Int[Array, " m"] | None,
    *,
    seed: int = 0,
    samples: int | DrawUntil | None = None,
    tolerance: float | None = 1e-9,
    resolution: float = 0.0,
) -> tuple[InputInformation, TargetInformation | None]:
    """`information_input` and `information_target` from the same draws, for little more than the price of the first.

    Args:
        mean: mean output at each evaluation input, (m, C).
        variance: variance of every output there, (m,), zero or above.
        labels: class of each evaluation input, (m,), any integers; or None.
        seed: of the Monte Carlo draws.
        samples: as in `information_input`.
        tolerance: as in `information_input`.
        resolution: as in `information_input`.

    Returns:
        I(Z;X), and I(Z;Y) or None without labels. Arrays of lower precision are taken for exact and computed with in
        float64.

    Raises:
        ValueError: as `information_input`.
    """
    samples = _checked(mean, variance, labels, samples, tolerance)
    classes = None if labels is None else np.unique(to_numpy(labels), return_inverse=True)[1].reshape(-1)
    noisy = None
    with float64():
        split = split_noiseless(double(mean), double(variance), resolution)
        if len(split.noisy):
            noisy = _noisy_information(split, classes, samples, tolerance, np.random.default_rng(seed))
    given = _input(split, noisy)
    return given, None if classes is None else _target(split, noisy, classes)


@dataclass(frozen=True)
class _Route:
    """One information of the inputs with noise: best value and pairwise bounds."""

    value: Estimate
    lower: float
    upper: float


@dataclass(frozen=True)
class _Noisy:
    """Information among the inputs with noise alone."""

    component: _Route
    label: _Route | None
    sampled: SampledInformation | None


def _checked(
    mean: Array, variance: Array, labels: Array | None, samples: int | DrawUntil | None, tolerance: float | None
) -> int | DrawUntil:
    checks.shape("mean", mean, (None, None), "one row of outputs for each evaluation input")
    if mean.shape[0] == 0 or mean.shape[1] == 0:
        raise ValueError(f"mean has shape {tuple(mean.shape)}; at least one input and one output are needed")
    checks.shape("variance", variance, (mean.shape[0],), "one output variance for each evaluation input")
    checks.finite("mean", mean)
    checks.finite("variance", variance)
    least = float(namespace(variance).min(variance))
    if least < 0:
        raise ValueError(
            f"variance holds {least}; variances are 0 or greater: negative ones come from rounding or from a matrix "
            "that is no covariance"
        )
    if labels is not None:
        checks.shape("labels", labels, (mean.shape[0],), "one class for each evaluation input")
    if samples != 0:
        return checked_samples(samples, mean.shape[0])
    if mean.shape[1] > 1 or tolerance is None:
        raise ValueError("samples is 0, which is possible for one output with a quadrature tolerance only")
    return 0


def _noisy_information(
    split: Noiseless,
    classes: Int[np.ndarray, " m"] | None,
    samples: int | DrawUntil,
    tolerance: float | None,
    random: np.random.Generator,
) -> _Noisy:
    mean, variance = split.mean, split.variance
    labels = None if classes is None else np.unique(classes[split.noisy], return_inverse=True)[1].reshape(-1)
    xp = namespace(mean, variance)
    weights = xp.full(len(mean), 1 / len(mean), dtype=variance.dtype)
    bounds = pairwise_information(mean, variance, weights, labels)
    sampled = sample_information(mean, variance, weights, labels, samples, random) if samples else None
    if sampled is not None:
        sampled = sampled.allowing_for_unseen(*most_unseen(bounds, float(np.log(len(mean)))))
    values = _values(to_numpy(mean), to_numpy(variance), labels, samples, tolerance, sampled)
    label = None
    if values[1] is not None and labels is not None:
        label = _Route(values[1], *bounds.of_label(discrete_entropy(labels)))
    return _Noisy(_Route(values[0], bounds.lower, bounds.upper), label, sampled)


def _values(
    mean: Float[np.ndarray, "m C"],
    variance: Float[np.ndarray, " m"],
    labels: Int[np.ndarray, " m"] | None,
    samples: int | DrawUntil,
    tolerance: float | None,
    sampled: SampledInformation | None,
) -> tuple[Estimate, Estimate | None]:
    """By quadrature where nothing speaks against it, else from the samples."""
    each = default_samples(len(mean)) if isinstance(samples, DrawUntil) else samples
    reason = objection(mean, variance, labels, tolerance, each)
    if reason is None and tolerance is not None:
        return informations(mean, variance, labels, tolerance)
    assert sampled is not None
    method = f"{sampled.method}; {reason}" if reason else sampled.method
    component = replace(_monte_carlo(sampled.component), method=method)
    return component, None if sampled.label is None else replace(_monte_carlo(sampled.label), method=method)


def _monte_carlo(sampled: Sampled, meaning: str = "Monte Carlo", factor: float = 1.0, shift: float = 0.0) -> Estimate:
    return Estimate(
        shift + factor * sampled.value,
        factor * sampled.standard_error if np.isfinite(shift) else np.inf,
        meaning,  # pyright: ignore[reportArgumentType]
        STRATIFIED,
    )


def _input(split: Noiseless, noisy: _Noisy | None) -> InputInformation:
    """H(D) + share · I(Z;X | D = noisy), with D the atom of an input, or "noisy"."""
    m, between = len(split.symbol), discrete_entropy(split.symbol)
    ceiling, count = float(np.log(m)), m - len(split.noisy)
    if noisy is None:
        exact = Estimate(between, 1e-15 * (1 + between), "exact", "entropy of the distinct outputs")
        most = _others_noiseless(split)
        upper = Estimate(most, 0.0 if np.isfinite(most) else np.inf, "upper bound", "distinct outputs")
        return InputInformation(exact, between, between, exact, upper, ceiling, count)
    share = len(split.noisy) / m
    lower, upper = None, None
    if noisy.sampled is not None:
        lower = _monte_carlo(noisy.sampled.component, "lower bound", share, between)
        shift = _others_noiseless(split) + share * _others_factor(m, len(split.noisy))
        upper = _monte_carlo(noisy.sampled.others, "upper bound", share, shift)
    value = _mixed(noisy.component.value, share, between)
    bounds = between + share * noisy.component.lower, between + share * noisy.component.upper
    return InputInformation(value, *bounds, lower, upper, ceiling, count)


def _target(split: Noiseless, noisy: _Noisy | None, classes: Int[np.ndarray, " m"]) -> TargetInformation:
    """I(D;Y) + share · I(Z;Y | D = noisy)."""
    m, between = len(split.symbol), discrete_information(split.symbol, classes)
    ceiling, count = discrete_entropy(classes), m - len(split.noisy)
    if noisy is None:
        exact = Estimate(between, 1e-15 * (1 + between), "exact", "information of the distinct outputs")
        return TargetInformation(exact, between, between, ceiling, count)
    assert noisy.label is not None
    share = len(split.noisy) / m
    bounds = between + share * noisy.label.lower, between + share * noisy.label.upper
    return TargetInformation(_mixed(noisy.label.value, share, between), *bounds, ceiling, count)


def _mixed(noisy: Estimate, share: float, between: float) -> Estimate:
    if share == 1:
        return noisy
    method = f"{noisy.method}, and the entropy of the outputs without noise"
    return Estimate(between + share * float(noisy.value), share * float(noisy.standard_error), noisy.meaning, method)


def _others_factor(m: int, noisy: int) -> float:
    """Log (m-1)/(noisy-1): leaving one out, the inputs without noise have no density where the noisy ones have."""
    return 0.0 if m == noisy else float(np.log((m - 1) / (noisy - 1))) if noisy > 1 else np.inf


def _others_noiseless(split: Noiseless) -> float:
    """Contribution of the inputs without noise to the multi-sample upper bound: log (m-1)/(equal ones - 1) each."""
    m = len(split.symbol)
    equal = np.bincount(split.symbol)[split.symbol]
    equal = np.delete(equal, split.noisy)
    if np.any(equal == 1):
        return np.inf
    return float(np.sum(np.log((m - 1) / (equal - 1)))) / m
