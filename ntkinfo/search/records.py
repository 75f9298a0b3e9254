"""Records of a sweep: a folder of Parquet parts, one row a trial, that a kill at any moment leaves readable.

Only the driver of a sweep writes, whoever measured: a worker on another machine need not share a disk with it, one
writer needs no agreement with others, and a part then holds whatever came back at once instead of one worker's share. A
part is written under a hidden name, flushed to the disk and put in place at once; it is never changed, but written anew
where later trials bring columns or fractions that it does not have, so that all parts share one schema. Small parts are
merged: the larger one is in place before those it holds are deleted, so a kill in between leaves rows twice, never
none. A fingerprint counts once however often it is there: the latest row without an error, else the latest error.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ntkinfo.core.arguments import checked
from ntkinfo.core.folder_lock import FolderLock
from ntkinfo.search.records_schema import UNFIT, in_schema, misfit, no_rows, table_of, unified
from ntkinfo.search.workers import ERROR, FINGERPRINT

MERGE = 64  # so many parts of one level become one part of the next
MOST_ROWS = 100_000  # parts of so many rows are not merged further
_MARK = {b"ntkinfo.records": b"1"}
_HIDDEN = ".writing-"
_KEYS = (FINGERPRINT, ERROR)


@dataclass(frozen=True)
class Part:
    """One file of records.

    Args:
        path: the file; its name holds level and number.
        level: how often its rows have been merged.
        number: the larger, the later.
    """

    path: Path
    level: int
    number: int


@dataclass(frozen=True)
class Recorded:
    """What a folder of records holds.

    Args:
        table: one row a trial: `fingerprint`, `error` (null where there was none), `seconds`, and the trial's columns,
            null where a trial does not have one.
        parts: number of files it was read from.
        notes: files that were left out, and why.
    """

    table: pa.Table
    parts: int
    notes: tuple[str, ...]

    @property
    def good(self) -> pa.Table:
        """The rows without an error."""
        return self.table.filter(self.table[ERROR].is_null())


class Records:
    """A folder of records that one process at a time writes.

    Entering it takes the folder's lock and looks through the parts; leaving it gives the lock back.

    Args:
        folder: made if it is not there.

    Attributes:
        done: by fingerprint, whether its record is an error.
        notes: files that were left out, and why; their trials count as missing.

    Raises:
        OSError: the folder cannot be written to, or another process is writing to it.
        ValueError: a column holds text in one part and numbers in another.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = Path(folder).absolute()
        self.done: dict[str, bool] = {}
        self.notes: tuple[str, ...] = ()
        self._parts: list[Part] = []
        self._schema = no_rows().schema
        self._alike = True  # whether every part has that schema
        self._lock = FolderLock(self.folder)

    def __enter__(self) -> Records:
        with _explained(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.take()
        try:
            for left in self.folder.glob(f"{_HIDDEN}*"):
                left.unlink()  # of a process that was killed: whoever holds the lock is the only one that writes
            self._look_through()
        except BaseException:
            self._lock.give_back()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._lock.give_back()

    def add(self, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Put rows on the disk as one part.

        Args:
            rows: a mapping a trial, with `fingerprint` (str), `error` (str or None) and `seconds`; everything else is
                str, bool, int, float or None. A row whose values do not fit is recorded as an error instead.

        Returns:
            The rows as they were recorded.

        Raises:
            OSError: they cannot be written, as on a full disk; what was recorded before is as it was.
        """
        if not rows:
            return []
        table, recorded = self._fitting(rows)
        schema = unified([self._schema, table.schema])
        self._alike = self._alike and schema == self._schema
        self._schema = schema
        self._make_alike()
        self._put(table, 0)
        self.done.update((row[FINGERPRINT], row[ERROR] is not None) for row in recorded)
        self._merge_level(0)
        return recorded

    def merge(self) -> None:
        """Make one part of all that together have at most `MOST_ROWS` rows.

        Raises:
            OSError: it cannot be written; the parts are as they were.
        """
        small = [part for part in self._parts if part.level < 2]
        if len(small) > 1 and len(self.done) <= MOST_ROWS:
            self._replace(small, 1)

    def _make_alike(self) -> None:
        """Write parts of another schema again in the one that all share.

        Programs that read many parts take the types from the first one: fractions would become whole numbers where
        that one happened to hold whole numbers, and columns would be missing that it did not have.
        """
        if self._alike:
            return
        for index, part in enumerate(self._parts):
            table = _read(part.path)
            if table.schema == self._schema:
                continue
            path = self._path(part.level, part.number)
            with _explained(self.folder):
                put_file(path, _bytes(in_schema(self._schema, table)))
            self._parts[index] = Part(path, part.level, part.number)
            part.path.unlink()  # killed before this, both are there, and a trial still counts once
        self._alike = True

    def _look_through(self) -> None:
        self.done, notes, self._parts, schemas = {}, [], [], []
        for part, table, note in _tables(self.folder):
            if table is None:
                notes.append(note)
                continue
            self._parts.append(part)
            self._schema = unified([self._schema, table.schema], part.path)
            schemas.append(table.schema)
            for key, error in zip(*(table[name].to_pylist() for name in _KEYS), strict=True):
                self.done[key] = self.done.get(key, True) and error is not None
        self._alike = all(schema == self._schema for schema in schemas)
        self.notes = tuple(notes)

    def _fitting(self, rows: Sequence[Mapping[str, Any]]) -> tuple[pa.Table, list[Mapping[str, Any]]]:
        """The rows as a table; those that cannot be in one with the others become errors."""
        try:
            table = table_of(rows)
            unified([self._schema, table.schema])
        except UNFIT as error:
            if len(rows) == 1:
                return self._fitting([misfit(rows[0], error)])
            tables, kept, schema = [], [], self._schema
            for row in rows:
                one, recorded = self._fitting([row])
                try:
                    schema = unified([schema, one.schema])
                except UNFIT as clash:
                    one, recorded = self._fitting([misfit(row, clash)])
                tables.append(one)
                kept.extend(recorded)
            return pa.concat_tables(tables, promote_options="permissive"), kept
        return table, list(rows)

    def _put(self, table: pa.Table, level: int) -> None:
        number = 1 + max((part.number for part in self._parts), default=0)
        path = self._path(level, number)
        with _explained(self.folder):
            put_file(path, _bytes(in_schema(self._schema, table)))
        self._parts.append(Part(path, level, number))

    def _path(self, level: int, number: int) -> Path:
        return self.folder / f"part-{level}-{number:08d}-{os.urandom(4).hex()}.parquet"

    def _merge_level(self, level: int) -> None:
        parts = [part for part in self._parts if part.level == level]
        if len(parts) >= MERGE and level < 2:
            self._replace(parts, level + 1)
            self._merge_level(level + 1)

    def _replace(self, parts: Sequence[Part], level: int) -> None:
        tables = [_read(part.path) for part in parts]
        self._put(once(_joined(tables)), level)
        for part in parts:
            part.path.unlink()
            self._parts.remove(part)


@checked
def read_records(place: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> Recorded:
    """Read the records of a sweep, also while one is running.

    Args:
        place: the folder of a sweep, its folder `trials`, or Parquet parts by name.

    Returns:
        A row a trial. In a folder, files that are not whole parts of records are left out and named in the notes.

    Raises:
        FileNotFoundError: there is no such folder or part.
        ValueError: no records there; a part that was named is damaged or foreign; columns of different kinds.
    """
    if not isinstance(place, str | os.PathLike):
        return _read_named([Path(path) for path in place])
    folder = Path(place)
    if folder.is_file():
        return _read_named([folder])
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder or part of records {str(folder)!r}")
    inner = folder / "trials"
    folder = inner if inner.is_dir() and not any(folder.glob("part-*.parquet")) else folder
    found, notes = _snapshot(folder)
    if not found and (notes or not _begun(folder)):  # a sweep that has only begun has none yet
        why = f" ({'; '.join(notes)})" if notes else ""
        other = _other_results(Path(place))
        raise ValueError(f"{str(folder)!r} holds no records of trials{why}{other}; run `ntkinfo search` first")
    return Recorded(once(_joined(found)), len(found), notes)


def _other_results(folder: Path) -> str:
    """What a folder without records is, where another command wrote into it."""
    kinds = {"curves.nc": "curves", "compare.nc": "compare", "bottleneck.nc": "bottleneck"}
    found = [command for name, command in kinds.items() if (folder / name).exists()]
    if not found:
        return ""
    what = " and ".join(f"`ntkinfo {command}`" for command in found)
    return (
        f": it holds results of {what}, one network or law, and a ranking compares many networks; "
        f"`ntkinfo report {folder}` shows them on a page"
    )


def _begun(folder: Path) -> bool:
    """Whether a sweep has been here that has written no part yet."""
    return (folder / ".lock").exists() or (folder.name == "trials" and not any(folder.iterdir()))


def once(table: pa.Table) -> pa.Table:
    """One row a fingerprint: the latest without an error, else the latest error; in order of first appearance."""
    chosen: dict[str, tuple[bool, int]] = {}
    for index, (key, error) in enumerate(zip(*(table[name].to_pylist() for name in _KEYS), strict=True)):
        good = error is None
        if key not in chosen or good or not chosen[key][0]:
            chosen[key] = (good, index)
    if len(chosen) == table.num_rows:
        return table
    return table.take([index for _, index in chosen.values()])


def put_file(path: Path, content: bytes) -> None:
    """Write a file under a hidden name beside it, flush it to the disk and put it in place.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    handle, name = tempfile.mkstemp(prefix=_HIDDEN, dir=path.parent)
    hidden = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        hidden.chmod(0o644)
        hidden.replace(path)
    finally:
        hidden.unlink(missing_ok=True)
    _flush_folder(path.parent)


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Say what to do where the records cannot be written."""
    try:
        yield
    except OSError as error:
        if not error.strerror:
            raise
        raise OSError(
            error.errno,
            f"the records in {folder} cannot be written ({error.strerror}); every trial recorded before is "
            "safe: make room or access there, and the same command goes on with what is missing",
        ) from error


def _bytes(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    marked = table.replace_schema_metadata({**(table.schema.metadata or {}), **_MARK})
    pq.write_table(marked, buffer, compression="zstd", write_page_checksum=True)
    return buffer.getvalue()


def _read(path: Path) -> pa.Table:
    """One part, checked.

    Raises:
        ValueError: it is damaged, or not a part of records.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            metadata = file.schema_arrow.metadata or {}
            if any(metadata.get(key) != value for key, value in _MARK.items()):
                raise ValueError(f"{path.name} was not written by a sweep of this version of ntkinfo")
            return file.read(use_threads=False).replace_schema_metadata(None)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path.name} is damaged ({str(error).splitlines()[0]})") from error


def _tables(folder: Path) -> Iterable[tuple[Part, pa.Table | None, str]]:
    """Every Parquet file of a folder in order of writing: its part, its rows or None, and why there are none."""
    found = [_part(path) for path in folder.glob("*.parquet")]
    for part in sorted(found, key=lambda part: (part.number, part.path.name)):
        try:
            yield part, _read(part.path), ""
        except ValueError as error:
            yield part, None, f"left out: {error}"


def _part(path: Path) -> Part:
    pieces = path.stem.split("-")
    if len(pieces) == 4 and pieces[1].isdigit() and pieces[2].isdigit():
        return Part(path, int(pieces[1]), int(pieces[2]))
    return Part(path, 0, 0)


def _snapshot(folder: Path) -> tuple[list[pa.Table], tuple[str, ...]]:
    """The tables of a folder; read again where a running sweep merged parts in the meantime."""
    for _ in range(20):
        try:
            read = list(_tables(folder))
        except FileNotFoundError:
            continue
        return [table for _, table, _ in read if table is not None], tuple(note for *_, note in read if note)
    raise ValueError(f"the parts in {str(folder)!r} keep changing; read them when the sweep is done")


def _read_named(paths: Sequence[Path]) -> Recorded:
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"there is no part of records {str(path)!r}")
    if not paths:
        raise ValueError("no parts of records were named")
    ordered = sorted((_part(path) for path in paths), key=lambda part: (part.number, part.path.name))
    return Recorded(once(_joined([_read(part.path) for part in ordered])), len(ordered), ())


def _joined(tables: Sequence[pa.Table]) -> pa.Table:
    unified([no_rows().schema, *(table.schema for table in tables)])
    return pa.concat_tables([no_rows(), *tables], promote_options="permissive")


def _flush_folder(folder: Path) -> None:
    """Make the names in a folder last through a power cut, where the system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
