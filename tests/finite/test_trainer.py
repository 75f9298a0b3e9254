"""The engine that trains members: against plain loops, and what must not change a member."""

import _thread
import signal
import threading
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ntkinfo.core.arrays import float64
from ntkinfo.core.progress import silent
from ntkinfo.finite import member_program
from ntkinfo.finite.trainer import Interrupted, MemberRecords, TrainerSettings, Training, train_members

RNG = np.random.default_rng(3)
X, Y = RNG.normal(size=(7, 3)), RNG.normal(size=(7, 2))
run = partial(train_members, progress=silent)


def initialise(key):
    first, second = jax.random.split(key)
    return {"hidden": jax.random.normal(first, (3, 4)), "out": jax.random.normal(second, (4, 2))}


def outputs(params, x):
    return jnp.tanh(x @ params["hidden"]) @ params["out"]


def loss(params, batch, key):
    x, y = batch
    return 0.5 * jnp.sum((outputs(params, x) - y) ** 2)


def observe(params, key):
    return {"outputs": outputs(params, X.astype(params["out"].dtype)), "first": params["hidden"][0, 0]}


TRAINING = Training(initialise, loss, optax.sgd(0.02), (X, Y), observe)
STEPS = [0, 1, 5, 12]


def member_key(seed, member, stream):
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), member), stream)


def by_hand(member, steps, rows=None, rate=0.02, kick=None):
    """Two-layer tanh network, gradients written out, numpy only."""
    with float64():
        start = jax.tree.map(np.asarray, initialise(member_key(5, member, member_program.INITIALISE)))
    hidden, out = start["hidden"].copy(), start["out"].copy()
    for step in range(steps):
        x, y = (X, Y) if rows is None else (X[rows[step]], Y[rows[step]])
        active = np.tanh(x @ hidden)
        residual = active @ out - y
        back = (residual @ out.T) * (1 - active**2)
        hidden, out = hidden - rate * x.T @ back, out - rate * active.T @ residual
        if kick is not None:
            out = out + kick[step]
    return np.tanh(X @ hidden) @ out, hidden[0, 0]


def test_members_are_those_of_a_numpy_loop():
    records = run(TRAINING, STEPS, TrainerSettings(members=3, seed=5))
    assert isinstance(records, MemberRecords)
    assert records.values["outputs"].shape == (4, 3, 7, 2)
    assert records.values["first"].shape == (4, 3)
    np.testing.assert_array_equal(records.steps, STEPS)
    np.testing.assert_array_equal(records.numbers, [0, 1, 2])
    for member in range(3):
        for place, step in enumerate(STEPS):
            found, first = by_hand(member, step)
            np.testing.assert_allclose(records.values["outputs"][place, member], found, rtol=1e-12)
            np.testing.assert_allclose(records.values["first"][place, member], first, rtol=1e-12)


@pytest.mark.parametrize("batch", [3, 7])
def test_batches_cover_every_permutation_once(batch):
    """Recorded by a loss that is linear in a table of visits: its gradient counts the examples seen."""

    def visits(params, rows, key):
        return -jnp.sum(params[rows])

    training = Training(lambda key: jnp.zeros(7), visits, optax.sgd(1.0), np.arange(7), lambda p, key: p, batch)
    steps = list(range(22))
    seen = run(training, steps, TrainerSettings(members=6, seed=1)).values
    for member in range(6):
        order = np.concatenate([epoch_order(member, epoch) for epoch in range(23)])
        for step in steps:
            np.testing.assert_array_equal(seen[step, member], np.bincount(order[: step * batch], minlength=7))
    if batch < 7:
        assert not np.array_equal(seen[1, 0], seen[1, 1]) or not np.array_equal(seen[2, 0], seen[2, 1])


def epoch_order(member, epoch):
    key = jax.random.fold_in(member_key(1, member, member_program.BATCHES), epoch)
    return np.asarray(jax.random.permutation(key, 7))


def test_minibatch_training_is_that_of_a_numpy_loop():
    records = run(replace(TRAINING, batch_size=3), [2, 9], TrainerSettings(members=2, seed=5))
    for member in range(2):
        keys = [jax.random.fold_in(member_key(5, member, member_program.BATCHES), epoch) for epoch in range(5)]
        order = np.concatenate([np.asarray(jax.random.permutation(key, 7)) for key in keys])
        rows = [order[3 * step : 3 * step + 3] for step in range(9)]
        np.testing.assert_allclose(records.values["outputs"][1, member], by_hand(member, 9, rows)[0], rtol=1e-12)


def test_noise_after_every_step_has_its_own_keys():
    def noise(params, key, step):
        return {**params, "out": params["out"] + 0.1 * jax.random.normal(key, (4, 2))}

    records = run(replace(TRAINING, noise=noise), [4], TrainerSettings(members=2, seed=5))
    with float64():
        keys = [jax.random.fold_in(member_key(5, 1, member_program.NOISE), step) for step in range(4)]
        kick = [0.1 * np.asarray(jax.random.normal(key, (4, 2))) for key in keys]
    np.testing.assert_allclose(records.values["outputs"][0, 1], by_hand(1, 4, kick=kick)[0], rtol=1e-12)


def test_what_is_fixed_reaches_loss_and_records_and_never_moves():
    """A member's own targets: the same as training on them, and the recorded start is that of step 0."""

    def fixed(params, key):
        return {"start": params, "targets": Y + jax.random.normal(key, Y.shape)}

    def own_loss(given, batch, key):
        params, kept = given
        return 0.5 * jnp.sum((outputs(params, batch[0]) - kept["targets"]) ** 2)

    def look(given, key):
        params, kept = given
        return outputs(params, X), outputs(kept["start"], X), kept["targets"]

    training = replace(TRAINING, fixed=fixed, loss=own_loss, observe=look)
    now, start, targets = run(training, [0, 6], TrainerSettings(members=3, seed=5)).values
    np.testing.assert_array_equal(start[0], now[0])
    np.testing.assert_array_equal(start[1], now[0])
    np.testing.assert_array_equal(targets[0], targets[1])
    assert not np.allclose(targets[0, 0], targets[0, 1])
    alone = run(replace(TRAINING, examples=(X, targets[0, 2])), [6], TrainerSettings(members=3, seed=5))
    np.testing.assert_allclose(now[1, 2], alone.values["outputs"][0, 2], rtol=1e-12)


def test_any_optimiser_with_its_state():
    """Adam against its formulas in numpy."""
    records = run(replace(TRAINING, optimiser=optax.adam(0.05)), [10], TrainerSettings(members=2, seed=5))
    with float64():
        params = jax.tree.map(np.asarray, initialise(member_key(5, 1, member_program.INITIALISE)))
    mean = dict.fromkeys(params, 0.0)
    square = dict(mean)
    for step in range(1, 11):
        active = np.tanh(X @ params["hidden"])
        residual = active @ params["out"] - Y
        back = (residual @ params["out"].T) * (1 - active**2)
        for name, slope in {"hidden": X.T @ back, "out": active.T @ residual}.items():
            mean[name] = 0.9 * mean[name] + 0.1 * slope
            square[name] = 0.999 * square[name] + 0.001 * slope**2
            change = mean[name] / (1 - 0.9**step) / (np.sqrt(square[name] / (1 - 0.999**step)) + 1e-8)
            params = {**params, name: params[name] - 0.05 * change}
    found = np.tanh(X @ params["hidden"]) @ params["out"]
    np.testing.assert_allclose(records.values["outputs"][0, 1], found, rtol=1e-9)


def test_members_do_not_depend_on_grouping_number_or_other_records():
    whole = run(TRAINING, STEPS, TrainerSettings(members=9, seed=5)).values["outputs"]
    for settings in (
        TrainerSettings(members=9, seed=5, group=1),
        TrainerSettings(members=9, seed=5, group=4),
        TrainerSettings(members=5, seed=5),
    ):
        found = run(TRAINING, [5, 12], settings).values["outputs"]
        np.testing.assert_allclose(found, whole[2:, : found.shape[1]], rtol=1e-11)
    other = run(TRAINING, STEPS, TrainerSettings(members=9, seed=6)).values["outputs"]
    assert np.all(np.abs(other - whole).max(axis=(0, 2, 3)) > 0.01)


def test_threads_change_nothing(monkeypatch):
    values = []
    for threads in (1, 3):
        monkeypatch.setattr("ntkinfo.finite.trainer.thread_count", lambda threads=threads: threads)
        values.append(run(TRAINING, STEPS, TrainerSettings(members=8, seed=5)).values["outputs"])
    np.testing.assert_array_equal(*values)


def test_single_precision_starts_from_the_same_members():
    double = run(TRAINING, STEPS, TrainerSettings(members=4, seed=5)).values["outputs"]
    single = run(TRAINING, STEPS, TrainerSettings(members=4, seed=5, precision="float32")).values["outputs"]
    assert double.dtype == np.float64
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, double, atol=1e-4)
    assert not jax.config.jax_enable_x64


@pytest.mark.parametrize(
    ("change", "steps", "settings", "message"),
    [
        ({}, [], {}, "non-empty row"),
        ({}, np.array([0.5]), {}, "whole number"),
        ({}, [-1, 2], {}, "rise strictly"),
        ({}, [2, 2], {}, "rise strictly"),
        ({}, [2**31], {}, "at most"),
        ({"batch_size": 8}, [1], {}, "there are 7 examples"),
        ({"batch_size": 0}, [1], {}, "at least 1"),
        ({"examples": (X, Y[:5])}, [1], {}, "leading axes"),
        ({}, [1], {"members": 0}, "members"),
        ({}, [1], {"precision": "float16"}, "float32"),
        ({"optimiser": optax.sgd(1e6)}, [0, 400], {}, "diverged"),
    ],
)
def test_bad_input_and_divergence(change, steps, settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        run(replace(TRAINING, **change), steps, TrainerSettings(**{"members": 2, **settings}))


def test_more_memory_than_there_is(monkeypatch):
    monkeypatch.setattr("ntkinfo.finite.trainer.available_memory", lambda: 1e-9)
    with pytest.raises(MemoryError, match="smaller group"):
        run(TRAINING, [1], TrainerSettings(members=2))


def test_progress_counts_every_mark():
    counted = []

    def track(items, label, total=None):
        counted.append((sum(1 for _ in items), total))
        return iter(())

    run(TRAINING, [0, 3, 200], TrainerSettings(members=5, group=1), progress=track)
    [(seen, total)] = counted
    assert seen == total
    assert total >= 5 * 64


def test_interruption_keeps_finished_members():
    def interrupt(items, label, total=None):
        for count, item in enumerate(items):
            if count == 70:
                raise KeyboardInterrupt
            yield item

    settings = TrainerSettings(members=12, seed=5, group=1)
    with pytest.raises(Interrupted) as caught:
        run(TRAINING, [0, 3, 64], settings, progress=interrupt)
    partial_ = caught.value.partial
    assert 1 <= partial_.members < 12
    assert "interrupted" in partial_.notes[-1]
    whole = run(TRAINING, [0, 3, 64], replace(settings, group=None)).values["outputs"]
    np.testing.assert_allclose(partial_.values["outputs"], whole[:, partial_.numbers], rtol=1e-11)


def test_control_c_is_heard_during_a_long_stretch():
    # Workers of pytest-xdist ignore the signal, and interrupt_main then does nothing.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(1.0, _thread.interrupt_main)
    timer.start()
    try:
        with pytest.raises(Interrupted) as caught:
            run(TRAINING, [2_000_000_000], TrainerSettings(members=2, seed=5))
    finally:
        signal.signal(signal.SIGINT, before)
    assert caught.value.partial is None
