"""From a configuration to the data, networks, procedure and times it names; and that configuration in full."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ntkinfo.config import Config, ModelConfig
from ntkinfo.config_reading import Finding, Section
from ntkinfo.core import checks
from ntkinfo.core.records import Dataset
from ntkinfo.data import registry
from ntkinfo.data.csv_table import column_names
from ntkinfo.data.formats import format_of
from ntkinfo.data.input_files import existing_file
from ntkinfo.information.curves import QUANTITIES, CurveSettings
from ntkinfo.information.label_model import LabelModel
from ntkinfo.information.quantities import current_name
from ntkinfo.kernels.architectures import Convolutional, FullyConnected, Network, WideResidual
from ntkinfo.training.discrete import GradientDescent, HeavyBall
from ntkinfo.training.procedures import Converged, GradientFlow, Procedure, nngp_posterior, ntk_posterior
from ntkinfo.training.times import log_times

NETWORKS: Mapping[str, Callable[..., Network]] = {
    "fully_connected": FullyConnected,
    "convolutional": Convolutional,
    "wide_residual": WideResidual,
}
PROCEDURES: Mapping[str, Callable[..., Procedure]] = {
    "gradient_flow": GradientFlow,
    "gradient_descent": GradientDescent,
    "heavy_ball": HeavyBall,
    "converged": Converged,
    "nngp_posterior": nngp_posterior,
    "ntk_posterior": ntk_posterior,
}
# The default run is small enough for a minute on two cores; every other data set has its own default sizes.
Sizes = Mapping[str, Mapping[str, int]]
DEFAULT_SIZES: Sizes = {"digits": {"n_train": 256, "n_test": 256}}


def networks(config: ModelConfig) -> dict[int | None, Network]:
    """One network a depth, by its depth; a family without a depth has one network under None.

    Raises:
        ValueError: an unknown family or a field it does not take.
    """
    name = _spelling(config.network.name, NETWORKS)
    options = {key: value for key, value in config.network.given().items() if key not in ("name", "depth")}
    if "depth" not in _parameters(NETWORKS[name]):
        return {None: NETWORKS[name](**options)}
    depths = config.network.depth or [_parameters(NETWORKS[name])["depth"].default]
    return {depth: NETWORKS[name](depth=depth, **options) for depth in depths}


def procedure(config: ModelConfig) -> Procedure:
    """The training procedure.

    Raises:
        ValueError: an unknown name or a value that the procedure does not take.
    """
    options = {key: value for key, value in config.training.given().items() if key != "procedure"}
    return PROCEDURES[_spelling(config.training.procedure, PROCEDURES)](**options)


def times(config: Config) -> np.ndarray:
    """The grid of times."""
    return log_times(config.times.start, config.times.stop, config.times.count, infinity=config.times.infinity)


def settings(config: Config) -> CurveSettings:
    """Seed, sample size and tolerances of what is not a closed form, label model, and the kernels' store.

    Raises:
        ValueError: an odd number of samples.
    """
    own = ("quantities", "certify", "certify_share", "label_noise_variance")
    given = {key: value for key, value in config.curves.given().items() if key not in own}
    renamed = {"samples": "samples_per_input"}
    share = config.curves.certify_share if config.curves.certify else 0.0
    return CurveSettings(
        **{renamed.get(key, key): value for key, value in given.items()},
        label_model=LabelModel(config.curves.label_noise_variance),
        certify=share,
    )


def quantities(config: Config) -> list[str] | None:
    """The quantities that were asked for; None for all that the data allow."""
    named = config.curves.quantities
    return None if named is None else [_spelling(name, QUANTITIES) for name in named]


def load_data(config: ModelConfig, sizes: Sizes = DEFAULT_SIZES) -> Dataset:
    """The data set, as images where the network needs them.

    Args:
        config: what was asked for.
        sizes: by data set, the options that its own defaults leave to the command.

    Raises:
        ValueError: what the loader refuses.
        OSError: a file that is not there or cannot be read.
    """
    name = _spelling(config.data.name, registry.ENTRIES)
    return registry.load(name, **_data_options(config, name, sizes))


def resolved(config: Config, data: Dataset, computed: list[str]) -> Config:
    """The configuration with every default written out and file names absolute, so that it reruns alike anywhere.

    Args:
        config: what was asked for.
        data: the data that it led to.
        computed: the quantities that were computed.
    """
    return Config(
        **resolved_model(config, data),
        times=config.times,
        curves=_section(
            config.curves,
            {
                **asdict(settings(config)),
                **config.curves.given(),
                "quantities": computed,
                "store": config.curves.store and str(Path(config.curves.store).absolute()),
                "certify": config.curves.certify,
            },
        ),
        output=config.output.model_copy(update={"folder": str(Path(config.output.folder).absolute())}),
    )


def resolved_model(config: ModelConfig, data: Dataset) -> dict[str, Any]:
    """The sections data, network and training with every default written out and file names absolute.

    Args:
        config: what was asked for.
        data: the data that it led to.
    """
    name = _spelling(config.data.name, registry.ENTRIES)
    defaults = {o.name: o.default for o in registry.ENTRIES[name].options.values()}
    options = {**defaults, **_data_options(config, name), "n_train": len(data.x_train), "n_test": len(data.x_test)}
    options |= {key: str(Path(options[key]).absolute()) for key in registry.PATHS if options.get(key) is not None}
    built = networks(config)
    first = next(iter(built.values()))
    network = {key: getattr(first, key) for key in _parameters(type(first))}
    network |= {
        "name": _spelling(config.network.name, NETWORKS),
        "depth": [d for d in built if d is not None] or None,
    }
    training = {key: p.default for key, p in _parameters(PROCEDURES[_procedure_name(config)]).items()}
    training |= config.training.given() | {"procedure": _procedure_name(config)}
    return {
        "data": _section(config.data, {**options, "name": name}),
        "network": _section(config.network, network),
        "training": _section(config.training, training),
    }


def model_checks(config: ModelConfig) -> list[Finding]:
    """What is wrong between the values that say which network learns what.

    Returns:
        Section, key and what is wrong.
    """
    return [
        *_data_findings(config),
        *_family_findings(config.network, "network", "name", NETWORKS, lambda: networks(config)),
        *_depth_findings(config),
        *_family_findings(config.training, "training", "procedure", PROCEDURES, lambda: procedure(config)),
    ]


def cross_checks(config: Config) -> list[Finding]:
    """What is wrong between the values of a configuration, each right on its own.

    Returns:
        Section, key and what is wrong.
    """
    return [*model_checks(config), *_time_findings(config), *_curve_findings(config)]


def _data_findings(config: ModelConfig) -> Iterator[Finding]:
    unknown = _unknown("data", config.data.name, registry.ENTRIES)
    if unknown:
        yield "data", "name", unknown + _as_a_file(config.data.name)
        return
    name = _spelling(config.data.name, registry.ENTRIES)
    known, given = registry.ENTRIES[name].options, config.data.given()
    for key in given:
        if key != "name" and key not in known:
            owners = [other for other, options in registry.describe().items() if key in options]
            advice = _as_a_file(given[key]) if key == "path" else ""
            yield "data", key, f"{key} does not apply to the data {name!r}; it belongs to {', '.join(owners)}{advice}"
    for option in known.values():
        if option.required and option.name not in given:
            columns = _columns(given) if name == "csv" and option.name == "target" else ""
            needs = f"the data {name!r} needs {option.name} ({option.meaning})"
            yield "data", "name", f"{needs}{_how('data', option.name)}{columns}"
    for key in registry.PATHS:
        if given.get(key) is not None and key in known:
            try:
                existing_file(given[key], registry.ENTRIES[name].folders)
            except (OSError, ValueError) as error:
                yield "data", key, f"{key}: {error}"


def _as_a_file(path: str) -> str:
    """How a file of this name is given, where the name says what it holds."""
    return f"; for the file give --data {format_of(path)} --path {path}" if format_of(path) else ""


def _columns(given: Mapping[str, Any]) -> str:
    """The columns of a text table, as far as it can be read."""
    try:
        return f"; {given['path']} has the columns {', '.join(map(repr, column_names(given['path'])))}"
    except (KeyError, OSError, ValueError):  # a file that is missing or damaged is a finding of its own
        return ""


def _family_findings(
    section: Section, title: str, selector: str, known: Mapping[str, Callable], build: Callable[[], object]
) -> Iterator[Finding]:
    """Unknown names, fields of another family, missing fields, and what the object itself refuses."""
    chosen = getattr(section, selector)
    unknown = _unknown(title if selector == "name" else selector, chosen, known)
    if unknown:
        yield title, selector, unknown
        return
    name, given = _spelling(chosen, known), section.given()
    taken = _parameters(known[name])
    strange = [key for key in given if key != selector and key not in taken]
    for key in strange:
        owners = [other for other in known if key in _parameters(known[other])]
        yield title, key, f"{key} does not apply to {name}; it belongs to {', '.join(owners)}"
    missing = [key for key, p in taken.items() if p.default is p.empty and key not in given]
    for key in missing:
        yield title, key, f"{name} needs {key}{_how(title, key)}"
    if not strange and not missing:
        try:
            build()
        except (ValueError, TypeError) as error:
            yield title, _subject(error, given, selector), str(error)


def _depth_findings(config: ModelConfig) -> Iterator[Finding]:
    depths = config.network.depth or []
    if len(set(depths)) < len(depths):
        yield "network", "depth", f"depth is {depths}; each depth can be given once"


def _time_findings(config: Config) -> Iterator[Finding]:
    try:
        grid = times(config)
    except (ValueError, TypeError) as error:
        yield "times", _subject(error, config.times.given(), "stop"), str(error)
        return
    try:
        Procedure.check(procedure(config), 0.0, grid, 1)
    except (ValueError, TypeError, KeyError) as error:
        # A procedure that cannot be built has been reported already; only the clash with the times is new.
        if str(error).startswith("temperature is above 0 with ridge 0"):
            yield "training", "temperature", str(error)


def _curve_findings(config: Config) -> Iterator[Finding]:
    try:
        settings(config)
    except (ValueError, TypeError) as error:
        yield "curves", "samples", str(error)
    for name in config.curves.quantities or []:
        unknown = _unknown("quantities", current_name(name), QUANTITIES)
        if unknown:
            yield "curves", "quantities", unknown


def _data_options(config: ModelConfig, name: str, sizes: Sizes = DEFAULT_SIZES) -> dict[str, Any]:
    options = {**sizes.get(name, {}), **{k: v for k, v in config.data.given().items() if k != "name"}}
    known = registry.ENTRIES[name].options
    if "images" in known and _spelling(config.network.name, NETWORKS) != "fully_connected":
        options.setdefault("images", True)
    if options.get("targets"):
        options["targets"] = options["targets"].replace("_", "-")
    return options


def _procedure_name(config: ModelConfig) -> str:
    return _spelling(config.training.procedure, PROCEDURES)


def _spelling(name: str, known: Mapping[str, Any]) -> str:
    """The name as it is listed: hyphens count as underscores."""
    return name.replace("-", "_") if name.replace("-", "_") in known else name


def _unknown(what: str, name: str, known: Mapping[str, Any]) -> str:
    """What is wrong with a name, or nothing."""
    try:
        checks.choice(what, _spelling(name, known), known)
    except ValueError as error:
        return str(error)
    return ""


def _parameters(builder: Callable) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(builder).parameters)


def _subject(error: Exception, keys: Mapping[str, Any], otherwise: str) -> str:
    """The key that a message starts with."""
    first = str(error).split(" ")[0]
    return first if first in keys else otherwise


def _how(section: str, key: str) -> str:
    return f"; give --{key.replace('_', '-')}, or {key} under [{section}]"


def _section(section: Section, values: Mapping[str, Any]) -> Any:
    """A section of the same kind with these values, where they are not None and the section has such a key."""
    kept = {k: list(v) if isinstance(v, tuple) else v for k, v in values.items() if k in type(section).model_fields}
    return type(section)(**{k: v for k, v in kept.items() if v is not None})
