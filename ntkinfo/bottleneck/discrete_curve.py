"""The whole bottleneck curve of a discrete law between two bounds that are as close as was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import numpy as np
from jaxtyping import Float

from ntkinfo.bottleneck.discrete import BottleneckSolution, SolverSettings, solve
from ntkinfo.bottleneck.problems import DiscreteProblem
from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array
from ntkinfo.core.kept import Keeper, NotKept
from ntkinfo.core.progress import Track, bar

ACCURATE = "as accurate as asked for"
GIVEN = "all given betas solved"
POINT_LIMIT = "as many points as allowed"
UNCERTIFIED = "certificates too loose to come closer"
_SAME_BETA = 1e-9
_SHARE_OF_GAP = 0.1


@dataclass(frozen=True)
class DiscreteCurve:
    """The best I(T;Y) at every I(T;X), between an achievable and a certified bound; all in nats.

    Achievable: the concave hull of (0, 0), the solutions and (H(class), I(X;Y)), reached by choosing at random between
    two encoders and telling which one it was. Certified: every solution's `lower_bound` L gives I_Y <= (I_X - L) / β
    for all encoders; beside them stand I_Y <= I_X and I_Y <= I(X;Y).

    Args:
        problem: the law of X and Y.
        solutions: by rising β.
        stop: why no more points were computed.
    """

    problem: DiscreteProblem
    solutions: tuple[BottleneckSolution, ...]
    stop: str = field(default=GIVEN)

    @cached_property
    def beta(self) -> Float[np.ndarray, " b"]:
        """β of each solution."""
        return np.array([solution.beta for solution in self.solutions])

    @cached_property
    def information_input(self) -> Float[np.ndarray, " b"]:
        """I(T;X) of each solution."""
        return np.array([solution.information_input for solution in self.solutions])

    @cached_property
    def information_target(self) -> Float[np.ndarray, " b"]:
        """I(T;Y) of each solution."""
        return np.array([solution.information_target for solution in self.solutions])

    @cached_property
    def hull(self) -> Float[np.ndarray, "h 2"]:
        """Corners (I_X, I_Y) of the achievable bound, by rising I_X."""
        return _upper_hull(np.array([point for point, _ in self._anchors]))

    @cached_property
    def gap(self) -> float:
        """The largest distance between the two bounds over all I(T;X)."""
        return self.widest[1]

    @cached_property
    def widest(self) -> tuple[float, float]:
        """I(T;X) where the bounds are farthest apart, and how far."""
        places = self.breakpoints
        gaps = self.upper(places) - self.lower(places)
        return float(places[np.argmax(gaps)]), float(max(0.0, gaps.max()))

    def lower(self, information_input: Float[Array, "*i"] | float) -> np.ndarray:
        """An I(T;Y) that some encoder with at most this I(T;X) has.

        Args:
            information_input: I(T;X) in nats, 0 or greater.

        Returns:
            I(T;Y) in nats, of the same shape.

        Raises:
            ValueError: NaN or values below 0.
        """
        return np.asarray(np.interp(_checked(information_input), self.hull[:, 0], self.hull[:, 1]))

    def upper(self, information_input: Float[Array, "*i"] | float) -> np.ndarray:
        """An I(T;Y) that no encoder with this I(T;X) exceeds.

        Args:
            information_input: I(T;X) in nats, 0 or greater.

        Returns:
            I(T;Y) in nats, of the same shape.

        Raises:
            ValueError: NaN or values below 0.
        """
        given = _checked(information_input)
        slopes, heights = self._lines
        return np.asarray(np.min(slopes * given[..., None] + heights, axis=-1))

    def beta_at(self, information_input: Float[Array, "*i"] | float) -> np.ndarray:
        """1 / slope of the achievable bound, infinite where it is flat; on a corner that of the part to its right.

        Args:
            information_input: I(T;X) in nats, 0 or greater.

        Returns:
            β, of the same shape.

        Raises:
            ValueError: NaN or values below 0.
        """
        part = np.searchsorted(self.hull[:, 0], _checked(information_input), side="right") - 1
        rise = np.diff(self.hull, axis=0)
        with np.errstate(divide="ignore"):
            beta = np.append(np.where(rise[:, 1] > 0, rise[:, 0] / rise[:, 1], np.inf), np.inf)
        return np.asarray(beta[part])

    def encoder_at(self, information_input: float) -> Float[np.ndarray, "x t"]:
        """An encoder with this I(T;X) on the achievable bound, p(t|x), (n, T): a mixture of two corners' encoders.

        T consists of the corner that was chosen, at random and independent of X, and that corner's own T.

        Args:
            information_input: I(T;X) in nats, from 0 to the entropy of the classes.

        Raises:
            ValueError: a value outside that range.
        """
        checks.non_negative("information_input", information_input)
        corners = self.hull
        if information_input > corners[-1, 0] * (1 + 1e-12):
            raise ValueError(f"information_input is {information_input}; the curve ends at {corners[-1, 0]} nats")
        right = min(int(np.searchsorted(corners[:, 0], information_input, side="right")), len(corners) - 1)
        left = max(right - 1, 0)
        width = corners[right, 0] - corners[left, 0]
        share = 1.0 if width <= 0 else min(1.0, (information_input - corners[left, 0]) / width)
        parts = [(1 - share, self._corner_encoder(left)), (share, self._corner_encoder(right))]
        return np.concatenate([weight * encoder for weight, encoder in parts if weight > 0], axis=1)

    @cached_property
    def _anchors(self) -> list[tuple[tuple[float, float], int | None]]:
        """Achieved points with the solution they belong to; None for the two ends."""
        merged = self.problem.merged()
        anchors: list[tuple[tuple[float, float], int | None]]
        anchors = [((0.0, 0.0), None), ((merged.input_entropy, self.problem.mutual_information), None)]
        anchors += [((s.information_input, s.information_target), i) for i, s in enumerate(self.solutions)]
        return anchors

    def _corner_encoder(self, corner: int) -> np.ndarray:
        place = tuple(self.hull[corner])
        owner = next(index for point, index in self._anchors if point == place)
        if owner is not None:
            return self.solutions[owner].encoder
        if corner == 0:
            return np.ones((self.problem.n_inputs, 1))
        return np.eye(int(self.problem.classes.max()) + 1)[self.problem.classes]

    @cached_property
    def _lines(self) -> tuple[np.ndarray, np.ndarray]:
        """Slope and height at 0 of the lines that are the certified bound."""
        slopes = np.concatenate([1 / self.beta, [1.0, 0.0]])
        heights = np.array([-s.lower_bound / s.beta for s in self.solutions])
        return slopes, np.concatenate([heights, [0.0, self.problem.mutual_information]])

    @cached_property
    def breakpoints(self) -> np.ndarray:
        """Where the difference of the bounds can be largest: corners of either."""
        slopes, heights = self._lines
        with np.errstate(divide="ignore", invalid="ignore"):
            crossings = (heights[None, :] - heights[:, None]) / (slopes[:, None] - slopes[None, :])
        inside = np.isfinite(crossings) & (crossings >= 0)
        return np.unique(np.concatenate([crossings[inside], self.hull[:, 0]]))


class CurveInterrupted(KeyboardInterrupt):
    """Raised in place of KeyboardInterrupt.

    Attributes:
        partial: the `DiscreteCurve` of the points that were finished, with looser bounds.
    """

    def __init__(self, partial: DiscreteCurve):
        super().__init__("interrupted; `partial` holds the points that were finished")
        self.partial = partial


@checked
def bottleneck_curve(
    problem: DiscreteProblem,
    accuracy: float | None = 1e-3,
    betas: Sequence[float] = (),
    settings: SolverSettings | None = None,
    points: int = 400,
    progress: Track = bar,
    kept: Keeper | None = None,
) -> DiscreteCurve:
    """The bottleneck curve, resolved to a requested accuracy.

    The given βs are solved first, from the largest down, each from the solution above it (reverse annealing). Then β is
    chosen as the inverse slope of the piece of the achievable bound under the widest gap, until the certified bound is
    nowhere farther above it than `accuracy`.

    Args:
        problem: the law of X and Y.
        accuracy: largest distance of the two bounds, in nats; None to solve the given βs alone.
        betas: βs to solve in any case, above 0.
        settings: of each solution; for βs that are chosen here, `gap` is brought between a hundredth and a tenth of the
            accuracy.
        points: most solutions.
        progress: how to show where the work is.
        kept: remembers the solutions of a call with the same arguments that was interrupted.

    Returns:
        The curve; `stop` says why it ended, `gap` how close the bounds are.

    Raises:
        ValueError: an accuracy or β that is not above 0, neither accuracy nor βs.
        CurveInterrupted: on Ctrl-C, with the points that were finished.
    """
    wanted = _checked_betas(betas, accuracy)
    checks.whole("points", points)
    solved: list[BottleneckSolution] = []
    outcome = [GIVEN]
    work = _points(problem, accuracy, wanted, settings or SolverSettings(), outcome, kept or NotKept())
    try:
        for solution in progress(work, "bottleneck curve"):
            solved.append(solution)
            if len(solved) >= points and outcome[0] == "":
                outcome[0] = POINT_LIMIT
                break
    except KeyboardInterrupt:
        raise CurveInterrupted(_curve(problem, solved, "interrupted")) from None
    return _curve(problem, solved, outcome[0])


def _points(
    problem: DiscreteProblem,
    accuracy: float | None,
    betas: np.ndarray,
    settings: SolverSettings,
    outcome: list[str],
    kept: Keeper,
) -> Iterator[BottleneckSolution]:
    """Solutions as they come; the reason to stop is left in `outcome`."""
    solved: list[BottleneckSolution] = []

    def solution(beta: float, settings: SolverSettings) -> BottleneckSolution:
        compute = partial(solve, problem, beta, settings, _nearest(solved, beta))
        solved.append(kept.recall(f"curve {len(solved)} {beta!r}", compute))
        return solved[-1]

    for beta in betas:
        yield solution(float(beta), settings)
    if accuracy is None:
        return
    outcome[0] = ""
    loose = replace(settings, gap=min(accuracy * _SHARE_OF_GAP, max(settings.gap, accuracy * _SHARE_OF_GAP**2)))
    tried = set(np.round(np.log(betas) / _SAME_BETA))
    while (beta := _next_beta(_curve(problem, solved, ""), accuracy, tried, outcome)) is not None:
        tried.add(np.round(np.log(beta) / _SAME_BETA))
        yield solution(beta, loose)


def _next_beta(curve: DiscreteCurve, accuracy: float, tried: set[float], outcome: list[str]) -> float | None:
    """The inverse slope of the piece of the hull with the widest gap above it among those not tried before."""
    if curve.gap <= accuracy:
        outcome[0] = ACCURATE
        return None
    places = curve.breakpoints
    gaps = curve.upper(places) - curve.lower(places)
    hull = curve.hull
    for place in places[np.argsort(-gaps)][: np.count_nonzero(gaps > accuracy)]:
        for piece in _pieces_at(hull[:, 0], place):
            rise = hull[piece + 1] - hull[piece]
            if rise[1] <= 0 or rise[0] <= 0:
                continue
            beta = float(rise[0] / rise[1])
            if np.round(np.log(beta) / _SAME_BETA) not in tried:
                return beta
    outcome[0] = UNCERTIFIED
    return None


def _pieces_at(corners: np.ndarray, place: float) -> list[int]:
    """Pieces of the hull that hold a place: one, or two at a corner."""
    left = int(np.searchsorted(corners, place, side="left")) - 1
    right = int(np.searchsorted(corners, place, side="right")) - 1
    return [piece for piece in dict.fromkeys((left, right)) if 0 <= piece < len(corners) - 1]


def _nearest(solved: list[BottleneckSolution], beta: float) -> BottleneckSolution | None:
    """The solution with the smallest β above, as in reverse annealing; the largest below where there is none."""
    if not solved:
        return None
    above = [solution for solution in solved if solution.beta >= beta]
    return min(above, key=lambda s: s.beta) if above else None


def _curve(problem: DiscreteProblem, solved: list[BottleneckSolution], stop: str) -> DiscreteCurve:
    return DiscreteCurve(problem, tuple(sorted(solved, key=lambda solution: solution.beta)), stop)


def _checked_betas(betas: Sequence[float], accuracy: float | None) -> np.ndarray:
    values = np.unique(np.asarray(betas, dtype=np.float64))[::-1]
    checks.finite("betas", values)
    if np.any(values <= 0):
        raise ValueError(f"betas holds {values.min()}; each is the weight of I(T;Y), above 0")
    if accuracy is None and len(values) == 0:
        raise ValueError("neither accuracy nor betas are given; give one of them")
    if accuracy is not None:
        checks.positive("accuracy", accuracy)
    return values


def _checked(information_input: Array | float) -> np.ndarray:
    array = np.asarray(information_input, dtype=np.float64)
    if np.any(np.isnan(array)) or np.any(array < 0):
        raise ValueError("information_input holds NaN or a value below 0; information is 0 or greater")
    return array


def _upper_hull(points: np.ndarray) -> np.ndarray:
    """Corners of the smallest concave rising function above the points, from (0, 0) on."""
    order = np.lexsort((-points[:, 1], points[:, 0]))
    corners: list[np.ndarray] = []
    for point in points[order]:
        while len(corners) > 1 and _turns_up(corners[-2], corners[-1], point):
            corners.pop()
        if not corners or (point[1] > corners[-1][1] and point[0] > corners[-1][0]):
            corners.append(point)
    return np.array(corners)


def _turns_up(first: np.ndarray, second: np.ndarray, third: np.ndarray) -> bool:
    """Whether the middle point is on or below the line through the others."""
    return bool((second[0] - first[0]) * (third[1] - first[1]) >= (second[1] - first[1]) * (third[0] - first[0]))
