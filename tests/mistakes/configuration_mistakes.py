"""Configurations and flags with values that users and slips of the hand write: an error by name, or a configuration.

python tests/mistakes/configuration_mistakes.py 2000 4      as many for all four commands together, by a seed
"""

from __future__ import annotations

import collections
import importlib
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from ntkinfo.bottleneck_config import BottleneckConfig
from ntkinfo.compare_config import CompareConfig
from ntkinfo.config import Config
from ntkinfo.config_reading import ConfigError, flags, load_config
from ntkinfo.search_config import SearchConfig

LIMIT = 20.0  # seconds for one configuration
COMMANDS = {
    "curves": (Config, "ntkinfo.assembly", "cross_checks"),
    "compare": (CompareConfig, "ntkinfo.compare_run", "cross_checks"),
    "bottleneck": (BottleneckConfig, "ntkinfo.bottleneck_run", "cross_checks"),
    "search": (SearchConfig, "ntkinfo.search_run", "cross_checks"),
}
VALUES = (
    "0",
    "-1",
    "1",
    "3",
    "0.5",
    "1e300",
    "-1e300",
    "1e-300",
    "1e400",
    "nan",
    "inf",
    "-inf",
    "9223372036854775807",
    "9223372036854775808",
    "1" + "0" * 400,
    "1000000000",
    "true",
    '""',
    '" "',
    '"x"',
    '"[bold]"',
    '"[/]"',
    '"<script>"',
    '"\\u001b[2J"',
    '"' + "x" * 3000 + '"',
    "[]",
    "[[]]",
    '[""]',
    "[1]",
    "[1, 1]",
    "[1, 'a']",
    "[-1]",
    "[1000000000]",
    "[nan]",
    "[inf]",
    '["x", "x"]',
    "{}",
    "{a = 1}",
    "2020-01-01",
    "0x10",
)


def configuration(model: Any, random: np.random.Generator) -> tuple[str, dict[str, Any]]:
    """A TOML text and flags, with one or two values that were not meant."""
    known = list(flags(model).items())
    text, given = "", {}
    for _ in range(1 + int(random.random() < 0.4)):
        name, flag = known[random.integers(len(known))]
        value = VALUES[random.integers(len(VALUES))]
        if random.random() < 0.5:
            given[name] = [value.strip("\"[]'")]
        else:
            key = flag.key if random.random() < 0.9 else flag.key[:-1]
            text += f"[{flag.section}]\n{key} = {value}\n"
    return text, given


def outcome(command: str, text: str, given: dict[str, Any], folder: Path) -> tuple[str, str]:
    """How reading it ends, and what is wrong with that."""
    model, module, name = COMMANDS[command]
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    begin = time.monotonic()
    try:
        load_config(model, path, given, getattr(importlib.import_module(module), name))
        end, problem = "taken", ""
    except ConfigError as error:
        end, problem = "named", ""
        if len(str(error)) > 5000:
            problem = f"a message of {len(str(error))} characters"
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        end, problem = "traceback", f"{type(error).__name__} from {frame.filename}:{frame.lineno}: {str(error)[:200]}"
    spent = time.monotonic() - begin
    return end, problem or (f"{spent:.0f} s" if spent > LIMIT else "")


def check(count: int, seed: int) -> int:
    """Read so many configurations; prints what came of them, returns how many ends were wrong."""
    random, found, wrong = np.random.default_rng(seed), collections.Counter(), 0
    for _, module, _ in COMMANDS.values():
        importlib.import_module(module)
    with tempfile.TemporaryDirectory() as name:
        for k in range(count):
            command = list(COMMANDS)[k % len(COMMANDS)]
            text, given = configuration(COMMANDS[command][0], random)
            end, problem = outcome(command, text, given, Path(name))
            found[end] += 1
            if problem:
                wrong += 1
                print(f"{command} {text!r:.200} {given!r:.200}: {problem}", flush=True)
    print(f"{count} configurations: " + ", ".join(f"{n} {end}" for end, n in found.most_common()))
    return wrong


if __name__ == "__main__":
    sys.exit(1 if check(int(sys.argv[1]), int(sys.argv[2])) else 0)
