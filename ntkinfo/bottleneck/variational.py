"""Variational forms of the information bottleneck for networks, and their course through the information plane."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optax
import xarray as xr
from jaxtyping import Int

from ntkinfo.bottleneck.label_noise import LabelNoise
from ntkinfo.bottleneck.variational_bounds import MEANINGS, BoundSettings, Measurement
from ntkinfo.bottleneck.variational_modules import GaussianNetwork, LinearGaussian, Marginal, VariationalModel, cast
from ntkinfo.bottleneck.variational_objectives import Objective
from ntkinfo.bottleneck.variational_targets import ClassTargets, RealTargets, Targets
from ntkinfo.bottleneck.variational_training import Course, Program, Records, prepared
from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import float64
from ntkinfo.core.progress import Track, bar
from ntkinfo.core.randomness import random_key
from ntkinfo.core.records import Dataset
from ntkinfo.core.versions import versions

_NOT_INFORMATION = ("error", "calibration_error", "squared_error")


@checked
@dataclass(frozen=True)
class VariationalSettings:
    """How a variational form is trained and measured.

    Args:
        steps: of the optimiser.
        records: how many steps are recorded, evenly in log steps with 0 and the last; or the steps themselves, rising.
        batch_size: inputs in a step; None for all of them.
        learning_rate: of Adam.
        optimiser: of optax, in place of Adam.
        draws: of z for each input in training.
        precision: "float64" or "float32" of training; measuring is in float64.
        seed: of batches, draws and the default model.
        checkpoint: file that a killed run goes on from; None keeps nothing.
        bounds: draws and inputs of the measured quantities.

    Raises:
        ValueError, TypeError: numbers out of range.
    """

    steps: int = 2000
    records: int | Sequence[int] = 12
    batch_size: int | None = 128
    learning_rate: float = 1e-3
    optimiser: optax.GradientTransformation | None = None
    draws: int = 1
    precision: str = "float64"
    seed: int = 0
    checkpoint: str | Path | None = None
    bounds: BoundSettings = field(default_factory=BoundSettings)

    def __post_init__(self):
        checks.whole("steps", self.steps)
        checks.whole("draws", self.draws)
        checks.whole("seed", self.seed, least=0)
        checks.positive("learning_rate", self.learning_rate)
        checks.choice("precision", self.precision, ("float64", "float32"))
        if self.batch_size is not None:
            checks.whole("batch_size", self.batch_size)
        checks.whole("bounds.draws", self.bounds.draws, least=2)
        checks.whole("bounds.most_inputs", self.bounds.most_inputs, least=2)
        if isinstance(self.records, int):
            checks.whole("records", self.records, least=2)
        elif not _rising(self.recorded) or self.recorded[-1] > self.steps:
            raise ValueError(f"records is {tuple(self.records)}; recorded steps rise from 0 or more to at most `steps`")

    @property
    def recorded(self) -> Int[np.ndarray, " t"]:
        """The recorded steps."""
        if not isinstance(self.records, int):
            return np.asarray(self.records, dtype=np.int64)
        inner = np.geomspace(1, self.steps, self.records - 1)
        return np.unique(np.concatenate([[0], np.round(inner), [self.steps]]).astype(np.int64))

    @property
    def context(self) -> AbstractContextManager:
        """Where jax trains in the wanted precision."""
        return float64() if self.precision == "float64" else nullcontext()


@dataclass(frozen=True)
class VariationalRun:
    """A trained variational form.

    Args:
        curves: over `step` and `split`: every quantity of `variational_bounds.MEANINGS` that applies with its standard
            error, and over `step` the weights in use.
        model: after the last recorded step, in float64.
        notes: what to know about the numbers.
    """

    curves: xr.Dataset
    model: VariationalModel
    notes: tuple[str, ...] = ()


class Interrupted(KeyboardInterrupt):
    """Raised in place of KeyboardInterrupt.

    Attributes:
        partial: the curves of the steps that were recorded, or None where there are none.
    """

    def __init__(self, partial: xr.Dataset | None):
        super().__init__("interrupted; `partial` holds the steps that were recorded")
        self.partial = partial


@checked
def train_variational(
    objective: Objective,
    train: Targets,
    test: Targets | None = None,
    *,
    model: VariationalModel | None = None,
    settings: VariationalSettings | None = None,
    progress: Track = bar,
) -> VariationalRun:
    """Train an encoder, decoder and reverse decoder by a variational objective, and follow them through the plane.

    Args:
        objective: made by `variational_bottleneck`, `conditional_entropy_bottleneck` or `variational_dual_bottleneck`,
            or an `Objective` of your own.
        train: inputs and targets of training.
        test: those of a second split to measure on, of the same kind.
        model: parts of your own choice (see `variational_modules`); None takes `default_model`.
        settings: steps, batches, records, checkpoint.
        progress: shown over steps.

    Returns:
        Curves over the recorded steps and the trained model.

    Raises:
        ValueError: splits or a model that do not fit each other, a distortion without p(y|x), a marginal rate that has
            no closed form, parameters that became NaN, a checkpoint of another configuration.
        Interrupted: on Ctrl-C, with what was recorded; a checkpoint holds it too.

    Fails when: the model is too weak or training too short; bounds then are still bounds, and loose.
    Source: Alemi et al. 2017; Fischer 2020; Piran, Shwartz-Ziv & Tishby 2020; multi-sample bounds: Poole et al. 2019.
    """
    settings = settings or VariationalSettings()
    model = model or default_model(objective, train, seed=settings.seed)
    splits = {"train": train} if test is None else {"train": train, "test": test}
    _check(objective, splits, model, settings)
    measures = [Measurement(split, train.prior, settings.bounds) for split in splits.values()]
    finished: list[Records] = []

    def observe(current: VariationalModel, step: int) -> Mapping[str, np.ndarray]:
        with float64():
            rows = [measure(current, step) for measure in measures]
            weights = {f"weight_{name}": np.asarray(weight) for name, weight in objective.weights(step).items()}
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]} | weights

    with settings.context:
        optimiser = settings.optimiser or optax.adam(settings.learning_rate)
        start = prepared(model, settings.precision)
        program = Program(objective, train, start, optimiser, settings.batch_size, settings.draws, settings.seed)
        place = None if settings.checkpoint is None else Path(settings.checkpoint)
        mark = "" if place is None else program.fingerprint(_mark(settings, splits))
        try:
            trained = Course(program, settings.recorded, observe, place, mark).run(progress, finished)
        except KeyboardInterrupt:
            raise Interrupted(_dataset(finished, objective, settings, splits) if finished else None) from None
    with float64():
        trained = cast(trained, "float64")
    return VariationalRun(_dataset(finished, objective, settings, splits), trained, _notes(settings, splits))


@checked
def default_model(
    objective: Objective, train: Targets, *, latent: int = 8, width: int = 128, depth: int = 2, seed: int = 0
) -> VariationalModel:
    """Perceptrons of moderate size.

    Args:
        objective: the variational bottleneck (a marginal rate without distortion) gets one r(z) for all classes, the
            other forms one Gaussian a class.
        train: gives the numbers of inputs and targets; real targets get linear Gaussian decoders.
        latent: coordinates k of z.
        width: of the hidden layers of encoder and decoder.
        depth: number of hidden layers of the encoder; the decoder has one for classes and none for real targets.
        seed: of the initial weights.

    Returns:
        A model in float64.
    """
    import equinox as eqx

    inputs = int(np.prod(train.inputs.shape[1:]))
    encoder = GaussianNetwork(inputs, latent, width, depth, seed=seed)
    one_law = objective.rate == "marginal" and objective.distortion is None
    if isinstance(train, RealTargets):
        decoder: Any = LinearGaussian(latent, train.width, seed=seed + 1)
        conditional = LinearGaussian(train.width, latent, seed=seed + 2)
        reverse = conditional if objective.rate == "conditional" else Marginal(latent)
        return VariationalModel(encoder, decoder, reverse)
    with float64():
        decoder = eqx.nn.MLP(latent, train.width, width, 1, key=random_key(seed + 1))
    reverse = Marginal(latent) if one_law else GaussianNetwork(train.width, latent, 1, 0, seed=seed + 2, floor=1e-2)
    return VariationalModel(encoder, decoder, reverse)


@checked
def class_targets(data: Dataset, noise: LabelNoise | None = None) -> tuple[ClassTargets, ClassTargets]:
    """Training and test targets of a data set with classes.

    Args:
        data: with labels.
        noise: law of the label by certain label, which the dual form compares with; see `estimate_label_noise`.

    Returns:
        Targets of the training and of the test inputs.

    Raises:
        ValueError: data without labels.
    """
    if data.labels_train is None or data.labels_test is None:
        raise ValueError(f"the data {data.name!r} have no labels; build RealTargets from their targets")
    classes = len(data.class_names)
    pairs = ((data.x_train, data.labels_train), (data.x_test, data.labels_test))
    train, test = (
        ClassTargets.of_labels(inputs, labels, classes, None if noise is None else noise.soften(labels))
        for inputs, labels in pairs
    )
    return train, test


@checked
def label_noise_robustness(
    objectives: Sequence[Objective],
    data: Callable[[float], tuple[ClassTargets, ClassTargets]],
    levels: Sequence[float],
    *,
    settings: VariationalSettings | None = None,
    progress: Track = bar,
) -> xr.Dataset:
    """Train on labels with more and more noise and measure on a test split.

    Args:
        objectives: what is compared; their names must differ.
        data: from the share of replaced training labels to training and test targets, for instance
            `lambda level: class_targets(ni.data.digits(label_noise=level), noise)`.
        levels: shares of replaced labels, from 0 to 1.
        settings: of every run; without a checkpoint.
        progress: shown over runs.

    Returns:
        The last recorded values over `objective`, `label_noise` and `split`.

    Raises:
        ValueError: names that repeat, levels that are no shares, a checkpoint.
    """
    settings = settings or VariationalSettings()
    names = [objective.name for objective in objectives]
    if len(set(names)) < len(names) or not names:
        raise ValueError(f"objectives are called {names}; give each its own name")
    if settings.checkpoint is not None:
        raise ValueError("checkpoint is one file and there are several runs; leave it out here")
    for level in levels:
        checks.probability("levels", level)
    runs = [(objective, level) for objective in objectives for level in levels]
    last: list[xr.Dataset] = []
    for objective, level in progress(runs, "label noise", len(runs)):
        train, test = data(level)
        run = train_variational(objective, train, test, settings=settings, progress=_silent)
        last.append(run.curves.isel(step=-1).drop_vars([name for name in run.curves if str(name)[:7] == "weight_"]))
    along = xr.DataArray(list(levels), dims="label_noise", name="label_noise")
    starts = range(0, len(last), len(levels))
    rows = [_concatenated(last[start : start + len(levels)], along) for start in starts]
    return _concatenated(rows, xr.DataArray(names, dims="objective", name="objective"))


def _concatenated(sets: list[xr.Dataset], along: xr.DataArray) -> xr.Dataset:
    joined = xr.concat(
        sets, along, data_vars="all", coords="minimal", compat="override", join="exact", combine_attrs="drop_conflicts"
    )
    assert isinstance(joined, xr.Dataset)
    return joined


def _silent(items, label, total=None):
    yield from items


def _check(
    objective: Objective, splits: Mapping[str, Targets], model: VariationalModel, settings: VariationalSettings
) -> None:
    train = splits["train"]
    for name, split in splits.items():
        if type(split) is not type(train) or split.width != train.width:
            raise ValueError(f"the {name} targets are {split.width} of another kind than those of training")
        if split.inputs.shape[1:] != train.inputs.shape[1:]:
            raise ValueError(f"the {name} inputs have shape {split.inputs.shape[1:]}, not {train.inputs.shape[1:]}")
        if objective.distortion is not None and split.noisy is None:
            raise ValueError(f"the {name} targets lack the p(y|x) of the distortion; give `noisy` (or `mean`, `std`)")
    if settings.batch_size is not None and settings.batch_size > len(train.inputs):
        raise ValueError(f"batch_size is {settings.batch_size} and there are {len(train.inputs)} training inputs")
    if isinstance(train, RealTargets) and objective.rate == "marginal" and not model.ignores_target:
        raise ValueError(
            "b(z|y) of real targets has no r(z) in closed form to train with; give Marginal as the reverse"
        )
    _check_parts(train, model)


def _check_parts(train: Targets, model: VariationalModel) -> None:
    """Shapes of what encoder, decoder and reverse decoder return."""
    import jax

    with float64():
        row = jax.ShapeDtypeStruct(train.inputs.shape[1:], np.float64)
        code = jax.eval_shape(cast(model.encoder, "float64"), row)
        target = jax.ShapeDtypeStruct((train.width,), np.float64)
        back = jax.eval_shape(cast(model.reverse, "float64"), target)
        decoded = jax.eval_shape(cast(model.decoder, "float64"), code[0])
    wanted = (train.width,)
    shapes = [part.shape for part in (decoded if isinstance(decoded, tuple) else (decoded,))]
    if any(part.shape != code[0].shape or part.ndim != 1 for part in (*code, *back)):
        raise ValueError(f"the encoder gives {[p.shape for p in code]}, the reverse decoder {[p.shape for p in back]}")
    if shapes != [wanted] * (2 if isinstance(train, RealTargets) else 1):
        raise ValueError(f"the decoder gives {shapes}; it must give rows of {train.width} (with deviations, if real)")


def _mark(settings: VariationalSettings, splits: Mapping[str, Targets]) -> str:
    from ntkinfo.core.records import fingerprint

    digests = [fingerprint(array) for split in splits.values() for array in split.arrays.values()]
    steps = settings.recorded.tolist()
    return f"{settings.precision}{asdict(settings.bounds)}{steps}{digests}"


def _dataset(
    finished: list[Records], objective: Objective, settings: VariationalSettings, splits: Mapping[str, Targets]
) -> xr.Dataset:
    steps = settings.recorded[: len(finished)]
    variables = {}
    for name in finished[0]:
        base = name.removesuffix("_standard_error")
        dims = ("step",) if name.startswith("weight_") else ("step", "split")
        units = "1" if base in _NOT_INFORMATION or name.startswith("weight_") else "nat"
        meaning = MEANINGS.get(base, "weight in the objective at this step")
        attributes = {"units": units, "long_name": meaning if base == name else f"standard error of {base}"}
        variables[name] = (dims, np.stack([row[name] for row in finished]), attributes)
    attributes = {
        "objective": repr(objective),
        "seed": settings.seed,
        "precision": settings.precision,
        "optimiser": "given" if settings.optimiser else f"Adam, learning rate {settings.learning_rate:g}",
        "batch_size": "all" if settings.batch_size is None else settings.batch_size,
        "notes": "; ".join(_notes(settings, splits)),
        **{f"version_{name}": text for name, text in versions().items()},
    }
    return xr.Dataset(variables, {"step": steps, "split": list(splits)}, attributes)


def _notes(settings: VariationalSettings, splits: Mapping[str, Targets]) -> tuple[str, ...]:
    return tuple(
        f"{name}: informations of {settings.bounds.most_inputs} of {len(split.inputs)} inputs, drawn at random"
        for name, split in splits.items()
        if len(split.inputs) > settings.bounds.most_inputs
    )


def _rising(steps: np.ndarray) -> bool:
    return steps.ndim == 1 and steps.size > 0 and steps[0] >= 0 and bool(np.all(np.diff(steps) > 0))
