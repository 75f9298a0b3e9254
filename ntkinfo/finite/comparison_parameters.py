"""The parameters' relative entropy at finite width beside what the infinite-width law bounds it by from below."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import to_numpy
from ntkinfo.core.progress import Track, bar
from ntkinfo.core.records import Dataset, Estimate
from ntkinfo.finite.parameter_information import MemberSettings, parameter_information
from ntkinfo.information.parameters import function_space
from ntkinfo.kernels.blocks import kernel_blocks
from ntkinfo.kernels.network import Network
from ntkinfo.training.output_distribution import output_distribution
from ntkinfo.training.procedures import GradientFlow


@dataclass(frozen=True)
class ParameterBound:
    """KL(θ_t ‖ θ_0) of networks of one width, and of their functions on the training inputs at infinite width, in nats.

    Args:
        times: (T,), in the caller's unit.
        width: of the hidden layers.
        value: (T,), of the parameters; Monte Carlo over members.
        bound: (T,), of the functions on the training inputs in the limit; by data processing at most the parameters'
            relative entropy in the limit, so at finite width a bound up to corrections in 1/width.
        members: that `value` is an average over.
        notes: of the estimate.
    """

    times: Float[np.ndarray, " t"]
    width: int
    value: Estimate
    bound: Float[np.ndarray, " t"]
    members: int
    notes: tuple[str, ...]

    @property
    def score(self) -> Float[np.ndarray, " t"]:
        """Value minus bound in standard errors of the value; far below 0 would contradict the bound."""
        return (to_numpy(self.value.value) - self.bound) / to_numpy(self.value.standard_error)  # pyright: ignore


@checked
def parameters_beside_bound(
    network: Network,
    data: Dataset,
    times: Float[np.ndarray, " t"],
    *,
    width: int,
    loss: str = "sum",
    settings: MemberSettings | None = None,
    progress: Track = bar,
) -> ParameterBound:
    """Estimate KL(θ_t ‖ θ_0) by change of variables and set its analytic lower bound beside it.

    Both are of gradient flow without ridge or noise, for which alone the change of variables holds.

    Args:
        network: a description with activations that have a continuous derivative (not relu).
        data: the training inputs and targets are used.
        times: (T,), finite, strictly rising, above 0.
        width: of the hidden layers.
        loss: "sum" or "mean": the unit of the times.
        settings: members, probes; traces by probes where left out.
        progress: shown over groups of members.

    Raises:
        TypeError, ValueError: as `parameter_information`; a time that is not above 0.
        NotDefiniteError: the prior covariance of the training inputs is singular to rounding.

    Source: theory §5.1 and §5.3.
    """
    if np.asarray(times)[0] <= 0:
        raise ValueError("times holds 0, where both relative entropies are 0; leave it out")
    flow = GradientFlow(loss=loss)
    settings = settings or MemberSettings(members=64, trace="probes", measure_step_error=False)
    law = output_distribution(kernel_blocks(network, data), data, flow, times)
    bound = to_numpy(function_space(law).value)  # pyright: ignore[reportArgumentType]
    found = parameter_information(
        network, data, times, width=width, procedure=flow, settings=settings, progress=progress
    )
    return ParameterBound(found.times, width, found.value, bound, found.members, found.notes)
