"""Files for checks on real data, which nothing needs: tests that use them skip where they are absent."""

import os
from pathlib import Path

import pytest


def folder() -> Path:
    """The folder named by NTKINFO_DATA, or `shared/data` beside the repository."""
    given = os.environ.get("NTKINFO_DATA")
    return Path(given) if given else Path(__file__).resolve().parents[2] / "shared" / "data"


def shared(name: str) -> Path:
    """Find a file of the optional shared data, or skip the test."""
    place = folder() / name
    if not place.is_file():
        pytest.skip(f"{name} is not at hand (set NTKINFO_DATA to the folder that holds it)")
    return place


def mnist_files() -> tuple[Path, Path]:
    """MNIST's test images and labels, or skip the test."""
    return shared("t10k-images-idx3-ubyte.gz"), shared("t10k-labels-idx1-ubyte.gz")
