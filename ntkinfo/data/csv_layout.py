"""How a text table is laid out: what stands between its cells, and whether its first line names the columns."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ntkinfo.data.input_files import opened
from ntkinfo.data.targets import MISSING

BLANKS = " "  # stands for any run of blanks and tabs
# In the order in which a draw is decided.
_DELIMITERS = (",", "\t", ";", BLANKS, "|")
_WORDS = {"\\t": "\t", "tab": "\t", "blank": BLANKS, "blanks": BLANKS, "comma": ",", "semicolon": ";"}
_SAID = {",": "commas", "\t": "tabs", ";": "semicolons", BLANKS: "blanks", "|": "bars"}
_SAMPLE = 50  # lines by which a layout is guessed
_LONGEST_LINE = 2**26  # characters
_BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*|,\d+)?|[.,]\d+)([eE][+-]?\d+)?")
_COMMENT = re.compile(r"\s*#[^,;|\t]")


@dataclass(frozen=True)
class Layout:
    """How a file is laid out.

    Args:
        place: the file.
        delimiter: between cells; BLANKS for any run of blanks and tabs.
        names: of the columns, "" where one has none.
        header: whether the file names them; otherwise they are numbered from 1.
        first: number of the line where the table begins, with the header if that is no comment.
        skip: whether that line is the header.
        ends_open: every line ends in a delimiter, with nothing after it.
        reading: what was found, in words.
    """

    place: Path
    delimiter: str
    names: tuple[str, ...]
    header: bool
    first: int
    skip: bool
    ends_open: bool
    reading: str

    def all_rows(self) -> Iterator[tuple[int, list[str]]]:
        """Number and cells of each line that is not blank, however many there are, the header among them."""
        return _rows(self.place, text_lines(self.place), self.delimiter, self.first)

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Number and cells of each line below the header that is not blank.

        Raises:
            ValueError: a line with another number of cells than there are columns, or what is no text.
        """
        width = len(self.names)
        rows = _rows(self.place, text_lines(self.place), self.delimiter, self.first)
        if self.skip:
            next(rows, None)
        for line, cells in rows:
            if self.ends_open and len(cells) == width + 1 and not cells[-1]:
                cells.pop()
            if len(cells) != width:
                told = f"the header names {width} columns" if self.header else f"the first line has {width}"
                raise ValueError(f"{self.place}, line {line} has {len(cells)} cells; {told}")
            yield line, cells


def find_layout(place: Path, delimiter: str | None, header: str, wanted: Sequence[str]) -> Layout:
    """The layout of a file, what is not said guessed from its first lines.

    Args:
        place: the file.
        delimiter: one character, or "tab", "blanks"; None guesses.
        header: "yes", "no" or "auto".
        wanted: columns that will be asked for by name, which tell a header.

    Raises:
        ValueError: a delimiter of several characters, no lines, or what is no text.
    """
    delimiter = _WORDS.get(delimiter, delimiter) if delimiter else None
    if delimiter is not None and len(delimiter) != 1:
        raise ValueError(f"delimiter is {delimiter!r}; it must be one character, or tab or blanks")
    head, told = _head(place)
    said = told or delimiter
    found = said or _delimiter(head)
    texts = [text for _, text in head]
    at = next((k for k, text in enumerate(texts) if not _COMMENT.match(text)), len(texts))
    rows = _parsed(place, texts[at:], found)
    # The last of the lines that were looked at may end within a quoted cell.
    rows = rows[:-1] if len(head) > _SAMPLE else rows
    named = _parsed(place, [texts[at - 1].lstrip().lstrip("#")], found) if at and header != "no" else []
    if not rows:
        raise ValueError(f"{place} has no lines; the first must name the columns")
    if named and not _names_columns(rows[0], rows[1:], wanted) and len(named[0]) == len(rows[0]):
        names, is_named, skip, body = named[0], True, False, rows
    else:
        is_named = skip = header == "yes" or (header == "auto" and _names_columns(rows[0], rows[1:], wanted))
        names, body = (rows[0], rows[1:]) if is_named else ([str(k + 1) for k in range(len(rows[0]))], rows)
    names, ends_open, row_names = _fitted(names, is_named, body)
    between = _SAID.get(found, repr(found))
    words = [f"cells between {between}"]
    words.append("names in the first line" if is_named else f"no names: columns are numbered 1 to {len(names)}")
    if row_names:
        words.append("the header is one shorter, so the first column holds the rows' names")
    if ends_open:
        words.append("every line ends in a delimiter")
    return Layout(place, found, tuple(names), is_named, head[at][0], skip, ends_open, "; ".join(words))


def _fitted(names: list[str], is_named: bool, body: Sequence[list[str]]) -> tuple[list[str], bool, bool]:
    """Names that fit the rows, whether every line ends open, and whether the rows are named as R does it."""
    longer = bool(body) and all(len(row) == len(names) + 1 for row in body)
    if longer and all(not row[-1] for row in body):
        return names, True, False
    if longer and is_named:
        return ["", *names], False, True
    open_end = len(names) > 1 and body and all(len(row) == len(names) and not row[-1] for row in body)
    if open_end and (not is_named or not names[-1]):
        return names[:-1], True, False
    return names, False, False


def _names_columns(first: Sequence[str], body: Sequence[Sequence[str]], wanted: Sequence[str]) -> bool:
    """Whether a line names the columns: it holds a name that is asked for, or text where numbers stand below.

    A line of numbers alone holds values, unless they count the columns from 0, as pandas does.
    """
    if any(name in first and not is_numeral(name) for name in wanted):
        return True
    numerals = [cell for cell in first if is_numeral(cell)]
    counted = len(numerals) > 1 and numerals == [str(k) for k in range(len(numerals))]
    fractions = any("." in cell for row in body for cell in row)
    if counted and len(numerals) >= len(first) - 1 and (fractions or len(numerals) > 2):
        return True
    columns = zip(*(row for row in body if len(row) == len(first)), strict=True)
    for name, cells in zip(first, columns, strict=False):
        if name not in MISSING and not is_numeral(name) and name and all(map(is_numeral, cells)):
            return True
    return not numerals


def is_numeral(cell: str) -> bool:
    """Whether a cell is a number with a decimal point or comma."""
    return _NUMBER.fullmatch(cell) is not None


def _head(place: Path) -> tuple[list[tuple[int, str]], str | None]:
    """The first lines that are not blank, with their numbers; and the delimiter where Excel's line `sep=` names it."""
    lines = text_lines(place)
    head: list[tuple[int, str]] = []
    told = None
    for number, text in enumerate(lines, start=1):
        said = re.fullmatch(r"sep=(.)\s*", text) if number == 1 else None
        if said:
            told = said[1]
        elif text.strip():
            head.append((number, text))
        if len(head) > _SAMPLE:
            break
    lines.close()
    return head, told


def _delimiter(head: Sequence[tuple[int, str]]) -> str:
    """The delimiter by which most lines have as many cells, and most cells are numbers; a comma where none is found."""
    texts = [text for _, text in head if not _COMMENT.match(text)]
    scores = {}
    for delimiter in _DELIMITERS:
        try:
            rows = list(_reader(texts, delimiter, strict=False))
        except csv.Error:
            continue
        rows = [row for row in rows if row]
        counts = Counter(len(row) for row in rows[1:] or rows)
        if not counts or counts.most_common(1)[0][0] == 1:
            continue
        cells = [cell.strip() for row in rows[1:] or rows for cell in row]
        numbers = sum(is_numeral(cell) or cell in MISSING for cell in cells) / len(cells)
        scores[delimiter] = counts.most_common(1)[0][1] / counts.total() + numbers
    return max(scores, key=lambda delimiter: scores[delimiter]) if scores else ","


def _parsed(place: Path, texts: Sequence[str], delimiter: str) -> list[list[str]]:
    try:
        return [[cell.strip() for cell in row] for row in _reader(texts, delimiter, strict=False) if row]
    except csv.Error as error:
        raise ValueError(f"{place}: {error}") from error


def _rows(place: Path, lines: Iterator[str], delimiter: str, first: int) -> Iterator[tuple[int, list[str]]]:
    """Line number and stripped cells of each line from `first` on that is not blank."""
    for _ in range(first - 1):
        next(lines, "")
    reader = _reader(lines, delimiter, strict=True)
    try:
        for row in reader:
            if row:
                yield reader.line_num + first - 1, [cell.strip() for cell in row]
    except csv.Error as error:
        raise ValueError(f"{place}, line {reader.line_num + first - 1}: {error}") from error


def _reader(lines: Iterable[str], delimiter: str, strict: bool):
    # Blanks after a delimiter are passed over, so that a run of blanks is one delimiter.
    if delimiter == BLANKS:
        lines = (text.replace("\t", " ").strip() for text in lines)
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=strict)


def text_lines(place: Path) -> Generator[str, None, None]:
    """The lines of a text, in UTF-8 or, where its first bytes say so, UTF-16."""
    with opened(place) as stream:
        mark = _BYTE_ORDER_MARKS.get(bytes(stream.peek(2)[:2]), "utf-8-sig")
        text = io.TextIOWrapper(stream, encoding=mark, newline="")
        try:
            while line := text.readline(_LONGEST_LINE):
                if len(line) == _LONGEST_LINE:
                    raise ValueError(f"{place} has a line of more than {_LONGEST_LINE:,} characters; it is no table")
                if "\0" in line:
                    raise ValueError(f"{place} holds zero bytes; it is binary data, not text")
                yield line
        except UnicodeDecodeError as error:
            raise ValueError(f"{place} is not UTF-8 text ({error}); save it as UTF-8") from error
