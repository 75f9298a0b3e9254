"""Population I(Z;X) and I(Z;Y) for one-dimensional X without sampling: quadrature over the input and the target."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import to_numpy
from ntkinfo.core.records import Estimate
from ntkinfo.data.synthetic import GaussianPair
from ntkinfo.information.mixture_quadrature import entropy_quadrature
from ntkinfo.information.population import Law

_REACH = 8.5  # standard deviations of the input that the grid covers: what lies beyond has probability 2e-17
_TOLERANCE = 1e-10


@checked
def population_quadrature(
    law: Callable[[np.ndarray], Law], pair: GaussianPair, *, nodes: int = 401, target_nodes: int = 32
) -> tuple[Estimate, Estimate]:
    """I(Z;X) and I(Z;Y) of one output at a fresh input, for X and Y of one dimension each, by deterministic quadrature.

    The density of Z is a mixture over an even grid of inputs with Gaussian weights, its entropy that of
    `entropy_quadrature`; I(Z;Y) is h(Z) less the Gauss-Hermite average of h(Z|y), for which the same components have
    the weights p(x|y).

    Args:
        law: the output's law at given inputs (p, 1), with one output; for an ensemble, the method `at` of its
            `OutputDistribution`.
        pair: the law of input and target, of dimensions (1, 1).
        nodes: points of the grid of inputs, odd, at least 9.
        target_nodes: Gauss-Hermite nodes of the target, even, at least 4.

    Returns:
        I(Z;X) and I(Z;Y), values (T,) in nats, with an error (T,): the change from half as many nodes of each kind,
        what the density lacks where it is in pieces, and the error that the entropies state.

    Raises:
        ValueError: other dimensions, an even number of nodes or too few, an output without variance at a node (I(Z;X)
            is then infinite, or the variance too small for float64).

    Fails when the output's standard deviation is much below what its mean changes by from node to node: the mixture
    then falls into pieces. The error says so: pieces lack the logarithm of their distance in units of their width.
    Source: theory §3; trapezoidal quadrature of analytic functions converges geometrically, with kinks (relu) as the
    square of the spacing.
    """
    if pair.dims != (1, 1):
        raise ValueError(f"the pair has dimensions {pair.dims}; quadrature over inputs is for one input and one target")
    checks.whole("nodes", nodes, least=9)
    checks.whole("target_nodes", target_nodes, least=4)
    if nodes % 2 == 0 or target_nodes % 2:
        raise ValueError(f"nodes is {nodes} and target_nodes {target_nodes}; the first must be odd, the second even")
    grid = np.linspace(-_REACH, _REACH, nodes)
    answer = law(grid[:, None])
    slope = float(pair.cross_covariance[0, 0])
    rows = [_at(answer, index, grid, slope, target_nodes) for index in range(len(answer.times))]
    values, errors = (np.array([row[k] for row in rows]).T for k in range(2))
    method = f"quadrature over {nodes} inputs and {target_nodes} targets"
    return Estimate(values[0], errors[0], "quadrature", method), Estimate(values[1], errors[1], "quadrature", method)


def _at(
    answer: Law, index: int, grid: Float[np.ndarray, " p"], slope: float, target_nodes: int
) -> tuple[tuple[float, float], tuple[float, float]]:
    """(I(Z;X), I(Z;Y)) at one time and their errors."""
    chosen = slice(index, index + 1)
    mean, variance = to_numpy(answer.mean_at(chosen))[0], to_numpy(answer.variance_at(chosen))[0]
    checks.shape("mean", mean, (len(grid), 1), "one output for each input")
    if not np.all(variance > 0):
        raise ValueError(
            f"the output at time {answer.times[index]} has no variance at some input: I(Z;X) is infinite there, or the "
            "variance too small for float64; end the times earlier, or give the ensemble noise or a ridge"
        )
    mean = mean[:, 0]
    given, target, stated = _informations(grid, mean, variance, slope, target_nodes)
    fewer_inputs = _informations(grid[::2], mean[::2], variance[::2], slope, target_nodes)
    fewer_targets = _informations(grid, mean, variance, slope, target_nodes // 2)
    error = abs(given - fewer_inputs[0]) + stated + _lost_in_pieces(grid, mean, variance)
    # A mixture in pieces gives nearly the same I(Z;Y) at any spacing; that it is in pieces only I(Z;X) shows.
    return (given, target), (error, error + abs(target - fewer_inputs[1]) + abs(target - fewer_targets[1]))


def _informations(
    grid: Float[np.ndarray, " p"],
    mean: Float[np.ndarray, " p"],
    variance: Float[np.ndarray, " p"],
    slope: float,
    target_nodes: int,
) -> tuple[float, float, float]:
    """I(Z;X), I(Z;Y) and the error that the entropies state."""
    weights = _normalised(-0.5 * grid**2)
    whole = entropy_quadrature(mean, variance, weights, _TOLERANCE)
    noise = float(np.sum(weights * 0.5 * np.log(2 * np.pi * np.e * variance)))
    places, shares = np.polynomial.hermite_e.hermegauss(target_nodes)
    conditional, error = 0.0, float(whole.standard_error)
    for place, share in zip(places, shares / np.sum(shares), strict=True):
        given_target = _normalised(-0.5 * (grid - slope * place) ** 2 / (1 - slope**2))
        part = entropy_quadrature(mean, variance, given_target, _TOLERANCE)
        conditional += share * float(part.value)
        error += share * float(part.standard_error)
    rounding = 1e-14 * (1 + abs(float(whole.value)) + abs(noise))
    return float(whole.value) - noise, float(whole.value) - conditional, error + rounding


def _lost_in_pieces(
    grid: Float[np.ndarray, " p"], mean: Float[np.ndarray, " p"], variance: Float[np.ndarray, " p"]
) -> float:
    """Entropy that pieces far apart lack, for which halving the nodes shows log 2 however far apart they are.

    A uniform density in place of pieces at u widths from each other has log u - log(2 pi e)/2 more.
    """
    weights = _normalised(-0.5 * grid**2)
    widths = np.abs(np.diff(mean)) / np.sqrt(np.minimum(variance[1:], variance[:-1]))
    lacking = np.log(np.maximum(widths / np.sqrt(2 * np.pi * np.e), 1.0))
    return float(np.sum(0.5 * (weights[1:] + weights[:-1]) * lacking))


def _normalised(log_weights: Float[np.ndarray, " p"]) -> Float[np.ndarray, " p"]:
    weights = np.exp(log_weights - np.max(log_weights))
    # What weighs less than rounding does not matter to the entropy, but would cost as much as the rest.
    weights = np.where(weights > 1e-18, weights, 0.0)
    return weights / np.sum(weights)
