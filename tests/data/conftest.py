import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def shared_file():
    """Find a file of the optional shared data, or skip the test."""

    def find(name: str) -> Path:
        place = Path(os.environ.get("NTKINFO_DATA", ROOT.parent / "shared" / "data")) / name
        if not place.is_file():
            pytest.skip(f"{name} is not in $NTKINFO_DATA nor in ../shared/data")
        return place

    return find
