"""Where the numbers of a result come from, for the attributes of data sets."""

from __future__ import annotations

from typing import Any

from ntkinfo.core.units import unit_attributes
from ntkinfo.core.versions import versions
from ntkinfo.training.output_distribution import OutputDistribution

TIME_UNITS = {
    "sum": unit_attributes("gradient flow on the loss summed over inputs and outputs"),
    "mean": unit_attributes("gradient flow on the loss averaged over inputs and outputs"),
}
"""Attributes of the training time, by loss."""


def provenance(distribution: OutputDistribution) -> dict[str, Any]:
    """Return what the law was made of: data, procedure, kernels and what was repaired in them, versions."""
    data = distribution.data
    return {
        "data": data.name,
        "data_fingerprint": data.fingerprint,
        "n_train": len(data.x_train),
        "n_test": len(data.x_test),
        "n_outputs": data.n_outputs,
        "procedure": repr(distribution.procedure),
        "loss": distribution.procedure.loss,
        "kernel_fingerprint": distribution.blocks.fingerprint,
        "kernel_notes": "; ".join(distribution.notes),
        **{f"version_{name}": version for name, version in versions().items()},
    }
