"""Which Parquet files of a folder are the training part and which the test part, by the names that programs give."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ntkinfo.data.input_files import FilePath, existing_file

_PART = re.compile(r"(?:^|[-_.=])(train|training|test|validation|valid|val|dev)(?=[-_.]|$)", re.IGNORECASE)
_SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})(?:-[0-9a-f]+)?")
_TRAIN, _TEST, _VALIDATION = ("train", "training"), ("test",), ("validation", "valid", "val", "dev")


@dataclass(frozen=True)
class Shards:
    """Files of one data set.

    Args:
        train: of the pool, or of the training part.
        test: of the test part; empty where there is none.
        said: what a reader should know about the choice.
    """

    train: tuple[Path, ...]
    test: tuple[Path, ...] = ()
    said: tuple[str, ...] = ()


def shards_of(path: FilePath) -> Shards:
    """The files behind a path: itself, or a folder's, as `train-00000-of-00002.parquet` or `train/part-0.parquet`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no Parquet files, shards that are missing, several data sets in one folder, a test part alone.
    """
    place = existing_file(path, folders=True)
    if not place.is_dir():
        shard = _SHARD.fullmatch(place.stem)
        alone = shard is not None and int(shard[3]) > 1
        return Shards((place,), said=(f"shard {place.name} alone; name the folder for all of them",) if alone else ())
    parts: dict[str, list[Path]] = {}
    for file in _files(place):
        parts.setdefault(_part(file, place), []).append(file)
    if not parts:
        raise ValueError(f"{place} is a folder without Parquet files; name a file, or the folder that holds them")
    for files in parts.values():
        _check_whole(files, place)
    return _chosen(parts, place)


def _files(folder: Path) -> list[Path]:
    """Sorted; what begins with a dot or an underscore is a program's own."""
    found = [file for file in sorted(folder.rglob("*")) if file.suffix.lower() in (".parquet", ".pq")]
    return [file for file in found if not any(part[0] in "._" for part in file.relative_to(folder).parts)]


def _part(file: Path, folder: Path) -> str:
    """What the file's name, or else the nearest folder's, calls its part; empty where nothing does."""
    for name in (file.stem, *(part for part in reversed(file.relative_to(folder).parts[:-1]))):
        found = _PART.search(name)
        if found:
            word = found[1].lower()
            return "train" if word in _TRAIN else "test" if word in _TEST else "validation"
    return ""


def _check_whole(files: Sequence[Path], folder: Path) -> None:
    folders = sorted({str(file.parent.relative_to(folder)) for file in files})
    if len(folders) > 1:
        raise ValueError(f"{folder} holds several data sets, in {', '.join(folders)}; name the folder of one")
    series = {}
    for file in files:
        shard = _SHARD.fullmatch(file.stem)
        if shard:
            series.setdefault((shard[1], int(shard[3])), set()).add(int(shard[2]))
    for (name, count), there in series.items():
        missing = sorted(set(range(min(count, 100_000))) - there)
        if missing:
            raise ValueError(
                f"{folder} lacks {len(missing)} of the {count} shards of {name}, the first {name}-{missing[0]:05d}-of-"
                f"{count:05d}; fetch the rest, or name a single file"
            )


def _chosen(parts: dict[str, list[Path]], folder: Path) -> Shards:
    if "" in parts and len(parts) > 1:
        raise ValueError(
            f"{folder} holds {parts[''][0].name}, whose part is not clear, beside files of the parts "
            f"{', '.join(sorted(part for part in parts if part))}; name a file, or move it"
        )
    if "" in parts:
        return Shards(tuple(parts[""]))
    if "train" not in parts:
        raise ValueError(f"{folder} holds the part(s) {', '.join(sorted(parts))} and no training part")
    said = []
    test = parts.get("test", parts.get("validation", []))
    if "validation" in parts:
        said.append(f"the validation part {'is left out' if 'test' in parts else 'is the test part'}")
    return Shards(tuple(parts["train"]), tuple(test), tuple(said))
