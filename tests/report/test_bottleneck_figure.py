from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from rich.console import Console

from ntkinfo.bottleneck.discrete_curve import bottleneck_curve
from ntkinfo.bottleneck.dual import dual_curve
from ntkinfo.bottleneck.gaussian import GaussianBottleneck
from ntkinfo.bottleneck.gaussian_samples import bottleneck_from_samples
from ntkinfo.bottleneck.problems import binary_symmetric
from ntkinfo.core.progress import silent
from ntkinfo.report.bottleneck_dataset import discrete_dataset, gaussian_dataset
from ntkinfo.report.bottleneck_figure import bottleneck_figure
from ntkinfo.report.bottleneck_table import print_bottleneck


@pytest.fixture(scope="module")
def curve():
    return bottleneck_curve(binary_symmetric(0.1), accuracy=0.01, progress=silent)


@pytest.fixture(scope="module")
def found(curve):
    return discrete_dataset(curve, dual_curve(binary_symmetric(0.1), [1.0, 2.0], progress=silent))


def panel(figure, start):
    return next(axes for axes in figure.axes if axes.get_title(loc="left").startswith(start))


@pytest.mark.parametrize("bits", [False, True])
def test_curves_and_solutions_are_drawn_where_they_lie(found, curve, bits):
    scale = 1 / np.log(2) if bits else 1.0
    figure = bottleneck_figure(found, bits)
    FigureCanvasAgg(figure).draw()
    plane = panel(figure, "a")
    line = next(line for line in plane.lines if len(line.get_xdata()) == found.sizes["grid"])
    np.testing.assert_allclose(line.get_ydata(), scale * curve.lower(found["grid"].values))
    dots = next(line for line in plane.lines if line.get_marker() == "o")
    np.testing.assert_allclose(dots.get_xdata(), scale * curve.information_input)
    squares = next(line for line in plane.lines if line.get_marker() == "s")
    np.testing.assert_allclose(squares.get_ydata(), scale * found["dual_information_target"].values)
    assert plane.get_xlabel() == f"$I(T;X)$ ({'bit' if bits else 'nat'})"
    gaps = next(line for line in panel(figure, "b").lines if line.get_marker() == "o")
    np.testing.assert_allclose(gaps.get_ydata(), scale * np.array([s.gap for s in curve.solutions]))
    distortion = panel(figure, "c").lines[0]
    np.testing.assert_allclose(distortion.get_ydata(), scale * found["dual_distortion"].values)


def test_without_a_dual_and_with_an_interval(curve):
    assert len(bottleneck_figure(discrete_dataset(curve, ())).axes) == 2
    rows = np.random.default_rng(0).multivariate_normal(np.zeros(2), [[1, 0.7], [0.7, 1]], size=200)
    sampled = bottleneck_from_samples(rows[:, :1], rows[:, 1:], groups=20)
    found = gaussian_dataset(sampled.bottleneck, True, sampled)
    figure = bottleneck_figure(found)
    FigureCanvasAgg(figure).draw()
    texts = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert "95 % interval around the corrected estimate" in texts
    with pytest.raises(ValueError, match="no curve"):
        bottleneck_figure(xr.Dataset())
    flat = GaussianBottleneck(np.eye(1), np.eye(1), np.zeros((1, 1)))
    with pytest.raises(ValueError, match="uncorrelated"):
        gaussian_dataset(flat, True)


def test_what_is_rounding_is_not_drawn_as_a_measurement():
    found = gaussian_dataset(GaussianBottleneck(np.eye(2), np.eye(2), np.diag([0.9, 0.4])), False)
    axes = panel(bottleneck_figure(found), "b")
    hollow = next(line for line in axes.lines if line.get_markerfacecolor() == "white")
    assert len(hollow.get_ydata()) == found.sizes["solution"]
    assert np.unique(hollow.get_ydata()).size == 1
    assert np.all(found["gap"].values < hollow.get_ydata())
    assert [text.get_text().split(",")[0] for text in axes.texts] == ["all within rounding"]
    found["gap"][3] = 1e-6  # a disagreement that is none of rounding
    axes = panel(bottleneck_figure(found), "b")
    (seen,) = (line for line in axes.lines if line.get_markerfacecolor() != "white")
    np.testing.assert_array_equal(seen.get_ydata(), [1e-6])
    assert [text.get_text() for text in axes.texts] == ["within rounding"]


def test_nothing_overlaps_and_everything_is_inside(found):
    figure = bottleneck_figure(found)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    width, height = figure.get_size_inches() * figure.dpi
    boxes = [axes.xaxis.label.get_window_extent() for axes in figure.axes]
    boxes += [axes.yaxis.label.get_window_extent() for axes in figure.axes]
    boxes += [legend.get_window_extent() for legend in figure.legends]
    for index, box in enumerate(boxes):
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= width
        assert box.y1 <= height
        assert not any(box.overlaps(other) for other in boxes[:index])


def test_table_says_the_numbers_and_the_certificate(found, curve, capsys):
    print_bottleneck(Console(width=130), found, bits=True)
    out = capsys.readouterr().out
    row = curve.solutions[0]
    assert f"{row.information_input / np.log(2):.5f}" in out
    assert f"{curve.gap / np.log(2):.2e} bit above the curve" in out
    assert f"{len(curve.solutions)} solutions, ended: {curve.stop}" in out
