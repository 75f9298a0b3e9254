"""Figure, table and data set of a comparison over widths."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from rich.console import Console

from ntkinfo.finite.comparison_information import InformationSettings
from ntkinfo.finite.comparison_study import scaling_of, study_width
from ntkinfo.finite.verdict import half_limit
from ntkinfo.information.curve_files import load_curves, save_curves
from ntkinfo.report.comparison_dataset import comparison_dataset
from ntkinfo.report.comparison_figure import comparison_figure
from ntkinfo.report.comparison_table import print_comparison
from ntkinfo.report.style import save_figure
from tests.finite.test_comparison import LAW
from tests.finite.test_comparison_verdict import COMPARATOR, outputs

WIDTHS = (8, 16, 32, 64)


@pytest.fixture(scope="module")
def results():
    information = InformationSettings(replicates=4, samples=16)
    return [study_width(outputs(width, count=48, seed=width), COMPARATOR, information) for width in WIDTHS]


@pytest.fixture(scope="module")
def dataset(results):
    return comparison_dataset(results, scaling_of(results), LAW, 0.05)


def panel(figure, title):
    return next(axes for axes in figure.axes if title in axes.get_title(loc="left"))


def test_data_set_holds_what_was_found(results, dataset):
    last = results[-1]
    one = dataset.sel(width=64)
    np.testing.assert_array_equal(one["variance_score_test"], last.comparison.splits["test"].variance_score)
    np.testing.assert_array_equal(one["largest"].sel(family="mean"), last.comparison.agreement["mean"].largest)
    np.testing.assert_allclose(one["mean_train"], outputs(64, count=48, seed=64).train.mean(axis=1))
    assert float(one["half_limit"].sel(family="variance")) == half_limit(last.comparison.agreement["variance"])
    info = next(i for i in last.information if (i.name, i.split) == ("information_input", "train"))
    chosen = one["information_fitted"].sel(information="information_input", split="train")
    np.testing.assert_array_equal(chosen, info.fitted)
    assert json.loads(dataset.attrs["verdicts"])["width 64"] == last.verdict.sentence
    assert "trained in a test" in dataset.attrs["notes"].split("; ")
    assert dataset["members"].values.tolist() == [48] * 4


def test_file_keeps_everything(dataset, tmp_path):
    save_curves(dataset, tmp_path / "compare.nc")
    again = load_curves(tmp_path / "compare.nc")
    xr.testing.assert_identical(again.drop_vars("exponent_verdict"), dataset.drop_vars("exponent_verdict"))
    assert again["exponent_verdict"].values.tolist() == dataset["exponent_verdict"].values.tolist()
    assert len(comparison_figure(again).axes) == 6


def test_figure_shows_each_width_beside_what_chance_reaches(dataset):
    figure = comparison_figure(dataset)
    axes = panel(figure, "Mean")
    drawn = [line for line in axes.lines if len(line.get_xdata()) == 2 and line.get_linestyle() == "-"]
    assert len(drawn) == 4
    np.testing.assert_array_equal(drawn[2].get_ydata(), dataset["largest"].sel(family="mean", width=32)[1:])
    limits = [line.get_ydata()[0] for line in axes.lines if line.get_linestyle() != "-" and line.get_marker() == "None"]
    np.testing.assert_allclose(limits[:4], dataset["half_limit"].sel(family="mean").values)
    scaling = panel(figure, "Discrepancies")
    text = [entry.get_text() for entry in figure.legends[1].get_texts()]
    drift = float(dataset["exponent"].sel(discrepancy="kernel drift"))
    assert f"kernel, drift: {drift:.2f}" in text
    assert [label.get_text() for label in scaling.get_xticklabels()] == ["8", "16", "32", "64"]


def test_letters_and_legends_lie_inside_the_figure(dataset, tmp_path):
    figure = comparison_figure(dataset)
    FigureCanvasAgg(figure).draw()
    width, height = figure.get_size_inches() * figure.dpi
    boxes = [
        text.get_window_extent() for axes in figure.axes for text in (axes.title, axes._left_title) if text.get_text()
    ]
    boxes += [legend.get_window_extent() for legend in figure.legends]
    boxes += [axes.yaxis.label.get_window_extent() for axes in figure.axes]
    first, second = (legend.get_window_extent() for legend in figure.legends)
    assert not first.overlaps(second)
    for axes in figure.axes:  # a label that is longer than its axis runs into the next panel
        assert axes.yaxis.label.get_window_extent().height <= axes.get_window_extent().height
    for box in boxes:
        assert box.x0 >= -1
        assert box.x1 <= width + 1
        assert box.y0 >= -1
        assert box.y1 <= height + 1
    save_figure(figure, tmp_path / "compare.png")
    assert (tmp_path / "compare.png").stat().st_size > 20_000


def test_panels_follow_what_there_is(results, dataset):
    bare = comparison_dataset(results[:1], [], LAW, 0.05)
    titles = [axes.get_title(loc="left") for axes in comparison_figure(bare).axes]
    assert len(titles) == 5
    without = dataset.drop_vars([str(name) for name in dataset.data_vars if str(name).startswith("information")])
    assert panel(comparison_figure(without), "Divergence")
    with pytest.raises(ValueError, match="no width"):
        comparison_figure(dataset.isel(width=slice(0, 0)))


def test_a_width_that_was_interrupted_leaves_gaps(results):
    part = replace(results[1], information=[], linearised=None, drift=None)
    found = comparison_dataset([results[0], part], [], LAW, 0.05)
    assert np.all(np.isnan(found["information_fitted"].sel(width=16)))
    assert np.all(np.isfinite(found["information_fitted"].sel(width=8)))
    assert "kernel_drift" not in found
    FigureCanvasAgg(comparison_figure(found)).draw()


def test_table_marks_what_is_above_its_limit(dataset):
    console = Console(width=130, record=True)
    print_comparison(console, dataset)
    text = console.export_text()
    row = next(line for line in text.splitlines() if line.strip().startswith("8 "))
    one = dataset.sel(width=8, family="variance")
    assert f"{float(one['largest'].max()):.1f} ({float(one['limit']):.1f})!" in row
    assert "consistent" in text
    assert "width 64: " in text
    assert "…" not in text
