"""What a worker of a sweep runs: one batch of trials, whose every trial comes back as a row, an error included."""

from __future__ import annotations

import pickle
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Protocol, runtime_checkable

# Columns that every record has.
FINGERPRINT, ERROR, SECONDS = "fingerprint", "error", "seconds"

Row = dict[str, Any]


@runtime_checkable
class TrialLike(Protocol):
    """What the engine needs to know of a trial: its name in the records. `settings`, where there are any, go along."""

    @property
    def fingerprint(self) -> str:
        """The same for the same trial, in every process."""
        ...


@runtime_checkable
class OutcomeLike(Protocol):
    """What a trial came to."""

    @property
    def fingerprint(self) -> str:
        """Of the trial."""
        ...

    @property
    def row(self) -> Mapping[str, Any]:
        """Columns of its record."""
        ...

    @property
    def error(self) -> str | None:
        """What went wrong, or None."""
        ...

    @property
    def seconds(self) -> float:
        """How long it took."""
        ...


Measure = Callable[[Sequence[Any]], Iterator[Any]]


@dataclass(frozen=True)
class LostWorker:
    """Comes in place of an answer where the worker of a batch is gone, by its trials' doing or another's."""


@dataclass(frozen=True)
class Answer:
    """What a batch came to.

    Args:
        rows: one for every trial of the batch.
        seconds: wall clock of the whole batch.
    """

    rows: list[Row]
    seconds: float


# The trials of one process are measured one after the other: their measures may keep kernels in it.
_ONE_AT_A_TIME = threading.Lock()


def packed(measure: Measure, trials: Sequence[TrialLike]) -> bytes:
    """A batch as it is sent to a worker.

    Raises:
        TypeError: the function or a trial cannot be sent.
    """
    try:
        return pickle.dumps((version("ntkinfo"), measure, tuple(trials)))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise TypeError(
            f"the measure and its trials cannot be sent to workers ({error}); the measure must be a function at the "
            "top of a module that workers can import, the trials plain data"
        ) from error


def run_batch(load: bytes) -> Answer:
    """Measure a packed batch; called by the cluster, in a worker.

    Raises:
        RuntimeError: this worker has another version of ntkinfo than the driver.
    """
    theirs, measure, trials = pickle.loads(load)
    if theirs != version("ntkinfo"):
        raise RuntimeError(
            f"this worker has ntkinfo {version('ntkinfo')} and the driver {theirs}; install the same on both"
        )
    with _ONE_AT_A_TIME:
        start = time.perf_counter()
        rows = list(measured(measure, trials))
        return Answer(rows, time.perf_counter() - start)


def measured(measure: Measure, trials: Sequence[TrialLike]) -> Iterator[Row]:
    """The row of every trial, once each.

    Where the measure itself fails, trials without an outcome are measured one at a time, and those on which it fails
    again come back with their error.
    """
    missing = {trial.fingerprint: trial for trial in trials}
    try:
        for outcome in measure(trials):
            if missing.pop(outcome.fingerprint, None) is not None:
                yield row_of(outcome)
        reason = "the measure gave no outcome for this trial"
    except Exception as error:  # whatever it is, it becomes the record of the trial
        reason = _told(error)
    for trial in missing.values():
        if len(trials) == 1:
            yield failure(trial, reason)
        else:
            yield from measured(measure, [trial])


def row_of(outcome: OutcomeLike) -> Row:
    """The record of an outcome; what the outcome says of itself comes before columns of the same name."""
    known = {FINGERPRINT: outcome.fingerprint, ERROR: outcome.error, SECONDS: float(outcome.seconds)}
    return {**known, **outcome.row, **known}


def failure(trial: TrialLike, reason: str, seconds: float = 0.0) -> Row:
    """The record of a trial that could not be measured, with its settings where it has any."""
    known = {FINGERPRINT: trial.fingerprint, ERROR: reason, SECONDS: seconds}
    return {**known, **dict(getattr(trial, "settings", {})), **known}


def _told(error: Exception) -> str:
    """The error and the line of the program it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" (line {frames[-1].lineno} of {frames[-1].name})" if frames else ""
    return f"{type(error).__name__}: {error}{where}"
