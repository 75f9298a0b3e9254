"""The part of the report page about a ranking of measures: a table that sorts, intervals drawn in its cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from ntkinfo.report.page_chart import number_text
from ntkinfo.report.page_html import Cell, Column, Html, element, joined, pairs, table

_LONG = 300  # characters of a sentence that is folded away
_SPLITS = {"selection": "chosen on", "held_out": "held out"}


@dataclass(frozen=True)
class _Score:
    """A column of a score: its variable and its symbol; what it is stands with the variable."""

    name: str
    symbol: str


_SCORES = (
    _Score("granulated_kendall", "Ψ"),
    _Score("kendall", "τ"),
    _Score("conditional_information_adjusted", "K (%)"),
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
    said = element("ul", *(element("li", _told(line)) for line in statement.split("\n") if line))
    find = element(
        "p",
        element("label", "Show measures with", for_="ranking-find"),
        element("input", type="search", id="ranking-find", autocomplete="off"),
        class_="find no-print",
    )
    status = element("p", class_="status", role="status")
    yield "ranking", "Ranking of measures", joined([said, find, _table(found), _meanings(found), status])


def _told(line: str) -> object:
    """A sentence; a long list in it opens when it is asked for."""
    head, colon, listed = line.partition(": ")
    if len(line) < _LONG or not colon:
        return line
    return element("details", element("summary", f"{head}: {listed.count('; ') + 1} measures"), element("p", listed))


def _computed(found: xr.Dataset) -> list[_Score]:
    return [score for score in _SCORES if score.name in found and np.isfinite(found[score.name].values).any()]


def _meanings(found: xr.Dataset) -> Html:
    """What the headings of the table stand for."""
    scores = _computed(found)
    rows = [(score.symbol, _meaning(found, score)) for score in scores]
    rows.append(("direction", "+1: meant to rise with the gap; −1: to fall, and scored with its sign turned"))
    if scores:
        rows.append(("p", f"of {scores[0].symbol}, corrected for the number of measures"))
    return pairs(rows)


def _meaning(found: xr.Dataset, score: _Score) -> str:
    plain = score.name.removesuffix("_adjusted")
    text = str(found[plain].attrs.get("long_name", plain)) if plain in found else plain
    return text if plain == score.name else f"{text}; less what chance reaches, and signed"


def _table(found: xr.Dataset) -> Html:
    # What is held out counts, and comes first: before the table has to scroll.
    splits = [str(split) for split in found["split"].values][::-1]
    scores = _computed(found)
    columns = [Column("measure"), Column("rank", True), Column("verdict"), Column("direction", True)]
    for split in splits:
        behind = f", {_SPLITS.get(split, split)}" if len(splits) > 1 else ""
        if scores:
            columns.append(Column(f"{scores[0].symbol} with interval{behind}", True))
        columns += [Column(f"{score.symbol}{behind}", True) for score in scores]
        columns.append(Column(f"p{behind}", True))
    reach = _reach(found, scores)
    rows = [_row(found, index, splits, scores, reach) for index in range(found.sizes["measure"])]
    caption = "Measures, best first on the data that chose them. A heading sorts by its column."
    if scores:
        caption += f" Intervals are drawn from −{reach:g} to {reach:g}; the tick is 0."
    return table(caption, columns, rows, label="Ranking", sortable=True)


def _reach(found: xr.Dataset, scores: Sequence[_Score]) -> float:
    """The end of the axis that intervals are drawn on, in tenths."""
    if not scores:
        return 1.0
    names = [scores[0].name + end for end in ("", "_lower", "_upper") if scores[0].name + end in found]
    largest = max(float(np.nanmax(np.abs(found[name].values), initial=0.0)) for name in names)
    return float(max(np.ceil(10 * largest - 1e-9) / 10, 0.1))


def _row(found: xr.Dataset, index: int, splits: Sequence[str], scores: Sequence[_Score], reach: float) -> list[Cell]:
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
            cells.append(Cell(_interval(value, low, high, reach, split == "held_out"), value))
        cells += [_number(float(row[score.name]), ".2f" if "%" in score.symbol else ".3f") for score in scores]
        cells.append(_number(float(row.get(f"{scores[0].name}_p_corrected", np.nan)) if scores else np.nan))
    return cells


def _number(value: float, form: str = ".3g") -> Cell:
    if not np.isfinite(value):
        return Cell(number_text(value), value)
    rounded = float(f"{value:{form}}") + 0.0  # no minus sign before a zero
    text = f"{rounded:{form}}".replace("-", "−")
    return Cell(text, value)


def _interval(value: float, low: float, high: float, reach: float, filled: bool) -> Html:
    """Value and interval between −reach and reach, zero marked; the numbers are its text."""
    if not np.isfinite(value):
        return Html("–")
    text = f"{value:.2f}" + (f" from {low:.2f} to {high:.2f}" if np.isfinite(low) and np.isfinite(high) else "")
    x = 70 + 66 * value / reach
    parts = [
        element("line", x1=4, x2=136, y1=10, y2=10, class_="frame"),
        element("line", x1=70, x2=70, y1=3, y2=17, class_="frame"),
    ]
    if np.isfinite(low) and np.isfinite(high):
        parts.append(
            element(
                "line",
                x1=f"{70 + 66 * low / reach:.1f}",
                x2=f"{70 + 66 * high / reach:.1f}",
                y1=10,
                y2=10,
                class_="whisker",
            )
        )
    parts.append(element("circle", cx=f"{x:.1f}", cy=10, r=4, class_="mark" if filled else "hollow"))
    return element(
        "svg", joined(parts), viewBox="0 0 140 20", role="img", aria_label=text.replace("-", "−"), class_="c0"
    )
