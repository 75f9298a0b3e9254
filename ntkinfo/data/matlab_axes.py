"""MATLAB keeps samples along the last axis as often as along the first; here they come first."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ntkinfo.data.input_files import FilePath


def samples_first(
    matrices: Mapping[str, np.ndarray], inputs: str, answers: str, path: FilePath, said: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Inputs as (n, d), (n, height, width) or (n, height, width, channels), and answers as (n,) or (n, C).

    Args:
        matrices: by name, as MATLAB holds them: at least two dimensions, single ones at the end dropped.
        inputs: name of the inputs.
        answers: name of the answers.
        path: the file, for messages.
        said: what is found about the axes is added here.

    Raises:
        ValueError: inputs that are text, shapes that do not fit each other.
    """
    x, y = matrices[inputs], matrices[answers]
    if x.dtype.kind == "U":
        raise ValueError(f"{path}: the variable {inputs} holds text; it must be a dense matrix of real numbers")
    y = y.ravel() if 1 in y.shape else y
    if y.ndim > 2 or x.ndim > 4:
        raise ValueError(
            f"{path}: {inputs} has shape {x.shape} and {answers} {y.shape}; inputs are (n, features), (height, width, "
            "n) or (height, width, channels, n), and answers (n, 1) or (n, outputs)"
        )
    for values in (y, y.T) if y.ndim == 2 else (y,):
        axis = _axis_of_samples(x.shape, len(values))
        if axis is not None:
            if axis:
                said.append(f"{inputs} has the samples along its last axis")
            return np.moveaxis(x, axis, 0), values
    raise ValueError(
        f"{path}: {inputs} has shape {x.shape} and {answers} {matrices[answers].shape}; "
        f"{x.shape[0] if x.ndim == 2 else x.shape[-1]} inputs need as many answers"
    )


def label_notes(part: tuple[np.ndarray, np.ndarray]) -> list[str]:
    """Labels of images from 1 to 10 are said, because data sets of digits write 10 for the digit 0."""
    x, y = part
    ten = y.dtype.kind in "iuf" and y.ndim == 1 and np.array_equal(np.unique(y), np.arange(1, 11))
    return ["labels run from 1 to 10; of digits, as in SVHN, 10 stands for 0"] if ten and x.ndim > 2 else []


def _axis_of_samples(shape: tuple[int, ...], n: int) -> int | None:
    """Rows first for a table, the last axis first for images; None where neither has n entries."""
    last = len(shape) - 1
    return next((axis for axis in ((0, last) if last == 1 else (last, 0)) if shape[axis] == n), None)
