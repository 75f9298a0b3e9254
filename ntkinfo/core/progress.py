"""How long work reports where it is: a function handed in, so that CLI, notebooks and scripts each show their own."""

from __future__ import annotations

import importlib.util
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any, Protocol, TypeVar, runtime_checkable

Item = TypeVar("Item")
_DELAY = 2.0  # seconds before work is worth a line
_INTERVAL = 0.5  # seconds between changes of a line


@runtime_checkable
class Track(Protocol):
    """Iterate over `items`, showing progress under `label`."""

    def __call__(self, items: Iterable[Item], label: str, total: int | None = None) -> Iterator[Item]:
        """Yield every item once, in order."""
        ...


def silent(items: Iterable[Item], label: str, total: int | None = None) -> Iterator[Item]:
    """Show nothing."""
    yield from items


def bar(items: Iterable[Item], label: str, total: int | None = None) -> Iterator[Item]:
    """A tqdm bar (terminal or notebook) that appears once the work has taken two seconds and goes when it is done."""
    show = None if _has_widgets() else _notebook_display()
    if show is not None:
        yield from _notebook_line(items, label, total, show)
        return
    from tqdm import TqdmWarning

    with warnings.catch_warnings():
        # Without ipywidgets tqdm falls back to a plain bar, which is all that is wanted.
        warnings.simplefilter("ignore", TqdmWarning)
        from tqdm.auto import tqdm

    yield from tqdm(items, desc=label, total=total, delay=_DELAY, leave=False)


def _has_widgets() -> bool:
    return importlib.util.find_spec("ipywidgets") is not None


def _notebook_display() -> Callable[..., Any] | None:
    """IPython's `display` where a notebook's kernel runs this; a terminal has none."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return ipython.display.display if ipython is not None and hasattr(shell, "kernel") else None


def _notebook_line(items: Iterable[Item], label: str, total: int | None, show: Callable[..., Any]) -> Iterator[Item]:
    """One line of text that is emptied at the end: tqdm's bars would stay in the saved notebook as error output."""
    total = len(items) if total is None and isinstance(items, Sized) else total
    due, handle = time.monotonic() + _DELAY, None
    try:
        for done, item in enumerate(items, start=1):
            yield item
            if time.monotonic() < due:
                continue
            text = {"text/plain": f"{label}: {done}" + (f"/{total}" if total else "")}
            if handle is None:
                handle = show(text, raw=True, display_id=True)
            else:
                handle.update(text, raw=True)
            due = time.monotonic() + _INTERVAL
    finally:
        if handle is not None:
            handle.update({"text/plain": ""}, raw=True)
