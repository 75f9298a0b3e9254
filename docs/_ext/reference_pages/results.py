"""The body of the benchmarks page, written by `benchmarks/report.py` from the results that it keeps."""

import importlib.util
from pathlib import Path

from sphinx.util.docutils import SphinxDirective

_SCRIPT = Path(__file__).parents[3] / "benchmarks" / "report.py"


def _script():
    spec = importlib.util.spec_from_file_location("benchmarks_report", _SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class BenchmarkResults(SphinxDirective):
    """`benchmark-results`: the sections of the page, for a page in Markdown."""

    def run(self):
        """Parse what the script writes."""
        script = _script()
        self.env.note_dependency(str(script.RESULTS))
        self.env.note_dependency(str(_SCRIPT))
        return self.parse_text_to_nodes(script.page(script.load()), allow_section_headings=True)


def setup(app):
    """Register the directive."""
    app.add_directive("benchmark-results", BenchmarkResults)
