"""Numpy work shared among a few threads: numpy lets go of the interpreter while it computes."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import ThreadpoolController

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST = 8  # more than this wait for the interpreter rather than for numpy
_ONE_AT_A_TIME = threading.RLock()
_HERE = threading.local()  # `busy` is set on the threads that work for `map_threads`


@functools.cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


def thread_count() -> int:
    """As many threads as the linear algebra library may use (OMP_NUM_THREADS and the like count), at most 8."""
    pools = [pool["num_threads"] for pool in _controller().info() if pool["user_api"] == "blas"]
    return min(MOST, max(pools, default=1))


def map_threads(function: Callable[[Item], Result], items: Iterable[Item], threads: int | None = None) -> list[Result]:
    """Apply a numpy function to every item, on several threads; results in the order of the items.

    Inside, the linear algebra library keeps to one thread: its own threads and these would wait for each other.

    Args:
        function: called with one item. Where it calls `map_threads` itself, that stays on the thread it is called on.
        items: what to call it with. How work is parted into items should not depend on the number of threads, so that
            results do not either.
        threads: how many; None for `thread_count()`.
    """
    items = list(items)
    if getattr(_HERE, "busy", False):  # the lock is held by the thread that waits for this one
        return [function(item) for item in items]
    with _ONE_AT_A_TIME:
        threads = min(thread_count() if threads is None else threads, len(items))
        with _controller().limit(limits=1, user_api="blas"):
            if threads <= 1:
                return [function(item) for item in items]
            with ThreadPoolExecutor(threads, initializer=_mark_busy) as pool:
                return list(pool.map(function, items))


def _mark_busy() -> None:
    _HERE.busy = True
