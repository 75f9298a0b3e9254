"""Files that ntkinfo wrote, with one byte changed or the end cut off: named, computed again, or read right.

python tests/mistakes/damaged_files.py 600 3      as many damages of each kind of file, by a seed
"""

from __future__ import annotations

import collections
import contextlib
import io
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import ntkinfo as ni
from ntkinfo.finite.checkpoints import Checkpoints, Progress
from ntkinfo.kernels.store import KernelStore

HOME = str(Path(ni.__file__).parent)
RANDOM = np.random.default_rng(0)
KERNEL = RANDOM.normal(size=(4, 4))
VALUES = [RANDOM.normal(size=(2, 3)), np.arange(5)]


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Args:
        name: what it is.
        place: the file within a folder.
        write: makes it in an empty folder.
        read: what its content is; None where it has to be made again.
    """

    name: str
    place: Callable[[Path], Path]
    write: Callable[[Path], Any]
    read: Callable[[Path], Any]


def _stored(folder: Path) -> list | None:
    found = KernelStore(folder).load("key", (4, 4))
    return None if found is None else [*found, KernelStore(folder).error("key")]


def _checkpoint(folder: Path) -> list | None:
    found = Checkpoints(folder, {"a": 1}).load(0)
    return None if found is None else [found.records, *found.values, *found.state]


def _curves() -> Any:
    data = ni.Dataset(np.eye(3), np.ones((3, 1)), np.eye(3) + 0.1, np.ones((3, 1)))
    network, times = ni.FullyConnected(depth=1), np.array([0.1, 1.0])
    return ni.information_curves(network, data, times, quantities=["loss_mean"], progress=lambda items, *_: items)


def _columns(curves: Any) -> list:
    return [np.asarray(curves[name].values) for name in curves.variables] + [sorted(map(str, curves.attrs.items()))]


def _trials(folder: Path) -> None:
    import pyarrow as pa

    from ntkinfo.search.records import write_part

    columns = {"fingerprint": ["a", "b"], "data": ["digits", "wine"], "error_gap_mean": [0.1, 0.2]}
    write_part(pa.table(columns), folder)


def _rows(folder: Path) -> list:
    found = ni.read_records(folder)
    return [found.rows.to_pydict()]


def kinds() -> tuple[Kind, ...]:
    """The kinds of files."""
    store = Kind(
        "store entry",
        lambda folder: KernelStore(folder).path("key"),
        lambda folder: KernelStore(folder).save("key", KERNEL, KERNEL.T, 1e-12),
        _stored,
    )
    checkpoint = Kind(
        "checkpoint",
        lambda folder: Checkpoints(folder, {"a": 1}).path(0),
        lambda folder: Checkpoints(folder, {"a": 1}).save(0, Progress(3, VALUES, VALUES[::-1])),
        _checkpoint,
    )
    claim = Kind(
        "claim of a checkpoint folder",
        lambda folder: next(path for path in sorted(folder.iterdir()) if path.suffix == ".json"),
        lambda folder: Checkpoints(folder, {"a": 1, "b": "text"}),
        lambda folder: [Checkpoints(folder, {"a": 1, "b": "text"}).digest],
    )
    made = _curves()
    curves = Kind(
        "curves.nc",
        lambda folder: folder / "curves.nc",
        lambda folder: ni.save_curves(made, folder / "curves.nc"),
        lambda folder: _columns(ni.load_curves(folder / "curves.nc")),
    )
    return store, checkpoint, claim, curves


def damages(content: bytes, count: int, random: np.random.Generator) -> Iterator[tuple[str, bytes]]:
    """Changes of one byte and cuts of one file; three changes to a cut."""
    for k in range(count):
        at = int(random.integers(len(content)))
        if k % 4 == 3:
            yield f"cut at {at} of {len(content)}", content[:at]
        else:
            other = bytes([content[at] ^ int(random.integers(1, 256))])
            yield f"byte {at} of {len(content)} changed", content[:at] + other + content[at + 1 :]


def outcome(kind: Kind, folder: Path, right: list) -> tuple[str, str]:
    """How reading a damaged file ends, and what is wrong with that."""
    try:
        with warnings.catch_warnings(record=True) as told, contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("always")
            found = kind.read(folder)
    except (ValueError, OSError) as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        own = frame.filename.startswith(HOME)
        return "named", "" if own else f"{type(error).__name__} from {frame.filename}:{frame.lineno}: {error}"
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return "traceback", f"{type(error).__name__} from {frame.filename}:{frame.lineno}: {error}"
    if found is None:
        return "made again", "" if told or kind.name != "store entry" else "made again without a word"
    same = len(found) == len(right) and all(_same(a, b) for a, b in zip(found, right, strict=True))
    return ("read right", "") if same else ("read wrong", f"{found} instead of {right}"[:300])


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return one.shape == other.shape and bool(np.all((one == other) | ((one != one) & (other != other))))
    return one == other


def check(kind: Kind, count: int, random: np.random.Generator) -> int:
    """Damage one kind of file so often; prints what came of it, returns how many ends were wrong."""
    found, wrong = collections.Counter(), 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kind.write(folder)
        place, right = kind.place(folder), kind.read(folder)
        content = place.read_bytes()
        for label, damaged in damages(content, count, random):
            place.write_bytes(damaged)
            end, problem = outcome(kind, folder, right)
            found[end] += 1
            if problem:
                wrong += 1
                print(f"{kind.name}, {label}: {end}: {problem}", flush=True)
    print(f"{kind.name}: {count} damaged: " + ", ".join(f"{n} {end}" for end, n in found.most_common()), flush=True)
    return wrong


def main() -> int:
    """Damage every kind of file."""
    count, random = int(sys.argv[1]), np.random.default_rng(int(sys.argv[2]))
    return 1 if sum([check(kind, count, random) for kind in kinds()]) else 0


if __name__ == "__main__":
    sys.exit(main())
