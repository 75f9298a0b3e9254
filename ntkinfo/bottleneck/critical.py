"""Critical β of the bottleneck from the second variation of its objective, and the splits along a branch.

A cluster t can split in two when a small opposite change of its halves' p(x|t) lowers F to second order: when β times
the second largest eigenvalue of M_t(y,y') = Σ_x p(x|t) p(y|x) p(y'|x) / √(p(y|t) p(y'|t)) passes 1 (the largest is 1,
with eigenvector √p(y|t)). The first β at which something is kept at all may be smaller than that of the trivial
solution: the second variation sees small changes only. `onset_beta` is the one that counts every encoder.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ntkinfo.bottleneck.discrete import BottleneckSolution
from ntkinfo.bottleneck.discrete_descent import minimise
from ntkinfo.bottleneck.discrete_engine import BottleneckDistortion, Minimum, State
from ntkinfo.bottleneck.discrete_search import SolverSettings
from ntkinfo.bottleneck.onset import least_ratio
from ntkinfo.bottleneck.problems import DiscreteProblem, row_entropies
from ntkinfo.core import checks
from ntkinfo.core.arguments import checked

_MOST_DIRECTIONS = 8
_BISECTIONS = 60
_NUDGE = 1e-3


@dataclass(frozen=True)
class Split:
    """A cluster about to split, on a branch of solutions with a fixed number of clusters.

    Args:
        beta: critical β, where β λ₂ = 1.
        cluster: which one, by its place in `decoder`.
        direction: how p(y|t) of its halves moves apart, (k,), of unit length, summing to 0.
        cluster_law: p(t) there.
        decoder: p(y|t) there.
        jump: I(T;X) gained between β and β (1 + 1e-3) in nats; not small where the split is discontinuous.
    """

    beta: float
    cluster: int
    direction: Float[np.ndarray, " y"]
    cluster_law: Float[np.ndarray, " t"]
    decoder: Float[np.ndarray, "t y"]
    jump: float


@checked
def critical_beta(problem: DiscreteProblem) -> float:
    """Where the trivial solution stops being a local minimum: 1/λ₂ of Σ_y p(x'|y) p(y|x).

    Args:
        problem: the law of X and Y.

    Returns:
        β_c; infinite where X and Y are independent to rounding.
    """
    values, _ = _second_variation(problem.input_law, problem.conditional)
    return 1 / values if values > 1e-14 else float("inf")


def cluster_critical_betas(problem: DiscreteProblem, solution: BottleneckSolution) -> Float[np.ndarray, " t"]:
    """1/λ₂ of each cluster: at a local minimum none is below the solution's β, and one that equals it is splitting.

    Args:
        problem: the law of X and Y.
        solution: of that problem.

    Returns:
        One β a cluster, (T,); infinite for a cluster whose inputs all have the same p(y|x).
    """
    merged = problem.merged()
    joint = merged.input_law[:, None] * solution.class_encoder
    values = np.array([_second_variation(column / column.sum(), merged.conditional)[0] for column in joint.T])
    return np.where(values > 1e-14, 1 / np.maximum(values, 1e-300), np.inf)


@checked
def onset_beta(problem: DiscreteProblem) -> float:
    """The smallest β at which some encoder beats the trivial one.

    It is min KL(q ‖ p_X) / KL(q_Y ‖ p_Y) over laws q of X, the inverse of the contraction coefficient of the channel
    from X to Y. It is at most `critical_beta`, and smaller where the transition is discontinuous, which it is for most
    problems without a symmetry.

    Args:
        problem: the law of X and Y.

    Returns:
        β, from at least 1 to the critical one: the ratio of a law that was found, and so never below the onset. On
        hundreds of small laws no search by brute force came lower.

    Fails when X has many values and laws of small ratio are narrow: rounds start from all rows p(y|x) (at most 128),
    from both sides of the directions of the second variation and from random laws, and may miss one.
    """
    merged, limit = problem.merged(), critical_beta(problem)
    if not np.isfinite(limit):
        return limit
    return max(1.0, min(limit, least_ratio(merged, _directions(merged))))


def _directions(merged: DiscreteProblem) -> np.ndarray:
    """Changes of p_X, as shares of it, along the directions of Y of the largest second variation, (m, n)."""
    target = merged.target_law
    kept = target > 0
    scaled = merged.conditional[:, kept] / np.sqrt(target[kept])
    root = np.sqrt(target[kept])
    values, vectors = np.linalg.eigh((scaled.T * merged.input_law) @ scaled - np.outer(root, root))
    shown = vectors[:, values > 1e-3 * values[-1]][:, -_MOST_DIRECTIONS:]
    changes = (scaled @ shown).T
    return changes - (changes @ merged.input_law)[:, None]


@checked
def splits(problem: DiscreteProblem, largest: float, settings: SolverSettings | None = None) -> list[Split]:
    """Critical βs met on the way up from the trivial solution, a cluster split in two at each.

    The branch is followed with a fixed number of clusters; where β λ₂ of one passes 1, the critical β is found by
    bisection on the second variation, the cluster is split along the unstable direction, and the descent from there is
    followed on. Clusters that appear elsewhere, discontinuously, are not met on this way (`solve` finds them).

    Args:
        problem: the law of X and Y.
        largest: β to go up to.
        settings: tolerances of the descents.

    Returns:
        The splits by rising β.

    Raises:
        ValueError: a largest β that is not a finite number above 0.
    """
    checks.positive("largest", largest)
    settings, merged = settings or SolverSettings(), problem.merged()
    beta, found = critical_beta(problem), []
    state = State(np.zeros(1), merged.target_law[None])
    while beta <= largest:
        split, state = _split(merged, beta, state, settings)
        found.append(split)
        if len(state.log_weight) >= merged.n_inputs:
            break
        beta, state = _next_critical(merged, beta * (1 + _NUDGE), largest, state, settings)
    return found


def _split(merged: DiscreteProblem, beta: float, state: State, settings: SolverSettings) -> tuple[Split, State]:
    """The split at a critical β, and the state that it leads to a thousandth above."""
    here = _follow(merged, beta, state, settings)
    values, directions = _variations(merged, here)
    cluster = int(np.argmax(values))
    direction = directions[cluster]
    above = beta * (1 + _NUDGE)
    start = _apart(here.state, cluster, direction)
    there = _follow(merged, above, start, settings)
    jump = merged.information(there.posterior)[0] - merged.information(here.posterior)[0]
    law = np.exp(here.state.log_weight)
    return Split(beta, cluster, direction, law, here.state.points, jump), there.state


def _apart(state: State, cluster: int, direction: np.ndarray) -> State:
    """The cluster in two halves, moved apart by a tenth of what the simplex allows."""
    point = state.points[cluster]
    with np.errstate(divide="ignore"):
        room = np.min(np.where(direction != 0, point / np.abs(direction), np.inf))
    step = 0.1 * room * direction
    points = np.concatenate([np.delete(state.points, cluster, axis=0), [point + step, point - step]])
    half = state.log_weight[cluster] - np.log(2)
    return State(np.concatenate([np.delete(state.log_weight, cluster), [half, half]]), points)


def _next_critical(
    merged: DiscreteProblem, beta: float, largest: float, state: State, settings: SolverSettings
) -> tuple[float, State]:
    """The next β at which the branch through the state loses a cluster's stability, with the state there."""
    lower, upper = beta, beta
    while _instability(merged, upper, state, settings)[0] <= 1:
        if upper > largest:
            return float("inf"), state
        state = _instability(merged, upper, state, settings)[1]
        lower, upper = upper, upper * 1.03
    for _ in range(_BISECTIONS):
        middle = (lower + upper) / 2
        if upper - lower <= 1e-9 * upper:
            break
        value, there = _instability(merged, middle, state, settings)
        if value <= 1:
            lower, state = middle, there
        else:
            upper = middle
    return upper, state


def _instability(merged: DiscreteProblem, beta: float, state: State, settings: SolverSettings) -> tuple[float, State]:
    """The largest β λ₂ of the clusters where the branch is at β, and that place."""
    found = _follow(merged, beta, state, settings)
    return beta * float(np.max(_variations(merged, found)[0])), found.state


def _follow(merged: DiscreteProblem, beta: float, state: State, settings: SolverSettings) -> Minimum:
    return minimise(_distortion(merged, beta), state, settings.tolerance, settings.sweeps)


def _variations(merged: DiscreteProblem, found: Minimum) -> tuple[np.ndarray, list[np.ndarray]]:
    joint = merged.input_law[:, None] * found.posterior
    parts = [_second_variation(column / column.sum(), merged.conditional) for column in joint.T]
    return np.array([value for value, _ in parts]), [direction for _, direction in parts]


def _second_variation(law: np.ndarray, rows: np.ndarray) -> tuple[float, np.ndarray]:
    """λ₂ for a cluster with p(x|t) = law, and the direction in which its p(y|t) splits."""
    target = law @ rows
    kept = target > 0
    scaled = rows[:, kept] / np.sqrt(target[kept])
    root = np.sqrt(target[kept])
    matrix = (scaled.T * law) @ scaled - np.outer(root, root)  # the eigenvalue 1 taken out
    values, vectors = np.linalg.eigh(matrix)
    direction = np.zeros(len(target))
    direction[kept] = vectors[:, -1] * root
    length = np.linalg.norm(direction)
    return max(0.0, float(values[-1])), direction / (length if length > 0 else 1.0)


def _distortion(merged: DiscreteProblem, beta: float) -> BottleneckDistortion:
    return BottleneckDistortion(merged.input_law, merged.conditional, beta, -row_entropies(merged.conditional))
