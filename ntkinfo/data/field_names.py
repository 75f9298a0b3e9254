"""Which named arrays of a file are the inputs and which the answers: by name, or by the names that are usual."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ntkinfo.core import checks

# What others call inputs and answers, the commoner first; small letters, without marks between the words.
_INPUTS = ("x", "images", "data", "features", "inputs", "fea")
_ANSWERS = ("y", "labels", "target", "targets", "label", "gnd")
_PAIRS = tuple((x, y) for x in _INPUTS for y in _ANSWERS)
_TRAIN, _TEST = ("train", "tr", "training"), ("test", "te", "testing")


@dataclass(frozen=True)
class Fields:
    """Names of the arrays of one file; empty: found by the names that are usual.

    Args:
        x: inputs, of the training part where there is a test part.
        y: their answers.
        x_test: inputs of the test part; empty where the file has none.
        y_test: their answers.
    """

    x: str = ""
    y: str = ""
    x_test: str = ""
    y_test: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Those that are not empty."""
        return tuple(name for name in (self.x, self.y, self.x_test, self.y_test) if name)


SPLIT = Fields("x_train", "y_train", "x_test", "y_test")


def choose(place: Path, present: Sequence[str], given: Fields, kind: str, options: Fields) -> Fields:
    """The names to read.

    Args:
        place: the file, for messages.
        present: names of the arrays that it has.
        given: what the caller names.
        kind: what the format calls an array: "field" or "variable".
        options: what the caller's options are called, for messages.

    Returns:
        The names; those of the test part are empty where the file is one pool.

    Raises:
        ValueError: a name that is not there, one name for two things, half a pair, or no names that are usual.
    """
    _check_pairs(given, options)
    for name in given.names:
        if name not in present:
            raise ValueError(
                f"{place} has no {kind} {name!r}{checks.suggestion(name, present)}; it has "
                f"{', '.join(present) or 'none'}"
            )
    if len(set(given.names)) < len(given.names):
        raise ValueError(f"{place}: the same {kind} is named twice: {', '.join(given.names)}")
    if given.x and given.y:
        return given
    if given.names:
        return _completed(place, present, given, options)
    found = usual(present)
    if found is None:
        wanted = SPLIT.names if any(name in present for name in SPLIT.names) else ("x", "y")
        missing = [name for name in wanted if name not in present]
        raise ValueError(
            f"{place} lacks the {kind}(s) {', '.join(missing)}; it has {', '.join(present) or 'none'}, and needs "
            f"{', '.join(SPLIT.names)}, or x and y, or others named with {options.x} and {options.y}"
        )
    return found


def choose_part(place: Path, present: Sequence[str], given: Fields, kind: str, options: Fields, part: str) -> Fields:
    """The names to read where train and test part are files of their own.

    Args:
        place: the file, for messages.
        present: names of the arrays that it has.
        given: what the caller names for this file.
        kind: what the format calls an array.
        options: what the caller's options are called, for messages.
        part: "train" or "test".

    Raises:
        ValueError: as `choose` does.
    """
    found = _usual_pool(present) or _usual_part(present, _TRAIN if part == "train" else _TEST)
    return found if found is not None and not given.names else choose(place, present, given, kind, options)


def usual(present: Sequence[str]) -> Fields | None:
    """The names of a train and a test part, or of one pool, that are usual; None where there are none."""
    known = _by_plain_name(present)
    for pair in _PAIRS:
        for train, test in zip(_TRAIN, _TEST, strict=True):
            for front in (False, True):
                names = [known.get(_joined(word, part, front), "") for part in (train, test) for word in pair]
                if all(names):
                    return Fields(*names)
    return _usual_pool(present)


def _usual_pool(present: Sequence[str]) -> Fields | None:
    known = _by_plain_name(present)
    for x, y in _PAIRS:
        if known.get(x) and known.get(y):
            return Fields(known[x], known[y])
    if "F" in present and "y" in present:  # of the 12-bit rule
        return Fields("F", "y")
    # numpy.savez(path, inputs, answers) names by position.
    return Fields("arr_0", "arr_1") if sorted(present) == ["arr_0", "arr_1"] else None


def _usual_part(present: Sequence[str], parts: Sequence[str]) -> Fields | None:
    known = _by_plain_name(present)
    for pair in _PAIRS:
        for part in parts:
            for front in (False, True):
                names = [known.get(_joined(word, part, front), "") for word in pair]
                if all(names):
                    return Fields(*names)
    return None


def _joined(word: str, part: str, front: bool) -> str:
    return part + word if front else word + part


def _by_plain_name(present: Sequence[str]) -> dict[str, str]:
    """By the name in small letters without marks; of several alike the one in small letters, or none."""
    alike: dict[str, list[str]] = {}
    for name in present:
        alike.setdefault(_plain(name), []).append(name)
    return {plain: _only(names) for plain, names in alike.items()}


def _only(names: Sequence[str]) -> str:
    small = [name for name in names if name == name.lower()]
    return names[0] if len(names) == 1 else small[0] if len(small) == 1 else ""


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")


def _check_pairs(given: Fields, options: Fields) -> None:
    if bool(given.x_test) != bool(given.y_test):
        raise ValueError(f"{options.x_test} and {options.y_test} go together: give both, or neither")
    if given.x_test and not (given.x and given.y):
        raise ValueError(f"{options.x_test} and {options.y_test} need {options.x} and {options.y} beside them")


def _completed(place: Path, present: Sequence[str], given: Fields, options: Fields) -> Fields:
    """One of the pair is given, the other is found among the names of a pool."""
    known = _by_plain_name(present)
    found = [known.get(name, "") for name in (_ANSWERS if given.x else _INPUTS)]
    other = next((name for name in found if name and name not in given.names), "")
    if not other:
        raise ValueError(
            f"{place} has {', '.join(present)}; {options.x if given.x else options.y} is given, so give "
            f"{options.y if given.x else options.x} too"
        )
    return Fields(given.x or other, given.y or other)
