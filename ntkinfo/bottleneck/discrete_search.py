"""Search for the optimum at one β: descents, clusters that are missing, and the certificate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ntkinfo.bottleneck.certificate import Peak, new_points, normalisers, peak
from ntkinfo.bottleneck.discrete_descent import CONVERGED, minimise
from ntkinfo.bottleneck.discrete_engine import Distortion, Minimum, State
from ntkinfo.bottleneck.problems import DiscreteProblem
from ntkinfo.core import checks
from ntkinfo.core.arguments import checked

CLUSTER_LIMIT = "converged; with more clusters it would be lower"
# T = X where it has at most so many points for k values of Y: the more values, the more clusters the optimum needs, and
# the poorer a start are groups along one direction of the rows, which are taken else; what is missing is added.
_SMALL = {2: 128, 3: 256}
_SMALL_MANY, _GROUPS = 512, 64
# Ascents towards missing clusters; with many values of Y they are all there is beside a loose bound.
_STARTS_FEW, _STARTS_MANY = 64, 256
_ROUNDS = 60
_SHARES = 0.5 ** np.arange(1, 31)


@checked
@dataclass(frozen=True)
class SolverSettings:
    """How far a solution at one β is taken.

    Args:
        tolerance: a round of the self-consistent equations may change no p(t,y) by more.
        gap: wanted certificate: how far I(T;Y) may be below the best at the same I(T;X), in nats.
        sweeps: most rounds of the equations in one descent.
        clusters: most values of T; None for as many as the optimum needs (never more than |X|).
        starts: random starts in addition to the warm start.
        seed: of the random starts.
        cells: simplices that a certificate may look at; it holds with fewer too, and is then looser.

    Raises:
        TypeError, ValueError: a number out of range.
    """

    tolerance: float = 1e-10
    gap: float = 1e-7
    sweeps: int = 20_000
    clusters: int | None = None
    starts: int = 0
    seed: int = 0
    cells: int = 200_000

    def __post_init__(self):
        checks.positive("tolerance", self.tolerance)
        checks.positive("gap", self.gap)
        for name, least in (("sweeps", 1), ("starts", 0), ("seed", 0), ("cells", 1)):
            checks.whole(name, getattr(self, name), least)
        if self.clusters is not None:
            checks.whole("clusters", self.clusters)


@dataclass(frozen=True)
class Search:
    """A minimum with its certificate.

    Args:
        found: the minimum.
        bound: F is nowhere below this.
        certified: the bound is as close as was asked for.
        sweeps: of all descents.
    """

    found: Minimum
    bound: float
    certified: bool
    sweeps: int


def descend(distortion: Distortion, start: State, rows: np.ndarray, settings: SolverSettings) -> Search:
    """Descents, each followed by the clusters that the dual says are missing, until none is or no more are allowed.

    Args:
        distortion: of the problem at one β.
        start: weights and points.
        rows: p(y|x), (n, k): laws to start the ascents towards missing clusters from.
        settings: tolerances and limits.
    """
    # |X| clusters are enough for the optimum, but on the way to it from others there can be more.
    least, most = settings.gap * distortion.beta / 4, settings.clusters or 2 * len(rows)
    starts = np.concatenate([spread_rows(rows), (distortion.law @ rows)[None]])
    state, sweeps, trace = start, 0, []
    for _ in range(_ROUNDS):
        found = minimise(distortion, state, settings.tolerance, settings.sweeps)
        trace, sweeps = trace + found.trace, sweeps + found.sweeps
        log_z = normalisers(distortion, found)
        missing, top = _missing(distortion, log_z, starts, found.state.points, settings)
        room = most - len(found.state.log_weight)
        if len(missing) == 0 or room <= 0:
            break
        state = _with_clusters(distortion, found, missing[:room])
    else:
        found = minimise(distortion, state, settings.tolerance, settings.sweeps)
        log_z, top, missing = normalisers(distortion, found), None, np.empty((0, rows.shape[1]))
    top = top or peak(distortion, log_z, least, settings.cells, rows.shape[1])
    stop = CLUSTER_LIMIT if len(missing) and found.stop == CONVERGED else found.stop
    ended = Minimum(found.state, found.posterior, found.objective, found.change, stop, sweeps, trace)
    bound = -float(distortion.law @ log_z) - max(top.upper, 0.0)
    return Search(ended, bound, top.upper <= 2.5 * least, sweeps)


def _missing(
    distortion: Distortion, log_z: np.ndarray, starts: np.ndarray, known: np.ndarray, settings: SolverSettings
) -> tuple[np.ndarray, Peak | None]:
    """Points of missing clusters: by ascents; where they find none, by the certificate, which then comes along."""
    least = settings.gap * distortion.beta / 4
    missing = new_points(distortion, log_z, starts, known, least)
    if len(missing):
        return missing, None
    top = peak(distortion, log_z, least, settings.cells, starts.shape[1])
    return (top.point[None] if top.lower > 2 * least else missing), top


def spread_rows(rows: np.ndarray) -> np.ndarray:
    """Some of the rows, to start ascents from."""
    most = _STARTS_FEW if rows.shape[1] <= 3 else _STARTS_MANY
    order = np.lexsort(rows.T)
    return rows[order[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(int))]]


def _with_clusters(distortion: Distortion, found: Minimum, points: np.ndarray) -> State:
    """The mixture with new clusters, at the share among a few that lowers F most."""
    log_z = normalisers(distortion, found)
    kernel = distortion.log_kernel(points)
    added = np.log(np.mean(np.exp(kernel - kernel.max(axis=1, keepdims=True)), axis=1)) + kernel.max(axis=1)
    values = [-distortion.law @ np.logaddexp(np.log1p(-share) + log_z, np.log(share) + added) for share in _SHARES]
    share = _SHARES[int(np.argmin(values))]
    new = np.full(len(points), np.log(share / len(points)))
    log_weight = np.concatenate([found.state.log_weight + np.log1p(-share), new])
    return State(log_weight, np.concatenate([found.state.points, points]))


def grouped_rows(problem: DiscreteProblem, clusters: int | None = None) -> State:
    """T = X, or with many inputs groups of inputs that are neighbours along the main direction of their rows."""
    small = _SMALL.get(problem.n_targets, _SMALL_MANY)
    count = min(problem.n_inputs if problem.n_inputs <= small else _GROUPS, clusters or problem.n_inputs)
    rows, law = problem.conditional, problem.input_law
    if count == problem.n_inputs:
        return State(np.log(law), rows)
    centred = rows - problem.target_law[None, :]
    direction = np.linalg.eigh((centred.T * law[None, :]) @ centred)[1][:, -1]
    order = np.argsort(centred @ direction, kind="stable")
    group = np.empty(len(law), dtype=np.int64)
    group[order] = np.minimum((np.cumsum(law[order]) - law[order] / 2) * count, count - 1).astype(np.int64)
    group = np.unique(group, return_inverse=True)[1]
    mass = np.bincount(group, law)
    sums = np.stack([np.bincount(group, law * column) for column in rows.T], axis=1)
    return State(np.log(mass), sums / mass[:, None])


def random_starts(problem: DiscreteProblem, settings: SolverSettings) -> list[State]:
    """Points that are random averages of the rows, of equal weight."""
    if settings.starts == 0:
        return []
    random = np.random.default_rng(settings.seed)
    count = min(problem.n_inputs, _GROUPS, settings.clusters or problem.n_inputs)
    found = []
    for _ in range(settings.starts):
        shares = random.dirichlet(np.full(problem.n_inputs, 0.1), size=count)
        points = np.maximum(shares @ problem.conditional, 1e-12)
        points /= points.sum(axis=1, keepdims=True)
        found.append(State(np.full(count, -np.log(count)), points))
    return found
