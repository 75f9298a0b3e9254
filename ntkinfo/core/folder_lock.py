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
        what: is written there, for that message.
    """

    def __init__(self, folder: Path, what: str = "records"):
        self._path, self._what = folder / ".lock", what
        self._file: IO[str] | None = None

    def take(self) -> None:
        """Take the lock.

        Raises:
            OSError: another process has it, or the file system has no locks.
        """
        import fcntl

        while True:
            file = self._path.open("a+")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                file.seek(0)
                text = file.read()
                file.close()
                raise OSError(
                    _held(self._path, text, self._what) if isinstance(error, BlockingIOError) else _no_locks(error)
                ) from error
            if _is_at(file, self._path):
                break
            file.close()  # its owner removed it between opening and locking
        try:
            file.truncate(0)
            file.write(json.dumps({"process": os.getpid(), "machine": socket.gethostname()}))
            file.flush()
        except OSError:
            file.close()
            raise
        self._file = file

    def remove(self) -> None:
        """Let others write, and leave no file."""
        if self._file is not None:
            self._path.unlink(missing_ok=True)
        self.give_back()

    def give_back(self) -> None:
        """Let others write."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _is_at(file: IO[str], path: Path) -> bool:
    """Whether an open file is the one that has that name now."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _held(path: Path, text: str, what: str) -> str:
    try:
        owner = json.loads(text)
        who = f"process {owner['process']} on {owner['machine']}"
    except (ValueError, KeyError, TypeError):
        who = "another process"
    return f"{who} is writing {what} to {path.parent}; wait for it, stop it, or name another folder"


def _no_locks(error: OSError) -> str:
    return f"the folder cannot be locked ({error.strerror}); put it on a file system that has locks"
