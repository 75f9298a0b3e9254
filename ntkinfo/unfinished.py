"""One rule for all commands: the same command goes on with what it left unfinished, another one is refused.

What a run has finished stands in the folder `checkpoint` of its results, which goes when the results are whole. Two
commands are the same where they ask for the same numbers: by flags, by a file, by the configuration that the run wrote.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from ntkinfo.config_reading import Section
from ntkinfo.core.kept import DESCRIPTION, check_claim, claim, plain
from ntkinfo.core.versions import versions
from ntkinfo.report.results import PICTURES
from ntkinfo.running import Switches

CHECKPOINT = "checkpoint"


class Unfinished:
    """What a run leaves for the same command; used in a `with` block around the work.

    Args:
        folder: of the results.
        names: of the files that a run writes, its numbers first.
        command: what determines the numbers (`command_of`).
        switches: what only the command line says: --overwrite drops what another command left.

    Raises:
        ValueError: the folder holds what another command left unfinished.
    """

    def __init__(self, folder: Path, names: Sequence[str], command: Mapping[str, Any], switches: Switches):
        self.place = folder / CHECKPOINT
        self._begins = not self.place.exists()
        self._command = plain(command)
        self.asked = hashlib.sha256(json.dumps(self._command, sort_keys=True).encode()).hexdigest()
        if switches.overwrite:
            self._drop_another()
            return
        if self._is_empty():
            shutil.rmtree(self.place, ignore_errors=True)
        try:
            check_claim(self.place, self._command)
        except ValueError as error:
            text = str(error).removesuffix("; give the settings of that run, or another folder")
            raise ValueError(f"{text}; {_REMEDY}") from None
        there = [name for name in names if (folder / name).exists()]
        if there and unfinished(folder, names).get("asked") != self.asked:
            raise ValueError(f"{folder} holds results of another command ({', '.join(there)}); {_REMEDY}")

    def __enter__(self) -> Path:
        try:
            claim(self.place, self._command)
        except OSError:
            return self.place  # what is to be kept in it says so itself
        return self.place

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Bad input that shows late: what was computed for it serves no command that can follow.
        if self._is_empty() or (self._begins and isinstance(error, ValueError)):
            self.remove()

    @property
    def told(self) -> str:
        """What to say where an interruption came before there were results."""
        return "nothing was written" if self._is_empty() else "the same command goes on with what is kept"

    def remove(self) -> None:
        """Delete what is kept: the results are whole."""
        shutil.rmtree(self.place, ignore_errors=True)

    def _is_empty(self) -> bool:
        """Whether nothing but the description is there."""
        return self.place.is_dir() and all(path.is_dir() or path.name == DESCRIPTION for path in self.place.rglob("*"))

    def _drop_another(self) -> None:
        try:
            check_claim(self.place, self._command)
        except ValueError:
            self.remove()


_REMEDY = "give its settings to go on, add --overwrite to drop it, or name another folder with --out"


def command_of(config: Section, **more: Any) -> dict[str, Any]:
    """What determines the numbers of a run: its configuration in full but for the output, more, and the versions.

    Args:
        config: with every default written out.
        more: fingerprints of data.
    """
    sections = [name for name in type(config).model_fields if name != "output"]
    flat = {f"{name}.{key}": value for name in sections for key, value in getattr(config, name).given().items()}
    return {**flat, **more, **versions()}


def unfinished(folder: Path, names: Sequence[str]) -> dict[str, Any]:
    """The attributes of results that a run left unfinished; empty where they are whole, or not to be read.

    Args:
        folder: of the results.
        names: of the files that a run writes, its numbers first; pictures that are missing are to be made.
    """
    from ntkinfo.information.curve_files import load_curves

    try:
        kept = load_curves(folder / names[0]).attrs
    except (OSError, ValueError):
        return {}
    partial = str(kept.get("complete", "yes")).startswith("no")
    missing = [name for name in names if Path(name).suffix in PICTURES and not (folder / name).exists()]
    return dict(kept) if partial or missing else {}
