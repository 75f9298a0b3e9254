"""From a configuration of `ntkinfo compare` to the law, the ensembles and the settings it names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ntkinfo import assembly
from ntkinfo.compare_config import CompareConfig
from ntkinfo.config_reading import Finding
from ntkinfo.core.arrays import to_numpy
from ntkinfo.core.records import Dataset
from ntkinfo.finite.comparison import ComparisonSettings, least_replicates
from ntkinfo.kernels.blocks import kernel_blocks
from ntkinfo.kernels.network import Network
from ntkinfo.kernels.records import KernelBlocks
from ntkinfo.training.output_distribution import OutputDistribution, output_distribution
from ntkinfo.training.procedures import Procedure

# Small enough for three minutes on two cores with the default ensembles.
SIZES: assembly.Sizes = {"digits": {"n_train": 64, "n_test": 32}}
STEPPED = ("gradient_descent", "heavy_ball")
# Of what rounding leaves in an output after training, relative to its size.
_ROUNDING = {"float32": 1e-5, "float64": 1e-12}
# Narrow networks' kernels have larger eigenvalues than their limit. Of 96 erf networks of three hidden layers on 24
# digits the largest had 3.2 times that of the limit at width 64, 6 times at 32, 15 times at 16; 8 times is stable at a
# quarter, and more as the share falls with the width.
_STABLE_SHARE, _NARROW = 0.25, 32


@dataclass(frozen=True)
class Plan:
    """What is trained and compared.

    Args:
        network: one description for all widths.
        data: inputs and targets.
        procedure: with its step size.
        law: of infinite width, at the recorded times.
        ensembles: number of members by width, ascending.
    """

    network: Network
    data: Dataset
    procedure: Procedure
    law: OutputDistribution
    ensembles: Mapping[int, int]


def plan(config: CompareConfig) -> Plan:
    """Load the data, compute the kernels and the law, and fix the step size.

    Raises:
        ValueError: what data, network or procedure refuse.
        OSError: a file that is not there or cannot be read.
    """
    data = assembly.load_data(config, SIZES)
    (network,) = assembly.networks(config).values()
    blocks = kernel_blocks(network, data)
    procedure = _with_step(config, blocks, data)
    assert procedure.step is not None
    times = procedure.step * recorded_steps(config).astype(np.float64)
    law = output_distribution(blocks, data, procedure, times)
    return Plan(network, data, procedure, law, ensembles(config))


def ensembles(config: CompareConfig) -> dict[int, int]:
    """Number of members by width, ascending."""
    widths, members = config.ensemble.widths, config.ensemble.members
    counts = members * len(widths) if len(members) == 1 else members
    return dict(sorted(zip(widths, counts, strict=True)))


def recorded_steps(config: CompareConfig) -> np.ndarray:
    """Steps at which members are recorded: the start, then evenly spread on a log axis to the last."""
    spread = np.geomspace(1, config.ensemble.steps, config.ensemble.records) if config.ensemble.records > 1 else []
    return np.unique(np.concatenate([[0], np.round(spread), [config.ensemble.steps]]).astype(int))


def comparison_settings(config: CompareConfig, law: OutputDistribution) -> ComparisonSettings:
    """Level, replicates and rounding.

    Raises:
        ValueError: too few replicates for the level.
    """
    size = float(np.sqrt(np.mean(to_numpy(law.mean) ** 2) + np.mean(to_numpy(law.variance))))
    given = config.comparison
    return ComparisonSettings(
        level=given.level,
        replicates=given.replicates,
        joint_inputs=given.joint_inputs,
        seed=given.seed,
        rounding=size * _ROUNDING[config.ensemble.precision],
    )


def ensemble_seed(config: CompareConfig, width: int) -> int:
    """Another seed for each width, so that no two ensembles share random numbers."""
    return int(np.random.SeedSequence([config.ensemble.seed, width]).generate_state(1)[0])


def resolved(config: CompareConfig, made: Plan) -> CompareConfig:
    """The configuration with every default written out and file names absolute, so that it reruns alike anywhere."""
    training = config.training.model_copy(update={"step_size": float(made.procedure.step or 0.0)})
    whole = config.model_copy(update={"training": training})
    sections = assembly.resolved_model(whole, made.data)
    checkpoint = config.ensemble.checkpoint
    ensemble: dict[str, Any] = {"widths": list(made.ensembles), "members": list(made.ensembles.values())}
    if checkpoint is not None:
        ensemble["checkpoint"] = str(Path(checkpoint).absolute())
    return CompareConfig(
        **sections,
        ensemble=config.ensemble.model_copy(update=ensemble),
        comparison=config.comparison,
        output=config.output.model_copy(update={"folder": str(Path(config.output.folder).absolute())}),
    )


def cross_checks(config: CompareConfig) -> list[Finding]:
    """What is wrong between the values of a configuration, each right on its own.

    Returns:
        Section, key and what is wrong.
    """
    # A step size that is left out is found later, from the kernel.
    training = config.training
    stepped = training.procedure.replace("-", "_") in STEPPED
    step = training.model_copy(update={"step_size": 1.0}) if stepped and training.step_size is None else training
    checked = assembly.model_checks(config.model_copy(update={"training": step}))
    return [*checked, *_training_findings(config), *_ensemble_findings(config)]


def _training_findings(config: CompareConfig) -> Iterator[Finding]:
    name = config.training.procedure.replace("-", "_")
    if name in assembly.PROCEDURES and name not in STEPPED:
        text = f"procedure is {name}, which takes no steps; members are trained by {' or '.join(STEPPED)}"
        yield "training", "procedure", text
    if len(config.network.depth or []) > 1:
        yield "network", "depth", f"depth is {config.network.depth}; a comparison is of one network: give one depth"


def _ensemble_findings(config: CompareConfig) -> Iterator[Finding]:
    widths, members = config.ensemble.widths, config.ensemble.members
    if len(set(widths)) < len(widths):
        yield "ensemble", "widths", f"widths is {widths}; each width can be given once"
    if len(members) not in (1, len(widths)):
        default = "" if "members" in config.ensemble.model_fields_set else " by default"
        held = f"members{default} holds {len(members)} numbers and widths {len(widths)}"
        text = f"{held}; give members: one number, or one for each width"
        yield "ensemble", "members", text
    if members and min(members) < 24:
        yield "ensemble", "members", f"members holds {min(members)}; a comparison takes at least 24 of each width"
    if config.comparison.parameter_members == 1:
        text = "parameter_members is 1; an average with a standard error takes at least 2, or 0 for none"
        yield "comparison", "parameter_members", text
    least = least_replicates(config.comparison.level)
    if config.comparison.replicates < least:
        text = f"replicates is {config.comparison.replicates}, too few for the level {config.comparison.level:g}; "
        yield "comparison", "replicates", f"{text}take at least {least}, or a higher level"


def _with_step(config: CompareConfig, blocks: KernelBlocks, data: Dataset) -> Procedure:
    """The procedure with the step size that was given, or a share of 1/(largest eigenvalue + ridge)."""
    if config.training.step_size is not None:
        return assembly.procedure(config)
    base = config.model_copy(update={"training": config.training.model_copy(update={"step_size": 1.0})})
    one = assembly.procedure(base)
    largest = float(np.linalg.eigvalsh(to_numpy(getattr(blocks.train, one.tangent)))[-1])
    share = _STABLE_SHARE * min(1.0, min(config.ensemble.widths) / _NARROW)
    step = share / (largest + one.ridge) / one.time_unit(data.y_train.size)
    # Three digits, so that the step that the results state is the step that was taken.
    exact = config.training.model_copy(update={"step_size": float(f"{step:.3g}")})
    return assembly.procedure(config.model_copy(update={"training": exact}))
