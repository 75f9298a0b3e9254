"""The report page as text: structure, escaping, size, what a folder may hold, and the commands that write it."""

from __future__ import annotations

import itertools
import json
import re
from html.parser import HTMLParser
from importlib import resources

import numpy as np
import pytest

from ntkinfo.cli import run
from ntkinfo.information.curve_files import save_curves
from ntkinfo.report.page import page_text, write_page
from ntkinfo.report.page_axes import linear_axis, log_axis, time_axis
from ntkinfo.report.page_folder import read_results
from ntkinfo.report.page_html import Html, element, json_block
from ntkinfo.runs import _stack as stack
from tests.cli_helpers import FAST
from tests.report.page_results import HOSTILE, KINDS, comparison, curves, fill, ranking

VOID = {"br", "col", "hr", "input", "link", "meta", "wbr"}


class Page(HTMLParser):
    """Every element of a page with its attributes, checked to be closed in order."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.blocks: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        assert len(attrs) == len(dict(attrs)), f"an attribute of {tag} is given twice"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] == "script":
            self.blocks.append(data)

    def named(self, *tags):
        return [attributes for tag, attributes in self.elements if tag in tags]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The page of a folder that holds everything."""
    return write_page(fill(tmp_path_factory.mktemp("report") / HOSTILE.replace("/", "_"))).read_text(encoding="utf-8")


def test_the_page_has_a_language_landmarks_and_headings_in_order(whole):
    page = Page(whole)
    assert page.named("html")[0]["lang"] == "en"
    assert [len(page.named(tag)) for tag in ("h1", "main", "header", "footer", "nav", "title")] == [1] * 6
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    identifiers = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    for attributes in (attributes for _, attributes in page.elements):
        for key in ("aria-labelledby", "aria-describedby", "for"):
            assert attributes.get(key, identifiers[0]) in identifiers
        if attributes.get("href", "").startswith("#"):
            assert attributes["href"][1:] in identifiers
    assert len(page.named("caption")) == len(page.named("table"))
    assert all("scope" in head for head in page.named("th"))
    assert all("id" in slider for slider in page.named("input"))


def test_nothing_is_fetched_and_no_script_runs_but_the_own_one(whole):
    page = Page(whole)
    assert not re.search(r"@import|url\(\s*['\"]?(?!#)", whole)
    for tag, attributes in page.elements:
        assert tag not in ("iframe", "object", "embed", "base", "image", "img")
        for key in ("src", "href", "xlink:href", "srcset", "action", "data"):
            assert attributes.get(key, "#").startswith(("#", "data:,"))
        assert not any(key.startswith("on") for key in attributes)
    kinds = [attributes.get("type") for attributes in page.named("script")]
    assert sorted(kind or "" for kind in kinds) == ["", *["application/json"] * 3]
    policy = next(a["content"] for a in page.named("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy


def test_names_from_data_stay_text(whole):
    page = Page(whole)
    assert HOSTILE.lower() not in whole.lower()
    assert whole.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 8
    assert len(page.named("script")) == 4
    text = f"</script><!-- {HOSTILE} & \u2028"
    block = str(json_block({"a": text}))
    assert json.loads(block.partition(">")[2].rpartition("</script>")[0])["a"] == text
    assert block.count("<") == 2
    given = str(element("p", text, Html("<b>x</b>"), title='"><i onload="'))
    assert given.count("<") == 4
    assert 'title="&quot;&gt;&lt;i onload=&quot;"' in given


def test_numbers_for_the_slider_are_those_of_the_results(whole):
    page, found = Page(whole), curves()
    data = next(d for d in map(json.loads, [b for b in page.blocks if b.startswith("{")]) if "plane" in d["charts"])
    assert data["steps"][0] == "t = 0"
    assert data["steps"][-1] == "t = ∞"
    assert len(data["steps"]) == found.sizes["time"]
    first = data["charts"]["panel-0"]["lines"]
    values = found["loss_mean"].sel(split="test").values
    assert [float(text.split()[0].replace("−", "-")) for text in first["1"]["t"]] == pytest.approx(values, rel=6e-4)
    # A larger loss stands higher, by equal steps for equal differences.
    places = np.array(first["1"]["y"])
    slope, start = np.polyfit(values, places, 1)
    assert slope < 0
    np.testing.assert_allclose(start + slope * values, places, atol=0.11)  # places are rounded to a tenth
    for chart in data["charts"].values():
        for line in chart["lines"].values():
            assert {len(line[key]) for key in "xyt"} == {found.sizes["time"]}
    level = data["charts"]["spectrum"]["lines"]["1"]["t"]
    counted = [int(np.sum(found["eigenvalue"].values > height)) for height in 1 / found["time"].values[1:]]
    assert level[1:] == [f"{count} of {found.sizes['direction']} directions above" for count in counted]


@pytest.mark.parametrize("name", KINDS)
def test_a_folder_may_hold_any_one_kind(name, tmp_path):
    page = write_page(fill(tmp_path / "one", name))
    text = page.read_text(encoding="utf-8")
    Page(text)
    assert page == tmp_path / "one" / "report.html"
    assert len(text) < 4e5
    assert [path.name for path in page.parent.iterdir() if path.name.startswith(".")] == []
    assert write_page(tmp_path / "one").read_text(encoding="utf-8") == text


def test_what_cannot_be_shown_is_refused_with_a_reason(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        write_page(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"holds no results; .*curves\.nc .*ranking\.nc"):
        write_page(tmp_path)
    (tmp_path / "curves.nc").write_text("not netCDF")
    with pytest.raises(ValueError, match=r"curves\.nc is damaged"):
        write_page(tmp_path)
    with pytest.raises(NotADirectoryError, match="is a file"):
        write_page(tmp_path / "curves.nc")
    save_curves(curves().drop_dims("time"), tmp_path / "curves.nc")
    with pytest.raises(ValueError, match="lacks time"):
        write_page(tmp_path)
    folder = fill(tmp_path / "mine", "curves.nc")
    (folder / "report.html").write_text("my own")
    with pytest.raises(FileExistsError, match="no report page"):
        write_page(folder)
    assert (folder / "report.html").read_text() == "my own"
    assert write_page(folder, path=folder / "other.html").exists()


def test_commands_write_the_page_and_say_where(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["curves", *FAST, "--out", "results", "--report"]) == 0
    assert "report.html in" in capsys.readouterr().out
    first = (tmp_path / "results" / "report.html").read_text(encoding="utf-8")
    assert "loss_<wbr>mean" in first
    assert "Kernel spectrum" in first
    assert run(["report", "results", "--bits"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "results" / "report.html")
    assert run(["report", "empty"]) == 2
    assert "empty does not exist" in capsys.readouterr().err
    assert run(["curves", *FAST, "--out", "results", "--report"]) == 2  # nothing is replaced, and no page written
    assert run(["bottleneck", "--problem", "gaussian", "--out", "bottle", "--report", "--quiet"]) == 0
    assert "Bottleneck curve" in (tmp_path / "bottle" / "report.html").read_text(encoding="utf-8")


def test_the_unit_is_that_of_the_run_unless_another_is_asked_for(tmp_path):
    asked = curves().assign_attrs(configuration="[output]\nbits = true\n")
    save_curves(asked, tmp_path / "curves.nc")
    texts = [write_page(tmp_path, bits).read_text(encoding="utf-8") for bits in (None, True, False)]
    assert texts[0] == texts[1]
    assert "information (bit)" in texts[0]
    assert "information (nat)" not in texts[0]
    assert "information (nat)" in texts[2]
    data = [next(json.loads(b) for b in Page(text).blocks if b.startswith('{"steps')) for text in texts[1:]]
    bit, nat = (float(one["charts"]["panel-4"]["lines"]["0"]["t"][5].split()[0]) for one in data)
    assert nat / bit == pytest.approx(np.log(2), rel=1e-3)


def test_what_was_interrupted_or_has_one_time_is_shown_as_far_as_it_goes(tmp_path):
    partial = curves().copy(deep=True).drop_vars("eigenvalue").assign_attrs(complete="no, interrupted")
    for name in ("information_input", "information_target"):
        partial[name][3:] = np.nan
        partial[name].loc[{"split": "test"}] = np.nan
    save_curves(partial, tmp_path / "curves.nc")
    text = write_page(tmp_path).read_text(encoding="utf-8")
    assert "the run was interrupted" in text
    assert "Kernel spectrum" not in text
    data = next(json.loads(block) for block in Page(text).blocks if block.startswith('{"steps'))
    assert [sum(place is not None for place in line["x"]) for line in data["charts"]["plane"]["lines"].values()] == [
        3,
        0,
    ]
    save_curves(curves().isel(time=[-1]), tmp_path / "curves.nc")
    text = write_page(tmp_path).read_text(encoding="utf-8")
    assert next(json.loads(block) for block in Page(text).blocks if block.startswith('{"steps'))["steps"] == ["t = ∞"]


def test_several_depths_have_a_line_each(tmp_path):
    one = curves()
    other = one.assign(eigenvalue=0.5 * one["eigenvalue"], loss_mean=2 * one["loss_mean"])
    save_curves(stack({1: one, 4: other}), tmp_path / "curves.nc")
    text = write_page(tmp_path).read_text(encoding="utf-8")
    data = next(json.loads(block) for block in Page(text).blocks if block.startswith('{"steps'))
    first = data["charts"]["panel-0"]["lines"]
    assert len(first) == 4
    losses = [[float(text.split()[0]) for text in first[key]["t"]] for key in ("1", "3")]
    np.testing.assert_allclose(losses[1], 2 * np.array(losses[0]), rtol=2e-3)
    own, lower = (one["eigenvalue"].values * factor for factor in (1.0, 0.5))
    counted = [np.mean([np.sum(own > level), np.sum(lower > level)]) for level in 1 / one["time"].values[1:]]
    learned = [float(text.split()[0]) for text in data["charts"]["spectrum"]["lines"]["2"]["t"][1:]]
    assert learned == pytest.approx(counted)
    assert text.count('aria-label="Summary, depth 4, table"') == 1


def test_axes_put_values_in_their_places():
    axis = time_axis(np.array([0.0, 1e-2, 1.0, 1e2, np.inf]))
    places = axis.places(np.array([0.0, 1e-2, 1.0, 1e2, np.inf, np.nan]))
    assert np.all(np.diff(places[:5]) > 0)
    assert places[2] - places[1] == pytest.approx(places[3] - places[2])
    assert np.isnan(places[5])
    assert [text for _, text in axis.ticks] == ["0", "0.01", "0.1", "1", "10", "100", "∞"]
    axis = log_axis(np.array([1e-30, 1.0, 0.0, np.inf]))
    assert axis.kind == "log"
    assert axis.low > 1e-13
    assert axis.places(np.array([1e-30]))[0] < 0
    assert np.isnan(axis.places(np.array([0.0]))[0])
    assert log_axis(np.array([1.0, 2.0])).kind == "linear"
    axis = linear_axis(np.array([3.0, 3.0]))
    assert axis.places(np.array([3.0]))[0] == pytest.approx(0.5)
    for axis in (linear_axis(np.array([-1.0, 7.0])), log_axis(np.array([1e-4, 1e4])), log_axis(np.array([3.0, 40.0]))):
        assert 2 <= len(axis.ticks) <= 12
        for place, text in axis.ticks:
            value = float(text.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")).replace("10-", "1e-", 1))
            assert axis.places(np.array([value]))[0] == pytest.approx(place, abs=1e-9)


def test_every_result_names_its_data_and_network(tmp_path):
    place = fill(tmp_path / "several")
    text = page_text(read_results(place))
    heading = re.search(r"<h1>(.*?)</h1>", text)
    assert heading is not None
    assert heading[1].startswith("Information curves: &lt;script&gt;")
    assert "information bottleneck: &lt;script&gt;" in heading[1]
    named = ranking().assign_attrs(data="wine, digits", network="fully connected, erf", gap="test_error_mean")
    (tmp_path / "one").mkdir()
    save_curves(named, tmp_path / "one" / "ranking.nc")
    text = page_text(read_results(tmp_path / "one"))
    assert "<h1>Ranking of generalisation measures: wine, digits</h1>" in text
    assert '<p class="lead">fully connected, erf; gap: test_error_mean</p>' in text
    network = '[network]\nname = "fully_connected"\ndepth = [3]\nactivation = "erf"\n'
    configured = comparison().assign_attrs(configuration=f'[data]\nname = "digits"\n\n{network}')
    (tmp_path / "two").mkdir()
    save_curves(configured, tmp_path / "two" / "compare.nc")
    text = page_text(read_results(tmp_path / "two"))
    assert "<h1>Trained networks beside the theory: digits</h1>" in text
    assert "fully connected networks, activation erf, hidden layers 3" in text


def test_held_out_columns_come_first_and_rows_keep_their_inputs(tmp_path):
    text = page_text(read_results(fill(tmp_path / "held", "curves.nc", "ranking.nc")))
    assert text.index("with interval, held out") < text.index("with interval, chosen on")
    assert re.search(r'<th scope="row">loss_<wbr>mean, train</th><td>target²</td><td>exact</td>', text)


def test_the_slider_leaves_the_marks_to_be_seen_and_paper_cuts_no_line():
    style = resources.files("ntkinfo.report").joinpath("page.css").read_text(encoding="utf-8")
    assert re.search(r"\.dot \{ fill: none;", style)
    assert re.search(r"@media print.*pre \{ white-space: pre-wrap; overflow-wrap: anywhere", style, re.DOTALL)
