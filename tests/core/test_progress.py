"""Progress in notebooks leaves nothing behind in what is saved."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from ntkinfo.core import progress


class Shown:
    """IPython's display, as far as a line of text needs it."""

    def __init__(self):
        self.texts = []

    def display(self, data, raw, display_id):
        assert raw
        assert display_id
        self.texts.append(data["text/plain"])
        return SimpleNamespace(update=lambda data, raw: self.texts.append(data["text/plain"]))


@pytest.fixture
def notebook(monkeypatch):
    """A notebook's kernel without ipywidgets, where a second passes from one look at the clock to the next."""
    shown, clock = Shown(), iter(range(1000))
    shell = SimpleNamespace(kernel=object())
    fake = SimpleNamespace(get_ipython=lambda: shell, display=SimpleNamespace(display=shown.display))
    monkeypatch.setitem(sys.modules, "IPython", fake)
    monkeypatch.setattr(progress, "_has_widgets", lambda: False)
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    return shown


def test_a_notebook_without_widgets_has_a_line_that_is_emptied_and_no_error_output(notebook, capsys):
    assert list(progress.bar(range(5), "counting", 5)) == list(range(5))
    assert notebook.texts[0] == "counting: 2/5"
    assert notebook.texts[-1] == ""
    assert capsys.readouterr().err == ""


def test_an_interrupted_line_is_emptied_too(notebook):
    def stopped():
        yield from range(4)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(progress.bar(stopped(), "counting"))
    assert notebook.texts[0] == "counting: 2"
    assert notebook.texts[-1] == ""
