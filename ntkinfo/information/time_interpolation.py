"""Functionals of time that are dear at each point: evaluated at some of the times, interpolated to the others.

Nodes are chosen among the times asked for, so an evaluation is never wasted and the work never exceeds one evaluation a
time. On each panel of log time they are Leja points: the next node is where the node polynomial ∏|s − s_i| is largest,
which is where a polynomial interpolant is worst. Before a new batch of nodes joins, the interpolant through the old
ones predicts them: the largest miss is the measured error, and nodes are added, or the panel halved, until it is below
the tolerance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from ntkinfo.core import checks
from ntkinfo.core.progress import Track, silent
from ntkinfo.training.output_distribution import OutputDistribution
from ntkinfo.training.procedures import Converged

_FIRST = 7  # nodes of a panel before its first check
_BATCH = 3  # held-out nodes of a check
_MOST = 25  # nodes of a panel before it is halved
_UNMEASURED = 1e300  # excess of a panel with infinite values

Evaluate = Callable[[float], Float[np.ndarray, " k"]]


@dataclass(frozen=True)
class Interpolated:
    """Values of k functionals at every time.

    Args:
        value: (T, k).
        error: (T, k), largest miss measured at held-out nodes of the same panel; 0 where evaluated; infinite where
            `limit` was reached before it could be measured: the value is then that of a neighbouring node.
        evaluated: number of times at which the functionals were evaluated.
        distinct: number of distinct times.
        missed: number of times whose measured error exceeds the tolerance, because `limit` was reached.
    """

    value: Float[np.ndarray, "t k"]
    error: Float[np.ndarray, "t k"]
    evaluated: int
    distinct: int
    missed: int

    @property
    def method(self) -> str:
        """How the values were come by, in a few words."""
        if self.evaluated == self.distinct:
            return f"evaluated at {self.distinct} times"
        text = f"{self.evaluated} nodes in log time, interpolated to {self.distinct} times"
        return f"{text}; tolerance NOT reached at {self.missed}" if self.missed else text


def distinct_times(distribution: OutputDistribution) -> tuple[Float[np.ndarray, " t"], bool]:
    """Return times (in the caller's unit) that tell the laws apart, and whether the laws vary smoothly between them.

    Finite steps leave whole steps only, training to convergence infinity alone. Steps that overshoot (ημ > 1) and
    momentum make the law jump or swing from step to step: nothing may be interpolated then.
    """
    times, summed = distribution.times, distribution.summed
    if isinstance(summed, Converged):
        return np.full_like(times, np.inf), False
    if summed.step is None:
        return times, True
    step = summed.step / distribution.time_unit
    largest = float(distribution.eigenvalues[-1]) + summed.ridge
    smooth = bool(summed.step * largest < 1) and not getattr(summed, "momentum", 0.0)
    # A time that is a multiple of the step up to rounding counts as that multiple, as in training.
    return step * np.floor(times / step * (1 + 4 * np.finfo(np.float64).eps)), smooth


def over_time(
    evaluate: Evaluate,
    times: Float[np.ndarray, " t"],
    *,
    smooth: bool = True,
    tolerance: float = 1e-6,
    limit: int | None = None,
    progress: Track = silent,
    label: str = "values over time",
) -> Interpolated:
    """Find `evaluate` at all the times from its values at some of them, to a measured error.

    Args:
        evaluate: the k functionals at one time; infinite values are allowed and are not interpolated across.
        times: (T,) in [0, ∞], in any order, repeated or not. 0 and ∞ are always evaluated.
        smooth: whether the functionals are smooth in log time; False evaluates every distinct time.
        tolerance: allowed error, times max(1, |value|): absolute below one nat, relative above.
        limit: most evaluations at times other than 0 and ∞, or None for no limit.
        progress: counts evaluations.
        label: what is evaluated, for `progress`.

    Fails when the functional has features narrower in log time than the gaps between the nodes of a panel; `error`
    is a measurement, not a bound.
    Source: theory §2; Leja points: Calvi & Van Manh 2011 (their Lebesgue constant grows slowly).
    """
    checks.positive("tolerance", tolerance)
    if limit is not None:
        checks.whole("limit", limit, least=_FIRST + _BATCH)
    distinct, place = np.unique(np.asarray(times, dtype=np.float64), return_inverse=True)
    inner = np.flatnonzero((distinct > 0) & np.isfinite(distinct))
    known = _Known(evaluate, distinct)
    work = _work(known, inner, tolerance, limit, smooth)
    panels: list[_Panel] = []
    for item in progress(work, label, None):
        panels = item
    value, error, missed = known.fill(panels)
    return Interpolated(value[place], error[place], len(known.values), len(distinct), missed)


@dataclass
class _Known:
    """Values at the times evaluated so far."""

    evaluate: Evaluate
    times: np.ndarray
    values: dict[int, np.ndarray] = field(default_factory=dict)

    def add(self, chosen: np.ndarray) -> Iterator[int]:
        for index in map(int, chosen):
            if index not in self.values:
                self.values[index] = np.atleast_1d(np.asarray(self.evaluate(float(self.times[index])), dtype=float))
                yield index

    def nodes(self, panel: _Panel) -> np.ndarray:
        return np.array([i for i in panel.members if int(i) in self.values], dtype=int)

    def table(self, chosen: np.ndarray) -> np.ndarray:
        return np.stack([self.values[int(i)] for i in chosen])

    def nearest(self, chosen: np.ndarray) -> np.ndarray:
        """Values at the known times that come next to the chosen ones in order."""
        known = np.array(sorted(self.values))
        return self.table(known[np.argmin(np.abs(chosen[:, None] - known[None, :]), axis=1)])

    def fill(self, panels: list[_Panel]) -> tuple[np.ndarray, np.ndarray, int]:
        width = len(next(iter(self.values.values())))
        value, error = np.full((len(self.times), width), np.nan), np.zeros((len(self.times), width))
        missed = 0
        for panel in panels:
            nodes = self.nodes(panel)
            rest = np.setdiff1d(panel.members, nodes)
            if not len(rest):
                continue
            if panel.excess < _UNMEASURED:
                value[rest] = _barycentric(panel.place(nodes), self.table(nodes), panel.place(rest))
                error[rest] = panel.error
            else:  # the limit was reached before its first check, or before finite values were parted from infinite
                value[rest], error[rest] = self.nearest(rest), np.inf
            missed += len(rest) if panel.excess > 1 else 0
        for index, known in self.values.items():
            value[index], error[index] = known, 0.0
        return value, error, missed


@dataclass
class _Panel:
    """A run of times: `members` are their indices, `logs` their logarithms.

    `error` is the largest miss at held-out nodes, `excess` that over what is allowed where the values are smallest.
    """

    members: np.ndarray
    logs: np.ndarray
    error: np.ndarray = field(default_factory=lambda: np.zeros(1))
    excess: float = np.inf

    def place(self, chosen: np.ndarray) -> np.ndarray:
        """Places of some of the members on [-1, 1]."""
        s = self.logs[chosen - self.members[0]]
        middle, half = (self.logs[0] + self.logs[-1]) / 2, max((self.logs[-1] - self.logs[0]) / 2, 1e-300)
        return (s - middle) / half

    def halves(self) -> list[_Panel]:
        """Two panels that share the member nearest to the middle of log time."""
        middle = int(np.argmin(np.abs(self.logs - (self.logs[0] + self.logs[-1]) / 2)))
        middle = min(max(middle, 1), len(self.members) - 2)
        return [_Panel(self.members[part], self.logs[part]) for part in (slice(middle + 1), slice(middle, None))]


def _work(
    known: _Known, inner: np.ndarray, tolerance: float, limit: int | None, smooth: bool
) -> Iterator[list[_Panel]]:
    """Evaluate until every panel holds the tolerance or the limit is reached; yields the panels so far."""
    ends = np.setdiff1d(np.arange(len(known.times)), inner)
    panels: list[_Panel] = []
    if not smooth or len(inner) <= _FIRST + _BATCH:
        ends = np.arange(len(known.times))
    else:
        panels = [_Panel(inner, np.log(known.times[inner]))]
    for _ in known.add(ends):
        yield panels
    outside = len(known.values)
    while panels:
        worst = max(range(len(panels)), key=lambda k: panels[k].excess)
        panel = panels[worst]
        left = np.inf if limit is None else limit - (len(known.values) - outside)
        if panel.excess <= 1 or (left < _BATCH and np.isfinite(panel.excess)) or left <= 0:
            break
        nodes = known.nodes(panel)
        dead = len(nodes) >= 2 and not np.all(np.isfinite(known.table(nodes)))
        if (len(nodes) >= _MOST or dead) and len(nodes) < len(panel.members) and len(panel.members) > 3:
            panels[worst : worst + 1] = panel.halves()
            continue
        for _ in _check(known, panel, nodes, tolerance):
            yield panels
    if panels:
        yield panels


def _check(known: _Known, panel: _Panel, nodes: np.ndarray, tolerance: float) -> Iterator[int]:
    """Let the nodes of a panel predict new ones, and evaluate those; a panel short of nodes gets its first ones."""
    if len(nodes) < min(_FIRST, len(panel.members)):
        wanted = _leja(panel, nodes, _FIRST - len(nodes))
        yield from known.add(wanted)
        nodes = known.nodes(panel)
    new = _leja(panel, nodes, _BATCH)
    yield from known.add(new)
    if len(known.nodes(panel)) == len(panel.members):
        panel.error, panel.excess = np.zeros(1), 0.0
        return
    truth = known.table(new)
    if not (np.all(np.isfinite(truth)) and np.all(np.isfinite(known.table(nodes)))):
        panel.error, panel.excess = np.full(truth.shape[1], np.inf), _UNMEASURED
        return
    miss = np.abs(_barycentric(panel.place(nodes), known.table(nodes), panel.place(new)) - truth)
    panel.error = miss.max(axis=0)
    smallest = np.abs(known.table(known.nodes(panel))).min(axis=0)
    panel.excess = float(np.max(panel.error / (tolerance * np.maximum(1.0, smallest))))


def _leja(panel: _Panel, nodes: np.ndarray, count: int) -> np.ndarray:
    """Return up to `count` further members, each where the product of distances to all nodes before it is largest."""
    everywhere = panel.place(panel.members)
    with np.errstate(divide="ignore"):
        size = np.sum(np.log(np.abs(everywhere[:, None] - panel.place(nodes)[None, :])), axis=1)
        chosen: list[int] = []
        for _ in range(min(count, len(panel.members) - len(nodes))):
            # The ends first: without them the panel would be extrapolated.
            ends = [k for k in (0, len(size) - 1) if size[k] > -np.inf]
            best = ends[0] if ends else int(np.argmax(size))
            chosen.append(best)
            size = size + np.log(np.abs(everywhere - everywhere[best]))
    return panel.members[np.array(chosen, dtype=int)]


def _barycentric(nodes: np.ndarray, values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Value at `places`, none of which is a node, of the polynomial through the nodes."""
    gaps = nodes[:, None] - nodes[None, :]
    np.fill_diagonal(gaps, 1.0)
    logs, signs = np.sum(np.log(np.abs(gaps)), axis=1), np.prod(np.sign(gaps), axis=1)
    share = signs * np.exp(logs.min() - logs) / (places[:, None] - nodes[None, :])
    return (share @ values) / np.sum(share, axis=1)[:, None]
