"""Shares of values within their stated errors, by quantity and class of time."""

from __future__ import annotations

from collections.abc import Iterable

from tests.recomputation.comparison import CLASSES, Row, compare, shared_kernel_functions
from tests.recomputation.problems import problem
from tests.recomputation.quantities import BeyondDigitsError


def run(numbers: Iterable[int]) -> tuple[list[Row], dict[int, str]]:
    """Rows of all the problems, and by number why others have none: refused, or beyond the recomputation's digits."""
    rows: list[Row] = []
    refused: dict[int, str] = {}
    with shared_kernel_functions():
        for number in numbers:
            try:
                rows += compare(problem(number))
            except (ValueError, BeyondDigitsError) as error:
                refused[number] = str(error)
    return rows, refused


def text(rows: list[Row], refused: dict[int, str]) -> str:
    """A table in Markdown: held and compared values, by quantity, kind and class of time."""
    lines = ["| quantity | " + " | ".join(CLASSES) + " | all |", "|---" * (len(CLASSES) + 2) + "|"]
    names = dict.fromkeys((row.quantity, row.sampled) for row in sorted(rows, key=lambda row: row.sampled))
    for name, sampled in names:
        mine = [row for row in rows if (row.quantity, row.sampled) == (name, sampled)]
        cells = [_share([row for row in mine if row.when == when]) for when in CLASSES]
        label = f"`{name}`" if "_" in name else name
        lines.append(f"| {label}{', drawn' if sampled else ''} | {' | '.join(cells)} | {_share(mine)} |")
    for sampled, label in ((False, "all that are not drawn"), (True, "all that are drawn")):
        mine = [row for row in rows if row.sampled == sampled]
        cells = [_share([row for row in mine if row.when == when]) for when in CLASSES]
        lines.append(f"| **{label}** | {' | '.join(cells)} | {_share(mine)} |")
    lines += [
        "",
        f"Without rows: {len(refused)} problems (refused with a message, or beyond the digits of the recomputation).",
    ]
    return "\n".join(lines)


def _share(rows: list[Row]) -> str:
    if not rows:
        return ""
    held = sum(row.held for row in rows)
    return f"{held}/{len(rows)} ({100 * held / len(rows):.1f} %)"
