"""Which trials go to which worker next: batches of about equal time, a group on one worker, suspects by themselves.

A worker keeps the kernel of the group it is on, so a group stays where it is until workers would idle; then the largest
is shared, if what is left of it is worth a second kernel. Trials whose worker died under them are measured again one at
a time, then, where it dies again, one with nothing else on the cluster: a third death is the trial's own doing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Protocol, runtime_checkable

_GROWTH = 4  # a batch has at most so many times the trials of the one before it, and at first twice as many
_SMALLEST = 8  # the last batches have at least one part in so many of the usual trials: neighbours share work
_ALONE = 2  # so many deaths, and a trial is measured with nothing else going on
AHEAD = 2  # batches a worker is given at once: one runs, the next one waits


@runtime_checkable
class GroupLike(Protocol):
    """Trials that share work, with what the plan expects of them; 0 seconds where it expects nothing."""

    @property
    def key(self) -> str:
        """What they share."""
        ...

    @property
    def trials(self) -> Sequence[Any]:
        """In the order in which neighbours share most."""
        ...

    @property
    def shared_seconds(self) -> float:
        """What each worker that takes trials of it spends first."""
        ...

    @property
    def trial_seconds(self) -> float:
        """Of one trial after that."""
        ...


@dataclass(frozen=True, eq=False)
class Batch:
    """Trials that go to a worker together.

    Args:
        group: number of the group, in the order of the queue.
        trials: at least one.
        alone: nothing else may be going on.
        opens: the worker has not had trials of the group before, and pays what they share.
    """

    group: int
    trials: tuple[Any, ...]
    alone: bool = False
    opens: bool = False


@dataclass(eq=False)
class _Rest:
    """What is left of a group."""

    group: Any
    trials: deque
    trial_seconds: float | None = None
    last: int = 0
    workers: set[str] = field(default_factory=set)
    opened: set[str] = field(default_factory=set)


class Queue:
    """Trials that have not been handed out.

    Args:
        groups: with the trials to be measured.
        batch_seconds: how long a batch should take.
    """

    def __init__(self, groups: Iterable[GroupLike], batch_seconds: float):
        rest = [_Rest(group, deque(group.trials)) for group in groups]
        # The longest first, so that none is left over for a single worker at the end.
        self._rest = sorted(rest, key=lambda r: -_planned(r.group, len(r.trials)))
        self._free = deque(range(len(rest)))
        self._batch_seconds = batch_seconds
        self._home: dict[str, int] = {}
        self._suspects: deque[Batch] = deque()
        self._last: deque[Batch] = deque()
        self._deaths: dict[str, int] = {}
        self._left = sum(len(r.trials) for r in rest)
        self._seen, self._seconds, self._planned = 0, 0.0, 0.0

    @property
    def left(self) -> bool:
        """Whether anything has not been handed out."""
        return bool(self._left or self._suspects or self._last)

    def take(self, worker: str, workers: int, running: int) -> Batch | None:
        """The next batch for a worker, or None where there is nothing for it now.

        Args:
            worker: its name.
            workers: how many there are.
            running: batches handed out and not settled, on all workers.
        """
        index = self._group_for(worker)
        if index is not None:
            return self._cut(index, worker, workers)
        if self._suspects:
            return self._suspects.popleft()
        if self._last and not running and not self._left:  # what is left belongs to a worker that asks later
            return self._last.popleft()
        return None

    def learn(self, batch: Batch, seconds: float) -> None:
        """Note how long a batch took."""
        rest, count = self._rest[batch.group], len(batch.trials)
        shared = rest.group.shared_seconds if batch.opens else 0.0
        own = max(seconds - self._scale() * shared, 0.1 * seconds)
        rest.trial_seconds = own / count
        if rest.group.trial_seconds > 0:
            self._planned += shared + count * rest.group.trial_seconds
            self._seconds += seconds
        self._seen += 1

    def died(self, batch: Batch, worker: str) -> list[Any]:
        """Take back the trials of a batch whose worker died; returns those that have had their last chance."""
        self.gone(worker)
        guilty = []
        for trial in batch.trials:
            deaths = self._deaths[trial.fingerprint] = self._deaths.get(trial.fingerprint, 0) + 1
            if batch.alone:
                guilty.append(trial)
            elif deaths < _ALONE:
                self._suspects.append(Batch(batch.group, (trial,)))
            else:
                self._last.append(Batch(batch.group, (trial,), alone=True))
        return guilty

    def give_back(self, batch: Batch) -> None:
        """Take back the trials of a batch that was never begun."""
        if len(batch.trials) == 1 and batch.trials[0].fingerprint in self._deaths:
            (self._last if batch.alone else self._suspects).append(batch)
            return
        self._rest[batch.group].trials.extendleft(reversed(batch.trials))
        self._left += len(batch.trials)
        self._free.append(batch.group)

    def gone(self, worker: str) -> None:
        """Forget a worker; its group is free."""
        index = self._home.pop(worker, None)
        if index is not None:
            self._rest[index].workers.discard(worker)
            self._free.append(index)

    def keep(self, workers: Collection[str]) -> None:
        """Forget all workers but these."""
        for worker in [name for name in self._home if name not in workers]:
            self.gone(worker)

    def _group_for(self, worker: str) -> int | None:
        home = self._home.get(worker)
        if home is not None and self._rest[home].trials:
            return home
        index = self._free_group()
        if index is None:
            index = self._largest_worth_sharing()
        if index is not None:
            self.gone(worker)
            self._home[worker] = index
            self._rest[index].workers.add(worker)
        return index

    def _free_group(self) -> int | None:
        while self._free:
            index = self._free.popleft()
            if self._rest[index].trials and not self._rest[index].workers:
                return index
        return None

    def _largest_worth_sharing(self) -> int | None:
        scale = self._scale()
        expected = {i: self._expected(rest) for i, rest in enumerate(self._rest) if rest.trials}
        worth = [i for i, seconds in expected.items() if seconds >= scale * self._rest[i].group.shared_seconds]
        return max(worth, key=lambda i: expected[i], default=None)

    def _cut(self, index: int, worker: str, workers: int) -> Batch:
        rest = self._rest[index]
        opens = worker not in rest.opened
        rest.opened.add(worker)
        # Towards the end batches shrink, so that all workers end together.
        size = self._size(rest)
        share = max(ceil(self._left / (AHEAD * workers)), size // _SMALLEST)
        size = max(1, min(size, share, len(rest.trials)))
        rest.last = size
        self._left -= size
        return Batch(index, tuple(rest.trials.popleft() for _ in range(size)), opens=opens)

    def _size(self, rest: _Rest) -> int:
        seconds = self._trial_seconds(rest)
        if seconds is None:
            return max(1, 2 * rest.last)
        wanted = max(1, int(self._batch_seconds / max(seconds, 1e-6)))
        if rest.trial_seconds is None and not self._seen:  # the plan alone says so
            return min(wanted, max(2 * rest.last, 8))
        return min(wanted, max(_GROWTH * rest.last, 8)) if rest.last else wanted

    def _trial_seconds(self, rest: _Rest) -> float | None:
        """Expected seconds of a trial of a group, None where nothing is known."""
        if rest.trial_seconds is not None:
            return rest.trial_seconds
        return self._scale() * rest.group.trial_seconds or None

    def _scale(self) -> float:
        """How many times longer than planned the batches have taken so far."""
        return self._seconds / self._planned if self._planned > 0 else 1.0

    def _expected(self, rest: _Rest) -> float:
        seconds = self._trial_seconds(rest)
        return len(rest.trials) * (1.0 if seconds is None else seconds)


def _planned(group: GroupLike, trials: int) -> float:
    return group.shared_seconds + trials * group.trial_seconds
