"""Where a long training left off, on disk: one file a lane of members, replaced whole after every recorded time.

A file is an `.npz` without pickle, written under a temporary name and put in place at once, so that a process killed at
any moment leaves the last finished record of every lane behind. The folder carries a description of the run, and
another run is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ntkinfo.core.damage import UNREADABLE, content_digest
from ntkinfo.core.kept import claim, replacing

_CONTENT = "content"  # digest of everything else in a file; those of earlier versions have none
_NAME = re.compile(r"digest|records|value_[0-9]+|state_[0-9]+")


@dataclass(frozen=True)
class Progress:
    """How far a lane has come.

    Args:
        records: number of recorded times that are done.
        values: what was recorded, arrays (records, members, ...) in the order of the tree's leaves.
        state: arrays to go on from; empty where all is done.
    """

    records: int
    values: list[np.ndarray]
    state: list[np.ndarray]


class Checkpoints:
    """A folder with the state of one run.

    Args:
        folder: made if it is not there.
        configuration: plain strings and numbers that determine every number of the run.

    Raises:
        ValueError: the folder cannot be written to, or holds another run; the message names what differs.
    """

    def __init__(self, folder: str | os.PathLike, configuration: Mapping[str, Any]):
        self.folder = Path(folder)
        text = json.dumps(dict(configuration), sort_keys=True)
        self.digest = hashlib.sha256(text.encode()).hexdigest()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise ValueError(
                f"checkpoint is {str(self.folder)!r}, which cannot be written to ({error.strerror}); "
                "give a folder of yours, or leave the checkpoint out"
            ) from error
        claim(self.folder, json.loads(text))

    def path(self, lane: int) -> Path:
        """Where that lane's file is or would be."""
        return self.folder / f"members-{lane:06d}.npz"

    def load(self, lane: int) -> Progress | None:
        """How far that lane has come, or None where it has not been started.

        Raises:
            ValueError: its file is damaged or of another run.
        """
        path = self.path(lane)
        if not path.exists():
            return None
        try:
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                arrays = _sound({name: file[name] for name in file.files})
                digest, records = str(arrays["digest"]), int(arrays["records"])
                values, state = (_numbered(arrays, name) for name in ("value", "state"))
        except UNREADABLE as error:
            raise ValueError(
                f"checkpoint file {path} is damaged ({error}); delete it, and its members are trained again"
            ) from error
        if digest != self.digest:
            raise ValueError(f"checkpoint file {path} is of another run; delete it, or give another folder")
        return Progress(records, values, state)

    def save(self, lane: int, progress: Progress) -> None:
        """Replace that lane's file."""
        arrays: dict[str, Any] = {"digest": np.array(self.digest), "records": np.array(progress.records)}
        arrays |= {f"value_{k}": array for k, array in enumerate(progress.values)}
        arrays |= {f"state_{k}": array for k, array in enumerate(progress.state)}
        arrays[_CONTENT] = np.array(content_digest(arrays))
        with replacing(self.path(lane)) as file:
            np.savez(file, **arrays)


def _sound(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of a file without their digest; ValueError where that or a name says that they are others."""
    stated = arrays.pop(_CONTENT, None)
    unknown = [name for name in arrays if not _NAME.fullmatch(name)]
    if unknown or (stated is not None and str(stated) != content_digest(arrays)):
        raise ValueError(f"unknown entry {unknown[0]!r}" if unknown else "its digest does not match its content")
    return arrays


def _numbered(arrays: Mapping[str, np.ndarray], name: str) -> list[np.ndarray]:
    count = sum(key.startswith(f"{name}_") for key in arrays)
    return [arrays[f"{name}_{k}"] for k in range(count)]
