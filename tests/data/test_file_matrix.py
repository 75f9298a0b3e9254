"""The matrix of files: each is read right, or refused with what to do; the documentation shows the same table.

With NTKINFO_WRITE_TABLES=1 in the environment the table is written anew.
"""

import functools
import os
from pathlib import Path

import pytest

from tests.data import matrix_binary, matrix_text
from tests.data.file_matrix import HEADING, RULE, row

CASES = [*matrix_text.CASES, *matrix_binary.CASES]
PAGE = Path(__file__).parents[2] / "docs" / "how-to-files.md"
row_of = functools.cache(row)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_file_is_read_right_or_refused_with_what_to_do(case):
    row_of(case)


def test_the_documentation_shows_what_comes_out():
    if not PAGE.parent.is_dir():
        pytest.skip("the documentation is not part of this distribution")
    before, table = PAGE.read_text(encoding="utf-8").split(HEADING)
    committed = {tuple(line.removeprefix("| ").split(" | ")[:2]): line for line in table.splitlines()[2:]}
    assert len({str(case) for case in CASES}) == len(CASES)
    rows = []
    for case in CASES:
        try:
            rows.append(row_of(case))
        except pytest.skip.Exception:  # a program is not at hand here: its row stays
            rows.append(committed.get((case.file, case.maker), f"| {case} | (missing) |"))
    text = "\n".join([HEADING, RULE, *rows, ""])
    if os.environ.get("NTKINFO_WRITE_TABLES"):
        PAGE.write_text(before + text, encoding="utf-8")
        return
    assert HEADING + table == text, "write it anew: NTKINFO_WRITE_TABLES=1 pytest tests/data/test_file_matrix.py"
