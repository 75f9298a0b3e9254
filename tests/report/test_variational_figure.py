from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg

from ntkinfo.report.variational_figure import variational_figure

ENTROPY = float(np.log(10))
VALUES = {
    "information_input": 2.5,
    "information_input_upper": 3.5,
    "information_target": 2.0,
    "information_target_lower": 1.9,
    "cross_entropy": ENTROPY - 1.9,
    "error": 0.04,
    "error_standard_error": 0.01,
}


def run(shift: float) -> xr.Dataset:
    """Two steps on two splits; the last step on the test inputs holds VALUES, informations moved by the shift."""
    rows = {}
    for name, value in VALUES.items():
        moved = value + shift * name.startswith("information") - shift * (name == "cross_entropy")
        rows[name] = (("step", "split"), np.array([[0.5, 0.6], [0.7, 1.0]]) * moved)
    return xr.Dataset(rows, {"step": [0, 10], "split": ["train", "test"]})


@pytest.mark.parametrize(("bits", "split", "factor"), [(False, "test", 1.0), (True, "train", 0.7)])
def test_values_bounds_and_errors_are_drawn_where_they_lie(bits, split, factor):
    scale = 1 / np.log(2) if bits else 1.0
    figure = variational_figure({"one": [run(0.0), run(0.1)], "other": [run(0.2)]}, split, bits)
    FigureCanvasAgg(figure).draw()
    plane, errors = figure.axes
    lines = {line.get_label(): line for line in plane.lines}
    np.testing.assert_allclose(lines["one"].get_xdata(), scale * factor * np.array([2.5, 2.6]))
    np.testing.assert_allclose(lines["one"].get_ydata(), scale * factor * np.array([2.0, 2.1]))
    ceiling = next(line for line in plane.lines if len(set(line.get_ydata())) == 1 and line.get_xdata()[0] == 0)
    np.testing.assert_allclose(ceiling.get_ydata(), scale * factor * ENTROPY)
    rates, lowers = plane.collections[:2]
    np.testing.assert_allclose(rates.get_segments()[1], scale * factor * np.array([[2.6, 2.1], [3.6, 2.1]]))
    np.testing.assert_allclose(lowers.get_segments()[0], scale * factor * np.array([[2.5, 1.9], [2.5, 2.0]]))
    np.testing.assert_allclose(errors.lines[0].get_ydata(), 100 * factor * np.array([0.04, 0.04]))
    bars = errors.collections[0].get_segments()[0]
    np.testing.assert_allclose(bars[:, 1], 100 * factor * np.array([0.02, 0.06]))
    unit = "bit" if bits else "nat"
    assert plane.get_ylabel() == f"$I(Z;Y)$ ({unit})"
    assert errors.get_xlabel() == f"$I(X;Z)$ ({unit})"


@pytest.mark.parametrize(
    ("runs", "split", "message"),
    [
        ({}, "test", "no runs"),
        ({"one": []}, "test", "no runs"),
        ({"one": [run(0.0)]}, "validation", "validation inputs"),
        ({"one": [run(0.0).drop_vars("information_target")]}, "test", "no I"),
    ],
)
def test_bad_input(runs, split, message):
    with pytest.raises(ValueError, match=message):
        variational_figure(runs, split)
