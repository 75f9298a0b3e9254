"""What a folder of results holds, read for the report page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from ntkinfo.information.curve_files import load_curves


@dataclass(frozen=True)
class _Kind:
    """A file of results: its name, which command writes it, and what has to be in it."""

    file: str
    command: str
    needs: tuple[str, ...]


KINDS: Mapping[str, _Kind] = {
    "curves": _Kind("curves.nc", "ntkinfo curves", ("time",)),
    "comparison": _Kind("compare.nc", "ntkinfo compare", ("time", "width", "largest")),
    "bottleneck": _Kind("bottleneck.nc", "ntkinfo bottleneck", ("grid", "achieved", "certified")),
    "ranking": _Kind("ranking.nc", "ntkinfo search or rank", ("measure", "split", "verdict", "kendall")),
}


@dataclass(frozen=True)
class Results:
    """The results of a folder.

    Args:
        name: of the folder.
        found: data sets by kind, in the order of `KINDS`.
    """

    name: str
    found: Mapping[str, xr.Dataset]


def read_results(folder: str | Path) -> Results:
    """Read every result that a folder holds.

    Args:
        folder: that some command wrote into.

    Returns:
        The results, whole in memory.

    Raises:
        FileNotFoundError: there is no such folder.
        NotADirectoryError: it is a file.
        ValueError: the folder holds no results, or a file that is damaged or holds something else.
    """
    place = Path(folder).absolute()
    if not place.exists():
        raise FileNotFoundError(f"{place} does not exist; give the folder that a command wrote into")
    if not place.is_dir():
        raise NotADirectoryError(f"{place} is a file; give the folder that it is in")
    found = {name: _read(place / kind.file, kind) for name, kind in KINDS.items() if (place / kind.file).exists()}
    if not found:
        wanted = ", ".join(f"{kind.file} ({kind.command})" for kind in KINDS.values())
        raise ValueError(f"{place} holds no results; a report takes any of {wanted}")
    return Results(place.name, _configured(place, found))


def _configured(place: Path, found: Mapping[str, xr.Dataset]) -> Mapping[str, xr.Dataset]:
    """The results; one that does not hold its configuration takes that of its folder, where it is alone there."""
    file = place / "config.toml"
    if len(found) != 1 or not file.exists():
        return found
    name, content = next(iter(found.items()))
    if content.attrs.get("configuration"):
        return found
    return {name: content.assign_attrs(configuration=file.read_text(encoding="utf-8"))}


def holds_results(folder: Path) -> bool:
    """Whether a folder holds anything that a page can show."""
    return any((folder / kind.file).exists() for kind in KINDS.values())


def _read(path: Path, kind: _Kind) -> xr.Dataset:
    try:
        content = load_curves(path)
    except ValueError as error:
        raise ValueError(f"{path} is damaged or no netCDF file; run {kind.command} again ({error})") from error
    missing = [name for name in kind.needs if name not in content.variables and name not in content.dims]
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)}: it is not what {kind.command} writes")
    return content
