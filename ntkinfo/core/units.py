"""Units of variables as other programs read them: `units` is always one that UDUNITS and pint parse.

Time, targets and parameters have no physical unit here, so that `units` is "1", and what the number is counted in
stands in words beside it, in `units_in_words`. Both libraries parse "nat", but as a pressure (nano-technical-
atmospheres): in memory it stays, since every function here reads it; files say "1" and the words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

WORDS = "units_in_words"
NAT = "nat: unit of information, from natural logarithms; a pure number"
_PLAIN = ("", "1", "nat")


def unit_attributes(unit: str) -> dict[str, str]:
    """Attributes of a variable in this unit: "1" and "nat" as they are, others ("target²", "1/time") in words."""
    return {"units": unit} if unit in _PLAIN else {"units": "1", WORDS: unit}


def unit_of(attributes: Mapping[Any, Any]) -> str:
    """The unit to show, from the attributes of a variable: in words where they are there."""
    return str(attributes.get(WORDS, attributes.get("units", "")))


def for_files(data: xr.Dataset) -> xr.Dataset:
    """The data set with units that other programs read, and whole numbers of four bytes wherever they fit.

    R has no whole numbers of eight bytes.
    """
    data = data.copy()
    for name in data.variables:
        variable = data[name].variable
        variable.attrs = _written(variable.attrs)
        data[name].attrs = variable.attrs
        if variable.dtype == np.int64 and _fits(variable.values):
            data[name].encoding["dtype"] = "int32"
    data.attrs = {key: _small(value) for key, value in data.attrs.items()}
    return data


def from_files(data: xr.Dataset) -> xr.Dataset:
    """The data set with the units that `for_files` put in words as they are in memory."""
    for variable in data.variables.values():
        if variable.attrs.get(WORDS) == NAT:
            del variable.attrs[WORDS]
            variable.attrs["units"] = "nat"
    return data


def _written(attributes: Mapping[Any, Any]) -> dict[Any, Any]:
    found = {key: _small(value) for key, value in attributes.items()}
    unit = found.get("units", "1")
    if unit == "nat":
        return found | {"units": "1", WORDS: NAT}
    return found if unit in _PLAIN else found | unit_attributes(str(unit))


def _small(value: Any) -> Any:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    array = isinstance(value, np.ndarray) and value.dtype == np.int64
    if not (whole or array) or not _fits(np.asarray(value)):
        return value
    return np.asarray(value).astype(np.int32) if array else np.int32(value)


def _fits(values: np.ndarray) -> bool:
    limits = np.iinfo(np.int32)
    return bool(np.all((values >= limits.min) & (values <= limits.max)))
