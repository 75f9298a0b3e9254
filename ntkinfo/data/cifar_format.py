"""The binary version of CIFAR-10 and CIFAR-100.

A file is a row of records: one byte with the class (CIFAR-100: two, first the coarse one), then 32 x 32 pixels of red,
as many of green and of blue.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ntkinfo.data.input_files import FilePath, existing_file, fits_in_memory

_PIXELS = 3 * 32 * 32
_CLASSES = {1: (10,), 2: (20, 100)}
_NAMES = {1: ("batches.meta.txt",), 2: ("coarse_label_names.txt", "fine_label_names.txt")}
_BATCH = re.compile(r"data_batch_(\d+)\.bin")


@dataclass(frozen=True)
class Cifar:
    """Images and classes of one part.

    Args:
        images: (n, 32, 32, 3) bytes.
        labels: (n,) numbers of classes.
        class_names: their names, or numbers where no file says them.
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]


def cifar_files(path: FilePath) -> tuple[list[Path], list[Path]]:
    """The files of the training part (or of the pool) and of the test part behind a path.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the Python or MATLAB version, a packed archive, a folder without such files or with gaps.
    """
    place = existing_file(path, folders=True)
    if not place.is_dir():
        return [place], []
    inner = sorted(folder for folder in place.glob("cifar-10*-b*") if folder.is_dir())
    if len(inner) == 1:
        place = inner[0]
    numbers = {int(found[1]): file for file in place.iterdir() if (found := _BATCH.fullmatch(file.name))}
    missing = sorted(set(range(1, max(numbers, default=0) + 1)) - set(numbers))
    if missing:
        raise ValueError(f"{place} lacks data_batch_{missing[0]}.bin; unpack the archive again, or name single files")
    train = [numbers[k] for k in sorted(numbers)] or [file for file in [place / "train.bin"] if file.is_file()]
    test = [file for name in ("test_batch.bin", "test.bin") if (file := place / name).is_file()]
    if not train:
        pickled = [name for name in ("data_batch_1", "train", "meta", "batches.meta") if (place / name).is_file()]
        if pickled:
            raise _pickled(place / pickled[0])
        raise ValueError(
            f"{place} holds neither data_batch_1.bin (CIFAR-10) nor train.bin (CIFAR-100); name the folder that the "
            "binary version unpacks to"
        )
    return train, test


def read_cifar(files: Sequence[Path], coarse: bool) -> Cifar:
    """Read the files of one part.

    Args:
        files: in their order.
        coarse: CIFAR-100: the 20 coarse classes instead of the 100 fine ones.

    Raises:
        ValueError: cut short, not such a file, classes that there are not, `coarse` for CIFAR-10.
    """
    places = [existing_file(file) for file in files]
    widths = [_label_bytes(place) for place in places]
    if len(set(widths)) > 1:
        raise ValueError(f"{places[0].parent} mixes files of CIFAR-10 and CIFAR-100; name those of one")
    width = widths[0]
    if coarse and width == 1:
        raise ValueError(f"{places[0]} is of CIFAR-10, which has no coarse classes; leave coarse out")
    fits_in_memory(places[0], sum(place.stat().st_size for place in places))
    records = np.concatenate([_records(place, width) for place in places])
    level = 0 if coarse else width - 1
    labels = records[:, level]
    count = _CLASSES[width][level]
    if labels.max() >= count:
        row = int(np.argmax(labels >= count))
        raise ValueError(
            f"{places[0].parent}: image {row} has the class {labels[row]}, and there are {count}; a file is "
            "damaged, or not of CIFAR"
        )
    images = np.moveaxis(records[:, width:].reshape(-1, 3, 32, 32), 1, 3)
    return Cifar(images, labels.astype(np.int64), _class_names(places[0].parent / _NAMES[width][level], count))


def _label_bytes(place: Path) -> int:
    """How many bytes of classes a record has, by the file's name and its size."""
    with place.open("rb") as stream:
        start = stream.read(2)
    if start == b"\x1f\x8b":
        raise ValueError(f"{place} is packed; unpack it (tar xzf {place.name}) and name the folder")
    size = place.stat().st_size
    if start[:1] == b"\x80" and place.suffix != ".bin":
        raise _pickled(place)
    fitting = [width for width in _CLASSES if size % (width + _PIXELS) == 0]
    named = 1 if place.name.startswith(("data_batch", "test_batch")) else 2 if place.stem in ("train", "test") else 0
    if named in fitting or len(fitting) == 1:
        return named if named in fitting else fitting[0]
    raise ValueError(
        f"{place} has {size} bytes, which are no whole records of CIFAR-10 ({1 + _PIXELS} bytes) or CIFAR-100 "
        f"({2 + _PIXELS}), or could be both; it is cut short, or not the binary version"
    )


def _records(place: Path, width: int) -> np.ndarray:
    return np.frombuffer(place.read_bytes(), dtype=np.uint8).reshape(-1, width + _PIXELS)


def _class_names(place: Path, count: int) -> tuple[str, ...]:
    if not place.is_file():
        return tuple(map(str, range(count)))
    names = [line.strip() for line in place.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    if len(names) != count or len(set(names)) != count:
        raise ValueError(f"{place} names {len(names)} classes, and there are {count}; unpack the archive again")
    return tuple(names)


def _pickled(place: Path) -> ValueError:
    return ValueError(
        f"{place} is of the Python version of CIFAR, which is pickled and never read because reading it can run any "
        "code; use the binary version (cifar-10-binary.tar.gz, cifar-100-binary.tar.gz)"
    )
