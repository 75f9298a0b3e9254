"""Frozen records that every column shares."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ntkinfo.core import checks
from ntkinfo.core.arguments import checked
from ntkinfo.core.arrays import Array
from ntkinfo.core.labels import check_against_targets, checked_class_names, checked_labels, classes_told

Meaning = Literal["exact", "lower bound", "upper bound", "Monte Carlo", "quadrature", "estimate"]


@checked
@dataclass(frozen=True)
class Estimate:
    """A number, what it is, and how far it can be off.

    Args:
        value: the number or array of numbers, in nats where it is an information.
        standard_error: one standard deviation of the sampling error ("Monte Carlo"), or a bound on the numerical error
            (every other meaning); 0 where only rounding is left. An infinite value has an infinite error: where one is
            given with a finite error, that becomes infinite.
        meaning: what the value is.
        method: the route by which it was computed, in a few words.
    """

    value: Array | float
    standard_error: Array | float
    meaning: Meaning
    method: str = ""

    def __post_init__(self):
        error = errors_of(self.value, self.standard_error)
        if error is not self.standard_error:
            object.__setattr__(self, "standard_error", error)


def errors_of(value: Array | float, error: Array | float) -> Array | float:
    """The errors as they are, but infinite where a value is: infinity plus or minus a number says nothing."""
    shapes = np.shape(value), np.shape(error)
    if shapes[0] != shapes[1] and () not in shapes:
        raise ValueError(f"standard_error has shape {shapes[1]}; it must be that of value, {shapes[0]}, or one number")
    infinite = np.isinf(np.asarray(value))
    if not np.any(infinite & np.isfinite(np.asarray(error))):
        return error
    changed = np.where(infinite, np.inf, np.asarray(error))
    return float(changed) if changed.ndim == 0 else changed


@checked
@dataclass(frozen=True)
class Dataset:
    """Inputs and targets, train and test, checked once and held as float64 numpy arrays.

    Args:
        x_train: training inputs, (n, ...); images are (n, height, width, channels).
        y_train: training targets, (n, C).
        x_test: test inputs, (m, ...), the same trailing shape.
        y_test: test targets, (m, C). None where they are not known: they are held as NaN, what needs no test targets
            is computed, and what needs them is NaN or refused by name.
        labels_train: class of each training input, (n,) integers from 0, or None for regression.
        labels_test: class of each test input, (m,), or None. Given for both splits or for neither, but for test
            inputs whose targets are not known.
        class_names: one name a class, in the order of the integers.
        name: what to call the data in figures and files.
        provenance: where the data came from and what was done to it; plain strings and numbers.

    Raises:
        ValueError: NaN or infinite values, shapes that do not fit each other, an empty split, labels outside the
            classes, labels that contradict one-hot targets or targets of two values, more classes than targets tell
            apart, masked entries.
        TypeError: arrays that are not real numbers, labels that are not whole numbers.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: Any
    labels_train: np.ndarray | None = None
    labels_test: np.ndarray | None = None
    class_names: tuple[str, ...] = ()
    name: str = "data"
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        given = ["x_train", "y_train", "x_test"] + ["y_test"] * (self.y_test is not None)
        for key in given:
            object.__setattr__(self, key, _as_float64(key, getattr(self, key)))
        if self.y_test is None:
            object.__setattr__(self, "y_test", _frozen(np.full((len(self.x_test), *self.y_train.shape[1:]), np.nan)))
        self._check_shapes()
        for key in given:
            checks.finite(key, getattr(self, key))
        self._check_labels()

    def __repr__(self) -> str:
        """Name, sizes and fingerprint, without the arrays."""
        outputs = f"{self.n_outputs} output" + "s" * (self.n_outputs != 1)
        classes = "regression" if self.labels_train is None else f"{len(self.class_names)} classes"
        return (
            f"Dataset({self.name!r}: {len(self.x_train)} train, {len(self.x_test)} test, inputs of shape "
            f"{self.x_train.shape[1:]}, {outputs}, {classes}, fingerprint {self.fingerprint[:12]})"
        )

    def _check_shapes(self) -> None:
        for key in ("x_train", "x_test"):
            if getattr(self, key).ndim < 2:
                shape = getattr(self, key).shape
                raise ValueError(f"{key} has shape {shape}; inputs are (n, features) or (n, height, width, channels)")
            if len(getattr(self, key)) == 0:
                raise ValueError(f"{key} is empty; each split needs at least one input")
            if getattr(self, key)[0].size == 0:
                raise ValueError(f"{key} has shape {getattr(self, key).shape}: its inputs have no features")
        if self.x_train.shape[1:] != self.x_test.shape[1:]:
            raise ValueError(
                f"x_train holds inputs of shape {self.x_train.shape[1:]} and x_test of shape {self.x_test.shape[1:]}; "
                "both splits must have the same input shape"
            )
        checks.shape("y_train", self.y_train, (len(self.x_train), None), "one row of targets for each training input")
        outputs = self.y_train.shape[1]
        if outputs == 0:
            raise ValueError("y_train has no columns; targets are (n, outputs), with at least one output")
        checks.shape("y_test", self.y_test, (len(self.x_test), outputs), "one row of targets for each test input")

    def _check_labels(self) -> None:
        splits = [("labels_train", self.y_train)]
        if self.knows_test_targets:
            if (self.labels_train is None) != (self.labels_test is None):
                raise ValueError("labels_train and labels_test go together: give both, or neither for regression")
            splits.append(("labels_test", self.y_test))
        elif self.labels_test is not None:
            raise ValueError("labels_test is given and y_test is None; give the test targets of these labels, too")
        if self.labels_train is None:
            return
        both = np.concatenate([targets for _, targets in splits])
        told, highest, found = classes_told(both), float(both.max()), []
        for key, targets in splits:
            labels = checked_labels(key, getattr(self, key), len(targets), told or len(self.class_names))
            if told:
                check_against_targets(key, labels, targets, highest)
            object.__setattr__(self, key, _frozen(labels))
            found.append(labels)
        object.__setattr__(self, "class_names", checked_class_names(np.concatenate(found), told, self.class_names))

    @property
    def n_outputs(self) -> int:
        """The number of outputs C."""
        return self.y_train.shape[1]

    @property
    def knows_test_targets(self) -> bool:
        """Whether the test targets were given."""
        return not np.isnan(self.y_test).any()

    @property
    def repeated_across(self) -> int:
        """How many test inputs equal a training input: on them what was learnt by heart is tested."""
        return repeated_rows(self.x_train, self.x_test)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of results on these data should know."""
        count = self.repeated_across
        return (f"{count} of {len(self.x_test)} test inputs equal a training input",) if count else ()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of every array with its shape, as hexadecimal digits."""
        digest = hashlib.sha256()
        for key in ("x_train", "y_train", "x_test", "y_test", "labels_train", "labels_test"):
            array = getattr(self, key)
            digest.update(f"{key}:".encode())
            if array is not None:
                digest.update(fingerprint(array).encode())
        return digest.hexdigest()


def repeated_rows(known: np.ndarray, rows: np.ndarray) -> int:
    """How many of the rows equal one of the known, number by number."""
    seen = {row.tobytes() for row in known + 0.0}  # −0 equals 0 and has other bytes
    return sum(row.tobytes() in seen for row in rows + 0.0)


def fingerprint(array: Array) -> str:
    """SHA-256 of one array's shape, type and bytes, as hexadecimal digits."""
    host = np.ascontiguousarray(array)
    digest = hashlib.sha256(f"{host.shape}{host.dtype.str}".encode())
    digest.update(host.tobytes())
    return digest.hexdigest()


def _as_float64(name: str, value: Any) -> np.ndarray:
    array = checks.host(name, value)
    if not (np.issubdtype(array.dtype, np.number) or array.dtype == bool) or np.iscomplexobj(array):
        raise TypeError(f"{name} holds {array.dtype}; it must be real numbers")
    return _frozen(array.astype(np.float64))


def _frozen(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array
