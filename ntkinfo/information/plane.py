"""How far a trajectory in the information plane stays from a frontier.

The frontier is any function of I(Z;X), so that this module needs to know nothing about where it comes from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.information.plane_records import PlaneTrajectory, draw_errors, interval_of_times

Frontier = Callable[[np.ndarray], np.ndarray]

_GRID = 401  # points of each of the three nested grids on which the nearest point of the frontier is sought


@dataclass(frozen=True)
class FrontierDistance:
    """How far below the frontier a trajectory runs, in nats; negative above it.

    Args:
        times: (T,).
        vertical: frontier(I(Z;X)) - I(Z;Y): the information about the target that an optimal code of the same rate
            would have had on top, (T,).
        vertical_error: its standard error, (T,).
        vertical_covariance: of its errors over times, (T, T).
        euclidean: distance to the nearest point of the frontier, (T,).
        euclidean_error: its standard error, (T,).
        captured: I(Z;Y) / frontier(I(Z;X)), (T,); NaN where the frontier is 0.
    """

    times: Float[np.ndarray, " t"]
    vertical: Float[np.ndarray, " t"]
    vertical_error: Float[np.ndarray, " t"]
    vertical_covariance: Float[np.ndarray, "t t"]
    euclidean: Float[np.ndarray, " t"]
    euclidean_error: Float[np.ndarray, " t"]
    captured: Float[np.ndarray, " t"]


@dataclass(frozen=True)
class ClosestApproach:
    """Where a trajectory comes closest to the frontier, vertically.

    Args:
        time: of the smallest distance among the times computed.
        interval: 90 % interval of that time, from resampled errors, widened to the neighbouring times.
        distance: there, in nats.
        distance_error: its standard error; the choice of the smallest is not accounted for.
        information_input: I(Z;X) there, in nats.
        information_target: I(Z;Y) there, in nats.
    """

    time: float
    interval: tuple[float, float]
    distance: float
    distance_error: float
    information_input: float
    information_target: float


@checked
def frontier_distance(trajectory: PlaneTrajectory, frontier: Frontier) -> FrontierDistance:
    """Distance of every point of a trajectory to a frontier, with its error.

    Args:
        trajectory: I(Z;X) and I(Z;Y) over time with their covariance.
        frontier: the largest I(Z;Y) at given I(Z;X), both in nats: a concave, rising function of an array that is 0 or
            above, for instance `GaussianBottleneck.frontier`.

    Returns:
        Vertical and Euclidean distances, positive below the frontier.

    Raises:
        ValueError: a frontier that does not return one finite number for each it is given.

    Errors are carried over to first order, the slope of the frontier taken over one standard error to each side; values
    of I(Z;X) that errors carried below 0 are measured from the frontier's start. Fails to give a symmetric error where
    the frontier bends strongly within one standard error.
    Source: theory §8.6.
    """
    given, target = trajectory.information_input, trajectory.information_target
    height = _height(frontier, given)
    step = np.maximum(trajectory.standard_errors[0], 1e-6)
    low, high = np.maximum(given - step, 0.0), np.maximum(given, 0.0) + step
    slope = (_height(frontier, high) - _height(frontier, low)) / (high - low)
    vertical = height - target
    down = np.stack([slope, np.full_like(slope, -1.0)])
    foot, found = _nearest(frontier, given, target, np.abs(vertical))
    distance = np.hypot(foot - given, found - target)
    sign = np.where(vertical < 0, -1.0, 1.0)
    apart = distance > 1e-12
    safe = np.where(apart, distance, 1.0)
    away = sign * np.stack([given - foot, target - found]) / safe
    normal = np.where(apart, away, down / np.hypot(slope, 1.0))
    covariance = _carried(trajectory, down)
    with np.errstate(divide="ignore", invalid="ignore"):
        captured = np.where(height > 0, target / height, np.nan)
    return FrontierDistance(
        times=trajectory.times,
        vertical=vertical,
        vertical_error=np.sqrt(np.maximum(np.diagonal(covariance), 0.0)),
        vertical_covariance=covariance,
        euclidean=sign * distance,
        euclidean_error=np.sqrt(np.maximum(np.diagonal(_carried(trajectory, normal)), 0.0)),
        captured=captured,
    )


@checked
def closest_approach(
    trajectory: PlaneTrajectory, frontier: Frontier, *, share: float = 0.5, resamples: int = 2000, seed: int = 0
) -> ClosestApproach:
    """The time at which a trajectory runs closest below the frontier, once it knows something of the target.

    Every trajectory that starts at I(Z;X) = 0 starts on the frontier. So only times count at which I(Z;Y) is at least
    `share` of its largest value.

    Args:
        trajectory: I(Z;X) and I(Z;Y) over time with their covariance.
        frontier: as in `frontier_distance`.
        share: of the largest I(Z;Y), from 0 (all times count) to 1.
        resamples: curves drawn from the errors for the interval.
        seed: of those draws.

    Returns:
        Time, interval and distance.

    Raises:
        ValueError: a share outside [0, 1], no resamples, as `frontier_distance`, or a covariance that is none.
    """
    checks.probability("share", share)
    checks.whole("resamples", resamples)
    distance = frontier_distance(trajectory, frontier)
    count = len(trajectory.times)
    noise = draw_errors(trajectory.joint_covariance, resamples, seed).reshape(resamples, 2, count)
    given, targets = trajectory.information_input + noise[:, 0], trajectory.information_target + noise[:, 1]
    drawn = _smallest(_height(frontier, given) - targets, targets, share)
    best = int(_smallest(distance.vertical[None], trajectory.information_target[None], share)[0])
    return ClosestApproach(
        time=float(trajectory.times[best]),
        interval=interval_of_times(trajectory.times, drawn, best),
        distance=float(distance.vertical[best]),
        distance_error=float(distance.vertical_error[best]),
        information_input=float(trajectory.information_input[best]),
        information_target=float(trajectory.information_target[best]),
    )


def _height(frontier: Frontier, given: np.ndarray) -> np.ndarray:
    height = np.asarray(frontier(np.maximum(given, 0.0)), dtype=np.float64)
    if height.shape != given.shape or not np.all(np.isfinite(height)):
        raise ValueError(
            f"the frontier turned values of shape {given.shape} into {height.shape} or into numbers that are not "
            "finite; it must give one finite I(Z;Y) for each I(Z;X) of 0 or above"
        )
    return height


def _nearest(
    frontier: Frontier, given: np.ndarray, target: np.ndarray, reach: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest point of the frontier; it lies within `reach`, the vertical distance, to the side."""
    low, high = np.maximum(given - reach, 0.0), np.maximum(given, 0.0) + reach
    rows, foot, found = np.arange(len(given)), given, target
    for _ in range(3):
        places = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, _GRID)[None, :]
        heights = _height(frontier, places)
        best = np.argmin((places - given[:, None]) ** 2 + (heights - target[:, None]) ** 2, axis=1)
        low, high = places[rows, np.maximum(best - 1, 0)], places[rows, np.minimum(best + 1, _GRID - 1)]
        foot, found = places[rows, best], heights[rows, best]
    return foot, found


def _carried(trajectory: PlaneTrajectory, gradient: Float[np.ndarray, "2 t"]) -> Float[np.ndarray, "t t"]:
    """Covariance over times of a function of each point with the given gradient."""
    return np.einsum("at,atbs,bs->ts", gradient, trajectory.covariance, gradient)


def _smallest(distances: np.ndarray, targets: np.ndarray, share: float) -> np.ndarray:
    """Index of the smallest distance of each row among the times that count."""
    counts = targets >= share * np.max(targets, axis=1, keepdims=True)
    return np.argmin(np.where(counts, distances, np.inf), axis=1)
