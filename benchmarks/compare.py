"""Claim: a whole `ntkinfo compare` on the default configuration takes less than three minutes on two cores.

It runs the command as a user would, in a fresh process and folder, and checks what it leaves: figure, data and
configuration, a verdict for every width, and that progress was shown (lines, as the output is no terminal).

    python benchmarks/compare.py [--limit 180] [--folder FOLDER]

Wall time, processor time of the process and its peak memory are printed; close other programs first.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ntkinfo.information.curve_files import load_curves

COMMAND = [sys.executable, "-c", "from ntkinfo.cli import main; main()", "compare"]


def run(folder: Path) -> tuple[float, float, float, subprocess.CompletedProcess]:
    """Wall seconds, processor seconds, peak GiB and what was printed."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([*COMMAND, "--out", str(folder)], capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, processor, after.ru_maxrss / 2**20, done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=float, default=180.0)
    parser.add_argument("--folder", type=Path, help="keep the results here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch) / "compare"
        wall, processor, memory, done = run(folder)
        print(done.stdout)
        if done.returncode:
            raise SystemExit(f"exit code {done.returncode}: {done.stderr}")
        found = load_curves(folder / "compare.nc")
        verdicts, names = json.loads(found.attrs["verdicts"]), sorted(place.name for place in folder.iterdir())
    progress = [line for line in done.stderr.splitlines() if "training members" in line]
    print(
        f"{wall:.0f} s wall, {processor:.0f} s processor, peak {memory:.2f} GiB, {len(os.sched_getaffinity(0))} cores"
    )
    result = {
        "wall_s": wall,
        "processor_s": processor,
        "peak_gib": memory,
        "within_limit": wall <= options.limit,
        "files": names,
        "verdicts": len(verdicts),
        "progress_lines": len(progress),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
