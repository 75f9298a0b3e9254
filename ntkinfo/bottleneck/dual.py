"""The dual information bottleneck of a discrete law: the arguments of the distortion change places.

Minimise I(X;T) + β E KL(p(y|t) ‖ p(y|x)). Its self-consistent equations are p(t|x) ∝ p(t) exp(-β KL(p(y|t) ‖ p(y|x)))
and p(y|t) ∝ exp Σ_x p(x|t) log p(y|x): the decoder is the geometric mean of the rows, so that natural parameters
average and a solution stays in the exponential family of the rows. It is not the decoder p(y|t) of the chain T - X - Y,
which is what I(T;Y) refers to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from ntkinfo.bottleneck.discrete import Residuals, refreshed_log_encoder
from ntkinfo.bottleneck.discrete_engine import State, log, sweep
from ntkinfo.bottleneck.discrete_search import Search, SolverSettings, descend, grouped_rows, random_starts
from ntkinfo.bottleneck.problems import DiscreteProblem
from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.progress import Track, bar

_RANK_TOLERANCE = 1e-8


@dataclass(frozen=True)
class DualDistortion:
    """d(x, r) = KL(r ‖ p(y|x)): the dual bottleneck (a `Distortion`)."""

    law: np.ndarray
    log_rows: np.ndarray
    beta: float

    def log_kernel(self, points: np.ndarray) -> np.ndarray:
        """-β KL(r_t ‖ p(y|x))."""
        uncertain = -np.sum(np.where(points > 0, points * log(points), 0.0), axis=1)
        return self.beta * np.minimum(0.0, self.log_rows @ points.T + uncertain[None, :])

    def centroids(self, joint: np.ndarray) -> np.ndarray:
        """Geometric means of the rows, normalised."""
        mass = np.maximum(joint.sum(axis=0), 1e-300)
        exponent = joint.T @ self.log_rows / mass[:, None]
        points = np.exp(exponent - exponent.max(axis=1, keepdims=True))
        return points / points.sum(axis=1, keepdims=True)

    def slopes(self, points: np.ndarray) -> np.ndarray:
        """β (log p(y|x) - log r_ty - 1)."""
        return self.beta * (self.log_rows.T[None] - log(points)[:, :, None] - 1)

    def majorant(self, vertices: np.ndarray) -> np.ndarray:
        """By the tangent of the entropy of r at the centre."""
        centre = vertices.mean(axis=1)
        entropy = -np.einsum("cvy,cy->cv", vertices, log(centre))
        bound = self.log_rows @ vertices.transpose(0, 2, 1) + entropy[:, None, :]
        return self.beta * bound

    def curvature(self, joint: np.ndarray, points: np.ndarray) -> np.ndarray:
        """-β p(t) / r_ty."""
        return -self.beta * joint.sum(axis=0)[:, None] / points


@dataclass(frozen=True)
class DualSolution:
    """An encoder of the dual bottleneck at one β.

    Args:
        beta: weight of the distortion.
        information_input: I(T;X) in nats.
        information_target: I(T;Y) in nats, of the encoder (the decoder of the chain T - X - Y).
        distortion: E KL(p(y|t) ‖ p(y|x)) in nats, with the dual decoder.
        lower_bound: no encoder and decoder have I(T;X) + β E KL below this.
        residuals: in the dual's self-consistent equations.
        stop: why the iteration ended, as in `BottleneckSolution`.
        certified: the objective is as close to its lower bound as was asked for.
        sweeps: rounds of the equations.
        trace: I(T;X) + β E KL as it fell; it does not rise.
        cluster_law: p(t), (T,).
        decoder: p(y|t) of the dual, (T, k).
        class_encoder: p(t|x) for each class of inputs with the same p(y|x), (classes, T).
        classes: the class of each input, (n,).
    """

    beta: float
    information_input: float
    information_target: float
    distortion: float
    lower_bound: float
    residuals: Residuals
    stop: str
    certified: bool
    sweeps: int
    trace: Float[np.ndarray, " steps"]
    cluster_law: Float[np.ndarray, " t"]
    decoder: Float[np.ndarray, "t y"]
    class_encoder: Float[np.ndarray, "c t"]
    classes: Int[np.ndarray, " x"]

    @property
    def encoder(self) -> Float[np.ndarray, "x t"]:
        """p(t|x) for every input of the problem."""
        return self.class_encoder[self.classes]

    @property
    def objective(self) -> float:
        """I(T;X) + β E KL(p(y|t) ‖ p(y|x)), in nats."""
        return self.information_input + self.beta * self.distortion

    @property
    def gap(self) -> float:
        """An upper bound on what the distortion exceeds the least at the same I(T;X) by, in nats."""
        return max(0.0, self.objective - self.lower_bound) / self.beta

    @cached_property
    def natural_rank(self) -> int:
        """Rank of the natural parameters of p(y|t), at most that of the problem (see `natural_rank`)."""
        return natural_rank(self.decoder)


@checked
def solve_dual(
    problem: DiscreteProblem, beta: float, settings: SolverSettings | None = None, warm: DualSolution | None = None
) -> DualSolution:
    """Minimise I(T;X) + β E KL(p(y|t) ‖ p(y|x)) over encoders p(t|x) and decoders p(y|t).

    Args:
        problem: the law of X and Y, no p(y|x) equal to 0: smooth hard labels (`deterministic_labels(flip=...)`).
        beta: weight of the distortion, above 0.
        settings: tolerances and limits; `gap` is on the distortion.
        warm: a solution at a nearby β to start from.

    Returns:
        The solution, with a certificate that holds globally (for many values of Y it may be loose).

    Raises:
        ValueError: a p(y|x) of 0, a beta not above 0, a warm start of another problem.
    """
    checks.positive("beta", beta)
    _check_support(problem)
    settings, merged = settings or SolverSettings(), problem.merged()
    distortion = DualDistortion(merged.input_law, np.log(merged.conditional), float(beta))
    begin = grouped_rows(merged, settings.clusters) if warm is None else State(log(warm.cluster_law), warm.decoder)
    if begin.points.shape[1] != problem.n_targets:
        raise ValueError(f"warm has {begin.points.shape[1]} values of Y, the problem {problem.n_targets}")
    search = descend(distortion, begin, merged.conditional, settings)
    for start in random_starts(merged, settings):
        other = descend(distortion, start, merged.conditional, settings)
        search = other if other.found.objective < search.found.objective else search
    return _solution(problem, merged, distortion, search)


@checked
def dual_curve(
    problem: DiscreteProblem, betas: Sequence[float], settings: SolverSettings | None = None, progress: Track = bar
) -> tuple[DualSolution, ...]:
    """Dual solutions at given βs, from the largest down, each from the one above it.

    Args:
        problem: the law of X and Y, no p(y|x) equal to 0.
        betas: above 0.
        settings: of each solution.
        progress: how to show where the work is.

    Returns:
        The solutions by rising β.

    Raises:
        ValueError: as `solve_dual`; no βs.
    """
    values = np.unique(np.asarray(betas, dtype=np.float64))[::-1]
    if len(values) == 0 or not np.all(np.isfinite(values)) or values[-1] <= 0:
        raise ValueError(f"betas is {list(betas)}; at least one is needed, each finite and above 0")
    _check_support(problem)
    solved: list[DualSolution] = []
    for beta in progress(values, "dual bottleneck curve", len(values)):
        solved.append(solve_dual(problem, float(beta), settings, solved[-1] if solved else None))
    return tuple(reversed(solved))


@checked
def dual_critical_beta(problem: DiscreteProblem) -> float:
    """Where the trivial solution of the dual stops being a local minimum.

    1/λ_max of p(x) C, C(x,x') the covariance of log p(y|x) and log p(y|x') under the trivial decoder
    p_0(y) ∝ exp Σ_x p(x) log p(y|x), centred over x with weights p(x).

    Args:
        problem: the law of X and Y, no p(y|x) equal to 0.

    Returns:
        β_c; infinite where X and Y are independent to rounding. A binary symmetric channel has
        4 / log²((1-δ)/δ).

    Raises:
        ValueError: a p(y|x) of 0.
    """
    _check_support(problem)
    return _critical(problem.input_law, np.log(problem.conditional))


def dual_cluster_critical_betas(problem: DiscreteProblem, solution: DualSolution) -> Float[np.ndarray, " t"]:
    """β at which each cluster would split, by its own second variation; none below the solution's at a minimum.

    Args:
        problem: the law of X and Y.
        solution: of that problem.

    Returns:
        One β a cluster, (T,).
    """
    merged = problem.merged()
    joint = merged.input_law[:, None] * solution.class_encoder
    rows = np.log(merged.conditional)
    return np.array([_critical(column / column.sum(), rows) for column in joint.T])


def natural_rank(rows: Float[np.ndarray, "x y"]) -> int:
    """Dimension of the exponential family that laws of Y span: the rank of their logarithms, centred over y.

    Args:
        rows: laws of Y, (n, k), above 0.

    Returns:
        Singular values above 1e-8 of the largest (or of 1, where that is larger); 0 for the uniform law alone.

    Raises:
        ValueError: a probability of 0.
    """
    if np.any(rows <= 0):
        raise ValueError("rows hold a probability of 0, which has no natural parameter; smooth them")
    parameters = np.log(rows)
    values = np.linalg.svd(parameters - parameters.mean(axis=1, keepdims=True), compute_uv=False)
    return int(np.count_nonzero(values > _RANK_TOLERANCE * max(1.0, float(values[0]))))


def _critical(law: np.ndarray, log_rows: np.ndarray) -> float:
    exponent = law @ log_rows
    decoder = np.exp(exponent - exponent.max())
    decoder /= decoder.sum()
    centred = log_rows - (log_rows @ decoder)[:, None]
    centred = (centred - (law @ centred)[None, :]) * np.sqrt(decoder)[None, :]
    largest = float(np.linalg.eigvalsh((centred.T * law) @ centred)[-1])
    return 1 / largest if largest > 1e-14 else float("inf")


def _check_support(problem: DiscreteProblem) -> None:
    if np.any(problem.conditional <= 0):
        raise ValueError(
            "conditional holds a probability of 0; the dual bottleneck needs every p(y|x) above 0: smooth the labels, "
            "for instance deterministic_labels(labels, flip=1e-3)"
        )


def _solution(
    problem: DiscreteProblem, merged: DiscreteProblem, distortion: DualDistortion, search: Search
) -> DualSolution:
    encoder, law = search.found.posterior, merged.input_law
    weight = law @ encoder
    encoder, weight = encoder[:, weight > 0], weight[weight > 0]
    joint = law[:, None] * encoder
    decoder = distortion.centroids(joint)
    given, told = merged.information(encoder)
    return DualSolution(
        beta=distortion.beta,
        information_input=given,
        information_target=told,
        distortion=max(0.0, -float(np.sum(joint * distortion.log_kernel(decoder))) / distortion.beta),
        lower_bound=search.bound,
        residuals=_residuals(distortion, encoder, weight, decoder),
        stop=search.found.stop,
        certified=search.certified,
        sweeps=search.sweeps,
        trace=np.array(search.found.trace),
        cluster_law=weight,
        decoder=decoder,
        class_encoder=encoder,
        classes=problem.classes,
    )


def _residuals(distortion: DualDistortion, encoder: np.ndarray, weight: np.ndarray, decoder: np.ndarray) -> Residuals:
    """As `discrete.residuals`, with the dual's two equations."""
    refreshed = refreshed_log_encoder(distortion, weight, decoder)
    first = float(distortion.law @ np.sum(np.where(encoder > 0, encoder * (log(encoder) - refreshed), 0.0), axis=1))
    following = sweep(distortion, State(np.log(weight), decoder)).after.points
    second = float(weight @ np.sum(decoder * (log(decoder) - log(following)), axis=1))
    return Residuals(max(0.0, first), max(0.0, second))
