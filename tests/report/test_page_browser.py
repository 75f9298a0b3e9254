"""The report page in headless Chromium: no error, no request, everything moves, keyboard, accessibility.

Needs Chromium, node, and playwright-core and axe-core from npm in .tools/browser (`.ci/run` installs them):

    npm install --no-save --prefix .tools/browser playwright-core axe-core
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ntkinfo.report.page import write_page
from tests.report.page_results import KINDS, fill

HERE = Path(__file__).parent
MODULES = HERE.parents[1] / ".tools" / "browser" / "node_modules"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def _skip(reason: str) -> None:
    if os.environ.get("NTKINFO_BROWSER") == "required":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What the browser found on a page of every kind of result; NTKINFO_SCREENSHOTS names a folder for pictures."""
    if CHROMIUM is None:
        _skip("Chromium is not installed")
    if shutil.which("node") is None:
        _skip("node is not installed")
    missing = [name for name in ("playwright-core", "axe-core") if not (MODULES / name).exists()]
    if missing:
        _skip(f"{' and '.join(missing)} from npm are not in {MODULES}")
    page = write_page(fill(tmp_path_factory.mktemp("browser") / "all"))
    pictures = os.environ.get("NTKINFO_SCREENSHOTS")
    words = ["node", str(HERE / "page_in_browser.mjs"), str(MODULES), str(CHROMIUM), str(page)]
    done = subprocess.run([*words, *([pictures] if pictures else [])], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_nothing_is_said_on_the_console_and_nothing_requested(found):
    assert (found["console"], found["requests"], found["dialogs"]) == ([], [], [])


@pytest.mark.parametrize("view", ["desktop", "dark", "phone"])
def test_axe_finds_nothing_and_nothing_is_wider_than_the_screen(found, view):
    one = found["views"][view]
    assert one["violations"] == []
    assert one["size"][0] <= one["size"][1]
    assert (one["back"] == "rgb(255, 255, 255)") == (view != "dark")


def test_each_slider_moves_every_panel_by_keyboard(found):
    assert set(found["sliders"]) == {"curves-slider", "comparison-slider", "bottleneck-slider"}
    for slider in found["sliders"].values():
        # The distortion of the dual has solutions of its own.
        own = [name for name in slider["own"] if name != "bottleneck-dual"]
        assert sorted(slider["moved"]) == sorted(own)
        assert slider["said"] != slider["end"]
    assert len(found["sliders"]["curves-slider"]["own"]) == 12
    assert found["sliders"]["curves-slider"]["said"] == "t = 0"
    assert found["sliders"]["curves-slider"]["end"] == "t = ∞"


def test_keyboard_and_mouse_reach_everything(found):
    assert (found["first"], found["skipped"]) == ("skip", "results")
    assert (found["hidden"], found["shown"]) == ("none", "inline")
    assert (found["playing"], found["paused"]) == ("Pause", "Play")
    assert 0 < found["pointer"][0] < found["pointer"][1] == 10


def test_the_ranking_sorts_by_every_column_both_ways_and_finds_rows(found):
    assert len(found["sorted"]) >= 20
    for heading, way, cells in found["sorted"]:
        assert way in ("ascending", "descending"), heading
        given = [cell for cell in cells if cell != ""]
        assert cells == given + [""] * (len(cells) - len(given)), heading
        try:
            keys = [float(cell) for cell in given]
        except ValueError:
            keys = [cell.lower() for cell in given]
        assert keys == sorted(keys, reverse=way == "descending"), heading
    assert found["rows"] == 1
    assert KINDS["ranking.nc"]().sizes["measure"] == 5


def test_print_is_light_and_without_script_the_last_step_stands(found):
    assert found["print"] == ["rgb(255, 255, 255)", "none"]
    visible, value = found["without"]
    assert not visible
    assert value
