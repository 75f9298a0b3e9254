"""The IDX format of MNIST and Fashion-MNIST, plain or compressed with gzip.

Four bytes of magic number (0, 0, type, number of dimensions), each dimension as four bytes, most significant first,
then the values. Images and labels hold unsigned bytes (type 8).
"""

from __future__ import annotations

import gzip
import math
import zlib
from io import BufferedIOBase
from pathlib import Path

import numpy as np

from ntkinfo.data.input_files import FilePath, existing_file, fits_in_memory

IMAGES, LABELS = 2051, 2049
_KINDS = {IMAGES: "images", LABELS: "labels"}
_DIMENSIONS = {IMAGES: 3, LABELS: 1}

# Deflate cannot compress by more than this, so a header that asks for more is wrong before anything is unpacked.
_LARGEST_RATIO = 1032


def read_idx(path: FilePath, magic: int) -> np.ndarray:
    """Read one IDX file.

    Args:
        path: the file; gzip is recognised by its first bytes, whatever the name.
        magic: IMAGES or LABELS, which the file must hold.

    Returns:
        Unsigned bytes: images (n, height, width) or labels (n,).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: another magic number, no entries, fewer or more bytes than the header declares, damaged gzip,
            or more data than free memory.
    """
    place = existing_file(path)
    with place.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        if not packed:
            return _read(raw, place, magic, place.stat().st_size)
        try:
            with gzip.open(raw) as stream:
                return _read(stream, place, magic, _LARGEST_RATIO * place.stat().st_size)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{place}: the gzip data is cut short or damaged ({error}); fetch it again") from error


def _read(stream: BufferedIOBase, place: Path, magic: int, most: int) -> np.ndarray:
    _check_magic(stream.read(4), place, magic)
    shape = _shape(stream, place, _DIMENSIONS[magic])
    size = math.prod(shape)
    declared = f"the header declares {' x '.join(map(str, shape))} {_KINDS[magic]}, {size} bytes"
    if size > most:
        raise ValueError(f"{place} is cut short: {declared}, and the file can hold {most} at most; fetch it again")
    fits_in_memory(place, size)
    values = stream.read(size)
    if len(values) < size:
        raise ValueError(f"{place} is cut short: {declared}, and {len(values)} follow; fetch it again")
    if stream.read(1):
        raise ValueError(f"{place} is damaged: {declared}, and more follow")
    return np.frombuffer(values, dtype=np.uint8).reshape(shape)


def _check_magic(start: bytes, place: Path, magic: int) -> None:
    if len(start) < 4:
        raise ValueError(f"{place} is cut short: it ends within the magic number")
    found = int.from_bytes(start, "big")
    if found in _KINDS and found != magic:
        raise ValueError(
            f"{place} holds {_KINDS[found]} (magic number {found}) where {_KINDS[magic]} ({magic}) are needed; "
            "were the two files exchanged?"
        )
    if found != magic:
        raise ValueError(
            f"{place} starts with the magic number {found}; an IDX file of {_KINDS[magic]} starts with {magic}"
        )


def _shape(stream: BufferedIOBase, place: Path, dimensions: int) -> tuple[int, ...]:
    header = stream.read(4 * dimensions)
    if len(header) < 4 * dimensions:
        raise ValueError(f"{place} is cut short: it ends within the header")
    shape = tuple(int.from_bytes(header[4 * k : 4 * k + 4], "big") for k in range(dimensions))
    if 0 in shape:
        raise ValueError(f"{place} declares no data: its dimensions are {' x '.join(map(str, shape))}")
    return shape
