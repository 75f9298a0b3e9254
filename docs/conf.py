"""Configuration of the documentation: `sphinx-build -W -b html docs docs/_build/html`.

The build needs no network: mathematics is set by a MathJax that is copied beside the pages, and nothing is fetched from
other projects' inventories.
"""

import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE / "_ext"), str(ROOT)]

import ntkinfo  # noqa: E402

project = "ntkinfo"
author = "The ntkinfo developers"
project_copyright = author
version = release = ntkinfo.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx.ext.mathjax",
    "sphinxcontrib.bibtex",
    "reference_pages",
]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb", ".rst": "restructuredtext"}
exclude_patterns = ["_build", "_ext", "jupyter_execute"]  # the last is left beside the output folder by myst-nb
nitpicky = True
nitpick_ignore = [("py:class", "Piece")]  # a type variable, which has no page
default_role = "literal"

myst_enable_extensions = ["dollarmath", "amsmath", "deflist", "attrs_inline"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # notebooks carry their outputs; the tests execute them
nb_merge_streams = True

bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "plain"
bibtex_reference_style = "author_year"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True}
autoclass_content = "class"
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_preprocess_types = False
maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"
python_use_unqualified_type_names = True
python_display_short_literal_types = True

html_theme = "furo"
html_title = f"ntkinfo {release}"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_show_sphinx = False
html_copy_source = False
mathjax_path = "mathjax/tex-chtml.js"
mathjax3_config = {"tex": {"macros": {"KL": r"\operatorname{KL}", "tr": r"\operatorname{tr}"}}}


def copy_notebooks(_app):
    """Bring the notebooks into the source folder, where Sphinx looks for pages."""
    target = HERE / "notebooks"
    target.mkdir(exist_ok=True)
    wanted = {path.name: path for path in (ROOT / "notebooks").glob("[0-9]*.ipynb")}
    for stale in set(target.glob("*.ipynb")) - {target / name for name in wanted}:
        stale.unlink()
    for name, path in wanted.items():
        copy = target / name
        if not copy.exists() or copy.read_bytes() != path.read_bytes():
            shutil.copyfile(path, copy)


def setup(app):
    """Connect what belongs to this project alone."""
    app.connect("builder-inited", copy_notebooks)
