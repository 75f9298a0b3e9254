"""Where in a TOML file each key stands, so that an error can name the line."""

from __future__ import annotations

import re
import tomllib

_KEY = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_DOTTED = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_HEADER = re.compile(rf"\s*\[\[?\s*({_DOTTED})\s*\]")
_ASSIGNMENT = re.compile(rf"\s*({_DOTTED})\s*=")
_MANY_PARTS = re.compile(r"(?:[A-Za-z0-9_-]*\s*\.\s*){32}")
_STRINGS = re.compile(r'"""|\'\'\'|"(?:[^"\\]|\\.)*"|\'[^\']*\'|#.*')

Path = tuple[str, ...]
MOST_NESTED = 32


def key_lines(text: str) -> dict[Path, int]:
    """Line of each table header and each key of a valid TOML text, counted from 1.

    Keys inside an inline table are not listed; `line_of` falls back on the key that holds them.

    Args:
        text: the file's content.

    Returns:
        Line number by path, such as ("network", "depth").
    """
    lines: dict[Path, int] = {}
    table: Path = ()
    depth, quote = 0, ""  # open brackets of a value, and the delimiter of an open multi-line string
    for number, line in enumerate(text.splitlines(), start=1):
        if not depth and not quote:
            header, assignment = _HEADER.match(line), _ASSIGNMENT.match(line)
            if header:
                table = _parts(header[1])
                lines.setdefault(table, number)
                continue
            if assignment:
                path = table + _parts(assignment[1])
                for end in range(len(table) + 1, len(path) + 1):
                    lines.setdefault(path[:end], number)
                line = line[assignment.end() :]
        depth, quote = _carry_over(line, depth, quote)
    return lines


def too_deep(text: str) -> int | None:
    """Line of the first value or key that is nested deeper than any configuration; None where there is none.

    Such a text takes a parser that follows it down minutes, gigabytes or the end of the stack.
    """
    depth, quote = 0, ""
    for number, line in enumerate(text.splitlines(), start=1):
        if line.count(".") > MOST_NESTED and _MANY_PARTS.search(_STRINGS.sub("", line)):
            return number
        opened = sum(line.count(c) for c in "[{")
        if depth + opened > MOST_NESTED and _deepest(line, depth, quote) > MOST_NESTED:
            return number
        depth, quote = _carry_over(line, depth, quote)
    return None


def line_of(lines: dict[Path, int], path: Path) -> int | None:
    """Line of a key, or of the nearest table or key that contains it."""
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return None


def syntax_error(error: tomllib.TOMLDecodeError, text: str) -> tuple[int, str]:
    """Line and message of a text that is not TOML."""
    found = re.search(r"^(.*) \(at line (\d+), column (\d+)\)$", str(error), re.DOTALL)
    if found:
        return int(found[2]), f"not valid TOML: {found[1]} (column {found[3]})"
    # tomllib names no line where the text ends too early.
    return len(text.splitlines()), f"not valid TOML: {error}"


def _parts(dotted: str) -> Path:
    """The keys of a dotted key without their quotes; TOML itself reads the escapes."""
    parts = []
    for part in re.findall(_KEY, dotted):
        parts.append(tomllib.loads(f"key = {part}")["key"] if part[0] in "\"'" else part)
    return tuple(parts)


def _carry_over(line: str, depth: int, quote: str) -> tuple[int, str]:
    """Brackets and multi-line string that are open at the end of a line."""
    while True:
        if quote:
            end = _closing(line, quote)
            if end is None:
                return depth, quote
            line, quote = line[end:], ""
        found = _STRINGS.search(line)
        code = line[: found.start()] if found else line
        depth += sum(code.count(c) for c in "[{") - sum(code.count(c) for c in "]}")
        if not found:
            return max(depth, 0), ""
        line = line[found.end() :]
        if found[0] in ('"""', "'''"):
            quote = found[0]


def _deepest(line: str, depth: int, quote: str) -> int:
    """The most brackets that are open anywhere in a line."""
    if quote:
        end = _closing(line, quote)
        if end is None:
            return depth
        line = line[end:]
    deepest = depth
    for character in _STRINGS.sub("", line):
        depth += (character in "[{") - (character in "]}")
        deepest = max(deepest, depth)
    return deepest


def _closing(line: str, quote: str) -> int | None:
    """Where a multi-line string ends in a line, past its delimiter."""
    pattern = r'(?:[^"\\]|\\.|"(?!""))*"""' if quote == '"""' else r"(?:[^']|'(?!''))*'''"
    found = re.match(pattern, line)
    return found.end() if found else None
