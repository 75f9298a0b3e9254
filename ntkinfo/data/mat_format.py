"""Dense real matrices and text from MATLAB files.

Versions 4 and 7.3 are read by scipy and h5py in a process of their own. For version 5 (the options '-v6' and '-v7') a
reader of its own, because `scipy.io.loadmat` can end the process on a damaged file. After 128 bytes of header the
file is a row of elements, each a tag (type, bytes) and data padded to 8 bytes. A variable is a matrix element, plain or
inside a zlib element, and holds in turn: flags, dimensions, name, values (column by column). Strings, tables and other
objects (class 17) have no dimensions. Writers other than MATLAB store names as UTF-8 and dimensions without a sign.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ntkinfo.data.input_files import FilePath, existing_file, fits_in_memory
from ntkinfo.data.mat_process import read_elsewhere

_HEADER = 128
_ORDERS = {b"IM": "<", b"MI": ">"}
_MATRIX, _COMPRESSED = 14, 15
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_OTHER_CLASSES = {
    1: "a cell array",
    2: "a structure",
    3: "an object",
    5: "a sparse matrix; save full(...) of it",
    16: "a function",
    17: "a string, table, categorical or other object; save double(...) of it, or cellstr(...) for text",
}
_CELL, _TEXT, _OPAQUE = 1, 4, 17
_NAMES = {1: "latin-1", 2: "latin-1", 16: "utf-8"}
_LETTERS = {1: "latin-1", 2: "latin-1", 3: "utf-16", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_UNITS = {1: "u1", 2: "u1", 3: "u2", 4: "u2", 17: "u2", 18: "u4"}
_COMPLEX = 0x08
_LARGEST_RATIO = 1032  # deflate cannot compress by more
_FIRST_BYTES = 4096  # hold flags, dimensions and name of any variable


def read_mat(path: FilePath, choose: Callable[[Path, Sequence[str]], Sequence[str]]) -> dict[str, np.ndarray]:
    """Read the variables that are asked for; others are left alone, whatever they hold.

    Args:
        path: the file.
        choose: from the path and the names of the variables that are there to those to read.

    Returns:
        The matrices by name, as MATLAB holds them (at least two dimensions); character arrays and cell arrays of text
        as one text a row or cell.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not such a file, damaged or cut short, missing variables, variables that are empty or neither dense
            real numbers nor text, more data than free memory.
    """
    place = existing_file(path)
    with place.open("rb") as stream:
        version = _version(stream.read(_HEADER + 8))
    if version in ("4", "7.3"):
        return read_elsewhere(place, version, choose)
    fits_in_memory(place, place.stat().st_size)
    content = place.read_bytes()
    order = _byte_order(content, place)
    variables = {}
    for kind, data in _elements(memoryview(content)[_HEADER:], order, place):
        name = _name(_start(kind, data, order, place), order, place)
        if name:  # one without a name holds what MATLAB keeps beside strings and tables
            variables[name] = kind, data
    wanted = choose(place, list(variables))
    found = {}
    for name in wanted:
        kind, data = variables[name]
        found[name] = _matrix(_whole(kind, data, order, place), order, place, name)
    return found


def _version(start: bytes) -> str:
    """What the first bytes say: "4", "5", "7.3", "hdf5", or nothing that is known."""
    if start[:8] == b"\x89HDF\r\n\x1a\n":
        return "hdf5"
    order = _ORDERS.get(start[_HEADER - 2 : _HEADER])
    if order is not None:
        number = int(np.frombuffer(start, f"{order}u2", 1, _HEADER - 4)[0]) >> 8
        return {1: "5", 2: "7.3"}.get(number, "")
    # Version 4 begins with a number of four digits, the kind of numbers and the kind of matrix in the last two.
    numbers = [int.from_bytes(start[:4], order) for order in ("little", "big")] if len(start) >= 20 else []
    return "4" if any(k < 5000 and k // 100 % 10 == 0 and k // 10 % 10 < 6 and k % 10 < 3 for k in numbers) else ""


def _byte_order(content: bytes, place: Path) -> str:
    version = _version(content[: _HEADER + 8])
    if version == "hdf5":
        raise ValueError(
            f"{place} is an HDF5 file without MATLAB's header; read it with h5py and hand its arrays to ni.data.arrays"
        )
    if version != "5":
        raise ValueError(
            f"{place} is not a MATLAB file of version 4, 5 or 7.3, or its header is damaged; save it in MATLAB with "
            "the option '-v7'"
        )
    return _ORDERS[content[_HEADER - 2 : _HEADER]]


def _elements(content: memoryview, order: str, place: Path) -> Iterator[tuple[int, memoryview]]:
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


def _start(kind: int, data: memoryview, order: str, place: Path) -> memoryview:
    """The first bytes of a variable, in which its name stands."""
    if kind != _COMPRESSED:
        return _checked(kind, data, place)
    try:
        first = memoryview(zlib.decompressobj().decompress(data, _FIRST_BYTES))
    except zlib.error as error:
        raise _damaged(place, str(error)) from error
    if len(first) < 8:
        raise _damaged(place, "a compressed variable ends within its tag")
    return _checked(int(np.frombuffer(first, f"{order}u4", 1)[0]), first[8:], place)


def _whole(kind: int, data: memoryview, order: str, place: Path) -> memoryview:
    if kind == _COMPRESSED:
        kind, data = next(_elements(_unpacked(data, order, place), order, place))
    return _checked(kind, data, place)


def _checked(kind: int, data: memoryview, place: Path) -> memoryview:
    if kind != _MATRIX:
        raise _damaged(place, f"an element has the type {kind}, where variables have {_MATRIX}")
    return data


def _unpacked(data: memoryview, order: str, place: Path) -> memoryview:
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
    return memoryview(tag + body)


def _name(data: memoryview, order: str, place: Path) -> str:
    parts = _elements(data, order, place)
    flags = _flags(next(parts, (0, memoryview(b""))), order, place)
    if flags & 0xFF != _OPAQUE:
        _shape(next(parts, (0, memoryview(b""))), order, place)
    kind, name = next(parts, (0, memoryview(b"")))
    if kind not in _NAMES:
        raise _damaged(place, "a variable does not start with flags, dimensions and name")
    return _decoded(bytes(name), _NAMES[kind], place)


def _flags(part: tuple[int, memoryview], order: str, place: Path) -> int:
    if part[0] != 6 or len(part[1]) != 8:
        raise _damaged(place, "a variable does not start with flags, dimensions and name")
    return int(np.frombuffer(part[1], f"{order}u4", 1)[0])


def _shape(part: tuple[int, memoryview], order: str, place: Path) -> tuple[int, ...]:
    if part[0] not in (5, 6) or len(part[1]) % 4:
        raise _damaged(place, "the dimensions of a variable are damaged")
    return tuple(int(k) for k in np.frombuffer(part[1], f"{order}i4"))


def _matrix(data: memoryview, order: str, place: Path, name: str) -> np.ndarray:
    """The value of one variable, or of a cell of it."""
    parts = _elements(data, order, place)
    word = _flags(next(parts, (0, memoryview(b""))), order, place)
    kind, called = word & 0xFF, f"{place}: the variable {name}"
    if kind not in (*_CLASSES, _CELL, _TEXT) or (word >> 8) & _COMPLEX:
        held = "complex numbers" if kind in _CLASSES else _OTHER_CLASSES.get(kind, f"the unknown class {kind}")
        raise ValueError(f"{called} holds {held}; it must be a dense matrix of real numbers, or text for classes")
    shape = _shape(next(parts, (0, memoryview(b""))), order, place)
    next(parts, None)
    if len(shape) < 2 or min(shape) < 1:
        raise ValueError(f"{called} is empty (shape {shape})")
    if kind == _CELL:
        return _texts_of_cells(list(parts), shape, order, place, name)
    values = next(parts, (0, memoryview(b"")))
    if kind == _TEXT:
        return _texts(values, shape, order, place, name)
    return _values(values, shape, order, called).astype(_CLASSES[kind])


def _texts_of_cells(
    cells: Sequence[tuple[int, memoryview]], shape: tuple[int, ...], order: str, place: Path, name: str
) -> np.ndarray:
    if len(cells) != math.prod(shape):
        raise _damaged(place, f"the cell array {name} declares shape {shape} and holds {len(cells)} cells")
    texts = []
    for kind, data in cells:
        flags = _flags(next(_elements(_checked(kind, data, place), order, place), (0, memoryview(b""))), order, place)
        if flags & 0xFF != _TEXT:
            raise ValueError(f"{place}: the variable {name} is a cell array of other things than text; save a matrix")
        text = _matrix(data, order, place, name)
        if len(text) != 1:
            raise ValueError(f"{place}: a cell of the variable {name} holds several rows of text; each needs one")
        texts.append(text[0])
    return np.array(texts)


def _texts(part: tuple[int, memoryview], shape: tuple[int, ...], order: str, place: Path, name: str) -> np.ndarray:
    """A character array's rows, without the blanks that make them as long."""
    kind, data = part
    if kind not in _LETTERS or len(shape) != 2:
        raise ValueError(f"{place}: the variable {name} has text of the type {kind} and shape {shape}; save a cellstr")
    if kind in _UNITS:
        rows = _values(part, shape, order, f"{place}: the variable {name}", _UNITS[kind])
        width = np.dtype(_UNITS[kind]).itemsize
        texts = [_decoded(row.astype(f"<u{width}").tobytes(), _fixed(_LETTERS[kind]), place) for row in rows]
    else:
        letters = _decoded(bytes(data), _LETTERS[kind], place)
        if len(letters) != math.prod(shape):
            raise _damaged(place, f"the text {name} declares shape {shape} and holds {len(letters)} characters")
        texts = ["".join(row) for row in np.array(list(letters)).reshape(shape, order="F")]
    return np.array([text.rstrip() for text in texts])


def _fixed(letters: str) -> str:
    return letters if letters == "latin-1" else f"{letters}-le"


def _decoded(data: bytes, letters: str, place: Path) -> str:
    try:
        return data.decode(letters)
    except UnicodeDecodeError as error:
        raise _damaged(place, str(error)) from error


def _values(
    part: tuple[int, memoryview], shape: tuple[int, ...], order: str, called: str, stored: str = ""
) -> np.ndarray:
    stored = stored or _STORED.get(part[0], "")
    if not stored:
        raise ValueError(f"{called} has values of the unknown type {part[0]}; the file is damaged")
    dtype = np.dtype(order + stored)
    if math.prod(shape) * dtype.itemsize != len(part[1]):
        raise ValueError(
            f"{called} declares shape {shape} of {dtype.name}, {math.prod(shape) * dtype.itemsize} bytes, "
            f"and holds {len(part[1])}; the file is damaged"
        )
    return np.frombuffer(part[1], dtype).reshape(shape, order="F")


def _damaged(place: Path, why: str) -> ValueError:
    return ValueError(f"{place} is cut short or damaged: {why}; fetch it again")
