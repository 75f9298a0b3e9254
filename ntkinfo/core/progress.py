"""How long work reports where it is: a function handed in, so that CLI, notebooks and scripts each show their own."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar, runtime_checkable

Item = TypeVar("Item")


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
    """A tqdm bar (terminal or notebook) that appears once the work has taken two seconds."""
    from tqdm import TqdmWarning

    with warnings.catch_warnings():
        # Without ipywidgets tqdm falls back to a plain bar, which is all that is wanted.
        warnings.simplefilter("ignore", TqdmWarning)
        from tqdm.auto import tqdm

    yield from tqdm(items, desc=label, total=total, delay=2.0, leave=False)
