"""Trials without any theory in them, and what measures them; workers import this by name."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Toy:
    """A trial that sleeps, and then gives a number, fails, or kills its process.

    Args:
        number: of the trial.
        seconds: how long it sleeps.
        deed: "measure", "fail" (by an outcome), "raise" (out of the measure), "kill" (its process), "once" (kill it
            where the trial has left no file in `mark` before), or "text" (a row that does not fit).
        mark: a folder in which every start of the trial leaves a file, or None.
    """

    number: int
    seconds: float = 0.0
    deed: str = "measure"
    mark: str | None = None

    @property
    def fingerprint(self) -> str:
        return f"toy-{self.number:05d}"

    @property
    def settings(self) -> dict[str, Any]:
        return {"number": self.number, "deed": self.deed}


@dataclass(frozen=True)
class ToyOutcome:
    fingerprint: str
    row: dict[str, Any]
    error: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class ToyGroup:
    key: str
    trials: tuple[Toy, ...]
    shared_seconds: float = 0.0
    trial_seconds: float = 0.0
    memory: int = field(default=0)


def measure(trials: Sequence[Toy]) -> Iterator[ToyOutcome]:
    for toy in trials:
        start = time.perf_counter()
        begun = toy.mark is not None and any(name.startswith(toy.fingerprint) for name in os.listdir(toy.mark))  # noqa: PTH208
        if toy.mark is not None:
            with open(os.path.join(toy.mark, f"{toy.fingerprint}-{os.getpid()}-{time.time_ns()}"), "w"):  # noqa: PTH118, PTH123
                pass
        time.sleep(toy.seconds)
        if toy.deed == "kill" or (toy.deed == "once" and not begun):
            os.kill(os.getpid(), signal.SIGKILL)
        if toy.deed == "raise":
            raise RuntimeError(f"toy {toy.number} is broken")
        row: dict[str, Any] = {**toy.settings, "square": float(toy.number**2), "process": os.getpid()}
        if toy.deed == "text":
            row["square"] = "not a number"
        error = "it failed" if toy.deed == "fail" else None
        yield ToyOutcome(toy.fingerprint, toy.settings if error else row, error, time.perf_counter() - start)


def compute(trials: Sequence[Toy]) -> Iterator[ToyOutcome]:
    """Keep one thread busy for the processor seconds that each trial asks for."""
    for toy in trials:
        start, value = time.process_time(), 1.0
        while time.process_time() - start < toy.seconds:
            value = sum((value * k) % 1.0 for k in range(1000))
        yield ToyOutcome(toy.fingerprint, {"number": toy.number, "value": value}, None, toy.seconds)


def groups(count: int, of: int = 10, **settings: Any) -> list[ToyGroup]:
    """`count` trials in groups of `of`; settings by number of trial (a mapping from numbers) or one for all."""
    toys = [
        Toy(
            k,
            **{
                key: value.get(k, Toy.__dataclass_fields__[key].default) if isinstance(value, dict) else value
                for key, value in settings.items()
            },
        )
        for k in range(count)
    ]
    return [ToyGroup(f"group-{k}", tuple(toys[k : k + of])) for k in range(0, count, of)]
