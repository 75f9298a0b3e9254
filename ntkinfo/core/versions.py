"""Versions of the packages whose numbers end up in a result."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

_OLDEST_JAX = (0, 6, 1)  # 0.5.1 to 0.6.0 read programs without their loops from a compilation cache


def versions() -> dict[str, str]:
    """Return the version of Python and of each package that results depend on, "none" for one that is not there."""
    names = ("ntkinfo", "jax", "jaxlib", "neural-tangents", "numpy", "scipy")
    return {"python": platform.python_version(), **{name.replace("-", "_"): _version(name) for name in names}}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def require_jax() -> None:
    """Raise where jax is too old for loops to run as they are written.

    Raises:
        ImportError: the version, and the oldest one that will do.
    """
    import jax

    if jax.__version_info__ < _OLDEST_JAX:
        oldest = ".".join(map(str, _OLDEST_JAX))
        raise ImportError(f"ntkinfo needs jax {oldest} or newer, this is {jax.__version__}: upgrade jax")
