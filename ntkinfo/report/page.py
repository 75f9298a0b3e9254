"""The report page: one HTML file that shows a folder of results, from disk and without a network.

The charts are SVG drawn here, and the script that moves them is small. Bokeh was tried: its page of the same charts is
1.9 MB, its slider has no accessible name (axe-core: serious), it writes to the console, and its canvases follow neither
dark mode nor print.
"""

from __future__ import annotations

import base64
import hashlib
import os
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path

import xarray as xr

from ntkinfo.core.arguments import checked
from ntkinfo.report.page_bottleneck import bottleneck_sections
from ntkinfo.report.page_chart import DARK_COLOURS
from ntkinfo.report.page_comparison import comparison_sections
from ntkinfo.report.page_curves import curves_sections
from ntkinfo.report.page_folder import Results, read_results
from ntkinfo.report.page_html import Column, Html, element, joined, pairs, table
from ntkinfo.report.page_ranking import ranking_sections
from ntkinfo.report.page_subject import lead, subject
from ntkinfo.report.series import COLOURS

PAGE = "report.html"
_MARK = '<meta name="generator" content="ntkinfo'
Sections = Iterator[tuple[str, str, Html]]
_SECTIONS: Mapping[str, Callable[[xr.Dataset, bool], Sections]] = {
    "curves": curves_sections,
    "comparison": comparison_sections,
    "bottleneck": bottleneck_sections,
    "ranking": ranking_sections,
}
_TITLES = {
    "curves": "Information curves",
    "comparison": "Trained networks beside the theory",
    "bottleneck": "Information bottleneck",
    "ranking": "Ranking of generalisation measures",
}
_FACTS = {
    "data": "data",
    "problem": "problem",
    "network": "network",
    "procedure": "procedure",
    "label_model": "label model",
    "n_train": "training inputs",
    "n_test": "test inputs",
    "n_outputs": "outputs",
    "gap": "what was to be predicted",
    "seed": "seed of the samples",
    "settings": "settings",
    "data_provenance": "where the data come from",
    "complete": "complete",
    "kernel_notes": "repairs of the kernels",
    "data_fingerprint": "fingerprint of the data",
    "network_fingerprint": "fingerprint of the network",
    "kernel_fingerprint": "fingerprint of the kernels",
}


@checked
def write_page(folder: str | Path, bits: bool | None = None, path: str | Path | None = None) -> Path:
    """Write the report page of a folder of results.

    Args:
        folder: that commands wrote into; any of curves.nc, compare.nc, bottleneck.nc and ranking.nc.
        bits: show bits instead of nats; None for what each run was asked to show.
        path: of the page; `report.html` in the folder if None.

    Returns:
        Where the page is. It replaces an earlier page, and no other file.

    Raises:
        OSError: the folder is not there, or the page cannot be written.
        ValueError: the folder holds no results, or damaged ones.
        FileExistsError: there is a file of that name that is no report page.
    """
    results = read_results(folder)
    target = Path(path).absolute() if path is not None else Path(folder).absolute() / PAGE
    _refuse_to_replace(target)
    text = page_text(results, bits)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}-", suffix=".part", dir=target.parent)
    os.close(handle)
    try:
        Path(name).write_text(text, encoding="utf-8")
        Path(name).chmod(0o644)
        Path(name).replace(target)
    finally:
        Path(name).unlink(missing_ok=True)
    return target


def page_text(results: Results, bits: bool | None = None) -> str:
    """The page as text; the same results give the same page."""
    sections: list[tuple[str, str, Html]] = []
    for name, found in results.found.items():
        sections += _SECTIONS[name](found, _in_bits(found) if bits is None else bits)
    sections += list(_provenance(results.found))
    heading = _heading(results)
    script = _resource("page.js")
    body = element(
        "body",
        element("a", "Skip to the results", href="#results", class_="skip"),
        element("header", element("h1", heading), *_leads(results), _contents(sections)),
        element("main", *_warnings(results), *(_section(*each) for each in sections), id="results", tabindex="-1"),
        element("footer", _footer(results)),
        element("script", Html(script)),
    )
    return f'<!DOCTYPE html>\n<html lang="en">{_head(heading, script)}{body}</html>\n'


def _in_bits(found: xr.Dataset) -> bool:
    """Whether the run that made the results showed bits."""
    output = tomllib.loads(str(found.attrs.get("configuration", ""))).get("output", {})
    return bool(output.get("bits", False))


def _head(title: str, script: str) -> Html:
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # Nothing is fetched, and no script runs but the page's own.
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'"
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        Html(f'{_MARK} report">'),
        element("title", title),
        element("link", rel="icon", href="data:,"),
        element("style", Html(_colours() + _resource("page.css"))),
    )


def _colours() -> str:
    light, dark = (
        "".join(f".c{number}{{--c:{colour}}}" for number, colour in enumerate(row)) for row in (COLOURS, DARK_COLOURS)
    )
    return f"{light}\n@media screen and (prefers-color-scheme: dark) {{{dark}}}\n"


def _resource(name: str) -> str:
    return files("ntkinfo.report").joinpath(name).read_text(encoding="utf-8")


def _section(identifier: str, heading: str, content: Html) -> Html:
    title = f"{identifier}-heading"
    return element("section", element("h2", heading, id=title), content, id=identifier, aria_labelledby=title)


def _contents(sections: Iterable[tuple[str, str, Html]]) -> Html:
    links = [element("li", element("a", heading, href=f"#{identifier}")) for identifier, heading, _ in sections]
    return element("nav", element("ul", *links), aria_label="Sections")


def _heading(results: Results) -> str:
    """Every kind of result with what it is about; what they share is said once."""
    about = {name: subject(found) for name, found in results.found.items()}
    titles = [_TITLES[name] for name in about]
    titles = [titles[0], *(title[0].lower() + title[1:] for title in titles[1:])]
    if len(set(about.values())) == 1:
        return f"{', '.join(titles)}: {next(iter(about.values())) or results.name}"
    pairs = zip(titles, about.values(), strict=True)
    return "; ".join(f"{title}: {what}" if what else title for title, what in pairs)


def _leads(results: Results) -> Iterator[Html]:
    for name, found in results.found.items():
        text = lead(found)
        if text:
            yield element("p", f"{_TITLES[name]}: {text}" if len(results.found) > 1 else text, class_="lead")


def _warnings(results: Results) -> Iterator[Html]:
    """What a reader has to know before the numbers: results of a run that was interrupted."""
    for name, found in results.found.items():
        if str(found.attrs.get("complete", "yes")) != "yes":
            text = f"{_TITLES[name]}: the run was interrupted; what is shown is what was finished."
            yield element("p", text, class_="warn", role="note")


def _provenance(found: Mapping[str, xr.Dataset]) -> Sections:
    several = len(found) > 1
    for name, content in found.items():
        behind = f": {_TITLES[name].lower()}" if several else ""
        notes = _notes(content)
        if notes:
            yield f"notes-{name}", f"Notes{behind}", notes
        text = str(content.attrs.get("configuration", ""))
        if text:
            yield f"configuration-{name}", f"Configuration{behind}", _configuration(text)
        facts = _facts(content)
        if facts:
            yield f"provenance-{name}", f"Provenance{behind}", facts


def _notes(content: xr.Dataset) -> Html | None:
    text = str(content.attrs.get("notes", ""))
    notes = [note for line in text.split("\n") for note in line.split("; ") if note]
    return element("ul", *(element("li", note) for note in dict.fromkeys(notes))) if notes else None


def _facts(content: xr.Dataset) -> Html | None:
    rows = [(label, str(content.attrs[key])) for key, label in _FACTS.items() if key in content.attrs]
    given = {key.removeprefix("version_"): value for key, value in content.attrs.items() if key.startswith("version_")}
    versions = ", ".join(f"{name.replace('_', '-')} {value}" for name, value in given.items())
    return pairs([*rows, ("versions", versions)]) if rows or versions else None


def _configuration(text: str) -> Html:
    """The configuration as a table, and as the file that reruns it."""
    rows = [
        (f"{section}.{key}", _value(value))
        for section, values in tomllib.loads(text).items()
        for key, value in (values.items() if isinstance(values, dict) else [("", values)])
    ]
    listed = table("What was set, with every default", [Column("key"), Column("value")], rows, label="Configuration")
    plain = element("details", element("summary", "As a file that runs again: config.toml"), element("pre", text))
    return joined([listed, plain])


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _footer(results: Results) -> Html:
    version = next((f.attrs["version_ntkinfo"] for f in results.found.values() if "version_ntkinfo" in f.attrs), "")
    text = f"Written by ntkinfo report from the folder {results.name}; results of ntkinfo {version}."
    return element("p", text.replace(" ntkinfo .", " ntkinfo."))


def _refuse_to_replace(target: Path) -> None:
    if not target.exists():
        return
    with target.open("rb") as stream:
        start = stream.read(4096)
    if _MARK.encode() not in start:
        raise FileExistsError(f"{target} is there and is no report page; name another with --page")
