"""A certificate of curves: a random share of their values, computed once more by a second route."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr
from scipy.stats import norm

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import float64
from ntkinfo.core.kept import Keeper, NotKept
from ntkinfo.core.progress import Track, silent
from ntkinfo.core.records import Estimate
from ntkinfo.information.curve_job import CurveSettings
from ntkinfo.information.curve_table import SPLITS
from ntkinfo.information.label_model import LabelModel
from ntkinfo.information.quantities import QUANTITIES
from ntkinfo.information.second_kernels import entries
from ntkinfo.information.second_law import Snapshot
from ntkinfo.information.second_propagator import NotCheckedError, SecondRoute
from ntkinfo.information.second_routes import ROUTES, Place
from ntkinfo.training.output_distribution import OutputDistribution

LIMIT = 5.0
"""Discrepancy in stated errors that is still agreement."""
_CHANCE = 1e-3  # that honest Monte Carlo values fail
_BLUNT = 1e-2  # a second route whose error is this share of the value cannot check it …
_FLOOR = 1e-9  # … unless its error is below this share of the whole curve's size
_BOUNDS = (("lower", -1.0), ("upper", 1.0))


@dataclass(frozen=True)
class Finding:
    """One quantity's comparison.

    Args:
        quantity: its name.
        checked: how many values were computed twice and compared.
        not_checked: how many were chosen but lie beyond the second route's reach; they count as nothing.
        reasons: why, each once.
        largest: largest discrepancy in units of the stated error; NaN where nothing was checked.
        where: time and split of the largest discrepancy.
        value: of the curves there.
        second: value of the second route there.
        error: stated error of their difference there: the sum of both numerical errors, or the root of the sum of
            squares where either is Monte Carlo.
        limit: up to where `largest` counts as agreement.
        route: second routes that were used, each once.
        sampled: whether either value is Monte Carlo.
    """

    quantity: str
    checked: int
    not_checked: int
    reasons: tuple[str, ...]
    largest: float
    where: str
    value: float
    second: float
    error: float
    limit: float
    route: tuple[str, ...]
    sampled: bool

    @property
    def passed(self) -> bool:
        """Whether nothing disagrees; nothing does where nothing could be checked."""
        return self.checked == 0 or self.largest <= self.limit


@dataclass(frozen=True)
class Certificate:
    """What came of computing a share of the values twice.

    Args:
        share: of the times that were drawn.
        seed: of the draw.
        findings: one a quantity.
        kernels: one for each kernel, over a few entries drawn by chance, of nearest pairs and of the diagonals.
    """

    share: float
    seed: int
    findings: tuple[Finding, ...]
    kernels: tuple[Finding, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every checked value and kernel entry agrees."""
        return all(finding.passed for finding in (*self.findings, *self.kernels))

    @property
    def checked(self) -> int:
        """How many values of the curves were compared."""
        return sum(finding.checked for finding in self.findings)

    @property
    def largest(self) -> float:
        """Largest discrepancy of all quantities, in stated errors."""
        return max((f.largest for f in self.findings if f.checked), default=float("nan"))

    @property
    def verdict(self) -> str:
        """One line: how many values agree, and which quantities do not."""
        beyond = sum(finding.not_checked for finding in self.findings)
        left = f"; {beyond} beyond the second route's reach" if beyond else ""
        if self.kernels and not any(finding.checked for finding in self.kernels):
            left = f"{left}; kernels not checked"
        if self.checked == 0 and self.passed:
            return f"nothing certified{left}"
        if self.passed:
            agree = (
                f"certified: {self.checked} values agree, the largest discrepancy is {self.largest:.2g} stated errors"
            )
            return f"{agree}{left}"
        wrong = [finding for finding in (*self.kernels, *self.findings) if not finding.passed]
        failed, largest = ", ".join(finding.quantity for finding in wrong), max(finding.largest for finding in wrong)
        return f"NOT certified: {failed} disagree with the second route, by up to {largest:.3g} stated errors{left}"

    def to_json(self) -> str:
        """The certificate as JSON; NaN and infinities as text."""
        record = asdict(self) | {"passed": self.passed, "verdict": self.verdict}
        for key, findings in (("findings", self.findings), ("kernels", self.kernels)):
            for finding, one in zip(record[key], findings, strict=True):
                finding["passed"] = one.passed
        return json.dumps(_plain(record), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Certificate:
        """Read back what `to_json` wrote.

        Raises:
            ValueError: the text is no certificate.
        """
        try:
            record = json.loads(text)
            findings = tuple(_read(entry) for entry in record["findings"])
            kernels = tuple(_read(entry) for entry in record.get("kernels", ()))
            return cls(float(record["share"]), int(record["seed"]), findings, kernels)
        except (KeyError, TypeError) as error:
            raise ValueError(f"the text is not a certificate of curves: {error!r}") from error


@checked
def certify(
    distribution: OutputDistribution,
    curves: xr.Dataset,
    *,
    share: float = 0.1,
    seed: int = 0,
    extra_inputs: int = 0,
    label_model: LabelModel | None = None,
    progress: Track = silent,
) -> Certificate:
    """Compute a random share of the curves' values once more by a second route and compare.

    The times are parted into as many runs of neighbours as values are wanted, one time is drawn from each, and every
    quantity is checked there on every split, so that each value has the same chance; besides them one place of every
    route that a quantity's `_method` names. The second routes are dense algebra on the kernels at that time (matrix
    doubling, Cholesky solves, a singular value decomposition where neither reaches), direct formulas, plain Monte Carlo
    with other draws, and other quadratures: see `second_routes`. Of the kernels of a fully connected network a few
    entries are computed again in 40 digits or by another quadrature: see `second_kernels`; those of other networks, and
    kernels given as arrays, are not checked, and the certificate says so.

    Args:
        distribution: the law that the curves were computed from.
        curves: of one depth, as `curves_of` returned them.
        share: of the times, above 0 and at most 1; at least one time is drawn.
        seed: of the draw of times and of what the second routes sample.
        extra_inputs: as in the curves' settings.
        label_model: as in the curves' settings; None for the default one.
        progress: shows progress over the times.

    Returns:
        One finding a quantity. A comparison of numerical values agrees up to 5 stated errors; one with Monte Carlo up
        to 5 standard errors, or where there are so many that chance alone would exceed that, up to the deviation that
        honest values all stay within with probability 0.999. Values between bounds have to lie between them. Infinity
        agrees with infinity alone; where either route states that it has no digits, the value counts as not checked.

    Raises:
        ValueError: a share outside (0, 1], or curves over other times.
    """
    checks.positive("share", share)
    checks.probability("share", share)
    model = label_model or LabelModel()
    settings = CurveSettings(seed=seed, extra_inputs=extra_inputs, label_model=model, certify=share)
    return certified(distribution, curves, settings, progress, NotKept())


def certified(
    distribution: OutputDistribution, curves: xr.Dataset, settings: CurveSettings, progress: Track, kept: Keeper
) -> Certificate:
    """`certify` as the settings of the curves say; what is compared is kept time by time."""
    share, seed = settings.certify, settings.seed
    if "time" not in curves.dims or not np.array_equal(curves["time"].values, distribution.times):
        raise ValueError("the curves are over other times than the distribution; give the curves of this distribution")
    names = [name for name in QUANTITIES if name in curves and name in ROUTES]
    chosen = _places(curves, names, len(distribution.times), share, np.random.default_rng([seed, 1]))
    kernels = kept.recall(f"kernels compared {seed}", lambda: _kernels(distribution, np.random.default_rng([seed, 2])))
    route, compared = SecondRoute(distribution), {name: [] for name in names}
    with float64():
        for index in progress(sorted(chosen), "second routes", len(chosen)):
            found = kept.recall(
                f"compared {share} {index}", partial(_compared, curves, Snapshot(route, index), chosen[index], settings)
            )
            for name, each in found:
                compared[name] += each
    return Certificate(share, seed, _findings(compared), _findings(kernels))


@dataclass(frozen=True)
class _Comparison:
    """One value and its second route; `reason` instead where that could not reach."""

    where: str
    value: float
    second: float
    error: float
    route: str
    sampled: bool
    reason: str = ""

    @property
    def discrepancy(self) -> float:
        if self.value == self.second:
            return 0.0
        difference = abs(self.value - self.second)
        if not np.isfinite(difference) or self.error == 0:
            return float("inf")  # infinity and a number never agree, whatever errors are stated
        return difference / self.error


_NOTHING = _Comparison("", float("nan"), float("nan"), float("nan"), "", False)


def comparison_types() -> tuple[type, ...]:
    """What is kept of a certificate in the making."""
    return (_Comparison,)


def _compared(
    curves: xr.Dataset, snapshot: Snapshot, chosen: list[tuple[str, str]], settings: CurveSettings
) -> list[tuple[str, list[_Comparison]]]:
    """The comparisons of every quantity and split that is checked at one time."""
    found = []
    for name, split in chosen:
        seed = _seed(settings.seed, snapshot.index, split)
        place = Place(snapshot, split, seed, settings.extra_inputs, settings.label_model)
        found.append((name, list(_compare(curves, name, place, _size(curves[name].values)))))
    return found


def _places(
    curves: xr.Dataset, names: list[str], count: int, share: float, random: np.random.Generator
) -> dict[int, list[tuple[str, str]]]:
    """(quantity, split) pairs to check, by index of the time."""
    edges = np.linspace(0, count, max(1, round(share * count)) + 1).round().astype(int)
    times = [int(random.integers(low, high)) for low, high in pairwise(edges)]
    chosen = {index: [(name, split) for name in names for split in _splits(curves, name)] for index in times}
    for name in names:
        for index, split in _unseen_routes(curves, name, times, random):
            chosen.setdefault(index, []).append((name, split))
    return chosen


def _unseen_routes(
    curves: xr.Dataset, name: str, times: list[int], random: np.random.Generator
) -> Iterator[tuple[int, str]]:
    """A place of every route of a quantity that none of the times shows; of any route if no value is there."""
    splits = _splits(curves, name)
    values = curves[name].values.reshape(curves.sizes["time"], len(splits))
    codes = np.zeros(values.shape, dtype=int)
    if f"{name}_method" in curves:
        codes = curves[f"{name}_method"].values.reshape(values.shape)
    there = ~np.isnan(values)
    for code in np.unique(codes[there]):
        if not np.any(there[times] & (codes[times] == code)):
            index, split = random.choice(np.argwhere(there & (codes == code)))
            yield int(index), splits[split]


def _splits(curves: xr.Dataset, name: str) -> list[str]:
    return list(SPLITS) if "split" in curves[name].dims else [""]


def _seed(seed: int, index: int, split: str) -> int:
    """Of what a place samples: another one at every place, and not the curves' own."""
    return int(np.random.SeedSequence([seed, index, len(split), 7]).generate_state(1)[0])


def _size(values: np.ndarray) -> float:
    finite = np.abs(values[np.isfinite(values)])
    return float(finite.max(initial=0.0))


def _at(curves: xr.Dataset, name: str, place: Place) -> float:
    array = curves[name].isel(time=place.snapshot.index)
    return float(array.sel(split=place.split) if place.split else array)


def _compare(curves: xr.Dataset, name: str, place: Place, size: float) -> Iterator[_Comparison]:
    value = _at(curves, name, place)
    where = f"t = {curves['time'].values[place.snapshot.index]:g}" + (f", {place.split}" if place.split else "")
    if np.isnan(value):
        yield _Comparison(where, value, value, 0.0, "", False, "the curves hold no value there")
        return
    try:
        second = ROUTES[name](place)
    except NotCheckedError as error:
        yield _Comparison(where, value, np.nan, 0.0, "", False, str(error))
        return
    stated = _at(curves, f"{name}_standard_error", place)
    yield _judged(where, (value, stated, _meaning(curves, name, place)), second, size)
    for end, side in _BOUNDS:
        if f"{name}_{end}" in curves:
            bound = _at(curves, f"{name}_{end}", place)
            # Only what lies on the wrong side of a bound is a discrepancy.
            outside = max(side * (float(second.value) - bound), 0.0)
            error = float(second.standard_error) + 1e-9
            yield _Comparison(f"{where}, {end} bound", bound, bound + side * outside, error, "between bounds", True)


def _meaning(curves: xr.Dataset, name: str, place: Place) -> str:
    if f"{name}_method" not in curves:
        return str(curves[name].attrs["meaning"])
    texts = json.loads(curves[f"{name}_method"].attrs["flag_meanings"])
    return texts[int(_at(curves, f"{name}_method", place))]


def _judged(where: str, first: tuple[float, float, str], second: Estimate, size: float) -> _Comparison:
    value, stated, meaning = first
    other, error = float(second.value), float(second.standard_error)
    sampled = "Monte Carlo" in meaning or second.meaning == "Monte Carlo"
    total = float(np.hypot(stated, error)) if sampled else stated + error
    reason = ""
    if np.isfinite(other) and not np.isfinite(error):
        reason = "the second route has no digits there"
    elif np.isfinite(value) and not np.isfinite(stated):
        reason = "the curves state no digits there"
    elif np.isfinite(value) and not sampled:
        blunt = error > max(_BLUNT * abs(value), _FLOOR * size)
        reason = "the second route has too few digits there" if blunt else ""
    return _Comparison(where, value, other, total, second.method, sampled, reason)


def _kernels(distribution: OutputDistribution, random: np.random.Generator) -> dict[str, list[_Comparison]]:
    """Entries of both kernels, compared relative to the two inputs' own values."""
    compared: dict[str, list[_Comparison]] = {"kernel nngp": [], "kernel ntk": []}
    try:
        for entry in entries(distribution, random):
            for each, pair, size in zip(compared.values(), (entry.nngp, entry.ntk), entry.size, strict=True):
                each.append(_Comparison(entry.where, *pair, entry.error * size, entry.route, False))
    except NotCheckedError as error:
        for each in compared.values():
            each.append(_Comparison("", np.nan, np.nan, 0.0, "", False, str(error)))
    return compared


def _findings(compared: dict[str, list[_Comparison]]) -> tuple[Finding, ...]:
    number = sum(c.sampled and not c.reason for each in compared.values() for c in each)
    chance = float(norm.isf(_CHANCE / (2 * max(number, 1))))
    return tuple(_finding(name, each, max(LIMIT, chance)) for name, each in compared.items())


def _finding(name: str, each: list[_Comparison], sampled_limit: float) -> Finding:
    reached = [c for c in each if not c.reason]
    beyond = [c for c in each if c.reason]
    worst = max(reached, key=lambda c: c.discrepancy, default=_NOTHING)
    return Finding(
        quantity=name,
        checked=len(reached),
        not_checked=len(beyond),
        reasons=tuple(dict.fromkeys(c.reason for c in beyond)),
        largest=worst.discrepancy if reached else float("nan"),
        where=worst.where,
        value=worst.value,
        second=worst.second,
        error=worst.error,
        limit=sampled_limit if worst.sampled else LIMIT,
        route=tuple(dict.fromkeys(c.route for c in reached)),
        sampled=worst.sampled,
    )


def _read(entry: dict[str, Any]) -> Finding:
    kept = {key: entry[key] for key in Finding.__dataclass_fields__}
    numbers = {key: float(kept[key]) for key in ("largest", "value", "second", "error", "limit")}
    return Finding(**{**kept, **numbers, "reasons": tuple(kept["reasons"]), "route": tuple(kept["route"])})


def _plain(value: Any) -> Any:
    """JSON has no infinities: they become text that `float` reads."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value
