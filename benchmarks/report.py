"""Keeps what the benchmarks measured in `results.json` and writes the documentation's page about it."""

from __future__ import annotations

from pathlib import Path

RESULTS = Path(__file__).with_name("results.json")


def load():
    """The results."""
    return {}


def page(results):
    """The page's body in Markdown."""
    return ""
