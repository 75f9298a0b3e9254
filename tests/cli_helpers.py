"""Small runs of the command line, and what they leave behind."""

import subprocess
import sys
from pathlib import Path

SMALL = ["--n-train", "24", "--n-test", "16", "--time-count", "6", "--samples", "4"]
FAST = [*SMALL, "--quantities", "loss_mean", "path_energy"]


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*"))


def command(*words, **options):
    code = "from ntkinfo.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
