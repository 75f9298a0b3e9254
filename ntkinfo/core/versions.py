"""Versions of the packages whose numbers end up in a result."""

from __future__ import annotations

import platform
from importlib.metadata import version


def versions() -> dict[str, str]:
    """Return the version of Python and of each package that results depend on."""
    names = ("ntkinfo", "jax", "jaxlib", "neural-tangents", "numpy", "scipy")
    return {"python": platform.python_version(), **{name.replace("-", "_"): version(name) for name in names}}
