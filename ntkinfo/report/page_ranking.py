"""The part of the report page about a ranking of measures: a table that sorts, intervals drawn in its cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from ntkinfo.report.page_chart import number_text
from ntkinfo.report.page_html import Cell, Column, Html, element, joined, pairs, table

_SPLITS = {"selection": "chosen on", "held_out": "held out"}


@dataclass(frozen=True)
class _Score:
    """A column of a score: its variable and its symbol; what it is stands with the variable."""

    name: str
    symbol: str


_SCORES = (
    _Score("granulated_kendall", "Ψ"),
    _Score("kendall", "τ"),
    _Score("conditional_information", "K (%)"),
    _Score("sign_error", "sign error"),
    _Score("partial_correlation", "partial"),
    _Score("pgdl", "PGDL (%)"),
)


def ranking_sections(found: xr.Dataset, bits: bool) -> Iterator[tuple[str, str, Html]]:
    """The section of a ranking.

    Args:
        found: `Ranking.dataset()`.
        bits: without effect; scores have no unit.

    Yields:
        Identifier, heading and content.
    """
    statement = str(found.attrs.get("statement", ""))
    said = element("ul", *(element("li", line) for line in statement.split("\n") if line))
    find = element(
        "p",
        element("label", "Show measures with", for_="ranking-find"),
        element("input", type="search", id="ranking-find", autocomplete="off"),
        class_="find no-print",
    )
    status = element("p", class_="status", role="status")
    yield "ranking", "Ranking of measures", joined([said, find, _table(found), _meanings(found), status])


def _computed(found: xr.Dataset) -> list[_Score]:
    return [score for score in _SCORES if score.name in found and np.isfinite(found[score.name].values).any()]


def _meanings(found: xr.Dataset) -> Html:
    """What the headings of the table stand for."""
    scores = _computed(found)
    rows = [(score.symbol, str(found[score.name].attrs.get("long_name", score.name))) for score in scores]
    rows.append(("direction", "+1: meant to rise with the gap; −1: to fall, and scored with its sign turned"))
    if scores:
        rows.append(("p", f"of {scores[0].symbol}, corrected for the number of measures"))
    return pairs(rows)


def _table(found: xr.Dataset) -> Html:
    splits = [str(split) for split in found["split"].values]
    scores = _computed(found)
    columns = [Column("measure"), Column("rank", True), Column("verdict"), Column("direction", True)]
    for split in splits:
        behind = f", {_SPLITS.get(split, split)}" if len(splits) > 1 else ""
        if scores:
            columns.append(Column(f"{scores[0].symbol} with interval{behind}", True))
        columns += [Column(f"{score.symbol}{behind}", True) for score in scores]
        columns.append(Column(f"p{behind}", True))
    rows = [_row(found, index, splits, scores) for index in range(found.sizes["measure"])]
    caption = "Measures, best first on the data that chose them. A heading sorts by its column."
    return table(caption, columns, rows, label="Ranking", sortable=True)


def _row(found: xr.Dataset, index: int, splits: Sequence[str], scores: Sequence[_Score]) -> list[Cell]:
    one = found.isel(measure=index)
    direction = int(one["direction"]) if "direction" in one else 1
    cells = [
        Cell(str(one["measure"].item())),
        Cell(str(index + 1), float(index + 1)),
        Cell(element("span", str(one["verdict"].item()), class_="whole"), str(one["verdict"].item())),
        Cell(f"{direction:+d}".replace("-", "−"), float(direction)),
    ]
    for split in splits:
        row = one.sel(split=split)
        if scores:
            value, low, high = (float(row.get(scores[0].name + end, np.nan)) for end in ("", "_lower", "_upper"))
            cells.append(Cell(_interval(value, low, high, split == "held_out"), value))
        cells += [_number(float(row[score.name])) for score in scores]
        cells.append(_number(float(row.get(f"{scores[0].name}_p_corrected", np.nan)) if scores else np.nan))
    return cells


def _number(value: float) -> Cell:
    return Cell(number_text(float(f"{value:.3g}")), value)


def _interval(value: float, low: float, high: float, filled: bool) -> Html:
    """Value and interval between −1 and 1, zero marked; the numbers are its text."""
    if not np.isfinite(value):
        return Html("–")
    text = f"{value:.2f}" + (f" from {low:.2f} to {high:.2f}" if np.isfinite(low) and np.isfinite(high) else "")
    x = 70 + 66 * value
    parts = [
        element("line", x1=4, x2=136, y1=10, y2=10, class_="frame"),
        element("line", x1=70, x2=70, y1=3, y2=17, class_="frame"),
    ]
    if np.isfinite(low) and np.isfinite(high):
        parts.append(
            element("line", x1=f"{70 + 66 * low:.1f}", x2=f"{70 + 66 * high:.1f}", y1=10, y2=10, class_="whisker")
        )
    parts.append(element("circle", cx=f"{x:.1f}", cy=10, r=4, class_="mark" if filled else "hollow"))
    return element(
        "svg", joined(parts), viewBox="0 0 140 20", role="img", aria_label=text.replace("-", "−"), class_="c0"
    )
