"""Which route each value of a curve took, as numbers beside the curve, and where and why it changed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import xarray as xr

from ntkinfo.core.records import Estimate

NOT_COMPUTED = -1
SUFFIX = "_method"
# Why a curve leaves the route it takes elsewhere, by what its method says.
_REASONS = {
    "entropy of the distinct outputs": "no output varies",
    "information of the distinct outputs": "no output varies",
    "and the entropy of the outputs without noise": "some outputs do not vary",
}
_MOST_RUNS = 4


class MethodCodes:
    """Numbers for the routes of one curve, one a place; −1 where nothing has been put.

    Args:
        shape: of the curve.
    """

    def __init__(self, shape: tuple[int, ...]):
        self.codes = np.full(shape, NOT_COMPUTED, dtype=np.int8)
        self._routes: dict[tuple[str, str], int] = {}

    def put(self, place: tuple, estimate: Estimate) -> None:
        """Remember the route of an estimate at a place."""
        route = (str(estimate.meaning), estimate.method)
        self.codes[place] = self._routes.setdefault(route, len(self._routes))

    @property
    def meanings(self) -> list[str]:
        """What the values are, each once."""
        return list(dict.fromkeys(meaning for meaning, _ in self._routes))

    @property
    def methods(self) -> list[str]:
        """How they were computed, each once."""
        return list(dict.fromkeys(method for _, method in self._routes))

    @property
    def texts(self) -> list[str]:
        """Meaning and method of each number."""
        return [f"{meaning}: {method}" if method else meaning for meaning, method in self._routes]

    def variable(self, dims: tuple[str, ...], long_name: str) -> xr.Variable | None:
        """The numbers with CF's `flag_values`, or None where there is one route only.

        `flag_meanings` is a JSON list of texts in the order of `flag_values`, since CF's own form allows no blanks.
        """
        return _variable(self.codes, self.texts, dims, long_name) if len(self._routes) > 1 else None

    def notes(self, name: str, times: np.ndarray, splits: Sequence[str]) -> Iterator[str]:
        """A sentence for every split on which the route changes: until when, from when and why."""
        if len(self._routes) < 2:
            return
        columns = self.codes if self.codes.ndim == 2 else self.codes[:, None]
        for number, column in enumerate(columns.T):
            label = f" ({splits[number]})" if self.codes.ndim == 2 else ""
            runs = _runs(column)
            if len(runs) > _MOST_RUNS:
                yield f"{name}{label} changes its route {len(runs) - 1} times, see {name}{SUFFIX}"
            elif len(runs) > 1:
                parts = [self._part(code, times[start], times[stop]) for code, start, stop in runs]
                yield f"{name}{label}: {', then '.join(parts)}"

    def _part(self, code: int, start: float, stop: float) -> str:
        text = self.texts[code]
        reason = next((why for key, why in _REASONS.items() if text.endswith(key)), "")
        where = f"at t = {start:g}" if start == stop else f"from t = {start:g} to {stop:g}"
        return f"{text} {where}{f' as {reason}' if reason else ''}"


def method_texts(curves: xr.Dataset, name: str) -> list[str]:
    """Texts of the numbers in `<name>_method`; of a curve with a single route, that one."""
    if name + SUFFIX in curves:
        return json.loads(curves[name + SUFFIX].attrs["flag_meanings"])
    attributes = curves[name].attrs if name in curves else {}
    method = attributes.get("method", "")
    return [f"{attributes['meaning']}: {method}" if method else attributes.get("meaning", "")]


def harmonised(sets: Sequence[xr.Dataset]) -> list[xr.Dataset]:
    """The data sets with one list of routes a curve, so that they can be stacked.

    Where a curve's routes differ from one set to the next, every set gets a `<name>_method` over the common list.
    """
    names = dict.fromkeys(str(name) for curves in sets for name in curves.data_vars if not str(name).endswith(SUFFIX))
    result = list(sets)
    for name in names:
        each = [method_texts(curves, name) if name in curves else [] for curves in sets]
        every = list(dict.fromkeys(text for texts in each for text in texts))
        if len(every) < 2:
            continue
        attributes = _joined([curves[name].attrs for curves in sets if name in curves])
        for number, (curves, texts) in enumerate(zip(result, each, strict=True)):
            result[number] = _renumbered(curves, name, texts, every, attributes)
    return result


def _renumbered(
    curves: xr.Dataset, name: str, texts: Sequence[str], every: Sequence[str], attributes: Mapping[str, str]
) -> xr.Dataset:
    if name not in curves:
        return curves
    array = curves[name]
    if name + SUFFIX in curves:
        own = curves[name + SUFFIX].values
        new = np.array([every.index(text) for text in texts], dtype=np.int8)
        codes = np.where(own == NOT_COMPUTED, NOT_COMPUTED, new[np.maximum(own, 0)]).astype(np.int8)
    else:
        codes = np.where(np.isnan(array.values), NOT_COMPUTED, every.index(texts[0])).astype(np.int8)
    dims = tuple(str(dim) for dim in array.dims)
    variable = _variable(codes, every, dims, str(array.attrs.get("long_name", name)))
    return curves.assign({name: array.assign_attrs(attributes), name + SUFFIX: variable})


def _joined(attributes: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Meaning and method over all sets, each part once."""
    return {
        key: " | ".join(dict.fromkeys(part for each in attributes for part in each.get(key, "").split(" | ") if part))
        for key in ("meaning", "method")
    }


def _variable(codes: np.ndarray, texts: Sequence[str], dims: tuple[str, ...], long_name: str) -> xr.Variable:
    attributes = {
        "long_name": f"{long_name.split(': route')[0]}: route",
        "units": "1",
        "meaning": "number of the route; -1 where nothing was computed",
        "flag_values": np.arange(len(texts), dtype=np.int8),
        "flag_meanings": json.dumps(list(texts)),
    }
    return xr.Variable(dims, codes, attributes)


def _runs(column: np.ndarray) -> list[tuple[int, int, int]]:
    """(code, first index, last index) of each run of equal codes; places without a value are passed over."""
    runs: list[tuple[int, int, int]] = []
    for index in np.flatnonzero(column != NOT_COMPUTED):
        code = int(column[index])
        if runs and runs[-1][0] == code:
            runs[-1] = (code, runs[-1][1], int(index))
        else:
            runs.append((code, int(index), int(index)))
    return runs
