"""Which data set of the registry reads a file, by the end of its name."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Final

SUFFIXES: Final[dict[str, str]] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".txt": "csv",
    ".dat": "csv",
    ".data": "csv",
    ".arff": "arff",
    ".libsvm": "libsvm",
    ".svm": "libsvm",
    ".svmlight": "libsvm",
    ".npz": "npz",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".mat": "mat",
}
_PACKED = (".gz", ".bz2", ".xz")


def format_of(path: str | PathLike[str]) -> str | None:
    """Name of the data set that reads files of this name; None where the name does not say it.

    Args:
        path: the file; .gz, .bz2 and .xz at the end are passed over.
    """
    ends = [end.lower() for end in Path(path).suffixes]
    while ends and ends[-1] in _PACKED:
        ends.pop()
    return SUFFIXES.get(ends[-1]) if ends else None
