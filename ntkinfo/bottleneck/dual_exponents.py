"""Error exponents of the bottleneck and of its dual at equal I(T;X).

KL(r ‖ p(y|x)) is the Bregman divergence of natural parameters, so that for the geometric-mean decoders r_t

    Σ_x p(x) KL(r_0 ‖ p(y|x)) = E KL(r_T ‖ p(y|X)) + E KL(r_0 ‖ r_T),

whole = within + between, r_0 the trivial decoder. Within a cluster the term is -log Σ_y Π_x p(y|x)^p(x|t): for two
inputs the Chernoff exponent at λ = p(x|t), the rate at which their confusion dies out with the number of draws of Y.
The other is the exponent (Stein's lemma) at which data from r_0 are told from those of the cluster. The dual bottleneck
minimises the first and maximises the second at its I(T;X); the ordinary one optimises neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize_scalar

from ntkinfo.bottleneck.discrete import BottleneckSolution, solve
from ntkinfo.bottleneck.discrete_search import SolverSettings
from ntkinfo.bottleneck.dual import DualDistortion, DualSolution, dual_curve
from ntkinfo.bottleneck.problems import DiscreteProblem, checked_encoder
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array
from ntkinfo.core.progress import Track, bar


@dataclass(frozen=True)
class Exponents:
    """Exponents of an encoder, in nats a draw of Y; `within` + `between` is the same for every encoder.

    Args:
        within: E_t[-log Σ_y Π_x p(y|x)^p(x|t)], of confusing the inputs of a cluster; the least decoder cost.
        between: E_t KL(r_0 ‖ r_t), of telling the clusters from the trivial decoder.
    """

    within: float
    between: float


@dataclass(frozen=True)
class ExponentComparison:
    """Exponents of ordinary solutions beside the dual's at the same I(T;X), all (b,).

    Args:
        beta: of the ordinary solutions.
        information_input: I(T;X) of the ordinary solutions, in nats.
        within: of the ordinary solutions.
        dual_within: the dual's at the same I(T;X), by mixing two of its solutions (achieved).
        dual_within_lower: no encoder with that I(T;X) is below.
    """

    beta: Float[np.ndarray, " b"]
    information_input: Float[np.ndarray, " b"]
    within: Float[np.ndarray, " b"]
    dual_within: Float[np.ndarray, " b"]
    dual_within_lower: Float[np.ndarray, " b"]


def error_exponents(problem: DiscreteProblem, encoder: Float[Array, "x t"]) -> Exponents:
    """The exponents of any encoder.

    Args:
        problem: the law of X and Y, no p(y|x) equal to 0.
        encoder: p(t|x), (n, T).

    Returns:
        Both exponents.

    Raises:
        ValueError: rows that are no laws, a p(y|x) of 0.
    """
    if np.any(problem.conditional <= 0):
        raise ValueError("conditional holds a probability of 0; the exponents need every p(y|x) above 0")
    rows = checked_encoder(encoder, problem.n_inputs)
    joint = problem.input_law[:, None] * rows
    joint = joint[:, joint.sum(axis=0) > 0]
    distortion = DualDistortion(problem.input_law, np.log(problem.conditional), 1.0)
    points, trivial = distortion.centroids(joint), distortion.centroids(problem.input_law[:, None])
    within = -float(np.sum(joint * distortion.log_kernel(points)))
    between = float(joint.sum(axis=0) @ (np.log(trivial) - np.log(points)) @ trivial[0])
    return Exponents(max(0.0, within), max(0.0, between))


@checked
def compare_exponents(
    problem: DiscreteProblem,
    betas: Sequence[float],
    dual_betas: Sequence[float],
    settings: SolverSettings | None = None,
    progress: Track = bar,
) -> ExponentComparison:
    """Measure the exponents of ordinary solutions against what the dual reaches at their I(T;X).

    Args:
        problem: the law of X and Y, no p(y|x) equal to 0.
        betas: of the ordinary solutions.
        dual_betas: of the dual solutions between which is interpolated; take enough to cover the same I(T;X).
        settings: of every solution.
        progress: how to show where the work is.

    Returns:
        The comparison.

    Raises:
        ValueError: as `solve` and `solve_dual`.
    """
    dual = dual_curve(problem, dual_betas, settings, progress)
    ordinary = [solve(problem, float(beta), settings) for beta in progress(betas, "ordinary solutions", len(betas))]
    return exponents_beside(problem, ordinary, dual)


@checked
def exponents_beside(
    problem: DiscreteProblem, ordinary: Sequence[BottleneckSolution], dual: Sequence[DualSolution]
) -> ExponentComparison:
    """As `compare_exponents`, for solutions that are there already (`DiscreteCurve.solutions`, `dual_curve`).

    Args:
        problem: the law of X and Y, no p(y|x) equal to 0.
        ordinary: solutions of that problem.
        dual: of that problem, at least one; enough to cover the same I(T;X).

    Returns:
        The comparison, in the order of `ordinary`.

    Raises:
        ValueError: no dual solutions, a p(y|x) of 0.
    """
    if not dual:
        raise ValueError("dual is empty; give at least one solution of the dual to compare with")
    given = np.array([solution.information_input for solution in ordinary])
    return ExponentComparison(
        np.array([solution.beta for solution in ordinary]),
        given,
        np.array([error_exponents(problem, solution.encoder).within for solution in ordinary]),
        _achieved(problem, dual, given),
        np.max([(s.lower_bound - given) / s.beta for s in dual] + [np.zeros_like(given)], axis=0),
    )


def chernoff_information(first: Float[np.ndarray, " y"], second: Float[np.ndarray, " y"]) -> tuple[float, float]:
    """Max over λ of -log Σ_y p^λ q^(1-λ): the exponent of the Bayes error between two laws, and its λ.

    Args:
        first: law p of Y, above 0.
        second: law q of Y, above 0.

    Returns:
        The exponent in nats a draw, and λ.
    """
    log_p, log_q = np.log(first), np.log(second)
    found = minimize_scalar(
        lambda weight: float(np.log(np.sum(np.exp(weight * log_p + (1 - weight) * log_q)))),
        bounds=(0, 1),
        method="bounded",
        options={"xatol": 1e-12},
    )
    return -float(found.fun), float(found.x)


def _achieved(problem: DiscreteProblem, dual: Sequence[DualSolution], given: np.ndarray) -> np.ndarray:
    """The lower convex hull of the dual's points and the two ends, at I(T;X) = given."""
    merged = problem.merged()
    trivial = error_exponents(merged, np.ones((merged.n_inputs, 1))).within
    points = [(0.0, trivial), (merged.input_entropy, 0.0)] + [(s.information_input, s.distortion) for s in dual]
    points = sorted(points)
    hull: list[tuple[float, float]] = []
    for point in points:
        while len(hull) > 1 and _above(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    corners = np.array(hull)
    return np.interp(given, corners[:, 0], corners[:, 1])


def _above(first: tuple[float, float], second: tuple[float, float], third: tuple[float, float]) -> bool:
    """Whether the middle point is on or above the line through the others."""
    return (second[1] - first[1]) * (third[0] - first[0]) >= (third[1] - first[1]) * (second[0] - first[0])
