"""I(Z;X) and I(Z;Y) of an ensemble's output for fresh inputs from a known law, not for a finite set of inputs.

With X and Y jointly Gaussian and Z|x ~ N(mean(x), v(x) I), the densities p(z) = E_x p(z|x) and
p(z, y) = E_x p(z|x) p(y|x) are averages over fresh inputs. An average over M of them that contains the input that z was
drawn at gives, on average, too small an entropy, one that leaves it out too large an entropy, both by about
(E p(z|x)/p(z) - 1) / 2M. So both entropies are bracketed, and the middle of the bracket is right to the next order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array, float64, namespace, to_numpy
from ntkinfo.core.linear_algebra import cholesky, solve_lower
from ntkinfo.core.records import Estimate
from ntkinfo.data.synthetic import GaussianPair
from ntkinfo.information.plane_records import PlaneTrajectory

_PAIRS_AT_ONCE = 1 << 16  # keeps one block of exponents in a processor's cache
_QUERIES_OF_A_SLOPE = 16
_LOG_TWO_PI = float(np.log(2 * np.pi))


@runtime_checkable
class Law(Protocol):
    """What is used of an `OutputLaw`: times (T,), mean (T, p, C) and variance (T, p) at a slice of the times."""

    times: np.ndarray

    def mean_at(self, chosen: slice) -> Array:
        """Mean, (t, p, C)."""
        ...

    def variance_at(self, chosen: slice) -> Array:
        """Variance, (t, p)."""
        ...


@dataclass(frozen=True)
class PopulationInformation:
    """I(Z;X) and I(Z;Y) of one random member's output at one fresh input, over all times, in nats.

    Args:
        times: (T,), in the caller's unit.
        information_input: I(Z;X), values (T,); the error combines the sampling error with half the bracket's width.
        information_target: I(Z;Y), likewise.
        input_bracket: averages of the multi-sample lower and upper bounds on I(Z;X), (2, T); each has about the
            sampling error of the value, and their expectations enclose I(Z;X).
        target_bracket: the same for I(Z;Y), from the brackets of h(Z) and h(Z, Y).
        covariance: of the errors, as `PlaneTrajectory` holds it, (2, T, 2, T). The bracket's half-widths are counted as
            errors that all times share.
        queries: at how many fresh inputs outputs and targets were drawn in all.
    """

    times: Float[np.ndarray, " t"]
    information_input: Estimate
    information_target: Estimate
    input_bracket: Float[np.ndarray, "2 t"]
    target_bracket: Float[np.ndarray, "2 t"]
    covariance: Float[np.ndarray, "2 t 2 t"]
    queries: int

    @property
    def trajectory(self) -> PlaneTrajectory:
        """The values as a trajectory in the information plane."""
        given, target = np.asarray(self.information_input.value), np.asarray(self.information_target.value)
        return PlaneTrajectory(self.times, given, target, self.covariance)


@checked
def population_information(
    law: Callable[[np.ndarray], Law],
    pair: GaussianPair,
    *,
    inputs: int = 4096,
    queries: int | None = None,
    batches: int = 2,
    draws: int = 2,
    seed: int = 0,
) -> PopulationInformation:
    """I(Z;X) and I(Z;Y) of the output Z of a random ensemble member at a fresh input X with the target Y.

    Args:
        law: the outputs' law at given inputs (p, d_x); for an ensemble, the method `at` of its `OutputDistribution`.
        pair: the law of input and target. It must be the one that the training data came from, if I(Z;Y) is to be
            about them.
        inputs: fresh inputs in a batch, at least 2, whose average the densities are; the width of the bracket falls as
            one over it.
        queries: how many of them outputs and targets are drawn at; None for all. Sampling errors fall as one over the
            square root of queries · batches, work grows as inputs · queries · batches.
        batches: independent batches, at least 2.
        draws: of output and target at each input, even (they come in antithetic pairs).
        seed: of all of it; the same seed gives the same inputs and noise whatever the law, so that laws can be compared
            with little noise.

    Returns:
        Values with errors, brackets, and the covariance of the errors over times.

    Raises:
        ValueError: too few inputs or batches, more queries than inputs, an odd number of draws, a law that does not
            give finite means and variances, an output without variance (I(Z;X) is then infinite).

    Units are nats. The control variates (squared lengths of noises and inputs, the regression of the target) have their
    slopes fitted on the other batches, so that they bias nothing. Fails when I(Z;X), or I(Z,Y;X), approaches
    log(inputs): the bracket is then wide, and the error says so.
    Source: theory §3, the multi-sample bounds of Poole et al. 2019 with fresh inputs; Shwartz-Ziv & Alemi 2019.
    """
    checks.whole("inputs", inputs, least=2)
    checks.whole("batches", batches, least=2)
    checks.whole("draws", draws, least=2)
    queries = inputs if queries is None else queries
    checks.whole("queries", queries, least=2)
    if queries > inputs:
        raise ValueError(
            f"queries is {queries} and inputs {inputs}; outputs are drawn at some of the inputs, or at all"
        )
    if draws % 2:
        raise ValueError(f"draws is {draws}; it must be even: draws come in antithetic pairs")
    parts, controls, times = [], [], np.zeros(0)
    for stream in np.random.SeedSequence(seed).spawn(batches):
        batch = _draw(pair, (inputs, queries, draws), stream)
        answer = law(batch.x)
        times = np.asarray(answer.times, dtype=np.float64)
        noise = _noise(answer, batch)
        with float64():
            parts.append(_contributions(answer, batch, noise))
        controls.append(_controls(pair, batch, noise))
    return _summary(times, _controlled(np.stack(parts), np.stack(controls)))


@dataclass(frozen=True)
class _Batch:
    """Fresh inputs and targets, the targets whitened by their covariance given x, so that y|x ~ N(centre, I).

    Inputs x (M, d_x), centre (M, d_y); of the first Q of them, the queries, target (Q, S, d_y) = centre + residual and
    log_density (Q, S) of the target; and where the noise for the outputs comes from.
    """

    x: np.ndarray
    centre: np.ndarray
    residual: np.ndarray
    target: np.ndarray
    log_density: np.ndarray
    stream: np.random.SeedSequence


def _draw(pair: GaussianPair, sizes: tuple[int, int, int], stream: np.random.SeedSequence) -> _Batch:
    (inputs, queries, draws), (own, other) = sizes, stream.spawn(2)
    random, (d_x, d_y), cross = np.random.default_rng(own), pair.dims, pair.cross_covariance
    x = random.standard_normal((inputs, d_x))
    residual = _antithetic(random, queries, draws, d_y)
    root = cholesky(np.eye(d_y) - cross.T @ cross, "the covariance of the target given the input")
    centre = x @ solve_lower(root, cross.T).T
    target = centre[:queries, None, :] + residual
    # Y itself is standard normal: its density there, per unit of the whitened target.
    squared = np.sum((target @ root.T) ** 2, axis=2)
    log_density = float(np.sum(np.log(np.diagonal(root)))) - 0.5 * (squared + d_y * _LOG_TWO_PI)
    return _Batch(x, centre, residual, target, log_density, other)


def _antithetic(random: np.random.Generator, count: int, draws: int, size: int) -> np.ndarray:
    half = random.standard_normal((count, draws // 2, size))
    return np.concatenate([half, -half], axis=1)


def _noise(answer: Law, batch: _Batch) -> Float[np.ndarray, "q s c"]:
    outputs = answer.mean_at(slice(0, 1)).shape[2]
    queries, draws, _ = batch.residual.shape
    return _antithetic(np.random.default_rng(batch.stream), queries, draws, outputs)


def _controls(pair: GaussianPair, batch: _Batch, noise: Float[np.ndarray, "q s c"]) -> Float[np.ndarray, "q f"]:
    """Functions of the queries and of the noises there whose means are 0."""
    x = batch.x[: len(noise)]
    explained = x @ pair.cross_covariance
    lengths = [
        np.sum(x**2, axis=1) - pair.dims[0],
        np.sum(explained**2, axis=1) - float(np.sum(pair.cross_covariance**2)),
        *(np.mean(np.sum(given**2, axis=2), axis=1) - given.shape[2] for given in (batch.residual, noise)),
    ]
    return np.column_stack([*lengths, explained])


def _contributions(answer: Law, batch: _Batch, noise: Float[np.ndarray, "q s c"]) -> Float[np.ndarray, "4 t q"]:
    """What each query adds to the lower and upper averages of I(Z;X), then of I(Z;Y), at each time."""
    queries, draws, _ = noise.shape
    rows = max(1, _PAIRS_AT_ONCE // (draws * len(batch.x)))
    laws = [_law_at(answer, time, len(batch.x), noise) for time in range(len(answer.times))]
    blocks = []
    for start in range(0, queries, rows):
        part = slice(start, min(start + rows, queries))
        targets = _Targets.of(batch, part)
        blocks.append(np.stack([_information(law, targets, part) for law in laws], axis=1))
    return np.concatenate(blocks, axis=2)


@dataclass(frozen=True)
class _At:
    """Law and draws at one time: mean (M, C), variance (M,), draws z (Q, S, C), log p(z|x) less constants (Q, S)."""

    mean: Array
    variance: Array
    draws: Array
    log_own: Array


def _law_at(answer: Law, time: int, inputs: int, noise: Float[np.ndarray, "q s c"]) -> _At:
    chosen = slice(time, time + 1)
    mean, variance = answer.mean_at(chosen)[0], answer.variance_at(chosen)[0]
    checks.shape("mean", mean, (inputs, noise.shape[2]), "one row of outputs for each fresh input")
    checks.shape("variance", variance, (inputs,), "one variance for each fresh input")
    checks.finite("mean", mean)
    checks.finite("variance", variance)
    xp = namespace(mean, variance)
    if float(xp.min(variance)) <= 0:
        raise ValueError(
            f"the output at time {answer.times[time]} has no variance at {int(xp.sum(variance <= 0))} fresh input(s): "
            "I(Z;X) is infinite there; end the times earlier, or give the ensemble noise or a ridge"
        )
    there, own = xp.asarray(noise), slice(0, len(noise))
    draws = mean[own, None, :] + xp.sqrt(variance[own])[:, None, None] * there
    log_own = -0.5 * (noise.shape[2] * xp.log(variance[own])[:, None] + xp.sum(there**2, axis=2))
    return _At(mean, variance, draws, log_own)


@dataclass(frozen=True)
class _Targets:
    """Of some inputs: log p(y) and log p(y|x) there (b, S), and p(y|x_j) for all other inputs x_j (b, S, M).

    The latter as logarithms and as numbers relative to the largest of each row, `top`; the input itself has 0.
    """

    log_density: np.ndarray
    log_own: np.ndarray
    top: np.ndarray
    logs: np.ndarray
    densities: np.ndarray

    @classmethod
    def of(cls, batch: _Batch, part: slice) -> _Targets:
        squared = _squared_distances(batch.target[part], batch.centre)
        size = batch.centre.shape[1]
        logs = np.where(_is_own(part, len(batch.x)), -np.inf, -0.5 * (squared + size * _LOG_TWO_PI))
        top = np.max(logs, axis=2)
        own = -0.5 * (np.sum(batch.residual[part] ** 2, axis=2) + size * _LOG_TWO_PI)
        logs = logs - top[:, :, None]
        return cls(batch.log_density[part], own, top, logs, np.exp(logs))


def _squared_distances(points: Float[Array, "b s c"], centres: Float[Array, "m c"]) -> Float[Array, "b s m"]:
    total = (points[:, :, 0][:, :, None] - centres[:, 0][None, None, :]) ** 2
    for index in range(1, centres.shape[1]):
        total = total + (points[:, :, index][:, :, None] - centres[:, index][None, None, :]) ** 2
    return total


def _is_own(part: slice, inputs: int) -> np.ndarray:
    return (np.arange(inputs)[part][:, None] == np.arange(inputs)[None, :])[:, None, :]


def _information(law: _At, targets: _Targets, part: slice) -> Float[np.ndarray, "4 b"]:
    """Averages over the draws of the four log ratios of densities of each input of a block."""
    xp = namespace(law.mean, law.variance)
    inputs, size = law.mean.shape
    scale = -0.5 / law.variance
    # The input's own density is left out of the sum: it is added again where it belongs.
    height = xp.where(xp.asarray(_is_own(part, inputs)), -xp.inf, (0.5 * size * xp.log(-2 * scale))[None, None, :])
    logs = _squared_distances(law.draws[part], law.mean) * scale[None, None, :] + height
    top = xp.max(logs, axis=2)
    densities = xp.exp(logs - top[:, :, None])
    others = xp.log(xp.sum(densities, axis=2)) + top
    both = _log_joint(logs - top[:, :, None], densities, targets) + top + xp.asarray(targets.top)
    own = law.log_own[part]
    own_both = own + xp.asarray(targets.log_own)
    out, out_both = others - np.log(inputs - 1), both - np.log(inputs - 1)
    inside, inside_both = xp.logaddexp(others, own) - np.log(inputs), xp.logaddexp(both, own_both) - np.log(inputs)
    log_target = xp.asarray(targets.log_density)
    # The upper entropies leave the own input out; I(Z;Y) = h(Z) + h(Y) - h(Z, Y).
    ratios = (own - inside, own - out, out_both - inside - log_target, inside_both - out - log_target)
    return np.stack([to_numpy(xp.mean(ratio, axis=1)) for ratio in ratios])


def _log_joint(logs: Float[Array, "b s m"], densities: Float[Array, "b s m"], targets: _Targets) -> Float[Array, "b s"]:
    """Log of the sum of products of densities, in logarithms where no input is near in both output and target."""
    xp = namespace(densities)
    total = xp.sum(densities * xp.asarray(targets.densities), axis=2)
    if float(xp.min(total)) > 1e-250:
        return xp.log(total)
    logs = logs + xp.asarray(targets.logs)
    top = xp.max(logs, axis=2)
    return xp.log(xp.sum(xp.exp(logs - top[:, :, None]), axis=2)) + top


def _controlled(values: Float[np.ndarray, "b 4 t q"], controls: Float[np.ndarray, "b q f"]) -> np.ndarray:
    """Take from every value what the controls explain, with slopes fitted on the other batches; (4, T, all queries).

    As many controls as there are queries to fit them on: with fewer, slopes add more scatter than they remove.
    """
    controls = controls[:, :, : (len(controls) - 1) * controls.shape[1] // _QUERIES_OF_A_SLOPE]
    centred = values - np.mean(values, axis=3, keepdims=True)
    moments = np.einsum("bqf,bqg->bfg", controls, controls)
    products = np.einsum("bktq,bqf->bktf", centred, controls)
    adjusted = []
    for batch, (value, control) in enumerate(zip(values, controls, strict=True)):
        moment, product = np.sum(moments, axis=0) - moments[batch], np.sum(products, axis=0) - products[batch]
        slopes = product @ np.linalg.pinv(moment, hermitian=True)
        adjusted.append(value - slopes @ control.T)
    return np.concatenate(adjusted, axis=2)


def _summary(times: Float[np.ndarray, " t"], values: Float[np.ndarray, "4 t n"]) -> PopulationInformation:
    count, queries = values.shape[1:]
    brackets = np.mean(values, axis=2).reshape(2, 2, count)
    middle = 0.5 * (values[0::2] + values[1::2]).reshape(2 * count, queries)
    covariance = np.atleast_2d(np.cov(middle)) / queries
    for row, half in enumerate(0.5 * np.abs(brackets[:, 1] - brackets[:, 0])):
        shared = np.zeros((2, count))
        shared[row] = half
        covariance = covariance + np.outer(shared, shared)
    errors = np.sqrt(np.diagonal(covariance)).reshape(2, count)
    method = "fresh inputs, middle of the leave-in and leave-one-out averages"
    given, target = (
        Estimate(np.mean(bracket, axis=0), error, "Monte Carlo", method)
        for bracket, error in zip(brackets, errors, strict=True)
    )
    shaped = covariance.reshape(2, count, 2, count)
    return PopulationInformation(times, given, target, brackets[0], brackets[1], shaped, queries)
