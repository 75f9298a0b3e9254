"""A folder of results that is written whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType


class ResultsFolder:
    """Opens a folder before the work, so that one that cannot be written to is found out first, and fills it after.

    Files are written into a hidden folder inside it and moved into place together at the end. Leaving the `with` block
    by an error removes what was made: the hidden folder, and folders that were not there before and are still empty.

    Args:
        folder: made where it is not there.

    Raises:
        OSError: the folder cannot be made or written to.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder).absolute()
        self._made: list[Path] = []

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
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._hidden, ignore_errors=True)
        self._remove_empty()

    def write(self, files: Mapping[str, Callable[[Path], None]]) -> list[Path]:
        """Write every file, then put all of them in place.

        Args:
            files: by name, what writes the file to a path.

        Returns:
            The paths of the files.
        """
        for name, writer in files.items():
            writer(self._hidden / name)
        for name in files:
            (self._hidden / name).replace(self.folder / name)
        return [self.folder / name for name in files]

    def _remove_empty(self) -> None:
        for place in self._made:
            if place.exists() and not any(place.iterdir()):
                place.rmdir()
