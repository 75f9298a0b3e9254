"""I(Z;X) and I(Z;Y) of one or two outputs from mixture entropies by quadrature, and when that is worth its price."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from ntkinfo.core.records import Estimate
from ntkinfo.information import mixture_quadrature_plane as plane
from ntkinfo.information.mixture_quadrature import entropy_quadrature

CHEAP = 200_000  # cells, about half a second
# Densities that Monte Carlo evaluates in the time that one cell takes: about the middle of ten measurements on two
# cores, with 100 to 3000 inputs and deviations of 0.003 to 0.5 of the means' spread (340 to 1700, narrow to wide).
PAIRS_OF_ONE_CELL = 850


def objection(
    mean: Float[np.ndarray, "m C"],
    variance: Float[np.ndarray, " m"],
    labels: Int[np.ndarray, " m"] | None,
    tolerance: float | None,
    samples: int,
) -> str | None:
    """Why the informations are not to be computed by quadrature; None where they are.

    One output is always integrated. Two outputs are where the entropies of the mixture and of its classes together need
    no more cells than half a second allows, or than fit into the time of the Monte Carlo sampling, which is done for
    the multi-sample bounds in any case.

    Args:
        mean: mean output at each input with noise, (m, C).
        variance: variance of every output there, (m,), above zero.
        labels: class of each of them, (m,), integers from 0; or None.
        tolerance: of the quadrature; None where it is not wanted.
        samples: Monte Carlo draws per input.

    Returns:
        The reason in a few words, empty where there is no choice.
    """
    outputs = mean.shape[1]
    if tolerance is None or outputs > 2:
        return ""
    if outputs == 1:
        return None
    work = sum(plane.work_on_plane(mean[part], variance[part], _kept(tolerance)) for part in _parts(len(mean), labels))
    allowed = max(CHEAP, samples * len(mean) ** 2 / PAIRS_OF_ONE_CELL)
    return None if work <= allowed else f"quadrature would need {work:.2g} cells, with {allowed:.2g} allowed"


def informations(
    mean: Float[np.ndarray, "m C"],
    variance: Float[np.ndarray, " m"],
    labels: Int[np.ndarray, " m"] | None,
    tolerance: float,
) -> tuple[Estimate, Estimate | None]:
    """I(Z;X) and I(Z;Y) for inputs drawn uniformly, in nats; one or two outputs.

    Args:
        mean: mean output at each input, (m, 1) or (m, 2).
        variance: variance of every output there, (m,), above zero.
        labels: class of each of them, (m,), integers from 0; or None.
        tolerance: absolute error of each entropy; for two outputs 1e-12 at least.

    Returns:
        Both informations, with the sum of the errors of the entropies; None without labels.
    """
    outputs = mean.shape[1]
    whole, *classes = (_entropy(mean[part], variance[part], tolerance) for part in _parts(len(mean), labels))
    noise = 0.5 * outputs * float(np.mean(np.log(2 * np.pi * np.e * variance)))
    component = _difference(whole, noise, 0.0)
    if labels is None:
        return component, None
    shares = np.bincount(labels) / len(labels)
    conditional = sum(share * float(within.value) for share, within in zip(shares, classes, strict=True))
    error = sum(share * float(within.standard_error) for share, within in zip(shares, classes, strict=True))
    return component, _difference(whole, conditional, error)


def _parts(m: int, labels: Int[np.ndarray, " m"] | None) -> list[Int[np.ndarray, " k"]]:
    """All inputs, then those of each class."""
    classes = [] if labels is None else [np.flatnonzero(labels == c) for c in range(int(labels.max()) + 1)]
    return [np.arange(m), *classes]


def _entropy(mean: Float[np.ndarray, "m C"], variance: Float[np.ndarray, " m"], tolerance: float) -> Estimate:
    if mean.shape[1] == 1:
        return entropy_quadrature(mean[:, 0], variance, tolerance=tolerance)
    return plane.entropy_quadrature_plane(mean, variance, tolerance=_kept(tolerance))


def _kept(tolerance: float) -> float:
    return max(tolerance, plane.SMALLEST_TOLERANCE)


def _difference(whole: Estimate, part: float, part_error: float) -> Estimate:
    rounding = 1e-15 * (1 + abs(float(whole.value)) + abs(part))
    error = float(whole.standard_error) + part_error + rounding
    return Estimate(float(whole.value) - part, error, "quadrature", whole.method)
