import os
import re
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ntkinfo.kernels.store import KernelStore

NNGP, NTK = np.arange(6.0).reshape(2, 3), np.arange(6.0).reshape(2, 3) ** 2


@pytest.fixture
def store(tmp_path):
    store = KernelStore(tmp_path / "deep" / "folder")
    store.save("key", NNGP, NTK)
    return store


def test_round_trip_is_exact(store):
    nngp, ntk = store.load("key", (2, 3))
    np.testing.assert_array_equal(nngp, NNGP)
    np.testing.assert_array_equal(ntk, NTK)


def test_absent_entry_is_none(store):
    assert store.load("another key", (2, 3)) is None


def test_nothing_is_left_beside_the_entry(store):
    assert [p.suffix for p in store.folder.rglob("*") if p.is_file()] == [".npz"]


def _cut(path):
    path.write_bytes(path.read_bytes()[:-40])


def _flip(path):
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(bytes(content))


def _empty(path):
    path.write_bytes(b"")


def _other_numbers(path):
    with np.load(path) as entry:
        arrays = dict(entry)
    np.savez(path, **{**arrays, "ntk": arrays["ntk"] + 1})


def _lacking(path):
    np.savez(path, nngp=NNGP)


def _pickled(path):
    np.savez(path, nngp=np.array([{}], dtype=object), ntk=NTK, digest="")


@pytest.mark.parametrize("damage", [_cut, _flip, _empty, _other_numbers, _lacking, _pickled])
def test_damaged_entry_is_reported_and_not_used(store, damage):
    damage(store.path("key"))
    with pytest.warns(RuntimeWarning, match=r"is damaged \(.+\); it is computed again"):
        assert store.load("key", (2, 3)) is None
    store.save("key", NNGP, NTK)
    assert store.load("key", (2, 3)) is not None


def test_entry_under_another_key_is_damaged(store):
    store.path("other").parent.mkdir(exist_ok=True)
    store.path("other").write_bytes(store.path("key").read_bytes())
    with pytest.warns(RuntimeWarning, match="digest"):
        assert store.load("other", (2, 3)) is None


def test_entry_of_another_shape_is_damaged(store):
    with pytest.warns(RuntimeWarning, match="holds shapes"):
        assert store.load("key", (3, 3)) is None


def test_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=re.escape("cannot be written to")):
        KernelStore(tmp_path / "file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folder_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ValueError, match="cannot be written to"):
        KernelStore(tmp_path)


def test_concurrent_writers_leave_a_sound_entry(store):
    with ThreadPoolExecutor(8) as pool:
        loads = list(pool.map(lambda i: (store.save("key", NNGP, NTK), store.load("key", (2, 3)))[1], range(40)))
    assert all(np.array_equal(ntk, NTK) for _, ntk in loads)


def test_killed_writer_leaves_the_old_entry_or_none(tmp_path):
    code = textwrap.dedent(
        """
        import sys, numpy as np
        from ntkinfo.kernels.store import KernelStore
        store = KernelStore(sys.argv[1])
        big = np.ones((2000, 500))
        print("ready", flush=True)
        while True:
            store.save("big", big, big)
        """
    )
    for delay in (0.0, 0.05, 0.11):
        writer = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        try:
            writer.wait(timeout=delay)
        except subprocess.TimeoutExpired:
            writer.send_signal(signal.SIGKILL)
            writer.wait()
        writer.stdout.close()
        loaded = KernelStore(tmp_path).load("big", (2000, 500))  # a warning here, that is damage, would be an error
        assert loaded is None or np.all(loaded[0] == 1)
