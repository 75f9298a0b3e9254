"""Progress of long work on a terminal, or as sparse lines where the output is not one."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn

from ntkinfo.core.progress import Track

Item = TypeVar("Item")
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_DELAY = 2.0  # seconds before work is worth a line
_INTERVAL = 10.0  # seconds between lines where there is no terminal


class _Patient(Progress):
    """Bars that stay hidden until their work has taken a while."""

    def get_renderables(self):
        shown = [task for task in self.tasks if (task.elapsed or 0.0) >= _DELAY]
        if shown:
            yield self.make_tasks_table(shown)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Finish what has begun: Ctrl-C and SIGTERM inside the block do nothing, as a run that is ending ends by itself.

    What is computed inside is interrupted by `Interruptible` all the same.
    """
    before = {number: signal.signal(number, lambda number, frame: None) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Interruptible:
    """A `Track` that makes sure that Ctrl-C, and SIGTERM as batch systems send it, arrive.

    Python drops a KeyboardInterrupt that is raised inside a garbage-collection callback, and jax has one. So the signal
    is also remembered, and raised again at the next item.

    Args:
        track: what shows the progress.
    """

    def __init__(self, track: Track):
        self._track, self._requested = track, False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruptible:
        self._before = {number: signal.signal(number, self._remember) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __call__(self, items: Iterable[Item], label: str, total: int | None = None) -> Iterator[Item]:
        """Yield every item once, in order, unless interrupted."""
        for item in self._track(items, label, total):
            self._raise_if_requested()
            yield item
        self._raise_if_requested()

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self._requested = True
        raise KeyboardInterrupt

    def _raise_if_requested(self) -> None:
        if self._requested:
            self._requested = False
            raise KeyboardInterrupt


class ConsoleProgress:
    """A `Track` that shows bars on a terminal and a line every ten seconds elsewhere; nothing for short work.

    Args:
        console: where to show it.
    """

    def __init__(self, console: Console):
        self._console = console
        columns: list[ProgressColumn] = [
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        ]
        self._bars = _Patient(*columns, console=console, transient=True)

    def __enter__(self) -> ConsoleProgress:
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:  # elsewhere rich would print an empty line
            self._bars.stop()

    def __call__(self, items: Iterable[Item], label: str, total: int | None = None) -> Iterator[Item]:
        """Yield every item once, in order."""
        if total is None and isinstance(items, Sized):
            total = len(items)
        return self._bar(items, label, total) if self._console.is_terminal else self._lines(items, label, total)

    def _bar(self, items: Iterable[Item], label: str, total: int | None) -> Iterator[Item]:
        task = self._bars.add_task(label, total=total)
        try:
            for item in items:
                yield item
                self._bars.advance(task)
        finally:
            self._bars.remove_task(task)

    def _lines(self, items: Iterable[Item], label: str, total: int | None) -> Iterator[Item]:
        start = time.monotonic()
        due = start + _DELAY
        for done, item in enumerate(items, start=1):
            yield item
            now = time.monotonic()
            if now >= due:
                of = f"{done}/{total} ({100 * done // total} %)" if total else str(done)
                self._console.print(
                    f"{label}: {of}, {now - start:.0f} s", markup=False, highlight=False, soft_wrap=True
                )
                due = now + _INTERVAL
