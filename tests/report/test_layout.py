"""Tables at any width: whole, and no wider than the terminal wherever that can be."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ntkinfo.report.bottleneck_table import dual_table, print_bottleneck, solutions_table
from ntkinfo.report.comparison_table import deviation_tables, print_comparison, scaling_table
from ntkinfo.report.layout import print_table
from ntkinfo.report.ranking_table import print_ranking, ranking_table
from ntkinfo.report.terminal import PIPE_WIDTH, Terminal
from tests.report.page_results import bottleneck, comparison, ranking

WIDTHS = (30, 45, 60, 80, 120, 200)
NAMES = ("information_training_set_labels", "a", "ridge")


def printed(width, table, **options):
    stream = io.StringIO()
    print_table(Console(file=stream, width=width), table, **options)
    return stream.getvalue().splitlines()


def numbers(prose=False):
    """A table of three rows with eight columns of numbers, and maybe one of sentences."""
    table = Table(title="all of them")
    table.add_column("name", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    for k in range(8):
        table.add_column(f"column {k} (nat)", justify="right", no_wrap=True)
    if prose:
        table.add_column("what it is")
    for row, name in enumerate(NAMES):
        cells = [f"{row}.{k}234 ± 0.0012" for k in range(8)]
        table.add_row(name, "target²", *cells, *(["some words about it that go on for a while"] if prose else []))
    return table


@pytest.mark.parametrize("above", [(), ("name", "unit")])
@pytest.mark.parametrize("prose", [False, True])
@pytest.mark.parametrize("width", WIDTHS)
def test_every_cell_is_whole_and_no_line_too_wide(width, prose, above):
    lines = printed(width, numbers(prose), keys=("name", "unit"), above=above)
    text = "\n".join(lines)
    names = len(NAMES[0]) + 2 + len("target²")
    narrowest = names if above else names + 2 + (24 if prose else len("0.0234 ± 0.0012"))
    assert max(map(len, lines)) <= max(width, narrowest)
    assert "…" not in text
    assert lines[0] == "all of them"
    for row, name in enumerate(NAMES):
        assert any(name in line.split() and "target²" in line for line in lines)
        assert all(text.count(f"{row}.{k}234 ± 0.0012") == 1 for k in range(8))
    assert all(text.count(f"column {k} (nat)") == 1 for k in range(8))


def test_rows_stay_with_their_names():
    parts = printed(70, numbers(), keys=("name", "unit"))
    assert next(line for line in parts if "2.0234" in line).startswith("ridge")
    under = printed(40, numbers(), keys=("name", "unit"), above=("name", "unit"))
    place = next(number for number, line in enumerate(under) if "2.0234" in line)
    assert under[place - 1] == "ridge  target²"


def test_text_of_data_is_shown_as_it_is():
    table = Table()
    table.add_column("name", no_wrap=True)
    table.add_column("number", no_wrap=True)
    table.add_row("two\nlines \\[bold]", "\\[/]")
    assert printed(80, table)[-1] == "two\\nlines [bold]  [/]"


@pytest.mark.parametrize("width", [60, 80, 200])
def test_tables_of_results_are_whole_at_any_width(width):
    pairs = [
        (print_bottleneck, bottleneck(), [solutions_table(bottleneck(), False), dual_table(bottleneck(), False)]),
        (print_comparison, comparison(), [*deviation_tables(comparison()), scaling_table(comparison())]),
        (print_ranking, ranking(), [ranking_table(ranking())]),
    ]
    for show, found, tables in pairs:
        stream = io.StringIO()
        show(Console(file=stream, width=width), found)
        columns = [column for table in tables for column in table.columns]
        cells = [Text.from_markup(str(cell)).plain for column in columns for cell in (column.header, *column.cells)]
        assert [cell for cell in cells if cell not in stream.getvalue()] == []


def test_a_comparison_explains_its_marks_and_a_ranking_its_gap_and_signs():
    stream = io.StringIO()
    print_comparison(Console(file=stream, width=500), comparison())
    for said in ("in brackets what only 5 % of ensembles", "!: above that", "~: within noise", "KL: relative entropy"):
        assert said in stream.getvalue()
    stream = io.StringIO()
    print_ranking(Console(file=stream, width=500), ranking().assign_attrs(gap="test_loss_member"))
    text = " ".join(stream.getvalue().split())
    assert "gap: test_loss_member, the test loss of a member." in text
    assert "−measure: meant to fall as the gap rises" in text


def test_a_pipe_is_wide_and_columns_are_obeyed(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert Terminal(file=io.StringIO()).width == PIPE_WIDTH
    assert Terminal(file=io.StringIO(), width=50).width == 50
    monkeypatch.setenv("COLUMNS", "66")
    assert Terminal(file=io.StringIO()).width == 66
