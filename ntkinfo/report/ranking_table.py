"""A ranking of measures for reading on a terminal: its best rows as a table of eighty columns, and the statement."""

from __future__ import annotations

import numpy as np
import xarray as xr
from rich.console import Console
from rich.markup import escape
from rich.table import Table

WIDTH = 80
_SHORT = {"predicts on average": "on average", "tracks hyperparameters": "tracks h.p."}


def print_ranking(console: Console, found: xr.Dataset, most: int = 25) -> None:
    """Print the best measures and what the ranking says.

    Args:
        console: where to print.
        found: `Ranking.dataset()`.
        most: rows that are printed.
    """
    console.print()
    console.print(ranking_table(found, most), highlight=False, width=WIDTH)
    if found.sizes["measure"] > most:
        console.print(f"… and {found.sizes['measure'] - most} more in ranking.nc", highlight=False)
    console.print(
        f"{symbol(found)}: rank correlation with the gap where one setting differs, 95 % interval. K: percent of the "
        "gap's order told once two settings are known. Errors: share of wrong signs by environment, mean and worst. "
        "p: of the score, corrected for all measures.",
        style="dim",
        highlight=False,
        width=WIDTH,
    )
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
    style = {"box": None, "pad_edge": False, "padding": (0, 1, 0, 0), "header_style": "bold", "expand": True}
    table = Table(title=title, title_justify="left", **style)
    table.add_column("measure", overflow="fold", ratio=1)
    for heading in (symbol(found), "K", "errors", "p"):
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
            escape(_SHORT.get(verdict, verdict)),
        )
    return table


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
    return f"{value:{form}}" if np.isfinite(value) else "-"
