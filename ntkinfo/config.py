"""What can be set in a run of `ntkinfo curves`, by section, and what every command about a network shares."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ntkinfo.config_reading import Section, setting

Format = Literal["png", "pdf", "svg"]
# Beyond these a run would not end, or not begin: refused by name before any work.
MOST_INPUTS = 1_000_000
MOST_LAYERS = 500
MOST_PIXELS = 1_000
MOST_TIMES = 100_000
MOST_DRAWS = 1_000_000


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def yes_or_no(value: Any) -> Any:
    """TOML's true and false as the words of a flag."""
    return ("yes" if value else "no") if isinstance(value, bool) else value


class DataSection(Section):
    """Which inputs and targets; what is left out takes the data set's own default (`ntkinfo data` lists them)."""

    name: str = setting("digits", "data set, as `ntkinfo data` lists them", "--data")
    n_train: int | None = setting(None, "training inputs (digits: 256)", ge=1, le=MOST_INPUTS)
    n_test: int | None = setting(None, "test inputs (digits: 256)", ge=1, le=MOST_INPUTS)
    seed: int = setting(0, "fixes the split, the noise and any draw", ge=0)
    targets: str | None = setting(None, "one-hot, parity, pair or regression")
    classes: list[str] | None = setting(None, "classes to keep, in order")
    label_noise: float | None = setting(None, "probability of a replaced label, or deviation of added noise", ge=0)
    noisy_test: bool | None = setting(None, "put the label noise on the test part too")
    standardise: bool | None = setting(None, "shift and scale inputs by the training part's mean and deviation")
    standardise_by: str | None = setting(None, "feature, all, or auto: all for images")
    standardise_targets: bool | None = setting(None, "standardise regression targets")
    images: bool | None = setting(None, "keep inputs as height x width x channels (always, for convolutions)")
    channels: str | None = setting(None, "where files keep an image's channels: last, first, or auto (by the shape)")
    repeats_together: bool | None = setting(None, "keep inputs that repeat on one side of the split")
    image_file: str | None = setting(None, "idx: file of the images", path=True)
    label_file: str | None = setting(None, "idx: file of their labels", path=True)
    test_image_file: str | None = setting(None, "idx: file of the test images", path=True)
    test_label_file: str | None = setting(None, "idx: file of the test labels", path=True)
    path: str | None = setting(None, "npz, csv, parquet, mat: the file; cifar, npz, parquet: or a folder", path=True)
    test_path: str | None = setting(None, "csv, npz, parquet, mat: file of the test part", path=True)
    coarse: bool | None = setting(None, "cifar: the 20 coarse classes of CIFAR-100")
    x_field: str | None = setting(None, "npz: field of the inputs (default: one whose name is usual)")
    y_field: str | None = setting(None, "npz: field of the answers")
    x_test_field: str | None = setting(None, "npz: field of the test inputs")
    y_test_field: str | None = setting(None, "npz: field of the test answers")
    x_file: str | None = setting(None, "npy: file of the inputs", path=True)
    y_file: str | None = setting(None, "npy: file of their answers", path=True)
    x_test_file: str | None = setting(None, "npy: file of the test inputs", path=True)
    y_test_file: str | None = setting(None, "npy: file of the test answers", path=True)
    target: Annotated[list[str], BeforeValidator(_as_list)] | None = setting(
        None, "csv, parquet: column(s) of the answers; by number in a CSV without names"
    )
    features: list[str] | None = setting(None, "csv, parquet: columns of the inputs")
    delimiter: str | None = setting(
        None, "csv: between cells: a character, tab or blanks (default: guessed)", min_length=1
    )
    header: Annotated[str, BeforeValidator(yes_or_no)] | None = setting(
        None, "csv: whether the first line names the columns: yes, no or auto"
    )
    decimal: str | None = setting(None, "csv: decimal mark: . or , or auto")
    text_features: str | None = setting(None, "csv: columns of text among the inputs: refuse or one-hot")
    inputs: str | None = setting(None, "mat: variable of the inputs (default: one whose name is usual)")
    answers: str | None = setting(None, "mat: variable of the answers")
    test_inputs: str | None = setting(None, "mat: variable of the test inputs")
    test_answers: str | None = setting(None, "mat: variable of the test answers")
    correlations: list[float] | None = setting(None, "gaussian: canonical correlations")
    dims: list[int] | None = setting(None, "gaussian: dimensions of X and of Y")


class NetworkSection(Section):
    """Which network; what is left out takes the family's own default."""

    name: str = setting("fully_connected", "fully_connected, convolutional or wide_residual", "--network")
    depth: Annotated[list[Annotated[int, Field(ge=0, le=MOST_LAYERS)]], BeforeValidator(_as_list)] | None = setting(
        None, "hidden layers; several depths give one set of curves each", min_length=1
    )
    activation: str | None = setting(None, "erf, gelu, identity, leaky_relu, relu, sine or tanh")
    w_std: float | None = setting(None, "deviation of the weights", gt=0)
    b_std: float | None = setting(None, "deviation of the biases", ge=0)
    filter_size: int | None = setting(None, "side of the filters", ge=1, le=MOST_PIXELS)
    strides: int | None = setting(None, "convolutional: step of the filters", ge=1, le=MOST_PIXELS)
    padding: str | None = setting(None, "convolutional: SAME, VALID or CIRCULAR")
    readout: str | None = setting(None, "flatten, average_pool or global_average_pool")
    block_size: int | None = setting(None, "wide_residual: blocks in each group", ge=1, le=MOST_LAYERS)
    groups: int | None = setting(None, "wide_residual: groups", ge=1, le=MOST_LAYERS)


class TrainingSection(Section):
    """How the network is trained; what is left out takes the procedure's own default."""

    procedure: str = setting(
        "gradient_flow",
        "gradient_flow, gradient_descent, heavy_ball, converged, nngp_posterior or ntk_posterior",
    )
    ridge: float | None = setting(None, "weight decay towards the start", ge=0)
    step_size: float | None = setting(None, "gradient_descent, heavy_ball: step", gt=0)
    momentum: float | None = setting(None, "heavy_ball: momentum, from 0 to below 1", ge=0, lt=1)
    noise_variance: float | None = setting(None, "posteriors: variance of the target noise", ge=0)
    target_noise_variance: float | None = setting(None, "variance of each member's own noise on the targets", ge=0)
    temperature: float | None = setting(None, "of Langevin noise", ge=0)
    tangent: str | None = setting(None, "kernel that trains: ntk (all parameters) or nngp (readout alone)")
    prior: str | None = setting(None, "covariance at the start: nngp (usual) or ntk (randomised priors)")
    loss: str | None = setting(None, "sum or mean over targets: the unit of time")


class TimesSection(Section):
    """When: times evenly spaced on a logarithmic axis, and infinity."""

    start: float = setting(1e-5, "first time", "--time-start", gt=0)
    stop: float = setting(1e3, "last finite time", "--time-stop", gt=0)
    count: int = setting(200, "finite times", "--time-count", ge=2, le=MOST_TIMES)
    infinity: bool = setting(True, "add infinite time")


class CurvesSection(Section):
    """What is computed."""

    quantities: list[str] | None = setting(None, "quantities (default: all but *_joint, information_parameters_labels)")
    samples: int | None = setting(
        None, "Monte Carlo samples an input, even (default: about 5120 in all)", ge=4, le=MOST_DRAWS
    )
    tolerance: float | None = setting(None, "absolute error of quadrature, in nats (default: 1e-9)", gt=0)
    extra_inputs: int | None = setting(
        None, "test inputs that join the training inputs in function space (default: 0)", ge=0, le=MOST_INPUTS
    )
    label_noise_variance: float = setting(0.0, "label model: noise on targets from the prior", ge=0)
    interpolation_tolerance: float | None = setting(
        None, "joint quantities: error allowed between nodes in time (default: 1e-6)", gt=0
    )
    seed: int = setting(0, "fixes the Monte Carlo samples", "--sampling-seed", ge=0)
    store: str | None = setting(None, "folder that keeps kernels for the next run", path=True)
    certify: bool = setting(False, "compute a tenth of the values again by a second route and compare")
    certify_share: float = setting(0.1, "share of the times that --certify draws", gt=0, le=1)


class OutputSection(Section):
    """Where results go and in which unit they are shown."""

    folder: str = setting("ntkinfo-results/curves", "folder of the results", "--out", path=True)
    formats: list[Format] = setting(["png"], "of the figure: png, pdf, svg", "--format", min_length=1)
    bits: bool = setting(False, "print and plot in bits; curves.nc stays in nats")


class ModelConfig(Section):
    """The sections that say which network learns what, and how."""

    data: DataSection = DataSection()
    network: NetworkSection = NetworkSection()
    training: TrainingSection = TrainingSection()


class Config(ModelConfig):
    """Every section of a configuration of `ntkinfo curves`."""

    times: TimesSection = TimesSection()
    curves: CurvesSection = CurvesSection()
    output: OutputSection = OutputSection()
