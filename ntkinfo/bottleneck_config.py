"""What can be set in a run of `ntkinfo bottleneck`, by section."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from ntkinfo.config import Format, yes_or_no
from ntkinfo.config_reading import Section, setting


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


# Beyond these a run would not end: refused by name before any work.
_MOST_VALUES, _MOST_POINTS = 10_000, 100_000
Numbers = Annotated[list[float], BeforeValidator(_as_list)]
Names = Annotated[list[str], BeforeValidator(_as_list)]


class ProblemSection(Section):
    """Which joint law of X and Y; options that belong to another problem are errors."""

    name: Literal["bsc", "erasure", "twelve_bit", "random", "gaussian", "joint", "samples", "covariance"] = setting(
        "bsc", "bsc, erasure, twelve_bit, random, gaussian; from a file: joint, samples, covariance", "--problem"
    )
    path: str | None = setting(
        None, "joint: table or samples; samples: NPZ `x`, `y`, CSV, …; covariance: NPZ", path=True
    )
    flip: float | None = setting(None, "bsc: probability that Y differs from X (default: 0.1)", gt=0, lt=1)
    loss: float | None = setting(None, "erasure: probability of an erasure (default: 0.3)", gt=0, lt=1)
    sharpness: float | None = setting(None, "twelve_bit: of the soft labels (default: 0.1)", gt=0)
    inputs: int | None = setting(None, "erasure, random: values of X (default: 2; 16)", ge=2, le=_MOST_VALUES)
    targets: int | None = setting(None, "random: values of Y (default: 4)", ge=2, le=_MOST_VALUES)
    concentration: float | None = setting(None, "random: of the Dirichlet law of p(y|x) (default: 1)", gt=0)
    seed: int | None = setting(None, "random: fixes the draw (default: 0)", ge=0)
    correlations: Numbers | None = setting(
        None, "gaussian: canonical correlations (default: 0.9, 0.6, 0.3)", min_length=1
    )
    shrinkage: bool | None = setting(None, "samples: shrink the covariances (default: below ten samples a column)")
    confidence: float | None = setting(None, "samples: of the intervals (default: 0.95)", gt=0, lt=1)


class PairsSection(Section):
    """How the file of joint or samples is read: a table, or samples of X and Y; as `ntkinfo curves` reads it."""

    name: str | None = setting(None, "csv, npz, parquet, … as in curves (default: by the file's name)", "--data")
    target: Names | None = setting(None, "csv, parquet, arff: column(s) of Y; by number in a CSV without names")
    features: Names | None = setting(None, "csv, parquet, arff: columns of X (default: all others)")
    delimiter: str | None = setting(None, "csv: between cells: a character, tab or blanks (default: guessed)")
    header: Annotated[str, BeforeValidator(yes_or_no)] | None = setting(
        None, "csv: whether the first line names the columns: yes, no or auto"
    )
    decimal: str | None = setting(None, "csv: decimal mark: . or , or auto")
    text_features: str | None = setting(None, "csv, arff: columns of text in X: refuse or one-hot (one-hot)")
    x_field: str | None = setting(None, "npz: field of X")
    y_field: str | None = setting(None, "npz: field of Y")
    inputs: str | None = setting(None, "mat: variable of X", "--x-variable")
    answers: str | None = setting(None, "mat: variable of Y", "--y-variable")
    classes: Names | None = setting(None, "classes of Y to keep, in order")
    one_hot: bool | None = setting(None, "samples: Y is a class, one-hot (as text always is)")


class SolverSection(Section):
    """How closely the curve is resolved."""

    accuracy: float = setting(1e-3, "largest distance between the achieved and the certified bound, in nats", gt=0)
    betas: Numbers | None = setting(None, "trade-offs to solve in any case", min_length=1)
    points: int = setting(400, "most solutions", ge=1, le=_MOST_POINTS)
    dual: bool = setting(True, "solve the dual bottleneck as well")
    dual_points: int = setting(16, "solutions of the dual, from its critical beta on", ge=1, le=_MOST_POINTS)


class BottleneckOutputSection(Section):
    """Where results go and in which unit they are shown."""

    folder: str = setting("ntkinfo-results/bottleneck", "folder of the results", "--out", path=True)
    bits: bool = setting(False, "print and plot in bits; bottleneck.nc stays in nats")
    formats: list[Format] = setting(["png"], "of the figure: png, pdf, svg", "--format", min_length=1)


class BottleneckConfig(Section):
    """Every section of a configuration of `ntkinfo bottleneck`."""

    problem: ProblemSection = ProblemSection()
    data: PairsSection = PairsSection()
    solver: SolverSection = SolverSection()
    output: BottleneckOutputSection = BottleneckOutputSection()
