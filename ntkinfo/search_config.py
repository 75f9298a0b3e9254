"""What can be set in a run of `ntkinfo search`, by section."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ntkinfo.config import MOST_DRAWS, MOST_INPUTS, Format
from ntkinfo.config_reading import Section, setting


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


# Beyond these a search would not begin: refused by name before any work.
_MOST_TRIALS, _MOST_WORKERS = 1_000_000, 10_000

Names = Annotated[list[str], BeforeValidator(_as_list), Field(min_length=1)]
# Values, or [low, high, "log"] or [low, high, "linear"].
Numbers = Annotated[list[float | str], BeforeValidator(_as_list), Field(min_length=1)]
Whole = Annotated[list[int | str], BeforeValidator(_as_list), Field(min_length=1)]


class SpaceSection(Section):
    """What is varied. A list gives values; [low, high, "log"] or [low, high, "linear"] all numbers between two."""

    data: Names = setting(
        ["breast_cancer", "teacher_gp", "wine"],
        "data sets: digits, breast_cancer, wine, diabetes, teacher_gp, or idx, npz, csv, parquet, mat under [files]",
    )
    n: Whole = setting([32, 64], "training inputs", "--n-train")
    noise: Numbers = setting([0.0, 0.2], "probability of a replaced label, or deviation of added noise")
    family: Names = setting(["fully_connected"], "fully_connected, convolutional or wide_residual", "--network")
    depth: Whole = setting([1, 3], "hidden layers")
    activation: Names = setting(["erf", "relu"], "erf, gelu, identity, leaky_relu, relu, sine, tanh")
    w_std: Numbers = setting([1.5], "deviation of the weights")
    b_std: Numbers = setting([0.1], "deviation of the biases")
    ridge: Numbers = setting([0.01, 1.0], "weight decay towards the start; noise variance of the posteriors")
    procedure: Names = setting(
        ["gradient_flow"], "gradient_flow, gradient_descent, heavy_ball, converged, nngp_posterior, ntk_posterior"
    )
    time: Numbers = setting([0.1], "when training stops")
    infinity: bool | None = setting(None, "training to the end as well (default: yes, unless time is a range)")
    seed: Whole = setting([0, 1], "seeds of split and noise; each is a repeat")
    kind: Literal["grid", "random", "sobol"] = setting("grid", "grid, random or sobol")
    count: int | None = setting(None, "random, sobol: how many trials", ge=1, le=_MOST_TRIALS)
    sampling_seed: int = setting(0, "random, sobol: fixes what is drawn", ge=0)


class TrialsSection(Section):
    """What all the trials have in common."""

    n_test: int = setting(512, "test inputs at most", ge=1, le=MOST_INPUTS)
    step_share: float = setting(
        0.5, "gradient_descent, heavy_ball: step, in units of 1/(largest eigenvalue + ridge)", gt=0
    )
    momentum: float = setting(0.9, "heavy_ball: momentum", ge=0, lt=1)
    quantities: Literal["none", "closed", "all"] = setting(
        "closed", "information quantities: none, closed (forms), all (I(Z;X), I(Z;Y) too: most of the time)"
    )
    samples: int = setting(16, "of I(Z;X), I(Z;Y): draws an input, even", ge=4, le=MOST_DRAWS)
    finite_width: int = setting(0, "width of trained networks beside the law; 0 for none", ge=0, le=MOST_DRAWS)
    finite_members: int = setting(16, "how many of them", ge=2, le=MOST_DRAWS)
    finite_steps: int = setting(4096, "most steps of gradient descent that they take", ge=1, le=MOST_DRAWS)


class FilesSection(Section):
    """The data set that is read from files; where an image file is given, idx joins the data sets."""

    image_file: str | None = setting(None, "idx: file of the images", path=True)
    label_file: str | None = setting(None, "idx: file of their labels", path=True)
    test_image_file: str | None = setting(None, "idx: file of the test images", path=True)
    test_label_file: str | None = setting(None, "idx: file of the test labels", path=True)
    path: str | None = setting(None, "npz, csv, parquet, mat: the file", path=True)
    target: list[str] | None = setting(None, "csv, parquet: column(s) of the answers")
    targets: str | None = setting(None, "one-hot, parity, pair or regression")
    classes: list[str] | None = setting(None, "classes to keep, in order")


class SweepSection(Section):
    """Where trials are measured."""

    workers: int | None = setting(
        None, "processes on this machine (default: one a core); 0 measures in this one", ge=0, le=_MOST_WORKERS
    )
    scheduler: str | None = setting(None, "address of a dask scheduler with certificates, as tls://10.0.0.1:8786")
    insecure: bool = setting(
        False, "scheduler, slurm: without certificates; whoever reaches the scheduler then runs code as you"
    )
    slurm_jobs: int | None = setting(None, "jobs of one core to ask SLURM for", ge=1, le=_MOST_WORKERS)
    slurm_memory: str = setting("4GB", "memory of each")
    slurm_walltime: str = setting("01:00:00", "time of each")
    slurm_queue: str | None = setting(None, "partition")
    slurm_account: str | None = setting(None, "account")
    batch_seconds: float | None = setting(None, "how long the trials that go to a worker together take", gt=0)
    retry_failed: bool = setting(False, "measure trials again whose record is an error")


class RankingSection(Section):
    """How measures are ranked."""

    gap: str = setting("error_gap_mean", "what is to be predicted: error or loss, gap (test − train) or test alone")
    held_out: list[str] | None = setting(
        None, "data sets that only confirm (default: the last one of several; none: an empty list)"
    )
    controls: list[str] | None = setting(
        None, "settings held fixed in the partial correlation (default: n, noise)", "--given"
    )
    resamples: int = setting(200, "of the bootstrap", ge=20, le=MOST_DRAWS)
    permutations: int = setting(199, "of the null laws", ge=19, le=MOST_DRAWS)
    pgdl_permutations: int = setting(
        0, "of the PGDL score's null law, the dearest of all; 0 leaves the score out", ge=0, le=MOST_DRAWS
    )
    seed: int = setting(0, "fixes resamples and permutations", "--ranking-seed", ge=0)


class SearchOutputSection(Section):
    """Where results go."""

    folder: str = setting("ntkinfo-results/search", "folder of records and ranking", "--out", path=True)
    formats: list[Format] = setting(["png"], "of the figure: png, pdf, svg", "--format", min_length=1)


class SearchConfig(Section):
    """Every section of a configuration of `ntkinfo search`."""

    space: SpaceSection = SpaceSection()
    trials: TrialsSection = TrialsSection()
    files: FilesSection = FilesSection()
    sweep: SweepSection = SweepSection()
    ranking: RankingSection = RankingSection()
    output: SearchOutputSection = SearchOutputSection()
