"""A ranking of measures for reading on a terminal: its best rows as a table, what its columns say, the statement."""

from __future__ import annotations

import numpy as np
import xarray as xr
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ntkinfo.report.layout import print_table

WIDTH = 120  # at most, of the table and of the sentences under it
_GAPS = {"error": "classification error", "loss": "loss"}
_WHOSE = {"mean": " of the ensemble mean", "member": " of a member"}


def print_ranking(console: Console, found: xr.Dataset, most: int = 25) -> None:
    """Print the best measures and what the ranking says.

    Args:
        console: where to print.
        found: `Ranking.dataset()`.
        most: rows that are printed.
    """
    console.print()
    print_table(console, ranking_table(found, most), ("measure",), ("measure",))
    if found.sizes["measure"] > most:
        console.print(f"… and {found.sizes['measure'] - most} more in ranking.nc", highlight=False)
    for line in meanings(found):
        console.print(escape(line), style="dim", highlight=False, width=min(WIDTH, console.width))
    console.print()
    for sentence in str(found.attrs["statement"]).splitlines():
        console.print(escape(sentence), highlight=False, soft_wrap=True)
    for note in str(found.attrs.get("notes", "")).splitlines():
        console.print(f"note: {escape(note)}", highlight=False, soft_wrap=True)


def ranking_table(found: xr.Dataset, most: int = 25) -> Table:
    """Lay out a row a measure, on the data sets that report: held-out ones where there are any."""
    part = found.isel(split=-1, measure=slice(0, most))
    where = "held-out data sets" if str(part["split"].values) == "held_out" else "data sets that chose"
    title = f"best first where measures were chosen; numbers from the {where}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    table.add_column("measure", no_wrap=True)
    for heading in (f"{symbol(found)} [95 %]", "K (%)", "wrong signs", "p"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    score = score_name(found)
    for name in part["measure"].values:
        row = part.sel(measure=name)
        verdict = str(row["verdict"].values)
        sign = "−" if int(row["direction"]) < 0 else ""
        table.add_row(
            escape(sign + str(name)),
            _interval(row, score),
            _number(row, "conditional_information_adjusted", ".1f"),
            f"{_number(row, 'sign_error', '.2f')} {_number(row, 'sign_error_worst', '.2f')}",
            _number(row, f"{score}_p_corrected", ".1g"),
            escape(verdict),
        )
    return table


def meanings(found: xr.Dataset) -> list[str]:
    """What is to be predicted, and what the columns and signs of `ranking_table` stand for, a sentence each."""
    gap, score = str(found.attrs.get("gap", "")), symbol(found)
    where = " where one setting differs" if score == "Ψ" else ""
    return [
        *([f"gap: {gap}{_gap_words(gap)}."] if gap else []),
        "−measure: meant to fall as the gap rises, and scored with its sign turned: above 0 is as meant.",
        f"{score}: rank correlation with the gap{where}, from −1 to 1, with its 95 % interval.",
        "K: percent of the gap's order told once two settings are known, less what chance reaches; below 0 where "
        "chance reaches more, or where it is told the other way round.",
        "wrong signs: share of pairs in wrong order, by environment: mean and worst.",
        "p: of the score, corrected for all measures. -: not computed.",
    ]


def _gap_words(gap: str) -> str:
    """What the gap is, in words, where its name is built as those of the records are."""
    parts = gap.split("_")
    kind = next((words for key, words in _GAPS.items() if key in parts), "")
    if not kind or not {"gap", "test", "train"} & set(parts):
        return ""
    part = "test less training" if "gap" in parts else "test" if "test" in parts else "training"
    whose = next((words for key, words in _WHOSE.items() if key in parts), "")
    return f", the {part} {kind}{whose}"


def score_name(found: xr.Dataset) -> str:
    """The score that orders the measures: Ψ, or τ where no two trials differ in one setting."""
    known = np.isfinite(found["granulated_kendall"].values).any()
    return "granulated_kendall" if known else "kendall"


def symbol(found: xr.Dataset) -> str:
    """The symbol of that score."""
    return "Ψ" if score_name(found) == "granulated_kendall" else "τ"


def _interval(row: xr.Dataset, name: str) -> str:
    value, low, high = (float(row[name + suffix]) for suffix in ("", "_lower", "_upper"))
    return f"{_form(value, '.2f')} [{_form(low, '.2f')}, {_form(high, '.2f')}]"


def _number(row: xr.Dataset, name: str, form: str) -> str:
    return _form(float(row[name]), form)


def _form(value: float, form: str) -> str:
    if not np.isfinite(value):
        return "-"
    text = f"{value:{form}}"
    return text if float(text) else text.removeprefix("-")  # rounded to 0, which has no sign
