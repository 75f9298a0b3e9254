"""All the measures of one model: one eigen-decomposition a kernel, one law of the outputs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import float64, to_numpy
from ntkinfo.core.linear_algebra import Spectrum, spectrum
from ntkinfo.core.memory import GIB, available_memory, require_memory
from ntkinfo.core.progress import Track, bar, silent
from ntkinfo.core.versions import versions
from ntkinfo.generalization.measure import Measure, NotComputable
from ntkinfo.generalization.registry import MEASURES, choose
from ntkinfo.generalization.views import KernelView, LawView, MeasureSettings, PairView, RidgeView
from ntkinfo.training.output_distribution import OutputDistribution

KERNELS = ("nngp", "ntk")
Curves = xr.Dataset | Callable[[OutputDistribution], xr.Dataset]

_MATRICES = 9  # of n × n at the peak, by benchmarks/measures.py
_LOST = 1e-6  # relative error by rounding that is worth a note


class Interrupted(KeyboardInterrupt):
    """Raised in place of KeyboardInterrupt.

    Attributes:
        partial: what was finished; other values are NaN or absent.
    """

    def __init__(self, partial: xr.Dataset):
        super().__init__("interrupted; `partial` holds the measures that were finished")
        self.partial = partial


@checked
def measure_all(
    distribution: OutputDistribution,
    *,
    curves: Curves | None = None,
    settings: MeasureSettings | None = None,
    names: Iterable[str] | None = None,
    spectra: Mapping[str, Spectrum] | None = None,
    progress: Track = bar,
) -> xr.Dataset:
    """Compute every generalisation measure of one model.

    Args:
        distribution: the law of the outputs (`ntkinfo.output_distribution`); test targets are never looked at.
        curves: what the information quantities are read from: curves over the same times, or a function that computes
            them from the law of the outputs, such as `ntkinfo.curves_of`. None leaves those measures NaN.
        settings: ridges of the kernels' measures, and other free numbers.
        names: measures from `MEASURES`; None for all.
        spectra: decompositions of the kernels "nngp" and "ntk" of these very blocks, where they are there already: one
            decomposition then serves other targets, ridges and procedures as well. The law's own is always shared.
        progress: shown over kernels and ridges.

    Returns:
        One variable a measure, over the dimensions that it has among (kernel, ridge, time), with what the registry
        says of it in the attributes. What cannot be computed is NaN, and the attribute `notes` says why; nothing is
        added to a diagonal. Errors that curves state are in `NAME_standard_error`; `condition_number` (kernel, ridge)
        is that of G + s: closed forms lose about so many units of rounding.

    Raises:
        ValueError: anything in the input that does not fit, curves over other times.
        MemoryError: matrices that do not fit.
        Interrupted: on Ctrl-C, with the measures that were finished.

    Assumes independent training inputs where a measure is a bound or an estimate of risk.
    """
    chosen, settings = choose(names), settings or MeasureSettings()
    _require_memory(distribution)
    table = _Table(distribution.times, settings.ridges or (distribution.procedure.ridge,))
    try:
        _fill(table, distribution, chosen, settings, curves=curves, spectra=spectra, progress=progress)
    except KeyboardInterrupt:
        raise Interrupted(table.dataset(chosen, _provenance(distribution, settings))) from None
    return table.dataset(chosen, _provenance(distribution, settings))


def measure_values(
    distribution: OutputDistribution,
    *,
    curves: Curves | None = None,
    settings: MeasureSettings | None = None,
    names: Iterable[str] | None = None,
    spectra: Mapping[str, Spectrum] | None = None,
) -> dict[str, np.ndarray]:
    """The numbers of `measure_all` alone, over the registry's dimensions: for the many models of a search.

    Args:
        distribution: as in `measure_all`.
        curves: as in `measure_all`.
        settings: as in `measure_all`.
        names: as in `measure_all`.
        spectra: as in `measure_all`.
    """
    chosen, settings = choose(names), settings or MeasureSettings()
    table = _Table(distribution.times, settings.ridges or (distribution.procedure.ridge,))
    _fill(table, distribution, chosen, settings, curves=curves, spectra=spectra, progress=silent)
    return table.values


def _fill(
    table: _Table,
    distribution: OutputDistribution,
    chosen: tuple[Measure, ...],
    settings: MeasureSettings,
    *,
    curves: Curves | None,
    spectra: Mapping[str, Spectrum] | None,
    progress: Track,
) -> None:
    found = _curves_of(distribution, curves) if any(m.place == "curve" for m in chosen) else None
    law = LawView(distribution, settings, found)
    known = {**(spectra or {}), distribution.procedure.tangent: distribution.spectrum}
    for measure in chosen:
        if measure.place in ("time", "curve", "model"):
            table.put(measure, (), law)
    if any("law" in measure.needs and measure.place == "time" for measure in chosen):
        with float64():
            table.note(*(f"training inputs: {note}" for note in distribution.train.notes))
    _fill_kernels(table, lambda name: kernel_view(distribution, name, settings, known), chosen, progress)


def _fill_kernels(
    table: _Table, view_of: Callable[[str], KernelView], chosen: tuple[Measure, ...], progress: Track
) -> None:
    of_kernel, of_ridge, of_pair = ([m for m in chosen if m.place == p] for p in ("kernel", "ridge", "pair"))
    if not (of_kernel or of_ridge or of_pair):
        return
    views: dict[str, KernelView] = {}
    steps = [(k, r) for k in range(len(KERNELS)) for r in range(len(table.ridges))]
    for k, r in progress(steps, "measures of kernels and ridges", len(steps)):
        name = KERNELS[k]
        if name not in views:
            views[name] = view_of(name)
            table.note(*views[name].spectrum.notes(name))
            for measure in of_kernel:
                table.put(measure, (k,), views[name])
        view = RidgeView(views[name], table.ridges[r])
        table.condition(k, r, view)
        for measure in of_ridge:
            table.put(measure, (k, r), view)
    for measure in of_pair:
        table.put(measure, (), PairView(**views))


def kernel_view(
    distribution: OutputDistribution, name: str, settings: MeasureSettings, spectra: Mapping[str, Spectrum]
) -> KernelView:
    """One kernel's view, decomposing it where its spectrum is not among those given."""
    matrix, data = getattr(distribution.blocks.train, name), distribution.data
    with float64():
        found = _on_host(spectra.get(name) or spectrum(matrix, f"the {name.upper()} of the training inputs"))
    if name == distribution.procedure.tangent:
        projected = to_numpy(distribution.targets)
    else:
        projected = np.asarray(found.eigenvectors).T @ data.y_train
    return KernelView(name, to_numpy(matrix), found, projected, data, settings)


def _on_host(found: Spectrum) -> Spectrum:
    values, vectors, null = (to_numpy(array) for array in (found.eigenvalues, found.eigenvectors, found.null))
    return Spectrum(values, vectors, null, found.tolerance, found.most_negative)


def _curves_of(distribution: OutputDistribution, curves: Curves | None) -> xr.Dataset | None:
    found = curves(distribution) if callable(curves) else curves
    if found is None:
        return None
    times = np.asarray(found["time"]) if "time" in found.coords else np.zeros(0)
    if not np.array_equal(times, distribution.times):
        raise ValueError(
            f"curves are over {len(times)} times and the law over {len(distribution.times)}, which must be the same; "
            "compute the curves for the times of the measures"
        )
    return found


def _require_memory(distribution: OutputDistribution) -> None:
    n, m, n_times = (len(one) for one in (distribution.data.x_train, distribution.data.x_test, distribution.times))
    needed = 8 * (_MATRICES * n**2 + 3 * n * m + 3 * (n + m) * n_times) / GIB
    limit = available_memory()
    remedy = f"take about {int(n * (0.9 * limit / needed) ** 0.5)} training inputs, or a machine with more memory"
    require_memory(f"all measures of {n} training inputs", needed, limit, remedy)


@dataclass
class _Table:
    """Values by measure, NaN where there is none, and notes."""

    times: np.ndarray
    ridges: tuple[float, ...]
    values: dict[str, np.ndarray] = field(default_factory=dict)
    errors: dict[str, np.ndarray] = field(default_factory=dict)
    reasons: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    conditions: np.ndarray | None = None

    def __post_init__(self):
        self.sizes = {"kernel": len(KERNELS), "ridge": len(self.ridges), "time": len(self.times)}

    def put(self, measure: Measure, place: tuple[int, ...], view: Any) -> None:
        """Compute a measure at one place, or note why it has no value there."""
        shape = tuple(self.sizes[dim] for dim in measure.dims)
        values = self.values.setdefault(measure.name, np.full(shape, np.nan))
        try:
            found = measure.function(view)
        except NotComputable as reason:
            self.reasons.setdefault((measure.name, str(reason)), []).append(self._where(measure, place))
            return
        if measure.place == "curve":
            found, self.errors[measure.name] = found
        values[place] = found

    def condition(self, k: int, r: int, view: RidgeView) -> None:
        """Keep a condition number, with a note where rounding matters."""
        if self.conditions is None:
            self.conditions = np.full((len(KERNELS), len(self.ridges)), np.nan)
        self.conditions[k, r] = view.condition
        lost = view.kernel.n * np.finfo(np.float64).eps * view.condition
        if _LOST < lost < np.inf:
            self.note(f"{KERNELS[k]}, ridge {view.ridge:g}: rounding may change values by {lost:.0e} of their size")

    def note(self, *notes: str) -> None:
        """Remember what the reader has to know."""
        self.notes.update(dict.fromkeys(notes))

    def _where(self, measure: Measure, place: tuple[int, ...]) -> str:
        words = [KERNELS[place[0]]] if place else []
        return " ".join(words + [f"ridge {self.ridges[r]:g}" for r in place[1:]])

    def dataset(self, chosen: tuple[Measure, ...], attributes: dict[str, Any]) -> xr.Dataset:
        """The labelled data set."""
        variables = {}
        for measure in chosen:
            if measure.name not in self.values:
                continue
            variables[measure.name] = xr.Variable(measure.dims, self.values[measure.name], _attributes(measure))
            if measure.name in self.errors:
                text = {"long_name": f"{measure.symbol}: standard or numerical error", "units": measure.unit}
                name = f"{measure.name}_standard_error"
                variables[name] = xr.Variable(measure.dims, self.errors[measure.name], text)
        if self.conditions is not None:
            text = {"long_name": "condition number of G + s", "units": "1"}
            variables["condition_number"] = xr.Variable(("kernel", "ridge"), self.conditions, text)
        missing = [
            f"{name}{f' ({places})' if (places := ', '.join(filter(None, where))) else ''}: NaN, {reason}"
            for (name, reason), where in self.reasons.items()
        ]
        coordinates = {"kernel": list(KERNELS), "ridge": np.array(self.ridges, dtype=float), "time": self.times}
        used = {dim for variable in variables.values() for dim in variable.dims}
        coordinates = {name: values for name, values in coordinates.items() if name in used}
        return xr.Dataset(variables, coordinates, {**attributes, "notes": "; ".join([*self.notes, *missing])})


def _attributes(measure: Measure) -> dict[str, str]:
    return {
        "long_name": measure.name.replace("_", " "),
        "symbol": measure.symbol,
        "units": measure.unit,
        "formula": measure.formula,
        "source": measure.source,
        "needs": ", ".join(measure.needs),
        "direction": measure.direction,
        "meaning": measure.meaning,
        "outputs": measure.outputs,
    }


def _provenance(distribution: OutputDistribution, settings: MeasureSettings) -> dict[str, Any]:
    return {
        "data": distribution.data.name,
        "data_fingerprint": distribution.data.fingerprint,
        "procedure": repr(distribution.procedure),
        "kernel_fingerprint": distribution.blocks.fingerprint,
        "kernel_notes": "; ".join(distribution.notes),
        "settings": repr(settings),
        **{f"version_{name}": version for name, version in _versions().items()},
    }


# Reading them from the disk takes longer than the measures of a small model.
_versions = functools.cache(versions)


@checked
def as_row(measures: xr.Dataset, ridge: int = 0, time: int = -1) -> dict[str, float]:
    """Flatten measures to one number a name at one ridge and time: `evidence_nngp`, `evidence_ntk`, `trained_margin`.

    Args:
        measures: of `measure_all`; errors and condition numbers are left out.
        ridge: index of the ridge.
        time: index of the time.
    """
    # Every variable has the registry's dimensions, the kernel first.
    values = {name: measures[name].values for name in MEASURES if name in measures}
    return row_of(values, ridge, time)


def row_of(values: Mapping[str, np.ndarray], ridge: int = 0, time: int = -1) -> dict[str, float]:
    """As `as_row`, of the numbers alone (`measure_values`)."""
    chosen = {"ridge": ridge, "time": time}
    row: dict[str, float] = {}
    for name, array in values.items():
        places = tuple(chosen[dim] for dim in MEASURES[name].dims if dim != "kernel")
        if "kernel" in MEASURES[name].dims:
            row |= {f"{name}_{kernel}": float(array[(k, *places)]) for k, kernel in enumerate(KERNELS)}
        else:
            row[name] = float(array[places])
    return row
