"""What a long run has finished, kept on disk piece by piece, so that the same run goes on where it was.

Pieces that are finished within two seconds are put into one file, under a temporary name first; a file is never
changed. Nothing is pickled: a piece is JSON with its arrays beside it, and becomes again one of the types that the
caller names. A digest over everything finds damage, which costs its pieces and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import jax
import numpy as np

from ntkinfo.core.arrays import float64
from ntkinfo.core.damage import UNREADABLE

DESCRIPTION = "configuration.json"
INTERVAL = 2.0  # seconds of finished work that a kill may cost
Piece = TypeVar("Piece")


@runtime_checkable
class Keeper(Protocol):
    """Remembers what has been computed."""

    def recall(self, key: str, compute: Callable[[], Piece]) -> Piece:
        """The piece of that key; computed and kept where it is not there."""
        ...


class NotKept:
    """A `Keeper` that keeps nothing."""

    def recall(self, key: str, compute: Callable[[], Piece]) -> Piece:
        """Compute the piece."""
        return compute()


class KeptPieces:
    """A folder with the finished pieces of one run; nothing is written of a run that is done within two seconds.

    Used in a `with` block, whose end writes what has not been written yet, however it comes to its end. A folder that
    cannot be written to costs a warning, not the run: it goes on without keeping.

    Args:
        folder: made when there is something to keep.
        description: plain strings, numbers, lists and mappings that determine every number of the run.
        types: dataclasses that pieces may hold.

    Raises:
        ValueError: the folder holds another run; the message names what differs.
    """

    def __init__(self, folder: str | os.PathLike[str], description: Mapping[str, Any], types: Sequence[type] = ()):
        self.folder = Path(folder)
        self._description = plain(description)
        self._types = {each.__name__: each for each in types}
        self._waiting: dict[str, Any] = {}
        self._gone = False
        check_claim(self.folder, self._description)
        self._known = self._read() if self.folder.is_dir() else {}
        self._begun = self._written = time.monotonic()

    def __enter__(self) -> KeptPieces:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is None and time.monotonic() - self._begun < INTERVAL:
            return
        try:
            self.write()
        except KeyboardInterrupt:  # the second one
            self.write()
            raise

    def recall(self, key: str, compute: Callable[[], Piece]) -> Piece:
        """The piece of that key; computed and kept where it is not there."""
        if key not in self._known:
            self.put(key, compute())
        return self._known[key]

    def put(self, key: str, piece: Any) -> None:
        """Keep a finished piece."""
        self._known[key] = self._waiting[key] = piece
        if time.monotonic() - self._written >= INTERVAL:
            self.write()

    def write(self) -> None:
        """Put what is finished on the disk now."""
        if self._waiting and not self._gone:
            try:
                claim(self.folder, self._description)
                number = 1 + max((int(path.stem.split("-")[1]) for path in self._files()), default=0)
                with replacing(self.folder / f"pieces-{number:06d}.npz") as file:
                    np.savez(file, **packed(self._waiting))
            except OSError as error:
                self._gone = True
                warnings.warn(
                    f"what is finished cannot be kept in {self.folder} ({error.strerror or error}); the run goes on, "
                    "and would begin anew where it is interrupted",
                    RuntimeWarning,
                    stacklevel=2,
                )
        self._waiting = {}
        self._written = time.monotonic()

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("pieces-*.npz"))

    def _read(self) -> dict[str, Any]:
        known: dict[str, Any] = {}
        for path in self._files():
            try:
                with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                    known |= unpacked({name: file[name] for name in file.files}, self._types)
            except UNREADABLE as error:
                warnings.warn(
                    f"{path} is damaged ({error}); what it held is computed again", RuntimeWarning, stacklevel=3
                )
                path.unlink(missing_ok=True)
        return known


def packed(pieces: Mapping[str, Any]) -> dict[str, Any]:
    """Pieces as named arrays without pickle: a tree in JSON, what is an array in it, and a digest over all.

    Raises:
        TypeError: a piece holds something else than dataclasses, containers, text, numbers and arrays.
    """
    arrays: list[np.ndarray] = []
    tree = json.dumps({key: _tree(piece, arrays) for key, piece in pieces.items()})
    found = {"tree": np.frombuffer(tree.encode(), dtype=np.uint8)}
    found |= {f"array_{number}": array for number, array in enumerate(arrays)}
    return {**found, "digest": np.array(_digest(found))}


def unpacked(stored: Mapping[str, np.ndarray], types: Mapping[str, type]) -> dict[str, Any]:
    """The pieces of named arrays.

    Args:
        stored: what `packed` gave.
        types: by name, dataclasses that pieces may hold.

    Raises:
        ValueError: the digest does not match.
        KeyError: a type that is not among these.
    """
    found = {name: array for name, array in stored.items() if name != "digest"}
    if str(stored["digest"]) != _digest(found):
        raise ValueError("its digest does not match its content")
    tree = json.loads(found["tree"].tobytes().decode())
    return {key: _piece(branch, found, types) for key, branch in tree.items()}


def _tree(value: Any, arrays: list[np.ndarray]) -> Any:
    """A value as JSON, its arrays put aside."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        arrays.append(np.asarray(value))
        kind = "device" if isinstance(value, jax.Array) else "array" if isinstance(value, np.ndarray) else "scalar"
        return {kind: len(arrays) - 1}
    if isinstance(value, list | tuple):
        return {type(value).__name__: [_tree(item, arrays) for item in value]}
    if isinstance(value, Mapping):
        return {"mapping": [[_tree(key, arrays), _tree(item, arrays)] for key, item in value.items()]}
    if isinstance(value, slice):
        return {"slice": [_tree(item, arrays) for item in (value.start, value.stop, value.step)]}
    if is_dataclass(value) and not isinstance(value, type):
        parts = {each.name: _tree(getattr(value, each.name), arrays) for each in fields(value) if each.init}
        return {"type": type(value).__name__, "fields": parts}
    raise TypeError(f"a piece holds {type(value).__name__}, which cannot be kept")


def _piece(branch: Any, stored: Mapping[str, np.ndarray], types: Mapping[str, type]) -> Any:
    if not isinstance(branch, dict):
        return branch
    if "type" in branch:
        parts = {name: _piece(each, stored, types) for name, each in branch["fields"].items()}
        return types[branch["type"]](**parts)
    ((kind, content),) = branch.items()
    if kind in ("array", "scalar", "device"):
        array = stored[f"array_{content}"]
        if kind == "device":
            with float64():
                return jax.numpy.asarray(array)
        return array if kind == "array" else array[()]
    if kind == "mapping":
        return {_piece(key, stored, types): _piece(item, stored, types) for key, item in content}
    items = [_piece(item, stored, types) for item in content]
    return {"list": list, "tuple": tuple, "slice": lambda parts: slice(*parts)}[kind](items)


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name}:{array.shape}{array.dtype.str}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def plain(description: Mapping[str, Any]) -> dict[str, Any]:
    """A description as it is read back from its file."""
    return json.loads(json.dumps(dict(description), sort_keys=True))


def claim(folder: Path, description: Mapping[str, Any]) -> None:
    """Leave the description in a new folder.

    Raises:
        ValueError: the folder holds another run; the message names what differs.
        OSError: it cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / DESCRIPTION).exists():
        check_claim(folder, description)
        return
    with replacing(folder / DESCRIPTION) as file:
        file.write(json.dumps(dict(description), indent=1, sort_keys=True).encode())


def check_claim(folder: Path, description: Mapping[str, Any]) -> None:
    """Raise ValueError where a folder holds another run, naming what differs, or cannot be read."""
    path = folder / DESCRIPTION
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        differing = sorted(key for key in {*found, *description} if found.get(key) != description.get(key))
    except FileNotFoundError:
        return
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"checkpoint description {path} cannot be read ({error}); give another folder") from error
    if differing:
        raise ValueError(
            f"checkpoint folder {str(folder)!r} holds another run: {_differences(found, description, differing)}; "
            "give the settings of that run, or another folder"
        )


def _differences(found: Mapping[str, Any], wanted: Mapping[str, Any], keys: list[str]) -> str:
    def short(value: Any) -> str:
        text = json.dumps(value)
        return text if len(text) <= 40 else text[:37] + "..."

    return ", ".join(f"{key} is {short(found.get(key))} there and {short(wanted.get(key))} here" for key in keys)


class replacing:  # noqa: N801 - used like open()
    """A file written under a temporary name beside `path`, put in its place when all is written."""

    def __init__(self, path: Path):
        self.path = path

    def __enter__(self):
        handle, name = tempfile.mkstemp(dir=self.path.parent, suffix=".part")
        self.temporary, self.file = Path(name), os.fdopen(handle, "wb")
        return self.file

    def __exit__(self, kind, error, trace):
        try:
            if kind is None:
                self.file.flush()
                os.fsync(self.file.fileno())
                self.file.close()
                self.temporary.replace(self.path)
        finally:
            try:
                self.file.close()
            finally:
                self.temporary.unlink(missing_ok=True)
