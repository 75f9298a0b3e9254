"""Inputs and answers from text tables."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ntkinfo.core import checks
from ntkinfo.data.csv_format import Columns, read_columns, refuse_cells, refuse_missing
from ntkinfo.data.csv_layout import Layout, find_layout
from ntkinfo.data.input_files import FilePath, existing_file
from ntkinfo.data.tables import Table, choose_columns, holds_row_names, one_hot_classes, one_hot_features

TEXT_FEATURES = ("refuse", "one-hot")


@dataclass(frozen=True)
class TableReading:
    """How any table is read.

    Args:
        test_path: a file of its own for the test part, with the same columns.
        text_features: "refuse" columns of text among the inputs, or make them "one-hot".

    Raises:
        ValueError: a value that is none of these.
    """

    test_path: FilePath | None = None
    text_features: str = "refuse"

    def __post_init__(self):
        checks.choice("text_features", self.text_features, TEXT_FEATURES)


@dataclass(frozen=True)
class CsvReading(TableReading):
    """How text tables are read; what is "auto" is guessed from the first lines and said in the first lines of a run.

    Args:
        test_path: a file of its own for the test part, with the same columns.
        text_features: "refuse" columns of text among the inputs, or make them "one-hot".
        header: "yes" or True where the first line names the columns, "no" or False where it does not, or "auto".
        decimal: the decimal mark, "." or ",", or "auto".

    Raises:
        ValueError: a value that is none of these.
    """

    header: str | bool = "auto"
    decimal: str = "auto"

    def __post_init__(self):
        super().__post_init__()
        if isinstance(self.header, bool):
            object.__setattr__(self, "header", "yes" if self.header else "no")
        checks.choice("header", str(self.header), ("auto", "yes", "no"))
        checks.choice("decimal", self.decimal, ("auto", ".", ","))


@dataclass(frozen=True)
class Wanted:
    """Which columns, and what the answers are.

    Args:
        targets: columns with the answers; in a file without names numbers from 1, or from -1 at the end.
        features: columns with the inputs, likewise; empty takes all the others but row numbers and row names.
        real_answers: the answers are real numbers, else classes: of one column, or one-hot.
    """

    targets: Sequence[str]
    features: Sequence[str] = ()
    real_answers: bool = False


@dataclass(frozen=True)
class Part:
    """One file.

    Args:
        place: the file.
        columns: its columns.
        features: names of those that are inputs.
        left_out: names of those that are neither inputs nor answers by themselves.
    """

    place: Path
    columns: Columns
    features: Sequence[str]
    left_out: tuple[str, ...] = ()

    def stacked(self, names: Sequence[str]) -> np.ndarray:
        """Columns side by side, (n, columns)."""
        return np.stack([self.columns.values[name] for name in names], axis=1)


def read_csv(
    path: FilePath, wanted: Wanted, delimiter: str | None = None, reading: CsvReading | None = None
) -> tuple[Table, Table | None]:
    """Read a text table, and a second one for the test part where `reading` names it.

    Args:
        path: the file; UTF-8 or UTF-16, plain or packed.
        wanted: which columns, and what they are.
        delimiter: the character between cells, "tab" or "blanks"; None guesses.
        reading: the rest of how it is read.

    Returns:
        The table, and that of the test part.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: missing or repeated columns, lines of another length, cells that are empty, not numbers or not
            finite (with line and column), no rows, or what is no text.
    """
    reading = reading or CsvReading()
    place, texts = existing_file(path), set[str]()
    layout = _layout(place, delimiter, reading, wanted)
    wanted = _numbered(layout, wanted)
    left_out = [] if wanted.features else [n for k, n in enumerate(layout.names) if holds_row_names(n, k)]
    train = _part(layout, wanted, reading, texts, left_out)
    if reading.test_path is None:
        return tables_of([train], wanted, reading)[0], None
    other = _like(_layout(existing_file(reading.test_path), delimiter, reading, wanted), layout)
    known = set(texts)
    test = _part(other, replace(wanted, features=train.features), reading, texts, [])
    if texts != known:  # what is text in the test part is text in both
        train = _part(layout, wanted, reading, texts, left_out)
    first, second = tables_of([train, test], wanted, reading)
    return first, second


def column_names(path: FilePath) -> tuple[str, ...]:
    """Names of a text table's columns, numbers where it names none.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: what is no text.
    """
    return find_layout(existing_file(path), None, "auto", ()).names


def _layout(place: Path, delimiter: str | None, reading: CsvReading, wanted: Wanted) -> Layout:
    return find_layout(place, delimiter, str(reading.header), [*wanted.targets, *wanted.features])


def _numbered(layout: Layout, wanted: Wanted) -> Wanted:
    """The names of columns that are given by number, in a file without names."""
    if layout.header:
        return wanted
    count = len(layout.names)

    def name(given: str) -> str:
        number = int(given) if re.fullmatch(r"[+-]?\d{1,9}", given) else 0
        if not 1 <= abs(number) <= count:
            raise ValueError(
                f"{layout.place} has no column {given!r}: line {layout.first} {_is_data(layout)}, so the columns are "
                f"numbered 1 to {count}, or -1 to -{count} from the end; give such a number, or header='yes' if that "
                "line names the columns"
            )
        return layout.names[number - 1 if number > 0 else count + number]

    return replace(wanted, targets=[name(n) for n in wanted.targets], features=[name(n) for n in wanted.features])


def _is_data(layout: Layout) -> str:
    _, cells = next(layout.rows())
    numbers = all(cell.replace(",", ".").replace(".", "", 1).lstrip("+-").isdigit() for cell in cells)
    return "holds numbers only" if numbers else "is taken for values"


def _part(layout: Layout, wanted: Wanted, reading: CsvReading, texts: set[str], left_out: Sequence[str]) -> Part:
    features = choose_columns(
        layout.place, layout.names, wanted.targets, wanted.features, wanted.real_answers, left_out, one_hot=True
    )
    classes = wanted.targets if not wanted.real_answers and len(wanted.targets) == 1 else ()
    columns = read_columns(layout, [*features, *wanted.targets], reading.decimal, classes, texts)
    said = tuple(name for name in left_out if name not in wanted.targets)
    return Part(layout.place, columns, features, said)


def _like(layout: Layout, train: Layout) -> Layout:
    """The test part's layout; where only one of the files names its columns, they are the same in number and order."""
    if layout.header and train.header:
        return layout
    if len(layout.names) != len(train.names):
        raise ValueError(
            f"{layout.place} has {len(layout.names)} columns and {train.place} {len(train.names)}; both parts need the "
            "same columns"
        )
    return replace(layout, names=train.names)


def tables_of(
    parts: Sequence[Part], wanted: Wanted, reading: TableReading, declared: Mapping[str, tuple[str, ...]] | None = None
) -> list[Table]:
    """Inputs and answers of each part, texts encoded alike.

    Args:
        parts: of the same columns.
        wanted: which columns, and what they are.
        reading: what is done with text.
        declared: values of columns in the order in which a file declares them: the order of classes.

    Raises:
        ValueError: cells that are missing, not numbers or not finite, with line and column.
    """
    names: list[str] = []
    blocks: list[list[np.ndarray]] = [[] for _ in parts]
    encoded = []
    for name in parts[0].features:
        texts = any(part.columns.values[name].dtype.kind == "U" for part in parts)
        if texts and reading.text_features == "one-hot":
            for part in parts:
                refuse_missing(part.place, name, part.columns)
            more, rows = one_hot_features(name, [part.columns.values[name] for part in parts])
            encoded.append(f"{name} ({len(more)})")
        else:
            for part in parts:
                refuse_cells(part.place, name, part.columns, _ADVICE)
            more, rows = [name], [part.columns.values[name][:, None] for part in parts]
        names += more
        for block, values in zip(blocks, rows, strict=True):
            block.append(values)
    words = [parts[0].columns.reading, *([f"text as one-hot columns: {', '.join(encoded)}"] if encoded else [])]
    class_names: tuple[str, ...] = ()
    if not wanted.real_answers:
        several = len(wanted.targets) > 1
        class_names = tuple(wanted.targets) if several else (declared or {}).get(wanted.targets[0], ())
    return [
        Table(
            features=np.concatenate(block, axis=1),
            feature_names=tuple(names),
            answers=_answers(part, wanted, class_names),
            left_out=part.left_out,
            class_names=class_names,
            reading="; ".join(word for word in words if word),
        )
        for part, block in zip(parts, blocks, strict=True)
    ]


_ADVICE = "; leave the column out of features, or make text one-hot with text_features='one-hot'"


def _answers(part: Part, wanted: Wanted, class_names: Sequence[str]) -> np.ndarray:
    targets = wanted.targets
    if wanted.real_answers:
        for name in targets:
            refuse_cells(part.place, name, part.columns)
        return part.stacked(targets)
    if len(targets) > 1:
        return one_hot_classes(part.place, targets, part.stacked(targets))
    values: Mapping[str, np.ndarray] = part.columns.values
    if values[targets[0]].dtype.kind == "f":
        refuse_cells(part.place, targets[0], part.columns)
    else:
        refuse_missing(part.place, targets[0], part.columns, classes=True)
    if class_names:
        numbers = {name: k for k, name in enumerate(class_names)}
        return np.array([numbers[str(cell)] for cell in values[targets[0]]], dtype=np.int64)
    return values[targets[0]]
