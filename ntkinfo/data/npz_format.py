"""Named arrays from NPZ files; nothing pickled is ever read."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ntkinfo.data.input_files import FilePath, existing_file, fits_in_memory

SPLIT_FIELDS = ("x_train", "y_train", "x_test", "y_test")
POOL_FIELDS = ("x", "y")
# Names that others write for the same fields.
_OTHER_SPLITS = (
    ("X_train", "y_train", "X_test", "y_test"),
    ("train_images", "train_labels", "test_images", "test_labels"),
)
_OTHER_POOLS = (("X", "y"), ("images", "labels"), ("data", "target"))


def read_npz(path: FilePath) -> dict[str, np.ndarray]:
    """Read x_train, y_train, x_test, y_test, or x and y, from an NPZ file; other fields are left alone.

    Without them train_images, train_labels, test_images, test_labels (as MedMNIST names them), images and labels, data
    and target, and a capital X are taken for them, where all of a set are there.

    Args:
        path: the file, as `numpy.savez` or `numpy.savez_compressed` writes it.

    Returns:
        The arrays by field name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not an NPZ file, missing fields, an object array, damaged or cut data, or more than free memory.
    """
    place = existing_file(path)
    if not zipfile.is_zipfile(place):
        raise ValueError(f"{place} is not an NPZ file (a zip archive), or is cut short; write it with numpy.savez")
    with _archive(place) as archive:
        present = _canonical({name.removesuffix(".npy"): name for name in archive.namelist()})
        wanted = _wanted_fields(place, list(present))
        fits_in_memory(place, sum(archive.getinfo(present[field]).file_size for field in wanted))
        return {field: _read_member(archive, present[field], place, field) for field in wanted}


def _archive(place: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(place)
    except (zipfile.BadZipFile, NotImplementedError, OSError) as error:
        raise ValueError(f"{place} is a damaged NPZ file ({error}); write it again") from error


def _canonical(present: dict[str, str]) -> dict[str, str]:
    """Members by field, those of another known set of names under the names of this package."""
    if any(field in present for field in (*SPLIT_FIELDS[:1], *SPLIT_FIELDS[2:3], *POOL_FIELDS[:1])):
        return present
    for names, others in ((SPLIT_FIELDS, _OTHER_SPLITS), (POOL_FIELDS, _OTHER_POOLS)):
        for other in others:
            if all(field in present for field in other):
                return present | {name: present[field] for name, field in zip(names, other, strict=True)}
    return present


def _wanted_fields(place: Path, present: Sequence[str]) -> tuple[str, ...]:
    wanted = SPLIT_FIELDS if any(field in present for field in SPLIT_FIELDS) else POOL_FIELDS
    missing = [field for field in wanted if field not in present]
    if missing:
        raise ValueError(
            f"{place} lacks the field(s) {', '.join(missing)}; it has {', '.join(present) or 'none'}, and needs "
            f"{', '.join(SPLIT_FIELDS)} or {', '.join(POOL_FIELDS)}"
        )
    return wanted


def _read_member(archive: zipfile.ZipFile, member: str, place: Path, field: str) -> np.ndarray:
    try:
        with archive.open(member) as stream:
            _check_header(stream, archive.getinfo(member).file_size, place, field)
        with archive.open(member) as stream:
            array = np.lib.format.read_array(stream, allow_pickle=False)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{place}: the field {field} is damaged ({error}); write the file again") from error
    return array


def _check_header(stream, size: int, place: Path, field: str) -> None:
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
    except ValueError as error:
        raise ValueError(f"{place}: the field {field} is not a numpy array ({error})") from error
    if dtype.hasobject:
        raise ValueError(
            f"{place}: the field {field} is a pickled object array, which is never read because reading it can run "
            "any code; save it as plain numbers or text"
        )
    if dtype.kind not in "iufbU":
        raise ValueError(f"{place}: the field {field} holds {dtype}; it must hold real numbers or text")
    if math.prod(shape) * dtype.itemsize != size - stream.tell():
        raise ValueError(
            f"{place}: the field {field} declares shape {shape} of {dtype}, "
            f"{math.prod(shape) * dtype.itemsize} bytes, and holds {size - stream.tell()}"
        )
