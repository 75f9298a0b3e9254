"""Curves that are interrupted anywhere go on from what is kept, to the same bits, and compute none of it again."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest

import ntkinfo as ni
from ntkinfo.core import kept
from ntkinfo.information import curves
from ntkinfo.information.curve_groups import AT_EACH_TIME
from ntkinfo.information.curves import CurveSettings, Interrupted, information_curves
from ntkinfo.kernels import store

RNG = np.random.default_rng(0)
LABELS = np.arange(8) % 2
DATA = ni.Dataset(
    RNG.normal(size=(8, 3)), np.eye(2)[LABELS], RNG.normal(size=(6, 3)), np.eye(2)[LABELS[:6]], LABELS, LABELS[:6]
)
NETWORK = ni.FullyConnected(depth=1, activation="erf", b_std=0.1)
TIMES = ni.log_times(0.1, 10.0, 4)
QUANTITIES = ("loss_mean", "error_member", "information_input", "path_energy", "information_training_set_joint")


def compute(checkpoint=None, stop=None, **changes):
    """The curves; interrupted before the item of progress of this number."""
    seen = []

    def progress(items, label, total=None):
        for item in items:
            if len(seen) == stop:
                raise KeyboardInterrupt
            seen.append(label)
            yield item

    settings = CurveSettings(samples_per_input=4, certify=0.5, checkpoint=checkpoint)
    found = information_curves(
        NETWORK, DATA, TIMES, quantities=QUANTITIES, settings=replace(settings, **changes), progress=progress
    )
    return found, len(seen)


@pytest.fixture
def always(monkeypatch):
    """Keep every piece, however little work it was."""
    monkeypatch.setattr(kept, "INTERVAL", 0.0)
    monkeypatch.setattr(store, "INTERVAL", 0.0)


def test_a_run_that_is_interrupted_everywhere_equals_the_undisturbed_one(tmp_path, always, monkeypatch):
    undisturbed, items = compute()
    done, interruptions = [], 0

    def counted(group):
        def add(job, side, index):
            done.append((group, side.split, index))
            AT_EACH_TIME[group](job, side, index)

        return add

    monkeypatch.setattr(curves, "AT_EACH_TIME", {group: counted(group) for group in AT_EACH_TIME})
    for stop in range(0, items, 2):
        with suppress(KeyboardInterrupt):
            compute(tmp_path / "kept", stop)
            break
        interruptions += 1
    assert interruptions >= 5
    found, _ = compute(tmp_path / "kept")
    assert found.identical(undisturbed)
    assert len(done) == len(set(done)) == 2 * 2 * len(TIMES)  # each once, however often it was begun
    again, _ = compute(tmp_path / "kept")
    assert again.identical(undisturbed)
    assert len(done) == 2 * 2 * len(TIMES)


def test_what_is_finished_is_in_the_interruption_too(tmp_path, always):
    with pytest.raises(Interrupted) as first:
        compute(tmp_path / "kept", stop=8)
    with pytest.raises(Interrupted) as second:
        compute(tmp_path / "kept", stop=8)
    before, after = first.value.partial, second.value.partial
    assert set(before) <= set(after)
    for name in before:
        np.testing.assert_array_equal(after[name].where(before[name].notnull()), before[name])


def test_other_calls_are_refused_by_what_differs(tmp_path, always):
    compute(tmp_path / "kept")
    with pytest.raises(ValueError, match=r"settings is .* there and .* here"):
        compute(tmp_path / "kept", seed=1)
    compute(tmp_path / "kept", certify=1.0)  # the curves are the same


def test_kernels_and_decomposition_are_not_computed_again(tmp_path, always, monkeypatch):
    undisturbed, _ = compute()
    compute(tmp_path / "kept")
    monkeypatch.setattr(curves, "decompose", lambda *_: pytest.fail("it is kept"))
    monkeypatch.setattr("ntkinfo.kernels.tiles.TileKernel.tile", lambda *_: pytest.fail("it is kept"))
    found, _ = compute(tmp_path / "kept")
    assert found.identical(undisturbed)
