"""Progress of a sweep: how many trials, how many a second, and how much time is left."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import ProgressColumn, Task, TimeRemainingColumn
from rich.text import Text

from ntkinfo.report.progress import ConsoleProgress

Item = TypeVar("Item")
_DELAY, _INTERVAL = 2.0, 10.0  # seconds before the first line, and between lines


class _Rate(ProgressColumn):
    """Items a second, over the last while."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.3g}/s")


class SweepProgress(ConsoleProgress):
    """A `Track` that also shows the rate and the time left.

    Args:
        console: where to show it.
    """

    def __init__(self, console: Console):
        super().__init__(console)
        self._bars.columns = (*self._bars.columns, _Rate(), TimeRemainingColumn())

    def _lines(self, items: Iterable[Item], label: str, total: int | None) -> Iterator[Item]:
        start = first = time.monotonic()
        due = start + _DELAY
        for done, item in enumerate(items, start=1):
            yield item
            now = time.monotonic()
            if done == 1:
                first = now  # until here workers were started
            if now >= due:
                self._console.print(line(label, done, total, now - start, now - first), highlight=False, soft_wrap=True)
                due = now + _INTERVAL


def line(label: str, done: int, total: int | None, seconds: float, working: float) -> str:
    """One line of progress.

    Args:
        label: what is counted.
        done: how many.
        total: of how many, None where that is not known.
        seconds: since the beginning.
        working: since the first was done, which the rate is taken over.
    """
    of = f"{done}/{total} ({100 * done // total} %)" if total else str(done)
    text = f"{label}: {of}, {seconds:.0f} s"
    rate = (done - 1) / working if working > 0 else 0.0
    if rate == 0.0:
        return text
    text += f", {rate:.3g}/s"
    return text if total is None else f"{text}, {_span((total - done) / rate)} left"


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
