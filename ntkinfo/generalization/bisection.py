"""Roots of monotone conditions to the last digit."""

from __future__ import annotations

from collections.abc import Callable


def bisect(holds: Callable[[float], bool], low: float, high: float) -> tuple[float, float]:
    """Neighbouring numbers between which a condition that holds at `low` and fails at `high` changes, if just once.

    Args:
        holds: the condition; neither end is tried.
        low: where it holds.
        high: where it fails.

    Returns:
        The last number at which it holds and the next one, which differ by one unit of the last place.
    """
    while low < (middle := 0.5 * (low + high)) < high:
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low, high
