"""The documentation's code runs and prints what it says; links point at files that are there."""

import doctest
import importlib
import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
EXAMPLES = re.compile(r"^```pycon\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Modules whose docstrings hold examples.
MODULES = (
    "ntkinfo.bottleneck.gaussian",
    "ntkinfo.information.curves",
    "ntkinfo.information.mixtures",
    "ntkinfo.information.samples",
    "ntkinfo.training.times",
)


def examples_of(page):
    return "\n".join(EXAMPLES.findall(page.read_text(encoding="utf-8")))


def run(test):
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    printed = []
    runner.run(test, out=printed.append)
    assert runner.failures == 0, "".join(printed)


@pytest.mark.parametrize("page", [page for page in PAGES if examples_of(page)], ids=lambda page: page.stem)
def test_page(page):
    test = doctest.DocTestParser().get_doctest(examples_of(page), {}, page.name, str(page), 0)
    assert test.examples
    run(test)


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    module = importlib.import_module(name)
    tests = [test for test in doctest.DocTestFinder(exclude_empty=True).find(module) if test.examples]
    assert tests, f"{name} holds no example; take it out of MODULES"
    for test in tests:
        run(test)


def test_every_module_with_an_example_is_named_above():
    found = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "ntkinfo").rglob("*.py")
        if re.search(r"^ +>>> ", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert found == set(MODULES)


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.stem)
def test_addresses_of_other_sites_are_well_formed(page):
    for address in re.findall(r"\]\((https?:[^)]*)\)", page.read_text(encoding="utf-8")):
        assert re.fullmatch(r"https?://[\w.-]+\.[a-z]{2,}(/[\w./%#?=&:~+-]*)?", address), address


def test_the_packages_to_install_with_pip_are_those_the_project_needs():
    """neural-tangents comes without its dependencies, so what it needs besides jax is named: frozendict."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {re.split(r"[<>=]", line)[0] for line in project["dependencies"]} - {"neural-tangents"} | {"frozendict"}
    command = (ROOT / "docs" / "installing.md").read_text().split("\npip install ")[2].split("```")[0]
    assert set(command.replace("\\\n", "").split()) == needed


def benchmarks_report():
    spec = importlib.util.spec_from_file_location("benchmarks_report", ROOT / "benchmarks" / "report.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_page_of_the_benchmarks_is_made_of_the_kept_results():
    report = benchmarks_report()
    records = report.load()
    page = report.page(records)
    assert all((ROOT / record["script"]).is_file() for record in records)
    missed = [figure for record in records for figure in record["figures"] if figure.get("met") is False]
    assert page.count("**missed**") == len(missed)
    assert all(" ".join([record["script"], *record["arguments"]]) in page for record in records)


def test_a_new_result_takes_the_place_of_the_old_one_of_its_command():
    report = benchmarks_report()
    old = {"topic": "Speed", "script": "benchmarks/a.py", "arguments": ["--x"], "date": "2026-01-01"}
    other = {"topic": "Speed", "script": "benchmarks/a.py", "arguments": [], "date": "2026-01-01"}
    new = {"script": "benchmarks/a.py", "arguments": ["--x"], "date": "2026-02-02"}
    assert report.keep(new, [old, other]) == [{"topic": "Speed", **new}, other]
    assert report.keep({**new, "arguments": ["--y"]}, [old])[1]["topic"] == "Speed"
    assert report.keep({**new, "script": "benchmarks/b.py"}, [old])[1]["topic"] == "Other"
