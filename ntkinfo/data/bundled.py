"""The small data sets that scikit-learn ships: nothing is downloaded."""

from __future__ import annotations

from typing import Any, Unpack

from ntkinfo.core.arguments import checked
from ntkinfo.core.records import Dataset
from ntkinfo.data.preparation import Preparation, PreparationOptions, Source, prepare

DEFAULTS = {
    "digits": Preparation(targets="one-hot", standardise_by="feature"),
    "breast_cancer": Preparation(targets="pair"),
    "diabetes": Preparation(targets="regression"),
    "wine": Preparation(targets="one-hot"),
}


@checked
def digits(
    n_train: int | None = 512, n_test: int | None = 256, seed: int = 0, **preparation: Unpack[PreparationOptions]
) -> Dataset:
    """Handwritten digits, 1797 images of 8 by 8 pixels in ten classes; pixels are scaled from [0, 16] to [0, 1].

    Args:
        n_train: training inputs; None takes what `n_test` leaves.
        n_test: test inputs; None takes what `n_train` leaves.
        seed: fixes the split and the noise.
        **preparation: fields of Preparation; default `targets="one-hot"`. `images=True` gives (n, 8, 8, 1).

    Returns:
        The data, stratified by digit.

    Raises:
        ValueError: sizes that do not fit, unknown options or classes (see Preparation).
    """
    return _load("digits", n_train, n_test, seed, preparation)


@checked
def breast_cancer(
    n_train: int | None = 300, n_test: int | None = 200, seed: int = 0, **preparation: Unpack[PreparationOptions]
) -> Dataset:
    """Breast cancer Wisconsin: 569 inputs, 30 features, malignant (-1) or benign (+1).

    Args:
        n_train: training inputs; None takes what `n_test` leaves.
        n_test: test inputs; None takes what `n_train` leaves.
        seed: fixes the split and the noise.
        **preparation: fields of Preparation; default `targets="pair"`.

    Returns:
        The data, stratified by class.

    Raises:
        ValueError: sizes that do not fit, unknown options or classes (see Preparation).
    """
    return _load("breast_cancer", n_train, n_test, seed, preparation)


@checked
def diabetes(
    n_train: int | None = 300, n_test: int | None = 142, seed: int = 0, **preparation: Unpack[PreparationOptions]
) -> Dataset:
    """Diabetes progression: 442 inputs, 10 features in their own units, one real answer.

    Args:
        n_train: training inputs; None takes what `n_test` leaves.
        n_test: test inputs; None takes what `n_train` leaves.
        seed: fixes the split and the noise.
        **preparation: fields of Preparation; `targets` is "regression" and can be nothing else.

    Returns:
        The data, shuffled.

    Raises:
        ValueError: sizes that do not fit, unknown options (see Preparation).
    """
    return _load("diabetes", n_train, n_test, seed, preparation)


@checked
def wine(
    n_train: int | None = 118, n_test: int | None = 60, seed: int = 0, **preparation: Unpack[PreparationOptions]
) -> Dataset:
    """Wine recognition: 178 inputs, 13 features, three classes (class_0, class_1, class_2).

    Args:
        n_train: training inputs; None takes what `n_test` leaves.
        n_test: test inputs; None takes what `n_train` leaves.
        seed: fixes the split and the noise.
        **preparation: fields of Preparation; default `targets="one-hot"`.

    Returns:
        The data, stratified by class.

    Raises:
        ValueError: sizes that do not fit, unknown options or classes (see Preparation).
    """
    return _load("wine", n_train, n_test, seed, preparation)


def _load(name: str, n_train: int | None, n_test: int | None, seed: int, options: Any) -> Dataset:
    return prepare(_source(name), n_train, n_test, seed, DEFAULTS[name].updated(options))


def _source(name: str) -> Source:
    import sklearn
    from sklearn import datasets

    provenance = {"source": f"scikit-learn {sklearn.__version__}, load_{name}"}
    if name == "diabetes":
        bunch: Any = datasets.load_diabetes(scaled=False)
        return Source(bunch.data, bunch.target, (), name, 1.0, provenance)
    bunch = getattr(datasets, f"load_{name}")()
    class_names = tuple(str(c) for c in bunch.target_names)
    if name == "digits":
        return Source(bunch.images[..., None], bunch.target, class_names, name, 1 / 16, provenance)
    return Source(bunch.data, bunch.target, class_names, name, 1.0, provenance)
