"""The figure of the information plane shows the numbers of the study and of the findings, and nothing overlaps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex

from ntkinfo.finite.gradient_phases import SignalToNoise
from ntkinfo.finite.layered import LayeredNetwork
from ntkinfo.finite.plane import PlaneData, PlaneSettings, PlaneStudy
from ntkinfo.finite.plane_compression import BIT, FindingSettings
from ntkinfo.finite.plane_findings import findings
from ntkinfo.report.layers_figure import layers_figure
from ntkinfo.report.series import COLOURS
from ntkinfo.report.style import save_figure

EPOCHS = np.unique(np.concatenate([[0], np.round(np.geomspace(1, 1000, 20))])).astype(np.int64)
SETTINGS = PlaneSettings(network=LayeredNetwork(), epochs=1000, seeds=6)
DATA = PlaneData(np.zeros((4, 12)), np.array([0, 1, 1, 0]), np.array([0, 1]))


def study(seed=0, drop=2.0, batch=256):
    """Six layers whose I(X;T) rises to epoch 10 and then falls, more so the later layer."""
    random = np.random.default_rng(seed)
    place = np.log(np.maximum(EPOCHS, 0.5))[:, None, None]
    deep = np.arange(6)[None, None, :]
    given = 8.3 - deep + 0.2 * np.minimum(place, 2.3) - drop * deep / 5 * np.maximum(place - 2.3, 0) / 4.6
    given = given + 0.05 * random.normal(size=(1, 6, 6)) + 0 * place
    told = np.clip(0.12 * place - 0.05 * deep + 0.3, 0.0, 0.68) + np.zeros((1, 6, 6))
    ratio = np.exp(2 - place + 0.1 * random.normal(size=(1, 6, 6)) - 0.1 * deep)
    error = np.clip(0.5 - 0.1 * place[:, :, 0] + 0.02 * random.normal(size=(1, 6)), 0, 1)
    signal = SignalToNoise(ratio, np.ones_like(ratio), ratio, 0 * ratio)
    settings = replace(SETTINGS, batch_size=batch)
    errors = np.stack([error, error])
    return PlaneStudy(settings, DATA, EPOCHS, given, told, errors, errors, None, signal, ratio, (), np.ones((6, 6, 2)))


@pytest.fixture(scope="module")
def found():
    depths = {depth: study(depth) for depth in (1, 3, 5)}
    return findings(study(), study(1, 1.5, None), depths, settings=FindingSettings(draws=100))


def panel(figure, start):
    return next(axes for axes in figure.axes if axes.get_title(loc="left").startswith(start))


def test_panels_hold_the_numbers_of_the_study(found):
    held = study()
    figure = layers_figure(held, found)
    courses = panel(figure, "b").lines
    for layer in range(6):
        np.testing.assert_allclose(courses[layer].get_ydata(), held.information_input[:, :, layer].mean(axis=1) / BIT)
    assert to_hex(courses[0].get_color()).upper() == COLOURS[0]
    ratios = panel(figure, "c").lines
    expected = np.exp(0.5 * np.log(held.exact.ratio_squared[:, :, 0]).mean(axis=1))
    np.testing.assert_allclose(ratios[0].get_ydata(), expected)
    marks = [line.get_xdata()[0] for line in ratios if line.get_marker() == "o"]
    np.testing.assert_allclose(marks, found.start.transition_epochs)
    points = [collection.get_offsets() for collection in panel(figure, "a").collections]
    np.testing.assert_allclose(points[2][:, 0], held.information_input[:, :, 2].mean(axis=1) / BIT)
    np.testing.assert_allclose(panel(figure, "f").lines[0].get_ydata(), found.depth.median)


def test_bits_and_nats(found):
    assert panel(layers_figure(study(), found), "b").get_ylabel() == "$I(X;T)$ (bit)"
    nats = panel(layers_figure(study(), found, bits=False), "b")
    assert nats.get_ylabel() == "$I(X;T)$ (nat)"
    np.testing.assert_allclose(nats.lines[1].get_ydata(), study().information_input[:, :, 1].mean(axis=1))


def test_outcomes_are_written_out(found):
    texts = [text.get_text() for axes in layers_figure(study(), found).axes for text in axes.texts]
    for claim, outcome, _ in found.rows:
        assert any(claim == text.replace("\n", " ") for text in texts)
        assert outcome in texts


def test_what_was_not_measured_says_so():
    bare = replace(study(), exact=None)
    figure = layers_figure(bare, findings(bare, settings=FindingSettings(draws=100)))
    for letter in "cef":
        assert panel(figure, letter).texts[0].get_text() == "not measured"


def test_a_depth_that_never_reaches_the_error_is_a_triangle(found):
    never = replace(found.depth, epochs=np.where(np.arange(3)[:, None] == 1, np.inf, found.depth.epochs))
    axes = panel(layers_figure(study(), replace(found, depth=never)), "f")
    assert [line.get_marker() for line in axes.lines].count("^") == 1


def test_words_lie_inside_the_figure_and_apart(found, tmp_path):
    figure = layers_figure(study(), found)
    FigureCanvasAgg(figure).draw()
    width, height = figure.get_size_inches() * figure.dpi
    boxes = [text.get_window_extent() for axes in figure.axes for text in axes.texts]
    assert len(boxes) == 15
    for index, box in enumerate(boxes):
        assert box.x0 >= -1
        assert box.x1 <= width + 1
        assert box.y0 >= 0
        assert box.y1 <= height
        assert not any(box.overlaps(other) for other in boxes[:index])
    save_figure(figure, tmp_path / "layers.png")
    assert (tmp_path / "layers.png").stat().st_size > 20_000
