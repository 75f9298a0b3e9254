"""Pieces of a run come back as they were, from a folder that a kill, damage or a full disk may have met."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pytest

from ntkinfo.core import kept
from ntkinfo.core.kept import KeptPieces, packed, unpacked
from ntkinfo.core.records import Estimate


@dataclass(frozen=True)
class Pair:
    first: Any
    second: Any


PIECES = {
    "numbers": [1, 0.1 + 0.2, float("inf"), -0.0, True, None, "ä; \n"],
    "arrays": (np.arange(6.0).reshape(2, 3).T, np.zeros((0, 3)), np.array([True]), np.float32(0.1), np.int64(7)),
    "device": jax.numpy.ones(3, dtype=jax.numpy.float32),
    "nested": Pair({"a": Estimate(np.array([1.0, np.inf]), 0.5, "exact"), 3: slice(1, None)}, (Pair(1, []),)),
}


def same(left, right):
    assert type(left) is type(right)
    if isinstance(left, np.ndarray | np.generic | jax.Array):
        assert left.dtype == right.dtype
        assert np.asarray(left).flags.f_contiguous == np.asarray(right).flags.f_contiguous
        np.testing.assert_array_equal(left, right)
    elif isinstance(left, list | tuple):
        assert len(left) == len(right)
        for each in zip(left, right, strict=True):
            same(*each)
    elif isinstance(left, dict):
        same(list(left.items()), list(right.items()))
    elif isinstance(left, Pair | Estimate):
        same(list(vars(left).values()), list(vars(right).values()))
    else:
        assert repr(left) == repr(right)


def test_pieces_come_back_with_type_bits_and_order_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "INTERVAL", 0.0)
    with KeptPieces(tmp_path / "kept", {"run": 1}, (Pair, Estimate)) as first:
        for key, piece in PIECES.items():
            assert first.recall(key, lambda piece=piece: piece) is piece
    again = KeptPieces(tmp_path / "kept", {"run": 1}, (Pair, Estimate))
    for key, piece in PIECES.items():
        same(again.recall(key, lambda: pytest.fail("it is there")), piece)
    assert not list((tmp_path / "kept").glob("*.part"))


def test_a_type_that_was_not_named_is_not_made_and_nothing_else_is_kept():
    with pytest.raises(KeyError):
        unpacked(packed({"one": Pair(1, 2)}), {})
    with pytest.raises(TypeError, match="function, which cannot be kept"):
        packed({"one": same})


def test_nothing_is_written_of_short_work_and_all_of_work_that_ends_early(tmp_path):
    with KeptPieces(tmp_path / "kept", {}) as quick:
        quick.put("a", 1)
    assert not (tmp_path / "kept").exists()

    def stopped():
        with KeptPieces(tmp_path / "kept", {}) as one:
            one.put("a", 1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert KeptPieces(tmp_path / "kept", {}).recall("a", lambda: 2) == 1


def test_another_run_is_refused_and_says_what_differs(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "INTERVAL", 0.0)
    KeptPieces(tmp_path, {"width": 3, "steps": [1, 2]}).put("a", 1)
    KeptPieces(tmp_path, {"steps": (1, 2), "width": 3})
    with pytest.raises(ValueError, match="width is 3 there and 4 here; give the settings of that run"):
        KeptPieces(tmp_path, {"width": 4, "steps": [1, 2]})
    (tmp_path / kept.DESCRIPTION).write_text("[")
    with pytest.raises(ValueError, match="cannot be read"):
        KeptPieces(tmp_path, {"width": 3})


def test_damage_costs_the_pieces_of_its_file_and_no_others(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "INTERVAL", 0.0)
    one = KeptPieces(tmp_path, {})
    for key in "ab":
        one.put(key, np.arange(5))
    path = tmp_path / "pieces-000002.npz"
    sound = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(len(sound), size=60):
        damaged = bytearray(sound)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged if place % 4 else sound[:place])
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            again = KeptPieces(tmp_path, {})
        np.testing.assert_array_equal(again.recall("a", lambda: None), np.arange(5))
        found = again.recall("b", lambda: None)
        # A flipped bit in the archive's own bookkeeping (a date) may change nothing.
        assert found is None or np.array_equal(found, np.arange(5))
        for left in tmp_path.glob("pieces-*.npz"):
            if left.name != "pieces-000001.npz":
                left.unlink()


def test_a_full_disk_costs_a_warning_and_not_the_run(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kept, "INTERVAL", 0.0)
    monkeypatch.setattr(os, "fsync", full)
    one = KeptPieces(tmp_path / "kept", {})
    with pytest.warns(RuntimeWarning, match="cannot be kept in .*No space left"):
        assert one.recall("a", lambda: 1) == 1
    assert one.recall("b", lambda: 2) == 2
    assert not list((tmp_path / "kept").glob("*"))
