"""The table that curves are filled into, and the labelled data set it becomes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from ntkinfo.core.records import Estimate, Meaning, errors_of
from ntkinfo.core.units import unit_attributes
from ntkinfo.information.curve_methods import SUFFIX, MethodCodes
from ntkinfo.information.provenance import TIME_UNITS
from ntkinfo.information.quantities import CLIPPED, QUANTITIES, SUFFIXES
from ntkinfo.training.output_distribution import OutputDistribution

SPLITS = ("train", "test")


class CurveTable:
    """Arrays over (time, split) or (time,), NaN where nothing has been put yet."""

    def __init__(self, distribution: OutputDistribution, chosen: tuple[str, ...]):
        self._times = distribution.times
        self._unit = distribution.procedure.loss
        self._chosen = chosen
        self._values: dict[str, np.ndarray] = {}
        self._routes: dict[str, MethodCodes] = {}
        self._notes: dict[str, None] = {}
        self._log: list[tuple[Any, ...]] = []

    def record(self, fill: Callable[[], object]) -> list[tuple[Any, ...]]:
        """Call what puts values here; returns what it put, for `replay`."""
        self._log = []
        fill()
        return self._log

    def replay(self, log: Sequence[tuple[Any, ...]]) -> None:
        """Put again what `record` returned."""
        for kind, *content in log:
            {"put": self._put, "route": self._route, "note": self.note}[kind](*content)

    def put(self, name: str, values: Any, split: str | None = None, part: slice = slice(None)) -> None:
        """Put values at some of the times; variables that were not asked for are passed over."""
        if base_name(name) in self._chosen:
            values = np.array(values)  # a copy, for the log
            self._log.append(("put", name, values, split, part))
            self._put(name, values, split, part)

    def put_estimate(self, name: str, estimate: Estimate, split: str | None = None, part: slice = slice(None)) -> None:
        """Put a value and its error, and remember what the value is and how it was computed."""
        if name not in self._chosen:
            return
        self.put(name, estimate.value, split, part)
        self.put(f"{name}_standard_error", estimate.standard_error, split, part)
        route = (estimate.meaning, estimate.method)
        self._log.append(("route", name, route, split, part))
        self._route(name, route, split, part)

    def put_closed_form(
        self, name: str, values: Any, errors: Any, split: str | None = None, part: slice = slice(None)
    ) -> None:
        """Put a value that has one route only, and its numerical error."""
        self.put(name, values, split, part)
        self.put(f"{name}_standard_error", errors_of(np.asarray(values), errors), split, part)

    def _put(self, name: str, values: np.ndarray, split: str | None, part: slice) -> None:
        if name not in self._values:
            self._values[name] = np.full(self._shape(base_name(name)), np.nan)
        self._values[name][_place(split, part)] = values

    def _route(self, name: str, route: tuple[Meaning, str], split: str | None, part: slice) -> None:
        codes = self._routes.setdefault(name, MethodCodes(self._shape(name)))
        codes.put(_place(split, part), Estimate(0.0, 0.0, *route))

    def _shape(self, name: str) -> tuple[int, ...]:
        count = len(self._times)
        return (count, len(SPLITS)) if "split" in QUANTITIES[name].dims else (count,)

    def note(self, *notes: str) -> None:
        """Remember what the reader of the result has to know."""
        self._log.append(("note", *notes))
        self._notes.update(dict.fromkeys(notes))

    def dataset(self, attributes: dict[str, Any]) -> xr.Dataset:
        """Return the labelled data set of what has been put so far."""
        variables = {name: self._variable(name, values) for name, values in self._values.items()}
        switches = dict(self._notes)
        for name, routes in self._routes.items():
            numbers = routes.variable(QUANTITIES[name].dims, QUANTITIES[name].long_name)
            if numbers is not None:
                variables[name + SUFFIX] = numbers
                switches.update(dict.fromkeys(routes.notes(name, self._times, SPLITS)))
        coordinates = {
            "time": ("time", self._times, {"long_name": "training time", **TIME_UNITS[self._unit]}),
            "split": ("split", np.array(SPLITS)),
        }
        ordered = sorted(variables, key=lambda name: (list(QUANTITIES).index(base_name(name)), len(name)))
        notes = {"notes": "; ".join(switches)}
        return xr.Dataset({name: variables[name] for name in ordered}, coordinates, {**attributes, **notes})

    def _variable(self, name: str, values: np.ndarray) -> xr.Variable:
        base = base_name(name)
        quantity, suffix = QUANTITIES[base], name.removeprefix(base)
        attributes = {"long_name": quantity.long_name, **unit_attributes(quantity.units), "meaning": quantity.meaning}
        if suffix:
            attributes["long_name"] = f"{quantity.long_name}: {SUFFIXES[suffix]}"
            attributes["meaning"] = SUFFIXES[suffix]
            if suffix in CLIPPED:
                attributes["clipped"] = CLIPPED[suffix]
        elif base in self._routes:
            # A curve may change its route on the way; it then names them all, and `_method` says which is where.
            attributes["meaning"] = " | ".join(self._routes[base].meanings)
            attributes["method"] = " | ".join(self._routes[base].methods)
        return xr.Variable(quantity.dims, values, attributes)


def _place(split: str | None, part: slice) -> tuple:
    return (part,) if split is None else (part, SPLITS.index(split))


def base_name(name: str) -> str:
    """Return the curve that a variable belongs to: itself, or the name before its suffix."""
    if name in QUANTITIES:
        return name
    return next(name.removesuffix(s) for s in SUFFIXES if name.endswith(s) and name.removesuffix(s) in QUANTITIES)
