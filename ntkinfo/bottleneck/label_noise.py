"""A noise model for labels that are a function of the input, estimated from training data alone.

The dual bottleneck compares predictions with p(y|x) > 0, which certain labels do not give. What stands in for it here
is how a classifier, trained on part of the training data, confuses the classes of the rest: row c of the matrix is the
law of a label whose certain value is c.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array, to_numpy


@dataclass(frozen=True)
class LabelNoise:
    """Law of the noisy label by certain label.

    Args:
        matrix: (C, C), rows that are above 0 and sum to 1.
        counts: (C, C), how often the row's class was taken for the column's, out of fold; zeros where the matrix was
            given and not estimated.
        floor: to which entries were raised before rows were divided by their sums.
        raised: how many entries were.

    Raises:
        ValueError: a matrix that is not square, or rows that are not probabilities above 0.
    """

    matrix: Float[np.ndarray, "c c"]
    counts: Int[np.ndarray, "c c"]
    floor: float = 0.0
    raised: int = 0

    def __post_init__(self):
        checks.shape("matrix", self.matrix, (len(self.matrix), len(self.matrix)), "one row and one column a class")
        checks.finite("matrix", self.matrix)
        if np.any(self.matrix <= 0) or not np.allclose(self.matrix.sum(axis=1), 1, rtol=0, atol=1e-12):
            raise ValueError("matrix holds rows that are not probabilities above 0; each must sum to 1")

    @classmethod
    def symmetric(cls, classes: int, flip: float) -> LabelNoise:
        """A label is replaced by one of the others with probability `flip`, each as likely.

        Raises:
            ValueError: a probability of 0 or 1, fewer than two classes.
        """
        checks.whole("classes", classes, least=2)
        checks.probability("flip", flip)
        if flip in (0, 1):
            raise ValueError(f"flip is {flip}; it must lie strictly between 0 and 1, so that every label can occur")
        matrix = np.full((classes, classes), flip / (classes - 1))
        np.fill_diagonal(matrix, 1 - flip)
        return cls(matrix, np.zeros((classes, classes), dtype=np.int64))

    def soften(self, labels: Int[Array, " n"]) -> Float[np.ndarray, "n c"]:
        """Row of the matrix for each label, (n, C).

        Raises:
            ValueError: a label outside the classes.
        """
        given = to_numpy(labels)
        if given.size and (given.min() < 0 or given.max() >= len(self.matrix)):
            raise ValueError(f"labels run from {given.min()} to {given.max()}; they are 0 to {len(self.matrix) - 1}")
        return self.matrix[given]


@checked
def estimate_label_noise(
    inputs: Array,
    labels: Int[Array, " n"],
    classes: int,
    *,
    folds: int = 5,
    floor: float = 1e-3,
    seed: int = 0,
    classifier: Any = None,
) -> LabelNoise:
    """Estimate the confusion of classes by cross-validation on the training inputs and labels that are given.

    Args:
        inputs: training inputs, (n, ...); flattened.
        labels: their labels, (n,), integers from 0 to classes - 1.
        classes: their number C.
        folds: parts of the data, each predicted by a classifier that has not seen it.
        floor: smallest entry of the matrix before its rows are divided by their sums, above 0 and at most 1 / C.
        seed: of the division into parts.
        classifier: anything with scikit-learn's fit and predict; ridge regression on the classes where None.

    Returns:
        The noise model.

    Raises:
        ValueError: shapes that do not fit, NaN or infinite inputs, a class with fewer inputs than parts, a floor out of
            range.

    Fails when the classifier errs for other reasons than ambiguity: the noise is then that of the classifier.
    """
    rows, given = _checked(inputs, labels, classes, folds)
    checks.positive("floor", floor)
    if floor > 1 / classes:
        raise ValueError(f"floor is {floor}; with {classes} classes it must be at most {1 / classes:.3g}")
    counts = _confusion(rows, given, classes, folds, seed, classifier)
    shares = counts / counts.sum(axis=1, keepdims=True)
    raised = np.maximum(shares, floor)
    matrix = raised / raised.sum(axis=1, keepdims=True)
    return LabelNoise(matrix, counts, float(floor), int(np.sum(shares < floor)))


def _confusion(
    rows: np.ndarray, labels: np.ndarray, classes: int, folds: int, seed: int, classifier: Any
) -> np.ndarray:
    """How often each class was taken for each other by classifiers that had not seen the input."""
    from sklearn.base import clone
    from sklearn.linear_model import RidgeClassifier
    from sklearn.model_selection import StratifiedKFold

    counts = np.zeros((classes, classes), dtype=np.int64)
    model: Any = RidgeClassifier() if classifier is None else classifier
    for seen, unseen in StratifiedKFold(folds, shuffle=True, random_state=seed).split(rows, labels):
        fresh: Any = clone(model)
        predicted = fresh.fit(rows[seen], labels[seen]).predict(rows[unseen])
        np.add.at(counts, (labels[unseen], np.asarray(predicted)), 1)
    return counts


def _checked(inputs: Array, labels: Array, classes: int, folds: int) -> tuple[np.ndarray, np.ndarray]:
    rows, given = to_numpy(inputs).astype(np.float64), to_numpy(labels)
    checks.whole("classes", classes, least=2)
    checks.whole("folds", folds, least=2)
    checks.finite("inputs", rows)
    checks.shape("labels", given, (len(rows),), "one class for each input")
    if given.min() < 0 or given.max() >= classes:
        raise ValueError(f"labels run from {given.min()} to {given.max()}; they are 0 to {classes - 1}")
    fewest = np.bincount(given, minlength=classes)
    if fewest.min() < folds:
        raise ValueError(
            f"class {int(np.argmin(fewest))} has {int(fewest.min())} training inputs and each of the {folds} parts "
            "needs one; take fewer parts or more inputs"
        )
    return rows.reshape(len(rows), -1), given
