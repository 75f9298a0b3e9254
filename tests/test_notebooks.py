"""Every notebook says the same as the text that it is paired with, and was run from top to bottom without an error."""

from pathlib import Path

import pytest

jupytext = pytest.importorskip("jupytext", reason="jupytext comes with the group `notebooks`")

FOLDER = Path(__file__).parents[1] / "notebooks"
NAMES = sorted({path.stem for path in FOLDER.iterdir() if path.suffix in (".py", ".ipynb")})


def cells(path):
    return [(cell.cell_type, cell.source) for cell in jupytext.read(path).cells]


@pytest.mark.parametrize("name", NAMES)
def test_pairs_agree(name):
    assert cells(FOLDER / f"{name}.ipynb") == cells(FOLDER / f"{name}.py")


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_those_of_one_run(name):
    code = [cell for cell in jupytext.read(FOLDER / f"{name}.ipynb").cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not any(output.output_type == "error" for cell in code for output in cell.outputs)
