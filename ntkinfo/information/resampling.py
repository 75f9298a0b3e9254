"""I(Z;D|X=x) from a sample of training sets: the output's laws under R of them are the components of a mixture.

With the R training sets equally likely, I(Z;R) = h(mixture) − mean of the components' entropies. Over random draws of
the sets its mean rises with R and stays below I(Z;D|X=x), and it cannot exceed log R.

Uncertainty from the choice of the R sets is found by leaving out one set after another (jackknife). A bootstrap that
draws sets with replacement is wrong here: two copies of a set are one component, so a resample of R sets holds about
0.63 R different ones and its information is too low, not merely scattered. The same leave-one-out values give the bias
of order 1/R. All of it comes from one set of draws z, whose densities under every component are computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.stats
from jaxtyping import Float

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import float64
from ntkinfo.core.progress import Track, silent
from ntkinfo.core.records import Dataset, Estimate, Meaning
from ntkinfo.information.label_model import LabelModel
from ntkinfo.information.output import information_output
from ntkinfo.kernels.records import KernelBlocks
from ntkinfo.training.output_distribution import output_distribution
from ntkinfo.training.output_law import OutputLaw
from ntkinfo.training.procedures import Procedure

_DRAWS = 256
_TABLE_ELEMENTS = 1 << 22
_RESOLUTION = 1e-12
_SMALLEST_STD = 1e-140  # its square is a number still
_LEVEL = 0.95
_NEAR_CEILING = 0.7

SetLaws = Callable[[int], tuple[Float[np.ndarray, "r p c"], Float[np.ndarray, "r p"]]]


@dataclass(frozen=True)
class ResampledInformation:
    """I(Z;D|X=x) estimated from R training sets, in nats.

    Args:
        per_input: (T, p), I(Z;R) at each input; its error is that of quadrature or Monte Carlo alone.
        average: (T,), mean of `per_input` over the inputs; the same error.
        corrected: (T,), `average` with the bias of order 1/R removed; its standard error is that of the choice of the
            R sets. Close to the information while that is well below `ceiling`.
        interval: (2, T), 95 % interval about `corrected` (Student's t with R − 1 degrees of freedom). With 20 to 50
            sets it was found to cover the truth in 80 to 93 % of cases, least for several outputs or correlated inputs:
            the estimate is skewed.
        ceiling: log R, which no value of `average` can exceed.
        at_ceiling: (T,), where `average` is above 70 % of the ceiling: R is too small there, and `corrected` is no
            more than a larger lower value.
    """

    per_input: Estimate
    average: Estimate
    corrected: Estimate
    interval: Float[np.ndarray, "2 t"]
    ceiling: float
    at_ceiling: np.ndarray


@checked
def resampled_labels(
    law: OutputLaw,
    model: LabelModel,
    count: int,
    *,
    seed: int = 0,
    tolerance: float = 1e-6,
    progress: Track = silent,
) -> ResampledInformation:
    """Estimate I(Z; Y_train | X, x) from `count` sets of targets drawn on the same training inputs.

    The output's variance is the same for all of them and its mean is linear in the targets, so a set costs one column
    of a matrix product. `information_labels_per_input` has the exact value: this is the estimate that other populations
    have to do with, where the truth is known.

    Args:
        law: of the outputs at p inputs.
        model: from which targets are drawn.
        count: R, the number of sets, 3 at least.
        seed: of the targets and of the Monte Carlo draws.
        tolerance: absolute error of the quadrature that one output allows.
        progress: counts times.

    Raises:
        ValueError: fewer than 3 sets, or a labels' covariance that does not fit.

    Source: theory §4.
    """
    checks.whole("count", count, least=3)
    checks.positive("tolerance", tolerance)
    distribution = law.distribution
    draws = model.draw(distribution, seed, count)
    columns = draws.reshape(len(draws), -1)

    def at(index: int) -> tuple[np.ndarray, np.ndarray]:
        mean = np.asarray(law.mean_for(float(law.times[index]), columns)).reshape(law.n_inputs, count, -1)
        variance = np.asarray(law.variance_at(slice(index, index + 1)))[0]
        return np.moveaxis(mean, 1, 0), np.broadcast_to(variance, (count, law.n_inputs))

    return _resampled(at, len(law.times), seed, tolerance, progress)


@checked
def resampled_training_sets(
    laws: Sequence[OutputLaw], *, seed: int = 0, tolerance: float = 1e-6, progress: Track = silent
) -> ResampledInformation:
    """Estimate I(Z;D|X=x) from the laws of the outputs on the same inputs after training on R different sets.

    Args:
        laws: one for each training set, all at the same inputs and times; `training_set_laws` makes them.
        seed: of the Monte Carlo draws.
        tolerance: absolute error of the quadrature that one output allows.
        progress: counts times.

    Raises:
        ValueError: fewer than 3 laws, or laws that differ in times, inputs or outputs.

    Fails when the sets are not drawn independently from one population: the value is then that of this collection.
    Source: theory §4.
    """
    checks.positive("tolerance", tolerance)
    checks.whole("the number of laws", len(laws), least=3)
    first = laws[0]
    for place, law in enumerate(laws):
        same = law.n_inputs == first.n_inputs and law.n_outputs == first.n_outputs
        if not same or not np.array_equal(law.times, first.times):
            raise ValueError(f"laws[{place}] has other times, inputs or outputs than laws[0]; they must agree")

    def at(index: int) -> tuple[np.ndarray, np.ndarray]:
        part = slice(index, index + 1)
        mean = np.stack([np.asarray(law.mean_at(part)[0]) for law in laws])
        return mean, np.stack([np.asarray(law.variance_at(part)[0]) for law in laws])

    return _resampled(at, len(first.times), seed, tolerance, progress)


@checked
def training_set_laws(
    blocks_of: Callable[[Dataset], KernelBlocks],
    datasets: Sequence[Dataset],
    procedure: Procedure,
    times: Float[np.ndarray, " t"],
) -> list[OutputLaw]:
    """Laws of the outputs on the test inputs that the data sets share, one for each training set.

    Args:
        blocks_of: kernels of the network on a data set, for instance `lambda data: kernel_blocks(network, data)`.
        datasets: they differ in their training sets alone.
        procedure: how the network is trained.
        times: (T,).

    Raises:
        ValueError: test inputs that differ between the data sets.
    """
    for place, data in enumerate(datasets):
        if not np.array_equal(data.x_test, datasets[0].x_test):
            raise ValueError(f"datasets[{place}] has other test inputs than datasets[0]; all must share them")
    return [output_distribution(blocks_of(data), data, procedure, times).test for data in datasets]


def _resampled(at: SetLaws, n_times: int, seed: int, tolerance: float, progress: Track) -> ResampledInformation:
    rows, count = [], 0
    for index in progress(range(n_times), "I(Z;D|X) by resampling", n_times):
        with float64():
            mean, variance = at(index)
        count = len(mean)
        rows.append(_one_time(mean, variance, seed, tolerance))
    value, error, correction, spread, meanings = (list(column) for column in zip(*rows, strict=True))
    average = np.mean(value, axis=1)
    corrected = average + np.array(correction)
    half = scipy.stats.t.ppf(0.5 + _LEVEL / 2, count - 1) * np.array(spread)
    meaning, method = _common(meanings)
    # Errors of Monte Carlo are independent between inputs; those of quadrature may all have one sign.
    pooled = np.hypot.reduce(error, axis=1) / len(error[0]) if meaning == "Monte Carlo" else np.mean(error, axis=1)
    ceiling = float(np.log(count))
    return ResampledInformation(
        per_input=Estimate(np.array(value), np.array(error), meaning, method),
        average=Estimate(average, pooled, meaning, method),
        corrected=Estimate(corrected, np.array(spread), "estimate", f"{method}; jackknife over {count} sets"),
        interval=np.stack([corrected - half, corrected + half]),
        ceiling=ceiling,
        at_ceiling=average > _NEAR_CEILING * ceiling,
    )


def _one_time(
    mean: Float[np.ndarray, "r p c"], variance: Float[np.ndarray, "r p"], seed: int, tolerance: float
) -> tuple[np.ndarray, np.ndarray, float, float, tuple[Meaning, str]]:
    """Values and errors at every input; bias correction and standard error of their mean over the choice of sets."""
    count, n_inputs, _ = mean.shape
    values, errors, left_out = np.zeros(n_inputs), np.zeros(n_inputs), np.zeros(count)
    meanings: list[tuple[Meaning, str]] = []
    for i in range(n_inputs):
        # Draws of their own for every input, the same at every time: independent errors, smooth curves.
        stream = np.random.SeedSequence([seed, i])
        drawn = int(stream.generate_state(1)[0])
        given = information_output(mean[:, i], variance[:, i], None, seed=drawn, tolerance=tolerance)[0].value
        values[i], errors[i] = float(given.value), float(given.standard_error)
        meanings.append((given.meaning, given.method))
        left_out += _leave_one_out(mean[:, i], variance[:, i], np.random.default_rng(stream)) / n_inputs
    correction = -(count - 1) * float(np.mean(left_out))
    spread = float(np.sqrt((count - 1) / count * np.sum((left_out - np.mean(left_out)) ** 2)))
    return values, errors, correction, spread, _common(meanings)


def _common(meanings: Sequence[tuple[Meaning, str]]) -> tuple[Meaning, str]:
    """What holds of all values: Monte Carlo where one of them is, with what that one says of itself."""
    sampled = [given for given in meanings if given[0] == "Monte Carlo"]
    if not sampled or len(sampled) == len(meanings):
        return meanings[0]
    return "Monte Carlo", f"{sampled[0][1]}; others by quadrature"


def _leave_one_out(
    mean: Float[np.ndarray, "r c"], variance: Float[np.ndarray, " r"], random: np.random.Generator
) -> Float[np.ndarray, " r"]:
    """I(Z;R) without set q less I(Z;R) with all of them, for every q, from one set of draws of each component.

    Deviations below 1e-12 of the extent of the means, and below 1e-140, count as that.
    """
    count, outputs = mean.shape
    std = np.sqrt(np.maximum(variance, max(_RESOLUTION * float(np.ptp(mean, axis=0).max()), _SMALLEST_STD) ** 2))
    draws = max(8, min(_DRAWS, _TABLE_ELEMENTS // count**2)) // 2
    noise = random.standard_normal((count, draws, outputs))
    noise = np.concatenate([noise, -noise], axis=1)
    # log p_k(z) − log p_r(z) for z drawn from set r; z itself is not formed, the noise would be lost beside the mean
    squares = np.zeros((count, noise.shape[1], count))
    for c in range(outputs):
        apart = mean[:, c][:, None] - mean[:, c][None, :]
        squares += (apart[:, None, :] + (std[:, None] * noise[:, :, c])[:, :, None]) ** 2
    own = 0.5 * np.sum(noise**2, axis=2) + outputs * np.log(std)[:, None]
    ratio = own[:, :, None] - 0.5 * squares / std**2 - outputs * np.log(std)
    largest = ratio.max(axis=2, keepdims=True)
    weights = np.exp(ratio - largest)
    whole = np.mean(largest[:, :, 0] + np.log(np.sum(weights, axis=2)), axis=1) - np.log(count)
    without = 1 - np.eye(count)
    with np.errstate(divide="ignore"):
        # (r, q): mean over the draws of set r of the log-density without set q; the diagonal is not used.
        partial = np.mean(largest + np.log(weights @ without), axis=1) - np.log(count - 1)
    partial = np.where(without > 0, partial, 0.0)
    return np.mean(whole) - np.sum(partial, axis=0) / (count - 1)
