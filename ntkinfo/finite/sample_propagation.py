"""I(X;T) and I(T;Y) of a layer with Gaussian noise, from activations propagated through the noisy layers before it.

T = S + βZ with S the layer's activations before its own noise. Given S the law of T is known, so the densities of T and
of T given x are averages of Gaussians around propagated activations; nothing but those averages has to be estimated.

With u = p(t|x) and R the sum of p(t|x') over the other inputs, I(X;T) = E log n u / (u + R). This is convex in the law
of T given x, so that an average for u that contains the very activation that T was drawn at gives too much on average;
at a given t it is concave in u, so that an average from other passes gives too little. And it is convex in R, so that
few passes of the other inputs give too much, by an amount that leaving one of them out measures. All of it is computed
from the same draws, and every information comes with a bracket.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array, to_numpy
from ntkinfo.core.records import Estimate
from ntkinfo.core.threads import map_threads
from ntkinfo.information.output import information_output

_NUMBERS_AT_ONCE = 1 << 19  # of a block of exponents: 4 MB
_FLOOR = -700.0  # exponents are raised to this: exp is slow where it underflows
_EXPANDED = 1e10  # squared size over variance up to which expanded squares keep exponents to 1e-5


@dataclass(frozen=True)
class LayerInformation:
    """Informations of one noisy layer in nats, for X equally likely among the n given inputs.

    Args:
        information_input: I(X;T), middle of its bracket. The standard error combines the sampling error of the draws
            and of the passes of the other inputs with half the width of the bracket, the bias of finitely many passes.
        input_bracket: averages, (2,), whose expectations hold I(X;T) between them: the upper one whatever the number of
            passes, the lower one but for what doubling the effect of few passes of the other inputs does not cover.
        published: the sample-propagation estimator as published, ĥ(T) less the mean of ĥ(T|x), both of mixtures that
            contain the draws' own centres; it is the upper end of the bracket, and biased upward by the finite number
            of passes. Its standard error is that of the draws alone.
        information_target: I(T;Y) likewise, or None without labels.
        target_bracket: of I(T;Y), (2,), to first order in one over the number of passes; or None.
        ceiling: log n.
        a_priori_error: bound on the standard deviation of `published` over the draws, whatever the activations.
        draws: antithetic pairs of draws that the averages are over; 0 where no draws were needed.
    """

    information_input: Estimate
    input_bracket: Float[np.ndarray, " 2"]
    published: Estimate
    information_target: Estimate | None
    target_bracket: Float[np.ndarray, " 2"] | None
    ceiling: float
    a_priori_error: float
    draws: int


@dataclass(frozen=True)
class MonteCarloBound:
    """Bounds on the root mean square error of an average over draws, in nats.

    Args:
        any_support: sqrt(d / draws), for activations wherever they are.
        bounded: sqrt(2d (2 + β²) / (β² draws)), the published one for activations in [−1, 1]; never the smaller one.
    """

    any_support: float
    bounded: float


def monte_carlo_bound(units: int, noise_std: float, draws: int) -> MonteCarloBound:
    """Bounds, known before any draw, on the error of ĥ(T) or of Î(X;T) by Monte Carlo for given centres.

    Args:
        units: d, of the layer.
        noise_std: β.
        draws: independent draws in all, the same number from every centre.

    Raises:
        ValueError: numbers out of range.

    The gradient of log p(s + βz) in z has mean square d or less, since the posterior mean of S given T is no worse than
    T itself; the Poincaré inequality of the Gaussian law then bounds the variance by d. For Î with the same draws in
    both entropies the gradient is the difference of two posterior means, which is smaller still.
    Source: methods E; Goldfeld et al. 2019 for `bounded`.
    """
    checks.whole("units", units)
    checks.positive("noise_std", noise_std)
    checks.whole("draws", draws)
    plain = units / draws
    return MonteCarloBound(float(np.sqrt(plain)), float(np.sqrt(plain * 2 * (2 + noise_std**2) / noise_std**2)))


@checked
def first_layer_information(
    activations: Float[Array, "n d"], noise_std: float, labels: Int[Array, " n"] | None = None, *, seed: int = 0
) -> LayerInformation:
    """Informations of a layer whose activations S are a function of x, so that T given x is exactly Gaussian, in nats.

    Args:
        activations: S at each input, (n, d).
        noise_std: β, above zero.
        labels: class of each input, (n,), any integers; or None.
        seed: of the Monte Carlo draws, which one unit, and mostly two, do without.

    Returns:
        The informations; bracket and published value are the value itself, as nothing depends on passes.

    Raises:
        ValueError: shapes that do not fit, NaN or infinity, a noise that is not above zero.

    Source: methods E; Goldfeld et al. 2019.
    """
    host = to_numpy(activations).astype(np.float64)
    checks.positive("noise_std", noise_std)
    given, target = information_output(host, np.full(len(host), noise_std**2), labels, seed=seed)
    value, sampled = given.value, given.value.meaning == "Monte Carlo"
    pairs = max(2, -(-3072 // len(host))) * len(host) if sampled else 0
    bound = monte_carlo_bound(host.shape[1], noise_std, pairs).any_support if sampled else 0.0
    both = np.full(2, float(value.value))
    if target is None:
        return LayerInformation(value, both, value, None, None, given.ceiling, bound, pairs)
    about = np.full(2, float(target.value.value))
    return LayerInformation(value, both, value, target.value, about, given.ceiling, bound, pairs)


@checked
@dataclass(frozen=True)
class PropagationSettings:
    """How a layer's information is estimated from passes.

    Args:
        passes: of each input, that the density of T given x is the average of.
        shared_passes: of each other input, for the density of T; at most `passes`. Inputs times these should be some
            thousand: with few inputs take all passes.
        draws: of each input that is drawn at, each with a pass of its own and a pair of opposite noises.
        inputs_drawn: how many of the inputs are drawn at, by chance; None for all of them.
        seed: of the choice and of the noises.

    Raises:
        TypeError, ValueError: a number out of range.
    """

    passes: int = 64
    shared_passes: int = 4
    draws: int = 1
    inputs_drawn: int | None = None
    seed: int = 0

    def __post_init__(self):
        checks.whole("passes", self.passes, least=2)
        checks.whole("shared_passes", self.shared_passes, least=2)
        checks.whole("draws", self.draws)
        checks.whole("seed", self.seed, least=0)
        if self.shared_passes > self.passes:
            raise ValueError(f"shared_passes is {self.shared_passes}; there are {self.passes} passes to take them from")
        if self.inputs_drawn is not None:
            checks.whole("inputs_drawn", self.inputs_drawn, least=2)

    def drawn(self, inputs: int) -> int:
        """At how many of these inputs draws are made."""
        return inputs if self.inputs_drawn is None else min(self.inputs_drawn, inputs)


@checked
def sample_propagation(
    centres: Float[Array, "n p d"],
    fresh: Float[Array, "n q d"],
    noise_std: float,
    labels: Int[Array, " n"] | None = None,
    settings: PropagationSettings | None = None,
) -> LayerInformation:
    """Informations of a layer behind noisy layers, in nats.

    Args:
        centres: the layer's activations before its noise in `settings.passes` independent passes of each input through
            the noisy layers before it, (n, p, d).
        fresh: the same from `settings.draws` further passes, which T is drawn at, (n, q, d).
        noise_std: β of this layer, above zero.
        labels: class of each input, (n,), any integers; or None.
        settings: numbers of passes and draws; the default fits the arrays only if they have its sizes.

    Returns:
        The informations. Where all inputs are drawn at, twice or more each, standard errors come from the scatter
        within inputs; else from the scatter between inputs, which is more than it need be.

    Raises:
        ValueError: shapes that do not fit the settings, NaN or infinity, labels of other length, no noise.

    Fails when T given x spreads over many dimensions, each wider than β: the bracket is then wide, as the number of
    passes that would fill it grows exponentially with the dimension. The standard error says so.
    Source: methods E; Goldfeld et al. 2019, "Estimating information flow in deep neural networks"; the multi-sample
    bounds of Poole et al. 2019 for the bracket.
    """
    settings = settings or PropagationSettings()
    problem = _checked(centres, fresh, noise_std, labels, settings)
    chosen = problem.chosen(settings)
    about_x, about_y, owner = (np.concatenate(part) for part in zip(*problem.draws(chosen, settings), strict=True))
    within = settings.draws > 1 and len(chosen) == len(problem.centres)
    units, pairs, ceiling = problem.centres.shape[2], len(owner), float(np.log(len(problem.centres)))
    bound = monte_carlo_bound(units, noise_std, pairs).any_support
    few, less, more, apart = _summary(about_x)
    given = _between(_average(about_x[:, -2:].mean(axis=1) - few, owner, within), apart, (less - 2 * few, more))
    published, target = _average(about_x[:, -1], owner, within), (None, None)
    if labels is not None:
        few, less, more, apart = _summary(about_y)
        bracket = min(less, more) - 2 * abs(few), max(less, more) + 2 * abs(few)
        target = _between(_average(about_y[:, -2:].mean(axis=1) - few, owner, within), apart, bracket)
    return LayerInformation(*given, published, *target, ceiling, bound, pairs)


def _summary(values: Float[np.ndarray, "k r2"]) -> tuple[float, float, float, float]:
    """What few passes of the other inputs add, averages without and with the draws' own centres, and the scatter.

    Both the first and the last by the jackknife over those passes.
    """
    *left_out, less, more = (float(number) for number in np.mean(values, axis=0))
    count, mean = len(left_out), float(np.mean(left_out))
    scatter = np.sqrt((count - 1) / count * np.sum((np.array(left_out) - mean) ** 2))
    return (count - 1) * (mean - more), less, more, float(scatter)


def _between(middle: Estimate, apart: float, bracket: tuple[float, float]) -> tuple[Estimate, Float[np.ndarray, " 2"]]:
    """The middle of a bracket, with half its width and the scatter of the passes in the standard error."""
    error = float(np.sqrt(float(middle.standard_error) ** 2 + apart**2 + 0.25 * (bracket[1] - bracket[0]) ** 2))
    value = Estimate(middle.value, error, "Monte Carlo", "sample propagation, middle of the bracket")
    return value, np.array(bracket)


def _average(values: Float[np.ndarray, " k"], owner: Int[np.ndarray, " k"], within: bool) -> Estimate:
    """Mean with the standard error of the scatter within inputs, or else of that between inputs."""
    count = np.bincount(owner)
    drawn = count > 0
    mean = np.bincount(owner, weights=values)[drawn] / count[drawn]
    if within:
        squares = np.bincount(owner, weights=(values - mean[owner]) ** 2) / (count - 1)
        error = np.sqrt(np.sum(squares / count)) / len(count)
    else:
        error = np.std(mean, ddof=1) / np.sqrt(len(mean))
    return Estimate(float(np.mean(values)), float(error), "Monte Carlo", "sample propagation")


@dataclass(frozen=True)
class _Problem:
    """Centres and fresh passes in units of β, about their common mean; classes from 0."""

    centres: Float[np.ndarray, "n p d"]
    fresh: Float[np.ndarray, "n q d"]
    classes: Int[np.ndarray, " n"]

    def chosen(self, settings: PropagationSettings) -> Int[np.ndarray, " k"]:
        count = settings.drawn(len(self.centres))
        if count == len(self.centres):
            return np.arange(count)
        random = np.random.default_rng(np.random.SeedSequence(settings.seed).spawn(2)[0])
        return np.sort(random.choice(len(self.centres), count, replace=False))

    def draws(self, chosen: np.ndarray, settings: PropagationSettings) -> Iterator[tuple[np.ndarray, ...]]:
        """For each draw its contributions to I(X;T) and I(T;Y), (k, r + 2) each, and its input, in blocks.

        They are: with its own centre and all shared passes but one, for each of those; without its own centre; with it.
        """
        random = np.random.default_rng(np.random.SeedSequence(settings.seed).spawn(2)[1])
        noise = random.standard_normal((len(chosen), self.fresh.shape[1], self.fresh.shape[2]))
        shared = self.centres[:, : settings.shared_passes]
        rows = max(1, _NUMBERS_AT_ONCE // (shared.shape[0] * shared.shape[1] * 2 * self.fresh.shape[1]))
        jobs = []
        for kind in np.unique(self.classes[chosen]):
            places = np.flatnonzero(self.classes[chosen] == kind)
            same = self.classes == kind
            parts = _Centres.of(shared[same]), _Centres.of(shared[~same])
            position = np.cumsum(same) - 1
            jobs += [(places[s : s + rows], parts, position) for s in range(0, len(places), rows)]

        def run(job) -> tuple[np.ndarray, ...]:
            places, parts, position = job
            return self._block(chosen[places], noise[places], parts, position)

        return iter(map_threads(run, jobs))

    def _block(
        self, inputs: np.ndarray, noise: np.ndarray, parts: tuple[_Centres, _Centres], position: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        k, q, units = noise.shape
        both = np.stack([self.fresh[inputs] + noise, self.fresh[inputs] - noise], axis=2).reshape(k, 2 * q, units)
        less, more = (given.reshape(-1, 1) for given in self._conditional(both, noise, inputs))
        draws, owner = both.reshape(-1, units), np.repeat(inputs, 2 * q)
        near, far = _left_out(parts[0].log_sums(draws, position[owner])), _left_out(parts[1].log_sums(draws, None))
        # Own centre or not, then the sums over the other inputs that belong to it.
        own = np.concatenate([np.repeat(more, near.shape[1] - 1, axis=1), less, more], axis=1)
        near, far = (np.concatenate([given, given[:, -1:]], axis=1) for given in (near, far))
        label = np.logaddexp(own, near)
        total = np.logaddexp(label, far) - np.log(len(self.centres))
        about_y = label - np.log(parts[0].inputs) - total
        # Opposite noises are averaged: one row for each pair.
        return *(about.reshape(k * q, 2, -1).mean(axis=1) for about in (own - total, about_y)), owner[::2]

    def _conditional(
        self, both: Float[np.ndarray, "k r d"], noise: Float[np.ndarray, "k q d"], inputs: np.ndarray
    ) -> tuple[Float[np.ndarray, "k r"], Float[np.ndarray, "k r"]]:
        """Log of the average over all passes of the input, and with the draw's own centre in place of the first."""
        centres = self.centres[inputs]
        cross = np.matmul(both, np.swapaxes(centres, 1, 2))
        squares = np.sum(both * both, axis=2)[:, :, None] + np.sum(centres * centres, axis=2)[:, None, :]
        exponents = cross - 0.5 * squares
        first = exponents[:, :, 0]
        own = np.repeat(-0.5 * np.sum(noise * noise, axis=2), 2, axis=1)
        rest, passes = _log_sum(exponents[:, :, 1:].copy()), np.log(self.centres.shape[1])
        return np.logaddexp(rest, first) - passes, np.logaddexp(rest, own) - passes


@dataclass(frozen=True)
class _Centres:
    """Shared passes of some of the inputs, with half their squares."""

    points: Float[np.ndarray, "r m d"]
    half_squares: Float[np.ndarray, "r m"]

    @classmethod
    def of(cls, centres: Float[np.ndarray, "m r d"]) -> _Centres:
        points = np.ascontiguousarray(np.swapaxes(centres, 0, 1))
        return cls(points, 0.5 * np.sum(points * points, axis=2))

    @property
    def inputs(self) -> int:
        return self.points.shape[1]

    def log_sums(self, draws: Float[np.ndarray, "k d"], left_out: Int[np.ndarray, " k"] | None) -> np.ndarray:
        """Log of the sum over inputs of exp(−½ |draw − centre|²), (k, r), without one input for each draw."""
        if self.inputs == 0:
            return np.full((len(draws), len(self.points)), -np.inf)
        exponents = np.matmul(draws, self.points.reshape(-1, draws.shape[1]).T)
        exponents -= self.half_squares.reshape(1, -1)
        exponents -= 0.5 * np.sum(draws * draws, axis=1)[:, None]
        by_pass = exponents.reshape(len(draws), *self.half_squares.shape)
        if left_out is not None:
            by_pass[np.arange(len(draws)), :, left_out] = -np.inf
        return _log_sum(by_pass)


def _left_out(logs: Float[np.ndarray, "k r"]) -> Float[np.ndarray, "k r1"]:
    """Log of the average over all columns but each one, then over all; nothing is subtracted."""
    count = logs.shape[1]
    nothing = np.full((len(logs), 1), -np.inf)
    before = np.concatenate([nothing, np.logaddexp.accumulate(logs, axis=1)], axis=1)
    after = np.concatenate([np.logaddexp.accumulate(logs[:, ::-1], axis=1)[:, ::-1], nothing], axis=1)
    others = np.logaddexp(before[:, :-1], after[:, 1:]) - np.log(count - 1)
    return np.concatenate([others, before[:, -1:] - np.log(count)], axis=1)


def _log_sum(exponents: Float[np.ndarray, "*places M"]) -> Float[np.ndarray, "*places"]:
    """Log of the sum of exponentials along the last axis; destroys the exponents."""
    top = np.max(exponents, axis=-1, initial=-np.inf)
    finite = np.where(np.isfinite(top), top, 0.0)
    exponents -= finite[..., None]
    np.maximum(exponents, _FLOOR, out=exponents)
    total = np.sum(np.exp(exponents, out=exponents), axis=-1)
    return np.where(np.isfinite(top), np.log(np.where(total > 0, total, 1.0)) + finite, -np.inf)


def _checked(centres: Array, fresh: Array, noise_std: float, labels: Array | None, settings: PropagationSettings):
    checks.positive("noise_std", noise_std)
    host, other = (to_numpy(array).astype(np.float64) for array in (centres, fresh))
    checks.shape("centres", host, (None, settings.passes, None), "inputs, passes of the settings, units")
    n, _, units = host.shape
    checks.shape("fresh", other, (n, settings.draws, units), "inputs, draws of the settings, units")
    if n < 2 or units == 0:
        raise ValueError(f"centres has shape {host.shape}; an information needs two inputs and one unit at least")
    for name, array in (("centres", host), ("fresh", other)):
        checks.finite(name, array)
    classes = np.zeros(n, dtype=np.int64)
    if labels is not None:
        checks.shape("labels", labels, (n,), "one class for each input")
        classes = np.unique(to_numpy(labels), return_inverse=True)[1].reshape(-1)
    middle = host.mean(axis=(0, 1))
    host, other = (host - middle) / noise_std, (other - middle) / noise_std
    largest = max(float(np.max(np.sum(array * array, axis=2))) for array in (host, other))
    if largest > _EXPANDED:
        raise ValueError(
            f"activations reach {largest**0.5:.3g} times noise_std from their mean, at most {_EXPANDED**0.5:.3g} keep "
            "their distances to enough digits; the layer then tells all inputs apart that differ: take a larger noise"
        )
    return _Problem(host, other, classes)
