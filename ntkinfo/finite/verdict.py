"""What a comparison says, in words: until when members agree with the law, what departs then, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.records import Estimate
from ntkinfo.finite.comparison import Comparison, Family, holm
from ntkinfo.finite.width_scaling import WidthScaling, judge

# From here on second-order terms are a few per cent of a discrepancy, as large as errors of measured exponents.
_LARGE_DRIFT = 0.2
_CAUSES = {
    "kernel moved": "because the kernel moved",
    "start": "as already the linearised twins do, whose kernel is that of the start",
    "": "no linearised twins were trained to tell why",
}


@dataclass(frozen=True)
class Verdict:
    """What one comparison says at its level.

    Args:
        level: chance of any false departure; halved between mean and variance.
        agreed: number of times, from the first on, at which mean and variance agree.
        times: (T,), all of them.
        departs: "mean" or "variance", which departs first, or "" where neither does.
        score: its largest value at that time, in standard errors; at the time of the largest where nothing departs.
        limit: what it may be.
        p_value: probability of a value this large at any time, under the law.
        cause: "kernel moved" where the linearised twins still agree at that time, "start" where they depart as well, ""
            where there are none or nothing departs.
        drift: relative change of the tangent kernel by that time (or the last), mean over members; None if not known.
        start_error: relative distance of the kernel at the start from its limit; None if not known.
        shapes: families of shape that reject normality at the level (Holm), with their corrected probabilities.
        seen: smallest departure that would have been seen: of the mean in √v, of the variance relative to it.
    """

    level: float
    agreed: int
    times: np.ndarray
    departs: str
    score: float
    limit: float
    p_value: float
    cause: str
    drift: Estimate | None
    start_error: Estimate | None
    shapes: Mapping[str, float]
    seen: tuple[float, float]

    @property
    def agrees(self) -> bool:
        """Whether mean and variance agree at all times."""
        return not self.departs

    @property
    def gaussian(self) -> bool:
        """Whether no test rejects that the outputs are normal."""
        return not self.shapes

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        return f"{self._agreement}; {self._shape}"

    @property
    def _agreement(self) -> str:
        if self.agrees:
            return (
                f"agrees within error at all {len(self.times)} times up to {self.times[-1]:.3g} (largest deviation "
                f"{self.score:.1f} standard errors, {self.limit:.1f} allowed; {self.seen[0]:.2g} √v of the mean or "
                f"{100 * self.seen[1]:.2g} % of the variance would have shown){self._moved(' The kernel moved by ')}"
            )
        until = f"agrees within error to time {self.times[self.agreed - 1]:.3g}" if self.agreed else "never agrees"
        return (
            f"{until}; at {self.times[self.agreed]:.3g} the {self.departs} departs by {self.score:.1f} standard errors "
            f"({self.limit:.1f} allowed, p ≤ {self.p_value:.2g}), {_CAUSES[self.cause]}"
            f"{self._moved(' by ' if self.cause == 'kernel moved' else '; the kernel moved by ')}"
        )

    def _moved(self, words: str) -> str:
        start = "" if self.start_error is None else f", {_percent(self.start_error)} off its limit at the start"
        if self.drift is None:
            return start
        joint = ";" if words.startswith(" The") else ""
        return f"{joint}{words.replace(' The', ' the')}{_percent(self.drift)}{start}"

    @property
    def _shape(self) -> str:
        if self.gaussian:
            return "no test rejects that the outputs are normal"
        worst = min(self.shapes, key=lambda name: self.shapes[name])
        return f"not normal by {len(self.shapes)} of 5 tests, first of all {worst} (p ≤ {self.shapes[worst]:.2g})"


@checked
def verdict(
    comparison: Comparison,
    linearised: Comparison | None = None,
    drift: Estimate | None = None,
    start_error: Estimate | None = None,
) -> Verdict:
    """Judge one comparison at the level that it was made at.

    Args:
        comparison: of the members with the law.
        linearised: of their linearised twins with the law, at the same times.
        drift: (T,), relative change of the tangent kernel from its start, mean over members.
        start_error: relative distance of that start from the limit.

    Raises:
        ValueError: comparisons at different times.
    """
    if linearised is not None:
        checks.shape("linearised.times", linearised.times, comparison.times.shape, "the times of the comparison")
    pair = [comparison.agreement[name] for name in ("mean", "variance")]
    failed = np.stack([family.p_values <= family.level / 2 for family in pair])
    first = int(np.argmax(failed.any(axis=0))) if failed.any() else len(comparison.times)
    departs, shown, place = _shown(pair, failed, first)
    cause = ""
    if departs and linearised is not None:
        twins = [linearised.agreement[name] for name in ("mean", "variance")]
        also = any(np.any(one.p_values[: place + 1] <= one.level / 2) for one in twins)
        cause = "start" if also else "kernel moved"
    p_values = holm({name: family.p_value for name, family in comparison.shape.items()})
    level = pair[0].level
    return Verdict(
        level=level,
        agreed=first,
        times=comparison.times,
        departs=departs,
        score=float(shown.largest[place]),
        limit=half_limit(shown),
        p_value=float(shown.p_values[place]),
        cause=cause,
        drift=None if drift is None else _at(drift, place if departs else -1),
        start_error=start_error,
        shapes={name: p for name, p in p_values.items() if p <= level},
        seen=_seen(pair, comparison),
    )


def half_limit(family: Family) -> float:
    """The limit of a family at half its level: mean and variance share one level."""
    return Family(family.name, family.meaning, family.largest, family.null, family.count, family.level / 2).limit


def scaling_sentences(scalings: Sequence[WidthScaling], level: float = 0.05) -> list[str]:
    """A line for each discrepancy: fitted exponent with its interval, the predicted one, and what follows."""
    return [_scaling_sentence(one, said) for one, said in zip(scalings, judge(scalings, level), strict=True)]


def drift_notes(scalings: Sequence[WidthScaling]) -> list[str]:
    """Say where the narrowest kernel moves by so much that predicted exponents, of first terms, do not apply."""
    moved = {int(one.widths[0]): float(one.size[0]) for one in scalings if one.name == "kernel drift"}
    return [
        f"the kernel of width {width} moves by {100 * share:.0f} % and predicted exponents hold where it moves by "
        "little: those found not consistent may only show that (take wider networks or fewer steps)"
        for width, share in moved.items()
        if share > _LARGE_DRIFT
    ]


def _scaling_sentence(one: WidthScaling, said: str) -> str:
    predicted = f"predicted {one.predicted}"
    if np.isnan(one.exponent):
        return f"{one.name}: does not stand out of the noise ({predicted}): undecided"
    low, high = one.interval
    fitted = f"width^−{one.exponent:.2f} (95 %: {low:.2f} to {high:.2f})"
    return f"{one.name}: {fitted}, {predicted}: {said}"


def _shown(pair: Sequence[Family], failed: np.ndarray, first: int) -> tuple[str, Family, int]:
    """What departs, its family and when; where nothing does, the largest value of all relative to its limit."""
    if first < failed.shape[1]:
        ratios = [
            f.largest[first] / half_limit(f) if bad else -1.0 for f, bad in zip(pair, failed[:, first], strict=True)
        ]
        family = pair[int(np.argmax(ratios))]
        return family.name, family, first
    family = max(pair, key=lambda one: float(np.nanmax(one.largest)) / half_limit(one))
    return "", family, int(np.nanargmax(family.largest))


def _seen(pair: Sequence[Family], comparison: Comparison) -> tuple[float, float]:
    moments = comparison.splits["test"].moments
    return (
        half_limit(pair[0]) / float(np.sqrt(moments.members)),
        half_limit(pair[1]) * float(np.sqrt(2 / moments.freedom)),
    )


def _at(estimate: Estimate, index: int) -> Estimate:
    value, error = np.asarray(estimate.value)[index], np.asarray(estimate.standard_error)[index]
    return Estimate(float(value), float(error), estimate.meaning, estimate.method)


def _percent(estimate: Estimate) -> str:
    value, error = 100 * float(estimate.value), 100 * float(estimate.standard_error)
    places = max(0, 1 - int(np.floor(np.log10(error)))) if error > 0 else 2
    return f"{value:.{places}f} ± {error:.{places}f} %"
