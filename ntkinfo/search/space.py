"""What a search varies: values on a grid, drawn at random, or spread evenly by a Sobol sequence."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.search.trial_description import AXES, TEACHER, Trial, TrialOptions, Value, plain

KINDS = ("grid", "random", "sobol")
WHOLE_NUMBERS = ("n", "depth", "seed")
NUMBERS = ("n", "noise", "depth", "w_std", "b_std", "ridge", "time", "seed")
MOST = 5_000_000


@checked
@dataclass(frozen=True)
class Range:
    """All numbers between two.

    Args:
        low: the least.
        high: the largest.
        log: spread evenly over the logarithm.

    Raises:
        ValueError: bounds in the wrong order, not finite, or not above 0 on a logarithmic axis.
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self):
        for name in ("low", "high"):
            checks.finite_number(name, getattr(self, name))
        if not self.low < self.high:
            raise ValueError(f"a range goes from {self.low:g} to {self.high:g}; it must rise")
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic range begins at {self.low:g}; it must begin above 0")

    def at(self, place: float, whole: bool) -> float | int:
        """The number at a place in [0, 1); whole numbers get equal shares (of the logarithm)."""
        low, high = (self.low - 0.5, self.high + 0.5) if whole else (self.low, self.high)
        if self.log:
            value = math.exp(math.log(low) + place * (math.log(high) - math.log(low)))
        else:
            value = low + place * (high - low)
        return min(max(round(value), round(self.low)), round(self.high)) if whole else value


Axis = Sequence[Value] | Range


def axis_of(name: str, given: Any) -> Axis:
    """An axis as it is written: one value, a list of values, or [low, high, "log"] or [low, high, "linear"].

    Raises:
        ValueError: an unknown axis, no values, values that repeat, a range of what is no number.
    """
    checks.choice("axis", name, AXES)
    values = [plain(v) for v in given] if isinstance(given, list | tuple | np.ndarray) else [plain(given)]
    if not values:
        raise ValueError(f"{name} is empty; give at least one value")
    if len(values) == 3 and values[2] in ("log", "linear"):
        if name not in NUMBERS or isinstance(values[0], str) or isinstance(values[1], str):
            raise ValueError(f"{name} is {values!r}: only numbers have ranges")
        try:
            return Range(float(values[0]), float(values[1]), values[2] == "log")
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    if name in NUMBERS and name not in WHOLE_NUMBERS:
        values = [float(v) if isinstance(v, int) and not isinstance(v, bool) else v for v in values]
    if len(set(values)) < len(values):
        raise ValueError(f"{name} is {values!r}; give each value once")
    if name in NUMBERS and any(isinstance(v, str | bool) for v in values):
        raise ValueError(f'{name} is {values!r}; it must be numbers, or [low, high, "log"] or [low, high, "linear"]')
    return tuple(values)


@checked
@dataclass(frozen=True)
class Space:
    """What is varied, and how trials are chosen from it.

    Args:
        axes: by axis (`trial_description.AXES`) its values or its range; what is left out keeps the trial's default.
        options: what all the trials have in common.
        kind: "grid" takes every combination of values, which scores by environment need; "random" draws them
            independently; "sobol" spreads them evenly (best with a power of 2 of them).
        count: how many are drawn; repeated ones count once. A grid has none.
        seed: of the draws. A range of seeds or several of them are drawn as well.

    Raises:
        ValueError: whatever is wrong with an axis or with a value on it, before any work; a range on a grid.
    """

    axes: Mapping[str, Axis] = field(default_factory=dict)
    options: TrialOptions = field(default_factory=TrialOptions)
    kind: str = "grid"
    count: int | None = None
    seed: int = 0

    def __post_init__(self):
        checks.choice("kind", self.kind, KINDS)
        checks.whole("seed", self.seed, least=0)
        axes = {name: given if isinstance(given, Range) else axis_of(name, given) for name, given in self.axes.items()}
        object.__setattr__(self, "axes", {name: axes[name] for name in AXES if name in axes})
        if self.kind == "grid":
            self._check_grid()
        elif self.count is None:
            raise ValueError(f"kind is {self.kind!r} and needs a count of trials")
        else:
            checks.whole("count", self.count)
            if self.count > MOST:
                raise ValueError(f"count is {self.count:,}, and {MOST:,} trials are the most")
        for name, axis in self.axes.items():
            self._check_values(name, axis)

    def _check_grid(self) -> None:
        for name, axis in self.axes.items():
            if isinstance(axis, Range):
                raise ValueError(f"{name} is a range, and a grid needs values; list them, or take kind 'sobol'")
        if self.count is not None:
            raise ValueError("count is given, and a grid takes every combination; leave it out, or take kind 'sobol'")
        size = math.prod(len(axis) for axis in self.axes.values() if not isinstance(axis, Range))
        if size > MOST:
            raise ValueError(f"the grid has {size:,} combinations, and {MOST:,} are the most; take fewer values")

    def _check_values(self, name: str, axis: Axis) -> None:
        """Try each value by itself, those of a range at their ends; what depends on the data set, where all may be."""
        whole = name in WHOLE_NUMBERS
        if whole and isinstance(axis, Range) and not (float(axis.low).is_integer() and float(axis.high).is_integer()):
            raise ValueError(f"{name} goes from {axis.low:g} to {axis.high:g}; its bounds must be whole numbers")
        values = (axis.at(0.0, whole), axis.at(1.0, whole)) if isinstance(axis, Range) else axis
        if whole and any(not isinstance(v, int) for v in values):
            raise ValueError(f"{name} is {list(values)!r}; it must be whole numbers")
        if name == "data":
            return  # a data set alone may lack its files; whole trials are checked when they are made
        # The teacher gives any number of inputs, and its noise is a deviation.
        others = {"data": TEACHER} if name in ("n", "noise") else {}
        for value in values:
            given: dict[str, Any] = {**others, name: value}
            Trial(**given)

    def trials(self) -> tuple[Trial, ...]:
        """All the trials, each once.

        Raises:
            ValueError: a combination that makes no sense, as more inputs than a data set has.
        """
        found: dict[str, Trial] = {}
        for chosen in self._combinations():
            trial = Trial(**chosen, options=self.options)
            found.setdefault(trial.fingerprint, trial)
        return tuple(found.values())

    def _combinations(self) -> Iterator[dict[str, Any]]:
        names = tuple(self.axes)
        if self.kind == "grid":
            values = [axis for axis in self.axes.values() if not isinstance(axis, Range)]
            yield from (dict(zip(names, chosen, strict=True)) for chosen in itertools.product(*values))
            return
        for point in self._points():
            yield {name: _pick(name, self.axes[name], place) for name, place in zip(names, point, strict=True)}

    def _points(self) -> Float[np.ndarray, "count axes"]:
        """Points of the unit cube."""
        assert self.count is not None
        dims = max(len(self.axes), 1)
        if self.kind == "random":
            points = np.random.default_rng(self.seed).random((self.count, dims))
        else:
            from scipy.stats import qmc

            exponent = (self.count - 1).bit_length()
            sobol: Any = qmc.Sobol  # `seed` is `rng` from scipy 1.15 on, which takes either
            points = sobol(dims, scramble=True, seed=self.seed).random_base2(exponent)[: self.count]
        return points[:, : len(self.axes)]


def _pick(name: str, axis: Axis, place: float) -> Value:
    if isinstance(axis, Range):
        return axis.at(place, name in WHOLE_NUMBERS)
    return axis[min(int(place * len(axis)), len(axis) - 1)]
