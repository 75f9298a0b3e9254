import numpy as np
import pytest

from ntkinfo.data import targets


def test_centred_one_hot():
    y = targets.centred_one_hot(np.array([0, 2, 1, 2]), 3)
    expected = np.array([[2, -1, -1], [-1, -1, 2], [-1, 2, -1], [-1, -1, 2]]) / 3
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-15)
    np.testing.assert_allclose(y.sum(axis=1), 0, rtol=0, atol=1e-15)
    assert np.array_equal(y.argmax(axis=1), [0, 2, 1, 2])


def test_signs():
    assert targets.signs(np.array([0, 1, 1])).tolist() == [[-1.0], [1.0], [1.0]]


@pytest.mark.parametrize("labels", [[0, 2], [-1, 1]])
def test_labels_outside_the_classes_are_refused(labels):
    with pytest.raises(ValueError, match="labels run from"):
        targets.signs(np.array(labels))
    with pytest.raises(ValueError, match="labels run from"):
        targets.centred_one_hot(np.array(labels), 2)


def test_one_hot_needs_two_classes():
    with pytest.raises(ValueError, match="n_classes is 1"):
        targets.centred_one_hot(np.array([0, 0]), 1)


def test_columns():
    assert targets.columns(np.array([1, 2])).tolist() == [[1.0], [2.0]]
    assert targets.columns(np.ones((3, 2))).shape == (3, 2)
    with pytest.raises(ValueError, match="regression targets are"):
        targets.columns(np.ones((3, 2, 1)))
    with pytest.raises(ValueError, match="answer holds 1 NaN"):
        targets.columns(np.array([1.0, np.nan]), "answer")
    with pytest.raises(TypeError, match="must be real numbers"):
        targets.columns(np.array(["a", "b"]))


@pytest.mark.parametrize(
    ("values", "labels", "names"),
    [
        (np.array([10, 9, 10, 2]), [2, 1, 2, 0], ("2", "9", "10")),
        (np.array([1.0, 0.0, 1.0]), [1, 0, 1], ("0", "1")),
        (np.array(["b", "a"]), [1, 0], ("a", "b")),
        (np.array([True, False]), [1, 0], ("False", "True")),
        (np.array([255, 0], dtype=np.uint8), [1, 0], ("0", "255")),
    ],
)
def test_encode_classes(values, labels, names):
    found, found_names = targets.encode_classes(values)
    assert found.tolist() == labels
    assert found_names == names


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (np.array([0.5, 1.0]), ValueError, "use targets='regression'"),
        (np.array([np.nan, 1.0]), ValueError, "NaN"),
        (np.ones((2, 2)), ValueError, "classes are"),
        (np.array([1j, 2j]), TypeError, "whole numbers, booleans or text"),
    ],
)
def test_answers_that_name_no_class_are_refused(values, error, message):
    with pytest.raises(error, match=message):
        targets.encode_classes(values)


def test_class_numbers():
    assert targets.class_numbers(("3", "8", "-1")).tolist() == [3, 8, -1]
    with pytest.raises(ValueError, match="need whole numbers as names"):
        targets.class_numbers(("cat", "dog"))


def test_choose_classes_keeps_the_order_asked_for():
    names = ("cat", "dog", "owl")
    assert targets.choose_classes(names, (), "one-hot").tolist() == [0, 1, 2]
    assert targets.choose_classes(names, ["owl", "cat"], "pair").tolist() == [2, 0]
    assert targets.choose_classes(("0", "1", "2"), (2, 0), "one-hot").tolist() == [2, 0]


@pytest.mark.parametrize(
    ("chosen", "kind", "message"),
    [
        (["dgo", "cat"], "pair", "did you mean 'dog'"),
        (["cat", "cat"], "pair", "names a class twice"),
        ([], "pair", "needs two classes and there are 3"),
        (["cat", "dog", "owl"], "pair", "needs two classes and there are 3"),
        (["cat"], "one-hot", "one class only"),
    ],
)
def test_unfit_choices_of_classes_are_refused(chosen, kind, message):
    with pytest.raises(ValueError, match=message):
        targets.choose_classes(("cat", "dog", "owl"), chosen, kind)
