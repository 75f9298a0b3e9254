"""What a figure of information curves shows where: panels, names, units and the selection of each curve's numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from ntkinfo.core.units import unit_of

# Okabe and Ito's palette without its yellow, which is too pale for lines on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

# Each quantity: its label inside a panel that it shares, and its title where it has a panel of its own.
NAMES = {
    "loss_mean": ("ensemble mean", "Loss of the ensemble mean"),
    "loss_gibbs": ("member (Gibbs)", "Loss of one member (Gibbs)"),
    "loss_gibbs_nll": ("member (Gibbs)", "Log-loss of one member"),
    "loss_bayes": ("Bayes", "Log-loss, predictive (Bayes)"),
    "bias_squared": ("bias²", "Bias²"),
    "variance": ("variance", "Variance"),
    "error_mean": ("ensemble mean", "Error of the ensemble mean"),
    "error_member": ("one member", "Error of one member"),
    "information_input": ("$I(Z;X)$", "Output and input: $\\mathbf{I(Z;X)}$"),
    "information_target": ("$I(Z;Y)$", "Output and target: $\\mathbf{I(Z;Y)}$"),
    "information_training_set": ("bound, given labels", "Bound on $\\mathbf{I(Z;D|X)}$"),
    "information_training_set_labels": ("label model", "Label model: $\\mathbf{I(Z;D|X)}$"),
    "information_training_set_joint": ("bound, given labels", "All outputs: bound"),
    "information_training_set_labels_joint": ("label model", "All outputs: label model"),
    "information_parameters": ("function space", "Training set: function space"),
    "information_parameters_labels": ("labels", "Function space: label model"),
    "information_parameters_linear": ("linear", "Training set: linear model"),
    "fisher_trace": ("Fisher trace", "Fisher trace"),
    "speed_squared": ("speed²", "Speed² of the parameters"),
    "path_energy": ("energy", "Energy of the path"),
    "parameter_distance_squared": ("distance²", "Distance² from the start"),
    "path_length": ("length", "Length of the path"),
}


@dataclass(frozen=True)
class Panel:
    """Quantities that share one pair of axes."""

    title: str
    axis: str
    quantities: tuple[str, ...]
    log: bool = False


PANELS = (
    Panel("Squared-error loss", "loss", ("loss_mean", "loss_gibbs")),
    Panel("Bias and variance", "squared error", ("bias_squared", "variance")),
    Panel("Log-likelihood loss", "loss", ("loss_gibbs_nll", "loss_bayes")),
    Panel("Classification error", "error rate", ("error_mean", "error_member")),
    Panel("Output and input", "information", ("information_input",)),
    Panel("Output and target", "information", ("information_target",)),
    Panel(
        "Output and training set: $\\mathbf{I(Z;D|X)}$",
        "information",
        ("information_training_set", "information_training_set_labels"),
        True,
    ),
    Panel(
        "All outputs and training set",
        "information",
        ("information_training_set_joint", "information_training_set_labels_joint"),
        True,
    ),
    Panel(
        "Parameters and training set",
        "information",
        ("information_parameters", "information_parameters_linear", "information_parameters_labels"),
        True,
    ),
    Panel("Speed and Fisher trace", "rate", ("speed_squared", "fisher_trace"), True),
    Panel("Path of the parameters", "size", ("path_energy", "parameter_distance_squared", "path_length"), True),
)

# Others come close to these.
_BENEATH = ("information_training_set", "information_training_set_joint", "information_parameters")


@dataclass(frozen=True)
class Series:
    """One quantity on one split at one depth, in the unit that is shown.

    Args:
        curves: the data set that holds it.
        name: the quantity.
        split: "train" or "test", or None for a quantity that has no splits.
        depth: the depth, or None where the curves are of one depth.
        bits: show nats as bits.
        colour: of its line.
        label: what the legend of its panel calls the lines of this colour.
        beneath: whether lines that may coincide with it are drawn over it.
    """

    curves: xr.Dataset
    name: str
    split: str | None
    depth: int | None
    bits: bool
    colour: str
    label: str
    beneath: bool = False

    def values(self, suffix: str = "") -> np.ndarray | None:
        """Values over time of the quantity or, with a suffix, of a bound on it; None where they are not there."""
        if self.name + suffix not in self.curves:
            return None
        array = self.curves[self.name + suffix]
        if "split" in array.dims:
            array = array.sel(split=self.split)
        if "depth" in array.dims:
            array = array.isel(depth=0) if self.depth is None else array.sel(depth=self.depth)
        if "time" not in array.dims:
            array = array.broadcast_like(self.curves["time"])
        scale = np.log(2.0) if self.bits and unit_of(array.attrs) == "nat" else 1.0
        row = np.asarray(array.values, dtype=float) / scale
        # No band can be drawn about a value without digits, nor about infinity.
        return np.where(np.isfinite(row), row, np.nan) if suffix.endswith("_standard_error") else row

    def interval(self, lower: str, upper: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Two rows of bounds, or None where either is missing."""
        low, high = self.values(lower), self.values(upper)
        return None if low is None or high is None else (low, high)


def several_depths(curves: xr.Dataset) -> bool:
    """Whether the curves are of more than one depth."""
    return curves.sizes.get("depth", 1) > 1


def panels(curves: xr.Dataset) -> Iterator[Panel]:
    """One panel a family of quantities that the curves hold, or one a quantity where there are several depths."""
    for panel in PANELS:
        present = tuple(name for name in panel.quantities if name in curves)
        if several_depths(curves) or len(present) == 1:
            for name in present:
                yield Panel(NAMES[name][1], panel.axis, (name,), panel.log)
        elif present:
            yield Panel(panel.title, panel.axis, present, panel.log)


def series(curves: xr.Dataset, panel: Panel, bits: bool) -> Iterator[Series]:
    """Every line of a panel: a colour a depth, else a colour a quantity, else a colour a split."""
    depths = [int(depth) for depth in curves["depth"].values] if several_depths(curves) else [None]
    for order, name in enumerate(panel.quantities):
        for place, depth in enumerate(depths):
            for turn, split in enumerate(_splits(curves[name])):
                if depth is not None:
                    index, label = place, f"depth {depth}"
                elif len(panel.quantities) > 1:
                    index, label = order, NAMES[name][0]
                else:
                    index, label = turn, split or ""
                beneath = name in _BENEATH and len(panel.quantities) > 1
                yield Series(curves, name, split, depth, bits, COLOURS[index % len(COLOURS)], label, beneath)


def unit(array: xr.DataArray, bits: bool) -> str:
    """The unit to show, empty for a pure number."""
    stated = unit_of(array.attrs)
    if stated in ("", "1"):
        return ""
    return "bit" if bits and stated == "nat" else stated


def axis_label(panel: Panel, units: Mapping[str, str]) -> str:
    """What stands along the axis of a panel: a pure number has the unit 1.

    Args:
        panel: whose axis it is.
        units: by quantity, as `unit` gives them.
    """
    different = set(units.values())
    return f"{panel.axis} ({next(iter(different)) or '1' if len(different) == 1 else 'units in the legend'})"


def _splits(array: xr.DataArray) -> list[str | None]:
    if "split" not in array.dims:
        return [None]
    return [str(split) for split in array["split"].values]
