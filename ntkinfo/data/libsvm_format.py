"""The format of libsvm and svmlight: an answer, then number:value of every feature that is not 0."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from ntkinfo.data.input_files import fits_in_memory, opened


def read_libsvm(places: Sequence[Path]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Read files that share their features.

    Args:
        places: one file a part; plain or packed. Features are numbered from 1, or from 0 where a file has a 0.

    Returns:
        For each its inputs (n, d) and answers (n,).

    Raises:
        ValueError: lines of another form, several labels in a line, no lines, numbers of features that do not rise, or
            more data than free memory.
    """
    from sklearn.datasets import load_svmlight_files

    with ExitStack() as stack:
        streams = [stack.enter_context(opened(place)) for place in places]
        names = " or ".join(map(str, places))
        try:
            read = load_svmlight_files(streams)
        except (ValueError, OverflowError) as error:
            if any(str(place) in str(error) for place in places):
                raise
            raise ValueError(
                f"{names} is no libsvm file of one label a line ({error}); lines are 'label number:value ...', "
                "numbers rising"
            ) from error
    parts = []
    for place, matrix, answers in zip(places, read[::2], read[1::2], strict=True):
        if matrix.shape[0] == 0 or matrix.nnz == 0:
            raise ValueError(f"{place} holds no inputs; lines are 'label number:value number:value'")
        fits_in_memory(place, 8 * matrix.shape[0] * matrix.shape[1])
        parts.append((matrix.toarray(), answers))
    return parts
