import numpy as np
import pytest

from ntkinfo.data import breast_cancer, diabetes, digits, wine

LOADERS = {"digits": digits, "breast_cancer": breast_cancer, "diabetes": diabetes, "wine": wine}


@pytest.mark.parametrize(
    ("name", "features", "outputs"),
    [("digits", 64, 10), ("breast_cancer", 30, 1), ("diabetes", 10, 1), ("wine", 13, 3)],
)
def test_defaults(name, features, outputs):
    data = LOADERS[name]()
    assert data.name == name
    assert data.x_train.shape[1:] == data.x_test.shape[1:] == (features,)
    assert data.y_train.shape[1] == data.y_test.shape[1] == outputs
    assert data.fingerprint == LOADERS[name]().fingerprint != LOADERS[name](seed=1).fingerprint
    assert all(isinstance(value, str | int | float) for value in data.provenance.values())
    assert data.provenance["seed"] == 0


def test_digits_is_stratified_and_centred():
    data = digits(n_train=512, n_test=256, seed=0)
    whole = np.bincount(digits(n_train=1796, n_test=1).labels_train, minlength=10) / 1796
    for labels, y in ((data.labels_train, data.y_train), (data.labels_test, data.y_test)):
        share = np.bincount(labels, minlength=10) / len(labels)
        assert np.max(np.abs(share - whole)) < 1.5 / len(labels)
        assert np.array_equal(y.argmax(axis=1), labels)
        np.testing.assert_allclose(y.sum(axis=1), 0, atol=1e-15)


def test_digits_raw_pixels_are_scaled_to_0_to_1():
    data = digits(standardise=False, images=True)
    assert data.x_train.shape == (512, 8, 8, 1)
    assert data.x_train.min() == 0
    assert data.x_train.max() == 1


def test_digits_match_the_source():
    from sklearn.datasets import load_digits

    raw = load_digits()
    known = {tuple(x): int(label) for x, label in zip(raw.data / 16, raw.target, strict=True)}
    data = digits(n_train=1000, n_test=797, standardise=False, targets="parity")
    for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        assert [2 * (known[tuple(row)] % 2) - 1 for row in x] == y[:, 0].tolist()
    assert len({tuple(row) for row in np.concatenate([data.x_train, data.x_test])}) == len(known)


def test_breast_cancer_signs_follow_the_class_names():
    data = breast_cancer()
    assert data.class_names == ("malignant", "benign")
    assert set(data.y_train[:, 0]) == {-1.0, 1.0}
    assert np.mean(data.y_train > 0) == pytest.approx(357 / 569, abs=1 / 300)


def test_diabetes_uses_raw_features_before_standardising():
    data = diabetes(standardise=False, standardise_targets=False)
    assert data.x_train[:, 0].min() >= 19
    assert data.y_train.min() >= 25


def test_a_pair_of_digits():
    data = digits(n_train=100, n_test=50, targets="pair", classes=(3, 8))
    assert data.class_names == ("3", "8")
    assert data.y_train.shape == (100, 1)


def test_none_takes_the_rest():
    assert len(wine(n_train=None, n_test=50).x_train) == 128
    assert len(wine(n_train=100, n_test=None).x_test) == 78


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: digits(n_train=1700, n_test=98), "digits, which holds 1797 inputs"),
        (lambda: digits(n_train=0), "n_train is 0"),
        (lambda: digits(n_test=0), "n_test is 0"),
        (lambda: digits(targets="pair"), "needs two classes and there are 10"),
        (lambda: digits(targets="pair", classes=(3, 11)), "classes is '11'"),
        (lambda: digits(targets="pair", classes=(3,)), "needs two classes and there are 1"),
        (lambda: digits(classes=(3,)), "one class only"),
        (lambda: digits(standardize=True), "did you mean .standardise."),
        (lambda: diabetes(targets="one-hot"), "has real-valued answers"),
        (lambda: wine(targets="parity"), "whole numbers as names"),
        (lambda: wine(images=True), "images=True, but wine"),
        (lambda: digits(seed=-1), "seed is -1"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
