"""Reads a MATLAB file of version 4 or 7.3 in a process of its own, because damaged ones can end the process.

Run as a script with the path, the version and the bytes of memory that it may take. It writes a line of JSON with the
names of the variables, reads one with those that are wanted, and writes for each a line of JSON (type and shape, or
texts, or why it is refused) and the values, column by column. It imports nothing of this package.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

_OBJECT = "a string, table, categorical or other object; save double(...) of it, or cellstr(...) for text"
_SPARSE = "a sparse matrix; save full(...) of it"
_LARGEST_RATIO = 1032  # deflate cannot compress by more


class RefusedError(Exception):
    """A variable that is not read, with the reason."""


def main(path: str, version: str, memory: str) -> None:
    """Answer the parent process; what goes wrong with a variable is its answer."""
    _limit(int(memory))
    out = sys.stdout.buffer
    if version == "4":
        _version_4(path, out)
    else:
        _version_73(path, out)


def _limit(memory: int) -> None:
    """No more memory than the parent has free; where the system has no such limit, none."""
    try:
        import resource

        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + memory, resource.RLIM_INFINITY))
    except (ImportError, OSError, ValueError):
        pass


def _asked(names: list[str], out: BinaryIO) -> list[str]:
    _line(out, {"names": names})
    return json.loads(sys.stdin.readline() or "[]")


def _line(out: BinaryIO, answer: dict[str, Any]) -> None:
    out.write(json.dumps(answer).encode() + b"\n")
    out.flush()


def _answer(out: BinaryIO, value: np.ndarray | list[str]) -> None:
    if isinstance(value, list):
        _line(out, {"texts": value})
        return
    if value.dtype.kind not in "iufb":
        raise RefusedError("complex numbers" if value.dtype.kind == "c" else f"values of the type {value.dtype}")
    if value.size == 0:
        raise RefusedError("nothing: it is empty")
    _line(out, {"type": value.dtype.str, "shape": list(value.shape)})
    out.write(value.tobytes(order="F"))
    out.flush()


def _version_4(path: str, out: BinaryIO) -> None:
    from scipy.io import loadmat, whosmat
    from scipy.sparse import issparse

    for name in _asked([name for name, _, _ in whosmat(path)], out):
        try:
            value = loadmat(path, variable_names=[name])[name]
            if issparse(value):
                raise RefusedError(_SPARSE)
            _answer(out, [text.rstrip() for text in value.tolist()] if value.dtype.kind == "U" else value)
        except RefusedError as error:
            _line(out, {"refused": str(error)})


def _version_73(path: str, out: BinaryIO) -> None:
    import h5py

    with h5py.File(path, "r") as file:
        for name in _asked([str(name) for name in file if not str(name).startswith("#")], out):
            try:
                if not isinstance(file.get(name, getlink=True), h5py.HardLink):
                    raise RefusedError("a link to another place; save the values themselves")
                _answer(out, _hdf5_value(file, file[name], Path(path).stat().st_size))
            except RefusedError as error:
                _line(out, {"refused": str(error)})


def _hdf5_value(file: Any, found: Any, file_size: int) -> np.ndarray | list[str]:
    import h5py

    if not isinstance(found, h5py.Dataset):
        raise RefusedError(_SPARSE if "MATLAB_sparse" in found.attrs else "a structure")
    kind = found.attrs.get("MATLAB_class", b"")
    kind = kind.decode() if isinstance(kind, bytes) else str(kind)
    if "MATLAB_object_decode" in found.attrs:
        raise RefusedError(_OBJECT)
    if "MATLAB_sparse" in found.attrs:
        raise RefusedError(_SPARSE)
    if found.attrs.get("MATLAB_empty", 0) or found.size == 0 or found.shape is None:
        raise RefusedError("nothing: it is empty")
    if found.is_virtual or found.external:
        raise RefusedError("values that are kept in other files; save the values themselves")
    if found.nbytes > _LARGEST_RATIO * file_size:
        raise RefusedError(f"{found.nbytes} bytes by its header in a file of {file_size}; it is damaged")
    if kind == "cell":
        return [_text(file[reference]) for reference in found[()].T.ravel(order="F")]
    if kind == "char":
        return _rows(found)
    if found.dtype.names:
        raise RefusedError("complex numbers")
    return found[()].T


def _rows(found: Any) -> list[str]:
    values = np.atleast_2d(found[()].T)
    if values.dtype.kind != "u" or values.ndim != 2:
        raise RefusedError("text of an unknown form; save a cellstr")
    return [row.astype("<u2").tobytes().decode("utf-16-le").rstrip() for row in values]


def _text(found: Any) -> str:
    kind = found.attrs.get("MATLAB_class", b"")
    if (kind.decode() if isinstance(kind, bytes) else str(kind)) != "char":
        raise RefusedError("a cell array of other things than text; save a matrix")
    rows = [""] if found.attrs.get("MATLAB_empty", 0) else _rows(found)
    if len(rows) != 1:
        raise RefusedError("several rows of text in a cell; each needs one")
    return rows[0]


if __name__ == "__main__":
    main(*sys.argv[1:])
