"""Runs benchmarks, keeps what they printed in `results.json`, and writes the documentation's page about them.

    python benchmarks/report.py run benchmarks/mixture_entropy.py --repeats 3   # run one, keep what it prints
    python benchmarks/report.py page                                            # the page's body, in Markdown

The file holds one record for each command: date, machine, versions, the load of the machine, printed lines, and
figures, which are written by hand: each with its target, where there is one, and whether it was met. The documentation
builds its page from the file alone; no benchmark runs then.
"""

from __future__ import annotations

import argparse
import ast
import datetime
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results.json")
ROOT = RESULTS.parents[1]
PACKAGES = ("jax", "numpy", "scipy")
OUTCOMES = {True: "met", False: "**missed**", None: ""}

Record = dict[str, Any]


def load() -> list[Record]:
    """Return the records, in the order of the page."""
    return json.loads(RESULTS.read_text(encoding="utf-8"))


def save(records: Sequence[Record]) -> None:
    """Write the records, whole or not at all."""
    waiting = RESULTS.with_suffix(".json.new")
    waiting.write_text(json.dumps(records, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    waiting.replace(RESULTS)


def run(script: str, arguments: Sequence[str]) -> Record:
    """Run one script, show what it prints, and return its record without figures.

    Raises:
        RuntimeError: the script failed.
    """
    before = os.getloadavg()[0]
    process = subprocess.Popen(
        [sys.executable, script, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        print(line, end="", flush=True)
        lines.append(line.rstrip("\n"))
    if process.wait() != 0:
        raise RuntimeError(f"{script} ended with {process.returncode}; nothing was kept")
    values, lines = _split_off_json(lines)
    return {
        "script": script,
        "arguments": list(arguments),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "load": f"load {before:.1f} at the start",
        "figures": [],
        "printed": lines,
        "values": values,
    }


def _split_off_json(lines: Sequence[str]) -> tuple[Any, list[str]]:
    """Most scripts end with a line of JSON for programs; the page shows the lines for people."""
    if lines and lines[-1].startswith(("{", "[")):
        return json.loads(lines[-1]), list(lines[:-1])
    return None, list(lines)


def machine() -> str:
    """Cores and memory of this machine, and its accelerator, without names."""
    import psutil

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, {_accelerator()}"


def _accelerator() -> str:
    import jax

    devices = [device for device in jax.devices() if device.platform != "cpu"]
    return ", ".join(sorted({device.device_kind for device in devices})) or "no GPU"


def keep(record: Record, records: Sequence[Record]) -> list[Record]:
    """Put a new record in the place of the one of the same command, with its topic; figures start anew."""
    kept, topic = list(records), "Other"
    for place, old in enumerate(kept):
        if (old["script"], old["arguments"]) == (record["script"], record["arguments"]):
            kept[place] = {"topic": old["topic"], **record}
            return kept
        if old["script"] == record["script"]:
            topic = old["topic"]
    return [*kept, {"topic": topic, **record}]


def page(records: Sequence[Record]) -> str:
    """Return the page's body in Markdown: a section a topic, a table of figures a command."""
    parts = []
    for topic in dict.fromkeys(record["topic"] for record in records):
        parts.append(f"## {topic}")
        parts += [_section(record) for record in records if record["topic"] == topic]
    return "\n\n".join(parts) + "\n"


def _section(record: Record) -> str:
    command = " ".join(["python", record["script"], *record["arguments"]])
    parts = [f"### `{Path(record['script']).name}`", _purpose(record["script"]), f"```sh\n{command}\n```"]
    if record["figures"]:
        parts.append(_table(record["figures"]))
    parts += [f"{note}" for note in record.get("notes", ())]
    if record.get("printed"):
        parts.append("Printed:\n\n```text\n" + "\n".join(record["printed"]) + "\n```")
    parts.append(f"*{_circumstances(record)}*")
    return "\n\n".join(parts)


def _purpose(script: str) -> str:
    text = ast.get_docstring(ast.parse((ROOT / script).read_text(encoding="utf-8"))) or ""
    return text.split("\n\n")[0].replace("\n", " ")


def _table(figures: Sequence[Mapping[str, Any]]) -> str:
    lines = ["| figure | measured | target | |", "|---|---|---|---|"]
    for figure in figures:
        outcome = OUTCOMES[figure.get("met")]
        lines.append(f"| {figure['name']} | {figure['measured']} | {figure.get('target', '')} | {outcome} |")
    return "\n".join(lines)


def _circumstances(record: Record) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    return f"{record['date']}; {record['machine']}; {versions}; {record['load']}."


def main() -> None:
    """Run or write, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("page")
    one = commands.add_parser("run")
    one.add_argument("script")
    one.add_argument("arguments", nargs=argparse.REMAINDER)
    chosen = parser.parse_args()
    if chosen.command == "page":
        print(page(load()), end="")
        return
    save(keep(run(chosen.script, chosen.arguments), load()))


if __name__ == "__main__":
    main()
