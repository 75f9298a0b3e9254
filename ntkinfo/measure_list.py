"""The registry of generalisation measures, for reading: `ntkinfo measures`."""

from __future__ import annotations

import json
import textwrap
from typing import Any

from rich.console import Console
from rich.markup import escape

from ntkinfo.generalization.registry import MEASURES

_KEYS = ("name", "symbol", "unit", "formula", "source", "needs", "direction", "kernels", "meaning", "outputs")

_AS_IT_IS: dict[str, Any] = {"highlight": False, "soft_wrap": True}

_SYMBOLS = (
    "Those of kernels come once for the NNGP and once for the NTK: G is either, s the ridge, G_s = G + s, "
    "H = G G_s⁻¹, α = G_s⁻¹ Y, (λ, u) eigenpairs of G, ŷ = uᵀY."
)


def measures_json() -> str:
    """Every measure as JSON: a list of objects with the same keys."""
    listed = [{key: getattr(measure, key) for key in _KEYS} for measure in MEASURES.values()]
    return json.dumps(listed, indent=2, ensure_ascii=False)


def print_measures(output: Console) -> None:
    """Two lines a measure: name, symbol, unit, which values are good and what it needs; formula and source."""
    for measure in MEASURES.values():
        facts = f"{measure.symbol} ({measure.unit}), {measure.direction} is good; {', '.join(measure.needs)}"
        first, *more = _broken(f"{measure.name:30s} {facts}", output.width)
        output.print(f"[bold]{first[: len(measure.name)]}[/]{escape(first[len(measure.name) :])}", **_AS_IT_IS)
        more += _broken(f"    {measure.formula}  [{measure.source}]", output.width)
        for line in more:
            output.print(escape(line), **_AS_IT_IS)
    output.print()
    for line in _broken(f"{len(MEASURES)} measures. {_SYMBOLS}", output.width, indent=""):
        output.print(escape(line), **_AS_IT_IS)


def _broken(text: str, width: int, indent: str = "    ") -> list[str]:
    """Lines no wider than the console, broken between words only."""
    options: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
    return textwrap.wrap(text, width, subsequent_indent=indent, drop_whitespace=True, **options)
