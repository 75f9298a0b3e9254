"""Sphinx extension of this project: reference pages, tables from registries, docstrings as they are written here."""

from reference_pages import (
    command_line,
    docstrings,
    mathjax_files,
    names,
    registries,
    results,
    signatures,
    source_pages,
)


def setup(app):
    """Register directives and events."""
    for part in (docstrings, signatures, names, registries, command_line, results, source_pages, mathjax_files):
        part.setup(app)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
