"""Information curves: every quantity over training time, on training and test inputs, as one labelled data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import float64, to_numpy
from ntkinfo.core.kept import KeptPieces, NotKept
from ntkinfo.core.linear_algebra import Spectrum
from ntkinfo.core.memory import GIB, available_memory, require_memory
from ntkinfo.core.progress import Track, bar
from ntkinfo.core.records import Dataset, fingerprint
from ntkinfo.core.versions import versions
from ntkinfo.information.certificate import certified, certify, comparison_types
from ntkinfo.information.curve_files import load_curves, save_curves
from ntkinfo.information.curve_groups import AT_EACH_TIME, BY_SPLIT, STREAMED, WHOLE
from ntkinfo.information.curve_job import CurveSettings, Job, Side
from ntkinfo.information.curve_table import CurveTable
from ntkinfo.information.noiseless import discrete_entropy
from ntkinfo.information.numerical_errors import NumericalErrors
from ntkinfo.information.provenance import provenance
from ntkinfo.information.quantities import NEED_TARGETS, QUANTITIES, choose
from ntkinfo.kernels.architectures import Network
from ntkinfo.kernels.blocks import kernel_blocks
from ntkinfo.kernels.records import KernelBlocks
from ntkinfo.kernels.store import PatientStore
from ntkinfo.training.output_distribution import Decomposition, OutputDistribution, decompose, output_distribution
from ntkinfo.training.procedures import GradientFlow, Procedure

__all__ = [
    "QUANTITIES",
    "CurveSettings",
    "Interrupted",
    "certify",
    "curves_of",
    "information_curves",
    "load_curves",
    "save_curves",
]

# Peak of the whole job in matrices of n×n, by benchmarks/information_curves.py, less the test inputs' share.
_MATRICES = 8
_JOINT_MATRICES = 8  # of joint covariances, factors and products at one time


class Interrupted(KeyboardInterrupt):
    """Raised in place of KeyboardInterrupt.

    Attributes:
        partial: what was finished; times and quantities that were not are NaN or absent.
    """

    def __init__(self, partial: xr.Dataset):
        super().__init__("interrupted; `partial` holds what was finished")
        self.partial = partial


@checked
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
        data: inputs and targets. Where test targets are not known (`y_test=None`), what needs them is NaN on test
            inputs, and a note names it.
        times: (T,), strictly rising in [0, ∞]; `log_times` makes them.
        procedure: how it is trained; gradient flow on the summed loss if None.
        quantities: names from `QUANTITIES`; None for all the default ones that the data allow. Those that need factors
            of whole covariances (`information_training_set_joint`, `information_training_set_labels_joint`,
            `information_parameters_labels`) are computed where they are named.
        settings: of Monte Carlo, quadrature, label model and interpolation, and where kernels are kept.
        progress: shows what takes long.

    Returns:
        Variables over (time, split) or (time,), with `units`, `long_name` and `meaning`, bounds and errors in variables
        of the same name with a suffix, provenance in the attributes. Informations are in nats. Every quantity has a
        `_standard_error`: one standard deviation where it is Monte Carlo, else a bound on the numerical error, to first
        order, for kernels taken as exact. A quantity whose route changes has a `_method` too: whole numbers over the
        same dimensions, their texts in the attribute `flag_meanings`, a JSON list in the order of `flag_values` (−1:
        not computed).

    Raises:
        ValueError: anything in the input that does not fit, before long work starts.
        MemoryError: kernels that do not fit.
        ValueError: a checkpoint of another call.
        Interrupted: on Ctrl-C once the kernels are there, with what was finished.

    >>> from ntkinfo.kernels.architectures import FullyConnected
    >>> x, y = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), np.array([[1.0], [-1.0], [0.5]])
    >>> data = Dataset(x_train=x, y_train=y, x_test=x / 2, y_test=y)
    >>> curves = information_curves(FullyConnected(), data, np.array([0.1, 1.0, 10.0]), quantities=["loss_mean"])
    >>> bool((curves.loss_mean.sel(split="train").diff("time") < 0).all())
    True

    Fails when the network is narrow or its kernel moves in training: these are infinite-width laws.
    """
    procedure, settings = procedure or GradientFlow(), settings or CurveSettings()
    checks.times(times)
    chosen = choose(quantities, data.labels_train is not None, procedure.temperature > 0)
    _check_settings(settings, data)
    _require_memory(data, len(times), _joint_inputs(chosen, settings, data))
    store = settings.store
    if store is None and settings.checkpoint is not None:
        store = PatientStore(Path(settings.checkpoint) / "kernels")
    blocks = kernel_blocks(network, data, store=store, progress=progress)
    times = np.asarray(times, dtype=np.float64)
    with _keeper(blocks, data, procedure, times, chosen, settings) as kept:
        known = kept.recall("decomposition", lambda: decompose(blocks, procedure.tangent, procedure.prior))
        distribution = output_distribution(blocks, data, procedure, times, known)
        curves = _curves(distribution, chosen, settings, progress, kept)
    return curves.assign_attrs(network=network.describe(), network_fingerprint=network.fingerprint)


def _check_settings(settings: CurveSettings, data: Dataset) -> None:
    if settings.extra_inputs > len(data.x_test):
        raise ValueError(
            f"extra_inputs is {settings.extra_inputs} and there are {len(data.x_test)} test inputs; "
            "it can be at most that"
        )
    covariance, n = settings.label_model.covariance, len(data.x_train)
    if covariance is not None:
        checks.shape("label_model.covariance", covariance, (n, n), "one row and column for each training input")


def _joint_inputs(chosen: tuple[str, ...], settings: CurveSettings, data: Dataset) -> int:
    """Number of inputs whose whole covariance is factored where the default quantities need none."""
    joint = any(QUANTITIES[name].group == "joint" for name in chosen)
    function = len(data.x_train) + settings.extra_inputs if "information_parameters_labels" in chosen else 0
    return max(max(len(data.x_train), len(data.x_test)) if joint else 0, function)


def _require_memory(data: Dataset, n_times: int, joint: int) -> None:
    """Refuse beforehand what cannot fit: about nine matrices of n×n, joint covariances, variances at all times."""
    n, m = len(data.x_train), len(data.x_test)
    needed = 8 * (_MATRICES * n**2 + 5 * n * m + _JOINT_MATRICES * joint**2 + 3 * (n + m) * n_times) / GIB
    limit = available_memory()
    remedy = f"take about {int(n * (0.9 * limit / needed) ** 0.5)} training inputs, or a machine with more memory"
    require_memory(
        f"a set of curves with {n} training inputs, {m} test inputs and {n_times} times", needed, limit, remedy
    )


@checked
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
    _check_settings(settings, distribution.data)
    law = distribution
    with _keeper(law.blocks, law.data, law.procedure, law.times, chosen, settings) as kept:
        return _curves(distribution, chosen, settings, progress, kept)


def _curves(
    distribution: OutputDistribution,
    chosen: tuple[str, ...],
    settings: CurveSettings,
    progress: Track,
    kept: KeptPieces | NotKept,
) -> xr.Dataset:
    settings.label_model.check(distribution)
    table = CurveTable(distribution, chosen)
    job = Job(table, distribution, chosen, settings, NumericalErrors(distribution), progress, kept)
    unknown = [name for name in chosen if name in NEED_TARGETS and not distribution.data.knows_test_targets]
    if unknown:
        table.note(f"test: the targets are not known (y_test is None), so that these are NaN: {', '.join(unknown)}")
    try:
        with float64():
            _fill(job)
    except KeyboardInterrupt:
        raise Interrupted(_dataset(table, distribution, settings)) from None
    curves = _dataset(table, distribution, settings)
    return curves if settings.certify == 0 else _certified(distribution, curves, settings, progress, kept)


def _keeper(
    blocks: KernelBlocks,
    data: Dataset,
    procedure: Procedure,
    times: np.ndarray,
    chosen: tuple[str, ...],
    settings: CurveSettings,
) -> AbstractContextManager[KeptPieces | NotKept]:
    """What keeps the finished parts of curves where a checkpoint is given."""
    if settings.checkpoint is None:
        return nullcontext(NotKept())
    covariance = settings.label_model.covariance
    kernels = [blocks.train.nngp, blocks.train.ntk, blocks.test.nngp, blocks.test.ntk]
    description = {
        "kernels": blocks.fingerprint or "".join(fingerprint(to_numpy(kernel)) for kernel in kernels),
        "data": data.fingerprint,
        "procedure": repr(procedure),
        "times": fingerprint(times),
        "quantities": list(chosen),
        "settings": repr(settings),
        "label_model": settings.label_model.description,
        "label_covariance": "" if covariance is None else fingerprint(to_numpy(covariance)),
        **versions(),
    }
    return KeptPieces(settings.checkpoint, description, (Decomposition, Spectrum, *comparison_types()))


def _dataset(table: CurveTable, distribution: OutputDistribution, settings: CurveSettings) -> xr.Dataset:
    """What was computed so far, with the eigenvalues that set its pace; nothing where nothing was."""
    curves = table.dataset(_provenance(distribution, settings))
    if not curves.data_vars:
        return curves
    attributes = {
        "long_name": f"eigenvalues of the kernel that trains ({distribution.procedure.tangent})",
        "units": "1",
        "meaning": "exact",
    }
    return curves.assign(eigenvalue=("direction", to_numpy(distribution.eigenvalues)[::-1], attributes))


def _fill(job: Job) -> None:
    """Compute every group that was asked for, the quick ones first."""
    groups = {QUANTITIES[name].group for name in job.chosen}
    for group in WHOLE:
        if group in groups:
            job.stage(group, partial(WHOLE[group], job))
    streamed = [STREAMED[group] for group in STREAMED if group in groups]
    for side in job.sides() if streamed else ():
        for part in side.law.parts():
            job.stage(f"closed forms {side.split} {part.start}", partial(_stream, streamed, job, side, part))
        job.table.note(*(f"{side.split}: {note}" for note in side.law.notes))
    for side in job.sides():
        for group in BY_SPLIT:
            if group in groups:
                job.stage(f"{group} {side.split}", partial(BY_SPLIT[group], job, side))
    each = [AT_EACH_TIME[group] for group in AT_EACH_TIME if group in groups]
    count = len(job.law.times)
    for side in job.sides() if each else ():
        for index in job.progress(range(count), f"I(Z;X), I(Z;Y), member error ({side.split})", count):
            job.stage(f"each {side.split} {index}", partial(_at, each, job, side, index))


def _stream(streamed: Sequence[Callable[..., None]], job: Job, side: Side, part: slice) -> None:
    mean, variance = side.law.mean_at(part), side.law.variance_at(part)
    for add in streamed:
        add(job, side, part, mean, variance)


def _at(each: Sequence[Callable[[Job, Side, int], None]], job: Job, side: Side, index: int) -> None:
    for add in each:
        add(job, side, index)


def _certified(
    distribution: OutputDistribution,
    curves: xr.Dataset,
    settings: CurveSettings,
    progress: Track,
    kept: KeptPieces | NotKept,
) -> xr.Dataset:
    """The curves with their certificate in the attribute `certificate`, as JSON."""
    try:
        certificate = certified(distribution, curves, settings, progress, kept)
    except KeyboardInterrupt:
        raise Interrupted(curves) from None
    return curves.assign_attrs(certificate=certificate.to_json())


def _provenance(distribution: OutputDistribution, settings: CurveSettings) -> dict[str, Any]:
    data, given = distribution.data, distribution.data.provenance
    labels = {"train": data.labels_train, "test": data.labels_test}
    return {
        **provenance(distribution),
        **{f"class_entropy_{split}": discrete_entropy(each) for split, each in labels.items() if each is not None},
        "data_provenance": "; ".join(f"{key}={value}" for key, value in given.items()),
        "settings": repr(settings),
        "seed": settings.seed,
        "label_model": settings.label_model.description,
    }
