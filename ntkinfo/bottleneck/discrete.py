"""The information bottleneck of a discrete law: the best encoder at one β, with a certificate of how good it is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from scipy.special import xlogy

from ntkinfo.bottleneck.discrete_engine import BottleneckDistortion, Distortion, State, log, sweep
from ntkinfo.bottleneck.discrete_search import Search, SolverSettings, descend, grouped_rows, random_starts
from ntkinfo.bottleneck.problems import DiscreteProblem, checked_encoder, row_entropies
from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array


@dataclass(frozen=True)
class Residuals:
    """By how much an encoder misses the self-consistent equations at one β, in nats; 0 for a solution.

    Args:
        encoder: Σ p(x) KL(p(t|x) ‖ p_β(t|x)), p_β(t|x) ∝ p(t) exp(-β KL(p(y|x) ‖ p(y|t))).
        decoder: Σ p(t) KL(p(y|t) ‖ p_β(y|t)), p_β(y|t) the decoder that belongs to p_β(t|x).
    """

    encoder: float
    decoder: float


@dataclass(frozen=True)
class BottleneckSolution:
    """An encoder at one β, and how far it can be from the best.

    Args:
        beta: weight of I(T;Y).
        information_input: I(T;X) in nats.
        information_target: I(T;Y) in nats.
        lower_bound: no encoder has I(T;X) - β I(T;Y) below this.
        residuals: in the self-consistent equations.
        stop: why the iteration ended: "converged", "sweep limit", "no further decrease to rounding" or
            "converged; with more clusters it would be lower".
        certified: the gap is as small as was asked for.
        sweeps: rounds of the equations of all descents.
        trace: I(T;X) - β I(T;Y) as it fell (F less β I(X;Y)) in the last descent; it does not rise.
        cluster_law: p(t), (T,).
        decoder: p(y|t), (T, k).
        class_encoder: p(t|x) for each class of inputs with the same p(y|x), (classes, T).
        classes: the class of each input, (n,).
    """

    beta: float
    information_input: float
    information_target: float
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
        """I(T;X) - β I(T;Y), in nats."""
        return self.information_input - self.beta * self.information_target

    @property
    def gap(self) -> float:
        """An upper bound on what I(T;Y) lacks of the best at the same I(T;X), in nats."""
        return max(0.0, self.objective - self.lower_bound) / self.beta

    @property
    def upper_bound(self) -> float:
        """No encoder with this I(T;X) has a larger I(T;Y), in nats."""
        return self.information_target + self.gap

    @cached_property
    def state(self) -> State:
        """Weights and points, to start another β from."""
        return State(log(self.cluster_law), self.decoder)


@checked
def solve(
    problem: DiscreteProblem,
    beta: float,
    settings: SolverSettings | None = None,
    warm: BottleneckSolution | None = None,
) -> BottleneckSolution:
    """Minimise I(T;X) - β I(T;Y) over all encoders p(t|x).

    Inputs with the same p(y|x) are taken as one, which is exact. Rounds of the self-consistent equations, accelerated
    by safeguarded Newton steps, run from the warm start or from T = X; where the dual finds a law r of Y that a cluster
    is missing for, the cluster is added and the descent goes on. The certificate always holds; whether it is as close
    as asked for depends on the problem and on `cells`, the more so the more values Y has (`certified` and `gap` say).

    Args:
        problem: the law of X and Y.
        beta: weight of I(T;Y), above 0; the slope of the curve at the solution is 1/β.
        settings: tolerances and limits.
        warm: a solution at a nearby β to start from; None starts from T = X (in groups where that is large).

    Returns:
        The solution. At β up to 1 it is the trivial one.

    Raises:
        ValueError: beta not a finite number above 0; a warm start of another problem.
    """
    checks.positive("beta", beta)
    settings = settings or SolverSettings()
    merged = problem.merged()
    distortion = BottleneckDistortion(
        merged.input_law, merged.conditional, float(beta), -row_entropies(merged.conditional)
    )
    begin = grouped_rows(merged, settings.clusters) if warm is None else warm.state
    if begin.points.shape[1] != problem.n_targets:
        raise ValueError(f"warm has {begin.points.shape[1]} values of Y, the problem {problem.n_targets}")
    search = descend(distortion, begin, merged.conditional, settings)
    for start in random_starts(merged, settings):
        other = descend(distortion, start, merged.conditional, settings)
        search = other if other.found.objective < search.found.objective else search
    return _solution(problem, merged, distortion, search)


def residuals(
    problem: DiscreteProblem, encoder: Float[Array, "x t"], beta: float, decoder: Float[Array, "t y"] | None = None
) -> Residuals:
    """By how much an encoder misses the two self-consistent equations at β.

    Args:
        problem: the law of X and Y.
        encoder: p(t|x), (n, T).
        beta: finite, 0 or greater.
        decoder: p(y|t) to use in the first equation in place of the encoder's own, such as a network's readout; the
            second residual is then KL(p(y|t) ‖ decoder) on average over t.

    Returns:
        Both residuals in nats.

    Raises:
        ValueError: rows that are no laws, a beta below 0 or infinite.
    """
    checks.non_negative("beta", beta)
    rows = checked_encoder(encoder, problem.n_inputs)
    law = problem.input_law
    weight = law @ rows
    rows, weight = rows[:, weight > 0], weight[weight > 0]
    own = (law[:, None] * rows).T @ problem.conditional / weight[:, None]
    used = own if decoder is None else checked_decoder(decoder, encoder.shape[1], problem)[law @ encoder > 0]
    distortion = BottleneckDistortion(law, problem.conditional, float(beta), -row_entropies(problem.conditional))
    refreshed = refreshed_log_encoder(distortion, weight, used)
    first = float(law @ np.sum(xlogy(rows, rows) - np.where(rows > 0, rows * refreshed, 0.0), axis=1))
    following = sweep(distortion, State(np.log(weight), used)).after.points if decoder is None else used
    second = float(weight @ np.sum(xlogy(own, own) - np.where(own > 0, own * log(following), 0.0), axis=1))
    return Residuals(max(0.0, first), max(0.0, second))


def checked_decoder(decoder: Array, clusters: int, problem: DiscreteProblem) -> np.ndarray:
    """p(y|t) as a float64 numpy array, or a clear error."""
    rows = checked_encoder(decoder, clusters)
    checks.shape("decoder", rows, (clusters, problem.n_targets), "a row p(y|t) for each t")
    return rows


def refreshed_log_encoder(distortion: Distortion, weight: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Log p_β(t|x) from p(t) and p(y|t), (n, T)."""
    exponent = np.log(weight)[None, :] + distortion.log_kernel(points)
    highest = exponent.max(axis=1, keepdims=True)
    return exponent - highest - np.log(np.sum(np.exp(exponent - highest), axis=1, keepdims=True))


def _solution(
    problem: DiscreteProblem, merged: DiscreteProblem, distortion: BottleneckDistortion, search: Search
) -> BottleneckSolution:
    encoder, law = search.found.posterior, merged.input_law
    weight = law @ encoder
    encoder, weight = encoder[:, weight > 0], weight[weight > 0]
    decoder = (law[:, None] * encoder).T @ merged.conditional / weight[:, None]
    given, told = merged.information(encoder)
    shift = distortion.beta * merged.mutual_information
    return BottleneckSolution(
        beta=distortion.beta,
        information_input=given,
        information_target=told,
        lower_bound=search.bound - shift,
        residuals=residuals(merged, encoder, distortion.beta),
        stop=search.found.stop,
        certified=search.certified,
        sweeps=search.sweeps,
        trace=np.array(search.found.trace) - shift,
        cluster_law=weight,
        decoder=decoder,
        class_encoder=encoder,
        classes=problem.classes,
    )
