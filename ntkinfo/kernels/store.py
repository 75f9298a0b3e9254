"""Finished kernel panels on disk, found again by the fingerprints of network and inputs.

An entry is one `.npz` file without pickle: both kernels, the error that they state, and a SHA-256 digest over the key
and the numbers. A panel is read whole and replaced whole, so one file that `os.replace` puts in place is atomic, which
a folder of chunks (zarr) is not.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

from ntkinfo.core.damage import UNREADABLE
from ntkinfo.core.kept import INTERVAL


class KernelStore:
    """A folder of kernel panels.

    Several processes may use one folder at the same time: an entry's name is its content's key, and whoever writes last
    puts the same numbers in place.

    Args:
        folder: made if it is not there.

    Raises:
        ValueError: the folder cannot be made or written to.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise ValueError(
                f"store is {str(self.folder)!r}, which cannot be written to ({error.strerror}); "
                "give a folder of yours, or leave the store out"
            ) from error

    def path(self, key: str) -> Path:
        """Where the entry of that key is or would be."""
        name = hashlib.sha256(key.encode()).hexdigest()
        return self.folder / name[:2] / f"{name}.npz"

    def load(self, key: str, shape: tuple[int, ...]) -> list[np.ndarray] | None:
        """NNGP and NTK of that key, or None where there is no sound entry; a damaged one is reported by a warning."""
        path = self.path(key)
        if not path.exists():
            return None
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as entry:
                kernels = [entry["nngp"], entry["ntk"]]
                digest, error = str(entry["digest"]), float(entry["error"])
        except UNREADABLE as error:
            return _damaged(path, str(error) or type(error).__name__)
        if digest != _digest(key, kernels, error):
            return _damaged(path, "its digest does not match its content")
        if any(kernel.shape != shape for kernel in kernels):
            return _damaged(path, f"it holds shapes {[k.shape for k in kernels]} and {shape} is needed")
        return kernels

    def error(self, key: str) -> float:
        """What the kernels of that key, which `load` has found sound, state of their error."""
        with self.path(key).open("rb") as file, np.load(file, allow_pickle=False) as entry:
            return float(entry["error"])

    def save(self, key: str, nngp: np.ndarray, ntk: np.ndarray, error: float = 0.0) -> None:
        """Write an entry and the error that it states under a temporary name and put it in place at once."""
        path = self.path(key)
        path.parent.mkdir(exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(
                    file, nngp=nngp, ntk=ntk, error=np.array(error), digest=np.array(_digest(key, [nngp, ntk], error))
                )
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        finally:
            Path(temporary).unlink(missing_ok=True)


class PatientStore(KernelStore):
    """A store for one run that is only to outlive an interruption: nothing is kept of work that takes no time.

    Panels that are done in the first two seconds are not written. A folder that cannot be written to costs a warning.

    Args:
        folder: made when there is something to keep.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)
        self._due = time.monotonic() + INTERVAL

    def save(self, key: str, nngp: np.ndarray, ntk: np.ndarray, error: float = 0.0) -> None:
        """Write an entry, as a `KernelStore` does."""
        if time.monotonic() < self._due:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            super().save(key, nngp, ntk, error)
        except OSError as reason:
            self._due = float("inf")
            warnings.warn(
                f"finished kernels cannot be kept in {self.folder} ({reason.strerror or reason}); the run goes on",
                RuntimeWarning,
                stacklevel=2,
            )


def _digest(key: str, kernels: list[np.ndarray], error: float) -> str:
    digest = hashlib.sha256(f"{key}:{error!r}".encode())
    for kernel in kernels:
        digest.update(f"{kernel.shape}{kernel.dtype.str}".encode())
        digest.update(np.ascontiguousarray(kernel).data)
    return digest.hexdigest()


def _damaged(path: Path, reason: str) -> None:
    warnings.warn(f"stored kernel {path} is damaged ({reason}); it is computed again", RuntimeWarning, stacklevel=3)
