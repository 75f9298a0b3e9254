"""Files for checks on real data, which nothing needs: tests that use them skip where they are absent."""

import os
from pathlib import Path

import pytest


def folder() -> Path:
    """The folder named by NTKINFO_DATA, or `shared/data` beside the repository."""
    given = os.environ.get("NTKINFO_DATA")
    return Path(given) if given else Path(__file__).resolve().parents[2] / "shared" / "data"


def mnist_files() -> tuple[Path, Path]:
    """MNIST's test images and labels."""
    images, labels = (folder() / f"t10k-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1"))
    if not (images.exists() and labels.exists()):
        pytest.skip("MNIST's IDX files are not at hand (set NTKINFO_DATA to their folder)")
    return images, labels
