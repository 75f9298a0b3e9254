"""What every reader asks of a file before it reads."""

from __future__ import annotations

import bz2
import difflib
import gzip
import lzma
import zlib
from io import BufferedReader, RawIOBase
from os import PathLike
from pathlib import Path
from typing import Any

from ntkinfo.core.memory import GIB, available_memory

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
    free = available_memory() * GIB
    if size > free:
        raise ValueError(
            f"{place} declares {size / GIB:.2f} GiB of data and {free / GIB:.2f} GiB of memory are free; "
            "the file is damaged, or must be cut into smaller ones"
        )


def _advice(place: Path) -> str:
    if not place.parent.is_dir():
        return f": there is no folder {place.parent}; check the path"
    names = sorted(p.name for p in place.parent.iterdir() if p.is_file())
    near = difflib.get_close_matches(place.name, names, n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r} in the same folder?" if near else "; check the path and the spelling"


def opened(place: Path) -> BufferedReader:
    """A file's bytes, unpacked where it is packed by gzip, bzip2 or xz, which its first bytes say whatever its name.

    Returns:
        A stream that ends in a ValueError where the packed data is damaged or more than the free memory.

    Raises:
        ValueError: the file is an archive or a binary format that a text reader cannot read.
    """
    raw = place.open("rb")
    start = raw.read(8)
    raw.seek(0)
    for magic, text in _NOT_TEXT.items():
        if start.startswith(magic):
            raw.close()
            raise ValueError(f"{place} is {text}")
    for magic, unpack in _PACKED.items():
        if start.startswith(magic):
            return BufferedReader(_Bounded(raw, unpack, place))
    return raw


_NOT_TEXT = {
    b"PK\x03\x04": "a ZIP archive, or a workbook of Excel; unpack it, or save the sheet as CSV",
    b"PAR1": "a Parquet file; read it as parquet",
    b"\x89HDF": "an HDF5 file, not text; write its numbers as NPZ or CSV",
    b"\x93NUMPY": "a NumPy array; read it as npy, or write it with numpy.savez",
    b"MATLAB 5": "a MATLAB file; read it as mat",
    b"\xd0\xcf\x11\xe0": "a workbook of Excel; save the sheet as CSV",
}
_PACKED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
_DAMAGE = (EOFError, OSError, zlib.error, lzma.LZMAError)


class _Bounded(RawIOBase):
    """Unpacked bytes, up to as many as there was free memory for when the file was opened."""

    def __init__(self, raw: BufferedReader, unpack: Any, place: Path):
        self._raw, self._stream, self._place = raw, unpack(raw), place
        self._left = int(available_memory() * GIB) // 2

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            found = self._stream.read(len(buffer))
        except _DAMAGE as error:
            text = f"the packed data is cut short or damaged ({error}); fetch it again"
            raise ValueError(f"{self._place}: {text}") from error
        self._left -= len(found)
        if self._left < 0:
            raise ValueError(
                f"{self._place} unpacks to more than half of the free memory; it is damaged, or must be cut into "
                "smaller ones"
            )
        buffer[: len(found)] = found
        return len(found)

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
            self._raw.close()
        super().close()
