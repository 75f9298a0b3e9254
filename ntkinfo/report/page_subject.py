"""What the results of a page are about: data, network and how it was trained, whichever command wrote them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any

import xarray as xr


def subject(found: xr.Dataset) -> str:
    """The data, or the problem, of a result; "" where neither is known."""
    for key in ("data", "problem"):
        if found.attrs.get(key):
            return str(found.attrs[key])
    set_by = _configuration(found)
    for section, key in (("data", "name"), ("space", "data"), ("problem", "name")):
        if set_by.get(section, {}).get(key):
            return _listed(set_by[section][key])
    return ""


def lead(found: xr.Dataset) -> str:
    """A line on a result: its network, numbers of inputs, training; "" where nothing of it is known."""
    network = found.attrs.get("network")
    told = [_network(_configuration(found)) if network is None else str(network)]
    if "n_train" in found.attrs:
        told.append(f"{found.attrs['n_train']} training and {found.attrs['n_test']} test inputs")
    if "procedure" in found.attrs:
        # GradientFlow(ridge=0.0, ...) in words.
        words = re.findall("[A-Z][a-z]+", str(found.attrs["procedure"]).partition("(")[0])
        told.append(" ".join(words).lower())
    if found.attrs.get("gap"):
        told.append(f"gap: {found.attrs['gap']}")
    return "; ".join(part for part in told if part)


def _configuration(found: xr.Dataset) -> Mapping[str, Any]:
    return tomllib.loads(str(found.attrs.get("configuration", "")))


def _network(set_by: Mapping[str, Any]) -> str:
    """Networks in words, from what a configuration says of them."""
    given = set_by.get("network") or set_by.get("space") or {}
    name = given.get("name") or given.get("family")
    if not name:
        return ""
    parts = [f"{_listed(name).replace('_', ' ')} networks"]
    for key, word in (("activation", "activation"), ("depth", "hidden layers")):
        if given.get(key) not in (None, []):
            parts.append(f"{word} {_listed(given[key])}")
    return ", ".join(parts)


def _listed(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
