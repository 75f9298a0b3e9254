"""The registry of generalisation measures, for reading: `ntkinfo measures`."""

from __future__ import annotations

import json

from rich.console import Console
from rich.markup import escape

from ntkinfo.generalization.registry import MEASURES

_KEYS = ("name", "symbol", "unit", "formula", "source", "needs", "direction", "kernels", "meaning", "outputs")

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
        output.print(f"[bold]{measure.name:30s}[/] {escape(facts)}", highlight=False, soft_wrap=True)
        about = f"    {measure.formula}  [{measure.source}]"
        output.print(escape(about), highlight=False, soft_wrap=True)
    output.print(f"\n{len(MEASURES)} measures. {_SYMBOLS}", highlight=False, soft_wrap=True)
