"""What can be set in a run of `ntkinfo bottleneck`, by section."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from ntkinfo.config import Format
from ntkinfo.config_reading import Section, setting


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


# Beyond these a run would not end: refused by name before any work.
_MOST_VALUES, _MOST_POINTS = 10_000, 100_000
Numbers = Annotated[list[float], BeforeValidator(_as_list)]


class ProblemSection(Section):
    """Which joint law of X and Y; options that belong to another problem are errors."""

    name: Literal["bsc", "erasure", "twelve_bit", "random", "gaussian", "joint", "samples", "covariance"] = setting(
        "bsc", "bsc, erasure, twelve_bit, random, gaussian; from a file: joint, samples, covariance", "--problem"
    )
    path: str | None = setting(
        None, "joint: CSV table or NPZ `joint`; samples: NPZ `x`, `y`; covariance: NPZ", path=True
    )
    flip: float | None = setting(None, "bsc: probability that Y differs from X (0.1)", gt=0, lt=1)
    loss: float | None = setting(None, "erasure: probability of an erasure (0.3)", gt=0, lt=1)
    sharpness: float | None = setting(None, "twelve_bit: of the soft labels (0.1)", gt=0)
    inputs: int | None = setting(None, "erasure, random: values of X (2; 16)", ge=2, le=_MOST_VALUES)
    targets: int | None = setting(None, "random: values of Y (4)", ge=2, le=_MOST_VALUES)
    concentration: float | None = setting(None, "random: of the Dirichlet law of p(y|x) (1)", gt=0)
    seed: int | None = setting(None, "random: fixes the draw (0)", ge=0)
    correlations: Numbers | None = setting(None, "gaussian: canonical correlations (0.9, 0.6, 0.3)", min_length=1)
    shrinkage: bool | None = setting(None, "samples: shrink the covariances (below ten samples a column)")
    confidence: float | None = setting(None, "samples: of the intervals (0.95)", gt=0, lt=1)


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
    solver: SolverSection = SolverSection()
    output: BottleneckOutputSection = BottleneckOutputSection()
