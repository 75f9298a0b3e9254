"""Dense real matrices from MATLAB files of version 5 (the options '-v6' and '-v7').

A reader of its own, because `scipy.io.loadmat` can end the process on a damaged file. After 128 bytes of header the
file is a row of elements, each a tag (type, bytes) and data padded to 8 bytes. A variable is a matrix element, plain or
inside a zlib element, and holds in turn: flags, dimensions, name, values (column by column).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ntkinfo.core import checks
from ntkinfo.data.input_files import FilePath, existing_file, fits_in_memory

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_OTHER_CLASSES = {1: "a cell array", 2: "a structure", 3: "an object", 4: "text", 5: "a sparse matrix"}
_COMPLEX = 0x08
_LARGEST_RATIO = 1032  # deflate cannot compress by more


def read_mat(path: FilePath, fields: Sequence[str]) -> dict[str, np.ndarray]:
    """Read named matrices.

    Args:
        path: the file.
        fields: names of the variables.

    Returns:
        The matrices by name, as MATLAB holds them (at least two dimensions).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not such a file, damaged or cut short, missing variables, variables that are empty or not dense
            real numbers, more data than free memory.
    """
    place = existing_file(path)
    fits_in_memory(place, place.stat().st_size)
    content = place.read_bytes()
    order = _byte_order(content, place)
    found, seen = {}, []
    for matrix in _matrices(content[_HEADER:], order, place):
        name, array = _matrix(matrix, order, place, fields)
        seen.append(name)
        if array is not None:
            found[name] = array
    for field in fields:
        if field not in found:
            raise ValueError(
                f"{place} has no variable {field!r}{checks.suggestion(field, seen)}; it has {', '.join(seen) or 'none'}"
            )
    return found


def _byte_order(content: bytes, place: Path) -> str:
    mark = content[_HEADER - 2 : _HEADER]
    order = {b"IM": "<", b"MI": ">"}.get(mark)
    if order is None:
        raise ValueError(f"{place} is not a MATLAB file of version 5 or 7.3; save it in MATLAB with the option '-v7'")
    version = int(np.frombuffer(content, f"{order}u2", 1, _HEADER - 4)[0]) >> 8
    if version == 2:
        raise ValueError(f"{place} is a MATLAB 7.3 file; save it again in MATLAB with the option '-v7'")
    if version != 1:
        raise ValueError(f"{place} is a MATLAB file of the unknown version {version}; save it with the option '-v7'")
    return order


def _elements(content: bytes, order: str, place: Path) -> Iterator[tuple[int, bytes]]:
    """Type and data of each element in a row of them."""
    start = 0
    while start < len(content):
        if start + 8 > len(content):
            raise _damaged(place, "it ends within a tag")
        first, size = (int(word) for word in np.frombuffer(content, f"{order}u4", 2, start))
        begin, following = start + 8, start + 8 + size
        if first >> 16:  # a short element keeps its size in the upper half of the first word and its data in the second
            first, size = first & 0xFFFF, first >> 16
            begin, following = start + 4, start + 8
            if size > 4:
                raise _damaged(place, f"a short element declares {size} bytes")
        elif first != _COMPRESSED:
            following += -size % 8
        if begin + size > len(content):
            raise _damaged(place, f"an element declares {size} bytes and {len(content) - begin} follow")
        yield first, content[begin : begin + size]
        start = following


def _matrices(content: bytes, order: str, place: Path) -> Iterator[bytes]:
    for kind, data in _elements(content, order, place):
        if kind == _COMPRESSED:
            kind, data = next(_elements(_unpacked(data, order, place), order, place))
        if kind != _MATRIX:
            raise _damaged(place, f"an element has the type {kind}, where variables have {_MATRIX}")
        yield data


def _unpacked(data: bytes, order: str, place: Path) -> bytes:
    """The one element inside a zlib stream; no more is unpacked than its tag declares."""
    try:
        stream = zlib.decompressobj()
        tag = stream.decompress(data, 8)
        if len(tag) < 8:
            raise _damaged(place, "a compressed variable ends within its tag")
        size = int(np.frombuffer(tag, f"{order}u4", 2)[1])
        if size > _LARGEST_RATIO * len(data):
            raise _damaged(place, f"a variable declares {size} bytes and is packed in {len(data)}")
        fits_in_memory(place, size)
        body = stream.decompress(stream.unconsumed_tail, size) if size else b""
        rest = stream.decompress(stream.unconsumed_tail, 1)
    except zlib.error as error:
        raise _damaged(place, str(error)) from error
    if len(body) < size or rest or not stream.eof:
        raise _damaged(place, f"a compressed variable does not hold the {size} bytes that it declares")
    return tag + body


def _matrix(data: bytes, order: str, place: Path, wanted: Sequence[str]) -> tuple[str, np.ndarray | None]:
    """Name and, if it is wanted, value of one variable."""
    parts = _elements(data, order, place)
    flags, dimensions, label = (next(parts, (0, b"")) for _ in range(3))
    if flags[0] != 6 or len(flags[1]) != 8 or dimensions[0] != 5 or label[0] != 1:
        raise _damaged(place, "a variable does not start with flags, dimensions and name")
    name = label[1].decode("latin-1")
    if name not in wanted:
        return name, None
    word = int(np.frombuffer(flags[1], f"{order}u4", 1)[0])
    kind, shape = word & 0xFF, _integers(dimensions[1], order, place)
    if kind not in _CLASSES or (word >> 8) & _COMPLEX:
        held = "complex numbers" if kind in _CLASSES else _OTHER_CLASSES.get(kind, f"the unknown class {kind}")
        raise ValueError(f"{place}: the variable {name} holds {held}; it must be a dense matrix of real numbers")
    if len(shape) < 2 or min(shape) < 1:
        raise ValueError(f"{place}: the variable {name} is empty (shape {shape})")
    return name, _values(next(parts, (0, b"")), shape, order, f"{place}: the variable {name}").astype(_CLASSES[kind])


def _values(part: tuple[int, bytes], shape: tuple[int, ...], order: str, called: str) -> np.ndarray:
    if part[0] not in _STORED:
        raise ValueError(f"{called} has values of the unknown type {part[0]}; the file is damaged")
    dtype = np.dtype(order + _STORED[part[0]])
    if math.prod(shape) * dtype.itemsize != len(part[1]):
        raise ValueError(
            f"{called} declares shape {shape} of {dtype.name}, {math.prod(shape) * dtype.itemsize} bytes, "
            f"and holds {len(part[1])}; the file is damaged"
        )
    return np.frombuffer(part[1], dtype).reshape(shape, order="F")


def _integers(data: bytes, order: str, place: Path) -> tuple[int, ...]:
    if len(data) % 4:
        raise _damaged(place, "the dimensions of a variable are cut")
    return tuple(int(k) for k in np.frombuffer(data, f"{order}i4"))


def _damaged(place: Path, why: str) -> ValueError:
    return ValueError(f"{place} is cut short or damaged: {why}; fetch it again")
