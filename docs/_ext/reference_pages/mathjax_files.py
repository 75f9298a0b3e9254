"""Copies the parts of MathJax that the pages load, so that formulas are set without a network."""

import shutil
from importlib.metadata import distribution
from pathlib import Path

_NEEDED = ("tex-chtml.js", "output/chtml/fonts/woff-v2")
_PACKAGE = "sphinx-mathjax-offline"


def _folder():
    for file in distribution(_PACKAGE).files or ():
        if file.name == "tex-chtml.js":
            return Path(file.locate()).parent
    raise FileNotFoundError(f"{_PACKAGE} holds no tex-chtml.js; install the version that pyproject.toml names")


def copy(app, error):
    """Copy script and fonts into `_static/mathjax` of a finished HTML build."""
    if error is not None or app.builder.format != "html":
        return
    source, target = _folder(), Path(app.outdir) / "_static" / "mathjax"
    for name in _NEEDED:
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, dirs_exist_ok=True)
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, target / name)


def setup(app):
    """Copy at the end of a build."""
    app.connect("build-finished", copy)
