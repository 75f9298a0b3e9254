"""A folder of results, one run at a time, in which what is computed is kept."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

from ntkinfo.core.folder_lock import FolderLock

PICTURES = (".png", ".pdf", ".svg")


class ResultsFolder:
    """Opens a folder before the work, so that one that cannot be written to is found out first, and fills it after.

    A file is written under a hidden name and put in place when it is whole: numbers first, pictures last, so that
    numbers are kept where a picture does not fit. Leaving the `with` block removes what is not whole, and folders that
    were not there before and are still empty. Another run into the folder is refused meanwhile.

    Args:
        folder: made where it is not there.

    Raises:
        OSError: the folder cannot be made or written to, or another run writes into it.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder).absolute()
        self._made: list[Path] = []
        self._lock = FolderLock(self.folder, "results")

    def __enter__(self) -> ResultsFolder:
        try:
            missing = [place for place in (self.folder, *self.folder.parents) if not place.exists()]
            for place in reversed(missing):
                place.mkdir()
                self._made.insert(0, place)
            self._hidden = Path(tempfile.mkdtemp(prefix=".writing-", dir=self.folder))
        except OSError as error:
            self._remove_empty()
            reason = error.strerror or str(error)
            raise OSError(
                f"{self.folder} cannot be written to ({reason}); give a folder of yours with --out"
            ) from error
        try:
            self._lock.take()
        except BaseException:
            shutil.rmtree(self._hidden, ignore_errors=True)
            raise
        for left in self.folder.glob(".writing-*"):
            if left != self._hidden:  # of a run that was killed: whoever holds the lock is the only one that writes
                shutil.rmtree(left, ignore_errors=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._hidden, ignore_errors=True)
        self._lock.remove()
        self._remove_empty()

    def write(self, files: Mapping[str, Callable[[Path], object]]) -> list[Path]:
        """Write every file and put it in place.

        Args:
            files: by name, what writes the file to a path.

        Returns:
            The paths of the files, in the order given.

        Raises:
            OSError: a file cannot be written; names it, and what was written before it is kept.
        """
        done: list[str] = []
        for name in sorted(files, key=lambda name: Path(name).suffix in PICTURES):
            try:
                files[name](self._hidden / name)
                (self._hidden / name).replace(self.folder / name)
            except OSError as error:
                kept = f"; {', '.join(done)} in the same folder: written" if done else "; nothing was written"
                reason = error.strerror or str(error)
                raise OSError(f"{self.folder / name} cannot be written ({reason}){kept}") from error
            done.append(name)
        return [self.folder / name for name in files]

    def _remove_empty(self) -> None:
        for place in self._made:
            if place.exists() and not any(place.iterdir()):
                place.rmdir()
