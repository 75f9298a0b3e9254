import itertools

import numpy as np
import pytest

from ntkinfo.data import array_files, twelve_bit, twelve_bit_rule
from ntkinfo.data.icosahedral_rule import COEFFICIENTS, THRESHOLD, vertices


@pytest.fixture(scope="module")
def rule():
    return twelve_bit_rule()


@pytest.fixture(scope="module")
def symmetries():
    """All permutations of the vertices by an orthogonal map, found by sending one corner of a face to every other."""
    v = vertices()
    gram = np.round(v @ v.T, 9)
    base = next(
        t for t in itertools.permutations(range(12), 3) if len({gram[i, j] for i in t for j in t if i < j}) == 1
    )
    found = []
    for image in itertools.permutations(range(12), 3):
        if np.array_equal(gram[np.ix_(base, base)], gram[np.ix_(image, image)]):
            rotated = v @ np.linalg.solve(v[list(base)], v[list(image)])
            distance = np.linalg.norm(rotated[:, None, :] - v[None, :, :], axis=2)
            assert distance.min(axis=1).max() < 1e-9
            found.append(distance.argmin(axis=1))
    return np.array(found)


def entropy_bits(codes):
    share = np.unique(codes, return_counts=True)[1] / len(codes)
    return -np.sum(share * np.log2(share))


def information_bits(a, b):
    return entropy_bits(a) + entropy_bits(b) - entropy_bits(a * 2 + b)


def test_the_vertices_are_those_of_an_icosahedron():
    gram = vertices() @ vertices().T
    values, counts = np.unique(np.round(gram, 9), return_counts=True)
    np.testing.assert_allclose(values, [-1, -1 / np.sqrt(5), 1 / np.sqrt(5), 1], atol=1e-8)
    assert counts.tolist() == [12, 60, 60, 12]


def test_there_are_120_symmetries_and_they_form_a_group(symmetries):
    elements = {tuple(s) for s in symmetries}
    assert len(elements) == len(symmetries) == 120
    assert {tuple(a[b]) for a in symmetries for b in symmetries} == elements


def test_label_and_class_are_invariant(rule, symmetries):
    powers = 2 ** np.arange(11, -1, -1)
    for symmetry in symmetries:
        moved = rule.patterns[:, symmetry] @ powers
        assert np.array_equal(rule.labels[moved], rule.labels)
        assert np.array_equal(rule.classes[moved], rule.classes)


def test_82_orbits(rule, symmetries):
    powers = 2 ** np.arange(11, -1, -1)
    smallest = np.min([rule.patterns[:, symmetry] @ powers for symmetry in symmetries], axis=0)
    assert len(np.unique(smallest)) == 82


def test_64_classes_with_one_label_each(rule):
    classes, index = np.unique(rule.classes, axis=0, return_inverse=True)
    assert len(classes) == 64
    for k in range(64):
        assert len(np.unique(rule.labels[index.ravel() == k])) == 1
    assert entropy_bits(index.ravel()) == pytest.approx(5.5695, abs=5e-5)


def test_published_figures(rule):
    assert rule.patterns.shape == (4096, 12)
    assert np.array_equal(rule.patterns @ 2 ** np.arange(11, -1, -1), np.arange(4096))
    assert rule.labels.sum() == 2118
    assert rule.mutual_information / np.log(2) == pytest.approx(0.999157, abs=5e-7)
    assert rule.mutual_information / np.log(2) == pytest.approx(entropy_bits(rule.labels), rel=1e-12)
    assert information_bits(rule.classes[:, 0], rule.labels) == pytest.approx(0.62764, abs=5e-6)
    for bit in rule.patterns.T:
        assert information_bits(bit, rule.labels) == pytest.approx(0.03391, abs=5e-6)


def test_the_score_leaves_no_class_between_119_and_120(rule):
    ones, adjacent, antipodal = rule.classes.T
    score = np.stack([ones, ones**2, adjacent, antipodal], axis=1) @ np.array(COEFFICIENTS)
    assert score[rule.labels == 0].max() == THRESHOLD - 1
    assert score[rule.labels == 1].min() == THRESHOLD


def test_equal_to_the_published_file_bit_for_bit(rule, shared_file):
    from scipy.io import loadmat

    published = loadmat(shared_file("var_u.mat"))
    assert np.array_equal(rule.patterns, published["F"])
    assert np.array_equal(rule.labels, published["y"][0])


def test_the_published_file_gives_the_same_dataset(shared_file):
    generated = twelve_bit(400, 200, seed=3)
    read = array_files.mat(shared_file("var_u.mat"), 400, 200, 3, targets="pair", standardise=False)
    assert np.array_equal(generated.x_train, 2 * read.x_train - 1)
    assert np.array_equal(generated.y_test, read.y_test)


def test_dataset(rule):
    data = twelve_bit(n_train=3000, n_test=1096, seed=1)
    assert set(np.unique(data.x_train)) == {-1.0, 1.0}
    codes = np.concatenate([data.x_train, data.x_test]) @ 2.0 ** np.arange(11, -1, -1)
    order = ((codes + 4095) / 2).astype(int)
    assert np.array_equal(np.sort(order), np.arange(4096))
    labels = np.concatenate([data.labels_train, data.labels_test])
    assert np.array_equal(rule.labels[order], labels)
    assert np.array_equal(data.y_train[:, 0], 2.0 * data.labels_train - 1)
    assert abs(data.labels_train.mean() - 2118 / 4096) < 1 / 3000
    assert data.provenance["mutual_information_x_y_nats"] == rule.mutual_information


def test_too_many_patterns_are_refused():
    with pytest.raises(ValueError, match="holds 4096 inputs"):
        twelve_bit(4000, 97)
