"""What each eigen-direction of the tangent kernel adds to a quantity, at any times.

In the eigenbasis of the tangent kernel on the training inputs, with λ its eigenvalues, g the procedure's filter,
h = λ g and r = 1 − h, a quantity that is a sum over directions is split as it stands. A quadratic form
Σ_jk x_j M_jk x_k with an M that is not diagonal is split by rows, x_j Σ_k M_jk x_k: every cross term 2 x_j M_jk x_k is
halved between its two directions. The rows add up to the form exactly; one row may be below 0 though the form never is.
A row is the Shapley value of its direction: what training it adds, averaged over all orders of training directions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ntkinfo.core.arrays import Array, log_size, namespace
from ntkinfo.core.linear_algebra import cholesky, inverse_definite
from ntkinfo.information.parameters import direction_entropy, log_by_change, lost_volume, noisy_direction_entropy
from ntkinfo.information.path import to_learn
from ntkinfo.information.spectral_problem import CHAIN, MARGINAL, OWN, ROWS, Problem, Split, rows


def _fisher_trace(problem: Problem) -> Split:
    law, xp = problem.law, namespace(problem.law.eigenvalues)
    return Split(lambda times: law.n_outputs * xp.ones_like(times)[:, None] * law.eigenvalues[None, :], OWN)


def _speed_squared(problem: Problem) -> Split:
    law, unit = problem.law, problem.law.time_unit
    weights = law.eigenvalues * to_learn(law) * unit**2
    return Split(lambda times: law.summed.rate(law.eigenvalues, times) ** 2 * weights[None, :], OWN)


def _path_energy(problem: Problem) -> Split:
    law, unit = problem.law, problem.law.time_unit
    weights = law.eigenvalues * to_learn(law) * unit
    return Split(lambda times: law.summed.energy(law.eigenvalues, times) * weights[None, :], OWN)


def _parameter_distance_squared(problem: Problem) -> Split:
    weights = problem.law.eigenvalues * to_learn(problem.law)
    return Split(lambda times: problem.filter(times) ** 2 * weights[None, :], OWN)


def _linear_model(problem: Problem) -> Split:
    law, values = problem.law, problem.law.eigenvalues
    weights = 0.5 * values * problem.target_squared
    noisy = law.summed.target_noise_variance > 0

    def terms(times: Array) -> Array:
        spread = noisy_direction_entropy(law, times) if noisy else direction_entropy(law.summed, values, times)
        return problem.filter(times) ** 2 * weights[None, :] + law.n_outputs * spread

    return Split(terms, OWN)


def _function_space(problem: Problem) -> Split:
    law, moving = problem.law, problem.law.moving
    values, prior = law.eigenvalues[moving], law.prior_variance[moving]
    if law.summed.is_noisy:
        return _function_space_with_noise(problem)
    if law.prior.ndim == 1:
        diagonal = (law.n_outputs + problem.target_squared[moving] / prior)[None, :]
        quadratic, meaning = lambda h: h**2 * diagonal, OWN
    else:
        start = law.prior[moving, moving]
        learn = law.targets[moving] @ law.targets[moving].T + law.n_outputs * start
        form = inverse_definite(start, "the prior covariance of the training inputs") * learn
        quadratic, meaning = lambda h: rows(h, form), ROWS

    def terms(times: Array) -> Array:
        h = problem.learnt(times)[:, moving]
        rest = law.n_outputs * lost_volume(law.summed, values, times)
        return problem.widen(0.5 * quadratic(h) + rest)

    return Split(terms, meaning)


def _function_space_with_noise(problem: Problem) -> Split:
    """½ C (s − 1 − log s) + ½ h²|ŷ|²/B with s the variance over its start; only where B is diagonal."""
    law, moving = problem.law, problem.law.moving
    prior = law.prior_variance[moving]

    def terms(times: Array) -> Array:
        h, noise = problem.learnt(times)[:, moving], problem.noise(times)[:, moving] / prior[None, :]
        change = h**2 - 2 * h + noise
        log = log_by_change(change, law.summed.residual(law.eigenvalues[moving], times) ** 2 + noise)
        moved = h**2 * (problem.target_squared[moving] / prior)[None, :]
        return problem.widen(0.5 * (law.n_outputs * (change - log) + moved))

    return Split(terms, OWN)


def _train_bias(problem: Problem, factor: float = 1.0) -> Split:
    law = problem.law
    weights = factor * problem.target_squared / len(law.eigenvalues)
    return Split(lambda times: law.summed.residual(law.eigenvalues, times) ** 2 * weights[None, :], OWN)


def _train_variance(problem: Problem, factor: float = 1.0) -> Split:
    law = problem.law
    scale = factor * law.n_outputs / len(law.eigenvalues)
    return Split(lambda times: scale * problem.spread(times), OWN)


def _test_bias(problem: Problem, factor: float = 1.0) -> Split:
    """Mean over the test inputs of |mean − y|²: |y|², the covariance with y, and the mean's own square."""
    law, count = problem.law, problem.tangent.shape[1]
    targets = namespace(law.targets).asarray(law.data.y_test)
    form = factor * problem.gram * (law.targets @ law.targets.T)
    along = factor * 2 * (law.targets * (problem.tangent @ targets)).sum(axis=1) / count
    start = factor * float((targets**2).sum()) / count

    def terms(times: Array) -> Array:
        g = problem.filter(times)
        return rows(g, form) - g * along[None, :]

    return Split(terms, ROWS, lambda times: start + 0 * problem.filter(times)[:, 0])


def _test_variance(problem: Problem, factor: float = 1.0) -> Split:
    """Mean over the test inputs of C v: the prior, less what training explains, plus what noise adds."""
    law, count = problem.law, problem.tangent.shape[1]
    xp, scale = namespace(law.eigenvalues), factor * law.n_outputs
    diagonal = xp.diagonal(problem.gram)
    null = law.spectrum.null
    share = xp.where(null, 0.0, diagonal / xp.where(null, 1.0, law.eigenvalues))
    start = float(getattr(law.blocks.test, f"{law.procedure.prior}_diagonal").mean())
    prior_cross = law.spectrum.eigenvectors.T @ getattr(law.blocks.test, law.procedure.prior).T
    along = 2 * (problem.tangent * prior_cross).sum(axis=1) / count
    form = problem.gram * law.prior if law.prior.ndim == 2 else None

    def terms(times: Array) -> Array:
        g = problem.filter(times)
        squared = g**2 * (diagonal * law.prior)[None, :] if form is None else rows(g, form)
        total = squared - g * along[None, :] + law.summed.target_noise_variance * g**2 * diagonal[None, :]
        if law.summed.temperature > 0:
            injected = law.summed.injected_variance(law.eigenvalues, times)
            total = total + law.summed.temperature * xp.where(null[None, :], 0.0, injected) * share[None, :]
        return scale * total

    def offset(times: Array) -> Array:
        outside = 0.0
        if law.summed.temperature > 0:
            across = law.summed.injected_variance(0 * law.eigenvalues[:1], times)[:, 0]
            outside = law.summed.temperature * across * _outside(problem)
        return scale * (start + outside + 0 * problem.filter(times)[:, 0])

    return Split(terms, OWN if form is None else ROWS, offset)


def _outside(problem: Problem) -> float:
    """Mean over the test inputs of the tangent kernel that the training inputs do not span."""
    law = problem.law
    xp, null = namespace(law.eigenvalues), law.spectrum.null[:, None]
    share = xp.where(null, 0.0, problem.tangent**2 / xp.where(null, 1.0, law.eigenvalues[:, None]))
    left = getattr(law.blocks.test, f"{law.procedure.tangent}_diagonal") - xp.sum(share, axis=0)
    return float(xp.mean(xp.where(left > law.spectrum.tolerance, left, 0.0)))


def _halves(bias: Callable[..., Split], variance: Callable[..., Split]) -> Callable[[Problem], Split]:
    """Half the sum of squared bias and variance: the expected loss of a member."""

    def build(problem: Problem) -> Split:
        one, two = bias(problem, 0.5), variance(problem, 0.5)
        meaning = ROWS if ROWS in (one.meaning, two.meaning) else OWN
        offset = None if one.offset is None or two.offset is None else _sum(one.offset, two.offset)
        return Split(_sum(one.terms, two.terms), meaning, offset)

    return build


def _sum(first: Callable[[Array], Array], second: Callable[[Array], Array]) -> Callable[[Array], Array]:
    return lambda times: first(times) + second(times)


def _learnt_directions(problem: Problem) -> Split:
    return Split(problem.learnt, OWN)


def _log_gain(problem: Problem, times: Array) -> Array:
    """Log h²/r², −∞ where h = 0; right also where r² is too small for a floating-point number."""
    law, h = problem.law, problem.learnt(times)
    xp = namespace(h)
    log_r = law.summed.log_residual(law.eigenvalues, times)
    return 2 * xp.where(h != 0, log_size(h) - xp.where(h != 0, log_r, 0.0), -xp.inf)


def _information_labels(problem: Problem) -> Split:
    """½ C log(1 + h² Ŝ_jj / v_j)."""
    law, labels = problem.law, problem.label_covariance
    xp = namespace(law.eigenvalues)
    variance = labels if labels.ndim == 1 else xp.diagonal(labels)
    # Along a direction in which the initial function does not vary there is nothing to divide by: h is then 0.
    prior = xp.where(problem.moving_prior > 0, problem.moving_prior, 1.0)

    def terms(times: Array) -> Array:
        if law.summed.is_noisy:
            signal, spread = problem.learnt(times) ** 2 * variance[None, :], problem.spread(times)
            safe = xp.where(spread > 0, spread, 1.0)
            ratio = xp.where(spread > 0, signal / safe, xp.where(signal > 0, xp.inf, 0.0))
            return 0.5 * law.n_outputs * xp.log1p(ratio)
        positive = variance > 0
        log_labels = xp.where(positive, xp.log(xp.where(positive, variance, 1.0) / prior), -xp.inf)
        log_ratio = xp.where(positive[None, :], _log_gain(problem, times), 0.0) + log_labels[None, :]
        return 0.5 * law.n_outputs * xp.logaddexp(0.0, log_ratio)

    diagonal = labels.ndim == 1 and law.prior.ndim == 1
    return Split(terms, OWN if diagonal else MARGINAL)


def _information_labels_joint(problem: Problem) -> Split:
    """Chain rule from the largest eigenvalue down, by the diagonals of two Cholesky factors a time."""
    law, moving = problem.law, problem.law.moving
    xp = namespace(law.eigenvalues)
    dense = [a if a.ndim == 2 else xp.diag(a) for a in (law.prior, problem.label_covariance)]
    prior, labels = (a[moving, moving][::-1, ::-1] for a in dense)

    def log_diagonal(matrix: Array, name: str) -> Array:
        return xp.log(xp.diagonal(cholesky(matrix, name)))

    start = log_diagonal(prior, "the prior covariance of the training inputs")

    def at(time: Array) -> Array:
        if law.summed.is_noisy:
            residual = law.summed.residual(law.eigenvalues, time)[0, moving][::-1]
            h, noise = problem.learnt(time)[0, moving][::-1], problem.noise(time)[0, moving][::-1]
            given = residual[:, None] * prior * residual[None, :] + xp.diag(noise)
            whole = given + h[:, None] * labels * h[None, :]
            name = "the covariance of the training outputs"
            return (log_diagonal(whole, name) - log_diagonal(given, name))[::-1]
        # In units of r, and of h where that is larger: nothing overflows however little is left to learn.
        log_gain = 0.5 * _log_gain(problem, time)[0, moving][::-1]
        if bool(xp.any(xp.isinf(log_gain) & (log_gain > 0))):
            return xp.where(log_gain > -xp.inf, xp.inf, 0.0)[::-1]
        scale = xp.maximum(log_gain, 0.0)
        residual = law.summed.residual(law.eigenvalues, time)[0, moving][::-1]
        h = problem.learnt(time)[0, moving][::-1]
        sign = xp.where(residual < 0, -1.0, 1.0) * xp.where(h < 0, -1.0, 1.0)
        own, gained = xp.exp(-scale), sign * xp.exp(log_gain - scale)
        whole = own[:, None] * prior * own[None, :] + gained[:, None] * labels * gained[None, :]
        return (log_diagonal(whole, "the covariance of the training outputs") + scale - start)[::-1]

    def terms(times: Array) -> Array:
        found = xp.stack([at(times[k : k + 1]) for k in range(len(times))])
        return problem.widen(law.n_outputs * found)

    return Split(terms, CHAIN)


@dataclass(frozen=True)
class SpectralQuantity:
    """A quantity that has a split over the eigen-directions.

    Args:
        long_name: what it is.
        units: "nat", or as in the curves.
        build: makes its split.
        by_default: whether it is computed when no names are given; dear ones are not.
    """

    long_name: str
    units: str
    build: Callable[[Problem], Split]
    by_default: bool = True


SPECTRAL_QUANTITIES: Mapping[str, SpectralQuantity] = {
    "fisher_trace": SpectralQuantity("trace of the Fisher information", "1", _fisher_trace),
    "speed_squared": SpectralQuantity("squared speed of the parameters", "1/time²", _speed_squared),
    "path_energy": SpectralQuantity("energy of the parameters' path", "1/time", _path_energy),
    "parameter_distance_squared": SpectralQuantity(
        "squared distance of the parameters from the start", "1", _parameter_distance_squared
    ),
    "learnt_directions": SpectralQuantity("effective number of learnt directions", "1", _learnt_directions),
    "information_parameters": SpectralQuantity(
        "relative entropy to the start, function space on the training inputs", "nat", _function_space
    ),
    "information_parameters_linear": SpectralQuantity(
        "relative entropy to the start, linear model", "nat", _linear_model
    ),
    "information_labels": SpectralQuantity(
        "information of the training outputs about the labels, each direction alone", "nat", _information_labels
    ),
    "information_labels_joint": SpectralQuantity(
        "information of the training outputs about the labels, jointly", "nat", _information_labels_joint, False
    ),
    "train_loss_mean": SpectralQuantity(
        "loss of the ensemble mean, train", "target²", lambda problem: _train_bias(problem, 0.5)
    ),
    "train_bias_squared": SpectralQuantity("squared bias, train", "target²", _train_bias),
    "train_variance": SpectralQuantity("variance of a member's outputs, train", "target²", _train_variance),
    "train_loss_gibbs": SpectralQuantity(
        "expected loss of a member (Gibbs), train", "target²", _halves(_train_bias, _train_variance)
    ),
    "test_loss_mean": SpectralQuantity(
        "loss of the ensemble mean, test", "target²", lambda problem: _test_bias(problem, 0.5)
    ),
    "test_bias_squared": SpectralQuantity("squared bias, test", "target²", _test_bias),
    "test_variance": SpectralQuantity("variance of a member's outputs, test", "target²", _test_variance),
    "test_loss_gibbs": SpectralQuantity(
        "expected loss of a member (Gibbs), test", "target²", _halves(_test_bias, _test_variance)
    ),
}
"""Name of each quantity with a split over eigen-directions; names shared with the curves mean the same numbers."""
