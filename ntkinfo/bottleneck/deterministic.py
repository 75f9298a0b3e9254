"""Deterministic encoders: min H(T) - β I(T;Y) over functions of X, and the squared Lagrangian for labels without noise.

Both replace the Lagrangian of the bottleneck where that says little. The deterministic bottleneck charges for H(T), so
that its optima are functions of X. The squared Lagrangian min I(T;X)² - β I(T;Y) is strictly convex along the curve:
every point of a straight piece is the optimum for some β, where the plain Lagrangian meets its ends alone.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import xlogy

from ntkinfo.bottleneck.discrete_curve import DiscreteCurve
from ntkinfo.bottleneck.problems import DiscreteProblem
from ntkinfo.core import checks
from ntkinfo.core.arguments import checked

EXACT = "exact: dynamic programme over contiguous groups"
LOCAL = "local optimum: no single input moves; best of all starts"
_MOST_EXACT = 6000


@dataclass(frozen=True)
class DeterministicSolution:
    """A function of X and what it keeps.

    Args:
        beta: weight of I(T;Y).
        codes: t of every input, (n,), from 0.
        information_input: H(T) = I(T;X) in nats.
        information_target: I(T;Y) in nats.
        method: whether the optimum is exact or local.
    """

    beta: float
    codes: Int[np.ndarray, " x"]
    information_input: float
    information_target: float
    method: str

    @property
    def objective(self) -> float:
        """H(T) - β I(T;Y) in nats."""
        return self.information_input - self.beta * self.information_target


@dataclass(frozen=True)
class SquaredSolution:
    """The optimum of I(T;X)² - β I(T;Y) along a certified curve.

    Args:
        beta: weight of I(T;Y); the slope of the curve at the optimum is 2 I(T;X) / β.
        information_input: I(T;X) in nats.
        information_target: I(T;Y) in nats, achieved.
        encoder: p(t|x), (n, T).
        lower_bound: no encoder has I(T;X)² - β I(T;Y) below this.
    """

    beta: float
    information_input: float
    information_target: float
    encoder: Float[np.ndarray, "x t"]
    lower_bound: float

    @property
    def objective(self) -> float:
        """I(T;X)² - β I(T;Y)."""
        return self.information_input**2 - self.beta * self.information_target


@checked
def solve_deterministic(
    problem: DiscreteProblem, beta: float, starts: int = 20, seed: int = 0
) -> DeterministicSolution:
    """Minimise H(T) - β I(T;Y) over functions of X; inputs with the same p(y|x) get the same t.

    With two values of Y the optimum is exact: the objective is concave in the encoder, so that groups are cut apart by
    lines, that is, contiguous in p(y|x), and a dynamic programme finds the best cuts. With more, single inputs are
    moved while that lowers the objective, from T = X and from random functions.

    Args:
        problem: the law of X and Y.
        beta: above 0.
        starts: random starts, with more than two values of Y.
        seed: of the random starts.

    Returns:
        The solution; `method` says which of the two it is.

    Raises:
        ValueError: beta not above 0; a negative seed.
        MemoryError: two values of Y and more than 6000 different rows.
    """
    checks.positive("beta", beta)
    checks.whole("starts", starts, 0)
    checks.whole("seed", seed, 0)
    merged = problem.merged()
    exact = problem.n_targets == 2
    codes = _contiguous(merged, float(beta)) if exact else _moved(merged, float(beta), starts, seed)
    codes = np.unique(codes[problem.classes], return_inverse=True)[1]
    given, told = problem.information(np.eye(int(codes.max()) + 1)[codes])
    return DeterministicSolution(float(beta), codes, given, told, EXACT if exact else LOCAL)


@checked
def solve_squared(curve: DiscreteCurve, beta: float) -> SquaredSolution:
    """Minimise I(T;X)² - β I(T;Y) along the achievable bound of a curve.

    Args:
        curve: certified curve of the problem; its accuracy is what separates objective and `lower_bound`.
        beta: above 0.

    Returns:
        The solution, with an encoder that mixes those of two corners of the curve.

    Raises:
        ValueError: beta not above 0.
    """
    checks.positive("beta", beta)
    corners = curve.hull
    best, value = 0.0, 0.0
    for left, right in itertools.pairwise(corners):
        slope = (right[1] - left[1]) / (right[0] - left[0])
        place = float(np.clip(beta * slope / 2, left[0], right[0]))
        here = place**2 - beta * float(curve.lower(place))
        best, value = (place, here) if here < value else (best, value)
    encoder = curve.encoder_at(best)
    given, told = curve.problem.information(encoder)
    return SquaredSolution(float(beta), given, told, encoder, _squared_bound(curve, beta))


def _squared_bound(curve: DiscreteCurve, beta: float) -> float:
    """Least s² - β U(s), U the certified bound: on each of its straight pieces a parabola."""
    corners = np.unique(np.concatenate([[0.0], curve.breakpoints]))
    heights = curve.upper(corners)
    found = [float(np.min(corners**2 - beta * heights))]
    for place, height, step, rise in zip(corners, heights, np.diff(corners), np.diff(heights), strict=False):
        middle = float(np.clip(beta * rise / step / 2, place, place + step))
        found.append(middle**2 - beta * (height + rise / step * (middle - place)))
    return min(found)


def _contiguous(merged: DiscreteProblem, beta: float) -> np.ndarray:
    """The best cuts of the inputs in the order of p(y|x), for two values of Y."""
    order = np.argsort(merged.conditional[:, 1], kind="stable")
    n = len(order)
    if n > _MOST_EXACT:
        raise MemoryError(f"{n} different rows p(y|x); the exact method is for at most {_MOST_EXACT}: group rows first")
    joint = (merged.input_law[:, None] * merged.conditional)[order]
    sums = np.concatenate([np.zeros((1, 2)), np.cumsum(joint, axis=0)])
    best, cut = np.zeros(n + 1), np.zeros(n + 1, dtype=np.int64)
    for end in range(1, n + 1):
        costs = best[:end] + _group_cost(sums[end] - sums[:end], beta)
        cut[end] = int(np.argmin(costs))
        best[end] = costs[cut[end]]
    codes, end, number = np.empty(n, dtype=np.int64), n, 0
    while end > 0:
        codes[order[cut[end] : end]] = number
        end, number = int(cut[end]), number + 1
    return codes


def _group_cost(joint: np.ndarray, beta: float) -> np.ndarray:
    """What a group adds to H(T) + β H(Y|T): -p log p + β (p log p - Σ_y p_y log p_y), from its p(t, y) (..., k)."""
    joint = np.maximum(joint, 0.0)  # differences of cumulative sums
    mass = joint.sum(axis=-1)
    return (beta - 1) * xlogy(mass, mass) - beta * np.sum(xlogy(joint, joint), axis=-1)


def _moved(merged: DiscreteProblem, beta: float, starts: int, seed: int) -> np.ndarray:
    """The best of the local optima from T = X, from one group, and from random functions."""
    n, random = merged.n_inputs, np.random.default_rng(seed)
    begins = [np.arange(n), np.zeros(n, dtype=np.int64)]
    begins += [random.integers(0, random.integers(2, n + 1), size=n) for _ in range(starts if n > 2 else 0)]
    found = [_descent(merged, beta, codes) for codes in begins]
    return min(found, key=lambda pair: pair[1])[0]


def _descent(merged: DiscreteProblem, beta: float, codes: np.ndarray) -> tuple[np.ndarray, float]:
    """Move single inputs, and join pairs of groups, while that lowers the objective."""
    joint = merged.input_law[:, None] * merged.conditional
    codes, n = codes.copy(), merged.n_inputs
    groups = np.zeros((n + 1, joint.shape[1]))
    np.add.at(groups, codes, joint)
    moved = True
    while moved:
        moved = False
        for x in range(n):
            moved |= _move(groups, codes, x, joint[x], beta)
        moved |= _join(groups, codes, beta)
    return codes, float(_group_cost(groups, beta).sum())


def _move(groups: np.ndarray, codes: np.ndarray, x: int, own: np.ndarray, beta: float) -> bool:
    """Input x into the group, or a new one, where it costs least; whether that was another."""
    home = codes[x]
    groups[home] = np.maximum(groups[home] - own, 0.0) if np.count_nonzero(codes == home) > 1 else 0.0
    costs = _group_cost(groups + own[None, :], beta) - _group_cost(groups, beta)
    target = int(np.argmin(costs))
    if costs[target] >= costs[home] - 1e-13:
        target = int(home)
    groups[target] += own
    codes[x] = target
    return bool(target != home)


def _join(groups: np.ndarray, codes: np.ndarray, beta: float) -> bool:
    """The two groups whose union lowers the objective most, joined; whether there were any."""
    used = np.unique(codes)
    if len(used) < 2:
        return False
    costs = _group_cost(groups[used], beta)
    change = _group_cost(groups[used][:, None] + groups[used][None], beta) - costs[:, None] - costs[None, :]
    change[np.diag_indices(len(used))] = np.inf
    first, second = np.unravel_index(np.argmin(change), change.shape)
    if change[first, second] >= -1e-13:
        return False
    groups[used[first]] += groups[used[second]]
    groups[used[second]] = 0.0
    codes[codes == used[second]] = used[first]
    return True
