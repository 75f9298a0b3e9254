"""Five findings about trained networks in the information plane, each as a measurement with an outcome.

The claims are those of Shwartz-Ziv & Tishby 2017; three are measured in `plane_phases`, two here: where trained layers
lie against the bottleneck curve, and how long training takes against the number of layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ntkinfo.bottleneck.discrete_curve import DiscreteCurve
from ntkinfo.bottleneck.placement import place
from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.finite.plane import PlaneStudy
from ntkinfo.finite.plane_compression import BIT, FindingSettings, Outcome, in_words
from ntkinfo.finite.plane_intervals import Interval, bootstrap_interval, mean_interval
from ntkinfo.finite.plane_phases import (
    CompressionShare,
    CompressionStart,
    NoiseAgainstFullBatch,
    compression_share,
    compression_start,
    noise_against_full_batch,
)

# Informations below this many nats are rounding, and so are differences to the curve where it is flat.
_NOTHING, _SAME = 1e-12, 1e-9


@dataclass(frozen=True)
class LayersAgainstBound:
    """Claim: trained hidden layers lie on the information-bottleneck curve.

    Args:
        outcome: of the claim.
        statement: in words, with numbers.
        gap: how far I(T;Y) lies below the curve at the layer's I(X;T) after training, nats, (L,).
        first_gap: the same before training, (L,).
        excess: I(X;T) after training less the least with which the curve reaches the layer's I(T;Y), nats, (L,): where
            the curve is flat, any layer that keeps the class has gap 0, and this tells how much else it keeps.
        entropy: H(Y) that the line is a share of, nats.
    """

    outcome: Outcome
    statement: str
    gap: Interval
    first_gap: Interval
    excess: Interval
    entropy: float


def layers_against_bound(
    study: PlaneStudy, curve: DiscreteCurve | None = None, settings: FindingSettings | None = None
) -> LayersAgainstBound:
    """Measure how far below the bottleneck curve the layers lie, before and after training.

    Args:
        study: of the networks.
        curve: of a law of labels over the study's inputs, equally likely (`soft_twelve_bit_rule`), under which I(T;Y)
            is then taken: distances are to its certified bound. Where left out, min(I, H(Y)), the curve of the study's
            own labels without noise.
        settings: lines that decide.
    """
    settings, ceiling = settings or FindingSettings(), study.data.label_entropy
    given, told = study.information_input[[0, -1]], study.information_target[[0, -1]]
    if curve is None:
        gaps, excess = np.minimum(given, ceiling) - told, mean_interval(given[1] - told[1])
    else:
        _check_law(study, curve)
        told = soft_target_information(study, curve.problem.conditional)
        gaps, excess = curve.upper(given) - told, mean_interval(given[1] - _least_input(curve, told[1], given[1]))
    first, last = (mean_interval(row) for row in gaps)
    hidden, line = slice(0, study.n_layers - 1), settings.gap * ceiling
    low, high = np.asarray(last.low)[hidden], np.asarray(last.high)[hidden]
    outcome = "supported" if np.all(high < line) else "not supported" if np.any(low > line) else "undecided"
    # Rounded first: "-0.000" is no distance.
    values = ", ".join(f"{round(value / BIT, 3) + 0.0:.3f}" for value in np.asarray(last.value)[hidden])
    before = ", ".join(f"{round(value / BIT, 3) + 0.0:.3f}" for value in np.asarray(first.value)[hidden])
    kept = ", ".join(f"{value / BIT:.2f}" for value in np.asarray(excess.value)[hidden])
    statement = (
        f"hidden layers end {values} bits below the curve (before training {before}); "
        f"the widest 95% interval reaches {float(np.max(high)) / BIT:.3f}, near is below {line / BIT:.3f}; "
        f"they keep {kept} bits about X beyond what the curve needs for that"
    )
    return LayersAgainstBound(outcome, statement, last, first, excess, ceiling)


def _least_input(curve: DiscreteCurve, told: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Least I(X;T) at which the certified bound reaches an I(T;Y), by bisection below the layer's own I(X;T)."""
    low, high = np.zeros_like(given), given
    for _ in range(60):
        middle = 0.5 * (low + high)
        short = curve.upper(middle) < told - _SAME
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return high


def _check_law(study: PlaneStudy, curve: DiscreteCurve) -> None:
    law = curve.problem.input_law
    if len(law) != len(study.data.inputs) or np.ptp(law) > 1e-12:
        raise ValueError(
            f"the curve belongs to {len(law)} inputs and the study has {len(study.data.inputs)} equally likely ones; "
            "compute it for the same inputs in the same order"
        )


def soft_target_information(
    study: PlaneStudy, conditional: Float[np.ndarray, "n c"], times: tuple[int, ...] = (0, -1)
) -> Float[np.ndarray, "p m l"]:
    """I(Bin(T_l);Y) in nats for labels drawn from p(y|x), at chosen recorded epochs.

    Args:
        study: of the networks.
        conditional: p(y|x) of every input of the study's data, (n, C).
        times: places among the recorded epochs.
    """
    checks.shape("conditional", conditional, (len(study.data.inputs), None), "a row p(y|x) for each input")
    members = range(study.information_input.shape[1])
    return np.array([[_soft_row(study, conditional, time, member) for member in members] for time in times])


def _soft_row(study: PlaneStudy, conditional: np.ndarray, time: int, member: int) -> list[float]:
    found = []
    for symbols in study.symbols(time, member):
        joint = np.stack([np.bincount(symbols, column) for column in conditional.T], axis=1) / len(conditional)
        found.append(_discrete_information(joint))
    return found


def _discrete_information(joint: np.ndarray) -> float:
    """Σ p(t,y) log p(t,y)/p(t)p(y)."""
    outer = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    positive = joint > 0
    return float(np.sum(joint[positive] * np.log(joint[positive] / outer[positive])))


@dataclass(frozen=True)
class LayerPlacements:
    """Every layer as an encoder of the classes of inputs with equal p(y|x), on the bottleneck's plane; (M, L) each.

    Args:
        information_input: I(T;class) in nats, what the layer's bins tell of the class; I(X;T) less what they tell of
            the input within its class.
        information_target: I(T;Y) in nats.
        beta: of best fit, infinite where the fit goes on improving, NaN where the layer says nothing.
        encoder_residual: misfit of the encoder's equation at that β, nats.
        decoder_residual: misfit of the decoder's equation, nats.
        gap: distance below the certified bound at I(T;class), nats.
    """

    information_input: Float[np.ndarray, "m l"]
    information_target: Float[np.ndarray, "m l"]
    beta: Float[np.ndarray, "m l"]
    encoder_residual: Float[np.ndarray, "m l"]
    decoder_residual: Float[np.ndarray, "m l"]
    gap: Float[np.ndarray, "m l"]


@checked
def place_layers(study: PlaneStudy, curve: DiscreteCurve, time: int = -1) -> LayerPlacements:
    """Place every layer of every seed at one recorded epoch against a bottleneck curve.

    A binned layer is a deterministic code of the input, which meets the self-consistent equations at no finite β. Seen
    from the classes of inputs that share p(y|x), of which the curve knows alone, it is a random code with a β.

    Args:
        study: of the networks.
        curve: of a law of labels over the study's inputs, equally likely.
        time: place among the recorded epochs.

    Raises:
        ValueError: a curve of other inputs.
    """
    _check_law(study, curve)
    merged = curve.problem.merged()
    owner, small = curve.problem.classes, DiscreteCurve(merged, curve.solutions, curve.stop)
    sizes = np.bincount(owner)
    rows = []
    for member in range(study.information_input.shape[1]):
        for symbols in study.symbols(time, member):
            counts = np.zeros((len(sizes), int(symbols.max()) + 1))
            np.add.at(counts, (owner, symbols), 1.0)
            at = place(counts / sizes[:, None], merged, small)
            rows.append(
                (
                    at.information_input,
                    at.information_target,
                    at.beta if at.information_input > _NOTHING else np.nan,
                    at.residuals.encoder,
                    at.residuals.decoder,
                    at.gap_upper,
                )
            )
    return LayerPlacements(*np.array(rows).T.reshape(6, -1, study.n_layers))


@dataclass(frozen=True)
class TimeAgainstDepth:
    """Claim: with more layers fewer epochs are needed to reach a given error.

    Args:
        outcome: of the claim.
        statement: in words, with numbers.
        error: training error to be reached.
        hidden: numbers of hidden layers, (D,).
        epochs: epochs to the error of each seed, (D, M); infinite where it is not reached.
        median: over the seeds, (D,).
        order: Kendall's τ between depth and epochs, −1 where every deeper network is faster.
    """

    outcome: Outcome
    statement: str
    error: float
    hidden: Int[np.ndarray, " d"]
    epochs: Float[np.ndarray, "d m"]
    median: Float[np.ndarray, " d"]
    order: Interval


def time_against_depth(studies: Mapping[int, PlaneStudy], settings: FindingSettings | None = None) -> TimeAgainstDepth:
    """Compare the epochs to a given training error over numbers of hidden layers.

    Seeds that do not reach the error within their epochs count as slower than all that do (they are ties among
    themselves), so that neither they nor the number of epochs has to be made up.

    Raises:
        ValueError: fewer than two depths, or other numbers of seeds.
    """
    settings = settings or FindingSettings()
    hidden = np.array(sorted(studies))
    if len(hidden) < 2 or len({study.information_input.shape[1] for study in studies.values()}) != 1:
        raise ValueError("give studies of at least two depths with the same number of seeds")
    epochs = np.stack([epochs_to_error(studies[int(depth)], settings.error) for depth in hidden])
    seeds = epochs.shape[1]

    def order(weights: np.ndarray) -> float:
        return _kendall(hidden, epochs[:, np.repeat(np.arange(seeds), np.round(weights * seeds).astype(int))])

    interval = bootstrap_interval(order, seeds, settings.draws, settings.seed)
    median = np.quantile(epochs, 0.5, axis=1, method="inverted_cdf")
    outcome = "supported" if interval.high < 0 else "not supported" if interval.low > 0 else "undecided"
    pairs = ", ".join(f"{depth}: {epoch:.3g}" for depth, epoch in zip(hidden, median, strict=True))
    missed = int(np.isinf(epochs).sum())
    statement = (
        f"median epochs to a training error of {settings.error:g} by hidden layers {pairs}; "
        f"τ = {in_words(interval, 1.0, '')}; {missed} of {epochs.size} networks do not reach it"
    )
    return TimeAgainstDepth(outcome, statement, settings.error, hidden, epochs, median, interval)


def epochs_to_error(study: PlaneStudy, error: float) -> Float[np.ndarray, " m"]:
    """Epoch at which each seed's training error is first at most `error`; straight between records, or infinite."""
    curves, epochs = study.errors[0], study.epochs.astype(np.float64)
    found = np.full(curves.shape[1], np.inf)
    for member, row in enumerate(curves.T):
        reached = np.flatnonzero(row <= error)
        if len(reached):
            k = int(reached[0])
            share = 1.0 if k == 0 or row[k - 1] == row[k] else (row[k - 1] - error) / (row[k - 1] - row[k])
            found[member] = epochs[k] if k == 0 else epochs[k - 1] + share * (epochs[k] - epochs[k - 1])
    return found


def _kendall(hidden: np.ndarray, epochs: np.ndarray) -> float:
    """Mean sign over pairs of networks of different depth (τ-a over those pairs); two infinite epochs are a tie."""
    flat, depth = epochs.reshape(-1), np.repeat(hidden, epochs.shape[1])
    signs = np.sign(depth[:, None] - depth[None, :])
    later = (flat[:, None] > flat[None, :]).astype(float) - (flat[:, None] < flat[None, :])
    return float(np.sum(signs * later) / np.sum(signs != 0))


@dataclass(frozen=True)
class Findings:
    """The five measurements, and what they were made on; None where the study they need was not given.

    Args:
        share: most epochs are spent on compression.
        start: compression starts at the gradient transition.
        bound: trained layers lie on the bottleneck curve.
        noise: minibatch noise causes compression.
        depth: more layers need fewer epochs.
    """

    share: CompressionShare
    start: CompressionStart | None
    bound: LayersAgainstBound
    noise: NoiseAgainstFullBatch | None
    depth: TimeAgainstDepth | None

    @property
    def rows(self) -> tuple[tuple[str, str, str], ...]:
        """(claim, outcome, statement) of each that was measured."""
        found = [(CLAIMS[name], getattr(self, name)) for name in CLAIMS]
        return tuple((claim, finding.outcome, finding.statement) for claim, finding in found if finding is not None)


CLAIMS = {
    "share": "most epochs are spent on compression",
    "start": "compression starts when gradients pass from drift to diffusion",
    "bound": "trained layers lie on the information-bottleneck curve",
    "noise": "the noise of minibatch gradients causes compression",
    "depth": "with more layers fewer epochs are needed",
}


@checked
def findings(
    study: PlaneStudy,
    full_batch: PlaneStudy | None = None,
    depths: Mapping[int, PlaneStudy] | None = None,
    curve: DiscreteCurve | None = None,
    settings: FindingSettings | None = None,
) -> Findings:
    """Measure all five findings.

    Args:
        study: networks trained with minibatches.
        full_batch: the same with full batches.
        depths: studies by number of hidden layers.
        curve: of a law of labels given the study's inputs; that of its labels without noise where left out.
        settings: lines that decide outcomes.
    """
    return Findings(
        share=compression_share(study, settings),
        start=None if study.exact is None else compression_start(study, settings),
        bound=layers_against_bound(study, curve, settings),
        noise=None if full_batch is None else noise_against_full_batch(study, full_batch, settings),
        depth=None if depths is None else time_against_depth(depths, settings),
    )
