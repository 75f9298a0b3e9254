"""Expected classification error of one ensemble member: probability that the arg-max of N(mean, v I) is wrong."""

from __future__ import annotations

from types import ModuleType

import numpy as np
from jaxtyping import Float, Int
from scipy.special import ndtr

from ntkinfo.core import checks
from ntkinfo.core.arrays import Array, namespace, special, to_numpy
from ntkinfo.core.progress import Track, silent
from ntkinfo.core.records import Estimate
from ntkinfo.core.threads import map_threads
from ntkinfo.information.losses import check_law, wrong_class
from ntkinfo.information.normal_table import TABLE_ERROR, normal_on_grid

REACH = 8.5  # standard deviations of the winning output that are integrated over
COARSEST_STEP = 0.5
DECIDED = 7.5  # margin in deviations of a difference beyond which nothing is left to integrate
VALUES_AT_ONCE = 1 << 16
HALVINGS = 6


def error_member(
    mean: Float[Array, "t m C"],
    variance: Float[Array, "t m"],
    labels: Int[Array, " m"],
    progress: Track = silent,
    tolerance: float = 1e-9,
    ties: Float[Array, "t m"] | None = None,
) -> Estimate:
    """Probability that one member puts an input into a wrong class, averaged over the inputs.

    With two or more outputs, `1 - ∫ φ(u) prod_{k≠c} Φ(u + (mean_c - mean_k) / sqrt(v)) du` by the trapezoidal rule,
    which converges faster than any power of the step here; the step is halved where that still changes the value. A
    single output is decided by its sign: `Φ(-±mean / sqrt(v))`. Without variance the arg-max of the mean decides, ties
    shared.

    Args:
        mean: mean output at each time and input, (t, m, C).
        variance: variance of every output there, (t, m).
        labels: class of each input, (m,): 0 to C-1, or 0 and 1 for targets -1 and +1 of a single output.
        progress: shows progress over the times.
        tolerance: wanted absolute error for each input.
        ties: deviations up to this are none, and outputs without deviation this close to each other (one output: to 0)
            are equal, (t, m); None compares exactly.

    Returns:
        The error rate at each time, (t,), with a bound on the numerical error: the last change by halving the step,
        the error of the tabulated Φ, and what the decided inputs and the rivals left out can still contribute.

    Raises:
        ValueError: shapes that do not fit, labels outside the classes, negative variances.

    Source: theory §7.
    """
    check_law(mean, variance, None, labels)
    checks.positive("tolerance", tolerance)
    if float(namespace(variance).min(variance)) < 0:
        raise ValueError("variance holds negative values; variances are 0 or greater")
    values, errors = np.zeros(mean.shape[0]), np.zeros(mean.shape[0])
    for time in progress(range(mean.shape[0]), "error of one member", mean.shape[0]):
        near = None if ties is None else to_numpy(ties[time])
        values[time], errors[time] = _error((mean[time], variance[time]), labels, tolerance, near)
    return Estimate(values, errors + 1e-15, "quadrature", f"trapezoidal rule to {tolerance:g}")


def _error(
    law: tuple[Float[Array, "m C"], Float[Array, " m"]],
    labels: Int[Array, " m"],
    tolerance: float,
    ties: Float[np.ndarray, " m"] | None,
) -> tuple[float, float]:
    mean, variance = law
    m, outputs = mean.shape
    near = None if ties is None else namespace(mean).asarray(ties)[None, :]
    wrong = np.array(to_numpy(wrong_class(mean[None, :, :], labels, near))[0], dtype=np.float64)
    std = np.sqrt(to_numpy(variance))
    spread = std > (0.0 if ties is None else ties)
    if outputs == 1:
        margin = to_numpy(mean)[:, 0] * np.where(to_numpy(labels) == 1, 1.0, -1.0)
        wrong[spread] = ndtr(-margin[spread] / std[spread])
        return float(np.mean(wrong)), 0.0
    gaps = _gaps(to_numpy(mean), to_numpy(labels))
    nearest = np.min(gaps, axis=1)
    # Right with certainty by a union bound, wrong with certainty by the largest rival alone.
    open_ones = np.flatnonzero(spread & (np.abs(nearest) <= DECIDED * np.sqrt(2) * std))
    left_out = (m - len(open_ones)) * (outputs - 1) * float(ndtr(-DECIDED))
    scaled = gaps[open_ones] / std[open_ones][:, None]
    right, error = _probability_right(scaled, tolerance, namespace(mean, variance))
    wrong[open_ones] = 1 - right
    return float(np.mean(wrong)), (float(np.sum(error)) + left_out) / m


def _gaps(mean: Float[np.ndarray, "m C"], labels: Int[np.ndarray, " m"]) -> Float[np.ndarray, "m rivals"]:
    """Mean of the right output less that of every other, (m, C-1)."""
    m, outputs = mean.shape
    rivals = (labels[:, None] + np.arange(1, outputs)[None, :]) % outputs
    rows = np.arange(m)[:, None]
    return mean[rows, labels[:, None]] - mean[rows, rivals]


def _probability_right(
    gaps: Float[np.ndarray, "p rivals"], tolerance: float, xp: ModuleType
) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, " p"]]:
    """The integral for each row of gaps, in deviations of one output, and a bound on its error.

    Rivals that are beaten with certainty are left out; a single rival left over has a closed form.
    """
    gaps = np.sort(gaps, axis=1)
    left = np.sum(gaps <= DECIDED * np.sqrt(2), axis=1)
    value, error = np.ones(len(gaps)), (gaps.shape[1] - left) * float(ndtr(-DECIDED)) + 1e-15
    value[left == 1] = ndtr(gaps[left == 1, 0] / np.sqrt(2))
    for number in np.unique(left[left > 1]):
        rows = np.flatnonzero(left == number)
        value[rows], change = _integral(xp.asarray(gaps[rows, :number]), tolerance)
        error[rows] += change
    return value, error


def _integral(
    gaps: Float[Array, "p rivals"], tolerance: float
) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, " p"]]:
    """Trapezoidal rule for each row; the last change by halving the step, and the error of the table."""
    number = int(REACH / COARSEST_STEP)
    step, nodes = COARSEST_STEP, COARSEST_STEP * np.arange(-number, number + 1)
    value = step * _sum_over_nodes(gaps, nodes)
    change = np.full(len(value), np.inf)
    todo = np.arange(len(value))
    for _ in range(HALVINGS):
        if len(todo) == 0:
            break
        nodes = np.arange(-REACH + 0.5 * step, REACH, step)
        finer = 0.5 * value[todo] + 0.5 * step * _sum_over_nodes(gaps[todo], nodes)
        change[todo] = np.abs(finer - value[todo])
        value[todo], step = finer, 0.5 * step
        todo = todo[change[todo] > tolerance]
    return value, change + gaps.shape[1] * TABLE_ERROR


def _sum_over_nodes(gaps: Float[Array, "p rivals"], nodes: Float[np.ndarray, " u"]) -> Float[np.ndarray, " p"]:
    """Sum over the nodes u of φ(u) prod_k Φ(u + gap_k), in blocks of rows."""
    weights = np.exp(-0.5 * nodes * nodes) / np.sqrt(2 * np.pi)
    rows = max(1, VALUES_AT_ONCE // len(nodes))
    starts = range(0, len(gaps), rows)
    if isinstance(gaps, np.ndarray):
        blocks = [gaps[start : start + rows] for start in starts]
        return np.concatenate(map_threads(lambda block: _block_sum(block, nodes, weights), blocks))
    return np.concatenate([_plain_block_sum(gaps[start : start + rows], nodes, weights) for start in starts])


def _block_sum(
    gaps: Float[np.ndarray, "b rivals"], nodes: Float[np.ndarray, " u"], weights: Float[np.ndarray, " u"]
) -> Float[np.ndarray, " b"]:
    first, step, number = float(nodes[0]), float(nodes[1] - nodes[0]), len(nodes)
    product = normal_on_grid(gaps[:, 0], first, step, number)
    for k in range(1, gaps.shape[1]):
        np.multiply(product, normal_on_grid(gaps[:, k], first, step, number), out=product)
    return product @ weights


def _plain_block_sum(
    gaps: Float[Array, "b rivals"], nodes: Float[np.ndarray, " u"], weights: Float[np.ndarray, " u"]
) -> Float[np.ndarray, " b"]:
    xp, normal = namespace(gaps), special(gaps)
    places = xp.asarray(nodes)[None, :]
    product = normal.ndtr(places + gaps[:, 0][:, None])
    for k in range(1, gaps.shape[1]):
        product = product * normal.ndtr(places + gaps[:, k][:, None])
    return to_numpy(xp.matmul(product, xp.asarray(weights)))
