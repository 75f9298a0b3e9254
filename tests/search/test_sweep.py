"""Sweeps: what is missing is measured once, whatever fails, dies or is interrupted."""

from __future__ import annotations

import errno
import itertools
import os
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

import psutil
import pytest

from ntkinfo.core.progress import silent
from ntkinfo.search import sweep as module
from ntkinfo.search.batches import Batch, Queue
from ntkinfo.search.cluster_settings import ClusterSettings, SlurmSettings
from ntkinfo.search.records import Records, read_records
from ntkinfo.search.sweep import SweepInterrupted, SweepSettings, sweep
from ntkinfo.search.workers import LostWorker, packed, run_batch

# Workers import the toys by name; `tests` is not a package everywhere.
sys.path.insert(0, str(Path(__file__).parent))
import sweep_toys as toys

HERE = ClusterSettings(workers=0)


def recorded(folder):
    return {row["fingerprint"]: row for row in read_records(folder).table.to_pylist()}


def errors(folder):
    return {row["number"]: row["error"] for row in recorded(folder).values() if row["error"] is not None}


def test_every_trial_is_recorded_with_its_number_or_its_error(tmp_path):
    result = sweep(toys.groups(25, deed={3: "fail", 5: "raise"}), toys.measure, tmp_path, HERE, progress=silent)
    assert (result.trials, result.there, result.measured, result.failed, result.missing) == (25, 0, 25, 2, 0)
    found = recorded(tmp_path)
    assert [found[f"toy-{k:05d}"]["square"] for k in range(25)] == [
        None if k in (3, 5) else float(k * k) for k in range(25)
    ]
    assert {k: error.split(" (line")[0] for k, error in errors(tmp_path).items()} == {
        3: "it failed",
        5: "RuntimeError: toy 5 is broken",
    }


def test_a_rerun_does_only_what_is_missing_and_errors_when_asked(tmp_path):
    mark, folder = tmp_path / "mark", tmp_path / "records"
    mark.mkdir()
    first = toys.groups(12, deed={2: "fail"}, mark=str(mark))
    sweep(first[:1], toys.measure, folder, HERE, progress=silent)
    assert len(list(mark.iterdir())) == 10
    result = sweep(first, toys.measure, folder, HERE, progress=silent)
    assert (result.there, result.measured) == (10, 2)
    assert len(list(mark.iterdir())) == 12
    again = sweep(first, toys.measure, folder, HERE, SweepSettings(retry_failed=True), silent)
    assert (again.there, again.measured, again.failed) == (11, 1, 1)
    mended = toys.groups(12)
    assert sweep(mended, toys.measure, folder, HERE, SweepSettings(retry_failed=True), silent).failed == 0
    assert errors(folder) == {}
    assert len(recorded(folder)) == 12
    assert sweep(mended, toys.measure, folder, HERE, progress=silent).measured == 0


def test_a_trial_that_is_in_two_groups_is_measured_once(tmp_path):
    groups = [*toys.groups(10), *toys.groups(10)]
    result = sweep(groups, toys.measure, tmp_path, HERE, progress=silent)
    assert (result.trials, result.measured) == (10, 10)


def test_an_interruption_keeps_what_came_back(tmp_path):
    def impatient(items, label, total=None):
        for index, item in enumerate(items):
            yield item
            if index == 4:
                raise KeyboardInterrupt

    with pytest.raises(SweepInterrupted, match="9 that are missing") as raised:
        sweep(toys.groups(20, of=5), slow_save, tmp_path, HERE, progress=impatient)
    assert raised.value.result.measured == 11
    assert len(recorded(tmp_path)) == 11
    assert sweep(toys.groups(20, of=5), toys.measure, tmp_path, HERE, progress=silent).measured == 9


def slow_save(trials):
    """Each group takes longer than the time between two parts."""
    time.sleep(1.1 if trials[0].number == 10 else 0)
    yield from toys.measure(trials)


def test_a_full_disk_stops_the_sweep_and_a_rerun_goes_on(tmp_path, monkeypatch):
    real, calls = Records.add, []

    def filling(self, rows):
        calls.append(len(rows))
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, rows)

    groups = toys.groups(12, of=4)
    monkeypatch.setattr(module, "_connected", FakePool.connected(2))
    with monkeypatch.context() as patch:
        patch.setattr(Records, "add", filling)
        with pytest.raises(OSError, match="No space left"):
            sweep(groups, toys.measure, tmp_path, progress=silent)
    there = len(recorded(tmp_path))
    assert 0 < there < 12
    result = sweep(groups, toys.measure, tmp_path, progress=silent)
    assert (result.there, result.measured, result.missing) == (there, 12 - there, 0)


class FakePool:
    """Workers that run batches when asked what is finished; a trial that kills loses its worker, which comes back.

    As with dask, what waits on a dead worker is lost with it.
    """

    name, local = "the fake", True

    def __init__(self, workers, tells=True):
        self.tells = tells
        self._queues = {f"w{k}": deque() for k in range(workers)}
        self._count, self.batches, self.starts = 0, [], []
        self._born = workers

    @classmethod
    def connected(cls, workers, pools=None, **options):
        from contextlib import contextmanager

        @contextmanager
        def connect(settings, folder):
            pool = cls(workers, **options)
            if pools is not None:
                pools.append(pool)
            yield pool

        return connect

    def workers(self, fresh=False):
        return tuple(self._queues)

    def submit(self, worker, load):
        self._count += 1
        self._queues[worker].append((self._count, load))
        return self._count

    def finished(self, timeout):
        found = []
        for worker in list(self._queues):
            waiting = self._queues[worker]
            if not waiting:
                continue
            import pickle

            ticket, load = waiting[0]
            trials = pickle.loads(load)[2]
            self.batches.append((worker, [trial.number for trial in trials]))
            self.starts += [trial.number for trial in trials]
            if any(trial.deed == "kill" for trial in trials):
                lost = [entry for entry, _ in waiting]
                del self._queues[worker]
                self._queues[f"w{self._born}"] = deque()
                self._born += 1
                found += [(entry, LostWorker()) for entry in lost] if self.tells else []
            else:
                waiting.popleft()
                found.append((ticket, run_batch(load)))
        return found

    def forget(self, ticket):
        for waiting in self._queues.values():
            for entry in [entry for entry in waiting if entry[0] == ticket]:
                waiting.remove(entry)


@pytest.mark.parametrize("tells", [True, False])
def test_poisoned_trials_do_not_take_others_along(tmp_path, monkeypatch, tells):
    pools, deed = [], {7: "kill", 8: "kill", 31: "kill", 40: "fail"}
    monkeypatch.setattr(module, "_connected", FakePool.connected(3, pools, tells=tells))
    monkeypatch.setattr(module, "_POLL", 0.0)
    result = sweep(toys.groups(60, of=20, deed=deed), toys.measure, tmp_path, progress=silent)
    assert (result.measured, result.failed, result.missing) == (60, 4, 0)
    found = errors(tmp_path)
    assert sorted(found) == [7, 8, 31, 40]
    assert all("three times" in found[k] for k in (7, 8, 31))
    starts = pools[0].starts
    assert {starts.count(k) for k in (7, 8, 31)} <= {2, 3}  # once with others, or waiting; then by itself
    assert max(starts.count(k) for k in range(60)) <= 3


def test_a_group_stays_on_one_worker_until_workers_would_idle(tmp_path, monkeypatch):
    pools = []
    monkeypatch.setattr(module, "_connected", FakePool.connected(2, pools))
    groups = [toys.ToyGroup(g.key, g.trials, shared_seconds=5.0, trial_seconds=0.3) for g in toys.groups(40, of=10)]
    sweep(groups, toys.measure, tmp_path, progress=silent)
    homes = {}
    for worker, numbers in pools[0].batches:
        for number in numbers:
            homes.setdefault(number // 10, set()).add(worker)
    assert all(len(workers) == 1 for workers in homes.values())
    assert len(set.union(*homes.values())) == 2


def test_one_large_group_is_shared_and_the_last_batches_are_small(tmp_path, monkeypatch):
    pools = []
    monkeypatch.setattr(module, "_connected", FakePool.connected(4, pools))
    sweep(toys.groups(200, of=200, seconds=0.0005), toys.measure, tmp_path, progress=silent)
    batches = pools[0].batches
    assert {worker for worker, _ in batches} == {"w0", "w1", "w2", "w3"}
    sizes = [len(numbers) for _, numbers in batches]
    assert max(sizes) > 4 * sizes[-1]
    assert sorted(n for _, numbers in batches for n in numbers) == list(range(200))


def test_batches_grow_to_the_time_asked_for():
    queue = Queue(toys.groups(10_000, of=10_000), batch_seconds=1.0)
    sizes = []
    for _ in range(12):
        batch = queue.take("w", 1, 0)
        sizes.append(len(batch.trials))
        queue.learn(batch, 0.01 * len(batch.trials))
    assert sizes[0] == 1
    assert sizes[-1] == 100
    assert all(b <= max(8, 4 * a) for a, b in itertools.pairwise(sizes))


def test_a_plan_that_is_wrong_by_a_factor_is_corrected():
    group = toys.groups(1000, of=1000)[0]
    slow = [toys.ToyGroup(str(k), group.trials, 0.0, 0.001) for k in range(3)]
    queue = Queue(slow, batch_seconds=1.0)
    first = queue.take("w", 1, 0)
    assert len(first.trials) == 8  # the plan alone is not trusted with the 1000 that it would allow
    queue.learn(first, 0.1 * len(first.trials))
    assert len(queue.take("w", 1, 1).trials) == 10
    assert len(queue.take("v", 2, 1).trials) == 10  # another group, by the same correction


def test_batches_given_back_are_not_lost():
    queue = Queue(toys.groups(3, of=3), 1.0)
    batch = queue.take("w", 1, 0)
    queue.give_back(batch)
    queue.gone("w")
    taken = []
    while queue.left:
        taken += queue.take("v", 1, 0).trials
    assert [toy.number for toy in taken] == [0, 1, 2]
    assert queue.died(Batch(0, (taken[0],)), "v") == []
    single = queue.take("u", 1, 0)
    assert queue.died(single, "u") == []
    assert queue.take("u", 1, running=1) is None
    alone = queue.take("u", 1, running=0)
    assert alone.alone
    queue.give_back(alone)
    assert queue.take("u", 1, running=0).alone


def test_a_trial_by_itself_waits_for_a_group_that_another_worker_goes_on_with():
    suspect, *others = (toys.Toy(number) for number in range(12))
    groups = [toys.ToyGroup("large", tuple(others), 1e3, 1.0), toys.ToyGroup("small", (suspect,), 1.0, 1.0)]
    queue = Queue(groups, 1.0)
    assert queue.take("v", 2, 0).trials[0].number == 1
    for _ in range(2):  # the other worker dies under its trial twice
        assert queue.died(queue.take("w", 2, 1), "w") == []
    # Between two batches nothing runs, and the large group is not worth a second kernel.
    assert queue.take("w", 2, 0) is None
    running = 0
    while not (batch := queue.take("v", 2, 0)).alone:
        running += len(batch.trials)
    assert running == 10
    assert batch.trials == (suspect,)


def test_bad_settings_and_measures_are_refused_before_anything_starts(tmp_path):
    with pytest.raises(ValueError, match="workers and scheduler"):
        ClusterSettings(workers=2, scheduler="tcp://127.0.0.1:1")
    with pytest.raises(ValueError, match="workers"):
        ClusterSettings(workers=-1)
    for address in ("node7", "tcp://node7", "node7:port", "http://node7:8786"):
        with pytest.raises(ValueError, match="which is no address; it is like tcp://host:8786"):
            ClusterSettings(scheduler=address)
    for address in ("tcp://node7:8786", "node7:8786", "ws://node7:8786"):
        with pytest.raises(ValueError, match=r"can run code as you; .*tls://host:8786"):
            ClusterSettings(scheduler=address)
        assert ClusterSettings(scheduler=address, insecure=True).scheduler == address
    assert ClusterSettings(scheduler="tls://node7:8786").scheduler == "tls://node7:8786"
    for size in ("much", "-1GB", "0", "8 PB"):
        with pytest.raises(ValueError, match="which is no size"):
            ClusterSettings(memory_limit=size)
    with pytest.raises(ValueError, match="batch_seconds"):
        SweepSettings(batch_seconds=0.0)
    with pytest.raises(TypeError, match="top of a module"):
        sweep(toys.groups(1), lambda trials: iter(()), tmp_path, ClusterSettings(workers=1), progress=silent)
    with pytest.raises(RuntimeError, match="install the same"):
        run_batch(packed(toys.measure, ()).replace(b"0.1.0", b"0.0.9"))


def test_slurm_without_its_package_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    cluster = ClusterSettings(slurm=SlurmSettings(jobs=1))
    with pytest.raises(ModuleNotFoundError, match=r"ntkinfo\[slurm\]"):
        sweep(toys.groups(1), toys.measure, tmp_path, cluster, progress=silent)


def test_on_workers_of_this_machine(tmp_path):
    """Processes, nothing that listens, a killed worker, an error; and this process is as it was."""
    before, ports = dict(os.environ), set()
    (tmp_path / "mark").mkdir()
    groups = toys.groups(40, of=20, seconds=0.02, deed={4: "fail", 17: "once"}, mark={17: str(tmp_path / "mark")})

    def looking(items, label, total=None):
        for item in items:
            ports.update(_listening())
            yield item

    result = sweep(groups, toys.measure, tmp_path / "records", ClusterSettings(workers=2), None, looking)
    assert (result.measured, result.failed, result.missing) == (40, 1, 0)
    assert result.lost >= 1
    assert sorted(errors(tmp_path / "records")) == [4]
    assert len({row["process"] for row in recorded(tmp_path / "records").values()} - {None, os.getpid()}) >= 2
    assert dict(os.environ) == before
    assert ports == set()
    assert not [child for child in psutil.Process().children(recursive=True) if "spawn_main" in " ".join(_words(child))]


def test_workers_that_take_too_much_memory_before_they_are_ready(tmp_path):
    cluster = ClusterSettings(workers=1, memory_limit="1kB")
    groups = toys.groups(1, seconds=3.0)
    with pytest.raises(RuntimeError, match="they do not start"):
        sweep(groups, toys.measure, tmp_path, cluster, progress=silent)


def _listening():
    """Addresses on which this process and its children listen."""
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        try:
            yield from (tuple(c.laddr) for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN)
        except psutil.Error:
            continue


def _words(process):
    try:
        return process.cmdline()
    except psutil.Error:
        return []


PROGRAM = """
import signal
import sys
sys.path.insert(0, {here!r})
import sweep_toys as toys

if __name__ == "__main__":
    from ntkinfo.search.sweep import ClusterSettings, SweepInterrupted, sweep
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background of a script

    def announced(items, label, total=None):
        for item in items:
            print("going", flush=True)
            yield item
    try:
        print(sweep(toys.groups(400, of=50, seconds=0.05), toys.measure, sys.argv[1], ClusterSettings(workers=1),
                    progress=announced).missing)
    except SweepInterrupted as error:
        print(error)
"""


def start(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(here=str(Path(__file__).parent)))
    words = [sys.executable, str(program), str(tmp_path / "records")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    line = process.stdout.readline()
    assert line == "going\n", line + process.stderr.read()
    return process


def ended(processes, seconds=20.0):
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return not alive


def test_control_c_and_a_killed_driver_leave_no_process_and_the_record(tmp_path):
    process = start(tmp_path)
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: all processes get it
    out, err = process.communicate(timeout=60)
    assert "interrupted" in out, out + err
    assert "the same command goes on" in out
    assert "Traceback" not in err
    assert ended(children)
    there = len(recorded(tmp_path / "records"))
    assert 0 < there < 400

    process = start(tmp_path)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    assert ended(children)
    found = read_records(tmp_path / "records")
    assert found.notes == ()
    assert there < found.table.num_rows < 400
