"""Runs that get SIGKILL, SIGTERM or Ctrl-C at random moments, run out of disk, or meet each other in one folder.

python benchmarks/interruptions.py --kills 30 --terms 10 --interrupts 10 --seed 0

Over curves, compare, bottleneck, search and variational training: the same command goes on, to the results of a run
that nobody disturbed; nothing is recorded twice. With --disks every command also gets full disks of 8 kB to 1 MB (needs
root) and has to say so and to go on when there is room; with --pairs two runs at once in one folder; with --pipes a
reader that leaves. Exits 1 where anything was lost, doubled or different.

Every run is a fork of this process, which has imported everything and started nothing: they differ from what a shell
starts by the seconds that imports take.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

COMMANDS = {
    "curves": "curves --n-train 24 --n-test 12 --time-count 24 --samples 64 --depth 1 2 --certify",
    "compare": (
        "compare --n-train 12 --n-test 6 --depth 1 --widths 8 16 32 --members 24 --steps 64 --records 4 "
        "--replicates 99 --no-information --joint-inputs 2 --kernel-inputs 3"
    ),
    "bottleneck": "bottleneck --problem random --inputs 6 --targets 3 --accuracy 1e-3 --dual-points 8",
    "search": "search --data breast_cancer wine --n-train 16 --activation erf --workers 0",
}
NUMBERS = {"curves": "curves.nc", "compare": "compare.nc", "bottleneck": "bottleneck.nc", "search": "ranking.nc"}
DISKS = ("8k", "64k", "256k", "1m")
LONGEST = 300.0  # seconds for one run


def train(folder: Path) -> None:
    """Variational training with a checkpoint, its curves written at the end."""
    from ntkinfo.bottleneck.variational import VariationalSettings, train_variational
    from ntkinfo.bottleneck.variational_bounds import BoundSettings
    from ntkinfo.bottleneck.variational_objectives import variational_bottleneck
    from ntkinfo.bottleneck.variational_targets import ClassTargets
    from ntkinfo.core.progress import silent

    labels = np.arange(60) % 3
    inputs = np.random.default_rng(0).normal(size=(60, 2)) + 2 * np.eye(3)[labels, :2]
    settings = VariationalSettings(
        steps=2000,
        records=list(range(0, 2001, 200)),
        batch_size=16,
        checkpoint=folder / "checkpoint.npz",
        bounds=BoundSettings(draws=2),
    )
    targets = ClassTargets.of_labels(inputs, labels, 3)
    run = train_variational(variational_bottleneck(10.0), targets, settings=settings, progress=silent)
    folder.mkdir(exist_ok=True)
    np.save(folder / "result.npy", run.curves.information_input_upper.values)


def work(kind: str, folder: Path) -> int:
    """One run, as the command line would do it."""
    from ntkinfo.cli import main

    try:
        if kind == "variational":
            train(folder)
            return 0
        main([*COMMANDS[kind].split(), "--out", str(folder), "--quiet"])
    except KeyboardInterrupt:
        return 130
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except SystemExit as error:
        return int(error.code or 0)
    return 0


@dataclass(frozen=True)
class Run:
    """A run that goes on beside this process; what it says is in a file."""

    pid: int
    said: Path

    def wait(self, seconds: float = LONGEST) -> int | None:
        """Its exit code (below 0: the signal that ended it), None where it did not end."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        return None

    @property
    def text(self) -> str:
        """What it said on both streams."""
        return self.said.read_text(errors="replace")


def started(kind: str, folder: Path, said: Path) -> Run:
    """Fork a run."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return Run(pid, said)
    code = 70
    try:
        handle = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        code = work(kind, folder)
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def content(kind: str, folder: Path) -> Any:
    """What a finished run left, to be compared with another's."""
    if kind == "variational":
        return np.load(folder / "result.npy").tolist()
    from ntkinfo.information.curve_files import load_curves
    from ntkinfo.search.records import read_records

    found = load_curves(folder / NUMBERS[kind])
    if kind != "search":
        attributes = {key: value for key, value in found.attrs.items() if key not in ("configuration", "asked")}
        return found.drop_attrs(deep=False).assign_attrs(attributes).to_dict()
    table = read_records(folder / "trials").table
    rows = {row["fingerprint"]: {k: v for k, v in row.items() if "seconds" not in k} for row in table.to_pylist()}
    if len(rows) != table.num_rows:
        raise AssertionError(f"{table.num_rows} records of {len(rows)} trials")
    return dict(sorted(rows.items()))


def equal(left: Any, right: Any) -> bool:
    """The same to the bit, NaN with NaN."""
    return repr(left) == repr(right)


class Campaign:
    """Counts what was done and what went wrong."""

    def __init__(self, place: Path, seed: int):
        self.place, self.random = place, random.Random(seed)
        self.counts: collections.Counter[str] = collections.Counter()
        self.wrong: list[str] = []
        self.truth: dict[str, Any] = {}
        self.seconds: dict[str, float] = {}
        self._number = 0

    def start(self, kind: str, folder: Path) -> Run:
        """Fork a run whose messages are kept."""
        self._number += 1
        return started(kind, folder, self.place / f"said-{self._number}.txt")

    def expect(self, right: bool, text: str) -> None:
        """Remember what is not right."""
        if not right:
            self.wrong.append(text)
            print(f"WRONG {text}", flush=True)

    def undisturbed(self, kind: str) -> None:
        """The truth, and how long it takes."""
        begin, folder = time.monotonic(), self.place / f"{kind}-undisturbed"
        run = self.start(kind, folder)
        code = run.wait()
        self.seconds[kind] = time.monotonic() - begin
        self.expect(code == 0, f"{kind} undisturbed: {code} {run.text[-2000:]}")
        self.truth[kind] = content(kind, folder)
        print(f"{kind}: {self.seconds[kind]:.1f} s undisturbed", flush=True)

    def finished(self, kind: str, folder: Path, name: str) -> None:
        """The same command goes on to the same results, and leaves nothing else behind."""
        run = self.start(kind, folder)
        code = run.wait()
        if code != 0:
            self.expect(False, f"{name}: the same command ends with {code}: {run.text[-1500:]}")
            return
        self.expect(equal(content(kind, folder), self.truth[kind]), f"{name}: other results")
        left = [path.name for path in folder.rglob("*") if path.name.startswith(".") or path.name.endswith(".part")]
        left += [path.name for path in folder.glob("checkpoint") if path.is_dir()]
        left = [name for name in left if name != ".lock" or kind != "search"]
        self.expect(not left, f"{name}: left behind {left}")
        self.counts[f"{kind}: went on to the undisturbed results"] += 1

    def disturbed(self, kind: str, signals: list[int], each: int) -> None:
        """Runs in one folder, a signal each at a random moment, `each` to a folder; then one in peace."""
        for begin in range(0, len(signals), each):
            folder = self.place / f"{kind}-disturbed-{begin}"
            for number in signals[begin : begin + each]:
                name = f"{kind} {signal.Signals(number).name}"
                run = self.start(kind, folder)
                moment = self.random.uniform(0, 0.7 * self.seconds[kind])
                time.sleep(moment)
                with suppress(ProcessLookupError):
                    os.kill(run.pid, number)
                code = run.wait()
                self.expect(code is not None, f"{name}: does not end")
                self.expect("Traceback" not in run.text, f"{name}: {run.text[-1500:]}")
                self.expect(code in (0, 130, -signal.SIGKILL, -signal.SIGTERM, 2), f"{name}: ended with {code}")
                if code == 0:
                    self.counts[f"{name} after the end"] += 1
                    shutil.rmtree(folder)
                    continue
                self.counts[name] += 1
                self.expect(code != 2, f"{name} after {moment:.1f} s: {run.text[-800:]}")
            names = ", ".join(signal.Signals(number).name for number in signals[begin : begin + each])
            self.finished(kind, folder, f"{kind} after {names}")

    def full_disk(self, kind: str, size: str) -> None:
        """A disk that fills up, then one with room for all."""
        name, disk = f"{kind} on {size}", self.place / f"disk-{kind}-{size}"
        with mounted(disk, size) as there:
            run = self.start(kind, there / "results")
            code = run.wait()
            text = run.text
            self.counts[f"{kind}: full disk, " + ("had room" if code == 0 else "said so")] += 1
            self.expect(code in (0, 2), f"{name}: ended with {code}: {text[-1500:]}")
            self.expect("Traceback" not in text, f"{name}: {text[-1500:]}")
            if code == 2:
                self.expect("space" in text, f"{name}: does not say what is wrong: {text[-800:]}")
            copied = self.place / f"copy-{kind}-{size}"
            if (there / "results").exists():
                shutil.copytree(there / "results", copied, symlinks=True)
            torn = [path for path in copied.rglob("*") if path.name.endswith(".part")]
            self.expect(not torn, f"{name}: torn files {torn}")
        if code == 0:
            self.expect(equal(content(kind, copied), self.truth[kind]), f"{name}: other results")
        else:
            self.finished(kind, copied, f"{name}, with room again")

    def pair(self, kind: str) -> None:
        """Two runs at once: one does it, the other is refused (or, a moment later, finds it done)."""
        folder = self.place / f"{kind}-pair"
        folder.mkdir()
        runs = [self.start(kind, folder)]
        time.sleep(0.3 * self.seconds[kind])
        runs.append(self.start(kind, folder))
        codes = [run.wait() for run in runs]
        self.expect(codes[0] == 0, f"{kind}, two at once: the first ends with {codes[0]}: {runs[0].text[-800:]}")
        refused = codes[1] == 2 and ("is writing" in runs[1].text or "holds results already" in runs[1].text)
        self.expect(refused, f"{kind}, two at once: the second ends with {codes[1]}: {runs[1].text[-800:]}")
        self.expect(equal(content(kind, folder), self.truth[kind]), f"{kind}, two at once: other results")
        self.counts[f"{kind}: two at once, the second refused"] += 1

    def pipe(self, kind: str) -> None:
        """A reader that leaves after the first line."""
        folder = self.place / f"{kind}-pipe"
        words = [sys.executable, "-c", "from ntkinfo.cli import main; main()", *COMMANDS[kind].split()]
        words += ["--out", str(folder)]
        run = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.readline()
        run.stdout.close()
        said = run.stderr.read()
        self.expect(run.wait() == 0 and "Traceback" not in said, f"{kind} | head -1: {run.returncode} {said[-800:]}")
        self.expect(equal(content(kind, folder), self.truth[kind]), f"{kind} | head -1: other results")
        self.counts[f"{kind}: reader left"] += 1


@contextmanager
def mounted(place: Path, size: str) -> Iterator[Path]:
    """A file system of so many bytes."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def shared(signals: list[int], kinds: list[str]) -> dict[str, list[int]]:
    """The signals dealt out over the kinds, one after the other."""
    return {kind: signals[place :: len(kinds)] for place, kind in enumerate(kinds)}


def main() -> int:
    """Run the campaign and print the counts."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    for name, default in (("kills", 30), ("terms", 10), ("interrupts", 10), ("seed", 0), ("each", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    for name in ("disks", "pairs", "pipes"):
        parser.add_argument(f"--{name}", action="store_true")
    parser.add_argument("--kinds", nargs="*", default=[*COMMANDS, "variational"])
    options = parser.parse_args()
    signals = [signal.SIGKILL] * options.kills + [signal.SIGTERM] * options.terms + [signal.SIGINT] * options.interrupts
    with tempfile.TemporaryDirectory() as place:
        # Runs of one kind share their compiled programs, which take most of the time of runs as small as these.
        jax.config.update("jax_compilation_cache_dir", f"{place}/programs")
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
        campaign = Campaign(Path(place), options.seed)
        campaign.random.shuffle(signals)
        dealt = shared(signals, options.kinds)
        deeds: list[tuple[bool, Callable[[str], None]]] = [
            (options.pairs, campaign.pair),
            (options.pipes, campaign.pipe),
        ]
        for kind in options.kinds:
            campaign.undisturbed(kind)
            campaign.disturbed(kind, dealt[kind], options.each)
            if kind == "variational":
                continue
            for size in DISKS if options.disks else ():
                campaign.full_disk(kind, size)
            for wanted, deed in deeds:
                if wanted:
                    deed(kind)
    for name, count in sorted(campaign.counts.items()):
        print(f"{count:4d}  {name}")
    print(f"{len(campaign.wrong)} wrong")
    return int(bool(campaign.wrong))


def imported() -> None:
    """Import what the runs need; nothing of it starts a thread."""
    import ntkinfo.bottleneck.variational
    import ntkinfo.bottleneck_run
    import ntkinfo.cli
    import ntkinfo.compare_run
    import ntkinfo.runs
    import ntkinfo.search_run  # noqa: F401


if __name__ == "__main__":
    imported()
    sys.exit(main())
