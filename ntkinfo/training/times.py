"""Grids of training times."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked


@checked
def log_times(start: float, stop: float, count: int, infinity: bool = False) -> Float[np.ndarray, " t"]:
    """Return `count` times evenly spaced on a log axis from `start` to `stop`, and infinity after them if asked for.

    >>> log_times(0.01, 100.0, 3, infinity=True).tolist()
    [0.01, 1.0, 100.0, inf]

    Raises:
        ValueError: `start` or `stop` not positive and finite, `stop` not above `start`, `count` below 2.
    """
    checks.positive("start", start)
    checks.positive("stop", stop)
    checks.whole("count", count, least=2)
    if stop <= start:
        raise ValueError(f"stop is {stop} and start is {start}; stop must be the later time")
    times = np.geomspace(start, stop, count)
    return np.append(times, np.inf) if infinity else times
