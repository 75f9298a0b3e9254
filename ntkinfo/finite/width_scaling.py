"""How discrepancies fall with the width: fitted exponents with intervals, beside what theory predicts.

A discrepancy is taken for y(w) = α (w + s)^(−b): to first order α w^(−b) (1 − b s/w), a power of the width with the
next term of its expansion, in a form that levels off at narrow widths as discrepancies do. The shift s lies between
minus half the smallest width and that width itself. The measured values have known errors and may be negative, so the
fit is in the values, not in their logarithms; the interval of b is where the likelihood with α and s at their best
falls by less than the χ² quantile. Where the fit is worse than the errors allow, they are scaled up.

Where the gradient jumps (relu), more is expected than a correction 1/w. A unit that an update moves across its kink at
an input is driven differently from there on, by that very input; so units cross more often in one direction than back,
and the share of 1/√w that crosses changes the kernel on average, by 1/√w. For one hidden relu layer, one training input
with κ = |x|²/d and gradient flow to the end, E[ΔΘ] = −√κ |f₀ − y| / (π √w) + O(1/w). On digits this term is small
beside the one in 1/w up to widths of thousands; exponents between the two are then what is seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.stats
from jaxtyping import Float, Num

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.finite.comparison import holm
from ntkinfo.finite.comparison_discrepancies import Measured

_POWERS = np.linspace(-2.0, 8.0, 2001)
_SHIFTS = np.linspace(-0.5, 1.0, 61)  # of the smallest width


@dataclass(frozen=True)
class Prediction:
    """What theory says.

    Args:
        exponent: a of a discrepancy that falls as w^(−a).
        argument: why, in a sentence, with the reference.
        squared: whether what is measured is the square of the discrepancy.
        kinked: the exponent at the largest widths where the network's gradient jumps; None where that changes nothing.
    """

    exponent: float
    argument: str
    squared: bool = True
    kinked: float | None = 0.5

    def expected(self, kinks: bool) -> tuple[float, float]:
        """The lowest and the highest exponent that theory allows at widths that can be trained."""
        return self.kinked if kinks and self.kinked is not None else self.exponent, self.exponent


_PERTURBATION = "Dyer & Gur-Ari 2020; Roberts, Yaida & Hanin 2022"
PREDICTIONS: Mapping[str, Prediction] = {
    "mean": Prediction(1.0, f"terms odd in the kernel's 1/√w fluctuation average out: 1/w is left ({_PERTURBATION})"),
    "variance": Prediction(1.0, f"as for the mean: the first correction of any average is 1/w ({_PERTURBATION})"),
    "kurtosis": Prediction(1.0, "outputs are normal given the layer below, whose kernel varies by 1/√w (Yaida 2020)"),
    "divergence": Prediction(2.0, "quadratic in the errors of mean and variance, 1/w each", squared=False, kinked=1.0),
    "kernel drift": Prediction(1.0, f"the rate of change of the kernel is a sum of w terms w^(−3/2) ({_PERTURBATION})"),
    "kernel start": Prediction(0.5, "an average over w units: central limit theorem (Jacot et al. 2018)", kinked=None),
    "linearised twin": Prediction(1.0, "driven by the drift of the kernel, 1/w (Lee et al. 2019 bound it by 1/√w)"),
}


@dataclass(frozen=True)
class WidthScaling:
    """One discrepancy over the widths.

    Args:
        name: of the discrepancy.
        widths: (W,), ascending.
        value: (W,), as measured: squares, or a relative entropy in nats.
        standard_error: (W,), of `value`.
        exponent: most likely a; NaN where the discrepancy does not stand out of the noise.
        interval: 95 % confidence interval of a; an end that the widths do not bound is infinite.
        prediction: of theory.
        expected: lowest and highest predicted exponent; they differ where the gradient jumps.
        p_value: of the most likely predicted exponent (likelihood ratio).
        chi_square: of the best fit, before errors were scaled.
        freedom: its degrees of freedom.
    """

    name: str
    widths: np.ndarray
    value: Float[np.ndarray, " w"]
    standard_error: Float[np.ndarray, " w"]
    exponent: float
    interval: tuple[float, float]
    prediction: Prediction
    expected: tuple[float, float]
    p_value: float
    chi_square: float
    freedom: int

    @property
    def size(self) -> Float[np.ndarray, " w"]:
        """The discrepancy itself: root of a square, with the sign of what is below 0 by chance."""
        return np.sign(self.value) * np.sqrt(np.abs(self.value)) if self.prediction.squared else self.value

    @property
    def noise(self) -> Float[np.ndarray, " w"]:
        """What `size` would be for a value of one standard error: below it nothing is resolved."""
        return np.sqrt(self.standard_error) if self.prediction.squared else self.standard_error

    def curve(self, widths: Num[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
        """Fitted size of the discrepancy at these widths; NaN where it does not stand out of the noise."""
        if np.isnan(self.exponent):
            return np.full(len(widths), np.nan)
        power = np.array([self.exponent * (2 if self.prediction.squared else 1)])
        best = _best(self.widths, self.value, self.standard_error, power)
        fitted = best.height[0] * _shape(widths, float(self.widths.min()), power, float(best.shift[0]))[0]
        return np.sqrt(fitted) if self.prediction.squared else fitted

    @property
    def decides(self) -> bool:
        """Whether the interval leaves out what is half a power away from the prediction."""
        low, high = self.interval
        return self.expected[0] - 0.5 < low and high < self.expected[1] + 0.5

    @property
    def predicted(self) -> str:
        """The prediction as text: a number, or two with "to" between them."""
        return " to ".join(f"{end:g}" for end in dict.fromkeys(self.expected))


@checked
def width_scaling(measured: Mapping[int, Mapping[str, Measured]], kinks: bool = False) -> list[WidthScaling]:
    """Fit an exponent to every discrepancy.

    Args:
        measured: by width, what `discrepancies` returned; at least three widths. They need not all have the same
            discrepancies.
        kinks: whether the network's gradient jumps (`has_kinks`), which widens what is predicted.

    Returns:
        One record for each discrepancy that three widths or more have, over these, in the order of `PREDICTIONS`.

    Raises:
        ValueError: fewer than three widths, or standard errors that are not above 0.

    Fails when the smallest width is so small that further terms of the expansion in 1/w matter: `chi_square` grows.
    """
    if len(measured) < 3:
        raise ValueError(f"there are {len(measured)} width(s); an exponent with its error takes at least 3, better 5")
    for width in measured:
        checks.whole("width", int(width))
    having = {name: [width for width in sorted(measured) if name in measured[width]] for name in PREDICTIONS}
    return [
        _fit(name, np.array(widths), [measured[width][name] for width in widths], kinks)
        for name, widths in having.items()
        if len(widths) >= 3
    ]


def judge(scalings: Sequence[WidthScaling], level: float = 0.05) -> list[str]:
    """Say of each discrepancy whether its exponent is the predicted one: "consistent", "not consistent", "undecided".

    Args:
        scalings: from `width_scaling`, of one or of several networks.
        level: chance of any false "not consistent" among them (Holm).
    """
    seen = {str(index): one.p_value for index, one in enumerate(scalings) if np.isfinite(one.p_value)}
    adjusted = holm(seen)
    rejected = [adjusted.get(str(index), 1.0) < level for index in range(len(scalings))]
    return [
        "not consistent" if no else "consistent" if one.decides else "undecided"
        for no, one in zip(rejected, scalings, strict=True)
    ]


def _fit(name: str, widths: np.ndarray, given: Sequence[Measured], kinks: bool) -> WidthScaling:
    value = np.array([one.value for one in given])
    error = np.array([one.standard_error for one in given])
    if not np.all(error > 0):
        raise ValueError(f"the standard error of {name} is 0 at a width; it must come from members that differ")
    prediction, expected = PREDICTIONS[name], PREDICTIONS[name].expected(kinks)
    scale = 0.5 if prediction.squared else 1.0
    profile = _best(widths, value, error, _POWERS).misfit
    best, freedom = int(np.argmin(profile)), max(len(widths) - 3, 1)
    nothing = float(np.sum((value / error) ** 2))
    if nothing - profile[best] < scipy.stats.chi2.ppf(0.999, 3):
        unknown = (-np.inf, np.inf)
        return WidthScaling(name, widths, value, error, np.nan, unknown, prediction, expected, np.nan, nothing, freedom)
    inflated = max(1.0, float(profile[best]) / freedom)
    kept = np.flatnonzero((profile - profile[best]) / inflated <= scipy.stats.chi2.ppf(0.95, 1))
    low = -np.inf if kept[0] == 0 else scale * float(_POWERS[kept[0]])
    high = np.inf if kept[-1] == len(_POWERS) - 1 else scale * float(_POWERS[kept[-1]])
    allowed = np.unique([*np.array(expected) / scale, np.clip(_POWERS[best], *np.array(expected) / scale)])
    predicted = float(np.min(_best(widths, value, error, allowed).misfit))
    drop = (predicted - float(profile[best])) / inflated
    p_value = float(scipy.stats.chi2.sf(max(drop, 0.0), 1))
    exponent = scale * float(_POWERS[best])
    return WidthScaling(
        name, widths, value, error, exponent, (low, high), prediction, expected, p_value, float(profile[best]), freedom
    )


@dataclass(frozen=True)
class _Best:
    """χ² at each power with height and shift at their best, and these."""

    misfit: Float[np.ndarray, " p"]
    height: Float[np.ndarray, " p"]
    shift: Float[np.ndarray, " p"]


def _best(widths: np.ndarray, value: np.ndarray, error: np.ndarray, powers: np.ndarray) -> _Best:
    wanted = value / error
    rows = [_at_shift(widths, wanted, error, powers, float(shift)) for shift in _SHIFTS]
    gains = np.stack([gain for gain, _ in rows])
    chosen, every = np.argmax(gains, axis=0), np.arange(len(powers))
    heights = np.stack([height for _, height in rows])[chosen, every]
    return _Best(wanted @ wanted - gains[chosen, every], heights, _SHIFTS[chosen])


def _at_shift(
    widths: np.ndarray, wanted: np.ndarray, error: np.ndarray, powers: np.ndarray, shift: float
) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, " p"]]:
    """By how much χ² falls with the best height, 0 or above, and that height."""
    design = _shape(widths, float(widths.min()), powers, shift) / error[None, :]
    along, size = design @ wanted, np.sum(design**2, axis=1)
    return np.maximum(along, 0.0) ** 2 / size, np.maximum(along, 0.0) / size


def _shape(
    widths: np.ndarray, smallest: float, powers: Float[np.ndarray, " p"], shift: float
) -> Float[np.ndarray, "p w"]:
    """(w + s)^(−b), 1 at the smallest width; the shift in units of that width."""
    relative = (np.asarray(widths, dtype=np.float64) / smallest + shift) / (1 + shift)
    return relative[None, :] ** -powers[:, None]
