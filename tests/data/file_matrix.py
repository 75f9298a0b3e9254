"""A file as a program writes it, what it should be read as, and its row in the table of the documentation."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ntkinfo.data import registry

HEADING = "| File | Written by | Read with | Result |"
RULE = "| --- | --- | --- | --- |"


@dataclass(frozen=True, eq=False)
class Expected:
    """What a file should be read as.

    Args:
        inputs: every input of the file in its order, (n, ...), with the scale 1/255 of bytes; no two alike.
        answers: name of the class of each, or (n, C) real numbers.
        classes: their names in order; empty for real answers.
        test: how many of the last inputs are a test part that the files keep apart.
        features: names of the inputs' columns, where the file names them.
    """

    inputs: np.ndarray
    answers: Sequence[str] | np.ndarray
    classes: tuple[str, ...] = ()
    test: int = 0
    features: str = ""


@dataclass(frozen=True, eq=False)
class Case:
    """One file.

    Args:
        file: what it is, in a few words; unique in the table with `maker`.
        maker: the program that writes it so.
        make: writes it into a folder and returns `data` and the options that read it, as on the command line. May skip
            where the program is not at hand (pytest.importorskip).
        expected: what it should be read as, or a part of the message of its refusal.
    """

    file: str
    maker: str
    make: Callable[[Path], dict[str, Any]]
    expected: Expected | str

    def __str__(self) -> str:
        return f"{self.file}, {self.maker}"


def row(case: Case) -> str:
    """Read a case's file, check what comes out, and describe it as a row of the table.

    Raises:
        AssertionError: it is read as something else, or not refused.
    """
    with tempfile.TemporaryDirectory() as folder:
        options = case.make(Path(folder))
        shown = _command(options, folder)
        name = options.pop("data")
        if isinstance(case.expected, str):
            result = f"refused: {_refusal(name, options, case.expected, folder)}"
        else:
            result = _check(name, options, case.expected)
    return "| " + " | ".join(_cell(text) for text in (case.file, case.maker, shown, result)) + " |"


def _refusal(name: str, options: dict[str, Any], expected: str, folder: str) -> str:
    try:
        data = registry.load(name, **options)
    except (ValueError, OSError) as error:
        text = str(error).replace(f"{folder}/", "")
        assert expected in text, text
        return text
    raise AssertionError(f"read as {data!r}; should be refused: {expected}")


def _check(name: str, options: dict[str, Any], expected: Expected) -> str:
    known = registry.ENTRIES[name].options
    plain = {key: False for key in ("standardise", "standardise_targets") if key in known}
    data = registry.load(name, **plain, **options)
    inputs = np.concatenate([data.x_train, data.x_test])
    flat = np.asarray(expected.inputs, dtype=np.float64).reshape(len(expected.inputs), -1)
    found = inputs.reshape(len(inputs), -1)
    assert found.shape == flat.shape, (found.shape, flat.shape)
    distance = np.abs(found[:, None, :] - flat[None, :, :]).max(axis=2)
    places = distance.argmin(axis=1)
    assert distance.min(axis=1).max() < 1e-12, "other inputs than in the file"
    assert len(set(places)) == len(places), "an input is read twice"
    if options.get("images"):
        assert inputs.shape[1:] == expected.inputs.shape[1:], (inputs.shape, expected.inputs.shape)
    if expected.test:
        assert set(places[len(data.x_train) :]) == set(range(len(flat) - expected.test, len(flat)))
    if expected.features:
        assert data.provenance["features"] == expected.features
    targets = np.concatenate([data.y_train, data.y_test])
    if expected.classes:
        assert data.class_names == expected.classes
        assert data.labels_train is not None
        assert data.labels_test is not None
        labels = np.concatenate([data.labels_train, data.labels_test])
        assert [expected.classes[k] for k in labels] == [str(expected.answers[k]) for k in places]
        if options.get("targets", "one-hot") == "one-hot":
            assert np.allclose(targets, np.eye(len(expected.classes))[labels] - 1 / len(expected.classes))
    else:
        assert np.allclose(targets, np.asarray(expected.answers)[places], rtol=0, atol=1e-12)
    return _result(data, expected)


def _result(data, expected: Expected) -> str:
    shape = data.x_train.shape[1:]
    size = f"{shape[0]} features" if len(shape) == 1 else f"images {' x '.join(map(str, shape))}"
    size = size if shape != (1,) else "1 feature"
    parts = f"{len(data.x_train)} + {len(data.x_test)} inputs" if expected.test else f"{len(expected.inputs)} inputs"
    answers = f"classes {', '.join(data.class_names)}" if expected.classes else f"{data.n_outputs} real output(s)"
    words = [f"{parts}, {size}, {answers}"]
    keys = (("channels", "channels "), ("left_out", "left out: "), ("reading", ""))
    words += [f"{text}{data.provenance[key]}" for key, text in keys if key in data.provenance]
    return "; ".join(words)


def _command(options: dict[str, Any], folder: str) -> str:
    """The options as flags, files without their folder."""
    words = []
    for key, value in options.items():
        flag = f"--{key.replace('_', '-')}"
        values = [value] if isinstance(value, str | Path | int | float) else list(value)
        if isinstance(value, bool):
            words.append(flag if value else f"--no-{flag[2:]}")
        elif str(value).startswith("-"):
            words.append(f"{flag}={value}")
        else:
            words.append(" ".join([flag, *(str(v).replace(f"{folder}/", "") for v in values)]))
    return f"`{' '.join(words)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
