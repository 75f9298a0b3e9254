"""MATLAB files of versions 4 and 7.3, read by scipy and h5py in a process of their own."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from ntkinfo.core.memory import GIB, available_memory
from ntkinfo.data.input_files import fits_in_memory

_CHILD = Path(__file__).with_name("mat_child.py")
_SECONDS, _BYTES_A_SECOND = 60.0, 2**20


def read_elsewhere(
    place: Path, version: str, choose: Callable[[Path, Sequence[str]], Sequence[str]]
) -> dict[str, np.ndarray]:
    """Read the variables that are asked for.

    Args:
        place: the file.
        version: "4" or "7.3".
        choose: from the path and the names of the variables that are there to those to read.

    Returns:
        The matrices by name, as MATLAB holds them; text as one text a row or cell.

    Raises:
        ValueError: damaged or cut short (the process ended, or did not within a minute and a second a MiB), variables
            that are neither dense real numbers nor text, more data than free memory.
    """
    arguments = [str(place.absolute()), version, str(int(available_memory() * GIB))]
    process = subprocess.Popen(
        [sys.executable, "-P", str(_CHILD), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    watch = threading.Timer(_SECONDS + place.stat().st_size / _BYTES_A_SECOND, process.kill)
    watch.daemon = True
    watch.start()
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        return _conversation(process.stdin, process.stdout, place, choose)
    finally:
        watch.cancel()
        process.kill()
        process.communicate()


def _conversation(
    asking: IO[bytes], answers: IO[bytes], place: Path, choose: Callable[[Path, Sequence[str]], Sequence[str]]
) -> dict[str, np.ndarray]:
    wanted = list(choose(place, _line(answers, place).get("names", [])))
    try:
        asking.write(json.dumps(wanted).encode() + b"\n")
        asking.flush()
    except BrokenPipeError as error:
        raise _damaged(place) from error
    return {name: _value(answers, place, name) for name in wanted}


def _value(answers: IO[bytes], place: Path, name: str) -> np.ndarray:
    answer = _line(answers, place)
    if "refused" in answer:
        raise ValueError(
            f"{place}: the variable {name} holds {answer['refused']}; it must be a dense matrix of real numbers, or "
            "text for classes"
        )
    if "texts" in answer:
        return np.array(answer["texts"], dtype=str)
    dtype, shape = np.dtype(answer["type"]), tuple(answer["shape"])
    size = math.prod(shape) * dtype.itemsize
    fits_in_memory(place, size)
    content = answers.read(size)
    if len(content) < size:
        raise _damaged(place)
    return np.frombuffer(content, dtype).reshape(shape, order="F")


def _line(answers: IO[bytes], place: Path) -> dict[str, Any]:
    line = answers.readline()
    if not line.endswith(b"\n"):
        raise _damaged(place)
    try:
        return json.loads(line)
    except ValueError as error:
        raise _damaged(place) from error


def _damaged(place: Path) -> ValueError:
    return ValueError(f"{place} is cut short or damaged: the library that reads it gave up; fetch it again")
