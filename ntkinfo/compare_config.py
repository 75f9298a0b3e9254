"""What can be set in a run of `ntkinfo compare`, by section."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ntkinfo.config import (
    MOST_INPUTS,
    MOST_LAYERS,
    MOST_TIMES,
    DataSection,
    Format,
    ModelConfig,
    NetworkSection,
    TrainingSection,
)
from ntkinfo.config_reading import Section, setting


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


_MOST = 1_000_000  # steps, members, units of a layer
Several = Annotated[list[Annotated[int, Field(ge=1, le=_MOST)]], BeforeValidator(_as_list)]


class ComparedDataSection(DataSection):
    """Which inputs and targets."""

    n_train: int | None = setting(None, "training inputs (digits: 64)", ge=1, le=MOST_INPUTS)
    n_test: int | None = setting(None, "test inputs (digits: 32)", ge=1, le=MOST_INPUTS)


class ComparedNetworkSection(NetworkSection):
    """Which network."""

    depth: Annotated[list[Annotated[int, Field(ge=0, le=MOST_LAYERS)]], BeforeValidator(_as_list)] | None = setting(
        None, "hidden layers", min_length=1
    )


class SteppedTrainingSection(TrainingSection):
    """How members are trained: in steps, which the law follows exactly."""

    procedure: str = setting("gradient_descent", "gradient_descent or heavy_ball")
    step_size: float | None = setting(
        None, "step (default: 1/(4 × largest eigenvalue of the kernel), less below width 32)", gt=0
    )


class EnsembleSection(Section):
    """Which networks of finite width are trained, and what is recorded of them."""

    widths: Several = setting([32, 64, 128, 256, 512], "of the hidden layers; one ensemble each", min_length=1)
    members: Several = setting([384, 256, 192, 96, 48], "members of each ensemble: one number, or one for each width")
    steps: int = setting(64, "steps of training", ge=1, le=_MOST)
    records: int = setting(5, "recorded times, evenly spread on a log axis, besides the start", ge=1, le=MOST_TIMES)
    precision: Literal["float32", "float64"] = setting("float32", "float32 or float64, of the training")
    twins: bool = setting(True, "train the members' linearised twins as well")
    kernel_inputs: int = setting(
        8, "training inputs on which members' tangent kernels are followed; 0 for none", ge=0, le=MOST_INPUTS
    )
    seed: int = setting(0, "fixes the members", "--ensemble-seed", ge=0)
    checkpoint: str | None = setting(
        None, "folder from which a run that was killed goes on (default: beside results)", path=True
    )


class ComparisonSection(Section):
    """How members are compared with the law."""

    level: float = setting(0.05, "chance of a false alarm in each family of values", gt=0, lt=1)
    replicates: int = setting(199, "ensembles drawn from the law, for what chance does", ge=19, le=_MOST)
    joint_inputs: int = setting(6, "test inputs that are taken together", ge=1, le=MOST_INPUTS)
    information: bool = setting(True, "informations from the members' samples")
    parameter_members: int = setting(
        0, "members for the parameters' relative entropy at finite width; 0 for none", ge=0, le=_MOST
    )
    seed: int = setting(0, "fixes the ensembles drawn from the law", "--comparison-seed", ge=0)


class ComparisonOutputSection(Section):
    """Where results go."""

    folder: str = setting("ntkinfo-results/compare", "folder of the results", "--out", path=True)
    formats: list[Format] = setting(["png"], "of the figure: png, pdf, svg", "--format", min_length=1)


class CompareConfig(ModelConfig):
    """Every section of a configuration of `ntkinfo compare`."""

    data: DataSection = ComparedDataSection()
    network: NetworkSection = ComparedNetworkSection()
    training: TrainingSection = SteppedTrainingSection()
    ensemble: EnsembleSection = EnsembleSection()
    comparison: ComparisonSection = ComparisonSection()
    output: ComparisonOutputSection = ComparisonOutputSection()
