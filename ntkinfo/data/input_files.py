"""What every reader asks of a file before it reads."""

from __future__ import annotations

import difflib
from os import PathLike
from pathlib import Path

import psutil

FilePath = str | PathLike[str]


def existing_file(path: FilePath, folders: bool = False) -> Path:
    """The path, once it is known to name a file that is not empty.

    Args:
        path: the file.
        folders: take a folder as well.

    Raises:
        FileNotFoundError: there is no such file; the message names a near one in the same folder.
        IsADirectoryError: the path names a folder.
        ValueError: the file is empty.
    """
    place = Path(path)
    if folders and place.is_dir():
        return place
    if place.is_dir():
        raise IsADirectoryError(f"{place} is a folder; name a file in it")
    if not place.is_file():
        raise FileNotFoundError(f"{place} does not exist{_advice(place)}")
    if place.stat().st_size == 0:
        raise ValueError(f"{place} is empty (0 bytes); fetch it again")
    return place


def fits_in_memory(place: Path, size: int) -> None:
    """Raise ValueError where the file declares more data than there is free memory for."""
    free = psutil.virtual_memory().available
    if size > free:
        raise ValueError(
            f"{place} declares {size / 2**30:.2f} GiB of data and {free / 2**30:.2f} GiB of memory are free; "
            "the file is damaged, or must be cut into smaller ones"
        )


def _advice(place: Path) -> str:
    if not place.parent.is_dir():
        return f": there is no folder {place.parent}; check the path"
    names = sorted(p.name for p in place.parent.iterdir() if p.is_file())
    near = difflib.get_close_matches(place.name, names, n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r} in the same folder?" if near else "; check the path and the spelling"
