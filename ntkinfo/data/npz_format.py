"""Named arrays from NPZ files and folders of NPY files; nothing pickled is ever read."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Callable, Sequence
from io import BufferedIOBase
from pathlib import Path
from typing import IO

import numpy as np

from ntkinfo.data.input_files import FilePath, existing_file, fits_in_memory

# Deflate, which numpy uses, cannot compress by more.
_LARGEST_RATIO = 1032
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError)


def read_npz(path: FilePath, choose: Callable[[Path, Sequence[str]], Sequence[str]]) -> dict[str, np.ndarray]:
    """Read the fields that are asked for; others are left alone.

    Args:
        path: the file, as `numpy.savez` or `numpy.savez_compressed` writes it, or a folder of NPY files.
        choose: from the path and the names of the fields that are there to those to read.

    Returns:
        The arrays by field name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not an NPZ file, an object array, damaged or cut data, or more than free memory.
    """
    place = Path(path)
    if place.is_dir():
        files = {file.stem: file for file in sorted(place.glob("*.npy"))}
        if not files:
            raise ValueError(f"{place} is a folder without NPY files; name an NPZ file, or a folder of NPY files")
        return {field: read_npy(files[field]) for field in choose(place, list(files))}
    place = existing_file(place)
    if not zipfile.is_zipfile(place):
        raise ValueError(f"{place} is not an NPZ file (a zip archive), or is cut short; write it with numpy.savez")
    with _archive(place) as archive:
        members = {name.removesuffix(".npy"): name for name in archive.namelist()}
        if any(name.endswith("data.pkl") for name in members):
            raise ValueError(
                f"{place} is a PyTorch file, which is pickled and never read because reading it can run any code; "
                "save its tensors with numpy.savez"
            )
        wanted = choose(place, list(members))
        fits_in_memory(place, sum(archive.getinfo(members[field]).file_size for field in wanted))
        return {field: _read_member(archive, members[field], place, field) for field in wanted}


def read_npy(path: FilePath) -> np.ndarray:
    """Read one array from a file that `numpy.save` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not such a file, an object array, damaged or cut data, or more than free memory.
    """
    place = existing_file(path)
    size = place.stat().st_size
    fits_in_memory(place, size)
    with place.open("rb") as stream:
        _check_header(stream, size, f"{place}")
        stream.seek(0)
        return np.lib.format.read_array(stream, allow_pickle=False)


def _archive(place: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(place)
    except (zipfile.BadZipFile, NotImplementedError, OSError) as error:
        raise ValueError(f"{place} is a damaged NPZ file ({error}); write it again") from error


def _read_member(archive: zipfile.ZipFile, member: str, place: Path, field: str) -> np.ndarray:
    called, entry = f"{place}: the field {field}", archive.getinfo(member)
    if entry.compress_type == zipfile.ZIP_DEFLATED and entry.file_size > _LARGEST_RATIO * max(entry.compress_size, 1):
        raise ValueError(
            f"{called} declares {entry.file_size} bytes packed in {entry.compress_size}, more than can be packed; the "
            "file is damaged"
        )
    try:
        with archive.open(member) as stream:
            _check_header(stream, entry.file_size, called)
        with archive.open(member) as stream:
            return np.lib.format.read_array(stream, allow_pickle=False)
    except _BROKEN as error:
        raise ValueError(f"{called} is damaged ({error}); write the file again") from error


def _check_header(stream: IO[bytes] | BufferedIOBase, size: int, called: str) -> None:
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
    except ValueError as error:
        raise ValueError(f"{called} is not a numpy array ({error})") from error
    if dtype.hasobject:
        raise ValueError(
            f"{called} is a pickled object array, which is never read because reading it can run "
            "any code; save it as plain numbers or text"
        )
    if dtype.kind not in "iufbUS":
        raise ValueError(f"{called} holds {dtype}; it must hold real numbers or text")
    if math.prod(shape) * dtype.itemsize != size - stream.tell():
        raise ValueError(
            f"{called} declares shape {shape} of {dtype}, "
            f"{math.prod(shape) * dtype.itemsize} bytes, and holds {size - stream.tell()}"
        )
