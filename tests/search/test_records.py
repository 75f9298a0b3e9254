"""Records on disk: written whole, read once a trial, damaged and foreign files named."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ntkinfo.search import records as module
from ntkinfo.search.records import Records, once, read_records


def row(number, error=None, **columns):
    return {"fingerprint": f"t{number:03d}", "error": error, "seconds": 0.5, **columns}


def by_name(table):
    return {r["fingerprint"]: r for r in table.to_pylist()}


def parts(folder):
    return sorted(path.name for path in Path(folder).glob("*.parquet"))


def test_rows_come_back_with_their_types_and_the_union_of_columns(tmp_path):
    with Records(tmp_path / "new" / "trials") as records:
        assert records.add([]) == []
        records.add([row(1, depth=2, gap=0.25, name="digits", wide=True), row(2, depth=3, gap=np.float64(1.5))])
        records.add([row(3, depth=2.5, late=np.int64(7))])
    found = read_records(tmp_path / "new")
    assert (found.parts, found.notes) == (2, ())
    table = by_name(found.table)
    assert list(table) == ["t001", "t002", "t003"]
    assert table["t001"] == row(1, depth=2.0, gap=0.25, name="digits", wide=True, late=None)
    assert table["t003"]["late"] == 7
    assert table["t003"]["gap"] is None
    assert found.table["depth"].type == pa.float64()
    assert found.good.num_rows == 3


def test_infinite_and_missing_numbers_survive(tmp_path):
    with Records(tmp_path) as records:
        records.add([row(1, a=float("inf"), b=float("nan")), row(2, a=None, b=-0.0)])
    table = by_name(read_records(tmp_path).table)
    assert table["t001"]["a"] == np.inf
    assert np.isnan(table["t001"]["b"])
    assert table["t002"]["a"] is None


def test_a_trial_counts_once_and_success_outlives_an_error(tmp_path):
    with Records(tmp_path) as records:
        records.add([row(1, "first"), row(2, gap=1.0), row(3, "a")])
        records.add([row(1, gap=2.0), row(2, "late"), row(3, "b")])
        assert records.done == {"t001": False, "t002": True, "t003": True}
    found = by_name(read_records(tmp_path).table)
    assert (found["t001"]["error"], found["t001"]["gap"]) == (None, 2.0)
    assert (found["t002"]["error"], found["t002"]["gap"]) == (None, 1.0)
    assert found["t003"]["error"] == "b"
    with Records(tmp_path) as records:
        assert records.done == {"t001": False, "t002": False, "t003": True}


def test_parts_are_merged_and_stay_few(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MERGE", 4)
    with Records(tmp_path) as records:
        for number in range(70):
            records.add([row(number % 60, gap=float(number))])
            assert len(parts(tmp_path)) <= 3 + 3 + 70 // 16 + 1
        assert sum(name.startswith("part-2-") for name in parts(tmp_path)) == 4
        records.merge()
    found = read_records(tmp_path)
    assert found.table.num_rows == 60
    assert by_name(found.table)["t009"]["gap"] == 69.0
    assert by_name(found.table)["t030"]["gap"] == 30.0


def test_a_kill_between_merging_and_deleting_loses_and_doubles_nothing(tmp_path, monkeypatch):
    with Records(tmp_path) as records:
        for number in range(5):
            records.add([row(number, gap=float(number))])
        whole = read_records(tmp_path).table

        def killed(self, *arguments, **options):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", killed)
            with pytest.raises(KeyboardInterrupt):
                records.merge()
    assert len(parts(tmp_path)) == 6
    assert by_name(read_records(tmp_path).table) == by_name(whole)
    with Records(tmp_path) as records:
        records.merge()
        assert len(parts(tmp_path)) == 1
    assert by_name(read_records(tmp_path).table) == by_name(whole)


def test_all_parts_share_one_schema_whatever_the_first_one_held(tmp_path):
    """DuckDB and others take the types from the first part: 0.75 would read as 1 after a part of whole numbers."""
    with Records(tmp_path) as records:
        records.add([row(0, error="out of memory")])
        records.add([row(1, gap=1, depth=2, lr=None)])
        records.add([row(2, gap=0.75, depth=3, name="erf")])
        records.add([row(3, error="diverged"), row(4, lr=0.1)])
        schemas = [pq.read_schema(tmp_path / name).remove_metadata() for name in parts(tmp_path)]
        assert len(schemas) == 4
        assert all(schema == schemas[0] for schema in schemas)
        types = dict(zip(schemas[0].names, schemas[0].types, strict=True))
        assert (types["gap"], types["depth"], types["lr"]) == (pa.float64(), pa.int64(), pa.float64())
    table = read_records(tmp_path).table
    assert table["gap"].to_pylist() == [None, 1.0, 0.75, None, None]
    # Parts of an earlier version, each with columns of its own, become alike with the next trial.
    old = tmp_path / "old"
    old.mkdir()
    for number, part in enumerate(parts(tmp_path)[:2], start=1):
        own = pq.read_table(tmp_path / part)
        drop = [name for name in own.column_names if own[name].null_count == own.num_rows and name != "error"]
        pq.write_table(own.drop_columns(drop), old / f"part-0-{number:08d}-0000000{number}.parquet")
    with Records(old) as records:
        assert set(records.done) == {row(0)["fingerprint"], row(1)["fingerprint"]}
        records.add([row(5, gap=0.5)])
    assert len({str(pq.read_schema(old / name).remove_metadata()) for name in parts(old)}) == 1
    assert read_records(old).table.num_rows == 3


def test_a_kill_while_parts_are_made_alike_loses_and_doubles_nothing(tmp_path, monkeypatch):
    with Records(tmp_path) as records:
        records.add([row(1, gap=1)])
        records.add([row(2, gap=2)])

        def killed(self, *arguments, **options):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", killed)
            with pytest.raises(KeyboardInterrupt):
                records.add([row(3, gap=0.5)])
    assert read_records(tmp_path).table["gap"].to_pylist() == [1.0, 2.0]
    with Records(tmp_path) as records:
        records.add([row(3, gap=0.5)])
    assert sorted(read_records(tmp_path).table["gap"].to_pylist()) == [0.5, 1.0, 2.0]
    assert len({str(pq.read_schema(tmp_path / name).remove_metadata()) for name in parts(tmp_path)}) == 1


def test_what_a_killed_writer_left_is_removed_and_never_read(tmp_path):
    with Records(tmp_path) as records:
        records.add([row(1)])
    (tmp_path / ".writing-abc").write_bytes(b"PAR1 half")
    assert read_records(tmp_path).table.num_rows == 1
    with Records(tmp_path):
        assert not list(tmp_path.glob(".writing-*"))


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "foreign", "text"])
def test_damaged_and_foreign_files_are_named_and_their_trials_are_missing(tmp_path, damage):
    with Records(tmp_path) as records:
        records.add([row(1, gap=1.0)])
        records.add([row(2, gap=0.123456789)])
    bad = tmp_path / parts(tmp_path)[1]
    content = bad.read_bytes()
    if damage == "cut":
        bad.write_bytes(content[: len(content) // 2])
    elif damage == "empty":
        bad.write_bytes(b"")
    elif damage == "flipped":
        place = content.index(np.float64(0.123456789).tobytes())
        bad.write_bytes(content[:place] + b"\x00" + content[place + 1 :])
    elif damage == "foreign":
        pq.write_table(pa.table({"fingerprint": ["x"], "error": [None], "seconds": [1.0]}), bad)
    else:
        bad.write_text("not Parquet at all")
    found = read_records(tmp_path)
    assert found.table["fingerprint"].to_pylist() == ["t001"]
    assert len(found.notes) == 1
    assert bad.name in found.notes[0]
    with pytest.raises(ValueError, match=bad.name):
        read_records([tmp_path / name for name in parts(tmp_path)])
    with Records(tmp_path) as records:
        assert set(records.done) == {"t001"}
        assert bad.name in records.notes[0]
        records.add([row(2, gap=2.0)])
        records.merge()
    assert bad.exists()
    assert read_records(tmp_path).table.num_rows == 2


def test_named_parts_and_places_without_records(tmp_path):
    with Records(tmp_path / "a") as records:
        records.add([row(1)])
    with Records(tmp_path / "b") as records:
        records.add([row(2)])
    named = [path for folder in "ab" for path in (tmp_path / folder).glob("*.parquet")]
    assert read_records(named).table.num_rows == 2
    assert read_records(named[0]).table.num_rows == 1
    for wrong, kind in ((tmp_path / "none", FileNotFoundError), ([tmp_path / "none"], FileNotFoundError)):
        with pytest.raises(kind, match="none"):
            read_records(wrong)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no records"):
        read_records(tmp_path / "empty")


def test_rows_that_do_not_fit_become_errors_of_their_trial(tmp_path):
    with Records(tmp_path) as records:
        records.add([row(1, gap=1.0)])
        kept = records.add([row(2, gap="text"), row(3, gap=3.0), row(4, gap=[1, 2]), row(5, new="a"), row(6, new=1.0)])
        records.add([row(7, gap=7.0)])
    errors = {r["fingerprint"]: r["error"] for r in kept}
    assert [name for name, error in errors.items() if error] == ["t002", "t004", "t006"]
    assert "gap" in errors["t002"]
    found = read_records(tmp_path)
    assert found.table.num_rows == 7
    assert found.good["fingerprint"].to_pylist() == ["t001", "t003", "t005", "t007"]


def test_one_writer_at_a_time_and_a_dead_ones_lock_is_free(tmp_path):
    with Records(tmp_path) as records:
        records.add([row(1)])
        with pytest.raises(OSError, match=f"process {os.getpid()} on .* is writing"), Records(tmp_path):
            pass
    code = (
        "import os, sys; from ntkinfo.search.records import Records; "
        "Records(sys.argv[1]).__enter__(); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)]).returncode == -9
    with Records(tmp_path) as records:
        assert set(records.done) == {"t001"}


def test_a_full_disk_is_said_and_leaves_usable_records(tmp_path, monkeypatch):
    with Records(tmp_path) as records:
        records.add([row(1)])

        def full(handle):
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(OSError, match=r"cannot be written \(No space left") as raised:
                records.add([row(2)])
        assert raised.value.errno == errno.ENOSPC
        assert "same command goes on" in str(raised.value)
        assert set(records.done) == {"t001"}
    assert read_records(tmp_path).table["fingerprint"].to_pylist() == ["t001"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([".lock", *parts(tmp_path)])


def test_a_file_that_may_not_grow_is_no_part(tmp_path):
    with Records(tmp_path) as records:
        records.add([row(1)])
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
        try:
            with pytest.raises(OSError, match="cannot be written"):
                records.add([row(2)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(parts(tmp_path)) == 1
    assert read_records(tmp_path).table.num_rows == 1


def test_once_keeps_the_latest_good_row():
    table = pa.table({"fingerprint": ["a", "b", "a", "b", "b"], "error": ["x", None, None, None, "y"], "n": range(5)})
    assert once(table)["n"].to_pylist() == [2, 3]


def test_a_search_that_was_stopped_before_its_first_part_goes_on(tmp_path):
    folder = tmp_path / "trials"
    with Records(folder):
        pass
    assert read_records(folder).table.num_rows == 0
    assert read_records(tmp_path).table.num_rows == 0
    (folder / ".lock").unlink()
    assert read_records(tmp_path).table.num_rows == 0
    with Records(folder) as records:
        assert records.done == {}
