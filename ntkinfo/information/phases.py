"""The phases of an information over training time: where it rises, where it falls, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from jaxtyping import Float

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array, to_numpy
from ntkinfo.information.plane_records import draw_errors, interval_of_times

_ROUNDING = 3e-12  # of the largest value: differences of this size are no differences
_PAIRS_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Phase:
    """A stretch of time over which an information rises ("fitting") or falls ("compression").

    Args:
        kind: which.
        start: time of the extremum at which it begins, among the times computed.
        start_interval: 90 % interval of that time, widened to the neighbouring times.
        end: time of the extremum at which it ends; for the last phase the extreme value that is reached.
        end_interval: the same for the end; wide where the curve levels off.
        change: of the information over the phase, in nats.
        change_error: standard error of the change.
        probability: that it is no work of chance: 1 less the probability with which errors of the stated size alone
            would make a flat curve show, anywhere, a change as significant as the most significant one of the phase.
    """

    kind: Literal["fitting", "compression"]
    start: float
    start_interval: tuple[float, float]
    end: float
    end_interval: tuple[float, float]
    change: float
    change_error: float
    probability: float


@checked
def phases(
    times: Float[Array, " t"],
    values: Float[Array, " t"],
    covariance: Float[Array, "t t"] | Float[Array, " t"],
    *,
    level: float = 0.05,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[Phase, ...]:
    """Find the phases of a curve over time: the stretches between those sign changes of its slope that errors allow.

    The sign of the slope in log time is that of the differences between times. A change of direction counts once the
    curve has gone back by more, in units of the error of the difference, than errors alone would take any flat curve
    anywhere, with probability `level`; the critical value comes from curves drawn from the stated errors.

    Args:
        times: (T,), strictly rising; 0 and infinity are allowed.
        values: of the information, (T,), in nats.
        covariance: of their errors, (T, T), or standard errors of independent ones, (T,).
        level: probability of finding any phase in a flat curve, or any reversal in a monotone one.
        resamples: curves drawn from the errors.
        seed: of those draws.

    Returns:
        The phases in order of time, their kinds alternating; none for a curve that is flat within its errors.

    Raises:
        ValueError: times out of order, shapes that do not fit, NaN or infinite values, a level outside (0, 1), no
            resamples, a covariance that is none.

    Assumes Gaussian errors of known size; with errors understated, noise becomes phases. Turning points are known to
    the spacing of the times at best: the intervals reach to the neighbouring times at least. Fails to see phases that
    begin and end between two times.
    """
    times, values = np.asarray(times, dtype=np.float64), np.asarray(values, dtype=np.float64)
    matrix = _checked_curve(times, values, to_numpy(covariance).astype(np.float64), level, resamples)
    noise = draw_errors(matrix, resamples, seed)
    scale = _difference_errors(matrix, values)
    largest = _largest_moves(noise, scale)
    # Without any error the draws are all 0; what has to be exceeded then is the rounding that `scale` allows for.
    critical = max(float(np.quantile(largest, 1 - level)), 1.0)
    steps = (values[None, :] - values[:, None]) / scale
    turns, rising = _turning_points(values, steps, critical)
    intervals = [_turn_interval(times, values[None, :] + noise, turns, place, rising) for place in range(len(turns))]
    found = []
    for place, (start, end) in enumerate(pairwise(turns)):
        up = rising == (place % 2 == 0)
        evidence = float(np.max(np.triu(steps[start : end + 1, start : end + 1] * (1 if up else -1))))
        chance = (1 + int(np.sum(largest >= evidence))) / (1 + resamples)
        found.append(
            Phase(
                kind="fitting" if up else "compression",
                start=float(times[start]),
                start_interval=intervals[place],
                end=float(times[end]),
                end_interval=intervals[place + 1],
                change=float(values[end] - values[start]),
                change_error=float(scale[start, end]),
                probability=1 - chance,
            )
        )
    return tuple(found)


def _checked_curve(
    times: np.ndarray, values: np.ndarray, covariance: np.ndarray, level: float, resamples: int
) -> Float[np.ndarray, "t t"]:
    checks.times(times)
    checks.shape("values", values, (len(times),), "one value for each time")
    checks.finite("values", values)
    checks.finite("covariance", covariance)
    checks.whole("resamples", resamples)
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it is a probability strictly between 0 and 1")
    if covariance.ndim == 1:
        checks.shape("covariance", covariance, (len(times),), "one standard error for each time")
        return np.diag(covariance**2)
    checks.shape("covariance", covariance, (len(times), len(times)), "the covariance of the errors over times")
    return covariance


def _difference_errors(covariance: np.ndarray, values: np.ndarray) -> Float[np.ndarray, "t t"]:
    """Standard error of the difference between any two times, with room for rounding."""
    variances = np.diagonal(covariance)
    total = variances[:, None] + variances[None, :]
    # Where errors are all but equal, their difference has a variance that is itself lost in rounding.
    squared = np.maximum(total - 2 * covariance, 1e-12 * total)
    rounding = max(_ROUNDING * float(np.max(np.abs(values))), 1e-150)
    return np.hypot(np.sqrt(squared), rounding)


def _largest_moves(noise: Float[np.ndarray, "r t"], scale: Float[np.ndarray, "t t"]) -> Float[np.ndarray, " r"]:
    """The most significant difference between any two times of each drawn curve."""
    size = max(1, _PAIRS_AT_ONCE // scale.size)
    parts = [noise[start : start + size] for start in range(0, len(noise), size)]
    return np.concatenate(
        [np.max(np.abs(part[:, None, :] - part[:, :, None]) / scale[None], axis=(1, 2)) for part in parts]
    )


def _turning_points(values: np.ndarray, steps: np.ndarray, critical: float) -> tuple[list[int], bool]:
    """Indices of start, turning points and end, and whether the first phase rises; no index for a flat curve."""
    turns: list[int] = []
    rising = first = True
    for now in range(1, len(values)):
        since = turns[-1] if turns else 0
        moves = steps[since:now, now]
        if not turns:
            up, down = bool(np.max(moves) > critical), bool(np.min(moves) < -critical)
            if up or down:
                rising = first = up if up != down else bool(np.max(moves) > -np.min(moves))
                turns.append(_extremum(values, 0, now + 1, lowest=rising))
        elif np.max(-moves if rising else moves, initial=-np.inf) > critical:
            turns.append(_extremum(values, since, now + 1, lowest=not rising))
            rising = not rising
    if turns:
        turns.append(_extremum(values, turns[-1], len(values), lowest=not rising))
    return turns, first


def _extremum(values: np.ndarray, start: int, stop: int, lowest: bool) -> int:
    part = values[start:stop]
    return start + int(np.argmin(part) if lowest else np.argmax(part))


def _turn_interval(
    times: np.ndarray, curves: Float[np.ndarray, "r t"], turns: list[int], place: int, rising: bool
) -> tuple[float, float]:
    """Where resampled curves have the extremum that a turning point is, between the ones before and after it."""
    start = turns[place - 1] if place else 0
    stop = turns[place + 1] if place + 1 < len(turns) else curves.shape[1] - 1
    lowest = rising == (place % 2 == 0)
    part = curves[:, start : stop + 1]
    drawn = start + (np.argmin(part, axis=1) if lowest else np.argmax(part, axis=1))
    return interval_of_times(times, drawn, turns[place])


def describe(found: tuple[Phase, ...]) -> Iterator[str]:
    """One readable line for each phase.

    Args:
        found: what `phases` returned.

    Yields:
        Kind, times with their intervals, change with its error, probability.
    """
    for phase in found:
        yield (
            f"{phase.kind}: from {phase.start:.3g} ({_span(phase.start_interval)}) "
            f"to {phase.end:.3g} ({_span(phase.end_interval)}), "
            f"change {phase.change:+.2g} ± {phase.change_error:.1g} nats, probability {phase.probability:.4f}"
        )


def _span(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.3g} to {interval[1]:.3g}"
