from __future__ import annotations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex

from ntkinfo.bottleneck.gaussian import GaussianBottleneck
from ntkinfo.information.plane_records import PlaneTrajectory
from ntkinfo.report.figures import plane_figure
from ntkinfo.report.plane_series import plane
from ntkinfo.report.series import COLOURS
from ntkinfo.report.style import save_figure

BOTTLENECK = GaussianBottleneck(np.eye(1), np.eye(1), np.array([[0.9]]))
TIMES = np.concatenate([[0.0], np.geomspace(1e-2, 1e2, 13), [np.inf]])


def trajectory(reach, times=TIMES, error=0.01):
    given = reach * np.linspace(0, 1, len(times))
    return PlaneTrajectory.with_independent_errors(times, given, 0.8 * BOTTLENECK.frontier(given), error, error)


def groups():
    return {
        "erf": {"w_std = 1": trajectory(3.0), "w_std = 2": trajectory(1.0)},
        "relu": {"w_std = 1": trajectory(2.0)},
    }


def draw(**options):
    return plane_figure(groups(), BOTTLENECK.frontier, **options)


def panel(figure, start):
    return next(axes for axes in figure.axes if axes.get_title(loc="left").startswith(start))


def test_every_trajectory_and_the_frontier_are_drawn_where_they_lie():
    axes = panel(draw(), "a   erf")
    curves = [line for line in axes.lines if len(line.get_xdata()) == len(TIMES)]
    assert [to_hex(line.get_color()).upper() for line in curves] == list(COLOURS[:2])
    np.testing.assert_array_equal(curves[0].get_xdata(), groups()["erf"]["w_std = 1"].information_input)
    frontier = next(line for line in axes.lines if len(line.get_xdata()) == 400)
    np.testing.assert_allclose(frontier.get_ydata(), BOTTLENECK.frontier(np.asarray(frontier.get_xdata())))
    assert frontier.get_xdata()[-1] > 3.0
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["w_std = 1", "w_std = 2"]


def test_panels_share_their_axes_and_say_their_units():
    figure = draw(ceiling=BOTTLENECK.mutual_information)
    first, second = panel(figure, "a"), panel(figure, "b")
    assert first.get_xlim() == second.get_xlim()
    assert first.get_ylim() == second.get_ylim()
    assert first.get_xlabel() == "$I(Z;X)$ (nat)"
    assert first.get_ylabel() == "$I(Z;Y)$ (nat)"
    assert panel(figure, "c").get_ylabel() == "vertical distance (nat)"
    assert panel(draw(bits=True), "a").get_xlabel() == "$I(Z;X)$ (bit)"


def test_bits_scale_everything():
    nats, bits = (plane(groups(), BOTTLENECK.frontier, 0.8, choice) for choice in (False, True))
    scale = 1 / np.log(2)
    for name in ("given", "height", "ceiling", "top"):
        np.testing.assert_allclose(getattr(bits, name), scale * np.asarray(getattr(nats, name)))
    ours, theirs = nats.groups["erf"][0], bits.groups["erf"][0]
    for name in ("points", "gap", "gap_error"):
        np.testing.assert_allclose(getattr(theirs, name), scale * getattr(ours, name))
    np.testing.assert_allclose(theirs.marks[1].place, scale * np.asarray(ours.marks[1].place))
    np.testing.assert_allclose(theirs.marks[1].errors, scale * np.asarray(ours.marks[1].errors))


def test_whole_decades_are_marked_with_their_errors_and_labels_keep_apart():
    line = plane({"erf": {"one": trajectory(3.0)}}, BOTTLENECK.frontier, None, False).groups["erf"][0]
    np.testing.assert_allclose([mark.place[0] for mark in line.marks], 3.0 * np.array([1, 4, 7, 10, 13]) / 14)
    np.testing.assert_allclose([mark.errors for mark in line.marks], 0.01)
    labels = [mark.label for mark in line.marks]
    assert labels[1:4] == ["$10^{-1}$", "$10^{0}$", "$10^{1}$"]
    crowded = {"erf": {"small": trajectory(0.1), "large": trajectory(5.0)}}
    small = plane(crowded, BOTTLENECK.frontier, None, False).groups["erf"][0]
    assert not any(mark.label for mark in small.marks)


def test_distances_have_bands_and_values_at_both_ends_of_time():
    axes = panel(draw(), "c")
    gap = 0.2 * BOTTLENECK.frontier(groups()["erf"]["w_std = 1"].information_input)
    np.testing.assert_allclose(axes.lines[0].get_ydata(), gap[1:-1], atol=1e-12)
    labels = [text.get_text() for text in axes.get_xticklabels()]
    assert (labels[0], labels[-1]) == ("0", "∞")
    assert len(axes.collections) >= 3  # the band, and its ends at 0 and infinity


def test_letters_and_legends_lie_inside_the_figure_and_do_not_overlap(tmp_path):
    figure = draw(ceiling=BOTTLENECK.mutual_information)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    width, height = figure.get_size_inches() * figure.dpi
    boxes = [text.get_window_extent() for axes in figure.axes for text in axes.texts if text.get_text()]
    boxes += [legend.get_window_extent() for legend in figure.legends]
    for box in boxes:
        assert box.x0 >= 0
        assert box.x1 <= width
        assert box.y0 >= 0
        assert box.y1 <= height
    for index, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:index])
    save_figure(figure, tmp_path / "plane.png")
    assert (tmp_path / "plane.png").stat().st_size > 10_000


def test_one_panel_without_times_between_zero_and_infinity():
    figure = plane_figure({"": {"one": trajectory(1.0, np.array([0.0, np.inf]))}}, BOTTLENECK.frontier)
    FigureCanvasAgg(figure).draw()
    assert len(figure.axes) == 2


def test_nothing_to_draw():
    with pytest.raises(ValueError, match="no trajectories"):
        plane_figure({}, BOTTLENECK.frontier)
    with pytest.raises(ValueError, match="no trajectories"):
        plane_figure({"erf": {}}, BOTTLENECK.frontier)
