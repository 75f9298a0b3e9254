"""Information curves: every quantity over training time, on training and test inputs, as one labelled data set."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float

from ntkinfo.core import checks
from ntkinfo.core.arrays import float64
from ntkinfo.core.linear_algebra import NotDefiniteError
from ntkinfo.core.memory import GIB, available_memory, require_memory
from ntkinfo.core.progress import Track, bar
from ntkinfo.core.records import Dataset
from ntkinfo.information.curve_files import load_curves, save_curves
from ntkinfo.information.curve_table import SPLITS, CurveTable
from ntkinfo.information.linear_decoder import information_target_gaussian
from ntkinfo.information.losses import closed_form
from ntkinfo.information.member_error import error_member
from ntkinfo.information.output import information_output
from ntkinfo.information.parameters import ExtraInputs, function_space, linear_model
from ntkinfo.information.path import path
from ntkinfo.information.quantities import QUANTITIES, choose
from ntkinfo.information.training_set import relative_entropy_per_input
from ntkinfo.kernels.architectures import Network
from ntkinfo.kernels.blocks import kernel_blocks
from ntkinfo.kernels.store import KernelStore
from ntkinfo.training.output_distribution import OutputDistribution, output_distribution
from ntkinfo.training.output_law import OutputLaw
from ntkinfo.training.procedures import GradientFlow, Procedure

__all__ = [
    "QUANTITIES",
    "CurveSettings",
    "Interrupted",
    "curves_of",
    "information_curves",
    "load_curves",
    "save_curves",
]

# Rounding and the truncated time factors leave this share of the outputs' size in their means.
_RESOLUTION = 1e-11
# Peak of the whole job in matrices of n×n, by benchmarks/information_curves.py, less the test inputs' share.
_MATRICES = 8


@dataclass(frozen=True)
class CurveSettings:
    """How the quantities that are not closed forms are computed, and where kernels are kept.

    Args:
        seed: of the Monte Carlo draws; the same draws at every time make smooth curves.
        samples_per_input: draws for each input, even and at least 4; None for about 6144 draws a time in all.
        tolerance: absolute error of the quadrature that one output allows, in nats.
        extra_inputs: how many test inputs, from the first, join the training inputs in `information_parameters`.
        store: folder that keeps kernels between runs, or None.
    """

    seed: int = 0
    samples_per_input: int | None = None
    tolerance: float = 1e-9
    extra_inputs: int = 0
    store: KernelStore | str | os.PathLike | None = field(default=None, repr=False)

    def __post_init__(self):
        checks.whole("seed", self.seed, least=0)
        if self.samples_per_input is not None:
            checks.whole("samples_per_input", self.samples_per_input, least=4)
            if self.samples_per_input % 2:
                raise ValueError(f"samples_per_input is {self.samples_per_input}; it must be even (antithetic pairs)")
        checks.positive("tolerance", self.tolerance)
        checks.whole("extra_inputs", self.extra_inputs, least=0)


class Interrupted(KeyboardInterrupt):
    """Raised in place of KeyboardInterrupt.

    Attributes:
        partial: what was finished; times and quantities that were not are NaN or absent.
    """

    def __init__(self, partial: xr.Dataset):
        super().__init__("interrupted; `partial` holds what was finished")
        self.partial = partial


def information_curves(
    network: Network,
    data: Dataset,
    times: Float[np.ndarray, " t"],
    *,
    procedure: Procedure | None = None,
    quantities: Iterable[str] | None = None,
    settings: CurveSettings | None = None,
    progress: Track = bar,
) -> xr.Dataset:
    """Compute information curves of an infinitely wide network over training time.

    Args:
        network: architecture with its weight and bias deviations.
        data: inputs and targets.
        times: (T,), strictly rising in [0, ∞]; `log_times` makes them.
        procedure: how it is trained; gradient flow on the summed loss if None.
        quantities: names from `QUANTITIES`; None for all that the data allow.
        settings: of Monte Carlo and quadrature, and where kernels are kept.
        progress: shows what takes long.

    Returns:
        Variables over (time, split) or (time,), with `units`, `long_name` and `meaning`, bounds and errors in variables
        of the same name with a suffix, provenance in the attributes. Informations are in nats.

    Raises:
        ValueError: anything in the input that does not fit, before long work starts.
        MemoryError: kernels that do not fit.
        Interrupted: on Ctrl-C once the kernels are there, with what was finished.

    Fails when the network is narrow or its kernel moves in training: these are infinite-width laws.
    """
    procedure, settings = procedure or GradientFlow(), settings or CurveSettings()
    checks.times(times)
    choose(quantities, data.labels_train is not None, procedure.temperature > 0)
    _check_extra(settings, procedure, data)
    _require_memory(data, len(times))
    blocks = kernel_blocks(network, data, store=settings.store, progress=progress)
    distribution = output_distribution(blocks, data, procedure, np.asarray(times, dtype=np.float64))
    curves = curves_of(distribution, quantities=quantities, settings=settings, progress=progress)
    return curves.assign_attrs(network=network.describe(), network_fingerprint=network.fingerprint)


def _check_extra(settings: CurveSettings, procedure: Procedure, data: Dataset) -> None:
    if settings.extra_inputs > len(data.x_test):
        raise ValueError(
            f"extra_inputs is {settings.extra_inputs} and there are {len(data.x_test)} test inputs; "
            "it can be at most that"
        )
    if settings.extra_inputs and procedure.is_noisy:
        raise ValueError(
            f"extra_inputs is {settings.extra_inputs} and the procedure has noise, with which only the training inputs "
            "are supported; set extra_inputs to 0, or target_noise_variance and temperature to 0"
        )


def _require_memory(data: Dataset, n_times: int) -> None:
    """Refuse beforehand what cannot fit: about nine matrices of n×n, and variances at all times."""
    n, m = len(data.x_train), len(data.x_test)
    needed = 8 * (_MATRICES * n**2 + 5 * n * m + 3 * (n + m) * n_times) / GIB
    limit = available_memory()
    remedy = f"take about {int(n * (0.9 * limit / needed) ** 0.5)} training inputs, or a machine with more memory"
    require_memory(
        f"a set of curves with {n} training inputs, {m} test inputs and {n_times} times", needed, limit, remedy
    )


def curves_of(
    distribution: OutputDistribution,
    *,
    quantities: Iterable[str] | None = None,
    settings: CurveSettings | None = None,
    progress: Track = bar,
) -> xr.Dataset:
    """Compute the curves of an output law that is there already; as `information_curves`."""
    settings = settings or CurveSettings()
    labelled = distribution.data.labels_train is not None
    chosen = choose(quantities, labelled, distribution.procedure.temperature > 0)
    _check_extra(settings, distribution.procedure, distribution.data)
    table = CurveTable(distribution, chosen)
    groups = {QUANTITIES[name].group for name in chosen}
    try:
        with float64():
            if "path" in groups:
                _add_path(table, distribution)
            if "parameters" in groups:
                _add_parameters(table, distribution, chosen, settings, progress)
            for split in SPLITS:
                _add_closed_forms(table, distribution, split, groups)
            for split in SPLITS:
                _add_by_time(table, distribution, split, groups, settings, progress)
    except KeyboardInterrupt:
        raise Interrupted(table.dataset(_provenance(distribution, settings))) from None
    return table.dataset(_provenance(distribution, settings))


def _add_path(table: CurveTable, law: OutputDistribution) -> None:
    result = path(law)
    for name in ("fisher_trace", "speed_squared"):
        table.put(name, getattr(result, name))
    table.put("path_energy", result.energy)
    table.put("parameter_distance", result.distance)
    table.put_estimate("path_length", result.length)
    table.note(*result.notes)


def _add_parameters(
    table: CurveTable, law: OutputDistribution, chosen: tuple[str, ...], settings: CurveSettings, progress: Track
) -> None:
    if "information_parameters_linear" in chosen:
        table.put_estimate("information_parameters_linear", linear_model(law))
    if "information_parameters" not in chosen:
        return
    extra = None
    if settings.extra_inputs:
        source, inputs = law.blocks.source, law.data.x_test[: settings.extra_inputs]
        if source is None:
            raise ValueError("extra_inputs needs kernel blocks with a source; make them with kernel_blocks")
        extra = ExtraInputs(source.cross(inputs), source.square(inputs))
    try:
        table.put_estimate("information_parameters", function_space(law, extra, progress))
    except NotDefiniteError as error:
        # A prior that is singular to rounding leaves this one quantity undefined, not the others.
        table.put("information_parameters", np.nan)
        table.note(f"information_parameters not computed: {error}")


def _add_closed_forms(table: CurveTable, distribution: OutputDistribution, split: str, groups: set[str]) -> None:
    """Stream the losses and the bound on I(Z;D|X) over runs of times."""
    if not groups & {"losses", "training set"}:
        return
    law, targets, labels = _side(distribution, split)
    for part, mean, variance in law.chunks():
        if "losses" in groups:
            for name, values in closed_form(mean, variance, targets, labels).items():
                table.put(name, values, split, part)
        if "training set" in groups:
            value = relative_entropy_per_input(mean, law.log_variance_at(part), law.initial_variance)
            table.put("information_training_set", value.mean(axis=1), split, part)
    table.note(*(f"{split}: {note}" for note in law.notes))


def _add_by_time(
    table: CurveTable,
    distribution: OutputDistribution,
    split: str,
    groups: set[str],
    settings: CurveSettings,
    progress: Track,
) -> None:
    """Add what takes an integral at every time."""
    if not groups & {"member", "output"}:
        return
    law, targets, labels = _side(distribution, split)
    resolution = _RESOLUTION * max(float(np.abs(targets).max()), float(law.initial_variance.max()) ** 0.5)
    count = len(distribution.times)
    for index in progress(range(count), f"I(Z;X), I(Z;Y), member error ({split})", count):
        part = slice(index, index + 1)
        if "member" in groups and labels is not None:
            estimate = error_member(law.mean_at(part), law.variance_at(part), labels)
            table.put_estimate("error_member", estimate, split, part)
        if "output" in groups:
            _add_output(table, (split, part), law, targets, labels, settings, resolution)


def _add_output(
    table: CurveTable,
    place: tuple[str, slice],
    law: OutputLaw,
    targets: np.ndarray,
    labels: np.ndarray | None,
    settings: CurveSettings,
    resolution: float,
) -> None:
    mean, variance = law.separated_at(place[1].start)
    given, target = information_output(
        mean,
        variance,
        labels,
        seed=settings.seed,
        samples=settings.samples_per_input,
        tolerance=settings.tolerance,
        resolution=resolution,
    )
    if given.noiseless:
        table.note(f"{place[0]}: outputs without variance count as equal within {resolution:.1e}")
    table.put_estimate("information_input", given.value, *place)
    table.put("information_input_lower", given.lower, *place)
    table.put("information_input_upper", given.upper, *place)
    for side in ("lower", "upper"):
        multi = getattr(given, f"multisample_{side}")
        if multi is not None:
            table.put(f"information_input_multisample_{side}", multi.value, *place)
            table.put(f"information_input_multisample_{side}_standard_error", multi.standard_error, *place)
    if target is not None:
        table.put_estimate("information_target", target.value, *place)
        table.put("information_target_lower", target.lower, *place)
        table.put("information_target_upper", target.upper, *place)
    else:
        bound = information_target_gaussian(law.mean_at(place[1])[0], law.variance_at(place[1])[0], targets)
        table.put_estimate("information_target", bound.value, *place)


def _side(distribution: OutputDistribution, split: str) -> tuple[OutputLaw, np.ndarray, np.ndarray | None]:
    data = distribution.data
    return getattr(distribution, split), getattr(data, f"y_{split}"), getattr(data, f"labels_{split}")


def _provenance(distribution: OutputDistribution, settings: CurveSettings) -> dict[str, Any]:
    from ntkinfo.core.versions import versions

    data = distribution.data
    return {
        "data": data.name,
        "data_fingerprint": data.fingerprint,
        "data_provenance": "; ".join(f"{key}={value}" for key, value in data.provenance.items()),
        "n_train": len(data.x_train),
        "n_test": len(data.x_test),
        "n_outputs": data.n_outputs,
        "procedure": repr(distribution.procedure),
        "loss": distribution.procedure.loss,
        "settings": repr(settings),
        "seed": settings.seed,
        "kernel_fingerprint": distribution.blocks.fingerprint,
        "kernel_notes": "; ".join(distribution.notes),
        **{f"version_{name}": version for name, version in versions().items()},
    }
