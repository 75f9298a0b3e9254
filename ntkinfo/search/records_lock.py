"""One writer a folder: a lock that ends with the process that holds it, however that ends."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import IO


class FolderLock:
    """A lock on a folder, held on an open file: the system gives it back when its process is gone, killed or not.

    Args:
        folder: where the file `.lock` stands; what it says is only for the message to others.
    """

    def __init__(self, folder: Path):
        self._path = folder / ".lock"
        self._file: IO[str] | None = None

    def take(self) -> None:
        """Take the lock.

        Raises:
            OSError: another process has it, or the file system has no locks.
        """
        import fcntl

        file = self._path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            text = file.read()
            file.close()
            raise OSError(
                _held(self._path, text) if isinstance(error, BlockingIOError) else _no_locks(error)
            ) from error
        try:
            file.truncate(0)
            file.write(json.dumps({"process": os.getpid(), "machine": socket.gethostname()}))
            file.flush()
        except OSError:
            file.close()
            raise
        self._file = file

    def give_back(self) -> None:
        """Let others write."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _held(path: Path, text: str) -> str:
    try:
        owner = json.loads(text)
        who = f"process {owner['process']} on {owner['machine']}"
    except (ValueError, KeyError, TypeError):
        who = "another process"
    return f"{who} is writing records to {path.parent}; wait for it, stop it, or name another folder"


def _no_locks(error: OSError) -> str:
    return f"the records cannot be locked ({error.strerror}); put them on a file system that has locks"
