"""What a generalisation measure is: its name, what is written about it, and the function that computes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ntkinfo.core.records import Meaning

Place = Literal["kernel", "ridge", "pair", "time", "curve", "model"]
Direction = Literal["lower", "higher"]
Need = Literal["kernel", "ridge", "targets", "classes", "law", "test inputs", "curves", "hyperparameters"]

DIMS: Mapping[str, tuple[str, ...]] = {
    "kernel": ("kernel",),
    "ridge": ("kernel", "ridge"),
    "pair": (),
    "time": ("time",),
    "curve": ("time",),
    "model": (),
}
"""Dimensions of a measure's values, by where it is computed."""


class NotComputable(ValueError):  # noqa: N818 - an answer rather than a fault: the value is NaN, with this as its note
    """A measure has no value for this model; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One scalar that may go with generalisation, and what is known of it beforehand.

    Args:
        name: of the variable that holds it.
        symbol: as it is written.
        unit: "nat", "1", or what targets and time are in.
        formula: in the symbols of docs/notation.md; G is either kernel of the training inputs, s the ridge,
            G_s = G + s, H = G G_s⁻¹, α = G_s⁻¹ Y, (λ, u) eigenpairs of G, ŷ = uᵀY.
        source: where it comes from.
        needs: what must be known.
        direction: whether lower or higher values go with good generalisation, by its theory or by convention.
        place: where it is computed: once a "kernel", for each kernel and "ridge", once for the "pair" of kernels, at
            each "time" from the outputs' law or from a "curve", or once for the "model".
        function: of what `place` provides.
        meaning: what the value is of the quantity that its name says.
        outputs: how several outputs count.
    """

    name: str
    symbol: str
    unit: str
    formula: str
    source: str
    needs: tuple[Need, ...]
    direction: Direction
    place: Place
    function: Callable[[Any], Any]
    meaning: Meaning = "exact"
    outputs: str = "summed over the outputs"

    @property
    def dims(self) -> tuple[str, ...]:
        """Dimensions of the values."""
        return DIMS[self.place]

    @property
    def kernels(self) -> str:
        """Which kernel it is computed from: "nngp and ntk" each, "both" together, "the law's", or "none"."""
        by_place = {"kernel": "nngp and ntk", "ridge": "nngp and ntk", "pair": "both", "model": "none"}
        return by_place.get(self.place, "the law's")
