"""From a configuration of `ntkinfo bottleneck` to the joint law that it names; and that configuration in full."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ntkinfo.bottleneck import problems
from ntkinfo.bottleneck.gaussian import GaussianBottleneck
from ntkinfo.bottleneck.gaussian_samples import SampledBottleneck, bottleneck_from_samples
from ntkinfo.bottleneck.problems import DiscreteProblem
from ntkinfo.bottleneck_config import BottleneckConfig, PairsSection
from ntkinfo.bottleneck_files import findings, read_joint, read_pairs, read_table
from ntkinfo.config_reading import Finding
from ntkinfo.data.formats import format_of
from ntkinfo.data.input_files import existing_file
from ntkinfo.data.synthetic import GaussianPair

Problem = DiscreteProblem | GaussianBottleneck | SampledBottleneck

# Options of each problem with their defaults; None: needed, or decided by the data.
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "bsc": {"flip": 0.1},
    "erasure": {"loss": 0.3, "inputs": 2},
    "twelve_bit": {"sharpness": 0.1},
    "random": {"inputs": 16, "targets": 4, "seed": 0, "concentration": 1.0},
    "gaussian": {"correlations": [0.9, 0.6, 0.3]},
    "joint": {"path": None},
    "samples": {"path": None, "shrinkage": None, "confidence": 0.95, "seed": 0},
    "covariance": {"path": None},
}
_COVARIANCES = ("covariance_x", "covariance_y", "cross_covariance")


def problem(config: BottleneckConfig) -> Problem:
    """The joint law of X and Y.

    Raises:
        ValueError: what the law refuses, or a file that does not hold what is needed.
        OSError: a file that is not there or cannot be read.
    """
    name = config.problem.name
    options = {**OPTIONS[name], **{key: value for key, value in config.problem.given().items() if key != "name"}}
    builders: Mapping[str, Callable[..., Problem]] = {
        "bsc": problems.binary_symmetric,
        "erasure": problems.erasure,
        "twelve_bit": problems.soft_twelve_bit_rule,
        "random": problems.random_problem,
        "gaussian": _gaussian,
        "joint": partial(joint_from_file, reading=config.data),
        "samples": partial(_samples, reading=config.data),
        "covariance": _covariance,
    }
    return builders[name](**options)


def joint_from_file(path: str, reading: PairsSection | None = None) -> DiscreteProblem:
    """A law from a table or from samples: rows are values of X, columns values of Y, entries probabilities or counts.

    Args:
        path: a text table (CSV and its kin), with or without names of rows and columns; NPZ with the field `joint`, or
            with the fields `x` and `y` of whole numbers, one pair a sample, which are counted; or any file of samples
            that `ntkinfo curves` reads, X whole numbers or text and Y classes, counted too.
        reading: how it is read; a CSV file is one of samples where a target is named.

    Returns:
        The problem; rows that are all 0 are left out.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: none of these, text among the numbers, rows of different lengths, no probabilities.
    """
    place, reading = existing_file(path), reading or PairsSection()
    if zipfile.is_zipfile(place) and not reading.given():
        fields = _read_npz(place)
        if "joint" in fields:
            return DiscreteProblem.from_joint(fields["joint"], place.stem)
        if "x" in fields and "y" in fields:
            return DiscreteProblem.from_joint(_counts(place, *_pair(place, fields)), place.stem)
    if (reading.name or format_of(place) or "csv") == "csv" and not reading.target:
        return DiscreteProblem.from_joint(read_table(place, reading), place.stem)
    return DiscreteProblem.from_joint(read_joint(path, reading), place.stem)


def cross_checks(config: BottleneckConfig) -> list[Finding]:
    """What is wrong between the values of a configuration, each right on its own.

    Returns:
        Section, key and what is wrong.
    """
    problem = config.problem
    return [*_option_findings(config), *findings(problem.path, config.data, problem.name), *_beta_findings(config)]


def resolved(config: BottleneckConfig) -> BottleneckConfig:
    """The configuration with every default written out and file names absolute, so that it reruns alike anywhere."""
    name = config.problem.name
    options = {**OPTIONS[name], **{key: value for key, value in config.problem.given().items() if key != "name"}}
    if options.get("path") is not None:
        options["path"] = str(Path(options["path"]).absolute())
    given = {key: value for key, value in options.items() if value is not None}
    return BottleneckConfig(
        problem=type(config.problem)(name=name, **given),
        data=config.data,
        solver=config.solver,
        output=config.output.model_copy(update={"folder": str(Path(config.output.folder).absolute())}),
    )


def _gaussian(correlations: list[float]) -> GaussianBottleneck:
    size = len(correlations)
    return GaussianBottleneck.of(GaussianPair(tuple(correlations), np.eye(size), np.eye(size)))


def _samples(
    path: str, shrinkage: bool | None, confidence: float, seed: int, reading: PairsSection
) -> SampledBottleneck:
    place = existing_file(path)
    fields = _read_npz(place) if zipfile.is_zipfile(place) and not reading.given() else {}
    if "x" in fields and "y" in fields and fields["x"].ndim < 3:
        x, y = (np.atleast_2d(part.T).T.astype(np.float64) for part in _pair(place, fields))
    else:
        pairs = read_pairs(path, reading, reading.one_hot)
        x, y = pairs.x, pairs.y
    return bottleneck_from_samples(x, y, shrinkage=shrinkage, confidence=confidence, seed=seed)


def _covariance(path: str) -> GaussianBottleneck:
    place = existing_file(path)
    fields = _read_npz(place)
    missing = [name for name in _COVARIANCES if name not in fields]
    if missing:
        raise ValueError(f"{place} lacks the field(s) {', '.join(missing)}; it has {', '.join(fields) or 'none'}")
    return GaussianBottleneck(*(fields[name].astype(np.float64) for name in _COVARIANCES))


def _read_npz(place: Path) -> dict[str, np.ndarray]:
    """Every array of an NPZ file; nothing pickled is read."""
    try:
        with np.load(place, allow_pickle=False) as stored:
            fields = {name: stored[name] for name in stored.files}
    except (ValueError, zipfile.BadZipFile, AttributeError, EOFError) as error:
        raise ValueError(f"{place} is not an NPZ file of plain arrays ({error}); write it with numpy.savez") from error
    for name, array in fields.items():
        if not np.issubdtype(array.dtype, np.number) or np.iscomplexobj(array):
            raise ValueError(
                f"{place}: the field {name} holds {array.dtype}; it must hold real numbers (--data npz reads text)"
            )
    return fields


def _pair(place: Path, fields: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    if "x" not in fields or "y" not in fields:
        raise ValueError(f"{place} has the field(s) {', '.join(fields) or 'none'}; it needs x and y, or joint")
    x, y = fields["x"], fields["y"]
    if x.ndim not in (1, 2) or y.ndim not in (1, 2) or len(x) != len(y):
        raise ValueError(f"{place}: x has shape {x.shape} and y {y.shape}; give one row of each a sample")
    return x, y


def _counts(place: Path, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How often each pair of values occurs."""
    for name, part in (("x", x), ("y", y)):
        if part.ndim != 1 or not np.issubdtype(part.dtype, np.integer):
            raise ValueError(
                f"{place}: {name} has shape {part.shape} of {part.dtype}; pairs that are counted are rows of whole "
                "numbers (for real numbers take --problem samples)"
            )
    (rows, i), (columns, j) = (np.unique(part, return_inverse=True) for part in (x, y))
    table = np.zeros((len(rows), len(columns)))
    np.add.at(table, (i, j), 1)
    return table


def _option_findings(config: BottleneckConfig) -> Iterator[Finding]:
    name, given = config.problem.name, config.problem.given()
    for key in given:
        if key != "name" and key not in OPTIONS[name]:
            owners = ", ".join(other for other, options in OPTIONS.items() if key in options)
            yield "problem", key, f"{key} does not apply to the problem {name!r}; it belongs to {owners}"
    if "path" in OPTIONS[name]:
        if "path" not in given:
            yield "problem", "name", f"the problem {name!r} needs a file; give --path, or path under [problem]"
            return
        try:
            existing_file(given["path"])
        except (OSError, ValueError) as error:
            yield "problem", "path", f"path: {error}"
    for value in given.get("correlations", []):
        if not -1 < value < 1:
            yield "problem", "correlations", f"correlations holds {value:g}; each must lie between -1 and 1"


def _beta_findings(config: BottleneckConfig) -> Iterator[Finding]:
    if any(value <= 0 for value in config.solver.betas or []):
        yield "solver", "betas", f"betas is {config.solver.betas}; each must be greater than 0"
