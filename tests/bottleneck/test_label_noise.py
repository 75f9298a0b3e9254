from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from ntkinfo.bottleneck.label_noise import LabelNoise, estimate_label_noise
from ntkinfo.bottleneck.variational import class_targets
from ntkinfo.data.bundled import digits


class Table:
    """A classifier that says what column 0 holds; learns nothing, so folds do not matter."""

    def get_params(self, deep=True):
        return {}

    def fit(self, rows, labels):
        return self

    def predict(self, rows):
        return rows[:, 0].astype(int)


def test_counts_are_out_of_fold_confusions_and_rows_are_normalised_after_clipping():
    said = np.array([0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2])
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2])
    noise = estimate_label_noise(said[:, None].astype(float), labels, 3, folds=2, floor=0.1, classifier=Table())
    np.testing.assert_array_equal(noise.counts, [[3, 1, 0], [0, 4, 0], [0, 0, 4]])
    wanted = np.array([[0.75, 0.25, 0.1], [0.1, 1.0, 0.1], [0.1, 0.1, 1.0]])
    np.testing.assert_allclose(noise.matrix, wanted / wanted.sum(axis=1, keepdims=True), rtol=1e-12)
    np.testing.assert_allclose(noise.matrix.sum(axis=1), 1, rtol=1e-14)
    assert noise.raised == 5
    np.testing.assert_array_equal(noise.soften(np.array([2, 0])), noise.matrix[[2, 0]])


def test_a_known_flip_rate_is_found():
    """Two clusters far apart whose labels are flipped: the classifier predicts the majority, so the rate is found."""
    rng = np.random.default_rng(0)
    place = rng.integers(2, size=4000)
    flipped = rng.random(4000) < np.where(place == 0, 0.1, 0.2)
    labels = np.where(flipped, 1 - place, place)
    x = 10.0 * place[:, None] + rng.normal(size=(4000, 2))
    noise = estimate_label_noise(x, labels, 2)
    # Row c: of the inputs labelled c, the share in the other cluster, by Bayes.
    zero = 0.2 / (0.9 + 0.2)
    one = 0.1 / (0.8 + 0.1)
    error = 4 * np.sqrt(0.16 / 1800)
    np.testing.assert_allclose([noise.matrix[0, 1], noise.matrix[1, 0]], [zero, one], atol=error)


def test_only_training_data_enter_and_folds_are_unseen():
    one = digits(n_train=300, n_test=100, seed=0)
    noise = estimate_label_noise(one.x_train, one.labels_train, 10, seed=1)
    again = estimate_label_noise(one.x_train, one.labels_train, 10, seed=1)
    np.testing.assert_array_equal(noise.counts, again.counts)
    assert noise.counts.sum() == 300
    # A nearest neighbour is always right about inputs that it has seen; out of fold it is not.
    seen = KNeighborsClassifier(1).fit(one.x_train, one.labels_train).score(one.x_train, one.labels_train)
    nearest = estimate_label_noise(one.x_train, one.labels_train, 10, classifier=KNeighborsClassifier(1))
    assert seen == 1
    assert np.trace(nearest.counts) < 300
    train, test = class_targets(one, noise)
    np.testing.assert_array_equal(test.noisy, noise.matrix[one.labels_test])
    np.testing.assert_array_equal(train.probabilities.argmax(axis=1), one.labels_train)


def test_symmetric_noise():
    np.testing.assert_allclose(LabelNoise.symmetric(3, 0.2).matrix, 0.1 * np.ones((3, 3)) + 0.7 * np.eye(3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: estimate_label_noise(np.zeros((4, 1)), np.array([0, 0, 0, 1]), 2, folds=2), "class 1 has 1"),
        (lambda: estimate_label_noise(np.zeros((4, 1)), np.array([0, 0, 1, 1]), 2, folds=2, floor=0.6), "at most 0.5"),
        (lambda: estimate_label_noise(np.zeros((4, 1)), np.array([0, 0, 1, 2]), 2, folds=2), "0 to 1"),
        (lambda: LabelNoise.symmetric(3, 0.0), "strictly"),
        (lambda: LabelNoise(np.eye(2), np.zeros((2, 2), dtype=int)), "above 0"),
        (lambda: LabelNoise.symmetric(3, 0.1).soften(np.array([3])), "0 to 2"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
