"""Kernel-density bounds on the information of activations with Gaussian noise put on them, from pairwise distances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array
from ntkinfo.core.labels import class_numbers
from ntkinfo.information.mixture_bounds import pairwise_information
from ntkinfo.information.noiseless import discrete_entropy
from ntkinfo.information.samples_binning import checked_activations

CAVEAT = (
    "bounds for T = activations + N(0, noise_variance I) and X equally likely among these inputs only; they do not "
    "bound the information of a larger population, nor that of a network without noise, where it is H(X) or infinite. "
    "What they follow at a fixed noise is clustering"
)


@dataclass(frozen=True)
class PairwiseInformation:
    """Bounds in nats on informations of T = activations + noise, for X equally likely among the given inputs.

    Args:
        input_lower: lower bound on I(X;T), with the Bhattacharyya distance.
        input_upper: upper bound on I(X;T), with the relative entropy; never above the ceiling.
        target_lower: lower bound on I(T;Y): the lower bound for all inputs less the upper bounds within the classes, or
            0 where that is below. None without labels.
        target_upper: upper bound on I(T;Y), likewise, or H(Y) or `input_upper` where that is above. None without
            labels.
        target_from_lower: difference of lower bounds, as often published: neither bound. None without labels.
        target_from_upper: difference of upper bounds, as often published: neither bound. None without labels.
        ceiling: log m.
        caveat: what these are bounds on.
    """

    input_lower: float
    input_upper: float
    target_lower: float | None
    target_upper: float | None
    target_from_lower: float | None
    target_from_upper: float | None
    ceiling: float
    caveat: str = CAVEAT


@checked
def pairwise_activations(
    activations: Array | Sequence, noise_variance: float, labels: Array | Sequence | None = None
) -> PairwiseInformation:
    """Kolchinsky-Tracey bounds on I(X;T) and I(T;Y) of a layer with noise put on its activations, in nats.

    Args:
        activations: of one layer, one row for each input, (m, d).
        noise_variance: of the noise that is put on each unit; the published values are 1e-3 and 0.1.
        labels: class of each input, (m,), any integers or text; or None.

    Returns:
        The bounds. Distances are formed by differences in float64, or by expanded squares where that keeps them.

    Raises:
        ValueError: shapes that do not fit, NaN, infinity or masked entries, in labels too, a variance that is not
            above zero.

    Fails when taken for the information of the network itself: see `PairwiseInformation.caveat`.
    Source: methods B; Kolchinsky & Tracey 2017; Saxe et al. 2018.
    """
    host = checked_activations(activations).astype(np.float64)
    checks.positive("noise_variance", noise_variance)
    m, classes = len(host), None
    if labels is not None:
        classes = class_numbers("labels", labels, m, "one class for each input")[0]
    bounds = pairwise_information(host, np.full(m, noise_variance), np.full(m, 1 / m), classes)
    lower, upper, ceiling = bounds.lower, bounds.upper, float(np.log(m))
    if bounds.label_lower is None or bounds.label_upper is None:
        return PairwiseInformation(lower, upper, None, None, None, None, ceiling)
    within_upper, within_lower = lower - bounds.label_lower, upper - bounds.label_upper
    about = bounds.of_label(discrete_entropy(classes)) if classes is not None else (None, None)
    return PairwiseInformation(lower, upper, *about, lower - within_lower, upper - within_upper, ceiling)
