"""Mistakes in the arguments of public functions, in a process without a type checker, as users have it.

    python tests/mistakes/argument_mistakes.py every          every argument of every function with what it cannot mean
    python tests/mistakes/argument_mistakes.py drawn 4000 7   as many drawn mistakes, by a seed

Each must end in a value, or in a TypeError, ValueError or OSError that ntkinfo itself raised, on one voice.
Prints what was found by kind; exit code 1 where anything else happened.
"""

from __future__ import annotations

import collections
import contextlib
import inspect
import io
import os
import resource
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from right_calls import Call, calls, missing, silent
from wrong_values import ANYWHERE, NUMBERS, spoilt_array

import ntkinfo

_SHOW = "show" in sys.argv  # every call, to see the one that ends the process
LIMIT = 60  # seconds for one call
HOME = str(Path(ntkinfo.__file__).parent)
# What numpy, jax and Python say of their own accord.
FOREIGN = ("object has no attribute", "not supported between", "unsupported operand", "broadcast", "ufunc", "racer")


class TooLongError(Exception):
    """A call that went on beyond the limit."""


def outcome(call: Call, arguments: dict[str, Any], named: str | None = None) -> tuple[str, str]:
    """How a call ends: ("value" or the error's name, what is wrong with that or nothing)."""
    output = io.StringIO()
    try:
        with contextlib.redirect_stderr(output), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            signal.alarm(LIMIT)
            found = call.target(**arguments)
            if inspect.isgenerator(found):
                next(found, None)
        return "value", ""
    except (TypeError, ValueError, OSError, MemoryError) as error:
        return type(error).__name__, _wrong_with(error, named)
    except TooLongError:
        return "TooLongError", f"longer than {LIMIT} s"
    except Exception as error:
        return type(error).__name__, f"{type(error).__name__}: {error} at {_place(error)}"
    finally:
        signal.alarm(0)


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in frames[:-4:-1])


def _wrong_with(error: Exception, named: str | None) -> str:
    text = str(error)
    last = traceback.extract_tb(error.__traceback__)[-1].filename
    if not last.startswith(HOME):
        return f"{type(error).__name__} from {Path(last).name}: {text[:200]} at {_place(error)}"
    if any(word in text for word in FOREIGN):
        return f"a foreign message: {text[:200]} at {_place(error)}"
    if any(not letter.isprintable() and letter != "\n" for letter in text):
        return f"control characters in the message: {text[:200]!r}"
    if len(text) > 1500:
        return f"a message of {len(text)} characters: {text[:200]}"
    if named is not None and named not in text:
        return f"{named} is not named: {text[:200]}"
    return ""


def every() -> Iterator[tuple[str, Call, dict[str, Any], str]]:
    """Every argument of every call with values that it cannot mean."""
    for call in calls():
        for name in call.arguments:
            annotation = str(inspect.signature(call.target).parameters.get(name, "Any"))
            for kind in ("None", "text", "object", "class", "dictionary", "complex", "texts", "objects"):
                if _may_mean(annotation, kind):
                    continue
                yield f"{call.name}({name}={kind})", call, {**call.arguments, name: ANYWHERE[kind]()}, name


def _may_mean(annotation: str, kind: str) -> bool:
    words = {
        "None": ("None", "Track", "Any", "object"),
        "text": ("str", "Any", "object", "PathLike"),
        "object": ("Any", "object"),
        "class": ("Any", "object", "Callable", "Track", "Measure", "Frontier", "Law]"),
        "dictionary": ("Mapping", "Iterable[", "Any", "object"),
        "complex": ("Any", "object"),
        "texts": (
            "Iterable[str]",
            "tuple[str",
            "Sequence[str",
            "data_set",
            "hyperparameters",
            "Any",
            "object",
            "place",
        ),
        "objects": ("Any", "object"),
    }
    return any(word in annotation for word in words[kind])


def drawn(count: int, seed: int) -> Iterator[tuple[str, Call, dict[str, Any], None]]:
    """As many mistakes as asked for, one or two in a call."""
    random, known = np.random.default_rng(seed), [call for call in calls() if call.runs]
    for _ in range(count):
        call = known[random.integers(len(known))]
        arguments, kinds = dict(call.arguments), []
        names = [name for name in arguments if name != "progress"]
        for name in random.choice(names, size=min(len(names), 1 + int(random.random() < 0.15)), replace=False):
            kind, arguments[name] = _mistake(arguments[name], random)
            kinds.append(f"{name}: {kind}")
        yield f"{call.name}({', '.join(kinds)})", call, arguments, None


def _mistake(value: Any, random: np.random.Generator) -> tuple[str, Any]:
    if random.random() < 0.2:
        kind = list(ANYWHERE)[random.integers(len(ANYWHERE))]
        return kind, ANYWHERE[kind]()
    if isinstance(value, list) and value and isinstance(np.asarray(value, dtype=object).reshape(-1)[0], int | float):
        return spoilt_array(value, random)
    if isinstance(value, bool | int | float) or value is None:
        number = NUMBERS[random.integers(len(NUMBERS))]
        return f"number {number!r}", number
    if isinstance(value, str):
        text = ("", " ", value.upper(), value + "x", value[:-1], "\x00", "ä", "x" * 5000)[random.integers(8)]
        return f"text {text[:10]!r}", text
    kind = list(ANYWHERE)[random.integers(len(ANYWHERE))]
    return kind, ANYWHERE[kind]()


def right() -> Iterator[tuple[str, Call, dict[str, Any], None]]:
    """Every cheap call as it is: lists stand for arrays throughout."""
    for call in calls():
        if call.runs:
            yield f"{call.name} with lists", call, call.arguments, None


def check(cases: Iterator, expect_values: bool = False) -> int:
    """Run the cases, print their outcomes by kind and everything that is wrong; the number of wrong ones."""
    kinds, wrong = collections.Counter(), 0
    for label, call, arguments, named in cases:
        kind, problem = outcome(call, arguments, named)
        if _SHOW:
            print(f"{label}: {kind}", file=sys.stderr, flush=True)
        kinds[kind] += 1
        if problem or (expect_values and kind != "value") or (named is not None and kind == "value"):
            wrong += 1
            print(f"{label}: {problem or kind}", flush=True)
    print(f"{sum(kinds.values())} calls: " + ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()))
    return wrong


def _too_long(*_: Any) -> None:
    raise TooLongError


def main() -> int:
    """Run what the command line names."""
    signal.signal(signal.SIGALRM, _too_long)
    left_out = missing() - {"StaxNetwork", "Training", "EnsembleOutputs"}  # made by the package for the user
    assert not left_out, f"public names without a call: {left_out}"
    os.chdir(tempfile.mkdtemp())
    wrong = 0
    if "every" in sys.argv:
        wrong += check(right(), expect_values=True) + check(every())
    if "drawn" in sys.argv:
        at = sys.argv.index("drawn")
        wrong += check(drawn(int(sys.argv[at + 1]), int(sys.argv[at + 2])))
    print(f"largest memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")
    return 1 if wrong else 0


if __name__ == "__main__":
    assert callable(silent)
    sys.exit(main())
