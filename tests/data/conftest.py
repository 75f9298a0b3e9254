import pytest

from tests.shared_data import shared


@pytest.fixture
def shared_file():
    """Find a file of the optional shared data, or skip the test."""
    return shared
