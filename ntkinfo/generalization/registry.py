"""All the measures by name: what `ntkinfo measures` lists and `measure_all` computes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ntkinfo.core import checks
from ntkinfo.generalization import alignment, baselines, complexity, evidence, leave_one_out, risk, spectra, trained
from ntkinfo.generalization.measure import Measure

_FAMILIES = (evidence, leave_one_out, risk, spectra, alignment, complexity, trained, baselines)

MEASURES: Mapping[str, Measure] = {measure.name: measure for family in _FAMILIES for measure in family.MEASURES}
"""Every measure, by family."""


def choose(names: Iterable[str] | None) -> tuple[Measure, ...]:
    """Return the measures of these names, in the order asked for; all of them for None.

    Raises:
        ValueError: an unknown name, or none at all.
    """
    if names is None:
        return tuple(MEASURES.values())
    chosen = tuple(dict.fromkeys(names))
    if not chosen:
        raise ValueError("names is empty; name at least one measure, or leave it out for all")
    for name in chosen:
        checks.choice("names", name, MEASURES)
    return tuple(MEASURES[name] for name in chosen)
