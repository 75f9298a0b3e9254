"""The quantities that curves are made of: names, units, meanings, and which belong together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ntkinfo.core import checks


@dataclass(frozen=True)
class Quantity:
    """A curve.

    Args:
        long_name: what it is, for figures and files.
        units: "nat" for informations and log-losses, "1" for pure numbers, or what the targets and the time are in.
        meaning: "exact", "upper bound", …; "" where each result says.
        dims: of the variable.
        group: quantities that are computed together.
        needs_labels: whether classes must be known.
        default: whether it is computed where no quantities are named; not what takes factors of whole covariances at
            many times.
    """

    long_name: str
    units: str
    meaning: str
    dims: tuple[str, ...]
    group: str
    needs_labels: bool = False
    default: bool = True


_SPLIT, _TIME = ("time", "split"), ("time",)

QUANTITIES: Mapping[str, Quantity] = {
    "loss_mean": Quantity("loss of the ensemble mean", "target²", "exact", _SPLIT, "losses"),
    "bias_squared": Quantity("squared bias", "target²", "exact", _SPLIT, "losses"),
    "variance": Quantity("variance of a member's outputs", "target²", "exact", _SPLIT, "losses"),
    "loss_gibbs": Quantity("expected loss of a member (Gibbs)", "target²", "exact", _SPLIT, "losses"),
    "loss_gibbs_nll": Quantity("expected negative log-likelihood of a member", "nat", "exact", _SPLIT, "losses"),
    "loss_bayes": Quantity("negative log-likelihood of the predictive law (Bayes)", "nat", "exact", _SPLIT, "losses"),
    "error_mean": Quantity("classification error of the ensemble mean", "1", "exact", _SPLIT, "losses", True),
    "error_member": Quantity("expected classification error of a member", "1", "quadrature", _SPLIT, "member", True),
    "information_input": Quantity("I(Z;X), output and input", "nat", "", _SPLIT, "output"),
    "information_target": Quantity("I(Z;Y), output and target", "nat", "", _SPLIT, "output"),
    "information_training_set": Quantity(
        "I(Z;D|X), output and training set", "nat", "upper bound", _SPLIT, "training set"
    ),
    "information_training_set_labels": Quantity(
        "I(Z;D|X), output and training set, label model", "nat", "exact", _SPLIT, "labels"
    ),
    "information_training_set_joint": Quantity(
        "bound on I(Z;D|X), all outputs together", "nat", "upper bound", _SPLIT, "joint", default=False
    ),
    "information_training_set_labels_joint": Quantity(
        "I(Z;D|X), all outputs together, label model", "nat", "exact", _SPLIT, "joint", default=False
    ),
    "information_parameters": Quantity(
        "relative entropy to the start, function space", "nat", "lower bound", _TIME, "parameters"
    ),
    "information_parameters_labels": Quantity(
        "I(f;D|X), function space, label model", "nat", "lower bound", _TIME, "parameters", default=False
    ),
    "information_parameters_linear": Quantity(
        "relative entropy to the start, linear model", "nat", "exact", _TIME, "parameters"
    ),
    "fisher_trace": Quantity("trace of the Fisher information", "1", "exact", _TIME, "path"),
    "speed_squared": Quantity("squared speed of the parameters", "1/time²", "exact", _TIME, "path"),
    "path_energy": Quantity("energy of the parameters' path", "1/time", "exact", _TIME, "path"),
    "parameter_distance_squared": Quantity(
        "squared distance of the parameters from the start", "1", "exact", _TIME, "path"
    ),
    "path_length": Quantity("length of the parameters' path", "1", "quadrature", _TIME, "path"),
}
"""Name of each curve and what is known of it beforehand."""

NEED_TARGETS = frozenset(
    {"loss_mean", "bias_squared", "loss_gibbs", "loss_gibbs_nll", "loss_bayes"}
    | {"error_mean", "error_member", "information_target"}
)
"""What is about the targets of a split, and not known where they are not."""

SUFFIXES: Mapping[str, str] = {
    "_lower": "lower bound",
    "_upper": "upper bound",
    "_multisample_lower": "multi-sample lower bound",
    "_multisample_upper": "multi-sample upper bound",
    "_multisample_lower_standard_error": "standard error of the multi-sample lower bound",
    "_multisample_upper_standard_error": "standard error of the multi-sample upper bound",
    "_standard_error": "standard error, or the numerical error where nothing is drawn",
    "_method": "route, where it changes over time or from split to split",
}
"""Endings of the variables that go with a curve."""

CLIPPED: Mapping[str, str] = {
    "_lower": "at 0",
    "_upper": "at log m; for I(Z;Y) at the entropy of the labels and the upper bound of I(Z;X)",
}
"""Where bounds are cut off at what is known beforehand."""


EARLIER_NAMES: Mapping[str, str] = {"parameter_distance": "parameter_distance_squared"}
"""What curves were called in earlier versions, with the same values; still read in files and taken where asked for."""


def current_name(name: str) -> str:
    """Name of a curve, or of a variable that goes with one, as it is called now."""
    for earlier, now in EARLIER_NAMES.items():
        suffix = name.removeprefix(earlier)
        if name.startswith(earlier) and (not suffix or suffix in SUFFIXES):
            return now + suffix
    return name


def by_default() -> tuple[str, ...]:
    """Return the names of what is computed where no quantities are named."""
    return tuple(name for name, quantity in QUANTITIES.items() if quantity.default)


def choose(quantities: Iterable[str] | None, labelled: bool, gradient_noise: bool) -> tuple[str, ...]:
    """Return the names asked for, checked; None asks for every default quantity that the problem has.

    Raises:
        ValueError: an unknown name, a quantity that needs classes where there are none, or one that gradient noise
            makes infinite.
    """
    impossible = {name for name, q in QUANTITIES.items() if q.needs_labels and not labelled}
    if gradient_noise:
        impossible.add("information_parameters_linear")
    if quantities is None:
        return tuple(name for name in by_default() if name not in impossible)
    chosen = tuple(dict.fromkeys(current_name(name) for name in quantities))
    if not chosen:
        raise ValueError("quantities is empty; name at least one, or leave it out for the default ones")
    for name in chosen:
        checks.choice("quantities", name, QUANTITIES)
        if name in impossible:
            reason = "the data have no classes" if QUANTITIES[name].needs_labels else "temperature is above 0"
            raise ValueError(f"{name} cannot be computed: {reason}; leave it out of quantities")
    return chosen
