"""The configuration of a run: what can be set, read from a TOML file and from flags, checked whole before any work."""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ntkinfo.config_places import key_lines, line_of, syntax_error

Format = Literal["png", "pdf", "svg"]


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _set(default: Any, text: str, flag: str | None = None, **limits: Any) -> Any:
    """A field with its one-line meaning and, where it is not the key with hyphens, its flag."""
    return Field(default, description=text, json_schema_extra={"flag": flag} if flag else None, **limits)


class Section(BaseModel):
    """What every section shares: unknown keys, values of another type, NaN and infinities are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    def given(self) -> dict[str, Any]:
        """The keys that have a value."""
        return {key: value for key, value in self.model_dump().items() if value is not None}


class DataSection(Section):
    """Which inputs and targets; what is left out takes the data set's own default (`ntkinfo data` lists them)."""

    name: str = _set("digits", "data set, as `ntkinfo data` lists them", "--data")
    n_train: int | None = _set(None, "training inputs (digits: 256)", ge=2)
    n_test: int | None = _set(None, "test inputs (digits: 256)", ge=1)
    seed: int = _set(0, "fixes the split, the noise and any draw", ge=0)
    targets: str | None = _set(None, "one-hot, parity, pair or regression")
    classes: list[str] | None = _set(None, "classes to keep, in order")
    label_noise: float | None = _set(None, "probability of a replaced label, or deviation of added noise", ge=0)
    noisy_test: bool | None = _set(None, "put the label noise on the test part too")
    standardise: bool | None = _set(None, "shift and scale inputs by the training part's mean and deviation")
    standardise_by: str | None = _set(None, "feature or all")
    standardise_targets: bool | None = _set(None, "standardise regression targets")
    images: bool | None = _set(None, "keep inputs as height x width x channels (always, for convolutions)")
    image_file: str | None = _set(None, "idx: file of the images")
    label_file: str | None = _set(None, "idx: file of their labels")
    test_image_file: str | None = _set(None, "idx: file of the test images")
    test_label_file: str | None = _set(None, "idx: file of the test labels")
    path: str | None = _set(None, "npz, csv, parquet, mat: the file")
    target: Annotated[list[str], BeforeValidator(_as_list)] | None = _set(
        None, "csv, parquet: column(s) of the answers"
    )
    features: list[str] | None = _set(None, "csv, parquet: columns of the inputs")
    delimiter: str | None = _set(None, "csv: character between cells", min_length=1, max_length=1)
    inputs: str | None = _set(None, "mat: variable of the inputs")
    answers: str | None = _set(None, "mat: variable of the answers")
    correlations: list[float] | None = _set(None, "gaussian: canonical correlations")
    dims: list[int] | None = _set(None, "gaussian: dimensions of X and of Y")


class NetworkSection(Section):
    """Which network; what is left out takes the family's own default."""

    name: str = _set("fully_connected", "fully_connected, convolutional or wide_residual", "--network")
    depth: Annotated[list[Annotated[int, Field(ge=0)]], BeforeValidator(_as_list)] | None = _set(
        None, "hidden layers; several depths give one set of curves each", min_length=1
    )
    activation: str | None = _set(None, "erf, gelu, identity, leaky_relu, relu, sine or tanh")
    w_std: float | None = _set(None, "deviation of the weights", gt=0)
    b_std: float | None = _set(None, "deviation of the biases", ge=0)
    filter_size: int | None = _set(None, "side of the filters", ge=1)
    strides: int | None = _set(None, "convolutional: step of the filters", ge=1)
    padding: str | None = _set(None, "convolutional: SAME, VALID or CIRCULAR")
    readout: str | None = _set(None, "flatten, average_pool or global_average_pool")
    block_size: int | None = _set(None, "wide_residual: blocks in each group", ge=1)
    groups: int | None = _set(None, "wide_residual: groups", ge=1)


class TrainingSection(Section):
    """How the network is trained; what is left out takes the procedure's own default."""

    procedure: str = _set(
        "gradient_flow",
        "gradient_flow, gradient_descent, heavy_ball, converged, nngp_posterior or ntk_posterior",
    )
    ridge: float | None = _set(None, "weight decay towards the start", ge=0)
    step_size: float | None = _set(None, "gradient_descent, heavy_ball: step", gt=0)
    momentum: float | None = _set(None, "heavy_ball: momentum, from 0 to below 1", ge=0, lt=1)
    noise_variance: float | None = _set(None, "posteriors: variance of the target noise", ge=0)
    target_noise_variance: float | None = _set(None, "variance of each member's own noise on the targets", ge=0)
    temperature: float | None = _set(None, "of Langevin noise", ge=0)
    tangent: str | None = _set(None, "kernel that trains: ntk (all parameters) or nngp (readout alone)")
    prior: str | None = _set(None, "covariance at the start: nngp (usual) or ntk (randomised priors)")
    loss: str | None = _set(None, "sum or mean over targets: the unit of time")


class TimesSection(Section):
    """When: times evenly spaced on a logarithmic axis, and infinity."""

    start: float = _set(1e-5, "first time", "--time-start", gt=0)
    stop: float = _set(1e3, "last finite time", "--time-stop", gt=0)
    count: int = _set(200, "finite times", "--time-count", ge=2)
    infinity: bool = _set(True, "add infinite time")


class CurvesSection(Section):
    """What is computed."""

    quantities: list[str] | None = _set(None, "quantities (default: all but *_joint, information_parameters_labels)")
    samples: int | None = _set(None, "Monte Carlo samples an input, even (default: about 6144 in all)", ge=4)
    tolerance: float | None = _set(None, "absolute error of quadrature, in nats", gt=0)
    extra_inputs: int | None = _set(None, "test inputs that join the training inputs in function space", ge=0)
    label_noise_variance: float = _set(0.0, "label model: noise on targets from the prior", ge=0)
    interpolation_tolerance: float | None = _set(None, "joint quantities: error allowed between nodes in time", gt=0)
    seed: int = _set(0, "fixes the Monte Carlo samples", "--sampling-seed", ge=0)
    store: str | None = _set(None, "folder that keeps kernels for the next run")
    certify: bool = _set(False, "compute a tenth of the values again by a second route and compare")
    certify_share: float = _set(0.1, "share of the times that --certify draws", gt=0, le=1)


class OutputSection(Section):
    """Where results go and in which unit they are shown."""

    folder: str = _set("ntkinfo-results/curves", "folder of the results", "--out")
    formats: list[Format] = _set(["png"], "of the figure: png, pdf, svg", "--format", min_length=1)
    bits: bool = _set(False, "print and plot in bits; curves.nc stays in nats")


class Config(Section):
    """Every section of a configuration."""

    data: DataSection = DataSection()
    network: NetworkSection = NetworkSection()
    training: TrainingSection = TrainingSection()
    times: TimesSection = TimesSection()
    curves: CurvesSection = CurvesSection()
    output: OutputSection = OutputSection()


@dataclass(frozen=True)
class Flag:
    """A command-line flag: the section and key it sets, the type of its value and its one-line meaning."""

    name: str
    section: str
    key: str
    annotation: Any
    meaning: str
    default: Any


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where (file and line, or flag) and what."""

    place: str
    text: str


class ConfigError(ValueError):
    """Everything that is wrong with a configuration, in the order of the file."""

    def __init__(self, problems: Sequence[Problem]):
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{p.place}: {p.text}" if p.place else p.text for p in self.problems))


# A section, a key in it (or "" for the section itself), and what is wrong.
Finding = tuple[str, str, str]


def _section(name: str) -> type[Section]:
    annotation = Config.model_fields[name].annotation
    assert isinstance(annotation, type)
    assert issubclass(annotation, Section)
    return annotation


def flags() -> dict[str, Flag]:
    """Every flag by its name, read off the sections."""
    found = {}
    for section in Config.model_fields:
        for key, field in _section(section).model_fields.items():
            extra = field.json_schema_extra
            extra = extra if isinstance(extra, dict) else {}
            name = str(extra.get("flag", f"--{key.replace('_', '-')}"))
            found[name] = Flag(name, section, key, field.annotation, field.description or "", field.default)
    return found


def load_config(
    path: str | os.PathLike[str] | None = None,
    given: Mapping[str, Any] | None = None,
    check: Callable[[Config], Iterable[Finding]] = lambda config: (),
) -> Config:
    """Read a configuration and check it as far as can be done without the data.

    Args:
        path: a TOML file with any of the sections; None takes the defaults.
        given: values of flags by flag name ("--w-std"), as text, lists of text or booleans; they override the file.
        check: looks at what is left once every wrong value is taken out, and returns (section, key, what is wrong).

    Returns:
        The configuration. File names in it that are relative are relative to the working directory.

    Raises:
        ConfigError: everything that is wrong, each with its file and line or its flag.
    """
    text = _read(path)
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line, message = syntax_error(error, text)
        raise ConfigError([Problem(_file_line(path, line), message)]) from None
    places = _Places(path, key_lines(text))
    _override(raw, given or {}, places)
    config, wrong = _validate(raw)
    known_wrong = {(section, key) for section, key, _ in wrong}
    wrong += [finding for finding in check(config) if finding[:2] not in known_wrong]
    if wrong:
        raise ConfigError(places.sort(wrong))
    return config


def dump_config(config: Config) -> str:
    """The configuration as TOML; keys without a value are left out."""
    parts = []
    for section in Config.model_fields:
        lines = [f"{key} = {_toml(value)}" for key, value in getattr(config, section).given().items()]
        parts.append("\n".join([f"[{section}]", *lines]))
    return "\n\n".join(parts) + "\n"


class _Places:
    """Says where a key was set: by a flag, or on a line of the file."""

    def __init__(self, path: str | os.PathLike[str] | None, lines: dict[tuple[str, ...], int]):
        self._path, self._lines, self._flags = path, lines, dict[tuple[str, str], str]()

    def by_flag(self, section: str, key: str, flag: str) -> None:
        self._flags[section, key] = flag

    def sort(self, findings: Iterable[Finding]) -> list[Problem]:
        """Problems with their places, in the order of the file, then of the flags."""
        placed = []
        for section, key, text in findings:
            line = line_of(self._lines, (section, key) if key else (section,))
            flag = self._flags.get((section, key))
            if flag:
                placed.append((1, 0, Problem(flag, text)))
            elif line and self._path is not None:
                placed.append((0, line, Problem(_file_line(self._path, line), text)))
            else:
                placed.append((2, 0, Problem(str(self._path or ""), text)))
        return [problem for _, _, problem in sorted(placed, key=lambda item: item[:2])]


def _file_line(path: str | os.PathLike[str] | None, line: int) -> str:
    return f"{path}:{line}"


def _read(path: str | os.PathLike[str] | None) -> str:
    if path is None:
        return ""
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError([Problem(str(path), "there is no such configuration file")]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([Problem(str(path), f"is not UTF-8 text ({error})")]) from None
    except OSError as error:
        raise ConfigError([Problem(str(path), f"cannot be read ({error.strerror})")]) from None


def _override(raw: dict[str, Any], given: Mapping[str, Any], places: _Places) -> None:
    """Put the flags' values over the file's."""
    known = flags()
    for name, value in given.items():
        flag = known[name]
        section = raw.setdefault(flag.section, {})
        if isinstance(section, dict):
            section[flag.key] = _typed(flag.annotation, value)
            places.by_flag(flag.section, flag.key, name)


def _typed(annotation: Any, value: Any) -> Any:
    """A flag's text as the type its field wants; text that is no such thing stays text and fails the check."""
    if isinstance(value, bool):
        return value
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _typed(arguments[0], value)
    if origin in (Union, UnionType):
        return _typed(next(a for a in arguments if a is not NoneType), value)
    if origin is list:
        items = value if isinstance(value, list) else [value]
        return [_typed(arguments[0], part.strip()) for item in items for part in item.split(",")]
    text = value[-1] if isinstance(value, list) else value
    if annotation in (int, float):
        try:
            return annotation(text)
        except ValueError:
            return text
    return text


def _validate(raw: Mapping[str, Any]) -> tuple[Config, list[Finding]]:
    """The configuration without its wrong values, and what was wrong with each."""
    wrong: list[Finding] = []
    parts: dict[str, Any] = {}
    for section, values in raw.items():
        if section not in Config.model_fields:
            wrong.append((section, "", f"unknown section [{section}]{_unknown(section, list(Config.model_fields))}"))
        elif not isinstance(values, dict):
            wrong.append(
                (section, "", f"{section} is {values!r}; it must be a section, [{section}] with keys under it")
            )
        else:
            parts[section], more = _validate_section(section, dict(values))
            wrong += more
    return Config(**parts), wrong


def _validate_section(section: str, values: dict[str, Any]) -> tuple[Section, list[Finding]]:
    model: Any = Config.model_fields[section].annotation
    try:
        return model(**values), []
    except ValidationError as error:
        found: dict[str, str] = {}
        for detail in error.errors(include_url=False):
            key = str(detail["loc"][0])
            found.setdefault(key, _explain(section, key, values.get(key), detail))
        right = {key: value for key, value in values.items() if key not in found}
        return model(**right), [(section, key, text) for key, text in found.items()]


_NEEDS = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text in quotes",
    "bool_type": "true or false",
    "list_type": "a list",
    "greater_than": "greater than {gt:g}",
    "greater_than_equal": "{ge:g} or greater",
    "less_than": "less than {lt:g}",
    "less_than_equal": "{le:g} or less",
    "too_short": "a list of at least {min_length}",
    "string_too_short": "one character",
    "string_too_long": "one character",
    "literal_error": "one of {expected}",
}


def _explain(section: str, key: str, value: Any, detail: Any) -> str:
    """One sentence: what was given and what is needed."""
    if detail["type"] == "extra_forbidden":
        known = list(_section(section).model_fields)
        return f"unknown key {key!r} in [{section}]{_unknown(key, known)}"
    inner = detail["input"]
    need = _NEEDS.get(detail["type"])
    need = need.format(**detail.get("ctx", {})) if need else detail["msg"]
    entry = isinstance(value, list) and inner is not value
    where = f"{key} holds {inner!r}; each entry" if entry else f"{key} is {value!r}; it"
    near = suggestion(str(inner), get_args(Format)) if detail["type"] == "literal_error" else ""
    return f"{where} must be {need}{near}"


def _unknown(name: str, known: Sequence[str]) -> str:
    return suggestion(name, known) or f"; known: {', '.join(known)}"


def suggestion(value: str, names: Iterable[str]) -> str:
    """A did-you-mean clause, or nothing when no name is near."""
    near = difflib.get_close_matches(value, list(names), n=1, cutoff=0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON's escapes are TOML's, but for the delete character, which TOML wants escaped as well.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    return repr(value)
