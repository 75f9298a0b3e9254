"""Runs that were killed go on to the same bits; folders of other runs are refused."""

import os
import signal
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ntkinfo.core.progress import silent
from ntkinfo.finite.checkpoints import Checkpoints, Progress
from ntkinfo.finite.trainer import Interrupted, TrainerSettings, Training, train_members

# Trains with everything that draws random numbers: own starts, batches, noise, Adam with its state.
WORKER = """
import sys
import jax, jax.numpy as jnp, numpy as np, optax
from ntkinfo.finite.trainer import TrainerSettings, Training, train_members

folder, result, records = sys.argv[1], sys.argv[2], int(sys.argv[3])
random = np.random.default_rng(0)
x, y = random.normal(size=(64, 8)), random.normal(size=(64, 3))

def outputs(p, x):
    return jnp.tanh(x @ p[0]) @ p[1] / 16

def loss(p, batch, key):
    return jnp.sum((outputs(p, batch[0] + 0.01 * jax.random.normal(key, batch[0].shape)) - batch[1]) ** 2)

def noise(p, key, step):
    return [p[0] + 1e-3 * jax.random.normal(key, p[0].shape), p[1]]

def start(key):
    return [jax.random.normal(jax.random.fold_in(key, k), shape) for k, shape in enumerate([(8, 256), (256, 3)])]

training = Training(start, loss, optax.adam(1e-3), (x, y), lambda p, key: outputs(p, x), 24, noise)

def progress(items, label, total=None):
    for item in items:
        print("going", flush=True)
        yield item

kept = None if folder == "-" else folder
steps = np.arange(records) * 40
found = train_members(training, steps, TrainerSettings(members=4, seed=2, checkpoint=kept), progress)
np.save(result, found.values)
"""


def work(tmp_path, folder, result, records, delay=None):
    """Run the worker; kill it `delay` seconds after it began to train. Returns whether it was killed."""
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    command = [sys.executable, script, folder, result, str(records)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    first = process.stdout.readline()
    assert first == "going\n", first + process.stdout.read()
    try:
        process.communicate(timeout=delay)
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert process.returncode in (0, -signal.SIGKILL)
    return process.returncode != 0


def killed_run(tmp_path, kills, records, seed):
    delays = np.random.default_rng(seed).uniform(0, 0.8, size=20 * kills)
    count = 0
    for delay in delays:
        if not work(tmp_path, tmp_path / "kept", tmp_path / "again.npy", records, delay):
            break
        count += 1
        if count == kills:
            work(tmp_path, tmp_path / "kept", tmp_path / "again.npy", records)
            break
    work(tmp_path, "-", tmp_path / "whole.npy", records)
    np.testing.assert_array_equal(np.load(tmp_path / "again.npy"), np.load(tmp_path / "whole.npy"))
    return count


def test_a_run_killed_at_a_random_moment_ends_with_the_same_arrays(tmp_path):
    assert killed_run(tmp_path, kills=1, records=100, seed=0) == 1


@pytest.mark.slow
def test_a_run_killed_ten_times_ends_with_the_same_arrays(tmp_path):
    assert killed_run(tmp_path, kills=10, records=1500, seed=1) == 10


X = np.random.default_rng(1).normal(size=(6, 2))
run = partial(train_members, progress=silent)


def initialise(key):
    return jax.random.normal(key, (2, 3))


def loss(params, batch, key):
    return jnp.sum((batch @ params - 1) ** 2)


def training(rate=0.01, data=X, optimiser=None):
    return Training(initialise, loss, optimiser or optax.adam(rate), data, lambda p, key: data @ p, 4)


def stop_after(count):
    def track(items, label, total=None):
        for seen, item in enumerate(items):
            if seen == count:
                raise KeyboardInterrupt
            yield item

    return track


def test_an_interrupted_run_goes_on_and_a_finished_one_is_read(tmp_path):
    """The first call is interrupted, the second finishes, the third computes nothing: all as without a checkpoint."""
    job = training(optimiser=optax.adam(0.01, mu_dtype=jnp.bfloat16))  # a type that numpy files do not know
    settings = TrainerSettings(members=5, seed=1, group=1, checkpoint=tmp_path / "kept")
    with pytest.raises(Interrupted):
        train_members(job, [0, 3, 90], settings, progress=stop_after(100))
    states = [np.load(path) for path in sorted(settings.checkpoint.glob("*.npz"))]
    assert states
    second = run(job, [0, 3, 90], settings).values
    stamps = {path: path.stat().st_mtime_ns for path in settings.checkpoint.iterdir()}
    third = run(job, [0, 3, 90], settings).values
    assert {path: path.stat().st_mtime_ns for path in settings.checkpoint.iterdir()} == stamps
    whole = run(job, [0, 3, 90], TrainerSettings(members=5, seed=1, group=1)).values
    np.testing.assert_array_equal(second, whole)
    np.testing.assert_array_equal(third, whole)
    assert not list(settings.checkpoint.glob("*.part"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Folder of a finished run."""
    folder = tmp_path_factory.mktemp("finished")
    run(training(), [0, 9], TrainerSettings(members=3, seed=1, checkpoint=folder))
    return folder


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"steps": [0, 8]}, "record_steps"),
        ({"settings": {"seed": 2}}, "seed"),
        ({"settings": {"members": 2}}, "members"),
        ({"settings": {"precision": "float32"}}, "precision"),
        ({"job": {"rate": 0.02}}, "computation and examples"),
        ({"job": {"data": X + 1e-12}}, "computation and examples"),
    ],
)
def test_a_folder_of_another_run_is_refused(finished, change, named):
    given = {"members": 3, "seed": 1, "checkpoint": finished}
    with pytest.raises(ValueError, match=f"another run: .*{named} is .* there and .* here"):
        run(
            training(**change.get("job", {})),
            change.get("steps", [0, 9]),
            TrainerSettings(**given | change.get("settings", {})),
        )


def test_files_that_are_damaged_or_foreign_are_named(tmp_path):
    store = Checkpoints(tmp_path, {"run": 1})
    assert store.load(0) is None
    store.save(0, Progress(2, [np.arange(6.0).reshape(2, 3)], [np.ones(4), np.zeros(())]))
    found = store.load(0)
    assert found.records == 2
    np.testing.assert_array_equal(found.values[0], np.arange(6.0).reshape(2, 3))
    assert [array.shape for array in found.state] == [(4,), ()]
    content = store.path(0).read_bytes()
    store.path(0).write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="damaged"):
        store.load(0)
    store.path(0).write_bytes(content)
    (tmp_path / "configuration.json").unlink()
    with pytest.raises(ValueError, match="of another run"):
        Checkpoints(tmp_path, {"run": 2}).load(0)
    (tmp_path / "configuration.json").write_text("{")
    with pytest.raises(ValueError, match="cannot be read"):
        Checkpoints(tmp_path, {"run": 2})


def test_a_write_that_fails_leaves_the_last_file(tmp_path, monkeypatch):
    store = Checkpoints(tmp_path, {"run": 1})
    store.save(3, Progress(1, [np.ones((1, 2))], [np.ones(2)]))

    def fail(*args, **kwargs):
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match="no space"):
        store.save(3, Progress(2, [np.ones((2, 2))], [np.ones(2)]))
    assert store.load(3).records == 1
    assert not list(tmp_path.glob("*.part"))


def test_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be written to"):
        run(training(), [1], TrainerSettings(members=1, checkpoint=tmp_path / "file"))
