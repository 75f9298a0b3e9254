"""What a search will take before it starts: groups of trials that share kernels, with time and memory of each.

The model of costs has one number a kind of work, measured on the machine that this was written on; a short timing on
the smallest group says how much faster or slower this one is. Compiling happens once a worker and an activation.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from ntkinfo.core.arguments import checked
from ntkinfo.core.memory import GIB, available_memory, require_memory
from ntkinfo.core.progress import Track, silent
from ntkinfo.search.trial import in_order, measure_trials
from ntkinfo.search.trial_description import POOLS, TEACHER, Outcome, Trial
from ntkinfo.search.trial_models import FAMILIES_HERE

_OUTPUTS = {"digits": 10, "wine": 3, "breast_cancer": 1, "diabetes": 1, TEACHER: 1}
_OUTPUTS_OF_FILES = 10
_MATRICES = 10  # of n × n at the peak of a law's measures, besides the kernels that are kept
_LAW_ARRAYS = 6  # of inputs × times and of inputs × outputs × times
_TIMED, _TIMING = 24, 2.0  # trials and seconds of a timing, at most; one trial at least
_PIXELS = 64  # of an image of digits, whose kernel carries covariances of pairs of pixels


@dataclass(frozen=True)
class Rates:
    """Seconds of each kind of work on one core.

    Args:
        compiling: a fully connected family of one activation, for each layer.
        entry: a kernel's entry, for each layer.
        loading: a split of a data set.
        decomposition: a kernel of n inputs, over n³.
        law: a law of one ridge and procedure, and
        law_entry: over n (n + m).
        targets: measures of one label noise, ridge and procedure, and
        targets_entry: over n².
        trial: losses and errors at one time, and
        trial_output: over the inputs times wrong classes, for more than two classes.
        drawn: I(Z;X) and I(Z;Y) at one time, over (n² + m²).
        member: a trained network of finite width, over width · n · steps.
    """

    compiling: float = 0.5
    entry: float = 5e-8
    loading: float = 0.03
    decomposition: float = 1.2e-9
    law: float = 6e-3
    law_entry: float = 6e-8
    targets: float = 9e-3
    targets_entry: float = 4e-8
    trial: float = 8e-4
    trial_output: float = 1.1e-6
    drawn: float = 8e-8
    member: float = 1e-9

    def faster(self, shared: float, trials: float) -> Rates:
        """The rates of a machine that takes these multiples of the time for what is shared and for the trials."""
        names = ("entry", "loading", "decomposition")
        slower = {name: getattr(self, name) * (shared if name in names else trials) for name in _COUNTED}
        return replace(self, **slower)


_COUNTED = tuple(name for name in Rates.__dataclass_fields__ if name != "compiling")


@dataclass(frozen=True)
class Group:
    """Trials that share the recursion of their kernels, in the order in which neighbours share most.

    Args:
        key: what they have in common.
        trials: the deepest first.
        shared_seconds: of kernels and decompositions, before the first trial.
        trial_seconds: of one trial after that, on average.
        memory: bytes at the peak.
    """

    key: str
    trials: tuple[Trial, ...]
    shared_seconds: float
    trial_seconds: float
    memory: int

    @property
    def seconds(self) -> float:
        """Of all of it on one core."""
        return self.shared_seconds + self.trial_seconds * len(self.trials)

    @property
    def kernels(self) -> int:
        """How many networks, each with its NNGP and its NTK."""
        return len({trial.depth for trial in self.trials})

    @property
    def decompositions(self) -> int:
        """How many eigen-decompositions: of both kernels of each network."""
        return 2 * self.kernels


@dataclass(frozen=True)
class Plan:
    """Everything a search will do.

    Args:
        groups: the longest first.
        compiling: seconds that every worker spends once.
    """

    groups: tuple[Group, ...]
    compiling: float

    @property
    def trials(self) -> int:
        """How many trials."""
        return sum(len(group.trials) for group in self.groups)

    @property
    def kernels(self) -> int:
        """How many networks."""
        return sum(group.kernels for group in self.groups)

    @property
    def decompositions(self) -> int:
        """How many eigen-decompositions."""
        return sum(group.decompositions for group in self.groups)

    @property
    def seconds(self) -> float:
        """Of all of it on one core."""
        return self.compiling + sum(group.seconds for group in self.groups)

    @property
    def memory(self) -> int:
        """Bytes of the largest group, which each worker may have at a time."""
        return max(group.memory for group in self.groups)

    def elapsed(self, workers: int) -> float:
        """Seconds on that many workers of one core each; all of them compile."""
        work = sum(group.seconds for group in self.groups) / workers
        return self.compiling + max(work, max(g.shared_seconds + g.trial_seconds for g in self.groups))

    def summary(self, workers: int = 1) -> str:
        """A few lines: trials, kernels, decompositions, time and memory."""
        return (
            f"{self.trials:,} trials in {len(self.groups):,} groups: {self.kernels:,} networks, "
            f"{self.decompositions:,} eigen-decompositions\n"
            f"about {_time_text(self.elapsed(workers))} on {workers} worker{'s' * (workers != 1)}, "
            f"{1e3 * self.seconds / self.trials:.3g} ms of one core a trial, "
            f"{self.memory / GIB:.2g} GiB a worker"
        )

    def require_memory(self, workers: int = 1) -> None:
        """Raise MemoryError where the largest groups do not fit beside each other."""
        needed = sum(sorted((group.memory for group in self.groups), reverse=True)[:workers]) / GIB
        largest = max(self.groups, key=lambda group: group.memory).trials[0]
        remedy = f"the largest has {largest.n} inputs of {largest.data}: take fewer inputs, n_test or workers"
        require_memory(f"{workers} group(s) of trials at a time", needed, available_memory(), remedy)


Measure = Callable[[Sequence[Trial]], Iterable[Outcome]]


@checked
def plan_trials(trials: Iterable[Trial], rates: Rates | None = None) -> Plan:
    """Group trials by what they share, and estimate what they take.

    Args:
        trials: different ones; repeated ones are counted once.
        rates: of this machine (`measured_rates`); None for those of a machine of 2026.

    Raises:
        ValueError: no trials.
    """
    rates = rates or Rates()
    groups: dict[str, list[Trial]] = {}
    for trial in in_order({trial.fingerprint: trial for trial in trials}.values()):
        groups.setdefault(trial.group, []).append(trial)
    if not groups:
        raise ValueError("there are no trials to plan")
    made = [_group(key, tuple(some), rates) for key, some in groups.items()]
    compiled: dict[tuple[str, str], int] = {}
    for group in made:
        first = group.trials[0]
        kind = (first.family, first.activation)
        compiled[kind] = max(compiled.get(kind, 0), first.depth + 1)
    seconds = rates.compiling * sum(compiled.values())
    return Plan(tuple(sorted(made, key=lambda group: -group.seconds)), seconds)


@checked
def measured_rates(trials: Iterable[Trial], measure: Measure = measure_trials, progress: Track = silent) -> Rates:
    """Time the smallest group's first few trials on this machine; some seconds where a trial does not take longer.

    Args:
        trials: of which the smallest are timed.
        measure: what measures them.
        progress: shown over the timings.
    """
    first = min(plan_trials(trials).groups, key=lambda group: group.seconds)
    most = max(1, min(_TIMED, int(_TIMING / first.trial_seconds)))
    some = [trial for trial in first.trials if trial.depth == first.trials[0].depth][:most]
    expected = _group(first.key, tuple(some), Rates())
    spent = []
    for repeat in progress(range(3), "timing a few trials", 3):
        if repeat < 2:  # the first one compiles, the second one finds no kernels, the third one does
            FAMILIES_HERE.clear()
        start = time.process_time()
        for _ in measure(some):
            pass
        spent.append(time.process_time() - start)
    trial = spent[2] / (expected.trial_seconds * len(some))
    shared = max(spent[1] - spent[2], 0.3 * expected.shared_seconds) / expected.shared_seconds
    return Rates().faster(shared, trial)


def _group(key: str, trials: tuple[Trial, ...], rates: Rates) -> Group:
    first = trials[0]
    n, m = first.n, _test_inputs(first)
    depths = {trial.depth for trial in trials}
    entries = n * n / 2 + n * m + n + m
    kernels = entries * (first.depth + 1) * rates.entry
    if first.family != "fully_connected":
        kernels = sum(entries * depth * _PIXELS**2 / 8 * rates.entry + 2.0 for depth in depths)
    shared = rates.loading + kernels + 2.5 * len(depths) * n**3 * rates.decomposition
    times = max(len(found) for found in _times(trials).values())
    return Group(
        key=key,
        trials=trials,
        shared_seconds=shared,
        trial_seconds=_all_trials(trials, rates, n, m) / len(trials),
        memory=_bytes(first, m, len(depths), times),
    )


def _times(trials: Sequence[Trial]) -> dict[tuple, set[float]]:
    """The times of each law."""
    found: dict[tuple, set[float]] = {}
    for trial in trials:
        found.setdefault((trial.depth, trial.ridge, trial.procedure), set()).add(trial.time)
    return found


def _all_trials(trials: Sequence[Trial], rates: Rates, n: int, m: int) -> float:
    options, outputs = trials[0].options, _outputs(trials[0])
    laws = len(_times(trials)) * (rates.law + rates.law_entry * n * (n + m))
    targets = len({(t.depth, t.ridge, t.procedure, t.noise) for t in trials})
    each = rates.trial + rates.trial_output * (n + m) * (outputs - 1) * (outputs > 2)
    if options.quantities == "all":
        each += rates.drawn * (n * n + m * m) * (1 if outputs > 1 else 0.6)
    if options.finite_width:
        each += rates.member * options.finite_members * options.finite_width * n * options.finite_steps
    return laws + targets * (rates.targets + rates.targets_entry * n * n) + len(trials) * each


def _test_inputs(trial: Trial) -> int:
    pool = POOLS.get(trial.data)
    return trial.options.n_test if pool is None else max(1, min(trial.options.n_test, pool - trial.n))


def _outputs(trial: Trial) -> int:
    return _OUTPUTS.get(trial.data, _OUTPUTS_OF_FILES)


def _bytes(trial: Trial, m: int, depths: int, times: int) -> int:
    n, layers = trial.n, trial.depth + 1
    kept = 2 * layers * n * (n + m) + 4 * depths * n * n
    if trial.family == "fully_connected":
        kept += 4 * layers * n * (n + m)  # while they are computed
    work = _MATRICES * n * n + 4 * n * m + _LAW_ARRAYS * times * (n + m) * (1 + _outputs(trial))
    drawn = 8 * m * m if trial.options.quantities == "all" else 0
    return 8 * (kept + work + drawn)


def _time_text(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
