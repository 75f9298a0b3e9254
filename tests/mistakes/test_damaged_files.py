import numpy as np
import pytest

from tests.mistakes.damaged_files import check, kinds


@pytest.fixture(scope="module")
def all_kinds():
    return kinds()


@pytest.mark.parametrize("place", range(4), ids=("store entry", "checkpoint", "claim", "curves"))
def test_damaged_files_are_named_made_again_or_read_right(all_kinds, place, capsys):
    wrong = check(all_kinds[place], 60, np.random.default_rng(2))

    assert wrong == 0, capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("place", range(4), ids=("store entry", "checkpoint", "claim", "curves"))
def test_many_damaged_files_are_named_made_again_or_read_right(all_kinds, place, capsys):
    wrong = check(all_kinds[place], 800, np.random.default_rng(3))

    assert wrong == 0, capsys.readouterr().out
