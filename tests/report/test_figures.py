from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg

from ntkinfo.report import style
from ntkinfo.report.figures import curves_figure
from ntkinfo.report.series import NAMES
from ntkinfo.report.style import save_figure

TIMES = np.append(np.geomspace(1e-2, 1e6, 17), np.inf)
SPLIT = ["train", "test"]


def decay(times=TIMES):
    return np.exp(-(np.minimum(times, 700.0) ** 0.4))


def curves(depth=1, times=TIMES):
    """A data set of the layout of `information_curves`, of smooth made-up numbers."""
    fall = decay(times)
    over_splits = np.stack([fall, 0.1 + 0.9 * fall], axis=1) * depth
    data = {}
    for name in ("loss_mean", "loss_gibbs", "bias_squared", "variance", "error_mean", "error_member"):
        data[name] = (("time", "split"), over_splits, {"units": "1"})
    for name in ("loss_gibbs_nll", "loss_bayes"):
        data[name] = (("time", "split"), over_splits + 9, {"units": "nat"})
    for name in ("information_input", "information_target"):
        value = 3 * depth * (1 - over_splits / 2)
        data[name] = (("time", "split"), value, {"units": "nat"})
        data[f"{name}_standard_error"] = (("time", "split"), 0.02 + 0 * value, {"units": "nat"})
        data[f"{name}_lower"] = (("time", "split"), value - 0.5, {"units": "nat"})
        data[f"{name}_upper"] = (("time", "split"), value + 0.5, {"units": "nat"})
        data[f"{name}_multisample_lower"] = (("time", "split"), value - 0.1, {"units": "nat"})
        data[f"{name}_multisample_upper"] = (("time", "split"), value + 0.1, {"units": "nat"})
    for name in ("information_training_set", "information_training_set_joint"):
        data[name] = (("time", "split"), np.log1p(times)[:, None] * [1, 2], {"units": "nat"})
        label = name.replace("_set", "_set_labels")
        data[label] = (("time", "split"), np.log1p(times)[:, None] * [3, 4], {"units": "nat"})
    for name in ("information_parameters", "information_parameters_linear", "information_parameters_labels"):
        data[name] = ("time", depth * times, {"units": "nat"})
    data["fisher_trace"] = ((), 2500.0 * depth, {"units": "1 / time"})
    data["speed_squared"] = ("time", 1e3 * fall, {"units": "1 / time"})
    for name in ("path_energy", "parameter_distance_squared", "path_length"):
        data[name] = ("time", 400 * (1.01 - fall), {"units": "1"})
    return xr.Dataset(data, coords={"time": times, "split": SPLIT})


def deep_curves():
    return xr.concat([curves(d) for d in (1, 2, 3)], xr.DataArray([1, 2, 3], dims="depth", name="depth"))


def panels(figure):
    return {axes.get_title(loc="left").split("   ")[-1]: axes for axes in figure.axes if axes.axison}


def lines(axes, points=17):
    return [line for line in axes.lines if len(line.get_xdata()) == points]


def test_every_quantity_has_a_panel_and_its_line_holds_the_data():
    figure = curves_figure(curves())
    drawn = panels(figure)
    assert len(drawn) == 11
    train, test, *_ = lines(drawn["Log-likelihood loss"])
    np.testing.assert_array_equal(train.get_ydata(), decay()[:-1] + 9)
    np.testing.assert_array_equal(test.get_ydata(), 0.1 + 0.9 * decay()[:-1] + 9)
    np.testing.assert_array_equal(train.get_xdata(), TIMES[:-1])


def test_train_and_test_differ_by_line_style_in_every_panel():
    for title, axes in panels(curves_figure(curves())).items():
        styles = {str(line.get_linestyle()) for line in lines(axes)}
        both = title not in ("Parameters and training set", "Speed and Fisher trace", "Path of the parameters")
        assert styles >= ({"-", "--"} if both else {"-"}), title


def test_bits_divide_nats_by_log_two_and_leave_the_rest():
    nats, bits = panels(curves_figure(curves())), panels(curves_figure(curves(), bits=True))
    for title, factor, label in (
        ("Log-likelihood loss", np.log(2), "loss (bit)"),
        ("Bias and variance", 1.0, None),
    ):
        np.testing.assert_allclose(
            lines(bits[title])[0].get_ydata() * factor, lines(nats[title])[0].get_ydata(), rtol=1e-15
        )
        assert label is None or bits[title].get_ylabel() == label
    assert nats["Log-likelihood loss"].get_ylabel() == "loss (nat)"
    assert "bit" not in bits["Speed and Fisher trace"].get_ylabel()


def test_value_at_infinity_is_a_marker_right_of_the_last_time_and_an_infinite_value_a_triangle():
    drawn = panels(curves_figure(curves()))
    dots = [line for line in drawn["Bias and variance"].lines if line.get_marker() == "o"]
    assert len(dots) == 4
    assert all(line.get_xdata()[0] > 1e6 for line in dots)
    assert dots[0].get_ydata()[0] == decay()[-1]
    triangles = [line for line in drawn["Parameters and training set"].lines if line.get_marker() == "^"]
    assert len(triangles) == 3
    assert "∞" in [text.get_text() for text in drawn["Bias and variance"].get_xticklabels()]


def test_bound_and_label_model_share_a_panel_and_are_told_apart():
    axes = panels(curves_figure(curves()))["Output and training set: $\\mathbf{I(Z;D|X)}$"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["bound, given labels", "label model"]
    bound, _, model, _ = lines(axes)
    np.testing.assert_array_equal(bound.get_ydata(), np.log1p(TIMES[:-1]))
    np.testing.assert_array_equal(model.get_ydata(), 3 * np.log1p(TIMES[:-1]))
    assert bound.get_color() != model.get_color()
    assert bound.get_linewidth() > model.get_linewidth()


def test_without_infinity_there_is_no_place_for_it():
    drawn = panels(curves_figure(curves().isel(time=slice(0, -1))))
    labels = [text.get_text() for text in drawn["Bias and variance"].get_xticklabels()]
    assert "∞" not in labels
    assert not [line for axes in drawn.values() for line in axes.lines if line.get_marker() in ("o", "^")]


def test_time_zero_stands_left_of_the_first_time():
    drawn = panels(curves_figure(curves(times=np.append(0.0, TIMES))))
    axes = drawn["Bias and variance"]
    assert axes.get_xticklabels()[0].get_text() == "0"
    assert 0 < min(line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o") < 1e-2


def test_bounds_are_shaded_between_lower_and_upper():
    axes = panels(curves_figure(curves()))["Output and input: $\\mathbf{I(Z;X)}$"]
    region = axes.collections[0].get_paths()[0].vertices
    value = 3 * (1 - decay()[0] / 2)
    at_start = region[region[:, 0] == TIMES[0], 1]
    np.testing.assert_allclose([at_start.min(), at_start.max()], [value - 0.5, value + 0.5], rtol=1e-12)


def test_several_depths_have_one_colour_each_in_one_panel_a_quantity():
    figure = curves_figure(deep_curves())
    drawn = panels(figure)
    assert len(drawn) == len(NAMES)
    depths = lines(drawn["Energy of the path"])
    assert len({line.get_color() for line in depths}) == 3
    legends = [axes.get_legend() for axes in figure.axes if axes.get_legend()] + list(figure.legends)
    assert {text.get_text() for text in legends[-1].get_texts()} >= {"depth 1", "depth 2", "depth 3"}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_each_quantity_alone_is_one_panel(name):
    figure = curves_figure(curves()[[name]].assign_coords(time=TIMES))
    assert list(panels(figure)) == [NAMES[name][1]]


@pytest.mark.parametrize("make", [curves, deep_curves, lambda: curves()[["information_input"]]])
def test_legends_and_labels_overlap_nothing(make):
    figure = curves_figure(make())
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    frames = [axes.get_window_extent(renderer) for axes in figure.axes if axes.axison]
    texts = [axes.get_legend() for axes in figure.axes if axes.get_legend()] + list(figure.legends)
    boxes = [legend.get_window_extent(renderer) for legend in texts]
    assert boxes
    page = figure.get_window_extent(renderer)
    for box in boxes:
        assert not [frame for frame in frames if _overlap(box, frame) > 1], "a legend covers a panel"
        assert page.x0 <= box.x0 + 1, "a legend leaves the page"
        assert box.x1 <= page.x1 + 1, "a legend leaves the page"
    titles = [axes._left_title.get_window_extent(renderer) for axes in figure.axes if axes.axison]
    for index, title in enumerate(titles):
        assert title.x1 <= page.x1 + 1
        assert all(_overlap(title, other) < 1 for other in titles[index + 1 :])
        assert all(_overlap(title, box) < 1 for box in boxes)


def _overlap(a, b):
    """Area in square pixels that two boxes share."""
    width, height = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
    return max(width, 0) * max(height, 0)


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_saved_file_is_whole_the_same_each_time_and_alone(tmp_path, suffix):
    for name in ("one", "two"):
        save_figure(curves_figure(curves()[["variance"]]), tmp_path / f"{name}.{suffix}")
    one, two = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in ("one", "two"))
    assert len(one) > 1000
    assert one == two
    assert len(list(tmp_path.iterdir())) == 2


def test_failed_save_leaves_nothing_and_keeps_what_was_there(tmp_path):
    target = tmp_path / "figure.docx"
    target.write_text("kept")
    with pytest.raises(ValueError, match="docx"):
        save_figure(curves_figure(curves()[["variance"]]), target)
    assert target.read_text() == "kept"
    assert list(tmp_path.iterdir()) == [target]


def test_values_that_fall_to_nothing_do_not_stretch_a_logarithmic_axis():
    falling = curves()[["speed_squared"]]
    falling["speed_squared"][-4:] = [1e-200, 1e-300, 0.0, 1e-310]
    (axes,) = panels(curves_figure(falling)).values()
    low, high = axes.get_ylim()
    assert 1e-14 < low / high < 1e-11
    assert not [line for line in axes.lines if line.get_marker() == "o"], "a marker below the axis is drawn"


def test_nothing_to_draw_is_an_error():
    with pytest.raises(ValueError, match="none of the quantities"):
        curves_figure(curves()[["variance"]].rename(variance="spread"))
    with pytest.raises(ValueError, match="no time"):
        curves_figure(curves().isel(time=0, drop=True))


def test_global_settings_and_pyplot_are_left_alone():
    before = dict(mpl.rcParams)
    curves_figure(curves()[["variance"]])
    assert dict(mpl.rcParams) == before
    code = "import sys, ntkinfo.report.figures; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("bits", [False, True])
def test_every_axis_has_a_unit(bits):
    for axes in panels(curves_figure(curves(), bits=bits)).values():
        assert re.search(r"\(.+\)$", axes.get_ylabel()), axes.get_ylabel()
        assert axes.get_xlabel() in ("", "training time (1)")
        if axes.get_ylabel().endswith("legend)"):
            assert all(text.get_text().endswith(")") for text in axes.get_legend().get_texts())


def test_a_notebook_shows_a_figure_without_a_magic_command():
    image = curves_figure(curves())._repr_png_()
    assert image.startswith(b"\x89PNG")
    assert 700 < int.from_bytes(image[16:20], "big") < 900  # pixels across


def test_every_module_of_figures_makes_figures_that_a_notebook_shows():
    sources = [path.read_text(encoding="utf-8") for path in Path(style.__file__).parent.glob("*figure*.py")]
    assert len(sources) >= 7
    assert [text for text in sources if re.search(r"(?<!def )\bFigure\(|plt\.", text)] == []
